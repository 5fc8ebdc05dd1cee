//! Why a decision came out as it did: serialisable for the record, plain lines for people.
//!
//! Must stay true: holds rule ids, column values and predicate names only; nothing about a patient.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::columns::{Column, Columns};
use super::facts::ReportStatus;
use super::matching::Predicate;
use crate::base::UtcMillis;

/// Rules that did not match are printed up to this number; all are in the record.
const PRINTED_UNMATCHED_MAX: usize = 20;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trace {
    pub decided_at: UtcMillis,
    pub status: ReportStatus,
    /// In the order of their ids; empty when the status alone decided.
    pub profiles: Vec<ProfileTrace>,
    /// Empty when no profile was in force.
    pub columns: Vec<ColumnTrace>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProfileTrace {
    pub id: String,
    pub outcome: Outcome,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    InForce,
    /// Matched, but these matching profiles name it in `over`.
    ReplacedBy {
        by: Vec<String>,
    },
    NotMatched {
        failed: Predicate,
    },
}

/// One column of the answer and who set it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ColumnTrace {
    pub column: Column,
    pub value: String,
    /// The profiles that asked for exactly this, or all of them when only together they make it.
    pub by: Vec<String>,
    pub overruled: Vec<Asked>,
}

/// What a profile asked for in vain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asked {
    pub profile: String,
    pub value: String,
}

impl ColumnTrace {
    pub(super) fn of(column: Column, joined: &Columns, rows: &[(&str, &Columns)]) -> Self {
        let value = joined.show(column);
        let (won, lost): (Vec<_>, Vec<_>) = rows
            .iter()
            .map(|(id, row)| Asked { profile: (*id).to_owned(), value: row.show(column) })
            .partition(|asked| asked.value == value);
        let (won, lost) = if won.is_empty() { (lost, won) } else { (won, lost) };
        Self { column, value, by: won.into_iter().map(|asked| asked.profile).collect(), overruled: lost }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.profiles.is_empty() {
            return writeln!(f, "no rule was asked: the report's status alone decided, or there are no rules");
        }
        let mut unmatched = Vec::new();
        for profile in &self.profiles {
            match &profile.outcome {
                Outcome::InForce => writeln!(f, "rule '{}' matches", profile.id)?,
                Outcome::ReplacedBy { by } => {
                    writeln!(f, "rule '{}' matches, but is replaced by {}", profile.id, by.join(", "))?;
                }
                Outcome::NotMatched { failed } => unmatched.push(format!("{} ({})", profile.id, failed.as_str())),
            }
        }
        for column in &self.columns {
            write!(f, "{}: {} from {}", column.column.as_str(), column.value, column.by.join(", "))?;
            for asked in &column.overruled {
                write!(f, "; {} asked {}", asked.profile, asked.value)?;
            }
            writeln!(f)?;
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
