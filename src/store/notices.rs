//! Notices: the outbox.

use std::collections::HashSet;

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::control::{Pause, paused};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::links::{self, LinkRow};
use super::prepared::Prepare as _;
use super::redecisions::waits_for_redecision;
use super::rows::{from_json, parse, to_json};
use super::schema::{delivery, notice, source};
use crate::audit::{Actor, AuditEvent};
use crate::base::{DeliveryId, LinkId, NoticeId, UtcMillis};
use crate::policy::{Channel, Decision};
use crate::record::{Link, LinkEvent, LiveUntil, Notice, NoticeEvent, NoticeKind, Step};

/// For each notice to be leased so many are looked at: some wait for their report to be read again.
const LOOK_AT_FIRST: i64 = 4;
/// Looked at together, when many wait.
const LOOK_AT_MAX: i64 = 512;

/// A message to be queued.
pub struct NewNotice {
    pub id: NoticeId,
    pub delivery: DeliveryId,
    pub link: LinkId,
    pub kind: NoticeKind,
    pub channel: Channel,
    /// The link's secret under the outbox key named `secret_key`, until hand-over.
    pub secret_sealed: Vec<u8>,
    pub secret_key: String,
}

/// A notice as stored.
#[derive(Clone)]
pub struct NoticeRow {
    pub id: NoticeId,
    pub delivery: DeliveryId,
    pub link: LinkId,
    pub kind: NoticeKind,
    pub channel: Channel,
    pub state: Notice,
    pub created_at: UtcMillis,
    pub first_attempt_at: Option<UtcMillis>,
    pub secret_sealed: Option<Vec<u8>>,
    pub secret_key: Option<String>,
    pub why: Option<String>,
}

/// A notice whose message this worker may send now.
pub struct LeasedNotice {
    pub notice: NoticeRow,
    pub delivery: Delivery,
    pub link: LinkRow,
    /// What else the link holds.
    pub companions: Vec<Delivery>,
}

/// # Errors
/// [`StoreError`].
pub fn insert_notice(tx: &mut Tx, new: &NewNotice, at: UtcMillis) -> Result<(), StoreError> {
    diesel::insert_into(notice::table)
        .values((
            notice::id.eq(new.id.as_str()),
            notice::delivery_id.eq(new.delivery.as_str()),
            notice::link_id.eq(new.link.as_str()),
            notice::kind.eq(to_json("notice.kind", &new.kind)?),
            notice::channel.eq(to_json("notice.channel", &new.channel)?),
            notice::state.eq("queued"),
            notice::due_at.eq(at.0),
            notice::attempts.eq(0),
            notice::ambiguous.eq(0),
            notice::created_at.eq(at.0),
            notice::secret_sealed.eq(&new.secret_sealed),
            notice::secret_key.eq(&new.secret_key),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

#[derive(Queryable)]
struct Row {
    id: String,
    delivery_id: String,
    link_id: String,
    kind: String,
    channel: String,
    state: String,
    due_at: i64,
    lease_until: Option<i64>,
    attempts: i32,
    ambiguous: i32,
    created_at: i64,
    first_attempt_at: Option<i64>,
    secret_sealed: Option<Vec<u8>>,
    secret_key: Option<String>,
    why: Option<String>,
}

macro_rules! columns {
    () => {
        (
            notice::id,
            notice::delivery_id,
            notice::link_id,
            notice::kind,
            notice::channel,
            notice::state,
            notice::due_at,
            notice::lease_until,
            notice::attempts,
            notice::ambiguous,
            notice::created_at,
            notice::first_attempt_at,
            notice::secret_sealed,
            notice::secret_key,
            notice::why,
        )
    };
}

impl TryFrom<Row> for NoticeRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let count = |column, number: i32| u32::try_from(number).map_err(|_| StoreError::BadRow { column });
        let attempts = count("notice.attempts", row.attempts)?;
        let ambiguous = count("notice.ambiguous", row.ambiguous)?;
        let state = match (row.state.as_str(), row.lease_until) {
            ("queued", _) => Notice::Queued { due: UtcMillis(row.due_at), attempts, ambiguous },
            ("leased", Some(until)) => Notice::Leased { until: UtcMillis(until), attempts, ambiguous },
            ("sent", _) => Notice::Sent,
            ("unsure", _) => Notice::Unsure,
            ("bounced", _) => Notice::Bounced,
            ("dead", _) => Notice::Dead,
            _ => return Err(StoreError::BadRow { column: "notice.state" }),
        };
        Ok(Self {
            id: parse("notice.id", &row.id)?,
            delivery: parse("notice.delivery_id", &row.delivery_id)?,
            link: parse("notice.link_id", &row.link_id)?,
            kind: from_json("notice.kind", &row.kind)?,
            channel: from_json("notice.channel", &row.channel)?,
            state,
            created_at: UtcMillis(row.created_at),
            first_attempt_at: row.first_attempt_at.map(UtcMillis),
            secret_sealed: row.secret_sealed,
            secret_key: row.secret_key,
            why: row.why,
        })
    }
}

/// # Errors
/// [`StoreError`].
pub fn notice(conn: &mut Conn, id: &NoticeId) -> Result<Option<NoticeRow>, StoreError> {
    let row: Option<Row> = notice::table.find(id.as_str()).select(columns!()).first(conn).optional()?;
    row.map(NoticeRow::try_from).transpose()
}

/// The messages of a delivery and of the links that it shared.
///
/// # Errors
/// [`StoreError`].
pub fn notices_of(conn: &mut Conn, delivery: &DeliveryId) -> Result<Vec<NoticeRow>, StoreError> {
    // Asked for in two steps: in one, PostgreSQL would look through all messages.
    let links = deliveries::links_of(conn, delivery)?;
    let of_links = notice::link_id.eq_any(links.iter().map(LinkId::as_str));
    let rows: Vec<Row> = notice::table
        .filter(notice::delivery_id.eq(delivery.as_str()).or(of_links))
        .order(notice::created_at.asc())
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Leases up to `count` due notices of live links, unless sending is paused or other rules have a say about them first. A notice whose source was last read before
/// `read_since`, or was heard of since, waits: the report is read again before its message leaves. The first lease fixes the end of the link's
/// life. The audit line of the attempt is written here, before the message leaves.
///
/// # Errors
/// [`StoreError`].
pub fn lease_notices(
    tx: &mut Tx,
    now: UtcMillis,
    read_since: UtcMillis,
    count: i64,
) -> Result<Vec<LeasedNotice>, StoreError> {
    if paused(tx.conn())? != Pause::Running || waits_for_redecision(tx.conn(), now)? {
        return Ok(Vec::new());
    }
    let mut leased = Vec::new();
    // What is leased is no longer queued; what is passed over comes first again.
    let (mut passed_over, mut look_at) = (0, count * LOOK_AT_FIRST);
    loop {
        let due = due_after(tx.conn(), passed_over, now, look_at)?;
        if due.is_empty() {
            return Ok(leased);
        }
        passed_over += i64::try_from(due.len()).unwrap_or(i64::MAX);
        let ready = ready_links(tx.conn(), &due, now, read_since)?;
        for row in due.into_iter().filter(|row| ready.contains(&row.link_id)) {
            if let Some(notice) = lease_one(tx, NoticeRow::try_from(row)?, now)? {
                leased.push(notice);
                passed_over -= 1;
            }
            if leased.len() >= usize::try_from(count).unwrap_or(0) {
                return Ok(leased);
            }
        }
        look_at = LOOK_AT_MAX.min(look_at * 2);
    }
}

/// The next due notices in the order of their turns.
fn due_after(conn: &mut Conn, passed_over: i64, now: UtcMillis, count: i64) -> Result<Vec<Row>, StoreError> {
    Ok(notice::table
        .filter(notice::state.eq("queued"))
        .filter(notice::due_at.le(now.0))
        .order((notice::due_at.asc(), notice::id.asc()))
        .limit(count)
        .offset(passed_over)
        .select(columns!())
        .load(conn)?)
}

/// A report's id; when it was read, heard of, is due and went.
type Reading = (String, Option<i64>, i64, Option<i64>, Option<i64>);

/// Those links of `due` whose message may leave: alive, and each report in them read since `read_since` and since it was
/// last heard of. Asked table by table and by key alone: with more to choose by, either database may look through all
/// that lives for the few that are asked for, or PostgreSQL join all that waits.
fn ready_links(
    conn: &mut Conn,
    due: &[Row],
    now: UtcMillis,
    read_since: UtcMillis,
) -> Result<HashSet<String>, StoreError> {
    let sharers: Vec<(String, String, String, String)> = delivery::table
        .filter(delivery::link_id.eq_any(due.iter().map(|row| row.link_id.as_str())))
        .select((delivery::link_id.assume_not_null(), delivery::source_id, delivery::state, delivery::mode))
        .load(conn)?;
    let read: Vec<Reading> = source::table
        .filter(source::id.eq_any(sharers.iter().map(|(_, source, ..)| source.as_str())))
        .select((source::id, source::read_at, source::heard_at, source::due_at, source::gone_at))
        .load(conn)?;
    let is_fresh = |(_, read_at, heard_at, due_at, gone_at): &Reading| {
        read_at.is_some_and(|read| read >= read_since.0 && read >= *heard_at)
            && due_at.is_none_or(|due| due > now.0)
            && gone_at.is_none()
    };
    let read: HashSet<String> = read.into_iter().filter(is_fresh).map(|(id, ..)| id).collect();
    let is_ready =
        |source: &String, state: &str, mode: &str| state == "live" && mode == "live" && read.contains(source);
    let not_ready: HashSet<&String> = sharers
        .iter()
        .filter(|(_, source, state, mode)| !is_ready(source, state, mode))
        .map(|(link, ..)| link)
        .collect();
    Ok(sharers.iter().map(|(link, ..)| link).filter(|link| !not_ready.contains(link)).cloned().collect())
}

/// The owner of a message and what else its link holds, all of it held, if all of it still stands open. What another worker
/// holds is left to it: the message is found again.
fn held_for(tx: &mut Tx, notice: &NoticeRow) -> Result<Option<(Delivery, Vec<Delivery>)>, StoreError> {
    let mut others = deliveries::ids_of_sharers(tx.conn(), &notice.link)?;
    others.retain(|id| *id != notice.delivery);
    for id in std::iter::once(&notice.delivery).chain(&others) {
        if !deliveries::try_hold(tx, id)? {
            return Ok(None);
        }
    }
    let mut held = Vec::new();
    for id in &others {
        held.extend(deliveries::delivery(tx.conn(), id)?);
    }
    let are_live =
        held.iter().all(|other| matches!(other.state, Link::Live { .. }) && other.link.as_ref() == Some(&notice.link));
    let missing = StoreError::BadRow { column: "notice.delivery_id" };
    let Some(owner) = deliveries::delivery(tx.conn(), &notice.delivery)? else { return Err(missing) };
    Ok(are_live.then_some((owner, held)))
}

fn lease_one(tx: &mut Tx, before: NoticeRow, now: UtcMillis) -> Result<Option<LeasedNotice>, StoreError> {
    let Some((owner, companions)) = held_for(tx, &before)? else { return Ok(None) };
    let quiet = std::iter::once(&owner).chain(&companions).filter_map(|one| quiet_until(&one.decision, now)).max();
    if let Some(until) = quiet {
        diesel::update(notice::table.find(before.id.as_str()).filter(notice::state.eq("queued")))
            .set(notice::due_at.eq(until.0))
            .prepared()
            .execute(tx.conn())?;
        return Ok(None);
    }
    let Ok(step) = before.state.step(NoticeEvent::Lease, now) else { return Ok(None) };
    let live = delivery::table
        .filter(delivery::id.eq(before.delivery.as_str()))
        .filter(delivery::state.eq("live"))
        .select(delivery::id);
    let Notice::Leased { until, attempts, .. } = *step.to() else { return Ok(None) };
    let changed = diesel::update(
        notice::table
            .find(before.id.as_str())
            .filter(notice::state.eq("queued"))
            .filter(notice::due_at.le(now.0))
            .filter(notice::delivery_id.eq_any(live)),
    )
    .set((
        notice::state.eq("leased"),
        notice::lease_until.eq(until.0),
        notice::lease_holder.eq(tx.holder()),
        notice::attempts.eq(i32::try_from(attempts).unwrap_or(i32::MAX)),
        notice::first_attempt_at.eq(before.first_attempt_at.unwrap_or(now).0),
    ))
    .prepared()
    .execute(tx.conn())?;
    if changed != 1 {
        return Ok(None);
    }
    let Some(link) = links::link(tx.conn(), &before.link)? else {
        return Err(StoreError::BadRow { column: "notice.link_id" });
    };
    let (owner, link) = fix_life(tx, owner, link, now)?;
    let attempt = AuditEvent::NoticeAttempted { notice: before.id.clone(), attempt: attempts };
    super::append(tx, &owner.entry(now, Actor::System, attempt))?;
    let first_attempt_at = before.first_attempt_at.or(Some(now));
    let notice = NoticeRow { state: *step.to(), first_attempt_at, ..before };
    Ok(Some(LeasedNotice { notice, delivery: owner, link, companions }))
}

/// Until when the rules that decided a delivery keep its messages back.
fn quiet_until(decision: &Decision, now: UtcMillis) -> Option<UtcMillis> {
    match decision {
        Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms.quiet.as_ref()?.wait_until(now),
        Decision::Review { terms: None, .. } | Decision::Block { .. } => None,
    }
}

/// At the first attempt the end of the link's life is fixed; it never moves again.
fn fix_life(tx: &mut Tx, owner: Delivery, link: LinkRow, now: UtcMillis) -> Result<(Delivery, LinkRow), StoreError> {
    let Link::Live { until: LiveUntil::NotHandedOver } = owner.state else { return Ok((owner, link)) };
    let expires_at = now.plus(std::time::Duration::from_secs(link.life_seconds));
    links::fix_expiry(tx, &link.id, expires_at)?;
    let step = owner.state.clone().step(LinkEvent::FirstAttempt { expires_at }, now)?;
    deliveries::advance(tx, &owner, &step, Actor::System, now)?;
    let owner = deliveries::delivery(tx.conn(), &owner.id)?.ok_or(StoreError::Moved)?;
    Ok((owner, LinkRow { expires_at: Some(expires_at), ..link }))
}

/// Writes the outcome of an attempt, guarded by that very attempt; empties the secret at any end.
///
/// # Errors
/// [`StoreError::Moved`] when another worker has taken the notice since.
pub fn settle_notice(
    tx: &mut Tx,
    before: &NoticeRow,
    owner: &Delivery,
    step: &Step<Notice>,
    why: Option<&str>,
    at: UtcMillis,
) -> Result<(), StoreError> {
    tx.erased();
    deliveries::hold(tx, &before.delivery)?;
    let attempts = match before.state {
        Notice::Queued { attempts, .. } | Notice::Leased { attempts, .. } => attempts,
        Notice::Sent | Notice::Unsure | Notice::Bounced | Notice::Dead => return Err(StoreError::Moved),
    };
    let row = notice::table
        .find(before.id.as_str())
        .filter(notice::state.eq(before.state.name()))
        .filter(notice::attempts.eq(i32::try_from(attempts).unwrap_or(i32::MAX)));
    let changed = match *step.to() {
        Notice::Queued { due, ambiguous, .. } => diesel::update(row)
            .set((
                notice::state.eq("queued"),
                notice::due_at.eq(due.0),
                notice::ambiguous.eq(i32::try_from(ambiguous).unwrap_or(i32::MAX)),
                notice::lease_until.eq(None::<i64>),
                notice::why.eq(why),
            ))
            .prepared()
            .execute(tx.conn())?,
        Notice::Leased { .. } => return Err(StoreError::Moved),
        end @ (Notice::Sent | Notice::Unsure | Notice::Bounced | Notice::Dead) => diesel::update(row)
            .set((
                notice::state.eq(end.name()),
                notice::ended_at.eq(at.0),
                notice::lease_until.eq(None::<i64>),
                notice::secret_sealed.eq(None::<Vec<u8>>),
                notice::why.eq(why),
            ))
            .prepared()
            .execute(tx.conn())?,
    };
    if changed != 1 {
        return Err(StoreError::Moved);
    }
    let event = AuditEvent::NoticeStepped { notice: before.id.clone(), to: *step.to(), why: why.map(str::to_owned) };
    super::append(tx, &owner.entry(at, Actor::System, event))
}

/// Notices whose lease ran out: their worker died, and whether they were sent is unknown.
///
/// # Errors
/// [`StoreError`].
pub fn leased_notices_lost(conn: &mut Conn, now: UtcMillis, count: i64) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> = notice::table
        .filter(notice::state.eq("leased"))
        .filter(notice::lease_until.le(now.0))
        .limit(count)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Queued notices made before `made_before`: they waited too long to tell the truth.
///
/// # Errors
/// [`StoreError`].
pub fn stale_notices(conn: &mut Conn, made_before: UtcMillis, count: i64) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> = notice::table
        .filter(notice::state.eq("queued"))
        .filter(notice::created_at.lt(made_before.0))
        .limit(count)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Every notice that has not come to an end.
///
/// # Errors
/// [`StoreError`].
pub fn hold_unsent_notices(conn: &mut Conn) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> =
        notice::table.filter(notice::state.eq_any(["queued", "leased"])).select(columns!()).load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Ends every unsent notice of a dead link and empties its secret.
pub(super) fn cancel_notices(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    tx.erased();
    diesel::update(
        notice::table.filter(notice::link_id.eq(link.as_str())).filter(notice::state.eq_any(["queued", "leased"])),
    )
    .set((
        notice::state.eq("dead"),
        notice::ended_at.eq(at.0),
        notice::lease_until.eq(None::<i64>),
        notice::secret_sealed.eq(None::<Vec<u8>>),
    ))
    .prepared()
    .execute(tx.conn())?;
    Ok(())
}
