//! A worker's hold on a delivery, for as long as a large attachment over a slow line takes.
//!
//! Job: renew the lease while the work goes on.
//! Must stay true: a lease is short, so that what a dead worker held is soon taken up by another; one that was lost all the
//! same ends the work, and its commit would be refused.
//! Must not know: what the work is.

use std::time::Duration;

use super::ReleaseError;
use crate::base::{minutes, seconds};
use crate::store::{Renewed, StoreError};

/// So long after a worker died another takes its delivery.
pub(super) const LENGTH: Duration = minutes(2);
/// Leaves room for a database that is away for a while.
pub(super) const RENEW_EVERY: Duration = seconds(20);

/// Does `work` while `renew`, called after every `pause`, keeps its lease. `None` when the lease went to somebody else
/// meanwhile.
pub(super) async fn while_kept<T, R>(
    work: impl Future<Output = Result<T, ReleaseError>>,
    pause: Duration,
    mut renew: impl FnMut() -> R,
) -> Result<Option<T>, ReleaseError>
where
    R: Future<Output = Result<Renewed, StoreError>>,
{
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done.map(Some),
            () = tokio::time::sleep(pause) => {}
        }
        match renew().await {
            Ok(Renewed::Kept) => {}
            Ok(Renewed::Lost) => return Ok(None),
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "the lease of a release could not be renewed; it is tried again");
            }
            Err(error) => return Err(error.into()),
        }
    }
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
        let done = while_kept(work, Duration::ZERO, || {
            renewals.set(renewals.get() + 1);
            let away = renewals.get() < 4;
            ready(if away { Err(StoreError::Unavailable { why: "away" }) } else { Ok(Renewed::Kept) })
        });
        assert_eq!(done.await.unwrap(), Some("done"));
    }

    #[tokio::test]
    async fn work_whose_lease_went_to_somebody_else_stops() {
        let work = pending::<Result<(), ReleaseError>>();
        assert_eq!(while_kept(work, Duration::ZERO, || ready(Ok(Renewed::Lost))).await.unwrap(), None);
    }

    #[test]
    fn several_renewals_may_fail_before_a_lease_ends() {
        assert!(RENEW_EVERY * 4 < LENGTH);
    }
}
