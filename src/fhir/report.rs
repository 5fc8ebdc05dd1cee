//! `DiagnosticReport` and `DocumentReference` as one plain struct.
//!
//! Must stay true: both status tables of the standard live here and nowhere else; whatever is not plainly
//! releasable reads as something that waits.

use std::collections::HashMap;
use std::sync::Arc;

use fhirbolt::element::Value;

use super::element::{all, coding, codings, group, text};
use super::error::Malformed;
use super::gate::{Admitted, R4Element, admit, admit_value, parse_json};
use super::gather::{Part, items};
use super::identity::{Content, Form};
use super::likeness::{self, Likeness};
use super::project::sanitise;
use super::results::Written;
use super::schema;
use super::service::{ServiceBase, Target};
use crate::base::{DocumentTitle, FhirId, ResourceType, SecretText, UtcMillis, VersionId};
use crate::policy::{Coding, ReportStatus};

/// One version of a report as the EHR holds it. Patient data: no `Debug`.
pub struct Report {
    pub kind: ResourceType,
    pub id: FhirId,
    pub version: Option<VersionId>,
    pub last_updated: Option<UtcMillis>,
    pub status: ReportStatus,
    /// Why `status` is `Unknown`, where it is.
    pub status_doubt: Option<StatusDoubt>,
    /// `DiagnosticReport.code` or `DocumentReference.type`.
    pub codes: Vec<Coding>,
    pub categories: Vec<Coding>,
    /// `meta.security` and `DocumentReference.securityLabel`.
    pub security_labels: Vec<Coding>,
    /// `DiagnosticReport.issued` or `DocumentReference.date`.
    pub issued: Option<UtcMillis>,
    pub subject: Subject,
    /// Performers, authors and custodian as `Type/id`, or as written when they are elsewhere.
    pub performers: Vec<String>,
    /// In the order of the resource.
    pub attachments: Vec<AttachmentRef>,
    /// `DocumentReference.relatesTo`.
    pub relates_to: Vec<Relation>,
    /// What other resources that are the same document have in common with it.
    pub likenesses: Vec<Likeness>,
    /// Not empty: a person must look, for the report may mean something else than it seems to.
    pub unknown_modifiers: Vec<String>,
    /// SHA-256 over what the patient would read, see `identity`.
    pub content_hash: [u8; 32],
    pub content_basis: ContentBasis,
    /// What is delivered where it carries no attachment. `content_hash` covers it.
    pub written: Written,
    /// The sanitised resource, where it must be written down from its results; see `results`.
    pub(super) to_write: Option<Box<serde_json::Value>>,
    /// Results that were read to be written down: the rules look at the same ones.
    pub(super) results_read: HashMap<(&'static str, FhirId), Arc<Part>>,
    /// What it says to the rules beyond the fields above, and what it names; see [`super::EhrClient::gather`].
    pub(super) stated: Part,
}

/// Why a status reads as [`ReportStatus::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusDoubt {
    Absent,
    /// `unknown`, or a code that the standard does not have.
    Unrecognised,
    /// `DocumentReference` is current but does not say whether the document is finished.
    DocStatusAbsent,
    /// `relatesTo.code` is `appends`: incomplete without the other document.
    Appends,
    /// `relatesTo.code` is none of the standard's.
    RelationUnrecognised,
}

/// Whose report it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    Patient(FhirId),
    None,
    Unusable { why: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationCode {
    Replaces,
    Transforms,
    Signs,
    Appends,
    Unrecognised,
}

/// What another document is to this one.
#[derive(Clone, PartialEq, Eq)]
pub struct Relation {
    pub code: RelationCode,
    /// The other `DocumentReference`, when it is one of this server.
    pub target: Option<FhirId>,
}

/// One attachment.
pub struct AttachmentRef {
    /// As declared, without parameters, lower case.
    pub content_type: Option<String>,
    pub language: Option<String>,
    /// Shown on the opened page, and kept nowhere else.
    pub title: Option<DocumentTitle>,
    pub source: AttachmentSource,
    pub size: Option<u64>,
    pub sha1: Option<[u8; 20]>,
}

pub enum AttachmentSource {
    /// Base64 with its white space removed; decodes without error.
    Inline(SecretText),
    /// As written; may carry a presigned token.
    Url(SecretText),
    Absent,
}

/// How far `content_hash` can be trusted to change with the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentBasis {
    /// It covers the attachment's bytes or their declared digest.
    Bytes,
    /// An attachment is known by its address alone: compare the fetched bytes before concluding that an
    /// amended report says nothing new.
    Address,
}

impl Report {
    /// What is delivered, in the report's order: the PDFs, where there are any, else whatever is of the type of the first with any
    /// content. Of other types are other forms of the same (FHIR, `DiagnosticReport.presentedForm`); two of one type are not.
    #[must_use]
    pub fn documents(&self) -> Vec<&AttachmentRef> {
        delivered(&self.attachments, |attachment| attachment)
    }

    /// Why there is nothing to deliver, where there is nothing.
    #[must_use]
    pub fn why_nothing(&self) -> Option<String> {
        if !self.documents().is_empty() {
            return None;
        }
        match &self.written {
            Written::Paper(_) => None,
            Written::Not => Some("the report carries none".to_owned()),
            Written::Unfaithful { why } => {
                Some(format!("the report carries none, and its results cannot be shown as they are: {why}"))
            }
            Written::Unread { why } => Some(format!("the report carries none, and {why}")),
        }
    }

    /// Puts what the results say under a key of the clinic's: a few numbers alone could be guessed from their hash.
    pub fn key_content(&mut self, keyed: impl FnOnce(&[u8; 32]) -> [u8; 32]) {
        match self.written {
            Written::Not => {}
            Written::Paper(_) | Written::Unfaithful { .. } | Written::Unread { .. } => {
                self.content_hash = keyed(&self.content_hash);
            }
        }
    }
}

/// More than that is no report; of one that has more, one more is enough to say so.
pub const DOCUMENTS_MAX: usize = 10;

fn delivered<T>(all: &[T], attachment_of: impl Fn(&T) -> &AttachmentRef) -> Vec<&T> {
    let there = || all.iter().filter(|one| !matches!(attachment_of(one).source, AttachmentSource::Absent));
    let is_pdf = |one: &&T| attachment_of(one).content_type.as_deref() == Some("application/pdf");
    let Some(preferred) = there().find(is_pdf).or_else(|| there().next()).map(&attachment_of) else {
        return Vec::new();
    };
    let mut found: Vec<&T> = Vec::new();
    for one in there().filter(|one| attachment_of(one).content_type == preferred.content_type) {
        if found.len() > DOCUMENTS_MAX {
            break;
        }
        if !found.iter().any(|other| attachment_of(other).source.is_that_of(&attachment_of(one).source)) {
            found.push(one);
        }
    }
    found
}

impl AttachmentSource {
    /// Whether both say the same: one file that is named twice.
    fn is_that_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(one), Self::Inline(other)) | (Self::Url(one), Self::Url(other)) => {
                one.expose() == other.expose()
            }
            (Self::Absent, Self::Absent) => true,
            (Self::Inline(_) | Self::Url(_) | Self::Absent, _) => false,
        }
    }
}

/// Reads one report of `kind` from `body`, the answer of the server at `base`.
///
/// # Errors
/// Names the FHIR path and what is wrong with it.
pub fn read_report(kind: ResourceType, body: &[u8], base: &ServiceBase) -> Result<Report, Malformed> {
    let mut value = parse_json(body)?;
    sanitise(&mut value);
    let stated = Part::of_report(kind, &value, base);
    let related = likeness::related(kind, &value, base);
    let to_write = to_write(kind, &value);
    let Admitted { mut element, unknown_modifiers } = admit_value(value, schema::report(kind))?;
    let forms = attachments(kind, &mut element)?;
    let read = &element;
    let id = text(read, "id").and_then(|id| FhirId::parse(id).ok());
    let id = id.ok_or_else(|| Malformed::new(kind.as_str(), "has no id"))?;
    let meta = |name| group(read, "meta").and_then(|meta| text(meta, name));
    let relates_to = relations(read, base);
    let (status, status_doubt) = status(kind, read, &relates_to);
    let subject = subject(read, base);
    let (codes, issued, performers) = match kind {
        ResourceType::DiagnosticReport => ("code", "issued", &["performer"][..]),
        ResourceType::DocumentReference => ("type", "date", &["custodian", "author"][..]),
    };
    let codes = codings(read, codes);
    // One of several files says nothing of the whole: what is sealed is recognised together.
    let alone = match delivered(&forms, |form| &form.reference).as_slice() {
        [alone] => Some(*alone),
        _ => None,
    };
    let mut likenesses = likeness::likenesses((kind, &id), alone, &relates_to, base);
    likenesses.extend(related);
    let content = Content { kind, status, subject: &subject, codes: &codes, element: read, base, forms: &forms };
    Ok(Report {
        kind,
        id,
        version: meta("versionId").and_then(|version| VersionId::parse(version).ok()),
        last_updated: meta("lastUpdated").and_then(UtcMillis::parse_rfc3339),
        status,
        status_doubt,
        content_hash: content.hash(),
        content_basis: content.basis(),
        categories: codings(read, "category"),
        security_labels: security_labels(read),
        issued: text(read, issued).and_then(UtcMillis::parse_rfc3339),
        performers: performers.iter().flat_map(|name| references(read, name, base)).collect(),
        codes,
        subject,
        relates_to,
        likenesses,
        unknown_modifiers,
        attachments: forms.into_iter().map(|form| form.reference).collect(),
        written: Written::Not,
        to_write,
        results_read: HashMap::new(),
        stated,
    })
}

/// A copy of a report that names results and carries no attachment.
fn to_write(kind: ResourceType, value: &serde_json::Value) -> Option<Box<serde_json::Value>> {
    let is_empty = |form: &serde_json::Value| form.get("data").is_none() && form.get("url").is_none();
    let has_none = items(value, "presentedForm").iter().all(|(_, form)| is_empty(form));
    match kind {
        ResourceType::DiagnosticReport if has_none && value.get("result").is_some() => Some(Box::new(value.clone())),
        ResourceType::DiagnosticReport | ResourceType::DocumentReference => None,
    }
}

/// Only the status of a report that [`read_report`] cannot read, so that a recall is still seen.
pub(super) fn read_status(kind: ResourceType, body: &[u8]) -> Option<(FhirId, ReportStatus)> {
    let admitted = admit(body, schema::report_status(kind)).ok()?;
    let id = FhirId::parse(text(&admitted.element, "id")?).ok()?;
    Some((id, status(kind, &admitted.element, &[]).0))
}

fn status(kind: ResourceType, report: &R4Element, relates_to: &[Relation]) -> (ReportStatus, Option<StatusDoubt>) {
    let read = match kind {
        ResourceType::DiagnosticReport => diagnostic_status(text(report, "status")),
        ResourceType::DocumentReference => {
            document_status(text(report, "status"), text(report, "docStatus"), relates_to)
        }
    };
    match read {
        Ok(status) => (status, None),
        Err(doubt) => (ReportStatus::Unknown, Some(doubt)),
    }
}

/// <https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html>
fn diagnostic_status(status: Option<&str>) -> Result<ReportStatus, StatusDoubt> {
    Ok(match status.ok_or(StatusDoubt::Absent)? {
        "registered" | "partial" | "preliminary" => ReportStatus::Unfinished,
        "final" => ReportStatus::Final,
        "amended" => ReportStatus::Amended,
        "corrected" => ReportStatus::Corrected,
        "appended" => ReportStatus::Appended,
        "cancelled" => ReportStatus::Cancelled,
        "entered-in-error" => ReportStatus::EnteredInError,
        _ => return Err(StatusDoubt::Unrecognised),
    })
}

/// `status` speaks of the reference, `docStatus` of the document; a withdrawal in either holds
/// (<https://hl7.org/fhir/R4/documentreference.html>).
fn document_status(
    status: Option<&str>,
    doc_status: Option<&str>,
    relates_to: &[Relation],
) -> Result<ReportStatus, StatusDoubt> {
    if status == Some("entered-in-error") || doc_status == Some("entered-in-error") {
        return Ok(ReportStatus::EnteredInError);
    }
    match status.ok_or(StatusDoubt::Absent)? {
        "current" => {}
        "superseded" => return Ok(ReportStatus::Superseded),
        _ => return Err(StatusDoubt::Unrecognised),
    }
    let finished = match doc_status.ok_or(StatusDoubt::DocStatusAbsent)? {
        "preliminary" => return Ok(ReportStatus::Unfinished),
        "final" => ReportStatus::Final,
        "amended" => ReportStatus::Amended,
        _ => return Err(StatusDoubt::Unrecognised),
    };
    for relation in relates_to {
        match relation.code {
            RelationCode::Replaces | RelationCode::Transforms | RelationCode::Signs => {}
            RelationCode::Appends => return Err(StatusDoubt::Appends),
            RelationCode::Unrecognised => return Err(StatusDoubt::RelationUnrecognised),
        }
    }
    Ok(finished)
}

fn subject(report: &R4Element, base: &ServiceBase) -> Subject {
    let Some(subject) = group(report, "subject") else { return Subject::None };
    let Some(reference) = text(subject, "reference") else {
        return Subject::Unusable { why: "the report names its patient only by an identifier or a name" };
    };
    let why = match base.target(reference) {
        Target::Here { kind: "Patient", id } => return Subject::Patient(id),
        Target::Here { .. } => "the report is not about a patient",
        Target::Contained => "the patient is written inside the report instead of referred to",
        Target::Elsewhere => "the report's patient is on another server",
        Target::Unclear => "the reference to the patient cannot be understood",
    };
    Subject::Unusable { why }
}

fn relations(report: &R4Element, base: &ServiceBase) -> Vec<Relation> {
    let read = |relation: &R4Element| Relation {
        code: match text(relation, "code") {
            Some("replaces") => RelationCode::Replaces,
            Some("transforms") => RelationCode::Transforms,
            Some("signs") => RelationCode::Signs,
            Some("appends") => RelationCode::Appends,
            Some(_) | None => RelationCode::Unrecognised,
        },
        target: group(relation, "target").and_then(|target| text(target, "reference")).and_then(|reference| match base
            .target(reference)
        {
            Target::Here { kind: "DocumentReference", id } => Some(id),
            Target::Here { .. } | Target::Contained | Target::Elsewhere | Target::Unclear => None,
        }),
    };
    all(report, "relatesTo").iter().map(read).collect()
}

/// The references `name`, relative where they are of this server.
pub(super) fn references(report: &R4Element, name: &str, base: &ServiceBase) -> Vec<String> {
    let spelled = |reference: &str| match base.target(reference) {
        Target::Here { kind, id } => format!("{kind}/{id}"),
        Target::Contained | Target::Elsewhere | Target::Unclear => reference.to_owned(),
    };
    all(report, name).iter().filter_map(|one| text(one, "reference")).map(spelled).collect()
}

fn security_labels(report: &R4Element) -> Vec<Coding> {
    let of_meta = group(report, "meta").map(|meta| all(meta, "security")).unwrap_or_default();
    of_meta.iter().filter_map(coding).chain(codings(report, "securityLabel")).collect()
}

/// Moves the attachments out of the element, so that their data is held once.
fn attachments(kind: ResourceType, report: &mut R4Element) -> Result<Vec<Form>, Malformed> {
    let (list, path, inner) = match kind {
        ResourceType::DiagnosticReport => ("presentedForm", "DiagnosticReport.presentedForm", ""),
        ResourceType::DocumentReference => ("content", "DocumentReference.content", ".attachment"),
    };
    let Some(Value::Sequence(items)) = report.shift_remove(list) else { return Ok(Vec::new()) };
    let mut forms = Vec::with_capacity(items.len());
    for (i, mut item) in items.into_iter().enumerate() {
        if kind == ResourceType::DocumentReference {
            let Some(Value::Element(attachment)) = item.shift_remove("attachment") else { continue };
            item = attachment;
        }
        forms.push(Form::read(item).map_err(|why| Malformed::new(format!("{path}[{i}]{inner}.data"), why))?);
    }
    Ok(forms)
}
