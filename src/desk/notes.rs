//! What staff say to the patient beside a document.
//!
//! Must stay true: it reaches nobody but whoever opens the link: it is kept sealed until its link is made, and leaves sealed as
//! the document does.

use super::{Desk, DeskError};
use crate::base::{DeliveryId, SecretText, is_invisible};
use crate::sealing::Purpose;

/// As much as a phone shows without much scrolling, in characters.
const CHARACTERS_MAX: usize = 1000;

/// Patient data: no `Debug`.
pub struct StaffNote(SecretText);

impl StaffNote {
    /// Lines are kept, and nothing else that is not text.
    ///
    /// # Errors
    /// [`DeskError::NoNote`] for a text that cannot be shown.
    pub fn new(text: &str) -> Result<Self, DeskError> {
        let text = text.replace("\r\n", "\n");
        let text = text.trim();
        let is_odd = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_invisible(c);
        if !(1..=CHARACTERS_MAX).contains(&text.chars().count()) || text.chars().any(is_odd) {
            return Err(DeskError::NoNote { most: CHARACTERS_MAX });
        }
        Ok(Self(SecretText::new(text.to_owned())))
    }
}

impl Desk {
    pub(super) fn sealed_note(&self, delivery: &DeliveryId, note: &StaffNote) -> Vec<u8> {
        self.vault.seal_record(Purpose::Note, delivery.as_str(), note.0.expose().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_text_that_can_be_shown() {
        assert_eq!(
            StaffNote::new(" Please call us.\r\nDr. Lee \n").ok().unwrap().0.expose(),
            "Please call us.\nDr. Lee"
        );
        for text in ["", " \n ", "a\u{7}b", "\u{202e}abc", &"x".repeat(1001)] {
            assert!(StaffNote::new(text).is_err(), "{text:?}");
        }
    }
}
