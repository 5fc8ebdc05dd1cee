//! Lines and the hashes that link them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Actor, AuditEvent, Entry};
use crate::base::UtcMillis;

/// SHA-256.
pub type Hash = [u8; 32];

/// What stands before the first line of a chain.
pub const GENESIS: Hash = [0; 32];

/// What is stored and exported of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub chain: String,
    /// From 1, without gaps.
    pub seq: i64,
    pub at: UtcMillis,
    /// The canonical JSON that the hash covers.
    pub body: String,
    pub prev: Hash,
    pub hash: Hash,
}

#[derive(Serialize, Deserialize)]
struct Body {
    actor: Actor,
    clinic: Option<String>,
    #[serde(flatten)]
    event: AuditEvent,
}

/// Links `entry` as number `seq` behind a line with hash `prev`.
///
/// # Errors
/// When the event cannot be written as JSON (a fault of ours).
pub fn link(entry: &Entry, seq: i64, prev: Hash) -> Result<Line, serde_json::Error> {
    let body = Body {
        actor: entry.actor.clone(),
        clinic: entry.clinic.as_ref().map(ToString::to_string),
        event: entry.event.clone(),
    };
    let body = serde_json::to_string(&body)?;
    let chain = entry.chain.to_string();
    let hash = hash_of(&chain, seq, entry.at, &body, &prev);
    Ok(Line { chain, seq, at: entry.at, body, prev, hash })
}

/// Where and how a chain fails to verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("line {seq} of chain {chain} was changed after it was written")]
    Changed { chain: String, seq: i64 },
    #[error("chain {chain} jumps to line {seq}: lines before it were removed or inserted")]
    Gap { chain: String, seq: i64 },
}

/// Verifies one chain in order, from its first kept line. A chain whose oldest lines were removed by
/// retention begins with the hash that its first kept line names.
///
/// # Errors
/// The first fault found.
pub fn verify_chain<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Result<(), Broken> {
    let mut before: Option<(i64, Hash)> = None;
    for line in lines {
        if let Some((seq, hash)) = before
            && (line.seq != seq + 1 || line.prev != hash)
        {
            return Err(Broken::Gap { chain: line.chain.clone(), seq: line.seq });
        }
        if before.is_none() && line.seq == 1 && line.prev != GENESIS {
            return Err(Broken::Gap { chain: line.chain.clone(), seq: line.seq });
        }
        if hash_of(&line.chain, line.seq, line.at, &line.body, &line.prev) != line.hash {
            return Err(Broken::Changed { chain: line.chain.clone(), seq: line.seq });
        }
        before = Some((line.seq, line.hash));
    }
    Ok(())
}

/// One digest over the hashes of many lines, in the order of their store-wide numbers: what is anchored
/// outside the database.
pub fn anchor_digest<'a>(hashes: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut digest = Sha256::new();
    for hash in hashes {
        digest.update(hash);
    }
    digest.finalize().into()
}

/// Every part is length-prefixed, so no two lines share an encoding.
fn hash_of(chain: &str, seq: i64, at: UtcMillis, body: &str, prev: &Hash) -> Hash {
    let mut digest = Sha256::new();
    digest.update(b"chartseal/1/audit");
    digest.update(prev);
    for part in [chain.as_bytes(), &seq.to_be_bytes(), &at.0.to_be_bytes(), body.as_bytes()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Chain;

    fn chain_of(count: i64) -> Vec<Line> {
        let mut prev = GENESIS;
        (1..=count)
            .map(|seq| {
                let entry = Entry::by_system(Chain::Installation, UtcMillis(seq), None, AuditEvent::Resumed);
                let line = link(&entry, seq, prev).unwrap();
                prev = line.hash;
                line
            })
            .collect()
    }

    #[test]
    fn a_whole_chain_verifies_and_so_does_one_that_retention_shortened() {
        let lines = chain_of(5);
        assert_eq!(verify_chain(&lines), Ok(()));
        assert_eq!(verify_chain(&lines[2..]), Ok(()));
    }

    #[test]
    fn a_changed_a_removed_and_a_swapped_line_are_found() {
        let mut changed = chain_of(5);
        changed[2].body = changed[2].body.replace("resumed", "paused");
        assert_eq!(verify_chain(&changed), Err(Broken::Changed { chain: "installation".into(), seq: 3 }));

        let mut removed = chain_of(5);
        removed.remove(2);
        assert_eq!(verify_chain(&removed), Err(Broken::Gap { chain: "installation".into(), seq: 4 }));

        let mut swapped = chain_of(5);
        swapped.swap(1, 2);
        assert!(verify_chain(&swapped).is_err());
    }
}
