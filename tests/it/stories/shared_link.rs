//! Several reports of one order in one link.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Database, Wishes, real_now};
use crate::support::holder::Holder;
use crate::support::{ehr, pdf};

pub(super) const PANEL: &str = "24323-8";
pub(super) const GLUCOSE: &str = "2345-7";
const HIV: &str = "75622-1";
pub(super) const ANA: &str = "ana@example.test";

pub(super) const RULES: &str = r#"
[policy]
id = "test"
version = "1"

[[classify]]
tag = "hiv"
when = { code = "loinc|75622-1" }

[[profile]]
id = "of-one-draw"
when = { code = ["loinc|24323-8", "loinc|75622-1"] }
then = { action = "send", expiry = "72h", opens = 3, wording = "generic", group_by = "order", wait = "12h" }

[[profile]]
id = "of-one-draw-and-strict"
when = { code = "loinc|2345-7" }
then = { action = "send", expiry = "48h", opens = 2, wording = "bare", group_by = "order", wait = "12h" }
"#;

/// Reports of one patient.
pub(super) struct Draw {
    pub(super) clinic: Clinic,
    pub(super) patient: String,
}

impl Draw {
    pub(super) async fn at(database: Database) -> Self {
        Self::under(database, RULES).await
    }

    pub(super) async fn under(database: Database, rules: &str) -> Self {
        let clinic = Clinic::spawn(Wishes { database, rules: rules.to_owned(), ..Wishes::default() }).await;
        let patient = ehr::new_patient_id();
        clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
        Self { clinic, patient }
    }

    /// A final report of an order; its id. The file says `text`.
    pub(super) async fn report(&self, loinc: &str, order: &str, text: &str) -> String {
        let mut report = ehr::report(&self.patient, loinc, &real_now(), &paper(text));
        report["basedOn"] = json!([{"reference": format!("ServiceRequest/{order}")}]);
        let id = self.clinic.lab().post(&report).await;
        self.clinic.hear_and_settle().await;
        id
    }

    pub(super) async fn state_of(&self, report: &str) -> &'static str {
        self.clinic.delivery_of(report).await.state
    }

    pub(super) async fn after(&self, minutes: u64) {
        self.clinic.forward(Duration::from_secs(minutes * 60));
        self.clinic.hear_and_settle().await;
    }

    pub(super) fn mails(&self) -> usize {
        self.clinic.mails_to(ANA).len()
    }

    pub(super) async fn link(&self, count: usize) -> String {
        self.clinic.mailbox.wait_for(ANA, count).await.link()
    }

    pub(super) async fn change(&self, report: &str, change: impl FnOnce(&mut Value)) {
        let version = self.clinic.lab().change("DiagnosticReport", report, change).await;
        let body = json!({"resourceType": "DiagnosticReport", "id": report, "meta": {"versionId": version}});
        self.clinic.hook(Method::POST, "", &body.to_string()).await;
        self.clinic.settle().await;
    }

    /// A panel and a glucose of one order in one link that was sent.
    pub(super) async fn two_in_one(&self) -> (String, String, String) {
        let panel = self.report(PANEL, "draw-1", "panel").await;
        self.after(30).await;
        let glucose = self.report(GLUCOSE, "draw-1", "glucose").await;
        assert_eq!(
            (self.state_of(&panel).await, self.state_of(&glucose).await, self.mails()),
            ("recorded", "recorded", 0)
        );
        self.after(600).await;
        assert_eq!((self.state_of(&panel).await, self.state_of(&glucose).await, self.mails()), ("live", "live", 1));
        (panel, glucose, self.link(1).await)
    }
}

pub(super) fn paper(text: &str) -> Vec<u8> {
    pdf::with_pages(&[text])
}

pub(super) async fn says(link: &str) -> String {
    Holder::new(link).look().await.says()
}

async fn of_one_order_leave_in_one_link_under_the_strictest(database: Database) {
    let draw = Draw::at(database).await;
    let (panel, glucose, link) = draw.two_in_one().await;
    let looked = Holder::new(&link).look().await;
    assert_eq!((&looked.body["files"], &looked.body["opens_max"]), (&2.into(), &2.into()));
    assert_eq!(Holder::new(&link).read_all().await, [paper("panel"), paper("glucose")]);
    let mail = draw.clinic.mailbox.wait_for(ANA, 1).await;
    assert!(!mail.text.contains('2') || !mail.text.contains("documents"), "the message tells how many: {}", mail.text);
    let (one, other) = (draw.clinic.delivery_of(&panel).await.id, draw.clinic.delivery_of(&glucose).await.id);
    let shown = draw.clinic.show(&one).await;
    assert_eq!(shown.shares_link_with, std::slice::from_ref(&other));
    assert_eq!(draw.clinic.show(&other).await.notices.len(), 1, "staff see the message at either");
    assert_eq!(draw.clinic.show(&other).await.opened, Some(1));
    Holder::new(&link).read_all().await;
    assert_eq!((draw.state_of(&panel).await, draw.state_of(&glucose).await), ("spent", "spent"));
    assert_eq!(draw.clinic.blobs().len(), 2);
    draw.after(1).await;
    assert!(draw.clinic.blobs().is_empty(), "files of a spent link are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_one_order_leave_in_one_link_under_the_strictest_on_sqlite() {
    Box::pin(of_one_order_leave_in_one_link_under_the_strictest(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_one_order_leave_in_one_link_under_the_strictest_on_postgresql() {
    Box::pin(of_one_order_leave_in_one_link_under_the_strictest(Database::Postgres)).await;
}

async fn of_a_recalled_one(database: Database) {
    let draw = Draw::at(database).await;
    let (panel, glucose, link) = draw.two_in_one().await;
    draw.change(&glucose, |report| report["status"] = json!("entered-in-error")).await;
    assert_eq!(draw.state_of(&glucose).await, "recalled");
    assert_ne!(says(&link).await, "ready", "the link still holds the recalled report");
    assert_eq!(draw.state_of(&panel).await, "live", "the other report was lost");
    let mail = draw.clinic.mailbox.wait_for(ANA, 2).await;
    assert!(mail.text.contains("takes the place"), "{}", mail.text);
    assert_eq!(Holder::new(&mail.link()).read_all().await, [paper("panel")]);
    assert_eq!(says(&link).await, "superseded");
    assert_eq!(draw.mails(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_of_one_report_ends_the_link_and_the_other_leaves_again_on_sqlite() {
    of_a_recalled_one(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_of_one_report_ends_the_link_and_the_other_leaves_again_on_postgresql() {
    of_a_recalled_one(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_report_and_the_others_of_its_link_leave_together_again_at_once() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, _, old) = draw.two_in_one().await;
    draw.change(&panel, |report| {
        report["status"] = json!("corrected");
        report["presentedForm"] =
            ehr::report("x", PANEL, "2026-01-01T00:00:00Z", &paper("corrected"))["presentedForm"].clone();
    })
    .await;
    let mail = draw.clinic.mailbox.wait_for(ANA, 2).await;
    assert!(mail.text.contains("updated document"), "{}", mail.text);
    let mut files = Holder::new(&mail.link()).read_all().await;
    files.sort();
    let mut wanted = vec![paper("glucose"), paper("corrected")];
    wanted.sort();
    assert!(files == wanted, "both are in the new link");
    assert_eq!((says(&old).await.as_str(), draw.mails()), ("superseded", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensitive_report_never_joins_others() {
    let draw = Draw::at(Database::Sqlite).await;
    draw.report(PANEL, "draw-1", "panel").await;
    let sensitive = draw.report(HIV, "draw-1", "sensitive").await;
    assert_eq!((draw.state_of(&sensitive).await, draw.mails()), ("live", 1), "it waited for others");
    assert_eq!(Holder::new(&draw.link(1).await).read_all().await, [paper("sensitive")]);
    draw.after(721).await;
    assert_eq!(Holder::new(&draw.link(2).await).read_all().await, [paper("panel")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_other_orders_and_of_no_order_leave_alone() {
    let draw = Draw::at(Database::Sqlite).await;
    draw.report(PANEL, "draw-1", "first").await;
    draw.report(PANEL, "draw-2", "second").await;
    let mut without = ehr::report(&draw.patient, PANEL, &real_now(), &paper("without"));
    without["basedOn"] = json!([{"reference": "#inside"}]);
    without["contained"] = json!([{"resourceType": "ServiceRequest", "id": "inside", "status": "active",
        "intent": "order", "subject": {"reference": format!("Patient/{}", draw.patient)}}]);
    let without = draw.clinic.lab().post(&without).await;
    draw.clinic.hear_and_settle().await;
    assert_eq!((draw.state_of(&without).await, draw.mails()), ("live", 1), "what belongs with none waits for none");
    draw.after(721).await;
    assert_eq!(draw.mails(), 3);
    for mail in draw.clinic.mails_to(ANA) {
        assert_eq!(Holder::new(&mail.link()).look().await.body["files"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_patients_never_share_a_link() {
    let draw = Draw::at(Database::Sqlite).await;
    draw.report(PANEL, "draw-1", "ana").await;
    let other = ehr::new_patient_id();
    draw.clinic.lab().update(&ehr::patient(&other, "Garcia", "Eva", "1984-05-06", ANA)).await;
    let mut report = ehr::report(&other, PANEL, &real_now(), &paper("eva"));
    report["basedOn"] = json!([{"reference": "ServiceRequest/draw-1"}]);
    draw.clinic.lab().post(&report).await;
    draw.clinic.hear_and_settle().await;
    draw.after(721).await;
    assert_eq!(draw.mails(), 2, "two patients at one address are two messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_who_do_not_want_to_wait_release_what_gathers() {
    let draw = Draw::at(Database::Sqlite).await;
    let panel = draw.report(PANEL, "draw-1", "panel").await;
    let brief = draw.clinic.delivery_of(&panel).await;
    assert!(brief.note.contains("others of the same order"), "{}", brief.note);
    draw.clinic.desk().release(&brief.id, None).await.unwrap();
    draw.clinic.settle().await;
    assert_eq!((draw.state_of(&panel).await, draw.mails()), ("live", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_staff_revoke_in_a_shared_link_waits_for_them_in_the_other_report() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose, link) = draw.two_in_one().await;
    let id = draw.clinic.delivery_of(&glucose).await.id;
    draw.clinic.desk().revoke(&id, Some("wrong address".to_owned())).await.unwrap();
    draw.clinic.settle().await;
    assert_eq!(says(&link).await, "revoked");
    let left = draw.clinic.delivery_of(&panel).await;
    assert_eq!((left.state, draw.mails()), ("review", 1), "{}", left.note);
    assert!(left.note.contains("shared with another report"), "{}", left.note);
    draw.clinic.desk().release(&left.id, None).await.unwrap();
    draw.clinic.settle().await;
    assert_eq!(Holder::new(&draw.link(2).await).read_all().await, [paper("panel")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_refused_while_one_of_its_reports_is_suspended_and_comes_back_with_it() {
    let draw = Draw::at(Database::Sqlite).await;
    let (_, glucose, link) = draw.two_in_one().await;
    let mut reader = Holder::new(&link);
    let granted = reader.look().await.says() == "ready" && reader.open().await.says() == "200 OK";
    assert!(granted, "nobody could open it");
    draw.change(&glucose, |report| report["status"] = json!("preliminary")).await;
    assert_eq!(draw.state_of(&glucose).await, "suspended");
    assert_eq!(says(&link).await, "suspended");
    assert_ne!(reader.file(1, None).await.status, 200, "a running claim goes on");
    draw.change(&glucose, |report| report["status"] = json!("final")).await;
    assert_eq!(says(&link).await, "ready");
    assert_eq!((draw.state_of(&glucose).await, draw.mails()), ("live", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_file_cannot_be_had_keeps_no_other_back() {
    let draw = Draw::at(Database::Sqlite).await;
    draw.report(PANEL, "draw-1", "panel").await;
    let mut broken = ehr::report(&draw.patient, GLUCOSE, &real_now(), &paper("x"));
    broken["basedOn"] = json!([{"reference": "ServiceRequest/draw-1"}]);
    broken["presentedForm"] = json!([{"contentType": "application/pdf", "url": "Binary/does-not-exist"}]);
    let broken = draw.clinic.lab().post(&broken).await;
    draw.clinic.hear_and_settle().await;
    draw.after(721).await;
    assert_eq!((draw.state_of(&broken).await, draw.mails()), ("recorded", 1));
    assert_eq!(Holder::new(&draw.link(1).await).read_all().await, [paper("panel")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_link_expires_for_each_of_its_reports() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose, link) = draw.two_in_one().await;
    draw.after(48 * 60 + 1).await;
    assert_eq!((draw.state_of(&panel).await, draw.state_of(&glucose).await), ("expired", "expired"));
    assert_eq!(says(&link).await, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_one_day_leave_together_and_of_the_day_before_apart() {
    let rules = RULES.replace("group_by = \"order\"", "group_by = \"day\"");
    let draw = Draw::under(Database::Sqlite, &rules).await;
    draw.clinic.forward(Duration::from_hours(72));
    // Noon, so that neither day ends between them.
    let noon = |days: u64| {
        format!("{}T12:00:00Z", &draw.clinic.now().minus(Duration::from_hours(24 * days)).to_rfc3339()[..10])
    };
    for (days, text) in [(2, "of the day before"), (1, "first"), (1, "second")] {
        let report = ehr::report(&draw.patient, PANEL, &noon(days), &paper(text));
        draw.clinic.lab().post(&report).await;
    }
    draw.clinic.hear_and_settle().await;
    draw.after(721).await;
    assert_eq!(draw.mails(), 2);
    let mut held = Vec::new();
    for mail in draw.clinic.mails_to(ANA) {
        held.push(Holder::new(&mail.link()).read_all().await.len());
    }
    held.sort_unstable();
    assert_eq!(held, [1, 2]);
}
