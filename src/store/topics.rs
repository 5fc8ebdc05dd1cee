//! Where the topic-based subscription of each EHR stands, and which of its events are missing by number.
//!
//! Must stay true: whoever counts events holds the EHR's row for the rest of the transaction ([`hold_topic`]), so that two
//! replicas never count from the same state; numbers are noted in the transaction that hears what they announce.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::parse;
use super::schema::{event_gap, topic};
use crate::base::{EhrId, UtcMillis};

/// The subscription as it was last looked at, and when it was last heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRow {
    pub ehr: EhrId,
    pub remote_id: Option<String>,
    /// The EHR's word: requested, active, error, off; `none` before the first look.
    pub status: String,
    /// Topic and filters as they were last asked for.
    pub terms: Option<String>,
    pub next_at: UtcMillis,
    /// The lease under which it was handed out: whoever holds an older one may no longer write.
    pub lease_until: Option<UtcMillis>,
    pub tries: i32,
    pub why: Option<String>,
    /// When it was last asked for, at first or again.
    pub asked_at: Option<UtcMillis>,
    /// Its last notification of any kind.
    pub heard_at: Option<UtcMillis>,
    /// Its last heartbeat; `None` while the EHR has never sent one.
    pub beat_at: Option<UtcMillis>,
    /// Whose events are counted.
    pub numbered: Option<String>,
    /// The highest number that was heard or told of; `None` before the first.
    pub highest: Option<u64>,
}

/// Events that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapRow {
    pub first: u64,
    pub last: u64,
    /// When they stop being merely late.
    pub due_at: UtcMillis,
}

/// What a notification shows about the life of its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOfLife {
    Heartbeat,
    Other,
}

type Row = (
    String,
    Option<String>,
    String,
    Option<String>,
    i64,
    Option<i64>,
    i32,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

macro_rules! columns {
    () => {
        (
            topic::ehr,
            topic::remote_id,
            topic::status,
            topic::terms,
            topic::next_at,
            topic::lease_until,
            topic::tries,
            topic::why,
            topic::asked_at,
            topic::heard_at,
            topic::beat_at,
            topic::numbered,
            topic::highest,
        )
    };
}

fn typed(row: Row) -> Result<TopicRow, StoreError> {
    let (
        ehr,
        remote_id,
        status,
        terms,
        next_at,
        lease_until,
        tries,
        why,
        asked_at,
        heard_at,
        beat_at,
        numbered,
        highest,
    ) = row;
    Ok(TopicRow {
        ehr: parse("topic.ehr", &ehr)?,
        remote_id,
        status,
        terms,
        next_at: UtcMillis(next_at),
        lease_until: lease_until.map(UtcMillis),
        tries,
        why,
        asked_at: asked_at.map(UtcMillis),
        heard_at: heard_at.map(UtcMillis),
        beat_at: beat_at.map(UtcMillis),
        numbered,
        highest: highest.map(|number| count("topic.highest", number)).transpose()?,
    })
}

fn count(column: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::BadRow { column })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// # Errors
/// [`StoreError`].
pub fn ensure_topic(tx: &mut Tx, ehr: &EhrId, now: UtcMillis) -> Result<(), StoreError> {
    tx.insert_unless_there(|conn| {
        diesel::insert_into(topic::table)
            .values((topic::ehr.eq(ehr.as_str()), topic::status.eq("none"), topic::next_at.eq(now.0)))
            .prepared()
            .execute(conn)
    })
}

/// Leases the subscription of `ehr` if a look at it is due.
///
/// # Errors
/// [`StoreError`].
pub fn lease_topic(tx: &mut Tx, ehr: &EhrId, now: UtcMillis, until: UtcMillis) -> Result<Option<TopicRow>, StoreError> {
    let rows: Vec<Row> = diesel::update(
        topic::table
            .find(ehr.as_str())
            .filter(topic::next_at.le(now.0))
            .filter(topic::lease_until.is_null().or(topic::lease_until.le(now.0))),
    )
    .set((
        topic::lease_until.eq(until.0),
        topic::lease_holder.eq(tx.holder()),
        // A notification that tells of trouble meanwhile shows in an earlier time.
        topic::next_at.eq(until.0),
        topic::tries.eq(topic::tries + 1),
    ))
    .returning(columns!())
    .prepared()
    .load(tx.conn())?;
    rows.into_iter().next().map(typed).transpose()
}

/// Writes what the last look at the EHR found and ends its lease; what was heard meanwhile stays as it is.
///
/// # Errors
/// [`StoreError::Moved`] when the lease ran out and another worker has the subscription.
pub fn settle_topic(tx: &mut Tx, after: &TopicRow) -> Result<(), StoreError> {
    let this = topic::table.find(after.ehr.as_str());
    let leased = after.lease_until.map(|until| until.0);
    let ended = diesel::update(this.filter(topic::lease_until.eq(leased)))
        .set((
            topic::remote_id.eq(after.remote_id.as_deref()),
            topic::status.eq(&after.status),
            topic::terms.eq(after.terms.as_deref()),
            topic::lease_until.eq(None::<i64>),
            topic::tries.eq(after.tries),
            topic::why.eq(after.why.as_deref()),
            topic::asked_at.eq(after.asked_at.map(|at| at.0)),
        ))
        .prepared()
        .execute(tx.conn())?;
    if ended != 1 {
        return Err(StoreError::Moved);
    }
    diesel::update(this.filter(topic::next_at.ge(leased.unwrap_or(i64::MIN))))
        .set(topic::next_at.eq(after.next_at.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Brings the next look forward.
///
/// # Errors
/// [`StoreError`].
pub fn look_sooner(tx: &mut Tx, ehr: &EhrId, now: UtcMillis) -> Result<(), StoreError> {
    diesel::update(topic::table.find(ehr.as_str()).filter(topic::next_at.gt(now.0)))
        .set(topic::next_at.eq(now.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Notes that the subscription was heard, and holds its row until the transaction ends. `None`: nobody counts for `ehr`.
///
/// # Errors
/// [`StoreError`].
pub fn hold_topic(tx: &mut Tx, ehr: &EhrId, sign: SignOfLife, at: UtcMillis) -> Result<Option<TopicRow>, StoreError> {
    let this = topic::table.find(ehr.as_str());
    // The update comes first: it waits for whoever holds the row, and only then is the row read.
    let held = diesel::update(this).set(topic::heard_at.eq(at.0)).prepared().execute(tx.conn())?;
    if held == 0 {
        return Ok(None);
    }
    match sign {
        SignOfLife::Heartbeat => {
            diesel::update(this).set(topic::beat_at.eq(at.0)).prepared().execute(tx.conn())?;
        }
        SignOfLife::Other => {}
    }
    topic_of(tx.conn(), ehr)
}

/// Holds the row as [`hold_topic`] does, without having heard anything.
///
/// # Errors
/// [`StoreError`].
pub fn hold_topic_quietly(tx: &mut Tx, ehr: &EhrId) -> Result<Option<TopicRow>, StoreError> {
    let this = topic::table.find(ehr.as_str());
    let held = diesel::update(this).set(topic::tries.eq(topic::tries)).prepared().execute(tx.conn())?;
    if held == 0 { Ok(None) } else { topic_of(tx.conn(), ehr) }
}

/// Notes whose events are counted and how far. The row must be held.
///
/// # Errors
/// [`StoreError`].
pub fn set_counted(tx: &mut Tx, ehr: &EhrId, numbered: Option<&str>, highest: Option<u64>) -> Result<(), StoreError> {
    diesel::update(topic::table.find(ehr.as_str()))
        .set((topic::numbered.eq(numbered), topic::highest.eq(highest.map(signed))))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Replaces the open gaps of `ehr`. The row must be held.
///
/// # Errors
/// [`StoreError`].
pub fn set_gaps(tx: &mut Tx, ehr: &EhrId, gaps: &[GapRow]) -> Result<(), StoreError> {
    diesel::delete(event_gap::table.filter(event_gap::ehr.eq(ehr.as_str()))).execute(tx.conn())?;
    for gap in gaps {
        diesel::insert_into(event_gap::table)
            .values((
                event_gap::ehr.eq(ehr.as_str()),
                event_gap::first_number.eq(signed(gap.first)),
                event_gap::last_number.eq(signed(gap.last)),
                event_gap::due_at.eq(gap.due_at.0),
            ))
            .prepared()
            .execute(tx.conn())?;
    }
    Ok(())
}

/// The open gaps of `ehr`, lowest first.
///
/// # Errors
/// [`StoreError`].
pub fn gaps_of(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<GapRow>, StoreError> {
    let rows: Vec<(i64, i64, i64)> = event_gap::table
        .filter(event_gap::ehr.eq(ehr.as_str()))
        .order(event_gap::first_number.asc())
        .select((event_gap::first_number, event_gap::last_number, event_gap::due_at))
        .load(conn)?;
    rows.into_iter()
        .map(|(first, last, due_at)| {
            let number = |number| count("event_gap.first_number", number);
            Ok(GapRow { first: number(first)?, last: number(last)?, due_at: UtcMillis(due_at) })
        })
        .collect()
}

/// Takes one gap of `ehr` that is due, until `until`.
///
/// # Errors
/// [`StoreError`].
pub fn take_gap(
    tx: &mut Tx,
    ehr: &EhrId,
    now: UtcMillis,
    until: UtcMillis,
) -> Result<Option<(TopicRow, GapRow)>, StoreError> {
    let due = gaps_of(tx.conn(), ehr)?.into_iter().any(|gap| gap.due_at <= now);
    if !due {
        return Ok(None);
    }
    let Some(row) = hold_topic_quietly(tx, ehr)? else { return Ok(None) };
    // Looked for again: another replica may have had it before we held the row.
    let gap = gaps_of(tx.conn(), ehr)?.into_iter().find(|gap| gap.due_at <= now);
    let Some(gap) = gap else { return Ok(None) };
    diesel::update(event_gap::table.find((ehr.as_str(), signed(gap.first))))
        .set(event_gap::due_at.eq(until.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(Some((row, gap)))
}

/// The subscription of `ehr`; `None` where nobody follows it.
///
/// # Errors
/// [`StoreError`].
pub fn topic_of(conn: &mut Conn, ehr: &EhrId) -> Result<Option<TopicRow>, StoreError> {
    let row: Option<Row> = topic::table.find(ehr.as_str()).select(columns!()).first(conn).optional()?;
    row.map(typed).transpose()
}
