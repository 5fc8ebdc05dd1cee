//! The head of a topic-based notification: what kind it is, whose it is, and which events it carries by number
//! (<https://hl7.org/fhir/uv/subscriptions-backport/>).
//!
//! Must stay true: pure; read leniently, for servers mix releases, name parameters in either case, count in text or in
//! numbers, and leave parts out; what is missing stays unknown; nothing in it is believed but "please look".

use serde_json::Value;

use super::service::split_reference;
use super::subscription::SubscriptionStatus;
use crate::base::FhirId;

/// A larger number is nobody's count of events.
const NUMBER_MAX: u64 = 1 << 53;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    Handshake,
    Heartbeat,
    Events,
    /// The answer to `$status`.
    QueryStatus,
    /// The answer to `$events`.
    QueryEvents,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub kind: NotificationKind,
    /// The id of the Subscription at the EHR.
    pub subscription: Option<FhirId>,
    /// The Subscription's status as the notification says.
    pub status: Option<SubscriptionStatus>,
    /// How many events there have been since the Subscription began.
    pub count: Option<u64>,
    /// The numbers of the events that it carries, in order, each once.
    pub numbers: Vec<u64>,
}

/// The notification whose body is `body`, if it is one: a Bundle, or its first resource alone.
pub(super) fn notification_of(body: &Value) -> Option<Notification> {
    notifications_in(body).into_iter().next()
}

/// Every status that a body carries: `$status` of a type answers with several.
pub(super) fn notifications_in(body: &Value) -> Vec<Notification> {
    let entries = body.get("entry").and_then(Value::as_array).into_iter().flatten();
    let within = entries.filter_map(|entry| entry.get("resource"));
    std::iter::once(body).chain(within).filter_map(read).collect()
}

/// Whether this is a status of a subscription in a release's or a product's own words.
pub(super) fn is_status_type(kind: &str) -> bool {
    matches!(kind, "SubscriptionStatus" | "AidboxSubscriptionStatus")
}

/// Where a `subscription` leads, whatever stands before it.
pub(super) fn subscription_id(reference: &str) -> Option<FhirId> {
    if !reference.contains('/') {
        return FhirId::parse(reference).ok();
    }
    let parts: Vec<&str> = reference.split('/').collect();
    let start = parts.iter().rposition(|part| *part == "Subscription")?;
    let tail = parts.get(start..).unwrap_or_default().join("/");
    split_reference(&tail).map(|(_, id, _)| id)
}

/// What the members of a status say, wherever they stood.
#[derive(Default)]
struct Said {
    kind: Option<NotificationKind>,
    subscription: Option<FhirId>,
    status: Option<SubscriptionStatus>,
    count: Option<u64>,
    numbers: Vec<u64>,
    has_events: bool,
    is_marked: bool,
}

fn read(resource: &Value) -> Option<Notification> {
    let mut said = Said::default();
    match resource.get("resourceType").and_then(Value::as_str)? {
        "Parameters" => {
            for parameter in list(resource.get("parameter")) {
                said.parameter(parameter);
            }
        }
        kind if is_status_type(kind) => {
            for (name, value) in resource.as_object().into_iter().flatten() {
                said.member(&folded(name), value);
            }
        }
        _ => return None,
    }
    // Other `Parameters` may come to a hook too.
    let kind = said.kind.or_else(|| said.has_events.then_some(NotificationKind::Events));
    if !said.is_marked {
        return None;
    }
    said.numbers.sort_unstable();
    said.numbers.dedup();
    Some(Notification {
        kind: kind?,
        subscription: said.subscription,
        status: said.status,
        count: said.count,
        numbers: said.numbers,
    })
}

impl Said {
    fn parameter(&mut self, parameter: &Value) {
        let name = folded(parameter.get("name").and_then(Value::as_str).unwrap_or_default());
        if name == "notificationevent" {
            self.event(list(parameter.get("part")).iter().find_map(|part| {
                let named = part.get("name").and_then(Value::as_str).map(folded);
                (named.as_deref() == Some("eventnumber")).then(|| value_of(part)).flatten()
            }));
        } else if let Some(value) = value_of(parameter) {
            self.member(&name, value);
        }
    }

    fn member(&mut self, name: &str, value: &Value) {
        match name {
            "type" => {
                self.kind = value.as_str().and_then(kind_named);
                self.is_marked |= self.kind.is_some();
            }
            "subscription" => {
                let text = value.as_str().or_else(|| value.get("reference").and_then(Value::as_str));
                self.subscription = text.and_then(subscription_id);
                self.is_marked = true;
            }
            "status" => self.status = value.as_str().map(SubscriptionStatus::named),
            "eventssincesubscriptionstart" => self.count = number(value),
            "notificationevent" => {
                for event in list(Some(value)) {
                    let members = event.as_object().into_iter().flatten();
                    self.event(
                        members.filter(|(name, _)| folded(name) == "eventnumber").map(|(_, value)| value).next(),
                    );
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, numbered: Option<&Value>) {
        self.has_events = true;
        self.is_marked = true;
        self.numbers.extend(numbered.and_then(number));
    }
}

fn kind_named(name: &str) -> Option<NotificationKind> {
    match name {
        "handshake" => Some(NotificationKind::Handshake),
        "heartbeat" => Some(NotificationKind::Heartbeat),
        "event-notification" => Some(NotificationKind::Events),
        "query-status" => Some(NotificationKind::QueryStatus),
        "query-event" | "query-events" => Some(NotificationKind::QueryEvents),
        _ => None,
    }
}

/// `valueString`, `valueInteger`, `valueUnsignedInt`, ...: servers do not agree.
fn value_of(parameter: &Value) -> Option<&Value> {
    parameter.as_object()?.iter().find(|(name, _)| name.starts_with("value")).map(|(_, value)| value)
}

fn number(value: &Value) -> Option<u64> {
    let read = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    read.filter(|number| *number <= NUMBER_MAX)
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn folded(name: &str) -> String {
    name.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).take(64).collect()
}
