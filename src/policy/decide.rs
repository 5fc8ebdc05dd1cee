//! Facts in, decision out.
//!
//! Must stay true: total; the order of rows, codes and categories never matters; no match means review; an unknown fact on
//! a row that would tighten a send means review, and names the fact. More evidence: once a profile is in force, adding a
//! fact never loosens a column, *unless* a profile with `over` newly matches, for replacing a profile by a looser one is
//! what `over` is for. The first profile to match at all turns `NoRule` into what it says: that is what rules are for.

use std::collections::BTreeSet;

use chrono_tz::Tz;

use super::bits::{Bits, RowNo};
use super::canon::Canon;
use super::columns::{Column, Columns, Said};
use super::decision::{Decision, QuietHours, ReviewReason, Terms};
use super::facts::Facts;
use super::gates::status_gate;
use super::judge::{Judged, Verdict, columns_of, judge};
use super::probe::{Probed, Tags, probe};
use super::rules::{Content, RuleSet};
use super::schedule::{Moment, Schedule, schedule};
use super::table::{Row, RowKind, Table, id_of, when_of};
use super::trace::{ColumnTrace, Evidence, Layer, Outcome, RowTrace, Trace};
use super::vocabulary::Action;
use super::when::Predicate;
use crate::base::UtcMillis;

/// The name under which a recipient whom no profile names is refused.
pub const DEFAULT_RULE: &str = "other_default";

/// A decision with its reasons and the rules it was made under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    pub decision: Decision,
    /// `None` when the status alone decided.
    pub schedule: Option<Schedule>,
    pub trace: Trace,
    pub rules_hash: [u8; 32],
}

/// Which rows a trace tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extent {
    Whole,
    /// Those that match or may match, with every column.
    Columns,
    /// Those that match or may match, and the columns worth telling: facts and rules give the rest again.
    Record,
}

/// Decides for one report version and one recipient. The same arguments give the same answer for ever.
#[must_use]
pub fn decide(rules: &RuleSet, facts: &Facts, moment: Moment) -> Decided {
    decide_to(Extent::Whole, rules, facts, moment)
}

/// As [`decide`], with the trace of [`Trace::for_the_record`]: faster, since no row is asked that cannot match.
#[must_use]
pub fn decide_for_the_record(rules: &RuleSet, facts: &Facts, moment: Moment) -> Decided {
    decide_to(Extent::Record, rules, facts, moment)
}

/// As [`decide`], without the rows that cannot match.
pub(super) fn decide_for_columns(rules: &RuleSet, facts: &Facts, moment: Moment) -> Decided {
    decide_to(Extent::Columns, rules, facts, moment)
}

fn decide_to(extent: Extent, rules: &RuleSet, facts: &Facts, moment: Moment) -> Decided {
    let mut trace =
        Trace { decided_at: moment.now, status: facts.status, rows: Vec::new(), columns: Vec::new(), schedule: None };
    let rules_hash = rules.rules_hash();
    if let Some(decision) = status_gate(facts.status) {
        return Decided { decision, schedule: None, trace, rules_hash };
    }
    let (content, table) = (&rules.content, &rules.table);
    let judged = judge(content, table, &rules.ready(facts), moment.now);
    let schedule = schedule(content, table, &judged, facts.issued, moment);
    let zone = rules.timezone().unwrap_or(moment.zone);
    let witness = Witness { content, table, judged: &judged, canon: Canon::of(facts, moment.now), extent, zone };
    let rows = witness.rows();
    let asked = witness.asked();
    if !asked.is_empty() {
        let told = |column| match extent {
            Extent::Whole | Extent::Columns => Some(ColumnTrace::of(column, &judged.columns, &asked)),
            Extent::Record => ColumnTrace::worth_telling(column, &judged.columns, &asked),
        };
        trace.columns = Column::ALL.into_iter().filter_map(told).collect();
    }
    let decision = conclude(&witness, &asked, &rows);
    trace.rows = rows.into_iter().map(|(_, row)| row).collect();
    trace.schedule = Some(schedule.clone());
    Decided { decision, schedule: Some(schedule), trace, rules_hash }
}

fn conclude(witness: &Witness<'_>, asked: &[(String, &Columns, Said)], rows: &[(RowNo, RowTrace)]) -> Decision {
    let columns = &witness.judged.columns;
    let who = |wanted: &dyn Fn(&Columns) -> bool| {
        let ids: Vec<_> = asked.iter().filter(|(_, row, _)| wanted(row)).map(|(id, _, _)| id.as_str()).collect();
        ids.join(", ")
    };
    let quiet = witness.content.quiet.clone().map(|hours| QuietHours { hours, zone: witness.zone });
    let terms = Terms { quiet, ..Terms::from(columns) };
    let review = |why| Decision::Review { why, terms: Some(terms.clone()) };
    match witness.judged.verdict {
        Verdict::Send => Decision::Send { terms },
        Verdict::NoCommonChannel => review(ReviewReason::NoCommonChannel { rules: witness.narrowing() }),
        // Without any row, sure or not, the terms are the clinic's own defaults when a person releases it.
        Verdict::NoRule => {
            let is_asked = !asked.is_empty() || !witness.judged.may_apply.is_empty();
            Decision::Review { why: ReviewReason::NoRule, terms: is_asked.then_some(terms) }
        }
        Verdict::RuleAsks => review(ReviewReason::RuleAsks { rule: who(&|row| row.action == Action::ManualReview) }),
        Verdict::Unknown(row) => review(unknown(row, rows)),
        Verdict::Block => Decision::Block { rule: who(&|row| row.action == Action::Block) },
        Verdict::BlockedByDefault => Decision::Block { rule: DEFAULT_RULE.to_owned() },
    }
}

fn unknown(no: RowNo, rows: &[(RowNo, RowTrace)]) -> ReviewReason {
    let row = rows.iter().find(|(at, _)| *at == no).map(|(_, row)| row);
    let (fact, why) = match row.map(|row| &row.outcome) {
        Some(Outcome::Unknown { fact, why }) => (fact.as_str(), why.as_str()),
        Some(Outcome::InForce | Outcome::ReplacedBy { .. } | Outcome::OutOfTime | Outcome::NotMatched { .. })
        | None => ("something", "it could not be learnt"),
    };
    let rule = row.map(|row| row.id.clone()).unwrap_or_default();
    ReviewReason::Unknown { fact: fact.to_owned(), why: why.to_owned(), rule }
}

/// What stands behind a judgement, for telling it.
struct Witness<'a> {
    content: &'a Content,
    table: &'a Table,
    judged: &'a Judged,
    canon: Canon<'a>,
    extent: Extent,
    zone: Tz,
}

impl<'a> Witness<'a> {
    fn numbered(&self) -> impl Iterator<Item = (RowNo, Row)> {
        (0..).zip(self.table.rows.iter().copied())
    }

    /// The rows that the trace tells of.
    fn told(&self) -> Bits {
        match self.extent {
            Extent::Whole => Bits::all(self.table.rows.len()),
            Extent::Columns | Extent::Record => self.judged.matched.possible.clone(),
        }
    }

    fn name(&self, row: Row) -> String {
        let id = id_of(self.content, row).unwrap_or_default();
        match row.kind {
            RowKind::Classify | RowKind::Profile | RowKind::Restrict | RowKind::Exception => id.to_owned(),
            RowKind::LawRestrict | RowKind::Floor | RowKind::Ceiling => {
                let law = self.content.laws.get(row.law).map_or("law", |law| law.header.id.as_str());
                format!("{law}/{id}")
            }
        }
    }

    fn rows(&self) -> Vec<(RowNo, RowTrace)> {
        // Classify rows come first and test no tags: what they give is settled before another row asks for it.
        let mut tags = Tags::default();
        let told = self.told();
        let rows = told.iter().filter_map(|no| Some((no, *self.table.rows.get(usize::from(no))?)));
        rows.map(|(no, row)| (no, self.row(no, row, &mut tags))).collect()
    }

    fn row(&self, no: RowNo, row: Row, tags: &mut Tags) -> RowTrace {
        let probed = match when_of(self.content, row) {
            Some(when) => probe(self.content, when, &self.canon, tags),
            None => Probed::No(Predicate::Any),
        };
        let tag = self.tag(row);
        if let Some(tag) = &tag {
            tags.add(tag, &probed);
        }
        let mut evidence = Vec::new();
        let outcome = match probed {
            Probed::No(failed) => Outcome::NotMatched { failed },
            Probed::Unknown(fact, why) => Outcome::Unknown { fact, why },
            Probed::Yes(places) => {
                let tells = |predicate| predicate != Predicate::Recipient;
                let places = places.into_iter().filter(|(predicate, _)| tells(*predicate));
                evidence = places.map(|(predicate, at)| Evidence { predicate, at }).collect();
                self.outcome(no, row)
            }
        };
        RowTrace { layer: layer_of(row.kind), id: self.name(row), tag, outcome, evidence }
    }

    /// The tag that a classify row gives.
    fn tag(&self, row: Row) -> Option<String> {
        (row.kind == RowKind::Classify).then(|| self.content.classify.get(row.at).map(|row| row.tag.clone()))?
    }

    fn outcome(&self, no: RowNo, row: Row) -> Outcome {
        if self.judged.set_aside.contains(no) {
            let by = self.numbered().filter(|(other, _)| self.replaces(*other, no)).map(|(_, row)| self.name(row));
            return Outcome::ReplacedBy { by: by.collect() };
        }
        let counts = match row.kind {
            RowKind::Classify | RowKind::Profile | RowKind::Restrict => true,
            RowKind::Exception => self.judged.exceptions.contains(no),
            RowKind::LawRestrict | RowKind::Floor | RowKind::Ceiling => self.judged.in_force.contains(no),
        };
        if counts { Outcome::InForce } else { Outcome::OutOfTime }
    }

    /// Whether `row` matches and names `replaced` in its `over`.
    fn replaces(&self, row: RowNo, replaced: RowNo) -> bool {
        let is_exception = self.table.rows.get(usize::from(row)).is_some_and(|row| row.kind == RowKind::Exception);
        let counts =
            if is_exception { self.judged.exceptions.contains(row) } else { self.judged.matched.yes.contains(row) };
        counts && self.table.replaces.get(&row).is_some_and(|over| over.contains(&replaced))
    }

    /// The rows in force with what they ask for.
    fn asked(&self) -> Vec<(String, &'a Columns, Said)> {
        self.judged
            .in_force
            .iter()
            .filter_map(|no| {
                let row = *self.table.rows.get(usize::from(no))?;
                let columns = columns_of(self.content, self.table, no)?;
                Some((self.name(row), columns, self.said(row)))
            })
            .collect()
    }

    /// The rows that do not allow every channel, also those of which something is unknown.
    fn narrowing(&self) -> String {
        let narrows = |no: &RowNo| {
            columns_of(self.content, self.table, *no).is_some_and(|row| row.channels != Columns::loosest().channels)
        };
        let name = |no: RowNo| self.table.rows.get(usize::from(no)).map(|row| self.name(*row)).unwrap_or_default();
        let sure = self.judged.in_force.iter().filter(narrows).map(name);
        let unsure = self.judged.may_apply.iter().filter(narrows);
        let unsure = unsure.map(|no| format!("{} (not known whether it applies)", name(no)));
        sure.chain(unsure).collect::<Vec<_>>().join(", ")
    }

    fn said(&self, row: Row) -> Said {
        match row.kind {
            RowKind::Profile => Said::EVERYTHING,
            RowKind::Restrict => self.content.restricts.get(row.at).map_or(Said::NOTHING, |row| row.said),
            RowKind::LawRestrict => {
                let restrict = self.content.laws.get(row.law).and_then(|law| law.restricts.get(row.at));
                restrict.map_or(Said::NOTHING, |row| row.said)
            }
            RowKind::Classify | RowKind::Exception | RowKind::Floor | RowKind::Ceiling => Said::NOTHING,
        }
    }
}

const fn layer_of(kind: RowKind) -> Layer {
    match kind {
        RowKind::Classify => Layer::Classify,
        RowKind::Profile => Layer::Profile,
        RowKind::Restrict => Layer::Restrict,
        RowKind::Exception => Layer::Exception,
        RowKind::LawRestrict | RowKind::Floor | RowKind::Ceiling => Layer::Law,
    }
}

/// Whether a report has any tag, or something unknown may give it one.
#[must_use]
pub fn may_be_tagged(rules: &RuleSet, facts: &Facts, now: UtcMillis) -> bool {
    let canon = Canon::of(facts, now);
    let is_out = |when| matches!(probe(&rules.content, when, &canon, &Tags::default()), Probed::No(_));
    rules.content.classify.iter().any(|row| !is_out(&row.when))
}

/// The tags that a report has for certain.
#[must_use]
pub fn tags_of(rules: &RuleSet, facts: &Facts, now: UtcMillis) -> BTreeSet<String> {
    let canon = Canon::of(facts, now);
    let is_given = |when| matches!(probe(&rules.content, when, &canon, &Tags::default()), Probed::Yes(_));
    rules.content.classify.iter().filter(|row| is_given(&row.when)).map(|row| row.tag.clone()).collect()
}
