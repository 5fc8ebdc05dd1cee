//! One thing that was looked at.

use serde::Serialize;

use crate::fhir::{EhrError, FaultClass};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Works,
    /// It can stay so; staff should know.
    Note,
    Fails,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    pub verdict: Verdict,
    pub says: String,
    /// What to do; always there where it fails.
    pub remedy: Option<String>,
}

impl Finding {
    #[must_use]
    pub fn works(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Works, says: says.into(), remedy: None }
    }

    #[must_use]
    pub fn note(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Note, says: says.into(), remedy: None }
    }

    #[must_use]
    pub fn fails(what: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Fails, says: says.into(), remedy: Some(remedy.into()) }
    }

    #[must_use]
    pub fn with(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// A fault of the EHR's or of the way there, with the remedy that its text names.
    #[must_use]
    pub fn fault(what: &'static str, error: &EhrError) -> Self {
        Self::told(what, &error.to_string(), usual_remedy(error))
    }

    /// A fault in words that may hold its remedy behind a semicolon; `usual` where they do not.
    #[must_use]
    pub fn told(what: &'static str, text: &str, usual: &str) -> Self {
        match text.split_once("; ") {
            Some((says, remedy)) => Self::fails(what, says, remedy),
            None => Self::fails(what, text, usual),
        }
    }
}

const fn usual_remedy(error: &EhrError) -> &'static str {
    match error.class() {
        FaultClass::Transient => "run this again in a moment; if it stays so, show it to the EHR's operator",
        FaultClass::Settings => "compare this EHR's settings with what its staff gave out",
        FaultClass::Permanent => "show it to the EHR's operator",
    }
}
