//! Messages to patients: what they say, and how they are handed to the clinic's mail relay.
//!
//! Job: compose a notice from a few allowed facts, hand it over once, and say truthfully what became of it.
//! Must stay true: nothing goes out in plain text except to this machine; a relay's own words never leave this module
//! (they may repeat the address); what may have been sent is never called unsent; every call ends in bounded time.
//! Must not know: the store, FHIR, patients, reports, retries (the outbox decides those).

mod code_notice;
pub mod domain;
mod dsn;
mod letter;
pub mod messages;
mod outcome;
mod recipients;
mod smtp;
mod staff_notice;
mod template;
pub mod text;
mod trial;

use std::sync::{Arc, Mutex, PoisonError};

pub use code_notice::CodeNotice;
pub use dsn::{BounceAddress, BounceEnvelope, DSN_BYTES_MAX, Dsn, Fate, NotADsn};
pub use letter::{ClinicPhone, DisplayName, MessageId, NameError, Outgoing};
pub use messages::{MessageKey, Messages, MessagesError, Naming};
pub use outcome::{EnhancedStatus, Reply, SendOutcome, Why};
pub use recipients::{OnlyTo, OnlyToError};
pub use smtp::{Login, MailRelay, RelayError, RelayUrl, SmtpRelay, TlsMode};
pub use staff_notice::StaffNotice;
pub use template::{ComposeError, LinkNotice, NoticeKind, Words};
pub use trial::{Arrived, Check, LinkThere, Signed, Trial, TrialError};

pub use crate::base::Language;

/// Hands over mail, to those it is allowed to reach.
pub struct Mailer {
    via: Via,
    only_to: OnlyTo,
}

/// Where mail goes.
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Via {
    Smtp(SmtpRelay),
    /// Kept in order of sending; for tests.
    Memory(Arc<Mutex<Vec<Outgoing>>>),
}

impl Mailer {
    #[must_use]
    pub fn new(via: Via, only_to: OnlyTo) -> Self {
        Self { via, only_to }
    }

    /// Makes one attempt. Ends within [`SmtpRelay::longest_send`].
    pub async fn send(&self, mail: &Outgoing) -> SendOutcome {
        if !self.only_to.allows(mail.to()) {
            return SendOutcome::Withheld;
        }
        match &self.via {
            Via::Smtp(relay) => relay.send(mail).await,
            Via::Memory(kept) => {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(mail.clone());
                SendOutcome::Accepted { response_code: 250 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{EmailAddress, NoticeId};

    #[tokio::test]
    async fn a_recipient_outside_the_list_is_never_written_to() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let mailer = Mailer::new(Via::Memory(Arc::clone(&kept)), OnlyTo::parse(["clinic.test"]).unwrap());
        let from = EmailAddress::parse("notices@clinic.test").unwrap();
        let id = MessageId::of(&NoticeId::parse("AAAAAAAAAAAAAAAA").unwrap(), &from);
        for (to, expected) in [
            ("ana@patient.test", SendOutcome::Withheld),
            ("eve@clinic.test", SendOutcome::Accepted { response_code: 250 }),
        ] {
            let mail = Outgoing::new(from.clone(), EmailAddress::parse(to).unwrap(), id.clone(), Vec::new());
            assert_eq!(mailer.send(&mail).await, expected);
        }
        let kept = kept.lock().unwrap();
        assert_eq!(kept.iter().map(|mail| mail.to().expose()).collect::<Vec<_>>(), ["eve@clinic.test"]);
    }
}
