//! What may happen to links, openings, notices and challenges.
//!
//! Job: `step(state, event, now)` for each of the step tables: pure, total, without wildcard arms.
//! Must stay true: only this module makes a [`Step`]; the store accepts nothing else, so a state that
//! no table allows cannot be written. Terminal is final.
//! Must not know: SQL, HTTP, keys, or how an event came about.

mod addressee;
mod card;
mod challenge;
mod link;
mod notice;
mod opening;
mod reminder;
mod shared;
mod staff_mail;
#[cfg(test)]
mod tests;
mod told;

pub use crate::policy::contact::{ContactStanding, ContactState};
pub use crate::policy::laws::Waiver;
pub use crate::policy::{Channel, RecipientRole};
pub use addressee::Addressee;
pub use card::Card;
pub use challenge::{
    Ask, CODE_LIFE, CODES_AN_HOUR_MAX, Challenge, ChallengeEvent, Checked, STAFF_CODE_LIFE, Series, UNLOCK_ATTEMPTS_MAX,
};
pub use link::{AfterTalk, BackstopAt, Death, HoldEnd, Let, Link, LinkEvent, LiveUntil, RevokedBy, SuspendedWhy};
pub use notice::{
    AMBIGUOUS_ATTEMPTS_MAX, LEASE as NOTICE_LEASE, Notice, NoticeEvent, NoticeKind, WAIT_MAX as NOTICE_WAIT_MAX,
    retry_delay,
};
pub use opening::{LEASE as OPENING_LEASE, LEASE_MAX as OPENING_LEASE_MAX, Opening, OpeningEvent};
pub use reminder::reminder_moments;
pub use staff_mail::{STAFF_MAIL_WAIT_MAX, StaffMailFate, StaffNews};
pub use told::{EverOpened, Fact, ToDo, Told};

/// A change that the tables allow. Made only by `step`, consumed by the store.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<S> {
    from: S,
    to: S,
}

impl<S> Step<S> {
    fn new(from: S, to: S) -> Self {
        Self { from, to }
    }

    #[must_use]
    pub fn from(&self) -> &S {
        &self.from
    }

    #[must_use]
    pub fn to(&self) -> &S {
        &self.to
    }
}

/// The table has no such step; the state stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not possible while {state}")]
pub struct NotAllowed {
    pub state: &'static str,
    pub event: &'static str,
}
