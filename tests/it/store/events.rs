//! Events: kept, leased to one worker at a time, ended once.

use chartseal::base::{EventId, FhirId, ResourceType, UtcMillis, random};
use chartseal::store::{self, EventEnd, NewEvent, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

pub(super) fn keep(tx: &mut Tx, at: UtcMillis) -> Result<EventId, StoreError> {
    keep_about(tx, at, Vec::new())
}

fn keep_about(tx: &mut Tx, at: UtcMillis, about: Vec<(ResourceType, FhirId)>) -> Result<EventId, StoreError> {
    let id = EventId::random(&mut random::system());
    let new = NewEvent {
        id: id.clone(),
        ehr: stage::ehr(),
        at,
        method: "PUT",
        about,
        path: Some((ResourceType::DiagnosticReport, FhirId::parse("r1").unwrap())),
        sha256: "00".repeat(32),
        body_bytes: 7,
        body_sealed: b"planted-body-40aa".to_vec(),
        body_key: "2026-11-22".to_owned(),
    };
    store::insert_event(tx, &new)?;
    Ok(id)
}

const UNTIL: UtcMillis = UtcMillis(NOW.0 + 120_000);

on_both! {
    async fn an_event_comes_back_as_it_was_kept(bed: Bed) {
        bed.write(|tx| {
            let id = keep(tx, NOW)?;
            let leased = store::lease_events(tx, NOW, UNTIL, 10)?;
            assert_eq!(leased.len(), 1);
            let event = &leased[0];
            assert_eq!((&event.id, &event.ehr, event.at, event.method.as_str()), (&id, &stage::ehr(), NOW, "PUT"));
            assert_eq!(event.path, Some((ResourceType::DiagnosticReport, FhirId::parse("r1").unwrap())));
            let kept = store::event_body(tx.conn(), &id)?.unwrap();
            assert_eq!((kept.sealed.as_slice(), kept.key.as_str()), (&b"planted-body-40aa"[..], "2026-11-22"));
            assert_eq!(event.tries, 1);
            Ok(())
        })
        .await;
    }

    async fn half_of_what_is_leased_is_the_newest_and_the_oldest_waits_for_no_heap(bed: Bed) {
        bed.write(|tx| {
            let kept: Vec<EventId> = (0..10).map(|n| keep(tx, NOW.minus(after(10 - n)))).collect::<Result<_, _>>()?;
            let mut leased = |count| -> Result<Vec<usize>, StoreError> {
                let leased = store::lease_events(tx, NOW, UNTIL, count)?;
                let place = |one: &EventId| kept.iter().position(|kept| kept == one).unwrap();
                let mut places: Vec<_> = leased.iter().map(|one| place(&one.id)).collect();
                places.sort_unstable();
                Ok(places)
            };
            assert_eq!(leased(4)?, [0, 1, 8, 9]);
            assert_eq!(leased(1)?, [2]);
            assert_eq!(leased(10)?, [3, 4, 5, 6, 7]);
            assert!(leased(10)?.is_empty());
            Ok(())
        })
        .await;
    }

    async fn what_speaks_of_a_report_of_which_a_link_is_out_goes_before_whatever_waits(bed: Bed) {
        bed.write(|tx| {
            stage::handed_over(tx, 1, 1)?;
            stage::recorded(tx, 2)?;
            let place = |number| {
                let key = stage::report(number);
                vec![(key.kind, key.id)]
            };
            for n in 0..10 {
                keep_about(tx, NOW.minus(after(20 - n)), place(2))?;
            }
            let recall = keep_about(tx, NOW.minus(after(10)), [place(7), place(1)].concat())?;
            for n in 0..9 {
                keep_about(tx, NOW.minus(after(9 - n)), Vec::new())?;
            }
            let leased = store::lease_events(tx, NOW, UNTIL, 2)?;
            assert!(leased.iter().any(|one| one.id == recall), "it waits behind what is about nobody's link");
            Ok(())
        })
        .await;
    }

    async fn eight_workers_at_once_never_lease_the_same_event(bed: Bed) {
        bed.write(|tx| (0..40).try_for_each(|_| keep(tx, NOW).map(|_| ()))).await;
        let mut leased = Vec::new();
        // Workers that met may have left some; they ask again, as workers do.
        for _ in 0..20 {
            let answers = bed.all_at_once(8, |tx, _| store::lease_events(tx, NOW, UNTIL, 5)).await;
            leased.extend(answers.into_iter().flatten().flatten().map(|event| event.id));
        }
        assert_eq!(leased.len(), 40);
        leased.sort();
        leased.dedup();
        assert_eq!(leased.len(), 40, "none twice");
    }

    async fn a_lease_that_ran_out_is_given_to_the_next_worker(bed: Bed) {
        bed.write(|tx| {
            keep(tx, NOW)?;
            assert_eq!(store::lease_events(tx, NOW, UNTIL, 10)?.len(), 1);
            assert_eq!(store::lease_events(tx, UtcMillis(UNTIL.0 - 1), UNTIL, 10)?.len(), 0);
            let again = store::lease_events(tx, UNTIL, UNTIL.plus(after(60)), 10)?;
            assert_eq!((again.len(), again[0].tries), (1, 2));
            Ok(())
        })
        .await;
    }

    async fn an_event_given_back_is_due_at_its_new_time(bed: Bed) {
        bed.write(|tx| {
            let id = keep(tx, NOW)?;
            store::lease_events(tx, NOW, UNTIL, 10)?;
            store::retry_event(tx, &id, NOW.plus(after(30)))?;
            assert_eq!(store::lease_events(tx, NOW.plus(after(29)), UNTIL, 10)?.len(), 0);
            assert_eq!(store::lease_events(tx, NOW.plus(after(30)), UNTIL, 10)?.len(), 1);
            Ok(())
        })
        .await;
    }

    async fn an_event_ends_once_and_never_comes_back(bed: Bed) {
        let (done, bad) = bed
            .write(|tx| {
                let (done, bad) = (keep(tx, NOW)?, keep(tx, NOW)?);
                store::lease_events(tx, NOW, UNTIL, 10)?;
                store::finish_event(tx, &done, &EventEnd::Done)?;
                store::finish_event(tx, &bad, &EventEnd::Quarantined { why: "not JSON".to_owned() })?;
                assert!(store::event_body(tx.conn(), &done)?.is_none() && store::event_body(tx.conn(), &bad)?.is_some());
                store::retry_event(tx, &done, NOW)?;
                assert_eq!(store::lease_events(tx, UNTIL.plus(after(999)), UNTIL, 10)?.len(), 0);
                Ok((done, bad))
            })
            .await;
        let again = bed.store.write(move |tx| store::finish_event(tx, &done, &EventEnd::Done)).await;
        assert!(matches!(again, Err(StoreError::Moved)));
        let kept = bed.read(|conn| store::quarantined(conn, 10)).await;
        assert_eq!(kept, [(bad.to_string(), "main".to_owned(), NOW, "not JSON".to_owned())]);
    }

    async fn retention_removes_ended_events_and_no_others(bed: Bed) {
        bed.write(|tx| {
            let (done, bad) = (keep(tx, NOW)?, keep(tx, NOW)?);
            keep(tx, NOW)?;
            store::finish_event(tx, &done, &EventEnd::Done)?;
            store::finish_event(tx, &bad, &EventEnd::Quarantined { why: "not JSON".to_owned() })?;
            let later = NOW.plus(after(1));
            assert_eq!(store::delete_events_before(tx, NOW, NOW)?, 0);
            assert_eq!(store::delete_events_before(tx, later, NOW)?, 1);
            assert_eq!(store::delete_events_before(tx, later, later)?, 1);
            assert_eq!(store::lease_events(tx, NOW, UNTIL, 10)?.len(), 1);
            Ok(())
        })
        .await;
    }
}
