//! `chartseal audit …`

use std::io::Write as _;

use clap::Subcommand;

use super::Outcome;
use super::print::{Print, count};
use crate::app::start::Ground;
use crate::desk::verify_audit;
use crate::store;

/// Lines read at once.
const PAGE: i64 = 500;

const NOT_DETECTED: &str = "Not detectable: lines of the last two minutes that were removed before they were anchored, \
     chains that retention has shortened at their beginning, and changes by somebody who also holds the root key.";

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Verify every chain, and the anchors kept beside the keys.
    Verify,
    /// Print every line as JSON, one per line, oldest first.
    Export {
        /// Begin after this number.
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
}

pub(super) async fn run(command: AuditCommand, ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    match command {
        AuditCommand::Verify => verify(ground, print).await,
        AuditCommand::Export { after } => export(ground, after).await,
    }
}

async fn verify(ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    let verified = verify_audit(&ground.store, &ground.vault).await?;
    let value = serde_json::json!({
        "chains": verified.chains, "lines": verified.lines, "anchors": verified.anchors, "faults": verified.faults,
        "not_detected": NOT_DETECTED,
    });
    let summary = [(verified.chains, "chain"), (verified.lines, "line"), (verified.anchors, "anchor")]
        .map(|(number, of)| count(number, of))
        .join(", ");
    if verified.faults.is_empty() {
        print.done(&format!("The audit verifies: {summary}.\n{NOT_DETECTED}"), &value);
        Ok(Outcome::Done)
    } else {
        let faults = verified.faults.join("\n");
        print.done(&format!("The audit does NOT verify ({summary}):\n{faults}\n{NOT_DETECTED}"), &value);
        Ok(Outcome::No)
    }
}

async fn export(ground: &Ground, after: i64) -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    let mut after = after;
    loop {
        let page = ground.store.read(move |conn| store::export_after(conn, after, PAGE)).await?;
        let Some((last, _)) = page.last() else { return Ok(Outcome::Done) };
        after = *last;
        for (n, line) in &page {
            let body: serde_json::Value = serde_json::from_str(&line.body)?;
            let hex = |hash: &[u8; 32]| data_encoding::HEXLOWER.encode(hash);
            let value = serde_json::json!({
                "n": n, "chain": line.chain, "seq": line.seq, "at": line.at.to_rfc3339(), "at_ms": line.at.0,
                "event": body, "body": line.body, "prev": hex(&line.prev), "hash": hex(&line.hash),
            });
            match writeln!(out, "{value}") {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Outcome::Done),
                written => written?,
            }
        }
    }
}
