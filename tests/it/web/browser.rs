//! A browser with the page in it, reduced to its requests.

use actix_http::Request;
use actix_web::body::to_bytes;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::test::TestRequest;
use actix_web::web::Bytes;
use actix_web::{App, Error, test};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::house::{Handed, House};
use chartseal::base::{LinkId, LinkSecret};
use chartseal::sealing::{AuthKey, ReceiptKey, ReceiptOutcome, proof, receipt};

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status, body and headers, without what may differ between two equal answers.
    pub(super) fn comparable(&self) -> (StatusCode, Vec<(String, String)>, Bytes) {
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| **name != header::SET_COOKIE)
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        (self.status, headers, self.body.clone())
    }
}

pub(super) trait Site: Service<Request, Response = ServiceResponse, Error = Error> {}
impl<S: Service<Request, Response = ServiceResponse, Error = Error>> Site for S {}

pub(super) async fn site(house: &House) -> impl Site {
    let (patient, hooks) = (house.patient(), house.hooks());
    test::init_service(
        App::new()
            .configure(|cfg| chartseal::web::patient(cfg, &patient))
            .configure(|cfg| chartseal::web::hooks(cfg, &hooks)),
    )
    .await
}

pub(super) async fn ask(site: &impl Site, request: TestRequest) -> Answer {
    let response = test::call_service(site, request.to_request()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body()).await.unwrap();
    Answer { status, headers, body }
}

pub(super) struct Browser {
    link: String,
    auth: AuthKey,
    receipt: ReceiptKey,
    pub cookie: Option<String>,
    proof: Value,
    cookie_hash: [u8; 32],
}

impl Browser {
    pub(super) fn with(handed: &Handed) -> Self {
        Self::at(handed.id.as_str(), &handed.id, &handed.secret)
    }

    /// A browser that asks for `link` and proves as if it were `id`.
    pub(super) fn at(link: &str, id: &LinkId, secret: &LinkSecret) -> Self {
        Self {
            link: link.to_owned(),
            auth: AuthKey::derive(secret, id),
            receipt: ReceiptKey::derive(secret, id),
            cookie: None,
            proof: Value::Null,
            cookie_hash: [0; 32],
        }
    }

    pub(super) fn post(&self, what: &str, body: &Value) -> TestRequest {
        self.with_cookie(TestRequest::post().uri(&format!("/r/{}/{what}", self.link)).set_json(body))
    }

    pub(super) fn get(&self, what: &str) -> TestRequest {
        self.with_cookie(TestRequest::get().uri(&format!("/r/{}/{what}", self.link)))
    }

    pub(super) fn with_cookie(&self, request: TestRequest) -> TestRequest {
        match &self.cookie {
            Some(cookie) => request.insert_header(("Cookie", format!("chartseal={cookie}"))),
            None => request,
        }
    }

    /// `id` is what the proof is made for; the real page knows no other than its link's.
    pub(super) async fn begin(&mut self, site: &impl Site, id: &LinkId) -> Answer {
        let answer = ask(site, self.post("begin", &json!({}))).await;
        assert_eq!(answer.status, StatusCode::OK);
        let set = answer.header("Set-Cookie").unwrap();
        self.cookie = Some(set.split(['=', ';']).nth(1).unwrap().to_owned());
        let begun = answer.json();
        self.cookie_hash =
            BASE64URL_NOPAD.decode(begun["cookie_hash"].as_str().unwrap().as_bytes()).unwrap().try_into().unwrap();
        let nonce = begun["nonce"].as_str().unwrap();
        let nonce_bytes = BASE64URL_NOPAD.decode(nonce.as_bytes()).unwrap();
        let mac = proof(&self.auth, &nonce_bytes, id, &self.cookie_hash);
        self.proof = json!({ "nonce": nonce, "proof": BASE64URL_NOPAD.encode(&mac) });
        answer
    }

    pub(super) async fn look(&self, site: &impl Site) -> Answer {
        ask(site, self.post("look", &self.proof)).await
    }

    pub(super) async fn answer(&self, site: &impl Site, to: &str, answer: &str) -> Answer {
        let mut body = self.proof.clone();
        body["to"] = json!(to);
        body["answer"] = json!(answer);
        ask(site, self.post("answer", &body)).await
    }

    pub(super) async fn code(&self, site: &impl Site) -> Answer {
        ask(site, self.post("code", &self.proof)).await
    }

    pub(super) async fn open(&self, site: &impl Site) -> Answer {
        ask(site, self.post("open", &self.proof)).await
    }

    pub(super) async fn file(&self, site: &impl Site, range: &str) -> Answer {
        ask(site, self.get("files/1").insert_header((header::RANGE, range))).await
    }

    pub(super) async fn receipt(&self, site: &impl Site, outcome: ReceiptOutcome, id: &LinkId) -> Answer {
        let mac = BASE64URL_NOPAD.encode(&receipt(&self.receipt, outcome, id, &self.cookie_hash));
        ask(site, self.post("receipt", &json!({ "outcome": outcome.as_str(), "mac": mac }))).await
    }
}
