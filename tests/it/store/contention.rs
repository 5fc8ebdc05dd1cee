//! Steps that meet on one delivery: nobody waits for another who waits for them, and nobody misses the other.

use std::sync::{Arc, Barrier};

use chartseal::record::LinkEvent;
use chartseal::store::{self, Received, StoreError};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, Won, browser};

const ROUNDS: u16 = 8;

fn assert_nobody_was_in_the_way<T: std::fmt::Debug>(answers: &[Result<T, StoreError>]) {
    let odd: Vec<_> = answers
        .iter()
        .filter(|answer| !matches!(answer, Ok(_) | Err(StoreError::Moved | StoreError::NotAllowed(_))))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
}

on_both! {
    async fn claims_and_a_revocation_at_once_end_with_a_dead_link_and_no_running_claim(bed: Bed) {
        for round in 0..ROUNDS {
            let it = bed
                .write(move |tx| {
                    let it = stage::handed_over(tx, round, 8)?;
                    (0..8).try_for_each(|number| stage::begin(tx, &it.link, number, NOW).map(|_| ()))?;
                    Ok(it)
                })
                .await;
            let one = it.clone();
            let answers = bed
                .all_at_once(9, move |tx, number| {
                    if number == 4 {
                        stage::revoke(tx, &one.delivery, NOW)
                    } else {
                        stage::claim(tx, &one.link, number, NOW).map(|_| ())
                    }
                })
                .await;
            assert_nobody_was_in_the_way(&answers);
            let row = stage::the_link(&bed, &it.link).await;
            assert_eq!((row.share_wrapped, row.shredded_at), (None, Some(NOW)));
            let link = it.link.clone();
            assert_eq!(bed.read(move |conn| store::running_claims(conn, &link, NOW)).await, 0);
        }
        stage::verified_lines(&bed).await;
    }

    async fn a_lease_and_a_revocation_at_once_leave_no_notice_of_a_dead_link_leased(bed: Bed) {
        for round in 0..ROUNDS {
            let it = bed.write(move |tx| stage::released(tx, round, 1)).await;
            let one = it.clone();
            let answers = bed
                .all_at_once(6, move |tx, number| {
                    if number % 2 == 0 {
                        store::lease_notices(tx, NOW, NOW, 10).map(|_| ())
                    } else {
                        stage::revoke(tx, &one.delivery, NOW)
                    }
                })
                .await;
            assert_nobody_was_in_the_way(&answers);
            assert_eq!(stage::the_delivery(&bed, &it.delivery).await.state.name(), "revoked");
            let row = stage::the_notice(&bed, &it.notice).await;
            assert_eq!((row.state.name(), row.secret_sealed), ("dead", None));
        }
        stage::verified_lines(&bed).await;
    }

    async fn of_the_last_receipts_at_once_one_sees_that_none_is_running(bed: Bed) {
        for round in 0..ROUNDS {
            let it = bed
                .write(move |tx| {
                    let it = stage::handed_over(tx, round, 2)?;
                    for number in 0..2 {
                        stage::begin(tx, &it.link, number, NOW)?;
                        assert_eq!(stage::claim(tx, &it.link, number, NOW)?, Won::Granted);
                    }
                    Ok(it)
                })
                .await;
            let one = it.clone();
            let answers = bed
                .all_at_once(2, move |tx, number| {
                    assert_eq!(store::receive(tx, &one.link, &browser(number), NOW)?, Received::Taken);
                    if store::running_claims(tx.conn(), &one.link, NOW)? == 0 {
                        stage::step(tx, &one.delivery, LinkEvent::LastLeaseEnded, NOW)?;
                    }
                    Ok(())
                })
                .await;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            assert_eq!(stage::the_delivery(&bed, &it.delivery).await.state.name(), "spent");
        }
    }

    async fn lapses_and_a_revocation_at_once_lapse_each_opening_once(bed: Bed) {
        let end = NOW.plus(chartseal::record::OPENING_LEASE);
        for round in 0..ROUNDS {
            let it = bed
                .write(move |tx| {
                    let it = stage::handed_over(tx, round, 4)?;
                    for number in 0..4 {
                        stage::begin(tx, &it.link, number, NOW)?;
                        stage::claim(tx, &it.link, number, NOW)?;
                    }
                    Ok(it)
                })
                .await;
            let answers = bed
                .all_at_once(5, move |tx, number| {
                    if number == 2 {
                        stage::revoke(tx, &it.delivery, end)?;
                        return Ok(0);
                    }
                    Ok(store::lapse_openings(tx, end, 10)?.len())
                })
                .await;
            assert_nobody_was_in_the_way(&answers);
            let lapsed: usize = answers.into_iter().flatten().sum();
            assert!(lapsed == 4 || lapsed == 0, "the revocation ends what has not lapsed: {lapsed}");
        }
    }

    async fn hearings_and_readings_at_once_do_not_wait_for_each_other_in_a_ring(bed: Bed) {
        for round in 0..ROUNDS {
            let seen = bed
                .write(move |tx| {
                    let rng = &mut chartseal::base::random::system();
                    store::hear(tx, &stage::report(round), None, NOW, rng)?;
                    Ok(store::lease_sources(tx, &stage::ehr(), NOW, NOW.plus(stage::after(60)), 10)?.remove(0))
                })
                .await;
            let both_here = Arc::new(Barrier::new(if bed.engine == Engine::Postgres { 2 } else { 1 }));
            let answers = bed
                .all_at_once(2, move |tx, number| {
                    both_here.wait();
                    let line = chartseal::audit::AuditEvent::Resumed;
                    let chain = chartseal::audit::Chain::Source(seen.id.clone());
                    if number == 0 {
                        // As a reading does: its line first, then its end.
                        store::record(tx, chain, NOW, line)?;
                        store::finish_source(tx, &seen, &stage::reading(NOW, "1"))
                    } else {
                        let rng = &mut chartseal::base::random::system();
                        store::hear(tx, &stage::report(round), Some(&stage::version("2")), NOW, rng)?;
                        store::record(tx, chain, NOW, line)
                    }
                })
                .await;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            bed.write(|tx| {
                // What was heard meanwhile is due.
                let seen = store::lease_sources(tx, &stage::ehr(), NOW, NOW.plus(stage::after(60)), 10)?.remove(0);
                store::finish_source(tx, &seen, &stage::reading(NOW, "2"))
            })
            .await;
        }
        stage::verified_lines(&bed).await;
    }
}
