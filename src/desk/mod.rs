//! The staff's side: look, release, revoke, send again, pause; and what a restored database needs.
//!
//! Job: every deed of a named person, with its reason, in one transaction.
//! Must stay true: nothing here returns a usable link or an address; a deed that the step tables do not allow changes
//! nothing and says what would be possible.
//! Must not know: how the person was recognised, how the answer is printed.

mod again;
mod calls;
mod census;
mod challenges;
mod contacts;
mod dry_run;
mod heard;
mod holds;
mod incident;
mod looks;
mod notes;
mod operators;
mod past;
mod patients;
mod redecide;
mod refusals;
mod restore;
mod shown;
mod slips;
mod told;
mod verify;
mod versions;
mod wishes;
pub mod words;

use again::Again;

use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::{Clock, DeliveryId, LinkId, OperatorName, Reference, UtcMillis, random};
use crate::keys::Vault;
use crate::policy::life::WAKING_FLOOR_HOURS;
use crate::record::{HoldEnd, Link, LinkEvent, RevokedBy};
use crate::store::{self, Delivery, DeliveryFilter, Mode, NewDelivery, Pause, Store, StoreError, Tx};

pub use census::{Census, CodeSeen, SeenIn};
pub use challenges::{OwnQuestion, ToldCode};
pub use contacts::{ContactBrief, ContactChanged, ContactShown, ContactWord};
pub use dry_run::{DryRun, DryRunAsked, ReportRef};
pub use heard::{
    Followed, HeardEhr, HeardKind, HeardSubscription, HeardTopic, QuarantinedCalls, Subscribes, heard_ehrs,
};
pub use holds::{Beside, Waives};
pub use incident::{AffectedShown, IncidentRecord, IncidentRefusal, InterruptedIncidents, Preview};
pub use looks::{HeardLook, HeardPanel, LookedAt};
pub use notes::StaffNote;
pub use operators::{Duty, OperatorKey, Person, StaffRefusal, Standing, prove};
pub use past::{HeardPast, PastBegun, Stretch};
pub use patients::Asked;
pub use redecide::Otherwise;
pub use refusals::VersionRefusal;
pub use restore::{Restored, after_restore, end_links};
pub use shown::{Brief, Shown, ShownNotice, ShownOpening};
pub use slips::{Order, SLIPS_MAX, Slip};
pub use told::{HeardTold, TOLD_LIST_MAX, ToldAsked, ToldEntry};
pub use verify::{Verified, verify_audit};
pub use versions::{Approved, Judgement, RolledBack, Urgency, VersionEntry, VersionText, judge};
pub use wishes::Wishes;

/// Deliveries that one list shows at most.
pub const LIST_MAX: i64 = 1000;

/// One person's desk.
pub struct Desk {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub operator: OperatorName,
    /// What the configuration says now.
    pub mode: Mode,
}

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Staff.
    #[error("there is no delivery, link or reference '{asked}'; `chartseal deliveries list` shows what there is")]
    Unknown { asked: String },
    /// Staff.
    #[error("{what} cannot be {deed}; {remedy}")]
    NotPossible { what: &'static str, deed: &'static str, remedy: &'static str },
    /// Staff.
    #[error("this installation is in shadow mode: nothing leaves until [mode] send is \"live\"")]
    Shadow,
    #[error("the journal beside the keys cannot be read: {0}")]
    Journal(#[from] crate::keys::KeyError),
    /// Us.
    #[error("a part of the desk stopped unexpectedly")]
    Stopped,
    /// Staff.
    #[error("the report has changed since; look at its newer delivery '{newer}'")]
    Outdated { newer: DeliveryId },
    /// Staff.
    #[error(transparent)]
    Staff(#[from] StaffRefusal),
    /// Staff.
    #[error(transparent)]
    Rules(#[from] VersionRefusal),
    /// Staff.
    #[error("a preference is a word of the rules in small letters, such as phone_first")]
    NoPreference,
    /// Staff.
    #[error("this delivery has no address, or it is past its retention; take a newer one")]
    NoAddress,
    /// Staff.
    #[error("the address is {state} already")]
    ContactSo { state: &'static str },
    /// Staff.
    #[error(
        "whoever has the number asked for no more texts: only they can undo that, by texting START; reach the patient in another way"
    )]
    TheHoldersWish,
    /// Staff.
    #[error(
        "the law {rule} does not let this person end its wait; release it without --waive, and it leaves when the law lets it"
    )]
    NotWaivable { rule: String },
    /// Staff.
    #[error("the rules in force forbid it ('{rule}'): give it to the patient in another way, or change the rules")]
    ForbiddenNow { rule: String },
    /// Staff.
    #[error(
        "its rule counts the link's life from the report's own time, and fewer than {hours} waking hours of it would be left: no link can be made any more; call the patient or give it on paper, and revoke it if it still waits"
    )]
    TooShort { hours: u64 },
    /// Staff.
    #[error(
        "rules {rules} allow no channel in common, so no link can be sent: give it to the patient in another way, or change the rules"
    )]
    NoChannel { rules: String },
    /// Staff.
    #[error("no rule asks for a talk before this one leaves; release it, if it waits")]
    NoTalkNeeded,
    /// Staff.
    #[error("this one is in review; release it first, and record the talk then: it leaves after both")]
    ReleaseBeforeTalk,
    /// Staff.
    #[error(transparent)]
    RootsWord(crate::keys::KeyError),
    #[error(transparent)]
    Incident(#[from] IncidentRefusal),
    /// Staff.
    #[error("a question has 1 to 200 characters on one line, and an answer at least one letter or digit")]
    NoQuestion,
    /// Staff.
    #[error("a note has 1 to {most} characters, lines among them and nothing else that is not text")]
    NoNote { most: usize },
    /// Staff.
    #[error("its link asks for no code")]
    AsksNoCode,
    /// Staff.
    #[error(
        "its link is locked after too many wrong answers; `chartseal deliveries unlock` lets it take answers again, once"
    )]
    Locked,
    /// Staff.
    #[error("its link takes answers: there is nothing to unlock")]
    NotLocked,
    /// Staff.
    #[error("its link was unlocked before, and is no second time: make a new one with `chartseal deliveries resend`")]
    UnlockedBefore,
    /// Staff.
    #[error("there is no slip of this reference: read it off the foot of the slip once more")]
    NoSlip,
    /// Staff.
    #[error("this slip is for an order already; print another")]
    SlipBound,
    /// Staff.
    #[error("it has no link that stands open")]
    NotOut,
    /// Staff.
    #[error("nobody asks for a call about it: its link was opened, or somebody called")]
    NoCallWanted,
    /// Staff.
    #[error("the facts of this delivery are past their retention; it can no longer be sent again from here")]
    Forgotten,
}

impl Desk {
    /// Newest first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn list(&self, filter: DeliveryFilter) -> Result<Vec<Brief>, DeskError> {
        let rows = self
            .store
            .read(move |conn| {
                let mut briefs = Vec::new();
                for delivery in store::deliveries(conn, &filter)? {
                    briefs.push(calls::brief_of(conn, &delivery)?);
                }
                Ok(briefs)
            })
            .await?;
        Ok(rows)
    }

    /// Everything that is known of one delivery, found by its id, its link's id or the patient's reference.
    ///
    /// # Errors
    /// [`DeskError::Unknown`].
    pub async fn show(&self, asked: &str) -> Result<Shown, DeskError> {
        let delivery = self.find(asked).await?;
        let vault = self.vault.clone();
        Ok(self.store.read(move |conn| Shown::load(conn, &vault, delivery)).await?)
    }

    async fn find(&self, asked: &str) -> Result<Delivery, DeskError> {
        let text = asked.trim().to_owned();
        let found = self
            .store
            .read(move |conn| {
                if let Ok(id) = DeliveryId::parse(&text)
                    && let Some(delivery) = store::delivery(conn, &id)?
                {
                    return Ok(Some(delivery));
                }
                if let Ok(id) = LinkId::parse(&text)
                    && let Some(link) = store::link(conn, &id)?
                {
                    return store::delivery(conn, &link.delivery);
                }
                if let Ok(reference) = Reference::parse_typed(&text)
                    && let [link] = store::link_by_reference(conn, &reference)?.as_slice()
                {
                    return store::delivery(conn, &link.delivery);
                }
                Ok(None)
            })
            .await?;
        found.ok_or_else(|| DeskError::Unknown { asked: asked.to_owned() })
    }

    /// Refuses the link from this commit on, on every replica, and destroys the server's half of its key.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn revoke(&self, asked: &str, reason: Option<String>) -> Result<DeliveryId, DeskError> {
        let delivery = self.find(asked).await?;
        let (now, operator, id) = (self.clock.now(), self.operator.clone(), delivery.id.clone());
        let done = self.store.write(move |tx| revoke_held(tx, &delivery.id, reason, operator, now)).await?;
        done.map(|()| id).map_err(|state| not_possible("revoked", &state))
    }

    /// Makes a new link for the same report, sealed again from the EHR; the old one is refused at once.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn resend(&self, asked: &str, reason: Option<String>) -> Result<DeliveryId, DeskError> {
        self.resend_for(asked, reason, Actor::Operator(self.operator.clone())).await
    }

    pub(super) async fn resend_for(
        &self,
        asked: &str,
        reason: Option<String>,
        actor: Actor,
    ) -> Result<DeliveryId, DeskError> {
        let old = self.find(asked).await?;
        if self.mode == Mode::Shadow {
            return Err(DeskError::Shadow);
        }
        let facts = old.facts.clone().ok_or(DeskError::Forgotten)?;
        let again = self.decided_again(&old, facts).await?;
        let now = self.clock.now();
        let id = DeliveryId::random(&mut random::system());
        let made = id.clone();
        let question = self.question_again(&old.id, &id).await?;
        let send = move |tx: &mut Tx| {
            let done = send_again(tx, &old.id, again, &made, reason, actor, now)?;
            if let (Ok(()), Some(question)) = (&done, &question) {
                store::set_question(tx, &made, question)?;
            }
            Ok(done)
        };
        let done = self.store.write(send).await?;
        match done {
            Ok(()) => Ok(id),
            Err(NotAgain::State(state)) => Err(not_possible("sent again", &state)),
            Err(NotAgain::Outdated { newer }) => Err(DeskError::Outdated { newer }),
            Err(NotAgain::TooShort) => Err(DeskError::TooShort { hours: WAKING_FLOOR_HOURS }),
        }
    }

    /// Stops all notices on every replica. Returns the pause that this one takes over from, if there was one; the audit
    /// keeps both.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn pause(&self, why: &str) -> Result<Pause, DeskError> {
        let (now, by, why) = (self.clock.now(), self.operator.clone(), why.to_owned());
        let before = self
            .store
            .write(move |tx| {
                let before = store::pause(tx, &why, now, by.as_str())?;
                store::append(tx, &installation(now, by, AuditEvent::Paused { why }))?;
                Ok(before)
            })
            .await?;
        Ok(before)
    }

    /// Returns the pause that was ended, if there was one.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn resume(&self) -> Result<Pause, DeskError> {
        let (now, by) = (self.clock.now(), self.operator.clone());
        let before = self
            .store
            .write(move |tx| {
                let before = store::resume(tx, now, by.as_str())?;
                if before != Pause::Running {
                    store::append(tx, &installation(now, by.clone(), AuditEvent::Resumed))?;
                }
                Ok(before)
            })
            .await?;
        Ok(before)
    }
}

fn installation(at: UtcMillis, by: OperatorName, event: AuditEvent) -> Entry {
    Entry { chain: Chain::Installation, at, clinic: None, actor: Actor::Operator(by), event }
}

/// The state in which a deed is not possible.
type Impossible = Link;

/// Why a report cannot be sent again.
enum NotAgain {
    State(Impossible),
    /// The EHR would no longer give what this delivery held.
    Outdated {
        newer: DeliveryId,
    },
    TooShort,
}

fn revoke_held(
    tx: &mut Tx,
    id: &DeliveryId,
    reason: Option<String>,
    operator: OperatorName,
    now: UtcMillis,
) -> Result<Result<(), Impossible>, StoreError> {
    let delivery = held(tx, id)?;
    let by = RevokedBy::Operator(operator.clone());
    let Ok(step) = delivery.state.clone().step(LinkEvent::Revoke { by: by.clone() }, now) else {
        return Ok(Err(delivery.state));
    };
    let actor = Actor::Operator(operator);
    store::append(tx, &delivery.entry(now, actor.clone(), AuditEvent::RevokeAsked { by, reason }))?;
    store::advance(tx, &delivery, &step, actor, now).map(Ok)
}

fn held(tx: &mut Tx, id: &DeliveryId) -> Result<Delivery, StoreError> {
    store::hold_delivery(tx, id)?.ok_or(StoreError::Moved)
}

fn send_again(
    tx: &mut Tx,
    old: &DeliveryId,
    again: Again,
    id: &DeliveryId,
    reason: Option<String>,
    actor: Actor,
    now: UtcMillis,
) -> Result<Result<(), NotAgain>, StoreError> {
    let old = held(tx, old)?;
    match &old.state {
        Link::Live { .. }
        | Link::Spent
        | Link::Expired
        | Link::Revoked { by: RevokedBy::Operator(_) | RevokedBy::Restore | RevokedBy::Recipient } => {}
        Link::Recorded
        | Link::Held { .. }
        | Link::Review { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => return Ok(Err(NotAgain::State(old.state))),
    }
    let newest = store::standing_delivery_of(tx.conn(), &old.source)?;
    if let Some(newer) = newest.filter(|newest| newest.content_hash != old.content_hash) {
        return Ok(Err(NotAgain::Outdated { newer: newer.id }));
    }
    if again.is_too_late(now) {
        return Ok(Err(NotAgain::TooShort));
    }
    let new = NewDelivery {
        id: id.clone(),
        source: old.source.clone(),
        ehr: old.ehr.clone(),
        clinic: old.clinic.clone(),
        report_version: old.report_version.clone(),
        content_hash: old.content_hash,
        recipient: old.recipient,
        addressee: old.addressee,
        issue_no: store::next_issue_no(tx.conn(), &old.source, &old.report_version)?,
        mode: Mode::Live,
        kind: old.kind,
        state: again.first_state(&old, now),
        decision: again.decision,
        facts: again.facts,
        trace: again.trace,
        rules_hash: again.rules_hash,
        // The release step reads the patient again and chooses the address then; a minor's must be the one that was looked at.
        card_sealed: None,
        contact_index: old.contact_index,
        patient_index: old.patient_index,
        replaces: Some(old.id.clone()),
        group_index: old.group_index,
    };
    let event = AuditEvent::ReleaseAsked { reason };
    let (chain, clinic) = (Chain::Delivery(id.clone()), old.clinic.clone());
    store::insert_delivery(tx, &new, &Entry { chain, at: now, clinic, actor: actor.clone(), event })?;
    if let Some(paper) = store::paper_of(tx.conn(), &old.id)? {
        store::insert_paper(tx, id, &paper)?;
    }
    if let Some(link) = &old.link {
        store::answer_wish(tx, link, now)?;
    }
    let sent = AuditEvent::SentAgainAs { delivery: id.clone() };
    store::append(tx, &old.entry(now, actor.clone(), sent))?;
    if let Link::Live { .. } = old.state {
        let step = old.state.clone().step(LinkEvent::Supersede { by: id.clone() }, now)?;
        store::advance(tx, &old, &step, actor, now)?;
    }
    Ok(Ok(()))
}

fn not_possible(deed: &'static str, link: &Link) -> DeskError {
    let remedy = match link {
        Link::Recorded => "it is about to be released by itself",
        Link::Held { until: HoldEnd::Talk { .. }, .. } => {
            "a clinician talks with the patient first, and records it with `chartseal deliveries discussed`"
        }
        Link::Held { .. } | Link::Review { .. } => "release it, or revoke it",
        Link::Live { .. } => "revoke it, or send it again",
        Link::Suspended { .. } => {
            "it comes back by itself when the EHR shows again what it was sent for; revoke it to end it"
        }
        Link::Blocked => "the rules forbid it; change the rules and let the EHR announce the report again",
        Link::Spent | Link::Expired => "it has ended; send it again to make a new link",
        Link::Revoked { .. } => "it has ended; a new version of the report makes a new delivery",
        Link::Recalled => "the EHR took the report back",
        Link::Superseded { .. } => "a newer delivery took its place; look at that one",
    };
    DeskError::NotPossible { what: in_words(link), deed, remedy }
}

const fn in_words(link: &Link) -> &'static str {
    match link {
        Link::Recorded => "a delivery that has not left yet",
        Link::Held { .. } => "a delivery on hold",
        Link::Review { .. } => "a delivery in review",
        Link::Live { .. } => "a live delivery",
        Link::Suspended { .. } => "a suspended delivery",
        Link::Blocked => "a blocked delivery",
        Link::Spent => "a spent delivery",
        Link::Expired => "an expired delivery",
        Link::Revoked { .. } => "a revoked delivery",
        Link::Recalled => "a recalled delivery",
        Link::Superseded { .. } => "a superseded delivery",
    }
}
