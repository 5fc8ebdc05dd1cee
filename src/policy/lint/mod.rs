//! The second look at a rules file: what loads and is still not what somebody meant.
//!
//! Job: all faults of a file that does not load; of one that does, the tests that fail and the warnings.
//! Must stay true: a warning is true of the file as it stands, never a guess; work is bounded, also for the largest file.
//! Must not know: files, terminals, the clock (`now` is an argument).

mod answers;
mod habits;
mod health_links;
mod laws;
mod places;
mod proxies;
mod reach;
mod regions;
pub mod seen;
mod tested;
mod waits;

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::bits::RowNo;
use super::calendar::day_of;
use super::errors::{Code, RulesError, Severity};
use super::rules::{Content, RuleSet, SideFiles, Spot};
use super::table::RowKind;
use crate::base::UtcMillis;
use laws::LawRow;
use places::{Places, Rows, Said};
use regions::{Lexicon, Region};
use seen::Seen;

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
    lint_with(text, files, now, &Seen::default())
}

/// As [`lint`], also by what came: `seen` counts if it was counted by these rules.
#[must_use]
pub fn lint_with(text: &str, files: &SideFiles, now: UtcMillis, seen: &Seen) -> Report {
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
    let content = rules.content();
    let counts_at = content.header.effective.map_or(now, |effective| effective.max(now));
    let day = day_of(counts_at, content.header.timezone.unwrap_or(chrono_tz::UTC));
    let mut look = Look {
        rules: &rules,
        content,
        places: &places,
        rows: places.rows(),
        now,
        day,
        found: Vec::new(),
        counts: BTreeMap::new(),
    };
    let regions = Regions::of(content, day);
    habits::look(&mut look, &regions);
    waits::look(&mut look, &regions);
    answers::look(&mut look, &regions);
    health_links::look(&mut look);
    proxies::look(&mut look, &regions);
    seen::look(&mut look, seen);
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
    /// On which these rules come into force, if that is still to come; else today.
    day: NaiveDate,
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

/// The regions of the clinic's rows, each list in the order of [`Content`], and the laws' rows.
struct Regions<'c> {
    classify: Vec<Region<'c>>,
    profiles: Vec<Region<'c>>,
    restricts: Vec<Region<'c>>,
    exceptions: Vec<Region<'c>>,
    laws: Vec<LawRow<'c>>,
}

impl<'c> Regions<'c> {
    fn of(content: &'c Content, day: NaiveDate) -> Self {
        let mut lexicon = Lexicon::of(content);
        Self {
            classify: content.classify.iter().map(|row| lexicon.region(&row.when)).collect(),
            profiles: content.profiles.iter().map(|row| lexicon.region(&row.when)).collect(),
            restricts: content.restricts.iter().map(|row| lexicon.region(&row.when)).collect(),
            exceptions: content.exceptions.iter().map(|row| lexicon.region(&row.when)).collect(),
            laws: laws::rows(content, &mut lexicon, day),
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
