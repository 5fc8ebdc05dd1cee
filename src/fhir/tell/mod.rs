//! Telling an EHR what became of its reports.
//!
//! Must stay true: each thing is created under an identifier of its own and `If-None-Exist`, so that one whose answer was
//! lost is harmless when it is told again; only what was created here is ever changed; a page of a proxy is not taken for an
//! answer.

mod resources;
mod task;
#[cfg(test)]
mod tests;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{EhrClient, Fetched};
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::offers::{items, text};
use super::pace::Turn;
use super::service::ServiceBase;
use super::transport::{self, FHIR_JSON};
use crate::base::{FhirId, ToldId, UtcMillis, VersionId};
use crate::policy::{Channel, RecipientRole};
use crate::record::{Fact, ToDo, Told};

pub use resources::{MARK, MARK_SYSTEM, TASK_END_SYSTEM, TO_DO_SYSTEM, TOLD_SYSTEM};
pub use task::{DISCUSSED, TaskEnd, TaskSaid, TaskStands, TaskState};

const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A message went out.
    Message,
    /// A document was read.
    Disclosure,
    /// A report left by this program.
    Sending,
    ToDo(ToDo),
}

impl Word {
    /// `None` where a fact is not told by a resource of its own.
    #[must_use]
    pub const fn of(fact: Fact, told: Told) -> Option<Self> {
        match (fact, told) {
            (Fact::Sent, Told::Communication) => Some(Self::Message),
            (Fact::Sent, Told::Provenance) => Some(Self::Sending),
            (Fact::Opened, Told::AuditEvent) => Some(Self::Disclosure),
            (Fact::ToDo(to_do), Told::Task) => Some(Self::ToDo(to_do)),
            (Fact::Sent, Told::AuditEvent | Told::Task)
            | (Fact::Opened, Told::Communication | Told::Provenance | Told::Task)
            | (Fact::ToDo(_), Told::Communication | Told::AuditEvent | Told::Provenance) => None,
        }
    }

    const fn told(self) -> Told {
        match self {
            Self::Message => Told::Communication,
            Self::Disclosure => Told::AuditEvent,
            Self::Sending => Told::Provenance,
            Self::ToDo(_) => Told::Task,
        }
    }
}

/// One thing to tell. Patient data: no `Debug`.
#[derive(Clone, Copy)]
pub struct Telling<'a> {
    pub id: &'a ToldId,
    pub word: Word,
    /// `None`: the report could not be read, so nobody knows; only a Task can be told then.
    pub patient: Option<&'a FhirId>,
    pub recipient: RecipientRole,
    /// By which the message went.
    pub channel: Channel,
    /// References to the versions of the reports.
    pub about: &'a [String],
    /// When it happened.
    pub at: UtcMillis,
    pub base: &'a ServiceBase,
}

/// What came of a later change to something written before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amended {
    Done,
    /// It says so already, or somebody has ended it.
    NotNeeded,
    /// It is gone, or no longer ours.
    NotThere,
}

impl Telling<'_> {
    /// The resource that is written.
    #[must_use]
    pub fn resource(&self) -> Value {
        resources::resource(self)
    }
}

impl EhrClient {
    /// Creates it, unless it is there already. Returns its id, where the EHR says it.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn tell(&self, telling: &Telling<'_>) -> Result<Option<FhirId>, EhrError> {
        let told = telling.word.told();
        let exists = resources::search_for(told, telling.id.as_str());
        let exists = HeaderValue::from_str(&exists)
            .map_err(|_| EhrError::Settings { why: "what is told cannot be looked for" })?;
        let request = self
            .ask(Method::POST, self.base.at(&[told.type_name()]))
            .header(CONTENT_TYPE, FHIR_JSON)
            .header(IF_NONE_EXIST, exists)
            .body(telling.resource().to_string());
        let response = self.send_in(Turn::WhenQuiet, request, self.limits.answer_timeout).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            return Err(refusal(status, &headers));
        }
        let body = transport::body(response, ANSWER_BYTES_MAX).await?;
        created(told, status, &headers, &body)
    }

    /// Notes on the Communication of `telling` when its message was first opened. What others added to it stays.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn tell_received(
        &self,
        id: &ToldId,
        remote: Option<&FhirId>,
        at: UtcMillis,
    ) -> Result<Amended, EhrError> {
        let Some((remote, mut resource)) = self.find_told(Told::Communication, id, remote).await? else {
            return Ok(Amended::NotThere);
        };
        if resource.get("received").is_some() {
            return Ok(Amended::NotNeeded);
        }
        resources::put(&mut resource, "received", json!(at.to_rfc3339()));
        self.amend(Told::Communication, &remote, &resource, version_of(&resource).as_ref()).await
    }

    /// How the Task of `telling` stands; `None` when it is gone.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn task(
        &self,
        telling: &Telling<'_>,
        to_do: ToDo,
        remote: Option<&FhirId>,
    ) -> Result<Option<(FhirId, TaskSaid)>, EhrError> {
        let found = self.find_told(Told::Task, telling.id, remote).await?;
        Ok(found.map(|(remote, resource)| (remote, TaskSaid::read(&resource, telling, to_do))))
    }

    /// Ends a Task that is still open: nothing is left to do.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn end_task(
        &self,
        telling: &Telling<'_>,
        to_do: ToDo,
        remote: Option<&FhirId>,
    ) -> Result<Amended, EhrError> {
        let Some((remote, mut resource)) = self.find_told(Told::Task, telling.id, remote).await? else {
            return Ok(Amended::NotThere);
        };
        let said = TaskSaid::read(&resource, telling, to_do);
        match said.state {
            TaskState::Open => {}
            TaskState::Completed | TaskState::TurnedDown | TaskState::EnteredInError | TaskState::Unclear => {
                return Ok(Amended::NotNeeded);
            }
        }
        resources::put(&mut resource, "status", json!("cancelled"));
        let end = json!({"coding": [{"system": TASK_END_SYSTEM, "code": "settled"}], "text": "settled in Chartseal"});
        resources::put(&mut resource, "businessStatus", end);
        self.amend(Told::Task, &remote, &resource, said.version.as_ref()).await
    }

    /// What was told under `id`: by its id at the EHR where that is known, or else looked for. `None`: it is gone, or what
    /// stands there is not ours.
    async fn find_told(
        &self,
        told: Told,
        id: &ToldId,
        remote: Option<&FhirId>,
    ) -> Result<Option<(FhirId, Value)>, EhrError> {
        let is_ours = |resource: &Value| {
            text(resource, "resourceType") == Some(told.type_name())
                && items(resource, "identifier")
                    .any(|one| text(one, "system") == Some(TOLD_SYSTEM) && text(one, "value") == Some(id.as_str()))
        };
        let mut url = self.base.at(&[told.type_name()]);
        if let Some(remote) = remote {
            url = self.base.at(&[told.type_name(), remote.as_str()]);
        } else {
            url.set_query(Some(&resources::search_for(told, id.as_str())));
        }
        let body = match self.fetch_json_in(Turn::WhenQuiet, self.ask(Method::GET, url), ANSWER_BYTES_MAX).await? {
            Fetched::Body { body, .. } => parse_json(&body)?,
            Fetched::Gone(_) => return Ok(None),
        };
        let found = match remote {
            Some(_) => Some(body).filter(is_ours),
            None => items(&body, "entry").filter_map(|entry| entry.get("resource")).find(|one| is_ours(one)).cloned(),
        };
        Ok(found.and_then(|resource| {
            let id = FhirId::parse(text(&resource, "id")?).ok()?;
            Some((id, resource))
        }))
    }

    async fn amend(
        &self,
        told: Told,
        remote: &FhirId,
        resource: &Value,
        version: Option<&VersionId>,
    ) -> Result<Amended, EhrError> {
        let request = self.ask(Method::PUT, self.base.at(&[told.type_name(), remote.as_str()]));
        let request = match version {
            Some(version) => request.header(IF_MATCH, format!("W/\"{version}\"")),
            None => request,
        };
        let request = request.header(CONTENT_TYPE, FHIR_JSON).body(resource.to_string());
        let response = self.send_in(Turn::WhenQuiet, request, self.limits.answer_timeout).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            return Err(refusal(status, &headers));
        }
        let body = transport::body(response, ANSWER_BYTES_MAX).await?;
        if is_page(&headers, &body) { Err(EhrError::NotFhir) } else { Ok(Amended::Done) }
    }
}

/// 404 to a create: it knows no such type.
fn refusal(status: StatusCode, headers: &HeaderMap) -> EhrError {
    match status.as_u16() {
        status @ (404 | 410) => EhrError::Rejected { status },
        _ => transport::refusal(status, headers),
    }
}

/// What a create came to: 201, or 200 for what was there already.
fn created(told: Told, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Option<FhirId>, EhrError> {
    if is_page(headers, body) {
        return Err(EhrError::NotFhir);
    }
    let in_body = parse_json(body).ok().filter(|made| text(made, "resourceType") == Some(told.type_name()));
    let in_body = in_body.and_then(|made| text(&made, "id").and_then(|id| FhirId::parse(id).ok()));
    let id = in_body.or_else(|| transport::location(headers).as_deref().and_then(|text| id_in(text, told)));
    match (id, status) {
        (Some(id), _) => Ok(Some(id)),
        (None, StatusCode::CREATED) => Ok(None),
        // It says neither that it created nor what was there.
        (None, _) => Err(Malformed::new(format!("{}.id", told.type_name()), "is missing").into()),
    }
}

/// A login page, or a proxy's word.
fn is_page(headers: &HeaderMap, body: &[u8]) -> bool {
    !body.is_empty() && !transport::is_json(&transport::media_type(headers))
}

/// `…/Task/7/_history/1`
fn id_in(location: &str, told: Told) -> Option<FhirId> {
    let mut parts = location.split('/').skip_while(|part| *part != told.type_name());
    parts.next()?;
    FhirId::parse(parts.next()?).ok()
}

fn version_of(resource: &Value) -> Option<VersionId> {
    resource.pointer("/meta/versionId").and_then(Value::as_str).and_then(|version| VersionId::parse(version).ok())
}
