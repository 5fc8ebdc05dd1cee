//! Whom a reading is for, and for whom else the report is followed from now on.
//!
//! Must stay true: each recipient's chain is read and decided by itself, and whoever is no longer named gets nothing new; the
//! patient's chain alone takes up others, and only when it says something new: an old report never goes to a new guardian. One
//! mailbox is written to once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::conclude::{Ground, step};
use super::document::Course;
use super::names::held_deliveries;
use super::plan::{self, Doubt, Now, Plan, TakenBack};
use super::prepare::Prepared;
use super::suspend::suspend;
use super::{InForce, PatientReading, Read, ReadEhr, Resolve, ResolveError, back_off, facts};
use crate::audit::{AuditEvent, Chain};
use crate::base::{UtcMillis, hours, minutes, random, seconds};
use crate::fhir::{ContactChoice, Further, Report, Subject, WhoElse, age_of};
use crate::policy::facts::{Basis, FactPath, Gathered, Lack};
use crate::policy::{self, Decision, Facts, Moment, RecipientRole, ReviewReason, RuleSet};
use crate::record::{Addressee, Link, LinkEvent, RevokedBy, SuspendedWhy};
use crate::store::{self, Delivery, SourceReading, SourceRow, StoreError, Tx};

/// Others whom an EHR did not name in time are looked for again so often, and for so long.
const OTHERS_AGAIN_AFTER: Duration = minutes(2);
const OTHERS_SOUGHT_FOR: Duration = hours(24);
/// So many further recipients has one report.
const RECIPIENTS_MAX: usize = 20;
/// A link stands so many readings long that do not say whether its holder may still have it.
const UNLEARNT_TRIES_MAX: i32 = 3;
/// After so many tries another's reading no longer waits for the patient's, and a person looks.
const AFTER_THE_PATIENTS_TRIES_MAX: i32 = 8;
pub(super) const AFTER_THE_PATIENTS: Duration = seconds(5);
const NO_LONGER_NAMED: &str = "the EHR no longer names its recipient";

/// Whom a reading is for.
pub(super) enum Recipient {
    Patient,
    Further(Box<Further>),
    /// The report may not leave anyway.
    NotAsked,
}

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

/// A report that is also, or only, for others than its patient.
pub(super) enum Whom {
    /// With the others to whom it may go.
    Patient(Gathered<Further>),
    Further(Box<Further>),
    /// The EHR no longer names them.
    Gone,
    /// It did not say.
    Unlearnt {
        why: String,
    },
}

impl Recipient {
    pub(super) const fn role(&self) -> RecipientRole {
        match self {
            Self::Patient | Self::NotAsked => RecipientRole::Patient,
            Self::Further(further) => further.role,
        }
    }

    /// On what ground they act for the patient.
    pub(super) fn basis(&self) -> Gathered<Basis> {
        match self {
            Self::Patient | Self::NotAsked => Gathered::none(),
            Self::Further(further) => as_fact(&further.basis),
        }
    }

    /// Where it goes; `of_patient` is the choice among the patient's own addresses.
    pub(super) fn choice<'a>(&'a self, of_patient: Option<&'a ContactChoice>) -> Option<&'a ContactChoice> {
        match self {
            Self::Patient => of_patient,
            Self::Further(further) => Some(&further.choice),
            Self::NotAsked => None,
        }
    }
}

pub(super) fn as_fact(basis: &BTreeSet<Basis>) -> Gathered<Basis> {
    let mut fact = Gathered::none();
    for one in basis {
        fact.add(*one, FactPath("RelatedPerson.relationship".to_owned()));
    }
    fact
}

impl Resolve {
    /// Who gets this reading, and who else may: those of `wanted` for the patient's, and for another's who they are.
    pub(super) async fn whom(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        report: &Report,
        patient: &PatientReading,
        (rules, wanted): (&RuleSet, &BTreeSet<RecipientRole>),
    ) -> Whom {
        let now = self.clock.now();
        let sought = match source.addressee {
            Addressee::Patient => wanted.clone(),
            Addressee::Further(_) => BTreeSet::from([source.recipient]),
        };
        let found = match patient {
            PatientReading::Read(patient) | PatientReading::Merged(Some(patient)) if !sought.is_empty() => {
                let age = age_of(patient, now, rules.timezone().unwrap_or(ehr.zone));
                let sought = WhoElse { roles: sought, age, adult_at_years: ehr.adult_at_years };
                ehr.client.further_recipients(report, patient, &sought, now).await
            }
            PatientReading::Read(_) | PatientReading::Merged(_) | PatientReading::NotAsked => Gathered::none(),
            PatientReading::Unusable { why } => match source.addressee {
                Addressee::Patient => Gathered::none(),
                Addressee::Further(_) => return Whom::Unlearnt { why: why.clone() },
            },
        };
        match source.addressee {
            Addressee::Patient => Whom::Patient(found),
            addressee @ Addressee::Further(_) => {
                let lack = found.lacking.iter().copied().find(|lack| may_hide_somebody(*lack));
                let mut all = found.found.into_iter().map(|sighted| sighted.value);
                match (all.find(|one| self.addressee_of(source, one) == addressee), lack) {
                    (Some(further), _) => Whom::Further(Box::new(further)),
                    (None, None) => Whom::Gone,
                    (None, Some(lack)) => {
                        Whom::Unlearnt { why: format!("whether its recipient still is one: {}", lack.as_str()) }
                    }
                }
            }
        }
    }

    pub(super) fn addressee_of(&self, source: &SourceRow, further: &Further) -> Addressee {
        self.vault.addressee(&source.key.ehr, further.role, &further.who)
    }

    fn mailbox_of(&self, choice: Option<&ContactChoice>) -> Option<[u8; 32]> {
        match choice {
            Some(ContactChoice::One { address, .. }) => Some(self.vault.mailbox_index(address)),
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

    /// Who else may get it, with what the rules would say.
    pub(super) fn others(&self, ehr: &ReadEhr, source: &SourceRow, read: &Read, rules: &InForce) -> Vec<Other> {
        let further = &read.beside.further;
        if further.found.is_empty() {
            return Vec::new();
        }
        let moment = Moment { now: rules.at, zone: ehr.zone };
        // What is recorded of the patient's address says nothing of theirs.
        let of_patients = Facts { contact: Gathered::default(), ..facts::facts(ehr, read, &rules.rules, rules.at) };
        let outlook = |one: &Further| {
            let facts = Facts { recipient: one.role, basis: as_fact(&one.basis), ..of_patients.clone() };
            let decision = policy::decide_for_the_record(&rules.rules, &facts, moment).decision;
            match decision.within(&self.available) {
                Decision::Review { why: ReviewReason::NotAvailable { what }, .. } => Outlook::NotOffered { what },
                Decision::Review { .. } | Decision::Send { .. } => Outlook::MayGo,
                Decision::Block { .. } => Outlook::Blocked,
            }
        };
        let is_reachable = |one: &&Further| !matches!(one.choice, ContactChoice::None { .. });
        let all = further.values().filter(is_reachable).take(RECIPIENTS_MAX);
        all.map(|one| Other {
            role: one.role,
            addressee: self.addressee_of(source, one),
            mailbox: self.mailbox_of(Some(&one.choice)),
            outlook: outlook(one),
        })
        .collect()
    }

    /// The EHR no longer names whoever this chain is for: what is out is refused until it does; for good, where it is because the
    /// report is another patient's by now.
    pub(super) async fn conclude_recipient_gone(
        &self,
        source: SourceRow,
        report: &Report,
        patient: &PatientReading,
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let is = self.whose(&source, report, patient);
        self.store
            .write(move |tx| {
                let open = held_deliveries(tx, &source.id)?;
                match why_for_good(&source, &is, open.last()) {
                    Some(by) => {
                        for delivery in &open {
                            step(tx, delivery, LinkEvent::Revoke { by: by.clone() }, now)?;
                        }
                    }
                    None => suspend(tx, &open, SuspendedWhy::RecipientGone, now)?,
                }
                if !open.is_empty() {
                    for other in store::family_of(tx.conn(), &source.id)? {
                        store::read_again(tx, &other, now)?;
                    }
                }
                let is_news = source.why.as_deref() != Some(NO_LONGER_NAMED);
                note(tx, &source, is_news.then_some(AuditEvent::RecipientGone), now)?;
                let reading = SourceReading {
                    at: now,
                    version: source.read_version.clone(),
                    clinic: source.clinic.clone(),
                    status: source.status,
                    content_hash: source.content_hash,
                    subject_index: source.subject_index,
                    gone_at: None,
                    next_at: None,
                    why: Some(NO_LONGER_NAMED.to_owned()),
                };
                store::finish_source(tx, &source, &reading)
            })
            .await?;
        Ok(())
    }

    /// Nobody can say whether whoever this chain is for still is one. For a while their link stands, unless the report says something
    /// else by now.
    pub(super) async fn conclude_recipient_unlearnt(
        &self,
        source: SourceRow,
        report: &Report,
        why: String,
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let subject = self.subject_index(&source, report);
        let says_otherwise = source.content_hash.is_some_and(|known| known != report.content_hash)
            || matches!((source.subject_index, subject), (Some(was), is) if is != Some(was));
        if says_otherwise || source.tries >= UNLEARNT_TRIES_MAX {
            let id = source.id.clone();
            self.store
                .write(move |tx| {
                    let mut open = held_deliveries(tx, &id)?;
                    open.retain(|delivery| matches!(delivery.state, Link::Live { .. }));
                    suspend(tx, &open, SuspendedWhy::RecipientGone, now)
                })
                .await?;
        }
        let at = now.plus(back_off(source.tries));
        self.fail(source, why, Some(at)).await
    }

    fn subject_index(&self, source: &SourceRow, report: &Report) -> Option<[u8; 32]> {
        match &report.subject {
            Subject::Patient(id) => Some(self.vault.patient_index(&source.key.ehr, id)),
            Subject::None | Subject::Unusable { .. } => None,
        }
    }

    fn whose(&self, source: &SourceRow, report: &Report, patient: &PatientReading) -> Whose {
        let subject = self.subject_index(source, report);
        let patient = match patient {
            PatientReading::Merged(Some(into)) => Some(self.vault.patient_index(&source.key.ehr, &into.id)),
            PatientReading::Merged(None) => match &report.subject {
                Subject::Patient(id) => Some(self.vault.lost_patient_index(&source.key.ehr, id)),
                Subject::None | Subject::Unusable { .. } => None,
            },
            PatientReading::Read(_) => subject,
            PatientReading::NotAsked | PatientReading::Unusable { .. } => None,
        };
        Whose { subject, patient }
    }
}

/// Whose a report is: as it says, and by the record that stands for them.
struct Whose {
    subject: Option<[u8; 32]>,
    patient: Option<[u8; 32]>,
}

/// Why what is out ends for good.
fn why_for_good(source: &SourceRow, is: &Whose, newest: Option<&Delivery>) -> Option<RevokedBy> {
    let differ = |was: Option<[u8; 32]>, is: Option<[u8; 32]>| matches!((was, is), (Some(was), Some(is)) if was != is);
    if differ(source.subject_index, is.subject) {
        return Some(RevokedBy::SubjectChanged);
    }
    let went_to = newest.and_then(|newest| newest.patient_index);
    differ(went_to, is.patient).then_some(RevokedBy::PatientMerged)
}

/// Whether somebody whom the EHR named once may be among those whom it does not show: who is named by words alone, or elsewhere,
/// never was.
const fn may_hide_somebody(lack: Lack) -> bool {
    match lack {
        Lack::TimedOut | Lack::Refused | Lack::Unreadable | Lack::TooMany => true,
        Lack::NotFound | Lack::Elsewhere | Lack::NotAsked => false,
    }
}

/// Whether the patient's own reading of this version comes first: what a person must say of theirs holds for everybody.
pub(super) fn comes_after_the_patients(
    tx: &mut Tx,
    source: &SourceRow,
    prepared: &Prepared,
    plan: &Plan,
) -> Result<bool, StoreError> {
    let is_new = matches!(plan, Plan::Deliver { .. });
    if source.addressee.is_patient() || !is_new || source.tries >= AFTER_THE_PATIENTS_TRIES_MAX {
        return Ok(false);
    }
    let of_patient = store::source_of(tx.conn(), &source.key, Addressee::Patient)?;
    Ok(of_patient.is_some_and(|row| row.gone_at.is_none() && row.read_version.as_ref() != Some(&prepared.version)))
}

/// Why nobody else gets a report by itself of which a person must first say whose it is, or whether it stands, or said that the patient
/// shall not have it.
pub(super) fn under_the_patients_doubt(
    tx: &mut Tx,
    source: &SourceRow,
    prepared: &Prepared,
    plan: Plan,
) -> Result<Plan, StoreError> {
    let Plan::Deliver { kind, old, doubt: Doubt::None } = plan else { return Ok(plan) };
    if source.addressee.is_patient() {
        return Ok(plan);
    }
    let of_patient = store::source_of(tx.conn(), &source.key, Addressee::Patient)?;
    let doubt = match of_patient {
        None => Doubt::Reinstated,
        Some(row) => {
            let is_behind = row.read_version.as_ref() != Some(&prepared.version);
            let latest = store::latest_delivery_of(tx.conn(), &row.id)?.map(|latest| latest.state);
            let of_theirs = latest.as_ref().and_then(plan::undecided);
            let is_refused = latest.as_ref().is_some_and(|state| plan::is_taken_back(state) == TakenBack::ByStaff);
            of_theirs.unwrap_or(if is_behind || is_refused { Doubt::Reinstated } else { Doubt::None })
        }
    };
    Ok(Plan::Deliver { kind, old, doubt })
}

/// What is out to somebody whom the rules would not let have it any more, since what gave them the right is gone: the ground on
/// which they act, a consent, the patient's age. A change of the rules alone ends nothing that is out.
pub(super) fn no_longer_theirs<'a>(
    source: &SourceRow,
    prepared: &Prepared,
    plan: &Plan,
    open: &'a [Delivery],
) -> Vec<&'a Delivery> {
    let is_refused = matches!((plan, &prepared.decision), (Plan::Unchanged, Decision::Block { .. }));
    if source.addressee.is_patient() || !is_refused {
        return Vec::new();
    }
    let lost_a_ground = |delivery: &&Delivery| {
        delivery.facts.as_ref().is_some_and(|then| {
            let now = &prepared.facts;
            then.basis != now.basis || then.consents != now.consents || then.age != now.age
        })
    };
    open.iter().filter(lost_a_ground).collect()
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
    let (is_heard_by_all, says_something_new) = match course {
        Course::AsPlanned(Plan::Deliver { .. }) => (true, true),
        Course::AsPlanned(Plan::Recall | Plan::Revoke(_) | Plan::NotForSending) => (true, false),
        Course::SameAs { .. } => (true, source.content_hash != Some(read.content_hash)),
        Course::AsPlanned(Plan::Unchanged) => (false, false),
    };
    if is_heard_by_all {
        store::catch_up_others(tx, &source.key, &prepared.version, now)?;
    }
    let since = if says_something_new { Some(now) } else { source.others_since };
    let Some(since) = since.filter(|_| plan::may_leave(read.status)) else { return Ok(None) };
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
        if store::follow_for(tx, source, whom, now, &mut random::system())? {
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

fn note(tx: &mut Tx, source: &SourceRow, event: Option<AuditEvent>, now: UtcMillis) -> Result<(), StoreError> {
    match event {
        Some(event) => store::record(tx, Chain::Source(source.id.clone()), now, event),
        None => Ok(()),
    }
}
