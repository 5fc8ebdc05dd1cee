//! The left-hand side of a rule: which reports it speaks of.
//!
//! Must stay true: all conditions must hold (and), one value of a condition suffices (or), of the conditions under `any`
//! one suffices. A condition holds, does not hold, or is unknown; adding a fact never unmatches a rule (of what there is only
//! one, an age or the address's state, another value may).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::codes::Confidentiality;
use super::facts::{Coding, Performer, RecipientRole, Word};
use super::needs::{Need, Needs};
use super::text::Pattern;
use crate::base::{ClinicId, ResourceType};

/// A condition of `when`, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    Recipient,
    Clinic,
    Resource,
    Category,
    Type,
    Code,
    Holds,
    Set,
    Prefix,
    Label,
    Confidentiality,
    Order,
    Reason,
    Performer,
    Service,
    Encounter,
    Text,
    Age,
    Consent,
    Basis,
    Preference,
    Contact,
    ContactConfirmedWithin,
    ContactNotConfirmedWithin,
    Critical,
    Tag,
    /// Several conditions of which one suffices.
    Any,
}

impl Predicate {
    pub const ALL: [Self; 27] = [
        Self::Recipient,
        Self::Clinic,
        Self::Resource,
        Self::Category,
        Self::Type,
        Self::Code,
        Self::Holds,
        Self::Set,
        Self::Prefix,
        Self::Label,
        Self::Confidentiality,
        Self::Order,
        Self::Reason,
        Self::Performer,
        Self::Service,
        Self::Encounter,
        Self::Text,
        Self::Age,
        Self::Consent,
        Self::Basis,
        Self::Preference,
        Self::Contact,
        Self::ContactConfirmedWithin,
        Self::ContactNotConfirmedWithin,
        Self::Critical,
        Self::Tag,
        Self::Any,
    ];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Clinic => "clinic",
            Self::Resource => "resource",
            Self::Category => "category",
            Self::Type => "type",
            Self::Code => "code",
            Self::Holds => "holds",
            Self::Set => "set",
            Self::Prefix => "prefix",
            Self::Label => "label",
            Self::Confidentiality => "confidentiality",
            Self::Order => "order",
            Self::Reason => "reason",
            Self::Performer => "performer",
            Self::Service => "service",
            Self::Encounter => "encounter",
            Self::Text => "text",
            Self::Age => "age",
            Self::Consent => "consent",
            Self::Basis => "basis",
            Self::Preference => "preference",
            Self::Contact => "contact",
            Self::ContactConfirmedWithin => "contact_confirmed_within",
            Self::ContactNotConfirmedWithin => "contact_not_confirmed_within",
            Self::Critical => "critical",
            Self::Tag => "tag",
            Self::Any => "any",
        }
    }

    /// What must be read beside the report for this condition.
    #[must_use]
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Self::Recipient
            | Self::Clinic
            | Self::Resource
            | Self::Category
            | Self::Type
            | Self::Code
            | Self::Performer
            | Self::Age
            | Self::Basis
            | Self::Preference
            | Self::Contact
            | Self::ContactConfirmedWithin
            | Self::ContactNotConfirmedWithin
            | Self::Tag
            | Self::Any => &[],
            Self::Holds | Self::Set | Self::Prefix => &[Need::Members, Need::Order],
            Self::Label | Self::Confidentiality => &[Need::Members, Need::Order, Need::Encounter],
            Self::Order | Self::Reason => &[Need::Order],
            Self::Service => &[Need::Specialty, Need::Encounter],
            Self::Encounter => &[Need::Encounter],
            Self::Text => &[Need::Text],
            Self::Consent => &[Need::Consent],
            Self::Critical => &[Need::Members],
        }
    }
}

/// Full years: from a birthday on, until just before another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct AgeRange {
    pub from: u16,
    pub below: u16,
}

/// What one condition asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Roles(BTreeSet<RecipientRole>),
    Clinics(BTreeSet<ClinicId>),
    Kinds(BTreeSet<ResourceType>),
    /// Canonical codings.
    Codes(BTreeSet<Coding>),
    /// The beginnings of codes.
    Prefixes(BTreeSet<Coding>),
    /// Names of sets, services, consents, grounds, preferences, contact states or tags.
    Words(BTreeSet<Word>),
    Performers(BTreeSet<Performer>),
    Patterns(BTreeSet<Pattern>),
    AtLeast(Confidentiality),
    Age(AgeRange),
    /// So many seconds back.
    Within(u64),
    /// The flag is set.
    Yes,
}

impl Condition {
    /// How many values it names.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Roles(values) => values.len(),
            Self::Clinics(values) => values.len(),
            Self::Kinds(values) => values.len(),
            Self::Codes(values) | Self::Prefixes(values) => values.len(),
            Self::Words(values) | Self::Performers(values) => values.len(),
            Self::Patterns(values) => values.len(),
            Self::AtLeast(_) | Self::Age(_) | Self::Within(_) | Self::Yes => 1,
        }
    }
}

/// The conditions of one rule.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct When {
    pub all: BTreeMap<Predicate, Condition>,
    /// Empty, or one of these suffices.
    pub any: BTreeMap<Predicate, Condition>,
}

impl When {
    /// Every condition, also those under `any`.
    pub fn conditions(&self) -> impl Iterator<Item = (Predicate, &Condition)> {
        self.all.iter().chain(&self.any).map(|(predicate, condition)| (*predicate, condition))
    }

    /// Whether it names `predicate`.
    #[must_use]
    pub fn names(&self, predicate: Predicate) -> bool {
        self.all.contains_key(&predicate) || self.any.contains_key(&predicate)
    }

    /// The roles that it speaks of.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<RecipientRole> {
        match self.all.get(&Predicate::Recipient) {
            Some(Condition::Roles(roles)) => roles.clone(),
            Some(
                Condition::Clinics(_)
                | Condition::Kinds(_)
                | Condition::Codes(_)
                | Condition::Prefixes(_)
                | Condition::Words(_)
                | Condition::Performers(_)
                | Condition::Patterns(_)
                | Condition::AtLeast(_)
                | Condition::Age(_)
                | Condition::Within(_)
                | Condition::Yes,
            )
            | None => RecipientRole::ALL.into_iter().collect(),
        }
    }

    #[must_use]
    pub fn needs(&self) -> Needs {
        self.conditions().flat_map(|(predicate, _)| predicate.needs()).copied().collect()
    }
}
