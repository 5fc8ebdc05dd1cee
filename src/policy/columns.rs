//! The join of several rows into one answer: a semilattice per column, the strictest value wins.
//!
//! Must stay true: joining is commutative, associative and idempotent, so row order cannot matter and one
//! more row cannot loosen. For that, every row has a value in every column: a column that a rule leaves
//! open holds its default *in that row*, else a second, looser row could override the default.
//! Must not know: how rows were matched or written.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::decision::{Challenge, Channel, HoldBasis, Opens, Release, Terms, Wording};

/// Life of a link where the rule does not say.
pub const EXPIRY_DEFAULT_HOURS: u64 = 72;
/// Browsers that may open a link where the rule does not say.
pub const OPENS_DEFAULT: NonZeroU16 = NonZeroU16::MIN.saturating_add(2);
/// The channel where the rule does not say.
pub const CHANNEL_DEFAULT: Channel = Channel::Email;
/// Sent at once, by itself, where the rule does not say.
pub const RELEASE_DEFAULT: Release = Release::Auto { hold_seconds: 0, basis: HOLD_BASIS_DEFAULT };
/// The ground of a hold where the rule does not say.
pub const HOLD_BASIS_DEFAULT: HoldBasis = HoldBasis::ClinicPolicy;
/// The message where the rule does not say: as little as possible.
pub const WORDING_DEFAULT: Wording = Wording::Bare;

/// What a rule does with a report, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Send,
    ManualReview,
    Block,
}

impl Action {
    pub const ALL: [Self; 3] = [Self::Send, Self::ManualReview, Self::Block];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::ManualReview => "manual_review",
            Self::Block => "block",
        }
    }
}

/// The right-hand side of one rule, complete.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Columns {
    pub action: Action,
    pub terms: Terms,
}

/// The columns, as a trace names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    Action,
    Expiry,
    Opens,
    Channel,
    Verify,
    Release,
    Wording,
}

impl Column {
    pub const ALL: [Self; 7] =
        [Self::Action, Self::Expiry, Self::Opens, Self::Channel, Self::Verify, Self::Release, Self::Wording];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Expiry => "expiry",
            Self::Opens => "opens",
            Self::Channel => "channel",
            Self::Verify => "verify",
            Self::Release => "release",
            Self::Wording => "wording",
        }
    }
}

impl Columns {
    /// The stricter of both in every column. `terms.channels` of the result may be empty: nothing is common.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let (mine, theirs) = (&self.terms, &other.terms);
        Self {
            action: self.action.max(other.action),
            terms: Terms {
                expiry_seconds: mine.expiry_seconds.min(theirs.expiry_seconds),
                opens: mine.opens.min(theirs.opens),
                channels: mine.channels.intersection(&theirs.channels).copied().collect(),
                challenges: mine.challenges.union(&theirs.challenges).copied().collect(),
                release: stricter_release(mine.release, theirs.release),
                wording: mine.wording.max(theirs.wording),
            },
        }
    }

    /// The value of one column in words.
    #[must_use]
    pub fn show(&self, column: Column) -> String {
        match column {
            Column::Action => self.action.as_str().to_owned(),
            Column::Expiry => show_span(self.terms.expiry_seconds),
            Column::Opens => self.terms.opens.0.to_string(),
            Column::Channel => show_set(&self.terms.channels, Channel::as_str),
            Column::Verify => show_set(&self.terms.challenges, Challenge::as_str),
            Column::Release => show_release(self.terms.release),
            Column::Wording => self.terms.wording.as_str().to_owned(),
        }
    }
}

/// Manual over automatic, the longer hold over the shorter; of equal holds the stronger ground (`Law` first).
fn stricter_release(one: Release, other: Release) -> Release {
    match (one, other) {
        (Release::Manual, _) | (_, Release::Manual) => Release::Manual,
        (Release::Auto { hold_seconds: mine, basis: my_basis }, Release::Auto { hold_seconds: theirs, basis }) => {
            let strictest = match mine.cmp(&theirs) {
                std::cmp::Ordering::Greater => my_basis,
                std::cmp::Ordering::Less => basis,
                std::cmp::Ordering::Equal => my_basis.min(basis),
            };
            Release::Auto { hold_seconds: mine.max(theirs), basis: strictest }
        }
    }
}

/// `3 d`, `72 h`, `90 min` or `30 s`: the largest unit that divides, days only from a week on.
#[must_use]
pub fn show_span(seconds: u64) -> String {
    const WEEK_HOURS: u64 = 7 * 24;
    match seconds {
        s if s % 86_400 == 0 && s / 3600 >= WEEK_HOURS => format!("{} d", s / 86_400),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

fn show_set<T: Copy>(set: &BTreeSet<T>, word: fn(T) -> &'static str) -> String {
    let words: Vec<_> = set.iter().map(|member| word(*member)).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" + ") }
}

fn show_release(release: Release) -> String {
    match release {
        Release::Manual => "manual".to_owned(),
        Release::Auto { hold_seconds: 0, .. } => "auto".to_owned(),
        Release::Auto { hold_seconds, basis } => {
            format!("auto after {} ({})", show_span(hold_seconds), basis.as_str())
        }
    }
}

impl Default for Columns {
    /// A rule that says nothing but `send`.
    fn default() -> Self {
        Self {
            action: Action::Send,
            terms: Terms {
                expiry_seconds: EXPIRY_DEFAULT_HOURS * 3600,
                opens: Opens(OPENS_DEFAULT),
                channels: BTreeSet::from([CHANNEL_DEFAULT]),
                challenges: BTreeSet::new(),
                release: RELEASE_DEFAULT,
                wording: WORDING_DEFAULT,
            },
        }
    }
}
