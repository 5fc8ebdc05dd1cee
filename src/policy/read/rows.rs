//! The rows: `[[service]]`, `[[classify]]`, `[[profile]]`, `[[restrict]]`, `[[exception]]`.

use std::collections::BTreeSet;

use toml::de::DeTable;

use super::columns::{NamesTag, Side, Then, read_then};
use super::conditions::{read_any, read_tag, read_when, read_words};
use super::{Shelf, unknown};
use crate::base::{OperatorName, ResourceType, UtcMillis};
use crate::policy::errors::Code;
use crate::policy::facts::RecipientRole;
use crate::policy::gates::STATUS_RULE;
use crate::policy::reader::{Place, Reader, Value, quote};
use crate::policy::rules::{Classify, Exception, Profile, Restrict, Service};
use crate::policy::vocabulary::{Action, Challenge};
use crate::policy::when::{Condition, Predicate, When};

/// People who stand for an exception.
const EXCEPTION_PEOPLE: usize = 2;

/// A row and where its parts stand.
pub(super) struct Draft<R> {
    pub(super) at: Place,
    pub(super) over_at: Place,
    pub(super) hold_at: Option<Place>,
    pub(super) backstop_at: Option<Place>,
    pub(super) row: R,
}

pub(super) fn read_service<'t>(reader: &mut Reader<'t>, at: Place, row: &DeTable<'t>) -> Option<Draft<Service>> {
    let (mut name, mut specialties, mut performers) = (None, BTreeSet::new(), BTreeSet::new());
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "name" => name = read_words(reader, value, "name").into_iter().next(),
            "specialty" => specialties = reader.codings(value, "specialty"),
            "performer" => {
                let list = reader.list(value, "performer");
                performers
                    .extend(list.into_iter().filter_map(|item| reader.text(item, "performer")).map(str::to_owned));
            }
            other => unknown(reader, &key.span(), other, "key", "name, specialty, performer"),
        }
    }
    if specialties.is_empty() && performers.is_empty() {
        let remedy = "add specialty = [\"snomed|…\"] or performer = [\"Organization/…\"]";
        reader.fault_of(Code::MissingKey, &at, "nothing says how this service is recognised", remedy);
    }
    missing(reader, &at, row, "service", &[("name", "name = \"dermatology\"")]);
    let row = Service { name: name?, specialties, performers };
    Some(Draft { over_at: at.clone(), at, hold_at: None, backstop_at: None, row })
}

pub(super) fn read_classify<'t>(
    reader: &mut Reader<'t>,
    at: Place,
    row: &DeTable<'t>,
    shelf: &mut Shelf<'_>,
) -> Option<Draft<Classify>> {
    let (mut id, mut tag, mut when) = (None, None, When::default());
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "tag" => tag = read_tag(reader, value),
            "any" => when.any.extend(read_any(reader, value, shelf)),
            "when" => {
                let more = read_when(reader, value, shelf).unwrap_or_default();
                when.all.extend(more.all);
                when.any.extend(more.any);
            }
            other => unknown(reader, &key.span(), other, "key", "id, tag, any, when"),
        }
    }
    missing(reader, &at, row, "classify row", &[("tag", "tag = \"HIV\"")]);
    if when.all.is_empty() && when.any.is_empty() {
        let remedy = "say by what the tag is given, as in any = { set = \"HIV\" }";
        reader.fault_of(Code::MissingKey, &at, "this classify row names no evidence", remedy);
    }
    if when.names(Predicate::Tag) || when.names(Predicate::Recipient) {
        let what = "evidence is a code, a label, a category or a text, not a tag or a recipient";
        reader.fault_of(Code::NeverMatches, &at, what, "take 'tag' and 'recipient' out of this classify row");
    }
    let tag = tag?;
    let id = id.unwrap_or_else(|| tag.to_ascii_lowercase().replace('_', "-"));
    let row = Classify { id, tag, when, spot: reader.spot(&at) };
    Some(Draft { over_at: at.clone(), at, hold_at: None, backstop_at: None, row })
}

pub(super) fn read_profile<'t>(
    reader: &mut Reader<'t>,
    at: Place,
    row: &DeTable<'t>,
    shelf: &mut Shelf<'_>,
) -> Option<Draft<Profile>> {
    let (mut id, mut over, mut over_at, mut when, mut then) = (None, BTreeSet::new(), at.clone(), None, None);
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "over" => (over_at, over) = read_over(reader, value),
            "when" => when = read_when(reader, value, shelf),
            "then" => then = read_then(reader, value, Side::Profile, shelf),
            "reason" => {
                reader.sentence(value, "reason");
            }
            other => unknown(reader, &key.span(), other, "key", "id, over, when, then, reason"),
        }
    }
    let needed = [
        ("id", "id = \"routine-lab\""),
        ("when", "when = { code = [\"loinc|58410-2\"] }"),
        ("then", "then = { action = \"send\" }"),
    ];
    missing(reader, &at, row, "profile", &needed);
    let Then { columns, said, hold_at, backstop_at } = then?;
    let mut when = when?;
    // A profile that names no recipient speaks of the patient alone, also when other roles come to be.
    when.all.entry(Predicate::Recipient).or_insert_with(|| Condition::Roles(BTreeSet::from([RecipientRole::Patient])));
    let row = Profile { id: id?, over, when, then: columns, said, spot: reader.spot(&at) };
    check_profile(reader, &at, &row);
    Some(Draft { at, over_at, hold_at, backstop_at, row })
}

pub(super) fn read_restrict<'t>(
    reader: &mut Reader<'t>,
    at: Place,
    row: &DeTable<'t>,
    shelf: &mut Shelf<'_>,
) -> Option<Draft<Restrict>> {
    let (mut id, mut when, mut then_value, mut reason) = (None, None, None, None);
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "when" => when = read_when(reader, value, shelf),
            "then" => then_value = Some(value),
            "reason" => reason = reader.sentence(value, "reason"),
            other => unknown(reader, &key.span(), other, "key", "id, when, then, reason"),
        }
    }
    let needed =
        [("id", "id = \"sensitive\""), ("when", "when = { tag = [\"HIV\"] }"), ("then", "then = { opens = 1 }")];
    missing(reader, &at, row, "restriction", &needed);
    let when = when?;
    let names_tag = if when.names(Predicate::Tag) { NamesTag::Yes } else { NamesTag::No };
    let Then { columns, said, hold_at, backstop_at } =
        read_then(reader, then_value?, Side::Restrict { names_tag }, shelf)?;
    let row = Restrict { id: id?, when, then: columns, said, reason, spot: reader.spot(&at) };
    check_reach(reader, &at, &row.id, &row.when);
    check_challenge(reader, &at, &row);
    Some(Draft { over_at: at.clone(), at, hold_at, backstop_at, row })
}

pub(super) fn read_exception<'t>(
    reader: &mut Reader<'t>,
    at: Place,
    row: &DeTable<'t>,
    shelf: &mut Shelf<'_>,
) -> Option<Draft<Exception>> {
    let (mut id, mut over, mut over_at, mut when) = (None, BTreeSet::new(), at.clone(), None);
    let (mut from, mut until, mut by, mut reason) = (None, None, BTreeSet::new(), None);
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "over" => (over_at, over) = read_over(reader, value),
            "when" => when = read_when(reader, value, shelf),
            "from" => from = read_day(reader, value, "from", shelf),
            "until" => until = read_day(reader, value, "until", shelf),
            "by" => by = read_people(reader, value),
            "reason" => reason = reader.sentence(value, "reason"),
            other => unknown(reader, &key.span(), other, "key", "id, over, when, from, until, by, reason"),
        }
    }
    let needed = [
        ("id", "id = \"trial-2026\""),
        ("over", "over = [\"sensitive\"]"),
        ("when", "when = { clinic = \"main\" }"),
        ("by", "by = [\"Ann Author\", \"Ben Approver\"]"),
        ("reason", "reason = \"why these reports are handled otherwise\""),
    ];
    missing(reader, &at, row, "exception", &needed);
    if !row.contains_key("until") {
        let remedy = "add until = 2026-12-31, the first day on which it no longer counts";
        reader.fault_of(Code::ExceptionWithoutEnd, &at, "this exception has no end", remedy);
    }
    if row.contains_key("by") && by.len() < EXCEPTION_PEOPLE {
        let remedy = "name two people in 'by' who stand for it";
        reader.fault_of(Code::ExceptionByOne, &at, "an exception needs two people", remedy);
    }
    let mut when = when?;
    when.all.entry(Predicate::Recipient).or_insert_with(|| Condition::Roles(BTreeSet::from([RecipientRole::Patient])));
    let spot = reader.spot(&at);
    let row = Exception { id: id?, over, when, from, until: until?, by, reason: reason?, spot };
    Some(Draft { at, over_at, hold_at: None, backstop_at: None, row })
}

fn read_over<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> (Place, BTreeSet<String>) {
    let list = reader.list(value, "over");
    (value.span(), list.into_iter().filter_map(|item| reader.slug(item, "over")).collect())
}

/// The first instant of a day in the rules' zone.
fn read_day<'t>(reader: &mut Reader<'t>, value: &Value<'t>, name: &str, shelf: &Shelf<'_>) -> Option<UtcMillis> {
    reader.date(value, name).map(|day| crate::policy::calendar::day_start(day, shelf.zone))
}

fn read_people<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<OperatorName> {
    let mut people = BTreeSet::new();
    for item in reader.list(value, "by") {
        let Some(text) = reader.text(item, "by") else { continue };
        match OperatorName::parse(text) {
            Ok(name) => {
                people.insert(name);
            }
            Err(error) => {
                let what = format!("{} is not a name: {error}", quote(text));
                reader.fault_of(Code::BadId, &item.span(), what, "write the name of an operator");
            }
        }
    }
    people
}

fn missing<'t>(reader: &mut Reader<'t>, at: &Place, row: &DeTable<'t>, what: &str, needed: &[(&str, &str)]) {
    for (name, example) in needed {
        if !row.contains_key(*name) {
            reader.fault_of(Code::MissingKey, at, format!("this {what} has no '{name}'"), format!("add {example}"));
        }
    }
}

/// Conditions that say what kind of report is meant.
const KINDS: [Predicate; 9] = [
    Predicate::Category,
    Predicate::Type,
    Predicate::Code,
    Predicate::Holds,
    Predicate::Set,
    Predicate::Service,
    Predicate::Clinic,
    Predicate::Encounter,
    Predicate::Order,
];

/// A profile must say which reports it means, and there must be some.
fn check_profile(reader: &mut Reader<'_>, at: &Place, profile: &Profile) {
    let Profile { id, when, then, .. } = profile;
    if then.action == Action::Send && !KINDS.into_iter().any(|kind| when.names(kind)) {
        let what = format!("profile '{id}' sends every report, whatever it holds");
        let remedy = "name the reports in 'when' by code, type, category, service or clinic";
        reader.fault_of(Code::SendsEverything, at, what, remedy);
    }
    if when.names(Predicate::Tag) {
        let what = format!("profile '{id}' tests a tag; profiles say what kind of report it is, not how sensitive");
        let remedy = "move what depends on the tag into a [[restrict]] row";
        reader.fault_of(Code::ProfileTestsTag, at, what, remedy);
    }
    if id == STATUS_RULE || id == crate::policy::decide::DEFAULT_RULE {
        let what = format!("'{id}' is Chartseal's own name for what the status or the default forbids");
        reader.fault_of(Code::ReservedId, at, what, "give the profile another id");
    }
    check_reach(reader, at, id, when);
}

fn check_reach(reader: &mut Reader<'_>, at: &Place, id: &str, when: &When) {
    let only_reports = matches!(
        when.all.get(&Predicate::Resource),
        Some(Condition::Kinds(kinds)) if !kinds.contains(&ResourceType::DocumentReference)
    );
    if when.all.contains_key(&Predicate::Type) && only_reports {
        let what = format!("'{id}' can never match: only a DocumentReference has a 'type'");
        let remedy = "use 'code' for a DiagnosticReport, or add \"DocumentReference\" to 'resource'";
        reader.fault_of(Code::NeverMatches, at, what, remedy);
    }
}

/// A question alone is answered by the family, an employer, anybody who knows the patient a little.
fn check_challenge(reader: &mut Reader<'_>, at: &Place, row: &Restrict) {
    let only_question =
        row.then.challenges.contains(Challenge::Question) && !row.then.challenges.contains(Challenge::Code);
    if only_question && row.when.names(Predicate::Tag) {
        let what = format!("'{}' protects sensitive reports by a question alone, which relatives can answer", row.id);
        let remedy = "add \"code\": verify = [\"question\", \"code\"], code_via = \"other\"";
        reader.fault_of(Code::WeakChallenge, at, what, remedy);
    }
}
