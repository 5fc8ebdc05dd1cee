//! The lab of the demo: files, corrects and withdraws sample reports in the stand-in EHR, as a real one would in a real
//! EHR.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::now_outside;
use super::sample::{Facts, Sample};
use super::stand_in_ehr::StandInEhr;
use crate::base::{ResourceType, UtcMillis};

/// Reports that one demo files at most.
const REPORTS_MAX: usize = 40;
/// Versions of one report at most.
const VERSIONS_MAX: u32 = 20;

/// What the lab last said of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Final,
    Corrected,
    Withdrawn,
}

/// One report as the lab knows it.
#[derive(Clone)]
pub(super) struct Filed {
    /// Its id in the EHR.
    pub(super) id: String,
    pub(super) sample: Sample,
    pub(super) said: Said,
    pub(super) version: u32,
    issued: UtcMillis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LabError {
    #[error("the lab knows no such report")]
    Unknown,
    #[error("this report was withdrawn; it stays so")]
    Withdrawn,
    #[error("the demo's lab has filed enough; end the demo and start it again for more")]
    Enough,
}

pub(super) struct Lab {
    ehr: Arc<StandInEhr>,
    filed: Mutex<Vec<Filed>>,
    /// One report is published after the other, so that no older version follows a newer one.
    publishing: tokio::sync::Mutex<()>,
    script_is_over: AtomicBool,
}

impl Lab {
    pub(super) fn new(ehr: Arc<StandInEhr>) -> Self {
        Self {
            ehr,
            filed: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            script_is_over: AtomicBool::new(false),
        }
    }

    /// In the order of filing.
    pub(super) fn reports(&self) -> Vec<Filed> {
        self.filed().clone()
    }

    /// Whether nothing more happens by itself.
    pub(super) fn is_script_over(&self) -> bool {
        self.script_is_over.load(Ordering::Relaxed)
    }

    pub(super) fn script_is_over(&self) {
        self.script_is_over.store(true, Ordering::Relaxed);
    }

    /// Of the patient of a report.
    pub(super) fn address_of(&self, report: &str) -> Option<&'static str> {
        self.filed().iter().find(|filed| filed.id == report).map(|filed| filed.sample.facts().person.email)
    }

    /// A new report; its id.
    pub(super) async fn file(&self, sample: Sample) -> Result<String, LabError> {
        let _turn = self.publishing.lock().await;
        let issued = now_outside();
        let filed = {
            let mut reports = self.filed();
            if reports.len() >= REPORTS_MAX {
                return Err(LabError::Enough);
            }
            let id = format!("sample-{}", reports.len() + 1);
            reports.push(Filed { id, sample, said: Said::Final, version: 1, issued });
            reports.last().cloned().ok_or(LabError::Unknown)?
        };
        self.publish(&filed).await;
        Ok(filed.id)
    }

    /// A new version of a report, with another file.
    pub(super) async fn correct(&self, report: &str) -> Result<(), LabError> {
        let _turn = self.publishing.lock().await;
        let filed = self.change(report, |filed| {
            if filed.version >= VERSIONS_MAX {
                return Err(LabError::Enough);
            }
            filed.version += 1;
            filed.said = Said::Corrected;
            Ok(())
        })?;
        self.publish(&filed).await;
        Ok(())
    }

    /// Entered in error.
    pub(super) async fn withdraw(&self, report: &str) -> Result<(), LabError> {
        let _turn = self.publishing.lock().await;
        let filed = self.change(report, |filed| {
            filed.said = Said::Withdrawn;
            Ok(())
        })?;
        self.publish(&filed).await;
        Ok(())
    }

    fn change(&self, report: &str, change: impl FnOnce(&mut Filed) -> Result<(), LabError>) -> Result<Filed, LabError> {
        let mut reports = self.filed();
        let filed = reports.iter_mut().find(|filed| filed.id == report).ok_or(LabError::Unknown)?;
        if filed.said == Said::Withdrawn {
            return Err(LabError::Withdrawn);
        }
        change(filed)?;
        Ok(filed.clone())
    }

    async fn publish(&self, filed: &Filed) {
        let facts = filed.sample.facts();
        let made_on = filed.issued.day();
        let pdf = filed.sample.pdf(filed.version, &made_on);
        let file_id = format!("{}-file-{}", filed.id, filed.version);
        let attachment = json!({
            "contentType": "application/pdf",
            "language": "en",
            "url": format!("Binary/{file_id}"),
            "size": pdf.len(),
            "hash": STANDARD.encode(Sha1::digest(&pdf)),
        });
        let binary = json!({"contentType": "application/pdf", "data": STANDARD.encode(&pdf)});
        self.ehr.put("Patient", facts.person.id, patient(&facts));
        self.ehr.put("Binary", &file_id, binary);
        self.ehr.put(facts.kind.as_str(), &filed.id, report(filed, &facts, &attachment));
        self.ehr.announce(facts.kind.as_str(), &filed.id).await;
    }

    fn filed(&self) -> MutexGuard<'_, Vec<Filed>> {
        self.filed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn patient(facts: &Facts) -> Value {
    json!({
        "active": true,
        "name": [{"text": facts.person.name}],
        "telecom": [{"system": "email", "value": facts.person.email, "use": "home", "rank": 1}],
        "birthDate": facts.person.born,
    })
}

fn report(filed: &Filed, facts: &Facts, attachment: &Value) -> Value {
    let code = json!({"coding": [{"system": "http://loinc.org", "code": facts.code}], "text": facts.title});
    let subject = json!({"reference": format!("Patient/{}", facts.person.id)});
    let issued = filed.issued.to_rfc3339();
    match facts.kind {
        ResourceType::DiagnosticReport => json!({
            "status": match filed.said {
                Said::Final => "final",
                Said::Corrected => "corrected",
                Said::Withdrawn => "entered-in-error",
            },
            "category": [{"coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"},
            ]}],
            "code": code,
            "subject": subject,
            "issued": issued,
            "presentedForm": [attachment],
        }),
        ResourceType::DocumentReference => {
            let (status, doc_status) = match filed.said {
                Said::Final => ("current", "final"),
                Said::Corrected => ("current", "amended"),
                Said::Withdrawn => ("entered-in-error", "entered-in-error"),
            };
            json!({
                "status": status,
                "docStatus": doc_status,
                "type": code,
                "subject": subject,
                "date": issued,
                "content": [{"attachment": attachment}],
            })
        }
    }
}
