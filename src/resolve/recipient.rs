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
use super::plan::{self, Doubt, Now, Plan};
use super::prepare::{Prepared, version_of};
use super::suspend::suspend;
use super::{GONE_AGAIN_AFTER, InForce, PatientReading, Read, ReadEhr, Resolve, ResolveError, facts};
use crate::audit::{AuditEvent, Chain};
use crate::base::{UtcMillis, hours, minutes, random};
use crate::fhir::{ContactChoice, Further, Patient, Report, WhoElse, age_of};
use crate::policy::facts::{Basis, FactPath, Gathered, Lack};
use crate::policy::{self, Decision, Facts, Moment, RecipientRole, ReviewReason, RuleSet};
use crate::record::{Addressee, Link, LinkEvent, RevokedBy, SuspendedWhy};
use crate::store::{self, SourceReading, SourceRow, StoreError, Tx};

/// Others whom an EHR did not name in time are looked for again so often, and for so long.
const OTHERS_AGAIN_AFTER: Duration = minutes(2);
const OTHERS_SOUGHT_FOR: Duration = hours(24);

/// Whom a reading is for.
pub(super) enum Recipient {
    Patient,
    Further(Box<Further>),
    /// The report may not leave anyway.
    NotAsked,
}

/// Somebody else to whom the report may go.
pub(super) enum Other {
    Follow {
        role: RecipientRole,
        addressee: Addressee,
    },
    /// The rules ask for what this installation cannot give.
    NotOffered {
        role: RecipientRole,
        what: String,
    },
}

impl Other {
    pub(super) fn is_followed_as(&self, wanted: Addressee) -> bool {
        match self {
            Self::Follow { addressee, .. } => *addressee == wanted,
            Self::NotOffered { .. } => false,
        }
    }
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
    /// Who gets this reading, and who else may.
    pub(super) async fn whom(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        report: &Report,
        patient: &PatientReading,
        rules: &RuleSet,
    ) -> Whom {
        let now = self.clock.now();
        let standing = match patient {
            PatientReading::Read(patient) | PatientReading::Merged(Some(patient)) => Some(patient.as_ref()),
            PatientReading::Merged(None) | PatientReading::NotAsked | PatientReading::Unusable { .. } => None,
        };
        let sought = |patient: &Patient, roles| WhoElse {
            roles,
            age: age_of(patient, now, rules.timezone().unwrap_or(ehr.zone)),
            adult_at_years: ehr.adult_at_years,
        };
        match (source.addressee, standing) {
            (Addressee::Patient, None) => Whom::Patient(Gathered::none()),
            (Addressee::Patient, Some(patient)) => {
                let wanted = rules.further_roles();
                if wanted.is_empty() {
                    return Whom::Patient(Gathered::none());
                }
                let found = ehr.client.further_recipients(report, patient, &sought(patient, wanted), now).await;
                Whom::Patient(found)
            }
            (Addressee::Further(_), None) => match patient {
                PatientReading::Merged(_) => Whom::Gone,
                PatientReading::Unusable { why } => Whom::Unlearnt { why: why.clone() },
                PatientReading::Read(_) | PatientReading::NotAsked => {
                    Whom::Unlearnt { why: "the patient was not read".to_owned() }
                }
            },
            (addressee @ Addressee::Further(_), Some(patient)) => {
                let any = BTreeSet::from(RecipientRole::ALL);
                let found = ehr.client.further_recipients(report, patient, &sought(patient, any), now).await;
                let lack = found.lacking.first().copied();
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

    /// For whom else the report is to be followed: each mailbox once, and none that has it as the patient's. What a rule asks and
    /// nobody can give here would only ever wait for a person, for each report: that is said once, in the audit.
    pub(super) fn others_to_follow(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        read: &Read,
        of_patient: Option<&ContactChoice>,
        rules: &InForce,
    ) -> Vec<Other> {
        let further = &read.beside.further;
        if further.found.is_empty() {
            return Vec::new();
        }
        let moment = Moment { now: rules.at, zone: ehr.zone };
        let of_patients = facts::facts(ehr, read, &rules.rules, rules.at);
        let what_lacks = |one: &Further| {
            let facts = Facts { recipient: one.role, basis: as_fact(&one.basis), ..of_patients.clone() };
            let decision = policy::decide_for_the_record(&rules.rules, &facts, moment).decision;
            match decision.within(&self.available) {
                Decision::Review { why: ReviewReason::NotAvailable { what }, .. } => Some(what),
                Decision::Review { .. } | Decision::Send { .. } | Decision::Block { .. } => None,
            }
        };
        let mut mailboxes = BTreeSet::new();
        if let Some(ContactChoice::One { address, .. }) = of_patient {
            mailboxes.insert(address.mailbox_form());
        }
        let mut others = Vec::new();
        for one in further.values() {
            let is_another = match &one.choice {
                ContactChoice::One { address, .. } => mailboxes.insert(address.mailbox_form()),
                // A person says which, or whether at all.
                ContactChoice::Tie | ContactChoice::PatientUnusable { .. } => true,
                ContactChoice::None { .. } => false,
            };
            if is_another {
                let addressee = self.addressee_of(source, one);
                others.push(match what_lacks(one) {
                    None => Other::Follow { role: one.role, addressee },
                    Some(what) => Other::NotOffered { role: one.role, what },
                });
            }
        }
        others
    }

    /// The EHR no longer names whoever this chain is for: what is out is refused, and ends when a second reading says the same.
    pub(super) async fn conclude_recipient_gone(&self, source: SourceRow, report: &Report) -> Result<(), ResolveError> {
        let (now, version) = (self.clock.now(), version_of(report)?);
        self.store
            .write(move |tx| {
                let next_at = end_or_suspend(tx, &source, now)?;
                store::record(tx, Chain::Source(source.id.clone()), now, AuditEvent::RecipientGone)?;
                let reading = SourceReading {
                    at: now,
                    version: Some(version),
                    clinic: source.clinic.clone(),
                    status: source.status,
                    content_hash: source.content_hash,
                    subject_index: source.subject_index,
                    gone_at: None,
                    next_at,
                    why: Some("the EHR no longer names its recipient".to_owned()),
                };
                store::finish_source(tx, &source, &reading)
            })
            .await?;
        Ok(())
    }
}

/// When to look again, if anything waits for a second look.
fn end_or_suspend(tx: &mut Tx, source: &SourceRow, now: UtcMillis) -> Result<Option<UtcMillis>, StoreError> {
    let mut next_at = None;
    for delivery in held_deliveries(tx, &source.id)? {
        match delivery.state {
            Link::Live { .. } => {
                suspend(tx, std::slice::from_ref(&delivery), SuspendedWhy::RecipientGone, now)?;
                next_at = Some(now.plus(GONE_AGAIN_AFTER));
            }
            Link::Suspended { .. } if now.since(delivery.state_at) < GONE_AGAIN_AFTER => {
                next_at = Some(now.plus(GONE_AGAIN_AFTER));
            }
            Link::Suspended { .. } | Link::Recorded | Link::Held { .. } | Link::Review { .. } => {
                step(tx, &delivery, LinkEvent::Revoke { by: RevokedBy::RecipientGone }, now)?;
            }
            Link::Blocked
            | Link::Spent
            | Link::Expired
            | Link::Revoked { .. }
            | Link::Recalled
            | Link::Superseded { .. } => {}
        }
    }
    Ok(next_at)
}

/// Why nobody else gets a report of which a person must first say whose it is, or whether it stands.
pub(super) fn under_the_patients_doubt(tx: &mut Tx, source: &SourceRow, plan: Plan) -> Result<Plan, StoreError> {
    let Plan::Deliver { kind, old, doubt: Doubt::None } = plan else { return Ok(plan) };
    if source.addressee.is_patient() {
        return Ok(plan);
    }
    let Some(of_patient) = store::source_of(tx.conn(), &source.key, Addressee::Patient)? else { return Ok(plan) };
    let latest = store::latest_delivery_of(tx.conn(), &of_patient.id)?;
    let doubt = latest.and_then(|latest| plan::undecided(&latest.state)).unwrap_or(Doubt::None);
    Ok(Plan::Deliver { kind, old, doubt })
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
    let says_something_new = match course {
        Course::AsPlanned(Plan::Deliver { .. }) => true,
        Course::SameAs { .. } => source.content_hash != Some(read.content_hash),
        Course::AsPlanned(Plan::Recall | Plan::Revoke(_) | Plan::NotForSending | Plan::Unchanged) => false,
    };
    let since = if says_something_new { Some(now) } else { source.others_since };
    let Some(since) = since.filter(|_| source.addressee.is_patient() && plan::may_leave(read.status)) else {
        return Ok(None);
    };
    for other in &prepared.others {
        let event = match other {
            Other::Follow { role, addressee } => {
                let is_new = store::follow_for(tx, source, *addressee, now, &mut random::system())?;
                is_new.then_some(AuditEvent::FollowedFor { recipient: *role })
            }
            Other::NotOffered { role, what } => {
                let event = AuditEvent::NotFollowedFor { recipient: *role, what: what.clone() };
                says_something_new.then_some(event)
            }
        };
        note(tx, source, event, now)?;
    }
    let (sought, event) = match (prepared.others_lacking.contains(&Lack::TimedOut), prepared.others_lacking.first()) {
        (true, _) if now.since(since) < OTHERS_SOUGHT_FOR => (Some(since), None),
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
    Ok(sought.map(|_| now.plus(OTHERS_AGAIN_AFTER)))
}

fn note(tx: &mut Tx, source: &SourceRow, event: Option<AuditEvent>, now: UtcMillis) -> Result<(), StoreError> {
    match event {
        Some(event) => store::record(tx, Chain::Source(source.id.clone()), now, event),
        None => Ok(()),
    }
}
