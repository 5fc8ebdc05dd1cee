//! SQLite's one writer: a thread that commits many deeds at once.
//!
//! A deed runs in its own savepoint, so that one refusal does not take its neighbours along; callers are
//! answered after the commit. Measured reason: with one commit per deed a busy host falls to a fiftieth of
//! the rate, with group commit to a third.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, Connection, SimpleConnection};
use tokio::sync::oneshot;

use super::conn::{Conn, DeathWitness, LinkDeath, Tx, perform, tell};
use super::error::StoreError;
use crate::base::{millis, seconds};

/// Deeds in one commit, at most.
const BATCH_MAX: usize = 64;
/// How long the first deed of a batch waits for company.
const BATCH_WAIT: Duration = millis(1);
/// Deleted bytes stay in the write-ahead log until it is truncated; at most one truncation per this time.
const TRUNCATE_EVERY: Duration = seconds(1);

type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Deed = Box<dyn FnOnce(&mut Conn) -> (Vec<LinkDeath>, Done) + Send>;

pub(super) struct Writer(Sender<Deed>);

impl Writer {
    pub(super) fn start(conn: Conn, witness: Arc<dyn DeathWitness>) -> Result<Self, StoreError> {
        let (sender, deeds) = channel();
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(conn, &deeds, witness.as_ref()))
            .map_err(|_| StoreError::CannotOpen { why: "the writer thread cannot be started".to_owned() })?;
        Ok(Self(sender))
    }

    pub(super) async fn run<T, F>(&self, deed: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let boxed: Deed = Box::new(move |conn| {
            // Caught inside the savepoint, so that a panic rolls back its own deed and no other.
            let outcome = conn.transaction(|conn| {
                catch_unwind(AssertUnwindSafe(|| perform(conn, deed)))
                    .unwrap_or(Err(StoreError::Refused { why: "a deed that panicked" }))
            });
            let (result, deaths) = match outcome {
                Ok((value, deaths)) => (Ok(value), deaths),
                Err(error) => (Err(error), Vec::new()),
            };
            let done: Done = Box::new(move |committed| {
                // The caller may have gone away; the deed stands all the same.
                let _ = answer.send(committed.and(result));
            });
            (deaths, done)
        });
        let stopped = StoreError::Unavailable { why: "it is busy or has stopped" };
        if self.0.send(boxed).is_err() {
            return Err(stopped);
        }
        answered.await.unwrap_or(Err(stopped))
    }
}

fn run(mut conn: Conn, deeds: &Receiver<Deed>, witness: &dyn DeathWitness) {
    let mut truncated = Instant::now();
    let mut truncate_owed = false;
    loop {
        match deeds.recv_timeout(TRUNCATE_EVERY) {
            Ok(first) => truncate_owed |= commit(&mut conn, gather(first, deeds), witness),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if truncate_owed && truncated.elapsed() >= TRUNCATE_EVERY {
            truncate_owed = conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);").is_err();
            truncated = Instant::now();
        }
    }
}

fn gather(first: Deed, deeds: &Receiver<Deed>) -> Vec<Deed> {
    let mut batch = vec![first];
    let since = Instant::now();
    while batch.len() < BATCH_MAX {
        match deeds.recv_timeout(BATCH_WAIT.saturating_sub(since.elapsed())) {
            Ok(deed) => batch.push(deed),
            Err(_) => break,
        }
    }
    batch
}

/// Runs a batch as one transaction and answers every caller; returns whether deleted bytes must be
/// driven out of the log.
fn commit(conn: &mut Conn, batch: Vec<Deed>, witness: &dyn DeathWitness) -> bool {
    if begin(conn).is_err() {
        // Dropped unrun: each caller sees its channel close and hears that the database is busy.
        return false;
    }
    let mut deaths = Vec::new();
    let mut callers = Vec::with_capacity(batch.len());
    for deed in batch {
        let (died, done) = deed(conn);
        deaths.extend(died);
        callers.push(done);
    }
    let committed = tell(witness, &deaths).and_then(|()| end(conn));
    if committed.is_err() {
        undo(conn);
    }
    let failure = committed.err();
    for done in callers {
        done(match &failure {
            None => Ok(()),
            Some(StoreError::JournalRefused { why }) => Err(StoreError::JournalRefused { why: why.clone() }),
            Some(_) => Err(StoreError::Unavailable { why: "the commit failed" }),
        });
    }
    failure.is_none() && !deaths.is_empty()
}

fn begin(conn: &mut Conn) -> Result<(), StoreError> {
    match conn {
        // Immediate: a deferred transaction that reads first cannot be upgraded under another process.
        Conn::Sqlite(conn) => Ok(AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")?),
        Conn::Postgres(_) => Err(StoreError::Refused { why: "the writer thread is for SQLite" }),
    }
}

fn end(conn: &mut Conn) -> Result<(), StoreError> {
    use diesel::connection::TransactionManager;
    match conn {
        Conn::Sqlite(conn) => Ok(AnsiTransactionManager::commit_transaction(conn)?),
        Conn::Postgres(_) => Err(StoreError::Refused { why: "the writer thread is for SQLite" }),
    }
}

fn undo(conn: &mut Conn) {
    use diesel::connection::TransactionManager;
    match conn {
        Conn::Sqlite(conn) => {
            if AnsiTransactionManager::rollback_transaction(conn).is_err() {
                tracing::error!("a rollback failed; SQLite has already ended the transaction");
            }
        }
        Conn::Postgres(_) => {}
    }
}
