//! The demo's page: the patients' mailbox, and beside it what happened to each report and why.
//!
//! Must stay true: it shows what the desk shows, and mail; it acts as the lab or as staff, for its own page alone; nothing
//! of it reaches a log.

mod look;
mod messages;
mod words;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::door;
use super::lab::{Lab, LabError};
use super::mail_catcher::Caught;
use super::sample::Sample;
use crate::desk::{Desk, DeskError};

const PAGE: &str = include_str!("demo.html");
const STYLE: &str = include_str!("demo.css");
const SCRIPT: &str = include_str!("demo.js");
const ICON: &str = include_str!("../../web/page/icon.svg");

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
/// A message is shown as a mail program shows it: its own styles, no script, nothing from elsewhere; its link opens a new
/// window.
const MESSAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'self'; sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox";

/// One wish of the page.
const DEED_BYTES_MAX: usize = 1024;
/// What staff's deeds on the page say for themselves in the audit.
const REASON: &str = "on the demo's page";

/// What the page needs.
pub(super) struct Page {
    pub(super) lab: Arc<Lab>,
    pub(super) desk: Arc<Desk>,
    pub(super) caught: Caught,
    pub(super) addr: SocketAddr,
}

/// Begins to answer.
pub(super) fn serve(page: &Arc<Page>, listener: TcpListener) -> std::io::Result<ServerHandle> {
    let (addr, page) = (page.addr, Arc::clone(page));
    door::serve(addr, listener, move |site| {
        site.app_data(web::Data::from(Arc::clone(&page)))
            .app_data(web::JsonConfig::default().limit(DEED_BYTES_MAX).error_handler(|error, _| {
                actix_web::error::InternalError::from_response(error, HttpResponse::BadRequest().finish()).into()
            }))
            .route("/", web::get().to(|| async { own_file("text/html; charset=utf-8", PAGE) }))
            .route("/demo.css", web::get().to(|| async { own_file("text/css; charset=utf-8", STYLE) }))
            .route("/demo.js", web::get().to(|| async { own_file("text/javascript; charset=utf-8", SCRIPT) }))
            .route("/icon.svg", web::get().to(|| async { own_file("image/svg+xml", ICON) }))
            .route("/look", web::get().to(look))
            .route("/messages/{n}", web::get().to(message))
            .route("/deeds", web::post().to(act))
            .default_service(web::to(HttpResponse::NotFound));
    })
}

fn own_file(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .insert_header((header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"))
        .insert_header((HeaderName::from_static("x-frame-options"), "DENY"))
        .body(text)
}

/// Everything that the page shows, as JSON.
async fn look(page: web::Data<Page>) -> HttpResponse {
    match look::look(&page).await {
        Ok(look) => HttpResponse::Ok().json(look),
        Err(error) => problem(&error),
    }
}

async fn message(page: web::Data<Page>, n: web::Path<u32>) -> HttpResponse {
    let mail = page.caught.all().into_iter().find(|mail| mail.n == *n);
    let Some(shown) = mail.and_then(|mail| messages::as_shown(&mail)) else { return HttpResponse::NotFound().finish() };
    HttpResponse::Ok()
        .insert_header(header::ContentType::html())
        .insert_header((header::CONTENT_SECURITY_POLICY, MESSAGE_POLICY))
        .insert_header((HeaderName::from_static("x-frame-options"), "SAMEORIGIN"))
        .body(shown)
}

/// What somebody does on the page, as the lab or as staff.
#[derive(Deserialize)]
#[serde(tag = "deed", rename_all = "snake_case", deny_unknown_fields)]
enum Deed {
    File { sample: Sample },
    Correct { report: String },
    Withdraw { report: String },
    Release { delivery: String },
    Revoke { delivery: String },
    Resend { delivery: String },
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error(transparent)]
    Desk(#[from] DeskError),
}

async fn act(page: web::Data<Page>, deed: web::Json<Deed>) -> HttpResponse {
    match done(&page, deed.into_inner()).await {
        Ok(()) => HttpResponse::Ok().json(json!({"done": true})),
        Err(error) => problem(&error),
    }
}

async fn done(page: &Page, deed: Deed) -> Result<(), Refused> {
    let reason = || Some(REASON.to_owned());
    match deed {
        Deed::File { sample } => drop(page.lab.file(sample).await?),
        Deed::Correct { report } => page.lab.correct(&report).await?,
        Deed::Withdraw { report } => page.lab.withdraw(&report).await?,
        Deed::Release { delivery } => drop(page.desk.release(&delivery, reason()).await?),
        Deed::Revoke { delivery } => drop(page.desk.revoke(&delivery, reason()).await?),
        Deed::Resend { delivery } => drop(page.desk.resend(&delivery, reason()).await?),
    }
    Ok(())
}

fn problem(error: &impl std::error::Error) -> HttpResponse {
    HttpResponse::Conflict().json(json!({"problem": error.to_string()}))
}
