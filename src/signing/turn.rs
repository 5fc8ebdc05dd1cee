//! When the next pair takes over.

use std::time::Duration;

use crate::base::{UtcMillis, hours, minutes};

/// How long whoever reads our JWK Set may keep it.
pub const JWKS_KEPT_BY_READERS: Duration = minutes(15);
/// A pair signs nothing before its public half was published for so long: an EHR reads the set when it likes.
pub const PUBLISHED_MIN: Duration = hours(1);
/// The public half of a pair that signs no more stays published for so long, and the pair stays ready: an EHR that has not
/// read the set again knows no other.
pub const FORMER_KEPT: Duration = hours(7 * 24);

/// How often pairs change by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotateEvery {
    /// Only when somebody says so: an EHR whose staff typed our keys in by hand would not know the new ones.
    Never,
    Every(Duration),
}

/// Whether the next pair may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    Now,
    /// The current one is young enough, or nothing changes by time.
    NotDue,
    /// EHRs may not know the next one before then.
    TooEarly {
        at: UtcMillis,
    },
}

/// `signs_since`: when the current pair began to sign. `published_at`: when the next one could first be read.
#[must_use]
pub fn take_over(every: RotateEvery, signs_since: UtcMillis, published_at: UtcMillis, now: UtcMillis) -> TakeOver {
    let at = published_at.plus(PUBLISHED_MIN);
    match every {
        RotateEvery::Never => TakeOver::NotDue,
        RotateEvery::Every(span) if now.since(signs_since) < span => TakeOver::NotDue,
        RotateEvery::Every(_) if now < at => TakeOver::TooEarly { at },
        RotateEvery::Every(_) => TakeOver::Now,
    }
}
