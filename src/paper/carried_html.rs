//! A carried document as HTML, in the elements that `src/web/page/paper.js` reads.

use askama::Template;

use super::carried::{Block, Carried, Cell, CellRole, Line, Mark, Order, Run, Table};
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
    push_blocks(&carried.blocks, &mut body);
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

fn push_blocks(blocks: &[Block], out: &mut String) {
    for block in blocks {
        match block {
            Block::Heading { level, line } => {
                // The page has the first level for itself, the document's title the next.
                let level = (*level).clamp(1, 5) + 1;
                out.push_str(&format!("<h{level} dir=\"auto\">"));
                push_line(line, out);
                out.push_str(&format!("</h{level}>\n"));
            }
            Block::Paragraph { lines } => {
                out.push_str("<p class=\"said\" dir=\"auto\">");
                for line in lines {
                    let several = lines.len() > 1;
                    out.push_str(if several { "<span class=\"line\">" } else { "" });
                    push_line(line, out);
                    out.push_str(if several { "</span>" } else { "" });
                }
                out.push_str("</p>\n");
            }
            Block::Preformatted { lines } => {
                out.push_str("<div class=\"columns\">");
                for line in lines {
                    out.push_str("<span class=\"line\">");
                    push_line(line, out);
                    out.push_str("</span>");
                }
                out.push_str("</div>\n");
            }
            Block::List { order, items } => push_list(*order, items, out),
            Block::Table(table) => push_table(table, out),
        }
    }
}

fn push_list(order: Order, items: &[Vec<Block>], out: &mut String) {
    let (open, close) = match order {
        Order::Bullets => ("<ul>".to_owned(), "</ul>"),
        Order::Numbers { from } => (format!("<ol start=\"{from}\">"), "</ol>"),
    };
    out.push_str(&open);
    for item in items {
        out.push_str("<li>");
        push_blocks(item, out);
        out.push_str("</li>");
    }
    out.push_str(close);
    out.push('\n');
}

fn push_table(table: &Table, out: &mut String) {
    out.push_str("<table class=\"carried\">");
    if let Some(caption) = &table.caption {
        out.push_str("<caption dir=\"auto\">");
        push_line(caption, out);
        out.push_str("</caption>");
    }
    out.push_str("<tbody>");
    for row in &table.rows {
        out.push_str("<tr>");
        row.cells.iter().for_each(|cell| push_cell(cell, out));
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

fn push_cell(cell: &Cell, out: &mut String) {
    let (open, name) = match cell.role {
        CellRole::ColumnHead => ("<th scope=\"col\"", "th"),
        CellRole::RowHead => ("<th scope=\"row\"", "th"),
        CellRole::Plain => ("<td", "td"),
    };
    out.push_str(open);
    if cell.columns > 1 {
        out.push_str(&format!(" colspan=\"{}\"", cell.columns));
    }
    if cell.rows > 1 {
        out.push_str(&format!(" rowspan=\"{}\"", cell.rows));
    }
    out.push('>');
    push_blocks(&cell.blocks, out);
    out.push_str(&format!("</{name}>"));
}

fn push_line(line: &Line, out: &mut String) {
    for Run { text, marks } in line {
        let names = marks.iter().map(|mark| match mark {
            Mark::Strong => "strong",
            Mark::Slanted => "em",
            Mark::Underlined => "u",
            Mark::Raised => "sup",
            Mark::Lowered => "sub",
        });
        let names: Vec<_> = names.collect();
        names.iter().for_each(|name| out.push_str(&format!("<{name}>")));
        // Elements that hold words keep their spaces on the page.
        out.push_str("<span>");
        push_escaped(text, out);
        out.push_str("</span>");
        names.iter().rev().for_each(|name| out.push_str(&format!("</{name}>")));
    }
}

fn push_escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
}
