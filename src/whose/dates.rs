//! Birth dates in the forms in which papers write them.
//!
//! Must stay true: a date that can be read in several ways agrees when any reading does.

use std::sync::LazyLock;

use chrono::{Datelike as _, NaiveDate};
use regex::{Captures, Regex};

use super::KnownBirth;

const MONTH: &str = "(?:jan|sty|ene|feb|fev|lut|mar|mrz|mae|apr|abr|avr|kwi|may|mai|maj|jun|juin|cze|jul|juil|lip|aug|ago|aou|sie|sep|set|wrz|oct|okt|paz|nov|lis|dec|dez|dic|gru)[a-z]*";

static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let day = r"(?:[0-3]?\d)(?:st|nd|rd|th|er)?";
    let forms = [
        r"(?P<y1>(?:18|19|20)\d\d)[-/. ]{1,2}(?P<m1>\d{1,2})[-/. ]{1,2}(?P<d1>\d{1,2})".to_owned(),
        r"(?P<a2>\d{1,2})[-/. ]{1,2}(?P<b2>\d{1,2})[-/. ]{1,2}(?P<y2>(?:18|19|20)\d\d|\d\d)".to_owned(),
        format!(
            r"(?P<d3>{day})[-/., ]{{0,3}}(?:de |of )?(?P<m3>{MONTH})[-/., ]{{0,3}}(?:de |del )?(?P<y3>(?:18|19|20)\d\d|\d\d)"
        ),
        format!(r"(?P<m4>{MONTH})[-/., ]{{0,3}}(?P<d4>{day})[-/., ]{{1,3}}(?P<y4>(?:18|19|20)\d\d|\d\d)"),
        format!(r"(?P<y5>(?:18|19|20)\d\d)[-/., ]{{1,3}}(?P<m5>{MONTH})[-/., ]{{1,3}}(?P<d5>{day})"),
        r"(?P<y6>(?:18|19|20)\d\d)(?P<m6>[01]\d)(?P<d6>[0-3]\d)".to_owned(),
    ];
    Regex::new(&format!(r"\b(?:{})\b", forms.join("|"))).ok()
});

/// A month or a year alone.
static PART: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(&format!(
        r"^\W*(?:(?P<m1>\d{{1,2}})[-/. ](?P<y1>(?:18|19|20)\d\d)|(?P<y2>(?:18|19|20)\d\d)[-/. ](?P<m2>\d{{1,2}})|(?P<m3>{MONTH})[-/., ]{{0,3}}(?P<y3>(?:18|19|20)\d\d)|(?P<y4>(?:18|19|20)\d\d))\b"
    ))
    .ok()
});

/// How far into a value its date begins at most.
const VALUE_BYTES_MAX: usize = 48;

/// Whether the date at the beginning of a folded value may be that of birth; `None` where there is none, or nothing is known.
pub(super) fn agrees(value: &str, born: KnownBirth) -> Option<bool> {
    let value = value.get(..value.floor_char_boundary(VALUE_BYTES_MAX)).unwrap_or_default();
    if let Some(date) = DATE.as_ref()?.captures(value) {
        let readings = readings(&date);
        return if readings.is_empty() { None } else { agree(&readings, born) };
    }
    let (year, month) = part(value)?;
    let is_month = |known: u32| month.is_none_or(|month| month == known);
    match born {
        KnownBirth::Day(day) => Some(day.year() == year && is_month(day.month())),
        KnownBirth::Month { year: known, month } => Some(known == year && is_month(month)),
        KnownBirth::Year(known) => Some(known == year),
        KnownBirth::Unknown => None,
    }
}

/// Whether the day of birth stands anywhere in a folded text, with its year in full.
pub(super) fn stands_in(text: &str, born: KnownBirth) -> bool {
    let (KnownBirth::Day(_), Some(date)) = (born, DATE.as_ref()) else { return false };
    let mut dates = date.captures_iter(text).filter(|date| !has_short_year(date));
    dates.any(|date| agree(&readings(&date), born) == Some(true))
}

/// Whether a folded text is one date and nothing else.
pub(super) fn is_whole(text: &str) -> bool {
    let found = DATE.as_ref().and_then(|date| date.find(text));
    found.is_some_and(|found| found.start() == 0 && found.end() == text.trim_end_matches('.').len())
}

/// Every day that the date at the beginning of a folded text can mean.
pub(super) fn readings_of(text: &str) -> Vec<NaiveDate> {
    DATE.as_ref().and_then(|date| date.captures(text)).map(|date| readings(&date)).unwrap_or_default()
}

/// Whether `text` begins with a date.
pub(super) fn begins(text: &str) -> bool {
    let found = DATE.as_ref().and_then(|date| date.find(text));
    found.is_some_and(|found| found.start() == 0)
}

fn agree(readings: &[NaiveDate], born: KnownBirth) -> Option<bool> {
    let is = |date: &NaiveDate| match born {
        KnownBirth::Day(day) => Some(*date == day),
        KnownBirth::Month { year, month } => Some(date.year() == year && date.month() == month),
        KnownBirth::Year(year) => Some(date.year() == year),
        KnownBirth::Unknown => None,
    };
    readings.iter().map(is).try_fold(false, |any, one| Some(any || one?))
}

fn has_short_year(date: &Captures<'_>) -> bool {
    ["y2", "y3", "y4"].iter().any(|name| date.name(name).is_some_and(|year| year.len() == 2))
}

fn readings(date: &Captures<'_>) -> Vec<NaiveDate> {
    let text = |name: &str| date.name(name).map(|found| found.as_str());
    let number = |name: &str| {
        let digits: String = text(name)?.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    let mut orders: Vec<(Option<&str>, Option<u32>, Option<u32>)> = Vec::new();
    for (y, m, d) in [("y1", "m1", "d1"), ("y6", "m6", "d6")] {
        orders.push((text(y), number(m), number(d)));
    }
    orders.push((text("y2"), number("a2"), number("b2")));
    orders.push((text("y2"), number("b2"), number("a2")));
    for (y, m, d) in [("y3", "m3", "d3"), ("y4", "m4", "d4"), ("y5", "m5", "d5")] {
        orders.push((text(y), text(m).and_then(month), number(d)));
    }
    let mut readings = Vec::new();
    for order in orders {
        let (Some(year), Some(month), Some(day)) = order else { continue };
        readings.extend(years(year).into_iter().filter_map(|year| NaiveDate::from_ymd_opt(year, month, day)));
    }
    readings
}

fn years(written: &str) -> Vec<i32> {
    match (written.parse::<i32>(), written.len()) {
        (Ok(year), 2) => vec![1900 + year, 2000 + year],
        (Ok(year), _) => vec![year],
        (Err(_), _) => Vec::new(),
    }
}

fn part(value: &str) -> Option<(i32, Option<u32>)> {
    let found = PART.as_ref()?.captures(value)?;
    let text = |name: &str| found.name(name).map(|found| found.as_str());
    let year = ["y1", "y2", "y3", "y4"].into_iter().find_map(text)?.parse().ok()?;
    let number = text("m1").or_else(|| text("m2")).and_then(|digits| digits.parse().ok());
    Some((year, number.or_else(|| text("m3").and_then(month))))
}

/// By the first letters in English, German, Spanish, French and Polish.
fn month(word: &str) -> Option<u32> {
    if word.starts_with("juil") {
        return Some(7);
    }
    Some(match word.get(..3)? {
        "jan" | "sty" | "ene" => 1,
        "feb" | "fev" | "lut" => 2,
        "mar" | "mrz" | "mae" => 3,
        "apr" | "abr" | "avr" | "kwi" => 4,
        "may" | "mai" | "maj" => 5,
        "jun" | "jui" | "cze" => 6,
        "jul" | "lip" => 7,
        "aug" | "ago" | "aou" | "sie" => 8,
        "sep" | "set" | "wrz" => 9,
        "oct" | "okt" | "paz" => 10,
        "nov" | "lis" => 11,
        "dec" | "dez" | "dic" | "gru" => 12,
        _ => return None,
    })
}
