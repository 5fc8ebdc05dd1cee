//! The only things that are ever written to an EHR for a trial: a patient who is nobody, a report that was never one, and a
//! Subscription; each is removed again.
//!
//! Must stay true: the report bears the status under which nobody takes it for a result, also other programs that listen to
//! the same EHR; only what was made here is removed.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::base::FhirId;
use crate::fhir::client::{EhrClient, Fetched};
use crate::fhir::error::{EhrError, Malformed};
use crate::fhir::gate::parse_json;
use crate::fhir::subscription::SubscriptionStatus;
use crate::fhir::transport::{self, FHIR_JSON};

/// By this system of identifiers the EHR's staff find what a trial left behind.
pub const TRIAL_SYSTEM: &str = "urn:chartseal:trial";
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialKind {
    Patient,
    DiagnosticReport,
    Subscription,
}

impl TrialKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "Patient",
            Self::DiagnosticReport => "DiagnosticReport",
            Self::Subscription => "Subscription",
        }
    }
}

impl EhrClient {
    /// Makes a patient who is nobody, known by `trial`.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn make_trial_patient(&self, trial: &str) -> Result<FhirId, EhrError> {
        let patient = json!({
            "resourceType": "Patient",
            "active": false,
            "identifier": [{"system": TRIAL_SYSTEM, "value": trial}],
            "name": [{"use": "anonymous", "family": "Chartseal-Trial", "given": ["Nobody"]}],
            "gender": "unknown",
        });
        self.make(TrialKind::Patient, &patient).await
    }

    /// Makes a report of that patient which says of itself that it was entered in error.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn make_trial_report(&self, trial: &str, patient: &FhirId) -> Result<FhirId, EhrError> {
        let report = json!({
            "resourceType": "DiagnosticReport",
            "identifier": [{"system": TRIAL_SYSTEM, "value": trial}],
            "status": "entered-in-error",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
            "code": {"text": "Chartseal's trial of a connection: no result"},
            "subject": {"reference": format!("Patient/{patient}")},
        });
        self.make(TrialKind::DiagnosticReport, &report).await
    }

    /// Removes what a trial made.
    ///
    /// # Errors
    /// See [`EhrError::class`]; what is gone already is no error.
    pub async fn remove_trial(&self, kind: TrialKind, id: &FhirId) -> Result<(), EhrError> {
        let request = self.ask(Method::DELETE, self.base.at(&[kind.as_str(), id.as_str()]));
        let response = self.send(request, self.limits.answer_timeout).await?;
        let status = response.status();
        if status.is_success() || matches!(status.as_u16(), 404 | 410) {
            return Ok(());
        }
        Err(transport::refusal(status, response.headers()))
    }

    /// How the server says that a Subscription stands.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn subscription_status(&self, id: &FhirId) -> Result<SubscriptionStatus, EhrError> {
        match self.fetch("Subscription", id, ANSWER_BYTES_MAX).await? {
            Fetched::Body { body, .. } => {
                let resource = parse_json(&body)?;
                let status = resource.get("status").and_then(Value::as_str).unwrap_or_default();
                Ok(SubscriptionStatus::named(status))
            }
            Fetched::Gone(body) => Err(body.nothing_here()),
        }
    }

    async fn make(&self, kind: TrialKind, resource: &Value) -> Result<FhirId, EhrError> {
        let request = self.ask(Method::POST, self.base.at(&[kind.as_str()]));
        let request = request.header(CONTENT_TYPE, FHIR_JSON).body(resource.to_string());
        let response = self.send(request, self.limits.answer_timeout).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            return Err(transport::refusal(status, &headers));
        }
        let answer = transport::body(response, ANSWER_BYTES_MAX).await?;
        let in_body = parse_json(&answer).ok().and_then(|made| {
            let is_ours = made.get("resourceType").and_then(Value::as_str) == Some(kind.as_str());
            made.get("id").and_then(Value::as_str).filter(|_| is_ours).and_then(|id| FhirId::parse(id).ok())
        });
        let in_location = || transport::location(&headers).as_deref().and_then(|text| id_in(text, kind));
        in_body.or_else(in_location).ok_or_else(|| Malformed::new(format!("{}.id", kind.as_str()), "is missing").into())
    }
}

/// `…/Patient/7/_history/1`: a server may answer a create without a body.
fn id_in(location: &str, kind: TrialKind) -> Option<FhirId> {
    let mut parts = location.split('/').skip_while(|part| *part != kind.as_str());
    parts.next()?;
    FhirId::parse(parts.next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_15_the_id_of_what_was_made_is_found_in_a_location() {
        let id = |text| id_in(text, TrialKind::Patient).map(|id| id.to_string());
        assert_eq!(id("http://a.test/fhir/Patient/7/_history/1").as_deref(), Some("7"));
        assert_eq!(id("Patient/x-1").as_deref(), Some("x-1"));
        assert_eq!(id("http://a.test/fhir/Group/7"), None);
        assert_eq!(id("http://a.test/fhir/Patient"), None);
    }
}
