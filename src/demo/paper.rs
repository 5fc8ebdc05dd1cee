//! One-page PDFs, written by hand: what the demo's laboratory and ward print.
//!
//! Source: ISO 32000-1, §7.5 (file structure), §8.5 (lines and areas), §9.4 (text). The fonts are the standard ones.

use std::fmt::Write as _;

/// US Letter, in points.
const WIDTH: i32 = 612;
const HEIGHT: i32 = 792;
const MARGIN: i32 = 56;
const RIGHT: i32 = WIDTH - MARGIN;

/// Where the columns of a table begin.
const COLUMNS: [i32; 4] = [MARGIN + 8, 286, 366, 446];
const INK: &str = "0.09 0.13 0.12";
const SOFT: &str = "0.33 0.39 0.38";
const DEEP: &str = "0.04 0.37 0.36";
const WASH: &str = "0.91 0.95 0.94";
const LINE: &str = "0.80 0.85 0.84";

/// What stands on the page.
pub(super) struct Paper<'a> {
    pub(super) from: &'a str,
    pub(super) title: &'a str,
    /// Beside the title: `Final`, `Corrected, version 2`.
    pub(super) status: &'a str,
    /// Labels and values.
    pub(super) about: &'a [(&'a str, &'a str)],
    /// Test, result, unit, usual range.
    pub(super) rows: &'a [[&'a str; 4]],
    pub(super) lines: &'a [&'a str],
}

impl Paper<'_> {
    pub(super) fn pdf(&self) -> Vec<u8> {
        let mut page = Drawing::default();
        page.area(DEEP, [0, HEIGHT - 12, WIDTH, 12]);
        page.text(Font::Bold, 15, DEEP, MARGIN, HEIGHT - 62, self.from);
        page.text(Font::Plain, 9, SOFT, MARGIN, HEIGHT - 78, "12 Sample Street, Example Town   +1 555 0100");
        page.text(Font::Bold, 20, INK, MARGIN, HEIGHT - 130, self.title);
        page.text(Font::Plain, 11, SOFT, MARGIN, HEIGHT - 150, self.status);
        let mut y = HEIGHT - 184;
        for (label, value) in self.about {
            page.text(Font::Plain, 10, SOFT, MARGIN, y, label);
            page.text(Font::Bold, 10, INK, MARGIN + 96, y, value);
            y -= 17;
        }
        y = self.table(&mut page, y - 18);
        for line in self.lines {
            page.text(Font::Plain, 11, INK, MARGIN, y, line);
            y -= 18;
        }
        page.area(LINE, [MARGIN, 74, RIGHT - MARGIN, 1]);
        page.text(
            Font::Plain,
            9,
            SOFT,
            MARGIN,
            56,
            "A sample made by Chartseal's demo. The person and every value are invented.",
        );
        document(&page.0)
    }

    fn table(&self, page: &mut Drawing, top: i32) -> i32 {
        if self.rows.is_empty() {
            return top;
        }
        let mut y = top;
        page.area(WASH, [MARGIN, y - 8, RIGHT - MARGIN, 24]);
        for (x, head) in COLUMNS.into_iter().zip(["Test", "Result", "Unit", "Usual range"]) {
            page.text(Font::Bold, 10, DEEP, x, y, head);
        }
        for row in self.rows {
            y -= 26;
            for (n, (x, cell)) in COLUMNS.into_iter().zip(row).enumerate() {
                let font = if n == 1 { Font::Bold } else { Font::Plain };
                page.text(font, 11, INK, x, y, cell);
            }
            page.area(LINE, [MARGIN, y - 9, RIGHT - MARGIN, 1]);
        }
        y - 44
    }
}

#[derive(Clone, Copy)]
enum Font {
    Plain,
    Bold,
}

#[derive(Default)]
struct Drawing(String);

impl Drawing {
    fn text(&mut self, font: Font, size: u32, colour: &str, x: i32, y: i32, text: &str) {
        let name = match font {
            Font::Plain => "F1",
            Font::Bold => "F2",
        };
        let text = escaped(text);
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "BT {colour} rg /{name} {size} Tf {x} {y} Td ({text}) Tj ET");
    }

    fn area(&mut self, colour: &str, [x, y, width, height]: [i32; 4]) {
        let _ = writeln!(self.0, "{colour} rg {x} {y} {width} {height} re f");
    }
}

/// Latin-1, as the fonts' encoding has it; nothing else is printed here.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match (c, u32::from(c)) {
            ('\\' | '(' | ')', _) => escaped.extend(['\\', c]),
            (_, 0x20..=0x7E) => escaped.push(c),
            (_, code @ 0xA0..=0xFF) => {
                let _ = write!(escaped, "\\{code:03o}");
            }
            _ => escaped.push('?'),
        }
    }
    escaped
}

fn document(drawing: &str) -> Vec<u8> {
    let font = |name: &str| format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents 4 0 R \
             /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>"
        ),
        format!("<< /Length {} >>\nstream\n{drawing}endstream", drawing.len()),
        font("Helvetica"),
        font("Helvetica-Bold"),
    ];
    let mut text = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (n, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", text.len());
        let _ = write!(text, "{} 0 obj\n{object}\nendobj\n", n + 1);
    }
    let table_at = text.len();
    let _ =
        write!(text, "{table}trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table_at}\n%%EOF\n", objects.len() + 1);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cross_reference_table_points_at_every_object() {
        let paper = Paper {
            from: "Lab (demo)",
            title: "Blood count",
            status: "Final",
            about: &[("Patient", "Ada")],
            rows: &[["Iron", "15", "µmol/L", "10 - 30"]],
            lines: &["All well."],
        };
        let text = String::from_utf8(paper.pdf()).unwrap();
        let table_at: usize = text.lines().rev().nth(1).unwrap().parse().unwrap();
        let entries: Vec<usize> =
            text[table_at..].lines().skip(3).take(6).map(|line| line[..10].parse().unwrap()).collect();
        for (n, at) in entries.into_iter().enumerate() {
            assert!(text[at..].starts_with(&format!("{} 0 obj", n + 1)));
        }
        assert!(text.contains("Lab \\(demo\\)") && text.contains("\\265mol/L"));
    }
}
