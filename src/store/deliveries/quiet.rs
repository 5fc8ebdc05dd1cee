//! What quiet hours keep: put off to its turn after their end, and counted where it was ready.
//!
//! Must stay true: a delivery that another worker holds is left alone; the moment at which one was first kept never changes; no
//! link whose message may have arrived is ended here.

use diesel::prelude::*;

use super::{advance, postpone_delivery, row_version_of};
use crate::audit::Actor;
use crate::base::UtcMillis;
use crate::policy::quiet::QuietEnd;
use crate::record::{LinkEvent, Notice, NoticeEvent};
use crate::store::Delivery;
use crate::store::conn::{Conn, Tx};
use crate::store::error::StoreError;
use crate::store::notices::{NoticeRow, settle_notice};
use crate::store::prepared::Prepare as _;
use crate::store::rows::unsigned;
use crate::store::schema::{delivery, notice};
use crate::store::sent_lately::{first_attempts_since, kinds_counted};

/// Gives a leased delivery back, due at its turn behind those that wait for the same end. Workers who count at the same
/// moment may share a turn: the pace stays.
///
/// # Errors
/// [`StoreError`].
pub fn keep_until(tx: &mut Tx, delivery: &Delivery, end: QuietEnd, now: UtcMillis) -> Result<(), StoreError> {
    let ahead: i64 = delivery::table
        .filter(delivery::state.eq("recorded"))
        .filter(delivery::due_at.ge(end.at().0))
        .filter(delivery::due_at.lt(end.until().0))
        .count()
        .get_result(tx.conn())?;
    diesel::update(
        delivery::table
            .find(delivery.id.as_str())
            .filter(delivery::row_version.eq(row_version_of(delivery)))
            .filter(delivery::kept_at.is_null()),
    )
    .set(delivery::kept_at.eq(now.0))
    .prepared()
    .execute(tx.conn())?;
    postpone_delivery(tx, delivery, end.turn(unsigned("delivery.due_at", ahead)?))
}

/// Ends a message that quiet hours caught before it was handed over, and has the release step make it again when they end,
/// with another link, from the report and the address as they are then. One that may have arrived is not repeated by night
/// and its link stays; staff are told. The delivery has to be held.
///
/// # Errors
/// [`StoreError::Moved`] when the message has moved on.
pub fn make_again_after_quiet(
    tx: &mut Tx,
    before: &NoticeRow,
    owner: &Delivery,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let step = before.state.step(NoticeEvent::QuietBegan, now)?;
    let is_ended = *step.to() == Notice::Dead;
    let why = if is_ended {
        "quiet hours began before it could be handed over; it is made again when they end"
    } else {
        "quiet hours began while nobody can tell whether it arrived"
    };
    settle_notice(tx, before, owner, &step, Some(why), now)?;
    if !is_ended {
        return Ok(());
    }
    // Nothing of it has left: the breaker counts the one that will.
    diesel::update(notice::table.find(before.id.as_str()).filter(notice::state.eq("dead")))
        .set(notice::first_attempt_at.eq(None::<i64>))
        .prepared()
        .execute(tx.conn())?;
    let step = owner.state.clone().step(LinkEvent::QuietBegan, now)?;
    advance(tx, owner, &step, Actor::System, now)
}

/// How many messages became ready in `from <= t < until`, the breaker's measure: one that quiet hours kept, when they first
/// kept it; every other at its first attempt. Up to `few` this may be more than there were, and is cheaper to know.
///
/// # Errors
/// [`StoreError`].
pub fn ready_between(conn: &mut Conn, from: UtcMillis, until: UtcMillis, few: i64) -> Result<i64, StoreError> {
    let kept: i64 = delivery::table
        .filter(delivery::kept_at.ge(from.0))
        .filter(delivery::kept_at.lt(until.0))
        .count()
        .get_result(conn)?;
    let at_most = kept + first_attempts_since(conn, from, until)?;
    if at_most <= few {
        return Ok(at_most);
    }
    // Asked at each lease, and most clinics know no quiet hours. By a bound: for what is not null SQLite goes through the whole table.
    let any_kept: Option<Option<i64>> =
        delivery::table.filter(delivery::kept_at.ge(0)).select(delivery::kept_at).first(conn).optional()?;
    if any_kept.is_none() {
        return Ok(at_most);
    }
    let kept_and_attempted: i64 = notice::table
        .inner_join(delivery::table.on(delivery::id.eq(notice::delivery_id)))
        .filter(notice::first_attempt_at.ge(from.0))
        .filter(notice::first_attempt_at.lt(until.0))
        .filter(delivery::kept_at.is_not_null())
        .filter(notice::kind.eq_any(kinds_counted()?))
        .count()
        .get_result(conn)?;
    Ok(at_most - kept_and_attempted)
}
