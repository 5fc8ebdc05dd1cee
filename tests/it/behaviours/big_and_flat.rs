//! Link behaviour 18: a large file is sealed and opened in passing, and no piece of it can be moved, cut or lent.
//!
//! The two gigabytes and the memory that they take are measured by `scripts/bench`; cuts at every byte and flips of every
//! bit are in `src/sealing/tests`.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use chartseal::base::{Key256, LinkId, LinkSecret, MediaType, VersionId, random};
use chartseal::sealing::{self, ContentKey, FileContext, FileNumber, Sealer};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::support::clinic::{Clinic, Wishes};
use crate::support::holder::Holder;
use crate::support::{pdf, tink};

const MIB: usize = 1 << 20;
const SEGMENT_BYTES: usize = MIB;
/// Four segments, the last of them short.
const PLAIN_BYTES: usize = 3 * MIB + 4321;

/// Delivered over the whole way, fetched, and then mishandled.
#[tokio::test(flavor = "multi_thread")]
async fn link_18_every_cut_reordering_and_splice_of_a_large_file_is_refused_and_tink_agrees() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let mut paper = pdf::with_pages(&["a large picture"]);
    paper.extend((0..PLAIN_BYTES - paper.len()).map(|at| b"0123456789\n"[at % 11]));
    let mut holder = Holder::new(&clinic.sent("ana@example.test", "24323-8", &paper).await);
    let granted = holder.open().await.granted();
    let file = &granted.files[0];
    let sealed = holder.file(1, None).await.bytes;
    assert_eq!(sealed.len().div_ceil(SEGMENT_BYTES), 4);
    assert!(holder.decrypt(&granted, file, &sealed).unwrap() == paper, "the control does not open");

    let segments: Vec<&[u8]> = sealed.chunks(SEGMENT_BYTES).collect();
    for count in 0..segments.len() {
        let cut = segments[..count].concat();
        assert!(holder.decrypt(&granted, file, &cut).is_err(), "cut after {count} segments");
        let cut = [cut.as_slice(), &segments[count][..segments[count].len() - 1]].concat();
        assert!(holder.decrypt(&granted, file, &cut).is_err(), "cut a byte before the end of segment {count}");
    }
    for (one, other) in [(0, 1), (1, 2)] {
        let mut moved = segments.clone();
        moved.swap(one, other);
        assert!(holder.decrypt(&granted, file, &moved.concat()).is_err(), "{one} and {other} changed places");
        let mut doubled = segments.clone();
        doubled[other] = segments[one];
        assert!(holder.decrypt(&granted, file, &doubled.concat()).is_err(), "{one} in the place of {other}");
    }

    let mut stranger = Holder::new(&clinic.sent("ben@example.test", "24323-8", &paper).await);
    let lent = stranger.open().await.granted();
    let other = stranger.file(1, None).await.bytes;
    for at in 0..segments.len() {
        let mut spliced = segments.clone();
        spliced[at] = other.chunks(SEGMENT_BYTES).nth(at).unwrap();
        let outcome = holder.decrypt(&granted, file, &spliced.concat());
        assert!(outcome.is_err(), "segment {at} of another link's file of the same report");
    }
    assert!(holder.decrypt(&granted, file, &other).is_err(), "another link's whole file");
    assert!(stranger.decrypt(&lent, &lent.files[0], &other).unwrap() == paper, "the control does not open");

    let path = clinic.folder.join("fetched");
    std::fs::write(&path, &sealed).unwrap();
    let halves = [holder.link.secret.expose().as_slice(), granted.share.expose()].concat();
    let (mut content, label) = ([0; 32], format!("chartseal/1/content{}", holder.link.id));
    Hkdf::<Sha256>::new(None, &halves).expand(label.as_bytes(), &mut content).unwrap();
    let context = format!("chartseal/1\n{}\n1\n{}\napplication/pdf", holder.link.id, granted.files[0].version);
    assert!(tink::open(&content, context.as_bytes(), &path) == Ok(paper), "Tink reads something else");
    std::fs::write(&path, &sealed[..2 * SEGMENT_BYTES]).unwrap();
    assert!(tink::open(&content, context.as_bytes(), &path).is_err(), "Tink opens half a file");
}

/// Bytes that come out, and how many went in before them.
struct Out {
    bytes: Vec<u8>,
    went_in: Rc<Cell<usize>>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let held_back = self.went_in.get() - self.bytes.len().min(self.went_in.get());
        assert!(held_back <= 2 * SEGMENT_BYTES, "{held_back} bytes went in before these came out");
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that go in, counted.
struct In<'a> {
    bytes: &'a [u8],
    went_in: Rc<Cell<usize>>,
}

impl Read for In<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.went_in.set(self.went_in.get() + count);
        Ok(count)
    }
}

#[test]
fn link_18_sealing_and_opening_never_hold_back_more_than_two_segments() {
    let mut rng = random::system();
    let (link, secret, share) = (LinkId::random(&mut rng), LinkSecret::random(&mut rng), Key256::random(&mut rng));
    let key = ContentKey::derive(&secret, &share, &link);
    let version = VersionId::parse("7").unwrap();
    let context = FileContext { link, number: FileNumber::FIRST, version, media: MediaType::Pdf };

    let went_in = Rc::new(Cell::new(0));
    let out = Out { bytes: Vec::new(), went_in: Rc::clone(&went_in) };
    let mut sealer = Sealer::new(&key, &context, &mut rng, out).unwrap();
    let piece = vec![7; MIB / 8];
    for _ in 0..8 * 6 {
        went_in.set(went_in.get() + piece.len());
        sealer.write(&piece).unwrap();
    }
    let sealed = sealer.finish().unwrap().0.bytes;

    let went_in = Rc::new(Cell::new(0));
    let from = In { bytes: &sealed, went_in: Rc::clone(&went_in) };
    let mut to = Out { bytes: Vec::new(), went_in };
    assert_eq!(sealing::open(&key, &context, from, &mut to).unwrap(), 6 * MIB as u64);
    assert!(to.bytes.iter().all(|byte| *byte == 7));
}
