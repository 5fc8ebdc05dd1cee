//! The card of a delivery: whom it goes to. Kept only sealed.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base::{EmailAddress, FhirId};

/// Patient data: no `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Card {
    /// `None` where no usable address was found.
    email: Option<String>,
    pub patient: FhirId,
    /// How the address was chosen, without the address.
    pub chosen_because: String,
}

impl Card {
    #[must_use]
    pub fn new(email: Option<&EmailAddress>, patient: FhirId, chosen_because: String) -> Self {
        Self { email: email.map(|email| email.expose().to_owned()), patient, chosen_because }
    }

    #[must_use]
    pub fn email(&self) -> Option<EmailAddress> {
        self.email.as_deref().and_then(|text| EmailAddress::parse(text).ok())
    }

    /// The plain bytes, to be sealed at once.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Three plain strings: writing them as JSON cannot fail.
        Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
    }

    /// `None` for bytes that this version cannot have written.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
