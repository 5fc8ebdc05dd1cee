//! The few statements that the two databases spell differently.

use diesel::connection::{AnsiTransactionManager, Connection, SimpleConnection, TransactionManager};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};

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

// Declared, so that their statements are prepared once per connection: text given as SQL is parsed at each call. What they
// return is void, and never read.
diesel::define_sql_function! { fn pg_advisory_xact_lock(key: BigInt) -> Text; }
diesel::define_sql_function! { fn pg_advisory_xact_lock_shared(key: BigInt) -> Text; }
diesel::define_sql_function! { fn pg_try_advisory_xact_lock(key: BigInt) -> Bool; }
diesel::define_sql_function! { fn hashtextextended(name: Text, seed: BigInt) -> BigInt; }

/// Parts the keys of names from other uses of advisory locks.
const NAMES: i64 = 7;

/// Holds `name` until the transaction ends, so that two writers do not extend one chain at once. SQLite
/// has a single writer and needs nothing.
pub(super) fn lock_name(conn: &mut Conn, name: &str) -> Result<(), StoreError> {
    match conn {
        Conn::Postgres(conn) => {
            diesel::select(pg_advisory_xact_lock(hashtextextended(name, NAMES))).execute(conn)?;
        }
        Conn::Sqlite(_) => {}
    }
    Ok(())
}

/// Whether names are held against anybody: SQLite has a single writer, and nothing needs to be looked up to be held.
pub(super) const fn has_many_writers(conn: &Conn) -> bool {
    match conn {
        Conn::Postgres(_) => true,
        Conn::Sqlite(_) => false,
    }
}

/// Holds `name` beside others who hold it so, and keeps off whoever wants it by [`lock_name`], until the transaction ends.
pub(super) fn lock_name_shared(conn: &mut Conn, name: &str) -> Result<(), StoreError> {
    match conn {
        Conn::Postgres(conn) => {
            diesel::select(pg_advisory_xact_lock_shared(hashtextextended(name, NAMES))).execute(conn)?;
        }
        Conn::Sqlite(_) => {}
    }
    Ok(())
}

/// [`lock_name`], unless another transaction holds it: `false` then, at once.
pub(super) fn try_lock_name(conn: &mut Conn, name: &str) -> Result<bool, StoreError> {
    match conn {
        Conn::Postgres(conn) => {
            Ok(diesel::select(pg_try_advisory_xact_lock(hashtextextended(name, NAMES))).get_result(conn)?)
        }
        Conn::Sqlite(_) => Ok(true),
    }
}

/// Lets those who lease the first few of what is due do so one after the other, until the transaction ends: on PostgreSQL
/// those who lease at once would choose the same rows, and wait for each other in vain. Its planner, who cannot know how many
/// of the due are leased, is kept from sorting all that waits where an index has the order.
pub(super) fn lease_in_turn(conn: &mut Conn, name: &str) -> Result<(), StoreError> {
    lock_name(conn, name)?;
    match conn {
        Conn::Postgres(conn) => Ok(conn.batch_execute("SET LOCAL enable_sort = off")?),
        Conn::Sqlite(_) => Ok(()),
    }
}

/// An arbitrary number that only appended lines lock.
const LINES: i64 = 7_135_061_130;

/// Holds the chain that is to be extended, and tells [`wait_for_lines`] that this transaction is about to take a line's
/// number.
pub(super) fn lock_chain_for_line(conn: &mut Conn, chain: &str) -> Result<(), StoreError> {
    match conn {
        Conn::Postgres(conn) => {
            let held = pg_advisory_xact_lock(hashtextextended(chain, NAMES));
            diesel::select((held, pg_advisory_xact_lock_shared(LINES))).execute(conn)?;
        }
        Conn::Sqlite(_) => {}
    }
    Ok(())
}

/// Waits until every transaction has ended that had taken a line's number before this call. PostgreSQL gives numbers
/// in the order of asking, not of committing; SQLite has a single writer.
pub(super) fn wait_for_lines(conn: &mut Conn) -> Result<(), StoreError> {
    match conn {
        Conn::Postgres(conn) => {
            // Outside a transaction: taken and given back by the statement itself.
            diesel::select(pg_advisory_xact_lock(LINES)).execute(conn)?;
        }
        Conn::Sqlite(_) => {}
    }
    Ok(())
}

/// Begins a transaction that will write: a deferred one that reads first cannot be upgraded under another process.
pub(super) fn begin_immediate(conn: &mut Conn) -> Result<(), StoreError> {
    match conn {
        Conn::Postgres(conn) => AnsiTransactionManager::begin_transaction(conn)?,
        Conn::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")?,
    }
    Ok(())
}

/// Whether the database itself still holds the transaction open: SQLite ends one by itself when the disk is full.
pub(super) fn is_in_transaction(conn: &mut Conn) -> bool {
    match conn {
        // PostgreSQL only ever marks it as failed.
        Conn::Postgres(_) => true,
        // Refused inside a transaction, and nowhere else.
        Conn::Sqlite(conn) => conn.batch_execute("BEGIN").is_err(),
    }
}

#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

/// Drives deleted bytes out of SQLite's write-ahead log. `false` while a reader still needs it: asked for again
/// later, since waiting here would stop all writing.
pub(super) fn truncate_log(conn: &mut Conn) -> bool {
    match conn {
        Conn::Postgres(_) => true,
        Conn::Sqlite(conn) => {
            let checkpoint = conn
                .batch_execute("PRAGMA busy_timeout = 50")
                .and_then(|()| diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result::<Checkpoint>(conn));
            let restored = conn.batch_execute(SQLITE_WAIT);
            restored.is_ok() && checkpoint.is_ok_and(|checkpoint| checkpoint.busy == 0)
        }
    }
}

/// How long a statement waits for another process.
pub(super) const SQLITE_WAIT: &str = "PRAGMA busy_timeout = 10000";

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
