//! The clinic's rules: facts in, decision out.
//!
//! Job: parse a rules file strictly, and decide for one report and one recipient role.
//! Must stay true: pure and total; row order never matters; more evidence never loosens; nothing falls
//! through (no rule means review).
//! Must not know: databases, FHIR, clocks (`now` is an argument), patients' names or addresses.

pub mod available;
mod bits;
pub mod calendar;
mod canon;
pub mod case_text;
pub mod cases;
pub mod codes;
pub mod columns;
pub mod compare;
pub mod contact;
pub mod csv_table;
pub mod decide;
pub mod decision;
pub mod errors;
pub mod explain;
pub mod facts;
pub mod facts_file;
mod few;
pub mod gates;
pub mod judge;
pub mod laws;
pub mod life;
pub mod lint;
pub mod loosenings;
mod matching;
pub mod needs;
mod opening;
mod probe;
pub mod quiet;
mod read;
mod reader;
mod ready;
pub mod rules;
pub mod schedule;
pub mod sets;
pub mod starters;
mod table;
pub mod text;
pub mod trace;
mod values;
pub mod vocabulary;
pub mod when;
mod written;
mod zone;

#[cfg(test)]
mod tests;

pub use available::{Available, CodeWay};
pub use decide::{Decided, decide, decide_for_the_record};
pub use decision::{Decision, Opens, Release, ReviewReason, Terms};
pub use errors::{RulesError, RulesErrors};
pub use facts::{Coding, Facts, RecipientRole, ReportStatus};
pub use gates::age_gate;
pub use needs::{Need, Needs};
pub use opening::OpeningTerms;
pub use rules::{RULES_BYTES_MAX, RuleSet, STARTER_RULES};
pub use schedule::Moment;
pub use trace::Trace;
pub use vocabulary::{Challenge, Channel, HealthLink, HoldBasis, ReleaseBy, Wording};
