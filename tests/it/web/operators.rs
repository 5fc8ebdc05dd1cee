//! The admin address, and what is kept of requests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use actix_web::{App, test};
use serde_json::json;

use super::browser::{Browser, ask, site};
use super::house::House;
use chartseal::base::millis;
use chartseal::web::{Admin, Readiness};

#[actix_web::test]
async fn a_process_is_alive_before_it_is_ready_and_says_what_is_missing() {
    let house = House::new();
    let readiness = Arc::new(Readiness::default());
    let admin = Arc::new(Admin::new(readiness.clone(), house.traffic.clone()));
    let site = test::init_service(App::new().configure(|cfg| chartseal::web::admin(cfg, &admin))).await;
    let ready = async || ask(&site, TestRequest::get().uri("/readyz")).await;
    assert_eq!(ask(&site, TestRequest::get().uri("/healthz")).await.status, StatusCode::OK);
    assert_eq!(ready().await.status, StatusCode::SERVICE_UNAVAILABLE);
    readiness.store_reached();
    readiness.clock_compared(millis(1999));
    let answer = ready().await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"ready": true, "reasons": []})));
    readiness.clock_compared(millis(2000));
    assert_eq!(ready().await.json()["reasons"].as_array().unwrap().len(), 1);
    readiness.store_lost();
    readiness.store_refuses_commits();
    readiness.draining();
    assert_eq!(ready().await.json()["reasons"].as_array().unwrap().len(), 4);
    assert_eq!(ask(&site, TestRequest::get().uri("/healthz")).await.status, StatusCode::OK);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn neither_logs_nor_metrics_hold_an_id_a_secret_or_a_strangers_words() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With a single subscriber alive, whoever meets a line first, on any thread, decides whether it is ever heard.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    let secret = handed.secret.to_base64url();
    for glue in ["%23", "%2523", "/%23", "?", "%3F"] {
        ask(&site, TestRequest::get().uri(&format!("/r/{}{glue}{}", handed.id, secret.expose()))).await;
        ask(&site, TestRequest::post().uri(&format!("/{}{glue}{}", handed.id, secret.expose()))).await;
    }
    let odd = actix_web::http::Method::from_bytes(b"PLANTED").unwrap();
    ask(&site, TestRequest::default().method(odd).uri("/r/planted?planted").insert_header(("X-Planted", "planted")))
        .await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    browser.open(&site).await;
    drop(guard);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let admin = Arc::new(Admin::new(Arc::new(Readiness::default()), house.traffic.clone()));
    let operators = test::init_service(App::new().configure(|cfg| chartseal::web::admin(cfg, &admin))).await;
    let metrics = ask(&operators, TestRequest::get().uri("/metrics")).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(log.contains("/r/{link}/begin") && log.contains("status=200"), "{log}");
    assert!(metrics.contains("chartseal_http_answers_total{route=\"/r/{link}/open\",status=\"200\"} 1"), "{metrics}");
    let (id, cookie) = (handed.id.as_str(), browser.cookie.as_deref().unwrap());
    for planted in [secret.expose(), id, cookie, "planted", "PLANTED"] {
        assert!(!log.contains(planted) && !metrics.contains(planted));
    }
}
