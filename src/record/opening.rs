//! The opening's table: one browser's claim, for a lease of minutes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{NotAllowed, Step};
use crate::base::{UtcMillis, minutes};

/// How long a claim lasts without progress.
pub const LEASE: Duration = minutes(15);
/// How long progress can stretch a claim, from the moment it was made.
pub const LEASE_MAX: Duration = minutes(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Opening {
    /// The holder of the key looked; nothing is spent.
    Begun,
    Claimed {
        since: UtcMillis,
        lease_until: UtcMillis,
    },
    /// The browser proved that it read every file.
    Received,
    /// The lease ended without a receipt.
    Lapsed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningEvent {
    /// `view`: the longest that it may last.
    Claim {
        view: Duration,
    },
    Progress {
        view: Duration,
    },
    Receipt,
    LeaseEnded,
    /// The link was revoked or recalled under it.
    Cut,
}

impl Opening {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Claimed { .. } => "claimed",
            Self::Received => "received",
            Self::Lapsed => "lapsed",
        }
    }

    /// What the table says of `event` in this state.
    ///
    /// # Errors
    /// [`NotAllowed`] when the table has no such step.
    pub fn step(self, event: OpeningEvent, now: UtcMillis) -> Result<Step<Self>, NotAllowed> {
        let refused = NotAllowed { state: self.name(), event: event.name() };
        let to = match (self, event) {
            (Self::Begun, OpeningEvent::Claim { view }) => {
                Self::Claimed { since: now, lease_until: now.plus(LEASE.min(view)) }
            }
            (Self::Claimed { since, lease_until }, OpeningEvent::Progress { view }) if now < lease_until => {
                let end = since.plus(LEASE_MAX.min(view));
                Self::Claimed { since, lease_until: now.plus(LEASE).min(end).max(lease_until) }
            }
            (Self::Claimed { .. }, OpeningEvent::Receipt) => Self::Received,
            (Self::Claimed { lease_until, .. }, OpeningEvent::LeaseEnded) if lease_until <= now => Self::Lapsed,
            (Self::Claimed { .. }, OpeningEvent::Cut) => Self::Lapsed,
            (
                Self::Begun | Self::Claimed { .. } | Self::Received | Self::Lapsed,
                OpeningEvent::Claim { .. }
                | OpeningEvent::Progress { .. }
                | OpeningEvent::Receipt
                | OpeningEvent::LeaseEnded
                | OpeningEvent::Cut,
            ) => return Err(refused),
        };
        Ok(Step::new(self, to))
    }
}

impl OpeningEvent {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claim { .. } => "a claim",
            Self::Progress { .. } => "progress",
            Self::Receipt => "a receipt",
            Self::LeaseEnded => "the end of the lease",
            Self::Cut => "a cut",
        }
    }
}
