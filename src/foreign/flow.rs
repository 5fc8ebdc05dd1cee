//! Words as they come, gathered into paragraphs.

use std::collections::BTreeSet;

use crate::paper::carried::{Block, Line, Mark, Run};

/// Blocks that are being made, and the paragraph that is not yet one.
#[derive(Default)]
pub(super) struct Flow {
    pub(super) blocks: Vec<Block>,
    lines: Vec<Line>,
}

impl Flow {
    /// Words in which white space is what separates them.
    pub(super) fn say(&mut self, text: &str, marks: &BTreeSet<Mark>) {
        let mut words = String::new();
        let mut is_space = self.ends_in_space();
        for c in text.chars() {
            if matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}') {
                if !is_space {
                    words.push(' ');
                }
                is_space = true;
            } else {
                words.push(c);
                is_space = false;
            }
        }
        self.push(&words, marks);
    }

    /// Words in which every space counts.
    pub(super) fn say_spaced(&mut self, text: &str, marks: &BTreeSet<Mark>) {
        for (n, line) in text.split('\n').enumerate() {
            if n > 0 {
                self.break_line();
            }
            self.push(line.trim_end_matches('\r'), marks);
        }
    }

    pub(super) fn break_line(&mut self) {
        if self.lines.is_empty() {
            self.lines.push(Line::new());
        }
        self.lines.push(Line::new());
    }

    /// Ends the paragraph.
    pub(super) fn end(&mut self) {
        let lines = self.take_lines();
        if !lines.is_empty() {
            self.blocks.push(Block::Paragraph { lines });
        }
    }

    /// Ends what was said with its spaces.
    pub(super) fn end_spaced(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.iter().flatten().any(|run| !run.text.trim().is_empty()) {
            self.blocks.push(Block::Preformatted { lines });
        }
    }

    pub(super) fn finish(mut self) -> Vec<Block> {
        self.end();
        self.blocks
    }

    /// Puts a block before the paragraph that is not yet one.
    pub(super) fn insert_before_open(&mut self, block: Block) {
        self.blocks.push(block);
    }

    fn take_lines(&mut self) -> Vec<Line> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.iter_mut().for_each(trim_end);
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(lines.len());
        lines.split_off(first)
    }

    fn ends_in_space(&self) -> bool {
        let last = self.lines.last().and_then(|line| line.last());
        last.is_none_or(|run| run.text.ends_with(' '))
    }

    fn push(&mut self, text: &str, marks: &BTreeSet<Mark>) {
        if text.is_empty() {
            return;
        }
        if self.lines.is_empty() {
            self.lines.push(Line::new());
        }
        let Some(line) = self.lines.last_mut() else { return };
        match line.last_mut() {
            Some(run) if run.marks == *marks => run.text.push_str(text),
            Some(_) | None => line.push(Run { text: text.to_owned(), marks: marks.clone() }),
        }
    }
}

fn trim_end(line: &mut Line) {
    while let Some(run) = line.last_mut() {
        run.text.truncate(run.text.trim_end_matches(' ').len());
        if !run.text.is_empty() {
            return;
        }
        line.pop();
    }
}

/// The words of blocks that are no more than words, on one line; `None` where they are more.
pub(super) fn one_line(blocks: Vec<Block>) -> Option<Line> {
    let mut line = Line::new();
    for block in blocks {
        let Block::Paragraph { lines } = block else { return None };
        for words in lines {
            if !line.is_empty() {
                line.push(Run { text: " ".to_owned(), marks: BTreeSet::new() });
            }
            line.extend(words);
        }
    }
    Some(line)
}
