//! Opening a sealed file as it streams by.
//!
//! Must stay true: no plaintext of a segment is released before its tag has verified; `Ok` means the whole file, to its
//! true end and nothing after it, sealed under this key for this context.

use std::io::{self, Read, Write};

use aead_stream::StreamPrimitive;
use zeroize::Zeroizing;

use super::context::FileContext;
use super::layout::{HEADER_LENGTH, Header, Layout, NONCE_PREFIX_BYTES, Place, SALT_BYTES, SegmentCipher, TAG_BYTES};
use super::schedule::ContentKey;

/// Why a file did not open. The variants say only what the bytes prove.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Us or outside: not a file of this format.
    #[error("the file does not start like a sealed file")]
    Header,
    /// Outside: the file ends before its last segment.
    #[error("the sealed file is cut short; fetch it again")]
    Truncated,
    /// Outside: bytes follow the authentic last segment.
    #[error("bytes follow the end of the sealed file; fetch it again")]
    TrailingBytes,
    /// Outside or us: changed, reordered, spliced or cut inside this segment, or opened with another key or context.
    /// Cryptography cannot tell these apart.
    #[error("segment {segment} is not what was sealed under this key for this file")]
    NotAuthentic { segment: u32 },
    /// Outside: the source failed.
    #[error("the sealed file could not be read")]
    Read(#[source] io::Error),
    /// Outside: the destination refused.
    #[error("the opened file could not be written")]
    Write(#[source] io::Error),
}

/// Opens `reader` into `writer`; the number of plaintext bytes.
///
/// Each segment is written as soon as its tag has verified. **When a later segment fails, the earlier ones have already
/// been written**: they are authentic, but a beginning is not the report. On an error discard what `writer` received.
///
/// # Errors
/// See [`OpenError`].
pub fn open(key: &ContentKey, context: &FileContext, reader: impl Read, writer: impl Write) -> Result<u64, OpenError> {
    open_with_layout(Layout::PUBLISHED, key, context, reader, writer)
}

pub(super) fn open_with_layout(
    layout: Layout,
    key: &ContentKey,
    context: &FileContext,
    mut reader: impl Read,
    mut writer: impl Write,
) -> Result<u64, OpenError> {
    let cipher = read_header(&mut reader)?.cipher(key, context);
    let mut segments = Segments::new(layout, reader);
    let mut plain_bytes = 0;
    loop {
        let place = segments.read_next()?;
        segments.decrypt(&cipher, place)?;
        writer.write_all(&segments.bytes).map_err(OpenError::Write)?;
        plain_bytes += segments.bytes.len() as u64;
        match place {
            Place::Last => break,
            Place::Inner => segments.advance()?,
        }
    }
    writer.flush().map_err(OpenError::Write)?;
    Ok(plain_bytes)
}

fn read_header(reader: &mut impl Read) -> Result<Header, OpenError> {
    let mut length = [0];
    read_exact(reader, &mut length)?;
    if length != [HEADER_LENGTH] {
        return Err(OpenError::Header);
    }
    let mut header = Header { salt: [0; SALT_BYTES], nonce_prefix: [0; NONCE_PREFIX_BYTES] };
    read_exact(reader, &mut header.salt)?;
    read_exact(reader, &mut header.nonce_prefix)?;
    Ok(header)
}

fn read_exact(reader: &mut impl Read, buffer: &mut [u8]) -> Result<(), OpenError> {
    reader.read_exact(buffer).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof { OpenError::Truncated } else { OpenError::Read(error) }
    })
}

/// The segments of one file, one at a time, with one byte of the next to know whether there is a next.
struct Segments<R> {
    layout: Layout,
    reader: R,
    index: u32,
    bytes: Zeroizing<Vec<u8>>,
    next_byte: Option<u8>,
}

impl<R: Read> Segments<R> {
    fn new(layout: Layout, reader: R) -> Self {
        let bytes = Zeroizing::new(Vec::with_capacity(layout.segment_bytes() + 1));
        Self { layout, reader, index: 0, bytes, next_byte: None }
    }

    /// Fills `bytes` with the sealed segment `index`.
    fn read_next(&mut self) -> Result<Place, OpenError> {
        self.bytes.clear();
        self.bytes.extend(self.next_byte.take());
        let capacity = self.layout.sealed_capacity(self.index);
        let wanted = capacity + 1 - self.bytes.len();
        self.reader.by_ref().take(wanted as u64).read_to_end(&mut self.bytes).map_err(OpenError::Read)?;
        if self.bytes.len() > capacity {
            self.next_byte = self.bytes.pop();
            return Ok(Place::Inner);
        }
        // Only an empty file has an empty last segment: otherwise one plaintext would have two sealed lengths.
        let smallest = if self.index == 0 { TAG_BYTES } else { TAG_BYTES + 1 };
        if self.bytes.len() < smallest { Err(OpenError::Truncated) } else { Ok(Place::Last) }
    }

    /// Turns `bytes` into plaintext, or leaves them sealed and says why.
    fn decrypt(&mut self, cipher: &SegmentCipher, place: Place) -> Result<(), OpenError> {
        if self.decrypts(cipher, place) {
            return Ok(());
        }
        // The wrong flag on a right segment tells where the true end was; its plaintext goes nowhere.
        if self.decrypts(cipher, place.other()) {
            return Err(match place {
                Place::Last => OpenError::Truncated,
                Place::Inner => OpenError::TrailingBytes,
            });
        }
        Err(OpenError::NotAuthentic { segment: self.index })
    }

    fn decrypts(&mut self, cipher: &SegmentCipher, place: Place) -> bool {
        cipher.decrypt_in_place(self.index, place.is_last(), b"", &mut *self.bytes).is_ok()
    }

    fn advance(&mut self) -> Result<(), OpenError> {
        self.index = self.index.checked_add(1).ok_or(OpenError::TrailingBytes)?;
        Ok(())
    }
}
