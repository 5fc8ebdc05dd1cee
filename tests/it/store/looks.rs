//! Further looks, patient panels and readings of the past: one worker at a time, whose turn it is, and what was stopped.

use chartseal::base::{OperatorName, ResourceType, UtcMillis, random};
use chartseal::store::{
    self, Hearing, Listed, Look, LookEnd, LookRow, Offered, Past, PastAsked, PastRow, PastState, PatientEnd, Reached,
    Renewed, StoreError, Tx,
};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

const KIND: ResourceType = ResourceType::DiagnosticReport;
const LOOK: Look = Look::History(KIND);

fn lease(tx: &mut Tx, at: UtcMillis) -> Result<Option<LookRow>, StoreError> {
    store::lease_look(tx, &stage::ehr(), LOOK, at, at.plus(after(120)))
}

fn begin(tx: &mut Tx, since: UtcMillis) -> Result<bool, StoreError> {
    let by = OperatorName::parse("Eve Admin").unwrap();
    let asked = PastAsked { ehr: stage::ehr(), what: Past::Backfill, since, until: NOW, by };
    store::begin_past(tx, &asked, NOW)
}

fn lease_past(tx: &mut Tx, at: UtcMillis) -> Result<Option<PastRow>, StoreError> {
    store::lease_past(tx, &stage::ehr(), Past::Backfill, at, at.plus(after(120)))
}

fn listed(number: u8) -> Listed {
    Listed { index: [number; 32], id_sealed: vec![number], watermark: NOW }
}

fn due(tx: &mut Tx, at: UtcMillis) -> Result<Vec<u8>, StoreError> {
    let due = store::due_patients(tx.conn(), &stage::ehr(), KIND, at, 10)?;
    Ok(due.iter().map(|patient| patient.index[0]).collect())
}

on_both! {
    async fn of_eight_workers_at_once_one_looks_and_a_lost_lease_writes_nothing(bed: Bed) {
        let begun = bed.all_at_once(8, |tx, _| store::ensure_look(tx, &stage::ehr(), LOOK, NOW, NOW)).await;
        assert!(begun.iter().all(Result::is_ok), "{begun:?}");
        let answers = bed.all_at_once(8, |tx, _| lease(tx, NOW)).await;
        assert_eq!(answers.into_iter().filter(|answer| matches!(answer, Ok(Some(_)))).count(), 1);
        assert!(!bed.read(|conn| store::is_look_due(conn, &stage::ehr(), LOOK, NOW)).await);
        let late = bed.write(|tx| lease(tx, NOW.plus(after(120)))).await.expect("a lease that ran out is given on");
        let end = |why: Option<&str>| LookEnd {
            watermark: why.is_none().then_some(NOW.plus(after(5))),
            offered: Offered::Yes,
            next_at: NOW.plus(after(300)),
            why: why.map(str::to_owned),
        };
        let first = LookRow { lease_until: Some(NOW.plus(after(120))), ..late.clone() };
        let kept = first.clone();
        let lost = bed.write(move |tx| store::renew_look(tx, kept, NOW.plus(after(500)))).await;
        assert_eq!(lost, Renewed::Lost);
        let settled = bed.store.write(move |tx| store::settle_look(tx, &first, &end(None), NOW)).await;
        assert!(matches!(settled, Err(StoreError::Moved)), "{settled:?}");
        bed.write(move |tx| store::settle_look(tx, &late, &end(None), NOW)).await;
        bed.write(move |tx| {
            assert!(lease(tx, NOW.plus(after(299)))?.is_none());
            let row = lease(tx, NOW.plus(after(300)))?.expect("it is due");
            assert_eq!((row.watermark, row.last_ok_at, row.offered), (NOW.plus(after(5)), Some(NOW), Offered::Yes));
            store::settle_look(tx, &row, &end(Some("down")), NOW.plus(after(300)))
        }).await;
        let rows = bed.read(|conn| store::looks_of(conn, &stage::ehr())).await;
        assert_eq!((rows.len(), rows[0].watermark, rows[0].why.as_deref()), (1, NOW.plus(after(5)), Some("down")));
        assert_eq!(rows[0].last_ok_at, Some(NOW), "what failed is no good look");
    }

    async fn who_waited_longest_is_asked_about_first_and_whom_no_list_names_is_forgotten(bed: Bed) {
        bed.write(|tx| {
            for number in [1, 2, 3] {
                store::list_patient(tx, &stage::ehr(), KIND, &listed(number), NOW.plus(after(u64::from(number))))?;
            }
            assert_eq!(due(tx, NOW.plus(after(3)))?, [1, 2, 3]);
            let patients = store::due_patients(tx.conn(), &stage::ehr(), KIND, NOW.plus(after(3)), 1)?;
            let end = |watermark, why: Option<&str>| PatientEnd {
                watermark,
                dated_at: None,
                next_at: NOW.plus(after(60)),
                why: why.map(str::to_owned),
            };
            store::settle_patient(tx, &stage::ehr(), KIND, &patients[0], &end(Some(NOW.plus(after(9))), None))?;
            assert_eq!(due(tx, NOW.plus(after(3)))?, [2, 3]);
            // Who is listed again keeps their turn and how far they were seen.
            store::list_patient(tx, &stage::ehr(), KIND, &listed(1), NOW.plus(after(40)))?;
            assert_eq!(due(tx, NOW.plus(after(60)))?, [2, 3, 1]);
            let second = store::due_patients(tx.conn(), &stage::ehr(), KIND, NOW.plus(after(3)), 1)?;
            store::settle_patient(tx, &stage::ehr(), KIND, &second[0], &end(None, Some("down")))?;
            let summary = store::panel_summary(tx.conn(), &stage::ehr(), KIND)?;
            assert_eq!((summary.patients, summary.failing, summary.watermark), (3, 1, Some(NOW)));
            assert_eq!(store::panel_summary(tx.conn(), &stage::ehr(), ResourceType::DocumentReference)?.patients, 0);
            assert_eq!(store::forget_unlisted(tx, &stage::ehr(), NOW.plus(after(20)))?, 2);
            assert_eq!(due(tx, NOW.plus(after(60)))?, [1]);
            assert_eq!(store::next_patients(tx.conn(), &stage::ehr(), KIND, None, 10)?.len(), 1);
            Ok(())
        }).await;
        let after_the_last =
            bed.read(|conn| store::next_patients(conn, &stage::ehr(), KIND, Some([1; 32]), 10)).await;
        assert!(after_the_last.is_empty());
    }

    async fn a_reading_of_the_past_runs_once_stops_for_good_and_goes_on_where_it_was(bed: Bed) {
        let since = NOW.minus(after(1000));
        let begun = bed.all_at_once(8, move |tx, _| begin(tx, since)).await;
        assert_eq!(begun.into_iter().filter(|begun| matches!(begun, Ok(true))).count(), 1);
        let row = bed.write(|tx| lease_past(tx, NOW)).await.expect("it is due");
        assert!(!bed.read(|conn| store::is_past_due(conn, &stage::ehr(), NOW)).await, "somebody is at it");
        let at = NOW.minus(after(500));
        let on = PastRow { reached: Reached { at, ..row.reached }, seen: 7, heard: 5, ..row };
        let stopped_meanwhile = on.clone();
        assert!(bed.write(move |tx| store::settle_past(tx, &on)).await);
        let row = bed.write(|tx| lease_past(tx, NOW)).await.expect("it goes on");
        assert_eq!((row.reached.at, row.seen, row.heard), (at, 7, 5));
        assert!(bed.write(|tx| store::stop_past(tx, &stage::ehr(), Past::Backfill)).await);
        let late = PastRow { seen: 99, ..row.clone() };
        assert!(!bed.write(move |tx| store::settle_past(tx, &late)).await, "what was stopped moved on");
        assert!(!bed.write(move |tx| store::settle_past(tx, &stopped_meanwhile)).await);
        let lost = bed.write(move |tx| store::renew_past(tx, row, NOW.plus(after(500)))).await;
        assert_eq!(lost, Renewed::Lost);
        assert!(bed.write(|tx| lease_past(tx, NOW.plus(after(500)))).await.is_none(), "a stopped one is nobody's work");
        assert!(!bed.write(|tx| store::stop_past(tx, &stage::ehr(), Past::Backfill)).await);
        assert!(bed.write(|tx| store::resume_past(tx, &stage::ehr(), Past::Backfill, NOW)).await);
        let row = bed.write(|tx| lease_past(tx, NOW)).await.expect("it goes on");
        assert_eq!((row.reached.at, row.seen), (at, 7));
        let done = PastRow { state: PastState::Done, ended_at: Some(NOW), ..row };
        assert!(bed.write(move |tx| store::settle_past(tx, &done)).await);
        assert!(bed.write(move |tx| begin(tx, since)).await, "another one may follow");
        let rows = bed.read(|conn| store::past_of(conn, &stage::ehr())).await;
        assert_eq!((rows.len(), rows[0].state, rows[0].seen), (1, PastState::Running, 0));
    }

    async fn what_a_look_back_found_is_marked_until_the_ehr_speaks_of_it(bed: Bed) {
        let (key, later) = (stage::report(1), NOW.plus(after(60)));
        let of_the_past = {
            let key = key.clone();
            move |tx: &mut Tx| store::hear_of_the_past(tx, &key, None, later, NOW, &mut random::system())
        };
        let found = bed.write(of_the_past.clone()).await;
        let Hearing::Due(id) = found else { panic!("{found:?}") };
        assert_eq!(bed.write(of_the_past).await, Hearing::Known(id.clone()));
        let row = { let id = id.clone(); bed.read(move |conn| store::source(conn, &id)).await.unwrap() };
        assert_eq!(row.backfilled_at, Some(NOW));
        let is_leased = |at| {
            move |tx: &mut Tx| Ok(!store::lease_sources(tx, &stage::ehr(), at, UtcMillis(at.0 + 1), 10)?.is_empty())
        };
        assert!(!bed.write(is_leased(NOW)).await, "a fresh report would wait behind it");
        let again = {
            let key = key.clone();
            move |tx: &mut Tx| store::hear_again_in_full(tx, &key, None, later, NOW, &mut random::system())
        };
        bed.write(again).await;
        let row = { let id = id.clone(); bed.read(move |conn| store::source(conn, &id)).await.unwrap() };
        assert_eq!(row.backfilled_at, Some(NOW), "to read it again is no word of the EHR's");
        let spoken = { let key = key.clone(); move |tx: &mut Tx| store::hear(tx, &key, None, NOW, &mut random::system()) };
        bed.write(spoken).await;
        let row = bed.read(move |conn| store::source(conn, &id)).await.unwrap();
        assert_eq!(row.backfilled_at, None);
        assert!(bed.write(is_leased(NOW)).await);
    }

    async fn only_what_is_followed_and_was_there_is_looked_for_when_the_ehr_says_that_it_is_gone(bed: Bed) {
        let (known, unknown) = (stage::report(1), stage::report(2));
        bed.write({
            let known = known.clone();
            move |tx| store::hear(tx, &known, None, NOW, &mut random::system()).map(drop)
        }).await;
        bed.write(move |tx| {
            assert!(store::is_followed(tx.conn(), &known)?);
            assert!(!store::is_followed(tx.conn(), &unknown)?);
            assert!(store::heard_to_be_gone(tx, &known, NOW)?.is_some());
            assert_eq!(store::heard_to_be_gone(tx, &unknown, NOW)?, None);
            let rows = store::lease_sources(tx, &stage::ehr(), NOW, NOW.plus(after(60)), 10)?;
            assert_eq!(rows.len(), 1, "of the unknown one nothing is kept");
            let gone = chartseal::store::SourceReading { gone_at: Some(NOW), ..stage::reading(NOW, "1") };
            store::finish_source(tx, &rows[0], &gone)?;
            assert!(!store::is_followed(tx.conn(), &known)?);
            assert_eq!(store::heard_to_be_gone(tx, &known, NOW)?, None, "it is known to be gone");
            Ok(())
        }).await;
    }
}
