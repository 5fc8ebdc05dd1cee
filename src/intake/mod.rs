//! Hearing that something changed: hooks, polls, and the subscriptions that make an EHR send hooks.
//!
//! Job: turn what an EHR says into resources that are due to be read; tell staff whether that works (`examine`).
//! Must stay true: a hook grants nothing but "please look"; its bytes are committed, sealed, before it is
//! acknowledged; polling never stops beside working hooks; a watermark moves only after a whole walk.
//! Must not know: what a report means, rules, patients.

mod authentic;
mod by_date;
mod count;
mod examine;
mod extract;
mod granted;
mod hearing;
mod history;
mod hook;
mod listing;
mod look;
mod missing;
mod past;
mod patients;
mod poll;
mod subscribe;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Bell, Clock, EhrId, ResourceType, SecretText, UtcMillis, minutes};
use crate::fhir::EhrClient;
use crate::keys::Vault;
use crate::record::Told;
use crate::store::{Past, Store, StoreError};

pub use authentic::{Authentic, HOOK_HEADER, HookAuth, HookHeaders, Proving, SignatureForm};
pub use count::Numbering;
pub use examine::{Finding, FirstLook, TRIAL_WAIT_MAX, TrialAsked, Verdict, first_look, patient_address, text_address};
pub use hook::{HookBody, HookCall, Named};
pub use listing::{Panel, PanelList};
pub use topic::TopicSettings;

/// A step holds an event or a look at a subscription at most so long.
const LEASE: Duration = minutes(2);

/// What intake must know of one EHR.
pub struct HeardEhr {
    pub client: Arc<EhrClient>,
    pub hook: Option<Hook>,
    pub poll_every: Duration,
    /// The first watermark: nothing older is ever asked for.
    pub start_from: StartFrom,
    pub seeks: Seeks,
    /// How often the reports of late are searched by their own date; zero: never.
    pub by_date_every: Duration,
    /// What is older is never sent by itself, and so never searched by its date.
    pub report_age_max: Duration,
    /// What it is told of deliveries: for whoever asks whether it lets itself be told.
    pub tells: Vec<Told>,
}

/// Over whom an EHR lets itself be searched.
pub enum Seeks {
    Everybody,
    /// One patient at a time.
    Patients(Panel),
}

/// How an EHR reaches us.
pub struct Hook {
    pub auth: HookAuth,
    /// `…/fhir/hook/{ehr}`, as the EHR sees it.
    pub endpoint: url::Url,
    pub subscribe: Subscribe,
    pub numbering: Numbering,
}

impl Hook {
    /// The secret to give to the EHR in Subscriptions of our own. One that signs was given to it by its staff.
    fn to_subscribe(&self) -> Option<&SecretText> {
        match (&self.subscribe, &self.auth) {
            (Subscribe::R4 | Subscribe::Topic(_), HookAuth::Secret(secret)) => Some(secret),
            (Subscribe::R4 | Subscribe::Topic(_) | Subscribe::Off, HookAuth::Signature { .. })
            | (Subscribe::Off, HookAuth::Secret(_)) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Subscribe {
    /// Create or find classic R4 Subscriptions.
    R4,
    /// Create or find one Subscription to a topic.
    Topic(TopicSettings),
    /// Somebody else made them.
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    Now,
    At(UtcMillis),
}

/// The intake step.
pub struct Intake {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) vault: Vault,
    pub(crate) ehrs: Vec<HeardEhr>,
    /// How often the lease of a poll is renewed while its search lasts.
    pub renew_every: Duration,
    /// Rung when a resource is due.
    pub(crate) due: Bell,
    /// Rung when an event was kept.
    pub(crate) kept: Bell,
}

#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the intake key cannot be used: {0}")]
    Key(#[from] crate::keys::VaultError),
    /// Us.
    #[error("a part of the intake step stopped unexpectedly")]
    Stopped,
}

impl IntakeError {
    /// Whether the database is gone, so that nothing else can be done either.
    pub(crate) const fn is_outage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unavailable { .. }))
    }
}

impl Intake {
    #[must_use]
    pub fn new(store: Store, clock: Clock, vault: Vault, ehrs: Vec<HeardEhr>, kept: Bell, due: Bell) -> Self {
        Self { store, clock, vault, ehrs, renew_every: crate::store::RENEW_EVERY, due, kept }
    }

    /// Starts the polls and subscriptions of EHRs that are new: the past is not asked for.
    ///
    /// # Errors
    /// [`IntakeError::Store`].
    pub async fn begin(&self) -> Result<(), IntakeError> {
        let now = self.clock.now();
        for ehr in &self.ehrs {
            let id = ehr.client.id().clone();
            let watermark = match ehr.start_from {
                StartFrom::Now => now,
                StartFrom::At(at) => at,
            };
            let classic = |hook: &Hook| matches!(hook.subscribe, Subscribe::R4) && hook.to_subscribe().is_some();
            let subscribes = ehr.hook.as_ref().is_some_and(classic);
            // Where others made a subscription to a topic, its events are counted all the same.
            let counts = ehr.hook.as_ref().is_some_and(|hook| !matches!(hook.subscribe, Subscribe::R4));
            let looks = look::begun_at(ehr, now);
            self.store
                .write(move |tx| {
                    look::begin(tx, &id, &looks, watermark)?;
                    for kind in ResourceType::ALL {
                        crate::store::ensure_poll(tx, &id, kind, watermark, now)?;
                        if subscribes {
                            crate::store::ensure_subscription_row(tx, &id, kind, now)?;
                        }
                    }
                    if counts {
                        crate::store::ensure_topic(tx, &id, now)?;
                    }
                    crate::store::take_up_what_was_left(tx, &id, now)?;
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }

    /// Looks into the events that were kept. Returns how many.
    ///
    /// # Errors
    /// [`IntakeError`]; what was not done stays due.
    pub async fn turn(&self) -> Result<usize, IntakeError> {
        self.extract_turn().await
    }

    /// The EHRs that are watched: each has turns of its own, so that one that hangs delays no other, and no hook.
    #[must_use]
    pub fn watched(&self) -> Vec<EhrId> {
        self.ehrs.iter().map(|ehr| ehr.client.id().clone()).collect()
    }

    /// Looks after the subscriptions of `ehr` and polls what is due. Returns how much was done.
    ///
    /// # Errors
    /// The first [`IntakeError`], after everything else was done all the same; what was not done stays due.
    pub async fn watch_turn(&self, ehr: &EhrId) -> Result<usize, IntakeError> {
        let Some(ehr) = self.ehr(ehr) else { return Ok(0) };
        let mut turns = Vec::new();
        for kind in ResourceType::ALL {
            turns.push(self.subscribe_turn(ehr, kind).await);
        }
        turns.push(self.topic_turn(ehr).await);
        turns.push(self.missing_turn(ehr).await);
        turns.push(self.listing_turn(ehr).await);
        for kind in ResourceType::ALL {
            // Without the database each further turn would only wait for it in vain.
            if turns.iter().any(|turn| turn.as_ref().is_err_and(IntakeError::is_outage)) {
                break;
            }
            turns.push(self.poll_turn(ehr, kind).await);
            turns.push(self.history_turn(ehr, kind).await);
        }
        turns.push(self.note_granted(ehr).await.map(|()| 0));
        turns.into_iter().sum()
    }

    /// Looks at `ehr` in the ways that nobody waits for: what is of late by its own date, and what a person asked to have read of the
    /// past. Returns how much was done.
    ///
    /// # Errors
    /// The first [`IntakeError`], after everything else was done all the same; what was not done stays due.
    pub async fn look_back_turn(&self, ehr: &EhrId) -> Result<usize, IntakeError> {
        let Some(ehr) = self.ehr(ehr) else { return Ok(0) };
        let mut turns = Vec::new();
        for kind in ResourceType::ALL {
            turns.push(self.by_date_turn(ehr, kind).await);
        }
        for what in Past::ALL {
            if turns.iter().any(|turn| turn.as_ref().is_err_and(IntakeError::is_outage)) {
                break;
            }
            turns.push(self.past_turn(ehr, what).await);
        }
        turns.into_iter().sum()
    }

    fn ehr(&self, id: &EhrId) -> Option<&HeardEhr> {
        self.ehrs.iter().find(|ehr| ehr.client.id() == id)
    }
}
