//! What an EHR says that it can do: its `CapabilityStatement`, as far as looking for changes needs it.
//!
//! Must stay true: a promise only. Whoever relies on it still believes the answer rather than the statement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::client::{EhrClient, Fetched, apart};
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::pace::Turn;
use crate::base::{ResourceType, minutes};

/// What is offered, by resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers(BTreeMap<String, OfType>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfType {
    interactions: BTreeSet<String>,
    search_parameters: BTreeSet<String>,
}

/// What an EHR says of having a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Has {
    Yes,
    No,
    /// It says nothing of itself.
    Unsaid,
}

/// What an EHR said last, for a while.
#[derive(Default)]
pub(super) struct Said(Mutex<Option<(Instant, Arc<Offers>)>>);

/// How long what an EHR says of itself is taken for unchanged.
const SAID_FOR: Duration = minutes(60);

impl Offers {
    /// The history of a whole type, deletes among it.
    #[must_use]
    pub fn history(&self, kind: ResourceType) -> bool {
        self.of(kind).is_some_and(|of| of.interactions.contains("history-type"))
    }

    /// The search parameter that says best when a report is from: a report may tell of a specimen taken long before it.
    #[must_use]
    pub fn date_parameter(&self, kind: ResourceType) -> &'static str {
        let offers = |name: &str| self.of(kind).is_some_and(|of| of.search_parameters.contains(name));
        match kind {
            ResourceType::DiagnosticReport if offers("issued") => "issued",
            ResourceType::DiagnosticReport | ResourceType::DocumentReference => "date",
        }
    }

    /// Whether it has resources of this type.
    pub(super) fn has(&self, kind: &str) -> Has {
        match (self.0.is_empty(), self.0.contains_key(kind)) {
            (true, _) => Has::Unsaid,
            (false, true) => Has::Yes,
            (false, false) => Has::No,
        }
    }

    fn of(&self, kind: ResourceType) -> Option<&OfType> {
        self.0.get(kind.as_str())
    }
}

impl EhrClient {
    /// Asks the EHR what it offers. One that answers with something else offers nothing.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn offers(&self) -> Result<Offers, EhrError> {
        self.offers_in(Turn::WhenQuiet).await
    }

    /// Whether it says that it has resources of this type. Asked at most once in [`SAID_FOR`].
    pub(super) async fn may_have(&self, kind: &str) -> Result<Has, EhrError> {
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, offers)) = said.filter(|(at, _)| at.elapsed() < SAID_FOR) {
            return Ok(offers.has(kind));
        }
        let offers = Arc::new(self.offers_in(Turn::Now).await?);
        let has = offers.has(kind);
        *self.said.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), offers));
        Ok(has)
    }

    async fn offers_in(&self, turn: Turn) -> Result<Offers, EhrError> {
        let request = self.ask(Method::GET, self.base.at(&["metadata"]));
        match self.fetch_json_in(turn, request, self.limits.resource_bytes_max).await {
            Ok(Fetched::Body { body, .. }) => Ok(apart("CapabilityStatement", move || read(&body)).await??),
            Ok(Fetched::Gone(_)) | Err(EhrError::Rejected { .. } | EhrError::Refused { .. }) => Ok(Offers::default()),
            Err(error) => Err(error),
        }
    }
}

fn read(body: &[u8]) -> Result<Offers, Malformed> {
    let statement = parse_json(body)?;
    let mut offers = Offers::default();
    for resource in resources(&statement) {
        let Some(kind) = text(resource, "type") else { continue };
        let names = |of: &str, name: &str| -> Vec<String> {
            items(resource, of).filter_map(|one| text(one, name)).map(str::to_owned).collect()
        };
        let of = offers.0.entry(kind.to_owned()).or_default();
        of.interactions.extend(names("interaction", "code"));
        of.search_parameters.extend(names("searchParam", "name"));
    }
    Ok(offers)
}

/// What a statement says of each resource type as a server; what it would do as a client is not offered to anybody.
pub(super) fn resources(statement: &Value) -> impl Iterator<Item = &Value> {
    let as_server = items(statement, "rest").filter(|rest| text(rest, "mode") != Some("client"));
    as_server.flat_map(|rest| items(rest, "resource"))
}

pub(super) fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_is_believed_for_the_types_that_it_names() {
        let statement = json!({"resourceType": "CapabilityStatement", "rest": [
            {"mode": "client", "resource": [{"type": "DocumentReference", "interaction": [{"code": "history-type"}]}]},
            {"mode": "server", "resource": [
                {"type": "DiagnosticReport", "interaction": [{"code": "read"}, {"code": "history-type"}],
                 "searchParam": [{"name": "date"}, {"name": "issued"}, {"type": "token"}, 7]},
                {"interaction": "none"},
            ]},
        ]});
        let offers = read(statement.to_string().as_bytes()).unwrap();
        let (report, document) = (ResourceType::DiagnosticReport, ResourceType::DocumentReference);
        assert_eq!((offers.history(report), offers.date_parameter(report)), (true, "issued"));
        assert_eq!((offers.history(document), offers.date_parameter(document)), (false, "date"));
        assert_eq!(read(b"{\"resourceType\":\"Bundle\"}").unwrap(), Offers::default());
        assert!(read(b"<html>").is_err());
    }
}
