//! The schema's versions: one folder per database, equal names, run under a lock.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::conn::Conn;
use super::error::StoreError;

pub(super) const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
pub(super) const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// A migration, or waiting for another replica's, may take longer than any statement of a request.
const POSTGRES_PATIENCE: &str = "SET statement_timeout = 0; SET lock_timeout = '10min'";
/// An arbitrary number that only Chartseal's migrations lock.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_lock(7135061129)";
const POSTGRES_UNLOCK: &str = "SELECT pg_advisory_unlock(7135061129)";

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
    let ran = match conn {
        Conn::Postgres(conn) => {
            conn.batch_execute(POSTGRES_PATIENCE)?;
            conn.batch_execute(POSTGRES_LOCK)?;
            let ran = pending(conn, POSTGRES);
            conn.batch_execute(POSTGRES_UNLOCK)?;
            ran
        }
        Conn::Sqlite(conn) => {
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")?;
            let ran = pending(conn, SQLITE);
            if ran.is_ok() {
                AnsiTransactionManager::commit_transaction(conn)?;
            } else {
                AnsiTransactionManager::rollback_transaction(conn)?;
            }
            ran
        }
    };
    ran.map_err(|error| {
        tracing::error!(%error, "a migration failed");
        StoreError::CannotOpen { why: "a migration failed; nothing of it was kept, the log says more".to_owned() }
    })
}

fn pending<D, C>(conn: &mut C, migrations: EmbeddedMigrations) -> diesel::migration::Result<Vec<String>>
where
    D: diesel::backend::Backend,
    C: MigrationHarness<D> + Connection<Backend = D>,
    EmbeddedMigrations: MigrationSource<D>,
{
    Ok(conn.run_pending_migrations(migrations)?.into_iter().map(|version| version.to_string()).collect())
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
