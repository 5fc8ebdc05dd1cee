//! EHRs' calls: authenticated, kept, answered.
//!
//! Must stay true: a call that shows neither its secret nor a signature of the right form is refused before a byte of its
//! body is read, one whose signature proves wrong before anybody has looked at its body; an EHR hears 401 for that and
//! for nothing else; what was authenticated is answered 200 once it is kept and 503 until then, since some EHRs switch a
//! subscription off at any other status; never a redirect.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::Semaphore;
use url::Url;

use super::access_log::Edge;
use super::answers::Outcome;
use super::headers::Transport;
use super::traffic::{HookEnd, Traffic};
use crate::base::{EhrId, seconds};
use crate::intake::{Authentic, HookBody, HookCall, HookHeaders, Intake, Named, Proving};

/// Bodies read at the same time; further calls are told to come again.
const BODIES_AT_ONCE_MAX: usize = 16;
/// Of a body over the limit so much is still read, so that its sender hears the answer; of a signed one all that comes in
/// time, since the signature is over all of it.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// For one body to arrive.
pub const HOOK_BODY_WAIT_MAX: Duration = seconds(30);

/// What one call may send.
#[derive(Clone, Copy, Debug)]
pub struct HookLimits {
    /// `limits.hook_body_bytes_max`.
    pub body_bytes_max: u64,
    /// [`HOOK_BODY_WAIT_MAX`], shorter in tests.
    pub body_wait_max: Duration,
}

/// What the hooks' routes need.
pub struct Hooks {
    intake: Arc<Intake>,
    body_bytes_max: usize,
    body_wait_max: Duration,
    bodies: Semaphore,
    pub(super) edge: web::Data<Edge>,
}

impl Hooks {
    #[must_use]
    pub fn new(intake: Arc<Intake>, limits: HookLimits, patient_url: &Url, traffic: Arc<Traffic>) -> Self {
        Self {
            intake,
            body_bytes_max: usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX),
            body_wait_max: limits.body_wait_max,
            bodies: Semaphore::new(BODIES_AT_ONCE_MAX),
            edge: web::Data::new(Edge { transport: Transport::of(patient_url), traffic }),
        }
    }
}

pub(super) async fn hook(hooks: web::Data<Hooks>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let Some(method) = kept_method(request.method()) else { return Outcome::Method.answer() };
    let headers = HookHeaders::listen(|name| only_value(&request, name));
    let (end, outcome) = match authenticated(&hooks.intake, &request, &headers) {
        None => (HookEnd::Unauthenticated, Outcome::Unauthenticated),
        Some(proving) => receive(&hooks, &request, &headers, body, proving, method).await,
    };
    hooks.edge.traffic.hook(end);
    outcome.answer()
}

/// The value of a header that came once; of two, nobody can say which one counts.
fn only_value<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r [u8]> {
    let mut values = request.headers().get_all(name);
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

fn kept_method(method: &Method) -> Option<&'static str> {
    [(Method::POST, "POST"), (Method::PUT, "PUT"), (Method::DELETE, "DELETE")]
        .into_iter()
        .find_map(|(known, name)| (known == method).then_some(name))
}

fn authenticated(intake: &Intake, request: &HttpRequest, headers: &HookHeaders<'_>) -> Option<Proving> {
    let ehr = EhrId::parse(request.match_info().query("ehr")).ok()?;
    intake.authenticate(&ehr, headers)
}

async fn receive(
    hooks: &Hooks,
    request: &HttpRequest,
    headers: &HookHeaders<'_>,
    body: web::Payload,
    proving: Proving,
    method: &'static str,
) -> (HookEnd, Outcome) {
    let Ok(_permit) = hooks.bodies.try_acquire() else { return (HookEnd::Overloaded, Outcome::TryAgain) };
    let reading = read_body(body, proving, bytes_wanted(request, hooks.body_bytes_max));
    let (from, body) = match tokio::time::timeout(hooks.body_wait_max, reading).await {
        Ok(Ok((Some(from), body))) => (from, body),
        Ok(Ok((None, _))) => return (HookEnd::Unauthenticated, Outcome::Unauthenticated),
        Ok(Err(Cut)) | Err(_) => return (HookEnd::Cut, Outcome::TryAgain),
    };
    let (end, outcome) = match &body {
        HookBody::Whole(bytes) if is_bundle(bytes) => (HookEnd::Kept, Outcome::KeptBundle),
        HookBody::Whole(_) => (HookEnd::Kept, Outcome::Kept),
        HookBody::Unread => (HookEnd::KeptWithoutBody, Outcome::Kept),
    };
    let path = request.match_info().get("kind").zip(request.match_info().get("id"));
    match hooks.intake.keep(HookCall { from, method, named: Named::by(path, headers), body }).await {
        Ok(()) => (end, outcome),
        Err(error) => {
            tracing::error!(%error, "a hook call cannot be kept; its EHR is told to send it again");
            (HookEnd::NotKept, Outcome::TryAgain)
        }
    }
}

/// A compressed body is not read: like one over the limit it says only that something changed. No EHR that we know
/// compresses its calls, and a refusal could end its subscription.
fn bytes_wanted(request: &HttpRequest, limit: usize) -> usize {
    let plain = request
        .headers()
        .get_all(header::CONTENT_ENCODING)
        .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain { limit } else { 0 }
}

/// The sender hung up, or broke HTTP.
struct Cut;

async fn read_body(
    mut body: web::Payload,
    mut proving: Proving,
    bytes_max: usize,
) -> Result<(Option<Authentic>, HookBody), Cut> {
    let mut kept = Vec::new();
    let mut seen: usize = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Cut)?;
        proving.update(&chunk);
        seen = seen.saturating_add(chunk.len());
        if seen <= bytes_max {
            kept.extend_from_slice(&chunk);
        } else if seen > DRAINED_BYTES_MAX.max(bytes_max) && !proving.owes_body() {
            break;
        } else {
            kept = Vec::new();
        }
    }
    Ok((proving.finish(), if seen <= bytes_max { HookBody::Whole(kept) } else { HookBody::Unread }))
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "resourceType")]
    resource_type: String,
}

/// Skims the whole body without keeping it: the type need not come first.
fn is_bundle(body: &[u8]) -> bool {
    serde_json::from_slice::<Typed>(body).is_ok_and(|typed| typed.resource_type == "Bundle")
}
