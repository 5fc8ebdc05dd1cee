//! Which document was decided about, where Chartseal writes it itself from a report's results; which attachment leaves by a
//! person's word although it may be another patient's; and what staff say beside a document.
//!
//! Must stay true: a delivery leaves only with the document that its row here stands for; a release under way with another
//! one is not committed. A person's word is about the bytes that were doubted, and no others.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::hash32;
use super::schema::{delivery, paper, paper_doubt, staff_note};
use crate::base::{DeliveryId, UtcMillis};

/// The keyed hash of the document that `delivery` stands for; `None`: the report's own attachment is delivered.
///
/// # Errors
/// [`StoreError`].
pub fn paper_of(conn: &mut Conn, delivery: &DeliveryId) -> Result<Option<[u8; 32]>, StoreError> {
    let found = paper::table.find(delivery.as_str()).select(paper::paper_index).first::<Vec<u8>>(conn).optional()?;
    found.map(|bytes| hash32("paper.paper_index", &bytes)).transpose()
}

/// Notes the document of a delivery that was just made.
///
/// # Errors
/// [`StoreError`].
pub fn insert_paper(tx: &mut Tx, delivery: &DeliveryId, index: &[u8; 32]) -> Result<(), StoreError> {
    diesel::insert_into(paper::table)
        .values((paper::delivery_id.eq(delivery.as_str()), paper::paper_index.eq(index.to_vec())))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// The document of a delivery under way is this one from now on. Returns the delivery as it is then.
///
/// # Errors
/// [`StoreError::Moved`] when somebody moved the delivery meanwhile.
pub fn set_paper(tx: &mut Tx, held: Delivery, index: &[u8; 32]) -> Result<Delivery, StoreError> {
    match paper_of(tx.conn(), &held.id)? {
        Some(known) if known == *index => return Ok(held),
        Some(_) => {
            diesel::update(paper::table.find(held.id.as_str()))
                .set(paper::paper_index.eq(index.to_vec()))
                .prepared()
                .execute(tx.conn())?;
        }
        None => insert_paper(tx, &held.id, index)?,
    }
    let row_version = deliveries::row_version_of(&held);
    let changed = diesel::update(delivery::table.find(held.id.as_str()).filter(delivery::row_version.eq(row_version)))
        .set((delivery::row_version.eq(row_version + 1), delivery::lease_until.eq(None::<i64>)))
        .prepared()
        .execute(tx.conn())?;
    if changed == 0 {
        return Err(StoreError::Moved);
    }
    deliveries::delivery(tx.conn(), &held.id)?.ok_or(StoreError::Moved)
}

/// Keeps what staff say beside a delivery's document, in place of what they said before. Sealed.
///
/// # Errors
/// [`StoreError`].
pub fn set_note(tx: &mut Tx, delivery: &DeliveryId, note_sealed: &[u8]) -> Result<(), StoreError> {
    tx.erased();
    diesel::delete(staff_note::table.find(delivery.as_str())).prepared().execute(tx.conn())?;
    let new = (staff_note::delivery_id.eq(delivery.as_str()), staff_note::note_sealed.eq(note_sealed.to_vec()));
    diesel::insert_into(staff_note::table).values(new).prepared().execute(tx.conn())?;
    Ok(())
}

/// Once it stands in a link it is kept nowhere else.
///
/// # Errors
/// [`StoreError`].
pub fn forget_note(tx: &mut Tx, delivery: &DeliveryId) -> Result<(), StoreError> {
    tx.erased();
    diesel::delete(staff_note::table.find(delivery.as_str())).prepared().execute(tx.conn())?;
    Ok(())
}

/// # Errors
/// [`StoreError`].
pub fn note_of(conn: &mut Conn, delivery: &DeliveryId) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(staff_note::table.find(delivery.as_str()).select(staff_note::note_sealed).first(conn).optional()?)
}

/// Notes that a person must look at the file of this keyed hash before `delivery` leaves with it; at no other that was doubted before
/// and is not let go.
///
/// # Errors
/// [`StoreError`].
pub fn doubt_paper(tx: &mut Tx, delivery: &DeliveryId, file: &[u8; 32]) -> Result<(), StoreError> {
    let waiting = paper_doubt::table
        .filter(paper_doubt::delivery_id.eq(delivery.as_str()))
        .filter(paper_doubt::released_at.is_null().or(paper_doubt::file_index.eq(file.to_vec())));
    diesel::delete(waiting).prepared().execute(tx.conn())?;
    diesel::insert_into(paper_doubt::table)
        .values((paper_doubt::delivery_id.eq(delivery.as_str()), paper_doubt::file_index.eq(file.to_vec())))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// A person who saw the doubt lets the doubted file go.
///
/// # Errors
/// [`StoreError`].
pub fn release_doubted(tx: &mut Tx, delivery: &DeliveryId, now: UtcMillis) -> Result<(), StoreError> {
    let waiting = paper_doubt::table
        .filter(paper_doubt::delivery_id.eq(delivery.as_str()))
        .filter(paper_doubt::released_at.is_null());
    diesel::update(waiting).set(paper_doubt::released_at.eq(Some(now.0))).prepared().execute(tx.conn())?;
    Ok(())
}

/// The keyed hashes of the files with which `delivery` leaves by a person's word, whatever they say.
///
/// # Errors
/// [`StoreError`].
pub fn released_although_doubted(conn: &mut Conn, delivery: &DeliveryId) -> Result<BTreeSet<[u8; 32]>, StoreError> {
    let found: Vec<Vec<u8>> = paper_doubt::table
        .filter(paper_doubt::delivery_id.eq(delivery.as_str()))
        .filter(paper_doubt::released_at.is_not_null())
        .select(paper_doubt::file_index)
        .load(conn)?;
    found.iter().map(|bytes| hash32("paper_doubt.file_index", bytes)).collect()
}
