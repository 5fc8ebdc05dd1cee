//! Mails to a clinic's staff about a link: an outbox of their own.
//!
//! Must stay true: each piece of news of a link is told once; the news and its mail are one transaction; a mail whose worker died is
//! sent again under the same id.

use std::time::Duration;

use diesel::prelude::*;

use super::audit_log;
use super::conn::Tx;
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::links::{self, LinkRow};
use super::prepared::Prepare as _;
use super::rows::{from_json, parse, to_json};
use super::schema::staff_mail;
use crate::audit::{Actor, AuditEvent};
use crate::base::{LinkId, NoticeId, UtcMillis};
use crate::record::{StaffMailFate, StaffNews};

/// A mail that a worker has in hand.
pub struct LeasedStaffMail {
    pub id: NoticeId,
    pub delivery: Delivery,
    pub link: LinkRow,
    pub tells: StaffNews,
    pub created_at: UtcMillis,
    /// With this one.
    pub attempts: u32,
}

/// Queues a mail, unless that was told before.
///
/// # Errors
/// [`StoreError`].
pub fn tell_staff(
    tx: &mut Tx,
    id: &NoticeId,
    owner: &Delivery,
    link: &LinkId,
    tells: StaffNews,
    at: UtcMillis,
) -> Result<(), StoreError> {
    let new = (
        staff_mail::id.eq(id.as_str()),
        staff_mail::delivery_id.eq(owner.id.as_str()),
        staff_mail::link_id.eq(link.as_str()),
        staff_mail::tells.eq(to_json("staff_mail.tells", &tells)?),
        staff_mail::created_at.eq(at.0),
        staff_mail::state.eq("queued"),
        staff_mail::due_at.eq(at.0),
        staff_mail::attempts.eq(0),
    );
    let written = tx.conn().transaction(|conn| {
        diesel::insert_into(staff_mail::table).values(new).prepared().execute(conn).map_err(StoreError::from)
    });
    match written {
        Ok(_) | Err(StoreError::Duplicate) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes up to `count` of those that are due, for `lease`: a worker that dies with them gives them back so.
///
/// # Errors
/// [`StoreError`].
pub fn lease_staff_mails(
    tx: &mut Tx,
    now: UtcMillis,
    lease: Duration,
    count: i64,
) -> Result<Vec<LeasedStaffMail>, StoreError> {
    let due: Vec<(String, String, String, String, i64, i64, i32)> = staff_mail::table
        .filter(staff_mail::state.eq("queued"))
        .filter(staff_mail::due_at.le(now.0))
        .order((staff_mail::due_at.asc(), staff_mail::id.asc()))
        .limit(count)
        .select((
            staff_mail::id,
            staff_mail::delivery_id,
            staff_mail::link_id,
            staff_mail::tells,
            staff_mail::created_at,
            staff_mail::due_at,
            staff_mail::attempts,
        ))
        .load(tx.conn())?;
    let mut leased = Vec::new();
    for (id, delivery, link, tells, created_at, due_at, attempts) in due {
        let still = staff_mail::table.find(&id).filter(staff_mail::state.eq("queued"));
        let taken = diesel::update(still.filter(staff_mail::due_at.eq(due_at)))
            .set((staff_mail::due_at.eq(now.plus(lease).0), staff_mail::attempts.eq(attempts + 1)))
            .prepared()
            .execute(tx.conn())?;
        let delivery = deliveries::delivery(tx.conn(), &parse("staff_mail.delivery_id", &delivery)?)?;
        let link = links::link(tx.conn(), &parse("staff_mail.link_id", &link)?)?;
        let (1, Some(delivery), Some(link)) = (taken, delivery, link) else { continue };
        leased.push(LeasedStaffMail {
            id: parse("staff_mail.id", &id)?,
            delivery,
            link,
            tells: from_json("staff_mail.tells", &tells)?,
            created_at: UtcMillis(created_at),
            attempts: u32::try_from(attempts + 1).map_err(|_| StoreError::BadRow { column: "staff_mail.attempts" })?,
        });
    }
    Ok(leased)
}

/// It is tried again at `due`.
///
/// # Errors
/// [`StoreError`].
pub fn retry_staff_mail(tx: &mut Tx, mail: &LeasedStaffMail, due: UtcMillis) -> Result<(), StoreError> {
    diesel::update(as_leased(mail)).set(staff_mail::due_at.eq(due.0)).prepared().execute(tx.conn())?;
    Ok(())
}

/// It ended so; noted in the delivery's chain where somebody was, or should have been, told.
///
/// # Errors
/// [`StoreError`].
pub fn end_staff_mail(
    tx: &mut Tx,
    mail: &LeasedStaffMail,
    fate: StaffMailFate,
    at: UtcMillis,
) -> Result<(), StoreError> {
    let ended = (staff_mail::state.eq(fate.as_str()), staff_mail::ended_at.eq(at.0));
    let is_ended = diesel::update(as_leased(mail)).set(ended).prepared().execute(tx.conn())? == 1;
    if is_ended && fate != StaffMailFate::Nobody {
        let event = AuditEvent::StaffTold { link: mail.link.id.clone(), of: mail.tells, fate };
        audit_log::append(tx, &mail.delivery.entry(at, Actor::System, event))?;
    }
    Ok(())
}

#[diesel::dsl::auto_type(no_type_alias)]
fn as_leased(mail: &LeasedStaffMail) -> _ {
    let attempts: i32 = i32::try_from(mail.attempts).unwrap_or(i32::MAX);
    let id: &str = mail.id.as_str();
    staff_mail::table.find(id).filter(staff_mail::state.eq("queued")).filter(staff_mail::attempts.eq(attempts))
}

/// Retention: those that were written before `before`.
///
/// # Errors
/// [`StoreError`].
pub fn forget_staff_mails(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    let old = staff_mail::table.filter(staff_mail::created_at.lt(before.0));
    Ok(diesel::delete(old).prepared().execute(tx.conn())? as u64)
}
