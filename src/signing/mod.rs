//! The key pairs by which Chartseal shows an EHR who it is
//! (SMART Backend Services, <https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html>).
//!
//! Job: make pairs, say their public halves as a JWK Set, sign assertions, decide when one pair takes over from another.
//! Must stay true: a private half leaves only as bytes that its caller seals; an assertion is of use at one address, once, for
//! four minutes; a pair signs only after its public half could be known.
//! Must not know: where pairs are kept, which EHR asks, HTTP.

mod assertion;
mod pair;
mod turn;

#[cfg(test)]
mod tests;

pub use assertion::{ASSERTION_LIFE, Claims};
pub use pair::{Algorithm, KeyId, PrivateHalf, PublicHalf, SigningError, SigningKey};
pub use turn::{FORMER_KEPT, JWKS_KEPT_BY_READERS, PUBLISHED_MIN, RotateEvery, TakeOver, take_over};
