//! Keeping one topic-based `Subscription` on the EHR: the Backport IG's on R4 and R4B
//! (<https://hl7.org/fhir/uv/subscriptions-backport/>), the native one on R5; and asking it how it stands.
//!
//! Must stay true: what the server stored is compared with what it was asked for. One that it stopped with other filters is
//! left to people, since it stopped it because of them; nothing is flipped from error to requested unseen.

mod written;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use written::resource;

use crate::base::{FhirId, SecretText, UtcMillis, VersionId, minutes};
use crate::fhir::client::{EhrClient, Fetched};
use crate::fhir::error::{EhrError, Malformed};
use crate::fhir::gate::parse_json;
use crate::fhir::hook::{HookSaid, read_answer};
use crate::fhir::notification::{Notification, notifications_in};
use crate::fhir::subscription::{
    HookHeader, SUBSCRIPTION_BYTES_MAX, SubscriptionAction, SubscriptionStatus, UpdateReason, Written, check, line,
};

/// A subscription that ends so soon is asked for anew before it does.
const ENDS_SOON: Duration = minutes(10);
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-";

/// In which words a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicForm {
    /// R4 and R4B: a classic Subscription with the Backport IG's extensions.
    Backport,
    /// R5.
    Native,
}

/// How much a notification tells. A hook is believed nothing else than which resource to read, whatever it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicContent {
    Empty,
    IdOnly,
    FullResource,
}

impl TopicContent {
    const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::IdOnly => "id-only",
            Self::FullResource => "full-resource",
        }
    }
}

/// `DiagnosticReport?category=LAB`: of this type only what matches. One parameter each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicFilter(String);

impl TopicFilter {
    /// # Errors
    /// What is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "expected a filter such as \"DiagnosticReport?category=LAB\"";
        let (kind, query) = text.split_once('?').ok_or(FORM)?;
        let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_kind || text.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(FORM);
        }
        if query.contains('&') {
            return Err("expected one parameter: write a filter for each, all must hold");
        }
        let (name, value) = query.split_once('=').ok_or(FORM)?;
        match name.split(':').next().unwrap_or_default() {
            "" => Err(FORM),
            _ if value.is_empty() => Err(FORM),
            "patient" | "subject" => Err("one patient cannot be the filter: the clinic's patients change"),
            "status" | "docStatus" | "doc-status" => Err("a filter on status hides what is taken back: leave it out"),
            _ => Ok(Self(text.to_owned())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What Chartseal wants to be told.
pub struct TopicWish<'a> {
    pub form: TopicForm,
    /// The topic's canonical URL.
    pub topic: &'a str,
    pub filters: &'a [TopicFilter],
    pub content: TopicContent,
    /// Zero: none.
    pub heartbeat: Duration,
    /// Events in one notification at most.
    pub events_max: u32,
    pub endpoint: &'a Url,
    pub header: &'a HookHeader,
    pub reason: &'a str,
    /// The subscription of an earlier run.
    pub known: Option<&'a FhirId>,
    /// The terms on which it was last asked for: [`TopicState::terms`] of then.
    pub asked: Option<&'a str>,
}

/// Whether a subscription that looks sound is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insist {
    No,
    /// Its heartbeat has stopped.
    FellSilent,
    /// `$status` said last time that it was stopped.
    SaysStopped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    pub id: FhirId,
    pub status: SubscriptionStatus,
    pub action: SubscriptionAction,
    pub duplicates: usize,
    /// Topic and filters as they were last asked for.
    pub terms: String,
    /// Ours that the server does not hold, where it was left to staff.
    pub refused: Vec<String>,
}

/// What `$status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusSaid {
    NotOffered,
    Says { status: Option<SubscriptionStatus>, count: Option<u64> },
}

/// What `$events` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsSaid {
    NotOffered,
    Says(HookSaid),
}

/// A subscription found on the server.
struct Remote {
    id: FhirId,
    version: Option<VersionId>,
    status: SubscriptionStatus,
    topic: String,
    filters: BTreeSet<String>,
    ends_at: Option<UtcMillis>,
    same_endpoint: bool,
    same_channel: bool,
}

impl EhrClient {
    /// Makes the server hold what `wish` says, changing as little as possible.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn ensure_topic(
        &self,
        wish: &TopicWish<'_>,
        insist: Insist,
        now: UtcMillis,
    ) -> Result<TopicState, EhrError> {
        let mut found = self.find_topic(wish).await?;
        let duplicates = found.len().saturating_sub(1);
        if found.is_empty() {
            return self.create_topic(wish).await;
        }
        let remote = found.swap_remove(0);
        let (why, held) = (why(&remote, wish, insist, now), terms(&remote.topic, remote.filters.iter()));
        let terms = wish.asked.unwrap_or(held.as_str()).to_owned();
        let action = match why {
            Verdict::Sound => SubscriptionAction::Kept,
            Verdict::LeaveToStaff => SubscriptionAction::LeftForStaff,
            Verdict::Ask(why) => {
                let updated = self.write_topic(wish, Some(&remote)).await?;
                return Ok(TopicState { action: SubscriptionAction::Updated { why }, duplicates, ..updated });
            }
        };
        let refused = wish.filters.iter().map(|filter| filter.0.clone()).filter(|one| !remote.filters.contains(one));
        let refused = refused.collect();
        Ok(TopicState { id: remote.id, status: remote.status, action, duplicates, terms, refused })
    }

    /// Asks for a subscription, whatever the server holds.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn create_topic(&self, wish: &TopicWish<'_>) -> Result<TopicState, EhrError> {
        let created = self.write_topic(wish, None).await?;
        Ok(TopicState { action: SubscriptionAction::Created, ..created })
    }

    /// Asks how the subscription stands, and how many events there have been.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn topic_status(&self, id: &FhirId) -> Result<StatusSaid, EhrError> {
        let url = self.base.at(&["Subscription", id.as_str(), "$status"]);
        let Some(body) = self.operation(url, SUBSCRIPTION_BYTES_MAX).await? else { return Ok(StatusSaid::NotOffered) };
        let said = notifications_in(&body);
        let is_ours = |one: &&Notification| one.subscription.as_ref() == Some(id);
        let ours = said.iter().find(is_ours).or_else(|| said.first().filter(|one| one.subscription.is_none()));
        Ok(ours.map_or(StatusSaid::NotOffered, |one| StatusSaid::Says { status: one.status, count: one.count }))
    }

    /// Asks for the events numbered `first` to `last` again.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn missed_events(&self, id: &FhirId, first: u64, last: u64) -> Result<EventsSaid, EhrError> {
        let mut url = self.base.at(&["Subscription", id.as_str(), "$events"]);
        url.query_pairs_mut()
            .append_pair("eventsSinceNumber", &first.to_string())
            .append_pair("eventsUntilNumber", &last.to_string())
            .append_pair("content", TopicContent::IdOnly.code());
        let body = self.operation(url, self.limits.page_bytes_max).await?;
        Ok(body.map_or(EventsSaid::NotOffered, |body| EventsSaid::Says(read_answer(&body))))
    }

    /// `None` where the server has no such operation.
    async fn operation(&self, url: Url, limit_bytes: usize) -> Result<Option<Value>, EhrError> {
        match self.fetch_json(self.ask(Method::GET, url), limit_bytes).await {
            Ok(Fetched::Body { body, .. }) => Ok(Some(parse_json(&body)?)),
            Ok(Fetched::Gone(_)) | Err(EhrError::Rejected { .. } | EhrError::Server { status: 501 }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ours on the server, the known one first.
    async fn find_topic(&self, wish: &TopicWish<'_>) -> Result<Vec<Remote>, EhrError> {
        let mut found = Vec::new();
        if let Some(known) = wish.known {
            let request = self.ask(Method::GET, self.base.at(&["Subscription", known.as_str()]));
            if let Fetched::Body { body, .. } = self.fetch_json(request, SUBSCRIPTION_BYTES_MAX).await? {
                found.extend(Remote::read(&parse_json(&body)?, wish));
            }
        }
        let mut url = self.base.at(&["Subscription"]);
        url.query_pairs_mut().append_pair("url", wish.endpoint.as_str()).append_pair("_count", "100");
        let body = match self.fetch_json(self.ask(Method::GET, url), self.limits.page_bytes_max).await? {
            Fetched::Body { body, .. } => body,
            Fetched::Gone(body) => return Err(body.nothing_here()),
        };
        let bundle = parse_json(&body)?;
        for entry in bundle.get("entry").and_then(Value::as_array).into_iter().flatten() {
            let remote = entry.get("resource").and_then(|resource| Remote::read(resource, wish));
            found.extend(
                remote.filter(|remote| {
                    remote.same_endpoint && remote.topic == wish.topic && Some(&remote.id) != wish.known
                }),
            );
        }
        Ok(found)
    }

    async fn write_topic(&self, wish: &TopicWish<'_>, old: Option<&Remote>) -> Result<TopicState, EhrError> {
        check(wish.header)?;
        let body = Zeroizing::new(resource(wish, old.map(|old| &old.id)).to_string());
        let old = old.map(|old| (&old.id, old.version.as_ref()));
        let Written { answer, named } = self.write_subscription(&body, old).await?;
        let remote = answer.and_then(|answer| Remote::read(&answer, wish));
        let id = remote.as_ref().map(|remote| remote.id.clone()).or(named);
        Ok(TopicState {
            id: id.ok_or_else(|| Malformed::new("Subscription.id", "is missing"))?,
            status: remote.map_or(SubscriptionStatus::Requested, |remote| remote.status),
            action: SubscriptionAction::Kept,
            duplicates: 0,
            terms: terms(wish.topic, wish.filters.iter().map(|filter| &filter.0)),
            refused: Vec::new(),
        })
    }
}

enum Verdict {
    Sound,
    Ask(UpdateReason),
    LeaveToStaff,
}

/// What is to be done with what the server holds.
fn why(remote: &Remote, wish: &TopicWish<'_>, insist: Insist, now: UtcMillis) -> Verdict {
    let held = terms(&remote.topic, remote.filters.iter());
    let same_terms = held == terms(wish.topic, wish.filters.iter().map(|filter| &filter.0));
    let as_asked = same_terms || wish.asked == Some(held.as_str());
    let stopped = match remote.status {
        SubscriptionStatus::Error => Some(UpdateReason::WasInError),
        SubscriptionStatus::Off => Some(UpdateReason::WasOff),
        SubscriptionStatus::Requested | SubscriptionStatus::Active | SubscriptionStatus::Unrecognised => None,
    };
    let ends = remote.ends_at.is_some_and(|at| at <= now.plus(ENDS_SOON)).then_some(UpdateReason::Expires);
    let silent = match insist {
        Insist::No => None,
        Insist::FellSilent => Some(UpdateReason::FellSilent),
        Insist::SaysStopped => Some(UpdateReason::WasInError),
    };
    match (as_asked, stopped.or(ends)) {
        (false, Some(_)) => return Verdict::LeaveToStaff,
        (true, Some(why)) => return Verdict::Ask(why),
        (true | false, None) => {}
    }
    let differs = if !same_terms {
        Some(UpdateReason::CriteriaDiffered)
    } else if remote.same_channel {
        None
    } else {
        Some(UpdateReason::ChannelDiffered)
    };
    differs.or(silent).map_or(Verdict::Sound, Verdict::Ask)
}

/// Topic and filters as one text, whatever their order.
fn terms<'a>(topic: &str, filters: impl Iterator<Item = &'a String>) -> String {
    let sorted: BTreeSet<&str> = filters.map(String::as_str).collect();
    std::iter::once(topic).chain(sorted).collect::<Vec<_>>().join("\n")
}

impl Remote {
    fn read(resource: &Value, wish: &TopicWish<'_>) -> Option<Self> {
        let text = |pointer| resource.pointer(pointer).and_then(Value::as_str);
        if text("/resourceType") != Some("Subscription") {
            return None;
        }
        let (topic, endpoint, rest_hook, content) = match wish.form {
            TopicForm::Backport => {
                let content = extensions(resource.pointer("/channel/_payload"), "payload-content").next();
                (text("/criteria"), text("/channel/endpoint"), text("/channel/type"), content)
            }
            TopicForm::Native => {
                let content = text("/content").map(str::to_owned);
                (text("/topic"), text("/endpoint"), text("/channelType/code"), content)
            }
        };
        let same_endpoint = endpoint == Some(wish.endpoint.as_str());
        let same_content = content.as_deref() == Some(wish.content.code());
        Some(Self {
            id: FhirId::parse(text("/id")?).ok()?,
            version: text("/meta/versionId").and_then(|version| VersionId::parse(version).ok()),
            status: match text("/status") {
                // R5's word for one that should never have been.
                Some("entered-in-error") => SubscriptionStatus::Off,
                status => SubscriptionStatus::named(status.unwrap_or_default()),
            },
            topic: topic.unwrap_or_default().to_owned(),
            filters: filters_of(resource, wish.form),
            ends_at: text("/end").and_then(UtcMillis::parse_rfc3339),
            same_channel: same_endpoint
                && rest_hook == Some("rest-hook")
                && same_content
                && shows_secret(resource, wish),
            same_endpoint,
        })
    }
}

/// Whether the header is as it should be. A server that keeps headers to itself shows none: no reason to write it again.
fn shows_secret(resource: &Value, wish: &TopicWish<'_>) -> bool {
    let wanted = line(wish.header);
    let held: Vec<Zeroizing<String>> = match wish.form {
        TopicForm::Backport => list(resource.pointer("/channel/header"))
            .filter_map(|header| Some(Zeroizing::new(header.as_str()?.trim().to_owned())))
            .collect(),
        TopicForm::Native => list(resource.get("parameter"))
            .filter_map(|header| {
                let text = |name: &str| header.get(name).and_then(Value::as_str);
                Some(Zeroizing::new(format!("{}: {}", text("name")?, text("value")?)))
            })
            .collect(),
    };
    held.is_empty() || held.iter().any(|held| SecretText::new(held.to_string()).matches(wanted.as_bytes()))
}

fn filters_of(resource: &Value, form: TopicForm) -> BTreeSet<String> {
    match form {
        TopicForm::Backport => extensions(resource.get("_criteria"), "filter-criteria")
            .map(|filter| filter.trim().trim_start_matches('/').to_owned())
            .collect(),
        TopicForm::Native => list(resource.get("filterBy"))
            .map(|filter| {
                let text = |name: &str| filter.get(name).and_then(Value::as_str).unwrap_or_default();
                let kind = text("resourceType").rsplit('/').next().unwrap_or_default();
                let modifier = Some(text("modifier")).filter(|m| !m.is_empty()).map(|m| format!(":{m}"));
                let modifier = modifier.unwrap_or_default();
                format!("{kind}?{}{modifier}={}", text("filterParameter"), text("value"))
            })
            .collect(),
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The texts of the IG's extension `name`, by the end of its URL.
fn extensions<'a>(element: Option<&'a Value>, name: &'a str) -> impl Iterator<Item = String> + 'a {
    list(element.and_then(|element| element.get("extension")))
        .filter(move |one| {
            let url = one.get("url").and_then(Value::as_str).unwrap_or_default();
            url.strip_prefix(BACKPORT) == Some(name)
        })
        .filter_map(|one| {
            let text = one.get("valueString").or_else(|| one.get("valueCode"))?;
            text.as_str().map(str::to_owned)
        })
}
