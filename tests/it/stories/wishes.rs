//! What whoever holds a link can say beside opening it: that it was not for them, and that they want another.

use std::time::Duration;

use chartseal::record::ContactState;

use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::ehr;
use crate::support::holder::Holder;
use crate::support::pdf;

const ANA: &str = "ana@example.test";
const HBA1C: &str = "4548-4";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

async fn clinic(more: &str, database: Database) -> Clinic {
    let rules = RULES.replace("opens = 1, channel = [\"email\"]", &format!("opens = 2{more}"));
    Clinic::spawn(Wishes { database, rules, ..Wishes::default() }).await
}

async fn days_later(clinic: &Clinic, days: u64) {
    clinic.forward(Duration::from_hours(24 * days));
    clinic.settle().await;
}

async fn whoever_says_that_it_was_not_for_them_ends_it(database: Database) {
    let clinic = clinic("", database).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let mut reader = Holder::new(&link);
    assert_eq!(reader.read().await, paper());
    let id = clinic.only_delivery().await.id;

    let mut other = Holder::new(&link);
    assert_eq!(other.look().await.says(), "ready");
    assert_eq!(other.disown().await.says(), "disowned");
    assert_eq!(other.disown().await.says(), "disowned", "said twice it is the same");
    let mut third = Holder::new(&link);
    assert_eq!(third.open().await.says(), "disowned", "nobody opens it any more");
    let shown = clinic.show(&id).await;
    assert!(shown.shredded_at.is_some());
    assert_eq!(shown.brief.state, "revoked");
    assert!(shown.brief.note.contains("not for them") && shown.brief.note.contains("may have to be reported"));
    let said: Vec<_> = shown.audit.iter().filter(|line| line["event"] == "disowned").collect();
    assert_eq!((said.len(), said[0]["opened"].as_u64()), (1, Some(1)), "and somebody had opened it");
    let disputed = clinic.desk().contacts(Some(ContactState::Disputed), 10).await.unwrap();
    assert_eq!(disputed.len(), 1, "nothing more goes to that address before a person looked");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_that_a_link_was_not_for_them_ends_it_and_staff_are_told() {
    Box::pin(whoever_says_that_it_was_not_for_them_ends_it(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_that_a_link_was_not_for_them_ends_it_and_staff_are_told_on_postgres() {
    Box::pin(whoever_says_that_it_was_not_for_them_ends_it(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_that_one_was_not_for_them_opens_none_of_those_that_went_to_that_address() {
    let clinic = clinic("", Database::Sqlite).await;
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    for loinc in [HBA1C, "58410-2"] {
        clinic.lab().post(&ehr::report(&patient, loinc, &real_now(), &paper())).await;
    }
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for(ANA, 2).await;
    let links: Vec<String> = clinic.mails_to(ANA).iter().map(crate::support::mailbox::Mail::link).collect();
    assert_eq!(Holder::new(&links[0]).disown().await.says(), "disowned");
    assert_eq!(Holder::new(&links[1]).open().await.says(), "disowned");
    for brief in clinic.deliveries().await {
        assert_eq!(brief.state, "revoked");
        let shown = clinic.show(&brief.id).await;
        let said = shown.audit.iter().filter(|line| line["event"] == "disowned").count();
        assert_eq!(said, 1, "each is for staff to send anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_who_opens_and_who_closes_at_once_nobody_opens_after_it_was_closed_and_it_is_told_once() {
    let clinic = clinic("", Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let at_once = (0..12).map(|n| {
        let link = link.clone();
        async move {
            let mut holder = Holder::new(&link);
            if n % 3 == 0 { holder.open().await.says() } else { holder.disown().await.says() }
        }
    });
    let said = futures_util::future::join_all(at_once).await;
    assert!(said.iter().enumerate().all(|(n, said)| n % 3 == 0 || said == "disowned"), "{said:?}");
    assert_eq!(Holder::new(&link).open().await.says(), "disowned");
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    assert_eq!(shown.audit.iter().filter(|line| line["event"] == "disowned").count(), 1);
    assert!(shown.shredded_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_disowns_nothing() {
    let clinic = clinic("", Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let (address, _) = link.split_once('#').unwrap();
    let mut stranger = Holder::new(&format!("{address}#AAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!(stranger.disown().await.says(), "unknown");
    assert_eq!(stranger.ask_for_another().await.says(), "unknown");
    assert_eq!(clinic.only_delivery().await.state, "live");
}

async fn the_holder_of_a_link_that_ran_out_asks_for_another(database: Database) {
    let clinic = clinic("", database).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let mut holder = Holder::new(&link);
    assert_eq!(holder.ask_for_another().await.says(), "ready", "what still opens is not made again");
    days_later(&clinic, 4).await;
    holder.begin().await;
    let looked = holder.look().await;
    assert_eq!((looked.says().as_str(), looked.body["another"].as_str()), ("expired", Some("offered")));
    assert!(clinic.desk().wished_for(10).await.unwrap().is_empty());
    let before = clinic.mails_to(ANA).len();
    for _ in 0..3 {
        let asked = holder.ask_for_another().await;
        assert_eq!((asked.says().as_str(), asked.body["another"].as_str()), ("expired", Some("asked")));
    }
    clinic.settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), before, "the rules leave it to staff");
    let wished = clinic.desk().wished_for(10).await.unwrap();
    assert_eq!(wished.len(), 1, "however often it was said");
    assert!(wished[0].note.contains("asks for another link"), "{}", wished[0].note);
    let shown = clinic.show(&wished[0].id).await;
    assert_eq!(shown.audit.iter().filter(|line| line["event"] == "another_wanted").count(), 1);

    clinic.desk().resend(&wished[0].id, None).await.unwrap();
    clinic.settle().await;
    assert!(clinic.desk().wished_for(10).await.unwrap().is_empty());
    let newest = clinic.mailbox.wait_for(ANA, before + 1).await;
    assert_eq!(Holder::new(&newest.link()).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_link_that_ran_out_asks_staff_for_another() {
    Box::pin(the_holder_of_a_link_that_ran_out_asks_for_another(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_link_that_ran_out_asks_staff_for_another_on_postgres() {
    Box::pin(the_holder_of_a_link_that_ran_out_asks_for_another(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_rules_let_the_patient_a_new_link_comes_by_itself_to_the_address_of_the_record() {
    let clinic = clinic(", reissue = \"self\"", Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    days_later(&clinic, 4).await;
    let before = clinic.mails_to(ANA).len();
    let mut holder = Holder::new(&link);
    holder.ask_for_another().await;
    clinic.settle().await;
    let newest = clinic.mailbox.wait_for(ANA, before + 1).await;
    assert_ne!(newest.link(), link);
    assert_eq!(Holder::new(&newest.link()).read().await, paper());
    holder.ask_for_another().await;
    clinic.settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), before + 1, "one for each link");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_link_that_staff_ended_staff_decide_whatever_the_rules_let_the_patient() {
    let clinic = clinic(", reissue = \"self\"", Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    clinic.desk().revoke(&clinic.only_delivery().await.id, None).await.unwrap();
    Holder::new(&link).ask_for_another().await;
    clinic.settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), 1);
    assert_eq!(clinic.desk().wished_for(10).await.unwrap().len(), 1);
}
