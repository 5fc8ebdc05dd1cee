//! What health apps ask for: the manifest of a SMART Health Link, and its encrypted file (HL7 SMART Health Cards and Links
//! STU 1, "SMART Health Links").
//!
//! Must stay true: other sites may read these answers and no others; no cookie counts here; nothing that an app says of itself
//! reaches a log.

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::Patient;
use super::answers::Problem;
use super::limits::Pace;
use super::protocol::{read_body_json, refused};
use crate::base::SecretText;
use crate::open::{HealthFile, Manifest, OpenError};
use crate::sealing::JWE_TYPE;

/// The path before a health link's id.
pub(super) const PATH: &str = "/shl";
/// In memory at a time for one app, and once more while the one before is being sent.
const PIECE_BYTES_MAX: u64 = 256 * 1024;
const RECIPIENT_CHARACTERS_MAX: usize = 1024;
/// Seconds for which a browser may remember that it may ask.
const PREFLIGHT_LIFE_SECONDS: &str = "600";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    /// Who asks, in words. Must be there; is not kept.
    recipient: String,
    #[serde(default)]
    passcode: Option<String>,
    #[serde(default)]
    embedded_length_max: Option<u64>,
}

#[derive(Serialize)]
struct ManifestView {
    status: &'static str,
    files: [FileView; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileView {
    content_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrongView {
    remaining_attempts: u8,
}

/// `POST /shl/{id}`.
pub(super) async fn manifest(patient: web::Data<Patient>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    open_to_all(match answer(&patient, &request, body).await {
        Ok(response) => response,
        Err(problem) => problem.answer(),
    })
}

/// `GET /shl/files/{place}`.
pub(super) async fn file(patient: web::Data<Patient>, request: HttpRequest) -> HttpResponse {
    match patient.limit.admit(patient.networks.of(&request)) {
        Pace::TooFast => return open_to_all(Problem::TooMany.answer()),
        Pace::Fine => {}
    }
    let place = request.match_info().query("place").to_owned();
    let length = match patient.open.health_file(&place).await {
        Ok(file) => file.sealed_bytes,
        Err(error) => return open_to_all(refused(&error)),
    };
    // Asked again before every piece: what ends the link cuts a download under way.
    let pieces = stream::try_unfold((patient, place, 0), move |(patient, place, at)| async move {
        if at == length {
            return Ok::<_, OpenError>(None);
        }
        let file = patient.open.health_file(&place).await?;
        let now = PIECE_BYTES_MAX.min(length - at);
        let bytes = patient.open.read(file.blob, at, now).await?;
        Ok(Some((Bytes::from(bytes), (patient, place, at + now))))
    });
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, JWE_TYPE));
    open_to_all(response.body(SizedStream::new(length, Box::pin(pieces))))
}

/// What a browser asks before it sends a health app's request (Fetch standard, "CORS-preflight request").
pub(super) async fn preflight() -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_LIFE_SECONDS));
    open_to_all(response.finish())
}

async fn answer(patient: &Patient, request: &HttpRequest, body: web::Payload) -> Result<HttpResponse, Problem> {
    match patient.answers_limit.admit(patient.networks.of(request)) {
        Pace::TooFast => return Err(Problem::TooMany),
        Pace::Fine => {}
    }
    let asked: Asked = read_body_json(patient, request, body).await?;
    let is_named = !asked.recipient.trim().is_empty() && asked.recipient.len() <= RECIPIENT_CHARACTERS_MAX;
    if !is_named {
        return Err(Problem::Malformed);
    }
    let id = request.match_info().query("id");
    let passcode = asked.passcode.map(SecretText::new);
    let manifest = patient.open.manifest(id, passcode.as_ref(), asked.embedded_length_max.unwrap_or(0)).await;
    Ok(match manifest {
        Ok(Manifest::Given(file)) => {
            let (embedded, location) = match file {
                HealthFile::Embedded(file) => (Some(file), None),
                HealthFile::At(place) => (None, Some(format!("{}{PATH}/files/{}", patient.origin, place.expose()))),
            };
            let file = FileView { content_type: "application/fhir+json", embedded, location };
            HttpResponse::Ok().json(ManifestView { status: "finalized", files: [file] })
        }
        Ok(Manifest::WrongPasscode { left }) => {
            HttpResponse::build(StatusCode::UNAUTHORIZED).json(WrongView { remaining_attempts: left })
        }
        Ok(Manifest::Inactive) => return Err(Problem::Unknown),
        Err(error) => refused(&error),
    })
}

fn open_to_all(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, header::HeaderValue::from_static("*"));
    response
}
