//! EHRs' calls: authenticated, kept, answered.
//!
//! Must stay true: a call that shows neither its secret nor a signature of the right form is refused before a byte of its
//! body is read, one whose signature proves wrong before anybody has looked at its body; an EHR hears 401 for that and
//! for nothing else; what was authenticated is answered 200 once it is kept and 503 until then, since some EHRs switch a
//! subscription off at any other status; never a redirect; what has proved nothing yet keeps no proven call waiting.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use governor::clock::DefaultClock;
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::access_log::Edge;
use super::answers::Outcome;
use super::headers::Transport;
use super::limits::{Networks, Pace, PerNetwork};
use super::traffic::{HookEnd, Traffic};
use super::unproven::Places;
use crate::base::{EhrId, seconds};
use crate::intake::{Authentic, HookBody, HookCall, HookHeaders, Intake, Named, Proving};

/// Calls that have shown their secret or proved their signature, read and kept at the same time; further ones are told to
/// come again.
const BODIES_AT_ONCE_MAX: usize = 16;
/// Of a body over the limit so much is still read, so that its sender hears the answer.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of a body whose signature is still to be judged so much is read: all of it counts, also what is over the limit. The
/// highest limit that can be set, and more than twice the largest resource that is ever read from an EHR, so that only what
/// no EHR sends is cut off.
const UNPROVEN_BYTES_MAX: usize = 64 * 1024 * 1024;
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
    /// For the calls that name each EHR and have proved nothing yet.
    unproven: HashMap<EhrId, Places>,
    strangers: PerNetwork<DefaultClock>,
    pub(super) edge: web::Data<Edge>,
}

impl Hooks {
    #[must_use]
    pub fn new(intake: Arc<Intake>, limits: HookLimits, patient_url: &Url, traffic: Arc<Traffic>) -> Self {
        let places = |ehr| (ehr, Places::default());
        Self {
            unproven: intake.watched().into_iter().map(places).collect(),
            strangers: PerNetwork::new(DefaultClock::default()),
            intake,
            body_bytes_max: usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX),
            body_wait_max: limits.body_wait_max,
            bodies: Semaphore::new(BODIES_AT_ONCE_MAX),
            edge: web::Data::new(Edge { transport: Transport::of(patient_url), traffic }),
        }
    }
}

pub(super) async fn hook(
    hooks: web::Data<Hooks>,
    networks: web::Data<Networks>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let Some(method) = kept_method(request.method()) else { return Outcome::Method.answer() };
    let headers = HookHeaders::listen(|name| only_value(&request, name));
    let (end, outcome) = match authenticated(&hooks.intake, &request, &headers) {
        None => (HookEnd::Unauthenticated, Outcome::Unauthenticated),
        Some(proving) => {
            let arriving = Arriving { body, proving, bytes_wanted: bytes_wanted(&request, hooks.body_bytes_max) };
            let arrived = if arriving.proving.owes_body() {
                hooks.hear_out(arriving, networks.of(&request)).await
            } else {
                hooks.hear(arriving).await
            };
            match arrived {
                Ok(arrived) => keep(&hooks, &request, &headers, method, arrived).await,
                Err(refusal) => refusal.parts(),
            }
        }
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

/// A call whose body is still to be read.
struct Arriving {
    body: web::Payload,
    proving: Proving,
    /// Kept of the body at most.
    bytes_wanted: usize,
}

/// A call that came whole from its EHR; kept under its permit.
struct Arrived<'h> {
    from: Authentic,
    body: HookBody,
    _permit: SemaphorePermit<'h>,
}

/// Why a call did not arrive.
#[derive(Clone, Copy)]
enum Refusal {
    /// Too many at once, or too many of one network that had proved nothing.
    Overloaded,
    /// The sender hung up, was too slow, broke HTTP, or sent more than anybody reads.
    Cut,
    /// The signature is of another body or another key.
    Unproven,
}

impl Refusal {
    const fn parts(self) -> (HookEnd, Outcome) {
        match self {
            Self::Overloaded => (HookEnd::Overloaded, Outcome::TryAgain),
            Self::Cut => (HookEnd::Cut, Outcome::TryAgain),
            Self::Unproven => (HookEnd::Unauthenticated, Outcome::Unauthenticated),
        }
    }
}

impl Hooks {
    /// The call of an EHR that has shown its secret.
    async fn hear(&self, arriving: Arriving) -> Result<Arrived<'_>, Refusal> {
        let permit = self.permit()?;
        let (from, body) = self.in_time(arriving).await?;
        Ok(Arrived { from, body, _permit: permit })
    }

    /// The call of somebody whose signature is to be judged when all of the body is here.
    async fn hear_out(&self, arriving: Arriving, network: IpAddr) -> Result<Arrived<'_>, Refusal> {
        let places = self.unproven.get(arriving.proving.claimed()).ok_or(Refusal::Overloaded)?;
        // An EHR may call as often as it likes; of strangers no network may try its luck too fast.
        if !places.know(network) && self.strangers.admit(network) == Pace::TooFast {
            return Err(Refusal::Overloaded);
        }
        let mut place = places.take().ok_or(Refusal::Overloaded)?;
        let (from, body) = tokio::select! {
            arrived = self.in_time(arriving) => arrived?,
            () = place.lost() => return Err(Refusal::Cut),
        };
        places.learn(network);
        Ok(Arrived { from, body, _permit: self.permit()? })
    }

    fn permit(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.bodies.try_acquire().map_err(|_| Refusal::Overloaded)
    }

    async fn in_time(&self, arriving: Arriving) -> Result<(Authentic, HookBody), Refusal> {
        tokio::time::timeout(self.body_wait_max, read_body(arriving)).await.map_err(|_| Refusal::Cut)?
    }
}

async fn keep(
    hooks: &Hooks,
    request: &HttpRequest,
    headers: &HookHeaders<'_>,
    method: &'static str,
    arrived: Arrived<'_>,
) -> (HookEnd, Outcome) {
    let Arrived { from, body, _permit } = arrived;
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

async fn read_body(arriving: Arriving) -> Result<(Authentic, HookBody), Refusal> {
    let Arriving { mut body, mut proving, bytes_wanted } = arriving;
    let mut kept = Vec::new();
    let mut seen: usize = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Refusal::Cut)?;
        proving.update(&chunk);
        seen = seen.saturating_add(chunk.len());
        if seen <= bytes_wanted {
            kept.extend_from_slice(&chunk);
            continue;
        }
        kept = Vec::new();
        if proving.owes_body() && seen > UNPROVEN_BYTES_MAX {
            return Err(Refusal::Cut);
        }
        if !proving.owes_body() && seen > DRAINED_BYTES_MAX {
            break;
        }
    }
    let body = if seen <= bytes_wanted { HookBody::Whole(kept) } else { HookBody::Unread };
    Ok((proving.finish().ok_or(Refusal::Unproven)?, body))
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
