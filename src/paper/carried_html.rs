//! A carried document as HTML, in the elements that `src/web/page/paper.js` reads.

use std::fmt::{self, Write as _};

use askama::Template;

use super::carried::{Block, Carried, Cell, CellRole, Line, Mark, Order, Row, Run, Table};
use super::html::{STYLE, STYLE_DIGEST, within_bounds};
use super::{Letterhead, PaperError};

#[derive(Template)]
#[template(path = "paper/carried.en.html")]
struct English<'a> {
    style: &'static str,
    style_digest: &'static str,
    clinic: &'a str,
    phone: &'a str,
    title: Option<&'a str>,
    language: Option<&'a str>,
    /// Made here, each word of the document escaped.
    body: String,
    came_as: &'static str,
}

/// Writes `carried`, which `came_as` that kind of document.
///
/// # Errors
/// [`PaperError`].
pub fn write_carried(carried: &Carried, head: &Letterhead, came_as: &'static str) -> Result<Vec<u8>, PaperError> {
    let mut body = String::new();
    push_blocks(&carried.blocks, &mut body).map_err(askama::Error::from)?;
    let written = English {
        style: STYLE,
        style_digest: &STYLE_DIGEST,
        clinic: &head.clinic,
        phone: &head.phone,
        title: carried.title.as_deref(),
        language: carried.language.as_deref(),
        body,
        came_as,
    }
    .render()?;
    within_bounds(written)
}

fn push_blocks(blocks: &[Block], out: &mut String) -> fmt::Result {
    for block in blocks {
        match block {
            Block::Heading { level, line } => {
                // The page has the first level for itself, the document's title the next.
                let level = (*level).clamp(1, 5) + 1;
                write!(out, "<h{level} dir=\"auto\">")?;
                push_line(line, out)?;
                writeln!(out, "</h{level}>")?;
            }
            Block::Paragraph { lines } => {
                out.push_str("<p class=\"said\" dir=\"auto\">");
                match lines.as_slice() {
                    [line] => push_line(line, out)?,
                    lines => push_lines(lines, out)?,
                }
                out.push_str("</p>\n");
            }
            Block::Preformatted { lines } => {
                out.push_str("<div class=\"columns\">");
                push_lines(lines, out)?;
                out.push_str("</div>\n");
            }
            Block::List { order, items } => push_list(*order, items, out)?,
            Block::Table(table) => push_table(table, out)?,
        }
    }
    Ok(())
}

fn push_lines(lines: &[Line], out: &mut String) -> fmt::Result {
    for line in lines {
        out.push_str("<span class=\"line\">");
        push_line(line, out)?;
        out.push_str("</span>");
    }
    Ok(())
}

fn push_list(order: Order, items: &[Vec<Block>], out: &mut String) -> fmt::Result {
    let close = match order {
        Order::Bullets => {
            out.push_str("<ul>");
            "</ul>\n"
        }
        Order::Numbers { from } => {
            write!(out, "<ol start=\"{from}\">")?;
            "</ol>\n"
        }
    };
    for item in items {
        out.push_str("<li>");
        push_blocks(item, out)?;
        out.push_str("</li>");
    }
    out.push_str(close);
    Ok(())
}

fn push_table(table: &Table, out: &mut String) -> fmt::Result {
    out.push_str("<table class=\"carried\">");
    if let Some(caption) = &table.caption {
        out.push_str("<caption dir=\"auto\">");
        push_line(caption, out)?;
        out.push_str("</caption>");
    }
    let is_head = |row: &&Row| row.cells.iter().all(|cell| matches!(cell.role, CellRole::ColumnHead if cell.rows == 1));
    let heads = table.rows.iter().take_while(is_head).count();
    let (head, body) = table.rows.split_at(heads);
    for (name, rows) in [("thead", head), ("tbody", body)].into_iter().filter(|(_, rows)| !rows.is_empty()) {
        write!(out, "<{name}>")?;
        for row in rows {
            out.push_str("<tr>");
            for cell in &row.cells {
                push_cell(cell, out)?;
            }
            out.push_str("</tr>\n");
        }
        write!(out, "</{name}>")?;
    }
    out.push_str("</table>\n");
    Ok(())
}

fn push_cell(cell: &Cell, out: &mut String) -> fmt::Result {
    let (open, name) = match cell.role {
        CellRole::ColumnHead => ("<th scope=\"col\"", "th"),
        CellRole::RowHead => ("<th scope=\"row\"", "th"),
        CellRole::Plain => ("<td", "td"),
    };
    out.push_str(open);
    if cell.columns > 1 {
        write!(out, " colspan=\"{}\"", cell.columns)?;
    }
    if cell.rows > 1 {
        write!(out, " rowspan=\"{}\"", cell.rows)?;
    }
    out.push('>');
    push_blocks(&cell.blocks, out)?;
    write!(out, "</{name}>")
}

fn push_line(line: &Line, out: &mut String) -> fmt::Result {
    for Run { text, marks } in line {
        let name = |mark: &Mark| match mark {
            Mark::Strong => "strong",
            Mark::Slanted => "em",
            Mark::Underlined => "u",
            Mark::Raised => "sup",
            Mark::Lowered => "sub",
        };
        for mark in marks {
            write!(out, "<{}>", name(mark))?;
        }
        // Elements that hold words keep their spaces on the page.
        out.push_str("<span>");
        push_escaped(text, out)?;
        out.push_str("</span>");
        for mark in marks.iter().rev() {
            write!(out, "</{}>", name(mark))?;
        }
    }
    Ok(())
}

fn push_escaped(text: &str, out: &mut String) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' => write!(out, "&#{};", u32::from(c))?,
            c => out.push(c),
        }
    }
    Ok(())
}
