//! A double of an EHR, for speed: it makes each answer up from the id it is asked for, and keeps nothing but subscriptions.
//!
//! A report's id is `r-SIZE-NUMBER`: a final report of patient `p-NUMBER` with a raw PDF of SIZE bytes behind a URL, which
//! is streamed from one pattern whatever its size. It proves nothing about real servers.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use actix_web::body::SizedStream;
use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::stream;
use serde_json::{Value, json};

use crate::support::ehr_double::outcome;
use crate::support::{clinic, ehr, wait};

const FHIR: &str = "application/fhir+json";
const PIECE_BYTES: u64 = 64 * 1024;

/// A running double; it stops when dropped.
pub struct Ehr {
    pub base_url: String,
    state: Arc<State>,
    server: ServerHandle,
}

struct State {
    /// From the first report on: those of before the service's start are for people.
    issued: OnceLock<String>,
    pattern: Bytes,
    subscriptions: Mutex<BTreeMap<String, Value>>,
    /// Resources that a search finds, none of which can be read.
    found: AtomicU32,
    /// Whether the last page of them was shown.
    shown: AtomicBool,
    /// Reports that were sent by mistake.
    withdrawn: Mutex<BTreeSet<String>>,
}

impl Ehr {
    pub fn start() -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let base_url = format!("http://{}/fhir", socket.local_addr().expect("a bound socket has an address"));
        let mut pattern = b"%PDF-1.7\n".to_vec();
        pattern.extend((0_u8..=250).cycle().take(usize::try_from(PIECE_BYTES).unwrap() - pattern.len()));
        let state = Arc::new(State {
            issued: OnceLock::new(),
            pattern: Bytes::from(pattern),
            subscriptions: Mutex::default(),
            found: AtomicU32::new(0),
            shown: AtomicBool::new(false),
            withdrawn: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let server = HttpServer::new(move || {
            let state = Arc::clone(&shared);
            let answer = move |request: HttpRequest, body: Bytes| std::future::ready(state.answer(&request, &body));
            App::new().default_service(web::to(answer))
        })
        .workers(1)
        .disable_signals()
        .listen(socket)
        .expect("a bound socket can be listened to")
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { base_url, state, server: handle }
    }

    /// From now on a search finds so many resources.
    pub fn show(&self, found: u32) {
        self.state.shown.store(false, Ordering::SeqCst);
        self.state.found.store(found, Ordering::SeqCst);
    }

    /// Whether all of them were shown.
    pub fn has_shown_all(&self) -> bool {
        self.state.shown.load(Ordering::SeqCst)
    }

    /// From now on the report is one that was entered in error.
    pub fn withdraw(&self, id: &str) {
        self.state.withdrawn.lock().expect("nothing panics here").insert(id.to_owned());
    }

    /// The report as the EHR pushes it.
    pub fn report(&self, id: &str) -> Value {
        self.state.report(id).expect("an id of a report")
    }

    /// The header, name and value, that the subscription asks for.
    pub async fn hook_header(&self) -> (String, String) {
        wait::until("a subscription", || {
            let subscriptions = self.state.subscriptions.lock().expect("nothing panics here");
            let header = subscriptions.values().next()?["channel"]["header"][0].as_str()?;
            header.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .await
    }
}

impl Drop for Ehr {
    fn drop(&mut self) {
        // The stop is sent at once; only waiting for its end would need the future.
        drop(self.server.stop(false));
    }
}

/// The report's id with this number and so many bytes to read.
pub fn report_id(bytes: u64, number: u32) -> String {
    format!("r-{bytes}-{number}")
}

/// Everything a delivery asks of the EHR, in its order: report and patient twice, then the file.
pub fn asked_for(bytes: u64, number: u32) -> [String; 5] {
    let (report, patient) = (format!("DiagnosticReport/r-{bytes}-{number}"), format!("Patient/p-{number}"));
    [report.clone(), patient.clone(), report, patient, format!("Binary/b-{bytes}-{number}")]
}

fn parts(id: &str, prefix: &str) -> Option<(u64, u32)> {
    let (bytes, number) = id.strip_prefix(prefix)?.split_once('-')?;
    Some((bytes.parse().ok()?, number.parse().ok()?))
}

impl State {
    fn answer(&self, request: &HttpRequest, body: &Bytes) -> HttpResponse {
        let path = request.path().strip_prefix("/fhir/").unwrap_or_default();
        if *request.method() == Method::POST || *request.method() == Method::PUT {
            return self.subscribe(body);
        }
        let found = match path.split_once('/') {
            None if path == "DiagnosticReport" => Some(self.page(request.query_string())),
            None => Some(json!({"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": []})),
            Some(("DiagnosticReport", id)) => self.report(id),
            Some(("Patient", id)) => id.strip_prefix("p-").map(|number| {
                let address = format!("p{number}@patients.example");
                ehr::patient(id, &format!("Garcia-{number}"), "Ana", "1984-05-06", &address)
            }),
            Some(("Subscription", id)) => self.subscriptions.lock().expect("nothing panics here").get(id).cloned(),
            Some(("Binary", id)) => match parts(id, "b-") {
                Some((bytes, _)) => return self.file(bytes),
                None => None,
            },
            Some(_) => None,
        };
        match found {
            Some(found) => HttpResponse::Ok().content_type(FHIR).body(found.to_string()),
            None => HttpResponse::NotFound().content_type(FHIR).body(outcome("not-found").to_string()),
        }
    }

    /// As many as were asked for, from `_offset` on.
    fn page(&self, query: &str) -> Value {
        let number = |wanted: &str, otherwise| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(name, _)| name == wanted).and_then(|(_, value)| value.parse().ok()).unwrap_or(otherwise)
        };
        let (found, first, count) = (self.found.load(Ordering::SeqCst), number("_offset", 0), number("_count", 200));
        let (last, issued) = (found.min(first + count), self.issued.get_or_init(clinic::real_now));
        let entries = (first..last).map(|number| {
            let meta = json!({"versionId": "1", "lastUpdated": issued});
            json!({"resource": {"resourceType": "DiagnosticReport", "id": format!("x-{number}"), "meta": meta}})
        });
        let entries: Vec<Value> = entries.collect();
        let mut links = Vec::new();
        if last < found {
            links.push(json!({"relation": "next", "url": format!("DiagnosticReport?_count={count}&_offset={last}")}));
        } else if found > 0 {
            self.shown.store(true, Ordering::SeqCst);
        }
        json!({"resourceType": "Bundle", "type": "searchset", "total": found, "link": links, "entry": entries})
    }

    fn subscribe(&self, body: &Bytes) -> HttpResponse {
        let mut wished: Value = serde_json::from_slice(body).expect("the service writes JSON");
        let mut kept = self.subscriptions.lock().expect("nothing panics here");
        let id = wished["id"].as_str().map_or_else(|| format!("s-{}", kept.len()), str::to_owned);
        wished["id"] = json!(id);
        wished["status"] = json!("active");
        kept.insert(id, wished.clone());
        HttpResponse::Created().content_type(FHIR).body(wished.to_string())
    }

    fn report(&self, id: &str) -> Option<Value> {
        let (bytes, number) = parts(id, "r-")?;
        let issued = self.issued.get_or_init(clinic::real_now);
        let mut report = ehr::report(&format!("p-{number}"), "58410-2", issued, b"");
        report["id"] = json!(id);
        report["meta"] = json!({"versionId": "1", "lastUpdated": issued});
        if self.withdrawn.lock().expect("nothing panics here").contains(id) {
            report["status"] = json!("entered-in-error");
            report["meta"]["versionId"] = json!("2");
        }
        report["presentedForm"] = json!([{
            "contentType": "application/pdf", "url": format!("Binary/b-{bytes}-{number}"), "size": bytes, "title": "Report",
        }]);
        Some(report)
    }

    fn file(&self, bytes: u64) -> HttpResponse {
        let pattern = self.pattern.clone();
        let pieces = stream::unfold(bytes, move |left| {
            let piece = pattern.slice(..usize::try_from(left.min(PIECE_BYTES)).unwrap());
            let rest = left - piece.len() as u64;
            std::future::ready((left > 0).then(|| (Ok::<_, Infallible>(piece), rest)))
        });
        HttpResponse::Ok().content_type("application/pdf").body(SizedStream::new(bytes, Box::pin(pieces)))
    }
}
