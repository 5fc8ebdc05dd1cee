//! The published vectors: every file of `tests/vectors/sealed` is held to its word, in bytes and in how it fails.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::*;

const SEGMENT_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    key: String,
    context: Context,
    plain: Recipe,
    salt: String,
    nonce_prefix: String,
    sealed_sha256: String,
    sealed: Option<String>,
    edits: Vec<Edit>,
    opened_as: Context,
    opened_with: String,
    expect: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    link: LinkId,
    number: u16,
    version: VersionId,
    media: MediaType,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    repeat: String,
    length: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Edit {
    CutTo(usize),
    Append(String),
    SetByte { at: usize, to: u8 },
    SwapSegments(usize, usize),
}

impl Context {
    fn read(&self) -> FileContext {
        let number = FileNumber::new(self.number).unwrap();
        FileContext { link: self.link.clone(), number, version: self.version.clone(), media: self.media }
    }
}

impl Recipe {
    fn make(&self) -> Vec<u8> {
        from_hex(&self.repeat).into_iter().cycle().take(self.length).collect()
    }
}

impl Edit {
    fn apply(&self, sealed: &mut Vec<u8>) {
        match self {
            Self::CutTo(length) => sealed.truncate(*length),
            Self::Append(hex) => sealed.extend(from_hex(hex)),
            Self::SetByte { at, to } => sealed[*at] = *to,
            Self::SwapSegments(one, two) => {
                let (head, tail) = sealed.split_at_mut(two * SEGMENT_BYTES);
                head[one * SEGMENT_BYTES..(one + 1) * SEGMENT_BYTES].swap_with_slice(&mut tail[..SEGMENT_BYTES]);
            }
        }
    }
}

#[test]
fn every_published_vector_seals_to_the_same_bytes_and_opens_or_fails_as_it_says() {
    let mut held = 0;
    for entry in std::fs::read_dir(vectors_folder().join("sealed")).unwrap() {
        let path = entry.unwrap().path();
        let vector: Vector = read_json(&path);
        hold(&path, &vector);
        held += 1;
    }
    assert!(held >= 30, "only {held} vectors were found");
}

fn hold(path: &Path, vector: &Vector) {
    let name = path.display();
    let plain = vector.plain.make();
    let random = from_hex(&[vector.salt.as_str(), &vector.nonce_prefix].concat());
    let key = ContentKey::of_bytes(bytes_of(&vector.key));
    let mut sealer = Sealer::new(&key, &vector.context.read(), &mut Script::new(random), Vec::new()).unwrap();
    sealer.write(&plain).unwrap();
    let (mut sealed, length) = sealer.finish().unwrap();

    assert_eq!(HEXLOWER.encode(&Sha256::digest(&sealed)), vector.sealed_sha256, "{name}");
    if let Some(hex) = &vector.sealed {
        assert_eq!(&HEXLOWER.encode(&sealed), hex, "{name}");
    }
    assert_eq!(length, SealedLength { plain: plain.len() as u64, sealed: sealed.len() as u64 }, "{name}");
    assert_eq!(sealed_length(length.plain), length.sealed, "{name}");

    for edit in &vector.edits {
        edit.apply(&mut sealed);
    }
    let opened_with = ContentKey::of_bytes(bytes_of(&vector.opened_with));
    let mut opened = Vec::new();
    let end = match open(&opened_with, &vector.opened_as.read(), sealed.as_slice(), &mut opened) {
        Ok(length) => {
            assert_eq!(length, opened.len() as u64, "{name}");
            assert!(opened == plain, "{name}: opened to other bytes");
            "opens".to_owned()
        }
        Err(error) => name_of(&error),
    };
    assert_eq!(end, vector.expect, "{name}");
    assert!(plain.starts_with(&opened), "{name}: released bytes that were never sealed");
}
