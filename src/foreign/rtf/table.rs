//! Rows of cells, whose borders are told in lengths: a cell spans the columns that others divide.

use std::collections::BTreeSet;

use super::Obstacle;
use crate::foreign::grid;
use crate::paper::carried::{Block, Cell, CellRole, Row, Table};

#[derive(Default)]
pub(super) struct Rows {
    /// The paragraph is one of a cell.
    pub(super) is_inside: bool,
    pub(super) is_head: bool,
    borders: Vec<i32>,
    cells: Vec<Vec<Block>>,
    made: Vec<Made>,
}

struct Made {
    borders: Vec<i32>,
    cells: Vec<Vec<Block>>,
    is_head: bool,
}

impl Rows {
    pub(super) fn begin(&mut self) {
        self.borders.clear();
        self.is_head = false;
    }

    pub(super) fn cell_end(&mut self, at: i32) {
        self.borders.push(at);
    }

    pub(super) fn cell(&mut self, blocks: Vec<Block>) -> Result<(), Obstacle> {
        if blocks.iter().any(|block| matches!(block, Block::Table(_))) {
            return Err(Obstacle::Table);
        }
        self.cells.push(blocks);
        Ok(())
    }

    pub(super) fn row(&mut self) -> Result<(), Obstacle> {
        let cells = std::mem::take(&mut self.cells);
        let is_rising = self.borders.is_sorted_by(|one, other| one < other);
        if cells.len() != self.borders.len() || cells.is_empty() || !is_rising {
            return Err(Obstacle::Table);
        }
        self.made.push(Made { borders: self.borders.clone(), cells, is_head: self.is_head });
        Ok(())
    }

    pub(super) fn has_rows(&self) -> bool {
        !self.made.is_empty()
    }

    /// The table that ended; `None` where there is none.
    pub(super) fn finish(&mut self) -> Result<Option<Block>, Obstacle> {
        if !self.cells.is_empty() {
            return Err(Obstacle::Malformed);
        }
        let made = std::mem::take(&mut self.made);
        if made.is_empty() {
            return Ok(None);
        }
        let borders: BTreeSet<i32> = made.iter().flat_map(|row| row.borders.iter().copied()).collect();
        let row = |made: Made| {
            let mut left = i32::MIN;
            let cells = made.borders.into_iter().zip(made.cells).map(|(right, blocks)| {
                let columns = borders.iter().filter(|border| **border > left && **border <= right).count();
                left = right;
                let role = if made.is_head { CellRole::ColumnHead } else { CellRole::Plain };
                Cell { role, columns: u16::try_from(columns).unwrap_or(u16::MAX), rows: 1, blocks }
            });
            Row { cells: cells.collect() }
        };
        let table = Table { caption: None, rows: made.into_iter().map(row).collect() };
        grid::checked(table).map(|table| Some(Block::Table(table)))
    }
}
