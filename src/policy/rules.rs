//! One rules file, compiled: what the clinic decided, and the hash that pins it.
//!
//! Must stay true: a `RuleSet` exists only if the whole file was sound; comments, spacing and row order
//! change neither decisions nor the hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono_tz::Tz;
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cases::Case;
use super::columns::{Columns, Said};
use super::errors::RulesErrors;
use super::facts::{Coding, Performer, RecipientRole, Word};
use super::laws::Law;
use super::needs::{Need, Needs};
use super::quiet::Quiet;
use super::read;
use super::table::Table;
use super::text::Patterns;
use super::vocabulary::{Action, Wording};
use super::when::{Predicate, When};
use crate::base::{OperatorName, UtcMillis};

/// Bytes of a rules file.
pub const RULES_BYTES_MAX: usize = 1024 * 1024;
/// Rows of one section of a file.
pub const PROFILES_MAX: usize = 1_000;
/// Values in one list.
pub const LIST_ITEMS_MAX: usize = 10_000;
/// Faults reported at once.
pub const FAULTS_MAX: usize = 50;

/// The fewest waking hours in which every patient can open a link.
pub const WAKING_FLOOR_SECONDS: u64 = 12 * 3600;
/// No link lives shorter.
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

/// Files beside the rules, by name: code sets.
pub type SideFiles = BTreeMap<String, String>;

/// The bounds that no row may pass.
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

/// Where a row stands in its file; both count from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Spot {
    pub line: usize,
    pub column: usize,
}

/// `[policy]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Header {
    pub id: String,
    /// The clinic's own name for this state of its rules.
    pub version: String,
    /// The zone that the file names; `None` leaves it to the clinic's.
    #[serde(serialize_with = "zone_name")]
    pub timezone: Option<Tz>,
    /// From when the file is meant to be in force.
    pub effective: Option<UtcMillis>,
    /// What becomes of a report for somebody else than the patient when no profile speaks of it.
    pub other_default: Action,
    /// The law packs, by name.
    pub laws: BTreeSet<String>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn zone_name<S: serde::Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
    zone.map(Tz::name).serialize(serializer)
}

/// One `[[service]]`: how a service of the clinic is recognised.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Service {
    pub name: Word,
    pub specialties: BTreeSet<Coding>,
    pub performers: BTreeSet<Performer>,
}

/// One `[[classify]]`: evidence that gives a report a tag.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Classify {
    pub id: String,
    pub tag: Word,
    pub when: When,
    #[serde(skip)]
    pub spot: Spot,
}

/// One `[[profile]]`: a kind of report and what happens to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Profile {
    pub id: String,
    /// The profiles that do not count when this one matches.
    pub over: BTreeSet<String>,
    pub when: When,
    pub then: Columns,
    /// What it says itself; the rest are defaults.
    #[serde(skip)]
    pub said: Said,
    #[serde(skip)]
    pub spot: Spot,
}

/// One `[[restrict]]`: what is asked of every report that it matches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Restrict {
    pub id: String,
    pub when: When,
    pub then: Columns,
    #[serde(skip)]
    pub said: Said,
    pub reason: Option<String>,
    #[serde(skip)]
    pub spot: Spot,
}

/// One `[[exception]]`: restrictions that do not count for some reports, for a while, by the word of two people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Exception {
    pub id: String,
    pub over: BTreeSet<String>,
    pub when: When,
    pub from: Option<UtcMillis>,
    pub until: UtcMillis,
    pub by: BTreeSet<OperatorName>,
    pub reason: String,
    #[serde(skip)]
    pub spot: Spot,
}

/// Everything that a sound rules file says, each section in the order of its ids.
#[derive(Clone, Debug, Serialize)]
pub struct Content {
    pub header: Header,
    pub limits: Limits,
    pub quiet: Option<Quiet>,
    pub services: Vec<Service>,
    pub classify: Vec<Classify>,
    pub profiles: Vec<Profile>,
    pub restricts: Vec<Restrict>,
    pub exceptions: Vec<Exception>,
    pub cases: Vec<Case>,
    pub laws: Vec<Law>,
    /// The code sets that the rules name, with all their codes.
    pub sets: BTreeMap<String, BTreeSet<Coding>>,
}

impl Content {
    /// The conditions of every row, also of the laws'.
    pub fn whens(&self) -> impl Iterator<Item = &When> {
        let laws = self.laws.iter().flat_map(Law::whens);
        self.classify
            .iter()
            .map(|row| &row.when)
            .chain(self.profiles.iter().map(|row| &row.when))
            .chain(self.restricts.iter().map(|row| &row.when))
            .chain(self.exceptions.iter().map(|row| &row.when))
            .chain(laws)
    }
}

/// A sound rules file.
#[derive(Clone)]
pub struct RuleSet {
    pub(super) content: Content,
    pub(super) patterns: Patterns,
    pub(super) table: Box<Table>,
    pub(super) hash: [u8; 32],
}

impl RuleSet {
    /// Reads a whole rules file that needs no other.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str) -> Result<Self, RulesErrors> {
        Self::load(text, &SideFiles::new())
    }

    /// Reads a whole rules file and the files beside it.
    ///
    /// # Errors
    /// Every fault found (at most [`FAULTS_MAX`]), with its place and remedy; a fault of TOML itself comes
    /// alone. Nothing is loaded then.
    pub fn load(text: &str, files: &SideFiles) -> Result<Self, RulesErrors> {
        read::load(text, files)
    }

    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.content.header.id
    }

    /// The clinic's own name for this state of its rules.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.content.header.version
    }

    /// The zone that the file names; `None` leaves it to the clinic's.
    #[must_use]
    pub fn timezone(&self) -> Option<Tz> {
        self.content.header.timezone
    }

    #[must_use]
    pub fn limits(&self) -> Limits {
        self.content.limits
    }

    /// When messages wait; `None` for never.
    #[must_use]
    pub fn quiet(&self) -> Option<&Quiet> {
        self.content.quiet.as_ref()
    }

    /// In the order of their ids.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.content.profiles
    }

    #[must_use]
    pub fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// What must be read beside a report before these rules can decide about it.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs: Needs = self.whens().flat_map(When::needs).collect();
        // A guardian's address typed as the teenager's own.
        let is_of_proxies =
            |when: &When| when.names(Predicate::Recipient) && when.roles().contains(&RecipientRole::Proxy);
        let speaks_of_proxies = self.whens().any(is_of_proxies);
        if !self.content.classify.is_empty() || self.speaks_of(Predicate::Age) || speaks_of_proxies {
            needs.insert(Need::RelatedContacts);
        }
        needs
    }

    /// To whom a report may go besides its patient: those of whom a profile speaks, or all of them where what no profile speaks of
    /// is not blocked. Nobody finds third parties in an EHR: there is no place that names them.
    #[must_use]
    pub fn further_roles(&self) -> BTreeSet<RecipientRole> {
        const SOUGHT: [RecipientRole; 3] =
            [RecipientRole::Proxy, RecipientRole::OrderingProvider, RecipientRole::CopyTo];
        let is_spoken_of = |role: &RecipientRole| match self.content.header.other_default {
            Action::Send | Action::ManualReview => true,
            Action::Block => self.profiles().iter().any(|profile| profile.when.roles().contains(role)),
        };
        SOUGHT.into_iter().filter(is_spoken_of).collect()
    }

    /// Whether some message is not to name the clinic.
    #[must_use]
    pub fn may_be_bare(&self) -> bool {
        let profiles = self.content.profiles.iter().map(|row| &row.then);
        profiles.chain(self.content.restricts.iter().map(|row| &row.then)).any(|then| then.wording == Wording::Bare)
    }

    /// Whether any row, also of a law, has this condition.
    #[must_use]
    pub fn speaks_of(&self, predicate: Predicate) -> bool {
        self.whens().any(|when| when.names(predicate))
    }

    /// Whether any row that concerns this recipient has this condition.
    #[must_use]
    pub fn speaks_to(&self, role: RecipientRole, predicate: Predicate) -> bool {
        self.whens().any(|when| when.names(predicate) && when.roles().contains(&role))
    }

    /// The conditions of every row, also of the laws'.
    pub fn whens(&self) -> impl Iterator<Item = &When> {
        self.content.whens()
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

impl PartialEq for RuleSet {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for RuleSet {}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleSet({} {}, {})", self.id(), self.version(), self.rules_hash_hex())
    }
}

/// The canonical content. Its form is part of every stored hash: a change needs a new `format`.
#[derive(Serialize)]
struct Canonical<'r> {
    format: &'static str,
    #[serde(flatten)]
    content: &'r Content,
}

/// Expects each section in the order of its ids.
pub(super) fn hash_of(content: &Content) -> Result<[u8; 32], serde_json::Error> {
    let canonical = Canonical { format: "chartseal-rules/2", content };
    Ok(Sha256::digest(serde_json::to_vec(&canonical)?).into())
}
