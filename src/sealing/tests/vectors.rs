//! The published vectors: every file of `tests/vectors/sealed` is held to its word, in bytes and in how it fails.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::*;

const SEGMENT_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    sealing: Sealing,
    sealed_sha256: String,
    sealed: Option<String>,
    edits: Vec<Edit>,
    opening: Opening,
    expect: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sealing {
    key: String,
    context: Context,
    plain: Recipe,
    salt: String,
    nonce_prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    key: String,
    context: Context,
}

#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Context {
    link: LinkId,
    number: u16,
    version: VersionId,
    media: MediaType,
}

#[derive(Deserialize, PartialEq)]
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
        let unit = from_hex(&self.repeat);
        let mut plain = unit.repeat(self.length / unit.len() + 1);
        plain.truncate(self.length);
        plain
    }
}

impl Sealing {
    fn make(&self) -> Vec<u8> {
        let key = ContentKey::of_bytes(bytes_of(&self.key));
        let random = from_hex(&[self.salt.as_str(), &self.nonce_prefix].concat());
        let mut sealer = Sealer::new(&key, &self.context.read(), &mut Script::new(random), Vec::new()).unwrap();
        sealer.write(&self.plain.make()).unwrap();
        let (file, length) = sealer.finish().unwrap();
        let plain = self.plain.length as u64;
        assert_eq!(length, SealedLength { plain, sealed: file.len() as u64 });
        assert_eq!(sealed_length(plain), length.sealed);
        file
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
    // Many vectors start from one file; sealing a mebibyte without optimisation takes half a second.
    let mut sealed_before: Vec<(Sealing, Vec<u8>)> = Vec::new();
    let mut held = 0;
    for entry in std::fs::read_dir(vectors_folder().join("sealed")).unwrap() {
        let path = entry.unwrap().path();
        let vector: Vector = read_json(&path);
        let known = sealed_before.iter().find(|(sealing, _)| *sealing == vector.sealing);
        let sealed = known.map_or_else(|| vector.sealing.make(), |(_, sealed)| sealed.clone());
        hold(&path, &vector, sealed.clone());
        sealed_before.push((vector.sealing, sealed));
        held += 1;
    }
    assert!(held >= 30, "only {held} vectors were found");
}

fn hold(path: &Path, vector: &Vector, mut sealed: Vec<u8>) {
    let name = path.display();
    assert_eq!(HEXLOWER.encode(&Sha256::digest(&sealed)), vector.sealed_sha256, "{name}");
    if let Some(hex) = &vector.sealed {
        assert_eq!(&HEXLOWER.encode(&sealed), hex, "{name}");
    }
    for edit in &vector.edits {
        edit.apply(&mut sealed);
    }

    let key = ContentKey::of_bytes(bytes_of(&vector.opening.key));
    let plain = vector.sealing.plain.make();
    let mut opened = Vec::new();
    let end = match open(&key, &vector.opening.context.read(), sealed.as_slice(), &mut opened) {
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
