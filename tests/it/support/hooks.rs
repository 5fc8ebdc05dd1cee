//! A listener on loopback that keeps every request it gets: what an EHR's hook looks like before our own code sees it.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use super::wait;

/// How large a pushed report may be: a PDF as base64.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One request as it came.
#[derive(Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A running listener; it stops when dropped.
pub struct HookListener {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    server: ServerHandle,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl HookListener {
    /// Starts on a free port and answers every request with `status` and no body.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start(status: StatusCode) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let url = format!("http://{}", socket.local_addr().expect("a bound socket has an address"));
        let kept = Arc::clone(&received);
        let server = HttpServer::new(move || {
            let kept = Arc::clone(&kept);
            App::new().app_data(web::PayloadConfig::new(BODY_BYTES_MAX)).default_service(web::to(
                move |request: HttpRequest, body: web::Bytes| {
                    kept.lock().expect("no test panics here").push(keep(&request, &body));
                    async move { HttpResponse::build(status).finish() }
                },
            ))
        })
        .workers(1)
        .client_request_timeout(wait::HANGS)
        .disable_signals()
        .listen(socket)
        .expect("a bound socket can be listened to")
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, received, server: handle }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no test panics here").clone()
    }

    /// The first request that `wanted` accepts, once it is there.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&Received) -> bool) -> Received {
        wait::until(what, || self.received().into_iter().find(&wanted)).await
    }
}

impl Drop for HookListener {
    fn drop(&mut self) {
        // The stop is sent at once; only waiting for its end would need the future.
        drop(self.server.stop(false));
    }
}

fn keep(request: &HttpRequest, body: &[u8]) -> Received {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Received {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: request.headers().iter().map(|(n, value)| (n.to_string(), text(value.as_bytes()))).collect(),
        body: body.to_vec(),
    }
}
