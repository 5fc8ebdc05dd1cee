//! The stand-in EHR: a small FHIR R4 server of ours over real HTTP.
//!
//! Job: keep every version of a few resources, answer reads, searches and files as the standard says, and call the hook
//! of whoever follows it. It proves nothing about real EHRs; it is named a stand-in wherever it is seen.
//! Must stay true: it is changed by the demo's lab alone, never over HTTP.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{door, now_outside};
use crate::base::{SecretText, UtcMillis, seconds};
use crate::intake::HOOK_HEADER;

const FHIR_JSON: &str = "application/fhir+json";
/// Entries of one page of a search, whatever was asked for.
const PAGE_ENTRIES_MAX: usize = 200;
/// One call of the hook; a lost one is made good by the next poll.
const HOOK_WAIT_MAX: Duration = seconds(30);
/// Of a hook's answer so much is read: its first line says it all.
const HOOK_ANSWER_BYTES_MAX: u64 = 1024;

/// Whom it tells of changes.
pub(super) struct HookTarget {
    pub(super) addr: SocketAddr,
    pub(super) secret: SecretText,
}

pub(super) struct StandInEhr {
    base: String,
    addr: SocketAddr,
    hook: HookTarget,
    shelf: Mutex<Shelf>,
}

/// Every version of every resource, by type and id, the oldest first.
type Shelf = BTreeMap<(String, String), Vec<Version>>;

#[derive(Clone)]
struct Version {
    at: UtcMillis,
    resource: Value,
}

impl StandInEhr {
    pub(super) fn new(addr: SocketAddr, hook: HookTarget) -> Arc<Self> {
        Arc::new(Self { base: format!("http://{addr}/fhir"), addr, hook, shelf: Mutex::default() })
    }

    /// The FHIR base.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Creates or updates a resource, with the version and the time that the server gives it.
    pub(super) fn put(&self, kind: &str, id: &str, mut resource: Value) {
        let mut resources = self.shelf();
        let versions = resources.entry((kind.to_owned(), id.to_owned())).or_default();
        let at = now_outside();
        if let Some(members) = resource.as_object_mut() {
            let meta = json!({"versionId": (versions.len() + 1).to_string(), "lastUpdated": at.to_rfc3339()});
            members.extend([
                ("resourceType".to_owned(), kind.into()),
                ("id".to_owned(), id.into()),
                ("meta".to_owned(), meta),
            ]);
        }
        versions.push(Version { at, resource });
    }

    /// Tells the follower of a resource as R4's rest-hook does: a PUT of it under the endpoint.
    pub(super) async fn announce(&self, kind: &str, id: &str) {
        let Some(version) = self.newest(kind, id) else { return };
        let body = version.resource.to_string();
        let call = self.call_hook(kind, id, &body);
        match tokio::time::timeout(HOOK_WAIT_MAX, call).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) | Err(_) => {
                tracing::info!("the stand-in EHR's hook call was not taken; the next poll finds the change");
            }
        }
    }

    async fn call_hook(&self, kind: &str, id: &str, body: &str) -> std::io::Result<bool> {
        let HookTarget { addr, secret } = &self.hook;
        let mut stream = TcpStream::connect(addr).await?;
        let head = format!(
            "PUT /fhir/hook/stand-in/{kind}/{id} HTTP/1.1\r\nHost: {addr}\r\nContent-Type: {FHIR_JSON}\r\n\
             {HOOK_HEADER}: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            secret.expose(),
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(HOOK_ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    }

    fn newest(&self, kind: &str, id: &str) -> Option<Version> {
        self.shelf().get(&(kind.to_owned(), id.to_owned()))?.last().cloned()
    }

    fn numbered(&self, kind: &str, id: &str, version: usize) -> Option<Version> {
        self.shelf().get(&(kind.to_owned(), id.to_owned()))?.get(version.checked_sub(1)?).cloned()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to answer.
pub(super) fn serve(ehr: &Arc<StandInEhr>, listener: TcpListener) -> std::io::Result<ServerHandle> {
    let (addr, ehr) = (ehr.addr, Arc::clone(ehr));
    door::serve(addr, listener, move |site| {
        site.app_data(web::Data::from(Arc::clone(&ehr)))
            .route("/fhir/metadata", web::get().to(metadata))
            .route("/fhir/{kind}", web::get().to(search))
            .route("/fhir/{kind}/{id}", web::get().to(read))
            .route("/fhir/{kind}/{id}/_history/{version}", web::get().to(read_version))
            .default_service(web::to(|| async { outcome(StatusCode::NOT_FOUND, "not-found", "Nothing is here.") }));
    })
}

/// <https://hl7.org/fhir/R4/capabilitystatement.html>
async fn metadata(ehr: web::Data<StandInEhr>) -> HttpResponse {
    let kinds = ["Patient", "DiagnosticReport", "DocumentReference", "Binary"];
    let resources: Vec<Value> = kinds
        .iter()
        .map(|kind| json!({"type": kind, "versioning": "versioned", "interaction": [{"code": "read"}, {"code": "vread"}, {"code": "search-type"}]}))
        .collect();
    fhir(
        StatusCode::OK,
        &json!({
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-01-01",
            "kind": "instance",
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "software": {"name": "Chartseal demo: stand-in EHR, not a real one"},
            "implementation": {"description": "Sample reports of invented people", "url": ehr.base},
            "rest": [{"mode": "server", "resource": resources}],
        }),
    )
}

async fn read(ehr: web::Data<StandInEhr>, request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let (kind, id) = path.into_inner();
    answer(&request, &kind, ehr.newest(&kind, &id))
}

async fn read_version(
    ehr: web::Data<StandInEhr>,
    request: HttpRequest,
    path: web::Path<(String, String, usize)>,
) -> HttpResponse {
    let (kind, id, version) = path.into_inner();
    answer(&request, &kind, ehr.numbered(&kind, &id, version))
}

fn answer(request: &HttpRequest, kind: &str, version: Option<Version>) -> HttpResponse {
    let Some(Version { resource, .. }) = version else {
        return outcome(StatusCode::NOT_FOUND, "not-found", "There is no such resource or version.");
    };
    // A file is given as it is to those who ask for its own type, wrapped in JSON to the others
    // (https://hl7.org/fhir/R4/binary.html#rest).
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "Binary" && !asks_first_for_json(request) {
        return match STANDARD.decode(text("data")) {
            Ok(bytes) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, text("contentType"))).body(bytes),
            Err(_) => outcome(StatusCode::INTERNAL_SERVER_ERROR, "exception", "The file is not base64."),
        };
    }
    let version = resource.pointer("/meta/versionId").and_then(Value::as_str).unwrap_or_default();
    let mut answer = fhir(StatusCode::OK, &resource);
    if let Ok(tag) = header::HeaderValue::from_str(&format!("W/\"{version}\"")) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

fn asks_first_for_json(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = accept.split([',', ';']).next().unwrap_or_default().trim();
    [FHIR_JSON, "application/json"].contains(&first)
}

/// <https://hl7.org/fhir/R4/search.html>: `_lastUpdated` with `ge` and `lt`, `_count`, `_elements=id,meta`; pages by a
/// parameter of its own.
async fn search(
    ehr: web::Data<StandInEhr>,
    kind: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    let (mut count, mut offset, mut is_short) = (PAGE_ENTRIES_MAX, 0_usize, false);
    let mut bounds = Vec::new();
    for (name, value) in query.iter() {
        let understood = match name.as_str() {
            "_lastUpdated" => bound(value).map(|bound| bounds.push(bound)),
            "_count" => value.parse().ok().map(|wanted: usize| count = wanted.clamp(1, PAGE_ENTRIES_MAX)),
            "_offset" => value.parse().ok().map(|wanted| offset = wanted),
            "_elements" => {
                is_short = value == "id,meta";
                Some(())
            }
            _ => None,
        };
        if understood.is_none() {
            return outcome(StatusCode::BAD_REQUEST, "not-supported", "The stand-in EHR does not know this parameter.");
        }
    }
    let found: Vec<Value> = ehr
        .shelf()
        .iter()
        .filter(|((known, _), _)| *known == *kind)
        .filter_map(|(_, versions)| versions.last())
        .filter(|version| bounds.iter().all(|bound| bound.holds(version.at)))
        .map(|version| entry(&ehr.base, &version.resource, is_short))
        .collect();
    let mut links = Vec::new();
    if found.len() > offset.saturating_add(count) {
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(query.iter().filter(|(name, _)| name != "_offset"));
        next.append_pair("_offset", &offset.saturating_add(count).to_string());
        links.push(json!({"relation": "next", "url": format!("{}/{kind}?{}", ehr.base, next.finish())}));
    }
    let total = found.len();
    let entries: Vec<Value> = found.into_iter().skip(offset).take(count).collect();
    let bundle =
        json!({"resourceType": "Bundle", "type": "searchset", "total": total, "link": links, "entry": entries});
    fhir(StatusCode::OK, &bundle)
}

enum Bound {
    From(UtcMillis),
    Before(UtcMillis),
}

impl Bound {
    fn holds(&self, at: UtcMillis) -> bool {
        match self {
            Self::From(bound) => at >= *bound,
            Self::Before(bound) => at < *bound,
        }
    }
}

fn bound(text: &str) -> Option<Bound> {
    let from = text.strip_prefix("ge").map(|at| UtcMillis::parse_rfc3339(at).map(Bound::From));
    from.or_else(|| text.strip_prefix("lt").map(|at| UtcMillis::parse_rfc3339(at).map(Bound::Before)))?
}

fn entry(base: &str, resource: &Value, is_short: bool) -> Value {
    let part = |name: &str| resource.get(name).cloned().unwrap_or_default();
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    let shown = if is_short {
        json!({"resourceType": part("resourceType"), "id": part("id"), "meta": part("meta")})
    } else {
        resource.clone()
    };
    let full_url = format!("{base}/{}/{}", text("resourceType"), text("id"));
    json!({"fullUrl": full_url, "resource": shown, "search": {"mode": "match"}})
}

fn fhir(status: StatusCode, body: &Value) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CONTENT_TYPE, FHIR_JSON)).body(body.to_string())
}

fn outcome(status: StatusCode, code: &str, text: &str) -> HttpResponse {
    let issue = json!({"severity": "error", "code": code, "diagnostics": text});
    fhir(status, &json!({"resourceType": "OperationOutcome", "issue": [issue]}))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::base::{EhrId, FhirId, ResourceType, minutes};
    use crate::fhir::{
        Auth, Completeness, EhrClient, EhrConnection, Limits, ReadAnswer, SearchAnswer, ServiceBase, Window,
    };

    const KIND: ResourceType = ResourceType::DiagnosticReport;

    #[tokio::test]
    async fn our_own_client_reads_every_page_every_report_and_its_file() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let ehr = StandInEhr::new(addr, HookTarget { addr, secret: SecretText::new("none".to_owned()) });
        let served = serve(&ehr, listener).unwrap();
        for n in 0..25 {
            let file = json!({"contentType": "application/pdf", "url": "Binary/f", "size": 4});
            let report = json!({"status": "final", "subject": {"reference": "Patient/p"}, "presentedForm": [file]});
            ehr.put("DiagnosticReport", &format!("r{n}"), report);
        }
        ehr.put("Binary", "f", json!({"contentType": "application/pdf", "data": STANDARD.encode(b"%PDF")}));

        let client = EhrClient::new(EhrConnection {
            id: EhrId::parse("stand-in").unwrap(),
            base: ServiceBase::new(ehr.base().parse().unwrap()).unwrap(),
            auth: Auth::None,
            attachment_origins: Vec::new(),
            limits: Limits::default(),
        })
        .unwrap();
        let now = now_outside();
        let window = Window { since: now.minus(minutes(1)), until: now.plus(minutes(1)) };
        let before = Window { since: now.minus(minutes(2)), until: now.minus(minutes(1)) };
        for (window, found) in [(window, 25), (before, 0)] {
            match client.search_changed(KIND, window, NonZeroU16::new(10).unwrap()).await {
                Ok(SearchAnswer::Walked(changes)) => {
                    assert_eq!((changes.heard.len(), changes.outside_window), (found, 0));
                    assert_eq!(changes.completeness, Completeness::Complete);
                }
                Ok(SearchAnswer::RestartWindow | SearchAnswer::WindowTooLarge) | Err(_) => panic!("no walk"),
            }
        }
        let Ok(ReadAnswer::Report { report, .. }) = client.read(KIND, &FhirId::parse("r7").unwrap()).await else {
            panic!("no report")
        };
        let mut file = client.fetch_attachment(report.documents()[0]).await.unwrap();
        assert_eq!(file.next().await.unwrap().as_deref(), Some(b"%PDF".as_slice()));
        assert!(file.next().await.unwrap().is_none());
        let gone = client.read(KIND, &FhirId::parse("nobody").unwrap()).await;
        assert!(matches!(gone, Ok(ReadAnswer::Gone { fhir_body: crate::fhir::FhirBody::Yes })));
        served.stop(false).await;
    }
}
