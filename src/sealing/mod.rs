//! Sealing: what turns a report into bytes that only the holder of its link can read.
//!
//! Job: the sealed-file format, the link's key schedule and its proofs, and the wrapping of small secrets at rest.
//! Must stay true: every byte that leaves here was authenticated under its whole context (which link, which file, which
//! version, which type; which purpose, which row); the content key exists only in memory; randomness is passed in.
//! Must not know: where keys are kept, where files are stored, what a link may do, or the time. The only I/O is through
//! the `Read` and `Write` that a caller hands in. Nothing else in this crate touches `aes_gcm` or `aead_stream`.
//!
//! The format and the promises, as a foreign implementation would read them:
#![doc = include_str!("../../docs/sealed-format.md")]

mod answer;
mod context;
mod jwe;
mod kdf;
mod layout;
mod open;
mod schedule;
mod seal;
mod wrap;

#[cfg(test)]
mod tests;

pub use answer::AnswerHash;
pub use context::{FileContext, FileNumber};
pub use jwe::{HealthLinkKey, JWE_TYPE};
pub use kdf::hmac_sha256;
pub use layout::sealed_length;
pub use open::{OpenError, open};
pub use schedule::{
    AuthKey, ContentKey, HolderProven, ReceiptKey, ReceiptOutcome, proof, receipt, verify_proof, verify_receipt,
};
pub use seal::{SealError, SealedLength, Sealer};
pub use wrap::{Purpose, RootUse, WRAP_OVERHEAD_BYTES, WrapError, blind_index, fingerprint, subkey, unwrap, wrap};
