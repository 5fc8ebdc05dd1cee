//! The heads of notifications, as the specification writes them and as servers bend them. Behaviour 1 of the events.

use serde_json::{Value, json};

use super::*;
use crate::base::ResourceType;

fn said(body: &str) -> HookSaid {
    read_hook(body.as_bytes(), HookPath::Bare, HookMethod::Post)
}

fn report(name: &str) -> HookContent {
    HookContent::Changed(vec![Heard { kind: ResourceType::DiagnosticReport, id: id(name), version: None }])
}

fn head(kind: NotificationKind, count: u64, numbers: &[u64]) -> Notification {
    Notification {
        kind,
        subscription: Some(id("s1")),
        status: Some(SubscriptionStatus::Active),
        count: Some(count),
        numbers: numbers.to_vec(),
    }
}

/// The event 22 of a report, as the Backport IG writes it on R4.
fn event() -> Vec<Value> {
    vec![
        json!({"name": "event-number", "valueString": "22"}),
        json!({"name": "timestamp", "valueInstant": "2026-11-21T10:00:00Z"}),
        json!({"name": "focus", "valueReference": {"reference": "DiagnosticReport/dr1"}}),
        json!({"name": "additional-context", "valueReference": {"reference": "Patient/p1"}}),
        json!({"name": "related-query", "part": [{"name": "query", "valueString": "Observation?x=1"}]}),
        json!({"name": "trigger", "valueCoding": {"code": "create"}}),
        json!({"name": "authorization-type", "valueCoding": {"code": "bearer"}}),
    ]
}

fn parameters(kind: &str, count: &Value, events: &[Vec<Value>]) -> Value {
    let mut parameter = vec![
        json!({"name": "subscription", "valueReference": {"reference": "https://ehr.test/fhir/Subscription/s1"}}),
        json!({"name": "topic", "valueCanonical": "http://hl7.org/fhir/us/core/SubscriptionTopic/patient-data-feed"}),
        json!({"name": "status", "valueCode": "active"}),
        json!({"name": "type", "valueCode": kind}),
        json!({"name": "events-since-subscription-start", "valueString": count}),
    ];
    parameter.extend(events.iter().map(|parts| json!({"name": "notification-event", "part": parts})));
    json!({"resourceType": "Parameters", "id": "st", "parameter": parameter})
}

fn history(first: &Value, further: &[Value]) -> String {
    let first = json!({"fullUrl": "urn:uuid:1", "resource": first, "request": {"method": "GET", "url": "Subscription/s1/$status"}});
    let entries: Vec<Value> = std::iter::once(first).chain(further.iter().cloned()).collect();
    json!({"resourceType": "Bundle", "type": "history", "entry": entries}).to_string()
}

fn status(release_event: &Value, count: &Value) -> Value {
    json!({
        "resourceType": "SubscriptionStatus", "status": "active", "type": "event-notification",
        "subscription": {"reference": "Subscription/s1"}, "topic": "http://example.org/topic",
        "eventsSinceSubscriptionStart": count, "notificationEvent": release_event,
    })
}

/// Without the value of the part `name`, and with this in its place.
fn with(name: &str, part: &Value) -> Vec<Value> {
    event().into_iter().map(|one| if one["name"] == name { part.clone() } else { one }).collect()
}

#[test]
fn event_01_the_fixtures_of_each_release_say_their_kind_their_subscription_and_their_numbers() {
    let handshake =
        Notification { status: Some(SubscriptionStatus::Requested), ..head(NotificationKind::Handshake, 0, &[]) };
    for (body, expected) in [
        (include_str!("../../../tests/fixtures/fhir/r4-handshake.json"), handshake),
        (include_str!("../../../tests/fixtures/fhir/r4-heartbeat.json"), head(NotificationKind::Heartbeat, 7, &[])),
        (include_str!("../../../tests/fixtures/fhir/r4-empty.json"), head(NotificationKind::Events, 8, &[8])),
        (include_str!("../../../tests/fixtures/fhir/r4-idonly.json"), head(NotificationKind::Events, 9, &[9])),
        (include_str!("../../../tests/fixtures/fhir/r4-full.json"), head(NotificationKind::Events, 10, &[10])),
        (include_str!("../../../tests/fixtures/fhir/r5-idonly.json"), head(NotificationKind::Events, 4, &[4])),
    ] {
        assert_eq!(said(body).notification, Some(expected));
    }
}

#[test]
fn event_01_every_row_of_the_wire_table_is_read_whatever_the_server_bends() {
    let events = |parts: &[Vec<Value>]| parameters("event-notification", &json!("22"), parts);
    let doubled = json!({"name": "focus", "valueReference": {"reference": "DiagnosticReport/DiagnosticReport/dr1"}});
    let absolute =
        json!({"name": "focus", "valueReference": {"reference": "https://ehr.test/fhir/DiagnosticReport/dr1"}});
    let date = json!({"name": "timestamp", "valueDate": "2026-11-21"});
    let whole = json!({"name": "event-number", "valueInteger": 22});
    let unsigned = json!({"name": "event-number", "valueUnsignedInt": 22});
    let camel = json!({"name": "eventNumber", "valueString": " 22 "});
    let id_only = json!({"fullUrl": "https://ehr.test/fhir/DiagnosticReport/dr1"});
    let degraded = json!({"request": {"method": "PUT", "url": "DiagnosticReport/dr1"}, "response": {"status": "200"}});
    let without_request =
        json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": events(&[event()])}]});
    let r4b = json!([{"eventNumber": "22", "timestamp": "2026-11-21T10:00:00Z", "focus": {"reference": "DiagnosticReport/dr1"}}]);
    let r5 = json!([{"eventNumber": 22, "focus": {"reference": "https://ehr.test/fhir/DiagnosticReport/dr1"}}]);
    let mut aidbox = status(&r4b, &json!("22"));
    aidbox["resourceType"] = json!("AidboxSubscriptionStatus");
    let mut as_text = status(&r4b, &json!(22));
    as_text["subscription"] = json!("https://candle.test/r4/Subscription/s1");
    for (row, body) in [
        ("as specified", history(&events(&[event()]), &[])),
        ("id-only", history(&events(&[event()]), std::slice::from_ref(&id_only))),
        ("full-resource without the resource", history(&events(&[event()]), &[degraded])),
        ("valueDate", history(&events(&[with("timestamp", &date)]), &[])),
        ("doubled type", history(&events(&[with("focus", &doubled)]), &[])),
        ("absolute", history(&events(&[with("focus", &absolute)]), &[])),
        ("a number", history(&events(&[with("event-number", &whole)]), &[])),
        ("an unsigned number", history(&events(&[with("event-number", &unsigned)]), &[])),
        ("camel case and blanks", history(&events(&[with("event-number", &camel)]), &[])),
        ("without request", without_request.to_string()),
        ("Parameters alone", events(&[event()]).to_string()),
        ("R4B's status on an R4 base", history(&status(&r4b, &json!("22")), &[])),
        ("R5", history(&status(&r5, &json!(22)), &[]).replace("history", "subscription-notification")),
        ("Aidbox", history(&aidbox, &[])),
        ("the subscription as text", history(&as_text, &[])),
    ] {
        let said = said(&body);
        assert_eq!(said.notification, Some(head(NotificationKind::Events, 22, &[22])), "{row}");
        assert_eq!(said.content, report("dr1"), "{row}");
    }
}

#[test]
fn event_01_several_events_and_repeated_numbers_are_each_counted_once() {
    let other = json!({"name": "focus", "valueReference": {"reference": "DocumentReference/d2"}});
    let second = json!({"name": "event-number", "valueString": "23"});
    let mut both = with("focus", &other);
    both[0] = second;
    let said = said(&history(&parameters("event-notification", &json!("23"), &[both, event(), event()]), &[]));
    assert_eq!(said.notification, Some(head(NotificationKind::Events, 23, &[22, 23])));
    let HookContent::Changed(heard) = said.content else { panic!("two resources were announced") };
    assert_eq!(heard.len(), 2);
}

#[test]
fn event_01_what_is_silent_about_itself_stays_unknown() {
    let query = said(&parameters("query-status", &json!("41"), &[]).to_string());
    assert_eq!(query.notification, Some(head(NotificationKind::QueryStatus, 41, &[])));
    let nameless = status(&json!([{"focus": {"identifier": {"value": "7"}}}]), &Value::Null);
    let athena = said(&history(&nameless, &[]));
    assert_eq!(athena.notification.map(|one| (one.count, one.numbers)), Some((None, Vec::new())));
    assert_eq!(athena.content, HookContent::Ping, "the search finds what has no reference");
    // It sends an AuditEvent beside each; a named event excuses no nameless one.
    let audit = json!({"resource": {"resourceType": "AuditEvent", "id": "a1"}});
    let beside = said(&history(&nameless, std::slice::from_ref(&audit)));
    assert_eq!((beside.content, beside.beside), (HookContent::Other("AuditEvent".to_owned()), Beside::UnnamedEvent));
    let two = json!([{"focus": {"reference": "DiagnosticReport/dr1"}}, {"focus": {"identifier": {"value": "7"}}}]);
    let two = said(&history(&status(&two, &json!("2")), &[audit]));
    assert_eq!((two.content, two.beside), (report("dr1"), Beside::UnnamedEvent));
    for number in [json!("-1"), json!(1.5), json!("9007199254740993"), json!("many"), json!({"value": 3})] {
        let body = history(&status(&json!([{"eventNumber": number}]), &json!("x")), &[]);
        assert_eq!(said(&body).notification.unwrap().numbers, Vec::<u64>::new(), "{number}");
    }
    for body in ["", "{}", "[]", "7", r#"{"resourceType":"Parameters","parameter":[{"name":"x","valueString":"y"}]}"#] {
        assert_eq!(said(body).notification, None, "{body}");
    }
    assert_eq!(said(&stored(REPORT, &[]).to_string()).notification, None);
}
