//! Messages that were handed over, and did not arrive.

use diesel::prelude::*;

use super::NoticeRow;
use crate::audit::{Actor, AuditEvent};
use crate::base::{LinkId, UtcMillis};
use crate::record::{Link, Notice, Step};
use crate::store::conn::Tx;
use crate::store::deliveries::Delivery;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::{delivery, notice};

/// Ends a message that somebody reports to have come back. The delivery has to be held.
///
/// # Errors
/// [`StoreError::Moved`] when it is not as it was read.
pub fn note_returned(
    tx: &mut Tx,
    before: &NoticeRow,
    owner: &Delivery,
    step: &Step<Notice>,
    why: &str,
    at: UtcMillis,
) -> Result<(), StoreError> {
    let as_read = notice::table.find(before.id.as_str()).filter(notice::state.eq(before.state.name()));
    let changed = diesel::update(as_read)
        .set((notice::state.eq(step.to().name()), notice::ended_at.eq(at.0), notice::why.eq(why)))
        .prepared()
        .execute(tx.conn())?;
    if changed != 1 {
        return Err(StoreError::Moved);
    }
    let event = AuditEvent::NoticeStepped { notice: before.id.clone(), to: *step.to(), why: Some(why.to_owned()) };
    crate::store::append(tx, &owner.entry(at, Actor::System, event))
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
