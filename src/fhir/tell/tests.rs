//! What is told, and what an EHR's answers are taken for.

use serde_json::{Value, json};

use super::*;

fn base() -> ServiceBase {
    ServiceBase::new("https://ehr.test/fhir".parse().unwrap()).unwrap()
}

fn told(word: Word, check: impl FnOnce(&Telling<'_>)) {
    let (id, patient, base) = (ToldId::of(&[b"test"]), FhirId::parse("p-1").unwrap(), base());
    let about = ["DiagnosticReport/r-1/_history/2".to_owned()];
    let (recipient, channel, at) = (RecipientRole::Patient, Channel::Email, UtcMillis(1_795_000_000_000));
    check(&Telling { id: &id, word, patient: Some(&patient), recipient, channel, about: &about, at, base: &base });
}

#[test]
fn a_message_says_by_which_channel_it_went() {
    for (channel, medium) in [(Channel::Email, "EMAILWRIT"), (Channel::Sms, "SMSWRIT")] {
        told(Word::Message, |telling| {
            let resource = Telling { channel, ..*telling }.resource();
            assert_eq!(resource["medium"][0]["coding"][0]["code"], medium);
        });
    }
}

#[test]
fn everything_bears_our_mark_and_can_be_looked_for() {
    for word in [Word::Message, Word::Disclosure, Word::Sending, Word::ToDo(ToDo::Talk)] {
        told(word, |telling| {
            let resource = telling.resource();
            assert_eq!(resource["resourceType"], word.told().type_name());
            assert_eq!(resource["meta"]["tag"][0], json!({"system": MARK_SYSTEM, "code": MARK}));
            let text = resource.to_string();
            assert!(text.contains("Patient/p-1") || word == Word::Sending);
            assert!(text.contains("DiagnosticReport/r-1/_history/2"));
            let search = resources::search_for(word.told(), telling.id.as_str());
            assert!(search.ends_with(&format!("=urn%3Achartseal%3Atold%7C{}", telling.id)), "{search}");
        });
    }
}

#[test]
fn what_was_taken_back_is_named_and_not_referred_to() {
    told(Word::ToDo(ToDo::ReadThenTakenBack), |telling| {
        let task = telling.resource();
        assert!(task["focus"]["reference"].is_null(), "{task}");
        let named = &task["focus"]["identifier"]["value"];
        assert_eq!(*named, json!("https://ehr.test/fhir/DiagnosticReport/r-1/_history/2"));
        assert_eq!(task["priority"], "urgent");
    });
}

#[test]
fn an_answer_is_believed_only_when_it_says_what_was_created() {
    let answer = |status: u16, media: &str, location: Option<&str>, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(media).unwrap());
        if let Some(location) = location {
            headers.insert(reqwest::header::LOCATION, HeaderValue::from_str(location).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        created(Told::Task, status, &headers, body.as_bytes()).map(|id| id.map(|id| id.to_string()))
    };
    let made = r#"{"resourceType":"Task","id":"t-1"}"#;
    let outcome = r#"{"resourceType":"OperationOutcome"}"#;
    assert_eq!(answer(201, FHIR_JSON, None, made), Ok(Some("t-1".to_owned())));
    assert_eq!(answer(200, FHIR_JSON, None, made), Ok(Some("t-1".to_owned())));
    assert_eq!(answer(201, FHIR_JSON, Some("/fhir/Task/t-2/_history/1"), outcome), Ok(Some("t-2".to_owned())));
    assert_eq!(answer(201, FHIR_JSON, None, ""), Ok(None), "it is there, and can be looked for");
    assert!(matches!(answer(200, FHIR_JSON, None, outcome), Err(EhrError::Malformed(_))));
    assert_eq!(answer(201, "text/html", None, "<html>"), Err(EhrError::NotFhir));
    assert_eq!(answer(200, "text/html", Some("/fhir/Task/t-3"), "<html>"), Err(EhrError::NotFhir));
}

#[test]
fn a_task_is_an_answer_only_while_it_is_the_one_that_was_written() {
    let word = Word::ToDo(ToDo::Talk);
    let read = |change: &dyn Fn(&mut Value)| {
        let mut said = None;
        told(word, |telling| {
            let mut task = telling.resource();
            task["id"] = json!("t-1");
            task["status"] = json!("completed");
            task["owner"] = json!({"reference": "https://ehr.test/fhir/Practitioner/7"});
            change(&mut task);
            said = Some(TaskSaid::read(&task, telling, ToDo::Talk));
        });
        said.unwrap()
    };
    let as_is = read(&|_| ());
    assert_eq!((as_is.state, as_is.stands, as_is.end), (TaskState::Completed, TaskStands::AsWritten, TaskEnd::Unsaid));
    assert_eq!(as_is.practitioner.as_deref(), Some("Practitioner/7"));
    let bare = read(&|task| task["focus"] = json!({"reference": "https://ehr.test/fhir/DiagnosticReport/r-1"}));
    assert_eq!(bare.stands, TaskStands::AsWritten, "servers leave out the version");
    for (what, change) in [
        ("patient", json!({"for": {"reference": "Patient/p-2"}})),
        ("report", json!({"focus": {"reference": "DiagnosticReport/r-2"}})),
        ("identifier", json!({"identifier": []})),
        ("code", json!({"code": {"coding": [{"system": TO_DO_SYSTEM, "code": "unopened"}]}})),
    ] {
        let said = read(&|task| {
            for (name, value) in change.as_object().unwrap() {
                task[name] = value.clone();
            }
        });
        assert_eq!(said.stands, TaskStands::Changed, "{what}");
    }
    let end = |code: &str| json!({"coding": [{"system": TASK_END_SYSTEM, "code": code}]});
    assert_eq!(read(&|task| task["businessStatus"] = end("discussed")).end, TaskEnd::Discussed);
    assert_eq!(read(&|task| task["businessStatus"] = end("not-reached")).end, TaskEnd::Other);
    for owner in ["Device/7", "Practitioner/7/_history/1", "https://elsewhere.test/Practitioner/7", "Patient/p-1"] {
        assert_eq!(read(&|task| task["owner"] = json!({"reference": owner})).practitioner, None, "{owner}");
    }
    for (status, state) in [
        ("in-progress", TaskState::Open),
        ("rejected", TaskState::TurnedDown),
        ("entered-in-error", TaskState::EnteredInError),
        ("later", TaskState::Unclear),
    ] {
        assert_eq!(read(&|task| task["status"] = json!(status)).state, state);
    }
}
