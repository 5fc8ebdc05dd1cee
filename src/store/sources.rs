//! The resources that Chartseal follows, and whose turn it is to be read again.

mod others;
mod turns;

use diesel::prelude::*;
use rand_core::CryptoRng;

pub use others::{
    catch_up_others, follow_for, followed_for_others, hurry, look_for_others, put_off, read_again_for_all,
};
pub(super) use others::{for_others, hear_for_others};
pub use turns::{
    NOT_CONFIGURED, due_for_recheck, lease_sources, lease_urgent_sources, read_stale_sources_again, read_twins_again,
    renew_source, take_up_what_was_left,
};

use super::audit_log;
use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::families;
use super::prepared::Prepare as _;
use super::rows::{self, hash32, parse, parse_opt};
use super::schema::{delivery, source};
use crate::audit::Chain;
use crate::base::{ClinicId, ResourceKey, SourceId, UtcMillis, VersionId};
use crate::policy::ReportStatus;
use crate::record::{Addressee, RecipientRole};

/// One followed resource.
#[derive(Clone)]
pub struct SourceRow {
    pub id: SourceId,
    pub key: ResourceKey,
    /// Whom it is followed for.
    pub addressee: Addressee,
    pub recipient: RecipientRole,
    pub clinic: Option<ClinicId>,
    pub heard_at: UtcMillis,
    /// Grows with each hearing; a reading that began before the last hearing is not the last word.
    pub heard_count: i64,
    pub heard_version: Option<VersionId>,
    pub tries: i32,
    /// The lease under which it was handed out: whoever holds an older one may no longer write.
    lease_until: Option<i64>,
    pub read_at: Option<UtcMillis>,
    pub read_version: Option<VersionId>,
    pub status: Option<ReportStatus>,
    pub content_hash: Option<[u8; 32]>,
    pub subject_index: Option<[u8; 32]>,
    pub gone_at: Option<UtcMillis>,
    pub why: Option<String>,
    /// Set while nothing but a reading of the past has told of it: what comes of it is recorded, and never leaves by itself.
    pub backfilled_at: Option<UtcMillis>,
    /// Since when who else gets it is looked for, where the EHR did not say all when it said something new.
    pub others_since: Option<UtcMillis>,
}

impl SourceRow {
    /// A resource that is looked at once for its patient and not followed: it is nowhere stored.
    #[must_use]
    pub const fn unfollowed(id: SourceId, key: ResourceKey, clinic: Option<ClinicId>, now: UtcMillis) -> Self {
        Self {
            id,
            key,
            addressee: Addressee::Patient,
            recipient: RecipientRole::Patient,
            clinic,
            heard_at: now,
            heard_count: 1,
            heard_version: None,
            tries: 0,
            lease_until: None,
            read_at: None,
            read_version: None,
            status: None,
            content_hash: None,
            subject_index: None,
            gone_at: None,
            why: None,
            backfilled_at: None,
            others_since: None,
        }
    }
}

/// What hearing of a resource led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It will be read.
    Due(SourceId),
    /// This very version has been read before.
    Known(SourceId),
}

/// Notes that an EHR spoke of `key`, and makes it due unless that version was already read.
///
/// # Errors
/// [`StoreError`].
pub fn hear(
    tx: &mut Tx,
    key: &ResourceKey,
    version: Option<&VersionId>,
    now: UtcMillis,
    rng: &mut impl CryptoRng,
) -> Result<Hearing, StoreError> {
    if let Some(id) = id_of(tx.conn(), key)? {
        return hear_again(tx, key, id, version, now);
    }
    match take_up(tx, key, version, FirstReading::Due(now), rng)? {
        TakenUp::Now(id) => Ok(Hearing::Due(id)),
        TakenUp::ByAnother(id) => hear_again(tx, key, id, version, now),
    }
}

/// When what nobody followed so far is read first.
#[derive(Clone, Copy)]
pub(super) enum FirstReading {
    Due(UtcMillis),
    /// A look back found it.
    Backfilled {
        at: UtcMillis,
        due_at: UtcMillis,
    },
}

pub(super) enum TakenUp {
    Now(SourceId),
    /// By another worker, at this moment.
    ByAnother(SourceId),
}

/// Begins to follow `key`.
pub(super) fn take_up(
    tx: &mut Tx,
    key: &ResourceKey,
    version: Option<&VersionId>,
    first: FirstReading,
    rng: &mut impl CryptoRng,
) -> Result<TakenUp, StoreError> {
    follow(tx, key, (RecipientRole::Patient, Addressee::Patient), version, first, rng)
}

fn follow(
    tx: &mut Tx,
    key: &ResourceKey,
    (recipient, addressee): (RecipientRole, Addressee),
    version: Option<&VersionId>,
    first: FirstReading,
    rng: &mut impl CryptoRng,
) -> Result<TakenUp, StoreError> {
    let id = SourceId::random(rng);
    let (heard_at, due_at, backfilled_at) = match first {
        FirstReading::Due(now) => (now, now, None),
        FirstReading::Backfilled { at, due_at } => (at, due_at, Some(at.0)),
    };
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(source::table)
            .values((
                source::id.eq(id.as_str()),
                source::ehr.eq(key.ehr.as_str()),
                source::kind.eq(key.kind.as_str()),
                source::resource_id.eq(key.id.as_str()),
                source::addressee_index.eq(addressee.to_bytes()),
                source::recipient.eq(recipient.as_str()),
                source::heard_at.eq(heard_at.0),
                source::heard_count.eq(1_i64),
                source::heard_version.eq(version.map(VersionId::as_str)),
                source::due_at.eq(due_at.0),
                source::backfilled_at.eq(backfilled_at),
            ))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) => Ok(TakenUp::Now(id)),
        Err(StoreError::Duplicate) => {
            Ok(TakenUp::ByAnother(id_for(tx.conn(), key, addressee)?.ok_or(StoreError::Moved)?))
        }
        Err(other) => Err(other),
    }
}

/// `key` as it is followed for one recipient.
///
/// # Errors
/// [`StoreError`].
pub fn source_of(conn: &mut Conn, key: &ResourceKey, addressee: Addressee) -> Result<Option<SourceRow>, StoreError> {
    match id_for(conn, key, addressee)? {
        Some(id) => source(conn, &id),
        None => Ok(None),
    }
}

/// `key` as it is followed for its patient, as everything is that is followed at all.
pub(super) fn id_of(conn: &mut Conn, key: &ResourceKey) -> Result<Option<SourceId>, StoreError> {
    id_for(conn, key, Addressee::Patient)
}

fn id_for(conn: &mut Conn, key: &ResourceKey, addressee: Addressee) -> Result<Option<SourceId>, StoreError> {
    let id: Option<String> = source::table
        .filter(source::ehr.eq(key.ehr.as_str()))
        .filter(source::kind.eq(key.kind.as_str()))
        .filter(source::resource_id.eq(key.id.as_str()))
        .filter(source::addressee_index.eq(addressee.to_bytes()))
        .select(source::id)
        .first(conn)
        .optional()?;
    parse_opt("source.id", id.as_deref())
}

/// Versions read and heard of, when it was gone, is due, was found by a look back.
type Known = (Option<String>, Option<String>, Option<i64>, Option<i64>, Option<i64>);

fn hear_again(
    tx: &mut Tx,
    key: &ResourceKey,
    id: SourceId,
    version: Option<&VersionId>,
    now: UtcMillis,
) -> Result<Hearing, StoreError> {
    audit_log::hold(tx.conn(), &Chain::Source(id.clone()))?;
    let known: Known = source::table
        .find(id.as_str())
        .select((source::read_version, source::heard_version, source::gone_at, source::due_at, source::backfilled_at))
        .first(tx.conn())?;
    let (read, heard, gone, due_at, backfilled_at) = known;
    let read: Option<VersionId> = parse_opt("source.read_version", read.as_deref())?;
    let heard: Option<VersionId> = parse_opt("source.heard_version", heard.as_deref())?;
    if let (Some(version), Some(read)) = (version, &read)
        && gone.is_none()
        && (version == read || version.is_before(read) == Some(true))
    {
        return Ok(Hearing::Known(id));
    }
    // The same word once more, as each poll brings it: a reading that waits or fails is neither hurried nor begun anew.
    if version.is_some() && version == heard.as_ref() && due_at.is_some() && backfilled_at.is_none() {
        return Ok(Hearing::Known(id));
    }
    // Events come in any order: what was heard of never falls back to an earlier number.
    let newest = match (version, heard) {
        (Some(new), Some(old)) if new.is_before(&old) == Some(true) => Some(old),
        (Some(new), _) => Some(new.clone()),
        (None, old) => old,
    };
    let urgent_at = is_out(tx.conn(), &id)?.then_some(now);
    diesel::update(source::table.find(id.as_str()))
        .set((
            source::heard_at.eq(now.0),
            source::heard_count.eq(source::heard_count + 1),
            source::heard_version.eq(newest.clone().map(String::from)),
            source::due_at.eq(now.0),
            source::urgent_at.eq(urgent_at.map(|at| at.0)),
            source::tries.eq(0),
            source::backfilled_at.eq(None::<i64>),
        ))
        .prepared()
        .execute(tx.conn())?;
    hear_for_others(tx, key, newest, now)?;
    Ok(Hearing::Due(id))
}

/// Whether a link to what it says is out, be it under another name: then its EHR may be taking it back.
pub(super) fn is_out(conn: &mut Conn, id: &SourceId) -> Result<bool, StoreError> {
    let mut names = families::family_of(conn, id)?;
    names.push(id.clone());
    for name in names {
        let out: Option<String> = delivery::table
            .filter(delivery::source_id.eq(name.as_str()))
            .filter(delivery::state.eq_any(["live", "suspended"]))
            .select(delivery::id)
            .first(conn)
            .optional()?;
        if out.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

type Row = (
    String,
    String,
    String,
    String,
    Vec<u8>,
    String,
    Option<String>,
    i64,
    i64,
    Option<String>,
    i32,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
);

macro_rules! columns {
    () => {
        (
            source::id,
            source::ehr,
            source::kind,
            source::resource_id,
            source::addressee_index,
            source::recipient,
            source::clinic,
            source::heard_at,
            source::heard_count,
            source::heard_version,
            source::tries,
            source::lease_until,
            source::read_at,
            source::read_version,
            source::status,
            source::content_hash,
            source::subject_index,
            source::gone_at,
            source::why,
            source::backfilled_at,
            source::others_since,
        )
    };
}

use columns;

fn typed(row: Row) -> Result<SourceRow, StoreError> {
    let (
        id,
        ehr,
        kind,
        resource,
        addressee,
        recipient,
        clinic,
        heard_at,
        heard_count,
        heard_version,
        tries,
        lease_until,
        read_at,
        read,
        status,
        content,
        subject,
        gone_at,
        why,
        backfilled_at,
        others_since,
    ) = row;
    Ok(SourceRow {
        id: parse("source.id", &id)?,
        key: ResourceKey {
            ehr: parse("source.ehr", &ehr)?,
            kind: parse("source.kind", &kind)?,
            id: parse("source.resource_id", &resource)?,
        },
        addressee: rows::addressee("source.addressee_index", &addressee)?,
        recipient: rows::role("source.recipient", &recipient)?,
        clinic: parse_opt("source.clinic", clinic.as_deref())?,
        heard_at: UtcMillis(heard_at),
        heard_count,
        heard_version: parse_opt("source.heard_version", heard_version.as_deref())?,
        tries,
        lease_until,
        read_at: read_at.map(UtcMillis),
        read_version: parse_opt("source.read_version", read.as_deref())?,
        status: status.map(|text| rows::from_json("source.status", &text)).transpose()?,
        content_hash: content.map(|bytes| hash32("source.content_hash", &bytes)).transpose()?,
        subject_index: subject.map(|bytes| hash32("source.subject_index", &bytes)).transpose()?,
        gone_at: gone_at.map(UtcMillis),
        why,
        backfilled_at: backfilled_at.map(UtcMillis),
        others_since: others_since.map(UtcMillis),
    })
}

/// # Errors
/// [`StoreError`].
pub fn source(conn: &mut Conn, id: &SourceId) -> Result<Option<SourceRow>, StoreError> {
    let row: Option<Row> = source::table.find(id.as_str()).select(columns!()).first(conn).optional()?;
    row.map(typed).transpose()
}

/// What a reading found, to be kept with the resource.
pub struct SourceReading {
    pub at: UtcMillis,
    pub version: Option<VersionId>,
    pub clinic: Option<ClinicId>,
    pub status: Option<ReportStatus>,
    pub content_hash: Option<[u8; 32]>,
    pub subject_index: Option<[u8; 32]>,
    pub gone_at: Option<UtcMillis>,
    /// When to look again; `None` when only a new event brings it back.
    pub next_at: Option<UtcMillis>,
    pub why: Option<String>,
}

/// Ends the lease under which `seen` was handed out. If the EHR spoke again meanwhile, the resource stays due.
///
/// # Errors
/// [`StoreError::Moved`] when that lease ran out and another reader has the resource.
pub fn finish_source(tx: &mut Tx, seen: &SourceRow, reading: &SourceReading) -> Result<(), StoreError> {
    end_lease(tx, seen, reading.next_at)?;
    diesel::update(source::table.find(seen.id.as_str()))
        .set((
            source::tries.eq(0),
            source::read_at.eq(reading.at.0),
            source::read_version.eq(reading.version.as_ref().map(VersionId::as_str)),
            source::clinic.eq(reading.clinic.as_ref().map(ClinicId::as_str)),
            source::status.eq(reading.status.map(|status| rows::to_json("source.status", &status)).transpose()?),
            source::content_hash.eq(reading.content_hash.map(|hash| hash.to_vec())),
            source::subject_index.eq(reading.subject_index.map(|hash| hash.to_vec())),
            source::gone_at.eq(reading.gone_at.map(|at| at.0)),
            source::why.eq(reading.why.as_deref()),
        ))
        .prepared()
        .execute(tx.conn())?;
    // What was announced and never shown is forgotten: else each later reading would be taken for an old one.
    let announced = if reading.gone_at.is_some() { &seen.heard_version } else { &reading.version };
    diesel::update(source::table.find(seen.id.as_str()).filter(source::heard_count.eq(seen.heard_count)))
        .set((source::heard_version.eq(announced.as_ref().map(VersionId::as_str)), source::urgent_at.eq(None::<i64>)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Ends the lease without a reading; due again at `at`, or at once if the EHR spoke again meanwhile.
///
/// # Errors
/// [`StoreError::Moved`] when that lease ran out and another reader has the resource.
pub fn fail_source(tx: &mut Tx, seen: &SourceRow, why: &str, at: Option<UtcMillis>) -> Result<(), StoreError> {
    end_lease(tx, seen, at)?;
    diesel::update(source::table.find(seen.id.as_str())).set(source::why.eq(why)).prepared().execute(tx.conn())?;
    Ok(())
}

fn end_lease(tx: &mut Tx, seen: &SourceRow, next_at: Option<UtcMillis>) -> Result<(), StoreError> {
    audit_log::hold(tx.conn(), &Chain::Source(seen.id.clone()))?;
    let row = source::table.find(seen.id.as_str());
    let ended = diesel::update(row.filter(source::lease_until.eq(seen.lease_until)))
        .set(source::lease_until.eq(None::<i64>))
        .prepared()
        .execute(tx.conn())?;
    if ended != 1 {
        return Err(StoreError::Moved);
    }
    diesel::update(row.filter(source::heard_count.eq(seen.heard_count)))
        .set(source::due_at.eq(next_at.map(|at| at.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Makes one resource due, whatever was heard of it.
///
/// # Errors
/// [`StoreError`].
pub fn read_again(tx: &mut Tx, id: &SourceId, now: UtcMillis) -> Result<(), StoreError> {
    diesel::update(source::table.find(id.as_str()))
        .set((source::due_at.eq(now.0), source::heard_count.eq(source::heard_count + 1)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// How many resources of `seen`'s EHR, besides it, had been read, vanished in `from <= t <= until`, and have not come back;
/// counted to `count_max`.
///
/// # Errors
/// [`StoreError`].
pub fn others_gone(
    conn: &mut Conn,
    seen: &SourceRow,
    from: UtcMillis,
    until: UtcMillis,
    count_max: i64,
) -> Result<i64, StoreError> {
    let others: Vec<String> = source::table
        .filter(source::ehr.eq(seen.key.ehr.as_str()))
        .filter(source::kind.ne(seen.key.kind.as_str()).or(source::resource_id.ne(seen.key.id.as_str())))
        // Each once, for however many it is followed.
        .filter(source::addressee_index.eq(Addressee::Patient.to_bytes()))
        .filter(source::read_version.is_not_null())
        .filter(source::gone_at.between(from.0, until.0))
        .limit(count_max)
        .select(source::id)
        .load(conn)?;
    Ok(i64::try_from(others.len()).unwrap_or(i64::MAX))
}
