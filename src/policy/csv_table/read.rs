//! A table as a rules file: each cell becomes one line, so that a fault of the file finds its cell again.

use std::collections::BTreeSet;

use ::csv::{ReaderBuilder, StringRecord};

use super::cell::{self, EMPTY_LIST, EMPTY_TABLE, Item};
use super::order::{Form, form_of};
use super::{KIND, MANY, SINGLE, TableError, TableErrors};
use crate::policy::errors::{Code, RulesErrors};
use crate::policy::reader::quote;
use crate::policy::rules::FAULTS_MAX;
use crate::policy::written::quoted;

/// The header is the first row.
const FIRST_ROW: usize = 2;
const REMARK: &str = "# Made of a table. The order of the rows does not matter, but for the tests.";

/// A rules file in the making.
pub(super) struct Draft {
    pub(super) toml: String,
    header: Vec<String>,
    /// By line of the file.
    origins: Vec<Origin>,
}

/// Where a line comes from.
#[derive(Clone, Copy)]
enum Origin {
    Nowhere,
    Row(usize),
    Cell(usize, usize),
}

pub(super) fn draft_of(csv: &str) -> Result<Draft, TableErrors> {
    let mut reader =
        ReaderBuilder::new().delimiter(separator_of(csv)).has_headers(false).flexible(true).from_reader(csv.as_bytes());
    let mut faults = Vec::new();
    let mut records = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => records.push(record),
            Err(error) => {
                let what = format!("the table cannot be read: {error}");
                return Err(alone(what, "save it again as CSV in UTF-8"));
            }
        }
    }
    let mut records = records.into_iter();
    let header = header_of(records.next().as_ref(), &mut faults)?;
    let mut draft = Draft { toml: format!("{REMARK}\n"), header, origins: vec![Origin::Nowhere] };
    let mut seen = BTreeSet::new();
    for (row, record) in (FIRST_ROW..).zip(records) {
        if record.iter().any(|cell| !cell.trim().is_empty()) {
            draft.add_row(row, &record, &mut seen, &mut faults);
        }
    }
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Ok(draft) } else { Err(TableErrors(faults)) }
}

/// What separates the names in the header, which hold neither.
fn separator_of(csv: &str) -> u8 {
    let header = csv.lines().next().unwrap_or_default();
    match (header.contains(','), header.contains(';'), header.contains('\t')) {
        (false, true, _) => b';',
        (false, false, true) => b'\t',
        (true, _, _) | (false, false, false) => b',',
    }
}

fn header_of(record: Option<&StringRecord>, faults: &mut Vec<TableError>) -> Result<Vec<String>, TableErrors> {
    let names: Vec<String> = record.into_iter().flatten().map(|name| name.trim().to_owned()).collect();
    if !names.iter().any(|name| name == KIND) {
        let what = "the first row has no column 'kind'".to_owned();
        let remedy = format!("begin with the names of the columns; 'kind' is one of: {}", kinds());
        return Err(alone(what, &remedy));
    }
    let mut seen = BTreeSet::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if !seen.insert(name) {
            faults.push(fault(1, Some(name), Code::DuplicateId, "this column stands twice", "take one of the two out"));
        }
    }
    Ok(names)
}

fn kinds() -> String {
    [SINGLE.as_slice(), MANY.as_slice()].concat().join(", ")
}

impl Draft {
    fn add_row(
        &mut self,
        row: usize,
        record: &StringRecord,
        seen: &mut BTreeSet<String>,
        faults: &mut Vec<TableError>,
    ) {
        let kind_at = self.header.iter().position(|name| name == KIND);
        let kind = kind_at.and_then(|at| record.get(at)).map(cell::unguarded).unwrap_or_default().trim();
        if SINGLE.contains(&kind) {
            if !seen.insert(kind.to_owned()) {
                let what = format!("there are two rows of the kind '{kind}'");
                faults.push(fault(row, Some(KIND), Code::DuplicateId, &what, "join them into one"));
                return;
            }
            self.line(&format!("\n[{kind}]"), Origin::Row(row));
        } else if MANY.contains(&kind) {
            self.line(&format!("\n[[{kind}]]"), Origin::Row(row));
        } else {
            let what = format!("the kind {} is unknown", quote(kind));
            faults.push(fault(row, Some(KIND), Code::UnknownWord, &what, &format!("write one of: {}", kinds())));
            return;
        }
        for (at, written) in record.iter().enumerate() {
            if Some(at) == kind_at || written.trim().is_empty() {
                continue;
            }
            let Some(column) = self.header.get(at).filter(|name| !name.is_empty()).cloned() else {
                let what = format!("the cell {} stands in a column without a name", quote(written));
                faults.push(fault(row, None, Code::UnknownKey, &what, "name the column, or empty the cell"));
                continue;
            };
            match value_of(&column, cell::unguarded(written)) {
                Ok(value) => self.line(&format!("{} = {value}", key_of(&column)), Origin::Cell(row, at)),
                Err(why) => {
                    let remedy = "write a list as: one; two. An item with a semicolon stands in double quotes";
                    faults.push(fault(
                        row,
                        Some(&column),
                        Code::Form,
                        &format!("{} cannot be read: {why}", quote(written)),
                        remedy,
                    ));
                }
            }
        }
    }

    fn line(&mut self, text: &str, origin: Origin) {
        self.toml.push_str(text);
        self.toml.push('\n');
        self.origins.extend(text.lines().map(|_| origin));
    }

    /// The faults of the file as faults of the table.
    pub(super) fn placed(&self, errors: &RulesErrors) -> TableErrors {
        let placed = errors.0.iter().map(|error| {
            let origin = error.line.checked_sub(1).and_then(|at| self.origins.get(at)).copied();
            let (row, column) = match origin.unwrap_or(Origin::Nowhere) {
                Origin::Nowhere => (None, None),
                Origin::Row(row) => (Some(row), None),
                Origin::Cell(row, at) => (Some(row), self.header.get(at).cloned()),
            };
            TableError { row, column, code: error.code, what: error.what.clone(), remedy: error.remedy.clone() }
        });
        TableErrors(placed.collect())
    }
}

/// A dotted key.
fn key_of(column: &str) -> String {
    let is_bare =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let parts = column.split('.').map(|part| if is_bare(part) { part.to_owned() } else { quoted(part) });
    parts.collect::<Vec<_>>().join(".")
}

fn value_of(column: &str, written: &str) -> Result<String, &'static str> {
    let trimmed = written.trim();
    match form_of(column) {
        Form::Number if trimmed.bytes().all(|b| b.is_ascii_digit()) => {
            // TOML knows no leading zeros.
            let digits = trimmed.trim_start_matches('0');
            return Ok(if digits.is_empty() { "0".to_owned() } else { digits.to_owned() });
        }
        Form::YesNo if trimmed.eq_ignore_ascii_case("true") => return Ok("true".to_owned()),
        Form::YesNo if trimmed.eq_ignore_ascii_case("false") => return Ok("false".to_owned()),
        Form::OneText if !trimmed.starts_with('"') => return Ok(quoted(trimmed)),
        Form::Number | Form::YesNo | Form::OneText | Form::Texts => {}
    }
    if trimmed == EMPTY_LIST || trimmed == EMPTY_TABLE {
        return Ok(trimmed.to_owned());
    }
    let items: Vec<String> = cell::items_of(written)?.iter().map(item_in_toml).collect();
    Ok(match items.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    })
}

fn item_in_toml(item: &Item) -> String {
    match &item.language {
        Some(language) => format!("{{ pattern = {}, language = {} }}", quoted(&item.text), quoted(language)),
        None => quoted(&item.text),
    }
}

fn fault(row: usize, column: Option<&str>, code: Code, what: &str, remedy: &str) -> TableError {
    let (what, remedy) = (what.to_owned(), remedy.to_owned());
    TableError { row: Some(row), column: column.map(str::to_owned), code, what, remedy }
}

fn alone(what: String, remedy: &str) -> TableErrors {
    TableErrors(vec![TableError { row: None, column: None, code: Code::Form, what, remedy: remedy.to_owned() }])
}
