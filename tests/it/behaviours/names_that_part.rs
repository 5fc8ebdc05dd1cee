//! Names of documents that say something else by now, are taken back, or of which nobody can say what they mean: nothing is
//! lost, and no link stays open.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply as Given};
use crate::support::front::{Front, Reply};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf};

const ANA: &str = "ana@example.test";
/// Three openings, 48 hours.
const PANEL: &str = "24323-8";
/// One opening, 72 hours.
const LETTER: &str = "11502-2";
const FORBIDDEN: &str = "57133-1";
const HELD: &str = "18842-5";
const MORE_RULES: &str = r#"
[[profile]]
id = "never"
when = { code = "loinc|57133-1" }
then = { action = "block" }

[[profile]]
id = "held"
when = { code = "loinc|18842-5" }
then = { action = "send", expiry = "48h", hold = "240h", basis = "clinic_policy" }
"#;
const RECHECK: Duration = Duration::from_mins(16);
const MINUTE: Duration = Duration::from_secs(61);

fn paper(text: &str) -> Vec<u8> {
    pdf::with_pages(&[text])
}

async fn says(link: &str) -> String {
    Holder::new(link).look().await.says()
}

/// A clinic and a patient of it.
struct Ana {
    clinic: Clinic,
    patient: String,
}

fn wishes() -> Wishes {
    Wishes { rules: format!("{}{MORE_RULES}", clinic::RULES), ..Wishes::default() }
}

impl Ana {
    async fn comes() -> Self {
        Self::comes_to(Clinic::spawn(wishes()).await).await
    }

    async fn comes_to(clinic: Clinic) -> Self {
        let patient = ehr::new_patient_id();
        clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
        Self { clinic, patient }
    }

    /// Through a server that a test tells what to answer.
    async fn comes_behind_a_front() -> (Self, Front) {
        let ehr = ehr::lease().await;
        let front = Front::start(ehr.base_url());
        let wishes = Wishes { ehr_base: Some(front.base_url.clone()), ..wishes() };
        let clinic = Clinic::spawn_with(wishes, ehr, Mailbox::start(Manner::Plain).await).await;
        (Self::comes_to(clinic).await, front)
    }

    fn a_report(&self, code: &str, text: &str) -> Value {
        ehr::report(&self.patient, code, &clinic::real_now(), &paper(text))
    }

    fn a_document(&self, text: &str) -> Value {
        ehr::document(&self.patient, LETTER, &clinic::real_now(), &paper(text))
    }

    /// Without a word on whether it is finished.
    fn unsaid(&self, text: &str) -> Value {
        let mut document = self.a_document(text);
        document.as_object_mut().unwrap().remove("docStatus");
        document
    }

    async fn hears_of(&self, resource: &Value) -> String {
        let id = self.clinic.lab().post(resource).await;
        self.clinic.hear_and_settle().await;
        id
    }

    async fn changes(&self, kind: &str, id: &str, change: impl FnOnce(&mut Value)) {
        self.clinic.lab().change(kind, id, change).await;
        self.clinic.hear_and_settle().await;
    }

    async fn becomes(&self, document: &str, member: &'static str, value: &'static str) {
        self.changes("DocumentReference", document, |document| document[member] = json!(value)).await;
    }

    fn mails(&self) -> usize {
        self.clinic.mails_to(ANA).len()
    }

    fn link(&self, number: usize) -> String {
        self.clinic.mails_to(ANA)[number - 1].link()
    }

    async fn states(&self, id: &str) -> Vec<&'static str> {
        self.clinic.deliveries_of(id).await.into_iter().rev().map(|brief| brief.state).collect()
    }

    async fn rechecked(&self) {
        self.clinic.forward(RECHECK);
        self.clinic.settle().await;
    }

    async fn releases(&self, id: &str) {
        let id = self.clinic.delivery_of(id).await.id;
        self.clinic.desk().release(&id, None).await.unwrap();
        self.clinic.hear_and_settle().await;
    }
}

fn replacing(mut document: Value, target: &str) -> Value {
    let target = json!({"reference": format!("DocumentReference/{target}")});
    document["relatesTo"] = json!([{"code": "replaces", "target": target}]);
    document
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
async fn event_08_files_at_one_address_that_only_the_query_tells_apart_are_documents_of_their_own() {
    let (double, mailbox) = (EhrDouble::start().await, Mailbox::start(Manner::Plain).await);
    let wishes = Wishes { ehr_base: Some(double.base_url.clone()), ..wishes() };
    let clinic = Clinic::spawn_with(wishes, ehr::lease().await, mailbox).await;
    let file = |asked: &Asked| {
        let text = match asked.target.split_once("/files?documentUID=")?.1 {
            "1.2.3" | "1.2.3.copy" => "one",
            "1.2.4" => "two",
            other => panic!("nobody has {other}"),
        };
        Some(Given::new(200, "application/pdf", paper(text)))
    };
    double.behave(move |asked| file(asked).map_or(Act::AsUsual, Act::Answer));
    double.put(&ehr::patient("ana", "Garcia", "Ana", "1984-05-06", ANA));
    let at = |uid: &str| json!({"contentType": "application/pdf", "url": format!("{}/files?documentUID={uid}", double.base_url)});
    let mut report = ehr::report("ana", PANEL, &clinic::real_now(), &paper("x"));
    (report["id"], report["presentedForm"]) = (json!("r"), json!([at("1.2.3")]));
    double.put(&report);
    clinic.hear_and_settle().await;
    let mails = || clinic.mails_to(ANA).len();
    assert_eq!(mails(), 1);
    for (id, uid, state, sent) in [("other", "1.2.4", "live", 2), ("copy", "1.2.3.copy", "superseded", 2)] {
        let mut document = ehr::document("ana", LETTER, &clinic::real_now(), &paper("x"));
        (document["id"], document["content"][0]["attachment"]) = (json!(id), at(uid));
        double.put(&document);
        clinic.hear_and_settle().await;
        clinic.hear_and_settle().await;
        assert_eq!((clinic.delivery_of(id).await.state, mails()), (state, sent), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_superseded_name_ends_no_newer_link_of_the_other() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
    let document = ana.hears_of(&ana.a_document("one")).await;
    ana.changes("DiagnosticReport", &report, |report| corrected(report, "two")).await;
    let new = ana.link(2);
    ana.becomes(&document, "status", "superseded").await;
    assert_eq!((says(&new).await.as_str(), ana.mails()), ("ready", 2));
    assert_eq!(ana.states(&report).await, ["superseded", "live"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_name_that_is_superseded_by_nobody_knows_what_refuses_the_link_and_a_person_sees_the_other() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
    let document = ana.hears_of(&ana.a_document("one")).await;
    let link = ana.link(1);
    ana.becomes(&document, "status", "superseded").await;
    ana.clinic.hear_and_settle().await;
    assert_ne!(says(&link).await, "ready");
    assert_eq!((ana.states(&report).await, ana.mails()), (vec!["revoked", "review"], 1));
    // What it was replaced by comes after all: nobody need look any more.
    ana.hears_of(&replacing(ana.a_document("two"), &document)).await;
    assert_eq!((ana.states(&report).await, ana.mails()), (vec!["revoked", "superseded"], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_replaced_name_never_rejoins_what_replaced_it_whichever_is_read_first() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
    let old = ana.hears_of(&ana.a_document("one")).await;
    let heard =
        |kind: &str, id: &str, version: &str| json!({"resourceType": kind, "id": id, "meta": {"versionId": version}});
    let steps = &ana.clinic.steps;
    let lab = steps.resolve.ehrs[0].client.id().clone();
    let hear = async |body: Value| {
        assert_eq!(ana.clinic.hook(Method::POST, "", &body.to_string()).await, StatusCode::OK);
        while steps.intake.turn().await.unwrap() > 0 {}
    };
    // The new document alone is read, then the report before the replaced one.
    let new = ana.clinic.lab().post(&replacing(ana.a_document("two"), &old)).await;
    hear(heard("DocumentReference", &new, "1")).await;
    assert_eq!(steps.resolve.turn_of(&lab).await.unwrap(), 1);
    ana.clinic.lab().change("DiagnosticReport", &report, |report| report["language"] = json!("en")).await;
    steps.release.turn().await.unwrap();
    hear(heard("DiagnosticReport", &report, "2")).await;
    assert_eq!(steps.resolve.alarm_turn_of(&lab).await.unwrap(), 1, "it alone is urgent");
    ana.clinic.settle().await;
    assert_eq!((ana.states(&new).await, ana.mails()), (vec!["live"], 2));
    assert_eq!(says(&ana.link(2)).await, "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_document_that_names_its_report_waits_for_a_person_where_nothing_tells_whether_it_is_the_report() {
    let ana = Ana::comes().await;
    let url_of = |binary: &str| json!({"contentType": "application/pdf", "url": format!("Binary/{binary}")});
    let mut report = ana.a_report(HELD, "x");
    report["presentedForm"] = json!([url_of(&ana.clinic.lab().post(&ehr::binary(&paper("one"))).await)]);
    let report = ana.hears_of(&report).await;
    assert_eq!(ana.states(&report).await, ["held"]);
    let mut addendum = ana.a_document("x");
    addendum["context"] = json!({"related": [{"reference": format!("DiagnosticReport/{report}")}]});
    addendum["content"][0]["attachment"] = url_of(&ana.clinic.lab().post(&ehr::binary(&paper("malignant"))).await);
    let addendum = ana.hears_of(&addendum).await;
    assert_eq!((ana.states(&addendum).await, ana.mails()), (vec!["review"], 0));
    let brief = ana.clinic.delivery_of(&addendum).await;
    assert!(brief.note.contains("may have come"), "{}", brief.note);
    ana.releases(&addendum).await;
    assert_eq!((ana.states(&addendum).await, ana.mails()), (vec!["live"], 1));
    assert_eq!(Holder::new(&ana.link(1)).read().await, paper("malignant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_file_that_would_tell_is_asked_for_again_and_one_that_is_refused_is_for_a_person() {
    for (status, states, mails) in [(503, vec!["live"], 2), (404, vec!["review"], 1)] {
        let (ana, front) = Ana::comes_behind_a_front().await;
        let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
        let binary = ana.clinic.lab().post(&ehr::binary(&paper("malignant"))).await;
        let refused = || Reply::Whole { status, kind: "application/fhir+json", body: b"{}".to_vec() };
        let then = if status == 404 { refused() } else { Reply::PassedOn };
        front.script(&format!("Binary/{binary}"), [refused(), refused(), then]);
        let mut addendum = ana.a_document("x");
        addendum["context"] = json!({"related": [{"reference": format!("DiagnosticReport/{report}")}]});
        addendum["content"][0]["attachment"] =
            json!({"contentType": "application/pdf", "url": format!("Binary/{binary}")});
        let addendum = ana.hears_of(&addendum).await;
        for _ in 0..3 {
            ana.clinic.hear_and_settle().await;
        }
        assert_eq!((ana.states(&addendum).await, ana.mails()), (states, mails), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_09_a_name_whose_status_nobody_could_understand_refuses_the_link_when_it_is_taken_back() {
    for is_deleted in [false, true] {
        let ana = Ana::comes().await;
        let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
        let link = ana.link(1);
        let unsaid = ana.hears_of(&ana.unsaid("one")).await;
        assert_eq!((says(&link).await.as_str(), ana.states(&unsaid).await), ("ready", vec!["review"]));
        if is_deleted {
            ana.clinic.lab().delete("DocumentReference", &unsaid).await;
            ana.rechecked().await;
            assert_eq!(says(&link).await, "suspended");
            ana.clinic.forward(MINUTE);
            ana.clinic.settle().await;
        } else {
            ana.becomes(&unsaid, "status", "entered-in-error").await;
        }
        assert_eq!((says(&link).await.as_str(), ana.mails()), ("recalled", 1), "{is_deleted}");
        ana.clinic.hear_and_settle().await;
        assert_eq!(ana.states(&report).await, ["recalled", "review"], "{is_deleted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_09_a_name_whose_status_nobody_could_understand_says_nothing_else_of_the_link() {
    let ana = Ana::comes().await;
    let unsaid = ana.hears_of(&ana.unsaid("one")).await;
    let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
    let link = ana.link(1);
    assert_eq!((ana.states(&report).await, ana.states(&unsaid).await), (vec!["live"], vec!["review"]));
    // It vouches for nothing, and keeps nothing suspended.
    ana.changes("DiagnosticReport", &report, |report| report["status"] = json!("preliminary")).await;
    assert_eq!(says(&link).await, "suspended");
    ana.changes("DiagnosticReport", &report, |report| report["status"] = json!("final")).await;
    assert_eq!((says(&link).await.as_str(), ana.mails()), ("ready", 1));
    ana.changes("DiagnosticReport", &report, |report| corrected(report, "two")).await;
    assert_eq!((says(&ana.link(2)).await.as_str(), ana.states(&unsaid).await), ("ready", vec!["review"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_name_that_is_heard_of_only_when_it_is_taken_back_refuses_the_link() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
    let other = ana.hears_of(&ana.a_report(PANEL, "two")).await;
    let (link, other_link) = (ana.link(1), ana.link(2));
    let mut mistaken = ana.a_document("one");
    mistaken["status"] = json!("entered-in-error");
    let mistaken = ana.hears_of(&mistaken).await;
    ana.clinic.hear_and_settle().await;
    assert_eq!((says(&link).await.as_str(), ana.states(&report).await), ("recalled", vec!["recalled", "review"]));
    assert_eq!((says(&other_link).await.as_str(), ana.states(&other).await), ("ready", vec!["live"]));
    assert_eq!((ana.mails(), ana.states(&mistaken).await.len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_file_that_was_taken_back_under_a_name_before_waits_for_a_person_under_another() {
    let ana = Ana::comes().await;
    let mut mistaken = ana.a_document("one");
    mistaken["status"] = json!("entered-in-error");
    ana.hears_of(&mistaken).await;
    let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
    assert_eq!((ana.states(&report).await, ana.mails()), (vec!["review"], 0));
    ana.hears_of(&ana.a_report(PANEL, "two")).await;
    assert_eq!(ana.mails(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_replacement_that_does_not_say_whether_it_is_finished_suspends_what_it_replaces_until_a_person_speaks()
 {
    let ana = Ana::comes().await;
    let old = ana.hears_of(&ana.a_document("one")).await;
    let link = ana.link(1);
    let new = ana.hears_of(&replacing(ana.unsaid("two"), &old)).await;
    for _ in 0..2 {
        assert_eq!((ana.states(&old).await, ana.states(&new).await), (vec!["suspended"], vec!["review"]));
        assert_eq!((says(&link).await.as_str(), ana.mails()), ("suspended", 1));
        ana.rechecked().await;
        ana.changes("DocumentReference", &old, |old| old["language"] = json!("en")).await;
    }
    ana.releases(&new).await;
    assert_eq!((ana.states(&old).await, ana.states(&new).await), (vec!["superseded"], vec!["live"]));
    assert_eq!((says(&link).await.as_str(), ana.mails()), ("superseded", 2));
    let mail = ana.clinic.mailbox.wait_for(ANA, 2).await;
    assert!(mail.text.contains("takes the place"), "{}", mail.text);
    assert_eq!(Holder::new(&mail.link()).read().await, paper("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_what_an_unclear_replacement_suspended_comes_back_when_it_is_taken_back_or_put_aside() {
    for is_put_aside in [false, true] {
        let ana = Ana::comes().await;
        // The report leads; the document is its other name.
        let report = ana.hears_of(&ana.a_report(PANEL, "one")).await;
        let old = ana.hears_of(&ana.a_document("one")).await;
        let link = ana.link(1);
        let new = ana.hears_of(&replacing(ana.unsaid("two"), &old)).await;
        assert_eq!((says(&link).await.as_str(), ana.states(&report).await), ("suspended", vec!["suspended"]));
        if is_put_aside {
            let waiting = ana.clinic.delivery_of(&new).await.id;
            ana.clinic.desk().revoke(&waiting, None).await.unwrap();
            ana.rechecked().await;
            ana.rechecked().await;
        } else {
            ana.becomes(&new, "status", "entered-in-error").await;
            ana.clinic.hear_and_settle().await;
        }
        assert_eq!((says(&link).await.as_str(), ana.mails()), ("ready", 1), "{is_put_aside}");
        ana.changes("DocumentReference", &new, |new| new["language"] = json!("en")).await;
        assert_eq!(says(&link).await, "ready", "{is_put_aside}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_an_unclear_replacement_that_turns_out_finished_takes_the_links_place() {
    let ana = Ana::comes().await;
    let old = ana.hears_of(&ana.a_document("one")).await;
    let link = ana.link(1);
    let new = ana.hears_of(&replacing(ana.unsaid("two"), &old)).await;
    assert_eq!(says(&link).await, "suspended");
    ana.becomes(&new, "docStatus", "final").await;
    ana.clinic.hear_and_settle().await;
    assert_eq!(
        (says(&link).await.as_str(), ana.states(&old).await, ana.mails()),
        ("superseded", vec!["superseded"], 2)
    );
    assert_eq!(says(&ana.link(2)).await, "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_two_tests_that_first_carried_one_file_end_no_link_of_each_other() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report(PANEL, "the result follows")).await;
    let document = ana.hears_of(&ana.a_document("the result follows")).await;
    assert_eq!(ana.mails(), 1);
    ana.changes("DiagnosticReport", &report, |report| corrected(report, "first")).await;
    ana.changes("DocumentReference", &document, |document| corrected(document, "second")).await;
    let (first, second) = (ana.link(2), ana.link(3));
    assert_eq!((says(&first).await.as_str(), says(&second).await.as_str()), ("ready", "ready"));
    ana.changes("DiagnosticReport", &report, |report| corrected(report, "first, again")).await;
    let again = ana.link(4);
    assert_eq!((says(&first).await.as_str(), says(&second).await.as_str()), ("superseded", "ready"));
    // Nor does a take-back of one say anything of the other.
    ana.changes("DocumentReference", &document, |document| document["status"] = json!("entered-in-error")).await;
    assert_eq!((says(&second).await.as_str(), says(&again).await.as_str()), ("recalled", "ready"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_what_is_a_document_of_its_own_by_now_is_forbidden_by_nobody_elses_rules() {
    let ana = Ana::comes().await;
    let report = ana.hears_of(&ana.a_report(FORBIDDEN, "the result follows")).await;
    let document = ana.hears_of(&ana.a_document("the result follows")).await;
    ana.changes("DiagnosticReport", &report, |report| corrected(report, "first")).await;
    ana.changes("DocumentReference", &document, |document| corrected(document, "second")).await;
    assert_eq!((ana.states(&document).await, ana.mails()), (vec!["review"], 0));
    assert!(ana.states(&report).await.iter().all(|state| *state == "blocked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_no_message_leaves_after_the_ehr_spoke_of_the_documents_other_name() {
    let ana = Ana::comes().await;
    let steps = &ana.clinic.steps;
    let report = ana.clinic.lab().post(&ana.a_report(PANEL, "one")).await;
    let document = ana.clinic.lab().post(&ana.a_document("one")).await;
    let hear = async |kind: &str, id: &str, version: &str| {
        let heard = json!({"resourceType": kind, "id": id, "meta": {"versionId": version}}).to_string();
        assert_eq!(ana.clinic.hook(Method::POST, "", &heard).await, StatusCode::OK);
        while steps.intake.turn().await.unwrap() > 0 {}
    };
    hear("DiagnosticReport", &report, "1").await;
    hear("DocumentReference", &document, "1").await;
    while steps.resolve.turn().await.unwrap() > 0 {}
    while steps.release.turn().await.unwrap() > 0 {}
    let error = |document: &mut Value| document["status"] = json!("entered-in-error");
    ana.clinic.lab().change("DocumentReference", &document, error).await;
    hear("DocumentReference", &document, "2").await;
    let live = [ana.states(&report).await, ana.states(&document).await].concat();
    assert_eq!(live, ["live"], "its message waits");
    assert_eq!((steps.outbox.turn().await.unwrap(), ana.mails()), (0, 0));
    ana.clinic.settle().await;
    ana.clinic.hear_and_settle().await;
    let states = [ana.states(&report).await, ana.states(&document).await].concat();
    assert!(!states.contains(&"live") && states.contains(&"review"), "{states:?}");
    assert_eq!(ana.mails(), 0);
}
