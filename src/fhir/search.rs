//! Asking what changed in a stretch of time, page by page.
//!
//! Must stay true: the server's filter, order and links are not trusted: what it returns is judged again here,
//! a page link is followed only to the EHR's own origin, a walk always ends, and one that is not complete says so.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::client::{EhrClient, Fetched};
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::hook::Heard;
use super::transport;
use crate::base::{FhirId, ResourceType, UtcMillis, VersionId, minutes, seconds};

/// A transaction may commit this long after the `lastUpdated` it carries.
pub const SEARCH_COMMIT_LAG: Duration = minutes(2);
/// How far the server's `Date` may be from the clock that stamps `lastUpdated`. A watermark stays behind the
/// server's `Date` by both.
pub const SEARCH_CLOCK_DRIFT: Duration = seconds(2);

/// `since <= lastUpdated < until`, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub since: UtcMillis,
    pub until: UtcMillis,
}

pub enum SearchAnswer {
    Walked(Changes),
    /// The server forgot its page links (404 or 410): search the same window again.
    RestartWindow,
    /// More than `found_max` resources or `pages_max` pages: search a shorter window.
    WindowTooLarge,
}

pub struct Changes {
    pub heard: Vec<Heard>,
    pub completeness: Completeness,
    /// Resources whose `lastUpdated` lies outside the window although the server was asked for it; they are
    /// in `heard` too.
    pub outside_window: usize,
    /// The server's `Date` on the first page.
    pub server_date: Option<UtcMillis>,
}

/// Only a complete walk may move a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    Incomplete { why: &'static str },
}

struct Page {
    next: Option<String>,
    incomplete: Option<&'static str>,
    entries: Vec<Found>,
}

struct Found {
    heard: Heard,
    last_updated: Option<UtcMillis>,
}

impl EhrClient {
    /// Finds the resources of `kind` that changed in `window`, asking for `page_count` a page. Asks the server to
    /// leave out everything but id and meta; one that cannot is asked again without that wish.
    ///
    /// # Errors
    /// See [`EhrError::class`]. Nothing is returned of a walk that failed half-way. `TooLarge`: ask for fewer a page.
    pub async fn search_changed(
        &self,
        kind: ResourceType,
        window: Window,
        page_count: NonZeroU16,
    ) -> Result<SearchAnswer, EhrError> {
        let short = self.search_url(kind, window, page_count, &[("_elements", "id,meta")]);
        match self.walk(kind, window, short).await {
            // The wish itself may be what the server refuses or remarks upon.
            Err(EhrError::Rejected { status: 400 | 422 })
            | Ok(SearchAnswer::Walked(Changes { completeness: Completeness::Incomplete { .. }, .. })) => {
                self.walk(kind, window, self.search_url(kind, window, page_count, &[])).await
            }
            answer => answer,
        }
    }

    fn search_url(&self, kind: ResourceType, window: Window, count: NonZeroU16, more: &[(&str, &str)]) -> Url {
        let mut url = self.base.at(&[kind.as_str()]);
        url.query_pairs_mut()
            .append_pair("_lastUpdated", &format!("ge{}", window.since.to_rfc3339()))
            .append_pair("_lastUpdated", &format!("lt{}", window.until.to_rfc3339()))
            .append_pair("_count", &count.to_string())
            .extend_pairs(more);
        url
    }

    async fn walk(&self, kind: ResourceType, window: Window, first: Url) -> Result<SearchAnswer, EhrError> {
        let mut changes =
            Changes { heard: Vec::new(), completeness: Completeness::Complete, outside_window: 0, server_date: None };
        let mut seen = HashSet::new();
        let mut visited = HashSet::from([first.clone()]);
        let mut url = first;
        for page_number in 0..self.limits.pages_max {
            let request = self.ask(Method::GET, url.clone());
            let (body, headers) = match self.fetch_json(request, self.limits.page_bytes_max).await? {
                Fetched::Body { body, headers } => (body, headers),
                // On the first page there is no link to forget: the address is wrong.
                Fetched::Gone(body) if page_number == 0 => return Err(body.nothing_here()),
                Fetched::Gone(_) => return Ok(SearchAnswer::RestartWindow),
            };
            if page_number == 0 {
                changes.server_date = transport::server_date(&headers);
            }
            let page = read_page(kind, &body)?;
            for found in page.entries {
                let inside = |at: UtcMillis| window.since <= at && at < window.until;
                if !found.last_updated.is_none_or(inside) {
                    changes.outside_window += 1;
                }
                if seen.insert((found.heard.id.clone(), found.heard.version.clone())) {
                    changes.heard.push(found.heard);
                }
            }
            if changes.heard.len() > self.limits.found_max {
                return Ok(SearchAnswer::WindowTooLarge);
            }
            if let Some(why) = page.incomplete {
                changes.completeness = Completeness::Incomplete { why };
            }
            let Some(next) = page.next else { return Ok(SearchAnswer::Walked(changes)) };
            url = self.next_url(&url, &next)?;
            if !visited.insert(url.clone()) {
                changes.completeness = Completeness::Incomplete { why: "the server's page links lead in a circle" };
                return Ok(SearchAnswer::Walked(changes));
            }
        }
        Ok(SearchAnswer::WindowTooLarge)
    }

    pub(super) fn next_url(&self, current: &Url, next: &str) -> Result<Url, EhrError> {
        let url = current.join(next).map_err(|_| EhrError::ForbiddenUrl { why: "a page link is not a URL" })?;
        if self.guard.is_ehr(&url) {
            Ok(url)
        } else {
            Err(EhrError::ForbiddenUrl { why: "a page link leads to another server than the EHR" })
        }
    }
}

/// Reads a searchset leniently: one strange entry does not hide the others.
fn read_page(kind: ResourceType, body: &[u8]) -> Result<Page, Malformed> {
    let bundle = parse_json(body)?;
    if bundle.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        return Err(Malformed::new("resourceType", "is not the type that was asked for"));
    }
    let mut page = Page { next: None, incomplete: None, entries: Vec::new() };
    for link in list(&bundle, "link")? {
        if link.get("relation").and_then(Value::as_str) == Some("next") {
            let next = link.get("url").and_then(Value::as_str);
            page.next = Some(next.ok_or_else(|| Malformed::new("Bundle.link.url", "is missing"))?.to_owned());
        }
    }
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

/// An outcome that only informs about the request takes nothing away from the result
/// (<https://hl7.org/fhir/R4/valueset-issue-severity.html>).
pub(super) fn limits_the_result(outcome: &Value) -> bool {
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
    })
}

pub(super) fn list<'a>(bundle: &'a Value, name: &str) -> Result<&'a [Value], Malformed> {
    match bundle.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(value) => {
            value.as_array().map(Vec::as_slice).ok_or_else(|| Malformed::new(format!("Bundle.{name}"), "is not a list"))
        }
    }
}
