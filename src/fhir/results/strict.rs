//! Reading an element of which every member is accounted for.
//!
//! Must stay true: what is not in one of the lists is not passed over; reasons name places, and of elements only those of the
//! standard.

use serde_json::Value;

use crate::fhir::gather::word;

/// Why no faithful document can be made. Holds no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unfaithful(pub(super) String);

impl Unfaithful {
    pub(super) fn at(at: &str, why: &str) -> Self {
        Self(format!("{at} {why}"))
    }
}

/// What an element may hold besides what is asked of it.
pub(super) struct Members {
    /// Is shown.
    pub shown: &'static [&'static str],
    /// Says nothing of the result itself.
    pub silent: &'static [&'static str],
}

/// The longest text that is shown, in bytes.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// The longest language tag.
const LANGUAGE_BYTES_MAX: usize = 35;

/// Accounts for every member of `value`.
pub(super) fn account(value: &Value, at: &str, members: &Members) -> Result<(), Unfaithful> {
    let Value::Object(held) = value else { return Err(Unfaithful::at(at, "is no element")) };
    for name in held.keys() {
        if let Some(of) = name.strip_prefix('_') {
            // The id, the extensions of a primitive: a reason for its absence, another writing of it.
            if members.shown.contains(&of) {
                return Err(Unfaithful(format!("{at}.{of} carries an extension that is not shown")));
            }
            continue;
        }
        match name.as_str() {
            "modifierExtension" | "implicitRules" => {
                return Err(Unfaithful::at(at, "carries an extension that changes its meaning"));
            }
            known if members.shown.contains(&known) || members.silent.contains(&known) => {}
            "extension" => return Err(Unfaithful::at(at, "carries an extension that is not shown")),
            _ => return Err(Unfaithful::at(at, "holds an element that is not shown")),
        }
    }
    Ok(())
}

/// The text of `name`, if there is any.
pub(super) fn text<'a>(holder: &'a Value, name: &str, at: &str) -> Result<Option<&'a str>, Unfaithful> {
    match holder.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => showable(text, &format!("{at}.{name}")).map(Some),
        Some(_) => Err(Unfaithful(format!("{at}.{name} is no text"))),
    }
}

/// The language of a resource, if it is a language tag.
pub(super) fn language(resource: &Value) -> Option<&str> {
    let is_tag = |tag: &&str| {
        tag.len() <= LANGUAGE_BYTES_MAX
            && tag
                .split('-')
                .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    word(resource, "language").filter(is_tag)
}

/// The repetitions of `name`, each with its place.
pub(super) fn list<'a>(holder: &'a Value, name: &str, at: &str) -> Result<Vec<(String, &'a Value)>, Unfaithful> {
    match holder.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            Ok(items.iter().enumerate().map(|(i, item)| (format!("{at}.{name}[{i}]"), item)).collect())
        }
        Some(_) => Err(Unfaithful(format!("{at}.{name} is no list"))),
    }
}

/// `text`, if a reader would see what the sender wrote.
pub(super) fn showable<'a>(text: &'a str, at: &str) -> Result<&'a str, Unfaithful> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unfaithful::at(at, "is longer than Chartseal writes"));
    }
    if text.chars().any(is_strange) {
        return Err(Unfaithful::at(at, "holds characters that cannot be shown"));
    }
    Ok(text)
}

/// Control characters, those that turn the direction of what follows, and those that stand for something lost or private.
pub(in crate::fhir) fn is_strange(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
        || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}

/// The one member of the choice `value[x]` that is there, by its type.
pub(super) fn choice<'a>(
    holder: &'a Value,
    stem: &str,
    at: &str,
) -> Result<Option<(&'a str, &'a Value, String)>, Unfaithful> {
    let Value::Object(members) = holder else { return Ok(None) };
    let mut found = None;
    for (name, value) in members {
        let Some(kind) = name.strip_prefix(stem).filter(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
        else {
            continue;
        };
        if found.is_some() {
            return Err(Unfaithful(format!("{at}.{stem}[x] is there more than once")));
        }
        found = Some((kind, value, format!("{at}.{stem}[x]")));
    }
    Ok(found)
}
