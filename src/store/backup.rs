//! A copy of the SQLite database while others use it.
//!
//! Must stay true: the copy is one moment's, is on the disk under its name only when it is whole, is its owner's alone, and
//! replaces nothing. Copying the file by hand gives none of this: what was written last is in the log beside it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use diesel::connection::Connection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::dialect::SQLITE_WAIT;

/// Staff: each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no database at {}", .0.display())]
    NoDatabase(PathBuf),
    #[error("{} is there already: nothing was overwritten; name another file", .0.display())]
    Exists(PathBuf),
    #[error("{} is what an unfinished backup left, or one that is being made: remove it if none is", .0.display())]
    Unfinished(PathBuf),
    #[error("the database cannot be copied: {why}; nothing was left behind")]
    Copy { why: String },
    #[error("{} cannot be written ({kind}); nothing was left behind", .path.display())]
    Write { path: PathBuf, kind: io::ErrorKind },
}

/// Copies the SQLite database at `from`, which may be in use, into the new file `to`.
///
/// # Errors
/// [`BackupError`]; there is no file `to` then, unless there was one before.
pub fn backup(from: &Path, to: &Path) -> Result<(), BackupError> {
    if !from.is_file() {
        return Err(BackupError::NoDatabase(from.to_owned()));
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // SQLite writes into a file that is empty, so that the copy is never anybody else's to read.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(BackupError::Unfinished(part)),
        Err(error) => return Err(BackupError::Write { path: to.to_owned(), kind: error.kind() }),
    }
    let copied = copy(from, &part)
        .and_then(|()| keep(&part, to).map_err(|error| BackupError::Write { path: to.to_owned(), kind: error.kind() }));
    if copied.is_err() {
        let _ = fs::remove_file(&part);
    }
    copied
}

/// `VACUUM INTO` reads in one transaction and copies no deleted bytes: <https://sqlite.org/lang_vacuum.html>.
fn copy(from: &Path, part: &Path) -> Result<(), BackupError> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| BackupError::Copy { why: "its path is not UTF-8".to_owned() })
    };
    let failed = |why: &dyn std::fmt::Display| BackupError::Copy { why: why.to_string() };
    let mut conn = SqliteConnection::establish(&text(from)?).map_err(|error| failed(&error))?;
    diesel::sql_query(SQLITE_WAIT).execute(&mut conn).map_err(|error| failed(&error))?;
    let into = diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(text(part)?);
    into.execute(&mut conn).map(|_| ()).map_err(|error| failed(&error))
}

fn keep(part: &Path, to: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    fs::rename(part, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
