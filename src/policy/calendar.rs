//! Waiting times, days and ages by the calendar of a place.
//!
//! Job: say when a wait that began at one instant ends in a zone, on which day an instant falls, and how old somebody
//! is.
//! Must stay true: total, never panics; a wait never ends before it began, and never earlier than one that began
//! earlier.
//! Must not know: which law or rule asks for the wait, or what time it is now.

use std::collections::BTreeSet;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize, Serializer};

use super::facts::Age;
use crate::base::{UtcMillis, hours};

const SECONDS_PER_HOUR: u64 = 3_600;
const SECONDS_PER_DAY: u64 = 86_400;
/// Working days of a week without holidays.
const BUSINESS_DAYS_PER_WEEK: u64 = 5;
const WEEKEND_DAYS: u64 = 2;
/// Between these instants (1900-01-01 and 9999-01-01, UTC) zones are looked up; an instant outside counts as the nearer
/// one.
const EARLIEST: UtcMillis = UtcMillis(-2_208_988_800_000);
const LATEST: UtcMillis = UtcMillis(253_370_764_800_000);
/// No zone was ever further from UTC than this, in seconds.
const OFFSET_SECONDS_MAX: i64 = 26 * 3_600;
/// A birth date that makes somebody older than this is a placeholder (0001-01-01, 1800-01-01), and the age unknown.
const AGE_YEARS_MAX: i32 = 130;

/// How long a report waits, counted from its finalisation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// So many hours by a stopwatch: clocks that change do not matter.
    Elapsed { hours: u32 },
    /// Until the start of the n-th day after the local day of the anchor: from a Friday, three days end on
    /// Monday at 00:00.
    CalendarDays { days: u16 },
    /// Until the start of the n-th working day after the local day of the anchor: from a Friday before a holiday
    /// Monday, three working days (Tue, Wed, Thu) end on Thursday at 00:00. The day of the anchor never counts,
    /// whatever its hour. **Counsel must confirm this way of counting**: who reads a law as "three whole working days
    /// must have passed" writes one day more.
    BusinessDays { days: u16 },
}

impl Wait {
    /// The first instant at which the wait is over. An anchor before 1900 or after 9998 counts days from there, and the
    /// end is then never before the anchor.
    #[must_use]
    pub fn end(self, anchor: UtcMillis, zone: Tz, calendar: &Calendar) -> UtcMillis {
        match self {
            Self::Elapsed { hours: count } => anchor.plus(hours(u64::from(count))),
            Self::CalendarDays { days } => {
                let day = day_of(anchor, zone);
                let last = day.checked_add_days(Days::new(u64::from(days))).unwrap_or(day);
                day_start(last, zone).max(anchor)
            }
            Self::BusinessDays { days } => {
                day_start(calendar.business_day_after(day_of(anchor, zone), days), zone).max(anchor)
            }
        }
    }

    /// The shortest that this wait can last, in seconds, whatever the anchor. Days are ordinary ones of 24 hours (a
    /// change of the clocks can take an hour or two off), and holidays are not counted (they only lengthen a wait).
    #[must_use]
    pub const fn least_seconds(self) -> u64 {
        match self {
            Self::Elapsed { hours } => hours as u64 * SECONDS_PER_HOUR,
            // From the last moment of a day, which itself does not count.
            Self::CalendarDays { days } => (days as u64).saturating_sub(1) * SECONDS_PER_DAY,
            // From a Sunday's last moment the working days begin at once.
            Self::BusinessDays { days } => {
                let more = (days as u64).saturating_sub(1);
                (more + more / BUSINESS_DAYS_PER_WEEK * WEEKEND_DAYS) * SECONDS_PER_DAY
            }
        }
    }

    /// The longest that this wait can last, in seconds, whatever the anchor; days and holidays as in
    /// [`Wait::least_seconds`].
    #[must_use]
    pub const fn most_seconds(self) -> u64 {
        match self {
            Self::Elapsed { hours } => hours as u64 * SECONDS_PER_HOUR,
            // From the first moment of a day.
            Self::CalendarDays { days } => days as u64 * SECONDS_PER_DAY,
            // From a Friday's first moment, with the weekend before the first working day.
            Self::BusinessDays { days } => {
                let days = days as u64;
                (days + days.div_ceil(BUSINESS_DAYS_PER_WEEK) * WEEKEND_DAYS) * SECONDS_PER_DAY
            }
        }
    }

    /// Whether this wait can stand for `other` from any anchor: it never ends earlier. Days and holidays as in
    /// [`Wait::least_seconds`], except that waits of one kind are compared exactly.
    #[must_use]
    pub const fn never_ends_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::CalendarDays { days: mine }, Self::CalendarDays { days: theirs })
            | (Self::BusinessDays { days: mine }, Self::BusinessDays { days: theirs }) => mine >= theirs,
            // Both end at a day's start, and so many working days are at least as many days and the weekends among
            // them.
            (Self::BusinessDays { .. }, Self::CalendarDays { days: theirs }) => {
                self.least_seconds() / SECONDS_PER_DAY + 1 >= theirs as u64
            }
            (Self::Elapsed { .. } | Self::CalendarDays { .. }, _)
            | (Self::BusinessDays { .. }, Self::Elapsed { .. }) => self.least_seconds() >= other.most_seconds(),
        }
    }
}

/// The days on which nobody works beside Saturday and Sunday: holidays on the day on which they are observed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calendar {
    pub holidays: BTreeSet<NaiveDate>,
}

impl Calendar {
    /// The last holiday that is known. Working days after it may be holidays that nobody entered.
    #[must_use]
    pub fn last_holiday(&self) -> Option<NaiveDate> {
        self.holidays.last().copied()
    }

    #[must_use]
    pub fn is_business_day(&self, day: NaiveDate) -> bool {
        !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) && !self.holidays.contains(&day)
    }

    /// The `count`-th working day after `day`; `day` itself for none, and at the end of the calendar.
    fn business_day_after(&self, day: NaiveDate, count: u16) -> NaiveDate {
        let (mut at, mut left) = (day, count);
        while left > 0 {
            let Some(next) = at.succ_opt() else { break };
            at = next;
            if self.is_business_day(at) {
                left -= 1;
            }
        }
        at
    }
}

/// For the hash of the rules: the holidays as `2027-07-05`, in order.
impl Serialize for Calendar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.holidays.iter().map(NaiveDate::to_string))
    }
}

/// As much of a birth date as the EHR knows (FHIR `date`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BirthDate {
    Day(NaiveDate),
    Month { year: i32, month: u32 },
    Year(i32),
}

impl BirthDate {
    /// The earliest and the latest day that it can mean.
    fn bounds(self) -> Option<(NaiveDate, NaiveDate)> {
        match self {
            Self::Day(day) => Some((day, day)),
            Self::Month { year, month } => {
                let first = NaiveDate::from_ymd_opt(year, month, 1)?;
                Some((first, first.checked_add_months(chrono::Months::new(1))?.pred_opt()?))
            }
            Self::Year(year) => Some((NaiveDate::from_ymd_opt(year, 1, 1)?, NaiveDate::from_ymd_opt(year, 12, 31)?)),
        }
    }
}

/// The age in whole years at `now` in the patient's zone. A birthday begins at local midnight; who was born on 29
/// February has it on 1 March in common years. A birth date that is wholly in the future, impossible, or more than 130
/// years ago says nothing; of one that is partly in the future only the past part counts.
#[must_use]
pub fn age_on(birth: BirthDate, now: UtcMillis, zone: Tz) -> Age {
    let today = day_of(now, zone);
    let Some((earliest, latest)) = birth.bounds().filter(|(earliest, _)| *earliest <= today) else {
        return Age::Unknown;
    };
    let (least, most) = (years_between(latest.min(today), today), years_between(earliest, today));
    match (u16::try_from(least), u16::try_from(most)) {
        (Ok(least), Ok(most)) if i32::from(most) <= AGE_YEARS_MAX => Age::Years { least, most },
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Age::Unknown,
    }
}

/// Birthdays after `birth` up to `today`, which is not before it.
fn years_between(birth: NaiveDate, today: NaiveDate) -> i32 {
    let is_before_birthday = (today.month(), today.day()) < (birth.month(), birth.day());
    today.year() - birth.year() - i32::from(is_before_birthday)
}

/// The wall clock in the zone.
pub(super) fn local_at(at: UtcMillis, zone: Tz) -> NaiveDateTime {
    let at = at.clamp(EARLIEST, LATEST);
    UtcMillis(at.0.saturating_add(offset_millis(at, zone))).to_datetime().naive_utc()
}

/// What the zone's wall clock shows more than UTC at this instant.
pub(super) fn offset_millis(at: UtcMillis, zone: Tz) -> i64 {
    let utc = at.clamp(EARLIEST, LATEST).to_datetime().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000
}

/// The local day of an instant. A day once begun does not end before the next begins: where the clocks go back over
/// midnight (Newfoundland until 2011), the hour that comes twice belongs to the new day.
#[must_use]
pub fn day_of(at: UtcMillis, zone: Tz) -> NaiveDate {
    let at = at.clamp(EARLIEST, LATEST);
    let day = local_at(at, zone).date();
    day.succ_opt().filter(|next| day_start(*next, zone) <= at).unwrap_or(day)
}

/// The first instant of a local day: of a midnight that comes twice the first one; where the clocks go forward over
/// midnight (or over the whole day), the instant at which they do.
pub(super) fn day_start(day: NaiveDate, zone: Tz) -> UtcMillis {
    instant_of(day.and_time(NaiveTime::MIN), zone)
}

/// The instant at which the wall clock of a zone shows this: the first of two, or where it never does, the end of the gap.
pub(super) fn instant_of(local: NaiveDateTime, zone: Tz) -> UtcMillis {
    let found = zone.from_local_datetime(&local).earliest();
    found.map_or_else(|| end_of_gap(local, zone), |at| UtcMillis(at.timestamp_millis()))
}

/// The first instant at which the wall clock shows `local` or later, where it never shows `local` itself. Clocks change
/// on whole seconds.
fn end_of_gap(local: NaiveDateTime, zone: Tz) -> UtcMillis {
    let wanted = local.and_utc().timestamp();
    let (mut before, mut after) = (wanted - OFFSET_SECONDS_MAX, wanted + OFFSET_SECONDS_MAX);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        let at = UtcMillis(middle.saturating_mul(1_000));
        if middle + offset_millis(at, zone) / 1_000 < wanted {
            before = middle;
        } else {
            after = middle;
        }
    }
    UtcMillis(after.saturating_mul(1_000))
}
