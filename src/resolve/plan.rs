//! What a reading means for what is already on its way. Pure.
//!
//! The status table (<https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html> and
//! <https://hl7.org/fhir/R4/documentreference.html>): unfinished reports are recorded; final, amended,
//! corrected and appended ones may leave; cancelled, superseded and entered-in-error ones are refused.

use std::collections::BTreeSet;

use crate::base::UtcMillis;
use crate::fhir::ContentBasis;
use crate::policy::schedule::{Schedule, Timing};
use crate::policy::vocabulary::Requirement;
use crate::policy::{Decision, Facts, ReleaseBy, ReportStatus, ReviewReason, Terms};
use crate::record::{AfterTalk, BackstopAt, HoldEnd, Link, LiveUntil, RevokedBy};
use crate::store::DeliveryKind;

/// What follows from one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Refuse everything of this report at once.
    Recall,
    Revoke(RevokedBy),
    /// Nothing may leave; what is out is suspended.
    NotForSending,
    /// A patient would read the same as before.
    Unchanged,
    Deliver {
        kind: DeliveryKind,
        old: OldLinks,
        doubt: Doubt,
    },
}

/// What becomes of the links that are out when a new delivery is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldLinks {
    /// Refused at once; the new delivery takes their place.
    Supersede,
    /// Their content remains valid.
    Keep,
    /// The report is now another patient's.
    Revoke,
    /// The patient's record was merged into another, or parted from it.
    RevokeMerged,
    /// Nobody can say what the status means.
    Suspend,
}

/// Why a person must look at the new delivery whatever the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    None,
    SubjectChanged,
    PatientMerged,
    Reinstated,
    /// It is, or may be, the document that another resource is, and what becomes of that one does not settle it.
    SameElsewhere,
}

/// What was known before this reading.
pub(super) struct Before<'a> {
    /// Of the last version that could be read and whose status the standard knows.
    pub content_hash: Option<[u8; 32]>,
    pub subject_index: Option<[u8; 32]>,
    pub status: Option<ReportStatus>,
    /// The newest delivery, whatever became of it, and the content that it stands for.
    pub newest: Option<(&'a Link, [u8; 32])>,
    /// Whose record the newest delivery goes to, while it has not ended.
    pub goes_to: Option<[u8; 32]>,
    /// The file of that content, against what is behind its address now.
    pub file: File,
    /// The newest delivery of `content_hash`: what a version that nobody understood may hide.
    pub standing: Option<&'a Link>,
}

/// What became of a file that is known by its address alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    NotCompared,
    Same,
    Other,
}

/// What was read.
#[derive(Clone)]
pub(super) struct Now {
    pub status: ReportStatus,
    pub content_hash: [u8; 32],
    pub content_basis: ContentBasis,
    pub subject_index: Option<[u8; 32]>,
    /// The record that stands for the subject: their own, or the one that took its place. `None` where that was not learnt.
    pub patient_index: Option<[u8; 32]>,
}

/// Whether a report of this status is delivered at all, perhaps after a review.
pub(super) const fn may_leave(status: ReportStatus) -> bool {
    match status {
        ReportStatus::Final
        | ReportStatus::Amended
        | ReportStatus::Corrected
        | ReportStatus::Appended
        | ReportStatus::Unknown => true,
        ReportStatus::Unfinished
        | ReportStatus::Superseded
        | ReportStatus::Cancelled
        | ReportStatus::EnteredInError => false,
    }
}

/// Whether a version of this status says what may be read, rather than leaving it open.
pub(super) const fn is_understood(status: ReportStatus) -> bool {
    match status {
        ReportStatus::Final | ReportStatus::Amended | ReportStatus::Corrected | ReportStatus::Appended => true,
        ReportStatus::Unknown
        | ReportStatus::Unfinished
        | ReportStatus::Superseded
        | ReportStatus::Cancelled
        | ReportStatus::EnteredInError => false,
    }
}

/// Whether the EHR takes back what a report of this status said, rather than that something newer is said.
pub(super) const fn is_refused(status: ReportStatus) -> bool {
    match status {
        ReportStatus::Cancelled | ReportStatus::EnteredInError => true,
        ReportStatus::Final
        | ReportStatus::Amended
        | ReportStatus::Corrected
        | ReportStatus::Appended
        | ReportStatus::Unknown
        | ReportStatus::Unfinished
        | ReportStatus::Superseded => false,
    }
}

pub(super) fn plan(before: &Before<'_>, now: &Now) -> Plan {
    let old = match now.status {
        ReportStatus::EnteredInError => return Plan::Recall,
        ReportStatus::Cancelled => return Plan::Revoke(RevokedBy::Cancelled),
        ReportStatus::Superseded => return Plan::Revoke(RevokedBy::Replaced),
        ReportStatus::Unfinished => return Plan::NotForSending,
        ReportStatus::Final | ReportStatus::Amended | ReportStatus::Corrected => OldLinks::Supersede,
        ReportStatus::Appended => OldLinks::Keep,
        ReportStatus::Unknown => OldLinks::Suspend,
    };
    let Some((newest, newest_content)) = before.newest else {
        // What another document replaced, and stands again, was perhaps read under that name.
        let stands_again = before.status == Some(ReportStatus::Superseded);
        let doubt = if stands_again { Doubt::Reinstated } else { Doubt::None };
        return Plan::Deliver { kind: DeliveryKind::New, old, doubt };
    };
    let subject_changed = matches!((before.subject_index, now.subject_index), (Some(was), Some(is)) if was != is);
    if subject_changed {
        return Plan::Deliver { kind: DeliveryKind::Updated, old: OldLinks::Revoke, doubt: Doubt::SubjectChanged };
    }
    // Another record stands for the patient than the one it goes to: also when a merge is undone.
    let merged = matches!((before.goes_to, now.patient_index), (Some(was), Some(is)) if was != is);
    if merged {
        let kind = kind_after(newest);
        return Plan::Deliver { kind, old: OldLinks::RevokeMerged, doubt: Doubt::PatientMerged };
    }
    let standing = before.standing.unwrap_or(newest);
    let (judged, reads_the_same) = if is_understood(now.status) {
        (standing, before.content_hash == Some(now.content_hash) && !may_hide_a_change(before, now))
    } else {
        (newest, before.status == Some(now.status) && newest_content == now.content_hash)
    };
    let taken_back = is_taken_back(judged);
    // A link that staff revoked stays revoked while nothing changes.
    if reads_the_same && taken_back != TakenBack::ByTheEhr && !was_stopped_before_it_left(judged) {
        return Plan::Unchanged;
    }
    let doubt = match taken_back {
        TakenBack::ByTheEhr | TakenBack::ByStaff => Doubt::Reinstated,
        TakenBack::No => undecided(standing).or(undecided(newest)).unwrap_or(Doubt::None),
    };
    Plan::Deliver { kind: kind_after(standing), old, doubt }
}

impl Plan {
    /// What the rules forbade when it was last looked at, and what they no longer forbid, is decided as if it were new:
    /// nobody ever saw it, and a forbidden delivery has no way back.
    pub(super) fn or_no_longer_forbidden(self, before: &Before<'_>, decision: &Decision) -> Self {
        let was_forbidden = matches!(before.newest, Some((Link::Blocked, _)));
        let is_forbidden = matches!(decision, Decision::Block { .. });
        if self == Self::Unchanged && was_forbidden && !is_forbidden {
            return Self::Deliver { kind: DeliveryKind::New, old: OldLinks::Keep, doubt: Doubt::None };
        }
        self
    }
}

/// What was about to leave when the report became unfinished or unclear is decided again once it is finished.
pub(super) const fn was_stopped_before_it_left(link: &Link) -> bool {
    matches!(link, Link::Review { why: ReviewReason::WentBack | ReviewReason::RecipientGone })
}

/// A doubt about which no person has decided yet: a newer version does not settle it.
pub(super) fn undecided(link: &Link) -> Option<Doubt> {
    let Link::Review { why } = link else { return None };
    let doubts = [
        (ReviewReason::SubjectChanged, Doubt::SubjectChanged),
        (ReviewReason::PatientMerged, Doubt::PatientMerged),
        (ReviewReason::Reinstated, Doubt::Reinstated),
    ];
    doubts.into_iter().find_map(|(reason, doubt)| (*why == reason).then_some(doubt))
}

/// An attachment that is known by its address alone may be another file by now: when the EHR newly says that the
/// report was changed and the file was not compared, it is believed.
fn may_hide_a_change(before: &Before<'_>, now: &Now) -> bool {
    match before.file {
        File::Same => false,
        File::Other => true,
        File::NotCompared => {
            says_changed(now.status) && before.status != Some(now.status) && now.content_basis == ContentBasis::Address
        }
    }
}

/// Whether the EHR says of a report of this status that it was changed after it was final.
pub(super) const fn says_changed(status: ReportStatus) -> bool {
    match status {
        ReportStatus::Amended | ReportStatus::Corrected | ReportStatus::Appended => true,
        ReportStatus::Final
        | ReportStatus::Unknown
        | ReportStatus::Unfinished
        | ReportStatus::Superseded
        | ReportStatus::Cancelled
        | ReportStatus::EnteredInError => false,
    }
}

/// What was decided about a report, or would be now.
pub(super) struct Decided<'a> {
    pub decision: &'a Decision,
    pub facts: Option<&'a Facts>,
    pub schedule: Option<&'a Schedule>,
    pub contact: Option<[u8; 32]>,
}

/// Why a report that reads the same must not leave as it was decided: something about it that the rules look at, or whom it
/// goes to, became another. What a person released, and what has left, stays as it is; a change of the rules alone changes
/// nothing.
pub(super) fn second_thought(state: &Link, then: &Decided<'_>, now: &Decided<'_>) -> Option<ReviewReason> {
    let is_on_its_way = match state {
        Link::Recorded | Link::Held { .. } => OnItsWay::Undecided,
        Link::Live { until: LiveUntil::NotHandedOver } => OnItsWay::Addressed,
        Link::Live { until: LiveUntil::At(_) }
        | Link::Review { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => return None,
    };
    let Decision::Send { terms } = then.decision else { return None };
    let are_others = matches!((then.facts, now.facts), (Some(then), Some(now)) if then != now);
    let otherwise = are_others.then_some(ReviewReason::DecidedOtherwise);
    let is_longer = now.schedule.is_some_and(|now| now.has_more_floor_than(then.schedule));
    let objection = match now.decision {
        Decision::Send { terms: again } => otherwise.filter(|_| again != terms || is_longer),
        Decision::Block { .. } => otherwise,
        Decision::Review { why, terms: again } => match bearing_of(why) {
            Bearing::Itself => Some(why.clone()),
            Bearing::Rules => otherwise.map(|_| why.clone()),
            Bearing::Address if is_on_its_way == OnItsWay::Addressed => Some(why.clone()),
            // The address is chosen anew when the link is made, and time was not against it: what the rules say beside counts.
            Bearing::Address | Bearing::Time => {
                otherwise.filter(|_| again.as_ref().is_some_and(|again| again != terms) || is_longer)
            }
        },
    };
    let is_elsewhere = is_on_its_way == OnItsWay::Addressed && now.contact.is_some() && then.contact != now.contact;
    objection.or_else(|| is_elsewhere.then_some(ReviewReason::ContactChanged))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnItsWay {
    /// No link is made yet.
    Undecided,
    /// The message waits, with its address.
    Addressed,
}

/// What an objection is about.
pub(super) enum Bearing {
    /// The report or its patient.
    Itself,
    /// What the rules say of it.
    Rules,
    /// Where it would go.
    Address,
    /// Nothing but time or this installation, neither of which was against it when it was decided.
    Time,
}

pub(super) const fn bearing_of(why: &ReviewReason) -> Bearing {
    match why {
        ReviewReason::UnknownModifier { .. }
        | ReviewReason::UnknownStatus
        | ReviewReason::Unreadable { .. }
        | ReviewReason::Confidential { .. }
        | ReviewReason::PatientMerged
        // The one that was decided about was verified, or a person would have looked.
        | ReviewReason::AddressNotVerified
        | ReviewReason::NothingToAsk
        | ReviewReason::NoSlip
        | ReviewReason::Patient { .. } => Bearing::Itself,
        ReviewReason::NoRule
        | ReviewReason::Unknown { .. }
        | ReviewReason::RuleAsks { .. }
        | ReviewReason::NoCommonChannel { .. }
        | ReviewReason::SameElsewhere
        | ReviewReason::PickUp
        | ReviewReason::NotAvailable { .. } => Bearing::Rules,
        ReviewReason::NoContact { .. }
        | ReviewReason::ContactTie
        | ReviewReason::NoGuardianNow
        | ReviewReason::ContactBounced { .. }
        | ReviewReason::ContactDisputed { .. }
        | ReviewReason::ContactOptedOut { .. }
        | ReviewReason::ContactUnconfirmed
        | ReviewReason::GuardiansAddress
        | ReviewReason::AddressUnclear { .. } => Bearing::Address,
        ReviewReason::TooOld
        | ReviewReason::BeforeStart
        | ReviewReason::AgeUnknown
        | ReviewReason::Attachment { .. }
        | ReviewReason::Malware { .. }
        | ReviewReason::AnothersPaper { .. }
        | ReviewReason::NobodysPaper
        | ReviewReason::PaperUnread { .. }
        | ReviewReason::SubjectChanged
        | ReviewReason::Reinstated
        | ReviewReason::NoClinic
        | ReviewReason::Withheld
        | ReviewReason::KeyGone
        | ReviewReason::NoticeTooLate
        | ReviewReason::NoticeRefused { .. }
        | ReviewReason::WentBack
        | ReviewReason::RecipientGone
        | ReviewReason::Breaker { .. }
        | ReviewReason::Restored
        | ReviewReason::SharedLinkRevoked
        | ReviewReason::Outdated
        | ReviewReason::HeldTooLong
        | ReviewReason::TooShort { .. }
        | ReviewReason::DecidedOtherwise
        | ReviewReason::ContactChanged => Bearing::Time,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenBack {
    No,
    ByTheEhr,
    ByStaff,
}

pub(super) const fn is_taken_back(latest: &Link) -> TakenBack {
    match latest {
        Link::Recalled
        | Link::Revoked {
            by: RevokedBy::Cancelled | RevokedBy::Replaced | RevokedBy::SubjectChanged | RevokedBy::PatientMerged,
        } => TakenBack::ByTheEhr,
        // Who revoked the link that it shared may have seen that the address is wrong: a correction does not settle that.
        Link::Revoked { by: RevokedBy::Operator(_) | RevokedBy::Restore | RevokedBy::Recipient }
        | Link::Review { why: ReviewReason::SharedLinkRevoked } => TakenBack::ByStaff,
        Link::Recorded
        | Link::Held { .. }
        | Link::Review { .. }
        | Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Superseded { .. } => TakenBack::No,
    }
}

/// A patient who was never sent anything gets a new report, not an updated one.
const fn kind_after(latest: &Link) -> DeliveryKind {
    if latest.was_released() { DeliveryKind::Updated } else { DeliveryKind::New }
}

/// The first state of a delivery, by the decision's own schedule.
pub(super) fn first_state(decision: &Decision, schedule: Option<&Schedule>, now: UtcMillis) -> Link {
    match decision {
        Decision::Send { terms } => match schedule.map(|schedule| &schedule.timing) {
            Some(Timing::Now) => Link::Recorded,
            Some(Timing::At { until, .. }) if *until <= now => Link::Recorded,
            Some(Timing::At { until, basis }) => Link::Held { until: HoldEnd::At(*until), basis: *basis },
            Some(Timing::ByAPerson { requires, backstop_at, then, basis }) => {
                let before = BackstopAt { at: *backstop_at, then: *then };
                let by_itself = schedule.map_or(now, Schedule::by_itself);
                Link::Held { until: hold_end(terms, requires, before, by_itself), basis: *basis }
            }
            // Nothing says when: a person does.
            None => Link::Held { until: HoldEnd::Person, basis: terms.release.basis },
        },
        Decision::Review { why, .. } => Link::Review { why: why.clone() },
        Decision::Block { .. } => Link::Blocked,
    }
}

/// `by_itself`: when it may leave by itself; a talk ends neither hold nor law.
fn hold_end(terms: &Terms, requires: &BTreeSet<Requirement>, before: BackstopAt, by_itself: UtcMillis) -> HoldEnd {
    if requires.is_empty() {
        return HoldEnd::PersonBefore(before);
    }
    let after = match terms.release.by {
        ReleaseBy::Manual => AfterTalk::Person,
        ReleaseBy::Auto => AfterTalk::At(by_itself),
    };
    HoldEnd::Talk { before, after }
}

/// A send that something else than a rule objects to becomes a review; everything else stays.
pub(super) fn object(decision: Decision, objection: Option<ReviewReason>) -> Decision {
    match (decision, objection) {
        (Decision::Send { terms }, Some(why)) => Decision::Review { why, terms: Some(terms) },
        (unchanged @ (Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }), _) => unchanged,
    }
}

/// A doubt about whose report it is, or whether it stands, comes before every other reason to look.
pub(super) fn doubted(decision: Decision, doubt: Option<ReviewReason>) -> Decision {
    match (decision, doubt) {
        (Decision::Send { terms }, Some(why)) => Decision::Review { why, terms: Some(terms) },
        (Decision::Review { terms, .. }, Some(why)) => Decision::Review { why, terms },
        (unchanged @ (Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }), _) => unchanged,
    }
}
