//! What a token endpoint answered (RFC 6749 §5).
//!
//! Must stay true: the answer is data from outside; nothing of it is shown, not even the EHR's own words about an error.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use zeroize::Zeroizing;

use super::fault::{Proof, SignInFault};
use super::sensitive;
use crate::base::{hours, minutes, seconds};
use crate::fhir::error::EhrError;
use crate::fhir::transport;

pub(super) const BYTES_MAX: usize = 64 * 1024;
/// Where the EHR does not say how long its token lives; SMART recommends no more.
const LIFE_DEFAULT: Duration = minutes(5);
const LIFE_MIN: Duration = seconds(1);
/// A token is not kept for longer, whatever the EHR says.
const LIFE_MAX: Duration = hours(1);

/// A token, and what it is good for.
pub(super) struct Granted {
    pub(super) header: HeaderValue,
    pub(super) life: Duration,
    /// `None`: what was asked for.
    pub(super) scope: Option<String>,
}

/// `clock_off_ms`: how far the EHR's clock is ahead of ours.
pub(super) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Zeroizing<Vec<u8>>,
    proof: Proof,
    clock_off_ms: i64,
) -> Result<Granted, EhrError> {
    if status.is_redirection() {
        return Err(SignInFault::Redirect.into());
    }
    let said = || -> Option<Value> {
        let is_json = transport::is_json(&transport::media_type(headers));
        if is_json { serde_json::from_slice(body).ok() } else { None }
    };
    if !status.is_success() {
        let code = said().and_then(|said| said.get("error").and_then(Value::as_str).map(str::to_owned));
        return Err(refusal(status, headers, code.as_deref(), proof, clock_off_ms));
    }
    let no_token = |why| EhrError::from(SignInFault::NoToken { why });
    let said = said().ok_or_else(|| no_token("it is not JSON"))?;
    let token = said.get("access_token").and_then(Value::as_str).ok_or_else(|| no_token("it names none"))?;
    let kind = said.get("token_type").and_then(Value::as_str).unwrap_or("bearer");
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(no_token("it is of another type than bearer"));
    }
    // RFC 6750 §2.1 knows fewer; some EHRs use more.
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(no_token("it holds what no header can carry"));
    }
    Ok(Granted {
        header: sensitive(&Zeroizing::new(format!("Bearer {token}")))?,
        life: said
            .get("expires_in")
            .and_then(number)
            .map_or(LIFE_DEFAULT, Duration::from_secs)
            .clamp(LIFE_MIN, LIFE_MAX),
        scope: said.get("scope").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Some servers write the number as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn refusal(status: StatusCode, headers: &HeaderMap, code: Option<&str>, proof: Proof, clock_off_ms: i64) -> EhrError {
    let plain = transport::refusal(status, headers);
    if matches!(plain, EhrError::Overloaded { .. }) {
        return plain;
    }
    let not_understood = |code| SignInFault::NotUnderstood { status: status.as_u16(), code };
    let fault = match code {
        Some("invalid_client") => SignInFault::RefusedClient { proof, clock_off_seconds: clock_off_ms / 1000 },
        Some("unauthorized_client") => SignInFault::NotAllowed,
        Some("invalid_scope") => SignInFault::NoScope,
        Some("invalid_request") => not_understood("invalid_request"),
        Some("invalid_grant") => not_understood("invalid_grant"),
        Some("unsupported_grant_type") => not_understood("unsupported_grant_type"),
        Some(_) | None if status.is_server_error() => SignInFault::Server { status: status.as_u16() },
        Some(_) | None if status == StatusCode::REQUEST_TIMEOUT => SignInFault::TimedOut,
        // Some servers say no more than the status.
        None if status == StatusCode::UNAUTHORIZED => {
            SignInFault::RefusedClient { proof, clock_off_seconds: clock_off_ms / 1000 }
        }
        Some(_) | None => not_understood("no known reason"),
    };
    fault.into()
}
