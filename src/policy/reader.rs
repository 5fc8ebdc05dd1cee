//! Single values of a rules file, read strictly, each with its place.
//!
//! Job: turn TOML values into parsed ones and collect faults with line, column and remedy.
//! Must not know: which section a value stands in, or what rules mean.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::codes::{self, LoincForm};
use super::errors::{Code, RulesError, RulesErrors};
use super::facts::Coding;
use super::rules::{FAULTS_MAX, LIST_ITEMS_MAX, Spot};

/// Characters of the file that a fault repeats.
const QUOTE_MAX: usize = 60;
/// Characters of an id or a version.
const NAME_MAX: usize = 64;
/// Characters of a code.
const CODE_MAX: usize = 64;

pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// Where a fault lies, in bytes of the file.
pub(super) type Place = Range<usize>;

pub(super) struct Reader<'t> {
    text: &'t str,
    faults: Vec<RulesError>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, faults: Vec::new() }
    }

    /// Notes a value that is not of the form that stands there.
    pub(super) fn fault(&mut self, at: &Place, what: impl Into<String>, remedy: impl Into<String>) {
        self.fault_of(Code::Form, at, what, remedy);
    }

    /// Notes a fault; past [`FAULTS_MAX`] further ones are dropped.
    pub(super) fn fault_of(&mut self, code: Code, at: &Place, what: impl Into<String>, remedy: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            let Spot { line, column } = self.spot(at);
            let text = self.text.get(at.clone()).unwrap_or_default().lines().next().unwrap_or_default();
            let width = text.chars().count().max(1);
            self.faults.push(RulesError { line, column, width, code, what: what.into(), remedy: remedy.into() });
        }
    }

    /// Where a place is.
    pub(super) fn spot(&self, at: &Place) -> Spot {
        let (line, column) = self.line_and_column(at.start);
        Spot { line, column }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn into_errors(mut self) -> RulesErrors {
        self.faults.sort();
        self.faults.dedup();
        RulesErrors(self.faults)
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        (before.matches('\n').count() + 1, column + 1)
    }

    pub(super) fn table<'v>(&mut self, value: &'v Value<'t>, name: &str) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let what = format!("'{name}' is {}, not a table", kind(value.get_ref()));
            self.fault(&value.span(), what, format!("write it as {name} = {{ … }} or as a section [{name}]"));
        }
        table
    }

    /// The tables of `[[name]]`.
    pub(super) fn rows<'v>(&mut self, value: &'v Value<'t>, name: &str) -> Vec<(Place, &'v DeTable<'t>)> {
        let remedy = format!("start each row with [[{name}]] on a line of its own");
        let DeValue::Array(rows) = value.get_ref() else {
            self.fault(&value.span(), format!("'{name}' is {}, not a list of rows", kind(value.get_ref())), remedy);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for row in rows {
            match row.get_ref().as_table() {
                Some(table) => tables.push((row.span(), table)),
                None => self.fault(&row.span(), format!("a row of '{name}' is no table"), remedy.as_str()),
            }
        }
        tables
    }

    pub(super) fn text<'v>(&mut self, value: &'v Value<'t>, name: &str) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            let what = format!("'{name}' is {}, not a text", kind(value.get_ref()));
            self.fault(&value.span(), what, "put the value between double quotes");
        }
        text
    }

    /// A name of ours for something in the file: `routine-lab`.
    pub(super) fn slug(&mut self, value: &Value<'t>, name: &str) -> Option<String> {
        let text = self.text(value, name)?;
        let fits = (1..=NAME_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !fits {
            let remedy = format!("use 1 to {NAME_MAX} of a-z, 0-9 and inner hyphens, as in \"routine-lab\"");
            self.fault_of(Code::BadId, &value.span(), format!("{} cannot be an id", quote(text)), remedy);
        }
        fits.then(|| text.to_owned())
    }

    /// A free name such as a version.
    pub(super) fn label(&mut self, value: &Value<'t>, name: &str) -> Option<String> {
        let text = self.text(value, name)?;
        let fits = (1..=NAME_MAX).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if !fits {
            let remedy = format!("use 1 to {NAME_MAX} visible characters, as in \"2026.11.1\"");
            self.fault(&value.span(), format!("{} cannot be a {name}", quote(text)), remedy);
        }
        fits.then(|| text.to_owned())
    }

    /// A list, or one value that stands for a list of one. Empty lists are faults.
    pub(super) fn list<'v>(&mut self, value: &'v Value<'t>, name: &str) -> Vec<&'v Value<'t>> {
        let DeValue::Array(items) = value.get_ref() else { return vec![value] };
        if items.is_empty() {
            let what = format!("the list '{name}' is empty");
            self.fault(&value.span(), what, format!("name at least one value or leave '{name}' out"));
        }
        if items.len() > LIST_ITEMS_MAX {
            let what = format!("the list '{name}' has {} values; {LIST_ITEMS_MAX} are allowed", items.len());
            self.fault(&value.span(), what, "split the profile into several");
            return Vec::new();
        }
        items.iter().collect()
    }

    /// One word of a fixed vocabulary.
    pub(super) fn word<T: Copy>(
        &mut self,
        value: &Value<'t>,
        name: &str,
        words: &[T],
        as_str: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text(value, name)?;
        let found = words.iter().copied().find(|word| as_str(*word) == text);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|word| format!("\"{}\"", as_str(*word))).collect();
            let what = format!("{} is not known as a value of '{name}'", quote(text));
            self.fault_of(Code::UnknownWord, &value.span(), what, format!("write {}", known.join(" or ")));
        }
        found
    }

    pub(super) fn words<T: Copy + Ord>(
        &mut self,
        value: &Value<'t>,
        name: &str,
        words: &[T],
        as_str: fn(T) -> &'static str,
    ) -> BTreeSet<T> {
        self.list(value, name).into_iter().filter_map(|item| self.word(item, name, words, as_str)).collect()
    }

    /// `90m`, `72h` or `7d`, in seconds.
    pub(super) fn span_seconds(&mut self, value: &Value<'t>, name: &str) -> Option<u64> {
        let remedy = "write a whole number with m, h or d, as in \"90m\", \"72h\" or \"7d\"";
        let Some(text) = value.get_ref().as_str() else {
            let what = format!("'{name}' is {}, not a length of time", kind(value.get_ref()));
            self.fault(&value.span(), what, remedy);
            return None;
        };
        let seconds = parse_span(text);
        if seconds.is_none() {
            self.fault(&value.span(), format!("{} is not a length of time", quote(text)), remedy);
        }
        seconds
    }

    /// A whole number from 1 to `most`.
    pub(super) fn count(&mut self, value: &Value<'t>, name: &str, most: u16) -> Option<u16> {
        let number = match value.get_ref() {
            DeValue::Integer(integer) => u16::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        let number = number.filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let what = format!("'{name}' is not a whole number from 1 to {most}");
            self.fault(&value.span(), what, format!("write a number without quotes, as in {name} = 3"));
        }
        number
    }

    /// Codes as `system|code`.
    pub(super) fn codings(&mut self, value: &Value<'t>, name: &str) -> BTreeSet<Coding> {
        self.list(value, name).into_iter().filter_map(|item| self.coding(item, name)).collect()
    }

    /// Categories: `system|code`, or one of the well-known bare ones.
    pub(super) fn categories(&mut self, value: &Value<'t>, name: &str) -> BTreeSet<Coding> {
        let mut found = BTreeSet::new();
        for item in self.list(value, name) {
            let bare = item.get_ref().as_str().and_then(codes::bare_category);
            found.extend(bare.or_else(|| self.coding(item, name)));
        }
        found
    }

    pub(super) fn coding(&mut self, value: &Value<'t>, name: &str) -> Option<Coding> {
        let written = self.text(value, name)?;
        let Some((system, code)) = written.split_once('|') else {
            let what = format!("{} in '{name}' has no code system, so it could mean anything", quote(written));
            self.fault_of(Code::NoSystem, &value.span(), what, missing_system_remedy(written));
            return None;
        };
        let Some(system) = codes::system_in_rules(system) else {
            let what = format!("the code system {} is not known", quote(system));
            let remedy = format!("use its full URI or one of: {}", codes::SHORT_NAMES);
            self.fault_of(Code::UnknownSystem, &value.span(), what, remedy);
            return None;
        };
        if !is_code(code) {
            let what = format!("{} is not a code", quote(code));
            let remedy = "write system|code without spaces around it, as in loinc|4548-4";
            self.fault_of(Code::BadCode, &value.span(), what, remedy);
            return None;
        }
        if system == codes::LOINC {
            self.loinc(value, code)?;
        }
        if system == codes::SNOMED && codes::snomed_form(code) != codes::SnomedForm::Valid {
            let what = format!("{} is not a SNOMED CT code: its check digit is wrong", quote(code));
            let remedy = "compare it with the code in the EHR or in a SNOMED browser; a digit is mistyped";
            self.fault_of(Code::SnomedCheckDigit, &value.span(), what, remedy);
            return None;
        }
        Some(Coding { system: Some(system.to_owned()), code: code.to_owned() })
    }

    fn loinc(&mut self, value: &Value<'t>, code: &str) -> Option<()> {
        match codes::loinc_form(code) {
            LoincForm::Valid => Some(()),
            LoincForm::WrongCheckDigit { expected } => {
                let what = format!("{} is not a LOINC code: its check digit would be {expected}", quote(code));
                self.fault_of(
                    Code::LoincCheckDigit,
                    &value.span(),
                    what,
                    "compare it with the code in the EHR or on loinc.org; a digit is mistyped",
                );
                None
            }
            LoincForm::NotLoinc => {
                let what = format!("{} is not a whole LOINC code", quote(code));
                let remedy = "write digits, a hyphen and the check digit, as in loinc|4548-4; LOINC knows no prefixes";
                self.fault_of(Code::LoincForm, &value.span(), what, remedy);
                None
            }
        }
    }
}

fn missing_system_remedy(written: &str) -> String {
    if codes::loinc_form(written) == LoincForm::Valid {
        return format!("write \"loinc|{written}\" if it is meant as a LOINC code");
    }
    format!("write \"system|code\", with a full URI or one of: {}", codes::SHORT_NAMES)
}

pub(super) fn is_code(code: &str) -> bool {
    (1..=CODE_MAX).contains(&code.chars().count())
        && code.trim() == code
        && !code.chars().any(|c| c.is_control() || c == '|' || c == '*')
}

fn parse_span(text: &str) -> Option<u64> {
    let unit_at = text.len().checked_sub(1)?;
    let (number, unit) = (text.get(..unit_at)?, text.get(unit_at..)?);
    let unit_seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse::<u32>().ok().map(|number| u64::from(number) * unit_seconds)
}

/// Text of the file, shortened and on one line.
pub(super) fn quote(text: &str) -> String {
    let short: String = text.chars().take(QUOTE_MAX).flat_map(char::escape_default).collect();
    let cut = if text.chars().nth(QUOTE_MAX).is_some() { "…" } else { "" };
    format!("'{short}{cut}'")
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
