//! Answers as they are kept: hashed slowly, with a salt and a pepper.
//!
//! Must stay true: an answer may be as weak as a birth date, so a hash alone, and one sealed in the database alone, says nothing: the
//! pepper lies outside it. It is never more than a gate that is counted: no key comes from it.

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::base::Key256;

/// Which parameters these are; others would get another number.
const FORM: u8 = 1;
/// Argon2id with 19 MiB, two passes and one lane: the least that OWASP's password storage guide asks for.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The hash of one answer (Argon2id, RFC 9106). Takes 0.2 s of a slow core and 19 MiB to make or to compare.
#[derive(Clone)]
pub struct AnswerHash {
    salt: [u8; SALT_BYTES],
    hash: Zeroizing<[u8; HASH_BYTES]>,
}

impl AnswerHash {
    /// Of an answer in its normal form.
    pub fn of(pepper: &Key256, answer: &str, rng: &mut impl CryptoRng) -> Self {
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        Self { hash: hashed(pepper, &salt, answer), salt }
    }

    /// Whether any of `answers` is the one. Each of them is hashed, whichever is.
    #[must_use]
    pub fn is_any_of(&self, pepper: &Key256, answers: &[String]) -> bool {
        let same = |answer: &String| hashed(pepper, &self.salt, answer).ct_eq(&*self.hash);
        answers.iter().fold(0, |any, answer| any | same(answer).unwrap_u8()) == 1
    }

    /// `form ‖ salt ‖ hash`.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([[FORM].as_slice(), &self.salt, self.hash.as_slice()].concat())
    }

    /// `None` for what this version cannot have made.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (salt, hash) = bytes.strip_prefix(&[FORM])?.split_first_chunk::<SALT_BYTES>()?;
        Some(Self { salt: *salt, hash: Zeroizing::new(hash.try_into().ok()?) })
    }
}

fn hashed(pepper: &Key256, salt: &[u8; SALT_BYTES], answer: &str) -> Zeroizing<[u8; HASH_BYTES]> {
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    let made = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))
        .and_then(|params| Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params))
        .and_then(|argon2| argon2.hash_password_into(answer.as_bytes(), salt, hash.as_mut_slice()));
    let Ok(()) = made else { unreachable!("the parameters are within Argon2's bounds (RFC 9106 §3.1)") };
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    #[test]
    fn only_the_answer_with_its_pepper_is_recognised() {
        let (pepper, other) = (Key256::new([1; 32]), Key256::new([2; 32]));
        let hash = AnswerHash::of(&pepper, "1984-05-06", &mut random::system());
        let kept = AnswerHash::from_bytes(&hash.to_bytes()).unwrap();
        let one = |answer: &str| vec![answer.to_owned()];
        assert!(kept.is_any_of(&pepper, &one("1984-05-06")));
        assert!(kept.is_any_of(&pepper, &["1984-06-05".to_owned(), "1984-05-06".to_owned()]));
        assert!(!kept.is_any_of(&pepper, &one("1984-06-05")));
        assert!(!kept.is_any_of(&other, &one("1984-05-06")));
        assert!(!kept.is_any_of(&pepper, &[]));
    }

    #[test]
    fn two_of_the_same_answer_look_unlike() {
        let pepper = Key256::new([1; 32]);
        let of = || AnswerHash::of(&pepper, "1984-05-06", &mut random::system()).to_bytes();
        assert_ne!(*of(), *of());
    }

    #[test]
    fn bytes_of_another_length_or_form_are_no_hash() {
        let hash = AnswerHash::of(&Key256::new([1; 32]), "a", &mut random::system()).to_bytes();
        assert!(AnswerHash::from_bytes(&hash[1..]).is_none());
        assert!(AnswerHash::from_bytes(&[hash.as_slice(), &[0]].concat()).is_none());
        assert!(AnswerHash::from_bytes(&[]).is_none());
    }
}
