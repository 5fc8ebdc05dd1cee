//! Which rows no test notices: each is taken away in turn, and the tests are run again.
//!
//! Must stay true: a row is covered only if some test comes out otherwise without it; a test runs again only for rows that
//! it touches, so that the work is bounded by what the tests touch.
//! Must not know: files, or what a linter makes of it.

use std::collections::BTreeSet;

use super::cases::{CASE_NOW, Case, Miss, facts_of, run};
use super::decide::decide;
use super::rules::{Content, RuleSet};
use super::schedule::Moment;
use super::table::Table;
use super::trace::{Layer, Outcome};

/// A row of the file, by what people call it. Two layers may use the same id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct RowName {
    pub layer: Layer,
    pub id: String,
    /// Where it begins in the file, from 1.
    pub line: usize,
}

/// The rows of the file without which every test comes out the same, in the order of layers and ids. Rows of laws are not
/// the clinic's to test.
#[must_use]
pub fn uncovered(rules: &RuleSet) -> Vec<RowName> {
    let tests: Vec<_> = rules.content.cases.iter().map(|case| Test::of(rules, case)).collect();
    rows_of(&rules.content).into_iter().filter(|row| !is_noticed(rules, &tests, row)).collect()
}

/// One test with what it says of the whole file.
struct Test<'c> {
    case: &'c Case,
    misses: Vec<Miss>,
    touches: BTreeSet<(Layer, String)>,
}

impl<'c> Test<'c> {
    fn of(rules: &RuleSet, case: &'c Case) -> Self {
        let facts = facts_of(rules, case);
        let decided = decide(rules, &facts, Moment::utc(facts.issued.unwrap_or(CASE_NOW)));
        let touches = decided
            .trace
            .rows
            .into_iter()
            // What is replaced may replace others itself, and what is unknown may make a review.
            .filter(|row| match row.outcome {
                Outcome::InForce | Outcome::ReplacedBy { .. } | Outcome::Unknown { .. } => true,
                Outcome::OutOfTime | Outcome::NotMatched { .. } => false,
            })
            .map(|row| (row.layer, row.id))
            .collect();
        Self { case, misses: run(rules, case), touches }
    }
}

fn rows_of(content: &Content) -> Vec<RowName> {
    let row = |layer, id: &str, line| RowName { layer, id: id.to_owned(), line };
    let classify = content.classify.iter().map(|one| row(Layer::Classify, &one.id, one.spot.line));
    let profiles = content.profiles.iter().map(|one| row(Layer::Profile, &one.id, one.spot.line));
    let restricts = content.restricts.iter().map(|one| row(Layer::Restrict, &one.id, one.spot.line));
    let exceptions = content.exceptions.iter().map(|one| row(Layer::Exception, &one.id, one.spot.line));
    classify.chain(profiles).chain(restricts).chain(exceptions).collect()
}

fn is_noticed(rules: &RuleSet, tests: &[Test<'_>], row: &RowName) -> bool {
    let touched = (row.layer, row.id.clone());
    let mut touching = tests.iter().filter(|test| test.touches.contains(&touched)).peekable();
    if touching.peek().is_none() {
        return false;
    }
    let without = without(rules, row);
    touching.any(|test| run(&without, test.case) != test.misses)
}

/// The rules without one row, for running tests alone: the patterns may be more than it names, and it has no hash.
fn without(rules: &RuleSet, row: &RowName) -> RuleSet {
    const NO_HASH: [u8; 32] = [0; 32];
    let mut content = rules.content.clone();
    let stays = |id: &String| *id != row.id;
    match row.layer {
        Layer::Classify => content.classify.retain(|one| stays(&one.id)),
        Layer::Profile => {
            content.profiles.retain(|one| stays(&one.id));
            content.profiles.iter_mut().for_each(|one| one.over.retain(stays));
        }
        Layer::Restrict => {
            content.restricts.retain(|one| stays(&one.id));
            content.exceptions.iter_mut().for_each(|one| one.over.retain(stays));
        }
        Layer::Exception => content.exceptions.retain(|one| stays(&one.id)),
        Layer::Law => {}
    }
    let table = Table::compile(&content);
    RuleSet { content, patterns: rules.patterns.clone(), table, hash: NO_HASH }
}
