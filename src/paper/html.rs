//! The paper as one self-contained file of HTML: no script, no address, nothing to load.
//!
//! Why HTML and not PDF: read aloud, enlarged, turned dark and laid out for a phone it is the better document, in every script
//! a browser has letters for; it prints as a page for another doctor, and a browser is on every phone. A PDF's tables lose
//! their meaning in the page's reader, which draws them as pictures with text behind.
//!
//! Must stay true: `src/web/page/paper.js` reads exactly the elements and attributes that the template writes, and refuses
//! any other; the same input gives the same bytes.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::{Letterhead, Paper, Person, Said, Standing, Told, Weight, times};

/// The page that shows it in the browser has the same look.
pub(super) const STYLE: &str = include_str!("../web/page/paper.css");
/// The largest document that is written, in bytes: a phone shows it at once.
const PAPER_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) static STYLE_DIGEST: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    #[error("it is longer than Chartseal writes")]
    TooLong,
    /// Us.
    #[error("the document could not be written")]
    Template(#[from] askama::Error),
}

#[derive(Template)]
#[template(path = "paper/paper.en.html")]
struct English<'a> {
    style: &'static str,
    style_digest: &'static str,
    clinic: &'a str,
    phone: &'a str,
    title: Option<&'a Said>,
    standing: Option<&'static str>,
    about: Vec<Line<'a>>,
    sections: Vec<Table<'a>>,
    conclusion: &'a [Said],
    zone: String,
}

/// A label and what stands under it.
struct Line<'a> {
    label: &'a str,
    words: Vec<Said>,
}

struct Table<'a> {
    name: Option<&'a Said>,
    is_first: bool,
    groups: Vec<Body<'a>>,
}

struct Body<'a> {
    path: &'a [Said],
    lines: Vec<Line<'a>>,
    rows: Vec<Entry<'a>>,
}

struct Entry<'a> {
    n: usize,
    name: &'a Said,
    value: Said,
    is_wide: bool,
    flags: Vec<(&'a Said, &'static str)>,
    ranges: &'a [Said],
    lines: Vec<Line<'a>>,
}

/// Longer words than this have the width of two columns, where there is no range beside them.
const NARROW_CHARACTERS_MAX: usize = 40;

/// A document as it is delivered. Patient data: no `Debug`.
pub struct Sheet {
    pub bytes: Vec<u8>,
    /// SHA-256 over the bytes and the versions of everything they were made of.
    pub binding: [u8; 32],
}

/// Writes `paper` for `person`, bound to what it was made of.
///
/// # Errors
/// [`PaperError`].
pub fn write(paper: &Paper, head: &Letterhead, person: &Person) -> Result<Sheet, PaperError> {
    let bytes = html(paper, head, person)?;
    let mut digest = Sha256::new_with_prefix(b"chartseal paper 1\n");
    let mut part = |part: &[u8]| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    part(&bytes);
    for (name, version) in &paper.sources {
        part(name.as_bytes());
        part(version.as_deref().unwrap_or_default().as_bytes());
    }
    Ok(Sheet { bytes, binding: digest.finalize().into() })
}

/// Writes `paper` for `person`.
///
/// # Errors
/// [`PaperError`].
pub fn html(paper: &Paper, head: &Letterhead, person: &Person) -> Result<Vec<u8>, PaperError> {
    let written = English {
        style: STYLE,
        style_digest: &STYLE_DIGEST,
        clinic: &head.clinic,
        phone: &head.phone,
        title: paper.title.as_ref(),
        standing: standing(paper.standing),
        about: about(paper, head, person),
        sections: tables(paper, head.zone),
        conclusion: &paper.conclusion,
        zone: times::spoken(head.zone),
    }
    .render()?;
    within_bounds(written)
}

pub(super) fn within_bounds(written: String) -> Result<Vec<u8>, PaperError> {
    if written.len() > PAPER_BYTES_MAX { Err(PaperError::TooLong) } else { Ok(written.into_bytes()) }
}

const fn standing(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Final => None,
        Standing::Amended => Some("This is an amended report. It takes the place of an earlier one."),
        Standing::Corrected => Some("This is a corrected report. It takes the place of an earlier one."),
        Standing::Appended => Some("This report was completed after it was first issued."),
    }
}

fn about<'a>(paper: &'a Paper, head: &Letterhead, person: &Person) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    if let Some(name) = &person.name {
        lines.push(Line { label: "Patient", words: vec![name.clone()] });
    }
    if let Some(born) = &person.born {
        lines.push(Line { label: "Born", words: vec![Said::plain(times::words(born, head.zone))] });
    }
    lines.extend(paper.about.iter().map(|fact| line(fact.label, &fact.told, head.zone)));
    lines
}

fn line<'a>(label: &'a str, told: &[Told], zone: Tz) -> Line<'a> {
    Line { label, words: told.iter().map(|told| in_words(told, zone)).collect() }
}

fn in_words(told: &Told, zone: Tz) -> Said {
    match told {
        Told::Words(said) => said.clone(),
        Told::Time(when) => Said::plain(times::words(when, zone)),
    }
}

fn tables(paper: &Paper, zone: Tz) -> Vec<Table<'_>> {
    let mut n = 0;
    let mut row = |row| {
        n += 1;
        entry(row, n, zone)
    };
    let mut is_first = true;
    let mut tables = Vec::with_capacity(paper.sections.len());
    for section in &paper.sections {
        let groups = section.groups.iter().map(|group| Body {
            path: &group.path,
            lines: group.facts.iter().map(|fact| line(fact.label, &fact.told, zone)).collect(),
            rows: group.rows.iter().map(&mut row).collect(),
        });
        tables.push(Table { name: section.name.as_ref(), is_first, groups: groups.collect() });
        is_first &= section.name.is_some();
    }
    tables
}

fn entry(row: &super::Row, n: usize, zone: Tz) -> Entry<'_> {
    let value = in_words(&row.value, zone);
    let is_long = value.text.chars().count() > NARROW_CHARACTERS_MAX;
    let weigh = |flag: &super::Flag| match flag.weight {
        Weight::Plain => "flag",
        Weight::Marked => "flag marked",
    };
    Entry {
        n,
        name: &row.name,
        is_wide: (is_long || value.is_in_columns()) && row.ranges.is_empty(),
        value,
        flags: row.flags.iter().map(|flag| (&flag.words, weigh(flag))).collect(),
        ranges: &row.ranges,
        lines: row.facts.iter().map(|fact| line(fact.label, &fact.told, zone)).collect(),
    }
}
