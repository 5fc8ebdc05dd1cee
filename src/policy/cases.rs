//! The tests of a rules file: made-up facts, and what the rules must say of them.
//!
//! Must stay true: a test runs through the same decision as a report; what it does not mention is known to be absent, except
//! the age, which is then unknown.

use serde::Serialize;

use super::columns::{Column, Columns, Said};
use super::decide::{decide, tags_of};
use super::decision::Decision;
use super::facts::{FactPath, Facts, Gathered, Word};
use super::rules::{RuleSet, Spot};
use super::schedule::{Moment, Timing};
use super::text::Text;
use super::vocabulary::Action;
use crate::base::UtcMillis;

/// When a test decides, where it does not say: a Friday afternoon.
pub const CASE_NOW: UtcMillis = UtcMillis(1_795_212_000_000);

/// One `[[test]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Case {
    pub name: String,
    pub facts: Facts,
    /// Made-up words of the report.
    pub texts: Vec<String>,
    pub expected: Columns,
    pub said: Said,
    /// The tags that it must have, and no others.
    pub tags: Option<Vec<Word>>,
    /// When it must leave by itself at the earliest.
    pub earliest: Option<UtcMillis>,
    #[serde(skip)]
    pub spot: Spot,
}

/// Something that came out otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Miss {
    pub what: String,
    pub expected: String,
    pub got: String,
}

/// One test and what it missed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Ran {
    pub name: String,
    pub line: usize,
    pub misses: Vec<Miss>,
}

/// Runs every test, in the order of the file.
#[must_use]
pub fn run_all(rules: &RuleSet) -> Vec<Ran> {
    let mut ran: Vec<Ran> = rules
        .content()
        .cases
        .iter()
        .map(|case| Ran { name: case.name.clone(), line: case.spot.line, misses: run(rules, case) })
        .collect();
    ran.sort_by_key(|ran| ran.line);
    ran
}

/// What `rules` say otherwise than the test; empty when it passes.
#[must_use]
pub fn run(rules: &RuleSet, case: &Case) -> Vec<Miss> {
    let facts = facts_of(rules, case);
    let moment = Moment::utc(facts.issued.unwrap_or(CASE_NOW));
    let decided = decide(rules, &facts, moment);
    let columns = rules.judge(&rules.ready(&facts), moment.now).columns;
    let mut misses = Vec::new();
    let mut compare = |what: &str, expected: String, got: String| {
        if expected != got {
            misses.push(Miss { what: what.to_owned(), expected, got });
        }
    };
    for column in case.said.iter() {
        let got = match column {
            Column::Action => action_of(&decided.decision).as_str().to_owned(),
            Column::Release => release_of(decided.schedule.as_ref().map(|schedule| &schedule.timing), &columns),
            Column::Expiry
            | Column::ExpiryFrom
            | Column::Opens
            | Column::View
            | Column::Attempts
            | Column::Channel
            | Column::Verify
            | Column::CodeVia
            | Column::CodeElse
            | Column::Wording
            | Column::Download
            | Column::HealthLink
            | Column::Hold
            | Column::Requires
            | Column::AutoRelease
            | Column::Backstop
            | Column::Reissue
            | Column::Custody
            | Column::GroupBy
            | Column::Notify
            | Column::Retention => columns.show(column),
        };
        compare(column.as_str(), case.expected.show(column), got);
    }
    if let Some(tags) = &case.tags {
        let got: Vec<_> = tags_of(rules, &facts, moment.now).into_iter().collect();
        compare("tag", tags.join(", "), got.join(", "));
    }
    if let (Some(expected), Some(schedule)) = (case.earliest, &decided.schedule) {
        compare("earliest", expected.to_rfc3339(), schedule.earliest.to_rfc3339());
    }
    misses
}

/// The facts of a test, with its texts read by these rules' patterns.
#[must_use]
pub fn facts_of(rules: &RuleSet, case: &Case) -> Facts {
    let at = FactPath("text".to_owned());
    let texts = case.texts.iter().map(|text| Text { at: &at, language: None, text });
    let text = rules.patterns().read(texts, case.facts.text.matched.lacking.clone());
    // What it does not mention is known to be absent.
    let (basis, contact) = (or_none(&case.facts.basis), or_none(&case.facts.contact));
    Facts { text, basis, contact, ..case.facts.clone() }
}

fn or_none<T: Clone + PartialEq>(fact: &Gathered<T>) -> Gathered<T> {
    if *fact == Gathered::default() { Gathered::none() } else { fact.clone() }
}

/// What a decision does, as the column names it.
#[must_use]
pub fn action_of(decision: &Decision) -> Action {
    match decision {
        Decision::Send { .. } => Action::Send,
        Decision::Review { .. } => Action::ManualReview,
        Decision::Block { .. } => Action::Block,
    }
}

/// A talk that is required is a person's word too.
fn release_of(timing: Option<&Timing>, columns: &Columns) -> String {
    match timing {
        Some(Timing::ByAPerson { .. }) => super::vocabulary::ReleaseBy::Manual.as_str().to_owned(),
        Some(Timing::Now | Timing::At { .. }) => super::vocabulary::ReleaseBy::Auto.as_str().to_owned(),
        None => columns.show(Column::Release),
    }
}
