//! Whose message may leave now.
//!
//! Must stay true: no message leaves before every report in its link was read lately, under all its names; what it is quiet for
//! leaves later.

use std::collections::HashSet;

use diesel::prelude::*;

use super::reported::BY_SMS;
use super::{NoticeRow, Row, columns};
use crate::audit::{Actor, AuditEvent};
use crate::base::UtcMillis;
use crate::policy::Channel;
use crate::record::{Link, LinkEvent, LiveUntil, Notice, NoticeEvent};
use crate::store::conn::{Conn, Tx};
use crate::store::control::{Pause, paused};
use crate::store::deliveries::{self, Delivery};
use crate::store::error::StoreError;
use crate::store::families;
use crate::store::links::{self, LinkRow};
use crate::store::prepared::Prepare as _;
use crate::store::redecisions::waits_for_redecision;
use crate::store::reminders;
use crate::store::schema::{delivery, notice, source};

/// For each notice to be leased so many are looked at: some wait for their report to be read again.
const LOOK_AT_FIRST: i64 = 4;
/// Looked at together, when many wait.
const LOOK_AT_MAX: i64 = 512;

/// A notice whose message this worker may send now.
pub struct LeasedNotice {
    pub notice: NoticeRow,
    pub delivery: Delivery,
    pub link: LinkRow,
    /// What else the link holds.
    pub companions: Vec<Delivery>,
}

/// Leases up to `count` due notices of live links, unless sending is paused or other rules have a say about them first.
/// Those that it is quiet for by now are made again afterwards, and count as well. A notice one of whose reports was last read
/// before `read_since`, or was heard of since, be it under another name, waits: it is read again before its message leaves. The first lease fixes the end
/// of the link's life. The audit line of the attempt is written here, before the message leaves.
///
/// # Errors
/// [`StoreError`].
pub fn lease_notices(
    tx: &mut Tx,
    now: UtcMillis,
    read_since: UtcMillis,
    count: i64,
) -> Result<Vec<LeasedNotice>, StoreError> {
    lease_notices_within(tx, now, read_since, count, usize::MAX)
}

/// [`lease_notices`], among them `texts_max` texts at most.
///
/// # Errors
/// [`StoreError`].
pub fn lease_notices_within(
    tx: &mut Tx,
    now: UtcMillis,
    read_since: UtcMillis,
    count: i64,
    texts_max: usize,
) -> Result<Vec<LeasedNotice>, StoreError> {
    if paused(tx.conn())? != Pause::Running || waits_for_redecision(tx.conn(), now)? {
        return Ok(Vec::new());
    }
    let (mut leased, mut ended) = (Vec::new(), 0);
    let (mut texts_left, mut kind) = (texts_max, if texts_max == 0 { Due::Mails } else { Due::All });
    // What is leased or ended is no longer queued; what is passed over comes first again.
    let (mut passed_over, mut look_at) = (0, count * LOOK_AT_FIRST);
    loop {
        let due = due_after(tx.conn(), kind, passed_over, now, look_at)?;
        if due.is_empty() {
            return Ok(leased);
        }
        passed_over += i64::try_from(due.len()).unwrap_or(i64::MAX);
        let ready = ready_links(tx.conn(), &due, now, read_since)?;
        for row in due.into_iter().filter(|row| ready.contains(&row.link_id)) {
            let row = NoticeRow::try_from(row)?;
            let is_text = row.channel == Channel::Sms;
            if is_text && texts_left == 0 {
                continue;
            }
            match lease_one(tx, row, now)? {
                Turn::Leased(notice) => {
                    texts_left -= usize::from(is_text);
                    leased.push(*notice);
                }
                Turn::MadeAgain => ended += 1,
                Turn::NotYet => continue,
            }
            passed_over -= 1;
            if leased.len() + ended >= usize::try_from(count).unwrap_or(0) {
                return Ok(leased);
            }
        }
        look_at = LOOK_AT_MAX.min(look_at * 2);
        // Texts that may not leave yet are not looked through again and again.
        if texts_left == 0 && matches!(kind, Due::All) {
            (kind, passed_over) = (Due::Mails, 0);
        }
    }
}

/// Which notices are looked at.
#[derive(Clone, Copy)]
enum Due {
    All,
    Mails,
}

/// The next due notices in the order of their turns.
fn due_after(conn: &mut Conn, kind: Due, passed_over: i64, now: UtcMillis, count: i64) -> Result<Vec<Row>, StoreError> {
    let due = notice::table
        .filter(notice::state.eq("queued"))
        .filter(notice::due_at.le(now.0))
        .order((notice::due_at.asc(), notice::id.asc()))
        .limit(count)
        .offset(passed_over)
        .select(columns!());
    Ok(match kind {
        Due::All => due.load(conn)?,
        Due::Mails => due.filter(notice::channel.ne(BY_SMS)).load(conn)?,
    })
}

/// A report's id; when it was read, heard of, is due and went.
type Reading = (String, Option<i64>, i64, Option<i64>, Option<i64>);

/// Those links of `due` whose message may leave: alive, and each report in them read since `read_since` and since it was
/// last heard of, and so is what is one document with it: the EHR may take it back under that name. Asked table by table and by key alone: with more to choose by, either database may look through all
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
    let sources: Vec<&str> = sharers.iter().map(|(_, source, ..)| source.as_str()).collect();
    let names = families::other_names(conn, &sources)?;
    let read: Vec<Reading> = source::table
        .filter(source::id.eq_any(sources.into_iter().chain(names.values().flatten().map(String::as_str))))
        .select((source::id, source::read_at, source::heard_at, source::due_at, source::gone_at))
        .load(conn)?;
    let is_fresh = |(_, read_at, heard_at, due_at, gone_at): &Reading| {
        read_at.is_some_and(|read| read >= read_since.0 && read >= *heard_at)
            && due_at.is_none_or(|due| due > now.0)
            && gone_at.is_none()
    };
    let read: HashSet<String> = read.into_iter().filter(is_fresh).map(|(id, ..)| id).collect();
    let is_read = |source: &String| {
        read.contains(source) && names.get(source).is_none_or(|others| others.iter().all(|other| read.contains(other)))
    };
    let is_ready = |source: &String, state: &str, mode: &str| state == "live" && mode == "live" && is_read(source);
    let not_ready: HashSet<&String> = sharers
        .iter()
        .filter(|(_, source, state, mode)| !is_ready(source, state, mode))
        .map(|(link, ..)| link)
        .collect();
    Ok(sharers.iter().map(|(link, ..)| link).filter(|link| !not_ready.contains(link)).cloned().collect())
}

/// What came of one notice's turn.
enum Turn {
    Leased(Box<LeasedNotice>),
    /// It is quiet: its message leaves afterwards, with another link or as another reminder; or nobody needs the reminder any more.
    MadeAgain,
    /// It is found again.
    NotYet,
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

fn lease_one(tx: &mut Tx, before: NoticeRow, now: UtcMillis) -> Result<Turn, StoreError> {
    let Some((owner, companions)) = held_for(tx, &before)? else { return Ok(Turn::NotYet) };
    let is_quiet = |one: &Delivery| one.decision.quiet().is_some_and(|quiet| quiet.end(now).is_some());
    // Whoever asks for a code is awake.
    if before.kind.brings_the_link() && (is_quiet(&owner) || companions.iter().any(is_quiet)) {
        deliveries::make_again_after_quiet(tx, &before, &owner, now)?;
        return Ok(Turn::MadeAgain);
    }
    if before.kind.reminds() && reminder_is_idle(tx, &before, &owner, &companions, now)? {
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
    let Some(link) = links::link(tx.conn(), &before.link)? else {
        return Err(StoreError::BadRow { column: "notice.link_id" });
    };
    let (owner, link) = fix_life(tx, owner, link, now)?;
    let attempt = AuditEvent::NoticeAttempted { notice: before.id.clone(), attempt: attempts };
    crate::store::append(tx, &owner.entry(now, Actor::System, attempt))?;
    let first_attempt_at = before.first_attempt_at.or(Some(now));
    let notice = NoticeRow { state: *step.to(), first_attempt_at, ..before };
    Ok(Turn::Leased(Box::new(LeasedNotice { notice, delivery: owner, link, companions })))
}

/// Ends a reminder that nobody needs any more, or that quiet hours caught: then it is made again when they end.
fn reminder_is_idle(
    tx: &mut Tx,
    before: &NoticeRow,
    owner: &Delivery,
    companions: &[Delivery],
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let opened = links::link(tx.conn(), &before.link)?.is_none_or(|link| link.opened > 0);
    let quiet_of = |one: &Delivery| one.decision.quiet().and_then(|quiet| quiet.end(now)).map(|end| end.at());
    let quiet_until = std::iter::once(owner).chain(companions).filter_map(quiet_of).max();
    let why = match quiet_until {
        _ if opened => "its link was opened",
        Some(until) => {
            reminders::put_reminder_off(tx, &before.link, until)?;
            "quiet hours began before it could be handed over; it is made again when they end"
        }
        None => return Ok(false),
    };
    let step = before.state.step(NoticeEvent::Cancel, now)?;
    super::settle_notice(tx, before, owner, &step, Some(why), now)?;
    Ok(true)
}

/// At the first attempt the end of the link's life is fixed; it never moves again.
fn fix_life(tx: &mut Tx, owner: Delivery, link: LinkRow, now: UtcMillis) -> Result<(Delivery, LinkRow), StoreError> {
    let Link::Live { until: LiveUntil::NotHandedOver } = owner.state else { return Ok((owner, link)) };
    let expires_at = now.plus(std::time::Duration::from_secs(link.life_seconds));
    links::fix_expiry(tx, &link.id, expires_at)?;
    reminders::schedule_reminder(tx, &link.id, now, expires_at)?;
    let step = owner.state.clone().step(LinkEvent::FirstAttempt { expires_at }, now)?;
    deliveries::advance(tx, &owner, &step, Actor::System, now)?;
    let owner = deliveries::delivery(tx.conn(), &owner.id)?.ok_or(StoreError::Moved)?;
    Ok((owner, LinkRow { expires_at: Some(expires_at), ..link }))
}
