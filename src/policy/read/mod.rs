//! A rules file, read whole or not at all.
//!
//! Job: sections of the language, and how their rows hang together.
//! Must stay true: an unknown section, key or value is a fault, never ignored; work is bounded by
//! [`RULES_BYTES_MAX`] and the counts beside it.

mod cases;
mod columns;
mod conditions;
mod header;
mod law;
mod over;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use toml::de::DeTable;

use super::bits::ROWS_MAX;
use super::errors::{Code, RulesError, RulesErrors};
use super::laws::Law;
use super::quiet::{Quiet, read_quiet};
use super::reader::{Place, Reader, Value, quote};
use super::rules::{
    Classify, Content, Exception, Limits, PROFILES_MAX, Profile, RULES_BYTES_MAX, Restrict, RuleSet, Service,
    SideFiles, hash_of,
};
use super::sets::CodeSets;
use super::table::Table;
use super::text::{Pattern, Patterns};
use super::when::{Condition, Predicate};
use rows::Draft;

const SECTIONS: &str = "policy, limits, quiet, service, classify, profile, restrict, exception, test";

/// What rows may name: the clinic's limits and vocabularies, and what they did name.
pub(super) struct Shelf<'s> {
    limits: Limits,
    quiet: Option<&'s Quiet>,
    zone: Tz,
    sets: &'s CodeSets,
    own_services: BTreeSet<String>,
    used_sets: BTreeSet<String>,
    used_services: BTreeSet<String>,
    patterns: BTreeSet<Pattern>,
}

impl Shelf<'_> {
    fn take_set(&mut self, name: &str) -> bool {
        let is_known = self.sets.set(name).is_some();
        if is_known {
            self.used_sets.insert(name.to_owned());
        }
        is_known
    }

    fn set_names(&self) -> String {
        self.sets.sets().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn take_service(&mut self, word: &str) -> bool {
        let is_known = self.own_services.contains(word) || self.sets.service(word).is_some();
        if is_known {
            self.used_services.insert(word.to_owned());
        }
        is_known
    }

    fn service_names(&self) -> String {
        let shipped = self.sets.services().map(|(name, _)| name.as_str());
        shipped
            .chain(self.own_services.iter().map(String::as_str))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[derive(Default)]
struct Drafts {
    services: Vec<Draft<Service>>,
    classify: Vec<Draft<Classify>>,
    profiles: Vec<Draft<Profile>>,
    restricts: Vec<Draft<Restrict>>,
    exceptions: Vec<Draft<Exception>>,
    cases: Vec<super::cases::Case>,
}

pub(super) fn load(text: &str, files: &SideFiles) -> Result<RuleSet, RulesErrors> {
    if text.len() > RULES_BYTES_MAX {
        let what = format!("the file has {} bytes; {RULES_BYTES_MAX} are allowed", text.len());
        return Err(alone(Code::TooLarge, what, "take codes out that are not used"));
    }
    let sets = CodeSets::with(files).map_err(|faults| RulesErrors(faults.into_iter().map(set_fault).collect()))?;
    let mut reader = Reader::new(text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let remedy = "texts stand in double quotes, lists in [ ], every row starts with [[profile]], \
                          and no key stands twice";
            let what = format!("this is not TOML: {}", error.message().replace('\n', ", "));
            reader.fault_of(Code::Syntax, &error.span().unwrap_or(0..0), what, remedy);
            return Err(reader.into_errors());
        }
    };
    let table = document.get_ref();
    let limits = table.get("limits").map_or_else(Limits::default, |value| header::read_limits(&mut reader, value));
    let quiet = table.get("quiet").and_then(|value| read_quiet(&mut reader, value));
    let header = header::read_header(&mut reader, table);
    let zone = header.as_ref().and_then(|header| header.timezone).unwrap_or(Tz::UTC);
    let mut shelf = Shelf {
        limits,
        quiet: quiet.as_ref(),
        zone,
        sets: &sets,
        own_services: BTreeSet::new(),
        used_sets: BTreeSet::new(),
        used_services: BTreeSet::new(),
        patterns: BTreeSet::new(),
    };
    let drafts = read_rows(&mut reader, table, &mut shelf);
    let laws = match &header {
        Some(header) => law::read_laws(&mut reader, table, header, &mut shelf),
        None => Vec::new(),
    };
    check(&mut reader, &drafts, &laws, &sets);
    let Shelf { used_sets, used_services, patterns, .. } = shelf;
    match header {
        Some(header) if reader.is_clean() => {
            let content = Content {
                header,
                limits,
                services: services(drafts.services, &used_services, &sets),
                classify: sorted(drafts.classify, |row| &row.id),
                profiles: sorted(drafts.profiles, |row| &row.id),
                restricts: sorted(drafts.restricts, |row| &row.id),
                exceptions: sorted(drafts.exceptions, |row| &row.id),
                cases: by_name(drafts.cases),
                laws,
                sets: used_sets
                    .iter()
                    .filter_map(|name| Some((name.clone(), sets.set(name)?.iter().cloned().collect())))
                    .collect(),
                quiet,
            };
            compile(content, &patterns)
        }
        Some(_) | None => Err(reader.into_errors()),
    }
}

fn read_rows<'t>(reader: &mut Reader<'t>, table: &DeTable<'t>, shelf: &mut Shelf<'_>) -> Drafts {
    let mut drafts = Drafts::default();
    // What others may name comes first, wherever it stands.
    if let Some(value) = table.get("service") {
        let rows = bounded(reader, value, "service");
        drafts.services = rows.into_iter().filter_map(|(at, row)| rows::read_service(reader, at, row)).collect();
        shelf.own_services = drafts.services.iter().map(|draft| draft.row.name.clone()).collect();
    }
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "policy" | "limits" | "quiet" | "service" => {}
            "classify" => {
                let rows = bounded(reader, value, "classify");
                let read = rows.into_iter().filter_map(|(at, row)| rows::read_classify(reader, at, row, shelf));
                drafts.classify = read.collect();
            }
            "profile" => {
                let rows = bounded(reader, value, "profile");
                let read = rows.into_iter().filter_map(|(at, row)| rows::read_profile(reader, at, row, shelf));
                drafts.profiles = read.collect();
            }
            "restrict" => {
                let rows = bounded(reader, value, "restrict");
                let read = rows.into_iter().filter_map(|(at, row)| rows::read_restrict(reader, at, row, shelf));
                drafts.restricts = read.collect();
            }
            "exception" => {
                let rows = bounded(reader, value, "exception");
                let read = rows.into_iter().filter_map(|(at, row)| rows::read_exception(reader, at, row, shelf));
                drafts.exceptions = read.collect();
            }
            "test" => {
                let rows = bounded(reader, value, "test");
                let read = rows.into_iter().filter_map(|(at, row)| cases::read_case(reader, &at, row, shelf));
                drafts.cases = read.collect();
            }
            other => unknown(reader, &key.span(), other, "section", SECTIONS),
        }
    }
    drafts
}

fn bounded<'t, 'v>(reader: &mut Reader<'t>, value: &'v Value<'t>, name: &str) -> Vec<(Place, &'v DeTable<'t>)> {
    let rows = reader.rows(value, name);
    if rows.len() > PROFILES_MAX {
        let what = format!("there are {} rows of '{name}'; {PROFILES_MAX} are allowed", rows.len());
        reader.fault_of(
            Code::TooLarge,
            &value.span(),
            what,
            "join rows that say the same by listing their codes in one",
        );
        return Vec::new();
    }
    rows
}

fn check(reader: &mut Reader<'_>, drafts: &Drafts, laws: &[Law], sets: &CodeSets) {
    over::check_ids(reader, "service", &drafts.services, |row| &row.name);
    over::check_ids(reader, "classify row", &drafts.classify, |row| &row.id);
    over::check_ids(reader, "profile", &drafts.profiles, |row| &row.id);
    over::check_ids(reader, "restriction", &drafts.restricts, |row| &row.id);
    over::check_ids(reader, "exception", &drafts.exceptions, |row| &row.id);
    over::check_over(reader, &drafts.profiles);
    let law_rows = laws.iter().flat_map(|law| &law.restricts).map(|row| row.id.clone()).collect();
    over::check_exceptions(reader, &drafts.exceptions, &drafts.restricts, &law_rows);
    let tags: BTreeSet<&str> = drafts.classify.iter().map(|draft| draft.row.tag.as_str()).collect();
    for draft in &drafts.restricts {
        check_tags(reader, &draft.at, &draft.row.id, draft.row.when.all.get(&Predicate::Tag), &tags);
        check_tags(reader, &draft.at, &draft.row.id, draft.row.when.any.get(&Predicate::Tag), &tags);
    }
    for draft in &drafts.exceptions {
        check_tags(reader, &draft.at, &draft.row.id, draft.row.when.all.get(&Predicate::Tag), &tags);
    }
    law::check_crossings(
        reader,
        drafts.classify.iter().map(|draft| &draft.row),
        &drafts.profiles,
        &drafts.restricts,
        laws,
        sets,
    );
}

/// A tag that no classify row gives makes a restriction that never holds.
fn check_tags(reader: &mut Reader<'_>, at: &Place, id: &str, condition: Option<&Condition>, known: &BTreeSet<&str>) {
    let Some(Condition::Words(tags)) = condition else { return };
    for tag in tags.iter().filter(|tag| !known.contains(tag.as_str())) {
        let what = format!("'{id}' tests the tag {}, which no [[classify]] row gives", quote(tag));
        reader.fault_of(Code::UnknownTag, at, what, "correct the tag, or add a [[classify]] row for it");
    }
}

/// The clinic's own services, and what ships of those that the rules name.
fn services(own: Vec<Draft<Service>>, used: &BTreeSet<String>, sets: &CodeSets) -> Vec<Service> {
    let mut found: BTreeMap<String, Service> =
        own.into_iter().map(|draft| (draft.row.name.clone(), draft.row)).collect();
    for word in used {
        let Some(shipped) = sets.service(word) else { continue };
        let empty = || Service { name: word.clone(), specialties: BTreeSet::new(), performers: BTreeSet::new() };
        found.entry(word.clone()).or_insert_with(empty).specialties.extend(shipped.iter().cloned());
    }
    found.into_values().collect()
}

fn sorted<R>(drafts: Vec<Draft<R>>, id: fn(&R) -> &String) -> Vec<R> {
    let mut rows: Vec<_> = drafts.into_iter().map(|draft| draft.row).collect();
    rows.sort_by(|one, other| id(one).cmp(id(other)));
    rows
}

/// The hash does not know where a test stands.
fn by_name(mut cases: Vec<super::cases::Case>) -> Vec<super::cases::Case> {
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

fn compile(content: Content, patterns: &BTreeSet<Pattern>) -> Result<RuleSet, RulesErrors> {
    let ours = "report this as a fault of Chartseal";
    let table = Table::compile(&content);
    if table.rows.len() > ROWS_MAX {
        let what = format!("there are {} rows with those of the laws; {ROWS_MAX} are allowed", table.rows.len());
        return Err(alone(Code::TooLarge, what, "join rows that say the same by listing their codes in one"));
    }
    let patterns = Patterns::compile(patterns).map_err(|why| {
        alone(Code::BadPattern, format!("all text patterns together cannot be used: {why}"), "take some of them out")
    })?;
    match hash_of(&content) {
        Ok(hash) => Ok(RuleSet { content, patterns, table, hash }),
        Err(error) => Err(alone(Code::Syntax, format!("the rules have no canonical form: {error}"), ours)),
    }
}

fn alone(code: Code, what: String, remedy: &str) -> RulesErrors {
    RulesErrors(vec![RulesError { line: 1, column: 1, width: 1, code, what, remedy: remedy.to_owned() }])
}

fn set_fault(fault: super::sets::SetFault) -> RulesError {
    let what = format!("{}: {}", fault.place(), fault.what);
    RulesError { line: 1, column: 1, width: 1, code: Code::BadSet, what, remedy: fault.remedy }
}

/// A word that the language does not have.
pub(super) fn unknown(reader: &mut Reader<'_>, at: &Place, word: &str, what: &str, known: &str) {
    let near = known.split(", ").map(|known| (strsim::osa_distance(word, known), known)).min();
    let remedy = match near {
        Some((1..=2, near)) => format!("did you mean '{near}'? Known here are: {known}"),
        Some(_) | None => format!("known here are: {known}"),
    };
    reader.fault_of(Code::UnknownKey, at, format!("the {what} {} is unknown", quote(word)), remedy);
}
