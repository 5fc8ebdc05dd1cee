//! Openings: the claim that at most so many browsers win.

use std::time::Duration;

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::conn::{Conn, LinkDeath, Tx};
use super::error::StoreError;
use super::links::{self, FileRow, LinkRow};
use super::prepared::Prepare as _;
use super::reminders;
use super::rows::{hash32, parse, unsigned};
use super::schema::{answered, asked, delivery, link, opening, sealed_file};
use crate::base::{LinkId, MediaType, OpeningId, UtcMillis};
use crate::record::{Death, Opening, OpeningEvent};

/// An opening as stored.
#[derive(Clone)]
pub struct OpeningRow {
    pub id: OpeningId,
    pub link: LinkId,
    pub cookie_hash: [u8; 32],
    pub state: Opening,
    pub begun_at: UtcMillis,
    pub claimed_at: Option<UtcMillis>,
    pub ended_at: Option<UtcMillis>,
}

type Row = (String, String, Vec<u8>, String, i64, Option<i64>, Option<i64>, Option<i64>);

macro_rules! columns {
    () => {
        (
            opening::id,
            opening::link_id,
            opening::cookie_hash,
            opening::state,
            opening::begun_at,
            opening::claimed_at,
            opening::lease_until,
            opening::ended_at,
        )
    };
}

fn typed(row: Row) -> Result<OpeningRow, StoreError> {
    let (id, link, cookie, state, begun_at, claimed_at, lease_until, ended_at) = row;
    let bad = StoreError::BadRow { column: "opening.state" };
    let state = match (state.as_str(), claimed_at, lease_until) {
        ("begun", _, _) => Opening::Begun,
        ("claimed", Some(since), Some(until)) => {
            Opening::Claimed { since: UtcMillis(since), lease_until: UtcMillis(until) }
        }
        ("received", _, _) => Opening::Received,
        ("lapsed", _, _) => Opening::Lapsed,
        _ => return Err(bad),
    };
    Ok(OpeningRow {
        id: parse("opening.id", &id)?,
        link: parse("opening.link_id", &link)?,
        cookie_hash: hash32("opening.cookie_hash", &cookie)?,
        state,
        begun_at: UtcMillis(begun_at),
        claimed_at: claimed_at.map(UtcMillis),
        ended_at: ended_at.map(UtcMillis),
    })
}

/// All openings of a link, oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn openings_of(conn: &mut Conn, link: &LinkId) -> Result<Vec<OpeningRow>, StoreError> {
    let rows: Vec<Row> = opening::table
        .filter(opening::link_id.eq(link.as_str()))
        .order(opening::begun_at.asc())
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(typed).collect()
}

fn running(conn: &mut Conn, link: &LinkId, cookie: &[u8; 32]) -> Result<Option<OpeningRow>, StoreError> {
    let row: Option<Row> = opening::table
        .filter(opening::link_id.eq(link.as_str()))
        .filter(opening::cookie_hash.eq(cookie.to_vec()))
        .filter(opening::state.eq_any(["begun", "claimed"]))
        .select(columns!())
        .first(conn)
        .optional()?;
    row.map(typed).transpose()
}

/// Notes that the holder of the key looked, once per browser. `Some` when it was the first time.
///
/// # Errors
/// [`StoreError`].
pub fn begin_opening(
    tx: &mut Tx,
    link: &LinkId,
    cookie: &[u8; 32],
    id: &OpeningId,
    at: UtcMillis,
) -> Result<Option<OpeningId>, StoreError> {
    links::hold(tx, link)?;
    if running(tx.conn(), link, cookie)?.is_some() {
        return Ok(None);
    }
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(opening::table)
            .values((
                opening::id.eq(id.as_str()),
                opening::link_id.eq(link.as_str()),
                opening::cookie_hash.eq(cookie.to_vec()),
                opening::state.eq(Opening::Begun.name()),
                opening::begun_at.eq(at.0),
            ))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) => Ok(Some(id.clone())),
        // The same browser, at the same moment.
        Err(StoreError::Duplicate) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Of a running claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimLease {
    pub since: UtcMillis,
    pub until: UtcMillis,
}

/// What became of an attempt to claim.
pub enum Claim {
    /// This browser won one of the openings.
    Granted {
        link: LinkRow,
        files: Vec<FileRow>,
        lease: ClaimLease,
    },
    /// It had won before, and its answer may have been lost: the same again, nothing spent.
    Repeated {
        link: LinkRow,
        files: Vec<FileRow>,
        lease: ClaimLease,
    },
    Refused(ClaimRefusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimRefusal {
    /// No opening is left, the life has ended, or the link is dead: the caller looks which.
    NotOpen,
    /// This browser has not looked at the page yet.
    NotBegun,
}

/// Claims an opening for this browser: the whole condition stands in the statement that counts it.
///
/// # Errors
/// [`StoreError`].
pub fn claim(tx: &mut Tx, link_id: &LinkId, cookie: &[u8; 32], now: UtcMillis) -> Result<Claim, StoreError> {
    links::hold(tx, link_id)?;
    let Some(mine) = running(tx.conn(), link_id, cookie)? else {
        return Ok(Claim::Refused(ClaimRefusal::NotBegun));
    };
    let view = links::view_of(tx.conn(), link_id)?;
    let outcome = tx.conn().transaction(|conn| claim_begun(conn, link_id, &mine, view, now));
    let lease = match outcome {
        Ok(until) => ClaimLease { since: now, until },
        Err(StoreError::Moved) => return repeat(tx, link_id, cookie, now),
        Err(other) => return Err(other),
    };
    match links::link(tx.conn(), link_id)? {
        Some(link) => {
            if link.opened >= link.opens_max {
                // Outside the database before anything is given out: an older copy of it must not give this again.
                tx.died(LinkDeath { link: link.id.clone(), death: Death::Spent, at: now });
            }
            if link.opened == 1 {
                tx.erased();
                reminders::forget_reminder(tx.conn(), link_id)?;
            }
            Ok(Claim::Granted { files: links::files_of(tx.conn(), link_id)?, link, lease })
        }
        None => Ok(Claim::Refused(ClaimRefusal::NotOpen)),
    }
}

/// Locks this browser's row first, then counts: two requests of one browser cannot both count, and none does that has not
/// answered all that the link asks.
fn claim_begun(
    conn: &mut Conn,
    link_id: &LinkId,
    mine: &OpeningRow,
    view: Duration,
    now: UtcMillis,
) -> Result<UtcMillis, StoreError> {
    let step = Opening::Begun.step(OpeningEvent::Claim { view }, now)?;
    let lease_until = match step.to() {
        Opening::Claimed { lease_until, .. } => *lease_until,
        Opening::Begun | Opening::Received | Opening::Lapsed => return Err(StoreError::Moved),
    };
    let claimed =
        diesel::update(opening::table.find(mine.id.as_str()).filter(opening::state.eq(Opening::Begun.name())))
            .set((
                opening::state.eq(step.to().name()),
                opening::claimed_at.eq(now.0),
                opening::lease_until.eq(lease_until.0),
            ))
            .prepared()
            .execute(conn)?;
    if claimed != 1 {
        return Err(StoreError::Moved);
    }
    let sharers = || delivery::table.filter(delivery::link_id.eq(link_id.as_str()));
    let live = sharers().filter(delivery::state.eq("live")).select(delivery::id);
    let by_this_browser = answered::table
        .filter(answered::link_id.eq(link_id.as_str()))
        .filter(answered::kind.eq(asked::kind))
        .filter(answered::cookie_hash.eq(mine.cookie_hash.to_vec()));
    let unanswered = asked::table.filter(asked::link_id.eq(link_id.as_str())).filter(not(exists(by_this_browser)));
    let counted = diesel::update(
        link::table
            .find(link_id.as_str())
            .filter(link::opened.lt(link::opens_max))
            .filter(link::expires_at.gt(now.0))
            .filter(link::shredded_at.is_null())
            .filter(link::delivery_id.eq_any(live))
            .filter(not(exists(sharers().filter(delivery::state.ne("live")))))
            .filter(not(exists(unanswered))),
    )
    .set(link::opened.eq(link::opened + 1))
    .prepared()
    .execute(conn)?;
    if counted == 1 { Ok(lease_until) } else { Err(StoreError::Moved) }
}

/// The answer for a browser whose claim did not count now: perhaps it counted before.
fn repeat(tx: &mut Tx, link_id: &LinkId, cookie: &[u8; 32], now: UtcMillis) -> Result<Claim, StoreError> {
    let refused = Ok(Claim::Refused(ClaimRefusal::NotOpen));
    let Some(mine) = running(tx.conn(), link_id, cookie)? else { return refused };
    let Opening::Claimed { since, lease_until: until } = mine.state else { return refused };
    if until <= now || !is_reachable(tx.conn(), link_id)? {
        return refused;
    }
    match links::link(tx.conn(), link_id)? {
        Some(link) if link.share_wrapped.is_some() => Ok(Claim::Repeated {
            files: links::files_of(tx.conn(), link_id)?,
            link,
            lease: ClaimLease { since, until },
        }),
        Some(_) | None => refused,
    }
}

/// Whether a running claim may go on: expiry lets it finish, anything else that ended the link cuts it.
fn is_reachable(conn: &mut Conn, link_id: &LinkId) -> Result<bool, StoreError> {
    let states: Vec<String> =
        delivery::table.filter(delivery::link_id.eq(link_id.as_str())).select(delivery::state).load(conn)?;
    Ok(!states.is_empty() && states.iter().all(|state| state == "live"))
}

/// The right to read one sealed file now.
pub struct FileGrant {
    pub blob: String,
    pub media: MediaType,
    pub sealed_bytes: u64,
    pub opening: OpeningId,
    pub lease_until: UtcMillis,
}

/// `None` unless this browser holds a running claim on a link that may still be read.
///
/// # Errors
/// [`StoreError`].
pub fn file_grant(
    conn: &mut Conn,
    link_id: &LinkId,
    cookie: &[u8; 32],
    number: u16,
    now: UtcMillis,
) -> Result<Option<FileGrant>, StoreError> {
    let sharer = diesel::alias!(delivery as sharer);
    let refusing = sharer
        .filter(sharer.field(delivery::link_id).eq(link_id.as_str()))
        .filter(sharer.field(delivery::state).ne("live"));
    let row: Option<(String, String, i64, String, Option<i64>)> = opening::table
        .inner_join(sealed_file::table.on(sealed_file::link_id.eq(opening::link_id)))
        .inner_join(link::table.on(link::id.eq(opening::link_id)))
        .inner_join(delivery::table.on(delivery::id.eq(link::delivery_id)))
        .filter(opening::link_id.eq(link_id.as_str()))
        .filter(opening::cookie_hash.eq(cookie.to_vec()))
        .filter(opening::state.eq("claimed"))
        .filter(opening::lease_until.gt(now.0))
        .filter(delivery::state.eq("live"))
        .filter(delivery::link_id.eq(link_id.as_str()))
        .filter(not(exists(refusing)))
        .filter(sealed_file::number.eq(i32::from(number)))
        .select((sealed_file::blob, sealed_file::media, sealed_file::sealed_bytes, opening::id, opening::lease_until))
        .first(conn)
        .optional()?;
    row.map(|(blob, media, sealed, opening, lease_until)| {
        Ok(FileGrant {
            blob,
            media: parse("sealed_file.media", &media)?,
            sealed_bytes: unsigned("sealed_file.sealed_bytes", sealed)?,
            opening: parse("opening.id", &opening)?,
            lease_until: UtcMillis(lease_until.unwrap_or(0)),
        })
    })
    .transpose()
}

/// Progress: stretches a running lease as the table allows.
///
/// # Errors
/// [`StoreError`].
pub fn stretch_lease(tx: &mut Tx, id: &OpeningId, now: UtcMillis) -> Result<(), StoreError> {
    let row: Option<Row> = opening::table.find(id.as_str()).select(columns!()).first(tx.conn()).optional()?;
    let Some(row) = row else { return Ok(()) };
    let row = typed(row)?;
    let view = links::view_of(tx.conn(), &row.link)?;
    let Ok(step) = row.state.step(OpeningEvent::Progress { view }, now) else { return Ok(()) };
    if let Opening::Claimed { lease_until, .. } = step.to() {
        diesel::update(opening::table.find(id.as_str()).filter(opening::state.eq("claimed")))
            .set(opening::lease_until.eq(lease_until.0))
            .prepared()
            .execute(tx.conn())?;
    }
    Ok(())
}

/// Whether a receipt was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Taken,
    /// No running claim of this browser.
    NothingToReceive,
}

/// # Errors
/// [`StoreError`].
pub fn receive(tx: &mut Tx, link_id: &LinkId, cookie: &[u8; 32], at: UtcMillis) -> Result<Received, StoreError> {
    // Of two last receipts at once, the second must see the first: it ends the link.
    links::hold(tx, link_id)?;
    let changed = diesel::update(
        opening::table
            .filter(opening::link_id.eq(link_id.as_str()))
            .filter(opening::cookie_hash.eq(cookie.to_vec()))
            .filter(opening::state.eq("claimed")),
    )
    .set((opening::state.eq(Opening::Received.name()), opening::ended_at.eq(at.0)))
    .prepared()
    .execute(tx.conn())?;
    Ok(if changed == 1 { Received::Taken } else { Received::NothingToReceive })
}

/// How many claims of a link are under way.
///
/// # Errors
/// [`StoreError`].
pub fn running_claims(conn: &mut Conn, link_id: &LinkId, now: UtcMillis) -> Result<i64, StoreError> {
    Ok(opening::table
        .filter(opening::link_id.eq(link_id.as_str()))
        .filter(opening::state.eq("claimed"))
        .filter(opening::lease_until.gt(now.0))
        .count()
        .get_result(conn)?)
}

/// A claim whose lease ended without a receipt.
pub struct LapsedOpening {
    pub link: LinkId,
}

/// Ends up to `count` of the leases that ran out by `now`.
///
/// # Errors
/// [`StoreError`].
pub fn lapse_openings(tx: &mut Tx, now: UtcMillis, count: i64) -> Result<Vec<LapsedOpening>, StoreError> {
    let due: Vec<(String, String)> = opening::table
        .filter(opening::state.eq("claimed"))
        .filter(opening::lease_until.le(now.0))
        .order((opening::link_id.asc(), opening::id.asc()))
        .limit(count)
        .select((opening::id, opening::link_id))
        .load(tx.conn())?;
    let mut lapsed = Vec::with_capacity(due.len());
    for (id, link) in due {
        let link: LinkId = parse("opening.link_id", &link)?;
        links::hold(tx, &link)?;
        let still = opening::table.find(&id).filter(opening::state.eq("claimed"));
        let changed = diesel::update(still.filter(opening::lease_until.le(now.0)))
            .set((opening::state.eq(Opening::Lapsed.name()), opening::ended_at.eq(now.0)))
            .prepared()
            .execute(tx.conn())?;
        if changed == 1 {
            lapsed.push(LapsedOpening { link });
        }
    }
    Ok(lapsed)
}

/// Ends every opening of a dead link.
pub(super) fn end_openings(tx: &mut Tx, link_id: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(
        opening::table
            .filter(opening::link_id.eq(link_id.as_str()))
            .filter(opening::state.eq_any(["begun", "claimed"])),
    )
    .set((opening::state.eq(Opening::Lapsed.name()), opening::ended_at.eq(at.0)))
    .prepared()
    .execute(tx.conn())?;
    Ok(())
}
