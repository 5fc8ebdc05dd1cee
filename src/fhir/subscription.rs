//! Keeping one R4 rest-hook `Subscription` per resource type on the EHR
//! (<https://hl7.org/fhir/R4/subscription.html>).
//!
//! Must stay true: no status filter in the criteria (a filter hides recalls); a subscription that the server put
//! into error is asked for again only when it still says what we asked for, and the caller is told why.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::client::{EhrClient, Fetched};
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::notification::subscription_id;
use super::transport::{self, FHIR_JSON};
use crate::base::{FhirId, ResourceType, SecretText, VersionId};

/// A Subscription is small; a larger answer is refused.
pub(super) const SUBSCRIPTION_BYTES_MAX: usize = 1024 * 1024;

const SEND_DELETES: &str = "http://hapifhir.io/fhir/StructureDefinition/subscription-send-delete-messages";

/// The header by which the EHR shows that a hook call comes from it. Use a secret without a colon: some servers
/// cut the value at the second one.
pub struct HookHeader {
    pub name: String,
    pub secret: SecretText,
}

/// What Chartseal wants to be told.
pub struct Wish<'a> {
    pub kind: ResourceType,
    pub endpoint: &'a Url,
    pub header: &'a HookHeader,
    /// The text by which the EHR's staff recognise the subscription.
    pub reason: &'a str,
    /// The subscription of an earlier run.
    pub known: Option<&'a FhirId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    pub id: FhirId,
    pub status: SubscriptionStatus,
    pub action: SubscriptionAction,
    /// Further subscriptions of the same type and endpoint: each report is then announced more than once.
    pub duplicates: usize,
}

/// As the server says; `Active` proves that it is stored, not that it delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionStatus {
    Requested,
    Active,
    Error,
    Off,
    Unrecognised,
}

impl SubscriptionStatus {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "requested" => Self::Requested,
            "active" => Self::Active,
            "error" => Self::Error,
            "off" => Self::Off,
            _ => Self::Unrecognised,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionAction {
    Kept,
    Created,
    Updated {
        why: UpdateReason,
    },
    /// The server changed our criteria and put the subscription into error or off: its staff must say what is allowed.
    LeftForStaff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateReason {
    CriteriaDiffered,
    ChannelDiffered,
    /// The server had put it into error: search back to the last good point, events were lost.
    WasInError,
    /// As above, but switched off.
    WasOff,
    /// Its end has come, or is near.
    Expires,
    /// The server calls it active, but its heartbeat has stopped.
    FellSilent,
}

/// A subscription found on the server.
struct Remote {
    id: FhirId,
    version: Option<VersionId>,
    status: SubscriptionStatus,
    criteria: String,
    deletes: Deletes,
    same_endpoint: bool,
    same_channel: bool,
}

/// Whether a Subscription asks to be told of deletes, in the words of HAPI and its kin: R4 itself has none. Whoever does not
/// know the extension may ignore it (<https://hl7.org/fhir/R4/extensibility.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletes {
    AskedFor,
    Unsaid,
}

/// What a server said to a Subscription that was written.
pub(super) struct Written {
    /// `None`: nothing that can be read.
    pub(super) answer: Option<Value>,
    /// A server may answer a create without a body and name the id in Location only.
    pub(super) named: Option<FhirId>,
}

impl EhrClient {
    /// Makes the server hold what `wish` says, changing as little as possible.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn ensure_subscription(&self, wish: &Wish<'_>) -> Result<SubscriptionState, EhrError> {
        let mut found = self.find(wish).await?;
        let duplicates = found.len().saturating_sub(1);
        let chosen = found.iter().position(|remote| Some(&remote.id) == wish.known).unwrap_or(0);
        if chosen >= found.len() {
            return Ok(SubscriptionState { duplicates, ..self.create_subscription(wish).await? });
        }
        let remote = found.swap_remove(chosen);
        let same_criteria = bare(&remote.criteria) == wish.kind.as_str();
        let stopped = match remote.status {
            SubscriptionStatus::Error => Some(UpdateReason::WasInError),
            SubscriptionStatus::Off => Some(UpdateReason::WasOff),
            SubscriptionStatus::Requested | SubscriptionStatus::Active | SubscriptionStatus::Unrecognised => None,
        };
        let why = match (same_criteria, remote.same_channel, stopped) {
            (true, true, None) => {
                let action = SubscriptionAction::Kept;
                return Ok(SubscriptionState { id: remote.id, status: remote.status, action, duplicates });
            }
            (false, _, Some(_)) => {
                let action = SubscriptionAction::LeftForStaff;
                return Ok(SubscriptionState { id: remote.id, status: remote.status, action, duplicates });
            }
            (_, _, Some(why)) => why,
            (false, _, None) => UpdateReason::CriteriaDiffered,
            (true, false, None) => UpdateReason::ChannelDiffered,
        };
        let criteria = if same_criteria { remote.criteria.clone() } else { format!("{}?", wish.kind) };
        let updated = self.write(wish, &criteria, remote.deletes, Some(&remote)).await?;
        Ok(SubscriptionState { action: SubscriptionAction::Updated { why }, duplicates, ..updated })
    }

    /// Asks for a subscription, whatever the server holds.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn create_subscription(&self, wish: &Wish<'_>) -> Result<SubscriptionState, EhrError> {
        let created = self.create(wish).await?;
        Ok(SubscriptionState { action: SubscriptionAction::Created, ..created })
    }

    /// Ours on the server: the known one, and those of the same type and endpoint.
    async fn find(&self, wish: &Wish<'_>) -> Result<Vec<Remote>, EhrError> {
        let mut found = Vec::new();
        if let Some(known) = wish.known {
            let request = self.ask(Method::GET, self.base.at(&["Subscription", known.as_str()]));
            if let Fetched::Body { body, .. } = self.fetch_json(request, SUBSCRIPTION_BYTES_MAX).await? {
                found.extend(Remote::read(&parse_json(&body)?, wish));
            }
        }
        let mut url = self.base.at(&["Subscription"]);
        url.query_pairs_mut().append_pair("url", wish.endpoint.as_str()).append_pair("_count", "100");
        let request = self.ask(Method::GET, url);
        let body = match self.fetch_json(request, self.limits.page_bytes_max).await? {
            Fetched::Body { body, .. } => body,
            Fetched::Gone(body) => return Err(body.nothing_here()),
        };
        let bundle = parse_json(&body)?;
        for entry in bundle.get("entry").and_then(Value::as_array).into_iter().flatten() {
            let remote = entry.get("resource").and_then(|resource| Remote::read(resource, wish));
            found.extend(remote.filter(|remote| {
                remote.same_endpoint && bare(&remote.criteria) == wish.kind.as_str() && Some(&remote.id) != wish.known
            }));
        }
        Ok(found)
    }

    /// Tries the plain words first, then those that a strict server takes.
    async fn create(&self, wish: &Wish<'_>) -> Result<SubscriptionState, EhrError> {
        let asked = format!("{}?", wish.kind);
        let bare = wish.kind.as_str();
        for (criteria, deletes) in
            [(asked.as_str(), Deletes::AskedFor), (bare, Deletes::AskedFor), (&asked, Deletes::Unsaid)]
        {
            match self.write(wish, criteria, deletes, None).await {
                Err(EhrError::Rejected { status: 400 | 422 }) => {}
                answer => return answer,
            }
        }
        self.write(wish, bare, Deletes::Unsaid, None).await
    }

    async fn write(
        &self,
        wish: &Wish<'_>,
        criteria: &str,
        deletes: Deletes,
        old: Option<&Remote>,
    ) -> Result<SubscriptionState, EhrError> {
        let body = Zeroizing::new(resource(wish, criteria, deletes, old)?.to_string());
        let old = old.map(|old| (&old.id, old.version.as_ref()));
        let Written { answer, named } = self.write_subscription(&body, old).await?;
        let remote = answer.and_then(|answer| Remote::read(&answer, wish));
        let id = remote.as_ref().map(|remote| remote.id.clone()).or(named);
        Ok(SubscriptionState {
            id: id.ok_or_else(|| Malformed::new("Subscription.id", "is missing"))?,
            status: remote.map_or(SubscriptionStatus::Requested, |remote| remote.status),
            action: SubscriptionAction::Kept,
            duplicates: 0,
        })
    }

    /// Writes a Subscription, in the place of the one with this id in this version if there is one.
    pub(super) async fn write_subscription(
        &self,
        body: &str,
        old: Option<(&FhirId, Option<&VersionId>)>,
    ) -> Result<Written, EhrError> {
        let request = match old {
            None => self.ask(Method::POST, self.base.at(&["Subscription"])),
            Some((id, version)) => {
                let request = self.ask(Method::PUT, self.base.at(&["Subscription", id.as_str()]));
                match version {
                    Some(version) => request.header(IF_MATCH, format!("W/\"{version}\"")),
                    None => request,
                }
            }
        };
        let request = request.header(CONTENT_TYPE, FHIR_JSON).body(body.to_owned());
        let response = self.send(request, self.limits.answer_timeout).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            return Err(transport::refusal(status, &headers));
        }
        let answer = transport::body(response, SUBSCRIPTION_BYTES_MAX).await?;
        let named = match old {
            Some((id, _)) => Some(id.clone()),
            None => transport::location(&headers).as_deref().and_then(subscription_id),
        };
        Ok(Written { answer: parse_json(&answer).ok(), named })
    }
}

impl Remote {
    fn read(resource: &Value, wish: &Wish<'_>) -> Option<Self> {
        let text = |pointer| resource.pointer(pointer).and_then(Value::as_str);
        if text("/resourceType") != Some("Subscription") {
            return None;
        }
        let headers = resource.pointer("/channel/header").and_then(Value::as_array);
        let header_line = line(wish.header);
        let mut headers = headers.into_iter().flatten().filter_map(Value::as_str).peekable();
        // A server that keeps headers or the payload's type to itself shows none: no reason to write them again for ever.
        let has_header = headers.peek().is_none()
            || headers.any(|held| SecretText::new(held.trim().to_owned()).matches(header_line.as_bytes()));
        let same_endpoint = text("/channel/endpoint") == Some(wish.endpoint.as_str());
        let extensions = resource.pointer("/channel/extension").and_then(Value::as_array);
        let asks =
            extensions.into_iter().flatten().any(|one| one.get("url").and_then(Value::as_str) == Some(SEND_DELETES));
        Some(Self {
            id: FhirId::parse(text("/id")?).ok()?,
            version: text("/meta/versionId").and_then(|version| VersionId::parse(version).ok()),
            status: SubscriptionStatus::named(text("/status").unwrap_or_default()),
            deletes: if asks { Deletes::AskedFor } else { Deletes::Unsaid },
            criteria: text("/criteria").unwrap_or_default().to_owned(),
            same_endpoint,
            same_channel: same_endpoint
                && has_header
                && text("/channel/type") == Some("rest-hook")
                && text("/channel/payload").is_none_or(|payload| payload == FHIR_JSON),
        })
    }
}

fn resource(wish: &Wish<'_>, criteria: &str, deletes: Deletes, old: Option<&Remote>) -> Result<Value, EhrError> {
    check(wish.header)?;
    let mut resource = json!({
        "resourceType": "Subscription",
        "status": "requested",
        "reason": wish.reason,
        "criteria": criteria,
        "channel": {
            "type": "rest-hook",
            "endpoint": wish.endpoint.as_str(),
            "payload": FHIR_JSON,
            "header": [line(wish.header).as_str()],
        },
    });
    if let (Some(old), Some(members)) = (old, resource.as_object_mut()) {
        members.insert("id".to_owned(), json!(old.id.as_str()));
    }
    if let (Deletes::AskedFor, Some(Value::Object(channel))) = (deletes, resource.get_mut("channel")) {
        channel.insert("extension".to_owned(), json!([{"url": SEND_DELETES, "valueBoolean": true}]));
    }
    Ok(resource)
}

/// No header can smuggle a second one into the EHR's requests.
pub(super) fn check(header: &HookHeader) -> Result<(), EhrError> {
    let name = HeaderName::from_bytes(header.name.as_bytes());
    let value = HeaderValue::from_str(header.secret.expose());
    if name.is_err() || value.is_err() {
        return Err(EhrError::Settings { why: "the hook's header cannot be sent" });
    }
    Ok(())
}

pub(super) fn line(header: &HookHeader) -> Zeroizing<String> {
    Zeroizing::new(format!("{}: {}", header.name, header.secret.expose()))
}

/// `DiagnosticReport?`, `DiagnosticReport` and HAPI's `[DiagnosticReport]` ask for the same.
fn bare(criteria: &str) -> &str {
    criteria.trim().trim_end_matches('?').trim_start_matches('[').trim_end_matches(']')
}
