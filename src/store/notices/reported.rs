//! What is told of a message after it left: by whoever carries it, a mail system or a text gateway, late, twice and out of order.
//!
//! Must stay true: states only move forward, each by one statement guarded by the state that was seen; what arrived has arrived,
//! whatever is told afterwards.

use diesel::prelude::*;

use super::{NoticeRow, Row, columns};
use crate::audit::{Actor, AuditEvent};
use crate::base::{LinkId, NoticeId, UtcMillis};
use crate::record::{Link, Notice, Step};
use crate::store::conn::{Conn, Tx};
use crate::store::deliveries::Delivery;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::{delivery, notice};
use crate::store::write_backs;

/// `notice.channel` of a text.
pub(super) const BY_SMS: &str = "\"sms\"";

/// Writes what was told of a message that left, or may have: it was taken, or it did not arrive.
///
/// # Errors
/// [`StoreError::Moved`] when it is in another state by now, or arrived.
pub fn settle_reported(
    tx: &mut Tx,
    before: &NoticeRow,
    owner: &Delivery,
    step: &Step<Notice>,
    why: Option<&str>,
    at: UtcMillis,
) -> Result<(), StoreError> {
    tx.erased();
    let changed = diesel::update(
        notice::table
            .find(before.id.as_str())
            .filter(notice::state.eq(before.state.name()))
            .filter(notice::arrived_at.is_null()),
    )
    .set((
        notice::state.eq(step.to().name()),
        notice::ended_at.eq(at.0),
        notice::lease_until.eq(None::<i64>),
        notice::secret_sealed.eq(None::<Vec<u8>>),
        notice::why.eq(why),
    ))
    .prepared()
    .execute(tx.conn())?;
    if changed != 1 {
        return Err(StoreError::Moved);
    }
    if *step.to() == Notice::Sent && before.kind.brings_the_link() {
        write_backs::note_sent(tx, owner, &before.link, at)?;
    }
    let event = AuditEvent::NoticeStepped { notice: before.id.clone(), to: *step.to(), why: why.map(str::to_owned) };
    crate::store::append(tx, &owner.entry(at, Actor::System, event))
}

/// The network says that a message is there. Returns whether that is news.
///
/// # Errors
/// [`StoreError`].
pub fn note_arrival(tx: &mut Tx, id: &NoticeId, owner: &Delivery, at: UtcMillis) -> Result<bool, StoreError> {
    let first = notice::table.find(id.as_str()).filter(notice::state.eq("sent")).filter(notice::arrived_at.is_null());
    let changed = diesel::update(first).set(notice::arrived_at.eq(at.0)).prepared().execute(tx.conn())?;
    if changed == 1 {
        let event = AuditEvent::NoticeArrived { notice: id.clone() };
        crate::store::append(tx, &owner.entry(at, Actor::System, event))?;
    }
    Ok(changed == 1)
}

/// Texts of which nobody knows whether they were sent, and which are to be asked about now.
///
/// # Errors
/// [`StoreError`].
pub fn unsure_texts(conn: &mut Conn, now: UtcMillis, count: i64) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> = notice::table
        .filter(notice::state.eq("unsure"))
        .filter(notice::due_at.le(now.0))
        .filter(notice::channel.eq(BY_SMS))
        .order((notice::due_at.asc(), notice::id.asc()))
        .limit(count)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// How many texts were first attempted since then.
///
/// # Errors
/// [`StoreError`].
pub fn texts_since(conn: &mut Conn, since: UtcMillis) -> Result<i64, StoreError> {
    let texts = notice::table.filter(notice::first_attempt_at.gt(since.0)).filter(notice::channel.eq(BY_SMS));
    Ok(texts.count().get_result(conn)?)
}

/// When such a text is asked about again.
///
/// # Errors
/// [`StoreError`].
pub fn ask_again_at(tx: &mut Tx, id: &NoticeId, at: UtcMillis) -> Result<(), StoreError> {
    let unsure = notice::table.find(id.as_str()).filter(notice::state.eq("unsure"));
    diesel::update(unsure).set(notice::due_at.eq(at.0)).prepared().execute(tx.conn())?;
    Ok(())
}

/// What leaves again after this link, which it shared, leaves no sooner than `at`.
///
/// # Errors
/// [`StoreError`].
pub fn leave_later(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    let waiting = delivery::table
        .filter(delivery::link_id.eq(link.as_str()))
        .filter(delivery::state.eq(Link::Recorded.name()))
        .filter(delivery::due_at.lt(at.0));
    diesel::update(waiting).set(delivery::due_at.eq(at.0)).prepared().execute(tx.conn())?;
    Ok(())
}
