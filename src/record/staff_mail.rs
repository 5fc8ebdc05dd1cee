//! What a clinic's staff are told of a link by mail, once each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::hours;

/// A mail to staff that could not be handed over for so long is given up; what it says stands in the lists as well.
pub const STAFF_MAIL_WAIT_MAX: Duration = hours(24);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaffNews {
    /// By rule: a browser opened it for the first time.
    Opened,
    /// By rule: a browser proved that it could read all of it.
    Read,
    /// Whoever got it says that it was not for them.
    Disowned,
    /// The holder of a link that ended wants another, which no rule gives by itself.
    AnotherWanted,
    /// Nobody opened something sensitive, and it ends soon.
    CallWanted,
}

/// What became of such a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaffMailFate {
    Sent,
    /// The relay refuses it, or did not take it for a day.
    GivenUp,
    /// The clinic names no mailbox of its staff.
    Nobody,
}

impl StaffMailFate {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::GivenUp => "given_up",
            Self::Nobody => "nobody",
        }
    }
}
