//! A message to staff, which shows what happens to messages on their way: sent as patients' are, and read again as it arrived.
//!
//! Must stay true: its link leads to the clinic's address and opens nothing; what is read of a message that came back is which
//! checks it passed and whether its link is whole, nothing else.

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, SinglePart};
use mail_parser::{HeaderValue as Parsed, MessageParser, MimeHeaders as _};

use super::domain::are_aligned;
use super::letter::{DisplayName, MessageId, Outgoing};
use super::template::ComposeError;
use crate::base::{EmailAddress, NoticeId, UtcMillis};

/// Where the link of a trial leads below the patients' address, before its mark.
const PATH: &str = "robots.txt?trial=";

/// A trial message.
pub struct Trial {
    /// Marks it and its link.
    pub id: NoticeId,
    pub clinic: DisplayName,
    pub from: EmailAddress,
    pub to: EmailAddress,
    pub patient_url: url::Url,
    pub date: UtcMillis,
}

/// What became of a trial on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub link: LinkThere,
    pub spf: Check,
    pub dkim: Check,
    pub dmarc: Check,
    /// Whether a signature is by the sender's own domain.
    pub signed: Signed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkThere {
    Whole,
    /// There is a link, and it is another one.
    Rewritten,
    Missing,
}

/// What the receiver's server wrote down (RFC 8601).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Passed,
    Failed,
    NotSaid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    ByOwnDomain,
    ByAnotherDomain,
    Not,
}

/// Staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    #[error(
        "this is no message as a mailbox keeps it; save it as it arrived, with all its headers (\"show original\", .eml)"
    )]
    NoMessage,
    #[error("this is not a trial of this installation; send one with --to, and save what arrives")]
    NotOurs,
}

impl Trial {
    /// # Errors
    /// [`ComposeError`].
    pub fn compose(&self) -> Result<Outgoing, ComposeError> {
        let wire = |address: &EmailAddress| address.expose().parse::<Address>().map_err(|_| ComposeError::Address);
        let message_id = MessageId::of(&self.id, &self.from);
        let link = format!("{}{PATH}{}#{}", self.patient_url, self.id, self.id);
        let text = format!(
            "This is a trial of Chartseal at {}, sent as messages to patients are. It is about nobody.\n\n\
             The link below must arrive as it is written, in one piece:\n\n{link}\n\n\
             Save this message as it arrived, with all its headers (\"show original\", \"download message\"), and run\n\n    \
             chartseal doctor channels --received FILE\n\n\
             which says whether it was rewritten on its way, and which checks it passed.\n",
            self.clinic.as_str()
        );
        let message = Message::builder()
            .from(Mailbox::new(Some(self.clinic.as_str().to_owned()), wire(&self.from)?))
            .to(Mailbox::new(None, wire(&self.to)?))
            .subject("A trial of Chartseal")
            .date(self.date.to_datetime().into())
            .message_id(Some(message_id.to_string()))
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .singlepart(SinglePart::plain(text))
            .map_err(|_| ComposeError::Message)?;
        Ok(Outgoing::new(self.from.clone(), self.to.clone(), message_id, message.formatted()))
    }
}

impl Arrived {
    /// Reads a message as its mailbox keeps it.
    ///
    /// # Errors
    /// [`TrialError`].
    pub fn read(bytes: &[u8], patient_url: &url::Url) -> Result<Self, TrialError> {
        let message = MessageParser::default().parse(bytes).ok_or(TrialError::NoMessage)?;
        let from = message.from().and_then(|from| from.first()).and_then(|from| from.address());
        let from = from.and_then(|from| EmailAddress::parse(from).ok()).ok_or(TrialError::NoMessage)?;
        let id = message.message_id().and_then(|id| id.split('@').next()).and_then(|id| NoticeId::parse(id).ok());
        let id = id.ok_or(TrialError::NotOurs)?;
        if message.subject() != Some("A trial of Chartseal") {
            return Err(TrialError::NotOurs);
        }
        let link = format!("{patient_url}{PATH}{id}#{id}");
        let bodies: Vec<String> = message
            .text_bodies()
            .chain(message.html_bodies())
            .filter(|part| part.content_type().is_none_or(|kind| kind.ctype() == "text"))
            .filter_map(|part| part.text_contents().map(str::to_owned))
            .collect();
        let holds = |needle: &str| bodies.iter().any(|body| body.contains(needle));
        let headers = |name: &str| -> Vec<String> {
            message.header_values(name).filter_map(Parsed::as_text).map(str::to_owned).collect()
        };
        let said = headers("Authentication-Results").join(";").to_ascii_lowercase();
        let signers: Vec<String> = headers("DKIM-Signature").iter().filter_map(|header| signer(header)).collect();
        Ok(Self {
            link: match (holds(&link), holds("http")) {
                (true, _) => LinkThere::Whole,
                (false, true) => LinkThere::Rewritten,
                (false, false) => LinkThere::Missing,
            },
            spf: check(&said, "spf"),
            dkim: check(&said, "dkim"),
            dmarc: check(&said, "dmarc"),
            signed: match signers.as_slice() {
                [] => Signed::Not,
                all if all.iter().any(|signer| are_aligned(signer, from.domain())) => Signed::ByOwnDomain,
                _ => Signed::ByAnotherDomain,
            },
        })
    }
}

/// The `d=` of a signature (RFC 6376 §3.5).
fn signer(header: &str) -> Option<String> {
    let tags = header.split(';').filter_map(|tag| tag.trim().split_once('='));
    tags.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == "d").map(|(_, d)| d.to_owned())
}

/// `method=result` (RFC 8601 §2.2); one that passed outweighs others of the same method.
fn check(said: &str, method: &str) -> Check {
    let results = said.split([';', ' ', '\t', '\r', '\n']).filter_map(|word| word.split_once('='));
    let mut results = results.filter(|(name, _)| *name == method).map(|(_, result)| result).peekable();
    if results.peek().is_none() {
        return Check::NotSaid;
    }
    if results.any(|result| result == "pass") { Check::Passed } else { Check::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient_url() -> url::Url {
        url::Url::parse("https://results.clinic.example/").unwrap()
    }

    fn sent() -> String {
        let trial = Trial {
            id: NoticeId::parse("AAAAAAAAAAAAAAAA").unwrap(),
            clinic: DisplayName::parse("Praxis Dr. Müller").unwrap(),
            from: EmailAddress::parse("results@notify.clinic.example").unwrap(),
            to: EmailAddress::parse("eve@clinic.example").unwrap(),
            patient_url: patient_url(),
            date: UtcMillis(1_764_000_000_000),
        };
        String::from_utf8(trial.compose().unwrap().expose().to_vec()).unwrap()
    }

    fn arrived(headers: &str, change: impl Fn(String) -> String) -> Result<Arrived, TrialError> {
        Arrived::read(format!("{headers}{}", change(sent())).as_bytes(), &patient_url())
    }

    #[test]
    fn a_trial_that_arrives_as_it_was_sent_passes() {
        let headers = "Authentication-Results: mx.example; dkim=pass header.d=clinic.example;\r\n spf=pass smtp.mailfrom=x;\r\n dmarc=pass (p=REJECT)\r\n\
                       DKIM-Signature: v=1; a=rsa-sha256; d=clinic.example;\r\n s=s1; bh=x; b=y\r\n";
        let (spf, dkim, dmarc) = (Check::Passed, Check::Passed, Check::Passed);
        let whole = Arrived { link: LinkThere::Whole, spf, dkim, dmarc, signed: Signed::ByOwnDomain };
        assert_eq!(arrived(headers, |mail| mail), Ok(whole));
    }

    #[test]
    fn a_relay_that_counts_clicks_is_found_out() {
        let rewrite = |mail: String| mail.replace("https://results.clinic.example/", "https://click.relay.example/ls/");
        let headers = "Authentication-Results: mx.example; spf=softfail; dkim=fail; dkim=none\r\nDKIM-Signature: v=1; d=relay.example\r\n";
        let (spf, dkim, dmarc) = (Check::Failed, Check::Failed, Check::NotSaid);
        let rewritten = Arrived { link: LinkThere::Rewritten, spf, dkim, dmarc, signed: Signed::ByAnotherDomain };
        assert_eq!(arrived(headers, rewrite), Ok(rewritten));
    }

    #[test]
    fn what_is_no_trial_of_ours_says_nothing() {
        assert_eq!(Arrived::read(b"", &patient_url()), Err(TrialError::NoMessage));
        assert_eq!(Arrived::read(b"hello", &patient_url()), Err(TrialError::NoMessage));
        let other = |mail: String| mail.replace("A trial of Chartseal\r", "Lunch\r");
        assert_eq!(arrived("", other), Err(TrialError::NotOurs));
    }
}
