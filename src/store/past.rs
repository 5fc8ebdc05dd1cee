//! What a person asked to have read of an EHR's past: how far that is, and whether it goes on.
//!
//! Must stay true: at most one of each sort for one EHR; who steps on holds its lease; what was stopped goes on from where it was.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::lease::Renewed;
use super::prepared::Prepare as _;
use super::rows::{hash32, parse, signed, unsigned};
use super::schema::past_search;
use crate::base::{EhrId, OperatorName, ResourceType, UtcMillis};

/// Why the past is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// To have on record what there was before: nothing of it leaves by itself.
    Backfill,
    /// Because something may have been missed or misread: as if the EHR told of each change again.
    ListenAgain,
}

impl Past {
    pub const ALL: [Self; 2] = [Self::Backfill, Self::ListenAgain];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::ListenAgain => "listen-again",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastState {
    Running,
    /// By a person.
    Stopped,
    Done,
}

impl PastState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Done => "done",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [Self::Running, Self::Stopped, Self::Done];
        let found = all.into_iter().find(|one| one.as_str() == text);
        found.ok_or(StoreError::BadRow { column: "past_search.state" })
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct PastAsked {
    pub ehr: EhrId,
    pub what: Past,
    pub since: UtcMillis,
    pub until: UtcMillis,
    pub by: OperatorName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRow {
    pub ehr: EhrId,
    pub what: Past,
    pub state: PastState,
    pub since: UtcMillis,
    pub until: UtcMillis,
    pub reached: Reached,
    /// Resources that the EHR showed.
    pub seen: u64,
    /// Of those, what is read because of it.
    pub heard: u64,
    pub asked_by: String,
    pub asked_at: UtcMillis,
    pub next_at: UtcMillis,
    /// The lease under which it was handed out: whoever holds an older one may no longer write.
    pub lease_until: Option<UtcMillis>,
    pub ended_at: Option<UtcMillis>,
    /// What the last step failed of.
    pub why: Option<String>,
    /// Questions about single patients that failed and were not asked again.
    pub left_out: u64,
}

/// How far it is: one type after the other; each from the beginning to the end, or patient by patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub kind: ResourceType,
    pub at: UtcMillis,
    /// The last one that is done, where patients are asked about one by one.
    pub patient: Option<[u8; 32]>,
}

type Row = (
    String,
    String,
    String,
    i64,
    i64,
    String,
    i64,
    Option<Vec<u8>>,
    i64,
    i64,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    i64,
);

macro_rules! columns {
    () => {
        (
            past_search::ehr,
            past_search::what,
            past_search::state,
            past_search::since_at,
            past_search::until_at,
            past_search::kind,
            past_search::reached_at,
            past_search::patient_index,
            past_search::seen,
            past_search::heard,
            past_search::asked_by,
            past_search::asked_at,
            past_search::next_at,
            past_search::lease_until,
            past_search::ended_at,
            past_search::why,
            past_search::left_out,
        )
    };
}

fn typed(row: Row) -> Result<PastRow, StoreError> {
    let (ehr, what, state, since, until, kind, at, patient, seen, heard, by, asked_at, next_at, lease, ended, why, out) =
        row;
    let known = Past::ALL.into_iter().find(|one| one.as_str() == what);
    Ok(PastRow {
        ehr: parse("past_search.ehr", &ehr)?,
        what: known.ok_or(StoreError::BadRow { column: "past_search.what" })?,
        state: PastState::parse(&state)?,
        since: UtcMillis(since),
        until: UtcMillis(until),
        reached: Reached {
            kind: parse("past_search.kind", &kind)?,
            at: UtcMillis(at),
            patient: patient.map(|index| hash32("past_search.patient_index", &index)).transpose()?,
        },
        seen: unsigned("past_search.seen", seen)?,
        heard: unsigned("past_search.heard", heard)?,
        asked_by: by,
        asked_at: UtcMillis(asked_at),
        next_at: UtcMillis(next_at),
        lease_until: lease.map(UtcMillis),
        ended_at: ended.map(UtcMillis),
        why,
        left_out: unsigned("past_search.left_out", out)?,
    })
}

/// Begins what is asked for, in place of a former one of its sort that is done or was stopped. Returns whether it did: one that
/// runs goes on.
///
/// # Errors
/// [`StoreError`].
pub fn begin_past(tx: &mut Tx, asked: &PastAsked, now: UtcMillis) -> Result<bool, StoreError> {
    let begun = (
        past_search::state.eq(PastState::Running.as_str()),
        past_search::since_at.eq(asked.since.0),
        past_search::until_at.eq(asked.until.0),
        past_search::kind.eq(ResourceType::DiagnosticReport.as_str()),
        past_search::reached_at.eq(asked.since.0),
        past_search::patient_index.eq(None::<Vec<u8>>),
        past_search::seen.eq(0_i64),
        past_search::heard.eq(0_i64),
        past_search::asked_by.eq(asked.by.to_string()),
        past_search::asked_at.eq(now.0),
        past_search::next_at.eq(now.0),
        past_search::lease_until.eq(None::<i64>),
        past_search::ended_at.eq(None::<i64>),
        past_search::why.eq(None::<String>),
        past_search::left_out.eq(0_i64),
    );
    let key = (asked.ehr.as_str(), asked.what.as_str());
    let again = diesel::update(past_search::table.find(key).filter(past_search::state.ne(PastState::Running.as_str())))
        .set(begun.clone())
        .prepared()
        .execute(tx.conn())?;
    if again == 1 {
        return Ok(true);
    }
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(past_search::table)
            .values((past_search::ehr.eq(key.0), past_search::what.eq(key.1), begun))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) => Ok(true),
        Err(StoreError::Duplicate) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Stops what runs. Whoever is at it finds that their lease is gone. Returns whether there was any.
///
/// # Errors
/// [`StoreError`].
pub fn stop_past(tx: &mut Tx, ehr: &EhrId, what: Past) -> Result<bool, StoreError> {
    let running = past_search::table
        .find((ehr.as_str(), what.as_str()))
        .filter(past_search::state.eq(PastState::Running.as_str()));
    let stopped = diesel::update(running)
        .set((past_search::state.eq(PastState::Stopped.as_str()), past_search::lease_until.eq(None::<i64>)))
        .prepared()
        .execute(tx.conn())?;
    Ok(stopped == 1)
}

/// Lets go on what was stopped, from where it was. Returns whether there was any.
///
/// # Errors
/// [`StoreError`].
pub fn resume_past(tx: &mut Tx, ehr: &EhrId, what: Past, now: UtcMillis) -> Result<bool, StoreError> {
    let stopped = past_search::table
        .find((ehr.as_str(), what.as_str()))
        .filter(past_search::state.eq(PastState::Stopped.as_str()));
    let resumed = diesel::update(stopped)
        .set((past_search::state.eq(PastState::Running.as_str()), past_search::next_at.eq(now.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(resumed == 1)
}

/// # Errors
/// [`StoreError`].
pub fn past_of(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<PastRow>, StoreError> {
    let rows: Vec<Row> = past_search::table
        .filter(past_search::ehr.eq(ehr.as_str()))
        .order(past_search::what.asc())
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(typed).collect()
}

/// Whether a lease would be given: a look at this costs no write.
///
/// # Errors
/// [`StoreError`].
pub fn is_past_due(conn: &mut Conn, ehr: &EhrId, now: UtcMillis) -> Result<bool, StoreError> {
    let is_free = |row: &PastRow| row.lease_until.is_none_or(|until| until <= now);
    let is_due = |row: &PastRow| row.state == PastState::Running && row.next_at <= now && is_free(row);
    Ok(past_of(conn, ehr)?.iter().any(is_due))
}

/// Leases what is due.
///
/// # Errors
/// [`StoreError`].
pub fn lease_past(
    tx: &mut Tx,
    ehr: &EhrId,
    what: Past,
    now: UtcMillis,
    until: UtcMillis,
) -> Result<Option<PastRow>, StoreError> {
    let rows: Vec<Row> = diesel::update(
        past_search::table
            .find((ehr.as_str(), what.as_str()))
            .filter(past_search::state.eq(PastState::Running.as_str()))
            .filter(past_search::next_at.le(now.0))
            .filter(past_search::lease_until.is_null().or(past_search::lease_until.le(now.0))),
    )
    .set((past_search::lease_until.eq(until.0), past_search::lease_holder.eq(tx.holder())))
    .returning(columns!())
    .prepared()
    .load(tx.conn())?;
    rows.into_iter().next().map(typed).transpose()
}

/// Lengthens the lease of `row`, unless it was stopped or another worker has it.
///
/// # Errors
/// [`StoreError`].
pub fn renew_past(tx: &mut Tx, row: PastRow, until: UtcMillis) -> Result<Renewed<PastRow>, StoreError> {
    let this = past_search::table.find((row.ehr.as_str(), row.what.as_str()));
    let renewed = diesel::update(this.filter(past_search::lease_until.eq(row.lease_until.map(|at| at.0))))
        .set(past_search::lease_until.eq(until.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(if renewed == 1 { Renewed::Kept(PastRow { lease_until: Some(until), ..row }) } else { Renewed::Lost })
}

/// Writes how far `after` is, and ends its lease. Returns whether it did: what was stopped meanwhile stays where it was, and the
/// step is made again.
///
/// # Errors
/// [`StoreError`].
pub fn settle_past(tx: &mut Tx, after: &PastRow) -> Result<bool, StoreError> {
    let this = past_search::table.find((after.ehr.as_str(), after.what.as_str()));
    let settled = diesel::update(this.filter(past_search::lease_until.eq(after.lease_until.map(|at| at.0))))
        .set((
            past_search::state.eq(after.state.as_str()),
            past_search::kind.eq(after.reached.kind.as_str()),
            past_search::reached_at.eq(after.reached.at.0),
            past_search::patient_index.eq(after.reached.patient.map(|index| index.to_vec())),
            past_search::seen.eq(signed::<u64>("past_search.seen", after.seen)?),
            past_search::heard.eq(signed::<u64>("past_search.heard", after.heard)?),
            past_search::next_at.eq(after.next_at.0),
            past_search::lease_until.eq(None::<i64>),
            past_search::ended_at.eq(after.ended_at.map(|at| at.0)),
            past_search::why.eq(after.why.as_deref()),
            past_search::left_out.eq(signed::<u64>("past_search.left_out", after.left_out)?),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(settled == 1)
}
