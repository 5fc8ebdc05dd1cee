//! The facts in canonical form: what every condition is asked of.
//!
//! Must stay true: a code without a system is gone, for it matches nothing; a label of confidentiality without one may only
//! raise; what may be lacking is lacking for every condition that looks there.

use std::collections::BTreeSet;

use super::codes::{self, Confidentiality};
use super::facts::{Coding, FactPath, Facts, Gathered, Lack, Performer, Sighted};
use super::table::{Symbol, Table, Values};
use super::when::Predicate;
use crate::base::ResourceType;
use crate::policy::rules::{Content, Service};

/// Facts with canonical codes and where each stands.
pub(super) struct Canon<'f> {
    pub(super) facts: &'f Facts,
    pub(super) own: Vec<Sighted<Coding>>,
    pub(super) categories: Vec<Sighted<Coding>>,
    /// The report's own, its members', its order's and the order's reasons.
    pub(super) anywhere: Vec<Sighted<Coding>>,
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
        let (orders, reasons) = (with_classes(&facts.orders), with_classes(&facts.reasons));
        let results = with_classes(&facts.results);
        Self {
            anywhere: [&own, &results, &orders, &reasons].into_iter().flatten().cloned().collect(),
            own,
            categories: plain(&facts.categories, "category"),
            orders,
            reasons,
            labels: canonical(&facts.labels),
            encounters: canonical(&facts.encounters),
            specialties: canonical(&facts.specialties),
            level: highest(&facts.labels),
            facts,
        }
    }

    /// What is lacking for a condition; empty when everything it looks at is known.
    pub(super) fn lacking(&self, predicate: Predicate) -> BTreeSet<Lack> {
        let facts = self.facts;
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
            | Predicate::Any => BTreeSet::new(),
            Predicate::Holds | Predicate::Set | Predicate::Prefix => [&facts.results, &facts.orders, &facts.reasons]
                .into_iter()
                .flat_map(|from| &from.lacking)
                .copied()
                .collect(),
            Predicate::Label | Predicate::Confidentiality => facts.labels.lacking.clone(),
            Predicate::Order => facts.orders.lacking.clone(),
            Predicate::Reason => facts.reasons.lacking.clone(),
            Predicate::Performer => facts.performers.lacking.clone(),
            Predicate::Service => facts.specialties.lacking.union(&facts.performers.lacking).copied().collect(),
            Predicate::Encounter => facts.encounters.lacking.clone(),
            Predicate::Text => facts.text.matched.lacking.clone(),
            Predicate::Consent => facts.consents.lacking.clone(),
            Predicate::Preference => facts.preferences.lacking.clone(),
        }
    }

    /// Where the report shows that it belongs to a service.
    pub(super) fn service(&self, service: &Service) -> Option<FactPath> {
        let by_specialty = self.specialties.iter().find(|seen| service.specialties.contains(&seen.value));
        let by_performer = || -> Option<&Sighted<Performer>> {
            self.facts.performers.found.iter().find(|seen| service.performers.contains(&seen.value))
        };
        by_specialty.map(|seen| seen.at.clone()).or_else(|| by_performer().map(|seen| seen.at.clone()))
    }

    /// The values that the table knows.
    pub(super) fn values(&self, content: &Content, table: &Table) -> Values {
        let facts = self.facts;
        let mut values = Values::none();
        let mut add = |predicate, symbol: Symbol| {
            if let Some(no) = table.symbol(&symbol) {
                values.add(predicate, no);
            }
        };
        add(Predicate::Recipient, Symbol::Role(facts.recipient));
        add(Predicate::Resource, Symbol::Kind(facts.kind));
        if let Some(clinic) = &facts.clinic {
            add(Predicate::Clinic, Symbol::Clinic(clinic.clone()));
        }
        let types: &[Sighted<Coding>] = if facts.kind == ResourceType::DocumentReference { &self.own } else { &[] };
        for (predicate, codes) in [
            (Predicate::Category, self.categories.as_slice()),
            (Predicate::Type, types),
            (Predicate::Code, &self.own),
            (Predicate::Holds, &self.anywhere),
            (Predicate::Label, &self.labels),
            (Predicate::Order, &self.orders),
            (Predicate::Reason, &self.reasons),
            (Predicate::Encounter, &self.encounters),
        ] {
            for code in codes {
                let Some(no) = table.symbol(&Symbol::Code(code.value.clone())) else { continue };
                values.add(predicate, no);
                if predicate == Predicate::Holds {
                    values.add(Predicate::Set, no);
                }
            }
        }
        for (symbol, prefix) in &table.prefixes {
            if self.anywhere.iter().any(|code| begins(&code.value, prefix)) {
                values.add(Predicate::Prefix, *symbol);
            }
        }
        self.words(content, table, &mut values);
        for predicate in Predicate::ALL {
            if !self.lacking(predicate).is_empty() {
                values.lacks(predicate);
            }
        }
        values.age = facts.age;
        values.level = self.level.as_ref().map(|seen| seen.value);
        values.critical = facts.critical;
        values.untried = table.patterns_but(&facts.text.tried);
        values.settle();
        values
    }

    fn words(&self, content: &Content, table: &Table, values: &mut Values) {
        let facts = self.facts;
        let mut add = |predicate, symbol: Symbol| {
            if let Some(no) = table.symbol(&symbol) {
                values.add(predicate, no);
            }
        };
        for performer in facts.performers.values() {
            add(Predicate::Performer, Symbol::Performer(performer.clone()));
        }
        for pattern in facts.text.matched.values() {
            add(Predicate::Text, Symbol::Pattern(*pattern));
        }
        for word in facts.consents.values() {
            add(Predicate::Consent, Symbol::Word(word.clone()));
        }
        for word in facts.preferences.values() {
            add(Predicate::Preference, Symbol::Word(word.clone()));
        }
        for word in &facts.services {
            add(Predicate::Service, Symbol::Word(word.clone()));
        }
        for service in &content.services {
            if self.service(service).is_some() {
                add(Predicate::Service, Symbol::Word(service.name.clone()));
            }
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
    let classes = |seen: Sighted<Coding>| {
        let at = seen.at;
        codes::with_classes(&seen.value).map(move |value| Sighted { value, at: at.clone() })
    };
    canonical(from).into_iter().flat_map(classes).collect()
}

fn highest(labels: &Gathered<Coding>) -> Option<Sighted<Confidentiality>> {
    labels
        .found
        .iter()
        .filter_map(|seen| Some(Sighted { value: Confidentiality::of(&seen.value)?, at: seen.at.clone() }))
        .max_by_key(|seen| seen.value)
}
