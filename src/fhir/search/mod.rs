//! Asking what changed in a stretch of time, page by page.
//!
//! Must stay true: the server's filter, order and links are not trusted: what it returns is judged again here,
//! a page link is followed only to the EHR's own origin, a walk always ends, and one that is not complete says so.

mod page;
mod walk;

use std::num::NonZeroU16;
use std::time::Duration;

use url::Url;

use super::client::EhrClient;
use super::error::EhrError;
use super::hook::Heard;
use crate::base::{FhirId, ResourceType, UtcMillis, minutes, seconds};

pub(super) use page::{limits_the_result, list};
pub use walk::{Step, Walk, WalkEnd};

/// A transaction may commit this long after the `lastUpdated` it carries.
pub const SEARCH_COMMIT_LAG: Duration = minutes(2);
/// How far the server's `Date` may be from the clock that stamps `lastUpdated`. A watermark stays behind the
/// server's `Date` by both.
pub const SEARCH_CLOCK_DRIFT: Duration = seconds(2);

/// Resources that are returned of one search in one piece.
const COLLECTED_MAX: usize = 50_000;

/// `since <= lastUpdated < until`, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub since: UtcMillis,
    pub until: UtcMillis,
}

/// What is sought of one resource type. Names a patient: no `Debug`.
#[derive(Clone)]
pub enum Sought {
    /// What changed.
    Changed(Window),
    /// What changed of one patient.
    ChangedOf(FhirId, Window),
    /// What carries a date from `from` on in the parameter of this name, whenever it changed; of one patient where one is named.
    Dated { patient: Option<FhirId>, parameter: &'static str, from: UtcMillis },
    /// What was deleted since.
    History { since: UtcMillis },
}

pub enum SearchAnswer {
    Walked(Changes),
    /// The server forgot its page links (404 or 410): search the same window again.
    RestartWindow,
    /// More than `found_max` resources or `pages_max` pages: search a shorter window.
    WindowTooLarge,
}

pub struct Changes {
    pub heard: Vec<Heard>,
    pub completeness: Completeness,
    /// Resources whose `lastUpdated` lies outside the window although the server was asked for it; they are
    /// in `heard` too.
    pub outside_window: usize,
    /// The server's `Date` on the first page.
    pub server_date: Option<UtcMillis>,
}

/// Only a complete walk may move a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    Incomplete { why: &'static str },
}

impl EhrClient {
    /// Finds the resources of `kind` that changed in `window`, asking for `page_count` a page: all of a [`Walk`] in one piece.
    ///
    /// # Errors
    /// As [`Walk::step`]. Nothing is returned of a walk that failed half-way. `TooLarge`: ask for fewer a page.
    pub async fn search_changed(
        &self,
        kind: ResourceType,
        window: Window,
        page_count: NonZeroU16,
    ) -> Result<SearchAnswer, EhrError> {
        let mut walk = self.walk(kind, Sought::Changed(window), page_count);
        let mut heard = Vec::new();
        loop {
            let completeness = match walk.step().await? {
                Step::Page { changed, .. } => {
                    heard.extend(changed);
                    if heard.len() > COLLECTED_MAX {
                        return Ok(SearchAnswer::WindowTooLarge);
                    }
                    continue;
                }
                Step::End(WalkEnd::Whole) => Completeness::Complete,
                Step::End(WalkEnd::Incomplete { why }) => Completeness::Incomplete { why },
                Step::End(WalkEnd::Forgotten) => return Ok(SearchAnswer::RestartWindow),
                Step::End(WalkEnd::TooMuch) => return Ok(SearchAnswer::WindowTooLarge),
            };
            let (outside_window, server_date) = (walk.outside_window(), walk.server_date());
            return Ok(SearchAnswer::Walked(Changes { heard, completeness, outside_window, server_date }));
        }
    }

    /// Begins to walk over what is `sought` of `kind`. Asks the server to leave out everything but id and meta; one that cannot
    /// is asked again without that wish.
    #[must_use]
    pub fn walk(&self, kind: ResourceType, sought: Sought, page_count: NonZeroU16) -> Walk<'_> {
        Walk::new(self, kind, sought, page_count)
    }

    pub(super) fn next_url(&self, current: &Url, next: &str) -> Result<Url, EhrError> {
        let url = current.join(next).map_err(|_| EhrError::ForbiddenUrl { why: "a page link is not a URL" })?;
        if self.guard.is_ehr(&url) {
            Ok(url)
        } else {
            Err(EhrError::ForbiddenUrl { why: "a page link leads to another server than the EHR" })
        }
    }
}
