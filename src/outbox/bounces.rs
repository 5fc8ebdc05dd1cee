//! What mail systems report of messages that were handed over.
//!
//! Job: believe a report only where its token is ours, and take what it says to link, address and staff in one transaction.
//! Must stay true: a report that is not ours changes nothing and is told nothing; the same report twice does what it did once; a
//! link that somebody opened by now was not sent into the void, whatever is reported.
//! Must not know: how the report came.

use std::time::Duration;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::OutboxError;
use crate::audit::{Actor, AuditEvent};
use crate::base::{Clock, SecretText, UtcMillis, hours};
use crate::keys::Vault;
use crate::notify::{BounceAddress, BounceEnvelope, Dsn, Fate};
use crate::policy::ReviewReason;
use crate::record::{Link, LinkEvent, Notice, NoticeEvent, NoticeKind, Opening};
use crate::store::{self, ContactKey, Delivery, NoticeRow, Store, StoreError, Tx};

/// A full mailbox is tried once more after this long, with another link.
const FULL_AGAIN_AFTER: Duration = hours(24);

/// Hears reports.
pub struct Bounces {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub address: BounceAddress,
    /// By which a relay signs what it posts; `None`: it may post nothing.
    pub secret: Option<SecretText>,
}

/// What became of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It was ours, and this is what it said.
    Kept(Fate),
    /// It was ours, and is known or says nothing any more.
    Known,
    /// It is none, or none of ours.
    Ignored(&'static str),
    /// It came before we knew that the message was taken: it should come again.
    TooEarly,
}

impl Bounces {
    /// Whether whoever posted `body` knows the secret. In constant time.
    #[must_use]
    pub fn is_signed(&self, body: &[u8], signature: &str) -> bool {
        let (Some(secret), Ok(claimed)) = (&self.secret, HEXLOWER.decode(signature.as_bytes())) else { return false };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
        mac.update(body);
        mac.verify_slice(&claimed).is_ok()
    }

    /// Takes in one report, whole and as it came.
    ///
    /// # Errors
    /// [`OutboxError`]: then the report should come again.
    pub async fn hear(&self, raw: &[u8], envelope: BounceEnvelope<'_>) -> Result<Heard, OutboxError> {
        let dsn = match Dsn::read(raw, envelope, &self.address) {
            Ok(dsn) => dsn,
            Err(why) => return Ok(Heard::Ignored(why.as_str())),
        };
        let Some(notice) = self.vault.notice_of_token(&dsn.token) else {
            return Ok(Heard::Ignored("its address was not made by us"));
        };
        let now = self.clock.now();
        let status = dsn.status.map_or_else(String::new, |status| format!(" ({status})"));
        let report = Report { fate: dsn.fate, why: format!("{}{status}, the mail system reported", dsn.fate) };
        let heard = self
            .store
            .write(move |tx| match store::notice(tx.conn(), &notice)? {
                Some(row) => take_in(tx, &row, &report, now),
                None => Ok(Heard::Ignored("its message is past its retention")),
            })
            .await?;
        Ok(heard)
    }
}

struct Report {
    fate: Fate,
    why: String,
}

fn take_in(tx: &mut Tx, notice: &NoticeRow, report: &Report, now: UtcMillis) -> Result<Heard, StoreError> {
    let Some(owner) = store::hold_delivery(tx, &notice.delivery)? else { return Ok(Heard::Known) };
    // Read again, now that nobody else moves it.
    let Some(notice) = store::notice(tx.conn(), &notice.id)? else { return Ok(Heard::Known) };
    match notice.state {
        Notice::Queued { .. } | Notice::Leased { .. } => return Ok(Heard::TooEarly),
        Notice::Bounced | Notice::Dead => return Ok(Heard::Known),
        Notice::Sent | Notice::Unsure => {}
    }
    let is_opened = store::openings_of(tx.conn(), &notice.link)?.iter().any(|opening| was_claimed(&opening.state));
    match report.fate {
        Fate::Arrived => return Ok(Heard::Known),
        Fate::Delayed => note(tx, &notice, &owner, report.why.clone(), now)?,
        Fate::NoMailbox | Fate::Full | Fate::Policy | Fate::GaveUp | Fate::Refused if is_opened => {
            let why = format!("{}; but its link has been opened", report.why);
            note(tx, &notice, &owner, why, now)?;
        }
        Fate::NoMailbox | Fate::Full | Fate::Policy | Fate::GaveUp | Fate::Refused => {
            come_back(tx, &notice, &owner, report, now)?;
        }
    }
    Ok(Heard::Kept(report.fate))
}

const fn was_claimed(opening: &Opening) -> bool {
    match opening {
        Opening::Begun => false,
        Opening::Claimed { .. } | Opening::Received | Opening::Lapsed => true,
    }
}

/// A line in the audit, and nothing else. Once for each word of one message.
fn note(tx: &mut Tx, notice: &NoticeRow, owner: &Delivery, why: String, now: UtcMillis) -> Result<(), StoreError> {
    let event = AuditEvent::NoticeReported { notice: notice.id.clone(), why };
    store::append(tx, &owner.entry(now, Actor::System, event))
}

/// The message did not arrive.
fn come_back(
    tx: &mut Tx,
    notice: &NoticeRow,
    owner: &Delivery,
    report: &Report,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let came_back_before = store::notices_of(tx.conn(), &owner.id)?.iter().any(|one| one.state == Notice::Bounced);
    let step = notice.state.step(NoticeEvent::Undelivered, now)?;
    store::settle_reported(tx, notice, owner, &step, Some(&report.why), now)?;
    // Another message is on its way, perhaps to another address; or it was a code, and whoever asked for it has the link. Of a
    // reminder it matters only that nobody is there.
    let matters = match notice.kind {
        NoticeKind::Link | NoticeKind::UpdatedLink => true,
        NoticeKind::Reminder | NoticeKind::Waiting => report.fate == Fate::NoMailbox,
        NoticeKind::Code => false,
    };
    if owner.link.as_ref() != Some(&notice.link) || !matters {
        return Ok(());
    }
    match report.fate {
        // As it was when the message left: the delivery's address moves with its link.
        Fate::NoMailbox => {
            let key = ContactKey::of(owner);
            key.iter().try_for_each(|key| store::note_bounce(tx, owner, key, now))?;
        }
        Fate::Policy => {
            tracing::error!(notice = %notice.id, why = report.why, "mail is refused for how it is sent; look at SPF, DKIM, DMARC and the relay");
        }
        Fate::Full | Fate::GaveUp | Fate::Refused | Fate::Delayed | Fate::Arrived => {}
    }
    let is_live = matches!(owner.state, Link::Live { .. });
    if report.fate == Fate::Full && is_live && !came_back_before {
        let step = owner.state.clone().step(LinkEvent::MailboxFull, now)?;
        store::advance(tx, owner, &step, Actor::System, now)?;
        return store::leave_later(tx, &notice.link, now.plus(FULL_AGAIN_AFTER));
    }
    if let Link::Live { .. } | Link::Suspended { .. } = owner.state {
        let why = ReviewReason::NoticeRefused { why: report.why.clone() };
        let step = owner.state.clone().step(LinkEvent::NeedsReview { why }, now)?;
        store::advance(tx, owner, &step, Actor::System, now)?;
    }
    Ok(())
}
