//! One link for the reports that leave together.
//!
//! Must stay true: reports share a link only for the same recipient of the same clinic at the same address, under the
//! strictest terms of them all, and none is in a link twice; link, files, notice and every report's step are one commit.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::asks::{Answers, Asker};
use super::commit::{Committed, commit_link};
use super::health_link::PdfCopy;
use super::judge::{Judged, Kept};
use super::scan::Scanned;
use super::seal::Passed;
use super::{Hindrance, Leased, Release, ReleaseError, StayedBehind, Stays};
use crate::base::{
    DocumentTitle, Key256, LinkId, LinkSecret, MediaType, NoticeId, SecretText, UtcMillis, minutes, random,
};
use crate::fhir::DOCUMENTS_MAX;
use crate::keys::{KeyName, VaultError};
use crate::policy::vocabulary::Custody;
use crate::policy::{Decision, HealthLink, OpeningTerms, ReviewReason, Terms};
use crate::record::{Card, NOTICE_WAIT_MAX, NoticeKind, OPENING_LEASE_MAX};
use crate::sealing::{AuthKey, ContentKey, FileContext, FileNumber, Purpose, ReceiptKey};
use crate::store::{
    self, Delivery, DeliveryKind, NewFile, NewHealthLink, NewLink, NewNotice, NoticeSecret, StoreError, Tx,
};

/// Long before what was sealed first counts as left behind.
const SEALING_MAX: Duration = minutes(60);

/// Everything that the commit needs.
pub(super) struct Ready {
    /// The lead among them.
    pub(super) sharers: Vec<Sharer>,
    pub(super) terms: Terms,
    pub(super) link: NewLink,
    pub(super) notice: NewNotice,
    pub(super) fingerprints: Vec<(KeyName, String)>,
}

pub(super) struct Sharer {
    pub(super) delivery: Delivery,
    pub(super) card: Card,
    pub(super) contact_index: [u8; 32],
    pub(super) terms: Terms,
    pub(super) answers: Answers,
    pub(super) bytes: u64,
    /// For each of its files.
    pub(super) scanned: Vec<Scanned>,
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
    sealed: Vec<Sealed<'a>>,
    contents: Option<NewFile>,
}

/// A report with its files, which are under the link's key; never none.
struct Sealed<'a> {
    going: Going<'a>,
    files: Vec<(NewFile, Passed)>,
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
        let mut making = Making { keys, sealed: vec![lead], contents: None };
        let behind = self.add_companions(&mut making, companions).await;
        making.contents = match self.make_contents(&making).await {
            Ok(contents) => contents,
            Err(hindrance) => return Ok((Err(hindrance), companions.iter().map(apart).collect())),
        };
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
    ) -> Result<Result<Sealed<'a>, Hindrance>, ReleaseError> {
        let lead = match self.judge_anew(delivery).await? {
            Ok(judged) => Going { delivery, judged },
            Err(hindrance) => return Ok(Err(hindrance)),
        };
        let too_slow = || Err(Hindrance::Later { why: "its files take too long to come".to_owned() });
        let sealed = timeout(SEALING_MAX, self.seal_all(&lead, keys, 0)).await.unwrap_or_else(|_| too_slow());
        Ok(sealed.map(|files| Sealed { going: lead, files }))
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
            Ok((
                store::source(conn, &id)?,
                Kept { paper: store::paper_of(conn, &itself)?, let_go, question, note: store::note_of(conn, &itself)? },
            ))
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
            match timeout_at(end, self.seal_all(&one, &making.keys, making.file_count())).await {
                Ok(Ok(files)) if making.bytes() + bytes_of(&files) <= self.company.bytes_max => {
                    making.sealed.push(Sealed { going: one, files });
                }
                Ok(Err(why)) => behind.push(StayedBehind { delivery: one.delivery.clone(), why: Stays::For(why) }),
                Ok(Ok(_)) | Err(Elapsed { .. }) => behind.push(apart(one.delivery)),
            }
        }
        behind
    }

    /// Whether a report may share the link of the lead and of those that join it.
    fn fits(&self, making: &Making<'_>, joining: &[Going<'_>], one: &Going<'_>) -> bool {
        let Some(Sealed { going: lead, .. }) = making.sealed.first() else { return false };
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
        // A question of the clinic's own is about one report, as what staff say is, and a slip about one order.
        let is_plain = |other: &Going<'_>| other.judged.answers.question.is_none() && other.judged.note.is_none();
        let asks_alike = others().chain([one]).all(is_plain)
            && others().all(|other| other.judged.answers.has_slip_of(&one.judged.answers));
        is_alike && is_sent_once && is_possible && asks_alike && one.delivery.decision.gathers_for().is_some()
    }

    /// Seals all that a report consists of, after `before` other files of the link. A file that comes twice is sealed once.
    async fn seal_all(
        &self,
        going: &Going<'_>,
        keys: &LinkKeys,
        before: usize,
    ) -> Result<Vec<(NewFile, Passed)>, Hindrance> {
        let review = |why: String| Hindrance::Review(ReviewReason::Attachment { why });
        let number = |nth: usize| {
            let number = u16::try_from(before + nth + 1).ok().and_then(FileNumber::new);
            number.ok_or_else(|| review("the link holds too many files".to_owned()))
        };
        if let Some(sheet) = &going.judged.written {
            // Written here, of numbers and words: nothing of it was sent as a file.
            let file = self.seal_paper(&sheet.bytes, keys.content(), (&keys.id, number(0)?), going.delivery).await?;
            return Ok(vec![(file, Passed { scanned: Scanned::Unasked, copy: PdfCopy::Unwanted, title: None })]);
        }
        let documents = going.judged.report.documents();
        if documents.is_empty() || documents.len() > DOCUMENTS_MAX {
            return Err(review(format!("the report carries no file, or more than {DOCUMENTS_MAX}")));
        }
        let mut files: Vec<(NewFile, Passed)> = Vec::new();
        for document in documents {
            let about = (&keys.id, number(files.len())?);
            match self.fetch_and_seal((&going.judged, document), keys.content(), about, going.delivery).await {
                Ok((again, _)) if files.iter().any(|(file, _)| file.plain_index == again.plain_index) => {
                    self.discard([again]).await;
                }
                Ok(sealed) => files.push(sealed),
                Err(hindrance) => {
                    self.discard(files.into_iter().map(|(file, _)| file)).await;
                    return Err(hindrance);
                }
            }
            if files.len() > 1 && bytes_of(&files) > self.company.bytes_max {
                self.discard(files.into_iter().map(|(file, _)| file)).await;
                return Err(review("its files are too large together for one link".to_owned()));
            }
        }
        Ok(files)
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
        let (LinkKeys { id, secret, share }, sharers, files, contents) = making.done();
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
                contents,
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
    /// What each document is called, by its number in the link.
    pub(super) fn titles(&self) -> impl Iterator<Item = (u16, &DocumentTitle)> {
        let named = self.sealed.iter().flat_map(|sealed| &sealed.files);
        named.filter_map(|(file, passed)| Some((file.number, passed.title.as_ref()?)))
    }

    /// What staff say beside the documents, in their order.
    pub(super) fn notes(&self) -> impl Iterator<Item = &SecretText> {
        self.sealed.iter().filter_map(|sealed| sealed.going.judged.note.as_ref())
    }

    fn bytes(&self) -> u64 {
        self.sealed.iter().map(|sealed| bytes_of(&sealed.files)).sum()
    }

    pub(super) fn file_count(&self) -> usize {
        self.sealed.iter().map(|sealed| sealed.files.len()).sum()
    }

    /// What the link offers, strictest of all.
    pub(super) fn health_link(&self) -> HealthLink {
        let terms = self.sealed.iter().map(|sealed| sealed.going.judged.terms.clone());
        terms.reduce(|one, other| one.join(&other)).map_or(HealthLink::Never, |terms| terms.health_link())
    }

    pub(super) fn copies(&self) -> impl Iterator<Item = &PdfCopy> {
        self.sealed.iter().flat_map(|sealed| &sealed.files).map(|(_, passed)| &passed.copy)
    }

    /// What the clinic calls itself.
    pub(super) fn clinic(&self) -> Option<&str> {
        let Sealed { going: lead, .. } = self.sealed.first()?;
        lead.judged.ehr.letterhead.as_ref().map(|head| head.clinic.as_str())
    }

    /// Of one more file, which is the lead's.
    pub(super) fn next(&self, media: MediaType) -> Option<(FileContext, &Delivery)> {
        let Sealed { going: lead, .. } = self.sealed.first()?;
        let before = self.file_count() + self.contents.iter().count();
        let number = u16::try_from(before + 1).ok().and_then(FileNumber::new)?;
        let version = lead.delivery.report_version.clone();
        Some((FileContext { link: self.keys.id.clone(), number, version, media }, lead.delivery))
    }

    pub(super) fn content(&self) -> ContentKey {
        self.keys.content()
    }

    fn done(self) -> (LinkKeys, Vec<Sharer>, Vec<NewFile>, Option<NewFile>) {
        let (mut sharers, mut files) = (Vec::new(), Vec::new());
        for Sealed { going, files: own } in self.sealed {
            let Judged { card, contact_index, terms, answers, .. } = going.judged;
            let (delivery, bytes) = (going.delivery.clone(), bytes_of(&own));
            let (own, passed): (Vec<NewFile>, Vec<Passed>) = own.into_iter().unzip();
            let scanned = passed.into_iter().map(|passed| passed.scanned).collect();
            sharers.push(Sharer { delivery, card, contact_index, terms, answers, bytes, scanned });
            files.extend(own);
        }
        (self.keys, sharers, files, self.contents)
    }
}

fn bytes_of(files: &[(NewFile, Passed)]) -> u64 {
    files.iter().map(|(file, _)| file.plain_bytes).sum()
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
