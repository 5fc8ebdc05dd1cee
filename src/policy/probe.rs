//! One condition asked of one report, with the place that answered.
//!
//! Job: what a person is told of a decision; and the plain meaning of every condition, against which the table is tested.

use super::canon::{Canon, Places};
use super::contact::{self, ContactStanding, is_within};
use super::facts::{Age, Basis, FactPath, Flag, Gathered, Lack, Sighted};
use super::matching::holds;
use super::rules::Content;
use super::when::{Condition, Predicate, When};
use crate::base::ResourceType;

/// What a condition says of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It holds, by this place.
    Yes(FactPath),
    No,
    /// It may hold.
    Unknown(Predicate, Lack),
}

/// What a whole `when` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Probed {
    /// Every condition holds, each by a place.
    Yes(Vec<(Predicate, FactPath)>),
    /// The first condition that does not hold.
    No(Predicate),
    /// No condition fails; the first that is unknown.
    Unknown(Predicate, Lack),
}

/// The tags of a report, as far as they are known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tags {
    pub(super) yes: std::collections::BTreeSet<String>,
    /// Those that something unknown may add, with what is unknown.
    pub(super) possible: std::collections::BTreeMap<String, (Predicate, Lack)>,
}

impl Tags {
    /// What a row that gives `tag` adds.
    pub(super) fn add(&mut self, tag: &str, probed: &Probed) {
        match probed {
            Probed::Yes(_) => {
                self.yes.insert(tag.to_owned());
            }
            Probed::Unknown(fact, why) => {
                self.possible.entry(tag.to_owned()).or_insert((*fact, *why));
            }
            Probed::No(_) => {}
        }
    }
}

/// Asks every condition.
pub(super) fn probe(content: &Content, when: &When, canon: &Canon<'_>, tags: &Tags) -> Probed {
    let mut places = Vec::new();
    let mut unknown = None;
    for (predicate, condition) in &when.all {
        match ask(content, *predicate, condition, canon, tags) {
            Answer::Yes(at) => places.push((*predicate, at)),
            Answer::No => return Probed::No(*predicate),
            Answer::Unknown(fact, why) => unknown = unknown.or(Some((fact, why))),
        }
    }
    if !when.any.is_empty() {
        let answers: Vec<_> = when
            .any
            .iter()
            .map(|(predicate, condition)| (*predicate, ask(content, *predicate, condition, canon, tags)))
            .collect();
        let yes: Vec<_> = answers
            .iter()
            .filter_map(|(predicate, answer)| match answer {
                Answer::Yes(at) => Some((*predicate, at.clone())),
                Answer::No | Answer::Unknown(..) => None,
            })
            .collect();
        let open = answers.iter().find_map(|(_, answer)| match answer {
            Answer::Unknown(fact, why) => Some((*fact, *why)),
            Answer::Yes(_) | Answer::No => None,
        });
        match (yes.is_empty(), open) {
            (false, _) => places.extend(yes),
            (true, Some(open)) => unknown = unknown.or(Some(open)),
            (true, None) => return Probed::No(Predicate::Any),
        }
    }
    match unknown {
        Some((predicate, why)) => Probed::Unknown(predicate, why),
        None => Probed::Yes(places),
    }
}

fn ask(content: &Content, predicate: Predicate, condition: &Condition, canon: &Canon<'_>, tags: &Tags) -> Answer {
    let facts = canon.facts;
    let here = |name: &str| Some(FactPath(name.to_owned()));
    let seen = match condition {
        Condition::Roles(roles) => roles.contains(&facts.recipient).then(|| here("recipient")).flatten(),
        Condition::Clinics(clinics) => {
            facts.clinic.as_ref().filter(|clinic| clinics.contains(clinic)).and_then(|_| here("clinic"))
        }
        Condition::Kinds(kinds) => kinds.contains(&facts.kind).then(|| here("resourceType")).flatten(),
        Condition::Codes(wanted) => codes_of(predicate, canon).and_then(|places| places.of_any(wanted)),
        Condition::Prefixes(wanted) => {
            let found = wanted.iter().filter_map(|prefix| canon.anywhere().of_beginning(prefix)).min();
            found.map(|(_, at)| at.clone())
        }
        Condition::Words(words) => match predicate {
            Predicate::Set => {
                let mut sets = words.iter().filter_map(|name| content.sets.get(name));
                sets.find_map(|set| canon.anywhere().of_any(set))
            }
            Predicate::Service => service_of(content, words, canon),
            Predicate::Tag => return tag_of(words, tags),
            Predicate::Consent => word_of(&facts.consents.found, words),
            Predicate::Basis => basis_of(&facts.basis.found, words),
            Predicate::Preference => word_of(&facts.preferences.found, words),
            Predicate::Contact => contact_of(&facts.contact, words),
            Predicate::Recipient
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
            | Predicate::ContactConfirmedWithin
            | Predicate::ContactNotConfirmedWithin
            | Predicate::Critical
            | Predicate::Any => None,
        },
        Condition::Performers(wanted) => {
            facts.performers.found.iter().find(|seen| wanted.contains(&seen.value)).map(|seen| seen.at.clone())
        }
        Condition::Patterns(wanted) => {
            let ids: Vec<_> = wanted.iter().map(super::text::Pattern::id).collect();
            let seen = facts.text.matched.found.iter().find(|seen| ids.contains(&seen.value));
            if seen.is_none() && ids.iter().any(|id| !facts.text.tried.contains(id)) {
                return Answer::Unknown(predicate, Lack::NotAsked);
            }
            seen.map(|seen| seen.at.clone())
        }
        Condition::AtLeast(least) => canon.level().filter(|seen| seen.value >= *least).map(|seen| seen.at.clone()),
        Condition::Age(range) => return flagged(predicate, holds(*range, facts.age), "birthDate", age_lack(facts.age)),
        Condition::Within(seconds) => {
            let is_within = contact::confirmed_at(&facts.contact).is_some_and(|at| is_within(at, *seconds, canon.now));
            let is_turned = predicate == Predicate::ContactNotConfirmedWithin;
            let holds = if is_turned { facts.contact.is_whole() && !is_within } else { is_within };
            holds.then(|| here("contact")).flatten()
        }
        Condition::Yes => return flagged(predicate, facts.critical, "interpretation", Lack::NotAsked),
    };
    match seen {
        Some(at) => Answer::Yes(at),
        None => canon.first_lack(predicate).map_or(Answer::No, |why| Answer::Unknown(predicate, why)),
    }
}

const fn age_lack(age: Age) -> Lack {
    match age {
        Age::Unknown => Lack::NotFound,
        Age::Years { .. } => Lack::Unreadable,
    }
}

fn flagged(predicate: Predicate, flag: Flag, at: &str, why: Lack) -> Answer {
    match flag {
        Flag::Yes => Answer::Yes(FactPath(at.to_owned())),
        Flag::No => Answer::No,
        Flag::Unknown => Answer::Unknown(predicate, why),
    }
}

fn codes_of<'c>(predicate: Predicate, canon: &'c Canon<'_>) -> Option<&'c Places> {
    match predicate {
        Predicate::Category => Some(canon.categories()),
        Predicate::Type if canon.facts.kind == ResourceType::DocumentReference => Some(canon.own()),
        Predicate::Code => Some(canon.own()),
        Predicate::Label => Some(canon.labels()),
        Predicate::Order => Some(canon.orders()),
        Predicate::Reason => Some(canon.reasons()),
        Predicate::Encounter => Some(canon.encounters()),
        Predicate::Holds | Predicate::Set | Predicate::Prefix => Some(canon.anywhere()),
        Predicate::Type
        | Predicate::Recipient
        | Predicate::Clinic
        | Predicate::Resource
        | Predicate::Confidentiality
        | Predicate::Performer
        | Predicate::Service
        | Predicate::Text
        | Predicate::Age
        | Predicate::Consent
        | Predicate::Basis
        | Predicate::Preference
        | Predicate::Contact
        | Predicate::ContactConfirmedWithin
        | Predicate::ContactNotConfirmedWithin
        | Predicate::Critical
        | Predicate::Tag
        | Predicate::Any => None,
    }
}

/// An address of which nothing is recorded is known to be unknown.
fn contact_of(contact: &Gathered<ContactStanding>, words: &std::collections::BTreeSet<String>) -> Option<FactPath> {
    if contact.found.is_empty() && contact.is_whole() && words.contains(contact::UNKNOWN) {
        return Some(FactPath("contact".to_owned()));
    }
    let is_named = |seen: &&Sighted<ContactStanding>| seen.value.state.words().any(|word| words.contains(word));
    contact.found.iter().find(is_named).map(|seen| seen.at.clone())
}

fn word_of(found: &[Sighted<String>], words: &std::collections::BTreeSet<String>) -> Option<FactPath> {
    found.iter().find(|seen| words.contains(&seen.value)).map(|seen| seen.at.clone())
}

fn basis_of(found: &[Sighted<Basis>], words: &std::collections::BTreeSet<String>) -> Option<FactPath> {
    found.iter().find(|seen| words.contains(seen.value.as_str())).map(|seen| seen.at.clone())
}

fn service_of(content: &Content, words: &std::collections::BTreeSet<String>, canon: &Canon<'_>) -> Option<FactPath> {
    if canon.facts.services.iter().any(|word| words.contains(word)) {
        return Some(FactPath("service".to_owned()));
    }
    content.services.iter().filter(|service| words.contains(&service.name)).find_map(|service| canon.service(service))
}

fn tag_of(words: &std::collections::BTreeSet<String>, tags: &Tags) -> Answer {
    if let Some(tag) = words.iter().find(|tag| tags.yes.contains(*tag)) {
        return Answer::Yes(FactPath(format!("tag {tag}")));
    }
    match words.iter().find_map(|tag| tags.possible.get(tag)) {
        Some((fact, why)) => Answer::Unknown(*fact, *why),
        None => Answer::No,
    }
}
