//! Answers: for people, or as one JSON value.

use std::io::Write as _;

use serde::Serialize;

use crate::cell::CellFault;
use crate::release::{Proved, Unscanned};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Print {
    Text,
    Json,
}

impl Print {
    /// The answer of a command.
    pub(super) fn done(self, text: &str, value: &impl Serialize) {
        match self {
            Self::Text => say(text),
            Self::Json => match serde_json::to_string_pretty(value) {
                Ok(json) => say(&json),
                Err(_) => say("{\"error\":\"the answer could not be written as JSON\"}"),
            },
        }
    }

    /// What a command that goes on running has to say: JSON on one line, for programs that read line by line.
    pub(super) fn line(self, text: &str, value: &impl Serialize) {
        match self {
            Self::Text => say(text),
            Self::Json => match serde_json::to_string(value) {
                Ok(json) => say(&json),
                Err(_) => say("{\"error\":\"the answer could not be written as JSON\"}"),
            },
        }
    }

    /// A failure: to standard error in words, also as JSON on standard output where that was asked for.
    #[expect(clippy::print_stderr, reason = "a command's failure goes to standard error")]
    pub(super) fn error(self, error: &anyhow::Error) {
        match self {
            Self::Text => eprintln!("error: {error:#}"),
            Self::Json => say(&serde_json::json!({ "error": format!("{error:#}") }).to_string()),
        }
    }
}

/// A reader that has seen enough (`| head`) closes the pipe: there is nobody left to tell.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// `1 chain`, `2 chains`.
pub(super) fn count(number: impl TryInto<u64>, of: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// Columns, as wide as their widest cell, the last one free.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let last = head.len().saturating_sub(1);
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| if at == last { (*cell).to_owned() } else { format!("{cell:<width$}") })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(head.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// A stretch of time as people say it.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}

/// Whether documents can be read in a process of their own, for programs and for people.
pub(super) fn reading(proved: Result<(), CellFault>) -> (bool, String) {
    match proved {
        Ok(()) => (true, String::new()),
        Err(fault) => (
            false,
            format!(
                "\nAttachments cannot be read here: {fault}. Reports with a PDF, RTF, HTML or CDA wait for a person (PDFs not where \
                 attachment_identity is \"unchecked\")."
            ),
        ),
    }
}

/// What scans for malware: its own word, `null` without one.
pub(super) fn scanning(proved: Proved) -> (serde_json::Value, String) {
    match proved {
        Proved::Unasked => (serde_json::Value::Null, String::new()),
        Proved::Answers { version } => (version.clone().into(), format!("\nAttachments are scanned by {version}.")),
        Proved::Fault { fault, unscanned } => {
            let then = match unscanned {
                Unscanned::Hold => "reports with an attachment wait for it, and after some hours for a person",
                Unscanned::Send => "as [scan] unscanned says, attachments leave unscanned",
            };
            (false.into(), format!("\nAttachments are not scanned: {fault}; {then}."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{span, table};

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let text = table(&["id", "note"], &[vec!["long-id".into(), String::new()], vec!["x".into(), "why".into()]]);
        assert_eq!(text, "id       note\nlong-id\nx        why");
    }

    #[test]
    fn a_span_is_told_in_the_unit_that_people_would_use() {
        let told = [119, 120, 7_199, 7_200, 172_799, 172_800].map(span);
        assert_eq!(told, ["119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
