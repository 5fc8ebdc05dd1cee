//! Several deliveries with one link: found together, leased together, moved together.
//!
//! Must stay true: when a link ends, no delivery that shares it stays alive; who shares a link with whom is told by
//! `delivery.link_id` alone, so that one that got another link since shares the old one no more.

use diesel::prelude::*;

use super::row::{Delivery, Row, columns};
use super::{as_leased, due_at, find, hold, note_step, write_step};
use crate::audit::Actor;
use crate::base::{LinkId, UtcMillis};
use crate::policy::{Decision, Trace};
use crate::record::{Link, LinkEvent, Step};
use crate::store::conn::{Conn, Tx};
use crate::store::dialect;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::delivery;
use crate::store::{DeliveryKind, Mode, links, openings};

/// What tells how long a delivery waits for others.
pub(super) struct Gathering<'a> {
    pub(super) kind: DeliveryKind,
    pub(super) group_index: Option<&'a [u8; 32]>,
    pub(super) decision: &'a Decision,
    pub(super) trace: &'a str,
}

/// Until when one that may leave by itself from `at` on waits for others of its group: never beyond a law's ceiling. What
/// takes the place of a link that the patient holds waits for nothing.
pub(super) fn gathers_until(gathering: &Gathering<'_>, at: UtcMillis) -> UtcMillis {
    let Gathering { kind: DeliveryKind::New, group_index: Some(_), decision, trace } = gathering else { return at };
    let Some(wait) = decision.gathers_for() else { return at };
    let schedule = serde_json::from_str::<Trace>(trace).ok().and_then(|trace| trace.schedule);
    let ceiling = schedule.and_then(|schedule| schedule.ceilings.first().map(|ceiling| ceiling.until));
    ceiling.map_or(at.plus(wait), |ceiling| at.plus(wait).min(ceiling)).max(at)
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
        let is_parted = event == LinkEvent::Parted;
        let step = companion.state.clone().step(event.clone(), at)?;
        write_step(tx, &companion, &step, due_at(step.to(), companion.mode, at), at)?;
        note_step(tx, &companion, &step, Actor::System, at)?;
        if is_parted {
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
    let (Some(group), Some(_)) = (&lead.group_index, lead.decision.gathers_for()) else { return Ok(Vec::new()) };
    dialect::lease_in_turn(tx.conn(), &format!("lease:delivery:{}", lead.ehr))?;
    let candidates: Vec<String> = delivery::table
        .filter(delivery::group_index.eq(group.to_vec()))
        .filter(delivery::state.eq(Link::Recorded.name()))
        .filter(delivery::mode.eq(Mode::Live.as_str()))
        .filter(delivery::id.ne(lead.id.as_str()))
        .filter(delivery::lease_until.is_null().or(delivery::lease_until.le(now.0)))
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

/// Gives back one that was leased with another and does not leave with it: due when it was, and no try counted.
///
/// # Errors
/// [`StoreError`].
pub fn give_back_companion(tx: &mut Tx, companion: &Delivery) -> Result<(), StoreError> {
    diesel::update(as_leased!(companion))
        .set((delivery::lease_until.eq(None::<i64>), delivery::tries.eq((companion.tries - 1).max(0))))
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
