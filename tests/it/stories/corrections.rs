//! What an EHR changes, withdraws, loses and finds again after a report was sent.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Wishes};
use crate::support::front::{Front, Reply};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf};

/// Three openings, so that a link can be tried and still stand.
const PANEL: &str = "24323-8";
const ANA: &str = "ana@example.test";
/// Like the first rules, but everything waits for three days.
const HELD: &str = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "held"
when = { code = "loinc|24323-8" }
then = { action = "send", expiry = "48h", hold = "72h", basis = "clinic_policy" }
"#;
const MINUTE: Duration = Duration::from_secs(61);

fn paper(text: &str) -> Vec<u8> {
    pdf::with_pages(&[text])
}

fn new_form(report: &mut Value, text: &str) {
    report["presentedForm"] = ehr::report("x", PANEL, "2026-01-01T00:00:00Z", &paper(text))["presentedForm"].clone();
}

/// A clinic that sent one report.
struct Sent {
    clinic: Clinic,
    patient: String,
    report: String,
    link: String,
}

impl Sent {
    async fn one() -> Self {
        Self::by(Clinic::spawn(Wishes::default()).await).await
    }

    async fn behind_a_double() -> (Self, Front) {
        let ehr = ehr::lease().await;
        let front = Front::start(ehr.base_url());
        let wishes = Wishes { ehr_base: Some(front.base_url.clone()), ..Wishes::default() };
        (Self::by(Clinic::spawn_with(wishes, ehr, Mailbox::start(Manner::Plain).await).await).await, front)
    }

    async fn by(clinic: Clinic) -> Self {
        let (patient, report) = clinic.report(ANA, PANEL, &paper("first")).await;
        clinic.hear_and_settle().await;
        let link = clinic.mailbox.wait_for(ANA, 1).await.link();
        assert_eq!(says(&link).await, "ready");
        Self { clinic, patient, report, link }
    }

    /// Changes the report in the EHR and lets the clinic hear of it.
    async fn change(&self, change: impl FnOnce(&mut Value)) -> String {
        let version = self.clinic.lab().change("DiagnosticReport", &self.report, change).await;
        self.clinic.hear_and_settle().await;
        version
    }

    /// Tells of a version by the hook, before any poll.
    async fn hook(&self, version: &str) {
        let body = json!({"resourceType": "DiagnosticReport", "id": self.report, "meta": {"versionId": version}});
        assert_eq!(self.clinic.hook(Method::POST, "", &body.to_string()).await, StatusCode::OK);
        self.clinic.settle().await;
    }

    async fn status(&self, status: &str) {
        self.change(|report| report["status"] = json!(status)).await;
    }

    fn mails(&self) -> usize {
        self.clinic.mails_to(ANA).len()
    }

    /// States of all deliveries, oldest first.
    async fn states(&self) -> Vec<&'static str> {
        self.clinic.deliveries_of(&self.report).await.into_iter().rev().map(|brief| brief.state).collect()
    }

    async fn is_shredded(&self) -> bool {
        let oldest = self.clinic.deliveries_of(&self.report).await.pop().unwrap();
        self.clinic.show(&oldest.id).await.shredded_at.is_some()
    }
}

/// What the page says to a new browser with this link.
async fn says(link: &str) -> String {
    Holder::new(link).look().await.says()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amended_or_corrected_report_takes_the_old_links_place() {
    let sent = Sent::one().await;
    let mut old = sent.link.clone();
    for (count, status) in [(2, "amended"), (3, "corrected")] {
        sent.change(|report| {
            report["status"] = json!(status);
            new_form(report, status);
        })
        .await;
        assert_eq!(says(&old).await, "superseded");
        let mail = sent.clinic.mailbox.wait_for(ANA, count).await;
        assert!(mail.text.contains("updated document"), "{}", mail.text);
        assert!(mail.text.contains("takes the place"), "{}", mail.text);
        assert_eq!(Holder::new(&mail.link()).read().await, paper(status));
        old = mail.link();
    }
    assert_eq!(sent.mails(), 3);
    assert_eq!(sent.states().await, ["superseded", "superseded", "live"]);
    assert!(sent.is_shredded().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amendment_that_nobody_can_read_changes_nothing() {
    let sent = Sent::one().await;
    sent.status("amended").await;
    assert_eq!((sent.mails(), sent.states().await), (1, vec!["live"]));
    assert_eq!(says(&sent.link).await, "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appended_report_gets_a_new_link_and_the_old_one_still_opens() {
    let sent = Sent::one().await;
    sent.change(|report| {
        report["status"] = json!("appended");
        new_form(report, "first and more");
    })
    .await;
    let new = sent.clinic.mailbox.wait_for(ANA, 2).await.link();
    assert_eq!(sent.states().await, ["live", "live"]);
    assert_eq!(Holder::new(&sent.link).read().await, paper("first"));
    assert_eq!(Holder::new(&new).read().await, paper("first and more"));
    // Both now stand for the same version of the report: that must not stop the reading of it.
    let version = sent.change(|report| report["effectiveDateTime"] = json!("2026-01-01")).await;
    let versions: Vec<_> = sent.clinic.deliveries().await.into_iter().map(|brief| brief.version).collect();
    assert_eq!(versions, [version.clone(), version]);
    assert_eq!(sent.mails(), 2);
    sent.status("entered-in-error").await;
    assert_eq!(sent.states().await, ["recalled", "recalled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_report_has_moved_on_goes_to_review_and_not_round_in_circles() {
    let sent = Sent::one().await;
    let first = sent.clinic.only_delivery().await.id;
    sent.clinic.desk().revoke(&first, None).await.unwrap();
    sent.change(|report| {
        report["status"] = json!("amended");
        new_form(report, "second");
    })
    .await;
    assert_eq!(sent.states().await, ["revoked", "review"]);
    // Of the first version, which nobody can read in the EHR any more.
    let again = sent.clinic.desk().resend(&first, None).await.unwrap();
    sent.clinic.hear_and_settle().await;
    sent.clinic.hear_and_settle().await;
    let shown = sent.clinic.show(again.as_str()).await.brief;
    assert_eq!(shown.state, "review", "{}", shown.note);
    assert!(shown.note.contains("has changed since"), "{}", shown.note);
    assert_eq!(sent.mails(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_entered_in_error_is_refused_at_once_and_shredded() {
    let sent = Sent::one().await;
    sent.status("entered-in-error").await;
    assert_eq!(sent.states().await, ["recalled"]);
    assert_eq!(says(&sent.link).await, "recalled");
    assert!(sent.is_shredded().await);
    assert_eq!(sent.mails(), 1);
    // Back again: a person decides.
    sent.status("final").await;
    assert_eq!(sent.states().await, ["recalled", "review"]);
    assert_eq!((says(&sent.link).await.as_str(), sent.mails()), ("recalled", 1));
}

/// The report as the EHR has it, but broken, in this status and version.
async fn broken(sent: &Sent, status: &str, version: &str) -> Reply {
    let mut report = sent.clinic.lab().read("DiagnosticReport", &sent.report).await;
    report["status"] = json!(status);
    report["meta"]["versionId"] = json!(version);
    report["presentedForm"][0]["data"] = json!("not base64!");
    Reply::Whole { status: 200, kind: "application/fhir+json", body: report.to_string().into_bytes() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_entered_in_error_that_breaks_the_standard_is_recalled_all_the_same() {
    let (sent, front) = Sent::behind_a_double().await;
    front.script(&format!("DiagnosticReport/{}", sent.report), [broken(&sent, "entered-in-error", "2").await]);
    sent.hook("2").await;
    assert_eq!(sent.states().await[0], "recalled");
    assert_eq!(says(&sent.link).await, "recalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_becomes_unreadable_is_suspended_and_comes_back_when_mended() {
    let (sent, front) = Sent::behind_a_double().await;
    let path = format!("DiagnosticReport/{}", sent.report);
    front.script(&path, [broken(&sent, "final", "2").await]);
    sent.hook("2").await;
    assert_eq!(sent.states().await, ["suspended", "review"]);
    assert_eq!(says(&sent.link).await, "suspended");
    front.script(&path, [Reply::PassedOn]);
    for title in ["broken", "mended"] {
        sent.change(|report| report["presentedForm"][0]["title"] = json!(title)).await;
    }
    assert_eq!(sent.states().await, ["live", "superseded"], "nobody need look at what is mended");
    assert_eq!((says(&sent.link).await.as_str(), sent.mails()), ("ready", 1));
    // It can break again, and again a person is told.
    front.script(&path, [broken(&sent, "final", "9").await]);
    sent.hook("9").await;
    assert_eq!(sent.states().await, ["suspended", "superseded", "review"]);
    front.script(&path, [broken(&sent, "final", "10").await]);
    sent.hook("10").await;
    assert_eq!(sent.states().await, ["suspended", "superseded", "superseded", "review"], "one entry is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_taken_back_is_not_forgotten_because_a_version_was_unreadable() {
    let (sent, front) = Sent::behind_a_double().await;
    let path = format!("DiagnosticReport/{}", sent.report);
    sent.status("entered-in-error").await;
    front.script(&path, [broken(&sent, "final", "3").await]);
    sent.hook("3").await;
    assert_eq!(sent.states().await, ["recalled", "review"]);
    front.script(&path, [Reply::PassedOn]);
    for status in ["entered-in-error", "final"] {
        sent.change(|report| {
            report["status"] = json!(status);
            new_form(report, "other numbers");
        })
        .await;
    }
    let back = sent.clinic.delivery_of(&sent.report).await;
    assert_eq!((back.state, sent.mails()), ("review", 1));
    assert!(back.note.contains("taken the report back"), "{}", back.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_report_is_revoked() {
    let sent = Sent::one().await;
    sent.status("cancelled").await;
    assert_eq!(sent.states().await, ["revoked"]);
    assert_eq!(says(&sent.link).await, "recalled");
    assert!(sent.is_shredded().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_reports_send_nothing_until_they_are_final() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let patient = ehr::patient("unfinished", "Garcia", "Ana", "1984-05-06", ANA);
    clinic.lab().update(&patient).await;
    let mut report = ehr::report("unfinished", PANEL, &crate::support::clinic::real_now(), &paper("first"));
    report["status"] = json!("registered");
    let id = clinic.lab().post(&report).await;
    for status in ["registered", "partial", "preliminary"] {
        clinic.lab().change("DiagnosticReport", &id, |report| report["status"] = json!(status)).await;
        clinic.hear_and_settle().await;
        assert!(clinic.deliveries().await.is_empty(), "{status}");
    }
    clinic.lab().change("DiagnosticReport", &id, |report| report["status"] = json!("final")).await;
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for(ANA, 1).await;
    assert!(mail.text.contains("new document") && !mail.text.contains("updated"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_goes_back_to_preliminary_is_suspended_and_returns_with_the_same_content() {
    let sent = Sent::one().await;
    sent.status("preliminary").await;
    assert_eq!((sent.states().await, says(&sent.link).await.as_str()), (vec!["suspended"], "suspended"));
    sent.status("final").await;
    assert_eq!((sent.states().await, says(&sent.link).await.as_str()), (vec!["live"], "ready"));
    assert_eq!(sent.mails(), 1);
    sent.status("preliminary").await;
    sent.change(|report| {
        report["status"] = json!("final");
        new_form(report, "other numbers");
    })
    .await;
    assert_eq!((sent.states().await, says(&sent.link).await.as_str()), (vec!["superseded", "live"], "superseded"));
    assert_eq!(sent.mails(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_nobody_knows_suspends_what_is_out_and_goes_to_review() {
    for status in ["unknown", "bogus"] {
        let sent = Sent::one().await;
        sent.status(status).await;
        assert_eq!(sent.states().await, ["suspended", "review"], "{status}");
        assert_eq!((says(&sent.link).await.as_str(), sent.mails()), ("suspended", 1), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_unknown_status_that_is_final_again_returns_by_its_old_link_unless_it_reads_otherwise() {
    let sent = Sent::one().await;
    for times in 1..=2 {
        sent.status("unknown").await;
        sent.clinic.hear_and_settle().await;
        assert_eq!(says(&sent.link).await, "suspended", "a later reading of the same doubt let it in again");
        sent.status("final").await;
        let states = [vec!["live"], vec!["superseded"; times]].concat();
        assert_eq!((sent.states().await, says(&sent.link).await.as_str()), (states, "ready"));
    }
    assert_eq!(sent.mails(), 1);
    sent.status("unknown").await;
    sent.change(|report| {
        report["status"] = json!("final");
        new_form(report, "other numbers");
    })
    .await;
    assert_eq!(says(&sent.link).await, "superseded");
    assert_eq!(sent.clinic.mailbox.wait_for(ANA, 2).await.text.matches("takes the place").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_is_sent_once_the_report_is_final_again() {
    for between in ["unknown", "preliminary"] {
        let clinic = Clinic::spawn(Wishes { rules: HELD.to_owned(), ..Wishes::default() }).await;
        let (_, report) = clinic.report(ANA, PANEL, &paper("first")).await;
        for (status, state) in [("final", "held"), (between, "review"), ("final", "held")] {
            clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!(status)).await;
            clinic.hear_and_settle().await;
            assert_eq!(clinic.delivery_of(&report).await.state, state, "{between}, {status}");
        }
        clinic.forward(Duration::from_hours(72));
        clinic.hear_and_settle().await;
        assert_eq!(clinic.mails_to(ANA).len(), 1, "{between}");
        assert!(clinic.mailbox.mails()[0].text.contains("new document"));
        let open = ["recorded", "held", "review"];
        assert!(clinic.deliveries().await.iter().all(|brief| !open.contains(&brief.state)), "{between}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_status_was_unknown_at_first_is_sent_when_it_is_final() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.lab().update(&ehr::patient("unknown-ana", "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut report = ehr::report("unknown-ana", PANEL, &crate::support::clinic::real_now(), &paper("first"));
    report["status"] = json!("unknown");
    let id = clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.state, "review");
    clinic.lab().change("DiagnosticReport", &id, |report| report["status"] = json!("final")).await;
    clinic.hear_and_settle().await;
    assert!(clinic.mailbox.wait_for(ANA, 1).await.text.contains("new document"));
    assert!(clinic.deliveries().await.iter().all(|brief| brief.state != "review"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appended_report_takes_the_place_of_one_that_is_still_held() {
    let clinic = Clinic::spawn(Wishes { rules: HELD.to_owned(), ..Wishes::default() }).await;
    let (_, report) = clinic.report(ANA, PANEL, &paper("first")).await;
    clinic.hear_and_settle().await;
    clinic
        .lab()
        .change("DiagnosticReport", &report, |report| {
            report["status"] = json!("appended");
            new_form(report, "first and more");
        })
        .await;
    clinic.hear_and_settle().await;
    let states: Vec<_> = clinic.deliveries().await.iter().map(|brief| brief.state).collect();
    assert_eq!(states, ["held", "superseded"], "what is held can no longer be read from the EHR");
    clinic.forward(Duration::from_hours(72));
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for(ANA, 1).await;
    assert_eq!(Holder::new(&mail.link()).read().await, paper("first and more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_report_is_suspended_at_once_and_recalled_a_minute_later() {
    let sent = Sent::one().await;
    sent.clinic.lab().delete("DiagnosticReport", &sent.report).await;
    sent.clinic.hear_and_settle().await;
    assert_eq!((sent.states().await, says(&sent.link).await.as_str()), (vec!["suspended"], "suspended"));
    assert!(!sent.is_shredded().await);
    sent.clinic.forward(MINUTE);
    sent.clinic.settle().await;
    assert_eq!((sent.states().await, says(&sent.link).await.as_str()), (vec!["recalled"], "recalled"));
    assert!(sent.is_shredded().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_report_that_is_back_in_time_lives_on() {
    let sent = Sent::one().await;
    let kept = sent.clinic.lab().read("DiagnosticReport", &sent.report).await;
    sent.clinic.lab().delete("DiagnosticReport", &sent.report).await;
    sent.clinic.hear_and_settle().await;
    assert_eq!(sent.states().await, ["suspended"]);
    sent.clinic.lab().update(&kept).await;
    sent.clinic.forward(MINUTE);
    sent.clinic.settle().await;
    assert_eq!((sent.states().await, says(&sent.link).await.as_str()), (vec!["live"], "ready"));
    assert_eq!(sent.mails(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reports_gone_at_once_are_suspended_and_stay_so_however_long_it_lasts() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let mut reports = Vec::new();
    for number in 0..8 {
        reports.push(clinic.report(&format!("many-{number}@example.test"), PANEL, &paper("first")).await.1);
    }
    clinic.hear_and_settle().await;
    let kept = clinic.lab().read("DiagnosticReport", &reports[0]).await;
    for report in &reports {
        clinic.lab().delete("DiagnosticReport", report).await;
    }
    let all = async |state: &str| clinic.deliveries().await.iter().all(|brief| brief.state == state);
    clinic.hear_and_settle().await;
    assert!(all("suspended").await);
    clinic.forward(MINUTE);
    clinic.settle().await;
    assert!(all("suspended").await);
    for _ in 0..4 {
        clinic.hear_and_settle().await;
        assert!(all("suspended").await, "an outage became a recall by lasting");
    }
    clinic.lab().update(&kept).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&reports[0]).await.state, "live");
    assert_eq!(clinic.delivery_of(&reports[1]).await.state, "suspended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_becomes_another_patients_is_revoked_and_the_new_one_waits_for_a_person() {
    let sent = Sent::one().await;
    let ben = ehr::patient("ben-by-mistake", "Miller", "Ben", "1970-01-02", "ben@example.test");
    sent.clinic.lab().update(&ben).await;
    sent.change(|report| report["subject"] = json!({"reference": "Patient/ben-by-mistake"})).await;
    assert_eq!(sent.states().await, ["revoked", "review"]);
    assert_eq!(says(&sent.link).await, "recalled");
    assert!(sent.clinic.delivery_of(&sent.report).await.note.contains("another patient"));
    assert!(sent.clinic.mails_to("ben@example.test").is_empty());
    // A newer version of it decides nothing about the patient.
    sent.change(|report| new_form(report, "other numbers")).await;
    assert!(sent.clinic.mails_to("ben@example.test").is_empty(), "it left without a person's word");
    assert!(sent.clinic.delivery_of(&sent.report).await.note.contains("another patient"));
    sent.change(|report| report["subject"] = json!({"reference": format!("Patient/{}", sent.patient)})).await;
    assert_eq!(sent.mails(), 1, "back again is again a change of patient");
    assert_eq!(sent.states().await.last(), Some(&"review"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_patient_is_what_staff_are_told_first() {
    let sent = Sent::one().await;
    let mut ben = ehr::patient("ben-unwritten", "Miller", "Ben", "1970-01-02", "ben@example.test");
    ben.as_object_mut().unwrap().remove("telecom");
    sent.clinic.lab().update(&ben).await;
    sent.change(|report| report["subject"] = json!({"reference": "Patient/ben-unwritten"})).await;
    let brief = sent.clinic.delivery_of(&sent.report).await;
    assert!(brief.note.contains("another patient"), "{}", brief.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_report_no_longer_says_is_not_sent_again() {
    let sent = Sent::one().await;
    for _ in 0..3 {
        Holder::new(&sent.link).read().await;
    }
    let old = sent.clinic.delivery_of(&sent.report).await;
    sent.change(|report| new_form(report, "other numbers")).await;
    assert_eq!(sent.states().await, ["spent", "live"]);
    let refused = sent.clinic.desk().resend(&old.id, None).await.expect_err("it can no longer be read from the EHR");
    assert!(refused.to_string().contains("newer delivery"), "{refused}");
    sent.clinic.desk().resend(&sent.clinic.delivery_of(&sent.report).await.id, None).await.unwrap();
    sent.clinic.settle().await;
    assert_eq!((sent.states().await, sent.mails()), (vec!["spent", "superseded", "live"], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_taken_back_between_release_and_sending_sends_no_mail() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("just before hand-over").await.unwrap();
    let (_, report) = clinic.report(ANA, PANEL, &paper("first")).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    clinic.lab().delete("DiagnosticReport", &report).await;
    clinic.desk().resume().await.unwrap();
    // Nothing tells of the deletion: the reading before hand-over finds it.
    clinic.forward(Duration::from_mins(16));
    clinic.settle().await;
    clinic.forward(MINUTE);
    clinic.settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice), ("recalled", Some("dead")));
    assert!(clinic.mailbox.mails().is_empty());
}
