//! What is recorded of the address to which a report would go.
//!
//! Must stay true: an address that bounced or is disputed gets nothing, whatever the rules say; what could not be looked up is
//! lacking, never unknown.

use super::prepare::{PatientRecord, standing};
use super::recipient::Recipient;
use super::{PatientReading, ReadEhr, Resolve};
use crate::base::{FhirId, UtcMillis};
use crate::fhir::{ContactChoice, Report, Subject};
use crate::keys::Vault;
use crate::policy::contact::{as_fact, standing_objection};
use crate::policy::facts::{Gathered, Lack};
use crate::policy::{RecipientRole, ReviewReason};
use crate::record::ContactStanding;
use crate::store::{self, ContactKey, SourceRow};

impl Resolve {
    pub(super) async fn contact_standing(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        read: (&Report, &PatientReading, &Recipient),
        now: UtcMillis,
    ) -> Gathered<ContactStanding> {
        let Some(key) = key_of(&self.vault, ehr, source, read, now) else {
            return Gathered::lacking(Lack::NotFound);
        };
        match self.store.read(move |conn| store::contact(conn, &key)).await {
            Ok(row) => as_fact(row.map(|row| row.standing)),
            Err(error) => {
                tracing::warn!(%error, "what is recorded of the patient's address could not be read");
                Gathered::lacking(Lack::TimedOut)
            }
        }
    }
}

/// `None` where there is no address, or none that may be used.
fn key_of(
    vault: &Vault,
    ehr: &ReadEhr,
    source: &SourceRow,
    (report, patient, recipient): (&Report, &PatientReading, &Recipient),
    now: UtcMillis,
) -> Option<ContactKey> {
    let subject: Option<&FhirId> = match &report.subject {
        Subject::Patient(id) => Some(id),
        Subject::None | Subject::Unusable { .. } => None,
    };
    let found = standing(subject, patient, now);
    let (Some(PatientRecord::Read(id)), Some(ContactChoice::One { address, .. })) =
        (found.record, recipient.choice(found.choice.as_ref()))
    else {
        return None;
    };
    let patient = vault.patient_index(&source.key.ehr, &id);
    Some(ContactKey {
        clinic: ehr.clinic.clone()?,
        whose: store::whose(source.addressee, Some(patient))?,
        address: vault.address_index(address),
    })
}

/// Why nothing goes to this address.
pub(super) fn objection_to(contact: &Gathered<ContactStanding>, role: RecipientRole) -> Option<ReviewReason> {
    standing_objection(contact.values().next().copied(), role)
}
