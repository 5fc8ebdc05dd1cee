//! What is recorded of the address and of the number to which a report would go.
//!
//! Must stay true: what bounced or is disputed, and a number whose holder wants no texts, gets nothing, whatever the rules say; what
//! could not be looked up is lacking, never unknown.

use super::prepare::{PatientRecord, standing};
use super::recipient::Recipient;
use super::{PatientReading, ReadEhr, Resolve};
use crate::base::{FhirId, UtcMillis};
use crate::fhir::{ContactChoice, Report, Subject};
use crate::keys::Vault;
use crate::policy::contact::{as_fact, standing_objection};
use crate::policy::facts::{Gathered, Lack};
use crate::policy::{Channel, RecipientRole, ReviewReason};
use crate::record::ContactStanding;
use crate::store::{self, ContactKey, SourceRow};

/// What is recorded, by each channel.
#[derive(Default)]
pub(super) struct Standings {
    email: Gathered<ContactStanding>,
    phone: Gathered<ContactStanding>,
}

impl Standings {
    pub(super) const fn by(&self, channel: Channel) -> &Gathered<ContactStanding> {
        match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.phone,
        }
    }
}

impl Resolve {
    pub(super) async fn contact_standings(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        read: (&Report, &PatientReading, &Recipient),
        now: UtcMillis,
    ) -> Standings {
        let key = |channel| key_of(&self.vault, ehr, source, read, (channel, now));
        let (email, phone) = (key(Channel::Email), key(Channel::Sms));
        Standings { email: self.standing_of(email).await, phone: self.standing_of(phone).await }
    }

    async fn standing_of(&self, key: Option<ContactKey>) -> Gathered<ContactStanding> {
        let Some(key) = key else { return Gathered::lacking(Lack::NotFound) };
        match self.store.read(move |conn| store::contact_standing(conn, &key)).await {
            Ok(standing) => as_fact(standing),
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
    (channel, now): (Channel, UtcMillis),
) -> Option<ContactKey> {
    let subject: Option<&FhirId> = match &report.subject {
        Subject::Patient(id) => Some(id),
        Subject::None | Subject::Unusable { .. } => None,
    };
    let found = standing(subject, patient, ehr.client.region(), now);
    let choices = recipient.choices(found.choices.as_ref());
    let (Some(PatientRecord::Read(id)), Some(ContactChoice::One { contact, .. })) =
        (found.record, choices.map(|choices| choices.by(channel)))
    else {
        return None;
    };
    let patient = vault.patient_index(&source.key.ehr, &id);
    Some(ContactKey {
        clinic: ehr.clinic.clone()?,
        whose: store::whose(source.addressee, Some(patient))?,
        address: vault.contact_index(contact),
    })
}

/// Why nothing goes to this address.
pub(super) fn objection_to(contact: &Gathered<ContactStanding>, role: RecipientRole) -> Option<ReviewReason> {
    standing_objection(contact.values().next().copied(), role)
}
