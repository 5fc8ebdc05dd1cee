//! Why signing in failed: whose fault, and what to do.

use crate::fhir::error::{EhrError, FaultClass};

/// What a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Key,
    Secret,
    Certificate,
}

impl Proof {
    const fn remedy(self) -> &'static str {
        match self {
            Self::Key => {
                "compare client_id and `signature`, and have the EHR's staff register the public keys of this installation \
                 (`chartseal ehrs keys` prints them, /.well-known/jwks.json serves them)"
            }
            Self::Secret => {
                "compare client_id, client_secret_file and client_secret_in with what the EHR's staff gave out"
            }
            Self::Certificate => {
                "compare client_id, and have the EHR's staff register the certificate in certificate_file"
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInFault {
    /// Outside.
    #[error("the EHR's token endpoint cannot be reached; check its address, the network and its certificate")]
    Unreachable,
    /// The EHR.
    #[error("the EHR's token endpoint did not answer in time")]
    TimedOut,
    /// The EHR.
    #[error("the EHR's token endpoint failed with status {status}")]
    Server { status: u16 },
    /// Staff, or the EHR's.
    #[error(
        "the EHR's .well-known/smart-configuration cannot be read or names no token endpoint; ask the EHR's staff for it and set token_url"
    )]
    NoConfiguration,
    /// Staff, or an attack.
    #[error(
        "the EHR's .well-known/smart-configuration names a token endpoint at another server; if the EHR's staff confirm that address, set it as token_url"
    )]
    Elsewhere,
    /// Staff, or an attack.
    #[error(
        "the EHR's token endpoint answers with a redirect, which is not followed; set token_url to its real address"
    )]
    Redirect,
    /// Staff.
    #[error("the EHR does not know this client (invalid_client): {}{}", proof.remedy(), clock(*clock_off_seconds))]
    RefusedClient { proof: Proof, clock_off_seconds: i64 },
    /// The EHR's staff.
    #[error(
        "the EHR does not let this client sign in as a service (unauthorized_client); have its staff allow client_credentials"
    )]
    NotAllowed,
    /// Staff.
    #[error(
        "the EHR grants this client nothing of what is asked for (invalid_scope); have its staff allow it, or set `scope` to what they allow"
    )]
    NoScope,
    /// Staff.
    #[error(
        "the EHR's token endpoint does not understand the request (status {status}, {code}); check token_url and which `auth` the EHR expects"
    )]
    NotUnderstood { status: u16, code: &'static str },
    /// The EHR, or a proxy before it.
    #[error(
        "what the EHR's token endpoint answers is no token: {why}; check token_url, and that no login page or proxy answers"
    )]
    NoToken { why: &'static str },
    /// Us: the keys are in our database, sealed under our root key.
    #[error("the keys that sign for this installation cannot be used now; `chartseal ehrs keys` says why")]
    KeysAway,
}

impl SignInFault {
    pub(in crate::fhir) const fn class(&self) -> FaultClass {
        match self {
            Self::Unreachable | Self::TimedOut | Self::Server { .. } | Self::KeysAway => FaultClass::Transient,
            Self::NoConfiguration
            | Self::Elsewhere
            | Self::Redirect
            | Self::RefusedClient { .. }
            | Self::NotAllowed
            | Self::NoScope
            | Self::NotUnderstood { .. }
            | Self::NoToken { .. } => FaultClass::Settings,
        }
    }
}

/// The connection to the token endpoint, not to the EHR's FHIR base, is at fault.
pub(super) fn of_connection(error: EhrError) -> EhrError {
    if matches!(error, EhrError::TimedOut) {
        SignInFault::TimedOut.into()
    } else if matches!(error, EhrError::Unreachable | EhrError::CutShort) {
        SignInFault::Unreachable.into()
    } else {
        error
    }
}

/// Clocks this far apart spoil assertions.
const CLOCK_FAR_SECONDS: i64 = 30;

fn clock(off_seconds: i64) -> String {
    if off_seconds.abs() < CLOCK_FAR_SECONDS {
        return String::new();
    }
    let side = if off_seconds < 0 { "behind" } else { "ahead of" };
    let off = off_seconds.unsigned_abs();
    format!("; its clock is {off} s {side} ours, which alone can be why: have both set")
}
