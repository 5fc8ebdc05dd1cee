//! What a SMART Health Link gives out: one file, encrypted under the key that stands in the link itself.
//!
//! Job: a JWE in compact form (RFC 7516 §7.1), `alg` `dir`, `enc` `A256GCM`, as HL7 SMART Health Cards and Links STU 1 asks for.
//! Must stay true: every file has an initialisation vector of its own; nothing is compressed, since some readers refuse what
//! grows to more than 250 kB.
//! Must not know: what is in the file, or where the key goes.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;

use crate::base::{Key256, SecretText};

/// The media type of a file as it is served.
pub const JWE_TYPE: &str = "application/jose";
const HEADER: &[u8] = br#"{"alg":"dir","enc":"A256GCM","cty":"application/fhir+json"}"#;
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The key of one SMART Health Link. Stored nowhere but in a sealed file of the link that offers it.
pub struct HealthLinkKey(Key256);

impl HealthLinkKey {
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Key256::random(rng))
    }

    /// 43 base64url characters.
    #[must_use]
    pub fn to_base64url(&self) -> SecretText {
        self.0.to_base64url()
    }

    /// Encrypts FHIR JSON.
    pub fn encrypt(&self, fhir: &[u8], rng: &mut impl CryptoRng) -> String {
        let header = BASE64URL_NOPAD.encode(HEADER);
        let mut iv = [0; IV_BYTES];
        rng.fill_bytes(&mut iv);
        let cipher = Aes256Gcm::new(self.0.expose().into());
        let payload = Payload { msg: fhir, aad: header.as_bytes() };
        let Ok(sealed) = cipher.encrypt((&iv).into(), payload) else {
            unreachable!("AES-GCM takes any plaintext below 64 GiB")
        };
        let (ciphertext, tag) = sealed.split_at(sealed.len().saturating_sub(TAG_BYTES));
        let parts = [iv.as_slice(), ciphertext, tag].map(|part| BASE64URL_NOPAD.encode(part));
        // Between header and vector stands the encrypted key, of which `dir` has none.
        format!("{header}..{}", parts.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    fn opened(key: &HealthLinkKey, jwe: &str) -> Option<Vec<u8>> {
        let [header, "", iv, ciphertext, tag] = jwe.split('.').collect::<Vec<_>>()[..] else { return None };
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        let sealed = [decode(ciphertext), decode(tag)].concat();
        let iv: [u8; IV_BYTES] = decode(iv).try_into().unwrap();
        let payload = Payload { msg: &sealed, aad: header.as_bytes() };
        Aes256Gcm::new(key.0.expose().into()).decrypt((&iv).into(), payload).ok()
    }

    #[test]
    fn a_file_opens_with_its_key_alone_and_only_unchanged() {
        let key = HealthLinkKey::random(&mut random::system());
        let jwe = key.encrypt(b"{}", &mut random::system());
        assert_eq!(opened(&key, &jwe).unwrap(), b"{}");
        assert!(opened(&HealthLinkKey::random(&mut random::system()), &jwe).is_none());
        let other_header = jwe.replacen("ey", "ez", 1);
        assert!(opened(&key, &other_header).is_none());
    }

    #[test]
    fn two_files_never_share_an_initialisation_vector() {
        let key = HealthLinkKey::random(&mut random::system());
        let ivs: std::collections::BTreeSet<String> =
            (0..100).map(|_| key.encrypt(b"{}", &mut random::system()).split('.').nth(2).unwrap().to_owned()).collect();
        assert_eq!(ivs.len(), 100);
    }
}
