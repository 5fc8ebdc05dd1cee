//! One cell: a value, or a list joined by semicolons.
//!
//! Must stay true: what is written reads back exactly; a spreadsheet neither computes a cell nor takes a text for a number
//! or a date.

/// Between the items of a list; read with or without the blank.
const JOIN: &str = "; ";
pub(super) const EMPTY_LIST: &str = "[]";
pub(super) const EMPTY_TABLE: &str = "{}";
/// Put before what a spreadsheet would compute or convert.
const GUARD: char = '\'';

/// One item of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Item {
    /// Of a text pattern for one language.
    pub(super) language: Option<String>,
    pub(super) text: String,
}

impl Item {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { language: None, text: text.into() }
    }

    fn written(&self) -> String {
        let text = &self.text;
        let is_plain = !text.is_empty()
            && text.trim() == text
            && !text.contains([';', '\n', '\r'])
            && !text.starts_with(['"', '{'])
            && text != EMPTY_LIST;
        let text = if is_plain { text.clone() } else { format!("\"{}\"", text.replace('"', "\"\"")) };
        match &self.language {
            Some(language) => format!("{{{language}}}{text}"),
            None => text,
        }
    }
}

/// The cell of texts.
pub(super) fn of_items(items: &[Item]) -> String {
    if items.is_empty() {
        return EMPTY_LIST.to_owned();
    }
    let cell = items.iter().map(Item::written).collect::<Vec<_>>().join(JOIN);
    let would_convert = cell.starts_with(|c: char| c.is_ascii_digit())
        && cell.chars().all(|c| c.is_ascii_digit() || " .,:/+-eE".contains(c));
    if would_convert { format!("{GUARD}{cell}") } else { guarded(cell) }
}

fn guarded(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', GUARD]) { format!("{GUARD}{cell}") } else { cell }
}

/// The cell without its guard.
pub(super) fn unguarded(cell: &str) -> &str {
    cell.strip_prefix(GUARD).unwrap_or(cell)
}

/// The items of a cell without its guard. Empty ones are left out.
pub(super) fn items_of(cell: &str) -> Result<Vec<Item>, &'static str> {
    let mut items = Vec::new();
    let mut rest = cell.trim_start();
    while !rest.is_empty() {
        let (item, after) = item_of(rest)?;
        items.extend(item);
        rest = after.trim_start();
    }
    Ok(items)
}

/// The first item, if it is not empty, and what comes behind its separator.
fn item_of(text: &str) -> Result<(Option<Item>, &str), &'static str> {
    let (language, text) = match text.strip_prefix('{') {
        Some(inner) => {
            let (language, after) = inner.split_once('}').ok_or("a '{' has no '}'")?;
            (Some(language.to_owned()), after)
        }
        None => (None, text),
    };
    if let Some(inner) = text.strip_prefix('"') {
        let (value, after) = quoted(inner)?;
        let after = after.trim_start();
        let after = match after.strip_prefix(';') {
            Some(after) => after,
            None if after.is_empty() => after,
            None => return Err("something stands behind a closing quote"),
        };
        return Ok((Some(Item { language, text: value }), after));
    }
    let (value, after) = text.split_once(';').unwrap_or((text, ""));
    let item = Item { language, text: value.trim().to_owned() };
    Ok(((!item.text.is_empty()).then_some(item), after))
}

/// Up to the closing quote; a doubled one stands for itself.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => return Ok((value, after)),
        }
    }
}
