//! Texts: handed over, asked about, reported on, answered by those who get them.
//!
//! Must stay true: a text whose fate is unknown is never sent again by itself; a report counts only at the address that was made for
//! its message and from whom it is; what a stranger forges does nothing; whoever asks for no more texts gets none, from any clinic.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::sent_to::{contact_in_card, sent_to};
use super::settle::end_notice;
use super::{Outbox, OutboxError, TextPace};
use crate::audit::{Actor, AuditEvent};
use crate::base::{Contact, NoticeId, PhoneNumber, UtcMillis, hours, minutes, random};
use crate::keys::Vault;
use crate::notify::text::{
    self, LookedUp, Text, TextCall, TextError, TextName, TextOutcome, TextReport, TextWhy, Texter, Wish,
};
use crate::policy::{Channel, ReviewReason};
use crate::record::{Notice, NoticeEvent};
use crate::sealing::hmac_sha256;
use crate::store::{self, ContactKey, Delivery, LeasedNotice, NoticeRow, StoreError, Tx};

/// Texts that are asked about in one turn.
const ASKED_AT_ONCE: i64 = 8;
/// For so long a gateway may still take up a text that it did not acknowledge.
const ASKED_FOR: Duration = minutes(30);
const ASK_AGAIN_AFTER: Duration = minutes(2);
/// A gateway that does not answer by then is asked less often, and after a day no more.
const ASK_LATE_AGAIN_AFTER: Duration = hours(1);
const ASKED_FOR_AT_MOST: Duration = hours(24);
/// Long after every link has ended.
const NEVER: Duration = hours(24 * 365 * 20);
/// What a message's address ends with: 128 bits of a keyed hash.
const TOKEN_BYTES: usize = 16;

/// The way of texts.
pub struct Texts {
    pub texter: Texter,
    /// `https://r.clinic.example/`: where gateways reach us.
    pub public_url: Url,
    pub pace: TextPace,
}

/// What became of a gateway's call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeardText {
    /// Kept, or nothing was to be kept.
    Heard,
    /// It does not prove from whom it is.
    Forged,
    /// No texts are sent here.
    Off,
}

impl Texts {
    /// The address at which a gateway tells what became of one message.
    pub(super) fn report_to(&self, vault: &Vault, notice: &NoticeId) -> Url {
        let mut url = self.public_url.clone();
        url.set_path(&format!("{}sms/status/{notice}/{}", url.path(), token_of(vault, notice)));
        url
    }

    /// Such an address of a message that there never was, which proves nothing.
    #[must_use]
    pub fn foreign_address(&self) -> Url {
        let mut rng = random::system();
        let mut url = self.public_url.clone();
        let guessed = NoticeId::random(&mut rng);
        url.set_path(&format!("{}sms/status/{}/{guessed}", url.path(), NoticeId::random(&mut rng)));
        url
    }

    /// Sends staff a text about nobody, once.
    ///
    /// # Errors
    /// [`TextError`] where the clinic's name leaves no room for it.
    pub async fn send_trial(
        &self,
        vault: &Vault,
        (to, clinic): (&PhoneNumber, &TextName),
        patient_url: &Url,
        now: UtcMillis,
    ) -> Result<TextOutcome, TextError> {
        let id = NoticeId::random(&mut random::system());
        let body = text::trial(clinic, &format!("{patient_url}robots.txt?trial={id}"))?;
        let report_to = self.report_to(vault, &id);
        Ok(self.texter.send(&Text { id, to: to.clone(), body, report_to }, now).await)
    }
}

/// How many texts may leave before the day's quota is used up.
pub(super) fn left_of_day(tx: &mut Tx, per_day_max: Option<u64>, now: UtcMillis) -> Result<usize, StoreError> {
    let Some(max) = per_day_max else { return Ok(usize::MAX) };
    let sent = store::texts_since(tx.conn(), now.minus(hours(24)))?;
    let left = max.saturating_sub(u64::try_from(sent).unwrap_or(u64::MAX));
    Ok(usize::try_from(left).unwrap_or(usize::MAX))
}

/// What nobody can guess who was not given the message's address.
fn token_of(vault: &Vault, notice: &NoticeId) -> String {
    let mac = hmac_sha256(vault.pepper(), &[b"chartseal/1/text report/", notice.as_str().as_bytes()]);
    BASE64URL_NOPAD.encode(mac.get(..TOKEN_BYTES).unwrap_or_default())
}

impl Outbox {
    pub(super) async fn send_text(&self, text: &Text) -> TextOutcome {
        match &self.texts {
            Some(texts) => texts.texter.send(text, self.clock.now()).await,
            None => TextOutcome::Withheld,
        }
    }

    pub(super) async fn settle_text(&self, leased: LeasedNotice, outcome: TextOutcome) -> Result<(), OutboxError> {
        match outcome {
            TextOutcome::Accepted => self.settle_with(leased, NoticeEvent::Accepted, String::new()).await,
            TextOutcome::Transient { why } => self.settle_with(leased, NoticeEvent::Transient, why.to_string()).await,
            TextOutcome::Ambiguous { why } => self.settle_with(leased, NoticeEvent::Uncertain, why.to_string()).await,
            TextOutcome::Misconfigured { why } => {
                tracing::error!(%why, "the text gateway cannot be used as it is configured; notices wait");
                self.settle_with(leased, NoticeEvent::Transient, why.to_string()).await
            }
            TextOutcome::Withheld => self.withhold(leased, ReviewReason::Withheld).await,
            TextOutcome::Permanent { why } => {
                tracing::warn!(notice = %leased.notice.id, %why, "a text was refused for good");
                let now = self.clock.now();
                let LeasedNotice { notice, delivery, .. } = leased;
                let number = sent_to(&self.vault, &notice, &delivery);
                self.store
                    .write(move |tx| {
                        end_notice(tx, &notice, NoticeEvent::Permanent, reason_of(why, now), now)?;
                        note_of_number(tx, &delivery, number.as_ref(), why, now)
                    })
                    .await?;
                Ok(())
            }
        }
    }

    /// Asks the gateway about texts of which nobody knows whether they were sent.
    pub(super) async fn ask_about_unsure_texts(&self) -> Result<usize, OutboxError> {
        let Some(texts) = &self.texts else { return Ok(0) };
        let now = self.clock.now();
        let unsure = self.store.read(move |conn| store::unsure_texts(conn, now, ASKED_AT_ONCE)).await?;
        let count = unsure.len();
        for notice in unsure {
            let since = notice.first_attempt_at.unwrap_or(notice.created_at);
            let answer = match self.number_of(&notice).await? {
                Some(to) => texts.texter.look_up(&to, &notice.link, since).await,
                None => LookedUp::Unknown,
            };
            let age = Age::of(now.since(since));
            let vault = self.vault.clone();
            self.store.write(move |tx| settle_asked(tx, &vault, &notice, (answer, age), now)).await?;
        }
        Ok(count)
    }

    /// The number to which a link went. A code is not asked about: whoever lacks it asks for another.
    async fn number_of(&self, notice: &NoticeRow) -> Result<Option<PhoneNumber>, OutboxError> {
        if !notice.kind.brings_the_link() {
            return Ok(None);
        }
        let id = notice.delivery.clone();
        let delivery = self.store.read(move |conn| store::delivery(conn, &id)).await?;
        Ok(match delivery.and_then(|delivery| contact_in_card(&self.vault, notice, &delivery)) {
            Some(Contact::Phone(number)) => Some(number),
            Some(Contact::Email(_)) | None => None,
        })
    }

    /// Our public address of a path, as a gateway calls it; `None` where no texts are sent.
    #[must_use]
    pub fn public_address(&self, path: &str, query: &str) -> Option<String> {
        let base = self.texts.as_ref()?.public_url.as_str();
        let whole = format!("{base}{}", path.trim_start_matches('/'));
        Some(if query.is_empty() { whole } else { format!("{whole}?{query}") })
    }

    /// A gateway tells what became of a message.
    ///
    /// # Errors
    /// [`OutboxError`]; the gateway must tell again.
    pub async fn hear_report(&self, notice: &str, token: &str, call: &TextCall<'_>) -> Result<HeardText, OutboxError> {
        let Some(texts) = &self.texts else { return Ok(HeardText::Off) };
        let Ok(id) = NoticeId::parse(notice) else { return Ok(HeardText::Forged) };
        let is_ours: bool = token_of(&self.vault, &id).as_bytes().ct_eq(token.as_bytes()).into();
        let now = self.clock.now();
        let Some(report) = is_ours.then(|| texts.texter.report(call, now)).flatten() else {
            return Ok(HeardText::Forged);
        };
        if report != TextReport::Nothing {
            let vault = self.vault.clone();
            self.store.write(move |tx| settle_report(tx, &vault, &id, report, now)).await?;
        }
        Ok(HeardText::Heard)
    }

    /// Somebody wrote to us. `token` is what stands behind the address.
    ///
    /// # Errors
    /// [`OutboxError`]; the gateway must tell again.
    pub async fn hear_incoming(&self, token: Option<&str>, call: &TextCall<'_>) -> Result<HeardText, OutboxError> {
        let Some(texts) = &self.texts else { return Ok(HeardText::Off) };
        let now = self.clock.now();
        let Some(incoming) = texts.texter.incoming(call, token, now) else { return Ok(HeardText::Forged) };
        let Some(incoming) = incoming else { return Ok(HeardText::Heard) };
        let number = self.vault.number_index(&incoming.from);
        let is_news = match incoming.wish {
            Wish::Stop => self.store.write(move |tx| store::note_opt_out(tx, &number, now)).await?,
            Wish::Start => self.store.write(move |tx| store::end_opt_out(tx, &number, now)).await?,
        };
        if is_news {
            tracing::warn!(wish = ?incoming.wish, "somebody wrote back to a text; see `chartseal contacts list`");
        }
        Ok(HeardText::Heard)
    }
}

/// What was told of a message: states move forward, and what was told before changes nothing.
fn settle_report(
    tx: &mut Tx,
    vault: &Vault,
    id: &NoticeId,
    report: TextReport,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let Some(found) = store::notice(tx.conn(), id)? else { return Ok(()) };
    let Some(owner) = store::hold_delivery(tx, &found.delivery)? else { return Ok(()) };
    // As it is now that nobody else moves it.
    let Some(notice) = store::notice(tx.conn(), id)? else { return Ok(()) };
    if notice.channel != Channel::Sms {
        return Ok(());
    }
    match report {
        TextReport::Nothing => Ok(()),
        TextReport::Taken => confirm(tx, &notice, &owner, now),
        TextReport::Arrived => {
            confirm(tx, &notice, &owner, now)?;
            store::note_arrival(tx, id, &owner, now).map(drop)
        }
        TextReport::Failed { why } => {
            let number = sent_to(vault, &notice, &owner);
            fail(tx, &notice, (&owner, number.as_ref()), why, now)
        }
    }
}

fn confirm(tx: &mut Tx, notice: &NoticeRow, owner: &Delivery, now: UtcMillis) -> Result<(), StoreError> {
    match notice.state.step(NoticeEvent::Confirmed, now) {
        Ok(step) => unless_moved(store::settle_reported(tx, notice, owner, &step, None, now)),
        // It was known, or its link has ended; then its patient may hold a dead link, and the audit says so.
        Err(_) if notice.state == Notice::Dead && notice.arrived_at.is_none() => {
            let event = AuditEvent::NoticeStepped {
                notice: notice.id.clone(),
                to: Notice::Sent,
                why: Some("it was taken while its link ended".to_owned()),
            };
            store::append(tx, &owner.entry(now, Actor::System, event))
        }
        Err(_) => Ok(()),
    }
}

fn fail(
    tx: &mut Tx,
    notice: &NoticeRow,
    (owner, number): (&Delivery, Option<&ContactKey>),
    why: TextWhy,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let Ok(step) = notice.state.step(NoticeEvent::Undelivered, now) else { return Ok(()) };
    // Whoever opened it has it, whatever a network says.
    if notice.kind.brings_the_link() && store::link(tx.conn(), &notice.link)?.is_some_and(|link| link.opened > 0) {
        return Ok(());
    }
    let reason = reason_of(why, now);
    match store::settle_reported(tx, notice, owner, &step, Some(&reason.to_string()), now) {
        Err(StoreError::Moved) => return Ok(()),
        other => other?,
    }
    tracing::warn!(notice = %notice.id, %why, "a text did not arrive");
    // What it has by now may have gone elsewhere.
    if owner.link.as_ref() != Some(&notice.link) {
        return Ok(());
    }
    if notice.kind.brings_the_link() {
        super::settle::end_link(tx, owner, reason, now)?;
    }
    note_of_number(tx, owner, number, why, now)
}

fn settle_asked(
    tx: &mut Tx,
    vault: &Vault,
    asked: &NoticeRow,
    (answer, age): (LookedUp, Age),
    now: UtcMillis,
) -> Result<(), StoreError> {
    let not_sent = TextWhy::new(crate::notify::text::Fault::Gateway, "the gateway has no such message");
    match answer {
        LookedUp::Found(TextReport::Nothing) => settle_report(tx, vault, &asked.id, TextReport::Taken, now),
        LookedUp::Found(report) => settle_report(tx, vault, &asked.id, report, now),
        LookedUp::NotThere if age != Age::Fresh => {
            settle_report(tx, vault, &asked.id, TextReport::Failed { why: not_sent }, now)
        }
        LookedUp::NotThere | LookedUp::Unknown => store::ask_again_at(tx, &asked.id, now.plus(age.asks_again_after())),
    }
}

/// For how long nobody knows of a text whether it was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// The gateway may still take it up.
    Fresh,
    Late,
    /// From here on only a report or a person can tell.
    Old,
}

impl Age {
    fn of(since: Duration) -> Self {
        if since < ASKED_FOR {
            Self::Fresh
        } else if since < ASKED_FOR_AT_MOST {
            Self::Late
        } else {
            Self::Old
        }
    }

    const fn asks_again_after(self) -> Duration {
        match self {
            Self::Fresh => ASK_AGAIN_AFTER,
            Self::Late => ASK_LATE_AGAIN_AFTER,
            Self::Old => NEVER,
        }
    }
}

/// What a refusal says of the number itself.
fn note_of_number(
    tx: &mut Tx,
    delivery: &Delivery,
    number: Option<&ContactKey>,
    why: TextWhy,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let Some(number) = number else { return Ok(()) };
    if why.is_no_such_number() {
        return store::note_bounce(tx, delivery, number, now);
    }
    if why.is_opt_out() { store::note_opt_out(tx, &number.address, now).map(drop) } else { Ok(()) }
}

fn reason_of(why: TextWhy, now: UtcMillis) -> ReviewReason {
    if why.is_opt_out() {
        ReviewReason::ContactOptedOut { since: now }
    } else {
        ReviewReason::NoticeRefused { why: why.to_string() }
    }
}

fn unless_moved(done: Result<(), StoreError>) -> Result<(), StoreError> {
    match done {
        Err(StoreError::Moved) => Ok(()),
        other => other,
    }
}
