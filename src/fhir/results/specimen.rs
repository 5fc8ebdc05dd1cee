//! What was examined, in words.

use serde_json::Value;

use super::concept;
use super::observation::{narrative, notes};
use super::shelf::{Shelf, has_unknown_modifier};
use super::strict::{Members, Unfaithful, account, choice, language, list, text};
use super::value;
use crate::base::FhirId;
use crate::fhir::gather::word;
use crate::fhir::service::{ServiceBase, Target};
use crate::paper::{Fact, Said, Told};

const SPECIMEN: Members = Members {
    shown: &["type", "collection", "condition", "note"],
    silent: &[
        "resourceType",
        "id",
        "meta",
        "language",
        "text",
        "contained",
        "extension",
        "identifier",
        "accessionIdentifier",
        "status",
        "subject",
        "receivedTime",
        "parent",
        "request",
        "processing",
        "container",
    ],
};
const COLLECTION: Members = Members {
    shown: &[
        "collectedDateTime",
        "collectedPeriod",
        "bodySite",
        "method",
        "fastingStatusCodeableConcept",
        "fastingStatusDuration",
    ],
    silent: &["id", "extension", "collector", "quantity", "duration"],
};

/// The specimens of the resource `name`, whose element is at `at`.
pub(super) fn facts(
    shelf: &Shelf,
    name: &str,
    at: &str,
    patient: &FhirId,
    base: &ServiceBase,
) -> Result<Vec<Fact>, Unfaithful> {
    let Some(holder) = shelf.get(name) else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    for one in crate::fhir::gather::items(&holder.value, "specimen").iter().map(|(_, one)| *one) {
        if one.get("reference").is_none() {
            let words = text(one, "display", &format!("{at}.specimen"))?;
            let words = words.ok_or_else(|| Unfaithful(format!("{at}.specimen has no words")))?;
            told.push(Told::Words(Said::plain(words)));
        }
    }
    let mut facts = Vec::new();
    for lead in shelf.specimens(name, at, base)? {
        let found = shelf.get(&lead.name).ok_or_else(|| Unfaithful::at(&lead.at, "was not read"))?;
        let (words, more) = specimen(&found.value, &lead.at, patient, base)?;
        told.push(Told::Words(words));
        facts.extend(more);
    }
    if !told.is_empty() {
        facts.insert(0, Fact { label: "Specimen", told });
    }
    Ok(facts)
}

fn specimen(one: &Value, at: &str, patient: &FhirId, base: &ServiceBase) -> Result<(Said, Vec<Fact>), Unfaithful> {
    account(one, at, &SPECIMEN)?;
    if has_unknown_modifier(one) {
        return Err(Unfaithful::at(at, "carries an extension that changes its meaning"));
    }
    narrative(one, at)?;
    let language = language(one);
    match word(one, "status") {
        None | Some("available" | "unavailable") => {}
        Some(_) => return Err(Unfaithful::at(at, "is not fit to be examined, or nobody knows whether")),
    }
    if let Some(subject) = one.get("subject") {
        let literal = word(subject, "reference").unwrap_or_default();
        let is_theirs = matches!(base.target(literal), Target::Here { kind: "Patient", id } if id == *patient);
        if !is_theirs {
            return Err(Unfaithful::at(at, "is not of the report's patient"));
        }
    }
    let kind = match one.get("type") {
        Some(kind) => concept::some_words(kind, &format!("{at}.type"), language)?,
        None => return Err(Unfaithful::at(at, "does not say what it is")),
    };
    let mut facts = Vec::new();
    if let Some(collection) = one.get("collection") {
        facts.extend(collected(collection, &format!("{at}.collection"), language)?);
    }
    for (at, condition) in list(one, "condition", at)? {
        let words = concept::some_words(condition, &at, language)?;
        facts.push(Fact { label: "Condition of the specimen", told: vec![Told::Words(words)] });
    }
    facts.extend(notes(one, at, language)?);
    Ok((kind, facts))
}

fn collected(collection: &Value, at: &str, language: Option<&str>) -> Result<Vec<Fact>, Unfaithful> {
    account(collection, at, &COLLECTION)?;
    let mut facts = Vec::new();
    if let Some((kind, when, at)) = choice(collection, "collected", at)? {
        let when = if kind == "Period" { value::period(when, &at)? } else { value::time(when, &at)? };
        facts.push(Fact { label: "Specimen taken", told: vec![Told::Time(when)] });
    }
    let coded = [
        ("bodySite", "Specimen taken from"),
        ("method", "Way of taking it"),
        ("fastingStatusCodeableConcept", "Fasting"),
    ];
    for (name, label) in coded {
        if let Some(one) = collection.get(name) {
            let words = concept::some_words(one, &format!("{at}.{name}"), language)?;
            facts.push(Fact { label, told: vec![Told::Words(words)] });
        }
    }
    if let Some(span) = collection.get("fastingStatusDuration") {
        let span = value::quantity(span, &format!("{at}.fastingStatusDuration"))?.spelled();
        facts.push(Fact { label: "Fasting", told: vec![Told::Words(Said::plain(span))] });
    }
    Ok(facts)
}
