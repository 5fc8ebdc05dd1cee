//! The few statements that the two databases spell differently.

use diesel::connection::{Connection, TransactionManager};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::conn::Conn;
use super::error::StoreError;
use crate::base::UtcMillis;

/// The database's time. For SQLite that is this machine's.
pub(super) fn now(conn: &mut Conn) -> Result<UtcMillis, StoreError> {
    let at: i64 = match conn {
        Conn::Postgres(conn) => {
            diesel::select(sql::<BigInt>("(extract(epoch from clock_timestamp()) * 1000)::bigint")).get_result(conn)?
        }
        Conn::Sqlite(conn) => {
            diesel::select(sql::<BigInt>("CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)")).get_result(conn)?
        }
    };
    Ok(UtcMillis(at))
}

/// Holds `name` until the transaction ends, so that two writers do not extend one chain at once. SQLite
/// has a single writer and needs nothing.
pub(super) fn lock_name(conn: &mut Conn, name: &str) -> Result<(), StoreError> {
    match conn {
        Conn::Postgres(conn) => {
            diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))")
                .bind::<Text, _>(name)
                .execute(conn)?;
        }
        Conn::Sqlite(_) => {}
    }
    Ok(())
}

pub(super) fn is_broken(conn: &mut Conn) -> bool {
    match conn {
        Conn::Postgres(conn) => {
            <diesel::PgConnection as Connection>::TransactionManager::is_broken_transaction_manager(conn)
        }
        Conn::Sqlite(conn) => {
            <diesel::SqliteConnection as Connection>::TransactionManager::is_broken_transaction_manager(conn)
        }
    }
}
