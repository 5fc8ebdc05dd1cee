//! The facts in canonical form, each with its place: what every condition is asked of when somebody wants to know why.
//!
//! Must stay true: a code without a system is gone, for it matches nothing; a label of confidentiality without one may only
//! raise; what may be lacking is lacking for every condition that looks there.

use std::collections::BTreeSet;

use super::codes::{self, Confidentiality};
use super::facts::{Coding, FactPath, Facts, Gathered, Lack, Performer, Sighted};
use super::rules::Service;
use super::when::Predicate;
use crate::base::ResourceType;

/// Facts with canonical codes and where each stands.
pub(super) struct Canon<'f> {
    pub(super) facts: &'f Facts,
    pub(super) own: Vec<Sighted<Coding>>,
    pub(super) categories: Vec<Sighted<Coding>>,
    /// The classes above the report's own codes.
    own_classes: Vec<Sighted<Coding>>,
    results: Vec<Sighted<Coding>>,
    pub(super) orders: Vec<Sighted<Coding>>,
    pub(super) reasons: Vec<Sighted<Coding>>,
    pub(super) labels: Vec<Sighted<Coding>>,
    pub(super) encounters: Vec<Sighted<Coding>>,
    pub(super) specialties: Vec<Sighted<Coding>>,
    pub(super) level: Option<Sighted<Confidentiality>>,
}

impl<'f> Canon<'f> {
    pub(super) fn of(facts: &'f Facts) -> Self {
        let own = plain(&facts.codes, own_path(facts.kind));
        Self {
            own_classes: own.iter().flat_map(|code| classes_of(code).skip(1)).collect(),
            own,
            results: with_classes(&facts.results),
            categories: plain(&facts.categories, "category"),
            orders: with_classes(&facts.orders),
            reasons: with_classes(&facts.reasons),
            labels: canonical(&facts.labels),
            encounters: canonical(&facts.encounters),
            specialties: canonical(&facts.specialties),
            level: highest(&facts.labels),
            facts,
        }
    }

    /// The report's own codes, its members', its order's and the order's reasons.
    pub(super) fn anywhere(&self) -> impl Iterator<Item = &Sighted<Coding>> {
        let own = self.own.iter().chain(&self.own_classes);
        own.chain(&self.results).chain(&self.orders).chain(&self.reasons)
    }

    /// What is lacking for a condition; empty when everything it looks at is known.
    pub(super) fn lacking(&self, predicate: Predicate) -> BTreeSet<Lack> {
        lacks_of(self.facts, predicate).into_iter().flatten().copied().collect()
    }

    /// Where the report shows that it belongs to a service.
    pub(super) fn service(&self, service: &Service) -> Option<FactPath> {
        let by_specialty = self.specialties.iter().find(|seen| service.specialties.contains(&seen.value));
        let by_performer = || -> Option<&Sighted<Performer>> {
            self.facts.performers.found.iter().find(|seen| service.performers.contains(&seen.value))
        };
        by_specialty.map(|seen| seen.at.clone()).or_else(|| by_performer().map(|seen| seen.at.clone()))
    }
}

/// Whether there may be more than was found of what a condition looks at.
pub(super) fn is_lacking(facts: &Facts, predicate: Predicate) -> bool {
    lacks_of(facts, predicate).into_iter().any(|lacks| !lacks.is_empty())
}

/// Where a condition looks, what may be lacking there.
const fn lacks_of(facts: &Facts, predicate: Predicate) -> [&BTreeSet<Lack>; 3] {
    const NONE: &BTreeSet<Lack> = &BTreeSet::new();
    match predicate {
        Predicate::Recipient
        | Predicate::Clinic
        | Predicate::Resource
        | Predicate::Category
        | Predicate::Type
        | Predicate::Code
        | Predicate::Age
        | Predicate::Critical
        | Predicate::Tag
        | Predicate::Any => [NONE; 3],
        Predicate::Holds | Predicate::Set | Predicate::Prefix => {
            [&facts.results.lacking, &facts.orders.lacking, &facts.reasons.lacking]
        }
        Predicate::Label | Predicate::Confidentiality => [&facts.labels.lacking, NONE, NONE],
        Predicate::Order => [&facts.orders.lacking, NONE, NONE],
        Predicate::Reason => [&facts.reasons.lacking, NONE, NONE],
        Predicate::Performer => [&facts.performers.lacking, NONE, NONE],
        Predicate::Service => [&facts.specialties.lacking, &facts.performers.lacking, NONE],
        Predicate::Encounter => [&facts.encounters.lacking, NONE, NONE],
        Predicate::Text => [&facts.text.matched.lacking, NONE, NONE],
        Predicate::Consent => [&facts.consents.lacking, NONE, NONE],
        Predicate::Preference => [&facts.preferences.lacking, NONE, NONE],
    }
}

/// Whether `code` begins as `prefix` does, in the same system.
pub(super) fn begins(code: &Coding, prefix: &Coding) -> bool {
    code.system == prefix.system && code.code.starts_with(&prefix.code)
}

/// The element that carries the report's own code.
pub(super) const fn own_path(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::DiagnosticReport => "code",
        ResourceType::DocumentReference => "type",
    }
}

fn plain(codes: &[Coding], at: &str) -> Vec<Sighted<Coding>> {
    codes.iter().filter_map(codes::canonical).map(|value| Sighted { value, at: FactPath(at.to_owned()) }).collect()
}

fn canonical(from: &Gathered<Coding>) -> Vec<Sighted<Coding>> {
    from.found
        .iter()
        .filter_map(|seen| Some(Sighted { value: codes::canonical(&seen.value)?, at: seen.at.clone() }))
        .collect()
}

/// In ICD a code belongs to the classes above it: a rule that names `C50` means `C50.9` too.
fn with_classes(from: &Gathered<Coding>) -> Vec<Sighted<Coding>> {
    canonical(from).iter().flat_map(classes_of).collect()
}

fn classes_of(seen: &Sighted<Coding>) -> impl Iterator<Item = Sighted<Coding>> {
    codes::with_classes(&seen.value).map(|value| Sighted { value, at: seen.at.clone() })
}

fn highest(labels: &Gathered<Coding>) -> Option<Sighted<Confidentiality>> {
    labels
        .found
        .iter()
        .filter_map(|seen| Some(Sighted { value: Confidentiality::of(&seen.value)?, at: seen.at.clone() }))
        .max_by_key(|seen| seen.value)
}
