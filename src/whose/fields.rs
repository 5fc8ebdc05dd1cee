//! What a folded text says under labels: names, birth dates, numbers, with their places.

use super::dates;
use super::labels::{self, Kind, Label};

/// A value under a label.
pub(super) struct Field {
    pub(super) value: String,
    pub(super) part: Part,
    pub(super) said: Said,
    pub(super) place: Place,
    pub(super) line: usize,
    pub(super) page: usize,
}

/// Which part of a name it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Family,
    Given,
}

/// Whether the label says that it is the patient's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    OfThePatient,
    OfSomebody,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind its label.
    Beside,
    /// In the next line, in the same column.
    Below,
}

#[derive(Default)]
pub(super) struct Fields {
    pub(super) names: Vec<Field>,
    pub(super) births: Vec<Field>,
    pub(super) numbers: Vec<Field>,
}

/// Values are shorter, in bytes.
const VALUE_BYTES_MAX: usize = 120;

pub(super) fn find(folded: &str) -> Fields {
    let mut fields = Fields::default();
    let mut line_number = 0;
    for (page_number, page) in folded.split('\u{c}').enumerate() {
        let lines: Vec<Vec<&str>> = page.split(['\n', '\r']).map(cells).filter(|cells| !cells.is_empty()).collect();
        for (n, cells) in lines.iter().enumerate() {
            let below = lines.get(n + 1).map(Vec::as_slice).unwrap_or_default();
            let at = (line_number + n, page_number);
            find_in_line(cells, below, at, &mut fields);
        }
        line_number += lines.len();
    }
    fields
}

/// The pieces of a line between wide gaps.
fn cells(line: &str) -> Vec<&str> {
    let pieces = line.split(['\t', '|', '\u{b6}', '\u{2502}']).flat_map(|piece| piece.split("  "));
    pieces.map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

fn find_in_line(cells: &[&str], below: &[&str], at: (usize, usize), fields: &mut Fields) {
    for (n, cell) in cells.iter().enumerate() {
        let found = labels::find(cell);
        for (k, label) in found.iter().enumerate() {
            let value_end =
                found.iter().skip(k + 1).find(|next| is_next(next, cell)).map_or(cell.len(), |next| next.start);
            let beside = cell.get(label.end..value_end).unwrap_or_default().trim();
            if !beside.is_empty() {
                if is_believable(label, beside) {
                    fields.push(label.kind, beside, Place::Beside, at);
                }
                continue;
            }
            let is_alone = label.start == 0 && label.end == cell.len();
            if !is_alone {
                continue;
            }
            let next = cells.get(n + 1).filter(|next| !begins_with_label(next));
            if let Some(value) = next {
                fields.push(label.kind, value, Place::Beside, at);
            } else if let Some(value) = below_of(cells, below, n) {
                fields.push(label.kind, value, Place::Below, at);
            }
        }
    }
}

/// A label ends the value before it only where it says that it is one.
fn is_next(label: &Label, cell: &str) -> bool {
    label.has_sign
        || (label.kind == Kind::Birth && dates::begins(cell.get(label.end..).unwrap_or_default().trim_start()))
        || (label.kind == Kind::Number && begins_with_number(cell.get(label.end..).unwrap_or_default()))
}

/// Without a colon only a date or a number is a value.
fn is_believable(label: &Label, value: &str) -> bool {
    match label.kind {
        Kind::PatientName | Kind::Name | Kind::Family | Kind::Given => label.has_sign,
        Kind::Birth => dates::begins(value) || label.has_sign,
        Kind::Number => label.has_sign || begins_with_number(value),
    }
}

fn begins_with_number(value: &str) -> bool {
    value.trim_start().starts_with(|c: char| c.is_ascii_digit())
}

fn begins_with_label(cell: &str) -> bool {
    labels::find(cell).first().is_some_and(|label| label.start == 0 && (label.has_sign || label.end == cell.len()))
}

fn below_of<'a>(cells: &[&str], below: &[&'a str], n: usize) -> Option<&'a str> {
    let fits = below.len() == cells.len() || (cells.len() == 1 && !below.is_empty());
    below.get(n).copied().filter(|value| fits && !begins_with_label(value))
}

impl Fields {
    fn push(&mut self, kind: Kind, value: &str, place: Place, (line, page): (usize, usize)) {
        let value = value.get(..value.floor_char_boundary(VALUE_BYTES_MAX)).unwrap_or_default().to_owned();
        let (part, said) = match kind {
            Kind::PatientName => (Part::Whole, Said::OfThePatient),
            Kind::Name | Kind::Birth | Kind::Number => (Part::Whole, Said::OfSomebody),
            Kind::Family => (Part::Family, Said::OfSomebody),
            Kind::Given => (Part::Given, Said::OfSomebody),
        };
        let value = match kind {
            Kind::Number => first_number(&value),
            Kind::PatientName | Kind::Name | Kind::Family | Kind::Given | Kind::Birth => value,
        };
        let field = Field { value, part, said, place, line, page };
        match kind {
            Kind::PatientName | Kind::Name | Kind::Family | Kind::Given => self.names.push(field),
            Kind::Birth => self.births.push(field),
            Kind::Number if field.value.is_empty() => {}
            Kind::Number => self.numbers.push(field),
        }
    }
}

/// The number at the beginning of a value; empty where no digit is in it.
fn first_number(value: &str) -> String {
    let word = value.split([' ', ',', ';', '(']).find(|word| !word.is_empty()).unwrap_or_default();
    if word.chars().any(|c| c.is_ascii_digit()) { word.to_owned() } else { String::new() }
}
