//! Waits, ages and quiet hours by the clocks of real places.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::select;
use toml::de::DeTable;

use super::*;
use crate::base::cases::cases;
use crate::policy::calendar::{BirthDate, Calendar, Wait, age_on, day_of, day_start, local_at};
use crate::policy::facts::Age;
use crate::policy::quiet::{
    LEAVE_EVERY, LEAVE_WITHIN, Quiet, SLEEP_FROM_MINUTE, SLEEP_TO_MINUTE, Weekday, least_waking_seconds, read_quiet,
};
use crate::policy::reader::Reader;

const CASES: u32 = 10_000;
const MINUTE_MILLIS: i64 = 60_000;
const DAY_MILLIS: i64 = 86_400_000;
/// 1970-01-01 to 2060-01-01.
const MOMENTS: std::ops::Range<i64> = 0..2_840_140_800_000;
/// Zones whose clocks change at midnight, by half hours, over the date line, at odd minutes, or not at all.
const ZONES: [Tz; 16] = [
    Tz::UTC,
    Tz::America__Chicago,
    Tz::America__Denver,
    Tz::America__New_York,
    Tz::Europe__Warsaw,
    Tz::Asia__Beirut,
    Tz::America__Havana,
    Tz::America__Sao_Paulo,
    Tz::America__Asuncion,
    Tz::America__St_Johns,
    Tz::Africa__Cairo,
    Tz::Australia__Lord_Howe,
    Tz::Antarctica__Troll,
    Tz::Pacific__Apia,
    Tz::Pacific__Kwajalein,
    Tz::Africa__Monrovia,
];

fn wall(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
}

fn at(zone: Tz, text: &str) -> UtcMillis {
    UtcMillis(zone.from_local_datetime(&wall(text)).earliest().unwrap().timestamp_millis())
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn holidays(days: &[&str]) -> Calendar {
    Calendar { holidays: days.iter().map(|text| day(text)).collect() }
}

fn shown(at: UtcMillis, zone: Tz) -> String {
    local_at(at, zone).format("%a %Y-%m-%d %H:%M").to_string()
}

fn end(wait: Wait, zone: Tz, from: &str) -> String {
    shown(wait.end(at(zone, from), zone, &holidays(&["2027-07-05"])), zone)
}

#[test]
fn waits_end_as_the_contract_says() {
    let friday = "2026-11-20 16:00";
    let three_days = Wait::CalendarDays { days: 3 };
    let three_business_days = Wait::BusinessDays { days: 3 };
    let hours = Wait::Elapsed { hours: 72 };
    assert_eq!(end(hours, Tz::America__Kentucky__Louisville, friday), "Mon 2026-11-23 16:00");
    assert_eq!(end(three_days, Tz::America__Chicago, friday), "Mon 2026-11-23 00:00");
    assert_eq!(end(three_business_days, Tz::America__Denver, "2027-07-02 16:00"), "Thu 2027-07-08 00:00");
    assert_eq!(end(hours, Tz::America__Chicago, "2026-10-30 16:00"), "Mon 2026-11-02 15:00");
    assert_eq!(end(hours, Tz::America__Chicago, "2027-03-12 16:00"), "Mon 2027-03-15 17:00");
    assert_eq!(end(three_days, Tz::America__Chicago, "2026-10-30 16:00"), "Mon 2026-11-02 00:00");
}

#[test]
fn a_wait_from_a_weekend_counts_its_first_business_day_on_monday() {
    let one = Wait::BusinessDays { days: 1 };
    for from in ["2026-11-20 00:00", "2026-11-20 23:59", "2026-11-21 12:00", "2026-11-22 23:59"] {
        assert_eq!(end(one, Tz::America__Denver, from), "Mon 2026-11-23 00:00", "{from}");
    }
    assert_eq!(end(one, Tz::America__Denver, "2026-11-23 00:00"), "Tue 2026-11-24 00:00");
}

#[test]
fn midnights_that_do_not_exist_or_come_twice() {
    let one = Wait::CalendarDays { days: 1 };
    // Lebanon's clocks went from 00:00 to 01:00 on 31 March 2024.
    assert_eq!(end(one, Tz::Asia__Beirut, "2024-03-30 12:00"), "Sun 2024-03-31 01:00");
    assert_eq!(day_start(day("2024-03-31"), Tz::Asia__Beirut).to_rfc3339(), "2024-03-30T22:00:00.000Z");
    // Cuba's went from 01:00 back to 00:00 on 3 November 2024: the day begins with the first of the two midnights.
    assert_eq!(day_start(day("2024-11-03"), Tz::America__Havana).to_rfc3339(), "2024-11-03T04:00:00.000Z");
    // Brazil's went from 24:00 back to 23:00 on 17 February 2018.
    assert_eq!(day_start(day("2018-02-18"), Tz::America__Sao_Paulo).to_rfc3339(), "2018-02-18T03:00:00.000Z");
    // Newfoundland's went from 00:01 back to 23:01 on 1 November 2009: the new day had begun and does not end again.
    let before_fold = at(Tz::America__St_Johns, "2009-11-01 00:00");
    assert_eq!(day_of(UtcMillis(before_fold.0 + 30 * MINUTE_MILLIS), Tz::America__St_Johns), day("2009-11-01"));
    // Samoa had no 30 December 2011.
    assert_eq!(end(one, Tz::Pacific__Apia, "2011-12-29 12:00"), "Sat 2011-12-31 00:00");
    assert_eq!(end(Wait::CalendarDays { days: 2 }, Tz::Pacific__Apia, "2011-12-29 12:00"), "Sat 2011-12-31 00:00");
    // Liberia's went forward by 44 minutes and a half on 7 January 1972.
    assert_eq!(day_start(day("1972-01-07"), Tz::Africa__Monrovia).to_rfc3339(), "1972-01-07T00:44:30.000Z");
}

#[test]
fn no_instant_is_too_odd_for_a_wait() {
    let waits = [
        Wait::Elapsed { hours: u32::MAX },
        Wait::CalendarDays { days: u16::MAX },
        Wait::BusinessDays { days: u16::MAX },
        Wait::BusinessDays { days: 0 },
        Wait::CalendarDays { days: 0 },
    ];
    for wait in waits {
        let mut last = UtcMillis(i64::MIN);
        for anchor in [i64::MIN, i64::MIN + 1, -2_208_988_800_001, 0, 253_370_764_800_001, i64::MAX - 1, i64::MAX] {
            let end = wait.end(UtcMillis(anchor), Tz::Pacific__Apia, &Calendar::default());
            assert!(end >= UtcMillis(anchor) && end >= last, "{wait:?} from {anchor}");
            last = end;
        }
    }
    let quiet = Quiet::new(1_260, 480, BTreeSet::from([Weekday::Sun])).unwrap();
    for now in [i64::MIN, 0, i64::MAX] {
        assert!(quiet.next_allowed(UtcMillis(now), Tz::Pacific__Apia) >= UtcMillis(now));
        assert_eq!(age_on(BirthDate::Year(i32::MAX), UtcMillis(now), Tz::UTC), Age::Unknown);
        assert_eq!(age_on(BirthDate::Month { year: 2000, month: 13 }, UtcMillis(now), Tz::UTC), Age::Unknown);
    }
}

#[test]
fn the_bounds_of_a_wait_are_reached_and_not_passed() {
    let zone = Tz::UTC;
    for count in 1..=23_u16 {
        for wait in [
            Wait::Elapsed { hours: u32::from(count) },
            Wait::CalendarDays { days: count },
            Wait::BusinessDays { days: count },
        ] {
            let spans = (0..7 * 24).flat_map(|hour| {
                let from = at(zone, "2026-11-16 00:00").0 + hour * 3_600_000;
                [from, from + 3_599_999].map(|from| wait.end(UtcMillis(from), zone, &Calendar::default()).0 - from)
            });
            let (least, most) = spans.fold((i64::MAX, 0), |(least, most), span| (least.min(span), most.max(span)));
            assert_eq!(u64::try_from(least).unwrap() / 1_000, wait.least_seconds(), "{wait:?}");
            assert_eq!(u64::try_from(most).unwrap() / 1_000, wait.most_seconds(), "{wait:?}");
        }
    }
}

#[test]
fn one_wait_stands_for_another_only_if_it_never_ends_before() {
    let (hours, days, business) =
        (|hours| Wait::Elapsed { hours }, |days| Wait::CalendarDays { days }, |days| Wait::BusinessDays { days });
    for (mine, other) in [
        (hours(72), hours(72)),
        (hours(72), days(3)),
        (days(3), days(3)),
        (days(4), hours(72)),
        (business(3), days(3)),
        (business(6), days(8)),
        (hours(120), business(3)),
        (business(3), business(3)),
    ] {
        assert!(mine.never_ends_before(other), "{mine:?} {other:?}");
    }
    for (mine, other) in [
        (hours(71), hours(72)),
        (hours(71), days(3)),
        (days(2), days(3)),
        (days(3), hours(72)),
        (business(3), days(4)),
        (hours(119), business(3)),
        (days(5), business(3)),
        (business(2), business(3)),
    ] {
        assert!(!mine.never_ends_before(other), "{mine:?} {other:?}");
    }
}

fn years(birth: BirthDate, zone: Tz, now: &str) -> Option<(u16, u16)> {
    match age_on(birth, at(zone, now), zone) {
        Age::Unknown => None,
        Age::Years { least, most } => Some((least, most)),
    }
}

#[test]
fn birthdays_switch_at_midnight_in_the_patients_zone() {
    for age in [11, 12, 17, 18_u16] {
        let birth = BirthDate::Day(day(&format!("{}-06-15", 2027 - age)));
        for zone in [Tz::Europe__Warsaw, Tz::America__Chicago, Tz::Pacific__Apia] {
            assert_eq!(years(birth, zone, "2027-06-14 23:59"), Some((age - 1, age - 1)));
            assert_eq!(years(birth, zone, "2027-06-15 00:00"), Some((age, age)));
        }
    }
    // The same instant: in Warsaw the birthday has come, in Chicago it has not.
    let (birth, now) = (BirthDate::Day(day("2009-06-15")), at(Tz::Europe__Warsaw, "2027-06-15 00:30"));
    assert_eq!(age_on(birth, now, Tz::Europe__Warsaw), Age::Years { least: 18, most: 18 });
    assert_eq!(age_on(birth, now, Tz::America__Chicago), Age::Years { least: 17, most: 17 });
}

#[test]
fn a_birthday_on_the_29th_of_february_is_on_the_1st_of_march_in_common_years() {
    let birth = BirthDate::Day(day("2008-02-29"));
    assert_eq!(years(birth, Tz::UTC, "2026-02-28 23:59"), Some((17, 17)));
    assert_eq!(years(birth, Tz::UTC, "2026-03-01 00:00"), Some((18, 18)));
    assert_eq!(years(birth, Tz::UTC, "2028-02-29 00:00"), Some((20, 20)));
    assert_eq!(years(birth, Tz::UTC, "2028-02-28 23:59"), Some((19, 19)));
}

#[test]
fn a_birth_date_in_part_gives_a_range() {
    let month = BirthDate::Month { year: 2009, month: 6 };
    assert_eq!(years(month, Tz::UTC, "2027-05-31 23:59"), Some((17, 17)));
    assert_eq!(years(month, Tz::UTC, "2027-06-01 00:00"), Some((17, 18)));
    assert_eq!(years(month, Tz::UTC, "2027-06-30 00:00"), Some((18, 18)));
    let year = BirthDate::Year(2009);
    assert_eq!(years(year, Tz::UTC, "2027-01-01 00:00"), Some((17, 18)));
    assert_eq!(years(year, Tz::UTC, "2027-12-31 00:00"), Some((18, 18)));
    // Born this year: not in its future part.
    assert_eq!(years(BirthDate::Year(2027), Tz::UTC, "2027-03-01 00:00"), Some((0, 0)));
}

#[test]
fn a_birth_date_that_cannot_be_is_unknown() {
    for birth in [
        BirthDate::Day(day("2027-06-16")),
        BirthDate::Month { year: 2027, month: 7 },
        BirthDate::Month { year: 2000, month: 0 },
        BirthDate::Year(2028),
        BirthDate::Year(i32::MIN),
        BirthDate::Day(day("0001-01-01")),
        BirthDate::Year(1800),
    ] {
        assert_eq!(years(birth, Tz::UTC, "2027-06-15 12:00"), None, "{birth:?}");
    }
    assert_eq!(years(BirthDate::Day(day("2027-06-15")), Tz::UTC, "2027-06-15 12:00"), Some((0, 0)));
    assert_eq!(years(BirthDate::Day(day("1900-01-01")), Tz::UTC, "2027-06-15 12:00"), Some((127, 127)));
}

fn quiet(body: &str) -> Result<Quiet, String> {
    let document = DeTable::parse(body).unwrap();
    let mut reader = Reader::new(body);
    let quiet = read_quiet(&mut reader, document.get_ref().get("quiet").unwrap());
    if reader.is_clean() { Ok(quiet.expect("no fault, no value")) } else { Err(reader.into_errors().to_string()) }
}

#[test]
fn a_message_of_saturday_night_leaves_on_monday_morning() {
    let quiet = quiet("[quiet]\nhours = \"21:00-08:00\"\ndays_off = [\"sun\"]\n").unwrap();
    let zone = Tz::America__Chicago;
    let next = |from: &str| shown(quiet.next_allowed(at(zone, from), zone), zone);
    assert_eq!(next("2026-11-21 21:30"), "Mon 2026-11-23 08:00");
    assert_eq!(next("2026-11-21 20:59"), "Sat 2026-11-21 20:59");
    assert_eq!(next("2026-11-21 21:00"), "Mon 2026-11-23 08:00");
    assert_eq!(next("2026-11-22 12:00"), "Mon 2026-11-23 08:00");
    assert_eq!(next("2026-11-23 07:59"), "Mon 2026-11-23 08:00");
    assert_eq!(next("2026-11-23 08:00"), "Mon 2026-11-23 08:00");
    // Over both changes of the clocks, which are on Sundays.
    assert_eq!(next("2026-10-31 21:30"), "Mon 2026-11-02 08:00");
    assert_eq!(next("2027-03-13 21:30"), "Mon 2027-03-15 08:00");
}

#[test]
fn quiet_hours_that_end_within_a_change_of_the_clocks() {
    let zone = Tz::America__Chicago;
    // On 14 March 2027 there is no 02:30: the clocks go from 02:00 to 03:00.
    let quiet = quiet("[quiet]\nhours = \"01:00-02:30\"\n").unwrap();
    let next = |from: &str| shown(quiet.next_allowed(at(zone, from), zone), zone);
    assert_eq!(next("2027-03-14 01:30"), "Sun 2027-03-14 03:00");
    // On 1 November 2026 01:00 to 02:00 comes twice, and it is quiet both times.
    assert_eq!(next("2026-11-01 01:10"), "Sun 2026-11-01 02:30");
    assert_eq!(
        quiet.next_allowed(at(zone, "2026-11-01 01:10"), zone).since(at(zone, "2026-11-01 01:10")).as_secs(),
        8_400
    );
}

#[test]
fn three_reports_of_the_night_leave_within_seconds_and_thousands_within_the_hour() {
    let quiet = quiet("[quiet]\nhours = \"21:00-08:00\"\n").unwrap();
    let zone = Tz::America__Chicago;
    assert_eq!(quiet.end(at(zone, "2026-11-21 20:59"), zone), None);
    let end = quiet.end(at(zone, "2026-11-21 21:30"), zone).unwrap();
    let eight = at(zone, "2026-11-22 08:00");
    let waits = |ahead: u64| end.turn(ahead).since(eight).as_secs();
    assert_eq!([0, 1, 2, 1_799].map(waits), [0, 2, 4, 3_598]);
    // More than the pace has room for share the turns.
    assert_eq!([1_800, 1_801, 5_399].map(waits), [0, 2, 3_598]);
    assert_eq!((end.at(), end.until()), (eight, eight.plus(LEAVE_WITHIN)));
}

#[test]
fn where_quiet_soon_begins_again_all_leave_before() {
    let zone = Tz::America__Chicago;
    let lunch = quiet("[quiet]\nhours = \"12:10-12:00\"\n").unwrap();
    let end = lunch.end(at(zone, "2026-11-21 20:00"), zone).unwrap();
    assert_eq!(shown(end.until(), zone), "Sun 2026-11-22 12:10");
    assert_eq!(shown(end.turn(299), zone), "Sun 2026-11-22 12:09");
    assert_eq!(end.turn(300), end.at());
    // A day off begins at midnight.
    let late = quiet("[quiet]\nhours = \"12:00-23:30\"\ndays_off = [\"sun\"]\n").unwrap();
    let end = late.end(at(zone, "2026-11-21 20:00"), zone).unwrap();
    assert_eq!(shown(end.until(), zone), "Sun 2026-11-22 00:00");
}

#[test]
fn faults_of_quiet_have_their_line_and_remedy() {
    for (body, place, part) in [
        ("quiet = 3\n", "line 1", "[quiet]"),
        ("[quiet]\n", "line 1", "add hours = \"21:00-08:00\""),
        ("[quiet]\nhours = \"21-8\"\n", "line 2", "00:00 to 23:59"),
        ("[quiet]\nhours = \"21:00-24:00\"\n", "line 2", "00:00 to 23:59"),
        ("[quiet]\nhours = \"9:00-18:00\"\n", "line 2", "00:00 to 23:59"),
        ("[quiet]\nhours = \"21:00\"\n", "line 2", "no span of hours"),
        ("[quiet]\nhours = \"08:00-08:00\"\n", "line 2", "two different times"),
        ("[quiet]\nhours = 21\n", "line 2", "double quotes"),
        ("[quiet]\nhours = \"21:00-08:00\"\ndays_off = [\"sunday\"]\n", "line 3", "\"sun\""),
        ("[quiet]\nhours = \"21:00-08:00\"\ndays_off = []\n", "line 3", "leave 'days_off' out"),
        (
            "[quiet]\nhours = \"21:00-08:00\"\n\
             days_off = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]\n",
            "line 3",
            "no message could ever leave",
        ),
        ("[quiet]\nhours = \"21:00-08:00\"\nzone = \"UTC\"\n", "line 3", "known here are: hours, days_off"),
    ] {
        let fault = quiet(body).unwrap_err();
        assert!(fault.contains(place) && fault.contains(part), "{body}\n{fault}");
    }
    assert_eq!(quiet("[quiet]\nhours = \"21:00-08:00\"\ndays_off = \"sun\"\n").unwrap().days_off().len(), 1);
}

#[test]
fn quiet_hours_are_hashed_by_what_they_mean() {
    let one = quiet("[quiet]\nhours = \"21:00-08:00\"\ndays_off = [\"sun\", \"sat\"]\n").unwrap();
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(text, r#"{"from_minute":1260,"to_minute":480,"days_off":["sat","sun"]}"#);
}

#[test]
fn waking_hours_of_usual_links() {
    let night = Quiet::new(SLEEP_FROM_MINUTE, SLEEP_TO_MINUTE, BTreeSet::new()).unwrap();
    for (life_hours, waking_hours) in [(0, 0), (11, 0), (12, 1), (23, 12), (24, 13), (35, 13), (48, 26), (72, 39)] {
        assert_eq!(least_waking_seconds(None, life_hours * 3_600), waking_hours * 3_600, "{life_hours}");
        assert_eq!(least_waking_seconds(Some(&night), life_hours * 3_600), waking_hours * 3_600, "{life_hours}");
    }
    let noon = Quiet::new(12 * 60, 13 * 60, BTreeSet::new()).unwrap();
    assert_eq!(least_waking_seconds(Some(&noon), 12 * 3_600), 11 * 3_600);
}

/// Where a life may start, for the scan.
#[derive(Clone, Copy)]
enum Starts {
    Anywhere,
    /// On a minute outside the quiet hours or at the one where they begin.
    Allowed,
}

/// Minutes outside the quiet hours, at the least, of the lives that start on any minute allowed.
fn least_waking_by_scan(from: u16, to: u16, starts: Starts, life_minutes: usize) -> u64 {
    let is_asleep = |minute: usize| {
        let minute = u16::try_from(minute % 1_440).unwrap();
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    };
    let mut awake_before = vec![0_u64];
    for minute in 0..1_440 + life_minutes {
        awake_before.push(awake_before[minute] + u64::from(!is_asleep(minute)));
    }
    let is_start = |start: &usize| match starts {
        Starts::Anywhere => true,
        Starts::Allowed => !is_asleep(*start) || *start == usize::from(from),
    };
    let lives = (0..1_440).filter(is_start);
    lives.map(|start| awake_before[start + life_minutes] - awake_before[start]).min().unwrap()
}

fn quiets() -> impl Strategy<Value = Quiet> {
    let days = proptest::collection::btree_set(select(Weekday::ALL.to_vec()), 0..7);
    (0..1_440_u16, 0..1_440_u16, days).prop_filter_map("hours alike", |(from, to, days)| Quiet::new(from, to, days))
}

fn waits() -> impl Strategy<Value = Wait> {
    prop_oneof![
        (0..800_u32).prop_map(|hours| Wait::Elapsed { hours }),
        (0..40_u16).prop_map(|days| Wait::CalendarDays { days }),
        (0..40_u16).prop_map(|days| Wait::BusinessDays { days }),
    ]
}

/// A moment, half of them within a day of a change of the zone's clocks or of a midnight.
fn moments() -> impl Strategy<Value = (Tz, i64)> {
    (select(ZONES.to_vec()), MOMENTS, any::<bool>()).prop_map(|(zone, moment, is_near)| {
        let change = |from: i64| {
            let offset = |at: i64| local_at(UtcMillis(at), zone).and_utc().timestamp_millis() - at;
            (0..400).map(|days| from + days * DAY_MILLIS).find(|at| offset(*at) != offset(*at + DAY_MILLIS))
        };
        let near = if is_near { change(moment).map(|at| at + moment % DAY_MILLIS) } else { None };
        (zone, near.unwrap_or(moment))
    })
}

proptest! {
    #![proptest_config(cases(CASES))]

    #[test]
    fn a_wait_ends_never_before_its_anchor_and_later_for_a_later_one(
        (zone, anchor) in moments(), wait in waits(), gap in prop_oneof![0..DAY_MILLIS, 0..3 * MINUTE_MILLIS],
    ) {
        let calendar = holidays(&["2027-07-05", "2026-11-26"]);
        let (one, other) = (UtcMillis(anchor), UtcMillis(anchor + gap));
        prop_assert!(one <= wait.end(one, zone, &calendar));
        prop_assert!(wait.end(one, zone, &calendar) <= wait.end(other, zone, &calendar));
    }

    #[test]
    fn a_day_starts_at_its_first_instant((zone, moment) in moments()) {
        let today = day_of(UtcMillis(moment), zone);
        let start = day_start(today, zone);
        prop_assert!(start.0 <= moment);
        prop_assert!(local_at(start, zone).date() >= today);
        prop_assert!(local_at(UtcMillis(start.0 - 1), zone).date() < today);
        prop_assert_eq!(day_of(start, zone), today);
    }

    #[test]
    fn the_next_allowed_moment_is_not_quiet_and_stays((zone, now) in moments(), quiet in quiets()) {
        let next = quiet.next_allowed(UtcMillis(now), zone);
        prop_assert!(next >= UtcMillis(now));
        prop_assert!(!quiet.is_quiet(next, zone));
        prop_assert_eq!(quiet.next_allowed(next, zone), next);
        // Quiet means what it says on the wall clock.
        let local = local_at(next, zone);
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap();
        let (from, to) = (quiet.from_minute(), quiet.to_minute());
        let is_in_hours = if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to };
        let weekday = Weekday::ALL[local.weekday().num_days_from_monday() as usize];
        prop_assert!(!is_in_hours && !quiet.days_off().contains(&weekday));
    }

    #[test]
    fn every_turn_after_quiet_hours_is_open_in_order_and_within_the_hour(
        (zone, now) in moments(), quiet in quiets(), ahead in 0..5_000_u64,
    ) {
        let Some(end) = quiet.end(UtcMillis(now), zone) else {
            prop_assert!(!quiet.is_quiet(UtcMillis(now), zone));
            return Ok(());
        };
        prop_assert_eq!((end.at(), end.turn(0)), (quiet.next_allowed(UtcMillis(now), zone), end.at()));
        let (turn, next) = (end.turn(ahead), end.turn(ahead + 1));
        prop_assert!(end.at() <= turn && turn < end.until() && end.until() <= end.at().plus(LEAVE_WITHIN));
        prop_assert!(!quiet.is_quiet(turn, zone));
        let is_last = turn.plus(LEAVE_EVERY) >= end.until();
        prop_assert_eq!(next, if is_last { end.at() } else { turn.plus(LEAVE_EVERY) });
    }

    #[test]
    fn the_next_quiet_moment_is_quiet_and_stays((zone, now) in moments(), quiet in quiets()) {
        let next = quiet.next_quiet(UtcMillis(now), zone);
        prop_assert!(next >= UtcMillis(now) && quiet.is_quiet(next, zone));
        prop_assert_eq!(quiet.next_quiet(next, zone), next);
    }
}

proptest! {
    #![proptest_config(cases(CASES / 20))]

    #[test]
    fn no_earlier_moment_is_allowed((zone, now) in moments(), quiet in quiets()) {
        let now = now / MINUTE_MILLIS * MINUTE_MILLIS;
        let next = quiet.next_allowed(UtcMillis(now), zone);
        let earlier = (now..next.0).step_by(usize::try_from(MINUTE_MILLIS).unwrap());
        for moment in earlier {
            prop_assert!(quiet.is_quiet(UtcMillis(moment), zone), "{}", UtcMillis(moment));
        }
    }

    #[test]
    fn least_waking_seconds_is_what_a_scan_of_all_minutes_finds(quiet in quiets(), life_minutes in 0..4_000_usize) {
        let life_seconds = life_minutes as u64 * 60;
        for starts in [Starts::Allowed, Starts::Anywhere] {
            let waking = least_waking_by_scan(quiet.from_minute(), quiet.to_minute(), starts, life_minutes);
            prop_assert_eq!(least_waking_seconds(Some(&quiet), life_seconds), waking * 60);
        }
        let waking = least_waking_by_scan(SLEEP_FROM_MINUTE, SLEEP_TO_MINUTE, Starts::Anywhere, life_minutes);
        prop_assert_eq!(least_waking_seconds(None, life_seconds), waking * 60);
    }
}
