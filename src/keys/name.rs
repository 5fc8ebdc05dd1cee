//! What a key is called, and how it is told from another without showing it.

use std::fmt;

use chrono::{NaiveDate, NaiveDateTime};
use data_encoding::BASE64URL_NOPAD;

use crate::base::{IdError, Key256, UtcMillis};
use crate::sealing;

const FINGERPRINT_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Seals records, indexes and the audit; the only one that is backed up.
    Root,
    /// Wraps the shares of links that expire on one day.
    Epoch,
    /// Holds link secrets until hand-over, for one hour of sending.
    Outbox,
    /// Seals the raw bytes of events, for one day.
    Intake,
}

impl KeyKind {
    pub const ALL: [Self; 4] = [Self::Root, Self::Epoch, Self::Outbox, Self::Intake];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Epoch => "epoch",
            Self::Outbox => "outbox",
            Self::Intake => "intake",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A dated key: a day for epoch and intake keys, an hour for outbox keys. Never the root key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName {
    kind: KeyKind,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a day (2026-11-22) for an epoch or intake key, an hour (2026-11-22T09) for an outbox key")]
pub struct KeyNameError;

impl KeyName {
    /// The epoch key for links that expire on the UTC day of `expiry`.
    #[must_use]
    pub fn epoch(expiry: UtcMillis) -> Self {
        Self { kind: KeyKind::Epoch, name: expiry.day() }
    }

    /// The outbox key of the UTC hour of `at`.
    #[must_use]
    pub fn outbox(at: UtcMillis) -> Self {
        Self { kind: KeyKind::Outbox, name: at.hour() }
    }

    /// The intake key of the UTC day of `at`.
    #[must_use]
    pub fn intake(at: UtcMillis) -> Self {
        Self { kind: KeyKind::Intake, name: at.day() }
    }

    /// # Errors
    /// Says which shape was expected; always for [`KeyKind::Root`].
    pub fn parse(kind: KeyKind, name: &str) -> Result<Self, KeyNameError> {
        let starts = match kind {
            KeyKind::Root => None,
            KeyKind::Epoch | KeyKind::Intake => day_start(name),
            KeyKind::Outbox => hour_start(name),
        };
        starts.map(|_| Self { kind, name: name.to_owned() }).ok_or(KeyNameError)
    }

    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// Only the canonical spelling: what parses must also print as it was written.
fn day_start(name: &str) -> Option<UtcMillis> {
    let midnight = NaiveDate::parse_from_str(name, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
    Some(UtcMillis::from_datetime(midnight.and_utc())).filter(|at| at.day() == name)
}

fn hour_start(name: &str) -> Option<UtcMillis> {
    let start = NaiveDateTime::parse_from_str(&format!("{name}:00"), "%Y-%m-%dT%H:%M").ok()?;
    Some(UtcMillis::from_datetime(start.and_utc())).filter(|at| at.hour() == name)
}

/// Tells two keys apart and gives nothing of them away: HMAC-SHA256 of a label, 16 bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    #[must_use]
    pub fn of(key: &Key256) -> Self {
        Self(sealing::fingerprint(key))
    }
}

impl fmt::Display for Fingerprint {
    /// 22 base64url characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

/// The first 16 bytes of HMAC-SHA256 over the joined `parts`.
pub(super) fn mac(key: &Key256, parts: &[&[u8]]) -> [u8; FINGERPRINT_BYTES] {
    let whole = sealing::hmac_sha256(key, parts);
    let mut short = [0; FINGERPRINT_BYTES];
    short.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    short
}

/// What may be shown of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    pub kind: KeyKind,
    /// `root`, a day or an hour.
    pub name: String,
    pub fingerprint: Fingerprint,
    pub created: UtcMillis,
}

/// What tells one writing process from another, in the names of its files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaName(String);

impl ReplicaName {
    /// # Errors
    /// Says which shape was expected.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let is_name = (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Shape { expected: "1 to 40 of a-z, 0-9 and hyphens" })
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
