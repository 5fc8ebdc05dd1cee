//! Phone numbers that Chartseal is willing to text.
//!
//! Must stay true: what is kept is one number of one person, in the form of ITU-T E.164; doubt is an error with its reason, and no
//! error repeats the number.
//!
//! Which numbers exist, and of what kind they are, is the `phonenumber` crate's: Google's libphonenumber data.

use std::fmt;
use std::str::FromStr as _;

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, Type};

/// Longest text that is looked at, in bytes: a number with every bracket and blank that people put into it.
const WRITTEN_BYTES_MAX: usize = 40;

/// A number that can be texted: `+12025550101`. Patient data: no `Display`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// Where numbers without `+` are at home: an ISO 3166-1 code such as `US`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region(Id);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    #[error("the number is empty")]
    Empty,
    #[error("the number holds letters or an extension")]
    Letters,
    #[error("the number does not begin with + and no region says in which country it is")]
    NoRegion,
    #[error("this is no phone number of its country")]
    NotANumber,
    #[error("the number is a short code or an emergency number, not a person's")]
    Short,
    #[error("the number costs extra (premium or shared cost)")]
    Premium,
    #[error("the number is a service's (toll-free, pager, voice mail), not a person's")]
    Service,
    #[error("the number is a landline, which takes no texts")]
    Landline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a country as two capital letters (ISO 3166-1), such as \"US\" or \"DE\"")]
pub struct RegionError;

impl Region {
    /// # Errors
    /// [`RegionError`] for what is no country with phones.
    pub fn parse(text: &str) -> Result<Self, RegionError> {
        let is_code = text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
        if is_code { Id::from_str(text).map(Self).map_err(|_| RegionError) } else { Err(RegionError) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// Whether the number begins with this country's code; some countries share one (ITU-T E.164, Annex D).
    #[must_use]
    pub fn is_home_of(&self, number: &PhoneNumber) -> bool {
        // No code is the beginning of another.
        let code = DATABASE.by_id(self.as_str()).map(|country| format!("+{}", country.country_code()));
        code.is_some_and(|code| number.expose().starts_with(&code))
    }
}

impl PhoneNumber {
    /// Parses a number as people write it; `region` says whose it is where it does not begin with `+`.
    ///
    /// # Errors
    /// Names what is wrong without repeating the number.
    pub fn parse(text: &str, region: Option<Region>) -> Result<Self, PhoneError> {
        let text = text.trim();
        let text = text.strip_prefix("tel:").unwrap_or(text).trim();
        if text.is_empty() {
            return Err(PhoneError::Empty);
        }
        if text.chars().any(char::is_alphabetic) {
            return Err(PhoneError::Letters);
        }
        let is_written = text.len() <= WRITTEN_BYTES_MAX
            && text.chars().all(|c| c.is_ascii_digit() || "+ -./()\u{a0}\u{2010}\u{2011}\u{2013}".contains(c));
        if !is_written || text.rfind('+').is_some_and(|at| at > 0) {
            return Err(PhoneError::NotANumber);
        }
        if !text.starts_with('+') && region.is_none() {
            return Err(PhoneError::NoRegion);
        }
        if text.bytes().filter(u8::is_ascii_digit).count() < 7 {
            return Err(PhoneError::Short);
        }
        let number = phonenumber::parse(region.map(|region| region.0), text).map_err(|_| PhoneError::NotANumber)?;
        if !phonenumber::is_valid(&number) {
            return Err(PhoneError::NotANumber);
        }
        match number.number_type(&DATABASE) {
            Type::PremiumRate | Type::SharedCost => return Err(PhoneError::Premium),
            Type::TollFree | Type::Pager | Type::Uan | Type::Voicemail | Type::StandardRate | Type::Carrier => {
                return Err(PhoneError::Service);
            }
            Type::Emergency | Type::ShortCode => return Err(PhoneError::Short),
            Type::FixedLine => return Err(PhoneError::Landline),
            Type::NoInternational | Type::Unknown => return Err(PhoneError::NotANumber),
            Type::Mobile | Type::FixedLineOrMobile | Type::Voip | Type::PersonalNumber => {}
        }
        Self::from_e164(&number.format().mode(Mode::E164).to_string())
    }

    /// Reads what [`Self::expose`] gave: `+` and 7 to 15 digits (ITU-T E.164 §6).
    ///
    /// # Errors
    /// [`PhoneError::NotANumber`].
    pub fn from_e164(text: &str) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError::NotANumber)?;
        let is_number =
            (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        if is_number { Ok(Self(text.to_owned())) } else { Err(PhoneError::NotANumber) }
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last two digits, for somebody who knows the number anyway.
    #[must_use]
    pub fn ending(&self) -> &str {
        self.0.get(self.0.len().saturating_sub(2)..).unwrap_or_default()
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber([patient data])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, region: &str) -> Result<String, PhoneError> {
        PhoneNumber::parse(text, Region::parse(region).ok()).map(|number| number.expose().to_owned())
    }

    #[test]
    fn numbers_are_read_by_the_region_of_the_clinic() {
        for (text, region, is) in [
            ("(202) 555-0101", "US", "+12025550101"),
            ("1-202-555-0101", "US", "+12025550101"),
            ("+1 202 555 0101", "DE", "+12025550101"),
            ("0151 23456789", "DE", "+4915123456789"),
            ("0049 151 23456789", "DE", "+4915123456789"),
            ("tel:+49-151-23456789", "", "+4915123456789"),
            ("612 345 678", "ES", "+34612345678"),
            ("06 12 34 56 78", "FR", "+33612345678"),
            ("512 345 678", "PL", "+48512345678"),
        ] {
            assert_eq!(parse(text, region).as_deref(), Ok(is), "{text} in {region}");
        }
    }

    #[test]
    fn numbers_a_person_should_look_at_are_refused_with_the_reason() {
        for (text, region, why) in [
            ("", "US", PhoneError::Empty),
            ("1-800-FLOWERS", "US", PhoneError::Letters),
            ("202 555 0101 ext. 3", "US", PhoneError::Letters),
            ("(202) 555-0101", "", PhoneError::NoRegion),
            ("911", "US", PhoneError::Short),
            ("12345", "US", PhoneError::Short),
            ("202 555 01011", "US", PhoneError::NotANumber),
            ("+1 202 555 0101; +1 202 555 0102", "US", PhoneError::NotANumber),
            ("1+2025550101", "US", PhoneError::NotANumber),
            ("+999 12345678", "US", PhoneError::NotANumber),
            ("900 234 5678", "US", PhoneError::Premium),
            ("0900 1234567", "DE", PhoneError::Premium),
            ("800 234 5678", "US", PhoneError::Service),
            ("030 123456", "DE", PhoneError::Landline),
        ] {
            assert_eq!(parse(text, region).err(), Some(why), "{text:?} in {region}");
        }
    }

    #[test]
    fn what_is_kept_reads_back_and_is_never_shown() {
        let number = PhoneNumber::parse("+12025550101", None).unwrap();
        assert_eq!(PhoneNumber::from_e164(number.expose()), Ok(number.clone()));
        assert_eq!(number.ending(), "01");
        assert!(!format!("{number:?}").contains("202"));
        for text in ["12025550101", "+", "+0123456789", "+1202555010a", "+1234567890123456"] {
            assert!(PhoneNumber::from_e164(text).is_err(), "{text}");
        }
        for text in ["us", "USA", "", "XX"] {
            assert!(Region::parse(text).is_err(), "{text}");
        }
    }
}
