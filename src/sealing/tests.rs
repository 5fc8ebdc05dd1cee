//! What the tests of this room share.

mod keys;
mod streams;
mod tink;
mod vectors;

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rand_core::{TryCryptoRng, TryRng};
use serde::de::DeserializeOwned;

use super::layout::Layout;
use super::open::open_with_layout;
use super::*;
use crate::base::{LinkId, MediaType, VersionId};

/// Gives out the bytes it was made of, and panics when they run out.
struct Script(std::vec::IntoIter<u8>);

impl Script {
    fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into_iter())
    }
}

impl TryRng for Script {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("only bytes are drawn here")
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("only bytes are drawn here")
    }
    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        buffer.fill_with(|| self.0.next().expect("enough bytes in the script"));
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn link() -> LinkId {
    LinkId::parse("Y2hhcnRzZWFsLTEh").unwrap()
}

fn context() -> FileContext {
    FileContext {
        link: link(),
        number: FileNumber::FIRST,
        version: VersionId::parse("7").unwrap(),
        media: MediaType::Pdf,
    }
}

fn content_key() -> ContentKey {
    ContentKey::of_bytes([7; 32])
}

/// Seals in one write under [`content_key`] and [`context`], with a salt and prefix of `random`.
fn seal_small(layout: Layout, plain: &[u8], random: u8) -> Vec<u8> {
    seal_in_pieces(layout, std::iter::once(plain), random)
}

fn seal_in_pieces<'a>(layout: Layout, pieces: impl Iterator<Item = &'a [u8]>, random: u8) -> Vec<u8> {
    let mut sealer =
        Sealer::with_layout(layout, &content_key(), &context(), &mut Script::new([random; 39]), Vec::new()).unwrap();
    for piece in pieces {
        sealer.write(piece).unwrap();
    }
    let (file, length) = sealer.finish().unwrap();
    assert_eq!(length.sealed, file.len() as u64);
    assert_eq!(length.sealed, layout.sealed_length(length.plain));
    file
}

/// What was released, and how it ended.
fn open_small(layout: Layout, sealed: &[u8]) -> (Vec<u8>, Result<u64, OpenError>) {
    let mut plain = Vec::new();
    let end = open_with_layout(layout, &content_key(), &context(), sealed, &mut plain);
    (plain, end)
}

/// The variant's name, as the vectors spell it.
fn name_of(error: &OpenError) -> String {
    match error {
        OpenError::Header => "Header".to_owned(),
        OpenError::Truncated => "Truncated".to_owned(),
        OpenError::TrailingBytes => "TrailingBytes".to_owned(),
        OpenError::NotAuthentic { segment } => format!("NotAuthentic in segment {segment}"),
        OpenError::Read(_) => "Read".to_owned(),
        OpenError::Write(_) => "Write".to_owned(),
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn bytes_of<const N: usize>(hex: &str) -> [u8; N] {
    from_hex(hex).try_into().unwrap()
}

fn vectors_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn read_json<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
