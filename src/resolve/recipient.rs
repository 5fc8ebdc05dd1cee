//! Whom a reading is for, while they may have it.
//!
//! Must stay true: each recipient's chain is read and decided by itself; whoever is no longer named, or has lost what gave them the
//! right, gets nothing new, and what they have is refused until they may have it again; what a person must say of the patient's holds
//! for everybody.

use std::collections::BTreeSet;
use std::time::Duration;

use super::conclude::step;
use super::names::held_deliveries;
use super::others::OTHERS_SOUGHT_FOR;
use super::plan::{self, Doubt, OldLinks, Plan, TakenBack};
use super::prepare::Prepared;
use super::suspend::suspend;
use super::{PatientReading, ReadEhr, Resolve, ResolveError, back_off};
use crate::audit::{AuditEvent, Chain};
use crate::base::{UtcMillis, minutes, seconds};
use crate::fhir::{Choices, Further, Report, Subject, WhoElse, age_of, may_hide_somebody};
use crate::policy::facts::{Basis, FactPath, Gathered};
use crate::policy::{Decision, RecipientRole, RuleSet};
use crate::record::{Addressee, Link, LinkEvent, RevokedBy, SuspendedWhy};
use crate::store::{self, Delivery, SourceReading, SourceRow, StoreError, Tx};

/// A link stands so many readings long that do not say whether its holder may still have it.
const UNLEARNT_TRIES_MAX: i32 = 6;
/// While something waits for somebody who is not named, the EHR is asked so often.
const NAMED_AGAIN_AFTER: Duration = minutes(15);
/// After so many tries of the patient's own reading nobody else waits for it, and a person looks.
const PATIENTS_TRIES_MAX: i32 = 8;
const AFTER_THE_PATIENTS: Duration = seconds(5);
const NO_LONGER_NAMED: &str = "the EHR no longer names its recipient";

/// Whom a reading is for.
pub(super) enum Recipient {
    Patient,
    Further(Box<Further>),
    /// The report may not leave anyway.
    NotAsked,
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

    /// Where it can go; `of_patient` are the choices among the patient's own addresses and numbers.
    pub(super) fn choices<'a>(&'a self, of_patient: Option<&'a Choices>) -> Option<&'a Choices> {
        match self {
            Self::Patient => of_patient,
            Self::Further(further) => Some(&further.choices),
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

    /// The EHR no longer names whoever this chain is for: what is out is refused until it does; for good, where it is because the
    /// report is another patient's by now.
    pub(super) async fn conclude_recipient_gone(
        &self,
        source: SourceRow,
        report: &Report,
        patient: &PatientReading,
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let (is, content_hash) = (self.whose(&source, report, patient), report.content_hash);
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
                let next_at = look_again(tx, &source, content_hash, now)?;
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
                    next_at,
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
        let id = source.id.clone();
        let is_anything_open =
            self.store.read(move |conn| Ok(!store::open_deliveries_of(conn, &id)?.is_empty())).await?;
        let is_sought = is_anything_open || now.since(source.heard_at) < OTHERS_SOUGHT_FOR;
        let at = now.plus(back_off(source.tries));
        self.fail(source, why, is_sought.then_some(at)).await
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

/// When to look whether they are named again: while something waits for that, and for a day where they would have something new.
fn look_again(
    tx: &mut Tx,
    source: &SourceRow,
    content_hash: [u8; 32],
    now: UtcMillis,
) -> Result<Option<UtcMillis>, StoreError> {
    let open = store::open_deliveries_of(tx.conn(), &source.id)?;
    let does_anything_wait = open.iter().any(|delivery| plan::was_stopped_before_it_left(&delivery.state));
    let is_new_to_them = source.content_hash != Some(content_hash);
    let is_sought = does_anything_wait || is_new_to_them && now.since(source.heard_at) < OTHERS_SOUGHT_FOR;
    Ok(is_sought.then(|| now.plus(NAMED_AGAIN_AFTER)))
}

/// Whether the patient's own reading of this version comes first: what a person must say of theirs holds for everybody. It is made
/// soon; one that fails and fails keeps nobody waiting.
pub(super) fn comes_after_the_patients(
    tx: &mut Tx,
    source: &SourceRow,
    prepared: &Prepared,
    plan: &Plan,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    if source.addressee.is_patient() || !matches!(plan, Plan::Deliver { .. }) {
        return Ok(false);
    }
    let of_patient = store::source_of(tx.conn(), &source.key, Addressee::Patient)?;
    let is_behind = |row: &SourceRow| {
        row.gone_at.is_none() && row.read_version.as_ref() != Some(&prepared.version) && row.tries < PATIENTS_TRIES_MAX
    };
    let Some(row) = of_patient.filter(is_behind) else { return Ok(false) };
    store::hurry(tx, &row.id, now)?;
    store::put_off(tx, source, now.plus(AFTER_THE_PATIENTS))?;
    Ok(true)
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

/// What is under way to somebody whom the rules would not let have it any more, since what gave them the right is gone: the ground
/// on which they act, or a consent. A change of the rules alone ends nothing that is out.
pub(super) fn no_longer_theirs<'a>(
    source: &SourceRow,
    prepared: &Prepared,
    plan: &Plan,
    open: &'a [Delivery],
) -> Vec<&'a Delivery> {
    let stays_otherwise = matches!(plan, Plan::Unchanged | Plan::Deliver { old: OldLinks::Keep, .. });
    let is_refused = matches!(prepared.decision, Decision::Block { .. });
    if source.addressee.is_patient() || !is_refused || !stays_otherwise {
        return Vec::new();
    }
    let lost_a_ground = |delivery: &&Delivery| {
        delivery.facts.as_ref().is_some_and(|then| {
            let now = &prepared.facts;
            has_lost(&then.basis, &now.basis) || has_lost(&then.consents, &now.consents)
        })
    };
    open.iter().filter(lost_a_ground).collect()
}

fn has_lost<T: PartialEq>(then: &Gathered<T>, now: &Gathered<T>) -> bool {
    now.is_whole() && then.values().any(|one| !now.values().any(|other| other == one))
}

/// What is out is refused until they may have it again; what has not left does not leave.
pub(super) fn refuse(tx: &mut Tx, lost: &[Delivery], now: UtcMillis) -> Result<(), StoreError> {
    for delivery in lost {
        match delivery.state {
            Link::Recorded | Link::Held { .. } | Link::Review { .. } => step(tx, delivery, LinkEvent::Forbid, now)?,
            Link::Live { .. }
            | Link::Suspended { .. }
            | Link::Blocked
            | Link::Spent
            | Link::Expired
            | Link::Revoked { .. }
            | Link::Recalled
            | Link::Superseded { .. } => {
                suspend(tx, std::slice::from_ref(delivery), SuspendedWhy::RecipientGone, now)?;
            }
        }
    }
    Ok(())
}

pub(super) fn note(
    tx: &mut Tx,
    source: &SourceRow,
    event: Option<AuditEvent>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    match event {
        Some(event) => store::record(tx, Chain::Source(source.id.clone()), now, event),
        None => Ok(()),
    }
}
