//! Watching the store: its clock, and whether it still keeps what it is given.
//!
//! Must stay true: a database that reads but commits nothing (a full disk, a standby) is told, and is told to be well
//! again, without anybody's help; looking costs one small commit, at a bounded rate.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::start::Ground;
use crate::base::clock::REFRESH_EVERY;
use crate::base::seconds;
use crate::store;
use crate::web::Readiness;

/// A store that did not do well is looked at again after this.
const LOOK_SOON: Duration = seconds(5);

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Well,
    Ailing,
}

/// Looks until `stop`.
pub(super) async fn watch(ground: Ground, readiness: Arc<Readiness>, stop: CancellationToken) {
    loop {
        let pause = match look(&ground, &readiness).await {
            Found::Well => REFRESH_EVERY,
            Found::Ailing => LOOK_SOON,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Follows the store's clock, and tells `readiness` whether the store is there and commits.
pub async fn look(ground: &Ground, readiness: &Readiness) -> Found {
    match ground.store.now().await {
        Ok(at) => {
            readiness.store_reached();
            readiness.clock_compared(ground.clock.adopt(at));
        }
        Err(error) => {
            tracing::error!(%error, "the database's time cannot be read");
            readiness.store_lost();
            return Found::Ailing;
        }
    }
    // A row of its own, since a deed that changes nothing is not written, and so finds no disk full.
    let (replica, at) = (ground.replica.as_str().to_owned(), ground.clock.now());
    match ground.store.write(move |tx| store::beat(tx, &replica, at)).await {
        Ok(()) => {
            readiness.store_commits();
            Found::Well
        }
        Err(error) => {
            tracing::error!(%error, "the database can be read but commits nothing: is its disk full?");
            readiness.store_refuses_commits();
            Found::Ailing
        }
    }
}
