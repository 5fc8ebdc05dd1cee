//! How large and deep a carried document may be, and that it says something.

use super::Obstacle;
use crate::paper::Carried;
use crate::paper::carried::{Block, Run};

/// Blocks inside blocks: the page builds no more.
const DEPTH_MAX: usize = 12;
const BLOCKS_MAX: usize = 20_000;
const TEXT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The document, where it is small and flat enough, says something, and every letter of it can be seen.
///
/// # Errors
/// What is too much.
pub fn check(carried: Carried) -> Result<Carried, Obstacle> {
    let mut seen = Seen::default();
    seen.blocks(&carried.blocks, 1)?;
    let title = carried.title.as_deref().unwrap_or_default();
    seen.words(title)?;
    if seen.has_words { Ok(carried) } else { Err(Obstacle::Empty) }
}

#[derive(Default)]
struct Seen {
    blocks: usize,
    bytes: usize,
    has_words: bool,
}

impl Seen {
    fn blocks(&mut self, blocks: &[Block], depth: usize) -> Result<(), Obstacle> {
        if depth > DEPTH_MAX {
            return Err(Obstacle::TooDeep);
        }
        self.blocks += blocks.len();
        if self.blocks > BLOCKS_MAX {
            return Err(Obstacle::TooLong);
        }
        for block in blocks {
            match block {
                Block::Heading { line, .. } => self.line(line)?,
                Block::Paragraph { lines } | Block::Preformatted { lines } => {
                    lines.iter().try_for_each(|line| self.line(line))?;
                }
                Block::List { items, .. } => items.iter().try_for_each(|item| self.blocks(item, depth + 1))?,
                Block::Table(table) => {
                    table.caption.iter().try_for_each(|line| self.line(line))?;
                    let cells = table.rows.iter().flat_map(|row| &row.cells);
                    for cell in cells {
                        self.blocks += 1;
                        self.blocks(&cell.blocks, depth + 1)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[Run]) -> Result<(), Obstacle> {
        line.iter().try_for_each(|run| {
            self.words(&run.text)?;
            self.has_words |= !run.text.trim().is_empty();
            Ok(())
        })
    }

    fn words(&mut self, text: &str) -> Result<(), Obstacle> {
        self.bytes += text.len();
        if self.bytes > TEXT_BYTES_MAX {
            return Err(Obstacle::TooLong);
        }
        if text.chars().any(is_strange) { Err(Obstacle::StrangeCharacter) } else { Ok(()) }
    }
}

/// Characters that nobody can see or that turn the order of others, the mark of a byte that could not be read, and letters that
/// only one font knows.
fn is_strange(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{ffff}'
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}
