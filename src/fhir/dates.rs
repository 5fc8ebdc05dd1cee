//! FHIR's dates, which may stop at the year, the month or the day
//! (<https://hl7.org/fhir/R4/datatypes.html#dateTime>).

use chrono::{Datelike, Days, Months, NaiveDate};

use crate::base::UtcMillis;
use crate::paper::When;

/// The first instant of `text` and the first one after it. A bare day is taken as a day in UTC.
pub(super) fn span(text: &str) -> Option<(UtcMillis, UtcMillis)> {
    if text.contains('T') {
        let at = UtcMillis::parse_rfc3339(text)?;
        return Some((at, UtcMillis(at.0.saturating_add(1))));
    }
    let day = |text: &str| day(text).filter(|day| (1..=9998).contains(&day.year()));
    let (first, after) = match text.len() {
        4 => {
            day(&format!("{text}-01-01")).and_then(|first| Some((first, first.checked_add_months(Months::new(12))?)))?
        }
        7 => day(&format!("{text}-01")).and_then(|first| Some((first, first.checked_add_months(Months::new(1))?)))?,
        10 => day(text).and_then(|first| Some((first, first.checked_add_days(Days::new(1))?)))?,
        _ => return None,
    };
    Some((midnight(first)?, midnight(after)?))
}

/// `text` as exactly as it says, for a reader.
pub(super) fn told(text: &str) -> Option<When> {
    if text.contains('T') {
        return UtcMillis::parse_rfc3339(text).map(When::At);
    }
    let first = |rest: &str| day(&format!("{text}{rest}")).filter(|day| (1..=9999).contains(&day.year()));
    match text.len() {
        4 => first("-01-01").map(|day| When::Year(day.year())),
        7 => first("-01").map(|day| When::Month { year: day.year(), month: day.month() }),
        10 => first("").map(When::Day),
        _ => None,
    }
}

/// A complete day, as `Patient.birthDate` is compared with; `None` for a bare year or month.
pub(super) fn day(text: &str) -> Option<NaiveDate> {
    // chrono would also take signs, spaces and short fields.
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if plain { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None }
}

fn midnight(day: NaiveDate) -> Option<UtcMillis> {
    Some(UtcMillis::from_datetime(day.and_hms_opt(0, 0, 0)?.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_date_spans_all_it_may_mean() {
        for (text, first, after) in [
            ("2026", "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
            ("2026-02", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z"),
            ("2026-12-31", "2026-12-31T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
            ("2026-12-31T10:00:00+01:00", "2026-12-31T09:00:00.000Z", "2026-12-31T09:00:00.001Z"),
        ] {
            let (a, b) = span(text).unwrap();
            assert_eq!((a.to_rfc3339().as_str(), b.to_rfc3339().as_str()), (first, after), "{text}");
        }
        for text in ["", "26", "2026-13", "2026-02-30", "2026-02-03T10:00", "yesterday", "99999", "+026", "2026-2-03"] {
            assert!(span(text).is_none(), "{text}");
        }
    }
}
