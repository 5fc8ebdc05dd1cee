//! Other ways to hear of a resource than the EHR's own word of a change: that it is gone, and what a look back found.
//!
//! Must stay true: what only a look back found is marked as such in the statement that notes it, and the mark goes when the EHR
//! speaks of a change itself ([`super::hear`]).

use diesel::prelude::*;
use rand_core::CryptoRng;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::source;
use super::sources::{FirstReading, Hearing, TakenUp, for_others, hear, id_of, is_out, take_up};
use crate::base::{ResourceKey, SourceId, UtcMillis, VersionId};
use crate::record::Addressee;

/// The EHR lists `key` among what was deleted. What was never followed, or is known to be gone, is not looked for.
///
/// # Errors
/// [`StoreError`].
pub fn heard_to_be_gone(tx: &mut Tx, key: &ResourceKey, now: UtcMillis) -> Result<Option<SourceId>, StoreError> {
    let Some(id) = id_of(tx.conn(), key)? else { return Ok(None) };
    let urgent_at = is_out(tx.conn(), &id)?.then_some(now.0);
    let due_now = |urgent_at: Option<i64>| {
        (
            source::heard_at.eq(now.0),
            source::heard_count.eq(source::heard_count + 1),
            source::due_at.eq(now.0),
            source::urgent_at.eq(urgent_at),
            source::tries.eq(0),
        )
    };
    let followed = source::table.find(id.as_str()).filter(source::gone_at.is_null());
    let due = diesel::update(followed).set(due_now(urgent_at)).prepared().execute(tx.conn())?;
    diesel::update(for_others!(key).filter(source::gone_at.is_null()))
        // Few, and the EHR says that it is gone: nothing is more urgent.
        .set(due_now(Some(now.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok((due == 1).then_some(id))
}

/// As [`super::hear`]; yet of what shows no version, only what was never heard of before is due: a search by the report's own
/// date finds the same ones again and again.
///
/// # Errors
/// [`StoreError`].
pub fn hear_if_new(
    tx: &mut Tx,
    key: &ResourceKey,
    version: Option<&VersionId>,
    now: UtcMillis,
    rng: &mut impl CryptoRng,
) -> Result<Hearing, StoreError> {
    match id_of(tx.conn(), key)? {
        Some(id) if version.is_none() => Ok(Hearing::Known(id)),
        Some(_) | None => hear(tx, key, version, now, rng),
    }
}

/// Notes what a backfill found, to be read at `due_at`. What is followed already stays as it is.
///
/// # Errors
/// [`StoreError`].
pub fn hear_of_the_past(
    tx: &mut Tx,
    key: &ResourceKey,
    version: Option<&VersionId>,
    due_at: UtcMillis,
    now: UtcMillis,
    rng: &mut impl CryptoRng,
) -> Result<Hearing, StoreError> {
    if let Some(id) = id_of(tx.conn(), key)? {
        return Ok(Hearing::Known(id));
    }
    match take_up(tx, key, version, FirstReading::Backfilled { at: now, due_at }, rng)? {
        TakenUp::Now(id) => Ok(Hearing::Due(id)),
        // The EHR spoke of it at this moment: that counts for more.
        TakenUp::ByAnother(id) => Ok(Hearing::Known(id)),
    }
}

/// Makes `key` due at `due_at` whatever is known of it, or earlier where it was due earlier: it is read once more. A backfilled
/// one stays one.
///
/// # Errors
/// [`StoreError`].
pub fn hear_again_in_full(
    tx: &mut Tx,
    key: &ResourceKey,
    version: Option<&VersionId>,
    due_at: UtcMillis,
    now: UtcMillis,
    rng: &mut impl CryptoRng,
) -> Result<Hearing, StoreError> {
    let Some(id) = id_of(tx.conn(), key)? else { return hear(tx, key, version, now, rng) };
    // What is due keeps its time, and whoever reads it now is followed by another reading.
    let heard = || (source::heard_at.eq(now.0), source::heard_count.eq(source::heard_count + 1));
    diesel::update(source::table.find(id.as_str())).set(heard()).prepared().execute(tx.conn())?;
    diesel::update(for_others!(key)).set(heard()).prepared().execute(tx.conn())?;
    let later = || source::due_at.is_null().or(source::due_at.gt(due_at.0));
    let due = || (source::due_at.eq(due_at.0), source::tries.eq(0));
    diesel::update(source::table.find(id.as_str()).filter(later())).set(due()).prepared().execute(tx.conn())?;
    diesel::update(for_others!(key).filter(later())).set(due()).prepared().execute(tx.conn())?;
    Ok(Hearing::Due(id))
}

/// Whether `key` is followed and, as far as is known, still there.
///
/// # Errors
/// [`StoreError`].
pub fn is_followed(conn: &mut Conn, key: &ResourceKey) -> Result<bool, StoreError> {
    let Some(id) = id_of(conn, key)? else { return Ok(false) };
    let gone_at: Option<i64> = source::table.find(id.as_str()).select(source::gone_at).first(conn)?;
    Ok(gone_at.is_none())
}
