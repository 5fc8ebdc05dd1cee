//! A fault as compilers show it: the line, a mark under the place, and what to do.

use crate::policy::errors::{RulesError, Severity};

/// Characters of a line that are shown; the mark stays within.
const LINE_CHARS_MAX: usize = 160;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Colours,
}

#[derive(Clone, Copy)]
enum Colour {
    Red,
    Yellow,
    Blue,
    Bold,
}

impl Paint {
    fn with(self, colour: Colour, text: &str) -> String {
        let sequence = match colour {
            Colour::Red => "1;31",
            Colour::Yellow => "1;33",
            Colour::Blue => "1;34",
            Colour::Bold => "1",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => format!("\u{1b}[{sequence}m{text}\u{1b}[0m"),
        }
    }
}

/// `file` as it was named, `text` as it was read.
pub(super) fn picture(file: &str, text: &str, fault: &RulesError, paint: Paint) -> String {
    let colour = match fault.code.severity() {
        Severity::Error => Colour::Red,
        Severity::Warning => Colour::Yellow,
    };
    let head = paint.with(colour, &format!("{}[{}]", fault.code.severity().as_str(), fault.code.as_str()));
    let what = paint.with(Colour::Bold, &format!(": {}", shown(&fault.what)));
    let number = fault.line.to_string();
    let gap = " ".repeat(number.len());
    let bar = paint.with(Colour::Blue, "|");
    let arrow = paint.with(Colour::Blue, "-->");
    let line: String = text.lines().nth(fault.line - 1).unwrap_or_default().chars().map(plain).collect();
    // A long line is shown from a little before its fault.
    let skipped = if line.chars().count() > LINE_CHARS_MAX { (fault.column - 1).saturating_sub(20) } else { 0 };
    let part: String = line.chars().skip(skipped).take(LINE_CHARS_MAX).collect();
    let before = " ".repeat(fault.column - 1 - skipped);
    let room = part.chars().count().saturating_sub(fault.column - 1 - skipped).max(1);
    let mark = paint.with(colour, &"^".repeat(fault.width.clamp(1, room)));
    let source = format!("{} {bar} {part}", paint.with(Colour::Blue, &number));
    let place = format!("{gap}{arrow} {file}:{}:{}", fault.line, fault.column);
    let help =
        format!("{gap} {} {}: {}", paint.with(Colour::Blue, "="), paint.with(Colour::Bold, "help"), fault.remedy);
    format!("{head}{what}\n{place}\n{gap} {bar}\n{}\n{gap} {bar} {before}{mark}\n{help}", source.trim_end())
}

/// A tab is as wide as one mark, and what moves a terminal's cursor does not.
fn plain(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

fn shown(text: &str) -> String {
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::errors::Code;

    #[test]
    fn the_mark_stands_under_what_is_wrong() {
        let fault = RulesError {
            line: 2,
            column: 5,
            width: 9,
            code: Code::OpenToScanners,
            what: "the link opens once".into(),
            remedy: "ask for a code".into(),
        };
        let text = "[x]\na = opens = 1\n";
        let expected = "warning[open-to-scanners]: the link opens once\n --> r.toml:2:5\n  |\n2 | a = opens = 1\n  |     \
                        ^^^^^^^^^\n  = help: ask for a code";
        assert_eq!(picture("r.toml", text, &fault, Paint::Plain), expected);
        let painted = picture("r.toml", text, &fault, Paint::Colours);
        assert!(painted.starts_with("\u{1b}[1;33mwarning[open-to-scanners]"), "{painted:?}");
    }

    #[test]
    fn a_long_line_is_shown_around_its_fault() {
        let fault = RulesError {
            line: 1,
            column: 5_001,
            width: 6_000,
            code: Code::Form,
            what: "\u{1b}[2J".into(),
            remedy: String::new(),
        };
        let text = format!("{}Ł{}", "a".repeat(5_000), "b".repeat(9_000));
        let shown = picture("r.toml", &text, &fault, Paint::Plain);
        assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
        assert!(!shown.contains('\u{1b}'));
        let (source, mark) = (shown.lines().nth(3).unwrap(), shown.lines().nth(4).unwrap());
        let at = source.chars().position(|c| c == 'Ł').unwrap();
        assert_eq!(mark.chars().position(|c| c == '^'), Some(at));
    }
}
