//! Facts as the table looks them up.
//!
//! Job: from a report's facts to the numbers of what the rules name, in time linear in the facts and without copies of them.
//! Must stay true: what [`super::canon`] finds is found here, and nothing else; a property test holds it.

use super::canon::is_lacking;
use super::codes::{self, Confidentiality};
use super::contact;
use super::facts::{Coding, Facts};
use super::matching::Values;
use super::rules::{Content, Service};
use super::table::{Symbol, Table};
use super::when::Predicate;
use crate::base::ResourceType;

/// What the rules name of these facts.
pub(super) fn values_of(facts: &Facts, content: &Content, table: &Table) -> Values {
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
    for performer in facts.performers.values() {
        add(Predicate::Performer, Symbol::Performer(performer.clone()));
    }
    for pattern in facts.text.matched.values() {
        add(Predicate::Text, Symbol::Pattern(*pattern));
    }
    add_codes(facts, table, &mut values);
    add_words(facts, content, table, &mut values);
    for predicate in Predicate::ALL {
        if is_lacking(facts, predicate) {
            values.lacks(predicate);
        }
    }
    values.age = facts.age;
    values.level = facts.labels.values().filter_map(Confidentiality::of).max();
    values.critical = facts.critical;
    values.confirmed_at = contact::confirmed_at(&facts.contact);
    values.untried = table.patterns_but(&facts.text.tried);
    values.settle();
    values
}

fn add_codes(facts: &Facts, table: &Table, values: &mut Values) {
    let own: &[Predicate] = match facts.kind {
        ResourceType::DocumentReference => &[Predicate::Code, Predicate::Type],
        ResourceType::DiagnosticReport => &[Predicate::Code],
    };
    for code in &facts.codes {
        add_code(code, table, own, values);
        add_anywhere(code, table, &[], values);
    }
    for code in facts.results.values() {
        add_anywhere(code, table, &[], values);
    }
    for code in facts.orders.values() {
        add_anywhere(code, table, &[Predicate::Order], values);
    }
    for code in facts.reasons.values() {
        add_anywhere(code, table, &[Predicate::Reason], values);
    }
    for code in &facts.categories {
        add_code(code, table, &[Predicate::Category], values);
    }
    for code in facts.labels.values() {
        add_code(code, table, &[Predicate::Label], values);
    }
    for code in facts.encounters.values() {
        add_code(code, table, &[Predicate::Encounter], values);
    }
}

/// A code that stands for itself alone.
fn add_code(code: &Coding, table: &Table, predicates: &[Predicate], values: &mut Values) {
    let Some(system) = system_of(code) else { return };
    if let Some(no) = table.code(codes::canonical_system(system), &code.code) {
        for predicate in predicates {
            values.add(*predicate, no);
        }
    }
}

/// A code with its classes, as a part of the whole report and of `predicates`.
fn add_anywhere(code: &Coding, table: &Table, predicates: &[Predicate], values: &mut Values) {
    let Some(system) = system_of(code) else { return };
    let (system, classes) = codes::classes_of(system, &code.code);
    for class in classes {
        if let Some(no) = table.code(system, class) {
            values.add(Predicate::Holds, no);
            values.add(Predicate::Set, no);
            for predicate in predicates {
                values.add(*predicate, no);
            }
        }
    }
    // The beginnings of a class are the code's own.
    for no in table.prefixes(system, &code.code) {
        values.add(Predicate::Prefix, no);
    }
}

fn system_of(code: &Coding) -> Option<&str> {
    code.system.as_deref().filter(|system| !system.is_empty())
}

fn add_words(facts: &Facts, content: &Content, table: &Table, values: &mut Values) {
    let mut add = |predicate, word: &str| {
        if let Some(no) = table.word(word) {
            values.add(predicate, no);
        }
    };
    facts.consents.values().for_each(|word| add(Predicate::Consent, word));
    facts.basis.values().for_each(|basis| add(Predicate::Basis, basis.as_str()));
    facts.preferences.values().for_each(|word| add(Predicate::Preference, word));
    if facts.contact.found.is_empty() && facts.contact.is_whole() {
        add(Predicate::Contact, contact::UNKNOWN);
    }
    let words = facts.contact.values().flat_map(|standing| standing.state.words());
    words.for_each(|word| add(Predicate::Contact, word));
    facts.services.iter().for_each(|word| add(Predicate::Service, word));
    let specialties: Vec<_> = facts.specialties.values().filter_map(codes::canonical).collect();
    let is_seen = |service: &Service| {
        specialties.iter().any(|code| service.specialties.contains(code))
            || facts.performers.values().any(|performer| service.performers.contains(performer))
    };
    for service in content.services.iter().filter(|service| is_seen(service)) {
        add(Predicate::Service, &service.name);
    }
}
