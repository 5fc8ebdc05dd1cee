//! Reading codes, references and texts out of a sanitised resource, whichever release wrote it (R4, R4B, R5).
//!
//! Must stay true: nothing here fails. What has another shape than the standard gives it, or says in words alone what a
//! code would say, is a [`Lack`] of the fact that it would have been part of. Paths hold element names and positions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ReportText;
use crate::base::{FhirId, SecretText};
use crate::fhir::service::{ServiceBase, Target};
use crate::policy::Coding;
use crate::policy::codes::canonical;
use crate::policy::facts::{FactPath, Gathered, Lack};

/// Longest code or system that is kept, in bytes. Facts are stored with the delivery.
const CODE_BYTES_MAX: usize = 512;

/// What an element refers to.
#[derive(Clone)]
pub(in crate::fhir) struct Pointer {
    pub at: String,
    /// The type of the resource, where the reference tells it.
    pub kind: Option<String>,
    pub place: Place,
}

#[derive(Clone)]
pub(in crate::fhir) enum Place {
    /// A resource of this server.
    Here(FhirId),
    /// A resource inside the one that refers, by its id there; empty for the one around it.
    Inside(String),
    /// `https://…/Type/id` of another server.
    Away(String),
    Lost(Lack),
}

/// `base.name`, or `name` at the root.
pub(super) fn below(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}.{name}") }
}

/// The repetitions of `name` with the step that leads to each: `name[i]` where it is a list, else `name`.
pub(in crate::fhir) fn items<'a>(holder: &'a Value, name: &str) -> Vec<(String, &'a Value)> {
    match holder.get(name) {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().enumerate().map(|(i, item)| (format!("{name}[{i}]"), item)).collect(),
        Some(one) => vec![(name.to_owned(), one)],
    }
}

/// The text of `name`, if it is text.
pub(in crate::fhir) fn word<'a>(holder: &'a Value, name: &str) -> Option<&'a str> {
    holder.get(name).and_then(Value::as_str)
}

/// Adds the codings of all repetitions of `name`, systems in canonical form. Takes a `CodeableConcept`, a `Coding` and an
/// R5 `CodeableReference`.
pub(super) fn concepts(holder: &Value, name: &str, at: &str, into: &mut Gathered<Coding>) {
    let at = FactPath(below(at, name));
    for (_, one) in items(holder, name) {
        concept(one, &at, into);
    }
}

/// Adds the codings of one concept.
pub(super) fn concept(one: &Value, at: &FactPath, into: &mut Gathered<Coding>) {
    if let Some(inner) = one.get("concept") {
        return concept(inner, at, into);
    }
    let codings = match one.get("coding") {
        Some(Value::Array(list)) => list.as_slice(),
        None if one.get("code").is_some() => std::slice::from_ref(one),
        Some(_) | None => &[],
    };
    let mut has_code = false;
    for coding in codings {
        match read_coding(coding) {
            Ok(Some(coding)) => {
                has_code = true;
                into.add(coding, at.clone());
            }
            Ok(None) => {}
            Err(why) => {
                into.lacking.insert(why);
            }
        }
    }
    if !has_code {
        into.lacking.insert(why_no_code(one, codings));
    }
}

fn why_no_code(one: &Value, codings: &[Value]) -> Lack {
    let has_words = |value: &Value| word(value, "text").is_some() || word(value, "display").is_some();
    if has_words(one) || codings.iter().any(has_words) {
        Lack::Elsewhere
    } else if one.get("reference").is_some() {
        Lack::TooMany
    } else {
        Lack::Unreadable
    }
}

fn read_coding(coding: &Value) -> Result<Option<Coding>, Lack> {
    let text = |name: &str| match coding.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= CODE_BYTES_MAX => Ok(Some(text.clone())),
        Some(_) => Err(Lack::Unreadable),
    };
    if !coding.is_object() {
        return Err(Lack::Unreadable);
    }
    let (system, Some(code)) = (text("system")?, text("code")?) else { return Ok(None) };
    let coding = Coding { system, code };
    Ok(Some(canonical(&coding).unwrap_or(coding)))
}

/// What all repetitions of `name` refer to.
pub(in crate::fhir) fn pointers(holder: &Value, name: &str, at: &str, base: &ServiceBase) -> Vec<Pointer> {
    let read = |(step, reference): (String, &Value)| pointer(below(at, &step), reference, base);
    items(holder, name).into_iter().map(read).collect()
}

fn pointer(at: String, reference: &Value, base: &ServiceBase) -> Pointer {
    let mut kind = word(reference, "type").map(str::to_owned);
    let place = match reference.get("reference") {
        Some(Value::String(literal)) => match base.target(literal) {
            Target::Here { kind: named, id } => {
                kind = Some(named.to_owned());
                Place::Here(id)
            }
            Target::Contained => Place::Inside(literal.trim_start_matches('#').to_owned()),
            Target::Elsewhere => match type_in_address(literal) {
                Some(named) => {
                    kind = Some(named.to_owned());
                    Place::Away(literal.clone())
                }
                None => Place::Lost(Lack::Elsewhere),
            },
            Target::Unclear => Place::Lost(Lack::Unreadable),
        },
        None if reference.get("identifier").is_some() || word(reference, "display").is_some() => {
            Place::Lost(Lack::Elsewhere)
        }
        Some(_) | None => Place::Lost(Lack::Unreadable),
    };
    Pointer { at, kind, place }
}

/// The type in `http(s)://…/Type/id`, where the address ends so and carries nothing else.
fn type_in_address(literal: &str) -> Option<&str> {
    let is_plain = (literal.starts_with("http://") || literal.starts_with("https://"))
        && literal.len() <= CODE_BYTES_MAX
        && !literal.contains(['?', '#', '@']);
    let mut parts = literal.rsplit('/');
    let (id, kind) = (parts.next()?, parts.next()?);
    let is_type = kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|b| b.is_ascii_alphabetic());
    (is_plain && is_type && FhirId::parse(id).is_ok()).then_some(kind)
}

/// Texts in the order in which they were met; what is no text where one should be is lacking.
pub(super) struct Texts<'a> {
    pub language: Option<&'a str>,
    pub into: &'a mut Vec<ReportText>,
    pub lacking: &'a mut BTreeSet<Lack>,
}

impl Texts<'_> {
    /// `name` itself.
    pub(super) fn plain(&mut self, holder: &Value, name: &str, at: &str) {
        self.text_of(holder, name, at, self.language);
    }

    /// `text` and the displays of the concepts `name`.
    pub(super) fn of_concepts(&mut self, holder: &Value, name: &str, at: &str) {
        for (step, one) in items(holder, name) {
            let at = below(at, &step);
            let one = one.get("concept").unwrap_or(one);
            self.plain(one, "text", &at);
            if one.get("coding").is_some_and(|codings| !codings.is_array()) {
                self.lacking.insert(Lack::Unreadable);
            }
            for (step, coding) in items(one, "coding") {
                self.plain(coding, "display", &below(&at, &step));
            }
        }
    }

    /// The title of the attachment `form`, in its own language where it says one.
    pub(super) fn title(&mut self, form: &Value, at: &str) {
        self.text_of(form, "title", at, word(form, "language").or(self.language));
    }

    fn text_of(&mut self, holder: &Value, name: &str, at: &str, language: Option<&str>) {
        match (holder, holder.get(name)) {
            (_, Some(Value::String(text))) => self.into.push(ReportText {
                at: FactPath(below(at, name)),
                language: language.map(str::to_owned),
                text: SecretText::new(text.clone()),
            }),
            (Value::Object(_), None) => {}
            (_, Some(_) | None) => {
                self.lacking.insert(Lack::Unreadable);
            }
        }
    }
}
