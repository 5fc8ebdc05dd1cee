//! `chartseal rehearse`: one page on what Chartseal would have done with an EHR's reports. Sends nothing, stores nothing.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::print::{Print, count};
use super::rules_look::{rules, span};
use super::{Outcome, ground};
use crate::app::rules_files;
use crate::app::start::Ground;
use crate::app::steps::Steps;
use crate::base::UtcMillis;
use crate::config::Config;
use crate::policy::RuleSet;
use crate::resolve::{Ended, REPORTS_MAX, Rehearsal, RehearsalAsked, Resolve};
use crate::store;

#[derive(Args)]
pub(super) struct RehearseArgs {
    /// How far back: `90d`, `12h`.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    since: Duration,
    /// This EHR alone. Default: every configured one.
    #[arg(long, value_name = "ID")]
    ehr: Option<String>,
    /// These rules in place of those in force.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// The folder with the code sets of --rules.
    #[arg(long, value_name = "DIR", requires = "rules")]
    sets: Option<PathBuf>,
    /// Reports that are read at most.
    #[arg(long, value_name = "N", default_value_t = REPORTS_MAX)]
    reports_max: usize,
}

/// The version in force, or the file as long as none was ever approved.
async fn rules_in_force(config: &Config, ground: &Ground, now: UtcMillis) -> anyhow::Result<RuleSet> {
    let bundle = ground
        .store
        .read(move |conn| match store::rules_in_force(conn, now)? {
            Some(row) => store::bundle_of(conn, &row.hash),
            None => Ok(None),
        })
        .await?;
    match bundle {
        Some(bundle) => bundle.compile().map_err(|_| anyhow::anyhow!("the rules in force cannot be read")),
        None => rules_files::read_rules(config),
    }
}

pub(super) async fn run(args: RehearseArgs, config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let ground = ground(config).await?;
    let steps = Steps::wire(config, &ground)?;
    let now = ground.clock.now();
    let in_force = match &args.rules {
        Some(path) => rules(path, args.sets.as_deref())?,
        None => rules_in_force(config, &ground, now).await?,
    };
    let resolve = steps.resolve.under(in_force);
    let stop = CancellationToken::new();
    let ctrl_c = stop.clone();
    let listening = tokio::spawn(async move {
        crate::app::terminated().await;
        ctrl_c.cancel();
    });
    let asked = RehearsalAsked { since: now.minus(args.since), reports_max: args.reports_max, stop };
    let found = rehearse(&resolve, args.ehr.as_deref(), &asked).await?;
    listening.abort();
    print.done(&in_words(&found, &asked, now), &found);
    Ok(Outcome::Done)
}

async fn rehearse(resolve: &Resolve, only: Option<&str>, asked: &RehearsalAsked) -> anyhow::Result<Rehearsal> {
    let chosen: Vec<_> =
        resolve.ehrs.iter().filter(|ehr| only.is_none_or(|only| ehr.client.id().as_str() == only)).collect();
    anyhow::ensure!(!chosen.is_empty(), "no such EHR is configured; `chartseal ehrs list` shows them");
    let mut found = Rehearsal::default();
    let is_watched = std::io::stderr().is_terminal();
    let mut told = move |seen: u64| {
        if is_watched {
            let _ = write!(std::io::stderr(), "\r{seen} read");
        }
    };
    for ehr in chosen {
        resolve.rehearse(ehr, asked, &mut found, &mut told).await;
        if found.ended != Ended::Whole {
            break;
        }
    }
    if is_watched {
        let _ = writeln!(std::io::stderr());
    }
    found.settle();
    Ok(found)
}

fn in_words(found: &Rehearsal, asked: &RehearsalAsked, now: UtcMillis) -> String {
    let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
    let mut lines = vec![
        "Nothing was sent, nothing was stored.".to_owned(),
        format!("{} changed since {}, decided as of then:", count(found.seen, "report"), asked.since),
        format!("  sent at once    {}", found.sent),
        format!("  held            {}", sum(&found.held)),
    ];
    by_reason(&mut lines, &found.held);
    lines.push(format!("  for a person    {}", sum(&found.reviewed)));
    by_reason(&mut lines, &found.reviewed);
    lines.push(format!("  unreachable     {}", sum(&found.unreachable)));
    by_reason(&mut lines, &found.unreachable);
    lines.push(format!("  blocked         {}", sum(&found.blocked)));
    by_reason(&mut lines, &found.blocked);
    if !found.for_others.is_empty() {
        lines.push(format!("  for others than the patient, beside: {}", sum(&found.for_others)));
        by_reason(&mut lines, &found.for_others);
    }
    lines.push(format!("  not final       {}", found.not_final));
    lines.push(format!("  not read        {}", sum(&found.unread)));
    by_reason(&mut lines, &found.unread);
    let (most, median) = a_day(&found.messages, asked.since, now);
    lines.push(format!("Messages a day: {most} at most, {median} in the median."));
    if let (Some(oldest), Some(newest)) = (found.oldest, found.newest) {
        lines.push(format!("Issued between {oldest} and {newest}."));
    }
    if !found.unmapped.is_empty() {
        lines.push("Codes that no profile speaks of, the most frequent first:".to_owned());
        lines.extend(found.unmapped.iter().map(|one| format!("  {:>6}  {}", one.reports, one.code)));
    }
    match found.ended {
        Ended::Whole => {}
        Ended::ReportsMax => lines.push(format!(
            "There is more: it ended after {} reports. --reports-max reads more, --since looks less far back.",
            found.seen
        )),
        Ended::Stopped => lines.push("It was stopped: this is what was found so far.".to_owned()),
    }
    lines.join("\n")
}

fn by_reason(lines: &mut Vec<String>, counts: &BTreeMap<String, u64>) {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by(|one, other| other.1.cmp(one.1));
    lines.extend(counts.into_iter().map(|(why, number)| format!("    {number:>6}  {why}")));
}

/// The most and the median of messages a day, days without any among them.
fn a_day(messages: &BTreeMap<String, u64>, since: UtcMillis, now: UtcMillis) -> (u64, u64) {
    const DAY_SECONDS: u64 = 86_400;
    let days = usize::try_from(now.since(since).as_secs().div_ceil(DAY_SECONDS)).unwrap_or(0).max(1);
    let mut counts: Vec<u64> = messages.values().copied().collect();
    counts.resize(days.max(counts.len()), 0);
    counts.sort_unstable();
    (counts.last().copied().unwrap_or(0), counts.get(counts.len() / 2).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hours;

    #[test]
    fn days_without_messages_count_for_the_median() {
        let day = |day: u32| format!("2026-11-{day:02}");
        let messages: BTreeMap<String, u64> = (1..=4).map(|n| (day(n), u64::from(n) * 10)).collect();
        let now = UtcMillis(1_795_212_000_000);
        assert_eq!(a_day(&messages, now.minus(hours(24 * 5)), now), (40, 20));
        assert_eq!(a_day(&messages, now.minus(hours(24 * 90)), now), (40, 0));
        assert_eq!(a_day(&BTreeMap::new(), now, now), (0, 0));
    }
}
