//! What can go wrong between Chartseal and an EHR, named by whose fault it is.

use std::time::Duration;

use super::sign_in::SignInFault;

/// A resource that is not what the standard says. Names the place and the fault, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {why}")]
pub struct Malformed {
    /// A FHIR path, `DiagnosticReport.presentedForm[0].size`.
    pub path: String,
    pub why: &'static str,
}

impl Malformed {
    pub(super) fn new(path: impl Into<String>, why: &'static str) -> Self {
        Self { path: path.into(), why }
    }
}

/// What the caller can do about an [`EhrError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// Ask again later.
    Transient,
    /// The clinic's staff or the EHR's operator must change a setting first; asking again is harmless.
    Settings,
    /// The same question will get the same answer until the resource changes: a person looks at the report.
    Permanent,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EhrError {
    #[error("the EHR cannot be reached; check its address, the network and its certificate")]
    Unreachable,
    #[error("the EHR did not answer in time")]
    TimedOut,
    #[error("the EHR's answer ended before it was complete")]
    CutShort,
    #[error("the EHR refused access with status {status}; check the credentials and their scopes")]
    Refused { status: u16 },
    #[error(transparent)]
    SignIn(#[from] SignInFault),
    #[error("the EHR asks for fewer requests")]
    Overloaded { retry_after: Option<Duration> },
    #[error("the EHR failed with status {status}")]
    Server { status: u16 },
    #[error("the EHR does not accept the request (status {status})")]
    Rejected { status: u16 },
    #[error("the resource changed on the EHR while it was being written")]
    Conflict,
    #[error(
        "the answer is not FHIR JSON; check that the address is the FHIR base and that no login page or proxy answers"
    )]
    NotFhir,
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("the resource cannot be read: {0}")]
    Malformed(#[from] Malformed),
    #[error("the EHR points at an address that Chartseal does not follow: {why}")]
    ForbiddenUrl { why: &'static str },
    #[error("the attachment's server refused the link (status {status}); it may have expired, read the report again")]
    LinkRefused { status: u16 },
    #[error("the attachment is not what the report declares: {what}")]
    Mismatch { what: &'static str },
    #[error("the EHR no longer has it")]
    Gone,
    #[error("the report has no attachment")]
    NoAttachment,
    #[error("the EHR's connection settings cannot be used: {why}")]
    Settings { why: &'static str },
}

impl EhrError {
    #[must_use]
    pub const fn class(&self) -> FaultClass {
        match self {
            Self::SignIn(fault) => fault.class(),
            Self::Unreachable
            | Self::TimedOut
            | Self::CutShort
            | Self::Overloaded { .. }
            | Self::Server { .. }
            | Self::LinkRefused { .. }
            | Self::Conflict => FaultClass::Transient,
            Self::Refused { .. } | Self::NotFhir | Self::Settings { .. } => FaultClass::Settings,
            Self::Rejected { .. }
            | Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::ForbiddenUrl { .. }
            | Self::Mismatch { .. }
            | Self::Gone
            | Self::NoAttachment => FaultClass::Permanent,
        }
    }
}
