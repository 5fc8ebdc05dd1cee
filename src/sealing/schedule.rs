//! The link's key schedule: three keys from the secret in the message, and what they prove.
//!
//! Must stay true: the content key needs both halves, the message's secret and the server's share, and is never stored;
//! the auth and receipt keys need the secret alone, so that a browser can prove itself before it is given the share.
//! Must not know: openings, attempts, or what a proof unlocks.

use subtle::ConstantTimeEq;

use super::kdf::{hkdf_sha256, hmac_sha256};
use crate::base::{Key256, LinkId, LinkSecret};

const CONTENT_LABEL: &[u8] = b"chartseal/1/content";
const AUTH_LABEL: &[u8] = b"chartseal/1/auth";
const RECEIPT_LABEL: &[u8] = b"chartseal/1/receipt";

/// Seals and opens the files of one link. Never stored.
pub struct ContentKey(Key256);

/// Proves that a browser holds the link's secret. Stored wrapped, wiped when the link dies.
pub struct AuthKey(Key256);

/// Proves that a receipt comes from a holder of the link's secret. Stored wrapped, wiped when the link dies.
pub struct ReceiptKey(Key256);

impl ContentKey {
    /// HKDF-SHA256 over `secret ‖ share`.
    #[must_use]
    pub fn derive(secret: &LinkSecret, share: &Key256, link: &LinkId) -> Self {
        Self(derive(CONTENT_LABEL, &[secret.expose(), share.expose()], link))
    }

    pub(super) fn key(&self) -> &Key256 {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(Key256::new(bytes))
    }
}

impl AuthKey {
    #[must_use]
    pub fn derive(secret: &LinkSecret, link: &LinkId) -> Self {
        Self(derive(AUTH_LABEL, &[secret.expose()], link))
    }

    /// The key as it was stored; `None` when not 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Key256::from_slice(bytes).map(Self)
    }

    /// The key for storing, wrapped.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl ReceiptKey {
    #[must_use]
    pub fn derive(secret: &LinkSecret, link: &LinkId) -> Self {
        Self(derive(RECEIPT_LABEL, &[secret.expose()], link))
    }

    /// The key as it was stored; `None` when not 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Key256::from_slice(bytes).map(Self)
    }

    /// The key for storing, wrapped.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// That a browser with this cookie holds the link's secret. Only [`verify_proof`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct HolderProven {
    link: LinkId,
}

impl HolderProven {
    #[must_use]
    pub fn link(&self) -> &LinkId {
        &self.link
    }
}

/// What a browser says became of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptOutcome {
    Decrypted,
    Failed,
}

impl ReceiptOutcome {
    pub const ALL: [Self; 2] = [Self::Decrypted, Self::Failed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decrypted => "decrypted",
            Self::Failed => "failed",
        }
    }
}

/// HMAC-SHA256 over `nonce ‖ link ‖ cookie_hash`. Only the first part's length can vary, so two different triples never
/// give the same message.
#[must_use]
pub fn proof(auth: &AuthKey, nonce: &[u8], link: &LinkId, cookie_hash: &[u8; 32]) -> [u8; 32] {
    hmac_sha256(&auth.0, &[nonce, link.as_str().as_bytes(), cookie_hash])
}

/// `None` unless `given` is the [`proof`]; compares in constant time.
#[must_use]
pub fn verify_proof(
    auth: &AuthKey,
    nonce: &[u8],
    link: &LinkId,
    cookie_hash: &[u8; 32],
    given: &[u8],
) -> Option<HolderProven> {
    let holds: bool = proof(auth, nonce, link, cookie_hash).ct_eq(given).into();
    holds.then(|| HolderProven { link: link.clone() })
}

/// HMAC-SHA256 over `outcome ‖ 0x00 ‖ link ‖ cookie_hash`.
#[must_use]
pub fn receipt(key: &ReceiptKey, outcome: ReceiptOutcome, link: &LinkId, cookie_hash: &[u8; 32]) -> [u8; 32] {
    hmac_sha256(&key.0, &[outcome.as_str().as_bytes(), &[0], link.as_str().as_bytes(), cookie_hash])
}

/// Whether `given` is the [`receipt`] for `outcome`; compares in constant time.
#[must_use]
pub fn verify_receipt(
    key: &ReceiptKey,
    outcome: ReceiptOutcome,
    link: &LinkId,
    cookie_hash: &[u8; 32],
    given: &[u8],
) -> bool {
    receipt(key, outcome, link, cookie_hash).ct_eq(given).into()
}

fn derive(label: &[u8], secrets: &[&[u8]], link: &LinkId) -> Key256 {
    hkdf_sha256(&[], secrets, &[label, link.as_str().as_bytes()])
}
