//! Whom a report is followed for.
//!
//! Must stay true: each recipient has a chain of deliveries of its own, from the first reading to the last tombstone; nobody but
//! the patient is named in it, except by a keyed hash.

/// Whom one chain of deliveries is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Addressee {
    Patient,
    /// Somebody else of whom the rules speak: who they are in the EHR, and as what they get it, as a keyed hash.
    Further([u8; 32]),
}

impl Addressee {
    /// As it is stored: nothing for the patient.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Patient => Vec::new(),
            Self::Further(index) => index.to_vec(),
        }
    }

    /// `None` for what this version cannot have stored.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::Patient);
        }
        bytes.try_into().ok().map(Self::Further)
    }

    #[must_use]
    pub const fn is_patient(self) -> bool {
        match self {
            Self::Patient => true,
            Self::Further(_) => false,
        }
    }
}
