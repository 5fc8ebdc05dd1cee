//! Releasing: the attachment is fetched, sealed and stored, link and notice are committed.
//!
//! Job: take a delivery whose time has come, with others that their rules let share its link, read their reports and patient
//! once more, and make the way in.
//! Must stay true: plaintext is never written to disk; nothing is committed before size, hash and type were
//! judged; the link's secret exists outside the message only sealed in the notice's row, until hand-over; what keeps one
//! report back keeps no other back.
//! Must not know: how the notice leaves, how the link is opened.

mod asks;
mod commit;
mod contents;
mod health_link;
mod judge;
mod link;
mod read;
mod scan;
mod seal;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::audit::Actor;
use crate::base::{Bell, Clock, EhrId, UtcMillis, minutes, seconds};
use crate::blobs::BlobStore;
use crate::cell::Reader;
use crate::fhir::{EhrClient, EhrError, FaultClass};
use crate::keys::{Vault, VaultError};
use crate::paper::Letterhead;
use crate::policy::quiet::QuietEnd;
use crate::policy::{Available, ReviewReason, Terms};
use crate::record::{Card, LinkEvent};
use crate::sealing::Purpose;
use crate::store::{self, Delivery, Mode, Renewed, Store, StoreError};
use crate::whose::Demand;

pub use scan::{MalwareScan, Proved, Unscanned};

/// Deliveries in one turn of an EHR.
const BATCH: i64 = 1;
/// The waits after failed fetches; after the last one a person looks.
const BACK_OFF: [Duration; 8] =
    [seconds(2), seconds(10), seconds(30), minutes(2), minutes(5), minutes(15), minutes(30), minutes(60)];
/// The resource changed since the decision: resolving looks first, then this step again, as often as [`BACK_OFF`] has
/// waits and never sooner than this.
const AFTER_RESOLVE: Duration = seconds(10);
/// Reports that one link holds.
const SHARERS_MAX: i64 = 20;

/// What releasing must know of one EHR.
pub struct SourceEhr {
    pub client: Arc<EhrClient>,
    /// For what is written for its patients; `None` where it has no clinic.
    pub letterhead: Option<Letterhead>,
    /// What an attachment must say of its patient.
    pub identity: Demand,
    /// From this birthday on its patients have no guardians.
    pub adult_at_years: u16,
    /// The clinic's zone.
    pub zone: chrono_tz::Tz,
    /// Rung when one of its deliveries is due.
    pub called: Bell,
}

/// What a report whose link could be made does for others that may join it.
#[derive(Clone, Copy)]
pub struct Company {
    /// How long it waits for them; what is slower leaves apart.
    pub wait: Duration,
    /// What the files of all may take of a browser's memory together; what is more leaves apart, and a file that is larger by
    /// itself alone.
    pub bytes_max: u64,
}

impl Default for Company {
    fn default() -> Self {
        Self { wait: minutes(2), bytes_max: 64 * 1024 * 1024 }
    }
}

/// The release step.
pub struct Release {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub blobs: BlobStore,
    /// Reads what strangers wrote.
    pub reader: Reader,
    pub malware: MalwareScan,
    pub ehrs: Vec<SourceEhr>,
    /// Turns that each EHR may have at the same time.
    pub turns_at_once: usize,
    /// The terms of a delivery that no rule gave any and a person releases.
    pub terms_by_hand: Terms,
    /// Not even a person's word sends a report without the check that the rules ask for, or by a channel that they forbid.
    pub available: Available,
    /// In shadow nothing is fetched, whatever was decided before.
    pub mode: Mode,
    pub company: Company,
    /// What stands before a health link's id in its URL.
    pub health_links_at: String,
    /// Rung when a notice is due.
    pub queued: Bell,
    /// Rung when a resource must be read again first.
    pub changed: Bell,
}

#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a key cannot be used: {0}")]
    Vault(#[from] VaultError),
    /// Us.
    #[error("a part of the release step stopped unexpectedly")]
    Stopped,
}

/// Why a report does not leave now.
enum Hindrance {
    /// The report or patient changed: resolving must look first.
    Changed,
    Later {
        why: String,
    },
    /// No message may leave now: nothing is fetched before one may.
    Quiet {
        end: QuietEnd,
    },
    Review(ReviewReason),
    /// The file of this keyed hash may be another patient's; a person's release is about it alone.
    Doubt {
        why: ReviewReason,
        file: [u8; 32],
    },
    /// Whose the file is could not be looked at now.
    Unread {
        why: String,
        file: [u8; 32],
    },
    /// A person looks at another address than the one that was decided about: their release is about that one.
    Elsewhere {
        card: Box<Card>,
        contact_index: [u8; 32],
    },
}

/// Deliveries that are leased together: the one whose time has come, and those that may share its link.
#[derive(Clone)]
struct Leased {
    lead: Delivery,
    companions: Vec<Delivery>,
}

/// How the companions fared that do not leave with the lead.
struct StayedBehind {
    delivery: Delivery,
    why: Stays,
}

enum Stays {
    /// It leaves by itself when its own time comes.
    Apart,
    For(Hindrance),
}

impl Release {
    /// Releases what is due of `ehr`. Returns how much was done.
    ///
    /// # Errors
    /// [`ReleaseError`]; what was not done stays due.
    pub async fn turn_of(&self, ehr: &EhrId) -> Result<usize, ReleaseError> {
        if self.mode == Mode::Shadow {
            return Ok(0);
        }
        let (now, ehr) = (self.clock.now(), ehr.clone());
        let due = self.store.write(move |tx| lease_due(tx, &ehr, now)).await?;
        let count = due.len();
        turns::unless_passing(join_all(due.into_iter().map(|leased| self.release(leased))).await)?;
        Ok(count)
    }

    async fn release(&self, leased: Leased) -> Result<(), ReleaseError> {
        let renew = |leased: Leased| {
            let until = self.clock.now().plus(store::LEASE);
            self.store.write(move |tx| renew(tx, leased, until))
        };
        let attempt = store::while_kept(Box::pin(self.attempt(&leased)), leased.clone(), store::RENEW_EVERY, renew);
        let Some(((attempt, behind), leased)) = attempt.await? else { return Ok(()) };
        for stayed in behind {
            match self.leave_behind(stayed).await {
                Ok(()) => {}
                // The one that has its link ready does not wait for it.
                Err(ReleaseError::Store(error)) if error.is_passing() => {
                    tracing::warn!(%error, "a report that stays behind could not be given back; its lease ends");
                }
                Err(error) => return Err(error),
            }
        }
        match attempt {
            Ok(ready) => self.commit(leased.lead, *ready).await,
            Err(hindrance) => self.settle(leased.lead, hindrance).await,
        }
    }

    async fn leave_behind(&self, stayed: StayedBehind) -> Result<(), ReleaseError> {
        let StayedBehind { delivery, why } = stayed;
        match why {
            Stays::Apart => Ok(self.store.write(move |tx| store::give_back_companion(tx, &delivery)).await?),
            Stays::For(hindrance) => self.settle(delivery, hindrance).await,
        }
    }

    async fn settle(&self, delivery: Delivery, hindrance: Hindrance) -> Result<(), ReleaseError> {
        match hindrance {
            Hindrance::Changed => self.after_resolving(delivery).await,
            Hindrance::Quiet { end } => {
                let now = self.clock.now();
                Ok(self.store.write(move |tx| store::keep_until(tx, &delivery, end, now)).await?)
            }
            Hindrance::Review(why) => self.review(delivery, why).await,
            Hindrance::Doubt { why, file } => self.doubt(delivery, why, file).await,
            Hindrance::Unread { why, file } if wait_after(delivery.tries).is_none() => {
                self.doubt(delivery, ReviewReason::PaperUnread { why }, file).await
            }
            Hindrance::Later { why } | Hindrance::Unread { why, file: _ } => self.later(delivery, why).await,
            Hindrance::Elsewhere { card, contact_index } => self.elsewhere(delivery, &card, contact_index).await,
        }
    }

    async fn doubt(&self, delivery: Delivery, why: ReviewReason, file: [u8; 32]) -> Result<(), ReleaseError> {
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                let step = delivery.state.clone().step(LinkEvent::NeedsReview { why }, now)?;
                store::advance(tx, &delivery, &step, Actor::System, now)?;
                store::doubt_paper(tx, &delivery.id, &file)
            })
            .await?;
        Ok(())
    }

    async fn elsewhere(&self, delivery: Delivery, card: &Card, contact_index: [u8; 32]) -> Result<(), ReleaseError> {
        let now = self.clock.now();
        let card = self.vault.seal_record(Purpose::PatientCard, delivery.id.as_str(), &card.to_bytes());
        self.store
            .write(move |tx| {
                let changed = LinkEvent::NeedsReview { why: ReviewReason::ContactChanged };
                let step = delivery.state.clone().step(changed, now)?;
                store::advance(tx, &delivery, &step, Actor::System, now)?;
                store::set_card(tx, &delivery.id, &card, &contact_index)
            })
            .await?;
        Ok(())
    }

    async fn after_resolving(&self, delivery: Delivery) -> Result<(), ReleaseError> {
        let Some(wait) = wait_after(delivery.tries) else {
            return self.review(delivery, ReviewReason::Outdated).await;
        };
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                store::postpone_delivery(tx, &delivery, now.plus(wait.max(AFTER_RESOLVE)))?;
                store::read_again(tx, &delivery.source, now)
            })
            .await?;
        self.changed.ring();
        Ok(())
    }

    async fn later(&self, delivery: Delivery, why: String) -> Result<(), ReleaseError> {
        let Some(wait) = wait_after(delivery.tries) else {
            return self.review(delivery, ReviewReason::Attachment { why }).await;
        };
        tracing::warn!(delivery = %delivery.id, why, "a release must wait");
        let at = self.clock.now().plus(wait);
        self.store.write(move |tx| store::postpone_delivery(tx, &delivery, at)).await?;
        Ok(())
    }

    async fn review(&self, delivery: Delivery, why: ReviewReason) -> Result<(), ReleaseError> {
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                let step = delivery.state.clone().step(LinkEvent::NeedsReview { why }, now)?;
                store::advance(tx, &delivery, &step, Actor::System, now)
            })
            .await?;
        Ok(())
    }
}

/// Leases what is due, each with those that may share its link, in one commit: of several that are due together one worker
/// has them all.
fn lease_due(tx: &mut store::Tx, ehr: &EhrId, now: UtcMillis) -> Result<Vec<Leased>, StoreError> {
    let until = now.plus(store::LEASE);
    let due = store::lease_due_deliveries(tx, ehr, now, until, BATCH)?;
    due.into_iter()
        .map(|lead| {
            let companions = store::lease_companions(tx, &lead, now, until, SHARERS_MAX - 1)?;
            Ok(Leased { lead, companions })
        })
        .collect()
}

/// Lengthens the leases. A companion that somebody else moved is found out when it is committed.
fn renew(tx: &mut store::Tx, leased: Leased, until: UtcMillis) -> Result<Renewed<Leased>, StoreError> {
    for companion in &leased.companions {
        store::renew_delivery_lease(tx, companion.clone(), until)?;
    }
    Ok(match store::renew_delivery_lease(tx, leased.lead.clone(), until)? {
        Renewed::Kept(lead) => Renewed::Kept(Leased { lead, ..leased }),
        Renewed::Lost => Renewed::Lost,
    })
}

/// How long to wait after so many tries; `None` when a person should look.
fn wait_after(tries: i32) -> Option<Duration> {
    BACK_OFF.get(usize::try_from(tries.max(1) - 1).unwrap_or(usize::MAX)).copied()
}

fn failed(error: &EhrError) -> Hindrance {
    match (error.class(), error) {
        // The report names another version of its attachment by now, or none.
        (FaultClass::Permanent, EhrError::Gone | EhrError::NoAttachment) => {
            Hindrance::Later { why: "the EHR does not have the attachment".to_owned() }
        }
        (FaultClass::Permanent, _) => Hindrance::Review(ReviewReason::Attachment { why: error.to_string() }),
        (FaultClass::Transient | FaultClass::Settings, _) => Hindrance::Later { why: error.to_string() },
    }
}
