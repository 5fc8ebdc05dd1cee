//! Telling EHRs what became of their reports, and hearing what staff say there of what they were asked to do.
//!
//! Job: lease what is to be told, write it to the EHR, keep what came of it; look at our own Tasks until somebody ends them.
//! Must stay true: nothing here holds up a delivery: what changes one leaves a row and waits for no EHR; what failed for good is
//! shown to staff; a Task's word counts only where the clinic said so, as a clinician's record of a talk, and for nothing else.
//! Must not know: why something is told, how links work.

mod outcome;
mod task;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::audit::{Actor, AuditEvent};
use crate::base::{Bell, Clock, EhrId, FhirId, UtcMillis, minutes};
use crate::fhir::{Amended, EhrClient, EhrError, Telling, Word};
use crate::keys::Vault;
use crate::record::{Card, Channel, Fact, Told};
use crate::sealing::Purpose;
use crate::store::{self, Delivery, LEASE, Mode, Store, StoreError, ToldEnd, ToldRow, ToldState, Tx};

use outcome::{after_fault, closed, failed, skipped, written};

/// How often a Task that stands open is looked at.
const TASK_LOOK_EVERY: Duration = minutes(10);
/// What waits for its Communication is looked at again after this.
const AFTER_COMMUNICATION: Duration = minutes(1);

/// What write-back must know of one EHR.
pub struct ToldEhr {
    pub client: Arc<EhrClient>,
    pub tells: Vec<Told>,
    pub completed_talk: CompletedTalk,
}

/// What it means that a clinician completed the Task to talk with a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletedTalk {
    /// It is kept and shown; the talk is recorded here.
    Noted,
    /// It is the record of the talk.
    Counts,
}

/// The write-back step.
pub struct WriteBack {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub ehrs: Vec<ToldEhr>,
    /// In shadow nothing is written, whatever waited before.
    pub mode: Mode,
    pub renew_every: Duration,
    /// Rung when a delivery may leave.
    pub decided: Bell,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteBackError {
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known for telling: the delivery and whose report it is. Patient data: no `Debug`.
struct Subject {
    delivery: Delivery,
    /// `None`: the report could not be read.
    patient: Option<FhirId>,
    /// By which its message goes.
    channel: Channel,
}

/// What came of a turn: how the row goes on, and what a Task said.
struct Outcome {
    end: ToldEnd,
    said: Option<task::Ended>,
}

impl From<ToldEnd> for Outcome {
    fn from(end: ToldEnd) -> Self {
        Self { end, said: None }
    }
}

impl WriteBack {
    /// Says in the database what each EHR is told: whoever changes a delivery, commands too, looks there.
    ///
    /// # Errors
    /// [`WriteBackError::Store`].
    pub async fn begin(&self) -> Result<(), WriteBackError> {
        let now = self.clock.now();
        let of = |ehr: &ToldEhr| {
            let tells = match self.mode {
                Mode::Live => ehr.tells.clone(),
                Mode::Shadow => Vec::new(),
            };
            (ehr.client.id().clone(), tells)
        };
        let ehrs: Vec<(EhrId, Vec<Told>)> = self.ehrs.iter().map(of).collect();
        self.store
            .write(move |tx| ehrs.iter().try_for_each(|(ehr, tells)| store::set_tells(tx, ehr, tells, now)))
            .await?;
        Ok(())
    }

    /// One turn of each EHR. Returns how much was done.
    ///
    /// # Errors
    /// The first [`WriteBackError`]; what was not done stays due.
    pub async fn turn(&self) -> Result<usize, WriteBackError> {
        let turns = join_all(self.ehrs.iter().map(|ehr| self.turn_of(ehr.client.id()))).await;
        turns.into_iter().sum()
    }

    /// Tells `ehr` what is due first. Returns whether there was something.
    ///
    /// # Errors
    /// [`WriteBackError`]; what was not done stays due.
    pub async fn turn_of(&self, ehr: &EhrId) -> Result<usize, WriteBackError> {
        let Some(told) = self.ehrs.iter().find(|one| one.client.id() == ehr) else { return Ok(0) };
        if self.mode == Mode::Shadow {
            return Ok(0);
        }
        let (now, looked_at, leased) = (self.clock.now(), ehr.clone(), ehr.clone());
        if !self.store.read(move |conn| store::is_anything_to_tell(conn, &looked_at, now)).await? {
            return Ok(0);
        }
        let lease = move |tx: &mut Tx| store::lease_told(tx, &leased, now, now.plus(LEASE));
        let Some(row) = self.store.write(lease).await? else { return Ok(0) };
        let renew = |held| {
            let until = self.clock.now().plus(LEASE);
            self.store.write(move |tx| store::renew_told(tx, held, until))
        };
        let work = self.tell(told, row.clone());
        let Some((outcome, held)) = store::while_kept(work, row, self.renew_every, renew).await? else { return Ok(1) };
        match self.keep(told, held, outcome).await {
            // Somebody else has it by now; or the database is away, and the lease ends by itself: either way it is harmless.
            Err(WriteBackError::Store(error)) if error.is_passing() || matches!(error, StoreError::Moved) => {
                tracing::warn!(%error, "what came of telling an EHR was not kept; it is told again");
                Ok(0)
            }
            other => other.map(|()| 1),
        }
    }

    async fn tell(&self, ehr: &ToldEhr, row: ToldRow) -> Result<Outcome, WriteBackError> {
        let now = self.clock.now();
        if row.state == ToldState::Waiting && row.over_at.is_some() && row.tries == 1 {
            return Ok(skipped("it was settled before it was told").into());
        }
        let Some(subject) = self.subject(&row).await? else {
            return Ok(failed("whose report it is, is not kept any more").into());
        };
        let offers = match ehr.client.offers_of_late(now).await {
            Ok(offers) => offers,
            Err(error) => return Ok(after_fault(&row, &error, now).into()),
        };
        match (row.state, row.fact, Word::of(row.fact, row.told)) {
            (ToldState::Open, Fact::ToDo(to_do), Some(word)) if row.over_at.is_some() => {
                if !offers.updates(Told::Task) {
                    return Ok(closed("settled here; the EHR does not let its Task be changed").into());
                }
                let telling = telling(ehr, &row, &subject, word);
                let ended = ehr.client.end_task(&telling, to_do, row.remote_id.as_ref()).await;
                Ok(task::settled_here(&row, ended, now).into())
            }
            (ToldState::Open, Fact::ToDo(to_do), Some(word)) => {
                let telling = telling(ehr, &row, &subject, word);
                let looked = ehr.client.task(&telling, to_do, row.remote_id.as_ref()).await;
                Ok(task::looked_at(&row, to_do, looked, now))
            }
            (_, _, Some(_)) if !offers.creates(row.told) => Ok(skipped(NOT_OFFERED).into()),
            (_, _, Some(word)) => {
                let told = ehr.client.tell(&telling(ehr, &row, &subject, word)).await;
                Ok(created(&row, told, now).into())
            }
            (_, _, None) if !offers.updates(row.told) => {
                Ok(skipped("the EHR does not let what was written be changed").into())
            }
            (_, _, None) => self.tell_opened(ehr, &row, now).await.map(Outcome::from),
        }
    }

    /// The message's Communication is told when it was first opened.
    async fn tell_opened(&self, ehr: &ToldEhr, row: &ToldRow, now: UtcMillis) -> Result<ToldEnd, WriteBackError> {
        let Some(link) = row.link.clone() else { return Ok(skipped("it tells of no message")) };
        let message = self.store.read(move |conn| store::communication_of(conn, &link)).await?;
        let Some(message) = message else { return Ok(skipped("its message was not told")) };
        match message.state {
            ToldState::Waiting => {
                let again = now.plus(AFTER_COMMUNICATION);
                Ok(ToldEnd { due_at: Some(again), tries: 0, ..outcome::waiting(None) })
            }
            ToldState::Written => {
                let told = ehr.client.tell_received(&message.id, message.remote_id.as_ref(), row.at).await;
                Ok(match told {
                    Ok(Amended::Done | Amended::NotNeeded) => written(message.remote_id),
                    Ok(Amended::NotThere) => skipped("the message's Communication is gone at the EHR"),
                    Err(error) => after_fault(row, &error, now),
                })
            }
            ToldState::Open | ToldState::Closed | ToldState::Skipped | ToldState::Failed => {
                Ok(skipped("its message was not told"))
            }
        }
    }

    async fn subject(&self, row: &ToldRow) -> Result<Option<Subject>, WriteBackError> {
        let id = row.delivery.clone();
        let Some(delivery) = self.store.read(move |conn| store::delivery(conn, &id)).await? else { return Ok(None) };
        let opened = delivery
            .card_sealed
            .as_ref()
            .and_then(|sealed| self.vault.open_record(Purpose::PatientCard, delivery.id.as_str(), sealed).ok());
        let card = opened.and_then(|plain| Card::from_bytes(&plain));
        let channel = card.as_ref().and_then(Card::channel).unwrap_or(Channel::Email);
        let patient = card.map(|card| card.patient);
        let is_known = match row.told {
            Told::Task => true,
            Told::Communication | Told::AuditEvent | Told::Provenance => patient.is_some(),
        };
        Ok(is_known.then_some(Subject { delivery, patient, channel }))
    }

    async fn keep(&self, ehr: &ToldEhr, row: ToldRow, outcome: Outcome) -> Result<(), WriteBackError> {
        let now = self.clock.now();
        if let (ToldState::Failed, Some(why)) = (outcome.end.state, &outcome.end.why) {
            tracing::error!(ehr = %row.ehr, resource = row.told.type_name(), why, "an EHR could not be told; staff see it");
        }
        let (id, completed_talk) = (ehr.client.id().clone(), ehr.completed_talk);
        let went_on = self
            .store
            .write(move |tx| {
                let Some(delivery) = store::hold_delivery(tx, &row.delivery)? else { return Ok(false) };
                store::settle_told(tx, &row, &outcome.end, now)?;
                if let Some(event) = event_of(&row, &outcome.end) {
                    store::append(tx, &delivery.entry(now, Actor::System, event))?;
                }
                match &outcome.said {
                    Some(said) => task::keep(tx, &delivery, said, completed_talk, Actor::Ehr(id), now),
                    None => Ok(false),
                }
            })
            .await?;
        if went_on {
            self.decided.ring();
        }
        Ok(())
    }
}

const NOT_OFFERED: &str = "the EHR does not offer to take such resources";

fn telling<'a>(ehr: &'a ToldEhr, row: &'a ToldRow, subject: &'a Subject, word: Word) -> Telling<'a> {
    Telling {
        id: &row.id,
        word,
        patient: subject.patient.as_ref(),
        recipient: subject.delivery.recipient,
        channel: subject.channel,
        about: &row.about,
        at: row.at,
        base: ehr.client.base(),
    }
}

fn created(row: &ToldRow, told: Result<Option<FhirId>, EhrError>, now: UtcMillis) -> ToldEnd {
    match (told, row.fact) {
        (Ok(remote), Fact::ToDo(_)) => outcome::open(remote, now.plus(TASK_LOOK_EVERY)),
        (Ok(remote), Fact::Sent | Fact::Opened) => written(remote),
        (Err(error), Fact::Sent | Fact::Opened | Fact::ToDo(_)) => after_fault(row, &error, now),
    }
}

/// What the delivery's chain keeps of it.
fn event_of(row: &ToldRow, end: &ToldEnd) -> Option<AuditEvent> {
    let (resource, fact) = (row.told.type_name().to_owned(), row.fact.as_str().to_owned());
    match (row.state, end.state) {
        (ToldState::Waiting, ToldState::Written | ToldState::Open) => {
            Some(AuditEvent::EhrTold { resource, fact, id: row.id.clone() })
        }
        (_, ToldState::Failed) => {
            let why = end.why.clone().unwrap_or_default();
            Some(AuditEvent::EhrNotTold { resource, fact, why })
        }
        (
            ToldState::Waiting
            | ToldState::Written
            | ToldState::Open
            | ToldState::Closed
            | ToldState::Skipped
            | ToldState::Failed,
            ToldState::Waiting | ToldState::Written | ToldState::Open | ToldState::Closed | ToldState::Skipped,
        ) => None,
    }
}
