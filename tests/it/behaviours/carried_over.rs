//! RTF, HTML and CDA reach the patient word for word, on a page that every phone shows; or a person looks.

use chartseal::base::MediaType;
use serde_json::json;
use thirtyfour::By;

use super::whose_paper::{ANA, post};
use super::written::see;
use crate::support::browser::{Browser, Window};
use crate::support::clinic::{Clinic, Wishes};
use crate::support::holder::Holder;
use crate::support::wait;

const USUAL_PHONE: Window = Window { width_pixels: 360, height_pixels: 720 };
const RTF: &str = "{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Arial;}}\\pard Patient: Garcia, Ana\\par HbA1c {\\b 5.4} %, Gr\\'fc\\'dfe\\par\
     \\trowd\\cellx1000\\cellx2000\\pard\\intbl Sodium\\cell 140 mmol/l\\cell\\row\\pard\\par}";
const HTML: &str = "<!DOCTYPE html><html lang=\"de\"><head><meta charset=\"utf-8\"><title>x</title></head><body><h1>Befund</h1>\
     <p>Patient: Garcia, Ana, geb. 06.05.1984</p><ul><li>Kalium <b>5,9</b> mmol/l &lt;b&gt;</li></ul></body></html>";
const CDA: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>Discharge summary</title>\
     <recordTarget><patientRole><id root=\"1.2\" extension=\"4711\"/><patient><name><given>Ana</given><family>Garcia</family></name>\
     <birthTime value=\"19840506\"/></patient></patientRole></recordTarget><component><structuredBody><component><section>\
     <title>Results</title><text><table><thead><tr><th>Test</th><th>Value</th></tr></thead><tbody><tr><td>Sodium</td><td>140 mmol/l</td></tr>\
     </tbody></table><paragraph>All well.</paragraph></text></section></component></structuredBody></component></ClinicalDocument>";

#[tokio::test(flavor = "multi_thread")]
async fn rtf_html_and_cda_reach_the_patient_word_for_word() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let cases = [
        ("text/rtf", RTF, vec!["HbA1c", "<strong>", "5.4", "Gr\u{fc}\u{df}e", "140 mmol/l", "an RTF document"]),
        ("text/html", HTML, vec!["Befund", "geb. 06.05.1984", "5,9", "&#60;b&#62;", "lang=\"de\"", "an HTML document"]),
        (
            "application/hl7-cda+xml",
            CDA,
            vec!["Discharge summary", "1984-05-06", "140 mmol/l", "All well.", "a CDA document"],
        ),
    ];
    for (n, (kind, text, words)) in cases.iter().enumerate() {
        let report = post(&clinic, kind, text.as_bytes()).await;
        clinic.hear_and_settle().await;
        let brief = clinic.delivery_of(&report).await;
        assert_eq!(brief.state, "live", "{kind}: {}", brief.note);
        let link = clinic.mailbox.wait_for(ANA, n + 1).await.link();
        let (granted, bytes) = Holder::new(&link).claim_and_read().await;
        assert_eq!(granted.files[0].media, MediaType::Html);
        let page = String::from_utf8(bytes).unwrap();
        for word in words {
            assert!(page.contains(word), "{kind}: {word} is not in {page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carried_document_is_shown_on_a_phone_and_to_a_reader_aloud() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    post(&clinic, "text/xml", CDA.as_bytes()).await;
    clinic.hear_and_settle().await;
    let browser = Browser::open(USUAL_PHONE).await;
    browser.goto(&clinic.mailbox.wait_for(ANA, 1).await.link()).await.unwrap();
    browser.press("button.primary").await;
    wait::until_async("the document", async || browser.find(By::Css("article.paper table.carried")).await.ok()).await;
    let shown = browser.find(By::Css("article.paper")).await.unwrap().text().await.unwrap();
    for text in ["Discharge summary", "Ana Garcia", "Results", "Sodium", "140 mmol/l", "All well."] {
        assert!(shown.contains(text), "{text} is not shown: {shown}");
    }
    let faults = browser.run(include_str!("../../fixtures/accessible.js")).await;
    assert_eq!(faults, json!([]));
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());
    see(&browser, "carried").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_over_whole_waits_for_a_person_with_its_reason() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let cases = [
        (
            "text/rtf",
            RTF.replace("{\\b 5.4}", "{\\strike 5.4} 6.4"),
            "RTF document that cannot be carried over word for word: it holds text that is crossed out",
        ),
        ("text/rtf", RTF.trim_end_matches('}').to_owned(), "it is cut short or malformed"),
        ("text/html", HTML.replace("<ul>", "<img src=\"x\"><ul>"), "it holds a picture"),
        ("text/html", HTML.replace("</body></html>", ""), "it is cut short or malformed"),
        ("text/xml", CDA.replace("<text>", "<text nullFlavor=\"MSK\">"), "marked as absent or withheld"),
        ("text/xml", CDA.replace("Garcia", "Quillfeather").replace("Ana", "Luis"), "the name in it differs"),
    ];
    for (kind, text, why) in &cases {
        let report = post(&clinic, kind, text.as_bytes()).await;
        clinic.hear_and_settle().await;
        let held = clinic.delivery_of(&report).await;
        assert_eq!(held.state, "review", "{why}");
        assert!(held.note.contains(why), "{why}: {}", held.note);
        assert!(!held.note.contains("Quillfeather") && !held.note.contains("5.4"));
    }
    assert_eq!(clinic.mails_to(ANA).len(), 0);
    assert_eq!(clinic.blobs(), Vec::<String>::new());
}
