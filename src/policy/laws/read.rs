//! A law pack, read whole or not at all.
//!
//! Job: the sections and keys of a pack, and whether its arithmetic meets its own vectors.
//! Must stay true: an unknown key is a fault; ids are unique; a vector that fails is a fault of the pack.
//! Must not know: what `when` and `then` may say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeZone};
use toml::Spanned;
use toml::de::DeTable;

use super::pack::{Ceiling, Floor, Header, Pack, Standing, Vector, Verified, Waiver};
use crate::base::UtcMillis;
use crate::policy::calendar::{Calendar, Wait, local_at};
use crate::policy::reader::{Place, Reader, Value, quote};

/// Rows of one kind in a pack.
const ROWS_MAX: usize = 200;
/// Hours that a wait may have: thirty days.
const WAIT_HOURS_MAX: u16 = 30 * 24;
/// Days that a wait may have, of either kind.
const WAIT_DAYS_MAX: u16 = 30;

/// Reads a `when`.
pub(in crate::policy) type ReadWhen<'r, 't, W> = &'r mut dyn FnMut(&mut Reader<'t>, &Value<'t>) -> Option<W>;
/// Reads a whole `[[restrict]]` row, its `id` too.
pub(in crate::policy) type ReadRestrict<'r, 't, R> =
    &'r mut dyn FnMut(&mut Reader<'t>, Place, &DeTable<'t>) -> Option<R>;

/// Reads a pack from its document. `None` beside at least one fault; a pack with faults elsewhere may still come back,
/// so that the caller asks the reader whether it is clean.
pub(in crate::policy) fn parse_pack<'t, W, R>(
    reader: &mut Reader<'t>,
    table: &DeTable<'t>,
    read_when: ReadWhen<'_, 't, W>,
    read_restrict: ReadRestrict<'_, 't, R>,
) -> Option<Pack<W, R>> {
    let header = read_header(reader, table);
    let mut ids = BTreeMap::new();
    let (mut calendar, mut floors, mut ceilings, mut restricts) =
        (Calendar::default(), Vec::new(), Vec::new(), Vec::new());
    let mut vector_rows = Vec::new();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "law" => {}
            "calendar" => calendar = read_calendar(reader, value),
            "floor" => {
                for (at, row) in rows(reader, value, "floor", &mut ids) {
                    floors.extend(read_bound(reader, &at, row, Side::Floor, read_when).map(floor));
                }
            }
            "ceiling" => {
                for (at, row) in rows(reader, value, "ceiling", &mut ids) {
                    ceilings.extend(read_bound(reader, &at, row, Side::Ceiling, read_when).map(ceiling));
                }
            }
            "restrict" => {
                for (at, row) in rows(reader, value, "restrict", &mut ids) {
                    restricts.extend(read_restrict(reader, at, row));
                }
            }
            "vector" => vector_rows = rows(reader, value, "vector", &mut BTreeMap::new()),
            other => {
                let what = format!("the section {} is unknown in a law pack", quote(other));
                reader.fault(&key.span(), what, "known here are: law, calendar, floor, ceiling, restrict, vector");
            }
        }
    }
    floors.sort_by(|one, other| one.id.cmp(&other.id));
    ceilings.sort_by(|one, other| one.id.cmp(&other.id));
    let mut pack = Pack { header: header?, calendar, floors, ceilings, restricts, vectors: Vec::new() };
    check_holidays(reader, &pack);
    // A row with a fault is not in the pack, and a vector that names it is not to blame.
    let is_whole = reader.is_clean();
    for (at, row) in vector_rows {
        let Some(vector) = read_vector(reader, &at, row) else { continue };
        if is_whole {
            check_vector(reader, &at, &pack, &vector);
        }
        pack.vectors.push(vector);
    }
    Some(pack)
}

/// The rows of a section, with their ids held unique across the pack.
fn rows<'v, 't>(
    reader: &mut Reader<'t>,
    value: &'v Value<'t>,
    name: &str,
    ids: &mut BTreeMap<String, Place>,
) -> Vec<(Place, &'v DeTable<'t>)> {
    let rows = reader.rows(value, name);
    if rows.len() > ROWS_MAX {
        let what = format!("there are {} rows of '{name}'; {ROWS_MAX} are allowed", rows.len());
        reader.fault(&value.span(), what, "join rows that say the same by listing their codes in one");
        return Vec::new();
    }
    for (at, row) in &rows {
        let id = row.get("id").and_then(|id| id.get_ref().as_str());
        let Some(id) = id else { continue };
        // Sections do not come in the order of the file; the row further down is the one to mend.
        if let Some(other) = ids.insert(id.to_owned(), at.clone()) {
            let later = if at.start > other.start { at } else { &other };
            let what = format!("two rows of this pack have the id {}", quote(id));
            reader.fault(later, what, "give one of them another id");
        }
    }
    rows
}

fn read_header<'t>(reader: &mut Reader<'t>, document: &DeTable<'t>) -> Option<Header> {
    const KNOWN: &str = "id, title, jurisdiction, source, verified, counsel, in_force_from, in_force_until, status";
    let Some(section) = document.get("law") else {
        reader.fault(
            &(0..0),
            "the section [law] is missing",
            "begin with [law] and id = \"…\", as a shipped pack does",
        );
        return None;
    };
    let table = reader.table(section, "law")?;
    let (mut id, mut title, mut jurisdiction, mut counsel) = (None, None, None, None);
    let (mut sources, mut verified, mut standing) = (Vec::new(), None, None);
    let (mut from, mut until) = (None, None);
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "title" => title = reader.sentence(value, "title"),
            "jurisdiction" => jurisdiction = read_jurisdiction(reader, value),
            "source" => {
                let items = reader.list(value, "source");
                sources = items.into_iter().filter_map(|item| reader.sentence(item, "source")).collect();
            }
            "verified" => verified = reader.word(value, "verified", &Verified::ALL, Verified::as_str),
            "counsel" => counsel = reader.sentence(value, "counsel"),
            "in_force_from" => from = reader.date(value, "in_force_from"),
            "in_force_until" => until = reader.date(value, "in_force_until"),
            "status" => standing = reader.word(value, "status", &Standing::ALL, Standing::as_str),
            other => reader.unknown_key(&key.span(), other, KNOWN),
        }
    }
    for (name, example) in [
        ("id", "\"us-ky\""),
        ("title", "\"Kentucky KRS 333.152\""),
        ("jurisdiction", "\"US-KY\""),
        ("source", "[\"where the law can be read\"]"),
        ("verified", "\"none\""),
        ("counsel", "\"what counsel must confirm\""),
        ("status", "\"not-verified\""),
    ] {
        require(reader, &section.span(), table, "[law]", name, example);
    }
    check_dates(reader, section, from, until);
    Some(Header {
        id: id?,
        title: title?,
        jurisdiction: jurisdiction?,
        sources,
        verified: verified?,
        counsel: counsel?,
        in_force_from: from,
        in_force_until: until,
        standing: standing?,
    })
}

fn check_dates<T>(reader: &mut Reader<'_>, section: &Spanned<T>, from: Option<NaiveDate>, until: Option<NaiveDate>) {
    if let (Some(from), Some(until)) = (from, until)
        && until < from
    {
        let what = "this law ends before it begins";
        reader.fault(&section.span(), what, "correct in_force_from or in_force_until; both days are within");
    }
}

/// `US-KY`, `PL`, `EU`.
fn read_jurisdiction<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<String> {
    let text = reader.text(value, "jurisdiction")?;
    let (country, part) = text.split_once('-').unwrap_or((text, "X"));
    let is_sound = country.len() == 2
        && (1..=3).contains(&part.len())
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if !is_sound {
        let what = format!("{} is no jurisdiction", quote(text));
        reader.fault(&value.span(), what, "write the country and its part in capitals, as in \"US-KY\" or \"PL\"");
    }
    is_sound.then(|| text.to_owned())
}

fn read_calendar<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Calendar {
    let mut holidays = BTreeSet::new();
    let Some(table) = reader.table(value, "calendar") else { return Calendar::default() };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "holidays" => {
                let items = reader.list(value, "holidays");
                for item in items {
                    let Some(day) = reader.date(item, "holidays") else { continue };
                    if !holidays.insert(day) {
                        reader.fault(&item.span(), format!("{day} stands here twice"), "take one of them out");
                    }
                }
            }
            other => reader.unknown_key(&key.span(), other, "holidays"),
        }
    }
    Calendar { holidays }
}

/// Working days that no holiday ever interrupts are a list that was forgotten: the wait would be too short.
fn check_holidays<W, R>(reader: &mut Reader<'_>, pack: &Pack<W, R>) {
    let mut waits = pack.floors.iter().map(|floor| floor.wait).chain(pack.ceilings.iter().map(|ceiling| ceiling.wait));
    if pack.calendar.holidays.is_empty() && waits.any(|wait| matches!(wait, Wait::BusinessDays { .. })) {
        let what = "this pack counts business days and names no holidays";
        reader.fault(&(0..0), what, "add [calendar] and holidays = [\"2027-07-05\", …], as they are observed");
    }
}

/// What a row bounds.
#[derive(Clone, Copy)]
enum Side {
    Floor,
    Ceiling,
}

/// A row of either side, before it is told apart.
struct Bound<W> {
    id: String,
    when: W,
    wait: Wait,
    waived_by: BTreeSet<Waiver>,
    note: Option<String>,
}

fn floor<W>(bound: Bound<W>) -> Floor<W> {
    let Bound { id, when, wait, waived_by, note } = bound;
    Floor { id, when, wait, waived_by, note }
}

fn ceiling<W>(bound: Bound<W>) -> Ceiling<W> {
    let Bound { id, when, wait, note, waived_by: _ } = bound;
    Ceiling { id, when, wait, note }
}

fn read_bound<'t, W>(
    reader: &mut Reader<'t>,
    at: &Place,
    row: &DeTable<'t>,
    side: Side,
    read_when: ReadWhen<'_, 't, W>,
) -> Option<Bound<W>> {
    let (mut id, mut when, mut wait, mut waived_by, mut note) = (None, None, None, BTreeSet::new(), None);
    for (key, value) in row {
        match (key.get_ref().as_ref(), side) {
            ("id", _) => id = reader.slug(value, "id"),
            ("when", _) => when = read_when(reader, value),
            ("wait", _) => wait = read_wait(reader, value),
            ("waived_by", Side::Floor) => {
                waived_by = reader.words(value, "waived_by", &Waiver::ALL, Waiver::as_str);
            }
            ("note", _) => note = reader.sentence(value, "note"),
            ("waived_by", Side::Ceiling) => {
                let what = "a ceiling says by when a report must leave, and there is nothing to waive";
                reader.fault(&key.span(), what, "take 'waived_by' out, or put it on a [[floor]]");
            }
            (other, _) => reader.unknown_key(&key.span(), other, "id, when, wait, waived_by, note"),
        }
    }
    for (name, example) in
        [("id", "\"pathology\""), ("when", "{ recipient = \"patient\", set = \"x-ONC\" }"), ("wait", "{ hours = 72 }")]
    {
        require(reader, at, row, "this row", name, example);
    }
    Some(Bound { id: id?, when: when?, wait: wait?, waived_by, note })
}

/// `{ hours = 72 }`, `{ calendar_days = 3 }` or `{ business_days = 3 }`.
fn read_wait<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<Wait> {
    let table = reader.table(value, "wait")?;
    let mut waits = Vec::new();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "hours" => {
                let hours = reader.count(value, "hours", WAIT_HOURS_MAX)?;
                waits.push(Wait::Elapsed { hours: u32::from(hours) });
            }
            "calendar_days" => {
                waits.push(Wait::CalendarDays { days: reader.count(value, "calendar_days", WAIT_DAYS_MAX)? });
            }
            "business_days" => {
                waits.push(Wait::BusinessDays { days: reader.count(value, "business_days", WAIT_DAYS_MAX)? });
            }
            other => {
                reader.unknown_key(&key.span(), other, "hours, calendar_days, business_days");
                return None;
            }
        }
    }
    if waits.len() != 1 {
        let what = "'wait' must say one length of time";
        let remedy = "write { hours = 72 }, { calendar_days = 3 } or { business_days = 3 }";
        reader.fault(&value.span(), what, remedy);
        return None;
    }
    waits.pop()
}

fn read_vector<'t>(reader: &mut Reader<'t>, at: &Place, row: &DeTable<'t>) -> Option<Vector> {
    let (mut name, mut finalised, mut zone, mut rule, mut expected) = (None, None, None, None, None);
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "name" => name = reader.sentence(value, "name"),
            "final" => finalised = reader.wall_time(value, "final"),
            "zone" => zone = reader.zone(value, "zone"),
            "rule" => rule = reader.slug(value, "rule"),
            "expect" => expected = reader.wall_time(value, "expect"),
            other => reader.unknown_key(&key.span(), other, "name, final, zone, rule, expect"),
        }
    }
    for (key, example) in [
        ("name", "\"over a weekend\""),
        ("final", "\"2026-11-20T16:00:00\""),
        ("zone", "\"America/Chicago\""),
        ("rule", "\"pathology\""),
        ("expect", "\"2026-11-23T16:00:00\""),
    ] {
        require(reader, at, row, "this vector", key, example);
    }
    Some(Vector { name: name?, finalised: finalised?, zone: zone?, rule: rule?, expected: expected? })
}

fn check_vector<W, R>(reader: &mut Reader<'_>, at: &Place, pack: &Pack<W, R>, vector: &Vector) {
    let Some(wait) = pack.wait_of(&vector.rule) else {
        let what = format!("no floor or ceiling of this pack has the id {}", quote(&vector.rule));
        reader.fault(at, what, "name the id of one in 'rule'");
        return;
    };
    let Some(finalised) = vector.zone.from_local_datetime(&vector.finalised).earliest() else {
        let what = format!("{} never comes in {}: the clocks go forward over it", vector.finalised, vector.zone);
        reader.fault(at, what, "choose another 'final'");
        return;
    };
    let end = wait.end(UtcMillis(finalised.timestamp_millis()), vector.zone, &pack.calendar);
    let found = local_at(end, vector.zone);
    if found != vector.expected {
        let what = format!("by this pack the wait ends at {found}, and the vector expects {}", vector.expected);
        reader.fault(at, what, "correct the wait or the holidays if the law says so, else the vector");
    }
}

fn require<'t>(reader: &mut Reader<'t>, at: &Place, table: &DeTable<'t>, of: &str, name: &str, example: &str) {
    if !table.contains_key(name) {
        reader.fault(at, format!("{of} has no '{name}'"), format!("add {name} = {example}"));
    }
}
