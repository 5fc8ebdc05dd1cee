//! Whoever has not proved anything: the same answers for everybody, and nothing spent.

use std::io::Read as _;

use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use diesel::connection::SimpleConnection as _;
use flate2::read::GzDecoder;
use serde_json::json;

use super::browser::{Browser, ask, site};
use super::house::{House, ORIGIN};
use chartseal::base::{LinkId, LinkSecret, Reference, random};
use chartseal::record::LinkEvent;
use chartseal::sealing::ReceiptOutcome;

/// What one network may ask at once.
const BURST: usize = 60;
const UNKNOWN: &str = "zzzzzzzzzzzzzzzA";

#[actix_web::test]
async fn the_page_is_the_same_for_everyone_but_for_its_reference() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let page = async |path: String| ask(&site, TestRequest::get().uri(&path)).await;
    let known = page(format!("/r/{}", handed.id)).await;
    assert_eq!(known.status, StatusCode::OK);
    assert_eq!(known.header("Content-Type"), Some("text/html; charset=utf-8"));
    let html = String::from_utf8(known.body.to_vec()).unwrap();
    assert!(html.contains("Riverside &lt;Clinic&gt;") && !html.contains("{{"));
    let reference = Reference::of(&handed.id);
    assert!(html.contains(reference.as_str()));
    let variants = ["%23AAAAAAAAAAAAAAAAAAAAAA", "%2523AAAAAAAAAAAAAAAAAAAAAA", "/deeper/still", ".%3E", "%0A", "%FF"];
    for variant in variants {
        let mangled = page(format!("/r/{}{variant}", handed.id)).await;
        assert_eq!(mangled.comparable(), known.comparable(), "{variant}");
    }
    let unknown = page(format!("/r/{UNKNOWN}")).await;
    let as_known = String::from_utf8(unknown.body.to_vec())
        .unwrap()
        .replace(Reference::of(&LinkId::parse(UNKNOWN).unwrap()).as_str(), reference.as_str());
    assert_eq!(as_known, html);
    for malformed in ["", "short", "%2F..%2F", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA%C3%A9"] {
        let malformed = page(format!("/r/{malformed}")).await;
        assert_eq!(String::from_utf8(malformed.body.to_vec()).unwrap().replace("———", reference.as_str()), html);
        assert_eq!(malformed.body.len(), known.body.len());
    }
    assert_eq!(house.opened(&handed.id).await, (0, 0));
}

#[actix_web::test]
async fn known_unknown_and_malformed_ids_answer_alike() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let wrong = LinkSecret::random(&mut random::system());
    let mut answers = Vec::new();
    for asked in [handed.id.as_str(), UNKNOWN, "malformed", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a%20b%C3%A9%23"] {
        let named = LinkId::parse(asked).unwrap_or_else(|_| LinkId::parse(UNKNOWN).unwrap());
        let mut browser = Browser::at(asked, &named, &wrong);
        let begun = browser.begin(&site, &named).await;
        assert_eq!(begun.json().as_object().unwrap().len(), 3);
        let (_, headers, _) = begun.comparable();
        let of_all = [
            browser.look(&site).await,
            browser.open(&site).await,
            browser.answer(&site, "question", "1984-05-06").await,
            browser.answer(&site, "code", "123456").await,
            browser.code(&site).await,
            browser.receipt(&site, ReceiptOutcome::Decrypted, &named).await,
            ask(&site, browser.get("files/1")).await,
            ask(&site, browser.get("open")).await,
        ];
        assert!(of_all[..7].iter().all(|answer| answer.status == StatusCode::NOT_FOUND));
        assert_eq!(of_all[7].status, StatusCode::METHOD_NOT_ALLOWED);
        let comparable: Vec<_> = of_all.iter().map(super::browser::Answer::comparable).collect();
        answers.push((headers, begun.body.len(), comparable));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "an id can be told from another");
    assert_eq!(house.opened(&handed.id).await, (0, 0));
}

#[actix_web::test]
async fn without_its_cookie_a_browser_is_told_so() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    browser.cookie = None;
    for answer in [browser.look(&site).await, browser.open(&site).await] {
        assert_eq!((answer.status, answer.json()), (StatusCode::FORBIDDEN, json!({"problem": "cookie"})));
    }
    assert_eq!(house.opened(&handed.id).await, (0, 0));
}

#[actix_web::test]
async fn a_store_that_cannot_be_reached_is_never_an_unknown_link() {
    let house = House::whose_store_will_die();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let other = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    assert!(house.try_to_end(&other.delivery, LinkEvent::Recall).await.is_err());
    for answer in [browser.look(&site).await, browser.open(&site).await] {
        assert_eq!((answer.status, answer.header("Retry-After")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
        assert_eq!(answer.json(), json!({"problem": "unavailable"}));
    }
}

/// A receipt for an id of the wrong form was refused without a look into the store, so that it was answered sooner than
/// one for a link that exists. Where nothing can be found any more, who looks shows in the answer.
#[actix_web::test]
async fn a_receipt_for_no_link_was_answered_without_looking_for_one() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let away = "ALTER TABLE link RENAME TO link_away";
    house.store.write(move |tx| Ok(tx.conn().batch_execute(away)?)).await.unwrap();
    for asked in [handed.id.as_str(), UNKNOWN, "malformed"] {
        let named = LinkId::parse(asked).unwrap_or_else(|_| LinkId::parse(UNKNOWN).unwrap());
        let mut browser = Browser::at(asked, &named, &handed.secret);
        browser.begin(&site, &named).await;
        let answer = browser.receipt(&site, ReceiptOutcome::Decrypted, &named).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{asked}");
    }
}

#[actix_web::test]
async fn looking_fetching_and_guessing_spend_nothing() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    for path in ["", "/begin", "/look", "/open", "/receipt", "/files/1"] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            let request = TestRequest::default().method(method.clone()).uri(&format!("/r/{}{path}", handed.id));
            let answer = ask(&site, request.insert_header(("Range", "bytes=0-"))).await;
            let expected = match (path, method.as_str()) {
                ("", "GET" | "HEAD") => StatusCode::OK,
                ("/files/1", "GET" | "HEAD") => StatusCode::NOT_FOUND,
                _ => StatusCode::METHOD_NOT_ALLOWED,
            };
            assert_eq!(answer.status, expected, "{method} {path}");
        }
    }
    assert_eq!(house.opened(&handed.id).await, (0, 0));
}

#[actix_web::test]
async fn only_our_own_page_may_ask() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    for (name, value, expected) in [
        ("Origin", ORIGIN, StatusCode::OK),
        ("Origin", "https://evil.example", StatusCode::FORBIDDEN),
        ("Sec-Fetch-Site", "same-origin", StatusCode::OK),
        ("Sec-Fetch-Site", "cross-site", StatusCode::FORBIDDEN),
        ("Sec-Fetch-Site", "none", StatusCode::FORBIDDEN),
        ("Sec-Purpose", "prefetch;prerender", StatusCode::FORBIDDEN),
        ("Purpose", "prefetch", StatusCode::FORBIDDEN),
    ] {
        let answer = ask(&site, browser.post("begin", &json!({})).insert_header((name, value))).await;
        assert_eq!(answer.status, expected, "{name}: {value}");
    }
    for sites in [&["cross-site"][..], &["same-site"], &["none"], &["same-origin", "cross-site"]] {
        let asked = browser.post("begin", &json!({})).insert_header(("Origin", "null"));
        let asked = sites.iter().fold(asked, |asked, site| asked.append_header(("Sec-Fetch-Site", *site)));
        let answer = ask(&site, asked).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::FORBIDDEN, json!({"problem": "foreign"})), "{sites:?}");
    }
    let prefetched = TestRequest::get().uri(&format!("/r/{}", handed.id)).insert_header(("Sec-Purpose", "prefetch"));
    assert_eq!(ask(&site, prefetched).await.status, StatusCode::OK);
}

/// Firefox before 90 says nothing else, and `Origin: null` for a page that wants no referrer.
#[actix_web::test]
async fn our_own_page_in_an_older_firefox_was_taken_for_a_stranger() {
    let house = House::new();
    let handed = house.hand_over(b"%PDF".to_vec(), 1).await;
    let site = site(&house).await;
    let mut browser = Browser::with(&handed);
    browser.begin(&site, &handed.id).await;
    for more in [None, Some(("Sec-Fetch-Site", "same-origin"))] {
        let asked = browser.post("begin", &json!({})).insert_header(("Origin", "null"));
        let asked = more.into_iter().fold(asked, TestRequest::insert_header);
        assert_eq!(ask(&site, asked).await.status, StatusCode::OK, "{more:?}");
    }
}

#[actix_web::test]
async fn bodies_of_another_type_size_or_shape_are_refused() {
    let house = House::new();
    let site = site(&house).await;
    let post = |kind: &'static str, body: String| {
        TestRequest::post().uri(&format!("/r/{UNKNOWN}/look")).insert_header(("Content-Type", kind)).set_payload(body)
    };
    let proof = r#"{"nonce":"x","proof":"y"}"#.to_owned();
    let too_large = format!(r#"{{"nonce":"{}"}}"#, "x".repeat(4096));
    for (request, expected) in [
        (post("text/plain", proof.clone()), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (post("application/x-www-form-urlencoded", proof.clone()), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (TestRequest::post().uri("/r/x/look").set_payload(proof.clone()), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (post("application/json", too_large), StatusCode::PAYLOAD_TOO_LARGE),
        (post("application/json", r#"{"nonce":1,"proof":"y"}"#.to_owned()), StatusCode::BAD_REQUEST),
        (post("application/json", "{".to_owned()), StatusCode::BAD_REQUEST),
        (post("application/json", String::new()), StatusCode::BAD_REQUEST),
        (post("application/json; charset=utf-8", proof), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(ask(&site, request).await.status, expected);
    }
}

#[actix_web::test]
async fn a_network_that_asks_too_fast_waits_but_still_sees_the_page() {
    let house = House::new();
    let site = site(&house).await;
    let begin = || TestRequest::post().uri(&format!("/r/{UNKNOWN}/begin")).set_json(json!({}));
    for _ in 0..BURST {
        assert_eq!(ask(&site, begin()).await.status, StatusCode::OK);
    }
    // Two more are allowed in every second meanwhile, so nobody can say which one is the first too many.
    let mut refused = ask(&site, begin()).await;
    for _ in 0..1000 {
        if refused.status != StatusCode::OK {
            break;
        }
        refused = ask(&site, begin()).await;
    }
    assert_eq!((refused.status, refused.header("Retry-After")), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    assert_eq!(ask(&site, TestRequest::get().uri(&format!("/r/{UNKNOWN}"))).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn every_answer_carries_the_headers_that_keep_the_page_alone() {
    let house = House::new();
    let site = site(&house).await;
    let page = ask(&site, TestRequest::get().uri("/r/x")).await;
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let script = format!("{}/open.js", script_folder(&html));
    let worker = script.replace("open.js", "vendor/pdfjs/pdf.worker.min.js");
    for path in [&script, &worker, "/r/x", "/robots.txt", "/", "/fhir/hook/main", "/assets/old/open.js"] {
        let answer = ask(&site, TestRequest::get().uri(path)).await;
        let policy = answer.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "));
        // Safari before 15.5 asks the second about workers; the third takes back what it grants to frames.
        assert!(policy.contains("; worker-src 'self'; child-src 'self'; frame-src 'none'; "));
        assert!(policy.ends_with("require-trusted-types-for 'script'; trusted-types chartseal-worker"));
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"));
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.header("Cross-Origin-Opener-Policy"), Some("same-origin"));
        assert_eq!(answer.header("Cross-Origin-Resource-Policy"), Some("same-origin"));
        assert!(answer.header("Strict-Transport-Security").is_some());
        assert!(answer.header("X-Robots-Tag").unwrap().contains("noindex"));
        assert!(answer.header("Permissions-Policy").unwrap().contains("clipboard-write=(self)"));
        let is_asset = path == script || path == worker;
        let kept = if is_asset { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(answer.header("Cache-Control"), Some(kept), "{path}");
        if is_asset {
            assert_eq!(answer.header("Content-Type"), Some("text/javascript; charset=utf-8"));
        }
    }
}

fn script_folder(html: &str) -> &str {
    html.split('"').find_map(|part| part.strip_suffix("/open.js")).unwrap()
}

#[actix_web::test]
async fn every_file_that_the_page_names_is_there() {
    let house = House::new();
    let site = site(&house).await;
    let page = ask(&site, TestRequest::get().uri("/r/x")).await;
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let named: Vec<_> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(named.len() > 5);
    for path in named {
        let asset = ask(&site, TestRequest::get().uri(path)).await;
        assert_eq!(asset.status, StatusCode::OK, "{path}");
        assert!(!asset.body.is_empty());
        // A browser keeps a script that did not arrive as missing: the page asks for it by another name then.
        assert!(ask(&site, TestRequest::get().uri(&format!("{path}?2"))).await.body == asset.body);
        let packed = ask(&site, TestRequest::get().uri(path).insert_header(("Accept-Encoding", "br, gzip"))).await;
        if packed.header("Content-Encoding") == Some("gzip") {
            let mut unpacked = Vec::new();
            GzDecoder::new(packed.body.as_ref()).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == asset.body && packed.body.len() < asset.body.len());
        } else {
            assert!(path.rsplit_once('.').is_some_and(|(_, kind)| kind == "svg") && packed.body == asset.body);
        }
    }
    let prefix = script_folder(&html);
    for built_from in ["open.html", "vendor/README.md", "../page.rs", "vendor/pdfjs/"] {
        let hidden = ask(&site, TestRequest::get().uri(&format!("{prefix}/{built_from}"))).await;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{built_from}");
    }
    for path in ["/assets/x/open.js", "/assets/", "/favicon.ico", "/r"] {
        let missing = ask(&site, TestRequest::get().uri(path)).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{path}");
        assert!(missing.body.starts_with(b"<!doctype html>"));
    }
    assert!(ask(&site, TestRequest::get().uri("/robots.txt")).await.body.starts_with(b"User-agent: *\nDisallow: /"));
}
