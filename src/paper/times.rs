//! Points in time, in words.

use chrono::{NaiveDate, TimeZone as _, Timelike as _};
use chrono_tz::Tz;

use super::When;
use crate::base::UtcMillis;

/// By the clock of `zone`, in English.
pub(super) fn words(when: &When, zone: Tz) -> String {
    match when {
        When::Year(year) => year.to_string(),
        When::Month { year, month } => NaiveDate::from_ymd_opt(*year, *month, 1)
            .map_or_else(|| format!("{year}-{month:02}"), |first| first.format("%B %Y").to_string()),
        When::Day(day) => day.format("%-d %B %Y").to_string(),
        When::At(at) => instant(*at, zone),
        When::Span { from: Some(from), until: Some(until) } => {
            let (from, until) = (words(from, zone), words(until, zone));
            match (from.rsplit_once(", "), until.rsplit_once(", ")) {
                (Some((day, _)), Some((same, time))) if day == same => format!("{from} to {time}"),
                (Some(_) | None, Some(_) | None) => format!("{from} to {until}"),
            }
        }
        When::Span { from: Some(from), until: None } => format!("from {}", words(from, zone)),
        When::Span { from: None, until: Some(until) } => format!("until {}", words(until, zone)),
        When::Span { from: None, until: None } => String::new(),
    }
}

/// Seconds only where there are any; the offset where the clock showed the same time twice.
fn instant(at: UtcMillis, zone: Tz) -> String {
    let local = at.to_datetime().with_timezone(&zone);
    let pattern = if local.second() == 0 { "%-d %B %Y, %H:%M" } else { "%-d %B %Y, %H:%M:%S" };
    let told = local.format(pattern).to_string();
    let is_shown_once = zone.from_local_datetime(&local.naive_local()).single().is_some();
    if is_shown_once { told } else { format!("{told} (UTC{})", local.format("%:z")) }
}

/// The zone's name for a reader.
pub(super) fn spoken(zone: Tz) -> String {
    match zone.name().rsplit_once('/') {
        Some((area, city)) if area != "Etc" => format!("{} time", city.replace('_', " ")),
        Some(_) | None => zone.name().to_owned(),
    }
}
