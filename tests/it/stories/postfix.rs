//! The whole road of a message, with a real mail system on it: out over TLS, queued, tried again, given up, and reported back.

use std::time::Duration;

use serde_json::Value;

use crate::support::clinic::{Clinic, Wishes};
use crate::support::holder::Holder;
use crate::support::mailbox::Mail;
use crate::support::postfix::{Postfix, PostfixPlace, Report, Reports, Tries};
use crate::support::{pdf, program, wait};

const HBA1C: &str = "4548-4";

async fn clinic(tries: Tries, reports: Reports) -> (Clinic, Postfix) {
    let place = PostfixPlace::new();
    let (more, relay_port) = (place.config(), Some(place.port));
    let clinic = Clinic::spawn(Wishes { mail_tls: "required", more, relay_port, ..Wishes::default() }).await;
    let postfix = Postfix::start(place, &clinic, tries, reports).await;
    (clinic, postfix)
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// Posts a report and hands its message over.
async fn sent(clinic: &Clinic, address: &str) -> String {
    let (_, report) = clinic.report(address, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    report
}

/// The same to a mail system whose reports wait in a Maildir: it took the message, and nothing else is known yet.
async fn handed_over(clinic: &Clinic, address: &str) -> String {
    let report = sent(clinic, address).await;
    let brief = clinic.delivery_of(&report).await;
    assert_eq!((brief.state, brief.notice), ("live", Some("sent")), "the mail system took it");
    report
}

/// The link in a message that came back: whoever reads the mailbox of reports has it.
fn link_in(ours: Option<Mail>) -> String {
    ours.expect("the report has our whole message in it").link()
}

/// State of the delivery and of its last message, and what is known of the address.
async fn stands(clinic: &Clinic, report: &str) -> (&'static str, Option<&'static str>, String) {
    let brief = clinic.delivery_of(report).await;
    let contact = clinic.desk().contact(&brief.id).await.unwrap().state.to_owned();
    (brief.state, brief.notice, contact)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_through_a_real_mail_system_whole_also_when_that_has_to_try_twice() {
    let (clinic, postfix) = clinic(Tries::ForAnHour, Reports::Kept).await;
    for address in ["ana@example.test", "grey-ana@example.test"] {
        let report = handed_over(&clinic, address).await;
        let mail = clinic.mailbox.wait_for(address, 1).await;
        assert!(mail.envelope_from.starts_with("bounces+"), "reports would come to a person");
        assert!(mail.raw.contains("using TLS"), "the clinic's relay took it in the clear");
        assert_eq!(Holder::new(&mail.link()).read().await, paper(), "{address}");
        assert_eq!(clinic.mails_to(address).len(), 1);
        assert_eq!(stands(&clinic, &report).await.1, Some("sent"));
    }
    assert!(postfix.log().contains("status=deferred"), "the second had to wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_report_of_a_mailbox_that_does_not_exist_ends_the_link_and_stands_in_staffs_lists() {
    let (clinic, postfix) = clinic(Tries::Once, Reports::Kept).await;
    let report = handed_over(&clinic, "perm-ana@example.test").await;
    let Report { text: dsn, ours } = postfix.reports(1).await.remove(0);
    assert!(dsn.starts_with("Return-Path: <>") && dsn.contains("Status: 5.1.1"), "it is no hard bounce");
    // Whoever reads the mailbox of reports could open the link until the report is heard.
    assert_eq!(stands(&clinic, &report).await, ("live", Some("sent"), "unknown".to_owned()));
    postfix.hand_over(&clinic, 1).await;

    assert_eq!(stands(&clinic, &report).await, ("review", Some("bounced"), "bounced".to_owned()));
    assert_eq!(Holder::new(&link_in(ours)).open().await.says(), "revoked");
    let brief = clinic.delivery_of(&report).await;
    let waiting = program::run(&clinic.config_path, &["deliveries", "list", "--state", "review", "--json"]);
    let waiting = waiting.json();
    let of = |all: &Value| all.as_array().unwrap().iter().find(|one| one["id"] == brief.id.as_str()).cloned();
    let note = of(&waiting).expect("staff see it")["note"].as_str().unwrap().to_owned();
    assert!(note.contains("the mailbox does not exist") && note.contains("5.1.1") && !note.contains('@'), "{note}");
    let bounced = program::run(&clinic.config_path, &["contacts", "list", "--state", "bounced", "--json"]);
    assert_eq!(bounced.json().as_array().unwrap().len(), 1, "{}", bounced.all());
    assert!(!bounced.all().contains('@'), "{}", bounced.all());
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_reports_of_a_full_mailbox_of_policy_and_of_giving_up_say_nothing_of_the_address() {
    let (clinic, postfix) = clinic(Tries::Once, Reports::Kept).await;
    let full = handed_over(&clinic, "full-ana@example.test").await;
    let policy = handed_over(&clinic, "data5-ana@example.test").await;
    let gave_up = handed_over(&clinic, "temp-ana@example.test").await;
    let reports = postfix.reports(3).await;
    postfix.hand_over(&clinic, 3).await;
    for (report, state, status) in
        [(&full, "recorded", "5.2.2"), (&policy, "review", "5.7.1"), (&gave_up, "review", "4.2.0")]
    {
        assert_eq!(stands(&clinic, report).await, (state, Some("bounced"), "unknown".to_owned()), "{status}");
        assert!(reports.iter().any(|one| one.text.contains(&format!("Status: {status}"))), "{status}");
    }
    let links: Vec<String> = reports.into_iter().map(|one| link_in(one.ours)).collect();
    for link in &links {
        assert!(["revoked", "superseded"].contains(&Holder::new(link).open().await.says().as_str()));
    }

    // The full mailbox, a day later and with another link; then a person looks.
    clinic.forward(Duration::from_hours(24));
    clinic.hear_and_settle().await;
    assert_eq!(stands(&clinic, &full).await.0, "live");
    let again = link_in(postfix.reports(1).await.remove(0).ours);
    assert!(!links.contains(&again), "a link that came back was sent again");
    postfix.hand_over(&clinic, 1).await;
    assert_eq!(stands(&clinic, &full).await, ("review", Some("bounced"), "unknown".to_owned()));
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_report_that_a_message_is_late_ends_nothing() {
    let (clinic, postfix) = clinic(Tries::ForAnHour, Reports::Kept).await;
    let report = handed_over(&clinic, "temp-ana@example.test").await;
    let dsn = postfix.reports(1).await.remove(0).text;
    assert!(dsn.contains("Action: delayed") && dsn.contains("Will-Retry-Until"));
    postfix.hand_over(&clinic, 1).await;
    assert_eq!(stands(&clinic, &report).await, ("live", Some("sent"), "unknown".to_owned()));
    let id = clinic.delivery_of(&report).await.id;
    let audit = serde_json::to_string(&clinic.show(&id).await.audit).unwrap();
    assert!(audit.contains("it is late, and still on its way"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_pipes_a_report_to_the_command_as_the_guide_has_it() {
    let (clinic, _postfix) = clinic(Tries::ForAnHour, Reports::Piped).await;
    let report = sent(&clinic, "perm-ana@example.test").await;
    wait::until_async("the report", async || (stands(&clinic, &report).await.0 == "review").then_some(())).await;
    assert_eq!(stands(&clinic, &report).await, ("review", Some("bounced"), "bounced".to_owned()));
}
