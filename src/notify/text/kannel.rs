//! Kannel's sendsms (<https://www.kannel.org/download/1.4.5/userguide-1.4.5/userguide.html>, chapter 6 "SMS Push").
//!
//! Must stay true: number, text and password go in headers and body, never in a URL, which gateways log; its reports prove nothing
//! of themselves, so they count only at an address that nobody can guess.

use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder};
use url::Url;

use super::outcome::{Fault, TextOutcome, TextReport, TextWhy};
use super::{Text, TextLimits, wire};
use crate::base::SecretText;

/// Reports that we ask for: delivered (1), undeliverable (2), taken by the network (8), refused by it (16).
const DLR_MASK: &str = "27";

pub struct Kannel {
    /// `http://127.0.0.1:13013/cgi-bin/sendsms`.
    pub url: Url,
    pub user: String,
    pub password: SecretText,
    /// A number, short code or name.
    pub from: String,
    /// Behind the address that hears what people write to us; `None`: nobody listens.
    pub incoming_token: Option<SecretText>,
}

impl Kannel {
    pub(super) async fn send(&self, http: &Client, text: &Text, limits: TextLimits) -> TextOutcome {
        // %d: the kind of report, %A: the network's own answer.
        let report_to = format!("{}?type=%d&answer=%A", text.report_to);
        let of_text = [
            ("X-Kannel-From", self.from.as_str()),
            ("X-Kannel-To", text.to.expose()),
            ("X-Kannel-DLR-Url", report_to.as_str()),
        ];
        let Some(request) = self.request(http, &self.password, &of_text) else { return wrong_setting() };
        match wire::ask(request.body(text.body.expose().to_owned()), limits.attempt_timeout).await {
            Ok(answer) if answer.status.is_success() => TextOutcome::Accepted,
            Ok(answer) => wire::usual(answer.status).unwrap_or(TextOutcome::Permanent {
                why: TextWhy::new(Fault::Number, "the gateway does not take the number or the message")
                    .with(u32::from(answer.status.as_u16())),
            }),
            Err(outcome) => outcome,
        }
    }

    /// A call to sendsms; `None` where something holds what no header can carry.
    pub(super) fn request(
        &self,
        http: &Client,
        password: &SecretText,
        more: &[(&'static str, &str)],
    ) -> Option<RequestBuilder> {
        let mut request = http
            .post(self.url.clone())
            .header("Content-Type", "text/plain; charset=UTF-8")
            .header("X-Kannel-DLR-Mask", DLR_MASK)
            .header("X-Kannel-Coding", "0");
        let who = [("X-Kannel-Username", self.user.as_str()), ("X-Kannel-Password", password.expose())];
        for (name, value) in who.iter().chain(more) {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        Some(request)
    }
}

/// What a report says. Of a message that was refused as one to a wrong number (SMPP 3.4 §5.1.3, `ESME_RINVDSTADR`) the network says so
/// in its answer; of one that did not arrive it mostly does not say why.
pub(super) fn report_in(parameters: &[(String, String)]) -> TextReport {
    let value = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(kind) = value("type").and_then(|kind| kind.parse::<u32>().ok()) else { return TextReport::Nothing };
    let is_wrong_number = value("answer").is_some_and(|answer| answer.starts_with("NACK/0x0000000b"));
    match kind {
        1 => TextReport::Arrived,
        8 => TextReport::Taken,
        16 if is_wrong_number => {
            TextReport::Failed { why: TextWhy::new(Fault::Number, "there is no such number").with(11) }
        }
        16 => TextReport::Failed { why: TextWhy::new(Fault::Gateway, "a network refused the message").with(kind) },
        2 => TextReport::Failed { why: TextWhy::new(Fault::Reach, "the message could not be delivered").with(kind) },
        // 4 is "still waiting".
        _ => TextReport::Nothing,
    }
}

pub(super) const fn wrong_setting() -> TextOutcome {
    TextOutcome::Misconfigured {
        why: TextWhy::new(Fault::Account, "user, password or sender hold what no header can carry"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_by_its_kind() {
        let said = |kind: &str, answer: &str| {
            report_in(&[("type".to_owned(), kind.to_owned()), ("answer".to_owned(), answer.to_owned())])
        };
        assert_eq!(said("8", "ACK/"), TextReport::Taken);
        assert_eq!(said("1", "id:1001 stat:DELIVRD"), TextReport::Arrived);
        assert_eq!(said("4", ""), TextReport::Nothing);
        assert_eq!(said("rubbish", ""), TextReport::Nothing);
        let fault = |report| match report {
            TextReport::Failed { why } => Some(why.fault),
            TextReport::Taken | TextReport::Arrived | TextReport::Nothing => None,
        };
        assert_eq!(fault(said("2", "stat:UNDELIV err:001")), Some(Fault::Reach));
        assert_eq!(fault(said("16", "NACK/0x0000000b/Invalid Destination Address")), Some(Fault::Number));
        assert_eq!(fault(said("16", "NACK/0x00000058/Throttled")), Some(Fault::Gateway));
    }
}
