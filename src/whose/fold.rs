//! Letters made comparable: small, without marks, in Latin.

use unicode_normalization::UnicodeNormalization as _;

/// `text` in small Latin letters without marks; words broken at the end of a line are joined. Lines, tabs and other signs stay.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkd().flat_map(char::to_lowercase) {
        push(c, &mut folded);
    }
    join_broken_words(&folded)
}

fn push(c: char, out: &mut String) {
    let latin = match c {
        '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => "",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        '\u{2018}' | '\u{2019}' | '\u{2bc}' | '\u{b4}' | '`' => "'",
        'ł' => "l",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ı' => "i",
        'ħ' => "h",
        c => match cyrillic(c).or_else(|| greek(c)) {
            Some(latin) => latin,
            None if c.is_whitespace() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}') => " ",
            None => return out.push(c),
        },
    };
    out.push_str(latin);
}

/// As passports of most states that write so transliterate it.
const fn cyrillic(c: char) -> Option<&'static str> {
    Some(match c {
        'а' => "a",
        'б' => "b",
        'в' => "v",
        'г' | 'ґ' => "g",
        'д' => "d",
        'е' | 'э' | 'є' => "e",
        'ж' => "zh",
        'з' => "z",
        'и' | 'і' => "i",
        'й' | 'ы' => "y",
        'к' => "k",
        'л' => "l",
        'м' => "m",
        'н' => "n",
        'о' => "o",
        'п' => "p",
        'р' => "r",
        'с' => "s",
        'т' => "t",
        'у' => "u",
        'ф' => "f",
        'х' => "kh",
        'ц' => "ts",
        'ч' => "ch",
        'ш' => "sh",
        'щ' => "shch",
        'ю' => "yu",
        'я' => "ya",
        'ъ' | 'ь' => "",
        _ => return None,
    })
}

const fn greek(c: char) -> Option<&'static str> {
    Some(match c {
        'α' => "a",
        'β' => "v",
        'γ' => "g",
        'δ' => "d",
        'ε' => "e",
        'ζ' => "z",
        'η' | 'ι' => "i",
        'θ' => "th",
        'κ' => "k",
        'λ' => "l",
        'μ' => "m",
        'ν' => "n",
        'ξ' => "x",
        'ο' | 'ω' => "o",
        'π' => "p",
        'ρ' => "r",
        'σ' | 'ς' => "s",
        'τ' => "t",
        'υ' => "y",
        'φ' => "f",
        'χ' => "ch",
        'ψ' => "ps",
        _ => return None,
    })
}

fn join_broken_words(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let after_letter = joined.ends_with(char::is_alphabetic);
        if c == '-' && after_letter && matches!(rest.peek(), Some('\n' | '\r')) {
            let mut ahead = rest.clone();
            while matches!(ahead.peek(), Some('\n' | '\r' | ' ')) {
                ahead.next();
            }
            if ahead.peek().is_some_and(|next| next.is_alphabetic()) {
                rest = ahead;
                continue;
            }
        }
        joined.push(c);
    }
    joined
}
