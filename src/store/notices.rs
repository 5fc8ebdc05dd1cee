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
use crate::policy::Channel;
use crate::record::{Link, LinkEvent, LiveUntil, Notice, NoticeEvent, NoticeKind, Step};

/// For each notice to be leased so many are looked at: some wait for their report to be read again.
const LOOK_AT_FIRST: i64 = 4;
/// Looked at together, when many wait.
const LOOK_AT_MAX: i64 = 512;

/// Deliveries whose messages the breaker asks for at once: a statement of SQLite takes only so many values.
const COUNTED_TOGETHER: usize = 1000;

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

/// # Errors
/// [`StoreError`].
pub fn notices_of(conn: &mut Conn, delivery: &DeliveryId) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> = notice::table
        .filter(notice::delivery_id.eq(delivery.as_str()))
        .order(notice::created_at.asc())
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Leases up to `count` due notices of live links; those that it is quiet for by now are made again afterwards, and count as
/// well; none while sending is paused or other rules have a say about them first. A notice whose source was last read before
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
    let (mut leased, mut ended) = (Vec::new(), 0);
    // What is leased or ended is no longer queued; what is passed over comes first again.
    let (mut passed_over, mut look_at) = (0, count * LOOK_AT_FIRST);
    loop {
        let due = due_after(tx.conn(), passed_over, now, look_at)?;
        if due.is_empty() {
            return Ok(leased);
        }
        passed_over += i64::try_from(due.len()).unwrap_or(i64::MAX);
        let ready = ready_deliveries(tx.conn(), &due, now, read_since)?;
        for row in due.into_iter().filter(|row| ready.contains(&row.delivery_id)) {
            match lease_one(tx, NoticeRow::try_from(row)?, now)? {
                Turn::Leased(notice) => leased.push(*notice),
                Turn::MadeAgain => ended += 1,
                Turn::NotYet => continue,
            }
            passed_over -= 1;
            if leased.len() + ended >= usize::try_from(count).unwrap_or(0) {
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

/// Those deliveries of `due` whose message may leave: alive, and their report read since `read_since` and since it was
/// last heard of. Asked table by table and by key alone: with more to choose by, either database may look through all
/// that lives for the few that are asked for, or PostgreSQL join all that waits.
fn ready_deliveries(
    conn: &mut Conn,
    due: &[Row],
    now: UtcMillis,
    read_since: UtcMillis,
) -> Result<HashSet<String>, StoreError> {
    let alive: Vec<(String, String, String, String)> = delivery::table
        .filter(delivery::id.eq_any(due.iter().map(|row| row.delivery_id.as_str())))
        .select((delivery::id, delivery::source_id, delivery::state, delivery::mode))
        .load(conn)?;
    let alive: Vec<_> = alive.into_iter().filter(|(_, _, state, mode)| state == "live" && mode == "live").collect();
    let read: Vec<Reading> = source::table
        .filter(source::id.eq_any(alive.iter().map(|(_, source, ..)| source.as_str())))
        .select((source::id, source::read_at, source::heard_at, source::due_at, source::gone_at))
        .load(conn)?;
    let is_fresh = |(_, read_at, heard_at, due_at, gone_at): &Reading| {
        read_at.is_some_and(|read| read >= read_since.0 && read >= *heard_at)
            && due_at.is_none_or(|due| due > now.0)
            && gone_at.is_none()
    };
    let read: HashSet<String> = read.into_iter().filter(is_fresh).map(|(id, ..)| id).collect();
    Ok(alive.into_iter().filter(|(_, source, ..)| read.contains(source)).map(|(delivery, ..)| delivery).collect())
}

/// What came of one notice's turn.
enum Turn {
    Leased(Box<LeasedNotice>),
    /// It is quiet: its message leaves afterwards, with another link.
    MadeAgain,
    /// It is found again.
    NotYet,
}

/// A delivery that another worker holds is left to it: the notice is found again.
fn lease_one(tx: &mut Tx, before: NoticeRow, now: UtcMillis) -> Result<Turn, StoreError> {
    if !deliveries::try_hold(tx, &before.delivery)? {
        return Ok(Turn::NotYet);
    }
    let missing = StoreError::BadRow { column: "notice.delivery_id" };
    let Some(owner) = deliveries::delivery(tx.conn(), &before.delivery)? else { return Err(missing) };
    if owner.decision.quiet().is_some_and(|quiet| quiet.end(now).is_some()) {
        deliveries::make_again_after_quiet(tx, &before, &owner, now)?;
        return Ok(Turn::MadeAgain);
    }
    let Ok(step) = before.state.step(NoticeEvent::Lease, now) else { return Ok(Turn::NotYet) };
    let live = delivery::table
        .filter(delivery::id.eq(before.delivery.as_str()))
        .filter(delivery::state.eq("live"))
        .select(delivery::id);
    let Notice::Leased { until, attempts, .. } = *step.to() else { return Ok(Turn::NotYet) };
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
        return Ok(Turn::NotYet);
    }
    let Some(link) = links::link(tx.conn(), &before.link)? else { return Err(missing) };
    let (owner, link) = fix_life(tx, owner, link, now)?;
    let attempt = AuditEvent::NoticeAttempted { notice: before.id.clone(), attempt: attempts };
    super::append(tx, &owner.entry(now, Actor::System, attempt))?;
    let first_attempt_at = before.first_attempt_at.or(Some(now));
    let notice = NoticeRow { state: *step.to(), first_attempt_at, ..before };
    Ok(Turn::Leased(Box::new(LeasedNotice { notice, delivery: owner, link })))
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

/// How many messages were first attempted in `from <= t < until`.
///
/// # Errors
/// [`StoreError`].
pub fn first_attempts_since(conn: &mut Conn, from: UtcMillis, until: UtcMillis) -> Result<i64, StoreError> {
    Ok(notice::table
        .filter(notice::first_attempt_at.ge(from.0))
        .filter(notice::first_attempt_at.lt(until.0))
        .count()
        .get_result(conn)?)
}

/// Whose messages the breaker counts.
#[derive(Clone, Copy)]
pub enum CountedBy {
    Address([u8; 32]),
    Patient([u8; 32]),
}

/// Which message of an address or patient since `since` this leased one is, counted from 1 in the order of first
/// attempts: those leased together with it count only when they come first.
///
/// # Errors
/// [`StoreError`].
pub fn number_within(
    conn: &mut Conn,
    whose: CountedBy,
    leased: &NoticeRow,
    since: UtcMillis,
) -> Result<i64, StoreError> {
    // Asked in two steps and counted here: in one, PostgreSQL may look through all messages for those of one address.
    let query = delivery::table.select(delivery::id).into_boxed();
    let query = match whose {
        CountedBy::Address(index) => query.filter(delivery::contact_index.eq(index.to_vec())),
        CountedBy::Patient(index) => query.filter(delivery::patient_index.eq(index.to_vec())),
    };
    let deliveries: Vec<String> = query.load(conn)?;
    let (this, at) = (leased.id.as_str(), leased.first_attempt_at.unwrap_or(leased.created_at).0);
    let is_before = |(id, state, first): &(String, String, Option<i64>)| {
        let Some(first) = *first else { return false };
        let together_before = first == at && (state != "leased" || id.as_str() < this);
        id != this && first >= since.0 && (first < at || together_before)
    };
    let mut before = 0_usize;
    for some in deliveries.chunks(COUNTED_TOGETHER) {
        let messages = notice::table
            .filter(notice::delivery_id.eq_any(some))
            .select((notice::id, notice::state, notice::first_attempt_at))
            .load(conn)?;
        before += messages.iter().filter(|message| is_before(message)).count();
    }
    Ok(i64::try_from(before).unwrap_or(i64::MAX - 1) + 1)
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
