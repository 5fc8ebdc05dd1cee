//! Identifiers. Each is parsed once; none can be confused with another.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, Encoding, HEXLOWER, Specification};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a text is not an identifier. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("expected {expected}")]
    Shape { expected: &'static str },
}

/// What `-` stands for in base64url.
const HYPHEN_BITS: u8 = 62;

/// An id that Chartseal makes: 96 random bits as 16 base64url characters.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; 12];
                rng.fill_bytes(&mut bytes);
                // An id that began with a hyphen would be an option to every command that it is given to.
                if let Some(first) = bytes.first_mut().filter(|first| **first >> 2 == HYPHEN_BITS) {
                    *first &= 0x7f;
                }
                Self(BASE64URL_NOPAD.encode(&bytes))
            }
        }

        checked_text!($name, "an id of 16 base64url characters", |text: &str| {
            text.len() == 16 && BASE64URL_NOPAD.decode(text.as_bytes()).is_ok()
        });
    };
}

/// Text kept exactly as written, once `$test` has accepted it.
macro_rules! checked_text {
    ($name:ident, $expected:literal, $test:expr) => {
        impl $name {
            /// # Errors
            /// Says which shape was expected.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let test: fn(&str) -> bool = $test;
                if test(text) { Ok(Self(text.to_owned())) } else { Err(IdError::Shape { expected: $expected }) }
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        checked_text!($name, $expected, $test);
    };
}

random_id!(
    /// One report on its way to one recipient under one decision.
    DeliveryId
);
random_id!(
    /// The public half of a link, `/r/{id}`.
    LinkId
);
random_id!(
    /// One browser's claimed right to fetch and decrypt.
    OpeningId
);
random_id!(
    /// One message: a link, a code, a reminder.
    NoticeId
);
random_id!(
    /// One thing an EHR said.
    EventId
);
random_id!(
    /// One resource of an EHR that Chartseal follows.
    SourceId
);

text_id!(
    /// A clinic's id in the configuration.
    ClinicId, "1 to 40 of a-z, 0-9 and inner hyphens", is_slug
);
text_id!(
    /// An EHR's id in the configuration.
    EhrId, "1 to 40 of a-z, 0-9 and inner hyphens", is_slug
);
text_id!(
    /// The person at the command line or console, as the audit names them.
    OperatorName, "1 to 64 visible characters", |text: &str| {
        !text.is_empty() && text.len() <= 64 && text.chars().all(|c| !c.is_control()) && text.trim() == text
    }
);
text_id!(
    /// A FHIR logical id (<https://hl7.org/fhir/R4/datatypes.html#id>).
    FhirId, "a FHIR id: 1 to 64 of A-Z, a-z, 0-9, hyphen and dot", |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            && !text.bytes().all(|b| b == b'.')
    }
);
text_id!(
    /// A FHIR `meta.versionId`: opaque, compared by number only when both sides are numbers.
    VersionId, "a FHIR version id of 1 to 64 characters", |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    }
);
text_id!(
    /// One thing that an EHR is told, as its staff find it there.
    ToldId, "24 of 0-9 and a-f", |text: &str| {
        text.len() == 24 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
);

/// Characters of a content's hash in a version of our own.
const MADE_UP_HASH: usize = 32;
const UNREAD: &str = "unread";

impl ToldId {
    /// The same for the same parts: what is told a second time, be it by a restored database, is the same thing.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(HEXLOWER.encode(digest.finalize().as_slice().get(..12).unwrap_or_default()))
    }
}

fn is_slug(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl VersionId {
    /// For a resource to which its EHR gives no version: one that changes when what it says or its time does.
    ///
    /// # Errors
    /// None that a hash in hex can meet.
    pub fn made_up(content: &str, updated: i64) -> Result<Self, IdError> {
        Self::parse(&format!("{}-{updated}", content.get(..MADE_UP_HASH).unwrap_or(content)))
    }

    /// Whether an EHR can be asked for it: [`Self::made_up`] ones, and what is no id in FHIR, are nothing to it.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        let is_made_up = self.0.split_once('-').is_some_and(|(hash, time)| {
            hash.len() == MADE_UP_HASH
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
                && time.bytes().all(|b| b.is_ascii_digit())
        });
        FhirId::parse(&self.0).is_ok() && !is_made_up && self.0 != UNREAD
    }

    /// Of what could not be read.
    #[must_use]
    pub fn unread() -> Self {
        Self(UNREAD.to_owned())
    }

    /// `Some(true)` when both are numbers and `self` is the earlier one; `None` when they cannot be
    /// compared.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> Option<bool> {
        let (mine, theirs) = (self.0.parse::<u64>().ok()?, other.0.parse::<u64>().ok()?);
        Some(mine < theirs)
    }
}

/// The resource types that can become a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceType {
    DiagnosticReport,
    DocumentReference,
}

impl ResourceType {
    pub const ALL: [Self; 2] = [Self::DiagnosticReport, Self::DocumentReference];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiagnosticReport => "DiagnosticReport",
            Self::DocumentReference => "DocumentReference",
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ResourceType {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(IdError::Shape { expected: "DiagnosticReport or DocumentReference" })
    }
}

/// One resource of one EHR: what an event points at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    pub ehr: EhrId,
    pub kind: ResourceType,
    pub id: FhirId,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.ehr, self.kind, self.id)
    }
}

text_id!(
    /// The short reference that a patient reads out on the phone, `K7Q4-MD2X`. Made from the link id alone,
    /// so that a page for an unknown link shows one too.
    Reference, "a reference of the form ABCD-EFGH", |text: &str| {
        text.len() == 9 && text.bytes().enumerate().all(|(i, b)| if i == 4 { b == b'-' } else { CROCKFORD.contains(&b) })
    }
);

/// Crockford's base 32: no I, L, O or U to misread or misspell.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Reference {
    /// 40 bits of SHA-256 over `link`.
    #[must_use]
    pub fn of(link: &LinkId) -> Self {
        let digest = Sha256::digest(link.as_str().as_bytes());
        let text = crockford().encode(digest.as_slice().get(..5).unwrap_or_default());
        let (head, tail) = text.split_at(4);
        Self(format!("{head}-{tail}"))
    }

    /// Reads what a person typed: any case, with or without the hyphen, O for 0, I and L for 1.
    ///
    /// # Errors
    /// Says which shape was expected.
    pub fn parse_typed(text: &str) -> Result<Self, IdError> {
        let plain: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        match (plain.get(..4), plain.get(4..)) {
            (Some(head), Some(tail)) => Self::parse(&format!("{head}-{tail}")),
            (None, _) | (_, None) => Err(IdError::Shape { expected: "a reference of the form ABCD-EFGH" }),
        }
    }
}

fn crockford() -> Encoding {
    let mut spec = Specification::new();
    spec.symbols.push_str(std::str::from_utf8(CROCKFORD).unwrap_or_default());
    spec.encoding().unwrap_or(data_encoding::BASE32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_parsed_strictly() {
        assert!(LinkId::parse("AAAAAAAAAAAAAAAA").is_ok());
        assert!(LinkId::parse("AAAAAAAAAAAAAAA").is_err());
        assert!(LinkId::parse("AAAAAAAAAAAAAA/A").is_err());
        assert!(FhirId::parse("..").is_err());
        assert!(FhirId::parse("a/b").is_err());
        assert!(EhrId::parse("Main").is_err());
        assert!(OperatorName::parse("eve\n").is_err());
    }

    #[test]
    fn no_id_of_ours_looks_like_an_option_of_a_command() {
        let mut rng = crate::base::random::system();
        assert!((0..2000).all(|_| !DeliveryId::random(&mut rng).as_str().starts_with('-')));
    }

    #[test]
    fn versions_compare_only_as_numbers() {
        let version = |text| VersionId::parse(text).unwrap();
        assert_eq!(version("9").is_before(&version("10")), Some(true));
        assert_eq!(version("10").is_before(&version("9")), Some(false));
        assert_eq!(version("6f0c").is_before(&version("10")), None);
    }

    #[test]
    fn only_a_version_that_an_ehr_gave_is_asked_for() {
        let asked_for = |text| VersionId::parse(text).unwrap().is_asked_for();
        assert!(asked_for("7") && asked_for("a1b2-7"));
        assert!(!asked_for("W/1") && !VersionId::unread().is_asked_for());
        let made_up = VersionId::made_up(&"0123456789abcdef".repeat(4), 1_700_000_000_000).unwrap();
        assert!(!made_up.is_asked_for() && made_up.as_str().len() == 46);
    }

    #[test]
    fn a_reference_is_read_as_people_type_it() {
        let reference = Reference::of(&LinkId::parse("AAAAAAAAAAAAAAAA").unwrap());
        let typed = reference.as_str().to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert_eq!(Reference::parse_typed(&typed), Ok(reference));
        assert!(Reference::parse_typed("K7Q").is_err());
        assert!(Reference::parse_typed("ééééé").is_err());
    }
}
