//! From a JSON value to the few elements we use, each of the shape the standard gives it.
//!
//! Must stay true: what comes out holds no null, no empty array, object or string, no element that the
//! schema does not name, `resourceType` first, arrays exactly where FHIR has them. Errors never repeat a value.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::dates;
use super::error::Malformed;
use crate::base::{FhirId, UtcMillis, VersionId};

/// At most so many unknown modifiers are named.
const MODIFIERS_NAMED_MAX: usize = 8;
/// Longest extension URL that is repeated to staff, in bytes.
const MODIFIER_URL_BYTES_MAX: usize = 200;

pub(super) struct Schema {
    pub kind: &'static str,
    pub fields: &'static [Field],
}

pub(super) struct Field {
    name: &'static str,
    count: Count,
    kind: Kind,
}

enum Count {
    Optional,
    Required,
    Many,
}

/// What a value must look like (<https://hl7.org/fhir/R4/datatypes.html>).
pub(super) enum Kind {
    Text,
    Id,
    VersionId,
    Instant,
    DateTime,
    Base64,
    /// Standard base64 of this many bytes.
    Digest(usize),
    /// `0 ..= 2_147_483_647`.
    UnsignedInt,
    /// `1 ..= 2_147_483_647`.
    PositiveInt,
    Boolean,
    Group(&'static [Field]),
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, count: Count::Optional, kind }
}
pub(super) const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, count: Count::Required, kind }
}
pub(super) const fn many(name: &'static str, kind: Kind) -> Field {
    Field { name, count: Count::Many, kind }
}

/// Where in a resource something stands; words are made of it only when something is to be said about it.
#[derive(Clone, Copy)]
enum Path<'a> {
    Resource(&'a str),
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(kind) => f.write_str(kind),
            Self::Member(of, name) => write!(f, "{of}.{name}"),
            Self::Item(of, i) => write!(f, "{of}[{i}]"),
        }
    }
}

/// Removes nulls and everything empty, from the inside out.
pub(super) fn sanitise(value: &mut Value) {
    match value {
        Value::Object(members) => members.retain(|_, member| keep(member)),
        Value::Array(items) => items.retain_mut(keep),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keep(value: &mut Value) -> bool {
    sanitise(value);
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Every `modifierExtension` and `implicitRules` of a sanitised resource, outside `contained`, with the path of the
/// elements that the schema names: any other member's name may be anything, also a patient's.
pub(super) fn unknown_modifiers(value: &Value, schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    collect_modifiers(value, schema.fields, Path::Resource(schema.kind), &mut found);
    found
}

fn collect_modifiers(value: &Value, fields: &'static [Field], path: Path<'_>, found: &mut Vec<String>) {
    if found.len() >= MODIFIERS_NAMED_MAX {
        return;
    }
    if let Value::Array(items) = value {
        for item in items {
            collect_modifiers(item, fields, path, found);
        }
    }
    let Value::Object(members) = value else { return };
    for (name, member) in members {
        match name.as_str() {
            "contained" => {}
            "implicitRules" => found.push(format!("{path}.implicitRules")),
            "modifierExtension" => match member {
                Value::Array(items) => found.extend(items.iter().map(|item| modifier_name(path, item))),
                Value::Object(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
                    found.push(modifier_name(path, member));
                }
            },
            name => match fields.iter().find(|field| field.name == name) {
                Some(Field { kind: Kind::Group(inner), .. }) => {
                    collect_modifiers(member, inner, Path::Member(&path, name), found);
                }
                Some(_) => collect_modifiers(member, &[], Path::Member(&path, name), found),
                None => collect_modifiers(member, &[], path, found),
            },
        }
    }
    found.truncate(MODIFIERS_NAMED_MAX);
}

/// The path, and the extension's canonical URL when it is one that names a definition and no number.
fn modifier_name(path: Path<'_>, extension: &Value) -> String {
    let url = extension.get("url").and_then(Value::as_str).unwrap_or_default();
    let plain = url.len() <= MODIFIER_URL_BYTES_MAX
        && url.starts_with("http")
        && url.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b));
    let definition = url.split_once("/StructureDefinition/").map(|(_, name)| name);
    let names_a_definition = definition.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'));
    if plain && names_a_definition {
        format!("{path}.modifierExtension({url})")
    } else {
        format!("{path}.modifierExtension")
    }
}

/// Cuts a sanitised resource down to `schema`.
pub(super) fn project(value: Value, schema: &Schema) -> Result<Value, Malformed> {
    let mut members = Map::new();
    members.insert("resourceType".to_owned(), Value::String(schema.kind.to_owned()));
    let Value::Object(rest) = group(value, schema.fields, Path::Resource(schema.kind))? else {
        return Err(Malformed::new(schema.kind, "is not an object"));
    };
    members.extend(rest);
    Ok(Value::Object(members))
}

fn group(value: Value, fields: &'static [Field], path: Path<'_>) -> Result<Value, Malformed> {
    let Value::Object(mut from) = value else {
        return Err(Malformed::new(path.to_string(), "is not an object"));
    };
    let mut to = Map::new();
    for field in fields {
        let path = Path::Member(&path, field.name);
        let Some(value) = from.remove(field.name) else {
            match field.count {
                Count::Required => return Err(Malformed::new(path.to_string(), "is missing")),
                Count::Optional | Count::Many => continue,
            }
        };
        let value = match field.count {
            Count::Many => list(value, &field.kind, path)?,
            Count::Optional | Count::Required => one(value, &field.kind, path)?,
        };
        if !is_empty(&value) {
            to.insert(field.name.to_owned(), value);
        }
    }
    Ok(Value::Object(to))
}

fn list(value: Value, kind: &Kind, path: Path<'_>) -> Result<Value, Malformed> {
    let Value::Array(items) = value else {
        return Err(Malformed::new(path.to_string(), "is not a list"));
    };
    let mut kept = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        let item = one(item, kind, Path::Item(&path, i))?;
        if !is_empty(&item) {
            kept.push(item);
        }
    }
    Ok(Value::Array(kept))
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn one(value: Value, kind: &Kind, path: Path<'_>) -> Result<Value, Malformed> {
    let fault = match kind {
        Kind::Group(fields) => return group(value, fields, path),
        Kind::Boolean if value.is_boolean() => None,
        Kind::Boolean => Some("is not true or false"),
        Kind::UnsignedInt | Kind::PositiveInt => {
            let least = u64::from(matches!(kind, Kind::PositiveInt));
            let most = u64::from(i32::MAX.unsigned_abs());
            match value.as_u64() {
                Some(number) if (least..=most).contains(&number) => None,
                Some(_) => Some("is out of range"),
                None => Some("is not a whole number"),
            }
        }
        Kind::Text | Kind::Id | Kind::VersionId | Kind::Instant | Kind::DateTime | Kind::Base64 | Kind::Digest(_) => {
            match value.as_str() {
                Some(text) => text_fault(text, kind),
                None => Some("is not text"),
            }
        }
    };
    match fault {
        Some(why) => Err(Malformed::new(path.to_string(), why)),
        None => Ok(value),
    }
}

fn text_fault(text: &str, kind: &Kind) -> Option<&'static str> {
    let (holds, why) = match kind {
        Kind::Text | Kind::UnsignedInt | Kind::PositiveInt | Kind::Boolean | Kind::Group(_) => (true, ""),
        Kind::Id => (FhirId::parse(text).is_ok(), "is not a FHIR id"),
        Kind::VersionId => (VersionId::parse(text).is_ok(), "is not a version id"),
        Kind::Instant => (UtcMillis::parse_rfc3339(text).is_some(), "is not an instant with a time zone"),
        Kind::DateTime => (dates::span(text).is_some(), "is not a date or time"),
        // The full decoding comes with the content hash; here only the alphabet is looked at.
        Kind::Base64 => {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b) || b.is_ascii_whitespace();
            (text.bytes().all(fits), "is not base64")
        }
        Kind::Digest(bytes) => (
            STANDARD.decode(text.trim()).is_ok_and(|digest| digest.len() == *bytes),
            "is not a digest of the right length",
        ),
    };
    if holds { None } else { Some(why) }
}
