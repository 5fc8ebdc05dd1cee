//! Waiting for an outside part: look, and look again, until a limit that fails the test.

use std::time::{Duration, Instant};

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` until it answers `Some`.
///
/// # Panics
/// After `limit`, naming `what` did not come.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    until_async(what, limit, async || look()).await
}

/// [`until`] for a look that itself waits.
///
/// # Panics
/// After `limit`, naming `what` did not come.
pub async fn until_async<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`until`] where there is no runtime to yield to.
///
/// # Panics
/// After `limit`, naming `what` did not come.
pub fn until_blocking<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}
