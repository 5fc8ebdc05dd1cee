//! Whether an address answers, and if not, where the way to it ends.
//!
//! Must stay true: no URL and no word of the other side's is in a fault.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_LENGTH, HeaderMap};
use reqwest::{Method, Response};
use rustls::CertificateError;
use url::{Host, Url};
use x509_cert::der::Decode as _;

use crate::base::UtcMillis;
use crate::fhir::client::{EhrClient, Limits};
use crate::fhir::door::OwnTls;
use crate::fhir::error::EhrError;
use crate::fhir::guard::{Guard, Place};
use crate::fhir::service::ServiceBase;
use crate::fhir::transport::{self, FHIR_JSON};

/// An EHR that answered, whatever it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    pub took: Duration,
    pub status: u16,
    /// Its clock, to the second.
    pub server_date: Option<UtcMillis>,
    pub certificate: CertificateSeen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateSeen {
    /// Plain HTTP.
    None,
    EndsAt(UtcMillis),
    /// There is one, whose end cannot be read.
    Unread,
}

/// Where the way to an address ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachFault {
    #[error("its name is not known here")]
    NoSuchName,
    #[error("nobody listens there: the connection is refused")]
    Closed,
    #[error("it does not answer in time")]
    TimedOut,
    #[error("its certificate {0}")]
    Certificate(CertificateFault),
    #[error("it asked for a pause")]
    Pause,
    #[error("it breaks the connection off, or speaks no HTTP or another TLS")]
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    #[error("has ended")]
    Ended,
    #[error("is not valid yet")]
    NotYet,
    #[error("is for another name")]
    OtherName,
    #[error("is of an authority that nobody here trusts")]
    Authority,
    #[error("cannot be trusted")]
    Other,
}

impl ReachFault {
    /// What staff do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NoSuchName => "compare the address; have this machine's DNS know the name",
            Self::Closed => "compare host and port; see whether the server runs, and whether a firewall refuses",
            Self::TimedOut => "see whether the server runs and a firewall lets this machine through",
            Self::Certificate(CertificateFault::Ended) => "have its operator renew the certificate",
            Self::Certificate(CertificateFault::NotYet) => "see whether this machine's clock is right",
            Self::Certificate(CertificateFault::OtherName) => {
                "write the address with the name that the certificate holds"
            }
            Self::Certificate(CertificateFault::Authority) => {
                "name the authority's certificate as `ca_file`, if that is the authority that its operator uses; or have \
                 its whole chain sent"
            }
            Self::Certificate(CertificateFault::Other) => "have its operator look at the certificate",
            Self::Pause => "run this again later",
            Self::Broken => "compare http and https, and the port; see what stands between here and there",
        }
    }
}

impl EhrClient {
    /// Knocks at `[base]/metadata` without showing who we are.
    ///
    /// # Errors
    /// Where the way ends.
    pub async fn reach(&self) -> Result<Reached, ReachFault> {
        let url = self.base().at(&["metadata"]);
        is_known(&url).await?;
        let request = self.request(Place::Ehr, Method::GET, url).header(ACCEPT, FHIR_JSON);
        self.wait_for_turn().await.map_err(|_| ReachFault::Pause)?;
        let started = Instant::now();
        let answer = request.timeout(self.limits.answer_timeout).send().await.map_err(|error| fault(&error))?;
        Ok(Reached {
            took: started.elapsed(),
            status: answer.status().as_u16(),
            server_date: transport::server_date(answer.headers()),
            certificate: certificate(&answer),
        })
    }
}

/// What one of our own addresses answered.
#[derive(Clone, Debug)]
pub struct OwnAddress {
    pub status: u16,
    /// It came with the headers that this program gives every answer.
    pub is_ours: bool,
    pub certificate: CertificateSeen,
}

/// How one of our own addresses is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knock {
    Get,
    /// With nothing in it.
    Post,
}

/// Calls `url`, one of our own, as somebody outside would; a redirect is not followed.
///
/// # Errors
/// Where the way ends.
pub async fn own_address(url: &Url, knock: Knock) -> Result<OwnAddress, ReachFault> {
    let limits = Limits { answer_timeout: OWN_ANSWER_MAX, connect_timeout: OWN_ANSWER_MAX, ..Limits::default() };
    let http = own_http(url, &limits).map_err(|_| ReachFault::Broken)?;
    is_known(url).await?;
    let request = match knock {
        Knock::Get => http.get(url.clone()),
        Knock::Post => http.post(url.clone()).header(CONTENT_LENGTH, 0),
    };
    let answer = request.timeout(limits.answer_timeout).send().await.map_err(|error| fault(&error))?;
    Ok(OwnAddress {
        status: answer.status().as_u16(),
        is_ours: bears_our_policy(answer.headers()),
        certificate: certificate(&answer),
    })
}

const OWN_ANSWER_MAX: Duration = Duration::from_secs(10);
/// In the policy that every answer of the service carries, and in nobody else's.
const OUR_MARK: &str = "chartseal-worker";

fn own_http(url: &Url, limits: &Limits) -> Result<reqwest::Client, EhrError> {
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    let base = ServiceBase::new(origin).ok_or(EhrError::Settings { why: "an address is not http or https" })?;
    transport::http(Place::Ehr, &Guard::new(&base, Vec::new())?, limits, &OwnTls::default())
}

fn bears_our_policy(headers: &HeaderMap) -> bool {
    let policy = headers.get(reqwest::header::CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok());
    policy.is_some_and(|policy| policy.contains(OUR_MARK))
}

/// Looked up apart: no error of a connection says that it was the name.
async fn is_known(url: &Url) -> Result<(), ReachFault> {
    let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
    let mut found = tokio::net::lookup_host((name, url.port_or_known_default().unwrap_or_default()))
        .await
        .map_err(|_| ReachFault::NoSuchName)?;
    found.next().map(|_| ()).ok_or(ReachFault::NoSuchName)
}

fn fault(error: &reqwest::Error) -> ReachFault {
    if error.is_timeout() {
        return ReachFault::TimedOut;
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(known) = known(cause) {
            return known;
        }
        next = cause.source();
    }
    ReachFault::Broken
}

/// What one cause says for itself. An `io::Error` hides what it wraps from `source`, be it another one.
fn known(cause: &(dyn Error + 'static)) -> Option<ReachFault> {
    if let Some(fault) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(fault));
    }
    let outer = cause.downcast_ref::<io::Error>()?;
    if outer.kind() == io::ErrorKind::ConnectionRefused {
        return Some(ReachFault::Closed);
    }
    known(outer.get_ref()?)
}

fn of_tls(error: &rustls::Error) -> ReachFault {
    let rustls::Error::InvalidCertificate(fault) = error else { return ReachFault::Broken };
    ReachFault::Certificate(if matches!(fault, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        CertificateFault::Ended
    } else if matches!(fault, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        CertificateFault::NotYet
    } else if matches!(fault, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
        CertificateFault::OtherName
    } else if matches!(fault, CertificateError::UnknownIssuer) {
        CertificateFault::Authority
    } else {
        CertificateFault::Other
    })
}

fn certificate(answer: &Response) -> CertificateSeen {
    let Some(info) = answer.extensions().get::<reqwest::tls::TlsInfo>() else { return CertificateSeen::None };
    let Some(der) = info.peer_certificate() else { return CertificateSeen::None };
    ends_at(der).map_or(CertificateSeen::Unread, CertificateSeen::EndsAt)
}

fn ends_at(der: &[u8]) -> Option<UtcMillis> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let ends = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    Some(UtcMillis(i64::try_from(ends.as_millis()).ok()?))
}
