//! What may be attached, and how it is fetched: judged before anything is committed, and never lost.

use std::time::Duration;

use chartseal::base::MediaType;
use data_encoding::BASE64;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::support::clinic::{Clinic, Wishes, real_now};
use crate::support::front::{Front, Reply};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf};

const HBA1C: &str = "4548-4";
const PNG_HEAD: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
const JPEG_HEAD: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
const TEXT: &str = "Sodium <5 mmol/l\r\nGlucose 90 mg/dl, within the usual range, Grüße\r\n";

/// A file with this beginning.
fn beginning_with(head: &[u8]) -> Vec<u8> {
    [head, &[0x5a; 400]].concat()
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %", "Second page"])
}

fn inline(kind: &str, bytes: &[u8]) -> Value {
    json!({"contentType": kind, "data": BASE64.encode(bytes), "size": bytes.len()})
}

fn referred(url: &str) -> Value {
    json!({"contentType": "application/pdf", "url": url})
}

fn address(number: usize) -> String {
    format!("form-{number}@example.test")
}

/// Posts one report with these forms for a patient of its own; its id.
async fn report_with(clinic: &Clinic, number: usize, forms: Value) -> String {
    let patient = format!("form-{number}");
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", &address(number))).await;
    let mut report = ehr::report(&patient, HBA1C, &real_now(), b"");
    report["presentedForm"] = forms;
    clinic.lab().post(&report).await
}

/// Opens what was mailed to the patient of this number: its bytes and type.
async fn opened(clinic: &Clinic, number: usize) -> (Vec<u8>, MediaType) {
    let mail = clinic.mailbox.wait_for(&address(number), 1).await;
    let (granted, plain) = Holder::new(&mail.link()).claim_and_read().await;
    (plain, granted.files[0].media)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_can_show_arrives_as_it_was() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let wrapped = clinic.lab().post(&ehr::binary(&paper())).await;
    let mut hashed = inline("application/pdf", &paper());
    hashed["hash"] = json!(BASE64.encode(&Sha1::digest(paper())));
    let (png, jpeg, text) = (beginning_with(PNG_HEAD), beginning_with(JPEG_HEAD), TEXT.repeat(5).into_bytes());
    let cases: [(Value, Vec<u8>, MediaType); 7] = [
        (json!([inline("application/pdf", &paper())]), paper(), MediaType::Pdf),
        (json!([hashed]), paper(), MediaType::Pdf),
        (json!([referred(&format!("Binary/{wrapped}"))]), paper(), MediaType::Pdf),
        (json!([inline("image/png", &png)]), png.clone(), MediaType::Png),
        (json!([inline("image/jpeg", &jpeg)]), jpeg.clone(), MediaType::Jpeg),
        (json!([inline("text/plain", &text)]), text.clone(), MediaType::Text),
        (json!([inline("text/plain", &text), inline("application/pdf", &paper())]), paper(), MediaType::Pdf),
    ];
    for (number, (forms, _, _)) in cases.iter().enumerate() {
        report_with(&clinic, number, forms.clone()).await;
    }
    clinic.hear_and_settle().await;
    for (number, (_, bytes, media)) in cases.iter().enumerate() {
        assert!(opened(&clinic, number).await == (bytes.clone(), *media), "case {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_reference_is_sent_like_a_report() {
    let rules = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "letters"
when = { code = "loinc|11502-2" }
then = { action = "send" }
"#;
    let clinic = Clinic::spawn(Wishes { rules: rules.to_owned(), ..Wishes::default() }).await;
    clinic.lab().update(&ehr::patient("form-0", "Garcia", "Ana", "1984-05-06", &address(0))).await;
    clinic.lab().post(&ehr::document("form-0", "11502-2", &real_now(), &paper())).await;
    clinic.hear_and_settle().await;
    assert!(opened(&clinic, 0).await == (paper(), MediaType::Pdf));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_12_what_is_not_as_declared_or_cannot_be_shown_goes_to_review_with_its_reason() {
    let more = "[limits]\nattachment_bytes_max = \"4KiB\"".to_owned();
    let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
    let with = |key: &str, value: Value| {
        let mut form = inline("application/pdf", &paper());
        form[key] = value;
        json!([form])
    };
    let large = [paper(), vec![b' '; 5000]].concat();
    let html = b"<!doctype html><html><body><script>alert(1)</script></body></html>";
    let cases = [
        ("SHA-1 hash differs", with("hash", json!(BASE64.encode(&[7; 20])))),
        ("size differs", with("size", json!(paper().len() + 1))),
        ("size differs", with("size", json!(paper().len() - 1))),
        (
            "an HTML document that cannot be carried over word for word: it holds a script",
            json!([inline("text/html", html)]),
        ),
        ("a web page", json!([inline("application/pdf", html)])),
        ("a web page", json!([inline("text/plain", html)])),
        ("an archive", json!([inline("application/msword", b"PK\x03\x04 a document of an office")])),
        ("an SVG picture", json!([inline("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>")])),
        ("carries none", json!([{"contentType": "application/pdf", "title": "only a title"}])),
        ("carries none", json!([])),
        ("larger than 4096 bytes", json!([inline("application/pdf", &large)])),
        ("neither the EHR nor", json!([referred("https://elsewhere.example/report.pdf")])),
        ("neither the EHR nor", json!([referred("http://169.254.169.254/latest/meta-data")])),
        ("neither http nor https", json!([referred("file:///etc/passwd")])),
    ];
    let mut reports = Vec::new();
    for (number, (_, forms)) in cases.iter().enumerate() {
        reports.push(report_with(&clinic, number, forms.clone()).await);
    }
    clinic.hear_and_settle().await;
    for ((why, forms), report) in cases.iter().zip(&reports) {
        let brief = clinic.delivery_of(report).await;
        assert_eq!(brief.state, "review", "{why}: {}", forms[0]["contentType"]);
        assert!(brief.note.contains(why), "{why}: {}", brief.note);
    }
    assert!(clinic.mailbox.mails().is_empty());
    assert_eq!(clinic.blobs(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_binary_is_waited_for_and_then_a_person_looks() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let never = report_with(&clinic, 0, json!([referred("Binary/never-was")])).await;
    let late = report_with(&clinic, 1, json!([referred("Binary/comes-later")])).await;
    clinic.hear_and_settle().await;
    assert_eq!(
        (clinic.delivery_of(&never).await.state, clinic.delivery_of(&late).await.state),
        ("recorded", "recorded")
    );
    let mut binary = ehr::binary(&paper());
    binary["id"] = json!("comes-later");
    clinic.lab().update(&binary).await;
    for _ in 0..9 {
        clinic.hear_and_settle().await;
    }
    assert!(opened(&clinic, 1).await == (paper(), MediaType::Pdf));
    let brief = clinic.delivery_of(&never).await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("does not have the attachment"), "{}", brief.note);
}

/// A clinic behind the double.
async fn fronted() -> (Clinic, Front) {
    let ehr = ehr::lease().await;
    let front = Front::start(ehr.base_url());
    let wishes = Wishes { ehr_base: Some(front.base_url.clone()), ..Wishes::default() };
    (Clinic::spawn_with(wishes, ehr, Mailbox::start(Manner::Plain).await).await, front)
}

const PDF: &str = "application/pdf";

fn raw(body: Vec<u8>) -> Reply {
    Reply::Whole { status: 200, kind: PDF, body }
}

fn refusal(status: u16) -> Reply {
    Reply::Whole { status, kind: "text/plain", body: b"no".to_vec() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_binary_is_asked_for_by_its_type_and_streamed() {
    let (clinic, front) = fronted().await;
    let long = [paper(), vec![b' '; 3 * 1024 * 1024]].concat();
    front.script("Binary/raw", [raw(long.clone())]);
    front.script("Binary/slow", [Reply::Slowly { kind: PDF, body: paper() }]);
    report_with(&clinic, 0, json!([referred("Binary/raw")])).await;
    report_with(&clinic, 1, json!([referred("Binary/slow")])).await;
    clinic.hear_and_settle().await;
    assert!(opened(&clinic, 0).await == (long, MediaType::Pdf));
    assert!(opened(&clinic, 1).await == (paper(), MediaType::Pdf));
    let asked = front.received("Binary/raw");
    assert!(asked[0].header("Accept").unwrap().starts_with("application/pdf, application/fhir+json;q=0.9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cut_half_way_leaves_nothing_behind_and_is_fetched_again() {
    let (clinic, front) = fronted().await;
    let long = [paper(), vec![b' '; 300_000]].concat();
    let cut = Reply::CutHalfWay { kind: PDF, body: long.clone() };
    front.script("Binary/cut", [cut.clone(), cut, raw(long.clone())]);
    report_with(&clinic, 0, json!([referred("Binary/cut")])).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.state, "recorded");
    assert_eq!(clinic.blobs(), Vec::<String>::new(), "half a report lies on the disk");
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    assert!(opened(&clinic, 0).await == (long, MediaType::Pdf));
    assert_eq!((front.received("Binary/cut").len(), clinic.blobs().len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_fails_or_refuses_is_asked_again_and_the_report_is_sent_in_the_end() {
    let (clinic, front) = fronted().await;
    front.script("Binary/ill", [refusal(401), refusal(503), refusal(500), refusal(429), raw(paper())]);
    report_with(&clinic, 0, json!([referred("Binary/ill")])).await;
    for _ in 0..5 {
        clinic.hear_and_settle().await;
    }
    assert!(opened(&clinic, 0).await == (paper(), MediaType::Pdf));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_lasts_ends_in_review_and_names_itself() {
    let (clinic, front) = fronted().await;
    front.script("Binary/shut", [refusal(401)]);
    report_with(&clinic, 0, json!([referred("Binary/shut")])).await;
    for _ in 0..10 {
        clinic.hear_and_settle().await;
    }
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("401") && brief.note.contains("credentials"), "{}", brief.note);
    assert_eq!(front.received("Binary/shut").len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_12_a_redirect_is_not_followed_and_a_login_page_is_not_a_report() {
    let (clinic, front) = fronted().await;
    let elsewhere = Front::start(clinic.ehr.base_url());
    elsewhere.script("Binary/stolen", [raw(paper())]);
    front.script("Binary/moved", [Reply::Redirect { to: format!("{}/Binary/stolen", elsewhere.base_url) }]);
    let page = b"<html><body>Please log in</body></html>".to_vec();
    front.script("Binary/login", [Reply::Whole { status: 200, kind: "text/html", body: page }]);
    let lying = b"<html><body>Please log in</body></html>".to_vec();
    front.script("Binary/lying", [Reply::Whole { status: 200, kind: PDF, body: lying }]);
    let moved = report_with(&clinic, 0, json!([referred("Binary/moved")])).await;
    let login = report_with(&clinic, 1, json!([referred("Binary/login")])).await;
    let lying = report_with(&clinic, 2, json!([referred("Binary/lying")])).await;
    for _ in 0..10 {
        clinic.hear_and_settle().await;
    }
    for (report, why) in [(&moved, "redirect"), (&login, "not FHIR JSON"), (&lying, "a web page")] {
        let brief = clinic.delivery_of(report).await;
        assert_eq!(brief.state, "review", "{why}");
        assert!(brief.note.contains(why), "{why}: {}", brief.note);
    }
    assert!(elsewhere.received("Binary/stolen").is_empty() && clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amended_report_whose_file_changed_under_the_same_address_is_sent_again() {
    let (clinic, front) = fronted().await;
    front.script("Binary/same", [raw(paper())]);
    let report = report_with(&clinic, 0, json!([referred("Binary/same")])).await;
    clinic.hear_and_settle().await;
    assert!(opened(&clinic, 0).await == (paper(), MediaType::Pdf));
    let corrected = pdf::with_pages(&["HbA1c 9.4 %"]);
    front.script("Binary/same", [raw(corrected.clone())]);
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!("corrected")).await;
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for(&address(0), 2).await;
    let (_, plain) = Holder::new(&mail.link()).claim_and_read().await;
    assert!(plain == corrected);
    // Again under the same address, and the status says what it said before.
    let once_more = pdf::with_pages(&["HbA1c 7.4 %"]);
    front.script("Binary/same", [raw(once_more.clone())]);
    index_again(&clinic, &report, "twice").await;
    let mail = clinic.mailbox.wait_for(&address(0), 3).await;
    let (_, plain) = Holder::new(&mail.link()).claim_and_read().await;
    assert!(plain == once_more, "the second correction was silent");
}

/// A new version in which nothing changed that Chartseal can see without the file.
async fn index_again(clinic: &Clinic, report: &str, title: &str) {
    clinic.lab().change("DiagnosticReport", report, |report| report["presentedForm"][0]["title"] = json!(title)).await;
    clinic.hear_and_settle().await;
}

/// A clinic that sent one corrected report, known by the address of its file alone.
async fn corrected() -> (Clinic, Front, String) {
    let (clinic, front) = fronted().await;
    front.script("Binary/same", [raw(paper())]);
    let report = report_with(&clinic, 0, json!([referred("Binary/same")])).await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!("corrected")).await;
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for(&address(0), 1).await;
    (clinic, front, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_report_whose_file_is_the_same_is_silent_and_read_once_for_each_version() {
    let (clinic, front, report) = corrected().await;
    let before = clinic.only_delivery().await;
    assert_eq!(front.received("Binary/same").len(), 1);
    for title in ["indexed", "and again"] {
        index_again(&clinic, &report, title).await;
    }
    // Readings of the same version ask for nothing.
    clinic.hear_and_settle().await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!("amended")).await;
    clinic.hear_and_settle().await;
    let after = clinic.only_delivery().await;
    assert_eq!((after.id, after.state), (before.id, "live"));
    assert_ne!(after.version, before.version);
    assert_eq!((clinic.mails_to(&address(0)).len(), front.received("Binary/same").len()), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_run_over_old_reports_asks_for_no_file() {
    let (clinic, front, report) = corrected().await;
    clinic.forward(Duration::from_hours(40 * 24));
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "expired");
    index_again(&clinic, &report, "indexed").await;
    assert_eq!((clinic.mails_to(&address(0)).len(), front.received("Binary/same").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_whose_file_does_not_come_is_waited_for_and_never_taken_for_silence() {
    let (clinic, front, report) = corrected().await;
    let other = pdf::with_pages(&["HbA1c 7.4 %"]);
    front.script("Binary/same", [refusal(503), refusal(503), raw(other.clone())]);
    for title in ["corrected again", "indexed"] {
        index_again(&clinic, &report, title).await;
    }
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for(&address(0), 2).await;
    let (_, plain) = Holder::new(&mail.link()).claim_and_read().await;
    assert!(plain == other);
    // One that is refused for good is a change that a person must look at.
    front.script("Binary/same", [refusal(400)]);
    index_again(&clinic, &report, "corrected a third time").await;
    assert_eq!(clinic.delivery_of(&report).await.state, "review");
}
