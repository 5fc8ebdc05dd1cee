//! The types of what Chartseal seals.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A type that the patient's page can show, decided by the bytes and never by the sender's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MediaType {
    #[serde(rename = "application/pdf")]
    Pdf,
    #[serde(rename = "image/png")]
    Png,
    #[serde(rename = "image/jpeg")]
    Jpeg,
    #[serde(rename = "text/plain")]
    Text,
    /// A document that Chartseal wrote itself, never one that was sent.
    #[serde(rename = "text/html")]
    Html,
    /// What a patient's health app is given, beside the documents: no document itself.
    #[serde(rename = "application/vnd.chartseal.health-link+json")]
    HealthLink,
    /// What the documents are called and what staff say of them, beside them: no document either.
    #[serde(rename = "application/vnd.chartseal.contents+json")]
    Contents,
}

impl MediaType {
    pub const ALL: [Self; 7] =
        [Self::Pdf, Self::Png, Self::Jpeg, Self::Text, Self::Html, Self::HealthLink, Self::Contents];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Text => "text/plain",
            Self::Html => "text/html",
            Self::HealthLink => "application/vnd.chartseal.health-link+json",
            Self::Contents => "application/vnd.chartseal.contents+json",
        }
    }

    /// Whether it is what the link was sent for.
    #[must_use]
    pub const fn is_document(self) -> bool {
        match self {
            Self::Pdf | Self::Png | Self::Jpeg | Self::Text | Self::Html => true,
            Self::HealthLink | Self::Contents => false,
        }
    }

    /// The file name extension, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Text => "txt",
            Self::Html => "html",
            Self::HealthLink | Self::Contents => "json",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MediaType {
    type Err = ();

    /// Parameters (`; charset=…`) and case are ignored.
    fn from_str(text: &str) -> Result<Self, ()> {
        let essence = text.split(';').next().unwrap_or("").trim();
        Self::ALL.into_iter().find(|kind| essence.eq_ignore_ascii_case(kind.as_str())).ok_or(())
    }
}
