//! One walk over the pages of a search, handed out page by page: what it found is never held as a whole.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::num::NonZeroU16;

use reqwest::Method;
use url::Url;

use super::page::{Change, Found, Page, read_history, read_page};
use super::{Sought, Window};
use crate::base::{FhirId, ResourceType, UtcMillis};
use crate::fhir::client::{EhrClient, Fetched, apart};
use crate::fhir::error::EhrError;
use crate::fhir::hook::Heard;
use crate::fhir::pace::Turn;
use crate::fhir::transport;

const CIRCLE: &str = "the server's page links lead in a circle";
const DROPPED: &str = "the server counted more than it showed on all its pages";

/// What came next.
pub enum Step {
    /// What was on no page before. `deleted` is told by a history alone.
    Page {
        changed: Vec<Heard>,
        deleted: Vec<FhirId>,
    },
    End(WalkEnd),
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// Only such a walk may move a watermark.
    Whole,
    Incomplete {
        why: &'static str,
    },
    /// The server forgot its page links (404 or 410): search the same again.
    Forgotten,
    /// More than `found_max` resources or `pages_max` pages: seek less.
    TooMuch,
}

/// A walk under way. What it remembers of each resource is eight bytes.
pub struct Walk<'a> {
    client: &'a EhrClient,
    kind: ResourceType,
    sought: Sought,
    page_count: NonZeroU16,
    form: Form,
    next: Option<Url>,
    page_number: usize,
    seen: HashSet<u64>,
    visited: HashSet<u64>,
    spread: RandomState,
    total: Option<u64>,
    incomplete: Option<&'static str>,
    outside_window: usize,
    server_date: Option<UtcMillis>,
}

/// How resources are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Without their content.
    Short,
    Whole,
}

enum Read {
    Page(Page, Option<UtcMillis>),
    Forgotten,
}

impl<'a> Walk<'a> {
    pub(super) fn new(client: &'a EhrClient, kind: ResourceType, sought: Sought, page_count: NonZeroU16) -> Self {
        let form = match &sought {
            Sought::Changed(_) | Sought::ChangedOf(..) | Sought::Dated { .. } => Form::Short,
            Sought::History { .. } => Form::Whole,
        };
        let mut walk = Self {
            client,
            kind,
            sought,
            page_count,
            form,
            next: None,
            page_number: 0,
            seen: HashSet::new(),
            visited: HashSet::new(),
            spread: RandomState::new(),
            total: None,
            incomplete: None,
            outside_window: 0,
            server_date: None,
        };
        walk.begin(form);
        walk
    }

    /// The server's `Date` on the first page.
    #[must_use]
    pub const fn server_date(&self) -> Option<UtcMillis> {
        self.server_date
    }

    /// Resources so far whose `lastUpdated` lies outside the window although the server was asked for it.
    #[must_use]
    pub const fn outside_window(&self) -> usize {
        self.outside_window
    }

    /// Takes the next page, or ends.
    ///
    /// # Errors
    /// See [`EhrError::class`]. `TooLarge`: one resource alone is.
    pub async fn step(&mut self) -> Result<Step, EhrError> {
        loop {
            if self.seen.len() > self.client.limits.found_max {
                return Ok(Step::End(WalkEnd::TooMuch));
            }
            let Some(url) = self.next.take() else {
                let dropped = || self.total.filter(|total| *total > self.seen.len() as u64).map(|_| DROPPED);
                match self.incomplete.or_else(dropped) {
                    None => return Ok(Step::End(WalkEnd::Whole)),
                    // The wish itself may be what the server remarks upon.
                    Some(_) if self.form == Form::Short => self.begin(Form::Whole),
                    Some(why) => return Ok(Step::End(WalkEnd::Incomplete { why })),
                }
                continue;
            };
            if self.page_number >= self.client.limits.pages_max {
                return Ok(Step::End(WalkEnd::TooMuch));
            }
            match self.read(url.clone()).await {
                Ok(Read::Page(page, date)) => return self.take(&url, page, date),
                Ok(Read::Forgotten) => return Ok(Step::End(WalkEnd::Forgotten)),
                Err(EhrError::Rejected { status: 400 | 422 }) if self.form == Form::Short => self.begin(Form::Whole),
                // Whole resources with their files inside: from the beginning, fewer at a time. What was handed out is not
                // handed out again.
                Err(EhrError::TooLarge { .. }) if self.page_count > NonZeroU16::MIN => {
                    self.page_count = NonZeroU16::new(self.page_count.get() / 4).unwrap_or(NonZeroU16::MIN);
                    self.begin(self.form);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn begin(&mut self, form: Form) {
        let first = self.first_url(form);
        self.visited = HashSet::from([self.hash(&first)]);
        (self.form, self.page_number, self.total, self.incomplete) = (form, 0, None, None);
        self.next = Some(first);
    }

    fn first_url(&self, form: Form) -> Url {
        let base = &self.client.base;
        let mut url = match &self.sought {
            Sought::Changed(_) | Sought::ChangedOf(..) | Sought::Dated { .. } => base.at(&[self.kind.as_str()]),
            Sought::History { .. } => base.at(&[self.kind.as_str(), "_history"]),
        };
        let mut query = url.query_pairs_mut();
        match &self.sought {
            Sought::ChangedOf(patient, _) | Sought::Dated { patient: Some(patient), .. } => {
                query.append_pair("patient", patient.as_str());
            }
            Sought::Changed(_) | Sought::Dated { patient: None, .. } | Sought::History { .. } => {}
        }
        match &self.sought {
            Sought::Changed(window) | Sought::ChangedOf(_, window) => {
                query.append_pair("_lastUpdated", &format!("ge{}", window.since.to_rfc3339()));
                query.append_pair("_lastUpdated", &format!("lt{}", window.until.to_rfc3339()));
            }
            Sought::Dated { parameter, from, .. } => {
                query.append_pair(parameter, &format!("ge{}", from.to_rfc3339()));
            }
            Sought::History { since } => {
                query.append_pair("_since", &since.to_rfc3339());
            }
        }
        query.append_pair("_count", &self.page_count.to_string());
        if form == Form::Short {
            query.append_pair("_elements", "id,meta");
        }
        drop(query);
        url
    }

    async fn read(&self, url: Url) -> Result<Read, EhrError> {
        let request = self.client.ask(Method::GET, url);
        let limit_bytes = self.client.limits.page_bytes_max;
        let (body, headers) = match self.client.fetch_json_in(Turn::WhenQuiet, request, limit_bytes).await? {
            Fetched::Body { body, headers } => (body, headers),
            // On the first page there is no link to forget: the address is wrong.
            Fetched::Gone(body) if self.page_number == 0 => return Err(body.nothing_here()),
            Fetched::Gone(_) => return Ok(Read::Forgotten),
        };
        let (kind, is_history) = (self.kind, matches!(self.sought, Sought::History { .. }));
        let read = move || if is_history { read_history(kind, &body) } else { read_page(kind, &body) };
        Ok(Read::Page(apart("Bundle", read).await??, transport::server_date(&headers)))
    }

    fn take(&mut self, url: &Url, page: Page, date: Option<UtcMillis>) -> Result<Step, EhrError> {
        if self.page_number == 0 {
            self.server_date = self.server_date.or(date);
            self.total = page.total;
        }
        self.page_number += 1;
        self.incomplete = self.incomplete.or(page.incomplete);
        let is_past = self.is_past(&page.entries);
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        for Found { heard, last_updated, how } in page.entries {
            if !self.seen.insert(self.hash(&(&heard.id, &heard.version, how == Change::Deleted))) {
                continue;
            }
            if !last_updated.is_none_or(|at| self.is_inside(at)) {
                self.outside_window += 1;
            }
            match (how, &self.sought) {
                // Its newest version is found by a search, and needs no reading for each older one.
                (Change::Written, Sought::History { .. }) => {}
                (Change::Written, Sought::Changed(_) | Sought::ChangedOf(..) | Sought::Dated { .. }) => {
                    changed.push(heard);
                }
                (Change::Deleted, _) => deleted.push(heard.id),
            }
        }
        if let Some(next) = page.next.filter(|_| !is_past) {
            let next = self.client.next_url(url, &next)?;
            if self.visited.insert(self.hash(&next)) {
                self.next = Some(next);
            } else {
                self.incomplete = Some(CIRCLE);
            }
        }
        Ok(Step::Page { changed, deleted })
    }

    /// A history tells the newest first; some servers forget on the second page since when it was asked.
    fn is_past(&self, entries: &[Found]) -> bool {
        let Sought::History { since } = &self.sought else { return false };
        !entries.is_empty() && entries.iter().all(|found| found.last_updated.is_some_and(|at| at < *since))
    }

    const fn is_inside(&self, at: UtcMillis) -> bool {
        match &self.sought {
            Sought::Changed(Window { since, until }) | Sought::ChangedOf(_, Window { since, until }) => {
                since.0 <= at.0 && at.0 < until.0
            }
            Sought::Dated { .. } | Sought::History { .. } => true,
        }
    }

    fn hash(&self, what: &impl Hash) -> u64 {
        self.spread.hash_one(what)
    }
}
