//! As whom texts come: what phone networks make of the sender that is configured.
//!
//! Must stay true: it says what stands in the configuration, and nothing of whether the gateway lets us use it.

use super::gsm7;
use crate::base::{PhoneNumber, Region};

/// Longest name, in septets (3GPP TS 23.040 §9.1.2.5: an address of ten bytes).
const NAME_SEPTETS_MAX: usize = 11;
/// Digits of a short code; a number of a person has seven or more.
const SHORT_CODE_DIGITS: std::ops::RangeInclusive<usize> = 3..=6;
/// Where networks take no names (<https://help.twilio.com/articles/223133767>).
const NAMELESS: [&str; 2] = ["US", "CA"];

/// Whether a gateway takes a number without its `+`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plus {
    Needed,
    MayLack,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SenderShape {
    /// A number of the clinic's country.
    Number,
    /// A number of another country.
    NumberAbroad,
    /// Digits that would be a number with a `+`, which this gateway needs.
    NumberWithoutPlus,
    ShortCode,
    /// A name: nobody can answer it.
    Name,
    /// A name, and the clinic's country has none.
    NameInNamelessCountry,
    /// A name that no message has room for.
    NameTooLong,
    /// Neither a name nor a number of ITU-T E.164.
    Neither,
}

impl SenderShape {
    /// `region`: the clinic's.
    #[must_use]
    pub fn of(sender: &str, plus: Plus, region: Option<Region>) -> Self {
        if sender.chars().any(char::is_alphabetic) {
            return match gsm7::septets(sender) {
                Some(septets) if septets <= NAME_SEPTETS_MAX => {
                    let is_nameless = region.is_some_and(|region| NAMELESS.contains(&region.as_str()));
                    if is_nameless { Self::NameInNamelessCountry } else { Self::Name }
                }
                Some(_) | None => Self::NameTooLong,
            };
        }
        let is_digits = sender.bytes().all(|b| b.is_ascii_digit());
        if is_digits && SHORT_CODE_DIGITS.contains(&sender.len()) {
            return Self::ShortCode;
        }
        let (number, has_plus) = if is_digits { (format!("+{sender}"), false) } else { (sender.to_owned(), true) };
        match PhoneNumber::from_e164(&number) {
            Err(_) => Self::Neither,
            Ok(_) if !has_plus && plus == Plus::Needed => Self::NumberWithoutPlus,
            Ok(number) => match region.map(|region| region.is_home_of(&number)) {
                Some(false) => Self::NumberAbroad,
                Some(true) | None => Self::Number,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_what_networks_make_of_it() {
        for (sender, region, expected) in [
            ("+12025550100", "US", SenderShape::Number),
            ("+12025550100", "CA", SenderShape::Number),
            ("+12025550100", "DE", SenderShape::NumberAbroad),
            ("+4915123456789", "DE", SenderShape::Number),
            ("+18005550100", "US", SenderShape::Number),
            ("12025550100", "US", SenderShape::NumberWithoutPlus),
            ("72345", "US", SenderShape::ShortCode),
            ("Riverside", "DE", SenderShape::Name),
            ("Riverside 12", "DE", SenderShape::NameTooLong),
            ("Riverside", "US", SenderShape::NameInNamelessCountry),
            ("+1 202 555 0100", "US", SenderShape::Neither),
            ("+0123456789", "DE", SenderShape::Neither),
            ("12", "DE", SenderShape::Neither),
        ] {
            let region = Region::parse(region).ok();
            assert_eq!(SenderShape::of(sender, Plus::Needed, region), expected, "{sender}");
        }
        let us = Region::parse("US").ok();
        assert_eq!(SenderShape::of("12025550100", Plus::MayLack, us), SenderShape::Number);
        assert_eq!(SenderShape::of("+4915123456789", Plus::MayLack, None), SenderShape::Number);
    }
}
