//! HTML: its words, headings, lists and tables.
//!
//! Must stay true: an element or attribute is either carried over, known to leave the words as they are, or stands in the way.

use super::flow::{Flow, one_line};
use super::look::{Colour, Said, Sheet, colour, declarations};
use super::tree::{Element, FOREIGN_PREFIX, Node, of_html};
use super::{Obstacle, encoding, grid};
use crate::paper::Carried;
use crate::paper::carried::{Block, Cell, CellRole, Mark, Order, Row, Table};

/// Reads a page or a piece of one.
///
/// # Errors
/// What stands in the way.
pub fn read(bytes: &[u8]) -> Result<Carried, Obstacle> {
    let text = encoding::of_html(bytes)?;
    assert_whole(&text)?;
    let document = of_html(&text)?;
    let mut sheet = Sheet::default();
    read_sheets(&document, &mut sheet)?;
    let language = document.child("html").and_then(|html| html.attribute("lang")).and_then(language_tag);
    let reader = Reader { sheet };
    let mut flow = Flow::default();
    reader.children(&document, &mut vec![&document], &Around::page(), &mut flow)?;
    Ok(Carried { title: None, language, blocks: flow.finish() })
}

/// A page that begins must end.
fn assert_whole(text: &str) -> Result<(), Obstacle> {
    let lower = text.to_ascii_lowercase();
    let is_open = |name: &str| lower.contains(&format!("<{name}")) && !lower.contains(&format!("</{name}"));
    if ["html", "body", "table"].into_iter().any(is_open) { Err(Obstacle::Malformed) } else { Ok(()) }
}

fn read_sheets(element: &Element, sheet: &mut Sheet) -> Result<(), Obstacle> {
    for inner in element.elements() {
        match inner.name.as_str() {
            "style" => sheet.read(&inner.text())?,
            _ => read_sheets(inner, sheet)?,
        }
    }
    Ok(())
}

pub(super) fn language_tag(text: &str) -> Option<String> {
    let is_tag = (2..=35).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_tag.then(|| text.to_owned())
}

/// What holds for the words inside an element.
#[derive(Clone)]
struct Around {
    said: Said,
    ink: Colour,
    ground: Colour,
    in_table: Inside,
    /// Colours of headings are looks.
    in_heading: Inside,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Yes,
    No,
}

impl Around {
    fn page() -> Self {
        Self {
            said: Said::default(),
            ink: Colour::BLACK,
            ground: Colour::WHITE,
            in_table: Inside::No,
            in_heading: Inside::No,
        }
    }

    fn with(&self, mut said: Said) -> Self {
        let ink = said.color.unwrap_or(self.ink);
        let ground = said.background.unwrap_or(self.ground);
        // Red figures and marked cells: the colour is lost, that they stand out is not.
        let is_loud = said.color.is_some_and(Colour::is_loud) || said.background.is_some_and(Colour::is_loud);
        if is_loud && self.in_heading == Inside::No {
            said.marks.insert(Mark::Strong);
        }
        said.marks.extend(self.said.marks.iter().copied());
        said.keeps_space |= self.said.keeps_space;
        Self { said, ink, ground, ..*self }
    }

    fn marked(&self, mark: Mark) -> Self {
        let mut around = self.clone();
        around.said.marks.insert(mark);
        around
    }
}

struct Reader {
    sheet: Sheet,
}

type Ancestors<'a> = Vec<&'a Element>;

impl Reader {
    fn children<'a>(
        &self,
        element: &'a Element,
        ancestors: &mut Ancestors<'a>,
        around: &Around,
        flow: &mut Flow,
    ) -> Result<(), Obstacle> {
        ancestors.push(element);
        for child in &element.children {
            match child {
                Node::Text(text) => say(text, around, flow)?,
                Node::Element(inner) => self.element(inner, ancestors, around, flow)?,
            }
        }
        ancestors.pop();
        Ok(())
    }

    fn element<'a>(
        &self,
        element: &'a Element,
        ancestors: &mut Ancestors<'a>,
        around: &Around,
        flow: &mut Flow,
    ) -> Result<(), Obstacle> {
        let is_head = matches!(element.name.as_str(), "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "th" | "a");
        let outer = Around { in_heading: if is_head { Inside::Yes } else { around.in_heading }, ..around.clone() };
        let around = &outer.with(self.said_of(element, ancestors)?);
        match element.name.as_str() {
            "html" | "body" | "div" | "section" | "article" | "main" | "header" | "footer" | "nav" | "aside"
            | "center" | "address" | "blockquote" | "p" | "figure" | "figcaption" | "dd" | "hgroup" => {
                flow.end();
                self.children(element, ancestors, around, flow)?;
                flow.end();
            }
            "dt" => {
                flow.end();
                self.children(element, ancestors, &around.marked(Mark::Strong), flow)?;
                flow.end();
            }
            "dl" | "hr" => {
                flow.end();
                self.children(element, ancestors, around, flow)?;
            }
            "span" | "font" | "big" | "small" | "code" | "kbd" | "samp" | "tt" | "var" | "abbr" | "acronym"
            | "nobr" | "time" | "data" | "label" | "o:p" => self.children(element, ancestors, around, flow)?,
            "a" => self.anchor(element, ancestors, around, flow)?,
            "b" | "strong" | "mark" => self.children(element, ancestors, &around.marked(Mark::Strong), flow)?,
            "i" | "em" | "cite" | "dfn" => self.children(element, ancestors, &around.marked(Mark::Slanted), flow)?,
            "u" => self.children(element, ancestors, &around.marked(Mark::Underlined), flow)?,
            "sub" => self.children(element, ancestors, &around.marked(Mark::Lowered), flow)?,
            "sup" => self.children(element, ancestors, &around.marked(Mark::Raised), flow)?,
            "br" => flow.break_line(),
            "head" => element.elements().try_for_each(in_head)?,
            "wbr" | "title" | "style" => {}
            "meta" | "base" => in_head(element)?,
            "pre" | "listing" => self.preformatted(element, ancestors, around, flow)?,
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.heading(element, ancestors, around, flow)?,
            "ul" | "ol" | "menu" | "dir" => self.list(element, ancestors, around, flow)?,
            "table" => self.table(element, ancestors, around, flow)?,
            name => return Err(obstacle_of(name)),
        }
        Ok(())
    }

    /// What its attributes and the sheets say.
    fn said_of(&self, element: &Element, ancestors: &[&Element]) -> Result<Said, Obstacle> {
        let mut said = self.sheet.of(element, ancestors);
        for (name, value) in &element.attributes {
            match name.as_str() {
                "style" => said.add(declarations(value)?),
                "hidden" => return Err(Obstacle::Hidden),
                "background" => return Err(Obstacle::Picture),
                "color" | "text" => said.add(Said { color: Some(colour(value)?), ..Said::default() }),
                "bgcolor" => said.add(Said { background: Some(colour(value)?), ..Said::default() }),
                "dir" if !value.eq_ignore_ascii_case("ltr") => return Err(Obstacle::Direction),
                "href" | "src" if value.trim_start().to_ascii_lowercase().starts_with("javascript:") => {
                    return Err(Obstacle::Script);
                }
                name if name.starts_with("on") => return Err(Obstacle::Script),
                _ => {}
            }
        }
        Ok(said)
    }

    /// A link's words; where it leads is nothing that a report says.
    fn anchor<'a>(
        &self,
        element: &'a Element,
        ancestors: &mut Ancestors<'a>,
        around: &Around,
        flow: &mut Flow,
    ) -> Result<(), Obstacle> {
        let leads = element.attribute("href").is_some_and(|href| !href.starts_with('#'));
        if leads && element.text().trim().is_empty() {
            return Err(Obstacle::Elsewhere);
        }
        self.children(element, ancestors, around, flow)
    }

    fn preformatted<'a>(
        &self,
        element: &'a Element,
        ancestors: &mut Ancestors<'a>,
        around: &Around,
        flow: &mut Flow,
    ) -> Result<(), Obstacle> {
        flow.end();
        let mut around = around.clone();
        around.said.keeps_space = true;
        let mut inner = Flow::default();
        self.children(element, ancestors, &around, &mut inner)?;
        if !inner.blocks.is_empty() {
            return Err(Obstacle::Look);
        }
        inner.end_spaced();
        flow.blocks.append(&mut inner.blocks);
        Ok(())
    }

    fn heading<'a>(
        &self,
        element: &'a Element,
        ancestors: &mut Ancestors<'a>,
        around: &Around,
        flow: &mut Flow,
    ) -> Result<(), Obstacle> {
        flow.end();
        let level = element.name.chars().last().and_then(|digit| digit.to_digit(10)).unwrap_or(1);
        let mut inner = Flow::default();
        self.children(element, ancestors, around, &mut inner)?;
        let line = one_line(inner.finish()).ok_or(Obstacle::Look)?;
        if !line.is_empty() {
            flow.blocks.push(Block::Heading { level: u8::try_from(level).unwrap_or(1), line });
        }
        Ok(())
    }

    fn list<'a>(
        &self,
        element: &'a Element,
        ancestors: &mut Ancestors<'a>,
        around: &Around,
        flow: &mut Flow,
    ) -> Result<(), Obstacle> {
        flow.end();
        let kind = element.attribute("type").unwrap_or("1");
        let order = if element.name == "ol" {
            if kind != "1" || element.attribute("reversed").is_some() {
                return Err(Obstacle::List);
            }
            let from = element.attribute("start").map_or(Ok(1), str::parse).map_err(|_| Obstacle::List)?;
            Order::Numbers { from }
        } else {
            Order::Bullets
        };
        let mut items = Vec::new();
        ancestors.push(element);
        for child in &element.children {
            match child {
                Node::Text(text) if text.trim().is_empty() => {}
                Node::Element(item) if item.name == "li" => {
                    if item.attribute("value").is_some() {
                        return Err(Obstacle::List);
                    }
                    let around = around.with(self.said_of(item, ancestors)?);
                    let mut inner = Flow::default();
                    self.children(item, ancestors, &around, &mut inner)?;
                    items.push(inner.finish());
                }
                Node::Text(_) | Node::Element(_) => return Err(Obstacle::List),
            }
        }
        ancestors.pop();
        if !items.is_empty() {
            flow.blocks.push(Block::List { order, items });
        }
        Ok(())
    }

    fn table<'a>(
        &self,
        element: &'a Element,
        ancestors: &mut Ancestors<'a>,
        around: &Around,
        flow: &mut Flow,
    ) -> Result<(), Obstacle> {
        flow.end();
        if around.in_table == Inside::Yes {
            return Err(Obstacle::Table);
        }
        let around = Around { in_table: Inside::Yes, ..around.clone() };
        let mut table = Table { caption: None, rows: Vec::new() };
        let mut has_foot = false;
        ancestors.push(element);
        for part in element.elements() {
            let inner = around.with(self.said_of(part, ancestors)?);
            match part.name.as_str() {
                "caption" => {
                    let mut words = Flow::default();
                    self.children(part, ancestors, &inner, &mut words)?;
                    table.caption = Some(one_line(words.finish()).ok_or(Obstacle::Table)?);
                }
                "colgroup" | "col" => {}
                // What stands last is drawn last.
                _ if has_foot => return Err(Obstacle::Table),
                "thead" | "tbody" | "tfoot" => {
                    has_foot = part.name == "tfoot";
                    ancestors.push(part);
                    for row in part.elements() {
                        table.rows.push(self.row(row, ancestors, &inner)?);
                    }
                    ancestors.pop();
                }
                "tr" => table.rows.push(self.row(part, ancestors, &around)?),
                name => return Err(obstacle_of(name)),
            }
        }
        ancestors.pop();
        table.rows.retain(|row| !row.cells.is_empty());
        if !table.rows.is_empty() {
            flow.blocks.push(Block::Table(grid::checked(table)?));
        }
        Ok(())
    }

    fn row<'a>(&self, row: &'a Element, ancestors: &mut Ancestors<'a>, around: &Around) -> Result<Row, Obstacle> {
        if row.name != "tr" {
            return Err(obstacle_of(&row.name));
        }
        let in_head = ancestors.last().is_some_and(|part| part.name == "thead");
        let around = around.with(self.said_of(row, ancestors)?);
        let mut cells = Vec::new();
        ancestors.push(row);
        for cell in row.elements() {
            let is_first = cells.is_empty();
            let only_heads = row.elements().all(|cell| cell.name == "th");
            let role = match (cell.name.as_str(), cell.attribute("scope")) {
                ("td", _) => CellRole::Plain,
                ("th", Some("row" | "rowgroup")) => CellRole::RowHead,
                ("th", None) if is_first && !in_head && !only_heads => CellRole::RowHead,
                ("th", Some(_) | None) => CellRole::ColumnHead,
                (name, _) => return Err(obstacle_of(name)),
            };
            let heads = if role == CellRole::Plain { around.in_heading } else { Inside::Yes };
            let outer = Around { in_heading: heads, ..around.clone() };
            let inner = outer.with(self.said_of(cell, ancestors)?);
            let mut flow = Flow::default();
            self.children(cell, ancestors, &inner, &mut flow)?;
            let span = |name| {
                cell.attribute(name).map_or(Ok(1), |text| text.trim().parse::<u16>()).map_err(|_| Obstacle::Table)
            };
            cells.push(Cell { role, columns: span("colspan")?, rows: span("rowspan")?, blocks: flow.finish() });
        }
        ancestors.pop();
        Ok(Row { cells })
    }
}

fn say(text: &str, around: &Around, flow: &mut Flow) -> Result<(), Obstacle> {
    if !text.trim().is_empty() && !around.ink.shows_on(around.ground) {
        return Err(Obstacle::Colour);
    }
    if around.said.keeps_space {
        flow.say_spaced(text, &around.said.marks);
    } else {
        flow.say(text, &around.said.marks);
    }
    Ok(())
}

/// What a page says of itself.
fn in_head(element: &Element) -> Result<(), Obstacle> {
    let is = |attribute, word: &str| {
        element.attribute(attribute).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    };
    match element.name.as_str() {
        "meta" if is("http-equiv", "refresh") => Err(Obstacle::Elsewhere),
        "title" | "style" | "base" | "meta" => Ok(()),
        "link" if !is("rel", "style") => Ok(()),
        name => Err(obstacle_of(name)),
    }
}

fn obstacle_of(name: &str) -> Obstacle {
    match name {
        "script" | "noscript" => Obstacle::Script,
        "img" | "picture" | "map" | "area" | "image" => Obstacle::Picture,
        "object" | "embed" | "iframe" | "frame" | "frameset" | "applet" | "video" | "audio" | "canvas" | "param" => {
            Obstacle::Object
        }
        "form" | "input" | "select" | "option" | "textarea" | "button" | "fieldset" | "datalist" | "meter"
        | "progress" => Obstacle::Form,
        "del" | "s" | "strike" => Obstacle::CrossedOut,
        "ins" => Obstacle::Changes,
        "details" | "summary" | "dialog" | "template" => Obstacle::Hidden,
        "bdo" | "bdi" => Obstacle::Direction,
        "link" => Obstacle::Elsewhere,
        name if name.starts_with(FOREIGN_PREFIX) => Obstacle::Picture,
        _ => Obstacle::Unknown,
    }
}
