//! How a thing to be told goes on. Pure.

use std::time::Duration;

use crate::base::{FhirId, UtcMillis, hours, minutes, seconds};
use crate::fhir::{EhrError, FaultClass};
use crate::store::{ToldEnd, ToldRow, ToldState};

/// The waits after faults that may pass; after the last one staff see it.
const BACK_OFF: [Duration; 9] =
    [seconds(10), minutes(1), minutes(5), minutes(15), hours(1), hours(3), hours(6), hours(12), hours(24)];

/// What is left after a fault of the EHR's or of the way there. A Task that stands open is looked at for as long as it stands.
pub(super) fn after_fault(row: &ToldRow, error: &EhrError, now: UtcMillis) -> ToldEnd {
    let tried = usize::try_from(row.tries).unwrap_or(1).saturating_sub(1);
    let wait = match (BACK_OFF.get(tried), row.state) {
        (Some(wait), _) => Some(*wait),
        (None, ToldState::Open) => BACK_OFF.last().copied(),
        (None, _) => None,
    };
    let asked = if let EhrError::Overloaded { retry_after } = error { *retry_after } else { None };
    let passes = match error.class() {
        FaultClass::Transient | FaultClass::Settings => true,
        FaultClass::Permanent => row.state == ToldState::Open,
    };
    match wait.filter(|_| passes) {
        Some(wait) => {
            let due_at = now.plus(asked.map_or(wait, |asked| asked.max(wait)));
            let why = Some(error.to_string());
            ToldEnd { state: row.state, due_at: Some(due_at), tries: row.tries, remote_id: None, why }
        }
        None => failed(error.to_string()),
    }
}

pub(super) const fn waiting(due_at: Option<UtcMillis>) -> ToldEnd {
    ToldEnd { state: ToldState::Waiting, due_at, tries: 0, remote_id: None, why: None }
}

/// A Task that somebody is to end; looked at again at `due_at`.
pub(super) const fn open(remote_id: Option<FhirId>, due_at: UtcMillis) -> ToldEnd {
    ToldEnd { state: ToldState::Open, due_at: Some(due_at), tries: 0, remote_id, why: None }
}

pub(super) const fn written(remote_id: Option<FhirId>) -> ToldEnd {
    ToldEnd { state: ToldState::Written, due_at: None, tries: 0, remote_id, why: None }
}

pub(super) fn closed(why: impl Into<String>) -> ToldEnd {
    ended(ToldState::Closed, why.into())
}

pub(super) fn skipped(why: impl Into<String>) -> ToldEnd {
    ended(ToldState::Skipped, why.into())
}

pub(super) fn failed(why: impl Into<String>) -> ToldEnd {
    ended(ToldState::Failed, why.into())
}

const fn ended(state: ToldState, why: String) -> ToldEnd {
    ToldEnd { state, due_at: None, tries: 0, remote_id: None, why: Some(why) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{DeliveryId, ToldId};
    use crate::record::{Fact, Told};

    fn row(state: ToldState, tries: i32) -> ToldRow {
        ToldRow {
            id: ToldId::of(&[b"x"]),
            ehr: "lab".parse().unwrap(),
            delivery: DeliveryId::parse("AAAAAAAAAAAAAAAA").unwrap(),
            link: None,
            fact: Fact::Sent,
            told: Told::Communication,
            at: UtcMillis(0),
            about: Vec::new(),
            state,
            due_at: None,
            lease_until: None,
            tries,
            over_at: None,
            remote_id: None,
            ended_at: None,
            why: None,
        }
    }

    #[test]
    fn what_may_pass_is_tried_for_two_days_and_what_stays_so_not_again() {
        let now = UtcMillis(1_000_000);
        let mut at = now;
        for tries in 1..=9 {
            let end = after_fault(&row(ToldState::Waiting, tries), &EhrError::TimedOut, at);
            assert_eq!(end.state, ToldState::Waiting);
            at = end.due_at.unwrap();
        }
        assert!((hours(40)..hours(50)).contains(&at.since(now)), "{:?}", at.since(now));
        assert_eq!(after_fault(&row(ToldState::Waiting, 10), &EhrError::TimedOut, at).state, ToldState::Failed);
        for error in [EhrError::Rejected { status: 422 }, EhrError::ForbiddenUrl { why: "elsewhere" }] {
            let end = after_fault(&row(ToldState::Waiting, 1), &error, now);
            assert_eq!((end.state, end.due_at), (ToldState::Failed, None));
        }
        let open = after_fault(&row(ToldState::Open, 40), &EhrError::TimedOut, now);
        assert_eq!((open.state, open.due_at), (ToldState::Open, Some(now.plus(hours(24)))));
    }

    #[test]
    fn an_ehr_that_asks_for_a_pause_gets_it() {
        let now = UtcMillis(0);
        let error = EhrError::Overloaded { retry_after: Some(minutes(3)) };
        assert_eq!(after_fault(&row(ToldState::Waiting, 1), &error, now).due_at, Some(now.plus(minutes(3))));
        assert_eq!(after_fault(&row(ToldState::Waiting, 4), &error, now).due_at, Some(now.plus(minutes(15))));
    }
}
