//! Two rules files on the same reports: what each would decide otherwise, and which way.
//!
//! Must stay true: a report for which any column is looser is looser, even where another column is tighter; each looser one
//! is named, the rest are counted. What could become looser for *some* report, without looking at any, says
//! [`super::loosenings`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::available::Available;
use super::canon::Canon;
use super::columns::{Column, Columns, Talk};
use super::decide::decide_for_columns;
use super::decision::{Decision, Terms};
use super::facts::{Facts, Flag, Lack};
use super::gates::status_gate;
use super::judge::Verdict;
use super::rules::RuleSet;
use super::schedule::{Moment, Schedule, schedule};
use super::table::RowKind;
use super::trace::Trace;
use super::vocabulary::Action;
use super::when::{Predicate, When};
use crate::base::UtcMillis;

/// Of what is only counted, so many are shown.
pub const EXAMPLES_MAX: usize = 10;
/// Of what is named singly, so many are kept; the rest are counted.
pub const LISTED_MAX: usize = 10_000;

/// Which way something changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Tighter,
    /// Also what is neither: another channel in place of one.
    Looser,
}

/// What other rules mean for one report, the mildest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    Same,
    Tighter,
    /// Was sent, and now a person looks first; nothing else is looser.
    NewlyInReview,
    Looser,
    /// Was not sent by itself, and now is.
    NewlySent,
}

impl Movement {
    #[must_use]
    pub const fn is_looser(self) -> bool {
        matches!(self, Self::Looser | Self::NewlySent)
    }

    /// In words, for a list.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "unchanged",
            Self::Tighter => "tighter",
            Self::NewlyInReview => "newly in review",
            Self::Looser => "looser",
            Self::NewlySent => "newly sent",
        }
    }
}

/// One column, or when a report leaves, before and after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// A column's word, or `leaves` for what a law says of when.
    pub what: &'static str,
    pub from: String,
    pub to: String,
    pub direction: Direction,
    /// The rows behind the old value.
    pub rows_before: Vec<String>,
    /// The rows behind the new one.
    pub rows_after: Vec<String>,
}

/// What two rules files say of one report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Compared {
    pub movement: Movement,
    pub before: Action,
    pub after: Action,
    /// Why a person looks, or what blocks it; empty where it is sent.
    pub why_before: String,
    pub why_after: String,
    pub changes: Vec<Change>,
}

/// One report that is decided otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Item<I> {
    #[serde(flatten)]
    pub id: I,
    #[serde(flatten)]
    pub compared: Compared,
}

/// Reports of which all are counted and the first are shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counted<I> {
    pub count: u64,
    pub shown: Vec<Item<I>>,
}

impl<I> Counted<I> {
    const fn none() -> Self {
        Self { count: 0, shown: Vec::new() }
    }

    fn add(&mut self, item: Item<I>, shown_max: usize) {
        self.count += 1;
        if self.shown.len() < shown_max {
            self.shown.push(item);
        }
    }
}

/// What two rules files decide otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diff<I> {
    pub tighter: Counted<I>,
    /// One by one, up to [`LISTED_MAX`].
    pub looser: Counted<I>,
    pub newly_in_review: Counted<I>,
    /// One by one, up to [`LISTED_MAX`].
    pub newly_sent: Counted<I>,
    pub same: u64,
    /// Conditions of the new rules of which stored facts know nothing, and for how many reports.
    pub unasked: BTreeMap<Predicate, u64>,
}

impl<I> Default for Diff<I> {
    fn default() -> Self {
        Self {
            tighter: Counted::none(),
            looser: Counted::none(),
            newly_in_review: Counted::none(),
            newly_sent: Counted::none(),
            same: 0,
            unasked: BTreeMap::new(),
        }
    }
}

impl<I> Diff<I> {
    #[must_use]
    pub fn is_anything_looser(&self) -> bool {
        self.looser.count + self.newly_sent.count > 0
    }

    /// How many reports were compared.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.same + self.tighter.count + self.looser.count + self.newly_in_review.count + self.newly_sent.count
    }

    /// Counts one report.
    pub fn add(&mut self, id: I, compared: Compared) {
        let item = |compared| Item { id, compared };
        match compared.movement {
            Movement::Same => self.same += 1,
            Movement::Tighter => self.tighter.add(item(compared), EXAMPLES_MAX),
            Movement::NewlyInReview => self.newly_in_review.add(item(compared), EXAMPLES_MAX),
            Movement::Looser => self.looser.add(item(compared), LISTED_MAX),
            Movement::NewlySent => self.newly_sent.add(item(compared), LISTED_MAX),
        }
    }
}

/// Two rules files, to be asked about the same reports.
pub struct Comparison<'r> {
    old: &'r RuleSet,
    new: &'r RuleSet,
    /// What the installation offers; `None` compares the rules alone.
    available: Option<&'r Available>,
    named: BTreeSet<Predicate>,
}

/// One file's answer, without its reasons.
struct Answer {
    action: Action,
    /// The rules leave it to a person, so that it never leaves by itself.
    is_kept_by_the_rules: bool,
    columns: Columns,
    schedule: Schedule,
}

impl<'r> Comparison<'r> {
    #[must_use]
    pub fn new(old: &'r RuleSet, new: &'r RuleSet, available: Option<&'r Available>) -> Self {
        let named = new.whens().flat_map(When::conditions).map(|(predicate, _)| predicate).collect();
        Self { old, new, available, named }
    }

    /// What both say of one report.
    #[must_use]
    pub fn compare(&self, facts: &Facts, moment: Moment) -> Compared {
        self.compare_from(facts, moment, Action::Send)
    }

    /// What both say of one report that waits for a person for a reason of its own, whatever the rules say.
    #[must_use]
    pub fn compare_held(&self, facts: &Facts, moment: Moment) -> Compared {
        self.compare_from(facts, moment, Action::ManualReview)
    }

    fn compare_from(&self, facts: &Facts, moment: Moment, least: Action) -> Compared {
        if let Some(decision) = status_gate(facts.status) {
            return same(action_of(&decision));
        }
        let canon = Canon::of(facts, moment.now);
        let before = self.answer(self.old, &canon, moment, least);
        let after = self.answer(self.new, &canon, moment, least);
        let differing = changed(&before, &after);
        if differing.is_empty() {
            return same(after.action);
        }
        let movement = movement(before.action, after.action, &differing);
        let (old, new) = (decide_for_columns(self.old, facts, moment), decide_for_columns(self.new, facts, moment));
        let changes = differing
            .into_iter()
            .map(|one| Change {
                rows_before: rows_of(&old.trace, one.column),
                rows_after: rows_of(&new.trace, one.column),
                what: one.column.map_or("leaves", Column::as_str),
                from: one.from,
                to: one.to,
                direction: one.direction,
            })
            .collect();
        let why = |decision: Decision| why_of(&self.within(decision));
        Compared {
            movement,
            before: before.action,
            after: after.action,
            why_before: why(old.decision),
            why_after: why(new.decision),
            changes,
        }
    }

    /// The conditions of the new rules of which these facts know nothing.
    pub fn unasked(&self, facts: &Facts) -> impl Iterator<Item = Predicate> {
        // What is lacking is so at any time.
        let canon = Canon::of(facts, UtcMillis::default());
        let untried = !self.new.table.patterns_but(&facts.text.tried).is_empty();
        let is_unasked = move |predicate: &Predicate| match predicate {
            Predicate::Text => untried || canon.lacking(*predicate).contains(&Lack::NotAsked),
            Predicate::Critical => canon.facts.critical == Flag::Unknown,
            Predicate::Recipient
            | Predicate::Clinic
            | Predicate::Resource
            | Predicate::Category
            | Predicate::Type
            | Predicate::Code
            | Predicate::Holds
            | Predicate::Set
            | Predicate::Prefix
            | Predicate::Label
            | Predicate::Confidentiality
            | Predicate::Order
            | Predicate::Reason
            | Predicate::Performer
            | Predicate::Service
            | Predicate::Encounter
            | Predicate::Age
            | Predicate::Consent
            | Predicate::Basis
            | Predicate::Preference
            | Predicate::Contact
            | Predicate::ContactConfirmedWithin
            | Predicate::ContactNotConfirmedWithin
            | Predicate::Tag
            | Predicate::Any => canon.lacking(*predicate).contains(&Lack::NotAsked),
        };
        self.named.iter().copied().filter(move |predicate| is_unasked(predicate))
    }

    fn answer(&self, rules: &RuleSet, canon: &Canon<'_>, moment: Moment, least: Action) -> Answer {
        let (content, table) = (&rules.content, &rules.table);
        let judged = rules.judge(&rules.ready(canon.facts), moment.now);
        let schedule = schedule(content, table, &judged, canon.facts.issued, moment);
        let action = match judged.verdict {
            Verdict::Send => action_of(&self.within(Decision::Send { terms: Terms::from(&judged.columns) })),
            Verdict::NoRule | Verdict::RuleAsks | Verdict::NoCommonChannel | Verdict::Unknown(_) => {
                Action::ManualReview
            }
            Verdict::Block | Verdict::BlockedByDefault => Action::Block,
        };
        // What waits for a reason of its own may leave by itself when that reason is gone.
        let is_kept_by_the_rules = least == Action::Send
            && match judged.verdict {
                Verdict::NoRule | Verdict::RuleAsks | Verdict::NoCommonChannel | Verdict::Unknown(_) => true,
                Verdict::Send | Verdict::Block | Verdict::BlockedByDefault => false,
            };
        Answer { action: action.max(least), is_kept_by_the_rules, columns: judged.columns, schedule }
    }

    fn within(&self, decision: Decision) -> Decision {
        match self.available {
            Some(available) => decision.within(available),
            None => decision,
        }
    }
}

/// What `new` decides otherwise than `old` about these reports, each at the moment that `moment_of` says.
pub fn changes<I>(
    old: &RuleSet,
    new: &RuleSet,
    facts: impl IntoIterator<Item = (I, Facts)>,
    moment_of: impl Fn(&Facts) -> Moment,
) -> Diff<I> {
    let comparison = Comparison::new(old, new, None);
    let mut diff = Diff::default();
    for (id, facts) in facts {
        for predicate in comparison.unasked(&facts) {
            *diff.unasked.entry(predicate).or_default() += 1;
        }
        diff.add(id, comparison.compare(&facts, moment_of(&facts)));
    }
    diff
}

/// Whether a profile speaks of a report: it does not fall to what becomes of all others.
#[must_use]
pub fn is_covered(rules: &RuleSet, facts: &Facts, moment: Moment) -> bool {
    let judged = rules.judge(&rules.ready(facts), moment.now);
    judged.in_force.meets(rules.table.of_kind(RowKind::Profile))
}

/// One difference, before it is known by whom. `column` is `None` for when a law lets it leave.
struct Changed {
    column: Option<Column>,
    from: String,
    to: String,
    direction: Direction,
}

const fn same(action: Action) -> Compared {
    Compared {
        movement: Movement::Same,
        before: action,
        after: action,
        why_before: String::new(),
        why_after: String::new(),
        changes: Vec::new(),
    }
}

fn movement(before: Action, after: Action, changed: &[Changed]) -> Movement {
    let is_looser = changed.iter().any(|one| one.direction == Direction::Looser);
    match (before, after) {
        (Action::ManualReview | Action::Block, Action::Send) => Movement::NewlySent,
        _ if is_looser => Movement::Looser,
        (Action::Send, Action::ManualReview) => Movement::NewlyInReview,
        (Action::Send | Action::ManualReview | Action::Block, Action::Send | Action::ManualReview | Action::Block) => {
            Movement::Tighter
        }
    }
}

fn changed(before: &Answer, after: &Answer) -> Vec<Changed> {
    let mut found = Vec::new();
    let direction = |is_tighter: bool| if is_tighter { Direction::Tighter } else { Direction::Looser };
    if before.action != after.action {
        let (from, to) = (before.action.as_str().to_owned(), after.action.as_str().to_owned());
        found.push(Changed {
            column: Some(Column::Action),
            from,
            to,
            direction: direction(before.action < after.action),
        });
    }
    // What never leaves, leaves under no terms.
    if before.action == Action::Block || after.action == Action::Block {
        return found;
    }
    let old = same_ground(before.columns, &after.columns);
    let (new, joined) = (after.columns, before.columns.join(&after.columns));
    let talk = if new.requires.is_empty() { Talk::NotAsked } else { Talk::Asked };
    if old != new {
        let columns = Column::ALL.into_iter().filter(|column| *column != Column::Action);
        found.extend(columns.filter_map(|column| {
            let (from, to) = (old.show(column), new.show(column));
            let is_tighter = joined.show(column) == to;
            let is_idle = after.is_kept_by_the_rules && !is_tighter && !column.counts_for_a_person(talk);
            (from != to && !is_idle).then(|| Changed {
                column: Some(column),
                from,
                to,
                direction: direction(is_tighter),
            })
        }));
    }
    found.extend(by_law(&before.schedule, &after.schedule));
    found
}

/// Of two holds of the same length neither is stricter, whatever their grounds.
fn same_ground(mut old: Columns, new: &Columns) -> Columns {
    if old.hold_seconds == new.hold_seconds {
        old.basis = new.basis;
    }
    old
}

/// Whether both ask for the same in one column.
pub(super) fn is_same(column: Column, one: &Columns, other: &Columns) -> bool {
    match column {
        // Shown alike though one of them asks for something.
        Column::GroupBy => one.group == other.group,
        Column::Hold => (one.hold_seconds, one.basis) == (other.hold_seconds, other.basis),
        Column::Action
        | Column::Expiry
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
        | Column::Release
        | Column::Requires
        | Column::AutoRelease
        | Column::Backstop
        | Column::Reissue
        | Column::Custody
        | Column::Notify
        | Column::Retention => one.show(column) == other.show(column),
    }
}

/// A floor that ends sooner lets out sooner; a ceiling that comes sooner ends a wait.
fn by_law(before: &Schedule, after: &Schedule) -> Option<Changed> {
    let floor = |schedule: &Schedule| schedule.floors.first().map(|floor| floor.until);
    let ceiling = |schedule: &Schedule| schedule.ceilings.first().map(|ceiling| ceiling.until);
    let (old, new) = ((floor(before), ceiling(before)), (floor(after), ceiling(after)));
    if old == new {
        return None;
    }
    let is_sooner = new.0 < old.0 || new.1.is_some_and(|new| old.1.is_none_or(|old| new < old));
    let show = |(floor, ceiling): (Option<crate::base::UtcMillis>, Option<crate::base::UtcMillis>)| {
        let from = floor.map_or("no law says not before".to_owned(), |at| format!("by law not before {at}"));
        ceiling.map_or(from.clone(), |at| format!("{from}, not later than {at}"))
    };
    let direction = if is_sooner { Direction::Looser } else { Direction::Tighter };
    Some(Changed { column: None, from: show(old), to: show(new), direction })
}

const fn action_of(decision: &Decision) -> Action {
    match decision {
        Decision::Send { .. } => Action::Send,
        Decision::Review { .. } => Action::ManualReview,
        Decision::Block { .. } => Action::Block,
    }
}

fn why_of(decision: &Decision) -> String {
    match decision {
        Decision::Send { .. } => String::new(),
        Decision::Review { why, .. } => why.to_string(),
        Decision::Block { rule } => format!("blocked by '{rule}'"),
    }
}

fn rows_of(trace: &Trace, column: Option<Column>) -> Vec<String> {
    let Some(column) = column else {
        let laws = |schedule: &Schedule| {
            schedule.floors.iter().chain(&schedule.ceilings).map(|wait| wait.rule.clone()).collect()
        };
        return trace.schedule.as_ref().map(laws).unwrap_or_default();
    };
    trace.columns.iter().find(|one| one.column == column).map(|one| one.by.clone()).unwrap_or_default()
}
