//! What may still be said of links that nobody opened: reminders to those who have them, and calls that staff should make.
//!
//! Must stay true: of a link that somebody opened nothing is said again, and its secret is kept no longer; what a turn of the
//! sweep decided is written only where nobody else did meanwhile.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{parse, parse_opt};
use super::schema::{delivery, link, reminder};
use crate::base::{LinkId, OperatorName, UtcMillis};
use crate::record::reminder_moments;

/// What is still to be said of a link.
#[derive(Clone)]
pub struct ReminderRow {
    pub link: LinkId,
    /// `None`: nothing more.
    pub due_at: Option<UtcMillis>,
    /// The link's secret under its epoch key, where the rules keep it until it is opened.
    pub secret_sealed: Option<Vec<u8>>,
    /// Since when somebody should call.
    pub call_since: Option<UtcMillis>,
    pub called_at: Option<UtcMillis>,
    pub called_by: Option<OperatorName>,
}

#[derive(Queryable)]
struct Row {
    link_id: String,
    due_at: Option<i64>,
    secret_sealed: Option<Vec<u8>>,
    call_since: Option<i64>,
    called_at: Option<i64>,
    called_by: Option<String>,
}

impl TryFrom<Row> for ReminderRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            link: parse("reminder.link_id", &row.link_id)?,
            due_at: row.due_at.map(UtcMillis),
            secret_sealed: row.secret_sealed,
            call_since: row.call_since.map(UtcMillis),
            called_at: row.called_at.map(UtcMillis),
            called_by: parse_opt("reminder.called_by", row.called_by.as_deref())?,
        })
    }
}

/// Of a new link nothing is due before its life runs.
pub(super) fn insert_reminder(tx: &mut Tx, link: &LinkId, secret_sealed: Option<&[u8]>) -> Result<(), StoreError> {
    diesel::insert_into(reminder::table)
        .values((reminder::link_id.eq(link.as_str()), reminder::secret_sealed.eq(secret_sealed)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// The life of a link runs: its first reminder is due in it.
pub(super) fn schedule_reminder(
    tx: &mut Tx,
    link: &LinkId,
    handed_over_at: UtcMillis,
    expires_at: UtcMillis,
) -> Result<(), StoreError> {
    let first = reminder_moments(handed_over_at, expires_at).first().map(|at| at.0);
    diesel::update(reminder::table.find(link.as_str()))
        .set(reminder::due_at.eq(first))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Somebody opened it.
pub(super) fn forget_reminder(conn: &mut Conn, link: &LinkId) -> Result<(), StoreError> {
    diesel::delete(reminder::table.find(link.as_str())).prepared().execute(conn)?;
    Ok(())
}

/// The link died: nobody is reminded, and the secret goes. That somebody should call stays.
pub(super) fn end_reminder(tx: &mut Tx, link: &LinkId) -> Result<(), StoreError> {
    diesel::update(reminder::table.find(link.as_str()))
        .set((reminder::due_at.eq(None::<i64>), reminder::secret_sealed.eq(None::<Vec<u8>>)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Links of which something is to be said now, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn reminders_due(conn: &mut Conn, now: UtcMillis, count: i64) -> Result<Vec<ReminderRow>, StoreError> {
    let rows: Vec<Row> = reminder::table
        .filter(reminder::due_at.le(now.0))
        .order((reminder::due_at.asc(), reminder::link_id.asc()))
        .limit(count)
        .load(conn)?;
    rows.into_iter().map(ReminderRow::try_from).collect()
}

/// # Errors
/// [`StoreError`].
pub fn reminder_of(conn: &mut Conn, link: &LinkId) -> Result<Option<ReminderRow>, StoreError> {
    let row: Option<Row> = reminder::table.find(link.as_str()).first(conn).optional()?;
    row.map(ReminderRow::try_from).transpose()
}

/// Takes a turn that was read as due, and says when the next one is. Returns whether nobody else took it.
///
/// # Errors
/// [`StoreError`].
pub fn take_reminder(tx: &mut Tx, seen: &ReminderRow, next: Option<UtcMillis>) -> Result<bool, StoreError> {
    let as_seen = reminder::table.find(seen.link.as_str()).filter(reminder::due_at.eq(seen.due_at.map(|at| at.0)));
    let changed =
        diesel::update(as_seen).set(reminder::due_at.eq(next.map(|at| at.0))).prepared().execute(tx.conn())?;
    Ok(changed == 1)
}

/// Puts a reminder off that quiet hours caught.
///
/// # Errors
/// [`StoreError`].
pub fn put_reminder_off(tx: &mut Tx, link: &LinkId, until: UtcMillis) -> Result<(), StoreError> {
    diesel::update(reminder::table.find(link.as_str()))
        .set(reminder::due_at.eq(until.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Somebody should call whoever has this link. Returns whether that is news.
///
/// # Errors
/// [`StoreError`].
pub fn ask_for_call(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<bool, StoreError> {
    let unasked = reminder::table.find(link.as_str()).filter(reminder::call_since.is_null());
    let changed = diesel::update(unasked).set(reminder::call_since.eq(at.0)).prepared().execute(tx.conn())?;
    Ok(changed == 1)
}

/// Staff called. Returns whether a call was asked for and nobody had.
///
/// # Errors
/// [`StoreError`].
pub fn note_call(tx: &mut Tx, link: &LinkId, by: &OperatorName, at: UtcMillis) -> Result<bool, StoreError> {
    let asked = reminder::table
        .find(link.as_str())
        .filter(reminder::call_since.is_not_null())
        .filter(reminder::called_at.is_null());
    let changed = diesel::update(asked)
        .set((reminder::called_at.eq(at.0), reminder::called_by.eq(by.as_str())))
        .prepared()
        .execute(tx.conn())?;
    Ok(changed == 1)
}

/// The deliveries whose patients somebody should call: nobody opened their link, be it that it ended meanwhile. The one that
/// has waited longest comes first.
///
/// # Errors
/// [`StoreError`].
pub fn deliveries_to_call(conn: &mut Conn, count: i64) -> Result<Vec<Delivery>, StoreError> {
    let ids: Vec<String> = reminder::table
        .inner_join(link::table.on(link::id.eq(reminder::link_id)))
        .inner_join(delivery::table.on(delivery::link_id.eq(link::id.nullable())))
        .filter(reminder::call_since.ge(0))
        .filter(reminder::called_at.is_null())
        .filter(delivery::state.eq_any(["live", "suspended", "expired"]))
        .order((reminder::call_since.asc(), delivery::id.asc()))
        .limit(count)
        .select(delivery::id)
        .load(conn)?;
    deliveries::by_ids(conn, &ids)
}
