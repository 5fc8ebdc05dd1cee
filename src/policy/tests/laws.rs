//! The law packs that ship, and what a faulty one is told.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeZone, Weekday};
use chrono_tz::Tz;
use toml::de::DeTable;

use super::*;
use crate::policy::calendar::{Wait, local_at};
use crate::policy::laws::{self, Pack, Standing, Verified, Waiver, parse_pack};
use crate::policy::reader::{Place, Reader, Value};
use crate::policy::schedule::{LegalWait, Schedule, Timing};

type RawPack = Pack<String, String>;

/// Conditions and rows as their text: the packs' arithmetic needs no more.
fn parse(text: &str) -> Result<RawPack, String> {
    let document = DeTable::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let mut reader = Reader::new(text);
    let pack = parse_pack(&mut reader, document.get_ref(), &mut when_text, &mut row_text);
    if reader.is_clean() { Ok(pack.expect("no fault, no pack")) } else { Err(reader.into_errors().to_string()) }
}

fn when_text<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<String> {
    reader.table(value, "when").map(|table| format!("{table:?}"))
}

fn row_text<'t>(reader: &mut Reader<'t>, at: Place, row: &DeTable<'t>) -> Option<String> {
    for name in ["id", "when", "then"] {
        if !row.contains_key(name) {
            reader.fault(&at, format!("this row has no '{name}'"), "add it");
            return None;
        }
    }
    Some(format!("{row:?}"))
}

fn pack(name: &str) -> RawPack {
    parse(laws::shipped(name).expect(name)).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn at(zone: Tz, text: &str) -> UtcMillis {
    let wall = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    UtcMillis(zone.from_local_datetime(&wall).earliest().unwrap().timestamp_millis())
}

#[test]
fn every_pack_in_the_folder_ships_under_its_own_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/laws");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".toml").to_owned())
        .collect();
    assert_eq!(files, laws::NAMES.iter().map(|name| (*name).to_owned()).collect());
    for name in laws::NAMES {
        assert_eq!(pack(name).header.id, name);
        assert!(laws::shipped(name).unwrap().starts_with("# "), "{name} begins with words for its reader");
    }
    assert_eq!(laws::shipped("us-oh"), None);
}

#[test]
fn every_vector_of_every_pack_holds() {
    let mut run = 0;
    for name in laws::NAMES {
        let pack = pack(name);
        let mut proven = BTreeSet::new();
        for vector in &pack.vectors {
            let finalised = vector.zone.from_local_datetime(&vector.finalised).earliest().unwrap();
            let wait = pack.wait_of(&vector.rule).unwrap();
            let end = wait.end(UtcMillis(finalised.timestamp_millis()), vector.zone, &pack.calendar);
            assert_eq!(local_at(end, vector.zone), vector.expected, "{name}: {}", vector.name);
            assert!(pack.is_in_force(UtcMillis(finalised.timestamp_millis()), vector.zone), "{name}: {}", vector.name);
            proven.insert(vector.rule.as_str());
            run += 1;
        }
        let bounds = pack.floors.iter().map(|floor| floor.id.as_str());
        let bounds: BTreeSet<_> = bounds.chain(pack.ceilings.iter().map(|ceiling| ceiling.id.as_str())).collect();
        assert_eq!(proven, bounds, "{name}: each floor and ceiling has a vector");
    }
    assert!(run >= 20, "{run} vectors were run");
}

#[test]
fn every_pack_names_its_source_and_the_sentence_for_counsel() {
    for name in laws::NAMES {
        let Pack { header, .. } = pack(name);
        assert!(header.counsel.to_lowercase().contains("counsel must"), "{name}");
        assert!(!header.sources.is_empty(), "{name}");
        let is_skeleton = ["pl", "eu-ehds"].contains(&name);
        assert_eq!(header.standing == Standing::NotVerified, is_skeleton, "{name}");
        assert_eq!(header.verified == Verified::None, is_skeleton, "{name}");
    }
}

#[test]
fn the_packs_say_what_the_contract_says() {
    let hours = Wait::Elapsed { hours: 72 };
    let kentucky = pack("us-ky");
    assert!(kentucky.floors.iter().all(|floor| floor.wait == hours));
    assert!(kentucky.floors.iter().all(|floor| floor.waived_by == BTreeSet::from([Waiver::Clinician])));
    let texas = pack("us-tx-sb922");
    assert!(
        texas.floors.iter().all(|floor| floor.wait == Wait::CalendarDays { days: 3 } && floor.waived_by.is_empty())
    );
    let montana = pack("us-mt");
    assert!(montana.floors.iter().all(|floor| floor.wait == hours));
    assert!(montana.ceilings.iter().all(|ceiling| ceiling.wait == hours));
    assert_eq!((montana.floors.len(), montana.ceilings.len()), (4, 4));
    let colorado = pack("us-co-sb26-162");
    let both = BTreeSet::from([Waiver::Clinician, Waiver::Patient]);
    assert!(
        colorado.floors.iter().all(|floor| floor.wait == Wait::BusinessDays { days: 3 } && floor.waived_by == both)
    );
    let california = pack("us-ca");
    assert!(california.floors.is_empty() && california.ceilings.is_empty() && california.restricts.len() == 5);
}

#[test]
fn a_law_counts_from_the_day_of_finalisation_on() {
    let zone = Tz::America__Denver;
    let colorado = pack("us-co-sb26-162");
    assert!(!colorado.is_in_force(at(zone, "2027-06-30 23:59"), zone));
    assert!(colorado.is_in_force(at(zone, "2027-07-01 00:00"), zone));
    let texas = pack("us-tx-sb922");
    // The same instant is the first of September in Texas only later than in Poland.
    let eve = at(Tz::America__Chicago, "2025-08-31 23:59");
    assert!(!texas.is_in_force(eve, Tz::America__Chicago));
    assert!(texas.is_in_force(eve, Tz::Europe__Warsaw));
    assert!(pack("us-ky").is_in_force(UtcMillis(0), zone));
    let ended = parse(&sound().replace("[[floor]]", "in_force_until = 2026-12-31\n[[floor]]")).unwrap();
    assert!(ended.is_in_force(at(zone, "2026-12-31 23:59"), zone));
    assert!(!ended.is_in_force(at(zone, "2027-01-01 00:00"), zone));
}

/// The `nth` such weekday of the month; the last one for 0.
fn nth(year: i32, month: u32, weekday: Weekday, nth: u8) -> NaiveDate {
    let of = |n| NaiveDate::from_weekday_of_month_opt(year, month, weekday, n);
    if nth > 0 { of(nth).unwrap() } else { of(5).or_else(|| of(4)).unwrap() }
}

/// On Friday for a Saturday, on Monday for a Sunday (5 U.S.C. 6103(b)).
fn observed(year: i32, month: u32, of_month: u32) -> NaiveDate {
    let date = NaiveDate::from_ymd_opt(year, month, of_month).unwrap();
    match date.weekday() {
        Weekday::Sat => date - Days::new(1),
        Weekday::Sun => date + Days::new(1),
        Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu | Weekday::Fri => date,
    }
}

#[test]
fn colorados_holidays_are_those_of_the_federal_calendar_and_its_own() {
    let mut expected = BTreeSet::from([observed(2029, 1, 1)]);
    for year in [2027, 2028] {
        expected.extend([
            observed(year, 1, 1),
            nth(year, 1, Weekday::Mon, 3),
            nth(year, 2, Weekday::Mon, 3),
            nth(year, 5, Weekday::Mon, 0),
            observed(year, 6, 19),
            observed(year, 7, 4),
            nth(year, 9, Weekday::Mon, 1),
            nth(year, 10, Weekday::Mon, 1),
            nth(year, 10, Weekday::Mon, 2),
            observed(year, 11, 11),
            nth(year, 11, Weekday::Thu, 4),
            observed(year, 12, 25),
        ]);
    }
    let calendar = pack("us-co-sb26-162").calendar;
    assert_eq!(calendar.holidays, expected);
    assert_eq!(calendar.last_holiday(), Some(day("2029-01-01")));
    assert!(calendar.holidays.iter().all(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun)));
}

/// A whole small pack; `[law]` is lines 1 to 7.
fn sound() -> String {
    "[law]\nid = \"xx\"\ntitle = \"A law\"\njurisdiction = \"US-XX\"\nsource = [\"a book\"]\nverified = \"none\"\n\
     counsel = \"Counsel must confirm.\"\nstatus = \"not-verified\"\n[[floor]]\nid = \"a\"\nwhen = { set = \"HIV\" }\n\
     wait = { business_days = 3 }\n[[ceiling]]\nid = \"b\"\nwhen = { set = \"HIV\" }\nwait = { hours = 200 }\n\
     [[vector]]\nname = \"one\"\nfinal = 2026-11-20T16:00:00\nzone = \"America/Chicago\"\nrule = \"a\"\n\
     expect = 2026-11-25T00:00:00\n[calendar]\nholidays = [2026-12-25]\n"
        .to_owned()
}

#[test]
fn every_fault_of_a_pack_has_its_line_and_remedy() {
    parse(&sound()).unwrap();
    for (from, to, place, part) in [
        ("[law]", "[lawn]", "line 1", "known here are: law, calendar"),
        ("[law]", "[lawn]", "line 1", "the section [law] is missing"),
        ("id = \"xx\"\n", "", "line 1", "add id = "),
        ("counsel = \"Counsel must confirm.\"\n", "", "line 1", "add counsel = "),
        ("\"Counsel must confirm.\"", "\" \"", "line 7", "one or a few sentences"),
        ("\"US-XX\"", "\"Kentucky\"", "line 4", "\"US-KY\" or \"PL\""),
        ("\"none\"", "\"partly\"", "line 6", "\"text\" or \"secondary\" or \"none\""),
        ("status = \"not-verified\"", "status = \"draft\"", "line 8", "\"verified\" or \"not-verified\""),
        ("title", "headline", "line 3", "known here are: id, title"),
        ("status", "in_force_from = \"2026-13-01\"\nstatus", "line 8", "no day of the calendar"),
        ("status", "in_force_from = \"1.7.2026\"\nstatus", "line 8", "2027-07-05"),
        (
            "status",
            "in_force_from = 2026-07-02\nin_force_until = 2026-07-01\nstatus",
            "line 1",
            "ends before it begins",
        ),
        ("{ business_days = 3 }", "{ weeks = 3 }", "line 12", "known here are: hours, calendar_days, business_days"),
        ("{ business_days = 3 }", "{ business_days = 0 }", "line 12", "from 1 to 30"),
        ("{ business_days = 3 }", "{ hours = 721 }", "line 12", "from 1 to 720"),
        ("{ business_days = 3 }", "{ hours = 1, calendar_days = 3 }", "line 12", "must say one length of time"),
        ("{ business_days = 3 }", "3", "line 12", "not a table"),
        ("wait = { business_days = 3 }", "waived_by = [\"nurse\"]", "line 12", "\"clinician\" or \"patient\""),
        ("wait = { business_days = 3 }", "", "line 9", "add wait = { hours = 72 }"),
        ("when = { set = \"HIV\" }\nwait = { business", "wait = { business", "line 9", "add when = "),
        ("wait = { hours = 200 }", "wait = { hours = 200 }\nwaived_by = \"patient\"", "line 17", "nothing to waive"),
        ("id = \"b\"", "id = \"a\"", "line 13", "another id"),
        ("rule = \"a\"", "rule = \"c\"", "line 17", "name the id of one in 'rule'"),
        ("America/Chicago", "Chicago", "line 20", "America/Chicago"),
        ("expect = 2026-11-25T00:00:00", "expect = 2026-11-25T01:00:00", "line 17", "ends at 2026-11-25 00:00:00"),
        ("expect = 2026-11-25T00:00:00", "expect = 2026-11-25", "line 22", "local date and time"),
        ("16:00:00", "16:00:00-06:00", "line 19", "without a zone"),
        ("final = 2026-11-20T16:00:00", "final = 2026-03-08T02:30:00", "line 17", "go forward over it"),
        ("[2026-12-25]", "[2026-12-25, \"2026-12-25\"]", "line 24", "stands here twice"),
        ("[calendar]\nholidays = [2026-12-25]", "", "line 1", "names no holidays"),
        ("holidays", "closed", "line 24", "known here are: holidays"),
        ("[calendar]", "[[restrict]]\nid = \"a\"\n[calendar]", "line 23", "another id"),
    ] {
        let text = sound().replacen(from, to, 1);
        let fault = parse(&text).expect_err(to);
        let hit = fault.lines().any(|line| line.contains(&format!("{place},")) && line.contains(part));
        assert!(hit, "{text}\nexpected {place}: {part}\n{fault}");
    }
}

#[test]
fn a_packs_hash_knows_its_rules_and_not_its_vectors() {
    let written = |text: &str| serde_json::to_string(&parse(text).unwrap()).unwrap();
    let sound = sound();
    assert_eq!(written(&sound), written(&sound.replace("\"one\"", "\"another\"")));
    assert_ne!(written(&sound), written(&sound.replace("hours = 200", "hours = 201")));
    assert_ne!(written(&sound), written(&sound.replace("[2026-12-25]", "[2026-12-24]")));
    assert!(written(&sound).contains("\"in_force_from\":null"));
}

#[test]
fn a_schedule_under_an_older_one_keeps_each_wait_that_was_longer() {
    let wait = |rule: &str, hours: u64| LegalWait {
        rule: rule.to_owned(),
        until: NOW.plus(crate::base::hours(hours)),
        waived_by: BTreeSet::new(),
    };
    let schedule = |from, floors| Schedule { from, timing: Timing::Now, floors, ceilings: Vec::new(), earliest: from };
    let before = schedule(NOW, vec![wait("us/gone", 72), wait("us/same", 48), wait("us/longer", 10)]);
    let later = NOW.plus(crate::base::hours(1));
    let again = schedule(later, vec![wait("us/longer", 96), wait("us/same", 24), wait("us/new", 5)]);
    let both = again.clone().with_floors_of(&before);
    assert_eq!(both.floors, [wait("us/longer", 96), wait("us/gone", 72), wait("us/same", 48), wait("us/new", 5)]);
    assert_eq!((both.from, both.earliest), (NOW, wait("", 96).until));
    assert!(!before.has_more_floor_than(Some(&both)) && !again.has_more_floor_than(Some(&both)));
}
