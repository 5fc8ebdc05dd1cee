//! `chartseal pause` and `chartseal resume`.

use super::Outcome;
use super::print::Print;
use crate::desk::Desk;
use crate::store::Pause;

pub(super) async fn pause(desk: &Desk, why: &str, print: Print) -> anyhow::Result<Outcome> {
    let (told, before) = match desk.pause(why).await? {
        Pause::Running => (String::new(), serde_json::Value::Null),
        Pause::Paused { why, since, by } => (
            format!("\n{by} had paused them since {since} ({why}); the audit keeps that."),
            serde_json::json!({"why": why, "since": since.to_rfc3339(), "by": by}),
        ),
    };
    let text =
        "All messages are paused: none leaves until `chartseal resume`, on any replica. Links already sent still open.";
    print.done(&format!("{text}{told}"), &serde_json::json!({"paused": why, "before": before}));
    Ok(Outcome::Done)
}

pub(super) async fn resume(desk: &Desk, print: Print) -> anyhow::Result<Outcome> {
    match desk.resume().await? {
        Pause::Running => {
            print.done("Nothing was paused.", &serde_json::json!({"resumed": false}));
            Ok(Outcome::No)
        }
        Pause::Paused { why, since, by } => {
            let text = format!("The pause of {by} since {since} ({why}) is over.");
            print.done(&text, &serde_json::json!({"resumed": true, "was": why, "since": since.to_rfc3339(), "by": by}));
            Ok(Outcome::Done)
        }
    }
}
