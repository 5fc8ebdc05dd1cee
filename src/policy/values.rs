//! More single values of a rules file: dates, times, zones, sentences.
//!
//! Job: what law packs and calendars need to be read beside what [`super::reader`] reads.
//! Must not know: which section a value stands in, or what it means there.

use chrono::{NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use toml::de::DeValue;

use super::reader::{Place, Reader, Value, quote};

/// Characters of a sentence for people.
const SENTENCE_MAX: usize = 1_000;

impl<'t> Reader<'t> {
    /// A day, `2027-07-05`, with quotes or without.
    pub(super) fn date(&mut self, value: &Value<'t>, name: &str) -> Option<NaiveDate> {
        let written = written_date(value);
        let is_in_form = |text: &&str| text.len() == "2027-07-05".len();
        let date = written.as_deref().filter(is_in_form).and_then(|text| text.parse().ok());
        if date.is_none() {
            let what = format!("'{name}' is no day of the calendar");
            self.fault(&value.span(), what, format!("write year, month and day, as in {name} = \"2027-07-05\""));
        }
        date
    }

    /// A time on a wall clock, `2026-11-20T16:00:00`, with quotes or without; no offset.
    pub(super) fn wall_time(&mut self, value: &Value<'t>, name: &str) -> Option<NaiveDateTime> {
        let written = written_date(value);
        let time = written.as_deref().and_then(|text| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok());
        if time.is_none() {
            let what = format!("'{name}' is no local date and time");
            let remedy = format!("write it without a zone, as in {name} = \"2026-11-20T16:00:00\"");
            self.fault(&value.span(), what, remedy);
        }
        time
    }

    /// A zone of the IANA list.
    pub(super) fn zone(&mut self, value: &Value<'t>, name: &str) -> Option<Tz> {
        let text = self.text(value, name)?;
        let zone = text.parse::<Tz>().ok();
        if zone.is_none() {
            let what = format!("{} is not a time zone", quote(text));
            self.fault(&value.span(), what, "use a name of the IANA list such as \"America/Chicago\"");
        }
        zone
    }

    /// Words for people: one line or several.
    pub(super) fn sentence(&mut self, value: &Value<'t>, name: &str) -> Option<String> {
        let text = self.text(value, name)?;
        let fits = (1..=SENTENCE_MAX).contains(&text.trim().chars().count());
        if !fits {
            let what = format!("'{name}' is empty or longer than {SENTENCE_MAX} characters");
            self.fault(&value.span(), what, "write one or a few sentences");
        }
        fits.then(|| text.trim().to_owned())
    }

    pub(super) fn unknown_key(&mut self, at: &Place, word: &str, known: &str) {
        self.fault(at, format!("the key {} is unknown", quote(word)), format!("known here are: {known}"));
    }
}

/// A text or a date of TOML, as it is written.
fn written_date(value: &Value<'_>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Datetime(date) => Some(date.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
