//! Where an EHR says that tokens are given
//! (<https://hl7.org/fhir/smart-app-launch/conformance.html>).
//!
//! Must stay true: its word leads to its own origin alone; another one is for the clinic to confirm, as `token_url`.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap};
use serde_json::Value;
use url::Url;

use super::JSON;
use super::fault::{self, SignInFault};
use crate::base::{UtcMillis, hours};
use crate::fhir::error::EhrError;
use crate::fhir::guard::Origin;
use crate::fhir::service::ServiceBase;
use crate::fhir::transport;

const PATH: [&str; 2] = [".well-known", "smart-configuration"];
const BYTES_MAX: usize = 256 * 1024;
/// What the EHR said is believed for so long.
const KEPT: Duration = hours(1);

/// A token endpoint. `text` is as the EHR writes it: assertions must name it letter by letter.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    pub(super) text: String,
}

pub(super) struct Found {
    pub(super) endpoint: Endpoint,
    pub(super) at: UtcMillis,
}

impl Found {
    pub(super) fn is_fresh(&self, now: UtcMillis) -> bool {
        now.since(self.at) < KEPT
    }
}

/// Asks the EHR, and returns the answer's headers beside its word.
pub(super) async fn ask(
    http: &reqwest::Client,
    base: &ServiceBase,
    answer_max: Duration,
) -> Result<(Endpoint, HeaderMap), EhrError> {
    let request = http.get(base.at(&PATH)).header(ACCEPT, JSON);
    let response = transport::send_raw(request, answer_max).await.map_err(fault::of_connection)?;
    let (status, headers) = (response.status(), response.headers().clone());
    if !status.is_success() {
        let plain = transport::refusal(status, &headers);
        return Err(if matches!(plain, EhrError::Overloaded { .. }) {
            plain
        } else if status.is_server_error() {
            SignInFault::Server { status: status.as_u16() }.into()
        } else {
            SignInFault::NoConfiguration.into()
        });
    }
    let body = match transport::body(response, BYTES_MAX).await {
        Ok(body) => body,
        Err(EhrError::TooLarge { .. }) => return Err(SignInFault::NoConfiguration.into()),
        Err(error) => return Err(fault::of_connection(error)),
    };
    let said: Value = serde_json::from_slice(&body).map_err(|_| SignInFault::NoConfiguration)?;
    let text = said.get("token_endpoint").and_then(Value::as_str).ok_or(SignInFault::NoConfiguration)?;
    let url = Url::parse(text).map_err(|_| SignInFault::NoConfiguration)?;
    if Origin::of(&url).is_none() || Origin::of(&url) != Origin::of(base.url()) || !url.username().is_empty() {
        return Err(SignInFault::Elsewhere.into());
    }
    Ok((Endpoint { url, text: text.to_owned() }, headers))
}
