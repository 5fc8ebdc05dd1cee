//! Several deliveries with one link: found together, leased together, moved together.
//!
//! Must stay true: when a link ends, no delivery that shares it stays alive; who shares a link with whom is told by
//! `delivery.link_id` alone, so that one that got another link since shares the old one no more; those of one link are held
//! in the order of their ids, whoever holds them, so that steps which meet on it wait for each other, and never in a ring.

use std::time::Duration;

use diesel::prelude::*;

use super::row::{Delivery, Row, columns};
use super::{as_leased, due_at, find, hold, note_step, write_step};
use crate::audit::Actor;
use crate::base::{DeliveryId, LinkId, UtcMillis, hours};
use crate::policy::{Decision, Trace};
use crate::record::{Link, LinkEvent, LiveUntil, Step};
use crate::store::conn::{Conn, Tx};
use crate::store::dialect;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::rows::parse;
use crate::store::schema::delivery;
use crate::store::{DeliveryKind, Mode, links, openings};

/// So much later than it is due a report may leave.
const RELEASE_TAKES_MAX: Duration = hours(1);
/// After so many tries a report leaves without others: nothing about them keeps it back for ever.
const TRIES_WITH_OTHERS_MAX: i32 = 6;
/// One that failed more often is left to its own time: it holds up no group again and again.
const TRIES_AS_COMPANION_MAX: i32 = 1;

/// What tells how long a delivery waits for others.
pub(super) struct Gathering<'a> {
    pub(super) kind: DeliveryKind,
    pub(super) group_index: Option<&'a [u8; 32]>,
    pub(super) decision: &'a Decision,
    pub(super) issued: Option<UtcMillis>,
    pub(super) trace: &'a str,
}

impl<'a> Gathering<'a> {
    pub(super) fn of(delivery: &'a Delivery) -> Self {
        Self {
            kind: delivery.kind,
            group_index: delivery.group_index.as_ref(),
            decision: &delivery.decision,
            issued: delivery.facts.as_ref().and_then(|facts| facts.issued),
            trace: &delivery.trace,
        }
    }
}

/// Until when one that may leave by itself from `at` on waits for others of its group: never beyond a law's ceiling, and not
/// at all where the wait would eat up the life of its link. What takes the place of a link that the patient holds waits for
/// nothing.
pub(super) fn gathers_until(gathering: &Gathering<'_>, at: UtcMillis) -> UtcMillis {
    let Gathering { kind: DeliveryKind::New, group_index: Some(_), decision, issued, trace } = gathering else {
        return at;
    };
    let (Some(wait), Decision::Send { terms }) = (decision.gathers_for(), decision) else { return at };
    let schedule = serde_json::from_str::<Trace>(trace).ok().and_then(|trace| trace.schedule);
    let ceiling = schedule.and_then(|schedule| schedule.ceilings.first().map(|ceiling| ceiling.until));
    let until = ceiling.map_or(at.plus(wait), |ceiling| at.plus(wait).min(ceiling)).max(at);
    let ready = until.plus(RELEASE_TAKES_MAX);
    if terms.are_too_late(*issued, ready) { at } else { until }
}

/// All deliveries whose current link is `link`, oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn sharers_of(conn: &mut Conn, link: &LinkId) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Row> = delivery::table
        .filter(delivery::link_id.eq(link.as_str()))
        .order((delivery::created_at.asc(), delivery::id.asc()))
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// The ids of [`sharers_of`], in their order.
pub(in crate::store) fn ids_of_sharers(conn: &mut Conn, link: &LinkId) -> Result<Vec<DeliveryId>, StoreError> {
    let ids: Vec<String> = delivery::table
        .filter(delivery::link_id.eq(link.as_str()))
        .order(delivery::id.asc())
        .select(delivery::id)
        .load(conn)?;
    ids.iter().map(|id| parse("delivery.id", id)).collect()
}

/// Holds them in the order that is everybody's.
///
/// # Errors
/// [`StoreError`].
pub fn hold_deliveries<'a>(tx: &mut Tx, ids: impl Iterator<Item = &'a DeliveryId>) -> Result<(), StoreError> {
    let mut ids: Vec<&DeliveryId> = ids.collect();
    ids.sort();
    ids.into_iter().try_for_each(|id| hold(tx, id))
}

/// Holds a delivery with those that share its link.
pub(super) fn hold_with_sharers(tx: &mut Tx, id: &DeliveryId) -> Result<(), StoreError> {
    if !dialect::has_many_writers(tx.conn()) {
        return Ok(());
    }
    let link: Option<Option<String>> =
        delivery::table.find(id.as_str()).select(delivery::link_id).first(tx.conn()).optional()?;
    match link.flatten() {
        Some(link) => hold_link(tx, &parse("delivery.link_id", &link)?, id),
        None => hold(tx, id),
    }
}

/// Holds what shares `link`, and `owner`, which may share another by now.
pub(in crate::store) fn hold_link(tx: &mut Tx, link: &LinkId, owner: &DeliveryId) -> Result<(), StoreError> {
    let sharers = ids_of_sharers(tx.conn(), link)?;
    hold_deliveries(tx, sharers.iter().filter(|id| *id != owner).chain([owner]))
}

/// Takes the step that `step` of `moved` means for each other report in its link.
pub(super) fn advance_companions(
    tx: &mut Tx,
    moved: &Delivery,
    step: &Step<Link>,
    at: UtcMillis,
) -> Result<(), StoreError> {
    let (Some(event), Some(link)) = (step.for_companions(), &moved.link) else { return Ok(()) };
    for companion in sharers_of(tx.conn(), link)? {
        if companion.id == moved.id {
            continue;
        }
        hold(tx, &companion.id)?;
        let Some(companion) = find::delivery(tx.conn(), &companion.id)? else { continue };
        if companion.state.is_final() || companion.link.as_ref() != Some(link) {
            continue;
        }
        let is_replaced = event == LinkEvent::Parted && matches!(companion.state.lives_until(), Some(LiveUntil::At(_)));
        let step = companion.state.clone().step(event.clone(), at)?;
        write_step(tx, &companion, &step, due_at(step.to(), companion.mode, at), at)?;
        note_step(tx, &companion, &step, Actor::System, at)?;
        if is_replaced {
            // The patient may hold the old link: the next message says that it is replaced.
            diesel::update(delivery::table.find(companion.id.as_str()))
                .set(delivery::kind.eq(DeliveryKind::Updated.as_str()))
                .prepared()
                .execute(tx.conn())?;
        }
    }
    Ok(())
}

/// Leases those that wait to be released with `lead`, up to `count`, the oldest first, until `until`.
///
/// # Errors
/// [`StoreError`].
pub fn lease_companions(
    tx: &mut Tx,
    lead: &Delivery,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let (Link::Recorded, Some(group), Some(_)) = (&lead.state, &lead.group_index, lead.decision.gathers_for()) else {
        return Ok(Vec::new());
    };
    if lead.tries > TRIES_WITH_OTHERS_MAX {
        return Ok(Vec::new());
    }
    dialect::lease_in_turn(tx.conn(), &format!("lease:delivery:{}", lead.ehr))?;
    let candidates: Vec<String> = delivery::table
        .filter(delivery::group_index.eq(group.to_vec()))
        .filter(delivery::state.eq(Link::Recorded.name()))
        .filter(delivery::mode.eq(Mode::Live.as_str()))
        .filter(delivery::id.ne(lead.id.as_str()))
        .filter(delivery::lease_until.is_null().or(delivery::lease_until.le(now.0)))
        .filter(delivery::tries.le(TRIES_AS_COMPANION_MAX).or(delivery::due_at.le(now.0)))
        .order((delivery::created_at.asc(), delivery::id.asc()))
        .limit(count)
        .select(delivery::id)
        .load(tx.conn())?;
    let rows: Vec<Row> = diesel::update(
        delivery::table
            .filter(delivery::id.eq_any(candidates))
            .filter(delivery::state.eq(Link::Recorded.name()))
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
    let mut leased: Vec<Delivery> = rows.into_iter().map(Delivery::try_from).collect::<Result<_, _>>()?;
    leased.sort_by(|one, other| (one.created_at, one.id.as_str()).cmp(&(other.created_at, other.id.as_str())));
    Ok(leased)
}

/// One that waits for others waits no longer than its decision, which may have become another, lets it.
///
/// # Errors
/// [`StoreError`].
pub fn shorten_gathering(tx: &mut Tx, delivery: &Delivery, now: UtcMillis) -> Result<(), StoreError> {
    let (Link::Recorded, Some(due), 0) = (&delivery.state, delivery.due_at, delivery.tries) else { return Ok(()) };
    let until = gathers_until(&Gathering::of(delivery), delivery.state_at).max(now);
    if until < due { super::postpone_delivery(tx, delivery, until) } else { Ok(()) }
}

/// What takes the place of one that waited for others waits no longer than that would have.
///
/// # Errors
/// [`StoreError`].
pub fn wait_no_longer_than(tx: &mut Tx, replaced: &Delivery, by: &DeliveryId) -> Result<(), StoreError> {
    let (Link::Recorded, Some(due)) = (&replaced.state, replaced.due_at) else { return Ok(()) };
    let waits = delivery::table.find(by.as_str()).filter(delivery::state.eq(Link::Recorded.name()));
    diesel::update(waits.filter(delivery::due_at.gt(due.0)))
        .set(delivery::due_at.eq(due.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Gives back one that was leased with another and does not leave with it: due when it was, and no try counted. Whoever had
/// it leased so has it no more, though the next lease counts the same tries.
///
/// # Errors
/// [`StoreError`].
pub fn give_back_companion(tx: &mut Tx, companion: &Delivery) -> Result<(), StoreError> {
    diesel::update(as_leased!(companion))
        .set((
            delivery::lease_until.eq(None::<i64>),
            delivery::tries.eq((companion.tries - 1).max(0)),
            delivery::row_version.eq(companion.row_version + 1),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Ends a link all whose openings were given out and have ended. One that is refused for now is not ended: its report may
/// still be taken back, and its holder is told that.
///
/// # Errors
/// [`StoreError`].
pub fn spend_if_used_up(tx: &mut Tx, link: &LinkId, actor: Actor, now: UtcMillis) -> Result<(), StoreError> {
    let Some(row) = links::link(tx.conn(), link)? else { return Ok(()) };
    if row.opened < row.opens_max || openings::running_claims(tx.conn(), link, now)? > 0 {
        return Ok(());
    }
    let Some(owner) = find::delivery_of_link(tx.conn(), link)? else { return Ok(()) };
    let Some(owner) = super::hold_delivery(tx, &owner.id)? else { return Ok(()) };
    match owner.state.clone().step(LinkEvent::LastLeaseEnded, now) {
        Ok(step) => super::advance(tx, &owner, &step, actor, now),
        // Refused, or dead already by another way.
        Err(_) => Ok(()),
    }
}
