//! The EHR: asking it, believing as little of its answers as possible.
//!
//! Job: read reports, patients and attachments over FHIR R4 REST, gather what a report names for the rules, search for
//! what changed, keep a subscription, understand what a hook says, choose a patient's address; find out what a server can do;
//! tell it what became of its reports.
//! Must stay true: no wire bytes reach `fhirbolt` (see `gate`); no error, log or `Debug` carries a value,
//! a URL or a token; the token goes to the EHR's own origin alone; a 404 is never mistaken for "nothing".
//! Must not know: databases, rules, links, mail.

mod attachment;
mod client;
mod contact;
mod dates;
mod door;
mod element;
mod error;
mod facts;
mod gate;
mod gather;
mod given;
mod guard;
mod health_bundle;
mod hook;
mod identity;
mod likeness;
mod notification;
mod offers;
mod pace;
mod panel;
mod patient;
mod probe;
mod project;
mod report;
mod results;
mod schema;
mod search;
mod service;
mod sign_in;
mod sniff;
mod standing;
mod subscription;
mod tell;
mod topic;
mod transport;
mod unsent;

#[cfg(test)]
mod tests;

pub use attachment::AttachmentStream;
pub use client::{EhrClient, EhrConnection, FhirBody, Limits, PatientAnswer, ReadAnswer};
pub use contact::{Choices, ContactChoice, choose};
pub use door::{Auth, OwnTls, SignedIn};
pub use error::{EhrError, FaultClass, Malformed};
pub use facts::{Circumstances, age_of, facts_of};
pub use gather::{CONSENT_SYSTEM, Evidence, Further, Kin, ReportText, Stands, Who, WhoElse, may_hide_somebody};
pub use given::{Given, GivenError, GivenFile};
pub use guard::Origin;
pub use health_bundle::{BundledPdf, health_bundle};
pub use hook::{BROKEN_RESOURCE, Beside, HEARD_MAX, Heard, HookContent, HookMethod, HookPath, HookSaid, read_hook};
pub use likeness::Likeness;
pub use notification::{Notification, NotificationKind};
pub use offers::{OFFERS_KEPT, Offers};
pub use pace::Pace;
pub use panel::{PanelRead, PanelSource};
pub use patient::{Born, Patient, Period, Replacement, Telecom, TelecomSystem, TelecomUse, read_patient};
pub use probe::{
    Access, CertificateFault, CertificateSeen, Claims, Honoured, Interaction, Knock, Obedience, Offered, OfferedProof,
    OwnAddress, PatientNeeded, ReachFault, Reached, Release, TRIAL_SYSTEM, TrialKind, Way, own_address,
};
pub use report::{
    AttachmentRef, AttachmentSource, ContentBasis, DOCUMENTS_MAX, Relation, RelationCode, Report, StatusDoubt, Subject,
    read_report,
};
pub use results::{WithoutAttachment, Written};
pub use search::{
    Changes, Completeness, SEARCH_CLOCK_DRIFT, SEARCH_COMMIT_LAG, SearchAnswer, Sought, Step, Walk, WalkEnd, Window,
};
pub use service::ServiceBase;
pub use sign_in::{
    AssertionKeys, ClientProof, Granted, KeysAway, KeysNow, Proof, SecretCarried, SignInFault, TokenAuth,
};
pub use sniff::{SNIFF_BYTES, Sniffed, sniff};
pub use standing::PatientStanding;
pub use subscription::{HookHeader, SubscriptionAction, SubscriptionState, SubscriptionStatus, UpdateReason, Wish};
pub use tell::{
    Amended, DISCUSSED, MARK, MARK_SYSTEM, TASK_END_SYSTEM, TO_DO_SYSTEM, TOLD_SYSTEM, TaskEnd, TaskSaid, TaskStands,
    TaskState, Telling, Word,
};
pub use topic::{EventsSaid, Insist, StatusSaid, TopicContent, TopicFilter, TopicForm, TopicState, TopicWish};
pub use transport::install_tls;
pub use unsent::why_unsent;
