//! The card of a delivery: whom it goes to. Kept only sealed.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base::{EmailAddress, FhirId, Language};

/// Patient data: no `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Card {
    /// `None` where no usable address was found.
    email: Option<String>,
    pub patient: FhirId,
    /// How the address was chosen, without the address.
    pub chosen_because: String,
    /// What the recipient is written in. `None` where the record says nothing that we write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

impl Card {
    #[must_use]
    pub fn new(email: Option<&EmailAddress>, patient: FhirId, chosen_because: String) -> Self {
        Self { email: email.map(|email| email.expose().to_owned()), patient, chosen_because, language: None }
    }

    /// In the recipient's own language.
    #[must_use]
    pub fn in_language(self, language: Option<Language>) -> Self {
        Self { language, ..self }
    }

    #[must_use]
    pub fn email(&self) -> Option<EmailAddress> {
        self.email.as_deref().and_then(|text| EmailAddress::parse(text).ok())
    }

    /// The plain bytes, to be sealed at once.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Plain strings: writing them as JSON cannot fail.
        Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
    }

    /// `None` for bytes that this version cannot have written.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
