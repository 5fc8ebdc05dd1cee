//! Polls and subscriptions: one worker at a time, and pings that cannot drive them faster than their gap.

use chartseal::base::{ResourceType, UtcMillis};
use chartseal::store::{self, PollEnd, PollRow, Renewed, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

const KIND: ResourceType = ResourceType::DiagnosticReport;
const UNTIL: UtcMillis = UtcMillis(NOW.0 + 120_000);

fn lease(tx: &mut Tx, at: UtcMillis) -> Result<Option<PollRow>, StoreError> {
    store::lease_poll(tx, &stage::ehr(), KIND, at, at.plus(after(120)))
}

fn renew(tx: &mut Tx, row: PollRow, until: UtcMillis) -> Result<Option<PollRow>, StoreError> {
    Ok(match store::renew_poll(tx, row, until)? {
        Renewed::Kept(row) => Some(row),
        Renewed::Lost => None,
    })
}

fn settle(tx: &mut Tx, row: &PollRow, at: UtcMillis, next_at: UtcMillis) -> Result<(), StoreError> {
    store::settle_poll(tx, row, &PollEnd { watermark: Some(at), next_at, why: None }, at)
}

fn started(tx: &mut Tx) -> Result<(), StoreError> {
    store::ensure_poll(tx, &stage::ehr(), KIND, NOW, NOW)
}

on_both! {
    async fn a_poll_is_started_once_and_its_past_stays_unasked(bed: Bed) {
        assert_eq!(bed.read(|conn| store::followed_since(conn, &stage::ehr())).await, None);
        let answers = bed.all_at_once(8, |tx, _| started(tx)).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        bed.write(|tx| store::ensure_poll(tx, &stage::ehr(), KIND, UtcMillis(0), NOW)).await;
        let polls = bed.read(store::polls).await;
        assert_eq!((polls.len(), polls[0].watermark, polls[0].started_at), (1, NOW, NOW));
        assert_eq!(bed.read(|conn| store::followed_since(conn, &stage::ehr())).await, Some(NOW));
    }

    async fn of_eight_workers_at_once_one_leases_the_poll(bed: Bed) {
        bed.write(started).await;
        let answers = bed.all_at_once(8, |tx, _| lease(tx, NOW)).await;
        assert_eq!(answers.into_iter().filter(|answer| matches!(answer, Ok(Some(_)))).count(), 1);
        let again = bed.write(|tx| lease(tx, UNTIL)).await;
        assert!(again.is_some(), "a lease that ran out is given on");
    }

    async fn a_settled_poll_is_due_at_its_next_time_with_its_watermark_moved(bed: Bed) {
        bed.write(|tx| {
            started(tx)?;
            let row = lease(tx, NOW)?.expect("it is due");
            let (done, next) = (NOW.plus(after(2)), NOW.plus(after(300)));
            settle(tx, &row, done, next)?;
            assert!(lease(tx, UtcMillis(next.0 - 1))?.is_none());
            let row = lease(tx, next)?.expect("it is due");
            assert_eq!((row.watermark, row.last_ok_at, row.why.as_deref()), (done, Some(done), None));
            let fault = PollEnd { watermark: None, next_at: next, why: Some("down".to_owned()) };
            store::settle_poll(tx, &row, &fault, next)?;
            let row = store::polls(tx.conn())?.remove(0);
            assert_eq!((row.watermark, row.last_ok_at, row.why.as_deref()), (done, Some(done), Some("down")));
            Ok(())
        })
        .await;
    }

    async fn a_worker_whose_lease_ran_out_cannot_settle_the_next_ones_poll(bed: Bed) {
        let late = bed
            .write(|tx| {
                started(tx)?;
                let late = lease(tx, NOW)?.expect("it is due");
                assert!(lease(tx, UNTIL)?.is_some());
                Ok(late)
            })
            .await;
        let refused = bed.store.write(move |tx| settle(tx, &late, UNTIL, UNTIL)).await;
        assert!(matches!(refused, Err(StoreError::Moved)));
        assert!(bed.write(|tx| lease(tx, UNTIL)).await.is_none(), "the next one still holds it");
    }

    async fn a_poll_that_is_renewed_stays_with_its_worker_and_is_settled_by_it(bed: Bed) {
        bed.write(|tx| {
            started(tx)?;
            let row = lease(tx, NOW)?.expect("it is due");
            let kept = renew(tx, row.clone(), NOW.plus(after(180)))?.expect("it is still held");
            assert!(lease(tx, UNTIL)?.is_none(), "renewed");
            assert_eq!(renew(tx, row, NOW.plus(after(600)))?, None, "held on other terms by now");
            settle(tx, &kept, UNTIL, UNTIL.plus(after(60)))?;
            assert_eq!(store::polls(tx.conn())?[0].next_at, UNTIL.plus(after(60)));
            Ok(())
        })
        .await;
    }

    async fn a_poll_whose_lease_ran_out_is_not_renewed_under_the_next_worker(bed: Bed) {
        bed.write(|tx| {
            started(tx)?;
            let late = lease(tx, NOW)?.expect("it is due");
            let next = lease(tx, UNTIL)?.expect("a lease that ran out is given on");
            assert_eq!(renew(tx, late, UNTIL.plus(after(600)))?, None);
            settle(tx, &next, UNTIL, UNTIL.plus(after(60)))
        })
        .await;
    }

    async fn a_ping_during_a_renewed_poll_is_answered_by_one_more_poll(bed: Bed) {
        bed.write(|tx| {
            started(tx)?;
            let row = lease(tx, NOW)?.expect("it is due");
            let row = renew(tx, row, NOW.plus(after(240)))?.expect("it is still held");
            let ping = NOW.plus(after(150));
            store::poll_sooner(tx, &stage::ehr(), ping)?;
            let row = renew(tx, row, NOW.plus(after(360)))?.expect("it is still held");
            settle(tx, &row, NOW.plus(after(300)), NOW.plus(after(3600)))?;
            assert!(lease(tx, NOW.plus(after(305)))?.is_some());
            Ok(())
        })
        .await;
    }

    async fn a_hundred_pings_cost_one_poll_per_gap(bed: Bed) {
        bed.write(|tx| {
            started(tx)?;
            let row = lease(tx, NOW)?.expect("it is due");
            settle(tx, &row, NOW, NOW.plus(after(3600)))?;
            let mut polls = 0;
            for tenth in 0..100_i64 {
                let at = UtcMillis(NOW.0 + tenth * 100);
                store::poll_sooner(tx, &stage::ehr(), at)?;
                if let Some(row) = lease(tx, at)? {
                    polls += 1;
                    settle(tx, &row, at, at.plus(after(3600)))?;
                }
            }
            assert_eq!(polls, 1, "ten seconds of pings, a gap of five: at 5 s, and the next one at 10 s");
            Ok(())
        })
        .await;
    }

    async fn a_ping_during_a_poll_is_answered_by_one_more_poll(bed: Bed) {
        bed.write(|tx| {
            started(tx)?;
            let row = lease(tx, NOW)?.expect("it is due");
            store::poll_sooner(tx, &stage::ehr(), NOW.plus(after(1)))?;
            assert!(lease(tx, NOW.plus(after(1)))?.is_none(), "one poll at a time");
            settle(tx, &row, NOW.plus(after(2)), NOW.plus(after(3600)))?;
            assert!(lease(tx, NOW.plus(after(3)))?.is_none(), "within the gap");
            assert!(lease(tx, NOW.plus(after(7)))?.is_some());
            Ok(())
        })
        .await;
    }

    async fn pings_do_not_drive_a_poll_that_fails(bed: Bed) {
        bed.write(|tx| {
            started(tx)?;
            let row = lease(tx, NOW)?.expect("it is due");
            let next_at = NOW.plus(after(300));
            store::poll_sooner(tx, &stage::ehr(), NOW)?;
            store::settle_poll(tx, &row, &PollEnd { watermark: None, next_at, why: Some("down".to_owned()) }, NOW)?;
            for second in 0..299 {
                store::poll_sooner(tx, &stage::ehr(), NOW.plus(after(second)))?;
                assert!(lease(tx, NOW.plus(after(second)))?.is_none());
            }
            assert!(lease(tx, next_at)?.is_some());
            Ok(())
        })
        .await;
    }

    async fn of_eight_workers_at_once_one_looks_after_a_subscription(bed: Bed) {
        let ensured =
            bed.all_at_once(8, |tx, _| store::ensure_subscription_row(tx, &stage::ehr(), KIND, NOW)).await;
        assert!(ensured.iter().all(Result::is_ok), "{ensured:?}");
        let answers =
            bed.all_at_once(8, |tx, _| store::lease_subscription(tx, &stage::ehr(), KIND, NOW, UNTIL)).await;
        let mut leased: Vec<_> = answers.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(leased.len(), 1);
        let before = leased.remove(0);
        assert_eq!((before.status.as_str(), before.tries), ("none", 1));
        let next_at = NOW.plus(after(600));
        let after_look = store::SubscriptionRow {
            remote_id: Some("s1".to_owned()),
            status: "active".to_owned(),
            next_at,
            tries: 0,
            ..before
        };
        let kept = store::SubscriptionRow { lease_until: None, ..after_look.clone() };
        bed.write(move |tx| store::settle_subscription(tx, &after_look)).await;
        assert_eq!(bed.read(store::subscriptions).await, [kept]);
        let early = bed.write(|tx| store::lease_subscription(tx, &stage::ehr(), KIND, UNTIL, UNTIL)).await;
        assert_eq!(early, None);
    }

    async fn a_look_whose_lease_ran_out_cannot_settle_the_next_ones_subscription(bed: Bed) {
        let late = bed
            .write(|tx| {
                store::ensure_subscription_row(tx, &stage::ehr(), KIND, NOW)?;
                let late = store::lease_subscription(tx, &stage::ehr(), KIND, NOW, UNTIL)?.expect("it is due");
                let next = store::lease_subscription(tx, &stage::ehr(), KIND, UNTIL, UNTIL.plus(after(120)))?;
                assert!(next.is_some(), "a lease that ran out is given on");
                Ok(late)
            })
            .await;
        let found = store::SubscriptionRow { status: "active".to_owned(), ..late };
        let refused = bed.store.write(move |tx| store::settle_subscription(tx, &found)).await;
        assert!(matches!(refused, Err(StoreError::Moved)));
        assert_eq!(bed.read(store::subscriptions).await[0].status, "none");
        let third = bed.write(|tx| store::lease_subscription(tx, &stage::ehr(), KIND, UNTIL, UNTIL)).await;
        assert_eq!(third, None, "the next one still holds it");
    }
}
