//! The rules as a table for a spreadsheet, and back: one row of the table per row of the file.
//!
//! Must stay true: a table read back gives rules of the same hash; remarks alone are lost. A fault of an imported table
//! names its row and column.
//! Must not know: files.

mod cell;
mod order;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::errors::{Code, RulesErrors};
use super::rules::{RuleSet, SideFiles};

/// The column that says what a row is.
const KIND: &str = "kind";
/// Sections that stand once, then those with many rows; in this order they are written.
const SINGLE: [&str; 3] = ["policy", "limits", "quiet"];
const MANY: [&str; 6] = ["service", "classify", "profile", "restrict", "exception", "test"];

/// One fault of a table. Rows count as in a spreadsheet: the header is row 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TableError {
    /// None: the table as a whole.
    pub row: Option<usize>,
    /// The name in the header.
    pub column: Option<String>,
    pub code: Code,
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.row, &self.column) {
            (Some(row), Some(column)) => write!(f, "row {row}, column '{column}': ")?,
            (Some(row), None) => write!(f, "row {row}: ")?,
            (None, Some(column)) => write!(f, "column '{column}': ")?,
            (None, None) => {}
        }
        write!(f, "{}. {}.", self.what, self.remedy)
    }
}

/// All faults found in one reading; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableErrors(pub Vec<TableError>);

impl fmt::Display for TableErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table has faults and nothing was made of it:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for TableErrors {}

/// Why a rules file has no table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Faulty(#[from] RulesErrors),
    #[error("the table would not give the same rules again; report this as a fault of Chartseal")]
    NotTheSame,
}

/// A table, and the rules that it holds.
#[derive(Clone, Debug)]
pub struct Exported {
    /// UTF-8 with a byte order mark, separated by commas.
    pub csv: String,
    pub rules: RuleSet,
}

/// Rules made of a table.
#[derive(Clone, Debug)]
pub struct Imported {
    pub toml: String,
    pub rules: RuleSet,
}

/// Writes a sound rules file as a table.
///
/// # Errors
/// [`ExportError`]; the table was read back before it is given out.
pub fn export(text: &str, sets: &SideFiles) -> Result<Exported, ExportError> {
    let rules = RuleSet::load(text, sets)?;
    let csv = write::table_of(text).ok_or(ExportError::NotTheSame)?;
    match import(&csv, sets) {
        Ok(imported) if imported.rules == rules => Ok(Exported { csv, rules }),
        Ok(_) | Err(_) => Err(ExportError::NotTheSame),
    }
}

/// Reads a table, separated by commas, semicolons or tabs.
///
/// # Errors
/// Every fault found, by row and column.
pub fn import(csv: &str, sets: &SideFiles) -> Result<Imported, TableErrors> {
    let draft = read::draft_of(csv.trim_start_matches('\u{feff}'))?;
    match RuleSet::load(&draft.toml, sets) {
        Ok(rules) => Ok(Imported { toml: draft.toml, rules }),
        Err(errors) => Err(draft.placed(&errors)),
    }
}
