//! What the rules may look at, put together from what was read.
//!
//! Must stay true: names, addresses and texts end here; what was not learnt is said to be lacking; an address that also
//! belongs to somebody who stands by a minor is that person's, whoever's record it stands in.

use std::collections::BTreeSet;

use super::contact::Standings;
use super::recipient::Recipient;
use super::{PatientReading, Read, ReadEhr};
use crate::base::{Contact, UtcMillis};
use crate::fhir::{Circumstances, Evidence, Further, Kin, Report, Stands, facts_of};
use crate::policy::facts::{Age, Basis, Gathered, Word};
use crate::policy::{Facts, Needs, RecipientRole, RuleSet};

/// What was learnt beside report and patient.
pub(super) struct Beside {
    pub(super) evidence: Evidence,
    /// The addresses of those who stand by the patient.
    pub(super) related: Gathered<Kin>,
    /// What the patient asked for, as staff recorded it.
    pub(super) preferences: Gathered<Word>,
    /// What is recorded of the address and the number that would be chosen.
    pub(super) standings: Standings,
    pub(super) recipient: Recipient,
    /// Who else may get the report, of whom was looked for.
    pub(super) further: Gathered<Further>,
    pub(super) sought: BTreeSet<RecipientRole>,
}

impl Beside {
    /// What the report says itself.
    pub(super) async fn nothing_more(ehr: &ReadEhr, report: &Report) -> Self {
        let evidence = ehr.client.gather(report, &Needs::new()).await;
        Self {
            evidence,
            related: Gathered::default(),
            preferences: Gathered::default(),
            standings: Standings::default(),
            recipient: Recipient::NotAsked,
            further: Gathered::none(),
            sought: BTreeSet::new(),
        }
    }
}

/// Whose address it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Patient,
    /// Somebody who acts for a minor.
    Guardian,
    /// Somebody around a minor, of whom the EHR does not say that they act for them now.
    Bystander,
    /// A minor's, and not everybody who stands by them could be learnt.
    Unclear,
}

/// The facts of a report for whoever the reading is for, but for what is recorded of the address that it would go to.
pub(super) fn facts(ehr: &ReadEhr, read: &Read, rules: &RuleSet, now: UtcMillis) -> Facts {
    let patient = match &read.patient {
        PatientReading::Read(patient) | PatientReading::Merged(Some(patient)) => Some(patient.as_ref()),
        PatientReading::Merged(None) | PatientReading::NotAsked | PatientReading::Unusable { .. } => None,
    };
    let around = Circumstances {
        recipient: read.beside.recipient.role(),
        clinic: ehr.clinic.clone(),
        now,
        zone: rules.timezone().unwrap_or(ehr.zone),
    };
    let evidence = read.beside.evidence.clone();
    Facts {
        preferences: read.beside.preferences.clone(),
        basis: read.beside.recipient.basis(),
        ..facts_of(&read.report, evidence, patient, rules.patterns(), around)
    }
}

/// On what ground those act for the patient whose address it is.
pub(super) fn basis_of(contact: &Contact, related: &Gathered<Kin>) -> BTreeSet<Basis> {
    let wanted = contact.reader_form();
    let in_force = related.values().filter(|other| other.stands == Stands::InForce);
    in_force.filter(|other| other.contact.reader_form() == wanted).flat_map(|other| other.basis.clone()).collect()
}

/// Whose the chosen address or number is.
pub(super) fn owner_of(contact: &Contact, age: Age, adult_at: u16, related: &Gathered<Kin>) -> Owner {
    if !age.may_be_below(adult_at) {
        return Owner::Patient;
    }
    let wanted = contact.reader_form();
    let mut alike = related.values().filter(|other| other.contact.reader_form() == wanted).map(|other| other.stands);
    if let Some(first) = alike.next() {
        let acts = first == Stands::InForce || alike.any(|stands| stands == Stands::InForce);
        return if acts { Owner::Guardian } else { Owner::Bystander };
    }
    if related.is_whole() { Owner::Patient } else { Owner::Unclear }
}

/// The lacks that time may mend.
pub(super) fn is_for_want_of_time(facts: &Facts) -> bool {
    use crate::policy::facts::Lack;
    let lacking: [&BTreeSet<Lack>; 12] = [
        &facts.results.lacking,
        &facts.labels.lacking,
        &facts.orders.lacking,
        &facts.reasons.lacking,
        &facts.performers.lacking,
        &facts.specialties.lacking,
        &facts.encounters.lacking,
        &facts.text.matched.lacking,
        &facts.consents.lacking,
        &facts.preferences.lacking,
        &facts.contact.lacking,
        &facts.basis.lacking,
    ];
    lacking.into_iter().any(|lacking| lacking.contains(&Lack::TimedOut))
}
