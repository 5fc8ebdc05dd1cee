//! Which document was decided about, where Chartseal writes it itself from a report's results.
//!
//! Must stay true: a delivery leaves only with the document that its row here stands for; a release under way with another
//! one is not committed.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::hash32;
use super::schema::{delivery, paper};
use crate::base::DeliveryId;

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
