//! The alphabet of text messages: what fits into one, and how other letters are written in it (3GPP TS 23.038 §6.2.1).
//!
//! Must stay true: one letter from outside turns a whole message into UCS-2, of which only 70 characters fit; so what leaves here
//! has none, and what cannot be written without one is said.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// What one message holds, in septets (3GPP TS 23.040 §9.2.3.24).
pub const SEPTETS_MAX: usize = 160;

/// The basic alphabet, one septet each; the escape is left out.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                     abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension, two septets each.
const EXTENSION: &str = "^{}\\[~]|€";

/// Letters and signs that do not come apart into a basic one and its marks.
const INSTEAD: [(char, &str); 33] = [
    ('ł', "l"),
    ('Ł', "L"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ð', "d"),
    ('Ð', "D"),
    ('þ', "th"),
    ('Þ', "Th"),
    ('œ', "oe"),
    ('Œ', "OE"),
    ('ı', "i"),
    ('ħ', "h"),
    ('Ħ', "H"),
    ('ẞ', "SS"),
    ('ŋ', "n"),
    ('‘', "'"),
    ('’', "'"),
    ('‚', ","),
    ('‛', "'"),
    ('`', "'"),
    ('´', "'"),
    ('“', "\""),
    ('”', "\""),
    ('„', "\""),
    ('«', "\""),
    ('»', "\""),
    ('‐', "-"),
    ('‑', "-"),
    ('–', "-"),
    ('—', "-"),
    ('·', "."),
    ('…', "..."),
    ('\u{202f}', " "),
];

/// How many septets a text takes; `None` where a letter is not of this alphabet.
#[must_use]
pub fn septets(text: &str) -> Option<usize> {
    text.chars().map(septets_of).sum()
}

/// The text in letters of this alphabet alone: marks that it lacks are dropped, quotes and dashes made plain.
///
/// # Errors
/// The first character for which there is no letter.
pub fn write(text: &str) -> Result<String, char> {
    let mut written = String::with_capacity(text.len());
    for c in text.nfc() {
        if septets_of(c).is_some() {
            written.push(c);
            continue;
        }
        if c.is_whitespace() {
            written.push(' ');
            continue;
        }
        if let Some((_, instead)) = INSTEAD.iter().find(|(letter, _)| *letter == c) {
            written.push_str(instead);
            continue;
        }
        let parts: String = std::iter::once(c).nfkd().filter(|part| !is_combining_mark(*part)).collect();
        if parts.is_empty() || septets(&parts).is_none() {
            return Err(c);
        }
        written.push_str(&parts);
    }
    Ok(written)
}

/// Capitals without marks, to compare what people type; what has no such letter is left out.
#[must_use]
pub fn plain_capitals(text: &str) -> String {
    text.nfkd().filter(char::is_ascii).collect::<String>().to_ascii_uppercase()
}

fn septets_of(c: char) -> Option<usize> {
    if BASIC.contains(c) {
        Some(1)
    } else if EXTENSION.contains(c) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_whole() {
        // 128 places of the table, less the escape.
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(BASIC.chars().collect::<std::collections::BTreeSet<_>>().len(), 127);
        assert_eq!(septets("https://c.test/r/a-B_9#x"), Some(24));
        assert_eq!(septets("10 €"), Some(5));
        assert_eq!(septets("zażółć"), None);
    }

    #[test]
    fn other_letters_are_written_in_it() {
        for (text, written) in [
            ("Przychodnia Zdrowie Łódź", "Przychodnia Zdrowie Lodz"),
            ("Clínica Ñuñoa", "Clinica Ñuñoa"),
            ("Praxis Dr. Müller & Söhne", "Praxis Dr. Müller & Söhne"),
            ("Hôpital de l’Île – Çà", "Hopital de l'Ile - Çà"),
            ("reçu «œuvre»", "recu \"oeuvre\""),
            ("a\u{a0}b\tc", "a b c"),
            ("ﬁn…", "fin..."),
        ] {
            assert_eq!(write(text).as_deref(), Ok(written));
            assert!(septets(written).is_some());
        }
        assert_eq!(write("病院"), Err('病'));
        assert_eq!(write("Clinic 🏥"), Err('🏥'));
    }
}
