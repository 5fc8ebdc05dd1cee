//! Whether a report that says it was corrected has another file behind the same address, and whether a document that belongs to a
//! report is that report.
//!
//! Must stay true: a correction that could have changed what the patient reads is silent only when its file, read
//! again, is the one that was sealed; a file that cannot be had is not taken for the same, nor for another.
//!
//! The cost: one file for each new version, and only of amended, corrected and appended reports whose file has no
//! declared digest and was sealed within [`COMPARED_FOR`]; and one for each document that names a report whose file is known by its
//! bytes. An EHR that writes all its versions anew is asked for no other file, and for no more at a time than there are readings
//! under way.

use std::time::Duration;

use super::plan::{self, File};
use super::prepare::version_of;
use super::{ReadEhr, Resolve, ResolveError, back_off};
use crate::base::{UtcMillis, hours, seconds};
use crate::fhir::{AttachmentRef, AttachmentSource, ContentBasis, EhrError, FaultClass, Report, Subject};
use crate::store::{self, Conn, Delivery, SourceRow, StoreError};

/// What was sealed longer ago is not compared: the link has long ended.
const COMPARED_FOR: Duration = hours(30 * 24);
/// For each file. A larger file counts as another one: the release step has the time for it.
const FETCH_TIMEOUT: Duration = seconds(45);
/// A file that fails to come so often counts as another one, so that a person sees what became of it.
const FETCHES_MAX: i32 = 5;

/// What was learnt of the file before the transaction.
#[derive(Clone)]
pub(super) enum Fetched {
    NotAsked,
    /// The keyed hashes of its files, in their order.
    Whole(Vec<[u8; 32]>),
    /// Too slow, refused, or failing for too long.
    Never,
    Later {
        why: String,
        wait: Duration,
    },
}

/// Whether this version may say something new that only the file shows.
pub(super) fn is_in_question(source: &SourceRow, report: &Report) -> Result<bool, StoreError> {
    Ok(report.content_basis == ContentBasis::Address
        && plan::says_changed(report.status)
        && source.content_hash == Some(report.content_hash)
        && source.read_version != Some(version_of(report)?))
}

/// The keyed hashes of the files that the patient was given, if it was lately. What was not given yet is fetched at its
/// release in any case.
fn sealed_lately(conn: &mut Conn, standing: &Delivery, now: UtcMillis) -> Result<Vec<[u8; 32]>, StoreError> {
    let Some(link) = standing.link.as_ref().filter(|_| standing.state.was_released()) else { return Ok(Vec::new()) };
    store::sealed_since(conn, link, &standing.id, now.minus(COMPARED_FOR))
}

/// What the file says, judged in the transaction that acts on it.
///
/// # Errors
/// [`StoreError::Moved`] when it was sealed after this reading had found nothing to compare.
pub(super) fn judge(
    conn: &mut Conn,
    standing: Option<&Delivery>,
    fetched: &Fetched,
    now: UtcMillis,
) -> Result<File, StoreError> {
    let sealed = match standing {
        Some(standing) => sealed_lately(conn, standing, now)?,
        None => Vec::new(),
    };
    match fetched {
        _ if sealed.is_empty() => Ok(File::NotCompared),
        Fetched::Whole(now) if sealed == *now => Ok(File::Same),
        Fetched::Whole(_) | Fetched::Never => Ok(File::Other),
        Fetched::NotAsked | Fetched::Later { .. } => Err(StoreError::Moved),
    }
}

impl Resolve {
    /// Reads the file where it is in question and there is something to compare it with.
    pub(super) async fn fetch_in_question(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        report: &Report,
    ) -> Result<Fetched, ResolveError> {
        let documents = report.documents();
        if documents.is_empty() {
            return Ok(Fetched::NotAsked);
        }
        let would_tell = self.is_another_sealed(source, report).await? || self.may_be_anothers(source, report).await?;
        if !would_tell {
            return Ok(Fetched::NotAsked);
        }
        let time = FETCH_TIMEOUT * u32::try_from(documents.len()).unwrap_or(1);
        Ok(match tokio::time::timeout(time, self.digests(ehr, &documents)).await {
            Ok(Ok(indexes)) => Fetched::Whole(indexes),
            Ok(Err(error)) if error.class() == FaultClass::Permanent || source.tries >= FETCHES_MAX => Fetched::Never,
            Ok(Err(error)) => Fetched::Later { why: error.to_string(), wait: back_off(source.tries) },
            Err(_) => Fetched::Never,
        })
    }

    /// As they would be sealed: a file that comes twice once.
    async fn digests(&self, ehr: &ReadEhr, documents: &[&AttachmentRef]) -> Result<Vec<[u8; 32]>, EhrError> {
        let mut indexes = Vec::new();
        for document in documents {
            let index = self.vault.file_index(&ehr.client.digest_attachment(document).await?);
            if !indexes.contains(&index) {
                indexes.push(index);
            }
        }
        Ok(indexes)
    }

    async fn is_another_sealed(&self, source: &SourceRow, report: &Report) -> Result<bool, ResolveError> {
        if !is_in_question(source, report)? {
            return Ok(false);
        }
        let (now, id, content) = (self.clock.now(), source.id.clone(), report.content_hash);
        let sealed = self
            .store
            .read(move |conn| match store::latest_delivery_with(conn, &id, &content)? {
                Some(standing) => sealed_lately(conn, &standing, now),
                None => Ok(Vec::new()),
            })
            .await?;
        Ok(!sealed.is_empty())
    }

    /// Whether its file would tell it from another resource, which it names or which names it.
    async fn may_be_anothers(&self, source: &SourceRow, report: &Report) -> Result<bool, ResolveError> {
        let is_elsewhere =
            report.documents().iter().any(|attachment| matches!(attachment.source, AttachmentSource::Url(_)));
        let Subject::Patient(patient) = &report.subject else { return Ok(false) };
        if !is_elsewhere || !plan::is_understood(report.status) {
            return Ok(false);
        }
        let patient = self.vault.patient_index(&source.key.ehr, patient);
        let mut marks = self.marks(&self.vault.documents_index(&patient, source.addressee), report);
        let (id, kind, content) = (source.id.clone(), source.key.kind, report.content_hash);
        let would_tell = self.store.read(move |conn| {
            marks.extend(store::marks_of(conn, &id, &content)?);
            store::would_digest_tell(conn, (&id, kind), &marks)
        });
        Ok(would_tell.await?)
    }
}
