//! Whose paper it is: what a document says of its patient, compared with what the patient's record says.
//!
//! Must stay true: pure; only what is said under a patient's label and clearly differs makes another identity, for each false alarm
//! costs a clinic's trust and each miss a patient's; the answer names kinds of things, never a value. Patient data: no `Debug` on
//! what is compared.
//! Must not know: FHIR, which format the text came from.

mod answer;
mod dates;
mod fields;
mod fold;
mod labels;
mod names;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

pub use answer::{Form, code_form, forms_of, normal_form};
use fields::{Field, Fields, Place, Said};
use names::{Likeness, Parted};

/// The most text that is compared, in bytes; what stands behind it is not looked at.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines around a name in which a birth date or a record number speaks of the same person.
const NEAR_LINES: usize = 6;

/// What the record says of the patient. Patient data: no `Debug`.
#[derive(Clone)]
pub struct Known {
    /// All that the record has, also former ones: a paper may bear any of them.
    pub names: Vec<KnownName>,
    pub born: KnownBirth,
    pub identifiers: Vec<String>,
}

/// A name as the record parts it. Patient data: no `Debug`.
#[derive(Clone, Default)]
pub struct KnownName {
    pub family: String,
    pub given: Vec<String>,
    /// As a whole, where the record has it so.
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KnownBirth {
    Day(NaiveDate),
    Month { year: i32, month: u32 },
    Year(i32),
    Unknown,
}

/// A kind of thing by which people are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Name,
    BirthDate,
    RecordNumber,
}

/// What a clinic asks of an attachment before it leaves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: it is not looked at.
    Unchecked,
    /// That it does not speak of another patient.
    Uncontradicted,
    /// That two of name, birth date and record number are the patient's.
    Named,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    SamePatient {
        by: BTreeSet<What>,
    },
    AnotherIdentity {
        what: BTreeSet<What>,
    },
    /// No words, or none that say whose they are.
    NothingSaid,
}

impl What {
    #[must_use]
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::BirthDate => "birth date",
            Self::RecordNumber => "record number",
        }
    }
}

/// The kinds for people: `name and birth date`.
#[must_use]
pub fn spoken(what: &BTreeSet<What>) -> String {
    let words: Vec<_> = what.iter().map(|what| what.spoken()).collect();
    words.join(" and ")
}

/// Compares what `text` says of its patient with the record.
#[must_use]
pub fn compare(text: &str, known: &Known) -> Verdict {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    let folded = fold::fold(text.get(..end).unwrap_or_default());
    let fields = fields::find(&folded);
    let names = names::parted(&known.names);
    let evidence = Evidence { known, names: &names, fields: &fields, folded: &folded };
    let what = evidence.differing();
    if !what.is_empty() {
        return Verdict::AnotherIdentity { what };
    }
    let by = evidence.agreeing();
    if by.is_empty() { Verdict::NothingSaid } else { Verdict::SamePatient { by } }
}

struct Evidence<'a> {
    known: &'a Known,
    names: &'a [Parted],
    fields: &'a Fields,
    folded: &'a str,
}

impl Evidence<'_> {
    fn differing(&self) -> BTreeSet<What> {
        let mut what = BTreeSet::new();
        if self.names_differ() {
            what.insert(What::Name);
        }
        if self.birth_differs() {
            what.insert(What::BirthDate);
        }
        if self.number_differs() {
            what.insert(What::RecordNumber);
        }
        what
    }

    fn agreeing(&self) -> BTreeSet<What> {
        let mut by = BTreeSet::new();
        if self.is_named() || self.labelled_names().any(|(_, likeness)| likeness == Likeness::Same) {
            by.insert(What::Name);
        }
        if self.births().any(|(_, agrees)| agrees) || dates::stands_in(self.folded, self.known.born) {
            by.insert(What::BirthDate);
        }
        if self.numbers().any(|(_, agrees)| agrees) || self.is_numbered() {
            by.insert(What::RecordNumber);
        }
        by
    }

    fn names_differ(&self) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let is_same_somewhere =
            self.is_named() || self.labelled_names().any(|(_, likeness)| likeness == Likeness::Same);
        self.labelled_names().any(|(field, likeness)| {
            let is_another = match likeness {
                Likeness::Same | Likeness::Unclear => false,
                // A second person's paper: the first one has a place of its own.
                Likeness::OtherFamily | Likeness::OtherGiven | Likeness::Other if is_same_somewhere => {
                    field.said == Said::OfThePatient
                }
                Likeness::OtherFamily => {
                    !self.agrees_near(field, What::BirthDate) && !self.agrees_near(field, What::RecordNumber)
                }
                // Twins are born on one day.
                Likeness::OtherGiven => !self.agrees_near(field, What::RecordNumber),
                Likeness::Other => {
                    !(self.agrees_near(field, What::BirthDate) && self.agrees_near(field, What::RecordNumber))
                }
            };
            let counts = match (field.said, field.place) {
                (Said::OfThePatient, Place::Beside) => true,
                // What stands below a label may belong to another one.
                (Said::OfThePatient, Place::Below) => !is_same_somewhere,
                (Said::OfSomebody, Place::Beside | Place::Below) => {
                    !is_same_somewhere && !self.agrees_near(field, What::BirthDate) && self.is_about_a_patient(field)
                }
            };
            is_another && counts
        })
    }

    /// Whether a name without a word of whose it is stands with a birth date or a record number.
    fn is_about_a_patient(&self, field: &Field) -> bool {
        let near = |other: &Field| other.line.abs_diff(field.line) <= NEAR_LINES && other.page == field.page;
        self.fields.births.iter().chain(&self.fields.numbers).any(near)
    }

    fn birth_differs(&self) -> bool {
        if self.births().any(|(_, agrees)| agrees) {
            return false;
        }
        let stands_elsewhere = dates::stands_in(self.folded, self.known.born);
        self.births().any(|(field, _)| match field.place {
            Place::Beside => true,
            Place::Below => !stands_elsewhere,
        })
    }

    /// Clinics and laboratories number the same person differently: only a number of the same shape speaks against it, and not
    /// where name and birth date speak for it.
    fn number_differs(&self) -> bool {
        if self.numbers().any(|(_, agrees)| agrees) || self.is_numbered() {
            return false;
        }
        let by = self.agreeing();
        if by.contains(&What::Name) && by.contains(&What::BirthDate) {
            return false;
        }
        let shapes: Vec<String> = self.known.identifiers.iter().map(|id| shape(id)).collect();
        let differs = |field: &Field| {
            canonical(&field.value).len() >= NUMBER_CHARACTERS_MIN && shapes.contains(&shape(&field.value))
        };
        self.numbers().any(|(field, _)| field.place == Place::Beside && differs(field))
    }

    fn labelled_names(&self) -> impl Iterator<Item = (&Field, Likeness)> {
        self.fields.names.iter().map(|field| (field, names::compare(field, self.names)))
    }

    /// Labelled birth dates that can be read, and whether any reading is the patient's.
    fn births(&self) -> impl Iterator<Item = (&Field, bool)> {
        let born = self.known.born;
        self.fields.births.iter().filter_map(move |field| Some((field, dates::agrees(&field.value, born)?)))
    }

    fn numbers(&self) -> impl Iterator<Item = (&Field, bool)> {
        self.fields.numbers.iter().map(|field| (field, self.is_number(&field.value)))
    }

    fn is_number(&self, value: &str) -> bool {
        let value = canonical(value);
        !value.is_empty() && self.known.identifiers.iter().any(|id| is_same_number(&canonical(id), &value))
    }

    /// Whether one of the patient's numbers stands anywhere.
    fn is_numbered(&self) -> bool {
        let ids: Vec<String> = self.known.identifiers.iter().map(|id| canonical(id)).collect();
        let ids: Vec<String> = ids.into_iter().filter(|id| id.len() >= NUMBER_ALONE_CHARACTERS_MIN).collect();
        let separators = |c: char| !c.is_alphanumeric() && !matches!(c, '-' | '/' | '.');
        !ids.is_empty() && self.folded.split(separators).any(|word| ids.contains(&canonical(word)))
    }

    /// Whether the patient's name stands anywhere.
    fn is_named(&self) -> bool {
        names::stands_in(self.folded, self.names)
    }

    fn agrees_near(&self, name: &Field, what: What) -> bool {
        let near = |field: &Field| field.line.abs_diff(name.line) <= NEAR_LINES && field.page == name.page;
        match what {
            What::BirthDate => self.births().any(|(field, agrees)| agrees && near(field)),
            What::RecordNumber => self.numbers().any(|(field, agrees)| agrees && near(field)),
            What::Name => false,
        }
    }
}

/// Shorter numbers stand in texts by chance.
const NUMBER_CHARACTERS_MIN: usize = 4;
const NUMBER_ALONE_CHARACTERS_MIN: usize = 6;

/// A number without what people write between its digits, and without zeros before it.
fn canonical(number: &str) -> String {
    let kept: String = fold::fold(number).chars().filter(|c| c.is_alphanumeric()).collect();
    kept.trim_start_matches('0').to_owned()
}

/// A kind of number may stand before it in one place and be left out in the other: `MRN-0012345`.
fn is_same_number(one: &str, other: &str) -> bool {
    let is_core_of = |core: &str, whole: &str| {
        let after = whole.trim_start_matches(char::is_alphabetic).trim_start_matches('0');
        core.len() >= NUMBER_CHARACTERS_MIN && after == core
    };
    one == other || is_core_of(one, other) || is_core_of(other, one)
}

/// `a9999`: letters and digits alike, zeros before it among them.
fn shape(number: &str) -> String {
    let kept = fold::fold(number);
    kept.chars().filter(|c| c.is_alphanumeric()).map(|c| if c.is_numeric() { '9' } else { 'a' }).collect()
}
