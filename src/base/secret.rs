//! Secrets: bytes and text that cannot be printed, compared carelessly or left behind in memory.
//!
//! Must stay true: no `Debug`, `Display` or `Serialize` here, ever; reading one is an explicit `expose`.

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// `N` secret bytes, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes<const N: usize>([u8; N]);

/// A 256-bit key.
pub type Key256 = SecretBytes<32>;

/// The 128-bit secret that only the message carries; 22 base64url characters in a link's fragment.
pub type LinkSecret = SecretBytes<16>;

impl<const N: usize> SecretBytes<N> {
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; N];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// `None` when `bytes` is not exactly `N` long.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads the unpadded base64url form; `None` when malformed or of another length.
    #[must_use]
    pub fn from_base64url(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        Self::from_slice(&bytes)
    }

    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    #[must_use]
    pub fn to_base64url(&self) -> SecretText {
        SecretText::new(BASE64URL_NOPAD.encode(&self.0))
    }

    /// Compares in constant time.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

/// Secret text (a password, a token, a link), wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time (lengths are not hidden).
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_secret_is_22_characters_and_reads_back() {
        let secret = LinkSecret::new([7; 16]);
        let text = secret.to_base64url();
        assert_eq!(text.expose().len(), 22);
        let back = LinkSecret::from_base64url(text.expose()).map(|s| s.matches(&[7; 16]));
        assert_eq!(back, Some(true));
        assert!(LinkSecret::from_base64url("short").is_none());
    }
}
