//! Every body a hook may bring.

use serde_json::{Value, json};

use super::*;
use crate::base::{ResourceType, VersionId};

fn post(body: &str) -> HookContent {
    read_hook(body.as_bytes(), HookPath::Bare, HookMethod::Post).content
}

fn heard(id_text: &str, version: Option<&str>) -> Heard {
    let version = version.map(|text| VersionId::parse(text).unwrap());
    Heard { kind: ResourceType::DiagnosticReport, id: id(id_text), version }
}

fn changed(id_text: &str, version: Option<&str>) -> HookContent {
    HookContent::Changed(vec![heard(id_text, version)])
}

fn other(what: &str) -> HookContent {
    HookContent::Other(what.to_owned())
}

#[test]
fn the_notifications_that_servers_send_are_understood() {
    for (body, content) in [
        (include_str!("../../../tests/fixtures/fhir/r4-empty.json"), HookContent::Ping),
        (include_str!("../../../tests/fixtures/fhir/r4-handshake.json"), other("handshake")),
        (include_str!("../../../tests/fixtures/fhir/r4-heartbeat.json"), other("heartbeat")),
        (include_str!("../../../tests/fixtures/fhir/r4-idonly.json"), changed("dr1", None)),
        (include_str!("../../../tests/fixtures/fhir/r4-full.json"), changed("dr1", Some("3"))),
        (include_str!("../../../tests/fixtures/fhir/r5-idonly.json"), changed("dr1", None)),
    ] {
        assert_eq!(post(body), content);
    }
}

#[test]
fn a_whole_resource_names_itself_and_its_version() {
    assert_eq!(post(&stored(REPORT, &[]).to_string()), changed("r1", Some("3")));
    assert_eq!(post(&stored(REPORT, &[("meta", json!([]))]).to_string()), changed("r1", None));
    assert_eq!(
        post(&stored(REPORT, &[("zzz", json!([[]])), ("status", json!(7))]).to_string()),
        changed("r1", Some("3"))
    );
    assert_eq!(post(&stored(PATIENT, &[]).to_string()), other("Patient"));
    assert!(matches!(post(REPORT), HookContent::Unreadable { .. }));
}

#[test]
fn nothing_said_is_a_ping_and_nonsense_is_unreadable() {
    for body in ["", " \r\n", "{}", r#"{"resourceType":"Bundle"}"#, r#"{"resourceType":"Bundle","entry":[]}"#] {
        assert_eq!(post(body), HookContent::Ping, "{body:?}");
    }
    for body in [
        "<xml/>",
        "[]",
        "7",
        "null",
        "{\"a\":1}",
        r#"{"resourceType":"Bundle","entry":{}}"#,
        r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"DiagnosticReport","id":"a/b"}}]}"#,
    ] {
        assert!(matches!(post(body), HookContent::Unreadable { .. }), "{body:?}");
    }
    assert_eq!(post(r#"{"resourceType":"Ana <b>Garcia</b>"}"#), other("an unnamed type"));
}

#[test]
fn a_focus_is_found_however_it_is_spelled() {
    for (reference, version) in [
        ("DiagnosticReport/dr1", None),
        ("https://ehr.test/fhir/DiagnosticReport/dr1", None),
        ("http://10.0.0.1:8080/fhir/DiagnosticReport/dr1/_history/4", Some("4")),
        ("DiagnosticReport/DiagnosticReport/dr1", None),
        ("DiagnosticReport/https://ehr.test/fhir/DiagnosticReport/dr1", None),
    ] {
        for focus in [
            json!({"valueReference": {"reference": reference}}),
            json!({"valueString": reference}),
            json!({"valueUri": reference}),
        ] {
            let mut focus = focus;
            focus["name"] = json!("focus");
            for name in ["notification-event", "notificationEvent"] {
                let status = json!({"resourceType": "Parameters", "parameter": [
                    {"name": "events-since-subscription-start", "valueInteger": 4},
                    {"name": name, "part": [{"name": "timestamp", "valueDate": "2026-11-21"}, {"name": "unheard-of", "valueString": "x"}, focus]},
                ]});
                let bundle =
                    json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": status.clone()}]});
                assert_eq!(post(&bundle.to_string()), changed("dr1", version), "{reference}");
                assert_eq!(post(&status.to_string()), changed("dr1", version), "{reference}");
            }
        }
    }
}

#[test]
fn entries_without_a_resource_are_known_by_their_request() {
    let bundle = |entries: Value| json!({"resourceType": "Bundle", "type": "history", "entry": entries}).to_string();
    assert_eq!(
        post(&bundle(json!([{"request": {"method": "DELETE", "url": "DiagnosticReport/dr1"}}]))),
        changed("dr1", None)
    );
    assert_eq!(post(&bundle(json!([{"fullUrl": "https://ehr.test/fhir/DiagnosticReport/dr1"}]))), changed("dr1", None));
    assert_eq!(post(&bundle(json!([{"request": {"method": "GET", "url": "Patient/p1"}}]))), other("Patient"));
    let several = bundle(json!([
        {"resource": {"resourceType": "AuditEvent"}},
        {"resource": {"resourceType": "DiagnosticReport", "id": "a"}},
        {"resource": {"resourceType": "DiagnosticReport", "id": "b"}},
        {"resource": {"resourceType": "DiagnosticReport", "id": "a", "meta": {"versionId": "2"}}},
        {"resource": {"resourceType": "DiagnosticReport"}},
    ]));
    assert_eq!(post(&several), HookContent::Changed(vec![heard("a", Some("2")), heard("b", None)]));
    let beside = |body: &str| read_hook(body.as_bytes(), HookPath::Bare, HookMethod::Post).beside;
    assert_eq!(beside(&several), Beside::BrokenResource, "the last may have been a recall");
    let status_on_r4 = json!({"resourceType": "SubscriptionStatus", "type": "event-notification", "notificationEvent": [{"eventNumber": 4, "focus": {"reference": "Patient/p"}}]});
    assert_eq!(post(&bundle(json!([{"resource": status_on_r4}]))), other("Patient"));
    let many: Vec<Value> = (0..1100).map(|n| json!({"fullUrl": format!("DiagnosticReport/{n}")})).collect();
    assert_eq!(post(&bundle(json!(many))), HookContent::Ping);
}

#[test]
fn the_path_is_heard_whatever_the_body_says() {
    let path = |kind, id| HookPath::Resource { kind, id };
    let call = |body: &str, path, method| read_hook(body.as_bytes(), path, method).content;
    let report = stored(REPORT, &[]).to_string();
    assert_eq!(call(&report, path("DiagnosticReport", "r1"), HookMethod::Put), changed("r1", Some("3")));
    assert_eq!(call("", path("DiagnosticReport", "r1"), HookMethod::Delete), changed("r1", None));
    assert_eq!(call("<a/>", path("DiagnosticReport", "r1"), HookMethod::Put), changed("r1", None));
    assert_eq!(
        call(&report, path("DiagnosticReport", "r2"), HookMethod::Put),
        HookContent::Changed(vec![heard("r1", Some("3")), heard("r2", None)])
    );
    assert_eq!(call(&report, path("Patient", "p"), HookMethod::Put), other("Patient"));
    assert!(matches!(call("", path("DiagnosticReport", "a b"), HookMethod::Delete), HookContent::Unreadable { .. }));
    assert_eq!(call("", HookPath::Bare, HookMethod::Delete), HookContent::Ping);
}
