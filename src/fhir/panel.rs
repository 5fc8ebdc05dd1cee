//! Whom an EHR sees: the patients that it is asked about where it refuses searches over all.
//!
//! Must stay true: an id is taken only from a reference to a patient of this very EHR; a list that could not be read whole says
//! so, and nobody is dropped for it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::client::{EhrClient, Fetched, apart};
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::pace::Turn;
use super::search::{limits_the_result, list};
use super::service::{ServiceBase, Target};
use crate::base::{FhirId, UtcMillis, hours};

/// Appointments from so long ago until so far ahead: a result comes after the visit, an order before it.
const APPOINTMENTS_BACK_DAYS: u64 = 14;
const APPOINTMENTS_AHEAD_DAYS: u64 = 14;
/// Results of older orders are rare; a hook still tells of them.
const ORDERS_BACK_DAYS: u64 = 60;
/// Pages of one list.
const PAGES_MAX: usize = 1000;
const PAGE_COUNT: &str = "200";

/// Where the EHR itself tells whom it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PanelSource {
    Group(FhirId),
    Appointments,
    Orders,
}

impl EhrClient {
    /// The patients that `source` names now.
    ///
    /// # Errors
    /// See [`EhrError::class`]; whatever was found of a list that could not be read whole is left out.
    pub async fn panel(&self, source: &PanelSource, now: UtcMillis) -> Result<PanelRead, EhrError> {
        let day = |at: UtcMillis| at.day();
        let mut url = match source {
            PanelSource::Group(id) => {
                let named = self.group(id).await?;
                return Ok(PanelRead { named, incomplete: None });
            }
            PanelSource::Appointments => self.base.at(&["Appointment"]),
            PanelSource::Orders => self.base.at(&["ServiceRequest"]),
        };
        match source {
            PanelSource::Group(_) => {}
            PanelSource::Appointments => {
                url.query_pairs_mut()
                    .append_pair("date", &format!("ge{}", day(now.minus(hours(24 * APPOINTMENTS_BACK_DAYS)))))
                    .append_pair("date", &format!("le{}", day(now.plus(hours(24 * APPOINTMENTS_AHEAD_DAYS)))));
            }
            PanelSource::Orders => {
                let from = day(now.minus(hours(24 * ORDERS_BACK_DAYS)));
                url.query_pairs_mut().append_pair("authored", &format!("ge{from}"));
            }
        }
        url.query_pairs_mut().append_pair("_count", PAGE_COUNT);
        self.named_on_pages(url).await
    }

    async fn group(&self, id: &FhirId) -> Result<BTreeSet<FhirId>, EhrError> {
        let url = self.base.at(&["Group", id.as_str()]);
        let body = self.one(url, Pages::First).await?.ok_or(EhrError::Gone)?;
        let base = self.base.clone();
        Ok(apart("Group", move || members(&body, &base)).await??)
    }

    async fn named_on_pages(&self, first: Url) -> Result<PanelRead, EhrError> {
        let (mut named, mut visited, mut url) = (BTreeSet::new(), BTreeSet::from([first.clone()]), first);
        let mut incomplete = None;
        for number in 0..PAGES_MAX {
            let pages = if number == 0 { Pages::First } else { Pages::Later };
            let body = self.one(url.clone(), pages).await?.ok_or(EhrError::Gone)?;
            let base = self.base.clone();
            let page = apart("Bundle", move || page(&body, &base)).await??;
            named.extend(page.named);
            incomplete = incomplete.or(page.incomplete);
            let Some(next) = page.next else { return Ok(PanelRead { named, incomplete }) };
            url = self.next_url(&url, &next)?;
            if !visited.insert(url.clone()) {
                return Err(Malformed::new("Bundle.link", "leads in a circle").into());
            }
        }
        Err(Malformed::new("Bundle", "has no end").into())
    }

    async fn one(&self, url: Url, pages: Pages) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, EhrError> {
        let request = self.ask(Method::GET, url);
        match self.fetch_json_in(Turn::WhenQuiet, request, self.limits.page_bytes_max).await? {
            Fetched::Body { body, .. } => Ok(Some(body)),
            Fetched::Gone(body) => match pages {
                Pages::First => Err(body.nothing_here()),
                Pages::Later => Ok(None),
            },
        }
    }
}

#[derive(Clone, Copy)]
enum Pages {
    First,
    Later,
}

struct Page {
    named: BTreeSet<FhirId>,
    next: Option<String>,
    incomplete: Option<&'static str>,
}

/// Whom a list names.
#[derive(Debug, PartialEq, Eq)]
pub struct PanelRead {
    pub named: BTreeSet<FhirId>,
    /// Why there may be others, whom it did not show.
    pub incomplete: Option<&'static str>,
}

/// The members of a Group that are patients and still belong to it.
fn members(body: &[u8], base: &ServiceBase) -> Result<BTreeSet<FhirId>, Malformed> {
    let group = parse_json(body)?;
    if group.get("resourceType").and_then(Value::as_str) != Some("Group") {
        return Err(Malformed::new("resourceType", "is not the type that was asked for"));
    }
    let members = group.get("member").and_then(Value::as_array).into_iter().flatten();
    let active = members.filter(|member| member.get("inactive").and_then(Value::as_bool) != Some(true));
    Ok(active.filter_map(|member| patient(member.get("entity"), base)).collect())
}

fn page(body: &[u8], base: &ServiceBase) -> Result<Page, Malformed> {
    let bundle = parse_json(body)?;
    if bundle.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        return Err(Malformed::new("resourceType", "is not the type that was asked for"));
    }
    let mut page = Page { named: BTreeSet::new(), next: None, incomplete: None };
    for link in list(&bundle, "link")? {
        if link.get("relation").and_then(Value::as_str) == Some("next") {
            page.next = link.get("url").and_then(Value::as_str).map(str::to_owned);
        }
    }
    for entry in list(&bundle, "entry")? {
        let Some(resource) = entry.get("resource") else {
            page.incomplete = Some("an entry of the answer has no resource");
            continue;
        };
        if resource.get("resourceType").and_then(Value::as_str) == Some("OperationOutcome") {
            if limits_the_result(resource) {
                page.incomplete = Some("the server says that its answer is not complete");
            }
            continue;
        }
        let actors = resource.get("participant").and_then(Value::as_array).into_iter().flatten();
        let named = actors.map(|actor| actor.get("actor")).chain([resource.get("subject")]);
        page.named.extend(named.filter_map(|reference| patient(reference, base)));
    }
    Ok(page)
}

fn patient(reference: Option<&Value>, base: &ServiceBase) -> Option<FhirId> {
    match base.target(reference?.get("reference")?.as_str()?) {
        Target::Here { kind: "Patient", id } => Some(id),
        Target::Here { .. } | Target::Contained | Target::Elsewhere | Target::Unclear => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> ServiceBase {
        ServiceBase::new(Url::parse("https://ehr.test/fhir").unwrap()).unwrap()
    }

    fn ids(found: &BTreeSet<FhirId>) -> Vec<&str> {
        found.iter().map(FhirId::as_str).collect()
    }

    #[test]
    fn a_group_names_its_active_patients_of_this_ehr() {
        let member = |reference: &str| json!({"entity": {"reference": reference}});
        let mut left = member("Patient/left");
        left["inactive"] = json!(true);
        let group = json!({"resourceType": "Group", "member": [
            member("Patient/a"), member("https://ehr.test/fhir/Patient/b"), member("https://other.test/fhir/Patient/c"),
            member("Practitioner/d"), member("#e"), left, {"entity": {"display": "nobody"}}, 7,
        ]});
        assert_eq!(ids(&members(group.to_string().as_bytes(), &base()).unwrap()), ["a", "b"]);
        assert!(members(b"{\"resourceType\":\"Bundle\"}", &base()).is_err());
    }

    #[test]
    fn appointments_and_orders_name_whom_they_are_for() {
        let bundle = json!({"resourceType": "Bundle", "link": [{"relation": "next", "url": "?page=2"}], "entry": [
            {"resource": {"resourceType": "Appointment", "participant": [
                {"actor": {"reference": "Practitioner/p"}}, {"actor": {"reference": "Patient/a"}}, {},
            ]}},
            {"resource": {"resourceType": "ServiceRequest", "subject": {"reference": "Patient/b"}}},
        ]});
        let read = |bundle: &Value| page(bundle.to_string().as_bytes(), &base()).unwrap();
        let whole = read(&bundle);
        assert_eq!(
            (ids(&whole.named), whole.next.as_deref(), whole.incomplete),
            (vec!["a", "b"], Some("?page=2"), None)
        );
        // Whom a list leaves out is never asked about.
        for (severity, is_whole) in [("information", true), ("warning", false)] {
            let mut bundle = bundle.clone();
            let outcome =
                json!({"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "incomplete"}]});
            let remark = json!({"resource": outcome, "search": {"mode": "outcome"}});
            bundle["entry"].as_array_mut().unwrap().push(remark);
            let page = read(&bundle);
            assert_eq!((ids(&page.named), page.incomplete.is_none()), (vec!["a", "b"], is_whole), "{severity}");
        }
    }
}
