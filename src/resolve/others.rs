//! For whom else a report is followed from now on.
//!
//! Must stay true: the patient's chain alone takes up others, and only when it says something new: an old report never goes to a new
//! guardian. One mailbox is written to once; nobody is forgotten because an EHR was slow.

use std::collections::BTreeSet;
use std::time::Duration;

use super::conclude::Ground;
use super::document::Course;
use super::plan::{self, Now, Plan};
use super::prepare::Prepared;
use super::recipient::{as_fact, note};
use super::{InForce, Read, ReadEhr, Resolve, facts};
use crate::audit::AuditEvent;
use crate::base::{UtcMillis, hours, minutes};
use crate::fhir::{Choices, ContactChoice, Further};
use crate::policy::facts::Lack;
use crate::policy::{self, Channel, Decision, Facts, Moment, RecipientRole, ReviewReason};
use crate::record::Addressee;
use crate::store::{self, SourceRow, StoreError, Tx};

/// Others whom an EHR did not name in time are looked for again so often, and for so long.
const OTHERS_AGAIN_AFTER: Duration = minutes(2);
pub(super) const OTHERS_SOUGHT_FOR: Duration = hours(24);
/// So many further recipients has one report.
const RECIPIENTS_MAX: usize = 20;
/// Somebody else to whom the report may go.
pub(super) struct Other {
    pub(super) role: RecipientRole,
    pub(super) addressee: Addressee,
    /// Nothing where nobody can say which of several it is.
    mailbox: Option<[u8; 32]>,
    outlook: Outlook,
}

/// What the rules would say to them.
#[derive(Clone, PartialEq, Eq)]
enum Outlook {
    MayGo,
    Blocked,
    /// They ask for what this installation cannot give.
    NotOffered {
        what: String,
    },
}

impl Resolve {
    fn mailbox_of(&self, choice: Option<&ContactChoice>) -> Option<[u8; 32]> {
        match choice {
            Some(ContactChoice::One { contact, .. }) => Some(self.vault.reader_index(contact)),
            Some(ContactChoice::Tie | ContactChoice::None { .. } | ContactChoice::PatientUnusable { .. }) | None => {
                None
            }
        }
    }

    /// The mailbox that the patient's own chain writes to, if the rules let it.
    pub(super) fn patients_mailbox(&self, choice: Option<&ContactChoice>, decision: &Decision) -> Option<[u8; 32]> {
        match decision {
            Decision::Send { .. } | Decision::Review { .. } => self.mailbox_of(choice),
            Decision::Block { .. } => None,
        }
    }

    /// Where somebody would be written to: by the first channel that the rules allow and by which they can be.
    fn likely_choice<'a>(&self, choices: &'a Choices, decision: &Decision) -> Option<&'a ContactChoice> {
        let allowed = decision.terms_to_leave_under().channels;
        let is_possible = |channel: &Channel| self.available.channels.contains(channel) && allowed.contains(channel);
        let possible = choices.order().into_iter().filter(is_possible).map(|channel| choices.by(channel));
        possible.into_iter().find(|choice| matches!(choice, ContactChoice::One { .. }))
    }

    /// Who else may get it, with what the rules would say.
    pub(super) fn others(&self, ehr: &ReadEhr, source: &SourceRow, read: &Read, rules: &InForce) -> Vec<Other> {
        let further = &read.beside.further;
        if further.found.is_empty() {
            return Vec::new();
        }
        let moment = Moment { now: rules.at, zone: ehr.zone };
        // What is recorded of theirs is looked up when it is read for them.
        let of_patients = facts::facts(ehr, read, &rules.rules, rules.at);
        let decision_for = |one: &Further| {
            let facts = Facts { recipient: one.role, basis: as_fact(&one.basis), ..of_patients.clone() };
            policy::decide_for_the_record(&rules.rules, &facts, moment).decision
        };
        let outlook = |decision: Decision| match decision.within(&self.available) {
            Decision::Review { why: ReviewReason::NotAvailable { what }, .. } => Outlook::NotOffered { what },
            Decision::Review { .. } | Decision::Send { .. } => Outlook::MayGo,
            Decision::Block { .. } => Outlook::Blocked,
        };
        let is_reachable = |one: &&Further| !one.choices.are_none(self.available.channels.iter().copied());
        let all = further.values().filter(is_reachable).take(RECIPIENTS_MAX);
        all.map(|one| {
            let decision = decision_for(one);
            Other {
                role: one.role,
                addressee: self.addressee_of(source, one),
                mailbox: self.mailbox_of(self.likely_choice(&one.choices, &decision)),
                outlook: outlook(decision),
            }
        })
        .collect()
    }
}

/// Begins to follow the report for others when it says something new, and looks for them again while the EHR did not say all.
/// Returns when to read it for that.
pub(super) fn follow_for_others(
    tx: &mut Tx,
    ground: &Ground<'_>,
    source: &SourceRow,
    prepared: &Prepared,
    course: &Course,
    read: &Now,
) -> Result<Option<UtcMillis>, StoreError> {
    let now = ground.now;
    if !source.addressee.is_patient() {
        return Ok(None);
    }
    let since = if says_something_new(source, course, read) { Some(now) } else { source.others_since };
    let Some(since) = since.filter(|_| plan::may_leave(read.status)) else {
        // Whoever comes while it is unfinished is found when it is finished.
        if source.others_since.is_some() {
            store::look_for_others(tx, &source.id, None)?;
        }
        return Ok(None);
    };
    take_up(tx, source, prepared, now)?;
    let sought_for = now.since(since);
    let (sought, event) = match (prepared.others_lacking.contains(&Lack::TimedOut), prepared.others_lacking.first()) {
        (true, _) if sought_for < OTHERS_SOUGHT_FOR => (Some(since), None),
        (_, Some(lack)) => (None, Some(AuditEvent::OthersUnlearnt { why: lack.as_str().to_owned() })),
        (_, None) => (None, None),
    };
    if event.is_some() {
        tracing::warn!(source = %source.id, ehr = %source.key.ehr, "who else gets a report could not be learnt");
    }
    note(tx, source, event, now)?;
    if sought != source.others_since {
        store::look_for_others(tx, &source.id, sought)?;
    }
    // Twice as long each time.
    Ok(sought.map(|_| now.plus(sought_for.max(OTHERS_AGAIN_AFTER))))
}

fn says_something_new(source: &SourceRow, course: &Course, read: &Now) -> bool {
    match course {
        Course::AsPlanned(Plan::Deliver { .. }) => true,
        Course::AsPlanned(Plan::Recall | Plan::Revoke(_) | Plan::NotForSending | Plan::Unchanged) => false,
        Course::SameAs { .. } => source.content_hash != Some(read.content_hash),
    }
}

/// Whether what the patient's own reading learnt must be learnt for the others, too. Nobody else follows what was never read.
pub(super) fn concerns_others(source: &SourceRow, course: &Course, read: &Now) -> bool {
    let is_taken_back = matches!(course, Course::AsPlanned(Plan::Recall | Plan::Revoke(_) | Plan::NotForSending));
    source.addressee.is_patient()
        && source.read_version.is_some()
        && (is_taken_back || says_something_new(source, course, read))
}

/// Each mailbox once: those first for whom it is followed already, then those who may have it.
fn take_up(tx: &mut Tx, source: &SourceRow, prepared: &Prepared, now: UtcMillis) -> Result<(), StoreError> {
    let mut followed = Vec::new();
    for other in &prepared.others {
        if store::source_of(tx.conn(), &source.key, other.addressee)?.is_some() {
            followed.push(other.addressee);
        }
    }
    for other in to_follow(prepared, &followed) {
        let whom = (other.role, other.addressee);
        if store::follow_for(tx, source, whom, &prepared.version, now)? {
            note(tx, source, Some(AuditEvent::FollowedFor { recipient: other.role }), now)?;
        }
    }
    // Said when there is something new, not each time that others are looked for.
    for other in prepared.others.iter().filter(|_| source.others_since.is_none()) {
        if let Outlook::NotOffered { what } = &other.outlook {
            let event = AuditEvent::NotFollowedFor { recipient: other.role, what: what.clone() };
            note(tx, source, Some(event), now)?;
        }
    }
    Ok(())
}

/// Those for whom the report is to be followed besides `followed`.
pub(super) fn to_follow<'a>(prepared: &'a Prepared, followed: &[Addressee]) -> Vec<&'a Other> {
    let is_followed = |other: &&Other| followed.contains(&other.addressee);
    let of_followed = prepared.others.iter().filter(is_followed).filter_map(|other| other.mailbox);
    let mut mailboxes: BTreeSet<[u8; 32]> = prepared.patients_mailbox.into_iter().chain(of_followed).collect();
    let with = |outlook: Outlook| prepared.others.iter().filter(move |other| other.outlook == outlook);
    let new = with(Outlook::MayGo).chain(with(Outlook::Blocked)).filter(|other| !is_followed(other));
    new.filter(|other| other.mailbox.is_none_or(|mailbox| mailboxes.insert(mailbox))).collect()
}
