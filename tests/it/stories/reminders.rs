//! Links that nobody opens: their holders are reminded, and of what is sensitive staff are told to call.

use std::time::Duration;

use chartseal::base::{DeliveryId, LinkId};
use chartseal::store::{self, ReminderRow};

use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::ehr;
use crate::support::holder::Holder;
use crate::support::pdf;
use crate::support::texts::TwilioStub;

const ANA: &str = "ana@example.test";
const HBA1C: &str = "4548-4";

/// The usual rules, of which what is sent is sensitive.
const SENSITIVE: &str = "\n[[classify]]\ntag = \"HIV\"\nwhen = { code = \"loinc|4548-4\" }\n\n[[restrict]]\nid = \"sensitive\"\n\
                         when = { tag = \"HIV\" }\nthen = { wording = \"bare\" }\n";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// For 72 hours, as many openings as there are words.
fn rules(more: &str) -> String {
    RULES.replace("opens = 1, channel = [\"email\"]", &format!("opens = 2, wording = \"generic\"{more}"))
}

async fn clinic(rules: String, database: Database) -> Clinic {
    Clinic::spawn(Wishes { database, rules, ..Wishes::default() }).await
}

async fn hours_later(clinic: &Clinic, hours: u64) {
    clinic.forward(Duration::from_hours(hours));
    clinic.settle().await;
}

/// What is still to be said of the only delivery's link.
async fn reminder(clinic: &Clinic) -> Option<ReminderRow> {
    let id = DeliveryId::parse(&clinic.only_delivery().await.id).unwrap();
    let read = move |conn: &mut store::Conn| {
        let link: Option<LinkId> = store::delivery(conn, &id)?.and_then(|delivery| delivery.link);
        link.map_or(Ok(None), |link| store::reminder_of(conn, &link))
    };
    clinic.ground.store.read(read).await.unwrap()
}

async fn events(clinic: &Clinic) -> Vec<String> {
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    shown.audit.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

async fn who_does_not_open_is_reminded_without_the_link(database: Database) {
    let clinic = clinic(rules(""), database).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let reference = clinic.show(&clinic.only_delivery().await.id).await.reference.unwrap();
    hours_later(&clinic, 34).await;
    assert_eq!(clinic.mails_to(ANA).len(), 1, "half of its life is not over");
    hours_later(&clinic, 3).await;
    let mails = clinic.mails_to(ANA);
    assert_eq!(mails.len(), 2);
    let said = &mails[1];
    assert!(!said.raw.contains("/r/") && !said.text.contains("http"), "it carries no link: {}", said.text);
    assert!(said.text.contains(&reference) && said.text.contains("has not been opened"), "{}", said.text);
    assert_eq!(said.subject, "Reminder: a message from Riverside Clinic");
    assert!(!events(&clinic).await.contains(&"secret_kept".to_owned()));

    hours_later(&clinic, 12).await;
    assert_eq!(clinic.mails_to(ANA).len(), 3, "once more, when a day is left");
    assert_eq!(clinic.only_delivery().await.note, "", "nobody need call about what is not sensitive");
    assert_eq!(Holder::new(&link).read().await, paper(), "the link of the first message is the one");
    hours_later(&clinic, 30).await;
    assert_eq!(clinic.mails_to(ANA).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_open_is_reminded_twice_without_the_link() {
    who_does_not_open_is_reminded_without_the_link(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_open_is_reminded_twice_without_the_link_on_postgres() {
    who_does_not_open_is_reminded_without_the_link(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_repeats_the_link_only_where_the_rules_keep_its_secret_and_only_until_it_is_opened() {
    let clinic = clinic(rules(", custody = \"until_opened\""), Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    assert!(reminder(&clinic).await.unwrap().secret_sealed.is_some());
    hours_later(&clinic, 37).await;
    let mails = clinic.mails_to(ANA);
    assert_eq!((mails.len(), mails[1].link()), (2, link.clone()), "the same link");
    assert_eq!(mails[1].subject, "Reminder: a document from Riverside Clinic");
    let told = events(&clinic).await;
    assert!(told.contains(&"secret_kept".to_owned()) && told.contains(&"reminded".to_owned()), "{told:?}");

    assert_eq!(Holder::new(&mails[1].link()).read().await, paper());
    assert!(reminder(&clinic).await.is_none(), "the secret is kept no longer than until somebody opens it");
    hours_later(&clinic, 13).await;
    assert_eq!(clinic.mails_to(ANA).len(), 2, "nobody is reminded of what they opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_revoked_is_spoken_of_no_more_and_its_kept_secret_goes() {
    let clinic = clinic(rules(", custody = \"until_opened\""), Database::Sqlite).await;
    clinic.sent(ANA, HBA1C, &paper()).await;
    clinic.desk().revoke(&clinic.only_delivery().await.id, None).await.unwrap();
    let row = reminder(&clinic).await.unwrap();
    assert!(row.secret_sealed.is_none() && row.due_at.is_none());
    hours_later(&clinic, 60).await;
    assert_eq!(clinic.mails_to(ANA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_waits_for_the_end_of_quiet_hours() {
    // The report leaves an hour from now; half of its life ends in the quiet of the next day.
    let now = crate::support::clinic::now().to_datetime().with_timezone(&chrono_tz::America::Chicago);
    let wall = |hours: i64| (now + chrono::TimeDelta::hours(hours)).format("%H:%M").to_string();
    let quiet = format!("{}\n[quiet]\nhours = \"{}-{}\"\n", rules(""), wall(10), wall(19));
    let clinic = clinic(quiet, Database::Sqlite).await;
    clinic.sent(ANA, HBA1C, &paper()).await;
    hours_later(&clinic, 37).await;
    assert_eq!(clinic.mails_to(ANA).len(), 1, "it is quiet");
    hours_later(&clinic, 9).await;
    assert_eq!(clinic.mails_to(ANA).len(), 2, "the quiet hours are over");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_sensitive_staff_are_told_to_call_before_its_link_ends_and_once_they_called_no_more() {
    let clinic = clinic(format!("{}{SENSITIVE}", rules("")), Database::Sqlite).await;
    clinic.sent(ANA, HBA1C, &paper()).await;
    hours_later(&clinic, 37).await;
    assert!(clinic.desk().to_call(10).await.unwrap().is_empty(), "there is time left");
    hours_later(&clinic, 12).await;
    let wanted = clinic.desk().to_call(10).await.unwrap();
    assert_eq!(wanted.len(), 1);
    assert!(wanted[0].note.contains("nobody opened it, and its link ends soon"), "{}", wanted[0].note);
    hours_later(&clinic, 30).await;
    let wanted = clinic.desk().to_call(10).await.unwrap();
    assert_eq!((wanted.len(), wanted[0].state), (1, "expired"), "an end without a call is not forgotten");
    assert!(wanted[0].note.contains("nobody had opened it"), "{}", wanted[0].note);

    let id = &wanted[0].id;
    clinic.desk().called(id, Some("comes on Monday".to_owned())).await.unwrap();
    assert!(clinic.desk().to_call(10).await.unwrap().is_empty());
    assert!(clinic.desk().called(id, None).await.is_err(), "once");
    let told = events(&clinic).await;
    let of = |event: &str| told.iter().filter(|one| *one == event).count();
    assert_eq!((of("reminded"), of("call_wanted"), of("called")), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_what_is_sensitive_is_not_called() {
    let clinic = clinic(format!("{}{SENSITIVE}", rules("")), Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    hours_later(&clinic, 49).await;
    assert_eq!(clinic.desk().to_call(10).await.unwrap().len(), 1);
    assert_eq!(Holder::new(&link).read().await, paper());
    assert!(clinic.desk().to_call(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_text_reached_a_text_reminds() {
    let gateway = TwilioStub::start().await;
    let rules = rules(", channel = [\"sms\"], custody = \"until_opened\"");
    let clinic = Clinic::spawn(Wishes { rules, more: gateway.config(), ..Wishes::default() }).await;
    let patient = ehr::new_patient_id();
    let mut ana = ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA);
    ana["telecom"] = serde_json::json!([{"system": "sms", "value": "+12025550101"}]);
    clinic.lab().update(&ana).await;
    clinic.lab().post(&ehr::report(&patient, HBA1C, &real_now(), &paper())).await;
    clinic.hear_and_settle().await;
    crate::support::wait::until_async("the gateway's word", async || {
        (clinic.only_delivery().await.notice == Some("sent")).then_some(())
    })
    .await;
    hours_later(&clinic, 37).await;
    let texts = gateway.taken();
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[0].link(), texts[1].link());
    assert!(texts[1].body.starts_with("Riverside Clinic: Your document is still waiting:"), "{}", texts[1].body);
    assert!(texts[1].body.chars().count() <= 160);
}
