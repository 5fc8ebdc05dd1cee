//! The signed word that we are who the EHR registered (RFC 7523).

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;
use serde_json::json;

use super::pair::{SigningError, SigningKey};
use crate::base::{SecretBytes, SecretText, UtcMillis, minutes};

/// Five are allowed; some EHRs refuse exactly five.
pub const ASSERTION_LIFE: Duration = minutes(4);
/// Of the number by which an EHR tells a repeated assertion.
const UNIQUE_BYTES: usize = 16;

/// What an assertion says.
#[derive(Clone, Copy)]
pub struct Claims<'a> {
    /// Who we are at this EHR.
    pub client_id: &'a str,
    /// The token endpoint, letter by letter as the EHR writes it.
    pub audience: &'a str,
    /// By the EHR's clock, as well as it is known.
    pub now: UtcMillis,
}

impl SigningKey {
    /// A compact JWT (RFC 7515). It names neither where our keys are (`jku`: an EHR refuses one that is not letter by letter
    /// the registered one) nor when it was made (`iat`: an EHR whose clock is behind refuses what comes from its future).
    ///
    /// # Errors
    /// [`SigningError::CannotSign`].
    pub fn assertion(&self, claims: &Claims<'_>, rng: &mut impl CryptoRng) -> Result<SecretText, SigningError> {
        let header = json!({"alg": self.algorithm().as_str(), "kid": self.id().as_str(), "typ": "JWT"});
        let unique = SecretBytes::<UNIQUE_BYTES>::random(rng);
        let body = json!({
            "iss": claims.client_id,
            "sub": claims.client_id,
            "aud": claims.audience,
            "exp": claims.now.plus(ASSERTION_LIFE).0.div_euclid(1000),
            "jti": unique.to_base64url().expose(),
        });
        let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&body));
        let signature = self.sign(signed.as_bytes())?;
        Ok(SecretText::new(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))))
    }
}
