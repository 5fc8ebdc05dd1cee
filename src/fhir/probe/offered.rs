//! How a server says that programs sign in (<https://hl7.org/fhir/smart-app-launch/conformance.html>).

use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;
use url::Url;

use crate::fhir::client::EhrClient;
use crate::fhir::error::EhrError;
use crate::fhir::guard::{Origin, Place};
use crate::fhir::transport;

const BYTES_MAX: usize = 256 * 1024;

/// What `.well-known/smart-configuration` offers to programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub proofs: Vec<OfferedProof>,
    /// The token endpoint, where it is at another server and so must be confirmed.
    pub token_url_elsewhere: Option<Url>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedProof {
    Key,
    Secret,
    Certificate,
}

impl EhrClient {
    /// Asks how programs sign in; `None` where the server does not say.
    ///
    /// # Errors
    /// Where it does not answer at all.
    pub async fn sign_in_offered(&self) -> Result<Option<Offered>, EhrError> {
        let url = self.base.at(&[".well-known", "smart-configuration"]);
        let request = self.request(Place::Ehr, Method::GET, url).header(ACCEPT, "application/json");
        let response = transport::send_raw(request, self.limits.answer_timeout).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let body = transport::body(response, BYTES_MAX).await?;
        let said: Option<Value> = serde_json::from_slice(&body).ok();
        Ok(said.and_then(|said| Offered::read(&said, self.base.url())))
    }
}

impl Offered {
    fn read(said: &Value, base: &Url) -> Option<Self> {
        let token_url = Url::parse(said.get("token_endpoint")?.as_str()?).ok()?;
        let methods = said.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let mut proofs: Vec<OfferedProof> = Vec::new();
        for method in methods.into_iter().flatten().filter_map(Value::as_str) {
            let proof = match method {
                "private_key_jwt" => OfferedProof::Key,
                "client_secret_basic" | "client_secret_post" => OfferedProof::Secret,
                "tls_client_auth" => OfferedProof::Certificate,
                _ => continue,
            };
            if !proofs.contains(&proof) {
                proofs.push(proof);
            }
        }
        let is_here = Origin::of(&token_url) == Origin::of(base);
        Some(Self { proofs, token_url_elsewhere: (!is_here).then_some(token_url) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_15_what_a_server_offers_is_read_and_another_server_is_told() {
        let base: Url = "https://ehr.test/fhir/".parse().unwrap();
        let here = json!({
            "token_endpoint": "https://ehr.test/token",
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "private_key_jwt", "client_secret_basic"],
        });
        let offered = Offered::read(&here, &base).unwrap();
        assert_eq!(
            offered,
            Offered { proofs: vec![OfferedProof::Secret, OfferedProof::Key], token_url_elsewhere: None }
        );
        let elsewhere = Offered::read(&json!({"token_endpoint": "https://login.test/token"}), &base).unwrap();
        assert_eq!(elsewhere.token_url_elsewhere.map(String::from).as_deref(), Some("https://login.test/token"));
        assert_eq!(Offered::read(&json!({}), &base), None);
        assert_eq!(Offered::read(&json!({"token_endpoint": "no address"}), &base), None);
    }
}
