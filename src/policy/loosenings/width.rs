//! How two conditions stand to each other: which speaks of more reports.
//!
//! Must stay true: `Wider` means that whatever the old one held for, the new one holds for, and that where the old one was
//! unknown the new one holds or is unknown. Sets and services count by what they hold, not by their names.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::facts::Coding;
use crate::policy::rules::Content;
use crate::policy::when::{Condition, Predicate, When};

/// How a new condition stands to an old one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    Same,
    Wider,
    Narrower,
    Other,
}

/// Conditions with the content that their names mean.
pub(super) type In<'r> = (&'r Content, &'r When);

pub(super) fn width(old: In<'_>, new: In<'_>) -> Width {
    match (covers(new, old), covers(old, new)) {
        (true, true) => Width::Same,
        (true, false) => Width::Wider,
        (false, true) => Width::Narrower,
        (false, false) => Width::Other,
    }
}

/// Whether no report can meet both: they name different recipients or different resource types.
pub(super) fn are_apart(one: &When, other: &When) -> bool {
    let roles = |when: &When| match when.all.get(&Predicate::Recipient) {
        Some(Condition::Roles(roles)) => Some(roles.clone()),
        Some(_) | None => None,
    };
    let kinds = |when: &When| match when.all.get(&Predicate::Resource) {
        Some(Condition::Kinds(kinds)) => Some(kinds.clone()),
        Some(_) | None => None,
    };
    matches!((roles(one), roles(other)), (Some(one), Some(other)) if one.is_disjoint(&other))
        || matches!((kinds(one), kinds(other)), (Some(one), Some(other)) if one.is_disjoint(&other))
}

/// Whether `wide` holds for whatever `narrow` holds for.
fn covers(wide: In<'_>, narrow: In<'_>) -> bool {
    let ((wide_in, wide), (narrow_in, narrow)) = (wide, narrow);
    let within = |predicate: &Predicate, asked: &Condition, by: &BTreeMap<Predicate, Condition>| {
        by.get(predicate).is_some_and(|given| holds_all((wide_in, asked), (narrow_in, given), *predicate))
    };
    let all = wide.all.iter().all(|(predicate, asked)| within(predicate, asked, &narrow.all));
    let any = wide.any.is_empty()
        || !narrow.any.is_empty()
            && narrow.any.iter().all(|(predicate, given)| {
                wide.any.get(predicate).is_some_and(|asked| holds_all((wide_in, asked), (narrow_in, given), *predicate))
            });
    all && any
}

/// Whether every value of `narrow` is one of `wide`.
fn holds_all(wide: (&Content, &Condition), narrow: (&Content, &Condition), predicate: Predicate) -> bool {
    match (wide.1, narrow.1) {
        (Condition::Roles(wide), Condition::Roles(narrow)) => narrow.is_subset(wide),
        (Condition::Clinics(wide), Condition::Clinics(narrow)) => narrow.is_subset(wide),
        (Condition::Kinds(wide), Condition::Kinds(narrow)) => narrow.is_subset(wide),
        (Condition::Codes(wide), Condition::Codes(narrow))
        | (Condition::Prefixes(wide), Condition::Prefixes(narrow)) => narrow.is_subset(wide),
        (Condition::Performers(wide), Condition::Performers(narrow)) => narrow.is_subset(wide),
        (Condition::Patterns(wide), Condition::Patterns(narrow)) => narrow.is_subset(wide),
        (Condition::AtLeast(wide), Condition::AtLeast(narrow)) => wide <= narrow,
        (Condition::Age(wide), Condition::Age(narrow)) => wide.from <= narrow.from && narrow.below <= wide.below,
        (Condition::Within(wide), Condition::Within(narrow)) if predicate == Predicate::ContactNotConfirmedWithin => {
            wide <= narrow
        }
        (Condition::Within(wide), Condition::Within(narrow)) => narrow <= wide,
        (Condition::Yes, Condition::Yes) => true,
        (Condition::Words(wide_words), Condition::Words(narrow_words)) => match predicate {
            Predicate::Set => codes(narrow.0, narrow_words).is_subset(&codes(wide.0, wide_words)),
            Predicate::Service => narrow_words.iter().all(|word| {
                let (wide, narrow) = (service(wide.0, word), service(narrow.0, word));
                wide_words.contains(word) && wide == narrow
            }),
            Predicate::Consent
            | Predicate::Basis
            | Predicate::Preference
            | Predicate::Contact
            | Predicate::ContactConfirmedWithin
            | Predicate::ContactNotConfirmedWithin
            | Predicate::Tag
            | Predicate::Recipient
            | Predicate::Clinic
            | Predicate::Resource
            | Predicate::Category
            | Predicate::Type
            | Predicate::Code
            | Predicate::Holds
            | Predicate::Prefix
            | Predicate::Label
            | Predicate::Confidentiality
            | Predicate::Order
            | Predicate::Reason
            | Predicate::Performer
            | Predicate::Encounter
            | Predicate::Text
            | Predicate::Age
            | Predicate::Critical
            | Predicate::Any => narrow_words.is_subset(wide_words),
        },
        (
            Condition::Roles(_)
            | Condition::Clinics(_)
            | Condition::Kinds(_)
            | Condition::Codes(_)
            | Condition::Prefixes(_)
            | Condition::Performers(_)
            | Condition::Patterns(_)
            | Condition::AtLeast(_)
            | Condition::Age(_)
            | Condition::Within(_)
            | Condition::Yes
            | Condition::Words(_),
            _,
        ) => false,
    }
}

fn codes<'c>(content: &'c Content, names: &BTreeSet<String>) -> BTreeSet<&'c Coding> {
    names.iter().filter_map(|name| content.sets.get(name)).flatten().collect()
}

fn service<'c>(content: &'c Content, word: &str) -> Option<&'c crate::policy::rules::Service> {
    content.services.iter().find(|service| service.name == word)
}
