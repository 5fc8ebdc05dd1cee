//! The word of this machine's root: a file beside the keys that names the lead who gets another key.
//!
//! Job: read it and use it up.
//! Must stay true: a word that anybody but root wrote, or that others may change, counts for nothing; each is good for one
//! deed and for an hour, so that nobody keeps one for later.
//! Must not know: who the leads are.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{At, KeyError, KeyRing, file};
use crate::base::{UtcMillis, hours};

const NAME: &str = "recover-lead";
const ROOT: u32 = 0;
/// Group and others may read it, no more.
const WIDEST_MODE: u32 = 0o644;
/// It is one line.
const BYTES_MAX: u64 = 400;
const LIFE: Duration = hours(1);

/// What root wrote.
#[derive(Clone, Debug)]
pub struct RootsWord {
    path: PathBuf,
    text: String,
}

impl KeyRing {
    /// Where root would write it.
    #[must_use]
    pub fn roots_word_path(&self) -> PathBuf {
        self.dir().join(NAME)
    }

    /// What root wrote within the last hour; `None` when there is no such file.
    ///
    /// # Errors
    /// [`KeyError::NotRootsWord`]; the disk's errors.
    pub fn roots_word(&self, now: UtcMillis) -> Result<Option<RootsWord>, KeyError> {
        let path = self.roots_word_path();
        let named = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeyError::at(&path, &error)),
        };
        let refused = || KeyError::NotRootsWord(path.clone());
        if !named.is_file() || named.uid() != ROOT {
            return Err(refused());
        }
        let opened = match File::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(refused()),
            Err(error) => return Err(KeyError::at(&path, &error)),
        };
        let metadata = opened.metadata().at(&path)?;
        let written = UtcMillis::from_datetime(metadata.modified().at(&path)?.into());
        let is_the_same = (metadata.dev(), metadata.ino()) == (named.dev(), named.ino());
        if !is_the_same || metadata.mode() & 0o7777 & !WIDEST_MODE != 0 || now.since(written) > LIFE {
            return Err(refused());
        }
        let mut text = String::new();
        opened.take(BYTES_MAX).read_to_string(&mut text).at(&path)?;
        Ok(Some(RootsWord { path, text }))
    }
}

impl RootsWord {
    #[must_use]
    pub fn names(&self) -> &str {
        self.text.trim()
    }

    /// Removes it, before what it asks for is done.
    ///
    /// # Errors
    /// The disk's errors.
    pub fn use_up(self) -> Result<(), KeyError> {
        let folder = self.path.parent().map(Path::to_owned).unwrap_or_default();
        fs::remove_file(&self.path).at(&self.path)?;
        file::sync_directory(&folder)
    }
}
