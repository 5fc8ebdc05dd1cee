//! Whether a result is flagged as one that cannot wait.

use serde_json::Value;

use super::shape::{concept, items, word};
use crate::policy::Coding;
use crate::policy::facts::{FactPath, Flag, Gathered};

/// Critically high, critically low, critically abnormal
/// (<https://terminology.hl7.org/CodeSystem-v3-ObservationInterpretation.html>).
const CRITICAL: &[&str] = &["HH", "LL", "AA"];
/// The spellings of that system and of the table before it.
const INTERPRETATIONS: &[&str] = &[
    "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
    "http://hl7.org/fhir/v3/ObservationInterpretation",
    "urn:oid:2.16.840.1.113883.5.83",
    "http://terminology.hl7.org/CodeSystem/v2-0078",
    "http://hl7.org/fhir/v2/0078",
    "urn:oid:2.16.840.1.113883.12.78",
];
/// An interpretation in words that is no longer than this is taken for a code of the table.
const CODE_LENGTH_MAX: usize = 3;

/// The flag of a sanitised `Observation` and its components. Text that is no code leaves it unknown.
pub(super) fn flag(observation: &Value) -> Flag {
    let components = items(observation, "component");
    let holders = std::iter::once(observation).chain(components.iter().map(|(_, component)| *component));
    holders.fold(Flag::No, |flag, holder| worse(flag, of_holder(holder)))
}

/// Yes outweighs unknown, and unknown outweighs no.
pub(super) fn worse(one: Flag, other: Flag) -> Flag {
    match (one, other) {
        (Flag::Yes, _) | (_, Flag::Yes) => Flag::Yes,
        (Flag::Unknown, _) | (_, Flag::Unknown) => Flag::Unknown,
        (Flag::No, Flag::No) => Flag::No,
    }
}

fn of_holder(holder: &Value) -> Flag {
    let mut found = Gathered::none();
    let at = FactPath("interpretation".to_owned());
    for (_, interpretation) in items(holder, "interpretation") {
        let code = word(interpretation, "text").map(str::trim).filter(|text| text.len() <= CODE_LENGTH_MAX);
        match code.filter(|_| interpretation.get("coding").is_none()) {
            Some(code) => found.add(Coding { system: None, code: code.to_owned() }, at.clone()),
            None => concept(interpretation, &at, &mut found),
        }
    }
    let is_critical = |coding: &Coding| {
        let is_known = coding.system.as_deref().is_none_or(|system| INTERPRETATIONS.contains(&system));
        is_known && CRITICAL.contains(&coding.code.as_str())
    };
    if found.values().any(is_critical) {
        Flag::Yes
    } else if found.is_whole() {
        Flag::No
    } else {
        Flag::Unknown
    }
}
