//! HTTP to a text gateway: one call, bounded, and whether it can have been heard.
//!
//! Must stay true: a call that reached nobody is told from one that somebody may have heard; a `reqwest::Error` holds the URL and is
//! dropped here, never wrapped or printed; no redirect is followed, for it would carry the text elsewhere.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use zeroize::Zeroizing;

use super::outcome::{Fault, TextOutcome, TextWhy};
use super::{TextGatewayError, TextLimits};

/// The largest answer that is read. It may repeat number and text.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// An answer that came whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// # Errors
/// [`TextGatewayError`].
pub(super) fn client(limits: TextLimits) -> Result<Client, TextGatewayError> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(limits.connect_timeout.min(limits.attempt_timeout))
        .pool_idle_timeout(limits.idle_connection)
        .user_agent(concat!("chartseal/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| TextGatewayError)
}

/// # Errors
/// How the attempt ended, where no whole answer came.
pub(super) async fn ask(request: RequestBuilder, total: Duration) -> Result<Answer, TextOutcome> {
    let mut response = request.timeout(total).send().await.map_err(|error| unheard(&error))?;
    let status = response.status();
    let mut body = Zeroizing::new(Vec::new());
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= ANSWER_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(None) => return Ok(Answer { status, body }),
            // A refusal is one, however much of it came.
            Ok(Some(_)) | Err(_) if status.is_client_error() => return Ok(Answer { status, body }),
            Ok(Some(_)) => return Err(ambiguous("the gateway answered with too much")),
            Err(_) => return Err(ambiguous("the gateway's answer was cut short")),
        }
    }
}

/// What every gateway's answer means that says nothing of its own; `None` for a refusal that it must explain.
pub(super) fn usual(status: StatusCode) -> Option<TextOutcome> {
    let code = u32::from(status.as_u16());
    match status.as_u16() {
        429 => Some(TextOutcome::Transient {
            why: TextWhy::new(Fault::Account, "the gateway is asked to send too fast").with(code),
        }),
        401 | 403 => Some(TextOutcome::Misconfigured {
            why: TextWhy::new(Fault::Account, "the gateway refuses our name or password").with(code),
        }),
        404 | 405 => Some(TextOutcome::Misconfigured {
            why: TextWhy::new(Fault::Account, "the gateway has nothing at this address").with(code),
        }),
        300..=399 => Some(TextOutcome::Misconfigured {
            why: TextWhy::new(Fault::Account, "the gateway sends us elsewhere, and we do not follow").with(code),
        }),
        500.. => Some(TextOutcome::Ambiguous {
            why: TextWhy::new(Fault::Gateway, "the gateway failed, perhaps after it took the message").with(code),
        }),
        _ => None,
    }
}

fn ambiguous(what: &'static str) -> TextOutcome {
    TextOutcome::Ambiguous { why: TextWhy::new(Fault::Gateway, what) }
}

/// Without a connection nothing was said; after that, nobody knows what was heard.
fn unheard(error: &reqwest::Error) -> TextOutcome {
    if error.is_connect() || error.is_builder() {
        TextOutcome::Transient { why: TextWhy::new(Fault::Gateway, "the gateway cannot be reached") }
    } else if error.is_timeout() {
        ambiguous("the gateway did not answer in time")
    } else {
        ambiguous("the connection to the gateway broke")
    }
}
