//! What the malware scanner says of an attachment, and what that means for its delivery.
//!
//! Must stay true: where a clinic has a scanner, nothing leaves that it found something in, whoever releases it; what it could not
//! scan leaves only where the clinic says so, and the audit tells.

use super::Hindrance;
use crate::audit::AuditEvent;
use crate::policy::ReviewReason;
use crate::scan::{Clamd, ScanFault, Scanning, Verdict};

/// Whether attachments are scanned, and what becomes of those that could not be.
#[derive(Clone, Debug)]
pub enum MalwareScan {
    Unasked,
    By { clamd: Clamd, unscanned: Unscanned },
}

/// What becomes of an attachment about which the scanner says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unscanned {
    /// It waits for the scanner, and at last for a person.
    Hold,
    /// It leaves.
    Send,
}

/// Whether there is a scanner, and it answers.
pub enum Proved {
    Unasked,
    Answers { version: String },
    Fault { fault: ScanFault, unscanned: Unscanned },
}

/// A look at an attachment that is on its way to be sealed.
pub(super) enum Scan {
    Unasked,
    Asked { scanning: Scanning, unscanned: Unscanned },
}

/// What is recorded of an attachment that leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scanned {
    Unasked,
    Clean,
    Unscanned(ScanFault),
}

impl MalwareScan {
    /// Asks the scanner what it is.
    pub async fn prove(&self) -> Proved {
        match self {
            Self::Unasked => Proved::Unasked,
            Self::By { clamd, unscanned } => match clamd.version().await {
                Ok(version) => Proved::Answers { version },
                Err(fault) => Proved::Fault { fault, unscanned: *unscanned },
            },
        }
    }

    pub(super) async fn begin(&self) -> Scan {
        match self {
            Self::Unasked => Scan::Unasked,
            Self::By { clamd, unscanned } => Scan::Asked { scanning: clamd.begin().await, unscanned: *unscanned },
        }
    }
}

impl Scan {
    pub(super) async fn give(&mut self, bytes: &[u8]) {
        match self {
            Self::Unasked => {}
            Self::Asked { scanning, .. } => scanning.give(bytes).await,
        }
    }

    /// Whether what was given, all of it, may leave.
    pub(super) async fn judge(self) -> Result<Scanned, Hindrance> {
        let (said, unscanned) = match self {
            Self::Unasked => return Ok(Scanned::Unasked),
            Self::Asked { scanning, unscanned } => (scanning.finish().await, unscanned),
        };
        match (said, unscanned) {
            (Ok(Verdict::Clean), _) => Ok(Scanned::Clean),
            (Ok(Verdict::Found(what)), _) => Err(Hindrance::Review(ReviewReason::Malware { what: what.to_string() })),
            (Err(fault), Unscanned::Send) => {
                tracing::warn!(%fault, "an attachment is sent that the malware scanner did not scan");
                Ok(Scanned::Unscanned(fault))
            }
            (Err(fault), Unscanned::Hold) if fault.is_passing() => Err(Hindrance::Later { why: fault.to_string() }),
            (Err(fault), Unscanned::Hold) => {
                Err(Hindrance::Review(ReviewReason::Attachment { why: fault.to_string() }))
            }
        }
    }
}

impl Scanned {
    pub(super) fn told(self) -> Option<AuditEvent> {
        match self {
            Self::Unasked => None,
            Self::Clean => Some(AuditEvent::ScannedClean),
            Self::Unscanned(fault) => Some(AuditEvent::SentUnscanned { why: fault.to_string() }),
        }
    }
}
