//! What stands on a slip: ten characters that nobody confuses, the last of which checks the others.

use rand_core::CryptoRng;

use super::secret::SecretText;

/// Digits and letters of which no two look or sound alike in print: no 0 and O, 1 and I and L, U and V, 2 and Z. Twenty-nine, a prime, so
/// that one wrong character, and two that changed places, are always seen.
const ALPHABET: &[u8; 29] = b"23456789ABCDEFGHJKMNPQRSTVWXY";
/// Characters before the one that checks them: 43 bits.
const CODE_CHARACTERS: usize = 9;
const REFERENCE_CHARACTERS: usize = 7;

/// What a patient reads off a slip and types.
pub struct SlipCode(SecretText);

/// What a slip is called by. It opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlipReference(String);

impl SlipCode {
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(SecretText::new(checked(rng, CODE_CHARACTERS)))
    }

    /// Reads what a person typed: any case, however it is grouped. `None` where a character is wrong, missing or out of place.
    #[must_use]
    pub fn parse_typed(text: &str) -> Option<Self> {
        parse(text, CODE_CHARACTERS).map(|plain| Self(SecretText::new(plain)))
    }

    /// In its normal form.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// As it is printed: `ABCDE-FGHJK`.
    #[must_use]
    pub fn grouped(&self) -> SecretText {
        let (head, tail) = self.0.expose().split_at_checked(5).unwrap_or((self.0.expose(), ""));
        SecretText::new(format!("{head}-{tail}"))
    }
}

impl SlipReference {
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(checked(rng, REFERENCE_CHARACTERS))
    }

    #[must_use]
    pub fn parse_typed(text: &str) -> Option<Self> {
        parse(text, REFERENCE_CHARACTERS).map(Self)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is printed: `ABCD-EFGH`.
    #[must_use]
    pub fn grouped(&self) -> String {
        let (head, tail) = self.0.split_at_checked(4).unwrap_or((&self.0, ""));
        format!("{head}-{tail}")
    }
}

fn checked(rng: &mut impl CryptoRng, count: usize) -> String {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let mut byte = [0; 1];
        rng.fill_bytes(&mut byte);
        let [byte] = byte;
        // Beyond the last whole multiple of 29 some characters would be likelier.
        if usize::from(byte) < 256 / ALPHABET.len() * ALPHABET.len() {
            values.push(usize::from(byte) % ALPHABET.len());
        }
    }
    values.push(check_of(&values));
    values.iter().filter_map(|value| ALPHABET.get(*value)).map(|b| char::from(*b)).collect()
}

fn parse(text: &str, count: usize) -> Option<String> {
    let value = |b: u8| ALPHABET.iter().position(|known| *known == b);
    let plain: String = text.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_uppercase()).collect();
    let values: Vec<usize> = plain.bytes().map(value).collect::<Option<_>>()?;
    let (last, before) = values.split_last()?;
    (before.len() == count && *last == check_of(before)).then_some(plain)
}

/// Each place has a weight of its own, none of them a multiple of 29.
fn check_of(values: &[usize]) -> usize {
    values.iter().zip(2..).map(|(value, weight)| value * weight).sum::<usize>() % ALPHABET.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    #[test]
    fn a_code_reads_back_however_it_is_typed() {
        let code = SlipCode::random(&mut random::system());
        assert_eq!(code.expose().len(), 10);
        let typed = [code.expose().to_lowercase(), code.grouped().expose().to_owned(), format!(" {} ", code.expose())];
        for typed in typed {
            assert_eq!(SlipCode::parse_typed(&typed).unwrap().expose(), code.expose());
        }
        let reference = SlipReference::random(&mut random::system());
        assert_eq!(SlipReference::parse_typed(&reference.grouped().to_lowercase()), Some(reference));
    }

    #[test]
    fn one_wrong_character_and_two_that_changed_places_are_seen() {
        let code = SlipCode::random(&mut random::system());
        let right = code.expose().as_bytes();
        for at in 0..right.len() {
            for other in ALPHABET {
                let mut wrong = right.to_vec();
                wrong[at] = *other;
                let parsed = SlipCode::parse_typed(std::str::from_utf8(&wrong).unwrap());
                assert_eq!(parsed.is_some(), *other == right[at]);
            }
            if at > 0 && right[at] != right[at - 1] {
                let mut swapped = right.to_vec();
                swapped.swap(at, at - 1);
                assert!(SlipCode::parse_typed(std::str::from_utf8(&swapped).unwrap()).is_none());
            }
        }
        for text in ["", "ABC", &code.expose()[1..], "0000000000", "OOOOOOOOOO"] {
            assert!(SlipCode::parse_typed(text).is_none(), "{text}");
        }
    }
}
