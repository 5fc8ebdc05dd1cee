//! What mail systems report of a message after its relay took it (RFC 3464).
//!
//! Must stay true: nothing counts but a delivery report with an empty sender to an address of ours that nobody can guess; of its
//! text only numbers are kept, for it repeats our message with its link.
//! Must not know: whose message it was, and what follows.

use std::fmt;

use mail_parser::{ContentType, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};

use super::outcome::EnhancedStatus;
use crate::base::EmailAddress;

/// Largest report that is read, in bytes: one with our whole message in it has some 20 KB.
pub const DSN_BYTES_MAX: usize = 512 * 1024;
/// Recipients' groups that are looked at in one report.
const GROUPS_MAX: usize = 32;
/// What Postfix calls the empty sender where a program is given it (pipe(8), `null_sender`).
const NULL_SENDERS: [&str; 3] = ["", "<>", "MAILER-DAEMON"];

/// The address that reports come to: `bounces@notify.clinic.example`, with `+TOKEN` for each message.
#[derive(Clone)]
pub struct BounceAddress(EmailAddress);

/// What the mail system that brought the report said of it. Where it says nothing, the report's own head does.
#[derive(Clone, Copy, Default)]
pub struct BounceEnvelope<'a> {
    pub sender: Option<&'a str>,
    pub recipient: Option<&'a str>,
}

/// A report that may be believed, if its token is ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dsn {
    pub token: String,
    pub fate: Fate,
    pub status: Option<EnhancedStatus>,
}

/// What became of the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// There is no such mailbox, or no way to it.
    NoMailbox,
    /// The mailbox is full.
    Full,
    /// Refused for what the sender is or does: nothing that the patient could change.
    Policy,
    /// Tried until the mail system gave up.
    GaveUp,
    /// Refused for good for another reason.
    Refused,
    /// Still on its way.
    Delayed,
    /// It arrived, or arrived at one of several places that it was forwarded to.
    Arrived,
}

/// Why a message is no report for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotADsn {
    Unreadable,
    /// No report of a mail system has a sender.
    HasSender,
    NotAReport,
    /// Not to an address of a message of ours.
    NotToUs,
    NoRecipient,
}

impl NotADsn {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "it cannot be read as a message",
            Self::HasSender => "it has a sender, which no report of a mail system has",
            Self::NotAReport => "it is no delivery report (multipart/report)",
            Self::NotToUs => "it is not to the address of a message of ours",
            Self::NoRecipient => "it says nothing of any recipient",
        }
    }
}

impl BounceAddress {
    /// # Errors
    /// An address whose local part leaves no room for a token, or has a `+` already.
    pub fn new(address: EmailAddress) -> Result<Self, &'static str> {
        let (local, _) = address.expose().rsplit_once('@').unwrap_or_default();
        if local.contains('+') || local.len() > 24 {
            return Err(
                "expected an address such as bounces@notify.clinic.example: at most 24 characters before the @ and no +",
            );
        }
        Ok(Self(address))
    }

    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// Where the report of one message comes to.
    ///
    /// # Errors
    /// A token that cannot stand in an address.
    pub fn with(&self, token: &str) -> Result<EmailAddress, crate::base::AddressError> {
        let (local, domain) = self.0.expose().rsplit_once('@').unwrap_or_default();
        EmailAddress::parse(&format!("{local}+{token}@{domain}"))
    }

    /// The token in `recipient`, if that is one of ours. Mail systems may change the case of letters.
    fn token_in(&self, recipient: &str) -> Option<String> {
        let ours = self.0.expose().to_ascii_lowercase();
        let (local, domain) = ours.rsplit_once('@')?;
        let recipient = recipient.trim().trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        let (theirs, at) = recipient.rsplit_once('@')?;
        let token = theirs.strip_prefix(local)?.strip_prefix('+')?;
        (at == domain).then(|| token.to_owned())
    }
}

impl Dsn {
    /// Reads a message that came to the address of reports.
    ///
    /// # Errors
    /// Why it is none for us; then it must change nothing.
    pub fn read(raw: &[u8], envelope: BounceEnvelope<'_>, address: &BounceAddress) -> Result<Self, NotADsn> {
        let message = MessageParser::default().parse(raw).ok_or(NotADsn::Unreadable)?;
        let is_from_nobody = match envelope.sender {
            Some(sender) => NULL_SENDERS.contains(&sender.trim()),
            None => message.header_raw("Return-Path").is_some_and(|path| path.trim() == "<>"),
        };
        if !is_from_nobody {
            return Err(NotADsn::HasSender);
        }
        if !message.content_type().is_some_and(is_delivery_report) {
            return Err(NotADsn::NotAReport);
        }
        let token = recipients(&message, envelope).iter().find_map(|recipient| address.token_in(recipient));
        let token = token.ok_or(NotADsn::NotToUs)?;
        let part = message.parts.iter().find(|part| part.content_type().is_some_and(is_delivery_status));
        let groups = part.map(groups).unwrap_or_default();
        let (fate, status) = fate_of_all(&groups).ok_or(NotADsn::NoRecipient)?;
        Ok(Self { token, fate, status })
    }
}

impl Fate {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMailbox => "no_mailbox",
            Self::Full => "full",
            Self::Policy => "policy",
            Self::GaveUp => "gave_up",
            Self::Refused => "refused",
            Self::Delayed => "delayed",
            Self::Arrived => "arrived",
        }
    }

    /// By the class, subject and detail of RFC 3463; a message that failed with a passing code was tried until somebody gave up.
    const fn of_failure(status: Option<EnhancedStatus>) -> Self {
        let Some(EnhancedStatus { class, subject, detail }) = status else { return Self::Refused };
        match (class, subject, detail) {
            (_, 2, 2) => Self::Full,
            (_, 7, _) => Self::Policy,
            (4, _, _) | (_, 4, 7) => Self::GaveUp,
            (5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1) | (5, 4, _) => Self::NoMailbox,
            _ => Self::Refused,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMailbox => "the mailbox does not exist, or nothing leads to it",
            Self::Full => "the mailbox is full",
            Self::Policy => "it was refused for who sends it or how, which is nothing of the patient's",
            Self::GaveUp => "it could not be delivered for so long that the mail system gave up",
            Self::Refused => "it was refused for good",
            Self::Delayed => "it is late, and still on its way",
            Self::Arrived => "it arrived",
        })
    }
}

fn is_delivery_report(kind: &ContentType<'_>) -> bool {
    let report = kind.attribute("report-type").is_some_and(|report| report.eq_ignore_ascii_case("delivery-status"));
    kind.ctype().eq_ignore_ascii_case("multipart") && says(kind.subtype(), "report") && report
}

fn is_delivery_status(kind: &ContentType<'_>) -> bool {
    let is_status = says(kind.subtype(), "delivery-status") || says(kind.subtype(), "global-delivery-status");
    kind.ctype().eq_ignore_ascii_case("message") && is_status
}

fn says(subtype: Option<&str>, wanted: &str) -> bool {
    subtype.is_some_and(|subtype| subtype.eq_ignore_ascii_case(wanted))
}

/// Whom the report came to: by the envelope, else as the report itself says.
fn recipients(message: &Message<'_>, envelope: BounceEnvelope<'_>) -> Vec<String> {
    if let Some(recipient) = envelope.recipient {
        return vec![recipient.to_owned()];
    }
    let to = message.to().into_iter().flat_map(mail_parser::Address::iter);
    let mut all: Vec<String> = to.filter_map(|to| to.address()).map(str::to_owned).collect();
    for header in ["Delivered-To", "X-Original-To"] {
        all.extend(message.header_raw(header).map(|value| value.trim().to_owned()));
    }
    all
}

/// What is said of one recipient (RFC 3464 §2.3).
struct Group {
    action: String,
    status: Option<EnhancedStatus>,
}

fn groups(part: &MessagePart<'_>) -> Vec<Group> {
    let bytes = match &part.body {
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.as_ref(),
        PartType::Text(text) | PartType::Html(text) => text.as_bytes(),
        PartType::Message(_) | PartType::Multipart(_) => return Vec::new(),
    };
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    text.split("\n\n").take(GROUPS_MAX).filter_map(group).collect()
}

/// `None` for the group that speaks of the whole message.
fn group(text: &str) -> Option<Group> {
    let head = format!("{}\n\n", text.trim_matches('\n'));
    let head = MessageParser::default().parse_headers(head.as_bytes())?;
    let field =
        |name: &'static str| head.header_raw(name).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
    let action = field("Action")?.to_ascii_lowercase();
    let status = field("Status").and_then(|status| EnhancedStatus::leading(&status));
    let diagnosed = field("Diagnostic-Code").and_then(|code| diagnosed(&code));
    // Some mail systems write 5.0.0 and leave the rest to what the other side said.
    let status = match (status, diagnosed) {
        (None | Some(EnhancedStatus { subject: 0, .. }), Some(diagnosed)) => Some(diagnosed),
        (status, _) => status,
    };
    Some(Group { action, status })
}

/// The enhanced code in `smtp; 550 5.1.1 <…> no such user`.
fn diagnosed(code: &str) -> Option<EnhancedStatus> {
    let (kind, said) = code.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("smtp") {
        return None;
    }
    let mut words = said.split([' ', '-']).filter(|word| !word.is_empty()).take(2);
    words.find_map(EnhancedStatus::leading)
}

/// One message went to one mailbox; several groups are places that it was forwarded to, and one that has it is enough.
fn fate_of_all(groups: &[Group]) -> Option<(Fate, Option<EnhancedStatus>)> {
    let fate = |group: &Group| match group.action.as_str() {
        "failed" => Some(Fate::of_failure(group.status)),
        "delayed" => Some(Fate::Delayed),
        "delivered" | "relayed" | "expanded" => Some(Fate::Arrived),
        _ => None,
    };
    let fates: Vec<_> = groups.iter().filter_map(|group| fate(group).map(|fate| (fate, group.status))).collect();
    let first_of = |wanted: Fate| fates.iter().find(|(fate, _)| *fate == wanted).copied();
    first_of(Fate::Arrived).or_else(|| first_of(Fate::Delayed)).or_else(|| fates.first().copied())
}

#[cfg(test)]
mod tests;
