//! Opening: from the first look to the receipt.
//!
//! Job: let whoever holds a link's secret look, claim, fetch and confirm, and nobody else learn anything.
//! Must stay true: without the proof nothing is counted, sent or revealed, and known, unknown and malformed ids
//! answer alike; looking spends nothing; the share leaves only in the answer to a claim; every request checks the
//! state again.
//! Must not know: HTTP, cookies' syntax, how the link reached its holder. The content key is never here.

mod challenge;
mod health_link;
mod holder;
mod nonce;
mod state;
#[cfg(test)]
mod tests;
mod unlocking;
mod wishes;

use std::collections::HashMap;
use std::io::Read;

use tokio::sync::Semaphore;

use crate::audit::{Actor, AuditEvent};
use crate::base::{
    Bell, ClinicId, Clock, Key256, LanguageTag, LinkId, MediaType, NoticeId, OpeningId, Reference, UtcMillis,
    VersionId, minutes, random,
};
use crate::blobs::{BlobError, BlobKey, BlobStore};
use crate::keys::{KeyKind, KeyName, Vault, VaultError};
use crate::policy::vocabulary::{Download, Notify};
use crate::record::{OPENING_LEASE, Opening, StaffNews};
use crate::sealing::{Purpose, ReceiptKey, ReceiptOutcome, verify_receipt};
use crate::store::{self, Claim, ClaimLease, Delivery, LinkRow, Received, Store, StoreError, Tx};

pub use challenge::{AskedCode, AskedQuestion, AskedUnlock, Asks, CodeSaid, Said};
pub use health_link::{HealthFile, Manifest};
use holder::Proven;
pub use nonce::{Begun, COOKIE_CHARACTERS, Nonce};
pub use state::{Another, Ended, EndedKind, Looked, Standing};

/// A lease is stretched when it has less than this left to its full length.
const STRETCH_AFTER: std::time::Duration = minutes(1);

/// What a page may say about the clinic. The house may have no name: each language then has words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClinicCard {
    pub name: String,
    pub phone: String,
    /// IANA.
    pub zone: String,
    pub language: LanguageTag,
}

/// The open step.
pub struct Open {
    store: Store,
    clock: Clock,
    vault: Vault,
    blobs: BlobStore,
    clinics: HashMap<ClinicId, ClinicCard>,
    /// For a delivery whose clinic is no longer configured.
    house: ClinicCard,
    decoys: Decoys,
    hashed_at_once: Semaphore,
    /// Rung when a code is to be sent.
    queued: Bell,
    /// Rung when the holder of a link that ended wants another.
    wished: Bell,
}

/// Sealed keys of nobody, so that an unknown link costs the same work as a known one.
struct Decoys {
    auth: Vec<u8>,
    receipt: Vec<u8>,
}

/// What a request of the page carries, unparsed: a malformed part is answered like a wrong one.
pub struct Holder<'a> {
    pub link: &'a str,
    pub cookie: Option<&'a str>,
    pub nonce: &'a str,
    pub proof: &'a str,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Patient: the browser did not send the cookie back.
    #[error("the browser did not return the cookie")]
    NoCookie,
    /// Patient or stranger: no such link, or not its secret.
    #[error("no link answers to this")]
    NotHolder,
    /// Outside.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Us or outside.
    #[error("a key cannot be used: {0}")]
    Vault(#[from] VaultError),
    #[error("a sealed file cannot be read: {0}")]
    Blob(#[from] BlobError),
    /// Us.
    #[error("a part of the open step stopped unexpectedly")]
    Stopped,
}

/// The answer to a claim.
pub enum Opened {
    Granted(Box<Granted>),
    /// The link asks something first.
    Asks(Box<Standing>),
    Ended(Ended),
}

/// Everything that the browser needs to fetch and decrypt.
pub struct Granted {
    pub share: Key256,
    pub files: Vec<OpenFile>,
    pub lease_until: UtcMillis,
    /// When the page takes the document away at the latest, where the rules say so.
    pub view_until: Option<UtcMillis>,
    pub download: Download,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    pub number: u16,
    pub report_version: VersionId,
    pub media: MediaType,
    pub plain_bytes: u64,
    pub sealed_bytes: u64,
}

/// A sealed file that this browser may read now.
pub struct SealedFile {
    pub blob: BlobKey,
    pub sealed_bytes: u64,
    /// Names these bytes for ever: a blob is never written twice.
    pub etag: String,
}

impl Open {
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        vault: Vault,
        blobs: BlobStore,
        clinics: HashMap<ClinicId, ClinicCard>,
        house: ClinicCard,
        (queued, wished): (Bell, Bell),
    ) -> Self {
        let of_nobody = |purpose| vault.seal_record(purpose, holder::DECOY, &[0; 32]);
        let decoys = Decoys { auth: of_nobody(Purpose::AuthKey), receipt: of_nobody(Purpose::ReceiptKey) };
        let hashed_at_once = Semaphore::new(challenge::HASHED_AT_ONCE);
        Self { store, clock, vault, blobs, clinics, house, decoys, hashed_at_once, queued, wished }
    }

    /// What every page shows before anything is proved: made from the id alone, known or not.
    #[must_use]
    pub fn reference_of(&self, link: &str) -> Option<Reference> {
        LinkId::parse(link).ok().map(|link| Reference::of(&link))
    }

    /// Whether a link of ours has this reference, or had it. Nothing else is said of it to whoever only has that.
    ///
    /// # Errors
    /// [`OpenError::Store`].
    pub async fn is_from_us(&self, reference: &Reference) -> Result<bool, OpenError> {
        let asked = reference.clone();
        let links = self.store.read(move |conn| store::link_by_reference(conn, &asked)).await?;
        Ok(!links.is_empty())
    }

    #[must_use]
    pub fn house(&self) -> &ClinicCard {
        &self.house
    }

    /// Begins a visit: a cookie for this browser and a nonce to prove with. Spends and stores nothing.
    #[must_use]
    pub fn begin(&self, link: &str, cookie: Option<&str>) -> Begun {
        Begun::new(link, cookie, self.vault.pepper(), self.clock.now(), &mut random::system())
    }

    /// Says how the link stands, to its holder. Spends nothing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn look(&self, holder: &Holder<'_>) -> Result<Looked, OpenError> {
        let proven = self.prove(holder).await?;
        let now = self.clock.now();
        let looked = self.looked(&proven, now).await?;
        if let Looked::Ready(_) = looked {
            let (link, cookie, delivery) = (proven.link.id.clone(), proven.cookie_hash, proven.delivery.clone());
            let id = OpeningId::random(&mut random::system());
            self.store
                .write(move |tx| {
                    if store::begin_opening(tx, &link, &cookie, &id, now)?.is_some() {
                        let event = AuditEvent::Landed { link: link.clone() };
                        store::append(tx, &delivery.entry(now, Actor::Holder, event))?;
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(looked)
    }

    /// Claims an opening for this browser and gives the share; repeated, it gives the same again.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, holder: &Holder<'_>) -> Result<Opened, OpenError> {
        let proven = self.prove(holder).await?;
        let now = self.clock.now();
        // Before anything is spent or written: what cannot be read now could not be given either, and the holder of a
        // dead link, who may ask for ever, must not fill the audit with it.
        if (proven.is_dead() || self.is_lost(&proven.link).await?)
            && let Looked::Ended(ended) = self.looked(&proven, now).await?
        {
            return Ok(Opened::Ended(ended));
        }
        if let Some(asking) = self.asking(&proven, now).await? {
            return Ok(Opened::Asks(Box::new(asking)));
        }
        let (delivery, cookie) = (proven.delivery.clone(), proven.cookie_hash);
        let link = proven.link.id.clone();
        let id = OpeningId::random(&mut random::system());
        let claim = self.store.write(move |tx| claim(tx, &delivery, &link, &cookie, &id, now)).await?;
        match claim {
            Claim::Granted { link, files, lease } | Claim::Repeated { link, files, lease } => {
                self.grant(link, files, lease).await
            }
            Claim::Refused(_) => {
                let again = self.reload(&proven).await?;
                match self.looked(&again, now).await? {
                    Looked::Ended(ended) => Ok(Opened::Ended(ended)),
                    // Raced by another browser that has lapsed since, or ended between the two looks.
                    Looked::Ready(standing) if standing.asks.is_some() => Ok(Opened::Asks(Box::new(standing))),
                    Looked::Ready(_) | Looked::Yours(_) => {
                        Ok(Opened::Ended(self.ended(&again, EndedKind::OpenedElsewhere, Some(now))))
                    }
                }
            }
        }
    }

    /// How a link stands that still asks something of this browser. Whoever holds one may ask for ever, so nothing is written.
    async fn asking(&self, proven: &Proven, now: UtcMillis) -> Result<Option<Standing>, OpenError> {
        let id = proven.link.id.clone();
        if self.store.read(move |conn| store::challenge_of(conn, &id)).await?.is_none() {
            return Ok(None);
        }
        match self.looked(proven, now).await? {
            Looked::Ready(standing) => Ok(standing.asks.is_some().then_some(standing)),
            Looked::Yours(_) | Looked::Ended(_) => Ok(None),
        }
    }

    async fn grant(&self, link: LinkRow, files: Vec<store::FileRow>, lease: ClaimLease) -> Result<Opened, OpenError> {
        let view_until = link.opening.ends_after().map(|view| lease.since.plus(view));
        let download = link.opening.download;
        let share = self.share_of(link).await?;
        let files = files
            .into_iter()
            .map(|file| OpenFile {
                number: file.number,
                report_version: file.report_version,
                media: file.media,
                plain_bytes: file.plain_bytes,
                sealed_bytes: file.sealed_bytes,
            })
            .collect();
        Ok(Opened::Granted(Box::new(Granted { share, files, lease_until: lease.until, view_until, download })))
    }

    /// Whether the server's half of the key is kept but can never be read again, since its epoch key is lost.
    async fn is_lost(&self, link: &LinkRow) -> Result<bool, OpenError> {
        if link.share_wrapped.is_none() {
            return Ok(false);
        }
        match self.share_of(link.clone()).await {
            Ok(_) => Ok(false),
            Err(OpenError::Vault(VaultError::KeyGone | VaultError::NotOurs)) => Ok(true),
            Err(passing) => Err(passing),
        }
    }

    async fn share_of(&self, link: LinkRow) -> Result<Key256, OpenError> {
        let vault = self.vault.clone();
        let share = tokio::task::spawn_blocking(move || {
            let name = KeyName::parse(KeyKind::Epoch, &link.epoch).map_err(|_| VaultError::NotOurs)?;
            let wrapped = link.share_wrapped.ok_or(VaultError::KeyGone)?;
            let share = vault.open_dated(&name, Purpose::Share, link.id.as_str(), &wrapped)?;
            Key256::from_slice(&share).ok_or(VaultError::NotOurs)
        })
        .await
        .map_err(|_| OpenError::Stopped)??;
        Ok(share)
    }

    /// The sealed file, if this browser holds a running claim. Progress stretches the claim's lease.
    ///
    /// # Errors
    /// [`OpenError::NotHolder`] for everybody else.
    pub async fn file(&self, link: &str, cookie: Option<&str>, number: u16) -> Result<SealedFile, OpenError> {
        let now = self.clock.now();
        let link = LinkId::parse(link).map_err(|_| OpenError::NotHolder)?;
        let cookie_hash = nonce::hash_of(cookie.ok_or(OpenError::NotHolder)?).ok_or(OpenError::NotHolder)?;
        let grant = self.store.read(move |conn| store::file_grant(conn, &link, &cookie_hash, number, now)).await?;
        let grant = grant.ok_or(OpenError::NotHolder)?;
        if grant.lease_until.since(now) + STRETCH_AFTER < OPENING_LEASE {
            let opening = grant.opening.clone();
            self.store.write(move |tx| store::stretch_lease(tx, &opening, now)).await?;
        }
        let blob = BlobKey::parse(&grant.blob).map_err(|_| StoreError::BadRow { column: "sealed_file.blob" })?;
        let etag = format!("\"{}\"", grant.blob);
        Ok(SealedFile { blob, sealed_bytes: grant.sealed_bytes, etag })
    }

    /// Reads up to `length` bytes of a sealed file from `start`, on a blocking thread.
    ///
    /// # Errors
    /// [`OpenError::Blob`].
    pub async fn read(&self, blob: BlobKey, start: u64, length: u64) -> Result<Vec<u8>, OpenError> {
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || {
            let mut range = blobs.open_range(&blob, start, length)?;
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            range.read_to_end(&mut bytes).map_err(BlobError::from)?;
            Ok(bytes)
        })
        .await
        .map_err(|_| OpenError::Stopped)?
    }

    /// Takes the browser's word, proved, that it could read every file, or could not. A good receipt ends the claim
    /// before its lease does; a bad one leaves it, so that the holder can try again. Without a running claim, as when the
    /// same receipt comes twice, nothing is written.
    ///
    /// # Errors
    /// [`OpenError::NotHolder`] for a wrong proof.
    pub async fn receipt(
        &self,
        link: &str,
        cookie: Option<&str>,
        outcome: ReceiptOutcome,
        mac: &str,
    ) -> Result<(), OpenError> {
        let cookie_hash = nonce::hash_of(cookie.ok_or(OpenError::NotHolder)?).ok_or(OpenError::NotHolder)?;
        let id = holder::asked_for(link)?;
        let asked = id.clone();
        let (row, delivery) =
            self.store.read(move |conn| Ok((store::link(conn, &asked)?, store::owner_of_link(conn, &asked)?))).await?;
        let known = row.and_then(|row| row.receipt_sealed);
        let key = match &known {
            Some(sealed) => self.vault.open_record(Purpose::ReceiptKey, id.as_str(), sealed)?,
            None => self.vault.open_record(Purpose::ReceiptKey, holder::DECOY, &self.decoys.receipt)?,
        };
        let key = ReceiptKey::from_slice(&key).ok_or(VaultError::NotOurs)?;
        let given = data_encoding::BASE64URL_NOPAD.decode(mac.as_bytes()).unwrap_or_default();
        let is_right = verify_receipt(&key, outcome, &id, &cookie_hash, &given);
        let (true, Some(_), Some(delivery)) = (is_right, known, delivery) else { return Err(OpenError::NotHolder) };
        let now = self.clock.now();
        self.store.write(move |tx| take_receipt(tx, &delivery, &id, &cookie_hash, outcome, now)).await?;
        Ok(())
    }
}

/// Begins where the page has not looked, and claims; the audit line in the same commit.
fn claim(
    tx: &mut Tx,
    delivery: &Delivery,
    link: &LinkId,
    cookie: &[u8; 32],
    id: &OpeningId,
    now: UtcMillis,
) -> Result<Claim, StoreError> {
    store::begin_opening(tx, link, cookie, id, now)?;
    let claim = store::claim(tx, link, cookie, now)?;
    let event = match &claim {
        Claim::Granted { lease, .. } => Some(AuditEvent::Claimed { link: link.clone(), lease_until: lease.until }),
        Claim::Repeated { .. } => None,
        Claim::Refused(why) => Some(AuditEvent::ClaimRefused { link: link.clone(), why: format!("{why:?}") }),
    };
    if let Some(event) = event {
        store::append(tx, &delivery.entry(now, Actor::Holder, event))?;
    }
    if let Claim::Granted { link: opened, .. } = &claim {
        store::note_opened(tx, delivery, link, now)?;
        tell_by_rule(tx, delivery, opened, StaffNews::Opened, now)?;
    }
    Ok(claim)
}

/// Where the rules have somebody told; each piece of news once.
fn tell_by_rule(
    tx: &mut Tx,
    delivery: &Delivery,
    link: &LinkRow,
    news: StaffNews,
    now: UtcMillis,
) -> Result<(), StoreError> {
    if link.opening.notify.contains(&Notify::Staff) {
        store::tell_staff(tx, &NoticeId::random(&mut random::system()), delivery, &link.id, news, now)?;
    }
    Ok(())
}

fn take_receipt(
    tx: &mut Tx,
    delivery: &Delivery,
    link: &LinkId,
    cookie: &[u8; 32],
    outcome: ReceiptOutcome,
    now: UtcMillis,
) -> Result<(), StoreError> {
    match outcome {
        ReceiptOutcome::Failed => {
            let mine = |row: &store::OpeningRow| row.cookie_hash == *cookie && is_claimed(&row.state);
            if !store::openings_of(tx.conn(), link)?.iter().any(mine) {
                return Ok(());
            }
            let event = AuditEvent::DecryptFailed { link: link.clone() };
            store::append(tx, &delivery.entry(now, Actor::Holder, event))
        }
        ReceiptOutcome::Decrypted => {
            if store::receive(tx, link, cookie, now)? == Received::NothingToReceive {
                return Ok(());
            }
            let event = AuditEvent::Decrypted { link: link.clone() };
            store::append(tx, &delivery.entry(now, Actor::Holder, event))?;
            if let Some(read) = store::link(tx.conn(), link)? {
                tell_by_rule(tx, delivery, &read, StaffNews::Read, now)?;
            }
            store::spend_if_used_up(tx, link, Actor::Holder, now)
        }
    }
}

const fn is_claimed(opening: &Opening) -> bool {
    match opening {
        Opening::Claimed { .. } => true,
        Opening::Begun | Opening::Received | Opening::Lapsed => false,
    }
}
