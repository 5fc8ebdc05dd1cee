//! What is recorded of addresses.

use chartseal::base::{ClinicId, OperatorName, hours};
use chartseal::record::{ContactStanding, ContactState};
use chartseal::store::{self, ContactKey, ContactSaid, Delivery, NewDelivery, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

/// A delivery of `patient` at `clinic` to `address`.
fn addressed(tx: &mut Tx, number: u16, patient: u8, address: u8, clinic: &str) -> Result<Delivery, StoreError> {
    let source = stage::read_report(tx, number)?;
    let new = NewDelivery {
        clinic: Some(ClinicId::parse(clinic).unwrap()),
        patient_index: Some([patient; 32]),
        contact_index: Some([address; 32]),
        card_sealed: Some(vec![1]),
        ..stage::new_delivery(&source)
    };
    stage::keep(tx, &new)
}

fn eve() -> OperatorName {
    OperatorName::parse("Eve Admin").unwrap()
}

fn said(seen: Option<ContactStanding>, state: Option<ContactState>) -> ContactSaid {
    ContactSaid { seen, state, reason: None, by: eve() }
}

fn standing(tx: &mut Tx, delivery: &Delivery) -> Result<Option<ContactStanding>, StoreError> {
    Ok(store::contact(tx.conn(), &ContactKey::of(delivery).unwrap())?.map(|row| row.standing))
}

on_both! {
    async fn one_clinics_word_is_about_one_address_of_one_patient(bed: Bed) {
        bed.write(|tx| {
            let ours = addressed(tx, 1, 1, 1, "north")?;
            store::note_bounce(tx, &ours, &ContactKey::of(&ours).unwrap(), NOW)?;
            let bounced = Some(ContactStanding { state: ContactState::Bounced, since: NOW });
            assert_eq!(standing(tx, &ours)?, bounced);
            for (number, patient, address, clinic) in [(2, 2, 1, "north"), (3, 1, 2, "north"), (4, 1, 1, "south")] {
                let other = addressed(tx, number, patient, address, clinic)?;
                assert_eq!(standing(tx, &other)?, None, "{patient} {address} {clinic}");
            }
            let again = addressed(tx, 5, 1, 1, "north")?;
            assert_eq!(standing(tx, &again)?, bounced, "it is the address's, not the delivery's");
            let open = store::open_deliveries_to(tx.conn(), &ContactKey::of(&ours).unwrap())?;
            assert_eq!(open.iter().map(|one| &one.id).collect::<Vec<_>>().len(), 2);
            Ok(())
        })
        .await;
        stage::verified_lines(&bed).await;
    }

    async fn staff_change_what_they_saw_and_nothing_else(bed: Bed) {
        let delivery = bed.write(|tx| addressed(tx, 1, 1, 1, "north")).await;
        let confirmed = Some(ContactState::ConfirmedByStaff);
        let seen = bed
            .write(move |tx| {
                store::say_of_contact(tx, &delivery, said(None, confirmed), NOW)?;
                let blind = store::say_of_contact(tx, &delivery, said(None, Some(ContactState::Disputed)), NOW);
                assert!(matches!(blind, Err(StoreError::Moved)), "somebody confirmed it meanwhile");
                let seen = standing(tx, &delivery)?;
                store::note_bounce(tx, &delivery, &ContactKey::of(&delivery).unwrap(), NOW.plus(after(5)))?;
                let late = store::say_of_contact(tx, &delivery, said(seen, confirmed), NOW.plus(after(6)));
                assert!(matches!(late, Err(StoreError::Moved)), "it bounced meanwhile");
                let cleared = store::say_of_contact(tx, &delivery, said(seen, None), NOW.plus(after(6)));
                assert!(matches!(cleared, Err(StoreError::Moved)));
                let seen = standing(tx, &delivery)?;
                store::say_of_contact(tx, &delivery, said(seen, None), NOW.plus(after(7)))?;
                standing(tx, &delivery)
            })
            .await;
        assert_eq!(seen, None);
        stage::verified_lines(&bed).await;
    }

    async fn of_many_who_confirm_at_once_one_does(bed: Bed) {
        let delivery = bed.write(|tx| addressed(tx, 1, 1, 1, "north")).await;
        let answers = bed
            .all_at_once(6, move |tx, _| {
                store::say_of_contact(tx, &delivery, said(None, Some(ContactState::ConfirmedByStaff)), NOW)
            })
            .await;
        let moved = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Moved))).count();
        assert_eq!((answers.iter().filter(|answer| answer.is_ok()).count(), moved), (1, 5));
        stage::verified_lines(&bed).await;
    }

    async fn they_are_listed_newest_first_and_forgotten_when_old_and_nobodys(bed: Bed) {
        bed.write(|tx| {
            let kept = addressed(tx, 1, 1, 1, "north")?;
            let gone = addressed(tx, 2, 2, 2, "north")?;
            store::note_bounce(tx, &kept, &ContactKey::of(&kept).unwrap(), NOW)?;
            store::say_of_contact(tx, &gone, said(None, Some(ContactState::Disputed)), NOW.plus(after(1)))?;
            let all = store::contacts(tx.conn(), None, 10)?;
            assert_eq!(all.iter().map(|row| row.standing.state).collect::<Vec<_>>(), [ContactState::Disputed, ContactState::Bounced]);
            assert_eq!((all[0].set_by.clone(), all[1].set_by.clone()), (Some(eve()), None));
            assert_eq!(store::contacts(tx.conn(), Some(ContactState::Bounced), 10)?.len(), 1);
            assert_eq!(store::contacts(tx.conn(), None, 1)?.len(), 1);
            assert_eq!(store::forget_contacts(tx, NOW.plus(hours(1)))?, 0, "their cards are kept still");
            stage::revoke(tx, &gone.id, NOW.plus(after(2)))?;
            store::forget_cards(tx, NOW.plus(hours(1)))?;
            assert_eq!(store::forget_contacts(tx, NOW)?, 0, "it is not old");
            assert_eq!(store::forget_contacts(tx, NOW.plus(hours(1)))?, 1);
            assert_eq!(store::contacts(tx.conn(), None, 10)?.len(), 1);
            Ok(())
        })
        .await;
    }
}
