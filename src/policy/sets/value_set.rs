//! FHIR value sets (<https://hl7.org/fhir/R4/valueset.html>), in JSON.
//!
//! Job: the codes of value sets that are enumerated, and of those that import one another among the given files. Must stay
//! true: what only a terminology server can know (filters, whole systems, pages that are missing) is a fault, for a set
//! that lacks codes would loosen in silence. Inactive codes are in: old reports carry them. Abstract ones are headings.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::checked;
use super::faults::{Faults, SetFault, Spot};
use crate::policy::facts::Coding;
use crate::policy::reader::quote;

/// Imports of one value set.
const IMPORTS_MAX: usize = 100;
const EXPAND_REMEDY: &str =
    "expand the value set on a terminology server first ($expand), whole, and save the expansion as this file";
/// Extensions by which a server says that an expansion is not whole.
const NOT_WHOLE: [&str; 2] = ["/valueset-toocostly", "/valueset-unclosed"];

/// The value sets among the clinic's files.
#[derive(Default)]
pub(super) struct Library {
    files: BTreeMap<String, Value>,
}

/// What came of one file: its codes unless it has faults, or imports one that has.
#[derive(Clone, Default)]
pub(super) struct Outcome {
    pub(super) codes: Option<Rc<BTreeSet<Coding>>>,
    pub(super) faults: Vec<SetFault>,
}

impl Library {
    /// Takes a file in, whose text begins with `{`. The depth of the JSON is bounded by its parser, at 128.
    pub(super) fn add(&mut self, file: &str, text: &str, faults: &mut Faults<'_>) {
        let resource = match serde_json::from_str::<Value>(text) {
            Ok(resource) => resource,
            Err(error) => {
                let line = Spot::Line(u64::try_from(error.line()).unwrap_or(u64::MAX));
                faults.add(line, format!("this is not JSON: {error}"), "save the value set again as FHIR JSON");
                return;
            }
        };
        match text_of(&resource, "resourceType") {
            Some("ValueSet") => {
                self.files.insert(file.to_owned(), resource);
            }
            Some(other) => {
                let what = format!("this is a FHIR resource of type {}, and no ValueSet", quote(other));
                faults.add(Spot::File, what, "save the ValueSet itself, not a Bundle or CodeSystem around it");
            }
            None => {
                let what = "this JSON has no 'resourceType'";
                faults.add(Spot::File, what, "save a FHIR ValueSet, or write the codes as a CSV table");
            }
        }
    }

    /// The codes of every file.
    pub(super) fn resolve(&self) -> BTreeMap<String, Outcome> {
        let mut done = BTreeMap::new();
        for file in self.files.keys() {
            self.resolve_file(file, &mut Vec::new(), &mut done);
        }
        done
    }

    /// `trail` holds the files that wait for this one.
    fn resolve_file<'l>(
        &'l self,
        file: &'l str,
        trail: &mut Vec<&'l str>,
        done: &mut BTreeMap<String, Outcome>,
    ) -> Option<Rc<BTreeSet<Coding>>> {
        if let Some(outcome) = done.get(file) {
            return outcome.codes.clone();
        }
        let resource = self.files.get(file)?;
        trail.push(file);
        let mut reading = Reading { library: self, trail, done, faults: Faults::new(file), imports: 0, is_whole: true };
        let codes = reading.value_set(resource);
        let Reading { trail, done, mut faults, is_whole, .. } = reading;
        if codes.is_empty() && faults.is_clean() && is_whole {
            faults.add(Spot::File, "the value set has no codes", EXPAND_REMEDY);
        }
        trail.pop();
        let codes = (faults.is_clean() && is_whole).then(|| Rc::new(codes));
        done.insert(file.to_owned(), Outcome { codes: codes.clone(), faults: faults.into_vec() });
        codes
    }

    /// The files of a canonical address, `url` or `url|version`.
    fn files_of<'l>(&'l self, canonical: &str) -> Vec<&'l str> {
        let (url, version) = canonical.split_once('|').map_or((canonical, None), |(url, version)| (url, Some(version)));
        let is_meant = |resource: &Value| {
            text_of(resource, "url") == Some(url) && version.is_none_or(|v| text_of(resource, "version") == Some(v))
        };
        self.files.iter().filter(|(_, resource)| is_meant(resource)).map(|(file, _)| file.as_str()).collect()
    }
}

/// One value set while it is read.
struct Reading<'l, 'r> {
    library: &'l Library,
    trail: &'r mut Vec<&'l str>,
    done: &'r mut BTreeMap<String, Outcome>,
    faults: Faults<'l>,
    imports: usize,
    /// Whether every import could be read; the fault is told where it is.
    is_whole: bool,
}

impl Reading<'_, '_> {
    fn value_set(&mut self, resource: &Value) -> BTreeSet<Coding> {
        if let Some(expansion) = resource.get("expansion") {
            let has_codes = expansion.get("contains").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
            if has_codes || resource.get("compose").is_none() {
                return self.expansion(expansion);
            }
        }
        let Some(compose) = resource.get("compose") else {
            self.faults.add(Spot::File, "the value set has neither 'expansion' nor 'compose'", EXPAND_REMEDY);
            return BTreeSet::new();
        };
        if compose.get("import").is_some() {
            // So wrote FHIR before R3.
            self.faults.add(Spot::Path("compose.import".into()), "this is a value set of FHIR DSTU2", EXPAND_REMEDY);
        }
        let mut codes = BTreeSet::new();
        for (at, part) in list_of(compose, "include").enumerate() {
            codes.extend(self.part(part, &format!("compose.include[{at}]")));
        }
        for (at, part) in list_of(compose, "exclude").enumerate() {
            for code in self.part(part, &format!("compose.exclude[{at}]")) {
                codes.remove(&code);
            }
        }
        codes
    }

    fn expansion(&mut self, expansion: &Value) -> BTreeSet<Coding> {
        let (mut codes, mut count) = (BTreeSet::new(), 0);
        self.contained(expansion, "expansion", &mut codes, &mut count);
        if let Some(why) = why_not_whole(expansion, count) {
            self.faults.add(Spot::Path("expansion".into()), why, EXPAND_REMEDY);
        }
        codes
    }

    /// The entries below `contains`, at any depth; `count` grows by every entry, headings too.
    fn contained(&mut self, parent: &Value, path: &str, codes: &mut BTreeSet<Coding>, count: &mut u64) {
        if parent.get("contains").is_some_and(|contains| !contains.is_array()) {
            self.faults.add(Spot::Path(format!("{path}.contains")), "this is no list", EXPAND_REMEDY);
        }
        for (at, entry) in list_of(parent, "contains").enumerate() {
            *count += 1;
            let path = format!("{path}.contains[{at}]");
            let is_heading = entry.get("abstract").and_then(Value::as_bool) == Some(true)
                || (entry.get("code").is_none() && entry.get("contains").is_some());
            if !is_heading {
                codes.extend(self.code(text_of(entry, "system"), entry, &path));
            }
            self.contained(entry, &path, codes, count);
        }
    }

    /// One `include` or `exclude`: its own concepts and its imports, each narrowing the others.
    fn part(&mut self, part: &Value, path: &str) -> BTreeSet<Coding> {
        let spot = || Spot::Path(path.to_owned());
        let has = |name: &str| list_of(part, name).next().is_some();
        let system = text_of(part, "system");
        if part.get("filter").is_some_and(|filter| filter.as_array().is_none_or(|list| !list.is_empty())) {
            let what = "a filter chooses the codes, which only a terminology server can do";
            self.faults.add(spot(), what, EXPAND_REMEDY);
            return BTreeSet::new();
        }
        if !has("concept") && !has("valueSet") {
            let what = match system {
                Some(system) => format!("this takes the whole code system {}", quote(system)),
                None => "this names no codes".to_owned(),
            };
            self.faults.add(spot(), what, EXPAND_REMEDY);
            return BTreeSet::new();
        }
        let mut codes: Option<BTreeSet<Coding>> = None;
        if has("concept") {
            let concepts = list_of(part, "concept").enumerate();
            let own = concepts.filter_map(|(at, entry)| self.code(system, entry, &format!("{path}.concept[{at}]")));
            codes = Some(own.collect());
        }
        for (at, import) in list_of(part, "valueSet").enumerate() {
            let imported = self.import(import, &format!("{path}.valueSet[{at}]"));
            codes = Some(match codes {
                Some(codes) => codes.into_iter().filter(|code| imported.contains(code)).collect(),
                None => imported.as_ref().clone(),
            });
        }
        let mut codes = codes.unwrap_or_default();
        if let Some(system) = system {
            let system = crate::policy::codes::canonical_system(system);
            codes.retain(|code| code.system.as_deref() == Some(system));
        }
        codes
    }

    fn code(&mut self, system: Option<&str>, entry: &Value, path: &str) -> Option<Coding> {
        if self.faults.is_full() {
            return None;
        }
        match checked(system.unwrap_or_default(), text_of(entry, "code").unwrap_or_default()) {
            Ok(coding) => Some(coding),
            Err((what, remedy)) => {
                self.faults.add(Spot::Path(path.to_owned()), what, &remedy);
                None
            }
        }
    }

    fn import(&mut self, import: &Value, path: &str) -> Rc<BTreeSet<Coding>> {
        self.imports += 1;
        let canonical = import.as_str().unwrap_or_default();
        if self.imports > IMPORTS_MAX {
            let what = format!("this value set imports more than {IMPORTS_MAX} others");
            self.faults.add_once(Spot::File, what, EXPAND_REMEDY);
            return Rc::default();
        }
        let spot = Spot::Path(path.to_owned());
        let files = self.library.files_of(canonical);
        match files.as_slice() {
            [] => {
                let what = format!("the value set {} is not among the files", quote(canonical));
                let remedy = format!("put its file beside this one; or {EXPAND_REMEDY}");
                self.faults.add(spot, what, &remedy);
                Rc::default()
            }
            [file] => match self.trail.iter().position(|waiting| waiting == file) {
                Some(from) => {
                    let circle: Vec<_> = self.trail.iter().skip(from).copied().collect();
                    let what = format!("value sets import one another in a circle: {}", quote(&circle.join(", ")));
                    self.faults.add(spot, what, "take one of these imports out");
                    Rc::default()
                }
                None => self.library.resolve_file(file, self.trail, self.done).unwrap_or_else(|| {
                    self.is_whole = false;
                    Rc::default()
                }),
            },
            [one, other, ..] => {
                let what = format!("two files are the value set {}: {one} and {other}", quote(canonical));
                self.faults.add(spot, what, "take one of them out, or write url|version where it is imported");
                Rc::default()
            }
        }
    }
}

/// Why an expansion may lack codes; `count` is the number of entries that are there.
fn why_not_whole(expansion: &Value, count: u64) -> Option<String> {
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64);
    let parameter = |name: &str| list_of(expansion, "parameter").find(|one| text_of(one, "name") == Some(name));
    let total = number(expansion, "total");
    let offset = number(expansion, "offset").or_else(|| number(parameter("offset")?, "valueInteger"));
    let asked = parameter("count").and_then(|one| number(one, "valueInteger"));
    let is_limited = |one: &Value| one.get("valueBoolean").and_then(Value::as_bool) == Some(true);
    let says_so = list_of(expansion, "extension")
        .filter_map(|extension| text_of(extension, "url"))
        .any(|url| NOT_WHOLE.iter().any(|ending| url.ends_with(ending)));
    if let Some(total) = total.filter(|total| *total > count) {
        Some(format!("the expansion has {count} of {total} codes"))
    } else if let Some(offset) = offset.filter(|offset| *offset > 0) {
        Some(format!("the expansion is a page that begins at code {offset}"))
    } else if expansion.get("next").is_some() {
        Some("the expansion has a next page".into())
    } else if says_so || parameter("limitedExpansion").is_some_and(is_limited) {
        Some("the server says that the expansion is not whole".into())
    } else if total.is_none() && asked.is_some_and(|asked| asked <= count) {
        Some(format!("the expansion was asked for {count} codes, has as many, and does not say whether there are more"))
    } else {
        None
    }
}

fn text_of<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

fn list_of<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}
