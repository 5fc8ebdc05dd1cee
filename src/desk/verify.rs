//! Verifying the audit: every chain, and the anchors kept beside the keys.

use super::DeskError;
use crate::audit::{anchor_digest, verify_chain};
use crate::keys::{Vault, read_anchors};
use crate::store::{self, Store};

/// What a verification found.
#[derive(Clone, Debug, Default)]
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
pub async fn verify_audit(store: &Store, vault: &Vault) -> Result<Verified, DeskError> {
    let mut verified = Verified::default();
    for chain in store.read(store::chain_names).await? {
        let lines = store.read(move |conn| store::chain_lines(conn, &chain)).await?;
        verified.chains += 1;
        verified.lines += lines.len();
        if let Err(broken) = verify_chain(&lines) {
            verified.faults.push(broken.to_string());
        }
    }
    let oldest = store.read(|conn| store::export_after(conn, 0, 1)).await?.first().map_or(i64::MAX, |(n, _)| *n);
    let (dir, key) = (vault.ring().journal_dir(), vault.audit_key().clone());
    let anchors =
        tokio::task::spawn_blocking(move || read_anchors(&dir, &key)).await.map_err(|_| DeskError::Stopped)??;
    for record in anchors {
        let anchor = record.anchor;
        // Retention removed what this one covers.
        if anchor.from_n < oldest {
            continue;
        }
        let lines = store.read(move |conn| store::lines_between(conn, anchor.from_n - 1, anchor.to_n)).await?;
        verified.anchors += 1;
        if anchor_digest(lines.iter().map(|(_, hash)| hash)) != anchor.digest {
            let fault = format!("lines {} to {} are not the ones that were anchored", anchor.from_n, anchor.to_n);
            verified.faults.push(fault);
        }
    }
    Ok(verified)
}
