//! The addresses and numbers of those who stand by a patient: a guardian's is often typed as the teenager's own.
//!
//! Must stay true: an entry counts whatever its use, period or rank, and a person whatever became of them, for the mailbox or phone is
//! still the other person's; but only a `RelatedPerson` in force acts for the patient. Patient data: what leaves here is a
//! [`Contact`].

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::time::Instant;

use super::listing::Listing;
use super::recipients::bases_of;
use super::shape::{Place, below, items, pointers};
use crate::base::{Contact, UtcMillis};
use crate::fhir::client::EhrClient;
use crate::fhir::contact::named;
use crate::fhir::dates;
use crate::fhir::patient::{Patient, Telecom, telecom};
use crate::policy::facts::{Basis, FactPath, Gathered, Sighted};

/// The address or number of somebody who stands by a patient. Patient data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kin {
    pub contact: Contact,
    pub stands: Stands,
    /// On what ground, by their coded relationships.
    pub basis: BTreeSet<Basis>,
}

/// Whether they act for the patient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stands {
    /// The EHR says so of now.
    InForce,
    /// They did, or will; or nobody says that they do: a contact for emergencies, who pays.
    NotInForce,
}

impl EhrClient {
    /// Addresses and numbers of every `RelatedPerson` of `patient`, of the contacts in the patient's own record, and of those who pay for
    /// them. What is neither is left out. Lacks say that there may be more.
    pub async fn related_contacts(&self, patient: &Patient, now: UtcMillis) -> Gathered<Kin> {
        let deadline = Instant::now() + self.limits.gather_timeout;
        let (persons, payers) = tokio::join!(self.persons(patient, now, deadline), self.payers(patient, deadline));
        let none = BTreeSet::new();
        let mut found = self.all(patient.contacts.clone(), Stands::NotInForce, &none);
        found.extend(persons);
        found.extend(self.all(payers, Stands::NotInForce, &none));
        found
    }

    async fn persons(&self, patient: &Patient, now: UtcMillis, deadline: Instant) -> Gathered<Kin> {
        let listing = self.related_persons(patient, deadline).await;
        let mut found = Gathered { found: Vec::new(), lacking: listing.lacking };
        for (i, person) in listing.resources.iter().enumerate() {
            let mut theirs = Gathered::none();
            telecoms_of(person, &format!("RelatedPerson[{i}]"), &mut theirs);
            found.extend(self.all(theirs, standing(person, now), &bases_of(person)));
        }
        found
    }

    fn all(&self, entries: Gathered<Telecom>, stands: Stands, basis: &BTreeSet<Basis>) -> Gathered<Kin> {
        let kin = |seen: Sighted<Telecom>| {
            let contact = named(&seen.value, self.region)?;
            Some(Sighted { value: Kin { contact, stands, basis: basis.clone() }, at: seen.at })
        };
        Gathered { found: entries.found.into_iter().filter_map(kin).collect(), lacking: entries.lacking }
    }

    /// Every `RelatedPerson` of `patient`, whatever the server's filter let through.
    pub(super) async fn related_persons(&self, patient: &Patient, deadline: Instant) -> Listing {
        let mut listing = self.search_all("RelatedPerson", &[("patient", patient.id.as_str())], deadline).await;
        let is_theirs = |place: &Place| matches!(place, Place::Here(id) if *id == patient.id);
        listing.resources.retain(|person| {
            let whose = pointers(person, "patient", "", &self.base);
            whose.iter().any(|one| one.kind.as_deref() == Some("Patient") && is_theirs(&one.place))
        });
        listing
    }
}

/// In doubt they do not act for anybody.
pub(super) fn standing(person: &Value, now: UtcMillis) -> Stands {
    let is_active = match person.get("active") {
        None => true,
        Some(active) => active.as_bool() == Some(true),
    };
    let is_in_time = items(person, "period").into_iter().all(|(_, period)| is_within(period, now));
    let is_plain = person.get("modifierExtension").is_none() && person.get("implicitRules").is_none();
    if is_active && is_in_time && is_plain { Stands::InForce } else { Stands::NotInForce }
}

fn is_within(period: &Value, now: UtcMillis) -> bool {
    let bound = |name: &str| match period.get(name) {
        None => Some(None),
        Some(Value::String(text)) => dates::span(text).map(Some),
        Some(_) => None,
    };
    match (bound("start"), bound("end")) {
        (Some(start), Some(end)) => {
            start.is_none_or(|(first, _)| first <= now) && end.is_none_or(|(_, after)| now < after)
        }
        (None, _) | (_, None) => false,
    }
}

/// The contacts in a sanitised `Patient`.
pub(in crate::fhir) fn of_patient(patient: &Value) -> Gathered<Telecom> {
    let mut found = Gathered::none();
    for (step, contact) in items(patient, "contact") {
        telecoms_of(contact, &step, &mut found);
    }
    found
}

pub(super) fn telecoms_of(holder: &Value, at: &str, into: &mut Gathered<Telecom>) {
    for (step, entry) in items(holder, "telecom") {
        if let Some(entry) = telecom(entry) {
            into.add(entry, FactPath(below(at, &step)));
        }
    }
}
