//! Texts: what is told of them late, who wants none, and how many may leave.

use chartseal::policy::Channel;
use chartseal::record::{ContactState, Notice, NoticeEvent};
use chartseal::store::{self, ContactKey, LeasedNotice, NewDelivery, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, Released, after, lease};

fn released(tx: &mut Tx, number: u16) -> Result<Released, StoreError> {
    let delivery = stage::recorded(tx, number)?;
    stage::release_by(tx, Channel::Sms, &delivery, &[], 1)
}

async fn leased(bed: &Bed) -> LeasedNotice {
    bed.write(|tx| released(tx, 1)).await;
    lease(bed, NOW).await.remove(0)
}

async fn settle(bed: &Bed, one: &LeasedNotice, event: NoticeEvent) {
    let (row, owner) = (one.notice.clone(), one.delivery.clone());
    bed.write(move |tx| {
        let step = row.state.step(event, NOW)?;
        store::settle_notice(tx, &row, &owner, &step, Some("why"), NOW)
    })
    .await;
}

/// What was told of it, as whoever saw it in this state takes it.
async fn told(bed: &Bed, one: &LeasedNotice, seen: Notice, event: NoticeEvent) -> Result<(), StoreError> {
    let row = store::NoticeRow { state: seen, ..one.notice.clone() };
    let owner = one.delivery.clone();
    bed.store
        .write(move |tx| {
            let step = row.state.step(event, NOW)?;
            store::settle_reported(tx, &row, &owner, &step, Some("told"), NOW)
        })
        .await
}

on_both! {
    async fn a_report_settles_what_nobody_knew_and_what_arrived_stays_so(bed: Bed) {
        let one = leased(&bed).await;
        settle(&bed, &one, NoticeEvent::Uncertain).await;
        let row = stage::the_notice(&bed, &one.notice.id).await;
        assert_eq!((row.state, row.secret_sealed.clone()), (Notice::Unsure, None));
        let unsure = bed.read(|conn| store::unsure_texts(conn, NOW, 10)).await;
        assert_eq!(unsure.len(), 1);
        let id = one.notice.id.clone();
        bed.write(move |tx| store::ask_again_at(tx, &id, NOW.plus(after(60)))).await;
        assert!(bed.read(|conn| store::unsure_texts(conn, NOW, 10)).await.is_empty());

        told(&bed, &one, Notice::Unsure, NoticeEvent::Confirmed).await.unwrap();
        let twice = told(&bed, &one, Notice::Unsure, NoticeEvent::Confirmed).await;
        assert!(matches!(twice, Err(StoreError::Moved)));
        let (id, owner) = (one.notice.id.clone(), one.delivery.clone());
        let news = bed
            .write(move |tx| {
                Ok((store::note_arrival(tx, &id, &owner, NOW)?, store::note_arrival(tx, &id, &owner, NOW.plus(after(5)))?))
            })
            .await;
        assert_eq!(news, (true, false));
        let late = told(&bed, &one, Notice::Sent, NoticeEvent::Undelivered).await;
        assert!(matches!(late, Err(StoreError::Moved)), "it is there");
        let row = stage::the_notice(&bed, &one.notice.id).await;
        assert_eq!((row.state, row.arrived_at), (Notice::Sent, Some(NOW)));
        stage::verified_lines(&bed).await;
    }

    async fn a_report_that_comes_before_the_answer_counts_and_the_answer_moves_nothing(bed: Bed) {
        let one = leased(&bed).await;
        told(&bed, &one, one.notice.state, NoticeEvent::Undelivered).await.unwrap();
        let (row, owner) = (one.notice.clone(), one.delivery.clone());
        let late = bed
            .store
            .write(move |tx| {
                let step = row.state.step(NoticeEvent::Accepted, NOW)?;
                store::settle_notice(tx, &row, &owner, &step, None, NOW)
            })
            .await;
        assert!(matches!(late, Err(StoreError::Moved)));
        assert_eq!(stage::the_notice(&bed, &one.notice.id).await.state, Notice::Bounced);
    }

    async fn who_wants_no_texts_gets_none_whoever_they_are_until_they_say_so(bed: Bed) {
        bed.write(|tx| {
            let number = [3; 32];
            let source = stage::read_report(tx, 1)?;
            let new = NewDelivery { clinic: Some("main".parse().unwrap()), ..stage::new_delivery(&source) };
            let delivery = stage::keep(tx, &new)?;
            assert_eq!(delivery.contact_index, Some(number));
            assert!(store::note_opt_out(tx, &number, NOW)?);
            assert!(!store::note_opt_out(tx, &number, NOW.plus(after(5)))?, "it is known");
            let key = ContactKey::of(&delivery).unwrap();
            let elsewhere = ContactKey { whose: [9; 32], clinic: "other".parse().unwrap(), address: number };
            for key in [&key, &elsewhere] {
                let standing = store::contact_standing(tx.conn(), key)?.expect("it is known of the number");
                assert_eq!((standing.state, standing.since), (ContactState::OptedOut, NOW));
            }
            let key = store::ContactKey::of(&delivery).expect("it has a number");
            store::note_bounce(tx, &delivery, &key, NOW)?;
            let standing = store::contact_standing(tx.conn(), &key)?.expect("both are known");
            assert_eq!(standing.state, ContactState::OptedOut, "it comes before what anybody recorded");
            let listed = store::contacts(tx.conn(), Some(ContactState::OptedOut), 10)?;
            assert_eq!(listed.iter().map(|row| &row.delivery).collect::<Vec<_>>(), [&delivery.id]);
            assert_eq!(store::contacts(tx.conn(), None, 10)?.len(), 2);
            assert!(store::note_opt_out(tx, &[77; 32], NOW)?, "of a number that nobody wrote to, too");
            assert!(store::end_opt_out(tx, &number, NOW)? && !store::end_opt_out(tx, &number, NOW)?);
            assert_eq!(store::contact_standing(tx.conn(), &elsewhere)?, None);
            Ok(())
        })
        .await;
        stage::verified_lines(&bed).await;
    }

    async fn texts_leave_by_their_number_and_hold_up_no_mail(bed: Bed) {
        bed.write(|tx| {
            (0..6).try_for_each(|number| released(tx, number).map(drop))?;
            stage::released(tx, 9, 1).map(drop)
        })
        .await;
        let by = |leased: &[LeasedNotice], channel| leased.iter().filter(|one| one.notice.channel == channel).count();
        let none = bed.write(|tx| store::lease_notices_within(tx, NOW, NOW, 8, 0)).await;
        assert_eq!((by(&none, Channel::Sms), by(&none, Channel::Email)), (0, 1));
        let two = bed.write(|tx| store::lease_notices_within(tx, NOW, NOW, 8, 2)).await;
        assert_eq!((by(&two, Channel::Sms), by(&two, Channel::Email)), (2, 0));
        assert_eq!(bed.read(|conn| store::texts_since(conn, NOW.minus(after(1)))).await, 2);
        assert_eq!(bed.read(|conn| store::texts_since(conn, NOW)).await, 0);
        let rest = bed.write(|tx| store::lease_notices_within(tx, NOW, NOW, 8, 8)).await;
        assert_eq!(by(&rest, Channel::Sms), 4);
    }
}
