//! A double of an EHR: our own FHIR server, for what the real one never does.
//!
//! It keeps resources, stamps them by its own clock, searches and reads like a server that keeps the standard; a test
//! makes it lie, stall, break off or ask for credentials. It proves nothing about real servers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chartseal::base::UtcMillis;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::clinic;

/// One request as the double received it.
#[derive(Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What the double does with one request.
pub enum Act {
    /// What a good server would.
    AsUsual,
    Answer(Reply),
    /// The head promises all, but only so many bytes of the body come before the connection ends.
    CutAfter(usize),
    /// What a good server would, but not before the test says so.
    AsUsualAfter(CancellationToken),
    /// A body of this media type that begins so, promises two gigabytes and goes on after them; how much of it left is in
    /// [`EhrDouble::endless_bytes`].
    Endless(&'static str, &'static [u8]),
    /// The connection stays open and nothing comes.
    Silence,
    /// The connection ends without an answer.
    HangUp,
}

#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a client of a double needs that asks for certificates; PEM.
pub struct Certificates {
    pub authority: String,
    pub client: String,
    pub client_key: String,
}

/// A running double; it stops when dropped.
pub struct EhrDouble {
    /// The FHIR base, without a trailing slash.
    pub base_url: String,
    state: Arc<State>,
    served: AbortHandle,
}

type Behaviour = dyn Fn(&Asked) -> Act + Send + Sync;

struct State {
    shelf: Mutex<BTreeMap<(String, String), Kept>>,
    asked: Mutex<Vec<Asked>>,
    behaviour: Mutex<Arc<Behaviour>>,
    /// How far its clock is from this machine's.
    clock_off_ms: Mutex<i64>,
    /// Interactions of its `CapabilityStatement`; `None`: it has no statement.
    offers: Mutex<Option<Vec<&'static str>>>,
    /// Type, id and time of what was deleted.
    deleted: Mutex<Vec<(String, String, UtcMillis)>>,
    endless_bytes: AtomicU64,
}

#[derive(Clone)]
struct Kept {
    version: u32,
    updated_at: UtcMillis,
    bytes: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A search of this resource type.
    pub fn searches(&self, kind: &str) -> bool {
        self.method == "GET" && self.target.starts_with(&format!("/fhir/{kind}?"))
    }

    /// A reading of one resource of this type.
    pub fn reads(&self, kind: &str) -> bool {
        self.method == "GET" && self.target.starts_with(&format!("/fhir/{kind}/"))
    }
}

impl Reply {
    pub fn new(status: u16, media: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".to_owned(), media.to_owned())], body: body.into() }
    }

    pub fn fhir(status: u16, body: &Value) -> Self {
        Self::new(status, "application/fhir+json", body.to_string())
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl EhrDouble {
    pub async fn start() -> Self {
        Self::serve("http", None).await
    }

    /// Over TLS with a certificate that nobody has signed.
    pub async fn start_self_signed() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the protocols")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("the key fits");
        Self::serve("https", Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// Over TLS, for those alone who show a certificate of the same authority.
    pub async fn start_asking_for_certificates() -> (Self, Certificates) {
        let authority_key = rcgen::KeyPair::generate().expect("a key can be made");
        let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_made = authority.self_signed(&authority_key).expect("an authority signs itself");
        let authority_der = authority_made.der().clone();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let sign = |name: &str, usage| {
            let key = rcgen::KeyPair::generate().expect("a key can be made");
            let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
            params.extended_key_usages = vec![usage];
            (params.signed_by(&key, &issuer).expect("the authority signs"), key)
        };
        let (server, server_key) = sign("127.0.0.1", rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = sign("chartseal.test", rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority_der).expect("an authority");
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the protocols")
            .with_client_cert_verifier(verifier.build().expect("an authority is known"))
            .with_single_cert(
                vec![server.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key"),
            )
            .expect("the key fits");
        let double = Self::serve("https", Some(TlsAcceptor::from(Arc::new(config)))).await;
        let certificates = Certificates {
            authority: authority_made.pem(),
            client: client.pem(),
            client_key: client_key.serialize_pem(),
        };
        (double, certificates)
    }

    async fn serve(scheme: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let base_url = format!("{scheme}://{}/fhir", listener.local_addr().expect("a bound socket has an address"));
        let state = Arc::new(State {
            shelf: Mutex::default(),
            asked: Mutex::default(),
            behaviour: Mutex::new(Arc::new(|_| Act::AsUsual)),
            clock_off_ms: Mutex::new(0),
            offers: Mutex::new(None),
            deleted: Mutex::default(),
            endless_bytes: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        let base = base_url.clone();
        let served = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, base, tls) = (Arc::clone(&shared), base.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => answer_one(stream, &shared, &base).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer_one(stream, &shared, &base).await;
                            }
                        }
                    }
                });
            }
        });
        Self { base_url, state, served: served.abort_handle() }
    }

    /// From now on `behaviour` decides about every request.
    pub fn behave(&self, behaviour: impl Fn(&Asked) -> Act + Send + Sync + 'static) {
        *self.state.behaviour.lock().expect("no test panics here") = Arc::new(behaviour);
    }

    pub fn behave_well(&self) {
        self.behave(|_| Act::AsUsual);
    }

    pub fn set_clock_off_seconds(&self, seconds: i64) {
        *self.state.clock_off_ms.lock().expect("no test panics here") = seconds * 1000;
    }

    /// Creates or replaces a resource, with the version and the time that the server gives it.
    pub fn put(&self, resource: &Value) {
        self.put_stamped(resource, self.state.now());
    }

    /// [`EhrDouble::put`] by a transaction that took its time long before it became visible.
    pub fn put_late(&self, resource: &Value, seconds: i64) {
        self.put_stamped(resource, UtcMillis(self.state.now().0 - seconds * 1000));
    }

    fn put_stamped(&self, resource: &Value, updated_at: UtcMillis) {
        let text = |name: &str| resource[name].as_str().expect("a resource has a type and an id").to_owned();
        let key = (text("resourceType"), text("id"));
        let version = self.next_version(&key);
        let mut resource = resource.clone();
        resource["meta"]["versionId"] = json!(version.to_string());
        resource["meta"]["lastUpdated"] = json!(updated_at.to_rfc3339());
        self.keep(key, Kept { version, updated_at, bytes: resource.to_string().into_bytes() });
    }

    /// Keeps these bytes as they are: searches list the id, a reading gets the bytes.
    pub fn put_bytes(&self, kind: &str, id: &str, bytes: &[u8]) {
        let key = (kind.to_owned(), id.to_owned());
        let (version, updated_at) = (self.next_version(&key), self.state.now());
        self.keep(key, Kept { version, updated_at, bytes: bytes.to_vec() });
    }

    /// From now on it states that it offers these interactions of each type.
    pub fn offer(&self, interactions: &[&'static str]) {
        *self.state.offers.lock().expect("no test panics here") = Some(interactions.to_vec());
    }

    /// Deletes a resource: a reading answers 410 from now on, a search leaves it out, a history tells of it.
    pub fn delete(&self, kind: &str, id: &str) {
        self.state.shelf.lock().expect("no test panics here").remove(&(kind.to_owned(), id.to_owned()));
        let deleted = (kind.to_owned(), id.to_owned(), self.state.now());
        self.state.deleted.lock().expect("no test panics here").push(deleted);
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no test panics here").clone()
    }

    /// How much of bodies without an end its clients took.
    pub fn endless_bytes(&self) -> u64 {
        self.state.endless_bytes.load(Ordering::SeqCst)
    }

    /// What a good server answers to a search of `kind`, for a test that changes it a little.
    pub fn searchset(&self, kind: &str) -> Value {
        self.state.searchset(kind, &[], &self.base_url)
    }

    fn next_version(&self, key: &(String, String)) -> u32 {
        self.state.shelf.lock().expect("no test panics here").get(key).map_or(1, |kept| kept.version + 1)
    }

    fn keep(&self, key: (String, String), kept: Kept) {
        self.state.shelf.lock().expect("no test panics here").insert(key, kept);
    }
}

impl Drop for EhrDouble {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl State {
    fn now(&self) -> UtcMillis {
        UtcMillis(clinic::now().0 + *self.clock_off_ms.lock().expect("no test panics here"))
    }

    fn usual(&self, asked: &Asked, base: &str) -> Reply {
        let path = asked.target.strip_prefix("/fhir/").unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match path.split_once('/') {
            None if path == "metadata" => self.statement(),
            Some((kind, "_history")) => Reply::fhir(200, &self.history(kind, base)),
            Some((kind, id)) => {
                let key = (kind.to_owned(), id.to_owned());
                match self.shelf.lock().expect("no test panics here").get(&key) {
                    Some(kept) => Reply::new(200, "application/fhir+json", kept.bytes.clone()),
                    None if self.is_deleted(&key) => Reply::fhir(410, &outcome("deleted")),
                    None => Reply::fhir(404, &outcome("not-found")),
                }
            }
            None => {
                let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
                Reply::fhir(200, &self.searchset(path, &query, base))
            }
        }
    }

    fn statement(&self) -> Reply {
        let Some(offers) = self.offers.lock().expect("no test panics here").clone() else {
            return Reply::fhir(404, &outcome("not-found"));
        };
        let interaction: Vec<Value> = offers.iter().map(|code| json!({"code": code})).collect();
        let of = |kind: &str| json!({"type": kind, "interaction": interaction, "searchParam": [{"name": "date"}, {"name": "issued"}]});
        let rest = json!([{"mode": "server", "resource": [of("DiagnosticReport"), of("DocumentReference")]}]);
        Reply::fhir(200, &json!({"resourceType": "CapabilityStatement", "rest": rest}))
    }

    fn history(&self, kind: &str, base: &str) -> Value {
        let deleted = self.deleted.lock().expect("no test panics here");
        let entries = deleted.iter().filter(|(of, ..)| of == kind).map(|(_, id, at)| {
            json!({
                "fullUrl": format!("{base}/{kind}/{id}"),
                "request": {"method": "DELETE", "url": format!("{kind}/{id}")},
                "response": {"status": "204", "lastModified": at.to_rfc3339()},
            })
        });
        json!({"resourceType": "Bundle", "type": "history", "entry": entries.collect::<Vec<_>>()})
    }

    fn is_deleted(&self, (kind, id): &(String, String)) -> bool {
        self.deleted.lock().expect("no test panics here").iter().any(|(of, one, _)| of == kind && one == id)
    }

    fn searchset(&self, kind: &str, query: &[(String, String)], base: &str) -> Value {
        let wanted = |kept: &Kept| {
            let resource: Value = serde_json::from_slice(&kept.bytes).unwrap_or_default();
            query.iter().all(|(name, wanted)| match name.as_str() {
                "patient" => resource["subject"]["reference"] == json!(format!("Patient/{wanted}")),
                "issued" | "date" => {
                    let told = resource[name].as_str().and_then(UtcMillis::parse_rfc3339);
                    let bound = UtcMillis::parse_rfc3339(wanted.get(2..).unwrap_or_default());
                    bound.is_none() || told >= bound
                }
                _ => true,
            })
        };
        let inside = |at: UtcMillis| {
            query.iter().filter(|(name, _)| name == "_lastUpdated").all(|(_, wanted)| {
                let bound = UtcMillis::parse_rfc3339(wanted.get(2..).unwrap_or_default()).expect("an instant");
                if wanted.starts_with("ge") { at >= bound } else { at < bound }
            })
        };
        let shelf = self.shelf.lock().expect("no test panics here");
        let entries: Vec<Value> = shelf
            .iter()
            .filter(|((kept_kind, _), kept)| kept_kind == kind && inside(kept.updated_at) && wanted(kept))
            .map(|((_, id), kept)| {
                json!({
                    "fullUrl": format!("{base}/{kind}/{id}"),
                    "resource": {
                        "resourceType": kind,
                        "id": id,
                        "meta": {"versionId": kept.version.to_string(), "lastUpdated": kept.updated_at.to_rfc3339()},
                    },
                    "search": {"mode": "match"},
                })
            })
            .collect();
        json!({"resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries})
    }
}

pub fn outcome(code: &str) -> Value {
    json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]})
}

async fn answer_one(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &State, base: &str) {
    let Some(asked) = receive(&mut stream).await else { return };
    let behaviour = Arc::clone(&state.behaviour.lock().expect("no test panics here"));
    state.asked.lock().expect("no test panics here").push(asked.clone());
    let (reply, body_bytes) = match behaviour(&asked) {
        Act::AsUsual => (state.usual(&asked, base), usize::MAX),
        Act::AsUsualAfter(word) => {
            word.cancelled().await;
            (state.usual(&asked, base), usize::MAX)
        }
        Act::Answer(reply) => (reply, usize::MAX),
        Act::CutAfter(bytes) => (state.usual(&asked, base), bytes),
        Act::Endless(media, beginning) => return without_end(stream, state, media, beginning).await,
        Act::Silence => std::future::pending().await,
        Act::HangUp => return,
    };
    let date = DateTime::<Utc>::from_timestamp_millis(state.now().0).expect("a time of this century");
    let mut head = format!(
        "HTTP/1.1 {} Answer\r\nDate: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
        reply.status,
        date.format("%a, %d %b %Y %H:%M:%S GMT"),
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = reply.body.get(..body_bytes).unwrap_or(&reply.body);
    // The client may have hung up: its own affair.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let _ = stream.shutdown().await;
}

/// Sends until the client hangs up.
async fn without_end(mut stream: impl AsyncWrite + Unpin, state: &State, media: &str, beginning: &[u8]) {
    let head = format!("HTTP/1.1 200 Answer\r\nContent-Type: {media}\r\nContent-Length: 2147483648\r\n\r\n");
    if stream.write_all(&[head.as_bytes(), beginning].concat()).await.is_err() {
        return;
    }
    while stream.write_all(&[b' '; 16 * 1024]).await.is_ok() {
        state.endless_bytes.fetch_add(16 * 1024, Ordering::SeqCst);
    }
}

async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut body = bytes.split_off(head_end + 4);
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Asked { method, target, headers, body })
}
