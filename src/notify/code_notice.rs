//! A message with a code.
//!
//! Must stay true: it names neither the link nor a document, so whoever reads it alone has nothing; the code stands in the text, never
//! in the subject, which a locked phone shows.

use askama::Template;
use chrono_tz::Tz;

use super::letter::{ClinicPhone, DisplayName, MessageId, Outgoing};
use super::template::{ComposeError, Envelope, Language, Words, english_time};
use crate::base::{EmailAddress, NoticeId, Reference, SecretText, UtcMillis};
use crate::policy::Wording;

/// All that a message with a code may know.
pub struct CodeNotice {
    pub notice: NoticeId,
    pub clinic_name: DisplayName,
    pub clinic_phone: ClinicPhone,
    pub from: EmailAddress,
    pub to: EmailAddress,
    /// Digits alone.
    pub code: SecretText,
    /// Until when it counts.
    pub until: UtcMillis,
    /// The clinic's.
    pub zone: Tz,
    /// Of the link that asks for it.
    pub reference: Reference,
    pub language: Language,
    pub wording: Wording,
    /// When the first attempt was made; the same for each attempt.
    pub date: UtcMillis,
}

impl CodeNotice {
    /// Writes the message; the same notice gives the same bytes.
    ///
    /// # Errors
    /// See [`ComposeError`].
    pub fn compose(&self) -> Result<Outgoing, ComposeError> {
        let words = self.words().map_err(|_| ComposeError::Message)?;
        let message_id = MessageId::of(&self.notice, &self.from);
        let envelope = Envelope {
            notice: &self.notice,
            message_id,
            from_name: self.named_clinic(),
            from: &self.from,
            to: &self.to,
            date: self.date,
        };
        envelope.close(words)
    }

    fn words(&self) -> Result<Words, askama::Error> {
        let clinic = self.named_clinic().map(DisplayName::as_str);
        let (phone, code, reference) = (self.clinic_phone.as_str(), self.code.expose(), self.reference.as_str());
        match self.language {
            Language::English => {
                let until = &english_time(self.until, self.zone);
                Ok(Words {
                    subject: clinic.map_or("Your code".to_owned(), |clinic| format!("Your code from {clinic}")),
                    plain: EnglishText { clinic, phone, code, until, reference }.render()?,
                    html: EnglishHtml { clinic, phone, code, until, reference }.render()?,
                })
            }
        }
    }

    fn named_clinic(&self) -> Option<&DisplayName> {
        match self.wording {
            Wording::Full | Wording::Generic => Some(&self.clinic_name),
            Wording::Bare => None,
        }
    }
}

#[derive(Template)]
#[template(path = "notify/code_notice.en.txt")]
struct EnglishText<'a> {
    clinic: Option<&'a str>,
    phone: &'a str,
    code: &'a str,
    until: &'a str,
    reference: &'a str,
}

#[derive(Template)]
#[template(path = "notify/code_notice.en.html")]
struct EnglishHtml<'a> {
    clinic: Option<&'a str>,
    phone: &'a str,
    code: &'a str,
    until: &'a str,
    reference: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(wording: Wording) -> CodeNotice {
        CodeNotice {
            notice: NoticeId::parse("AAAAAAAAAAAAAAAA").unwrap(),
            clinic_name: DisplayName::parse("Riverside & Sons").unwrap(),
            clinic_phone: ClinicPhone::parse("+1 555 0100").unwrap(),
            from: EmailAddress::parse("results@riverside.example").unwrap(),
            to: EmailAddress::parse("ana@example.test").unwrap(),
            code: SecretText::new("012345".to_owned()),
            until: UtcMillis(1_795_000_000_000),
            zone: chrono_tz::America::Chicago,
            reference: Reference::parse_typed("ABCD-EFGH").unwrap(),
            language: Language::English,
            wording,
            date: UtcMillis(1_794_999_000_000),
        }
    }

    #[test]
    fn the_subject_holds_no_code_and_a_bare_message_no_name() {
        for wording in [Wording::Full, Wording::Generic, Wording::Bare] {
            let message = notice(wording).compose().unwrap();
            let text = String::from_utf8_lossy(message.expose()).into_owned();
            let subject = text.lines().find(|line| line.starts_with("Subject:")).unwrap();
            assert!(!subject.contains("012345") && text.contains("012345"), "{subject}");
            assert_eq!(text.contains("Riverside"), wording != Wording::Bare, "{wording:?}");
            assert!(!text.contains("http"), "a code and a link never stand in one message");
        }
    }
}
