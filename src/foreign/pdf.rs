//! The text of a PDF, line by line as it stands on the page, not in the order in which it was drawn.
//!
//! Must stay true: words that stand on one height are one line, from left to right; a wide gap is a tab, so that a label, its value
//! and the next label stay apart.

use pdf_extract::{Document, MediaBox, OutputDev, OutputError, Transform, output_doc};

/// The most text that is taken, in bytes: more than two thousand pages.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most characters of one page.
const PAGE_CHARACTERS_MAX: usize = 200_000;

/// In parts of the letters' size.
const SAME_LINE_SIZES: f64 = 0.4;
const WORD_GAP_SIZES: f64 = 0.15;
const COLUMN_GAP_SIZES: f64 = 1.2;
/// So many spaces in a row are a column's gap, too.
const COLUMN_SPACES_MIN: usize = 3;

/// The text of the file, a form feed after each page; `None` when it cannot be read. May panic.
#[must_use]
pub fn text(bytes: &[u8]) -> Option<String> {
    let mut document = Document::load_mem(bytes).ok()?;
    if document.is_encrypted() {
        // What opens without a password is shown to anybody.
        document.decrypt("").ok()?;
    }
    let mut pages = Pages::default();
    match output_doc(&document, &mut pages) {
        Ok(()) => Some(pages.text),
        Err(_) if pages.is_full => Some(pages.text),
        Err(_) => None,
    }
}

#[derive(Default)]
struct Pages {
    text: String,
    letters: Vec<Letter>,
    is_full: bool,
}

struct Letter {
    x: f64,
    y: f64,
    end: f64,
    size: f64,
    text: String,
}

impl OutputDev for Pages {
    fn begin_page(&mut self, _: u32, _: &MediaBox, _: Option<(f64, f64, f64, f64)>) -> Result<(), OutputError> {
        self.letters.clear();
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        let letters = std::mem::take(&mut self.letters);
        push_page(letters, &mut self.text);
        if self.text.len() > TEXT_BYTES_MAX {
            self.is_full = true;
            return Err(OutputError::FormatError(std::fmt::Error));
        }
        Ok(())
    }

    fn output_character(
        &mut self,
        place: &Transform,
        width: f64,
        _: f64,
        font_size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        let size = (place.m11.hypot(place.m12) * font_size).abs();
        let (x, y) = (place.m31, place.m32);
        if self.letters.len() < PAGE_CHARACTERS_MAX && [x, y, size, width].iter().all(|one| one.is_finite()) {
            self.letters.push(Letter { x, y, end: x + width * size, size, text: text.to_owned() });
        }
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

fn push_page(mut letters: Vec<Letter>, text: &mut String) {
    // From the top, by the middle height of letters that overlap.
    letters.sort_by(|a, b| b.y.total_cmp(&a.y));
    let mut line: Vec<Letter> = Vec::new();
    for letter in letters {
        let is_same = line
            .first()
            .is_some_and(|first| (first.y - letter.y).abs() <= first.size.max(letter.size) * SAME_LINE_SIZES);
        if !is_same {
            push_line(std::mem::take(&mut line), text);
        }
        line.push(letter);
    }
    push_line(line, text);
    text.push('\u{c}');
}

fn push_line(mut line: Vec<Letter>, text: &mut String) {
    line.sort_by(|a, b| a.x.total_cmp(&b.x));
    let (mut before, mut spaces): (Option<(f64, f64)>, usize) = (None, 0);
    for letter in line {
        let gap = before.map_or(0.0, |(end, size)| if size > 0.0 { (letter.x - end) / size } else { 0.0 });
        before = Some((letter.end, letter.size));
        if gap > COLUMN_GAP_SIZES {
            spaces = COLUMN_SPACES_MIN;
        } else if gap > WORD_GAP_SIZES {
            spaces = spaces.max(1);
        }
        if letter.text.trim().is_empty() {
            spaces += 1;
            continue;
        }
        match spaces {
            0 => {}
            1..COLUMN_SPACES_MIN => text.push(' '),
            _ => text.push('\t'),
        }
        spaces = 0;
        text.push_str(letter.text.trim());
    }
    if before.is_some() {
        text.push('\n');
    }
}
