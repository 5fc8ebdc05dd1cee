//! The sets that ship, and what they know about single codes.
//!
//! Must stay true: the files are read by the clinic's own reader, and a test holds that they have no fault.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::faults::Faults;
use super::{CodeSets, Kind, csv};
use crate::policy::codes;
use crate::policy::facts::Coding;

/// Topics of reports, gathered by ourselves from public sources, each named in its row.
pub(crate) const SENSITIVE: &str = include_str!("../../../policies/codes/sensitive.csv");
/// Services by the word that a clinic's rules use.
pub(crate) const SERVICES: &str = include_str!("../../../policies/codes/services.csv");

/// What a row says about its code.
#[derive(Default)]
struct Known {
    display: String,
    tag: Option<String>,
}

struct Shipped {
    sets: CodeSets,
    known: BTreeMap<Coding, Known>,
}

static SHIPPED: LazyLock<Shipped> = LazyLock::new(|| {
    let mut sets = CodeSets::default();
    let mut known: BTreeMap<Coding, Known> = BTreeMap::new();
    for (file, text) in [("sensitive.csv", SENSITIVE), ("services.csv", SERVICES)] {
        let mut faults = Faults::new(file);
        for row in csv::read(file, text, &mut faults) {
            let entry = known.entry(row.coding.clone()).or_default();
            if entry.display.is_empty() {
                entry.display = row.display;
            }
            if row.kind == Kind::Topic {
                entry.tag.get_or_insert_with(|| row.set.as_str().to_owned());
            }
            sets.add(row.kind, &row.set, [row.coding], &mut faults);
        }
    }
    Shipped { sets, known }
});

pub(super) fn sets() -> &'static CodeSets {
    &SHIPPED.sets
}

/// What a code is called in the shipped sets.
#[must_use]
pub fn display_of(coding: &Coding) -> Option<&'static str> {
    let known = SHIPPED.known.get(&codes::canonical(coding)?)?;
    Some(known.display.as_str()).filter(|display| !display.is_empty())
}

/// The shipped set that a code belongs to, for a table of codes that the clinic has not looked at yet: `HIV` for
/// `icd-10-cm|B20`. A suggestion; the rules decide by sets.
#[must_use]
pub fn suggested_tag(coding: &Coding) -> Option<&'static str> {
    codes::with_classes(coding).find_map(|coding| SHIPPED.known.get(&coding)?.tag.as_deref())
}
