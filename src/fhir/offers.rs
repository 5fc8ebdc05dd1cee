//! What an EHR says that it can do: its `CapabilityStatement`, as far as looking for changes needs it.
//!
//! Must stay true: a promise only. Whoever relies on it still believes the answer rather than the statement.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::client::{EhrClient, Fetched, apart};
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::pace::Turn;
use crate::base::{ResourceType, UtcMillis, hours};
use crate::record::Told;

/// What an EHR says that it can do is believed for so long; what it cannot do is asked about again after it.
pub const OFFERS_KEPT: Duration = hours(24);

/// What is offered, by resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    kinds: BTreeMap<String, OfType>,
    dialect: Dialect,
}

/// Whether an `AuditEvent` has the shape that it had until R5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Dialect {
    #[default]
    UntilR4b,
    SinceR5,
}

/// What an EHR said last, and when.
#[derive(Default)]
pub(super) struct KnownOffers(tokio::sync::Mutex<Option<(UtcMillis, Offers)>>);

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

    /// Whether a resource of this type can be written. `AuditEvent` is written as R4 knows it.
    #[must_use]
    pub fn creates(&self, told: Told) -> bool {
        let fits = match told {
            Told::AuditEvent => self.dialect == Dialect::UntilR4b,
            Told::Communication | Told::Provenance | Told::Task => true,
        };
        fits && self.allows(told, "create")
    }

    /// Whether a resource of this type can be changed later.
    #[must_use]
    pub fn updates(&self, told: Told) -> bool {
        self.allows(told, "update")
    }

    fn allows(&self, told: Told, interaction: &str) -> bool {
        self.kinds.get(told.type_name()).is_some_and(|of| of.interactions.contains(interaction))
    }

    /// Whether it has resources of this type.
    pub(super) fn has(&self, kind: &str) -> Has {
        match (self.kinds.is_empty(), self.kinds.contains_key(kind)) {
            (true, _) => Has::Unsaid,
            (false, true) => Has::Yes,
            (false, false) => Has::No,
        }
    }

    fn of(&self, kind: ResourceType) -> Option<&OfType> {
        self.kinds.get(kind.as_str())
    }
}

impl EhrClient {
    /// What the EHR offers, as it said within the last day.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn offers_of_late(&self, now: UtcMillis) -> Result<Offers, EhrError> {
        let mut known = self.known_offers.0.lock().await;
        if let Some((at, offers)) = known.as_ref()
            && now.since(*at) < OFFERS_KEPT
        {
            return Ok(offers.clone());
        }
        let offers = self.offers().await?;
        *known = Some((now, offers.clone()));
        Ok(offers)
    }

    /// Asks the EHR what it offers. One that answers with something else offers nothing.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn offers(&self) -> Result<Offers, EhrError> {
        self.offers_in(Turn::WhenQuiet).await
    }

    /// Whether it says that it has resources of this type: by what it said last, or what it says now.
    pub(super) async fn may_have(&self, kind: &str) -> Result<Has, EhrError> {
        let mut known = self.known_offers.0.lock().await;
        if let Some((_, offers)) = known.as_ref() {
            return Ok(offers.has(kind));
        }
        let offers = self.offers_in(Turn::Now).await?;
        let has = offers.has(kind);
        // Whoever goes by the clock asks for themselves.
        *known = Some((UtcMillis(i64::MIN), offers));
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
    if text(&statement, "fhirVersion").is_some_and(|version| version.starts_with('5')) {
        offers.dialect = Dialect::SinceR5;
    }
    for resource in resources(&statement) {
        let Some(kind) = text(resource, "type") else { continue };
        let names = |of: &str, name: &str| -> Vec<String> {
            items(resource, of).filter_map(|one| text(one, name)).map(str::to_owned).collect()
        };
        let of = offers.kinds.entry(kind.to_owned()).or_default();
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
    fn what_may_be_written_is_what_is_offered_and_an_audit_event_only_as_r4_knows_it() {
        let statement = |version: &str| {
            let all = json!([{"code": "create"}, {"code": "update"}]);
            let kinds =
                [("Communication", all.clone()), ("AuditEvent", json!([{"code": "create"}])), ("Task", json!([]))];
            let kinds: Vec<Value> = kinds.map(|(kind, may)| json!({"type": kind, "interaction": may})).to_vec();
            read(json!({"fhirVersion": version, "rest": [{"resource": kinds}]}).to_string().as_bytes()).unwrap()
        };
        let may = |offers: &Offers, told| (offers.creates(told), offers.updates(told));
        let (r4, r5) = (statement("4.0.1"), statement("5.0.0"));
        assert_eq!(may(&r4, Told::Communication), (true, true));
        assert_eq!(may(&r4, Told::AuditEvent), (true, false));
        assert_eq!(may(&r4, Told::Task), (false, false));
        assert_eq!(may(&r4, Told::Provenance), (false, false));
        assert_eq!((r5.creates(Told::Communication), r5.creates(Told::AuditEvent)), (true, false));
    }

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
        assert!(!offers.creates(Told::Communication));
        assert_eq!(read(b"{\"resourceType\":\"Bundle\"}").unwrap(), Offers::default());
        assert!(read(b"<html>").is_err());
    }
}
