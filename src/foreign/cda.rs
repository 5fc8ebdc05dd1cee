//! HL7 CDA R2: the narrative of its sections, under what its header says of document and patient.
//!
//! Must stay true: the narrative is the document (<https://www.hl7.org/implement/standards/product_brief.cfm?product_id=7>): a
//! section that has entries and no words cannot be read by a person; what is marked as absent, withheld, revised or given by a
//! picture stands in the way.

use std::collections::BTreeSet;

use super::flow::{Flow, one_line};
use super::html::language_tag;
use super::tree::{Element, Node, of_xml};
use super::{Obstacle, encoding, grid};
use crate::paper::Carried;
use crate::paper::carried::{Block, Cell, CellRole, Line, Mark, Order, Row, Run, Table};

/// Sections inside sections.
const SECTIONS_DEPTH_MAX: usize = 8;

/// Reads a clinical document.
///
/// # Errors
/// What stands in the way.
pub fn read(bytes: &[u8]) -> Result<Carried, Obstacle> {
    let document = of_xml(&encoding::of_xml(bytes)?)?;
    if document.name != "ClinicalDocument" {
        return Err(Obstacle::Malformed);
    }
    let title = document.child("title").map(|title| squeezed(&title.text())).filter(|title| !title.is_empty());
    let language = document.child("languageCode").and_then(|code| code.attribute("code")).and_then(language_tag);
    let mut blocks = vec![header(&document)?];
    let body = document.child("component").ok_or(Obstacle::Malformed)?;
    assert_told(body)?;
    if body.child("nonXMLBody").is_some() {
        return Err(Obstacle::Object);
    }
    let body = body.child("structuredBody").ok_or(Obstacle::Malformed)?;
    sections(body, 1, &mut blocks)?;
    Ok(Carried { title, language, blocks })
}

/// Absent, unknown or masked: what a person should see is not here.
fn assert_told(element: &Element) -> Result<(), Obstacle> {
    if element.attribute("nullFlavor").is_some() { Err(Obstacle::Withheld) } else { Ok(()) }
}

/// Patient, time and author as a list of labels: whoever shows CDA shows these.
fn header(document: &Element) -> Result<Block, Obstacle> {
    let mut facts = Vec::new();
    let targets: Vec<&Element> = document.elements().filter(|element| element.name == "recordTarget").collect();
    let [target] = targets.as_slice() else {
        return Err(if targets.is_empty() { Obstacle::Malformed } else { Obstacle::SeveralPatients });
    };
    let role = target.child("patientRole").ok_or(Obstacle::Malformed)?;
    let patient = role.child("patient").ok_or(Obstacle::Withheld)?;
    for name in patient.elements().filter(|element| element.name == "name") {
        assert_told(name)?;
        facts.push(("Patient", spoken_name(name)));
    }
    if let Some(born) = patient.child("birthTime").and_then(|time| time.attribute("value")).and_then(day) {
        facts.push(("Date of birth", born));
    }
    for id in role.elements().filter(|element| element.name == "id") {
        facts.extend(id.attribute("extension").map(|extension| ("Patient ID", extension.to_owned())));
    }
    let time = document.child("effectiveTime").and_then(|time| time.attribute("value")).and_then(day);
    facts.extend(time.map(|time| ("Date of the document", time)));
    for author in document.elements().filter(|element| element.name == "author") {
        let person = author.child("assignedAuthor").and_then(|author| author.child("assignedPerson"));
        facts.extend(person.and_then(|person| person.child("name")).map(|name| ("Author", spoken_name(name))));
    }
    let cell = |role, words: String| Cell {
        role,
        columns: 1,
        rows: 1,
        blocks: vec![Block::Paragraph { lines: vec![vec![Run { text: words, marks: BTreeSet::new() }]] }],
    };
    let rows = facts.into_iter().filter(|(_, words)| !words.is_empty());
    let rows = rows.map(|(label, words)| Row {
        cells: vec![cell(CellRole::RowHead, label.to_owned()), cell(CellRole::Plain, words)],
    });
    Ok(Block::Table(Table { caption: None, rows: rows.collect() }))
}

fn spoken_name(name: &Element) -> String {
    let part = |wanted: &str| {
        let parts = name.elements().filter(|part| part.name == wanted).map(Element::text);
        parts.collect::<Vec<_>>().join(" ")
    };
    let parts = ["prefix", "given", "family", "suffix"].map(part).join(" ");
    let whole = squeezed(&parts);
    if whole.is_empty() { squeezed(&name.text()) } else { whole }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `19840506…` as `1984-05-06`; less where less is told.
fn day(value: &str) -> Option<String> {
    let digits = value.get(..value.len().min(8))?;
    if !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let parts = [digits.get(..4), digits.get(4..6), digits.get(6..8)];
    Some(parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-"))
}

fn sections(parent: &Element, depth: usize, blocks: &mut Vec<Block>) -> Result<(), Obstacle> {
    if depth > SECTIONS_DEPTH_MAX {
        return Err(Obstacle::TooDeep);
    }
    for component in parent.elements().filter(|element| element.name == "component") {
        assert_told(component)?;
        section(component.child("section").ok_or(Obstacle::Malformed)?, depth, blocks)?;
    }
    Ok(())
}

fn section(section: &Element, depth: usize, blocks: &mut Vec<Block>) -> Result<(), Obstacle> {
    assert_told(section)?;
    if let Some(title) = section.child("title") {
        assert_told(title)?;
        let line = plain(&squeezed(&title.text()));
        let level = u8::try_from(depth).unwrap_or(5).min(5);
        blocks.push(Block::Heading { level, line });
    }
    let about_another = section.elements().any(|element| element.name == "subject");
    if about_another {
        return Err(Obstacle::SeveralPatients);
    }
    let is_open = |code: &str| matches!(code, "N" | "L" | "M" | "U");
    let code = section.child("confidentialityCode").and_then(|code| code.attribute("code"));
    if code.is_some_and(|code| !is_open(code)) {
        return Err(Obstacle::Withheld);
    }
    let has_entries = section.elements().any(|element| element.name == "entry");
    let before = blocks.len();
    if let Some(text) = section.child("text") {
        assert_told(text)?;
        if text.attribute("mediaType").is_some_and(|media| media != "text/x-hl7-text+xml" && media != "text/plain") {
            return Err(Obstacle::Object);
        }
        let mut flow = Flow::default();
        narrative(text, &BTreeSet::new(), Nested::No, &mut flow)?;
        blocks.append(&mut flow.finish());
    }
    if has_entries && blocks.len() == before {
        return Err(Obstacle::NoNarrative);
    }
    sections(section, depth + 1, blocks)
}

fn plain(text: &str) -> Line {
    vec![Run { text: text.to_owned(), marks: BTreeSet::new() }]
}

/// Whether it stands inside a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nested {
    Yes,
    No,
}

type Marks = BTreeSet<Mark>;

fn narrative(element: &Element, marks: &Marks, nested: Nested, flow: &mut Flow) -> Result<(), Obstacle> {
    for child in &element.children {
        match child {
            Node::Text(text) => flow.say(text, marks),
            Node::Element(inner) => element_of(inner, marks, nested, flow)?,
        }
    }
    Ok(())
}

fn element_of(element: &Element, marks: &Marks, nested: Nested, flow: &mut Flow) -> Result<(), Obstacle> {
    assert_told(element)?;
    if element.attribute("revised").is_some() {
        return Err(Obstacle::Changes);
    }
    match element.name.as_str() {
        "content" => narrative(element, &styled(element, marks)?, nested, flow)?,
        "paragraph" => {
            flow.end();
            narrative(element, &styled(element, marks)?, nested, flow)?;
            flow.end();
        }
        // A label before a paragraph or a list item.
        "caption" => {
            let strong = marks.iter().copied().chain([Mark::Strong]).collect();
            narrative(element, &strong, nested, flow)?;
            flow.say(" ", marks);
        }
        "linkHtml" => {
            if element.text().trim().is_empty() {
                return Err(Obstacle::Elsewhere);
            }
            narrative(element, marks, nested, flow)?;
        }
        "sub" => narrative(element, &marks.iter().copied().chain([Mark::Lowered]).collect(), nested, flow)?,
        "sup" => narrative(element, &marks.iter().copied().chain([Mark::Raised]).collect(), nested, flow)?,
        "br" => flow.break_line(),
        "list" => list(element, marks, nested, flow)?,
        "table" => table(element, marks, nested, flow)?,
        "renderMultiMedia" => return Err(Obstacle::Picture),
        "footnote" | "footnoteRef" => return Err(Obstacle::Apart),
        _ => return Err(Obstacle::Unknown),
    }
    Ok(())
}

/// `styleCode`: what CDA names beside table rules and list signs may mean anything.
fn styled(element: &Element, marks: &Marks) -> Result<Marks, Obstacle> {
    let mut marks = marks.clone();
    for code in element.attribute("styleCode").unwrap_or_default().split_whitespace() {
        match code {
            "Bold" | "Emphasis" => marks.insert(Mark::Strong),
            "Italics" => marks.insert(Mark::Slanted),
            "Underline" => marks.insert(Mark::Underlined),
            "Botrule" | "Lrule" | "Rrule" | "Toprule" | "normRow" | "altRow" | "Disc" | "Circle" | "Square"
            | "Arabic" => false,
            _ => return Err(Obstacle::Look),
        };
    }
    Ok(marks)
}

fn list(element: &Element, marks: &Marks, nested: Nested, flow: &mut Flow) -> Result<(), Obstacle> {
    flow.end();
    let marks = styled(element, marks)?;
    let order = match element.attribute("listType") {
        Some("ordered") => Order::Numbers { from: 1 },
        Some("unordered") | None => Order::Bullets,
        Some(_) => return Err(Obstacle::List),
    };
    let mut items = Vec::new();
    for item in element.elements() {
        match item.name.as_str() {
            "caption" => {
                assert_told(item)?;
                narrative(item, &marks.iter().copied().chain([Mark::Strong]).collect(), nested, flow)?;
                flow.end();
            }
            "item" => {
                assert_told(item)?;
                let mut inner = Flow::default();
                narrative(item, &styled(item, &marks)?, nested, &mut inner)?;
                items.push(inner.finish());
            }
            _ => return Err(Obstacle::List),
        }
    }
    assert_no_words_between(element, Obstacle::List)?;
    if !items.is_empty() {
        flow.blocks.push(Block::List { order, items });
    }
    Ok(())
}

fn assert_no_words_between(element: &Element, obstacle: Obstacle) -> Result<(), Obstacle> {
    let has_words = element.children.iter().any(|child| match child {
        Node::Text(text) => !text.trim().is_empty(),
        Node::Element(_) => false,
    });
    if has_words { Err(obstacle) } else { Ok(()) }
}

fn table(element: &Element, marks: &Marks, nested: Nested, flow: &mut Flow) -> Result<(), Obstacle> {
    flow.end();
    if nested == Nested::Yes {
        return Err(Obstacle::Table);
    }
    assert_no_words_between(element, Obstacle::Table)?;
    let mut table = Table { caption: None, rows: Vec::new() };
    let mut has_foot = false;
    for part in element.elements() {
        assert_told(part)?;
        match part.name.as_str() {
            "caption" => {
                let mut words = Flow::default();
                narrative(part, marks, Nested::Yes, &mut words)?;
                table.caption = Some(one_line(words.finish()).ok_or(Obstacle::Table)?);
            }
            "col" | "colgroup" => {}
            _ if has_foot => return Err(Obstacle::Table),
            "thead" | "tbody" | "tfoot" => {
                has_foot = part.name == "tfoot";
                assert_no_words_between(part, Obstacle::Table)?;
                let in_head = if part.name == "thead" { CellRole::ColumnHead } else { CellRole::RowHead };
                for row in part.elements() {
                    table.rows.push(table_row(row, &styled(row, marks)?, in_head)?);
                }
            }
            "tr" => table.rows.push(table_row(part, &styled(part, marks)?, CellRole::RowHead)?),
            _ => return Err(Obstacle::Table),
        }
    }
    table.rows.retain(|row| !row.cells.is_empty());
    if !table.rows.is_empty() {
        flow.blocks.push(Block::Table(grid::checked(table)?));
    }
    Ok(())
}

fn table_row(row: &Element, marks: &Marks, head: CellRole) -> Result<Row, Obstacle> {
    if row.name != "tr" {
        return Err(Obstacle::Table);
    }
    assert_told(row)?;
    assert_no_words_between(row, Obstacle::Table)?;
    let mut cells = Vec::new();
    for cell in row.elements() {
        assert_told(cell)?;
        let role = match cell.name.as_str() {
            "th" => head,
            "td" => CellRole::Plain,
            _ => return Err(Obstacle::Table),
        };
        let mut inner = Flow::default();
        narrative(cell, &styled(cell, marks)?, Nested::Yes, &mut inner)?;
        let span = |name| cell.attribute(name).map_or(Ok(1), str::parse::<u16>).map_err(|_| Obstacle::Table);
        cells.push(Cell { role, columns: span("colspan")?, rows: span("rowspan")?, blocks: inner.finish() });
    }
    Ok(Row { cells })
}
