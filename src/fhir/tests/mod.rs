//! The EHR's side of the table: real resources, broken ones, and a server that misbehaves as told.

mod attachment;
mod broken;
mod client;
mod contact;
mod contacts;
mod gather;
mod hook;
mod likeness;
mod notification;
mod panels;
mod report;
mod results;
mod scripted;
mod search;
mod stated;
mod subscription;
mod topic;
mod unfaithful;
mod walk;

use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::base::{EhrId, FhirId, ResourceType, SecretText};

const REPORT: &str = include_str!("../../../tests/fixtures/fhir/dr.json");
const DOCUMENT: &str = include_str!("../../../tests/fixtures/fhir/doc.json");
const PATIENT: &str = include_str!("../../../tests/fixtures/fhir/pat.json");
const BINARY: &str = include_str!("../../../tests/fixtures/fhir/bin.json");
const PDF: &[u8] = include_bytes!("../../../tests/fixtures/fhir/r.pdf");

fn base() -> ServiceBase {
    ServiceBase::new(Url::parse("https://ehr.test/fhir").unwrap()).unwrap()
}

/// A fixture as a server would answer it, with `changes` set at JSON pointers of the top level.
fn stored(fixture: &str, changes: &[(&str, Value)]) -> Value {
    let mut resource: Value = serde_json::from_str(fixture).unwrap();
    resource["id"] = json!("r1");
    resource["meta"] = json!({"versionId": "3", "lastUpdated": "2026-11-21T09:00:01.250Z"});
    for (name, value) in changes {
        resource[*name] = value.clone();
    }
    resource
}

fn id(text: &str) -> FhirId {
    FhirId::parse(text).unwrap()
}

fn read(kind: ResourceType, resource: &Value) -> Result<Report, Malformed> {
    read_report(kind, resource.to_string().as_bytes(), &base())
}

fn diagnostic(changes: &[(&str, Value)]) -> Result<Report, Malformed> {
    read(ResourceType::DiagnosticReport, &stored(REPORT, changes))
}

fn document(changes: &[(&str, Value)]) -> Result<Report, Malformed> {
    read(ResourceType::DocumentReference, &stored(DOCUMENT, changes))
}

fn client_of(base: &str, change: impl FnOnce(&mut EhrConnection)) -> EhrClient {
    let mut connection = EhrConnection {
        id: EhrId::parse("main").unwrap(),
        base: ServiceBase::new(Url::parse(base).unwrap()).unwrap(),
        auth: Auth::Bearer(SecretText::new("t0ken".to_owned())),
        attachment_origins: Vec::new(),
        limits: Limits::default(),
    };
    change(&mut connection);
    EhrClient::new(connection).unwrap()
}
