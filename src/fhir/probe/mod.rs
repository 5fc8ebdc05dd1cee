//! What an EHR can do, asked of it: for staff who connect it, or who look why it is not heard.
//!
//! Must stay true: only [`trial`] writes, and removes what it wrote; of what a search finds no more than its number, ids and
//! times is looked at, and nothing of it leaves this module; of what the EHR says of itself only plain, short text does.
//! Must not know: what follows for staff from an answer.

mod claims;
mod honoured;
mod offered;
mod reach;
mod trial;

use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;
use url::Host;

use super::client::{EhrClient, Fetched, FhirBody};
use super::door::SignedIn;
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::search::list;
use super::transport::{self, FHIR_JSON};
use crate::base::{FhirId, UtcMillis};

pub use claims::{Claims, Interaction, Release};
pub use honoured::{Honoured, Obedience, PatientNeeded};
pub use offered::{Offered, OfferedProof};
pub use reach::{CertificateFault, CertificateSeen, Knock, OwnAddress, ReachFault, Reached, own_address};
pub use trial::{TRIAL_SYSTEM, TrialKind};

/// A `CapabilityStatement` of a large server has some megabytes.
const CLAIMS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// No server has a resource of this name.
const ABSENT: &str = "chartseal-no-such-resource";

/// Whether resources of a type may be read, as far as asking for one that is not there shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    Allowed,
    /// 401: the EHR does not know who we are.
    Unknown,
    /// 403: it knows, and forbids it.
    Forbidden,
    /// It says neither yes nor no.
    Unclear,
}

/// Whether others can read along on the way to the EHR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Encrypted,
    /// Without TLS, and within this machine.
    Local,
    Open,
}

impl EhrClient {
    #[must_use]
    pub fn way(&self) -> Way {
        let url = self.base.url();
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match (url.scheme(), is_local) {
            ("https", _) => Way::Encrypted,
            (_, true) => Way::Local,
            (_, false) => Way::Open,
        }
    }

    /// Reads what the server claims of itself: as a stranger first, as the standard allows, and else signed in.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn claims(&self) -> Result<Claims, EhrError> {
        let url = self.base.at(&["metadata"]);
        let request = self.request(super::guard::Place::Ehr, Method::GET, url.clone()).header(ACCEPT, FHIR_JSON);
        self.wait_for_turn().await?;
        let response = transport::send_raw(request, self.limits.answer_timeout).await?;
        if response.status().is_redirection() {
            return Err(EhrError::ForbiddenUrl { why: "the server answers with a redirect" });
        }
        let is_open = response.status().is_success();
        let is_json = transport::is_json(&transport::media_type(response.headers()));
        let body = if is_open && is_json {
            transport::body(response, CLAIMS_BYTES_MAX).await?
        } else {
            match self.fetch_json(self.ask(Method::GET, url), CLAIMS_BYTES_MAX).await? {
                Fetched::Body { body, .. } => body,
                Fetched::Gone(body) => return Err(body.nothing_here()),
            }
        };
        Ok(Claims::read(&parse_json(&body)?)?)
    }

    /// Signs in, where that is done apart from the requests themselves.
    ///
    /// # Errors
    /// [`EhrError::SignIn`], [`EhrError::Overloaded`].
    pub async fn sign_in_now(&self) -> Result<SignedIn, EhrError> {
        self.door.sign_in().await
    }

    /// Whether `kind` may be read. Asks for a resource that is not there, so that no patient's is touched.
    ///
    /// # Errors
    /// Only what says nothing about access: [`EhrError::Unreachable`], [`EhrError::SignIn`] and the like.
    pub async fn may_read(&self, kind: &str) -> Result<Access, EhrError> {
        let request = self.ask(Method::GET, self.base.at(&[kind, ABSENT]));
        match self.fetch_json(request, CLAIMS_BYTES_MAX).await {
            Ok(Fetched::Body { .. } | Fetched::Gone(FhirBody::Yes)) => Ok(Access::Allowed),
            // Whatever answers there, it is not the EHR's word about a resource.
            Ok(Fetched::Gone(FhirBody::No)) => Ok(Access::Unclear),
            Err(EhrError::Refused { status: 401 }) => Ok(Access::Unknown),
            Err(EhrError::Refused { .. }) => Ok(Access::Forbidden),
            Err(EhrError::Rejected { .. } | EhrError::Server { .. } | EhrError::NotFhir | EhrError::Conflict) => {
                Ok(Access::Unclear)
            }
            Err(error) => Err(error),
        }
    }

    /// How many Subscriptions to `endpoint` the server lists.
    ///
    /// # Errors
    /// See [`EhrError::class`].
    pub async fn subscriptions_listed(&self, endpoint: &url::Url) -> Result<usize, EhrError> {
        let url = endpoint.as_str();
        let listed = self.list("Subscription", &[("url", url.to_owned()), ("_count", "100".to_owned())]).await?;
        // A server may ignore `url`: then these are others' as well.
        Ok(listed.found.iter().filter(|one| one.endpoint.as_deref() == Some(url)).count())
    }

    /// One page of a search.
    async fn list(&self, kind: &str, query: &[(&str, String)]) -> Result<Listed, EhrError> {
        let mut url = self.base.at(&[kind]);
        url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (*name, value.as_str())));
        let body = match self.fetch_json(self.ask(Method::GET, url), self.limits.page_bytes_max).await? {
            Fetched::Body { body, .. } => body,
            Fetched::Gone(body) => return Err(body.nothing_here()),
        };
        Ok(Listed::read(kind, &parse_json(&body)?)?)
    }
}

/// What one page of a search shows.
struct Listed {
    found: Vec<One>,
}

struct One {
    id: Option<FhirId>,
    updated_at: Option<UtcMillis>,
    /// It carries what nobody needs who only wants to know what changed.
    is_whole: bool,
    endpoint: Option<String>,
}

impl Listed {
    fn read(kind: &str, bundle: &Value) -> Result<Self, Malformed> {
        if bundle.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
            return Err(Malformed::new("resourceType", "is not the type that was asked for"));
        }
        let resources = list(bundle, "entry")?.iter().filter_map(|entry| entry.get("resource"));
        let ours = resources.filter(|one| one.get("resourceType").and_then(Value::as_str) == Some(kind));
        Ok(Self { found: ours.map(One::read).collect() })
    }
}

impl One {
    fn read(resource: &Value) -> Self {
        let text = |pointer| resource.pointer(pointer).and_then(Value::as_str);
        Self {
            id: text("/id").and_then(|id| FhirId::parse(id).ok()),
            updated_at: text("/meta/lastUpdated").and_then(UtcMillis::parse_rfc3339),
            is_whole: ["presentedForm", "content", "result"].iter().any(|name| resource.get(name).is_some()),
            endpoint: text("/channel/endpoint").or_else(|| text("/endpoint")).map(str::to_owned),
        }
    }
}
