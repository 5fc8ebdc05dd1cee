//! Patients without browsers, many in a row over one kept connection, as they come through a proxy.
//!
//! Each visit is a browser of its own: its own cookie, and its own address in the proxy's header. It asks what the page
//! asks: begin, look, open, the sealed file, the receipt; and it decrypts.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chartseal::base::{Key256, LinkId, LinkSecret, MediaType, VersionId};
use chartseal::sealing::{
    self, AuthKey, ContentKey, FileContext, FileNumber, ReceiptKey, ReceiptOutcome, proof, receipt,
};
use data_encoding::BASE64URL_NOPAD;
use reqwest::header::{CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE};
use serde_json::{Value, json};

use crate::support::web_client;

/// A link as its message carries it.
#[derive(Clone)]
pub struct Letter {
    pub id: LinkId,
    pub secret: String,
}

/// A connection on which visits follow each other.
pub struct Visitor {
    client: reqwest::Client,
    origin: String,
}

/// How long a visit took.
#[derive(Clone, Copy)]
pub struct Visit {
    /// The claim alone: the request that spends an opening, with its commit.
    pub claim: Duration,
    /// From the first byte asked for to the receipt taken.
    pub whole: Duration,
}

impl Visitor {
    /// # Panics
    /// Never in practice: the settings are constant.
    pub fn new(origin: &str) -> Self {
        let client = web_client::settings().pool_max_idle_per_host(1).build().expect("a plain client can be built");
        Self { client, origin: origin.to_owned() }
    }

    /// The whole visit.
    ///
    /// # Panics
    /// When any part of it is refused.
    pub async fn visit(&self, letter: &Letter) -> Visit {
        let address = fresh_address();
        let secret = LinkSecret::from_base64url(&letter.secret).expect("a secret");
        let since = Instant::now();
        let begun = self.post(letter, &address, None, "begin", &json!({})).await;
        let cookie = begun.headers()[SET_COOKIE].to_str().expect("ASCII");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        let begun = body(begun).await;
        let bytes = |value: &Value| BASE64URL_NOPAD.decode(value.as_str().expect("a text").as_bytes()).expect("base64");
        let cookie_hash: [u8; 32] = bytes(&begun["cookie_hash"]).try_into().expect("32 bytes");
        let mac = proof(&AuthKey::derive(&secret, &letter.id), &bytes(&begun["nonce"]), &letter.id, &cookie_hash);
        let proven = json!({"nonce": begun["nonce"], "proof": BASE64URL_NOPAD.encode(&mac)});
        body(self.post(letter, &address, Some(&cookie), "look", &proven).await).await;

        let claiming = Instant::now();
        let granted = body(self.post(letter, &address, Some(&cookie), "open", &proven).await).await;
        let claim = claiming.elapsed();
        let file = &granted["files"][0];
        let request = self.client.get(format!("{}/r/{}/files/{}", self.origin, letter.id, file["n"]));
        let sealed = request.header(COOKIE, &cookie).header("X-Forwarded-For", &address).send().await;
        let sealed = sealed.expect("the server answers").error_for_status().expect("the file").bytes().await;
        let share = Key256::from_base64url(granted["share"].as_str().expect("a text")).expect("a share");
        let about = FileContext {
            link: letter.id.clone(),
            number: FileNumber::FIRST,
            version: VersionId::parse(granted["files"][0]["version"].as_str().expect("a text")).expect("a version"),
            media: file["type"].as_str().expect("a text").parse::<MediaType>().expect("a type of ours"),
        };
        let content = ContentKey::derive(&secret, &share, &letter.id);
        let mut plain = Vec::new();
        sealing::open(&content, &about, &*sealed.expect("all of it"), &mut plain).expect("the report opens");

        let outcome = ReceiptOutcome::Decrypted;
        let mac = receipt(&ReceiptKey::derive(&secret, &letter.id), outcome, &letter.id, &cookie_hash);
        let told = json!({"outcome": outcome.as_str(), "mac": BASE64URL_NOPAD.encode(&mac)});
        self.post(letter, &address, Some(&cookie), "receipt", &told).await;
        Visit { claim, whole: since.elapsed() }
    }

    async fn post(
        &self,
        letter: &Letter,
        address: &str,
        cookie: Option<&str>,
        step: &str,
        body: &Value,
    ) -> reqwest::Response {
        let mut request = self
            .client
            .post(format!("{}/r/{}/{step}", self.origin, letter.id))
            .header(CONTENT_TYPE, "application/json")
            .header(ORIGIN, &self.origin)
            .header("X-Forwarded-For", address)
            .body(body.to_string());
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        let answer = request.send().await.expect("the server answers");
        assert!(answer.status().is_success(), "{step} was answered with {}", answer.status());
        answer
    }
}

/// `at_once` visitors share the letters; how long each visit took, in no order.
///
/// # Panics
/// When a visit fails.
pub async fn visit_all(origin: &str, letters: Vec<Letter>, at_once: usize) -> Vec<Visit> {
    let waiting = std::sync::Arc::new(std::sync::Mutex::new(letters));
    let visitors: Vec<_> = (0..at_once)
        .map(|_| {
            let (waiting, visitor) = (std::sync::Arc::clone(&waiting), Visitor::new(origin));
            tokio::spawn(async move {
                let mut visits = Vec::new();
                loop {
                    let letter = waiting.lock().expect("nobody panics here").pop();
                    match letter {
                        Some(letter) => visits.push(visitor.visit(&letter).await),
                        None => return visits,
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for visitor in visitors {
        all.extend(visitor.await.expect("every visit succeeds"));
    }
    all
}

async fn body(answer: reqwest::Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.expect("the answer is whole")).expect("an answer in JSON")
}

/// One that no visitor of this run had before.
fn fresh_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0x0a00_0001);
    Ipv4Addr::from_bits(NEXT.fetch_add(1, Ordering::Relaxed)).to_string()
}
