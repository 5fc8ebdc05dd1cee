//! Subscriptions to topics and the gaps in their events: one worker at a time, and what was heard is never overwritten.

use chartseal::base::UtcMillis;
use chartseal::store::{self, GapRow, SignOfLife, StoreError, TopicRow, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

fn lease(tx: &mut Tx, at: UtcMillis) -> Result<Option<TopicRow>, StoreError> {
    store::lease_topic(tx, &stage::ehr(), at, at.plus(after(120)))
}

fn gap(first: u64, last: u64) -> GapRow {
    GapRow { first, last, due_at: NOW }
}

on_both! {
    async fn of_eight_workers_at_once_one_looks_at_the_subscription(bed: Bed) {
        let begun = bed.all_at_once(8, |tx, _| store::ensure_topic(tx, &stage::ehr(), NOW)).await;
        assert!(begun.iter().all(Result::is_ok), "{begun:?}");
        let answers = bed.all_at_once(8, |tx, _| lease(tx, NOW)).await;
        assert_eq!(answers.into_iter().filter(|answer| matches!(answer, Ok(Some(_)))).count(), 1);
        let late = bed.write(|tx| lease(tx, NOW.plus(after(120)))).await.expect("a lease that ran out is given on");
        let first = TopicRow { lease_until: Some(NOW.plus(after(120))), ..late };
        let settled = bed.store.write(move |tx| store::settle_topic(tx, &first)).await;
        assert!(matches!(settled, Err(StoreError::Moved)), "{settled:?}");
    }

    async fn what_is_heard_during_a_look_stays_and_trouble_brings_the_next_look_forward(bed: Bed) {
        bed.write(|tx| {
            store::ensure_topic(tx, &stage::ehr(), NOW)?;
            let row = lease(tx, NOW)?.expect("it is due");
            let heard = NOW.plus(after(1));
            store::hold_topic(tx, &stage::ehr(), SignOfLife::Heartbeat, heard)?;
            store::set_counted(tx, &stage::ehr(), Some("s1"), Some(1 << 53))?;
            store::look_sooner(tx, &stage::ehr(), heard)?;
            let next_at = NOW.plus(after(240));
            store::settle_topic(tx, &TopicRow { next_at, status: "active".to_owned(), tries: 0, ..row })?;
            let row = store::topic_of(tx.conn(), &stage::ehr())?.expect("it is followed");
            assert_eq!((row.heard_at, row.beat_at, row.next_at), (Some(heard), Some(heard), heard));
            assert_eq!((row.numbered.as_deref(), row.highest, row.status.as_str()), (Some("s1"), Some(1 << 53), "active"));
            let row = lease(tx, heard)?.expect("trouble was told");
            store::settle_topic(tx, &TopicRow { next_at, ..row })?;
            assert!(lease(tx, UtcMillis(next_at.0 - 1))?.is_none());
            Ok(())
        })
        .await;
    }

    async fn of_eight_workers_at_once_each_gap_is_taken_by_one(bed: Bed) {
        bed.write(|tx| {
            store::ensure_topic(tx, &stage::ehr(), NOW)?;
            let later = GapRow { due_at: NOW.plus(after(1)), ..gap(40, 41) };
            store::set_gaps(tx, &stage::ehr(), &[gap(3, 7), gap(22, 22), later])
        })
        .await;
        let until = NOW.plus(after(120));
        let answers = bed.all_at_once(8, move |tx, _| store::take_gap(tx, &stage::ehr(), NOW, until)).await;
        let mut taken: Vec<u64> = answers.into_iter().filter_map(|answer| Some(answer.unwrap()?.1.first)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [3, 22]);
        let open = bed.read(|conn| store::gaps_of(conn, &stage::ehr())).await;
        assert_eq!(open.len(), 3, "a gap that was taken is open until it is closed");
        let again = bed.write(move |tx| store::take_gap(tx, &stage::ehr(), until, until)).await;
        assert!(again.is_some(), "whoever took it died");
    }

    async fn each_replica_counts_from_what_the_one_before_it_wrote(bed: Bed) {
        bed.write(|tx| store::ensure_topic(tx, &stage::ehr(), NOW)).await;
        let answers = bed.all_at_once(8, |tx, _| {
            let row = store::hold_topic(tx, &stage::ehr(), SignOfLife::Other, NOW)?.expect("it is followed");
            store::set_counted(tx, &stage::ehr(), None, Some(row.highest.unwrap_or(0) + 1))
        })
        .await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let row = bed.read(|conn| store::topic_of(conn, &stage::ehr())).await;
        assert_eq!(row.and_then(|row| row.highest), Some(8));
        let nobody = bed.write(|tx| store::hold_topic(tx, &"none".parse().unwrap(), SignOfLife::Other, NOW)).await;
        assert_eq!(nobody, None);
    }
}
