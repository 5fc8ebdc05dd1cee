//! What the rules can say.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::columns::{
    ATTEMPTS_MAX, BACKSTOP_DEFAULT_SECONDS, Columns, Grouping, RETENTION_SECONDS_MAX, VIEW_SECONDS_MAX,
};
use super::quiet::{Quiet, QuietEnd};
pub use super::vocabulary::{
    Action, Backstop, Challenge, Channel, CodeElse, CodeVia, Custody, Download, ExpiryFrom, GroupBy, HealthLink,
    HoldBasis, Notify, Reissue, ReleaseBy, Requirement, Wording,
};

use crate::base::{UtcMillis, seconds};

/// How many browsers may open the link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Opens(pub NonZeroU16);

/// When a report may leave.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Release {
    #[serde(rename = "release")]
    pub by: ReleaseBy,
    /// Not before so long after the report was issued, whoever releases it by time; 0 for no hold.
    #[serde(default)]
    pub hold_seconds: u64,
    #[serde(default = "weakest_basis")]
    pub basis: HoldBasis,
    #[serde(default)]
    pub requires: BTreeSet<Requirement>,
    /// A report that waits for a person waits so long at most.
    #[serde(default = "longest_wait")]
    pub auto_release_seconds: u64,
    #[serde(default = "strictest_backstop")]
    pub backstop: Backstop,
}

/// The terms under which a link is given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// Life of the link, counted from `expiry_from`.
    pub expiry_seconds: u64,
    #[serde(default = "from_delivery")]
    pub expiry_from: ExpiryFrom,
    pub opens: Opens,
    /// The longest that one opening lasts.
    #[serde(default = "longest_view")]
    pub view_seconds: u32,
    /// Wrong answers to a challenge, for life.
    #[serde(default = "most_attempts")]
    pub attempts: u8,
    /// Empty where the rules have none in common: nobody can release it then. Never empty in a `Send`.
    pub channels: BTreeSet<Channel>,
    pub challenges: BTreeSet<Challenge>,
    #[serde(default = "any_channel")]
    pub code_via: CodeVia,
    #[serde(default = "loosest_way_out")]
    pub code_else: CodeElse,
    pub release: Release,
    pub wording: Wording,
    #[serde(default = "downloads")]
    pub download: Download,
    #[serde(default = "no_health_link")]
    pub health_link: HealthLink,
    #[serde(default = "by_staff")]
    pub reissue: Reissue,
    #[serde(default = "until_handed_over")]
    pub custody: Custody,
    #[serde(default = "alone")]
    pub group: Grouping,
    #[serde(default)]
    pub notify: BTreeSet<Notify>,
    #[serde(default = "longest_retention")]
    pub retention_seconds: u64,
    /// When no message leaves; `None` for never.
    #[serde(default)]
    pub quiet: Option<QuietHours>,
}

/// Quiet hours by the clock of a zone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuietHours {
    pub hours: Quiet,
    #[serde(with = "super::zone")]
    pub zone: Tz,
}

impl QuietHours {
    /// The end of the quiet hours that hold a message back at `now`; `None` where it may leave.
    #[must_use]
    pub fn end(&self, now: UtcMillis) -> Option<QuietEnd> {
        self.hours.end(now, self.zone)
    }

    /// Whether they took a part of this time.
    #[must_use]
    pub fn took_of(&self, from: UtcMillis, until: UtcMillis) -> bool {
        self.hours.next_quiet(from, self.zone) <= until
    }
}

/// Why a person must look. The words for people are in `Display` of this type alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum ReviewReason {
    #[error("no rule matches this report; add a profile for its code, type or category, or release it by hand")]
    NoRule,
    #[error("the rule '{rule}' sends this kind of report to review")]
    RuleAsks { rule: String },
    #[error(
        "rules {rules} ask for different channels, and none is allowed by all of them: no release can send it; give it to the patient in another way"
    )]
    NoCommonChannel { rules: String },
    #[error("{fact} is not known ({why}), and the rule '{rule}' depends on it")]
    Unknown { fact: String, why: String, rule: String },
    #[error(
        "the patient is a minor, the address is also that of somebody who stands by them, and no rule says that a proxy may have this report"
    )]
    GuardiansAddress,
    #[error(
        "the patient may be a minor, the address is also that of somebody else, and the EHR says of nobody who has it that they act for the patient now: ask who reads there before you release it"
    )]
    NoGuardianNow,
    #[error(
        "the patient may be a minor, the report is sensitive, and who else has this address could not be learnt ({why})"
    )]
    AddressUnclear { why: String },
    #[error("the report waited for a person until its back-stop; decide now, or call the patient")]
    HeldTooLong,
    #[error(
        "its rule counts the link's life from the report's own time, and fewer than {hours} waking hours of it are left: no release can send it any more; call the patient or give it on paper, then revoke it"
    )]
    TooShort { hours: u64 },
    #[error("the rule asks for {what}, which this installation does not offer")]
    NotAvailable { what: String },
    #[error(
        "the code that its rules ask for has no channel of its own here, and they say that the patient comes for the report: tell them, give it to them, and revoke this with that reason"
    )]
    PickUp,
    #[error(
        "its rules ask for the date of birth before it opens, and the patient's record has no full one: mend it in the EHR, or release this with a question of your own (--question and --answer-file)"
    )]
    NothingToAsk,
    #[error(
        "its rules ask for the code on a slip, and none is bound to its order: bind the patient's with `chartseal slips bind` and release this, or give it to them in another way"
    )]
    NoSlip,
    #[error("the status of the report is missing or unknown to the standard")]
    UnknownStatus,
    #[error("the report is older than report_age_max and is never sent by itself")]
    TooOld,
    #[error("the report was issued before Chartseal began to follow this EHR and is never sent by itself")]
    BeforeStart,
    #[error("the EHR gives no date for this report, so its age cannot be judged")]
    AgeUnknown,
    #[error("there is no usable e-mail address or number: {why}")]
    NoContact { why: String },
    #[error("there are several equally good e-mail addresses or numbers")]
    ContactTie,
    #[error("the patient record cannot be used: {why}")]
    Patient { why: String },
    #[error("the attachment cannot be sent: {why}")]
    Attachment { why: String },
    #[error(
        "the malware scanner found {what} in the attachment: do not open it; tell whoever wrote it, and your IT; a release has it scanned again, and sends it only if nothing is found then"
    )]
    Malware { what: String },
    #[error(
        "the attachment speaks of another patient: the {what} in it differs from the record's; look at it in the EHR, and call whoever wrote it; a release sends it as it is"
    )]
    AnothersPaper { what: String },
    #[error(
        "the attachment does not say well enough whose it is, and attachment_identity asks for that; look at it in the EHR; a release sends it as it is"
    )]
    NobodysPaper,
    #[error(
        "whose the attachment is could not be looked at ({why}); look at it in the EHR; a release sends it as it is"
    )]
    PaperUnread { why: String },
    #[error("the report uses an element that changes its meaning and that is not understood: {element}")]
    UnknownModifier { element: String },
    #[error("the report names another patient than before")]
    SubjectChanged,
    #[error(
        "the patient's record was merged into another, or parted from it again: make sure whose report it is, and whether a patient read what is not theirs; a release sends it to the record that stands now"
    )]
    PatientMerged,
    #[error(
        "the same document came, or may have come, as another resource of the EHR, about which the rules are or may be stricter: look at both; a release sends it under the terms shown"
    )]
    SameElsewhere,
    #[error("the EHR had taken the report back, or staff had revoked it, and now it is there again")]
    Reinstated,
    #[error("no clinic is configured for this report")]
    NoClinic,
    #[error("this installation may not write to that recipient (only_to of [mail] or [sms])")]
    Withheld,
    #[error("a key that the message needs is gone; release it, which makes a new link")]
    KeyGone,
    #[error("the notice waited too long before it could be handed over")]
    NoticeTooLate,
    #[error("the message was refused for good: {why}")]
    NoticeRefused { why: String },
    #[error("the report changed back to an unfinished state after it was sent")]
    WentBack,
    #[error(
        "the EHR no longer names its recipient as one who gets the report, or does not say whether they are: it is decided again when it names them; revoke it to end it"
    )]
    RecipientGone,
    #[error("the sending breaker tripped: {why}")]
    Breaker { why: String },
    #[error("the delivery could not be accounted for after the database was restored")]
    Restored,
    #[error(
        "the link that it shared with another report was revoked; release it, which makes a new link, or revoke it, too"
    )]
    SharedLinkRevoked,
    #[error(
        "the EHR shows something else than what this was decided about; look at the report's newest delivery, and revoke this one"
    )]
    Outdated,
    #[error(
        "what the EHR says of the report, or the rules, changed before it left, and it would be decided otherwise now"
    )]
    DecidedOtherwise,
    #[error(
        "the e-mail address or number refused a message for good on {since}: mend it in the EHR, or ask whose it is and say with `chartseal contacts confirm` that it is right"
    )]
    ContactBounced { since: UtcMillis },
    #[error(
        "the e-mail address or number is disputed since {since}: mend it in the EHR, or ask whose it is and say with `chartseal contacts confirm` that it is right"
    )]
    ContactDisputed { since: UtcMillis },
    #[error(
        "whoever has the number asked on {since} for no more texts; only they can undo that, by texting START: reach the patient in another way"
    )]
    ContactOptedOut { since: UtcMillis },
    #[error("the e-mail address or number was confirmed when this was decided, and is not any more")]
    ContactUnconfirmed,
    #[error(
        "nobody has said that the provider's e-mail address is theirs: ask them, and say so with `chartseal contacts confirm`"
    )]
    AddressNotVerified,
    #[error("the e-mail address or number changed before the message left")]
    ContactChanged,
    #[error("the EHR marks the report as confidential ({code}); no rule can speak of that yet")]
    Confidential { code: String },
    #[error("the resource cannot be read as the standard says: {why}")]
    Unreadable { why: String },
}

/// The rules' answer for one report and one recipient.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    Send { terms: Terms },
    Review { why: ReviewReason, terms: Option<Terms> },
    Block { rule: String },
}

impl Decision {
    /// Whether nobody can say what the report's status means.
    #[must_use]
    pub const fn is_of_unclear_status(&self) -> bool {
        matches!(self, Self::Review { why: ReviewReason::UnknownStatus, .. })
    }

    /// How long a report that may leave by itself waits for others of its group; `None`: it leaves alone.
    #[must_use]
    pub fn gathers_for(&self) -> Option<std::time::Duration> {
        match self {
            Self::Send { terms } => match terms.group {
                Grouping::With { wait_seconds, .. } => Some(seconds(wait_seconds)),
                Grouping::Unsaid | Grouping::Alone => None,
            },
            Self::Review { .. } | Self::Block { .. } => None,
        }
    }

    /// The hours in which its messages do not leave; `None` where they may at any time.
    #[must_use]
    pub const fn quiet(&self) -> Option<&QuietHours> {
        match self {
            Self::Send { terms } | Self::Review { terms: Some(terms), .. } => terms.quiet.as_ref(),
            Self::Review { terms: None, .. } | Self::Block { .. } => None,
        }
    }
}

impl Terms {
    /// The terms of a report that a person releases although no rule gave any: the defaults of a rule that says
    /// nothing but `send`.
    #[must_use]
    pub fn by_hand() -> Self {
        Self::from(&Columns::profile())
    }

    /// The same, with one more check before opening.
    #[must_use]
    pub fn asking(mut self, challenge: Challenge) -> Self {
        self.challenges.insert(challenge);
        self
    }

    /// What a link under these terms offers.
    #[must_use]
    pub fn health_link(&self) -> HealthLink {
        if Columns::from(self).offers_in_vain() { HealthLink::Never } else { self.health_link }
    }

    /// The stricter of both in every column. `channels` may be empty: nothing is common.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let quiet = other.quiet.clone().or_else(|| self.quiet.clone());
        Self { quiet, ..Self::from(&Columns::from(self).join(&Columns::from(other))) }
    }
}

impl Release {
    /// At once, by itself.
    #[must_use]
    pub fn at_once() -> Self {
        Self::from(&Columns::profile())
    }

    /// By itself, after a hold.
    #[must_use]
    pub fn after(hold_seconds: u64, basis: HoldBasis) -> Self {
        Self { hold_seconds, basis, ..Self::at_once() }
    }

    /// When a person says so; told again after the longest wait.
    #[must_use]
    pub fn by_a_person() -> Self {
        Self {
            by: ReleaseBy::Manual,
            auto_release_seconds: BACKSTOP_DEFAULT_SECONDS,
            backstop: Backstop::Escalate,
            ..Self::at_once()
        }
    }
}

impl From<&Columns> for Terms {
    fn from(columns: &Columns) -> Self {
        Self {
            expiry_seconds: columns.expiry_seconds,
            expiry_from: columns.expiry_from,
            opens: Opens(columns.opens),
            view_seconds: columns.view_seconds,
            attempts: columns.attempts,
            channels: columns.channels.iter().collect(),
            challenges: columns.challenges.iter().collect(),
            code_via: columns.code_via,
            code_else: columns.code_else,
            release: Release::from(columns),
            wording: columns.wording,
            download: columns.download,
            health_link: columns.health_link,
            reissue: columns.reissue,
            custody: columns.custody,
            group: columns.group,
            notify: columns.notify.iter().collect(),
            retention_seconds: columns.retention_seconds,
            quiet: None,
        }
    }
}

impl From<&Terms> for Columns {
    fn from(terms: &Terms) -> Self {
        let release = &terms.release;
        Self {
            action: Action::Send,
            expiry_seconds: terms.expiry_seconds,
            expiry_from: terms.expiry_from,
            opens: terms.opens.0,
            view_seconds: terms.view_seconds,
            attempts: terms.attempts,
            channels: terms.channels.iter().copied().collect(),
            challenges: terms.challenges.iter().copied().collect(),
            code_via: terms.code_via,
            code_else: terms.code_else,
            wording: terms.wording,
            download: terms.download,
            health_link: terms.health_link,
            release: release.by,
            hold_seconds: release.hold_seconds,
            basis: release.basis,
            requires: release.requires.iter().copied().collect(),
            auto_release_seconds: release.auto_release_seconds,
            backstop: release.backstop,
            reissue: terms.reissue,
            custody: terms.custody,
            group: terms.group,
            notify: terms.notify.iter().copied().collect(),
            retention_seconds: terms.retention_seconds,
        }
    }
}

impl From<&Columns> for Release {
    fn from(columns: &Columns) -> Self {
        Self {
            by: columns.release,
            hold_seconds: columns.hold_seconds,
            basis: columns.basis,
            requires: columns.requires.iter().collect(),
            auto_release_seconds: columns.auto_release_seconds,
            backstop: columns.backstop,
        }
    }
}

// What a decision meant that was stored before its columns existed.

const fn weakest_basis() -> HoldBasis {
    HoldBasis::ClinicPolicy
}

const fn longest_wait() -> u64 {
    BACKSTOP_DEFAULT_SECONDS
}

const fn strictest_backstop() -> Backstop {
    Backstop::Escalate
}

const fn from_delivery() -> ExpiryFrom {
    ExpiryFrom::Delivered
}

const fn longest_view() -> u32 {
    VIEW_SECONDS_MAX
}

const fn most_attempts() -> u8 {
    ATTEMPTS_MAX
}

const fn any_channel() -> CodeVia {
    CodeVia::Any
}

// Whatever asked for such a code was a review, and its rules say it anew when they are asked again.
const fn loosest_way_out() -> CodeElse {
    CodeElse::Staff
}

const fn downloads() -> Download {
    Download::Allowed
}

const fn no_health_link() -> HealthLink {
    HealthLink::Never
}

const fn by_staff() -> Reissue {
    Reissue::Staff
}

const fn until_handed_over() -> Custody {
    Custody::UntilHandedOver
}

const fn alone() -> Grouping {
    Grouping::Alone
}

const fn longest_retention() -> u64 {
    RETENTION_SECONDS_MAX
}
