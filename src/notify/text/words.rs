//! What a text message says: a few allowed facts in fixed words, in one message of the phone network.
//!
//! Must stay true: nothing about the patient or the document is among the facts; a bare message does not name the clinic; every
//! text is of the phone networks' own alphabet and fits into one message, or is not made.
//! Must not know: what the link opens, to whom it goes.

use chrono::{Datelike as _, TimeZone as _, Timelike as _};
use chrono_tz::Tz;

use super::gsm7::{self, SEPTETS_MAX};
use crate::base::{Language, Reference, SecretText, UtcMillis};
use crate::policy::Wording;

/// A clinic as its texts name it: of the phone networks' alphabet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextNameError {
    #[error("expected a name, not nothing")]
    Empty,
    #[error("'{0}' cannot be written in the alphabet of text messages")]
    Letter(char),
}

impl TextName {
    /// Letters that phone networks do not have are written in those that they have.
    ///
    /// # Errors
    /// [`TextNameError`].
    pub fn parse(text: &str) -> Result<Self, TextNameError> {
        let text = gsm7::write(text.trim()).map_err(TextNameError::Letter)?;
        if text.is_empty() { Err(TextNameError::Empty) } else { Ok(Self(text)) }
    }
}

/// What a message is about.
pub enum TextKind {
    /// A new document; with the whole link.
    New { link: SecretText },
    /// A document that takes the place of one sent before.
    Updated { link: SecretText },
    /// The same link once more.
    Reminder { link: SecretText },
    /// That a link waits, which was sent then; without it.
    Waiting { sent_at: UtcMillis },
    /// The code that a page asks for.
    Code { code: SecretText },
}

/// All that a text message may know.
pub struct TextNotice<'a> {
    pub kind: TextKind,
    pub clinic: &'a TextName,
    pub wording: Wording,
    pub language: Language,
    /// When the link or the code ends.
    pub ends_at: UtcMillis,
    /// The clinic's.
    pub zone: Tz,
    pub reference: &'a Reference,
}

/// The words of one message, ready to hand over. Holds a link or a code: no `Debug`.
#[derive(Clone)]
pub struct TextBody(SecretText);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("the text is {over} characters too long for one message")]
    TooLong { over: usize },
    #[error("the text holds a character that text messages do not have")]
    Letter,
}

impl TextBody {
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl TextNotice<'_> {
    /// # Errors
    /// [`TextError`]: nothing that would be cut in two, or arrive in strange letters, is made.
    pub fn compose(&self) -> Result<TextBody, TextError> {
        let until = short_time(self.ends_at, self.zone, self.language);
        body(self, &until)
    }
}

/// A text to staff, about nobody: its link leads to the clinic's address and opens nothing. Shorter than what patients get.
///
/// # Errors
/// [`TextError`].
pub fn trial(clinic: &TextName, link: &str) -> Result<TextBody, TextError> {
    one_message(SecretText::new(format!("{}: a trial, about nobody: {link}", clinic.0)))
}

/// By how much the longest message with a link is too long for one text; `None`: every one fits. Counted with a link as long as the
/// real ones, in every language, since a patient may speak any.
#[must_use]
pub fn too_long_by(clinic: &TextName, link_base: &str) -> Option<usize> {
    let Ok(reference) = Reference::parse("0000-0000") else { return None };
    // 16 characters of an id, `#`, 22 of a secret.
    let link = || SecretText::new(format!("{link_base}{}#{}", "x".repeat(16), "x".repeat(22)));
    let mut over = 0;
    for language in Language::ALL {
        for wording in [Wording::Bare, Wording::Generic, Wording::Full] {
            for kind in [
                TextKind::New { link: link() },
                TextKind::Updated { link: link() },
                TextKind::Reminder { link: link() },
                TextKind::Waiting { sent_at: UtcMillis(0) },
            ] {
                let (ends_at, zone) = (UtcMillis(0), Tz::UTC);
                let notice = TextNotice { kind, clinic, wording, language, ends_at, zone, reference: &reference };
                if let Err(TextError::TooLong { over: by }) = body(&notice, longest_time(language)) {
                    over = over.max(by);
                }
            }
        }
    }
    (over > 0).then_some(over)
}

fn body(notice: &TextNotice<'_>, until: &str) -> Result<TextBody, TextError> {
    let words = words_of(notice.language);
    let from = match notice.wording {
        Wording::Bare => String::new(),
        Wording::Generic | Wording::Full => format!("{}: ", notice.clinic.0),
    };
    let reference = notice.reference.as_str();
    let saying = |says: &str, what: &str| {
        format!("{from}{says} {what} {} {until}. {} {reference}", words.until, words.reference)
    };
    let text = match &notice.kind {
        TextKind::New { link } => saying(words.new, link.expose()),
        TextKind::Updated { link } => saying(words.updated, link.expose()),
        TextKind::Reminder { link } => saying(words.reminder, link.expose()),
        TextKind::Code { code } => saying(words.code, code.expose()),
        TextKind::Waiting { sent_at } => {
            let sent = short_time(*sent_at, notice.zone, notice.language);
            let [before, after] = words.waiting;
            format!("{from}{before} {sent}; {after} {} {until}. {} {reference}", words.until, words.reference)
        }
    };
    one_message(SecretText::new(text))
}

/// One message of the phone network, or none.
fn one_message(text: SecretText) -> Result<TextBody, TextError> {
    match gsm7::septets(text.expose()) {
        None => Err(TextError::Letter),
        Some(septets) if septets > SEPTETS_MAX => Err(TextError::TooLong { over: septets - SEPTETS_MAX }),
        Some(_) => Ok(TextBody(text)),
    }
}

/// Of the phone networks' alphabet already: a test holds that.
struct Words {
    new: &'static str,
    updated: &'static str,
    reminder: &'static str,
    /// Before and after the time at which the link was sent.
    waiting: [&'static str; 2],
    code: &'static str,
    until: &'static str,
    reference: &'static str,
}

const fn words_of(language: Language) -> Words {
    match language {
        Language::English => Words {
            new: "You have a new document:",
            updated: "A document for you was updated:",
            reminder: "Your document is still waiting:",
            waiting: ["Your document is still waiting. Press the link in our message of", "it works"],
            code: "Your code for the page is",
            until: "until",
            reference: "Ref.",
        },
        Language::Spanish => Words {
            new: "Tiene un documento nuevo:",
            updated: "Su documento ha cambiado:",
            reminder: "Su documento le espera:",
            waiting: ["Su documento le espera. Pulse el enlace de nuestro mensaje del", "vale"],
            code: "Su clave para abrir el documento es",
            until: "hasta el",
            reference: "Ref.",
        },
        Language::Polish => Words {
            new: "Masz nowy dokument:",
            updated: "Zmieniono dokument dla Ciebie:",
            reminder: "Dokument nadal czeka:",
            waiting: ["Dokument nadal czeka. Link jest w naszej wiadomosci, wyslanej", "dziala"],
            code: "Kod do strony z dokumentem to",
            until: "do",
            reference: "Nr",
        },
        Language::German => Words {
            new: "Neues Dokument für Sie:",
            updated: "Ein Dokument für Sie ist neu:",
            reminder: "Ihr Dokument wartet noch:",
            waiting: ["Ihr Dokument wartet noch. Der Link ist in unserer Nachricht vom", "er gilt"],
            code: "Ihr Code für die Seite ist",
            until: "bis",
            reference: "Ref.",
        },
        Language::French => Words {
            new: "Vous avez un document:",
            updated: "Votre document a changé:",
            reminder: "Votre document attend:",
            waiting: ["Votre document attend. Ouvrez le lien de notre message du", "il marche"],
            code: "Votre code pour la page est",
            until: "jusqu'au",
            reference: "Réf.",
        },
    }
}

/// `28 Nov 16:05`; the minute is the last whole one. Where the clocks of that place show it twice, the offset's name stands there,
/// too.
fn short_time(at: UtcMillis, zone: Tz, language: Language) -> String {
    let local = at.to_datetime().with_timezone(&zone);
    let (day, month, hour, minute) = (local.day(), local.month(), local.hour(), local.minute());
    let time = match language {
        Language::English => {
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let name = usize::try_from(local.month0()).ok().and_then(|at| months.get(at)).copied().unwrap_or_default();
            format!("{day} {name} {hour:02}:{minute:02}")
        }
        Language::Spanish | Language::French => format!("{day}/{month:02} {hour:02}:{minute:02}"),
        Language::Polish | Language::German => format!("{day}.{month:02}. {hour:02}:{minute:02}"),
    };
    let is_shown_once = zone.from_local_datetime(&local.naive_local()).single().is_some();
    if is_shown_once { time } else { format!("{time} {}", local.format("%Z")) }
}

/// As long as [`short_time`] gets, but for the one hour of a year that clocks show twice.
const fn longest_time(language: Language) -> &'static str {
    match language {
        Language::English => "30 Nov 23:59",
        Language::Spanish | Language::French => "30/11 23:59",
        Language::Polish | Language::German => "30.11. 23:59",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LinkId;

    const LINK: &str = "https://r.riverside.example/r/AAAAAAAAAAAAAAAA#BBBBBBBBBBBBBBBBBBBBBB";

    fn notice<'a>(
        kind: TextKind,
        clinic: &'a TextName,
        language: Language,
        reference: &'a Reference,
    ) -> TextNotice<'a> {
        let ends_at = UtcMillis::parse_rfc3339("2026-11-28T22:05:30Z").unwrap();
        let zone = chrono_tz::America::Chicago;
        TextNotice { kind, clinic, wording: Wording::Generic, language, ends_at, zone, reference }
    }

    #[test]
    fn every_language_says_the_same_in_one_message() {
        let clinic = TextName::parse("Riverside Łódź").unwrap();
        let reference = Reference::of(&LinkId::parse("AAAAAAAAAAAAAAAA").unwrap());
        let mut all = Vec::new();
        for language in Language::ALL {
            for kind in [
                TextKind::New { link: SecretText::new(LINK.to_owned()) },
                TextKind::Updated { link: SecretText::new(LINK.to_owned()) },
                TextKind::Reminder { link: SecretText::new(LINK.to_owned()) },
                TextKind::Waiting { sent_at: UtcMillis::parse_rfc3339("2026-11-25T15:31:00Z").unwrap() },
                TextKind::Code { code: SecretText::new("12345678".to_owned()) },
            ] {
                let text = notice(kind, &clinic, language, &reference).compose().ok().unwrap();
                assert!(gsm7::septets(text.expose()).is_some_and(|count| count <= SEPTETS_MAX));
                assert!(text.expose().starts_with("Riverside Lodz: "));
                assert!(text.expose().contains(reference.as_str()) && text.expose().contains("16:05"));
                all.push(text.expose().to_owned());
            }
        }
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn a_bare_text_names_no_clinic() {
        let clinic = TextName::parse("Riverside Oncology").unwrap();
        let reference = Reference::parse("0000-0000").unwrap();
        let kind = TextKind::New { link: SecretText::new(LINK.to_owned()) };
        let bare = TextNotice { wording: Wording::Bare, ..notice(kind, &clinic, Language::English, &reference) };
        assert!(!bare.compose().ok().unwrap().expose().contains("Riverside"));
    }

    #[test]
    fn a_trial_is_one_message_wherever_a_message_to_a_patient_is() {
        let base = "https://r.riverside.example/r/";
        let name = |count: usize| TextName::parse(&"x".repeat(count)).unwrap();
        let longest = (1..160).take_while(|count| too_long_by(&name(*count), base).is_none()).last().unwrap();
        let link = "https://r.riverside.example/robots.txt?trial=AAAAAAAAAAAAAAAA";
        let text = trial(&name(longest), link).expect("one message");
        assert!(text.expose().ends_with(link) && text.expose().contains("about nobody"));
        assert!(trial(&name(160), link).is_err());
    }

    #[test]
    fn a_name_that_makes_two_messages_of_one_is_told_by_how_much() {
        let base = "https://r.riverside.example/r/";
        let name = |count: usize| TextName::parse(&"x".repeat(count)).unwrap();
        let longest = (1..160).take_while(|count| too_long_by(&name(*count), base).is_none()).last().unwrap();
        assert!(longest >= 20, "there is room for a name: {longest}");
        assert_eq!(too_long_by(&name(longest + 7), base), Some(7));
        let reference = Reference::parse("0000-0000").unwrap();
        let kind = TextKind::New { link: SecretText::new(LINK.to_owned()) };
        let long = name(100);
        let refused = notice(kind, &long, Language::English, &reference).compose().err();
        assert!(matches!(refused, Some(TextError::TooLong { .. })));
    }

    #[test]
    fn an_hour_that_clocks_show_twice_is_told_by_its_name() {
        let first = UtcMillis::parse_rfc3339("2026-11-01T06:30:00Z").unwrap();
        let zone = chrono_tz::America::Chicago;
        assert_eq!(short_time(first, zone, Language::English), "1 Nov 01:30 CDT");
        assert_eq!(short_time(first, chrono_tz::Europe::Berlin, Language::German), "1.11. 07:30");
    }
}
