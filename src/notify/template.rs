//! What a notice says: a few allowed facts set into fixed words.
//!
//! Must stay true: nothing about the patient or the document is among the facts, so nothing about them can be said; a bare
//! notice does not name the clinic; the link stands unbroken on a line of its own.
//! Must not know: what the link opens.

use askama::Template;
use chrono::TimeZone as _;
use chrono_tz::Tz;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::{Address, address};

use super::letter::{ClinicPhone, DisplayName, MessageId, Outgoing};
use crate::base::{EmailAddress, NoticeId, Reference, SecretText, UtcMillis};
use crate::policy::Wording;

/// Width of the plain text part, in characters; the link alone may be longer.
const PLAIN_COLUMNS_MAX: usize = 76;
/// Longest link, in bytes: with its escapes still far below the 998 bytes of a line (RFC 5322 §2.1.1).
const LINK_BYTES_MAX: usize = 500;

/// All that a message with a link may know.
pub struct LinkNotice {
    pub notice: NoticeId,
    pub clinic_name: DisplayName,
    pub clinic_phone: ClinicPhone,
    pub from: EmailAddress,
    pub to: EmailAddress,
    /// The whole URL with its secret.
    pub link: SecretText,
    pub expires_at: UtcMillis,
    /// The clinic's.
    pub zone: Tz,
    pub reference: Reference,
    pub language: Language,
    pub wording: Wording,
    pub kind: NoticeKind,
    /// When the first attempt was made; the same for each attempt.
    pub date: UtcMillis,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticeKind {
    New,
    /// Takes the place of one sent before.
    Updated,
}

/// The languages that notices are written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    English,
}

/// Why a notice could not be written. Each is a fault of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("the link is not a plain URL of at most 500 bytes")]
    Link,
    #[error("an address cannot be written into a message")]
    Address,
    #[error("the message could not be put together")]
    Message,
}

impl LinkNotice {
    /// Writes the message; the same notice gives the same bytes.
    ///
    /// # Errors
    /// See [`ComposeError`].
    pub fn compose(&self) -> Result<Outgoing, ComposeError> {
        let link = self.link.expose();
        if link.len() > LINK_BYTES_MAX || !link.starts_with("http") || !link.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ComposeError::Link);
        }
        let words = self.words().map_err(|_| ComposeError::Message)?;
        let message_id = MessageId::of(&self.notice, &self.from);
        let from_name = self.named_clinic();
        let (notice, from, to, date) = (&self.notice, &self.from, &self.to, self.date);
        Envelope { notice, message_id, from_name, from, to, date }.close(words)
    }

    fn words(&self) -> Result<Words, askama::Error> {
        let clinic = self.named_clinic().map(DisplayName::as_str);
        let (phone, link, reference) = (self.clinic_phone.as_str(), self.link.expose(), self.reference.as_str());
        let kind = self.kind;
        match self.language {
            Language::English => {
                let until = &english_time(self.expires_at, self.zone);
                Ok(Words {
                    subject: english_subject(clinic, kind),
                    plain: EnglishText { clinic, phone, link, until, reference, kind }.render()?,
                    html: EnglishHtml { clinic, phone, link, until, reference, kind }.render()?,
                })
            }
        }
    }

    /// The clinic's name, where the wording lets it be read over a shoulder.
    fn named_clinic(&self) -> Option<&DisplayName> {
        match self.wording {
            Wording::Full | Wording::Generic => Some(&self.clinic_name),
            Wording::Bare => None,
        }
    }
}

pub(super) struct Words {
    pub(super) subject: String,
    pub(super) plain: String,
    pub(super) html: String,
}

/// What stands around the words of every message.
pub(super) struct Envelope<'a> {
    pub(super) notice: &'a NoticeId,
    pub(super) message_id: MessageId,
    pub(super) from_name: Option<&'a DisplayName>,
    pub(super) from: &'a EmailAddress,
    pub(super) to: &'a EmailAddress,
    pub(super) date: UtcMillis,
}

impl Envelope<'_> {
    pub(super) fn close(self, words: Words) -> Result<Outgoing, ComposeError> {
        let from = Mailbox::new(self.from_name.map(|name| name.as_str().to_owned()), wire_address(self.from)?);
        let message = Message::builder()
            .from(from)
            .to(Mailbox::new(None, wire_address(self.to)?))
            .subject(words.subject)
            .date(self.date.to_datetime().into())
            .message_id(Some(self.message_id.to_string()))
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .multipart(
                MultiPart::alternative()
                    .boundary(format!("=_{}", self.notice))
                    .singlepart(SinglePart::plain(wrapped(&words.plain, PLAIN_COLUMNS_MAX)))
                    .singlepart(SinglePart::html(words.html)),
            )
            .map_err(|_| ComposeError::Message)?;
        Ok(Outgoing::new(self.from.clone(), self.to.clone(), self.message_id, message.formatted()))
    }
}

#[derive(Template)]
#[template(path = "notify/link_notice.en.txt")]
struct EnglishText<'a> {
    clinic: Option<&'a str>,
    phone: &'a str,
    link: &'a str,
    until: &'a str,
    reference: &'a str,
    kind: NoticeKind,
}

#[derive(Template)]
#[template(path = "notify/link_notice.en.html")]
struct EnglishHtml<'a> {
    clinic: Option<&'a str>,
    phone: &'a str,
    link: &'a str,
    until: &'a str,
    reference: &'a str,
    kind: NoticeKind,
}

fn english_subject(clinic: Option<&str>, kind: NoticeKind) -> String {
    match (clinic, kind) {
        (Some(clinic), NoticeKind::New) => format!("A document from {clinic}"),
        (Some(clinic), NoticeKind::Updated) => format!("An updated document from {clinic}"),
        (None, NoticeKind::New) => "You have a new document".to_owned(),
        (None, NoticeKind::Updated) => "You have an updated document".to_owned(),
    }
}

/// `Tuesday, 24 November 2026, 16:05 (Chicago time)`; the minute is the last whole one. Where the clocks of that place
/// show it twice, in the night in which they go back, the offset's own name stands there instead: `(CST)`.
pub(super) fn english_time(at: UtcMillis, zone: Tz) -> String {
    let local = at.to_datetime().with_timezone(&zone);
    let day_and_time = local.format("%A, %-d %B %Y, %H:%M");
    let shown_once = zone.from_local_datetime(&local.naive_local()).single().is_some();
    match zone.name().rsplit_once('/') {
        Some((area, city)) if area != "Etc" && shown_once => format!("{day_and_time} ({} time)", spoken(city)),
        Some(_) | None => {
            let abbreviation = local.format("%Z").to_string();
            let utc = if abbreviation.starts_with(['+', '-']) { "UTC" } else { "" };
            format!("{day_and_time} ({utc}{abbreviation})")
        }
    }
}

fn spoken(city: &str) -> String {
    city.replace('_', " ")
}

/// Breaks lines at spaces so that none is wider than `columns`, except a word that is wider by itself.
fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let mut width = 0;
        for (index, word) in line.split(' ').enumerate() {
            let word_width = word.chars().count();
            if index > 0 {
                let fits = width + 1 + word_width <= columns;
                out.push(if fits { ' ' } else { '\n' });
                width = if fits { width + 1 } else { 0 };
            }
            out.push_str(word);
            width += word_width;
        }
        out.push('\n');
    }
    out
}

fn wire_address(address: &EmailAddress) -> Result<Address, ComposeError> {
    address.expose().parse().map_err(|_: address::AddressError| ComposeError::Address)
}

#[cfg(test)]
mod tests;
