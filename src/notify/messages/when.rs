//! Days and times as each language writes them, by the clock of the clinic's place.

use chrono::{DateTime, Datelike as _, TimeZone as _};
use chrono_tz::Tz;

use crate::base::{Language, UtcMillis};

/// `Tuesday, 24 November 2026, 16:05 (Chicago time)`; the minute is the last whole one. Where the clocks of that place
/// show it twice, in the night in which they go back, the offset's own name stands there instead: `(CST)`.
pub(super) fn day_and_time(at: UtcMillis, zone: Tz, language: Language) -> String {
    let local = at.to_datetime().with_timezone(&zone);
    let time = local.format("%H:%M");
    let clock = match language {
        Language::English | Language::Spanish | Language::Polish | Language::French => time.to_string(),
        Language::German => format!("{time} Uhr"),
    };
    format!("{}, {clock} ({})", long_day(&local, language), whose_time(&local, language))
}

/// `24 November`, for a day that is not far.
pub(super) fn day(at: UtcMillis, zone: Tz, language: Language) -> String {
    let local = at.to_datetime().with_timezone(&zone);
    day_of_month(&local, language)
}

fn long_day(local: &DateTime<Tz>, language: Language) -> String {
    let weekday = name_of(local.weekday().num_days_from_monday(), weekdays(language));
    let (day, year) = (day_of_month(local, language), local.year());
    match language {
        Language::English | Language::Polish | Language::German => format!("{weekday}, {day} {year}"),
        Language::Spanish => format!("{weekday}, {day} de {year}"),
        Language::French => format!("{weekday} {day} {year}"),
    }
}

fn day_of_month(local: &DateTime<Tz>, language: Language) -> String {
    let (day, month) = (local.day(), name_of(local.month0(), months(language)));
    match language {
        Language::Spanish => format!("{day} de {month}"),
        Language::German => format!("{day}. {month}"),
        Language::French if day == 1 => format!("1er {month}"),
        Language::English | Language::Polish | Language::French => format!("{day} {month}"),
    }
}

fn whose_time(local: &DateTime<Tz>, language: Language) -> String {
    let zone = local.timezone();
    let shown_once = zone.from_local_datetime(&local.naive_local()).single().is_some();
    match zone.name().rsplit_once('/') {
        Some((area, city)) if area != "Etc" && shown_once => {
            let city = spoken(city, language);
            match language {
                Language::English => format!("{city} time"),
                Language::Spanish => format!("hora de {city}"),
                Language::Polish => format!("czas lokalny: {city}"),
                Language::German => format!("Ortszeit {city}"),
                Language::French => format!("heure locale\u{a0}: {city}"),
            }
        }
        Some(_) | None => {
            let abbreviation = local.format("%Z").to_string();
            let utc = if abbreviation.starts_with(['+', '-']) { "UTC" } else { "" };
            format!("{utc}{abbreviation}")
        }
    }
}

fn name_of<const N: usize>(index: u32, names: [&'static str; N]) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

const fn weekdays(language: Language) -> [&'static str; 7] {
    match language {
        Language::English => ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        Language::Spanish => ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
        Language::Polish => ["poniedziałek", "wtorek", "środa", "czwartek", "piątek", "sobota", "niedziela"],
        Language::German => ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"],
        Language::French => ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
    }
}

/// As they stand behind a day.
#[rustfmt::skip]
const fn months(language: Language) -> [&'static str; 12] {
    match language {
        Language::English => [
            "January", "February", "March", "April", "May", "June",
            "July", "August", "September", "October", "November", "December",
        ],
        Language::Spanish => [
            "enero", "febrero", "marzo", "abril", "mayo", "junio",
            "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
        ],
        Language::Polish => [
            "stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca",
            "lipca", "sierpnia", "września", "października", "listopada", "grudnia",
        ],
        Language::German => [
            "Januar", "Februar", "März", "April", "Mai", "Juni",
            "Juli", "August", "September", "Oktober", "November", "Dezember",
        ],
        Language::French => [
            "janvier", "février", "mars", "avril", "mai", "juin",
            "juillet", "août", "septembre", "octobre", "novembre", "décembre",
        ],
    }
}

/// A city of the time zone data base, in a language that calls it by another name; where that is, the five are spoken.
fn spoken(city: &str, language: Language) -> String {
    // English, Spanish, Polish, German, French.
    let names = match city {
        "Berlin" => ["Berlin", "Berlín", "Berlin", "Berlin", "Berlin"],
        "Brussels" => ["Brussels", "Bruselas", "Bruksela", "Brüssel", "Bruxelles"],
        "London" => ["London", "Londres", "Londyn", "London", "Londres"],
        "Luxembourg" => ["Luxembourg", "Luxemburgo", "Luksemburg", "Luxemburg", "Luxembourg"],
        "Mexico_City" => ["Mexico City", "Ciudad de México", "Meksyk", "Mexiko-Stadt", "Mexico"],
        "New_York" => ["New York", "Nueva York", "Nowy Jork", "New York", "New York"],
        "Paris" => ["Paris", "París", "Paryż", "Paris", "Paris"],
        "Rome" => ["Rome", "Roma", "Rzym", "Rom", "Rome"],
        "Vienna" => ["Vienna", "Viena", "Wiedeń", "Wien", "Vienne"],
        "Warsaw" => ["Warsaw", "Varsovia", "Warszawa", "Warschau", "Varsovie"],
        "Zurich" => ["Zurich", "Zúrich", "Zurych", "Zürich", "Zurich"],
        other => return other.replace('_', " "),
    };
    let [english, spanish, polish, german, french] = names;
    match language {
        Language::English => english,
        Language::Spanish => spanish,
        Language::Polish => polish,
        Language::German => german,
        Language::French => french,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcMillis {
        UtcMillis::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_end_is_told_in_the_clinics_time() {
        for (instant, zone, expected) in [
            ("2026-11-24T22:05:59Z", chrono_tz::America::Chicago, "Tuesday, 24 November 2026, 16:05 (Chicago time)"),
            ("2026-07-01T04:30:00Z", chrono_tz::America::New_York, "Wednesday, 1 July 2026, 00:30 (New York time)"),
            ("2026-11-24T22:05:00Z", chrono_tz::Europe::Berlin, "Tuesday, 24 November 2026, 23:05 (Berlin time)"),
            (
                "2026-11-24T22:05:00Z",
                chrono_tz::America::Sao_Paulo,
                "Tuesday, 24 November 2026, 19:05 (Sao Paulo time)",
            ),
            ("2026-11-01T06:30:00Z", chrono_tz::America::Chicago, "Sunday, 1 November 2026, 01:30 (CDT)"),
            ("2026-11-01T07:30:00Z", chrono_tz::America::Chicago, "Sunday, 1 November 2026, 01:30 (CST)"),
            ("2026-11-01T08:30:00Z", chrono_tz::America::Chicago, "Sunday, 1 November 2026, 02:30 (Chicago time)"),
            ("2026-11-24T22:05:00Z", chrono_tz::UTC, "Tuesday, 24 November 2026, 22:05 (UTC)"),
            ("2026-11-24T22:05:00Z", chrono_tz::Etc::UTC, "Tuesday, 24 November 2026, 22:05 (UTC)"),
        ] {
            assert_eq!(day_and_time(at(instant), zone, Language::English), expected);
        }
    }

    #[test]
    fn each_language_writes_a_day_its_own_way() {
        let instant = at("2026-10-01T20:05:00Z");
        for (language, zone, expected) in [
            (
                Language::Spanish,
                chrono_tz::America::New_York,
                "jueves, 1 de octubre de 2026, 16:05 (hora de Nueva York)",
            ),
            (
                Language::Polish,
                chrono_tz::Europe::Warsaw,
                "czwartek, 1 października 2026, 22:05 (czas lokalny: Warszawa)",
            ),
            (Language::German, chrono_tz::Europe::Vienna, "Donnerstag, 1. Oktober 2026, 22:05 Uhr (Ortszeit Wien)"),
            (Language::French, chrono_tz::Europe::Paris, "jeudi 1er octobre 2026, 22:05 (heure locale\u{a0}: Paris)"),
        ] {
            assert_eq!(day_and_time(instant, zone, language), expected);
        }
        assert_eq!(day(instant, chrono_tz::UTC, Language::German), "1. Oktober");
        assert_eq!(day(instant, chrono_tz::UTC, Language::Spanish), "1 de octubre");
    }
}
