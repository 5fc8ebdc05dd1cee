//! A rules file as a table.

use std::collections::{BTreeMap, BTreeSet};

use ::csv::{Terminator, WriterBuilder};
use toml::de::{DeTable, DeValue};

use super::cell::{self, EMPTY_TABLE, Item};
use super::order::rank;
use super::{KIND, MANY, SINGLE};

/// The cells of one row, by column.
type Row = BTreeMap<String, String>;

/// None where something stands in the file that a table has no place for.
pub(super) fn table_of(text: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let rows = rows_of(document.get_ref())?;
    let names: BTreeSet<&str> = rows.iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
    let mut columns: Vec<&str> = names.into_iter().collect();
    columns.sort_by_cached_key(|column| rank(column));
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(&columns).ok()?;
    for row in &rows {
        writer.write_record(columns.iter().map(|column| row.get(*column).map_or("", String::as_str))).ok()?;
    }
    let csv = String::from_utf8(writer.into_inner().ok()?).ok()?;
    // Without the mark a spreadsheet takes UTF-8 for something older.
    Some(format!("\u{feff}{csv}"))
}

fn rows_of(document: &DeTable<'_>) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for kind in SINGLE {
        if let Some(value) = document.get(kind) {
            rows.push(row_of(kind, value.get_ref().as_table()?)?);
        }
    }
    for kind in MANY {
        let Some(value) = document.get(kind) else { continue };
        for row in value.get_ref().as_array()? {
            rows.push(row_of(kind, row.get_ref().as_table()?)?);
        }
    }
    Some(rows)
}

fn row_of(kind: &str, table: &DeTable<'_>) -> Option<Row> {
    let mut row = Row::from([(KIND.to_owned(), kind.to_owned())]);
    flatten(table, "", &mut row)?;
    Some(row)
}

fn flatten(table: &DeTable<'_>, above: &str, row: &mut Row) -> Option<()> {
    for (key, value) in table {
        let key = key.get_ref();
        let column = if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
        let cell = match value.get_ref() {
            DeValue::Table(inner) if inner.is_empty() => EMPTY_TABLE.to_owned(),
            DeValue::Table(inner) => {
                flatten(inner, &column, row)?;
                continue;
            }
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
            DeValue::Boolean(is) => is.to_string(),
            DeValue::Array(items) => {
                let items: Option<Vec<Item>> = items.iter().map(|item| item_of(item.get_ref())).collect();
                cell::of_items(&items?)
            }
            one @ (DeValue::String(_) | DeValue::Datetime(_) | DeValue::Float(_)) => cell::of_items(&[item_of(one)?]),
        };
        row.insert(column, cell);
    }
    Some(())
}

fn item_of(value: &DeValue<'_>) -> Option<Item> {
    match value {
        DeValue::String(text) => Some(Item::plain(text.as_ref())),
        DeValue::Datetime(at) => Some(Item::plain(at.to_string())),
        DeValue::Table(pattern) => {
            let text = |name: &str| pattern.get(name).and_then(|value| value.get_ref().as_str()).map(str::to_owned);
            Some(Item { language: text("language"), text: text("pattern")? })
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) => None,
    }
}
