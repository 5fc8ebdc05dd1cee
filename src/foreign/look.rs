//! What the look of a piece of HTML says: its style attributes and sheets.
//!
//! Must stay true: a property is either known to leave the words as they are, or becomes a mark, or stands in the way.

use std::collections::BTreeSet;

use super::Obstacle;
use super::tree::Element;
use crate::paper::carried::Mark;

/// What a style says beyond looks.
#[derive(Clone, Default)]
pub(super) struct Said {
    pub(super) marks: BTreeSet<Mark>,
    pub(super) color: Option<Colour>,
    pub(super) background: Option<Colour>,
    /// White space counts.
    pub(super) keeps_space: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) struct Colour(f64, f64, f64);

impl From<[u8; 3]> for Colour {
    fn from([r, g, b]: [u8; 3]) -> Self {
        Self(f64::from(r), f64::from(g), f64::from(b))
    }
}

impl Colour {
    pub(super) const BLACK: Self = Self(0.0, 0.0, 0.0);
    pub(super) const WHITE: Self = Self(255.0, 255.0, 255.0);

    /// Whether words of this colour can be read on that ground (contrast as WCAG counts it).
    pub(super) fn shows_on(self, ground: Self) -> bool {
        let (one, other) = (self.luminance() + 0.05, ground.luminance() + 0.05);
        one.max(other) / one.min(other) >= READABLE_CONTRAST_MIN
    }

    /// Neither black, white nor grey: it may say something.
    pub(super) fn is_loud(self) -> bool {
        let (most, least) = (self.0.max(self.1).max(self.2), self.0.min(self.1).min(self.2));
        most - least > LOUD_STEPS_MIN
    }

    fn luminance(self) -> f64 {
        let part = |steps: f64| {
            let share = steps / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(self.0) + 0.7152 * part(self.1) + 0.0722 * part(self.2)
    }
}

/// Less can hardly be seen.
const READABLE_CONTRAST_MIN: f64 = 1.8;
/// Of 255.
const LOUD_STEPS_MIN: f64 = 80.0;

impl Said {
    pub(super) fn add(&mut self, other: Self) {
        self.marks.extend(other.marks);
        self.color = other.color.or(self.color);
        self.background = other.background.or(self.background);
        self.keeps_space |= other.keeps_space;
    }

    fn is_nothing(&self) -> bool {
        self.marks.is_empty() && self.color.is_none() && self.background.is_none() && !self.keeps_space
    }
}

/// The declarations of a `style` attribute or of a rule.
pub(super) fn declarations(style: &str) -> Result<Said, Obstacle> {
    let style = without_comments(style)?.to_ascii_lowercase();
    if style.contains(['\\', '<', '{', '}']) {
        return Err(Obstacle::Look);
    }
    let mut said = Said::default();
    for declaration in style.split(';').map(str::trim).filter(|one| !one.is_empty()) {
        let (property, value) = declaration.split_once(':').ok_or(Obstacle::Look)?;
        let value = value.trim().trim_end_matches("!important").trim();
        declare(property.trim(), value, &mut said)?;
    }
    Ok(said)
}

/// Properties that leave the words as they are.
const HARMLESS: &str = "font-family line-height width height min-width max-width min-height text-align border-collapse border- \
     spacing table-layout letter-spacing word-spacing page-break-after page-break-before page-break-inside break- \
     after break-before break-inside cursor float clear word-wrap word-break overflow-wrap box-sizing caption- \
     side empty-cells orphans widows size font-variant-numeric text-justify hyphens font-stretch text-size-adjust \
     -webkit-text-size-adjust -ms-text-size-adjust -webkit-font-smoothing text-rendering box-shadow tab-size \
     user-select";

fn declare(property: &str, value: &str, said: &mut Said) -> Result<(), Obstacle> {
    let only = |allowed: &[&str], obstacle| if allowed.contains(&value) { Ok(()) } else { Err(obstacle) };
    if value.contains("url(") || value.contains("expression") || value.contains("var(") || property.starts_with("--") {
        return Err(Obstacle::Look);
    }
    match property {
        "display" if value == "none" => Err(Obstacle::Hidden),
        "display" if is_in(DISPLAYS, value) => Ok(()),
        "display" => Err(Obstacle::Look),
        "font-family" if ["symbol", "dings"].iter().any(|one| value.contains(one)) => Err(Obstacle::StrangeCharacter),
        "visibility" => only(&["visible"], Obstacle::Hidden),
        "mso-hide" => Err(Obstacle::Hidden),
        "opacity" => only(&["1", "1.0", "100%"], Obstacle::Hidden),
        "position" => only(&["static"], Obstacle::Look),
        "overflow" | "overflow-x" | "overflow-y" => only(&["visible", "auto"], Obstacle::Hidden),
        "text-transform" | "font-variant" => only(&["none", "normal"], Obstacle::Look),
        "direction" => only(&["ltr"], Obstacle::Direction),
        "font-weight" => weight(value, said),
        "font-style" => mark(&["normal"], &["italic", "oblique"], Mark::Slanted, value, said),
        "vertical-align" => aligned(value, said),
        "text-decoration" | "text-decoration-line" => decorated(value, said),
        "white-space" => {
            said.keeps_space |= matches!(value, "pre" | "pre-wrap" | "pre-line" | "break-spaces");
            only(&["normal", "nowrap", "pre", "pre-wrap", "pre-line", "break-spaces"], Obstacle::Look)
        }
        "list-style" | "list-style-type" => only(&["disc", "circle", "square", "decimal"], Obstacle::List),
        "color" => colour(value).map(|colour| said.color = Some(colour)),
        "background" | "background-color" => match value {
            "none" | "transparent" | "inherit" | "initial" => Ok(()),
            value => colour(value).map(|colour| said.background = Some(colour)),
        },
        "font-size" => sized(value),
        "font" => font(value, said),
        "text-indent" | "padding" => {
            if value.contains('-') {
                Err(Obstacle::Hidden)
            } else {
                Ok(())
            }
        }
        _ if property.starts_with("margin") => {
            if is_far_off(value) {
                Err(Obstacle::Hidden)
            } else {
                Ok(())
            }
        }
        _ if is_in(HARMLESS, property)
            || ["padding-", "border", "mso-", "outline"].iter().any(|start| property.starts_with(start)) =>
        {
            Ok(())
        }
        _ => Err(Obstacle::Look),
    }
}

/// Ways to be shown in the order of the words.
const DISPLAYS: &str =
    "block inline inline-block table table-row table-cell table-row-group table-header-group list-item";

fn is_in(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

fn mark(without: &[&str], with: &[&str], mark: Mark, value: &str, said: &mut Said) -> Result<(), Obstacle> {
    if with.contains(&value) {
        said.marks.insert(mark);
        return Ok(());
    }
    if without.contains(&value) || value == "inherit" { Ok(()) } else { Err(Obstacle::Look) }
}

fn weight(value: &str, said: &mut Said) -> Result<(), Obstacle> {
    mark(
        &["normal", "lighter", "100", "200", "300", "400", "500"],
        &["bold", "bolder", "600", "700", "800", "900"],
        Mark::Strong,
        value,
        said,
    )
}

fn aligned(value: &str, said: &mut Said) -> Result<(), Obstacle> {
    match value {
        "super" => said.marks.insert(Mark::Raised),
        "sub" => said.marks.insert(Mark::Lowered),
        "top" | "middle" | "bottom" | "baseline" | "text-top" | "text-bottom" | "inherit" => false,
        _ => return Err(Obstacle::Look),
    };
    Ok(())
}

fn decorated(value: &str, said: &mut Said) -> Result<(), Obstacle> {
    for word in value.split_whitespace() {
        match word {
            "underline" => {
                said.marks.insert(Mark::Underlined);
            }
            "none" | "inherit" | "solid" => {}
            "line-through" => return Err(Obstacle::CrossedOut),
            _ => return Err(Obstacle::Look),
        }
    }
    Ok(())
}

fn font(value: &str, said: &mut Said) -> Result<(), Obstacle> {
    for word in value.split([' ', ',', '/']) {
        match word {
            "bold" | "bolder" | "600" | "700" | "800" | "900" => {
                said.marks.insert(Mark::Strong);
            }
            "italic" | "oblique" => {
                said.marks.insert(Mark::Slanted);
            }
            "small-caps" => return Err(Obstacle::Look),
            word if word.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && !word.ends_with(|c: char| c.is_ascii_digit()) =>
            {
                sized(word)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Letters of no size are hidden.
fn sized(value: &str) -> Result<(), Obstacle> {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let Ok(number) = value.get(..end).unwrap_or_default().parse::<f64>() else { return Ok(()) };
    let least = match value.get(end..).unwrap_or_default() {
        "px" | "pt" | "" => 5.0,
        "%" => 40.0,
        _ => 0.4,
    };
    if number < least { Err(Obstacle::Hidden) } else { Ok(()) }
}

/// Words that are pushed off the page.
fn is_far_off(value: &str) -> bool {
    value.split_whitespace().any(|side| {
        let digits = side.strip_prefix('-').map(|side| side.chars().take_while(char::is_ascii_digit).count());
        digits.is_some_and(|digits| digits >= 3)
    })
}

/// A colour that is certain.
pub(super) fn colour(value: &str) -> Result<Colour, Obstacle> {
    let value = value.trim().to_ascii_lowercase();
    let pair = |text: Option<&str>| text.and_then(|text| u8::from_str_radix(text, 16).ok()).map(f64::from);
    if let Some(hex) = value.strip_prefix('#') {
        let parts = match hex.len() {
            3 => [0, 1, 2].map(|n| pair(hex.get(n..=n)).map(|part| part * 17.0)),
            6 => [0, 2, 4].map(|n| pair(hex.get(n..n + 2))),
            _ => [None; 3],
        };
        let [Some(r), Some(g), Some(b)] = parts else { return Err(Obstacle::Colour) };
        return Ok(Colour(r, g, b));
    }
    if let Some(parts) = value.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')) {
        let parts: Vec<f64> = parts.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        let [r, g, b] = parts.as_slice() else { return Err(Obstacle::Colour) };
        return Ok(Colour(*r, *g, *b));
    }
    let (r, g, b) = match value.as_str() {
        "black" | "windowtext" | "inherit" | "currentcolor" | "initial" => (0, 0, 0),
        "white" => (255, 255, 255),
        "red" => (255, 0, 0),
        "darkred" | "maroon" => (128, 0, 0),
        "green" | "darkgreen" => (0, 128, 0),
        "blue" => (0, 0, 255),
        "navy" | "darkblue" => (0, 0, 128),
        "teal" => (0, 128, 128),
        "purple" => (128, 0, 128),
        "orange" => (255, 165, 0),
        "yellow" => (255, 255, 0),
        "gray" | "grey" => (128, 128, 128),
        "dimgray" | "dimgrey" => (105, 105, 105),
        "darkgray" | "darkgrey" => (169, 169, 169),
        "silver" => (192, 192, 192),
        "lightgray" | "lightgrey" => (211, 211, 211),
        "whitesmoke" => (245, 245, 245),
        _ => return Err(Obstacle::Colour),
    };
    Ok(Colour(f64::from(r), f64::from(g), f64::from(b)))
}

/// The rules of a document's style sheets, in order.
#[derive(Default)]
pub(super) struct Sheet {
    rules: Vec<(Vec<Compound>, Said)>,
}

/// `td.high`, `#total`, `*`.
struct Compound {
    name: Option<String>,
    classes: Vec<String>,
    id: Option<String>,
}

impl Sheet {
    pub(super) fn read(&mut self, css: &str) -> Result<(), Obstacle> {
        let css = without_comments(css)?.replace("<!--", " ").replace("-->", " ");
        let mut rest = css.trim();
        while !rest.is_empty() {
            let (selectors, after) = rest.split_once('{').ok_or(Obstacle::Look)?;
            let (body, after) = after.split_once('}').ok_or(Obstacle::Look)?;
            let selectors = selectors.trim();
            if selectors.starts_with('@') {
                // A page's margins say nothing; what another medium would show may.
                if !selectors.starts_with("@page") || body.contains('{') {
                    return Err(Obstacle::Look);
                }
            } else {
                self.add(selectors, body)?;
            }
            rest = after.trim_start();
        }
        Ok(())
    }

    fn add(&mut self, selectors: &str, body: &str) -> Result<(), Obstacle> {
        let said = declarations(body)?;
        if said.is_nothing() {
            return Ok(());
        }
        for selector in selectors.to_ascii_lowercase().split(',') {
            let state = [":hover", ":active", ":focus", ":visited", ":link"];
            let plain = state.iter().fold(selector.trim().to_owned(), |text, one| text.replace(one, ""));
            if plain.contains(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '#' | '*' | '-' | '_' | ' ')) {
                return Err(Obstacle::Look);
            }
            let compounds = plain.split_whitespace().map(Compound::read).collect();
            self.rules.push((compounds, said.clone()));
        }
        Ok(())
    }

    /// What the sheets say of `element` inside `ancestors`, the outermost first.
    pub(super) fn of(&self, element: &Element, ancestors: &[&Element]) -> Said {
        let mut said = Said::default();
        for (compounds, rule) in &self.rules {
            let Some((last, before)) = compounds.split_last() else { continue };
            if !last.is(element) {
                continue;
            }
            let mut left = before.iter().rev().peekable();
            for ancestor in ancestors.iter().rev() {
                left.next_if(|compound| compound.is(ancestor));
            }
            if left.peek().is_none() {
                said.add(rule.clone());
            }
        }
        said
    }
}

impl Compound {
    fn read(text: &str) -> Self {
        let name_end = text.find(['.', '#']).unwrap_or(text.len());
        let name = text.get(..name_end).filter(|name| !name.is_empty() && *name != "*").map(str::to_owned);
        let (mut classes, mut id) = (Vec::new(), None);
        let mut rest = text.get(name_end..).unwrap_or_default();
        while let Some(sign) = rest.chars().next() {
            let after = rest.get(1..).unwrap_or_default();
            let end = after.find(['.', '#']).unwrap_or(after.len());
            let word = after.get(..end).unwrap_or_default().to_owned();
            if sign == '#' {
                id = Some(word);
            } else {
                classes.push(word);
            }
            rest = after.get(end..).unwrap_or_default();
        }
        Self { name, classes, id }
    }

    fn is(&self, element: &Element) -> bool {
        let class = element.attribute("class").unwrap_or_default().to_ascii_lowercase();
        let id = element.attribute("id").map(str::to_ascii_lowercase);
        self.name.as_ref().is_none_or(|name| *name == element.name)
            && self.classes.iter().all(|one| class.split_whitespace().any(|has| has == one))
            && (self.id.is_none() || self.id == id)
    }
}

fn without_comments(css: &str) -> Result<String, Obstacle> {
    let mut kept = String::new();
    let mut rest = css;
    while let Some((before, after)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = after.split_once("*/").ok_or(Obstacle::Look)?.1;
    }
    kept.push_str(rest);
    Ok(kept)
}
