//! The installation's own rows: identity, generation, pause, and which keys have existed.

use std::time::Duration;

use diesel::prelude::*;

use super::audit_log::record;
use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::{control as control_table, key_mark};
use crate::audit::{AuditEvent, Chain};
use crate::base::{EhrId, UtcMillis, minutes};

/// How old the note of an EHR's last hook may be before it is written anew.
const HOOK_NOTED_EVERY: Duration = minutes(1);
const PAUSE: &str = "pause";
/// When a pause was last ended.
const RESUMED: &str = "resumed";
const GENERATION: &str = "generation";
const INSTALLATION: &str = "installation";
/// Since the last restore.
pub(super) const FOLLOWED_FROM: &str = "followed_from";

/// Whether notices may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    Running,
    Paused { why: String, since: UtcMillis, by: String },
}

/// One named value.
///
/// # Errors
/// [`StoreError`].
pub fn control(conn: &mut Conn, name: &str) -> Result<Option<String>, StoreError> {
    Ok(control_table::table.find(name).select(control_table::value).first(conn).optional()?)
}

/// Writes one named value.
///
/// # Errors
/// [`StoreError`].
pub fn set_control(tx: &mut Tx, name: &str, value: &str, at: UtcMillis, by: &str) -> Result<(), StoreError> {
    let set = (control_table::value.eq(value), control_table::set_at.eq(at.0), control_table::set_by.eq(by));
    let changed = diesel::update(control_table::table.find(name)).set(set).prepared().execute(tx.conn())?;
    if changed == 1 {
        return Ok(());
    }
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(control_table::table)
            .values((control_table::name.eq(name), set))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        // Set by another worker at this moment: the later word holds.
        Err(StoreError::Duplicate) => {
            diesel::update(control_table::table.find(name)).set(set).prepared().execute(tx.conn())?;
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// What `ehr` did not grant of what was asked for, when it was last heard to grant less; empty when it granted all.
///
/// # Errors
/// [`StoreError`].
pub fn scope_lacking(conn: &mut Conn, ehr: &EhrId) -> Result<String, StoreError> {
    Ok(control(conn, &scope_lacking_of(ehr))?.unwrap_or_default())
}

/// Notes it, with a line in the audit where it is news.
///
/// # Errors
/// [`StoreError`].
pub fn set_scope_lacking(tx: &mut Tx, ehr: &EhrId, lacking: &str, at: UtcMillis) -> Result<(), StoreError> {
    if scope_lacking(tx.conn(), ehr)? == lacking {
        return Ok(());
    }
    set_control(tx, &scope_lacking_of(ehr), lacking, at, "chartseal")?;
    record(tx, Chain::Ehr(ehr.clone()), at, AuditEvent::Granted { lacking: lacking.to_owned() })
}

fn scope_lacking_of(ehr: &EhrId) -> String {
    format!("scope_lacking:{ehr}")
}

/// # Errors
/// [`StoreError`].
pub fn paused(conn: &mut Conn) -> Result<Pause, StoreError> {
    let row: Option<(String, i64, String)> = control_table::table
        .find(PAUSE)
        .select((control_table::value, control_table::set_at, control_table::set_by))
        .first(conn)
        .optional()?;
    Ok(match row {
        None => Pause::Running,
        Some((why, since, by)) => Pause::Paused { why, since: UtcMillis(since), by },
    })
}

/// Returns the pause that this one takes over from.
///
/// # Errors
/// [`StoreError`].
pub fn pause(tx: &mut Tx, why: &str, at: UtcMillis, by: &str) -> Result<Pause, StoreError> {
    let before = paused(tx.conn())?;
    set_control(tx, PAUSE, why, at, by)?;
    Ok(before)
}

/// Returns whether there was a pause to end.
///
/// # Errors
/// [`StoreError`].
pub fn resume(tx: &mut Tx, at: UtcMillis, by: &str) -> Result<Pause, StoreError> {
    let before = paused(tx.conn())?;
    diesel::delete(control_table::table.find(PAUSE)).prepared().execute(tx.conn())?;
    if before != Pause::Running {
        set_control(tx, RESUMED, "", at, by)?;
    }
    Ok(before)
}

/// Notes that `ehr` called its hook at `at`, to the minute: the events themselves are soon deleted. Rarely written, since
/// many calls at once would wait for each other's commit at this one row.
///
/// # Errors
/// [`StoreError`].
pub fn hook_called(tx: &mut Tx, ehr: &EhrId, at: UtcMillis) -> Result<(), StoreError> {
    if last_hook_at(tx.conn(), ehr)?.is_some_and(|noted| at.since(noted) < HOOK_NOTED_EVERY) {
        return Ok(());
    }
    set_control(tx, &hook_row(ehr), "called", at, ehr.as_str())
}

/// When `ehr` last called its hook.
///
/// # Errors
/// [`StoreError`].
pub fn last_hook_at(conn: &mut Conn, ehr: &EhrId) -> Result<Option<UtcMillis>, StoreError> {
    let at: Option<i64> =
        control_table::table.find(hook_row(ehr)).select(control_table::set_at).first(conn).optional()?;
    Ok(at.map(UtcMillis))
}

fn hook_row(ehr: &EhrId) -> String {
    format!("hook:{ehr}")
}

/// Notes that `replica` serves and that what it writes is kept.
///
/// # Errors
/// [`StoreError`].
pub fn beat(tx: &mut Tx, replica: &str, at: UtcMillis) -> Result<(), StoreError> {
    set_control(tx, &format!("beat:{replica}"), "serves", at, replica)
}

/// When somebody last said that sending goes on.
///
/// # Errors
/// [`StoreError`].
pub fn resumed_at(conn: &mut Conn) -> Result<Option<UtcMillis>, StoreError> {
    let at: Option<i64> = control_table::table.find(RESUMED).select(control_table::set_at).first(conn).optional()?;
    Ok(at.map(UtcMillis))
}

/// How often this database has been restored from a backup, as a number that never falls.
///
/// # Errors
/// [`StoreError`].
pub fn generation(conn: &mut Conn) -> Result<Option<i64>, StoreError> {
    control(conn, GENERATION)?
        .map(|text| text.parse().map_err(|_| StoreError::BadRow { column: "control.generation" }))
        .transpose()
}

/// # Errors
/// [`StoreError`].
pub fn installation_id(conn: &mut Conn) -> Result<Option<String>, StoreError> {
    control(conn, INSTALLATION)
}

/// What the database knows of a key: never the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMark {
    pub kind: String,
    pub name: String,
    pub fingerprint: String,
    pub made_at: UtcMillis,
    pub destroyed_at: Option<UtcMillis>,
}

/// Notes a key under which something of this transaction is sealed.
///
/// # Errors
/// [`StoreError::Refused`] where another key of that name was used before.
pub fn use_dated_key(tx: &mut Tx, kind: &str, name: &str, fingerprint: &str, at: UtcMillis) -> Result<(), StoreError> {
    if mark_key(tx, kind, name, fingerprint, at)? == fingerprint {
        Ok(())
    } else {
        Err(StoreError::Refused { why: "a dated key that was replaced" })
    }
}

/// Notes a key's fingerprint, with its audit line where it is new; returns the one that is stored, which differs when
/// another key of that name was used before.
///
/// # Errors
/// [`StoreError`].
pub fn mark_key(tx: &mut Tx, kind: &str, name: &str, fingerprint: &str, at: UtcMillis) -> Result<String, StoreError> {
    let stored: Option<String> =
        key_mark::table.find((kind, name)).select(key_mark::fingerprint).first(tx.conn()).optional()?;
    if let Some(stored) = stored {
        return Ok(stored);
    }
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(key_mark::table)
            .values((
                key_mark::kind.eq(kind),
                key_mark::name.eq(name),
                key_mark::fingerprint.eq(fingerprint),
                key_mark::made_at.eq(at.0),
            ))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) => {
            let (kind, name, fingerprint) = (kind.to_owned(), name.to_owned(), fingerprint.to_owned());
            let event = AuditEvent::KeyMade { kind, name, fingerprint: fingerprint.clone() };
            record(tx, Chain::Installation, at, event)?;
            Ok(fingerprint)
        }
        Err(StoreError::Duplicate) => {
            Ok(key_mark::table.find((kind, name)).select(key_mark::fingerprint).first(tx.conn())?)
        }
        Err(other) => Err(other),
    }
}

/// Returns how many marks this changed: 0 when it was noted before, or when the key never had a mark.
///
/// # Errors
/// [`StoreError`].
pub fn destroyed_key(tx: &mut Tx, kind: &str, name: &str, at: UtcMillis) -> Result<usize, StoreError> {
    Ok(diesel::update(key_mark::table.find((kind, name)).filter(key_mark::destroyed_at.is_null()))
        .set(key_mark::destroyed_at.eq(at.0))
        .prepared()
        .execute(tx.conn())?)
}

/// Forgets a key that is lost, so that another of its name may be used; what it sealed must have ended.
///
/// # Errors
/// [`StoreError`].
pub fn forget_key(tx: &mut Tx, kind: &str, name: &str) -> Result<(), StoreError> {
    diesel::delete(key_mark::table.find((kind, name))).prepared().execute(tx.conn())?;
    Ok(())
}

/// # Errors
/// [`StoreError`].
pub fn key_marks(conn: &mut Conn) -> Result<Vec<KeyMark>, StoreError> {
    let rows: Vec<(String, String, String, i64, Option<i64>)> = key_mark::table
        .order((key_mark::kind.asc(), key_mark::name.asc()))
        .select((key_mark::kind, key_mark::name, key_mark::fingerprint, key_mark::made_at, key_mark::destroyed_at))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(kind, name, fingerprint, made_at, destroyed_at)| KeyMark {
            kind,
            name,
            fingerprint,
            made_at: UtcMillis(made_at),
            destroyed_at: destroyed_at.map(UtcMillis),
        })
        .collect())
}
