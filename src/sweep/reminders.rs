//! Links that nobody opened: their holders are reminded, and of what is sensitive staff are told to call.
//!
//! Must stay true: nothing is said of a link that was opened, that is dead or that is refused just now, and nothing in quiet hours;
//! the reminder carries the link only where the rules have its secret kept; staff are told before the link ends.

use super::{Sweep, SweepError};
use crate::audit::{Actor, AuditEvent};
use crate::base::{NoticeId, UtcMillis, random};
use crate::keys::{KeyKind, KeyName, VaultError};
use crate::policy::Channel;
use crate::record::{Link, LiveUntil, Notice, NoticeKind, StaffNews, reminder_moments};
use crate::sealing::Purpose;
use crate::store::{self, Delivery, LinkRow, NewNotice, NoticeRow, NoticeSecret, ReminderRow, StoreError, Tx};

/// Links spoken of in one turn.
const BATCH: i64 = 50;

/// Whether a clinic reminds the recipients of its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reminders {
    Sent,
    NotSent,
}

impl Sweep {
    /// Says what is due of links that nobody opened.
    pub(super) async fn remind(&self, now: UtcMillis) -> Result<usize, SweepError> {
        let due = self.store.read(move |conn| store::reminders_due(conn, now, BATCH)).await?;
        let mut said = Vec::new();
        for row in due {
            said.push(self.remind_one(row, now).await);
        }
        if !said.is_empty() {
            self.queued.ring();
        }
        // One that fails keeps no other waiting.
        said.into_iter().sum()
    }

    async fn remind_one(&self, seen: ReminderRow, now: UtcMillis) -> Result<usize, SweepError> {
        let id = seen.link.clone();
        let found = self
            .store
            .read(move |conn| {
                let Some(link) = store::link(conn, &id)? else { return Ok(None) };
                let notices = store::notices_of(conn, &link.delivery)?;
                let sharers = store::sharers_of(conn, &id)?;
                Ok(Some((link, notices, sharers)))
            })
            .await?;
        let Some((link, notices, sharers)) = found else { return Ok(0) };
        let message = notices.into_iter().rfind(|one| one.link == link.id && one.kind.brings_the_link());
        let Some((message, expires_at)) = message.zip(link.expires_at) else { return Ok(0) };
        let is_sensitive = sharers.iter().any(|one| self.is_sensitive(one, now));
        let is_wanted = sharers.iter().all(|one| self.reminds(one));
        let next = next_moment(&link, expires_at, now);
        let is_last = next.is_none();
        let made = if is_wanted { self.make(&seen, &link, &message, now).await? } else { None };
        let asks_for_call = is_sensitive && is_last;
        let said =
            self.store.write(move |tx| say(tx, &seen, &message, made.as_ref(), (next, asks_for_call), now)).await?;
        if said == Said::CallAsked {
            tracing::warn!(
                "a sensitive document was not opened and its link ends soon; see `chartseal deliveries list --to-call`"
            );
        }
        Ok(usize::from(said != Said::Nothing))
    }

    fn is_sensitive(&self, delivery: &Delivery, now: UtcMillis) -> bool {
        delivery.facts.as_ref().is_none_or(|facts| (self.sensitive)(facts, now))
    }

    fn reminds(&self, delivery: &Delivery) -> bool {
        let of_clinic = delivery.clinic.as_ref().and_then(|clinic| self.reminders.get(clinic));
        match of_clinic {
            Some(Reminders::Sent) => true,
            Some(Reminders::NotSent) | None => false,
        }
    }

    /// The reminder, with the link's secret where it is kept. `None` where a key is gone: then nothing of the link works any more.
    async fn make(
        &self,
        seen: &ReminderRow,
        link: &LinkRow,
        message: &NoticeRow,
        now: UtcMillis,
    ) -> Result<Option<Made>, SweepError> {
        let (vault, kept, link, channel) =
            (self.vault.clone(), seen.secret_sealed.clone(), link.clone(), message.channel);
        let made = tokio::task::spawn_blocking(move || {
            let id = NoticeId::random(&mut random::system());
            let Some(kept) = kept else { return Ok((new_notice(id, &link, NoticeKind::Waiting, channel, None), None)) };
            let epoch = KeyName::parse(KeyKind::Epoch, &link.epoch).map_err(|_| VaultError::NotOurs)?;
            let secret = vault.open_dated(&epoch, Purpose::LinkSecret, link.id.as_str(), &kept)?;
            let key = KeyName::outbox(now);
            let sealed = vault.seal_dated(&key, Purpose::LinkSecret, id.as_str(), &secret)?;
            let secret = NoticeSecret { sealed: sealed.bytes, key: key.as_str().to_owned() };
            let mark = (key, sealed.fingerprint.to_string());
            Ok((new_notice(id, &link, NoticeKind::Reminder, channel, Some(secret)), Some(mark)))
        })
        .await
        .map_err(|_| SweepError::Stopped)?;
        match made {
            Ok((notice, mark)) => Ok(Some(Made { notice, mark })),
            Err(VaultError::KeyGone | VaultError::NotOurs) => Ok(None),
            Err(VaultError::Key(error)) => Err(error.into()),
        }
    }
}

/// A reminder to be queued, and the key that its secret is under.
struct Made {
    notice: NewNotice,
    mark: Option<(KeyName, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Reminded,
    CallAsked,
}

fn new_notice(
    id: NoticeId,
    link: &LinkRow,
    kind: NoticeKind,
    channel: Channel,
    secret: Option<NoticeSecret>,
) -> NewNotice {
    NewNotice { id, delivery: link.delivery.clone(), link: link.id.clone(), kind, channel, secret }
}

fn next_moment(link: &LinkRow, expires_at: UtcMillis, now: UtcMillis) -> Option<UtcMillis> {
    let handed_over_at = expires_at.minus(std::time::Duration::from_secs(link.life_seconds));
    reminder_moments(handed_over_at, expires_at).into_iter().find(|at| *at > now)
}

/// Everything is looked at once more where nobody else can change it.
fn say(
    tx: &mut Tx,
    seen: &ReminderRow,
    message: &NoticeRow,
    made: Option<&Made>,
    (next, asks_for_call): (Option<UtcMillis>, bool),
    now: UtcMillis,
) -> Result<Said, StoreError> {
    let Some(owner) = store::hold_delivery(tx, &message.delivery)? else { return Ok(Said::Nothing) };
    let Link::Live { until: LiveUntil::At(expires_at) } = owner.state else {
        // Refused just now, or dead: of one that comes back its next moment speaks.
        store::take_reminder(tx, seen, next)?;
        return Ok(Said::Nothing);
    };
    let quiet_until = owner.decision.quiet().and_then(|quiet| quiet.end(now)).map(|end| end.at());
    // A night that outlasts the link leaves nobody to remind; staff are told all the same.
    let put_off = quiet_until.filter(|end| *end < expires_at);
    if !store::take_reminder(tx, seen, put_off.or(next))? || put_off.is_some() {
        return Ok(Said::Nothing);
    }
    let mut said = Said::Nothing;
    if let Some(made) = made.filter(|_| message.state == Notice::Sent && quiet_until.is_none()) {
        queue(tx, &owner, made, now)?;
        said = Said::Reminded;
    }
    if asks_for_call && store::ask_for_call(tx, &seen.link, now)? {
        let asked = AuditEvent::CallWanted { link: seen.link.clone() };
        store::append(tx, &owner.entry(now, Actor::System, asked))?;
        let id = NoticeId::random(&mut random::system());
        store::tell_staff(tx, &id, &owner, &seen.link, StaffNews::CallWanted, now)?;
        said = Said::CallAsked;
    }
    Ok(said)
}

fn queue(tx: &mut Tx, owner: &Delivery, made: &Made, now: UtcMillis) -> Result<(), StoreError> {
    if let Some((key, fingerprint)) = &made.mark {
        store::use_dated_key(tx, key.kind().as_str(), key.as_str(), fingerprint, now)?;
    }
    store::insert_notice(tx, &made.notice, now)?;
    let event =
        AuditEvent::Reminded { link: made.notice.link.clone(), notice: made.notice.id.clone(), by: made.notice.kind };
    store::append(tx, &owner.entry(now, Actor::System, event))
}
