//! Text patterns: what a report's words may add to its tags, and nothing else.
//!
//! Must stay true: matching takes time linear in the text, whatever the text; a pattern can only add; the text itself is not
//! kept, only which patterns matched.

use std::collections::BTreeSet;

use regex::{RegexSet, RegexSetBuilder};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::facts::{FactPath, Gathered, Lack, PatternId, TextFacts};

/// Characters of one pattern.
pub const PATTERN_CHARS_MAX: usize = 256;
/// Patterns of one rules file.
pub const PATTERNS_MAX: usize = 500;
/// Bytes of text that are looked at for one report; what is beyond is lacking.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Memory that the compiled patterns may take, in bytes.
const COMPILED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How deep a pattern may nest.
const NESTING_MAX: u32 = 32;

/// One pattern and the language of the texts it is meant for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Pattern {
    /// A regular expression of the `regex` crate, without regard to case.
    pub expression: String,
    /// BCP 47 primary language, as in `en`; `None` for every text.
    pub language: Option<String>,
}

impl Pattern {
    /// The same for the same expression and language, for ever.
    #[must_use]
    pub fn id(&self) -> PatternId {
        let mut hash = Sha256::new();
        hash.update(self.language.as_deref().unwrap_or_default());
        hash.update([0]);
        hash.update(&self.expression);
        let digest = hash.finalize();
        PatternId(digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }
}

/// One text of a report. Patient data: lives only while the facts are made.
#[derive(Clone, Copy)]
pub struct Text<'t> {
    pub at: &'t FactPath,
    /// BCP 47, where the resource says it; a text without one may be in any.
    pub language: Option<&'t str>,
    pub text: &'t str,
}

/// All patterns of a rules file, compiled together.
#[derive(Clone, Debug)]
pub struct Patterns {
    patterns: Vec<(PatternId, Pattern)>,
    compiled: RegexSet,
}

impl Patterns {
    /// # Errors
    /// In the words of the regex crate, when a pattern cannot be used or all together are too large.
    pub fn compile(patterns: &BTreeSet<Pattern>) -> Result<Self, String> {
        let compiled = builder(patterns.iter().map(|pattern| pattern.expression.as_str()))
            .build()
            .map_err(|error| error.to_string())?;
        let patterns = patterns.iter().map(|pattern| (pattern.id(), pattern.clone())).collect();
        Ok(Self { patterns, compiled })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Which patterns the texts match. `lacking` says which texts could not be had.
    #[must_use]
    pub fn read<'t>(&self, texts: impl IntoIterator<Item = Text<'t>>, lacking: BTreeSet<Lack>) -> TextFacts {
        let mut matched = Gathered { found: Vec::new(), lacking };
        let mut left = TEXT_BYTES_MAX;
        for text in texts {
            let read = within(text.text, left);
            if read.len() < text.text.len() {
                matched.lacking.insert(Lack::TooMany);
            }
            left -= read.len();
            for at in self.compiled.matches(read) {
                let Some((id, pattern)) = self.patterns.get(at) else { continue };
                if speaks(pattern.language.as_deref(), text.language) {
                    matched.add(*id, text.at.clone());
                }
            }
        }
        TextFacts { tried: self.patterns.iter().map(|(id, _)| *id).collect(), matched }
    }
}

/// Why one pattern cannot be used; `None` when it can.
#[must_use]
pub fn fault_of(expression: &str) -> Option<String> {
    if expression.chars().count() > PATTERN_CHARS_MAX {
        return Some(format!("it is longer than {PATTERN_CHARS_MAX} characters"));
    }
    match builder([expression]).build() {
        Ok(compiled) if compiled.is_match("") => Some("it matches every text, also an empty one".to_owned()),
        Ok(_) => None,
        Err(regex::Error::CompiledTooBig(_)) => Some("it would take too much memory".to_owned()),
        Err(error) => Some(last_line(&error.to_string())),
    }
}

fn builder<'p>(expressions: impl IntoIterator<Item = &'p str>) -> RegexSetBuilder {
    let mut builder = RegexSetBuilder::new(expressions);
    builder.case_insensitive(true).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX);
    builder.nest_limit(NESTING_MAX);
    builder
}

/// The regex crate draws the place; its last line says what is wrong.
fn last_line(error: &str) -> String {
    error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The beginning of `text` in at most `bytes_max` bytes, on a character's edge.
fn within(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// Whether a pattern for one language is for a text of another. A text that does not say its language is for all.
fn speaks(pattern: Option<&str>, text: Option<&str>) -> bool {
    match (pattern, text) {
        (Some(pattern), Some(text)) => {
            text.split(['-', '_']).next().is_some_and(|primary| primary.eq_ignore_ascii_case(pattern))
        }
        (None, _) | (_, None) => true,
    }
}
