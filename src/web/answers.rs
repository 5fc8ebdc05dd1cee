//! Answers that are the same for everybody: whoever has proved nothing learns nothing from them.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

/// Seconds after which a browser or an EHR may try again.
const RETRY_AFTER_SECONDS: &str = "1";

const NOTHING_HERE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Nothing here</title>\
     </head><body><h1>Nothing here</h1><p>Press the link in your message again.</p></body></html>\n";

/// Why a request of the page, or of somebody else, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The browser did not return the cookie.
    Cookie,
    /// No such link, or not its secret.
    Unknown,
    /// Not from our page.
    Foreign,
    Method,
    ContentType,
    TooLarge,
    Malformed,
    /// The body did not arrive in time.
    TooSlow,
    TooMany,
    Unavailable,
    /// No signature, or not by the secret.
    Unsigned,
}

impl Problem {
    const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::Cookie => (StatusCode::FORBIDDEN, r#"{"problem":"cookie"}"#),
            Self::Unknown => (StatusCode::NOT_FOUND, r#"{"problem":"unknown"}"#),
            Self::Foreign => (StatusCode::FORBIDDEN, r#"{"problem":"foreign"}"#),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, r#"{"problem":"method"}"#),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, r#"{"problem":"content_type"}"#),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"problem":"too_large"}"#),
            Self::Malformed => (StatusCode::BAD_REQUEST, r#"{"problem":"malformed"}"#),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, r#"{"problem":"too_slow"}"#),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, r#"{"problem":"too_many"}"#),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, r#"{"problem":"unavailable"}"#),
            Self::Unsigned => (StatusCode::UNAUTHORIZED, r#"{"problem":"unsigned"}"#),
        }
    }

    pub(super) fn answer(self) -> HttpResponse {
        let (status, body) = self.parts();
        let mut response = HttpResponse::build(status);
        response.insert_header(header::ContentType::json());
        if self == Self::TooMany || self == Self::Unavailable {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        response.body(body)
    }
}

pub(super) fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let mut response = Problem::Method.answer();
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

pub(super) fn nothing_here() -> HttpResponse {
    HttpResponse::NotFound().insert_header(header::ContentType::html()).body(NOTHING_HERE)
}

/// What an EHR is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Kept,
    /// To a notification Bundle: the form that the FHIR servers which send them expect.
    KeptBundle,
    Unauthenticated,
    Method,
    TryAgain,
}

impl Outcome {
    pub(super) fn answer(self) -> HttpResponse {
        let (status, body) = match self {
            Self::Kept => (StatusCode::OK, outcome!("information", "informational", "Kept.")),
            Self::KeptBundle => (StatusCode::OK, r#"{"resourceType":"Bundle","type":"transaction-response"}"#),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, outcome!("error", "login", "The hook's secret is missing or wrong."))
            }
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                outcome!("error", "not-supported", "A hook takes POST, PUT and DELETE."),
            ),
            Self::TryAgain => {
                (StatusCode::SERVICE_UNAVAILABLE, outcome!("error", "transient", "Not kept. Please send it again."))
            }
        };
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, "application/fhir+json"));
        match self {
            Self::TryAgain => {
                response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
            Self::Method => {
                response.insert_header((header::ALLOW, "POST, PUT, DELETE"));
            }
            Self::Kept | Self::KeptBundle | Self::Unauthenticated => {}
        }
        response.body(body)
    }
}

macro_rules! outcome {
    ($severity:literal, $code:literal, $text:literal) => {
        concat!(
            r#"{"resourceType":"OperationOutcome","issue":[{"severity":""#,
            $severity,
            r#"","code":""#,
            $code,
            r#"","diagnostics":""#,
            $text,
            r#""}]}"#
        )
    };
}
use outcome;
