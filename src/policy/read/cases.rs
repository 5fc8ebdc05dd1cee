//! `[[test]]`: made-up facts and what is expected of them.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::columns::{Side, read_then};
use super::conditions::{read_condition, read_tags};
use super::{Shelf, unknown};
use crate::base::{ClinicId, ResourceType, UtcMillis};
use crate::policy::cases::{CASE_NOW, Case};
use crate::policy::columns::{Columns, Said};
use crate::policy::contact::{ContactStanding, ContactState, as_fact};
use crate::policy::errors::Code;
use crate::policy::facts::{Age, Basis, Coding, FactPath, Facts, Flag, Gathered, Lack, RecipientRole, ReportStatus};
use crate::policy::reader::{Place, Reader, Value};
use crate::policy::when::{Condition, Predicate};

const FACTS: &str = "recipient, clinic, resource, category, type, code, results, order, reason, label, confidentiality, \
                     performer, specialty, service, encounter, text, age, consent, basis, preference, contact, \
                     contact_since, critical, issued, unknown";
/// The oldest age of a test.
const AGE_MAX: u16 = 130;

pub(super) fn read_case<'t>(
    reader: &mut Reader<'t>,
    at: &Place,
    row: &DeTable<'t>,
    shelf: &mut Shelf<'_>,
) -> Option<Case> {
    let (mut name, mut facts, mut expect) = (None, None, None);
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "name" => name = reader.sentence(value, "name"),
            "facts" => facts = read_facts(reader, value, shelf),
            "expect" => expect = read_expected(reader, value, shelf),
            other => unknown(reader, &key.span(), other, "key", "name, facts, expect"),
        }
    }
    for (needed, example) in [
        ("name", "name = \"a blood count goes out\""),
        ("facts", "facts = { code = \"loinc|58410-2\" }"),
        ("expect", "expect = { action = \"send\" }"),
    ] {
        if !row.contains_key(needed) {
            reader.fault_of(Code::BadTest, at, format!("this test has no '{needed}'"), format!("add {example}"));
        }
    }
    let ((facts, texts), expect) = (facts?, expect?);
    Some(Case {
        name: name?,
        facts,
        texts,
        expected: expect.columns,
        said: expect.said,
        tags: expect.tags,
        earliest: expect.earliest,
        spot: reader.spot(at),
    })
}

struct Expect {
    columns: Columns,
    said: Said,
    tags: Option<Vec<String>>,
    earliest: Option<UtcMillis>,
}

/// Columns as in `then`, and `tag`, `earliest`.
fn read_expected<'t>(reader: &mut Reader<'t>, value: &Value<'t>, shelf: &mut Shelf<'_>) -> Option<Expect> {
    let table = reader.table(value, "expect")?;
    let mut tags = None;
    let mut earliest = None;
    let mut columns = DeTable::new();
    for (key, item) in table {
        match key.get_ref().as_ref() {
            "tag" => tags = Some(expected_tags(reader, item)),
            "earliest" => {
                let local = reader.wall_time(item, "earliest");
                earliest = local.map(|local| crate::policy::calendar::instant_of(local, shelf.zone));
            }
            _ => {
                columns.insert(key.clone(), item.clone());
            }
        }
    }
    let then = toml::Spanned::new(value.span(), DeValue::Table(columns));
    let then = read_then(reader, &then, Side::Expected, shelf)?;
    if then.said == Said::NOTHING && tags.is_none() && earliest.is_none() {
        reader.fault_of(
            Code::BadTest,
            &value.span(),
            "this test expects nothing",
            "add action = \"send\" or another column",
        );
    }
    Some(Expect { columns: then.columns, said: then.said, tags, earliest })
}

/// An empty list expects no tag at all.
fn expected_tags<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Vec<String> {
    match value.get_ref() {
        DeValue::Array(items) if items.is_empty() => Vec::new(),
        DeValue::Array(_)
        | DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => read_tags(reader, value).into_iter().collect(),
    }
}

/// Facts of which everything that is not mentioned is known to be absent, except the age.
pub(in crate::policy) fn read_facts<'t>(
    reader: &mut Reader<'t>,
    value: &Value<'t>,
    shelf: &mut Shelf<'_>,
) -> Option<(Facts, Vec<String>)> {
    let table = reader.table(value, "facts")?;
    let kind =
        if table.contains_key("type") { ResourceType::DocumentReference } else { ResourceType::DiagnosticReport };
    let mut facts = known(kind);
    let mut texts = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match name {
            "recipient" => {
                let role = reader.word(value, name, &RecipientRole::ALL, RecipientRole::as_str);
                facts.recipient = role.unwrap_or(facts.recipient);
            }
            "clinic" => facts.clinic = reader.text(value, name).and_then(|text| ClinicId::parse(text).ok()),
            "resource" => {
                let kind = reader.word(value, name, &ResourceType::ALL, ResourceType::as_str);
                facts.kind = kind.unwrap_or(facts.kind);
            }
            "category" => facts.categories = reader.categories(value, name).into_iter().collect(),
            "type" | "code" => facts.codes = reader.codings(value, name).into_iter().collect(),
            "results" => facts.results = gathered(reader.codings(value, name), "result[0].code"),
            "order" => facts.orders = gathered(reader.codings(value, name), "basedOn[0].code"),
            "reason" => facts.reasons = gathered(reader.codings(value, name), "basedOn[0].reasonCode"),
            "specialty" => facts.specialties = gathered(reader.codings(value, name), "specialty"),
            "label" => facts.labels.extend(codes_of(reader, value, Predicate::Label, shelf, "meta.security")),
            "confidentiality" => facts.labels.extend(level(reader, value)),
            "encounter" => facts.encounters = codes_of(reader, value, Predicate::Encounter, shelf, "encounter.class"),
            "performer" => facts.performers = performers(reader, value, shelf),
            "service" => facts.services = words(reader, value, Predicate::Service, shelf).into_iter().collect(),
            "consent" => facts.consents = gathered(words(reader, value, Predicate::Consent, shelf), "consent"),
            "basis" => facts.basis = gathered(reader.words(value, name, &Basis::ALL, Basis::as_str), name),
            "preference" => {
                facts.preferences = gathered(words(reader, value, Predicate::Preference, shelf), "preference");
            }
            "contact" => {
                let state = reader.word(value, name, &ContactState::ALL, ContactState::as_str);
                let since = table.get("contact_since").and_then(|since| reader.wall_time(since, "contact_since"));
                let since = since.map_or(CASE_NOW, |local| crate::policy::calendar::instant_of(local, shelf.zone));
                facts.contact = as_fact(state.map(|state| ContactStanding { state, since }));
            }
            "contact_since" if table.contains_key("contact") => {}
            "contact_since" => {
                let what = "'contact_since' says nothing without 'contact'";
                reader.fault_of(Code::BadTest, &key.span(), what, "add contact = \"confirmed_by_staff\"");
            }
            "text" => {
                let list = reader.list(value, name);
                texts = list.into_iter().filter_map(|item| reader.text(item, name)).map(str::to_owned).collect();
            }
            "age" => {
                let years = age(reader, value);
                facts.age = years.map_or(Age::Unknown, |years| Age::Years { least: years, most: years });
            }
            "critical" => facts.critical = flag(reader, value),
            "issued" => {
                let local = reader.wall_time(value, name);
                facts.issued = local.map(|local| crate::policy::calendar::instant_of(local, shelf.zone));
            }
            "unknown" => {}
            other => unknown(reader, &key.span(), other, "fact", FACTS),
        }
    }
    if let Some(value) = table.get("unknown") {
        forget(reader, value, &mut facts);
    }
    Some((facts, texts))
}

fn known(kind: ResourceType) -> Facts {
    Facts {
        issued: Some(CASE_NOW),
        results: Gathered::none(),
        labels: Gathered::none(),
        orders: Gathered::none(),
        reasons: Gathered::none(),
        performers: Gathered::none(),
        specialties: Gathered::none(),
        encounters: Gathered::none(),
        text: crate::policy::facts::TextFacts { tried: BTreeSet::new(), matched: Gathered::none() },
        consents: Gathered::none(),
        preferences: Gathered::none(),
        critical: Flag::No,
        ..Facts::bare(kind, ReportStatus::Final)
    }
}

fn gathered<T>(values: impl IntoIterator<Item = T>, at: &str) -> Gathered<T> {
    let mut found = Gathered::none();
    for value in values {
        found.add(value, FactPath(at.to_owned()));
    }
    found
}

fn codes_of<'t>(
    reader: &mut Reader<'t>,
    value: &Value<'t>,
    predicate: Predicate,
    shelf: &mut Shelf<'_>,
    at: &str,
) -> Gathered<Coding> {
    match read_condition(reader, value, predicate, shelf) {
        Some(Condition::Codes(codes)) => gathered(codes, at),
        Some(_) | None => Gathered::none(),
    }
}

fn level<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Gathered<Coding> {
    use crate::policy::codes::Confidentiality;
    let level = reader.word(value, "confidentiality", &Confidentiality::ALL, Confidentiality::as_str);
    gathered(level.map(Confidentiality::coding), "meta.security")
}

fn performers<'t>(reader: &mut Reader<'t>, value: &Value<'t>, shelf: &mut Shelf<'_>) -> Gathered<String> {
    match read_condition(reader, value, Predicate::Performer, shelf) {
        Some(Condition::Performers(found)) => gathered(found, "performer"),
        Some(_) | None => Gathered::none(),
    }
}

fn words<'t>(
    reader: &mut Reader<'t>,
    value: &Value<'t>,
    predicate: Predicate,
    shelf: &mut Shelf<'_>,
) -> BTreeSet<String> {
    match read_condition(reader, value, predicate, shelf) {
        Some(Condition::Words(words)) => words,
        Some(_) | None => BTreeSet::new(),
    }
}

fn age<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<u16> {
    let years = value.get_ref().as_integer().and_then(|years| years.as_str().parse::<u16>().ok());
    let years = years.filter(|years| *years <= AGE_MAX);
    if years.is_none() {
        reader.fault_of(Code::BadTest, &value.span(), "'age' is no whole number of years", "write age = 34");
    }
    years
}

fn flag<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Flag {
    match value.get_ref().as_bool() {
        Some(true) => Flag::Yes,
        Some(false) => Flag::No,
        None => {
            reader.fault_of(
                Code::BadTest,
                &value.span(),
                "'critical' is neither true nor false",
                "write critical = true",
            );
            Flag::Unknown
        }
    }
}

/// What could not be learnt in this test.
fn forget<'t>(reader: &mut Reader<'t>, value: &Value<'t>, facts: &mut Facts) {
    for item in reader.list(value, "unknown") {
        let lack = BTreeSet::from([Lack::TimedOut]);
        match reader.text(item, "unknown") {
            Some("results") => facts.results.lacking = lack,
            Some("label") => facts.labels.lacking = lack,
            Some("order") => {
                facts.orders.lacking.clone_from(&lack);
                facts.reasons.lacking = lack;
            }
            Some("specialty") => facts.specialties.lacking = lack,
            Some("encounter") => facts.encounters.lacking = lack,
            Some("text") => facts.text.matched.lacking = lack,
            Some("consent") => facts.consents.lacking = lack,
            Some("basis") => facts.basis.lacking = lack,
            Some("preference") => facts.preferences.lacking = lack,
            Some("contact") => facts.contact = Gathered { found: Vec::new(), lacking: lack },
            Some("age") => facts.age = Age::Unknown,
            Some("critical") => facts.critical = Flag::Unknown,
            Some(_) => {
                let known = "results, label, order, specialty, encounter, text, consent, basis, preference, contact, age, \
                             critical";
                let what = "this cannot be unknown in a test";
                reader.fault_of(Code::BadTest, &item.span(), what, format!("write one of: {known}"));
            }
            None => {}
        }
    }
}
