//! What a document that somebody else wrote says: the text of a PDF; RTF, HTML and CDA word for word as a [`Carried`] document,
//! or why not.
//!
//! Must stay true: pure; whatever a document says is either carried over or known to be empty of meaning, and everything else is
//! an [`Obstacle`], which names a kind of thing and never a word of the document; depth and length are bounded. A PDF reader may
//! panic and use much time: it is called in a process of its own.
//! Must not know: whose the document is, in which process it is read.

mod bound;
pub mod cda;
mod encoding;
mod flow;
mod grid;
pub mod html;
mod look;
mod obstacle;
pub mod pdf;
pub mod rtf;
mod tree;

#[cfg(test)]
mod tests;

pub use bound::check as checked;
pub use obstacle::Obstacle;

use serde::{Deserialize, Serialize};

use crate::paper::Carried;

/// A kind of document that no patient is shown as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreign {
    Html,
    Cda,
    Rtf,
}

impl Foreign {
    /// For people: `an RTF document`.
    #[must_use]
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::Html => "an HTML document",
            Self::Cda => "a CDA document",
            Self::Rtf => "an RTF document",
        }
    }
}

/// Carries a document over, word for word.
///
/// # Errors
/// What stands in the way.
pub fn carry_over(kind: Foreign, bytes: &[u8]) -> Result<Carried, Obstacle> {
    let carried = match kind {
        Foreign::Html => html::read(bytes)?,
        Foreign::Cda => cda::read(bytes)?,
        Foreign::Rtf => rtf::read(bytes)?,
    };
    bound::check(carried)
}
