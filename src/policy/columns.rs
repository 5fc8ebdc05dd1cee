//! The join of several rows into one answer: a semilattice per column, the strictest value wins.
//!
//! Must stay true: joining is commutative, associative and idempotent, so row order cannot matter and one
//! more row cannot loosen. A profile has a value in every column: a column that it leaves open holds its default *in that
//! row*, else a second, looser row could override the default. A restriction asks only for what it says.
//! Must not know: how rows were matched or written.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize, Serializer};

use super::few::Few;
use super::vocabulary::{
    Action, Backstop, Challenge, Channel, CodeElse, CodeVia, Custody, Download, ExpiryFrom, GroupBy, HealthLink,
    HoldBasis, Notify, Reissue, ReleaseBy, Requirement, Wording,
};

/// Life of a link where the rule does not say.
pub const EXPIRY_DEFAULT_SECONDS: u64 = 72 * 3600;
/// Browsers that may open a link where the rule does not say.
pub const OPENS_DEFAULT: u16 = 3;
/// The channel where the rule does not say.
pub const CHANNEL_DEFAULT: Channel = Channel::Email;
/// The longest that one opening may last, and the default.
pub const VIEW_SECONDS_MAX: u32 = 3600;
/// Wrong answers to a challenge, and the default.
pub const ATTEMPTS_MAX: u8 = 5;
/// A report that waits for a person waits so long at most where the rule does not say.
pub const BACKSTOP_DEFAULT_SECONDS: u64 = 10 * 86_400;
/// How long what is kept of a delivery may be kept, and the default: what `[retention]` says.
pub const RETENTION_SECONDS_MAX: u64 = 10 * 365 * 86_400;

/// Which reports share one link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Grouping {
    /// Nothing is said about it.
    Unsaid,
    /// With others that belong together by `what`, collected for `wait_seconds`.
    With {
        what: GroupBy,
        wait_seconds: u64,
    },
    Alone,
}

/// The right-hand side of one rule, or of several joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Columns {
    pub action: Action,
    pub expiry_seconds: u64,
    pub expiry_from: ExpiryFrom,
    pub opens: NonZeroU16,
    pub view_seconds: u32,
    pub attempts: u8,
    pub channels: Few<Channel>,
    pub challenges: Few<Challenge>,
    pub code_via: CodeVia,
    /// The loosest in a row that keeps no code from where the link came; there it is said, or a person looks.
    pub code_else: CodeElse,
    pub wording: Wording,
    pub download: Download,
    pub health_link: HealthLink,
    pub release: ReleaseBy,
    pub hold_seconds: u64,
    pub basis: HoldBasis,
    pub requires: Few<Requirement>,
    /// How long a report that waits for a person waits at most; 0 where nothing waits for one.
    pub auto_release_seconds: u64,
    pub backstop: Backstop,
    pub reissue: Reissue,
    pub custody: Custody,
    pub group: Grouping,
    pub notify: Few<Notify>,
    pub retention_seconds: u64,
}

/// The columns, as a trace names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    Action,
    Expiry,
    ExpiryFrom,
    Opens,
    View,
    Attempts,
    Channel,
    Verify,
    CodeVia,
    CodeElse,
    Wording,
    Download,
    HealthLink,
    Release,
    Hold,
    Requires,
    AutoRelease,
    Backstop,
    Reissue,
    Custody,
    GroupBy,
    Notify,
    Retention,
}

impl Column {
    pub const ALL: [Self; 23] = [
        Self::Action,
        Self::Expiry,
        Self::ExpiryFrom,
        Self::Opens,
        Self::View,
        Self::Attempts,
        Self::Channel,
        Self::Verify,
        Self::CodeVia,
        Self::CodeElse,
        Self::Wording,
        Self::Download,
        Self::HealthLink,
        Self::Release,
        Self::Hold,
        Self::Requires,
        Self::AutoRelease,
        Self::Backstop,
        Self::Reissue,
        Self::Custody,
        Self::GroupBy,
        Self::Notify,
        Self::Retention,
    ];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Expiry => "expiry",
            Self::ExpiryFrom => "expiry_from",
            Self::Opens => "opens",
            Self::View => "view",
            Self::Attempts => "attempts",
            Self::Channel => "channel",
            Self::Verify => "verify",
            Self::CodeVia => "code_via",
            Self::CodeElse => "code_else",
            Self::Wording => "wording",
            Self::Download => "download",
            Self::HealthLink => "health_link",
            Self::Release => "release",
            Self::Hold => "hold",
            Self::Requires => "requires",
            Self::AutoRelease => "auto_release",
            Self::Backstop => "backstop",
            Self::Reissue => "reissue",
            Self::Custody => "custody",
            Self::GroupBy => "group_by",
            Self::Notify => "notify",
            Self::Retention => "retention",
        }
    }

    /// Whether it matters for a report that the rules leave to a person: nothing of when it would leave by itself does, but for
    /// how long a talk is waited for once it is released.
    #[must_use]
    pub const fn counts_for_a_person(self, talk: Talk) -> bool {
        match self {
            Self::Release => false,
            // A talk is waited for until its back-stop, which never comes before the hold is over.
            Self::Hold | Self::AutoRelease | Self::Backstop => matches!(talk, Talk::Asked),
            Self::Action
            | Self::Expiry
            | Self::ExpiryFrom
            | Self::Opens
            | Self::View
            | Self::Attempts
            | Self::Channel
            | Self::Verify
            | Self::CodeVia
            | Self::CodeElse
            | Self::Wording
            | Self::Download
            | Self::HealthLink
            | Self::Requires
            | Self::Reissue
            | Self::Custody
            | Self::GroupBy
            | Self::Notify
            | Self::Retention => true,
        }
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// Whether a talk with a clinician is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Talk {
    Asked,
    NotAsked,
}

/// Which columns a row speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said(u32);

impl Said {
    pub const NOTHING: Self = Self(0);
    pub const EVERYTHING: Self = Self((1 << Column::ALL.len()) - 1);

    #[must_use]
    pub const fn with(self, column: Column) -> Self {
        Self(self.0 | column.bit())
    }

    #[must_use]
    pub const fn has(self, column: Column) -> bool {
        self.0 & column.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Column> {
        Column::ALL.into_iter().filter(move |column| self.has(*column))
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Column::as_str))
    }
}

impl Columns {
    /// Asks for nothing: joined with any row it is that row.
    #[must_use]
    pub fn loosest() -> Self {
        Self {
            action: Action::Send,
            expiry_seconds: u64::MAX,
            expiry_from: ExpiryFrom::Delivered,
            opens: NonZeroU16::MAX,
            view_seconds: VIEW_SECONDS_MAX,
            attempts: ATTEMPTS_MAX,
            channels: Few::all(),
            challenges: Few::NONE,
            code_via: CodeVia::Any,
            code_else: CodeElse::Staff,
            wording: Wording::Full,
            download: Download::Allowed,
            health_link: HealthLink::Plain,
            release: ReleaseBy::Auto,
            hold_seconds: 0,
            basis: HoldBasis::ClinicPolicy,
            requires: Few::NONE,
            auto_release_seconds: 0,
            backstop: Backstop::Release,
            reissue: Reissue::Patient,
            custody: Custody::UntilOpened,
            group: Grouping::Unsaid,
            notify: Few::NONE,
            retention_seconds: RETENTION_SECONDS_MAX,
        }
    }

    /// A profile that says nothing but `send`.
    #[must_use]
    pub fn profile() -> Self {
        Self {
            expiry_seconds: EXPIRY_DEFAULT_SECONDS,
            opens: NonZeroU16::MIN.saturating_add(OPENS_DEFAULT - 1),
            channels: Few::one(CHANNEL_DEFAULT),
            wording: Wording::Bare,
            health_link: HealthLink::Never,
            reissue: Reissue::Staff,
            custody: Custody::UntilHandedOver,
            group: Grouping::Alone,
            ..Self::loosest()
        }
    }

    /// The stricter of both in every column. `channels` of the result may be empty: nothing is common.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let (hold_seconds, basis) = longer_hold((self.hold_seconds, self.basis), (other.hold_seconds, other.basis));
        Self {
            action: self.action.max(other.action),
            expiry_seconds: self.expiry_seconds.min(other.expiry_seconds),
            expiry_from: self.expiry_from.max(other.expiry_from),
            opens: self.opens.min(other.opens),
            view_seconds: self.view_seconds.min(other.view_seconds),
            attempts: self.attempts.min(other.attempts),
            channels: self.channels.intersection(other.channels),
            challenges: self.challenges.union(other.challenges),
            code_via: self.code_via.max(other.code_via),
            code_else: self.code_else.max(other.code_else),
            wording: self.wording.max(other.wording),
            download: self.download.max(other.download),
            health_link: self.health_link.max(other.health_link),
            release: self.release.max(other.release),
            hold_seconds,
            basis,
            requires: self.requires.union(other.requires),
            auto_release_seconds: self.auto_release_seconds.max(other.auto_release_seconds),
            backstop: self.backstop.max(other.backstop),
            reissue: self.reissue.max(other.reissue),
            custody: self.custody.max(other.custody),
            group: narrower(self.group, other.group),
            notify: self.notify.union(other.notify),
            retention_seconds: self.retention_seconds.min(other.retention_seconds),
        }
    }

    /// The value of one column in words.
    #[must_use]
    pub fn show(&self, column: Column) -> String {
        match column {
            Column::Action => self.action.as_str().to_owned(),
            Column::Expiry => show_span(self.expiry_seconds),
            Column::ExpiryFrom => self.expiry_from.as_str().to_owned(),
            Column::Opens => self.opens.to_string(),
            Column::View => show_span(self.view_seconds.into()),
            Column::Attempts => self.attempts.to_string(),
            Column::Channel => self.channels.show(),
            Column::Verify => self.challenges.show(),
            Column::CodeVia => self.code_via.as_str().to_owned(),
            Column::CodeElse => self.code_else.as_str().to_owned(),
            Column::Wording => self.wording.as_str().to_owned(),
            Column::Download => self.download.as_str().to_owned(),
            Column::HealthLink => self.health_link.as_str().to_owned(),
            Column::Release => self.release.as_str().to_owned(),
            Column::Hold if self.hold_seconds == 0 => "none".to_owned(),
            Column::Hold => format!("{} ({})", show_span(self.hold_seconds), self.basis.as_str()),
            Column::Requires => self.requires.show(),
            Column::AutoRelease if self.auto_release_seconds == 0 => "none".to_owned(),
            Column::AutoRelease => show_span(self.auto_release_seconds),
            Column::Backstop => self.backstop.as_str().to_owned(),
            Column::Reissue => self.reissue.as_str().to_owned(),
            Column::Custody => self.custody.as_str().to_owned(),
            Column::GroupBy => match self.group {
                Grouping::Unsaid | Grouping::Alone => "none".to_owned(),
                Grouping::With { what, wait_seconds } => format!("{}, {}", what.as_str(), show_span(wait_seconds)),
            },
            Column::Notify => self.notify.show(),
            Column::Retention => show_span(self.retention_seconds),
        }
    }

    /// Whether both say the same in one column.
    #[must_use]
    pub fn says_the_same(&self, other: &Self, column: Column) -> bool {
        match column {
            Column::Action => self.action == other.action,
            Column::Expiry => self.expiry_seconds == other.expiry_seconds,
            Column::ExpiryFrom => self.expiry_from == other.expiry_from,
            Column::Opens => self.opens == other.opens,
            Column::View => self.view_seconds == other.view_seconds,
            Column::Attempts => self.attempts == other.attempts,
            Column::Channel => self.channels == other.channels,
            Column::Verify => self.challenges == other.challenges,
            Column::CodeVia => self.code_via == other.code_via,
            Column::CodeElse => self.code_else == other.code_else,
            Column::Wording => self.wording == other.wording,
            Column::Download => self.download == other.download,
            Column::HealthLink => self.health_link == other.health_link,
            Column::Release => self.release == other.release,
            Column::Hold => (self.hold_seconds, self.basis) == (other.hold_seconds, other.basis),
            Column::Requires => self.requires == other.requires,
            Column::AutoRelease => self.auto_release_seconds == other.auto_release_seconds,
            Column::Backstop => self.backstop == other.backstop,
            Column::Reissue => self.reissue == other.reissue,
            Column::Custody => self.custody == other.custody,
            Column::GroupBy => self.group == other.group,
            Column::Notify => self.notify == other.notify,
            Column::Retention => self.retention_seconds == other.retention_seconds,
        }
    }

    /// Whether a SMART Health Link of these links is said, and must not be: the standard keeps it for links that ask nothing, one
    /// opening would be none, and an app keeps what it was given.
    #[must_use]
    pub fn offers_in_vain(&self) -> bool {
        let is_plain = self.challenges.is_empty() && self.opens.get() > 1 && self.download == Download::Allowed;
        self.health_link != HealthLink::Never && !is_plain
    }

    /// Whether the report waits for a person's word.
    #[must_use]
    pub fn waits_for_a_person(&self) -> bool {
        self.release == ReleaseBy::Manual || !self.requires.is_empty()
    }
}

/// The longer hold; of equal ones the stronger ground (`Law` first).
fn longer_hold(one: (u64, HoldBasis), other: (u64, HoldBasis)) -> (u64, HoldBasis) {
    match one.0.cmp(&other.0) {
        std::cmp::Ordering::Greater => one,
        std::cmp::Ordering::Less => other,
        std::cmp::Ordering::Equal => (one.0, one.1.min(other.1)),
    }
}

/// What two rows agree on; a report that one of them keeps apart stays alone.
fn narrower(one: Grouping, other: Grouping) -> Grouping {
    match (one, other) {
        (Grouping::Unsaid, said) | (said, Grouping::Unsaid) => said,
        (Grouping::With { what, wait_seconds: mine }, Grouping::With { what: theirs, wait_seconds })
            if what == theirs =>
        {
            Grouping::With { what, wait_seconds: mine.min(wait_seconds) }
        }
        (Grouping::With { .. } | Grouping::Alone, Grouping::With { .. } | Grouping::Alone) => Grouping::Alone,
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
