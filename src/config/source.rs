//! The file and the environment, laid over each other: every value with the place it came from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::string::FromUtf8Error;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes, Place, did_you_mean};

/// Sections written once, `[server]`.
const SINGLE: [&str; 11] =
    ["server", "store", "blobs", "keys", "mode", "mail", "sms", "policy", "retention", "limits", "scan"];
/// Sections written any number of times, `[[clinic]]`.
const REPEATED: [&str; 2] = ["clinic", "ehr"];
/// How a variable that overrides a key begins.
pub(super) const VARIABLE_PREFIX: &str = "CHARTSEAL__";

pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) value: Value,
}

pub(super) enum Value {
    Text(String),
    Number(i64),
    List(Vec<Entry>),
    /// Of a type that no key has; what TOML calls it.
    Other(&'static str),
    /// From the environment, where everything is text.
    Variable(String),
}

/// The keys of one section. `place` is its header, or the top of the file.
pub(super) struct Table {
    pub(super) place: Place,
    pub(super) entries: BTreeMap<String, Entry>,
}

pub(super) struct Source {
    single: BTreeMap<&'static str, Table>,
    repeated: BTreeMap<&'static str, Vec<Table>>,
    top: Place,
}

impl Source {
    pub(super) fn read(
        text: &str,
        file: &str,
        variables: impl IntoIterator<Item = (String, String)>,
        mistakes: &Mistakes,
    ) -> Self {
        let places = Places { text, file: file.into() };
        let mut source = Self { single: BTreeMap::new(), repeated: BTreeMap::new(), top: places.of(&(0..0)) };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let place = places.of(&error.span().unwrap_or(0..0));
            mistakes.add(&place, "", None, format!("this is not TOML: {}", error.message()));
        }
        for (name, value) in document.get_ref() {
            source.add_section(name, value, &places, mistakes);
        }
        let mut variables: Vec<_> =
            variables.into_iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect();
        variables.sort();
        for (name, value) in variables {
            source.overlay(&name, value, mistakes);
        }
        source
    }

    pub(super) fn has(&self, section: &str) -> bool {
        self.single.contains_key(section)
    }

    pub(super) fn take(&mut self, section: &'static str) -> Table {
        let absent = || Table { place: self.top.clone(), entries: BTreeMap::new() };
        self.single.remove(section).unwrap_or_else(absent)
    }

    pub(super) fn take_all(&mut self, section: &'static str) -> Vec<Table> {
        self.repeated.remove(section).unwrap_or_default()
    }

    fn add_section(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        places: &Places<'_>,
        mistakes: &Mistakes,
    ) {
        let (place, word) = (places.of(&name.span()), name.get_ref().as_ref());
        if let Some(section) = known(&SINGLE, word) {
            match value.get_ref().as_table() {
                Some(table) => drop(self.single.insert(section, places.table(table, place))),
                None => mistakes.add(&place, word, None, format!("expected a section, [{word}]")),
            }
        } else if let Some(section) = known(&REPEATED, word) {
            let tables: Option<Vec<Table>> = value.get_ref().as_array().and_then(|array| {
                array
                    .iter()
                    .map(|item| Some(places.table(item.get_ref().as_table()?, places.of(&item.span()))))
                    .collect()
            });
            match tables {
                Some(tables) => drop(self.repeated.insert(section, tables)),
                None => mistakes.add(&place, word, None, format!("there may be several: write [[{word}]]")),
            }
        } else {
            mistakes.add(&place, word, None, format!("there is no such section{}", did_you_mean(word, all_sections())));
        }
    }

    fn overlay(&mut self, name: &str, text: String, mistakes: &Mistakes) {
        let place = Place::Variable(name.to_owned());
        let path = name.strip_prefix(VARIABLE_PREFIX).unwrap_or_default().to_lowercase();
        let entry = Entry { place: place.clone(), value: Value::Variable(text) };
        let parts: Vec<&str> = path.split("__").collect();
        match *parts.as_slice() {
            [section, key] if known(&SINGLE, section).is_some() => {
                let Some(section) = known(&SINGLE, section) else { return };
                let table = self.single.entry(section).or_insert_with(|| Table { place, entries: BTreeMap::new() });
                table.entries.insert(key.to_owned(), entry);
            }
            [section, index, key] if known(&REPEATED, section).is_some() => {
                let Some(section) = known(&REPEATED, section) else { return };
                let tables = self.repeated.entry(section).or_default();
                let next = tables.len();
                match index.parse::<usize>() {
                    Ok(index) if index == next => {
                        tables.push(Table { place, entries: BTreeMap::from([(key.to_owned(), entry)]) });
                    }
                    Ok(index) if index < next => {
                        tables.get_mut(index).map(|table| table.entries.insert(key.to_owned(), entry));
                    }
                    Ok(_) | Err(_) => mistakes.add(
                        &place,
                        "",
                        None,
                        format!("expected a number from 0 to {next} after {}", section.to_uppercase()),
                    ),
                }
            }
            [section] | [section, ..] => {
                let remedy = if known(&SINGLE, section).is_some() {
                    format!("expected {VARIABLE_PREFIX}{}__KEY", section.to_uppercase())
                } else if known(&REPEATED, section).is_some() {
                    format!("expected {VARIABLE_PREFIX}{}__0__KEY", section.to_uppercase())
                } else {
                    format!("there is no section `{section}`{}", did_you_mean(section, all_sections()))
                };
                mistakes.add(&place, "", None, remedy);
            }
            [] => {}
        }
    }
}

/// The first byte that is not UTF-8.
pub(super) fn not_utf8(path: &Path, error: &FromUtf8Error) -> Mistake {
    let at = error.utf8_error().valid_up_to();
    let good = error.as_bytes().get(..at).unwrap_or_default();
    let text = String::from_utf8_lossy(good);
    let places = Places { text: &text, file: path.display().to_string().into() };
    let remedy = "this is not UTF-8 text; save the file as UTF-8".to_owned();
    Mistake { place: places.of(&(at..at)), key: String::new(), value: None, remedy }
}

fn known(sections: &[&'static str], word: &str) -> Option<&'static str> {
    sections.iter().copied().find(|section| *section == word)
}

fn all_sections() -> impl Iterator<Item = &'static str> {
    SINGLE.into_iter().chain(REPEATED)
}

/// Turns byte offsets into lines and columns.
struct Places<'a> {
    text: &'a str,
    file: Arc<str>,
}

impl Places<'_> {
    fn of(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place::File { file: Arc::clone(&self.file), line, column }
    }

    fn table(&self, table: &DeTable<'_>, place: Place) -> Table {
        let entries = table
            .iter()
            .map(|(key, value)| {
                (key.get_ref().to_string(), Entry { place: self.of(&key.span()), value: self.value(value) })
            })
            .collect();
        Table { place, entries }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("a number out of range"), Value::Number),
            DeValue::Datetime(instant) => Value::Text(instant.to_string()),
            DeValue::Array(items) => Value::List(
                items.iter().map(|item| Entry { place: self.of(&item.span()), value: self.value(item) }).collect(),
            ),
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Boolean(_) => Value::Other("a truth value"),
            DeValue::Table(_) => Value::Other("a table"),
        }
    }
}
