//! Audit anchors: digests of the audit's chain heads, kept outside the database, so that rewriting the
//! audit there is noticed here.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;

use super::chained::{self, ChainedLog, Content, Seal};
use super::{KeyError, ReplicaName};
use crate::base::{Key256, UtcMillis};

/// The SHA-256 over audit lines `from_n..=to_n`, as the audit computes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub from_n: i64,
    pub to_n: i64,
    pub at: UtcMillis,
    pub digest: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorRecord {
    pub replica: ReplicaName,
    pub anchor: Anchor,
}

impl Anchor {
    /// Says that the database was put back to line `audit_n`: what was anchored beyond it is lost, and its numbers are
    /// given again. An anchor of no lines.
    #[must_use]
    pub const fn restored(audit_n: i64, at: UtcMillis) -> Self {
        Self { from_n: audit_n + 1, to_n: audit_n, at, digest: [0; 32] }
    }

    const fn is_restore(&self) -> bool {
        self.to_n < self.from_n
    }
}

/// Every anchor of every replica whose lines no restore has lost, in the order of each replica's file, each file's
/// chain verified.
///
/// # Errors
/// [`KeyError::Damaged`] when a line before a file's last does not verify; the disk's errors.
pub fn read_anchors(dir: &Path, mac_key: &Key256) -> Result<Vec<AnchorRecord>, KeyError> {
    let mut all = Vec::new();
    for (replica, path) in Content::Anchors.files(dir)? {
        let contents = chained::read(&path, &Seal::new(mac_key, Content::Anchors, &replica))?;
        for (index, payload) in contents.payloads.iter().enumerate() {
            let anchor =
                Anchor::parse(payload).ok_or_else(|| KeyError::Damaged { path: path.clone(), line: index + 1 })?;
            all.push(AnchorRecord { replica: replica.clone(), anchor });
        }
    }
    let (restores, mut anchors): (Vec<_>, Vec<_>) = all.into_iter().partition(|record| record.anchor.is_restore());
    anchors.retain(|AnchorRecord { anchor, .. }| {
        !restores.iter().any(|restore| anchor.at <= restore.anchor.at && anchor.to_n > restore.anchor.to_n)
    });
    Ok(anchors)
}

pub(super) fn open(dir: &Path, replica: &ReplicaName, mac_key: &Key256) -> Result<ChainedLog, KeyError> {
    let seal = Seal::new(mac_key, Content::Anchors, replica);
    ChainedLog::open(Content::Anchors.path(dir, replica), seal).map(|(log, _)| log)
}

impl Anchor {
    pub(super) fn to_line(&self) -> String {
        format!("{} {} {} {}", self.from_n, self.to_n, self.at.0, BASE64URL_NOPAD.encode(&self.digest))
    }

    fn parse(payload: &str) -> Option<Self> {
        let mut fields = payload.split(' ');
        let from_n = fields.next()?.parse().ok()?;
        let to_n = fields.next()?.parse().ok()?;
        let at = UtcMillis(fields.next()?.parse().ok()?);
        let digest = BASE64URL_NOPAD.decode(fields.next()?.as_bytes()).ok()?.try_into().ok()?;
        fields.next().is_none().then_some(Self { from_n, to_n, at, digest })
    }
}
