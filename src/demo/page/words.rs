//! States in plain words, for an EHR's administrator who sees them for the first time.

use serde::Serialize;

use crate::desk::Shown;
use crate::record::{HoldEnd, Link, RevokedBy};

/// How a state is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tone {
    /// Under way, or open.
    Good,
    /// Somebody or something is waited for.
    Waits,
    /// Over.
    Ended,
}

pub(super) struct Told {
    pub(super) tone: Tone,
    /// A few words.
    pub(super) state: &'static str,
    /// What that means.
    pub(super) meaning: String,
}

/// What became of a delivery.
pub(super) fn of_state(shown: &Shown) -> Told {
    let told = |tone, state, meaning: &str| Told { tone, state, meaning: meaning.to_owned() };
    // No link was ever made.
    let never_left = shown.opens_max.is_none();
    match &shown.link_state {
        Link::Recorded => told(Tone::Good, "On its way", "Decided. The file is being fetched and sealed."),
        Link::Held { until: HoldEnd::At(at), .. } => {
            told(Tone::Waits, "On hold", &format!("The rule lets it wait until {at}."))
        }
        Link::Held { until: HoldEnd::Person | HoldEnd::PersonBefore(_), .. } => {
            told(Tone::Waits, "On hold", "The rule lets it wait until a person releases it.")
        }
        Link::Held { until: HoldEnd::Talk { .. }, .. } => {
            told(Tone::Waits, "On hold", "The rule lets it wait until a clinician has talked with the patient.")
        }
        Link::Review { why } => {
            told(Tone::Waits, "A person looks", &format!("Nothing was sent, because {why}. Staff release it, or not."))
        }
        Link::Live { .. } => Told { tone: Tone::Good, state: of_notice(shown), meaning: of_openings(shown) },
        Link::Suspended { .. } => {
            told(Tone::Waits, "Suspended", "The EHR does not show the report at the moment; the link is refused.")
        }
        Link::Blocked => told(Tone::Ended, "Never sent", "The rules forbid it."),
        Link::Spent => told(
            Tone::Ended,
            "Used up",
            "It was opened as often as the rule allows. The server's half of the key is destroyed: nobody can open it again.",
        ),
        Link::Expired => told(Tone::Ended, "Run out", "Its time is over. The server's half of the key is destroyed."),
        Link::Revoked { by: RevokedBy::Operator(_) } if never_left => {
            told(Tone::Ended, "Revoked", "Staff decided against sending it.")
        }
        Link::Revoked { by: RevokedBy::Operator(_) } => {
            told(Tone::Ended, "Revoked", "Staff ended the link. The server's half of the key is destroyed.")
        }
        Link::Revoked { .. } => told(Tone::Ended, "Ended", "The link was ended by the house."),
        Link::Recalled if never_left => {
            told(Tone::Ended, "Taken back", "The lab withdrew the report before anything was sent.")
        }
        Link::Recalled => told(
            Tone::Ended,
            "Taken back",
            "The lab withdrew the report in the EHR. The link says so to the patient, and opens nothing.",
        ),
        Link::Superseded { .. } if never_left => {
            told(Tone::Ended, "Replaced", "A newer delivery took its place before anything was sent.")
        }
        Link::Superseded { .. } => told(
            Tone::Ended,
            "Replaced",
            "A newer delivery took its place. The old link says so to the patient, and opens nothing.",
        ),
    }
}

fn of_notice(shown: &Shown) -> &'static str {
    match shown.notices.last().map(|notice| notice.state) {
        Some("sent") => "Sent",
        Some("bounced" | "dead") => "Not delivered",
        Some(_) | None => "Sealed",
    }
}

fn of_openings(shown: &Shown) -> String {
    match (shown.opened, shown.opens_max) {
        (Some(0), Some(_)) if shown.notices.last().is_none_or(|notice| notice.state != "sent") => {
            "Sealed; its message has not left yet.".to_owned()
        }
        (Some(0), Some(_)) => "The link is in the patient's mailbox and was not opened yet.".to_owned(),
        (Some(opened), Some(most)) => format!("Opened in {opened} of the {most} browsers that the rule allows."),
        (None, _) | (_, None) => String::new(),
    }
}
