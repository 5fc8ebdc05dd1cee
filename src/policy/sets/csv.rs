//! Code sets as a table, as a spreadsheet writes it.
//!
//! Job: CSV with a header, separated by commas or, as in Europe, by semicolons. Must stay true: every row is read or is a
//! fault; an unknown column is a fault, for its meaning would be lost.

use std::collections::HashMap;

use ::csv::{ReaderBuilder, StringRecord, Trim};

use super::faults::{Faults, Spot};
use super::{Kind, SetName, checked, set_of_file};
use crate::policy::facts::Coding;
use crate::policy::reader::quote;

const COLUMNS: [&str; 7] = ["system", "code", "display", "sensitivity", "service", "why", "source"];
const COLUMNS_REMEDY: &str = "columns known here are: system, code, display, sensitivity, service, why, source";

/// The `source` of lines that a census wrote: without a mark they say nothing.
pub const CENSUS_SOURCE: &str = "census";

/// One code of one set.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) set: SetName,
    pub(super) coding: Coding,
    /// Empty when the table gives none.
    pub(super) display: String,
}

/// Which field of a row holds what.
struct Columns {
    count: usize,
    system: usize,
    code: usize,
    display: Option<usize>,
    source: Option<usize>,
    naming: Naming,
}

/// How a row's set is named.
enum Naming {
    /// All rows are of the file's own set.
    File(SetName),
    Column(Kind, usize),
}

/// The rows of a table without its byte order mark.
pub(super) fn read(file: &str, text: &str, faults: &mut Faults<'_>) -> Vec<Row> {
    let separator = separator_of(text);
    let mut reader = ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut unmarked = 0;
    let mut rows = Vec::new();
    if !matches!(reader.read_record(&mut record), Ok(true)) {
        faults.add(Spot::File, "the file is empty", "begin it with a line that names the columns: system,code");
        return rows;
    }
    let Some(columns) = read_header(file, &record, line_of(&record, text), faults) else { return rows };
    let mut lines: HashMap<(Kind, SetName, Coding), u64> = HashMap::new();
    while !faults.is_full() {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                faults.add(Spot::File, format!("the table cannot be read: {error}"), "save it again as CSV in UTF-8");
                break;
            }
        }
        let line = line_of(&record, text);
        if record.iter().all(str::is_empty) {
            continue;
        }
        if is_unmarked(&record, &columns) {
            unmarked += 1;
            continue;
        }
        let Some(row) = read_row(&record, &columns, line, faults) else { continue };
        let known = lines.insert((row.kind, row.set.clone(), row.coding.clone()), line);
        if let Some(first) = known {
            let what = format!("the code {} stands in the set '{}' twice: in line {first} too", row.coding, row.set);
            faults.add(Spot::Line(line), what, "take one of the two lines out");
        }
        rows.push(row);
    }
    // A census that nobody has marked yet names no set, and is no fault.
    if rows.is_empty() && unmarked == 0 && faults.is_clean() {
        faults.add(Spot::File, "the table has a header and no codes", "add a line for each code, or take the file out");
    }
    rows
}

/// The line in which a record begins. The crate's own count stands before empty lines, and before the line feed of the
/// line above.
fn line_of(record: &StringRecord, text: &str) -> u64 {
    let Some(position) = record.position() else { return 1 };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let skipped = text.as_bytes().get(start..).unwrap_or_default().iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    skipped.filter(|b| **b == b'\n').fold(position.line(), |line, _| line + 1)
}

/// What separates the names in the header.
fn separator_of(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if header.contains(';') && !header.contains(',') { b';' } else { b',' }
}

fn read_header(file: &str, header: &StringRecord, line: u64, faults: &mut Faults<'_>) -> Option<Columns> {
    let line = Spot::Line(line);
    let names: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            let what = format!("column {} has no name", at + 1);
            faults.add(line.clone(), what, "name it, or take the column out");
        } else if !COLUMNS.contains(&name.as_str()) {
            faults.add(line.clone(), format!("the column {} is unknown", quote(name)), COLUMNS_REMEDY);
        } else if names.iter().take(at).any(|other| other == name) {
            faults.add(line.clone(), format!("the column '{name}' stands there twice"), "take one of the two out");
        }
    }
    let column = |wanted: &str| names.iter().position(|name| name == wanted);
    for wanted in ["system", "code"] {
        if column(wanted).is_none() {
            let what = format!("there is no column '{wanted}'");
            faults.add(line.clone(), what, "begin the file with a line that names the columns: system,code");
        }
    }
    let naming = match (column("sensitivity"), column("service")) {
        (Some(_), Some(_)) => {
            let what = "the columns 'sensitivity' and 'service' both name a set";
            faults.add(line, what, "make two files of it, one with each column");
            return None;
        }
        (Some(at), None) => Naming::Column(Kind::Topic, at),
        (None, Some(at)) => Naming::Column(Kind::Service, at),
        (None, None) => Naming::File(set_of_file(file, faults)?),
    };
    let columns = Columns {
        count: names.len(),
        system: column("system")?,
        code: column("code")?,
        display: column("display"),
        source: column("source"),
        naming,
    };
    faults.is_clean().then_some(columns)
}

/// Whether a line of a census was not marked: the clinic did not look at this code yet, or it is in no set.
fn is_unmarked(record: &StringRecord, columns: &Columns) -> bool {
    let field = |at: usize| record.get(at).unwrap_or_default();
    let is_of_census = columns.source.is_some_and(|at| field(at) == CENSUS_SOURCE);
    match &columns.naming {
        Naming::Column(_, at) => is_of_census && record.len() == columns.count && field(*at).is_empty(),
        Naming::File(_) => false,
    }
}

fn read_row(record: &StringRecord, columns: &Columns, line: u64, faults: &mut Faults<'_>) -> Option<Row> {
    // A quote that is not closed takes the lines below into its text, and their codes would be lost unseen.
    if record.iter().any(|field| field.contains(['\n', '\r'])) {
        let what = "a text that begins in this line runs over several lines";
        faults.add(Spot::Line(line), what, "close its double quotes in the same line");
        return None;
    }
    if record.len() != columns.count {
        let what = format!("this line has {} fields and the header has {}", record.len(), columns.count);
        faults.add(Spot::Line(line), what, "put a text that holds the separator or a quote in double quotes");
        return None;
    }
    let field = |at: usize| record.get(at).unwrap_or_default();
    let (kind, set) = match &columns.naming {
        Naming::File(name) => (Kind::Topic, Some(name.clone())),
        Naming::Column(kind, at) => (*kind, SetName::parse(field(*at))),
    };
    let Some(set) = set else {
        let what = match &columns.naming {
            Naming::Column(_, at) if !field(*at).is_empty() => {
                format!("{} cannot be the name of a set", quote(field(*at)))
            }
            Naming::Column(..) | Naming::File(_) => "this line names no set".to_owned(),
        };
        faults.add(Spot::Line(line), what, "write one word of letters, digits and hyphens, as in HIV or x-clinic");
        return None;
    };
    // An apostrophe keeps a spreadsheet from taking a code for a number or a month.
    match checked(field(columns.system), field(columns.code).trim_start_matches('\'')) {
        Ok(coding) => {
            let display = columns.display.map(field).unwrap_or_default().to_owned();
            Some(Row { kind, set, coding, display })
        }
        Err((what, remedy)) => {
            faults.add(Spot::Line(line), what, &remedy);
            None
        }
    }
}
