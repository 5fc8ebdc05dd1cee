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
        let is_same = line.first().is_some_and(|first| {
            (first.y - letter.y).abs() <= first.size.max(letter.size) * SAME_LINE_SIZES
        });
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
    let mut before: Option<(f64, f64)> = None;
    for letter in line {
        if let Some((end, size)) = before {
            let gap = letter.x - end;
            if gap > size * COLUMN_GAP_SIZES {
                text.push('\t');
            } else if gap > size * WORD_GAP_SIZES && !text.ends_with([' ', '\t', '\n']) {
                text.push(' ');
            }
        }
        text.push_str(&letter.text);
        before = Some((letter.end, letter.size));
    }
    if before.is_some() {
        text.push('\n');
    }
}
