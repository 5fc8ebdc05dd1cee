//! A document that Chartseal writes itself, for a report that carries none or one that phones cannot show: what it says, apart from
//! how it looks.
//!
//! Must stay true: pure; the same paper under the same letterhead gives the same bytes; every word of the EHR's is marked
//! as such ([`Said`]), and nothing of it can become markup. Patient data: no `Debug`.
//! Must not know: FHIR, databases, where the document goes.

pub mod carried;
mod carried_html;
mod html;
mod times;

#[cfg(test)]
mod tests;

use chrono::NaiveDate;
use chrono_tz::Tz;

pub use carried::Carried;
pub use carried_html::write_carried;
pub use html::{PaperError, Sheet, html, write};

use crate::base::UtcMillis;

/// What a report says.
pub struct Paper {
    /// `None` where the report names itself by a code alone.
    pub title: Option<Said>,
    pub standing: Standing,
    pub about: Vec<Fact>,
    pub sections: Vec<Section>,
    pub conclusion: Vec<Said>,
    /// What it was made of, as `Type/id` and version where the EHR tells it. Not shown.
    pub sources: Vec<(String, Option<String>)>,
}

/// How far the report stands by its own word; anything less is not written down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Final,
    Amended,
    Corrected,
    Appended,
}

/// Words of the EHR's.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    /// A language tag, where the resource tells it.
    pub language: Option<String>,
}

/// A point in time as exactly as it is known.
#[derive(Clone, PartialEq, Eq)]
pub enum When {
    Year(i32),
    Month {
        year: i32,
        month: u32,
    },
    Day(NaiveDate),
    At(UtcMillis),
    /// At least one side is known.
    Span {
        from: Option<Box<Self>>,
        until: Option<Box<Self>>,
    },
}

/// Something told in words or as a time.
#[derive(Clone, PartialEq, Eq)]
pub enum Told {
    Words(Said),
    Time(When),
}

/// A label of ours and what the EHR says under it.
#[derive(Clone, PartialEq, Eq)]
pub struct Fact {
    pub label: &'static str,
    pub told: Vec<Told>,
}

/// One table.
pub struct Section {
    /// The panel's name; `None` for results that stand for themselves.
    pub name: Option<Said>,
    pub groups: Vec<Group>,
}

/// Rows that belong together.
pub struct Group {
    /// The names of the panels inside the section's that lead here.
    pub path: Vec<Said>,
    pub facts: Vec<Fact>,
    pub rows: Vec<Row>,
}

/// One result.
pub struct Row {
    pub name: Said,
    pub value: Told,
    pub flags: Vec<Flag>,
    /// Reference ranges, one a line.
    pub ranges: Vec<Said>,
    pub facts: Vec<Fact>,
}

/// How the laboratory judges a result.
pub struct Flag {
    pub words: Said,
    pub weight: Weight,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As it should be, or no judgement.
    Plain,
    Marked,
}

/// Who sends it.
#[derive(Clone)]
pub struct Letterhead {
    pub clinic: String,
    pub phone: String,
    /// Times are written by this zone's clock.
    pub zone: Tz,
}

/// Whose report it is, as far as their record tells.
pub struct Person {
    pub name: Option<Said>,
    pub born: Option<When>,
}

/// Between two words this many spaces are no longer a gap but a column.
const COLUMN_SPACES: &str = "   ";

impl Said {
    /// With one kind of line's end: what a file and a page make of the others differs.
    fn shown(&self) -> String {
        self.text.replace("\r\n", "\n").replace('\r', "\n")
    }

    /// Lines that were laid out beside each other, as laboratories write tables into text: they mean something only as they stand.
    fn is_in_columns(&self) -> bool {
        let has_column = |line: &str| line.trim().contains(COLUMN_SPACES) || line.trim().contains('\t');
        self.text.contains(['\n', '\r']) && self.text.split(['\n', '\r']).any(has_column)
    }

    /// Words that are of no particular language: numbers with units, names.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), language: None }
    }
}
