//! The malware scanner beside this program, asked about every attachment on its way to be sealed.
//!
//! Job: hand the bytes to `clamd` as they pass, and say truthfully what it said, or that it said nothing.
//! Must stay true: only its own `OK` is clean; a scanner that cannot be reached, is too slow, hangs up or says anything else has not
//! scanned; every call ends in bounded time; nothing of the bytes is kept.
//! Must not know: what becomes of the answer, whose the bytes are.

mod clamd;
mod place;
#[cfg(test)]
mod tests;

use std::fmt;

pub use clamd::{Clamd, Scanning};
pub use place::{Place, PlaceError};

/// Longest name of a finding that is kept, in characters.
const SIGNATURE_CHARACTERS_MAX: usize = 80;

/// What a scanner said of a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Clean,
    Found(Signature),
}

/// What a scanner calls its finding. From its database, not from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(String);

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanFault {
    /// Staff, or outside.
    #[error("the malware scanner cannot be reached")]
    NotReached,
    #[error("the malware scanner did not answer in time")]
    TooSlow,
    #[error("the malware scanner hung up")]
    HungUp,
    /// Staff: its `StreamMaxLength` is smaller than the file.
    #[error("the file is larger than the malware scanner takes (StreamMaxLength in its clamd.conf)")]
    TooLarge,
    #[error("the malware scanner could not scan the file")]
    Failed,
    #[error("what answers as the malware scanner is none")]
    NotOne,
}

impl ScanFault {
    /// Whether another try may end otherwise.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        match self {
            Self::NotReached | Self::TooSlow | Self::HungUp | Self::Failed => true,
            Self::TooLarge | Self::NotOne => false,
        }
    }
}

impl Signature {
    /// Keeps what the names of signatures are made of.
    fn said(text: &str) -> Self {
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || "._-/:()".contains(*c);
        let kept: String = text.trim().chars().filter(is_plain).take(SIGNATURE_CHARACTERS_MAX).collect();
        Self(if kept.is_empty() { "unnamed".to_owned() } else { kept })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
