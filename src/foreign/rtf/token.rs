//! The signs of which RTF is made.

use super::Obstacle;

#[derive(Clone, Copy)]
pub(super) enum Token<'a> {
    Open,
    Close,
    /// `\*`.
    MaySkip,
    /// `\'e4`: one byte in the font's encoding.
    Byte(u8),
    Text(&'a [u8]),
    /// A control symbol that is a letter: `\~`.
    Sign(&'static str),
    Word(&'a str, Option<i32>),
    /// `\bin`: bytes that are no text.
    Binary,
}

pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

/// The longest control word.
const WORD_LETTERS_MAX: usize = 40;
const NUMBER_DIGITS_MAX: usize = 10;

impl<'a> Tokens<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn advance(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn control(&mut self) -> Result<Token<'a>, Obstacle> {
        self.advance(1);
        let sign = *self.rest.first().ok_or(Obstacle::Malformed)?;
        if sign.is_ascii_alphabetic() {
            return self.word();
        }
        self.advance(1);
        Ok(match sign {
            b'\'' => {
                let hex = std::str::from_utf8(self.advance(2)).map_err(|_| Obstacle::Malformed)?;
                Token::Byte(u8::from_str_radix(hex, 16).map_err(|_| Obstacle::Malformed)?)
            }
            b'*' => Token::MaySkip,
            b'\\' => Token::Sign("\\"),
            b'{' => Token::Sign("{"),
            b'}' => Token::Sign("}"),
            b'~' => Token::Sign("\u{a0}"),
            b'_' => Token::Sign("\u{2011}"),
            b'-' => Token::Sign("\u{ad}"),
            b'\n' | b'\r' => Token::Word("par", None),
            b'\t' => Token::Word("tab", None),
            _ => return Err(Obstacle::Unknown),
        })
    }

    fn word(&mut self) -> Result<Token<'a>, Obstacle> {
        let letters = self.rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters > WORD_LETTERS_MAX {
            return Err(Obstacle::Malformed);
        }
        let word = std::str::from_utf8(self.advance(letters)).map_err(|_| Obstacle::Malformed)?;
        let sign = usize::from(self.rest.first() == Some(&b'-') && self.rest.get(1).is_some_and(u8::is_ascii_digit));
        let digits = self.rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > NUMBER_DIGITS_MAX {
            return Err(Obstacle::Malformed);
        }
        let number = if digits == 0 {
            None
        } else {
            let text = std::str::from_utf8(self.advance(sign + digits)).map_err(|_| Obstacle::Malformed)?;
            Some(text.parse().map_err(|_| Obstacle::Malformed)?)
        };
        if self.rest.first() == Some(&b' ') {
            self.advance(1);
        }
        Ok(if word == "bin" { Token::Binary } else { Token::Word(word, number) })
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Result<Token<'a>, Obstacle>;

    fn next(&mut self) -> Option<Self::Item> {
        while matches!(self.rest.first(), Some(b'\r' | b'\n' | b'\0')) {
            self.advance(1);
        }
        Some(Ok(match self.rest.first()? {
            b'{' => {
                self.advance(1);
                Token::Open
            }
            b'}' => {
                self.advance(1);
                Token::Close
            }
            b'\\' => return Some(self.control()),
            b'\t' => {
                self.advance(1);
                Token::Word("tab", None)
            }
            _ => {
                let is_text = |byte: &&u8| !matches!(byte, b'{' | b'}' | b'\\' | b'\r' | b'\n' | b'\t' | b'\0');
                let count = self.rest.iter().take_while(is_text).count();
                Token::Text(self.advance(count))
            }
        }))
    }
}
