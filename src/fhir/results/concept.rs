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
    let Some(Value::Array(codings)) = value.get("coding") else { return Vec::new() };
    let is_known = |coding: &&Value| word(coding, "system").is_none_or(|system| systems.contains(&system));
    codings.iter().filter(is_known).filter_map(|coding| word(coding, "code")).collect()
}
