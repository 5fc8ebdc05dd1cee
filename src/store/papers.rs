//! Which document was decided about, where Chartseal writes it itself from a report's results; and which attachment leaves by a
//! person's word although it may be another patient's.
//!
//! Must stay true: a delivery leaves only with the document that its row here stands for; a release under way with another
//! one is not committed. A person's word is about the bytes that were doubted, and no others.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::hash32;
use super::schema::{delivery, paper, paper_doubt};
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

/// Notes that a person must look at the file of this keyed hash before `delivery` leaves with it.
///
/// # Errors
/// [`StoreError`].
pub fn doubt_paper(tx: &mut Tx, delivery: &DeliveryId, file: &[u8; 32]) -> Result<(), StoreError> {
    let changed = diesel::update(paper_doubt::table.find(delivery.as_str()))
        .set((paper_doubt::file_index.eq(file.to_vec()), paper_doubt::released_at.eq(None::<i64>)))
        .prepared()
        .execute(tx.conn())?;
    if changed == 0 {
        diesel::insert_into(paper_doubt::table)
            .values((paper_doubt::delivery_id.eq(delivery.as_str()), paper_doubt::file_index.eq(file.to_vec())))
            .prepared()
            .execute(tx.conn())?;
    }
    Ok(())
}

/// A person who saw the doubt lets the doubted file go.
///
/// # Errors
/// [`StoreError`].
pub fn release_doubted(tx: &mut Tx, delivery: &DeliveryId, now: UtcMillis) -> Result<(), StoreError> {
    diesel::update(paper_doubt::table.find(delivery.as_str()))
        .set(paper_doubt::released_at.eq(Some(now.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// The keyed hash of the file with which `delivery` leaves by a person's word, whatever it says.
///
/// # Errors
/// [`StoreError`].
pub fn released_although_doubted(conn: &mut Conn, delivery: &DeliveryId) -> Result<Option<[u8; 32]>, StoreError> {
    let found = paper_doubt::table
        .find(delivery.as_str())
        .filter(paper_doubt::released_at.is_not_null())
        .select(paper_doubt::file_index)
        .first::<Vec<u8>>(conn)
        .optional()?;
    found.map(|bytes| hash32("paper_doubt.file_index", &bytes)).transpose()
}
