//! The second look at a rules file: what loads and is still not what somebody meant.
//!
//! Job: all faults of a file that does not load; of one that does, the tests that fail and the warnings.
//! Must stay true: a warning is true of the file as it stands, never a guess; work is bounded, also for the largest file.
//! Must not know: files, terminals, the clock (`now` is an argument).

mod habits;
mod places;
mod reach;
mod regions;
mod tested;
mod waits;

use std::collections::BTreeMap;

use super::bits::RowNo;
use super::errors::{Code, RulesError, Severity};
use super::rules::{Content, RuleSet, SideFiles, Spot};
use super::table::RowKind;
use crate::base::UtcMillis;
use places::{Places, Rows, Said};
use regions::{Lexicon, Region};

/// Warnings of one kind; further ones are dropped.
pub const WARNINGS_MAX: usize = 50;

/// What was found, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    pub faults: Vec<RulesError>,
}

impl Report {
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.faults.iter().filter(|fault| fault.code.severity() == severity).count()
    }
}

/// Looks at a rules file and the code sets beside it. `now` tells which exceptions are over and which laws count.
#[must_use]
pub fn lint(text: &str, files: &SideFiles, now: UtcMillis) -> Report {
    let rules = match RuleSet::load(text, files) {
        Ok(rules) => rules,
        Err(errors) => {
            let mut faults = errors.0;
            faults.sort();
            return Report { faults };
        }
    };
    // What was loaded is TOML.
    let Some(places) = Places::of(text) else { return Report::default() };
    let mut look = Look {
        rules: &rules,
        content: rules.content(),
        places: &places,
        rows: places.rows(),
        now,
        found: Vec::new(),
        counts: BTreeMap::new(),
    };
    let regions = Regions::of(rules.content());
    habits::look(&mut look, &regions);
    waits::look(&mut look, &regions);
    let idle = reach::look(&mut look, &regions);
    tested::look(&mut look, &idle);
    let mut faults = look.found;
    faults.sort();
    faults.dedup();
    Report { faults }
}

/// One rule set under the eye, and what was found so far.
struct Look<'l, 't> {
    rules: &'l RuleSet,
    content: &'l Content,
    places: &'l Places<'t>,
    rows: Rows<'l, 't>,
    now: UtcMillis,
    found: Vec<RulesError>,
    counts: BTreeMap<Code, usize>,
}

impl Look<'_, '_> {
    /// Notes a fault of the row at `spot`, at the part that `path` names.
    fn at(&mut self, code: Code, spot: Spot, path: &[&str], what: impl Into<String>, remedy: impl Into<String>) {
        if self.has_room(code) {
            let fault = self.rows.fault(spot, path, Said { code, what: what.into(), remedy: remedy.into() });
            self.found.push(fault);
        }
    }

    fn has_room(&mut self, code: Code) -> bool {
        let count = self.counts.entry(code).or_insert(0);
        *count += 1;
        *count <= WARNINGS_MAX
    }

    /// Whether further faults of this kind would be dropped.
    fn is_full(&self, code: Code) -> bool {
        self.counts.get(&code).is_some_and(|count| *count >= WARNINGS_MAX)
    }
}

/// The regions of the clinic's rows, each list in the order of [`Content`].
struct Regions<'c> {
    classify: Vec<Region<'c>>,
    profiles: Vec<Region<'c>>,
    restricts: Vec<Region<'c>>,
    exceptions: Vec<Region<'c>>,
}

impl<'c> Regions<'c> {
    fn of(content: &'c Content) -> Self {
        let mut lexicon = Lexicon::of(content);
        Self {
            classify: content.classify.iter().map(|row| lexicon.region(&row.when)).collect(),
            profiles: content.profiles.iter().map(|row| lexicon.region(&row.when)).collect(),
            restricts: content.restricts.iter().map(|row| lexicon.region(&row.when)).collect(),
            exceptions: content.exceptions.iter().map(|row| lexicon.region(&row.when)).collect(),
        }
    }
}

/// A row of the clinic's file: what a list of rows that no test covers names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OwnRow {
    pub spot: Spot,
    pub kind: RowKind,
    pub id: String,
}

impl OwnRow {
    /// `None` for the rows of law packs.
    fn of(rules: &RuleSet, no: RowNo) -> Option<Self> {
        let row = rules.table.rows.get(usize::from(no))?;
        let content = &rules.content;
        let (id, spot) = match row.kind {
            RowKind::Classify => content.classify.get(row.at).map(|row| (&row.id, row.spot))?,
            RowKind::Profile => content.profiles.get(row.at).map(|row| (&row.id, row.spot))?,
            RowKind::Restrict => content.restricts.get(row.at).map(|row| (&row.id, row.spot))?,
            RowKind::Exception => content.exceptions.get(row.at).map(|row| (&row.id, row.spot))?,
            RowKind::LawRestrict | RowKind::Floor | RowKind::Ceiling => return None,
        };
        Some(Self { spot, kind: row.kind, id: id.clone() })
    }

    /// The section in the file.
    #[must_use]
    pub const fn section(&self) -> &'static str {
        match self.kind {
            RowKind::Classify => "classify",
            RowKind::Profile => "profile",
            RowKind::Restrict => "restrict",
            RowKind::Exception => "exception",
            RowKind::LawRestrict | RowKind::Floor | RowKind::Ceiling => "law",
        }
    }
}

#[cfg(test)]
pub(in crate::policy) use tested::passes;
pub use tested::untested;
