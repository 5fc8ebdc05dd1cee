//! Requests that no page of ours makes.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::OddClinic;
use crate::support::clinic::{Clinic, Wishes};
use crate::support::holder::Holder;
use crate::support::wait::HANGS;
use crate::support::{pdf, web_client};

/// How long a reverse proxy keeps a connection that it may use again: nginx does so for a minute.
const PROXY_KEEPS: Duration = Duration::from_mins(1);
/// How long whoever is slow to speak (an EHR under load, a phone on a poor line) is at least listened to.
const PATIENCE_MIN: Duration = Duration::from_secs(20);

/// A well-formed id of nobody.
const NOBODY: &str = "BBBBBBBBBBBBBBBB";

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_request_gets_an_answer_of_its_own() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let long = "x".repeat(8000);
    let post = |step: &str| format!("/r/{NOBODY}/{step}");
    let large = format!("{{\"nonce\":\"{}\",\"proof\":\"\"}}", "a".repeat(10_000)).into_bytes();
    let nothing: &[(&str, &str)] = &[];
    let json_type: &[(&str, &str)] = &[JSON];
    let table: Vec<(Method, String, &[(&str, &str)], Vec<u8>, u16)> = vec![
        (Method::GET, format!("/r/{NOBODY}"), nothing, vec![], 200),
        (Method::HEAD, format!("/r/{NOBODY}"), nothing, vec![], 200),
        (Method::POST, format!("/r/{NOBODY}"), nothing, vec![], 405),
        (Method::DELETE, format!("/r/{NOBODY}"), nothing, vec![], 405),
        (Method::from_bytes(b"BREW").unwrap(), format!("/r/{NOBODY}"), nothing, vec![], 405),
        (Method::GET, post("begin"), nothing, vec![], 405),
        (Method::PUT, post("open"), json_type, b"{}".to_vec(), 405),
        (Method::GET, post("receipt"), nothing, vec![], 405),
        (Method::POST, post("files/1"), json_type, b"{}".to_vec(), 405),
        (Method::POST, "/assets/x/open.js".to_owned(), nothing, vec![], 405),
        (Method::GET, "/assets/x/..%2F..%2FCargo.toml".to_owned(), nothing, vec![], 404),
        (Method::GET, "/assets/x/../../Cargo.toml".to_owned(), nothing, vec![], 404),
        (Method::GET, "/fhir/hook/lab".to_owned(), nothing, vec![], 405),
        (Method::POST, "/fhir/hook".to_owned(), nothing, vec![], 404),
        (Method::POST, "/fhir/hook/nobody".to_owned(), nothing, vec![], 401),
        (Method::POST, "/fhir/hook/lab".to_owned(), &[("X-Chartseal-Hook", "")], vec![], 401),
        (Method::POST, format!("/fhir/hook/{long}"), nothing, vec![], 401),
        (Method::GET, "/nothing".to_owned(), nothing, vec![], 404),
        (Method::GET, "/metrics".to_owned(), nothing, vec![], 404),
        (Method::GET, "/readyz".to_owned(), nothing, vec![], 404),
        (Method::GET, "/r".to_owned(), nothing, vec![], 404),
        (Method::GET, "/r/".to_owned(), nothing, vec![], 200),
        (Method::GET, format!("/r//{NOBODY}"), nothing, vec![], 200),
        (Method::GET, format!("//r//{NOBODY}"), nothing, vec![], 404),
        (Method::GET, "/r/%00".to_owned(), nothing, vec![], 200),
        (Method::GET, "/r/%ff%fe".to_owned(), nothing, vec![], 200),
        (Method::GET, format!("/r/{long}"), nothing, vec![], 200),
        (Method::POST, post("begin"), nothing, b"{}".to_vec(), 415),
        (Method::POST, post("begin"), &[("Content-Type", "text/plain")], b"{}".to_vec(), 415),
        (Method::POST, post("begin"), json_type, b"{}".to_vec(), 200),
        (Method::POST, "/r/%00/begin".to_owned(), json_type, b"{}".to_vec(), 200),
        (Method::POST, format!("/r/{long}/begin"), json_type, b"{}".to_vec(), 200),
        (Method::POST, post("begin"), json_type, b"[]".to_vec(), 200),
        (Method::POST, post("begin"), json_type, b"".to_vec(), 400),
        (Method::POST, post("begin"), json_type, b"{".to_vec(), 400),
        (Method::POST, post("begin"), &[JSON, ("Origin", "https://evil.test")], b"{}".to_vec(), 403),
        (
            Method::POST,
            post("begin"),
            &[JSON, ("Origin", "null"), ("Sec-Fetch-Site", "same-site")],
            b"{}".to_vec(),
            403,
        ),
        (Method::POST, post("begin"), &[JSON, ("Sec-Fetch-Site", "cross-site")], b"{}".to_vec(), 403),
        (Method::POST, post("begin"), &[JSON, ("Sec-Purpose", "prefetch;prerender")], b"{}".to_vec(), 403),
        (Method::POST, post("look"), json_type, large, 413),
        (Method::POST, post("look"), json_type, b"{}".to_vec(), 400),
        (Method::POST, post("look"), json_type, b"{\"nonce\":1,\"proof\":[]}".to_vec(), 400),
        (Method::POST, post("look"), json_type, json!({"nonce": "", "proof": ""}).to_string().into_bytes(), 403),
        (Method::POST, post("receipt"), json_type, b"{\"outcome\":\"eaten\",\"mac\":\"\"}".to_vec(), 400),
        (Method::GET, post("files/0"), nothing, vec![], 404),
        (Method::GET, post("files/99999"), nothing, vec![], 404),
        (Method::GET, post("files/-1"), nothing, vec![], 404),
    ];
    for (method, path, headers, body, expected) in table {
        let what = format!("{method} {}", path.get(..60).unwrap_or(&path));
        let mut request = web_client::new().request(method, format!("{}{path}", clinic.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{what}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{what}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_served_refused_or_ignored_and_never_lie() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.report("ranges@example.test", "4548-4", &pdf::with_pages(&["5.4 %"])).await;
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for("ranges@example.test", 1).await;
    let mut holder = Holder::new(&mail.link());
    holder.look().await;
    let granted = holder.open().await.granted();
    let whole = holder.file(1, None).await.bytes;
    let length = whole.len();
    assert_eq!(length as u64, granted.files[0].sealed_bytes);
    let table: Vec<(String, u16, &[u8])> = vec![
        ("0-0".into(), 206, &whole[..1]),
        ("0-".into(), 206, &whole),
        ("-1".into(), 206, &whole[length - 1..]),
        (format!("-{}", length + 5), 206, &whole),
        (format!("{}-", length - 1), 206, &whole[length - 1..]),
        (format!("10-{}", length + 5), 206, &whole[10..]),
        (format!("{length}-"), 416, b""),
        ("-0".into(), 416, b""),
        ("99999999999999999999999-".into(), 416, b""),
        ("5-2".into(), 200, &whole),
        ("0-1,3-4".into(), 200, &whole),
        ("a-b".into(), 200, &whole),
        ("--1".into(), 200, &whole),
        (String::new(), 200, &whole),
    ];
    for (range, status, bytes) in table {
        let answer = holder.file(1, Some(&range)).await;
        assert_eq!(answer.status.as_u16(), status, "bytes={range}");
        assert!(answer.bytes == bytes, "bytes={range} gave {} bytes", answer.bytes.len());
    }
    clinic.forward(Duration::from_hours(100));
    clinic.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_hook_secret_is_refused_before_the_body_is_read() {
    let house = OddClinic::spawn().await;
    let head = "POST /fhir/hook/odd HTTP/1.1\r\nHost: x\r\nX-Chartseal-Hook: wrong\r\nContent-Length: 900000\r\n\r\n";
    let mut stream = connect(&house.clinic.url).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = first_line(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_requests_are_ended_and_hold_up_nobody() {
    let house = OddClinic::spawn().await;
    let url = &house.clinic.url;
    let half_head = "POST /r/BBBBBBBBBBBBBBBB/begin HTTP/1.1\r\nHost: x\r\nContent-Ty";
    let half_body = "POST /r/BBBBBBBBBBBBBBBB/begin HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                     Content-Length: 20\r\n\r\n{";
    let half_hook = "POST /fhir/hook/odd HTTP/1.1\r\nHost: x\r\nX-Chartseal-Hook: the-doubles-hook-secret\r\n\
                     Content-Length: 20\r\n\r\n{";
    let since = Instant::now();
    let mut open = Vec::new();
    for text in [half_head, half_body].repeat(50).into_iter().chain([half_hook; 5]) {
        let mut stream = connect(url).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        open.push(stream);
    }
    let good = web_client::new().get(format!("{url}/r/{NOBODY}")).send().await.unwrap();
    assert_eq!(good.status(), StatusCode::OK);
    assert_eq!(house.hook(Method::POST, "", &[], b"").await, StatusCode::OK);
    for mut stream in open {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(HANGS, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a connection with half a request stays open");
        assert!(since.elapsed() > PATIENCE_MIN, "whoever was slow was cut: {}", String::from_utf8_lossy(&rest));
    }
    house.clinic.hear_and_settle().await;
    assert_eq!(house.quarantined().await, Vec::<String>::new(), "half a body was kept");
}

/// A proxy in front may send the next request over a connection at any moment while it keeps it; what we close meanwhile
/// is lost, and nobody may send a patient's claim again unasked.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_kept_for_longer_than_a_proxy_keeps_it() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let mut stream = connect(&clinic.url).await;
    stream.write_all(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let since = Instant::now();
    assert!(first_line(&mut stream).await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    tokio::time::timeout(HANGS, stream.read_to_end(&mut rest)).await.expect("it is closed in the end").unwrap();
    assert!(since.elapsed() > PROXY_KEEPS, "closed after {:?}", since.elapsed());
}

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap()
}

async fn first_line(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 64];
    let read = tokio::time::timeout(HANGS, stream.read(&mut bytes)).await.expect("an answer comes").unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
