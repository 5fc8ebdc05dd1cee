//! The schema's versions: one folder per database, equal names, run under a lock.
//!
//! Must stay true: what is missing runs in one transaction, whole or not at all; each step that ran gets its audit line once,
//! but only when it is known that keys and database belong together: lines that were added before would make an older
//! database, put back under a newer program, look as new as the one that was lost.

use diesel::connection::{Connection, SimpleConnection, TransactionManager};
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::audit_log::record;
use super::conn::{Conn, NOBODY, Tx, perform};
use super::control::set_control;
use super::dialect;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::control;
use crate::audit::{AuditEvent, Chain};
use crate::base::UtcMillis;

pub(super) const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
pub(super) const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// A migration, or waiting for another replica's, may take longer than any statement of a request.
const POSTGRES_PATIENCE: &str = "SET statement_timeout = 0; SET lock_timeout = '10min'";
/// An arbitrary number that only Chartseal's migrations lock.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_lock(7135061129)";
const POSTGRES_UNLOCK: &str = "SELECT pg_advisory_unlock(7135061129)";

/// The rows of what ran and has no audit line yet.
const RAN: &str = "migrated:";

/// Of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

type Transactions = <Conn as Connection>::TransactionManager;

/// How a database's schema stands to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    Current,
    /// `chartseal migrate` is needed.
    Behind,
    /// A newer version has used it.
    Ahead,
}

/// Brings the schema up to date and returns the names of the migrations that ran.
///
/// # Errors
/// [`StoreError::CannotOpen`] with the reason.
pub fn migrate(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    prepare_for_it(conn, &[POSTGRES_PATIENCE, POSTGRES_LOCK], "PRAGMA foreign_keys = OFF")?;
    let ran = run_noted(conn);
    prepare_for_it(conn, &[POSTGRES_UNLOCK], "PRAGMA foreign_keys = ON")?;
    ran.map_err(|error| {
        tracing::error!(%error, "a migration failed");
        StoreError::CannotOpen { why: "a migration failed; nothing of it was kept, the log says more".to_owned() }
    })
}

/// Writes the audit lines of the migrations that ran; returns how many there were.
///
/// # Errors
/// [`StoreError`].
pub fn audit_migrations(tx: &mut Tx, at: UtcMillis) -> Result<usize, StoreError> {
    let mut count = 0;
    for (row, version, ran_at) in unaudited_migrations(tx.conn())? {
        // Another process may be at it.
        if diesel::delete(control::table.find(&row)).prepared().execute(tx.conn())? == 1 {
            let name = row.trim_start_matches(RAN).to_owned();
            let event = AuditEvent::Migrated { name, version, ran_at: UtcMillis(ran_at) };
            record(tx, Chain::Installation, at, event)?;
            count += 1;
        }
    }
    Ok(count)
}

/// A migration's row, the program's version, and when it ran.
pub type RanRow = (String, String, i64);

/// Those that ran and have no audit line yet.
///
/// # Errors
/// [`StoreError`].
pub fn unaudited_migrations(conn: &mut Conn) -> Result<Vec<RanRow>, StoreError> {
    Ok(control::table
        .filter(control::name.like(format!("{RAN}%")))
        .order(control::name.asc())
        .select((control::name, control::value, control::set_at))
        .load(conn)?)
}

/// On SQLite a table whose constraints change is made anew, which no reference to it outlives while references are watched
/// (<https://www.sqlite.org/lang_altertable.html#otheralter>): they are looked at when all is done ([`require_references`]).
fn prepare_for_it(conn: &mut Conn, on_postgres: &[&str], on_sqlite: &str) -> Result<(), StoreError> {
    match conn {
        Conn::Postgres(conn) => Ok(on_postgres.iter().try_for_each(|statement| conn.batch_execute(statement))?),
        Conn::Sqlite(conn) => Ok(conn.batch_execute(on_sqlite)?),
    }
}

/// Runs what is missing and notes it, in one transaction.
fn run_noted(conn: &mut Conn) -> diesel::migration::Result<Vec<String>> {
    dialect::begin_immediate(conn)?;
    let ran = run(conn).and_then(|ran| {
        if !ran.is_empty() {
            require_references(conn)?;
        }
        note(conn, &ran)?;
        Ok(ran)
    });
    if ran.is_ok() {
        Transactions::commit_transaction(conn)?;
    } else {
        Transactions::rollback_transaction(conn)?;
    }
    ran
}

fn run(conn: &mut Conn) -> diesel::migration::Result<Vec<String>> {
    match conn {
        Conn::Postgres(conn) => pending(conn, POSTGRES),
        Conn::Sqlite(conn) => pending(conn, SQLITE),
    }
}

/// Every row that another refers to is there.
fn require_references(conn: &mut Conn) -> Result<(), StoreError> {
    let Conn::Sqlite(conn) = conn else { return Ok(()) };
    let lost: i64 = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "(SELECT count(*) FROM pragma_foreign_key_check)",
    ))
    .get_result(conn)?;
    if lost == 0 { Ok(()) } else { Err(StoreError::CannotOpen { why: "a migration lost rows".to_owned() }) }
}

fn note(conn: &mut Conn, ran: &[String]) -> Result<(), StoreError> {
    let at = dialect::now(conn)?;
    let noted = perform(conn, NOBODY, |tx| {
        ran.iter().try_for_each(|name| set_control(tx, &format!("{RAN}{name}"), VERSION, at, "migration"))
    });
    noted.map(|((), _)| ())
}

fn pending<D, C>(conn: &mut C, migrations: EmbeddedMigrations) -> diesel::migration::Result<Vec<String>>
where
    D: diesel::backend::Backend,
    C: MigrationHarness<D>,
    EmbeddedMigrations: MigrationSource<D>,
{
    let missing = conn.pending_migrations(migrations)?;
    let ran = missing.iter().map(|migration| {
        conn.run_migration(migration)?;
        Ok(migration.name().to_string())
    });
    ran.collect()
}

/// Refuses a schema that is older or newer than this version knows.
pub(super) fn require_current(conn: &mut Conn) -> Result<(), StoreError> {
    match state(conn)? {
        MigrationState::Current => Ok(()),
        MigrationState::Behind => Err(StoreError::CannotOpen {
            why:
                "the schema is older than this version: run `chartseal migrate` (or `serve`, which migrates by itself)"
                    .to_owned(),
        }),
        MigrationState::Ahead => Err(StoreError::CannotOpen {
            why: "a newer version of Chartseal has used this database: start that version".to_owned(),
        }),
    }
}

pub(super) fn state(conn: &mut Conn) -> Result<MigrationState, StoreError> {
    let (applied, known) = match conn {
        Conn::Postgres(conn) => (applied(conn)?, known::<diesel::pg::Pg>(&POSTGRES)?),
        Conn::Sqlite(conn) => (applied(conn)?, known::<diesel::sqlite::Sqlite>(&SQLITE)?),
    };
    Ok(if applied.iter().any(|version| !known.contains(version)) {
        MigrationState::Ahead
    } else if known.iter().any(|version| !applied.contains(version)) {
        MigrationState::Behind
    } else {
        MigrationState::Current
    })
}

fn applied<D, C>(conn: &mut C) -> Result<Vec<String>, StoreError>
where
    D: diesel::backend::Backend,
    C: MigrationHarness<D>,
{
    let versions = conn
        .applied_migrations()
        .map_err(|_| StoreError::CannotOpen { why: "the list of migrations cannot be read".to_owned() })?;
    Ok(versions.into_iter().map(|version| version.to_string()).collect())
}

fn known<D: diesel::backend::Backend>(source: &EmbeddedMigrations) -> Result<Vec<String>, StoreError>
where
    EmbeddedMigrations: MigrationSource<D>,
{
    let all: Vec<Box<dyn Migration<D>>> =
        source.migrations().map_err(|_| StoreError::CannotOpen { why: "this build holds no migrations".to_owned() })?;
    Ok(all.iter().map(|migration| migration.name().version().to_string()).collect())
}
