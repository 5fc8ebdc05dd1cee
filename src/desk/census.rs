//! Which codes really come, how often, and which of them no profile speaks of.
//!
//! Must stay true: holds codes and counts, nothing of a patient; what is more than can be held is counted and said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono_tz::Tz;
use serde::Serialize;

use super::dry_run::moment_of;
use super::{Desk, DeskError};
use crate::base::{ClinicId, UtcMillis};
use crate::policy::codes;
use crate::policy::compare::is_covered;
use crate::policy::sets::{CENSUS_SOURCE, display_of, suggested_tag};
use crate::policy::{Coding, Facts, RuleSet};
use crate::store::FactsSeen;

/// Different codes that are kept; reports with further ones are counted.
pub const CODES_MAX: usize = 50_000;

/// Where in a report a code stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenIn {
    Own,
    Member,
    Order,
    Reason,
}

impl SeenIn {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own code",
            Self::Member => "member",
            Self::Order => "order",
            Self::Reason => "reason",
        }
    }
}

/// One code and how it was seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CodeSeen {
    /// `None`: the EHR gives no system, so no rule can match it.
    pub system: Option<String>,
    pub code: String,
    /// Of the codes that ship; empty for others.
    pub display: &'static str,
    /// The shipped set that it belongs to.
    pub suggested: Option<&'static str>,
    /// Reports that hold it.
    pub reports: u64,
    /// Of those, reports that no profile speaks of.
    pub uncovered: u64,
    pub seen_in: BTreeSet<SeenIn>,
}

/// What came in a stretch of time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Census {
    /// Of the rules that it was counted by.
    pub rules_hash: String,
    pub since: String,
    pub until: String,
    pub reports: u64,
    /// Reports that some profile of the rules speaks of.
    pub covered: u64,
    /// Reports of which the facts are past their retention, or that could not be read.
    pub unknown: u64,
    /// The most frequent first.
    pub codes: Vec<CodeSeen>,
    /// Sightings of codes beyond [`CODES_MAX`].
    pub left_out: u64,
}

#[derive(Default)]
struct Tally {
    reports: u64,
    uncovered: u64,
    seen_in: BTreeSet<SeenIn>,
}

#[derive(Default)]
struct Count {
    reports: u64,
    covered: u64,
    unknown: u64,
    left_out: u64,
    codes: BTreeMap<Coding, Tally>,
}

impl Desk {
    /// Counts the codes of every report of a stretch of time, the newest version of each, for each recipient.
    ///
    /// # Errors
    /// [`DeskError::Store`], [`DeskError::Stopped`].
    pub async fn census(
        &self,
        rules: &Arc<RuleSet>,
        zones: &Arc<BTreeMap<ClinicId, Tz>>,
        since: UtcMillis,
    ) -> Result<Census, DeskError> {
        let now = self.clock.now();
        let mut count = Count::default();
        let mut after: Option<FactsSeen> = None;
        loop {
            let batch = self.facts_after(since, after.take()).await?;
            let Some(last) = batch.last().cloned() else { break };
            let (rules, zones) = (Arc::clone(rules), Arc::clone(zones));
            count = tokio::task::spawn_blocking(move || {
                for seen in &batch {
                    count.add(seen, &rules, &zones, now);
                }
                count
            })
            .await
            .map_err(|_| DeskError::Stopped)?;
            after = Some(last);
        }
        Ok(count.into_census(rules.rules_hash_hex(), since, now))
    }
}

impl Count {
    fn add(&mut self, seen: &FactsSeen, rules: &RuleSet, zones: &BTreeMap<ClinicId, Tz>, now: UtcMillis) {
        self.reports += 1;
        let Some(facts) = seen.facts.as_ref().filter(|_| !seen.rules_hash.is_empty()) else {
            self.unknown += 1;
            return;
        };
        let is_covered = is_covered(rules, facts, moment_of(facts, zones, now));
        self.covered += u64::from(is_covered);
        for (coding, seen_in) in codes_of(facts) {
            if !self.codes.contains_key(&coding) && self.codes.len() >= CODES_MAX {
                self.left_out += 1;
                continue;
            }
            let tally = self.codes.entry(coding).or_default();
            tally.reports += 1;
            tally.uncovered += u64::from(!is_covered);
            tally.seen_in.extend(seen_in);
        }
    }

    fn into_census(self, rules_hash: String, since: UtcMillis, now: UtcMillis) -> Census {
        let mut codes: Vec<CodeSeen> = self.codes.into_iter().map(|(coding, tally)| code_seen(coding, tally)).collect();
        // Of equally frequent ones the order of systems and codes stays.
        codes.sort_by_key(|code| std::cmp::Reverse(code.reports));
        Census {
            rules_hash,
            since: since.to_rfc3339(),
            until: now.to_rfc3339(),
            reports: self.reports,
            covered: self.covered,
            unknown: self.unknown,
            codes,
            left_out: self.left_out,
        }
    }
}

fn code_seen(coding: Coding, tally: Tally) -> CodeSeen {
    CodeSeen {
        display: display_of(&coding).unwrap_or_default(),
        suggested: suggested_tag(&coding),
        system: coding.system,
        code: coding.code,
        reports: tally.reports,
        uncovered: tally.uncovered,
        seen_in: tally.seen_in,
    }
}

/// Each code of a report once, in canonical form where it has a system.
fn codes_of(facts: &Facts) -> BTreeMap<Coding, BTreeSet<SeenIn>> {
    let mut found: BTreeMap<Coding, BTreeSet<SeenIn>> = BTreeMap::new();
    let own = facts.codes.iter().map(|coding| (coding, SeenIn::Own));
    let members = facts.results.values().map(|coding| (coding, SeenIn::Member));
    let orders = facts.orders.values().map(|coding| (coding, SeenIn::Order));
    let reasons = facts.reasons.values().map(|coding| (coding, SeenIn::Reason));
    for (coding, seen_in) in own.chain(members).chain(orders).chain(reasons) {
        let bare = || Coding { system: None, code: coding.code.clone() };
        found.entry(codes::canonical(coding).unwrap_or_else(bare)).or_default().insert(seen_in);
    }
    found
}

impl Census {
    /// A table for the clinic to mark: with a word under `sensitivity` a line is a code of that set, without one it is passed
    /// over. Codes stand behind an apostrophe, so that no spreadsheet takes `2106-3` for a month.
    ///
    /// # Errors
    /// The table cannot be written; memory only.
    pub fn to_csv(&self) -> Result<String, csv::Error> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["system", "code", "display", "sensitivity", "why", "source"])?;
        for code in &self.codes {
            let places: Vec<_> = code.seen_in.iter().map(|place| place.as_str()).collect();
            let mut why =
                format!("{} reports, {} without a profile, as {}", code.reports, code.uncovered, places.join(" and "));
            if let Some(tag) = code.suggested {
                why = format!("{why}; suggested: {tag}");
            }
            if code.system.is_none() {
                why = format!("{why}; it has no system, so no rule can match it");
            }
            let system = safe_cell(code.system.as_deref().unwrap_or_default());
            let quoted = format!("'{}", one_line(&code.code));
            table.write_record([system.as_str(), &quoted, &safe_cell(code.display), "", &why, CENSUS_SOURCE])?;
        }
        let bytes = table.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A cell that no spreadsheet takes for a formula.
fn safe_cell(text: &str) -> String {
    let text = one_line(text);
    if text.starts_with(['=', '+', '-', '@', '\'']) { format!("'{text}") } else { text }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lint::seen::Seen;
    use crate::policy::sets::{CodeSet, CodeSets};

    fn seen(system: Option<&str>, code: &str) -> CodeSeen {
        let coding = Coding { system: system.map(str::to_owned), code: code.to_owned() };
        code_seen(coding, Tally { reports: 3, uncovered: 1, seen_in: BTreeSet::from([SeenIn::Own, SeenIn::Member]) })
    }

    fn census(codes: Vec<CodeSeen>) -> Census {
        let (since, until) = (String::new(), String::new());
        Census { rules_hash: String::new(), since, until, reports: 3, covered: 2, unknown: 0, codes, left_out: 0 }
    }

    #[test]
    fn the_linter_reads_a_census() {
        let census = Census { rules_hash: "abc".to_owned(), ..census(vec![seen(Some("http://loinc.org"), "2106-3")]) };
        let read: Seen = serde_json::from_value(serde_json::to_value(&census).unwrap()).unwrap();
        let code = read.codes.first().unwrap();
        assert_eq!((read.rules_hash.as_str(), code.uncovered, code.seen_in.len()), ("abc", 1, 2));
    }

    #[test]
    fn a_marked_census_is_a_code_map() {
        let local = "http://local.example/codes";
        let table = census(vec![
            seen(Some("http://loinc.org"), "2106-3"),
            seen(Some(local), "=1+1"),
            seen(Some(local), "007"),
            seen(None, "2106-3"),
        ])
        .to_csv()
        .unwrap();
        assert!(table.lines().skip(1).all(|line| !line.starts_with(['=', '+', '-', '@'])), "{table}");
        assert!(!table.contains(",=") && table.contains("it has no system"), "{table}");
        let files = |text: &str| BTreeMap::from([("codes.csv".to_owned(), text.to_owned())]);
        // What the clinic did not mark is passed over; a table without any mark says nothing yet.
        let mark =
            |line: &str| if line.contains("'007") { line.replace(",,\"", ",x-marked,\"") } else { line.to_owned() };
        assert_eq!(CodeSets::with(&files(&table)).as_ref(), Ok(CodeSets::shipped()));
        let marked = table.lines().map(mark).collect::<Vec<_>>().join("\n");
        let sets = CodeSets::with(&files(&marked)).unwrap_or_else(|faults| panic!("{faults:?}\n{marked}"));
        let set = sets.set("x-marked").unwrap();
        assert!(set.contains(&Coding { system: Some(local.to_owned()), code: "007".to_owned() }));
        assert_eq!(set.len(), 1);
        // As another spreadsheet saves it.
        let european = marked.replace(',', ";");
        assert_eq!(CodeSets::with(&files(&european)).map(|sets| sets.set("x-marked").map(CodeSet::len)), Ok(Some(1)));
    }
}
