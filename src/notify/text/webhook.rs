//! A gateway of the clinic's own: one signed call for each text, signed calls back
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! ```json
//! {"id": "…16 characters…", "to": "+12025550101", "text": "…", "report_to": "https://…"}
//! {"status": "sent" | "delivered" | "undelivered" | "failed", "reason": "number" | "opted_out" | "reach" | "account" | "gateway"}
//! {"from": "+12025550101", "text": "STOP"}
//! ```
//!
//! Must stay true: both directions are signed over the raw body with its time; what is older than five minutes counts for nothing.

use data_encoding::BASE64;
use reqwest::Client;
use ring::hmac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::outcome::{Fault, TextOutcome, TextReport, TextWhy};
use super::{Incoming, Text, TextLimits, wire};
use crate::base::{SecretText, UtcMillis};

/// A signature is good for so long, on either side of its time.
const SIGNED_SECONDS_MAX: u64 = 300;
/// What such secrets begin with where they are bytes in base64.
const SECRET_PREFIX: &str = "whsec_";

pub struct Webhook {
    pub url: Url,
    pub secret: SecretText,
}

#[derive(Serialize)]
struct Order<'a> {
    id: &'a str,
    to: &'a str,
    text: &'a str,
    report_to: &'a str,
}

#[derive(Deserialize)]
struct Said {
    status: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Heard {
    from: String,
    text: String,
}

/// What a signed call carries beside its body: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
pub struct Signed<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
}

impl Webhook {
    pub(super) async fn send(&self, http: &Client, text: &Text, now: UtcMillis, limits: TextLimits) -> TextOutcome {
        let order = Order {
            id: text.id.as_str(),
            to: text.to.expose(),
            text: text.body.expose(),
            report_to: text.report_to.as_str(),
        };
        // Four plain strings: writing them as JSON cannot fail.
        let body = SecretText::new(serde_json::to_string(&order).unwrap_or_default());
        let timestamp = (now.0 / 1000).to_string();
        let signature = self.sign(text.id.as_str(), &timestamp, body.expose().as_bytes());
        let request = http
            .post(self.url.clone())
            .header("Content-Type", "application/json")
            .header("webhook-id", text.id.as_str())
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", signature)
            .body(body.expose().to_owned());
        match wire::ask(request, limits.attempt_timeout).await {
            Ok(answer) if answer.status.is_success() => TextOutcome::Accepted,
            Ok(answer) => wire::usual(answer.status).unwrap_or_else(|| {
                let said: Option<Refused> = serde_json::from_slice(&answer.body).ok();
                let why = why(said.as_ref().and_then(|said| said.reason.as_deref()));
                TextOutcome::Permanent { why: why.with(u32::from(answer.status.as_u16())) }
            }),
            Err(outcome) => outcome,
        }
    }

    pub(super) fn is_signed(&self, signed: &Signed<'_>, body: &[u8], now: UtcMillis) -> bool {
        let Ok(at) = signed.timestamp.parse::<i64>() else { return false };
        let at = UtcMillis(at.saturating_mul(1000));
        let apart = if at > now { at.since(now) } else { now.since(at) };
        if apart.as_secs() > SIGNED_SECONDS_MAX {
            return false;
        }
        let right = self.sign(signed.id, signed.timestamp, body);
        // Several stand there while a secret is changed.
        signed.signature.split(' ').fold(false, |any, one| any | bool::from(right.as_bytes().ct_eq(one.as_bytes())))
    }

    /// `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let secret = self.secret.expose();
        let key = match secret.strip_prefix(SECRET_PREFIX).and_then(|rest| BASE64.decode(rest.as_bytes()).ok()) {
            Some(bytes) => hmac::Key::new(hmac::HMAC_SHA256, &bytes),
            None => hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        };
        let mut context = hmac::Context::with_key(&key);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        format!("v1,{}", BASE64.encode(context.sign().as_ref()))
    }
}

#[derive(Deserialize)]
struct Refused {
    reason: Option<String>,
}

pub(super) fn report_in(body: &[u8]) -> TextReport {
    let Ok(said) = serde_json::from_slice::<Said>(body) else { return TextReport::Nothing };
    match said.status.as_str() {
        "sent" => TextReport::Taken,
        "delivered" => TextReport::Arrived,
        "undelivered" | "failed" => TextReport::Failed { why: why(said.reason.as_deref()) },
        _ => TextReport::Nothing,
    }
}

pub(super) fn incoming_in(body: &[u8]) -> Option<Incoming> {
    let Heard { from, text } = serde_json::from_slice(body).ok()?;
    Incoming::read(&from, &text)
}

fn why(reason: Option<&str>) -> TextWhy {
    match reason {
        Some("number") => TextWhy::new(Fault::Number, "the number takes no texts"),
        Some("opted_out") => TextWhy::new(Fault::OptedOut, "the recipient asked for no more texts"),
        Some("reach") => TextWhy::new(Fault::Reach, "the message could not be delivered"),
        Some("account") => TextWhy::new(Fault::Account, "the gateway's account may not send it"),
        Some(_) | None => TextWhy::new(Fault::Gateway, "the gateway or a network failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the standard's own libraries.
    #[test]
    fn the_standards_own_example_of_a_signature_is_right() {
        let hook = Webhook {
            url: Url::parse("https://sms.example/").unwrap(),
            secret: SecretText::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        };
        let body = br#"{"test": 2432232314}"#;
        let signed = Signed {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: "1614265330",
            signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        };
        let at = UtcMillis(1_614_265_330_000);
        assert!(hook.is_signed(&signed, body, at));
        let both = format!("v1,AAAA {}", signed.signature);
        assert!(hook.is_signed(&Signed { signature: &both, ..signed }, body, at));
        let signed = Signed { signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", ..signed };
        assert!(!hook.is_signed(&signed, b"{}", at));
        assert!(!hook.is_signed(&signed, body, at.plus(crate::base::minutes(6))));
        assert!(!hook.is_signed(&Signed { timestamp: "soon", ..signed }, body, at));
    }

    #[test]
    fn what_a_gateway_says_is_read_and_nothing_else_is() {
        assert_eq!(report_in(br#"{"status":"delivered"}"#), TextReport::Arrived);
        assert_eq!(report_in(br#"{"status":"pondering"}"#), TextReport::Nothing);
        assert_eq!(report_in(b"rubbish"), TextReport::Nothing);
        let TextReport::Failed { why } = report_in(br#"{"status":"failed","reason":"number"}"#) else {
            panic!("it failed")
        };
        assert!(why.is_no_such_number());
        assert!(incoming_in(br#"{"from":"+12025550101","text":"stop"}"#).is_some());
        assert!(incoming_in(br#"{"from":"CLINIC","text":"stop"}"#).is_none());
    }
}
