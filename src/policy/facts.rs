//! What the rules may look at: codes, categories, flags. No names, no content.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::{ClinicId, ResourceType, UtcMillis};

/// `system|code`. A code without a system is kept apart and never matches a rule that names one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Coding {
    pub system: Option<String>,
    pub code: String,
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.system {
            Some(system) => write!(f, "{system}|{}", self.code),
            None => write!(f, "|{}", self.code),
        }
    }
}

/// Whom a decision is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientRole {
    Patient,
}

/// Both resource types' status elements, joined into what may be done with the report
/// (<https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html>,
/// <https://hl7.org/fhir/R4/valueset-document-reference-status.html>).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// `registered`, `partial`, `preliminary`: not finished; recorded, never sent.
    Unfinished,
    Final,
    Amended,
    Corrected,
    /// The old content remains valid.
    Appended,
    /// A document that a newer one replaced (`superseded`).
    Superseded,
    Cancelled,
    EnteredInError,
    /// Absent, `unknown`, or a code that the standard does not have: a person looks.
    Unknown,
}

/// The facts of one report version for one recipient.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    pub recipient: RecipientRole,
    /// `None` when no clinic is configured for the report; a rule that names a clinic then never matches.
    pub clinic: Option<ClinicId>,
    pub kind: ResourceType,
    pub status: ReportStatus,
    /// `DiagnosticReport.code` or `DocumentReference.type`.
    pub codes: Vec<Coding>,
    /// `category` of either type.
    pub categories: Vec<Coding>,
    /// When this version was issued, where the EHR says so.
    pub issued: Option<UtcMillis>,
}
