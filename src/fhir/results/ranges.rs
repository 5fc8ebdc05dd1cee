//! Reference ranges, one a line.

use serde_json::Value;

use super::concept;
use super::strict::{Members, Unfaithful, account, list, text};
use super::value::{quantity, sides};
use crate::paper::Said;

const RANGE: Members = Members { shown: &["low", "high", "text"], silent: &["id", "type", "appliesTo", "age"] };
const AGE: Members = Members { shown: &["low", "high"], silent: &["id"] };
/// <https://terminology.hl7.org/CodeSystem-referencerange-meaning.html>
const MEANINGS: &[&str] = &["http://terminology.hl7.org/CodeSystem/referencerange-meaning"];
/// A range of this meaning is what a reader takes any for.
const USUAL: &str = "normal";

/// The ranges of an Observation or a component.
pub(super) fn of(holder: &Value, at: &str, language: Option<&str>) -> Result<Vec<Said>, Unfaithful> {
    list(holder, "referenceRange", at)?.iter().map(|(at, one)| range(one, at, language)).collect()
}

fn range(one: &Value, at: &str, language: Option<&str>) -> Result<Said, Unfaithful> {
    account(one, at, &RANGE)?;
    let own = text(one, "text", at)?;
    let mut told = match (sides(one, at)?, own) {
        (Some(sides), Some(own)) if is_same(&sides, own) => own.to_owned(),
        (Some(sides), Some(own)) => format!("{sides} ({own})"),
        (Some(sides), None) => sides,
        (None, Some(own)) => own.to_owned(),
        (None, None) => return Err(Unfaithful::at(at, "has neither limits nor text")),
    };
    let mut qualities = Vec::new();
    if let Some(kind) = one.get("type") {
        let at = format!("{at}.type");
        let is_usual = concept::codes(kind, MEANINGS).contains(&USUAL);
        if !is_usual {
            qualities.push(concept::some_words(kind, &at, language)?.text);
        }
    }
    for (at, group) in list(one, "appliesTo", at)? {
        qualities.push(concept::some_words(group, &at, language)?.text);
    }
    if let Some(age) = one.get("age") {
        qualities.push(ages(age, &format!("{at}.age"))?);
    }
    if !qualities.is_empty() {
        told = format!("{}: {told}", qualities.join(", "));
    }
    Ok(Said { text: told, language: language.map(str::to_owned) })
}

/// Whether a range's text says what its limits say.
fn is_same(sides: &str, text: &str) -> bool {
    let bare = |text: &str| {
        let kept = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '[' | ']' | '(' | ')'));
        kept.map(|c| if matches!(c, '–' | '—' | '−') { '-' } else { c }).collect::<String>().to_lowercase()
    };
    bare(sides) == bare(text)
}

/// `age 18 – 65 years`.
fn ages(age: &Value, at: &str) -> Result<String, Unfaithful> {
    account(age, at, &AGE)?;
    let side = |name: &str| {
        let read = |side: &Value| {
            let mut quantity = quantity(side, &format!("{at}.{name}"))?;
            quantity.unit = quantity.unit.map(in_words);
            Ok(quantity)
        };
        age.get(name).map(read).transpose()
    };
    match (side("low")?, side("high")?) {
        (Some(low), Some(high)) if low.unit == high.unit => Ok(format!("age {} – {}", low.number(), high.spelled())),
        (Some(low), Some(high)) => Ok(format!("age {} – {}", low.spelled(), high.spelled())),
        (Some(low), None) => Ok(format!("age from {}", low.spelled())),
        (None, Some(high)) => Ok(format!("age up to {}", high.spelled())),
        (None, None) => Err(Unfaithful::at(at, "has neither end")),
    }
}

/// UCUM's codes of time are no words.
fn in_words(unit: String) -> String {
    match unit.as_str() {
        "a" => "years".to_owned(),
        "mo" => "months".to_owned(),
        "wk" => "weeks".to_owned(),
        "d" => "days".to_owned(),
        "h" => "hours".to_owned(),
        "min" => "minutes".to_owned(),
        _ => unit,
    }
}
