//! Figures of sealing: one core, the report as it streams by, beside the cipher alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::duration_suboptimal_units,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::single_match_else,
    reason = "a bench that meets the unexpected should end there and say so; it shares the tests' support"
)]

mod measure;

use std::io;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce, Tag};
use chartseal::base::{Key256, LinkId, LinkSecret, MediaType, VersionId, random};
use chartseal::sealing::{self, ContentKey, FileContext, FileNumber, Sealer};
use measure::{Figure, Goal, Measure, number, process};

const CHUNK_BYTES: usize = 1 << 20;
/// A report comes from the network in pieces of about this size.
const PIECE_BYTES: usize = 1 << 16;
/// The kernel tells a thread's time in steps of 4 ms, and once takes 30: so often is 0.5 s, known to a hundredth.
const TIMES: usize = 16;
const GOAL: Goal = Goal::RatioAtLeast(0.9);
const BESIDE: &str = "the aes-gcm crate alone, in place, 1 MiB at a time";

fn main() {
    let Some(measure) = Measure::begin() else { return };
    let chunks = measure.count(16, 64);
    if measure.wants("sealing") {
        seal(&measure, chunks);
    }
    if measure.wants("opening a sealed file") {
        open(&measure, chunks);
    }
}

fn seal(measure: &Measure, chunks: usize) {
    let (key, context, cipher) = keys();
    let piece = vec![7_u8; PIECE_BYTES];
    let mut scratch = vec![7_u8; CHUNK_BYTES];
    let pair = measure.alternate(
        || {
            rate(chunks, || {
                let mut sealer =
                    Sealer::new(&key, &context, &mut random::system(), io::sink()).expect("nothing fails here");
                for _ in 0..chunks * (CHUNK_BYTES / PIECE_BYTES) {
                    sealer.write(&piece).expect("a sink takes everything");
                }
                sealer.finish().expect("a sink takes everything");
            })
        },
        || {
            rate(chunks, || {
                for chunk in 0..chunks {
                    let tag = cipher.encrypt_inout_detached(&nonce(chunk), b"", scratch.as_mut_slice().into());
                    std::hint::black_box(tag.expect("short enough"));
                }
            })
        },
    );
    let name = format!("sealing a report of {chunks} MiB as it streams by, one core");
    Figure::beside(name, "MB/s", pair, BESIDE)
        .goal(GOAL)
        .note("in pieces of 64 KiB; by the time the thread had a core")
        .tell();
}

fn open(measure: &Measure, chunks: usize) {
    let (key, context, cipher) = keys();
    let report = vec![7_u8; CHUNK_BYTES];
    let mut sealer = Sealer::new(&key, &context, &mut random::system(), Vec::new()).expect("memory suffices");
    for _ in 0..chunks {
        sealer.write(&report).expect("memory suffices");
    }
    let (sealed, _) = sealer.finish().expect("memory suffices");

    let mut alone: Vec<(Vec<u8>, Tag)> = Vec::new();
    for chunk in 0..chunks {
        let mut bytes = report.clone();
        let tag = cipher.encrypt_inout_detached(&nonce(chunk), b"", bytes.as_mut_slice().into()).expect("short enough");
        alone.push((bytes, tag));
    }
    let mut scratch = report;
    let pair = measure.alternate(
        || {
            rate(chunks, || {
                sealing::open(&key, &context, sealed.as_slice(), io::sink()).expect("it opens");
            })
        },
        || {
            rate(chunks, || {
                for (chunk, (bytes, tag)) in alone.iter().enumerate() {
                    // The sealed bytes are read from where they lie, as ours are.
                    scratch.copy_from_slice(bytes);
                    cipher
                        .decrypt_inout_detached(&nonce(chunk), b"", scratch.as_mut_slice().into(), tag)
                        .expect("it opens");
                }
            })
        },
    );
    let name = format!("opening a sealed file of {chunks} MiB as it streams by, one core");
    Figure::beside(name, "MB/s", pair, BESIDE).goal(GOAL).note("by the time the thread had a core").tell();
}

fn keys() -> (ContentKey, FileContext, Aes256Gcm) {
    let rng = &mut random::system();
    let link = LinkId::random(rng);
    let content = ContentKey::derive(&LinkSecret::random(rng), &Key256::random(rng), &link);
    let version = VersionId::parse("1").expect("a version");
    let context = FileContext { link, number: FileNumber::FIRST, version, media: MediaType::Pdf };
    (content, context, Aes256Gcm::new(&[3; 32].into()))
}

fn nonce(chunk: usize) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&chunk.to_be_bytes());
    nonce.into()
}

/// MB/s, of the work done [`TIMES`] times.
fn rate(chunks: usize, mut work: impl FnMut()) -> f64 {
    let ((), took) = process::on_core(|| (0..TIMES).for_each(|_| work()));
    number(TIMES * chunks * CHUNK_BYTES) / 1e6 / took.as_secs_f64()
}
