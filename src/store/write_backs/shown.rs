//! What staff see of what EHRs are told, what they have told again, and what is forgotten.

use diesel::dsl::{count_star, min};
use diesel::prelude::*;

use super::schema::write_back;
use super::{Row, ToldRow, ToldState, columns};
use crate::base::{DeliveryId, EhrId, LinkId, UtcMillis};
use crate::store::conn::{Conn, Tx};
use crate::store::deliveries;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;

/// How many of one EHR stand in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldCount {
    pub state: ToldState,
    pub count: u64,
    /// When the oldest of them happened.
    pub oldest: Option<UtcMillis>,
}

/// What of `ehr` stands in these states, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn told_of(conn: &mut Conn, ehr: &EhrId, states: &[ToldState], count_max: i64) -> Result<Vec<ToldRow>, StoreError> {
    let rows: Vec<Row> = write_back::table
        .filter(write_back::ehr.eq(ehr.as_str()))
        .filter(write_back::state.eq_any(states.iter().map(|state| state.as_str())))
        .order((write_back::at.asc(), write_back::id.asc()))
        .limit(count_max)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(ToldRow::try_from).collect()
}

/// What its EHR is or was told of one delivery and of the links that it shared, in order.
///
/// # Errors
/// [`StoreError`].
pub fn told_of_delivery(conn: &mut Conn, of: &DeliveryId) -> Result<Vec<ToldRow>, StoreError> {
    let links = deliveries::links_of(conn, of)?;
    let of_links = write_back::link_id.eq_any(links.iter().map(LinkId::as_str));
    let rows: Vec<Row> = write_back::table
        .filter(write_back::delivery_id.eq(of.as_str()).or(of_links.assume_not_null()))
        .order((write_back::at.asc(), write_back::id.asc()))
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(ToldRow::try_from).collect()
}

/// How many of `ehr` stand in each state.
///
/// # Errors
/// [`StoreError`].
pub fn told_standing(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<ToldCount>, StoreError> {
    let rows: Vec<(String, i64, Option<i64>)> = write_back::table
        .filter(write_back::ehr.eq(ehr.as_str()))
        .group_by(write_back::state)
        .select((write_back::state, count_star(), min(write_back::at)))
        .load(conn)?;
    let of = |state: ToldState| {
        let row = rows.iter().find(|(word, ..)| *word == state.as_str())?;
        Some(ToldCount { state, count: u64::try_from(row.1).unwrap_or(0), oldest: row.2.map(UtcMillis) })
    };
    Ok(ToldState::ALL.into_iter().filter_map(of).collect())
}

/// Has what failed or was skipped of `ehr` told once more. Returns how much that is.
///
/// # Errors
/// [`StoreError`].
pub fn told_again(tx: &mut Tx, ehr: &EhrId, now: UtcMillis) -> Result<u64, StoreError> {
    let again = diesel::update(
        write_back::table
            .filter(write_back::ehr.eq(ehr.as_str()))
            .filter(write_back::state.eq_any([ToldState::Failed.as_str(), ToldState::Skipped.as_str()]))
            .filter(write_back::over_at.is_null()),
    )
    .set((
        write_back::state.eq(ToldState::Waiting.as_str()),
        write_back::due_at.eq(now.0),
        write_back::ended_at.eq(None::<i64>),
        write_back::tries.eq(0),
    ))
    .prepared()
    .execute(tx.conn())?;
    Ok(again as u64)
}

/// Retention: forgets what ended before `before`.
///
/// # Errors
/// [`StoreError`].
pub fn forget_told(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    let ended = diesel::delete(write_back::table.filter(write_back::ended_at.lt(before.0)));
    Ok(ended.prepared().execute(tx.conn())? as u64)
}
