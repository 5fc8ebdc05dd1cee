//! Releasing: the attachment is fetched, sealed and stored, link and notice are committed.
//!
//! Job: take a delivery whose time has come, read its report and patient once more, and make the way in.
//! Must stay true: plaintext is never written to disk; nothing is committed before size, hash and type were
//! judged; the link's secret exists outside the message only sealed in the notice's row, until hand-over.
//! Must not know: how the notice leaves, how the link is opened.

mod seal;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::audit::{Actor, AuditEvent};
use crate::base::{Bell, Clock, Key256, LinkId, LinkSecret, NoticeId, UtcMillis, minutes, random, seconds};
use crate::blobs::BlobStore;
use crate::fhir::{
    AttachmentRef, ContactChoice, EhrClient, EhrError, FaultClass, PatientAnswer, ReadAnswer, Report, Subject,
    choose_email,
};
use crate::keys::{KeyName, Vault, VaultError};
use crate::policy::facts::{Age, MINOR_BELOW_YEARS};
use crate::policy::life::WAKING_FLOOR_HOURS;
use crate::policy::{Available, Channel, Decision, ReportStatus, ReviewReason, Terms};
use crate::record::{Card, Link, LinkEvent, NOTICE_WAIT_MAX, NoticeKind, OPENING_LEASE_MAX};
use crate::sealing::{AuthKey, ContentKey, Purpose, ReceiptKey};
use crate::store::{self, Delivery, DeliveryKind, Mode, NewLink, NewNotice, SourceRow, Store, StoreError, Tx};

use seal::Sealed;

/// Deliveries released at the same time.
const BATCH: i64 = 1;
/// The waits after failed fetches; after the last one a person looks.
const BACK_OFF: [Duration; 8] =
    [seconds(2), seconds(10), seconds(30), minutes(2), minutes(5), minutes(15), minutes(30), minutes(60)];
/// The resource changed since the decision: resolving looks first, then this step again, as often as [`BACK_OFF`] has
/// waits and never sooner than this.
const AFTER_RESOLVE: Duration = seconds(10);

/// What releasing must know of one EHR.
pub struct SourceEhr {
    pub client: Arc<EhrClient>,
}

/// The release step.
pub struct Release {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub blobs: BlobStore,
    pub ehrs: Vec<SourceEhr>,
    /// The terms of a delivery that no rule gave any and a person releases.
    pub terms_by_hand: Terms,
    /// Not even a person's word sends a report without the check that the rules ask for, or by a channel that they forbid.
    pub available: Available,
    /// In shadow nothing is fetched, whatever was decided before.
    pub mode: Mode,
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

/// How one attempt to release went.
enum Attempt {
    Ready(Box<Ready>),
    /// The report or patient changed: resolving must look first.
    Changed,
    Later {
        why: String,
    },
    /// No message may leave now: nothing is fetched before one may.
    Quiet {
        until: UtcMillis,
    },
    Review(ReviewReason),
    /// A person looks at another address than the one that was decided about: their release is about that one.
    Elsewhere {
        card: Card,
        contact_index: [u8; 32],
    },
}

/// Everything that the commit needs.
struct Ready {
    card: Card,
    contact_index: [u8; 32],
    terms: Terms,
    link: NewLink,
    notice: NewNotice,
    fingerprints: Vec<(KeyName, String)>,
    bytes: u64,
}

impl Release {
    /// Releases what is due. Returns how much was done.
    ///
    /// # Errors
    /// [`ReleaseError`]; what was not done stays due.
    pub async fn turn(&self) -> Result<usize, ReleaseError> {
        if self.mode == Mode::Shadow {
            return Ok(0);
        }
        let now = self.clock.now();
        let due =
            self.store.write(move |tx| store::lease_due_deliveries(tx, now, now.plus(store::LEASE), BATCH)).await?;
        let count = due.len();
        for outcome in join_all(due.into_iter().map(|delivery| self.release(delivery))).await {
            match outcome {
                Ok(()) => {}
                Err(ReleaseError::Store(error)) if error.is_passing() => {
                    tracing::warn!(%error, "a release could not be committed; it is tried again");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    async fn release(&self, delivery: Delivery) -> Result<(), ReleaseError> {
        if let Link::Held { .. } = delivery.state {
            return self.end_hold(delivery).await;
        }
        let renew = |leased| {
            let until = self.clock.now().plus(store::LEASE);
            self.store.write(move |tx| store::renew_delivery_lease(tx, leased, until))
        };
        let held = delivery.clone();
        let attempt = store::while_kept(Box::pin(self.attempt(&delivery)), held, store::RENEW_EVERY, renew).await?;
        let Some((attempt, delivery)) = attempt else { return Ok(()) };
        match attempt {
            Attempt::Ready(ready) => self.commit(delivery, *ready).await,
            Attempt::Changed => self.after_resolving(delivery).await,
            Attempt::Later { why } => self.later(delivery, why).await,
            Attempt::Quiet { until } => {
                self.store.write(move |tx| store::postpone_delivery(tx, &delivery, until)).await?;
                Ok(())
            }
            Attempt::Review(why) => self.review(delivery, why).await,
            Attempt::Elsewhere { card, contact_index } => self.elsewhere(delivery, &card, contact_index).await,
        }
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

    async fn end_hold(&self, delivery: Delivery) -> Result<(), ReleaseError> {
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                let step = delivery.state.clone().step(LinkEvent::HoldEnded, now)?;
                store::advance(tx, &delivery, &step, Actor::System, now)
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

    async fn attempt(&self, delivery: &Delivery) -> Result<Attempt, ReleaseError> {
        let terms = match &delivery.decision {
            Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms.clone(),
            Decision::Review { why: why @ ReviewReason::NoCommonChannel { .. }, terms: None } => {
                return Ok(Attempt::Review(why.clone()));
            }
            Decision::Review { terms: None, .. } | Decision::Block { .. } => self.terms_by_hand.clone(),
        };
        if terms.channels.is_empty() {
            let rules = "that were in force".to_owned();
            return Ok(Attempt::Review(ReviewReason::NoCommonChannel { rules }));
        }
        let terms = match (Decision::Send { terms }).within(&self.available) {
            Decision::Send { terms } => terms,
            Decision::Review { why, .. } => return Ok(Attempt::Review(why)),
            Decision::Block { rule } => return Ok(Attempt::Review(ReviewReason::RuleAsks { rule })),
        };
        let now = self.clock.now();
        if let Some(until) = terms.quiet.as_ref().and_then(|quiet| quiet.wait_until(now)) {
            return Ok(Attempt::Quiet { until });
        }
        let issued = delivery.facts.as_ref().and_then(|facts| facts.issued);
        let Some(life_seconds) = terms.life_seconds(issued, now) else {
            return Ok(Attempt::Review(ReviewReason::TooShort { hours: WAKING_FLOOR_HOURS }));
        };
        let terms = Terms { expiry_seconds: life_seconds, ..terms };
        let source_id = delivery.source.clone();
        let source = self.store.read(move |conn| store::source(conn, &source_id)).await?;
        let Some(source) = source else {
            return Ok(Attempt::Review(ReviewReason::Unreadable {
                why: "its resource is no longer followed".to_owned(),
            }));
        };
        let Some(ehr) = self.ehrs.iter().find(|ehr| *ehr.client.id() == delivery.ehr) else {
            return Ok(Attempt::Review(ReviewReason::Unreadable { why: "its EHR is no longer configured".to_owned() }));
        };
        let report = match self.reread(ehr, &source, delivery).await {
            Ok(report) => report,
            Err(attempt) => return Ok(attempt),
        };
        let (card, contact_index) = match self.choose_contact(ehr, &report).await {
            Ok(chosen) => chosen,
            Err(attempt) => return Ok(attempt),
        };
        if is_anothers_address(delivery, &contact_index) {
            return Ok(Attempt::Elsewhere { card, contact_index });
        }
        let Some(attachment) = report.preferred_attachment() else {
            return Ok(Attempt::Review(ReviewReason::Attachment { why: "the report carries none".to_owned() }));
        };
        self.make_link(ehr, delivery, attachment, card, contact_index, terms).await
    }

    /// The report as it is now, if it still says what was decided about.
    async fn reread(&self, ehr: &SourceEhr, source: &SourceRow, delivery: &Delivery) -> Result<Report, Attempt> {
        match ehr.client.read(source.key.kind, &source.key.id).await {
            Ok(ReadAnswer::Report { report, .. }) => {
                let same = report.content_hash == delivery.content_hash
                    && (report.version.is_none() || report.version.as_ref() == Some(&delivery.report_version));
                let unreadable_before =
                    matches!(delivery.state, Link::Recorded) && delivery.content_hash == store::NOTHING_READ;
                // Resolving has concluded about what the EHR shows now, and left this delivery for what it showed before:
                // looking again would find the same for ever.
                let outdated =
                    report.content_hash != delivery.content_hash && source.content_hash == Some(report.content_hash);
                match report.status {
                    ReportStatus::Final
                    | ReportStatus::Amended
                    | ReportStatus::Corrected
                    | ReportStatus::Appended
                    | ReportStatus::Unknown
                        if same || unreadable_before =>
                    {
                        Ok(*report)
                    }
                    ReportStatus::Final
                    | ReportStatus::Amended
                    | ReportStatus::Corrected
                    | ReportStatus::Appended
                    | ReportStatus::Unknown
                        if outdated =>
                    {
                        Err(Attempt::Review(ReviewReason::Outdated))
                    }
                    ReportStatus::Final
                    | ReportStatus::Amended
                    | ReportStatus::Corrected
                    | ReportStatus::Appended
                    | ReportStatus::Unknown
                    | ReportStatus::Unfinished
                    | ReportStatus::Superseded
                    | ReportStatus::Cancelled
                    | ReportStatus::EnteredInError => Err(Attempt::Changed),
                }
            }
            Ok(ReadAnswer::Gone { .. }) => Err(Attempt::Changed),
            Ok(ReadAnswer::Unreadable { why, .. }) => {
                Err(Attempt::Review(ReviewReason::Unreadable { why: why.to_string() }))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    async fn choose_contact(&self, ehr: &SourceEhr, report: &Report) -> Result<(Card, [u8; 32]), Attempt> {
        let unusable = |why: &str| Attempt::Review(ReviewReason::Patient { why: why.to_owned() });
        let id = match &report.subject {
            Subject::Patient(id) => id,
            Subject::None => return Err(unusable("the report names no patient")),
            Subject::Unusable { why } => return Err(unusable(why)),
        };
        let patient = match ehr.client.read_patient(id).await {
            Ok(PatientAnswer::Patient { patient }) => patient,
            Ok(PatientAnswer::Gone { .. }) => return Err(unusable("the EHR no longer has the patient's record")),
            Ok(PatientAnswer::Unreadable { why }) => return Err(unusable(&why.to_string())),
            Err(error) => return Err(failed(&error)),
        };
        match choose_email(&patient, self.clock.now()) {
            ContactChoice::One { address, explanation } => {
                let index = self.vault.blind_index("email", &address.comparison_form());
                Ok((Card::new(Some(&address), id.clone(), explanation), index))
            }
            ContactChoice::Tie => Err(Attempt::Review(ReviewReason::ContactTie)),
            ContactChoice::None { why } => Err(Attempt::Review(ReviewReason::NoContact { why })),
            ContactChoice::PatientUnusable { why } => Err(unusable(why)),
        }
    }

    async fn make_link(
        &self,
        ehr: &SourceEhr,
        delivery: &Delivery,
        attachment: &AttachmentRef,
        card: Card,
        contact_index: [u8; 32],
        terms: Terms,
    ) -> Result<Attempt, ReleaseError> {
        let mut rng = random::system();
        let (id, secret, share) = (LinkId::random(&mut rng), LinkSecret::random(&mut rng), Key256::random(&mut rng));
        let content = ContentKey::derive(&secret, &share, &id);
        let sealed = match self.fetch_and_seal(ehr, attachment, content, &id, delivery).await {
            Ok(sealed) => sealed,
            Err(attempt) => return Ok(attempt),
        };
        let bytes = sealed.file.plain_bytes;
        let keys = LinkKeys { id, secret, share };
        let ready = self.wrap_keys(delivery.clone(), keys, sealed, &terms, self.clock.now()).await?;
        let (link, notice, fingerprints) = ready;
        Ok(Attempt::Ready(Box::new(Ready { card, contact_index, terms, link, notice, fingerprints, bytes })))
    }

    /// Puts the server's half under the epoch key of the last day on which the link can live, and the secret
    /// under this hour's outbox key.
    async fn wrap_keys(
        &self,
        delivery: Delivery,
        keys: LinkKeys,
        sealed: Sealed,
        terms: &Terms,
        now: UtcMillis,
    ) -> Result<(NewLink, NewNotice, Vec<(KeyName, String)>), ReleaseError> {
        let vault = self.vault.clone();
        let (life_seconds, opens_max) = (terms.expiry_seconds, terms.opens.0.get());
        let wrapped = tokio::task::spawn_blocking(move || {
            let LinkKeys { id, secret, share } = keys;
            let last_moment = now.plus(NOTICE_WAIT_MAX).plus(Duration::from_secs(life_seconds)).plus(OPENING_LEASE_MAX);
            let (epoch, outbox) = (KeyName::epoch(last_moment), KeyName::outbox(now));
            let share = vault.seal_dated(&epoch, Purpose::Share, id.as_str(), share.expose())?;
            let notice_id = NoticeId::random(&mut random::system());
            let secret_sealed = vault.seal_dated(&outbox, Purpose::LinkSecret, notice_id.as_str(), secret.expose())?;
            let auth = AuthKey::derive(&secret, &id);
            let receipt = ReceiptKey::derive(&secret, &id);
            let link = NewLink {
                auth_sealed: vault.seal_record(Purpose::AuthKey, id.as_str(), auth.expose()),
                receipt_sealed: vault.seal_record(Purpose::ReceiptKey, id.as_str(), receipt.expose()),
                delivery: delivery.id.clone(),
                report_version: delivery.report_version.clone(),
                life_seconds,
                opens_max,
                share_wrapped: share.bytes,
                epoch: epoch.as_str().to_owned(),
                files: vec![sealed.file],
                id: id.clone(),
            };
            let notice = NewNotice {
                id: notice_id,
                delivery: delivery.id,
                link: id,
                kind: match delivery.kind {
                    DeliveryKind::New => NoticeKind::Link,
                    DeliveryKind::Updated => NoticeKind::UpdatedLink,
                },
                channel: Channel::Email,
                secret_sealed: secret_sealed.bytes,
                secret_key: outbox.as_str().to_owned(),
            };
            let fingerprints =
                vec![(epoch, share.fingerprint.to_string()), (outbox, secret_sealed.fingerprint.to_string())];
            Ok::<_, VaultError>((link, notice, fingerprints))
        })
        .await
        .map_err(|_| ReleaseError::Stopped)??;
        Ok(wrapped)
    }

    async fn commit(&self, delivery: Delivery, ready: Ready) -> Result<(), ReleaseError> {
        let now = self.clock.now();
        let vault = self.vault.clone();
        self.store.write(move |tx| commit_link(tx, &vault, &delivery, &ready, now)).await?;
        self.queued.ring();
        Ok(())
    }
}

/// The secrets of a link being made.
struct LinkKeys {
    id: LinkId,
    secret: LinkSecret,
    share: Key256,
}

fn commit_link(
    tx: &mut Tx,
    vault: &Vault,
    delivery: &Delivery,
    ready: &Ready,
    now: UtcMillis,
) -> Result<(), StoreError> {
    for (key, fingerprint) in &ready.fingerprints {
        if store::mark_key(tx, key.kind().as_str(), key.as_str(), fingerprint, now)? != *fingerprint {
            return Err(StoreError::Refused { why: "a dated key that was replaced" });
        }
    }
    let step = delivery.state.clone().step(LinkEvent::Released, now)?;
    store::advance(tx, delivery, &step, Actor::System, now)?;
    let card = vault.seal_record(Purpose::PatientCard, delivery.id.as_str(), &ready.card.to_bytes());
    store::set_card(tx, &delivery.id, &card, &ready.contact_index)?;
    store::insert_link(tx, &ready.link, now)?;
    store::insert_notice(tx, &ready.notice, now)?;
    let sealed = AuditEvent::Sealed {
        link: ready.link.id.clone(),
        files: u16::try_from(ready.link.files.len()).unwrap_or(u16::MAX),
        bytes: ready.bytes,
        epoch: ready.link.epoch.clone(),
    };
    store::append(tx, &delivery.entry(now, Actor::System, sealed))?;
    let queued = AuditEvent::NoticeQueued { notice: ready.notice.id.clone() };
    store::append(tx, &delivery.entry(now, Actor::System, queued))?;
    tracing::info!(delivery = %delivery.id, link = %ready.link.id, expires_after_s = ready.terms.expiry_seconds, "released");
    Ok(())
}

/// Whether a minor's report would go to another address than the one that was looked at.
fn is_anothers_address(delivery: &Delivery, chosen: &[u8; 32]) -> bool {
    let may_be_minor = delivery.facts.as_ref().is_some_and(|facts| match facts.age {
        Age::Years { least, .. } => least < MINOR_BELOW_YEARS,
        Age::Unknown => true,
    });
    may_be_minor && delivery.contact_index.is_some_and(|decided| decided != *chosen)
}

/// How long to wait after so many tries; `None` when a person should look.
fn wait_after(tries: i32) -> Option<Duration> {
    BACK_OFF.get(usize::try_from(tries.max(1) - 1).unwrap_or(usize::MAX)).copied()
}

fn failed(error: &EhrError) -> Attempt {
    match (error.class(), error) {
        // The report names another version of its attachment by now, or none.
        (FaultClass::Permanent, EhrError::Gone | EhrError::NoAttachment) => {
            Attempt::Later { why: "the EHR does not have the attachment".to_owned() }
        }
        (FaultClass::Permanent, _) => Attempt::Review(ReviewReason::Attachment { why: error.to_string() }),
        (FaultClass::Transient | FaultClass::Settings, _) => Attempt::Later { why: error.to_string() },
    }
}
