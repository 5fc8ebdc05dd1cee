//! A worker's hold on a row, for as long as its work outside takes.
//!
//! Job: renew the lease while the work goes on; give back what a process held that died.
//! Must stay true: a lease is short, so that what a dead worker held is soon taken up by another; one that was lost all the
//! same ends the work, and its commit would be refused. The statement that renews carries its guard: the lease as it
//! was held.
//! Must not know: what the work is.

use std::time::Duration;

use diesel::prelude::*;

use super::conn::Tx;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::{delivery, event, look, notice, past_search, poll, source, subscription, topic};
use super::write_backs::schema::write_back;
use crate::base::{UtcMillis, minutes, seconds};

/// So long after a worker died another takes what it held.
pub const LEASE: Duration = minutes(2);
/// Leaves room for a database that is away for a while.
pub const RENEW_EVERY: Duration = seconds(20);

/// Whether a lease is still its holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed<L> {
    /// As it is held from now on.
    Kept(L),
    /// It ran out and somebody else took the row, or the row has moved on.
    Lost,
}

/// Does `work` while `renew`, called after every `pause`, keeps its lease. Returns what came of it and the lease as held
/// at the end; `None` when the lease went to somebody else meanwhile.
///
/// # Errors
/// Those of `work`, and of `renew` when waiting does not mend them.
pub async fn while_kept<T, E, L, R>(
    work: impl Future<Output = Result<T, E>>,
    held: L,
    pause: Duration,
    mut renew: impl FnMut(L) -> R,
) -> Result<Option<(T, L)>, E>
where
    E: From<StoreError>,
    L: Clone,
    R: Future<Output = Result<Renewed<L>, StoreError>>,
{
    let mut work = std::pin::pin!(work);
    let mut held = held;
    loop {
        tokio::select! {
            done = &mut work => return Ok(Some((done?, held))),
            () = tokio::time::sleep(pause) => {}
        }
        match renew(held.clone()).await {
            Ok(Renewed::Kept(lease)) => held = lease,
            Ok(Renewed::Lost) => return Ok(None),
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "a lease could not be renewed; it is tried again");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends every lease of this store's holder, and returns how many there were: for a replica that starts, while nobody else
/// bears its name. What a former process of that name died over is then taken up at once, not when [`LEASE`] ends.
/// Whether a message that was under way has left is unknown: its lease has run out, and it is judged as any such.
///
/// # Errors
/// [`StoreError`].
pub fn give_back(tx: &mut Tx, now: UtcMillis) -> Result<usize, StoreError> {
    let holder = tx.holder();
    let conn = tx.conn();
    // The first condition of each is indexed, and true of all that is leased.
    macro_rules! free {
        ($table:ident, $due:expr) => {
            diesel::update(
                $table::table
                    .filter($due)
                    .filter($table::lease_holder.eq(holder))
                    .filter($table::lease_until.gt(now.0)),
            )
        };
    }
    let none = None::<i64>;
    Ok(free!(event, event::due_at.le(now.0)).set(event::lease_until.eq(none)).prepared().execute(conn)?
        + free!(source, source::due_at.is_not_null()).set(source::lease_until.eq(none)).prepared().execute(conn)?
        + free!(delivery, delivery::due_at.is_not_null())
            .set(delivery::lease_until.eq(none))
            .prepared()
            .execute(conn)?
        + free!(notice, notice::state.eq("leased")).set(notice::lease_until.eq(now.0)).prepared().execute(conn)?
        + free!(poll, poll::next_at.is_not_null())
            .set((poll::lease_until.eq(none), poll::next_at.eq(now.0)))
            .prepared()
            .execute(conn)?
        + free!(subscription, subscription::next_at.is_not_null())
            .set(subscription::lease_until.eq(none))
            .prepared()
            .execute(conn)?
        + free!(topic, topic::next_at.is_not_null())
            .set((topic::lease_until.eq(none), topic::next_at.eq(now.0)))
            .prepared()
            .execute(conn)?
        + free!(look, look::next_at.is_not_null()).set(look::lease_until.eq(none)).prepared().execute(conn)?
        + free!(write_back, write_back::due_at.is_not_null())
            .set(write_back::lease_until.eq(none))
            .prepared()
            .execute(conn)?
        + free!(past_search, past_search::next_at.is_not_null())
            .set(past_search::lease_until.eq(none))
            .prepared()
            .execute(conn)?)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn long_work_keeps_its_lease_through_a_database_that_is_away_for_a_while() {
        let renewals = Cell::new(0);
        // Looked at again after each renewal.
        let work = std::future::poll_fn(|_| if renewals.get() < 10 { Poll::Pending } else { Poll::Ready(Ok("done")) });
        let done: Result<_, StoreError> = while_kept(work, 0, Duration::ZERO, |held| {
            renewals.set(renewals.get() + 1);
            let away = renewals.get() < 4;
            ready(if away { Err(StoreError::Unavailable { why: "away" }) } else { Ok(Renewed::Kept(held + 1)) })
        })
        .await;
        assert_eq!(done.unwrap(), Some(("done", 7)), "each renewal is of the lease as the last one left it");
    }

    #[tokio::test]
    async fn work_whose_lease_went_to_somebody_else_stops() {
        let work = pending::<Result<(), StoreError>>();
        assert_eq!(while_kept(work, (), Duration::ZERO, |()| ready(Ok(Renewed::Lost))).await.unwrap(), None);
    }

    #[test]
    fn several_renewals_may_fail_before_a_lease_ends() {
        assert!(RENEW_EVERY * 4 < LEASE);
    }
}
