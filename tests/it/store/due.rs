//! What is due, EHR by EHR: nobody takes another's, and what one leaves lying costs the others nothing.

use std::sync::{Arc, Mutex};

use chartseal::base::{EhrId, FhirId, ResourceKey, ResourceType, UtcMillis, random};
use chartseal::policy::HoldBasis;
use chartseal::record::{HoldEnd, Link};
use chartseal::store::{self, Conn, DueOf, NewDelivery, StoreError, Tx};
use diesel::connection::{Connection as _, InstrumentationEvent, SimpleConnection as _};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, new_delivery};

const UNTIL: UtcMillis = UtcMillis(NOW.0 + 120_000);
/// Far more than anybody takes at once.
const LEFT_LYING: usize = 20_000;

fn ehr(name: &str) -> EhrId {
    EhrId::parse(name).unwrap()
}

fn hear(tx: &mut Tx, name: &str, number: u16, at: UtcMillis) -> Result<(), StoreError> {
    let id = FhirId::parse(&format!("report-{number}")).unwrap();
    let key = ResourceKey { ehr: ehr(name), kind: ResourceType::DiagnosticReport, id };
    store::hear(tx, &key, None, at, &mut random::system()).map(|_| ())
}

fn due(name: &str, count: usize) -> DueOf {
    DueOf { ehr: ehr(name), count }
}

/// A delivery of `name`'s, to be released at once or held until `until`.
fn decided(tx: &mut Tx, name: &str, number: u16, state: Link) -> Result<store::Delivery, StoreError> {
    let source = stage::read_report(tx, number)?;
    stage::keep(tx, &NewDelivery { ehr: ehr(name), state, ..new_delivery(&source) })
}

const fn held_until(at: UtcMillis) -> Link {
    Link::Held { until: HoldEnd::At(at), basis: HoldBasis::Law }
}

on_both! {
    async fn resources_are_leased_for_one_ehr_and_counted_for_each(bed: Bed) {
        bed.write(|tx| {
            (0..7).try_for_each(|number| hear(tx, "lab", number, NOW))?;
            (0..2).try_for_each(|number| hear(tx, "ward", number, NOW))?;
            hear(tx, "later", 0, UNTIL)?;
            assert_eq!(store::due_sources(tx.conn(), NOW, 5)?, [due("lab", 5), due("ward", 2)]);
            let leased = store::lease_sources(tx, &ehr("ward"), NOW, UNTIL, 10)?;
            assert_eq!(leased.iter().filter(|row| row.key.ehr == ehr("ward")).count(), 2);
            assert_eq!(leased.len(), 2, "another's was taken");
            assert_eq!(store::due_sources(tx.conn(), NOW, 5)?, [due("lab", 5)]);
            assert_eq!(store::lease_sources(tx, &ehr("nobody"), NOW, UNTIL, 10)?.len(), 0);
            assert_eq!(store::lease_sources(tx, &ehr("lab"), NOW, UNTIL, 6)?.len(), 6);
            assert_eq!(store::due_sources(tx.conn(), NOW, 5)?, [due("lab", 1)]);
            let ran_out = [due("lab", 5), due("later", 1), due("ward", 2)];
            assert_eq!(store::due_sources(tx.conn(), UNTIL, 5)?, ran_out, "leases that ran out");
            Ok(())
        })
        .await;
    }

    async fn deliveries_are_leased_for_one_ehr_and_holds_that_are_over_for_all(bed: Bed) {
        bed.write(|tx| {
            hear(tx, "ward", 1, NOW)?;
            (0..3).try_for_each(|number| decided(tx, "main", number, Link::Recorded).map(|_| ()))?;
            decided(tx, "ward", 3, Link::Recorded)?;
            decided(tx, "main", 4, held_until(NOW))?;
            decided(tx, "ward", 5, held_until(NOW))?;
            decided(tx, "ward", 6, held_until(UNTIL))?;
            let shadow = new_delivery(&stage::read_report(tx, 7)?);
            stage::keep(tx, &NewDelivery { mode: store::Mode::Shadow, ..shadow })?;
            assert_eq!(store::due_deliveries(tx.conn(), NOW, 2)?, [due("main", 2), due("ward", 1)]);
            assert!(store::is_hold_over(tx.conn(), NOW)?);
            let over = store::lease_ended_holds(tx, NOW, UNTIL, 10)?;
            assert!(over.iter().all(|one| matches!(one.state, Link::Held { .. })));
            assert_eq!(over.len(), 2, "of each EHR one");
            assert!(!store::is_hold_over(tx.conn(), NOW)?);
            let ward = store::lease_due_deliveries(tx, &ehr("ward"), NOW, UNTIL, 10)?;
            assert_eq!(ward.iter().map(|one| (&one.ehr, &one.state)).collect::<Vec<_>>(), [(&ehr("ward"), &Link::Recorded)]);
            assert_eq!(store::due_deliveries(tx.conn(), NOW, 5)?, [due("main", 3)]);
            Ok(())
        })
        .await;
    }

    async fn workers_of_two_ehrs_and_of_the_holds_at_once_take_nothing_twice(bed: Bed) {
        bed.write(|tx| {
            hear(tx, "ward", 1, NOW)?;
            (0..8).try_for_each(|number| decided(tx, "main", number, Link::Recorded).map(|_| ()))?;
            (8..16).try_for_each(|number| decided(tx, "ward", number, Link::Recorded).map(|_| ()))?;
            (16..24).try_for_each(|number| decided(tx, "main", number, held_until(NOW)).map(|_| ()))
        })
        .await;
        let mut leased = Vec::new();
        for _ in 0..6 {
            let answers = bed
                .all_at_once(9, |tx, number| match number % 3 {
                    0 => store::lease_due_deliveries(tx, &ehr("main"), NOW, UNTIL, 1),
                    1 => store::lease_due_deliveries(tx, &ehr("ward"), NOW, UNTIL, 1),
                    _ => store::lease_ended_holds(tx, NOW, UNTIL, 1),
                })
                .await;
            leased.extend(answers.into_iter().flat_map(Result::unwrap).map(|one| one.id));
        }
        assert_eq!(leased.len(), 24);
        leased.sort();
        leased.dedup();
        assert_eq!(leased.len(), 24, "none twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_finds_what_is_due_of_one_ehr_however_much_another_leaves_lying() {
    let bed = Bed::new(Engine::Postgres);
    bed.write(|tx| {
        hear(tx, "ward", 1, NOW)?;
        decided(tx, "main", 1, Link::Recorded)?;
        leave_lying(tx.conn())?;
        let before = rows_gone_through(tx.conn())?;
        // More often than it asks for the plan of a statement anew.
        (0..8).try_for_each(|_| look_and_lease(tx))?;
        let gone_through = rows_gone_through(tx.conn())? - before;
        assert!((48..2_000).contains(&gone_through), "{gone_through} of {LEFT_LYING} rows were gone through");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_goes_along_the_index_of_what_is_due_whatever_the_values() {
    let bed = Bed::new(Engine::Sqlite);
    bed.write(|tx| {
        hear(tx, "ward", 1, NOW)?;
        let texts = noted(tx.conn());
        look_and_lease(tx)?;
        let texts = texts.lock().unwrap().clone();
        let texts: Vec<_> = texts.iter().filter(|text| text.contains("due_at")).collect();
        assert_eq!(texts.len(), 9, "{texts:#?}");
        for text in texts {
            let plan = plan(tx.conn(), text)?.join("\n");
            let along = [
                "_ehr_due (ehr=? AND due_at<?)",
                "delivery_state (state=? AND due_at<?)",
                "source_urgent (ehr=? AND urgent_at<?)",
                "source_left (ehr=?)",
            ];
            let is_sorted_or_whole = ["TEMP B-TREE", "SCAN"].iter().any(|bad| plan.contains(bad));
            assert!(along.iter().any(|index| plan.contains(index)) && !is_sorted_or_whole, "{text}\n{plan}");
        }
        Ok(())
    })
    .await;
}

/// Everything by which work is found.
fn look_and_lease(tx: &mut Tx) -> Result<(), StoreError> {
    store::due_sources(tx.conn(), NOW, 8)?;
    store::take_up_what_was_left(tx, &ehr("ward"), NOW)?;
    store::is_anything_urgent(tx.conn(), &ehr("ward"), NOW)?;
    store::due_deliveries(tx.conn(), NOW, 8)?;
    store::is_hold_over(tx.conn(), NOW)?;
    store::lease_sources(tx, &ehr("ward"), NOW, UNTIL, 8)?;
    store::lease_due_deliveries(tx, &ehr("ward"), NOW, UNTIL, 8)?;
    store::lease_ended_holds(tx, NOW, UNTIL, 8).map(|_| ())
}

/// The texts that this connection keeps from now on.
fn noted(conn: &mut Conn) -> Arc<Mutex<Vec<String>>> {
    let texts = Arc::<Mutex<Vec<String>>>::default();
    let noting = Arc::clone(&texts);
    let note = move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::CacheQuery { sql, .. } = event {
            noting.lock().unwrap().push(sql.to_owned());
        }
    };
    conn.set_instrumentation(note);
    texts
}

/// Of `main`, far more resources and deliveries of each kind are due than anybody takes at once.
fn leave_lying(conn: &mut Conn) -> Result<(), StoreError> {
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LEFT_LYING})");
    let (copied, due_at) = ("content_hash, recipient", NOW.0);
    conn.batch_execute(&format!(
        "INSERT INTO source (id, ehr, kind, resource_id, heard_at, heard_count, due_at) \
             {numbers} SELECT 's' || (100000000000000 + i), 'main', 'DiagnosticReport', 'lies-' || i, 1, 1, {due_at} FROM n; \
         INSERT INTO delivery (id, source_id, ehr, report_version, {copied}, issue_no, mode, kind, row_version, state, \
             state_detail, state_at, due_at, decision, facts, trace, rules_hash, created_at) \
             {numbers} SELECT 'd' || (100000000000000 + i), source_id, ehr, report_version, {copied}, 1000 + i, mode, kind, row_version, \
             CASE WHEN i % 2 = 0 THEN state ELSE 'held' END, \
             state_detail, state_at, {due_at}, decision, facts, trace, rules_hash, created_at \
             FROM n, (SELECT * FROM delivery) AS one"
    ))?;
    Ok(conn.batch_execute("ANALYZE")?)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Of sources and deliveries, in this transaction.
fn rows_gone_through(conn: &mut Conn) -> Result<i64, StoreError> {
    let Conn::Postgres(conn) = conn else { panic!("only PostgreSQL counts them") };
    let asked = "SELECT sum(seq_tup_read + idx_tup_fetch)::bigint AS count FROM pg_stat_xact_user_tables \
                 WHERE relname IN ('source', 'delivery')";
    Ok(diesel::sql_query(asked).get_result::<Count>(conn)?.count)
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    detail: String,
}

fn plan(conn: &mut Conn, text: &str) -> Result<Vec<String>, StoreError> {
    let Conn::Sqlite(conn) = conn else { panic!("only SQLite's plans need no values") };
    let lines: Vec<Line> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}")).load(conn)?;
    Ok(lines.into_iter().map(|line| line.detail).collect())
}
