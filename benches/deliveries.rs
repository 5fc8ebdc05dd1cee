//! Figures of the store on SQLite: deliveries released and links ended, each commit durable, audited and witnessed as in
//! production, beside SQLite itself writing the same rows.
//!
//! The reference is SQLite alone: a database of the same schema with the same settings (WAL, `synchronous = FULL`,
//! `secure_delete`, foreign keys) takes over the very rows that our rounds left, sixteen deliveries in a commit, by
//! `INSERT … SELECT` and `UPDATE … FROM` of an attached copy: no driver, no typed rows, no savepoints, no leases, no
//! hash chains, each row written once in its last form. It is what this disk and SQLite can do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::duration_suboptimal_units,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::single_match_else,
    reason = "a bench that meets the unexpected should end there and say so; it shares the tests' support"
)]

mod ground;
mod measure;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chartseal::audit::Actor;
use chartseal::base::{DeliveryId, OperatorName};
use chartseal::record::{LinkEvent, RevokedBy};
use chartseal::store::{self, Store, StoreError, Tx};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use ground::{House, Inside, stage};
use measure::{Figure, Goal, Measure, millis, number, percentile, timed};
use support::clinic::Wishes;
use tokio::runtime::Runtime;

/// Callers that wait for a commit at the same time.
const AT_ONCE: usize = 64;
/// Deliveries in one commit of the reference.
const PER_COMMIT: usize = 16;
const GOAL: Goal = Goal::RatioAtLeast(0.5);

const SESSION: &str = "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; \
     PRAGMA temp_store = MEMORY; PRAGMA journal_mode = WAL";

fn main() {
    let Some(measure) = Measure::begin() else { return };
    let runtime = Runtime::new().expect("threads can be started");
    if measure.wants("deliveries") {
        deliveries(&measure, &runtime);
    }
    if measure.wants("one write alone") {
        alone(&measure, &runtime);
    }
}

/// Released and ended in one go: what the first leaves the second needs.
fn deliveries(measure: &Measure, runtime: &Runtime) {
    let count = measure.count(PER_COMMIT * 8, PER_COMMIT * 250);
    let last: RefCell<Option<(House, House)>> = RefCell::default();
    let (mut released, mut ended) = (Vec::new(), Vec::new());
    for round in 0..measure.rounds() {
        let ours = || {
            let house = runtime.block_on(House::build(&Wishes::default(), "http://127.0.0.1:1/fhir", 1));
            let inside = runtime.block_on(house.enter());
            let release = runtime.block_on(release_all(&inside, count));
            // What was released, and the same after its end.
            let copy = runtime.block_on(House::build(&Wishes::default(), "http://127.0.0.1:1/fhir", 1));
            copy_database(&house, &copy);
            let end = runtime.block_on(end_all(&inside, count));
            runtime.block_on(inside.leave());
            *last.borrow_mut() = Some((copy, house));
            (number(count) / release.as_secs_f64(), number(count) / end.as_secs_f64())
        };
        let theirs = || {
            let last = last.borrow();
            let (released, ended) = last.as_ref().expect("ours went first");
            let (release, end) = reference(&database(released), &database(ended), count);
            (number(count) / release.as_secs_f64(), number(count) / end.as_secs_f64())
        };
        let (ours, theirs) = if round % 2 == 0 {
            let ours = ours();
            (ours, theirs())
        } else {
            let theirs = theirs();
            (ours(), theirs)
        };
        eprintln!("  round {}: ours {ours:.0?} a second, SQLite alone {theirs:.0?}", round + 1);
        released.push((ours.0, theirs.0));
        ended.push((ours.1, theirs.1));
    }
    let beside = "SQLite alone writing the same rows, 16 deliveries a commit";
    Figure::beside("deliveries decided and released, SQLite", "per s", measure::Pair::of(&released), beside)
        .goal(GOAL)
        .note(format!("three durable commits each (decided, leased, released), {AT_ONCE} callers at once; the sealed file is not part of it"))
        .tell();
    let beside = "SQLite alone making the same changes, and 16 journal lines with one fsync, a commit";
    Figure::beside("links ended (revoked), SQLite and death journal", "per s", measure::Pair::of(&ended), beside)
        .goal(GOAL)
        .note(format!("one durable commit and one journal line each, {AT_ONCE} callers at once"))
        .tell();
}

async fn release_all(inside: &Inside, count: usize) -> Duration {
    let (store, vault, now) = (inside.ground.store.clone(), inside.ground.vault.clone(), inside.now());
    let made: Vec<_> = (0..count).map(|number| stage::make_keys(&vault, number, now)).collect();
    let ((), took) = measure::timed_async(shared(made.into_iter().enumerate().collect(), move |(number, made)| {
        let (store, vault, leasing) = (store.clone(), vault.clone(), vault.clone());
        async move {
            store.write(move |tx| stage::decide(tx, &vault, number, now)).await.expect("it is decided");
            let leased = store.write(move |tx| stage::lease(tx, now)).await.expect("one is due");
            store.write(move |tx| stage::release(tx, &leasing, &leased, &made, now)).await.expect("it is released");
        }
    }))
    .await;
    took
}

async fn end_all(inside: &Inside, count: usize) -> Duration {
    let (store, now) = (inside.ground.store.clone(), inside.now());
    let filter =
        store::DeliveryFilter { count_max: i64::try_from(count).expect("a small number"), ..Default::default() };
    let all = store.read(move |conn| store::deliveries(conn, &filter)).await.expect("they are there");
    let all: Vec<DeliveryId> = all.into_iter().map(|one| one.id).collect();
    assert_eq!(all.len(), count);
    let end = move |tx: &mut Tx, id: &DeliveryId| -> Result<(), StoreError> {
        let before = store::hold_delivery(tx, id)?.ok_or(StoreError::Moved)?;
        let by = RevokedBy::Operator(OperatorName::parse("eve").expect("a name"));
        let step = before.state.clone().step(LinkEvent::Revoke { by }, now)?;
        store::advance(tx, &before, &step, Actor::System, now)
    };
    let ((), took) = measure::timed_async(shared(all, move |id| {
        let store = store.clone();
        async move { store.write(move |tx| end(tx, &id)).await.expect("it is ended") }
    }))
    .await;
    took
}

/// Does `work` with every item, [`AT_ONCE`] at a time.
async fn shared<T, F>(items: Vec<T>, work: impl Fn(T) -> F + Clone + Send + 'static)
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let items = std::sync::Arc::new(std::sync::Mutex::new(items.into_iter()));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (items, work) = (std::sync::Arc::clone(&items), work.clone());
            tokio::spawn(async move {
                loop {
                    let item = items.lock().expect("nobody panics here").next();
                    let Some(item) = item else { return };
                    work(item).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("every item is done");
    }
}

fn database(house: &House) -> PathBuf {
    house.installation.folder.join("chartseal.db")
}

/// A copy that needs no log: taken by SQLite while the original is open.
fn copy_database(from: &House, to: &House) {
    let mut conn = open(&database(from));
    conn.batch_execute(&format!("VACUUM INTO '{}'", database(to).display())).expect("the disk takes a copy");
}

fn open(path: &Path) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("a database");
    conn.batch_execute(SESSION).expect("SQLite knows its settings");
    conn
}

/// How long SQLite alone takes for the rows of `released`, and for what `ended` changed in them.
fn reference(released: &Path, ended: &Path, count: usize) -> (Duration, Duration) {
    let place = support::place::Place::new("reference");
    let path = place.join("reference.db");
    let url = format!("sqlite:{}", path.display());
    Store::migrate(&url).expect("a new database");
    let mut conn = open(&path);
    let attach = format!("ATTACH '{}' AS one; ATTACH '{}' AS two", released.display(), ended.display());
    conn.batch_execute(&attach).expect("two more databases");
    // The marks of keys and installation, which both rounds begin with.
    conn.batch_execute("INSERT OR REPLACE INTO control SELECT * FROM one.control").expect("rows");
    let commits = |conn: &mut SqliteConnection,
                   mut rows: Box<dyn FnMut(usize, usize) -> String>,
                   mut before: Box<dyn FnMut()>| {
        for first in (1..=count).step_by(PER_COMMIT) {
            conn.batch_execute("BEGIN IMMEDIATE").expect("nobody else writes");
            conn.batch_execute(&rows(first, first + PER_COMMIT - 1)).expect("the rows fit");
            before();
            conn.batch_execute("COMMIT").expect("the disk takes it");
        }
    };
    let ((), release) = timed(|| commits(&mut conn, Box::new(insert), Box::new(|| {})));
    let mut journal = File::create(place.join("journal")).expect("the disk takes a file");
    let line = "123456 AAAAAAAAAAAAAAAA revoked 1795000000000 AAAAAAAAAAAAAAAAAAAAAA\n".repeat(PER_COMMIT);
    let witness = move || {
        journal.write_all(line.as_bytes()).and_then(|()| journal.sync_data()).expect("the disk takes it");
    };
    let ((), end) = timed(|| commits(&mut conn, Box::new(update), Box::new(witness)));
    (release, end)
}

/// The rows of the deliveries `first..=last`, as they stood after their release.
fn insert(first: usize, last: usize) -> String {
    let window = format!("WHERE rowid BETWEEN {first} AND {last}");
    let whose = format!("(SELECT id FROM one.delivery {window})");
    format!(
        "INSERT INTO main.source SELECT * FROM one.source WHERE id IN (SELECT source_id FROM one.delivery {window}); \
         INSERT INTO main.delivery SELECT * FROM one.delivery {window}; \
         INSERT INTO main.link SELECT * FROM one.link WHERE delivery_id IN {whose}; \
         INSERT INTO main.sealed_file SELECT * FROM one.sealed_file \
             WHERE link_id IN (SELECT link_id FROM one.delivery {window}); \
         INSERT INTO main.notice SELECT * FROM one.notice WHERE delivery_id IN {whose}; \
         INSERT INTO main.audit_line SELECT * FROM one.audit_line \
             WHERE chain IN (SELECT 'delivery:' || id FROM one.delivery {window})"
    )
}

/// What the ends of the deliveries `first..=last` changed.
fn update(first: usize, last: usize) -> String {
    let window = format!("WHERE rowid BETWEEN {first} AND {last}");
    let whose = format!("(SELECT id FROM two.delivery {window})");
    format!(
        "UPDATE main.delivery SET row_version = o.row_version, state = o.state, state_detail = o.state_detail, \
             state_at = o.state_at, due_at = o.due_at, lease_until = o.lease_until, tries = o.tries \
             FROM two.delivery AS o WHERE o.id = main.delivery.id AND o.rowid BETWEEN {first} AND {last}; \
         UPDATE main.link SET share_wrapped = o.share_wrapped, receipt_sealed = o.receipt_sealed, \
             ended_at = o.ended_at, shredded_at = o.shredded_at \
             FROM two.link AS o WHERE o.id = main.link.id AND o.delivery_id IN {whose}; \
         UPDATE main.notice SET state = o.state, ended_at = o.ended_at, secret_sealed = o.secret_sealed, why = o.why \
             FROM two.notice AS o WHERE o.id = main.notice.id AND o.delivery_id IN {whose}; \
         INSERT INTO main.audit_line SELECT * FROM two.audit_line \
             WHERE chain IN (SELECT 'delivery:' || id FROM two.delivery {window}) \
             AND seq > (SELECT max(seq) FROM main.audit_line AS m WHERE m.chain = two.audit_line.chain)"
    )
}

/// The latency of one durable write when nobody else writes.
fn alone(measure: &Measure, runtime: &Runtime) {
    let count = measure.count(50, 500);
    let house = runtime.block_on(House::build(&Wishes::default(), "http://127.0.0.1:1/fhir", 1));
    let inside = runtime.block_on(house.enter());
    let place = support::place::Place::new("alone");
    let path = place.join("reference.db");
    Store::migrate(&format!("sqlite:{}", path.display())).expect("a new database");
    let mut conn = open(&path);
    let statement = |at: usize| {
        format!("INSERT OR REPLACE INTO control (name, value, set_at, set_by) VALUES ('bench', '{at}', {at}, 'bench')")
    };
    let pair = measure.alternate(
        || {
            let mut took = Vec::new();
            for at in 0..count {
                let text = statement(at);
                let write = inside.ground.store.write(move |tx| Ok(tx.conn().batch_execute(&text)?));
                let (written, span) = timed(|| runtime.block_on(write));
                written.expect("the row fits");
                took.push(millis(span));
            }
            percentile(&mut took, 50)
        },
        || {
            let mut took = Vec::new();
            for at in 0..count {
                let text = format!("BEGIN IMMEDIATE; {}; COMMIT", statement(at));
                took.push(millis(timed(|| conn.batch_execute(&text).expect("the row fits")).1));
            }
            percentile(&mut took, 50)
        },
    );
    Figure::beside("one write alone, p50, SQLite", "ms", pair, "the same statement and commit by SQLite alone, p50")
        .goal(Goal::RatioAtMost(3.0))
        .tell();
}
