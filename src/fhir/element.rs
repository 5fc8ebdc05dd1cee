//! Reading the members of an element, whichever of fhirbolt's forms they have.

use fhirbolt::element::{Primitive, Value};

use super::gate::R4Element;
use crate::policy::Coding;

/// The group `name`.
pub(super) fn group<'a>(element: &'a R4Element, name: &str) -> Option<&'a R4Element> {
    match element.get(name)? {
        Value::Element(group) => Some(group),
        Value::Sequence(items) => items.first(),
        Value::Primitive(_) => None,
    }
}

/// All repetitions of `name`.
pub(super) fn all<'a>(element: &'a R4Element, name: &str) -> &'a [R4Element] {
    match element.get(name) {
        Some(Value::Sequence(items)) => items,
        Some(Value::Element(one)) => std::slice::from_ref(one),
        Some(Value::Primitive(_)) | None => &[],
    }
}

pub(super) fn text<'a>(element: &'a R4Element, name: &str) -> Option<&'a str> {
    match primitive(element, name)? {
        Primitive::String(text) | Primitive::Decimal(text) => Some(text),
        Primitive::Bool(_) | Primitive::Integer(_) | Primitive::Integer64(_) => None,
    }
}

pub(super) fn boolean(element: &R4Element, name: &str) -> Option<bool> {
    match primitive(element, name)? {
        Primitive::Bool(held) => Some(*held),
        Primitive::String(_) | Primitive::Decimal(_) | Primitive::Integer(_) | Primitive::Integer64(_) => None,
    }
}

pub(super) fn unsigned(element: &R4Element, name: &str) -> Option<u32> {
    match primitive(element, name)? {
        Primitive::Integer(number) => u32::try_from(*number).ok(),
        Primitive::Integer64(number) => u32::try_from(*number).ok(),
        Primitive::Bool(_) | Primitive::String(_) | Primitive::Decimal(_) => None,
    }
}

/// Moves the text of `name` out of the element.
pub(super) fn take_text(element: &mut R4Element, name: &str) -> Option<String> {
    let value = match element.shift_remove(name)? {
        Value::Element(mut wrapped) => wrapped.shift_remove("value")?,
        value @ (Value::Primitive(_) | Value::Sequence(_)) => value,
    };
    match value {
        Value::Primitive(Primitive::String(text)) => Some(text),
        Value::Primitive(_) | Value::Element(_) | Value::Sequence(_) => None,
    }
}

/// The codings of the concepts `name`, in order, without those that carry no code.
pub(super) fn codings(element: &R4Element, name: &str) -> Vec<Coding> {
    all(element, name).iter().flat_map(|concept| all(concept, "coding")).filter_map(coding).collect()
}

pub(super) fn coding(coding: &R4Element) -> Option<Coding> {
    let code = text(coding, "code")?.to_owned();
    Some(Coding { system: text(coding, "system").map(str::to_owned), code })
}

fn primitive<'a>(element: &'a R4Element, name: &str) -> Option<&'a Primitive> {
    match element.get(name)? {
        Value::Primitive(primitive) => Some(primitive),
        Value::Element(wrapped) => match wrapped.get("value")? {
            Value::Primitive(primitive) => Some(primitive),
            Value::Element(_) | Value::Sequence(_) => None,
        },
        Value::Sequence(_) => None,
    }
}
