//! What an authenticated hook says changed. A hook grants nothing but "please look": every id heard here is
//! read again from the configured base before anything happens.
//!
//! Must stay true: pure; read leniently, for envelopes mix FHIR releases (`SubscriptionStatus` on an R4 base,
//! doubled types in a focus, numbers as text); whatever cannot be understood is said to be so, and nothing
//! is guessed from it.

use serde_json::Value;

use super::notification::{Notification, is_status_type, notification_of};
use super::service::split_reference;
use crate::base::{FhirId, ResourceType, VersionId};

/// A hook that names more resources than this is treated as a ping: the search finds them all.
pub const HEARD_MAX: usize = 1000;

/// One resource that is said to have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub kind: ResourceType,
    pub id: FhirId,
    /// The version the EHR spoke of, if it did; the current one may be later.
    pub version: Option<VersionId>,
}

impl Heard {
    /// The resource's place in the one order in which many are heard together.
    #[must_use]
    pub fn place(&self) -> (ResourceType, &str) {
        (self.kind, self.id.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookContent {
    /// Something changed; nobody says what.
    Ping,
    /// Never empty.
    Changed(Vec<Heard>),
    /// Nothing for us: another resource type, a handshake, a heartbeat. Names which.
    Other(String),
    Unreadable {
        why: &'static str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookMethod {
    Post,
    Put,
    Delete,
}

/// The path after `/fhir/hook/{ehr}`, as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPath<'a> {
    Bare,
    /// `/{Type}/{id}`: the endpoint taken as a service base (R4 rest-hook with a payload).
    Resource {
        kind: &'a str,
        id: &'a str,
    },
}

/// What a call says beside its content, and cannot be read.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub enum Beside {
    #[default]
    Nothing,
    /// An event that does not say of what, or says it in words of the sender's own.
    UnnamedEvent,
    /// A resource that should be ours, without a usable id.
    BrokenResource,
}

/// Why such a call is kept for people.
pub const BROKEN_RESOURCE: &str = "a resource in the Bundle has no usable id";

/// One call of a hook, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSaid {
    pub content: HookContent,
    /// Only behind [`HookContent::Changed`] and [`HookContent::Other`]: whatever else is said leads to a search by itself.
    pub beside: Beside,
    /// What its head says, where it is a topic-based notification.
    pub notification: Option<Notification>,
}

impl HookSaid {
    #[must_use]
    pub const fn unreadable(why: &'static str) -> Self {
        Self { content: HookContent::Unreadable { why }, beside: Beside::Nothing, notification: None }
    }
}

/// Understands one call of a hook.
#[must_use]
pub fn read_hook(body: &[u8], path: HookPath<'_>, method: HookMethod) -> HookSaid {
    let read = match method {
        HookMethod::Delete => Err(HookContent::Ping),
        HookMethod::Post | HookMethod::Put => parse_body(body),
    };
    let (content, beside, notification) = match &read {
        Ok(value) => {
            let (content, beside) = read_value(value);
            (content, beside, notification_of(value))
        }
        Err(content) => (content.clone(), Beside::Nothing, None),
    };
    HookSaid { content: with_path(path, content), beside, notification }
}

/// As a hook's body is read; for what an EHR answers instead of telling it.
pub(super) fn read_answer(value: &Value) -> HookSaid {
    let (content, beside) = read_value(value);
    HookSaid { content, beside, notification: notification_of(value) }
}

fn with_path(path: HookPath<'_>, content: HookContent) -> HookContent {
    let named = match path {
        HookPath::Bare => None,
        HookPath::Resource { kind, id } => match (kind.parse(), FhirId::parse(id)) {
            (Ok(kind), Ok(id)) => Some(Heard { kind, id, version: None }),
            (Err(_), _) => return HookContent::Other(plain_name(kind)),
            (_, Err(_)) => return HookContent::Unreadable { why: "the id in the path is not a FHIR id" },
        },
    };
    // The path is enough: what an odd body adds to it is heard too, what it lacks is not missed.
    match (named, content) {
        (None, content) => content,
        (Some(named), HookContent::Changed(mut heard)) => {
            if !heard.iter().any(|one| one.kind == named.kind && one.id == named.id) {
                heard.push(named);
            }
            HookContent::Changed(heard)
        }
        (Some(named), HookContent::Ping | HookContent::Other(_) | HookContent::Unreadable { .. }) => {
            HookContent::Changed(vec![named])
        }
    }
}

fn parse_body(body: &[u8]) -> Result<Value, HookContent> {
    if body.trim_ascii().is_empty() {
        return Err(HookContent::Ping);
    }
    serde_json::from_slice(body).map_err(|_| HookContent::Unreadable { why: "the body is not JSON" })
}

fn read_value(value: &Value) -> (HookContent, Beside) {
    let alone = |content| (content, Beside::Nothing);
    let Some(members) = value.as_object() else {
        return alone(HookContent::Unreadable { why: "the body is not a JSON object" });
    };
    if members.is_empty() {
        return alone(HookContent::Ping);
    }
    match kind_of(value) {
        None => alone(HookContent::Unreadable { why: "the body names no resource type" }),
        Some("Bundle") => read_bundle(value),
        Some(kind) if kind == "Parameters" || is_status_type(kind) => read_entries(std::slice::from_ref(value), Some),
        Some(kind) => alone(match (kind.parse::<ResourceType>(), heard_resource(value)) {
            (Ok(_), Some(heard)) => HookContent::Changed(vec![heard]),
            (Ok(_), None) => HookContent::Unreadable { why: "the resource has no usable id" },
            (Err(_), _) => HookContent::Other(plain_name(kind)),
        }),
    }
}

fn read_bundle(bundle: &Value) -> (HookContent, Beside) {
    match bundle.get("entry") {
        None | Some(Value::Null) => (HookContent::Ping, Beside::Nothing),
        Some(Value::Array(entries)) => read_entries(entries, |entry| entry.get("resource")),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            (HookContent::Unreadable { why: "the Bundle's entry is not a list" }, Beside::Nothing)
        }
    }
}

/// What a list of entries adds up to.
#[derive(Default)]
struct Tally {
    heard: Vec<Heard>,
    /// Handshake or heartbeat.
    alive: Option<&'static str>,
    other: Option<String>,
    broken: bool,
    /// The notification says that something happened.
    event: bool,
    /// And not to what.
    unnamed: bool,
}

fn read_entries<'a>(entries: &'a [Value], resource_of: fn(&'a Value) -> Option<&'a Value>) -> (HookContent, Beside) {
    let mut tally = Tally::default();
    for entry in entries {
        match resource_of(entry) {
            Some(resource) => tally.add_resource(resource),
            None => tally.add_links(entry),
        }
        if tally.heard.len() > HEARD_MAX {
            return (HookContent::Ping, Beside::Nothing);
        }
    }
    let beside = match (tally.broken, tally.unnamed) {
        (true, _) => Beside::BrokenResource,
        (false, true) => Beside::UnnamedEvent,
        (false, false) => Beside::Nothing,
    };
    let alone = |content| (content, Beside::Nothing);
    match tally {
        Tally { heard, .. } if !heard.is_empty() => (HookContent::Changed(heard), beside),
        Tally { broken: true, .. } => alone(HookContent::Unreadable { why: BROKEN_RESOURCE }),
        Tally { event: true, other: None, .. } => alone(HookContent::Ping),
        Tally { other: Some(other), .. } => (HookContent::Other(other), beside),
        Tally { alive: Some(alive), .. } => alone(HookContent::Other(alive.to_owned())),
        Tally { .. } => alone(HookContent::Ping),
    }
}

impl Tally {
    fn add(&mut self, heard: Heard) {
        let known = self.heard.iter_mut().find(|known| known.kind == heard.kind && known.id == heard.id);
        match known {
            Some(known) => known.version = heard.version.or_else(|| known.version.take()),
            None => self.heard.push(heard),
        }
    }

    fn add_resource(&mut self, resource: &Value) {
        match kind_of(resource) {
            Some("Parameters") => self.add_parameters(resource),
            Some(kind) if is_status_type(kind) => self.add_status(resource),
            Some(kind) if kind.parse::<ResourceType>().is_ok() => match heard_resource(resource) {
                Some(heard) => self.add(heard),
                None => self.broken = true,
            },
            Some(kind) => self.other = Some(plain_name(kind)),
            None => self.broken = true,
        }
    }

    /// An entry without a resource: the request it answers, or its full URL.
    fn add_links(&mut self, entry: &Value) {
        for link in [entry.pointer("/request/url"), entry.get("fullUrl")].into_iter().flatten() {
            self.add_reference(link);
        }
    }

    /// R4: the status as `Parameters`; names in kebab or camel case.
    fn add_parameters(&mut self, resource: &Value) {
        for parameter in list(resource.get("parameter")) {
            match folded_name(parameter).as_str() {
                "type" => self.add_type(parameter.get("valueCode").or_else(|| parameter.get("valueString"))),
                "notificationevent" => {
                    self.event = true;
                    let mut named = Named::No;
                    for part in list(parameter.get("part")) {
                        if folded_name(part) == "focus" {
                            let focus = ["valueReference", "valueUri", "valueUrl", "valueString", "valueCanonical"];
                            for focus in focus.iter().filter_map(|name| part.get(*name)) {
                                named = named.max(self.add_reference(focus));
                            }
                        }
                    }
                    self.unnamed |= named == Named::No;
                }
                _ => {}
            }
        }
    }

    /// R4B and R5: `SubscriptionStatus`.
    fn add_status(&mut self, resource: &Value) {
        self.add_type(resource.get("type"));
        for event in list(resource.get("notificationEvent")) {
            self.event = true;
            let named = event.get("focus").map_or(Named::No, |focus| self.add_reference(focus));
            self.unnamed |= named == Named::No;
        }
    }

    fn add_type(&mut self, kind: Option<&Value>) {
        match kind.and_then(Value::as_str) {
            Some("handshake") => self.alive = Some("handshake"),
            Some("heartbeat") => self.alive = Some("heartbeat"),
            Some("query-status") => self.alive = Some("query-status"),
            Some(_) | None => {}
        }
    }

    /// A `Reference` or a bare text: relative, absolute, versioned, or with its type doubled.
    fn add_reference(&mut self, reference: &Value) -> Named {
        let Some(text) = reference.as_str().or_else(|| reference.get("reference").and_then(Value::as_str)) else {
            return Named::No;
        };
        match heard_reference(text) {
            Ok(heard) => self.add(heard),
            Err(Some(kind)) => self.other = Some(plain_name(kind)),
            Err(None) => return Named::No,
        }
        Named::Yes
    }
}

/// Whether a reference says what it refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    No,
    Yes,
}

/// The resource that `text` ends in; `Err` names another type, if there is one.
fn heard_reference(text: &str) -> Result<Heard, Option<&str>> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    // The longest tail first, so that a version is not taken for an id.
    for length in [4, 2] {
        let Some(start) = parts.len().checked_sub(length) else { continue };
        let tail = parts.get(start..).unwrap_or_default().join("/");
        if let Some((kind, id, version)) = split_reference(&tail) {
            let kind = kind.parse().map_err(|_| parts.get(start).copied())?;
            return Ok(Heard { kind, id, version });
        }
    }
    Err(None)
}

fn heard_resource(resource: &Value) -> Option<Heard> {
    let text = |pointer| resource.pointer(pointer).and_then(Value::as_str);
    Some(Heard {
        kind: kind_of(resource)?.parse().ok()?,
        id: FhirId::parse(text("/id")?).ok()?,
        version: text("/meta/versionId").and_then(|version| VersionId::parse(version).ok()),
    })
}

fn kind_of(resource: &Value) -> Option<&str> {
    resource.get("resourceType").and_then(Value::as_str)
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn folded_name(parameter: &Value) -> String {
    let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
    name.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).take(64).collect()
}

/// A type name fit for a log: FHIR's alphabet and length, or a stand-in.
fn plain_name(kind: &str) -> String {
    let plain = (1..=64).contains(&kind.len()) && kind.bytes().all(|b| b.is_ascii_alphabetic());
    if plain { kind.to_owned() } else { "an unnamed type".to_owned() }
}
