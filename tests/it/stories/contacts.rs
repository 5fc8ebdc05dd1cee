//! What is known of an address decides whether anything goes there: it bounced, somebody disputes it, staff confirmed it.

use chartseal::desk::ContactWord;
use serde_json::Value;

use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::holder::Holder;
use crate::support::planted::{self, assert_absent};
use crate::support::{ehr, pdf, program};

const HBA1C: &str = "4548-4";
const CBC: &str = "58410-2";
const ANA: &str = "ana@example.test";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

async fn another_report(clinic: &Clinic, patient: &str, loinc: &str) -> String {
    clinic.lab().post(&ehr::report(patient, loinc, &real_now(), &paper())).await
}

async fn says(clinic: &Clinic, delivery: &str, word: ContactWord) {
    clinic.desk().say_of_contact(delivery, word, Some("asked the patient".to_owned())).await.unwrap();
}

/// The state of the delivery of a report, and why.
async fn state(clinic: &Clinic, report: &str) -> (&'static str, String) {
    let brief = clinic.delivery_of(report).await;
    (brief.state, brief.note)
}

async fn a_mailbox_that_does_not_exist_gets_nothing_more(database: Database) {
    let clinic = Clinic::spawn(Wishes { database, ..Wishes::default() }).await;
    let (patient, first) = clinic.report("perm-ana@example.test", HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let first = clinic.delivery_of(&first).await;
    assert_eq!((first.state, first.notice), ("review", Some("bounced")));
    assert_eq!(clinic.desk().contact(&first.id).await.unwrap().state, "bounced");

    let second = another_report(&clinic, &patient, CBC).await;
    clinic.hear_and_settle().await;
    let brief = clinic.delivery_of(&second).await;
    assert_eq!((brief.state, brief.notice), ("review", None), "{}", brief.note);
    assert!(brief.note.contains("refused a message for good") && !brief.note.contains('@'), "{}", brief.note);

    for id in [&first.id, &brief.id] {
        clinic.desk().release(id, None).await.unwrap();
        clinic.hear_and_settle().await;
    }
    assert_eq!(clinic.delivery_of(&second).await.notice, None, "it was tried although nobody said that it may be");
    assert_eq!(clinic.delivery_of(&second).await.state, "review");

    says(&clinic, &brief.id, ContactWord::Confirm).await;
    clinic.hear_and_settle().await;
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&second).await.notice, Some("bounced"), "a person's word was not tried");
    assert_eq!(clinic.desk().contact(&brief.id).await.unwrap().state, "bounced");
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_does_not_exist_gets_nothing_more_until_a_person_says_so() {
    for database in [Database::Sqlite, Database::Postgres] {
        a_mailbox_that_does_not_exist_gets_nothing_more(database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_and_a_relays_policy_say_nothing_of_the_address() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    for address in ["full-ana@example.test", "data5-ana@example.test"] {
        let (_, report) = clinic.report(address, HBA1C, &paper()).await;
        clinic.hear_and_settle().await;
        let brief = clinic.delivery_of(&report).await;
        assert_eq!(brief.notice, Some("bounced"), "{address}");
        assert_eq!(clinic.desk().contact(&brief.id).await.unwrap().state, "unknown", "{address}");
    }
    assert!(clinic.desk().contacts(None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_disputes_an_address_ends_the_links_that_went_there_and_nothing_more_is_sent() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let (patient, first) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    let sent = clinic.delivery_of(&first).await.id;

    let changed = clinic.desk().say_of_contact(&sent, ContactWord::Dispute, None).await.unwrap();
    assert_eq!((changed.before, changed.state, changed.revoked), ("unknown", "disputed", vec![sent.clone()]));
    assert_eq!(state(&clinic, &first).await.0, "revoked");
    assert_eq!(Holder::new(&link).open().await.says(), "revoked", "whoever reads there may not be the patient");

    let second = another_report(&clinic, &patient, CBC).await;
    clinic.hear_and_settle().await;
    let (at, note) = state(&clinic, &second).await;
    assert!(at == "review" && note.contains("disputed since"), "{at}: {note}");
    assert_eq!(clinic.mailbox.mails().len(), 1);

    says(&clinic, &sent, ContactWord::Confirm).await;
    clinic.desk().release(&clinic.delivery_of(&second).await.id, None).await.unwrap();
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for(ANA, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_the_address_is_disputed_does_not_leave() {
    let held = "[[restrict]]\nid = \"wait\"\nwhen = { code = \"loinc|58410-2\" }\nthen = { hold = \"12h\" }\n";
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{held}"), ..Wishes::default() }).await;
    let (patient, queued) = clinic.report(ANA, HBA1C, &paper()).await;
    let held = another_report(&clinic, &patient, CBC).await;
    clinic.desk().pause("a look").await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!((state(&clinic, &queued).await.0, state(&clinic, &held).await.0), ("live", "held"));

    let id = clinic.delivery_of(&queued).await.id;
    says(&clinic, &id, ContactWord::Dispute).await;
    clinic.desk().resume().await.unwrap();
    clinic.hear_and_settle().await;
    let (at, note) = state(&clinic, &queued).await;
    assert!(at == "review" && note.contains("disputed since"), "{at}: {note}");
    for _ in 0..13 {
        clinic.hear_and_settle().await;
    }
    let (at, note) = state(&clinic, &held).await;
    assert!(at == "review" && note.contains("disputed since"), "{at}: {note}");
    assert!(clinic.mailbox.mails().is_empty());
}

const SURE: &str = r#"
[[profile]]
id = "sure"
when = { code = "loinc|718-7", contact_confirmed_within = "400d" }
then = { action = "send" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_wants_a_confirmed_address_sends_once_staff_asked_the_patient() {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{SURE}"), ..Wishes::default() }).await;
    let (patient, first) = clinic.report(ANA, "718-7", &paper()).await;
    clinic.hear_and_settle().await;
    let (at, note) = state(&clinic, &first).await;
    assert!(at == "review" && note.contains("no rule matches"), "{at}: {note}");

    let id = clinic.delivery_of(&first).await.id;
    says(&clinic, &id, ContactWord::Confirm).await;
    let second = another_report(&clinic, &patient, "718-7").await;
    clinic.hear_and_settle().await;
    assert_eq!(state(&clinic, &second).await.0, "live");
    clinic.mailbox.wait_for(ANA, 1).await;
    assert_eq!(state(&clinic, &first).await.0, "review", "what became easier waits for a person's word");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_by_a_confirmation_that_is_taken_back_before_it_left_waits_for_a_person() {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{SURE}"), ..Wishes::default() }).await;
    let (patient, first) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let id = clinic.delivery_of(&first).await.id;
    says(&clinic, &id, ContactWord::Confirm).await;
    clinic.desk().pause("a look").await.unwrap();
    let second = another_report(&clinic, &patient, "718-7").await;
    clinic.hear_and_settle().await;
    assert_eq!(state(&clinic, &second).await.0, "live");
    says(&clinic, &id, ContactWord::Clear).await;
    clinic.desk().resume().await.unwrap();
    // The message goes first: nobody has read the report again yet.
    clinic.steps.outbox.turn().await.unwrap();
    clinic.hear_and_settle().await;
    let (at, note) = state(&clinic, &second).await;
    assert!(at == "review" && note.contains("confirmed when this was decided"), "{at}: {note}");
    assert_eq!(clinic.mailbox.mails().len(), 1, "only the first");
}

fn json(clinic: &Clinic, arguments: &[&str]) -> (i32, Value) {
    let ran = program::run(&clinic.config_path, &[arguments, &["--json"]].concat());
    assert_absent(&arguments.join(" "), ran.all().as_bytes(), &[planted::EMAIL]);
    (ran.code, ran.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_look_at_addresses_and_speak_of_them_without_ever_seeing_one_whole() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let (_, report) = clinic.report(planted::EMAIL.value, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let id = clinic.delivery_of(&report).await.id;
    let (code, none) = json(&clinic, &["contacts", "list"]);
    assert_eq!((code, none.as_array().unwrap().len()), (0, 0));

    let (code, shown) = json(&clinic, &["contacts", "show", &id]);
    assert_eq!((code, &shown["state"], &shown["open"][0][0]), (0, &"unknown".into(), &id.clone().into()));
    let outline = shown["address"].as_str().unwrap();
    assert!(outline.contains('…') && outline.contains('@'), "{outline}");

    let (code, changed) = json(&clinic, &["contacts", "confirm", &id, "--reason", "she called"]);
    assert_eq!((code, &changed["before"], &changed["state"]), (0, &"unknown".into(), &"confirmed_by_staff".into()));
    let (_, listed) = json(&clinic, &["contacts", "list", "--state", "confirmed_by_staff"]);
    assert_eq!((&listed[0]["delivery"], &listed[0]["by"]), (&id.clone().into(), &"Eve Admin".into()));
    let reference = clinic.show(&id).await.reference.unwrap();
    let (code, changed) = json(&clinic, &["contacts", "dispute", &reference]);
    assert_eq!((code, &changed["revoked"][0]), (0, &id.clone().into()));
    let (code, _) = json(&clinic, &["contacts", "dispute", &id]);
    assert_eq!(code, 1, "it is so already");
    let (code, _) = json(&clinic, &["contacts", "clear", &id]);
    assert_eq!(code, 0);
    let (_, listed) = json(&clinic, &["contacts", "list"]);
    assert!(listed.as_array().unwrap().is_empty());
    assert_eq!(json(&clinic, &["contacts", "clear", &id]).0, 1);
    assert_eq!(json(&clinic, &["contacts", "show", "nobody"]).0, 1);
    assert_eq!(json(&clinic, &["contacts", "list", "--state", "certain"]).0, 2);

    let told = clinic.show(&id).await.audit;
    let events: Vec<_> = told.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events.iter().filter(|event| event.starts_with("contact_")).count(), 3, "{events:?}");
    let words = program::run(&clinic.config_path, &["deliveries", "show", &id]);
    assert!(
        words.out.contains("contact set (operator Eve Admin)") && words.out.contains("she called"),
        "{}",
        words.out
    );
}
