//! The text of one message, as it is written in a file.
//!
//! ```text
//! Subject: A document from {clinic}
//! Title: You have a new document
//! Button: Go to the document
//! Copy: If the button does nothing, copy this into your browser:
//!
//! {clinic} has a new document for you.
//!
//! {link}
//!
//! The link works until {until}.
//!
//! ---
//!
//! Need help? Call {phone} and give the reference {reference}.
//! ```
//!
//! Paragraphs are parted by empty lines. The link is a paragraph of its own: a button and an address in HTML, one unbroken line in
//! plain text. What stands behind `---` is smaller.

use std::fmt;

use super::{MessageKey, Naming};
use crate::base::is_invisible;
use crate::notify::template::NoticeKind;

/// Longest subject as it is written, in characters; a clinic's name takes the place of `{clinic}`.
pub const SUBJECT_CHARACTERS_MAX: usize = 70;
const RULE: &str = "---";

/// What a message may say that differs from one to the next. Nothing here is of a patient or a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::notify) enum Placeholder {
    Clinic,
    Phone,
    Link,
    Until,
    Reference,
    Sent,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::notify) enum Piece {
    Words(String),
    Put(Placeholder),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::notify) enum Block {
    Paragraph(Vec<Piece>),
    Link,
    /// What follows is smaller.
    Rule,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::notify) struct MessageText {
    pub(in crate::notify) subject: Vec<Piece>,
    pub(in crate::notify) title: Vec<Piece>,
    /// What stands on the button; `None` where there is no link.
    pub(in crate::notify) button: Option<String>,
    /// What stands before the address that may be copied.
    pub(in crate::notify) copy: Option<String>,
    pub(in crate::notify) blocks: Vec<Block>,
}

/// What is wrong in a text, where, and what would be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}; {}", self.line, self.what, self.remedy)
    }
}

impl Placeholder {
    const ALL: [Self; 6] = [Self::Clinic, Self::Phone, Self::Link, Self::Until, Self::Reference, Self::Sent];

    const fn name(self) -> &'static str {
        match self {
            Self::Clinic => "clinic",
            Self::Phone => "phone",
            Self::Link => "link",
            Self::Until => "until",
            Self::Reference => "reference",
            Self::Sent => "sent",
        }
    }
}

impl NoticeKind {
    /// What each text of this kind must say, and what it may say beside.
    const fn placeholders(self) -> (&'static [Placeholder], &'static [Placeholder]) {
        use Placeholder::{Clinic, Link, Phone, Reference, Sent, Until};
        match self {
            Self::New | Self::Updated => (&[Link, Until, Reference], &[Clinic, Phone]),
            Self::Reminder => (&[Link, Until, Reference], &[Clinic, Phone, Sent]),
            Self::Waiting => (&[Until, Reference, Sent], &[Clinic, Phone]),
        }
    }
}

impl MessageText {
    /// Reads and judges a text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(in crate::notify) fn parse(text: &str, key: MessageKey) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader { key, faults: Vec::new(), used: Vec::new(), lines: text.lines().count() };
        reader.characters(text);
        let mut lines = text.lines().map(str::trim_end).enumerate().map(|(index, line)| (index + 1, line)).peekable();
        let mut head = Head::default();
        while let Some((number, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
            reader.head_line(&mut head, number, line);
        }
        let blocks = reader.blocks(lines);
        reader.judge_whole(&head, &blocks);
        let Head { subject, title, button, copy } = head;
        match (reader.faults.is_empty(), subject, title) {
            (true, Some(subject), Some(title)) => Ok(Self { subject, title, button, copy, blocks }),
            _ => Err(reader.faults),
        }
    }
}

#[derive(Default)]
struct Head {
    subject: Option<Vec<Piece>>,
    title: Option<Vec<Piece>>,
    button: Option<String>,
    copy: Option<String>,
}

struct Reader {
    key: MessageKey,
    faults: Vec<Fault>,
    used: Vec<Placeholder>,
    lines: usize,
}

impl Reader {
    fn fault(&mut self, line: usize, what: impl Into<String>, remedy: impl Into<String>) {
        self.faults.push(Fault { line, what: what.into(), remedy: remedy.into() });
    }

    /// What is shown as nothing, and yet changes what is read.
    fn characters(&mut self, text: &str) {
        for (index, line) in text.lines().enumerate() {
            if line.chars().any(|c| (c.is_control() && c != '\t') || is_invisible(c)) {
                self.fault(index + 1, "it holds a control or invisible character", "write it without");
            }
        }
    }

    fn head_line(&mut self, head: &mut Head, number: usize, line: &str) {
        let (name, value) = line.split_once(':').map_or((line, ""), |(name, value)| (name, value.trim()));
        if value.is_empty() {
            let remedy = "begin with \"Subject: …\", \"Title: …\", and where there is a link \"Button: …\" and \"Copy: …\"; \
                          then an empty line";
            self.fault(number, "it says nothing that a message's head has", remedy);
            return;
        }
        let is_new = match name {
            "Subject" => {
                if value.chars().count() > SUBJECT_CHARACTERS_MAX {
                    let what = format!("the subject is longer than {SUBJECT_CHARACTERS_MAX} characters");
                    self.fault(number, what, "phones show about 40: shorten it");
                }
                let pieces = self.short(number, value);
                head.subject.replace(pieces).is_none()
            }
            "Title" => {
                let pieces = self.short(number, value);
                head.title.replace(pieces).is_none()
            }
            "Button" => head.button.replace(self.fixed(number, value)).is_none(),
            "Copy" => head.copy.replace(self.fixed(number, value)).is_none(),
            other => {
                let what = format!("\"{other}\" is nothing that a message's head has");
                self.fault(number, what, "write Subject, Title, Button or Copy");
                true
            }
        };
        if !is_new {
            self.fault(number, format!("\"{name}\" is there twice"), "write it once");
        }
    }

    /// A line that is read before the message is opened, or by a reader aloud: the clinic's name at most.
    fn short(&mut self, number: usize, value: &str) -> Vec<Piece> {
        let pieces = self.pieces(number, value);
        if pieces.iter().any(|piece| !matches!(piece, Piece::Words(_) | Piece::Put(Placeholder::Clinic))) {
            self.fault(number, "only {clinic} may stand in this line", "say the rest in the message");
        }
        pieces
    }

    fn fixed(&mut self, number: usize, value: &str) -> String {
        if value.contains(['{', '}']) {
            self.fault(number, "this line is the same in every message", "write it without placeholders");
        }
        value.to_owned()
    }

    fn blocks<'a>(&mut self, lines: impl Iterator<Item = (usize, &'a str)>) -> Vec<Block> {
        let (mut blocks, mut paragraph) = (Vec::new(), Paragraph::default());
        for (number, line) in lines {
            if line.is_empty() || line == RULE || line.trim() == "{link}" {
                blocks.extend(paragraph.end(self));
            }
            if line == RULE {
                blocks.push(Block::Rule);
            } else if line.trim() == "{link}" {
                self.used.push(Placeholder::Link);
                if blocks.contains(&Block::Link) {
                    self.fault(number, "the link is there twice", "write {link} once");
                }
                blocks.push(Block::Link);
            } else if !line.is_empty() {
                paragraph.add(number, line.trim());
            }
        }
        blocks.extend(paragraph.end(self));
        blocks
    }

    fn pieces(&mut self, number: usize, text: &str) -> Vec<Piece> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            push_words(&mut pieces, before);
            let Some((name, after)) = after.split_once('}') else {
                self.fault(number, "a '{' has no '}'", "write placeholders as {clinic}");
                return pieces;
            };
            if let Some(placeholder) = self.placeholder(number, name) {
                pieces.push(Piece::Put(placeholder));
            }
            rest = after;
        }
        push_words(&mut pieces, rest);
        if text.contains("://") || text.contains("www.") {
            self.fault(
                number,
                "it holds an address",
                "the only link in a message is {link}: patients learn to press no other",
            );
        }
        pieces
    }

    fn placeholder(&mut self, number: usize, name: &str) -> Option<Placeholder> {
        let (must, may) = self.key.kind.placeholders();
        let allowed: Vec<Placeholder> = must.iter().chain(may).copied().filter(|one| self.may_name(*one)).collect();
        let names: Vec<String> = allowed.iter().map(|one| format!("{{{}}}", one.name())).collect();
        let found = Placeholder::ALL.into_iter().find(|one| one.name() == name);
        match found {
            Some(Placeholder::Link) => {
                self.fault(number, "the link stands within a line", "write {link} on a line of its own");
                None
            }
            Some(one) if allowed.contains(&one) => {
                self.used.push(one);
                Some(one)
            }
            Some(Placeholder::Clinic) => {
                let remedy = "a bare message does not say who sent it: write it without the clinic";
                self.fault(number, "{clinic} names the clinic", remedy);
                None
            }
            Some(_) => {
                let what = format!("{{{name}}} says nothing in a message of this kind");
                self.fault(number, what, format!("write {}", names.join(", ")));
                None
            }
            None => {
                let what = format!("there is no {{{name}}}");
                let remedy = format!(
                    "nothing of a patient or a report can be put into a message; there are {}",
                    names.join(", ")
                );
                self.fault(number, what, remedy);
                None
            }
        }
    }

    const fn may_name(&self, placeholder: Placeholder) -> bool {
        match (self.key.naming, placeholder) {
            (Naming::Bare, Placeholder::Clinic) => false,
            (
                Naming::Named | Naming::Bare,
                Placeholder::Clinic
                | Placeholder::Phone
                | Placeholder::Link
                | Placeholder::Until
                | Placeholder::Reference
                | Placeholder::Sent,
            ) => true,
        }
    }

    fn judge_whole(&mut self, head: &Head, blocks: &[Block]) {
        let last = self.lines.max(1);
        let (must, _) = self.key.kind.placeholders();
        let has_link = must.contains(&Placeholder::Link);
        for (name, is_there) in [
            ("Subject", head.subject.is_some()),
            ("Title", head.title.is_some()),
            ("Button", head.button.is_some() || !has_link),
            ("Copy", head.copy.is_some() || !has_link),
        ] {
            if !is_there {
                self.fault(1, format!("\"{name}\" is missing"), format!("write \"{name}: …\" among the first lines"));
            }
        }
        if !has_link && blocks.contains(&Block::Link) {
            self.fault(last, "this message has no link to show", "write it without {link}");
        }
        for placeholder in must {
            if !self.used.contains(placeholder) {
                let (what, remedy) = match placeholder {
                    Placeholder::Link => ("the link is missing", "write {link} on a line of its own"),
                    Placeholder::Until => ("it does not say when the link ends", "write {until}"),
                    Placeholder::Reference => ("the reference by which staff find it is missing", "write {reference}"),
                    Placeholder::Sent => ("it does not say when the first message was sent", "write {sent}"),
                    Placeholder::Clinic | Placeholder::Phone => continue,
                };
                self.fault(last, what, remedy);
            }
        }
    }
}

/// Lines that become one paragraph.
#[derive(Default)]
struct Paragraph {
    pieces: Vec<(usize, String)>,
}

impl Paragraph {
    fn add(&mut self, number: usize, line: &str) {
        self.pieces.push((number, line.to_owned()));
    }

    fn end(&mut self, reader: &mut Reader) -> Option<Block> {
        let mut whole = Vec::new();
        for (number, line) in std::mem::take(&mut self.pieces) {
            if !whole.is_empty() {
                push_words(&mut whole, " ");
            }
            whole.extend(reader.pieces(number, &line));
        }
        (!whole.is_empty()).then_some(Block::Paragraph(whole))
    }
}

fn push_words(pieces: &mut Vec<Piece>, words: &str) {
    match pieces.last_mut() {
        _ if words.is_empty() => {}
        Some(Piece::Words(before)) => before.push_str(words),
        Some(Piece::Put(_)) | None => pieces.push(Piece::Words(words.to_owned())),
    }
}
