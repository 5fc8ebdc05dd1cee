//! Nothing leaves that nobody expects: shadow, the first start, old reports, pause, the breaker.

use std::time::Duration;

use chartseal::app::start::Restore;
use chartseal::desk::{Desk, DeskError};
use chartseal::store::Mode;
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::support::clinic::{self, Clinic, Leaves, Wishes};
use crate::support::ehr;
use crate::support::front::{Front, Reply};
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::pdf;

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// Stops the clinic, writes another mode, and starts it again.
async fn restart_in(clinic: &mut Clinic, mode: &str) {
    clinic.stop().await.unwrap();
    let text = std::fs::read_to_string(&clinic.config_path).unwrap();
    let other = if mode == "live" { "shadow" } else { "live" };
    let changed = text.replace(&format!("send = \"{other}\""), &format!("send = \"{mode}\""));
    assert_ne!(changed, text);
    std::fs::write(&clinic.config_path, changed).unwrap();
    clinic.start_again(Restore::NotSaid).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_in_shadow_is_shown_and_leaves_only_when_a_person_releases_it() {
    let ehr = ehr::lease().await;
    let front = Front::start(ehr.base_url());
    let wishes = Wishes { send: "shadow", ehr_base: Some(front.base_url.clone()), ..Wishes::default() };
    let mut clinic = Clinic::spawn_with(wishes, ehr, Mailbox::start(Manner::Plain).await).await;
    front.script("Binary/hba1c", [Reply::Whole { status: 200, kind: "application/pdf", body: paper() }]);
    clinic.lab().update(&ehr::patient("shadow-ana", "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut report = ehr::report("shadow-ana", HBA1C, &clinic::real_now(), b"");
    report["presentedForm"] = json!([{"contentType": "application/pdf", "url": "Binary/hba1c"}]);
    clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;

    let shown = clinic.only_delivery().await;
    assert_eq!((shown.state, shown.mode, shown.notice), ("recorded", "shadow", None));
    assert!(front.received("Binary/hba1c").is_empty(), "the attachment was fetched in shadow");
    let refused = Desk { mode: Mode::Shadow, ..clinic.desk() }.release(&shown.id, None).await;
    assert!(matches!(refused, Err(DeskError::Shadow)));

    restart_in(&mut clinic, "live").await;
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(clinic.only_delivery().await.state, "recorded");
    assert!(front.received("Binary/hba1c").is_empty() && clinic.mailbox.mails().is_empty());

    clinic.desk().release(&shown.id, Some("checked by hand".to_owned())).await.unwrap();
    clinic.settle().await;
    clinic.mailbox.wait_for(ANA, 1).await;
    assert_eq!(clinic.only_delivery().await.state, "live");
    assert_eq!(front.received("Binary/hba1c").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_shadow_stops_what_was_on_its_way() {
    let mut clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("the relay is being moved").await.unwrap();
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));

    restart_in(&mut clinic, "shadow").await;
    clinic.desk().resume().await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    assert!(clinic.mailbox.mails().is_empty(), "a message left in shadow");

    restart_in(&mut clinic, "live").await;
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for(ANA, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_before_an_ehr_full_of_old_reports_sends_nothing() {
    let ehr = ehr::lease().await;
    let now = clinic::now();
    ehr.lab().update(&ehr::patient("old-ana", "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut reports = Vec::new();
    for number in 0..30_u64 {
        let issued = now.minus(Duration::from_mins(3 + number * 24 * 60)).to_rfc3339();
        reports.push(ehr.lab().post(&ehr::report("old-ana", HBA1C, &issued, &paper())).await);
    }
    let clinic = Clinic::spawn_with(Wishes::default(), ehr, Mailbox::start(Manner::Plain).await).await;
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    assert!(clinic.deliveries().await.iter().all(|brief| brief.state == "review"));

    for old in [&reports[0], &reports[29]] {
        clinic.lab().change("DiagnosticReport", old, |report| report["conclusion"] = json!("looked at again")).await;
    }
    clinic.hear_and_settle().await;
    let (minutes_old, weeks_old) = (clinic.delivery_of(&reports[0]).await, clinic.delivery_of(&reports[29]).await);
    assert_eq!((minutes_old.state, weeks_old.state), ("review", "review"));
    assert!(minutes_old.note.contains("before Chartseal began"), "{}", minutes_old.note);
    assert!(weeks_old.note.contains("report_age_max"), "{}", weeks_old.note);
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_older_than_the_limit_goes_to_review() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.lab().update(&ehr::patient("late-ana", "Garcia", "Ana", "1984-05-06", ANA)).await;
    let issued = clinic.now().minus(Duration::from_hours(8 * 24)).to_rfc3339();
    clinic.lab().post(&ehr::report("late-ana", HBA1C, &issued, &paper())).await;
    let mut undated = ehr::report("late-ana", HBA1C, &issued, &paper());
    undated.as_object_mut().unwrap().remove("issued");
    let undated = clinic.lab().post(&undated).await;
    clinic.hear_and_settle().await;
    let notes: Vec<_> = clinic.deliveries().await.into_iter().map(|brief| (brief.state, brief.note)).collect();
    assert_eq!(notes.len(), 2);
    assert!(notes.iter().all(|(state, _)| *state == "review"));
    assert!(notes.iter().any(|(_, note)| note.contains("report_age_max")));
    assert!(clinic.delivery_of(&undated).await.note.contains("no date"));
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_all_messages_and_its_end_sends_them() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("a wrong rule").await.unwrap();
    for address in [ANA, "ben@example.test"] {
        clinic.report(address, HBA1C, &paper()).await;
    }
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    assert!(clinic.deliveries().await.iter().all(|brief| brief.notice == Some("queued")));
    assert!(clinic.mailbox.mails().is_empty());

    clinic.desk().resume().await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!((clinic.mails_to(ANA).len(), clinic.mails_to("ben@example.test").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_outlasts_the_waiting_time_ends_in_review_and_kills_the_link() {
    let mut clinic = Clinic::spawn(Wishes::default()).await;
    clinic.leaves = Leaves::Nothing;
    clinic.desk().pause("holidays").await.unwrap();
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    for _ in 0..7 {
        clinic.hear_and_settle().await;
    }
    clinic.desk().resume().await.unwrap();
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("waited too long"), "{}", brief.note);
    assert!(clinic.show(&brief.id).await.shredded_at.is_some());
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_as_many_messages_a_day_as_the_limit_says_and_the_rest_go_to_review() {
    let more = "[limits]\nnotices_per_address_day_max = 2".to_owned();
    let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
    for _ in 0..5 {
        clinic.report(ANA, HBA1C, &paper()).await;
    }
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), 2, "those within the limit are sent, the others are not");
    let withheld: Vec<_> = clinic.deliveries().await.into_iter().filter(|brief| brief.state == "review").collect();
    assert_eq!(withheld.len(), 3);
    assert!(withheld.iter().all(|brief| brief.note.contains("the address would get more than 2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_patient_gets_as_many_messages_a_day_as_the_limit_says_whatever_the_address() {
    let more = "[limits]\nnotices_per_patient_day_max = 2".to_owned();
    let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
    for number in 0..3 {
        let address = format!("ana-{number}@example.test");
        clinic.lab().update(&ehr::patient("many-ana", "Garcia", "Ana", "1984-05-06", &address)).await;
        clinic.lab().post(&ehr::report("many-ana", HBA1C, &clinic::real_now(), &paper())).await;
        clinic.hear_and_settle().await;
    }
    assert_eq!(clinic.mailbox.mails().len(), 2);
    let brief = &clinic.deliveries().await[0];
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("the patient would get more than 2"), "{}", brief.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_breaker_withheld_and_staff_then_released_is_sent_within_the_same_day() {
    let more = "[limits]\nnotices_per_address_day_max = 1".to_owned();
    let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let (_, unruled) = clinic.report(ANA, "99999-9", &paper()).await;
    clinic.hear_and_settle().await;
    // The first release decides about the missing rule, the second about the breaker.
    for (note, mails) in [("no rule matches", 1), ("breaker tripped", 2)] {
        let brief = clinic.delivery_of(&unruled).await;
        assert!(brief.note.contains(note), "{}: {}", brief.state, brief.note);
        clinic.desk().release(&brief.id, None).await.unwrap();
        clinic.settle().await;
        assert_eq!(clinic.mails_to(ANA).len(), mails, "after the release despite: {note}");
    }
    let (_, third) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&third).await.state, "review", "a release speaks of one delivery");
}

/// As if so many more messages had left when the one that did.
async fn as_if_sent_besides(clinic: &Clinic, count: usize) {
    let copies = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO notice (id, delivery_id, link_id, kind, channel, state, due_at, attempts, ambiguous, created_at, \
         first_attempt_at) SELECT substr(id, 1, length(id) - 3) || printf('%03d', i), delivery_id, link_id, kind, \
         channel, state, due_at, attempts, ambiguous, created_at, first_attempt_at FROM notice, n"
    );
    clinic.ground.store.write(move |tx| Ok(tx.conn().batch_execute(&copies)?)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_breaker_paused_everything_a_resume_by_staff_holds() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    as_if_sent_besides(&clinic, 250).await;
    clinic.report("ben@example.test", HBA1C, &paper()).await;
    clinic.forward(Duration::from_mins(1));
    clinic.settle().await;
    assert!(clinic.mails_to("ben@example.test").is_empty(), "the breaker did not trip");
    clinic.desk().resume().await.unwrap();
    clinic.settle().await;
    assert_eq!(clinic.mails_to("ben@example.test").len(), 1, "the breaker undid what staff had decided");
}
