//! SQLite's one writer: a thread that commits many deeds at once.
//!
//! A deed runs in its own savepoint, so that one refusal does not take its neighbours along; callers are
//! answered after the commit. Measured reason: with one commit per deed a busy host falls to a fiftieth of
//! the rate, with group commit to a third.
//! Must stay true: when SQLite gives a transaction up by itself (a full disk), nothing more runs in its batch:
//! a savepoint outside a transaction would commit by itself, untold to the witness.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::connection::{Connection, TransactionManager};
use tokio::sync::oneshot;

use super::conn::{Aftermath, Conn, DeathWitness, Erased, Tx, perform, tell};
use super::dialect;
use super::error::StoreError;
use crate::base::{millis, seconds};

/// Deeds in one commit, at most.
const BATCH_MAX: usize = 64;
/// How long the first deed of a batch waits for company, when the last batch had some. One that comes alone after another
/// is committed at once: on an idle service nobody would come.
const BATCH_WAIT: Duration = millis(1);
/// Deleted bytes stay in the write-ahead log until it is truncated; at most one truncation per this time.
const TRUNCATE_EVERY: Duration = seconds(1);

type Transactions = <Conn as Connection>::TransactionManager;
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Deed = Box<dyn FnOnce(&mut Conn) -> Performed + Send>;
type Connect = Box<dyn Fn() -> Result<Conn, StoreError> + Send>;

/// A deed that ran in its savepoint.
struct Performed {
    after: Aftermath,
    done: Done,
    batch: Batch,
}

/// Whether the transaction around the savepoints still stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    Stands,
    Lost,
}

/// What a batch leaves to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    /// Any commit may have emptied something (a link's secret, a card, a patient's key): its bytes must be driven out
    /// of the log.
    Truncate,
    /// The connection can no longer be relied on.
    Reconnect,
}

/// The writer thread. Dropping it waits for the thread to end: whoever dropped the last store can open the database, and
/// what its witness holds, anew.
pub(super) struct Writer {
    /// `None` only while the writer is being dropped: the thread ends when there is nobody left to send.
    deeds: Option<Sender<Deed>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connect: Connect, witness: Arc<dyn DeathWitness>) -> Result<Self, StoreError> {
        let conn = connect()?;
        let (sender, deeds) = channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(conn, &connect, &deeds, witness.as_ref()))
            .map_err(|_| StoreError::CannotOpen { why: "the writer thread cannot be started".to_owned() })?;
        Ok(Self { deeds: Some(sender), thread: Some(thread) })
    }

    pub(super) async fn run<T, F>(&self, holder: Arc<str>, deed: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let boxed: Deed = Box::new(move |conn| {
            let (outcome, batch) = in_savepoint(conn, &holder, deed);
            let (result, after) = match outcome {
                Ok((value, after)) => (Ok(value), after),
                Err(error) => (Err(error), Aftermath::default()),
            };
            let done: Done = Box::new(move |committed| {
                // The caller may have gone away; the deed stands all the same.
                let _ = answer.send(committed.and(result));
            });
            Performed { after, done, batch }
        });
        let stopped = StoreError::Unavailable { why: "it is busy or has stopped" };
        if self.deeds.as_ref().is_none_or(|deeds| deeds.send(boxed).is_err()) {
            return Err(stopped);
        }
        answered.await.unwrap_or(Err(stopped))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.deeds.take());
        // A deed may hold the last store; its thread cannot wait for itself.
        if let Some(thread) = self.thread.take_if(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn in_savepoint<T>(
    conn: &mut Conn,
    holder: &str,
    deed: impl FnOnce(&mut Tx) -> Result<T, StoreError>,
) -> (Result<(T, Aftermath), StoreError>, Batch) {
    let depth_before = depth(conn);
    if let Err(error) = Transactions::begin_transaction(conn) {
        return (Err(error.into()), Batch::Lost);
    }
    // Caught inside the savepoint, so that a panic rolls back its own deed and no other.
    let outcome = catch_unwind(AssertUnwindSafe(|| perform(conn, holder, deed)))
        .unwrap_or(Err(StoreError::Refused { why: "a deed that panicked" }));
    match outcome {
        Ok(kept) => match Transactions::commit_transaction(conn) {
            Ok(()) => (Ok(kept), Batch::Stands),
            Err(error) => (Err(error.into()), Batch::Lost),
        },
        Err(error) => {
            // A panic may have left savepoints of the deed's own open.
            while depth(conn) > depth_before {
                if Transactions::rollback_transaction(conn).is_err() {
                    return (Err(error), Batch::Lost);
                }
            }
            let batch = if dialect::is_in_transaction(conn) { Batch::Stands } else { Batch::Lost };
            (Err(error), batch)
        }
    }
}

/// How many transactions and savepoints are open; 0 on a connection that is beyond saying.
fn depth(conn: &mut Conn) -> u32 {
    let status = Transactions::transaction_manager_status_mut(conn);
    status.transaction_depth().ok().flatten().map_or(0, std::num::NonZeroU32::get)
}

fn run(mut conn: Conn, connect: &Connect, deeds: &Receiver<Deed>, witness: &dyn DeathWitness) {
    let mut truncated = Instant::now();
    let mut truncate_owed = false;
    let mut wait = BATCH_WAIT;
    loop {
        let after = match deeds.recv_timeout(TRUNCATE_EVERY) {
            Ok(first) => {
                let batch = gather(first, deeds, wait);
                wait = if batch.len() > 1 { BATCH_WAIT } else { Duration::ZERO };
                commit(&mut conn, batch, witness)
            }
            Err(RecvTimeoutError::Timeout) => After::Nothing,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match after {
            After::Nothing => {}
            After::Truncate => truncate_owed = true,
            // Should it fail, the next batch fails too and tries again.
            After::Reconnect => conn = connect().unwrap_or(conn),
        }
        if truncate_owed && truncated.elapsed() >= TRUNCATE_EVERY {
            truncate_owed = !dialect::truncate_log(&mut conn);
            truncated = Instant::now();
        }
    }
    if truncate_owed {
        dialect::truncate_log(&mut conn);
    }
}

fn gather(first: Deed, deeds: &Receiver<Deed>, wait: Duration) -> Vec<Deed> {
    let mut batch = vec![first];
    let since = Instant::now();
    while batch.len() < BATCH_MAX {
        match deeds.recv_timeout(wait.saturating_sub(since.elapsed())) {
            Ok(deed) => batch.push(deed),
            Err(_) => break,
        }
    }
    batch
}

/// Runs a batch as one transaction and answers every caller.
fn commit(conn: &mut Conn, batch: Vec<Deed>, witness: &dyn DeathWitness) -> After {
    // Deeds that are dropped unrun: each caller sees its channel close and hears that the database is busy.
    if dialect::begin_immediate(conn).is_err() {
        return After::Reconnect;
    }
    let mut deaths = Vec::new();
    let mut erased = Erased::Nothing;
    let mut callers = Vec::with_capacity(batch.len());
    let mut stands = Batch::Stands;
    for deed in batch {
        let performed = deed(conn);
        deaths.extend(performed.after.deaths);
        erased = erased.max(performed.after.erased);
        callers.push(performed.done);
        stands = performed.batch;
        if stands == Batch::Lost {
            break;
        }
    }
    let told = match stands {
        Batch::Stands => tell(witness, &deaths),
        Batch::Lost => Err(StoreError::Unavailable { why: "the database gave the transaction up" }),
    };
    let committed = told.and_then(|()| Ok(Transactions::commit_transaction(conn)?));
    let undone = committed.is_ok() || Transactions::rollback_transaction(conn).is_ok();
    let after = match (&committed, undone) {
        (Ok(()), _) if erased == Erased::Nothing => After::Nothing,
        (Ok(()), _) => After::Truncate,
        (Err(StoreError::JournalRefused { .. }), true) => After::Nothing,
        (Err(_), _) => After::Reconnect,
    };
    for done in callers {
        done(match &committed {
            Ok(()) => Ok(()),
            Err(StoreError::JournalRefused { why }) => Err(StoreError::JournalRefused { why: why.clone() }),
            Err(StoreError::Unavailable { why }) => Err(StoreError::Unavailable { why }),
            Err(_) => Err(StoreError::Unavailable { why: "the commit failed" }),
        });
    }
    after
}
