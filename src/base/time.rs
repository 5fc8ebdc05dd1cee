//! Instants as UTC milliseconds: the only form in which time is stored, compared or passed on.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Orders the same way in both databases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct UtcMillis(pub i64);

#[must_use]
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
#[must_use]
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
#[must_use]
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}
#[must_use]
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

impl UtcMillis {
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The calendar form; instants outside chrono's range read as 1970.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    #[must_use]
    pub fn from_datetime(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_millis())
    }

    /// Reads an RFC 3339 instant with an offset, as FHIR's `instant` and full `dateTime` write it.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|at| Self(at.timestamp_millis()))
    }

    /// RFC 3339 with milliseconds and `Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }

    /// The UTC day as `2026-11-22`: the name of an epoch key.
    #[must_use]
    pub fn day(self) -> String {
        self.to_datetime().format("%Y-%m-%d").to_string()
    }

    /// The UTC hour as `2026-11-22T09`: the name of an outbox key.
    #[must_use]
    pub fn hour(self) -> String {
        self.to_datetime().format("%Y-%m-%dT%H").to_string()
    }
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Debug for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_its_text_form() {
        let at = UtcMillis::parse_rfc3339("2026-11-20T16:00:00.250-06:00").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-11-20T22:00:00.250Z");
        assert_eq!(at.day(), "2026-11-20");
        assert_eq!(at.hour(), "2026-11-20T22");
        assert_eq!(at.plus(hours(2)).since(at), hours(2));
        assert_eq!(at.since(at.plus(hours(2))), Duration::ZERO);
    }
}
