//! How many texts may leave now: gateways and networks refuse who sends too fast, and each text costs money.
//!
//! Must stay true: no second sees more than its number from this process, and no day more than its quota from all of them, but for
//! those that several processes lease at the same moment.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::UtcMillis;

const THOUSANDTHS: u64 = 1000;

/// The limits, and what is left of this second.
pub struct TextPace {
    per_second: u32,
    /// Within any 24 hours; `None`: as many as there are.
    per_day_max: Option<u64>,
    left: Mutex<Left>,
}

/// What may leave at once, in thousandths of a text, as of a moment.
#[derive(Clone, Copy, Default)]
struct Left {
    at: Option<UtcMillis>,
    thousandths: u64,
}

impl TextPace {
    #[must_use]
    pub fn new(per_second: u32, per_day_max: Option<u64>) -> Self {
        Self { per_second: per_second.max(1), per_day_max, left: Mutex::default() }
    }

    pub(super) const fn per_day_max(&self) -> Option<u64> {
        self.per_day_max
    }

    /// Takes up to `wanted` of what this second has left. What is not used is given back.
    pub(super) fn take(&self, wanted: usize, now: UtcMillis) -> usize {
        let mut left = self.left();
        let whole = u64::from(self.per_second) * THOUSANDTHS;
        let since = left.at.map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX));
        // So many thousandths come back each millisecond as texts are allowed in a second.
        left.thousandths = match since {
            None => whole,
            Some(millis) => {
                whole.min(left.thousandths.saturating_add(millis.saturating_mul(u64::from(self.per_second))))
            }
        };
        left.at = Some(now);
        let taken = usize::try_from(left.thousandths / THOUSANDTHS).unwrap_or(usize::MAX).min(wanted);
        left.thousandths -= u64::try_from(taken).unwrap_or(0) * THOUSANDTHS;
        taken
    }

    pub(super) fn give_back(&self, unused: usize) {
        let mut left = self.left();
        left.thousandths = left.thousandths.saturating_add(u64::try_from(unused).unwrap_or(0) * THOUSANDTHS);
    }

    /// Counts are right after a panic elsewhere too.
    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{millis, seconds};

    #[test]
    fn no_second_sees_more_than_its_number_and_nothing_is_saved_up() {
        let pace = TextPace::new(5, None);
        let start = UtcMillis(1_800_000_000_000);
        assert_eq!((pace.take(8, start), pace.take(8, start)), (5, 0));
        assert_eq!(pace.take(8, start.plus(millis(199))), 0);
        assert_eq!(pace.take(8, start.plus(millis(200))), 1);
        assert_eq!(pace.take(8, start.plus(seconds(60))), 5, "an idle minute allows no burst");
        pace.give_back(3);
        assert_eq!(pace.take(8, start.plus(seconds(60))), 3);
        assert_eq!(pace.take(8, start), 0, "a clock that goes back gives nothing");
    }
}
