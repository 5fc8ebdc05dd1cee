//! What quiet hours keep: put off to its turn after their end, and counted where it was ready.
//!
//! Must stay true: a delivery that another worker holds is left alone; the moment at which one was first kept never changes.

use diesel::prelude::*;

use super::{postpone_delivery, row_version_of};
use crate::base::UtcMillis;
use crate::policy::quiet::QuietEnd;
use crate::store::Delivery;
use crate::store::conn::{Conn, Tx};
use crate::store::error::StoreError;
use crate::store::notices::first_attempts_since;
use crate::store::prepared::Prepare as _;
use crate::store::rows::unsigned;
use crate::store::schema::{delivery, notice};

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
    let kept_and_attempted: i64 = notice::table
        .inner_join(delivery::table.on(delivery::id.eq(notice::delivery_id)))
        .filter(notice::first_attempt_at.ge(from.0))
        .filter(notice::first_attempt_at.lt(until.0))
        .filter(delivery::kept_at.is_not_null())
        .count()
        .get_result(conn)?;
    Ok(at_most - kept_and_attempted)
}
