//! The facts in canonical form, each with its place: what every condition is asked of when somebody wants to know why.
//!
//! Must stay true: a code without a system is gone, for it matches nothing; a label of confidentiality without one may only
//! raise; what may be lacking is lacking for every condition that looks there.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::codes::{self, Confidentiality};
use super::facts::{Coding, FactPath, Facts, Gathered, Lack, Performer, Sighted};
use super::rules::Service;
use super::when::Predicate;
use crate::base::{ResourceType, UtcMillis};

/// Canonical codes, each with its first place, so that a row is asked in the time of its own values and not of the report's.
#[derive(Default)]
pub(super) struct Places(BTreeMap<Coding, (usize, FactPath)>);

impl Places {
    fn add(&mut self, code: Coding, at: &FactPath) {
        let next = self.0.len();
        self.0.entry(code).or_insert_with(|| (next, at.clone()));
    }

    /// The first place of any code of a set.
    pub(super) fn of_any(&self, wanted: &BTreeSet<Coding>) -> Option<FactPath> {
        let found: Option<&(usize, FactPath)> = if wanted.len() < self.0.len() {
            wanted.iter().filter_map(|code| self.0.get(code)).min()
        } else {
            self.0.iter().filter(|(code, _)| wanted.contains(code)).map(|(_, place)| place).min()
        };
        found.map(|(_, at)| at.clone())
    }

    /// The first place of a code that begins so.
    pub(super) fn of_beginning(&self, prefix: &Coding) -> Option<&(usize, FactPath)> {
        self.0.range(prefix..).take_while(|(code, _)| begins(code, prefix)).map(|(_, place)| place).min()
    }
}

/// Facts with canonical codes and where each stands: made of those that a condition asks for.
pub(super) struct Canon<'f> {
    pub(super) facts: &'f Facts,
    /// When it is decided: what counts back from then is asked of it.
    pub(super) now: UtcMillis,
    own: OnceCell<Places>,
    categories: OnceCell<Places>,
    anywhere: OnceCell<Places>,
    orders: OnceCell<Places>,
    reasons: OnceCell<Places>,
    labels: OnceCell<Places>,
    encounters: OnceCell<Places>,
    specialties: OnceCell<Places>,
    level: OnceCell<Option<Sighted<Confidentiality>>>,
}

impl<'f> Canon<'f> {
    pub(super) fn of(facts: &'f Facts, now: UtcMillis) -> Self {
        Self {
            facts,
            now,
            own: OnceCell::new(),
            categories: OnceCell::new(),
            anywhere: OnceCell::new(),
            orders: OnceCell::new(),
            reasons: OnceCell::new(),
            labels: OnceCell::new(),
            encounters: OnceCell::new(),
            specialties: OnceCell::new(),
            level: OnceCell::new(),
        }
    }

    pub(super) fn own(&self) -> &Places {
        self.own.get_or_init(|| plain(&self.facts.codes, &FactPath(own_path(self.facts.kind).to_owned())))
    }

    pub(super) fn categories(&self) -> &Places {
        self.categories.get_or_init(|| plain(&self.facts.categories, &FactPath("category".to_owned())))
    }

    /// The report's own, its members', its order's and the order's reasons, with their classes.
    pub(super) fn anywhere(&self) -> &Places {
        self.anywhere.get_or_init(|| {
            let own_path = FactPath(own_path(self.facts.kind).to_owned());
            let mut anywhere = Places::default();
            for code in &self.facts.codes {
                codes::with_classes(code).for_each(|code| anywhere.add(code, &own_path));
            }
            let elsewhere = [&self.facts.results, &self.facts.orders, &self.facts.reasons];
            for seen in elsewhere.into_iter().flat_map(|from| &from.found) {
                codes::with_classes(&seen.value).for_each(|code| anywhere.add(code, &seen.at));
            }
            anywhere
        })
    }

    pub(super) fn orders(&self) -> &Places {
        self.orders.get_or_init(|| with_classes(&self.facts.orders))
    }

    pub(super) fn reasons(&self) -> &Places {
        self.reasons.get_or_init(|| with_classes(&self.facts.reasons))
    }

    pub(super) fn labels(&self) -> &Places {
        self.labels.get_or_init(|| canonical(&self.facts.labels))
    }

    pub(super) fn encounters(&self) -> &Places {
        self.encounters.get_or_init(|| canonical(&self.facts.encounters))
    }

    pub(super) fn level(&self) -> Option<&Sighted<Confidentiality>> {
        self.level.get_or_init(|| highest(&self.facts.labels)).as_ref()
    }

    /// What is lacking for a condition; empty when everything it looks at is known.
    pub(super) fn lacking(&self, predicate: Predicate) -> BTreeSet<Lack> {
        lacks_of(self.facts, predicate).into_iter().flatten().copied().collect()
    }

    /// The first of what is lacking.
    pub(super) fn first_lack(&self, predicate: Predicate) -> Option<Lack> {
        lacks_of(self.facts, predicate).into_iter().flatten().min().copied()
    }

    /// Where the report shows that it belongs to a service.
    pub(super) fn service(&self, service: &Service) -> Option<FactPath> {
        let by_performer = || -> Option<&Sighted<Performer>> {
            self.facts.performers.found.iter().find(|seen| service.performers.contains(&seen.value))
        };
        let specialties = self.specialties.get_or_init(|| canonical(&self.facts.specialties));
        specialties.of_any(&service.specialties).or_else(|| by_performer().map(|seen| seen.at.clone()))
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
        Predicate::Basis => [&facts.basis.lacking, NONE, NONE],
        Predicate::Preference => [&facts.preferences.lacking, NONE, NONE],
        Predicate::Contact | Predicate::ContactConfirmedWithin | Predicate::ContactNotConfirmedWithin => {
            [&facts.contact.lacking, NONE, NONE]
        }
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

fn plain(codes: &[Coding], at: &FactPath) -> Places {
    let mut places = Places::default();
    codes.iter().filter_map(codes::canonical).for_each(|code| places.add(code, at));
    places
}

fn canonical(from: &Gathered<Coding>) -> Places {
    let mut places = Places::default();
    for seen in &from.found {
        if let Some(code) = codes::canonical(&seen.value) {
            places.add(code, &seen.at);
        }
    }
    places
}

/// In ICD a code belongs to the classes above it: a rule that names `C50` means `C50.9` too.
fn with_classes(from: &Gathered<Coding>) -> Places {
    let mut places = Places::default();
    for seen in &from.found {
        codes::with_classes(&seen.value).for_each(|code| places.add(code, &seen.at));
    }
    places
}

fn highest(labels: &Gathered<Coding>) -> Option<Sighted<Confidentiality>> {
    labels
        .found
        .iter()
        .filter_map(|seen| Some(Sighted { value: Confidentiality::of(&seen.value)?, at: seen.at.clone() }))
        .max_by_key(|seen| seen.value)
}
