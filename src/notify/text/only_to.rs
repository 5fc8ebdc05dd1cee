//! Which numbers an installation may text: every one, or a short list while it is tried out.

use std::collections::BTreeSet;

use crate::base::PhoneNumber;

/// The numbers that texts may reach.
#[derive(Clone)]
pub enum OnlyToNumbers {
    Everyone,
    /// Nobody when it is empty. As [`PhoneNumber::expose`] gives them.
    Listed(BTreeSet<String>),
}

impl OnlyToNumbers {
    #[must_use]
    pub fn listed<'a>(numbers: impl IntoIterator<Item = &'a PhoneNumber>) -> Self {
        Self::Listed(numbers.into_iter().map(|number| number.expose().to_owned()).collect())
    }

    #[must_use]
    pub fn allows(&self, to: &PhoneNumber) -> bool {
        match self {
            Self::Everyone => true,
            Self::Listed(numbers) => numbers.contains(to.expose()),
        }
    }
}
