//! The measures of a sealed file: header, segments, and the cipher that both ends derive from them.
//!
//! Must stay true: segment `k` ≥ 1 starts at `k` × the segment length, so that HTTP ranges and segments align; the first
//! segment is shorter by the header. Wire format: Tink streaming AEAD `AES256_GCM_HKDF_1MB`
//! (<https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming>).

use aead_stream::{NewStream, StreamBE32};
use aes_gcm::{Aes256Gcm, KeyInit};

use super::context::FileContext;
use super::kdf::hkdf_sha256;
use super::schedule::ContentKey;

pub(super) const SALT_BYTES: usize = 32;
pub(super) const NONCE_PREFIX_BYTES: usize = 7;
pub(super) const TAG_BYTES: usize = 16;
pub(super) const HEADER_BYTES: usize = 1 + SALT_BYTES + NONCE_PREFIX_BYTES;

/// The header's first byte: its own length.
pub(super) const HEADER_LENGTH: u8 = 40;

/// The length of a sealed segment on the wire, tag included.
const SEGMENT_BYTES: usize = 1 << 20;

/// The segment cipher: nonce = prefix ‖ counter (u32, big-endian) ‖ last-segment flag.
pub(super) type SegmentCipher = StreamBE32<Aes256Gcm>;

/// The sealed length in bytes of `plain` bytes; saturates far above the format's own end at 4 PiB.
#[must_use]
pub fn sealed_length(plain: u64) -> u64 {
    Layout::PUBLISHED.sealed_length(plain)
}

/// Whether a segment is the file's last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Inner,
    Last,
}

impl Place {
    pub(super) const fn is_last(self) -> bool {
        match self {
            Self::Inner => false,
            Self::Last => true,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Inner => Self::Last,
            Self::Last => Self::Inner,
        }
    }
}

/// The random part of a file, in clear at its start.
pub(super) struct Header {
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) nonce_prefix: [u8; NONCE_PREFIX_BYTES],
}

impl Header {
    /// The cipher for this header's file: a key of its own, bound to the whole context.
    pub(super) fn cipher(&self, key: &ContentKey, context: &FileContext) -> SegmentCipher {
        let associated_data = context.associated_data();
        let file_key = hkdf_sha256(&self.salt, &[key.key().expose()], &[associated_data.as_bytes()]);
        SegmentCipher::from_aead(Aes256Gcm::new(file_key.expose().into()), (&self.nonce_prefix).into())
    }
}

/// The segment length: one in the published format, small ones in tests of the boundaries.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    segment_bytes: usize,
}

impl Layout {
    pub(super) const PUBLISHED: Self = Self { segment_bytes: SEGMENT_BYTES };

    #[cfg(test)]
    pub(super) fn with_segments_of(segment_bytes: usize) -> Self {
        assert!(segment_bytes > HEADER_BYTES + TAG_BYTES);
        Self { segment_bytes }
    }

    pub(super) const fn segment_bytes(self) -> usize {
        self.segment_bytes
    }

    /// How many bytes of segment `index` are on the wire when it is full.
    pub(super) const fn sealed_capacity(self, index: u32) -> usize {
        if index == 0 { self.segment_bytes - HEADER_BYTES } else { self.segment_bytes }
    }

    /// How many bytes of plaintext fill segment `index`.
    pub(super) const fn plain_capacity(self, index: u32) -> usize {
        self.sealed_capacity(index) - TAG_BYTES
    }

    pub(super) const fn sealed_length(self, plain: u64) -> u64 {
        let after_first = plain.saturating_sub(self.plain_capacity(0) as u64);
        let segments = 1 + after_first.div_ceil(self.plain_capacity(1) as u64);
        plain.saturating_add(HEADER_BYTES as u64 + segments * TAG_BYTES as u64)
    }
}
