//! The public halves of the keys by which EHRs know us (RFC 7517 §5): for anybody to read.
//!
//! Must stay true: the answer may be kept for a quarter of an hour, and a pair signs only an hour after it stood here.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use governor::clock::DefaultClock;
use ipnet::IpNet;

use super::answers::{self, Problem};
use super::limits::{Networks, Pace, PerNetwork};
use crate::sign_in::{SignIn, published_for_seconds};

/// What the route needs.
pub struct PublicKeys {
    sign_in: Arc<SignIn>,
    networks: Networks,
    limit: PerNetwork<DefaultClock>,
}

impl PublicKeys {
    #[must_use]
    pub fn new(sign_in: Arc<SignIn>, trusted_proxies: Vec<IpNet>) -> Self {
        Self { sign_in, networks: Networks::behind(trusted_proxies), limit: PerNetwork::new(DefaultClock::default()) }
    }
}

pub(super) async fn jwks(keys: web::Data<PublicKeys>, request: HttpRequest) -> HttpResponse {
    if keys.limit.admit(keys.networks.of(&request)) == Pace::TooFast {
        return Problem::TooMany.answer();
    }
    match keys.sign_in.published().await {
        Ok(Some(set)) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header((header::CACHE_CONTROL, format!("public, max-age={}", published_for_seconds())))
            .body(set.to_string()),
        Ok(None) => answers::nothing_here(),
        Err(error) => {
            tracing::error!(%error, "the public keys cannot be read");
            Problem::Unavailable.answer()
        }
    }
}
