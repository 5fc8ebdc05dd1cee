//! A patient without a browser: speaks the page's protocol over HTTP and decrypts with our own sealing.
//!
//! One [`Holder`] is one browser: a cookie of its own, and an address of its own on loopback, so that what one browser
//! asks for does not slow another down.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU16, Ordering};

use chartseal::base::{Key256, LinkId, LinkSecret, MediaType, VersionId};
use chartseal::sealing::{
    self, AuthKey, ContentKey, FileContext, FileNumber, OpenError, ReceiptKey, ReceiptOutcome, proof, receipt,
};
use data_encoding::BASE64URL_NOPAD;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, COOKIE, ETAG, ORIGIN, RANGE, SET_COOKIE};
use serde_json::{Value, json};

use super::web_client;

/// The link as the message carries it.
#[derive(Clone)]
pub struct WholeLink {
    /// `http://127.0.0.1:PORT`, without a path.
    pub origin: String,
    pub id: LinkId,
    pub secret: LinkSecret,
    /// Everything, as in the message.
    pub text: String,
}

impl WholeLink {
    /// # Panics
    /// When `link` is not `origin/r/{id}#{secret}`.
    pub fn read(link: &str) -> Self {
        let (address, secret) = link.split_once('#').expect("a link has a fragment");
        let (origin, id) = address.rsplit_once("/r/").expect("a link has a path");
        Self {
            origin: origin.to_owned(),
            id: LinkId::parse(id).expect("a link has an id"),
            secret: LinkSecret::from_base64url(secret).expect("a link has a secret"),
            text: link.to_owned(),
        }
    }
}

/// One browser that was given the link.
pub struct Holder {
    pub link: WholeLink,
    /// Where requests go; another replica's address after [`Holder::ask_at`].
    server: String,
    client: reqwest::Client,
    visit: Option<Visit>,
}

/// What `begin` gave.
#[derive(Clone)]
pub struct Visit {
    pub cookie: String,
    pub nonce: String,
    cookie_hash: [u8; 32],
}

/// An answer in JSON.
#[derive(Clone, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

/// What a granted claim says.
pub struct Granted {
    pub share: Key256,
    pub lease_until_ms: i64,
    pub view_until_ms: Option<i64>,
    pub download: String,
    pub files: Vec<GrantedFile>,
}

#[derive(Clone)]
pub struct GrantedFile {
    pub number: u16,
    /// Of its report.
    pub version: VersionId,
    pub media: MediaType,
    pub plain_bytes: u64,
    pub sealed_bytes: u64,
}

/// Bytes of a sealed file.
pub struct Fetched {
    pub status: StatusCode,
    pub etag: Option<String>,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// `ready`, `yours`, the kind of the end, or the problem.
    pub fn says(&self) -> String {
        let text = |key: &str| self.body[key].as_str().map(str::to_owned);
        match text("state").as_deref() {
            Some("ended") => text("kind"),
            Some(state) => Some(state.to_owned()),
            None => text("problem"),
        }
        .unwrap_or_else(|| format!("{}", self.status))
    }

    /// # Panics
    /// When the claim was not granted.
    pub fn granted(&self) -> Granted {
        assert_eq!(self.status, StatusCode::OK, "the claim was not granted: {}", self.says());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let number = |value: &Value| value.as_u64().expect("a number");
        let file = |file: &Value| GrantedFile {
            number: u16::try_from(number(&file["n"])).expect("a small number"),
            version: VersionId::parse(&text(&file["version"])).expect("a version"),
            media: text(&file["type"]).parse().expect("a media type of ours"),
            plain_bytes: number(&file["size"]),
            sealed_bytes: number(&file["sealed_size"]),
        };
        Granted {
            share: Key256::from_base64url(&text(&self.body["share"])).expect("a share"),
            lease_until_ms: self.body["lease_until"].as_i64().expect("the end of the lease"),
            view_until_ms: self.body["view_until"].as_i64(),
            download: text(&self.body["download"]),
            files: self.body["files"].as_array().expect("files").iter().map(file).collect(),
        }
    }
}

impl Holder {
    /// A browser of its own with this link.
    ///
    /// # Panics
    /// When `link` is not a whole link.
    pub fn new(link: &str) -> Self {
        static BROWSERS: AtomicU16 = AtomicU16::new(0);
        let [high, low] = BROWSERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let client = web_client::settings()
            .local_address(IpAddr::V4(Ipv4Addr::new(127, 77, high, low)))
            .build()
            .expect("a plain client can be built");
        let link = WholeLink::read(link);
        Self { server: link.origin.clone(), link, client, visit: None }
    }

    /// Sends further requests to another replica, as a load balancer would: the page's origin stays the same.
    pub fn ask_at(&mut self, server: &str) {
        server.clone_into(&mut self.server);
    }

    /// Begins a visit, with the cookie of an earlier one if there was one.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn begin(&mut self) -> Visit {
        let answer = self.post("begin", &json!({})).await;
        assert_eq!(answer.status(), StatusCode::OK, "begin");
        let cookie = answer.headers()[SET_COOKIE].to_str().expect("a cookie is ASCII");
        let cookie = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair").1.to_owned();
        let body = json_of(answer).await.body;
        let hash = BASE64URL_NOPAD.decode(body["cookie_hash"].as_str().expect("a hash").as_bytes()).expect("base64url");
        let visit = Visit {
            cookie,
            nonce: body["nonce"].as_str().expect("a nonce").to_owned(),
            cookie_hash: hash.try_into().expect("32 bytes"),
        };
        self.visit = Some(visit.clone());
        visit
    }

    /// How the link stands.
    pub async fn look(&mut self) -> Answer {
        let proof = self.proof().await;
        json_of(self.post("look", &proof).await).await
    }

    /// Answers what the link asks: `to` is `question` or `code`.
    pub async fn answer(&mut self, to: &str, answer: &str) -> Answer {
        let mut body = self.proof().await;
        body["to"] = json!(to);
        body["answer"] = json!(answer);
        json_of(self.post("answer", &body).await).await
    }

    /// Has a code sent.
    pub async fn send_code(&mut self) -> Answer {
        let proof = self.proof().await;
        json_of(self.post("code", &proof).await).await
    }

    /// "This was not for me."
    pub async fn disown(&mut self) -> Answer {
        let proof = self.proof().await;
        json_of(self.post("disown", &proof).await).await
    }

    /// Asks for another link in the place of one that ended.
    pub async fn ask_for_another(&mut self) -> Answer {
        let proof = self.proof().await;
        json_of(self.post("another", &proof).await).await
    }

    /// Claims an opening.
    pub async fn open(&mut self) -> Answer {
        let proof = self.proof().await;
        json_of(self.post("open", &proof).await).await
    }

    /// One file, or the bytes `range` of it (`0-99`, `100-`).
    ///
    /// # Panics
    /// When the server does not answer. A download that is cut is not a panic: fewer bytes come.
    pub async fn file(&self, number: u16, range: Option<&str>) -> Fetched {
        let mut answer = self.start_file(number, range).await;
        let etag = answer.headers().get(ETAG).map(|tag| tag.to_str().expect("ASCII").to_owned());
        let (status, mut bytes) = (answer.status(), Vec::new());
        while let Ok(Some(chunk)) = answer.chunk().await {
            bytes.extend_from_slice(&chunk);
        }
        Fetched { status, etag, bytes }
    }

    /// [`Holder::file`] as far as its headers: the body is the caller's to read.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn start_file(&self, number: u16, range: Option<&str>) -> reqwest::Response {
        let mut request = self.client.get(format!("{}/r/{}/files/{number}", self.server, self.link.id));
        if let Some(visit) = &self.visit {
            request = request.header(COOKIE, format!("chartseal={}", visit.cookie));
        }
        if let Some(range) = range {
            request = request.header(RANGE, format!("bytes={range}"));
        }
        request.send().await.expect("the server answers")
    }

    /// Tells the server what became of the files.
    pub async fn receipt(&self, outcome: ReceiptOutcome) -> StatusCode {
        let visit = self.visit.as_ref().expect("a visit was begun");
        let key = ReceiptKey::derive(&self.link.secret, &self.link.id);
        let mac = receipt(&key, outcome, &self.link.id, &visit.cookie_hash);
        let body = json!({"outcome": outcome.as_str(), "mac": BASE64URL_NOPAD.encode(&mac)});
        self.post("receipt", &body).await.status()
    }

    /// Decrypts a whole sealed file under what the claim gave.
    ///
    /// # Errors
    /// When it does not open.
    pub fn decrypt(&self, granted: &Granted, file: &GrantedFile, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let content = ContentKey::derive(&self.link.secret, &granted.share, &self.link.id);
        let context = FileContext {
            link: self.link.id.clone(),
            number: FileNumber::new(file.number).expect("files count from 1"),
            version: file.version.clone(),
            media: file.media,
        };
        let mut plain = Vec::new();
        sealing::open(&content, &context, sealed, &mut plain).map(|_| plain)
    }

    /// The whole visit: begin, look, open, fetch in two ranges, decrypt and confirm; the first file's bytes.
    ///
    /// # Panics
    /// When any part is refused.
    pub async fn read(&mut self) -> Vec<u8> {
        let (_, plain) = self.claim_and_read().await;
        assert_eq!(self.receipt(ReceiptOutcome::Decrypted).await, StatusCode::NO_CONTENT, "receipt");
        plain
    }

    /// [`Holder::read`] without the receipt: the claim goes on.
    ///
    /// # Panics
    /// When any part is refused.
    pub async fn claim_and_read(&mut self) -> (Granted, Vec<u8>) {
        let looked = self.look().await;
        assert!(["ready", "yours"].contains(&looked.says().as_str()), "the link does not stand: {}", looked.says());
        let granted = self.open().await.granted();
        let file = granted.files.first().expect("a link has a file").clone();
        let first = self.file(file.number, Some("0-99")).await;
        let rest = self.file(file.number, Some("100-")).await;
        assert_eq!((first.status, rest.status), (StatusCode::PARTIAL_CONTENT, StatusCode::PARTIAL_CONTENT));
        assert_eq!(first.etag, rest.etag, "two ranges of one file");
        let sealed = [first.bytes, rest.bytes].concat();
        assert_eq!(sealed.len() as u64, file.sealed_bytes);
        let plain = self.decrypt(&granted, &file, &sealed).expect("the file opens");
        assert_eq!(plain.len() as u64, file.plain_bytes);
        (granted, plain)
    }

    /// Every file of the link, in its order, and the receipt.
    ///
    /// # Panics
    /// When any part is refused.
    pub async fn read_all(&mut self) -> Vec<Vec<u8>> {
        assert_eq!(self.look().await.says(), "ready");
        let granted = self.open().await.granted();
        let mut all = Vec::new();
        for file in &granted.files {
            let sealed = self.file(file.number, None).await;
            assert_eq!(sealed.status, StatusCode::OK);
            all.push(self.decrypt(&granted, file, &sealed.bytes).expect("the file opens"));
        }
        assert_eq!(self.receipt(ReceiptOutcome::Decrypted).await, StatusCode::NO_CONTENT, "receipt");
        all
    }

    /// The body that proves the link's secret; begins the visit when there is none.
    async fn proof(&mut self) -> Value {
        let visit = match &self.visit {
            Some(visit) => visit.clone(),
            None => self.begin().await,
        };
        let nonce = BASE64URL_NOPAD.decode(visit.nonce.as_bytes()).expect("a nonce is base64url");
        let key = AuthKey::derive(&self.link.secret, &self.link.id);
        let mac = proof(&key, &nonce, &self.link.id, &visit.cookie_hash);
        json!({"nonce": visit.nonce, "proof": BASE64URL_NOPAD.encode(&mac)})
    }

    async fn post(&self, step: &str, body: &Value) -> reqwest::Response {
        let mut request = self
            .client
            .post(format!("{}/r/{}/{step}", self.server, self.link.id))
            .header(CONTENT_TYPE, "application/json")
            .header(ORIGIN, &self.link.origin)
            .body(body.to_string());
        if let Some(visit) = &self.visit {
            request = request.header(COOKIE, format!("chartseal={}", visit.cookie));
        }
        request.send().await.expect("the server answers")
    }
}

async fn json_of(answer: reqwest::Response) -> Answer {
    let status = answer.status();
    let bytes = answer.bytes().await.expect("the answer is whole");
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}
