//! What is known of whether an address reaches the person to whom it is written.
//!
//! Must stay true: an address of which nothing was ever recorded is known to be `unknown`; what could not be looked up is not.
//! No address is here, and nothing that names one.

use serde::{Deserialize, Serialize};

use super::decision::ReviewReason;
use super::facts::{FactPath, Gathered, RecipientRole};
use crate::base::UtcMillis;

/// What was recorded of an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// The patient showed that it reaches them. Nothing in this version can tell that; rules may ask for it already.
    ConfirmedByPatient,
    /// Staff asked the patient.
    ConfirmedByStaff,
    /// A mail relay said for good that there is no such mailbox, or a text gateway that the number takes no texts.
    Bounced,
    /// Somebody said that it is not the patient's.
    Disputed,
    /// Whoever has the number asked for no more texts.
    OptedOut,
}

/// A state and since when it is so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactStanding {
    pub state: ContactState,
    pub since: UtcMillis,
}

/// The word for an address of which nothing is recorded.
pub const UNKNOWN: &str = "unknown";
/// By whomever.
const CONFIRMED: &str = "confirmed";
/// The words that a rule may name.
pub(super) const WORDS: [&str; 7] =
    [UNKNOWN, CONFIRMED, "confirmed_by_patient", "confirmed_by_staff", "bounced", "disputed", "opted_out"];

impl ContactState {
    pub const ALL: [Self; 5] =
        [Self::ConfirmedByPatient, Self::ConfirmedByStaff, Self::Bounced, Self::Disputed, Self::OptedOut];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfirmedByPatient => "confirmed_by_patient",
            Self::ConfirmedByStaff => "confirmed_by_staff",
            Self::Bounced => "bounced",
            Self::Disputed => "disputed",
            Self::OptedOut => "opted_out",
        }
    }

    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        match self {
            Self::ConfirmedByPatient | Self::ConfirmedByStaff => true,
            Self::Bounced | Self::Disputed | Self::OptedOut => false,
        }
    }

    /// Every word of the rules that is true of it.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        [self.as_str()].into_iter().chain(self.is_confirmed().then_some(CONFIRMED))
    }
}

impl std::str::FromStr for ContactState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

impl ContactStanding {
    /// Why nothing is sent there, whatever the rules say.
    #[must_use]
    pub fn objection(self) -> Option<ReviewReason> {
        match self.state {
            ContactState::ConfirmedByPatient | ContactState::ConfirmedByStaff => None,
            ContactState::Bounced => Some(ReviewReason::ContactBounced { since: self.since }),
            ContactState::Disputed => Some(ReviewReason::ContactDisputed { since: self.since }),
            ContactState::OptedOut => Some(ReviewReason::ContactOptedOut { since: self.since }),
        }
    }
}

/// Why nothing goes to an address of which this is recorded. To a provider it goes only where somebody asked them whether it is
/// theirs, whoever releases it: no patient misses a letter of which they never heard.
#[must_use]
pub fn standing_objection(standing: Option<ContactStanding>, role: RecipientRole) -> Option<ReviewReason> {
    let must_be_confirmed = match role {
        RecipientRole::Patient | RecipientRole::Proxy => false,
        RecipientRole::OrderingProvider | RecipientRole::CopyTo | RecipientRole::ThirdParty => true,
    };
    let is_confirmed = standing.is_some_and(|standing| standing.state.is_confirmed());
    let unverified = (must_be_confirmed && !is_confirmed).then_some(ReviewReason::AddressNotVerified);
    standing.and_then(ContactStanding::objection).or(unverified)
}

/// What was looked up, as a fact: nothing recorded is nothing found.
#[must_use]
pub fn as_fact(standing: Option<ContactStanding>) -> Gathered<ContactStanding> {
    let mut fact = Gathered::none();
    if let Some(standing) = standing {
        fact.add(standing, FactPath("contact".to_owned()));
    }
    fact
}

/// Whether less is known for the address than when it was decided about.
#[must_use]
pub fn is_less_sure(then: &Gathered<ContactStanding>, now: Option<ContactStanding>) -> bool {
    let was_confirmed = then.values().any(|standing| standing.state.is_confirmed());
    was_confirmed && !now.is_some_and(|standing| standing.state.is_confirmed())
}

/// The last confirmation among what was found.
pub(super) fn confirmed_at(fact: &Gathered<ContactStanding>) -> Option<UtcMillis> {
    fact.values().filter(|standing| standing.state.is_confirmed()).map(|standing| standing.since).max()
}

/// Whether a confirmation is no older than so many seconds.
pub(super) fn is_within(confirmed_at: UtcMillis, seconds: u64, now: UtcMillis) -> bool {
    now.since(confirmed_at).as_secs() <= seconds
}
