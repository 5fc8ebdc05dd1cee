//! Whose turn it is to be read.
//!
//! Must stay true: one reader per resource at a time; what may take back a link that is out never waits long for what may send one.

use std::time::Duration;

use diesel::prelude::*;

use super::{Row, SourceRow, columns, typed};
use crate::base::{EhrId, UtcMillis, minutes};
use crate::store::conn::Tx;
use crate::store::control::{Pause, paused};
use crate::store::deliveries::Mode;
use crate::store::dialect;
use crate::store::error::StoreError;
use crate::store::lease::Renewed;
use crate::store::prepared::Prepare as _;
use crate::store::schema::{delivery, notice, source, twin};

/// What is looked at again because nobody tells of deletes waits so long among the others; then it comes before them.
const RECHECK_WAITS_MAX: Duration = minutes(2);

/// Messages whose reports are looked at before they leave: more than leave before the next look.
const STALE_LOOKED_AT: i64 = 512;

/// Hands out those of `$due` that are due and that nobody reads, until `$until`.
macro_rules! lease {
    ($tx:expr, $due:expr, $now:expr, $until:expr) => {{
        let free = source::table
            .filter(source::id.eq_any($due))
            .filter(source::due_at.le($now.0))
            .filter(source::lease_until.is_null().or(source::lease_until.le($now.0)));
        let holder = source::lease_holder.eq($tx.holder());
        let rows: Vec<Row> = diesel::update(free)
            .set((source::lease_until.eq($until.0), holder, source::tries.eq(source::tries + 1)))
            .returning(columns!())
            .prepared()
            .load($tx.conn())?;
        rows.into_iter().map(typed).collect()
    }};
}

/// Along the index of what is urgent, however much else is due.
macro_rules! urgent {
    ($candidate:expr, $ehr:expr, $now:expr) => {
        $candidate
            .filter($candidate.field(source::ehr).eq($ehr.as_str()))
            .filter($candidate.field(source::urgent_at).le($now.0))
            .filter($candidate.field(source::due_at).le($now.0))
            .filter(
                $candidate.field(source::lease_until).is_null().or($candidate.field(source::lease_until).le($now.0)),
            )
    };
}

/// Leases up to `count` due resources of `ehr` until `until`, those of which a link is out before all others: one reader per
/// resource at a time.
///
/// # Errors
/// [`StoreError`].
pub fn lease_sources(
    tx: &mut Tx,
    ehr: &EhrId,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<SourceRow>, StoreError> {
    let mut leased = lease_urgent_sources(tx, ehr, now, until, count)?;
    let left = count - i64::try_from(leased.len()).unwrap_or(count);
    if left > 0 {
        leased.extend(lease_others(tx, ehr, now, until, left)?);
    }
    Ok(leased)
}

/// [`lease_sources`] of which the EHR spoke while a link was out or that waited too long to be looked at again, and no others. Half of
/// them the newest: a recall that was just heard does not wait for a heap of what is only looked at again, nor that for ever.
///
/// # Errors
/// [`StoreError`].
pub fn lease_urgent_sources(
    tx: &mut Tx,
    ehr: &EhrId,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<SourceRow>, StoreError> {
    dialect::lease_in_turn(tx.conn(), &format!("lease:source:{ehr}"))?;
    let mut leased = lease_newest_urgent(tx, ehr, now, until, count - count / 2)?;
    let left = count - i64::try_from(leased.len()).unwrap_or(count);
    // Fewer than were asked for: there are no others.
    if left <= count / 2 {
        leased.extend(lease_oldest_urgent(tx, ehr, now, until, left)?);
    }
    Ok(leased)
}

fn lease_newest_urgent(
    tx: &mut Tx,
    ehr: &EhrId,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<SourceRow>, StoreError> {
    let candidate = diesel::alias!(source as candidate);
    let due = urgent!(candidate, ehr, now)
        .order(candidate.field(source::urgent_at).desc())
        .limit(count)
        .select(candidate.field(source::id));
    lease!(tx, due, now, until)
}

fn lease_oldest_urgent(
    tx: &mut Tx,
    ehr: &EhrId,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<SourceRow>, StoreError> {
    let candidate = diesel::alias!(source as candidate);
    let due = urgent!(candidate, ehr, now)
        .order(candidate.field(source::urgent_at).asc())
        .limit(count)
        .select(candidate.field(source::id));
    lease!(tx, due, now, until)
}

fn lease_others(
    tx: &mut Tx,
    ehr: &EhrId,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<SourceRow>, StoreError> {
    let candidate = diesel::alias!(source as candidate);
    let due = candidate
        .filter(candidate.field(source::ehr).eq(ehr.as_str()))
        .filter(candidate.field(source::due_at).le(now.0))
        .filter(candidate.field(source::lease_until).is_null().or(candidate.field(source::lease_until).le(now.0)))
        .order(candidate.field(source::due_at).asc())
        .limit(count)
        .select(candidate.field(source::id));
    lease!(tx, due, now, until)
}

/// Lengthens the lease under which `seen` was handed out, unless it ran out and another reader has the resource.
///
/// # Errors
/// [`StoreError`].
pub fn renew_source(tx: &mut Tx, seen: SourceRow, until: UtcMillis) -> Result<Renewed<SourceRow>, StoreError> {
    let held = source::table.find(seen.id.as_str()).filter(source::lease_until.eq(seen.lease_until));
    let renewed = diesel::update(held).set(source::lease_until.eq(until.0)).prepared().execute(tx.conn())?;
    let lease_until = Some(until.0);
    Ok(if renewed == 1 { Renewed::Kept(SourceRow { lease_until, ..seen }) } else { Renewed::Lost })
}

/// Makes the sources of unfinished deliveries of `ehr` due that were last read before `read_before`: EHRs do not tell of
/// deletions. Of what is in shadow nothing leaves, so nothing is looked for. A reading that failed keeps its own time. Returns how many.
///
/// # Errors
/// [`StoreError`].
pub fn due_for_recheck(tx: &mut Tx, ehr: &EhrId, read_before: UtcMillis, now: UtcMillis) -> Result<usize, StoreError> {
    // Asked for by the deliveries alone: SQLite would rather go through every source that the EHR ever had.
    let watched = delivery::table
        .filter(delivery::ehr.eq(ehr.as_str()))
        .filter(delivery::state.eq_any(["live", "suspended", "recorded", "held"]))
        .filter(delivery::mode.eq(Mode::Live.as_str()))
        .select(delivery::source_id);
    let due = diesel::update(
        source::table
            .filter(source::id.eq_any(watched))
            .filter(source::due_at.is_null().or(source::due_at.gt(now.0).and(source::tries.eq(0))))
            .filter(source::read_at.lt(read_before.0)),
    )
    .set((source::due_at.eq(now.0), source::urgent_at.eq(now.plus(RECHECK_WAITS_MAX).0)))
    .prepared()
    .execute(tx.conn())?;
    Ok(due + twins_due_for_recheck(tx, ehr, read_before, now)?)
}

/// What is one document with a report that is out may be taken back in its place.
fn twins_due_for_recheck(
    tx: &mut Tx,
    ehr: &EhrId,
    read_before: UtcMillis,
    now: UtcMillis,
) -> Result<usize, StoreError> {
    let (watched, other) = diesel::alias!(twin as watched_twin, twin as other_twin);
    let families = watched
        .inner_join(delivery::table.on(delivery::source_id.eq(watched.field(twin::source_id))))
        .filter(delivery::ehr.eq(ehr.as_str()))
        .filter(delivery::state.eq_any(["live", "suspended", "recorded", "held"]))
        .filter(delivery::mode.eq(Mode::Live.as_str()))
        .select(watched.field(twin::family));
    let twins = other.filter(other.field(twin::family).eq_any(families)).select(other.field(twin::source_id));
    Ok(diesel::update(
        source::table
            .filter(source::id.eq_any(twins))
            .filter(source::due_at.is_null().or(source::due_at.gt(now.0).and(source::tries.eq(0))))
            .filter(source::read_at.lt(read_before.0)),
    )
    .set((source::due_at.eq(now.0), source::urgent_at.eq(now.plus(RECHECK_WAITS_MAX).0)))
    .prepared()
    .execute(tx.conn())?)
}

/// Makes all names of documents due that have several and are under way: other rules may say something else of them.
///
/// # Errors
/// [`StoreError`].
pub fn read_twins_again(tx: &mut Tx, now: UtcMillis) -> Result<usize, StoreError> {
    let (watched, other) = diesel::alias!(twin as watched_twin, twin as other_twin);
    let families = watched
        .inner_join(delivery::table.on(delivery::source_id.eq(watched.field(twin::source_id))))
        .filter(delivery::state.eq_any(["live", "suspended", "recorded", "held", "review"]))
        .select(watched.field(twin::family));
    let twins = other.filter(other.field(twin::family).eq_any(families)).select(other.field(twin::source_id));
    Ok(diesel::update(source::table.filter(source::id.eq_any(twins)).filter(source::due_at.is_null()))
        .set(source::due_at.eq(now.0))
        .prepared()
        .execute(tx.conn())?)
}

/// Sources of queued notices that were last read before `$read_before`, or what is one document with them. A reading that failed
/// keeps its own time.
macro_rules! stale {
    ($ids:expr, $read_before:expr, $now:expr) => {
        source::table
            .filter(source::id.eq_any($ids))
            .filter(source::read_at.lt($read_before.0))
            .filter(source::due_at.is_null().or(source::due_at.gt($now.0).and(source::tries.eq(0))))
    };
}

/// The sources of the messages that leave next. Of those behind them [`due_for_recheck`] tells, should these never leave.
macro_rules! waiting {
    ($now:expr) => {{
        let next = notice::table
            .filter(notice::state.eq("queued"))
            .filter(notice::due_at.le($now.0))
            .order((notice::due_at.asc(), notice::id.asc()))
            .limit(STALE_LOOKED_AT)
            .select(notice::link_id.nullable());
        delivery::table.filter(delivery::link_id.eq_any(next)).select(delivery::source_id)
    }};
}

/// Makes the sources of queued notices due that were last read before `read_before`, and what is one document with them: no message
/// leaves for a report that was not looked at lately, under all its names. None while sending is paused.
///
/// # Errors
/// [`StoreError`].
pub fn read_stale_sources_again(tx: &mut Tx, read_before: UtcMillis, now: UtcMillis) -> Result<usize, StoreError> {
    if paused(tx.conn())? != Pause::Running {
        return Ok(0);
    }
    // Somebody waits for the message.
    let at_once = || (source::due_at.eq(now.0), source::urgent_at.eq(now.0));
    let due = diesel::update(stale!(waiting!(now), read_before, now)).set(at_once()).prepared().execute(tx.conn())?;
    let (waiting_twin, other) = diesel::alias!(twin as waiting_twin, twin as other_twin);
    let families = waiting_twin
        .filter(waiting_twin.field(twin::source_id).eq_any(waiting!(now)))
        .select(waiting_twin.field(twin::family));
    let twins = other.filter(other.field(twin::family).eq_any(families)).select(other.field(twin::source_id));
    let due_twins = diesel::update(stale!(twins, read_before, now)).set(at_once()).prepared().execute(tx.conn())?;
    Ok(due + due_twins)
}

/// What is left lying because this process does not know its EHR.
pub const NOT_CONFIGURED: &str = "this EHR is no longer configured";

/// Makes due what was left lying of `ehr` by a process that did not know it: one that had read its configuration before.
///
/// # Errors
/// [`StoreError`].
pub fn take_up_what_was_left(tx: &mut Tx, ehr: &EhrId, now: UtcMillis) -> Result<usize, StoreError> {
    let left = source::table
        .filter(source::ehr.eq(ehr.as_str()))
        .filter(source::due_at.is_null())
        .filter(source::why.eq(NOT_CONFIGURED));
    Ok(diesel::update(left).set(source::due_at.eq(now.0)).prepared().execute(tx.conn())?)
}
