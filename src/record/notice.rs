//! The notice's table: one message, its attempts and how they may fail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{NotAllowed, Step};
use crate::base::{UtcMillis, hours, minutes, seconds};

/// How long one attempt may hold a notice before another worker may take it.
pub const LEASE: Duration = minutes(2);
/// A message whose fate is unknown is sent again at most so often, then staff are told.
pub const AMBIGUOUS_ATTEMPTS_MAX: u32 = 3;
/// A notice that could not be handed over for so long goes to review.
pub const WAIT_MAX: Duration = hours(6);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A new report.
    Link,
    /// A report that replaces one sent before.
    UpdatedLink,
    /// The code that a link asks for. Nothing of the link stands or falls with its message.
    Code,
    /// The same link once more. Nothing of it stands or falls with this message either.
    Reminder,
    /// That the link waits, without it.
    Waiting,
}

impl NoticeKind {
    /// Whether it carries the link, and tells of its report.
    #[must_use]
    pub const fn brings_the_link(self) -> bool {
        match self {
            Self::Link | Self::UpdatedLink => true,
            Self::Code | Self::Reminder | Self::Waiting => false,
        }
    }

    /// Whether it speaks of a link that was sent before and that nobody opened.
    #[must_use]
    pub const fn reminds(self) -> bool {
        match self {
            Self::Reminder | Self::Waiting => true,
            Self::Link | Self::UpdatedLink | Self::Code => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Notice {
    Queued {
        due: UtcMillis,
        attempts: u32,
        ambiguous: u32,
    },
    Leased {
        until: UtcMillis,
        attempts: u32,
        ambiguous: u32,
    },
    /// Handed over.
    Sent,
    /// It may have arrived; only a person can find out, or whoever carries it.
    Unsure,
    /// Refused for good, or told of later as one that did not arrive.
    Bounced,
    /// Ended unsent: its link died, it waited too long, or it is made again after quiet hours.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEvent {
    Lease,
    Accepted,
    /// A definite "not now", or nothing was sent.
    Transient,
    /// A definite "never".
    Permanent,
    /// It may have been sent; sent once more it does no harm.
    Ambiguous,
    /// It may have been sent, and must not be sent once more.
    Uncertain,
    /// Whoever carries it says that they have it, or had.
    Confirmed,
    /// Whoever carried it says that it did not arrive, and will not.
    Undelivered,
    /// The holder died or stopped: give it back. Whether it sent is unknown.
    LeaseLost,
    /// The holder stopped before sending.
    HandedBack,
    /// Quiet hours began before it was handed over.
    QuietBegan,
    Cancel,
}

impl Notice {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Leased { .. } => "leased",
            Self::Sent => "sent",
            Self::Unsure => "unsure",
            Self::Bounced => "bounced",
            Self::Dead => "dead",
        }
    }

    /// What the table says of `event` in this state.
    ///
    /// # Errors
    /// [`NotAllowed`] when the table has no such step.
    pub fn step(self, event: NoticeEvent, now: UtcMillis) -> Result<Step<Self>, NotAllowed> {
        let refused = NotAllowed { state: self.name(), event: event.name() };
        let to = match (self, event) {
            (Self::Queued { due, attempts, ambiguous }, NoticeEvent::Lease) if due <= now => {
                Self::Leased { until: now.plus(LEASE), attempts: attempts + 1, ambiguous }
            }
            (Self::Leased { .. }, NoticeEvent::Accepted)
            | (Self::Leased { .. } | Self::Unsure, NoticeEvent::Confirmed) => Self::Sent,
            (Self::Leased { .. }, NoticeEvent::Permanent)
            | (Self::Leased { .. } | Self::Unsure | Self::Sent, NoticeEvent::Undelivered) => Self::Bounced,
            (Self::Leased { attempts, ambiguous, .. }, NoticeEvent::Transient) => {
                Self::Queued { due: now.plus(retry_delay(attempts)), attempts, ambiguous }
            }
            (Self::Leased { attempts, ambiguous, .. }, NoticeEvent::HandedBack) => {
                Self::Queued { due: now, attempts, ambiguous }
            }
            (Self::Leased { until, attempts, ambiguous }, NoticeEvent::LeaseLost) if until <= now => {
                after_ambiguity(attempts, ambiguous, now)
            }
            (Self::Leased { attempts, ambiguous, .. }, NoticeEvent::Ambiguous) => {
                after_ambiguity(attempts, ambiguous, now)
            }
            // What nobody has can be made again after the quiet hours.
            (Self::Queued { .. } | Self::Leased { .. }, NoticeEvent::Cancel)
            | (Self::Queued { ambiguous: 0, .. }, NoticeEvent::QuietBegan) => Self::Dead,
            // Its link may be in the patient's hands: neither is it ended nor is its secret kept for a night.
            (Self::Queued { .. }, NoticeEvent::QuietBegan) | (Self::Leased { .. }, NoticeEvent::Uncertain) => {
                Self::Unsure
            }
            (
                Self::Queued { .. } | Self::Leased { .. } | Self::Sent | Self::Unsure | Self::Bounced | Self::Dead,
                NoticeEvent::Lease
                | NoticeEvent::Accepted
                | NoticeEvent::Transient
                | NoticeEvent::Permanent
                | NoticeEvent::Ambiguous
                | NoticeEvent::Uncertain
                | NoticeEvent::Confirmed
                | NoticeEvent::Undelivered
                | NoticeEvent::LeaseLost
                | NoticeEvent::HandedBack
                | NoticeEvent::QuietBegan
                | NoticeEvent::Cancel,
            ) => return Err(refused),
        };
        Ok(Step::new(self, to))
    }
}

fn after_ambiguity(attempts: u32, ambiguous: u32, now: UtcMillis) -> Notice {
    let ambiguous = ambiguous + 1;
    if ambiguous >= AMBIGUOUS_ATTEMPTS_MAX {
        Notice::Unsure
    } else {
        Notice::Queued { due: now.plus(retry_delay(attempts)), attempts, ambiguous }
    }
}

/// The wait before the next attempt, after `attempts` of them: 15 s, 1 min, 5 min, 15 min, then every
/// half hour.
#[must_use]
pub const fn retry_delay(attempts: u32) -> Duration {
    match attempts {
        0 | 1 => seconds(15),
        2 => minutes(1),
        3 => minutes(5),
        4 => minutes(15),
        5.. => minutes(30),
    }
}

impl NoticeEvent {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Lease => "a lease",
            Self::Accepted => "an acceptance",
            Self::Transient => "a refusal for now",
            Self::Permanent => "a refusal for good",
            Self::Ambiguous => "an unknown fate",
            Self::Uncertain => "an unknown fate of what is sent once",
            Self::Confirmed => "a confirmation",
            Self::Undelivered => "a word that it did not arrive",
            Self::LeaseLost => "a lost lease",
            Self::HandedBack => "a handing back",
            Self::QuietBegan => "the beginning of quiet hours",
            Self::Cancel => "a cancellation",
        }
    }
}
