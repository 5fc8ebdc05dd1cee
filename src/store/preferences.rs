//! What patients asked for, as staff recorded it.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::parse;
use super::schema::{delivery, preference};
use crate::base::{OperatorName, SourceId, UtcMillis};

/// The preferences of a patient, in the order of their words.
///
/// # Errors
/// [`StoreError`].
pub fn preferences_of(conn: &mut Conn, patient: &[u8; 32]) -> Result<Vec<String>, StoreError> {
    Ok(preference::table
        .filter(preference::patient_index.eq(patient.to_vec()))
        .order(preference::word.asc())
        .select(preference::word)
        .load(conn)?)
}

/// Returns whether it is new.
///
/// # Errors
/// [`StoreError`].
pub fn set_preference(
    tx: &mut Tx,
    patient: &[u8; 32],
    word: &str,
    at: UtcMillis,
    by: &OperatorName,
) -> Result<bool, StoreError> {
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(preference::table)
            .values((
                preference::patient_index.eq(patient.to_vec()),
                preference::word.eq(word),
                preference::set_at.eq(at.0),
                preference::set_by.eq(by.as_str()),
            ))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) => Ok(true),
        Err(StoreError::Duplicate) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Returns whether there was one.
///
/// # Errors
/// [`StoreError`].
pub fn end_preference(tx: &mut Tx, patient: &[u8; 32], word: &str) -> Result<bool, StoreError> {
    let ended = diesel::delete(preference::table.find((patient.to_vec(), word))).prepared().execute(tx.conn())?;
    Ok(ended > 0)
}

/// The resources of a patient of which something is decided and has not left.
///
/// # Errors
/// [`StoreError`].
pub fn unreleased_sources_of(conn: &mut Conn, whose: &[u8; 32]) -> Result<Vec<SourceId>, StoreError> {
    let rows: Vec<String> = delivery::table
        .filter(delivery::patient_index.eq(whose.to_vec()).or(delivery::addressee_index.eq(whose.to_vec())))
        .filter(delivery::state.eq_any(["recorded", "held", "review"]))
        .select(delivery::source_id)
        .distinct()
        .load(conn)?;
    rows.iter().map(|id| parse("delivery.source_id", id)).collect()
}
