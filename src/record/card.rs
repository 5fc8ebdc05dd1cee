//! The card of a delivery: whom it goes to. Kept only sealed.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base::{Contact, EmailAddress, FhirId, Language, PhoneNumber};
use crate::policy::Channel;

/// Patient data: no `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Card {
    /// `None` where no usable address was found.
    email: Option<String>,
    /// As E.164 writes it.
    #[serde(default)]
    phone: Option<String>,
    /// Which of both the message goes to; the other may carry a code.
    #[serde(default = "by_email")]
    channel: Channel,
    pub patient: FhirId,
    /// How the address or number was chosen, without it.
    pub chosen_because: String,
    /// What the recipient is written in. `None` where the record says nothing that we write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

impl Card {
    /// `chosen` is where the message goes, `other` where else its recipient can be reached.
    #[must_use]
    pub fn new(chosen: Option<&Contact>, other: Option<&Contact>, patient: FhirId, chosen_because: String) -> Self {
        let both = || [chosen, other].into_iter().flatten();
        let email = both().find_map(|contact| match contact {
            Contact::Email(address) => Some(address.expose().to_owned()),
            Contact::Phone(_) => None,
        });
        let phone = both().find_map(|contact| match contact {
            Contact::Phone(number) => Some(number.expose().to_owned()),
            Contact::Email(_) => None,
        });
        let channel = match chosen {
            Some(Contact::Phone(_)) => Channel::Sms,
            Some(Contact::Email(_)) | None => Channel::Email,
        };
        let chosen_because = chosen.map(|_| chosen_because).unwrap_or_default();
        Self {
            email: email.filter(|_| chosen.is_some()),
            phone: phone.filter(|_| chosen.is_some()),
            channel,
            patient,
            chosen_because,
            language: None,
        }
    }

    /// In the recipient's own language.
    #[must_use]
    pub fn in_language(self, language: Option<Language>) -> Self {
        Self { language, ..self }
    }

    /// Where the message goes.
    #[must_use]
    pub fn to(&self) -> Option<Contact> {
        self.at(self.channel)
    }

    /// By which channel it goes; `None` where nowhere.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        self.to().map(|_| self.channel)
    }

    /// Where else its recipient can be reached: by the other channel.
    #[must_use]
    pub fn other(&self) -> Option<Contact> {
        self.to()?;
        self.at(match self.channel {
            Channel::Email => Channel::Sms,
            Channel::Sms => Channel::Email,
        })
    }

    /// By which channels its recipient can be reached.
    pub fn channels(&self) -> impl Iterator<Item = Channel> {
        [Channel::Email, Channel::Sms].into_iter().filter(|channel| self.at(*channel).is_some())
    }

    /// Where its recipient can be reached by this channel.
    #[must_use]
    pub fn at(&self, channel: Channel) -> Option<Contact> {
        match channel {
            Channel::Email => self.email.as_deref().and_then(|text| EmailAddress::parse(text).ok()).map(Contact::Email),
            Channel::Sms => {
                self.phone.as_deref().and_then(|text| PhoneNumber::from_e164(text).ok()).map(Contact::Phone)
            }
        }
    }

    /// The plain bytes, to be sealed at once.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // A few plain strings: writing them as JSON cannot fail.
        Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
    }

    /// `None` for bytes that this version cannot have written.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

const fn by_email() -> Channel {
    Channel::Email
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(text: &str) -> Contact {
        match PhoneNumber::from_e164(text) {
            Ok(number) => Contact::Phone(number),
            Err(_) => Contact::Email(EmailAddress::parse(text).unwrap()),
        }
    }

    #[test]
    fn a_card_keeps_where_the_message_goes_and_where_else_somebody_is() {
        let (email, phone) = (contact("ana@patient.test"), contact("+12025550101"));
        let patient = FhirId::parse("p1").unwrap();
        let card = Card::new(Some(&phone), Some(&email), patient.clone(), "rank 1".to_owned());
        let card = Card::from_bytes(&card.to_bytes()).unwrap();
        assert!(card.to() == Some(phone.clone()) && card.other() == Some(email.clone()));
        assert_eq!(card.channel(), Some(Channel::Sms));
        let nowhere = Card::new(None, Some(&email), patient, String::new());
        assert!(nowhere.to().is_none() && nowhere.other().is_none() && nowhere.channel().is_none());
    }

    #[test]
    fn a_card_of_a_version_that_knew_e_mail_alone_still_reads() {
        let old = br#"{"email":"ana@patient.test","patient":"p1","chosen_because":"rank 1"}"#;
        let card = Card::from_bytes(old).unwrap();
        assert!(card.to() == Some(contact("ana@patient.test")) && card.other().is_none());
    }
}
