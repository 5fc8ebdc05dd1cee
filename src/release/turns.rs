//! Whose turn it is: each EHR has workers of its own, and what asks no EHR has one beside them.
//!
//! Must stay true: the worker of what asks no EHR never waits for one; nobody leases to find that nothing is due.

use futures_util::future::join_all;

use super::{BATCH, Release, ReleaseError};
use crate::audit::Actor;
use crate::base::UtcMillis;
use crate::record::LinkEvent;
use crate::store::{self, Delivery, Mode};

/// Holds ended in one turn.
const HOLDS_PER_TURN: i64 = 16;

impl Release {
    /// What asks no EHR, and one turn of each EHR. Returns how much was done.
    ///
    /// # Errors
    /// The first [`ReleaseError`]; what was not done stays due.
    pub async fn turn(&self) -> Result<usize, ReleaseError> {
        let alone = self.turn_without_ehr().await?;
        let turns = join_all(self.ehrs.iter().map(|ehr| self.turn_of(ehr.client.id()))).await;
        turns.into_iter().try_fold(alone, |sum, turn| Ok(sum + turn?))
    }

    /// Calls the workers of EHRs of which something is due, takes up what is due of those that are no longer configured, and
    /// ends holds whose time has come. Returns how much was done.
    ///
    /// # Errors
    /// [`ReleaseError`]; what was not done stays due.
    pub async fn turn_without_ehr(&self) -> Result<usize, ReleaseError> {
        if self.mode == Mode::Shadow {
            return Ok(0);
        }
        let now = self.clock.now();
        let look_at = i64::try_from(self.turns_at_once).unwrap_or(i64::MAX).saturating_mul(BATCH);
        let look = self
            .store
            .read(move |conn| Ok((store::is_hold_over(conn, now)?, store::due_deliveries(conn, now, look_at)?)));
        let (is_hold_over, due) = look.await?;
        // Called first: whatever goes wrong with the rest keeps nobody waiting.
        let mut strangers = Vec::new();
        for due in due {
            match self.ehrs.iter().find(|ehr| *ehr.client.id() == due.ehr) {
                Some(ehr) => ehr.called.ring_for(due.count),
                None => strangers.push(due.ehr),
            }
        }
        let mut done = if is_hold_over { self.end_holds(now).await? } else { 0 };
        for ehr in strangers {
            done += self.turn_of(&ehr).await?;
        }
        Ok(done)
    }

    async fn end_holds(&self, now: UtcMillis) -> Result<usize, ReleaseError> {
        let until = now.plus(store::LEASE);
        let over = self.store.write(move |tx| store::lease_ended_holds(tx, now, until, HOLDS_PER_TURN)).await?;
        let count = over.len();
        unless_passing(join_all(over.into_iter().map(|delivery| self.end_hold(delivery))).await)?;
        Ok(count)
    }

    async fn end_hold(&self, delivery: Delivery) -> Result<(), ReleaseError> {
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                let step = delivery.state.clone().step(LinkEvent::HoldEnded, now)?;
                store::advance(tx, &delivery, &step, Actor::System, now)
            })
            .await?;
        Ok(())
    }
}

/// The first error that waiting does not mend; the others are told.
pub(super) fn unless_passing(outcomes: Vec<Result<(), ReleaseError>>) -> Result<(), ReleaseError> {
    for outcome in outcomes {
        match outcome {
            Ok(()) => {}
            Err(ReleaseError::Store(error)) if error.is_passing() => {
                tracing::warn!(%error, "a release could not be committed; it is tried again");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
