//! EHRs' calls: authenticated before a byte of the body is read, kept, answered.
//!
//! Must stay true: an EHR hears 401 for a wrong secret and for nothing else; what was authenticated is answered 200
//! once it is kept and 503 until then, since some EHRs switch a subscription off at any other status; never a redirect.

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
use crate::intake::{HOOK_HEADER, HookAnswer, HookBody, HookCall, Intake};

/// Bodies read at the same time; further calls are told to come again.
const BODIES_AT_ONCE_MAX: usize = 16;
/// Of a body over the limit so much is still read, so that its sender hears the answer.
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
    let (end, outcome) = match authenticated(&hooks.intake, &request) {
        None => (HookEnd::Unauthenticated, Outcome::Unauthenticated),
        Some(ehr) => receive(&hooks, &request, body, ehr, method).await,
    };
    hooks.edge.traffic.hook(end);
    outcome.answer()
}

fn kept_method(method: &Method) -> Option<&'static str> {
    [(Method::POST, "POST"), (Method::PUT, "PUT"), (Method::DELETE, "DELETE")]
        .into_iter()
        .find_map(|(known, name)| (known == method).then_some(name))
}

fn authenticated(intake: &Intake, request: &HttpRequest) -> Option<EhrId> {
    let ehr = EhrId::parse(request.match_info().query("ehr")).ok()?;
    let secret = request.headers().get(HOOK_HEADER).map(header::HeaderValue::as_bytes);
    match intake.authenticate(&ehr, secret) {
        HookAnswer::Kept => Some(ehr),
        HookAnswer::Unauthenticated => None,
    }
}

async fn receive(
    hooks: &Hooks,
    request: &HttpRequest,
    body: web::Payload,
    ehr: EhrId,
    method: &'static str,
) -> (HookEnd, Outcome) {
    let Ok(_permit) = hooks.bodies.try_acquire() else { return (HookEnd::Overloaded, Outcome::TryAgain) };
    let reading = read_body(body, bytes_wanted(request, hooks.body_bytes_max));
    let body = match tokio::time::timeout(hooks.body_wait_max, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(Cut)) | Err(_) => return (HookEnd::Cut, Outcome::TryAgain),
    };
    let (end, outcome) = match &body {
        HookBody::Whole(bytes) if is_bundle(bytes) => (HookEnd::Kept, Outcome::KeptBundle),
        HookBody::Whole(_) => (HookEnd::Kept, Outcome::Kept),
        HookBody::Unread => (HookEnd::KeptWithoutBody, Outcome::Kept),
    };
    let named = |name: &str| request.match_info().get(name).map(str::to_owned);
    let path = named("kind").zip(named("id"));
    match hooks.intake.keep(HookCall { ehr, method, path, body }).await {
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

async fn read_body(mut body: web::Payload, bytes_max: usize) -> Result<HookBody, Cut> {
    let mut kept = Vec::new();
    let mut seen: usize = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Cut)?;
        seen = seen.saturating_add(chunk.len());
        if seen <= bytes_max {
            kept.extend_from_slice(&chunk);
        } else if seen > DRAINED_BYTES_MAX.max(bytes_max) {
            break;
        } else {
            kept = Vec::new();
        }
    }
    Ok(if seen <= bytes_max { HookBody::Whole(kept) } else { HookBody::Unread })
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "resourceType")]
    resource_type: String,
}

/// Skims the whole body without keeping it: the type need not come first.
fn is_bundle(body: &[u8]) -> bool {
    serde_json::from_slice::<Named>(body).is_ok_and(|named| named.resource_type == "Bundle")
}
