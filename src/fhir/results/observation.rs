//! One Observation: all that it says of a result.
//!
//! Must stay true: it is the report's patient's, it is final, and nothing of it is left out.

use serde_json::Value;

use super::shelf::{Lead, Shelf, has_unknown_modifier};
use super::strict::{Members, Unfaithful, account, language, list, text};
use super::{absent, concept, flags, ranges, specimen, value};
use crate::base::FhirId;
use crate::fhir::gather::{Place, items, pointers, word};
use crate::fhir::service::{ServiceBase, Target};
use crate::paper::{Fact, Flag, Row, Said, Told, When};

const OBSERVATION: Members = Members {
    shown: &[
        "status",
        "code",
        "effectiveDateTime",
        "effectivePeriod",
        "effectiveInstant",
        "valueQuantity",
        "valueCodeableConcept",
        "valueString",
        "valueBoolean",
        "valueInteger",
        "valueRange",
        "valueRatio",
        "valueTime",
        "valueDateTime",
        "valuePeriod",
        // Told apart so that the reason names them.
        "effectiveTiming",
        "valueSampledData",
        "valueAttachment",
        "dataAbsentReason",
        "interpretation",
        "note",
        "bodySite",
        "method",
        "specimen",
        "referenceRange",
        "hasMember",
        "component",
    ],
    silent: &[
        "resourceType",
        "id",
        "meta",
        "language",
        "text",
        "contained",
        "extension",
        "identifier",
        "basedOn",
        "partOf",
        "category",
        "subject",
        "encounter",
        "issued",
        "performer",
        "derivedFrom",
        // Its name is shown where it is written here.
        "device",
    ],
};
const COMPONENT: Members = Members {
    shown: &[
        "code",
        "valueQuantity",
        "valueCodeableConcept",
        "valueString",
        "valueBoolean",
        "valueInteger",
        "valueRange",
        "valueRatio",
        "valueTime",
        "valueDateTime",
        "valuePeriod",
        "valueSampledData",
        "dataAbsentReason",
        "interpretation",
        "referenceRange",
    ],
    silent: &["id", "extension"],
};
const ANNOTATION: Members = Members { shown: &["text", "time", "authorString"], silent: &["id", "authorReference"] };

/// What is the same for all results of a report.
pub(super) struct Around<'a> {
    pub shelf: &'a Shelf,
    pub patient: &'a FhirId,
    pub base: &'a ServiceBase,
    /// What the report itself says, so that it is not said again at each result.
    pub effective: Option<When>,
    pub specimens: Vec<Fact>,
    pub performers: Vec<String>,
}

/// One Observation, read.
pub(super) struct Seen {
    pub name: Said,
    /// `None`: a panel.
    pub value: Option<Told>,
    pub flags: Vec<Flag>,
    pub ranges: Vec<Said>,
    pub facts: Vec<Fact>,
    pub components: Vec<Row>,
    pub members: Vec<Lead>,
}

impl Seen {
    /// A result that stands for itself.
    pub(super) fn is_single(&self) -> bool {
        self.components.is_empty() && self.members.is_empty()
    }

    /// As a row; what has no value of its own gives facts alone.
    pub(super) fn into_row(self) -> (Option<Row>, Vec<Fact>) {
        let Self { name, value, flags, ranges, mut facts, .. } = self;
        let Some(value) = value else {
            let words = |label, all: Vec<Said>| Fact { label, told: all.into_iter().map(Told::Words).collect() };
            if !ranges.is_empty() {
                facts.insert(0, words("Reference range", ranges));
            }
            if !flags.is_empty() {
                facts.insert(0, words("Judged as", flags.into_iter().map(|flag| flag.words).collect()));
            }
            return (None, facts);
        };
        (Some(Row { name, value, flags, ranges, facts }), Vec::new())
    }
}

/// Reads the Observation `name` of the shelf, which the report names at `at`.
pub(super) fn read(around: &Around<'_>, name: &str, at: &str) -> Result<Seen, Unfaithful> {
    let found = around.shelf.get(name).ok_or_else(|| Unfaithful::at(at, "was not read"))?;
    let one = &found.value;
    account(one, at, &OBSERVATION)?;
    if has_unknown_modifier(one) {
        return Err(Unfaithful::at(at, "carries an extension that changes its meaning"));
    }
    narrative(one, at)?;
    whose(one, at, around, found.owner == name)?;
    derived(one, at, around.base)?;
    let language = language(one);
    let standing = standing(one, at)?;
    let code = one.get("code").ok_or_else(|| Unfaithful::at(at, "does not say what was tested"))?;
    let members = around.shelf.leads(name, "hasMember", at, around.base)?;
    let components = list(one, "component", at)?;
    let components =
        components.iter().map(|(at, part)| component(part, at, language)).collect::<Result<Vec<_>, _>>()?;
    let value = value_or_reason(one, at, language)?;
    if value.is_none() && members.is_empty() && components.is_empty() {
        return Err(Unfaithful::at(at, "has no value, and does not say why"));
    }
    Ok(Seen {
        name: concept::some_words(code, &format!("{at}.code"), language)?,
        value,
        flags: flags::of(one, at, language)?,
        ranges: ranges::of(one, at, language)?,
        facts: [standing, facts(around, name, one, at)?].concat(),
        components,
        members,
    })
}

/// A narrative that says more than the elements makes the elements incomplete.
pub(super) fn narrative(one: &Value, at: &str) -> Result<(), Unfaithful> {
    match one.get("text").and_then(|text| word(text, "status")) {
        Some("generated" | "extensions" | "empty") => Ok(()),
        None if one.get("text").is_none() => Ok(()),
        Some(_) | None => Err(Unfaithful::at(at, "has a narrative that may say more than its elements")),
    }
}

/// What is written inside the report is its patient's; anything else says so itself.
fn whose(one: &Value, at: &str, around: &Around<'_>, is_alone: bool) -> Result<(), Unfaithful> {
    let Some(subject) = one.get("subject") else {
        return if is_alone { Err(Unfaithful::at(at, "does not say whose it is")) } else { Ok(()) };
    };
    let target = around.base.target(word(subject, "reference").unwrap_or_default());
    match target {
        Target::Here { kind: "Patient", id } if id == *around.patient => Ok(()),
        Target::Here { .. } | Target::Contained | Target::Elsewhere | Target::Unclear => {
            Err(Unfaithful::at(at, "is not of the report's patient"))
        }
    }
}

/// What it was calculated from may be left out where that is a result too, not where it is a picture or a document.
fn derived(one: &Value, at: &str, base: &ServiceBase) -> Result<(), Unfaithful> {
    for pointer in pointers(one, "derivedFrom", at, base) {
        let is_result = matches!(pointer.place, Place::Here(_)) && pointer.kind.as_deref() == Some("Observation");
        if !is_result {
            return Err(Unfaithful::at(&pointer.at, "is something that is not shown"));
        }
    }
    Ok(())
}

/// <https://hl7.org/fhir/R4/valueset-observation-status.html>
fn standing(one: &Value, at: &str) -> Result<Vec<Fact>, Unfaithful> {
    let told = |words: &str| vec![Fact { label: "Status", told: vec![Told::Words(Said::plain(words))] }];
    match word(one, "status") {
        Some("final") => Ok(Vec::new()),
        Some("amended") => Ok(told("Amended")),
        Some("corrected") => Ok(told("Corrected")),
        Some("registered" | "preliminary") => Err(Unfaithful::at(at, "is not final")),
        Some("cancelled") => Err(Unfaithful::at(at, "was cancelled")),
        Some("entered-in-error") => Err(Unfaithful::at(at, "was entered in error")),
        Some(_) | None => Err(Unfaithful::at(at, "does not say whether it is final")),
    }
}

fn value_or_reason(holder: &Value, at: &str, language: Option<&str>) -> Result<Option<Told>, Unfaithful> {
    match (value::of(holder, at, language)?, holder.get("dataAbsentReason")) {
        (Some(_), Some(_)) => Err(Unfaithful::at(at, "has a value and says why it has none")),
        (Some(value), None) => Ok(Some(value)),
        (None, Some(reason)) => {
            absent::words(reason, &format!("{at}.dataAbsentReason"), language).map(|words| Some(Told::Words(words)))
        }
        (None, None) => Ok(None),
    }
}

fn component(part: &Value, at: &str, language: Option<&str>) -> Result<Row, Unfaithful> {
    account(part, at, &COMPONENT)?;
    let code = part.get("code").ok_or_else(|| Unfaithful::at(at, "does not say what was tested"))?;
    let value = value_or_reason(part, at, language)?;
    Ok(Row {
        name: concept::some_words(code, &format!("{at}.code"), language)?,
        value: value.ok_or_else(|| Unfaithful::at(at, "has no value, and does not say why"))?,
        flags: flags::of(part, at, language)?,
        ranges: ranges::of(part, at, language)?,
        facts: Vec::new(),
    })
}

fn facts(around: &Around<'_>, name: &str, one: &Value, at: &str) -> Result<Vec<Fact>, Unfaithful> {
    let language = language(one);
    let mut facts = Vec::new();
    if let Some(when) = value::effective(one, at)?
        && around.effective.as_ref() != Some(&when)
    {
        facts.push(Fact { label: "Date of test", told: vec![Told::Time(when)] });
    }
    for (element, label) in [("bodySite", "Body site"), ("method", "Method")] {
        if let Some(coded) = one.get(element) {
            let words = concept::some_words(coded, &format!("{at}.{element}"), language)?;
            facts.push(Fact { label, told: vec![Told::Words(words)] });
        }
    }
    let specimens = specimen::facts(around.shelf, name, at, around.patient, around.base)?;
    if specimens != around.specimens {
        facts.extend(specimens);
    }
    if let Some(device) = one.get("device") {
        let words = text(device, "display", &format!("{at}.device"))?;
        facts.extend(words.map(|words| Fact { label: "Device", told: vec![Told::Words(Said::plain(words))] }));
    }
    let performers = displays(one, "performer", at)?;
    let others: Vec<_> = performers.into_iter().filter(|name| !around.performers.contains(name)).collect();
    if !others.is_empty() {
        let told = others.into_iter().map(|name| Told::Words(Said::plain(name))).collect();
        facts.push(Fact { label: "Performed by", told });
    }
    facts.extend(notes(one, at, language)?);
    Ok(facts)
}

/// The names in the references `element`, where they are written there.
pub(super) fn displays(holder: &Value, element: &str, at: &str) -> Result<Vec<String>, Unfaithful> {
    let read = |(step, one): (String, &Value)| {
        text(one, "display", &format!("{at}.{step}")).map(|name| name.map(str::to_owned))
    };
    let names = items(holder, element).into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(names.into_iter().flatten().collect())
}

/// `note`: who said it and when stand behind it.
pub(super) fn notes(holder: &Value, at: &str, language: Option<&str>) -> Result<Vec<Fact>, Unfaithful> {
    let mut facts = Vec::new();
    for (at, note) in list(holder, "note", at)? {
        account(note, &at, &ANNOTATION)?;
        let words = text(note, "text", &at)?.ok_or_else(|| Unfaithful::at(&at, "has no text"))?;
        let words = Said { text: words.to_owned(), language: language.map(str::to_owned) };
        let mut told = vec![Told::Words(words)];
        let author = match note.get("authorReference") {
            Some(author) => text(author, "display", &format!("{at}.authorReference"))?,
            None => text(note, "authorString", &at)?,
        };
        told.extend(author.map(|author| Told::Words(Said::plain(author))));
        if let Some(time) = note.get("time") {
            told.push(Told::Time(value::time(time, &format!("{at}.time"))?));
        }
        facts.push(Fact { label: "Note", told });
    }
    Ok(facts)
}
