//! One key in one file: created once, read strictly, destroyed for good.
//!
//! Must stay true: a key file appears whole and never changes under its name; of several creators the
//! first one's key is everybody's; destroying survives a crash at any instant.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{At, KeyError, KeyKind};
use crate::base::{Key256, UtcMillis};

pub(super) const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;
/// A key file has about 80 bytes; what is longer is not one.
const FILE_BYTES_MAX: u64 = 200;
const EXTENSION: &str = ".key";
/// Follows the file's name while it is written, before eight random characters.
const TEMP_MARK: &str = ".new-";
/// Follows the file's name while it is overwritten.
const DOOMED_MARK: &str = ".doomed";

/// One file on the disk, told from a later file of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

pub(super) struct Loaded {
    pub(super) key: Key256,
    pub(super) identity: Identity,
    pub(super) created: UtcMillis,
}

pub(super) fn path_of(dir: &Path, kind: KeyKind, name: &str) -> PathBuf {
    dir.join(kind.as_str()).join(format!("{name}{EXTENSION}"))
}

/// The key's name in a directory entry; `None` for temporary and foreign files.
pub(super) fn name_in(file_name: &str) -> Option<&str> {
    file_name.strip_suffix(EXTENSION)
}

/// `None` when there is no such file.
pub(super) fn identity(path: &Path) -> Result<Option<Identity>, KeyError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(identity_of(&metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyError::at(path, &error)),
    }
}

fn identity_of(metadata: &fs::Metadata) -> Identity {
    Identity { device: metadata.dev(), inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
}

/// `None` when there is no such file.
pub(super) fn load(path: &Path, kind: KeyKind, name: &str) -> Result<Option<Loaded>, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyError::at(path, &error)),
    };
    let metadata = file.metadata().at(path)?;
    refuse_wider(path, &metadata, FILE_MODE)?;
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(FILE_BYTES_MAX).unwrap_or_default()));
    match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err(KeyError::Malformed(path.to_owned())),
        Err(error) => return Err(KeyError::at(path, &error)),
    }
    let key = parse(&text, kind, name).ok_or_else(|| KeyError::Malformed(path.to_owned()))?;
    let created = metadata.modified().at(path)?;
    Ok(Some(Loaded { key, identity: identity_of(&metadata), created: UtcMillis::from_datetime(created.into()) }))
}

fn parse(text: &str, kind: KeyKind, name: &str) -> Option<Key256> {
    let key = text.strip_suffix('\n')?.strip_prefix(&format!("chartseal-key 1 {kind} {name} "))?;
    Key256::from_base64url(key)
}

/// Whether this call made the file or found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    Made,
    Found,
}

/// Writes a random key, unless the file exists by then.
pub(super) fn create(path: &Path, kind: KeyKind, name: &str, rng: &mut impl CryptoRng) -> Result<Creation, KeyError> {
    let mut suffix = [0; 6];
    rng.fill_bytes(&mut suffix);
    let temp = with_suffix(path, &format!("{TEMP_MARK}{}", BASE64URL_NOPAD.encode(&suffix)));
    let key = Key256::random(rng).to_base64url();
    let line = Zeroizing::new(format!("chartseal-key 1 {kind} {name} {}\n", key.expose()));
    let creation = write_synced(&temp, line.as_bytes()).and_then(|()| match fs::hard_link(&temp, path) {
        // A link, unlike a rename, never replaces the key that another process made just before.
        Ok(()) => Ok(Creation::Made),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Creation::Found),
        Err(error) => Err(error),
    });
    let cleared = match (&creation, fs::remove_file(&temp)) {
        (Err(_), _) | (Ok(_), Ok(())) => Ok(()),
        (Ok(_), Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
        (Ok(_), Err(error)) => Err(KeyError::at(&temp, &error)),
    };
    let creation = creation.at(path)?;
    cleared?;
    sync_parent(path)?;
    Ok(creation)
}

/// Overwrites and removes the key, also one that an earlier call did not finish with.
pub(super) fn destroy(path: &Path) -> Result<(), KeyError> {
    // Under another name first: a reader meets the whole key or none, never half a one.
    let doomed = with_suffix(path, DOOMED_MARK);
    match fs::rename(path, &doomed) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(KeyError::at(path, &error)),
    }
    wipe(&doomed)?;
    // A creator that died between link and unlink left the same key under its temporary name.
    for temp in siblings(path, TEMP_MARK)? {
        wipe(&temp)?;
    }
    sync_parent(path)
}

/// Finishes what a crash interrupted in [`destroy`], for all keys of one directory.
pub(super) fn finish_destroying(kind_dir: &Path) -> Result<(), KeyError> {
    let mut wiped = 0;
    for entry in fs::read_dir(kind_dir).at(kind_dir)? {
        let path = entry.at(kind_dir)?.path();
        if path.to_str().is_some_and(|text| text.ends_with(DOOMED_MARK)) {
            wipe(&path)?;
            wiped += 1;
        }
    }
    if wiped > 0 { sync_directory(kind_dir) } else { Ok(()) }
}

fn wipe(path: &Path) -> Result<(), KeyError> {
    let overwritten = OpenOptions::new().write(true).open(path).and_then(|mut file| {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        file.write_all(&vec![0; length])?;
        file.sync_all()
    });
    match overwritten.and_then(|()| fs::remove_file(path)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(KeyError::at(path, &error)),
    }
}

fn siblings(path: &Path, mark: &str) -> Result<Vec<PathBuf>, KeyError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let start = format!("{name}{mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&start)) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    PathBuf::from(text)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    give_to_owner_of_folder(&file, path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What root makes beside a service of another user must not lock that user out.
pub(super) fn give_to_owner_of_folder(file: &File, path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let (owner, own) = (fs::metadata(folder)?, file.metadata()?);
    if own.uid() == owner.uid() { Ok(()) } else { fchown(file, Some(owner.uid()), Some(owner.gid())) }
}

/// Tries whether a file can be made in the directory, and leaves none.
pub(super) fn try_writing(dir: &Path, rng: &mut impl CryptoRng) -> Result<(), KeyError> {
    let mut name = [0; 6];
    rng.fill_bytes(&mut name);
    let probe = dir.join(format!("try-{}", BASE64URL_NOPAD.encode(&name)));
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&probe).at(dir)?;
    fs::remove_file(&probe).at(dir)
}

/// Replaces the file as a whole, on the disk when this returns. One writer per path.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let temp = with_suffix(path, ".new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&temp)
        .and_then(|mut file| {
            give_to_owner_of_folder(&file, &temp)?;
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temp, path));
    written.at(path)?;
    sync_parent(path)
}

/// Makes the directory (0700) when it is missing, and refuses one that others can reach.
pub(super) fn make_private_directory(path: &Path) -> Result<(), KeyError> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).at(path)?;
    refuse_wider(path, &fs::metadata(path).at(path)?, DIRECTORY_MODE)
}

pub(super) fn refuse_wider(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), KeyError> {
    let mode = metadata.mode() & 0o777;
    let for_others = mode & 0o077;
    if for_others == 0 { Ok(()) } else { Err(KeyError::TooOpen { path: path.to_owned(), mode, wanted }) }
}

pub(super) fn sync_parent(path: &Path) -> Result<(), KeyError> {
    path.parent().map_or(Ok(()), sync_directory)
}

pub(super) fn sync_directory(path: &Path) -> Result<(), KeyError> {
    File::open(path).and_then(|dir| dir.sync_all()).at(path)
}
