//! Results of which no document is made, and why.

use serde_json::{Value, json};

use super::results::{Case, instead_of_value, observation, read_from};
use super::scripted::{Say, ScriptedEhr, answer, fhir};
use super::*;
use crate::base::millis;

#[tokio::test]
async fn what_a_result_says_and_no_document_shows_is_for_a_person() {
    let code_alone = json!({"coding": [{"system": "http://loinc.org", "code": "2345-7"}]});
    for (changes, why) in [
        (vec![("status", json!("preliminary"))], "result[0] is not final"),
        (vec![("status", json!("cancelled"))], "result[0] was cancelled"),
        (vec![("status", json!("entered-in-error"))], "result[0] was entered in error"),
        (vec![("status", json!("unknown"))], "result[0] does not say whether it is final"),
        (vec![("subject", json!({"reference": "Patient/pat-2"}))], "result[0] is not of the report's patient"),
        (vec![("subject", Value::Null)], "result[0] does not say whose it is"),
        (vec![("code", code_alone.clone())], "result[0].code has no words, only a code"),
        (vec![("valueString", Value::Null)], "result[0] has no value, and does not say why"),
        (vec![("valueInteger", json!(1))], "result[0].value[x] is there more than once"),
        (vec![("dataAbsentReason", json!({"text": "none"}))], "result[0] has a value and says why it has none"),
        (
            vec![("modifierExtension", json!([{"url": "http://x.test/not", "valueBoolean": true}]))],
            "result[0] carries an extension that changes its meaning",
        ),
        (
            vec![("code", json!({"text": "Glucose", "modifierExtension": [{"url": "http://x.test/not"}]}))],
            "result[0] carries an extension that changes its meaning",
        ),
        (vec![("implicitRules", json!("http://x.test"))], "result[0] carries an extension that changes its meaning"),
        (vec![("focus", json!([{"reference": "Patient/fetus"}]))], "result[0] holds an element that is not shown"),
        (vec![("Ana García", json!(1))], "result[0] holds an element that is not shown"),
        (
            vec![("derivedFrom", json!([{"reference": "Media/m"}]))],
            "result[0].derivedFrom[0] is something that is not shown",
        ),
        (
            vec![("text", json!({"status": "additional", "div": "<div>more</div>"}))],
            "result[0] has a narrative that may say more than its elements",
        ),
        (
            vec![("_valueString", json!({"extension": [{"url": "http://x.test/e"}]}))],
            "result[0].valueString carries an extension that is not shown",
        ),
        (vec![("valueString", json!("a\u{202e}b"))], "result[0].value[x] holds characters that cannot be shown"),
        (vec![("valueString", json!("a\u{fffd}b"))], "result[0].value[x] holds characters that cannot be shown"),
        (vec![("interpretation", json!([code_alone]))], "result[0].interpretation[0] has no words, only a code"),
        (vec![("referenceRange", json!([{"low": {"unit": "g"}}]))], "result[0].referenceRange[0].low has no number"),
        (
            vec![("referenceRange", json!([{"appliesTo": [{"text": "x"}]}]))],
            "result[0].referenceRange[0] has neither limits nor text",
        ),
        (vec![("note", json!([{"authorString": "x"}]))], "result[0].note[0] has no text"),
        (
            vec![("component", json!([{"code": {"text": "x"}}]))],
            "result[0].component[0] has no value, and does not say why",
        ),
        (
            vec![("hasMember", json!([{"reference": "QuestionnaireResponse/q"}]))],
            "result[0].hasMember[0] is of a type that is not shown",
        ),
        (vec![("hasMember", json!([{"reference": "Observation/o"}]))], "result[0] is a panel that holds itself"),
        (
            vec![("specimen", json!({"reference": "https://other.test/fhir/Specimen/s"}))],
            "result[0].specimen is on another server",
        ),
        (vec![("id", json!("another"))], "result[0] is no longer in the EHR"),
    ] {
        let said = Case::of(observation(&changes)).why_not().await;
        assert!(said.ends_with(&format!("cannot be shown as they are: {why}")), "{changes:?}: {said}");
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_shown_is_for_a_person() {
    let absent = |code: &str| json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": code}]});
    for (name, value, why) in [
        ("valueSampledData", json!({"data": "1 2 3"}), "value[x] is a series of samples, which is not shown"),
        ("valueAttachment", json!({"url": "x"}), "value[x] is a file, which is not shown"),
        ("valueReference", json!({"reference": "x"}), "holds an element that is not shown"),
        ("valueQuantity", json!({"unit": "g"}), "value[x] has no number"),
        ("valueQuantity", json!({"value": "7"}), "value[x] has a value that is no number"),
        ("valueQuantity", json!({"value": 7, "comparator": "ad"}), "value[x] has a comparator that is not shown"),
        (
            "valueQuantity",
            json!({"value": 7, "extension": [{"url": "http://x.test/uncertainty"}]}),
            "value[x] carries an extension that is not shown",
        ),
        ("valueRange", json!({"id": "x"}), "value[x] has neither end"),
        ("valueRatio", json!({"numerator": {"value": 1}}), "value[x] has no denominator"),
        ("valueInteger", json!(1.5), "value[x] is no whole number"),
        ("valueBoolean", json!("true"), "value[x] is neither true nor false"),
        ("valueTime", json!("noon"), "value[x] is no time of day"),
        ("valueDateTime", json!("yesterday"), "value[x] is no date or time"),
        ("dataAbsentReason", absent("masked"), "dataAbsentReason says that the value is kept back"),
        (
            "dataAbsentReason",
            absent("as-text"),
            "dataAbsentReason says that the value stands in the narrative, which is not shown",
        ),
        ("dataAbsentReason", absent("other"), "dataAbsentReason has no words, only a code"),
    ] {
        let said = instead_of_value(name, value).why_not().await;
        assert!(said.ends_with(why), "{name}: {said}");
    }
}

#[tokio::test]
async fn what_the_report_says_and_no_document_shows_is_for_a_person() {
    for (name, value, why) in [
        ("media", json!([{"link": {"reference": "Media/m"}}]), "the report names images, which are not shown"),
        ("imagingStudy", json!([{"reference": "ImagingStudy/i"}]), "the report names images, which are not shown"),
        (
            "presentedForm",
            json!([{"contentType": "application/pdf"}]),
            "the report names a document that it does not carry",
        ),
        ("text", json!({"status": "additional"}), "the report has a narrative that may say more than its elements"),
        (
            "result",
            json!([{"display": "See the other paper"}]),
            "result[0] cannot be read: it is on another server or named by words alone",
        ),
        ("result", json!([{"reference": "#nobody"}]), "result[0] is not inside the report, as it says"),
        ("contained", json!([observation(&[])]), "the report holds a result that nothing names"),
        ("effectiveTiming", json!({}), ""),
    ] {
        let mut case = Case::of(observation(&[]));
        case.report[name] = value;
        if why.is_empty() {
            assert!(case.read().await.why_nothing().is_none(), "{name}");
        } else {
            let said = case.why_not().await;
            assert!(said.ends_with(why), "{name}: {said}");
        }
    }
}

/// Where the members of an element are listed one by one: every object but references and what says nothing of the result.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    const SILENT: &[&str] = &["meta", "text", "identifier", "basedOn", "category", "encounter", "contained"];
    match value {
        Value::Object(members) => {
            if !members.contains_key("reference") && !members.keys().all(|name| name == "display") {
                found.push(at.to_owned());
            }
            for (name, member) in
                members.iter().filter(|(name, member)| !SILENT.contains(&name.as_str()) || member.is_string())
            {
                places(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn whatever_an_element_holds_besides_is_for_a_person() {
    let whole = Case::whole();
    let mut named: Vec<(String, Value)> = whole.resources.clone().into_iter().collect();
    named.push((String::new(), whole.report.clone()));
    let mut count = 0;
    for (name, resource) in named {
        let mut all = Vec::new();
        places(&resource, "", &mut all);
        for at in all {
            for (member, value) in [("more", json!("x")), ("modifierExtension", json!([{"url": "http://x.test/not"}]))]
            {
                let mut case = whole.clone();
                let changed = if name.is_empty() { &mut case.report } else { &mut case.resources[&name] };
                changed.pointer_mut(&at).unwrap()[member] = value;
                let said = case.read().await.why_nothing();
                assert!(said.is_some(), "{member} at {at} of {name} is passed over");
                count += 1;
            }
        }
    }
    assert!(count > 140, "only {count} places were tried");
}

#[tokio::test]
async fn panels_are_bounded_in_depth_number_and_bytes() {
    let member = |id: &str| json!([{"reference": format!("Observation/{id}")}]);
    let link = |id: &str, next: &str| {
        observation(&[("id", json!(id)), ("valueString", Value::Null), ("hasMember", member(next))])
    };
    let mut deep = Case::of(link("o", "a"));
    for (id, next) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f")] {
        deep = deep.with(link(id, next));
    }
    assert!(deep.why_not().await.contains("is nested deeper than Chartseal reads"));

    // Each of two panels holds the other.
    let circle = Case::of(link("o", "a")).with(link("a", "o"));
    assert!(circle.why_not().await.contains("is a panel that holds itself"));

    let case = Case::whole();
    let ehr = case.ehr().await;
    let few = read_from(&ehr.base, |limits| limits.members_max = 3).await;
    assert!(few.why_nothing().unwrap().ends_with("the report names more results than Chartseal reads"));
    assert!(ehr.asked().len() <= 4);
}

#[tokio::test]
async fn an_ehr_that_does_not_show_a_result_now_is_not_one_that_has_none() {
    let case = Case::of(observation(&[]));
    for (say, is_for_later) in [
        (fhir(503, &json!({"resourceType": "OperationOutcome"})), true),
        (fhir(403, &json!({"resourceType": "OperationOutcome"})), true),
        (answer(404, "Content-Type: text/html\r\n", b"<html>"), true),
        (
            Say::Bytes(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 900\r\n\r\n{".to_vec(),
            ),
            true,
        ),
        (fhir(404, &json!({"resourceType": "OperationOutcome"})), false),
        (fhir(410, &json!({"resourceType": "OperationOutcome"})), false),
        (fhir(200, &json!({"resourceType": "Observation", "id": "other"})), false),
        (fhir(200, &json!({"resourceType": "Patient", "id": "o"})), false),
        (answer(200, "Content-Type: application/fhir+json\r\n", b"{"), false),
    ] {
        let ehr = ScriptedEhr::knowing(vec![
            ("DiagnosticReport/r1".to_owned(), fhir(200, &case.report)),
            ("Observation/o".to_owned(), say),
        ])
        .await;
        let report = read_from(&ehr.base, |_| {}).await;
        let why = report.why_nothing().unwrap();
        assert_eq!(matches!(report.written, Written::Unread { .. }), is_for_later, "{why}");
    }
    let silent = ScriptedEhr::knowing(vec![
        ("DiagnosticReport/r1".to_owned(), fhir(200, &case.report)),
        ("Observation/o".to_owned(), Say::ThenSilence(Vec::new())),
    ])
    .await;
    let late = read_from(&silent.base, |limits| limits.gather_timeout = millis(300)).await;
    assert!(matches!(&late.written, Written::Unread { why } if why == "the EHR did not show all results in time"));
}

#[tokio::test]
async fn a_specimen_that_says_more_than_is_shown_is_for_a_person() {
    for (name, value, why) in [
        ("status", json!("unsatisfactory"), "is not fit to be examined, or nobody knows whether"),
        ("subject", json!({"reference": "Patient/pat-2"}), "is not of the report's patient"),
        ("type", json!({"coding": [{"code": "1"}]}), "type has no words, only a code"),
    ] {
        let mut case = Case::whole();
        case.resources["Specimen/blood"][name] = value;
        let said = case.why_not().await;
        assert!(said.ends_with(why), "{name}: {said}");
    }
}
