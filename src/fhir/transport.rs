//! HTTP as Chartseal speaks it to an EHR: no redirects, no proxy, no compression, bounded in time and size.
//!
//! Must stay true: a `reqwest::Error` holds the URL and is dropped here, never wrapped or printed.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER, TRANSFER_ENCODING};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Request, RequestBuilder, Response, StatusCode, Version};
use zeroize::Zeroizing;

use super::client::Limits;
use super::door::OwnTls;
use super::error::EhrError;
use super::guard::{Guard, Place};
use crate::base::{UtcMillis, hours};

pub(super) const FHIR_JSON: &str = "application/fhir+json";
/// A server that asks for a longer pause is asked again after this.
const RETRY_AFTER_MAX: Duration = hours(1);

/// Makes ring the TLS provider of the process; the first call wins, later ones change nothing.
pub fn install_tls() {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The client for `place`: only the one for listed origins filters what names resolve to.
pub(super) fn http(place: Place, guard: &Guard, limits: &Limits, tls: &OwnTls) -> Result<reqwest::Client, EhrError> {
    install_tls();
    let builder = ClientBuilder::new()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(limits.connect_timeout)
        .read_timeout(limits.read_timeout)
        .pool_idle_timeout(limits.idle_connection)
        // For staff who ask how long the EHR's certificate is still good.
        .tls_info(true)
        .user_agent(concat!("chartseal/", env!("CARGO_PKG_VERSION")));
    let builder = match &tls.authorities {
        None => builder,
        Some(pem) => builder.tls_certs_merge(
            Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|_| EhrError::Settings { why: "ca_file holds no certificates in PEM" })?,
        ),
    };
    let builder =
        match (place, &tls.identity) {
            (Place::Ehr, None) => builder,
            (Place::Ehr, Some(pem)) => builder.identity(Identity::from_pem(pem.expose().as_bytes()).map_err(|_| {
                EhrError::Settings { why: "certificate_file and certificate_key_file are no pair in PEM" }
            })?),
            (Place::Listed, _) => builder.dns_resolver(guard.clone()),
        };
    builder.build().map_err(|_| EhrError::Settings { why: "TLS cannot be set up" })
}

/// Sends; a redirect is an answer like any other.
pub(super) async fn send_raw(request: RequestBuilder, total: Duration) -> Result<Response, EhrError> {
    request.timeout(total).send().await.map_err(|error| fault(&error))
}

/// Sends, and tells a redirect from an answer.
pub(super) async fn execute(http: &Client, request: Request) -> Result<Response, EhrError> {
    let response = http.execute(request).await.map_err(|error| fault(&error))?;
    if response.status().is_redirection() {
        return Err(EhrError::ForbiddenUrl { why: "the server answers with a redirect" });
    }
    Ok(response)
}

fn fault(error: &reqwest::Error) -> EhrError {
    if error.is_timeout() { EhrError::TimedOut } else { EhrError::Unreachable }
}

/// The error that a status other than 2xx stands for.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap) -> EhrError {
    let code = status.as_u16();
    match code {
        401 | 403 => EhrError::Refused { status: code },
        404 | 410 => EhrError::Gone,
        409 | 412 => EhrError::Conflict,
        408 => EhrError::TimedOut,
        429 | 503 => EhrError::Overloaded { retry_after: retry_after(headers) },
        500.. => EhrError::Server { status: code },
        _ => EhrError::Rejected { status: code },
    }
}

/// For how long the server asks to be left alone.
pub(super) fn asked_pause(response: &Response) -> Option<Duration> {
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => retry_after(response.headers()),
        _ => None,
    }
}

/// The whole body, unless it grows over `limit_bytes`.
pub(super) async fn body(mut response: Response, limit_bytes: usize) -> Result<Zeroizing<Vec<u8>>, EhrError> {
    let too_large = EhrError::TooLarge { limit_bytes: limit_bytes as u64 };
    if response.content_length().is_some_and(|length| length > limit_bytes as u64) {
        return Err(too_large);
    }
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = chunk(&mut response).await? {
        if body.len().saturating_add(chunk.len()) > limit_bytes {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(super) async fn chunk(response: &mut Response) -> Result<Option<Bytes>, EhrError> {
    let cut = |error: reqwest::Error| if error.is_timeout() { EhrError::TimedOut } else { EhrError::CutShort };
    response.chunk().await.map_err(cut)
}

/// Whether a body that was cut short can be told from a whole one: by its length, its chunks, or the end of an encrypted stream
/// (RFC 9112 §6.3, RFC 8446 §6.1).
pub(super) fn tells_its_end(response: &Response) -> bool {
    response.url().scheme() == "https"
        || response.version() == Version::HTTP_2
        || response.content_length().is_some()
        || response.headers().contains_key(TRANSFER_ENCODING)
}

/// The media type of the answer without parameters, lower case; empty when there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(super) fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "text/json") || media_type.ends_with("+json")
}

/// The server's clock, to the second (RFC 9110 §6.6.1).
pub(super) fn server_date(headers: &HeaderMap) -> Option<UtcMillis> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

/// The last part of `Location` up to `_history`, as a create answers.
pub(super) fn location(headers: &HeaderMap) -> Option<String> {
    headers.get(LOCATION)?.to_str().ok().map(str::to_owned)
}

/// Seconds or an HTTP date, the latter measured from the server's own clock (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?.since(server_date(headers)?),
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<UtcMillis> {
    DateTime::parse_from_rfc2822(text).ok().map(|at| UtcMillis(at.timestamp_millis()))
}
