//! One rules file, compiled: what the clinic decided, and the hash that pins it.
//!
//! Must stay true: a `RuleSet` exists only if the whole file was sound; comments, spacing and row order
//! change neither decisions nor the hash.

use std::collections::BTreeSet;
use std::fmt;

use chrono_tz::Tz;
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::columns::Columns;
use super::errors::RulesErrors;
use super::matching::When;
use super::parse;

/// Bytes of a rules file.
pub const RULES_BYTES_MAX: usize = 1024 * 1024;
/// `[[profile]]` rows of a file.
pub const PROFILES_MAX: usize = 1_000;
/// Values in one list.
pub const LIST_ITEMS_MAX: usize = 10_000;
/// Faults reported at once.
pub const FAULTS_MAX: usize = 50;

/// No patient can be asked to open a link within less.
pub const EXPIRY_FLOOR_SECONDS: u64 = 12 * 3600;
/// The longest life of a link where `[limits]` does not say, and the most that it may say.
pub const EXPIRY_CEILING_SECONDS: u64 = 30 * 86_400;
/// The most openings where `[limits]` does not say.
pub const OPENS_LIMIT_DEFAULT: u16 = 20;
/// The most openings that `[limits]` may allow.
pub const OPENS_CEILING: u16 = 100;
/// The longest hold where `[limits]` does not say, and the most that it may say.
pub const HOLD_CEILING_SECONDS: u64 = 30 * 86_400;

/// A first rules file: routine laboratory reports by their exact codes, everything else to review.
pub const STARTER_RULES: &str = include_str!("../../policies/starter.toml");

/// The bounds that no profile may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Limits {
    pub expiry_min_seconds: u64,
    pub expiry_max_seconds: u64,
    pub opens_max: u16,
    pub hold_max_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            expiry_min_seconds: EXPIRY_FLOOR_SECONDS,
            expiry_max_seconds: EXPIRY_CEILING_SECONDS,
            opens_max: OPENS_LIMIT_DEFAULT,
            hold_max_seconds: HOLD_CEILING_SECONDS,
        }
    }
}

/// One `[[profile]]`: a kind of report and what happens to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Profile {
    pub id: String,
    /// The profiles that do not count when this one matches.
    pub over: BTreeSet<String>,
    pub when: When,
    pub then: Columns,
}

/// A sound rules file.
#[derive(Clone, PartialEq, Eq)]
pub struct RuleSet {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) timezone: Option<Tz>,
    pub(super) limits: Limits,
    /// In the order of their ids.
    pub(super) profiles: Vec<Profile>,
    pub(super) hash: [u8; 32],
}

impl RuleSet {
    /// Reads a whole rules file.
    ///
    /// # Errors
    /// Every fault found (at most [`FAULTS_MAX`]), with its place and remedy; a fault of TOML itself comes
    /// alone. Nothing is loaded then.
    pub fn parse(text: &str) -> Result<Self, RulesErrors> {
        parse::parse(text)
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The clinic's own name for this state of its rules.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The zone that the file names; `None` leaves it to the clinic's.
    #[must_use]
    pub fn timezone(&self) -> Option<Tz> {
        self.timezone
    }

    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// In the order of their ids.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// SHA-256 of the canonical content, defaults filled in: what a decision is pinned to.
    #[must_use]
    pub fn rules_hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The hash as 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn rules_hash_hex(&self) -> String {
        HEXLOWER.encode(&self.hash)
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleSet({} {}, {})", self.id, self.version, self.rules_hash_hex())
    }
}

/// The canonical content. Its form is part of every stored hash: a change needs a new `format`.
#[derive(Serialize)]
struct Canonical<'r> {
    format: &'static str,
    id: &'r str,
    version: &'r str,
    timezone: Option<&'static str>,
    limits: Limits,
    profiles: &'r [Profile],
}

/// Expects `profiles` in the order of their ids.
pub(super) fn hash_of(
    id: &str,
    version: &str,
    timezone: Option<Tz>,
    limits: Limits,
    profiles: &[Profile],
) -> Result<[u8; 32], serde_json::Error> {
    let canonical =
        Canonical { format: "chartseal-rules/1", id, version, timezone: timezone.map(Tz::name), limits, profiles };
    Ok(Sha256::digest(serde_json::to_vec(&canonical)?).into())
}
