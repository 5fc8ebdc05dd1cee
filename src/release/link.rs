//! One link for the reports that leave together.
//!
//! Must stay true: reports share a link only for the same recipient of the same clinic at the same address, under the
//! strictest terms of them all, and none is in a link twice; link, files, notice and every report's step are one commit.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::asks::{Answers, Asker};
use super::health_link::PdfCopy;
use super::judge::{Judged, Kept};
use super::scan::Scanned;
use super::seal::Passed;
use super::{Hindrance, Leased, Release, ReleaseError, StayedBehind, Stays};
use crate::audit::{Actor, AuditEvent, HealthLinkEvent};
use crate::base::{DeliveryId, Key256, LinkId, LinkSecret, MediaType, NoticeId, UtcMillis, random};
use crate::keys::{KeyName, Vault, VaultError};
use crate::policy::vocabulary::Custody;
use crate::policy::{Decision, HealthLink, OpeningTerms, ReviewReason, Terms};
use crate::record::{Card, LinkEvent, NOTICE_WAIT_MAX, NoticeKind, OPENING_LEASE_MAX};
use crate::sealing::{AuthKey, ContentKey, FileContext, FileNumber, Purpose, ReceiptKey};
use crate::store::{
    self, Delivery, DeliveryKind, Mark, MarkKind, NewFile, NewHealthLink, NewLink, NewNotice, NoticeSecret, SourceRow,
    StoreError, Tx,
};

/// Everything that the commit needs.
pub(super) struct Ready {
    /// The lead among them.
    sharers: Vec<Sharer>,
    terms: Terms,
    link: NewLink,
    notice: NewNotice,
    fingerprints: Vec<(KeyName, String)>,
}

struct Sharer {
    delivery: Delivery,
    card: Card,
    contact_index: [u8; 32],
    terms: Terms,
    answers: Answers,
    bytes: u64,
    scanned: Scanned,
}

/// The secrets of a link being made.
struct LinkKeys {
    id: LinkId,
    secret: LinkSecret,
    share: Key256,
}

/// A report that may leave.
struct Going<'a> {
    delivery: &'a Delivery,
    judged: Judged<'a>,
}

/// A link being made, the lead's file first.
pub(super) struct Making<'a> {
    keys: LinkKeys,
    sealed: Vec<(Going<'a>, NewFile, Passed)>,
}

/// How the lead fared, and what does not leave with it.
pub(super) type Attempted = (Result<Box<Ready>, Hindrance>, Vec<StayedBehind>);

impl Release {
    /// Makes the lead's link, with what its companions add to it in time. None keeps another back: companions that the lead
    /// keeps waiting are given back.
    pub(super) async fn attempt(&self, leased: &Leased) -> Result<Attempted, ReleaseError> {
        let keys = LinkKeys::random();
        let (sealed, companions) = {
            let mut leading = std::pin::pin!(self.seal_lead(&leased.lead, &keys));
            if let Ok(sealed) = timeout(self.company.wait, &mut leading).await {
                (sealed?, leased.companions.as_slice())
            } else {
                self.give_back(leased.companions.clone()).await?;
                (leading.await?, [].as_slice())
            }
        };
        let lead = match sealed {
            Ok(lead) => lead,
            Err(hindrance) => return Ok((Err(hindrance), companions.iter().map(apart).collect())),
        };
        let mut making = Making { keys, sealed: vec![lead] };
        let behind = self.add_companions(&mut making, companions).await;
        let now = self.clock.now();
        let health_link = match self.make_health_link(&making, now).await {
            Ok(health_link) => health_link,
            Err(hindrance) => return Ok((Err(hindrance), companions.iter().map(apart).collect())),
        };
        let ready = self.wrap_keys(&leased.lead, making, health_link, now).await?;
        Ok((Ok(Box::new(ready)), behind))
    }

    async fn seal_lead<'a>(
        &'a self,
        delivery: &'a Delivery,
        keys: &LinkKeys,
    ) -> Result<Result<(Going<'a>, NewFile, Passed), Hindrance>, ReleaseError> {
        let lead = match self.judge_anew(delivery).await? {
            Ok(judged) => Going { delivery, judged },
            Err(hindrance) => return Ok(Err(hindrance)),
        };
        let sealed = self.seal_one(&lead, keys, 0).await;
        Ok(sealed.map(|(file, passed)| (lead, file, passed)))
    }

    async fn give_back(&self, companions: Vec<Delivery>) -> Result<(), StoreError> {
        let give_back = move |tx: &mut Tx| companions.iter().try_for_each(|one| store::give_back_companion(tx, one));
        self.store.write(give_back).await
    }

    async fn judge_anew(&self, delivery: &Delivery) -> Result<Result<Judged<'_>, Hindrance>, ReleaseError> {
        let id = delivery.source.clone();
        let itself = delivery.id.clone();
        let read = move |conn: &mut store::Conn| {
            let let_go = store::released_although_doubted(conn, &itself)?;
            let question = store::question_of(conn, &itself)?;
            Ok((store::source(conn, &id)?, Kept { paper: store::paper_of(conn, &itself)?, let_go, question }))
        };
        let (source, kept) = self.store.read(read).await?;
        Ok(self.judge(delivery, source.as_ref(), kept).await)
    }

    /// Adds those that may share the lead's link, as long as it waits for them. Returns the others.
    async fn add_companions<'a>(&'a self, making: &mut Making<'a>, companions: &'a [Delivery]) -> Vec<StayedBehind> {
        let end = Instant::now() + self.company.wait;
        let judged = join_all(companions.iter().map(|one| timeout_at(end, self.judge_anew(one)))).await;
        let (mut going, mut behind): (Vec<Going<'_>>, Vec<_>) = (Vec::new(), Vec::new());
        for (delivery, judged) in companions.iter().zip(judged) {
            match judged {
                Ok(Ok(Ok(judged))) => {
                    let one = Going { delivery, judged };
                    if self.fits(making, &going, &one) { going.push(one) } else { behind.push(apart(delivery)) }
                }
                Ok(Ok(Err(why))) => behind.push(StayedBehind { delivery: delivery.clone(), why: Stays::For(why) }),
                Ok(Err(error)) => {
                    tracing::warn!(delivery = %delivery.id, %error, "a report cannot be looked at; it joins no other");
                    behind.push(apart(delivery));
                }
                Err(Elapsed { .. }) => behind.push(apart(delivery)),
            }
        }
        for one in going {
            match timeout_at(end, self.seal_one(&one, &making.keys, making.sealed.len())).await {
                Ok(Ok((file, passed))) if making.bytes() + file.plain_bytes <= self.company.bytes_max => {
                    making.sealed.push((one, file, passed));
                }
                Ok(Err(why)) => behind.push(StayedBehind { delivery: one.delivery.clone(), why: Stays::For(why) }),
                Ok(Ok(_)) | Err(Elapsed { .. }) => behind.push(apart(one.delivery)),
            }
        }
        behind
    }

    /// Whether a report may share the link of the lead and of those that join it.
    fn fits(&self, making: &Making<'_>, joining: &[Going<'_>], one: &Going<'_>) -> bool {
        let Some((lead, _, _)) = making.sealed.first() else { return false };
        let is_alike = one.delivery.clinic == lead.delivery.clinic
            && one.delivery.addressee == lead.delivery.addressee
            && one.delivery.patient_index == lead.delivery.patient_index
            && one.judged.contact_index == lead.judged.contact_index;
        let others = || std::iter::once(lead).chain(joining);
        let is_sent_once = others().all(|other| other.delivery.source != one.delivery.source);
        let joined = others().fold(one.judged.terms.clone(), |joined, other| joined.join(&other.judged.terms));
        let channel = lead.judged.card.channel();
        let is_possible = match (Decision::Send { terms: joined }).within(&self.available) {
            Decision::Send { terms } => channel.is_some_and(|channel| terms.channels.contains(&channel)),
            Decision::Review { .. } | Decision::Block { .. } => false,
        };
        // A question of the clinic's own is about one report, and a slip about one order.
        let asks_alike = others().chain([one]).all(|other| other.judged.answers.question.is_none())
            && others().all(|other| other.judged.answers.has_slip_of(&one.judged.answers));
        is_alike && is_sent_once && is_possible && asks_alike && one.delivery.decision.gathers_for().is_some()
    }

    async fn seal_one(
        &self,
        going: &Going<'_>,
        keys: &LinkKeys,
        before: usize,
    ) -> Result<(NewFile, Passed), Hindrance> {
        let none = || Hindrance::Review(ReviewReason::Attachment { why: "the report carries none".to_owned() });
        let number = u16::try_from(before + 1).ok().and_then(FileNumber::new).ok_or_else(none)?;
        if let Some(sheet) = &going.judged.written {
            // Written here, of numbers and words: nothing of it was sent as a file.
            let file = self.seal_paper(&sheet.bytes, keys.content(), (&keys.id, number), going.delivery).await?;
            return Ok((file, Passed { scanned: Scanned::Unasked, copy: PdfCopy::Unwanted }));
        }
        self.fetch_and_seal(&going.judged, keys.content(), (&keys.id, number), going.delivery).await
    }

    /// Puts the server's half under the epoch key of the last day on which the link can live, and the secret
    /// under this hour's outbox key.
    async fn wrap_keys(
        &self,
        lead: &Delivery,
        making: Making<'_>,
        health_link: Option<(NewHealthLink, NewFile)>,
        now: UtcMillis,
    ) -> Result<Ready, ReleaseError> {
        let (vault, delivery) = (self.vault.clone(), lead.clone());
        let (LinkKeys { id, secret, share }, sharers, files) = making.done();
        let wrapped = tokio::task::spawn_blocking(move || {
            let Some(terms) = sharers.iter().map(|one| one.terms.clone()).reduce(|one, other| one.join(&other)) else {
                return Err(VaultError::NotOurs);
            };
            // Of one address or number, they are all of one channel.
            let Some(channel) = sharers.iter().find_map(|one| one.card.channel()) else {
                return Err(VaultError::NotOurs);
            };
            let life = Duration::from_secs(terms.expiry_seconds);
            let last_moment = now.plus(NOTICE_WAIT_MAX).plus(life).plus(OPENING_LEASE_MAX);
            let (epoch, outbox) = (KeyName::epoch(last_moment), KeyName::outbox(now));
            let share = vault.seal_dated(&epoch, Purpose::Share, id.as_str(), share.expose())?;
            let secret_kept_sealed = match terms.custody {
                Custody::UntilOpened => {
                    Some(vault.seal_dated(&epoch, Purpose::LinkSecret, id.as_str(), secret.expose())?.bytes)
                }
                Custody::UntilHandedOver => None,
            };
            let notice_id = NoticeId::random(&mut random::system());
            let secret_sealed = vault.seal_dated(&outbox, Purpose::LinkSecret, notice_id.as_str(), secret.expose())?;
            let auth = AuthKey::derive(&secret, &id);
            let receipt = ReceiptKey::derive(&secret, &id);
            let own = sharers.iter().find(|one| one.delivery.id == delivery.id).ok_or(VaultError::NotOurs)?;
            let asker = Asker { delivery: &delivery.id, recipient: delivery.recipient, card: &own.card, link: &id };
            let challenge = own.answers.challenge(&terms, &asker, &vault)?;
            let is_companion = |one: &&Sharer| one.delivery.id != delivery.id;
            let link = NewLink {
                auth_sealed: vault.seal_record(Purpose::AuthKey, id.as_str(), auth.expose()),
                receipt_sealed: vault.seal_record(Purpose::ReceiptKey, id.as_str(), receipt.expose()),
                delivery: delivery.id.clone(),
                companions: sharers.iter().filter(is_companion).map(|one| one.delivery.id.clone()).collect(),
                report_version: delivery.report_version.clone(),
                life_seconds: terms.expiry_seconds,
                opens_max: terms.opens.0.get(),
                challenge,
                secret_kept_sealed,
                opening: OpeningTerms::from(&terms),
                health_link,
                share_wrapped: share.bytes,
                epoch: epoch.as_str().to_owned(),
                files,
                id: id.clone(),
            };
            let notice = NewNotice {
                id: notice_id,
                delivery: delivery.id,
                link: id,
                kind: kind_of(&sharers),
                channel,
                secret: Some(NoticeSecret { sealed: secret_sealed.bytes, key: outbox.as_str().to_owned() }),
            };
            let fingerprints =
                vec![(epoch, share.fingerprint.to_string()), (outbox, secret_sealed.fingerprint.to_string())];
            Ok::<_, VaultError>(Ready { sharers, terms, link, notice, fingerprints })
        })
        .await
        .map_err(|_| ReleaseError::Stopped)??;
        Ok(wrapped)
    }

    /// A companion that somebody moved meanwhile is left where it is now; the rest is made anew at once. So it is when one of
    /// them turns out to be a document that has its link under another name: resolving looks at that one.
    pub(super) async fn commit(&self, lead: Delivery, ready: Ready) -> Result<(), ReleaseError> {
        let now = self.clock.now();
        let (vault, others) = (self.vault.clone(), ready.others(&lead));
        let committed = self.store.write(move |tx| commit_link(tx, &vault, &ready, now)).await;
        let known = match committed {
            Err(StoreError::Moved) if !others.is_empty() => None,
            committed => match committed? {
                Committed::Done => {
                    self.queued.ring();
                    return Ok(());
                }
                Committed::SameElsewhere(known) => Some(known),
            },
        };
        let is_known = |one: &Delivery| known.as_ref().is_some_and(|known| *known == one.id);
        let (known_others, others): (Vec<Delivery>, Vec<Delivery>) = others.into_iter().partition(is_known);
        for other in known_others {
            self.after_resolving(other).await?;
        }
        let again = if is_known(&lead) { None } else { Some(lead.clone()) };
        self.store
            .write(move |tx| {
                for other in &others {
                    store::give_back_companion(tx, other)?;
                }
                again.iter().try_for_each(|lead| store::postpone_delivery(tx, lead, now))
            })
            .await?;
        if is_known(&lead) { self.after_resolving(lead).await } else { Ok(()) }
    }
}

impl LinkKeys {
    fn random() -> Self {
        let mut rng = random::system();
        Self { id: LinkId::random(&mut rng), secret: LinkSecret::random(&mut rng), share: Key256::random(&mut rng) }
    }

    fn content(&self) -> ContentKey {
        ContentKey::derive(&self.secret, &self.share, &self.id)
    }
}

impl Making<'_> {
    fn bytes(&self) -> u64 {
        self.sealed.iter().map(|(_, file, _)| file.plain_bytes).sum()
    }

    /// What the link offers, strictest of all.
    pub(super) fn health_link(&self) -> HealthLink {
        let terms = self.sealed.iter().map(|(going, _, _)| going.judged.terms.clone());
        terms.reduce(|one, other| one.join(&other)).map_or(HealthLink::Never, |terms| terms.health_link())
    }

    pub(super) fn copies(&self) -> impl Iterator<Item = &PdfCopy> {
        self.sealed.iter().map(|(_, _, passed)| &passed.copy)
    }

    /// What the clinic calls itself.
    pub(super) fn clinic(&self) -> Option<&str> {
        let (lead, _, _) = self.sealed.first()?;
        lead.judged.ehr.letterhead.as_ref().map(|head| head.clinic.as_str())
    }

    /// Of one more file, which is the lead's.
    pub(super) fn next(&self) -> Option<(FileContext, &Delivery)> {
        let (lead, _, _) = self.sealed.first()?;
        let number = u16::try_from(self.sealed.len() + 1).ok().and_then(FileNumber::new)?;
        let version = lead.delivery.report_version.clone();
        Some((FileContext { link: self.keys.id.clone(), number, version, media: MediaType::HealthLink }, lead.delivery))
    }

    pub(super) fn content(&self) -> ContentKey {
        self.keys.content()
    }

    fn done(self) -> (LinkKeys, Vec<Sharer>, Vec<NewFile>) {
        let sharer = |(going, file, passed): (Going<'_>, NewFile, Passed)| {
            let Judged { card, contact_index, terms, answers, .. } = going.judged;
            let (delivery, bytes) = (going.delivery.clone(), file.plain_bytes);
            let scanned = passed.scanned;
            (Sharer { delivery, card, contact_index, terms, answers, bytes, scanned }, file)
        };
        let (sharers, files) = self.sealed.into_iter().map(sharer).unzip();
        (self.keys, sharers, files)
    }
}

impl Ready {
    fn others(&self, lead: &Delivery) -> Vec<Delivery> {
        let all = self.sharers.iter().map(|sharer| &sharer.delivery);
        all.filter(|delivery| delivery.id != lead.id).cloned().collect()
    }
}

fn apart(delivery: &Delivery) -> StayedBehind {
    StayedBehind { delivery: delivery.clone(), why: Stays::Apart }
}

/// A message that also replaces an older link says so.
fn kind_of(sharers: &[Sharer]) -> NoticeKind {
    let is_updated = sharers.iter().any(|sharer| match sharer.delivery.kind {
        DeliveryKind::Updated => true,
        DeliveryKind::New => false,
    });
    if is_updated { NoticeKind::UpdatedLink } else { NoticeKind::Link }
}

enum Committed {
    Done,
    /// Nothing was kept: the file of this one has its link under another name.
    SameElsewhere(DeliveryId),
}

/// The mark of each file, with whose it is: now that they were read, they can be told from every other.
fn marks_of(tx: &mut Tx, vault: &Vault, ready: &Ready) -> Result<Vec<(SourceRow, Delivery, Mark)>, StoreError> {
    let mut marks = Vec::new();
    for file in &ready.link.files {
        let Some(sharer) = ready.sharers.iter().find(|sharer| sharer.delivery.id == file.delivery) else { continue };
        let Some(source) = store::source(tx.conn(), &sharer.delivery.source)? else { continue };
        let Some(patient) = source.subject_index else { continue };
        let theirs = vault.documents_index(&patient, source.addressee);
        let mark = Mark { kind: MarkKind::Sha256, mark: vault.file_likeness(&theirs, &file.plain_index) };
        marks.push((source, sharer.delivery.clone(), mark));
    }
    Ok(marks)
}

/// Keeps by what each file is recognised from now on; the delivery of one that has its link under another name already.
fn recognise(tx: &mut Tx, vault: &Vault, ready: &Ready, now: UtcMillis) -> Result<Option<DeliveryId>, StoreError> {
    let marks = marks_of(tx, vault, ready)?;
    let all: Vec<Mark> = marks.iter().map(|(_, _, mark)| mark.clone()).collect();
    store::hold_documents(tx, &all, std::iter::empty())?;
    for (source, delivery, mark) in marks {
        store::note_marks(tx, &source.id, std::slice::from_ref(&mark), &delivery.content_hash, now)?;
        let mut alike = Vec::new();
        for one in store::alike(tx.conn(), (&source.id, source.key.kind), &[mark])? {
            if store::is_still_the_same(tx.conn(), &one, now)? {
                alike.push(one);
            }
        }
        if store::lead_elsewhere(tx.conn(), &alike, &delivery)?.is_some() {
            return Ok(Some(delivery.id));
        }
    }
    Ok(None)
}

fn commit_link(tx: &mut Tx, vault: &Vault, ready: &Ready, now: UtcMillis) -> Result<Committed, StoreError> {
    let link = &ready.link;
    if let Some(known) = recognise(tx, vault, ready, now)? {
        return Ok(Committed::SameElsewhere(known));
    }
    for (key, fingerprint) in &ready.fingerprints {
        store::use_dated_key(tx, key.kind().as_str(), key.as_str(), fingerprint, now)?;
    }
    store::hold_deliveries(tx, ready.sharers.iter().map(|sharer| &sharer.delivery.id))?;
    for Sharer { delivery, card, contact_index, .. } in &ready.sharers {
        let step = delivery.state.clone().step(LinkEvent::Released, now)?;
        store::advance(tx, delivery, &step, Actor::System, now)?;
        let card = vault.seal_record(Purpose::PatientCard, delivery.id.as_str(), &card.to_bytes());
        store::set_card(tx, &delivery.id, &card, contact_index)?;
    }
    for sharer in &ready.sharers {
        end_replaced(tx, &sharer.delivery, now)?;
    }
    store::insert_link(tx, link, now)?;
    store::insert_notice(tx, &ready.notice, now)?;
    for sharer in &ready.sharers {
        note_release(tx, ready, sharer, now)?;
    }
    tracing::info!(delivery = %link.delivery, link = %link.id, expires_after_s = ready.terms.expiry_seconds, "released");
    Ok(Committed::Done)
}

/// What a document says that it replaces ends when it leaves. Of most that was done when it was decided; of one whose status nobody
/// understands, only whoever released it could say so.
fn end_replaced(tx: &mut Tx, delivery: &Delivery, now: UtcMillis) -> Result<(), StoreError> {
    for old in store::replaced_by(tx.conn(), &delivery.source)? {
        for open in store::under_way_of(tx.conn(), &old, &delivery.source)? {
            if let Some(held) = store::hold_delivery(tx, &open.id)?.filter(|held| !held.state.is_final()) {
                let step = held.state.clone().step(LinkEvent::Supersede { by: delivery.id.clone() }, now)?;
                store::advance(tx, &held, &step, Actor::System, now)?;
            }
        }
        store::leave_family(tx, &old.id)?;
    }
    Ok(())
}

fn note_release(tx: &mut Tx, ready: &Ready, sharer: &Sharer, now: UtcMillis) -> Result<(), StoreError> {
    let link = &ready.link;
    let scanned = sharer.scanned.told();
    let mut note = |event| store::append(tx, &sharer.delivery.entry(now, Actor::System, event));
    scanned.into_iter().try_for_each(&mut note)?;
    note(AuditEvent::Sealed { link: link.id.clone(), files: 1, bytes: sharer.bytes, epoch: link.epoch.clone() })?;
    if let Some(challenge) = &link.challenge {
        let what = challenge.asks.iter().map(|ask| ask.ask).collect();
        note(AuditEvent::Asks { link: link.id.clone(), what, attempts: challenge.attempts })?;
    }
    if link.secret_kept_sealed.is_some() {
        note(AuditEvent::SecretKept { link: link.id.clone() })?;
    }
    if let Some((offered, _)) = &link.health_link {
        let asks = if offered.passcode_sealed.is_some() { HealthLink::Passcode } else { HealthLink::Plain };
        let what = HealthLinkEvent::Made { asks: asks.as_str().to_owned(), bytes: offered.file_bytes };
        note(AuditEvent::HealthLink { link: link.id.clone(), what })?;
    }
    let others = ready.sharers.iter().map(|other| &other.delivery.id);
    let with: Vec<_> = others.filter(|other| **other != sharer.delivery.id).cloned().collect();
    if !with.is_empty() {
        note(AuditEvent::SharesLink { link: link.id.clone(), with, noted_with: link.delivery.clone() })?;
    }
    note(AuditEvent::NoticeQueued { notice: ready.notice.id.clone(), channel: ready.notice.channel })
}
