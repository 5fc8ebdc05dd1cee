//! Calls of EHRs that sign: judged over the bytes as they came. What strangers can send there, whose bodies look signed
//! until they end, holds up nobody else.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use actix_web::dev::{Service as _, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use actix_web::web::Bytes;
use futures_util::{Stream, stream};

use super::browser::{Site, ask, site};
use super::hooks::{body_of, kept};
use super::house::{HOOK_BODY_BYTES_MAX, HOOK_SECRET, House, SIGNING_SECRET};
use super::wire::talk;
use crate::support::senders::{AsMedplum, AsWebSub, Call, signature};
use chartseal::intake::HOOK_HEADER;
use chartseal::store::StoredEvent;

const MEDPLUM: AsMedplum = AsMedplum { secret: SIGNING_SECRET };
const WEBSUB: AsWebSub = AsWebSub { secret: SIGNING_SECRET };
const REPORT: &[u8] = br#"{"resourceType" : "DiagnosticReport", "id":"r1",  "meta":{"versionId":"2"}}"#;

fn post(ehr: &str, call: &Call) -> TestRequest {
    sent(Method::POST, &format!("/fhir/hook/{ehr}"), call)
}

fn sent(method: Method, path: &str, call: &Call) -> TestRequest {
    let request = TestRequest::default().method(method).uri(path).set_payload(call.body.clone());
    call.headers.iter().fold(request, |request, (name, value)| request.append_header((*name, value.clone())))
}

/// The bodies that were kept, opened.
async fn bodies(house: &House, events: &[StoredEvent]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for event in events {
        bodies.push(body_of(house, event).await);
    }
    bodies
}

#[actix_web::test]
async fn both_forms_of_signature_over_the_raw_bytes_are_taken() {
    let house = House::new();
    let site = site(&house).await;
    let calls = [
        ("medplum", MEDPLUM.changed(REPORT)),
        ("medplum", MEDPLUM.changed(b"")),
        ("websub", WEBSUB.published(b"{ }")),
        ("websub", WEBSUB.published(b"neither JSON nor text: \xff")),
    ];
    for (ehr, call) in &calls {
        assert_eq!(ask(&site, post(ehr, call)).await.status, StatusCode::OK, "{ehr}");
    }
    let mut kept = bodies(&house, &kept(&house).await).await;
    let mut sent = calls.map(|(_, call)| call.body);
    kept.sort();
    sent.sort();
    assert_eq!(kept, sent, "kept as they came");
}

#[actix_web::test]
async fn a_signature_that_is_not_exactly_right_is_refused_and_leaves_nothing() {
    let house = House::new();
    let site = site(&house).await;
    let right = signature(SIGNING_SECRET, REPORT);
    let other_key = signature("another-secret-of-the-test", REPORT);
    let last = if right.ends_with('0') { "1" } else { "0" };
    let values = [
        String::new(),
        other_key,
        signature(SIGNING_SECRET, b"another body"),
        right.to_uppercase(),
        right[..63].to_owned(),
        right[..62].to_owned(),
        format!("{right}00"),
        format!("{}{last}", &right[..63]),
        format!("0x{right}"),
        "g".repeat(64),
        "é".repeat(32),
        right.repeat(2),
        format!("{right}, {right}"),
    ];
    let medplum = MEDPLUM.changed(REPORT);
    let websub = WEBSUB.published(REPORT);
    let mut refused = vec![
        ("medplum", medplum.clone().without("X-Signature")),
        ("medplum", medplum.clone().with("X-Signature", format!("sha256={right}"))),
        ("medplum", websub.clone()),
        ("websub", websub.clone().without("X-Hub-Signature")),
        ("websub", websub.clone().with("X-Hub-Signature", &right)),
        ("websub", websub.clone().with("X-Hub-Signature", format!("SHA256={right}"))),
        ("websub", websub.clone().with("X-Hub-Signature", format!("sha1={}", &right[..40]))),
        ("websub", websub.clone().with("X-Hub-Signature", format!("sha1={right}"))),
        ("websub", websub.clone().with("X-Hub-Signature", format!("sha512={right}{right}"))),
        ("websub", medplum.clone()),
    ];
    refused.extend(values.iter().map(|value| ("medplum", medplum.clone().with("X-Signature", value))));
    refused.extend(
        values.iter().map(|value| ("websub", websub.clone().with("X-Hub-Signature", format!("sha256={value}")))),
    );
    // Two of them, though both are right: nobody can say which one an intermediary meant.
    let mut twice = medplum.clone();
    twice.headers.push(("X-Signature", right.clone()));
    refused.push(("medplum", twice));
    // The secret itself shows nothing to an EHR that signs, and a signature nothing to one that shows its secret.
    let mut shown = medplum.clone().without("X-Signature");
    shown.headers.push((HOOK_HEADER, SIGNING_SECRET.to_owned()));
    refused.extend([("medplum", shown), ("main", medplum.clone())]);
    let mut answers = Vec::new();
    for (ehr, call) in &refused {
        answers.push(ask(&site, post(ehr, call)).await);
    }
    assert!(answers.iter().all(|answer| answer.status == StatusCode::UNAUTHORIZED));
    assert!(answers.windows(2).all(|pair| pair[0].comparable() == pair[1].comparable()));
    assert!(kept(&house).await.is_empty());
    assert_eq!(ask(&site, post("medplum", &medplum)).await.status, StatusCode::OK, "the right one is still taken");
}

#[actix_web::test]
async fn a_signature_over_the_same_json_written_otherwise_is_refused() {
    let house = House::new();
    let site = site(&house).await;
    let parsed: serde_json::Value = serde_json::from_slice(REPORT).unwrap();
    let rewritten = parsed.to_string();
    assert_ne!(rewritten.as_bytes(), REPORT);
    let call = MEDPLUM.changed(REPORT).with("X-Signature", signature(SIGNING_SECRET, rewritten.as_bytes()));
    assert_eq!(ask(&site, post("medplum", &call)).await.status, StatusCode::UNAUTHORIZED);
    assert!(kept(&house).await.is_empty());
}

#[actix_web::test]
async fn a_body_over_the_limit_is_verified_as_it_streams_by_and_kept_as_a_ping() {
    let house = House::new();
    let site = site(&house).await;
    let large = vec![b'x'; usize::try_from(HOOK_BODY_BYTES_MAX).unwrap() * 100];
    let call = MEDPLUM.changed(&large);
    assert_eq!(ask(&site, post("medplum", &call)).await.status, StatusCode::OK);
    assert_eq!(bodies(&house, &kept(&house).await).await, [b""]);
    let mut changed_at_its_end = call;
    *changed_at_its_end.body.last_mut().unwrap() = b'y';
    assert_eq!(ask(&site, post("medplum", &changed_at_its_end)).await.status, StatusCode::UNAUTHORIZED);
    assert!(kept(&house).await.len() == 1, "the forged one was kept");
}

#[actix_web::test]
async fn a_compressed_body_is_judged_as_it_came_and_kept_as_a_ping() {
    let house = House::new();
    let site = site(&house).await;
    for (body, status) in [(&b"gzip bytes"[..], StatusCode::OK), (b"other bytes", StatusCode::UNAUTHORIZED)] {
        let call = Call { body: body.to_vec(), ..WEBSUB.published(b"gzip bytes") };
        let request = post("websub", &call).insert_header(("Content-Encoding", "gzip"));
        assert_eq!(ask(&site, request).await.status, status);
    }
    assert_eq!(bodies(&house, &kept(&house).await).await, [b""]);
}

#[actix_web::test]
async fn a_delete_is_heard_from_the_address_and_from_medplums_header() {
    let house = House::new();
    let site = site(&house).await;
    let by_header = MEDPLUM.deleted("DiagnosticReport/r1");
    assert_eq!(ask(&site, post("medplum", &by_header)).await.status, StatusCode::OK);
    let by_address = sent(Method::DELETE, "/fhir/hook/websub/DiagnosticReport/r1", &WEBSUB.published(b""));
    assert_eq!(ask(&site, by_address).await.status, StatusCode::OK);
    let named = kept(&house).await;
    assert_eq!(named.len(), 2);
    assert!(named.iter().all(|event| event.path.as_ref().is_some_and(|(_, id)| id.as_str() == "r1")));
}

#[actix_web::test]
async fn a_header_that_names_nothing_of_ours_is_a_ping_and_no_fault() {
    let house = House::new();
    let site = site(&house).await;
    for reference in ["Patient/p1", "DiagnosticReport", "DiagnosticReport/", "DiagnosticReport/a b", "/r1", "", "é/r1"]
    {
        assert_eq!(ask(&site, post("medplum", &MEDPLUM.deleted(reference))).await.status, StatusCode::OK);
    }
    let twice = post("medplum", &MEDPLUM.deleted("DiagnosticReport/r1"))
        .append_header(("X-Medplum-Deleted-Resource", "DiagnosticReport/r2"));
    assert_eq!(ask(&site, twice).await.status, StatusCode::OK);
    let kept = kept(&house).await;
    assert_eq!(kept.len(), 8);
    assert!(kept.iter().all(|event| event.path.is_none()));
}

/// The call as it stands on the wire, its body as `framed`, for a connection that ends with the answer.
fn wire(call: &Call, framing: &str, framed: &str) -> String {
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = headers.concat();
    format!("POST /fhir/hook/medplum HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{framing}\r\n\r\n{framed}")
}

#[actix_web::test]
async fn a_chunked_body_is_verified_without_its_framing() {
    let house = House::new();
    let call = MEDPLUM.changed(br#"{"resourceType":"DiagnosticReport","id":"r1"}"#);
    let body = String::from_utf8(call.body.clone()).unwrap();
    let (one, other) = body.split_at(7);
    let framed = format!("{:x}\r\n{one}\r\n{:x};note=x\r\n{other}\r\n0\r\n\r\n", one.len(), other.len());
    let heard = talk(&house, &wire(&call, "Transfer-Encoding: chunked", &framed), "OperationOutcome").await;
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    assert_eq!(bodies(&house, &kept(&house).await).await, [call.body]);
}

#[actix_web::test]
async fn a_body_with_the_right_signature_that_is_cut_half_way_is_not_kept() {
    let house = House::new();
    let call = MEDPLUM.changed(br#"{"resourceType":"DiagnosticReport","id":"r1"}"#);
    let half = String::from_utf8(call.body[..20].to_vec()).unwrap();
    // HTTP says that more was to come.
    let broken = format!("14\r\n{half}\r\nzz\r\n");
    let heard = talk(&house, &wire(&call, "Transfer-Encoding: chunked", &broken), "OperationOutcome").await;
    assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
    // HTTP says that this was all: half of what was signed is something else.
    let heard = talk(&house, &wire(&call, "Content-Length: 20", &half), "OperationOutcome").await;
    assert!(heard.starts_with("HTTP/1.1 401 "), "{heard}");
    assert!(kept(&house).await.is_empty());
}

#[actix_web::test]
async fn without_a_signature_of_the_right_form_no_byte_of_the_body_is_awaited() {
    let house = House::new();
    for value in ["", "abc", HOOK_SECRET] {
        let call = MEDPLUM.changed(b"").with("X-Signature", value);
        let heard = talk(&house, &wire(&call, "Content-Length: 1000000000", ""), "OperationOutcome").await;
        assert!(heard.starts_with("HTTP/1.1 401 "), "{heard}");
    }
}

/// Proven, of all EHRs.
const BODIES_AT_ONCE_MAX: usize = 16;
/// Unproven, of one EHR.
const PLACES: usize = 8;
/// What one network may ask at once.
const BURST: usize = 60;
const MIB: usize = 1024 * 1024;

type Body = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;
type Answering<'s> = Pin<Box<dyn Future<Output = Result<ServiceResponse, actix_web::Error>> + 's>>;

/// Strangers at the hook of `ehr`: what they send looks signed, and never ends.
async fn dripping<'s>(site: &'s impl Site, ehr: &str, call: &Call, count: usize) -> Vec<Answering<'s>> {
    let mut calls: Vec<Answering<'s>> = Vec::new();
    for _ in 0..count {
        let never: Body = Box::pin(stream::pending());
        let (request, _) = post(ehr, call).to_request().replace_payload(never.into());
        calls.push(Box::pin(site.call(request)));
    }
    poll_fn(|cx| {
        for call in &mut calls {
            let _ = call.as_mut().poll(cx).is_pending();
        }
        Poll::Ready(())
    })
    .await;
    calls
}

#[actix_web::test]
async fn strangers_at_one_ehrs_hook_stopped_the_hooks_of_all() {
    let house = House::new();
    let site = site(&house).await;
    let forged = MEDPLUM.changed(b"").with("X-Signature", signature("anybody's", b""));
    let calls = dripping(&site, "medplum", &forged, BODIES_AT_ONCE_MAX).await;
    assert_eq!(ask(&site, post("websub", &WEBSUB.published(REPORT))).await.status, StatusCode::OK);
    let secret = Call { headers: vec![(HOOK_HEADER, HOOK_SECRET.to_owned())], body: REPORT.to_vec() };
    assert_eq!(ask(&site, post("main", &secret)).await.status, StatusCode::OK);
    drop(calls);
    assert_eq!(ask(&site, post("medplum", &MEDPLUM.changed(REPORT))).await.status, StatusCode::OK);
    assert_eq!(kept(&house).await.len(), 3);
}

#[actix_web::test]
async fn a_body_that_dripped_kept_its_place_from_the_ehr_for_half_a_minute() {
    let house = House::new();
    let site = site(&house).await;
    let forged = MEDPLUM.changed(b"").with("X-Signature", signature("anybody's", b""));
    let mut calls = dripping(&site, "medplum", &forged, PLACES).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(ask(&site, post("medplum", &MEDPLUM.changed(REPORT))).await.status, StatusCode::OK);
    let first = calls.remove(0).await.unwrap();
    assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE, "the first gave way");
    let still = poll_fn(|cx| Poll::Ready(calls.iter_mut().all(|call| call.as_mut().poll(cx).is_pending()))).await;
    assert!(still, "the others did not");
}

#[actix_web::test]
async fn a_body_without_end_was_read_as_long_as_it_came() {
    let house = House::new();
    let site = site(&house).await;
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let piece = Bytes::from(vec![b'x'; MIB]);
    let endless: Body = Box::pin(stream::repeat_with(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(piece.clone())
    }));
    let (request, _) = post("medplum", &MEDPLUM.changed(REPORT)).to_request().replace_payload(endless.into());
    assert_eq!(site.call(request).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(read.load(Ordering::Relaxed), 65, "MiB, of which 64 may be somebody's");
    assert!(kept(&house).await.is_empty());
}

#[actix_web::test]
async fn a_stranger_tried_signatures_as_fast_as_the_line_allowed_and_the_ehr_itself_still_may_call() {
    let house = House::new();
    let site = site(&house).await;
    let right = MEDPLUM.changed(REPORT);
    let forged = MEDPLUM.changed(REPORT).with("X-Signature", signature("anybody's", REPORT));
    let mut status = StatusCode::UNAUTHORIZED;
    // Two more are allowed in every second meanwhile, so nobody can say which one is the first too many.
    for _ in 0..1000 {
        if status != StatusCode::UNAUTHORIZED {
            break;
        }
        status = ask(&site, post("medplum", &forged)).await.status;
    }
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nobody was slowed down");
    // From a network that is not known yet even the right one waits.
    for _ in 0..100 {
        if status == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        status = ask(&site, post("medplum", &right)).await.status;
    }
    assert_eq!(status, StatusCode::OK);
    for _ in 0..2 * BURST {
        assert_eq!(ask(&site, post("medplum", &right)).await.status, StatusCode::OK, "now it is known");
    }
}
