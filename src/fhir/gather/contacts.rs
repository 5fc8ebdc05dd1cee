//! The e-mail addresses of those who stand by a patient: a guardian's address is often typed as the teenager's own.
//!
//! Must stay true: an entry counts whatever its use, period or rank, and a person whatever became of them, for the mailbox is
//! still the other person's. Patient data: addresses leave here as [`EmailAddress`] alone.

use serde_json::Value;
use tokio::time::Instant;

use super::shape::{Place, below, items, pointers, word};
use crate::base::EmailAddress;
use crate::fhir::client::EhrClient;
use crate::fhir::patient::Patient;
use crate::policy::facts::{FactPath, Gathered};

impl EhrClient {
    /// Addresses of every `RelatedPerson` of `patient`, of the contacts in the patient's own record, and of those who pay for
    /// them. What is no address is left out. Lacks say that there may be more.
    pub async fn related_contacts(&self, patient: &Patient) -> Gathered<EmailAddress> {
        let deadline = Instant::now() + self.limits.gather_timeout;
        let (persons, payers) = tokio::join!(self.persons(patient, deadline), self.payers(patient, deadline));
        let mut found = patient.contacts.clone();
        found.extend(persons);
        found.extend(payers);
        found
    }

    async fn persons(&self, patient: &Patient, deadline: Instant) -> Gathered<EmailAddress> {
        let listing = self.search_all("RelatedPerson", &[("patient", patient.id.as_str())], deadline).await;
        let mut found = Gathered { found: Vec::new(), lacking: listing.lacking };
        for (i, person) in listing.resources.iter().enumerate() {
            let is_theirs = |place: &Place| matches!(place, Place::Here(id) if *id == patient.id);
            let whose = pointers(person, "patient", "", &self.base);
            if whose.iter().any(|one| one.kind.as_deref() == Some("Patient") && is_theirs(&one.place)) {
                emails(person, &format!("RelatedPerson[{i}]"), &mut found);
            }
        }
        found
    }
}

/// The contacts in a sanitised `Patient`.
pub(in crate::fhir) fn of_patient(patient: &Value) -> Gathered<EmailAddress> {
    let mut found = Gathered::none();
    for (step, contact) in items(patient, "contact") {
        emails(contact, &step, &mut found);
    }
    found
}

pub(super) fn emails(holder: &Value, at: &str, into: &mut Gathered<EmailAddress>) {
    for (step, telecom) in items(holder, "telecom") {
        let value = word(telecom, "value").filter(|_| word(telecom, "system") == Some("email"));
        if let Some(address) = value.and_then(|value| EmailAddress::parse(value).ok()) {
            into.add(address, FactPath(below(at, &step)));
        }
    }
}
