//! Retention: what is left of a delivery some time after its end.

use diesel::prelude::*;

use crate::base::UtcMillis;
use crate::store::conn::Tx;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::{delivery, question, staff_note};
use crate::store::slips;

/// Retention: empties the contact cards of deliveries that ended before `before`, and removes the questions that the
/// clinic asked, what it said beside them, and the slips that it printed.
///
/// # Errors
/// [`StoreError`].
pub fn forget_cards(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    tx.erased();
    let ended = delivery::table
        .filter(delivery::state.eq_any(["blocked", "spent", "expired", "revoked", "recalled", "superseded"]))
        .filter(delivery::state_at.lt(before.0))
        .select(delivery::id);
    diesel::delete(question::table.filter(question::delivery_id.eq_any(ended.clone())))
        .prepared()
        .execute(tx.conn())?;
    diesel::delete(staff_note::table.filter(staff_note::delivery_id.eq_any(ended))).prepared().execute(tx.conn())?;
    slips::forget_slips(tx, before)?;
    let changed = diesel::update(
        delivery::table
            .filter(delivery::state.eq_any(["blocked", "spent", "expired", "revoked", "recalled", "superseded"]))
            .filter(delivery::state_at.lt(before.0))
            .filter(delivery::card_sealed.is_not_null().or(delivery::contact_index.is_not_null())),
    )
    .set((delivery::card_sealed.eq(None::<Vec<u8>>), delivery::contact_index.eq(None::<Vec<u8>>)))
    .prepared()
    .execute(tx.conn())?;
    Ok(changed as u64)
}

/// Retention: empties the facts and traces of deliveries that ended before `before`.
///
/// # Errors
/// [`StoreError`].
pub fn forget_facts(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    tx.erased();
    let changed = diesel::update(
        delivery::table
            .filter(delivery::state.eq_any(["blocked", "spent", "expired", "revoked", "recalled", "superseded"]))
            .filter(delivery::state_at.lt(before.0))
            .filter(delivery::facts.ne("")),
    )
    .set((delivery::facts.eq(""), delivery::trace.eq("")))
    .prepared()
    .execute(tx.conn())?;
    Ok(changed as u64)
}
