//! Why a decision came out as it did: serialisable for the record, plain lines for people.
//!
//! Must stay true: holds rule ids, column values, predicate names and element paths only; nothing about a patient.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::columns::{Column, Columns, Said};
use super::facts::{FactPath, Lack, ReportStatus};
use super::schedule::{Schedule, Timing};
use super::when::Predicate;
use crate::base::UtcMillis;

/// Rules that did not match are printed up to this number; all are in an explanation.
const PRINTED_UNMATCHED_MAX: usize = 20;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trace {
    pub decided_at: UtcMillis,
    pub status: ReportStatus,
    /// In the order of layers, then ids; empty when the status alone decided. What is stored has no rows that did not match:
    /// facts and rules hash give them again.
    #[serde(alias = "profiles")]
    pub rows: Vec<RowTrace>,
    /// Empty when no row was in force.
    pub columns: Vec<ColumnTrace>,
    #[serde(default)]
    pub schedule: Option<Schedule>,
}

/// The layer of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    Classify,
    #[default]
    Profile,
    Restrict,
    Exception,
    Law,
}

impl Layer {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Profile => "profile",
            Self::Restrict => "restrict",
            Self::Exception => "exception",
            Self::Law => "law",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowTrace {
    #[serde(default)]
    pub layer: Layer,
    /// A law's row bears its pack's name: `us-ky/malignancy`.
    pub id: String,
    /// The tag that a classify row gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// By what each condition holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// A condition that holds, and where in the resources.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    pub predicate: Predicate,
    pub at: FactPath,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    InForce,
    /// Matched, but these rows name it in `over`.
    ReplacedBy {
        by: Vec<String>,
    },
    /// Matched, but an exception's time has not come or is over, or a law is not in force.
    OutOfTime,
    NotMatched {
        failed: Predicate,
    },
    /// No condition fails, and this one is not known.
    Unknown {
        fact: Predicate,
        why: Lack,
    },
}

/// One column of the answer and who set it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ColumnTrace {
    pub column: Column,
    pub value: String,
    /// The rows that asked for exactly this, or all of them when only together they make it.
    pub by: Vec<String>,
    pub overruled: Vec<Asked>,
}

/// What a row asked for in vain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asked {
    #[serde(alias = "profile")]
    pub row: String,
    pub value: String,
}

impl Trace {
    /// Without the rows that did not match, and the columns of which no row says anything unusual.
    #[must_use]
    pub fn for_the_record(mut self) -> Self {
        self.rows.retain(|row| !matches!(row.outcome, Outcome::NotMatched { .. }));
        self.columns.retain(ColumnTrace::is_worth_telling);
        self
    }
}

impl ColumnTrace {
    /// As [`Self::of`], if it is worth telling; of what is not, no words are made.
    pub(super) fn worth_telling(column: Column, joined: &Columns, rows: &[(String, &Columns, Said)]) -> Option<Self> {
        let usual = joined.says_the_same(&Columns::profile(), column);
        let mut said = rows.iter().filter(|(_, _, said)| said.has(column));
        if usual && !is_always_told(column) && said.all(|(_, row, _)| row.says_the_same(joined, column)) {
            return None;
        }
        Some(Self::of(column, joined, rows)).filter(Self::is_worth_telling)
    }

    /// `rows`: id, columns and which of them the row speaks of.
    pub(super) fn of(column: Column, joined: &Columns, rows: &[(String, &Columns, Said)]) -> Self {
        let value = joined.show(column);
        let (mut by, mut overruled) = (Vec::new(), Vec::new());
        for (id, row, _) in rows.iter().filter(|(_, _, said)| said.has(column)) {
            // Words are made only of what differs.
            let other = (!row.says_the_same(joined, column)).then(|| row.show(column)).filter(|other| *other != value);
            match other {
                None => by.push(id.clone()),
                Some(value) => overruled.push(Asked { row: id.clone(), value }),
            }
        }
        if by.is_empty() {
            by = overruled.drain(..).map(|asked| asked.row).collect();
        }
        Self { column, value, by, overruled }
    }

    /// Whether the value is one of those that everybody asks for, or another than where no row says anything.
    #[must_use]
    pub fn is_worth_telling(&self) -> bool {
        is_always_told(self.column) || !self.overruled.is_empty() || self.value != Columns::profile().show(self.column)
    }
}

/// What everybody asks for.
const fn is_always_told(column: Column) -> bool {
    matches!(column, Column::Action | Column::Expiry | Column::Opens | Column::Channel | Column::Release | Column::Hold)
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return writeln!(f, "no rule was asked: the report's status alone decided, or there are no rules");
        }
        let mut unmatched = Vec::new();
        for row in &self.rows {
            write_row(f, row, &mut unmatched)?;
        }
        for column in self.columns.iter().filter(|column| column.is_worth_telling()) {
            write!(f, "{}: {}", column.column.as_str(), column.value)?;
            if !column.by.is_empty() {
                write!(f, " from {}", column.by.join(", "))?;
            }
            for asked in &column.overruled {
                write!(f, "; {} asked {}", asked.row, asked.value)?;
            }
            writeln!(f)?;
        }
        if let Some(schedule) = &self.schedule {
            write_schedule(f, schedule)?;
        }
        if unmatched.is_empty() {
            return Ok(());
        }
        let more = unmatched.len().saturating_sub(PRINTED_UNMATCHED_MAX);
        unmatched.truncate(PRINTED_UNMATCHED_MAX);
        write!(f, "did not match, with the first condition that failed: {}", unmatched.join(", "))?;
        if more > 0 { writeln!(f, " and {more} more") } else { writeln!(f) }
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &RowTrace, unmatched: &mut Vec<String>) -> fmt::Result {
    let name = match row.layer {
        Layer::Profile => format!("rule '{}'", row.id),
        Layer::Classify | Layer::Restrict | Layer::Exception | Layer::Law => {
            format!("{} '{}'", row.layer.as_str(), row.id)
        }
    };
    match &row.outcome {
        Outcome::InForce => {
            write!(f, "{name} matches")?;
            if let Some(tag) = &row.tag {
                write!(f, " and gives the tag {tag}")?;
            }
            let at: Vec<_> =
                row.evidence.iter().map(|seen| format!("{} at {}", seen.predicate.as_str(), seen.at.0)).collect();
            if at.is_empty() { writeln!(f) } else { writeln!(f, ": {}", at.join(", ")) }
        }
        Outcome::ReplacedBy { by } => writeln!(f, "{name} matches, but is replaced by {}", by.join(", ")),
        Outcome::OutOfTime => writeln!(f, "{name} matches, but not at this time"),
        Outcome::Unknown { fact, why } => {
            writeln!(f, "{name} may match: {} is not known ({})", fact.as_str(), why.as_str())
        }
        Outcome::NotMatched { failed } => {
            unmatched.push(format!("{} ({})", row.id, failed.as_str()));
            Ok(())
        }
    }
}

fn write_schedule(f: &mut fmt::Formatter<'_>, schedule: &Schedule) -> fmt::Result {
    for floor in &schedule.floors {
        writeln!(f, "law {}: not before {}", floor.rule, floor.until.to_rfc3339())?;
    }
    for ceiling in &schedule.ceilings {
        writeln!(f, "law {}: not later than {}", ceiling.rule, ceiling.until.to_rfc3339())?;
    }
    match &schedule.timing {
        Timing::Now => writeln!(f, "leaves: at once"),
        Timing::At { until, basis } => {
            writeln!(f, "leaves: by itself at {} ({})", until.to_rfc3339(), basis.as_str())
        }
        Timing::ByAPerson { requires, backstop_at, then, basis } => {
            let first = if requires.is_empty() { "when a person releases it" } else { "after the talk was recorded" };
            writeln!(
                f,
                "leaves: {first} ({}); back-stop {} at {}",
                basis.as_str(),
                then.as_str(),
                backstop_at.to_rfc3339()
            )
        }
    }
}
