//! How the laboratory judges a result, in words.
//!
//! Must stay true: only a code of HL7's own table is put into words of ours; what the laboratory says besides is never left out.

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

/// What means the same in every laboratory, though no system or a text alone says it. "R" is resistant here and reactive there, "ND"
/// not detected or not done.
const PLAIN_EVERYWHERE: &[&str] = &["H", "HH", "L", "LL", "POS", "NEG"];

/// The flags of an Observation or a component.
pub(super) fn of(holder: &Value, at: &str, language: Option<&str>) -> Result<Vec<Flag>, Unfaithful> {
    list(holder, "interpretation", at)?.iter().map(|(at, one)| flag(one, at, language)).collect()
}

fn flag(one: &Value, at: &str, language: Option<&str>) -> Result<Flag, Unfaithful> {
    let own = concept::words(one, at, language)?;
    let text = one.get("text").and_then(Value::as_str).map(str::trim);
    let tabled = concept::codes_of(one, SYSTEMS);
    let plain = concept::codes_of_no_system(one).into_iter().chain(text).filter(|code| PLAIN_EVERYWHERE.contains(code));
    let codes: Vec<_> = tabled.into_iter().chain(plain).collect();
    let known: Vec<_> = codes.iter().filter_map(|code| of_code(code)).collect();
    let Some(own) = own else {
        let (words, weight) = known.first().ok_or_else(|| Unfaithful::at(at, "has no words, only a code"))?;
        return Ok(Flag { words: Said::plain(*words), weight: *weight });
    };
    let is_marked = known.is_empty() || known.iter().any(|(_, weight)| *weight == Weight::Marked);
    let mut said: Vec<&str> = known.iter().map(|(words, _)| *words).collect();
    for words in [own.text.as_str()].into_iter().chain(concept::displays(one)) {
        if !codes.iter().any(|code| code.eq_ignore_ascii_case(words)) {
            said.push(words);
        }
    }
    let mut different: Vec<&str> = Vec::new();
    for words in said {
        if !different.iter().any(|other| other.eq_ignore_ascii_case(words)) {
            different.push(words);
        }
    }
    let words = match different.split_first() {
        Some((first, [])) => (*first).to_owned(),
        Some((first, more)) => format!("{first} ({})", more.join("; ")),
        None => own.text,
    };
    // Words of ours are English, whatever language the EHR's are in.
    let language = if known.is_empty() { own.language } else { None };
    Ok(Flag { words: Said { text: words, language }, weight: if is_marked { Weight::Marked } else { Weight::Plain } })
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
