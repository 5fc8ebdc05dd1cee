//! The connection to one EHR: reading reports and patients.
//!
//! Must stay true: an answer is what was asked for (type and id), or it is an error; the token goes to the
//! base's origin alone.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, RequestBuilder, Response};
use url::Url;

use super::door::{Auth, Door, OwnTls};
use super::error::{EhrError, Malformed};
use super::gate::parse_json;
use super::gather::RecentParts;
use super::guard::{Guard, Origin, Place};
use super::offers::KnownOffers;
use super::pace::{Pace, Turn};
use super::patient::{Patient, read_patient};
use super::report::{Report, read_report, read_status};
use super::results::WithoutAttachment;
use super::service::ServiceBase;
use super::sign_in::Granted;
use super::transport::{self, FHIR_JSON};
use crate::base::{EhrId, FhirId, Region, ResourceType, UtcMillis, minutes, seconds};
use crate::policy::ReportStatus;

/// Where an EHR is and how Chartseal shows who it is.
pub struct EhrConnection {
    pub id: EhrId,
    pub base: ServiceBase,
    pub auth: Auth,
    /// Servers beside the EHR from which attachments may be fetched, without the token.
    pub attachment_origins: Vec<Origin>,
    pub limits: Limits,
}

/// How long and how much an EHR may answer.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connect_timeout: Duration,
    /// The longest silence within an answer.
    pub read_timeout: Duration,
    /// A whole answer other than an attachment.
    pub answer_timeout: Duration,
    /// A whole attachment.
    pub attachment_timeout: Duration,
    /// An idle connection is not used again after this. Shorter than servers keep theirs (Node and uvicorn: 5 s), since a
    /// request that meets their close is a failure of the EHR's to us.
    pub idle_connection: Duration,
    /// One resource; an inline attachment of `inline_bytes_max` fits in base64.
    pub resource_bytes_max: usize,
    pub page_bytes_max: usize,
    /// An attachment carried inside JSON, decoded.
    pub inline_bytes_max: usize,
    pub attachment_bytes_max: u64,
    /// Pages of one search.
    pub pages_max: usize,
    /// Resources of one search.
    pub found_max: usize,
    /// All that is read beside one report for the rules. What has not come by then is unknown.
    pub gather_timeout: Duration,
    /// Members of one result, at any depth.
    pub members_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            connect_timeout: seconds(10),
            read_timeout: seconds(30),
            answer_timeout: minutes(1),
            attachment_timeout: minutes(30),
            idle_connection: seconds(4),
            resource_bytes_max: 24 * MIB,
            page_bytes_max: 64 * MIB,
            inline_bytes_max: 16 * MIB,
            attachment_bytes_max: 2 * 1024 * MIB as u64,
            pages_max: 1000,
            found_max: 500_000,
            gather_timeout: seconds(20),
            members_max: 500,
        }
    }
}

/// One EHR. Cheap to share behind an `Arc`; holds its connections.
pub struct EhrClient {
    pub(super) id: EhrId,
    pub(super) base: ServiceBase,
    pub(super) guard: Guard,
    pub(super) limits: Limits,
    ehr: reqwest::Client,
    listed: reqwest::Client,
    pub(super) door: Door,
    pub(super) without_attachment: WithoutAttachment,
    pub(super) recent: RecentParts,
    pub(super) known_offers: KnownOffers,
    /// Where numbers without `+` are at home.
    pub(super) region: Option<Region>,
    /// `None`: as fast as it answers, and nothing is remembered of its pauses.
    pace: Option<Pace>,
}

/// Whether a 404 or 410 came from the EHR itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FhirBody {
    /// An `OperationOutcome`: the EHR says that the resource is gone.
    Yes,
    /// Anything else: a proxy or a wrong address may be speaking; not to be taken for a recall.
    No,
}

impl FhirBody {
    /// What a 404 means where the address itself was asked, not a resource.
    pub(super) const fn nothing_here(self) -> EhrError {
        match self {
            Self::Yes => EhrError::Rejected { status: 404 },
            Self::No => EhrError::NotFhir,
        }
    }
}

/// What reading a report led to. Patient data: no `Debug`.
pub enum ReadAnswer {
    Report {
        report: Box<Report>,
        server_date: Option<UtcMillis>,
    },
    Gone {
        fhir_body: FhirBody,
    },
    /// The resource breaks the standard. Its status could still be read where `status` says so: a report that
    /// is taken back is acted on all the same.
    Unreadable {
        status: Option<ReportStatus>,
        why: Malformed,
    },
}

/// What reading a patient led to. Patient data: no `Debug`.
pub enum PatientAnswer {
    Patient { patient: Box<Patient> },
    Gone { fhir_body: FhirBody },
    Unreadable { why: Malformed },
}

/// Either a whole body or the word that the resource is gone.
pub(super) enum Fetched {
    Body { body: zeroize::Zeroizing<Vec<u8>>, headers: HeaderMap },
    Gone(FhirBody),
}

/// The body of a 404 or 410 is looked at up to this size.
const REFUSAL_BYTES_MAX: usize = 256 * 1024;

impl EhrClient {
    /// # Errors
    /// `Settings` when TLS or the credentials cannot be used.
    pub fn new(connection: EhrConnection) -> Result<Self, EhrError> {
        Self::with_tls(connection, &OwnTls::default())
    }

    /// As [`Self::new`], with a certificate of our own or authorities beside the system's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_tls(connection: EhrConnection, tls: &OwnTls) -> Result<Self, EhrError> {
        let EhrConnection { id, base, auth, attachment_origins, limits } = connection;
        let guard = Guard::new(&base, attachment_origins)?;
        let ehr = transport::http(Place::Ehr, &guard, &limits, tls)?;
        Ok(Self {
            door: Door::new(auth, &base, &ehr, &limits)?,
            ehr,
            listed: transport::http(Place::Listed, &guard, &limits, tls)?,
            without_attachment: WithoutAttachment::Write,
            recent: RecentParts::default(),
            known_offers: KnownOffers::default(),
            region: None,
            pace: None,
            id,
            base,
            guard,
            limits,
        })
    }

    /// Asked at this pace from now on.
    #[must_use]
    pub fn at_pace(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Numbers without `+` are of this region from now on.
    #[must_use]
    pub fn with_numbers_of(self, region: Option<Region>) -> Self {
        Self { region, ..self }
    }

    /// Where numbers without `+` are at home.
    #[must_use]
    pub const fn region(&self) -> Option<Region> {
        self.region
    }

    /// How many it allows; `None`: it names no number.
    #[must_use]
    pub fn calls_per_minute(&self) -> Option<NonZeroU32> {
        self.pace.as_ref().and_then(Pace::calls_per_minute)
    }

    /// What becomes of reports that carry no attachment; unless said, they are written down.
    #[must_use]
    pub fn with_reports_without_attachment(mut self, what: WithoutAttachment) -> Self {
        self.without_attachment = what;
        self
    }

    #[must_use]
    pub fn id(&self) -> &EhrId {
        &self.id
    }

    #[must_use]
    pub fn base(&self) -> &ServiceBase {
        &self.base
    }

    /// Reads the current version of one report, with its results where it carries no attachment.
    ///
    /// # Errors
    /// See [`EhrError::class`]; a resource that breaks the standard is an answer, not an error.
    pub async fn read(&self, kind: ResourceType, id: &FhirId) -> Result<ReadAnswer, EhrError> {
        let (body, headers) = match self.fetch(kind.as_str(), id, self.limits.resource_bytes_max).await? {
            Fetched::Body { body, headers } => (body, headers),
            Fetched::Gone(fhir_body) => return Ok(ReadAnswer::Gone { fhir_body }),
        };
        let (base, id) = (self.base.clone(), id.clone());
        let server_date = transport::server_date(&headers);
        let mut answer = apart(kind.as_str(), move || judge_report(kind, &id, &body, &base, server_date))
            .await
            .unwrap_or_else(|why| ReadAnswer::Unreadable { status: None, why });
        if let ReadAnswer::Report { report, .. } = &mut answer {
            self.write_down(report).await;
        }
        Ok(answer)
    }

    /// Reads the current version of one patient.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_patient(&self, id: &FhirId) -> Result<PatientAnswer, EhrError> {
        let body = match self.fetch("Patient", id, self.limits.resource_bytes_max).await? {
            Fetched::Body { body, .. } => body,
            Fetched::Gone(fhir_body) => return Ok(PatientAnswer::Gone { fhir_body }),
        };
        let (base, id) = (self.base.clone(), id.clone());
        let read = apart("Patient", move || match read_patient(&body, &base) {
            Ok(patient) if patient.id == id => Ok(patient),
            Ok(_) => Err(wrong_id("Patient")),
            Err(why) => Err(why),
        });
        Ok(match read.await {
            Ok(Ok(patient)) => PatientAnswer::Patient { patient: Box::new(patient) },
            Ok(Err(why)) | Err(why) => PatientAnswer::Unreadable { why },
        })
    }

    /// Asks for `kind`/`id`. Whether the answer is that resource is for the caller to see.
    pub(super) async fn fetch(&self, kind: &str, id: &FhirId, limit_bytes: usize) -> Result<Fetched, EhrError> {
        let request = self.ask(Method::GET, self.base.at(&[kind, id.as_str()]));
        self.fetch_json(request, limit_bytes).await
    }

    /// Sends and reads a FHIR JSON answer; 404 and 410 are told apart from everything else.
    pub(super) async fn fetch_json(&self, request: RequestBuilder, limit_bytes: usize) -> Result<Fetched, EhrError> {
        self.fetch_json_in(Turn::Now, request, limit_bytes).await
    }

    /// [`Self::fetch_json`], when it is this call's turn.
    pub(super) async fn fetch_json_in(
        &self,
        turn: Turn,
        request: RequestBuilder,
        limit_bytes: usize,
    ) -> Result<Fetched, EhrError> {
        let response = self.send_in(turn, request, self.limits.answer_timeout).await?;
        let status = response.status();
        if matches!(status.as_u16(), 404 | 410) {
            return Ok(Fetched::Gone(fhir_body(response).await?));
        }
        if !status.is_success() {
            return Err(transport::refusal(status, response.headers()));
        }
        let headers = response.headers().clone();
        if !transport::is_json(&transport::media_type(&headers)) {
            return Err(EhrError::NotFhir);
        }
        Ok(Fetched::Body { body: transport::body(response, limit_bytes).await?, headers })
    }

    /// What the EHR granted with its last token, as long as nobody has said that staff know it.
    #[must_use]
    pub fn granted_news(&self) -> Option<Granted> {
        self.door.granted_news()
    }

    /// Staff know it.
    pub fn granted_noted(&self, granted: &Granted) {
        self.door.granted_noted(granted);
    }

    /// A request to the EHR's own origin.
    pub(super) fn ask(&self, method: Method, url: Url) -> RequestBuilder {
        self.request(Place::Ehr, method, url).header(ACCEPT, FHIR_JSON)
    }

    pub(super) fn request(&self, place: Place, method: Method, url: Url) -> RequestBuilder {
        match place {
            Place::Ehr if self.guard.is_ehr(&url) => self.ehr.request(method, url),
            Place::Ehr | Place::Listed => self.listed.request(method, url),
        }
    }
}

impl EhrClient {
    /// Sends, with what opens the EHR where the request goes to its own origin. A token that the EHR refuses is replaced, and
    /// the request sent again, once.
    pub(super) async fn send(&self, request: RequestBuilder, total: Duration) -> Result<Response, EhrError> {
        self.send_in(Turn::Now, request, total).await
    }

    /// For what goes out as a stranger's: it keeps the pace as everything does.
    pub(super) async fn wait_for_turn(&self) -> Result<(), EhrError> {
        match &self.pace {
            None => Ok(()),
            Some(pace) => pace.admit(Turn::Now).await,
        }
    }

    pub(super) async fn send_in(
        &self,
        turn: Turn,
        request: RequestBuilder,
        total: Duration,
    ) -> Result<Response, EhrError> {
        let (http, request) = request.timeout(total).build_split();
        let request = request.map_err(|_| EhrError::Settings { why: "a request to the EHR cannot be made" })?;
        // The origin is looked at once more, whatever the caller believes.
        if !self.guard.is_ehr(request.url()) {
            return transport::execute(&http, request).await;
        }
        let Some(pace) = &self.pace else { return self.door.send(&http, request).await };
        pace.admit(turn).await?;
        let response = self.door.send(&http, request).await?;
        if let Some(pause) = transport::asked_pause(&response) {
            return Err(EhrError::Overloaded { retry_after: Some(pace.pause(pause)) });
        }
        Ok(response)
    }
}

/// Reads large resources off the async workers; a reader that panics has read nothing.
pub(super) async fn apart<T: Send + 'static>(
    kind: &str,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Malformed> {
    tokio::task::spawn_blocking(read).await.map_err(|_| Malformed::new(kind, "could not be understood"))
}

fn judge_report(
    kind: ResourceType,
    id: &FhirId,
    body: &[u8],
    base: &ServiceBase,
    server_date: Option<UtcMillis>,
) -> ReadAnswer {
    let why = match read_report(kind, body, base) {
        Ok(report) if report.id == *id => return ReadAnswer::Report { report: Box::new(report), server_date },
        Ok(_) => wrong_id(kind.as_str()),
        Err(why) => why,
    };
    let status = read_status(kind, body).filter(|(read, _)| read == id).map(|(_, status)| status);
    ReadAnswer::Unreadable { status, why }
}

async fn fhir_body(response: Response) -> Result<FhirBody, EhrError> {
    let body = match transport::body(response, REFUSAL_BYTES_MAX).await {
        Ok(body) => body,
        Err(EhrError::TooLarge { .. }) => return Ok(FhirBody::No),
        Err(error) => return Err(error),
    };
    let outcome = parse_json(&body)
        .is_ok_and(|value| value.get("resourceType").and_then(serde_json::Value::as_str) == Some("OperationOutcome"));
    Ok(if outcome { FhirBody::Yes } else { FhirBody::No })
}

fn wrong_id(kind: &str) -> Malformed {
    Malformed::new(format!("{kind}.id"), "is not the id that was asked for")
}
