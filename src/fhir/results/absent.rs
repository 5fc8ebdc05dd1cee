//! Why a value is not there, in words.

use serde_json::Value;

use super::concept;
use super::strict::Unfaithful;
use crate::paper::Said;

/// <https://terminology.hl7.org/CodeSystem-data-absent-reason.html> and its older spelling.
const SYSTEMS: &[&str] =
    &["http://terminology.hl7.org/CodeSystem/data-absent-reason", "http://hl7.org/fhir/data-absent-reason"];

pub(super) fn words(reason: &Value, at: &str, language: Option<&str>) -> Result<Said, Unfaithful> {
    let own = concept::words(reason, at, language)?;
    let mut ours = None;
    for code in concept::codes(reason, SYSTEMS) {
        match of_code(code) {
            Ok(Some(words)) => ours = ours.or(Some(words)),
            Ok(None) => {}
            Err(why) => return Err(Unfaithful::at(at, why)),
        }
    }
    // A sender's own text tells more than the code's.
    let text = reason.get("text").is_some();
    match (own, ours) {
        (Some(own), _) if text => Ok(own),
        (_, Some(ours)) => Ok(Said::plain(ours)),
        (Some(own), None) => Ok(own),
        (None, None) => Err(Unfaithful::at(at, "has no words, only a code")),
    }
}

/// `Err`: the value is somewhere else, or kept back.
fn of_code(code: &str) -> Result<Option<&'static str>, &'static str> {
    Ok(Some(match code {
        "unknown" => "No value: unknown",
        "asked-unknown" => "No value: asked, but not known",
        "temp-unknown" => "No value yet",
        "not-asked" => "No value: not asked",
        "asked-declined" => "No value: asked, but declined",
        "not-applicable" => "Not applicable",
        "unsupported" => "No value: not supported by the source",
        "error" => "No value: an error occurred",
        "not-a-number" => "No value: the calculation has no result",
        "negative-infinity" => "Below what can be measured",
        "positive-infinity" => "Above what can be measured",
        "not-performed" => "Not performed",
        "masked" => return Err("says that the value is kept back"),
        "as-text" => return Err("says that the value stands in the narrative, which is not shown"),
        "not-permitted" => return Err("says that the value may not be shown"),
        _ => return Ok(None),
    }))
}
