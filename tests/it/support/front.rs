//! A double of ours that stands before the real EHR: it passes everything on, except the paths that a test scripts.
//!
//! It does what the real one cannot: raw `Binary`, cut and slow bodies, redirects, refusals, stale readings.

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::stream;

use super::hooks::Received;
use super::{wait, web_client};

/// The largest report that a test posts, as base64 in JSON.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A slow body comes in pieces of this size, one per pause.
const PIECE_BYTES: usize = 256;
const PIECE_PAUSE: Duration = Duration::from_millis(5);

/// One scripted answer.
#[derive(Clone)]
pub enum Reply {
    Whole {
        status: u16,
        kind: &'static str,
        body: Vec<u8>,
    },
    /// Announces all of `body` and hangs up after half of it.
    CutHalfWay {
        kind: &'static str,
        body: Vec<u8>,
    },
    /// Announces nothing and comes a little at a time.
    Slowly {
        kind: &'static str,
        body: Vec<u8>,
    },
    Redirect {
        to: String,
    },
    /// What the real EHR says.
    PassedOn,
}

type Script = Arc<Mutex<BTreeMap<String, VecDeque<Reply>>>>;

/// A running double; it stops when dropped.
pub struct Front {
    /// The FHIR base to give to the clinic.
    pub base_url: String,
    script: Script,
    received: Arc<Mutex<Vec<Received>>>,
    server: ServerHandle,
}

#[derive(Clone)]
struct Desk {
    /// Scheme, host and port of the real EHR.
    origin: String,
    script: Script,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Front {
    /// Starts before the EHR at `base_url` (ending in `/fhir`).
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start(base_url: &str) -> Self {
        let origin = base_url.strip_suffix("/fhir").expect("a base ends in /fhir").to_owned();
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let base = format!("http://{}/fhir", socket.local_addr().expect("a bound socket has an address"));
        let (script, received) = (Script::default(), Arc::<Mutex<Vec<Received>>>::default());
        let desk = Desk { origin, script: Arc::clone(&script), received: Arc::clone(&received) };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .app_data(web::Data::new(desk.clone()))
                .default_service(web::to(answer))
        })
        .workers(1)
        .client_request_timeout(wait::HANGS)
        .disable_signals()
        .listen(socket)
        .expect("a bound socket can be listened to")
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { base_url: base, script, received, server: handle }
    }

    /// Answers `GET <base>/<path>` with `replies` in turn; the last one stays.
    pub fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.script.lock().expect("no test panics here").insert(format!("/fhir/{path}"), replies);
    }

    /// The requests for `<base>/<path>` so far.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let all = self.received.lock().expect("no test panics here").clone();
        all.into_iter().filter(|one| one.path == format!("/fhir/{path}")).collect()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

async fn answer(desk: web::Data<Desk>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    desk.received.lock().expect("no test panics here").push(Received {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        headers: request.headers().iter().map(|(n, value)| (n.to_string(), text(value.as_bytes()))).collect(),
        body: body.to_vec(),
    });
    match next_reply(&desk.script, request.path()) {
        Reply::Whole { status, kind, body } => {
            HttpResponse::build(StatusCode::from_u16(status).expect("a status")).content_type(kind).body(body)
        }
        Reply::CutHalfWay { kind, body } => {
            let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
            let hang_up = Err(std::io::Error::other("the double hangs up"));
            HttpResponse::Ok()
                .content_type(kind)
                .no_chunking(body.len() as u64)
                .streaming(stream::iter([Ok(half), hang_up]))
        }
        Reply::Slowly { kind, body } => HttpResponse::Ok().content_type(kind).streaming(pieces(body)),
        Reply::Redirect { to } => HttpResponse::Found().insert_header(("Location", to)).finish(),
        Reply::PassedOn => pass_on(&desk.origin, &request, body).await,
    }
}

fn next_reply(script: &Script, path: &str) -> Reply {
    let mut script = script.lock().expect("no test panics here");
    let Some(replies) = script.get_mut(path) else { return Reply::PassedOn };
    let next = replies.front().cloned().unwrap_or(Reply::PassedOn);
    if replies.len() > 1 {
        replies.pop_front();
    }
    next
}

fn pieces(body: Vec<u8>) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((body, 0), async |(body, at)| {
        if at >= body.len() {
            return None;
        }
        tokio::time::sleep(PIECE_PAUSE).await;
        let end = (at + PIECE_BYTES).min(body.len());
        let piece = Bytes::copy_from_slice(&body[at..end]);
        Some((Ok(piece), (body, end)))
    })
}

async fn pass_on(origin: &str, request: &HttpRequest, body: web::Bytes) -> HttpResponse {
    let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes()).expect("a method");
    let mut asked = web_client::new().request(method, format!("{origin}{}", request.uri())).body(body.to_vec());
    for name in ["accept", "content-type"] {
        if let Some(value) = request.headers().get(name) {
            asked = asked.header(name, value.as_bytes());
        }
    }
    let answered = asked.send().await.expect("the real EHR answers");
    let status = StatusCode::from_u16(answered.status().as_u16()).expect("a status");
    let kind = answered.headers().get("content-type").map(|kind| kind.as_bytes().to_vec()).unwrap_or_default();
    let body = answered.bytes().await.expect("the real EHR's answer is whole");
    HttpResponse::build(status).content_type(String::from_utf8_lossy(&kind).as_ref()).body(body)
}
