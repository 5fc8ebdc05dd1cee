//! The page at which anybody hears whether a message is from us, and nothing about whom it is for.

use std::net::{IpAddr, Ipv4Addr};

use chartseal::base::{LinkId, Reference};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::json;
use thirtyfour::By;

use crate::support::browser::{Browser, ColorScheme, DESKTOP, PHONE, Window};
use crate::support::clinic::{Clinic, Wishes};
use crate::support::holder::{Holder, WholeLink};
use crate::support::planted::{self, assert_absent};
use crate::support::{axe, ehr, pdf, wait, web_client};

const HBA1C: &str = "4548-4";
/// A usual phone.
const USUAL_PHONE: Window = Window { width_pixels: 360, height_pixels: 720 };
const PLANTED: [planted::Planted; 4] = [planted::FAMILY, planted::GIVEN, planted::EMAIL, planted::REPORT_TEXT];

/// What somebody is answered.
#[derive(PartialEq, Debug)]
struct Answer {
    status: StatusCode,
    /// Without the date; in the order of their names, for they come in any.
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn says(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    /// The same about this reference, with its letters struck out.
    fn without(mut self, reference: &str) -> Self {
        self.body = self.body.replace(reference, "........-");
        self
    }
}

/// Types this, from the address of one network on loopback.
async fn typed(clinic: &Clinic, network: u8, reference: &str) -> Answer {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("reference", reference).append_pair("language", "en");
    asked(clinic, network, Method::POST, "application/x-www-form-urlencoded", form.finish()).await
}

async fn asked(clinic: &Clinic, network: u8, method: Method, kind: &str, body: String) -> Answer {
    let address = IpAddr::V4(Ipv4Addr::new(127, 81, network, 1));
    let client = web_client::settings().local_address(address).build().unwrap();
    let request = client.request(method, format!("{}/check", clinic.url)).header(CONTENT_TYPE, kind).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let shown = |headers: &HeaderMap| {
        let kept = headers.iter().filter(|(name, _)| *name != DATE);
        let mut shown: Vec<_> =
            kept.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        shown.sort();
        shown
    };
    Answer { status, headers: shown(answer.headers()), body: answer.text().await.unwrap() }
}

async fn planted_report(clinic: &Clinic) -> String {
    let patient = ehr::new_patient_id();
    let (family, given) = (planted::FAMILY.value, planted::GIVEN.value);
    clinic.lab().update(&ehr::patient(&patient, family, given, "1953-02-27", planted::EMAIL.value)).await;
    let paper = pdf::with_pages(&[planted::REPORT_TEXT.value]);
    clinic.lab().post(&ehr::report(&patient, HBA1C, &crate::support::clinic::real_now(), &paper)).await;
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for(planted::EMAIL.value, 1).await.link()
}

fn reference_of(link: &str) -> Reference {
    Reference::of(&WholeLink::read(link).id)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_answers_yes_from_us_without_saying_about_whom_or_what_became_of_it() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = planted_report(&clinic).await;
    let reference = reference_of(&link);
    let mail = clinic.mailbox.wait_for(planted::EMAIL.value, 1).await;
    assert!(mail.text.contains(reference.as_str()), "the message does not carry it");
    let id = clinic.only_delivery().await.id;
    let before = clinic.show(&id).await.audit.len();

    let yes = typed(&clinic, 1, reference.as_str()).await;
    assert!(yes.status == StatusCode::OK && yes.says("Yes, this message is from us") && yes.says(reference.as_str()));
    assert!(yes.says(&format!("{}/r/", clinic.url)), "it does not say with what the link begins");
    assert_absent("the answer", yes.body.as_bytes(), &PLANTED);
    assert!(!yes.says(link.split_once('#').unwrap().0) && !yes.says("2026") && !yes.says("<script"));
    assert!(yes.headers.iter().all(|(name, _)| *name != SET_COOKIE.as_str()), "whoever asks is marked");
    let cached = yes.headers.iter().find(|(name, _)| name == "cache-control").map(|(_, value)| value.as_str());
    assert_eq!(cached, Some("no-store"));

    // As people type it.
    let typed_so = reference.as_str().to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    assert_eq!(typed(&clinic, 1, &format!(" {typed_so} ")).await, yes);
    assert_eq!(clinic.show(&id).await.audit.len(), before, "who asks leaves a trace with the delivery");

    // Another person's message, and the first once it was opened, and once it was taken back.
    let other = reference_of(&clinic.sent("ben@example.test", HBA1C, &pdf::with_pages(&["5.5 %"])).await);
    let of_other = typed(&clinic, 2, other.as_str()).await.without(other.as_str());
    let yes = yes.without(reference.as_str());
    assert_eq!(of_other, yes, "two messages can be told apart");
    Holder::new(&link).read().await;
    assert_eq!(typed(&clinic, 2, reference.as_str()).await.without(reference.as_str()), yes, "it tells who opened");
    clinic.desk().revoke(&clinic.deliveries().await[0].id, None).await.unwrap();
    clinic.settle().await;
    assert_eq!(typed(&clinic, 2, other.as_str()).await.without(other.as_str()), yes, "it tells what was revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_or_no_reference_hears_so_and_nobody_may_try_many() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let unknown = ["AAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBB"].map(|id| Reference::of(&LinkId::parse(id).unwrap()));
    let [first, second] = &unknown;
    let no = typed(&clinic, 1, first.as_str()).await;
    assert!(no.status == StatusCode::OK && no.says("We do not know this reference") && no.says("+1 555 0100"));
    let other = typed(&clinic, 1, second.as_str()).await;
    assert_eq!(no.without(first.as_str()), other.without(second.as_str()), "two unknown ones can be told apart");

    let shape = typed(&clinic, 2, "hello").await;
    assert!(shape.status == StatusCode::OK && shape.says("This is not a reference of ours"), "{}", shape.body);
    let long = "K7Q4-MD2X".repeat(10);
    for odd in ["", "K7Q4-MD2", "<b>K7Q4</b>", "K7Q4-MD2X; DROP", "\u{202e}K7Q4MD2X", &long] {
        assert_eq!(typed(&clinic, 2, odd).await, shape, "{odd:?} is echoed, or answered otherwise");
    }
    let form = "application/x-www-form-urlencoded";
    let nothing = asked(&clinic, 3, Method::POST, form, String::new()).await;
    assert!(nothing.says("This is not a reference of ours"));
    let wrong = asked(&clinic, 3, Method::POST, "application/json", "{\"reference\":\"K7Q4-MD2X\"}".to_owned()).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let put = asked(&clinic, 3, Method::PUT, form, "reference=K7Q4-MD2X".to_owned()).await;
    assert_eq!(put.status, StatusCode::METHOD_NOT_ALLOWED);

    let mut told = StatusCode::OK;
    for _ in 0..40 {
        told = typed(&clinic, 4, first.as_str()).await.status;
        if told != StatusCode::OK {
            break;
        }
    }
    assert_eq!(told, StatusCode::TOO_MANY_REQUESTS, "one network may try as many as it likes");
    assert_eq!(typed(&clinic, 5, first.as_str()).await.status, StatusCode::OK, "another network waits, too");
    assert!(typed(&clinic, 4, first.as_str()).await.says("Too many tries"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_without_javascript() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let reference = reference_of(&clinic.sent("ana@example.test", HBA1C, &pdf::with_pages(&["5.4 %"])).await);
    let browser = Browser::open(USUAL_PHONE).await;
    browser.cdp().send_raw("Emulation.setScriptExecutionDisabled", json!({"value": true})).await.unwrap();
    browser.goto(&format!("{}/check", clinic.url)).await.unwrap();
    ask(&browser, reference.as_str()).await;
    reads(&browser, "Yes, this message is from us").await;
    browser.keep_screen("check-noscript-360-light").await;
    browser.press("main a").await;
    reads(&browser, "Is this message from us?").await;
    ask(&browser, "AAAA-AAAA").await;
    reads(&browser, "We do not know this reference").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());
    let asked = browser.requests().await;
    let of_ours = asked.iter().filter(|url| url.starts_with(&clinic.url));
    assert!(of_ours.clone().count() > 0 && of_ours.clone().all(|url| !url.contains(".js")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_reads_well_on_phone_and_desktop_and_in_every_language() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let reference = reference_of(&clinic.sent("ana@example.test", HBA1C, &pdf::with_pages(&["5.4 %"])).await);
    let browser = Browser::open(USUAL_PHONE).await;
    browser.goto(&format!("{}/check", clinic.url)).await.unwrap();
    see(&browser, "form", "Is this message from us?").await;
    ask(&browser, reference.as_str()).await;
    see(&browser, "yes", "Yes, this message is from us").await;
    browser.press("main a").await;
    reads(&browser, "Is this message from us?").await;
    ask(&browser, "K7Q4-MD2X").await;
    see(&browser, "no", "We do not know this reference").await;
    browser.press("main a").await;
    reads(&browser, "Is this message from us?").await;
    ask(&browser, "hello").await;
    see(&browser, "shape", "This is not a reference of ours").await;
    for (language, title) in [
        ("es", "¿Es nuestro este mensaje?"),
        ("pl", "Czy ta wiadomość jest od nas?"),
        ("de", "Ist diese Nachricht von uns?"),
        ("fr", "Ce message vient-il de nous"),
    ] {
        browser.press(&format!("a[hreflang={language}]")).await;
        reads(&browser, title).await;
        assert_eq!(browser.run("return document.documentElement.lang").await, json!(language));
        axe::assert_accessible(&browser, &format!("the form in {language}")).await;
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());
}

/// Types it and sends the form with the keyboard.
async fn ask(browser: &Browser, reference: &str) {
    let field = browser.find(By::Id("reference")).await.unwrap();
    field.send_keys(format!("{reference}\u{e007}")).await.unwrap();
}

async fn reads(browser: &Browser, text: &str) {
    wait::until_async(text, async || {
        let found = browser.find(By::Css("h1")).await.ok()?.text().await.ok()?;
        found.contains(text).then_some(())
    })
    .await;
}

/// Keeps what an answer looks like; nothing may be wider than the screen, and nothing keeps people from reading it.
async fn see(browser: &Browser, state: &str, text: &str) {
    reads(browser, text).await;
    for (window, width) in [(PHONE, 320), (USUAL_PHONE, 360), (DESKTOP, 1280)] {
        browser.resize(window).await;
        for (scheme, name) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
            browser.prefer(scheme).await;
            browser.keep_screen(&format!("check-{state}-{width}-{name}")).await;
            axe::assert_accessible(browser, &format!("{state}, {name}, at {width} pixels")).await;
        }
        let wide = browser.run("return document.documentElement.scrollWidth").await;
        assert!(wide.as_i64().unwrap() <= width, "{state} is wider than {width} pixels");
    }
    browser.resize(USUAL_PHONE).await;
    browser.prefer(ColorScheme::Light).await;
}
