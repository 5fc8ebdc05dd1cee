//! How much of a link's life is left when it is made late.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use proptest::prelude::*;

use super::NOW;
use crate::base::cases::cases;
use crate::base::hours;
use crate::policy::decision::QuietHours;
use crate::policy::quiet::{Quiet, Weekday};
use crate::policy::vocabulary::ExpiryFrom;
use crate::policy::{Decision, ReviewReason, Terms};

fn issued_terms(life_hours: u64) -> Terms {
    Terms { expiry_from: ExpiryFrom::Issued, expiry_seconds: life_hours * 3600, ..Terms::by_hand() }
}

#[test]
fn a_life_that_counts_from_the_report_shrinks_with_every_hour_of_waiting() {
    let terms = issued_terms(48);
    let left = |waited| terms.life_seconds(Some(NOW), NOW.plus(hours(waited))).map(|seconds| seconds / 3600);
    assert_eq!((left(0), left(20), left(25), left(26), left(60)), (Some(48), Some(28), Some(23), None, None));
    assert_eq!(terms.life_seconds(None, NOW), Some(48 * 3600), "a report without a time of its own counts from now");
    assert_eq!(terms.life_seconds(Some(NOW.plus(hours(9))), NOW), Some(48 * 3600), "a time to come gives no more life");
    let delivered = Terms { expiry_from: ExpiryFrom::Delivered, ..terms };
    assert_eq!(delivered.life_seconds(Some(NOW), NOW.plus(hours(500))), Some(48 * 3600));
}

/// `NOW` is a Wednesday morning, 11:06 in UTC.
#[test]
fn the_hours_in_which_the_message_waits_eat_up_life_too() {
    let night = |days_off: BTreeSet<_>| {
        let hours = Quiet::new(21 * 60, 8 * 60, days_off).unwrap();
        Some(QuietHours { hours, zone: Tz::UTC })
    };
    let at_night = NOW.plus(hours(10));
    let terms = Terms { quiet: night(BTreeSet::new()), ..issued_terms(34) };
    assert_eq!(terms.life_seconds(Some(NOW), at_night), Some(24 * 3600), "a link made then would do");
    assert!(terms.are_too_late(Some(NOW), at_night), "its message leaves in the morning, with thirteen hours left");
    assert!(!terms.are_too_late(Some(NOW), NOW.plus(hours(9))));
    let closed = Terms { quiet: night([Weekday::Thu, Weekday::Fri].into()), ..issued_terms(72) };
    assert!(closed.are_too_late(Some(NOW), at_night), "Saturday is the next day on which it may leave");
    assert!(!Terms { quiet: None, ..closed }.are_too_late(Some(NOW), at_night));
}

#[test]
fn what_no_rule_gave_terms_leaves_under_those_of_a_persons_release() {
    let review = |terms| Decision::Review { why: ReviewReason::NoRule, terms };
    assert_eq!(review(None).terms_to_leave_under(), Terms::by_hand());
    assert_eq!(review(Some(issued_terms(48))).terms_to_leave_under(), issued_terms(48));
    let apart = Decision::Review { why: ReviewReason::NoCommonChannel { rules: "a, b".into() }, terms: None };
    assert!(apart.terms_to_leave_under().channels.is_empty(), "no release opens a channel that the rules do not share");
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn a_later_moment_never_gives_a_longer_life(life_hours in 12..720_u64, waited in 0..800_u64, longer in 0..800_u64) {
        let terms = issued_terms(life_hours);
        let left = |waited| terms.life_seconds(Some(NOW), NOW.plus(hours(waited)));
        prop_assert!(left(waited + longer) <= left(waited));
        prop_assert_eq!(left(waited).is_none(), terms.are_too_late(Some(NOW), NOW.plus(hours(waited))));
    }
}
