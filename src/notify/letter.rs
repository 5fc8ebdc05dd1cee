//! A finished message and the parts of its head that people write.
//!
//! Must stay true: nothing that reaches a header holds a line break, a control or an invisible character.

use std::fmt;

use zeroize::Zeroizing;

use crate::base::{EmailAddress, NoticeId, is_invisible};

/// Longest clinic name, in characters.
pub const DISPLAY_NAME_CHARACTERS_MAX: usize = 64;
/// Longest phone number as people write it, in bytes.
pub const PHONE_BYTES_MAX: usize = 40;

/// A message ready to hand over, the same bytes at each attempt. Holds the link: no `Debug`.
#[derive(Clone)]
pub struct Outgoing {
    return_path: EmailAddress,
    to: EmailAddress,
    message_id: MessageId,
    message: Zeroizing<Vec<u8>>,
}

impl Outgoing {
    pub(super) fn new(from: EmailAddress, to: EmailAddress, message_id: MessageId, message: Vec<u8>) -> Self {
        Self { return_path: from, to, message_id, message: Zeroizing::new(message) }
    }

    /// Sends bounces elsewhere than to the From address.
    #[must_use]
    pub fn with_return_path(self, return_path: EmailAddress) -> Self {
        Self { return_path, ..self }
    }

    #[must_use]
    pub fn return_path(&self) -> &EmailAddress {
        &self.return_path
    }

    #[must_use]
    pub fn to(&self) -> &EmailAddress {
        &self.to
    }

    #[must_use]
    pub fn message_id(&self) -> &MessageId {
        &self.message_id
    }

    /// The whole message (RFC 5322), ASCII with CRLF line ends.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.message
    }
}

/// `<notice id@domain of the sender>` (RFC 5322 §3.6.4): the same for every attempt of one notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageId(String);

impl MessageId {
    #[must_use]
    pub fn of(notice: &NoticeId, from: &EmailAddress) -> Self {
        Self(format!("<{notice}@{}>", from.domain()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A clinic's name as recipients see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisplayName(String);

/// A clinic's phone number as people read and dial it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClinicPhone(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the clinic's name must have 1 to 64 characters")]
    NameLength,
    #[error("the clinic's name holds a line break, a control character or an invisible character")]
    NameCharacter,
    #[error(
        "the clinic's phone number must have 3 to 40 of 0-9, spaces, letters and + ( ) - . /, with at least three digits"
    )]
    Phone,
}

impl DisplayName {
    /// Parses after trimming white space.
    ///
    /// # Errors
    /// Refuses what could forge a header or reorder the text around it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim_matches(' ');
        if !(1..=DISPLAY_NAME_CHARACTERS_MAX).contains(&text.chars().count()) {
            return Err(NameError::NameLength);
        }
        if text.chars().any(|c| c.is_control() || is_invisible(c)) {
            return Err(NameError::NameCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClinicPhone {
    /// Parses after trimming white space.
    ///
    /// # Errors
    /// Says which shape was expected.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim_matches(' ');
        let shaped = text.len() <= PHONE_BYTES_MAX
            && text.bytes().filter(u8::is_ascii_digit).count() >= 3
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" +()-./".contains(&b));
        if shaped { Ok(Self(text.to_owned())) } else { Err(NameError::Phone) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_forge_a_header_is_refused() {
        for text in
            ["Clinic\r\nBcc: x@y.test", "Clinic\nX: y", "Cli\u{0}nic", "Cli\u{202E}nic", "Cli\u{2028}nic", "\tClinic"]
        {
            assert_eq!(DisplayName::parse(text), Err(NameError::NameCharacter), "{text:?}");
        }
        assert_eq!(DisplayName::parse("  "), Err(NameError::NameLength));
        assert_eq!(DisplayName::parse(&"x".repeat(65)), Err(NameError::NameLength));
        assert_eq!(DisplayName::parse(" Praxis Dr. Müller ").unwrap().as_str(), "Praxis Dr. Müller");
    }

    #[test]
    fn a_phone_number_is_kept_as_written_and_nothing_else_is() {
        assert_eq!(ClinicPhone::parse("+1 (312) 555-0148 ext. 3").unwrap().as_str(), "+1 (312) 555-0148 ext. 3");
        for text in ["", "call us", "312-555\r\n0148", "12", "<b>312</b>"] {
            assert_eq!(ClinicPhone::parse(text), Err(NameError::Phone), "{text:?}");
        }
    }
}
