//! What a sealed file is bound to: a file moved to another link, place, version or type does not open.
//!
//! Must stay true: two different contexts never give the same bytes. No part can contain the newline between them:
//! link ids are base64url, version ids visible ASCII, media types ours.

use std::fmt;
use std::num::NonZeroU16;

use crate::base::{LinkId, MediaType, VersionId};

/// The place of a file among a link's files, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(NonZeroU16);

impl FileNumber {
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// `None` for zero.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything a file is sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContext {
    pub link: LinkId,
    pub number: FileNumber,
    pub version: VersionId,
    pub media: MediaType,
}

impl FileContext {
    /// Tink's associated data: `chartseal/1`, then the link's id, the number, the version and the type, a line each.
    #[must_use]
    pub fn associated_data(&self) -> String {
        let Self { link, number, version, media } = self;
        format!("chartseal/1\n{link}\n{number}\n{version}\n{media}")
    }
}
