//! The death journal: every link that died, on the disk before its death is acknowledged.
//!
//! Must stay true: what `append` answered `Ok` for survives any crash and any restore of the database;
//! replicas never write one file. Many threads that append at once share one fsync.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::anchors::Anchor;
use super::chained::{self, ChainedLog, Content, Seal};
use super::mark::{Mark, MarkFile};
use super::{KeyError, ReplicaName, anchors};
use crate::base::{Key256, LinkId, UtcMillis};

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeathKind {
    Revoked,
    Recalled,
    Superseded,
    Spent,
    Expired,
    Shredded,
}

impl DeathKind {
    pub const ALL: [Self; 6] =
        [Self::Revoked, Self::Recalled, Self::Superseded, Self::Spent, Self::Expired, Self::Shredded];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Recalled => "recalled",
            Self::Superseded => "superseded",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::Shredded => "shredded",
        }
    }
}

impl fmt::Display for DeathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeathKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// One link's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    pub link: LinkId,
    pub kind: DeathKind,
    pub at: UtcMillis,
}

/// A death as a replica recorded it; `seq` counts from 1 for each replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathRecord {
    pub replica: ReplicaName,
    pub seq: u64,
    pub death: Death,
}

/// One replica's journal, mark and anchors, open for writing. Cheap to clone.
#[derive(Clone)]
pub struct DeathJournal(Arc<Inner>);

struct Inner {
    gate: Mutex<Gate>,
    settled: Condvar,
    anchors: Mutex<ChainedLog>,
    mark: Mutex<MarkFile>,
}

/// Threads gather in `gathering`; the first to find the log free takes it and writes for all of them.
struct Gate {
    gathering: Batch,
    /// `None` while a thread writes.
    log: Option<DeathLog>,
}

#[derive(Default)]
struct Batch {
    deaths: Vec<Death>,
    outcome: Arc<Mutex<Option<Result<(), KeyError>>>>,
}

struct DeathLog {
    lines: ChainedLog,
    last_seq: u64,
}

impl DeathJournal {
    /// Opens the files of `replica` in `dir` ([`super::KeyRing::journal_dir`]); nobody else may have them
    /// open for writing.
    ///
    /// # Errors
    /// [`KeyError::InUse`], [`KeyError::Damaged`], [`KeyError::TooOpen`]; the disk's errors.
    pub fn open(dir: &Path, replica: &ReplicaName, mac_key: &Key256) -> Result<Self, KeyError> {
        let path = Content::Deaths.path(dir, replica);
        let (lines, payloads) = ChainedLog::open(path.clone(), Seal::new(mac_key, Content::Deaths, replica))?;
        let last_seq = parse_all(&path, &payloads, replica)?.last().map_or(0, |record| record.seq);
        let anchors = anchors::open(dir, replica, mac_key)?;
        let mark = MarkFile::open(dir, replica, mac_key)?;
        Ok(Self(Arc::new(Inner {
            gate: Mutex::new(Gate { gathering: Batch::default(), log: Some(DeathLog { lines, last_seq }) }),
            settled: Condvar::new(),
            anchors: Mutex::new(anchors),
            mark: Mutex::new(mark),
        })))
    }

    /// Records the deaths; all of them are on the disk when this returns `Ok`.
    ///
    /// # Errors
    /// The disk's errors; none of `deaths` is recorded then, and appending may be tried again.
    pub fn append(&self, deaths: &[Death]) -> Result<(), KeyError> {
        if deaths.is_empty() {
            return Ok(());
        }
        let mut gate = lock(&self.0.gate);
        gate.gathering.deaths.extend_from_slice(deaths);
        let outcome = Arc::clone(&gate.gathering.outcome);
        loop {
            if let Some(outcome) = lock(&outcome).clone() {
                return outcome;
            }
            let Some(mut log) = gate.log.take() else {
                gate = self.0.settled.wait(gate).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let batch = std::mem::take(&mut gate.gathering);
            drop(gate);
            let written = log.write(&batch.deaths);
            *lock(&batch.outcome) = Some(written);
            gate = lock(&self.0.gate);
            gate.log = Some(log);
            self.0.settled.notify_all();
        }
    }

    /// Remembers how far the database has come. A lower mark than before changes nothing.
    ///
    /// # Errors
    /// The disk's errors; the mark is then as before.
    pub fn raise_mark(&self, mark: Mark) -> Result<(), KeyError> {
        lock(&self.0.mark).raise(mark)
    }

    /// Records an audit anchor; it is on the disk when this returns `Ok`.
    ///
    /// # Errors
    /// The disk's errors; nothing is recorded then.
    pub fn append_anchor(&self, anchor: &Anchor) -> Result<(), KeyError> {
        lock(&self.0.anchors).append(&[anchor.to_line()])
    }

    /// Every death that any replica recorded in `dir`, by replica and sequence.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] when a line before a file's last does not verify; the disk's errors.
    pub fn read_all(dir: &Path, mac_key: &Key256) -> Result<Vec<DeathRecord>, KeyError> {
        let mut all = Vec::new();
        for (replica, path) in Content::Deaths.files(dir)? {
            let contents = chained::read(&path, &Seal::new(mac_key, Content::Deaths, &replica))?;
            all.extend(parse_all(&path, &contents.payloads, &replica)?);
        }
        Ok(all)
    }

    #[cfg(test)]
    pub(super) fn swap_file(&self, file: std::fs::File) -> std::fs::File {
        lock(&self.0.gate).log.as_mut().unwrap().lines.swap_file(file)
    }
}

impl DeathLog {
    fn write(&mut self, deaths: &[Death]) -> Result<(), KeyError> {
        let numbered = (self.last_seq + 1..).zip(deaths);
        let lines: Vec<String> =
            numbered.map(|(seq, Death { link, kind, at })| format!("{seq} {link} {kind} {}", at.0)).collect();
        self.lines.append(&lines)?;
        self.last_seq += lines.len() as u64;
        Ok(())
    }
}

fn parse_all(path: &Path, payloads: &[String], replica: &ReplicaName) -> Result<Vec<DeathRecord>, KeyError> {
    let mut records = Vec::with_capacity(payloads.len());
    for (index, payload) in payloads.iter().enumerate() {
        let record = parse(payload, replica).filter(|record| record.seq == index as u64 + 1);
        records.push(record.ok_or_else(|| KeyError::Damaged { path: PathBuf::from(path), line: index + 1 })?);
    }
    Ok(records)
}

fn parse(payload: &str, replica: &ReplicaName) -> Option<DeathRecord> {
    let mut fields = payload.split(' ');
    let seq = fields.next()?.parse().ok()?;
    let link = LinkId::parse(fields.next()?).ok()?;
    let kind = fields.next()?.parse().ok()?;
    let at = UtcMillis(fields.next()?.parse().ok()?);
    fields.next().is_none().then(|| DeathRecord { replica: replica.clone(), seq, death: Death { link, kind, at } })
}

/// What is guarded stays whole when a thread panics: each step replaces it at its end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
