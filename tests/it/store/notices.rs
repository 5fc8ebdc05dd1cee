//! The outbox: what may be leased, when a life begins to run, and how attempts end.

use chartseal::audit::Actor;
use chartseal::base::{UtcMillis, random};
use chartseal::record::{Link, LinkEvent, LiveUntil, NOTICE_LEASE, Notice, NoticeEvent, SuspendedWhy};
use chartseal::store::{self, Mode, StoreError};

use super::bed::{Bed, Engine};
use super::stage::{self, LIFE, NOW, after, lease, reading};

async fn settle(bed: &Bed, leased: &store::LeasedNotice, event: NoticeEvent, at: UtcMillis) -> Result<(), StoreError> {
    let (row, owner) = (leased.notice.clone(), leased.delivery.clone());
    bed.store
        .write(move |tx| {
            let step = row.state.step(event, at)?;
            store::settle_notice(tx, &row, &owner, &step, Some("why"), at)
        })
        .await
}

on_both! {
    async fn a_due_notice_of_a_live_link_is_leased_once(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 1)).await;
        let leased = lease(&bed, NOW).await;
        assert_eq!(leased.len(), 1);
        let one = &leased[0];
        assert_eq!((&one.notice.id, &one.delivery.id, &one.link.id), (&it.notice, &it.delivery, &it.link));
        assert_eq!(one.notice.secret_sealed.as_deref(), Some(stage::SECRET));
        let until = NOW.plus(NOTICE_LEASE);
        assert_eq!(one.notice.state, Notice::Leased { until, attempts: 1, ambiguous: 0 });
        assert_eq!(lease(&bed, NOW).await.len(), 0);
        let row = stage::the_notice(&bed, &it.notice).await;
        assert_eq!((row.state, row.first_attempt_at), (one.notice.state, Some(NOW)));
    }

    async fn eight_workers_at_once_never_lease_the_same_notice(bed: Bed) {
        bed.write(|tx| (0..12).try_for_each(|number| stage::released(tx, number, 1).map(|_| ()))).await;
        let mut leased = Vec::new();
        for _ in 0..10 {
            let answers = bed.all_at_once(8, |tx, _| store::lease_notices(tx, NOW, NOW, 3)).await;
            leased.extend(answers.into_iter().flat_map(Result::unwrap).map(|one| one.notice.id));
        }
        assert_eq!(leased.len(), 12);
        leased.sort();
        leased.dedup();
        assert_eq!(leased.len(), 12, "none twice");
    }

    async fn nothing_is_leased_during_a_pause(bed: Bed) {
        bed.write(|tx| stage::released(tx, 1, 1)).await;
        bed.write(|tx| store::pause(tx, "an incident", NOW, "eve")).await;
        assert_eq!(lease(&bed, NOW).await.len(), 0);
        bed.write(|tx| store::resume(tx, NOW, "eve")).await;
        assert_eq!(lease(&bed, NOW).await.len(), 1);
    }

    async fn a_notice_waits_for_its_time_and_for_a_fresh_reading(bed: Bed) {
        bed.write(|tx| stage::released(tx, 1, 1)).await;
        assert_eq!(lease(&bed, UtcMillis(NOW.0 - 1)).await.len(), 0);
        let later = NOW.plus(after(900));
        let asked = bed.write(move |tx| store::lease_notices(tx, later, UtcMillis(NOW.0 + 1), 10)).await;
        assert_eq!(asked.len(), 0, "the report was read before");
        assert_eq!(lease(&bed, later).await.len(), 1);
    }

    async fn a_notice_waits_for_a_fresh_reading_of_its_reports_other_names(bed: Bed) {
        let later = NOW.plus(after(900));
        let twin = bed
            .write(|tx| {
                let it = stage::released(tx, 1, 1)?;
                let source = store::delivery(tx.conn(), &it.delivery)?.expect("it is there").source;
                let twin = stage::read_report(tx, 2)?;
                store::make_one(tx, &source, &twin, NOW)?;
                // The EHR speaks of the other name, and nobody has read it yet.
                store::hear(tx, &stage::report(2), Some(&stage::version("2")), NOW, &mut random::system())?;
                Ok(twin)
            })
            .await;
        assert_eq!(lease(&bed, NOW).await.len(), 0);
        let read = move |tx: &mut store::Tx, at: UtcMillis| {
            let seen = store::lease_sources(tx, &stage::ehr(), at, at.plus(after(60)), 10)?;
            let ids: Vec<_> = seen.iter().map(|row| row.id.clone()).collect();
            seen.iter().try_for_each(|row| store::finish_source(tx, row, &reading(at, "2")))?;
            Ok::<_, StoreError>(ids)
        };
        assert_eq!(bed.write(move |tx| read(tx, NOW)).await, std::slice::from_ref(&twin));
        // What was read long ago is read again under all names.
        let due = bed.write(move |tx| store::read_stale_sources_again(tx, later, later)).await;
        assert_eq!((due, lease(&bed, later).await.len()), (2, 0));
        assert!(bed.write(move |tx| read(tx, later)).await.contains(&twin));
        assert_eq!(lease(&bed, later).await.len(), 1);
    }

    async fn a_notice_waits_while_its_report_is_gone(bed: Bed) {
        bed.write(|tx| {
            let it = stage::released(tx, 1, 1)?;
            let source = store::delivery(tx.conn(), &it.delivery)?.expect("it is there").source;
            store::read_again(tx, &source, NOW)?;
            let seen = store::lease_sources(tx, &stage::ehr(), NOW, NOW.plus(after(60)), 1)?.remove(0);
            store::finish_source(tx, &seen, &store::SourceReading { gone_at: Some(NOW), ..reading(NOW, "1") })
        })
        .await;
        assert_eq!(lease(&bed, NOW).await.len(), 0);
    }

    async fn no_notice_of_a_suspended_or_dead_link_is_leased(bed: Bed) {
        let (one, two) = bed.write(|tx| Ok((stage::released(tx, 1, 1)?, stage::released(tx, 2, 1)?))).await;
        let (suspended, revoked) = (one.delivery.clone(), two.delivery.clone());
        bed.write(move |tx| {
            stage::step(tx, &suspended, LinkEvent::Suspend { why: SuspendedWhy::Gone }, NOW)?;
            stage::revoke(tx, &revoked, NOW)
        })
        .await;
        assert_eq!(lease(&bed, NOW).await.len(), 0);
        bed.write(move |tx| stage::step(tx, &one.delivery, LinkEvent::Restored, NOW)).await;
        assert_eq!(lease(&bed, NOW).await.len(), 1);
    }

    async fn no_notice_of_a_shadow_delivery_is_leased(bed: Bed) {
        bed.write(|tx| {
            let source = stage::read_report(tx, 1)?;
            let shadow = stage::keep(tx, &store::NewDelivery { mode: Mode::Shadow, ..stage::new_delivery(&source) })?;
            stage::release(tx, &shadow, 1)
        })
        .await;
        assert_eq!(lease(&bed, NOW).await.len(), 0);
    }

    async fn the_first_attempt_fixes_the_end_of_life_and_no_later_one_moves_it(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 1)).await;
        assert_eq!(stage::the_link(&bed, &it.link).await.expires_at, None);
        let first = lease(&bed, NOW).await.remove(0);
        let end = NOW.plus(LIFE);
        assert_eq!(first.link.expires_at, Some(end));
        assert_eq!(first.delivery.state, Link::Live { until: LiveUntil::At(end) });
        settle(&bed, &first, NoticeEvent::Transient, NOW).await.unwrap();
        let later = NOW.plus(after(3600));
        let second = lease(&bed, later).await.remove(0);
        assert_eq!(second.link.expires_at, Some(end));
        assert_eq!(second.delivery.state, Link::Live { until: LiveUntil::At(end) });
        let row = stage::the_notice(&bed, &it.notice).await;
        assert_eq!(row.state, Notice::Leased { until: later.plus(NOTICE_LEASE), attempts: 2, ambiguous: 0 });
        assert_eq!(row.first_attempt_at, Some(NOW));
        assert_eq!(bed.read(move |conn| store::first_attempts_since(conn, NOW, later)).await, 1);
    }

    async fn an_accepted_message_empties_its_secret(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 1)).await;
        let leased = lease(&bed, NOW).await.remove(0);
        settle(&bed, &leased, NoticeEvent::Accepted, NOW).await.unwrap();
        let row = stage::the_notice(&bed, &it.notice).await;
        assert_eq!((row.state, row.secret_sealed), (Notice::Sent, None));
        assert_eq!(stage::the_delivery(&bed, &it.delivery).await.state.name(), "live");
    }

    async fn an_attempt_that_another_followed_can_no_longer_be_settled(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 1)).await;
        let first = lease(&bed, NOW).await.remove(0);
        settle(&bed, &first, NoticeEvent::Transient, NOW).await.unwrap();
        let again = settle(&bed, &first, NoticeEvent::Accepted, NOW).await;
        assert!(matches!(again, Err(StoreError::Moved)), "it is queued again");
        lease(&bed, NOW.plus(after(3600))).await;
        let late = settle(&bed, &first, NoticeEvent::Accepted, NOW).await;
        assert!(matches!(late, Err(StoreError::Moved)), "the second attempt runs");
        assert_eq!(stage::the_notice(&bed, &it.notice).await.state.name(), "leased");
    }

    async fn an_attempt_under_a_dead_link_can_no_longer_be_settled(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 1)).await;
        let leased = lease(&bed, NOW).await.remove(0);
        let id = it.delivery.clone();
        bed.write(move |tx| stage::revoke(tx, &id, NOW)).await;
        let late = settle(&bed, &leased, NoticeEvent::Transient, NOW).await;
        assert!(matches!(late, Err(StoreError::Moved)));
        let row = stage::the_notice(&bed, &it.notice).await;
        assert_eq!((row.state, row.secret_sealed), (Notice::Dead, None));
    }

    async fn a_lease_whose_worker_died_is_found_and_given_back(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 1)).await;
        let leased = lease(&bed, NOW).await.remove(0);
        let end = NOW.plus(NOTICE_LEASE);
        assert_eq!(bed.read(move |conn| store::leased_notices_lost(conn, UtcMillis(end.0 - 1), 10)).await.len(), 0);
        let lost = bed.read(move |conn| store::leased_notices_lost(conn, end, 10)).await;
        assert_eq!(lost.len(), 1);
        let found = store::LeasedNotice { notice: lost[0].clone(), ..leased };
        settle(&bed, &found, NoticeEvent::LeaseLost, end).await.unwrap();
        let row = stage::the_notice(&bed, &it.notice).await;
        assert!(matches!(row.state, Notice::Queued { attempts: 1, ambiguous: 1, .. }), "{:?}", row.state);
        assert_eq!(row.why.as_deref(), Some("why"));
    }

    async fn notices_that_waited_and_those_not_ended_are_found(bed: Bed) {
        let (sent, _queued) = bed.write(|tx| Ok((stage::released(tx, 1, 1)?, stage::released(tx, 2, 1)?))).await;
        let leased = lease(&bed, NOW).await.into_iter().find(|one| one.notice.id == sent.notice).unwrap();
        assert_eq!(bed.read(store::hold_unsent_notices).await.len(), 2);
        settle(&bed, &leased, NoticeEvent::Accepted, NOW).await.unwrap();
        assert_eq!(bed.read(store::hold_unsent_notices).await.len(), 1);
        bed.write(|tx| stage::released(tx, 3, 1)).await;
        assert_eq!(bed.read(|conn| store::stale_notices(conn, NOW, 10)).await.len(), 0);
        assert_eq!(bed.read(|conn| store::stale_notices(conn, UtcMillis(NOW.0 + 1), 10)).await.len(), 1);
        assert_eq!(bed.read(move |conn| store::notices_of(conn, &sent.delivery)).await.len(), 1);
    }

    async fn attempts_and_ends_stand_in_the_deliverys_chain(bed: Bed) {
        let it = bed.write(|tx| stage::released(tx, 1, 1)).await;
        let leased = lease(&bed, NOW).await.remove(0);
        settle(&bed, &leased, NoticeEvent::Accepted, NOW).await.unwrap();
        let chain = leased.delivery.entry(NOW, Actor::System, chartseal::audit::AuditEvent::Resumed).chain.to_string();
        let bodies: Vec<String> =
            bed.read(move |conn| store::chain_lines(conn, &chain)).await.into_iter().map(|line| line.body).collect();
        let events = ["decided", "stepped", "stepped", "notice_attempted", "notice_stepped"];
        assert_eq!(bodies.len(), events.len(), "{bodies:?}");
        for (body, event) in bodies.iter().zip(events) {
            assert!(body.contains(&format!("\"event\":\"{event}\"")), "{event}: {body}");
        }
        assert!(bodies[3].contains(it.notice.as_str()));
        stage::verified_lines(&bed).await;
    }
}
