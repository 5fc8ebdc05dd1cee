//! What takes another's place: documents that replace, restate or add to others, and patients' records that were merged.
//!
//! A report that becomes another patient's, the rest of event behaviour 10, is in `stories/corrections.rs`.

use std::time::Duration;

use chartseal::app::Workers;
use chartseal::app::steps::EHR_WORKERS_MAX;
use chartseal::base::{FhirId, ResourceKey, ResourceType};
use chartseal::store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr_double::{Act, EhrDouble};
use crate::support::front::{Front, Reply};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf, wait};

const ANA: &str = "ana@example.test";
const MOVED: &str = "ana.new@example.test";
/// Three openings.
const PANEL: &str = "24323-8";
const LETTER: &str = "11502-2";
const RECHECK: Duration = Duration::from_mins(16);

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

impl Ana {
    async fn comes() -> Self {
        let clinic = Clinic::spawn(Wishes::default()).await;
        let patient = ehr::new_patient_id();
        clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
        Self { clinic, patient }
    }

    fn a_document(&self, text: &str) -> Value {
        ehr::document(&self.patient, PANEL, &clinic::real_now(), &paper(text))
    }

    fn that(&self, relation: &str, target: &str, text: &str) -> Value {
        let mut document = self.a_document(text);
        document["relatesTo"] =
            json!([{"code": relation, "target": {"reference": format!("DocumentReference/{target}")}}]);
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

    fn mails(&self) -> usize {
        self.clinic.mails_to(ANA).len()
    }

    async fn link(&self, number: usize) -> String {
        self.clinic.mailbox.wait_for(ANA, number).await.link()
    }

    async fn states(&self, id: &str) -> Vec<&'static str> {
        self.clinic.deliveries_of(id).await.into_iter().rev().map(|brief| brief.state).collect()
    }

    async fn rechecked(&self) {
        self.clinic.forward(RECHECK);
        self.clinic.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_document_that_replaces_another_takes_its_links_place_though_the_old_one_says_nothing() {
    let ana = Ana::comes().await;
    let old = ana.hears_of(&ana.a_document("one")).await;
    let link = ana.link(1).await;
    let new = ana.hears_of(&ana.that("replaces", &old, "two")).await;
    assert_eq!((says(&link).await.as_str(), ana.mails()), ("superseded", 2));
    assert_eq!((ana.states(&old).await, ana.states(&new).await), (vec!["superseded"], vec!["live"]));
    let mail = ana.clinic.mailbox.wait_for(ANA, 2).await;
    assert!(mail.text.contains("takes the place"), "{}", mail.text);
    assert_eq!(Holder::new(&mail.link()).read().await, paper("two"));
    // The old one still says that it is current, and is sent to nobody again.
    ana.changes("DocumentReference", &old, |old| old["content"][0]["attachment"]["title"] = json!("x")).await;
    let again = ana.a_document("three")["content"].clone();
    ana.changes("DocumentReference", &old, |old| old["content"] = again).await;
    assert_eq!((ana.mails(), ana.states(&old).await), (2, vec!["superseded"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_replaced_document_that_is_heard_after_its_replacement_is_not_sent() {
    let ana = Ana::comes().await;
    let mut old = ana.a_document("one");
    let id = format!("old-{}", ana.patient);
    old["id"] = json!(id);
    let mut new = ana.that("replaces", &id, "two");
    new["id"] = json!(format!("new-{}", ana.patient));
    // The target is known neither here nor there.
    ana.clinic.lab().update(&new).await;
    ana.clinic.hear_and_settle().await;
    assert_eq!(ana.mails(), 1);
    let link = ana.link(1).await;
    ana.clinic.lab().update(&old).await;
    ana.clinic.hear_and_settle().await;
    assert_eq!((ana.mails(), ana.states(&id).await, says(&link).await.as_str()), (1, vec![], "ready"));
    // The replacement is taken back: a person sees, and nobody is sent the old one by itself.
    ana.changes("DocumentReference", new["id"].as_str().unwrap(), |new| new["status"] = json!("entered-in-error"))
        .await;
    assert_eq!(says(&link).await, "recalled");
    ana.clinic.hear_and_settle().await;
    assert_eq!((ana.mails(), ana.states(&id).await), (1, vec!["review"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_old_and_new_heard_at_once_send_the_new_one_alone_at_the_end() {
    let ana = Ana::comes().await;
    let old = ana.clinic.lab().post(&ana.a_document("one")).await;
    let new = ana.clinic.lab().post(&ana.that("replaces", &old, "two")).await;
    ana.clinic.hear_and_settle().await;
    ana.clinic.hear_and_settle().await;
    assert_eq!((ana.mails(), ana.states(&new).await), (1, vec!["live"]));
    assert!(!ana.states(&old).await.contains(&"live"));
    assert_eq!(Holder::new(&ana.link(1).await).read().await, paper("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_10_a_document_that_replaces_another_patients_refuses_that_link_and_waits_for_a_person() {
    let ana = Ana::comes().await;
    let old = ana.hears_of(&ana.a_document("one")).await;
    let link = ana.link(1).await;
    let ben = ehr::new_patient_id();
    ana.clinic.lab().update(&ehr::patient(&ben, "Miller", "Ben", "1970-01-02", "ben@example.test")).await;
    let mut new = ana.that("replaces", &old, "one");
    new["subject"] = json!({"reference": format!("Patient/{ben}")});
    let new = ana.hears_of(&new).await;
    assert_eq!((says(&link).await.as_str(), ana.states(&old).await), ("recalled", vec!["revoked"]));
    assert_eq!(ana.states(&new).await, ["review"]);
    assert!(ana.clinic.delivery_of(&new).await.note.contains("another patient"));
    assert!(ana.clinic.mails_to("ben@example.test").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_what_transforms_or_signs_a_document_makes_no_second_message_whichever_is_heard_first() {
    for relation in ["transforms", "signs"] {
        let ana = Ana::comes().await;
        let original = ana.hears_of(&ana.a_document("one")).await;
        let link = ana.link(1).await;
        let other = ana.hears_of(&ana.that(relation, &original, "one, signed")).await;
        assert_eq!((ana.mails(), ana.states(&other).await.len(), says(&link).await.as_str()), (1, 0, "ready"));
        drop(ana);
        let ana = Ana::comes().await;
        let id = format!("original-{}", ana.patient);
        ana.hears_of(&ana.that(relation, &id, "one, signed")).await;
        let mut original = ana.a_document("one");
        original["id"] = json!(id);
        ana.clinic.lab().update(&original).await;
        ana.clinic.hear_and_settle().await;
        assert_eq!((ana.mails(), ana.states(&id).await.len()), (1, 0), "{relation}, and the original after it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_09_what_appends_to_a_document_waits_for_a_person_and_leaves_the_document_alone() {
    let ana = Ana::comes().await;
    let original = ana.hears_of(&ana.a_document("one")).await;
    let link = ana.link(1).await;
    let addendum = ana.hears_of(&ana.that("appends", &original, "more")).await;
    assert_eq!((ana.states(&addendum).await, ana.mails()), (vec!["review"], 1));
    assert_eq!(says(&link).await, "ready");
    let unclear = ana.hears_of(&ana.that("completes", &original, "even more")).await;
    assert_eq!((ana.states(&unclear).await, ana.mails()), (vec!["review"], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_09_preliminary_unknown_and_unsaid_never_leave_by_themselves() {
    let ana = Ana::comes().await;
    let report = |status: Value| {
        let mut report = ehr::report(&ana.patient, PANEL, &clinic::real_now(), &paper("one"));
        report["status"] = status;
        report
    };
    for (status, state) in [("registered", None), ("partial", None), ("preliminary", None), ("unknown", Some("review"))]
    {
        let id = ana.hears_of(&report(json!(status))).await;
        assert_eq!(ana.states(&id).await, Vec::from_iter(state), "{status}");
    }
    let mut unsaid = ana.a_document("one");
    unsaid.as_object_mut().unwrap().remove("docStatus");
    assert_eq!(ana.states(&ana.hears_of(&unsaid).await).await, ["review"]);
    let mut labelled = report(json!("final"));
    labelled["meta"] = json!({"security": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
    ]});
    assert_eq!(ana.states(&ana.hears_of(&labelled).await).await, ["review"]);
    // A kind of resource that is no report is not even followed.
    let body = json!({"resourceType": "Observation", "id": "o", "status": "final"});
    assert_eq!(ana.clinic.hook(Method::POST, "", &body.to_string()).await, StatusCode::OK);
    ana.clinic.hear_and_settle().await;
    assert_eq!(ana.mails(), 0);
    assert!(ana.clinic.deliveries().await.iter().all(|brief| brief.state == "review"));
}

/// Ana, who was sent a report, and whose record is merged into another of hers.
struct Merged {
    ana: Ana,
    report: String,
    survivor: String,
    link: String,
}

impl Merged {
    async fn after_sending() -> Self {
        let ana = Ana::comes().await;
        let report = ana.hears_of(&ehr::report(&ana.patient, PANEL, &clinic::real_now(), &paper("one"))).await;
        let link = ana.link(1).await;
        let survivor = ehr::new_patient_id();
        ana.clinic.lab().update(&ehr::patient(&survivor, "Garcia", "Ana", "1984-05-06", MOVED)).await;
        Self { ana, report, survivor, link }
    }

    /// What the EHR says of both records from now on; found by the reading of what is out.
    async fn says_that_it_is(&self, kind: Option<&str>) {
        let mut patient = ehr::patient(&self.ana.patient, "Garcia", "Ana", "1984-05-06", ANA);
        if let Some(kind) = kind {
            let other = format!("Patient/{}", self.survivor);
            patient["link"] = json!([{"other": {"reference": other}, "type": kind}]);
        }
        self.ana.clinic.lab().update(&patient).await;
        self.ana.rechecked().await;
    }

    async fn states(&self) -> Vec<&'static str> {
        self.ana.states(&self.report).await
    }

    fn mails(&self) -> (usize, usize) {
        (self.ana.mails(), self.ana.clinic.mails_to(MOVED).len())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_10_a_record_that_was_merged_after_sending_refuses_the_link_and_only_a_person_sends_to_the_other() {
    let merged = Merged::after_sending().await;
    merged.says_that_it_is(Some("replaced-by")).await;
    assert_eq!((says(&merged.link).await.as_str(), merged.states().await), ("recalled", vec!["revoked", "review"]));
    let brief = merged.ana.clinic.delivery_of(&merged.report).await;
    assert!(brief.note.contains("merged into another"), "{}", brief.note);
    for _ in 0..3 {
        merged.ana.rechecked().await;
        merged.ana.changes("DiagnosticReport", &merged.report, |report| report["language"] = json!("en")).await;
    }
    assert_eq!((merged.mails(), merged.states().await), ((1, 0), vec!["revoked", "review"]));
    merged.ana.clinic.desk().release(&brief.id, None).await.unwrap();
    merged.ana.clinic.settle().await;
    assert_eq!((merged.mails(), merged.states().await), ((1, 1), vec!["revoked", "live"]));
    // The merge is known, and refuses nothing again.
    merged.ana.rechecked().await;
    merged.ana.rechecked().await;
    assert_eq!((merged.mails(), merged.states().await), ((1, 1), vec!["revoked", "live"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_10_records_that_are_only_related_are_never_taken_for_one() {
    for kind in ["seealso", "refer", "replaces"] {
        let merged = Merged::after_sending().await;
        merged.says_that_it_is(Some(kind)).await;
        merged.ana.clinic.hear_and_settle().await;
        assert_eq!((says(&merged.link).await.as_str(), merged.states().await), ("ready", vec!["live"]), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_10_an_undone_merge_sends_nothing_again_by_itself_and_refuses_what_went_to_the_other_record() {
    let merged = Merged::after_sending().await;
    merged.says_that_it_is(Some("replaced-by")).await;
    merged.says_that_it_is(None).await;
    merged.ana.changes("DiagnosticReport", &merged.report, |report| report["language"] = json!("en")).await;
    merged.ana.clinic.hear_and_settle().await;
    assert_eq!(merged.mails(), (1, 0), "the undone merge sent the report again");
    let open = merged.states().await;
    assert_eq!(open.last(), Some(&"review"), "{open:?}");
    drop(merged);
    // What a person sent to the other record is refused when the merge is undone after it.
    let merged = Merged::after_sending().await;
    merged.says_that_it_is(Some("replaced-by")).await;
    let waiting = merged.ana.clinic.delivery_of(&merged.report).await.id;
    merged.ana.clinic.desk().release(&waiting, None).await.unwrap();
    merged.ana.clinic.settle().await;
    let theirs = merged.ana.clinic.mailbox.wait_for(MOVED, 1).await.link();
    merged.says_that_it_is(None).await;
    assert_eq!((says(&theirs).await.as_str(), merged.mails()), ("recalled", (1, 1)));
    assert_eq!(merged.states().await.last(), Some(&"review"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_10_a_report_of_a_record_that_was_merged_before_waits_and_one_merged_into_nothing_too() {
    let ana = Ana::comes().await;
    let mut patient = ehr::patient(&ana.patient, "Garcia", "Ana", "1984-05-06", ANA);
    patient["link"] = json!([{"other": {"reference": "Patient/nobody-anywhere"}, "type": "replaced-by"}]);
    ana.clinic.lab().update(&patient).await;
    let report = ana.hears_of(&ehr::report(&ana.patient, PANEL, &clinic::real_now(), &paper("one"))).await;
    assert_eq!((ana.states(&report).await, ana.mails()), (vec!["review"], 0));
    let waiting = ana.clinic.delivery_of(&report).await;
    assert!(waiting.note.contains("merged into another"), "{}", waiting.note);
    ana.clinic.desk().release(&waiting.id, None).await.unwrap();
    ana.clinic.settle().await;
    assert_eq!((ana.states(&report).await, ana.mails()), (vec!["review"], 0), "nobody knows whose it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_10_a_surviving_record_that_fails_to_come_is_asked_for_again_and_one_that_is_refused_refuses_the_link() {
    for (status, state) in [(503, "ready"), (403, "recalled")] {
        let ehr = ehr::lease().await;
        let front = Front::start(ehr.base_url());
        let wishes = Wishes { ehr_base: Some(front.base_url.clone()), ..Wishes::default() };
        let clinic = Clinic::spawn_with(wishes, ehr, Mailbox::start(Manner::Plain).await).await;
        let patient = ehr::new_patient_id();
        clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
        let ana = Ana { clinic, patient };
        let report = ana.hears_of(&ehr::report(&ana.patient, PANEL, &clinic::real_now(), &paper("one"))).await;
        let (link, survivor) = (ana.link(1).await, ehr::new_patient_id());
        ana.clinic.lab().update(&ehr::patient(&survivor, "Garcia", "Ana", "1984-05-06", MOVED)).await;
        let merged = Merged { ana, report, survivor, link };
        let refused = Reply::Whole { status, kind: "application/fhir+json", body: b"{}".to_vec() };
        front.script(&format!("Patient/{}", merged.survivor), [refused]);
        merged.says_that_it_is(Some("replaced-by")).await;
        assert_eq!(says(&merged.link).await, state, "{status}");
        front.script(&format!("Patient/{}", merged.survivor), [Reply::PassedOn]);
        merged.ana.rechecked().await;
        merged.ana.clinic.hear_and_settle().await;
        assert_eq!((says(&merged.link).await.as_str(), merged.mails()), ("recalled", (1, 0)), "{status}");
        assert_eq!(merged.states().await.last(), Some(&"review"), "{status}");
    }
}

/// More versions than reports are read in one turn; a smaller number than an EHR would bump, through the front door.
#[tokio::test(flavor = "multi_thread")]
async fn event_08_an_index_run_that_bumps_every_version_sends_nothing() {
    const REPORTS: usize = 24;
    let ana = Ana::comes().await;
    let mut reports = Vec::new();
    for number in 0..REPORTS {
        let (patient, paper) = (ehr::new_patient_id(), paper(&format!("{number}")));
        let email = format!("{patient}@example.test");
        ana.clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", &email)).await;
        let resource = if number % 3 == 0 {
            ehr::document(&patient, PANEL, &clinic::real_now(), &paper)
        } else {
            ehr::report(&patient, LETTER, &clinic::real_now(), &paper)
        };
        let kind = resource["resourceType"].as_str().unwrap().to_owned();
        reports.push((kind, ana.clinic.lab().post(&resource).await));
    }
    ana.clinic.hear_and_settle().await;
    let (mails, deliveries) = (ana.clinic.mailbox.mails().len(), ana.clinic.deliveries().await.len());
    assert_eq!((mails, deliveries), (REPORTS, REPORTS));
    for run in 0..3 {
        for (kind, id) in &reports {
            let reindexed = |report: &mut Value| report["meta"]["tag"] = json!([{"code": format!("index-{run}")}]);
            ana.clinic.lab().change(kind, id, reindexed).await;
        }
        ana.clinic.hear_and_settle().await;
    }
    assert_eq!((ana.clinic.mailbox.mails().len(), ana.clinic.deliveries().await.len()), (mails, deliveries));
}

/// The hook's reading of what is out comes before new reports that were heard long before it.
#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_recall_is_read_before_new_reports_that_were_heard_first() {
    const BACKLOG: usize = 40;
    let ana = Ana::comes().await;
    let sent = ana.hears_of(&ehr::report(&ana.patient, PANEL, &clinic::real_now(), &paper("one"))).await;
    let link = ana.link(1).await;
    let heard =
        |id: &str| json!({"resourceType": "DiagnosticReport", "id": id, "meta": {"versionId": "2"}}).to_string();
    for number in 0..BACKLOG {
        assert_eq!(ana.clinic.hook(Method::POST, "", &heard(&format!("new-{number}"))).await, StatusCode::OK);
    }
    while ana.clinic.steps.intake.turn().await.unwrap() > 0 {}
    let error = |report: &mut Value| report["status"] = json!("entered-in-error");
    ana.clinic.lab().change("DiagnosticReport", &sent, error).await;
    assert_eq!(ana.clinic.hook(Method::POST, "", &heard(&sent)).await, StatusCode::OK);
    while ana.clinic.steps.intake.turn().await.unwrap() > 0 {}
    let lab = ana.clinic.steps.resolve.ehrs[0].client.id().clone();
    assert_eq!(ana.clinic.steps.resolve.alarm_turn_of(&lab).await.unwrap(), 1, "it alone is urgent");
    assert_eq!(says(&link).await, "recalled");
    let key = ResourceKey { ehr: lab, kind: ResourceType::DiagnosticReport, id: FhirId::parse("new-0").unwrap() };
    let unread = ana
        .clinic
        .ground
        .store
        .read(move |conn| store::source_of(conn, &key, chartseal::record::Addressee::Patient))
        .await
        .unwrap();
    assert!(unread.unwrap().read_at.is_none());
    ana.clinic.settle().await;
}

/// What was kept was looked into in its order, one event after the other: a recall waited for the end of the burst before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_recall_stood_behind_a_heap_of_events_that_nobody_had_looked_into() {
    const HEAP: usize = 200;
    let ana = Ana::comes().await;
    let sent = ana.hears_of(&ehr::report(&ana.patient, PANEL, &clinic::real_now(), &paper("one"))).await;
    let link = ana.link(1).await;
    let heard = |id: &str| json!({"resourceType": "DiagnosticReport", "id": id}).to_string();
    for number in 0..HEAP {
        assert_eq!(ana.clinic.hook(Method::POST, "", &heard(&format!("new-{number}"))).await, StatusCode::OK);
    }
    let error = |report: &mut Value| report["status"] = json!("entered-in-error");
    ana.clinic.lab().change("DiagnosticReport", &sent, error).await;
    ana.clinic.forward(Duration::from_secs(1));
    assert_eq!(ana.clinic.hook(Method::POST, "", &heard(&sent)).await, StatusCode::OK);
    let looked_into = ana.clinic.steps.intake.turn().await.unwrap();
    assert!(looked_into < HEAP, "a part of the heap: {looked_into}");
    let lab = ana.clinic.steps.resolve.ehrs[0].client.id().clone();
    assert_eq!(ana.clinic.steps.resolve.alarm_turn_of(&lab).await.unwrap(), 1);
    assert_eq!(says(&link).await, "recalled");
    ana.clinic.settle().await;
}

/// Every reading that the workers may have at once hangs, and more wait behind them.
#[tokio::test(flavor = "multi_thread")]
async fn event_08_a_recall_is_obeyed_while_every_other_reading_hangs() {
    const HANGING: usize = 8 * EHR_WORKERS_MAX;
    let (double, mailbox) = (EhrDouble::start().await, Mailbox::start(Manner::Plain).await);
    let wishes = Wishes {
        ehr_base: Some(double.base_url.clone()),
        ehr_more: "answer_seconds = 300".to_owned(),
        workers: Workers::Spawned,
        ..Wishes::default()
    };
    let clinic = Clinic::spawn_with(wishes, ehr::lease().await, mailbox).await;
    double.put(&ehr::patient("ana", "Garcia", "Ana", "1984-05-06", ANA));
    let mut report = ehr::report("ana", PANEL, &clinic::real_now(), &paper("one"));
    report["id"] = json!("one");
    double.put(&report);
    let heard = |id: &str, version: &str| {
        json!({"resourceType": "DiagnosticReport", "id": id, "meta": {"versionId": version}}).to_string()
    };
    assert_eq!(clinic.hook(Method::POST, "", &heard("one", "1")).await, StatusCode::OK);
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    let until = CancellationToken::new();
    let hang = until.clone();
    double.behave(
        move |asked| {
            if asked.target.contains("/slow-") { Act::AsUsualAfter(hang.clone()) } else { Act::AsUsual }
        },
    );
    for number in 0..2 * HANGING {
        assert_eq!(clinic.hook(Method::POST, "", &heard(&format!("slow-{number}"), "1")).await, StatusCode::OK);
    }
    wait::until("all readings to hang", || {
        let hanging = double.asked().iter().filter(|asked| asked.target.contains("/slow-")).count();
        (hanging >= HANGING).then_some(())
    })
    .await;
    report["status"] = json!("entered-in-error");
    double.put(&report);
    assert_eq!(clinic.hook(Method::POST, "", &heard("one", "2")).await, StatusCode::OK);
    wait::until_async("the recall", async || (says(&link).await == "recalled").then_some(())).await;
    until.cancel();
}
