//! A subscription to a topic as it is asked for: the Backport IG's on R4 and R4B, the native one on R5.

use serde_json::{Value, json};

use super::{BACKPORT, TopicForm, TopicWish};
use crate::base::FhirId;
use crate::fhir::subscription::line;
use crate::fhir::transport::FHIR_JSON;

/// How long the server waits for our answer, as it is told.
const TIMEOUT_SECONDS: u32 = 30;
const CHANNEL_TYPES: &str = "http://terminology.hl7.org/CodeSystem/subscription-channel-type";

pub(super) fn resource(wish: &TopicWish<'_>, id: Option<&FhirId>) -> Value {
    let mut resource = match wish.form {
        TopicForm::Backport => backport(wish),
        TopicForm::Native => native(wish),
    };
    if let (Some(id), Some(members)) = (id, resource.as_object_mut()) {
        members.insert("id".to_owned(), json!(id.as_str()));
    }
    resource
}

fn backport(wish: &TopicWish<'_>) -> Value {
    let extension = |name: &str, kind: &str, value: Value| json!({"url": format!("{BACKPORT}{name}"), kind: value});
    let mut channel = vec![extension("timeout", "valueUnsignedInt", json!(TIMEOUT_SECONDS))];
    if !wish.heartbeat.is_zero() {
        channel.push(extension("heartbeat-period", "valueUnsignedInt", json!(wish.heartbeat.as_secs())));
    }
    channel.push(extension("max-count", "valuePositiveInt", json!(wish.events_max)));
    let mut resource = json!({
        "resourceType": "Subscription",
        "meta": {"profile": [format!("{BACKPORT}subscription")]},
        "status": "requested",
        "reason": wish.reason,
        "criteria": wish.topic,
        "channel": {
            "extension": channel,
            "type": "rest-hook",
            "endpoint": wish.endpoint.as_str(),
            "payload": FHIR_JSON,
            "_payload": {"extension": [extension("payload-content", "valueCode", json!(wish.content.code()))]},
            "header": [line(wish.header).as_str()],
        },
    });
    let filters: Vec<Value> =
        wish.filters.iter().map(|filter| extension("filter-criteria", "valueString", json!(filter.0))).collect();
    if let (false, Some(members)) = (filters.is_empty(), resource.as_object_mut()) {
        members.insert("_criteria".to_owned(), json!({"extension": filters}));
    }
    resource
}

fn native(wish: &TopicWish<'_>) -> Value {
    let mut resource = json!({
        "resourceType": "Subscription",
        "status": "requested",
        "reason": wish.reason,
        "topic": wish.topic,
        "channelType": {"system": CHANNEL_TYPES, "code": "rest-hook"},
        "endpoint": wish.endpoint.as_str(),
        "parameter": [{"name": wish.header.name, "value": wish.header.secret.expose()}],
        "timeout": TIMEOUT_SECONDS,
        "contentType": FHIR_JSON,
        "content": wish.content.code(),
        "maxCount": wish.events_max,
    });
    let filters: Vec<Value> = wish.filters.iter().filter_map(|filter| filter_by(&filter.0)).collect();
    if let Some(members) = resource.as_object_mut() {
        if !wish.heartbeat.is_zero() {
            members.insert("heartbeatPeriod".to_owned(), json!(wish.heartbeat.as_secs()));
        }
        if !filters.is_empty() {
            members.insert("filterBy".to_owned(), json!(filters));
        }
    }
    resource
}

fn filter_by(filter: &str) -> Option<Value> {
    let (kind, query) = filter.split_once('?')?;
    let (name, value) = query.split_once('=')?;
    Some(match name.split_once(':') {
        None => json!({"resourceType": kind, "filterParameter": name, "value": value}),
        Some((name, modifier)) => {
            json!({"resourceType": kind, "filterParameter": name, "modifier": modifier, "value": value})
        }
    })
}
