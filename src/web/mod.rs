//! The edge: HTTP over the open and intake steps, and the routes that operators watch.
//!
//! Job: routes, cookies, headers, limits; the patient's page with all its files in the binary.
//! Must stay true: strangers get constant answers, and known, unknown and malformed ids the same; nothing but POST
//! changes anything; no path, header or body of a request reaches a log; no file is held in memory whole.
//! Must not know: the store, FHIR, keys, where sealed files lie, or who may open what: that is `open`'s and `intake`'s.
//!
//! ```text
//! patients   GET /r/{…}   POST /r/{id}/{begin,look,answer,code,open,receipt}   GET /r/{id}/files/{n}   GET /assets/{hash}/{…}
//!            GET POST /check
//! apps       POST /shl/{id}   GET /shl/files/{place}
//! relay      POST /mail/bounces
//! EHRs       POST PUT DELETE /fhir/hook/{ehr}[/{Type}/{id}]   GET /.well-known/jwks.json
//! gateways   GET POST /sms/status/{notice}/{token}   /sms/incoming[/{token}]
//! operators  GET /healthz /readyz /metrics   (an address of its own)
//! ```

mod access_log;
mod answers;
mod assets;
mod bounces;
mod check;
mod files;
mod headers;
mod health;
mod health_links;
mod hooks;
mod limits;
mod page;
mod protocol;
mod public_keys;
mod range;
mod texts;
mod traffic;
mod unproven;
mod views;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource, guard};
use governor::clock::DefaultClock;
use ipnet::IpNet;
use url::Url;

use access_log::{Edge, observe};
use headers::Transport;
use limits::{Networks, PerNetwork};
use page::Page;

use crate::open::Open;

pub use bounces::{BOUNCE_BODY_WAIT_MAX, BouncePost};
pub use health::{Admin, Readiness};
pub use hooks::{HOOK_BODY_WAIT_MAX, HookLimits, Hooks};
pub use protocol::PAGE_BODY_WAIT_MAX;
pub use public_keys::PublicKeys;
pub use texts::Texts;
pub use traffic::Traffic;

const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

/// What the patients' routes need.
pub struct Patient {
    open: Arc<Open>,
    /// As browsers write it: `https://r.clinic.example`.
    origin: String,
    page: Page,
    networks: web::Data<Networks>,
    limit: PerNetwork<DefaultClock>,
    check_limit: PerNetwork<DefaultClock>,
    /// For answers and codes.
    answers_limit: PerNetwork<DefaultClock>,
    body_wait_max: Duration,
    edge: web::Data<Edge>,
}

impl Patient {
    /// `trusted_proxies` are believed about who asked; nobody else is. `body_wait_max` is [`PAGE_BODY_WAIT_MAX`], shorter
    /// in tests.
    #[must_use]
    pub fn new(
        open: Arc<Open>,
        patient_url: &Url,
        trusted_proxies: Vec<IpNet>,
        body_wait_max: Duration,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            page: Page::new(&open.house().name, open.house().language.language()),
            origin: patient_url.origin().ascii_serialization(),
            networks: web::Data::new(Networks::behind(trusted_proxies)),
            limit: PerNetwork::new(DefaultClock::default()),
            check_limit: PerNetwork::of_references(DefaultClock::default()),
            answers_limit: PerNetwork::of_answers(DefaultClock::default()),
            body_wait_max,
            edge: web::Data::new(Edge { transport: Transport::of(patient_url), traffic }),
            open,
        }
    }
}

/// The patients' routes, and the answer to every path that nothing else answers.
pub fn patient(cfg: &mut ServiceConfig, patient: &Arc<Patient>) {
    let get_or_head = || guard::Any(guard::Get()).or(guard::Head());
    let posts =
        |path: &str| web::resource(path).default_service(web::to(|| async { answers::method_not_allowed("POST") }));
    cfg.app_data(web::Data::from(Arc::clone(patient)))
        .app_data(patient.edge.clone())
        .app_data(patient.networks.clone())
        .service(
            web::scope("/r")
                .wrap(from_fn(observe))
                .service(posts("/{link}/begin").route(web::post().to(protocol::begin)))
                .service(posts("/{link}/look").route(web::post().to(protocol::look)))
                .service(posts("/{link}/answer").route(web::post().to(protocol::answer)))
                .service(posts("/{link}/code").route(web::post().to(protocol::code)))
                .service(posts("/{link}/disown").route(web::post().to(protocol::disown)))
                .service(posts("/{link}/another").route(web::post().to(protocol::another)))
                .service(posts("/{link}/open").route(web::post().to(protocol::open)))
                .service(posts("/{link}/receipt").route(web::post().to(protocol::receipt)))
                .service(
                    Resource::new("/{link}/files/{n}")
                        .route(web::route().guard(get_or_head()).to(files::file))
                        .default_service(web::to(|| async { answers::method_not_allowed("GET, HEAD") })),
                )
                .service(web::resource("/{rest}*").to(page::page))
                .default_service(web::to(|| async { answers::nothing_here() })),
        )
        .service(
            web::resource("/assets/{hash}/{name}*")
                .wrap(from_fn(observe))
                .route(web::route().guard(get_or_head()).to(assets::asset))
                .default_service(web::to(|| async { answers::method_not_allowed("GET, HEAD") })),
        )
        .service(
            web::resource("/check")
                .wrap(from_fn(observe))
                .route(web::route().guard(get_or_head()).to(check::form))
                .route(web::post().to(check::answer))
                .default_service(web::to(|| async { answers::method_not_allowed("GET, HEAD, POST") })),
        )
        .service(
            web::scope(health_links::PATH)
                .wrap(from_fn(observe))
                .service(
                    posts("/{id}")
                        .route(web::post().to(health_links::manifest))
                        .route(web::route().guard(guard::Options()).to(health_links::preflight)),
                )
                .service(
                    web::resource("/files/{place}")
                        .route(web::get().to(health_links::file))
                        .route(web::route().guard(guard::Options()).to(health_links::preflight))
                        .default_service(web::to(|| async { answers::method_not_allowed("GET") })),
                )
                .default_service(web::to(|| async { answers::nothing_here() })),
        )
        .service(web::resource("/robots.txt").wrap(from_fn(observe)).to(robots))
        .default_service(web::route().to(|| async { answers::nothing_here() }).wrap(from_fn(observe)));
}

/// The EHRs' routes. They stand beside [`patient`]'s, which knows the proxies that tell us who calls.
pub fn hooks(cfg: &mut ServiceConfig, hooks: &Arc<Hooks>) {
    cfg.app_data(web::Data::from(Arc::clone(hooks))).app_data(hooks.edge.clone()).service(
        web::scope("/fhir/hook")
            .wrap(from_fn(observe))
            .service(web::resource("/{ehr}").to(hooks::hook))
            .service(web::resource("/{ehr}/{kind}/{id}").to(hooks::hook))
            .default_service(web::to(|| async { answers::nothing_here() })),
    );
}

/// Where a mail relay posts reports of messages that did not arrive. It stands beside [`patient`]'s, as the hooks do.
pub fn bounces(cfg: &mut ServiceConfig, post: &Arc<BouncePost>) {
    cfg.app_data(web::Data::from(Arc::clone(post))).app_data(post.edge.clone()).service(
        web::resource("/mail/bounces")
            .wrap(from_fn(observe))
            .route(web::post().to(bounces::bounce))
            .default_service(web::to(|| async { answers::method_not_allowed("POST") })),
    );
}

/// The text gateways' routes.
pub fn texts(cfg: &mut ServiceConfig, texts: &Arc<Texts>) {
    cfg.app_data(web::Data::from(Arc::clone(texts))).service(
        web::scope("/sms")
            .wrap(from_fn(observe))
            .service(web::resource("/status/{notice}/{token}").to(texts::status))
            .service(web::resource("/incoming").to(texts::incoming))
            .service(web::resource("/incoming/{token}").to(texts::incoming))
            .default_service(web::to(|| async { answers::nothing_here() })),
    );
}

/// Where EHRs read the keys by which they know us.
pub fn public_keys(cfg: &mut ServiceConfig, keys: &Arc<PublicKeys>) {
    cfg.app_data(web::Data::from(Arc::clone(keys))).service(
        web::resource("/.well-known/jwks.json")
            .wrap(from_fn(observe))
            .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(public_keys::jwks))
            .default_service(web::to(|| async { answers::method_not_allowed("GET, HEAD") })),
    );
}

/// The operators' routes; they belong on an address that strangers cannot reach.
pub fn admin(cfg: &mut ServiceConfig, admin: &Arc<Admin>) {
    cfg.app_data(web::Data::from(Arc::clone(admin)))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .route("/metrics", web::get().to(health::metrics));
}

async fn robots() -> HttpResponse {
    HttpResponse::Ok().insert_header(header::ContentType::plaintext()).body(ROBOTS)
}
