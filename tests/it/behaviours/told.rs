//! Behaviour 15, the part of write-back: what a real EHR is told, what its staff answer, and what is never in it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Database, Wishes};
use crate::support::ehr;
use crate::support::holder::{Holder, WholeLink};
use crate::support::planted::{self, Planted, assert_absent};
use crate::support::program;
use crate::support::{pdf, wait};

const PANEL: &str = "24323-8";
pub(super) const ALL: &str = "write_back = [\"communication\", \"audit_event\", \"provenance\", \"task\"]";

fn rules(then: &str) -> String {
    format!(
        "[policy]\nid = \"t\"\nversion = \"1\"\n[[profile]]\nid = \"panels\"\nwhen = {{ code = \"loinc|24323-8\" }}\n\
         then = {{ {then} }}\n"
    )
}

const THREE_OPENINGS: &str = "action = \"send\", expiry = \"48h\", opens = 3, channel = [\"email\"]";
const AFTER_A_TALK: &str =
    "action = \"send\", expiry = \"48h\", opens = 3, channel = [\"email\"], requires = \"discussed\"";

async fn clinic_that_tells(database: Database, then: &str, more: &str) -> Clinic {
    let ehr_more = format!("{ALL}\n{more}");
    Clinic::spawn(Wishes { database, rules: rules(then), ehr_more, ..Wishes::default() }).await
}

/// What the EHR holds of one type about this patient.
async fn told(clinic: &Clinic, kind: &str, patient: &str) -> Vec<Value> {
    let reference = format!("Patient/{patient}");
    let all = clinic.lab().all(kind).await;
    all.into_iter().filter(|one| one.to_string().contains(&format!("\"{reference}\""))).collect()
}

async fn planted_report(clinic: &Clinic) -> (String, String) {
    let id = ehr::new_patient_id();
    let (family, given, birth) = (planted::FAMILY.value, planted::GIVEN.value, planted::BIRTH_DATE.value);
    let mut patient = ehr::patient(&id, family, given, birth, planted::EMAIL.value);
    patient["identifier"][0]["value"] = json!(planted::MRN.value);
    clinic.lab().update(&patient).await;
    let paper = pdf::with_pages(&[planted::REPORT_TEXT.value]);
    let mut report = ehr::report(&id, PANEL, &clinic::real_now(), &paper);
    report["code"]["text"] = json!(planted::CODE_TEXT.value);
    let report = clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    (id, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_message_its_opening_and_where_the_report_went_are_told_once_on_sqlite() {
    told_once(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_message_its_opening_and_where_the_report_went_are_told_once_on_postgresql() {
    told_once(Database::Postgres).await;
}

async fn told_once(database: Database) {
    let clinic = clinic_that_tells(database, THREE_OPENINGS, "").await;
    let (patient, report) = planted_report(&clinic).await;
    let link = clinic.mailbox.wait_for(planted::EMAIL.value, 1).await.link();
    clinic.settle().await;
    let about = format!("DiagnosticReport/{report}/_history/1");
    let [message] = &told(&clinic, "Communication", &patient).await[..] else { panic!("one Communication") };
    assert_eq!((&message["status"], &message["about"][0]["reference"]), (&json!("completed"), &json!(about)));
    assert!(message["sent"].is_string() && message["received"].is_null(), "{message}");
    assert_eq!(told(&clinic, "AuditEvent", &patient).await.len(), 0, "nothing was disclosed so far");

    Holder::new(&link).claim_and_read().await;
    Holder::new(&link).claim_and_read().await;
    clinic.settle().await;
    clinic.hear_and_settle().await;
    let [message] = &told(&clinic, "Communication", &patient).await[..] else { panic!("one Communication") };
    assert!(message["received"].as_str() >= message["sent"].as_str(), "{message}");
    let [disclosure] = &told(&clinic, "AuditEvent", &patient).await[..] else { panic!("one AuditEvent") };
    assert_eq!(disclosure["entity"][1]["what"]["reference"], json!(about));
    let all = clinic.lab().all("Provenance").await;
    let went: Vec<&Value> = all.iter().filter(|one| one["target"][0]["reference"] == json!(about)).collect();
    assert_eq!(went.len(), 1, "one Provenance");
    assert_eq!(told(&clinic, "Task", &patient).await.len(), 0, "nobody has to do anything");

    let whole = WholeLink::read(&link);
    let (id, secret) = (whole.id.to_string(), link.split_once('#').unwrap().1.to_owned());
    for text in [message, disclosure, went[0]].map(ToString::to_string) {
        let nothing = [planted::PATIENT_DATA.as_slice()].concat();
        let nothing: Vec<Planted> = nothing.into_iter().filter(|one| *one != planted::PATIENT_ID).collect();
        assert_absent("what the EHR is told", text.as_bytes(), &nothing);
        assert!(!text.contains(&id) && !text.contains(&secret) && !text.contains("/r/"), "a link is told");
        assert!(!text.contains("127.0.0.1") && !text.contains('@'), "an address is told: {text}");
    }
    // Nothing of it came back as an event.
    assert_eq!((clinic.deliveries().await.len(), clinic.mailbox.mails().len()), (1, 1));
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    let told: Vec<_> = shown.told.iter().map(|one| (one.resource, one.fact, one.state)).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|(.., state)| *state == "written"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_task_asks_for_what_a_person_must_do_and_ends_when_it_is_done_here() {
    let clinic = clinic_that_tells(Database::Sqlite, "action = \"manual_review\"", "").await;
    let (patient, report) = planted_report(&clinic).await;
    let [task] = &told(&clinic, "Task", &patient).await[..] else { panic!("one Task") };
    assert_eq!((&task["status"], &task["code"]["coding"][0]["code"]), (&json!("requested"), &json!("review")));
    assert_eq!(task["focus"]["reference"], json!(format!("DiagnosticReport/{report}/_history/1")));
    clinic.desk().release(&clinic.only_delivery().await.id, None).await.unwrap();
    clinic.settle().await;
    let [task] = &told(&clinic, "Task", &patient).await[..] else { panic!("one Task") };
    assert_eq!(
        (&task["status"], &task["businessStatus"]["coding"][0]["code"]),
        (&json!("cancelled"), &json!("settled"))
    );
    let link = clinic.mailbox.wait_for(planted::EMAIL.value, 1).await.link();
    drop(link);

    // Nobody opens it.
    clinic.forward(Duration::from_hours(24 * 8));
    clinic.settle().await;
    let tasks = told(&clinic, "Task", &patient).await;
    let open: Vec<&Value> = tasks.iter().filter(|one| one["status"] == "requested").collect();
    assert_eq!((clinic.only_delivery().await.state, open.len()), ("expired", 1), "{tasks:#?}");
    assert_eq!(open[0]["code"]["coding"][0]["code"], "unopened");
    let told = program::run(&clinic.config_path, &["ehrs", "write-backs", "lab"]);
    assert!(told.code == 0 && told.out.contains("unopened") && told.out.contains("open"), "{}", told.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_report_that_is_taken_back_after_it_was_read_is_a_task() {
    let clinic = clinic_that_tells(Database::Sqlite, THREE_OPENINGS, "").await;
    let (patient, report) = planted_report(&clinic).await;
    let link = clinic.mailbox.wait_for(planted::EMAIL.value, 1).await.link();
    Holder::new(&link).claim_and_read().await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!("entered-in-error")).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.state, "recalled");
    let [task] = &told(&clinic, "Task", &patient).await[..] else { panic!("one Task") };
    assert_eq!(
        (&task["priority"], &task["code"]["coding"][0]["code"]),
        (&json!("urgent"), &json!("read-then-taken-back"))
    );
    assert!(task["focus"]["reference"].is_null(), "the report may be gone: it is named, not referred to");
}

/// The clinician who completes the Task at the EHR, and what it says then.
async fn completes(clinic: &Clinic, patient: &str, change: impl FnOnce(&mut Value)) {
    let task = told(clinic, "Task", patient).await.remove(0);
    let id = task["id"].as_str().unwrap().to_owned();
    clinic
        .lab()
        .change("Task", &id, |task| {
            task["status"] = json!("completed");
            task["owner"] = json!({"reference": "Practitioner/dr-7"});
            change(task);
        })
        .await;
    clinic.forward(Duration::from_mins(11));
    clinic.settle().await;
}

fn said_in(shown: &chartseal::desk::Shown, event: &str) -> Vec<Value> {
    shown.audit.iter().filter(|line| line["event"] == event).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_talk_that_was_completed_at_the_ehr_counts_where_the_clinic_said_so() {
    let clinic = clinic_that_tells(Database::Sqlite, AFTER_A_TALK, "completed_talk = \"counts\"").await;
    let (patient, _) = planted_report(&clinic).await;
    assert_eq!(clinic.only_delivery().await.state, "held");
    completes(&clinic, &patient, |_| ()).await;
    clinic.mailbox.wait_for(planted::EMAIL.value, 1).await;
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    assert_eq!(shown.brief.state, "live");
    let talk = said_in(&shown, "discussed").remove(0);
    assert_eq!(
        (&talk["actor"]["ehr"], &talk["reason"]),
        (&json!("lab"), &json!("Practitioner/dr-7 completed the Task at the EHR"))
    );
    assert_eq!(said_in(&shown, "task_ended")[0]["by"], json!("Practitioner/dr-7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_completed_talk_is_only_noted_unless_the_clinic_says_that_it_counts() {
    let clinic = clinic_that_tells(Database::Sqlite, AFTER_A_TALK, "").await;
    let (patient, _) = planted_report(&clinic).await;
    completes(&clinic, &patient, |_| ()).await;
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    assert_eq!((shown.brief.state, said_in(&shown, "discussed").len()), ("held", 0));
    assert_eq!(said_in(&shown, "task_ended")[0]["how"], json!("discussed"));
    let note = shown.told.iter().find(|one| one.resource == "Task").and_then(|one| one.why.clone());
    assert_eq!(note.as_deref(), Some("at the EHR: discussed by Practitioner/dr-7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_what_is_not_a_clinicians_record_of_this_talk_lets_nothing_leave() {
    let nobody = json!({"reference": "Device/robot"});
    let not_reached = json!({"coding": [{"system": "urn:chartseal:task-end", "code": "not-reached"}]});
    for (what, name, value) in [
        ("nobody completed it", "owner", nobody),
        ("the patient was not reached", "businessStatus", not_reached),
        ("it is about another report", "focus", json!({"reference": "DiagnosticReport/other"})),
        ("it is about somebody else", "for", json!({"reference": "Patient/other"})),
        ("it was turned down", "status", json!("rejected")),
        ("it was a mistake", "status", json!("entered-in-error")),
    ] {
        let clinic = clinic_that_tells(Database::Sqlite, AFTER_A_TALK, "completed_talk = \"counts\"").await;
        let (patient, _) = planted_report(&clinic).await;
        completes(&clinic, &patient, |task| task[name] = value).await;
        let shown = clinic.show(&clinic.only_delivery().await.id).await;
        assert_eq!((shown.brief.state, said_in(&shown, "discussed").len()), ("held", 0), "{what}");
        assert_eq!(said_in(&shown, "task_ended").len(), 1, "{what} is kept and shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_nothing_is_told_in_shadow_nor_unless_the_clinic_wants_it() {
    for (send, ehr_more) in [("shadow", ALL), ("live", "")] {
        let wishes = Wishes { send, ehr_more: ehr_more.to_owned(), rules: rules(THREE_OPENINGS), ..Wishes::default() };
        let clinic = Clinic::spawn(wishes).await;
        let (patient, _) = planted_report(&clinic).await;
        clinic.settle().await;
        for kind in ["Communication", "AuditEvent", "Provenance", "Task"] {
            assert_eq!(told(&clinic, kind, &patient).await.len(), 0, "{send}: {kind}");
        }
        assert!(clinic.show(&clinic.only_delivery().await.id).await.told.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_our_mark_on_a_strangers_report_hides_nothing() {
    let clinic = clinic_that_tells(Database::Sqlite, THREE_OPENINGS, "").await;
    let id = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&id, "Garcia", "Ana", "1984-05-06", "marked@example.test")).await;
    let mut report = ehr::report(&id, PANEL, &clinic::real_now(), &pdf::with_pages(&["marked"]));
    report["meta"] = json!({"tag": [{"system": chartseal::fhir::MARK_SYSTEM, "code": chartseal::fhir::MARK}]});
    report["identifier"] = json!([{"system": chartseal::fhir::TOLD_SYSTEM, "value": "0123456789abcdef01234567"}]);
    clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for("marked@example.test", 1).await;
    // An EHR that calls for everything: what we wrote is nothing that is followed.
    let message = told(&clinic, "Communication", &id).await.remove(0);
    let path = format!("/Communication/{}", message["id"].as_str().unwrap());
    let status = clinic.hook(reqwest::Method::PUT, &path, &message.to_string()).await;
    assert!(status.is_success() || status == reqwest::StatusCode::NOT_FOUND, "{status}");
    clinic.settle().await;
    wait::until("the only delivery to stay", || Some(())).await;
    assert_eq!(clinic.deliveries().await.len(), 1);
}
