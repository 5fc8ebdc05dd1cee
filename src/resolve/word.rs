//! What the rules say of each name of a document, and what that makes of the one link.
//!
//! Must stay true: the stricter word holds; what stands against an address or the time is no word about the document.

use super::again::{self, Afresh, course_of};
use super::document::Reading;
use super::plan::{self, Bearing, bearing_of};
use super::prepare::Prepared;
use super::redecide::{self, Verdict};
use crate::base::{SourceId, UtcMillis};
use crate::policy::schedule::Schedule;
use crate::policy::{Decision, ReviewReason, Trace};
use crate::record::{Link, LiveUntil};
use crate::store::{self, Delivery, Said, StoreError, Tx};

/// Under the stricter of what the rules say of this name and what they said of the others.
pub(super) fn under_all(tx: &mut Tx, prepared: &Prepared, others: &[SourceId]) -> Result<Said, StoreError> {
    let mut strictest = by_itself(prepared);
    for other in others {
        let Some(said) = said_by(tx, other)? else { continue };
        match compare(&strictest, &said) {
            Verdict::Tighter(decision) | Verdict::Mixed(decision) => {
                let is_longer = schedule_of(&said)
                    .is_some_and(|schedule| schedule.has_more_floor_than(schedule_of(&strictest).as_ref()));
                let trace = if is_longer || decision == said.decision { said.trace } else { strictest.trace };
                strictest = Said { decision, trace, rules_hash: strictest.rules_hash };
            }
            Verdict::Same | Verdict::Looser => {}
        }
    }
    Ok(strictest)
}

/// What the rules say of this name alone.
pub(super) fn by_itself(prepared: &Prepared) -> Said {
    Said { decision: prepared.decision.clone(), trace: prepared.trace.clone(), rules_hash: prepared.rules_hash.clone() }
}

/// The link that the document has under another name becomes as strict as this one asks, and ends if it could not be out.
pub(super) fn tighten_lead(
    tx: &mut Tx,
    reading: &Reading<'_>,
    lead: &Delivery,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let prepared = reading.prepared;
    let word = word_of(&prepared.decision).filter(|_| plan::is_understood(reading.read.status));
    let Some(word) = word else { return Ok(()) };
    let Some(lead) = store::hold_delivery(tx, &lead.id)?.filter(|lead| !lead.state.is_final()) else { return Ok(()) };
    // What is out gives less under other rules, and ends only by a person's word.
    let by_rules_alone = store::said_of(tx.conn(), &reading.source.id)?
        .is_some_and(|said| said.rules_hash != prepared.rules_hash && reading.is_known());
    let afresh = |decision: &Decision| Afresh {
        decision: decision.clone(),
        schedule: prepared.schedule.clone(),
        trace: prepared.trace.clone(),
        rules_hash: prepared.rules_hash.clone(),
    };
    let is_longer = afresh(&word).is_kept_longer_by_law(&lead);
    let verdict = redecide::compare(&lead.decision, &word);
    let verdict = if is_longer { verdict.under_a_stricter_law(&lead.decision, &word) } else { verdict };
    let (Verdict::Tighter(stricter) | Verdict::Mixed(stricter)) = verdict else { return Ok(()) };
    let both = afresh(&stricter);
    let waits = plan::first_state(&word, prepared.schedule.as_ref(), now) != Link::Recorded;
    let could_not_be_out = redecide::would_not_be_out(&lead.decision, &word)
        || redecide::asks_for_a_check(&lead.decision, &word)
        || waits && (is_longer || redecide::asks_for_more_first(&lead.decision, &word));
    match lead.state.lives_until() {
        None if course_of(&lead).is_released_by_a_person(&lead.decision) => Ok(()),
        None => again::tighten(tx, now, &lead, &stricter, &both).map(|_| ()),
        Some(until) if could_not_be_out && !(by_rules_alone && matches!(until, LiveUntil::At(_))) => {
            let why = again::why_not_out(&stricter, ReviewReason::SameElsewhere);
            again::keep_back(tx, now, &lead, why, &both)
        }
        Some(_) => match redecide::live_link(&lead.decision, &stricter) {
            Some(less) => again::lower(tx, now, &lead, &less, &prepared.rules_hash),
            None => Ok(()),
        },
    }
}

/// What the rules say of one name of a document; `None`: nothing. What stands against the address or the time is no word about
/// the document: the other name, of the same patient, has its own.
pub(super) fn word_of(decision: &Decision) -> Option<Decision> {
    match decision {
        Decision::Send { .. } | Decision::Block { .. } => Some(decision.clone()),
        Decision::Review { why: ReviewReason::NoRule, .. } => None,
        Decision::Review { why, terms } => match bearing_of(why) {
            Bearing::Itself | Bearing::Rules => Some(decision.clone()),
            Bearing::Address | Bearing::Time => terms.clone().map(|terms| Decision::Send { terms }),
        },
    }
}

/// What the rules said of another name, when it was last read or when it was decided.
fn said_by(tx: &mut Tx, other: &SourceId) -> Result<Option<Said>, StoreError> {
    if let Some(said) = store::said_of(tx.conn(), other)? {
        return Ok(Some(said));
    }
    // A name that was never understood said nothing.
    if store::source(tx.conn(), other)?.is_none_or(|row| row.content_hash.is_none()) {
        return Ok(None);
    }
    let latest = store::latest_delivery_of(tx.conn(), other)?.filter(|latest| !latest.rules_hash.is_empty());
    Ok(latest.and_then(|Delivery { decision, trace, rules_hash, .. }| {
        word_of(&decision).map(|decision| Said { decision, trace, rules_hash })
    }))
}

fn compare(then: &Said, now: &Said) -> Verdict {
    let verdict = redecide::compare(&then.decision, &now.decision);
    let is_longer = schedule_of(now).is_some_and(|schedule| schedule.has_more_floor_than(schedule_of(then).as_ref()));
    if is_longer { verdict.under_a_stricter_law(&then.decision, &now.decision) } else { verdict }
}

pub(super) fn schedule_of(said: &Said) -> Option<Schedule> {
    serde_json::from_str::<Trace>(&said.trace).ok().and_then(|trace| trace.schedule)
}
