//! What only shows on a real connection.

use std::time::Duration;

use actix_web::{App, HttpServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::browser::{Browser, site};
use super::house::{HOOK_SECRET, House, ORIGIN};
use crate::support::wait::HANGS;
use chartseal::intake::HOOK_HEADER;

/// Sends `request` and reads what comes until the connection ends or `until` was seen.
pub(super) async fn talk(house: &House, request: &str, until: &str) -> String {
    let (patient, hooks) = (house.patient(), house.hooks());
    let server = HttpServer::new(move || {
        App::new()
            .configure(|cfg| chartseal::web::patient(cfg, &patient))
            .configure(|cfg| chartseal::web::hooks(cfg, &hooks))
    });
    let server = server.workers(1).client_request_timeout(HANGS).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(until) {
        let read = tokio::time::timeout(HANGS, stream.read(&mut piece)).await.expect("an answer in time").unwrap();
        if read == 0 {
            break;
        }
        heard.extend_from_slice(&piece[..read]);
    }
    handle.stop(false).await;
    String::from_utf8(heard).unwrap()
}

#[actix_web::test]
async fn a_stranger_is_refused_before_the_body_is_sent() {
    let house = House::new();
    let request = "POST /fhir/hook/main HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    let heard = talk(&house, request, "OperationOutcome").await;
    assert!(heard.starts_with("HTTP/1.1 401 "), "{heard}");
}

#[actix_web::test]
async fn a_hook_call_that_breaks_half_way_is_not_kept() {
    let house = House::new();
    let request = format!(
        "POST /fhir/hook/main HTTP/1.1\r\nHost: x\r\n{HOOK_HEADER}: {HOOK_SECRET}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    );
    let heard = talk(&house, &request, "OperationOutcome").await;
    assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
    assert!(super::hooks::kept(&house).await.is_empty());
}

/// Says what length is to come, sends less, and keeps the connection open: what is answered until the house ends it.
async fn hang_half_way(house: &House, path: &str, headers: &str) -> String {
    let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\nContent-Length: 1000\r\n\r\n{{\"half\": ");
    talk(house, &request, "no such text").await
}

#[actix_web::test]
async fn a_hook_call_that_hangs_half_way_is_cut_off_asked_for_again_and_not_kept() {
    let mut house = House::new();
    house.body_wait_max = Duration::from_millis(50);
    let heard = hang_half_way(&house, "/fhir/hook/main", &format!("{HOOK_HEADER}: {HOOK_SECRET}")).await;
    assert!(heard.starts_with("HTTP/1.1 503 ") && heard.contains("OperationOutcome"), "{heard}");
    assert!(heard.to_ascii_lowercase().contains("retry-after: 1\r\n"), "{heard}");
    assert!(super::hooks::kept(&house).await.is_empty());
}

#[actix_web::test]
async fn a_page_that_hangs_half_way_is_cut_off_and_told_that_it_was_too_slow() {
    let mut house = House::new();
    house.body_wait_max = Duration::from_millis(50);
    for deed in ["begin", "look", "open", "receipt"] {
        let headers = format!("Origin: {ORIGIN}\r\nContent-Type: application/json");
        let heard = hang_half_way(&house, &format!("/r/AAAAAAAAAAAAAAAB/{deed}"), &headers).await;
        assert!(heard.starts_with("HTTP/1.1 408 ") && heard.contains("too_slow"), "{deed}: {heard}");
    }
}

#[actix_web::test]
async fn head_tells_the_length_and_sends_no_byte() {
    let house = House::new();
    let handed = house.hand_over(vec![1; 100_000], 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    browser.open(&site).await;
    let request = format!(
        "HEAD /r/{}/files/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: chartseal={}\r\n\r\n",
        handed.id,
        browser.cookie.unwrap()
    );
    let heard = talk(&house, &request, "no such text").await;
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    assert!(heard.to_ascii_lowercase().contains(&format!("content-length: {}\r\n", handed.sealed.len())), "{heard}");
    assert!(heard.ends_with("\r\n\r\n"));
}
