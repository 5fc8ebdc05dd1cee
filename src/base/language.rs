//! The languages in which patients are written to, and tags that name them.

use std::fmt;

/// A language that every message and every page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    English,
    Spanish,
    Polish,
    German,
    French,
}

/// A [`Language`], and how a region writes it: `de`, `de-AT` (RFC 5646, language and region).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LanguageTag {
    language: Language,
    /// Two capital letters (ISO 3166-1).
    region: Option<[u8; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected one of \"en\", \"es\", \"pl\", \"de\", \"fr\", or one with its region such as \"en-GB\": messages and pages are \
     written in no other language yet"
)]
pub struct LanguageError;

impl Language {
    pub const ALL: [Self; 5] = [Self::English, Self::Spanish, Self::Polish, Self::German, Self::French];

    /// ISO 639-1.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Spanish => "es",
            Self::Polish => "pl",
            Self::German => "de",
            Self::French => "fr",
        }
    }

    /// Its name in itself.
    #[must_use]
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Spanish => "Español",
            Self::Polish => "Polski",
            Self::German => "Deutsch",
            Self::French => "Français",
        }
    }

    /// What a tag such as `es-MX`, `de-Latn-CH` or `PL` names, if it is one of ours.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or("");
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.as_str()))
    }

    /// The one that a header `Accept-Language` likes best among ours (RFC 9110 §12.5.4); the first of equals.
    #[must_use]
    pub fn preferred(accepted: &str) -> Option<Self> {
        let mut best: Option<(u16, Self)> = None;
        for entry in accepted.split(',').take(ACCEPTED_MAX) {
            let mut parts = entry.split(';');
            let Some(language) = parts.next().and_then(Self::of_tag) else { continue };
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1000), thousandths);
            match (weight, best) {
                (None | Some(0), _) => {}
                (Some(weight), Some((held, _))) if weight <= held => {}
                (Some(weight), _) => best = Some((weight, language)),
            }
        }
        best.map(|(_, language)| language)
    }
}

/// Entries of a header that are looked at.
const ACCEPTED_MAX: usize = 32;

/// `0.8` as 800; `None` for what is no weight.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let is_weight = matches!(whole, "0" | "1") && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let parsed = if is_weight { format!("{whole}{part:0<3}").parse::<u16>().ok() } else { None };
    parsed.map(|weight| weight.min(1000))
}

impl LanguageTag {
    /// # Errors
    /// Says which tags were expected.
    pub fn parse(text: &str) -> Result<Self, LanguageError> {
        let (language, region) = text.split_once('-').map_or((text, None), |(l, r)| (l, Some(r)));
        let language = Language::ALL.into_iter().find(|one| one.as_str() == language).ok_or(LanguageError)?;
        let region = match region.map(str::as_bytes) {
            None => None,
            Some(&[a, b]) if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Some([a, b]),
            Some(_) => return Err(LanguageError),
        };
        Ok(Self { language, region })
    }

    #[must_use]
    pub const fn language(self) -> Language {
        self.language
    }
}

impl From<Language> for LanguageTag {
    fn from(language: Language) -> Self {
        Self { language, region: None }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.language.as_str())?;
        match self.region {
            Some([a, b]) => write!(f, "-{}{}", char::from(a), char::from(b)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_of_ours_with_or_without_its_region() {
        for text in ["en", "en-GB", "es-MX", "pl", "de-AT", "fr-CA"] {
            assert_eq!(LanguageTag::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "nl", "Spanish", "EN", "en-gb", "en-GBR", "en-", "en-G", "de-Latn-CH", "en-\u{e9}"] {
            assert_eq!(LanguageTag::parse(text), Err(LanguageError), "{text:?}");
        }
    }

    #[test]
    fn a_browser_gets_the_language_that_it_likes_best_among_ours() {
        for (accepted, expected) in [
            ("de-AT,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("nl,pl;q=0.5,en;q=0.4", Some(Language::Polish)),
            ("en;q=0.2, fr;q=0.7, es;q=0.7", Some(Language::French)),
            ("es-419", Some(Language::Spanish)),
            ("nl, *;q=0.5", None),
            ("de;q=0, en;q=0.001", Some(Language::English)),
            ("de;q=0", None),
            ("de;q=rubbish, en;q=0.1", Some(Language::English)),
            ("", None),
        ] {
            assert_eq!(Language::preferred(accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn what_an_ehr_writes_of_a_language_names_it() {
        for (tag, expected) in [("es-MX", Language::Spanish), ("PL", Language::Polish), ("de_CH", Language::German)] {
            assert_eq!(Language::of_tag(tag), Some(expected));
        }
        assert_eq!(Language::of_tag("nl"), None);
        assert_eq!(Language::of_tag("english"), None);
    }
}
