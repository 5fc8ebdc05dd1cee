//! All resources of one type that a search finds, page by page.
//!
//! Must stay true: the server's filter is not trusted, for the caller looks at each resource again; a page link is followed
//! to the EHR alone; the walk is bounded, and one that is not complete says so.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::fetch::lack_of;
use super::shape::word;
use crate::base::UtcMillis;
use crate::fhir::client::{EhrClient, Fetched, apart};
use crate::fhir::error::{EhrError, Malformed};
use crate::fhir::gate::parse_json;
use crate::fhir::project::sanitise;
use crate::fhir::search::{limits_the_result, list};
use crate::fhir::transport;
use crate::policy::facts::Lack;

/// Most resources of one search.
const LISTED_MAX: usize = 500;
/// Most pages of one search.
const PAGES_MAX: usize = 20;
/// The largest page that is read.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Sanitised resources. Patient data: no `Debug`.
#[derive(Default)]
pub(super) struct Listing {
    pub resources: Vec<Value>,
    pub lacking: BTreeSet<Lack>,
    /// The server's clock at the first page.
    pub server_date: Option<UtcMillis>,
}

struct Page {
    resources: Vec<Value>,
    lacking: BTreeSet<Lack>,
    next: Option<String>,
}

impl EhrClient {
    /// Searches `kind` by `parameters` until `deadline`. What was found until then is kept.
    pub(super) async fn list(&self, kind: &'static str, parameters: &[(&str, &str)], deadline: Instant) -> Listing {
        let mut listing = Listing::default();
        let mut first = self.base.at(&[kind]);
        first.query_pairs_mut().extend_pairs(parameters);
        match timeout_at(deadline, self.list_pages(kind, first, &mut listing)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                listing.lacking.insert(lack_of(&error));
            }
            Err(_) => {
                listing.lacking.insert(Lack::TimedOut);
            }
        }
        listing
    }

    async fn list_pages(&self, kind: &'static str, first: Url, listing: &mut Listing) -> Result<(), EhrError> {
        let mut url = first;
        for page_number in 0..PAGES_MAX {
            let request = self.ask(Method::GET, url.clone());
            let (body, headers) = match self.fetch_json(request, PAGE_BYTES_MAX.min(self.limits.page_bytes_max)).await?
            {
                Fetched::Body { body, headers } => (body, headers),
                Fetched::Gone(_) => return Err(EhrError::Gone),
            };
            if page_number == 0 {
                listing.server_date = transport::server_date(&headers);
            }
            let page = apart(kind, move || read_page(kind, &body)).await.and_then(|page| page)?;
            listing.lacking.extend(page.lacking);
            listing.resources.extend(page.resources);
            if listing.resources.len() > LISTED_MAX {
                listing.resources.truncate(LISTED_MAX);
                listing.lacking.insert(Lack::TooMany);
                return Ok(());
            }
            let Some(next) = page.next else { return Ok(()) };
            url = self.next_url(&url, &next)?;
        }
        listing.lacking.insert(Lack::TooMany);
        Ok(())
    }
}

fn read_page(kind: &str, body: &[u8]) -> Result<Page, Malformed> {
    let mut bundle = parse_json(body)?;
    sanitise(&mut bundle);
    if word(&bundle, "resourceType") != Some("Bundle") {
        return Err(Malformed::new("resourceType", "is not the type that was asked for"));
    }
    let mut page = Page { resources: Vec::new(), lacking: BTreeSet::new(), next: None };
    for link in list(&bundle, "link")? {
        if word(link, "relation") == Some("next") {
            let next = word(link, "url").ok_or_else(|| Malformed::new("Bundle.link.url", "is missing"))?;
            page.next = Some(next.to_owned());
        }
    }
    list(&bundle, "entry")?;
    let Some(Value::Array(entries)) = bundle.get_mut("entry").map(Value::take) else { return Ok(page) };
    for mut entry in entries {
        match entry.get_mut("resource").map(Value::take) {
            Some(resource) if word(&resource, "resourceType") == Some(kind) => page.resources.push(resource),
            Some(outcome) if word(&outcome, "resourceType") == Some("OperationOutcome") => {
                if limits_the_result(&outcome) {
                    page.lacking.insert(Lack::Refused);
                }
            }
            Some(other) if word(&other, "resourceType").is_some() => {}
            Some(_) | None => {
                page.lacking.insert(Lack::Unreadable);
            }
        }
    }
    Ok(page)
}
