//! When a report may leave: the clinic's hold between the law's floor and ceiling.
//!
//! Must stay true: every wait counts from the report's own time, so that an old event replayed begins no new one; nothing
//! leaves before a floor; nothing that a law wants disclosed waits beyond its ceiling; what waits for a person has an end.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::judge::{Judged, counted_from};
use super::laws::Waiver;
use super::rules::Content;
use super::table::{RowKind, Table};
use super::vocabulary::{Backstop, HoldBasis, ReleaseBy, Requirement};
use crate::base::{UtcMillis, seconds};

/// When and where a decision is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    pub now: UtcMillis,
    /// The clinic's zone; the rules' own comes before it.
    pub zone: Tz,
}

impl Moment {
    /// In UTC.
    #[must_use]
    pub const fn utc(now: UtcMillis) -> Self {
        Self { now, zone: Tz::UTC }
    }
}

/// What a law says of when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LegalWait {
    /// `us-ky/malignancy`: the pack and its row.
    pub rule: String,
    pub until: UtcMillis,
    /// Who may end it before; for a ceiling nobody needs to.
    pub waived_by: BTreeSet<Waiver>,
}

/// When a report may leave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "leaves")]
pub enum Timing {
    Now,
    /// By itself at an instant.
    At {
        until: UtcMillis,
        basis: HoldBasis,
    },
    /// When somebody says so, or what is required was done; at the back-stop something happens by itself.
    ByAPerson {
        requires: BTreeSet<Requirement>,
        backstop_at: UtcMillis,
        then: Backstop,
        basis: HoldBasis,
    },
}

/// The whole schedule, with the laws behind it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// From when everything counts: the report's own time, or the decision's where it gives none.
    pub from: UtcMillis,
    pub timing: Timing,
    /// The latest floor first.
    pub floors: Vec<LegalWait>,
    /// The earliest ceiling first.
    pub ceilings: Vec<LegalWait>,
    /// When it may leave by itself at the earliest, by hold and floors.
    pub earliest: UtcMillis,
}

impl Schedule {
    /// When it may leave by itself: its earliest moment, unless a law wants it disclosed before.
    #[must_use]
    pub fn by_itself(&self) -> UtcMillis {
        let floor = self.floors.first().map_or(self.from, |floor| floor.until);
        self.ceilings.first().map_or(self.earliest, |ceiling| self.earliest.min(ceiling.until.max(floor)))
    }

    /// This schedule, with what laws asked for before wherever they now ask for less. It counts from the earlier moment: what
    /// was over is not begun anew.
    #[must_use]
    pub fn with_floors_of(mut self, before: &Self) -> Self {
        let is_kept =
            |old: &&LegalWait| !self.floors.iter().any(|floor| floor.rule == old.rule && floor.until >= old.until);
        let kept: Vec<LegalWait> = before.floors.iter().filter(is_kept).cloned().collect();
        self.floors.retain(|floor| !kept.iter().any(|old| old.rule == floor.rule));
        self.floors.extend(kept);
        self.floors.sort_by(later_first);
        self.from = self.from.min(before.from);
        self.earliest = self.floors.first().map_or(self.earliest, |floor| self.earliest.max(floor.until));
        self
    }

    /// Whether a law keeps it back that did not before, or for longer.
    #[must_use]
    pub fn has_more_floor_than(&self, before: Option<&Self>) -> bool {
        self.floors.iter().any(|floor| {
            let before = before.into_iter().flat_map(|before| &before.floors);
            !before.into_iter().any(|other| other.rule == floor.rule && other.until >= floor.until)
        })
    }
}

pub(super) fn schedule(
    content: &Content,
    table: &Table,
    judged: &Judged,
    issued: Option<UtcMillis>,
    moment: Moment,
) -> Schedule {
    let from = counted_from(issued, moment.now);
    let zone = content.header.timezone.unwrap_or(moment.zone);
    let mut floors = waits(content, table, judged, RowKind::Floor, from, zone);
    floors.sort_by(later_first);
    let mut ceilings = waits(content, table, judged, RowKind::Ceiling, from, zone);
    ceilings.sort_by(|one, other| one.until.cmp(&other.until).then_with(|| one.rule.cmp(&other.rule)));
    let floor = floors.first().map_or(from, |floor| floor.until);
    let earliest = from.plus(seconds(judged.columns.hold_seconds)).max(floor);
    let ceiling = ceilings.first().map(|ceiling| ceiling.until.max(floor));
    let timing = timing(&judged.columns, from, floor, earliest, ceiling, moment.now);
    Schedule { from, timing, floors, ceilings, earliest }
}

fn later_first(one: &LegalWait, other: &LegalWait) -> Ordering {
    other.until.cmp(&one.until).then_with(|| one.rule.cmp(&other.rule))
}

fn timing(
    columns: &Columns,
    from: UtcMillis,
    floor: UtcMillis,
    earliest: UtcMillis,
    ceiling: Option<UtcMillis>,
    now: UtcMillis,
) -> Timing {
    let capped = |at: UtcMillis| ceiling.map_or(at, |ceiling| at.min(ceiling));
    let basis = if floor >= earliest && floor > from { HoldBasis::Law } else { columns.basis };
    if !columns.waits_for_a_person() {
        let until = capped(earliest);
        return if until <= now { Timing::Now } else { Timing::At { until, basis } };
    }
    let clinic = from.plus(seconds(columns.auto_release_seconds)).max(earliest);
    let (backstop_at, then) = match ceiling {
        Some(ceiling) if ceiling <= clinic => (ceiling, Backstop::Release),
        Some(_) | None => (clinic, columns.backstop),
    };
    let requires: BTreeSet<_> = columns.requires.iter().collect();
    // A talk that is required still waits for a person's word where the release is manual.
    debug_assert!(columns.release == ReleaseBy::Manual || !requires.is_empty());
    Timing::ByAPerson { requires, backstop_at, then, basis }
}

fn waits(
    content: &Content,
    table: &Table,
    judged: &Judged,
    kind: RowKind,
    from: UtcMillis,
    zone: Tz,
) -> Vec<LegalWait> {
    let rows = judged.in_force.both(table.of_kind(kind));
    // What a person releases all the same waits for every law that may apply; one that only may never hastens it.
    let possible = judged.may_apply.both(table.of_kind(RowKind::Floor));
    let possible = possible.iter().filter(|_| kind == RowKind::Floor);
    rows.iter()
        .chain(possible)
        .filter_map(|row| table.rows.get(usize::from(row)))
        .filter_map(|row| {
            let law = content.laws.get(row.law)?;
            let (id, wait, waived_by) = match kind {
                RowKind::Floor => {
                    law.floors.get(row.at).map(|floor| (&floor.id, floor.wait, floor.waived_by.clone()))?
                }
                RowKind::Ceiling => law.ceilings.get(row.at).map(|one| (&one.id, one.wait, BTreeSet::new()))?,
                RowKind::Classify
                | RowKind::Profile
                | RowKind::Restrict
                | RowKind::Exception
                | RowKind::LawRestrict => return None,
            };
            let until = wait.end(from, zone, &law.calendar);
            Some(LegalWait { rule: format!("{}/{id}", law.header.id), until, waived_by })
        })
        .collect()
}
