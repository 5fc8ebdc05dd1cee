//! What a server claims of itself (<https://hl7.org/fhir/R4/capabilitystatement.html>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fhir::error::Malformed;
use crate::fhir::offers::{items, resources, text};

/// Of a product's name and version so much is shown.
const NAME_CHARACTERS_MAX: usize = 60;

/// A claim proves nothing: servers list what they do not do, and do what they do not list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub release: Release,
    /// The product's name and version; empty where it names none.
    pub software: String,
    /// Whether it says that it holds subscriptions to topics.
    pub names_topics: bool,
    kinds: BTreeMap<String, BTreeSet<Interaction>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    R4,
    R4b,
    R5,
    /// As it writes it, cut short; empty where it names none.
    Other(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interaction {
    Read,
    Search,
    /// Of a whole type.
    History,
    Create,
    Update,
    Delete,
}

impl Interaction {
    fn named(code: &str) -> Option<Self> {
        match code {
            "read" => Some(Self::Read),
            "search-type" => Some(Self::Search),
            "history-type" => Some(Self::History),
            "create" => Some(Self::Create),
            "update" => Some(Self::Update),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Search => "search",
            Self::History => "history",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl Claims {
    pub(super) fn read(statement: &Value) -> Result<Self, Malformed> {
        if statement.get("resourceType").and_then(Value::as_str) != Some("CapabilityStatement") {
            return Err(Malformed::new("resourceType", "is not CapabilityStatement"));
        }
        let said = |pointer| plain(statement.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
        let software = format!("{} {}", said("/software/name"), said("/software/version")).trim().to_owned();
        let mut kinds: BTreeMap<String, BTreeSet<Interaction>> = BTreeMap::new();
        for resource in resources(statement) {
            let Some(kind) = text(resource, "type") else { continue };
            let codes = items(resource, "interaction").filter_map(|one| text(one, "code"));
            kinds.entry(kind.to_owned()).or_default().extend(codes.filter_map(Interaction::named));
        }
        Ok(Self {
            release: Release::named(&said("/fhirVersion")),
            software,
            names_topics: names_topics(statement),
            kinds,
        })
    }

    /// What it claims for `kind`; `None` where it does not name the type.
    #[must_use]
    pub fn of(&self, kind: &str) -> Option<&BTreeSet<Interaction>> {
        self.kinds.get(kind)
    }
}

impl Release {
    fn named(version: &str) -> Self {
        let is = |start: &str| version == start || version.starts_with(&format!("{start}."));
        if is("4.0") {
            Self::R4
        } else if is("4.3") {
            Self::R4b
        } else if is("5.0") {
            Self::R5
        } else {
            Self::Other(version.to_owned())
        }
    }
}

/// By the Backport IG's extension or profile, or because the type is there.
fn names_topics(statement: &Value) -> bool {
    let says = |text: &str| text.contains("subscriptions-backport") || text.contains("subscriptiontopic-canonical");
    let named_kind = |kind: &'static str| resources(statement).filter(move |one| text(one, "type") == Some(kind));
    let named = |element: &Value, name: &str| {
        items(element, name).filter_map(Value::as_str).any(says) || text(element, name).is_some_and(says)
    };
    let extended = |element: &Value| items(element, "extension").any(|one| named(one, "url"));
    ["instantiates", "implementationGuide"].iter().any(|name| named(statement, name))
        || named_kind("SubscriptionTopic").next().is_some()
        || named_kind("Subscription")
            .any(|one| extended(one) || named(one, "supportedProfile") || named(one, "profile"))
}

/// What can be printed without harm, whoever wrote it.
fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(NAME_CHARACTERS_MAX);
    kept.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_15_what_a_server_claims_is_read_whatever_is_missing() {
        let bare = Claims::read(&json!({"resourceType": "CapabilityStatement"})).unwrap();
        assert_eq!(
            (bare.release, bare.software.as_str(), bare.names_topics),
            (Release::Other(String::new()), "", false)
        );
        assert_eq!(bare.kinds.len(), 0);

        let claims = Claims::read(&json!({
            "resourceType": "CapabilityStatement",
            "fhirVersion": "4.0.1",
            "software": {"name": "A\u{1b}[31m Server\n", "version": "1".repeat(100)},
            "rest": [{"mode": "server", "resource": [
                {"type": "DiagnosticReport", "interaction": [{"code": "read"}, {"code": "vread"}, {"code": "search-type"}]},
                {"type": "Subscription", "interaction": [{"code": "create"}], "extension": [{
                    "url": "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical",
                    "valueCanonical": "http://a.test/topic",
                }]},
                {"type": 5}, {},
            ]}, {"mode": "client", "resource": [{"type": "DocumentReference", "interaction": [{"code": "read"}]}]}],
        }))
        .unwrap();
        assert_eq!(claims.release, Release::R4);
        assert_eq!(claims.software, format!("A[31m Server {}", "1".repeat(60)), "no character that steers a terminal");
        assert!(claims.names_topics);
        let of = |kind| claims.of(kind).map(|all| all.iter().map(|one| one.word()).collect::<Vec<_>>().join(" "));
        assert_eq!(of("DiagnosticReport").as_deref(), Some("read search"));
        assert_eq!(of("Subscription").as_deref(), Some("create"));
        assert_eq!(of("DocumentReference"), None);
        assert!(Claims::read(&json!({"resourceType": "OperationOutcome"})).is_err());
    }

    #[test]
    fn event_15_a_release_is_known_by_its_first_two_numbers() {
        for (version, release) in [("4.0.1", Release::R4), ("4.3.0", Release::R4b), ("5.0.0", Release::R5)] {
            assert_eq!(Release::named(version), release);
        }
        assert_eq!(Release::named("3.0.2"), Release::Other("3.0.2".to_owned()));
        assert_eq!(Release::named("4.01"), Release::Other("4.01".to_owned()));
    }
}
