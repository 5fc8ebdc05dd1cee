//! In which order the columns of a table stand, and what kind of value each holds.

use super::KIND;
use crate::policy::columns::Column;
use crate::policy::when::Predicate;

/// What names a row, before what it asks.
const FIRST: [&str; 14] = [
    KIND,
    "id",
    "name",
    "tag",
    "version",
    "timezone",
    "effective",
    "laws",
    "over",
    "from",
    "until",
    "by",
    "reason",
    "hours",
];
/// Tables, from left to right.
const TABLES: [&str; 8] = ["", "expiry", "when", "when.any", "any", "then", "facts", "expect"];
/// Columns that hold one text, in which a semicolon is one.
const ONE_TEXT: [&str; 15] = [
    "id",
    "name",
    "tag",
    "version",
    "timezone",
    "effective",
    "patient_default",
    "other_default",
    "hours",
    "from",
    "until",
    "reason",
    "facts.issued",
    "facts.contact_since",
    "expect.earliest",
];

/// What a cell is in TOML.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Number,
    YesNo,
    OneText,
    Texts,
}

pub(super) fn form_of(column: &str) -> Form {
    let name = column.rsplit('.').next().unwrap_or(column);
    match name {
        "opens" | "attempts" | "opens_max" => Form::Number,
        "age" if column == "facts.age" => Form::Number,
        "critical" => Form::YesNo,
        _ if ONE_TEXT.contains(&column) => Form::OneText,
        _ => Form::Texts,
    }
}

/// What sorts columns.
pub(super) fn rank(column: &str) -> (usize, usize, String) {
    let (table, name) = column.rsplit_once('.').unwrap_or(("", column));
    let table_rank = TABLES.iter().position(|known| *known == table).unwrap_or(TABLES.len());
    let name_rank = match table {
        "" => FIRST.iter().position(|known| *known == name),
        "when" | "when.any" | "any" => Predicate::ALL.iter().position(|known| known.as_str() == name),
        // `basis` is a column of `then` and a fact of its own.
        "facts" => None,
        _ => {
            let beside = match name {
                "basis" => "hold",
                "wait" => "group_by",
                other => other,
            };
            Column::ALL.iter().position(|known| known.as_str() == beside)
        }
    };
    (table_rank, name_rank.unwrap_or(usize::MAX), name.to_owned())
}
