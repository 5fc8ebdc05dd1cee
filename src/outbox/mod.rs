//! Handing messages over.
//!
//! Job: lease due notices, send them outside any transaction, and keep what became of each.
//! Must stay true: a message goes out only for a live link, never while paused, never past a tripped breaker; the
//! attempt is audited and the high-water mark raised before the message leaves; a secret is wiped at hand-over.
//! Must not know: reports, attachments, how links are opened.

mod bounces;
mod breaker;
mod compose;
mod pace;
mod sent_to;
mod settle;
mod staff;
mod texts;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use futures_util::future::join_all;

use crate::base::{Bell, ClinicId, Clock, EmailAddress, Language, LinkSecret, SecretText, UtcMillis, seconds};
use crate::keys::{DeathJournal, KeyError, KeyKind, KeyName, Mark, Vault, VaultError};
use crate::notify::text::TextName;
use crate::notify::{BounceAddress, ClinicPhone, DisplayName, Mailer, Messages, SendOutcome};
use crate::policy::contact::{is_less_sure, standing_objection};
use crate::policy::{Channel, Decision, ReviewReason};
use crate::record::{CODE_LIFE, Card, NoticeEvent, NoticeKind as StoredKind};
use crate::sealing::Purpose;
use crate::store::{self, Delivery, LeasedNotice, Mode, NoticeRow, Store, StoreError};

pub use crate::notify::text::TextCall;
use breaker::AllowedInHour;

pub use crate::notify::{BounceEnvelope, DSN_BYTES_MAX, Fate};
pub use bounces::{Bounces, Heard};
pub use breaker::BreakerLimits;
use compose::Ready;
pub use pace::TextPace;
use sent_to::sent_to;
pub use texts::{HeardText, Texts};

/// Messages under way at the same time.
const BATCH: usize = 8;
/// A turn sends batch after batch, and after this looks around again: what looks through all that waits costs more the
/// more waits, and is not repeated for every few messages.
const LOOK_AROUND_EVERY: Duration = seconds(1);

/// The clinic as its messages show it.
#[derive(Clone)]
pub struct Sender {
    pub name: DisplayName,
    pub phone: ClinicPhone,
    pub from: EmailAddress,
    /// The mailbox of its staff.
    pub staff: Option<EmailAddress>,
    pub zone: Tz,
    /// For recipients whose own is none of those that we write.
    pub language: Language,
    pub messages: Messages,
    /// How its texts call it; `None`: it sends none.
    pub text_name: Option<TextName>,
}

/// The outbox step.
pub struct Outbox {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub journal: DeathJournal,
    pub mailer: Mailer,
    /// `None`: no text leaves.
    pub texts: Option<Texts>,
    pub senders: HashMap<ClinicId, Sender>,
    /// `https://host/r/`: where links point.
    pub link_base: url::Url,
    /// A report is read again if its last reading is older than this when its message is due.
    pub recheck_every: Duration,
    pub limits: BreakerLimits,
    /// Where reports of messages that did not arrive come to.
    pub bounce_address: Option<BounceAddress>,
    /// In shadow nothing leaves, whatever was queued before.
    pub mode: Mode,
    /// Rung when a resource must be read again first.
    pub changed: Bell,
}

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the high-water mark cannot be raised, so nothing is sent: {0}")]
    Mark(#[from] KeyError),
    /// Us.
    #[error("a part of the outbox step stopped unexpectedly")]
    Stopped,
}

/// What a message carries.
enum Carried {
    Link(LinkSecret),
    Code(SecretText),
    Nothing,
}

/// A message ready to leave, or why it must not.
enum Prepared {
    Ready(Box<Ready>),
    NotToBeSent(ReviewReason),
    /// The disk or the keys fail just now.
    Later(String),
}

impl Outbox {
    /// Sends what is due. Returns how much was done.
    ///
    /// # Errors
    /// [`OutboxError`]; what was leased and not sent is found again when its lease ends.
    pub async fn turn(&self) -> Result<usize, OutboxError> {
        let tidied = self.settle_lost().await? + self.settle_stale().await?;
        if self.mode == Mode::Shadow {
            return Ok(tidied);
        }
        let tidied = tidied + self.ask_about_unsure_texts().await?;
        self.read_stale_again().await?;
        let (since, mut sent, mut allowed) = (Instant::now(), 0, AllowedInHour::default());
        loop {
            let (leased, counted) = self.lease(allowed).await?;
            allowed = counted;
            let is_full = leased.len() >= BATCH;
            sent += self.deliver_all(leased).await?;
            if !is_full || since.elapsed() >= LOOK_AROUND_EVERY {
                return Ok(sent + tidied + self.tell_staff().await);
            }
        }
    }

    /// Has the reports read again whose messages would leave now, had they been read lately.
    async fn read_stale_again(&self) -> Result<(), OutboxError> {
        let (now, recheck) = (self.clock.now(), self.recheck_every);
        let stale = self.store.write(move |tx| store::read_stale_sources_again(tx, now.minus(recheck), now)).await?;
        if stale > 0 {
            self.changed.ring();
        }
        Ok(())
    }

    async fn lease(&self, mut allowed: AllowedInHour) -> Result<(Vec<LeasedNotice>, AllowedInHour), OutboxError> {
        let (now, limits, recheck) = (self.clock.now(), self.limits, self.recheck_every);
        let count = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let texts_max = self.texts.as_ref().map_or(BATCH, |texts| texts.pace.take(BATCH, now));
        let per_day_max = self.texts.as_ref().and_then(|texts| texts.pace.per_day_max());
        let leased = self
            .store
            .write(move |tx| {
                breaker::judge_hour(tx, limits, &mut allowed, now)?;
                let texts_max = texts::left_of_day(tx, per_day_max, now)?.min(texts_max);
                Ok((store::lease_notices_within(tx, now, now.minus(recheck), count, texts_max)?, allowed))
            })
            .await;
        if let Some(texts) = &self.texts {
            let is_text = |leased: &&LeasedNotice| leased.notice.channel == Channel::Sms;
            let used = leased.as_ref().map_or(0, |(leased, _)| leased.iter().filter(is_text).count());
            texts.pace.give_back(texts_max.saturating_sub(used));
        }
        Ok(leased?)
    }

    async fn deliver_all(&self, leased: Vec<LeasedNotice>) -> Result<usize, OutboxError> {
        if leased.is_empty() {
            return Ok(0);
        }
        if let Err(error) = self.raise_mark(self.clock.now()).await {
            // Nothing has left, and nobody needs to wonder.
            for leased in leased {
                self.settle_with(
                    leased,
                    NoticeEvent::Transient,
                    "nothing is sent while the keys' disk fails".to_owned(),
                )
                .await?;
            }
            return Err(error);
        }
        let count = leased.len();
        for outcome in join_all(leased.into_iter().map(|notice| self.deliver(notice))).await {
            match outcome {
                Ok(()) => {}
                Err(OutboxError::Store(error)) if error.is_passing() => {
                    tracing::warn!(%error, "an outcome could not be kept; the notice's lease ends and it counts as ambiguous");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Before anything leaves, the place outside the database knows how far the database had come: a copy from
    /// before this moment can then be told from it.
    async fn raise_mark(&self, now: UtcMillis) -> Result<(), OutboxError> {
        let (generation, audit_n) =
            self.store.read(|conn| Ok((store::generation(conn)?.unwrap_or(0), store::newest_n(conn)?))).await?;
        let journal = self.journal.clone();
        let mark = Mark { generation: u64::try_from(generation).unwrap_or(0), audit_n, at: now };
        tokio::task::spawn_blocking(move || journal.raise_mark(mark)).await.map_err(|_| OutboxError::Stopped)??;
        Ok(())
    }

    async fn deliver(&self, leased: LeasedNotice) -> Result<(), OutboxError> {
        let now = self.clock.now();
        if is_over(&leased, now) {
            return self
                .settle_with(leased, NoticeEvent::Cancel, "the code ran out before it could be sent".to_owned())
                .await;
        }
        if let Some(why) = self.breaker_objects(&leased, now).await? {
            return self.withhold(leased, why).await;
        }
        if let Some(why) = self.address_objects(&leased).await? {
            return self.withhold(leased, why).await;
        }
        match self.prepare(&leased).await? {
            Prepared::Ready(ready) => match *ready {
                Ready::Mail(mail) => {
                    let outcome = self.mailer.send(&mail).await;
                    self.settle(leased, outcome).await
                }
                Ready::Text(text) => {
                    let outcome = self.send_text(&text).await;
                    self.settle_text(leased, outcome).await
                }
            },
            Prepared::NotToBeSent(why) => self.withhold(leased, why).await,
            Prepared::Later(why) => self.settle_with(leased, NoticeEvent::Transient, why).await,
        }
    }

    /// What is recorded of the address by now, and whether that is less than what was decided about.
    async fn address_objects(&self, leased: &LeasedNotice) -> Result<Option<ReviewReason>, OutboxError> {
        let Some(key) = sent_to(&self.vault, &leased.notice, &leased.delivery) else { return Ok(None) };
        let is_what_was_decided_about = leased.notice.kind != StoredKind::Code;
        let standing = self.store.read(move |conn| store::contact_standing(conn, &key)).await?;
        if let Some(why) = standing_objection(standing, leased.delivery.recipient) {
            return Ok(Some(why));
        }
        let relied_on_more = |delivery: &Delivery| match (&delivery.decision, &delivery.facts) {
            (Decision::Send { .. }, Some(facts)) => is_less_sure(&facts.contact, standing),
            // A person released it as it is.
            (Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }, _) => false,
        };
        let mut deliveries = std::iter::once(&leased.delivery).chain(&leased.companions);
        let is_less = is_what_was_decided_about && deliveries.any(relied_on_more);
        Ok(is_less.then_some(ReviewReason::ContactUnconfirmed))
    }

    async fn prepare(&self, leased: &LeasedNotice) -> Result<Prepared, OutboxError> {
        let delivery = &leased.delivery;
        let Some(sender) = delivery.clinic.as_ref().and_then(|clinic| self.senders.get(clinic)).cloned() else {
            return Ok(Prepared::NotToBeSent(ReviewReason::NoClinic));
        };
        let (vault, notice) = (self.vault.clone(), leased.notice.clone());
        let (id, card) = (delivery.id.clone(), delivery.card_sealed.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let carried = carried_by(&vault, &notice)?;
            let card = vault.open_record(Purpose::PatientCard, id.as_str(), &card.unwrap_or_default())?;
            Ok((carried, Card::from_bytes(&card).ok_or(VaultError::NotOurs)?))
        })
        .await
        .map_err(|_| OutboxError::Stopped)?;
        let (carried, card) = match opened {
            Ok(opened) => opened,
            Err(VaultError::KeyGone | VaultError::NotOurs) => return Ok(Prepared::NotToBeSent(ReviewReason::KeyGone)),
            Err(VaultError::Key(error)) => return Ok(Prepared::Later(error.to_string())),
        };
        let language = card.language.unwrap_or(sender.language);
        Ok(self.compose(leased, Sender { language, ..sender }, &card, carried))
    }

    async fn settle(&self, leased: LeasedNotice, outcome: SendOutcome) -> Result<(), OutboxError> {
        use crate::record::NoticeEvent;
        match outcome {
            SendOutcome::Accepted { .. } => self.settle_with(leased, NoticeEvent::Accepted, String::new()).await,
            SendOutcome::Transient { why } => self.settle_with(leased, NoticeEvent::Transient, why.to_string()).await,
            SendOutcome::Ambiguous { why } => self.settle_with(leased, NoticeEvent::Ambiguous, why.to_string()).await,
            SendOutcome::Permanent { why } => self.refused(leased, why).await,
            SendOutcome::Misconfigured { why } => {
                tracing::error!(%why, "the mail relay cannot be used as it is configured; notices wait");
                self.settle_with(leased, NoticeEvent::Transient, why.to_string()).await
            }
            SendOutcome::Withheld => self.withhold(leased, ReviewReason::Withheld).await,
        }
    }
}

/// What a leased message is to carry.
fn carried_by(vault: &Vault, notice: &NoticeRow) -> Result<Carried, VaultError> {
    let open = |purpose| {
        let name = notice.secret_key.as_deref().and_then(|name| KeyName::parse(KeyKind::Outbox, name).ok());
        let (name, sealed) = name.zip(notice.secret_sealed.as_deref()).ok_or(VaultError::KeyGone)?;
        vault.open_dated(&name, purpose, notice.id.as_str(), sealed)
    };
    match notice.kind {
        StoredKind::Link | StoredKind::UpdatedLink | StoredKind::Reminder => {
            let secret = LinkSecret::from_slice(&open(Purpose::LinkSecret)?).ok_or(VaultError::NotOurs)?;
            Ok(Carried::Link(secret))
        }
        StoredKind::Code => {
            let code = String::from_utf8(open(Purpose::Code)?.to_vec()).map_err(|_| VaultError::NotOurs)?;
            Ok(Carried::Code(SecretText::new(code)))
        }
        StoredKind::Waiting => Ok(Carried::Nothing),
    }
}

/// Whether what the message carries counts no more.
fn is_over(leased: &LeasedNotice, now: UtcMillis) -> bool {
    leased.notice.kind == StoredKind::Code && leased.notice.created_at.plus(CODE_LIFE) <= now
}
