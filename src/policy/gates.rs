//! What is decided before any rule is looked at.

use std::time::Duration;

use super::decision::{Decision, ReviewReason};
use super::facts::ReportStatus;
use crate::base::UtcMillis;

/// The name under which the status gate blocks. No profile may have it.
pub const STATUS_RULE: &str = "status";

/// The answer that the status alone gives, if it gives one.
#[must_use]
pub(super) fn status_gate(status: ReportStatus) -> Option<Decision> {
    match status {
        ReportStatus::Final | ReportStatus::Amended | ReportStatus::Corrected | ReportStatus::Appended => None,
        ReportStatus::Unknown => Some(Decision::Review { why: ReviewReason::UnknownStatus, terms: None }),
        ReportStatus::Unfinished
        | ReportStatus::Superseded
        | ReportStatus::Cancelled
        | ReportStatus::EnteredInError => Some(Decision::Block { rule: STATUS_RULE.to_owned() }),
    }
}

/// Old reports are never sent by themselves: a first connection replays years of them.
///
/// # Errors
/// `TooOld` when the report was issued more than `age_max` before `now`; `AgeUnknown` without a date. A date
/// in the future counts as no age at all.
pub fn age_gate(issued: Option<UtcMillis>, age_max: Duration, now: UtcMillis) -> Result<(), ReviewReason> {
    let issued = issued.ok_or(ReviewReason::AgeUnknown)?;
    if now.since(issued) > age_max { Err(ReviewReason::TooOld) } else { Ok(()) }
}
