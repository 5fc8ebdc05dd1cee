//! What the EHR is told of a delivery, and what of it a person has to do there.
//!
//! Must stay true: what a step calls for is decided by the step alone; words that stand in rows and in an EHR never change
//! their meaning.

use serde::{Deserialize, Serialize};

use super::{HoldEnd, Link, RevokedBy};

/// A type of resource that Chartseal writes to an EHR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// That a message went out, and when it was first opened.
    Communication,
    /// That a document was disclosed.
    AuditEvent,
    /// Where a report went.
    Provenance,
    /// What staff have to do.
    Task,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The message with the link was handed over.
    Sent,
    /// The link was opened for the first time.
    Opened,
    ToDo(ToDo),
}

/// What a person has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToDo {
    /// To look at what is in review.
    Review,
    /// To talk with the patient: the rules hold the result for that.
    Talk,
    /// To let a held report go.
    Release,
    /// Nobody opened the link before it ended.
    Unopened,
    /// The EHR took back what somebody had read by then.
    ReadThenTakenBack,
}

/// Whether a delivery's links were ever opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EverOpened {
    Yes,
    No,
}

macro_rules! words {
    ($type:ident { $($variant:pat => $value:expr => $text:literal),+ $(,)? }) => {
        impl $type {
            /// The word in rows and configurations.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($variant => $text),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok($value),)+ _ => Err(()) }
            }
        }
    };
}
words!(Told {
    Self::Communication => Self::Communication => "communication",
    Self::AuditEvent => Self::AuditEvent => "audit_event",
    Self::Provenance => Self::Provenance => "provenance",
    Self::Task => Self::Task => "task",
});
words!(ToDo {
    Self::Review => Self::Review => "review",
    Self::Talk => Self::Talk => "talk",
    Self::Release => Self::Release => "release",
    Self::Unopened => Self::Unopened => "unopened",
    Self::ReadThenTakenBack => Self::ReadThenTakenBack => "read-then-taken-back",
});
words!(Fact {
    Self::Sent => Self::Sent => "sent",
    Self::Opened => Self::Opened => "opened",
    Self::ToDo(ToDo::Review) => Self::ToDo(ToDo::Review) => "review",
    Self::ToDo(ToDo::Talk) => Self::ToDo(ToDo::Talk) => "talk",
    Self::ToDo(ToDo::Release) => Self::ToDo(ToDo::Release) => "release",
    Self::ToDo(ToDo::Unopened) => Self::ToDo(ToDo::Unopened) => "unopened",
    Self::ToDo(ToDo::ReadThenTakenBack) => Self::ToDo(ToDo::ReadThenTakenBack) => "read-then-taken-back",
});

impl Told {
    pub const ALL: [Self; 4] = [Self::Communication, Self::AuditEvent, Self::Provenance, Self::Task];

    /// The name of the type in FHIR.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Communication => "Communication",
            Self::AuditEvent => "AuditEvent",
            Self::Provenance => "Provenance",
            Self::Task => "Task",
        }
    }
}

impl Told {
    /// What its rights must allow: a conditional create searches, and what is looked at or changed later must be read.
    #[must_use]
    pub fn scope(self) -> String {
        let may = match self {
            Self::Communication | Self::Task => "crus",
            Self::AuditEvent | Self::Provenance => "cs",
        };
        format!("system/{}.{may}", self.type_name())
    }
}

impl Fact {
    /// What is written of it. A message discloses nothing but the clinic's name; the document is disclosed when its link is
    /// opened, so the `AuditEvent` tells of that.
    #[must_use]
    pub const fn told_by(self) -> &'static [Told] {
        match self {
            Self::Sent => &[Told::Communication, Told::Provenance],
            Self::Opened => &[Told::Communication, Told::AuditEvent],
            Self::ToDo(_) => &[Told::Task],
        }
    }
}

impl ToDo {
    /// What a delivery in this state asks of a person.
    #[must_use]
    pub fn of(state: &Link, opened: EverOpened) -> Option<Self> {
        match state {
            Link::Review { .. } => Some(Self::Review),
            Link::Held { until: HoldEnd::Talk { .. }, .. } => Some(Self::Talk),
            Link::Held { until: HoldEnd::Person | HoldEnd::PersonBefore(_), .. } => Some(Self::Release),
            Link::Expired if opened == EverOpened::No => Some(Self::Unopened),
            Link::Recalled
            | Link::Revoked { by: RevokedBy::Cancelled | RevokedBy::SubjectChanged | RevokedBy::PatientMerged }
                if opened == EverOpened::Yes =>
            {
                Some(Self::ReadThenTakenBack)
            }
            Link::Recorded
            | Link::Held { until: HoldEnd::At(_), .. }
            | Link::Live { .. }
            | Link::Suspended { .. }
            | Link::Blocked
            | Link::Spent
            | Link::Expired
            | Link::Revoked { .. }
            | Link::Recalled
            | Link::Superseded { .. } => None,
        }
    }

    /// Whether a delivery in this state may ask something of a person.
    #[must_use]
    pub fn is_asked_in(state: &Link) -> bool {
        Self::of(state, EverOpened::No).or(Self::of(state, EverOpened::Yes)).is_some()
    }

    /// Whether it is done by itself once the delivery has moved on.
    #[must_use]
    pub const fn ends_with_its_state(self) -> bool {
        match self {
            Self::Review | Self::Talk | Self::Release => true,
            Self::Unopened | Self::ReadThenTakenBack => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::UtcMillis;
    use crate::policy::HoldBasis;
    use crate::policy::vocabulary::Backstop;
    use crate::record::{AfterTalk, BackstopAt};

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for told in Told::ALL {
            assert_eq!(told.as_str().parse(), Ok(told));
        }
        let to_dos = [ToDo::Review, ToDo::Talk, ToDo::Release, ToDo::Unopened, ToDo::ReadThenTakenBack];
        for fact in [Fact::Sent, Fact::Opened].into_iter().chain(to_dos.map(Fact::ToDo)) {
            assert_eq!(fact.as_str().parse(), Ok(fact));
            assert!(!fact.told_by().is_empty());
        }
    }

    #[test]
    fn a_person_is_asked_only_where_a_person_is_needed() {
        let at = UtcMillis(1);
        let before = BackstopAt { at, then: Backstop::Escalate };
        let held = |until| Link::Held { until, basis: HoldBasis::ClinicPolicy };
        for (state, opened, asked) in [
            (held(HoldEnd::At(at)), EverOpened::No, None),
            (held(HoldEnd::PersonBefore(before)), EverOpened::No, Some(ToDo::Release)),
            (held(HoldEnd::Talk { before, after: AfterTalk::Person }), EverOpened::No, Some(ToDo::Talk)),
            (Link::Expired, EverOpened::No, Some(ToDo::Unopened)),
            (Link::Expired, EverOpened::Yes, None),
            (Link::Recalled, EverOpened::No, None),
            (Link::Recalled, EverOpened::Yes, Some(ToDo::ReadThenTakenBack)),
            (Link::Revoked { by: RevokedBy::Restore }, EverOpened::Yes, None),
            (Link::Revoked { by: RevokedBy::SubjectChanged }, EverOpened::Yes, Some(ToDo::ReadThenTakenBack)),
            (Link::Spent, EverOpened::Yes, None),
        ] {
            assert_eq!(ToDo::of(&state, opened), asked, "{state:?}");
        }
    }
}
