//! Walking what changed: windows, pages, and servers that get them wrong.

use std::num::NonZeroU16;

use serde_json::{Value, json};

use super::scripted::{Say, ScriptedEhr, answer, fhir};
use super::*;
use crate::base::{ResourceType, UtcMillis};

const KIND: ResourceType = ResourceType::DiagnosticReport;

fn window() -> Window {
    let at = |text| UtcMillis::parse_rfc3339(text).unwrap();
    Window { since: at("2026-11-21T09:00:00Z"), until: at("2026-11-21T10:00:00Z") }
}

fn entry(id: &str, version: &str, updated: &str) -> Value {
    json!({"resource": {"resourceType": "DiagnosticReport", "id": id, "meta": {"versionId": version, "lastUpdated": updated}}, "search": {"mode": "match"}})
}

fn page(entries: &[Value], next: Option<&str>) -> Say {
    let links: Vec<Value> = next.iter().map(|url| json!({"relation": "next", "url": url})).collect();
    fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries}))
}

async fn search(script: Vec<Say>) -> (Result<SearchAnswer, EhrError>, ScriptedEhr) {
    let ehr = ScriptedEhr::saying(script).await;
    let client = client_of(&ehr.base, |connection| {
        connection.limits.pages_max = 4;
        connection.limits.found_max = 5;
    });
    (client.search_changed(KIND, window(), NonZeroU16::new(50).unwrap()).await, ehr)
}

async fn walked(script: Vec<Say>) -> (Changes, ScriptedEhr) {
    match search(script).await {
        (Ok(SearchAnswer::Walked(changes)), ehr) => (changes, ehr),
        (Ok(SearchAnswer::RestartWindow | SearchAnswer::WindowTooLarge), _) => panic!("expected a walk"),
        (Err(error), _) => panic!("{error}"),
    }
}

const IN: &str = "2026-11-21T09:30:00Z";

#[tokio::test]
async fn every_page_is_walked_and_judged_again() {
    let outside = entry("c", "1", "2026-11-20T09:30:00Z");
    let patient = json!({"resource": {"resourceType": "Patient", "id": "p"}, "search": {"mode": "include"}});
    let script = vec![
        page(&[entry("a", "1", IN), patient], Some("/fhir/DiagnosticReport?_page=2")),
        page(&[entry("a", "1", IN), entry("a", "2", IN), outside], None),
    ];
    let (changes, ehr) = walked(script).await;
    let ids: Vec<_> =
        changes.heard.iter().map(|heard| (heard.id.as_str(), heard.version.as_ref().unwrap().as_str())).collect();
    assert_eq!(ids, [("a", "1"), ("a", "2"), ("c", "1")]);
    assert_eq!((changes.completeness, changes.outside_window), (Completeness::Complete, 1));
    assert_eq!(changes.server_date, UtcMillis::parse_rfc3339("2026-11-21T10:00:00Z"));
    let asked = ehr.asked();
    assert_eq!(
        asked[0].line(),
        "GET /fhir/DiagnosticReport?_lastUpdated=ge2026-11-21T09%3A00%3A00.000Z&_lastUpdated=lt2026-11-21T10%3A00%3A00.000Z&_count=50&_elements=id%2Cmeta HTTP/1.1"
    );
    assert_eq!(asked[1].line(), "GET /fhir/DiagnosticReport?_page=2 HTTP/1.1");
}

#[tokio::test]
async fn a_page_that_is_not_whole_says_so_and_keeps_the_rest() {
    let outcome = |severity| json!({"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": severity}]}, "search": {"mode": "outcome"}});
    for (odd, complete) in [
        (outcome("warning"), false),
        (outcome("information"), true),
        (json!({"search": {"mode": "outcome"}}), false),
        (json!({"resource": {"resourceType": "DiagnosticReport"}}), false),
        (json!({"resource": {"resourceType": "DiagnosticReport", "id": "a/b"}}), false),
        (json!({"fullUrl": "x"}), false),
        (json!(7), false),
    ] {
        let odd_page = || page(&[odd.clone(), entry("a", "1", IN)], None);
        let (changes, _) = walked(vec![odd_page(), odd_page()]).await;
        assert_eq!(changes.heard.len(), 1);
        assert_eq!(changes.completeness == Completeness::Complete, complete, "{odd}");
    }
}

#[tokio::test]
async fn page_links_lead_neither_away_nor_in_circles_nor_on_for_ever() {
    let (answer, _) = search(vec![page(&[], Some("https://evil.test/fhir?_page=2"))]).await;
    assert!(matches!(answer, Err(EhrError::ForbiddenUrl { .. })));
    let circle = || page(&[], Some("?_page=2"));
    let (changes, ehr) = walked(vec![circle(), circle(), circle(), circle()]).await;
    assert!(matches!(changes.completeness, Completeness::Incomplete { .. }));
    assert_eq!(ehr.asked().len(), 4);
    let script = (0..9).map(|n| page(&[], Some(&format!("?_page={n}")))).collect();
    assert!(matches!(search(script).await.0, Ok(SearchAnswer::WindowTooLarge)));
    let many: Vec<Value> = (0..6).map(|n| entry(&n.to_string(), "1", IN)).collect();
    assert!(matches!(search(vec![page(&many, None)]).await.0, Ok(SearchAnswer::WindowTooLarge)));
}

#[tokio::test]
async fn a_forgotten_page_restarts_the_window_and_a_missing_first_page_is_an_error() {
    let gone = || answer(410, "", b"");
    assert!(matches!(search(vec![page(&[], Some("?_page=2")), gone()]).await.0, Ok(SearchAnswer::RestartWindow)));
    assert_eq!(search(vec![gone()]).await.0.err(), Some(EhrError::NotFhir));
    let unsupported = fhir(404, &json!({"resourceType": "OperationOutcome"}));
    assert_eq!(search(vec![unsupported]).await.0.err(), Some(EhrError::Rejected { status: 404 }));
    assert!(matches!(search(vec![page(&[], Some("?_page=2"))]).await.0, Err(EhrError::Unreachable)));
}

#[tokio::test]
async fn a_server_that_refuses_elements_is_asked_without() {
    let (changes, ehr) = walked(vec![answer(400, "", b"{}"), page(&[entry("a", "1", IN)], None)]).await;
    assert_eq!(changes.heard.len(), 1);
    assert!(!ehr.asked()[1].line().contains("_elements"));
}

#[tokio::test]
async fn an_answer_that_is_no_bundle_is_refused() {
    for body in [
        json!({"resourceType": "DiagnosticReport"}),
        json!({"resourceType": "Bundle", "entry": {}}),
        json!({"resourceType": "Bundle", "link": [{"relation": "next"}]}),
    ] {
        assert!(matches!(search(vec![fhir(200, &body)]).await.0, Err(EhrError::Malformed(_))));
    }
}

#[tokio::test]
async fn a_server_that_remarks_on_elements_is_asked_without_before_the_walk_counts_as_incomplete() {
    let remark = json!({"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning"}]}, "search": {"mode": "outcome"}});
    let (changes, ehr) = walked(vec![page(&[remark], None), page(&[entry("a", "1", IN)], None)]).await;
    assert_eq!((changes.heard.len(), changes.completeness), (1, Completeness::Complete));
    assert!(!ehr.asked()[1].line().contains("_elements"));
}
