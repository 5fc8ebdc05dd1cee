//! Fetching an attachment: inline, raw, or wrapped in a JSON `Binary`.
//!
//! Must stay true: until [`AttachmentStream::next`] has said `None`, the bytes are unverified and must not be
//! released; after an error it never says `None`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::ACCEPT;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::client::EhrClient;
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::guard::Place;
use super::report::{AttachmentRef, AttachmentSource};
use super::transport;
use crate::base::SecretText;

/// Pieces in which an attachment held in memory is handed out.
const CHUNK_BYTES: usize = 64 * 1024;
/// What a JSON `Binary` may hold beside its data.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

/// The bytes of one attachment, in order.
pub struct AttachmentStream {
    source: Source,
    sha1: Sha1,
    sha256: Sha256,
    seen_bytes: u64,
    bytes_max: u64,
    declared_size: Option<u64>,
    declared_sha1: Option<[u8; 20]>,
    declared_type: Option<String>,
}

enum Source {
    Wire(Box<Response>),
    Held(Bytes),
    Verified { sha256: [u8; 32] },
    Failed(EhrError),
}

impl EhrClient {
    /// Opens `attachment`. The answer's own content type decides how its body is read.
    ///
    /// # Errors
    /// `ForbiddenUrl` before anything is sent when the URL leads where Chartseal does not follow;
    /// `LinkRefused` when a presigned link has run out: read the report again.
    pub async fn fetch_attachment(&self, attachment: &AttachmentRef) -> Result<AttachmentStream, EhrError> {
        let source = match &attachment.source {
            AttachmentSource::Absent => return Err(EhrError::NoAttachment),
            AttachmentSource::Inline(data) => self.decode(data)?,
            AttachmentSource::Url(url) => self.open(url, attachment).await?,
        };
        Ok(AttachmentStream {
            source,
            sha1: Sha1::new(),
            sha256: Sha256::new(),
            seen_bytes: 0,
            bytes_max: self.limits.attachment_bytes_max,
            declared_size: attachment.size,
            declared_sha1: attachment.sha1,
            declared_type: attachment.content_type.clone(),
        })
    }

    /// Reads `attachment` to its end and keeps nothing but its SHA-256.
    ///
    /// # Errors
    /// As [`Self::fetch_attachment`] and [`AttachmentStream::next`].
    pub async fn digest_attachment(&self, attachment: &AttachmentRef) -> Result<[u8; 32], EhrError> {
        let mut stream = self.fetch_attachment(attachment).await?;
        while stream.next().await?.is_some() {}
        stream.sha256().ok_or(EhrError::CutShort)
    }

    async fn open(&self, url: &SecretText, attachment: &AttachmentRef) -> Result<Source, EhrError> {
        let url = self.base.url().join(url.expose());
        let url = url.map_err(|_| EhrError::ForbiddenUrl { why: "it is not a URL" })?;
        let place = self.guard.place(&url)?;
        let wanted = attachment.content_type.as_deref().unwrap_or("application/pdf");
        let accept = format!("{wanted}, application/fhir+json;q=0.9, */*;q=0.1");
        let request = self.request(place, Method::GET, url).header(ACCEPT, accept);
        let response = self.send(request, self.limits.attachment_timeout).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(match (place, status.as_u16()) {
                (Place::Listed, code @ (401 | 403)) => EhrError::LinkRefused { status: code },
                // Accepted, partial, no content: not the file, perhaps later.
                (Place::Ehr | Place::Listed, code @ 200..=299) => EhrError::Server { status: code },
                (Place::Ehr | Place::Listed, _) => transport::refusal(status, response.headers()),
            });
        }
        if !transport::tells_its_end(&response) && attachment.size.is_none() && attachment.sha1.is_none() {
            return Err(EhrError::Mismatch {
                what: "its server does not tell how long it is, and neither does the report",
            });
        }
        let media = transport::media_type(response.headers());
        match media.as_str() {
            "text/html" | "application/xhtml+xml" | "text/xml" | "application/xml"
                if is_markup_of_the_kind(&media, attachment) =>
            {
                Ok(Source::Wire(Box::new(response)))
            }
            // A login page, or a Binary in a form that was not asked for.
            "text/html" | "application/xhtml+xml" | "application/fhir+xml" | "text/xml" | "application/xml" => {
                Err(EhrError::NotFhir)
            }
            json if transport::is_json(json) => {
                let limit_bytes = base64_length(self.limits.inline_bytes_max).saturating_add(ENVELOPE_BYTES_MAX);
                let body = transport::body(response, limit_bytes).await?;
                self.decode(&unwrap_binary(&body)?)
            }
            _ => Ok(Source::Wire(Box::new(response))),
        }
    }

    fn decode(&self, data: &SecretText) -> Result<Source, EhrError> {
        let limit_bytes = self.limits.inline_bytes_max;
        let too_large = EhrError::TooLarge { limit_bytes: limit_bytes as u64 };
        if data.expose().len() > base64_length(limit_bytes) {
            return Err(too_large);
        }
        let bytes = STANDARD.decode(data.expose()).map_err(|_| Malformed::new("Attachment.data", "is not base64"))?;
        if bytes.len() > limit_bytes { Err(too_large) } else { Ok(Source::Held(bytes.into())) }
    }
}

/// Whether the report itself says that its attachment is such markup.
fn is_markup_of_the_kind(media: &str, attachment: &AttachmentRef) -> bool {
    let declared = attachment.content_type.as_deref().unwrap_or_default();
    let is_html = |kind: &str| kind.contains("html");
    let is_xml = |kind: &str| kind.ends_with("xml") || kind.contains("cda");
    (is_html(media) && is_html(declared)) || (is_xml(media) && is_xml(declared) && !is_html(declared))
}

impl AttachmentStream {
    /// The report's word for the type, a hint for [`super::sniff`] only.
    #[must_use]
    pub fn declared_type(&self) -> Option<&str> {
        self.declared_type.as_deref()
    }

    /// The SHA-256 of all bytes, once [`Self::next`] has said `None`.
    #[must_use]
    pub const fn sha256(&self) -> Option<[u8; 32]> {
        match self.source {
            Source::Verified { sha256 } => Some(sha256),
            Source::Wire(_) | Source::Held(_) | Source::Failed(_) => None,
        }
    }

    /// The next piece; `None` exactly once all bytes came and agree with the declared size and SHA-1.
    ///
    /// # Errors
    /// `TooLarge`, `CutShort`, `TimedOut` or `Mismatch`; the same again at every further call.
    pub async fn next(&mut self) -> Result<Option<Bytes>, EhrError> {
        let piece = match &mut self.source {
            Source::Verified { .. } => return Ok(None),
            Source::Failed(error) => return Err(error.clone()),
            Source::Held(rest) if rest.is_empty() => Ok(None),
            Source::Held(rest) => Ok(Some(rest.split_to(rest.len().min(CHUNK_BYTES)))),
            Source::Wire(response) => transport::chunk(response).await,
        };
        match piece.and_then(|piece| self.account(piece)) {
            Ok(None) => {
                let sha256 = std::mem::take(&mut self.sha256).finalize().into();
                self.source = Source::Verified { sha256 };
                Ok(None)
            }
            Ok(some) => Ok(some),
            Err(error) => {
                self.source = Source::Failed(error.clone());
                Err(error)
            }
        }
    }

    fn account(&mut self, piece: Option<Bytes>) -> Result<Option<Bytes>, EhrError> {
        let Some(piece) = piece else {
            if self.declared_size.is_some_and(|size| size != self.seen_bytes) {
                return Err(EhrError::Mismatch { what: "its size differs" });
            }
            let sha1: [u8; 20] = std::mem::take(&mut self.sha1).finalize().into();
            if self.declared_sha1.is_some_and(|declared| declared != sha1) {
                return Err(EhrError::Mismatch { what: "its SHA-1 hash differs" });
            }
            return Ok(None);
        };
        self.seen_bytes = self.seen_bytes.saturating_add(piece.len() as u64);
        if self.seen_bytes > self.bytes_max {
            return Err(EhrError::TooLarge { limit_bytes: self.bytes_max });
        }
        // No need to carry more than was announced to the end.
        if self.declared_size.is_some_and(|size| self.seen_bytes > size) {
            return Err(EhrError::Mismatch { what: "its size differs" });
        }
        self.sha1.update(&piece);
        self.sha256.update(&piece);
        Ok(Some(piece))
    }
}

/// The data of a JSON `Binary` (<https://hl7.org/fhir/R4/binary.html>), white space removed.
fn unwrap_binary(body: &[u8]) -> Result<SecretText, EhrError> {
    let mut binary = parse_json(body)?;
    if binary.get("resourceType").and_then(Value::as_str) != Some("Binary") {
        return Err(Malformed::new("resourceType", "is not Binary").into());
    }
    match binary.get_mut("data").map(Value::take) {
        Some(Value::String(data)) => {
            let data = Zeroizing::new(data);
            Ok(SecretText::new(data.chars().filter(|c| !c.is_ascii_whitespace()).collect()))
        }
        Some(_) => Err(Malformed::new("Binary.data", "is not text").into()),
        None => Err(Malformed::new("Binary.data", "is missing").into()),
    }
}

const fn base64_length(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}
