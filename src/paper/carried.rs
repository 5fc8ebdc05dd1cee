//! A document that somebody else wrote, carried over: its words and their order, apart from how it looked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Patient data: no `Debug`. Crosses from the process that read the document as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    pub title: Option<String>,
    /// A language tag, where the document tells it.
    pub language: Option<String>,
    pub blocks: Vec<Block>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Block {
    Heading {
        /// 1 is the document's own, 6 the lowest.
        level: u8,
        line: Line,
    },
    Paragraph {
        lines: Vec<Line>,
    },
    /// Words whose columns are made of spaces.
    Preformatted {
        lines: Vec<Line>,
    },
    List {
        order: Order,
        items: Vec<Vec<Block>>,
    },
    Table(Table),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub caption: Option<Line>,
    pub rows: Vec<Row>,
}

/// Cells from left to right; one that spans rows stands in its first row only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub cells: Vec<Cell>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    pub role: CellRole,
    pub columns: u16,
    pub rows: u16,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellRole {
    /// Names its column.
    ColumnHead,
    /// Names its row.
    RowHead,
    Plain,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Bullets,
    /// 1, 2, 3 from here on.
    Numbers {
        from: u32,
    },
}

pub type Line = Vec<Run>;

/// Words that look alike.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub text: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub marks: BTreeSet<Mark>,
}

/// A look that can mean something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    Strong,
    Slanted,
    Underlined,
    Raised,
    Lowered,
}

impl Carried {
    /// Its words a line each, cells of a table apart by a tab.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(title) = &self.title {
            text.push_str(title);
            text.push('\n');
        }
        blocks_text(&self.blocks, &mut text);
        text
    }
}

/// The words of a line alone.
#[must_use]
pub fn words(line: &[Run]) -> String {
    line.iter().map(|run| run.text.as_str()).collect()
}

fn blocks_text(blocks: &[Block], text: &mut String) {
    for block in blocks {
        match block {
            Block::Heading { line, .. } => push_line(line, text),
            Block::Paragraph { lines } | Block::Preformatted { lines } => push_lines(lines, text),
            Block::List { items, .. } => {
                for item in items {
                    blocks_text(item, text);
                }
            }
            Block::Table(table) => {
                if let Some(caption) = &table.caption {
                    push_line(caption, text);
                }
                for row in &table.rows {
                    row_text(row, text);
                }
            }
        }
    }
}

fn row_text(row: &Row, text: &mut String) {
    for (n, cell) in row.cells.iter().enumerate() {
        if n > 0 {
            text.push('\t');
        }
        let mut inner = String::new();
        blocks_text(&cell.blocks, &mut inner);
        // A cell of several lines: a label and its value may stand in it.
        let lines: Vec<_> = inner.lines().collect();
        text.push_str(&lines.join(" \u{b6} "));
    }
    text.push('\n');
}

fn push_line(line: &[Run], text: &mut String) {
    text.push_str(&words(line));
    text.push('\n');
}

fn push_lines(lines: &[Line], text: &mut String) {
    for line in lines {
        push_line(line, text);
    }
}
