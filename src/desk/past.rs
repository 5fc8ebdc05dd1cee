//! Having an EHR's past read: begin it, stop it, let it go on, and see how far it is.

use std::time::Duration;

use serde::Serialize;

use super::{Desk, DeskError};
use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::{EhrId, ResourceType, UtcMillis};
use crate::store::{self, Conn, Past, PastAsked, PastRow, PastState, StoreError, Tx};

/// Which stretch of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub since: UtcMillis,
    pub until: UtcMillis,
}

/// What became of the wish to have the past read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastBegun {
    Begun(Stretch),
    /// Another one of its sort runs; it goes on.
    Runs,
    /// The service has not followed this EHR yet.
    NotFollowed,
    /// There is nothing in that stretch of time.
    Nothing,
}

/// How far a reading of the past is.
#[derive(Clone, Debug, Serialize)]
pub struct HeardPast {
    pub what: &'static str,
    /// running, stopped, done.
    pub state: &'static str,
    pub since: String,
    pub until: String,
    /// The resource type that is read now, or was last.
    pub kind: &'static str,
    /// How far that type is, where all patients are searched together.
    pub reached: Option<String>,
    pub percent: u64,
    /// Resources that the EHR showed.
    pub seen: u64,
    /// Of those, what is read because of it.
    pub heard: u64,
    pub asked_by: String,
    pub asked_at: String,
    pub ended_at: Option<String>,
    /// What the last step failed of.
    pub why: Option<String>,
    /// Questions about single patients that failed and were not asked again.
    pub left_out: u64,
}

impl Desk {
    /// Has the service read what `ehr` changed in `stretch`, a backfill no further than polling has come: what is newer is polling's
    /// own.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn begin_past(&self, ehr: &EhrId, what: Past, stretch: Stretch) -> Result<PastBegun, DeskError> {
        let (now, by, ehr) = (self.clock.now(), self.operator.clone(), ehr.clone());
        let begin = move |tx: &mut Tx| {
            let polled = store::polls(tx.conn())?.into_iter().filter(|row| row.ehr == ehr);
            let Some(seen_until) = polled.map(|row| row.watermark).min() else { return Ok(PastBegun::NotFollowed) };
            let until = match what {
                Past::Backfill => stretch.until.min(seen_until),
                Past::ListenAgain => stretch.until.min(now),
            };
            if until <= stretch.since {
                return Ok(PastBegun::Nothing);
            }
            let asked = PastAsked { ehr: ehr.clone(), what, since: stretch.since, until, by: by.clone() };
            if !store::begin_past(tx, &asked, now)? {
                return Ok(PastBegun::Runs);
            }
            let event = AuditEvent::PastAsked { what: what.as_str().to_owned(), since: stretch.since, until };
            store::append(tx, &entry(&ehr, Actor::Operator(by), event, now))?;
            Ok(PastBegun::Begun(Stretch { since: stretch.since, until }))
        };
        Ok(self.store.write(begin).await?)
    }

    /// Stops what runs. Returns whether there was any.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn stop_past(&self, ehr: &EhrId, what: Past) -> Result<bool, DeskError> {
        let (now, by, ehr) = (self.clock.now(), self.operator.clone(), ehr.clone());
        let stop = move |tx: &mut Tx| {
            let stopped = store::stop_past(tx, &ehr, what)?;
            if stopped {
                let event = AuditEvent::PastStopped { what: what.as_str().to_owned() };
                store::append(tx, &entry(&ehr, Actor::Operator(by), event, now))?;
            }
            Ok(stopped)
        };
        Ok(self.store.write(stop).await?)
    }

    /// Lets what was stopped go on from where it was. Returns whether there was any.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn resume_past(&self, ehr: &EhrId, what: Past) -> Result<bool, DeskError> {
        let (now, by, ehr) = (self.clock.now(), self.operator.clone(), ehr.clone());
        let resume = move |tx: &mut Tx| {
            let resumed = store::resume_past(tx, &ehr, what, now)?;
            if resumed {
                let event = AuditEvent::PastResumed { what: what.as_str().to_owned() };
                store::append(tx, &entry(&ehr, Actor::Operator(by), event, now))?;
            }
            Ok(resumed)
        };
        Ok(self.store.write(resume).await?)
    }

    /// How far what was asked for is.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn past(&self, ehr: &EhrId) -> Result<Vec<HeardPast>, DeskError> {
        let ehr = ehr.clone();
        Ok(self.store.read(move |conn| heard_past(conn, &ehr)).await?)
    }
}

fn entry(ehr: &EhrId, actor: Actor, event: AuditEvent, at: UtcMillis) -> Entry {
    Entry { chain: Chain::Ehr(ehr.clone()), at, clinic: None, actor, event }
}

pub(super) fn heard_past(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<HeardPast>, StoreError> {
    Ok(store::past_of(conn, ehr)?.into_iter().map(shown).collect())
}

fn shown(row: PastRow) -> HeardPast {
    let by_patient = row.reached.patient.is_some();
    HeardPast {
        what: row.what.as_str(),
        state: row.state.as_str(),
        since: row.since.to_rfc3339(),
        until: row.until.to_rfc3339(),
        kind: row.reached.kind.as_str(),
        reached: Some(row.reached.at.to_rfc3339()).filter(|_| !by_patient),
        percent: percent(&row),
        seen: row.seen,
        heard: row.heard,
        asked_at: row.asked_at.to_rfc3339(),
        ended_at: row.ended_at.map(UtcMillis::to_rfc3339),
        asked_by: row.asked_by,
        why: row.why,
        left_out: row.left_out,
    }
}

/// One type after the other, each half of the whole. Patients come in the order of their index, which is spread evenly.
fn percent(row: &PastRow) -> u64 {
    let whole = row.until.since(row.since);
    let of_kind = match row.reached.patient {
        Some([first, ..]) => u64::from(first) * 100 / 256,
        None if whole == Duration::ZERO => 0,
        None => {
            let done = row.reached.at.since(row.since).as_millis() * 100 / whole.as_millis();
            u64::try_from(done).unwrap_or(100).min(100)
        }
    };
    match (row.state, row.reached.kind) {
        (PastState::Done, _) => 100,
        (PastState::Running | PastState::Stopped, ResourceType::DiagnosticReport) => of_kind / 2,
        (PastState::Running | PastState::Stopped, ResourceType::DocumentReference) => 50 + of_kind / 2,
    }
}
