//! How fast one EHR is asked: calls a minute, whose turn it is, and pauses that the EHR asks for.
//!
//! Must stay true: every call to the EHR's own origin passes here; while it asks to be left alone nothing goes out, whoever
//! wants it; a search lets the readings that wait pass, and not for ever. Each process keeps its own pace.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rand_core::Rng as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::EhrError;
use crate::base::{Clock, UtcMillis, random, seconds};

/// Calls that may go out at once after a while of quiet: so much of a minute's.
const BURST_PART: u32 = 6;
/// A search looks so often whether readings still wait.
const LOOK_AGAIN_EVERY: Duration = seconds(1);
/// A search lets readings pass for so long; then it takes its turn among them: what it finds may be a recall.
const SEARCH_WAITS_MAX: Duration = seconds(30);
/// Those who were told to come back do not all come back at once: up to so much of the pause later.
const JITTER_PART: u32 = 16;

/// Whose turn comes first where calls are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A reading, a file, a subscription: somebody waits for it.
    Now,
    /// A search: what it finds is found a moment later as well.
    WhenQuiet,
}

/// The pace of one EHR.
pub struct Pace {
    clock: Clock,
    calls_per_minute: Option<NonZeroU32>,
    /// `None`: as fast as it answers.
    bucket: Option<DefaultDirectRateLimiter>,
    /// Calls of [`Turn::Now`] that wait for the bucket.
    waiting: AtomicUsize,
    fewer_wait: Notify,
    /// In milliseconds; what is past means nothing.
    paused_until: AtomicI64,
    search_waits_max: Duration,
}

impl Pace {
    /// At most `calls_per_minute`, whatever stretch of a minute is looked at; `None`: as fast as the EHR answers.
    #[must_use]
    pub fn new(clock: Clock, calls_per_minute: Option<NonZeroU32>) -> Self {
        Self {
            clock,
            calls_per_minute,
            bucket: calls_per_minute.and_then(quota).map(RateLimiter::direct),
            waiting: AtomicUsize::new(0),
            fewer_wait: Notify::new(),
            paused_until: AtomicI64::new(i64::MIN),
            search_waits_max: SEARCH_WAITS_MAX,
        }
    }

    pub(super) const fn calls_per_minute(&self) -> Option<NonZeroU32> {
        self.calls_per_minute
    }

    /// Waits for a call's turn.
    ///
    /// # Errors
    /// `Overloaded` while the EHR wants to be left alone: nobody waits for that here.
    pub(super) async fn admit(&self, turn: Turn) -> Result<(), EhrError> {
        self.not_paused()?;
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let waits = match turn {
            Turn::Now => Some(Waiting::of(self)),
            Turn::WhenQuiet => None,
        };
        let since = Instant::now();
        loop {
            let lets_pass = waits.is_none() && since.elapsed() < self.search_waits_max;
            if lets_pass && self.waiting.load(Ordering::SeqCst) > 0 {
                // Either way it looks again.
                let _ = tokio::time::timeout(LOOK_AGAIN_EVERY, self.fewer_wait.notified()).await;
                continue;
            }
            match bucket.check() {
                Ok(()) => break,
                Err(not_yet) => tokio::time::sleep(not_yet.wait_time_from(DefaultClock::default().now())).await,
            }
        }
        drop(waits);
        // It may have said so meanwhile.
        self.not_paused()
    }

    fn not_paused(&self) -> Result<(), EhrError> {
        let (now, until) = (self.clock.now(), UtcMillis(self.paused_until.load(Ordering::SeqCst)));
        if until > now { Err(EhrError::Overloaded { retry_after: Some(until.since(now)) }) } else { Ok(()) }
    }

    /// The EHR wants to be left alone for `pause`. Returns that, and a little more.
    pub(super) fn pause(&self, pause: Duration) -> Duration {
        let more = pause / JITTER_PART * (random::system().next_u32() % 100) / 100;
        let pause = pause + more;
        self.paused_until.fetch_max(self.clock.now().plus(pause).0, Ordering::SeqCst);
        pause
    }
}

/// So that no minute holds more: what goes at once, and what is let through in the minute after.
fn quota(calls_per_minute: NonZeroU32) -> Option<Quota> {
    let burst = NonZeroU32::new(calls_per_minute.get() / BURST_PART).unwrap_or(NonZeroU32::MIN);
    let steady = calls_per_minute.get().saturating_sub(burst.get()).max(1);
    Quota::with_period(Duration::from_mins(1) / steady).map(|quota| quota.allow_burst(burst))
}

/// One call that waits; also when its task is dropped.
struct Waiting<'a>(&'a Pace);

impl<'a> Waiting<'a> {
    fn of(pace: &'a Pace) -> Self {
        pace.waiting.fetch_add(1, Ordering::SeqCst);
        Self(pace)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        self.0.fewer_wait.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;
    use crate::base::minutes;

    fn pace(calls_per_minute: u32) -> (Pace, Clock) {
        let clock = Clock::stepped(UtcMillis(1_795_212_000_000));
        (Pace::new(clock.clone(), NonZeroU32::new(calls_per_minute)), clock)
    }

    #[test]
    fn no_minute_holds_more_calls_than_were_allowed() {
        for calls in [1, 2, 5, 6, 7, 60, 250, 100_000] {
            let quota = quota(NonZeroU32::new(calls).unwrap()).unwrap();
            let refilled = 60_000_000_000_u128 / quota.replenish_interval().as_nanos();
            let most = u128::from(quota.burst_size().get()) + refilled;
            assert!(most <= u128::from(calls) + u128::from(calls == 1) + 1, "{calls}: {most}");
        }
    }

    #[tokio::test]
    async fn a_pause_holds_for_everybody_until_the_clock_has_passed_it() {
        let (pace, clock) = pace(0);
        assert_eq!(pace.admit(Turn::Now).await, Ok(()));
        let pause = pace.pause(minutes(10));
        assert!((minutes(10)..minutes(11)).contains(&pause), "{pause:?}");
        for turn in [Turn::Now, Turn::WhenQuiet] {
            assert_eq!(pace.admit(turn).await, Err(EhrError::Overloaded { retry_after: Some(pause) }));
        }
        // A shorter one does not end it.
        pace.pause(seconds(1));
        clock.forward(minutes(9));
        assert!(pace.admit(Turn::Now).await.is_err());
        clock.forward(minutes(2));
        assert_eq!(pace.admit(Turn::WhenQuiet).await, Ok(()));
    }

    #[tokio::test]
    async fn a_search_lets_the_readings_pass() {
        // Ten a second, one at once.
        let (pace, _) = pace(600);
        let pace = Arc::new(pace);
        while pace.bucket.as_ref().unwrap().check().is_ok() {}
        let order = Arc::new(Mutex::new(Vec::new()));
        let call = |turn, name: &'static str| {
            let (pace, order) = (Arc::clone(&pace), Arc::clone(&order));
            async move {
                pace.admit(turn).await.unwrap();
                order.lock().unwrap().push(name);
            }
        };
        tokio::join!(call(Turn::Now, "reading"), call(Turn::WhenQuiet, "search"), call(Turn::Now, "reading"));
        assert_eq!(*order.lock().unwrap(), ["reading", "reading", "search"]);
    }

    /// As while an index run is read: somebody waits at every moment.
    #[tokio::test]
    async fn a_search_that_waited_long_enough_takes_its_turn_among_readings_without_an_end() {
        let (pace, _) = pace(600);
        let pace = Arc::new(Pace { search_waits_max: Duration::from_millis(200), ..pace });
        let reading = |pace: Arc<Pace>| async move {
            loop {
                pace.admit(Turn::Now).await.unwrap();
            }
        };
        let readings: Vec<_> = (0..4).map(|_| tokio::spawn(reading(Arc::clone(&pace)))).collect();
        pace.admit(Turn::WhenQuiet).await.unwrap();
        readings.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn a_reading_that_is_given_up_holds_no_search_back() {
        let (pace, _) = pace(600);
        while pace.bucket.as_ref().unwrap().check().is_ok() {}
        let given_up = tokio::time::timeout(Duration::ZERO, pace.admit(Turn::Now)).await;
        assert!(given_up.is_err());
        assert_eq!(pace.admit(Turn::WhenQuiet).await, Ok(()));
    }
}
