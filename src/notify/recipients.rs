//! Whom an installation may write to: everyone, or a short list while it is tried out.

use std::collections::BTreeSet;

use crate::base::{AddressError, EmailAddress};

/// The recipients that mail may reach.
#[derive(Clone)]
pub enum OnlyTo {
    Everyone,
    /// These mailboxes and everyone at these domains; nobody when both are empty.
    Listed {
        /// In comparison form.
        addresses: BTreeSet<String>,
        /// Lower-case; a sub-domain is another domain.
        domains: BTreeSet<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "entry {position} of only_to is neither an address nor a domain: {why}; write name@example.org or @example.org"
)]
pub struct OnlyToError {
    /// Counted from 1.
    pub position: usize,
    pub why: AddressError,
}

impl OnlyTo {
    /// Reads entries of the forms `name@example.org`, `@example.org` and `example.org`.
    ///
    /// # Errors
    /// Names the first entry that is neither.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, OnlyToError> {
        let (mut addresses, mut domains) = (BTreeSet::new(), BTreeSet::new());
        for (index, entry) in entries.into_iter().enumerate() {
            let refuse = |why| OnlyToError { position: index + 1, why };
            let entry = entry.trim();
            let domain = match entry.split_once('@') {
                Some(("", domain)) => domain,
                Some(_) => {
                    addresses.insert(EmailAddress::parse(entry).map_err(refuse)?.comparison_form());
                    continue;
                }
                None => entry,
            };
            let anyone_there = EmailAddress::parse(&format!("anyone@{domain}")).map_err(refuse)?;
            domains.insert(anyone_there.domain().to_owned());
        }
        Ok(Self::Listed { addresses, domains })
    }

    #[must_use]
    pub fn allows(&self, to: &EmailAddress) -> bool {
        match self {
            Self::Everyone => true,
            Self::Listed { addresses, domains } => {
                addresses.contains(&to.comparison_form()) || domains.contains(to.domain())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_lets_through_its_mailboxes_and_domains_and_nobody_else() {
        let only_to = OnlyTo::parse(["Eve@clinic.test", "@staff.clinic.test", "Lab.test"]).unwrap();
        let allows = |text| only_to.allows(&EmailAddress::parse(text).unwrap());
        assert!(allows("eve@Clinic.test") && allows("anyone@staff.clinic.test") && allows("x@lab.test"));
        assert!(!allows("ana@clinic.test") && !allows("x@deep.lab.test") && !allows("x@notlab.test"));
    }

    #[test]
    fn an_empty_list_lets_nobody_through() {
        let only_to = OnlyTo::parse([]).unwrap();
        assert!(!only_to.allows(&EmailAddress::parse("eve@clinic.test").unwrap()));
    }

    #[test]
    fn a_mistyped_entry_is_named_by_its_place() {
        let error = OnlyTo::parse(["clinic.test", "not a domain"]).err().unwrap();
        assert_eq!((error.position, error.why), (2, AddressError::Domain));
    }
}
