//! The one address, and the one number, of a person to which a link may go, chosen as FHIR's `ContactPoint` says
//! (<https://hl7.org/fhir/R4/datatypes.html#ContactPoint>). Pure.
//!
//! Must stay true: doubt is a `Tie` or a `None`, never a guess; no text here repeats an address or a number.

use super::patient::{Patient, Replacement, Telecom, TelecomSystem, TelecomUse};
use crate::base::{Contact, EmailAddress, PhoneError, PhoneNumber, Region, UtcMillis};
use crate::policy::Channel;

/// Where to write, or why a person must say it. Patient data: no `Debug`.
pub enum ContactChoice {
    /// `explanation` tells staff how the choice was made.
    One {
        contact: Contact,
        rank: Option<u32>,
        explanation: String,
    },
    /// Several different ones are equally good.
    Tie,
    None {
        why: String,
    },
    PatientUnusable {
        why: &'static str,
    },
}

/// Where to write by each channel.
pub struct Choices {
    email: ContactChoice,
    phone: ContactChoice,
}

impl Choices {
    #[must_use]
    pub const fn by(&self, channel: Channel) -> &ContactChoice {
        match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.phone,
        }
    }

    /// The channels as the person likes them: by the ranks that stand at both; e-mail first where these say nothing.
    #[must_use]
    pub fn order(&self) -> [Channel; 2] {
        let rank = |choice: &ContactChoice| match choice {
            ContactChoice::One { rank, .. } => rank.unwrap_or(u32::MAX),
            ContactChoice::Tie | ContactChoice::None { .. } | ContactChoice::PatientUnusable { .. } => u32::MAX,
        };
        if rank(&self.phone) < rank(&self.email) {
            [Channel::Sms, Channel::Email]
        } else {
            [Channel::Email, Channel::Sms]
        }
    }

    /// Whether nothing at all stands there by any of these channels.
    #[must_use]
    pub fn are_none(&self, channels: impl IntoIterator<Item = Channel>) -> bool {
        channels.into_iter().all(|channel| matches!(self.by(channel), ContactChoice::None { .. }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Skipped {
    Old,
    Future,
    Past,
    TempWithoutDates,
    NotAnAddress,
    Number(PhoneError),
}

impl Skipped {
    const ALL: [Self; 13] = [
        Self::Old,
        Self::Future,
        Self::Past,
        Self::TempWithoutDates,
        Self::NotAnAddress,
        Self::Number(PhoneError::Empty),
        Self::Number(PhoneError::Letters),
        Self::Number(PhoneError::NoRegion),
        Self::Number(PhoneError::NotANumber),
        Self::Number(PhoneError::Short),
        Self::Number(PhoneError::Premium),
        Self::Number(PhoneError::Service),
        Self::Number(PhoneError::Landline),
    ];

    const fn phrase(self) -> &'static str {
        match self {
            Self::Old => "marked old",
            Self::Future => "not in use yet",
            Self::Past => "no longer in use",
            Self::TempWithoutDates => "marked temporary without dates",
            Self::NotAnAddress => "not written as an e-mail address",
            Self::Number(PhoneError::Empty) => "empty",
            Self::Number(PhoneError::Letters) => "written with letters or an extension",
            Self::Number(PhoneError::NoRegion) => "written without a country, of which the clinic names none",
            Self::Number(PhoneError::NotANumber) => "not written as a phone number of its country",
            Self::Number(PhoneError::Short) => "too short",
            Self::Number(PhoneError::Premium) => "of a premium service",
            Self::Number(PhoneError::Service) => "of a service, not a person",
            Self::Number(PhoneError::Landline) => "of a landline",
        }
    }
}

/// How people call what is chosen among.
struct Nouns {
    one: &'static str,
    several: &'static str,
    entry: &'static str,
}

const ADDRESSES: Nouns = Nouns { one: "address", several: "addresses", entry: "e-mail" };
const NUMBERS: Nouns = Nouns { one: "number", several: "numbers", entry: "phone" };

/// Chooses from `patient`'s own entries at the instant `now`; contacts of relatives are never looked at. Numbers without `+` are of
/// `region`.
#[must_use]
pub fn choose(patient: &Patient, region: Option<Region>, now: UtcMillis) -> Choices {
    match unusable(patient) {
        Some(why) => {
            Choices { email: ContactChoice::PatientUnusable { why }, phone: ContactChoice::PatientUnusable { why } }
        }
        None => choose_among(&patient.telecoms, region, now),
    }
}

/// Chooses from somebody's entries at the instant `now`.
pub(super) fn choose_among(entries: &[Telecom], region: Option<Region>, now: UtcMillis) -> Choices {
    let (emails, phones): (Vec<&Telecom>, Vec<&Telecom>) =
        entries.iter().partition(|entry| entry.system == TelecomSystem::Email);
    Choices { email: best(&emails, &ADDRESSES, region, now), phone: best(&phones, &NUMBERS, region, now) }
}

/// What an entry names, whatever its use and period.
pub(super) fn named(entry: &Telecom, region: Option<Region>) -> Option<Contact> {
    read(entry, region).ok()
}

fn best(entries: &[&Telecom], nouns: &Nouns, region: Option<Region>, now: UtcMillis) -> ContactChoice {
    let mut skipped = Vec::new();
    let mut best: Option<((u8, u32), Vec<Contact>)> = None;
    for entry in entries {
        let contact = match judge(entry, region, now) {
            Ok(contact) => contact,
            Err(why) => {
                skipped.push(why);
                continue;
            }
        };
        // An entry without a rank comes after every ranked one.
        let place = (tier(entry), entry.rank.unwrap_or(u32::MAX));
        match &mut best {
            Some((best_place, _)) if place > *best_place => {}
            Some((best_place, equals)) if place == *best_place => {
                if !equals.iter().any(|known| known.comparison_form() == contact.comparison_form()) {
                    equals.push(contact);
                }
            }
            Some(_) | None => best = Some((place, vec![contact])),
        }
    }
    let Some(((_, rank), equals)) = best else {
        let nothing = || format!("there is no {} entry", nouns.entry);
        return ContactChoice::None { why: sentence(&skipped, nouns).unwrap_or_else(nothing) };
    };
    let mut equals = equals.into_iter();
    let (Some(contact), None) = (equals.next(), equals.next()) else { return ContactChoice::Tie };
    let rank = (rank != u32::MAX).then_some(rank);
    let chosen = match rank {
        Some(rank) => format!("rank {rank}"),
        None => format!("the only {} in use", nouns.one),
    };
    let explanation = match sentence(&skipped, nouns) {
        Some(skipped) => format!("{chosen}; {skipped}"),
        None => chosen,
    };
    ContactChoice::One { contact, rank, explanation }
}

/// A number that is known to take texts comes before one that may be any phone.
const fn tier(entry: &Telecom) -> u8 {
    match (entry.system, entry.usage) {
        (TelecomSystem::Email | TelecomSystem::Sms, _) | (TelecomSystem::Phone, TelecomUse::Mobile) => 0,
        (TelecomSystem::Phone, TelecomUse::Old | TelecomUse::Temp | TelecomUse::Lasting) => 1,
    }
}

fn unusable(patient: &Patient) -> Option<&'static str> {
    match &patient.replaced {
        Replacement::No => {}
        Replacement::By(_) => return Some("it was replaced by another record"),
        Replacement::Unclear => return Some("it was replaced by a record that cannot be read"),
    }
    if patient.deceased {
        return Some("it is marked deceased");
    }
    if !patient.active {
        return Some("it is marked inactive");
    }
    if !patient.unknown_modifiers.is_empty() {
        return Some("it uses an element that changes its meaning and that is not understood");
    }
    None
}

fn judge(entry: &Telecom, region: Option<Region>, now: UtcMillis) -> Result<Contact, Skipped> {
    match entry.usage {
        TelecomUse::Old => return Err(Skipped::Old),
        TelecomUse::Temp if entry.period.is_none() => return Err(Skipped::TempWithoutDates),
        TelecomUse::Temp | TelecomUse::Mobile | TelecomUse::Lasting => {}
    }
    if let Some(period) = entry.period {
        if period.start.is_some_and(|start| now < start) {
            return Err(Skipped::Future);
        }
        if period.end.is_some_and(|end| now >= end) {
            return Err(Skipped::Past);
        }
    }
    read(entry, region)
}

fn read(entry: &Telecom, region: Option<Region>) -> Result<Contact, Skipped> {
    match entry.system {
        TelecomSystem::Email => {
            EmailAddress::parse(&entry.value).map(Contact::Email).map_err(|_| Skipped::NotAnAddress)
        }
        TelecomSystem::Phone | TelecomSystem::Sms => {
            PhoneNumber::parse(&entry.value, region).map(Contact::Phone).map_err(Skipped::Number)
        }
    }
}

/// "1 address is marked old, 2 addresses are no longer in use"
fn sentence(skipped: &[Skipped], nouns: &Nouns) -> Option<String> {
    let counts = Skipped::ALL.into_iter().filter_map(|reason| {
        let count = skipped.iter().filter(|one| **one == reason).count();
        match count {
            0 => None,
            1 => Some(format!("1 {} is {}", nouns.one, reason.phrase())),
            more => Some(format!("{more} {} are {}", nouns.several, reason.phrase())),
        }
    });
    let text = counts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { None } else { Some(text) }
}
