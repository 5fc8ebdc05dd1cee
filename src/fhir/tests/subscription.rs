//! Keeping a subscription at a server that agrees, forgets or refuses.

use serde_json::{Value, json};

use super::scripted::{Say, ScriptedEhr, answer, fhir};
use super::*;
use crate::base::ResourceType;

fn remote(status: &str, criteria: &str, header: &str) -> Value {
    json!({
        "resourceType": "Subscription", "id": "s1", "meta": {"versionId": "5"}, "status": status, "criteria": criteria,
        "channel": {"type": "rest-hook", "endpoint": "https://links.test/fhir/hook/main", "payload": "application/fhir+json", "header": [header]},
    })
}

fn found(resources: &[Value]) -> Say {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}))
}

async fn ensure(known: Option<&str>, script: Vec<Say>) -> (Result<SubscriptionState, EhrError>, ScriptedEhr) {
    let ehr = ScriptedEhr::saying(script).await;
    let header = HookHeader { name: "X-Chartseal-Hook".to_owned(), secret: SecretText::new("s3cret".to_owned()) };
    let endpoint = Url::parse("https://links.test/fhir/hook/main").unwrap();
    let known = known.map(id);
    let wish = Wish {
        kind: ResourceType::DiagnosticReport,
        endpoint: &endpoint,
        header: &header,
        reason: "Chartseal",
        known: known.as_ref(),
    };
    (client_of(&ehr.base, |_| {}).ensure_subscription(&wish).await, ehr)
}

const OURS: &str = "X-Chartseal-Hook: s3cret";

#[tokio::test]
async fn a_missing_subscription_is_created_without_a_status_filter() {
    let created = remote("requested", "DiagnosticReport?", OURS);
    let (state, ehr) = ensure(None, vec![found(&[]), fhir(201, &created)]).await;
    let state = state.unwrap();
    assert_eq!(
        (state.id.as_str(), state.status, state.action),
        ("s1", SubscriptionStatus::Requested, SubscriptionAction::Created)
    );
    let asked = ehr.asked();
    assert_eq!(
        asked[0].line(),
        "GET /fhir/Subscription?url=https%3A%2F%2Flinks.test%2Ffhir%2Fhook%2Fmain&_count=100 HTTP/1.1"
    );
    assert_eq!(asked[1].line(), "POST /fhir/Subscription HTTP/1.1");
    let sent: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(sent["criteria"], "DiagnosticReport?");
    assert_eq!(sent["channel"]["header"], json!([OURS]));
    assert_eq!(sent["status"], "requested");
}

#[tokio::test]
async fn a_server_that_refuses_the_bare_question_mark_gets_the_bare_type() {
    let location = "Location: https://ehr.test/fhir/Subscription/s9/_history/1\r\n";
    let (state, ehr) = ensure(None, vec![found(&[]), answer(422, "", b""), answer(201, location, b"")]).await;
    assert_eq!(state.unwrap().id.as_str(), "s9");
    let sent: Value = serde_json::from_str(&ehr.asked()[2].body).unwrap();
    assert_eq!(sent["criteria"], "DiagnosticReport");
}

#[tokio::test]
async fn a_sound_subscription_is_left_alone() {
    for criteria in ["DiagnosticReport?", "DiagnosticReport"] {
        let (state, ehr) = ensure(None, vec![found(&[remote("active", criteria, OURS)])]).await;
        assert_eq!(state.unwrap().action, SubscriptionAction::Kept);
        assert_eq!(ehr.asked().len(), 1);
    }
    // A server that keeps headers, or the payload's type, to itself.
    for kept_back in ["header", "payload"] {
        let mut silent = remote("active", "DiagnosticReport?", OURS);
        silent["channel"].as_object_mut().unwrap().remove(kept_back);
        let (state, ehr) = ensure(None, vec![found(&[silent])]).await;
        assert_eq!((state.unwrap().action, ehr.asked().len()), (SubscriptionAction::Kept, 1), "{kept_back}");
    }
    let other = remote("active", "DocumentReference?", OURS);
    let mut twin = remote("active", "DiagnosticReport?", OURS);
    twin["id"] = json!("s2");
    let (state, _) = ensure(None, vec![found(&[other, remote("active", "DiagnosticReport?", OURS), twin])]).await;
    let state = state.unwrap();
    assert_eq!((state.id.as_str(), state.duplicates), ("s1", 1));
}

#[tokio::test]
async fn a_subscription_is_changed_only_for_a_reason_that_is_told() {
    for (held, known, why) in [
        (remote("active", "DiagnosticReport?", "X-Chartseal-Hook: old"), None, UpdateReason::ChannelDiffered),
        (remote("error", "DiagnosticReport?", OURS), None, UpdateReason::WasInError),
        (remote("off", "DiagnosticReport?", OURS), None, UpdateReason::WasOff),
        (remote("active", "DiagnosticReport?status=final", OURS), Some("s1"), UpdateReason::CriteriaDiffered),
    ] {
        let mut script =
            vec![found(std::slice::from_ref(&held)), fhir(200, &remote("requested", "DiagnosticReport?", OURS))];
        if known.is_some() {
            script.insert(0, fhir(200, &held));
        }
        let (state, ehr) = ensure(known, script).await;
        assert_eq!(state.unwrap().action, SubscriptionAction::Updated { why });
        let asked = ehr.asked();
        let put = asked.last().unwrap();
        assert_eq!(put.line(), "PUT /fhir/Subscription/s1 HTTP/1.1");
        assert_eq!(put.header("if-match").as_deref(), Some("W/\"5\""));
        let sent: Value = serde_json::from_str(&put.body).unwrap();
        assert_eq!((&sent["criteria"], &sent["id"]), (&json!("DiagnosticReport?"), &json!("s1")));
    }
}

#[tokio::test]
async fn criteria_that_the_server_cut_down_and_stopped_are_left_to_people() {
    let held = remote("error", "DiagnosticReport?category=LAB", OURS);
    let (state, ehr) = ensure(Some("s1"), vec![fhir(200, &held), found(&[])]).await;
    assert_eq!(state.unwrap().action, SubscriptionAction::LeftForStaff);
    assert_eq!(ehr.asked().len(), 2);
}

#[tokio::test]
async fn a_known_subscription_that_is_gone_is_created_again() {
    let created = remote("requested", "DiagnosticReport?", OURS);
    let (state, _) = ensure(Some("s7"), vec![answer(410, "", b""), found(&[]), fhir(201, &created)]).await;
    assert_eq!(state.unwrap().action, SubscriptionAction::Created);
    let (conflict, _) =
        ensure(None, vec![found(&[remote("off", "DiagnosticReport?", OURS)]), answer(412, "", b"")]).await;
    assert_eq!(conflict.err(), Some(EhrError::Conflict));
    let (refused, _) = ensure(None, vec![answer(403, "", b"")]).await;
    assert_eq!(refused.err(), Some(EhrError::Refused { status: 403 }));
}
