//! What is wrong with a rules file: where, what, and what to do. Always the clinic's to mend.
//!
//! Must stay true: every fault has a place and a remedy. Rules hold no patient data, so a fault may quote
//! the file.

use std::fmt;

/// One fault. `line` and `column` count from 1; the column counts characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {what}. {remedy}.")]
pub struct RulesError {
    pub line: usize,
    pub column: usize,
    pub what: String,
    pub remedy: String,
}

/// All faults found in one reading, in the order of the file; never empty. Nothing was loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RulesErrors(pub Vec<RulesError>);

impl fmt::Display for RulesErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rules file has faults and nothing was loaded:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for RulesErrors {}
