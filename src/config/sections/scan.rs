//! `[scan]`: the malware scanner.

use crate::config::section::{Context, Section};
use crate::config::source::Table;
use crate::release::{MalwareScan, Unscanned};
use crate::scan::{Clamd, Place};

pub(super) fn read(table: Table, context: Context<'_>) -> MalwareScan {
    let mut section = Section::new("scan", table, context);
    let place = section.optional("clamd", |text| Place::parse(text, context.base_dir));
    let words = [("hold", Unscanned::Hold), ("send", Unscanned::Send)];
    let is_said = section.is_written("unscanned");
    let unscanned = section.choice("unscanned", &words, Unscanned::Hold);
    if is_said && place.is_none() && !section.is_written("clamd") {
        section.complain("clamd", "missing: without a scanner nothing is scanned, and `unscanned` says nothing");
    }
    section.finish();
    place.map_or(MalwareScan::Unasked, |place| MalwareScan::By { clamd: Clamd::new(place), unscanned })
}
