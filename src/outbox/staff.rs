//! Mails to a clinic's staff.
//!
//! Must stay true: they say which delivery they are about by its id and reference alone; none keeps a patient's message waiting for
//! long, or counts as one.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Outbox, OutboxError};
use crate::base::minutes;
use crate::notify::{Outgoing, SendOutcome, StaffNotice};
use crate::record::{AMBIGUOUS_ATTEMPTS_MAX, STAFF_MAIL_WAIT_MAX, StaffMailFate, retry_delay};
use crate::store::{self, LeasedStaffMail, Pause};

/// Sent in one turn.
const BATCH: i64 = 8;
/// Longer than any attempt takes.
const LEASE: Duration = minutes(5);

impl Outbox {
    /// Sends what staff are to be told. Returns how much was done; a fault of theirs is nobody else's.
    pub(super) async fn tell_staff(&self) -> usize {
        match self.send_to_staff().await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "mails to staff cannot be sent now");
                0
            }
        }
    }

    async fn send_to_staff(&self) -> Result<usize, OutboxError> {
        let now = self.clock.now();
        let leased = self
            .store
            .write(move |tx| match store::paused(tx.conn())? {
                Pause::Running => store::lease_staff_mails(tx, now, LEASE, BATCH),
                Pause::Paused { .. } => Ok(Vec::new()),
            })
            .await?;
        let mut done = 0;
        for outcome in join_all(leased.into_iter().map(|mail| self.tell_one(mail))).await {
            outcome?;
            done += 1;
        }
        Ok(done)
    }

    async fn tell_one(&self, leased: LeasedStaffMail) -> Result<(), OutboxError> {
        let Some(mail) = self.mail_to_staff(&leased) else { return self.end_told(leased, StaffMailFate::Nobody).await };
        match self.mailer.send(&mail).await {
            SendOutcome::Accepted { .. } => self.end_told(leased, StaffMailFate::Sent).await,
            SendOutcome::Permanent { why } => {
                tracing::warn!(delivery = %leased.delivery.id, %why, "the relay refuses a mail to the clinic's staff; is staff_email right?");
                self.end_told(leased, StaffMailFate::GivenUp).await
            }
            SendOutcome::Withheld => {
                tracing::warn!("[mail] only_to does not allow staff_email, so staff are told nothing");
                self.end_told(leased, StaffMailFate::GivenUp).await
            }
            // It may have arrived each time: staff rather get a few than none.
            SendOutcome::Ambiguous { .. } if leased.attempts >= AMBIGUOUS_ATTEMPTS_MAX => {
                self.end_told(leased, StaffMailFate::GivenUp).await
            }
            SendOutcome::Transient { .. } | SendOutcome::Ambiguous { .. } | SendOutcome::Misconfigured { .. } => {
                self.later(leased).await
            }
        }
    }

    fn mail_to_staff(&self, leased: &LeasedStaffMail) -> Option<Outgoing> {
        let sender = leased.delivery.clinic.as_ref().and_then(|clinic| self.senders.get(clinic))?;
        let notice = StaffNotice {
            notice: leased.id.clone(),
            clinic_name: sender.name.clone(),
            from: sender.from.clone(),
            to: sender.staff.clone()?,
            news: leased.tells,
            delivery: leased.delivery.id.clone(),
            reference: leased.link.reference.clone(),
            happened_at: leased.created_at,
            zone: sender.zone,
        };
        notice.compose().ok()
    }

    async fn later(&self, leased: LeasedStaffMail) -> Result<(), OutboxError> {
        let now = self.clock.now();
        if leased.created_at.plus(STAFF_MAIL_WAIT_MAX) <= now {
            tracing::warn!(delivery = %leased.delivery.id, "a mail to the clinic's staff could not be handed over for a day");
            return self.end_told(leased, StaffMailFate::GivenUp).await;
        }
        let due = now.plus(retry_delay(leased.attempts));
        Ok(self.store.write(move |tx| store::retry_staff_mail(tx, &leased, due)).await?)
    }

    async fn end_told(&self, leased: LeasedStaffMail, fate: StaffMailFate) -> Result<(), OutboxError> {
        let now = self.clock.now();
        Ok(self.store.write(move |tx| store::end_staff_mail(tx, &leased, fate, now)).await?)
    }
}
