//! What other rules mean for what was decided before. Pure.
//!
//! Must stay true: by itself a decision only ever becomes stricter; where two are each stricter in something, the stricter of
//! both holds in each column. What a person released, or what is held for another reason than the rules, stays so.

use std::time::Duration;

use super::plan::{self, Bearing, bearing_of};
use crate::base::UtcMillis;
use crate::policy::schedule::Timing;
use crate::policy::{Decision, Release, ReleaseBy, ReviewReason, Terms};
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
    let (old, new) = (same_ground(terms_of(then), &terms_of(now)), terms_of(now));
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

/// The terms under which it leaves, at last by a person's word.
fn terms_of(decision: &Decision) -> Terms {
    match decision {
        Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms.clone(),
        Decision::Review { terms: None, .. } | Decision::Block { .. } => Terms::by_hand(),
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
        return Decision::Review { why: ReviewReason::NoCommonChannel { rules }, terms: None };
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
        timing: Option<&Timing>,
        now: UtcMillis,
    ) -> Option<LinkEvent> {
        match (decision, self.state) {
            (Decision::Block { .. }, _) => Some(LinkEvent::Forbid),
            (Decision::Review { why, .. }, Link::Recorded | Link::Held { .. }) => {
                Some(LinkEvent::NeedsReview { why: why.clone() })
            }
            (Decision::Send { .. }, Link::Recorded | Link::Held { .. }) => {
                let Link::Held { until, basis } = plan::first_state(decision, timing, now) else { return None };
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
        timing: Option<&Timing>,
        now: UtcMillis,
    ) -> Link {
        let waits_by_rules = match (self.state, then) {
            (Link::Review { why: stands }, Decision::Review { why: decided, .. }) => stands == decided,
            (Link::Review { .. }, Decision::Send { .. } | Decision::Block { .. }) => false,
            (_, Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }) => true,
        };
        match decision {
            Decision::Send { .. } if waits_by_rules => plan::first_state(decision, timing, now),
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

/// How much less a live link gives than it did: openings, seconds of life. `None`: nothing less.
pub(super) fn live_link(then: &Decision, now: &Decision) -> Option<(u16, u64)> {
    let (old, new) = (terms_of(then), terms_of(now));
    let less = old.join(&new);
    let is_less = less.opens < old.opens || less.expiry_seconds < old.expiry_seconds;
    is_less.then_some((less.opens.0.get(), less.expiry_seconds))
}

/// Whether a link that is out would not have left by itself.
pub(super) fn would_not_be_out(then: &Decision, now: &Decision) -> bool {
    action_of(now) > action_of(then)
}
