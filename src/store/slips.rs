//! Slips: codes on paper, and for which order each is.
//!
//! Must stay true: a slip is bound once; what was bound is never bound to another order.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::slip;
use crate::base::{ClinicId, OperatorName, SlipReference, UtcMillis};

/// A slip to be printed.
pub struct NewSlip {
    pub reference: SlipReference,
    pub clinic: ClinicId,
    /// The hash of its code, bound to the reference.
    pub code_sealed: Vec<u8>,
    pub order_index: Option<[u8; 32]>,
}

/// The slip of an order.
#[derive(Clone)]
pub struct SlipRow {
    pub reference: SlipReference,
    pub code_sealed: Vec<u8>,
}

/// How a binding went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Done,
    Unknown,
    /// It is some order's already.
    Before,
}

/// # Errors
/// [`StoreError`].
pub fn insert_slip(tx: &mut Tx, new: &NewSlip, by: &OperatorName, at: UtcMillis) -> Result<(), StoreError> {
    let bound = new.order_index.map(|_| (at.0, by.as_str()));
    diesel::insert_into(slip::table)
        .values((
            slip::reference.eq(new.reference.as_str()),
            slip::clinic.eq(new.clinic.as_str()),
            slip::code_sealed.eq(&new.code_sealed),
            slip::order_index.eq(new.order_index.map(|index| index.to_vec())),
            slip::printed_at.eq(at.0),
            slip::printed_by.eq(by.as_str()),
            slip::bound_at.eq(bound.map(|(at, _)| at)),
            slip::bound_by.eq(bound.map(|(_, by)| by)),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Says for which order a slip is.
///
/// # Errors
/// [`StoreError`].
pub fn bind_slip(
    tx: &mut Tx,
    reference: &SlipReference,
    order_index: &[u8; 32],
    by: &OperatorName,
    at: UtcMillis,
) -> Result<Bound, StoreError> {
    let changed = diesel::update(slip::table.find(reference.as_str()).filter(slip::order_index.is_null()))
        .set((slip::order_index.eq(order_index.to_vec()), slip::bound_at.eq(at.0), slip::bound_by.eq(by.as_str())))
        .prepared()
        .execute(tx.conn())?;
    if changed == 1 {
        return Ok(Bound::Done);
    }
    let known: Option<String> =
        slip::table.find(reference.as_str()).select(slip::reference).first(tx.conn()).optional()?;
    Ok(if known.is_some() { Bound::Before } else { Bound::Unknown })
}

/// The newest slip of any of these orders.
///
/// # Errors
/// [`StoreError`].
pub fn slip_of(conn: &mut Conn, orders: &[[u8; 32]]) -> Result<Option<SlipRow>, StoreError> {
    let indexes: Vec<Vec<u8>> = orders.iter().map(|order| order.to_vec()).collect();
    let row: Option<(String, Vec<u8>)> = slip::table
        .filter(slip::order_index.eq_any(indexes))
        .order((slip::printed_at.desc(), slip::reference.asc()))
        .select((slip::reference, slip::code_sealed))
        .first(conn)
        .optional()?;
    row.map(|(reference, code_sealed)| {
        let reference =
            SlipReference::parse_typed(&reference).ok_or(StoreError::BadRow { column: "slip.reference" })?;
        Ok(SlipRow { reference, code_sealed })
    })
    .transpose()
}

/// Retention: removes slips that were printed before `before`.
///
/// # Errors
/// [`StoreError`].
pub(super) fn forget_slips(tx: &mut Tx, before: UtcMillis) -> Result<usize, StoreError> {
    Ok(diesel::delete(slip::table.filter(slip::printed_at.lt(before.0))).prepared().execute(tx.conn())?)
}
