//! What the EHR says otherwise of a report that reads the same, and what that means for what has not left.
//!
//! Must stay true: nothing leaves as it was decided before; what waits for a person only ever becomes stricter; what is kept
//! of a report that waits is what the EHR last said, so that other rules decide about what is true.

use super::again::course_of;
use super::conclude::step;
use super::plan::{self, Decided};
use super::prepare::Prepared;
use super::redecide::{self, Verdict};
use crate::audit::{Actor, AuditEvent, Redecided};
use crate::base::UtcMillis;
use crate::policy::schedule::Schedule;
use crate::policy::{Decision, ReviewReason, Trace};
use crate::record::{Link, LinkEvent};
use crate::store::{self, Delivery, Noted, NotedVerdict, StoreError, Tx};

/// Looks once more at a report that reads the same: it waits for a person if it must not leave as it was decided, and what the
/// EHR says by now is kept beside the decision.
pub(super) fn learn(
    tx: &mut Tx,
    delivery: Delivery,
    prepared: &Prepared,
    now: UtcMillis,
) -> Result<Delivery, StoreError> {
    let was_decided_by_rules = !delivery.rules_hash.is_empty();
    let is_news = delivery.facts.as_ref().is_some_and(|facts| *facts != prepared.facts);
    if let Some(why) = second_thought(&delivery, prepared) {
        step(tx, &delivery, LinkEvent::NeedsReview { why }, now)?;
        let delivery = store::delivery(tx.conn(), &delivery.id)?.ok_or(StoreError::Moved)?;
        // A person's word about it is about all that is known now, not about what it was held against.
        return learn_in_review(tx, &delivery, prepared, now);
    }
    if !(was_decided_by_rules && is_news) {
        return Ok(delivery);
    }
    match delivery.state {
        Link::Review { .. } => learn_in_review(tx, &delivery, prepared, now),
        Link::Recorded | Link::Held { .. } if stands(&delivery, prepared) => {
            let decision = delivery.decision.clone();
            keep(tx, &delivery, prepared, &decision, Redecided::Stands, now)
        }
        // A person released it as it was, or it has left.
        Link::Recorded
        | Link::Held { .. }
        | Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => Ok(delivery),
    }
}

/// Why a report that still says the same must not leave as it was decided.
fn second_thought(delivery: &Delivery, prepared: &Prepared) -> Option<ReviewReason> {
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

/// Whether it would leave under the very terms that were decided.
fn stands(delivery: &Delivery, prepared: &Prepared) -> bool {
    let is_blocked = matches!(prepared.decision, Decision::Block { .. });
    let is_same = delivery.decision.terms_to_leave_under() == prepared.decision.terms_to_leave_under();
    !is_blocked && is_same && !is_kept_longer(delivery.schedule().as_ref(), prepared)
}

fn is_kept_longer(before: Option<&Schedule>, prepared: &Prepared) -> bool {
    prepared.schedule.as_ref().is_some_and(|again| again.has_more_floor_than(before))
}

/// What a person releases leaves under the stricter of what was decided and what would be now.
fn learn_in_review(
    tx: &mut Tx,
    delivery: &Delivery,
    prepared: &Prepared,
    now: UtcMillis,
) -> Result<Delivery, StoreError> {
    let verdict = redecide::compare(&delivery.decision, &prepared.decision);
    let verdict = if is_kept_longer(delivery.schedule().as_ref(), prepared) {
        verdict.under_a_stricter_law(&delivery.decision, &prepared.decision)
    } else {
        verdict
    };
    let then = &delivery.decision;
    let (decision, how, is_easier) = match verdict {
        Verdict::Same => (then.clone(), Redecided::Stands, false),
        Verdict::Looser => (then.clone(), Redecided::Stands, true),
        Verdict::Tighter(decision) => (decision, Redecided::Tighter, false),
        Verdict::Mixed(decision) => (decision, Redecided::Tighter, true),
    };
    let decided = keep(tx, delivery, prepared, &decision, how, now)?;
    if let Decision::Block { .. } = decision {
        step(tx, &decided, LinkEvent::Forbid, now)?;
        return store::delivery(tx.conn(), &decided.id)?.ok_or(StoreError::Moved);
    }
    if is_easier {
        note_easier(tx, &decided, then, prepared, now)?;
    }
    Ok(decided)
}

/// What would be easier now is for a person to say, as after a change of the rules; while no version is in force nobody can.
fn note_easier(
    tx: &mut Tx,
    delivery: &Delivery,
    then: &Decision,
    prepared: &Prepared,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let in_force = store::rules_in_force(tx.conn(), now)?;
    if in_force.is_none_or(|row| row.hash != prepared.rules_hash) {
        return Ok(());
    }
    let state = course_of(delivery).looser_state(then, &prepared.decision, prepared.schedule.as_ref(), now);
    let noted = Noted {
        delivery: delivery.id.clone(),
        rules_hash: prepared.rules_hash.clone(),
        verdict: NotedVerdict::Looser,
        decision: prepared.decision.clone(),
        trace: prepared.trace.clone(),
        state,
        noted_at: now,
    };
    store::note_redecision(tx, &noted)
}

/// Keeps what the EHR says now, and what was decided about it.
fn keep(
    tx: &mut Tx,
    delivery: &Delivery,
    prepared: &Prepared,
    decision: &Decision,
    how: Redecided,
    now: UtcMillis,
) -> Result<Delivery, StoreError> {
    let event = AuditEvent::Redecided {
        rules_hash: prepared.rules_hash.clone(),
        decision: serde_json::to_string(decision).map_err(|_| StoreError::BadRow { column: "delivery.decision" })?,
        how,
    };
    store::append(tx, &delivery.entry(now, Actor::Ehr(delivery.ehr.clone()), event))?;
    // What other rules would decide was about what the EHR said before.
    store::forget_redecision(tx, &delivery.id)?;
    store::set_facts(tx, &delivery.id, &prepared.facts)?;
    let trace = trace_over(delivery.schedule().as_ref(), prepared)?;
    store::set_decision(tx, delivery, decision, &trace, &prepared.rules_hash)
}

/// The new reasons, under the laws' waits that stood before: only their end ends them, not what the EHR says.
fn trace_over(before: Option<&Schedule>, prepared: &Prepared) -> Result<String, StoreError> {
    let Some(before) = before else { return Ok(prepared.trace.clone()) };
    let bad = |_| StoreError::BadRow { column: "delivery.trace" };
    let trace: Trace = serde_json::from_str(&prepared.trace).map_err(bad)?;
    let schedule = Some(trace.schedule.map_or_else(|| before.clone(), |again| again.with_floors_of(before)));
    serde_json::to_string(&Trace { schedule, ..trace }).map_err(bad)
}
