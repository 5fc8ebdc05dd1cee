//! The document that a delivery stands for, where Chartseal writes it itself; and the attachment that a person lets go although it
//! was doubted.

use std::collections::BTreeSet;

use chartseal::audit::Actor;
use chartseal::record::LinkEvent;
use chartseal::store::{self, StoreError};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

on_both! {
    async fn a_release_under_way_is_not_committed_when_its_document_became_another_one_meanwhile(bed: Bed) {
        bed.write(|tx| {
            let kept = stage::recorded(tx, 1)?;
            assert_eq!(store::paper_of(tx.conn(), &kept.id)?, None);
            store::insert_paper(tx, &kept.id, &[1; 32])?;
            let under_way = stage::lease_due(tx, NOW, NOW.plus(after(60)), 1)?.remove(0);
            let same = store::set_paper(tx, under_way.clone(), &[1; 32])?;
            let renewed = store::renew_delivery_lease(tx, same, NOW.plus(after(90)))?;
            let store::Renewed::Kept(under_way) = renewed else { panic!("the same document disturbs no release") };
            let seen = store::hold_delivery(tx, &under_way.id)?.expect("the delivery is there");
            let now = store::set_paper(tx, seen, &[2; 32])?;
            let step = under_way.state.clone().step(LinkEvent::Released, NOW)?;
            let late = store::advance(tx, &under_way, &step, Actor::System, NOW);
            assert!(matches!(late, Err(StoreError::Moved)), "the file may be the older document");
            assert_eq!(store::paper_of(tx.conn(), &now.id)?, Some([2; 32]));
            let again = stage::lease_due(tx, NOW, NOW.plus(after(60)), 1)?.remove(0);
            assert_eq!(again.id, under_way.id, "it is taken up at once");
            Ok(())
        })
        .await;
    }

    async fn a_document_is_noted_only_for_the_delivery_as_it_was_seen(bed: Bed) {
        bed.write(|tx| {
            let seen = stage::recorded(tx, 1)?;
            let moved = store::set_paper(tx, seen.clone(), &[1; 32])?;
            assert!(matches!(store::set_paper(tx, seen, &[2; 32]), Err(StoreError::Moved)));
            assert_eq!(store::set_paper(tx, moved, &[3; 32]).map(|now| now.tries)?, 0);
            Ok(())
        })
        .await;
    }

    async fn a_note_or_a_question_that_came_while_a_link_was_made_was_lost(bed: Bed) {
        bed.write(|tx| {
            let seen = stage::recorded(tx, 1)?;
            store::set_note(tx, &seen.id, b"sealed")?;
            store::outdate_preparations(tx, &seen.id)?;
            let step = seen.state.clone().step(LinkEvent::Released, NOW)?;
            assert!(matches!(store::advance(tx, &seen, &step, Actor::System, NOW), Err(StoreError::Moved)));
            assert_eq!(store::note_of(tx.conn(), &seen.id)?.as_deref(), Some(b"sealed".as_slice()));
            store::forget_note(tx, &seen.id)?;
            assert_eq!(store::note_of(tx.conn(), &seen.id)?, None);
            Ok(())
        })
        .await;
    }

    async fn a_persons_word_is_about_the_file_that_was_doubted_last_and_no_other(bed: Bed) {
        bed.write(|tx| {
            let kept = stage::recorded(tx, 1)?;
            let other = stage::recorded(tx, 2)?;
            let none = BTreeSet::new();
            store::release_doubted(tx, &kept.id, NOW)?;
            assert_eq!(store::released_although_doubted(tx.conn(), &kept.id)?, none, "nothing was doubted");
            store::doubt_paper(tx, &kept.id, &[1; 32])?;
            store::doubt_paper(tx, &other.id, &[3; 32])?;
            assert_eq!(store::released_although_doubted(tx.conn(), &kept.id)?, none, "nobody has said a word");
            store::release_doubted(tx, &kept.id, NOW)?;
            assert_eq!(store::released_although_doubted(tx.conn(), &kept.id)?, BTreeSet::from([[1; 32]]));
            assert_eq!(store::released_although_doubted(tx.conn(), &other.id)?, none);
            store::doubt_paper(tx, &kept.id, &[2; 32])?;
            let let_go = store::released_although_doubted(tx.conn(), &kept.id)?;
            assert_eq!(let_go, BTreeSet::from([[1; 32]]), "another file is doubted, and that one is not");
            store::doubt_paper(tx, &kept.id, &[4; 32])?;
            store::release_doubted(tx, &kept.id, NOW)?;
            let let_go = store::released_although_doubted(tx.conn(), &kept.id)?;
            assert_eq!(let_go, BTreeSet::from([[1; 32], [4; 32]]), "what was doubted before the last doubt is not let go");
            store::doubt_paper(tx, &kept.id, &[1; 32])?;
            let let_go = store::released_although_doubted(tx.conn(), &kept.id)?;
            assert_eq!(let_go, BTreeSet::from([[4; 32]]), "doubted again it is not let go");
            Ok(())
        })
        .await;
    }
}
