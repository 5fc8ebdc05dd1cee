//! `chartseal keys …`

use clap::Subcommand;

use super::Outcome;
use super::print::{Print, table};
use crate::app::start::Ground;
use crate::store;

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// List the keys that exist and those that were destroyed, by fingerprint.
    List,
}

pub(super) async fn run(command: &KeysCommand, ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    match command {
        KeysCommand::List => list(ground, print).await,
    }
}

async fn list(ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    let held = ground.vault.ring().list()?;
    let marks = ground.store.read(store::key_marks).await?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for mark in &marks {
        let here = held.iter().find(|info| info.kind.as_str() == mark.kind && info.name == mark.name);
        let state = match (here, mark.destroyed_at) {
            (Some(info), None) if info.fingerprint.to_string() == mark.fingerprint => "held".to_owned(),
            (Some(_), _) => "ANOTHER KEY than the one the database knows".to_owned(),
            (None, Some(at)) => format!("destroyed {at}"),
            (None, None) if mark.kind == "root" => "held".to_owned(),
            (None, None) => "MISSING: what it sealed cannot be opened".to_owned(),
        };
        values.push(serde_json::json!({
            "kind": mark.kind, "name": mark.name, "fingerprint": mark.fingerprint, "made_at": mark.made_at.to_rfc3339(),
            "state": state,
        }));
        rows.push(vec![
            mark.kind.clone(),
            mark.name.clone(),
            mark.fingerprint.clone(),
            mark.made_at.to_rfc3339(),
            state,
        ]);
    }
    print.done(&table(&["kind", "name", "fingerprint", "made at", "state"], &rows), &values);
    Ok(Outcome::Done)
}
