//! Where polling and the subscriptions at the EHR stand.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::rows::parse;
use super::schema::{poll, subscription};
use crate::base::{EhrId, ResourceType, UtcMillis};

/// How far one EHR's resources of one type have been heard of by polling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollRow {
    pub ehr: EhrId,
    pub kind: ResourceType,
    /// Everything up to here has been seen.
    pub watermark: UtcMillis,
    pub next_at: UtcMillis,
    pub last_ok_at: Option<UtcMillis>,
    pub why: Option<String>,
}

type Row = (String, String, i64, i64, Option<i64>, Option<String>);

macro_rules! columns {
    () => {
        (poll::ehr, poll::kind, poll::watermark, poll::next_at, poll::last_ok_at, poll::why)
    };
}

fn typed((ehr, kind, watermark, next_at, last_ok_at, why): Row) -> Result<PollRow, StoreError> {
    Ok(PollRow {
        ehr: parse("poll.ehr", &ehr)?,
        kind: parse("poll.kind", &kind)?,
        watermark: UtcMillis(watermark),
        next_at: UtcMillis(next_at),
        last_ok_at: last_ok_at.map(UtcMillis),
        why,
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
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(poll::table)
            .values((
                poll::ehr.eq(ehr.as_str()),
                poll::kind.eq(kind.as_str()),
                poll::watermark.eq(watermark.0),
                poll::next_at.eq(now.0),
            ))
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) | Err(StoreError::Duplicate) => Ok(()),
        Err(other) => Err(other),
    }
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
    .set(poll::lease_until.eq(until.0))
    .returning(columns!())
    .get_results(tx.conn())?;
    rows.into_iter().next().map(typed).transpose()
}

/// How a poll ended.
pub struct PollEnd {
    /// `Some` moves the watermark.
    pub watermark: Option<UtcMillis>,
    pub next_at: UtcMillis,
    pub why: Option<String>,
}

/// # Errors
/// [`StoreError`].
pub fn settle_poll(tx: &mut Tx, row: &PollRow, end: &PollEnd, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(poll::table.find((row.ehr.as_str(), row.kind.as_str())))
        .set((
            poll::watermark.eq(end.watermark.unwrap_or(row.watermark).0),
            poll::next_at.eq(end.next_at.0),
            poll::lease_until.eq(None::<i64>),
            poll::last_ok_at.eq(end.watermark.map_or(row.last_ok_at, |_| Some(at)).map(|at| at.0)),
            poll::why.eq(end.why.as_deref()),
        ))
        .execute(tx.conn())?;
    Ok(())
}

/// Brings an EHR's next poll forward to `at`, but never more often than once per `gap_after` since the last: a ping
/// that names nothing, however often it comes, costs one search.
///
/// # Errors
/// [`StoreError`].
pub fn poll_sooner(tx: &mut Tx, ehr: &EhrId, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(poll::table.filter(poll::ehr.eq(ehr.as_str())).filter(poll::next_at.gt(at.0)))
        .set(poll::next_at.eq(at.0))
        .execute(tx.conn())?;
    Ok(())
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
    pub tries: i32,
    pub why: Option<String>,
}

type SubscriptionTuple = (String, String, Option<String>, String, i64, i32, Option<String>);

macro_rules! subscription_columns {
    () => {
        (
            subscription::ehr,
            subscription::kind,
            subscription::remote_id,
            subscription::status,
            subscription::next_at,
            subscription::tries,
            subscription::why,
        )
    };
}

fn subscription_row(row: SubscriptionTuple) -> Result<SubscriptionRow, StoreError> {
    let (ehr, kind, remote_id, status, next_at, tries, why) = row;
    Ok(SubscriptionRow {
        ehr: parse("subscription.ehr", &ehr)?,
        kind: parse("subscription.kind", &kind)?,
        remote_id,
        status,
        next_at: UtcMillis(next_at),
        tries,
        why,
    })
}

/// # Errors
/// [`StoreError`].
pub fn ensure_subscription_row(tx: &mut Tx, ehr: &EhrId, kind: ResourceType, now: UtcMillis) -> Result<(), StoreError> {
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(subscription::table)
            .values((
                subscription::ehr.eq(ehr.as_str()),
                subscription::kind.eq(kind.as_str()),
                subscription::status.eq("none"),
                subscription::next_at.eq(now.0),
            ))
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) | Err(StoreError::Duplicate) => Ok(()),
        Err(other) => Err(other),
    }
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
    .set((subscription::lease_until.eq(until.0), subscription::tries.eq(subscription::tries + 1)))
    .returning(subscription_columns!())
    .get_results(tx.conn())?;
    rows.into_iter().next().map(subscription_row).transpose()
}

/// Writes what the last look at the EHR found; `after.tries` counts looks since the last good one.
///
/// # Errors
/// [`StoreError`].
pub fn settle_subscription(tx: &mut Tx, after: &SubscriptionRow) -> Result<(), StoreError> {
    diesel::update(subscription::table.find((after.ehr.as_str(), after.kind.as_str())))
        .set((
            subscription::remote_id.eq(after.remote_id.as_deref()),
            subscription::status.eq(&after.status),
            subscription::next_at.eq(after.next_at.0),
            subscription::lease_until.eq(None::<i64>),
            subscription::tries.eq(after.tries),
            subscription::why.eq(after.why.as_deref()),
        ))
        .execute(tx.conn())?;
    Ok(())
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
