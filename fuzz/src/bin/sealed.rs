//! Sealed files and wrapped secrets, changed in every way that bytes can be: cut, flipped, reordered, spliced together,
//! read under another key or for another place. What comes out is always a beginning of what was sealed under that key for
//! that place, in whole segments, and `Ok` means all of it.
//!
//! The input is a program of edits, so that the fuzzer's bytes are decisions and not tags that it would have to guess.

#![no_main]

use std::sync::LazyLock;

use chartseal::base::{Key256, LinkId, LinkSecret, MediaType, VersionId};
use chartseal::sealing::{
    ContentKey, FileContext, FileNumber, Purpose, Sealer, WRAP_OVERHEAD_BYTES, open, sealed_length, unwrap, wrap,
};
use chartseal_fuzz::chance::Chance;
use libfuzzer_sys::fuzz_target;

const SEGMENT_BYTES: usize = 1 << 20;
const HEADER_BYTES: usize = 40;
const TAG_BYTES: usize = 16;
/// Edits of one input.
const EDITS_MAX: usize = 16;

/// A file, or a secret, and the bytes it was sealed to.
struct Original {
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

struct Bench {
    key: ContentKey,
    context: FileContext,
    /// Empty, small, exactly one segment, one byte more, and three segments.
    files: Vec<Original>,
    wrapped: Original,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let mut chance = Chance(7);
    let link = LinkId::parse("AAAAAAAAAAAAAAAB").unwrap();
    let key = ContentKey::derive(&LinkSecret::new([1; 16]), &Key256::new([2; 32]), &link);
    let version = VersionId::parse("3").unwrap();
    let context = FileContext { link, number: FileNumber::FIRST, version, media: MediaType::Pdf };
    let first = SEGMENT_BYTES - HEADER_BYTES - TAG_BYTES;
    let files = [0, 1000, first, first + 1, first + SEGMENT_BYTES + 5].map(|length| {
        let plain: Vec<u8> = (0..length).map(|at| (at / 7 % 251) as u8).collect();
        let mut sealed = Vec::new();
        let mut sealer = Sealer::new(&key, &context, &mut chance, &mut sealed).unwrap();
        sealer.write(&plain).unwrap();
        sealer.finish().unwrap();
        assert_eq!(sealed.len() as u64, sealed_length(plain.len() as u64));
        Original { plain, sealed }
    });
    let plain = b"a link's secret".to_vec();
    let sealed = wrap(&Key256::new([3; 32]), Purpose::LinkSecret, b"row", &plain, &mut chance);
    Bench { key, context, files: files.into(), wrapped: Original { plain, sealed } }
});

fuzz_target!(|program: &[u8]| {
    let mut program = Program(program);
    match program.below(4) {
        0 => unwraps(&mut program),
        1 => opens_nothing(program.0),
        _ => opens(&mut program),
    }
});

/// The fuzzer's bytes, read as decisions; zeros when they are used up.
struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn below(&mut self, end: usize) -> usize {
        let number = u32::from_le_bytes([self.byte(), self.byte(), self.byte(), 0]);
        number as usize % end.max(1)
    }
}

fn opens(program: &mut Program) {
    let files = &BENCH.files;
    // The large ones are slow: most inputs are of the small ones.
    let chosen = if program.byte() < 240 { program.below(2) } else { program.below(files.len()) };
    let mut bytes = files[chosen].sealed.clone();
    for _ in 0..program.below(EDITS_MAX) {
        edit(&mut bytes, program);
    }
    let mut context = BENCH.context.clone();
    let other_key = ContentKey::derive(&LinkSecret::new([1; 16]), &Key256::new([9; 32]), &context.link);
    match program.below(8) {
        0 => context.link = LinkId::parse("AAAAAAAAAAAAAAAC").unwrap(),
        1 => context.number = FileNumber::new(2).unwrap(),
        2 => context.version = VersionId::parse("4").unwrap(),
        3 => context.media = MediaType::Text,
        _ => {}
    }
    let key = if program.byte() == 1 { &other_key } else { &BENCH.key };
    let is_ours = context == BENCH.context && std::ptr::eq(key, &raw const BENCH.key);
    let mut plain = Vec::new();
    let opened = open(key, &context, bytes.as_slice(), &mut plain);
    let whole = files.iter().find(|file| is_ours && file.sealed == bytes);
    match (opened, whole) {
        (Ok(length), Some(file)) => assert!(length == plain.len() as u64 && plain == file.plain),
        (Ok(_), None) => panic!("bytes opened that were never sealed"),
        (Err(error), Some(_)) => panic!("a sealed file does not open: {error}"),
        (Err(_), None) => {
            let is_beginning = |file: &Original| is_ours && file.plain.starts_with(&plain);
            assert!(plain.is_empty() || files.iter().any(is_beginning), "plaintext came out that was never sealed");
            let segments = (plain.len() + HEADER_BYTES + TAG_BYTES) % (SEGMENT_BYTES - TAG_BYTES);
            assert!(plain.is_empty() || segments == TAG_BYTES, "a part of a segment came out: {}", plain.len());
        }
    }
}

fn edit(bytes: &mut Vec<u8>, program: &mut Program) {
    let length = bytes.len();
    let segment = |number: usize| {
        let start = (number * SEGMENT_BYTES).min(length);
        start..(start + SEGMENT_BYTES).min(length)
    };
    let segments = length.div_ceil(SEGMENT_BYTES);
    match program.below(8) {
        0 | 1 if length > 0 => {
            // The ends and the seams are worth more than the middle.
            let place = match program.below(3) {
                0 => program.below(length.min(HEADER_BYTES + TAG_BYTES)),
                1 => length - 1 - program.below(length.min(TAG_BYTES + 2)),
                _ => program.below(length),
            };
            bytes[place] ^= program.byte().max(1);
        }
        2 => bytes.truncate(program.below(length + 1)),
        3 => bytes.truncate(length - program.below(length.min(TAG_BYTES + 2) + 1)),
        4 => bytes.extend((0..program.below(40)).map(|_| program.byte()).collect::<Vec<_>>()),
        5 => {
            let (one, other) = (segment(program.below(segments)), segment(program.below(segments)));
            let copied = bytes[one].to_vec();
            bytes.splice(other, copied);
        }
        6 => bytes.extend_from_within(segment(program.below(segments))),
        _ => {
            // The header, or everything after it, of another file.
            let other = &BENCH.files[program.below(BENCH.files.len())].sealed;
            let seam = length.min(HEADER_BYTES);
            if program.byte().is_multiple_of(2) {
                bytes.splice(..seam, other[..HEADER_BYTES].iter().copied());
            } else {
                bytes.splice(seam.., other[HEADER_BYTES..].iter().copied());
            }
        }
    }
}

/// The fuzzer's own bytes are never a sealed file, nor a wrapped secret.
fn opens_nothing(bytes: &[u8]) {
    let mut plain = Vec::new();
    assert!(open(&BENCH.key, &BENCH.context, bytes, &mut plain).is_err() && plain.is_empty());
    assert!(unwrap(&Key256::new([3; 32]), Purpose::LinkSecret, b"row", bytes).is_err());
}

fn unwraps(program: &mut Program) {
    let Original { plain, sealed } = &BENCH.wrapped;
    let mut bytes = sealed.clone();
    for _ in 0..program.below(EDITS_MAX) {
        edit(&mut bytes, program);
    }
    let purpose = *[Purpose::LinkSecret, Purpose::LinkSecret, Purpose::Share].get(program.below(3)).unwrap();
    let context: &[u8] = if program.byte() == 1 { b"another row" } else { b"row" };
    let is_ours = purpose == Purpose::LinkSecret && context == b"row" && bytes == *sealed;
    match unwrap(&Key256::new([3; 32]), purpose, context, &bytes) {
        Ok(found) => assert!(is_ours && *found == *plain && bytes.len() == plain.len() + WRAP_OVERHEAD_BYTES),
        Err(_) => assert!(!is_ours, "a wrapped secret does not unwrap"),
    }
}
