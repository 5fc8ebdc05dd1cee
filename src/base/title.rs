//! What a document is called, as its sender wrote it and as a page may show it.

/// The longest that a page shows well, in characters.
const CHARACTERS_MAX: usize = 80;

/// Patient data: no `Debug`. Never empty; one line without anything that could reorder the text around it or name a folder.
#[derive(Clone)]
pub struct DocumentTitle(String);

impl DocumentTitle {
    /// What is left of `text` when all that cannot be shown is taken away; `None` where that is nothing.
    #[must_use]
    pub fn cleaned(text: &str) -> Option<Self> {
        let shown = |c: char| match c {
            '/' | '\\' => ' ',
            c if c.is_control() || is_invisible(c) => ' ',
            c => c,
        };
        let spaced: String = text.chars().take(CHARACTERS_MAX * 8).map(shown).collect();
        let is_name = |word: &&str| word.chars().any(|c| c != '.');
        let name = spaced.split_whitespace().filter(is_name).collect::<Vec<_>>().join(" ");
        let cut: String = name.chars().take(CHARACTERS_MAX).collect();
        let cut = if cut.len() < name.len() { format!("{}…", cut.trim_end()) } else { cut };
        (!cut.is_empty()).then_some(Self(cut))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Line and paragraph separators, directional marks, zero-width characters, tags: shown as nothing, yet they change what is read.
#[must_use]
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_that_names_no_folder_and_turns_nothing_round() {
        for (written, shown) in [
            ("Pathology report.pdf", Some("Pathology report.pdf")),
            ("  CT\tthorax\r\nfinal ", Some("CT thorax final")),
            ("../../etc/passwd", Some("etc passwd")),
            ("C:\\lab\\x.pdf", Some("C: lab x.pdf")),
            ("report\u{202e}fdp.exe", Some("report fdp.exe")),
            ("\u{200b}\u{feff}", None),
            ("...", None),
            ("", None),
            ("Röntgen – Übersicht", Some("Röntgen – Übersicht")),
        ] {
            assert_eq!(DocumentTitle::cleaned(written).as_ref().map(DocumentTitle::expose), shown, "{written:?}");
        }
        let long = DocumentTitle::cleaned(&"x".repeat(100_000)).unwrap();
        assert_eq!(long.expose().chars().count(), CHARACTERS_MAX + 1);
    }
}
