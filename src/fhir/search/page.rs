//! One page of a search or a history, read leniently: one strange entry does not hide the others.

use serde_json::Value;

use crate::base::{FhirId, ResourceType, UtcMillis, VersionId};
use crate::fhir::error::Malformed;
use crate::fhir::gate::parse_json;
use crate::fhir::hook::Heard;
use crate::fhir::service::split_reference;

pub(super) struct Page {
    pub(super) next: Option<String>,
    pub(super) incomplete: Option<&'static str>,
    /// How many there are on all pages, where the server says so.
    pub(super) total: Option<u64>,
    pub(super) entries: Vec<Found>,
}

pub(super) struct Found {
    pub(super) heard: Heard,
    pub(super) last_updated: Option<UtcMillis>,
    pub(super) how: Change,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Written,
    Deleted,
}

/// Reads a searchset.
pub(super) fn read_page(kind: ResourceType, body: &[u8]) -> Result<Page, Malformed> {
    let (bundle, mut page) = begin(body)?;
    page.total = bundle.get("total").and_then(Value::as_u64);
    for entry in list(&bundle, "entry")? {
        let resource = entry.get("resource");
        let entry_kind = resource.and_then(|resource| resource.get("resourceType")).and_then(Value::as_str);
        let mode = entry.pointer("/search/mode").and_then(Value::as_str);
        if mode == Some("outcome") || entry_kind == Some("OperationOutcome") {
            if resource.is_none_or(limits_the_result) {
                page.incomplete = Some("the server says that its answer is not complete");
            }
        } else if entry_kind == Some(kind.as_str()) {
            match resource.and_then(|resource| found(kind, resource)) {
                Some(found) => page.entries.push(found),
                None => page.incomplete = Some("an entry of the answer has no usable id"),
            }
        } else if entry_kind.is_none() {
            page.incomplete = Some("an entry of the answer has no resource");
        }
    }
    Ok(page)
}

/// Reads a history of one type (<https://hl7.org/fhir/R4/http.html#history>): what was deleted has no resource.
pub(super) fn read_history(kind: ResourceType, body: &[u8]) -> Result<Page, Malformed> {
    let (bundle, mut page) = begin(body)?;
    for entry in list(&bundle, "entry")? {
        let resource = entry.get("resource").filter(|resource| resource.is_object());
        let entry_kind = resource.and_then(|resource| resource.get("resourceType")).and_then(Value::as_str);
        if entry_kind == Some("OperationOutcome") {
            if resource.is_none_or(limits_the_result) {
                page.incomplete = Some("the server says that its answer is not complete");
            }
        } else if is_deleted(entry) {
            match deleted(kind, entry) {
                Some(found) => page.entries.push(found),
                None => page.incomplete = Some("a deleted entry of the history has no usable id"),
            }
        } else if entry_kind == Some(kind.as_str()) {
            match resource.and_then(|resource| found(kind, resource)) {
                Some(found) => page.entries.push(found),
                None => page.incomplete = Some("an entry of the answer has no usable id"),
            }
        } else if entry_kind.is_none() {
            page.incomplete = Some("an entry of the answer has no resource");
        }
    }
    Ok(page)
}

fn begin(body: &[u8]) -> Result<(Value, Page), Malformed> {
    let bundle = parse_json(body)?;
    if bundle.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        return Err(Malformed::new("resourceType", "is not the type that was asked for"));
    }
    let mut page = Page { next: None, incomplete: None, total: None, entries: Vec::new() };
    for link in list(&bundle, "link")? {
        if link.get("relation").and_then(Value::as_str) == Some("next") {
            let next = link.get("url").and_then(Value::as_str);
            page.next = Some(next.ok_or_else(|| Malformed::new("Bundle.link.url", "is missing"))?.to_owned());
        }
    }
    Ok((bundle, page))
}

/// An outcome that only informs about the request takes nothing away from the result
/// (<https://hl7.org/fhir/R4/valueset-issue-severity.html>).
pub(in crate::fhir) fn limits_the_result(outcome: &Value) -> bool {
    let issues = outcome.get("issue").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    issues.is_empty() || issues.iter().any(|issue| issue.get("severity").and_then(Value::as_str) != Some("information"))
}

fn found(kind: ResourceType, resource: &Value) -> Option<Found> {
    let text = |pointer| resource.pointer(pointer).and_then(Value::as_str);
    Some(Found {
        heard: Heard {
            kind,
            id: FhirId::parse(text("/id")?).ok()?,
            version: text("/meta/versionId").and_then(|version| VersionId::parse(version).ok()),
        },
        last_updated: text("/meta/lastUpdated").and_then(UtcMillis::parse_rfc3339),
        how: Change::Written,
    })
}

fn is_deleted(entry: &Value) -> bool {
    let text = |pointer| entry.pointer(pointer).and_then(Value::as_str);
    text("/request/method") == Some("DELETE")
}

fn deleted(kind: ResourceType, entry: &Value) -> Option<Found> {
    let text = |pointer| entry.pointer(pointer).and_then(Value::as_str);
    let named = [text("/request/url"), text("/fullUrl"), text("/response/location")];
    let id = named.into_iter().flatten().find_map(|url| id_in(kind, url))?;
    Some(Found {
        heard: Heard { kind, id, version: None },
        last_updated: text("/response/lastModified").and_then(UtcMillis::parse_rfc3339),
        how: Change::Deleted,
    })
}

/// The id in `Type/id`, `Type/id/_history/v`, or an address that ends so.
fn id_in(kind: ResourceType, url: &str) -> Option<FhirId> {
    let at = url.rfind(&format!("{kind}/"))?;
    let (_, id, _) = split_reference(url.get(at..)?)?;
    Some(id)
}

pub(in crate::fhir) fn list<'a>(bundle: &'a Value, name: &str) -> Result<&'a [Value], Malformed> {
    match bundle.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(value) => {
            value.as_array().map(Vec::as_slice).ok_or_else(|| Malformed::new(format!("Bundle.{name}"), "is not a list"))
        }
    }
}
