//! Where a mail relay posts reports of messages that did not arrive.
//!
//! Must stay true: a body whose signature is wrong is read by nobody and changes nothing; what is ours and could not be kept is
//! answered 503, so that the relay posts it again; everything else is answered alike.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use governor::clock::DefaultClock;
use tokio::sync::Semaphore;
use url::Url;

use super::access_log::Edge;
use super::answers::Problem;
use super::headers::Transport;
use super::limits::{Networks, Pace, PerNetwork};
use super::traffic::Traffic;
use crate::base::seconds;
use crate::outbox::{BounceEnvelope, Bounces, DSN_BYTES_MAX, Heard};

/// `sha256=` and HMAC-SHA256 of the body in small hexadecimal digits.
const SIGNATURE: &str = "X-Chartseal-Signature";
/// Bodies read at the same time.
const BODIES_AT_ONCE_MAX: usize = 4;
/// For one body to arrive.
pub const BOUNCE_BODY_WAIT_MAX: Duration = seconds(20);

/// What the relay's route needs.
pub struct BouncePost {
    bounces: Arc<Bounces>,
    bodies: Semaphore,
    limit: PerNetwork<DefaultClock>,
    pub(super) edge: web::Data<Edge>,
}

impl BouncePost {
    #[must_use]
    pub fn new(bounces: Arc<Bounces>, patient_url: &Url, traffic: Arc<Traffic>) -> Self {
        Self {
            bounces,
            bodies: Semaphore::new(BODIES_AT_ONCE_MAX),
            limit: PerNetwork::new(DefaultClock::default()),
            edge: web::Data::new(Edge { transport: Transport::of(patient_url), traffic }),
        }
    }
}

pub(super) async fn bounce(
    post: web::Data<BouncePost>,
    networks: web::Data<Networks>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    match take_in(&post, &networks, &request, body).await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(problem) => problem.answer(),
    }
}

async fn take_in(
    post: &BouncePost,
    networks: &Networks,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<(), Problem> {
    let signature = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok());
    let signature = signature.and_then(|text| text.strip_prefix("sha256=")).ok_or(Problem::Unsigned)?;
    match post.limit.admit(networks.of(request)) {
        Pace::TooFast => return Err(Problem::TooMany),
        Pace::Fine => {}
    }
    let _permit = post.bodies.try_acquire().map_err(|_| Problem::Unavailable)?;
    let body = tokio::time::timeout(BOUNCE_BODY_WAIT_MAX, read(body)).await.map_err(|_| Problem::TooSlow)??;
    if !post.bounces.is_signed(&body, signature) {
        return Err(Problem::Unsigned);
    }
    match post.bounces.hear(&body, BounceEnvelope::default()).await {
        Ok(Heard::Kept(_) | Heard::Known) => Ok(()),
        Ok(Heard::Ignored(why)) => {
            tracing::info!(why, "a report of the mail relay is none for us");
            Ok(())
        }
        Ok(Heard::TooEarly) => Err(Problem::Unavailable),
        Err(error) => {
            tracing::error!(%error, "a report of the mail relay cannot be kept; it is told to post it again");
            Err(Problem::Unavailable)
        }
    }
}

async fn read(mut body: web::Payload) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Problem::Malformed)?;
        if whole.len() + chunk.len() > DSN_BYTES_MAX {
            return Err(Problem::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}
