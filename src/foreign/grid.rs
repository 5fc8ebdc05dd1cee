//! Whether the cells of a table fit together, so that each stands in its column on any page.

use super::Obstacle;
use crate::paper::carried::Table;

const COLUMNS_MAX: usize = 60;
const ROWS_MAX: usize = 4000;

pub(super) fn checked(table: Table) -> Result<Table, Obstacle> {
    if table.rows.len() > ROWS_MAX {
        return Err(Obstacle::TooLong);
    }
    // For each column, how many more rows a cell from above takes.
    let mut taken = vec![0_usize; COLUMNS_MAX];
    for (n, row) in table.rows.iter().enumerate() {
        let below = table.rows.len() - n;
        let mut column = 0;
        for cell in &row.cells {
            while taken.get(column).is_some_and(|rows| *rows > 0) {
                column += 1;
            }
            let (width, height) = (usize::from(cell.columns), usize::from(cell.rows));
            if width == 0 || height == 0 || height > below {
                return Err(Obstacle::Table);
            }
            let places = taken.get_mut(column..column + width).ok_or(Obstacle::Table)?;
            if places.iter().any(|rows| *rows > 0) {
                return Err(Obstacle::Table);
            }
            places.fill(height);
            column += width;
        }
        for rows in &mut taken {
            *rows = rows.saturating_sub(1);
        }
    }
    Ok(table)
}
