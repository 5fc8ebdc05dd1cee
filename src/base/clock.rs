//! The time of the store, carried between readings by the monotonic clock.
//!
//! Must stay true: every comparison with an expiry uses this clock, so a wrong wall clock on one
//! replica moves nothing. Tests step it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::time::UtcMillis;

/// A replica whose own clock is further than this from the store's is not ready.
pub const SKEW_MAX: Duration = Duration::from_secs(2);
/// How often the offset to the store's clock is measured again.
pub const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// Cheap to clone; all clones show the same time.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    /// Store time at `started`, in milliseconds, plus the monotonic time since then.
    Store {
        started: Instant,
        at_start: AtomicI64,
    },
    Stepped {
        at: AtomicI64,
        jumps: OnceLock<Box<Jumps>>,
    },
}

/// By how many milliseconds a stepped clock jumps before a reading.
type Jumps = dyn Fn() -> i64 + Send + Sync;

impl Clock {
    /// A running clock that was just read as `now` in the store.
    #[must_use]
    pub fn following(now: UtcMillis) -> Self {
        Self(Arc::new(Source::Store { started: Instant::now(), at_start: AtomicI64::new(now.0) }))
    }

    /// A clock that moves only when told to.
    #[must_use]
    pub fn stepped(now: UtcMillis) -> Self {
        Self(Arc::new(Source::Stepped { at: AtomicI64::new(now.0), jumps: OnceLock::new() }))
    }

    #[must_use]
    pub fn now(&self) -> UtcMillis {
        match &*self.0 {
            Source::Store { started, at_start } => UtcMillis(at_start.load(Ordering::Relaxed)).plus(started.elapsed()),
            Source::Stepped { at, jumps } => {
                let jump = jumps.get().map_or(0, |jump| jump());
                UtcMillis(at.fetch_add(jump, Ordering::SeqCst) + jump)
            }
        }
    }

    /// Takes over a fresh reading of the store's time and returns how far this clock had drifted
    /// from it. A stepped clock stays where it is.
    #[must_use]
    pub fn adopt(&self, store_now: UtcMillis) -> Duration {
        match &*self.0 {
            Source::Store { started, at_start } => {
                let drift = self.now().0.abs_diff(store_now.0);
                at_start.store(store_now.minus(started.elapsed()).0, Ordering::Relaxed);
                Duration::from_millis(drift)
            }
            Source::Stepped { .. } => Duration::ZERO,
        }
    }

    /// Moves a stepped clock; a running one ignores it.
    pub fn forward(&self, span: Duration) {
        match &*self.0 {
            Source::Store { .. } => {}
            Source::Stepped { at, .. } => {
                at.fetch_add(i64::try_from(span.as_millis()).unwrap_or(0), Ordering::SeqCst);
            }
        }
    }

    /// Asks `jumps` before each reading of a stepped clock by how many milliseconds it jumps, as one that is set does; a
    /// running one ignores it. The first call stands.
    pub fn jump(&self, jumps: impl Fn() -> i64 + Send + Sync + 'static) {
        match &*self.0 {
            Source::Store { .. } => {}
            Source::Stepped { jumps: kept, .. } => drop(kept.set(Box::new(jumps))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_clock_adopts_the_stores_time_and_tells_the_drift() {
        let clock = Clock::following(UtcMillis(1_000_000));
        let drift = clock.adopt(UtcMillis(2_000_000));
        assert!(drift >= Duration::from_mins(15));
        assert!(clock.now() >= UtcMillis(2_000_000));
    }
}
