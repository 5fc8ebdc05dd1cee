//! The hours in which no message leaves.
//!
//! Job: read `[quiet]`, say when a message may leave and when its turn comes among those that waited, and how long a patient
//! is awake while a link lives.
//! Must stay true: the moment given for a message is never in quiet time; the first that waited leaves as soon as it may, and
//! the last within [`LEAVE_WITHIN`].
//! Must not know: what is sent, to whom, or what time it is now.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{Datelike, NaiveDateTime, NaiveTime, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::{local_at, offset_millis};
use super::reader::{Reader, Value, quote};
use crate::base::{UtcMillis, hours, millis, seconds};

/// When a patient is taken to sleep where the rules have no `[quiet]`: from 21:00 to 08:00, in minutes of the day.
pub const SLEEP_FROM_MINUTE: u16 = 21 * 60;
pub const SLEEP_TO_MINUTE: u16 = 8 * 60;

/// What waited for the end of the quiet hours leaves one after the other, at this pace: a clinic's three reports within
/// seconds, and never more than a large mail provider takes from one customer (30 a minute).
pub const LEAVE_EVERY: Duration = seconds(2);
/// All of it leaves within this time: where that is too much for the pace, several share a turn.
pub const LEAVE_WITHIN: Duration = hours(1);

const MINUTES_PER_DAY: u16 = 24 * 60;
const MILLIS_PER_MINUTE: i64 = 60_000;
const MILLIS_PER_DAY: i64 = 86_400_000;
const SECONDS_PER_MINUTE: u64 = 60;
const SECONDS_PER_DAY: u64 = 86_400;
/// Steps to the next allowed or quiet moment: for each of eight days its midnight and the end of its hours, and every change
/// of the clocks.
const STEPS_MAX: u32 = 32;

/// A day of the week.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The word in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    const fn of(day: chrono::Weekday) -> Self {
        match day {
            chrono::Weekday::Mon => Self::Mon,
            chrono::Weekday::Tue => Self::Tue,
            chrono::Weekday::Wed => Self::Wed,
            chrono::Weekday::Thu => Self::Thu,
            chrono::Weekday::Fri => Self::Fri,
            chrono::Weekday::Sat => Self::Sat,
            chrono::Weekday::Sun => Self::Sun,
        }
    }
}

/// When no message leaves, by the wall clock of the recipient's zone: every day from one minute of the day (00:00 is 0)
/// up to, but not in, another, over midnight where the first is the later one; and the days off, whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quiet {
    from_minute: u16,
    to_minute: u16,
    /// Never all seven.
    days_off: BTreeSet<Weekday>,
}

impl Quiet {
    /// `None` where no message could ever leave or the hours are none: both minutes alike, a minute that no day has, or
    /// seven days off.
    #[must_use]
    pub fn new(from_minute: u16, to_minute: u16, days_off: BTreeSet<Weekday>) -> Option<Self> {
        let is_sound = from_minute != to_minute
            && from_minute.max(to_minute) < MINUTES_PER_DAY
            && days_off.len() < Weekday::ALL.len();
        is_sound.then_some(Self { from_minute, to_minute, days_off })
    }

    #[must_use]
    pub const fn from_minute(&self) -> u16 {
        self.from_minute
    }

    #[must_use]
    pub const fn to_minute(&self) -> u16 {
        self.to_minute
    }

    #[must_use]
    pub const fn days_off(&self) -> &BTreeSet<Weekday> {
        &self.days_off
    }

    #[must_use]
    pub fn is_quiet(&self, at: UtcMillis, zone: Tz) -> bool {
        self.quiet_millis(local_at(at, zone)).is_some()
    }

    /// The first moment from `now` on at which a message may leave; `now` itself where it may.
    #[must_use]
    pub fn next_allowed(&self, now: UtcMillis, zone: Tz) -> UtcMillis {
        let mut at = now;
        for _ in 0..STEPS_MAX {
            let Some(wait_millis) = self.quiet_millis(local_at(at, zone)) else { break };
            at = walk(at, wait_millis, zone);
        }
        at
    }

    /// The first moment from `now` on at which it is quiet; `now` itself where it is.
    #[must_use]
    pub fn next_quiet(&self, now: UtcMillis, zone: Tz) -> UtcMillis {
        let mut at = now;
        for _ in 0..STEPS_MAX {
            let local = local_at(at, zone);
            if self.quiet_millis(local).is_some() {
                break;
            }
            at = walk(at, self.open_millis(local), zone);
        }
        at
    }

    /// The end of the quiet hours that hold a message back at `now`; `None` where it may leave.
    #[must_use]
    pub fn end(&self, now: UtcMillis, zone: Tz) -> Option<QuietEnd> {
        let at = Some(self.next_allowed(now, zone)).filter(|at| *at > now)?;
        // Between short days off or hours that are nearly all quiet there may be less.
        let open = self.next_quiet(at, zone).since(at);
        Some(QuietEnd { at, within: open.min(LEAVE_WITHIN) })
    }

    /// How long it stays quiet by the wall clock, up to midnight at most; `None` where it is not quiet.
    fn quiet_millis(&self, local: NaiveDateTime) -> Option<i64> {
        let is_off = self.days_off.contains(&Weekday::of(local.weekday()));
        let (from, to) = (clock_millis(self.from_minute), clock_millis(self.to_minute));
        let clock = clock_of(local);
        let end = match (is_off, from < to) {
            (true, _) => Some(MILLIS_PER_DAY),
            (false, true) => (from..to).contains(&clock).then_some(to),
            (false, false) if clock < to => Some(to),
            (false, false) => (from <= clock).then_some(MILLIS_PER_DAY),
        };
        end.map(|end| end - clock)
    }

    /// How long it stays open by the wall clock, from a moment that is not quiet, up to midnight at most.
    fn open_millis(&self, local: NaiveDateTime) -> i64 {
        let (clock, from) = (clock_of(local), clock_millis(self.from_minute));
        if clock < from { from - clock } else { MILLIS_PER_DAY - clock }
    }

    const fn quiet_minutes(&self) -> u16 {
        span_minutes(self.from_minute, self.to_minute)
    }
}

/// The end of quiet hours, for those that wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuietEnd {
    at: UtcMillis,
    /// Never longer than messages may leave then.
    within: Duration,
}

impl QuietEnd {
    /// When the first may leave.
    #[must_use]
    pub const fn at(&self) -> UtcMillis {
        self.at
    }

    /// Before this moment the turn of each has come.
    #[must_use]
    pub fn until(&self) -> UtcMillis {
        self.at.plus(self.within)
    }

    /// The turn of one that so many are ahead of. They leave in the order in which they became ready; beyond as many as there
    /// are turns they begin again with the first, so that none is more crowded than another.
    #[must_use]
    pub fn turn(&self, ahead: u64) -> UtcMillis {
        let turns = (self.within.as_secs() / LEAVE_EVERY.as_secs()).max(1);
        self.at.plus(seconds(ahead % turns * LEAVE_EVERY.as_secs()))
    }
}

/// The smallest number of waking seconds that a link of this life can have, whenever its message leaves. Waking is what
/// lies outside the quiet hours (days off are waking days), or outside 21:00 to 08:00 where the rules have none. Days
/// are ordinary ones of 24 hours; in the night in which the clocks go back there is an hour of sleep more.
///
/// The worst moment is always the one at which the quiet hours begin: a start before it has a waking moment more in
/// front and at most one less behind, and a start in the quiet hours, which only rules without `[quiet]` allow, sleeps
/// less.
#[must_use]
pub fn least_waking_seconds(quiet: Option<&Quiet>, life_seconds: u64) -> u64 {
    let asleep_minutes = quiet.map_or(span_minutes(SLEEP_FROM_MINUTE, SLEEP_TO_MINUTE), Quiet::quiet_minutes);
    let asleep_seconds = u64::from(asleep_minutes) * SECONDS_PER_MINUTE;
    let (days, rest_seconds) = (life_seconds / SECONDS_PER_DAY, life_seconds % SECONDS_PER_DAY);
    days * (SECONDS_PER_DAY - asleep_seconds) + rest_seconds.saturating_sub(asleep_seconds)
}

/// Reads `[quiet]`.
pub(super) fn read_quiet<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<Quiet> {
    let table = reader.table(value, "quiet")?;
    let (mut hours, mut days_off, mut is_known) = (None, Some(BTreeSet::new()), true);
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "hours" => hours = read_hours(reader, value),
            "days_off" => days_off = read_days_off(reader, value),
            other => {
                reader.unknown_key(&key.span(), other, "hours, days_off");
                is_known = false;
            }
        }
    }
    if !table.contains_key("hours") {
        reader.fault(&value.span(), "[quiet] has no 'hours'", "add hours = \"21:00-08:00\" under [quiet]");
    }
    let (from_minute, to_minute) = hours?;
    Quiet::new(from_minute, to_minute, days_off?).filter(|_| is_known)
}

fn read_hours<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<(u16, u16)> {
    let text = reader.text(value, "hours")?;
    let hours = text.split_once('-').and_then(|(from, to)| Some((minute_of_day(from)?, minute_of_day(to)?)));
    if hours.is_none() {
        let what = format!("{} is no span of hours", quote(text));
        reader.fault(&value.span(), what, "write two times from 00:00 to 23:59, as in hours = \"21:00-08:00\"");
    }
    let (from, to) = hours?;
    if from == to {
        let what = "these hours begin and end at the same time, so that it is always quiet or never";
        reader.fault(&value.span(), what, "write two different times, as in hours = \"21:00-08:00\"");
        return None;
    }
    Some((from, to))
}

fn read_days_off<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<BTreeSet<Weekday>> {
    let days = reader.words(value, "days_off", &Weekday::ALL, Weekday::as_str);
    if days.len() == Weekday::ALL.len() {
        let what = "all seven days are off, so that no message could ever leave";
        reader.fault(&value.span(), what, "leave out the days on which messages may leave");
        return None;
    }
    (!days.is_empty()).then_some(days)
}

/// `08:00`, from 00:00 to 23:59.
fn minute_of_day(text: &str) -> Option<u16> {
    let is_in_form = text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let time = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| is_in_form)?;
    u16::try_from(time.hour() * 60 + time.minute()).ok()
}

/// From one minute of the day to the next time that another comes.
const fn span_minutes(from_minute: u16, to_minute: u16) -> u16 {
    (to_minute + MINUTES_PER_DAY - from_minute) % MINUTES_PER_DAY
}

/// The time of the day.
fn clock_of(local: NaiveDateTime) -> i64 {
    i64::from(local.num_seconds_from_midnight()) * 1_000 + i64::from(local.nanosecond() / 1_000_000)
}

fn clock_millis(minute: u16) -> i64 {
    i64::from(minute) * MILLIS_PER_MINUTE
}

/// So far along the wall clock, or to the moment at which the clocks change, if that comes first.
fn walk(at: UtcMillis, wall_millis: i64, zone: Tz) -> UtcMillis {
    let offset = offset_millis(at, zone);
    let there = at.plus(millis(u64::try_from(wall_millis).unwrap_or(0)));
    if offset_millis(there, zone) == offset {
        return there;
    }
    let (mut before, mut after) = (at.0, there.0);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if offset_millis(UtcMillis(middle), zone) == offset { before = middle } else { after = middle }
    }
    UtcMillis(after)
}
