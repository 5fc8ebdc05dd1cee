//! Reading what changed, and deciding what follows.
//!
//! Job: under a lease per resource, read the report and its patient again from the EHR and conclude in one
//! transaction: a new delivery, a recall, a replacement, or nothing.
//! Must stay true: the re-read wins over whatever the event said, and never regresses; a recall acts before
//! anything else; doubt is a review with its reason; nothing of the attachment is kept here.
//! Must not know: how events arrive, how anything leaves.

mod again;
mod compare;
mod conclude;
mod contact;
mod deliver;
mod document;
mod facts;
mod learnt;
mod names;
mod others;
mod pick;
mod plan;
mod prepare;
mod recipient;
mod redecide;
mod rehearse;
mod scene;
mod suspend;
#[cfg(test)]
mod tests;
mod timetable;
mod turns;
mod word;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use compare::Fetched;
use facts::Beside;
use recipient::{Recipient, Whom};
pub use rehearse::{Ended, REPORTS_MAX, Rehearsal, RehearsalAsked, UnmappedCode};
pub use timetable::{InForce, Timetable};

use crate::audit::{AuditEvent, Chain};
use crate::base::{Bell, ClinicId, Clock, FhirId, UtcMillis, minutes, seconds};
use crate::fhir::{
    EhrClient, EhrError, FaultClass, FhirBody, Further, PatientStanding, ReadAnswer, Report, Subject, Written, age_of,
};
use crate::keys::Vault;
use crate::paper::Letterhead;
use crate::policy::facts::{FactPath, Gathered, Lack, Word};
use crate::policy::when::Predicate;
use crate::policy::{Available, Need, RecipientRole, ReportStatus, RuleSet};
use crate::store::{self, Mode, SourceRow, Store, StoreError};

/// Resources read at the same time in one turn of an EHR.
const READINGS_PER_TURN: usize = 8;
/// The waits after failed readings.
const BACK_OFF: [Duration; 6] = [seconds(2), seconds(10), seconds(30), minutes(2), minutes(10), minutes(30)];
/// After so many tries, about a day, a person sees a report that was heard of and could never be read.
const UNREAD_TRIES_MAX: i32 = 50;
/// How often an EHR may show an older version than it announced before the shown one is believed.
const STALE_READS_MAX: i32 = 6;
/// How often results that the EHR does not show are asked for, before a person sees a report that nobody knows yet.
const UNREAD_RESULTS_MAX: i32 = 4;
/// A resource that vanished is looked for again after this time, before it counts as taken back.
const GONE_AGAIN_AFTER: Duration = minutes(1);
/// More resources gone within [`GONE_WINDOW`] than this look like a failure of the EHR.
const GONE_MAX: i64 = 5;
const GONE_WINDOW: Duration = minutes(60);

/// What resolving must know of one EHR.
pub struct ReadEhr {
    pub client: Arc<EhrClient>,
    /// Whose reports these are; `None` sends them to review.
    pub clinic: Option<ClinicId>,
    /// The clinic's zone.
    pub zone: chrono_tz::Tz,
    /// From this birthday on its patients have no guardians.
    pub adult_at_years: u16,
    /// For what is written for its patients; `None` where it has no clinic.
    pub letterhead: Option<Letterhead>,
    pub report_age_max: Duration,
    pub recheck_every: Duration,
    /// Rung when some of its resources are due.
    pub called: Bell,
    /// Rung when the EHR spoke of a report that is out.
    pub alarmed: Bell,
}

/// The resolve step.
pub struct Resolve {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub ehrs: Vec<ReadEhr>,
    /// Turns that each EHR may have at the same time.
    pub turns_at_once: usize,
    /// Which rules are in force when.
    pub rules: Arc<Timetable>,
    pub available: Available,
    pub mode: Mode,
    /// How often the lease of a reading is renewed while it lasts.
    pub renew_every: Duration,
    /// Rung when a delivery may be released.
    pub decided: Bell,
}

#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a sealed record cannot be used: {0}")]
    Vault(#[from] crate::keys::VaultError),
    /// Us.
    #[error("a record could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// What was read, before anything is decided.
enum Reading {
    Report {
        report: Box<Report>,
        patient: PatientReading,
        beside: Box<Beside>,
    },
    /// The EHR no longer names whoever it would be for.
    RecipientGone {
        report: Box<Report>,
        patient: PatientReading,
    },
    /// Nor does it say that it does not.
    RecipientUnlearnt {
        report: Box<Report>,
        why: String,
    },
    Gone(FhirBody),
    Unreadable {
        why: String,
        status: Option<ReportStatus>,
    },
    Later {
        why: String,
        wait: Duration,
    },
}

/// A report with what was read beside it.
struct Read {
    report: Report,
    patient: PatientReading,
    beside: Beside,
}

/// The patient beside the report.
enum PatientReading {
    Read(Box<crate::fhir::Patient>),
    /// The record was merged into another: that one, or `None` where it cannot be read. A person decides.
    Merged(Option<Box<crate::fhir::Patient>>),
    /// Not needed: the report may not leave anyway.
    NotAsked,
    Unusable {
        why: String,
    },
}

impl Resolve {
    async fn resolve(&self, source: SourceRow) -> Result<(), ResolveError> {
        let Some(ehr) = self.ehrs.iter().find(|ehr| *ehr.client.id() == source.key.ehr) else {
            return self.fail(source, store::NOT_CONFIGURED.to_owned(), None).await;
        };
        let renew = |held| {
            let until = self.clock.now().plus(store::LEASE);
            self.store.write(move |tx| store::renew_source(tx, held, until))
        };
        let work = self.read_whole(ehr, &source);
        // What somebody else reads now is theirs to conclude.
        let read = store::while_kept(work, source.clone(), self.renew_every, renew).await?;
        let Some(((reading, fetched), source)) = read else { return Ok(()) };
        match reading {
            Reading::Report { report, patient, beside } => match fetched {
                Fetched::Later { why, wait } => {
                    let at = self.clock.now().plus(wait);
                    self.fail(source, why, Some(at)).await
                }
                fetched @ (Fetched::NotAsked | Fetched::Whole(_) | Fetched::Never) => {
                    self.conclude_report(ehr, source, Read { report: *report, patient, beside: *beside }, fetched).await
                }
            },
            Reading::RecipientGone { report, patient } => self.conclude_recipient_gone(source, &report, &patient).await,
            Reading::RecipientUnlearnt { report, why } => self.conclude_recipient_unlearnt(source, &report, why).await,
            Reading::Gone(body) => self.conclude_gone(ehr, source, body).await,
            Reading::Unreadable { why, status } => self.conclude_unreadable(source, why, status).await,
            Reading::Later { why, wait } => {
                let at = self.clock.now().plus(wait);
                // Of what is followed for others the patient's own reading tells.
                let is_told_here = source.addressee.is_patient() && source.content_hash.is_none();
                if is_told_here && source.tries >= UNREAD_TRIES_MAX {
                    self.conclude_never_read(&source, &why).await?;
                }
                self.fail(source, why, Some(at)).await
            }
        }
    }

    /// Everything that is asked of the EHR: report, patient, and the file where it is in question.
    async fn read_whole(&self, ehr: &ReadEhr, source: &SourceRow) -> Result<(Reading, Fetched), ResolveError> {
        let reading = self.read(ehr, source).await;
        let fetched = match &reading {
            Reading::Report { report, .. } => self.fetch_in_question(ehr, source, report).await?,
            Reading::RecipientGone { .. }
            | Reading::RecipientUnlearnt { .. }
            | Reading::Gone(_)
            | Reading::Unreadable { .. }
            | Reading::Later { .. } => Fetched::NotAsked,
        };
        Ok((reading, fetched))
    }

    async fn read(&self, ehr: &ReadEhr, source: &SourceRow) -> Reading {
        let mut report = match ehr.client.read(source.key.kind, &source.key.id).await {
            Ok(ReadAnswer::Report { report, .. }) => report,
            Ok(ReadAnswer::Gone { fhir_body }) => return Reading::Gone(fhir_body),
            Ok(ReadAnswer::Unreadable { why, status }) => return Reading::Unreadable { why: why.to_string(), status },
            Err(error) => return failed(&error, source.tries),
        };
        report.key_content(|hash| self.vault.content_index(hash));
        if is_stale(&report, source) {
            return Reading::Later {
                why: "the EHR shows an older version than it announced".to_owned(),
                wait: back_off(source.tries),
            };
        }
        if let Written::Unread { why } = &report.written
            && is_worth_waiting_for(source)
        {
            return Reading::Later { why: why.clone(), wait: back_off(source.tries) };
        }
        if !plan::may_leave(report.status) {
            let beside = Box::new(Beside::nothing_more(ehr, &report).await);
            return Reading::Report { report, patient: PatientReading::NotAsked, beside };
        }
        let patient = match &report.subject {
            Subject::Patient(id) => match ehr.client.read_standing_patient(id).await {
                Ok(PatientStanding::Own(patient)) => PatientReading::Read(patient),
                Ok(PatientStanding::Merged { into }) => PatientReading::Merged(into),
                Ok(PatientStanding::Unusable { why }) => PatientReading::Unusable { why },
                Err(error) if error.class() == FaultClass::Permanent => {
                    PatientReading::Unusable { why: error.to_string() }
                }
                Err(error) => return failed(&error, source.tries),
            },
            Subject::None => PatientReading::Unusable { why: "the report names no patient".to_owned() },
            Subject::Unusable { why } => PatientReading::Unusable { why: (*why).to_owned() },
        };
        let rules = self.rules.at(self.clock.now()).rules;
        let sought = rules.further_roles();
        let (recipient, further) = match Box::pin(self.whom(ehr, source, &report, &patient, (&rules, &sought))).await {
            Whom::Patient(further) => (Recipient::Patient, further),
            Whom::Further(further) => (Recipient::Further(further), Gathered::none()),
            Whom::Gone => return Reading::RecipientGone { report, patient },
            Whom::Unlearnt { why } => return Reading::RecipientUnlearnt { report, why },
        };
        let beside = Box::pin(self.learn(ehr, source, &report, &patient, (recipient, further, sought), &rules)).await;
        Reading::Report { report, patient, beside: Box::new(beside) }
    }

    /// What the rules in force look at beside report and patient. What cannot be had is lacking, never a failure.
    async fn learn(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        report: &Report,
        patient: &PatientReading,
        (recipient, further, sought): (Recipient, Gathered<Further>, BTreeSet<RecipientRole>),
        rules: &RuleSet,
    ) -> Beside {
        let now = self.clock.now();
        let needs = rules.needs();
        let evidence = ehr.client.gather(report, &needs).await;
        let zone = rules.timezone().unwrap_or(ehr.zone);
        let related = match patient {
            PatientReading::Read(patient) | PatientReading::Merged(Some(patient))
                if source.addressee.is_patient()
                    && needs.contains(&Need::RelatedContacts)
                    && age_of(patient, now, zone).may_be_below(ehr.adult_at_years) =>
            {
                Box::pin(ehr.client.related_contacts(patient, now)).await
            }
            PatientReading::Read(_)
            | PatientReading::Merged(_)
            | PatientReading::NotAsked
            | PatientReading::Unusable { .. } => Gathered::default(),
        };
        let preferences = match &report.subject {
            Subject::Patient(id) if rules.speaks_of(Predicate::Preference) => self.preferences(source, id).await,
            Subject::Patient(_) | Subject::None | Subject::Unusable { .. } => Gathered::default(),
        };
        let standings = self.contact_standings(ehr, source, (report, patient, &recipient), now).await;
        Beside { evidence, related, preferences, standings, recipient, further, sought }
    }

    async fn preferences(&self, source: &SourceRow, patient: &FhirId) -> Gathered<Word> {
        let index = self.vault.patient_index(&source.key.ehr, patient);
        match self.store.read(move |conn| store::preferences_of(conn, &index)).await {
            Ok(words) => {
                let mut found = Gathered::none();
                for word in words {
                    found.add(word, FactPath("preference".to_owned()));
                }
                found
            }
            Err(error) => {
                tracing::warn!(%error, "the patient's preferences could not be read");
                Gathered::lacking(Lack::TimedOut)
            }
        }
    }

    /// What only a look back has found is recorded, and leaves by a person's word alone.
    const fn mode_for(&self, source: &SourceRow) -> Mode {
        if source.backfilled_at.is_some() { Mode::Shadow } else { self.mode }
    }

    async fn fail(&self, source: SourceRow, why: String, at: Option<UtcMillis>) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let is_news = source.why.as_deref() != Some(&why);
        if is_news {
            tracing::warn!(source = %source.id, ehr = %source.key.ehr, why, "a resource could not be read");
        }
        self.store
            .write(move |tx| {
                if is_news {
                    let event = AuditEvent::Unreadable { why: why.clone() };
                    store::record(tx, Chain::Source(source.id.clone()), now, event)?;
                }
                store::fail_source(tx, &source, &why, at)
            })
            .await?;
        Ok(())
    }
}

fn failed(error: &EhrError, tries: i32) -> Reading {
    match (error.class(), error) {
        (FaultClass::Permanent, _) => Reading::Unreadable { why: error.to_string(), status: None },
        (FaultClass::Transient | FaultClass::Settings, EhrError::Overloaded { retry_after: Some(pause) }) => {
            Reading::Later { why: error.to_string(), wait: (*pause).max(back_off(tries)) }
        }
        (FaultClass::Transient | FaultClass::Settings, _) => {
            Reading::Later { why: error.to_string(), wait: back_off(tries) }
        }
    }
}

/// Results that cannot be read now say nothing about a report that is known already.
fn is_worth_waiting_for(source: &SourceRow) -> bool {
    source.content_hash.is_some() || source.tries <= UNREAD_RESULTS_MAX
}

fn back_off(tries: i32) -> Duration {
    let index = usize::try_from(tries.max(1) - 1).unwrap_or(0);
    BACK_OFF.get(index).or(BACK_OFF.last()).copied().unwrap_or(store::LEASE)
}

/// Whether the EHR still shows less than it announced, or than it showed before. After some tries what it
/// shows is believed: an announcement may be of a version that was rolled back.
fn is_stale(report: &Report, source: &SourceRow) -> bool {
    let Some(version) = &report.version else { return false };
    let behind = |other: &Option<crate::base::VersionId>| {
        other.as_ref().is_some_and(|other| version.is_before(other) == Some(true))
    };
    source.tries < STALE_READS_MAX && (behind(&source.heard_version) || behind(&source.read_version))
}
