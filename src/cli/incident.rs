//! `chartseal incident …`

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::print::{Print, count, table};
use super::rules_versions::instant;
use super::{Acts, Outcome};
use crate::base::{EhrId, UtcMillis};
use crate::desk::{Desk, IncidentRecord, Person, Preview};
use crate::store::{IncidentCriteria, IncidentRow};

#[derive(Subcommand)]
pub(super) enum IncidentCommand {
    /// See which deliveries something went wrong with, and how many were opened. Changes nothing.
    // Here `--version` is that of the rules.
    #[command(disable_version_flag = true)]
    Preview(Criteria),
    /// Freeze the list of these deliveries; a second person approves it.
    #[command(disable_version_flag = true)]
    Propose {
        #[command(flatten)]
        criteria: Criteria,
        /// What went wrong, for the audit and for the person who approves.
        #[arg(long)]
        why: String,
    },
    /// Approve what another person proposed: all that can be is revoked. Said again, it goes on where it was interrupted.
    Approve { number: i64 },
    /// Show the record of one: who, when, why, and what became of each delivery.
    Show {
        number: i64,
        /// Write the affected into this new file, for its owner alone, as a table for a spreadsheet.
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
    },
    /// List all, newest first.
    List,
}

#[derive(Args)]
pub(super) struct Criteria {
    /// Decided by this rule.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Decided under this version of the rules.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    version: Option<String>,
    #[arg(long)]
    ehr: Option<EhrId>,
    /// Decided at or after, as 2027-01-31T08:00:00Z.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Option<UtcMillis>,
    /// Decided before.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    to: Option<UtcMillis>,
}

/// The beginning of a hash.
fn hash(text: &str) -> Result<String, &'static str> {
    let is_hash = (6..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(text.to_ascii_lowercase()) } else { Err("write at least six digits of the hash of a version") }
}

impl Criteria {
    /// Everything that was ever sent is no incident: a rule or a version has to be named.
    fn chosen(self) -> anyhow::Result<IncidentCriteria> {
        let Self { rule, version, ehr, from, to } = self;
        if rule.is_none() && version.is_none() {
            anyhow::bail!("say what went wrong: --rule ID, --version HASH, or both");
        }
        Ok(IncidentCriteria { rule, version, ehr, from, to })
    }
}

impl IncidentCommand {
    pub(super) const fn acts(&self) -> Acts {
        match self {
            Self::Preview(_) | Self::Show { .. } | Self::List => Acts::Looks,
            Self::Propose { .. } | Self::Approve { .. } => Acts::Changes,
        }
    }
}

pub(super) async fn run(command: IncidentCommand, desk: &Desk, by: &Person, print: Print) -> anyhow::Result<Outcome> {
    match command {
        IncidentCommand::Preview(criteria) => {
            let preview = desk.preview_incident(criteria.chosen()?).await?;
            print.done(&in_words(&preview), &preview);
            Ok(Outcome::Done)
        }
        IncidentCommand::Propose { criteria, why } => {
            let criteria = criteria.chosen()?;
            let (n, deliveries) = desk.propose_incident(by, criteria, &why).await?;
            let text = format!(
                "Incident {n} has {}. Nothing is revoked yet: another person looks at it with `chartseal incident show {n}` \
                 and revokes them with `chartseal incident approve {n}`.",
                deliveries_in_words(deliveries)
            );
            print.done(&text, &serde_json::json!({"incident": n, "deliveries": deliveries}));
            Ok(Outcome::Done)
        }
        IncidentCommand::Approve { number } => {
            let record = desk.approve_incident(by, number).await?;
            print.done(&result(&record), &value_of(&record));
            Ok(Outcome::Done)
        }
        IncidentCommand::Show { number, csv } => show(&desk.incident(number).await?, csv.as_deref(), print),
        IncidentCommand::List => {
            let rows = desk.incidents().await?;
            let values: Vec<_> = rows.iter().map(head_of).collect();
            print.done(&list(&rows), &values);
            Ok(Outcome::Done)
        }
    }
}

fn deliveries_in_words(number: u64) -> String {
    if number == 1 { "1 delivery".to_owned() } else { format!("{number} deliveries") }
}

fn in_words(preview: &Preview) -> String {
    let states: Vec<String> = preview.by_state.iter().map(|(state, number)| format!("{number} {state}")).collect();
    let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    format!(
        "{}: {states}. {} opened at least once. {} can be revoked.",
        deliveries_in_words(preview.deliveries as u64),
        preview.opened,
        preview.revocable
    )
}

fn result(record: &IncidentRecord) -> String {
    let of = |wanted: &str| record.affected.iter().filter(|one| one.outcome == Some(wanted)).count();
    let waiting = record.affected.iter().filter(|one| one.outcome.is_none()).count();
    let waiting = if waiting == 0 { String::new() } else { format!(" {waiting} are not revoked.") };
    format!(
        "Incident {}: {} revoked before anybody opened them, {} revoked that had been opened, {} had ended before.{waiting}",
        record.row.n,
        of("revoked_unopened"),
        of("revoked_opened"),
        of("had_ended")
    )
}

fn standing(row: &IncidentRow) -> String {
    match (&row.approved_by, row.approved_at, row.ended_at) {
        (Some(by), _, Some(at)) => format!("ended {at}, approved by {by}"),
        (Some(by), Some(at), None) => {
            format!(
                "approved by {by} {at}, not ended: a running service goes on with it, or `incident approve {}`",
                row.n
            )
        }
        (Some(_) | None, _, _) => "waits for a second person".to_owned(),
    }
}

fn list(rows: &[IncidentRow]) -> String {
    if rows.is_empty() {
        return "There was no incident.".to_owned();
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let proposed = format!("{} {}", row.proposed_by, row.proposed_at);
            vec![row.n.to_string(), proposed, standing(row), row.why.clone()]
        })
        .collect();
    table(&["incident", "proposed by", "standing", "why"], &cells)
}

fn head_of(row: &IncidentRow) -> serde_json::Value {
    serde_json::json!({
        "incident": row.n, "why": row.why, "proposed_by": row.proposed_by,
        "proposed_at": row.proposed_at.to_rfc3339(), "approved_by": row.approved_by,
        "approved_at": row.approved_at.map(UtcMillis::to_rfc3339), "ended_at": row.ended_at.map(UtcMillis::to_rfc3339),
        "rule": row.criteria.rule, "version": row.criteria.version, "ehr": row.criteria.ehr,
        "from": row.criteria.from.map(UtcMillis::to_rfc3339), "to": row.criteria.to.map(UtcMillis::to_rfc3339),
    })
}

fn value_of(record: &IncidentRecord) -> serde_json::Value {
    let mut value = head_of(&record.row);
    if let (Some(fields), Ok(affected)) = (value.as_object_mut(), serde_json::to_value(&record.affected)) {
        fields.insert("affected".to_owned(), affected);
    }
    value
}

fn show(record: &IncidentRecord, csv: Option<&Path>, print: Print) -> anyhow::Result<Outcome> {
    if let Some(path) = csv {
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(record.to_csv().as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| {
            format!(
                "--csv {} cannot be written: it has to be a new file in a folder that you may write to",
                path.display()
            )
        })?;
    }
    let row = &record.row;
    let rows: Vec<Vec<String>> = record
        .affected
        .iter()
        .map(|one| {
            vec![
                one.delivery.clone(),
                one.resource.clone(),
                one.state.clone(),
                one.opened.to_string(),
                one.outcome.unwrap_or("-").replace('_', " "),
            ]
        })
        .collect();
    let text = format!(
        "incident   {}\nwhy        {}\nproposed   {} {}\nstanding   {}\naffected   {}\n{}",
        row.n,
        row.why,
        row.proposed_by,
        row.proposed_at,
        standing(row),
        count(record.affected.len(), "report"),
        table(&["delivery", "report", "state", "opened", "outcome"], &rows)
    );
    print.done(&text, &value_of(record));
    Ok(Outcome::Done)
}
