//! RTF: its paragraphs and tables (<https://www.biblioscape.com/rtf15_spec.htm>, RTF 1.9.1 for what came later).
//!
//! Must stay true: a control word is carried over, in the list of those that leave the words as they are, or stands in the way; a
//! group that nobody knows is skipped only where its writer says that it may be.

mod letters;
mod table;
mod token;
mod words;

use std::collections::BTreeSet;

use encoding_rs::Encoding;

use super::Obstacle;
use super::flow::Flow;
use crate::paper::Carried;
use crate::paper::carried::{Block, Mark};
use letters::{Fonts, Letters};
use table::Rows;
use token::{Token, Tokens};
use words::{Destination, Meaning};

const DEPTH_MAX: usize = 100;

/// Reads a document.
///
/// # Errors
/// What stands in the way.
pub fn read(bytes: &[u8]) -> Result<Carried, Obstacle> {
    let bytes = bytes.trim_ascii();
    if !bytes.starts_with(b"{\\rtf") || !bytes.ends_with(b"}") {
        return Err(Obstacle::Malformed);
    }
    let mut reader = Reader::new();
    for token in Tokens::new(bytes) {
        reader.take(token?)?;
    }
    reader.finish()
}

/// What holds inside a group.
#[derive(Clone)]
pub(super) struct Group {
    destination: Destination,
    marks: BTreeSet<Mark>,
    shown: Shown,
    direction: Direction,
    color: usize,
    ground: usize,
    font: i32,
    /// Characters that stand for one `\u`.
    skips: usize,
    /// The next control word names what the group is.
    is_new: bool,
    /// `\*`: who does not know the group may skip it.
    may_skip: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    LeftToRight,
    RightToLeft,
}

/// How far the reading has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Before,
    Within,
    Behind,
}

struct Reader {
    groups: Vec<Group>,
    fonts: Fonts,
    letters: Letters,
    colors: Vec<Option<[u8; 3]>>,
    /// Of headers, of the text, of footers.
    flows: [Flow; 3],
    rows: Rows,
    /// The instruction of the field whose result comes next.
    field: String,
    /// Numbered by a list, and whether its number was told.
    is_listed: bool,
    has_number: bool,
    course: Course,
}

const HEAD: usize = 0;
const BODY: usize = 1;
const FOOT: usize = 2;

impl Reader {
    fn new() -> Self {
        Self {
            groups: Vec::new(),
            fonts: Fonts::default(),
            letters: Letters::default(),
            colors: Vec::new(),
            flows: Default::default(),
            rows: Rows::default(),
            field: String::new(),
            is_listed: false,
            has_number: false,
            course: Course::Before,
        }
    }

    fn finish(mut self) -> Result<Carried, Obstacle> {
        if self.course != Course::Behind {
            return Err(Obstacle::Malformed);
        }
        self.letters.assert_whole()?;
        self.end_table()?;
        let blocks: Vec<Block> = self.flows.into_iter().flat_map(Flow::finish).collect();
        Ok(Carried { title: None, language: None, blocks })
    }

    fn take(&mut self, token: Token<'_>) -> Result<(), Obstacle> {
        if self.course == Course::Behind {
            return Err(Obstacle::Malformed);
        }
        match token {
            Token::Open => self.open(),
            Token::Close => self.close(),
            Token::MaySkip => self.group().map(|group| group.may_skip = true),
            Token::Byte(byte) => self.byte(byte),
            Token::Text(text) => text.iter().try_for_each(|byte| self.byte(*byte)),
            Token::Sign(_) if self.letters.skip_one() => Ok(()),
            Token::Sign(sign) => self.words(sign),
            Token::Word(word, number) => self.word(word, number),
            Token::Binary => Err(Obstacle::Object),
        }
    }

    fn group(&mut self) -> Result<&mut Group, Obstacle> {
        self.groups.last_mut().ok_or(Obstacle::Malformed)
    }

    fn open(&mut self) -> Result<(), Obstacle> {
        if self.groups.len() >= DEPTH_MAX {
            return Err(Obstacle::TooDeep);
        }
        self.letters.assert_whole()?;
        let group = match self.groups.last() {
            Some(outer) => Group { is_new: true, may_skip: false, ..outer.clone() },
            None if self.course != Course::Before => return Err(Obstacle::Malformed),
            None => Group {
                destination: Destination::Text(BODY),
                marks: BTreeSet::new(),
                shown: Shown::Yes,
                direction: Direction::LeftToRight,
                color: 0,
                ground: 0,
                font: -1,
                skips: 1,
                is_new: true,
                may_skip: false,
            },
        };
        self.course = Course::Within;
        self.groups.push(group);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Obstacle> {
        self.letters.assert_whole()?;
        let closed = self.groups.pop().ok_or(Obstacle::Malformed)?;
        if let Destination::FieldResult = closed.destination {
            self.field.clear();
        }
        if self.groups.is_empty() {
            self.course = Course::Behind;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, number: Option<i32>) -> Result<(), Obstacle> {
        let (is_new, may_skip) = {
            let group = self.group()?;
            (std::mem::replace(&mut group.is_new, false), group.may_skip)
        };
        if word == "u" {
            return self.unicode(number.ok_or(Obstacle::Malformed)?);
        }
        if self.letters.skip_one() {
            return Ok(());
        }
        if let Destination::Skipped = self.group()?.destination {
            return if words::is_in_the_way(word) { Err(Obstacle::Apart) } else { Ok(()) };
        }
        if is_new && let Some(destination) = words::destination(word, may_skip)? {
            return self.enter(destination);
        }
        self.letters.assert_whole()?;
        match self.group()?.destination {
            Destination::Fonts => self.fonts.word(word, number),
            Destination::Colors => self.color_word(word, number),
            Destination::FieldInstruction | Destination::Skipped => Ok(()),
            Destination::Text(_) | Destination::FieldResult | Destination::ListNumber => {
                self.apply(words::meaning(word, number)?)
            }
        }
    }

    fn enter(&mut self, destination: Destination) -> Result<(), Obstacle> {
        let flow = self.flow_number();
        if let Destination::ListNumber = destination {
            self.has_number = true;
        }
        if let Destination::FieldInstruction = destination {
            self.field.clear();
        }
        let destination = if destination == Destination::FieldResult {
            match words::field(&self.field)? {
                words::Field::Shown => Destination::Text(flow),
                words::Field::OfThePage => Destination::Skipped,
            }
        } else {
            destination
        };
        let group = self.group()?;
        if let Destination::Text(HEAD | FOOT) = destination {
            group.marks.clear();
        }
        group.destination = destination;
        Ok(())
    }

    fn flow_number(&self) -> usize {
        let of = |group: &Group| match group.destination {
            Destination::Text(flow) => Some(flow),
            Destination::FieldResult
            | Destination::ListNumber
            | Destination::Fonts
            | Destination::Colors
            | Destination::FieldInstruction
            | Destination::Skipped => None,
        };
        self.groups.iter().rev().find_map(of).unwrap_or(BODY)
    }

    fn apply(&mut self, meaning: Meaning) -> Result<(), Obstacle> {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Set(mark) => {
                self.group()?.marks.insert(mark);
            }
            Meaning::Unset(mark) => {
                self.group()?.marks.remove(&mark);
            }
            Meaning::Baseline => {
                let marks = &mut self.group()?.marks;
                marks.remove(&Mark::Raised);
                marks.remove(&Mark::Lowered);
            }
            Meaning::Plain => {
                let group = self.group()?;
                group.marks.clear();
                (group.shown, group.direction) = (Shown::Yes, Direction::LeftToRight);
                (group.color, group.ground, group.font) = (0, 0, -1);
            }
            Meaning::Hide => self.group()?.shown = Shown::No,
            Meaning::Show => self.group()?.shown = Shown::Yes,
            Meaning::RightToLeft => self.group()?.direction = Direction::RightToLeft,
            Meaning::LeftToRight => self.group()?.direction = Direction::LeftToRight,
            Meaning::Color(number) => self.group()?.color = number,
            Meaning::Ground(number) => self.group()?.ground = number,
            Meaning::Font(number) => self.group()?.font = number,
            Meaning::DefaultFont(number) => self.fonts.default = number,
            Meaning::Skips(count) => self.group()?.skips = count,
            Meaning::CodePage(page) => self.fonts.code_page = letters::of_code_page(page)?,
            Meaning::Words(words) => self.words(words)?,
            Meaning::Tab => self.words("\u{2003}")?,
            Meaning::Paragraph => self.paragraph()?,
            Meaning::Line => self.flow().break_line(),
            Meaning::NewParagraph => {
                self.is_listed = false;
                self.has_number = false;
                self.rows.is_inside = false;
            }
            Meaning::Listed => self.is_listed = true,
            Meaning::InTable => self.rows.is_inside = true,
            Meaning::RowBegins => self.rows.begin(),
            Meaning::CellEnd(at) => self.rows.cell_end(at),
            Meaning::HeadRow => self.rows.is_head = true,
            Meaning::Cell => {
                let flow = std::mem::take(self.flow());
                self.rows.cell(flow.finish())?;
            }
            Meaning::Row => self.rows.row()?,
        }
        Ok(())
    }

    fn flow(&mut self) -> &mut Flow {
        let number = self.flow_number();
        match number {
            HEAD => &mut self.flows[0],
            FOOT => &mut self.flows[2],
            _ => &mut self.flows[1],
        }
    }

    fn paragraph(&mut self) -> Result<(), Obstacle> {
        if self.is_listed && !self.has_number {
            return Err(Obstacle::List);
        }
        self.has_number = false;
        if !self.rows.is_inside {
            self.end_table()?;
        }
        self.flow().end();
        Ok(())
    }

    fn end_table(&mut self) -> Result<(), Obstacle> {
        if let Some(table) = self.rows.finish()? {
            let [_, body, _] = &mut self.flows;
            body.insert_before_open(table);
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Result<(), Obstacle> {
        self.group()?.is_new = false;
        if self.letters.skip_one() {
            return Ok(());
        }
        let destination = self.group()?.destination;
        let font = self.group()?.font;
        match destination {
            Destination::Skipped | Destination::Fonts => Ok(()),
            Destination::Colors => {
                if byte == b';' {
                    let color = self.letters.color.take();
                    self.colors.push(color);
                }
                Ok(())
            }
            Destination::FieldInstruction => {
                self.field.push(char::from(byte));
                Ok(())
            }
            Destination::ListNumber if self.fonts.is_symbols(font) => {
                if matches!(byte, 0xb7 | 0xa7 | b'o' | b'-') {
                    self.words("•")
                } else {
                    Err(Obstacle::StrangeCharacter)
                }
            }
            Destination::Text(_) | Destination::FieldResult | Destination::ListNumber => {
                if byte.is_ascii() && !self.fonts.is_symbols(font) {
                    let mut text = [0; 1];
                    return self.words(char::from(byte).encode_utf8(&mut text));
                }
                let encoding: &'static Encoding = self.fonts.encoding(font)?;
                let text = super::encoding::decode(&[byte], encoding)?;
                self.words(&text)
            }
        }
    }

    fn unicode(&mut self, number: i32) -> Result<(), Obstacle> {
        let skips = self.group()?.skips;
        let text = self.letters.unicode(number, skips)?;
        let Some(c) = text else { return Ok(()) };
        match self.group()?.destination {
            Destination::Text(_) | Destination::FieldResult | Destination::ListNumber => {
                let mut buffer = [0; 4];
                self.words(c.encode_utf8(&mut buffer))
            }
            Destination::Fonts | Destination::Colors | Destination::FieldInstruction | Destination::Skipped => Ok(()),
        }
    }

    fn words(&mut self, text: &str) -> Result<(), Obstacle> {
        let group = self.group()?.clone();
        match group.destination {
            Destination::Text(_) | Destination::FieldResult | Destination::ListNumber => {}
            Destination::Fonts | Destination::Colors | Destination::FieldInstruction | Destination::Skipped => {
                return Ok(());
            }
        }
        if !text.trim().is_empty() {
            if group.shown == Shown::No {
                return Err(Obstacle::Hidden);
            }
            if group.direction == Direction::RightToLeft {
                return Err(Obstacle::Direction);
            }
            if !self.rows.is_inside && self.flow_number() == BODY && self.rows.has_rows() {
                self.end_table()?;
            }
        }
        let mut marks = group.marks;
        if self.stands_out(group.color, group.ground, text)? {
            marks.insert(Mark::Strong);
        }
        self.flow().say(text, &marks);
        Ok(())
    }
}

impl Reader {
    fn color_word(&mut self, word: &str, number: Option<i32>) -> Result<(), Obstacle> {
        let part = match word {
            "red" => 0,
            "green" => 1,
            "blue" => 2,
            // A theme's colour stands beside its own numbers.
            _ => return Ok(()),
        };
        let value = number.and_then(|number| u8::try_from(number).ok()).ok_or(Obstacle::Malformed)?;
        self.letters.color.get_or_insert([0; 3]);
        if let Some(place) = self.letters.color.as_mut().and_then(|color| color.get_mut(part)) {
            *place = value;
        }
        Ok(())
    }

    /// Whether a colour makes these words stand out; words that cannot be seen stand in the way.
    fn stands_out(&self, color: usize, ground: usize, text: &str) -> Result<bool, Obstacle> {
        use super::look::Colour;
        let of = |number: usize| self.colors.get(number).copied().flatten();
        let (ink, ground) = (of(color).map(Colour::from), of(ground).map(Colour::from));
        let shows = ink.unwrap_or(Colour::BLACK).shows_on(ground.unwrap_or(Colour::WHITE));
        if !shows && !text.trim().is_empty() {
            return Err(Obstacle::Colour);
        }
        Ok(ink.is_some_and(Colour::is_loud) || ground.is_some_and(Colour::is_loud))
    }
}
