//! How the laboratory judges a result, in words.

use serde_json::Value;

use super::concept;
use super::strict::{Unfaithful, list};
use crate::paper::{Flag, Said, Weight};

/// The spellings of HL7's table of interpretations.
const SYSTEMS: &[&str] = &[
    "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
    "http://hl7.org/fhir/v3/ObservationInterpretation",
    "urn:oid:2.16.840.1.113883.5.83",
    "http://terminology.hl7.org/CodeSystem/v2-0078",
    "http://hl7.org/fhir/v2/0078",
    "urn:oid:2.16.840.1.113883.12.78",
];

/// The flags of an Observation or a component.
pub(super) fn of(holder: &Value, at: &str, language: Option<&str>) -> Result<Vec<Flag>, Unfaithful> {
    list(holder, "interpretation", at)?.iter().map(|(at, one)| flag(one, at, language)).collect()
}

fn flag(one: &Value, at: &str, language: Option<&str>) -> Result<Flag, Unfaithful> {
    let own = concept::words(one, at, language)?;
    let text = one.get("text").and_then(Value::as_str).map(str::trim);
    let coded = concept::codes(one, SYSTEMS).into_iter().find_map(|code| of_code(code).map(|known| (code, known)));
    // Some write the code alone, as text.
    let coded = coded.or_else(|| text.and_then(|text| of_code(text).map(|known| (text, known))));
    let Some((code, (words, weight))) = coded else {
        let words = own.ok_or_else(|| Unfaithful::at(at, "has no words, only a code"))?;
        return Ok(Flag { words, weight: Weight::Marked });
    };
    let says_more = text.filter(|text| !text.eq_ignore_ascii_case(code) && !text.eq_ignore_ascii_case(words));
    let words = match (says_more, own) {
        (Some(text), Some(own)) => Said { text: format!("{words} ({text})"), language: own.language },
        (Some(_) | None, _) => Said::plain(words),
    };
    Ok(Flag { words, weight })
}

/// <https://terminology.hl7.org/CodeSystem-v3-ObservationInterpretation.html>
fn of_code(code: &str) -> Option<(&'static str, Weight)> {
    use Weight::{Marked, Plain};
    Some(match code {
        "N" => ("Normal", Plain),
        "A" => ("Abnormal", Marked),
        "AA" => ("Critically abnormal", Marked),
        "H" => ("High", Marked),
        "HH" => ("Critically high", Marked),
        "HU" | "H>" => ("Significantly high", Marked),
        "L" => ("Low", Marked),
        "LL" => ("Critically low", Marked),
        "LU" | "L<" => ("Significantly low", Marked),
        "HX" => ("Above the high threshold", Marked),
        "LX" => ("Below the low threshold", Marked),
        "EX" => ("Outside the threshold", Marked),
        "<" => ("Below what can be measured", Marked),
        ">" => ("Above what can be measured", Marked),
        "POS" => ("Positive", Marked),
        "NEG" => ("Negative", Plain),
        "IND" => ("Indeterminate", Marked),
        "E" => ("Equivocal", Marked),
        "DET" => ("Detected", Marked),
        "ND" => ("Not detected", Plain),
        "RR" => ("Reactive", Marked),
        "WR" => ("Weakly reactive", Marked),
        "NR" => ("Non-reactive", Plain),
        "EXP" => ("Expected", Plain),
        "UNE" => ("Unexpected", Marked),
        "S" => ("Susceptible", Plain),
        "SDD" => ("Susceptible, dose dependent", Marked),
        "I" => ("Intermediate", Marked),
        "R" => ("Resistant", Marked),
        "NS" => ("Not susceptible", Marked),
        "SYN-S" => ("Synergy, susceptible", Plain),
        "SYN-R" => ("Synergy, resistant", Marked),
        "B" => ("Better", Plain),
        "W" => ("Worse", Marked),
        "U" => ("Significant change up", Marked),
        "D" => ("Significant change down", Marked),
        "TOX" => ("Cytotoxic substance present", Marked),
        "CAR" => ("Carrier", Marked),
        _ => return None,
    })
}
