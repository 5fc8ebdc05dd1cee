//! SMART Health Links: they answer exactly while their link is live, count exactly, and go with it.

use chartseal::base::{LinkId, MediaType, minutes};
use chartseal::policy::HealthLink;
use chartseal::record::{LinkEvent, SuspendedWhy};
use chartseal::store::{self, Attempt, NewFile, NewHealthLink};

use super::bed::{Bed, Engine};
use super::stage::{self, LIFE, NOW};

const INDEX: [u8; 32] = [7; 32];
const HASH: &[u8] = b"planted-passcode-51c0";
const FILE: &str = "health-file";

fn offered() -> NewHealthLink {
    NewHealthLink {
        id_index: INDEX,
        passcode_sealed: Some(HASH.to_vec()),
        attempts: 5,
        blob: FILE.to_owned(),
        file_bytes: 4000,
    }
}

/// A live link that offers one.
async fn offering(bed: &Bed) -> stage::Released {
    bed.write(move |tx| {
        let delivery = stage::recorded(tx, 1)?;
        let card = NewFile {
            number: 3,
            delivery: delivery.id.clone(),
            report_version: delivery.report_version.clone(),
            blob: "card".to_owned(),
            media: MediaType::HealthLink,
            plain_bytes: 900,
            sealed_bytes: 1000,
            plain_index: [0; 32],
        };
        let released = stage::release_offering(tx, &delivery, 3, (offered(), card))?;
        store::lease_notices(tx, NOW, NOW, 100)?;
        Ok(released)
    })
    .await
}

async fn stands(bed: &Bed, at: chartseal::base::UtcMillis) -> bool {
    bed.read(move |conn| store::standing_health_link(conn, &INDEX, at)).await.is_some()
}

async fn left(bed: &Bed, link: &LinkId) -> u8 {
    let link = link.clone();
    bed.read(move |conn| store::passcodes_left(conn, &link)).await
}

on_both! {
    async fn of_200_passcodes_at_once_five_are_looked_at_and_a_right_one_is_given_back(bed: Bed) {
        let it = offering(&bed).await;
        let link = it.link.clone();
        let answers = bed.all_at_once(200, move |tx, _| store::count_passcode(tx, &link, NOW)).await;
        let counted = answers.into_iter().filter(|one| matches!(one, Ok(Attempt::Counted))).count();
        assert_eq!((counted, left(&bed, &it.link).await), (5, 0));
        let link = it.link.clone();
        bed.write(move |tx| store::give_back_passcode(tx, &link)).await;
        assert_eq!(left(&bed, &it.link).await, 1);
    }

    async fn one_answers_while_its_link_is_live_and_not_while_that_is_suspended_or_after_its_end(bed: Bed) {
        let it = offering(&bed).await;
        assert!(stands(&bed, NOW).await && !stands(&bed, NOW.plus(LIFE)).await);
        let suspend = LinkEvent::Suspend { why: SuspendedWhy::Gone };
        let id = it.delivery.clone();
        bed.write(move |tx| stage::step(tx, &id, suspend, NOW)).await;
        assert!(!stands(&bed, NOW).await);
        let link = it.link.clone();
        assert_eq!(bed.write(move |tx| store::count_passcode(tx, &link, NOW)).await, Attempt::Refused);
        let id = it.delivery.clone();
        bed.write(move |tx| stage::step(tx, &id, LinkEvent::Restored, NOW)).await;
        assert!(stands(&bed, NOW).await);
        let link = it.link.clone();
        let late = NOW.plus(LIFE).plus(minutes(1));
        assert_eq!(bed.write(move |tx| store::count_passcode(tx, &link, late)).await, Attempt::Refused);
        assert_eq!(left(&bed, &it.link).await, 5);
    }

    async fn it_ends_alone_where_it_is_more_than_rules_allow(bed: Bed) {
        let it = offering(&bed).await;
        for (allowed, ended) in [(HealthLink::Plain, 0), (HealthLink::Passcode, 0), (HealthLink::Never, 1)] {
            let link = it.link.clone();
            assert_eq!(bed.write(move |tx| store::withdraw_health_link(tx, &link, allowed)).await, ended);
            assert_eq!(stands(&bed, NOW).await, ended == 0);
        }
        let link = it.link.clone();
        assert_eq!(bed.write(move |tx| store::withdraw_health_link(tx, &link, HealthLink::Never)).await, 0);
    }

    async fn with_the_link_it_is_emptied_and_its_file_is_removed_with_the_others(bed: Bed) {
        let it = offering(&bed).await;
        let known = || bed.read(|conn| store::known_blobs(conn, &[FILE.to_owned(), "nobodys".to_owned()]));
        assert_eq!(known().await, [FILE]);
        let id = it.delivery.clone();
        bed.write(move |tx| stage::revoke(tx, &id, NOW)).await;
        assert!(!stands(&bed, NOW).await);
        let dead = bed.read(|conn| store::dead_links_with_files(conn, 10)).await;
        assert!(dead.iter().any(|(link, _, files)| *link == it.link && files.contains(&FILE.to_owned())));
        assert_eq!(known().await, [FILE], "no orphan until it is removed");
        let link = it.link.clone();
        bed.write(move |tx| store::files_removed(tx, &link, NOW)).await;
        assert_eq!(known().await, Vec::<String>::new());
    }
}
