//! The clinic's rules: facts in, decision out.
//!
//! Job: parse a rules file strictly, and decide for one report and one recipient role.
//! Must stay true: pure and total; row order never matters; more evidence never loosens; nothing falls
//! through (no rule means review).
//! Must not know: databases, FHIR, clocks (`now` is an argument), patients' names or addresses.

pub mod decision;
pub mod facts;

pub use decision::{Challenge, Channel, Decision, HoldBasis, Opens, Release, ReviewReason, Terms, Wording};
pub use facts::{Coding, Facts, RecipientRole, ReportStatus};
