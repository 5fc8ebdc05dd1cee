//! What people write back: no more texts, or texts again. Everything else is nobody's, and is not kept.

use super::gsm7;
use crate::base::PhoneNumber;

/// Words by which carriers and their laws let people end and begin texts, and what they are in our languages. In capitals, without
/// marks.
const STOP: [&str; 22] = [
    "STOP",
    "STOPALL",
    "STOP ALL",
    "UNSUBSCRIBE",
    "CANCEL",
    "END",
    "QUIT",
    "OPTOUT",
    "OPT OUT",
    "REVOKE",
    "ALTO",
    "BAJA",
    "PARAR",
    "CANCELAR",
    "STOPP",
    "ENDE",
    "ABMELDEN",
    "ARRET",
    "ARRETER",
    "DESABONNER",
    "REZYGNUJE",
    "KONIEC",
];
const START: [&str; 9] = ["START", "UNSTOP", "YES", "INICIAR", "ALTA", "ANMELDEN", "DEBUT", "REPRENDRE", "WZNOW"];

/// What somebody wants who wrote to us. Patient data: no `Debug`.
pub struct Incoming {
    pub from: PhoneNumber,
    pub wish: Wish,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// No more texts.
    Stop,
    /// Texts again.
    Start,
}

impl Incoming {
    /// `None` for what is neither, and for senders that are no phone numbers.
    #[must_use]
    pub fn read(from: &str, text: &str) -> Option<Self> {
        let from = from.trim();
        // Some gateways leave the plus away.
        let from = if from.starts_with('+') { from.to_owned() } else { format!("+{from}") };
        Some(Self { from: PhoneNumber::from_e164(&from).ok()?, wish: wish_of(text)? })
    }

    pub(super) fn in_parameters(parameters: &[(String, String)], from: &str, text: &str) -> Option<Self> {
        let value = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        Self::read(value(from)?, value(text)?)
    }
}

fn wish_of(text: &str) -> Option<Wish> {
    let plain = gsm7::plain_capitals(text);
    let plain = plain.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = plain.split_ascii_whitespace().collect();
    let said = words.join(" ");
    if STOP.contains(&said.as_str()) {
        Some(Wish::Stop)
    } else if START.contains(&said.as_str()) {
        Some(Wish::Start)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_end_texts_in_their_own_words() {
        for text in ["STOP", " stop. ", "Stop!", "Arrêt", "stop  all", "Rezygnuję", "abmelden"] {
            assert_eq!(wish_of(text), Some(Wish::Stop), "{text}");
        }
        for text in ["START", "Wznów", "début"] {
            assert_eq!(wish_of(text), Some(Wish::Start), "{text}");
        }
        for text in ["", "please do not stop", "What is this?", "STOPPED"] {
            assert_eq!(wish_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_sender_is_a_phone_number_or_nobody() {
        let number = |from| Incoming::read(from, "STOP").map(|incoming| incoming.from.expose().to_owned());
        assert_eq!(number("+12025550101").as_deref(), Some("+12025550101"));
        assert_eq!(number("12025550101").as_deref(), Some("+12025550101"));
        assert_eq!(number("CLINIC"), None);
        assert_eq!(number(""), None);
    }
}
