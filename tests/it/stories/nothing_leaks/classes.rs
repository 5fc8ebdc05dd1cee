//! That each column holds no more of patients than `columns.rs` says.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::place::Place;
use crate::support::planted::{self, Planted};

use super::columns::Class::{Code, Pseudonymous, Quiet, Sealed};
use super::columns::columns;

/// # Panics
/// When a column holds what its class forbids, by the column's name.
pub fn assert_classes_hold(rows: &BTreeMap<String, Vec<Vec<u8>>>, everything: &[Planted], everywhere: &[Planted]) {
    assert_all_are_listed(rows.keys().map(String::as_str));
    let filled = ["delivery.card_sealed", "delivery.facts", "audit_line.body", "event.why", "notice.why", "poll.why"];
    for column in filled {
        assert!(rows[column].iter().any(|value| !value.is_empty()), "the story left {column} empty");
    }
    for (table, columns) in columns() {
        for (column, class) in *columns {
            let name = format!("{table}.{column}");
            let forbidden = match class {
                Quiet | Pseudonymous | Sealed => everywhere,
                Code => everything,
            };
            for value in rows.get(&name).into_iter().flatten() {
                planted::assert_absent(&name, value, forbidden);
            }
        }
    }
}

fn assert_all_are_listed<'a>(found: impl Iterator<Item = &'a str>) {
    let listed: BTreeSet<String> = columns()
        .flat_map(|(table, columns)| columns.iter().map(move |(column, _)| format!("{table}.{column}")))
        .collect();
    let found: BTreeSet<String> = found.map(str::to_owned).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(unlisted.is_empty(), "say in this file what these columns may hold of patients: {unlisted:?}");
    assert!(gone.is_empty(), "these columns are listed and do not exist: {gone:?}");
}

#[test]
fn every_column_says_what_it_may_hold_of_patients() {
    let folder = Place::new("columns");
    let path = folder.join("chartseal.db");
    chartseal::store::Store::migrate(&format!("sqlite:{}", path.display())).unwrap();
    assert_all_are_listed(super::dump(&path).keys().map(String::as_str));
}

#[test]
fn what_is_sealed_is_named_so() {
    for (table, columns) in columns() {
        for (column, class) in *columns {
            let named = column.ends_with("_sealed") || column.ends_with("_wrapped");
            assert_eq!(*class == Sealed, named, "{table}.{column}");
        }
    }
}
