//! Where a person can be written to.

use super::{EmailAddress, PhoneNumber};

/// One address or number of one person. Patient data: its parts have no `Display`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Contact {
    Email(EmailAddress),
    Phone(PhoneNumber),
}

impl Contact {
    /// The form in which two spellings of one mailbox, or of one number, are compared.
    #[must_use]
    pub fn comparison_form(&self) -> String {
        match self {
            Self::Email(address) => address.comparison_form(),
            Self::Phone(number) => number.expose().to_owned(),
        }
    }

    /// The form in which who reads there is compared: see [`EmailAddress::mailbox_form`].
    #[must_use]
    pub fn reader_form(&self) -> String {
        match self {
            Self::Email(address) => address.mailbox_form(),
            Self::Phone(number) => number.expose().to_owned(),
        }
    }
}
