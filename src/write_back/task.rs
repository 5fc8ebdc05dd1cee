//! What staff say at the EHR of what they were asked to do.

use std::time::Duration;

use super::outcome::{after_fault, closed, open};
use super::{CompletedTalk, Outcome, TASK_LOOK_EVERY};
use crate::audit::{Actor, AuditEvent};
use crate::base::{FhirId, UtcMillis, hours};
use crate::fhir::{Amended, EhrError, TaskEnd, TaskSaid, TaskStands, TaskState};
use crate::record::{LinkEvent, ToDo};
use crate::store::{self, Delivery, StoreError, ToldEnd, ToldRow, Tx};

/// A Task that nobody ended is no longer looked at after this.
const LOOKED_AT_MAX: Duration = hours(30 * 24);

/// How a Task ended at the EHR.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    to_do: ToDo,
    how: How,
    /// The practitioner who has it, as the EHR names them.
    by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Completed,
    /// Completed by a practitioner, as it was written, and nothing says that there was no talk.
    Discussed,
    TurnedDown,
    EnteredInError,
    Gone,
}

impl How {
    const fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Discussed => "discussed",
            Self::TurnedDown => "turned down",
            Self::EnteredInError => "entered in error",
            Self::Gone => "gone",
        }
    }
}

/// What a look at an open Task came to.
pub(super) fn looked_at(
    row: &ToldRow,
    to_do: ToDo,
    looked: Result<Option<(FhirId, TaskSaid)>, EhrError>,
    now: UtcMillis,
) -> Outcome {
    let (remote, said) = match looked {
        Ok(Some((remote, said))) => (Some(remote), said),
        Ok(None) => return ended(to_do, How::Gone, None),
        Err(error) => return after_fault(row, &error, now).into(),
    };
    match said.state {
        TaskState::Open | TaskState::Unclear if now.since(row.at) > LOOKED_AT_MAX => {
            closed("nobody ended it within 30 days").into()
        }
        TaskState::Open | TaskState::Unclear => open(remote, now.plus(TASK_LOOK_EVERY)).into(),
        TaskState::Completed => {
            let how = if is_record_of_a_talk(to_do, &said) { How::Discussed } else { How::Completed };
            ended(to_do, how, said.practitioner)
        }
        TaskState::TurnedDown => ended(to_do, How::TurnedDown, said.practitioner),
        TaskState::EnteredInError => ended(to_do, How::EnteredInError, said.practitioner),
    }
}

fn is_record_of_a_talk(to_do: ToDo, said: &TaskSaid) -> bool {
    let says_nothing_else = match said.end {
        TaskEnd::Unsaid | TaskEnd::Discussed => true,
        TaskEnd::Other => false,
    };
    to_do == ToDo::Talk && said.practitioner.is_some() && said.stands == TaskStands::AsWritten && says_nothing_else
}

fn ended(to_do: ToDo, how: How, by: Option<String>) -> Outcome {
    let by_whom = by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    Outcome { end: closed(format!("at the EHR: {}{by_whom}", how.word())), said: Some(Ended { to_do, how, by }) }
}

/// What came of ending a Task of which nothing is left to do.
pub(super) fn settled_here(row: &ToldRow, ended: Result<Amended, EhrError>, now: UtcMillis) -> ToldEnd {
    match ended {
        Ok(Amended::Done) => closed("settled here, and ended at the EHR"),
        Ok(Amended::NotNeeded) => closed("settled here; it was ended at the EHR before"),
        Ok(Amended::NotThere) => closed("settled here; it is gone at the EHR"),
        Err(error) => after_fault(row, &error, now),
    }
}

/// Keeps what was said. A talk that counts lets the delivery go on, as if the clinician had recorded it here; returns whether
/// it did.
pub(super) fn keep(
    tx: &mut Tx,
    delivery: &Delivery,
    said: &Ended,
    completed_talk: CompletedTalk,
    ehr: Actor,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let event = AuditEvent::TaskEnded {
        to_do: said.to_do.as_str().to_owned(),
        how: said.how.word().to_owned(),
        by: said.by.clone(),
    };
    store::append(tx, &delivery.entry(now, ehr.clone(), event))?;
    match (completed_talk, said.how) {
        (CompletedTalk::Counts, How::Discussed) => {}
        (CompletedTalk::Counts, How::Completed | How::TurnedDown | How::EnteredInError | How::Gone)
        | (CompletedTalk::Noted, _) => return Ok(false),
    }
    let Ok(step) = delivery.state.clone().step(LinkEvent::Discussed, now) else { return Ok(false) };
    let reason = said.by.as_ref().map(|by| format!("{by} completed the Task at the EHR"));
    store::append(tx, &delivery.entry(now, ehr.clone(), AuditEvent::Discussed { reason }))?;
    store::advance(tx, delivery, &step, ehr, now)?;
    Ok(true)
}
