//! EHRs' calls.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use actix_web::dev::Service as _;
use actix_web::error::PayloadError;
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use actix_web::web::Bytes;

use super::browser::{Answer, ask, site};
use super::house::{HOOK_BODY_BYTES_MAX, HOOK_SECRET, House};
use chartseal::base::{hours, minutes};
use chartseal::intake::HOOK_HEADER;
use chartseal::record::LinkEvent;
use chartseal::store::{self, StoredEvent};
use futures_util::{Stream, stream};

const BODIES_AT_ONCE_MAX: usize = 16;

fn call(method: Method, path: &str, body: &str) -> TestRequest {
    TestRequest::default()
        .method(method)
        .uri(path)
        .insert_header((HOOK_HEADER, HOOK_SECRET))
        .set_payload(body.to_owned())
}

/// An event's body, opened.
pub(super) async fn body_of(house: &House, event: &StoredEvent) -> Vec<u8> {
    let id = event.id.clone();
    let kept = house.store.read(move |conn| store::event_body(conn, &id)).await.unwrap().unwrap();
    let key = chartseal::keys::KeyName::parse(chartseal::keys::KeyKind::Intake, &kept.key).unwrap();
    let purpose = chartseal::sealing::Purpose::RawEvent;
    house.vault.open_dated(&key, purpose, event.id.as_str(), &kept.sealed).unwrap().to_vec()
}

pub(super) async fn kept(house: &House) -> Vec<StoredEvent> {
    house.clock.forward(hours(1));
    let now = house.clock.now();
    house.store.write(move |tx| store::lease_events(tx, now, now.plus(minutes(1)), 100)).await.unwrap()
}

#[actix_web::test]
async fn every_form_of_call_is_kept_and_acknowledged_in_fhir() {
    let house = House::new();
    let site = site(&house).await;
    let bundle = r#"{"entry":[{"resource":{"resourceType":"Patient"}}],"type":"history","resourceType":"Bundle"}"#;
    let report = r#"{"resourceType":"DiagnosticReport","id":"r1","contained":[{"resourceType":"Bundle"}]}"#;
    for (method, path, body, resource_type) in [
        (Method::POST, "/fhir/hook/main", "", "OperationOutcome"),
        (Method::POST, "/fhir/hook/main", bundle, "Bundle"),
        (Method::POST, "/fhir/hook/main", "neither JSON nor XML", "OperationOutcome"),
        (Method::PUT, "/fhir/hook/main/DiagnosticReport/r1", report, "OperationOutcome"),
        (Method::DELETE, "/fhir/hook/main/DiagnosticReport/r1", "", "OperationOutcome"),
    ] {
        let answer = ask(&site, call(method.clone(), path, body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{method} {path}");
        assert_eq!(answer.header("Content-Type"), Some("application/fhir+json"));
        assert_eq!(answer.json()["resourceType"], resource_type);
    }
    let kept = kept(&house).await;
    assert_eq!(kept.len(), 5);
    assert_eq!(kept.iter().filter(|event| event.path.is_some()).count(), 2);
    assert!(kept.iter().any(|event| event.method == "DELETE"));
}

#[actix_web::test]
async fn a_wrong_secret_and_an_unknown_ehr_answer_alike_and_leave_nothing() {
    let house = House::new();
    let site = site(&house).await;
    let mut answers: Vec<Answer> = Vec::new();
    for (ehr, secret) in [("main", Some("wrong")), ("main", None), ("other", Some(HOOK_SECRET)), ("%2E%2E", None)] {
        let request = TestRequest::post().uri(&format!("/fhir/hook/{ehr}")).set_payload("{}");
        let request = match secret {
            Some(secret) => request.insert_header((HOOK_HEADER, secret)),
            None => request,
        };
        answers.push(ask(&site, request).await);
    }
    assert_eq!(answers[0].status, StatusCode::UNAUTHORIZED);
    assert_eq!(answers[0].json()["resourceType"], "OperationOutcome");
    assert!(answers.windows(2).all(|pair| pair[0].comparable() == pair[1].comparable()));
    assert!(kept(&house).await.is_empty());
}

#[actix_web::test]
async fn a_body_over_the_limit_or_compressed_is_kept_as_a_ping() {
    let house = House::new();
    let site = site(&house).await;
    let limit = usize::try_from(HOOK_BODY_BYTES_MAX).unwrap();
    let path = "/fhir/hook/main/DiagnosticReport/r1";
    for (request, expected) in [
        (call(Method::PUT, path, &"x".repeat(limit)), limit),
        (call(Method::PUT, path, &"x".repeat(limit + 1)), 0),
        (call(Method::PUT, path, "gzip bytes").insert_header(("Content-Encoding", "gzip")), 0),
        (call(Method::PUT, path, "{}").insert_header(("Content-Encoding", "identity")), 2),
    ] {
        assert_eq!(ask(&site, request).await.status, StatusCode::OK);
        let kept = kept(&house).await;
        let newest = kept.iter().max_by_key(|event| event.at).unwrap();
        assert_eq!(body_of(&house, newest).await.len(), expected);
        assert!(newest.path.is_some());
    }
}

#[actix_web::test]
async fn what_cannot_be_kept_is_asked_for_again() {
    let house = House::whose_store_will_die();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    assert!(house.try_to_end(&handed.delivery, LinkEvent::Recall).await.is_err());
    let answer = ask(&site, call(Method::POST, "/fhir/hook/main", "")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("Retry-After"), Some("1"));
}

#[actix_web::test]
async fn while_too_many_bodies_are_arriving_an_ehr_is_told_to_come_again() {
    let house = House::new();
    let site = site(&house).await;
    let mut arriving = Vec::new();
    for _ in 0..BODIES_AT_ONCE_MAX {
        let never: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(stream::pending());
        let (request, _) = call(Method::POST, "/fhir/hook/main", "").to_request().replace_payload(never.into());
        arriving.push(Box::pin(site.call(request)));
    }
    poll_fn(|cx| {
        assert!(arriving.iter_mut().all(|call| call.as_mut().poll(cx).is_pending()));
        Poll::Ready(())
    })
    .await;
    let answer = ask(&site, call(Method::POST, "/fhir/hook/main", "")).await;
    assert_eq!((answer.status, answer.header("Retry-After")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    drop(arriving);
    assert_eq!(ask(&site, call(Method::POST, "/fhir/hook/main", "")).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn no_method_but_three_and_no_redirect() {
    let house = House::new();
    let site = site(&house).await;
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH] {
        let answer = ask(&site, call(method, "/fhir/hook/main", "")).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("Allow"), Some("POST, PUT, DELETE"));
    }
    for path in ["/fhir/hook", "/fhir/hook/", "/fhir/hook/main/", "/fhir/hook/main/DiagnosticReport"] {
        let answer = ask(&site, call(Method::POST, path, "")).await;
        assert!(answer.status.is_client_error(), "{path} {}", answer.status);
    }
}
