//! Resources as an EHR answers them. For every body: reading ends, twice alike, whatever the order of its members; no
//! panic, not even one that the gate would catch; a status is never better than the body's own words, and what the rules
//! make of it sends nothing that was taken back or is not finished; an address is one that the patient's record shows.

#![no_main]

use std::sync::LazyLock;

use chartseal::base::{Contact, ResourceType, UtcMillis};
use chartseal::fhir::{
    AttachmentSource, ContactChoice, Patient, Report, ServiceBase, Subject, choose, read_patient, read_report,
};
use chartseal::policy::{Channel, Coding, Decision, Facts, Moment, RecipientRole, ReportStatus, RuleSet, decide};
use chartseal_fuzz::json;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);

static BASE: LazyLock<ServiceBase> =
    LazyLock::new(|| ServiceBase::new("https://ehr.test/fhir".parse().unwrap()).unwrap());

/// The code that every report is judged under, whatever codes it has.
const CODE: &str = "4548-4";

/// Sends what it may of that code.
static SEND_IT: LazyLock<RuleSet> = LazyLock::new(|| {
    let head = "[policy]\nid = \"all\"\nversion = \"1\"\n";
    let row =
        format!("[[profile]]\nid = \"a\"\nwhen = {{ code = \"loinc|{CODE}\" }}\nthen = {{ action = \"send\" }}\n");
    RuleSet::parse(&format!("{head}{row}")).unwrap_or_else(|errors| panic!("{errors}"))
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { json::mutate(data, size, max_size, seed) });

fuzz_target!(|body: &[u8]| {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    for kind in ResourceType::ALL {
        if let Ok(report) = read_report(kind, body, &BASE) {
            let said = said.as_ref().expect("only JSON is a report");
            judge_report(&report, said);
            let reordered = said.to_string();
            let again = read_report(kind, reordered.as_bytes(), &BASE).expect("the same in another order");
            assert_eq!(again.content_hash, report.content_hash, "the order of members changed the content");
            assert_eq!((again.status, again.status_doubt), (report.status, report.status_doubt));
        }
    }
    if let Ok(patient) = read_patient(body, &BASE) {
        judge_patient(&patient, said.as_ref().expect("only JSON is a patient"));
    }
});

fn judge_report(report: &Report, said: &Value) {
    let text = |pointer| said.pointer(pointer).and_then(Value::as_str);
    let (status, doc_status) = (text("/status"), text("/docStatus"));
    assert_eq!(text("/resourceType"), Some(report.kind.as_str()));
    assert_eq!(text("/id"), Some(report.id.as_str()));
    let allowed = match report.kind {
        ResourceType::DiagnosticReport => match report.status {
            ReportStatus::Final => status == Some("final"),
            ReportStatus::Amended => status == Some("amended"),
            ReportStatus::Corrected => status == Some("corrected"),
            ReportStatus::Appended => status == Some("appended"),
            ReportStatus::Superseded => false,
            ReportStatus::EnteredInError => status == Some("entered-in-error"),
            ReportStatus::Cancelled => status == Some("cancelled"),
            ReportStatus::Unfinished | ReportStatus::Unknown => true,
        },
        ResourceType::DocumentReference => match report.status {
            ReportStatus::Final => (status, doc_status) == (Some("current"), Some("final")),
            ReportStatus::Amended => (status, doc_status) == (Some("current"), Some("amended")),
            ReportStatus::Corrected | ReportStatus::Appended | ReportStatus::Cancelled => false,
            ReportStatus::EnteredInError => [status, doc_status].contains(&Some("entered-in-error")),
            ReportStatus::Superseded | ReportStatus::Unfinished | ReportStatus::Unknown => true,
        },
    };
    assert!(allowed, "{status:?} {doc_status:?} was read as {:?}", report.status);
    let is_withdrawn = status == Some("entered-in-error")
        || (report.kind == ResourceType::DocumentReference && doc_status == Some("entered-in-error"));
    assert_eq!(report.status == ReportStatus::EnteredInError, is_withdrawn, "a recall and its status part");
    assert_eq!(report.status == ReportStatus::Unknown, report.status_doubt.is_some());
    if let Subject::Patient(id) = &report.subject {
        let reference = text("/subject/reference").unwrap_or_default();
        assert!(reference.contains(&format!("Patient/{id}")), "the subject is another patient");
    }
    let is_modified = said.get("modifierExtension").is_some_and(says_something);
    assert!(!is_modified || !report.unknown_modifiers.is_empty(), "a modifier was overlooked");
    for attachment in &report.attachments {
        if let AttachmentSource::Inline(data) = &attachment.source {
            assert!(!data.expose().contains(char::is_whitespace));
        }
    }
    judge_decision(report);
}

/// Empty members are read as if they were not there.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => items.iter().any(says_something),
        Value::Object(members) => members.values().any(says_something),
    }
}

fn judge_decision(report: &Report) {
    let facts = Facts {
        recipient: RecipientRole::Patient,
        clinic: None,
        kind: report.kind,
        status: report.status,
        codes: vec![Coding { system: Some("http://loinc.org".to_owned()), code: CODE.to_owned() }],
        categories: report.categories.clone(),
        issued: report.issued,
        ..Facts::bare(report.kind, report.status)
    };
    let may_leave = matches!(
        report.status,
        ReportStatus::Final | ReportStatus::Amended | ReportStatus::Corrected | ReportStatus::Appended
    );
    let is_sent = matches!(decide(&SEND_IT, &facts, Moment::utc(NOW)).decision, Decision::Send { .. });
    assert_eq!(is_sent, may_leave, "{:?}", report.status);
}

fn judge_patient(patient: &Patient, said: &Value) {
    assert_eq!(said.pointer("/id").and_then(Value::as_str), Some(patient.id.as_str()));
    match choose(patient, None, NOW).by(Channel::Email) {
        ContactChoice::One { contact: Contact::Phone(_), .. } => panic!("a number was chosen as an address"),
        ContactChoice::One { contact: Contact::Email(address), explanation, .. } => {
            assert!(patient.active && !patient.deceased, "somebody who is not there was chosen");
            let shows = |entry: &Value| {
                let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
                let same = text("value").trim().eq_ignore_ascii_case(address.expose());
                same && text("system") == "email" && text("use") != "old"
            };
            let entries = said.get("telecom").and_then(Value::as_array);
            assert!(entries.is_some_and(|entries| entries.iter().any(shows)), "an address was made up");
            assert!(!explanation.contains('@'), "an address is in a text for staff");
        }
        ContactChoice::None { why } => assert!(!why.contains('@'), "an address is in a text for staff"),
        ContactChoice::Tie | ContactChoice::PatientUnusable { .. } => {}
    }
}
