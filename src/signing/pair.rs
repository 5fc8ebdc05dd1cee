//! One key pair: made, taken up again, and its public half in the form that EHRs read.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA384, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::base::random;

/// Every EHR takes this length.
const RSA_BITS: usize = 2048;
/// One coordinate of P-384.
const COORDINATE_BYTES: usize = 48;
/// What stands before the two coordinates of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// What a pair signs with. SMART asks every client for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 padding and SHA-384.
    Rs384,
    /// ECDSA on P-384 with SHA-384.
    Es384,
}

impl Algorithm {
    pub const ALL: [Self; 2] = [Self::Rs384, Self::Es384];

    /// As RFC 7518 §3.1 names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs384 => "RS384",
            Self::Es384 => "ES384",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or("expected RS384 or ES384")
    }
}

/// The thumbprint of a public half (RFC 7638): the same pair has the same name everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public half as a JWK (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf(Value);

impl PublicHalf {
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.0
    }
}

/// A private half as PKCS #8, to be sealed.
pub struct PrivateHalf(Zeroizing<Vec<u8>>);

impl PrivateHalf {
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// Us, or this machine's source of randomness.
    #[error("no key pair can be made on this machine")]
    CannotMake,
    /// Us or an intruder: what was kept is no private half of this algorithm.
    #[error("a kept signing key cannot be read")]
    Unreadable,
    #[error("nothing can be signed with the key")]
    CannotSign,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

/// A pair that can sign. No `Debug`.
pub struct SigningKey {
    algorithm: Algorithm,
    id: KeyId,
    public: PublicHalf,
    pair: Pair,
}

impl SigningKey {
    /// Makes a new pair. RSA takes seconds: it belongs on a blocking thread.
    ///
    /// # Errors
    /// [`SigningError::CannotMake`].
    pub fn make(algorithm: Algorithm) -> Result<(Self, PrivateHalf), SigningError> {
        let private = match algorithm {
            Algorithm::Rs384 => {
                // ring makes no RSA pairs. This crate signs nothing: ring does, in constant time.
                let made = rsa::PrivateKey::new(&mut random::system(), RSA_BITS);
                let made = made.map_err(|_| SigningError::CannotMake)?;
                let der = made.to_pkcs8_der().map_err(|_| SigningError::CannotMake)?;
                Zeroizing::new(der.as_bytes().to_vec())
            }
            Algorithm::Es384 => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new());
                Zeroizing::new(made.map_err(|_| SigningError::CannotMake)?.as_ref().to_vec())
            }
        };
        Ok((Self::read(algorithm, &private)?, PrivateHalf(private)))
    }

    /// Takes up a private half that was kept.
    ///
    /// # Errors
    /// [`SigningError::Unreadable`].
    pub fn read(algorithm: Algorithm, private: &[u8]) -> Result<Self, SigningError> {
        let (pair, mut jwk) = match algorithm {
            Algorithm::Rs384 => {
                let pair = RsaKeyPair::from_pkcs8(private).map_err(|_| SigningError::Unreadable)?;
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let jwk = json!({"e": text(&public.e), "kty": "RSA", "n": text(&public.n)});
                (Pair::Rsa(Box::new(pair)), jwk)
            }
            Algorithm::Es384 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, private, &SystemRandom::new())
                    .map_err(|_| SigningError::Unreadable)?;
                let (x, y) = coordinates(pair.public_key().as_ref()).ok_or(SigningError::Unreadable)?;
                let jwk = json!({"crv": "P-384", "kty": "EC", "x": text(x), "y": text(y)});
                (Pair::Ec(Box::new(pair)), jwk)
            }
        };
        // So far the members that RFC 7638 asks for, in its order, and nothing else.
        let id = KeyId(text(&Sha256::digest(jwk.to_string())));
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), json!(id.as_str()));
            members.insert("alg".to_owned(), json!(algorithm.as_str()));
            members.insert("use".to_owned(), json!("sig"));
            members.insert("key_ops".to_owned(), json!(["verify"]));
        }
        Ok(Self { algorithm, id, public: PublicHalf(jwk), pair })
    }

    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    #[must_use]
    pub const fn public(&self) -> &PublicHalf {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let rng = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA384, &rng, message, &mut signature).map_err(|_| SigningError::CannotSign)?;
                Ok(signature)
            }
            Pair::Ec(pair) => {
                let signature = pair.sign(&rng, message).map_err(|_| SigningError::CannotSign)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

fn coordinates(point: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&form, rest) = point.split_first()?;
    let whole = form == UNCOMPRESSED && rest.len() == 2 * COORDINATE_BYTES;
    if whole { rest.split_at_checked(COORDINATE_BYTES) } else { None }
}

fn text(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}
