//! One line per answer: the route's pattern, never the path.
//!
//! Must stay true: a mail gateway that writes `#` as `%23` puts a link's secret into the path, so no path, query or
//! header of a request reaches a log or a label.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, web};

use super::headers::{self, Transport};
use super::traffic::Traffic;

/// What every answer needs.
pub(super) struct Edge {
    pub(super) transport: Transport,
    pub(super) traffic: Arc<Traffic>,
}

/// Puts the headers on, counts and logs.
pub(super) async fn observe<B: MessageBody>(
    edge: web::Data<Edge>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let started = Instant::now();
    let method = name_of(request.method());
    let mut response = next.call(request).await?;
    headers::put(response.headers_mut(), edge.transport);
    let route = response.request().match_pattern();
    let route = route.as_deref().unwrap_or("none");
    let status = response.status().as_u16();
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    edge.traffic.answered(route, status);
    tracing::info!(route, method, status, ms, "answered");
    Ok(response)
}

/// A stranger may send any word as the method.
fn name_of(method: &Method) -> &'static str {
    [
        (Method::GET, "GET"),
        (Method::HEAD, "HEAD"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::OPTIONS, "OPTIONS"),
    ]
    .into_iter()
    .find_map(|(known, name)| (known == method).then_some(name))
    .unwrap_or("other")
}
