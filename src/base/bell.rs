//! A bell between steps of one process: rung when there is work, so that nobody waits for the next look.
//!
//! Must stay true: correctness never hangs on a ring; the steps look by themselves too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Cheap to clone; all clones are one bell.
#[derive(Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Rings for so many of those who wait; who does not wait yet hears at most one ring later.
    pub fn ring_for(&self, workers: usize) {
        (0..workers).for_each(|_| self.ring());
    }

    /// Waits for a ring, at most `longest`.
    pub async fn wait(&self, longest: Duration) {
        // Either way the caller looks for work.
        let _ = tokio::time::timeout(longest, self.0.notified()).await;
    }
}
