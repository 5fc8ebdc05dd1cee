//! What a reading says, made ready before its transaction begins: the decision, the objections to it, the card.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use data_encoding::HEXLOWER;

use super::facts;
use super::others::Other;
use super::pick::Picked;
use super::plan::{self, Now};
use super::{InForce, PatientReading, Read, ReadEhr, Resolve, ResolveError};
use crate::base::{Contact, FhirId, Region, UtcMillis, VersionId};
use crate::fhir::{
    Choices, ContactChoice, ContentBasis, Likeness, RelationCode, Report, StatusDoubt, Subject, Written, choose,
};
use crate::paper::{self, PaperError};
use crate::policy::codes::Confidentiality;
use crate::policy::columns::Grouping;
use crate::policy::facts::Lack;
use crate::policy::schedule::Schedule;
use crate::policy::when::Predicate;
use crate::policy::{self, Coding, Decision, Facts, RecipientRole, ReportStatus, ReviewReason, RuleSet};
use crate::record::Card;
use crate::store::{Mark, MarkKind, NOTHING_READ, SourceRow, StoreError};

/// So many documents are replaced by one.
const REPLACED_MAX: usize = 20;

/// A decision and all that a delivery needs, made before the transaction begins.
pub(super) struct Prepared {
    pub(super) version: VersionId,
    pub(super) facts: Facts,
    /// In whose chain it is: the patient's, also where the address in their record is a guardian's.
    pub(super) recipient: RecipientRole,
    pub(super) decision: Decision,
    pub(super) schedule: Option<Schedule>,
    pub(super) trace: String,
    pub(super) rules_hash: String,
    pub(super) card: Option<Card>,
    pub(super) contact_index: Option<[u8; 32]>,
    /// What it has in common with others that its rules let share a link.
    pub(super) group_index: Option<[u8; 32]>,
    /// The document that Chartseal writes itself, and what it was made of, as a keyed hash.
    pub(super) paper_index: Option<[u8; 32]>,
    pub(super) now: Now,
    /// What its document is recognised by.
    pub(super) marks: Vec<Mark>,
    /// The documents that it says it replaces.
    pub(super) replaces: Vec<FhirId>,
    /// Who else may get it.
    pub(super) others: Vec<Other>,
    /// Where the patient's own message goes, if the rules let it.
    pub(super) patients_mailbox: Option<[u8; 32]>,
    /// Why there may be more of them.
    pub(super) others_lacking: BTreeSet<Lack>,
}

impl Prepared {
    /// Whether a person would have to look only because the EHR was slow.
    pub(super) fn wants_time(&self) -> bool {
        // A row that only may apply can also forbid every channel.
        let may_be_unsure = matches!(
            &self.decision,
            Decision::Review { why: ReviewReason::Unknown { .. } | ReviewReason::NoCommonChannel { .. }, .. }
        );
        may_be_unsure && facts::is_for_want_of_time(&self.facts)
    }
}

impl Resolve {
    pub(super) fn prepare(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        read: &Read,
        since: Option<UtcMillis>,
        rules: &InForce,
    ) -> Result<Prepared, ResolveError> {
        let (report, patient, now) = (&read.report, &read.patient, rules.at);
        let subject = match &report.subject {
            Subject::Patient(id) => Some(id.clone()),
            Subject::None | Subject::Unusable { .. } => None,
        };
        let Standing { record, choices: of_patient, doubt } =
            standing(subject.as_ref(), patient, ehr.client.region(), now);
        let others = self.others(ehr, source, read, rules);
        let choices = read.beside.recipient.choices(of_patient.as_ref());
        let Picked { facts, decided, objection: of_address, choice, other, why_so } =
            self.pick(ehr, read, choices, &rules.rules, now);
        let paper = paper(ehr, report, patient);
        // What only a look back found leaves by a person's word alone, however old it is: nobody need look at each.
        let age_max = source.backfilled_at.is_none().then_some(ehr.report_age_max);
        let since = since.filter(|_| source.backfilled_at.is_none());
        let around = Circumstances { since, age_max, now, rules: &rules.rules, recipient: facts.recipient };
        let objection = objection(ehr, report, patient, choice, &around);
        let patient_index = record.map(|record| match record {
            PatientRecord::Read(patient) => self.vault.patient_index(&source.key.ehr, &patient),
            PatientRecord::LostInMerge { of } => self.vault.lost_patient_index(&source.key.ehr, &of),
        });
        let patients_mailbox = self.patients_mailbox(choice, &decided.decision);
        let (card, contact_index) = self.card(card_of(subject.as_ref(), patient), (choice, other), &why_so);
        let version = version_of(report)?;
        let (paper_index, of_paper) = match paper {
            Ok(sheet) => (sheet.map(|sheet| self.vault.file_index(&sheet.binding)), None),
            Err(why) => (None, Some(ReviewReason::Attachment { why: why.to_string() })),
        };
        let objection = objection.or(of_paper).or(of_address);
        let decision = plan::object(decided.decision.within(&self.available), objection);
        let decision = plan::doubted(decision, doubt);
        let subject_index = subject.map(|id| self.vault.patient_index(&source.key.ehr, &id));
        let group_index = match (&decision, patient_index.or(subject_index)) {
            (Decision::Send { terms }, Some(patient)) => {
                let zone = rules.rules.timezone().unwrap_or(ehr.zone);
                let theirs = self.vault.documents_index(&patient, source.addressee);
                belonging(terms.group, report, zone).map(|belonging| self.vault.group_index(&theirs, &belonging))
            }
            (Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }, _) => None,
        };
        Ok(Prepared {
            version,
            facts,
            recipient: read.beside.recipient.role(),
            decision,
            schedule: decided.schedule,
            trace: serde_json::to_string(&decided.trace)?,
            rules_hash: rules.hash.clone(),
            card,
            contact_index,
            group_index,
            marks: subject_index.map_or_else(Vec::new, |patient| {
                self.marks(&self.vault.documents_index(&patient, source.addressee), report)
            }),
            replaces: replaced_by(report),
            others,
            patients_mailbox,
            others_lacking: read.beside.further.lacking.clone(),
            paper_index,
            now: Now {
                status: report.status,
                content_hash: report.content_hash,
                content_basis: report.content_basis,
                subject_index,
                patient_index,
            },
        })
    }

    /// Keyed, and whose documents they are is part of each ([`Vault::documents_index`](crate::keys::Vault::documents_index)):
    /// another patient's document is never the same, nor what goes to another recipient.
    pub(super) fn marks(&self, theirs: &[u8; 32], report: &Report) -> Vec<Mark> {
        let vault = &self.vault;
        let named = |kind, what: &str, value: &str| Mark {
            kind,
            mark: vault.likeness_index(theirs, &format!("{what}/{value}")),
        };
        let mark = |likeness: &Likeness| match likeness {
            Likeness::Sha256(digest) => {
                Mark { kind: MarkKind::Sha256, mark: vault.file_likeness(theirs, &vault.file_index(digest)) }
            }
            Likeness::Sha1(digest) => named(MarkKind::Sha1, "sha1", &HEXLOWER.encode(digest)),
            Likeness::Address(address) => named(MarkKind::Address, "address", address),
            Likeness::Itself(name) => named(MarkKind::Itself, "resource", name),
            Likeness::Restates(name) => named(MarkKind::Restates, "resource", name),
            Likeness::BelongsTo(name) => named(MarkKind::BelongsTo, "resource", name),
        };
        report.likenesses.iter().map(mark).collect()
    }

    fn card(
        &self,
        subject: Option<FhirId>,
        (choice, other): (Option<&ContactChoice>, Option<&Contact>),
        why_so: &str,
    ) -> (Option<Card>, Option<[u8; 32]>) {
        let Some(subject) = subject else { return (None, None) };
        match choice {
            Some(ContactChoice::One { contact, explanation, .. }) => {
                let index = self.vault.contact_index(contact);
                let because = if why_so.is_empty() { explanation.clone() } else { format!("{explanation}; {why_so}") };
                (Some(Card::new(Some(contact), other, subject, because)), Some(index))
            }
            Some(ContactChoice::Tie | ContactChoice::None { .. } | ContactChoice::PatientUnusable { .. }) | None => {
                (Some(Card::new(None, None, subject, String::new())), None)
            }
        }
    }
}

fn replaced_by(report: &Report) -> Vec<FhirId> {
    let replaced = report.relates_to.iter().filter_map(|relation| match relation.code {
        RelationCode::Replaces => relation.target.clone(),
        RelationCode::Transforms | RelationCode::Signs | RelationCode::Appends | RelationCode::Unrecognised => None,
    });
    replaced.take(REPLACED_MAX).collect()
}

/// Whose record it goes to.
pub(super) struct Standing {
    /// `None` where that was not learnt.
    pub(super) record: Option<PatientRecord>,
    pub(super) choices: Option<Choices>,
    doubt: Option<ReviewReason>,
}

pub(super) enum PatientRecord {
    Read(FhirId),
    LostInMerge { of: FhirId },
}

pub(super) fn standing(
    subject: Option<&FhirId>,
    patient: &PatientReading,
    region: Option<Region>,
    now: UtcMillis,
) -> Standing {
    let nobody = Standing { record: None, choices: None, doubt: None };
    let Some(subject) = subject else { return nobody };
    match patient {
        PatientReading::Read(patient) => Standing {
            record: Some(PatientRecord::Read(subject.clone())),
            choices: Some(choose(patient, region, now)),
            doubt: None,
        },
        PatientReading::Merged(Some(into)) => Standing {
            record: Some(PatientRecord::Read(into.id.clone())),
            choices: Some(choose(into, region, now)),
            doubt: Some(ReviewReason::PatientMerged),
        },
        PatientReading::Merged(None) => Standing {
            record: Some(PatientRecord::LostInMerge { of: subject.clone() }),
            choices: None,
            doubt: Some(ReviewReason::PatientMerged),
        },
        PatientReading::NotAsked | PatientReading::Unusable { .. } => nobody,
    }
}

/// Whom the card names.
fn card_of(subject: Option<&FhirId>, patient: &PatientReading) -> Option<FhirId> {
    match patient {
        PatientReading::Merged(Some(into)) => Some(into.id.clone()),
        PatientReading::Merged(None)
        | PatientReading::Read(_)
        | PatientReading::NotAsked
        | PatientReading::Unusable { .. } => subject.cloned(),
    }
}

/// The document that would be delivered, where Chartseal writes it itself.
fn paper(ehr: &ReadEhr, report: &Report, patient: &PatientReading) -> Result<Option<paper::Sheet>, PaperError> {
    match (&report.written, &ehr.letterhead, patient) {
        (
            Written::Paper(written),
            Some(head),
            PatientReading::Read(patient) | PatientReading::Merged(Some(patient)),
        ) => paper::write(written, head, &patient.person()).map(Some),
        (Written::Paper(_) | Written::Not | Written::Unfaithful { .. } | Written::Unread { .. }, _, _) => Ok(None),
    }
}

/// What the report has in common with others that may share its link; `None`: it shares none.
fn belonging(group: Grouping, report: &Report, zone: Tz) -> Option<String> {
    match group {
        Grouping::With { what, .. } => {
            report.belonging(what, zone).map(|belonging| format!("{}/{belonging}", what.as_str()))
        }
        Grouping::Unsaid | Grouping::Alone => None,
    }
}

/// What a decision depends on besides the report.
struct Circumstances<'a> {
    since: Option<UtcMillis>,
    /// `None`: no age is too great.
    age_max: Option<std::time::Duration>,
    now: UtcMillis,
    rules: &'a RuleSet,
    /// By whose rules it was decided.
    recipient: RecipientRole,
}

/// The first objection, in the order in which a person would want to hear them.
fn objection(
    ehr: &ReadEhr,
    report: &Report,
    patient: &PatientReading,
    choice: Option<&ContactChoice>,
    circumstances: &Circumstances<'_>,
) -> Option<ReviewReason> {
    let Circumstances { since, age_max, now, rules, recipient } = circumstances;
    if let Some(element) = report.unknown_modifiers.first() {
        return Some(ReviewReason::UnknownModifier { element: element.clone() });
    }
    // Rules that speak of confidentiality say themselves what becomes of it.
    if !rules.speaks_to(*recipient, Predicate::Confidentiality)
        && let Some(label) = report.security_labels.iter().find(|label| is_confidential(label))
    {
        return Some(ReviewReason::Confidential { code: label.code.clone() });
    }
    if let PatientReading::Unusable { why } = patient {
        return Some(ReviewReason::Patient { why: why.clone() });
    }
    if let Some(doubt) = report.status_doubt.filter(|_| report.status != ReportStatus::Unknown) {
        return Some(ReviewReason::Unreadable { why: doubt_text(doubt).to_owned() });
    }
    if ehr.clinic.is_none() {
        return Some(ReviewReason::NoClinic);
    }
    if let Some(why) = report.why_nothing() {
        return Some(ReviewReason::Attachment { why });
    }
    if let Some(age_max) = age_max
        && let Err(why) = policy::age_gate(report.issued, *age_max, *now)
    {
        return Some(why);
    }
    if matches!((report.issued, since), (Some(issued), Some(since)) if issued < *since) {
        return Some(ReviewReason::BeforeStart);
    }
    match choice {
        Some(ContactChoice::One { .. }) => None,
        Some(ContactChoice::Tie) => Some(ReviewReason::ContactTie),
        Some(ContactChoice::None { why }) => Some(ReviewReason::NoContact { why: why.clone() }),
        Some(ContactChoice::PatientUnusable { why }) => Some(ReviewReason::Patient { why: (*why).to_owned() }),
        None => Some(ReviewReason::Patient { why: "the report names no patient that can be read".to_owned() }),
    }
}

/// Whether a label asks for more care than the usual: HL7 Confidentiality R and V
/// (<https://terminology.hl7.org/ValueSet-v3-Confidentiality.html>), under any of its addresses.
fn is_confidential(label: &Coding) -> bool {
    Confidentiality::of(label).is_some_and(|level| level >= Confidentiality::R)
}

const fn doubt_text(doubt: StatusDoubt) -> &'static str {
    match doubt {
        StatusDoubt::Absent => "it has no status",
        StatusDoubt::Unrecognised => "its status is not one of the standard's",
        StatusDoubt::DocStatusAbsent => "it does not say whether the document is finished",
        StatusDoubt::Appends => "it is incomplete without the document that it appends to",
        StatusDoubt::RelationUnrecognised => "its relation to another document is not one of the standard's",
    }
}

/// The version that the EHR gives, or one that changes when the report's content or time does.
pub(super) fn version_of(report: &Report) -> Result<VersionId, StoreError> {
    if let Some(version) = &report.version {
        return Ok(version.clone());
    }
    let text = HEXLOWER.encode(&report.content_hash);
    let updated = report.last_updated.map_or(0, |at| at.0);
    VersionId::made_up(&text, updated).map_err(|_| StoreError::BadRow { column: "report_version" })
}

/// What is kept of a report that cannot be read: that there is one, and why.
pub(super) fn unreadable(source: &SourceRow, why: &str) -> Prepared {
    let reason = ReviewReason::Unreadable { why: why.to_owned() };
    let version = match &source.heard_version {
        Some(version) => version.clone(),
        None => VersionId::unread(),
    };
    Prepared {
        version,
        facts: Facts { clinic: source.clinic.clone(), ..Facts::bare(source.key.kind, ReportStatus::Unknown) },
        recipient: RecipientRole::Patient,
        decision: Decision::Review { why: reason, terms: None },
        schedule: None,
        trace: String::new(),
        rules_hash: String::new(),
        card: None,
        contact_index: None,
        group_index: None,
        marks: Vec::new(),
        replaces: Vec::new(),
        others: Vec::new(),
        patients_mailbox: None,
        others_lacking: BTreeSet::new(),
        paper_index: None,
        now: Now {
            status: ReportStatus::Unknown,
            content_hash: NOTHING_READ,
            content_basis: ContentBasis::Bytes,
            subject_index: None,
            patient_index: None,
        },
    }
}
