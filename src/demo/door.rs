//! Who may come in: browsers and programs of this machine that name the demo's own address.
//!
//! Must stay true: a web page elsewhere that points a name of its own at 127.0.0.1 gets nothing (its `Host` is not ours),
//! and one that sends a form or a script's request here changes nothing (its `Origin` is not ours).

use std::net::{SocketAddr, TcpListener};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::ServiceConfig;
use actix_web::{App, Error, HttpResponse, HttpServer, web};

const ALWAYS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
];

/// One listener's own address, as requests must name it.
#[derive(Clone)]
struct Door {
    host: String,
    origin: String,
}

impl Door {
    fn new(addr: SocketAddr) -> Self {
        Self { host: addr.to_string(), origin: format!("http://{addr}") }
    }

    fn judge(&self, method: &Method, authority: Option<&str>, headers: &HeaderMap) -> Result<(), Refusal> {
        let only = |name: HeaderName, expected: &str| {
            let mut values = headers.get_all(name);
            values.next().is_some_and(|value| value.as_bytes() == expected.as_bytes()) && values.next().is_none()
        };
        if !only(header::HOST, &self.host) || authority.is_some_and(|named| named != self.host) {
            return Err(Refusal::OtherHost);
        }
        let is_safe = *method == Method::GET || *method == Method::HEAD;
        if is_safe || only(header::ORIGIN, &self.origin) { Ok(()) } else { Err(Refusal::OtherOrigin) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    OtherHost,
    OtherOrigin,
}

impl Refusal {
    fn answer(self, door: &Door) -> HttpResponse {
        let (status, text) = match self {
            Self::OtherHost => (StatusCode::MISDIRECTED_REQUEST, format!("Open {}/ instead.\n", door.origin)),
            Self::OtherOrigin => (StatusCode::FORBIDDEN, "This did not come from the demo's own page.\n".to_owned()),
        };
        HttpResponse::build(status).insert_header(header::ContentType::plaintext()).body(text)
    }
}

/// Begins to answer, behind a door, what `routes` names.
pub(super) fn serve(
    addr: SocketAddr,
    listener: TcpListener,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<ServerHandle> {
    let own = Door::new(addr);
    let site = move || App::new().app_data(web::Data::new(own.clone())).wrap(from_fn(door)).configure(routes.clone());
    let server = HttpServer::new(site).workers(1).disable_signals().listen(listener)?.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

/// Refuses strangers, and puts the headers that every answer has.
async fn door(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(door) = request.app_data::<web::Data<Door>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let mut response = match door.judge(request.method(), authority.as_deref(), request.headers()) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(refusal) => request.into_response(refusal.answer(&door)),
    };
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &Method, headers: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let door = Door::new(SocketAddr::from(([127, 0, 0, 1], 4000)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        door.judge(method, None, &map)
    }

    #[test]
    fn only_the_own_host_is_answered_and_only_the_own_origin_changes_anything() {
        let (get, post) = (Method::GET, Method::POST);
        let (ours, origin) = (("host", "127.0.0.1:4000"), ("origin", "http://127.0.0.1:4000"));
        assert_eq!(judged(&get, &[ours]), Ok(()));
        assert_eq!(judged(&post, &[ours, origin]), Ok(()));
        for host in ["evil.example:4000", "127.0.0.1:4001", "localhost:4000", "127.0.0.1"] {
            assert_eq!(judged(&get, &[("host", host)]), Err(Refusal::OtherHost), "{host}");
        }
        assert_eq!(judged(&get, &[]), Err(Refusal::OtherHost));
        assert_eq!(judged(&get, &[ours, ours]), Err(Refusal::OtherHost));
        assert_eq!(judged(&post, &[ours]), Err(Refusal::OtherOrigin));
        for other in ["null", "http://127.0.0.1:4001", "https://127.0.0.1:4000", "http://evil.example"] {
            assert_eq!(judged(&post, &[ours, ("origin", other)]), Err(Refusal::OtherOrigin), "{other}");
        }
        assert_eq!(judged(&post, &[ours, origin, origin]), Err(Refusal::OtherOrigin));
    }
}
