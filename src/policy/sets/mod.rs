//! Named code sets: what the rules call `HIV` or `dermatology`, as codes.
//!
//! Job: join what ships with the clinic's own files, CSV tables and FHIR value sets, read whole or not at all. Must stay
//! true: a set of the clinic adds to a shipped one and takes nothing away, for more evidence may only tighten; every code
//! has a known system and a right check digit; what a file leaves to a terminology server is a fault, never an empty
//! set. Must not know: where the files lie, and what a rule makes of a set.

mod csv;
mod faults;
mod shipped;
mod value_set;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

pub use self::csv::CENSUS_SOURCE;
use super::codes::{self, LoincForm, SnomedForm};
use super::facts::Coding;
use super::reader::quote;
use faults::Faults;
pub use faults::{SetFault, Spot};
pub use shipped::{display_of, suggested_tag};

/// The size of one file, in bytes.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The clinic's files.
pub const FILES_MAX: usize = 200;
/// Codes of one set.
pub const SET_CODES_MAX: usize = 50_000;
/// Sets and services together, the shipped ones among them.
pub const SETS_MAX: usize = 200;
/// The name of a set, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// A code, in characters.
pub const CODE_CHARS_MAX: usize = 128;

/// A set's name: letters, digits, hyphens, underscores and dots of ASCII, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct SetName(String);

impl SetName {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        (begins && text.len() <= NAME_CHARS_MAX && text.chars().all(is_of_name)).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for SetName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Codes in canonical form, each with its system.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct CodeSet {
    codes: BTreeSet<Coding>,
}

impl CodeSet {
    /// Whether the set holds this code of a report, in whatever spelling of its system. In ICD a set that holds `C50`
    /// holds `C50.9`; everywhere else a code stands for itself. A code without a system is in no set.
    #[must_use]
    pub fn contains(&self, coding: &Coding) -> bool {
        codes::with_classes(coding).any(|coding| self.codes.contains(&coding))
    }

    /// In the order of system and code.
    pub fn iter(&self) -> impl Iterator<Item = &Coding> {
        self.codes.iter()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }
}

/// What a name of a set stands for. The two do not share names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Kind {
    /// What a report is about: a column `sensitivity`, or a file of one set.
    Topic,
    /// Which service it comes from: a column `service`.
    Service,
}

/// All sets that rules may name. Equal sets have equal JSON, for the hash of the rules that name them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CodeSets {
    topics: BTreeMap<SetName, CodeSet>,
    services: BTreeMap<SetName, CodeSet>,
}

impl CodeSets {
    /// What ships: `policies/codes/*.csv`.
    #[must_use]
    pub fn shipped() -> &'static Self {
        shipped::sets()
    }

    /// What ships and the clinic's own files: name of the file → its text. A file that begins with `{` is a FHIR
    /// `ValueSet` in JSON, any other a CSV table.
    ///
    /// A file's set that bears a shipped name adds to it: to take a code out of `HIV` would loosen every rule that
    /// names it, unseen. Who wants less names a set of their own.
    ///
    /// # Errors
    /// All faults found, in the order of the files; nothing was loaded.
    pub fn with(files: &BTreeMap<String, String>) -> Result<Self, Vec<SetFault>> {
        let mut sets = Self::shipped().clone();
        let mut faults = Vec::new();
        if files.len() > FILES_MAX {
            let what = format!("there are {} files of code sets; {FILES_MAX} are allowed", files.len());
            return Err(vec![SetFault::of_all(what, "join files: a column 'sensitivity' holds many sets in one")]);
        }
        let mut value_sets = value_set::Library::default();
        for (name, text) in files {
            let mut found = Faults::new(name);
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            if text.len() > FILE_BYTES_MAX {
                let what = format!("the file has {} bytes; {FILE_BYTES_MAX} are allowed", text.len());
                found.add(Spot::File, what, "split it into several files of the same set");
            } else if text.trim_start().starts_with('<') {
                found.add(Spot::File, "this is XML", "save the value set as FHIR JSON, or its codes as a CSV table");
            } else if text.trim_start().starts_with('{') {
                value_sets.add(name, text, &mut found);
            } else {
                for row in csv::read(name, text, &mut found) {
                    sets.add(row.kind, &row.set, [row.coding], &mut found);
                }
            }
            faults.append(&mut found.into_vec());
        }
        for (name, outcome) in value_sets.resolve() {
            let mut found = Faults::new(&name);
            if let Some(codes) = outcome.codes
                && let Some(set) = set_of_file(&name, &mut found)
            {
                sets.add(Kind::Topic, &set, codes.iter().cloned(), &mut found);
            }
            faults.extend(outcome.faults);
            faults.append(&mut found.into_vec());
        }
        faults.sort();
        if faults.is_empty() { Ok(sets) } else { Err(faults) }
    }

    /// A set by its name, as `HIV`.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&CodeSet> {
        self.topics.get(name)
    }

    /// The codes of a service by its word, as `dermatology`.
    #[must_use]
    pub fn service(&self, word: &str) -> Option<&CodeSet> {
        self.services.get(word)
    }

    /// Every set, in the order of their names.
    pub fn sets(&self) -> impl Iterator<Item = (&SetName, &CodeSet)> {
        self.topics.iter()
    }

    /// Every service, in the order of their words.
    pub fn services(&self) -> impl Iterator<Item = (&SetName, &CodeSet)> {
        self.services.iter()
    }

    fn add(&mut self, kind: Kind, name: &SetName, codes: impl IntoIterator<Item = Coding>, faults: &mut Faults<'_>) {
        let count = self.topics.len() + self.services.len();
        let sets = match kind {
            Kind::Topic => &mut self.topics,
            Kind::Service => &mut self.services,
        };
        if !sets.contains_key(name) {
            if let Some(twin) = sets.keys().find(|other| other.as_str().eq_ignore_ascii_case(name.as_str())) {
                let what = format!("the set '{name}' differs from '{twin}' by capital letters only");
                faults.add_once(Spot::File, what, &format!("write '{twin}' to add to it, or choose another name"));
                return;
            }
            if count >= SETS_MAX {
                let what = format!("with the set '{name}' there are more than {SETS_MAX} sets");
                faults.add_once(Spot::File, what, "take sets out that no rule names");
                return;
            }
        }
        let set = sets.entry(name.clone()).or_default();
        set.codes.extend(codes);
        if set.codes.len() > SET_CODES_MAX {
            let what = format!("the set '{name}' has more than {SET_CODES_MAX} codes");
            faults.add_once(Spot::File, what, "take codes out that reports of this clinic never have");
        }
    }
}

/// The name of the set that a file makes: its own without folder and ending.
fn set_of_file(file: &str, faults: &mut Faults<'_>) -> Option<SetName> {
    let last = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    let name = SetName::parse(stem);
    if name.is_none() {
        let what = format!("{} cannot be the name of a set", quote(stem));
        faults.add(Spot::File, what, "name the file with letters, digits and hyphens, as in hiv-extra.csv");
    }
    name
}

/// A code of a file in canonical form, or what is wrong with it and what to do.
fn checked(system: &str, code: &str) -> Result<Coding, (String, String)> {
    if system.is_empty() {
        let what = format!("the code {} has no code system, so it could mean anything", quote(code));
        return Err((what, format!("write its full URI or one of: {}", codes::SHORT_NAMES)));
    }
    let Some(uri) = codes::system_in_rules(system) else {
        let what = format!("the code system {} is not known", quote(system));
        return Err((what, format!("use its full URI or one of: {}", codes::SHORT_NAMES)));
    };
    if code.is_empty() {
        return Err(("there is no code".into(), "write the code, or take this entry out".into()));
    }
    let is_code = code.chars().count() <= CODE_CHARS_MAX
        && code.trim() == code
        && !code.chars().any(|c| c.is_control() || matches!(c, '|' | '*'));
    if !is_code {
        let remedy = "write one whole code without '*' or '|'; a class of ICD, as C50, holds what is below it";
        return Err((format!("{} is not a code", quote(code)), remedy.into()));
    }
    match uri {
        codes::LOINC => check_loinc(code)?,
        codes::SNOMED => check_snomed(code)?,
        _ => {}
    }
    Ok(Coding { system: Some(uri.to_owned()), code: code.to_owned() })
}

fn check_loinc(code: &str) -> Result<(), (String, String)> {
    match codes::loinc_form(code) {
        LoincForm::Valid => Ok(()),
        LoincForm::WrongCheckDigit { expected } => {
            let what = format!("{} is not a LOINC code: its check digit would be {expected}", quote(code));
            Err((what, "compare it with the code in the EHR or on loinc.org; a digit is mistyped".into()))
        }
        LoincForm::NotLoinc => {
            let what = format!("{} is not a whole LOINC code", quote(code));
            Err((what, "write digits, a hyphen and the check digit, as in 4548-4".into()))
        }
    }
}

fn check_snomed(code: &str) -> Result<(), (String, String)> {
    match codes::snomed_form(code) {
        SnomedForm::Valid => Ok(()),
        SnomedForm::WrongCheckDigit { expected } => {
            let what = format!("{} is not a SNOMED CT code: its last digit would be {expected}", quote(code));
            Err((what, "compare it with the code in the EHR or on browser.ihtsdotools.org; a digit is mistyped".into()))
        }
        SnomedForm::NotSnomed => {
            let what = format!("{} is not a SNOMED CT code, which is 6 to 18 digits", quote(code));
            Err((what, "write the whole number; in a spreadsheet set the column to text, for it shortens it".into()))
        }
    }
}
