//! Anchoring the audit outside the database, once a minute.
//!
//! A line's store-wide number is given before its transaction commits, so lines may appear behind ones already
//! seen. A mark is therefore set first, and anchored only when every transaction of that time has ended.

use std::time::Duration;

use super::{Sweep, SweepError};
use crate::audit::anchor_digest;
use crate::base::{UtcMillis, minutes};
use crate::keys::{Anchor, Mark, read_anchors};
use crate::store;

/// Longer than any transaction is allowed to take.
const SETTLE: Duration = minutes(1);

/// A number that is anchored when it has settled.
pub struct Pending {
    anchored: i64,
    next: i64,
    seen_at: UtcMillis,
}

impl Sweep {
    pub(super) async fn anchor(&self, pending: &mut Option<Pending>, now: UtcMillis) -> Result<(), SweepError> {
        let Some(waiting) = pending else {
            let highest = self.store.read(store::highest_n).await?;
            let anchored = self.last_anchored().await?;
            *pending = Some(Pending { anchored, next: highest, seen_at: now });
            return Ok(());
        };
        if now.since(waiting.seen_at) < SETTLE {
            return Ok(());
        }
        // Asked for once a minute only: on PostgreSQL it waits for all who are writing a line, and they for it.
        let highest = self.store.read(store::highest_n).await?;
        let (from, until) = (waiting.anchored, waiting.next);
        if until > from {
            let lines = self.store.read(move |conn| store::lines_between(conn, from, until)).await?;
            let digest = anchor_digest(lines.iter().map(|(_, hash)| hash));
            let anchor = Anchor { from_n: from + 1, to_n: until, at: now, digest };
            let generation = self.store.read(store::generation).await?.unwrap_or(0);
            let journal = self.journal.clone();
            let mark = Mark { generation: u64::try_from(generation).unwrap_or(0), audit_n: until, at: now };
            tokio::task::spawn_blocking(move || {
                journal.append_anchor(&anchor)?;
                journal.raise_mark(mark)
            })
            .await
            .map_err(|_| SweepError::Stopped)??;
        }
        *waiting = Pending { anchored: until.max(from), next: highest, seen_at: now };
        Ok(())
    }

    async fn last_anchored(&self) -> Result<i64, SweepError> {
        let (dir, key) = (self.vault.ring().journal_dir(), self.vault.audit_key().clone());
        let anchors =
            tokio::task::spawn_blocking(move || read_anchors(&dir, &key)).await.map_err(|_| SweepError::Stopped)??;
        Ok(anchors.iter().map(|record| record.anchor.to_n).max().unwrap_or(0))
    }
}
