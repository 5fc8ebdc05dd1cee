//! The little that Chartseal reads of a `Patient`: whether the record is in force, how to write to the person.
//! Names and identifiers are not kept.

use chrono::NaiveDate;

use super::dates;
use super::element::{all, boolean, codings, group, text, unsigned};
use super::error::Malformed;
use super::gate::{Admitted, R4Element, admit};
use super::schema;
use super::service::{ServiceBase, Target};
use crate::base::{FhirId, UtcMillis, VersionId};

/// Patient data: no `Debug`.
pub struct Patient {
    pub id: FhirId,
    pub version: Option<VersionId>,
    /// Absent in the record means active.
    pub active: bool,
    pub deceased: bool,
    /// A complete day; a bare year or month is not kept.
    pub birth_date: Option<NaiveDate>,
    /// BCP 47, the preferred language of communication, else the only one.
    pub language: Option<String>,
    /// The e-mail entries of `Patient.telecom` in order, unjudged.
    pub emails: Vec<Telecom>,
    pub replaced: Replacement,
    pub unknown_modifiers: Vec<String>,
}

/// Whether another record took this one's place (`link.type` = `replaced-by`).
#[derive(Clone, PartialEq, Eq)]
pub enum Replacement {
    No,
    By(FhirId),
    /// By several, or by one that cannot be read from here.
    Unclear,
}

/// One `ContactPoint` of system `email`. Patient data: no `Debug`.
pub struct Telecom {
    /// As written; may hold anything.
    pub value: String,
    pub usage: TelecomUse,
    /// 1 is the most preferred.
    pub rank: Option<u32>,
    pub period: Option<Period>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelecomUse {
    Old,
    Temp,
    /// `home`, `work`, `mobile`, absent or a code that the standard does not have.
    Lasting,
}

/// From `start` until just before `end`; an absent side is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub start: Option<UtcMillis>,
    pub end: Option<UtcMillis>,
}

/// Reads a `Patient` from `body`, the answer of the server at `base`.
///
/// # Errors
/// Names the FHIR path and what is wrong with it.
pub fn read_patient(body: &[u8], base: &ServiceBase) -> Result<Patient, Malformed> {
    let Admitted { element, unknown_modifiers } = admit(body, &schema::PATIENT)?;
    let id = text(&element, "id").and_then(|id| FhirId::parse(id).ok());
    Ok(Patient {
        id: id.ok_or_else(|| Malformed::new("Patient", "has no id"))?,
        version: group(&element, "meta")
            .and_then(|meta| text(meta, "versionId"))
            .and_then(|version| VersionId::parse(version).ok()),
        active: boolean(&element, "active").unwrap_or(true),
        deceased: boolean(&element, "deceasedBoolean").unwrap_or(false) || text(&element, "deceasedDateTime").is_some(),
        birth_date: text(&element, "birthDate").and_then(dates::day),
        language: language(&element),
        emails: all(&element, "telecom").iter().filter_map(email).collect(),
        replaced: replacement(&element, base),
        unknown_modifiers,
    })
}

fn language(patient: &R4Element) -> Option<String> {
    let spoken = all(patient, "communication");
    let chosen = match spoken {
        [only] => Some(only),
        several => several.iter().find(|one| boolean(one, "preferred") == Some(true)),
    };
    codings(chosen?, "language").into_iter().next().map(|language| language.code)
}

fn email(telecom: &R4Element) -> Option<Telecom> {
    if text(telecom, "system") != Some("email") {
        return None;
    }
    let bound = |period, name, side: fn((UtcMillis, UtcMillis)) -> UtcMillis| {
        text(period, name).and_then(dates::span).map(side)
    };
    Some(Telecom {
        value: text(telecom, "value")?.to_owned(),
        usage: match text(telecom, "use") {
            Some("old") => TelecomUse::Old,
            Some("temp") => TelecomUse::Temp,
            Some(_) | None => TelecomUse::Lasting,
        },
        rank: unsigned(telecom, "rank"),
        period: group(telecom, "period").map(|period| Period {
            start: bound(period, "start", |(first, _)| first),
            end: bound(period, "end", |(_, after)| after),
        }),
    })
}

fn replacement(patient: &R4Element, base: &ServiceBase) -> Replacement {
    let mut replaced = Replacement::No;
    for link in all(patient, "link").iter().filter(|link| text(link, "type") == Some("replaced-by")) {
        let reference = group(link, "other").and_then(|other| text(other, "reference"));
        let target = match reference.map(|reference| base.target(reference)) {
            Some(Target::Here { kind: "Patient", id }) => Replacement::By(id),
            Some(Target::Here { .. } | Target::Contained | Target::Elsewhere | Target::Unclear) | None => {
                Replacement::Unclear
            }
        };
        replaced = if replaced == Replacement::No || replaced == target { target } else { Replacement::Unclear };
    }
    replaced
}
