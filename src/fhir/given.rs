//! A report with what belongs to it, from files instead of an EHR.
//!
//! Job: read FHIR resources that a person gives, alone or in Bundles, and gather evidence from them as from an EHR.
//! Must stay true: what is read passes the same gates as an EHR's answers; what is referred to and not given is not found,
//! never absent. Patient data: no `Debug`, and no value in an error.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::error::Malformed;
use super::gate::parse_json;
use super::gather::{Evidence, Listing, Part, Shelves, Wanted, gather_from, word};
use super::patient::{Patient, read_patient};
use super::project::sanitise;
use super::report::{Report, Subject, read_report};
use super::service::ServiceBase;
use crate::base::{FhirId, ResourceType, UtcMillis, seconds};
use crate::policy::Needs;
use crate::policy::facts::Lack;

/// Resources that are taken together.
const RESOURCES_MAX: usize = 10_000;
/// As for an EHR.
const MEMBERS_MAX: usize = 500;
/// Reading what is in memory takes no time; this is only an end.
const GATHER_TIMEOUT: Duration = seconds(60);
/// The id of a resource that bears none.
const NO_ID: &str = "given";

#[derive(Debug, thiserror::Error)]
pub enum GivenError {
    #[error("{file} is not JSON: {why}")]
    NotJson { file: String, why: String },
    #[error("{file} cannot be read as FHIR R4: {why}")]
    Malformed { file: String, why: Malformed },
    #[error("{file} is {found}, not {wanted}")]
    WrongType { file: String, found: String, wanted: &'static str },
    #[error("{file} holds no DiagnosticReport or DocumentReference")]
    NoReport { file: String },
    #[error("{file} holds {count} reports; give one DiagnosticReport or DocumentReference, the others in --with")]
    SeveralReports { file: String, count: usize },
    #[error("{file} is another patient than the one whom the report names")]
    OtherPatient { file: String },
    #[error("more than {RESOURCES_MAX} resources are given")]
    TooMany,
}

/// One file: its name for messages, and its bytes. Patient data: no `Debug`.
pub struct GivenFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Resources as files gave them. Patient data: no `Debug`.
pub struct Given {
    pub report: Report,
    pub patient: Option<Patient>,
    base: ServiceBase,
    resources: HashMap<(String, String), Value>,
    /// The instant by which periods are judged.
    at: UtcMillis,
}

const A_REPORT: &str = "a DiagnosticReport, a DocumentReference or a Bundle that holds one";

impl Given {
    /// # Errors
    /// [`GivenError`], which names the file and no value of it.
    pub fn read(
        report: &GivenFile,
        patient: Option<&GivenFile>,
        with: &[GivenFile],
        at: UtcMillis,
    ) -> Result<Self, GivenError> {
        let mut found = Vec::new();
        let of_report = resources_of(report, A_REPORT)?;
        let itself = the_report(report, &of_report)?;
        found.extend(of_report);
        let of_patient = patient.map(|file| resources_of(file, "a Patient")).transpose()?.unwrap_or_default();
        if let Some(file) = patient
            && !of_patient.iter().any(|one| one.kind == "Patient")
        {
            let found = of_patient.first().map_or("empty", |one| one.kind.as_str());
            return Err(GivenError::WrongType { file: file.name.clone(), found: a(found), wanted: "a Patient" });
        }
        found.extend(of_patient);
        for file in with {
            found.extend(resources_of(file, "a FHIR resource")?);
        }
        if found.len() > RESOURCES_MAX {
            return Err(GivenError::TooMany);
        }
        relink(&mut found);
        Self::settle(report, patient, found, itself, at)
    }

    fn settle(
        report_file: &GivenFile,
        patient_file: Option<&GivenFile>,
        found: Vec<Resource>,
        itself: usize,
        at: UtcMillis,
    ) -> Result<Self, GivenError> {
        let malformed = |file: &str, why| GivenError::Malformed { file: file.to_owned(), why };
        let no_base = || malformed(&report_file.name, Malformed::new("reference", "has no base"));
        let base = nowhere().ok_or_else(no_base)?;
        let Some(one) = found.get(itself) else {
            return Err(GivenError::NoReport { file: report_file.name.clone() });
        };
        let kind = report_kind(&one.kind).ok_or_else(|| GivenError::NoReport { file: report_file.name.clone() })?;
        let body = one.value.to_string();
        let report = read_report(kind, body.as_bytes(), &base).map_err(|why| malformed(&report_file.name, why))?;
        let patient = match (&report.subject, patient_of(&found, &report.subject)) {
            (_, Some(one)) => {
                let body = one.value.to_string();
                Some(read_patient(body.as_bytes(), &base).map_err(|why| malformed(&one.file, why))?)
            }
            (Subject::Patient(_), None) if patient_file.is_some() => {
                let file = patient_file.map(|file| file.name.clone()).unwrap_or_default();
                return Err(GivenError::OtherPatient { file });
            }
            (Subject::Patient(_) | Subject::None | Subject::Unusable { .. }, None) => None,
        };
        let resources = found.into_iter().map(|one| ((one.kind, one.id), one.value)).collect();
        Ok(Self { report, patient, base, resources, at })
    }

    /// As [`super::EhrClient::gather`].
    pub async fn gather(&self, needs: &Needs) -> Evidence {
        gather_from(self, &self.report, needs).await
    }
}

impl Shelves for Given {
    fn base(&self) -> &ServiceBase {
        &self.base
    }

    fn gather_timeout(&self) -> Duration {
        GATHER_TIMEOUT
    }

    fn members_max(&self) -> usize {
        MEMBERS_MAX
    }

    async fn part(&self, wanted: &Wanted) -> Result<Arc<Part>, Lack> {
        let key = (wanted.kind.to_owned(), wanted.id.as_str().to_owned());
        let body = self.resources.get(&key).ok_or(Lack::NotFound)?.to_string();
        let part = Part::of_answer(wanted.kind, wanted.id.as_str(), body.as_bytes(), &self.base);
        part.map(Arc::new).map_err(|_| Lack::Unreadable)
    }

    /// Whether all were given nobody can tell where none was.
    async fn list(&self, kind: &'static str, _: &[(&str, &str)], _: Instant) -> Listing {
        let mut found: Vec<_> = self.resources.iter().filter(|((of, _), _)| of == kind).collect();
        found.sort_by_key(|(key, _)| (*key).clone());
        let mut listing = Listing { server_date: Some(self.at), ..Listing::default() };
        if found.is_empty() {
            listing.lacking.insert(Lack::NotFound);
        }
        for (_, resource) in found {
            let mut resource = resource.clone();
            sanitise(&mut resource);
            listing.resources.push(resource);
        }
        listing
    }
}

/// One resource of a file.
struct Resource {
    file: String,
    kind: String,
    id: String,
    /// Its address in a Bundle, by which others there refer to it.
    address: Option<String>,
    value: Value,
}

/// No server: relative references are to what is given.
fn nowhere() -> Option<ServiceBase> {
    const ADDRESS: &str = "http://given.invalid/";
    Url::parse(ADDRESS).ok().and_then(ServiceBase::new)
}

/// The resource of a file, or those of a Bundle.
fn resources_of(file: &GivenFile, wanted: &'static str) -> Result<Vec<Resource>, GivenError> {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&file.bytes) {
        return Err(GivenError::NotJson { file: file.name.clone(), why: error.to_string() });
    }
    let malformed = |why| GivenError::Malformed { file: file.name.clone(), why };
    let value = parse_json(&file.bytes).map_err(malformed)?;
    let wrong = |found: &str| GivenError::WrongType { file: file.name.clone(), found: found.to_owned(), wanted };
    match word(&value, "resourceType") {
        None => Err(wrong("no FHIR resource")),
        Some("Bundle") => {
            let Some(Value::Array(entries)) = value.get("entry") else { return Ok(Vec::new()) };
            entries.iter().map(|entry| resource_of_entry(file, entry).ok_or_else(|| wrong("a broken Bundle"))).collect()
        }
        Some(_) => Ok(resource(file, value, None).into_iter().collect()),
    }
}

fn resource_of_entry(file: &GivenFile, entry: &Value) -> Option<Resource> {
    resource(file, entry.get("resource")?.clone(), word(entry, "fullUrl").map(str::to_owned))
}

fn resource(file: &GivenFile, mut value: Value, address: Option<String>) -> Option<Resource> {
    let kind = word(&value, "resourceType")?.to_owned();
    let by_address = || address.as_deref().and_then(|address| address.strip_prefix("urn:uuid:"));
    let id = word(&value, "id").or_else(by_address).unwrap_or(NO_ID).to_owned();
    value.as_object_mut()?.insert("id".to_owned(), Value::String(id.clone()));
    Some(Resource { file: file.name.clone(), kind, id, address, value })
}

fn report_kind(kind: &str) -> Option<ResourceType> {
    ResourceType::ALL.into_iter().find(|known| known.as_str() == kind)
}

/// Which of the resources of the report's file is the report: the only one, or the only one that no other names.
fn the_report(file: &GivenFile, found: &[Resource]) -> Result<usize, GivenError> {
    let reports: Vec<usize> =
        (0..).zip(found).filter(|(_, one)| report_kind(&one.kind).is_some()).map(|(at, _)| at).collect();
    match (reports.as_slice(), found) {
        ([one], _) => Ok(*one),
        ([], [only]) if only.kind != "Bundle" => {
            Err(GivenError::WrongType { file: file.name.clone(), found: a(&only.kind), wanted: A_REPORT })
        }
        ([], _) => Err(GivenError::NoReport { file: file.name.clone() }),
        (several, _) => Err(GivenError::SeveralReports { file: file.name.clone(), count: several.len() }),
    }
}

/// `a Patient`, `an Observation`. A type is no patient data; anything else is not repeated.
fn a(kind: &str) -> String {
    let is_type = kind.len() <= 40 && kind.bytes().all(|b| b.is_ascii_alphabetic());
    match (is_type, kind.starts_with(['A', 'E', 'I', 'O', 'U'])) {
        (false, _) => "something else".to_owned(),
        (true, true) => format!("an {kind}"),
        (true, false) => format!("a {kind}"),
    }
}

/// References by the address that a Bundle gives become `Type/id`, as an EHR would write them.
fn relink(found: &mut [Resource]) {
    let addresses: HashMap<String, String> =
        found.iter().filter_map(|one| Some((one.address.clone()?, format!("{}/{}", one.kind, one.id)))).collect();
    if !addresses.is_empty() {
        for one in found {
            relink_value(&mut one.value, &addresses);
        }
    }
}

fn relink_value(value: &mut Value, addresses: &HashMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| relink_value(item, addresses)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "reference" => {
                        if let Some(target) = addresses.get(text.as_str()) {
                            target.clone_into(text);
                        }
                    }
                    Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
                    Value::Array(_) | Value::Object(_) => relink_value(field, addresses),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The patient whom the report names; one without an id of its own is taken for them.
fn patient_of<'f>(found: &'f [Resource], subject: &Subject) -> Option<&'f Resource> {
    let named: Option<&FhirId> = match subject {
        Subject::Patient(id) => Some(id),
        Subject::None | Subject::Unusable { .. } => None,
    };
    let patients = || found.iter().filter(|one| one.kind == "Patient");
    let by_id = named.and_then(|id| patients().find(|one| one.id == id.as_str()));
    by_id.or_else(|| patients().find(|one| one.id == NO_ID))
}
