//! The one-time claim: however many ask at once, and whatever else happens to the link.

use chartseal::base::{LinkId, seconds};
use chartseal::record::{LinkEvent, OPENING_LEASE, OPENING_LEASE_MAX};
use chartseal::store::{self, ClaimRefusal, Received};

use super::bed::{Bed, Engine};
use super::stage::{self, LIFE, NOW, Won, after, begin, browser, claim};
use crate::support::dice;

/// As many as a loaded machine does in seconds; `CHARTSEAL_ROUNDS=1000` makes it the whole race.
const ROUNDS: u64 = 50;

/// A live link that `browsers` browsers have looked at.
async fn looked_at(bed: &Bed, opens: u16, browsers: u8) -> stage::Released {
    bed.write(move |tx| {
        let released = stage::handed_over(tx, 1, opens)?;
        for number in 0..browsers {
            assert!(begin(tx, &released.link, number, NOW)?.is_some());
        }
        Ok(released)
    })
    .await
}

async fn race(bed: &Bed, link: &LinkId, browsers: u8) -> Vec<Won> {
    let link = link.clone();
    let answers = bed.all_at_once(browsers, move |tx, number| claim(tx, &link, number, NOW)).await;
    answers.into_iter().map(Result::unwrap).collect()
}

fn granted(answers: &[Won]) -> usize {
    answers.iter().filter(|won| **won == Won::Granted).count()
}

on_both! {
    async fn of_32_browsers_at_once_one_wins_a_single_opening(bed: Bed) {
        let it = looked_at(&bed, 1, 32).await;
        let answers = race(&bed, &it.link, 32).await;
        assert_eq!(granted(&answers), 1);
        let refused = answers.iter().filter(|won| **won == Won::Refused(ClaimRefusal::NotOpen)).count();
        assert_eq!(refused, 31);
        assert_eq!(stage::the_link(&bed, &it.link).await.opened, 1);
    }

    async fn of_32_browsers_at_once_one_wins_every_time(bed: Bed) {
        for round in 0..u16::try_from(dice::number("CHARTSEAL_ROUNDS", ROUNDS)).unwrap() {
            let link = bed.write(move |tx| Ok(stage::handed_over(tx, round, 1)?.link)).await;
            let one = link.clone();
            let answers = bed
                .all_at_once(32, move |tx, number| {
                    begin(tx, &one, number, NOW)?;
                    claim(tx, &one, number, NOW)
                })
                .await;
            let answers: Vec<Won> = answers.into_iter().map(Result::unwrap).collect();
            assert_eq!((granted(&answers), stage::the_link(&bed, &link).await.opened), (1, 1), "round {round}");
        }
    }

    async fn of_20_browsers_at_once_three_win_three_openings(bed: Bed) {
        let it = looked_at(&bed, 3, 20).await;
        let answers = race(&bed, &it.link, 20).await;
        assert_eq!(granted(&answers), 3);
        assert_eq!(stage::the_link(&bed, &it.link).await.opened, 3);
        let link = it.link.clone();
        assert_eq!(bed.read(move |conn| store::running_claims(conn, &link, NOW)).await, 3);
    }

    async fn one_browser_asking_eight_times_at_once_costs_one_opening(bed: Bed) {
        let it = looked_at(&bed, 3, 1).await;
        let link = it.link.clone();
        let answers = bed.all_at_once(8, move |tx, _| claim(tx, &link, 0, NOW)).await;
        let answers: Vec<Won> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(granted(&answers), 1);
        assert_eq!(answers.iter().filter(|won| **won == Won::Repeated).count(), 7);
        assert_eq!(stage::the_link(&bed, &it.link).await.opened, 1);
    }

    async fn one_browser_looking_eight_times_at_once_begins_once(bed: Bed) {
        let it = looked_at(&bed, 3, 0).await;
        let link = it.link.clone();
        let answers = bed.all_at_once(8, move |tx, _| begin(tx, &link, 0, NOW)).await;
        assert_eq!(answers.into_iter().filter(|begun| matches!(begun, Ok(Some(_)))).count(), 1);
        let link = it.link.clone();
        assert_eq!(bed.read(move |conn| store::openings_of(conn, &link)).await.len(), 1);
    }

    async fn a_repeated_claim_spends_nothing_and_gives_the_same_files(bed: Bed) {
        let it = looked_at(&bed, 1, 1).await;
        bed.write(move |tx| {
            let store::Claim::Granted { files, lease, link } = store::claim(tx, &it.link, &browser(0), NOW)?
            else { panic!("the first claim wins") };
            assert_eq!(files.len(), 2);
            assert_eq!((lease.since, lease.until), (NOW, NOW.plus(OPENING_LEASE)));
            assert_eq!(link.share_wrapped.as_deref(), Some(stage::SHARE));
            let later = NOW.plus(after(60));
            let store::Claim::Repeated { files: again, lease: same, link } =
                store::claim(tx, &it.link, &browser(0), later)?
            else { panic!("the second is a repetition") };
            assert_eq!((again, same), (files, lease));
            assert_eq!(link.opened, 1);
            Ok(())
        })
        .await;
    }

    async fn a_claim_is_refused_before_the_browser_has_looked(bed: Bed) {
        let it = looked_at(&bed, 1, 1).await;
        let won = bed.write(move |tx| claim(tx, &it.link, 9, NOW)).await;
        assert_eq!(won, Won::Refused(ClaimRefusal::NotBegun));
    }

    async fn a_claim_is_refused_before_the_link_is_handed_over(bed: Bed) {
        let won = bed
            .write(|tx| {
                let it = stage::released(tx, 1, 1)?;
                begin(tx, &it.link, 0, NOW)?;
                claim(tx, &it.link, 0, NOW)
            })
            .await;
        assert_eq!(won, Won::Refused(ClaimRefusal::NotOpen));
    }

    async fn a_claim_is_refused_from_the_millisecond_of_expiry_on(bed: Bed) {
        let it = looked_at(&bed, 2, 2).await;
        let end = NOW.plus(LIFE);
        bed.write(move |tx| {
            assert_eq!(claim(tx, &it.link, 0, end)?, Won::Refused(ClaimRefusal::NotOpen));
            assert_eq!(claim(tx, &it.link, 1, end.minus(std::time::Duration::from_millis(1)))?, Won::Granted);
            Ok(())
        })
        .await;
    }

    async fn a_claim_is_refused_after_a_revocation_and_while_suspended(bed: Bed) {
        let it = looked_at(&bed, 5, 3).await;
        bed.write(move |tx| {
            let why = chartseal::record::SuspendedWhy::Gone;
            stage::step(tx, &it.delivery, LinkEvent::Suspend { why }, NOW)?;
            assert_eq!(claim(tx, &it.link, 0, NOW)?, Won::Refused(ClaimRefusal::NotOpen));
            stage::step(tx, &it.delivery, LinkEvent::Restored, NOW)?;
            assert_eq!(claim(tx, &it.link, 0, NOW)?, Won::Granted);
            stage::revoke(tx, &it.delivery, NOW)?;
            // A death ends the openings: nobody has looked, as far as the store knows.
            assert_eq!(claim(tx, &it.link, 0, NOW)?, Won::Refused(ClaimRefusal::NotBegun));
            assert_eq!(claim(tx, &it.link, 1, NOW)?, Won::Refused(ClaimRefusal::NotBegun));
            begin(tx, &it.link, 2, NOW)?;
            begin(tx, &it.link, 7, NOW)?;
            assert_eq!(claim(tx, &it.link, 7, NOW)?, Won::Refused(ClaimRefusal::NotOpen));
            Ok(())
        })
        .await;
    }

    async fn a_file_is_granted_only_to_a_running_claim_of_a_live_link(bed: Bed) {
        let it = looked_at(&bed, 2, 2).await;
        bed.write(move |tx| {
            let mut may = |number: u8, file, at| -> Result<bool, store::StoreError> {
                Ok(store::file_grant(tx.conn(), &it.link, &browser(number), file, at)?.is_some())
            };
            assert!(!may(0, 0, NOW)?, "it has looked, not claimed");
            claim(tx, &it.link, 0, NOW)?;
            let end = NOW.plus(OPENING_LEASE);
            let mut may = |number: u8, file, at| -> Result<bool, store::StoreError> {
                Ok(store::file_grant(tx.conn(), &it.link, &browser(number), file, at)?.is_some())
            };
            assert!(may(0, 0, NOW)? && may(0, 1, NOW)?);
            assert!(!may(0, 2, NOW)?, "there is no such file");
            assert!(!may(1, 0, NOW)?, "another browser");
            assert!(!may(0, 0, end)?, "the lease has ended");
            let grant = store::file_grant(tx.conn(), &it.link, &browser(0), 1, NOW)?.expect("granted");
            assert_eq!((grant.sealed_bytes, grant.lease_until), (1100, end));
            let why = chartseal::record::SuspendedWhy::Gone;
            stage::step(tx, &it.delivery, LinkEvent::Suspend { why }, NOW)?;
            assert!(store::file_grant(tx.conn(), &it.link, &browser(0), 0, NOW)?.is_none(), "suspended");
            stage::step(tx, &it.delivery, LinkEvent::Restored, NOW)?;
            assert!(store::file_grant(tx.conn(), &it.link, &browser(0), 0, NOW)?.is_some(), "restored");
            stage::revoke(tx, &it.delivery, NOW)?;
            assert!(store::file_grant(tx.conn(), &it.link, &browser(0), 0, NOW)?.is_none(), "revoked");
            Ok(())
        })
        .await;
    }

    async fn progress_stretches_a_lease_up_to_its_most_and_never_revives_it(bed: Bed) {
        let it = looked_at(&bed, 1, 1).await;
        bed.write(move |tx| {
            claim(tx, &it.link, 0, NOW)?;
            let opening = store::openings_of(tx.conn(), &it.link)?.remove(0).id;
            let mut at = NOW;
            for _ in 0..8 {
                at = at.plus(OPENING_LEASE).minus(seconds(60));
                store::stretch_lease(tx, &opening, at)?;
            }
            let most = NOW.plus(OPENING_LEASE_MAX);
            let just_before = most.minus(seconds(1));
            assert_eq!(store::running_claims(tx.conn(), &it.link, just_before)?, 1);
            assert_eq!(store::running_claims(tx.conn(), &it.link, most)?, 0);
            assert_eq!(store::lapse_openings(tx, most, 10)?.len(), 1);
            store::stretch_lease(tx, &opening, most)?;
            assert_eq!(store::running_claims(tx.conn(), &it.link, just_before)?, 0);
            Ok(())
        })
        .await;
    }

    async fn leases_that_ran_out_are_ended_so_many_at_a_time_until_none_is_left(bed: Bed) {
        let it = looked_at(&bed, 7, 7).await;
        race(&bed, &it.link, 7).await;
        bed.write(|tx| {
            let end = NOW.plus(OPENING_LEASE);
            for ended in [3, 3, 1, 0] {
                assert_eq!(store::lapse_openings(tx, end, 3)?.len(), ended);
            }
            Ok(())
        })
        .await;
    }

    async fn the_last_opening_is_witnessed_before_it_is_given_and_not_given_unwitnessed(bed: Bed) {
        let it = looked_at(&bed, 2, 3).await;
        let link = it.link.clone();
        bed.write(move |tx| claim(tx, &link, 0, NOW)).await;
        assert_eq!(bed.witness.deaths(), [], "one is left");
        bed.witness.refuse_from_now_on();
        let link = it.link.clone();
        let refused = bed.store.write(move |tx| claim(tx, &link, 1, NOW)).await;
        assert!(matches!(refused, Err(store::StoreError::JournalRefused { .. })));
        assert_eq!(stage::the_link(&bed, &it.link).await.opened, 1);
    }

    async fn a_receipt_is_taken_once_and_only_from_the_browser_that_claimed(bed: Bed) {
        let it = looked_at(&bed, 2, 2).await;
        bed.write(move |tx| {
            claim(tx, &it.link, 0, NOW)?;
            assert_eq!(store::receive(tx, &it.link, &browser(1), NOW)?, Received::NothingToReceive);
            assert_eq!(store::receive(tx, &it.link, &browser(0), NOW)?, Received::Taken);
            assert_eq!(store::receive(tx, &it.link, &browser(0), NOW)?, Received::NothingToReceive);
            Ok(())
        })
        .await;
    }
}
