//! The one address a patient's link goes to, chosen as FHIR's `ContactPoint` says
//! (<https://hl7.org/fhir/R4/datatypes.html#ContactPoint>). Pure.
//!
//! Must stay true: doubt is a `Tie` or a `None`, never a guess; no text here repeats an address.

use super::patient::{Patient, Replacement, Telecom, TelecomUse};
use crate::base::{EmailAddress, UtcMillis};

/// Where to write, or why a person must say it. Patient data: no `Debug`.
pub enum ContactChoice {
    /// `explanation` tells staff how the choice was made.
    One {
        address: EmailAddress,
        explanation: String,
    },
    /// Several different addresses are equally good.
    Tie,
    None {
        why: String,
    },
    PatientUnusable {
        why: &'static str,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Skipped {
    Old,
    Future,
    Past,
    TempWithoutDates,
    NotAnAddress,
}

impl Skipped {
    const ALL: [Self; 5] = [Self::Old, Self::Future, Self::Past, Self::TempWithoutDates, Self::NotAnAddress];

    const fn phrase(self) -> &'static str {
        match self {
            Self::Old => "marked old",
            Self::Future => "not in use yet",
            Self::Past => "no longer in use",
            Self::TempWithoutDates => "marked temporary without dates",
            Self::NotAnAddress => "not written as an e-mail address",
        }
    }
}

/// Chooses from `patient`'s own entries at the instant `now`; contacts of relatives are never looked at.
#[must_use]
pub fn choose_email(patient: &Patient, now: UtcMillis) -> ContactChoice {
    match unusable(patient) {
        Some(why) => ContactChoice::PatientUnusable { why },
        None => choose_among(&patient.emails, now),
    }
}

/// Chooses from somebody's entries at the instant `now`.
pub(super) fn choose_among(emails: &[Telecom], now: UtcMillis) -> ContactChoice {
    let mut skipped = Vec::new();
    // An entry without a rank comes after every ranked one.
    let mut best: Option<(u32, Vec<EmailAddress>)> = None;
    for entry in emails {
        let address = match judge(entry, now) {
            Ok(address) => address,
            Err(why) => {
                skipped.push(why);
                continue;
            }
        };
        let rank = entry.rank.unwrap_or(u32::MAX);
        match &mut best {
            Some((best_rank, _)) if rank > *best_rank => {}
            Some((best_rank, equals)) if rank == *best_rank => {
                if !equals.iter().any(|known| known.comparison_form() == address.comparison_form()) {
                    equals.push(address);
                }
            }
            Some(_) | None => best = Some((rank, vec![address])),
        }
    }
    let Some((rank, equals)) = best else {
        return ContactChoice::None {
            why: sentence(&skipped).unwrap_or_else(|| "there is no e-mail entry".to_owned()),
        };
    };
    let mut equals = equals.into_iter();
    let (Some(address), None) = (equals.next(), equals.next()) else { return ContactChoice::Tie };
    let chosen = if rank == u32::MAX { "the only address in use".to_owned() } else { format!("rank {rank}") };
    let explanation = match sentence(&skipped) {
        Some(skipped) => format!("{chosen}; {skipped}"),
        None => chosen,
    };
    ContactChoice::One { address, explanation }
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

fn judge(entry: &Telecom, now: UtcMillis) -> Result<EmailAddress, Skipped> {
    match entry.usage {
        TelecomUse::Old => return Err(Skipped::Old),
        TelecomUse::Temp if entry.period.is_none() => return Err(Skipped::TempWithoutDates),
        TelecomUse::Temp | TelecomUse::Lasting => {}
    }
    if let Some(period) = entry.period {
        if period.start.is_some_and(|start| now < start) {
            return Err(Skipped::Future);
        }
        if period.end.is_some_and(|end| now >= end) {
            return Err(Skipped::Past);
        }
    }
    EmailAddress::parse(&entry.value).map_err(|_| Skipped::NotAnAddress)
}

/// "1 address is marked old, 2 addresses are no longer in use"
fn sentence(skipped: &[Skipped]) -> Option<String> {
    let counts = Skipped::ALL.into_iter().filter_map(|reason| {
        let count = skipped.iter().filter(|one| **one == reason).count();
        match count {
            0 => None,
            1 => Some(format!("1 address is {}", reason.phrase())),
            more => Some(format!("{more} addresses are {}", reason.phrase())),
        }
    });
    let text = counts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { None } else { Some(text) }
}
