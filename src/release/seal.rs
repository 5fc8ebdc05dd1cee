//! From the EHR's bytes to a sealed file, a few chunks in memory at a time.

use std::io::Write as _;

use super::{Hindrance, Release, SourceEhr, failed};
use crate::base::{LinkId, MediaType, random};
use crate::blobs::{BlobError, BlobKey, BlobStore};
use crate::fhir::{AttachmentRef, AttachmentStream, SNIFF_BYTES, sniff};
use crate::policy::ReviewReason;
use crate::sealing::{ContentKey, FileContext, FileNumber, SealError, SealedLength, Sealer};
use crate::store::{Delivery, NewFile};

/// Chunks between the network and the sealer.
const CHUNKS_IN_FLIGHT: usize = 4;

impl Release {
    /// Fetches, judges, seals and stores the file that is the `number`th of `link`. The blob is visible only after the whole attachment was verified.
    pub(super) async fn fetch_and_seal(
        &self,
        ehr: &SourceEhr,
        attachment: &AttachmentRef,
        content: ContentKey,
        (link, number): (&LinkId, FileNumber),
        delivery: &Delivery,
    ) -> Result<NewFile, Hindrance> {
        let mut stream = ehr.client.fetch_attachment(attachment).await.map_err(|error| failed(&error))?;
        let (head, media) = judge_head(&mut stream, attachment).await?;
        let about = FileContext { link: link.clone(), number, version: delivery.report_version.clone(), media };
        let (chunks, receiver) = tokio::sync::mpsc::channel(CHUNKS_IN_FLIGHT);
        let blob = BlobKey::random(&mut random::system());
        let writing = {
            let (blobs, blob) = (self.blobs.clone(), blob.clone());
            tokio::task::spawn_blocking(move || seal_into(&blobs, &blob, &content, &about, receiver))
        };
        let fed = feed(&mut stream, head, chunks).await;
        let written = writing.await.map_err(|_| later("sealing stopped unexpectedly"))?;
        fed?;
        let length = written?;
        let sha256 = stream.sha256().ok_or_else(|| later("the attachment did not arrive whole"))?;
        Ok(NewFile {
            number: number.as_u16(),
            delivery: delivery.id.clone(),
            report_version: delivery.report_version.clone(),
            blob: blob.as_str().to_owned(),
            media,
            plain_bytes: length.plain,
            sealed_bytes: length.sealed,
            plain_index: self.vault.file_index(&sha256),
        })
    }
}

/// Reads as much as the type needs to be told by.
async fn judge_head(
    stream: &mut AttachmentStream,
    attachment: &AttachmentRef,
) -> Result<(Vec<u8>, MediaType), Hindrance> {
    let mut head = Vec::new();
    while head.len() < SNIFF_BYTES {
        match stream.next().await.map_err(|error| failed(&error))? {
            Some(chunk) => head.extend_from_slice(&chunk),
            None => break,
        }
    }
    if head.is_empty() {
        return Err(review("it is empty"));
    }
    let declared = attachment.content_type.as_deref().or(stream.declared_type());
    let first = head.get(..SNIFF_BYTES).unwrap_or(&head);
    match sniff(first, declared) {
        Some(media) => Ok((head, media)),
        None => Err(review("it is neither PDF, PNG, JPEG nor plain text, or not what it is declared to be")),
    }
}

/// What the sealer is given: bytes, and at the very end the word that they were all verified.
enum Chunk {
    Bytes(Vec<u8>),
    Verified,
}

async fn feed(
    stream: &mut AttachmentStream,
    head: Vec<u8>,
    chunks: tokio::sync::mpsc::Sender<Chunk>,
) -> Result<(), Hindrance> {
    // A closed channel means that the sealer failed; its own error says why.
    if chunks.send(Chunk::Bytes(head)).await.is_err() {
        return Ok(());
    }
    loop {
        let Some(bytes) = stream.next().await.map_err(|error| failed(&error))? else {
            let _ = chunks.send(Chunk::Verified).await;
            return Ok(());
        };
        if chunks.send(Chunk::Bytes(bytes.to_vec())).await.is_err() {
            return Ok(());
        }
    }
}

fn seal_into(
    blobs: &BlobStore,
    blob: &BlobKey,
    content: &ContentKey,
    about: &FileContext,
    mut chunks: tokio::sync::mpsc::Receiver<Chunk>,
) -> Result<SealedLength, Hindrance> {
    let writer = blobs.create(blob).map_err(|error| disk(&error))?;
    let mut sealer = Sealer::new(content, about, &mut random::system(), writer).map_err(|error| sealing(&error))?;
    loop {
        match chunks.blocking_recv() {
            Some(Chunk::Bytes(bytes)) => {
                let bytes = zeroize::Zeroizing::new(bytes);
                sealer.write(&bytes).map_err(|error| sealing(&error))?;
            }
            Some(Chunk::Verified) => {
                let (mut writer, length) = sealer.finish().map_err(|error| sealing(&error))?;
                writer.flush().map_err(|error| disk(&BlobError::from(error)))?;
                writer.commit().map_err(|error| disk(&error))?;
                return Ok(length);
            }
            // The fetch failed half-way: the unfinished file vanishes with its writer.
            None => return Err(later("the attachment did not arrive whole")),
        }
    }
}

fn disk(error: &BlobError) -> Hindrance {
    tracing::error!(%error, "a sealed file cannot be stored");
    later(&format!("the sealed file cannot be stored: {error}"))
}

fn sealing(error: &SealError) -> Hindrance {
    tracing::error!(%error, "sealing failed");
    later(&format!("sealing failed: {error}"))
}

fn later(why: &str) -> Hindrance {
    Hindrance::Later { why: why.to_owned() }
}

fn review(why: &str) -> Hindrance {
    Hindrance::Review(ReviewReason::Attachment { why: why.to_owned() })
}
