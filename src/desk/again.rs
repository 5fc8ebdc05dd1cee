//! Sending again under the rules of now.
//!
//! Must stay true: a new link is never easier than the rules in force allow, nor than the old one was; what they forbid is
//! not sent again.

use chrono_tz::Tz;

use super::holds::after_a_persons_word;
use super::{Desk, DeskError};
use crate::base::UtcMillis;
use crate::policy::{Decision, Facts, Moment, ReviewReason, Terms, Trace, decide_for_the_record};
use crate::record::{Link, LinkEvent};
use crate::store::Delivery;

/// What a new link is made under.
pub(super) struct Again {
    pub(super) facts: Facts,
    pub(super) decision: Decision,
    pub(super) trace: String,
    pub(super) rules_hash: String,
}

impl Desk {
    /// The old decision, joined with what the version in force says of the same facts. As long as no version was ever
    /// approved there is none to ask.
    pub(super) async fn decided_again(&self, old: &Delivery, facts: Facts) -> Result<Again, DeskError> {
        let kept = |facts| Again {
            facts,
            decision: old.decision.clone(),
            trace: old.trace.clone(),
            rules_hash: old.rules_hash.clone(),
        };
        let Some(bundle) = self.bundle_in_force(None).await? else { return Ok(kept(facts)) };
        let Ok(rules) = bundle.compile() else { return Err(DeskError::Stopped) };
        if rules.rules_hash_hex() == old.rules_hash {
            return Ok(kept(facts));
        }
        let zone = rules.timezone().unwrap_or(Tz::UTC);
        let decided = decide_for_the_record(&rules, &facts, Moment { now: self.clock.now(), zone });
        let terms = match decided.decision {
            Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms,
            Decision::Review { terms: None, .. } => Terms::by_hand(),
            Decision::Block { rule } => return Err(DeskError::ForbiddenNow { rule }),
        };
        let terms = match &old.decision {
            Decision::Send { terms: was } | Decision::Review { terms: Some(was), .. } => was.join(&terms),
            Decision::Review { terms: None, .. } | Decision::Block { .. } => terms,
        };
        if terms.channels.is_empty() {
            return Err(DeskError::NoChannel { rules: "of then and of now".to_owned() });
        }
        let trace = serde_json::to_string(&decided.trace)
            .map_err(|_| crate::store::StoreError::BadRow { column: "delivery.trace" })?;
        Ok(Again { facts, decision: Decision::Send { terms }, trace, rules_hash: rules.rules_hash_hex() })
    }
}

impl Again {
    /// Whether no link could be made any more, since its life counts from the report's own time.
    pub(super) fn is_too_late(&self, now: UtcMillis) -> bool {
        self.decision.terms_to_leave_under().are_too_late(self.facts.issued, now)
    }

    /// Where a person's word leads it: at once, or after a law's moment or a talk.
    pub(super) fn first_state(&self, old: &Delivery, now: UtcMillis) -> Link {
        if self.rules_hash == old.rules_hash {
            return Link::Recorded;
        }
        let schedule = serde_json::from_str::<Trace>(&self.trace).ok().and_then(|trace| trace.schedule);
        let to = after_a_persons_word(schedule.as_ref(), now);
        let asked = Link::Review { why: ReviewReason::DecidedOtherwise };
        match asked.clone().step(LinkEvent::ReleasedByStaff { to }, now) {
            Ok(step) => step.to().clone(),
            Err(_) => asked,
        }
    }
}
