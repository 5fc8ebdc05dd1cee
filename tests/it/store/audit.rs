//! The audit: chains without gaps however many write at once, anchors that nothing slips under, and what retention leaves.

use std::sync::mpsc;
use std::time::Duration;

use chartseal::audit::{AuditEvent, Chain, anchor_digest};
use chartseal::base::{EhrId, UtcMillis};
use chartseal::store::{self, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

fn note(tx: &mut Tx, at: UtcMillis) -> Result<(), StoreError> {
    store::record(tx, Chain::Installation, at, AuditEvent::Resumed)
}

fn note_on(tx: &mut Tx, ehr: &str) -> Result<(), StoreError> {
    store::record(tx, Chain::Ehr(EhrId::parse(ehr).unwrap()), NOW, AuditEvent::Resumed)
}

async fn chain(bed: &Bed, name: &'static str) -> Vec<i64> {
    bed.read(move |conn| store::chain_lines(conn, name)).await.iter().map(|line| line.seq).collect()
}

on_both! {
    async fn sixty_lines_at_once_make_one_chain_without_a_gap(bed: Bed) {
        let answers = bed.all_at_once(60, |tx, _| note(tx, NOW)).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(chain(&bed, "installation").await, (1..=60).collect::<Vec<i64>>());
        assert_eq!(stage::verified_lines(&bed).await, 60);
    }

    async fn every_chain_verifies_after_a_life_with_races_and_refusals(bed: Bed) {
        let links = bed.write(|tx| (0..4).map(|number| stage::handed_over(tx, number, 2)).collect::<Result<Vec<_>, _>>()).await;
        let answers = bed
            .all_at_once(40, move |tx, number| {
                let it = &links[usize::from(number % 4)];
                match number / 4 {
                    0..6 => {
                        stage::begin(tx, &it.link, number, NOW)?;
                        stage::claim(tx, &it.link, number, NOW)?;
                        let owner = store::delivery(tx.conn(), &it.delivery)?.expect("it is there");
                        let event = AuditEvent::Landed { link: it.link.clone() };
                        store::append(tx, &owner.entry(NOW, chartseal::audit::Actor::Holder, event))
                    }
                    _ => stage::revoke(tx, &it.delivery, NOW),
                }
            })
            .await;
        let odd: Vec<_> = answers
            .iter()
            .filter(|answer| !matches!(answer, Ok(()) | Err(StoreError::Moved | StoreError::NotAllowed(_))))
            .collect();
        assert!(odd.is_empty(), "nobody waits for another who waits for them: {odd:?}");
        let revoked = |one: &&store::LinkDeath| one.death == chartseal::record::Death::Revoked;
        assert_eq!(bed.witness.deaths().iter().filter(revoked).count(), 4);
        stage::verified_lines(&bed).await;
    }

    async fn an_anchor_covers_every_line_up_to_its_number_for_ever(bed: Bed) {
        bed.write(|tx| note(tx, NOW)).await;
        // A writer takes a number and keeps its transaction open; another one commits behind it.
        let (took, wait_until_taken) = mpsc::channel();
        let (end, wait_for_end) = mpsc::channel::<()>();
        let slow = {
            let store = bed.store.clone();
            tokio::spawn(async move {
                store
                    .write(move |tx| {
                        note_on(tx, "slow")?;
                        took.send(()).unwrap();
                        let _ = wait_for_end.recv_timeout(Duration::from_millis(700));
                        Ok(())
                    })
                    .await
            })
        };
        tokio::task::spawn_blocking(move || wait_until_taken.recv().unwrap()).await.unwrap();
        let quick = { let store = bed.store.clone(); tokio::spawn(async move { store.write(|tx| note_on(tx, "quick")).await }) };
        if bed.engine == Engine::Postgres {
            quick.await.unwrap().unwrap();
        }
        let until = bed.read(store::highest_n).await;
        let anchored = bed.read(move |conn| store::lines_between(conn, 0, until)).await;
        drop(end);
        slow.await.unwrap().unwrap();
        let later = bed.read(move |conn| store::lines_between(conn, 0, until)).await;
        assert_eq!(anchored, later, "no line slipped in below the anchor");
        let digest = |lines: &[store::Anchorable]| anchor_digest(lines.iter().map(|(_, hash)| hash));
        assert_eq!(digest(&anchored), digest(&later));
    }

    async fn an_export_in_pages_gives_every_line_once(bed: Bed) {
        bed.write(|tx| (0..25).try_for_each(|_| note(tx, NOW))).await;
        let (mut after, mut seen) = (0, 0);
        loop {
            let page = bed.read(move |conn| store::export_after(conn, after, 10)).await;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            seen += page.len();
        }
        assert_eq!((seen, after), (25, bed.read(store::highest_n).await));
    }

    async fn retention_removes_beginnings_and_keeps_the_newest_line(bed: Bed) {
        bed.write(|tx| (0..10).try_for_each(|second| note(tx, NOW.plus(after(second))))).await;
        let newest = bed.read(store::highest_n).await;
        assert_eq!(bed.write(|tx| store::remove_lines_before(tx, NOW.plus(after(4)))).await, 4);
        assert_eq!(chain(&bed, "installation").await, (5..=10).collect::<Vec<i64>>());
        stage::verified_lines(&bed).await;
        assert_eq!(bed.write(|tx| store::remove_lines_before(tx, NOW.plus(after(3600)))).await, 5);
        assert_eq!(chain(&bed, "installation").await, [10]);
        assert_eq!(bed.read(store::highest_n).await, newest);
        bed.write(|tx| note(tx, NOW)).await;
        assert_eq!(chain(&bed, "installation").await, [10, 11]);
        stage::verified_lines(&bed).await;
    }

    async fn retention_cuts_no_hole_where_a_clock_went_back(bed: Bed) {
        bed.write(|tx| {
            for second in [0, 10, 5, 11] {
                note(tx, NOW.plus(after(second)))?;
            }
            assert_eq!(store::remove_lines_before(tx, NOW.plus(after(8)))?, 1);
            Ok(())
        })
        .await;
        assert_eq!(chain(&bed, "installation").await, [2, 3, 4]);
        stage::verified_lines(&bed).await;
    }

    async fn retention_of_one_chain_leaves_the_others(bed: Bed) {
        bed.write(|tx| {
            note(tx, NOW)?;
            note(tx, NOW)?;
            store::record(tx, Chain::Ehr(stage::ehr()), NOW.plus(after(60)), AuditEvent::Resumed)?;
            assert_eq!(store::remove_lines_before(tx, NOW.plus(after(1)))?, 2);
            Ok(())
        })
        .await;
        assert_eq!(bed.read(store::chain_names).await, ["ehr:main"]);
    }
}
