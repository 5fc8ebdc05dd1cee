//! A message with a code.
//!
//! Must stay true: it names neither the link nor a document, so whoever reads it alone has nothing; the code stands in the text, never
//! in the subject, which a locked phone shows.

use askama::Template;
use chrono_tz::Tz;

use super::letter::{ClinicPhone, DisplayName, Outgoing};
use super::messages::day_and_time;
use super::template::{ComposeError, Envelope, PLAIN_COLUMNS_MAX, Words, wrapped};
use crate::base::{EmailAddress, Language, NoticeId, Reference, SecretText, UtcMillis};
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
        let (from_name, notice, from, to) = (self.named_clinic(), &self.notice, &self.from, &self.to);
        Envelope { notice, from_name, from, to, language: self.language, date: self.date }.close(words)
    }

    fn words(&self) -> Result<Words, askama::Error> {
        let clinic = self.named_clinic().map(DisplayName::as_str);
        let text = Text::in_language(self.language);
        let until = day_and_time(self.until, self.zone, self.language);
        let (until, unasked) = (text.until.replace("{until}", &until), {
            let called = text.unasked.replace("{phone}", self.clinic_phone.as_str());
            called.replace("{reference}", self.reference.as_str())
        });
        let (code, until, unasked) = (self.code.expose(), until.as_str(), unasked.as_str());
        Ok(Words {
            subject: clinic.map_or(text.title.to_owned(), |clinic| text.subject.replace("{clinic}", clinic)),
            plain: wrapped(&Plain { text, code, until, unasked }.render()?, PLAIN_COLUMNS_MAX),
            html: Html { language: self.language.as_str(), clinic, text, code, until, unasked }.render()?,
        })
    }

    fn named_clinic(&self) -> Option<&DisplayName> {
        match self.wording {
            Wording::Full | Wording::Generic => Some(&self.clinic_name),
            Wording::Bare => None,
        }
    }
}

/// What is said in one language. A clinic's own messages have no word in it: a code's message must not be mistaken for another.
struct Text {
    /// Of a message that names the clinic.
    subject: &'static str,
    /// The heading, and the subject of a bare message.
    title: &'static str,
    lead: &'static str,
    until: &'static str,
    nobody: &'static str,
    unasked: &'static str,
}

impl Text {
    const fn in_language(language: Language) -> &'static Self {
        match language {
            Language::English => &Self {
                subject: "Your code from {clinic}",
                title: "Your code",
                lead: "Type this code into the page that asked for it:",
                until: "It works once, until {until}.",
                nobody: "Tell this code to nobody. We never ask for it on the telephone or by e-mail.",
                unasked: "You did not ask for a code? Then somebody else has your link. Call {phone} and give the reference {reference}.",
            },
            Language::Spanish => &Self {
                subject: "Su código de {clinic}",
                title: "Su código",
                lead: "Escriba este código en la página que se lo ha pedido:",
                until: "Sirve una sola vez, hasta el {until}.",
                nobody: "No diga este código a nadie. Nunca se lo pediremos por teléfono ni por correo electrónico.",
                unasked: "¿No ha pedido ningún código? Entonces otra persona tiene su enlace. Llame al {phone} y dé la referencia {reference}.",
            },
            Language::Polish => &Self {
                subject: "Kod. Nadawca: {clinic}",
                title: "Kod",
                lead: "Prosimy wpisać ten kod na stronie, która o niego pyta:",
                until: "Kod działa jeden raz, do: {until}.",
                nobody: "Prosimy nikomu nie podawać tego kodu. Nigdy nie pytamy o niego przez telefon ani e-mailem.",
                unasked: "To niespodziewana wiadomość? W takim razie ktoś inny ma ten link. Prosimy zadzwonić pod numer {phone} i podać numer sprawy {reference}.",
            },
            Language::German => &Self {
                subject: "Ihr Code von {clinic}",
                title: "Ihr Code",
                lead: "Geben Sie diesen Code auf der Seite ein, die danach fragt:",
                until: "Er gilt einmal, bis {until}.",
                nobody: "Sagen Sie diesen Code niemandem. Wir fragen nie am Telefon oder per E-Mail danach.",
                unasked: "Sie haben keinen Code angefordert? Dann hat jemand anderes Ihren Link. Rufen Sie {phone} an und nennen Sie die Kennung {reference}.",
            },
            Language::French => &Self {
                subject: "Votre code de {clinic}",
                title: "Votre code",
                lead: "Saisissez ce code sur la page qui vous le demande :",
                until: "Il est valable une fois, jusqu’au {until}.",
                nobody: "Ne donnez ce code à personne. Nous ne le demandons jamais par téléphone ni par e-mail.",
                unasked: "Vous n’avez pas demandé de code ? Alors quelqu’un d’autre a votre lien. Appelez le {phone} et donnez la référence {reference}.",
            },
        }
    }
}

#[derive(Template)]
#[template(path = "notify/code_notice.txt")]
struct Plain<'a> {
    text: &'static Text,
    code: &'a str,
    until: &'a str,
    unasked: &'a str,
}

#[derive(Template)]
#[template(path = "notify/code_notice.html")]
struct Html<'a> {
    language: &'a str,
    clinic: Option<&'a str>,
    text: &'static Text,
    code: &'a str,
    until: &'a str,
    unasked: &'a str,
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
    fn a_message_with_a_code_reads_as_written() {
        let message = notice(Wording::Generic).compose().unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(message.expose()).replace('\r', ""));
    }

    #[test]
    fn every_language_has_the_code_its_end_the_phone_and_the_reference() {
        for language in Language::ALL {
            let words = CodeNotice { language, ..notice(Wording::Generic) }.words().unwrap();
            for text in [&words.plain, &words.html] {
                for part in ["012345", "2026", "+1 555 0100", "ABCD-EFGH"] {
                    assert!(text.replace(['\n', '\u{a0}'], " ").contains(part), "{language}: {part} in {text}");
                }
                for place in ["{until}", "{phone}", "{reference}"] {
                    assert!(!text.contains(place), "{language}: {text}");
                }
            }
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
