//! A sealed file, whole or in part, a piece at a time.
//!
//! Must stay true: a claim is looked at again before every piece, so that a recall cuts a download under way, and a
//! slow one stretches its lease; no piece is larger than [`PIECE_BYTES_MAX`].

use actix_web::body::SizedStream;
use actix_web::http::{Method, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;

use super::Patient;
use super::answers::Problem;
use super::protocol::{admit, cookie_of, link_of, refused};
use super::range::{Part, Wanted, wanted};
use crate::open::{OpenError, SealedFile};

/// In memory at a time for one download, and once more while the one before is being sent.
const PIECE_BYTES_MAX: u64 = 256 * 1024;

pub(super) async fn file(patient: web::Data<Patient>, request: HttpRequest) -> HttpResponse {
    if let Err(problem) = admit(&patient, &request) {
        return problem.answer();
    }
    let Ok(number) = request.match_info().query("n").parse::<u16>() else { return Problem::Unknown.answer() };
    let cookie = cookie_of(&request);
    let link = link_of(&request).to_owned();
    let file = match patient.open.file(&link, cookie.as_deref(), number).await {
        Ok(file) => file,
        Err(error) => return refused(&error),
    };
    let asked = Asked { patient: patient.clone(), link, cookie, number };
    answer(&request, asked, &file)
}

fn answer(request: &HttpRequest, asked: Asked, file: &SealedFile) -> HttpResponse {
    let length = file.sealed_bytes;
    // RFC 9110 §14.2: only GET knows ranges.
    let range = if request.method() == Method::GET { header_text(request, &header::RANGE) } else { None };
    let wanted = wanted(
        length,
        &file.etag,
        range,
        header_text(request, &header::IF_RANGE),
        header_text(request, &header::IF_NONE_MATCH),
    );
    let (mut response, part) = match wanted {
        Wanted::Whole => (HttpResponse::Ok(), Part { start: 0, length }),
        Wanted::Part(part) => {
            let mut response = HttpResponse::PartialContent();
            let range = format!("bytes {}-{}/{length}", part.start, part.start + part.length - 1);
            response.insert_header((header::CONTENT_RANGE, range));
            (response, part)
        }
        Wanted::Unsatisfiable => {
            return HttpResponse::RangeNotSatisfiable()
                .insert_header((header::CONTENT_RANGE, format!("bytes */{length}")))
                .insert_header((header::ACCEPT_RANGES, "bytes"))
                .finish();
        }
        Wanted::Unchanged => {
            return HttpResponse::NotModified().insert_header((header::ETAG, file.etag.clone())).finish();
        }
    };
    response
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::ETAG, file.etag.clone()));
    let left = if request.method() == Method::HEAD { Part { start: 0, length: 0 } } else { part };
    let pieces = stream::try_unfold((asked, left), |(asked, left)| async move {
        let Some((bytes, rest)) = asked.next(left).await.inspect_err(log_cut)? else { return Ok(None) };
        Ok::<_, OpenError>(Some((bytes, (asked, rest))))
    });
    response.body(SizedStream::new(part.length, Box::pin(pieces)))
}

/// The connection is cut, so that the browser sees that the file is not whole.
fn log_cut(error: &OpenError) {
    match error {
        OpenError::NoCookie | OpenError::NotHolder => tracing::info!("a download was cut: its claim has ended"),
        OpenError::Store(_) | OpenError::Vault(_) | OpenError::Blob(_) | OpenError::Stopped => {
            tracing::error!(%error, "a download was cut");
        }
    }
}

/// Whose download it is.
struct Asked {
    patient: web::Data<Patient>,
    link: String,
    cookie: Option<String>,
    number: u16,
}

impl Asked {
    async fn next(&self, left: Part) -> Result<Option<(Bytes, Part)>, OpenError> {
        if left.length == 0 {
            return Ok(None);
        }
        let file = self.patient.open.file(&self.link, self.cookie.as_deref(), self.number).await?;
        let now = left.length.min(PIECE_BYTES_MAX);
        let bytes = self.patient.open.read(file.blob, left.start, now).await?;
        Ok(Some((Bytes::from(bytes), Part { start: left.start + now, length: left.length - now })))
    }
}

fn header_text<'a>(request: &'a HttpRequest, name: &header::HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}
