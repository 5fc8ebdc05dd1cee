//! Which letter a byte is: by the font's character set; and the letters that are given by number.

use std::collections::HashMap;

use encoding_rs::{
    Encoding, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1255,
    WINDOWS_1256, WINDOWS_1257, WINDOWS_1258,
};

use super::Obstacle;

pub(super) struct Fonts {
    sets: HashMap<i32, i32>,
    current: i32,
    pub(super) default: i32,
    pub(super) code_page: &'static Encoding,
}

impl Default for Fonts {
    fn default() -> Self {
        Self { sets: HashMap::new(), current: -1, default: 0, code_page: WINDOWS_1252 }
    }
}

/// Pictures of all kinds, one for each letter.
const SYMBOLS: i32 = 2;
/// A table of fonts has fewer.
const FONTS_MAX: usize = 4096;

impl Fonts {
    /// A word of the table of fonts.
    pub(super) fn word(&mut self, word: &str, number: Option<i32>) -> Result<(), Obstacle> {
        match (word, number) {
            ("f", Some(number)) => self.current = number,
            ("fcharset", Some(set)) => {
                if self.sets.len() >= FONTS_MAX {
                    return Err(Obstacle::TooLong);
                }
                self.sets.insert(self.current, set);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn is_symbols(&self, font: i32) -> bool {
        self.set_of(font) == Some(SYMBOLS)
    }

    pub(super) fn encoding(&self, font: i32) -> Result<&'static Encoding, Obstacle> {
        Ok(match self.set_of(font) {
            None | Some(0 | 1) => self.code_page,
            Some(SYMBOLS) => return Err(Obstacle::StrangeCharacter),
            Some(161) => WINDOWS_1253,
            Some(162) => WINDOWS_1254,
            Some(163) => WINDOWS_1258,
            Some(177) => WINDOWS_1255,
            Some(178) => WINDOWS_1256,
            Some(186) => WINDOWS_1257,
            Some(204) => WINDOWS_1251,
            Some(222) => WINDOWS_874,
            Some(238) => WINDOWS_1250,
            Some(_) => return Err(Obstacle::Encoding),
        })
    }

    fn set_of(&self, font: i32) -> Option<i32> {
        self.sets.get(if font < 0 { &self.default } else { &font }).copied()
    }
}

pub(super) fn of_code_page(page: i32) -> Result<&'static Encoding, Obstacle> {
    Ok(match page {
        1250 => WINDOWS_1250,
        1251 => WINDOWS_1251,
        1252 | 0 => WINDOWS_1252,
        1253 => WINDOWS_1253,
        1254 => WINDOWS_1254,
        1255 => WINDOWS_1255,
        1256 => WINDOWS_1256,
        1257 => WINDOWS_1257,
        1258 => WINDOWS_1258,
        874 => WINDOWS_874,
        _ => return Err(Obstacle::Encoding),
    })
}

/// What is half told: a letter of two numbers, the letters that stand for one.
#[derive(Default)]
pub(super) struct Letters {
    high: Option<u16>,
    to_skip: usize,
    /// The colour whose parts are being told.
    pub(super) color: Option<[u8; 3]>,
}

impl Letters {
    /// `\u`: a letter, or the first half of one.
    pub(super) fn unicode(&mut self, number: i32, skips: usize) -> Result<Option<char>, Obstacle> {
        self.to_skip = skips;
        let unit = u16::try_from(if number < 0 { number + 65_536 } else { number }).map_err(|_| Obstacle::Malformed)?;
        match (self.high.take(), unit) {
            (None, 0xd800..=0xdbff) => {
                self.high = Some(unit);
                Ok(None)
            }
            (Some(high), 0xdc00..=0xdfff) => {
                let mut decoded = char::decode_utf16([high, unit]);
                decoded.next().and_then(Result::ok).map(Some).ok_or(Obstacle::Malformed)
            }
            (None, unit) => char::from_u32(u32::from(unit)).map(Some).ok_or(Obstacle::Malformed),
            (Some(_), _) => Err(Obstacle::Malformed),
        }
    }

    /// Whether this letter only stands for the one that was given by number.
    pub(super) fn skip_one(&mut self) -> bool {
        let skips = self.to_skip > 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        skips
    }

    pub(super) fn assert_whole(&mut self) -> Result<(), Obstacle> {
        self.to_skip = 0;
        if self.high.is_some() { Err(Obstacle::Malformed) } else { Ok(()) }
    }
}
