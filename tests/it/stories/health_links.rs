//! The document in the patient's health app: who is offered it, what foreign readers make of it, what ends it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use chartseal::base::MediaType;
use chartseal::sealing::ReceiptOutcome;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use futures_util::future::join_all;
use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, ORIGIN};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use thirtyfour::By;

use crate::support::browser::{Browser, ColorScheme, PHONE};
use crate::support::clinic::{Clinic, Wishes};
use crate::support::holder::{Answer, Holder};
use crate::support::staff::Staff;
use crate::support::{axe, health_apps, pdf, wait, web_client};

const RULES: &str = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "plain"
when = { code = "loinc|4548-4" }
then = { action = "send", opens = 3, health_link = "plain" }

[[profile]]
id = "passcode"
when = { code = "loinc|24323-8" }
then = { action = "send", opens = 3, health_link = "passcode" }

[[profile]]
id = "asks"
when = { code = "loinc|58410-2" }
then = { action = "send", opens = 3, health_link = "plain", verify = "question" }

[[profile]]
id = "once"
when = { code = "loinc|718-7" }
then = { action = "send", opens = 1, health_link = "plain" }

[[profile]]
id = "silent"
when = { code = "loinc|2345-7" }
then = { action = "send", opens = 3 }
"#;

const PLAIN: &str = "4548-4";
const PASSCODE: &str = "24323-8";
/// Nobody's.
const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// More than any file of these tests has.
const EMBED: u64 = 1_000_000;

async fn clinic() -> Clinic {
    Clinic::spawn(Wishes { rules: RULES.to_owned(), ..Wishes::default() }).await
}

pub(super) fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// What the opened page is told to offer; null where nothing is.
pub(super) async fn offer_of(link: &str) -> Value {
    let mut holder = Holder::new(link);
    let (granted, plain) = holder.claim_and_read().await;
    assert!(plain == paper());
    let card = granted.files.iter().find(|file| file.media == MediaType::HealthLink);
    let offer = match card {
        Some(file) => {
            let sealed = holder.file(file.number, None).await;
            let card = holder.decrypt(&granted, file, &sealed.bytes).expect("the card opens");
            serde_json::from_slice(&card).expect("the card is JSON")
        }
        None => Value::Null,
    };
    assert_eq!(holder.receipt(ReceiptOutcome::Decrypted).await, StatusCode::NO_CONTENT);
    offer
}

fn shlink(offer: &Value) -> String {
    offer["shlink"].as_str().expect("a link is offered").to_owned()
}

pub(super) fn payload(offer: &Value) -> Value {
    let link = shlink(offer);
    let text = link.strip_prefix("shlink:/").expect("a SMART Health Link");
    serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url")).expect("JSON")
}

fn url(offer: &Value) -> String {
    payload(offer)["url"].as_str().expect("a URL").to_owned()
}

/// One app asks for the manifest, from an address of its own on loopback.
async fn ask(number: u8, url: &str, body: &Value) -> Answer {
    let address = IpAddr::V4(Ipv4Addr::new(127, 79, 1, number));
    let client = web_client::settings().local_address(address).build().expect("a plain client can be built");
    let request = client.post(url).header(CONTENT_TYPE, "application/json").header(ORIGIN, "https://app.example");
    let answer = request.body(body.to_string()).send().await.expect("the server answers");
    assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let status = answer.status();
    let bytes = answer.bytes().await.expect("the answer is whole");
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

async fn get(url: &str) -> (StatusCode, Option<String>, Vec<u8>) {
    let answer = web_client::new().get(url).send().await.expect("the server answers");
    let kind = answer.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().expect("ASCII").to_owned());
    (answer.status(), kind, answer.bytes().await.expect("the answer is whole").to_vec())
}

fn location(manifest: &Answer) -> String {
    assert_eq!(manifest.status, StatusCode::OK, "{}", manifest.body);
    manifest.body["files"][0]["location"].as_str().expect("a location").to_owned()
}

fn kept(clinic: &Clinic, name: &str, bytes: &[u8]) -> PathBuf {
    let path = clinic.folder.join(name);
    std::fs::write(&path, bytes).expect("the clinic's folder takes files");
    path
}

async fn what_the_audit_says(clinic: &Clinic) -> Vec<Value> {
    let shown = clinic.show(&clinic.deliveries().await[0].id).await;
    shown.audit.into_iter().filter(|line| line["event"] == "health_link").collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs readers from npm and PyPI; scripts/test has them"]
async fn foreign_readers_find_the_very_document_until_the_link_is_revoked() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", PLAIN, &paper()).await;
    let offer = offer_of(&link).await;
    let said = payload(&offer);
    assert_eq!((&said["flag"], &said["v"], &offer["passcode"]), (&Value::Null, &json!(1), &Value::Null));
    assert!(url(&offer).len() <= 128 && url(&offer).rsplit('/').next().unwrap().len() == 43);

    let viewed = health_apps::view(&shlink(&offer), None).await;
    assert_eq!(viewed["pdfs"], json!([BASE64.encode(&paper())]), "{viewed}");

    let manifest = ask(1, &url(&offer), &json!({"recipient": "Ana"})).await;
    assert_eq!(manifest.body["status"], "finalized");
    assert_eq!(manifest.body["files"][0]["contentType"], "application/fhir+json");
    let place = location(&manifest);
    assert!(!place.contains(url(&offer).rsplit('/').next().unwrap()), "the place tells the id");
    let (status, kind, jwe) = get(&place).await;
    assert_eq!((status, kind.as_deref()), (StatusCode::OK, Some("application/jose")));
    let embedded = ask(1, &url(&offer), &json!({"recipient": "Ana", "embeddedLengthMax": EMBED})).await;
    assert_eq!(embedded.body["files"][0]["embedded"].as_str().unwrap().as_bytes(), jwe);
    assert_eq!(embedded.body["files"][0]["location"], Value::Null);

    let (key, file) = (said["key"].as_str().unwrap(), kept(&clinic, "file.jwe", &jwe));
    let by_jose = health_apps::decrypt_with_jose(key, &file).await;
    assert_eq!(by_jose["header"], json!({"alg": "dir", "enc": "A256GCM", "cty": "application/fhir+json"}));
    let bundle = by_jose["text"].as_str().unwrap();
    assert_eq!(health_apps::decrypt_with_jwcrypto(key, &file).await, bundle.as_bytes());
    assert!(!bundle.contains("Garcia") && !bundle.contains("Ana") && !bundle.contains(PLAIN), "it names the patient");

    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    assert_eq!(shown.opened, Some(1), "what an app asks for is no opening");
    clinic.forward(Duration::from_mins(31));
    assert_eq!(get(&place).await.0, StatusCode::NOT_FOUND, "a place is told for an hour at most");
    let place = location(&ask(1, &url(&offer), &json!({"recipient": "Ana"})).await);
    clinic.desk().revoke(&clinic.only_delivery().await.id, None).await.unwrap();
    assert_eq!(get(&place).await.0, StatusCode::NOT_FOUND);
    assert_eq!(health_apps::view(&shlink(&offer), None).await["problem"], "SHLManifestNotFoundError");
    clinic.settle().await;
    assert_eq!(clinic.blobs(), Vec::<String>::new(), "what was encrypted for the app is deleted with the link");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs readers from npm; scripts/test has them"]
async fn a_passcode_stands_beside_the_code_and_five_wrong_ones_end_it_whoever_sends_them() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", PASSCODE, &paper()).await;
    let offer = offer_of(&link).await;
    let passcode = offer["passcode"].as_str().unwrap().to_owned();
    assert!(passcode.len() == 8 && payload(&offer)["flag"] == "P");

    let viewed = health_apps::view(&shlink(&offer), Some(&passcode)).await;
    assert_eq!(viewed["pdfs"], json!([BASE64.encode(&paper())]), "{viewed}");
    let wrong = if passcode == "00000000" { "00000001" } else { "00000000" };
    let refused = health_apps::view(&shlink(&offer), Some(wrong)).await;
    assert_eq!(refused["problem"], "SHLInvalidPasscodeError");
    let with = |passcode: &str| json!({"recipient": "Ana", "passcode": passcode});
    let unasked = ask(1, &url(&offer), &json!({"recipient": "Ana"})).await;
    let left = (StatusCode::UNAUTHORIZED, json!({"remainingAttempts": 4}));
    assert_eq!((unasked.status, unasked.body), left, "to send none is no wrong one");
    assert_eq!(ask(1, &url(&offer), &with(&passcode)).await.status, StatusCode::OK, "a right one is not counted");

    let (at, body) = (url(&offer), with(wrong));
    let all = join_all((10..90).map(|number| ask(number, &at, &body))).await;
    let looked_at = all.iter().filter(|one| one.status == StatusCode::UNAUTHORIZED).count();
    assert_eq!(looked_at, 4);
    assert!(all.iter().all(|one| [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&one.status)));
    assert_eq!(ask(1, &url(&offer), &with(&passcode)).await.status, StatusCode::NOT_FOUND);
    let viewed = health_apps::view(&shlink(&offer), Some(&passcode)).await;
    assert_eq!(viewed["problem"], "SHLManifestNotFoundError");
    assert!(Holder::new(&link).read().await == paper(), "the link itself opens as before");

    let told = what_the_audit_says(&clinic).await;
    let count = |what: &str| told.iter().filter(|line| line["health_link"] == what).count();
    assert_eq!((count("made"), count("given"), count("refused")), (1, 2, 5));
    assert!(!serde_json::to_string(&told).unwrap().contains("\"Ana\""), "the audit keeps a stranger's words");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_plain_link_that_opens_more_than_once_and_holds_pdfs_offers_one() {
    let clinic = clinic().await;
    for (address, code) in [("once@example.test", "718-7"), ("silent@example.test", "2345-7")] {
        let link = clinic.sent(address, code, &paper()).await;
        assert_eq!(offer_of(&link).await, Value::Null, "{code}");
    }
    let asks = clinic.sent("asks@example.test", "58410-2", &paper()).await;
    let mut holder = Holder::new(&asks);
    holder.answer("question", "1984-05-06").await;
    assert_eq!(holder.open().await.granted().files.len(), 1);

    let too_large = [paper(), vec![b' '; 5 * 1024 * 1024]].concat();
    let large = clinic.sent("large@example.test", PLAIN, &too_large).await;
    assert_eq!(Holder::new(&large).read_all().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_offer_it_no_more_end_it_and_leave_the_link() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", PLAIN, &paper()).await;
    let offer = offer_of(&link).await;
    let body = json!({"recipient": "Ana"});
    assert_eq!(ask(1, &url(&offer), &body).await.status, StatusCode::OK);
    let staff = Staff::hire(&clinic.config_path);
    staff.brings_into_force(&RULES.replace("health_link = \"plain\"", "health_link = \"never\""));
    clinic.settle().await;
    assert_eq!(ask(1, &url(&offer), &body).await.status, StatusCode::NOT_FOUND);
    assert!(Holder::new(&link).read().await == paper());
    let told = what_the_audit_says(&clinic).await;
    assert!(told.iter().any(|line| line["health_link"] == "withdrawn"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_malformed_or_ended_answers_alike_and_apps_are_let_in_to_nothing_else() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", PLAIN, &paper()).await;
    let offer = offer_of(&link).await;
    let at = |id: &str| format!("{}/shl/{id}", clinic.url);
    let body = json!({"recipient": "Ana", "passcode": "12345678"});
    let unknown = ask(1, &at(UNKNOWN), &body).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for id in ["x", "%00", &"A".repeat(500), "..%2f"] {
        assert!(ask(1, &at(id), &body).await == unknown, "{id}");
    }
    assert_eq!(ask(1, &url(&offer), &json!({})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask(1, &url(&offer), &json!({"recipient": " "})).await.status, StatusCode::BAD_REQUEST);
    for place in ["x", UNKNOWN] {
        assert_eq!(get(&format!("{}/shl/files/{place}", clinic.url)).await.0, StatusCode::NOT_FOUND);
    }

    let preflight = |path: String| async move {
        let request = web_client::new().request(Method::OPTIONS, path).header(ORIGIN, "https://app.example");
        let asked = request.header("Access-Control-Request-Method", "POST").send().await.expect("the server answers");
        (asked.status(), asked.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).is_some())
    };
    for path in [at(UNKNOWN), format!("{}/shl/files/x", clinic.url)] {
        assert_eq!(preflight(path).await, (StatusCode::NO_CONTENT, true));
    }
    let id = link.split_once('#').unwrap().0;
    for path in [format!("{id}/begin"), format!("{id}/open"), id.to_owned(), format!("{}/check", clinic.url)] {
        let (status, lets_in) = preflight(path.clone()).await;
        assert!(!lets_in && status.is_client_error(), "{path}: {status}");
    }

    clinic.forward(Duration::from_hours(100));
    assert!(ask(1, &url(&offer), &body).await == unknown, "it ends with the link, swept or not");
    clinic.settle().await;
    assert!(ask(1, &url(&offer), &body).await == unknown);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs readers from npm; scripts/test has them"]
async fn the_opened_page_shows_a_square_that_a_camera_reads_and_the_passcode() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", PASSCODE, &paper()).await;
    let offer = offer_of(&link).await;
    let browser = Browser::open(PHONE).await;
    browser.goto(&link).await.unwrap();
    wait::until_async("the landing", async || browser.find(By::Css("button.primary")).await.ok()).await;
    assert_eq!(browser.find(By::Css("h1")).await.unwrap().text().await.unwrap(), "You have a document");
    browser.press("button.primary").await;
    browser.press(".offer summary").await;
    let square = wait::until_async("the square", async || browser.find(By::Css(".offer svg.square")).await.ok()).await;
    for scheme in [ColorScheme::Light, ColorScheme::Dark] {
        browser.prefer(scheme).await;
        let picture = clinic.folder.join("square.png");
        square.screenshot(&picture).await.unwrap();
        assert_eq!(health_apps::read_square(&picture).await, Some(shlink(&offer)));
        axe::assert_accessible(&browser, "the offer").await;
    }
    let shown = browser.find(By::Css(".offer .passcode")).await.unwrap().text().await.unwrap();
    assert_eq!(Some(shown.as_str()), offer["passcode"].as_str());
    let open = browser.find(By::Css(".offer a.button")).await.unwrap();
    assert_eq!(open.attr("href").await.unwrap(), Some(shlink(&offer)));
    browser.keep_screen("reading-health-link").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());

    browser.press(".tool.done").await;
    browser.press(".told .primary").await;
    wait::until_async("the page to be clear", async || {
        let source = browser.source().await.ok()?;
        (!source.contains("shlink:")).then_some(())
    })
    .await;
}
