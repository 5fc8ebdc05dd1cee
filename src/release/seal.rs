//! From the EHR's bytes, or from a document of our own, to a sealed file, a few chunks in memory at a time.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use super::health_link::PdfCopy;
use super::judge::Judged;
use super::read::Look;
use super::scan::{Scan, Scanned};
use super::{Hindrance, Release, failed};
use crate::base::{DocumentTitle, LinkId, MediaType, random};
use crate::blobs::{BlobError, BlobKey, BlobStore};
use crate::fhir::{AttachmentRef, AttachmentStream, SNIFF_BYTES, Sniffed, sniff, why_unsent};
use crate::policy::ReviewReason;
use crate::sealing::{ContentKey, FileContext, FileNumber, SealError, SealedLength, Sealer};
use crate::store::{Delivery, NewFile};

/// Chunks between the network and the sealer.
const CHUNKS_IN_FLIGHT: usize = 4;

impl Release {
    /// Fetches, judges, seals and stores the file that is the `number`th of `link`. The blob is visible only after the whole attachment was verified.
    pub(super) async fn fetch_and_seal(
        &self,
        (judged, attachment): (&Judged<'_>, &AttachmentRef),
        content: ContentKey,
        (link, number): (&LinkId, FileNumber),
        delivery: &Delivery,
    ) -> Result<(NewFile, Passed), Hindrance> {
        let mut stream = judged.ehr.client.fetch_attachment(attachment).await.map_err(|error| failed(&error))?;
        let (head, kind) = judge_head(&mut stream, attachment).await?;
        match kind {
            Sniffed::Shown(media) => {
                let version = delivery.report_version.clone();
                let about = FileContext { link: link.clone(), number, version, media };
                let sealed = self.seal_as_it_is(judged, (stream, head), content, about, delivery).await;
                sealed.map(|(file, passed)| (file, Passed { title: attachment.title.clone(), ..passed }))
            }
            Sniffed::Foreign(kind) => {
                let Fetched { page, sha256, scanned } = self.carry_over(judged, stream, &head, kind).await?;
                let file = self.seal_paper(&page, content, (link, number), delivery).await?;
                // Recognised by what the EHR holds, also when it shows the same bytes again.
                let passed = Passed { scanned, copy: PdfCopy::Unwanted, title: attachment.title.clone() };
                Ok((NewFile { plain_index: self.vault.file_index(&sha256), ..file }, passed))
            }
        }
    }

    async fn seal_as_it_is(
        &self,
        judged: &Judged<'_>,
        (mut stream, head): (AttachmentStream, Vec<u8>),
        content: ContentKey,
        about: FileContext,
        delivery: &Delivery,
    ) -> Result<(NewFile, Passed), Hindrance> {
        let (at_words, scan) = (self.begin_look(judged, about.media), self.malware.begin().await);
        let mut looks = Looks { at_words, scan, copy: PdfCopy::begin(&judged.terms, about.media) };
        let (chunks, receiver) = tokio::sync::mpsc::channel(CHUNKS_IN_FLIGHT);
        let sealing = self.begin_sealing(content, about.clone(), receiver);
        let fed = feed(&mut stream, head, &chunks, &mut looks).await;
        let whole = || stream.sha256().ok_or_else(|| later("the attachment did not arrive whole"));
        let judged = match fed.and_then(|()| whole()) {
            Ok(sha256) => self.judge_looks(looks, judged, &sha256).await.map(|passed| (sha256, passed)),
            Err(hindrance) => Err(hindrance),
        };
        if judged.is_ok() {
            // A closed channel means that the sealer failed; its own error says why.
            let _ = chunks.send(Chunk::Verified).await;
        }
        drop(chunks);
        let sealed = sealing.finish().await;
        let (sha256, passed) = judged?;
        Ok((self.new_file(&about, delivery, &sealed?, &sha256), passed))
    }

    /// Malware first: whose it is would be read out of a hostile file.
    async fn judge_looks(
        &self,
        Looks { at_words, scan, copy }: Looks,
        judged: &Judged<'_>,
        sha256: &[u8; 32],
    ) -> Result<Passed, Hindrance> {
        let scanned = scan.judge().await?;
        self.judge_look(at_words, judged, sha256).await.map(|()| Passed { scanned, copy, title: None })
    }

    /// Seals and stores a document of our own.
    pub(super) async fn seal_paper(
        &self,
        page: &[u8],
        content: ContentKey,
        (link, number): (&LinkId, FileNumber),
        delivery: &Delivery,
    ) -> Result<NewFile, Hindrance> {
        let (link, version) = (link.clone(), delivery.report_version.clone());
        let about = FileContext { link, number, version, media: MediaType::Html };
        self.seal_bytes(page, content, about, delivery).await
    }

    /// Seals and stores bytes of our own, whatever they are.
    pub(super) async fn seal_bytes(
        &self,
        bytes: &[u8],
        content: ContentKey,
        about: FileContext,
        delivery: &Delivery,
    ) -> Result<NewFile, Hindrance> {
        let (chunks, receiver) = tokio::sync::mpsc::channel(CHUNKS_IN_FLIGHT);
        let sealing = self.begin_sealing(content, about.clone(), receiver);
        // A closed channel means that the sealer failed; its own error says why.
        if chunks.send(Chunk::Bytes(bytes.to_vec())).await.is_ok() {
            let _ = chunks.send(Chunk::Verified).await;
        }
        let sealed = sealing.finish().await?;
        Ok(self.new_file(&about, delivery, &sealed, &Sha256::digest(bytes).into()))
    }

    /// Stores bytes that are encrypted already.
    pub(super) async fn store_blob(&self, bytes: Vec<u8>) -> Result<BlobKey, Hindrance> {
        let blobs = self.blobs.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let blob = BlobKey::random(&mut random::system());
            let mut writer = blobs.create(&blob)?;
            writer.write_all(&bytes).map_err(BlobError::from)?;
            writer.flush().map_err(BlobError::from)?;
            writer.commit()?;
            Ok(blob)
        });
        stored.await.map_err(|_| later("storing stopped unexpectedly"))?.map_err(|error| disk(&error))
    }

    /// Removes files that go into no link. What cannot be removed now the sweep finds.
    pub(super) async fn discard(&self, files: impl IntoIterator<Item = NewFile>) {
        let keys: Vec<BlobKey> = files.into_iter().filter_map(|file| BlobKey::parse(&file.blob).ok()).collect();
        let blobs = self.blobs.clone();
        let removed = tokio::task::spawn_blocking(move || keys.iter().try_for_each(|key| blobs.remove(key)));
        if !matches!(removed.await, Ok(Ok(()))) {
            tracing::warn!("a sealed file that goes into no link cannot be removed now");
        }
    }

    fn begin_sealing(
        &self,
        content: ContentKey,
        about: FileContext,
        chunks: tokio::sync::mpsc::Receiver<Chunk>,
    ) -> Sealing {
        let blob = BlobKey::random(&mut random::system());
        let (blobs, into) = (self.blobs.clone(), blob.clone());
        let work = tokio::task::spawn_blocking(move || seal_into(&blobs, &into, &content, &about, chunks));
        Sealing { blob, work }
    }

    fn new_file(&self, about: &FileContext, delivery: &Delivery, sealed: &Sealed, sha256: &[u8; 32]) -> NewFile {
        NewFile {
            number: about.number.as_u16(),
            delivery: delivery.id.clone(),
            report_version: delivery.report_version.clone(),
            blob: sealed.blob.as_str().to_owned(),
            media: about.media,
            plain_bytes: sealed.length.plain,
            sealed_bytes: sealed.length.sealed,
            plain_index: self.vault.file_index(sha256),
        }
    }
}

/// A document of another kind, carried over.
pub(super) struct Fetched {
    pub(super) page: Vec<u8>,
    /// Of what the EHR sent.
    pub(super) sha256: [u8; 32],
    pub(super) scanned: Scanned,
}

/// Those who look at an attachment as it passes.
struct Looks {
    at_words: Look,
    scan: Scan,
    copy: PdfCopy,
}

/// What is known of an attachment once all of it passed.
pub(super) struct Passed {
    pub(super) scanned: Scanned,
    pub(super) copy: PdfCopy,
    /// What its sender calls it.
    pub(super) title: Option<DocumentTitle>,
}

/// A file being sealed beside the async workers.
struct Sealing {
    blob: BlobKey,
    work: tokio::task::JoinHandle<Result<SealedLength, Hindrance>>,
}

struct Sealed {
    blob: BlobKey,
    length: SealedLength,
}

impl Looks {
    async fn give(&mut self, bytes: &[u8]) {
        self.at_words.give(bytes).await;
        self.scan.give(bytes).await;
        self.copy.give(bytes);
    }
}

impl Sealing {
    async fn finish(self) -> Result<Sealed, Hindrance> {
        let length = self.work.await.map_err(|_| later("sealing stopped unexpectedly"))??;
        Ok(Sealed { blob: self.blob, length })
    }
}

/// Reads as much as the type needs to be told by.
async fn judge_head(
    stream: &mut AttachmentStream,
    attachment: &AttachmentRef,
) -> Result<(Vec<u8>, Sniffed), Hindrance> {
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
        Some(kind) => Ok((head, kind)),
        None => Err(review(&why_unsent(first))),
    }
}

/// What the sealer is given: bytes, and at the very end the word that they were all verified.
enum Chunk {
    Bytes(Vec<u8>),
    Verified,
}

/// Hands the whole attachment to the sealer, and to whoever looks at it.
async fn feed(
    stream: &mut AttachmentStream,
    head: Vec<u8>,
    chunks: &tokio::sync::mpsc::Sender<Chunk>,
    looks: &mut Looks,
) -> Result<(), Hindrance> {
    looks.give(&head).await;
    // A closed channel means that the sealer failed; its own error says why.
    if chunks.send(Chunk::Bytes(head)).await.is_err() {
        return Ok(());
    }
    while let Some(bytes) = stream.next().await.map_err(|error| failed(&error))? {
        looks.give(&bytes).await;
        if chunks.send(Chunk::Bytes(bytes.to_vec())).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
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
