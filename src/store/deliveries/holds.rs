//! Holds whose time has come. To end one asks no EHR, so they are found and leased apart from what does.

use diesel::prelude::*;

use super::row::{Delivery, Mode, Row, columns};
use crate::base::UtcMillis;
use crate::store::conn::{Conn, Tx};
use crate::store::dialect;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::redecisions::waits_for_redecision;
use crate::store::schema::delivery;

/// Whether there is a hold to end: a look that leases nothing.
///
/// # Errors
/// [`StoreError`].
pub fn is_hold_over(conn: &mut Conn, now: UtcMillis) -> Result<bool, StoreError> {
    let first: Option<String> = delivery::table
        .filter(delivery::state.eq("held"))
        .filter(delivery::due_at.le(now.0))
        .filter(delivery::mode.eq(Mode::Live.as_str()))
        .filter(delivery::lease_until.is_null().or(delivery::lease_until.le(now.0)))
        .order(delivery::due_at.asc())
        .select(delivery::id)
        .first(conn)
        .optional()?;
    Ok(first.is_some())
}

/// Leases up to `count` live deliveries of any EHR whose hold is over, until `until`; none while other rules have a say about
/// them first.
///
/// # Errors
/// [`StoreError`].
pub fn lease_ended_holds(
    tx: &mut Tx,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<Delivery>, StoreError> {
    if waits_for_redecision(tx.conn(), now)? {
        return Ok(Vec::new());
    }
    dialect::lease_in_turn(tx.conn(), "lease:hold")?;
    let candidate = diesel::alias!(delivery as candidate);
    let due = candidate
        .filter(candidate.field(delivery::state).eq("held"))
        .filter(candidate.field(delivery::due_at).le(now.0))
        .filter(candidate.field(delivery::mode).eq(Mode::Live.as_str()))
        .filter(candidate.field(delivery::lease_until).is_null().or(candidate.field(delivery::lease_until).le(now.0)))
        .order(candidate.field(delivery::due_at).asc())
        .limit(count)
        .select(candidate.field(delivery::id));
    let rows: Vec<Row> = diesel::update(
        delivery::table
            .filter(delivery::id.eq_any(due))
            // Whoever released it in between has made it wait for its EHR. Said by what it is not: else all holds that are
            // over would be gone through for the few that are wanted.
            .filter(delivery::state.ne("recorded"))
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
