//! A report without an attachment, written down from its results.
//!
//! Job: read what `DiagnosticReport.result` names (inside the report or at the EHR), and make a [`Paper`] of it, or say why it
//! cannot be made.
//! Must stay true: a paper says all that the resources say of the results, and nothing else: an element that is neither shown
//! nor without weight, a value that is not there, another patient, a status that is not final make no paper ([`Unfaithful`]);
//! calls, bytes, time, depth and rows are bounded; reasons name places and elements, never a value.
//! Must not know: rules, who sends the paper, what it looks like.

mod absent;
mod concept;
mod flags;
mod mark;
mod observation;
mod overview;
mod ranges;
mod sheet;
mod shelf;
mod specimen;
mod strict;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use self::shelf::{OBSERVATION, Shelf};
use self::strict::Unfaithful;
pub(super) use self::strict::is_strange;
use super::client::{EhrClient, apart};
use super::gather::Part;
use super::report::{Report, Subject};
use super::service::ServiceBase;
use crate::base::FhirId;
use crate::paper::Paper;
use crate::policy::ReportStatus;

/// What there is to deliver of a report that carries no attachment.
pub enum Written {
    /// It carries one, or it names no results.
    Not,
    Paper(Box<Paper>),
    /// The results say more than could be shown, or not enough. Holds no value.
    Unfaithful {
        why: String,
    },
    /// The EHR did not show all of it now.
    Unread {
        why: String,
    },
}

/// Whether reports without an attachment are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutAttachment {
    Write,
    /// A person looks at each.
    Review,
}

impl EhrClient {
    /// Reads the results of `report` and writes them down, if that is what is wanted of it. Its content hash then covers
    /// what they say.
    pub(super) async fn write_down(&self, report: &mut Report) {
        let is_released = match report.status {
            ReportStatus::Final | ReportStatus::Amended | ReportStatus::Corrected | ReportStatus::Appended => true,
            ReportStatus::Unfinished
            | ReportStatus::Superseded
            | ReportStatus::Cancelled
            | ReportStatus::EnteredInError
            | ReportStatus::Unknown => false,
        };
        let wanted = match self.without_attachment {
            WithoutAttachment::Write if is_released => report.to_write.take(),
            WithoutAttachment::Write | WithoutAttachment::Review => None,
        };
        let Some(resource) = wanted else { return };
        let written = match &report.subject {
            Subject::Patient(patient) => self.written(report, *resource, patient).await,
            Subject::None | Subject::Unusable { .. } => Made::refused("the report names no patient that can be read"),
        };
        report.content_hash = mark::joined(&report.content_hash, &written.mark);
        report.results_read = written.read;
        report.written = written.what;
    }

    async fn written(&self, report: &Report, resource: Value, patient: &FhirId) -> Made {
        let filled = match Shelf::fill(self, resource).await {
            Ok(filled) => filled,
            Err(shelf::NotFilled::Unread { why }) => {
                let mark = mark::of_words("unread", "");
                return Made { what: Written::Unread { why }, mark, read: HashMap::new() };
            }
            Err(shelf::NotFilled::Unfaithful(Unfaithful(why))) => return Made::refused(&why),
        };
        let (patient, base, version) = (patient.clone(), self.base.clone(), report.version.clone());
        let made = apart("DiagnosticReport", move || {
            let read = parts(&filled, &base);
            match sheet::paper(&filled, &patient, &base, version.as_ref()) {
                Ok(paper) => {
                    Made { what: Written::Paper(Box::new(paper)), mark: mark::of_results(&filled, &base), read }
                }
                Err(Unfaithful(why)) => Made { read, ..Made::refused(&why) },
            }
        });
        made.await.unwrap_or_else(|why| Made::refused(&why.to_string()))
    }
}

/// What came of it, and what tells it from another.
struct Made {
    what: Written,
    mark: [u8; 32],
    /// For the rules.
    read: Parts,
}

type Parts = HashMap<(&'static str, FhirId), Arc<Part>>;

/// What the results say to the rules.
fn parts(shelf: &Shelf, base: &ServiceBase) -> Parts {
    let of_result = |(name, found): (&str, &shelf::Found)| {
        let id = FhirId::parse(name.strip_prefix("Observation/")?).ok()?;
        Some(((OBSERVATION, id), Arc::new(Part::of_value(OBSERVATION, &found.value, base))))
    };
    shelf.all().filter_map(of_result).collect()
}

impl Made {
    fn refused(why: &str) -> Self {
        let what = Written::Unfaithful { why: why.to_owned() };
        Self { what, mark: mark::of_words("unfaithful", why), read: HashMap::new() }
    }
}
