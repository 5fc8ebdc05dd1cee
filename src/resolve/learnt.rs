//! What the EHR says otherwise of a report that reads the same, and what that means for what has not left.
//!
//! Must stay true: nothing leaves as it was decided before; what waits for a person only ever becomes stricter.

use super::conclude::step;
use super::plan::{self, Decided};
use super::prepare::Prepared;
use super::redecide::{self, Verdict};
use crate::audit::{Actor, AuditEvent, Redecided};
use crate::base::UtcMillis;
use crate::policy::{Decision, ReviewReason};
use crate::record::{Link, LinkEvent};
use crate::store::{self, Delivery, StoreError, Tx};

/// Why a report that still says the same must not leave as it was decided.
pub(super) fn second_thought(delivery: &Delivery, prepared: &Prepared) -> Option<ReviewReason> {
    let schedule = delivery.schedule();
    let then = Decided {
        decision: &delivery.decision,
        facts: delivery.facts.as_ref(),
        schedule: schedule.as_ref(),
        contact: delivery.contact_index,
    };
    let now = Decided {
        decision: &prepared.decision,
        facts: Some(&prepared.facts),
        schedule: prepared.schedule.as_ref(),
        contact: prepared.contact_index,
    };
    plan::second_thought(&delivery.state, &then, &now)
}

/// A report in review about which the EHR says something else by now: what a person releases leaves under the stricter of
/// what was decided and what would be now.
pub(super) fn learn_in_review(
    tx: &mut Tx,
    delivery: Delivery,
    prepared: &Prepared,
    now: UtcMillis,
) -> Result<Delivery, StoreError> {
    let was_decided_by_rules = !delivery.rules_hash.is_empty();
    let is_news = delivery.facts.as_ref().is_some_and(|facts| *facts != prepared.facts);
    if !(matches!(delivery.state, Link::Review { .. }) && was_decided_by_rules && is_news) {
        return Ok(delivery);
    }
    let before = delivery.schedule();
    let is_longer = prepared.schedule.as_ref().is_some_and(|again| again.has_more_floor_than(before.as_ref()));
    let verdict = redecide::compare(&delivery.decision, &prepared.decision);
    let verdict =
        if is_longer { verdict.under_a_stricter_law(&delivery.decision, &prepared.decision) } else { verdict };
    let decision = match verdict {
        Verdict::Tighter(decision) | Verdict::Mixed(decision) => decision,
        Verdict::Same | Verdict::Looser => return Ok(delivery),
    };
    let event = AuditEvent::Redecided {
        rules_hash: prepared.rules_hash.clone(),
        decision: serde_json::to_string(&decision).map_err(|_| StoreError::BadRow { column: "delivery.decision" })?,
        how: Redecided::Tighter,
    };
    store::append(tx, &delivery.entry(now, Actor::Ehr(delivery.ehr.clone()), event))?;
    store::set_facts(tx, &delivery.id, &prepared.facts)?;
    let decided = store::set_decision(tx, &delivery, &decision, &prepared.trace, &prepared.rules_hash)?;
    if let Decision::Block { .. } = decision {
        step(tx, &decided, LinkEvent::Forbid, now)?;
        return store::delivery(tx.conn(), &decided.id)?.ok_or(StoreError::Moved);
    }
    Ok(decided)
}
