//! What one write promises: all of it or nothing, durable before the answer, nobody else dragged along.

use chartseal::record::Death;
use chartseal::store::{self, Conn, StoreError};
use diesel::connection::{Connection as _, SimpleConnection as _};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW};

fn refusal() -> StoreError {
    StoreError::Refused { why: "the test says so" }
}

async fn value(bed: &Bed, name: &'static str) -> Option<String> {
    bed.read(move |conn| store::control(conn, name)).await
}

on_both! {
    async fn two_hundred_writes_at_once_are_each_answered_after_their_commit(bed: Bed) {
        let answers: Vec<_> = (0..200_u32)
            .map(|number| {
                let store = bed.store.clone();
                tokio::spawn(async move {
                    let name = format!("value-{number}");
                    let set = name.clone();
                    store.write(move |tx| store::set_control(tx, &set, "kept", NOW, "test")).await?;
                    // Another connection sees it as soon as the writer has been answered.
                    store.read(move |conn| store::control(conn, &name)).await
                })
            })
            .collect();
        for answer in answers {
            assert_eq!(answer.await.unwrap().unwrap().as_deref(), Some("kept"));
        }
    }

    async fn a_deed_that_fails_keeps_nothing_and_takes_no_neighbour_along(bed: Bed) {
        let answers = bed
            .all_at_once(40, |tx, number| {
                store::set_control(tx, &format!("value-{number}"), "kept", NOW, "test")?;
                if number % 4 == 3 { Err(refusal()) } else { Ok(()) }
            })
            .await;
        for (number, answer) in answers.iter().enumerate() {
            let name: &'static str = format!("value-{number}").leak();
            let fails = number % 4 == 3;
            assert_eq!(answer.is_err(), fails, "{number}");
            assert_eq!(value(&bed, name).await.is_none(), fails, "{number}");
        }
    }

    async fn a_deed_that_panics_keeps_nothing_and_takes_no_neighbour_along(bed: Bed) {
        let answers = bed
            .all_at_once(40, |tx, number| {
                store::set_control(tx, &format!("value-{number}"), "kept", NOW, "test")?;
                assert!(number % 4 != 3, "a deed that the test lets panic");
                Ok(())
            })
            .await;
        for (number, answer) in answers.iter().enumerate() {
            let name: &'static str = format!("value-{number}").leak();
            let panics = number % 4 == 3;
            assert_eq!(matches!(answer, Err(StoreError::Refused { .. })), panics, "{number}");
            assert_eq!(value(&bed, name).await.is_none(), panics, "{number}");
        }
        bed.write(|tx| store::set_control(tx, "after", "kept", NOW, "test")).await;
        assert_eq!(value(&bed, "after").await.as_deref(), Some("kept"));
    }

    async fn a_panic_inside_a_nested_transaction_leaves_the_store_working(bed: Bed) {
        let answers = bed
            .all_at_once(12, |tx, number| {
                store::set_control(tx, &format!("value-{number}"), "kept", NOW, "test")?;
                tx.conn().transaction(|conn| {
                    assert!(number != 5, "a deed that the test lets panic");
                    conn.batch_execute("SELECT 1")?;
                    Ok::<_, StoreError>(())
                })
            })
            .await;
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
        bed.write(|tx| store::set_control(tx, "after", "kept", NOW, "test")).await;
        assert_eq!(value(&bed, "after").await.as_deref(), Some("kept"));
        assert_eq!(value(&bed, "value-5").await, None);
        assert_eq!(value(&bed, "value-6").await.as_deref(), Some("kept"));
    }

    async fn the_witness_hears_of_a_death_before_it_is_committed(bed: Bed) {
        let it = bed.write(|tx| stage::handed_over(tx, 1, 1)).await;
        assert_eq!(bed.witness.deaths(), []);
        let id = it.delivery.clone();
        bed.write(move |tx| stage::revoke(tx, &id, NOW)).await;
        let deaths = bed.witness.deaths();
        assert_eq!(deaths.len(), 1);
        assert_eq!((&deaths[0].link, deaths[0].death, deaths[0].at), (&it.link, Death::Revoked, NOW));
    }

    async fn a_death_that_the_witness_refuses_did_not_happen(bed: Bed) {
        let it = bed.write(|tx| stage::handed_over(tx, 1, 1)).await;
        bed.witness.refuse_from_now_on();
        let id = it.delivery.clone();
        let refused = bed.store.write(move |tx| stage::revoke(tx, &id, NOW)).await;
        assert!(matches!(refused, Err(StoreError::JournalRefused { .. })));
        assert_eq!(stage::the_delivery(&bed, &it.delivery).await.state.name(), "live");
        assert_eq!(stage::the_link(&bed, &it.link).await.share_wrapped.as_deref(), Some(stage::SHARE));
        // Whoever writes something else is not concerned.
        bed.write(|tx| store::set_control(tx, "other", "kept", NOW, "test")).await;
    }

    async fn a_death_in_a_deed_that_fails_is_not_told(bed: Bed) {
        let it = bed.write(|tx| stage::handed_over(tx, 1, 1)).await;
        let id = it.delivery.clone();
        let failed = bed
            .store
            .write(move |tx| {
                stage::revoke(tx, &id, NOW)?;
                Err::<(), _>(refusal())
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(bed.witness.deaths(), []);
        assert_eq!(stage::the_delivery(&bed, &it.delivery).await.state.name(), "live");
    }

    async fn a_reading_that_panics_harms_nobody(bed: Bed) {
        let lost: Result<(), _> = bed.store.read(|_| panic!("the test says so")).await;
        assert!(matches!(lost, Err(StoreError::Refused { .. })));
        assert_eq!(value(&bed, "nothing").await, None);
    }

    // A start that was refused must not stand in the way of the next one: the witness holds the journal's lock.
    async fn a_dropped_store_lets_go_of_its_witness_at_once(bed: Bed) {
        bed.write(|tx| store::set_control(tx, "value", "kept", NOW, "test")).await;
        let Bed { store, witness, place, .. } = bed;
        drop(store);
        assert_eq!(std::sync::Arc::strong_count(&witness), 1);
        drop(place);
    }

    async fn the_store_tells_a_plausible_time(bed: Bed) {
        let (first, second) = (bed.store.now().await.unwrap(), bed.store.now().await.unwrap());
        assert!(first <= second);
        assert!(first > chartseal::base::UtcMillis::parse_rfc3339("2025-01-01T00:00:00Z").unwrap());
    }

    async fn a_named_value_set_by_many_at_once_is_set(bed: Bed) {
        let answers =
            bed.all_at_once(8, |tx, number| store::pause(tx, &format!("why {number}"), NOW, "test")).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let resumed = bed.write(|tx| store::resume(tx, NOW, "test")).await;
        assert!(matches!(resumed, store::Pause::Paused { .. }));
        assert_eq!(bed.read(store::paused).await, store::Pause::Running);
    }

    async fn a_key_mark_names_the_first_key_of_its_name_for_good(bed: Bed) {
        let answers = bed
            .all_at_once(8, |tx, number| store::mark_key(tx, "epoch", "2026-11-22", &format!("print-{number}"), NOW))
            .await;
        let prints: Vec<String> = answers.into_iter().map(Result::unwrap).collect();
        assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
        bed.write(|tx| store::destroyed_key(tx, "epoch", "2026-11-22", NOW)).await;
        let marks = bed.read(store::key_marks).await;
        assert_eq!((marks.len(), &marks[0].fingerprint, marks[0].destroyed_at), (1, &prints[0], Some(NOW)));
        let told = bed.read(|conn| store::chain_lines(conn, "installation")).await;
        assert_eq!(told.len(), 1, "a key that eight used at once was made once");
        assert!(told[0].body.contains("key_made") && told[0].body.contains(&prints[0]), "{}", told[0].body);
    }

    async fn a_patient_remembered_by_many_at_once_has_one_key_until_forgotten(bed: Bed) {
        let answers = bed.all_at_once(8, |tx, number| store::remember_patient(tx, &[9; 32], vec![number], NOW)).await;
        let keys: Vec<Vec<u8>> = answers.into_iter().map(Result::unwrap).collect();
        assert!(keys.iter().all(|key| *key == keys[0]));
        bed.write(|tx| store::forget_patient(tx, &[9; 32], NOW)).await;
        assert_eq!(bed.read(|conn| store::patient_key(conn, &[9; 32])).await, None);
        let again = bed.write(|tx| store::remember_patient(tx, &[9; 32], vec![77], NOW)).await;
        assert_eq!(again, vec![77]);
    }
}

/// The disk fills up under one deed; its neighbours fail with it, and the writer works once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_the_commit_and_is_forgotten_once_there_is_room() {
    let bed = Bed::new(Engine::Sqlite);
    let id = bed.write(|tx| stage::handed_over(tx, 1, 1)).await.delivery;
    let fill = |room: &'static str| {
        move |tx: &mut store::Tx| {
            let Conn::Sqlite(conn) = tx.conn() else { return Err(refusal()) };
            conn.batch_execute(room)?;
            Ok(())
        }
    };
    bed.write(fill("PRAGMA max_page_count = 1")).await;
    let answers = bed
        .all_at_once(12, move |tx, number| {
            if number == 6 {
                store::set_control(tx, "large", &"x".repeat(100_000), NOW, "test")
            } else if number == 9 {
                stage::revoke(tx, &id, NOW)
            } else {
                store::control(tx.conn(), "large").map(|_| ())
            }
        })
        .await;
    assert!(matches!(answers[6], Err(StoreError::Unavailable { .. })), "{:?}", answers[6]);
    assert_eq!(value(&bed, "large").await, None);
    // The limit belongs to the connection; a writer that had to open a new one has none.
    let _ = bed.store.write(fill("PRAGMA max_page_count = 1000000")).await;
    bed.write(|tx| store::set_control(tx, "large", &"x".repeat(100_000), NOW, "test")).await;
    assert!(value(&bed, "large").await.is_some());
    let told = bed.witness.deaths().len();
    assert_eq!(usize::from(answers[9].is_ok()), told, "what was kept was told");
}
