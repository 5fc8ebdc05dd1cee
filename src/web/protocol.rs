//! The page's conversation: begin, look, answer, code, open, receipt. JSON in, JSON out; every decision is `open`'s.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use data_encoding::BASE64URL_NOPAD;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Patient;
use super::answers::Problem;
use super::headers::{Sender, Transport, sender};
use super::limits::Pace;
use super::views::{EndedView, GrantedView, LookedView, ReplyView};
use crate::base::{LinkId, SecretText, seconds};
use crate::open::{CodeSaid, Holder, Looked, Open, OpenError, Opened};
use crate::policy::Challenge;
use crate::sealing::ReceiptOutcome;

pub(super) const COOKIE: &str = "chartseal";
/// A claim outlives a lease by far, so that the same browser is still told "you opened it".
const COOKIE_LIFE_SECONDS: u32 = 24 * 60 * 60;
/// The largest body that the page sends is some 200 bytes.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// For one body to arrive.
pub const PAGE_BODY_WAIT_MAX: Duration = seconds(10);

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Proof {
    nonce: String,
    proof: String,
}

#[derive(Deserialize)]
struct Answering {
    nonce: String,
    proof: String,
    /// `question`, `code` or `unlock`.
    to: String,
    answer: String,
}

/// What the code is for that unlocks a link.
const UNLOCK: &str = "unlock";

#[derive(Deserialize)]
struct Receipt {
    outcome: String,
    mac: String,
}

#[derive(Serialize)]
struct BegunView {
    nonce: String,
    cookie_hash: String,
    /// Milliseconds since 1970, by the store's clock.
    now: i64,
}

pub(super) async fn begin(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    if let Err(problem) = read_json::<Nothing>(&patient, &request, body).await {
        return problem.answer();
    }
    let link = link_of(&request);
    let begun = patient.open.begin(link, cookie_of(&request).as_deref());
    let cookie = cookie_header(link, begun.cookie.expose(), patient.edge.transport);
    let view =
        BegunView { nonce: begun.nonce, cookie_hash: BASE64URL_NOPAD.encode(&begun.cookie_hash), now: begun.now.0 };
    HttpResponse::Ok().insert_header((header::SET_COOKIE, cookie)).json(view)
}

pub(super) async fn look(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    looked_after(&patient, &request, body, async |open, holder| open.look(holder).await).await
}

/// "This was not for me."
pub(super) async fn disown(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    looked_after(&patient, &request, body, async |open, holder| open.disown(holder).await).await
}

/// "I want another link."
pub(super) async fn another(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    looked_after(&patient, &request, body, async |open, holder| open.ask_for_another(holder).await).await
}

/// What the holder of a link asks for with nothing but their proof, and how the link stands then.
async fn looked_after(
    patient: &Patient,
    request: &HttpRequest,
    body: web::Payload,
    ask: impl AsyncFnOnce(&Open, &Holder<'_>) -> Result<Looked, OpenError>,
) -> HttpResponse {
    let proof = match read_json::<Proof>(patient, request, body).await {
        Ok(proof) => proof,
        Err(problem) => return problem.answer(),
    };
    let cookie = cookie_of(request);
    match ask(&patient.open, &holder(request, cookie.as_deref(), (&proof.nonce, &proof.proof))).await {
        Ok(looked) => HttpResponse::Ok().json(LookedView::new(looked)),
        Err(error) => refused(&error),
    }
}

pub(super) async fn open(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let proof = match read_json::<Proof>(&patient, &request, body).await {
        Ok(proof) => proof,
        Err(problem) => return problem.answer(),
    };
    let cookie = cookie_of(&request);
    match patient.open.open(&holder(&request, cookie.as_deref(), (&proof.nonce, &proof.proof))).await {
        Ok(Opened::Granted(granted)) => HttpResponse::Ok().json(GrantedView::new(*granted)),
        Ok(Opened::Asks(standing)) => HttpResponse::Conflict().json(LookedView::ready(*standing)),
        Ok(Opened::Ended(ended)) => HttpResponse::Conflict().json(EndedView::new(ended)),
        Err(error) => refused(&error),
    }
}

/// Slower than everything else: who answers is a person.
pub(super) async fn answer(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    if patient.answers_limit.admit(patient.networks.of(&request)) == Pace::TooFast {
        return Problem::TooMany.answer();
    }
    let answer = match read_json::<Answering>(&patient, &request, body).await {
        Ok(answer) => answer,
        Err(problem) => return problem.answer(),
    };
    let to = Challenge::ALL.into_iter().find(|challenge| challenge.as_str() == answer.to);
    if to.is_none() && answer.to != UNLOCK {
        return Problem::Malformed.answer();
    }
    let Answering { nonce, proof, answer, .. } = answer;
    let (cookie, answer) = (cookie_of(&request), SecretText::new(answer));
    let holder = holder(&request, cookie.as_deref(), (&nonce, &proof));
    let answered = match to {
        Some(to) => patient.open.answer(&holder, to, &answer).await,
        None => patient.open.unlock(&holder, &answer).await,
    };
    match answered {
        Ok((said, looked)) => HttpResponse::Ok().json(ReplyView::new(said.as_str(), None, looked)),
        Err(error) => refused(&error),
    }
}

pub(super) async fn code(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    if patient.answers_limit.admit(patient.networks.of(&request)) == Pace::TooFast {
        return Problem::TooMany.answer();
    }
    let proof = match read_json::<Proof>(&patient, &request, body).await {
        Ok(proof) => proof,
        Err(problem) => return problem.answer(),
    };
    let cookie = cookie_of(&request);
    match patient.open.send_code(&holder(&request, cookie.as_deref(), (&proof.nonce, &proof.proof))).await {
        Ok((said, looked)) => {
            let until = match said {
                CodeSaid::TooMany { until } => Some(until),
                CodeSaid::Sent | CodeSaid::NotAsked => None,
            };
            HttpResponse::Ok().json(ReplyView::new(said.as_str(), until, looked))
        }
        Err(error) => refused(&error),
    }
}

pub(super) async fn receipt(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let receipt = match read_json::<Receipt>(&patient, &request, body).await {
        Ok(receipt) => receipt,
        Err(problem) => return problem.answer(),
    };
    let outcome = ReceiptOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == receipt.outcome);
    let Some(outcome) = outcome else { return Problem::Malformed.answer() };
    let cookie = cookie_of(&request);
    match patient.open.receipt(link_of(&request), cookie.as_deref(), outcome, &receipt.mac).await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => refused(&error),
    }
}

/// What a stranger is told of an error, and what the log is.
pub(super) fn refused(error: &OpenError) -> HttpResponse {
    match error {
        OpenError::NoCookie => Problem::Cookie.answer(),
        OpenError::NotHolder => Problem::Unknown.answer(),
        OpenError::Store(_) | OpenError::Vault(_) | OpenError::Blob(_) | OpenError::Stopped => {
            tracing::error!(%error, "a request of the page cannot be answered");
            Problem::Unavailable.answer()
        }
    }
}

/// Refuses by what the headers and the pace say, before anything else is done.
pub(super) fn admit(patient: &Patient, request: &HttpRequest) -> Result<(), Problem> {
    match patient.limit.admit(patient.networks.of(request)) {
        Pace::TooFast => return Err(Problem::TooMany),
        Pace::Fine => {}
    }
    match sender(request, &patient.origin) {
        Sender::Stranger => Err(Problem::Foreign),
        Sender::OurPage => Ok(()),
    }
}

/// The id as it was asked for, well-formed or not.
pub(super) fn link_of(request: &HttpRequest) -> &str {
    request.match_info().query("link")
}

pub(super) fn cookie_of(request: &HttpRequest) -> Option<String> {
    request.cookie(COOKIE).map(|cookie| cookie.value().to_owned())
}

fn holder<'a>(request: &'a HttpRequest, cookie: Option<&'a str>, (nonce, proof): (&'a str, &'a str)) -> Holder<'a> {
    Holder { link: link_of(request), cookie, nonce, proof }
}

/// Nothing of a malformed id is repeated in a header.
fn cookie_header(link: &str, value: &str, transport: Transport) -> String {
    let path = LinkId::parse(link).map_or_else(|_| "/r/incomplete".to_owned(), |link| format!("/r/{link}"));
    let secure = match transport {
        Transport::Https => "; Secure",
        Transport::Plain => "",
    };
    format!("{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Strict; Max-Age={COOKIE_LIFE_SECONDS}{secure}")
}

async fn read_json<T: DeserializeOwned>(
    patient: &Patient,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<T, Problem> {
    admit(patient, request)?;
    read_body_json(patient, request, body).await
}

/// Whoever sent it.
pub(super) async fn read_body_json<T: DeserializeOwned>(
    patient: &Patient,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<T, Problem> {
    if !request.content_type().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::ContentType);
    }
    let body = tokio::time::timeout(patient.body_wait_max, read_body(body)).await.map_err(|_| Problem::TooSlow)??;
    serde_json::from_slice(&body).map_err(|_| Problem::Malformed)
}

async fn read_body(mut body: web::Payload) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Problem::Malformed)?;
        if whole.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Problem::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}
