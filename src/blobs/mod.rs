//! Sealed files at rest: written whole or not at all, read by range, removed for good.
//!
//! Job: keep ciphertext under a random name until its link dies.
//! Must stay true: a file is visible under its key only after its last byte and its name are on the
//! disk; a writer that is dropped leaves nothing; removing twice is removing once.
//! Must not know: what is inside, whose it is, or any key that opens it.
//!
//! All calls block; they belong on blocking threads.

mod directory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, ErrorKind, Read, Take, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;

use crate::base::UtcMillis;
use directory::{Directory, TempFile};

/// Random bytes in a key: nobody guesses a name, and two files never share one.
pub const KEY_BYTES: usize = 24;
/// The same in base64url characters.
const KEY_CHARS: usize = KEY_BYTES / 3 * 4;

/// What went wrong with a sealed file. Names neither the file nor its key.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Ours: the database says there is a file and there is none.
    #[error("the sealed file does not exist")]
    Missing,
    /// Ours: a key was used twice.
    #[error("a sealed file with this key exists already")]
    Taken,
    /// Ours: the file is shorter than the caller believes.
    #[error("the sealed file has {length} bytes, fewer than asked for")]
    OutOfRange { length: u64 },
    /// Outside: free some space; the work is tried again.
    #[error("the disk that holds the sealed files is full: free some space under [blobs] url")]
    DiskFull,
    /// Outside: a matter of permissions or of a wrong path.
    #[error("the sealed files cannot be reached: [blobs] url must name a directory that this user may write")]
    Denied,
    /// Outside: the disk or file system failed.
    #[error("the disk that holds the sealed files failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if kind == ErrorKind::NotFound {
            Self::Missing
        } else if kind == ErrorKind::AlreadyExists {
            Self::Taken
        } else if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&kind) {
            Self::DiskFull
        } else if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::NotADirectory].contains(&kind)
        {
            Self::Denied
        } else {
            Self::Io(error)
        }
    }
}

/// Where sealed files live. One form today; an object store is the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobUrl {
    /// `file:PATH`, a directory on this machine.
    File(PathBuf),
}

impl BlobUrl {
    /// Reads `file:PATH`; a relative path counts from `base_dir`.
    ///
    /// # Errors
    /// Says which form was expected.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, BlobUrlError> {
        let path = text.strip_prefix("file:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match path {
            Some(path) if !path.is_empty() => Ok(Self::File(base_dir.join(path))),
            Some(_) | None => Err(BlobUrlError),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected file: and the path of a directory")]
pub struct BlobUrlError;

/// The name of one sealed file: 24 random bytes as 32 base64url characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlobKey(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a blob key of 32 base64url characters")]
pub struct BlobKeyError;

impl BlobKey {
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; KEY_BYTES];
        rng.fill_bytes(&mut bytes);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    /// # Errors
    /// Says which shape was expected.
    pub fn parse(text: &str) -> Result<Self, BlobKeyError> {
        let is_key = text.len() == KEY_CHARS && BASE64URL_NOPAD.decode(text.as_bytes()).is_ok();
        if is_key { Ok(Self(text.to_owned())) } else { Err(BlobKeyError) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BlobKey {
    type Err = BlobKeyError;
    fn from_str(text: &str) -> Result<Self, BlobKeyError> {
        Self::parse(text)
    }
}

/// A visible sealed file, as the sweep sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    pub key: BlobKey,
    pub length_bytes: u64,
    pub modified: UtcMillis,
}

/// The place of all sealed files. Cheap to clone; safe to use from many threads and processes.
#[derive(Clone)]
pub struct BlobStore(Place);

#[derive(Clone)]
enum Place {
    Directory(Directory),
}

impl BlobStore {
    /// Opens the place, and makes it (mode 0700) when it does not exist.
    ///
    /// # Errors
    /// [`BlobError::Denied`], [`BlobError::DiskFull`] or [`BlobError::Io`].
    pub fn open(url: &BlobUrl) -> Result<Self, BlobError> {
        match url {
            BlobUrl::File(path) => Ok(Self(Place::Directory(Directory::open(path).map_err(not_a_place)?))),
        }
    }

    /// Tries whether a file can be made, and leaves none.
    ///
    /// # Errors
    /// As [`BlobStore::open`].
    pub fn try_writing(&self, rng: &mut impl CryptoRng) -> Result<(), BlobError> {
        self.create(&BlobKey::random(rng)).map(drop).map_err(not_a_place)
    }

    /// Starts a new file, invisible until [`BlobWriter::commit`].
    ///
    /// # Errors
    /// [`BlobError::Taken`] when `key` names a file already; otherwise as [`BlobStore::open`].
    pub fn create(&self, key: &BlobKey) -> Result<BlobWriter, BlobError> {
        match &self.0 {
            Place::Directory(directory) => Ok(BlobWriter { temp: directory.create(key)?, written_bytes: 0 }),
        }
    }

    /// Reads `length` bytes from `start`.
    ///
    /// # Errors
    /// [`BlobError::OutOfRange`] when the file ends before `start + length`; [`BlobError::Missing`].
    pub fn open_range(&self, key: &BlobKey, start: u64, length: u64) -> Result<BlobRange, BlobError> {
        match &self.0 {
            Place::Directory(directory) => {
                let file = directory.open_range(key, start, length)?;
                Ok(BlobRange { bytes: file.take(length), length_bytes: length })
            }
        }
    }

    /// The length of the whole file, in bytes.
    ///
    /// # Errors
    /// [`BlobError::Missing`].
    pub fn length(&self, key: &BlobKey) -> Result<u64, BlobError> {
        match &self.0 {
            Place::Directory(directory) => directory.length(key),
        }
    }

    /// Removes the file, on the disk before this returns. A missing file is a removed one.
    ///
    /// # Errors
    /// [`BlobError::Denied`] or [`BlobError::Io`]; the file may then still exist.
    pub fn remove(&self, key: &BlobKey) -> Result<(), BlobError> {
        match &self.0 {
            Place::Directory(directory) => directory.remove(key),
        }
    }

    /// Every visible file last written before `before`, in no order: the sweep asks the store which of
    /// them nobody refers to.
    ///
    /// # Errors
    /// As [`BlobStore::open`]; each step may fail too.
    pub fn list_older_than(
        &self,
        before: UtcMillis,
    ) -> Result<impl Iterator<Item = Result<BlobInfo, BlobError>> + use<>, BlobError> {
        match &self.0 {
            Place::Directory(directory) => directory.list_older_than(before),
        }
    }

    /// Removes what crashed writers left behind: unfinished files last written before `before` that no
    /// living writer holds. Returns how many.
    ///
    /// # Errors
    /// As [`BlobStore::open`].
    pub fn remove_abandoned(&self, before: UtcMillis) -> Result<usize, BlobError> {
        match &self.0 {
            Place::Directory(directory) => directory.remove_abandoned(before),
        }
    }
}

/// What is missing or in the way there is no sealed file, but a part of the path.
fn not_a_place(error: BlobError) -> BlobError {
    match error {
        BlobError::Missing | BlobError::Taken => BlobError::Denied,
        other @ (BlobError::OutOfRange { .. } | BlobError::DiskFull | BlobError::Denied | BlobError::Io(_)) => other,
    }
}

/// A file being written. Dropped without [`commit`](Self::commit), it leaves nothing.
///
/// A failed `write` gives an [`io::Error`]; `BlobError::from` tells whose fault it was.
#[must_use = "the file exists only after commit"]
pub struct BlobWriter {
    temp: TempFile,
    written_bytes: u64,
}

impl BlobWriter {
    /// Makes the file visible under its key: bytes, name and directory are on the disk when this
    /// returns. Gives the length in bytes.
    ///
    /// # Errors
    /// As [`BlobStore::create`]; nothing is visible then.
    pub fn commit(self) -> Result<u64, BlobError> {
        self.temp.publish()?;
        Ok(self.written_bytes)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.temp.file().write(bytes)?;
        self.written_bytes = self.written_bytes.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temp.file().flush()
    }
}

/// The bytes of one range, as a reader that ends where the range ends.
pub struct BlobRange {
    bytes: Take<std::fs::File>,
    length_bytes: u64,
}

impl BlobRange {
    #[must_use]
    pub const fn length_bytes(&self) -> u64 {
        self.length_bytes
    }
}

impl Read for BlobRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}
