//! Markup as a plain tree: HTML as browsers read it, and XML.
//!
//! Must stay true: no text is where its author did not put it; depth and number of nodes are bounded.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use html5ever::interface::{ElemName, ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink as _};
use html5ever::{Attribute, LocalName, Namespace, ParseOpts, QualName, parse_document};

use super::Obstacle;

const DEPTH_MAX: usize = 60;
const NODES_MAX: usize = 200_000;
const PIECE_BYTES: usize = 8 * 1024;

pub(super) enum Node {
    Text(String),
    Element(Element),
}

pub(super) struct Element {
    /// Small letters in HTML, as written in XML.
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.name == name)
    }

    /// All words inside.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.push_text(&mut text);
        text
    }

    fn push_text(&self, text: &mut String) {
        for child in &self.children {
            match child {
                Node::Text(words) => text.push_str(words),
                Node::Element(element) => element.push_text(text),
            }
        }
    }
}

/// The whole document, below an element without a name.
pub(super) fn of_html(text: &str) -> Result<Element, Obstacle> {
    let options = ParseOpts::default();
    let mut parser = parse_document(Arena::default(), options);
    let mut rest = text;
    // In pieces: who nests without end is stopped soon.
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(PIECE_BYTES.min(rest.len())));
        parser.process(StrTendril::from(piece));
        if let Some(obstacle) = parser.tokenizer.sink.sink.obstacle.get() {
            return Err(obstacle);
        }
        rest = after;
    }
    let arena = parser.finish();
    arena.obstacle.get().map_or_else(|| arena.element(ROOT, 0), Err)
}

/// The outermost element. Without a document type: no entity can be declared.
pub(super) fn of_xml(text: &str) -> Result<Element, Obstacle> {
    let options = roxmltree::ParsingOptions { nodes_limit: 200_000, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(text, options).map_err(|_| Obstacle::Malformed)?;
    of_xml_node(document.root_element(), 0)
}

fn of_xml_node(node: roxmltree::Node<'_, '_>, depth: usize) -> Result<Element, Obstacle> {
    if depth > DEPTH_MAX {
        return Err(Obstacle::TooDeep);
    }
    let attributes = node.attributes().map(|one| {
        let prefix = if one.namespace() == Some(SCHEMA_INSTANCE) { "xsi:" } else { "" };
        (format!("{prefix}{}", one.name()), one.value().to_owned())
    });
    let attributes = attributes.collect();
    let mut children = Vec::new();
    for child in node.children() {
        if child.is_element() {
            children.push(Node::Element(of_xml_node(child, depth + 1)?));
        } else if child.is_text() {
            children.push(Node::Text(child.text().unwrap_or_default().to_owned()));
        } else if child.is_pi() {
            return Err(Obstacle::Unknown);
        }
    }
    let name = node.tag_name();
    // What another standard added beside the text is no part of it that can be judged.
    let is_own = name.namespace().is_none_or(|space| space == HL7);
    let name = if is_own { name.name().to_owned() } else { format!("{FOREIGN_PREFIX}{}", name.name()) };
    Ok(Element { name, attributes, children })
}

const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
const HL7: &str = "urn:hl7-org:v3";
/// Before the name of an element of another standard.
pub(super) const FOREIGN_PREFIX: &str = "?";

const ROOT: usize = 0;

/// What html5ever builds: nodes by their numbers.
struct Arena {
    nodes: RefCell<Vec<Made>>,
    obstacle: Cell<Option<Obstacle>>,
}

struct Made {
    name: QualName,
    attributes: Vec<(String, String)>,
    children: Vec<Piece>,
    parent: Option<usize>,
    depth: usize,
}

enum Piece {
    Text(String),
    Node(usize),
}

impl Default for Arena {
    fn default() -> Self {
        let root = Made {
            name: QualName::new(None, "".into(), "".into()),
            attributes: Vec::new(),
            children: Vec::new(),
            parent: None,
            depth: 0,
        };
        Self { nodes: RefCell::new(vec![root]), obstacle: Cell::new(None) }
    }
}

impl Arena {
    fn element(&self, number: usize, depth: usize) -> Result<Element, Obstacle> {
        if depth > DEPTH_MAX {
            return Err(Obstacle::TooDeep);
        }
        let nodes = self.nodes.borrow();
        let made = nodes.get(number).ok_or(Obstacle::Malformed)?;
        let mut children = Vec::with_capacity(made.children.len());
        for piece in &made.children {
            children.push(match piece {
                Piece::Text(text) => Node::Text(text.clone()),
                Piece::Node(child) => Node::Element(self.element(*child, depth + 1)?),
            });
        }
        let name = made.name.local.to_string();
        // SVG and MathML draw.
        let is_html = number == ROOT || made.name.ns == *"http://www.w3.org/1999/xhtml" || made.name.ns.is_empty();
        let name = if is_html { name } else { format!("{FOREIGN_PREFIX}{name}") };
        Ok(Element { name, attributes: made.attributes.clone(), children })
    }

    fn stop(&self, obstacle: Obstacle) {
        if self.obstacle.get().is_none() {
            self.obstacle.set(Some(obstacle));
        }
    }

    fn new_node(&self, name: QualName, attributes: Vec<Attribute>) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.len() >= NODES_MAX {
            self.stop(Obstacle::TooLong);
            return ROOT;
        }
        let attributes = attributes.into_iter().map(|one| (one.name.local.to_string(), one.value.to_string()));
        nodes.push(Made { name, attributes: attributes.collect(), children: Vec::new(), parent: None, depth: 0 });
        nodes.len() - 1
    }

    fn push(&self, parent: usize, child: NodeOrText<usize>) {
        let mut nodes = self.nodes.borrow_mut();
        match child {
            NodeOrText::AppendNode(ROOT) => {}
            NodeOrText::AppendNode(child) => {
                let depth = nodes.get(parent).map_or(0, |parent| parent.depth) + 1;
                if depth > DEPTH_MAX {
                    self.stop(Obstacle::TooDeep);
                }
                if let Some(child) = nodes.get_mut(child) {
                    (child.parent, child.depth) = (Some(parent), depth);
                }
                if let Some(parent) = nodes.get_mut(parent) {
                    parent.children.push(Piece::Node(child));
                }
            }
            NodeOrText::AppendText(text) => {
                let Some(parent) = nodes.get_mut(parent) else { return };
                if let Some(Piece::Text(before)) = parent.children.last_mut() {
                    before.push_str(&text);
                } else {
                    parent.children.push(Piece::Text(text.to_string()));
                }
            }
        }
    }
}

/// The name of an element, apart from where it stands.
#[derive(Debug)]
struct Named(QualName);

impl ElemName for Named {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl TreeSink for Arena {
    type Handle = usize;
    type Output = Self;
    type ElemName<'a> = Named;

    fn finish(self) -> Self {
        self
    }

    fn parse_error(&self, message: Cow<'static, str>) {
        if message.contains("EOF") || message.contains("table text") {
            self.stop(Obstacle::Malformed);
        }
    }

    fn get_document(&self) -> usize {
        ROOT
    }

    fn elem_name(&self, target: &usize) -> Named {
        let nodes = self.nodes.borrow();
        let none = || QualName::new(None, "".into(), "".into());
        Named(nodes.get(*target).map_or_else(none, |made| made.name.clone()))
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _: ElementFlags) -> usize {
        self.new_node(name, attributes)
    }

    fn create_comment(&self, _: StrTendril) -> usize {
        ROOT
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> usize {
        ROOT
    }

    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        self.push(*parent, child);
    }

    fn append_based_on_parent_node(&self, _: &usize, before: &usize, child: NodeOrText<usize>) {
        // Text between the parts of a table: browsers move it before the table.
        let is_space = matches!(&child, NodeOrText::AppendText(text) if text.trim().is_empty());
        if is_space { self.push(*before, child) } else { self.stop(Obstacle::Malformed) }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &usize) -> usize {
        self.stop(Obstacle::Unknown);
        *target
    }

    fn same_node(&self, one: &usize, other: &usize) -> bool {
        one == other
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, _: &usize, _: NodeOrText<usize>) {
        self.stop(Obstacle::Malformed);
    }

    fn add_attrs_if_missing(&self, target: &usize, attributes: Vec<Attribute>) {
        let mut nodes = self.nodes.borrow_mut();
        let Some(made) = nodes.get_mut(*target) else { return };
        for one in attributes {
            let name = one.name.local.to_string();
            if !made.attributes.iter().any(|(known, _)| *known == name) {
                made.attributes.push((name, one.value.to_string()));
            }
        }
    }

    fn remove_from_parent(&self, target: &usize) {
        let mut nodes = self.nodes.borrow_mut();
        let Some(parent) = nodes.get_mut(*target).and_then(|made| made.parent.take()) else { return };
        if let Some(parent) = nodes.get_mut(parent) {
            parent.children.retain(|piece| !matches!(piece, Piece::Node(child) if child == target));
        }
    }

    fn reparent_children(&self, node: &usize, new_parent: &usize) {
        let moved = self.nodes.borrow_mut().get_mut(*node).map(|made| std::mem::take(&mut made.children));
        for piece in moved.unwrap_or_default() {
            match piece {
                Piece::Text(text) => self.push(*new_parent, NodeOrText::AppendText(text.into())),
                Piece::Node(child) => self.push(*new_parent, NodeOrText::AppendNode(child)),
            }
        }
    }
}
