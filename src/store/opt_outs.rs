//! Numbers whose holders asked for no more texts.
//!
//! Must stay true: a number is a keyed index alone; it holds for every clinic and every patient, until its holder asks for texts
//! again, and nobody else can end it; a change and its line in the audit are one transaction.

use diesel::prelude::*;

use super::audit_log;
use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::hash32;
use super::schema::{delivery, opt_out};
use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::UtcMillis;

/// Deliveries to one number in whose chains a wish is noted, newest first.
const NOTED_IN_MAX: i64 = 20;

/// Since when this number gets no texts; `None`: it does.
///
/// # Errors
/// [`StoreError`].
pub fn opted_out(conn: &mut Conn, contact: &[u8; 32]) -> Result<Option<UtcMillis>, StoreError> {
    let since: Option<i64> = opt_out::table.find(contact.to_vec()).select(opt_out::since).first(conn).optional()?;
    Ok(since.map(UtcMillis))
}

/// Whoever has this number asked for no more texts. Returns whether that is news.
///
/// # Errors
/// [`StoreError`].
pub fn note_opt_out(tx: &mut Tx, contact: &[u8; 32], at: UtcMillis) -> Result<bool, StoreError> {
    let new = (opt_out::contact_index.eq(contact.to_vec()), opt_out::since.eq(at.0));
    let written = tx.conn().transaction(|conn| {
        diesel::insert_into(opt_out::table).values(new).prepared().execute(conn).map_err(StoreError::from)
    });
    match written {
        Err(StoreError::Duplicate) => Ok(false),
        Err(error) => Err(error),
        Ok(_) => note(tx, contact, AuditEvent::TextsStopped, at).map(|()| true),
    }
}

/// Whoever has this number asked for texts again. Returns whether that is news.
///
/// # Errors
/// [`StoreError`].
pub fn end_opt_out(tx: &mut Tx, contact: &[u8; 32], at: UtcMillis) -> Result<bool, StoreError> {
    let ended = diesel::delete(opt_out::table.find(contact.to_vec())).prepared().execute(tx.conn())?;
    if ended > 0 {
        note(tx, contact, AuditEvent::TextsResumed, at)?;
    }
    Ok(ended > 0)
}

/// The newest deliveries to a number, newest first.
///
/// # Errors
/// [`StoreError`].
pub fn deliveries_to_number(conn: &mut Conn, contact: &[u8; 32], count: i64) -> Result<Vec<Delivery>, StoreError> {
    let ids: Vec<String> = delivery::table
        .filter(delivery::contact_index.eq(contact.to_vec()))
        .order((delivery::created_at.desc(), delivery::id.asc()))
        .limit(count)
        .select(delivery::id)
        .load(conn)?;
    deliveries::by_ids(conn, &ids)
}

/// Those who get no texts, the last wish first.
///
/// # Errors
/// [`StoreError`].
pub(super) fn opt_outs(conn: &mut Conn, count: i64) -> Result<Vec<([u8; 32], UtcMillis)>, StoreError> {
    let rows: Vec<(Vec<u8>, i64)> =
        opt_out::table.order((opt_out::since.desc(), opt_out::contact_index.asc())).limit(count).load(conn)?;
    rows.into_iter().map(|(index, since)| Ok((hash32("opt_out.contact_index", &index)?, UtcMillis(since)))).collect()
}

/// In the chains of those deliveries that went there; where none is known, in the installation's.
fn note(tx: &mut Tx, contact: &[u8; 32], event: AuditEvent, at: UtcMillis) -> Result<(), StoreError> {
    let known = deliveries_to_number(tx.conn(), contact, NOTED_IN_MAX)?;
    if known.is_empty() {
        return audit_log::append(tx, &Entry::by_system(Chain::Installation, at, None, event));
    }
    deliveries::hold_deliveries(tx, known.iter().map(|delivery| &delivery.id))?;
    for delivery in known {
        audit_log::append(tx, &delivery.entry(at, Actor::System, event.clone()))?;
    }
    Ok(())
}
