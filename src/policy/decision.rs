//! What the rules can say.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::columns;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Email,
    Sms,
}

/// What a link asks before it opens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    Question,
    Code,
}

/// Why a delivery waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldBasis {
    Law,
    PatientRequest,
    IndividualHarm,
    ClinicPolicy,
}

/// How much the message may say, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wording {
    Full,
    Generic,
    Bare,
}

/// How many browsers may open the link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Opens(pub NonZeroU16);

/// When a report may leave by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "release")]
pub enum Release {
    /// As soon as the hold (zero for none) has passed, counted from the decision.
    Auto { hold_seconds: u64, basis: HoldBasis },
    /// When a person says so.
    Manual,
}

/// The terms under which a link is given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// Life of the link from the first attempt to hand it over.
    pub expiry_seconds: u64,
    pub opens: Opens,
    /// Never empty.
    pub channels: BTreeSet<Channel>,
    pub challenges: BTreeSet<Challenge>,
    pub release: Release,
    pub wording: Wording,
}

/// Why a person must look. The words for people are in `Display` of this type alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum ReviewReason {
    #[error("no rule matches this report; add a profile for its code, type or category, or release it by hand")]
    NoRule,
    #[error("the rule '{rule}' sends this kind of report to review")]
    RuleAsks { rule: String },
    #[error("rules {rules} ask for different channels, and none is allowed by all of them")]
    NoCommonChannel { rules: String },
    #[error("the rule asks for {what}, which this installation does not offer")]
    NotAvailable { what: String },
    #[error("the status of the report is missing or unknown to the standard")]
    UnknownStatus,
    #[error("the report is older than report_age_max and is never sent by itself")]
    TooOld,
    #[error("the report was issued before Chartseal began to follow this EHR and is never sent by itself")]
    BeforeStart,
    #[error("the EHR gives no date for this report, so its age cannot be judged")]
    AgeUnknown,
    #[error("the patient has no usable e-mail address: {why}")]
    NoContact { why: String },
    #[error("the patient has several equally good e-mail addresses")]
    ContactTie,
    #[error("the patient record cannot be used: {why}")]
    Patient { why: String },
    #[error("the attachment cannot be sent: {why}")]
    Attachment { why: String },
    #[error("the report uses an element that changes its meaning and that is not understood: {element}")]
    UnknownModifier { element: String },
    #[error("the report names another patient than before")]
    SubjectChanged,
    #[error("the EHR had taken the report back, or staff had revoked it, and now it is there again")]
    Reinstated,
    #[error("no clinic is configured for this report")]
    NoClinic,
    #[error("this installation may not write to that recipient ([mail] only_to)")]
    Withheld,
    #[error("a key that the message needs is gone; release it, which makes a new link")]
    KeyGone,
    #[error("the notice waited too long before it could be handed over")]
    NoticeTooLate,
    #[error("the message was refused for good: {why}")]
    NoticeRefused { why: String },
    #[error("the report changed back to an unfinished state after it was sent")]
    WentBack,
    #[error("the sending breaker tripped: {why}")]
    Breaker { why: String },
    #[error("the delivery could not be accounted for after the database was restored")]
    Restored,
    #[error(
        "the EHR shows something else than what this was decided about; look at the report's newest delivery, and revoke this one"
    )]
    Outdated,
    #[error("what the EHR says of the report changed before it left, and the rules would decide otherwise now")]
    DecidedOtherwise,
    #[error("the patient's e-mail address changed before the message left")]
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

impl Channel {
    pub const ALL: [Self; 2] = [Self::Email, Self::Sms];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

impl Challenge {
    pub const ALL: [Self; 2] = [Self::Question, Self::Code];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Code => "code",
        }
    }
}

impl HoldBasis {
    pub const ALL: [Self; 4] = [Self::Law, Self::PatientRequest, Self::IndividualHarm, Self::ClinicPolicy];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Law => "law",
            Self::PatientRequest => "patient_request",
            Self::IndividualHarm => "individual_harm",
            Self::ClinicPolicy => "clinic_policy",
        }
    }
}

impl Wording {
    pub const ALL: [Self; 3] = [Self::Full, Self::Generic, Self::Bare];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Generic => "generic",
            Self::Bare => "bare",
        }
    }
}

impl Terms {
    /// The terms of a report that a person releases although no rule gave any: the defaults of a rule that says
    /// nothing but `send`.
    #[must_use]
    pub fn by_hand() -> Self {
        Self {
            expiry_seconds: columns::EXPIRY_DEFAULT_HOURS * 3600,
            opens: Opens(columns::OPENS_DEFAULT),
            channels: BTreeSet::from([columns::CHANNEL_DEFAULT]),
            challenges: BTreeSet::new(),
            release: columns::RELEASE_DEFAULT,
            wording: columns::WORDING_DEFAULT,
        }
    }
}
