//! Deliveries: one report on its way to one recipient under one decision.

mod facts_seen;
mod find;
mod forget;
mod holds;
mod quiet;
mod row;
mod shared;

use diesel::prelude::*;

pub use facts_seen::{FactsSeen, facts_seen};
pub(super) use find::by_ids;
pub use find::{
    DeliveryFilter, deliveries, delivery, delivery_of_link, latest_delivery_of, latest_delivery_with, links_of,
    next_issue_no, open_deliveries_of, open_deliveries_to, owner_of_link, standing_delivery_of,
};
pub use forget::{forget_cards, forget_facts};
pub use holds::{is_hold_over, lease_ended_holds};
pub use quiet::{keep_until, make_again_after_quiet, ready_between};
pub use row::{Delivery, DeliveryKind, Mode, NOTHING_READ, NewDelivery};
pub use shared::{
    give_back_companion, hold_deliveries, lease_companions, sharers_of, shorten_gathering, spend_if_used_up,
    wait_no_longer_than,
};
pub(super) use shared::{hold_link, ids_of_sharers};

use super::audit_log;
use super::conn::{LinkDeath, Tx};
use super::dialect;
use super::error::StoreError;
use super::lease::Renewed;
use super::prepared::Prepare as _;
use super::redecisions::waits_for_redecision;
use super::rows::to_json;
use super::schema::{delivery, former_link};
use super::{links, notices, openings, write_backs};
use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::{ClinicId, DeliveryId, EhrId, LinkId, UtcMillis, VersionId};
use crate::record::{BackstopAt, HoldEnd, Link, Step};
use row::{Row, columns};
use shared::Gathering;

/// # Errors
/// [`StoreError::Duplicate`] when this report version already has a delivery of that number.
pub fn insert_delivery(tx: &mut Tx, new: &NewDelivery, entry: &Entry) -> Result<(), StoreError> {
    let gathering = Gathering {
        kind: new.kind,
        group_index: new.group_index.as_ref(),
        decision: &new.decision,
        issued: new.facts.issued,
        trace: &new.trace,
    };
    let first_due = first_due(&new.state, new.mode, &entry.actor, &gathering, entry.at);
    diesel::insert_into(delivery::table)
        .values((
            (
                delivery::id.eq(new.id.as_str()),
                delivery::source_id.eq(new.source.as_str()),
                delivery::ehr.eq(new.ehr.as_str()),
                delivery::clinic.eq(new.clinic.as_ref().map(ClinicId::as_str)),
                delivery::report_version.eq(new.report_version.as_str()),
                delivery::content_hash.eq(new.content_hash.to_vec()),
                delivery::recipient.eq(to_json("delivery.recipient", &new.recipient)?),
                delivery::issue_no.eq(new.issue_no),
                delivery::mode.eq(new.mode.as_str()),
                delivery::kind.eq(new.kind.as_str()),
                delivery::row_version.eq(1_i64),
                delivery::state.eq(new.state.name()),
                delivery::state_detail.eq(to_json("delivery.state_detail", &new.state)?),
            ),
            (
                delivery::state_at.eq(entry.at.0),
                delivery::due_at.eq(first_due.map(|at| at.0)),
                delivery::decision.eq(to_json("delivery.decision", &new.decision)?),
                delivery::facts.eq(to_json("delivery.facts", &new.facts)?),
                delivery::trace.eq(&new.trace),
                delivery::rules_hash.eq(&new.rules_hash),
                delivery::card_sealed.eq(&new.card_sealed),
                delivery::contact_index.eq(new.contact_index.map(|index| index.to_vec())),
                delivery::patient_index.eq(new.patient_index.map(|index| index.to_vec())),
                delivery::replaces.eq(new.replaces.as_ref().map(DeliveryId::as_str)),
                delivery::created_at.eq(entry.at.0),
                delivery::group_index.eq(new.group_index.map(|index| index.to_vec())),
                delivery::addressee_index.eq(new.addressee.to_bytes()),
            ),
        ))
        .prepared()
        .execute(tx.conn())?;
    let whose = write_backs::Whose { id: &new.id, ehr: &new.ehr, mode: new.mode };
    write_backs::note_state(tx, whose, None, &new.state, entry.at)?;
    audit_log::append(tx, entry)
}

/// When the release step must look at a delivery in this state. In shadow it never must: what nobody may take up would be
/// passed over at each look.
const fn due_at(state: &Link, mode: Mode, now: UtcMillis) -> Option<UtcMillis> {
    match mode {
        Mode::Live => {}
        Mode::Shadow => return None,
    }
    match state {
        Link::Recorded => Some(now),
        Link::Held {
            until:
                HoldEnd::At(at)
                | HoldEnd::PersonBefore(BackstopAt { at, .. })
                | HoldEnd::Talk { before: BackstopAt { at, .. }, .. },
            ..
        } => Some(*at),
        Link::Held { until: HoldEnd::Person, .. }
        | Link::Review { .. }
        | Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => None,
    }
}

/// [`due_at`] of what was decided or held, after the wait for others of its group; what a person lets go leaves at once.
fn first_due(state: &Link, mode: Mode, actor: &Actor, gathering: &Gathering<'_>, now: UtcMillis) -> Option<UtcMillis> {
    let due = due_at(state, mode, now)?;
    match (state, actor) {
        (Link::Recorded, Actor::System) => Some(shared::gathers_until(gathering, due)),
        (_, Actor::System | Actor::Ehr(_) | Actor::Operator(_) | Actor::Holder) => Some(due),
    }
}

/// Writes a step that the table allows, its audit line, and what must go with it: a death wipes the link's
/// keys, ends its openings and cancels its notices in the same transaction, and other reports in the same link take the step
/// that this one means for them. The only writer of a delivery's state.
///
/// # Errors
/// [`StoreError::Moved`] when `before` is no longer what is stored.
pub fn advance(
    tx: &mut Tx,
    before: &Delivery,
    step: &Step<Link>,
    actor: Actor,
    at: UtcMillis,
) -> Result<(), StoreError> {
    if step.from() != &before.state {
        return Err(StoreError::Moved);
    }
    hold(tx, &before.id)?;
    let due = if let Link::Held { .. } = step.from() {
        first_due(step.to(), before.mode, &actor, &Gathering::of(before), at)
    } else {
        due_at(step.to(), before.mode, at)
    };
    write_step(tx, before, step, due, at)?;
    if let (Some(death), Some(link)) = (step.death(), &before.link) {
        links::shred_link(tx, link, at)?;
        openings::end_openings(tx, link, at)?;
        notices::cancel_notices(tx, link, at)?;
        tx.died(LinkDeath { link: link.clone(), death, at });
    }
    note_step(tx, before, step, actor, at)?;
    shared::advance_companions(tx, before, step, at)
}

fn write_step(
    tx: &mut Tx,
    before: &Delivery,
    step: &Step<Link>,
    due: Option<UtcMillis>,
    at: UtcMillis,
) -> Result<(), StoreError> {
    let changed =
        diesel::update(delivery::table.find(before.id.as_str()).filter(delivery::row_version.eq(before.row_version)))
            .set((
                delivery::row_version.eq(before.row_version + 1),
                delivery::state.eq(step.to().name()),
                delivery::state_detail.eq(to_json("delivery.state_detail", step.to())?),
                delivery::state_at.eq(at.0),
                delivery::due_at.eq(due.map(|at| at.0)),
                delivery::lease_until.eq(None::<i64>),
                delivery::tries.eq(0),
            ))
            .prepared()
            .execute(tx.conn())?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

fn note_step(tx: &mut Tx, before: &Delivery, step: &Step<Link>, actor: Actor, at: UtcMillis) -> Result<(), StoreError> {
    if let (Some(_), Some(link)) = (step.death(), &before.link) {
        audit_log::append(tx, &entry_for(before, at, Actor::System, AuditEvent::Shredded { link: link.clone() }))?;
    }
    write_backs::note_state(tx, write_backs::Whose::of(before), Some(step.from()), step.to(), at)?;
    let event = AuditEvent::Stepped { from: before.state.name().to_owned(), to: step.to().clone() };
    audit_log::append(tx, &entry_for(before, at, actor, event))
}

/// Holds a delivery with all that belongs to it: see [`audit_log::hold`].
pub(super) fn hold(tx: &mut Tx, id: &DeliveryId) -> Result<(), StoreError> {
    audit_log::hold(tx.conn(), &Chain::Delivery(id.clone()))
}

/// [`hold`], unless another transaction holds it: `false` then, at once.
pub(super) fn try_hold(tx: &mut Tx, id: &DeliveryId) -> Result<bool, StoreError> {
    audit_log::try_hold(tx.conn(), &Chain::Delivery(id.clone()))
}

/// A line for the delivery's own chain.
fn entry_for(delivery: &Delivery, at: UtcMillis, actor: Actor, event: AuditEvent) -> Entry {
    Entry { chain: Chain::Delivery(delivery.id.clone()), at, clinic: delivery.clinic.clone(), actor, event }
}

impl Delivery {
    /// A line for this delivery's chain.
    #[must_use]
    pub fn entry(&self, at: UtcMillis, actor: Actor, event: AuditEvent) -> Entry {
        entry_for(self, at, actor, event)
    }
}

/// Makes `link` the delivery's current one; that it had another is kept.
pub(super) fn attach_link(tx: &mut Tx, delivery_id: &DeliveryId, link: &LinkId) -> Result<(), StoreError> {
    let before: Option<String> =
        delivery::table.find(delivery_id.as_str()).select(delivery::link_id).first(tx.conn())?;
    if let Some(before) = before.filter(|before| before != link.as_str()) {
        diesel::insert_into(former_link::table)
            .values((former_link::delivery_id.eq(delivery_id.as_str()), former_link::link_id.eq(before)))
            .prepared()
            .execute(tx.conn())?;
    }
    diesel::update(delivery::table.find(delivery_id.as_str()))
        .set(delivery::link_id.eq(link.as_str()))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// [`delivery`], held until the transaction ends with those that share its link: nobody else moves it, its link, openings
/// or notices meanwhile, so a step from what is read here is never [`StoreError::Moved`].
///
/// # Errors
/// [`StoreError`].
pub fn hold_delivery(tx: &mut Tx, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
    shared::hold_with_sharers(tx, id)?;
    delivery(tx.conn(), id)
}

/// Keeps the card of the address that the link goes to.
///
/// # Errors
/// [`StoreError`].
pub fn set_card(tx: &mut Tx, id: &DeliveryId, sealed: &[u8], contact_index: &[u8; 32]) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(id.as_str()))
        .set((delivery::card_sealed.eq(sealed.to_vec()), delivery::contact_index.eq(contact_index.to_vec())))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// A new version said the same: the delivery now stands for it, beside others that already do. A release under way,
/// which may have fetched the older version's file, is not committed; it begins again.
///
/// # Errors
/// [`StoreError`].
pub fn set_report_version(tx: &mut Tx, delivery: &Delivery, version: &VersionId) -> Result<(), StoreError> {
    if delivery.report_version == *version {
        return Ok(());
    }
    let issue_no = next_issue_no(tx.conn(), &delivery.source, version)?;
    diesel::update(delivery::table.find(delivery.id.as_str()).filter(delivery::row_version.eq(delivery.row_version)))
        .set((
            delivery::report_version.eq(version.as_str()),
            delivery::issue_no.eq(issue_no),
            delivery::row_version.eq(delivery.row_version + 1),
            delivery::lease_until.eq(None::<i64>),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Leases up to `count` live deliveries of `ehr` whose release is due, until `until`; none while other rules have a say about
/// them first. Those that are held are [`lease_ended_holds`]'s.
///
/// # Errors
/// [`StoreError`].
pub fn lease_due_deliveries(
    tx: &mut Tx,
    ehr: &EhrId,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<Delivery>, StoreError> {
    if waits_for_redecision(tx.conn(), now)? {
        return Ok(Vec::new());
    }
    dialect::lease_in_turn(tx.conn(), &format!("lease:delivery:{ehr}"))?;
    let candidate = diesel::alias!(delivery as candidate);
    let due = candidate
        .filter(candidate.field(delivery::ehr).eq(ehr.as_str()))
        .filter(candidate.field(delivery::due_at).le(now.0))
        // Said by what it is not: of two indexes that both fit, the one of states would be taken for all EHRs.
        .filter(candidate.field(delivery::state).ne("held"))
        .filter(candidate.field(delivery::mode).eq(Mode::Live.as_str()))
        .filter(candidate.field(delivery::lease_until).is_null().or(candidate.field(delivery::lease_until).le(now.0)))
        .order(candidate.field(delivery::due_at).asc())
        .limit(count)
        .select(candidate.field(delivery::id));
    let rows: Vec<Row> = diesel::update(
        delivery::table
            .filter(delivery::id.eq_any(due))
            .filter(delivery::state.ne("held"))
            .filter(delivery::due_at.le(now.0))
            .filter(delivery::lease_until.is_null().or(delivery::lease_until.le(now.0))),
    )
    .set((
        delivery::lease_until.eq(until.0),
        delivery::lease_holder.eq(tx.holder()),
        delivery::tries.eq(delivery::tries + 1),
    ))
    .returning(columns!())
    .prepared()
    .load(tx.conn())?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// The row as its leaseholder read it: untouched by others, and not leased anew since.
macro_rules! as_leased {
    ($delivery:expr) => {
        delivery::table
            .find($delivery.id.as_str())
            .filter(delivery::row_version.eq($delivery.row_version))
            .filter(delivery::tries.eq($delivery.tries))
    };
}

use as_leased;

/// Lengthens the lease under which `delivery` was read.
///
/// # Errors
/// [`StoreError`].
pub fn renew_delivery_lease(
    tx: &mut Tx,
    delivery: Delivery,
    until: UtcMillis,
) -> Result<Renewed<Delivery>, StoreError> {
    let renewed =
        diesel::update(as_leased!(delivery)).set(delivery::lease_until.eq(until.0)).prepared().execute(tx.conn())?;
    Ok(if renewed == 1 { Renewed::Kept(delivery) } else { Renewed::Lost })
}

/// Something beside the row changed: what was prepared of it before is not committed.
///
/// # Errors
/// [`StoreError`].
pub fn outdate_preparations(tx: &mut Tx, id: &DeliveryId) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(id.as_str()))
        .set((delivery::row_version.eq(delivery::row_version + 1), delivery::lease_until.eq(None::<i64>)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Gives a leased delivery back, due again at `at`. A lease that went to somebody else is left alone.
///
/// # Errors
/// [`StoreError`].
pub fn postpone_delivery(tx: &mut Tx, delivery: &Delivery, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(as_leased!(delivery))
        .set((delivery::lease_until.eq(None::<i64>), delivery::due_at.eq(at.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Of the row as it was read.
pub(super) const fn row_version_of(delivery: &Delivery) -> i64 {
    delivery.row_version
}
