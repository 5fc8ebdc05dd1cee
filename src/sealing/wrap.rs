//! Small secrets at rest: wrapped under a key, for a purpose, in a place; and the keys that come from the root key.
//!
//! Must stay true: bytes wrapped for one purpose or context never open for another; every use of the root key has a
//! subkey of its own. Must not know: where keys come from or when they are destroyed.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::kdf::{hkdf_sha256, hmac_sha256};
use crate::base::Key256;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// How much longer than the plaintext a wrapped secret is.
pub const WRAP_OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// Why wrapped bytes did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Us: too short, or of another version.
    #[error("the stored bytes are not a wrapped secret of this version")]
    NotWrapped,
    /// Us or outside: changed, moved, or wrapped under another key or for another purpose.
    #[error("the stored secret was changed, or was wrapped under another key or for another place")]
    NotAuthentic,
}

/// What wrapped bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The server's half of a link's content key, under an epoch key.
    Share,
    /// A link's secret until hand-over, under an outbox key.
    LinkSecret,
    /// An event as it arrived, under an intake key.
    RawEvent,
    /// A patient's contact and card.
    PatientCard,
    AuthKey,
    ReceiptKey,
    /// The hash of a challenge's answer.
    Answer,
    /// A question of the clinic's own.
    Question,
    /// A code until hand-over, under an outbox key.
    Code,
    /// The hash of the passcode of a health link.
    Passcode,
    /// What staff say to the patient beside a document, until its link is made.
    Note,
    /// A record of the installation's own, such as a credential kept in the database.
    Record,
}

impl Purpose {
    pub const ALL: [Self; 12] = [
        Self::Share,
        Self::LinkSecret,
        Self::RawEvent,
        Self::PatientCard,
        Self::AuthKey,
        Self::ReceiptKey,
        Self::Answer,
        Self::Question,
        Self::Code,
        Self::Passcode,
        Self::Note,
        Self::Record,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Share => "chartseal/1/wrap/share",
            Self::LinkSecret => "chartseal/1/wrap/link-secret",
            Self::RawEvent => "chartseal/1/wrap/raw-event",
            Self::PatientCard => "chartseal/1/wrap/patient-card",
            Self::AuthKey => "chartseal/1/wrap/auth-key",
            Self::ReceiptKey => "chartseal/1/wrap/receipt-key",
            Self::Answer => "chartseal/1/wrap/answer",
            Self::Question => "chartseal/1/wrap/question",
            Self::Code => "chartseal/1/wrap/code",
            Self::Passcode => "chartseal/1/wrap/passcode",
            Self::Note => "chartseal/1/wrap/note",
            Self::Record => "chartseal/1/wrap/record",
        }
    }
}

/// What the root key is used for; each use has a subkey of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootUse {
    Records,
    BlindIndex,
    /// What is hashed into challenge answers besides the salt.
    Pepper,
    AuditMac,
    PatientPseudonyms,
}

impl RootUse {
    pub const ALL: [Self; 5] = [Self::Records, Self::BlindIndex, Self::Pepper, Self::AuditMac, Self::PatientPseudonyms];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Records => "chartseal/1/root/records",
            Self::BlindIndex => "chartseal/1/root/blind-index",
            Self::Pepper => "chartseal/1/root/pepper",
            Self::AuditMac => "chartseal/1/root/audit-mac",
            Self::PatientPseudonyms => "chartseal/1/root/patient-pseudonyms",
        }
    }
}

/// Wraps `plain` as version ‖ 12-byte random nonce ‖ AES-256-GCM ciphertext and tag. `context` names the place, such as
/// the row's id: bytes moved elsewhere do not open.
///
/// A random nonce allows 2³² wraps under one key (NIST SP 800-38D §8.3).
///
/// # Panics
/// When `plain` is longer than AES-GCM's 64 GiB.
pub fn wrap(key: &Key256, purpose: Purpose, context: &[u8], plain: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let aad = associated_data(purpose, context);
    let Ok(sealed) = cipher(key).encrypt((&nonce).into(), Payload { msg: plain, aad: &aad }) else {
        unreachable!("AES-GCM refuses only more than 64 GiB")
    };
    [[VERSION].as_slice(), &nonce, &sealed].concat()
}

/// Opens what [`wrap`] made for the same key, purpose and context.
///
/// # Errors
/// See [`WrapError`].
pub fn unwrap(key: &Key256, purpose: Purpose, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    let sealed = wrapped.strip_prefix(&[VERSION]).ok_or(WrapError::NotWrapped)?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(WrapError::NotWrapped)?;
    if sealed.len() < TAG_BYTES {
        return Err(WrapError::NotWrapped);
    }
    let aad = associated_data(purpose, context);
    cipher(key)
        .decrypt(nonce.into(), Payload { msg: sealed, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| WrapError::NotAuthentic)
}

/// The root key's subkey for one use.
#[must_use]
pub fn subkey(root: &Key256, root_use: RootUse) -> Key256 {
    hkdf_sha256(&[], &[root.expose()], &[root_use.label().as_bytes()])
}

/// A keyed index of `value`, which finds equal values and shows nothing else without the key. `domain` (no NUL) keeps
/// different kinds of value apart; the caller normalises `value`.
#[must_use]
pub fn blind_index(key: &Key256, domain: &str, value: &str) -> [u8; 32] {
    hmac_sha256(key, &[domain.as_bytes(), &[0], value.as_bytes()])
}

/// Tells keys apart without telling them.
#[must_use]
pub fn fingerprint(key: &Key256) -> [u8; 16] {
    let mac = hmac_sha256(key, &[b"chartseal/1/fingerprint"]);
    let mut short = [0; 16];
    short.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
    short
}

pub(super) fn cipher(key: &Key256) -> Aes256Gcm {
    Aes256Gcm::new(key.expose().into())
}

fn associated_data(purpose: Purpose, context: &[u8]) -> Vec<u8> {
    [purpose.label().as_bytes(), &[0], context].concat()
}
