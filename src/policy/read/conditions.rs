//! `when`: the conditions of a row.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use super::{Shelf, unknown};
use crate::base::{ClinicId, ResourceType};
use crate::policy::codes::{self, Confidentiality};
use crate::policy::contact;
use crate::policy::errors::Code;
use crate::policy::facts::{Basis, Coding, RecipientRole, Word};
use crate::policy::reader::{Reader, Value, is_code, quote};
use crate::policy::text::{self, PATTERNS_MAX, Pattern};
use crate::policy::when::{AgeRange, Condition, Predicate, When};

/// Characters of a word.
const WORD_MAX: usize = 64;
/// Nobody is older.
const AGE_YEARS_MAX: u16 = 150;
/// A pattern shorter than this without a word boundary is found in the middle of other words.
const LOOSE_LETTERS: usize = 4;

const KNOWN: &str = "recipient, clinic, resource, category, type, code, holds, set, prefix, label, confidentiality, order, \
                     reason, performer, service, encounter, text, age, consent, basis, preference, contact, \
                     contact_confirmed_within, contact_not_confirmed_within, critical, tag, any";

pub(super) fn read_when<'t>(reader: &mut Reader<'t>, value: &Value<'t>, shelf: &mut Shelf<'_>) -> Option<When> {
    let mut when = When::default();
    for (key, value) in reader.table(value, "when")? {
        let name = key.get_ref().as_ref();
        match predicate(name) {
            Some(Predicate::Any) => when.any = read_any(reader, value, shelf),
            Some(predicate) => {
                if let Some(condition) = read_condition(reader, value, predicate, shelf) {
                    when.all.insert(predicate, condition);
                }
            }
            None => unknown(reader, &key.span(), name, "condition", KNOWN),
        }
    }
    Some(when)
}

pub(super) fn read_any<'t>(
    reader: &mut Reader<'t>,
    value: &Value<'t>,
    shelf: &mut Shelf<'_>,
) -> BTreeMap<Predicate, Condition> {
    let mut found = BTreeMap::new();
    let Some(table) = reader.table(value, "any") else { return found };
    if table.is_empty() {
        reader.fault(&value.span(), "'any' names no condition", "name at least two, or take 'any' out");
    }
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match predicate(name) {
            Some(predicate @ (Predicate::Any | Predicate::Recipient)) => {
                let what = format!("'{}' cannot stand under 'any'", predicate.as_str());
                reader.fault(&key.span(), what, "put it beside 'any' in 'when'");
            }
            Some(predicate) => {
                if let Some(condition) = read_condition(reader, value, predicate, shelf) {
                    found.insert(predicate, condition);
                }
            }
            None => unknown(reader, &key.span(), name, "condition", KNOWN),
        }
    }
    found
}

fn predicate(name: &str) -> Option<Predicate> {
    Predicate::ALL.into_iter().find(|predicate| predicate.as_str() == name)
}

pub(super) fn read_condition<'t>(
    reader: &mut Reader<'t>,
    value: &Value<'t>,
    predicate: Predicate,
    shelf: &mut Shelf<'_>,
) -> Option<Condition> {
    let name = predicate.as_str();
    let condition = match predicate {
        Predicate::Recipient => Condition::Roles(reader.words(value, name, &RecipientRole::ALL, RecipientRole::as_str)),
        Predicate::Clinic => Condition::Clinics(read_clinics(reader, value)),
        Predicate::Resource => Condition::Kinds(reader.words(value, name, &ResourceType::ALL, ResourceType::as_str)),
        Predicate::Category => Condition::Codes(reader.categories(value, name)),
        Predicate::Type | Predicate::Code | Predicate::Holds | Predicate::Order | Predicate::Reason => {
            Condition::Codes(reader.codings(value, name))
        }
        Predicate::Label => Condition::Codes(bare_or_whole(reader, value, name, codes::bare_label)),
        Predicate::Encounter => Condition::Codes(bare_or_whole(reader, value, name, codes::bare_encounter_class)),
        Predicate::Set => Condition::Words(read_sets(reader, value, shelf)),
        Predicate::Prefix => Condition::Prefixes(read_prefixes(reader, value)),
        Predicate::Confidentiality => read_level(reader, value)?,
        Predicate::Performer => Condition::Performers(read_performers(reader, value)),
        Predicate::Service => Condition::Words(read_services(reader, value, shelf)),
        Predicate::Consent | Predicate::Preference => Condition::Words(read_words(reader, value, name)),
        Predicate::Basis => Condition::Words(read_grounds(reader, value)),
        Predicate::Contact => Condition::Words(read_contact_states(reader, value)),
        Predicate::ContactConfirmedWithin | Predicate::ContactNotConfirmedWithin => {
            Condition::Within(reader.span_seconds(value, name)?)
        }
        Predicate::Tag => Condition::Words(read_tags(reader, value)),
        Predicate::Text => Condition::Patterns(read_patterns(reader, value, shelf)),
        Predicate::Age => Condition::Age(read_age(reader, value)?),
        Predicate::Critical => read_critical(reader, value)?,
        Predicate::Any => return None,
    };
    (condition.size() > 0).then_some(condition)
}

fn bare_or_whole<'t>(
    reader: &mut Reader<'t>,
    value: &Value<'t>,
    name: &str,
    bare: fn(&str) -> Option<Coding>,
) -> BTreeSet<Coding> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, name) {
        let known = item.get_ref().as_str().and_then(bare);
        found.extend(known.or_else(|| reader.coding(item, name)));
    }
    found
}

fn read_clinics<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<ClinicId> {
    let mut clinics = BTreeSet::new();
    for item in reader.list(value, "clinic") {
        let Some(text) = reader.text(item, "clinic") else { continue };
        match ClinicId::parse(text) {
            Ok(clinic) => {
                clinics.insert(clinic);
            }
            Err(error) => {
                let remedy = format!("write the clinic's id from the configuration: {error}");
                reader.fault_of(Code::BadId, &item.span(), format!("{} cannot be a clinic's id", quote(text)), remedy);
            }
        }
    }
    clinics
}

fn read_sets<'t>(reader: &mut Reader<'t>, value: &Value<'t>, shelf: &mut Shelf<'_>) -> BTreeSet<Word> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, "set") {
        let Some(name) = reader.text(item, "set") else { continue };
        if shelf.take_set(name) {
            found.insert(name.to_owned());
        } else {
            let remedy = format!("write one of: {}; or put a file of that name beside the rules", shelf.set_names());
            reader.fault_of(Code::UnknownSet, &item.span(), format!("there is no code set {}", quote(name)), remedy);
        }
    }
    found
}

fn read_services<'t>(reader: &mut Reader<'t>, value: &Value<'t>, shelf: &mut Shelf<'_>) -> BTreeSet<Word> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, "service") {
        let Some(name) = reader.text(item, "service") else { continue };
        if shelf.take_service(name) {
            found.insert(name.to_owned());
        } else {
            let remedy = format!(
                "write one of: {}; or add a [[service]] with this name that says how it is recognised",
                shelf.service_names()
            );
            reader.fault_of(
                Code::UnknownService,
                &item.span(),
                format!("nothing says what the service {} is", quote(name)),
                remedy,
            );
        }
    }
    found
}

fn read_prefixes<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<Coding> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, "prefix") {
        let Some(written) = reader.text(item, "prefix") else { continue };
        let Some((system, code)) = written.split_once('|') else {
            let what = format!("{} in 'prefix' has no code system", quote(written));
            reader.fault_of(Code::NoSystem, &item.span(), what, "write system|beginning, as in \"icd-10-cm|B20\"");
            continue;
        };
        let Some(system) = codes::system_in_rules(system) else {
            let remedy = format!("use its full URI or one of: {}", codes::SHORT_NAMES);
            let what = format!("the code system {} is not known", quote(system));
            reader.fault_of(Code::UnknownSystem, &item.span(), what, remedy);
            continue;
        };
        if !codes::is_hierarchical(system) {
            let what = format!("codes of {system} have no meaning by their beginning");
            let remedy = "list the codes with 'holds', or name a set; beginnings work for ICD and for local codes";
            reader.fault_of(Code::FlatPrefix, &item.span(), what, remedy);
        } else if is_code(code) {
            found.insert(Coding { system: Some(system.to_owned()), code: code.to_owned() });
        } else {
            let remedy = "write system|beginning without * at the end, as in \"icd-10-cm|B20\"";
            reader.fault_of(Code::BadCode, &item.span(), format!("{} is no beginning of a code", quote(code)), remedy);
        }
    }
    found
}

fn read_level<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<Condition> {
    let words = [Confidentiality::L, Confidentiality::M, Confidentiality::N, Confidentiality::R, Confidentiality::V];
    reader.word(value, "confidentiality", &words, Confidentiality::as_str).map(Condition::AtLeast)
}

fn read_performers<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, "performer") {
        let Some(text) = reader.text(item, "performer") else { continue };
        let is_reference = text.split_once('/').is_some_and(|(kind, id)| {
            kind.starts_with(|c: char| c.is_ascii_uppercase())
                && kind.bytes().all(|b| b.is_ascii_alphabetic())
                && (1..=WORD_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        });
        if is_reference {
            found.insert(text.to_owned());
        } else {
            let remedy = "write its type and id in the EHR, as in \"Organization/lab-7\"";
            reader.fault_of(Code::BadId, &item.span(), format!("{} is no performer", quote(text)), remedy);
        }
    }
    found
}

pub(super) fn read_words<'t>(reader: &mut Reader<'t>, value: &Value<'t>, name: &str) -> BTreeSet<Word> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, name) {
        let Some(text) = reader.text(item, name) else { continue };
        let is_word = (1..=WORD_MAX).contains(&text.chars().count())
            && !text.chars().any(|c| c.is_control() || c.is_whitespace() || c.is_uppercase());
        if is_word {
            found.insert(text.to_owned());
        } else {
            let remedy = "write it in small letters without spaces, as in \"phone_first\"";
            reader.fault_of(Code::BadId, &item.span(), format!("{} cannot be a {name}", quote(text)), remedy);
        }
    }
    found
}

fn read_grounds<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<Word> {
    reader
        .words(value, "basis", &Basis::ALL, Basis::as_str)
        .into_iter()
        .map(|basis| basis.as_str().to_owned())
        .collect()
}

fn read_contact_states<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<Word> {
    reader.words(value, "contact", &contact::WORDS, |word| word).into_iter().map(str::to_owned).collect()
}

pub(super) fn read_tags<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<Word> {
    reader.list(value, "tag").into_iter().filter_map(|item| read_tag(reader, item)).collect()
}

/// `HIV`, `x-ONC`.
pub(super) fn read_tag<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<Word> {
    let text = reader.text(value, "tag")?;
    let fits = (1..=WORD_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic());
    if !fits {
        let remedy = "write a short word of letters, digits and hyphens, as in \"HIV\"";
        reader.fault_of(Code::BadId, &value.span(), format!("{} cannot be a tag", quote(text)), remedy);
    }
    fits.then(|| text.to_owned())
}

fn read_patterns<'t>(reader: &mut Reader<'t>, value: &Value<'t>, shelf: &mut Shelf<'_>) -> BTreeSet<Pattern> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, "text") {
        let (written, language) = match item.get_ref() {
            DeValue::Table(_) => read_pattern_table(reader, item),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => (reader.text(item, "text").map(str::to_owned), None),
        };
        let Some(expression) = written else { continue };
        if let Some(why) = text::fault_of(&expression) {
            let what = format!("the text pattern {} cannot be used: {why}", quote(&expression));
            let remedy = "write plain words, or a regular expression such as \"\\\\bhiv\\\\b\"";
            reader.fault_of(Code::BadPattern, &item.span(), what, remedy);
            continue;
        }
        let letters = expression.chars().filter(|c| c.is_alphanumeric()).count();
        if letters < LOOSE_LETTERS && !expression.contains("\\b") {
            let what = format!("{} would be found in the middle of other words", quote(&expression));
            let remedy = "put \\\\b on both sides, as in \"\\\\bhiv\\\\b\"";
            reader.fault_of(Code::LoosePattern, &item.span(), what, remedy);
        }
        let pattern = Pattern { expression, language };
        shelf.patterns.insert(pattern.clone());
        if shelf.patterns.len() > PATTERNS_MAX {
            let what = format!("there are more than {PATTERNS_MAX} text patterns");
            reader.fault_of(Code::TooLarge, &item.span(), what, "join several with |, or take some out");
        }
        found.insert(pattern);
    }
    found
}

/// `{ pattern = "…", language = "pl" }`
fn read_pattern_table<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> (Option<String>, Option<String>) {
    let (mut pattern, mut language) = (None, None);
    let Some(table) = reader.table(value, "text") else { return (None, None) };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "pattern" => pattern = reader.text(value, "pattern").map(str::to_owned),
            "language" => {
                let Some(text) = reader.text(value, "language") else { continue };
                if (2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase()) {
                    language = Some(text.to_owned());
                } else {
                    let what = format!("{} is no language", quote(text));
                    reader.fault(&value.span(), what, "write two or three small letters, as in language = \"pl\"");
                }
            }
            other => unknown(reader, &key.span(), other, "key", "pattern, language"),
        }
    }
    if !table.contains_key("pattern") {
        let remedy = "write { pattern = \"…\", language = \"pl\" }";
        reader.fault_of(Code::MissingKey, &value.span(), "this text has no 'pattern'", remedy);
    }
    (pattern, language)
}

/// `12..18`, `18..`, `..12`: from one birthday until just before another.
fn read_age<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<AgeRange> {
    let text = reader.text(value, "age")?;
    let bound = |text: &str, open: u16| match text {
        "" => Some(open),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|years| *years <= AGE_YEARS_MAX)
        }
        _ => None,
    };
    let range = text
        .split_once("..")
        .and_then(|(from, below)| Some(AgeRange { from: bound(from, 0)?, below: bound(below, AGE_YEARS_MAX + 1)? }));
    let range = range.filter(|range| range.from < range.below && text != "..");
    if range.is_none() {
        let what = format!("{} is no range of ages", quote(text));
        let remedy = "write \"12..18\" for from 12 until the day before the 18th birthday, \"18..\" or \"..12\"";
        reader.fault(&value.span(), what, remedy);
    }
    range
}

fn read_critical<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<Condition> {
    if value.get_ref().as_bool() == Some(true) {
        return Some(Condition::Yes);
    }
    let remedy = "write critical = true, or take it out";
    reader.fault(&value.span(), "'critical' can only be asked for as true", remedy);
    None
}
