//! Sealing a file as it streams by.
//!
//! Must stay true: one segment is held, wiped on drop; nothing is ever sealed twice under one nonce, whatever fails; only
//! [`Sealer::finish`] makes a file that opens.

use std::io::{self, Write};

use aead_stream::StreamPrimitive;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::context::FileContext;
use super::layout::{
    HEADER_BYTES, HEADER_LENGTH, Header, Layout, NONCE_PREFIX_BYTES, Place, SALT_BYTES, SegmentCipher, TAG_BYTES,
};
use super::schedule::ContentKey;

/// Why a file was not sealed. What was written by then does not open; seal again from the start.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Outside: the destination refused.
    #[error("the sealed file could not be written")]
    Write(#[source] io::Error),
    /// Us: a sealer was used on after a failure, or past the format's end at 4 PiB.
    #[error("this sealer has already failed; seal the file again from its start")]
    Spent,
}

/// How long a sealed file became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedLength {
    /// Bytes that went in.
    pub plain: u64,
    /// Bytes that were written, header and tags included.
    pub sealed: u64,
}

/// Seals one file in pieces of any size. Dropped without [`finish`](Self::finish), it leaves a file that does not open.
pub struct Sealer<W> {
    layout: Layout,
    cipher: SegmentCipher,
    segment: Zeroizing<Vec<u8>>,
    /// The segment being filled; `None` while one is on its way out, and for good once that has failed.
    index: Option<u32>,
    length: SealedLength,
    writer: W,
}

impl<W: Write> Sealer<W> {
    /// Draws a fresh salt and nonce prefix and writes the header.
    ///
    /// # Errors
    /// [`SealError::Write`] when the header could not be written.
    pub fn new(
        key: &ContentKey,
        context: &FileContext,
        rng: &mut impl CryptoRng,
        writer: W,
    ) -> Result<Self, SealError> {
        Self::with_layout(Layout::PUBLISHED, key, context, rng, writer)
    }

    pub(super) fn with_layout(
        layout: Layout,
        key: &ContentKey,
        context: &FileContext,
        rng: &mut impl CryptoRng,
        mut writer: W,
    ) -> Result<Self, SealError> {
        let mut header = Header { salt: [0; SALT_BYTES], nonce_prefix: [0; NONCE_PREFIX_BYTES] };
        rng.fill_bytes(&mut header.salt);
        rng.fill_bytes(&mut header.nonce_prefix);
        // The whole segment at once: a vector that grows leaves copies of the plaintext behind.
        let segment = Zeroizing::new(Vec::with_capacity(layout.segment_bytes()));
        let cipher = header.cipher(key, context);
        let length = SealedLength { plain: 0, sealed: HEADER_BYTES as u64 };
        for part in [[HEADER_LENGTH].as_slice(), &header.salt, &header.nonce_prefix] {
            writer.write_all(part).map_err(SealError::Write)?;
        }
        Ok(Self { layout, cipher, segment, index: Some(0), length, writer })
    }

    /// Seals the next `plain` bytes, of any number.
    ///
    /// # Errors
    /// [`SealError::Write`] once, then [`SealError::Spent`].
    pub fn write(&mut self, mut plain: &[u8]) -> Result<(), SealError> {
        while !plain.is_empty() {
            // A full segment waits until more comes: only then is it known not to be the last.
            if self.room()? == 0 {
                self.seal_segment(Place::Inner)?;
            }
            let (now, later) = plain.split_at(plain.len().min(self.room()?));
            self.segment.extend_from_slice(now);
            self.length.plain += now.len() as u64;
            plain = later;
        }
        Ok(())
    }

    /// Seals the last segment, flushes, and gives the destination back.
    ///
    /// # Errors
    /// [`SealError::Write`], or [`SealError::Spent`] when an earlier write failed.
    pub fn finish(mut self) -> Result<(W, SealedLength), SealError> {
        self.seal_segment(Place::Last)?;
        self.writer.flush().map_err(SealError::Write)?;
        Ok((self.writer, self.length))
    }

    fn room(&self) -> Result<usize, SealError> {
        let index = self.index.ok_or(SealError::Spent)?;
        Ok(self.layout.plain_capacity(index).saturating_sub(self.segment.len()))
    }

    fn seal_segment(&mut self, place: Place) -> Result<(), SealError> {
        // Taken, so that a failure below leaves no index under which other bytes could be sealed.
        let index = self.index.take().ok_or(SealError::Spent)?;
        debug_assert!(self.segment.len() + TAG_BYTES <= self.segment.capacity());
        self.cipher.encrypt_in_place(index, place.is_last(), b"", &mut *self.segment).map_err(|_| SealError::Spent)?;
        self.writer.write_all(&self.segment).map_err(SealError::Write)?;
        self.length.sealed += self.segment.len() as u64;
        self.segment.clear();
        self.index = index.checked_add(1);
        Ok(())
    }
}
