//! How some of the things happened that are recorded, and what is left out where it is the usual.

use serde::{Deserialize, Serialize};

use crate::record::{Channel, RecipientRole};

/// What came of a SMART Health Link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "health_link")]
pub enum HealthLinkEvent {
    /// With the link. `asks` is `plain` or `passcode`; `bytes` are those of the encrypted file.
    Made { asks: String, bytes: u64 },
    /// An app was told where the file is, or given it at once (`embedded`).
    Given { embedded: bool },
    /// Other rules came into force, which do not offer it; the link itself stays.
    Withdrawn,
    /// A wrong passcode; so many more are looked at, and after none it is dead.
    Refused { left: u8 },
}

/// What became of what was decided before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redecided {
    /// It is stricter.
    Tighter,
    /// It stands, about what the EHR says now.
    Stands,
    /// A person said so.
    Confirmed,
}

/// How the event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeardBy {
    Hook,
    Poll,
}

pub(super) const fn by_email() -> Channel {
    Channel::Email
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_by_email(channel: &Channel) -> bool {
    matches!(channel, Channel::Email)
}

pub(super) const fn patient() -> RecipientRole {
    RecipientRole::Patient
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_patient(recipient: &RecipientRole) -> bool {
    matches!(recipient, RecipientRole::Patient)
}
