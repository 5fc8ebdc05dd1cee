//! The high-water mark: how far the database had come, as remembered outside it. A database that is
//! behind the mark was restored from a backup.

use std::path::{Path, PathBuf};

use super::chained::{self, Content, Seal};
use super::{KeyError, ReplicaName, file};
use crate::base::{Key256, UtcMillis};

/// Ordered by generation first: a restored database begins a new one, and its audit counts on from
/// where the backup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// How often the database was restored.
    pub generation: u64,
    /// The number of the last audit line.
    pub audit_n: i64,
    pub at: UtcMillis,
}

/// The highest mark of all replicas; `None` for an installation that never ran.
///
/// # Errors
/// [`KeyError::Damaged`] when a mark does not verify; the disk's errors.
pub fn highest_mark(dir: &Path, mac_key: &Key256) -> Result<Option<Mark>, KeyError> {
    let mut highest = None;
    for (replica, path) in Content::Mark.files(dir)? {
        highest = highest.max(read(&path, &Seal::new(mac_key, Content::Mark, &replica))?);
    }
    Ok(highest)
}

/// One replica's mark, written by one process.
pub(super) struct MarkFile {
    path: PathBuf,
    seal: Seal,
    mark: Option<Mark>,
}

impl MarkFile {
    pub(super) fn open(dir: &Path, replica: &ReplicaName, mac_key: &Key256) -> Result<Self, KeyError> {
        let (path, seal) = (Content::Mark.path(dir, replica), Seal::new(mac_key, Content::Mark, replica));
        let mark = read(&path, &seal)?;
        Ok(Self { path, seal, mark })
    }

    pub(super) fn raise(&mut self, mark: Mark) -> Result<(), KeyError> {
        if self.mark.is_some_and(|old| (mark.generation, mark.audit_n) <= (old.generation, old.audit_n)) {
            return Ok(());
        }
        let payload = format!("{} {} {}", mark.generation, mark.audit_n, mark.at.0);
        file::replace(&self.path, self.seal.single(&payload).as_bytes())?;
        self.mark = Some(mark);
        Ok(())
    }
}

fn read(path: &Path, seal: &Seal) -> Result<Option<Mark>, KeyError> {
    let damaged = || KeyError::Damaged { path: path.to_owned(), line: 1 };
    if file::identity(path)?.is_none() {
        return Ok(None);
    }
    // Replaced as a whole, so anything but one whole line is damage.
    match chained::read(path, seal)?.payloads.as_slice() {
        [payload] => parse(payload).map(Some).ok_or_else(damaged),
        [] | [_, _, ..] => Err(damaged()),
    }
}

fn parse(payload: &str) -> Option<Mark> {
    let mut fields = payload.split(' ');
    let generation = fields.next()?.parse().ok()?;
    let audit_n = fields.next()?.parse().ok()?;
    let at = UtcMillis(fields.next()?.parse().ok()?);
    fields.next().is_none().then_some(Mark { generation, audit_n, at })
}
