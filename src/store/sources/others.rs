//! Reports that are followed for others than their patients, too.
//!
//! Must stay true: a resource is followed for nobody for whose patient it is not; what the EHR says of it is said to all of them
//! at once.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::{FirstReading, SourceRow, TakenUp, end_lease, follow, id_for};
use crate::base::{ResourceKey, SourceId, UtcMillis, VersionId, random};
use crate::record::{Addressee, RecipientRole};
use crate::store::conn::{Conn, Tx};
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::rows::parse;
use crate::store::schema::{delivery, source};

/// `$key` as it is followed for others than its patient.
macro_rules! for_others {
    ($key:expr) => {
        source::table
            .filter(source::ehr.eq($key.ehr.as_str()))
            .filter(source::kind.eq($key.kind.as_str()))
            .filter(source::resource_id.eq($key.id.as_str()))
            .filter(source::addressee_index.ne(Addressee::Patient.to_bytes()))
    };
}

pub(in crate::store) use for_others;

impl SourceRow {
    /// The same resource, for another recipient.
    #[must_use]
    pub fn for_another(&self, recipient: RecipientRole, addressee: Addressee) -> Self {
        Self { addressee, recipient, ..self.clone() }
    }
}

/// Begins to follow for somebody else what is followed for its patient; `false`: it is already.
///
/// # Errors
/// [`StoreError`].
pub fn follow_for(
    tx: &mut Tx,
    of_patient: &SourceRow,
    (recipient, addressee): (RecipientRole, Addressee),
    version: &VersionId,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    if id_for(tx.conn(), &of_patient.key, addressee)?.is_some() {
        return Ok(false);
    }
    let first = match of_patient.backfilled_at {
        None => FirstReading::Due(now),
        Some(at) => FirstReading::Backfilled { at, due_at: now },
    };
    let whom = (recipient, addressee);
    let taken_up = follow(tx, &of_patient.key, whom, Some(version), first, &mut random::system())?;
    Ok(matches!(taken_up, TakenUp::Now(_)))
}

/// Makes a resource due before others, unless it is due or being read.
///
/// # Errors
/// [`StoreError`].
pub fn hurry(tx: &mut Tx, id: &SourceId, now: UtcMillis) -> Result<(), StoreError> {
    let idle = source::due_at.is_null().or(source::due_at.gt(now.0));
    diesel::update(source::table.find(id.as_str()).filter(source::lease_until.is_null()).filter(idle))
        .set((source::due_at.eq(now.0), source::urgent_at.eq(now.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Ends the lease without a reading, as if it had not been leased; due again at `at`.
///
/// # Errors
/// [`StoreError::Moved`] when that lease ran out and another reader has the resource.
pub fn put_off(tx: &mut Tx, seen: &SourceRow, at: UtcMillis) -> Result<(), StoreError> {
    end_lease(tx, seen, Some(at))?;
    diesel::update(source::table.find(seen.id.as_str()))
        .set(source::tries.eq(seen.tries.saturating_sub(1).max(0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Notes since when others are looked for; `None`: not any more.
///
/// # Errors
/// [`StoreError`].
pub fn look_for_others(tx: &mut Tx, id: &SourceId, since: Option<UtcMillis>) -> Result<(), StoreError> {
    diesel::update(source::table.find(id.as_str()))
        .set(source::others_since.eq(since.map(|at| at.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// The same resource as it is followed for other recipients than `seen` is.
///
/// # Errors
/// [`StoreError`].
pub fn followed_for_others(conn: &mut Conn, seen: &SourceRow) -> Result<Vec<SourceId>, StoreError> {
    let others: Vec<String> = source::table
        .filter(source::ehr.eq(seen.key.ehr.as_str()))
        .filter(source::kind.eq(seen.key.kind.as_str()))
        .filter(source::resource_id.eq(seen.key.id.as_str()))
        .filter(source::id.ne(seen.id.as_str()))
        .order(source::addressee_index.asc())
        .select(source::id)
        .load(conn)?;
    others.iter().map(|id| parse("source.id", id)).collect()
}

/// Makes one resource due for all for whom it is followed, whatever was heard of it.
///
/// # Errors
/// [`StoreError`].
pub fn read_again_for_all(tx: &mut Tx, key: &ResourceKey, now: UtcMillis) -> Result<(), StoreError> {
    let row = source::table
        .filter(source::ehr.eq(key.ehr.as_str()))
        .filter(source::kind.eq(key.kind.as_str()))
        .filter(source::resource_id.eq(key.id.as_str()));
    diesel::update(row)
        .set((source::due_at.eq(now.0), source::heard_count.eq(source::heard_count + 1)))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// What is followed for others, too, is read for them as well, and as soon where a link of theirs is out: the EHR may be taking it
/// back.
pub(in crate::store) fn hear_for_others(
    tx: &mut Tx,
    key: &ResourceKey,
    version: Option<VersionId>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let heard = diesel::update(for_others!(key))
        .set((
            source::heard_at.eq(now.0),
            source::heard_count.eq(source::heard_count + 1),
            source::heard_version.eq(version.map(String::from)),
            source::due_at.eq(now.0),
            source::tries.eq(0),
            source::backfilled_at.eq(None::<i64>),
        ))
        .prepared()
        .execute(tx.conn())?;
    if heard > 0 { hurry_what_is_out(tx, key, now) } else { Ok(()) }
}

/// What the patient's own reading learnt by itself, the others have not heard of: those that have not read this version are due.
///
/// # Errors
/// [`StoreError`].
pub fn catch_up_others(tx: &mut Tx, key: &ResourceKey, version: &VersionId, now: UtcMillis) -> Result<(), StoreError> {
    let are_behind = source::read_version.is_null().or(source::read_version.ne(version.as_str()));
    let behind = diesel::update(for_others!(key).filter(are_behind))
        .set((source::due_at.eq(now.0), source::heard_count.eq(source::heard_count + 1), source::tries.eq(0)))
        .prepared()
        .execute(tx.conn())?;
    if behind > 0 { hurry_what_is_out(tx, key, now) } else { Ok(()) }
}

fn hurry_what_is_out(tx: &mut Tx, key: &ResourceKey, now: UtcMillis) -> Result<(), StoreError> {
    let out = delivery::table
        .filter(delivery::source_id.eq(source::id))
        .filter(delivery::state.eq_any(["live", "suspended"]));
    diesel::update(for_others!(key).filter(source::due_at.le(now.0)).filter(exists(out)))
        .set(source::urgent_at.eq(now.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}
