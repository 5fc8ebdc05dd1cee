//! Several deliveries with one link: held together, leased together, and none forgotten by the next link.

use std::sync::{Arc, Barrier};

use chartseal::base::{DeliveryId, UtcMillis};
use chartseal::policy::columns::Grouping;
use chartseal::policy::vocabulary::GroupBy;
use chartseal::policy::{Decision, Terms};
use chartseal::record::{LinkEvent, SuspendedWhy};
use chartseal::store::{self, Delivery, NewDelivery, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, Released, Won, after, new_delivery};

const ROUNDS: u16 = 6;
const SHARERS: u16 = 4;

fn grouped() -> Decision {
    let group = Grouping::With { what: GroupBy::Order, wait_seconds: 3600 };
    Decision::Send { terms: Terms { group, ..stage::terms(2) } }
}

/// One that waits for others of one order.
fn gathering(tx: &mut Tx, number: u16) -> Result<Delivery, StoreError> {
    let source = stage::read_report(tx, number)?;
    stage::keep(tx, &NewDelivery { group_index: Some([5; 32]), decision: grouped(), ..new_delivery(&source) })
}

/// So many reports in one link; the link is the last one's.
fn released(tx: &mut Tx, first: u16) -> Result<(Vec<DeliveryId>, Released), StoreError> {
    let all: Vec<Delivery> =
        (first..first + SHARERS).map(|number| stage::recorded(tx, number)).collect::<Result<_, _>>()?;
    let (lead, companions) = all.split_last().expect("there are some");
    let it = stage::release_together(tx, lead, companions, 2)?;
    Ok((all.iter().map(|one| one.id.clone()).collect(), it))
}

/// As [`released`], handed over.
fn handed_over(tx: &mut Tx, first: u16) -> Result<(Vec<DeliveryId>, Released), StoreError> {
    let all = released(tx, first)?;
    assert_eq!(store::lease_notices(tx, NOW, NOW, 100)?.len(), 1);
    Ok(all)
}

fn lease(tx: &mut Tx, lead: &Delivery, now: UtcMillis) -> Result<Vec<Delivery>, StoreError> {
    store::lease_companions(tx, lead, now, now.plus(after(60)), 10)
}

on_both! {
    async fn steps_that_meet_on_one_link_never_wait_for_each_other_in_a_ring(bed: Bed) {
        for round in 0..ROUNDS {
            let (ids, it) = bed
                .write(move |tx| {
                    let all = handed_over(tx, round * SHARERS)?;
                    for number in 0..2 {
                        stage::begin(tx, &all.1.link, number, NOW)?;
                        assert_eq!(stage::claim(tx, &all.1.link, number, NOW)?, Won::Granted);
                    }
                    Ok(all)
                })
                .await;
            let answers = bed
                .all_at_once(6, move |tx, number| match ids.get(usize::from(number)) {
                    Some(id) => stage::step(tx, id, LinkEvent::Recall, NOW),
                    None => {
                        store::receive(tx, &it.link, &stage::browser(number - 4), NOW)?;
                        store::spend_if_used_up(tx, &it.link, chartseal::audit::Actor::Holder, NOW)
                    }
                })
                .await;
            let odd: Vec<_> = answers
                .iter()
                .filter(|answer| !matches!(answer, Ok(()) | Err(StoreError::Moved | StoreError::NotAllowed(_))))
                .collect();
            assert!(odd.is_empty(), "{odd:?}");
        }
        stage::verified_lines(&bed).await;
    }

    async fn no_message_is_leased_while_another_step_holds_one_of_its_reports(bed: Bed) {
        let (ids, it) = bed.write(|tx| released(tx, 0)).await;
        let both = Arc::new(Barrier::new(if bed.engine == Engine::Postgres { 2 } else { 1 }));
        let companion = ids[0].clone();
        let answers = bed
            .all_at_once(2, move |tx, number| {
                if number == 0 {
                    stage::step(tx, &companion, LinkEvent::Suspend { why: SuspendedWhy::WentBack }, NOW)?;
                    both.wait();
                    both.wait();
                    return Ok(0);
                }
                both.wait();
                let leased = store::lease_notices(tx, NOW, NOW, 10);
                both.wait();
                Ok(leased?.len())
            })
            .await;
        let leased: usize = answers.into_iter().map(|answer| answer.expect("nobody waits for the other")).sum();
        assert!(leased == 0 || bed.engine == Engine::Sqlite, "a message leaves for a link that is refused");
        let state = stage::the_notice(&bed, &it.notice).await.state.name();
        assert_eq!(state, if leased == 0 { "queued" } else { "leased" });
    }

    async fn one_that_failed_again_and_again_joins_no_other_before_its_own_time(bed: Bed) {
        bed.write(|tx| {
            let lead = gathering(tx, 1)?;
            let later = NOW.plus(after(600));
            gathering(tx, 2)?;
            for _ in 0..2 {
                let failed = lease(tx, &lead, NOW)?.remove(0);
                store::postpone_delivery(tx, &failed, later)?;
            }
            assert_eq!(lease(tx, &lead, NOW)?.len(), 0, "it holds up the group again");
            let joined = lease(tx, &lead, later)?;
            assert_eq!(joined.len(), 1, "its own time has come");
            store::give_back_companion(tx, &joined[0])?;
            let again = lease(tx, &lead, later)?.remove(0);
            assert_eq!(again.tries, joined[0].tries, "a try is counted");
            let kept = store::renew_delivery_lease(tx, joined[0].clone(), later.plus(after(600)))?;
            assert!(matches!(kept, store::Renewed::Lost), "who gave it back keeps it from others");
            let mut tired = lead;
            tired.tries = 7;
            assert_eq!(lease(tx, &tired, later)?.len(), 0, "others keep it back for ever");
            Ok(())
        })
        .await;
    }

    async fn a_link_is_remembered_by_the_reports_that_got_another(bed: Bed) {
        bed.write(|tx| {
            let (ids, first) = handed_over(tx, 0)?;
            stage::begin(tx, &first.link, 1, NOW)?;
            assert_eq!(stage::claim(tx, &first.link, 1, NOW)?, Won::Granted);
            stage::step(tx, &ids[3], LinkEvent::Recall, NOW)?;
            let parted = store::delivery(tx.conn(), &ids[0])?.expect("it is there");
            assert_eq!(store::opened_of(tx.conn(), &parted.id)?, 1);
            let second = stage::release(tx, &parted, 2)?;
            assert_eq!(store::links_of(tx.conn(), &parted.id)?, [first.link.clone(), second.link.clone()]);
            assert_eq!(store::opened_of(tx.conn(), &parted.id)?, 1, "who read it before is forgotten");
            let notices = store::notices_of(tx.conn(), &parted.id)?;
            let notices: Vec<_> = notices.into_iter().map(|notice| notice.id).collect();
            assert!(notices.len() == 2 && notices.contains(&first.notice) && notices.contains(&second.notice));
            let owner = store::owner_of_link(tx.conn(), &first.link)?.map(|owner| owner.id);
            assert_eq!(owner, Some(ids[3].clone()));
            Ok(())
        })
        .await;
    }
}
