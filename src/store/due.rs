//! What is due, EHR by EHR: a look before anybody leases.
//!
//! Must stay true: a look changes nothing, so that on SQLite those for whom nothing is due keep nobody from writing; each EHR
//! is asked about by itself and by its own index: what one leaves lying costs the others nothing.

use diesel::prelude::*;

use super::conn::Conn;
use super::deliveries::Mode;
use super::error::StoreError;
use super::rows::parse;
use super::schema::{delivery, source};
use crate::base::{EhrId, UtcMillis};

/// What nobody has leased of an EHR's due work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueOf {
    pub ehr: EhrId,
    pub count: usize,
}

/// The EHRs of which resources are due, whether they are configured or not; each counted to `count_max`.
///
/// # Errors
/// [`StoreError`].
pub fn due_sources(conn: &mut Conn, now: UtcMillis, count_max: i64) -> Result<Vec<DueOf>, StoreError> {
    of_each_ehr(conn, |conn, ehr| {
        // In the order of the index: without it PostgreSQL may go through the whole table for the first few.
        source::table
            .filter(source::ehr.eq(ehr.as_str()))
            .filter(source::due_at.le(now.0))
            .filter(source::lease_until.is_null().or(source::lease_until.le(now.0)))
            .order(source::due_at.asc())
            .limit(count_max)
            .select(source::id)
            .load(conn)
    })
}

/// Whether the EHR spoke of a report of which a link is out, and nobody reads it yet.
///
/// # Errors
/// [`StoreError`].
pub fn is_anything_urgent(conn: &mut Conn, ehr: &EhrId, now: UtcMillis) -> Result<bool, StoreError> {
    let first: Option<String> = source::table
        .filter(source::ehr.eq(ehr.as_str()))
        .filter(source::urgent_at.le(now.0))
        .filter(source::due_at.le(now.0))
        .filter(source::lease_until.is_null().or(source::lease_until.le(now.0)))
        .order(source::urgent_at.asc())
        .select(source::id)
        .first(conn)
        .optional()?;
    Ok(first.is_some())
}

/// The EHRs of which deliveries are due to be released, whether they are configured or not; each counted to `count_max`.
///
/// # Errors
/// [`StoreError`].
pub fn due_deliveries(conn: &mut Conn, now: UtcMillis, count_max: i64) -> Result<Vec<DueOf>, StoreError> {
    of_each_ehr(conn, |conn, ehr| {
        delivery::table
            .filter(delivery::ehr.eq(ehr.as_str()))
            .filter(delivery::due_at.le(now.0))
            .filter(delivery::state.ne("held"))
            .filter(delivery::mode.eq(Mode::Live.as_str()))
            .filter(delivery::lease_until.is_null().or(delivery::lease_until.le(now.0)))
            .order(delivery::due_at.asc())
            .limit(count_max)
            .select(delivery::id)
            .load(conn)
    })
}

fn of_each_ehr(
    conn: &mut Conn,
    due_of: impl Fn(&mut Conn, &EhrId) -> QueryResult<Vec<String>>,
) -> Result<Vec<DueOf>, StoreError> {
    let mut found = Vec::new();
    for ehr in ehrs_heard_of(conn)? {
        let count = due_of(conn, &ehr)?.len();
        if count > 0 {
            found.push(DueOf { ehr, count });
        }
    }
    Ok(found)
}

/// Every EHR that a resource was ever heard of from. One step along the index each: to ask for distinct ones would go
/// through all that was ever heard of.
fn ehrs_heard_of(conn: &mut Conn) -> Result<Vec<EhrId>, StoreError> {
    let mut found: Vec<EhrId> = Vec::new();
    loop {
        let next: Option<String> = source::table
            .filter(source::ehr.gt(found.last().map_or("", EhrId::as_str)))
            .order(source::ehr.asc())
            .select(source::ehr)
            .first(conn)
            .optional()?;
        match next {
            Some(next) => found.push(parse("source.ehr", &next)?),
            None => return Ok(found),
        }
    }
}
