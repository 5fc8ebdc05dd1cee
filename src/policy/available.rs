//! What this installation can do, held against what the rules ask.

use std::collections::BTreeSet;

use super::columns::RETENTION_SECONDS_MAX;
use super::decision::{Challenge, Channel, CodeElse, CodeVia, Decision, Notify, ReviewReason, Terms};

/// What this installation offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Available {
    pub channels: BTreeSet<Channel>,
    pub challenges: BTreeSet<Challenge>,
    /// How a code can reach the patient by no channel.
    pub ways_out: BTreeSet<CodeElse>,
    /// Who can be told that a link was opened.
    pub told: BTreeSet<Notify>,
}

/// How the code of a link reaches the patient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodeWay {
    /// By this channel, when the page asks for it.
    Sent(Channel),
    /// Staff tell it.
    Staff,
    /// It stands on the patient's slip.
    Slip,
    /// It does not: the patient comes for the report.
    PickUp,
    /// Nobody said how.
    None,
}

impl Terms {
    /// How a code reaches a patient whose link comes by `link` and who can also be reached by `reachable`.
    #[must_use]
    pub fn code_way(&self, link: Channel, reachable: &BTreeSet<Channel>) -> CodeWay {
        let other = self.channels.intersection(reachable).copied().find(|channel| *channel != link);
        match (self.code_via, other, self.code_else) {
            (CodeVia::Any | CodeVia::Other, Some(other), _) => CodeWay::Sent(other),
            (CodeVia::Any, None, _) => CodeWay::Sent(link),
            (CodeVia::Other, None, CodeElse::Staff) => CodeWay::Staff,
            (CodeVia::Other, None, CodeElse::Slip) => CodeWay::Slip,
            (CodeVia::Other, None, CodeElse::Pickup) => CodeWay::PickUp,
            (CodeVia::Other, None, CodeElse::Review) => CodeWay::None,
        }
    }
}

impl Decision {
    /// Never weaker than the rules asked: a `Send` that needs a challenge, or only channels, that are not
    /// available becomes `Review` with its terms kept; so does one whose code nobody could get. A `Send` that stays one keeps only its available
    /// channels. `Review` and `Block` stay as they are.
    #[must_use]
    pub fn within(self, available: &Available) -> Self {
        match self {
            Self::Send { terms } => match missing(&terms, available) {
                Some(what) => Self::Review { why: ReviewReason::NotAvailable { what }, terms: Some(terms) },
                None if must_be_fetched(&terms, available) => {
                    Self::Review { why: ReviewReason::PickUp, terms: Some(terms) }
                }
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
    match way_of(terms, available) {
        Some(CodeWay::Staff) if !available.ways_out.contains(&CodeElse::Staff) => {
            wanted.push("a code told by staff".to_owned());
        }
        Some(CodeWay::Slip) if !available.ways_out.contains(&CodeElse::Slip) => {
            wanted.push("a code on a slip".to_owned());
        }
        Some(CodeWay::None) => wanted.push("a code by another channel, and names no other way (code_else)".to_owned()),
        Some(CodeWay::Sent(_) | CodeWay::Staff | CodeWay::Slip | CodeWay::PickUp) | None => {}
    }
    for told in terms.notify.difference(&available.told) {
        wanted.push(match told {
            Notify::Staff => "a notice to staff (every [[clinic]] needs a staff_email)".to_owned(),
            Notify::OrderingProvider => "a notice to the ordering provider".to_owned(),
        });
    }
    if terms.retention_seconds < RETENTION_SECONDS_MAX {
        wanted.push("a retention of its own".to_owned());
    }
    (!wanted.is_empty()).then(|| wanted.join(" and "))
}

/// How the code would reach whoever has every channel of this installation; `None` where the rules ask for none, or for one that
/// it cannot check.
fn way_of(terms: &Terms, available: &Available) -> Option<CodeWay> {
    if !terms.challenges.contains(&Challenge::Code) || !available.challenges.contains(&Challenge::Code) {
        return None;
    }
    let link = terms.channels.intersection(&available.channels).next()?;
    Some(terms.code_way(*link, &available.channels))
}

fn must_be_fetched(terms: &Terms, available: &Available) -> bool {
    match way_of(terms, available) {
        Some(CodeWay::PickUp) => true,
        Some(CodeWay::Sent(_) | CodeWay::Staff | CodeWay::Slip | CodeWay::None) | None => false,
    }
}
