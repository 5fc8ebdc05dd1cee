//! `chartseal rules propose …` and what else changes which rules are in force.

use std::path::PathBuf;

use clap::Subcommand;

use super::print::{Print, count, table};
use super::{Acts, Outcome};
use crate::app::rules_files;
use crate::base::UtcMillis;
use crate::config::Config;
use crate::desk::{Desk, Person, Urgency, VersionEntry, VersionText};
use crate::store::{ActivationRow, Bundle, NotedVerdict, VersionState};

/// Digits of a hash that a list shows; as many are enough to name a version.
const HASH_SHOWN: usize = 12;

#[derive(Subcommand)]
pub(super) enum VersionsCommand {
    /// Propose a rules file: another person approves it before it is in force.
    Propose {
        file: PathBuf,
        /// What it changes and why, for the person who approves it.
        #[arg(long)]
        note: Option<String>,
        /// In force at once without a second person; only if nothing becomes looser.
        #[arg(long)]
        emergency: bool,
    },
    /// List the versions, newest first, and which one is in force.
    Versions,
    /// Show one version: its text, and what speaks against it.
    Show { hash: String },
    /// Approve what another person proposed.
    Approve {
        hash: String,
        /// From when on it is in force, as 2027-01-31T08:00:00Z. Default: now.
        #[arg(long, value_name = "INSTANT", value_parser = instant)]
        effective: Option<UtcMillis>,
        /// How many decisions become looser, as you were shown.
        #[arg(long, value_name = "N", default_value_t = 0)]
        accept_looser: usize,
    },
    /// Take back a proposal, or an approved version that is not in force yet.
    Withdraw { hash: String },
    /// Go back to a version that was in force before; without HASH to the one before the present one.
    Rollback { hash: Option<String> },
    /// List what has not left and would under easier terms by the rules in force; `deliveries redecide` lets one.
    Looser,
    /// List live links that would not be out by the rules in force; a person may revoke them.
    Stricter,
}

/// An instant as people write it.
pub(super) fn instant(text: &str) -> Result<UtcMillis, &'static str> {
    UtcMillis::parse_rfc3339(text).ok_or("write an instant with its zone, as 2027-01-31T08:00:00Z")
}

impl VersionsCommand {
    pub(super) const fn acts(&self) -> Acts {
        match self {
            Self::Versions | Self::Show { .. } | Self::Looser | Self::Stricter => Acts::Looks,
            Self::Propose { .. } | Self::Approve { .. } | Self::Withdraw { .. } | Self::Rollback { .. } => {
                Acts::Changes
            }
        }
    }
}

pub(super) async fn run(
    command: VersionsCommand,
    config: &Config,
    desk: &Desk,
    by: &Person,
    print: Print,
) -> anyhow::Result<Outcome> {
    // In force as long as no version was approved.
    let of_file = || rules_files::read_bundle(&config.policy_file).ok();
    match command {
        VersionsCommand::Propose { file, note, emergency } => {
            let bundle = rules_files::read_bundle(&file)?;
            let urgency = if emergency { Urgency::Emergency } else { Urgency::Usual };
            let hash = desk.propose_rules(by, bundle, note, urgency, of_file()).await?;
            let text = match urgency {
                Urgency::Usual => format!(
                    "Proposed as {hash}. Another person looks at it with `chartseal rules show {0}` and approves it with \
                     `chartseal rules approve {0}`.",
                    short(&hash)
                ),
                Urgency::Emergency => format!("{hash} is in force now, by your word alone; the audit says so."),
            };
            print.done(&text, &serde_json::json!({"hash": hash, "emergency": emergency}));
            Ok(Outcome::Done)
        }
        VersionsCommand::Versions => list(desk, of_file(), print).await,
        VersionsCommand::Show { hash } => Ok(show(&desk.rules_version(&hash, of_file()).await?, print)),
        VersionsCommand::Approve { hash, effective, accept_looser } => {
            let done = desk.approve_rules(by, &hash, effective, accept_looser, of_file()).await?;
            let at = done.effective_at.to_rfc3339();
            let text = format!("{} is approved and in force from {at} on, on every replica.", done.hash);
            print.done(&text, &serde_json::json!({"hash": done.hash, "effective_at": at}));
            Ok(Outcome::Done)
        }
        VersionsCommand::Withdraw { hash } => {
            let hash = desk.withdraw_rules(by, &hash).await?;
            print.done(&format!("{hash} is withdrawn."), &serde_json::json!({"withdrawn": hash}));
            Ok(Outcome::Done)
        }
        VersionsCommand::Rollback { hash } => roll_back(desk, by, hash.as_deref(), print).await,
        VersionsCommand::Looser => otherwise(desk, NotedVerdict::Looser, print).await,
        VersionsCommand::Stricter => otherwise(desk, NotedVerdict::Stricter, print).await,
    }
}

async fn roll_back(desk: &Desk, by: &Person, hash: Option<&str>, print: Print) -> anyhow::Result<Outcome> {
    let done = desk.roll_back_rules(by, hash).await?;
    let mut text = format!("{} is in force again, on every replica.", done.hash);
    if !done.loosenings.is_empty() {
        let looser = count(done.loosenings.len(), "decision");
        text = format!("{text}\nIt is looser than what was in force, in {looser}:\n  {}", done.loosenings.join("\n  "));
    }
    for row in &done.coming {
        let (hash, at) = (short(&row.hash), row.effective_at);
        text =
            format!("{text}\n{hash} still comes into force at {at}: `chartseal rules withdraw {hash}` if it must not.");
    }
    let coming: Vec<_> = done.coming.iter().map(activation).collect();
    print.done(&text, &serde_json::json!({"hash": done.hash, "looser": done.loosenings, "coming": coming}));
    Ok(Outcome::Done)
}

async fn list(desk: &Desk, of_file: Option<Bundle>, print: Print) -> anyhow::Result<Outcome> {
    let entries = desk.rules_versions().await?;
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let row = &entry.row;
            vec![
                short(&row.hash).to_owned(),
                format!("{} {}", row.rules_id, row.version),
                standing(entry),
                row.author.to_string(),
                row.approver.as_ref().map_or("-".to_owned(), ToString::to_string),
                row.note.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let table = table(&["hash", "rules", "standing", "author", "approver", "note"], &rows);
    let is_any_in_force = entries.iter().any(|entry| entry.is_in_force);
    let file = of_file.and_then(|bundle| bundle.compile().ok()).filter(|_| !is_any_in_force);
    let text = match (&file, rows.is_empty()) {
        (Some(rules), true) => {
            format!("The rules file is in force: {}. No version was ever proposed.", rules.rules_hash_hex())
        }
        (Some(rules), false) => format!("The rules file is in force: {}.\n{table}", rules.rules_hash_hex()),
        (None, true) => "No version was ever proposed.".to_owned(),
        (None, false) => table,
    };
    let values: Vec<_> = entries.iter().map(value_of).collect();
    print.done(&text, &values);
    Ok(Outcome::Done)
}

async fn otherwise(desk: &Desk, verdict: NotedVerdict, print: Print) -> anyhow::Result<Outcome> {
    let found = desk.decided_otherwise(verdict).await?;
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let brief = &one.brief;
            let report = brief.resource.clone().unwrap_or_default();
            vec![brief.id.clone(), brief.state.to_owned(), report, one.decided.clone(), one.would_be.clone()]
        })
        .collect();
    let text = match (rows.is_empty(), verdict) {
        (true, NotedVerdict::Looser) => "The rules in force would let nothing leave under easier terms.".to_owned(),
        (true, NotedVerdict::Stricter) => "The rules in force would let out every link that is live.".to_owned(),
        (false, NotedVerdict::Looser | NotedVerdict::Stricter) => {
            table(&["delivery", "state", "report", "decided", "would be"], &rows)
        }
    };
    print.done(&text, &found);
    Ok(Outcome::Done)
}

fn standing(entry: &VersionEntry) -> String {
    let last = entry.activations.last();
    match (entry.row.state, entry.is_in_force, last) {
        (_, true, Some(last)) => format!("IN FORCE since {}", last.effective_at),
        (VersionState::Approved, _, Some(last)) => format!("approved for {}", last.effective_at),
        (state, _, _) => state.as_str().to_owned(),
    }
}

fn value_of(entry: &VersionEntry) -> serde_json::Value {
    let row = &entry.row;
    serde_json::json!({
        "hash": row.hash, "rules": row.rules_id, "version": row.version, "state": row.state.as_str(),
        "in_force": entry.is_in_force, "author": row.author, "proposed_at": row.proposed_at.to_rfc3339(),
        "note": row.note, "approver": row.approver, "approved_at": row.approved_at.map(UtcMillis::to_rfc3339),
        "activations": entry.activations.iter().map(activation).collect::<Vec<_>>(),
    })
}

fn activation(row: &ActivationRow) -> serde_json::Value {
    serde_json::json!({
        "hash": row.hash, "effective_at": row.effective_at.to_rfc3339(), "made_at": row.made_at.to_rfc3339(),
        "made_by": row.made_by, "kind": row.kind.as_str(),
    })
}

fn show(version: &VersionText, print: Print) -> Outcome {
    let (row, judgement) = (&version.entry.row, &version.judgement);
    let note = row.note.as_deref().map(|note| format!("note       {note}\n")).unwrap_or_default();
    let mut lines = format!(
        "version    {}\nrules      {} {}\nstanding   {}\nauthor     {} at {}\n{note}",
        row.hash,
        row.rules_id,
        row.version,
        standing(&version.entry),
        row.author,
        row.proposed_at
    );
    for (title, found) in [
        ("faults", &judgement.lint_errors),
        ("tests that fail", &judgement.failing_tests),
        ("looser than what is in force", &judgement.loosenings),
    ] {
        if !found.is_empty() {
            lines = format!("{lines}{title}: {}\n  {}\n", found.len(), found.join("\n  "));
        }
    }
    let mut value = value_of(&version.entry);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("lint_errors".to_owned(), judgement.lint_errors.clone().into());
        fields.insert("failing_tests".to_owned(), judgement.failing_tests.clone().into());
        fields.insert("looser".to_owned(), judgement.loosenings.clone().into());
        fields.insert("text".to_owned(), version.bundle.rules.clone().into());
    }
    print.done(&format!("{lines}\n{}", version.bundle.rules.trim_end()), &value);
    Outcome::Done
}

fn short(hash: &str) -> &str {
    hash.get(..HASH_SHOWN).unwrap_or(hash)
}
