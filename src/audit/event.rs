//! The things worth recording.

use serde::{Deserialize, Serialize};

use super::actor::Pseudonym;
use super::how::{HealthLinkEvent, HeardBy, Redecided, by_email, is_by_email, is_patient, patient};
use crate::base::{DeliveryId, EhrId, LinkId, NoticeId, OperatorName, SourceId, ToldId, UtcMillis};
use crate::record::{
    Ask, Channel, Checked, ContactState, Link, Notice, NoticeKind, RecipientRole, RevokedBy, StaffMailFate, StaffNews,
    Waiver,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum AuditEvent {
    /// An EHR said that something changed.
    Heard {
        sha256: String,
        by: HeardBy,
    },
    Quarantined {
        why: String,
    },
    /// The resource was read and changed nothing that a patient would read.
    Unchanged {
        version: String,
    },
    /// The resource was read; it may not leave (yet).
    NotForSending {
        version: String,
        status: String,
    },
    /// The resource could not be read for good; staff see it.
    Unreadable {
        why: String,
    },
    Gone {
        with_fhir_body: String,
    },
    /// The resource was read; its document is on its way, or came, under another name.
    SameDocument {
        version: String,
        delivery: DeliveryId,
    },
    /// The delivery's document was heard of under another name, too.
    AlsoHeardAs {
        source: SourceId,
    },
    Decided {
        version: String,
        rules_hash: String,
        decision: String,
        mode: String,
        patient: Option<Pseudonym>,
        /// Left out for the patient.
        #[serde(default = "patient", skip_serializing_if = "is_patient")]
        recipient: RecipientRole,
    },
    /// The report is followed for somebody else, too.
    FollowedFor {
        recipient: RecipientRole,
    },
    /// It would be, and the rules ask for what this installation does not offer.
    NotFollowedFor {
        recipient: RecipientRole,
        what: String,
    },
    /// Who else gets the report could not be learnt, or not all of them.
    OthersUnlearnt {
        why: String,
    },
    /// The EHR no longer names whoever the report was followed for.
    RecipientGone,
    /// The delivery changed its state.
    Stepped {
        from: String,
        to: Link,
    },
    /// The malware scanner found nothing in the attachment.
    ScannedClean,
    /// It did not scan the attachment, and the clinic's configuration lets such ones leave.
    SentUnscanned {
        why: String,
    },
    Sealed {
        link: LinkId,
        files: u16,
        bytes: u64,
        epoch: String,
    },
    /// Several reports of the patient leave in one link.
    SharesLink {
        link: LinkId,
        with: Vec<DeliveryId>,
        /// In whose chain message and openings are told of.
        noted_with: DeliveryId,
    },
    NoticeQueued {
        notice: NoticeId,
        /// Left out for e-mail.
        #[serde(default = "by_email", skip_serializing_if = "is_by_email")]
        channel: Channel,
    },
    /// The rules keep the link's secret until somebody opens it, for a reminder.
    SecretKept {
        link: LinkId,
    },
    /// Nobody opened the link, and its holder is reminded: with the link or without it.
    Reminded {
        link: LinkId,
        notice: NoticeId,
        by: NoticeKind,
    },
    /// Nobody opened the link of something sensitive, and it ends soon: somebody should call.
    CallWanted {
        link: LinkId,
    },
    /// The clinic's staff were told this of the link by mail, or could not be.
    StaffTold {
        link: LinkId,
        of: StaffNews,
        fate: StaffMailFate,
    },
    /// Staff called.
    Called {
        link: LinkId,
        said: Option<String>,
    },
    /// Written before the message leaves.
    NoticeAttempted {
        notice: NoticeId,
        attempt: u32,
    },
    /// Written after.
    NoticeStepped {
        notice: NoticeId,
        to: Notice,
        why: Option<String>,
    },
    /// A mail system told of a message that it had taken; it may have changed nothing.
    NoticeReported {
        notice: NoticeId,
        why: String,
    },
    /// The network said that it is there.
    NoticeArrived {
        notice: NoticeId,
    },
    /// Whoever has the number to which the delivery went asked for no more texts.
    TextsStopped,
    /// They asked for texts again.
    TextsResumed,
    /// The holder of the key looked at the page.
    Landed {
        link: LinkId,
    },
    Claimed {
        link: LinkId,
        lease_until: UtcMillis,
    },
    ClaimRefused {
        link: LinkId,
        why: String,
    },
    /// The link asks this before it opens.
    Asks {
        link: LinkId,
        what: Vec<Ask>,
        attempts: u8,
    },
    /// Its holder wants a code.
    CodeAsked {
        link: LinkId,
        notice: NoticeId,
    },
    /// Staff told a code to whoever called, after this check.
    CodeTold {
        link: LinkId,
        checked: Checked,
    },
    AnsweredRight {
        link: LinkId,
        asked: Ask,
    },
    /// So many more answers are looked at; after none it is locked.
    AnsweredWrong {
        link: LinkId,
        asked: Ask,
        left: u8,
    },
    /// Staff, or its holder by a code through the other channel, let a locked link take answers again.
    Unlocked {
        link: LinkId,
        reason: String,
    },
    /// Staff gave a question of the clinic's own.
    QuestionSet,
    /// Staff wrote something to stand beside the document.
    NoteSet,
    /// Slips with codes were written, to be printed; for an order of this EHR, or for nobody yet.
    SlipsPrinted {
        references: Vec<String>,
        bound: Option<EhrId>,
    },
    SlipBound {
        reference: String,
        ehr: EhrId,
    },
    /// Whoever got the link says that it was not for them; so often it had been opened.
    Disowned {
        link: LinkId,
        opened: u64,
    },
    /// The holder of a link that ended wants another.
    AnotherWanted {
        link: LinkId,
    },
    /// What came of the SMART Health Link that the opened page offers.
    HealthLink {
        link: LinkId,
        #[serde(flatten)]
        what: HealthLinkEvent,
    },
    Decrypted {
        link: LinkId,
    },
    DecryptFailed {
        link: LinkId,
    },
    Lapsed {
        link: LinkId,
    },
    /// The server's half of the key was destroyed.
    Shredded {
        link: LinkId,
    },
    FilesRemoved {
        link: LinkId,
    },
    RevokeAsked {
        by: RevokedBy,
        reason: Option<String>,
    },
    ReleaseAsked {
        reason: Option<String>,
    },
    SentAgainAs {
        delivery: DeliveryId,
    },
    /// A patient asked for something; which patient is not said.
    Preferred {
        word: String,
    },
    PreferredNoLonger {
        word: String,
    },
    /// What is recorded of the delivery's address.
    ContactSet {
        before: Option<ContactState>,
        state: ContactState,
        reason: Option<String>,
    },
    ContactCleared {
        before: Option<ContactState>,
        reason: Option<String>,
    },
    /// A clinician recorded that they talked with the patient.
    Discussed {
        reason: Option<String>,
    },
    /// A law's wait was ended before its time.
    FloorWaived {
        rule: String,
        by: Waiver,
        reason: String,
    },
    Initialised {
        installation: String,
    },
    Started {
        replica: String,
        version: String,
    },
    Stopped {
        replica: String,
    },
    Paused {
        why: String,
    },
    Resumed,
    /// The rules file that is in force as long as no version was ever approved.
    RulesOfFile {
        id: String,
        version: String,
        rules_hash: String,
    },
    RulesProposed {
        id: String,
        version: String,
        rules_hash: String,
        note: Option<String>,
    },
    RulesApproved {
        rules_hash: String,
        author: OperatorName,
        effective_at: UtcMillis,
        /// Decisions that the approver accepted as looser than before.
        looser: u64,
    },
    /// By one person alone, since nothing becomes looser.
    RulesInEmergency {
        id: String,
        version: String,
        rules_hash: String,
        note: Option<String>,
    },
    /// Other rules came into force, or the EHR says something else of the report: what that means for what had not left.
    Redecided {
        rules_hash: String,
        decision: String,
        how: Redecided,
    },
    /// Other rules came into force; the link has fewer openings left, or ends sooner.
    LinkTightened {
        link: LinkId,
        rules_hash: String,
        opens_max: u16,
        life_seconds: u64,
    },
    RulesWithdrawn {
        rules_hash: String,
    },
    RulesRolledBack {
        from: Option<String>,
        rules_hash: String,
        looser: u64,
    },
    IncidentProposed {
        incident: i64,
        why: String,
        /// As JSON.
        criteria: String,
        deliveries: u64,
    },
    IncidentApproved {
        incident: i64,
    },
    /// Whoever was revoking died or gave up; a running service goes on with those that are left.
    IncidentCarriedOn {
        incident: i64,
        left: u64,
    },
    /// Everything that could be revoked is.
    IncidentEnded {
        incident: i64,
        revoked: u64,
        /// Of those, how many had been opened before.
        opened: u64,
        /// How many had ended before.
        ended: u64,
    },
    OperatorAdded {
        name: OperatorName,
        role: String,
    },
    OperatorRekeyed {
        name: OperatorName,
    },
    /// A lead got another key by the word of the machine's root, without showing one.
    LeadRecovered {
        name: OperatorName,
        /// Under which name it was asked for; nobody proved it.
        said_by: OperatorName,
    },
    OperatorEnded {
        name: OperatorName,
    },
    /// Somebody who gave this name had not the key of a person of that name.
    OperatorRefused {
        name: OperatorName,
    },
    /// A key was used for the first time: the root key when its database was begun, a dated one by what it sealed first.
    KeyMade {
        kind: String,
        name: String,
        fingerprint: String,
    },
    KeyDestroyed {
        kind: String,
        name: String,
    },
    /// A key pair by which EHRs know us.
    SigningKeyMade {
        algorithm: String,
        kid: String,
    },
    SigningKeyTookOver {
        algorithm: String,
        kid: String,
        from: String,
    },
    /// Its private half was removed.
    SigningKeyEnded {
        algorithm: String,
        kid: String,
    },
    /// What an EHR grants changed; `lacking` of what was asked for, nothing when it is all.
    Granted {
        lacking: String,
    },
    /// The schema was brought up to date by one step.
    Migrated {
        name: String,
        /// Of the program.
        version: String,
        ran_at: UtcMillis,
    },
    RestoredFromBackup {
        generation: i64,
        deaths_applied: u64,
        links_ended: u64,
    },
    Subscribed {
        kind: String,
        remote_id: String,
        status: String,
    },
    SubscriptionFault {
        kind: String,
        why: String,
    },
    /// A person has the way to an EHR and back tried: what is nobody's is about to be written there.
    TrialBegun {
        trial: String,
    },
    /// It was removed again, but for these.
    TrialEnded {
        trial: String,
        left: Vec<String>,
    },
    PollFault {
        kind: String,
        why: String,
    },
    /// A person asked to have a stretch of an EHR's past read.
    PastAsked {
        what: String,
        since: UtcMillis,
        until: UtcMillis,
    },
    /// The EHR was told something of the delivery, under this identifier.
    EhrTold {
        resource: String,
        fact: String,
        id: ToldId,
    },
    /// It could not be told, for good.
    EhrNotTold {
        resource: String,
        fact: String,
        why: String,
    },
    /// Staff of the EHR ended what they were asked to do there.
    TaskEnded {
        to_do: String,
        how: String,
        /// The practitioner, as the EHR refers to them.
        by: Option<String>,
    },
    /// A person has what could not be told to an EHR told again.
    ToldAgain {
        count: u64,
    },
    PastStopped {
        what: String,
    },
    PastResumed {
        what: String,
    },
    PastRead {
        what: String,
        seen: u64,
        /// Of those, what was read because of it.
        heard: u64,
        /// Questions about single patients that failed and were left out.
        #[serde(default)]
        left_out: u64,
    },
    Retained {
        what: String,
        removed: u64,
    },
}
