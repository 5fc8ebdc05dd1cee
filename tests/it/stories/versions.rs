//! Versions are heard in any order, many times, from everywhere; the newest counts, once.

use std::time::Duration;

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Database, Started, Wishes};
use crate::support::front::{Front, Reply};
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf, web_client};

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// A resource as a hook carries it: enough to be named.
fn named(report: &str, version: &str) -> String {
    json!({"resourceType": "DiagnosticReport", "id": report, "meta": {"versionId": version}}).to_string()
}

/// A clinic that has polled once and polls no more until the clock moves.
async fn quiet_clinic() -> Clinic {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.settle().await;
    clinic
}

async fn conclude(clinic: &Clinic, report: &str, text: &str) -> String {
    clinic.lab().change("DiagnosticReport", report, |report| report["conclusion"] = json!(text)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn event_04_versions_heard_in_any_order_end_in_the_third() {
    let clinic = quiet_clinic().await;
    for order in [[3, 1, 2], [3, 2, 1], [1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1]] {
        let address = format!("ana-{}-{}-{}@example.test", order[0], order[1], order[2]);
        let (_, report) = clinic.report(&address, HBA1C, &paper()).await;
        let second = conclude(&clinic, &report, "second").await;
        let third = conclude(&clinic, &report, "third").await;
        let versions = ["1", &second, &third];
        for heard in order {
            assert_eq!(clinic.hook(Method::POST, "", &named(&report, versions[heard - 1])).await, StatusCode::OK);
            clinic.settle().await;
            assert_eq!(clinic.delivery_of(&report).await.version, third, "{order:?}");
        }
        assert_eq!(clinic.deliveries_of(&report).await.len(), 1, "{order:?}");
        assert_eq!(clinic.mails_to(&address).len(), 1, "{order:?}");
    }
    clinic.hear_and_settle().await;
    assert_eq!((clinic.deliveries().await.len(), clinic.mailbox.mails().len()), (6, 6), "the poll made more of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_and_a_poll_for_one_version_make_one_delivery_and_one_mail() {
    let clinic = quiet_clinic().await;
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    let path = format!("/DiagnosticReport/{report}");
    for (method, path, body) in [
        (Method::POST, "", named(&report, "1")),
        (Method::PUT, path.as_str(), named(&report, "1")),
        (Method::POST, "", String::new()),
        (Method::PUT, path.as_str(), String::new()),
    ] {
        assert_eq!(clinic.hook(method, path, &body).await, StatusCode::OK);
    }
    clinic.hear_and_settle().await;
    assert_eq!(clinic.hook(Method::POST, "", &named(&report, "1")).await, StatusCode::OK);
    clinic.settle().await;
    clinic.only_delivery().await;
    assert_eq!(clinic.mails_to(ANA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_03_one_event_a_hundred_times_at_three_replicas_makes_one_link_and_one_message() {
    let clinic = Clinic::spawn(Wishes { database: Database::Postgres, ..Wishes::default() }).await;
    clinic.settle().await;
    let (second, third) = tokio::join!(replica(&clinic, "second"), replica(&clinic, "third"));
    let urls = [clinic.url.clone(), format!("http://{}", second.addr), format!("http://{}", third.addr)];
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;

    let body = named(&report, "1");
    let answers =
        join_all((0..100).map(|number| clinic.hook_at(&urls[number % urls.len()], Method::POST, "", &body))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    for _ in 0..3 {
        let all = [&clinic.steps, &second.steps, &third.steps];
        for turned in join_all(all.map(|steps| steps.run_until_idle())).await {
            turned.unwrap();
        }
        clinic.forward(Duration::from_mins(3));
        for other in [&second, &third] {
            other.ground.clock.forward(Duration::from_mins(3));
        }
    }
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "live");
    assert_eq!(clinic.mails_to(ANA).len(), 1);
    for other in [second, third] {
        other.stop.send(()).unwrap();
        other.served.await.unwrap().unwrap();
    }
}

/// One more process on the clinic's database, its clock with the clinic's.
async fn replica(clinic: &Clinic, name: &str) -> Started {
    let address = || format!("127.0.0.1:{}", clinic.folder.port());
    let variables =
        [("LISTEN", address()), ("ADMIN_LISTEN", address())].map(|(key, v)| (format!("CHARTSEAL__SERVER__{key}"), v));
    let time = TimeFrom::Steps(clinic.now());
    let started =
        clinic::start_replica(&clinic.config_path, name, variables, time, Restore::NotSaid, Workers::ByHand).await;
    started.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_that_says_the_same_sends_nothing_and_is_noted() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let before = clinic.only_delivery().await;
    let version = clinic
        .lab()
        .change("DiagnosticReport", &report, |report| {
            report["effectiveDateTime"] = json!("2026-01-01");
            report["presentedForm"][0]["title"] = json!("Report, indexed again");
        })
        .await;
    assert_ne!(version, before.version);
    clinic.hear_and_settle().await;
    let after = clinic.only_delivery().await;
    assert_eq!((after.id, after.state, after.version), (before.id, "live", version));
    assert_eq!(clinic.mails_to(ANA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_hook_with_a_whole_fake_report_causes_a_reading_and_nothing_else() {
    let clinic = quiet_clinic().await;
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let before = clinic.only_delivery().await;
    clinic.lab().update(&ehr::patient("eve", "Evil", "Eve", "1990-01-01", "eve@example.test")).await;
    let mut fake = ehr::report("eve", HBA1C, &clinic::real_now(), b"not the report");
    fake["id"] = json!(report);
    fake["status"] = json!("amended");
    let unknown = json!({"resourceType": "DiagnosticReport", "id": "never-was", "status": "final",
        "subject": {"reference": "Patient/eve"}, "meta": {"versionId": "1"}});
    for fake in [&fake, &unknown] {
        assert_eq!(clinic.hook(Method::POST, "", &fake.to_string()).await, StatusCode::OK);
        clinic.settle().await;
        clinic.forward(Duration::from_secs(61));
        clinic.settle().await;
    }
    let after = clinic.only_delivery().await;
    assert_eq!((after.id, after.version, after.state), (before.id, before.version, "live"));
    assert_eq!(clinic.mailbox.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_without_the_secret_is_refused_and_changes_nothing() {
    let clinic = quiet_clinic().await;
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    for secret in [None, Some("guessed")] {
        let request = web_client::new().post(format!("{}/fhir/hook/lab", clinic.url)).body(named(&report, "1"));
        let request = match secret {
            Some(secret) => request.header(chartseal::intake::HOOK_HEADER, secret),
            None => request,
        };
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    clinic.settle().await;
    assert!(clinic.deliveries().await.is_empty());
}

/// A clinic behind a double, and a report whose first version the double can go on showing.
async fn behind_a_stale_ehr() -> (Clinic, Front, String, Value) {
    let ehr = ehr::lease().await;
    let front = Front::start(ehr.base_url());
    let wishes = Wishes { ehr_base: Some(front.base_url.clone()), ..Wishes::default() };
    let clinic = Clinic::spawn_with(wishes, ehr, Mailbox::start(Manner::Plain).await).await;
    clinic.settle().await;
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    let first = clinic.lab().read("DiagnosticReport", &report).await;
    (clinic, front, report, first)
}

fn shown(resource: &Value) -> Reply {
    Reply::Whole { status: 200, kind: "application/fhir+json", body: resource.to_string().into_bytes() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_still_shows_an_older_version_than_it_announced_is_read_again() {
    let (clinic, front, report, first) = behind_a_stale_ehr().await;
    let second = conclude(&clinic, &report, "corrected by hand").await;
    front.script(&format!("DiagnosticReport/{report}"), [shown(&first), shown(&first), Reply::PassedOn]);
    clinic.hook(Method::POST, "", &named(&report, &second)).await;
    clinic.settle().await;
    assert!(clinic.deliveries().await.is_empty(), "the old version was taken for the announced one");
    for wait in [2, 10] {
        clinic.forward(Duration::from_secs(wait));
        clinic.settle().await;
    }
    assert_eq!(clinic.only_delivery().await.version, second);
    assert_eq!(clinic.mails_to(ANA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_version_that_never_came_does_not_delay_a_later_recall() {
    let clinic = quiet_clinic().await;
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    clinic.hook(Method::POST, "", &named(&report, "900")).await;
    for _ in 0..8 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(clinic.only_delivery().await.state, "live");
    let error = |report: &mut Value| report["status"] = json!("entered-in-error");
    let version = clinic.lab().change("DiagnosticReport", &report, error).await;
    clinic.hook(Method::POST, "", &named(&report, &version)).await;
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "recalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_while_a_change_was_heard_of_and_not_yet_read() {
    let clinic = quiet_clinic().await;
    clinic.desk().pause("until the hook is there").await.unwrap();
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    let error = |report: &mut Value| report["status"] = json!("entered-in-error");
    let version = clinic.lab().change("DiagnosticReport", &report, error).await;
    clinic.forward(Duration::from_secs(1));
    clinic.hook(Method::POST, "", &named(&report, &version)).await;
    clinic.desk().resume().await.unwrap();
    // The hook is understood, and before the report is read again the outbox has its turn.
    clinic.steps.intake.turn().await.unwrap();
    clinic.steps.outbox.turn().await.unwrap();
    assert!(clinic.mailbox.mails().is_empty(), "the message left though a change was known");
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "recalled");
    assert!(clinic.mailbox.mails().is_empty());
}
