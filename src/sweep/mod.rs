//! What time alone brings about.
//!
//! Job: end leases and lives, shred, remove files, destroy keys, keep retention, anchor the audit, look again at
//! the sources of live links, speak again of links that nobody opened.
//! Must stay true: a running claim may finish before an expired link is shredded; files go only after the shredding is
//! committed; a key is destroyed only when no living link needs it; every removal is idempotent.
//! Must not know: HTTP, FHIR, mail.

mod anchor;
mod ending;
mod reminders;
mod retention;

use std::collections::HashMap;
use std::time::Duration;

use crate::base::{Bell, ClinicId, Clock, EhrId, UtcMillis, minutes, seconds};
use crate::blobs::{BlobError, BlobStore};
use crate::keys::{DeathJournal, KeyError, Vault};
use crate::policy::Facts;
use crate::store::{Store, StoreError};

pub use reminders::Reminders;
pub use retention::Retention;

/// How often the slow part (retention, keys, orphans) runs.
const SLOW_EVERY: Duration = minutes(10);
/// How often it is looked which sources are due to be read again: their own pace counts in minutes, and to look means to
/// go through all living deliveries while nobody else can write.
const RECHECK_LOOK_EVERY: Duration = seconds(20);

/// The sweep step. One per process; several processes may sweep at once.
pub struct Sweep {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub blobs: BlobStore,
    pub journal: DeathJournal,
    pub rechecks: Vec<(EhrId, Duration)>,
    pub retention: Retention,
    /// Whose recipients are reminded.
    pub reminders: HashMap<ClinicId, Reminders>,
    /// Whether a report with these facts is, or may be, sensitive by the rules in force.
    pub sensitive: IsSensitive,
    /// Rung when a message is to be sent.
    pub queued: Bell,
    /// Rung when a resource is due to be read again.
    pub due: Bell,
    pub pace: tokio::sync::Mutex<Pace>,
}

pub type IsSensitive = Box<dyn Fn(&Facts, UtcMillis) -> bool + Send + Sync>;

/// When the parts that do not run at each turn ran last.
#[derive(Default)]
pub struct Pace {
    slow: Option<UtcMillis>,
    recheck: Option<UtcMillis>,
    anchor: Option<anchor::Pending>,
}

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a sealed file cannot be removed: {0}")]
    Blob(#[from] BlobError),
    #[error("a key or the journal cannot be used: {0}")]
    Key(#[from] KeyError),
    /// Us.
    #[error("a part of the sweep stopped unexpectedly")]
    Stopped,
}

impl Sweep {
    /// Does what is due. Returns how much was done; the parts that only keep watch count for nothing.
    ///
    /// # Errors
    /// The first [`SweepError`], after every other part was done all the same; what was not done stays due.
    pub async fn turn(&self) -> Result<usize, SweepError> {
        let now = self.clock.now();
        let lapsed = self.lapse(now).await;
        if matches!(lapsed, Err(SweepError::Store(StoreError::Unavailable { .. }))) {
            // Without the database each further part would only wait for it in vain.
            return lapsed;
        }
        let parts = [
            lapsed,
            self.expire(now).await,
            self.remind(now).await,
            self.remove_files(now).await,
            self.recheck(now).await.map(|()| 0),
            self.keep_watch(now).await.map(|()| 0),
        ];
        parts.into_iter().sum()
    }

    async fn keep_watch(&self, now: UtcMillis) -> Result<(), SweepError> {
        let mut pace = self.pace.lock().await;
        let anchored = self.anchor(&mut pace.anchor, now).await;
        if pace.slow.is_some_and(|last| now.since(last) < SLOW_EVERY) {
            return anchored;
        }
        // Also after a fault: what goes through so much is not repeated at every turn.
        pace.slow = Some(now);
        let slow = [self.retain(now).await, self.destroy_keys(now).await, self.remove_orphans(now).await];
        slow.into_iter().collect::<Result<(), _>>()?;
        anchored
    }

    async fn recheck(&self, now: UtcMillis) -> Result<(), SweepError> {
        let mut pace = self.pace.lock().await;
        if pace.recheck.is_some_and(|last| now.since(last) < RECHECK_LOOK_EVERY) {
            return Ok(());
        }
        for (ehr, every) in self.rechecks.clone() {
            let due =
                self.store.write(move |tx| crate::store::due_for_recheck(tx, &ehr, now.minus(every), now)).await?;
            if due > 0 {
                self.due.ring();
            }
        }
        pace.recheck = Some(now);
        Ok(())
    }
}
