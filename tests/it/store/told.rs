//! The outbox to the EHRs: one worker at a time, what is noted with what change, and what was over before it was told.

use chartseal::base::{DeliveryId, UtcMillis};
use chartseal::policy::ReviewReason;
use chartseal::record::{Link, Told};
use chartseal::store::{self, Mode, NewDelivery, Renewed, StoreError, ToldEnd, ToldRow, ToldState, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

fn lease(tx: &mut Tx, at: UtcMillis) -> Result<Option<ToldRow>, StoreError> {
    store::lease_told(tx, &stage::ehr(), at, at.plus(after(120)))
}

fn end(state: ToldState, due_at: Option<UtcMillis>) -> ToldEnd {
    ToldEnd { state, due_at, tries: 0, remote_id: None, why: None }
}

/// A delivery in review, of which the EHR is told in this mode.
fn in_review(tx: &mut Tx, number: u16, mode: Mode) -> Result<DeliveryId, StoreError> {
    let source = stage::read_report(tx, number)?;
    let state = Link::Review { why: ReviewReason::HeldTooLong };
    let new = NewDelivery { mode, state, ..stage::new_delivery(&source) };
    let entry = stage::decided(&new);
    store::insert_delivery(tx, &new, &entry)?;
    Ok(new.id)
}

fn all_of(tx: &mut Tx, id: &DeliveryId) -> Result<Vec<(Told, ToldState)>, StoreError> {
    Ok(store::told_of_delivery(tx.conn(), id)?.iter().map(|row| (row.told, row.state)).collect())
}

on_both! {
    async fn of_eight_workers_at_once_one_tells_and_a_lost_lease_keeps_nothing(bed: Bed) {
        bed.write(|tx| store::set_tells(tx, &stage::ehr(), &[Told::Task], NOW)).await;
        let id = bed.write(|tx| in_review(tx, 1, Mode::Live)).await;
        let answers = bed.all_at_once(8, |tx, _| lease(tx, NOW)).await;
        assert_eq!(answers.into_iter().filter(|answer| matches!(answer, Ok(Some(_)))).count(), 1);
        assert!(!bed.read(|conn| store::is_anything_to_tell(conn, &stage::ehr(), NOW)).await);
        let late = bed.write(|tx| lease(tx, NOW.plus(after(120)))).await.expect("a lease that ran out is given on");
        assert_eq!((late.tries, late.about.clone()), (2, vec!["DiagnosticReport/report-1/_history/1".to_owned()]));
        let first = ToldRow { tries: 1, ..late.clone() };
        let kept = first.clone();
        assert_eq!(bed.write(move |tx| store::renew_told(tx, kept, NOW.plus(after(500)))).await, Renewed::Lost);
        let lost = bed.store.write(move |tx| store::settle_told(tx, &first, &end(ToldState::Written, None), NOW)).await;
        assert!(matches!(lost, Err(StoreError::Moved)), "{lost:?}");
        bed.write(move |tx| store::settle_told(tx, &late, &end(ToldState::Written, None), NOW)).await;
        assert_eq!(bed.write(move |tx| all_of(tx, &id)).await, [(Told::Task, ToldState::Written)]);
        assert_eq!(bed.write(|tx| store::forget_told(tx, NOW.plus(after(1)))).await, 1);
    }

    async fn nothing_is_noted_in_shadow_nor_for_an_ehr_that_is_told_nothing(bed: Bed) {
        let unasked = bed.write(|tx| in_review(tx, 1, Mode::Live)).await;
        bed.write(|tx| store::set_tells(tx, &stage::ehr(), &Told::ALL, NOW)).await;
        let shadow = bed.write(|tx| in_review(tx, 2, Mode::Shadow)).await;
        bed.write(|tx| store::set_tells(tx, &stage::ehr(), &[Told::Communication], NOW)).await;
        let other = bed.write(|tx| in_review(tx, 3, Mode::Live)).await;
        for id in [unasked, shadow, other] {
            assert_eq!(bed.write(move |tx| all_of(tx, &id)).await, []);
        }
        assert_eq!(bed.read(|conn| store::tells(conn, &stage::ehr())).await, [Told::Communication]);
    }

    async fn a_task_that_is_over_while_it_is_told_is_due_at_once(bed: Bed) {
        bed.write(|tx| store::set_tells(tx, &stage::ehr(), &[Told::Task], NOW)).await;
        let id = bed.write(|tx| in_review(tx, 1, Mode::Live)).await;
        let row = bed.write(|tx| lease(tx, NOW)).await.expect("it is due");
        let revoked = id.clone();
        bed.write(move |tx| stage::revoke(tx, &revoked, NOW.plus(after(1)))).await;
        let open = end(ToldState::Open, Some(NOW.plus(after(600))));
        bed.write(move |tx| store::settle_told(tx, &row, &open, NOW.plus(after(2)))).await;
        let again = bed.write(|tx| lease(tx, NOW.plus(after(3)))).await.expect("it is over, and still open there");
        assert_eq!((again.state, again.over_at), (ToldState::Open, Some(NOW.plus(after(1)))));
    }

    async fn a_replica_that_starts_again_takes_up_what_its_former_self_was_telling(bed: Bed) {
        bed.write(|tx| store::set_tells(tx, &stage::ehr(), &[Told::Task], NOW)).await;
        bed.write(|tx| in_review(tx, 1, Mode::Live)).await;
        let row = bed.write(|tx| lease(tx, NOW)).await.expect("it is due");
        assert!(bed.write(|tx| lease(tx, NOW.plus(after(1)))).await.is_none());
        assert_eq!(bed.write(|tx| store::give_back(tx, NOW.plus(after(1)))).await, 1);
        assert!(bed.write(|tx| lease(tx, NOW.plus(after(1)))).await.is_some());
        let late = bed.store.write(move |tx| store::settle_told(tx, &row, &end(ToldState::Written, None), NOW)).await;
        assert!(matches!(late, Err(StoreError::Moved)), "{late:?}");
    }

    async fn tasks_beyond_what_anybody_can_do_are_not_written(bed: Bed) {
        bed.write(|tx| store::set_tells(tx, &stage::ehr(), &[Told::Task], NOW)).await;
        let last = bed
            .write(|tx| {
                let mut last = in_review(tx, 1, Mode::Live)?;
                for number in 2..=201 {
                    last = in_review(tx, number, Mode::Live)?;
                }
                Ok(last)
            })
            .await;
        let standing = bed.read(|conn| store::told_standing(conn, &stage::ehr())).await;
        let standing: Vec<_> = standing.iter().map(|one| (one.state, one.count)).collect();
        assert_eq!(standing, [(ToldState::Waiting, 200), (ToldState::Skipped, 1)]);
        assert_eq!(bed.write(move |tx| all_of(tx, &last)).await, [(Told::Task, ToldState::Skipped)]);
    }

    async fn what_failed_is_told_again_unless_it_is_over(bed: Bed) {
        bed.write(|tx| store::set_tells(tx, &stage::ehr(), &[Told::Task], NOW)).await;
        let id = bed.write(|tx| in_review(tx, 1, Mode::Live)).await;
        let row = bed.write(|tx| lease(tx, NOW)).await.expect("it is due");
        bed.write(move |tx| store::settle_told(tx, &row, &end(ToldState::Failed, None), NOW)).await;
        let standing = bed.read(|conn| store::told_standing(conn, &stage::ehr())).await;
        assert_eq!(standing.iter().map(|one| (one.state, one.count)).collect::<Vec<_>>(), [(ToldState::Failed, 1)]);
        assert_eq!(bed.write(|tx| store::told_again(tx, &stage::ehr(), NOW)).await, 1);
        let again = bed.write(|tx| lease(tx, NOW)).await.expect("it is due again");
        assert_eq!(again.tries, 1);
        assert_eq!(bed.write(move |tx| all_of(tx, &id)).await, [(Told::Task, ToldState::Waiting)]);
    }
}
