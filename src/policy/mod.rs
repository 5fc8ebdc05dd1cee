//! The clinic's rules: facts in, decision out.
//!
//! Job: parse a rules file strictly, and decide for one report and one recipient role.
//! Must stay true: pure and total; row order never matters; more evidence never loosens; nothing falls
//! through (no rule means review).
//! Must not know: databases, FHIR, clocks (`now` is an argument), patients' names or addresses.

pub mod available;
pub mod codes;
pub mod columns;
pub mod decide;
pub mod decision;
pub mod errors;
pub mod facts;
pub mod gates;
pub mod matching;
pub mod needs;
mod parse;
mod reader;
pub mod rules;
pub mod trace;

#[cfg(test)]
mod tests;

pub use available::Available;
pub use decide::{Decided, decide};
pub use decision::{Challenge, Channel, Decision, HoldBasis, Opens, Release, ReviewReason, Terms, Wording};
pub use errors::{RulesError, RulesErrors};
pub use facts::{Coding, Facts, RecipientRole, ReportStatus};
pub use gates::age_gate;
pub use needs::{Need, Needs};
pub use rules::{RULES_BYTES_MAX, RuleSet, STARTER_RULES};
pub use trace::Trace;
