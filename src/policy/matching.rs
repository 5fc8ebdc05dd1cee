//! The left-hand side of a rule: which reports it speaks of.
//!
//! Must stay true: all dimensions must hold (and), one value of a dimension suffices (or), a dimension that
//! the rule does not name holds always. Adding a code or category to the facts never unmatches a rule.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::codes;
use super::facts::{Coding, Facts, RecipientRole};
use crate::base::{ClinicId, ResourceType};

/// A dimension of `when`, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    Recipient,
    Clinic,
    Resource,
    Category,
    Type,
    Code,
}

impl Predicate {
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
        }
    }
}

/// The conditions of one rule. An empty set is no condition, except `recipients`, which is never empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct When {
    /// A rule that names no recipient speaks of the patient alone, also when other roles come to be.
    pub recipients: BTreeSet<RecipientRole>,
    pub clinics: BTreeSet<ClinicId>,
    pub kinds: BTreeSet<ResourceType>,
    pub categories: BTreeSet<Coding>,
    /// `DocumentReference.type`; never matches a `DiagnosticReport`.
    pub types: BTreeSet<Coding>,
    /// `DiagnosticReport.code` or `DocumentReference.type`.
    pub codes: BTreeSet<Coding>,
}

impl Default for When {
    fn default() -> Self {
        Self {
            recipients: BTreeSet::from([RecipientRole::Patient]),
            clinics: BTreeSet::new(),
            kinds: BTreeSet::new(),
            categories: BTreeSet::new(),
            types: BTreeSet::new(),
            codes: BTreeSet::new(),
        }
    }
}

/// Facts with their codes in canonical form; codes without a system are gone, for they match nothing.
pub(super) struct Evidence<'f> {
    facts: &'f Facts,
    codes: BTreeSet<Coding>,
    categories: BTreeSet<Coding>,
}

impl<'f> Evidence<'f> {
    pub(super) fn of(facts: &'f Facts) -> Self {
        Self {
            facts,
            codes: facts.codes.iter().filter_map(codes::canonical).collect(),
            categories: facts.categories.iter().filter_map(codes::canonical).collect(),
        }
    }
}

impl When {
    /// The first condition that does not hold; `None` when the rule matches.
    pub(super) fn first_failure(&self, evidence: &Evidence<'_>) -> Option<Predicate> {
        let facts = evidence.facts;
        let is_document = facts.kind == ResourceType::DocumentReference;
        let held = [
            (Predicate::Recipient, self.recipients.contains(&facts.recipient)),
            (
                Predicate::Clinic,
                self.clinics.is_empty() || facts.clinic.as_ref().is_some_and(|clinic| self.clinics.contains(clinic)),
            ),
            (Predicate::Resource, self.kinds.is_empty() || self.kinds.contains(&facts.kind)),
            (Predicate::Category, meets(&self.categories, &evidence.categories)),
            (Predicate::Type, self.types.is_empty() || is_document && meets(&self.types, &evidence.codes)),
            (Predicate::Code, meets(&self.codes, &evidence.codes)),
        ];
        held.into_iter().find(|(_, holds)| !holds).map(|(predicate, _)| predicate)
    }
}

/// Looks up the smaller set in the larger, so that a report with ten thousand codes costs no more than the
/// rules have codes.
fn meets(wanted: &BTreeSet<Coding>, found: &BTreeSet<Coding>) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let (small, large) = if wanted.len() <= found.len() { (wanted, found) } else { (found, wanted) };
    small.iter().any(|coding| large.contains(coding))
}
