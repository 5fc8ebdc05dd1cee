//! Text gateways' calls: what became of a message, and what people write back.
//!
//! Must stay true: the body is bounded in size and time; what proves nothing is refused with the same bytes whatever it named, and
//! slows no gateway down; an answer comes at once, and never a word of what is known.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use super::answers::{self, Problem};
use crate::base::seconds;
use crate::outbox::{HeardText, Outbox, OutboxError, TextCall};

/// The largest call that is read: a form of some twenty short fields.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// For one body to arrive.
const BODY_WAIT_MAX: Duration = seconds(10);
/// Calls that are read at the same time; further ones are told to come again.
const CALLS_AT_ONCE_MAX: usize = 32;

/// What the gateways' routes need.
pub struct Texts {
    outbox: Arc<Outbox>,
    places: Semaphore,
}

impl Texts {
    #[must_use]
    pub fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, places: Semaphore::new(CALLS_AT_ONCE_MAX) }
    }
}

/// `/sms/status/{notice}/{token}`.
pub(super) async fn status(texts: web::Data<Texts>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let heard = hear(&texts, &request, body, async |called| {
        let (notice, token) = (request.match_info().query("notice"), request.match_info().query("token"));
        texts.outbox.hear_report(notice, token, &called).await
    });
    heard.await
}

/// `/sms/incoming[/{token}]`.
pub(super) async fn incoming(texts: web::Data<Texts>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let heard = hear(&texts, &request, body, async |called| {
        texts.outbox.hear_incoming(request.match_info().get("token"), &called).await
    });
    heard.await
}

async fn hear(
    texts: &Texts,
    request: &HttpRequest,
    body: web::Payload,
    then: impl AsyncFnOnce(TextCall<'_>) -> Result<HeardText, OutboxError>,
) -> HttpResponse {
    let is_post = request.method() == Method::POST;
    if !is_post && request.method() != Method::GET {
        return answers::method_not_allowed("GET, POST");
    }
    let Ok(_place) = texts.places.try_acquire() else { return Problem::Unavailable.answer() };
    let body = match tokio::time::timeout(BODY_WAIT_MAX, read(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(problem)) => return problem.answer(),
        Err(_) => return Problem::TooSlow.answer(),
    };
    let Some(url) = texts.outbox.public_address(request.path(), request.query_string()) else {
        return answers::nothing_here();
    };
    let words = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let called = TextCall {
        is_post,
        url: &url,
        query: request.query_string(),
        body: &body,
        twilio_signature: request.headers().get("X-Twilio-Signature").map(header::HeaderValue::as_bytes),
        webhook_id: words("webhook-id"),
        webhook_timestamp: words("webhook-timestamp"),
        webhook_signature: words("webhook-signature"),
    };
    match then(called).await {
        // An empty text is what every gateway takes for "no answer to the sender".
        Ok(HeardText::Heard) => {
            HttpResponse::build(StatusCode::OK).insert_header(header::ContentType::plaintext()).body("")
        }
        Ok(HeardText::Forged) => Problem::Foreign.answer(),
        Ok(HeardText::Off) => answers::nothing_here(),
        Err(error) => {
            tracing::error!(%error, "a text gateway's call cannot be kept; it is told to call again");
            Problem::Unavailable.answer()
        }
    }
}

async fn read(mut body: web::Payload) -> Result<Vec<u8>, Problem> {
    let mut kept = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Problem::Malformed)?;
        if kept.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
            return Err(Problem::TooLarge);
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(kept)
}
