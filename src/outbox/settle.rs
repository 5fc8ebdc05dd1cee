//! What became of a message, kept.

use super::sent_to::sent_to;
use super::{Outbox, OutboxError};
use crate::audit::{Actor, AuditEvent};
use crate::base::UtcMillis;
use crate::notify::Why;
use crate::policy::{Channel, ReviewReason};
use crate::record::{Link, LinkEvent, NOTICE_WAIT_MAX, Notice, NoticeEvent};
use crate::store::{self, Delivery, LeasedNotice, NoticeRow, StoreError, Tx};

/// Notices tidied in one turn.
const TIDY_BATCH: i64 = 64;

impl Outbox {
    /// Keeps an outcome that leaves the link as it is.
    pub(super) async fn settle_with(
        &self,
        leased: LeasedNotice,
        event: NoticeEvent,
        why: String,
    ) -> Result<(), OutboxError> {
        let now = self.clock.now();
        if event != NoticeEvent::Accepted {
            tracing::warn!(notice = %leased.notice.id, why, event = event.name(), "a message was not handed over");
        }
        self.store
            .write(move |tx| {
                let step = leased.notice.state.step(event, now)?;
                let why = Some(why.as_str()).filter(|why| !why.is_empty());
                match store::settle_notice(tx, &leased.notice, &leased.delivery, &step, why, now) {
                    Err(StoreError::Moved) => note_late(tx, &leased, event, now),
                    other => other,
                }
            })
            .await?;
        Ok(())
    }

    /// The relay refused for good. Where it says that there is no such mailbox, nothing more is sent there until a person says so.
    pub(super) async fn refused(&self, leased: LeasedNotice, why: Why) -> Result<(), OutboxError> {
        tracing::warn!(notice = %leased.notice.id, %why, "a message was refused for good");
        let (now, has_bounced) = (self.clock.now(), why.is_no_such_mailbox());
        let reason = ReviewReason::NoticeRefused { why: why.to_string() };
        let LeasedNotice { notice, delivery, .. } = leased;
        // As it was when the message left: by now another address may stand there.
        let bounced = if has_bounced { sent_to(&self.vault, &notice, &delivery) } else { None };
        self.store
            .write(move |tx| {
                end_notice(tx, &notice, NoticeEvent::Permanent, reason, now)?;
                bounced.iter().try_for_each(|key| store::note_bounce(tx, &delivery, key, now))
            })
            .await?;
        Ok(())
    }

    /// Not sent, and not to be sent: a person looks.
    pub(super) async fn withhold(&self, leased: LeasedNotice, why: ReviewReason) -> Result<(), OutboxError> {
        tracing::warn!(notice = %leased.notice.id, %why, "a message was withheld");
        self.end(leased.notice, NoticeEvent::Cancel, why).await
    }

    async fn end(&self, notice: NoticeRow, event: NoticeEvent, why: ReviewReason) -> Result<(), OutboxError> {
        let now = self.clock.now();
        self.store.write(move |tx| end_notice(tx, &notice, event, why, now)).await?;
        Ok(())
    }

    /// Notices whose worker died in the middle: whether they were sent, nobody knows.
    pub(super) async fn settle_lost(&self) -> Result<usize, OutboxError> {
        let now = self.clock.now();
        let lost = self.store.read(move |conn| store::leased_notices_lost(conn, now, TIDY_BATCH)).await?;
        let count = lost.len();
        for notice in lost {
            self.store
                .write(move |tx| {
                    let Some(owner) = store::hold_delivery(tx, &notice.delivery)? else { return Ok(()) };
                    let lost = match notice.channel {
                        Channel::Email => NoticeEvent::LeaseLost,
                        Channel::Sms => NoticeEvent::Uncertain,
                    };
                    let Ok(step) = notice.state.step(lost, now) else { return Ok(()) };
                    let why = Some("the worker stopped while the message was under way");
                    match store::settle_notice(tx, &notice, &owner, &step, why, now) {
                        Err(StoreError::Moved) => Ok(()),
                        other => other,
                    }
                })
                .await?;
        }
        Ok(count)
    }

    /// Notices that could not be handed over for too long: what they would say is no longer the truth. Where quiet hours took a
    /// part of that time nothing may have failed, and they are made again.
    pub(super) async fn settle_stale(&self) -> Result<usize, OutboxError> {
        let now = self.clock.now();
        let stale =
            self.store.read(move |conn| store::stale_notices(conn, now.minus(NOTICE_WAIT_MAX), TIDY_BATCH)).await?;
        let count = stale.len();
        for notice in stale {
            self.store.write(move |tx| end_stale(tx, &notice, now)).await?;
        }
        Ok(count)
    }
}

/// The link died while its message was under way, and the notice ended with it: if the message was accepted all the same,
/// its patient holds a dead link, and the audit says so.
fn note_late(tx: &mut Tx, leased: &LeasedNotice, event: NoticeEvent, now: UtcMillis) -> Result<(), StoreError> {
    let is_dead = store::notice(tx.conn(), &leased.notice.id)?.is_some_and(|notice| notice.state == Notice::Dead);
    if event != NoticeEvent::Accepted || !is_dead {
        return Ok(());
    }
    let late = AuditEvent::NoticeStepped {
        notice: leased.notice.id.clone(),
        to: Notice::Sent,
        why: Some("it was accepted while its link ended".to_owned()),
    };
    store::append(tx, &leased.delivery.entry(now, Actor::System, late))
}

fn end_stale(tx: &mut Tx, notice: &NoticeRow, now: UtcMillis) -> Result<(), StoreError> {
    let Some(owner) = store::hold_delivery(tx, &notice.delivery)? else { return Ok(()) };
    let is_live = matches!(owner.state, Link::Live { .. });
    let was_quiet = notice.kind.brings_the_link()
        && owner.decision.quiet().is_some_and(|quiet| quiet.took_of(notice.created_at, now));
    if !(is_live && was_quiet) {
        return end_notice(tx, notice, NoticeEvent::Cancel, ReviewReason::NoticeTooLate, now);
    }
    match store::make_again_after_quiet(tx, notice, &owner, now) {
        Err(StoreError::Moved) => Ok(()),
        other => other,
    }
}

/// Ends a notice and takes its delivery to review; the link that nobody was given dies. Of a code the link knows nothing: its
/// holder asks for another.
pub(super) fn end_notice(
    tx: &mut Tx,
    notice: &NoticeRow,
    event: NoticeEvent,
    why: ReviewReason,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let Some(owner) = store::hold_delivery(tx, &notice.delivery)? else { return Ok(()) };
    let Ok(step) = notice.state.step(event, now) else { return Ok(()) };
    match store::settle_notice(tx, notice, &owner, &step, Some(&why.to_string()), now) {
        Err(StoreError::Moved) => return Ok(()),
        other => other?,
    }
    if !notice.kind.brings_the_link() {
        return Ok(());
    }
    end_link(tx, &owner, why, now)
}

/// Takes a delivery whose message nobody has to review.
pub(super) fn end_link(tx: &mut Tx, owner: &Delivery, why: ReviewReason, now: UtcMillis) -> Result<(), StoreError> {
    if let Link::Live { .. } | Link::Suspended { .. } = owner.state {
        let step = owner.state.clone().step(LinkEvent::NeedsReview { why }, now)?;
        store::advance(tx, owner, &step, Actor::System, now)?;
    }
    Ok(())
}
