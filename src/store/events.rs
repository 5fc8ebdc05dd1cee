//! What an EHR said, sealed as it said it, until the reference is extracted.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{parse, parse_opt, signed, unsigned};
use super::schema::event;
use super::sources::{id_of, is_out};
use crate::base::{EhrId, EventId, FhirId, ResourceKey, ResourceType, UtcMillis, hours};

/// What an EHR says of a report of which a link is out may be that it takes it back: it goes before whatever waits, as if it had
/// come so much earlier.
const AHEAD: std::time::Duration = hours(24);

/// A hook's body to be kept.
pub struct NewEvent {
    pub id: EventId,
    pub ehr: EhrId,
    pub at: UtcMillis,
    /// The HTTP method, in capitals.
    pub method: &'static str,
    /// What the hook's address named, where it named something.
    pub path: Option<(ResourceType, FhirId)>,
    /// What it speaks of, as far as that is known before anybody looks into it.
    pub about: Vec<(ResourceType, FhirId)>,
    pub sha256: String,
    pub body_bytes: u64,
    pub body_sealed: Vec<u8>,
    /// The intake key's name.
    pub body_key: String,
}

/// A leased event, without its body: many are leased at once, and a body may be large.
pub struct StoredEvent {
    pub id: EventId,
    pub ehr: EhrId,
    pub at: UtcMillis,
    pub method: String,
    pub path: Option<(ResourceType, FhirId)>,
    pub sha256: String,
    /// Of the body.
    pub body_bytes: u64,
    pub tries: i32,
}

/// An event's body as it is kept.
pub struct KeptBody {
    pub sealed: Vec<u8>,
    /// The intake key's name.
    pub key: String,
}

/// How an event ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventEnd {
    /// Its references are extracted; the body is emptied.
    Done,
    /// It cannot be read; the sealed body is kept for staff until retention ends it.
    Quarantined { why: String },
}

/// # Errors
/// [`StoreError`].
pub fn insert_event(tx: &mut Tx, new: &NewEvent) -> Result<(), StoreError> {
    let due_at = if speaks_of_a_link(tx.conn(), new)? { new.at.minus(AHEAD) } else { new.at };
    diesel::insert_into(event::table)
        .values((
            event::id.eq(new.id.as_str()),
            event::ehr.eq(new.ehr.as_str()),
            event::received_at.eq(new.at.0),
            event::state.eq("new"),
            event::method.eq(new.method),
            event::path_kind.eq(new.path.as_ref().map(|(kind, _)| kind.as_str())),
            event::path_id.eq(new.path.as_ref().map(|(_, id)| id.as_str())),
            event::sha256.eq(&new.sha256),
            event::body_bytes.eq(signed("event.body_bytes", new.body_bytes)?),
            event::body_sealed.eq(&new.body_sealed),
            event::body_key.eq(&new.body_key),
            event::due_at.eq(due_at.0),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Whether a link is out to anything that it speaks of.
fn speaks_of_a_link(conn: &mut Conn, new: &NewEvent) -> Result<bool, StoreError> {
    for (kind, id) in &new.about {
        let key = ResourceKey { ehr: new.ehr.clone(), kind: *kind, id: id.clone() };
        if let Some(source) = id_of(conn, &key)?
            && is_out(conn, &source)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

type Row = (String, String, i64, String, Option<String>, Option<String>, String, i64, i32);

/// Leases up to `count` due events until `until`: half of them the newest, since what an EHR has just taken back would otherwise wait
/// behind a heap of what it said before.
///
/// # Errors
/// [`StoreError`].
pub fn lease_events(tx: &mut Tx, now: UtcMillis, until: UtcMillis, count: i64) -> Result<Vec<StoredEvent>, StoreError> {
    let mut leased = lease_newest(tx, now, until, count / 2)?;
    let left = count - i64::try_from(leased.len()).unwrap_or(count);
    leased.extend(lease_oldest(tx, now, until, left)?);
    Ok(leased)
}

/// The guard stands in the outer statement too, so that two workers never hold the same one.
macro_rules! lease {
    ($tx:ident, $now:ident, $until:ident, $count:expr, $order:ident) => {{
        let candidate = diesel::alias!(event as candidate);
        let due = candidate
            .filter(candidate.field(event::due_at).le($now.0))
            .filter(candidate.field(event::lease_until).is_null().or(candidate.field(event::lease_until).le($now.0)))
            .order(candidate.field(event::due_at).$order())
            .limit($count)
            .select(candidate.field(event::id));
        let rows: Vec<Row> = diesel::update(
            event::table
                .filter(event::id.eq_any(due))
                .filter(event::due_at.le($now.0))
                .filter(event::lease_until.is_null().or(event::lease_until.le($now.0))),
        )
        .set((event::lease_until.eq($until.0), event::lease_holder.eq($tx.holder()), event::tries.eq(event::tries + 1)))
        .returning((
            event::id,
            event::ehr,
            event::received_at,
            event::method,
            event::path_kind,
            event::path_id,
            event::sha256,
            event::body_bytes,
            event::tries,
        ))
        .prepared()
        .load($tx.conn())?;
        rows.into_iter().map(stored).collect()
    }};
}

fn lease_newest(tx: &mut Tx, now: UtcMillis, until: UtcMillis, count: i64) -> Result<Vec<StoredEvent>, StoreError> {
    lease!(tx, now, until, count, desc)
}

fn lease_oldest(tx: &mut Tx, now: UtcMillis, until: UtcMillis, count: i64) -> Result<Vec<StoredEvent>, StoreError> {
    lease!(tx, now, until, count, asc)
}

fn stored(row: Row) -> Result<StoredEvent, StoreError> {
    let (id, ehr, at, method, path_kind, path_id, sha256, body_bytes, tries) = row;
    let kind = parse_opt("event.path_kind", path_kind.as_deref())?;
    let path_id = parse_opt("event.path_id", path_id.as_deref())?;
    Ok(StoredEvent {
        id: parse("event.id", &id)?,
        ehr: parse("event.ehr", &ehr)?,
        at: UtcMillis(at),
        method,
        path: kind.zip(path_id),
        sha256,
        body_bytes: unsigned("event.body_bytes", body_bytes)?,
        tries,
    })
}

/// The body of an event; `None` once it was emptied.
///
/// # Errors
/// [`StoreError`].
pub fn event_body(conn: &mut Conn, id: &EventId) -> Result<Option<KeptBody>, StoreError> {
    let kept: Option<(Option<Vec<u8>>, Option<String>)> =
        event::table.find(id.as_str()).select((event::body_sealed, event::body_key)).first(conn).optional()?;
    Ok(kept.and_then(|(sealed, key)| Some(KeptBody { sealed: sealed?, key: key? })))
}

/// # Errors
/// [`StoreError::Moved`] when the event has already ended.
pub fn finish_event(tx: &mut Tx, id: &EventId, end: &EventEnd) -> Result<(), StoreError> {
    tx.erased();
    let open = event::table.find(id.as_str()).filter(event::state.eq("new"));
    let nothing_due = (event::due_at.eq(None::<i64>), event::lease_until.eq(None::<i64>));
    let changed = match end {
        EventEnd::Done => diesel::update(open)
            .set((
                event::state.eq("done"),
                event::body_sealed.eq(None::<Vec<u8>>),
                event::body_key.eq(None::<String>),
                nothing_due,
            ))
            .prepared()
            .execute(tx.conn())?,
        EventEnd::Quarantined { why } => diesel::update(open)
            .set((event::state.eq("quarantined"), event::why.eq(why), nothing_due))
            .prepared()
            .execute(tx.conn())?,
    };
    if changed == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

/// Gives a leased event back, due again at `at`.
///
/// # Errors
/// [`StoreError`].
pub fn retry_event(tx: &mut Tx, id: &EventId, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(event::table.find(id.as_str()).filter(event::state.eq("new")))
        .set((event::due_at.eq(at.0), event::lease_until.eq(None::<i64>)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// The events that staff must look at: id, EHR, time, reason; newest first.
///
/// # Errors
/// [`StoreError`].
pub fn quarantined(conn: &mut Conn, count: i64) -> Result<Vec<(String, String, UtcMillis, String)>, StoreError> {
    let rows: Vec<(String, String, i64, Option<String>)> = event::table
        .filter(event::state.eq("quarantined"))
        .order(event::received_at.desc())
        .limit(count)
        .select((event::id, event::ehr, event::received_at, event::why))
        .load(conn)?;
    Ok(rows.into_iter().map(|(id, ehr, at, why)| (id, ehr, UtcMillis(at), why.unwrap_or_default())).collect())
}

/// How many calls of `ehr` wait in quarantine, by reason.
///
/// # Errors
/// [`StoreError`].
pub fn quarantine_of(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<(String, i64)>, StoreError> {
    let rows: Vec<(Option<String>, i64)> = event::table
        .filter(event::state.eq("quarantined"))
        .filter(event::ehr.eq(ehr.as_str()))
        .group_by(event::why)
        .order(event::why.asc())
        .select((event::why, diesel::dsl::count_star()))
        .load(conn)?;
    Ok(rows.into_iter().map(|(why, count)| (why.unwrap_or_default(), count)).collect())
}

/// Retention: removes ended events received before `done_before`, quarantined ones before
/// `quarantined_before`.
///
/// # Errors
/// [`StoreError`].
pub fn delete_events_before(
    tx: &mut Tx,
    done_before: UtcMillis,
    quarantined_before: UtcMillis,
) -> Result<u64, StoreError> {
    tx.erased();
    let done =
        diesel::delete(event::table.filter(event::state.eq("done")).filter(event::received_at.lt(done_before.0)))
            .prepared()
            .execute(tx.conn())?;
    let quarantined = diesel::delete(
        event::table.filter(event::state.eq("quarantined")).filter(event::received_at.lt(quarantined_before.0)),
    )
    .prepared()
    .execute(tx.conn())?;
    Ok((done + quarantined) as u64)
}
