//! `chartseal rules diff`, `rules dry-run` and `rules census`: rules tried on what really came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono_tz::Tz;
use clap::Subcommand;

use super::print::{Print, count, table};
use super::{Acts, Common, Outcome};
use crate::app::rules_files::{self, read_sets};
use crate::app::steps;
use crate::base::{ClinicId, hours};
use crate::config::Config;
use crate::desk::{Census, Desk, DryRun, DryRunAsked, ReportRef};
use crate::policy::RuleSet;
use crate::policy::compare::{Counted, Direction, Item};
use crate::policy::loosenings::{Loosening, loosenings};
use crate::policy::when::Predicate;
use crate::store::Bundle;

/// The longest stretch of time that is looked back on, in days.
const SINCE_DAYS_MAX: u64 = 3660;
/// Codes that the page for people shows; all are in the CSV and in the JSON.
const CODES_SHOWN: usize = 40;

#[derive(Subcommand)]
pub(super) enum LookCommand {
    /// Say what a new rules file makes looser than an old one; with --facts-since also for which reports.
    Diff {
        old: PathBuf,
        new: PathBuf,
        /// Also decide the reports of so long by both files: `30d`, `12h`.
        #[arg(long, value_name = "SPAN", value_parser = span)]
        facts_since: Option<Duration>,
        /// The folder with the code sets of the old file.
        #[arg(long, value_name = "DIR")]
        sets_old: Option<PathBuf>,
        /// The folder with the code sets of the new file.
        #[arg(long, value_name = "DIR")]
        sets_new: Option<PathBuf>,
    },
    /// Decide the reports that came by the rules in force and by this file, and show where they differ. Changes nothing.
    DryRun {
        file: PathBuf,
        /// How far back: `30d`, `12h`.
        #[arg(long, value_name = "SPAN", value_parser = span)]
        since: Duration,
        /// The folder with the file's code sets.
        #[arg(long, value_name = "DIR")]
        sets: Option<PathBuf>,
    },
    /// Count the codes of the reports that came, and how many reports a profile of the rules in force, or of a file, speaks of.
    Census {
        /// How far back: `90d`, `12h`.
        #[arg(long, value_name = "SPAN", value_parser = span)]
        since: Duration,
        /// Write all codes into a new file, to be marked under `sensitivity` and used with --sets.
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
        /// Count by this file rather than by the rules in force; the JSON tells `rules lint --census` what fell to the default.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        /// The folder with the file's code sets.
        #[arg(long, value_name = "DIR", requires = "rules")]
        sets: Option<PathBuf>,
    },
}

/// A stretch of time as people write it: `30d`, `12h`.
pub(super) fn span(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "write a number of days or hours, as 30d or 12h; at most 3660d";
    let (number, unit_hours) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24),
        (None, Some(hours)) => (hours, 1),
        (None, None) => return Err(WRONG),
    };
    let number: u64 = number.parse().map_err(|_| WRONG)?;
    match number.checked_mul(unit_hours) {
        Some(span) if span > 0 && span <= SINCE_DAYS_MAX * 24 => Ok(hours(span)),
        Some(_) | None => Err(WRONG),
    }
}

pub(super) async fn run(
    command: LookCommand,
    common: &Common,
    variables: Vec<(String, String)>,
    print: Print,
) -> anyhow::Result<Outcome> {
    match command {
        LookCommand::Diff { old, new, facts_since, sets_old, sets_new } => {
            let (old, new) = (rules(&old, sets_old.as_deref())?, rules(&new, sets_new.as_deref())?);
            let found = loosenings(&old, &new);
            let run = match facts_since {
                Some(since) => {
                    let (desk, config) = looking(common, variables).await?;
                    Some(dry_run(&desk, &config, old, new, since).await?)
                }
                None => None,
            };
            Ok(tell_diff(&found, run.as_ref(), print))
        }
        LookCommand::DryRun { file, since, sets } => {
            let new = rules(&file, sets.as_deref())?;
            let (desk, config) = looking(common, variables).await?;
            let old = in_force(&desk, &config).await?;
            let run = dry_run(&desk, &config, old, new, since).await?;
            print.done(&run_in_words(&run), &run);
            Ok(Outcome::Done)
        }
        LookCommand::Census { since, csv, rules: file, sets } => {
            let of_file = file.as_deref().map(|file| rules(file, sets.as_deref())).transpose()?;
            let (desk, config) = looking(common, variables).await?;
            let rules = match of_file {
                Some(rules) => Arc::new(rules),
                None => Arc::new(in_force(&desk, &config).await?),
            };
            let from = desk.clock.now().minus(since);
            let census = desk.census(&rules, &Arc::new(zones(&config)), from).await?;
            if let Some(path) = &csv {
                write_new(path, &census.to_csv()?)?;
            }
            print.done(&census_in_words(&census, csv.as_deref()), &census);
            Ok(Outcome::Done)
        }
    }
}

async fn looking(common: &Common, variables: Vec<(String, String)>) -> anyhow::Result<(Desk, Config)> {
    let config = super::load(common, variables.clone())?;
    let (desk, _) = super::desk(common, variables, Acts::Looks).await?;
    Ok((desk, config))
}

/// The rules in force: a version's, or those of the configured file.
pub(super) async fn in_force(desk: &Desk, config: &Config) -> anyhow::Result<RuleSet> {
    let of_file = rules_files::read_bundle(&config.policy_file).ok();
    desk.rules_now(of_file).await?.context("there are no rules in force that this program can read")
}

/// Reads a rules file, with the code sets of a folder.
pub(super) fn rules(path: &Path, sets: Option<&Path>) -> anyhow::Result<RuleSet> {
    let mut bundle = rules_files::read_bundle(path)?;
    if let Some(folder) = sets {
        bundle.files = read_sets(folder)?;
    }
    compile(&bundle, path)
}

fn compile(bundle: &Bundle, path: &Path) -> anyhow::Result<RuleSet> {
    bundle.compile().map_err(|faults| anyhow::anyhow!("the rules in {} cannot be used:\n{faults}", path.display()))
}

/// The zone of each clinic.
pub(super) fn zones(config: &Config) -> BTreeMap<ClinicId, Tz> {
    config.clinics.iter().map(|clinic| (clinic.id.clone(), clinic.timezone)).collect()
}

async fn dry_run(desk: &Desk, config: &Config, old: RuleSet, new: RuleSet, since: Duration) -> anyhow::Result<DryRun> {
    let asked = DryRunAsked {
        old: Arc::new(old),
        new: Arc::new(new),
        since: desk.clock.now().minus(since),
        available: steps::available(config),
        zones: Arc::new(zones(config)),
    };
    Ok(desk.dry_run(&asked).await?)
}

/// A file that was there is not written over.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let write = || {
        let mut file = std::fs::File::create_new(path)?;
        // Spreadsheets take a table for UTF-8 by this mark alone.
        file.write_all("\u{feff}".as_bytes())?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("{} cannot be written; name a file that is not there yet", path.display()))
}

fn tell_diff(found: &[Loosening], run: Option<&DryRun>, print: Print) -> Outcome {
    let mut text = if found.is_empty() {
        "Nothing can become looser: no report would be decided more easily by the new file.".to_owned()
    } else {
        let lines: Vec<String> = found.iter().map(|one| format!("  {one}")).collect();
        let ways = count(found.len(), "way");
        format!("The new file can be looser for some report in {ways}:\n{}", lines.join("\n"))
    };
    if let Some(run) = run {
        text = format!("{text}\n\n{}", run_in_words(run));
    }
    print.done(&text, &serde_json::json!({"loosenings": found, "reports": run}));
    let is_looser = !found.is_empty() || run.is_some_and(|run| run.diff.is_anything_looser());
    if is_looser { Outcome::No } else { Outcome::Done }
}

fn run_in_words(run: &DryRun) -> String {
    let diff = &run.diff;
    let days = days_of(run);
    let line = |what: &str, number: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let a_day = number as f64 / days;
        vec![what.to_owned(), number.to_string(), format!("{a_day:.1}")]
    };
    let mut lines = vec![
        format!("{} since {}, decided by both rules:", count(run.reports, "report"), run.since),
        table(
            &["", "reports", "a day"],
            &[
                line("newly sent", diff.newly_sent.count),
                line("looser", diff.looser.count),
                line("newly in review", diff.newly_in_review.count),
                line("tighter", diff.tighter.count),
                line("unchanged", diff.same),
            ],
        ),
    ];
    if run.forgotten + run.unread > 0 {
        lines.push(format!(
            "Not compared: {} whose facts are past their retention, {} that could not be read.",
            count(run.forgotten, "report"),
            count(run.unread, "report")
        ));
    }
    for (predicate, number) in &diff.unasked {
        lines.push(unknown(*predicate, *number));
    }
    section(&mut lines, "Newly sent, one by one:", &diff.newly_sent);
    section(&mut lines, "Looser, one by one:", &diff.looser);
    section(&mut lines, "Newly in review:", &diff.newly_in_review);
    section(&mut lines, "Tighter:", &diff.tighter);
    lines.join("\n")
}

fn days_of(run: &DryRun) -> f64 {
    const DAY_MILLIS: f64 = 86_400_000.0;
    let at = |text: &str| crate::base::UtcMillis::parse_rfc3339(text).unwrap_or_default();
    let span = at(&run.until).since(at(&run.since));
    (span.as_secs_f64() * 1000.0 / DAY_MILLIS).max(f64::MIN_POSITIVE)
}

fn unknown(predicate: Predicate, number: u64) -> String {
    let why = match predicate {
        Predicate::Text => "the text was not kept",
        Predicate::Recipient
        | Predicate::Clinic
        | Predicate::Resource
        | Predicate::Category
        | Predicate::Type
        | Predicate::Code
        | Predicate::Holds
        | Predicate::Set
        | Predicate::Prefix
        | Predicate::Label
        | Predicate::Confidentiality
        | Predicate::Order
        | Predicate::Reason
        | Predicate::Performer
        | Predicate::Service
        | Predicate::Encounter
        | Predicate::Age
        | Predicate::Consent
        | Predicate::Basis
        | Predicate::Preference
        | Predicate::Contact
        | Predicate::ContactConfirmedWithin
        | Predicate::ContactNotConfirmedWithin
        | Predicate::Critical
        | Predicate::Tag
        | Predicate::Any => "it was not asked for when the report was read",
    };
    format!("{}: unknown: {why}; {}", predicate.as_str(), count(number, "report"))
}

fn section(lines: &mut Vec<String>, title: &str, found: &Counted<ReportRef>) {
    if found.count == 0 {
        return;
    }
    lines.push(String::new());
    lines.push(title.to_owned());
    lines.extend(found.shown.iter().map(item));
    let more = found.count.saturating_sub(found.shown.len() as u64);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
}

fn item(item: &Item<ReportRef>) -> String {
    let (id, compared) = (&item.id, &item.compared);
    let mut lines = vec![format!("  {}  {}  {}", id.delivery, id.ehr, id.report)];
    for change in &compared.changes {
        let way = match change.direction {
            Direction::Tighter => "tighter",
            Direction::Looser => "looser",
        };
        let by = |rows: &[String]| if rows.is_empty() { String::new() } else { format!(" ({})", rows.join(", ")) };
        let (before, after) = (by(&change.rows_before), by(&change.rows_after));
        lines.push(format!("    {}: {}{before}, now {}{after}: {way}", change.what, change.from, change.to));
    }
    if compared.why_before != compared.why_after {
        for (when, why) in [("before", &compared.why_before), ("now", &compared.why_after)] {
            if !why.is_empty() {
                lines.push(format!("    {when}: {why}"));
            }
        }
    }
    if let Some(beside) = &id.beside {
        lines.push(format!("    a person looks at it all the same: {beside}"));
    }
    lines.join("\n")
}

fn census_in_words(census: &Census, csv: Option<&Path>) -> String {
    let known = census.reports.saturating_sub(census.unknown);
    let percent = (census.covered * 100).checked_div(known).unwrap_or(0);
    let rows: Vec<Vec<String>> = census
        .codes
        .iter()
        .take(CODES_SHOWN)
        .map(|code| {
            let places: Vec<_> = code.seen_in.iter().map(|place| place.as_str()).collect();
            vec![
                code.reports.to_string(),
                code.uncovered.to_string(),
                code.system.clone().unwrap_or_else(|| "NO SYSTEM".to_owned()),
                code.code.clone(),
                places.join(", "),
                code.suggested.unwrap_or_default().to_owned(),
                code.display.to_owned(),
            ]
        })
        .collect();
    let mut lines = vec![format!(
        "{} since {}; a profile speaks of {} of {known} ({percent} %).",
        count(census.reports, "report"),
        census.since,
        census.covered
    )];
    if census.unknown > 0 {
        lines.push(format!("Of {} nothing is known any more.", count(census.unknown, "report")));
    }
    lines.push(table(&["reports", "no profile", "system", "code", "seen as", "suggested", "display"], &rows));
    let more = census.codes.len().saturating_sub(CODES_SHOWN);
    if more > 0 {
        lines.push(format!("and {}; --csv FILE writes all", count(more, "further code")));
    }
    if census.left_out > 0 {
        lines.push(format!("{} of further codes were not counted one by one.", count(census.left_out, "sighting")));
    }
    if census.codes.iter().any(|code| code.system.is_none()) {
        lines.push("A code without a system matches no rule: have the EHR send the system with it.".to_owned());
    }
    if let Some(path) = csv {
        lines.push(format!(
            "All codes are in {}: write a word under 'sensitivity' where a code is sensitive, and give the folder as --sets.",
            path.display()
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_days_or_hours() {
        assert_eq!((span("30d"), span("12h")), (Ok(hours(720)), Ok(hours(12))));
        for wrong in ["", "30", "0d", "d", "-1d", "30m", "99999d", "99999999999999999999d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
