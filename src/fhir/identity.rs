//! What the patient would read, as one hash: an amended report goes out again only when this changes, and a
//! server that re-indexes and bumps every version causes no message.
//!
//! Covered, each length-prefixed, in this order: the resource type; the status group (unfinished, released,
//! superseded, cancelled, entered in error, unknown: final, amended, corrected and appended are one group);
//! the subject; codes; `DiagnosticReport.result` references, conclusion and conclusion codes; and every
//! attachment: SHA-256 of inline bytes, else the declared SHA-1 and size, else the URL without query and
//! fragment, with the size.
//! Not covered: `meta`, dates, performers, titles, languages, content types, the query of a URL (presigned URLs
//! change at each reading), and the spelling of a reference (absolute or relative, with or without version).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::element::{codings, take_text, text, unsigned};
use super::gate::R4Element;
use super::report::{AttachmentRef, AttachmentSource, ContentBasis, Subject, references};
use super::service::ServiceBase;
use crate::base::{DocumentTitle, ResourceType, SecretText};
use crate::policy::{Coding, ReportStatus};

/// An attachment with what tells it from another.
pub(super) struct Form {
    pub reference: AttachmentRef,
    mark: Mark,
}

enum Mark {
    Bytes { sha256: [u8; 32], sha1: [u8; 20] },
    Declared,
    Address(String),
    Absent,
}

impl Form {
    /// Reads one `Attachment`; fails only when its data is not base64.
    pub(super) fn read(mut attachment: R4Element) -> Result<Self, &'static str> {
        let size = unsigned(&attachment, "size").map(u64::from);
        let sha1 = text(&attachment, "hash")
            .and_then(|hash| STANDARD.decode(hash.trim()).ok())
            .and_then(|hash| <[u8; 20]>::try_from(hash).ok());
        let essence = |declared: &str| declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let content_type = text(&attachment, "contentType").map(essence);
        let language = text(&attachment, "language").map(str::to_owned);
        let title = text(&attachment, "title").and_then(DocumentTitle::cleaned);
        let (source, mark) = match (take_text(&mut attachment, "data"), take_text(&mut attachment, "url")) {
            (Some(data), _) => {
                let data = Zeroizing::new(data);
                let packed: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                let packed = SecretText::new(packed);
                let bytes = Zeroizing::new(STANDARD.decode(packed.expose()).map_err(|_| "is not base64")?);
                (
                    AttachmentSource::Inline(packed),
                    Mark::Bytes { sha256: Sha256::digest(&*bytes).into(), sha1: Sha1::digest(&*bytes).into() },
                )
            }
            (None, Some(url)) => {
                let address = url.split(['?', '#']).next().unwrap_or_default().to_owned();
                let mark = if sha1.is_some() { Mark::Declared } else { Mark::Address(address) };
                (AttachmentSource::Url(SecretText::new(url)), mark)
            }
            (None, None) => (AttachmentSource::Absent, Mark::Absent),
        };
        Ok(Self { reference: AttachmentRef { content_type, language, title, source, size, sha1 }, mark })
    }

    /// SHA-256 and SHA-1 of the bytes, where they are in the resource.
    pub(super) fn digests(&self) -> Option<([u8; 32], [u8; 20])> {
        match &self.mark {
            Mark::Bytes { sha256, sha1 } => Some((*sha256, *sha1)),
            Mark::Declared | Mark::Address(_) | Mark::Absent => None,
        }
    }
}

pub(super) struct Content<'a> {
    pub kind: ResourceType,
    pub status: ReportStatus,
    pub subject: &'a Subject,
    pub codes: &'a [Coding],
    pub element: &'a R4Element,
    pub base: &'a ServiceBase,
    pub forms: &'a [Form],
}

impl Content<'_> {
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut lines = Lines(Sha256::new_with_prefix(b"chartseal report content 1\n"));
        lines.text("kind", self.kind.as_str());
        lines.text("status", status_group(self.status));
        match self.subject {
            Subject::Patient(id) => lines.text("patient", id.as_str()),
            Subject::None => lines.text("patient", ""),
            Subject::Unusable { why } => lines.text("unusable", why),
        }
        lines.codes("code", self.codes);
        for reference in references(self.element, "result", self.base) {
            lines.text("result", &reference);
        }
        lines.text("conclusion", text(self.element, "conclusion").unwrap_or_default());
        lines.codes("conclusion code", &codings(self.element, "conclusionCode"));
        for form in self.forms {
            match &form.mark {
                Mark::Bytes { sha256, .. } => lines.bytes("bytes", sha256),
                Mark::Declared => {
                    lines.bytes("sha1", form.reference.sha1.as_ref().map(<[u8; 20]>::as_slice).unwrap_or_default());
                    lines.bytes("size", &form.reference.size.unwrap_or(u64::MAX).to_be_bytes());
                }
                Mark::Address(address) => {
                    lines.text("address", address);
                    lines.bytes("size", &form.reference.size.unwrap_or(u64::MAX).to_be_bytes());
                }
                Mark::Absent => lines.text("absent", ""),
            }
        }
        lines.0.finalize().into()
    }

    pub(super) fn basis(&self) -> ContentBasis {
        let by_address = self.forms.iter().any(|form| matches!(form.mark, Mark::Address(_)));
        if by_address { ContentBasis::Address } else { ContentBasis::Bytes }
    }
}

const fn status_group(status: ReportStatus) -> &'static str {
    match status {
        ReportStatus::Unfinished => "unfinished",
        ReportStatus::Final | ReportStatus::Amended | ReportStatus::Corrected | ReportStatus::Appended => "released",
        ReportStatus::Superseded => "superseded",
        ReportStatus::Cancelled => "cancelled",
        ReportStatus::EnteredInError => "entered in error",
        ReportStatus::Unknown => "unknown",
    }
}

/// Named, length-prefixed values: no two lists of them hash the same input.
struct Lines(Sha256);

impl Lines {
    fn bytes(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    fn codes(&mut self, name: &str, codes: &[Coding]) {
        for code in codes {
            self.text(name, code.system.as_deref().unwrap_or_default());
            self.text("=", &code.code);
        }
    }
}
