//! What the rules may look at: codes, categories, flags. No names, no content, no text.
//!
//! Must stay true: a fact that could not be learnt says so ([`Gathered::lacking`], [`Age::Unknown`], [`Flag::Unknown`]);
//! absence is never read as no. What is here is stored with the delivery, and decides the same for ever.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::contact::ContactStanding;
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
    /// Who acts for the patient: a parent, a guardian, an authorised person.
    Proxy,
    OrderingProvider,
    CopyTo,
    /// An employer, an insurer, anybody else.
    ThirdParty,
}

impl RecipientRole {
    pub const ALL: [Self; 5] = [Self::Patient, Self::Proxy, Self::OrderingProvider, Self::CopyTo, Self::ThirdParty];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Proxy => "proxy",
            Self::OrderingProvider => "ordering_provider",
            Self::CopyTo => "copy_to",
            Self::ThirdParty => "third_party",
        }
    }
}

/// On what ground a proxy acts for the patient.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    Parent,
    Guardian,
    /// An attorney in health matters, a responsible party.
    Representative,
}

impl Basis {
    pub const ALL: [Self; 3] = [Self::Parent, Self::Guardian, Self::Representative];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Guardian => "guardian",
            Self::Representative => "representative",
        }
    }
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

/// Where in the resources something was found: `code`, `result[2].code`, `basedOn[0].reasonCode`. Holds element names and
/// positions, never an id or a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactPath(pub String);

/// A value and where it was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Sighted<T> {
    pub value: T,
    pub at: FactPath,
}

/// Why there may be more than was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// The EHR did not answer in time, or not at all.
    TimedOut,
    /// The EHR refused to show it.
    Refused,
    /// The report names something that the EHR does not have.
    NotFound,
    /// It is not as the standard says.
    Unreadable,
    /// More than Chartseal reads.
    TooMany,
    /// The report names something on another server, or by words alone.
    Elsewhere,
    /// This was not asked: the rules of that time did not look at it.
    NotAsked,
}

impl Lack {
    /// In words, after the name of the fact.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "the EHR did not answer in time",
            Self::Refused => "the EHR refused to show it",
            Self::NotFound => "the EHR does not have what the report names",
            Self::Unreadable => "it cannot be read as the standard says",
            Self::TooMany => "there is more than Chartseal reads",
            Self::Elsewhere => "it is on another server or named by words alone",
            Self::NotAsked => "it was not asked for",
        }
    }
}

/// Values of which perhaps not all could be learnt: what is found is there; what is not found is absent only when nothing
/// is lacking.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gathered<T> {
    pub found: Vec<Sighted<T>>,
    pub lacking: BTreeSet<Lack>,
}

impl<T> Gathered<T> {
    /// Nothing, and nothing more to know.
    #[must_use]
    pub const fn none() -> Self {
        Self { found: Vec::new(), lacking: BTreeSet::new() }
    }

    /// Nothing is known.
    #[must_use]
    pub fn lacking(why: Lack) -> Self {
        Self { found: Vec::new(), lacking: BTreeSet::from([why]) }
    }

    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lacking.is_empty()
    }

    pub fn add(&mut self, value: T, at: FactPath) {
        self.found.push(Sighted { value, at });
    }

    /// Adds what was found and what is lacking elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.found.extend(other.found);
        self.lacking.extend(other.lacking);
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.found.iter().map(|sighted| &sighted.value)
    }
}

/// Facts stored before a fact existed do not know it.
impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self::lacking(Lack::NotAsked)
    }
}

/// A yes or no that may be unknown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    No,
    Yes,
    #[default]
    Unknown,
}

/// The patient's age in whole years on the day of the decision, in the patient's zone. A birth date of which only the year
/// or month is known gives a range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Age {
    #[default]
    Unknown,
    Years {
        least: u16,
        most: u16,
    },
}

/// Below this age a patient may have guardians whose address stands in their record, where a clinic's law says nothing else.
pub const ADULT_AT_YEARS: u16 = 18;

impl Age {
    /// Whether somebody of this age may be younger than `adult_at` years.
    #[must_use]
    pub const fn may_be_below(self, adult_at: u16) -> bool {
        match self {
            Self::Unknown => true,
            Self::Years { least, .. } => least < adult_at,
        }
    }
}

/// One text pattern of the rules, by a hash of what it says: what a stored fact can be compared with in another version of
/// the rules. See [`crate::policy::text`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PatternId(pub u64);

/// Which patterns the report's texts matched. A pattern that was not tried is unknown, as is one that was tried on texts of
/// which some are lacking.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TextFacts {
    pub tried: BTreeSet<PatternId>,
    pub matched: Gathered<PatternId>,
}

/// A lower-case word of the clinic's or of a role: a service, a consent, a preference.
pub type Word = String;

/// `Organization/12`, `PractitionerRole/7`: who made the report. No name.
pub type Performer = String;

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
    /// Codes of the result's members at any depth, and `conclusionCode`.
    #[serde(default)]
    pub results: Gathered<Coding>,
    /// Security labels of the report, its order, its encounter and its members; confidentiality among them.
    #[serde(default)]
    pub labels: Gathered<Coding>,
    /// `ServiceRequest.code`.
    #[serde(default)]
    pub orders: Gathered<Coding>,
    /// `ServiceRequest.reasonCode`.
    #[serde(default)]
    pub reasons: Gathered<Coding>,
    /// Performers, authors and custodian.
    #[serde(default)]
    pub performers: Gathered<Performer>,
    /// What kind of service it is: `Encounter.serviceType`, `PractitionerRole.specialty`, `ServiceRequest.category`,
    /// `DocumentReference.context.practiceSetting`.
    #[serde(default)]
    pub specialties: Gathered<Coding>,
    /// A service named by the clinic's own word, in facts files and tests alone.
    #[serde(default)]
    pub services: Vec<Word>,
    /// `Encounter.class`.
    #[serde(default)]
    pub encounters: Gathered<Coding>,
    #[serde(default)]
    pub text: TextFacts,
    #[serde(default)]
    pub age: Age,
    /// Consents in force, by their category codes.
    #[serde(default)]
    pub consents: Gathered<Word>,
    /// On what grounds a proxy acts for the patient; nothing found is none, as for every other recipient. Left out where nobody
    /// asked, as `contact` is.
    #[serde(default, skip_serializing_if = "was_not_asked")]
    pub basis: Gathered<Basis>,
    /// What the patient asked for, as staff recorded it.
    #[serde(default)]
    pub preferences: Gathered<Word>,
    /// What is recorded of the address that it would go to; nothing found is nothing recorded. Left out where nobody asked, so
    /// that the tests of a rules file hash as they did before there was this fact.
    #[serde(default, skip_serializing_if = "was_not_asked")]
    pub contact: Gathered<ContactStanding>,
    /// Whether a result is flagged HH, LL or AA.
    #[serde(default)]
    pub critical: Flag,
}

impl Facts {
    /// The facts that a report alone gives, with everything else not asked for.
    #[must_use]
    pub fn bare(kind: ResourceType, status: ReportStatus) -> Self {
        Self {
            recipient: RecipientRole::Patient,
            clinic: None,
            kind,
            status,
            codes: Vec::new(),
            categories: Vec::new(),
            issued: None,
            results: Gathered::default(),
            labels: Gathered::default(),
            orders: Gathered::default(),
            reasons: Gathered::default(),
            performers: Gathered::default(),
            specialties: Gathered::default(),
            services: Vec::new(),
            encounters: Gathered::default(),
            text: TextFacts::default(),
            age: Age::default(),
            consents: Gathered::default(),
            basis: Gathered::default(),
            preferences: Gathered::default(),
            contact: Gathered::default(),
            critical: Flag::default(),
        }
    }
}

fn was_not_asked<T: PartialEq>(fact: &Gathered<T>) -> bool {
    *fact == Gathered::default()
}
