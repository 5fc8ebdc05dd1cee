//! Reads one section key by key; a mistake is noted with its place, and the reading goes on.
//!
//! Must stay true: the value of a secret, or of a key nobody knows, is never shown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mistake::{Mistakes, Place, did_you_mean, shown};
use super::source::{Entry, Table, VARIABLE_PREFIX, Value};
use super::units;
use crate::base::SecretText;

/// Where relative paths start, and where mistakes go.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) base_dir: &'a Path,
    pub(super) mistakes: &'a Mistakes,
}

pub(super) struct Section<'a> {
    /// What stands before a key: `server.`, `[[ehr]] number 1, "lab": `.
    prefix: String,
    /// `SERVER`, `EHR__0`.
    variable: String,
    table: Table,
    known: Vec<&'static str>,
    taken: BTreeMap<&'static str, (Place, Option<String>)>,
    context: Context<'a>,
}

/// What reading a key gave. `Wrong` was noted already.
enum Read<T> {
    Absent,
    Good(T),
    Wrong,
}

impl<'a> Section<'a> {
    pub(super) fn new(name: &str, table: Table, context: Context<'a>) -> Self {
        let (prefix, variable) = (format!("{name}."), name.to_uppercase());
        Self { prefix, variable, table, known: Vec::new(), taken: BTreeMap::new(), context }
    }

    /// One of several. `index` counts from 0, as variables do; people count from 1, and know it by its id.
    pub(super) fn numbered(name: &str, index: usize, table: Table, context: Context<'a>) -> Self {
        let variable = format!("{}__{index}", name.to_uppercase());
        let id = table.entries.get("id").and_then(|entry| match &entry.value {
            Value::Text(id) | Value::Variable(id) => Some(format!(", {}", shown(id))),
            Value::Number(_) | Value::List(_) | Value::Other(_) => None,
        });
        let prefix = format!("[[{name}]] number {}{}: ", index + 1, id.unwrap_or_default());
        Self { prefix, variable, ..Self::new(name, table, context) }
    }

    /// Notes a mistake at `key`, or at the section's head when the key is absent.
    pub(super) fn complain(&self, key: &'static str, remedy: impl Into<String>) {
        let absent = || (self.table.place.clone(), None);
        let (place, value) = self.taken.get(key).cloned().unwrap_or_else(absent);
        self.context.mistakes.add(&place, format!("{}{key}", self.prefix), value, remedy);
    }

    /// Where relative paths start.
    pub(super) fn base_dir(&self) -> &Path {
        self.context.base_dir
    }

    pub(super) fn is_written(&self, key: &str) -> bool {
        self.taken.contains_key(key) || self.table.entries.contains_key(key)
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, entry) in &self.table.entries {
            let remedy = format!("there is no such key{}", did_you_mean(key, self.known.iter().copied()));
            self.context.mistakes.add(&entry.place, format!("{}{key}", self.prefix), None, remedy);
        }
    }

    pub(super) fn optional<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.read(key, parse).good()
    }

    pub(super) fn required<T, E: Display>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.read(key, parse) {
            Read::Good(value) => Some(value),
            Read::Wrong => None,
            Read::Absent => {
                self.complain(key, format!("missing: expected {expected}"));
                None
            }
        }
    }

    /// One of a few words; the first is the default.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        let parse = |text: &str| {
            let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
            found.ok_or_else(|| {
                let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                format!("expected {}{}", all.join(" or "), did_you_mean(text, words.iter().map(|(word, _)| *word)))
            })
        };
        self.optional(key, parse).unwrap_or(default)
    }

    pub(super) fn number(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let expected = format!("expected a number from {} to {}", range.start(), range.end());
        let in_range = |number: Option<u64>| number.filter(|n| range.contains(n)).ok_or_else(|| expected.clone());
        self.read_with(key, |value| match value {
            Value::Number(number) => in_range(u64::try_from(*number).ok()),
            Value::Variable(text) => in_range(text.trim().parse().ok()),
            Value::Text(_) | Value::List(_) | Value::Other(_) => in_range(None),
        })
        .good()
        .unwrap_or(default)
    }

    /// A number of bytes, or text such as `"16MiB"`.
    pub(super) fn bytes(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = (units::bytes_text(*range.start()), units::bytes_text(*range.end()));
        let expected = format!("expected a size from \"{low}\" to \"{high}\", in B, KiB, MiB or GiB");
        let in_range = |number: Option<u64>| number.filter(|n| range.contains(n)).ok_or_else(|| expected.clone());
        self.read_with(key, |value| match value {
            Value::Number(number) => in_range(u64::try_from(*number).ok()),
            Value::Variable(text) | Value::Text(text) => in_range(units::parse_bytes(text)),
            Value::List(_) | Value::Other(_) => in_range(None),
        })
        .good()
        .unwrap_or(default)
    }

    /// Text such as `"90s"`, `"15m"`, `"1h"`, `"14d"`, `"2y"`.
    pub(super) fn duration(&mut self, key: &'static str, default: &str, range: (&str, &str)) -> Duration {
        let bound = |text: &str| units::parse_duration(text).unwrap_or_default();
        let allowed = bound(range.0)..=bound(range.1);
        let parse = |text: &str| {
            units::parse_duration(text)
                .filter(|span| allowed.contains(span))
                .ok_or_else(|| format!("expected a time from \"{}\" to \"{}\", in s, m, h, d or y", range.0, range.1))
        };
        self.optional(key, parse).unwrap_or_else(|| bound(default))
    }

    /// A list of texts; in a variable, separated by commas. `None` when absent or wrong.
    pub(super) fn list<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let entry = self.take(key)?;
        let name = format!("{}{key}", self.prefix);
        let mistakes = self.context.mistakes;
        let read = |place: &Place, text: &str| match parse(text.trim()) {
            Ok(item) => Some(item),
            Err(error) => {
                mistakes.add(place, &name, Some(shown(text)), error.to_string());
                None
            }
        };
        // Each item is read, also behind a wrong one.
        let items: Vec<Option<T>> = match &entry.value {
            Value::List(entries) => entries
                .iter()
                .map(|item| match &item.value {
                    Value::Text(text) => read(&item.place, text),
                    Value::Number(_) | Value::List(_) | Value::Other(_) | Value::Variable(_) => {
                        mistakes.add(&item.place, &name, None, "expected text in quotes");
                        None
                    }
                })
                .collect(),
            Value::Variable(text) => {
                text.split(',').filter(|part| !part.trim().is_empty()).map(|part| read(&entry.place, part)).collect()
            }
            Value::Text(_) | Value::Number(_) | Value::Other(_) => {
                mistakes.add(&entry.place, &name, None, "expected a list: [\"…\", \"…\"]");
                return None;
            }
        };
        items.into_iter().collect()
    }

    /// A path, taken from the configuration's directory.
    pub(super) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let base = self.context.base_dir;
        self.optional(key, not_empty).map_or_else(|| base.join(default), |text| base.join(text))
    }

    /// A file that must be there to be read.
    pub(super) fn existing_file(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.context.base_dir.join(self.optional(key, not_empty)?);
        if path.is_file() {
            return Some(path);
        }
        self.complain(key, format!("there is no file {}", path.display()));
        None
    }

    /// A secret: the content of the file that `file_key` names, or the variable of `key` itself.
    pub(super) fn secret(&mut self, key: &'static str, file_key: &'static str) -> Option<SecretText> {
        let variable = format!("{VARIABLE_PREFIX}{}__{}", self.variable, key.to_uppercase());
        let direct = self.take(key);
        self.taken.entry(key).and_modify(|(_, value)| *value = None);
        match direct.map(|entry| entry.value) {
            Some(Value::Variable(text)) if text.is_empty() => {
                self.complain(key, "the variable is empty: put the secret there, or remove the variable");
                return None;
            }
            Some(Value::Variable(text)) => return Some(SecretText::new(text)),
            Some(Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Other(_)) => {
                let remedy = format!(
                    "a secret must not stand in this file: put it in a file of its own and name that as `{file_key}`, or set {variable}"
                );
                self.complain(key, remedy);
                return None;
            }
            None => {}
        }
        let path = self.existing_file(file_key)?;
        let text = fs::read_to_string(&path).unwrap_or_default();
        let text = SecretText::new(text);
        let secret = text.expose().trim_end_matches(['\r', '\n']);
        if secret.is_empty() || secret.contains('\n') {
            self.complain(file_key, "expected a file with the secret as its only line");
            return None;
        }
        Some(SecretText::new(secret.to_owned()))
    }

    fn read<T, E: Display>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, E>) -> Read<T> {
        self.read_with(key, |value| match value {
            Value::Text(text) | Value::Variable(text) => parse(text).map_err(|error| error.to_string()),
            Value::Number(_) | Value::List(_) | Value::Other(_) => Err("expected text in quotes".to_owned()),
        })
    }

    fn read_with<T>(&mut self, key: &'static str, parse: impl FnOnce(&Value) -> Result<T, String>) -> Read<T> {
        let Some(entry) = self.take(key) else { return Read::Absent };
        match parse(&entry.value) {
            Ok(value) => Read::Good(value),
            Err(remedy) => {
                self.complain(key, remedy);
                Read::Wrong
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        let entry = self.table.entries.remove(key)?;
        let value = match &entry.value {
            Value::Text(text) | Value::Variable(text) => Some(shown(text)),
            Value::Number(number) => Some(number.to_string()),
            Value::Other(kind) => Some((*kind).to_owned()),
            Value::List(_) => None,
        };
        self.taken.insert(key, (entry.place.clone(), value));
        Some(entry)
    }
}

impl<T> Read<T> {
    fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }
}

pub(super) fn not_empty(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("expected text, not nothing") } else { Ok(text.trim().to_owned()) }
}
