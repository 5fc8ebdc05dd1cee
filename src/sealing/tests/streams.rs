//! Sealing and opening as streams: every size and chunking around the boundaries, every cut and flip, and ends that fail.

use std::io::{self, Read, Write};

use aead_stream::StreamPrimitive;
use proptest::prelude::*;

use super::*;
use crate::base::cases::cases;
use crate::sealing::layout::Header;

/// Segments of 80 bytes: the first holds 24 bytes of plaintext, the others 64.
const TINY_SEGMENT_BYTES: usize = 80;

fn tiny() -> Layout {
    Layout::with_segments_of(TINY_SEGMENT_BYTES)
}

fn numbered(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// Takes `room` bytes, then refuses.
struct Narrow {
    room: usize,
    taken: Vec<u8>,
}

impl Narrow {
    fn new(room: usize) -> Self {
        Self { room, taken: Vec::new() }
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.taken.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives one byte at a time, interrupted before each, and fails after `good` bytes.
struct Halting<'a> {
    bytes: &'a [u8],
    good: usize,
    interrupted: bool,
}

impl Read for Halting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.good == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.good -= 1;
        self.bytes.read(&mut buffer[..1])
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn what_was_sealed_in_any_pieces_opens_to_the_same_bytes(
        plain in prop::collection::vec(any::<u8>(), 0..400),
        piece in 1_usize..200,
        segment_bytes in 57_usize..130,
    ) {
        let layout = Layout::with_segments_of(segment_bytes);
        let sealed = seal_in_pieces(layout, plain.chunks(piece), 1);
        prop_assert_eq!(&sealed, &seal_small(layout, &plain, 1));
        let (opened, end) = open_small(layout, &sealed);
        prop_assert_eq!(end.ok(), Some(plain.len() as u64));
        prop_assert_eq!(opened, plain);
    }
}

#[test]
fn every_size_around_every_boundary_opens() {
    for length in 0..=24 + 3 * 64 + 1 {
        let plain = numbered(length);
        let (opened, end) = open_small(tiny(), &seal_small(tiny(), &plain, 1));
        assert_eq!(end.unwrap(), length as u64);
        assert_eq!(opened, plain);
    }
}

#[test]
fn segments_of_the_published_format_start_at_multiples_of_a_mebibyte() {
    let first = (1 << 20) - 40 - 16;
    let inner = (1 << 20) - 16;
    for (plain, sealed) in [
        (0, 56),
        (1, 57),
        (first, 1 << 20),
        (first + 1, (1 << 20) + 17),
        (first + inner, 2 << 20),
        (first + inner + 1, (2 << 20) + 17),
    ] {
        assert_eq!(sealed_length(plain), sealed);
    }
    assert_eq!(sealed_length(u64::MAX), u64::MAX);
}

#[test]
fn a_file_cut_anywhere_fails_and_releases_only_whole_true_segments() {
    let plain = numbered(24 + 64 + 5);
    let sealed = seal_small(tiny(), &plain, 1);
    for length in 0..sealed.len() {
        let (released, end) = open_small(tiny(), &sealed[..length]);
        assert!(end.is_err(), "cut to {length} bytes");
        assert!(plain.starts_with(&released));
        assert!([0, 24, 24 + 64].contains(&released.len()), "cut to {length} bytes");
    }
}

#[test]
fn a_bit_flipped_anywhere_fails_before_its_segment_is_released() {
    let plain = numbered(24 + 64 + 5);
    let sealed = seal_small(tiny(), &plain, 1);
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (released, end) = open_small(tiny(), &changed);
        assert!(end.is_err(), "bit {bit}");
        let whole_segments_before = [0, 24, 24 + 64][bit / 8 / TINY_SEGMENT_BYTES];
        assert_eq!(released, plain[..whole_segments_before], "bit {bit}");
    }
}

#[test]
fn a_segment_of_another_file_under_the_same_key_and_context_does_not_fit() {
    let plain = numbered(24 + 64 + 64);
    let (mut one, two) = (seal_small(tiny(), &plain, 1), seal_small(tiny(), &plain, 2));
    one[TINY_SEGMENT_BYTES..2 * TINY_SEGMENT_BYTES].copy_from_slice(&two[TINY_SEGMENT_BYTES..2 * TINY_SEGMENT_BYTES]);
    let (released, end) = open_small(tiny(), &one);
    assert_eq!(name_of(&end.unwrap_err()), "NotAuthentic in segment 1");
    assert_eq!(released, plain[..24]);
}

#[test]
fn an_empty_last_segment_is_refused_so_that_a_report_has_one_sealed_length() {
    let header = Header { salt: [1; 32], nonce_prefix: [1; 7] };
    let cipher = header.cipher(&content_key(), &context());
    let mut sealed = seal_small(tiny(), b"", 1)[..40].to_vec();
    sealed.extend(cipher.encrypt(0, false, numbered(24).as_slice()).unwrap());
    sealed.extend(cipher.encrypt(1, true, b"".as_slice()).unwrap());
    let (_, end) = open_small(tiny(), &sealed);
    assert_eq!(name_of(&end.unwrap_err()), "Truncated");
}

#[test]
fn a_sealer_that_is_dropped_leaves_a_file_that_does_not_open() {
    for length in [0, 1, 24, 25, 24 + 64, 24 + 64 + 1] {
        let mut left = Vec::new();
        let mut sealer =
            Sealer::with_layout(tiny(), &content_key(), &context(), &mut Script::new([1; 39]), &mut left).unwrap();
        sealer.write(&numbered(length)).unwrap();
        drop(sealer);
        let (_, end) = open_small(tiny(), &left);
        assert_eq!(name_of(&end.unwrap_err()), "Truncated", "{length} bytes");
    }
}

#[test]
fn a_sealer_whose_destination_failed_never_seals_again() {
    let plain = numbered(24 + 64 + 5);
    let whole = seal_small(tiny(), &plain, 1);
    for room in 0..whole.len() {
        let mut narrow = Narrow::new(room);
        let outcome = Sealer::with_layout(tiny(), &content_key(), &context(), &mut Script::new([1; 39]), &mut narrow)
            .and_then(|mut sealer| {
                if sealer.write(&plain).is_err() {
                    assert!(matches!(sealer.write(b"again"), Err(SealError::Spent)));
                    assert!(matches!(sealer.finish(), Err(SealError::Spent)));
                    return Err(SealError::Spent);
                }
                sealer.finish().map(drop)
            });
        assert!(outcome.is_err(), "room for {room} bytes");
        assert_eq!(narrow.taken, whole[..room]);
        assert!(open_small(tiny(), &narrow.taken).1.is_err(), "room for {room} bytes");
    }
}

#[test]
fn a_source_that_stutters_is_read_and_one_that_dies_is_said_to_have_died() {
    let plain = numbered(24 + 64 + 5);
    let sealed = seal_small(tiny(), &plain, 1);
    for good in 0..=sealed.len() {
        let source = Halting { bytes: &sealed, good, interrupted: false };
        let mut released = Vec::new();
        let end = open_with_layout(tiny(), &content_key(), &context(), source, &mut released);
        assert_eq!(name_of(&end.unwrap_err()), "Read", "after {good} bytes");
        assert!(plain.starts_with(&released) && released.len() < plain.len());
    }
    let source = Halting { bytes: &sealed, good: usize::MAX, interrupted: false };
    let mut opened = Vec::new();
    open_with_layout(tiny(), &content_key(), &context(), source, &mut opened).unwrap();
    assert_eq!(opened, plain);
}

#[test]
fn a_destination_that_refuses_is_not_taken_for_a_bad_file() {
    let sealed = seal_small(tiny(), &numbered(24 + 5), 1);
    for room in 0..24 + 5 {
        let end = open_with_layout(tiny(), &content_key(), &context(), sealed.as_slice(), Narrow::new(room));
        assert_eq!(name_of(&end.unwrap_err()), "Write");
    }
}

#[test]
fn every_file_has_its_own_salt_and_nonce_prefix() {
    let mut rng = crate::base::random::system();
    let mut seal = || {
        let sealer = Sealer::new(&content_key(), &context(), &mut rng, Vec::new()).unwrap();
        sealer.finish().unwrap().0
    };
    let (one, two) = (seal(), seal());
    assert_ne!(one[1..33], two[1..33]);
    assert_ne!(one[33..40], two[33..40]);
}

#[test]
fn the_context_is_written_as_published() {
    assert_eq!(context().associated_data(), "chartseal/1\nY2hhcnRzZWFsLTEh\n1\n7\napplication/pdf");
    assert!(FileNumber::new(0).is_none());
}
