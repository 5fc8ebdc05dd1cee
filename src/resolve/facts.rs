//! What the rules may look at, put together from what was read.
//!
//! Must stay true: names, addresses and texts end here; what was not learnt is said to be lacking; an address that also
//! belongs to somebody who stands by a minor is that person's, whoever's record it stands in.

use std::collections::BTreeSet;

use chrono_tz::Tz;

use super::{PatientReading, ReadEhr};
use crate::base::{EmailAddress, UtcMillis};
use crate::fhir::{Born, Evidence, Patient, Report};
use crate::policy::calendar::{BirthDate, age_on};
use crate::policy::facts::{Age, Gathered, MINOR_BELOW_YEARS, Word};
use crate::policy::text::Text;
use crate::policy::{Facts, Needs, RecipientRole, RuleSet};

/// What was learnt beside report and patient.
pub(super) struct Beside {
    pub(super) evidence: Evidence,
    /// The addresses of those who stand by the patient.
    pub(super) related: Gathered<EmailAddress>,
    /// What the patient asked for, as staff recorded it.
    pub(super) preferences: Gathered<Word>,
}

impl Beside {
    /// What the report says itself.
    pub(super) async fn nothing_more(ehr: &ReadEhr, report: &Report) -> Self {
        let evidence = ehr.client.gather(report, &Needs::new()).await;
        Self { evidence, related: Gathered::default(), preferences: Gathered::default() }
    }
}

/// Whose address it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Patient,
    /// Somebody who stands by a minor.
    Guardian,
    /// A minor's, and not everybody who stands by them could be learnt.
    Unclear,
}

/// The facts of a report for the patient.
pub(super) fn facts(
    ehr: &ReadEhr,
    report: &Report,
    patient: &PatientReading,
    beside: &Beside,
    rules: &RuleSet,
    now: UtcMillis,
) -> Facts {
    let evidence = &beside.evidence;
    let texts = evidence.texts.iter().map(|text| Text {
        at: &text.at,
        language: text.language.as_deref(),
        text: text.text.expose(),
    });
    Facts {
        recipient: RecipientRole::Patient,
        clinic: ehr.clinic.clone(),
        kind: report.kind,
        status: report.status,
        codes: report.codes.clone(),
        categories: report.categories.clone(),
        issued: report.issued,
        results: evidence.results.clone(),
        labels: evidence.labels.clone(),
        orders: evidence.orders.clone(),
        reasons: evidence.reasons.clone(),
        performers: evidence.performers.clone(),
        specialties: evidence.specialties.clone(),
        services: Vec::new(),
        encounters: evidence.encounters.clone(),
        text: rules.patterns().read(texts, evidence.texts_lacking.clone()),
        age: match patient {
            PatientReading::Read(patient) => age_of(patient, zone(rules, ehr), now),
            PatientReading::NotAsked | PatientReading::Unusable { .. } => Age::Unknown,
        },
        consents: evidence.consents.clone(),
        preferences: beside.preferences.clone(),
        critical: evidence.critical,
    }
}

/// Where the clinic's days begin.
fn zone(rules: &RuleSet, ehr: &ReadEhr) -> Tz {
    rules.timezone().unwrap_or(ehr.zone)
}

/// In the patient's own zone where the record names one.
pub(super) fn age_of(patient: &Patient, zone: Tz, now: UtcMillis) -> Age {
    let born = match patient.born {
        Born::Day(day) => BirthDate::Day(day),
        Born::Month { year, month } => BirthDate::Month { year, month },
        Born::Year(year) => BirthDate::Year(year),
        Born::Unknown | Born::Unreadable => return Age::Unknown,
    };
    age_on(born, now, patient.zone.unwrap_or(zone))
}

/// Whether somebody of this age may be a minor.
pub(super) const fn may_be_minor(age: Age) -> bool {
    match age {
        Age::Unknown => true,
        Age::Years { least, .. } => least < MINOR_BELOW_YEARS,
    }
}

/// Whose the chosen address is.
pub(super) fn owner_of(address: &EmailAddress, age: Age, related: &Gathered<EmailAddress>) -> Owner {
    if !may_be_minor(age) {
        return Owner::Patient;
    }
    let wanted = address.comparison_form();
    if related.values().any(|other| other.comparison_form() == wanted) {
        return Owner::Guardian;
    }
    if related.is_whole() { Owner::Patient } else { Owner::Unclear }
}

/// The lacks that time may mend.
pub(super) fn is_for_want_of_time(facts: &Facts) -> bool {
    use crate::policy::facts::Lack;
    let lacking: [&BTreeSet<Lack>; 9] = [
        &facts.results.lacking,
        &facts.labels.lacking,
        &facts.orders.lacking,
        &facts.reasons.lacking,
        &facts.performers.lacking,
        &facts.specialties.lacking,
        &facts.encounters.lacking,
        &facts.text.matched.lacking,
        &facts.consents.lacking,
    ];
    lacking.into_iter().any(|lacking| lacking.contains(&Lack::TimedOut))
}
