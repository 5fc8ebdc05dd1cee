//! Keys in a directory of their own, and what must be remembered beside them.
//!
//! Job: hold the root, epoch, outbox and intake keys; destroy a key for good; keep the death journal,
//! the high-water mark and the audit anchors, outside the database and its backups.
//! Must stay true: two processes that need the same key get the same key; a destroyed key is used by
//! nobody, from any process's memory either; a key readable by others than the owner is refused; a
//! death is on the disk before it is acknowledged.
//! Must not know: what a key seals, SQL, or the database's idea of which links live.
//!
//! ```text
//! root/root.key   epoch/2026-11-25.key   outbox/2026-11-22T09.key   intake/2026-11-22.key
//! journal/deaths-<replica>.log   journal/anchors-<replica>.log   journal/mark-<replica>
//! ```
//!
//! A key file holds one line, `chartseal-key 1 <kind> <name> <base64url of 32 bytes>`. What destroying
//! promises: the bytes are overwritten and unlinked. Copies that a file system or a disk keeps by
//! itself (snapshots, copy on write, worn flash cells) are beyond it, which is why the directory
//! belongs on a disk without snapshots and is never backed up, except for `root/`.
//!
//! All calls block; they belong on blocking threads.

mod anchors;
mod chained;
mod file;
mod journal;
mod mark;
mod name;
mod ring;
mod roots_word;
#[cfg(test)]
mod tests;
mod vault;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub use anchors::{Anchor, AnchorRecord, read_anchors};
pub use journal::{Death, DeathJournal, DeathKind, DeathRecord};
pub use mark::{Mark, highest_mark};
pub use name::{Fingerprint, KeyInfo, KeyKind, KeyName, KeyNameError, ReplicaName};
pub use ring::{Found, KeyRing};
pub use roots_word::RootsWord;
pub use vault::{DatedSealed, Vault, VaultError};

/// What went wrong with the keys or the journal. Tells paths, never keys.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// Staff: `init` ran before.
    #[error("{} holds a root key already; a second one would make every sealed record unreadable", .0.display())]
    RootExists(PathBuf),
    /// Staff: there is no root key here.
    #[error("{} holds no root key: run `chartseal init` for a new installation, or restore root/ from your backup", .0.display())]
    RootMissing(PathBuf),
    /// Staff: others can read the keys.
    #[error("others can reach {} (mode {mode:03o}): run `chmod {wanted:o} {}`", .path.display(), .path.display())]
    TooOpen { path: PathBuf, mode: u32, wanted: u32 },
    /// Staff: the word by which a lead gets another key is not root's, may be changed by others, or is old.
    #[error("{} counts for nothing: it has to be a file that root wrote within the last hour, that this user can read and that nobody but root may write to", .0.display())]
    NotRootsWord(PathBuf),
    /// Outside: a disk is not mounted, or somebody moved the folder.
    #[error("{} is away: put it back; if it is lost, restart, which makes it anew and tells what was lost", .0.display())]
    FolderAway(PathBuf),
    /// Outside: a key file was changed, or copied under another name.
    #[error("{} is not what its name says: put the right file back. Where there is none, remove this one, unless it is the root key: without that nothing can be read", .0.display())]
    Malformed(PathBuf),
    /// Outside: a line before the last was changed or lost; nothing in the file can be relied on.
    #[error("{}, line {line}, does not verify: restore the file from your backup, or start with --after-restore", .path.display())]
    Damaged { path: PathBuf, line: usize },
    /// Staff: two processes of one name.
    #[error("another running process writes {}: give each replica a name of its own", .0.display())]
    InUse(PathBuf),
    /// Outside.
    #[error("the disk is full: free some space for {}", .0.display())]
    DiskFull(PathBuf),
    /// Outside.
    #[error("{} cannot be used: [keys] dir must name a directory that this user owns", .0.display())]
    Denied(PathBuf),
    /// Outside: the disk or file system failed.
    #[error("{} failed: {kind}", .path.display())]
    Io { path: PathBuf, kind: ErrorKind },
}

impl KeyError {
    fn at(path: &Path, error: &io::Error) -> Self {
        let (path, kind) = (path.to_owned(), error.kind());
        if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&kind) {
            Self::DiskFull(path)
        } else if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::NotADirectory].contains(&kind)
        {
            Self::Denied(path)
        } else {
            Self::Io { path, kind }
        }
    }
}

/// Attaches the path to an I/O error.
trait At<T> {
    fn at(self, path: &Path) -> Result<T, KeyError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, KeyError> {
        self.map_err(|error| KeyError::at(path, &error))
    }
}
