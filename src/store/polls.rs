//! Where polling and the subscriptions at the EHR stand.

use std::time::Duration;

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::control;
use super::error::StoreError;
use super::lease::Renewed;
use super::prepared::Prepare as _;
use super::rows::parse;
use super::schema::{poll, subscription};
use crate::base::{EhrId, ResourceType, UtcMillis, minutes};

/// How far one EHR's resources of one type have been heard of by polling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollRow {
    pub ehr: EhrId,
    pub kind: ResourceType,
    /// What was issued before is never sent by itself.
    pub started_at: UtcMillis,
    /// Everything up to here has been seen.
    pub watermark: UtcMillis,
    /// While it is leased: the end of the lease.
    pub next_at: UtcMillis,
    pub last_ok_at: Option<UtcMillis>,
    pub why: Option<String>,
    /// Where searches begin, by the EHR's own clock; `None` while nothing else is known than [`Self::started_at`].
    pub search_from: Option<UtcMillis>,
    /// How far the EHR's clock is ahead of ours, behind where negative; `None` before it first told the time.
    pub clock_off_ms: Option<i64>,
}

/// An EHR's clock that is further from ours is told to staff.
pub const CLOCK_OFF_MAX: Duration = minutes(5);

type Row = (String, String, i64, i64, i64, Option<i64>, Option<String>, Option<i64>, Option<i64>);

macro_rules! columns {
    () => {
        (
            poll::ehr,
            poll::kind,
            poll::started_at,
            poll::watermark,
            poll::next_at,
            poll::last_ok_at,
            poll::why,
            poll::search_from,
            poll::clock_off_ms,
        )
    };
}

fn typed(row: Row) -> Result<PollRow, StoreError> {
    let (ehr, kind, started_at, watermark, next_at, last_ok_at, why, search_from, clock_off_ms) = row;
    Ok(PollRow {
        ehr: parse("poll.ehr", &ehr)?,
        kind: parse("poll.kind", &kind)?,
        started_at: UtcMillis(started_at),
        watermark: UtcMillis(watermark),
        next_at: UtcMillis(next_at),
        last_ok_at: last_ok_at.map(UtcMillis),
        why,
        search_from: search_from.map(UtcMillis),
        clock_off_ms,
    })
}

/// Starts polling at `watermark` unless it has been started before: the past is never sent by itself.
///
/// # Errors
/// [`StoreError`].
pub fn ensure_poll(
    tx: &mut Tx,
    ehr: &EhrId,
    kind: ResourceType,
    watermark: UtcMillis,
    now: UtcMillis,
) -> Result<(), StoreError> {
    tx.insert_unless_there(|conn| {
        diesel::insert_into(poll::table)
            .values((
                poll::ehr.eq(ehr.as_str()),
                poll::kind.eq(kind.as_str()),
                poll::started_at.eq(watermark.0),
                poll::watermark.eq(watermark.0),
                poll::next_at.eq(now.0),
            ))
            .prepared()
            .execute(conn)
    })
}

/// The beginning of a poll by the EHR's own clock.
#[derive(Clone, Copy)]
pub struct Beginning {
    /// What was issued before is never sent by itself.
    pub started_at: UtcMillis,
    pub search_from: UtcMillis,
}

/// Moves the beginning of a poll that has not succeeded yet, once.
///
/// # Errors
/// [`StoreError`].
pub fn begin_poll_at(tx: &mut Tx, ehr: &EhrId, kind: ResourceType, began: Beginning) -> Result<(), StoreError> {
    let this = poll::table.find((ehr.as_str(), kind.as_str()));
    diesel::update(this.filter(poll::last_ok_at.is_null()).filter(poll::search_from.is_null()))
        .set((poll::started_at.eq(began.started_at.0), poll::search_from.eq(began.search_from.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Notes how far the EHR's clock is ahead of ours.
///
/// # Errors
/// [`StoreError`].
pub fn note_poll_clock(tx: &mut Tx, ehr: &EhrId, kind: ResourceType, off_ms: i64) -> Result<(), StoreError> {
    diesel::update(poll::table.find((ehr.as_str(), kind.as_str())))
        .set(poll::clock_off_ms.eq(off_ms))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Leases one poll of `ehr` that is due.
///
/// # Errors
/// [`StoreError`].
pub fn lease_poll(
    tx: &mut Tx,
    ehr: &EhrId,
    kind: ResourceType,
    now: UtcMillis,
    until: UtcMillis,
) -> Result<Option<PollRow>, StoreError> {
    let rows: Vec<Row> = diesel::update(
        poll::table
            .find((ehr.as_str(), kind.as_str()))
            .filter(poll::next_at.le(now.0))
            .filter(poll::lease_until.is_null().or(poll::lease_until.le(now.0))),
    )
    // Due again when the lease runs out; a ping that comes meanwhile shows in an earlier time.
    .set((poll::lease_until.eq(until.0), poll::lease_holder.eq(tx.holder()), poll::next_at.eq(until.0)))
    .returning(columns!())
    .prepared()
    .load(tx.conn())?;
    rows.into_iter().next().map(typed).transpose()
}

/// Lengthens the lease of `row`, unless it ran out and another worker has the poll. A ping that came meanwhile still
/// shows in its earlier time.
///
/// # Errors
/// [`StoreError`].
pub fn renew_poll(tx: &mut Tx, row: PollRow, until: UtcMillis) -> Result<Renewed<PollRow>, StoreError> {
    let this = poll::table.find((row.ehr.as_str(), row.kind.as_str()));
    let renewed = diesel::update(this.filter(poll::lease_until.eq(row.next_at.0)))
        .set(poll::lease_until.eq(until.0))
        .prepared()
        .execute(tx.conn())?;
    if renewed != 1 {
        return Ok(Renewed::Lost);
    }
    diesel::update(this.filter(poll::next_at.ge(row.next_at.0)))
        .set(poll::next_at.eq(until.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(Renewed::Kept(PollRow { next_at: until, ..row }))
}

/// How a poll ended.
pub struct PollEnd {
    /// `Some` moves the watermark.
    pub watermark: Option<UtcMillis>,
    pub next_at: UtcMillis,
    pub why: Option<String>,
}

/// Ends the lease of `row`. A ping that came during the poll may tell of what it no longer saw, so it brings the next
/// one forward to [`PING_GAP`] from now, unless this one failed.
///
/// # Errors
/// [`StoreError::Moved`] when the lease ran out and another worker has the poll.
pub fn settle_poll(tx: &mut Tx, row: &PollRow, end: &PollEnd, at: UtcMillis) -> Result<(), StoreError> {
    let this = poll::table.find((row.ehr.as_str(), row.kind.as_str()));
    let ended = diesel::update(this.filter(poll::lease_until.eq(row.next_at.0)))
        .set((
            poll::watermark.eq(end.watermark.unwrap_or(row.watermark).0),
            poll::lease_until.eq(None::<i64>),
            poll::last_ok_at.eq(end.watermark.map_or(row.last_ok_at, |_| Some(at)).map(|at| at.0)),
            poll::why.eq(end.why.as_deref()),
        ))
        .prepared()
        .execute(tx.conn())?;
    if ended != 1 {
        return Err(StoreError::Moved);
    }
    let after_ping = if end.why.is_none() { end.next_at.min(at.plus(PING_GAP)) } else { end.next_at };
    let undisturbed = diesel::update(this.filter(poll::next_at.ge(row.next_at.0)))
        .set(poll::next_at.eq(end.next_at.0))
        .prepared()
        .execute(tx.conn())?;
    if undisturbed == 0 {
        diesel::update(this).set(poll::next_at.eq(after_ping.0)).prepared().execute(tx.conn())?;
    }
    Ok(())
}

/// A ping that names nothing costs at most one search per this time, however often it comes.
const PING_GAP: Duration = crate::base::seconds(5);

/// Brings an EHR's next polls forward, to now or to [`PING_GAP`] after the last one. A poll that failed keeps its own
/// time: the EHR may have named it.
///
/// # Errors
/// [`StoreError`].
pub fn poll_sooner(tx: &mut Tx, ehr: &EhrId, now: UtcMillis) -> Result<(), StoreError> {
    for row in polls(tx.conn())?.into_iter().filter(|row| row.ehr == *ehr && row.why.is_none()) {
        let earliest = row.last_ok_at.map_or(now, |last| last.plus(PING_GAP).max(now));
        diesel::update(poll::table.find((ehr.as_str(), row.kind.as_str())).filter(poll::next_at.gt(earliest.0)))
            .set(poll::next_at.eq(earliest.0))
            .prepared()
            .execute(tx.conn())?;
    }
    Ok(())
}

/// When Chartseal began to follow `ehr`, or began again after a restore; `None` before its first start.
///
/// # Errors
/// [`StoreError`].
pub fn followed_since(conn: &mut Conn, ehr: &EhrId) -> Result<Option<UtcMillis>, StoreError> {
    let at: Option<i64> =
        poll::table.filter(poll::ehr.eq(ehr.as_str())).select(diesel::dsl::min(poll::started_at)).first(conn)?;
    let again = control::control(conn, control::FOLLOWED_FROM)?.and_then(|text| text.parse().ok());
    Ok(at.max(again).map(UtcMillis))
}

/// # Errors
/// [`StoreError`].
pub fn polls(conn: &mut Conn) -> Result<Vec<PollRow>, StoreError> {
    let rows: Vec<Row> = poll::table.order((poll::ehr.asc(), poll::kind.asc())).select(columns!()).load(conn)?;
    rows.into_iter().map(typed).collect()
}

/// What is known of one Subscription at the EHR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    pub ehr: EhrId,
    pub kind: ResourceType,
    pub remote_id: Option<String>,
    /// The EHR's word: requested, active, error, off; or `none` before the first look.
    pub status: String,
    pub next_at: UtcMillis,
    /// The lease under which it was handed out: whoever holds an older one may no longer write.
    pub lease_until: Option<UtcMillis>,
    pub tries: i32,
    pub why: Option<String>,
}

type SubscriptionTuple = (String, String, Option<String>, String, i64, Option<i64>, i32, Option<String>);

macro_rules! subscription_columns {
    () => {
        (
            subscription::ehr,
            subscription::kind,
            subscription::remote_id,
            subscription::status,
            subscription::next_at,
            subscription::lease_until,
            subscription::tries,
            subscription::why,
        )
    };
}

fn subscription_row(row: SubscriptionTuple) -> Result<SubscriptionRow, StoreError> {
    let (ehr, kind, remote_id, status, next_at, lease_until, tries, why) = row;
    Ok(SubscriptionRow {
        ehr: parse("subscription.ehr", &ehr)?,
        kind: parse("subscription.kind", &kind)?,
        remote_id,
        status,
        next_at: UtcMillis(next_at),
        lease_until: lease_until.map(UtcMillis),
        tries,
        why,
    })
}

/// # Errors
/// [`StoreError`].
pub fn ensure_subscription_row(tx: &mut Tx, ehr: &EhrId, kind: ResourceType, now: UtcMillis) -> Result<(), StoreError> {
    tx.insert_unless_there(|conn| {
        diesel::insert_into(subscription::table)
            .values((
                subscription::ehr.eq(ehr.as_str()),
                subscription::kind.eq(kind.as_str()),
                subscription::status.eq("none"),
                subscription::next_at.eq(now.0),
            ))
            .prepared()
            .execute(conn)
    })
}

/// # Errors
/// [`StoreError`].
pub fn lease_subscription(
    tx: &mut Tx,
    ehr: &EhrId,
    kind: ResourceType,
    now: UtcMillis,
    until: UtcMillis,
) -> Result<Option<SubscriptionRow>, StoreError> {
    let rows: Vec<SubscriptionTuple> = diesel::update(
        subscription::table
            .find((ehr.as_str(), kind.as_str()))
            .filter(subscription::next_at.le(now.0))
            .filter(subscription::lease_until.is_null().or(subscription::lease_until.le(now.0))),
    )
    .set((
        subscription::lease_until.eq(until.0),
        subscription::lease_holder.eq(tx.holder()),
        subscription::tries.eq(subscription::tries + 1),
    ))
    .returning(subscription_columns!())
    .prepared()
    .load(tx.conn())?;
    rows.into_iter().next().map(subscription_row).transpose()
}

/// Writes what the last look at the EHR found and ends its lease; `after.tries` counts looks since the last good one.
///
/// # Errors
/// [`StoreError::Moved`] when the lease ran out and another worker has the subscription.
pub fn settle_subscription(tx: &mut Tx, after: &SubscriptionRow) -> Result<(), StoreError> {
    let this = subscription::table.find((after.ehr.as_str(), after.kind.as_str()));
    let leased = after.lease_until.map(|until| until.0);
    let ended = diesel::update(this.filter(subscription::lease_until.eq(leased)))
        .set((
            subscription::remote_id.eq(after.remote_id.as_deref()),
            subscription::status.eq(&after.status),
            subscription::next_at.eq(after.next_at.0),
            subscription::lease_until.eq(None::<i64>),
            subscription::tries.eq(after.tries),
            subscription::why.eq(after.why.as_deref()),
        ))
        .prepared()
        .execute(tx.conn())?;
    if ended == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

/// # Errors
/// [`StoreError`].
pub fn subscriptions(conn: &mut Conn) -> Result<Vec<SubscriptionRow>, StoreError> {
    let rows: Vec<SubscriptionTuple> = subscription::table
        .order((subscription::ehr.asc(), subscription::kind.asc()))
        .select(subscription_columns!())
        .load(conn)?;
    rows.into_iter().map(subscription_row).collect()
}
