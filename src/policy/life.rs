//! How long a link lives, by when it is made.
//!
//! Must stay true: no link is made under which a patient who sleeps at night has fewer than the waking hours that every rule
//! owes them; a later moment never gives a longer life.
//! Must not know: who lets a report go, or why.

use std::collections::BTreeSet;

use super::decision::{Decision, ReviewReason, Terms};
use super::quiet::least_waking_seconds;
use super::rules::WAKING_FLOOR_SECONDS;
use super::vocabulary::ExpiryFrom;
use crate::base::UtcMillis;

/// The fewest waking hours of a link, for words to people.
pub const WAKING_FLOOR_HOURS: u64 = WAKING_FLOOR_SECONDS / 3600;

impl Terms {
    /// The life in seconds of a link that is made now; `None` when too little of it would be left. A report without a time of
    /// its own counts from now.
    #[must_use]
    pub fn life_seconds(&self, issued: Option<UtcMillis>, now: UtcMillis) -> Option<u64> {
        match self.expiry_from {
            ExpiryFrom::Delivered => Some(self.expiry_seconds),
            ExpiryFrom::Issued => {
                let gone = now.since(issued.unwrap_or(now).min(now)).as_secs();
                let life = self.expiry_seconds.saturating_sub(gone);
                let hours = self.quiet.as_ref().map(|quiet| &quiet.hours);
                (least_waking_seconds(hours, life) >= WAKING_FLOOR_SECONDS).then_some(life)
            }
        }
    }

    /// Whether a report that may leave from `at` on gets no link any more, since its message also waits for the quiet hours.
    #[must_use]
    pub fn are_too_late(&self, issued: Option<UtcMillis>, at: UtcMillis) -> bool {
        let leaves_at = self.quiet.as_ref().and_then(|quiet| quiet.end(at)).map_or(at, |end| end.at());
        self.life_seconds(issued, leaves_at).is_none()
    }
}

impl Decision {
    /// The terms under which it leaves, at last by a person's word; without any channel where the rules have none in common.
    #[must_use]
    pub fn terms_to_leave_under(&self) -> Terms {
        match self {
            Self::Send { terms } | Self::Review { terms: Some(terms), .. } => terms.clone(),
            // As it was once stored.
            Self::Review { why: ReviewReason::NoCommonChannel { .. }, terms: None } => {
                Terms { channels: BTreeSet::new(), ..Terms::by_hand() }
            }
            Self::Review { terms: None, .. } | Self::Block { .. } => Terms::by_hand(),
        }
    }
}
