//! What other rules mean for what was decided before. Pure.
//!
//! Must stay true: by itself a decision only ever becomes stricter; where two are each stricter in something, the stricter of
//! both holds in each column. What a person released, or what is held for another reason than the rules, stays so.

use std::time::Duration;

use super::plan::{self, Bearing, bearing_of};
use crate::base::UtcMillis;
use crate::policy::schedule::Schedule;
use crate::policy::{Decision, OpeningTerms, Release, ReleaseBy, ReviewReason, Terms};
use crate::record::{BackstopAt, HoldEnd, Link, LinkEvent};

/// How two decisions about the same report compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Neither asks for more; their words may differ.
    Same,
    Tighter(Decision),
    Looser,
    /// Each is stricter in something: this is the stricter of both.
    Mixed(Decision),
}

impl Verdict {
    /// The same columns under a law that keeps the report back for longer are stricter.
    pub(super) fn under_a_stricter_law(self, then: &Decision, now: &Decision) -> Self {
        match self {
            Self::Same => Self::Tighter(now.clone()),
            Self::Looser => Self::Mixed(then.clone()),
            stricter @ (Self::Tighter(_) | Self::Mixed(_)) => stricter,
        }
    }
}

/// What a decision does, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Action {
    Send,
    Review,
    Block,
}

/// Compares what was decided with what would be now.
pub(super) fn compare(then: &Decision, now: &Decision) -> Verdict {
    let (was, is) = (action_of(then), action_of(now));
    if was == Action::Block || is == Action::Block {
        return match was.cmp(&is) {
            std::cmp::Ordering::Less => Verdict::Tighter(now.clone()),
            std::cmp::Ordering::Equal => Verdict::Same,
            std::cmp::Ordering::Greater => Verdict::Looser,
        };
    }
    let (old, new) =
        (same_ground(then.terms_to_leave_under(), &now.terms_to_leave_under()), now.terms_to_leave_under());
    let (action, terms) = (was.max(is), old.join(&new));
    let (is_old, is_new) = ((action, &terms) == (was, &old), (action, &terms) == (is, &new));
    match (is_old, is_new) {
        (true, true) => Verdict::Same,
        (false, true) => Verdict::Tighter(now.clone()),
        (true, false) => Verdict::Looser,
        (false, false) => Verdict::Mixed(joined(then, now, terms)),
    }
}

const fn action_of(decision: &Decision) -> Action {
    match decision {
        Decision::Send { .. } => Action::Send,
        Decision::Review { .. } => Action::Review,
        Decision::Block { .. } => Action::Block,
    }
}

/// Of two holds of the same length neither is stricter, whatever their grounds.
fn same_ground(mut old: Terms, new: &Terms) -> Terms {
    if old.release.hold_seconds == new.release.hold_seconds {
        old.release.basis = new.release.basis;
    }
    old
}

fn joined(then: &Decision, now: &Decision, terms: Terms) -> Decision {
    if terms.channels.is_empty() {
        let rules = "of the version before and of this one".to_owned();
        return Decision::Review { why: ReviewReason::NoCommonChannel { rules }, terms: Some(terms) };
    }
    match (now, then) {
        (Decision::Review { why, .. }, _) | (_, Decision::Review { why, .. }) => {
            Decision::Review { why: why.clone(), terms: Some(terms) }
        }
        (Decision::Send { .. } | Decision::Block { .. }, Decision::Send { .. } | Decision::Block { .. }) => {
            Decision::Send { terms }
        }
    }
}

/// What the rules say now, under what else was held against the delivery when it was decided.
pub(super) fn under_old_objection(now: Decision, then: &Decision) -> Decision {
    let objection = match then {
        Decision::Review { why, .. } => match bearing_of(why) {
            Bearing::Rules => None,
            Bearing::Itself | Bearing::Address | Bearing::Time => Some(why.clone()),
        },
        Decision::Send { .. } | Decision::Block { .. } => None,
    };
    plan::object(now, objection)
}

/// What is known of a delivery besides its decision.
pub(super) struct Course<'a> {
    pub state: &'a Link,
    pub state_at: UtcMillis,
    /// When the report says that it was issued, or when it was decided.
    pub counts_from: UtcMillis,
}

impl Course<'_> {
    /// Whether a person said that it leaves: nobody but them takes that back.
    pub(super) fn is_released_by_a_person(&self, decision: &Decision) -> bool {
        let Link::Recorded = self.state else { return false };
        match decision {
            Decision::Send { terms } => {
                let Release { by, hold_seconds, requires, .. } = &terms.release;
                // Before its hold was over only a person could.
                let is_early = self.state_at < self.hold_end(*hold_seconds) && *hold_seconds > 0;
                *by == ReleaseBy::Manual || !requires.is_empty() || is_early
            }
            Decision::Review { .. } | Decision::Block { .. } => true,
        }
    }

    fn hold_end(&self, hold_seconds: u64) -> UtcMillis {
        self.counts_from.plus(Duration::from_secs(hold_seconds))
    }

    /// The step that a stricter decision asks for; `None`: it stays where it is.
    pub(super) fn tighter_step(
        &self,
        decision: &Decision,
        schedule: Option<&Schedule>,
        now: UtcMillis,
    ) -> Option<LinkEvent> {
        match (decision, self.state) {
            (Decision::Block { .. }, _) => Some(LinkEvent::Forbid),
            (Decision::Review { why, .. }, Link::Recorded | Link::Held { .. }) => {
                Some(LinkEvent::NeedsReview { why: why.clone() })
            }
            (Decision::Send { .. }, Link::Recorded | Link::Held { .. }) => {
                let Link::Held { until, basis } = plan::first_state(decision, schedule, now) else { return None };
                is_later(self.state, until).then_some(LinkEvent::Wait { until, basis })
            }
            (Decision::Review { .. } | Decision::Send { .. }, _) => None,
        }
    }

    /// The state that a looser decision would lead to. What waits for a person for another reason than the rules still does.
    pub(super) fn looser_state(
        &self,
        then: &Decision,
        decision: &Decision,
        schedule: Option<&Schedule>,
        now: UtcMillis,
    ) -> Link {
        let waits_by_rules = match (self.state, then) {
            (Link::Review { why: stands }, Decision::Review { why: decided, .. }) => stands == decided,
            (Link::Review { .. }, Decision::Send { .. } | Decision::Block { .. }) => false,
            (_, Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }) => true,
        };
        match decision {
            Decision::Send { .. } if waits_by_rules => plan::first_state(decision, schedule, now),
            Decision::Review { why, .. } if waits_by_rules => Link::Review { why: why.clone() },
            Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. } => self.state.clone(),
        }
    }
}

/// Whether a hold ends later than what stands, or by more.
fn is_later(state: &Link, new: HoldEnd) -> bool {
    let Link::Held { until: stands, .. } = state else { return true };
    let rank = |until: HoldEnd| match until {
        HoldEnd::At(at) => (0, Some(at), None),
        HoldEnd::PersonBefore(BackstopAt { at, then }) => (1, Some(at), Some(then)),
        HoldEnd::Person => (2, None, None),
        HoldEnd::Talk { before: BackstopAt { at, then }, .. } => (3, Some(at), Some(then)),
    };
    let ((kind, at, then), (new_kind, new_at, new_then)) = (rank(*stands), rank(new));
    new_kind > kind || new_kind == kind && (new_at > at || new_then > then)
}

/// The terms of a live link that gives less than it did. `None`: nothing less.
pub(super) fn live_link(then: &Decision, now: &Decision) -> Option<Terms> {
    let (old, new) = (then.terms_to_leave_under(), now.terms_to_leave_under());
    let less = old.join(&new);
    let is_less = less.opens < old.opens
        || less.expiry_seconds < old.expiry_seconds
        || OpeningTerms::from(&less) != OpeningTerms::from(&old);
    is_less.then_some(less)
}

/// Whether a report whose message has not left would wait for more. What a person let go by the same terms stays let go.
pub(super) fn asks_for_more_first(then: &Decision, now: &Decision) -> bool {
    let new = now.terms_to_leave_under();
    let old = same_ground(then.terms_to_leave_under(), &new);
    let both = old.join(&new);
    both.release != old.release
}

/// Whether the patient is asked for something more before they may read.
pub(super) fn asks_for_a_check(then: &Decision, now: &Decision) -> bool {
    !now.terms_to_leave_under().challenges.is_subset(&then.terms_to_leave_under().challenges)
}

/// Whether a report that may share a link may share none by now, or only with others.
pub(super) fn shares_no_longer(then: &Decision, now: &Decision) -> bool {
    let joined = Decision::Send { terms: then.terms_to_leave_under().join(&now.terms_to_leave_under()) };
    then.gathers_for().is_some() && joined.gathers_for().is_none()
}

/// Whether a link that is out would not have left by itself.
pub(super) fn would_not_be_out(then: &Decision, now: &Decision) -> bool {
    action_of(now) > action_of(then)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::policy::schedule::Timing;
    use crate::policy::vocabulary::{Backstop, Download, Notify};
    use crate::policy::{Challenge, Channel, HoldBasis, Opens, Wording};

    const NOW: UtcMillis = UtcMillis(1_800_000_000_000);

    fn terms(change: impl FnOnce(&mut Terms)) -> Terms {
        let mut terms = Terms::by_hand();
        change(&mut terms);
        terms
    }

    fn send(change: impl FnOnce(&mut Terms)) -> Decision {
        Decision::Send { terms: terms(change) }
    }

    fn review(why: ReviewReason) -> Decision {
        Decision::Review { why, terms: None }
    }

    fn by_rule() -> ReviewReason {
        ReviewReason::RuleAsks { rule: "special".to_owned() }
    }

    fn held_for(hours: u64) -> impl Fn(&mut Terms) {
        move |terms| terms.release = Release::after(hours * 3600, HoldBasis::ClinicPolicy)
    }

    #[test]
    fn each_column_alone_is_tighter_one_way_and_looser_the_other() {
        let plain = send(|_| {});
        let strict: [Decision; 9] = [
            send(|terms| terms.expiry_seconds -= 1),
            send(|terms| terms.opens = Opens(NonZeroU16::MIN)),
            send(|terms| terms.challenges = [Challenge::Code].into()),
            send(held_for(1)),
            send(|terms| terms.release = Release::by_a_person()),
            send(|terms| terms.channels.clear()),
            review(by_rule()),
            Decision::Block { rule: "never".to_owned() },
            Decision::Review { why: by_rule(), terms: Some(terms(|terms| terms.expiry_seconds -= 1)) },
        ];
        for strict in strict {
            assert_eq!(compare(&plain, &strict), Verdict::Tighter(strict.clone()), "{strict:?}");
            assert_eq!(compare(&strict, &plain), Verdict::Looser, "{strict:?}");
            assert_eq!(compare(&strict, &strict), Verdict::Same, "{strict:?}");
        }
        let said_more = send(|terms| terms.wording = Wording::Full);
        assert_eq!(compare(&said_more, &plain), Verdict::Tighter(plain));
    }

    #[test]
    fn a_live_link_gives_less_where_an_opening_does() {
        let plain = send(|_| {});
        for strict in [
            send(|terms| terms.view_seconds = 600),
            send(|terms| terms.download = Download::ViewOnly),
            send(|terms| terms.notify = [Notify::Staff].into()),
            send(|terms| terms.opens = Opens(NonZeroU16::MIN)),
        ] {
            assert!(live_link(&plain, &strict).is_some(), "{strict:?}");
            assert!(live_link(&strict, &plain).is_none(), "{strict:?}");
        }
    }

    #[test]
    fn where_each_is_stricter_in_something_the_stricter_of_both_holds() {
        let then = send(|terms| terms.expiry_seconds = 10);
        let now = send(|terms| terms.opens = Opens(NonZeroU16::MIN));
        let both = send(|terms| (terms.expiry_seconds, terms.opens) = (10, Opens(NonZeroU16::MIN)));
        assert_eq!(compare(&then, &now), Verdict::Mixed(both.clone()));
        assert_eq!(compare(&now, &then), Verdict::Mixed(both.clone()));
        assert_eq!(compare(&both, &then), Verdict::Looser);

        let by_sms = send(|terms| terms.channels = [Channel::Sms].into());
        let Verdict::Mixed(Decision::Review { why, .. }) = compare(&send(|_| {}), &by_sms) else { panic!("no review") };
        assert!(matches!(why, ReviewReason::NoCommonChannel { .. }));
        let law = send(|terms| terms.release = Release::after(3600, HoldBasis::Law));
        assert_eq!(compare(&law, &send(held_for(1))), Verdict::Same, "another ground is no other hold");
    }

    #[test]
    fn a_law_that_keeps_it_back_for_longer_is_stricter_whatever_the_columns_say() {
        let (strict, loose) = (send(held_for(2)), send(held_for(1)));
        let under_law = |then, now| compare(then, now).under_a_stricter_law(then, now);
        assert_eq!(under_law(&loose, &loose), Verdict::Tighter(loose.clone()));
        assert_eq!(under_law(&loose, &strict), Verdict::Tighter(strict.clone()));
        assert_eq!(under_law(&strict, &loose), Verdict::Mixed(strict.clone()));
    }

    #[test]
    fn another_objection_than_the_rules_outlives_them() {
        let tie = review(ReviewReason::ContactTie);
        let now = under_old_objection(send(|_| {}), &tie);
        assert!(matches!(now, Decision::Review { why: ReviewReason::ContactTie, .. }));
        assert_eq!(compare(&tie, &now), Verdict::Same);
        assert_eq!(under_old_objection(send(|_| {}), &review(ReviewReason::NoRule)), send(|_| {}));
    }

    const BACKSTOP: BackstopAt = BackstopAt { at: UtcMillis(1_900_000_000_000), then: Backstop::Escalate };

    /// The schedule of a report that was issued at `NOW`.
    fn schedule(decision: &Decision) -> Option<Schedule> {
        let Decision::Send { terms } = decision else { return None };
        let Release { by, hold_seconds, basis, .. } = terms.release;
        let timing = match by {
            ReleaseBy::Auto => Timing::At { until: NOW.plus(Duration::from_secs(hold_seconds)), basis },
            ReleaseBy::Manual => Timing::ByAPerson {
                requires: std::collections::BTreeSet::new(),
                backstop_at: BACKSTOP.at,
                then: BACKSTOP.then,
                basis,
            },
        };
        Some(Schedule { from: NOW, timing, floors: Vec::new(), ceilings: Vec::new(), earliest: NOW })
    }

    #[test]
    fn a_longer_hold_counts_from_the_reports_own_time_and_no_hold_is_cut_short() {
        let at = |hours| NOW.plus(Duration::from_hours(hours));
        let held = Link::Held { until: HoldEnd::At(at(24)), basis: HoldBasis::ClinicPolicy };
        let course = |state| Course { state, state_at: NOW, counts_from: NOW };
        let step = |state, decision: Decision, hours| {
            course(state).tighter_step(&decision, schedule(&decision).as_ref(), at(hours))
        };
        let wait = |until| Some(LinkEvent::Wait { until, basis: HoldBasis::ClinicPolicy });
        assert_eq!(step(&held, send(held_for(48)), 1), wait(HoldEnd::At(at(48))));
        assert_eq!(step(&held, send(held_for(12)), 1), None);
        assert_eq!(step(&Link::Recorded, send(held_for(12)), 1), wait(HoldEnd::At(at(12))));
        assert_eq!(step(&Link::Recorded, send(held_for(12)), 13), None, "that hold is over");
        assert_eq!(
            step(&held, send(|terms| terms.release = Release::by_a_person()), 1),
            wait(HoldEnd::PersonBefore(BACKSTOP))
        );
        let person = Link::Held { until: HoldEnd::Person, basis: HoldBasis::ClinicPolicy };
        assert_eq!(step(&person, send(held_for(48)), 1), None);
        let reviewed = Link::Review { why: by_rule() };
        assert_eq!(step(&reviewed, Decision::Block { rule: "never".to_owned() }, 1), Some(LinkEvent::Forbid));
        assert_eq!(step(&reviewed, send(held_for(48)), 1), None);
    }

    #[test]
    fn what_a_person_released_is_left_to_them() {
        let course = |state_at| Course { state: &Link::Recorded, state_at, counts_from: NOW };
        assert!(course(NOW).is_released_by_a_person(&review(by_rule())));
        assert!(course(NOW).is_released_by_a_person(&send(|terms| terms.release = Release::by_a_person())));
        assert!(course(NOW.plus(Duration::from_hours(1))).is_released_by_a_person(&send(held_for(2))));
        assert!(!course(NOW.plus(Duration::from_hours(2))).is_released_by_a_person(&send(held_for(2))));
        assert!(!course(NOW).is_released_by_a_person(&send(|_| {})));
    }
}
