//! What the tests of a file say, and which rows they say nothing about.
//!
//! Job: a row is tested when some passing test would fail without it. Only the rows that may match in a test can change its
//! answer, so each test is asked once more for each of these and never for all.
//! Must stay true: the same verdict as [`cases::run`], without its reasons.

use std::collections::BTreeSet;

use super::{Look, OwnRow};
use crate::policy::bits::RowNo;
use crate::policy::cases::{self, CASE_NOW, Case};
use crate::policy::columns::Columns;
use crate::policy::errors::Code;
use crate::policy::judge::{Judged, Ready, Verdict, judge};
use crate::policy::rules::{RuleSet, Spot};
use crate::policy::schedule::{Moment, Timing, schedule};
use crate::policy::table::{RowKind, Table};
use crate::policy::vocabulary::{Action, ReleaseBy};

/// `idle` rows do nothing, so that no test could miss them: they were told of.
pub(super) fn look(look: &mut Look<'_, '_>, idle: &BTreeSet<Spot>) {
    let content = look.content;
    let has_rows = !(content.classify.is_empty() && content.profiles.is_empty() && content.restricts.is_empty());
    if content.cases.is_empty() {
        if has_rows {
            let what = "the file has no [[test]], so nothing tells whether a change does what was meant";
            let remedy = "add [[test]] rows with name, facts and expect, one for each kind of report that matters";
            if look.has_room(Code::NoTests) {
                let said = super::Said { code: Code::NoTests, what: what.to_owned(), remedy: remedy.to_owned() };
                look.found.push(look.places.head(said));
            }
        }
        return;
    }
    for case in &content.cases {
        let misses = if passes(look.rules, case) { Vec::new() } else { cases::run(look.rules, case) };
        if misses.is_empty() {
            continue;
        }
        let told: Vec<_> =
            misses.iter().map(|miss| format!("{}: expected {}, got {}", miss.what, miss.expected, miss.got)).collect();
        let what = format!("the test '{}' fails: {}", case.name, told.join("; "));
        let remedy = "mend the rule that decides otherwise, or the test if the rule is as you mean it";
        look.at(Code::FailingTest, case.spot, &["expect"], what, remedy);
    }
    for row in untested(look.rules).into_iter().filter(|row| !idle.contains(&row.spot)) {
        let what = format!("no test would fail if the {} row '{}' were gone", row.section(), row.id);
        let remedy = "add a [[test]] with a report that only this row decides, or extend what a test expects";
        look.at(Code::UntestedRow, row.spot, &[], what, remedy);
    }
}

/// The clinic's rows without which every test would still pass, in the order of the file. Tests that fail as it is tell
/// nothing about a row.
#[must_use]
pub fn untested(rules: &RuleSet) -> Vec<OwnRow> {
    let mut left: BTreeSet<RowNo> = (0..).zip(&rules.table.rows).map(|(no, _)| no).collect();
    let mut table = rules.table.clone();
    for case in &rules.content.cases {
        let trial = Trial::of(rules, case);
        let whole = trial.judge(&table);
        if !trial.meets(&table, &whole) {
            continue;
        }
        // What is set aside can come back when what replaces it is gone, but does nothing by being gone itself.
        for no in whole.matched.possible.iter().filter(|no| left.contains(no)).collect::<Vec<_>>() {
            let Some(kind) = table.rows.get(usize::from(no)).map(|row| row.kind) else { continue };
            table.ignore(no, kind);
            if !trial.meets(&table, &trial.judge(&table)) {
                left.remove(&no);
            }
            table.heed(no, kind);
        }
    }
    let mut rows: Vec<_> = left.into_iter().filter_map(|no| OwnRow::of(rules, no)).collect();
    rows.sort();
    rows
}

/// Whether the rules say of a test what it expects.
pub(in crate::policy) fn passes(rules: &RuleSet, case: &Case) -> bool {
    let trial = Trial::of(rules, case);
    trial.meets(&rules.table, &trial.judge(&rules.table))
}

/// One test, ready to be asked of several tables.
struct Trial<'r> {
    rules: &'r RuleSet,
    case: &'r Case,
    ready: Ready,
    moment: Moment,
}

impl<'r> Trial<'r> {
    fn of(rules: &'r RuleSet, case: &'r Case) -> Self {
        let facts = cases::facts_of(rules, case);
        Self { rules, case, ready: rules.ready(&facts), moment: Moment::utc(facts.issued.unwrap_or(CASE_NOW)) }
    }

    fn judge(&self, table: &Table) -> Judged {
        judge(&self.rules.content, table, &self.ready, self.moment.now)
    }

    fn meets(&self, table: &Table, judged: &Judged) -> bool {
        let (case, content) = (self.case, &self.rules.content);
        let schedule = schedule(content, table, judged, case.facts.issued, self.moment);
        let by = match schedule.timing {
            Timing::ByAPerson { .. } => ReleaseBy::Manual,
            Timing::Now | Timing::At { .. } => ReleaseBy::Auto,
        };
        // Both are what comes of all columns together, not what one of them says.
        let got = Columns { action: action_of(judged.verdict), release: by, ..judged.columns };
        let is_met = |column| case.expected.show(column) == got.show(column);
        let has_tags = || {
            let classify = judged.matched.yes.both(table.of_kind(RowKind::Classify));
            let rows = classify.iter().filter_map(|no| table.rows.get(usize::from(no)));
            rows.filter_map(|row| content.classify.get(row.at)).map(|row| &row.tag).collect::<BTreeSet<_>>()
        };
        case.said.iter().all(is_met)
            && case.tags.as_ref().is_none_or(|tags| tags.iter().eq(has_tags()))
            && case.earliest.is_none_or(|earliest| earliest == schedule.earliest)
    }
}

const fn action_of(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Send => Action::Send,
        Verdict::NoRule | Verdict::RuleAsks | Verdict::NoCommonChannel | Verdict::Unknown(_) => Action::ManualReview,
        Verdict::Block | Verdict::BlockedByDefault => Action::Block,
    }
}
