//! Where the parts of a rules file stand, for warnings about a file that was loaded.
//!
//! Must not know: what a part means.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::policy::errors::{Code, RulesError};
use crate::policy::rules::Spot;

/// The sections that hold rows.
const SECTIONS: [&str; 5] = ["classify", "profile", "restrict", "exception", "test"];

/// What a warning says.
pub(super) struct Said {
    pub(super) code: Code,
    pub(super) what: String,
    pub(super) remedy: String,
}

pub(super) struct Places<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    document: DeTable<'t>,
}

impl<'t> Places<'t> {
    /// `None` where the text is not TOML.
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let document = DeTable::parse(text).ok()?.into_inner();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Some(Self { text, line_starts, document })
    }

    /// The rows of the file by their place.
    pub(super) fn rows(&self) -> Rows<'_, 't> {
        let mut rows = BTreeMap::new();
        for section in SECTIONS {
            let Some(DeValue::Array(found)) = self.document.get(section).map(toml::Spanned::get_ref) else { continue };
            for row in found {
                if let DeValue::Table(table) = row.get_ref() {
                    rows.insert(self.spot(row.span().start), (row.span(), table));
                }
            }
        }
        Rows { places: self, rows }
    }

    /// A fault at the name of a law in `laws`.
    pub(super) fn law(&self, name: &str, said: Said) -> RulesError {
        let item = self.document.get("policy").and_then(|policy| {
            let laws = policy.get_ref().as_table()?.get("laws")?;
            match laws.get_ref() {
                DeValue::Array(items) => items.iter().find(|item| item.get_ref().as_str() == Some(name)),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Table(_) => Some(laws),
            }
        });
        self.fault(item.map_or(0..0, toml::Spanned::span), said)
    }

    /// A fault at a line of `[policy]`, or at its head where it has none of that name.
    pub(super) fn policy(&self, key: &str, said: Said) -> RulesError {
        let header = self.document.get("policy").and_then(|policy| policy.get_ref().as_table());
        match header.and_then(|header| header.get_key_value(key)) {
            Some((key, value)) => self.fault(key.span().start..value.span().end, said),
            None => self.head(said),
        }
    }

    /// A fault of the file as a whole, at its head.
    pub(super) fn head(&self, said: Said) -> RulesError {
        self.fault(self.document.get("policy").map_or(0..0, toml::Spanned::span), said)
    }

    fn fault(&self, at: Range<usize>, said: Said) -> RulesError {
        let Spot { line, column } = self.spot(at.start);
        let text = self.text.get(at).unwrap_or_default().lines().next().unwrap_or_default();
        let Said { code, what, remedy } = said;
        RulesError { line, column, width: text.chars().count().max(1), code, what, remedy }
    }

    fn spot(&self, at: usize) -> Spot {
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied().unwrap_or(0);
        let column = self.text.get(start..at).unwrap_or_default().chars().count() + 1;
        Spot { line: line.max(1), column }
    }
}

pub(super) struct Rows<'p, 't> {
    places: &'p Places<'t>,
    rows: BTreeMap<Spot, (Range<usize>, &'p DeTable<'t>)>,
}

impl Rows<'_, '_> {
    /// A fault at a part of the row that stands at `spot`: at the last key of `path` that the row has, with its value.
    pub(super) fn fault(&self, spot: Spot, path: &[&str], said: Said) -> RulesError {
        let Some((row, table)) = self.rows.get(&spot) else { return self.places.fault(0..0, said) };
        let (mut at, mut table) = (row.clone(), *table);
        for key in path {
            let Some((key, value)) = table.get_key_value(*key) else { break };
            at = key.span().start..value.span().end.max(key.span().end);
            match value.get_ref().as_table() {
                Some(inner) => table = inner,
                None => break,
            }
        }
        self.places.fault(at, said)
    }
}
