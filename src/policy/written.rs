//! Values as a rules file writes them.
//!
//! Must stay true: what is written here reads back as the same value.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::columns::{Column, Columns, Grouping};
use super::few::{Few, Vocabulary};

/// The value of a column: a text, a number, or a list of words; null for no grouping.
pub(super) fn value(columns: &Columns, column: Column) -> Value {
    match column {
        Column::Action => columns.action.as_str().into(),
        Column::Expiry => span(columns.expiry_seconds).into(),
        Column::ExpiryFrom => columns.expiry_from.as_str().into(),
        Column::Opens => columns.opens.get().into(),
        Column::View => span(columns.view_seconds.into()).into(),
        Column::Attempts => columns.attempts.into(),
        Column::Channel => words(columns.channels),
        Column::Verify => words(columns.challenges),
        Column::CodeVia => columns.code_via.as_str().into(),
        Column::CodeElse => columns.code_else.as_str().into(),
        Column::Wording => columns.wording.as_str().into(),
        Column::Download => columns.download.as_str().into(),
        Column::HealthLink => columns.health_link.as_str().into(),
        Column::Release => columns.release.as_str().into(),
        Column::Hold => span(columns.hold_seconds).into(),
        Column::Requires => words(columns.requires),
        Column::AutoRelease => span(columns.auto_release_seconds).into(),
        Column::Backstop => columns.backstop.as_str().into(),
        Column::Reissue => columns.reissue.as_str().into(),
        Column::Custody => columns.custody.as_str().into(),
        Column::GroupBy => match columns.group {
            Grouping::With { what, .. } => what.as_str().into(),
            Grouping::Unsaid | Grouping::Alone => Value::Null,
        },
        Column::Notify => words(columns.notify),
        Column::Retention => span(columns.retention_seconds).into(),
    }
}

/// What stands beside the columns: the ground of a hold, how long a group is collected.
pub(super) fn beside(columns: &Columns) -> Map<String, Value> {
    let mut found = Map::new();
    let basis = (columns.hold_seconds > 0).then(|| columns.basis.as_str());
    found.insert("basis".to_owned(), basis.into());
    let wait = match columns.group {
        Grouping::With { wait_seconds, .. } => Some(span(wait_seconds)),
        Grouping::Unsaid | Grouping::Alone => None,
    };
    found.insert("wait".to_owned(), wait.into());
    found
}

fn words<T: Vocabulary>(few: Few<T>) -> Value {
    few.iter().map(Vocabulary::as_str).collect::<Vec<_>>().into()
}

/// `72h`, `7d`, `90m`: the largest unit that divides, days only from a week on.
pub(super) fn span(seconds: u64) -> String {
    const WEEK_SECONDS: u64 = 7 * 86_400;
    match seconds {
        s if s % 86_400 == 0 && s >= WEEK_SECONDS => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s => format!("{}m", s / 60),
    }
}

/// A basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
