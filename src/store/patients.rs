//! One key per patient, for the audit's pseudonyms.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::hash32;
use super::schema::{delivery, patient};
use crate::base::UtcMillis;

/// A patient's sealed key; `None` when there is none (any more).
///
/// # Errors
/// [`StoreError`].
pub fn patient_key(conn: &mut Conn, index: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(patient::table
        .find(index.to_vec())
        .select(patient::key_sealed)
        .first::<Option<Vec<u8>>>(conn)
        .optional()?
        .flatten())
}

/// Keeps `key_sealed` for a patient unless they have a key; returns the one that is kept.
///
/// # Errors
/// [`StoreError`].
pub fn remember_patient(
    tx: &mut Tx,
    index: &[u8; 32],
    key_sealed: Vec<u8>,
    at: UtcMillis,
) -> Result<Vec<u8>, StoreError> {
    if let Some(kept) = patient_key(tx.conn(), index)? {
        return Ok(kept);
    }
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(patient::table)
            .values((
                patient::patient_index.eq(index.to_vec()),
                patient::key_sealed.eq(&key_sealed),
                patient::created_at.eq(at.0),
            ))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) => Ok(key_sealed),
        Err(StoreError::Duplicate) => {
            // Forgotten before, or remembered by another worker at this moment.
            diesel::update(patient::table.find(index.to_vec()).filter(patient::key_sealed.is_null()))
                .set((patient::key_sealed.eq(&key_sealed), patient::forgotten_at.eq(None::<i64>)))
                .prepared()
                .execute(tx.conn())?;
            patient_key(tx.conn(), index)?.ok_or(StoreError::Moved)
        }
        Err(other) => Err(other),
    }
}

/// Destroys a patient's key: the audit's lines of them can no longer be told from anybody else's.
///
/// # Errors
/// [`StoreError`].
pub fn forget_patient(tx: &mut Tx, index: &[u8; 32], at: UtcMillis) -> Result<(), StoreError> {
    tx.erased();
    diesel::update(patient::table.find(index.to_vec()))
        .set((patient::key_sealed.eq(None::<Vec<u8>>), patient::forgotten_at.eq(at.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Patients remembered before `before` of whom no delivery holds a contact any more.
///
/// # Errors
/// [`StoreError`].
pub fn patients_without_deliveries(
    conn: &mut Conn,
    before: UtcMillis,
    count: i64,
) -> Result<Vec<[u8; 32]>, StoreError> {
    // Asked patient by patient, by an index: PostgreSQL compares a list that is "not in" another one row by row.
    let needed = delivery::table
        .filter(delivery::patient_index.eq(patient::patient_index.nullable()))
        .filter(delivery::card_sealed.is_not_null());
    let rows: Vec<Vec<u8>> = patient::table
        .filter(patient::created_at.lt(before.0))
        .filter(patient::key_sealed.is_not_null())
        .filter(not(exists(needed)))
        .limit(count)
        .select(patient::patient_index)
        .load(conn)?;
    rows.iter().map(|index| hash32("patient.patient_index", index)).collect()
}
