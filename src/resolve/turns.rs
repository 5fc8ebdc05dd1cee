//! Whose turn it is: each EHR has workers of its own, and what asks no EHR has one beside them.
//!
//! Must stay true: the worker of what asks no EHR never waits for one; nobody leases to find that nothing is due.

use futures_util::future::join_all;

use super::{READINGS_PER_TURN, Resolve, ResolveError};
use crate::base::{EhrId, UtcMillis};
use crate::store::{self, SourceRow};

impl Resolve {
    /// What asks no EHR, and one turn of each EHR. Returns how much was done.
    ///
    /// # Errors
    /// The first [`ResolveError`]; what was not concluded stays due.
    pub async fn turn(&self) -> Result<usize, ResolveError> {
        let alone = self.turn_without_ehr().await?;
        let turns = join_all(self.ehrs.iter().map(|ehr| self.turn_of(ehr.client.id()))).await;
        turns.into_iter().try_fold(alone, |sum, turn| Ok(sum + turn?))
    }

    /// Calls the workers of EHRs of which something is due, takes up what is due of those that are no longer configured, and
    /// decides again under other rules. Returns how much was done.
    ///
    /// # Errors
    /// [`ResolveError`]; what was not concluded stays due.
    pub async fn turn_without_ehr(&self) -> Result<usize, ResolveError> {
        let now = self.clock.now();
        self.rules.keep_up(&self.store, now).await?;
        let look_at = as_count(READINGS_PER_TURN.saturating_mul(self.turns_at_once));
        // Called first: whatever goes wrong with the rest keeps nobody waiting.
        let mut strangers = Vec::new();
        for due in self.store.read(move |conn| store::due_sources(conn, now, look_at)).await? {
            match self.ehrs.iter().find(|ehr| *ehr.client.id() == due.ehr) {
                Some(ehr) => {
                    ehr.alarmed.ring();
                    ehr.called.ring_for(due.count.div_ceil(READINGS_PER_TURN));
                }
                None => strangers.push(due.ehr),
            }
        }
        let again = self.next_again(now).await?;
        if again > 0 {
            self.decided.ring();
        }
        let mut done = again;
        for ehr in strangers {
            done += self.turn_of(&ehr).await?;
        }
        Ok(done)
    }

    /// Reads what is due of `ehr`. Returns how much was done.
    ///
    /// # Errors
    /// [`ResolveError`]; what was not concluded stays due.
    pub async fn turn_of(&self, ehr: &EhrId) -> Result<usize, ResolveError> {
        let (now, ehr) = (self.clock.now(), ehr.clone());
        self.rules.keep_up(&self.store, now).await?;
        let (until, count) = (now.plus(store::LEASE), as_count(READINGS_PER_TURN));
        let due = self.store.write(move |tx| store::lease_sources(tx, &ehr, now, until, count)).await?;
        self.read_all(due).await
    }

    /// Reads of what is due of `ehr` only that of which a link is out. Returns how much was done.
    ///
    /// # Errors
    /// [`ResolveError`]; what was not concluded stays due.
    pub async fn alarm_turn_of(&self, ehr: &EhrId) -> Result<usize, ResolveError> {
        let (now, looked_at, ehr) = (self.clock.now(), ehr.clone(), ehr.clone());
        if !self.store.read(move |conn| store::is_anything_urgent(conn, &looked_at, now)).await? {
            return Ok(0);
        }
        self.rules.keep_up(&self.store, now).await?;
        let (until, count) = (now.plus(store::LEASE), as_count(READINGS_PER_TURN));
        let due = self.store.write(move |tx| store::lease_urgent_sources(tx, &ehr, now, until, count)).await?;
        self.read_all(due).await
    }

    async fn read_all(&self, due: Vec<SourceRow>) -> Result<usize, ResolveError> {
        let count = due.len();
        for outcome in join_all(due.into_iter().map(|source| self.resolve(source))).await {
            match outcome {
                Ok(()) => {}
                Err(ResolveError::Store(error)) if error.is_passing() => {
                    tracing::warn!(%error, "a reading could not be concluded; its lease ends and it is tried again");
                }
                Err(error) => return Err(error),
            }
        }
        if count > 0 {
            self.decided.ring();
        }
        Ok(count)
    }

    /// What meets another step at this moment is decided again at the next turn.
    async fn next_again(&self, now: UtcMillis) -> Result<usize, ResolveError> {
        match self.decide_again(now).await {
            Err(ResolveError::Store(error)) if error.is_passing() => {
                tracing::warn!(%error, "deliveries could not be decided again now; it is tried again");
                Ok(0)
            }
            other => other,
        }
    }
}

fn as_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
