//! All keys of one installation, with a memory that forgets what was destroyed.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rand_core::CryptoRng;

use super::file::{self, Creation, Identity, Loaded};
use super::{At, Fingerprint, KeyError, KeyInfo, KeyKind, KeyName};
use crate::base::Key256;

const ROOT_NAME: &str = "root";
const JOURNAL_DIRECTORY: &str = "journal";
/// Keys kept in memory; an installation uses a few dozen at a time.
const CACHED_KEYS_MAX: usize = 256;

/// What a look-up of a dated key gave.
pub enum Found {
    Existing(Key256),
    /// Never made, or destroyed.
    Missing,
}

/// The keys under `[keys] dir`. Cheap to clone; all clones share one memory.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    root: Key256,
    cache: Mutex<HashMap<KeyName, (Key256, Identity)>>,
}

impl KeyRing {
    /// Refuses where there is a root key.
    ///
    /// # Errors
    /// [`KeyError::RootExists`].
    pub fn require_none(dir: &Path) -> Result<(), KeyError> {
        match root_path(dir).symlink_metadata() {
            Ok(_) => Err(KeyError::RootExists(dir.to_owned())),
            Err(_) => Ok(()),
        }
    }

    /// The folders that [`KeyRing::create`] makes where they are missing, the outer one first.
    #[must_use]
    pub fn folders(dir: &Path) -> Vec<PathBuf> {
        let inner = KeyKind::ALL.into_iter().map(KeyKind::as_str).chain([JOURNAL_DIRECTORY]);
        std::iter::once(dir.to_owned()).chain(inner.map(|name| dir.join(name))).collect()
    }

    /// Makes the directory and a new root key.
    ///
    /// # Errors
    /// [`KeyError::RootExists`] when there is one; [`KeyError::TooOpen`]; the disk's errors.
    pub fn create(dir: &Path, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        file::make_private_directory(dir)?;
        for kind in KeyKind::ALL {
            file::make_private_directory(&dir.join(kind.as_str()))?;
        }
        file::make_private_directory(&dir.join(JOURNAL_DIRECTORY))?;
        file::sync_directory(dir)?;
        file::sync_parent(dir)?;
        match file::create(&root_path(dir), KeyKind::Root, ROOT_NAME, rng)? {
            Creation::Made => Self::open(dir),
            Creation::Found => Err(KeyError::RootExists(dir.to_owned())),
        }
    }

    /// Opens an existing directory; makes the directories of dated keys when they are missing, as they
    /// are after `root/` was restored from a backup.
    ///
    /// # Errors
    /// [`KeyError::RootMissing`], [`KeyError::TooOpen`], [`KeyError::Malformed`]; the disk's errors.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let root = match fs::metadata(dir) {
            Ok(metadata) => {
                file::refuse_wider(dir, &metadata, file::DIRECTORY_MODE)?;
                file::load(&root_path(dir), KeyKind::Root, ROOT_NAME)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(KeyError::at(dir, &error)),
        };
        let Some(Loaded { key: root, .. }) = root else { return Err(KeyError::RootMissing(dir.to_owned())) };
        for kind in KeyKind::ALL {
            let kind_dir = dir.join(kind.as_str());
            file::make_private_directory(&kind_dir)?;
            file::finish_destroying(&kind_dir)?;
        }
        file::make_private_directory(&dir.join(JOURNAL_DIRECTORY))?;
        file::sync_directory(dir)?;
        Ok(Self(Arc::new(Inner { dir: dir.to_owned(), root, cache: Mutex::default() })))
    }

    #[must_use]
    pub fn root(&self) -> &Key256 {
        &self.0.root
    }

    /// Tries whether keys can be made and deaths recorded, and leaves nothing.
    ///
    /// # Errors
    /// [`KeyError::Denied`], [`KeyError::DiskFull`]; the disk's errors.
    pub fn try_writing(&self, rng: &mut impl CryptoRng) -> Result<(), KeyError> {
        let dated = KeyKind::ALL.into_iter().filter(|kind| *kind != KeyKind::Root).map(KeyKind::as_str);
        dated.chain([JOURNAL_DIRECTORY]).try_for_each(|name| file::try_writing(&self.0.dir.join(name), rng))
    }

    /// Where the death journal, the marks and the anchors are kept.
    #[must_use]
    pub fn journal_dir(&self) -> PathBuf {
        self.0.dir.join(JOURNAL_DIRECTORY)
    }

    /// Looks a dated key up. The disk is asked each time, so that a key destroyed by another process is
    /// missing here too.
    ///
    /// # Errors
    /// [`KeyError::TooOpen`], [`KeyError::Malformed`]; the disk's errors.
    pub fn find(&self, name: &KeyName) -> Result<Found, KeyError> {
        let path = self.path_of(name);
        let on_disk = file::identity(&path)?;
        if let Some((key, identity)) = self.cache().get(name)
            && Some(*identity) == on_disk
        {
            return Ok(Found::Existing(key.clone()));
        }
        let Some(Loaded { key, identity, .. }) = file::load(&path, name.kind(), name.as_str())? else {
            self.cache().remove(name);
            return missing(&path);
        };
        // Its creator may not have come to this yet, and what is sealed with the key must not outlive it.
        file::sync_parent(&path)?;
        let mut cache = self.cache();
        if cache.len() >= CACHED_KEYS_MAX {
            cache.clear();
        }
        cache.insert(name.clone(), (key.clone(), identity));
        Ok(Found::Existing(key))
    }

    /// Looks a dated key up and makes it when it is missing; creators at the same time get one key.
    ///
    /// A key destroyed before is made anew, as a different key: compare its fingerprint with the one that
    /// the database keeps before relying on it for old records.
    ///
    /// # Errors
    /// As [`KeyRing::find`].
    pub fn find_or_create(&self, name: &KeyName, rng: &mut impl CryptoRng) -> Result<Key256, KeyError> {
        let path = self.path_of(name);
        // A second round is needed only when the key was destroyed between the two steps.
        loop {
            if let Found::Existing(key) = self.find(name)? {
                return Ok(key);
            }
            match file::create(&path, name.kind(), name.as_str(), rng)? {
                Creation::Made | Creation::Found => {}
            }
        }
    }

    /// Overwrites and removes a dated key, here and on the disk. Destroying twice is destroying once.
    ///
    /// # Errors
    /// The disk's errors; the key may then still exist.
    pub fn destroy(&self, name: &KeyName) -> Result<(), KeyError> {
        self.cache().remove(name);
        file::destroy(&self.path_of(name))
    }

    /// Every key, by kind and name.
    ///
    /// # Errors
    /// As [`KeyRing::find`], for the first key that cannot be read.
    pub fn list(&self) -> Result<Vec<KeyInfo>, KeyError> {
        let mut infos = Vec::new();
        for kind in KeyKind::ALL {
            let kind_dir = self.0.dir.join(kind.as_str());
            for entry in fs::read_dir(&kind_dir).at(&kind_dir)? {
                let file_name = entry.at(&kind_dir)?.file_name();
                let Some(name) = file_name.to_str().and_then(file::name_in) else { continue };
                let path = kind_dir.join(&file_name);
                if !is_name_of(kind, name) {
                    return Err(KeyError::Malformed(path));
                }
                // A key destroyed since the directory was read is not listed.
                if let Some(Loaded { key, created, .. }) = file::load(&path, kind, name)? {
                    let fingerprint = Fingerprint::of(&key);
                    infos.push(KeyInfo { kind, name: name.to_owned(), fingerprint, created });
                }
            }
        }
        infos.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(infos)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.0.dir
    }

    fn path_of(&self, name: &KeyName) -> PathBuf {
        file::path_of(&self.0.dir, name.kind(), name.as_str())
    }

    /// The memory is only a memory: after a panic elsewhere it is still right.
    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<KeyName, (Key256, Identity)>> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder that is away, as when its disk is not mounted, says nothing about its keys.
fn missing(path: &Path) -> Result<Found, KeyError> {
    match path.parent() {
        Some(folder) if !folder.is_dir() => Err(KeyError::FolderAway(folder.to_owned())),
        Some(_) | None => Ok(Found::Missing),
    }
}

fn root_path(dir: &Path) -> PathBuf {
    file::path_of(dir, KeyKind::Root, ROOT_NAME)
}

fn is_name_of(kind: KeyKind, name: &str) -> bool {
    match kind {
        KeyKind::Root => name == ROOT_NAME,
        KeyKind::Epoch | KeyKind::Outbox | KeyKind::Intake => KeyName::parse(kind, name).is_ok(),
    }
}
