//! Health, readiness and counters, on the admin address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::traffic::Traffic;
use crate::base::clock::SKEW_MAX;

/// Whether this process should be sent requests. Filled by whoever watches the parts; begins as not ready.
#[derive(Default)]
pub struct Readiness {
    store_reached: AtomicBool,
    commits_refused: AtomicBool,
    skew_ms: AtomicU64,
    draining: AtomicBool,
}

impl Readiness {
    pub fn store_reached(&self) {
        self.store_reached.store(true, Ordering::Relaxed);
    }

    pub fn store_lost(&self) {
        self.store_reached.store(false, Ordering::Relaxed);
    }

    pub fn store_commits(&self) {
        self.commits_refused.store(false, Ordering::Relaxed);
    }

    /// The database can be read, but keeps nothing.
    pub fn store_refuses_commits(&self) {
        self.commits_refused.store(true, Ordering::Relaxed);
    }

    /// How far this machine's clock was from the store's when it was last compared.
    pub fn clock_compared(&self, skew: Duration) {
        self.skew_ms.store(u64::try_from(skew.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Shutting down: what runs is finished, nothing new should come.
    pub fn draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Why not, in words for operators; empty when ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if !self.store_reached.load(Ordering::Relaxed) {
            reasons.push("the database cannot be reached");
        }
        if self.commits_refused.load(Ordering::Relaxed) {
            reasons.push("the database can be read but commits nothing");
        }
        if Duration::from_millis(self.skew_ms.load(Ordering::Relaxed)) >= SKEW_MAX {
            reasons.push("this machine's clock is two seconds or more off the database's");
        }
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("this process is shutting down");
        }
        reasons
    }
}

/// What the admin routes need.
pub struct Admin {
    readiness: Arc<Readiness>,
    traffic: Arc<Traffic>,
}

impl Admin {
    #[must_use]
    pub fn new(readiness: Arc<Readiness>, traffic: Arc<Traffic>) -> Self {
        Self { readiness, traffic }
    }
}

#[derive(Serialize)]
struct ReadyView {
    ready: bool,
    reasons: Vec<&'static str>,
}

pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().insert_header(header::ContentType::plaintext()).body("alive\n")
}

pub(super) async fn ready(admin: web::Data<Admin>) -> HttpResponse {
    let reasons = admin.readiness.reasons();
    let ready = reasons.is_empty();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(ReadyView { ready, reasons })
}

pub(super) async fn metrics(admin: web::Data<Admin>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(admin.traffic.to_text())
}
