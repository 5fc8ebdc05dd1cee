//! The visit's cookie and nonce: made without a row, so that beginning costs nothing and tells nothing.

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::base::{Key256, SecretBytes, SecretText, UtcMillis, hours};
use crate::sealing::hmac_sha256;

/// A cookie is 128 random bits.
pub const COOKIE_CHARACTERS: usize = 22;
/// A page left open longer than this begins again.
const NONCE_LIFE: std::time::Duration = hours(2);
const RANDOM_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 16;

/// What `begin` answers.
pub struct Begun {
    pub nonce: String,
    pub cookie_hash: [u8; 32],
    pub cookie: SecretText,
    pub now: UtcMillis,
}

impl Begun {
    /// Keeps a well-formed cookie that the browser has, so that a claim made before is still its own.
    pub(super) fn new(
        link: &str,
        cookie: Option<&str>,
        pepper: &Key256,
        now: UtcMillis,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let kept = cookie.filter(|cookie| hash_of(cookie).is_some()).map(|cookie| SecretText::new(cookie.to_owned()));
        let cookie = kept.unwrap_or_else(|| SecretBytes::<16>::random(rng).to_base64url());
        let cookie_hash = Sha256::digest(cookie.expose().as_bytes()).into();
        let nonce = Nonce::new(link, &cookie_hash, pepper, now, rng).to_text();
        Self { nonce, cookie_hash, cookie, now }
    }
}

/// SHA-256 of a well-formed cookie; `None` for anything else.
pub(super) fn hash_of(cookie: &str) -> Option<[u8; 32]> {
    let well_formed = cookie.len() == COOKIE_CHARACTERS
        && cookie.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    well_formed.then(|| Sha256::digest(cookie.as_bytes()).into())
}

/// `random ‖ time ‖ mac`: bound to the id as it was asked for and to the cookie.
pub struct Nonce([u8; RANDOM_BYTES + TIME_BYTES + MAC_BYTES]);

impl Nonce {
    fn new(link: &str, cookie_hash: &[u8; 32], pepper: &Key256, now: UtcMillis, rng: &mut impl CryptoRng) -> Self {
        let mut random = [0; RANDOM_BYTES];
        rng.fill_bytes(&mut random);
        let mut bytes = [0; RANDOM_BYTES + TIME_BYTES + MAC_BYTES];
        let mac = mac(link, cookie_hash, pepper, &random, now);
        let parts = random.iter().chain(&now.0.to_be_bytes()).copied().chain(mac).collect::<Vec<u8>>();
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        Self(bytes)
    }

    fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// The nonce's bytes, if we made it for this link and cookie and it is not stale.
    pub(super) fn verify(
        text: &str,
        link: &str,
        cookie_hash: &[u8; 32],
        pepper: &Key256,
        now: UtcMillis,
    ) -> Option<Vec<u8>> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (random, rest) = bytes.split_first_chunk::<RANDOM_BYTES>()?;
        let (time, given) = rest.split_first_chunk::<TIME_BYTES>()?;
        let made_at = UtcMillis(i64::from_be_bytes(*time));
        let expected = mac(link, cookie_hash, pepper, random, made_at);
        let ours: bool = expected.as_slice().ct_eq(given).into();
        (ours && now.since(made_at) <= NONCE_LIFE).then_some(bytes)
    }
}

fn mac(
    link: &str,
    cookie_hash: &[u8; 32],
    pepper: &Key256,
    random: &[u8; RANDOM_BYTES],
    at: UtcMillis,
) -> [u8; MAC_BYTES] {
    let full = hmac_sha256(pepper, &[b"chartseal/1/nonce", random, &at.0.to_be_bytes(), cookie_hash, link.as_bytes()]);
    let mut short = [0; MAC_BYTES];
    for (to, from) in short.iter_mut().zip(full) {
        *to = from;
    }
    short
}
