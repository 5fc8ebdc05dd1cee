//! Sealed files in a local directory: `ab/abcdef…`, and `tmp/` for what is not finished.
//!
//! Must stay true: `tmp/` lies in the same file system, so that publishing is one rename; files are
//! 0600 and directories 0700; every change of a name is followed by an fsync of its directory.

use std::fs::{self, DirBuilder, File, OpenOptions, ReadDir, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{BlobError, BlobInfo, BlobKey};
use crate::base::UtcMillis;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const TEMP_DIRECTORY: &str = "tmp";

#[derive(Clone)]
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn open(root: &Path) -> Result<Self, BlobError> {
        let directory = Self { root: root.to_owned() };
        make_directory(&directory.temp_directory())?;
        sync_directory(root)?;
        Ok(directory)
    }

    pub(super) fn create(&self, key: &BlobKey) -> Result<TempFile, BlobError> {
        let target = self.path_of(key);
        if target.try_exists()? {
            return Err(BlobError::Taken);
        }
        let path = self.temp_directory().join(key.as_str());
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        // The lock tells remove_abandoned, in whichever process, that this writer lives.
        file.lock()?;
        Ok(TempFile { file, path, target, root: self.root.clone() })
    }

    pub(super) fn open_range(&self, key: &BlobKey, start: u64, length: u64) -> Result<File, BlobError> {
        let mut file = File::open(self.path_of(key))?;
        let whole = file.metadata()?.len();
        if start.checked_add(length).is_none_or(|end| end > whole) {
            return Err(BlobError::OutOfRange { length: whole });
        }
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    }

    pub(super) fn length(&self, key: &BlobKey) -> Result<u64, BlobError> {
        Ok(fs::metadata(self.path_of(key))?.len())
    }

    pub(super) fn remove(&self, key: &BlobKey) -> Result<(), BlobError> {
        let path = self.path_of(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        // Also for a file already gone: the one who removed it may have died before this fsync.
        match path.parent().map(sync_directory) {
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            Some(Ok(()) | Err(_)) | None => Ok(()),
        }
    }

    pub(super) fn list_older_than(&self, before: UtcMillis) -> Result<Listing, BlobError> {
        Ok(Listing { shards: fs::read_dir(&self.root)?, files: None, before })
    }

    pub(super) fn remove_abandoned(&self, before: UtcMillis) -> Result<usize, BlobError> {
        let mut removed = 0;
        for entry in fs::read_dir(self.temp_directory())? {
            let path = entry?.path();
            if is_abandoned(&path, before)? {
                match fs::remove_file(&path) {
                    Ok(()) => removed += 1,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if removed > 0 {
            sync_directory(&self.temp_directory())?;
        }
        Ok(removed)
    }

    fn temp_directory(&self) -> PathBuf {
        self.root.join(TEMP_DIRECTORY)
    }

    fn path_of(&self, key: &BlobKey) -> PathBuf {
        self.root.join(shard_of(key.as_str())).join(key.as_str())
    }
}

/// An unfinished file; dropped, it is removed.
pub(super) struct TempFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    target: PathBuf,
    root: PathBuf,
}

impl TempFile {
    pub(super) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// After the rename the temporary name is gone, and dropping finds nothing to remove.
    pub(super) fn publish(self) -> Result<(), BlobError> {
        self.file.sync_all()?;
        let shard = self.target.parent().unwrap_or(&self.root);
        make_directory(shard)?;
        sync_directory(&self.root)?;
        fs::rename(&self.path, &self.target)?;
        Ok(sync_directory(shard)?)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // A failure here leaves a file for remove_abandoned, which says why it cannot be removed.
        drop(fs::remove_file(&self.path));
    }
}

/// Walks shard after shard; keeps one directory open at a time.
pub(super) struct Listing {
    shards: ReadDir,
    files: Option<ReadDir>,
    before: UtcMillis,
}

impl Listing {
    fn step(&mut self) -> Result<Option<Step>, BlobError> {
        if let Some(files) = &mut self.files {
            let Some(entry) = files.next() else {
                self.files = None;
                return Ok(Some(Step::Nothing));
            };
            let entry = entry?;
            let Some(key) = entry.file_name().to_str().and_then(|name| BlobKey::parse(name).ok()) else {
                return Ok(Some(Step::Nothing));
            };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Step::Nothing)),
                Err(error) => return Err(error.into()),
            };
            let info = BlobInfo { key, length_bytes: metadata.len(), modified: millis_of(metadata.modified()?) };
            return Ok(Some(if info.modified < self.before { Step::Found(info) } else { Step::Nothing }));
        }
        let Some(entry) = self.shards.next() else { return Ok(None) };
        let entry = entry?;
        // A shard has two characters, so that "tmp" and strangers are passed over.
        if entry.file_name().len() == 2 && entry.file_type()?.is_dir() {
            self.files = Some(fs::read_dir(entry.path())?);
        }
        Ok(Some(Step::Nothing))
    }
}

enum Step {
    Found(BlobInfo),
    Nothing,
}

impl Iterator for Listing {
    type Item = Result<BlobInfo, BlobError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Some(Step::Found(info))) => return Some(Ok(info)),
                Ok(Some(Step::Nothing)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn shard_of(key: &str) -> &str {
    key.get(..2).unwrap_or(key)
}

fn is_abandoned(path: &Path, before: UtcMillis) -> Result<bool, BlobError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if millis_of(file.metadata()?.modified()?) >= before {
        return Ok(false);
    }
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn millis_of(time: SystemTime) -> UtcMillis {
    UtcMillis::from_datetime(time.into())
}
