//! Several reports in one link: what becomes of the others when one of them takes a step.
//!
//! Must stay true: a link that ends, ends for each report in it; one that ended for the sake of a single report takes no
//! other's way to the patient: the others leave again, or wait for a person. Only a suspension is a report's own affair: the
//! link is refused as long as one of its reports is suspended.

use super::{Link, LinkEvent, LiveUntil, RevokedBy, Step};
use crate::policy::ReviewReason;

impl Link {
    /// `None` where nothing of it is out.
    #[must_use]
    pub const fn lives_until(&self) -> Option<LiveUntil> {
        match self {
            Self::Live { until } | Self::Suspended { until, .. } => Some(*until),
            Self::Recorded
            | Self::Held { .. }
            | Self::Review { .. }
            | Self::Blocked
            | Self::Spent
            | Self::Expired
            | Self::Revoked { .. }
            | Self::Recalled
            | Self::Superseded { .. } => None,
        }
    }
}

impl Step<Link> {
    /// What this step means for the other reports in the same link; `None`: nothing.
    #[must_use]
    pub fn for_companions(&self) -> Option<LinkEvent> {
        let before = self.from.lives_until()?;
        if let Some(after) = self.to.lives_until() {
            return match (before, after) {
                (LiveUntil::NotHandedOver, LiveUntil::At(expires_at)) => Some(LinkEvent::FirstAttempt { expires_at }),
                (LiveUntil::At(was), LiveUntil::At(expires_at)) if expires_at < was => {
                    Some(LinkEvent::Shorten { expires_at })
                }
                (LiveUntil::At(_), LiveUntil::At(_)) | (_, LiveUntil::NotHandedOver) => None,
            };
        }
        Some(match &self.to {
            Link::Spent => LinkEvent::LastLeaseEnded,
            Link::Expired => LinkEvent::LifeEnded,
            // Quiet hours take back what they caught before it was handed over, a full mailbox what came back.
            Link::Recorded => LinkEvent::QuietBegan,
            // Staff who revoke may have seen that the address is wrong: nobody else's report is sent there again by itself.
            Link::Revoked { by: RevokedBy::Operator(_) | RevokedBy::Restore | RevokedBy::Recipient } => {
                LinkEvent::NeedsReview { why: ReviewReason::SharedLinkRevoked }
            }
            Link::Review { why } if concerns_the_message(why) => LinkEvent::NeedsReview { why: why.clone() },
            Link::Review { .. }
            | Link::Revoked {
                by: RevokedBy::Cancelled | RevokedBy::Replaced | RevokedBy::SubjectChanged | RevokedBy::PatientMerged,
            }
            | Link::Recalled
            | Link::Superseded { .. }
            | Link::Held { .. }
            | Link::Blocked => LinkEvent::Parted,
            Link::Live { .. } | Link::Suspended { .. } => return None,
        })
    }
}

/// Whether a link ended unsent for a reason that holds for every report in its message.
const fn concerns_the_message(why: &ReviewReason) -> bool {
    match why {
        ReviewReason::Withheld
        | ReviewReason::KeyGone
        | ReviewReason::NoticeTooLate
        | ReviewReason::NoticeRefused { .. }
        | ReviewReason::Breaker { .. }
        | ReviewReason::Restored
        | ReviewReason::SharedLinkRevoked
        | ReviewReason::NoContact { .. }
        | ReviewReason::ContactTie
        | ReviewReason::NoGuardianNow
        | ReviewReason::ContactBounced { .. }
        | ReviewReason::ContactDisputed { .. }
        | ReviewReason::ContactOptedOut { .. }
        | ReviewReason::ContactUnconfirmed
        | ReviewReason::AddressNotVerified
        | ReviewReason::ContactChanged
        | ReviewReason::GuardiansAddress
        | ReviewReason::NoClinic => true,
        ReviewReason::NoRule
        | ReviewReason::RuleAsks { .. }
        | ReviewReason::NoCommonChannel { .. }
        | ReviewReason::Unknown { .. }
        | ReviewReason::AddressUnclear { .. }
        | ReviewReason::HeldTooLong
        | ReviewReason::TooShort { .. }
        | ReviewReason::NotAvailable { .. }
        | ReviewReason::PickUp
        | ReviewReason::NothingToAsk
        | ReviewReason::NoSlip
        | ReviewReason::UnknownStatus
        | ReviewReason::TooOld
        | ReviewReason::BeforeStart
        | ReviewReason::AgeUnknown
        | ReviewReason::Patient { .. }
        | ReviewReason::Attachment { .. }
        | ReviewReason::Malware { .. }
        | ReviewReason::AnothersPaper { .. }
        | ReviewReason::NobodysPaper
        | ReviewReason::PaperUnread { .. }
        | ReviewReason::UnknownModifier { .. }
        | ReviewReason::SubjectChanged
        | ReviewReason::PatientMerged
        | ReviewReason::SameElsewhere
        | ReviewReason::Reinstated
        | ReviewReason::WentBack
        | ReviewReason::RecipientGone
        | ReviewReason::Outdated
        | ReviewReason::DecidedOtherwise
        | ReviewReason::Confidential { .. }
        | ReviewReason::Unreadable { .. } => false,
    }
}
