//! The little that Chartseal reads of a `Patient`: whether the record is in force, how to write to the person.
//! Names, birth date and identifiers only for a document that is written for the patient, and for the comparison with one that was
//! sent; nothing of it is kept.

use chrono::{Datelike as _, NaiveDate};
use chrono_tz::Tz;
use serde_json::Value;

use super::dates;
use super::element::{all, boolean, codings, group, text};
use super::error::Malformed;
use super::gate::{Admitted, R4Element, admit_value, parse_json};
use super::gather::{contacts_of_patient, items, word};
use super::project::sanitise;
use super::results::is_strange;
use super::schema;
use super::service::{ServiceBase, Target};
use crate::base::{FhirId, UtcMillis, VersionId};
use crate::paper::{Person, Said, When};
use crate::policy::facts::Gathered;
use crate::whose::{Known, KnownBirth, KnownName};

/// <https://hl7.org/fhir/extensions/StructureDefinition-timezone.html>
const TIMEZONE: &str = "http://hl7.org/fhir/StructureDefinition/timezone";

/// The longest name that is written, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// Patient data: no `Debug`.
pub struct Patient {
    pub id: FhirId,
    pub version: Option<VersionId>,
    /// Absent in the record means active.
    pub active: bool,
    pub deceased: bool,
    /// A complete day; `born` has a bare year or month.
    pub birth_date: Option<NaiveDate>,
    pub born: Born,
    /// Where the patient lives by the clock: of the record itself, else of an address, where all say the same.
    pub zone: Option<Tz>,
    /// Ways to reach those of `Patient.contact`: other people's, unjudged.
    pub contacts: Gathered<Telecom>,
    /// BCP 47, the preferred language of communication, else the only one.
    pub language: Option<String>,
    /// The entries of `Patient.telecom` by which one can write, in order, unjudged.
    pub telecoms: Vec<Telecom>,
    pub replaced: Replacement,
    pub unknown_modifiers: Vec<String>,
    /// As on a letter; `None` where the record has none that is in use.
    pub name: Option<String>,
    /// Every name, former ones too.
    pub names: Vec<KnownName>,
    /// The values of `Patient.identifier`.
    pub identifiers: Vec<String>,
}

/// `Patient.birthDate`, which may stop at the month or the year. Patient data: no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Born {
    Day(NaiveDate),
    Month {
        year: i32,
        month: u32,
    },
    Year(i32),
    /// The record does not say.
    Unknown,
    /// It says something that is no date.
    Unreadable,
}

/// Whether another record took this one's place (`link.type` = `replaced-by`).
#[derive(Clone, PartialEq, Eq)]
pub enum Replacement {
    No,
    By(FhirId),
    /// By several, or by one that cannot be read from here.
    Unclear,
}

/// One `ContactPoint` by which one can write. Patient data: no `Debug`.
#[derive(Clone)]
pub struct Telecom {
    pub system: TelecomSystem,
    /// As written; may hold anything.
    pub value: String,
    pub usage: TelecomUse,
    /// 1 is the most preferred.
    pub rank: Option<u32>,
    pub period: Option<Period>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelecomSystem {
    Email,
    /// `phone`, which may be of any kind.
    Phone,
    /// `sms`, which takes texts.
    Sms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelecomUse {
    Old,
    Temp,
    Mobile,
    /// `home`, `work`, absent or a code that the standard does not have.
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
    let mut value = parse_json(body)?;
    sanitise(&mut value);
    let (born, zone, contacts) = (born(&value), zone(&value), contacts_of_patient(&value));
    let (name, names, identifiers) = (name(&value), names(&value), identifiers(&value));
    let telecoms = telecoms(&value);
    let Admitted { element, unknown_modifiers } = admit_value(value, &schema::PATIENT)?;
    let id = text(&element, "id").and_then(|id| FhirId::parse(id).ok());
    Ok(Patient {
        id: id.ok_or_else(|| Malformed::new("Patient", "has no id"))?,
        version: group(&element, "meta")
            .and_then(|meta| text(meta, "versionId"))
            .and_then(|version| VersionId::parse(version).ok()),
        active: boolean(&element, "active").unwrap_or(true),
        deceased: boolean(&element, "deceasedBoolean").unwrap_or(false) || text(&element, "deceasedDateTime").is_some(),
        birth_date: match born {
            Born::Day(day) => Some(day),
            Born::Month { .. } | Born::Year(_) | Born::Unknown | Born::Unreadable => None,
        },
        born,
        zone,
        contacts,
        language: language(&element),
        telecoms,
        replaced: replacement(&element, base),
        unknown_modifiers,
        name,
        names,
        identifiers,
    })
}

impl Patient {
    /// Who a document is about.
    #[must_use]
    pub fn person(&self) -> Person {
        let born = match self.born {
            Born::Day(day) => Some(When::Day(day)),
            Born::Month { year, month } => Some(When::Month { year, month }),
            Born::Year(year) => Some(When::Year(year)),
            Born::Unknown | Born::Unreadable => None,
        };
        Person { name: self.name.as_deref().map(Said::plain), born }
    }

    /// What a document may say of whose it is.
    #[must_use]
    pub fn known(&self) -> Known {
        let born = match self.born {
            Born::Day(day) => KnownBirth::Day(day),
            Born::Month { year, month } => KnownBirth::Month { year, month },
            Born::Year(year) => KnownBirth::Year(year),
            Born::Unknown | Born::Unreadable => KnownBirth::Unknown,
        };
        Known { names: self.names.clone(), born, identifiers: self.identifiers.clone() }
    }
}

/// Longer names and numbers, and more of them, are compared with nothing.
const KNOWN_BYTES_MAX: usize = 256;
const KNOWN_MAX: usize = 50;

fn names(patient: &Value) -> Vec<KnownName> {
    let short = |text: &str| if text.len() <= KNOWN_BYTES_MAX { text.to_owned() } else { String::new() };
    let known = |name: &Value| KnownName {
        family: word(name, "family").map(short).unwrap_or_default(),
        given: items(name, "given").into_iter().filter_map(|(_, part)| part.as_str()).map(short).collect(),
        text: word(name, "text").map(short).unwrap_or_default(),
    };
    items(patient, "name").into_iter().take(KNOWN_MAX).map(|(_, name)| known(name)).collect()
}

fn identifiers(patient: &Value) -> Vec<String> {
    let all = items(patient, "identifier").into_iter().take(KNOWN_MAX);
    let values = all.filter_map(|(_, identifier)| word(identifier, "value"));
    values.filter(|value| value.len() <= KNOWN_BYTES_MAX).map(str::to_owned).collect()
}

/// The official name, else the usual one, else one of no stated use.
fn name(patient: &Value) -> Option<String> {
    let names = items(patient, "name");
    let is_over = |name: &Value| name.get("period").is_some_and(|period| period.get("end").is_some());
    let of_use = |wanted: Option<&str>| {
        let mut fitting = names.iter().map(|(_, name)| *name);
        fitting.find(|name| word(name, "use") == wanted && !is_over(name))
    };
    let chosen = of_use(Some("official")).or_else(|| of_use(Some("usual"))).or_else(|| of_use(None))?;
    let parts = |element: &str| {
        let parts: Vec<_> = items(chosen, element).into_iter().filter_map(|(_, part)| part.as_str()).collect();
        parts.join(" ")
    };
    let written = if let Some(text) = word(chosen, "text") {
        text.to_owned()
    } else {
        let family = word(chosen, "family").unwrap_or_default().to_owned();
        let parts = [parts("prefix"), parts("given"), family, parts("suffix")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let is_plain = !written.trim().is_empty() && written.len() <= NAME_BYTES_MAX && !written.contains(is_strange);
    is_plain.then_some(written)
}

fn born(patient: &Value) -> Born {
    match patient.get("birthDate") {
        None => Born::Unknown,
        Some(Value::String(text)) => read_born(text).unwrap_or(Born::Unreadable),
        Some(_) => Born::Unreadable,
    }
}

fn read_born(text: &str) -> Option<Born> {
    let day = |text: &str| dates::day(text).filter(|day| day.year() > 0);
    let first = |rest: &str| day(&format!("{text}{rest}"));
    match text.len() {
        4 => first("-01-01").map(|day| Born::Year(day.year())),
        7 => first("-01").map(|day| Born::Month { year: day.year(), month: day.month() }),
        _ => day(text).map(Born::Day),
    }
}

fn zone(patient: &Value) -> Option<Tz> {
    let of = |holder: &Value| {
        let extensions = items(holder, "extension").into_iter().map(|(_, extension)| extension);
        let zones = extensions.filter(|extension| word(extension, "url") == Some(TIMEZONE));
        zones.map(|extension| word(extension, "valueCode").and_then(|zone| zone.parse::<Tz>().ok())).collect::<Vec<_>>()
    };
    let own = of(patient);
    let said = if own.is_empty() {
        items(patient, "address").iter().flat_map(|(_, address)| of(address)).collect()
    } else {
        own
    };
    let first = said.first().copied().flatten();
    first.filter(|_| said.iter().all(|zone| *zone == first))
}

fn language(patient: &R4Element) -> Option<String> {
    let spoken = all(patient, "communication");
    let chosen = match spoken {
        [only] => Some(only),
        several => several.iter().find(|one| boolean(one, "preferred") == Some(true)),
    };
    codings(chosen?, "language").into_iter().next().map(|language| language.code)
}

/// The entries of a sanitised resource by which one can write, in order, unjudged.
pub(super) fn telecoms(holder: &Value) -> Vec<Telecom> {
    items(holder, "telecom").into_iter().filter_map(|(_, entry)| telecom(entry)).collect()
}

pub(super) fn telecom(telecom: &Value) -> Option<Telecom> {
    let system = match word(telecom, "system") {
        Some("email") => TelecomSystem::Email,
        Some("phone") => TelecomSystem::Phone,
        Some("sms") => TelecomSystem::Sms,
        Some(_) | None => return None,
    };
    let bound = |period, name, side: fn((UtcMillis, UtcMillis)) -> UtcMillis| {
        word(period, name).and_then(dates::span).map(side)
    };
    Some(Telecom {
        system,
        value: word(telecom, "value")?.to_owned(),
        usage: match word(telecom, "use") {
            Some("old") => TelecomUse::Old,
            Some("temp") => TelecomUse::Temp,
            Some("mobile") => TelecomUse::Mobile,
            Some(_) | None => TelecomUse::Lasting,
        },
        rank: telecom.get("rank").and_then(Value::as_u64).and_then(|rank| u32::try_from(rank).ok()),
        period: telecom.get("period").map(|period| Period {
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
