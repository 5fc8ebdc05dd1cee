//! Append-only files of lines, each vouched for by a MAC that covers the line before.
//!
//! Must stay true: a line is on the disk before `append` returns; a torn last line, which nobody was
//! told of, is ignored; a line changed, lost, moved or brought from another file is an error. Lines cut
//! off at the end cannot be noticed here; the high-water mark is for that.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;

use super::name::mac;
use super::{At, KeyError, ReplicaName, file};
use crate::base::Key256;

const MAC_BYTES: usize = 16;

/// What a chained file holds; part of each MAC, and of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Deaths,
    Anchors,
    Mark,
}

impl Content {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Deaths => "deaths",
            Self::Anchors => "anchors",
            Self::Mark => "mark",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Deaths | Self::Anchors => ".log",
            Self::Mark => "",
        }
    }

    pub(super) fn path(self, dir: &Path, replica: &ReplicaName) -> PathBuf {
        dir.join(format!("{}-{}{}", self.as_str(), replica.as_str(), self.extension()))
    }

    /// The replicas that wrote such a file, with its path, by name.
    ///
    /// A file whose name is nearly one of ours is an error: passing over it could bring links back.
    pub(super) fn files(self, dir: &Path) -> Result<Vec<(ReplicaName, PathBuf)>, KeyError> {
        let mut found = Vec::new();
        let start = format!("{}-", self.as_str());
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(KeyError::at(dir, &error)),
        };
        for entry in entries {
            let path = entry.at(dir)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(rest) = name.strip_prefix(&start) else { continue };
            // The mark's own temporary file; what it replaces is still whole.
            if self == Self::Mark && rest.strip_suffix(".new").is_some_and(|name| ReplicaName::parse(name).is_ok()) {
                continue;
            }
            match rest.strip_suffix(self.extension()).map(ReplicaName::parse) {
                Some(Ok(replica)) => found.push((replica, path)),
                Some(Err(_)) | None => return Err(KeyError::Malformed(path)),
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Who vouches for the lines of one file.
#[derive(Clone)]
pub(super) struct Seal {
    key: Key256,
    context: String,
}

impl Seal {
    pub(super) fn new(key: &Key256, content: Content, replica: &ReplicaName) -> Self {
        Self { key: key.clone(), context: format!("chartseal/1/{}\n{}\n", content.as_str(), replica.as_str()) }
    }

    fn mac(&self, previous: &[u8], payload: &str) -> [u8; MAC_BYTES] {
        mac(&self.key, &[self.context.as_bytes(), previous, payload.as_bytes()])
    }

    /// `payload`, its MAC and a line feed.
    fn line(&self, previous: &[u8; MAC_BYTES], payload: &str) -> (String, [u8; MAC_BYTES]) {
        let mac = self.mac(previous, payload);
        (format!("{payload} {}\n", BASE64URL_NOPAD.encode(&mac)), mac)
    }

    /// A file of one line.
    pub(super) fn single(&self, payload: &str) -> String {
        self.line(&[0; MAC_BYTES], payload).0
    }

    fn open<'a>(&self, previous: &[u8; MAC_BYTES], line: &'a str) -> Option<(&'a str, [u8; MAC_BYTES])> {
        let (payload, found) = line.rsplit_once(' ')?;
        let found: [u8; MAC_BYTES] = BASE64URL_NOPAD.decode(found.as_bytes()).ok()?.try_into().ok()?;
        let wanted = crate::base::SecretBytes::new(self.mac(previous, payload));
        wanted.matches(&found).then_some((payload, found))
    }
}

/// What a chained file says.
pub(super) struct Contents {
    pub(super) payloads: Vec<String>,
    last_mac: [u8; MAC_BYTES],
    /// Bytes up to the end of the last whole line.
    whole_bytes: u64,
}

/// Reads and verifies a whole file; a missing one is empty.
pub(super) fn read(path: &Path, seal: &Seal) -> Result<Contents, KeyError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(KeyError::at(path, &error)),
    };
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut contents = Contents { payloads: Vec::new(), last_mac: [0; MAC_BYTES], whole_bytes: whole as u64 };
    let whole = bytes.get(..whole).unwrap_or_default();
    for (index, line) in whole.split_inclusive(|b| *b == b'\n').enumerate() {
        let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_suffix('\n'));
        let Some((payload, mac)) = text.and_then(|text| seal.open(&contents.last_mac, text)) else {
            return Err(KeyError::Damaged { path: path.to_owned(), line: index + 1 });
        };
        contents.payloads.push(payload.to_owned());
        contents.last_mac = mac;
    }
    Ok(contents)
}

/// The one writer of a chained file.
pub(super) struct ChainedLog {
    path: PathBuf,
    file: File,
    seal: Seal,
    last_mac: [u8; MAC_BYTES],
    whole_bytes: u64,
    tail: Tail,
}

/// What follows the last line that was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// Part of a batch that failed, or a torn line: cut off before the next one is written.
    Unknown,
}

impl ChainedLog {
    /// Opens for appending and gives what the file says already.
    pub(super) fn open(path: PathBuf, seal: Seal) -> Result<(Self, Vec<String>), KeyError> {
        let file = OpenOptions::new().append(true).create(true).mode(file::FILE_MODE).open(&path).at(&path)?;
        file::refuse_wider(&path, &file.metadata().at(&path)?, file::FILE_MODE)?;
        file::give_to_owner_of_folder(&file, &path).at(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeyError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(KeyError::at(&path, &error)),
        }
        file::sync_parent(&path)?;
        let Contents { payloads, last_mac, whole_bytes } = read(&path, &seal)?;
        Ok((Self { path, file, seal, last_mac, whole_bytes, tail: Tail::Unknown }, payloads))
    }

    /// Appends all lines or none, with one fsync.
    pub(super) fn append(&mut self, payloads: &[String]) -> Result<(), KeyError> {
        let (mut text, mut last_mac) = (String::new(), self.last_mac);
        for payload in payloads {
            let (line, mac) = self.seal.line(&last_mac, payload);
            text.push_str(&line);
            last_mac = mac;
        }
        if self.tail == Tail::Unknown {
            self.file.set_len(self.whole_bytes).at(&self.path)?;
        }
        self.tail = Tail::Unknown;
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()).at(&self.path)?;
        self.tail = Tail::Nothing;
        self.last_mac = last_mac;
        self.whole_bytes += text.len() as u64;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn swap_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}
