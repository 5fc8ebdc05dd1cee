//! The EHR's word: found however late it is told, and obeyed at once when it takes a report back.
//!
//! Event behaviours 3 and 4 are in `stories/versions.rs`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr_double::EhrDouble;
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf};

const PANEL: &str = "24323-8";
const ANA: &str = "ana@example.test";

/// The double commits late what the real EHR cannot: two minutes after the time that the resource carries.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_poll_alone_finds_every_report_also_one_committed_late() {
    let (double, mailbox) = (EhrDouble::start().await, Mailbox::start(Manner::Plain).await);
    let wishes = Wishes { ehr_base: Some(double.base_url.clone()), ..Wishes::default() };
    let clinic = Clinic::spawn_with(wishes, ehr::lease().await, mailbox).await;
    clinic.settle().await;
    let put = |number: i64, late_seconds: i64| {
        let email = format!("poll-{number}@example.test");
        double.put(&ehr::patient(&format!("p{number}"), "Garcia", "Ana", "1984-05-06", &email));
        let mut report = ehr::report(&format!("p{number}"), PANEL, &clinic::real_now(), &pdf::with_pages(&["5.4 %"]));
        report["id"] = json!(format!("r{number}"));
        double.put_late(&report, late_seconds);
        email
    };
    let mut emails = Vec::new();
    // Before each a search has passed the time that the late one carries.
    let started_at = clinic.now();
    let hear = async || {
        // Both clocks go on together.
        clinic.hear_and_settle().await;
        double.set_clock_off_seconds(i64::try_from(clinic.now().since(started_at).as_secs()).unwrap());
        clinic.forward(Duration::from_mins(1));
        clinic.settle().await;
    };
    for (number, late_seconds) in [(0, 0), (1, 120), (2, 0), (3, 120), (4, 119)] {
        hear().await;
        emails.push(put(number, late_seconds));
    }
    hear().await;
    hear().await;
    let arrived: Vec<usize> = emails.iter().map(|email| clinic.mails_to(email).len()).collect();
    assert_eq!(arrived, [1, 1, 1, 1, 1]);
    assert!(double.asked().iter().all(|asked| !asked.target.contains("Subscription")), "nobody was asked to push");
}

/// A clinic that sent one report, and what its hook tells.
struct Sent {
    clinic: Clinic,
    report: String,
    link: String,
}

impl Sent {
    async fn one() -> Self {
        let clinic = Clinic::spawn(Wishes::default()).await;
        clinic.settle().await;
        let (_, report) = clinic.report(ANA, PANEL, &paper("first")).await;
        clinic.hear_and_settle().await;
        let link = clinic.mailbox.wait_for(ANA, 1).await.link();
        assert_eq!(Holder::new(&link).claim_and_read().await.1, paper("first"));
        Self { clinic, report, link }
    }

    /// The hook, its intake and the reading; nothing else has its turn, and the clock stands still.
    async fn hook_and_read(&self, version: &str) {
        let body = json!({"resourceType": "DiagnosticReport", "id": self.report, "meta": {"versionId": version}});
        assert_eq!(self.clinic.hook(Method::POST, "", &body.to_string()).await, StatusCode::OK);
        while self.clinic.steps.intake.turn().await.unwrap() > 0 {}
        while self.clinic.steps.resolve.turn().await.unwrap() > 0 {}
    }

    async fn says(&self) -> String {
        Holder::new(&self.link).look().await.says()
    }

    async fn states(&self) -> Vec<&'static str> {
        self.clinic.deliveries_of(&self.report).await.into_iter().rev().map(|brief| brief.state).collect()
    }

    fn mails(&self) -> usize {
        self.clinic.mails_to(ANA).len()
    }

    /// Share and file are gone, and staff are told what to do.
    async fn assert_recalled_and_told(&self) {
        assert_eq!((self.says().await.as_str(), self.mails()), ("recalled", 1));
        assert!(self.clinic.show(&self.clinic.delivery_of(&self.report).await.id).await.shredded_at.is_some());
        self.clinic.settle().await;
        assert_eq!(self.clinic.blobs(), Vec::<String>::new(), "the sealed file outlived the recall");
        let told = self.clinic.delivery_of(&self.report).await;
        assert!(told.state == "recalled" && told.note.contains("tell the patient"), "{told:?}");
    }
}

fn paper(text: &str) -> Vec<u8> {
    pdf::with_pages(&[text])
}

/// What the second link replaces is refused before the new one is sealed or sent.
#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_corrected_report_refuses_the_old_link_at_once_and_sends_the_new_one_once() {
    let sent = Sent::one().await;
    let correct = |report: &mut Value| {
        report["status"] = json!("corrected");
        report["presentedForm"] =
            ehr::report("x", PANEL, "2026-01-01T00:00:00Z", &paper("corrected"))["presentedForm"].clone();
    };
    let version = sent.clinic.lab().change("DiagnosticReport", &sent.report, correct).await;
    for _ in 0..3 {
        sent.hook_and_read(&version).await;
        assert!(["superseded", "suspended"].contains(&sent.says().await.as_str()), "{}", sent.says().await);
        assert_eq!(Holder::new(&sent.link).open().await.status, StatusCode::CONFLICT);
        assert_eq!(sent.mails(), 1, "the new message left before the old link was refused");
    }
    sent.clinic.settle().await;
    sent.clinic.hear_and_settle().await;
    assert_eq!(sent.says().await, "superseded");
    assert_eq!((sent.states().await, sent.mails()), (vec!["superseded", "live"], 2));
    let new = sent.clinic.mailbox.wait_for(ANA, 2).await.link();
    assert_eq!(Holder::new(&new).read().await, paper("corrected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_report_entered_in_error_is_refused_at_once_shredded_and_told_to_staff() {
    let sent = Sent::one().await;
    let error = |report: &mut Value| report["status"] = json!("entered-in-error");
    let version = sent.clinic.lab().change("DiagnosticReport", &sent.report, error).await;
    sent.hook_and_read(&version).await;
    sent.assert_recalled_and_told().await;
}

/// A single 410 may be an EHR's mishap: it refuses the link at once, and a second one a minute later ends it.
#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_report_that_is_gone_is_refused_at_once_then_shredded_and_told_to_staff() {
    let sent = Sent::one().await;
    sent.clinic.lab().delete("DiagnosticReport", &sent.report).await;
    sent.hook_and_read("2").await;
    assert_eq!((sent.says().await.as_str(), sent.states().await), ("suspended", vec!["suspended"]));
    assert_eq!(Holder::new(&sent.link).open().await.status, StatusCode::CONFLICT);
    sent.clinic.forward(Duration::from_secs(61));
    sent.clinic.settle().await;
    sent.assert_recalled_and_told().await;
}
