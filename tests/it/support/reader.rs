//! A browser with the link, reduced to bytes on a connection: quick enough for thousands of them.
//!
//! The service must trust 127.0.0.1 as its proxy, since each reader says that it comes from a network of its own.

use std::sync::atomic::{AtomicU32, Ordering};

use chartseal::base::{Key256, LinkId, LinkSecret};
use chartseal::sealing::{AuthKey, proof};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::wait;

/// The variable that makes readers believed, for [`super::service::Installation::write`].
pub const TRUSTS_READERS: (&str, &str) = ("CHARTSEAL__SERVER__TRUSTED_PROXIES", "127.0.0.1");

/// An answer that came whole.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The server's half of the key.
    ///
    /// # Panics
    /// When the claim was not granted.
    pub fn share(&self) -> Key256 {
        assert_eq!(self.status, 200, "{}", self.head);
        Key256::from_base64url(self.json()["share"].as_str().expect("a share")).expect("a share")
    }
}

/// One connection, kept open.
pub struct Line {
    port: u16,
    stream: Option<TcpStream>,
}

impl Line {
    pub const fn to(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// Sends one request and reads its answer. `Err` holds what came before the connection ended.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer, Vec<u8>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|_| Vec::new())?,
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let mut heard = Vec::new();
        if stream.write_all(request.as_bytes()).await.is_err() {
            return Err(heard);
        }
        let head_end = loop {
            if let Some(at) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if !matches!(stream.read_buf(&mut heard).await, Ok(1..)) {
                return Err(heard);
            }
        };
        let head = String::from_utf8_lossy(&heard[..head_end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("an answer has a status");
        let value = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let has_body = method != "HEAD" && status != 204 && status != 304;
        let length: usize = value("content-length:").map_or(0, |length| length.parse().expect("a length"));
        let end = head_end + 4 + if has_body { length } else { 0 };
        while heard.len() < end {
            if !matches!(stream.read_buf(&mut heard).await, Ok(1..)) {
                return Err(heard);
            }
        }
        if !value("connection:").is_some_and(|word| word.eq_ignore_ascii_case("close")) {
            self.stream = Some(stream);
        }
        Ok(Answer { status, head, body: heard[head_end + 4..end].to_vec() })
    }
}

/// One browser that was given a link.
pub struct Reader {
    pub line: Line,
    id: LinkId,
    auth: AuthKey,
    headers: String,
    proof: String,
}

impl Reader {
    /// `origin` is the page's, as browsers write it.
    pub fn new(line: Line, origin: &str, id: &LinkId, secret: &LinkSecret) -> Self {
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let [_, a, b, c] = NETWORKS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let headers =
            format!("Origin: {origin}\r\nContent-Type: application/json\r\nX-Forwarded-For: 10.{a}.{b}.{c}\r\n");
        Self { line, id: id.clone(), auth: AuthKey::derive(secret, id), headers, proof: String::new() }
    }

    /// Gets the cookie and makes the proof.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn begin(&mut self) {
        let answer = self.post("begin", "{}".to_owned()).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.head);
        let cookie = answer.head.lines().find_map(|line| line.split_once("chartseal=")).expect("a cookie").1;
        let cookie = cookie.split(';').next().expect("a value");
        self.headers.push_str(&format!("Cookie: chartseal={cookie}\r\n"));
        let begun = answer.json();
        let bytes =
            |name: &str| BASE64URL_NOPAD.decode(begun[name].as_str().expect("text").as_bytes()).expect("base64url");
        let hash = bytes("cookie_hash").try_into().expect("32 bytes");
        let mac = proof(&self.auth, &bytes("nonce"), &self.id, &hash);
        self.proof = json!({"nonce": begun["nonce"], "proof": BASE64URL_NOPAD.encode(&mac)}).to_string();
    }

    /// How the link stands: `ready`, `yours`, or the kind of its end.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn look(&mut self) -> String {
        let body = self.post("look", self.proof.clone()).await.expect("an answer").json();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        text("kind").or_else(|| text("state")).unwrap_or_default()
    }

    /// Claims; `Err` when the answer did not come whole.
    pub async fn open(&mut self) -> Result<Answer, Vec<u8>> {
        self.post("open", self.proof.clone()).await
    }

    pub async fn file(&mut self) -> Result<Answer, Vec<u8>> {
        let path = format!("/r/{}/files/1", self.id);
        self.ask("GET", &path, "").await
    }

    async fn post(&mut self, step: &str, body: String) -> Result<Answer, Vec<u8>> {
        let path = format!("/r/{}/{step}", self.id);
        self.ask("POST", &path, &body).await
    }

    /// Asks again while the service says that it is too busy, as the page does.
    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, Vec<u8>> {
        wait::until_async("the service to have room", async || {
            let answer = self.line.ask(method, path, &self.headers, body).await;
            (!answer.as_ref().is_ok_and(|answer| answer.status == 503)).then_some(answer)
        })
        .await
    }
}
