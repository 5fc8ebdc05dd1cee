//! Deliveries: one per report version, moved only by steps from what is stored, shredded whole at a death.

use chartseal::audit::{Actor, Chain};
use chartseal::base::{DeliveryId, random};
use chartseal::policy::ReviewReason;
use chartseal::record::{Death, HoldEnd, Let, Link, LinkEvent, Notice, Opening};
use chartseal::store::{self, DeliveryFilter, NewDelivery, Renewed, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after, new_delivery, version};

fn keeps(tx: &mut Tx, leased: &store::Delivery, until: chartseal::base::UtcMillis) -> Result<bool, StoreError> {
    Ok(matches!(store::renew_delivery_lease(tx, leased.clone(), until)?, Renewed::Kept(_)))
}

on_both! {
    async fn a_delivery_comes_back_as_it_was_kept(bed: Bed) {
        bed.write(|tx| {
            let new = new_delivery(&stage::read_report(tx, 1)?);
            let kept = stage::keep(tx, &new)?;
            assert_eq!((&kept.id, &kept.source, &kept.ehr, &kept.clinic), (&new.id, &new.source, &new.ehr, &new.clinic));
            assert_eq!((kept.report_version, kept.content_hash), (new.report_version, new.content_hash));
            assert_eq!((kept.recipient, kept.issue_no, kept.mode, kept.kind), (new.recipient, 1, new.mode, new.kind));
            assert_eq!((kept.state, kept.state_at, kept.tries), (Link::Recorded, NOW, 0));
            assert!(kept.decision == new.decision && kept.facts == Some(new.facts));
            assert_eq!((kept.trace, kept.rules_hash, kept.card_sealed), (new.trace, new.rules_hash, new.card_sealed));
            assert_eq!((kept.contact_index, kept.patient_index), (new.contact_index, new.patient_index));
            assert_eq!((kept.link, kept.replaces, kept.created_at), (None, None, NOW));
            Ok(())
        })
        .await;
    }

    async fn one_version_of_a_report_is_delivered_once_unless_numbered_again(bed: Bed) {
        let first = bed.write(|tx| stage::recorded(tx, 1)).await;
        let source = first.source.clone();
        let again = bed
            .store
            .write(move |tx| {
                let new = new_delivery(&source);
                store::insert_delivery(tx, &new, &stage::decided(&new))
            })
            .await;
        assert!(matches!(again, Err(StoreError::Duplicate)));
        bed.write(move |tx| {
            let issue_no = store::next_issue_no(tx.conn(), &first.source, &version("1"))?;
            assert_eq!(issue_no, 2);
            let second = stage::keep(tx, &NewDelivery { issue_no, ..new_delivery(&first.source) })?;
            assert_eq!(store::latest_delivery_of(tx.conn(), &first.source)?.map(|latest| latest.id), Some(second.id.clone()));
            assert_eq!(store::latest_delivery_with(tx.conn(), &first.source, &[9; 32])?.map(|none| none.id), None);
            let other = NewDelivery { issue_no: 3, content_hash: [9; 32], ..new_delivery(&first.source) };
            let other = stage::keep(tx, &other)?;
            let with = |tx: &mut Tx, content| store::latest_delivery_with(tx.conn(), &first.source, &content);
            assert_eq!(with(tx, [1; 32])?.map(|latest| latest.id), Some(second.id));
            assert_eq!(with(tx, [9; 32])?.map(|latest| latest.id), Some(other.id));
            assert_eq!(store::open_deliveries_of(tx.conn(), &first.source)?.len(), 3);
            Ok(())
        })
        .await;
        assert_eq!(stage::verified_lines(&bed).await, 3, "the refused one left no line");
    }

    async fn a_release_under_way_is_not_committed_when_a_newer_version_said_the_same_meanwhile(bed: Bed) {
        bed.write(|tx| {
            stage::recorded(tx, 1)?;
            let under_way = stage::lease_due(tx, NOW, NOW.plus(after(60)), 1)?.remove(0);
            let seen = store::hold_delivery(tx, &under_way.id)?.expect("the delivery is there");
            store::set_report_version(tx, &seen, &version("2"))?;
            let step = under_way.state.clone().step(LinkEvent::Released, NOW)?;
            let late = store::advance(tx, &under_way, &step, Actor::System, NOW);
            assert!(matches!(late, Err(StoreError::Moved)), "the file may be the older version's");
            let again = stage::lease_due(tx, NOW, NOW.plus(after(60)), 1)?.remove(0);
            assert_eq!((again.id, again.report_version), (under_way.id, version("2")), "it is taken up at once");
            Ok(())
        })
        .await;
    }

    async fn what_a_sealed_file_was_is_told_of_late_links_until_their_tombstones_are_gone(bed: Bed) {
        let it = bed.write(|tx| stage::handed_over(tx, 1, 1)).await;
        bed.write(move |tx| {
            assert_eq!(store::sealed_since(tx.conn(), &it.link, &it.delivery, NOW)?, [[0; 32], [0; 32]]);
            assert_eq!(store::sealed_since(tx.conn(), &it.link, &it.delivery, NOW.plus(after(1)))?, Vec::<[u8; 32]>::new());
            stage::revoke(tx, &it.delivery, NOW)?;
            assert_eq!(store::sealed_since(tx.conn(), &it.link, &it.delivery, NOW)?, [[0; 32], [0; 32]], "it ended, and is compared");
            store::forget_links_before(tx, NOW.plus(after(1)))?;
            assert_eq!(store::sealed_since(tx.conn(), &it.link, &it.delivery, NOW)?, Vec::<[u8; 32]>::new());
            Ok(())
        })
        .await;
    }

    async fn of_sixteen_steps_at_once_from_one_state_one_is_taken(bed: Bed) {
        let before = bed.write(|tx| stage::recorded(tx, 1)).await;
        let copy = before.clone();
        let answers = bed
            .all_at_once(16, move |tx, _| {
                let step = copy.state.clone().step(LinkEvent::Released, NOW)?;
                store::advance(tx, &copy, &step, Actor::System, NOW)
            })
            .await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(StoreError::Moved))), "{answers:?}");
        assert_eq!(stage::verified_lines(&bed).await, 2, "decided and stepped once");
    }

    async fn a_stale_copy_moves_nothing_even_back_in_the_same_state(bed: Bed) {
        let it = bed.write(|tx| stage::handed_over(tx, 1, 1)).await;
        let stale = stage::the_delivery(&bed, &it.delivery).await;
        let id = it.delivery.clone();
        bed.write(move |tx| {
            let why = chartseal::record::SuspendedWhy::Gone;
            stage::step(tx, &id, LinkEvent::Suspend { why }, NOW)?;
            stage::step(tx, &id, LinkEvent::Restored, NOW)
        })
        .await;
        let late = bed
            .store
            .write(move |tx| {
                let step = stale.state.clone().step(LinkEvent::Recall, NOW)?;
                store::advance(tx, &stale, &step, Actor::System, NOW)
            })
            .await;
        assert!(matches!(late, Err(StoreError::Moved)));
        assert_eq!(stage::the_delivery(&bed, &it.delivery).await.state.name(), "live");
        assert_eq!(bed.witness.deaths(), []);
    }

    async fn a_step_from_another_state_than_the_stored_one_is_refused(bed: Bed) {
        let before = bed.write(|tx| stage::recorded(tx, 1)).await;
        let refused = bed
            .store
            .write(move |tx| {
                let step = Link::Review { why: ReviewReason::NoRule }.step(LinkEvent::ReleasedByStaff { to: Let::Go }, NOW)?;
                store::advance(tx, &before, &step, Actor::System, NOW)
            })
            .await;
        assert!(matches!(refused, Err(StoreError::Moved)));
        assert_eq!(stage::verified_lines(&bed).await, 1);
    }

    async fn a_step_and_its_line_are_kept_together_or_not_at_all(bed: Bed) {
        let before = bed.write(|tx| stage::recorded(tx, 1)).await;
        let id = before.id.clone();
        let failed = bed
            .store
            .write(move |tx| {
                stage::step(tx, &id, LinkEvent::Released, NOW)?;
                Err::<(), _>(StoreError::Refused { why: "the test says so" })
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(stage::verified_lines(&bed).await, 1);
        let id = before.id.clone();
        bed.write(move |tx| stage::step(tx, &id, LinkEvent::Released, NOW)).await;
        let chain = Chain::Delivery(before.id).to_string();
        let lines = bed.read(move |conn| store::chain_lines(conn, &chain)).await;
        assert_eq!((lines.len(), lines[1].seq), (2, 2));
        assert!(lines[1].body.contains("\"from\":\"recorded\""), "{}", lines[1].body);
        assert!(lines[1].body.contains("\"state\":\"live\""), "{}", lines[1].body);
    }

    async fn a_death_shreds_the_link_ends_its_openings_and_cancels_its_notices(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 3)).await;
        let (link, delivery) = (it.link.clone(), it.delivery.clone());
        bed.write(move |tx| {
            store::lease_notices(tx, NOW, NOW, 10)?;
            stage::begin(tx, &link, 1, NOW)?;
            stage::begin(tx, &link, 2, NOW)?;
            stage::claim(tx, &link, 1, NOW)?;
            stage::step(tx, &delivery, LinkEvent::Recall, NOW)
        })
        .await;
        let row = stage::the_link(&bed, &it.link).await;
        assert_eq!((row.share_wrapped, row.receipt_sealed), (None, None));
        assert_eq!(row.auth_sealed.as_deref(), Some(stage::AUTH), "the tombstone still knows its holder");
        assert_eq!(row.shredded_at, Some(NOW));
        let (link, delivery) = (it.link.clone(), it.delivery.clone());
        let openings = bed.read(move |conn| store::openings_of(conn, &link)).await;
        assert!(openings.iter().all(|one| one.state == Opening::Lapsed && one.ended_at == Some(NOW)));
        assert_eq!(openings.len(), 2);
        let notices = bed.read(move |conn| store::notices_of(conn, &delivery)).await;
        assert!(notices.iter().all(|one| one.state == Notice::Dead && one.secret_sealed.is_none()));
        assert_eq!(notices.len(), 1);
        assert_eq!(bed.witness.deaths().iter().map(|one| one.death).collect::<Vec<_>>(), [Death::Recalled]);
        let chain = Chain::Delivery(it.delivery).to_string();
        let lines = bed.read(move |conn| store::chain_lines(conn, &chain)).await;
        assert!(lines.iter().any(|line| line.body.contains("\"event\":\"shredded\"")));
        stage::verified_lines(&bed).await;
    }

    async fn only_what_is_dead_is_shredded(bed: Bed) {
        let (dead, alive) = bed.write(|tx| Ok((stage::handed_over(tx, 1, 1)?, stage::handed_over(tx, 2, 1)?))).await;
        bed.write(move |tx| stage::revoke(tx, &dead.delivery, NOW)).await;
        let row = stage::the_link(&bed, &alive.link).await;
        assert_eq!((row.share_wrapped.as_deref(), row.shredded_at), (Some(stage::SHARE), None));
        assert_eq!(stage::the_notice(&bed, &alive.notice).await.state.name(), "leased");
    }

    async fn dead_links_are_found_until_their_files_are_removed(bed: Bed) {
        let it = bed.write(|tx| stage::handed_over(tx, 1, 1)).await;
        let (end, only) = (NOW.plus(stage::LIFE), std::slice::from_ref(&it.link));
        assert_eq!(bed.read(|conn| store::links_due_to_expire(conn, NOW, 10)).await, []);
        assert_eq!(bed.read(move |conn| store::links_due_to_expire(conn, end, 10)).await, only);
        assert_eq!(bed.read(store::epochs_in_use).await, [NOW.day()]);
        let blobs = vec![format!("{}/0", it.link), "an orphan".to_owned()];
        assert_eq!(bed.read(move |conn| store::known_blobs(conn, &blobs)).await, [format!("{}/0", it.link)]);
        assert!(bed.read(|conn| store::dead_links_with_files(conn, 10)).await.is_empty());
        let living = || bed.read(|conn| Ok(store::live_links(conn)?.into_iter().map(|row| row.id).collect::<Vec<_>>()));
        assert_eq!(living().await, only);
        let id = it.delivery.clone();
        bed.write(move |tx| stage::step(tx, &id, LinkEvent::LifeEnded, end)).await;
        assert_eq!(bed.read(move |conn| store::links_due_to_expire(conn, end, 10)).await, []);
        assert_eq!(living().await, []);
        assert!(bed.read(store::epochs_in_use).await.is_empty());
        let found = bed.read(|conn| store::dead_links_with_files(conn, 10)).await;
        assert_eq!((found.len(), found[0].2.len()), (1, 2));
        let link = it.link.clone();
        bed.write(move |tx| store::files_removed(tx, &link, end)).await;
        assert!(bed.read(|conn| store::dead_links_with_files(conn, 10)).await.is_empty());
        let reference = chartseal::base::Reference::of(&it.link);
        assert_eq!(bed.read(move |conn| store::link_by_reference(conn, &reference)).await.len(), 1);
    }

    async fn due_deliveries_are_leased_to_one_worker_and_shadow_ones_to_none(bed: Bed) {
        bed.write(|tx| {
            (0..10).try_for_each(|number| stage::recorded(tx, number).map(|_| ()))?;
            let source = stage::read_report(tx, 99)?;
            stage::keep(tx, &NewDelivery { mode: store::Mode::Shadow, ..new_delivery(&source) }).map(|_| ())
        })
        .await;
        let until = NOW.plus(after(60));
        let mut leased: Vec<DeliveryId> = Vec::new();
        for _ in 0..10 {
            let answers = bed.all_at_once(8, move |tx, _| stage::lease_due(tx, NOW, until, 2)).await;
            leased.extend(answers.into_iter().flatten().flatten().map(|one| one.id));
        }
        assert_eq!(leased.len(), 10);
        leased.sort();
        leased.dedup();
        assert_eq!(leased.len(), 10, "none twice");
        bed.write(move |tx| {
            let one = store::delivery(tx.conn(), &leased[0])?.expect("it is there");
            let later = NOW.plus(after(30));
            store::postpone_delivery(tx, &one, later)?;
            assert_eq!(stage::lease_due(tx, NOW, until, 20)?.len(), 0);
            let again = stage::lease_due(tx, later, until, 20)?;
            assert_eq!((again.len(), again[0].tries), (1, 2));
            assert_eq!(stage::lease_due(tx, until, until.plus(after(1)), 20)?.len(), 10, "leases that ran out");
            Ok(())
        })
        .await;
    }

    async fn a_lease_is_renewed_and_given_back_by_its_holder_alone(bed: Bed) {
        bed.write(|tx| stage::recorded(tx, 1).map(|_| ())).await;
        let (first_end, second_end) = (NOW.plus(after(60)), NOW.plus(after(120)));
        bed.write(move |tx| {
            let slow = stage::lease_due(tx, NOW, first_end, 1)?.remove(0);
            assert!(keeps(tx, &slow, second_end)?);
            assert_eq!(stage::lease_due(tx, first_end, second_end, 1)?.len(), 0, "renewed");
            let other = stage::lease_due(tx, second_end, second_end.plus(after(60)), 1)?.remove(0);
            assert!(!keeps(tx, &slow, second_end.plus(after(600)))?);
            store::postpone_delivery(tx, &slow, NOW)?;
            assert_eq!(stage::lease_due(tx, second_end, second_end, 1)?.len(), 0, "it is the other's");
            assert!(keeps(tx, &other, second_end.plus(after(90)))?);
            Ok(())
        })
        .await;
    }

    async fn a_held_delivery_is_due_at_the_end_of_its_hold_and_never_when_a_person_decides(bed: Bed) {
        let end = NOW.plus(after(3600));
        bed.write(move |tx| {
            let basis = chartseal::policy::HoldBasis::Law;
            for (number, until) in [(1, HoldEnd::At(end)), (2, HoldEnd::Person)] {
                let source = stage::read_report(tx, number)?;
                stage::keep(tx, &NewDelivery { state: Link::Held { until, basis }, ..new_delivery(&source) })?;
            }
            assert_eq!((store::is_hold_over(tx.conn(), NOW)?, store::lease_ended_holds(tx, NOW, end, 20)?.len()), (false, 0));
            assert_eq!(stage::lease_due(tx, end, end.plus(after(60)), 20)?.len(), 0, "to end a hold asks no EHR");
            assert!(store::is_hold_over(tx.conn(), end)?);
            assert_eq!(store::lease_ended_holds(tx, end, end.plus(after(60)), 20)?.len(), 1);
            assert!(!store::is_hold_over(tx.conn(), end)?, "it is leased");
            Ok(())
        })
        .await;
    }

    async fn a_list_shows_what_its_filter_says_newest_first(bed: Bed) {
        let it = bed.write(|tx| { stage::recorded(tx, 1)?; stage::released(tx, 2, 1) }).await;
        let count = |filter: DeliveryFilter| bed.read(move |conn| store::deliveries(conn, &filter));
        let all = DeliveryFilter { count_max: 10, ..DeliveryFilter::default() };
        assert_eq!(count(all.clone()).await.len(), 2);
        assert_eq!(count(DeliveryFilter { count_max: 1, ..all.clone() }).await.len(), 1);
        let live = count(DeliveryFilter { state: Some("live".to_owned()), ..all.clone() }).await;
        assert_eq!(live.iter().map(|one| &one.id).collect::<Vec<_>>(), [&it.delivery]);
        let other = Some(chartseal::base::EhrId::parse("other").unwrap());
        assert_eq!(count(DeliveryFilter { ehr: other, ..all.clone() }).await.len(), 0);
        let clinic = Some(chartseal::base::ClinicId::parse("north").unwrap());
        assert_eq!(count(DeliveryFilter { clinic, ..all }).await.len(), 0);
    }

    async fn messages_to_an_address_are_numbered_by_their_first_attempt(bed: Bed) {
        bed.write(|tx| { stage::released(tx, 1, 1)?; stage::released(tx, 2, 1) }).await;
        let leased = stage::lease(&bed, NOW).await;
        assert_eq!(leased.len(), 2);
        let mut numbers = Vec::new();
        for one in &leased {
            let (notice, since) = (one.notice.clone(), NOW);
            let whose = store::CountedBy::Address([3; 32]);
            numbers.push(bed.read(move |conn| store::number_within(conn, whose, &notice, since)).await);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2], "leased together, they count one after the other");
        let notice = leased[0].notice.clone();
        let whose = store::CountedBy::Address([8; 32]);
        assert_eq!(bed.read(move |conn| store::number_within(conn, whose, &notice, NOW)).await, 1);
    }

    async fn retention_forgets_cards_facts_links_and_patients_of_what_has_ended_only(bed: Bed) {
        let (ended, open) = bed
            .write(|tx| {
                store::remember_patient(tx, &[4; 32], vec![1], NOW)?;
                store::remember_patient(tx, &[5; 32], vec![1], NOW)?;
                let ended = stage::handed_over(tx, 1, 1)?;
                let open = stage::handed_over(tx, 2, 1)?;
                stage::revoke(tx, &ended.delivery, NOW)?;
                Ok((ended, open))
            })
            .await;
        let later = NOW.plus(after(1));
        bed.write(move |tx| {
            assert_eq!((store::forget_cards(tx, NOW)?, store::forget_facts(tx, NOW)?), (0, 0));
            assert_eq!((store::forget_cards(tx, later)?, store::forget_facts(tx, later)?), (1, 1));
            assert_eq!((store::forget_cards(tx, later)?, store::forget_facts(tx, later)?), (0, 0));
            assert_eq!((store::forget_links_before(tx, NOW)?, store::forget_links_before(tx, later)?), (0, 1));
            let idle = store::patients_without_deliveries(tx.conn(), later, 10)?;
            assert_eq!(idle, [[5; 32]], "the other one has an open delivery");
            Ok(())
        })
        .await;
        let row = stage::the_delivery(&bed, &ended.delivery).await;
        assert!(row.card_sealed.is_none() && row.contact_index.is_none() && row.facts.is_none());
        assert_eq!(stage::the_link(&bed, &ended.link).await.auth_sealed, None);
        let row = stage::the_delivery(&bed, &open.delivery).await;
        assert!(row.card_sealed.is_some() && row.facts.is_some());
        assert!(stage::the_link(&bed, &open.link).await.auth_sealed.is_some());
    }

    async fn what_is_not_there_is_none_and_no_error(bed: Bed) {
        let rng = &mut random::system();
        let (delivery, link) = (DeliveryId::random(rng), chartseal::base::LinkId::random(rng));
        let found = bed
            .read(move |conn| {
                let none = store::delivery(conn, &delivery)?.is_none() && store::link(conn, &link)?.is_none();
                Ok(none && store::delivery_of_link(conn, &link)?.is_none())
            })
            .await;
        assert!(found);
    }
}
