//! A notice as a message: a few allowed facts set into words that were judged before.
//!
//! Must stay true: nothing about the patient or the document is among the facts, so nothing about them can be said; a bare
//! notice does not name the clinic; the link stands unbroken on a line of its own.
//! Must not know: what the link opens.

use askama::Template;
use chrono_tz::Tz;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::{Address, address};

use super::letter::{ClinicPhone, DisplayName, MessageId, Outgoing};
use super::messages::{self, Block, MessageKey, MessageText, Messages, Naming, Piece, Placeholder};
use crate::base::{EmailAddress, Language, NoticeId, Reference, SecretText, UtcMillis};
use crate::policy::Wording;

/// Width of the plain text part, in characters; the link alone may be longer.
pub(super) const PLAIN_COLUMNS_MAX: usize = 76;
/// Longest link, in bytes: with its escapes still far below the 998 bytes of a line (RFC 5322 §2.1.1).
const LINK_BYTES_MAX: usize = 500;

/// All that a message with a link may know.
pub struct LinkNotice {
    pub notice: NoticeId,
    pub clinic_name: DisplayName,
    pub clinic_phone: ClinicPhone,
    pub from: EmailAddress,
    pub to: EmailAddress,
    /// The whole URL with its secret; `None` for a kind that has no link.
    pub link: Option<SecretText>,
    pub expires_at: UtcMillis,
    /// When the first message of this link was sent.
    pub sent_at: UtcMillis,
    /// The clinic's.
    pub zone: Tz,
    pub reference: Reference,
    pub language: Language,
    pub wording: Wording,
    pub kind: NoticeKind,
    /// When the first attempt was made; the same for each attempt.
    pub date: UtcMillis,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NoticeKind {
    New,
    /// Takes the place of one sent before.
    Updated,
    /// The same link once more.
    Reminder,
    /// Says that a message waits, without its link.
    Waiting,
}

impl NoticeKind {
    pub const ALL: [Self; 4] = [Self::New, Self::Updated, Self::Reminder, Self::Waiting];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Updated => "updated",
            Self::Reminder => "reminder",
            Self::Waiting => "waiting",
        }
    }
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

/// What recipients read of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    pub subject: String,
    pub plain: String,
    pub html: String,
}

/// What stands around the words of every message.
pub(super) struct Envelope<'a> {
    pub(super) notice: &'a NoticeId,
    pub(super) from_name: Option<&'a DisplayName>,
    pub(super) from: &'a EmailAddress,
    pub(super) to: &'a EmailAddress,
    pub(super) language: Language,
    pub(super) date: UtcMillis,
}

impl Envelope<'_> {
    pub(super) fn close(self, words: Words) -> Result<Outgoing, ComposeError> {
        let message_id = MessageId::of(self.notice, self.from);
        let from = Mailbox::new(self.from_name.map(|name| name.as_str().to_owned()), wire_address(self.from)?);
        let header = |name, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        let message = Message::builder()
            .from(from)
            .to(Mailbox::new(None, wire_address(self.to)?))
            .subject(words.subject)
            .date(self.date.to_datetime().into())
            .message_id(Some(message_id.to_string()))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("Content-Language", self.language.as_str()))
            .multipart(
                MultiPart::alternative()
                    .boundary(format!("=_{}", self.notice))
                    .singlepart(SinglePart::plain(words.plain))
                    .singlepart(SinglePart::html(words.html)),
            )
            .map_err(|_| ComposeError::Message)?;
        Ok(Outgoing::new(self.from.clone(), self.to.clone(), message_id, message.formatted()))
    }
}

impl LinkNotice {
    /// Writes the message in a clinic's words; the same notice gives the same bytes.
    ///
    /// # Errors
    /// See [`ComposeError`].
    pub fn compose(&self, messages: &Messages) -> Result<Outgoing, ComposeError> {
        let words = self.words(messages)?;
        let (from_name, notice, from, to) = (self.named_clinic(), &self.notice, &self.from, &self.to);
        Envelope { notice, from_name, from, to, language: self.language, date: self.date }.close(words)
    }

    /// The words alone, as a person may look at them beforehand.
    ///
    /// # Errors
    /// See [`ComposeError`].
    pub fn words(&self, messages: &Messages) -> Result<Words, ComposeError> {
        let key = MessageKey { language: self.language, kind: self.kind, naming: self.naming() };
        let text = messages.text(key).ok_or(ComposeError::Message)?;
        let values = self.values()?;
        let html = values.html(text, self.language, self.named_clinic()).map_err(|_| ComposeError::Message)?;
        Ok(Words {
            subject: values.put(&text.subject),
            plain: wrapped(&values.plain(&text.blocks), PLAIN_COLUMNS_MAX),
            html,
        })
    }

    fn values(&self) -> Result<Values<'_>, ComposeError> {
        let link = self.link.as_ref().map_or("", SecretText::expose);
        let is_link =
            link.len() <= LINK_BYTES_MAX && link.starts_with("http") && link.bytes().all(|b| b.is_ascii_graphic());
        match self.kind {
            NoticeKind::New | NoticeKind::Updated | NoticeKind::Reminder if !is_link => return Err(ComposeError::Link),
            NoticeKind::New | NoticeKind::Updated | NoticeKind::Reminder | NoticeKind::Waiting => {}
        }
        Ok(Values {
            clinic: self.clinic_name.as_str(),
            phone: self.clinic_phone.as_str(),
            link,
            until: messages::day_and_time(self.expires_at, self.zone, self.language),
            reference: self.reference.as_str(),
            sent: messages::day(self.sent_at, self.zone, self.language),
        })
    }

    /// The clinic's name, where the wording lets it be read over a shoulder.
    fn named_clinic(&self) -> Option<&DisplayName> {
        match self.naming() {
            Naming::Named => Some(&self.clinic_name),
            Naming::Bare => None,
        }
    }

    const fn naming(&self) -> Naming {
        match self.wording {
            Wording::Full | Wording::Generic => Naming::Named,
            Wording::Bare => Naming::Bare,
        }
    }
}

/// What takes the placeholders' places.
struct Values<'a> {
    clinic: &'a str,
    phone: &'a str,
    link: &'a str,
    until: String,
    reference: &'a str,
    sent: String,
}

#[derive(Template)]
#[template(path = "notify/letter.html")]
struct Html<'a> {
    language: &'a str,
    clinic: Option<&'a str>,
    title: &'a str,
    preview: &'a str,
    link: &'a str,
    button: &'a str,
    copy: &'a str,
    /// What stands above the line, and what below it.
    main: Vec<Part<'a>>,
    rest: Vec<Part<'a>>,
}

enum Part<'a> {
    Paragraph(Vec<Span<'a>>),
    Link,
}

enum Span<'a> {
    Words(&'a str),
    Strong(&'a str),
    /// Stays on one line.
    Whole(&'a str),
}

impl Values<'_> {
    fn of(&self, placeholder: Placeholder) -> &str {
        match placeholder {
            Placeholder::Clinic => self.clinic,
            Placeholder::Phone => self.phone,
            Placeholder::Link => self.link,
            Placeholder::Until => &self.until,
            Placeholder::Reference => self.reference,
            Placeholder::Sent => &self.sent,
        }
    }

    fn put(&self, pieces: &[Piece]) -> String {
        let of = |piece: &Piece| match piece {
            Piece::Words(words) => words.clone(),
            Piece::Put(placeholder) => self.of(*placeholder).to_owned(),
        };
        pieces.iter().map(of).collect()
    }

    fn plain(&self, blocks: &[Block]) -> String {
        let of = |block: &Block| match block {
            Block::Paragraph(pieces) => Some(self.put(pieces)),
            Block::Link => Some(self.link.to_owned()),
            Block::Rule => None,
        };
        blocks.iter().filter_map(of).collect::<Vec<_>>().join("\n\n")
    }

    fn html(
        &self,
        text: &MessageText,
        language: Language,
        clinic: Option<&DisplayName>,
    ) -> Result<String, askama::Error> {
        let (title, preview) = (self.put(&text.title), self.preview(&text.blocks));
        let mut halves = text.blocks.splitn(2, |block| *block == Block::Rule).map(|half| self.parts(half));
        Html {
            language: language.as_str(),
            clinic: clinic.map(DisplayName::as_str),
            title: &title,
            preview: &preview,
            link: self.link,
            button: text.button.as_deref().unwrap_or_default(),
            copy: text.copy.as_deref().unwrap_or_default(),
            main: halves.next().unwrap_or_default(),
            rest: halves.next().unwrap_or_default(),
        }
        .render()
    }

    fn parts<'a>(&'a self, blocks: &'a [Block]) -> Vec<Part<'a>> {
        let span = |piece: &'a Piece| match piece {
            Piece::Words(words) => Span::Words(words),
            Piece::Put(placeholder @ (Placeholder::Until | Placeholder::Sent)) => Span::Strong(self.of(*placeholder)),
            Piece::Put(placeholder @ (Placeholder::Phone | Placeholder::Reference)) => {
                Span::Whole(self.of(*placeholder))
            }
            Piece::Put(placeholder @ (Placeholder::Clinic | Placeholder::Link)) => Span::Words(self.of(*placeholder)),
        };
        let part = |block: &'a Block| match block {
            Block::Paragraph(pieces) => Some(Part::Paragraph(pieces.iter().map(span).collect())),
            Block::Link => Some(Part::Link),
            Block::Rule => None,
        };
        blocks.iter().filter_map(part).collect()
    }

    /// What mail programmes show beside the subject: until when.
    fn preview(&self, blocks: &[Block]) -> String {
        let says_end = |block: &&Block| match block {
            Block::Paragraph(pieces) => pieces.contains(&Piece::Put(Placeholder::Until)),
            Block::Link | Block::Rule => false,
        };
        match blocks.iter().find(says_end) {
            Some(Block::Paragraph(pieces)) => self.put(pieces),
            Some(Block::Link | Block::Rule) | None => String::new(),
        }
    }
}

/// Breaks lines at spaces so that none is wider than `columns`, except a word that is wider by itself.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
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
