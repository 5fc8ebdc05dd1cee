//! What the terms ask of each opening of a link.

use std::collections::BTreeSet;
use std::time::Duration;

use super::columns::VIEW_SECONDS_MAX;
use super::decision::{Download, Notify, Terms};

/// Kept with the link: rules that change later make another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpeningTerms {
    /// How long one opening lasts.
    pub view: Duration,
    pub download: Download,
    /// Who is told that it was opened.
    pub notify: BTreeSet<Notify>,
}

impl OpeningTerms {
    /// Nothing but what holds for every link.
    #[must_use]
    pub fn loosest() -> Self {
        let view = Duration::from_secs(VIEW_SECONDS_MAX.into());
        Self { view, download: Download::Allowed, notify: BTreeSet::new() }
    }

    /// The stricter of both in each.
    #[must_use]
    pub fn joined(self, other: &Self) -> Self {
        Self {
            view: self.view.min(other.view),
            download: self.download.max(other.download),
            notify: self.notify.union(&other.notify).copied().collect(),
        }
    }

    /// After how long the page takes the document away, although its reader would stay; `None`: it never does.
    #[must_use]
    pub fn ends_after(&self) -> Option<Duration> {
        (self.view.as_secs() < VIEW_SECONDS_MAX.into()).then_some(self.view)
    }
}

impl From<&Terms> for OpeningTerms {
    fn from(terms: &Terms) -> Self {
        let view = Duration::from_secs(terms.view_seconds.into());
        Self { view, download: terms.download, notify: terms.notify.clone() }
    }
}
