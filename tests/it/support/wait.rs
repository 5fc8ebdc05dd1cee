//! Waiting for an outside part: look, and look again, until it is clear that nothing will come.

use std::time::{Duration, Instant};

/// Nothing that works takes so long on any machine: only what hangs meets it. No test measures time with it.
pub const HANGS: Duration = Duration::from_mins(3);

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` until it answers `Some`.
///
/// # Panics
/// After [`HANGS`], naming `what` did not come.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until_async(what, async || look()).await
}

/// [`until`] for a look that itself waits.
///
/// # Panics
/// After [`HANGS`], naming `what` did not come.
pub async fn until_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + HANGS;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {HANGS:?} in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`until`] where there is no runtime to yield to.
///
/// # Panics
/// After [`HANGS`], naming `what` did not come.
pub fn until_blocking<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + HANGS;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {HANGS:?} in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}
