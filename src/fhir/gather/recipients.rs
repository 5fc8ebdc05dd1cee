//! Who else may get a report: those who act for the patient, who ordered it, and whom it says to send copies to.
//!
//! Must stay true: nobody is a recipient whom the EHR does not name now, in a resource of their own, with what makes them one; what
//! could not be learnt is lacking, never nobody. Patient data: no `Debug`.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::contacts::{Stands, standing};
use super::part::{ORDER, ROLE};
use super::shape::{Place, Pointer, items, pointers, word};
use crate::base::{FhirId, UtcMillis};
use crate::fhir::client::EhrClient;
use crate::fhir::contact::{Choices, choose_among};
use crate::fhir::patient::{Patient, Telecom, TelecomSystem, telecoms};
use crate::fhir::report::Report;
use crate::fhir::service::ServiceBase;
use crate::policy::RecipientRole;
use crate::policy::facts::{Age, Basis, FactPath, Gathered, Lack};

/// Somebody besides the patient to whom the report may go. Patient data: no `Debug`.
pub struct Further {
    pub role: RecipientRole,
    pub who: Who,
    /// On what ground they act for the patient; nothing for others.
    pub basis: BTreeSet<Basis>,
    pub choices: Choices,
}

/// Who somebody is in their EHR: `RelatedPerson/12`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    kind: &'static str,
    id: FhirId,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

/// Whom to look for.
pub struct WhoElse {
    pub roles: BTreeSet<RecipientRole>,
    /// The patient's: parents act for minors alone.
    pub age: Age,
    pub adult_at_years: u16,
}

/// The extensions by which a report or an order names those who get a copy of the result: Australia's
/// (<http://hl7.org.au/fhir/StructureDefinition/result-copies-to>), and what HL7 made of CDA's `informationRecipient` in the US
/// (<http://hl7.org/fhir/us/ccda/StructureDefinition/InformationRecipientExtension>) and in Europe
/// (<http://hl7.eu/fhir/StructureDefinition/information-recipient>).
const COPIES: [&str; 3] = [
    "http://hl7.org.au/fhir/StructureDefinition/result-copies-to",
    "http://hl7.org/fhir/us/ccda/StructureDefinition/InformationRecipientExtension",
    "http://hl7.eu/fhir/StructureDefinition/information-recipient",
];
/// Who may order, and get copies: nobody's own relations, no machines.
const PROVIDERS: [&str; 3] = ["Practitioner", ROLE, "Organization"];
/// Providers that are read of one report.
const PROVIDERS_MAX: usize = 20;
/// Orders that are read of one report.
const ORDERS_MAX: usize = 20;
/// The largest order or provider that is read.
const RESOURCE_BYTES_MAX: usize = 1024 * 1024;

/// <https://terminology.hl7.org/CodeSystem-v3-RoleCode.html>
const ROLE_CODES: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";
/// <https://terminology.hl7.org/CodeSystem-v2-0063.html>
const RELATIONSHIPS: &str = "http://terminology.hl7.org/CodeSystem/v2-0063";

impl EhrClient {
    /// Those whom `sought` names, a provider once. Lacks say that there may be more.
    pub async fn further_recipients(
        &self,
        report: &Report,
        patient: &Patient,
        sought: &WhoElse,
        now: UtcMillis,
    ) -> Gathered<Further> {
        let deadline = Instant::now() + self.limits.gather_timeout;
        let (acting, providers) =
            tokio::join!(self.acting(patient, sought, now, deadline), self.providers(report, sought, now, deadline));
        let mut found = acting;
        found.extend(providers);
        found
    }

    async fn acting(&self, patient: &Patient, sought: &WhoElse, now: UtcMillis, until: Instant) -> Gathered<Further> {
        let mut found = Gathered::none();
        if !sought.roles.contains(&RecipientRole::Proxy) {
            return found;
        }
        let listing = self.related_persons(patient, until).await;
        found.lacking.extend(listing.lacking);
        for (i, person) in listing.resources.iter().enumerate() {
            let basis = sought.bases(person);
            if basis.is_empty() || standing(person, now) != Stands::InForce {
                continue;
            }
            let Some(id) = word(person, "id").and_then(|id| FhirId::parse(id).ok()) else {
                found.lacking.insert(Lack::Unreadable);
                continue;
            };
            let who = Who { kind: "RelatedPerson", id };
            let choices = choose_among(&telecoms(person), self.region, now);
            let at = FactPath(format!("RelatedPerson[{i}]"));
            found.add(Further { role: RecipientRole::Proxy, who, basis, choices }, at);
        }
        found
    }

    async fn providers(&self, report: &Report, sought: &WhoElse, now: UtcMillis, until: Instant) -> Gathered<Further> {
        let mut found = Gathered::none();
        let (orders_wanted, copies_wanted) =
            (sought.asks(RecipientRole::OrderingProvider), sought.asks(RecipientRole::CopyTo));
        let mut named: Vec<(RecipientRole, Pointer)> = Vec::new();
        if orders_wanted || copies_wanted {
            for order in self.orders(report, until, &mut found.lacking).await {
                let ordering = pointers(&order, "requester", ORDER, &self.base);
                named.extend(ordering.into_iter().map(|one| (RecipientRole::OrderingProvider, one)));
                named.extend(copies(&order, &self.base).into_iter().map(|one| (RecipientRole::CopyTo, one)));
            }
        }
        named.extend(report.stated.copies.iter().map(|one| (RecipientRole::CopyTo, one.clone())));
        named.retain(|(role, _)| sought.asks(*role));
        // Whoever is both is who ordered it, where both are sought.
        named.sort_by_key(|(role, _)| *role != RecipientRole::OrderingProvider);
        let mut seen = BTreeSet::new();
        named.retain(|(_, pointer)| match &pointer.place {
            Place::Here(id) => seen.insert((pointer.kind.clone(), id.clone())),
            Place::Inside(_) | Place::Away(_) | Place::Lost(_) => true,
        });
        if named.len() > PROVIDERS_MAX {
            named.truncate(PROVIDERS_MAX);
            found.lacking.insert(Lack::TooMany);
        }
        for (role, pointer) in named {
            match timeout_at(until, self.provider(role, &pointer, now)).await {
                Ok(Ok(Some(further))) => found.add(further, FactPath(pointer.at)),
                Ok(Ok(None)) => {}
                Ok(Err(why)) => drop(found.lacking.insert(why)),
                Err(_) => drop(found.lacking.insert(Lack::TimedOut)),
            }
        }
        found
    }

    async fn orders(&self, report: &Report, until: Instant, lacking: &mut BTreeSet<Lack>) -> Vec<Value> {
        let (mut orders, mut asked) = (Vec::new(), BTreeSet::new());
        for pointer in &report.stated.orders {
            let Place::Here(id) = &pointer.place else {
                lacking.insert(lack_at(&pointer.place));
                continue;
            };
            if !asked.insert(id.clone()) {
                continue;
            }
            if asked.len() > ORDERS_MAX {
                lacking.insert(Lack::TooMany);
                break;
            }
            match timeout_at(until, self.read_whole(ORDER, id, RESOURCE_BYTES_MAX)).await {
                Ok(Ok(order)) => orders.push(order),
                Ok(Err(why)) => drop(lacking.insert(why)),
                Err(_) => drop(lacking.insert(Lack::TimedOut)),
            }
        }
        orders
    }

    /// `None` for who is no provider, or is none any more.
    async fn provider(&self, role: RecipientRole, pointer: &Pointer, now: UtcMillis) -> Result<Option<Further>, Lack> {
        let Some(named) = &pointer.kind else { return Err(lack_at(&pointer.place)) };
        let Some(kind) = PROVIDERS.into_iter().find(|kind| kind == named) else { return Ok(None) };
        let Place::Here(id) = &pointer.place else { return Err(lack_at(&pointer.place)) };
        let value = self.read_whole(kind, id, RESOURCE_BYTES_MAX).await?;
        if standing(&value, now) != Stands::InForce {
            return Ok(None);
        }
        let mut entries = telecoms(&value);
        if kind == ROLE && !entries.iter().any(|entry| entry.system == TelecomSystem::Email) {
            entries.extend(self.telecoms_behind(&value, now).await?);
        }
        let who = Who { kind, id: id.clone() };
        Ok(Some(Further { role, who, basis: BTreeSet::new(), choices: choose_among(&entries, self.region, now) }))
    }

    /// Of the person who has a role without an address of its own.
    async fn telecoms_behind(&self, role: &Value, now: UtcMillis) -> Result<Vec<Telecom>, Lack> {
        for person in pointers(role, "practitioner", ROLE, &self.base) {
            if let (Some("Practitioner"), Place::Here(id)) = (person.kind.as_deref(), &person.place) {
                let value = self.read_whole("Practitioner", id, RESOURCE_BYTES_MAX).await?;
                let is_in_force = standing(&value, now) == Stands::InForce;
                return Ok(if is_in_force { telecoms(&value) } else { Vec::new() });
            }
        }
        Ok(Vec::new())
    }
}

/// To whom a sanitised report or order says that copies go.
pub(super) fn copies(value: &Value, base: &ServiceBase) -> Vec<Pointer> {
    let extensions = items(value, "extension").into_iter();
    let named = extensions.filter(|(_, one)| word(one, "url").is_some_and(|url| COPIES.contains(&url)));
    named.flat_map(|(step, one)| pointers(one, "valueReference", &step, base)).collect()
}

/// Whether somebody whom an EHR named once may be among those whom it does not show: who is named by words alone, or elsewhere,
/// never was.
#[must_use]
pub const fn may_hide_somebody(lack: Lack) -> bool {
    match lack {
        Lack::TimedOut | Lack::Refused | Lack::Unreadable | Lack::TooMany => true,
        Lack::NotFound | Lack::Elsewhere | Lack::NotAsked => false,
    }
}

const fn lack_at(place: &Place) -> Lack {
    match place {
        Place::Lost(why) => *why,
        Place::Here(_) => Lack::Unreadable,
        Place::Inside(_) | Place::Away(_) => Lack::Elsewhere,
    }
}

impl WhoElse {
    fn asks(&self, role: RecipientRole) -> bool {
        self.roles.contains(&role)
    }

    /// [`bases_of`]; nobody acts as a parent for somebody who may be grown up.
    fn bases(&self, person: &Value) -> BTreeSet<Basis> {
        let is_minor = match self.age {
            Age::Years { most, .. } => most < self.adult_at_years,
            Age::Unknown => false,
        };
        bases_of(person).into_iter().filter(|basis| is_minor || *basis != Basis::Parent).collect()
    }
}

/// On what ground a `RelatedPerson` acts for the patient, by its coded relationships; words alone give none.
pub(super) fn bases_of(person: &Value) -> BTreeSet<Basis> {
    let codings = items(person, "relationship").into_iter().flat_map(|(_, concept)| items(concept, "coding"));
    codings.filter_map(|(_, coding)| basis_of(word(coding, "system")?, word(coding, "code")?)).collect()
}

/// Step-parents and foster parents are not among the parents: they act for a child only where somebody says so.
fn basis_of(system: &str, code: &str) -> Option<Basis> {
    match (system, code) {
        (ROLE_CODES, "PRN" | "NPRN" | "ADOPTP" | "MTH" | "NMTH" | "GESTM" | "ADOPTM" | "FTH" | "NFTH" | "ADOPTF")
        | (RELATIONSHIPS, "PAR" | "MTH" | "FTH") => Some(Basis::Parent),
        (ROLE_CODES, "GUARD" | "GUADLTM") | (RELATIONSHIPS, "GRD") => Some(Basis::Guardian),
        (ROLE_CODES, "POWATT" | "DPOWATT" | "HPOWATT" | "SPOWATT" | "RESPRSN") => Some(Basis::Representative),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sought(age: Age) -> WhoElse {
        WhoElse { roles: BTreeSet::from([RecipientRole::Proxy]), age, adult_at_years: 18 }
    }

    fn related(system: &str, code: &str) -> Value {
        json!({"relationship": [{"coding": [{"system": system, "code": code}]}]})
    }

    #[test]
    fn a_parent_acts_for_a_minor_and_for_nobody_of_whom_that_is_not_sure() {
        let mother = related(ROLE_CODES, "MTH");
        let aged = |least, most| sought(Age::Years { least, most }).bases(&mother);
        assert_eq!(aged(17, 17), BTreeSet::from([Basis::Parent]));
        assert!(aged(18, 18).is_empty() && aged(17, 18).is_empty());
        assert!(sought(Age::Unknown).bases(&mother).is_empty());
    }

    #[test]
    fn a_relationship_without_a_code_that_we_know_gives_no_ground() {
        let child = sought(Age::Years { least: 8, most: 8 });
        assert!(child.bases(&json!({"relationship": [{"text": "Mother"}]})).is_empty());
        assert!(child.bases(&related("urn:local", "MTH")).is_empty());
        assert!(child.bases(&related(ROLE_CODES, "STPMTH")).is_empty());
        assert!(child.bases(&json!({})).is_empty());
    }

    #[test]
    fn a_guardian_and_an_attorney_act_for_grown_ups_too() {
        let grown = sought(Age::Years { least: 80, most: 80 });
        assert_eq!(grown.bases(&related(ROLE_CODES, "GUARD")), BTreeSet::from([Basis::Guardian]));
        assert_eq!(grown.bases(&related(ROLE_CODES, "HPOWATT")), BTreeSet::from([Basis::Representative]));
    }
}
