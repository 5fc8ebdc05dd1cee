//! A result's value as it was sent: digits, units and words are not changed.

use serde_json::Value;

use super::strict::{Members, Unfaithful, account, choice, showable, text};
use super::{concept, strict};
use crate::fhir::dates;
use crate::paper::{Said, Told, When};

const QUANTITY: Members = Members { shown: &["value", "comparator", "unit", "system", "code"], silent: &["id"] };
const RANGE: Members = Members { shown: &["low", "high"], silent: &["id"] };
const RATIO: Members = Members { shown: &["numerator", "denominator"], silent: &["id"] };
const PERIOD: Members = Members { shown: &["start", "end"], silent: &["id"] };
/// One without dimension.
const NO_UNIT: &str = "1";
/// The one system whose codes are read as they are written: `mmol/L`.
const UCUM: &str = "http://unitsofmeasure.org";

/// The value of an Observation or a component; `None`: it has none.
pub(super) fn of(holder: &Value, at: &str, language: Option<&str>) -> Result<Option<Told>, Unfaithful> {
    let Some((kind, value, at)) = choice(holder, "value", at)? else { return Ok(None) };
    let plain = |text: String| Ok(Told::Words(Said::plain(text)));
    let told = match kind {
        "Quantity" => plain(quantity(value, &at)?.spelled()),
        "CodeableConcept" => Ok(Told::Words(concept::some_words(value, &at, language)?)),
        "String" => {
            let words = value.as_str().ok_or_else(|| Unfaithful::at(&at, "is no text"))?;
            let text = showable(words, &at)?.to_owned();
            Ok(Told::Words(Said { text, language: language.map(str::to_owned) }))
        }
        "Boolean" => match value {
            Value::Bool(true) => plain("Yes".to_owned()),
            Value::Bool(false) => plain("No".to_owned()),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                Err(Unfaithful::at(&at, "is neither true nor false"))
            }
        },
        "Integer" => plain(whole_number(value, &at)?),
        "Range" => plain(range(value, &at)?),
        "Ratio" => plain(ratio(value, &at)?),
        "Time" => plain(clock_time(value, &at)?),
        "DateTime" => Ok(Told::Time(time(value, &at)?)),
        "Period" => Ok(Told::Time(period(value, &at)?)),
        "SampledData" => Err(Unfaithful::at(&at, "is a series of samples, which is not shown")),
        "Attachment" => Err(Unfaithful::at(&at, "is a file, which is not shown")),
        _ => Err(Unfaithful::at(&at, "is of a type that is not shown")),
    };
    told.map(Some)
}

/// A number with its unit, as sent.
#[derive(PartialEq, Eq)]
pub(super) struct Quantity {
    comparator: &'static str,
    digits: String,
    pub unit: Option<String>,
}

impl Quantity {
    pub(super) fn spelled(&self) -> String {
        match &self.unit {
            Some(unit) => format!("{} {unit}", self.number()),
            None => self.number(),
        }
    }

    pub(super) fn number(&self) -> String {
        format!("{}{}", self.comparator, self.digits)
    }
}

pub(super) fn quantity(value: &Value, at: &str) -> Result<Quantity, Unfaithful> {
    account(value, at, &QUANTITY)?;
    let digits = match value.get("value") {
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Unfaithful::at(at, "has a value that is no number")),
        None => return Err(Unfaithful::at(at, "has no number")),
    };
    let comparator = match text(value, "comparator", at)? {
        None => "",
        Some("<") => "< ",
        Some("<=") => "≤ ",
        Some(">=") => "≥ ",
        Some(">") => "> ",
        Some(_) => return Err(Unfaithful::at(at, "has a comparator that is not shown")),
    };
    let unit = match text(value, "unit", at)? {
        Some(unit) => Some(unit),
        None => coded_unit(value, at)?,
    };
    Ok(Quantity { comparator, digits, unit: unit.map(str::to_owned) })
}

/// A code that reads as a unit; another system's number would read as part of the value.
fn coded_unit<'a>(value: &'a Value, at: &str) -> Result<Option<&'a str>, Unfaithful> {
    let is_read = text(value, "system", at)?.is_none_or(|system| system == UCUM);
    match text(value, "code", at)? {
        None => Ok(None),
        Some(NO_UNIT) if is_read => Ok(None),
        Some(code) if is_read && code.contains(|c: char| !c.is_ascii_digit()) => Ok(Some(code)),
        Some(_) => Err(Unfaithful::at(at, "has a unit without words")),
    }
}

/// `low – high unit`, or the side that is there.
pub(super) fn range(value: &Value, at: &str) -> Result<String, Unfaithful> {
    account(value, at, &RANGE)?;
    sides(value, at)?.ok_or_else(|| Unfaithful::at(at, "has neither end"))
}

/// `low` and `high` of `holder`; `None`: neither is there.
pub(super) fn sides(holder: &Value, at: &str) -> Result<Option<String>, Unfaithful> {
    let side = |name: &str| holder.get(name).map(|side| quantity(side, &format!("{at}.{name}"))).transpose();
    Ok(match (side("low")?, side("high")?) {
        (None, None) => None,
        (Some(low), None) => Some(format!("from {}", low.spelled())),
        (None, Some(high)) => Some(format!("up to {}", high.spelled())),
        (Some(low), Some(high)) if low.unit == high.unit => Some(format!("{} – {}", low.number(), high.spelled())),
        (Some(low), Some(high)) => Some(format!("{} – {}", low.spelled(), high.spelled())),
    })
}

fn ratio(value: &Value, at: &str) -> Result<String, Unfaithful> {
    account(value, at, &RATIO)?;
    let part = |name: &str| match value.get(name) {
        Some(part) => quantity(part, &format!("{at}.{name}")).map(|part| part.spelled()),
        None => Err(Unfaithful(format!("{at} has no {name}"))),
    };
    Ok(format!("{} : {}", part("numerator")?, part("denominator")?))
}

fn whole_number(value: &Value, at: &str) -> Result<String, Unfaithful> {
    let number = value.as_number().map(ToString::to_string);
    let is_whole = |digits: &String| digits.parse::<i64>().is_ok();
    number.filter(is_whole).ok_or_else(|| Unfaithful::at(at, "is no whole number"))
}

/// `hh:mm:ss`, by no zone's clock.
fn clock_time(value: &Value, at: &str) -> Result<String, Unfaithful> {
    let is_time = |text: &&str| chrono::NaiveTime::parse_from_str(text, "%H:%M:%S%.f").is_ok();
    let time = value.as_str().filter(is_time);
    time.map(str::to_owned).ok_or_else(|| Unfaithful::at(at, "is no time of day"))
}

/// A date or an instant, as exactly as it was sent.
pub(super) fn time(value: &Value, at: &str) -> Result<When, Unfaithful> {
    let told = value.as_str().and_then(dates::told);
    told.ok_or_else(|| Unfaithful::at(at, "is no date or time"))
}

pub(super) fn period(value: &Value, at: &str) -> Result<When, Unfaithful> {
    account(value, at, &PERIOD)?;
    let side = |name: &str| value.get(name).map(|side| time(side, &format!("{at}.{name}"))).transpose();
    match (side("start")?, side("end")?) {
        (None, None) => Err(Unfaithful::at(at, "has neither start nor end")),
        (from, until) => Ok(When::Span { from: from.map(Box::new), until: until.map(Box::new) }),
    }
}

/// `effective[x]` of a report or an Observation.
pub(super) fn effective(holder: &Value, at: &str) -> Result<Option<When>, Unfaithful> {
    let Some((kind, value, at)) = strict::choice(holder, "effective", at)? else { return Ok(None) };
    match kind {
        "DateTime" | "Instant" => time(value, &at).map(Some),
        "Period" => period(value, &at).map(Some),
        _ => Err(Unfaithful::at(&at, "is of a type that is not shown")),
    }
}
