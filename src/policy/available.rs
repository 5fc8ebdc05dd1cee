//! What this installation can do, held against what the rules ask.

use std::collections::BTreeSet;

use super::columns::{RETENTION_SECONDS_MAX, VIEW_SECONDS_MAX};
use super::decision::{Challenge, Channel, Decision, Download, Notify, ReviewReason, Terms};

/// What this installation offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Available {
    pub channels: BTreeSet<Channel>,
    pub challenges: BTreeSet<Challenge>,
}

impl Decision {
    /// Never weaker than the rules asked: a `Send` that needs a challenge, or only channels, that are not
    /// available becomes `Review` with its terms kept. A `Send` that stays one keeps only its available
    /// channels. `Review` and `Block` stay as they are.
    #[must_use]
    pub fn within(self, available: &Available) -> Self {
        match self {
            Self::Send { terms } => match missing(&terms, available) {
                Some(what) => Self::Review { why: ReviewReason::NotAvailable { what }, terms: Some(terms) },
                None => Self::Send {
                    terms: Terms {
                        channels: terms.channels.intersection(&available.channels).copied().collect(),
                        ..terms
                    },
                },
            },
            unsent @ (Self::Review { .. } | Self::Block { .. }) => unsent,
        }
    }
}

fn missing(terms: &Terms, available: &Available) -> Option<String> {
    let mut wanted = Vec::new();
    if terms.channels.is_disjoint(&available.channels) {
        let channels: Vec<_> = terms.channels.iter().map(|channel| channel.as_str()).collect();
        wanted.push(format!("the channel {}", channels.join(" or ")));
    }
    for challenge in terms.challenges.difference(&available.challenges) {
        wanted.push(format!("the check '{}' before opening", challenge.as_str()));
    }
    if terms.view_seconds < VIEW_SECONDS_MAX {
        wanted.push("a view shorter than an hour".to_owned());
    }
    if terms.download == Download::ViewOnly {
        wanted.push("a document that cannot be saved".to_owned());
    }
    if terms.notify.contains(&Notify::OrderingProvider) {
        wanted.push("a notice to the ordering provider".to_owned());
    }
    if terms.retention_seconds < RETENTION_SECONDS_MAX {
        wanted.push("a retention of its own".to_owned());
    }
    (!wanted.is_empty()).then(|| wanted.join(" and "))
}
