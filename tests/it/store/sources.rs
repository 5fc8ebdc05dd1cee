//! Followed resources: what was heard never falls back, and a reading that is no longer the last word is read again.

use chartseal::base::{SourceId, UtcMillis, random};
use chartseal::store::{self, Hearing, Renewed, SourceRow, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after, reading, report, version};

const UNTIL: UtcMillis = UtcMillis(NOW.0 + 120_000);

fn hear(tx: &mut Tx, number: u8, heard: Option<&str>, at: UtcMillis) -> Result<Hearing, StoreError> {
    store::hear(tx, &report(number.into()), heard.map(version).as_ref(), at, &mut random::system())
}

fn due(hearing: Hearing) -> SourceId {
    match hearing {
        Hearing::Due(id) => id,
        Hearing::Known(_) => panic!("it was read before"),
    }
}

fn stored(tx: &mut Tx, id: &SourceId) -> Result<SourceRow, StoreError> {
    Ok(store::source(tx.conn(), id)?.expect("the source is there"))
}

fn lease_one(tx: &mut Tx, at: UtcMillis) -> Result<SourceRow, StoreError> {
    let mut leased = store::lease_sources(tx, &stage::ehr(), at, at.plus(after(120)), 10)?;
    assert_eq!(leased.len(), 1);
    Ok(leased.remove(0))
}

on_both! {
    async fn a_reading_that_is_renewed_stays_with_its_reader_and_is_finished_by_it(bed: Bed) {
        bed.write(|tx| {
            let id = due(hear(tx, 1, None, NOW)?);
            let seen = lease_one(tx, NOW)?;
            let Renewed::Kept(kept) = store::renew_source(tx, seen.clone(), UNTIL.plus(after(60)))? else {
                panic!("it is still held")
            };
            // What is heard meanwhile counts the tries anew; the lease stands.
            hear(tx, 1, Some("2"), UNTIL)?;
            assert_eq!(store::lease_sources(tx, &stage::ehr(), UNTIL, UNTIL.plus(after(60)), 10)?.len(), 0, "renewed");
            let refused = store::renew_source(tx, seen, UNTIL.plus(after(600)))?;
            assert!(matches!(refused, Renewed::Lost), "held on other terms by now");
            store::finish_source(tx, &kept, &reading(UNTIL, "1"))?;
            assert_eq!(stored(tx, &id)?.read_version, Some(version("1")));
            Ok(())
        })
        .await;
    }

    async fn a_reading_whose_lease_ran_out_is_not_renewed_under_the_next_reader(bed: Bed) {
        bed.write(|tx| {
            hear(tx, 1, None, NOW)?;
            let late = lease_one(tx, NOW)?;
            let next = lease_one(tx, UNTIL)?;
            assert!(matches!(store::renew_source(tx, late, UNTIL.plus(after(600)))?, Renewed::Lost));
            store::finish_source(tx, &next, &reading(UNTIL, "1"))
        })
        .await;
    }

    async fn versions_heard_in_the_order_3_1_2_leave_3(bed: Bed) {
        bed.write(|tx| {
            let id = due(hear(tx, 1, Some("3"), NOW)?);
            assert_eq!(due(hear(tx, 1, Some("1"), NOW)?), id);
            assert_eq!(due(hear(tx, 1, Some("2"), NOW)?), id);
            assert_eq!(due(hear(tx, 1, None, NOW)?), id);
            let row = stored(tx, &id)?;
            assert_eq!((row.heard_version, row.heard_count), (Some(version("3")), 4));
            Ok(())
        })
        .await;
    }

    async fn twenty_versions_heard_at_once_leave_the_newest_and_one_source(bed: Bed) {
        let answers =
            bed.all_at_once(20, |tx, number| Ok(due(hear(tx, 1, Some(&(number + 1).to_string()), NOW)?))).await;
        let ids: Vec<SourceId> = answers.into_iter().map(Result::unwrap).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
        let id = ids[0].clone();
        let row = bed.write(move |tx| stored(tx, &id)).await;
        assert_eq!((row.heard_version, row.heard_count), (Some(version("20")), 20));
    }

    async fn a_version_that_was_read_is_known_unless_the_resource_is_gone(bed: Bed) {
        bed.write(|tx| {
            let id = due(hear(tx, 1, Some("2"), NOW)?);
            let seen = lease_one(tx, NOW)?;
            store::finish_source(tx, &seen, &reading(NOW, "2"))?;
            assert_eq!(hear(tx, 1, Some("2"), NOW)?, Hearing::Known(id.clone()));
            assert_eq!(hear(tx, 1, Some("1"), NOW)?, Hearing::Known(id.clone()));
            assert_eq!(store::lease_sources(tx, &stage::ehr(), UNTIL, UNTIL, 10)?.len(), 0);
            assert_eq!(hear(tx, 1, Some("3"), NOW)?, Hearing::Due(id.clone()));
            let seen = lease_one(tx, NOW)?;
            let gone = store::SourceReading { gone_at: Some(NOW), ..reading(NOW, "3") };
            store::finish_source(tx, &seen, &gone)?;
            assert_eq!(hear(tx, 1, Some("3"), NOW)?, Hearing::Due(id));
            let other = due(hear(tx, 2, Some("1"), NOW)?);
            let other = stored(tx, &other)?;
            assert_eq!(store::others_gone(tx.conn(), &other, NOW, NOW, 5)?, 1);
            assert_eq!(store::others_gone(tx.conn(), &other, NOW.plus(after(1)), UNTIL, 5)?, 0);
            Ok(())
        })
        .await;
    }

    async fn a_reading_comes_back_as_it_was_kept(bed: Bed) {
        bed.write(|tx| {
            let id = stage::read_report(tx, 1)?;
            let row = stored(tx, &id)?;
            let kept = reading(NOW, "1");
            assert_eq!(row.key, report(1));
            assert_eq!((row.read_at, row.read_version, row.status), (Some(NOW), kept.version, kept.status));
            assert_eq!((row.content_hash, row.subject_index), (kept.content_hash, kept.subject_index));
            assert_eq!((row.gone_at, row.why, row.tries), (None, None, 0));
            Ok(())
        })
        .await;
    }

    async fn a_resource_heard_of_during_its_reading_stays_due(bed: Bed) {
        bed.write(|tx| {
            due(hear(tx, 1, Some("1"), NOW)?);
            let seen = lease_one(tx, NOW)?;
            due(hear(tx, 1, Some("2"), NOW)?);
            assert_eq!(store::lease_sources(tx, &stage::ehr(), NOW, UNTIL, 10)?.len(), 0, "one reader at a time");
            store::finish_source(tx, &seen, &reading(NOW, "1"))?;
            assert_eq!(lease_one(tx, NOW)?.heard_version, Some(version("2")));
            Ok(())
        })
        .await;
    }

    async fn a_resource_heard_of_during_a_reading_that_failed_stays_due(bed: Bed) {
        bed.write(|tx| {
            due(hear(tx, 1, Some("1"), NOW)?);
            let seen = lease_one(tx, NOW)?;
            due(hear(tx, 1, Some("2"), NOW)?);
            store::fail_source(tx, &seen, "cannot be read", None)?;
            assert_eq!(lease_one(tx, NOW)?.why.as_deref(), Some("cannot be read"));
            Ok(())
        })
        .await;
    }

    async fn a_reading_that_failed_is_due_at_its_new_time(bed: Bed) {
        bed.write(|tx| {
            due(hear(tx, 1, Some("1"), NOW)?);
            let seen = lease_one(tx, NOW)?;
            store::fail_source(tx, &seen, "later", Some(NOW.plus(after(30))))?;
            assert_eq!(store::lease_sources(tx, &stage::ehr(), NOW.plus(after(29)), UNTIL, 10)?.len(), 0);
            assert_eq!(lease_one(tx, NOW.plus(after(30)))?.tries, 2);
            Ok(())
        })
        .await;
    }

    async fn the_same_version_that_a_poll_brings_again_neither_hurries_nor_renews_a_reading_that_fails(bed: Bed) {
        bed.write(|tx| {
            due(hear(tx, 1, Some("1"), NOW)?);
            let seen = lease_one(tx, NOW)?;
            store::fail_source(tx, &seen, "later", Some(NOW.plus(after(30))))?;
            assert!(matches!(hear(tx, 1, Some("1"), NOW.plus(after(5)))?, Hearing::Known(_)));
            assert_eq!(store::lease_sources(tx, &stage::ehr(), NOW.plus(after(29)), UNTIL, 10)?.len(), 0);
            assert_eq!(lease_one(tx, NOW.plus(after(30)))?.tries, 2);
            // Another version is read at once.
            due(hear(tx, 1, Some("2"), NOW.plus(after(31)))?);
            Ok(())
        })
        .await;
    }

    async fn a_reader_whose_lease_ran_out_cannot_write_over_the_next_one(bed: Bed) {
        let late = bed
            .write(|tx| {
                due(hear(tx, 1, Some("1"), NOW)?);
                let late = lease_one(tx, NOW)?;
                let next = lease_one(tx, UNTIL)?;
                assert_eq!(next.tries, 2);
                store::finish_source(tx, &next, &reading(UNTIL, "2"))?;
                Ok(late)
            })
            .await;
        let (again, id) = (late.clone(), late.id.clone());
        let refused = bed.store.write(move |tx| store::finish_source(tx, &late, &reading(UNTIL, "1"))).await;
        assert!(matches!(refused, Err(StoreError::Moved)));
        let refused = bed.store.write(move |tx| store::fail_source(tx, &again, "late", Some(NOW))).await;
        assert!(matches!(refused, Err(StoreError::Moved)));
        let row = bed.write(move |tx| stored(tx, &id)).await;
        assert_eq!((row.read_version, row.why), (Some(version("2")), None));
    }

    async fn eight_readers_at_once_never_lease_the_same_resource(bed: Bed) {
        bed.write(|tx| (0..40).try_for_each(|number| hear(tx, number, None, NOW).map(|_| ()))).await;
        let mut leased = Vec::new();
        for _ in 0..20 {
            let answers = bed.all_at_once(8, |tx, _| store::lease_sources(tx, &stage::ehr(), NOW, UNTIL, 5)).await;
            leased.extend(answers.into_iter().flatten().flatten().map(|row| row.id));
        }
        assert_eq!(leased.len(), 40);
        leased.sort();
        leased.dedup();
        assert_eq!(leased.len(), 40, "none twice");
    }

    async fn only_resources_with_unfinished_deliveries_are_read_again(bed: Bed) {
        bed.write(|tx| {
            let watched = stage::recorded(tx, 1)?;
            stage::read_report(tx, 2)?;
            assert_eq!(store::due_for_recheck(tx, &stage::ehr(), NOW, NOW)?, 0, "read lately");
            let later = NOW.plus(after(900));
            assert_eq!(store::due_for_recheck(tx, &stage::ehr(), later, later)?, 1);
            assert_eq!(lease_one(tx, later)?.id, watched.source);
            Ok(())
        })
        .await;
    }

    async fn the_sources_of_waiting_notices_are_read_again_but_not_before_a_failed_one_may(bed: Bed) {
        bed.write(|tx| {
            let it = stage::released(tx, 1, 1)?;
            let source = store::delivery(tx.conn(), &it.delivery)?.expect("it is there").source;
            stage::read_report(tx, 2)?;
            assert_eq!(store::read_stale_sources_again(tx, NOW, NOW)?, 0, "read lately");
            let later = NOW.plus(after(900));
            store::pause(tx, "an incident", later, "eve")?;
            assert_eq!(store::read_stale_sources_again(tx, later, later)?, 0, "nothing leaves anyway");
            store::resume(tx, later, "eve")?;
            assert_eq!(store::read_stale_sources_again(tx, later, later)?, 1);
            let seen = lease_one(tx, later)?;
            assert_eq!(seen.id, source);
            store::fail_source(tx, &seen, "overloaded", Some(later.plus(after(60))))?;
            assert_eq!(store::read_stale_sources_again(tx, later, later)?, 0, "the EHR named its time");
            assert_eq!(store::due_for_recheck(tx, &stage::ehr(), later, later)?, 0);
            assert_eq!(lease_one(tx, later.plus(after(60)))?.tries, 2);
            Ok(())
        })
        .await;
    }

    async fn what_is_out_is_looked_at_again_before_a_heap_of_new_reports_and_a_recall_before_that(bed: Bed) {
        bed.write(|tx| {
            let (ehr, mut out) = (stage::ehr(), Vec::new());
            for number in 1..=3 {
                let it = stage::released(tx, number, 1)?;
                out.push(store::delivery(tx.conn(), &it.delivery)?.expect("it is there").source);
            }
            let later = NOW.plus(after(900));
            for number in 20..60 {
                hear(tx, number, None, NOW.plus(after(1)))?;
            }
            assert_eq!(store::due_for_recheck(tx, &ehr, later, later)?, 3);
            let urgent = |tx: &mut Tx, at, count| -> Result<Vec<SourceId>, StoreError> {
                let leased = store::lease_urgent_sources(tx, &ehr, at, at.plus(after(120)), count)?;
                Ok(leased.into_iter().map(|row| row.id).collect())
            };
            assert!(urgent(tx, later, 8)?.is_empty(), "they take their turn");
            // They did not come to it.
            let overdue = later.plus(after(130));
            assert_eq!(due(hear(tx, 3, Some("9"), overdue)?), out[2]);
            assert_eq!(urgent(tx, overdue, 1)?, [out[2].clone()], "of this the EHR spoke just now");
            let mut rest = urgent(tx, overdue, 8)?;
            rest.sort();
            out.truncate(2);
            out.sort();
            assert_eq!(rest, out);
            Ok(())
        })
        .await;
    }

    async fn reading_again_makes_a_known_resource_due(bed: Bed) {
        bed.write(|tx| {
            let id = stage::read_report(tx, 1)?;
            store::read_again(tx, &id, NOW)?;
            assert_eq!(lease_one(tx, NOW)?.id, id);
            Ok(())
        })
        .await;
    }
}
