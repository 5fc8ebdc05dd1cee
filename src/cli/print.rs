//! Answers: for people, or as one JSON value.

use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Print {
    Text,
    Json,
}

impl Print {
    /// The answer of a command.
    #[expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]
    pub(super) fn done(self, text: &str, value: &impl Serialize) {
        match self {
            Self::Text => println!("{text}"),
            Self::Json => match serde_json::to_string_pretty(value) {
                Ok(json) => println!("{json}"),
                Err(_) => println!("{{\"error\":\"the answer could not be written as JSON\"}}"),
            },
        }
    }

    /// A failure: to standard error in words, also as JSON on standard output where that was asked for.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's answer goes to its standard streams")]
    pub(super) fn error(self, error: &anyhow::Error) {
        match self {
            Self::Text => eprintln!("error: {error:#}"),
            Self::Json => {
                println!("{}", serde_json::json!({ "error": format!("{error:#}") }));
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let text = table(&["id", "note"], &[vec!["long-id".into(), String::new()], vec!["x".into(), "why".into()]]);
        assert_eq!(text, "id       note\nlong-id\nx        why");
    }
}
