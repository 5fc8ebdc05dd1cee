//! Coded things in words.
//!
//! Must stay true: a code without words is never shown as if it were words, and never left out.

use serde_json::Value;

use super::strict::{Members, Unfaithful, account, list, text};
use crate::fhir::gather::word;
use crate::paper::Said;

const CONCEPT: Members = Members { shown: &[], silent: &["id", "extension", "coding", "text"] };
const CODING: Members =
    Members { shown: &[], silent: &["id", "extension", "system", "version", "code", "display", "userSelected"] };

/// `value` in its own words: its text, else the display that a person chose, else the first. `None`: there are none.
pub(super) fn words(value: &Value, at: &str, language: Option<&str>) -> Result<Option<Said>, Unfaithful> {
    account(value, at, &CONCEPT)?;
    let said = |text: &str| Said { text: text.to_owned(), language: language.map(str::to_owned) };
    let mut display = None;
    for (at, coding) in list(value, "coding", at)? {
        account(coding, &at, &CODING)?;
        let Some(words) = text(coding, "display", &at)? else { continue };
        let is_chosen = coding.get("userSelected") == Some(&Value::Bool(true));
        if display.is_none() || is_chosen {
            display = Some(words);
        }
    }
    Ok(text(value, "text", at)?.or(display).map(said))
}

/// [`words`], which must be there.
pub(super) fn some_words(value: &Value, at: &str, language: Option<&str>) -> Result<Said, Unfaithful> {
    words(value, at, language)?.ok_or_else(|| Unfaithful::at(at, "has no words, only a code"))
}

/// The codes of `value` under `systems`, or under none.
pub(super) fn codes<'a>(value: &'a Value, systems: &[&str]) -> Vec<&'a str> {
    [codes_of(value, systems), codes_of_no_system(value)].concat()
}

/// The codes of `value` under `systems`.
pub(super) fn codes_of<'a>(value: &'a Value, systems: &[&str]) -> Vec<&'a str> {
    let is_known = |coding: &&Value| word(coding, "system").is_some_and(|system| systems.contains(&system));
    codings(value).filter(is_known).filter_map(|coding| word(coding, "code")).collect()
}

/// The codes of `value` that belong to no system.
pub(super) fn codes_of_no_system(value: &Value) -> Vec<&str> {
    let is_alone = |coding: &&Value| coding.get("system").is_none();
    codings(value).filter(is_alone).filter_map(|coding| word(coding, "code")).collect()
}

/// What its codings say, one by one.
pub(super) fn displays(value: &Value) -> impl Iterator<Item = &str> {
    codings(value).filter_map(|coding| word(coding, "display"))
}

fn codings(value: &Value) -> impl Iterator<Item = &Value> {
    value.get("coding").and_then(Value::as_array).into_iter().flatten()
}
