//! The holder's way: begin, look, open, fetch, confirm.

use actix_web::http::StatusCode;
use actix_web::http::header;
use data_encoding::BASE64URL_NOPAD;

use super::browser::{Browser, ask, site};
use super::house::{House, version};
use chartseal::base::{Key256, MediaType, Reference, hours, minutes};
use chartseal::record::{LinkEvent, RevokedBy};
use chartseal::sealing::{self, ContentKey, FileContext, FileNumber, ReceiptOutcome};

const MIB: usize = 1024 * 1024;
/// Of a file, sent at a time.
const PIECE_BYTES: usize = 256 * 1024;

#[actix_web::test]
async fn a_patient_opens_decrypts_and_confirms() {
    let house = House::new();
    let handed = house.hand_over(vec![7; 2 * MIB + 11], 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);

    let begun = browser.begin(&site, &handed.id).await;
    let cookie = begun.header("Set-Cookie").unwrap().to_owned();
    assert!(cookie.ends_with(&format!("; Path=/r/{}; HttpOnly; SameSite=Strict; Max-Age=86400; Secure", handed.id)));
    assert_eq!(begun.json()["now"], house.clock.now().0);

    let looked = browser.look(&site).await;
    assert_eq!(looked.status, StatusCode::OK);
    let looked = looked.json();
    assert_eq!(looked["state"], "ready");
    assert_eq!(looked["clinic"]["phone"], "+1 312 555 0100");
    assert_eq!(looked["reference"], Reference::of(&handed.id).as_str());
    assert_eq!(looked["expires_at"], house.clock.now().plus(hours(72)).0);
    assert_eq!((&looked["opens_left"], &looked["opens_max"], &looked["files"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(looked["sizes"], serde_json::json!([handed.plain.len()]));
    assert_eq!(looked["zone"], "America/Chicago");

    let opened = browser.open(&site).await;
    assert_eq!(opened.status, StatusCode::OK);
    let opened = opened.json();
    assert_eq!(opened["files"][0]["version"], "1");
    assert_eq!(opened["files"][0]["n"], 1);
    assert_eq!(opened["files"][0]["type"], "application/pdf");
    assert_eq!(opened["files"][0]["size"], handed.plain.len());
    assert_eq!(opened["files"][0]["sealed_size"], handed.sealed.len());
    assert_eq!(opened["lease_until"], house.clock.now().plus(chartseal::record::OPENING_LEASE).0);

    let file = ask(&site, browser.get("files/1")).await;
    assert_eq!(file.status, StatusCode::OK);
    let share = BASE64URL_NOPAD.decode(opened["share"].as_str().unwrap().as_bytes()).unwrap();
    let content = ContentKey::derive(&handed.secret, &Key256::from_slice(&share).unwrap(), &handed.id);
    let context =
        FileContext { link: handed.id.clone(), number: FileNumber::FIRST, version: version(), media: MediaType::Pdf };
    let mut plain = Vec::new();
    sealing::open(&content, &context, file.body.as_ref(), &mut plain).unwrap();
    assert!(plain == handed.plain);

    let confirmed = browser.receipt(&site, ReceiptOutcome::Decrypted, &handed.id).await;
    assert_eq!((confirmed.status, confirmed.body.len()), (StatusCode::NO_CONTENT, 0));
    let after = browser.look(&site).await.json();
    assert_eq!((&after["state"], &after["kind"]), (&"ended".into(), &"spent".into()));
    assert_eq!(ask(&site, browser.get("files/1")).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn a_lost_answer_is_given_again_and_another_browser_hears_who_was_first() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let (mut first, mut second) = (Browser::with(&handed), Browser::with(&handed));
    first.begin(&site, &handed.id).await;
    second.begin(&site, &handed.id).await;

    let granted = first.open(&site).await.json();
    house.clock.forward(minutes(1));
    assert_eq!(first.open(&site).await.json()["share"], granted["share"]);
    assert_eq!(first.look(&site).await.json()["state"], "yours");
    assert_eq!(house.opened(&handed.id).await.0, 1);

    let refused = second.open(&site).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let refused = refused.json();
    assert_eq!((&refused["state"], &refused["kind"]), (&"ended".into(), &"opened_elsewhere".into()));
    assert_eq!(refused["at"], house.clock.now().minus(minutes(1)).0);
    assert_eq!(refused["reference"], Reference::of(&handed.id).as_str());
    assert_eq!(refused["clinic"]["name"], "Riverside <Clinic>");
    assert_eq!(refused["zone"], "America/Chicago");
    assert!(refused.get("share").is_none());
    assert_eq!(ask(&site, second.get("files/1")).await.status, StatusCode::NOT_FOUND);

    let lines = house.audit_lines().await;
    for outcome in ReceiptOutcome::ALL {
        assert_eq!(second.receipt(&site, outcome, &handed.id).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(house.audit_lines().await, lines, "without a claim a receipt says nothing");
    assert_eq!(first.look(&site).await.json()["state"], "yours");
}

#[actix_web::test]
async fn a_browser_keeps_its_cookie_when_the_page_is_loaded_again() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    let cookie = browser.cookie.clone();
    browser.open(&site).await;
    browser.begin(&site, &handed.id).await;
    assert_eq!(browser.cookie, cookie);
    assert_eq!(browser.look(&site).await.json()["state"], "yours");
}

#[actix_web::test]
async fn parts_of_a_file_fit_together_and_spend_nothing() {
    let house = House::new();
    let handed = house.hand_over(vec![9; 3 * MIB], 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    browser.open(&site).await;
    let total = handed.sealed.len();

    let head = ask(
        &site,
        browser.with_cookie(
            actix_web::test::TestRequest::default()
                .method(actix_web::http::Method::HEAD)
                .uri(&format!("/r/{}/files/1", handed.id)),
        ),
    )
    .await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    let etag = head.header("ETag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    assert_eq!(head.header("Accept-Ranges"), Some("bytes"));
    assert_eq!(head.header("Content-Type"), Some("application/octet-stream"));
    assert_eq!(head.header("Cache-Control"), Some("no-store"));

    let table = [
        ("bytes=0-0", 0, 1),
        ("bytes=100-1500000", 100, 1_499_901),
        ("bytes=1048576-", MIB, total - MIB),
        ("bytes=-5", total - 5, 5),
    ];
    for (range, start, length) in table {
        let part = browser.file(&site, range).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{range}");
        let expected = format!("bytes {start}-{}/{total}", start + length - 1);
        assert_eq!(part.header("Content-Range"), Some(expected.as_str()));
        assert_eq!(part.header("ETag"), Some(etag.as_str()));
        assert!(part.body == handed.sealed[start..start + length], "{range}");
    }

    let past = browser.file(&site, &format!("bytes={total}-")).await;
    assert_eq!(past.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(past.header("Content-Range"), Some(format!("bytes */{total}").as_str()));
    let several = browser.file(&site, "bytes=0-1,4-5").await;
    assert_eq!((several.status, several.body.len()), (StatusCode::OK, total));
    let other =
        browser.get("files/1").insert_header((header::RANGE, "bytes=5-")).insert_header((header::IF_RANGE, "\"x\""));
    assert_eq!(ask(&site, other).await.status, StatusCode::OK);
    let same = browser
        .get("files/1")
        .insert_header((header::RANGE, "bytes=5-"))
        .insert_header((header::IF_RANGE, etag.clone()));
    assert_eq!(ask(&site, same).await.status, StatusCode::PARTIAL_CONTENT);
    let known = browser.get("files/1").insert_header((header::IF_NONE_MATCH, etag));
    assert_eq!(ask(&site, known).await.status, StatusCode::NOT_MODIFIED);
    for unknown in ["files/2", "files/0", "files/x", "files/65537"] {
        assert_eq!(ask(&site, browser.get(unknown)).await.status, StatusCode::NOT_FOUND, "{unknown}");
    }
    assert_eq!(house.opened(&handed.id).await.0, 1);
}

#[actix_web::test]
async fn every_end_is_told_to_the_holder_and_cuts_the_files() {
    let revoked = LinkEvent::Revoke { by: RevokedBy::Cancelled };
    for (event, kind) in [(LinkEvent::LifeEnded, "expired"), (LinkEvent::Recall, "recalled"), (revoked, "recalled")] {
        let house = House::new();
        let handed = house.hand_over(b"%PDF".to_vec(), 2).await;
        let site = site(&house).await;
        let mut browser = Browser::with(&handed);
        browser.begin(&site, &handed.id).await;
        assert_eq!(browser.open(&site).await.status, StatusCode::OK);
        if event == LinkEvent::LifeEnded {
            house.clock.forward(hours(73));
            browser.begin(&site, &handed.id).await;
        }
        house.end(&handed.delivery, event).await;
        let looked = browser.look(&site).await.json();
        assert_eq!((&looked["state"], &looked["kind"]), (&"ended".into(), &kind.into()));
        assert_eq!(browser.open(&site).await.json()["kind"], kind);
        assert_eq!(ask(&site, browser.get("files/1")).await.status, StatusCode::NOT_FOUND);
    }
}

/// Every answer to `open` on a dead link wrote an audit line, and for each new cookie a row: for ever, and without bound.
#[actix_web::test]
async fn the_holder_of_a_dead_link_filled_the_store_by_asking_again() {
    let revoked = LinkEvent::Revoke { by: RevokedBy::Cancelled };
    for event in [LinkEvent::Recall, revoked, LinkEvent::LifeEnded] {
        let house = House::new();
        let handed = house.hand_over(b"%PDF".to_vec(), 2).await;
        let site = site(&house).await;
        let mut reader = Browser::with(&handed);
        reader.begin(&site, &handed.id).await;
        assert_eq!(reader.open(&site).await.status, StatusCode::OK);
        if event == LinkEvent::LifeEnded {
            house.clock.forward(hours(73));
            reader.begin(&site, &handed.id).await;
        }
        house.end(&handed.delivery, event.clone()).await;
        let before = (house.opened(&handed.id).await, house.audit_lines().await);
        for _ in 0..5 {
            let mut other = Browser::with(&handed);
            other.begin(&site, &handed.id).await;
            for browser in [&reader, &other] {
                let refused = browser.open(&site).await;
                assert_eq!((refused.status, &refused.json()["state"]), (StatusCode::CONFLICT, &"ended".into()));
            }
        }
        assert_eq!((house.opened(&handed.id).await, house.audit_lines().await), before, "{event:?}");
    }
}

#[actix_web::test]
async fn a_recall_cuts_a_download_under_way() {
    use actix_web::body::MessageBody as _;
    use std::future::poll_fn;
    use std::pin::Pin;

    let house = House::new();
    let handed = house.hand_over(vec![1; 3 * MIB], 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    browser.open(&site).await;
    let response = actix_web::test::call_service(&site, browser.get("files/1").to_request()).await;
    let mut body = response.into_body();
    let first = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await.unwrap().unwrap();
    assert_eq!(first.len(), PIECE_BYTES);
    house.end(&handed.delivery, LinkEvent::Recall).await;
    assert!(poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await.unwrap().is_err());
}
