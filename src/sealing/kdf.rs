//! The two keyed functions that everything here is built from: HKDF-SHA256 (RFC 5869) and HMAC-SHA256 (RFC 2104).
//!
//! Must stay true: no key, pseudorandom key or output stays behind in memory.
//! Must not know: what the keys are for.

use hkdf::HkdfExtract;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::base::Key256;

/// HMAC-SHA256 over the concatenation of `parts`.
///
/// Nothing marks where one part ends: at most one of them may have a length that an outsider chooses, unless a byte
/// that they cannot contain stands between them.
#[must_use]
pub fn hmac_sha256(key: &Key256, parts: &[&[u8]]) -> [u8; 32] {
    let mac = mac_of(key, parts);
    overwrite_dead_stack();
    mac
}

/// More than the frames below [`hmac_sha256`] take, unoptimised too.
const DEAD_STACK_BYTES: usize = 8 * 1024;

/// What was hashed, such as an address, was copied onto the stack: the part that is dead by now would keep it until something else
/// reaches as deep.
#[inline(never)]
fn overwrite_dead_stack() {
    // A variable: a constant would lie elsewhere.
    let mut dead = [0_u8; DEAD_STACK_BYTES];
    std::hint::black_box(&mut dead);
}

#[inline(never)]
fn mac_of(key: &Key256, parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else {
        unreachable!("HMAC takes keys of every length (RFC 2104 §2)")
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-SHA256 over the concatenations of `secrets` and of `info`. An empty `salt` is RFC 5869's default salt.
pub(super) fn hkdf_sha256(salt: &[u8], secrets: &[&[u8]], info: &[&[u8]]) -> Key256 {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    for secret in secrets {
        extract.input_ikm(secret);
    }
    let (mut pseudorandom_key, expand) = extract.finalize();
    pseudorandom_key.as_mut_slice().zeroize();
    let mut key = Zeroizing::new([0; 32]);
    let Ok(()) = expand.expand_multi_info(info, key.as_mut_slice()) else {
        unreachable!("32 bytes are fewer than 255 hash blocks (RFC 5869 §2.3)")
    };
    Key256::new(*key)
}
