//! E-mail addresses that Chartseal is willing to send to.

use std::fmt;

/// Longest address accepted, in bytes (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;
/// Longest local part, in bytes (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_BYTES_MAX: usize = 64;

/// A deliverable address: `local@domain.tld`, ASCII, unquoted. Patient data: no `Display`.
///
/// Narrower than RFC 5321 on purpose: quoted local parts, IP literals, single-label domains and
/// raw non-ASCII are typing mistakes more often than addresses, and a person should look at them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the address is empty")]
    Empty,
    #[error("the address is longer than 254 characters")]
    TooLong,
    #[error("the address needs exactly one @ between a name and a domain")]
    Shape,
    #[error("the part before the @ holds a character that mail servers refuse")]
    LocalPart,
    #[error("the domain is not of the form name.tld")]
    Domain,
}

impl EmailAddress {
    /// Parses after trimming white space; the domain is lower-cased, the local part kept as written.
    ///
    /// # Errors
    /// Names what is wrong without repeating the address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::Shape)?;
        if domain.contains('@') || local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        if local.len() > LOCAL_PART_BYTES_MAX
            || local.starts_with('.')
            || local.ends_with('.')
            || local.contains("..")
            || !local.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b))
        {
            return Err(AddressError::LocalPart);
        }
        let labels: Vec<&str> = domain.split('.').collect();
        let top_is_alphabetic = labels
            .last()
            .is_some_and(|top| top.len() >= 2 && top.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()));
        if labels.len() < 2 || !top_is_alphabetic || !labels.iter().all(|label| is_host_label(label)) {
            return Err(AddressError::Domain);
        }
        Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase())))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The form in which two spellings of one mailbox are compared: wholly lower-case.
    #[must_use]
    pub fn comparison_form(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The form in which the mailboxes behind two addresses are compared, where taking two for one does no harm and taking one for
    /// two does: without what stands behind a `+`, which nearly every mail server delivers to the same mailbox; for Google's,
    /// which sees no dots, without these and under one domain.
    #[must_use]
    pub fn mailbox_form(&self) -> String {
        let lower = self.comparison_form();
        let (local, domain) = lower.rsplit_once('@').unwrap_or_default();
        let plain = local.split_once('+').map_or(local, |(plain, _)| plain);
        // Nothing stands before the plus: a name of its own.
        let plain = if plain.is_empty() { local } else { plain };
        match domain {
            "gmail.com" | "googlemail.com" => format!("{}@gmail.com", plain.replace('.', "")),
            _ => format!("{plain}@{domain}"),
        }
    }

    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress([patient data])")
    }
}

/// RFC 1123 §2.1: letters, digits and inner hyphens, at most 63 of them.
fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_a_person_should_look_at_are_refused_with_the_reason() {
        for (text, why) in [
            ("", AddressError::Empty),
            ("ana", AddressError::Shape),
            ("a@b@c.de", AddressError::Shape),
            ("ana@localhost", AddressError::Domain),
            ("ana@[10.0.0.1]", AddressError::Domain),
            ("ana@10.0.0.1", AddressError::Domain),
            ("\"ana b\"@x.org", AddressError::LocalPart),
            ("ana\r\nBcc: x@y.org", AddressError::LocalPart),
            ("ana..b@x.org", AddressError::LocalPart),
            ("änä@x.org", AddressError::LocalPart),
            ("ana@x.org (work)", AddressError::Domain),
        ] {
            assert_eq!(EmailAddress::parse(text).err(), Some(why), "{text:?}");
        }
        assert_eq!(EmailAddress::parse(&format!("{}@x.org", "a".repeat(300))).err(), Some(AddressError::TooLong));
    }

    #[test]
    fn two_spellings_of_one_mailbox_are_one_where_that_is_the_safer_side() {
        let same = |one: &str, other: &str| {
            let form = |text| EmailAddress::parse(text).unwrap().mailbox_form();
            form(one) == form(other)
        };
        assert!(same("Mum@Example.test", "mum+lena@example.test") && same("m.u.m+x@gmail.com", "mum@googlemail.com"));
        assert!(!same("m.um@example.test", "mum@example.test") && !same("mum@example.test", "mum@other.test"));
        assert!(!same("+a@example.test", "+b@example.test"));
    }

    #[test]
    fn the_domain_is_lower_cased_and_the_name_is_kept() {
        let address = EmailAddress::parse(" Ana.Garcia+lab@Example.TEST ").unwrap();
        assert_eq!(address.expose(), "Ana.Garcia+lab@example.test");
        assert_eq!(address.comparison_form(), "ana.garcia+lab@example.test");
        assert!(!format!("{address:?}").contains("Ana"));
    }
}
