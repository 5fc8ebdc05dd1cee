//! Other rules came into force: what is on its way is decided again, some deliveries at a time.
//!
//! Must stay true: what becomes stricter does so by itself, what becomes looser waits for a person, what is out only ever
//! gives less; each batch is one transaction with the mark of how far it came, so that a crash repeats and skips nothing.

use std::collections::HashMap;

use chrono_tz::Tz;

use super::plan;
use super::redecide::{self, Course, Verdict};
use super::suspend::shares_link;
use super::timetable::{InForce, Standing};
use super::{Resolve, ResolveError};
use crate::audit::{Actor, AuditEvent, HealthLinkEvent, Redecided};
use crate::base::{EhrId, UtcMillis};
use crate::policy::schedule::Schedule;
use crate::policy::{self, Available, Decision, Facts, Moment, OpeningTerms, ReviewReason, Terms};
use crate::record::{Link, LinkEvent, LiveUntil};
use crate::store::{self, Delivery, Noted, NotedVerdict, StoreError, Tx};

/// Deliveries in one transaction.
const BATCH: i64 = 25;

/// What a batch stands on.
struct Ground {
    in_force: InForce,
    available: Available,
    /// Of each EHR's clinic.
    zones: HashMap<EhrId, Tz>,
    now: UtcMillis,
}

/// What the rules in force say of one delivery.
pub(super) struct Afresh {
    pub(super) decision: Decision,
    pub(super) schedule: Option<Schedule>,
    pub(super) trace: String,
    pub(super) rules_hash: String,
}

impl Afresh {
    /// Law packs ask for no column: what they add is in the schedule alone.
    pub(super) fn is_kept_longer_by_law(&self, delivery: &Delivery) -> bool {
        let before = delivery.schedule();
        self.schedule.as_ref().is_some_and(|schedule| schedule.has_more_floor_than(before.as_ref()))
    }
}

impl Resolve {
    fn zones(&self) -> HashMap<EhrId, Tz> {
        self.ehrs.iter().map(|ehr| (ehr.client.id().clone(), ehr.zone)).collect()
    }

    /// Decides the next deliveries again, if the rules in force are not those of the last time. Returns how many.
    pub(super) async fn decide_again(&self, now: UtcMillis) -> Result<usize, ResolveError> {
        let in_force = self.rules.at(now);
        let Some(activation) = in_force.activation.filter(|n| !self.rules.is_redecided(*n)) else { return Ok(0) };
        if in_force.standing == Standing::StandIn {
            // A replica that can read the version does this.
            return Ok(0);
        }
        let ground = Ground { in_force, available: self.available.clone(), zones: self.zones(), now };
        let count = self.store.write(move |tx| next_batch(tx, &ground, activation)).await?;
        match count {
            Batch::Some(count) => Ok(count),
            Batch::Last => {
                self.rules.redecided(activation);
                Ok(0)
            }
            Batch::NotOurs => Ok(0),
        }
    }
}

enum Batch {
    Some(usize),
    /// Nothing is left.
    Last,
    /// Another replica is at it, or other rules are in force by now.
    NotOurs,
}

fn next_batch(tx: &mut Tx, ground: &Ground, activation: i64) -> Result<Batch, StoreError> {
    store::share_rules(tx)?;
    if store::rules_in_force(tx.conn(), ground.now)?.map(|row| row.n) != Some(activation) {
        return Ok(Batch::NotOurs);
    }
    let after = match store::begin_redecision(tx, activation)? {
        store::Redecision::From(after) => after,
        store::Redecision::Done => return Ok(Batch::Last),
        store::Redecision::Elsewhere => return Ok(Batch::NotOurs),
    };
    let ids = store::undecided_after(tx.conn(), after.as_ref(), BATCH)?;
    for id in &ids {
        if let Some(delivery) = store::hold_delivery(tx, id)? {
            decide_one(tx, ground, &delivery)?;
        }
    }
    let count = ids.len();
    if count == 0 {
        // What other names of a document say is known from their readings alone.
        store::read_twins_again(tx, ground.now)?;
    }
    store::went_on_to(tx, activation, ids.into_iter().next_back(), ground.now)?;
    Ok(if count == 0 { Batch::Last } else { Batch::Some(count) })
}

fn decide_one(tx: &mut Tx, ground: &Ground, delivery: &Delivery) -> Result<(), StoreError> {
    store::forget_redecision(tx, &delivery.id)?;
    // What could not be read was decided by no rules; what they decide already is theirs.
    let Some(facts) = delivery.facts.as_ref().filter(|_| !delivery.rules_hash.is_empty()) else { return Ok(()) };
    if delivery.rules_hash == ground.in_force.hash {
        return Ok(());
    }
    let afresh = decide(ground, delivery, facts)?;
    match delivery.state {
        Link::Recorded | Link::Held { .. } | Link::Review { .. } => unsent(tx, ground, delivery, afresh),
        Link::Live { .. } | Link::Suspended { .. } => sent(tx, ground, delivery, afresh),
        Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => Ok(()),
    }
}

fn decide(ground: &Ground, delivery: &Delivery, facts: &Facts) -> Result<Afresh, StoreError> {
    let zone = ground.zones.get(&delivery.ehr).copied().unwrap_or(Tz::UTC);
    let decided = policy::decide_for_the_record(&ground.in_force.rules, facts, Moment { now: ground.now, zone });
    let trace = serde_json::to_string(&decided.trace).map_err(|_| StoreError::BadRow { column: "delivery.trace" })?;
    let decision = redecide::under_old_objection(decided.decision.within(&ground.available), &delivery.decision);
    Ok(Afresh { decision, schedule: decided.schedule, trace, rules_hash: ground.in_force.hash.clone() })
}

fn unsent(tx: &mut Tx, ground: &Ground, delivery: &Delivery, afresh: Afresh) -> Result<(), StoreError> {
    if course_of(delivery).is_released_by_a_person(&delivery.decision) {
        return Ok(());
    }
    let verdict = redecide::compare(&delivery.decision, &afresh.decision);
    let verdict = if afresh.is_kept_longer_by_law(delivery) {
        verdict.under_a_stricter_law(&delivery.decision, &afresh.decision)
    } else {
        verdict
    };
    match verdict {
        Verdict::Same => Ok(()),
        Verdict::Tighter(decision) => tighten(tx, ground.now, delivery, &decision, &afresh).map(|_| ()),
        Verdict::Looser => note(tx, ground, delivery, afresh, NotedVerdict::Looser),
        Verdict::Mixed(decision) => {
            let tightened = tighten(tx, ground.now, delivery, &decision, &afresh)?;
            if tightened.state.is_final() {
                return Ok(());
            }
            note(tx, ground, &tightened, afresh, NotedVerdict::Looser)
        }
    }
}

pub(super) fn course_of(delivery: &Delivery) -> Course<'_> {
    let issued = delivery.facts.as_ref().and_then(|facts| facts.issued).unwrap_or(delivery.created_at);
    // The report's own time may be another by now; its hold began with the first.
    let began = delivery.schedule().map_or(issued, |schedule| schedule.from);
    let counts_from = issued.min(began).min(delivery.created_at);
    Course { state: &delivery.state, state_at: delivery.state_at, counts_from }
}

pub(super) fn tighten(
    tx: &mut Tx,
    now: UtcMillis,
    delivery: &Delivery,
    decision: &Decision,
    afresh: &Afresh,
) -> Result<Delivery, StoreError> {
    let event = AuditEvent::Redecided {
        rules_hash: afresh.rules_hash.clone(),
        decision: serde_json::to_string(decision).map_err(|_| StoreError::BadRow { column: "delivery.decision" })?,
        how: Redecided::Tighter,
    };
    store::append(tx, &delivery.entry(now, Actor::System, event))?;
    let decided = store::set_decision(tx, delivery, decision, &afresh.trace, &afresh.rules_hash)?;
    let Some(event) = course_of(&decided).tighter_step(decision, afresh.schedule.as_ref(), now) else {
        store::shorten_gathering(tx, &decided, now)?;
        return Ok(decided);
    };
    let step = decided.state.clone().step(event, now)?;
    store::advance(tx, &decided, &step, Actor::System, now)?;
    store::delivery(tx.conn(), &decided.id)?.ok_or(StoreError::Moved)
}

/// Keeps for a person what the rules in force would do.
fn note(
    tx: &mut Tx,
    ground: &Ground,
    delivery: &Delivery,
    afresh: Afresh,
    verdict: NotedVerdict,
) -> Result<(), StoreError> {
    let state = match verdict {
        NotedVerdict::Looser => {
            course_of(delivery).looser_state(&delivery.decision, &afresh.decision, afresh.schedule.as_ref(), ground.now)
        }
        NotedVerdict::Stricter => delivery.state.clone(),
    };
    let noted = Noted {
        delivery: delivery.id.clone(),
        rules_hash: ground.in_force.hash.clone(),
        verdict,
        decision: afresh.decision,
        trace: afresh.trace,
        state,
        noted_at: ground.now,
    };
    store::note_redecision(tx, &noted)
}

fn sent(tx: &mut Tx, ground: &Ground, delivery: &Delivery, afresh: Afresh) -> Result<(), StoreError> {
    let waits = plan::first_state(&afresh.decision, afresh.schedule.as_ref(), ground.now);
    let asks_for_more = redecide::asks_for_more_first(&delivery.decision, &afresh.decision) && waits != Link::Recorded
        || redecide::asks_for_a_check(&delivery.decision, &afresh.decision)
        || afresh.is_kept_longer_by_law(delivery) && waits != Link::Recorded;
    let would_not_be_out = redecide::would_not_be_out(&delivery.decision, &afresh.decision);
    if let Link::Live { until: LiveUntil::NotHandedOver } = delivery.state {
        if asks_for_more || would_not_be_out {
            let why = why_not_out(&afresh.decision, ReviewReason::DecidedOtherwise);
            return keep_back(tx, ground.now, delivery, why, &afresh);
        }
        if redecide::shares_no_longer(&delivery.decision, &afresh.decision) && shares_link(tx, delivery)? {
            return part(tx, ground, delivery, &afresh);
        }
    }
    if would_not_be_out {
        return note(tx, ground, delivery, afresh, NotedVerdict::Stricter);
    }
    withdraw_health_link(tx, ground.now, delivery, &afresh.decision)?;
    match redecide::live_link(&delivery.decision, &afresh.decision) {
        Some(less) => lower(tx, ground.now, delivery, &less, &afresh.rules_hash),
        None => Ok(()),
    }
}

/// What a health app may fetch of a link that is out ends where rules offer it no more, or only with a passcode.
fn withdraw_health_link(
    tx: &mut Tx,
    now: UtcMillis,
    delivery: &Delivery,
    decision: &Decision,
) -> Result<(), StoreError> {
    let (Some(link), Decision::Send { terms }) = (&delivery.link, decision) else { return Ok(()) };
    if store::withdraw_health_link(tx, link, terms.health_link())? == 0 {
        return Ok(());
    }
    let event = AuditEvent::HealthLink { link: link.clone(), what: HealthLinkEvent::Withdrawn };
    store::append(tx, &delivery.entry(now, Actor::System, event))
}

/// It ends, and waits for a person or is forbidden.
pub(super) fn keep_back(
    tx: &mut Tx,
    now: UtcMillis,
    delivery: &Delivery,
    why: ReviewReason,
    afresh: &Afresh,
) -> Result<(), StoreError> {
    let step = delivery.state.clone().step(LinkEvent::NeedsReview { why }, now)?;
    store::advance(tx, delivery, &step, Actor::System, now)?;
    let kept = store::delivery(tx.conn(), &delivery.id)?.ok_or(StoreError::Moved)?;
    tighten(tx, now, &kept, &afresh.decision, afresh).map(|_| ())
}

/// Why a link under this decision is not out; `otherwise`: it may be, under other terms.
pub(super) fn why_not_out(decision: &Decision, otherwise: ReviewReason) -> ReviewReason {
    match decision {
        Decision::Review { why, .. } => why.clone(),
        Decision::Block { rule } => ReviewReason::RuleAsks { rule: rule.clone() },
        Decision::Send { .. } => otherwise,
    }
}

/// Its message has not left, and it may share that link no more: each report in it leaves again.
fn part(tx: &mut Tx, ground: &Ground, delivery: &Delivery, afresh: &Afresh) -> Result<(), StoreError> {
    let step = delivery.state.clone().step(LinkEvent::Parted, ground.now)?;
    store::advance(tx, delivery, &step, Actor::System, ground.now)?;
    let parted = store::delivery(tx.conn(), &delivery.id)?.ok_or(StoreError::Moved)?;
    match redecide::compare(&parted.decision, &afresh.decision) {
        Verdict::Tighter(decision) | Verdict::Mixed(decision) => {
            tighten(tx, ground.now, &parted, &decision, afresh).map(|_| ())
        }
        Verdict::Same | Verdict::Looser => Ok(()),
    }
}

/// Takes openings, life and whatever else an opening was given from a link that is out.
pub(super) fn lower(
    tx: &mut Tx,
    now: UtcMillis,
    delivery: &Delivery,
    terms: &Terms,
    rules_hash: &str,
) -> Result<(), StoreError> {
    let Some(id) = &delivery.link else { return Ok(()) };
    let Some(link) = store::link(tx.conn(), id)? else { return Ok(()) };
    // What was opened was opened.
    let (opens_max, life_seconds) = (terms.opens.0.get().max(link.opened), terms.expiry_seconds);
    let less = std::time::Duration::from_secs(link.life_seconds.saturating_sub(life_seconds));
    let expires_at = link.expires_at.map(|at| at.minus(less));
    let opening = OpeningTerms::from(terms);
    if store::tighten_link(tx, id, opens_max, life_seconds, expires_at, &opening)? == 0 {
        return Ok(());
    }
    let rules_hash = rules_hash.to_owned();
    let event = AuditEvent::LinkTightened { link: id.clone(), rules_hash, opens_max, life_seconds };
    store::append(tx, &delivery.entry(now, Actor::System, event))?;
    if let (Some(expires_at), Link::Live { until: LiveUntil::At(_) } | Link::Suspended { until: LiveUntil::At(_), .. }) =
        (expires_at, &delivery.state)
        && let Ok(step) = delivery.state.clone().step(LinkEvent::Shorten { expires_at }, now)
    {
        store::advance(tx, delivery, &step, Actor::System, now)?;
    }
    store::spend_if_used_up(tx, id, Actor::System, now)
}
