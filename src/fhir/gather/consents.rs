//! The patient's consents in force, as words that a rule can name.
//!
//! Must stay true: a consent counts only when its own status, patient, decision and period say so, whatever the search was
//! asked; one that makes exceptions is not taken for a plain yes, but for a plain no; a refusal has words of its own, so that a
//! rule can ask for more where there is one.

use serde_json::Value;
use tokio::time::Instant;

use super::shape::{Place, concepts, items, pointers, word};
use super::source::Shelves;
use crate::base::{FhirId, UtcMillis};
use crate::fhir::dates;
use crate::fhir::service::ServiceBase;
use crate::policy::Coding;
use crate::policy::facts::{FactPath, Gathered, Lack, Word};

/// The system under which a clinic can write its own consent categories in the EHR. A category of this system, or of none,
/// becomes the word `code`, in lower case; any other becomes `system|code`.
pub const CONSENT_SYSTEM: &str = "urn:chartseal:consent";
/// Before the word of what the patient refused.
const DENIED: &str = "deny:";

/// What one consent says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Permits,
    Denies,
    /// Not in force, or somebody else's.
    Nothing,
    Unclear(Lack),
}

pub(super) async fn consents<S: Shelves>(shelves: &S, patient: &FhirId, deadline: Instant) -> Gathered<Word> {
    let parameters = [("patient", patient.as_str()), ("status", "active")];
    let listing = shelves.list("Consent", &parameters, deadline).await;
    let mut words = Gathered { found: Vec::new(), lacking: listing.lacking };
    for (i, consent) in listing.resources.iter().enumerate() {
        let said = judge(consent, patient, listing.server_date, shelves.base());
        match said {
            Verdict::Permits | Verdict::Denies => {
                let before = if said == Verdict::Denies { DENIED } else { "" };
                let mut categories = Gathered::none();
                concepts(consent, "category", "", &mut categories);
                for coding in categories.values() {
                    words.add(format!("{before}{}", consent_word(coding)), FactPath(format!("Consent[{i}].category")));
                }
                words.lacking.extend(categories.lacking);
            }
            Verdict::Nothing => {}
            Verdict::Unclear(why) => {
                words.lacking.insert(why);
            }
        }
    }
    words
}

fn consent_word(coding: &Coding) -> Word {
    match coding.system.as_deref() {
        None | Some(CONSENT_SYSTEM) => coding.code.to_lowercase(),
        Some(system) => format!("{system}|{}", coding.code),
    }
}

/// `now` is the server's own clock.
fn judge(consent: &Value, patient: &FhirId, now: Option<UtcMillis>, base: &ServiceBase) -> Verdict {
    // R4 says `patient`, R5 `subject`.
    let whose = [pointers(consent, "patient", "", base), pointers(consent, "subject", "", base)].concat();
    let is_theirs = whose.iter().any(|pointer| {
        pointer.kind.as_deref() == Some("Patient") && matches!(&pointer.place, Place::Here(id) if id == patient)
    });
    if !is_theirs || word(consent, "status") != Some("active") {
        return Verdict::Nothing;
    }
    if consent.get("modifierExtension").is_some() || consent.get("implicitRules").is_some() {
        return Verdict::Unclear(Lack::Unreadable);
    }
    match decision(consent) {
        said @ (Verdict::Permits | Verdict::Denies) => in_force(said, consent, now),
        other @ (Verdict::Nothing | Verdict::Unclear(_)) => other,
    }
}

/// R5 decides in `decision` and lists exceptions in `provision`; R4 decides in the root provision or by its `policyRule`, and
/// lists exceptions inside the root provision (<https://hl7.org/fhir/R4/consent.html>).
fn decision(consent: &Value) -> Verdict {
    let (decided, exceptions) = match (word(consent, "decision"), consent.get("provision")) {
        (Some(decision), provision) => (Some(decision), provision.is_some()),
        (None, provision) => {
            let root = provision.filter(|root| root.is_object());
            (root.and_then(|root| word(root, "type")), root.is_some_and(|root| root.get("provision").is_some()))
        }
    };
    match decided.or_else(|| decided_by_rule(consent)) {
        Some("permit") if exceptions => Verdict::Unclear(Lack::TooMany),
        Some("permit") => Verdict::Permits,
        Some("deny") => Verdict::Denies,
        Some(_) | None => Verdict::Unclear(Lack::Unreadable),
    }
}

fn decided_by_rule(consent: &Value) -> Option<&'static str> {
    let mut rules = Gathered::none();
    concepts(consent, "policyRule", "", &mut rules);
    let has = |wanted: &str| rules.values().any(|rule| rule.code == wanted);
    match (has("OPTIN"), has("OPTOUT")) {
        (true, false) => Some("permit"),
        (false, true) => Some("deny"),
        (true, true) | (false, false) => None,
    }
}

fn in_force(said: Verdict, consent: &Value, now: Option<UtcMillis>) -> Verdict {
    let holders = [Some(consent), consent.get("provision")];
    let periods = holders.into_iter().flatten().flat_map(|holder| items(holder, "period"));
    for (_, period) in periods {
        let bound = |name| match period.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => dates::span(text).map(Some).ok_or(Lack::Unreadable),
            Some(_) => Err(Lack::Unreadable),
        };
        let (Ok(start), Ok(end), Some(now)) = (bound("start"), bound("end"), now) else {
            return Verdict::Unclear(Lack::Unreadable);
        };
        if start.is_some_and(|(first, _)| now < first) || end.is_some_and(|(_, after)| now >= after) {
            return Verdict::Nothing;
        }
    }
    said
}
