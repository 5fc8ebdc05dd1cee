//! When a link that nobody opened is spoken of once more.

use std::time::Duration;

use crate::base::{UtcMillis, hours};

/// A reminder that leaves less time than this would come too late to be of use.
const LEAVES_AT_LEAST: Duration = hours(6);
/// The last one leaves a day, or a fifth of the life where that is longer.
const LAST_LEAVES: Duration = hours(24);
/// Two reminders lie so far apart at least.
const APART: Duration = hours(12);

/// The moments at which a link with this life is spoken of again: at half of its life, and once more when a day of it is left, or
/// a fifth where that is longer; the latter only long enough after the former. In their order; there is at least one for each life
/// that rules can give.
#[must_use]
pub fn reminder_moments(handed_over_at: UtcMillis, expires_at: UtcMillis) -> Vec<UtcMillis> {
    let life = expires_at.since(handed_over_at);
    let half = handed_over_at.plus(life / 2);
    let last = expires_at.minus(LAST_LEAVES.max(life / 5));
    let is_apart = last.0 >= half.plus(APART).0;
    let moments = [Some(half), is_apart.then_some(last)].into_iter().flatten();
    moments.filter(|at| at.plus(LEAVES_AT_LEAST) <= expires_at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours_after(life_hours: u64) -> Vec<u128> {
        let start = UtcMillis(1_800_000_000_000);
        let moments = reminder_moments(start, start.plus(hours(life_hours)));
        moments.into_iter().map(|at| at.since(start).as_millis() / 3_600_000).collect()
    }

    #[test]
    fn a_link_is_spoken_of_at_half_of_its_life_and_when_a_day_or_a_fifth_is_left() {
        assert_eq!(hours_after(12), [6]);
        assert_eq!(hours_after(24), [12]);
        assert_eq!(hours_after(48), [24]);
        assert_eq!(hours_after(72), [36, 48]);
        assert_eq!(hours_after(240), [120, 192]);
        assert_eq!(hours_after(720), [360, 576]);
        assert!(hours_after(8).is_empty(), "too late to be of use");
    }
}
