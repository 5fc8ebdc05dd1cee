//! Keeping a subscription to a topic at a server that agrees, adjusts, ends or contradicts itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::scripted::{Say, ScriptedEhr, answer, fhir};
use super::*;
use crate::base::UtcMillis;

const TOPIC: &str = "http://example.org/topic";
const OURS: &str = "X-Chartseal-Hook: s3cret";
const FILTER: &str = "DiagnosticReport?category=LAB";
const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-";

fn remote(status: &str, filters: &[&str]) -> Value {
    let filters: Vec<Value> = filters
        .iter()
        .map(|filter| json!({"url": format!("{BACKPORT}filter-criteria"), "valueString": filter}))
        .collect();
    json!({
        "resourceType": "Subscription", "id": "s1", "meta": {"versionId": "5"}, "status": status, "criteria": TOPIC,
        "_criteria": {"extension": filters},
        "channel": {
            "type": "rest-hook", "endpoint": "https://links.test/fhir/hook/main", "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": format!("{BACKPORT}payload-content"), "valueCode": "id-only"}]},
            "header": [OURS],
        },
    })
}

fn found(resources: &[Value]) -> Say {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}))
}

struct Asks {
    form: TopicForm,
    insist: Insist,
    asked: Option<String>,
}

const PLAIN: Asks = Asks { form: TopicForm::Backport, insist: Insist::No, asked: None };

async fn ensure(asks: Asks, script: Vec<Say>) -> (Result<TopicState, EhrError>, Vec<super::scripted::Asked>) {
    let ehr = ScriptedEhr::saying(script).await;
    let header = HookHeader { name: "X-Chartseal-Hook".to_owned(), secret: SecretText::new("s3cret".to_owned()) };
    let endpoint = Url::parse("https://links.test/fhir/hook/main").unwrap();
    let filters = [TopicFilter::parse(FILTER).unwrap()];
    let wish = TopicWish {
        form: asks.form,
        topic: TOPIC,
        filters: &filters,
        content: TopicContent::IdOnly,
        heartbeat: Duration::from_mins(1),
        events_max: 20,
        endpoint: &endpoint,
        header: &header,
        reason: "Chartseal",
        known: None,
        asked: asks.asked.as_deref(),
    };
    let state = client_of(&ehr.base, |_| {}).ensure_topic(&wish, asks.insist, NOW).await;
    (state, ehr.asked())
}

fn action(state: &Result<TopicState, EhrError>) -> SubscriptionAction {
    state.as_ref().unwrap().action
}

#[tokio::test]
async fn a_missing_subscription_is_created_with_all_that_the_backport_asks_for() {
    let (state, asked) = ensure(PLAIN, vec![found(&[]), fhir(201, &remote("requested", &[FILTER]))]).await;
    assert_eq!(action(&state), SubscriptionAction::Created);
    let sent: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!((&sent["criteria"], &sent["status"]), (&json!(TOPIC), &json!("requested")));
    assert_eq!(sent["meta"]["profile"], json!([format!("{BACKPORT}subscription")]));
    assert_eq!(sent["_criteria"], remote("", &[FILTER])["_criteria"]);
    assert_eq!(sent["channel"]["_payload"], remote("", &[])["channel"]["_payload"]);
    assert_eq!(sent["channel"]["header"], json!([OURS]));
    let channel = sent["channel"]["extension"].as_array().unwrap();
    let told: Vec<_> = channel.iter().map(|one| one["url"].as_str().unwrap().trim_start_matches(BACKPORT)).collect();
    assert_eq!(told, ["timeout", "heartbeat-period", "max-count"]);
    assert_eq!(channel[1]["valueUnsignedInt"], 60);
}

#[tokio::test]
async fn r5_is_asked_in_its_own_words_and_understood() {
    let asks = || Asks { form: TopicForm::Native, ..PLAIN };
    let location = "Location: https://ehr.test/fhir/Subscription/s9/_history/1\r\n";
    let (state, asked) = ensure(asks(), vec![found(&[]), answer(201, location, b"")]).await;
    assert_eq!(state.unwrap().id.as_str(), "s9");
    let mut sent: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(
        (&sent["topic"], &sent["content"], &sent["heartbeatPeriod"]),
        (&json!(TOPIC), &json!("id-only"), &json!(60))
    );
    let by = json!([{"resourceType": "DiagnosticReport", "filterParameter": "category", "value": "LAB"}]);
    assert_eq!((&sent["filterBy"], &sent["channelType"]["code"]), (&by, &json!("rest-hook")));
    sent["id"] = json!("s9");
    sent["status"] = json!("active");
    let (state, asked) = ensure(asks(), vec![found(&[sent.clone()])]).await;
    assert_eq!((action(&state), asked.len()), (SubscriptionAction::Kept, 1));
    sent["filterBy"][0]["value"] = json!("RAD");
    sent["status"] = json!("error");
    let (state, _) = ensure(asks(), vec![found(&[sent])]).await;
    // What was asked for is known by its terms; without them it may be what an earlier configuration asked for.
    assert_eq!(action(&state), SubscriptionAction::LeftForStaff);
}

#[tokio::test]
async fn event_07_a_subscription_that_the_server_stopped_with_other_filters_is_left_to_people() {
    for filters in [&[][..], &["DiagnosticReport?category=RAD"], &[FILTER, "DiagnosticReport?code=1"]] {
        let (state, asked) = ensure(PLAIN, vec![found(&[remote("error", filters)])]).await;
        assert_eq!((action(&state), asked.len()), (SubscriptionAction::LeftForStaff, 1), "{filters:?}");
        let lacks = if filters.contains(&FILTER) { vec![] } else { vec![FILTER.to_owned()] };
        assert_eq!(state.unwrap().refused, lacks);
    }
    // The configuration changed, not the server: that is no objection.
    let before = "DiagnosticReport?category=RAD";
    let asks = Asks { asked: Some(format!("{TOPIC}\n{before}")), ..PLAIN };
    let (state, asked) = ensure(asks, vec![found(&[remote("error", &[before])]), answer(200, "", b"")]).await;
    assert_eq!(action(&state), SubscriptionAction::Updated { why: UpdateReason::WasInError });
    assert!(
        asked[1].body.contains(FILTER) && asked[1].head.contains("If-Match: W/\"5\"")
            || asked[1].head.contains("if-match: W/\"5\"")
    );
}

#[tokio::test]
async fn event_07_what_stopped_ended_or_fell_silent_is_asked_for_again_as_it_was() {
    let mut ends = remote("active", &[FILTER]);
    ends["end"] = json!(NOW.plus(Duration::from_mins(9)).to_rfc3339());
    let mut elsewhere = remote("active", &[FILTER]);
    elsewhere["channel"]["header"] = json!(["X-Chartseal-Hook: other"]);
    for (held, insist, why) in [
        (remote("error", &[FILTER]), Insist::No, UpdateReason::WasInError),
        (remote("off", &[FILTER]), Insist::No, UpdateReason::WasOff),
        (ends, Insist::No, UpdateReason::Expires),
        (remote("active", &[FILTER]), Insist::FellSilent, UpdateReason::FellSilent),
        (remote("active", &[FILTER]), Insist::SaysStopped, UpdateReason::WasInError),
        (remote("active", &[]), Insist::No, UpdateReason::CriteriaDiffered),
        (elsewhere, Insist::No, UpdateReason::ChannelDiffered),
    ] {
        let (state, asked) = ensure(Asks { insist, ..PLAIN }, vec![found(&[held]), answer(200, "", b"")]).await;
        assert_eq!(action(&state), SubscriptionAction::Updated { why });
        let sent: Value = serde_json::from_str(&asked[1].body).unwrap();
        assert_eq!((&sent["status"], &sent["id"], &sent["end"]), (&json!("requested"), &json!("s1"), &Value::Null));
    }
}

#[tokio::test]
async fn a_sound_one_is_left_alone_also_where_the_server_hides_its_headers() {
    let mut hidden = remote("active", &[FILTER]);
    hidden["channel"].as_object_mut().unwrap().remove("header");
    let mut later = remote("active", &[FILTER]);
    later["end"] = json!(NOW.plus(Duration::from_hours(1)).to_rfc3339());
    for held in [remote("active", &[FILTER]), remote("requested", &[FILTER]), hidden, later] {
        let (state, asked) = ensure(PLAIN, vec![found(&[held])]).await;
        assert_eq!((action(&state), asked.len()), (SubscriptionAction::Kept, 1));
    }
}

async fn status_of(say: Say) -> Result<StatusSaid, EhrError> {
    client_of(&ScriptedEhr::saying(vec![say]).await.base, |_| {}).topic_status(&id("s1")).await
}

#[tokio::test]
async fn the_status_of_ours_is_chosen_and_a_server_without_the_operation_says_nothing() {
    let one = |name: &str, status: &str| {
        json!({"resource": {"resourceType": "SubscriptionStatus", "type": "query-status", "status": status,
            "eventsSinceSubscriptionStart": "41", "subscription": {"reference": format!("Subscription/{name}")}}})
    };
    let bundle =
        json!({"resourceType": "Bundle", "type": "searchset", "entry": [one("s0", "active"), one("s1", "error")]});
    let says = StatusSaid::Says { status: Some(SubscriptionStatus::Error), count: Some(41) };
    assert_eq!(status_of(fhir(200, &bundle)).await, Ok(says));
    let outcome = json!({"resourceType": "OperationOutcome", "issue": []});
    for code in [400, 404, 405, 501] {
        assert_eq!(status_of(fhir(code, &outcome)).await, Ok(StatusSaid::NotOffered), "{code}");
    }
    assert_eq!(status_of(fhir(200, &outcome)).await, Ok(StatusSaid::NotOffered));
    assert_eq!(status_of(fhir(500, &outcome)).await, Err(EhrError::Server { status: 500 }));
}

#[tokio::test]
async fn event_06_missing_events_are_asked_for_by_number_both_ends_among_them() {
    let said = json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": {
        "resourceType": "SubscriptionStatus", "type": "query-event", "subscription": {"reference": "Subscription/s1"},
        "notificationEvent": [{"eventNumber": "22", "focus": {"reference": "DiagnosticReport/r1"}}],
    }}]});
    let ehr = ScriptedEhr::saying(vec![fhir(200, &said), fhir(404, &said)]).await;
    let client = client_of(&ehr.base, |_| {});
    let Ok(EventsSaid::Says(told)) = client.missed_events(&id("s1"), 22, 22).await else { panic!("it was told") };
    assert_eq!(told.notification.unwrap().numbers, [22]);
    assert!(matches!(told.content, HookContent::Changed(heard) if heard.len() == 1));
    assert_eq!(
        ehr.asked()[0].line(),
        "GET /fhir/Subscription/s1/$events?eventsSinceNumber=22&eventsUntilNumber=22&content=id-only HTTP/1.1"
    );
    assert_eq!(client.missed_events(&id("s1"), 22, 22).await, Ok(EventsSaid::NotOffered));
}

#[test]
fn filters_that_would_hide_recalls_or_patients_are_refused() {
    assert!(TopicFilter::parse(FILTER).is_ok() && TopicFilter::parse("DocumentReference?category:in=x").is_ok());
    for text in [
        "DiagnosticReport",
        "DiagnosticReport?",
        "?category=LAB",
        "DiagnosticReport?category=",
        "Diagnostic Report?a=b",
    ] {
        assert!(TopicFilter::parse(text).unwrap_err().contains("such as"), "{text}");
    }
    assert!(TopicFilter::parse("DiagnosticReport?status=final").unwrap_err().contains("taken back"));
    assert!(TopicFilter::parse("DiagnosticReport?patient:Patient=1").unwrap_err().contains("one patient"));
    assert!(TopicFilter::parse("DiagnosticReport?a=b&c=d").unwrap_err().contains("each"));
}
