//! How some of the things happened that are recorded, and what is left out where it is the usual.

use serde::{Deserialize, Serialize};

use crate::record::{Channel, RecipientRole};

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
