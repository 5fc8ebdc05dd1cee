//! Those who pay for a patient: guarantors of an `Account`, subscribers and holders of a `Coverage`. Of a minor they are parents
//! more often than not, also where nobody filed a `RelatedPerson`.
//!
//! Must stay true: an EHR that says that it has such resources and does not show them leaves us not knowing; one that has none
//! leaves nothing to know. The server's filter is not trusted.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::contacts::telecoms_of;
use super::fetch::lack_of;
use super::shape::{Place, Pointer, below, items, pointers, word};
use crate::base::FhirId;
use crate::fhir::client::EhrClient;
use crate::fhir::offers::Has;
use crate::fhir::patient::{Patient, Telecom};
use crate::policy::facts::{Gathered, Lack};

/// A kind of resource that names those who pay.
struct Payment {
    kind: &'static str,
    /// Where it says for whom.
    whose: &'static str,
    payers: &'static [Payer],
}

/// Where it says by whom.
struct Payer {
    /// The group in which that stands; `None`: at the root.
    group: Option<&'static str>,
    element: &'static str,
    by_words: ByWords,
}

/// Who somebody is who is named by words alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ByWords {
    APerson,
    AnInsurer,
}

const fn person(group: Option<&'static str>, element: &'static str) -> Payer {
    Payer { group, element, by_words: ByWords::APerson }
}

const fn insurer(group: Option<&'static str>, element: &'static str) -> Payer {
    Payer { group, element, by_words: ByWords::AnInsurer }
}

const PAYMENTS: [Payment; 2] = [
    Payment { kind: "Account", whose: "subject", payers: &[person(Some("guarantor"), "party")] },
    Payment {
        kind: "Coverage",
        whose: "beneficiary",
        // The last one is R5's.
        payers: &[
            person(None, "subscriber"),
            person(None, "policyHolder"),
            insurer(None, "payor"),
            insurer(Some("paymentBy"), "party"),
        ],
    },
];
/// Parties that are read of one patient.
const PARTIES_MAX: usize = 20;
/// The largest party that is read.
const PARTY_BYTES_MAX: usize = 1024 * 1024;

/// A person who pays, in a resource of their own.
type Party = (&'static str, FhirId);

impl EhrClient {
    pub(super) async fn payers(&self, patient: &Patient, deadline: Instant) -> Gathered<Telecom> {
        let mut found = Gathered::none();
        let mut parties = BTreeSet::new();
        for payment in &PAYMENTS {
            let (theirs, lacking) = self.payments(payment, patient, deadline).await;
            found.lacking.extend(lacking);
            for one in &theirs {
                for pointer in self.named(one, payment) {
                    match party(one, &pointer, patient, &mut found) {
                        Ok(party) => parties.extend(party),
                        Err(why) => drop(found.lacking.insert(why)),
                    }
                }
            }
        }
        if parties.len() > PARTIES_MAX {
            found.lacking.insert(Lack::TooMany);
        }
        for party in parties.into_iter().take(PARTIES_MAX) {
            match timeout_at(deadline, self.read_whole(party.0, &party.1, PARTY_BYTES_MAX)).await {
                Ok(Ok(person)) => telecoms_of(&person, party.0, &mut found),
                Ok(Err(why)) => drop(found.lacking.insert(why)),
                Err(_) => drop(found.lacking.insert(Lack::TimedOut)),
            }
        }
        found
    }

    /// Those of the patient, and why there may be more.
    async fn payments(&self, payment: &Payment, patient: &Patient, deadline: Instant) -> (Vec<Value>, BTreeSet<Lack>) {
        let has = match timeout_at(deadline, self.may_have(payment.kind)).await {
            Ok(Ok(has)) => has,
            Ok(Err(error)) => return (Vec::new(), BTreeSet::from([lack_of(&error)])),
            Err(_) => return (Vec::new(), BTreeSet::from([Lack::TimedOut])),
        };
        if has == Has::No {
            return (Vec::new(), BTreeSet::new());
        }
        let mut listing = self.search_all(payment.kind, &[("patient", patient.id.as_str())], deadline).await;
        // An EHR that says nothing of itself, and does not know the type.
        if has == Has::Unsaid && listing.lacking == BTreeSet::from([Lack::NotFound]) {
            listing.lacking.clear();
        }
        let is_theirs = |one: &Value| {
            pointers(one, payment.whose, "", &self.base).iter().any(|pointer| {
                pointer.kind.as_deref() == Some("Patient")
                    && matches!(&pointer.place, Place::Here(id) if *id == patient.id)
            })
        };
        listing.resources.retain(is_theirs);
        (listing.resources, listing.lacking)
    }

    fn named(&self, one: &Value, payment: &Payment) -> Vec<Pointer> {
        let of = |payer: &Payer| -> Vec<Pointer> {
            let holders = match payer.group {
                None => vec![one],
                Some(group) => items(one, group).into_iter().map(|(_, holder)| holder).collect(),
            };
            let is_somebody = |pointer: &Pointer| {
                let is_by_words = pointer.kind.is_none() && matches!(pointer.place, Place::Lost(Lack::Elsewhere));
                !(is_by_words && payer.by_words == ByWords::AnInsurer)
            };
            let named =
                holders.into_iter().flat_map(|holder| pointers(holder, payer.element, payment.kind, &self.base));
            named.filter(is_somebody).collect()
        };
        payment.payers.iter().flat_map(of).collect()
    }
}

/// Whom to read, if anybody; who stands inside the resource is read at once.
fn party(
    one: &Value,
    pointer: &Pointer,
    patient: &Patient,
    found: &mut Gathered<Telecom>,
) -> Result<Option<Party>, Lack> {
    let kind = match pointer.kind.as_deref() {
        Some("Patient") => Some("Patient"),
        Some("RelatedPerson") => Some("RelatedPerson"),
        // An organisation that pays reads no letters for a child.
        Some(_) => return Ok(None),
        None => None,
    };
    match (&pointer.place, kind) {
        (Place::Here(id), Some("Patient")) if *id == patient.id => Ok(None),
        (Place::Here(id), Some(kind)) => Ok(Some((kind, id.clone()))),
        (Place::Inside(id), _) => {
            let inside = items(one, "contained").into_iter().find(|(_, inner)| word(inner, "id") == Some(id));
            let (_, inner) = inside.ok_or(Lack::NotFound)?;
            telecoms_of(inner, &below(&pointer.at, "contained"), found);
            Ok(None)
        }
        (Place::Lost(why), _) => Err(*why),
        (Place::Here(_) | Place::Away(_), _) => Err(Lack::Elsewhere),
    }
}
