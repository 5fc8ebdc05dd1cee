//! The Messages API of Twilio, and of those who speak it (<https://www.twilio.com/docs/messaging/api/message-resource>).
//!
//! Must stay true: a create has no idempotency key, so one whose fate is unknown is looked up and never made again; a callback
//! counts only with the signature of our own public address (<https://www.twilio.com/docs/usage/security>).

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Client;
use serde::Deserialize;
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::outcome::{Fault, TextOutcome, TextReport, TextWhy};
use super::{LookedUp, Text, TextLimits, wire};
use crate::base::{LinkId, PhoneNumber, SecretText, UtcMillis};

/// Messages to one number of one day that are looked through.
const LOOKED_THROUGH: &str = "50";

/// Who we are there, and as whom we write.
pub struct Twilio {
    /// `https://api.twilio.com/`.
    pub base_url: Url,
    pub account: String,
    pub token: SecretText,
    pub from: TwilioFrom,
}

pub enum TwilioFrom {
    /// A number, short code or name.
    Sender(String),
    /// `MG…`.
    Service(String),
}

#[derive(Deserialize)]
struct Refusal {
    code: Option<u32>,
}

#[derive(Deserialize)]
struct Listing {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    body: Option<String>,
    status: String,
    error_code: Option<u32>,
}

impl Twilio {
    pub(super) async fn send(&self, http: &Client, text: &Text, limits: TextLimits) -> TextOutcome {
        let Some(url) = self.messages() else { return wrong_address() };
        let form = self.form(text);
        let request = http
            .post(url)
            .basic_auth(&self.account, Some(self.token.expose()))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.expose().to_owned());
        match wire::ask(request, limits.attempt_timeout).await {
            Ok(answer) if answer.status.is_success() => TextOutcome::Accepted,
            Ok(answer) => {
                let said: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
                refused(answer.status, said.and_then(|said| said.code))
            }
            Err(outcome) => outcome,
        }
    }

    /// Asks what became of the message with this link, which was sent to this number at `since` or later. A message is known by the
    /// address of its link, which is no secret: that stands behind it.
    pub(super) async fn look_up(
        &self,
        http: &Client,
        to: &PhoneNumber,
        link: &LinkId,
        since: UtcMillis,
        limits: TextLimits,
    ) -> LookedUp {
        let Some(mut url) = self.messages() else { return LookedUp::Unknown };
        url.query_pairs_mut()
            .append_pair("To", to.expose())
            .append_pair("DateSent>", &since.to_datetime().format("%Y-%m-%d").to_string())
            .append_pair("PageSize", LOOKED_THROUGH);
        let request = http.get(url).basic_auth(&self.account, Some(self.token.expose()));
        let Ok(answer) = wire::ask(request, limits.attempt_timeout).await else { return LookedUp::Unknown };
        if !answer.status.is_success() {
            return LookedUp::Unknown;
        }
        let Ok(listing) = serde_json::from_slice::<Listing>(&answer.body) else { return LookedUp::Unknown };
        let mark = format!("/{link}#");
        let ours = listing.messages.into_iter().find(|one| one.body.as_ref().is_some_and(|body| body.contains(&mark)));
        match ours.map(|ours| report_of(&ours.status, ours.error_code)) {
            Some(report) => LookedUp::Found(report),
            None => LookedUp::NotThere,
        }
    }

    /// Whether a callback to our public `url` is signed by whoever has our token: base64 of HMAC-SHA1 over the URL and every
    /// parameter's name and value in the order of the names.
    #[must_use]
    pub(super) fn is_signed(&self, url: &str, parameters: &[(String, String)], signature: &[u8]) -> bool {
        let mut sorted: Vec<&(String, String)> = parameters.iter().collect();
        sorted.sort();
        sorted.dedup();
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(self.token.expose().as_bytes()) else { return false };
        mac.update(url.as_bytes());
        for (name, value) in sorted {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
        let right = BASE64.encode(&mac.finalize().into_bytes());
        right.as_bytes().ct_eq(signature).into()
    }

    fn form(&self, text: &Text) -> SecretText {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", text.to.expose());
        match &self.from {
            TwilioFrom::Sender(from) => form.append_pair("From", from),
            TwilioFrom::Service(id) => form.append_pair("MessagingServiceSid", id),
        };
        form.append_pair("Body", text.body.expose()).append_pair("StatusCallback", text.report_to.as_str());
        SecretText::new(form.finish())
    }

    fn messages(&self) -> Option<Url> {
        self.base_url.join(&format!("2010-04-01/Accounts/{}/Messages.json", self.account)).ok()
    }
}

/// What a callback says.
pub(super) fn report_in(parameters: &[(String, String)]) -> TextReport {
    let value = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let status = value("MessageStatus").or_else(|| value("SmsStatus")).unwrap_or_default();
    report_of(status, value("ErrorCode").and_then(|code| code.parse().ok()))
}

fn report_of(status: &str, code: Option<u32>) -> TextReport {
    match status {
        "sent" => TextReport::Taken,
        "delivered" | "read" => TextReport::Arrived,
        "undelivered" | "failed" | "canceled" => TextReport::Failed { why: meaning(code.unwrap_or(0)) },
        // "accepted", "queued", "sending", "scheduled", and what is not known yet.
        _ => TextReport::Nothing,
    }
}

fn refused(status: reqwest::StatusCode, code: Option<u32>) -> TextOutcome {
    if let Some(outcome) = wire::usual(status) {
        return outcome;
    }
    let Some(code) = code else {
        let why = TextWhy::new(Fault::Gateway, "the gateway refused the message and does not say why");
        return TextOutcome::Permanent { why: why.with(u32::from(status.as_u16())) };
    };
    let why = meaning(code);
    match why.fault {
        // Too fast, for the account or for the number.
        Fault::Account if matches!(code, 20429 | 14107 | 30001 | 30022) => TextOutcome::Transient { why },
        Fault::Account => TextOutcome::Misconfigured { why },
        Fault::Number | Fault::OptedOut | Fault::Reach | Fault::Gateway | Fault::Ours => TextOutcome::Permanent { why },
    }
}

/// The vendor's list, as far as it concerns a text (<https://www.twilio.com/docs/api/errors>).
fn meaning(code: u32) -> TextWhy {
    let (fault, what) = match code {
        21211 | 21214 | 21217 | 21401 | 21421 | 30005 => (Fault::Number, "there is no such number"),
        21614 | 21635 | 30006 => (Fault::Number, "the number is a landline, or takes no texts"),
        21610 => (Fault::OptedOut, "the recipient asked for no more texts"),
        30003 => (Fault::Number, "the number cannot be reached: it is switched off, or takes no texts"),
        30004 => (Fault::Reach, "the message was blocked on its way to the recipient"),
        21408 | 21612 | 21660 | 21703 | 30024 => (Fault::Account, "the account may not send to this country"),
        21212 | 21603 | 21606 | 21608 | 21611 | 21659 | 21661 | 21701 | 21704 | 30032 | 30034 | 30035 => {
            (Fault::Account, "the sender's number or its registration is not right")
        }
        30007 | 30454 => (Fault::Account, "a network took the message for spam"),
        20003 | 20005 | 30002 | 63017 => (Fault::Account, "the account is closed, suspended, or out of money"),
        20429 | 14107 | 30001 | 30022 => (Fault::Account, "the gateway is asked to send too fast"),
        21602 | 21604 | 21605 | 21609 | 21617 | 21619 | 21620 => (Fault::Ours, "the message was put together wrongly"),
        _ => (Fault::Gateway, "the gateway or a network failed"),
    };
    let why = TextWhy::new(fault, what);
    if code == 0 { why } else { why.with(code) }
}

const fn wrong_address() -> TextOutcome {
    TextOutcome::Misconfigured { why: TextWhy::new(Fault::Account, "base_url takes no path") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twilio(token: &str) -> Twilio {
        Twilio {
            base_url: Url::parse("https://api.example/").unwrap(),
            account: "AC1".to_owned(),
            token: SecretText::new(token.to_owned()),
            from: TwilioFrom::Sender("+12025550100".to_owned()),
        }
    }

    /// The example of the vendor's page on security: token 12345, this URL and these parameters.
    #[test]
    fn the_vendors_own_example_of_a_signature_is_right() {
        let parameters: Vec<(String, String)> = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ]
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let signature = b"0/KCTR6DLpKmkAf8muzZqo1nDgQ=";
        assert!(twilio("12345").is_signed(url, &parameters, signature));
        let reversed: Vec<_> = parameters.iter().rev().cloned().collect();
        assert!(twilio("12345").is_signed(url, &reversed, signature));
        assert!(!twilio("12346").is_signed(url, &parameters, signature));
        assert!(!twilio("12345").is_signed("https://mycompany.com/myapp.php", &parameters, signature));
        assert!(!twilio("12345").is_signed(url, &parameters[1..], signature));
        assert!(!twilio("12345").is_signed(url, &parameters, b""));
    }

    #[test]
    fn every_refusal_says_whose_fault_it_is_and_only_some_are_final() {
        let refused = |status: u16, code| refused(reqwest::StatusCode::from_u16(status).unwrap(), code);
        let fault = |outcome| match outcome {
            TextOutcome::Permanent { why } => ("never", why.fault),
            TextOutcome::Transient { why } => ("later", why.fault),
            TextOutcome::Misconfigured { why } => ("mend", why.fault),
            TextOutcome::Ambiguous { why } => ("unknown", why.fault),
            TextOutcome::Accepted | TextOutcome::Withheld => ("-", Fault::Ours),
        };
        for (status, code, expected) in [
            (400, Some(21211), ("never", Fault::Number)),
            (400, Some(21614), ("never", Fault::Number)),
            (400, Some(21610), ("never", Fault::OptedOut)),
            (400, Some(21606), ("mend", Fault::Account)),
            (400, Some(21617), ("never", Fault::Ours)),
            (400, Some(99999), ("never", Fault::Gateway)),
            (400, None, ("never", Fault::Gateway)),
            (401, Some(20003), ("mend", Fault::Account)),
            (429, Some(20429), ("later", Fault::Account)),
            (500, None, ("unknown", Fault::Gateway)),
            (503, Some(20503), ("unknown", Fault::Gateway)),
            (302, None, ("mend", Fault::Account)),
        ] {
            assert_eq!(fault(refused(status, code)), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn a_callback_is_read_by_its_status_and_its_code() {
        let said = |pairs: &[(&str, &str)]| {
            let owned: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            report_in(&owned)
        };
        assert_eq!(said(&[("MessageStatus", "delivered")]), TextReport::Arrived);
        assert_eq!(said(&[("MessageStatus", "sent")]), TextReport::Taken);
        assert_eq!(said(&[("MessageStatus", "queued")]), TextReport::Nothing);
        assert_eq!(said(&[]), TextReport::Nothing);
        let TextReport::Failed { why } = said(&[("MessageStatus", "undelivered"), ("ErrorCode", "30006")]) else {
            panic!("it failed")
        };
        assert!(why.is_no_such_number() && !why.is_opt_out());
        assert_eq!(why.to_string(), "the number is a landline, or takes no texts (30006; the number's)");
    }
}
