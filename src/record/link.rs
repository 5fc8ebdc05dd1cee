//! The link's table: from a decided report to a tombstone.

use serde::{Deserialize, Serialize};

use super::{NotAllowed, Step};
use crate::base::{DeliveryId, OperatorName, UtcMillis};
use crate::policy::vocabulary::Backstop;
use crate::policy::{HoldBasis, ReviewReason};

/// The state of a delivery and of the link it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Link {
    /// Decided to send; the attachment has not been fetched yet.
    Recorded,
    /// Waits, with an end and a basis.
    Held {
        until: HoldEnd,
        basis: HoldBasis,
    },
    /// A person must look.
    Review {
        why: ReviewReason,
    },
    /// The way in is open.
    Live {
        until: LiveUntil,
    },
    /// Refused, reversibly.
    Suspended {
        why: SuspendedWhy,
        until: LiveUntil,
    },
    /// The rules forbid this delivery.
    Blocked,
    /// The last allowed opening has ended.
    Spent,
    Expired,
    Revoked {
        by: RevokedBy,
    },
    /// The EHR took the report back.
    Recalled,
    /// A newer delivery took its place.
    Superseded {
        by: DeliveryId,
    },
}

/// What ends a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    At(UtcMillis),
    /// A person, whenever; only deliveries that were decided before there were back-stops.
    Person,
    /// A person; without one the back-stop.
    PersonBefore(BackstopAt),
    /// First a clinician records that they talked with the patient; without that the back-stop.
    Talk {
        before: BackstopAt,
        after: AfterTalk,
    },
}

/// What happens by itself to a report that waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackstopAt {
    pub at: UtcMillis,
    pub then: Backstop,
}

/// What a report that was talked about still waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterTalk {
    At(UtcMillis),
    Person,
}

/// What a person's word leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Let {
    Go,
    /// Not before a law's moment.
    GoAt(UtcMillis),
    /// A talk is required first, and ends no law's wait.
    Talk {
        before: BackstopAt,
        not_before: UtcMillis,
    },
}

/// The end of a link's life is fixed when the first attempt to hand it over is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveUntil {
    NotHandedOver,
    At(UtcMillis),
}

impl LiveUntil {
    /// `None` where that is no sooner, or the end is not fixed yet.
    fn sooner(self, expires_at: UtcMillis) -> Option<Self> {
        match self {
            Self::At(at) if expires_at < at => Some(Self::At(expires_at)),
            Self::At(_) | Self::NotHandedOver => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspendedWhy {
    /// The EHR no longer shows the resource; a second reading decides.
    Gone,
    /// The report went back to an unfinished status.
    WentBack,
    /// Many reports vanished at once: more likely the EHR's failure than a recall.
    ManyGone,
    /// The EHR no longer names whoever got it as one who may, or nobody can say whether it does. Never more than this: it comes back with
    /// them, and ends when its life does.
    RecipientGone,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedBy {
    Operator(OperatorName),
    /// The EHR cancelled the report.
    Cancelled,
    /// The EHR replaced the document by a newer one.
    Replaced,
    /// The report names another patient than before.
    SubjectChanged,
    /// The patient's record was merged into another, or parted from it again.
    PatientMerged,
    /// A restored database could not account for it.
    Restore,
    /// Whoever got the link says that it was not for them.
    Recipient,
}

/// How a link died, for the death journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Death {
    Spent,
    Expired,
    Revoked,
    Recalled,
    Superseded,
    /// The message was never handed over, so its link ends unused.
    Unsent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    HoldEnded,
    /// A person says: send it.
    ReleasedByStaff {
        to: Let,
    },
    /// A clinician recorded that they talked with the patient.
    Discussed,
    /// The attachment is sealed, link and notice are being committed.
    Released,
    /// The first attempt is leased; the life ends at this instant.
    FirstAttempt {
        expires_at: UtcMillis,
    },
    NeedsReview {
        why: ReviewReason,
    },
    LastLeaseEnded,
    LifeEnded,
    Suspend {
        why: SuspendedWhy,
    },
    Restored,
    /// Other rules are in force, under which it waits until then.
    Wait {
        until: HoldEnd,
        basis: HoldBasis,
    },
    /// Other rules are in force, which forbid it.
    Forbid,
    /// Other rules are in force, under which the life ends sooner.
    Shorten {
        expires_at: UtcMillis,
    },
    Revoke {
        by: RevokedBy,
    },
    Recall,
    Supersede {
        by: DeliveryId,
    },
    /// The link that it shared ended for the sake of another report in it: it leaves again, without that one.
    Parted,
    /// Quiet hours began before its message was handed over: it leaves again after them, with another link.
    QuietBegan,
    /// Its message came back from a full mailbox: it leaves again later, with another link.
    MailboxFull,
}

impl Link {
    /// The name stored in the state column and used in queries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Held { .. } => "held",
            Self::Review { .. } => "review",
            Self::Live { .. } => "live",
            Self::Suspended { .. } => "suspended",
            Self::Blocked => "blocked",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::Revoked { .. } => "revoked",
            Self::Recalled => "recalled",
            Self::Superseded { .. } => "superseded",
        }
    }

    /// Whether a link was made and may have been handed over, as far as the state alone tells.
    #[must_use]
    pub const fn was_released(&self) -> bool {
        match self {
            Self::Recorded | Self::Held { .. } | Self::Review { .. } | Self::Blocked => false,
            Self::Live { .. }
            | Self::Suspended { .. }
            | Self::Spent
            | Self::Expired
            | Self::Revoked { .. }
            | Self::Recalled
            | Self::Superseded { .. } => true,
        }
    }

    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Recorded | Self::Held { .. } | Self::Review { .. } | Self::Live { .. } | Self::Suspended { .. } => {
                false
            }
            Self::Blocked
            | Self::Spent
            | Self::Expired
            | Self::Revoked { .. }
            | Self::Recalled
            | Self::Superseded { .. } => true,
        }
    }

    /// Whether staff said that it shall not be out.
    #[must_use]
    pub const fn is_put_aside(&self) -> bool {
        matches!(self, Self::Revoked { by: RevokedBy::Operator(_) })
    }

    /// What the table says of `event` in this state.
    ///
    /// # Errors
    /// [`NotAllowed`] when the table has no such step.
    pub fn step(self, event: LinkEvent, now: UtcMillis) -> Result<Step<Self>, NotAllowed> {
        let refused = NotAllowed { state: self.name(), event: event.name() };
        let to = match (&self, event) {
            (
                Self::Held { .. } | Self::Review { .. },
                event @ (LinkEvent::HoldEnded | LinkEvent::Discussed | LinkEvent::ReleasedByStaff { .. }),
            ) => self.after_waiting(&event, now).ok_or(refused)?,
            (Self::Recorded, LinkEvent::Released) => Self::Live { until: LiveUntil::NotHandedOver },
            (Self::Live { until: LiveUntil::NotHandedOver }, LinkEvent::FirstAttempt { expires_at }) => {
                Self::Live { until: LiveUntil::At(expires_at) }
            }
            (
                Self::Recorded | Self::Held { .. } | Self::Live { .. } | Self::Suspended { .. },
                LinkEvent::NeedsReview { why },
            ) => Self::Review { why },
            (Self::Live { .. }, LinkEvent::LastLeaseEnded) => Self::Spent,
            (Self::Live { until } | Self::Suspended { until, .. }, LinkEvent::LifeEnded) => match until {
                LiveUntil::At(at) if *at <= now => Self::Expired,
                LiveUntil::At(_) | LiveUntil::NotHandedOver => return Err(refused),
            },
            (_, event @ (LinkEvent::Wait { .. } | LinkEvent::Forbid | LinkEvent::Shorten { .. })) => {
                self.under_other_rules(&event).ok_or(refused)?
            }
            (Self::Live { until }, LinkEvent::Suspend { why }) => Self::Suspended { why, until: *until },
            (Self::Suspended { until, .. }, LinkEvent::Restored) => Self::Live { until: *until },
            (Self::Live { .. } | Self::Suspended { .. }, LinkEvent::Parted)
            | (Self::Live { .. }, LinkEvent::QuietBegan | LinkEvent::MailboxFull) => Self::Recorded,
            (
                Self::Recorded | Self::Held { .. } | Self::Review { .. } | Self::Live { .. } | Self::Suspended { .. },
                LinkEvent::Revoke { by },
            ) => Self::Revoked { by },
            (
                Self::Recorded | Self::Held { .. } | Self::Review { .. } | Self::Live { .. } | Self::Suspended { .. },
                LinkEvent::Recall,
            ) => Self::Recalled,
            (
                Self::Recorded | Self::Held { .. } | Self::Review { .. } | Self::Live { .. } | Self::Suspended { .. },
                LinkEvent::Supersede { by },
            ) => Self::Superseded { by },
            (
                Self::Recorded
                | Self::Held { .. }
                | Self::Review { .. }
                | Self::Live { .. }
                | Self::Suspended { .. }
                | Self::Blocked
                | Self::Spent
                | Self::Expired
                | Self::Revoked { .. }
                | Self::Recalled
                | Self::Superseded { .. },
                LinkEvent::HoldEnded
                | LinkEvent::ReleasedByStaff { .. }
                | LinkEvent::Discussed
                | LinkEvent::Released
                | LinkEvent::FirstAttempt { .. }
                | LinkEvent::NeedsReview { .. }
                | LinkEvent::LastLeaseEnded
                | LinkEvent::LifeEnded
                | LinkEvent::Suspend { .. }
                | LinkEvent::Restored
                | LinkEvent::Revoke { .. }
                | LinkEvent::Recall
                | LinkEvent::Supersede { .. }
                | LinkEvent::Parted
                | LinkEvent::QuietBegan
                | LinkEvent::MailboxFull,
            ) => return Err(refused),
        };
        Ok(Step::new(self, to))
    }

    /// Where something that waits goes when its time has come, a person let it go, or the talk was recorded.
    fn after_waiting(&self, event: &LinkEvent, now: UtcMillis) -> Option<Self> {
        let until = if let Self::Held { until, .. } = self { Some(*until) } else { None };
        let basis = if let Self::Held { basis, .. } = self { *basis } else { HoldBasis::ClinicPolicy };
        let held = |until| Self::Held { until, basis };
        if let LinkEvent::ReleasedByStaff { to } = event {
            return match (until, to) {
                (Some(HoldEnd::Talk { .. }), _) => None,
                (_, Let::Go) => Some(Self::Recorded),
                (_, Let::GoAt(at)) if *at <= now => Some(Self::Recorded),
                (_, Let::GoAt(at)) => Some(Self::Held { until: HoldEnd::At(*at), basis: HoldBasis::Law }),
                (_, Let::Talk { before, not_before }) => {
                    Some(held(HoldEnd::Talk { before: *before, after: AfterTalk::At((*not_before).max(now)) }))
                }
            };
        }
        let is_talk = matches!(event, LinkEvent::Discussed);
        match until? {
            HoldEnd::Talk { before, after: AfterTalk::Person } if is_talk => Some(held(HoldEnd::PersonBefore(before))),
            HoldEnd::Talk { after: AfterTalk::At(at), .. } if is_talk && at > now => Some(held(HoldEnd::At(at))),
            HoldEnd::Talk { after: AfterTalk::At(_), .. } if is_talk => Some(Self::Recorded),
            HoldEnd::At(at) if !is_talk && at <= now => Some(Self::Recorded),
            HoldEnd::PersonBefore(backstop) | HoldEnd::Talk { before: backstop, .. }
                if !is_talk && backstop.at <= now =>
            {
                Some(match backstop.then {
                    Backstop::Release => Self::Recorded,
                    Backstop::Escalate => Self::Review { why: ReviewReason::HeldTooLong },
                })
            }
            HoldEnd::At(_) | HoldEnd::Person | HoldEnd::PersonBefore(_) | HoldEnd::Talk { .. } => None,
        }
    }

    /// Where other rules lead from here: what has not left waits or is forbidden, what is out ends sooner.
    fn under_other_rules(&self, event: &LinkEvent) -> Option<Self> {
        let sooner = |until: &LiveUntil| {
            if let LinkEvent::Shorten { expires_at } = event { until.sooner(*expires_at) } else { None }
        };
        match self {
            Self::Recorded | Self::Held { .. } | Self::Review { .. } => {
                if let LinkEvent::Wait { until, basis } = event {
                    return Some(Self::Held { until: *until, basis: *basis });
                }
                matches!(event, LinkEvent::Forbid).then_some(Self::Blocked)
            }
            Self::Live { until } => Some(Self::Live { until: sooner(until)? }),
            Self::Suspended { why, until } => Some(Self::Suspended { why: *why, until: sooner(until)? }),
            Self::Blocked
            | Self::Spent
            | Self::Expired
            | Self::Revoked { .. }
            | Self::Recalled
            | Self::Superseded { .. } => None,
        }
    }
}

impl LinkEvent {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HoldEnded => "the end of the hold",
            Self::ReleasedByStaff { .. } => "a release by staff",
            Self::Discussed => "a recorded talk",
            Self::Released => "the release",
            Self::FirstAttempt { .. } => "the first attempt to hand over",
            Self::NeedsReview { .. } => "a review",
            Self::LastLeaseEnded => "the end of the last opening",
            Self::LifeEnded => "the end of life",
            Self::Suspend { .. } => "a suspension",
            Self::Restored => "the end of the suspension",
            Self::Wait { .. } => "a hold by other rules",
            Self::Forbid => "a block by other rules",
            Self::Shorten { .. } => "a shorter life by other rules",
            Self::Revoke { .. } => "a revocation",
            Self::Recall => "a recall",
            Self::Supersede { .. } => "a replacement",
            Self::Parted => "the end of a shared link",
            Self::QuietBegan => "the beginning of quiet hours",
            Self::MailboxFull => "a full mailbox",
        }
    }
}

impl Step<Link> {
    /// `Some` when this step ends a way in that had been opened: its keys must be wiped and its death
    /// journalled before anybody is told.
    #[must_use]
    pub fn death(&self) -> Option<Death> {
        match (&self.from, &self.to) {
            (Link::Live { .. } | Link::Suspended { .. }, to) => match to {
                Link::Spent => Some(Death::Spent),
                Link::Expired => Some(Death::Expired),
                Link::Revoked { .. } => Some(Death::Revoked),
                Link::Recalled => Some(Death::Recalled),
                Link::Superseded { .. } | Link::Recorded => Some(Death::Superseded),
                Link::Review { .. } => Some(Death::Unsent),
                Link::Held { .. } | Link::Live { .. } | Link::Suspended { .. } | Link::Blocked => None,
            },
            (
                Link::Recorded
                | Link::Held { .. }
                | Link::Review { .. }
                | Link::Blocked
                | Link::Spent
                | Link::Expired
                | Link::Revoked { .. }
                | Link::Recalled
                | Link::Superseded { .. },
                _,
            ) => None,
        }
    }
}
