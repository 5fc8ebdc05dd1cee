//! What is written to an EHR, as FHIR R4; `Communication`, `Provenance` and `Task` are the same in R4B and R5.
//!
//! Must stay true: references, times and words of our own, and nothing else: no address, no link, no name, no content.
//! `fhir-profiles/` says the same for other programs, and a test holds both together.

use serde_json::{Value, json};

use super::{Telling, Word};
use crate::policy::{Channel, RecipientRole};
use crate::record::{ToDo, Told};

/// By this system an EHR's staff find what Chartseal wrote, and Chartseal finds it again.
pub const TOLD_SYSTEM: &str = "urn:chartseal:told";
/// What a Task asks for.
pub const TO_DO_SYSTEM: &str = "urn:chartseal:to-do";
/// How a Task ended.
pub const TASK_END_SYSTEM: &str = "urn:chartseal:task-end";
/// Marks everything that Chartseal wrote. It lets nothing pass by unread: whoever adds it to a report hides nothing.
pub const MARK_SYSTEM: &str = "urn:chartseal:mark";
pub const MARK: &str = "told";

const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";
const ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// The resource that tells `telling`.
pub(super) fn resource(telling: &Telling<'_>) -> Value {
    let mut resource = match telling.word {
        Word::Message => message(telling),
        Word::Disclosure => disclosure(telling),
        Word::Sending => sending(telling),
        Word::ToDo(to_do) => task(telling, to_do),
    };
    let mark = json!({"system": MARK_SYSTEM, "code": MARK});
    let id = telling.id.as_str();
    match telling.word.told() {
        Told::Communication | Told::Task => {
            put(&mut resource, "meta", json!({"tag": [mark]}));
            put(&mut resource, "identifier", json!([{"system": TOLD_SYSTEM, "value": id}]));
        }
        // Neither has an identifier in R4.
        Told::AuditEvent | Told::Provenance => {
            put(&mut resource, "meta", json!({"tag": [mark, {"system": TOLD_SYSTEM, "code": id}]}));
        }
    }
    resource
}

/// Under what search it is found again, for `If-None-Exist`.
pub(super) fn search_for(told: Told, id: &str) -> String {
    let parameter = match told {
        Told::Communication | Told::Task => "identifier",
        Told::AuditEvent | Told::Provenance => "_tag",
    };
    let pair = format!("{TOLD_SYSTEM}|{id}");
    url::form_urlencoded::Serializer::new(String::new()).append_pair(parameter, &pair).finish()
}

/// What a person is asked to do, in words for their list of tasks.
pub(super) const fn words_of(to_do: ToDo) -> &'static str {
    match to_do {
        ToDo::Review => "Chartseal: look at a report that waits in review, and release or revoke it",
        ToDo::Talk => "Chartseal: talk with the patient about this result, which is held until then",
        ToDo::Release => "Chartseal: release a held report, or leave it to its back-stop",
        ToDo::Unopened => {
            "Chartseal: the patient did not open this report before its link ended; reach them another way"
        }
        ToDo::ReadThenTakenBack => {
            "Chartseal: a report was taken back after somebody had opened it; tell the patient, and see who read it"
        }
    }
}

/// [`words_of`], and for whom, where that is not the patient.
fn words_for(to_do: ToDo, recipient: RecipientRole) -> String {
    let whom = match recipient {
        RecipientRole::Patient => return words_of(to_do).to_owned(),
        RecipientRole::Proxy => "who acts for the patient",
        RecipientRole::OrderingProvider => "the ordering provider",
        RecipientRole::CopyTo => "a provider who gets a copy",
        RecipientRole::ThirdParty => "a third party",
    };
    match to_do {
        ToDo::Unopened => {
            format!("Chartseal: {whom} did not open this report before the link ended; reach them another way")
        }
        ToDo::Review | ToDo::Talk | ToDo::Release | ToDo::ReadThenTakenBack => {
            format!("{} (sent, or to be sent, to {whom})", words_of(to_do))
        }
    }
}

/// Why it was disclosed (<https://terminology.hl7.org/CodeSystem-v3-ActReason.html>).
const fn purpose(telling: &Telling<'_>) -> &'static str {
    match telling.recipient {
        RecipientRole::Patient | RecipientRole::Proxy | RecipientRole::ThirdParty => "PATRQT",
        RecipientRole::OrderingProvider | RecipientRole::CopyTo => "TREAT",
    }
}

/// <https://terminology.hl7.org/CodeSystem-v3-ParticipationMode.html>
const fn medium(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "EMAILWRIT",
        Channel::Sms => "SMSWRIT",
    }
}

fn message(telling: &Telling<'_>) -> Value {
    json!({
        "resourceType": "Communication",
        "status": "completed",
        "category": [concept("http://terminology.hl7.org/CodeSystem/communication-category", "notification")],
        "medium": [concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", medium(telling.channel))],
        "subject": patient(telling),
        "about": about(telling),
        "sent": telling.at.to_rfc3339(),
        "recipient": [recipient(telling)],
        "sender": chartseal(),
    })
}

/// <https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source>
fn disclosure(telling: &Telling<'_>) -> Value {
    let entity = |what: Value, kind: &str, role: &str| {
        json!({
            "what": what,
            "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": kind},
            "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": role},
        })
    };
    let mut entities = vec![entity(patient(telling), "1", "1")];
    entities.extend(about(telling).into_iter().map(|report| entity(report, "2", "3")));
    json!({
        "resourceType": "AuditEvent",
        "type": {"system": DICOM, "code": "110106", "display": "Export"},
        "subtype": [{"system": LIFECYCLE, "code": "disclose"}],
        "action": "R",
        "recorded": telling.at.to_rfc3339(),
        "outcome": "0",
        "purposeOfEvent": [concept("http://terminology.hl7.org/CodeSystem/v3-ActReason", purpose(telling))],
        "agent": [
            {
                "type": {"coding": [{"system": DICOM, "code": "110153", "display": "Source Role ID"}]},
                "who": chartseal(),
                "requestor": false,
                "network": {"address": "chartseal", "type": "1"},
            },
            {
                "type": {"coding": [{"system": DICOM, "code": "110152", "display": "Destination Role ID"}]},
                "who": recipient(telling),
                "requestor": true,
                // From where they read it is nobody's affair.
                "network": {"_address": {"extension": [{"url": ABSENT, "valueCode": "masked"}]}, "type": "2"},
            },
        ],
        "source": {
            "observer": chartseal(),
            "type": [{"system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4"}],
        },
        "entity": entities,
    })
}

fn sending(telling: &Telling<'_>) -> Value {
    json!({
        "resourceType": "Provenance",
        "target": about(telling),
        "occurredDateTime": telling.at.to_rfc3339(),
        "recorded": telling.at.to_rfc3339(),
        "activity": concept(LIFECYCLE, "transmit"),
        "agent": [{
            "type": concept("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "performer"),
            "who": chartseal(),
        }],
    })
}

fn task(telling: &Telling<'_>, to_do: ToDo) -> Value {
    let mut code = concept(TO_DO_SYSTEM, to_do.as_str());
    let words = words_for(to_do, telling.recipient);
    put(&mut code, "text", json!(words));
    let priority = match to_do {
        ToDo::ReadThenTakenBack => "urgent",
        ToDo::Review | ToDo::Talk | ToDo::Release | ToDo::Unopened => "routine",
    };
    let mut task = json!({
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": priority,
        "code": code,
        "description": words,
        "authoredOn": telling.at.to_rfc3339(),
        "requester": chartseal(),
    });
    if telling.patient.is_some() {
        put(&mut task, "for", patient(telling));
    }
    if let Some(focus) = telling.about.first() {
        put(&mut task, "focus", focus_of(telling, to_do, focus));
    }
    task
}

/// What was taken back may be gone, and many servers refuse a reference to what is not there: it is named instead.
fn focus_of(telling: &Telling<'_>, to_do: ToDo, report: &str) -> Value {
    match to_do {
        ToDo::ReadThenTakenBack => {
            let kind = report.split('/').next().unwrap_or_default();
            let named = format!("{}{report}", telling.base.url());
            json!({"type": kind, "identifier": {"system": "urn:ietf:rfc:3986", "value": named}})
        }
        ToDo::Review | ToDo::Talk | ToDo::Release | ToDo::Unopened => json!({"reference": report}),
    }
}

fn patient(telling: &Telling<'_>) -> Value {
    match telling.patient {
        Some(patient) => json!({"reference": format!("Patient/{patient}")}),
        None => json!({"type": "Patient", "display": "not known"}),
    }
}

fn about(telling: &Telling<'_>) -> Vec<Value> {
    telling.about.iter().map(|report| json!({"reference": report})).collect()
}

/// Who got it, by role: never where.
fn recipient(telling: &Telling<'_>) -> Value {
    let role = |kind: &str, display: &str| json!({"type": kind, "display": display});
    match telling.recipient {
        RecipientRole::Patient => patient(telling),
        RecipientRole::Proxy => role("RelatedPerson", "who acts for the patient"),
        RecipientRole::OrderingProvider => role("Practitioner", "the ordering provider"),
        RecipientRole::CopyTo => role("Practitioner", "a provider who gets a copy"),
        RecipientRole::ThirdParty => role("Organization", "a third party"),
    }
}

fn chartseal() -> Value {
    json!({"type": "Device", "identifier": {"system": "urn:chartseal:device", "value": "chartseal"}, "display": "Chartseal"})
}

fn concept(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

pub(super) fn put(resource: &mut Value, name: &str, value: Value) {
    if let Some(members) = resource.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}
