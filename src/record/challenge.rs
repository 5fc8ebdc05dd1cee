//! The challenge's table: what a link asks before it opens, as one browser meets it.
//!
//! Wrong answers are counted for the link's whole life, whichever browser gives them and whatever is asked; an answer counts as
//! wrong before it is looked at, and is given back when it is right. Passing is each browser's own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{NotAllowed, Step};
use crate::base::{hours, minutes};
use crate::policy::{Challenge as Check, Channel};

/// How long a code that was sent opens anything, from its making.
pub const CODE_LIFE: Duration = minutes(10);
/// The same of one that staff told.
pub const STAFF_CODE_LIFE: Duration = hours(1);
/// Wrong codes that an unlocking takes in a link's life.
pub const UNLOCK_ATTEMPTS_MAX: u8 = 3;
/// Codes that one link sends within an hour.
pub const CODES_AN_HOUR_MAX: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Challenge {
    /// So many answers may still be wrong.
    Asked { left: u8, series: Series },
    /// This browser gave the right answer.
    Passed,
    /// No further answer is looked at, be it right.
    Locked { series: Series },
}

/// How often a link's count began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    First,
    /// It was unlocked once, and never is again.
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeEvent {
    Wrong,
    Right,
    /// The count begins anew, with so many.
    Unlock {
        attempts: u8,
    },
}

impl Challenge {
    /// A link's state by its count.
    #[must_use]
    pub const fn of_count(left: u8, series: Series) -> Self {
        match left {
            0 => Self::Locked { series },
            left => Self::Asked { left, series },
        }
    }

    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::Passed => "passed",
            Self::Locked { .. } => "locked",
        }
    }

    /// What the table says of `event` in this state.
    ///
    /// # Errors
    /// [`NotAllowed`] when the table has no such step.
    pub fn step(self, event: ChallengeEvent) -> Result<Step<Self>, NotAllowed> {
        let refused = NotAllowed { state: self.name(), event: event.name() };
        let to = match (self, event) {
            (Self::Asked { left, series }, ChallengeEvent::Wrong) => Self::of_count(left.saturating_sub(1), series),
            (Self::Asked { .. }, ChallengeEvent::Right) => Self::Passed,
            (Self::Locked { series: Series::First }, ChallengeEvent::Unlock { attempts }) => {
                Self::of_count(attempts, Series::Last)
            }
            (
                Self::Asked { .. } | Self::Passed | Self::Locked { .. },
                ChallengeEvent::Wrong | ChallengeEvent::Right | ChallengeEvent::Unlock { .. },
            ) => return Err(refused),
        };
        Ok(Step::new(self, to))
    }
}

impl ChallengeEvent {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Wrong => "a wrong answer",
            Self::Right => "the right answer",
            Self::Unlock { .. } => "an unlocking",
        }
    }
}

/// One thing that a link asks, and how its answer comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The holder's own. Weak: relatives know it.
    BirthDate,
    /// Of whoever the report is about, asked of somebody else. As weak.
    PatientsBirthDate,
    /// A question of the clinic's own.
    OwnQuestion,
    CodeByEmail,
    CodeBySms,
    /// Told by staff.
    CodeByStaff,
    CodeOnSlip,
}

impl Ask {
    pub const ALL: [Self; 7] = [
        Self::BirthDate,
        Self::PatientsBirthDate,
        Self::OwnQuestion,
        Self::CodeByEmail,
        Self::CodeBySms,
        Self::CodeByStaff,
        Self::CodeOnSlip,
    ];

    /// The word in rows and in the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BirthDate => "birth_date",
            Self::PatientsBirthDate => "patients_birth_date",
            Self::OwnQuestion => "own_question",
            Self::CodeByEmail => "code_by_email",
            Self::CodeBySms => "code_by_sms",
            Self::CodeByStaff => "code_by_staff",
            Self::CodeOnSlip => "code_on_slip",
        }
    }

    /// Which of the rules' checks it is.
    #[must_use]
    pub const fn check(self) -> Check {
        match self {
            Self::BirthDate | Self::PatientsBirthDate | Self::OwnQuestion => Check::Question,
            Self::CodeByEmail | Self::CodeBySms | Self::CodeByStaff | Self::CodeOnSlip => Check::Code,
        }
    }

    /// A code that is sent by this channel.
    #[must_use]
    pub const fn code_by(channel: Channel) -> Self {
        match channel {
            Channel::Email => Self::CodeByEmail,
            Channel::Sms => Self::CodeBySms,
        }
    }

    /// The channel by which its code is sent when the page asks for it.
    #[must_use]
    pub const fn channel(self) -> Option<Channel> {
        match self {
            Self::CodeByEmail => Some(Channel::Email),
            Self::CodeBySms => Some(Channel::Sms),
            Self::BirthDate | Self::PatientsBirthDate | Self::OwnQuestion | Self::CodeByStaff | Self::CodeOnSlip => {
                None
            }
        }
    }

    /// What staff are told.
    #[must_use]
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::BirthDate => "the date of birth (weak: relatives know it)",
            Self::PatientsBirthDate => "the patient's date of birth (weak: many know it)",
            Self::OwnQuestion => "a question of the clinic's own",
            Self::CodeByEmail => "a code by e-mail",
            Self::CodeBySms => "a code by text message",
            Self::CodeByStaff => "a code that staff tell",
            Self::CodeOnSlip => "the code on the patient's slip",
        }
    }
}

impl std::str::FromStr for Ask {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|ask| ask.as_str() == text).ok_or(())
    }
}

/// How staff made sure who asks for a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checked {
    /// A document with a picture was shown.
    IdDocument,
    /// They are known by face.
    KnownInPerson,
    /// They were called at the number that the record has.
    CalledBack,
    /// They answered at least two things that the record has and the report does not.
    RecordQuestions,
}

impl Checked {
    pub const ALL: [Self; 4] = [Self::IdDocument, Self::KnownInPerson, Self::CalledBack, Self::RecordQuestions];

    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdDocument => "id-document",
            Self::KnownInPerson => "known-in-person",
            Self::CalledBack => "called-back",
            Self::RecordQuestions => "record-questions",
        }
    }
}
