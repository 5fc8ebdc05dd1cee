//! Mutations of JSON at its nodes: what bytes flipped at random hardly ever reach.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// One in so many mutations is of bytes after all.
const BYTES_ONE_IN: usize = 8;
/// Edits of one mutation.
const EDITS_MAX: usize = 3;

/// Words that FHIR and our reader of it know.
const WORDS: [&str; 44] = [
    "final",
    "amended",
    "corrected",
    "appended",
    "cancelled",
    "entered-in-error",
    "registered",
    "preliminary",
    "unknown",
    "current",
    "superseded",
    "replaces",
    "appends",
    "transforms",
    "signs",
    "DiagnosticReport",
    "DocumentReference",
    "Patient",
    "Bundle",
    "Parameters",
    "SubscriptionStatus",
    "DiagnosticReport/r1",
    "Patient/pat-1",
    "#p",
    "https://ehr.test/fhir/DiagnosticReport/r1/_history/4",
    "DiagnosticReport/DiagnosticReport/r1",
    "https://elsewhere.test/Patient/pat-1",
    "handshake",
    "heartbeat",
    "event-notification",
    "focus",
    "notification-event",
    "application/pdf",
    "QUJD",
    "Q",
    "2026-11-21T09:00:00Z",
    "2026-11",
    "9999-12-31T23:59:60+14:00",
    "email",
    "ana@example.test",
    "old",
    "temp",
    "replaced-by",
    "\u{202e}\u{0}",
];

/// Member names that mean something to the reader.
const NAMES: [&str; 40] = [
    "resourceType",
    "id",
    "meta",
    "versionId",
    "lastUpdated",
    "security",
    "status",
    "docStatus",
    "code",
    "coding",
    "system",
    "display",
    "category",
    "type",
    "subject",
    "reference",
    "identifier",
    "presentedForm",
    "content",
    "attachment",
    "data",
    "url",
    "hash",
    "size",
    "contentType",
    "relatesTo",
    "target",
    "issued",
    "date",
    "telecom",
    "value",
    "use",
    "rank",
    "period",
    "link",
    "active",
    "extension",
    "modifierExtension",
    "entry",
    "_status",
];

/// For `fuzz_mutator!`: edits the JSON in `data[..size]` in place and returns its new size; bytes that are no JSON, or
/// would grow too long, are left to libFuzzer.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed));
    if chance.below(BYTES_ONE_IN) != 0
        && let Ok(mut value) = serde_json::from_slice::<Value>(&data[..size])
    {
        for _ in 0..=chance.below(EDITS_MAX) {
            edit(&mut value, &mut chance);
        }
        let text = value.to_string();
        if text.len() <= max_size {
            data[..text.len()].copy_from_slice(text.as_bytes());
            return text.len();
        }
    }
    fuzzer_mutate(data, size, max_size)
}

fn edit(value: &mut Value, chance: &mut Chance) {
    let donor = nth(value, &mut chance.below(nodes(value))).clone();
    let target = nth(value, &mut chance.below(nodes(value)));
    match (chance.below(4), target) {
        (0, target) => *target = donor,
        (1, Value::Object(members)) => insert(members, donor, chance),
        (2, Value::Object(members)) => {
            let name = members.keys().nth(chance.below(members.len())).cloned();
            name.map(|name| members.remove(&name));
        }
        (1, Value::Array(items)) => items.push(donor),
        (2, Value::Array(items)) if !items.is_empty() => {
            let place = chance.below(items.len());
            items.remove(place);
        }
        (_, target) => *target = odd(chance),
    }
}

fn insert(members: &mut Map<String, Value>, donor: Value, chance: &mut Chance) {
    let name = match chance.below(6) {
        0 => "modifierExtension",
        1 => "zzz",
        _ => chance.one_of(&NAMES),
    };
    let value = if chance.below(2) == 0 { donor } else { odd(chance) };
    members.insert(name.to_owned(), value);
}

fn odd(chance: &mut Chance) -> Value {
    match chance.below(14) {
        0 => json!(null),
        1 => json!([]),
        2 => json!({}),
        3 => json!(""),
        4 => json!([null]),
        5 => json!([[]]),
        6 => json!(true),
        7 => json!(chance.number()),
        8 => json!(-1),
        9 => serde_json::from_str("1e999").unwrap_or(Value::Null),
        10 => json!([*chance.one_of(&WORDS)]),
        11 => json!("x".repeat(chance.below(300))),
        _ => json!(*chance.one_of(&WORDS)),
    }
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(members) => members.values().map(nodes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The `left`th node, counted from the root; the root when there are fewer.
fn nth<'v>(value: &'v mut Value, left: &mut usize) -> &'v mut Value {
    if *left == 0 {
        return value;
    }
    *left -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(members) => members.values_mut().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return value,
    };
    for one in inner {
        let held = nodes(one);
        if *left < held {
            return nth(one, left);
        }
        *left -= held;
    }
    unreachable!("the caller counted the nodes")
}

/// Whether any text inside `value`, names included, contains `part`.
#[must_use]
pub fn mentions(value: &Value, part: &str) -> bool {
    match value {
        Value::String(text) => text.contains(part),
        Value::Array(items) => items.iter().any(|item| mentions(item, part)),
        Value::Object(members) => members.iter().any(|(name, member)| name.contains(part) || mentions(member, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
