//! `chartseal audit …`

use std::io::Write as _;

use clap::Subcommand;

use super::Outcome;
use super::print::Print;
use crate::app::start::Ground;
use crate::audit::{anchor_digest, verify_chain};
use crate::keys::read_anchors;
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

/// What a verification found.
#[derive(Default)]
pub struct Verified {
    pub chains: usize,
    pub lines: usize,
    pub anchors: usize,
    /// Empty when everything verifies.
    pub faults: Vec<String>,
}

/// Verifies chains and anchors.
///
/// # Errors
/// When they cannot be read.
pub async fn verify_all(ground: &Ground) -> anyhow::Result<Verified> {
    let mut verified = Verified::default();
    for chain in ground.store.read(store::chain_names).await? {
        let lines = ground.store.read(move |conn| store::chain_lines(conn, &chain)).await?;
        verified.chains += 1;
        verified.lines += lines.len();
        if let Err(broken) = verify_chain(&lines) {
            verified.faults.push(broken.to_string());
        }
    }
    let oldest = ground.store.read(|conn| store::export_after(conn, 0, 1)).await?.first().map_or(i64::MAX, |(n, _)| *n);
    for record in read_anchors(&ground.vault.ring().journal_dir(), ground.vault.audit_key())? {
        let anchor = record.anchor;
        if anchor.from_n < oldest {
            continue;
        }
        let lines = ground.store.read(move |conn| store::lines_between(conn, anchor.from_n - 1, anchor.to_n)).await?;
        verified.anchors += 1;
        if anchor_digest(lines.iter().map(|(_, hash)| hash)) != anchor.digest {
            verified
                .faults
                .push(format!("lines {} to {} are not the ones that were anchored", anchor.from_n, anchor.to_n));
        }
    }
    Ok(verified)
}

async fn verify(ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    let verified = verify_all(ground).await?;
    let value = serde_json::json!({
        "chains": verified.chains, "lines": verified.lines, "anchors": verified.anchors, "faults": verified.faults,
        "not_detected": NOT_DETECTED,
    });
    let summary = format!("{} chains, {} lines, {} anchors", verified.chains, verified.lines, verified.anchors);
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
            writeln!(out, "{value}")?;
        }
    }
}
