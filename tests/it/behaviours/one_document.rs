//! One document under two names: the EHR shows a file as a report and as a document, and one link is made of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::holder::Holder;
use crate::support::staff::Staff;
use crate::support::{ehr, pdf};

const ANA: &str = "ana@example.test";
/// Three openings, 48 hours.
const PANEL: &str = "24323-8";
/// One opening, 72 hours.
const LETTER: &str = "11502-2";
const FOR_A_PERSON: &str = "34133-9";
const FORBIDDEN: &str = "57133-1";
const HELD: &str = "18842-5";
const NO_RULE: &str = "11488-4";
const MORE_RULES: &str = r#"
[[profile]]
id = "for-a-person"
when = { code = "loinc|34133-9" }
then = { action = "manual_review" }

[[profile]]
id = "never"
when = { code = "loinc|57133-1" }
then = { action = "block" }

[[profile]]
id = "held"
when = { code = "loinc|18842-5" }
then = { action = "send", expiry = "48h", hold = "24h", basis = "clinic_policy" }
"#;
const RECHECK: Duration = Duration::from_mins(16);
const MINUTE: Duration = Duration::from_secs(61);

/// Both names of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    Report,
    Document,
}

struct Ana {
    clinic: Clinic,
    patient: String,
}

fn paper(text: &str) -> Vec<u8> {
    pdf::with_pages(&[text])
}

fn url_of(binary: &str) -> Value {
    json!({"contentType": "application/pdf", "url": format!("Binary/{binary}")})
}

impl Ana {
    async fn comes() -> Self {
        let rules = format!("{}{MORE_RULES}", clinic::RULES);
        let clinic = Clinic::spawn(Wishes { rules, ..Wishes::default() }).await;
        let patient = ehr::new_patient_id();
        clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
        Self { clinic, patient }
    }

    fn a_report(&self, text: &str) -> Value {
        ehr::report(&self.patient, PANEL, &clinic::real_now(), &paper(text))
    }

    fn a_document(&self, code: &str, text: &str) -> Value {
        ehr::document(&self.patient, code, &clinic::real_now(), &paper(text))
    }

    /// The file as a resource of its own.
    async fn binary(&self, text: &str) -> String {
        self.clinic.lab().post(&ehr::binary(&paper(text))).await
    }

    async fn files(&self, resource: &Value) -> String {
        self.clinic.lab().post(resource).await
    }

    /// Files and hears of it.
    async fn hears_of(&self, resource: &Value) -> String {
        let id = self.files(resource).await;
        self.clinic.hear_and_settle().await;
        id
    }

    async fn changes(&self, kind: &str, id: &str, change: impl FnOnce(&mut Value)) {
        self.clinic.lab().change(kind, id, change).await;
        self.clinic.hear_and_settle().await;
    }

    fn mails(&self) -> usize {
        self.clinic.mails_to(ANA).len()
    }

    async fn link(&self, number: usize) -> String {
        self.clinic.mailbox.wait_for(ANA, number).await.link()
    }

    /// States of all deliveries of one resource, oldest first.
    async fn states(&self, id: &str) -> Vec<&'static str> {
        self.clinic.deliveries_of(id).await.into_iter().rev().map(|brief| brief.state).collect()
    }

    async fn opens_max(&self, id: &str) -> Option<u16> {
        let delivery = self.clinic.delivery_of(id).await;
        self.clinic.show(&delivery.id).await.opens_max
    }
}

async fn says(link: &str) -> String {
    Holder::new(link).look().await.says()
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_file_that_comes_as_report_and_as_document_makes_one_link_under_the_stricter_terms() {
    for first in [First::Report, First::Document] {
        let ana = Ana::comes().await;
        let (report, document) = (ana.a_report("one"), ana.a_document(LETTER, "one"));
        let (first, second) = match first {
            First::Report => (report, document),
            First::Document => (document, report),
        };
        let first = ana.hears_of(&first).await;
        let link = ana.link(1).await;
        let second = ana.hears_of(&second).await;
        assert_eq!((ana.mails(), ana.states(&first).await), (1, vec!["live"]));
        assert_eq!(ana.states(&second).await, Vec::<&str>::new(), "noted, and no more");
        assert_eq!(ana.opens_max(&first).await, Some(1), "the stricter of both");
        let shown = ana.clinic.show(&ana.clinic.delivery_of(&first).await.id).await;
        assert!(
            shown.also_heard_as.len() == 1 && shown.also_heard_as[0].ends_with(&second),
            "{:?}",
            shown.also_heard_as
        );
        assert_eq!(Holder::new(&link).read().await, paper("one"));
        // Later versions of either say nothing new.
        for (kind, id) in [("DiagnosticReport", &first), ("DocumentReference", &second)] {
            let (_, found) = ana.clinic.lab().send(reqwest::Method::GET, &format!("{kind}/{id}"), None).await;
            if found["resourceType"] == json!(kind) {
                ana.changes(kind, id, |resource| resource["language"] = json!("en")).await;
            }
        }
        assert_eq!(ana.mails(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_report_and_document_that_are_heard_at_once_make_one_link_under_the_stricter_terms() {
    let ana = Ana::comes().await;
    let report = ana.files(&ana.a_report("one")).await;
    let document = ana.files(&ana.a_document(LETTER, "one")).await;
    ana.clinic.hear_and_settle().await;
    ana.clinic.hear_and_settle().await;
    assert_eq!(ana.mails(), 1);
    let live = [ana.states(&report).await, ana.states(&document).await].concat();
    assert_eq!(live.iter().filter(|state| **state == "live").count(), 1, "{live:?}");
    let lead = if ana.states(&report).await.contains(&"live") { report } else { document };
    assert_eq!(ana.opens_max(&lead).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_what_the_rules_say_of_the_second_name_holds_for_the_link_that_is_out() {
    for (code, state) in [(FOR_A_PERSON, "review"), (FORBIDDEN, "blocked"), (HELD, "review"), (NO_RULE, "live")] {
        let ana = Ana::comes().await;
        let report = ana.hears_of(&ana.a_report("one")).await;
        let link = ana.link(1).await;
        let document = ana.hears_of(&ana.a_document(code, "one")).await;
        assert_eq!((ana.states(&report).await, ana.mails()), (vec![state], 1), "{code}");
        assert_eq!(ana.states(&document).await, Vec::<&str>::new(), "{code}");
        let is_refused = Holder::new(&link).open().await.status == reqwest::StatusCode::CONFLICT;
        assert_eq!(is_refused, state != "live", "{code}");
        if state == "review" {
            let id = ana.clinic.delivery_of(&report).await.id;
            ana.clinic.desk().release(&id, None).await.unwrap();
            ana.clinic.hear_and_settle().await;
            assert_eq!((ana.states(&report).await, ana.mails()), (vec!["live"], 2), "{code}: a person's word counts");
            ana.changes("DocumentReference", &document, |document| document["language"] = json!("en")).await;
            assert_eq!(ana.states(&report).await, ["live"], "{code}: and stays");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_what_waits_under_one_name_does_not_leave_under_the_other() {
    for (code, state) in [(FOR_A_PERSON, "review"), (FORBIDDEN, "blocked"), (HELD, "held")] {
        let ana = Ana::comes().await;
        let document = ana.hears_of(&ana.a_document(code, "one")).await;
        assert_eq!(ana.states(&document).await, [state]);
        let report = ana.hears_of(&ana.a_report("one")).await;
        assert_eq!((ana.mails(), ana.states(&document).await), (0, vec![state]), "{code}");
        assert_eq!(ana.states(&report).await, Vec::<&str>::new(), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_of_a_name_that_no_rule_speaks_of_the_rules_for_the_other_say_what_becomes() {
    let ana = Ana::comes().await;
    let document = ana.hears_of(&ana.a_document(NO_RULE, "one")).await;
    assert_eq!(ana.states(&document).await, ["review"]);
    let report = ana.hears_of(&ana.a_report("one")).await;
    assert_eq!((ana.mails(), ana.states(&report).await), (1, vec!["live"]));
    assert_eq!(ana.states(&document).await, ["superseded"], "nobody need look at it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_recall_under_either_name_refuses_the_link_and_a_person_sees_the_other() {
    for taken_back in ["DiagnosticReport", "DocumentReference"] {
        let ana = Ana::comes().await;
        let report = ana.hears_of(&ana.a_report("one")).await;
        let document = ana.hears_of(&ana.a_document(LETTER, "one")).await;
        let link = ana.link(1).await;
        let (id, other) = if taken_back == "DiagnosticReport" { (&report, &document) } else { (&document, &report) };
        ana.changes(taken_back, id, |resource| resource["status"] = json!("entered-in-error")).await;
        assert_eq!(says(&link).await, "recalled", "{taken_back}");
        assert_eq!(ana.states(&report).await[0], "recalled", "{taken_back}");
        ana.clinic.hear_and_settle().await;
        let left = ana.states(other).await;
        assert_eq!((left.last(), ana.mails()), (Some(&"review"), 1), "{taken_back}: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_second_name_that_is_deleted_silently_is_found_and_refuses_the_link() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report("one")).await;
    let document = ana.hears_of(&ana.a_document(LETTER, "one")).await;
    let link = ana.link(1).await;
    ana.clinic.lab().delete("DocumentReference", &document).await;
    ana.clinic.forward(RECHECK);
    ana.clinic.settle().await;
    assert_eq!((says(&link).await.as_str(), ana.states(&report).await), ("suspended", vec!["suspended"]));
    // The report itself is there, and lets nothing in again while its other name is in doubt.
    ana.changes("DiagnosticReport", &report, |report| report["language"] = json!("en")).await;
    assert_ne!(says(&link).await, "ready");
    ana.clinic.forward(MINUTE);
    ana.clinic.settle().await;
    assert_eq!((says(&link).await.as_str(), ana.mails()), ("recalled", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_second_name_that_goes_back_to_preliminary_suspends_the_link_until_it_is_final_again() {
    let ana = Ana::comes().await;
    ana.hears_of(&ana.a_report("one")).await;
    let document = ana.hears_of(&ana.a_document(LETTER, "one")).await;
    let link = ana.link(1).await;
    ana.changes("DocumentReference", &document, |document| document["docStatus"] = json!("preliminary")).await;
    assert_eq!(says(&link).await, "suspended");
    ana.changes("DocumentReference", &document, |document| document["docStatus"] = json!("final")).await;
    assert_eq!((says(&link).await.as_str(), ana.mails()), ("ready", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_one_binary_behind_two_addresses_of_it_is_one_file() {
    let ana = Ana::comes().await;
    let binary = ana.binary("one").await;
    let mut report = ana.a_report("x");
    report["presentedForm"] = json!([url_of(&binary)]);
    let mut document = ana.a_document(LETTER, "x");
    let base = ana.clinic.ehr.base_url();
    document["content"][0]["attachment"] = url_of(&binary);
    document["content"][0]["attachment"]["url"] = json!(format!("{base}/Binary/{binary}"));
    let report = ana.hears_of(&report).await;
    ana.hears_of(&document).await;
    assert_eq!((ana.mails(), ana.opens_max(&report).await), (1, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_file_that_only_its_bytes_tell_is_recognised_before_a_second_message_leaves() {
    for first in [First::Report, First::Document] {
        let ana = Ana::comes().await;
        let mut document = ana.a_document(LETTER, "x");
        document["content"][0]["attachment"] = url_of(&ana.binary("one").await);
        let mut report = ana.a_report("x");
        report["presentedForm"] = json!([url_of(&ana.binary("one").await)]);
        let (first, second) = match first {
            First::Report => (&report, &document),
            First::Document => (&document, &report),
        };
        let first = ana.hears_of(first).await;
        let second = ana.hears_of(second).await;
        ana.clinic.hear_and_settle().await;
        assert_eq!((ana.mails(), ana.states(&first).await), (1, vec!["live"]));
        assert_eq!((ana.states(&second).await, ana.opens_max(&first).await), (vec!["superseded"], Some(1)));
        // The first can be sent again by a person all the same.
        let id = ana.clinic.delivery_of(&first).await.id;
        ana.clinic.desk().revoke(&id, None).await.unwrap();
        ana.clinic.desk().resend(&id, None).await.unwrap();
        ana.clinic.hear_and_settle().await;
        assert_eq!((ana.mails(), ana.states(&first).await), (2, vec!["revoked", "live"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_09_a_document_that_does_not_say_whether_it_is_finished_waits_and_is_recognised_when_a_person_releases_it()
 {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report("one")).await;
    let mut unsaid = ana.a_document(LETTER, "one");
    unsaid.as_object_mut().unwrap().remove("docStatus");
    let document = ana.hears_of(&unsaid).await;
    assert_eq!((ana.states(&report).await, ana.states(&document).await), (vec!["live"], vec!["review"]));
    let id = ana.clinic.delivery_of(&document).await.id;
    ana.clinic.desk().release(&id, None).await.unwrap();
    ana.clinic.hear_and_settle().await;
    assert_eq!((ana.mails(), ana.states(&document).await), (1, vec!["superseded"]));
    assert_eq!((ana.states(&report).await, ana.opens_max(&report).await), (vec!["live"], Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_document_that_names_its_report_is_the_same_where_its_file_is_and_another_where_it_is_not() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report("one")).await;
    let related = json!({"related": [{"reference": format!("DiagnosticReport/{report}")}]});
    let that = |text: &'static str| {
        let (ana, related) = (&ana, related.clone());
        async move {
            let mut document = ana.a_document(LETTER, "x");
            document["context"] = related;
            document["content"][0]["attachment"] = url_of(&ana.binary(text).await);
            ana.hears_of(&document).await
        }
    };
    let same = that("one").await;
    assert_eq!((ana.mails(), ana.states(&same).await.len(), ana.opens_max(&report).await), (1, 0, Some(1)));
    // A scan of it, or an addendum: nobody but the patient can tell, and silence would lose the addendum.
    let other = that("one, as a scan").await;
    assert_eq!((ana.mails(), ana.states(&other).await), (2, vec!["live"]));
    let mut about_it = ana.a_document(LETTER, "what it means");
    about_it["context"] = related;
    ana.hears_of(&about_it).await;
    assert_eq!(ana.mails(), 3, "a letter about the report is not the report");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_the_same_file_of_two_patients_is_two_documents() {
    let ana = Ana::comes().await;
    ana.hears_of(&ana.a_report("one")).await;
    let ben = ehr::new_patient_id();
    ana.clinic.lab().update(&ehr::patient(&ben, "Miller", "Ben", "1970-01-02", "ben@example.test")).await;
    ana.hears_of(&ehr::document(&ben, LETTER, &clinic::real_now(), &paper("one"))).await;
    assert_eq!((ana.mails(), ana.clinic.mails_to("ben@example.test").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_other_rules_for_the_second_name_hold_back_what_has_not_left_and_end_no_link_by_themselves() {
    let stricter = |rules: &str| {
        let by_a_person = rules.replace("\"loinc|58410-2\", \"loinc|4548-4\", \"loinc|11502-2\"", "\"loinc|58410-2\"");
        format!("{by_a_person}{MORE_RULES}")
            .replace("loinc|34133-9", "loinc|11502-2")
            .replace("version = \"1\"", "version = \"2\"")
    };
    for is_held in [true, false] {
        let ana = Ana::comes().await;
        let staff = Staff::hire(&ana.clinic.config_path);
        let mut report = ana.a_report("one");
        if is_held {
            report["code"]["coding"][0]["code"] = json!(HELD);
        }
        let report = ana.hears_of(&report).await;
        ana.hears_of(&ana.a_document(LETTER, "one")).await;
        assert_eq!(ana.states(&report).await, [if is_held { "held" } else { "live" }]);
        staff.brings_into_force(&stricter(clinic::RULES));
        ana.clinic.settle().await;
        assert_eq!(ana.states(&report).await, [if is_held { "review" } else { "live" }]);
    }
}

fn corrected(resource: &mut Value, text: &str) {
    let form = ehr::report("x", PANEL, "2026-01-01T00:00:00Z", &paper(text))["presentedForm"].clone();
    if resource["resourceType"] == json!("DiagnosticReport") {
        resource["status"] = json!("corrected");
        resource["presentedForm"] = form;
    } else {
        resource["docStatus"] = json!("amended");
        resource["content"][0]["attachment"] = form[0].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_correction_under_both_names_is_one_correction_whichever_is_heard_first() {
    for first in [First::Report, First::Document] {
        let ana = Ana::comes().await;
        let report = ana.hears_of(&ana.a_report("one")).await;
        let document = ana.hears_of(&ana.a_document(LETTER, "one")).await;
        let old = ana.link(1).await;
        let names = [("DiagnosticReport", &report), ("DocumentReference", &document)];
        let order = match first {
            First::Report => names,
            First::Document => [names[1], names[0]],
        };
        for (kind, id) in order {
            ana.changes(kind, id, |resource| corrected(resource, "two")).await;
            assert_eq!((says(&old).await.as_str(), ana.mails()), ("superseded", 2), "{first:?} {kind}");
        }
        let new = ana.link(2).await;
        assert_eq!(says(&new).await, "ready", "{first:?}");
        let lead = if first == First::Report { &report } else { &document };
        assert_eq!(ana.opens_max(lead).await, Some(1), "{first:?}: the stricter terms are forgotten");
        assert!(ana.clinic.mails_to(ANA)[1].text.contains("takes the place"), "{first:?}");
        ana.changes("DocumentReference", &document, |resource| resource["docStatus"] = json!("entered-in-error")).await;
        assert_eq!(says(&new).await, "recalled", "{first:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_file_that_becomes_another_under_one_name_is_sent_under_the_terms_of_both() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report("one")).await;
    ana.hears_of(&ana.a_document(LETTER, "one")).await;
    ana.changes("DiagnosticReport", &report, |report| corrected(report, "two")).await;
    let new = ana.link(2).await;
    assert_eq!(ana.opens_max(&report).await, Some(1));
    assert_eq!(Holder::new(&new).read().await, paper("two"));
    assert_eq!(Holder::new(&new).look().await.says(), "opened_elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_second_name_that_comes_after_the_correction_brings_the_old_file_to_nobody() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report("one")).await;
    ana.changes("DiagnosticReport", &report, |report| corrected(report, "two")).await;
    let new = ana.link(2).await;
    ana.hears_of(&ana.a_document(LETTER, "one")).await;
    assert_eq!((ana.mails(), says(&new).await.as_str()), (2, "ready"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_10_a_second_name_that_becomes_another_patients_refuses_the_link() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report("one")).await;
    let document = ana.hears_of(&ana.a_document(LETTER, "one")).await;
    let link = ana.link(1).await;
    let ben = ehr::new_patient_id();
    ana.clinic.lab().update(&ehr::patient(&ben, "Miller", "Ben", "1970-01-02", "ben@example.test")).await;
    let subject = json!({"reference": format!("Patient/{ben}")});
    ana.changes("DocumentReference", &document, |document| document["subject"] = subject).await;
    assert_eq!((says(&link).await.as_str(), ana.states(&report).await[0]), ("recalled", "revoked"));
    assert_eq!(ana.states(&document).await, ["review"]);
    assert_eq!((ana.mails(), ana.clinic.mails_to("ben@example.test").len()), (1, 0));
}
