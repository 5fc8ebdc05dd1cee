//! What the rules look at, from what was read.
//!
//! Must stay true: texts end here, as patterns that matched; of a birth date only the age goes on.

use chrono_tz::Tz;

use super::gather::Evidence;
use super::patient::{Born, Patient};
use super::report::Report;
use crate::base::{ClinicId, UtcMillis};
use crate::policy::calendar::{BirthDate, age_on};
use crate::policy::facts::{Age, Facts, RecipientRole};
use crate::policy::text::{Patterns, Text};

/// For whom and where a report is looked at.
pub struct Circumstances {
    pub recipient: RecipientRole,
    pub clinic: Option<ClinicId>,
    pub now: UtcMillis,
    /// Where the patient lives by the clock if their record does not say.
    pub zone: Tz,
}

/// What staff recorded of the patient's wishes is for the caller to add: the EHR does not know it.
#[must_use]
pub fn facts_of(
    report: &Report,
    evidence: Evidence,
    patient: Option<&Patient>,
    patterns: &Patterns,
    around: Circumstances,
) -> Facts {
    let texts = evidence.texts.iter().map(|text| Text {
        at: &text.at,
        language: text.language.as_deref(),
        text: text.text.expose(),
    });
    let text = patterns.read(texts, evidence.texts_lacking.clone());
    Facts {
        recipient: around.recipient,
        clinic: around.clinic,
        codes: report.codes.clone(),
        categories: report.categories.clone(),
        issued: report.issued,
        results: evidence.results,
        labels: evidence.labels,
        orders: evidence.orders,
        reasons: evidence.reasons,
        performers: evidence.performers,
        specialties: evidence.specialties,
        encounters: evidence.encounters,
        text,
        age: patient.map_or(Age::Unknown, |patient| age_of(patient, around.now, around.zone)),
        consents: evidence.consents,
        critical: evidence.critical,
        ..Facts::bare(report.kind, report.status)
    }
}

/// The patient's age by the clock where they live; `zone` where their record does not say.
#[must_use]
pub fn age_of(patient: &Patient, now: UtcMillis, zone: Tz) -> Age {
    let birth = match patient.born {
        Born::Day(day) => BirthDate::Day(day),
        Born::Month { year, month } => BirthDate::Month { year, month },
        Born::Year(year) => BirthDate::Year(year),
        Born::Unknown | Born::Unreadable => return Age::Unknown,
    };
    age_on(birth, now, patient.zone.unwrap_or(zone))
}
