//! The gate: the one way from wire bytes to a FHIR element.
//!
//! Must stay true: `fhirbolt` 0.4 panics on an empty array and, in its lax mode, loops for ever on an unknown
//! one; it is given only what `project` has cleaned, checked and cut down to the elements we use,
//! in strict mode, through this one call.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fhirbolt::FhirReleases;
use fhirbolt::element::Element;
use fhirbolt::serde::{DeserializationConfig, DeserializationMode};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::Malformed;
use super::project::{Schema, project, sanitise, unknown_modifiers};

pub(super) type R4Element = Element<{ FhirReleases::R4 }>;

/// A resource of the type asked for, cut down to its schema. Patient data: no `Debug`.
pub(super) struct Admitted {
    pub element: R4Element,
    /// Elements that change the meaning of the resource and that Chartseal does not know.
    pub unknown_modifiers: Vec<String>,
}

/// JSON from the wire: complete, at most 128 deep, no member named twice, an object.
pub(super) fn parse_json(body: &[u8]) -> Result<Value, Malformed> {
    let not_json = || Malformed::new("body", "is not one complete JSON object");
    match serde_json::from_slice(body) {
        Ok(NoTwins(value @ Value::Object(_))) => Ok(value),
        Err(error) if error.is_data() && error.to_string().starts_with(TWICE) => {
            Err(Malformed::new("body", "names a member twice"))
        }
        Ok(_) | Err(_) => Err(not_json()),
    }
}

/// Reads `body`, already bounded in size where it was received, as the resource type of `schema`.
pub(super) fn admit(body: &[u8], schema: &Schema) -> Result<Admitted, Malformed> {
    let mut value = parse_json(body)?;
    sanitise(&mut value);
    admit_value(value, schema)
}

/// Reads a sanitised `value` as the resource type of `schema`.
pub(super) fn admit_value(value: Value, schema: &Schema) -> Result<Admitted, Malformed> {
    if value.get("resourceType").and_then(Value::as_str) != Some(schema.kind) {
        return Err(Malformed::new("resourceType", "is not the type that was asked for"));
    }
    let unknown_modifiers = unknown_modifiers(&value, schema);
    let projected = project(value, schema)?;
    let config = DeserializationConfig { mode: DeserializationMode::Strict };
    let read = || fhirbolt::json::from_json_value::<R4Element>(projected, Some(config));
    let element = catch_unwind(AssertUnwindSafe(read))
        .map_err(|_| Malformed::new(schema.kind, "could not be understood"))?
        .map_err(|_| Malformed::new(schema.kind, "is not valid FHIR R4"))?;
    Ok(Admitted { element, unknown_modifiers })
}

/// Any JSON, as long as no object holds the same member twice: [`Value`] alone would keep the last of two, and the other
/// half might have said "entered-in-error".
struct NoTwins(Value);

/// What it says of such a member.
const TWICE: &str = "a member twice";

/// By what `serde_json`'s arbitrary precision shows a number: as a map with this one member.
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> Deserialize<'de> for NoTwins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoTwinsVisitor).map(NoTwins)
    }
}

struct NoTwinsVisitor;

impl<'de> Visitor<'de> for NoTwinsVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, held: bool) -> Result<Value, E> {
        Ok(Value::Bool(held))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(NoTwins(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let NoTwins(member) = members.next_value()?;
            if name == NUMBER {
                return number(&member).ok_or_else(|| A::Error::custom("no number"));
            }
            if map.insert(name, member).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Object(map))
    }
}

fn number(member: &Value) -> Option<Value> {
    member.as_str()?.parse().ok().map(Value::Number)
}
