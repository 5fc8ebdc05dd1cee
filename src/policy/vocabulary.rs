//! The words of the columns: what a rule can ask for. Each vocabulary stands loosest first.

use serde::{Deserialize, Serialize};

use super::few::Vocabulary;

/// One vocabulary: its words in a rules file, in order.
macro_rules! vocabulary {
    ($(#[$about:meta])* $name:ident { $($(#[$word_about:meta])* $word:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$word_about])* #[serde(rename = $text)] $word,)+
        }

        impl $name {
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$word),+];

            /// The word in a rules file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }
        }

        impl Vocabulary for $name {
            const ALL: &'static [Self] = &[$(Self::$word),+];

            fn as_str(self) -> &'static str {
                Self::as_str(self)
            }

            fn bit(self) -> u8 {
                1 << (self as u8)
            }
        }
    };
}

vocabulary! {
    /// What a rule does with a report.
    Action { Send = "send", ManualReview = "manual_review", Block = "block" }
}

vocabulary! {
    Channel { Email = "email", Sms = "sms" }
}

vocabulary! {
    /// What a link asks before it opens.
    Challenge { Question = "question", Code = "code" }
}

vocabulary! {
    /// Why a delivery waits, the strongest ground first.
    HoldBasis {
        Law = "law",
        PatientRequest = "patient_request",
        IndividualHarm = "individual_harm",
        ClinicPolicy = "clinic_policy",
    }
}

vocabulary! {
    /// How much the message may say.
    Wording { Full = "full", Generic = "generic", Bare = "bare" }
}

vocabulary! {
    /// Who lets a report go.
    ReleaseBy {
        /// Time.
        Auto = "auto",
        /// A person.
        Manual = "manual",
    }
}

vocabulary! {
    /// What must have happened before a report may leave.
    Requirement {
        /// A named clinician recorded that they talked with the patient.
        Discussed = "discussed",
    }
}

vocabulary! {
    /// What happens to a report that waited for a person until its back-stop.
    Backstop {
        /// It leaves by itself.
        Release = "release",
        /// Staff are told, and it waits on as a review.
        Escalate = "escalate",
    }
}

vocabulary! {
    /// From when the life of a link counts.
    ExpiryFrom {
        /// The first attempt to hand the message over.
        Delivered = "delivered",
        /// The report's own time.
        Issued = "issued",
    }
}

vocabulary! {
    /// Over which channel a code is told.
    CodeVia {
        Any = "any",
        /// Never the link's own.
        Other = "other",
    }
}

vocabulary! {
    /// How a patient gets a code that may not come where the link came, where there is no other channel.
    CodeElse {
        /// Staff tell it, once they know who asks.
        Staff = "staff",
        /// It stands on a slip that the patient was given.
        Slip = "slip",
        /// No link leaves: the patient comes for it.
        Pickup = "pickup",
        /// The rules name no way; a person looks.
        Review = "review",
    }
}

vocabulary! {
    Download {
        Allowed = "allowed",
        /// Shown in the page, not saved.
        ViewOnly = "view_only",
    }
}

vocabulary! {
    /// Whether the opened page offers the document as a SMART Health Link, for the patient's health app.
    HealthLink {
        /// Whoever has the link's code or text opens it.
        Plain = "plain",
        /// Whoever also has the passcode beside it.
        Passcode = "passcode",
        Never = "never",
    }
}

vocabulary! {
    /// Who gives a new link for one that ended.
    Reissue {
        /// The patient, after a code to a registered contact.
        Patient = "self",
        Staff = "staff",
    }
}

vocabulary! {
    /// How long Chartseal keeps the secret of a link, which a reminder would repeat.
    Custody { UntilOpened = "until_opened", UntilHandedOver = "until_handed_over" }
}

vocabulary! {
    /// Whom a hold, a failure or an opening is told to.
    Notify { Staff = "staff", OrderingProvider = "ordering_provider" }
}

vocabulary! {
    /// What makes reports of one patient belong together.
    GroupBy { Order = "order", Encounter = "encounter", Day = "day" }
}
