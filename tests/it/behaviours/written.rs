//! Behaviour 14 of events: a report without an attachment is written down from its results, or held with a plain reason.

use std::time::Duration;

use chartseal::base::MediaType;
use serde_json::{Map, Value, json};
use thirtyfour::By;

use crate::support::browser::{Browser, ColorScheme, DESKTOP, Window};
use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::ehr;
use crate::support::front::{Front, Reply};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::wait;

const RESULTS: &str = include_str!("../../fixtures/fhir/results.json");
const USUAL_PHONE: Window = Window { width_pixels: 360, height_pixels: 720 };
const ANA: &str = "ana@example.test";

/// What stands at the EHR: the patient, the report, and its results under the names of the fixture.
struct Kept {
    patient: String,
    report: String,
    results: Map<String, Value>,
}

impl Kept {
    fn id(&self, name: &str) -> &str {
        self.results[name].as_str().unwrap()
    }
}

/// Posts the whole fixture for a new patient.
async fn post(clinic: &Clinic, email: &str, change: impl Fn(&mut Value)) -> Kept {
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", email)).await;
    let fixture = RESULTS.replace("Patient/pat-1", &format!("Patient/{patient}"));
    let mut fixture: Value = serde_json::from_str(&fixture).unwrap();
    change(&mut fixture);
    let mut results = Map::new();
    let resources = fixture["resources"].as_array_mut().unwrap();
    // Panels last: they name the others by the ids that the EHR gives.
    resources.sort_by_key(|one| one.get("hasMember").is_some());
    for mut one in resources.drain(..) {
        let name = one["id"].as_str().unwrap().to_owned();
        one.as_object_mut().unwrap().remove("id");
        let id = clinic.lab().post(&renamed(&one, &results)).await;
        results.insert(name, json!(id));
    }
    let mut report = renamed(&fixture["report"], &results);
    report.as_object_mut().unwrap().remove("id");
    report["issued"] = json!(real_now());
    report["code"]["coding"][0]["code"] = json!("4548-4");
    let report = clinic.lab().post(&report).await;
    Kept { patient, report, results }
}

fn renamed(resource: &Value, results: &Map<String, Value>) -> Value {
    let mut text = resource.to_string();
    for (name, id) in results {
        for kind in ["Observation", "Specimen"] {
            text = text.replace(&format!("\"{kind}/{name}\""), &format!("\"{kind}/{}\"", id.as_str().unwrap()));
        }
    }
    serde_json::from_str(&text).unwrap()
}

async fn read(link: &str) -> String {
    let mut holder = Holder::new(link);
    let (granted, bytes) = holder.claim_and_read().await;
    assert_eq!(granted.files.iter().map(|file| file.media).collect::<Vec<_>>(), [MediaType::Html]);
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_a_report_without_an_attachment_is_written_down_from_its_results_on_sqlite() {
    written_down(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_a_report_without_an_attachment_is_written_down_from_its_results_on_postgresql() {
    written_down(Database::Postgres).await;
}

async fn written_down(database: Database) {
    let clinic = Clinic::spawn(Wishes { database, ..Wishes::default() }).await;
    let kept = post(&clinic, ANA, |_| {}).await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    let browser = Browser::open(USUAL_PHONE).await;
    browser.goto(&link).await.unwrap();
    browser.press("button.primary").await;
    wait::until_async("the document", async || browser.find(By::Css("article.paper table")).await.ok()).await;
    let shown = browser.find(By::Css("article.paper")).await.unwrap().text().await.unwrap();
    for text in [
        "Ana Garcia",
        "6 May 1984",
        "Central Laboratory <North>",
        "5.4 mmol/l",
        "Critically low",
        "1 : 160",
        "> 32     R",
    ] {
        assert!(shown.contains(text), "{text} is not shown");
    }
    assert_is_accessible(&browser).await;
    if database == Database::Sqlite {
        see(&browser, "page").await;
    }
    let delivery = clinic.delivery_of(&kept.report).await;
    assert!(clinic.show(&delivery.id).await.is_written_from_results);
    let saved = String::from_utf8(browser.save_copy_as("html").await).unwrap();
    assert!(saved.starts_with("<!doctype html>") && saved.contains("Ana Garcia"));
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());
    wait::until_async("the receipt to spend the only opening", async || {
        (clinic.delivery_of(&kept.report).await.state == "spent").then_some(())
    })
    .await;

    // The copy alone, as another doctor opens it.
    let file = clinic.folder.join("copy.html");
    std::fs::write(&file, &saved).unwrap();
    browser.goto(&format!("file://{}", file.display())).await.unwrap();
    wait::until_async("the copy", async || browser.find(By::Css("main.paper table")).await.ok()).await;
    assert_is_accessible(&browser).await;
    if database == Database::Sqlite {
        see(&browser, "copy").await;
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

/// Keeps what it looks like on both screens in both schemes. Nothing may be wider than the screen.
pub(super) async fn see(browser: &Browser, name: &str) {
    for (window, width) in [(USUAL_PHONE, 360), (DESKTOP, 1280)] {
        browser.resize(window).await;
        for (scheme, shade) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
            browser.prefer(scheme).await;
            let whole = "document.documentElement.scrollHeight";
            let height = browser.run(&format!("return {whole}")).await.as_u64().unwrap();
            browser.resize(Window { height_pixels: u32::try_from(height).unwrap(), ..window }).await;
            browser.keep_screen(&format!("results-{name}-{width}-{shade}")).await;
            browser.resize(window).await;
        }
        let wide = browser.run("return document.documentElement.scrollWidth").await;
        assert!(wide.as_i64().unwrap() <= width, "{name} is wider than {width} pixels");
    }
    browser.resize(USUAL_PHONE).await;
    browser.prefer(ColorScheme::Light).await;
}

/// What a reader aloud needs of tables, headings and languages, and what eyes need of colours.
async fn assert_is_accessible(browser: &Browser) {
    let faults = browser.run(include_str!("../../fixtures/accessible.js")).await;
    assert_eq!(faults, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_markup_in_a_result_stays_text_on_the_page_and_in_the_copy() {
    const MARKUP: &str =
        "</span></main><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&#60;b&gt;";
    let clinic = Clinic::spawn(Wishes::default()).await;
    post(&clinic, ANA, |fixture| {
        fixture["report"]["code"]["text"] = json!(MARKUP);
        fixture["report"]["conclusion"] = json!(MARKUP);
        for one in fixture["resources"].as_array_mut().unwrap() {
            one["language"] = json!("de\" onmouseover=\"x");
            if one["resourceType"] == "Observation" {
                one["code"]["text"] = json!(MARKUP);
                one["note"] = json!([{"text": MARKUP, "authorString": MARKUP}]);
            }
        }
    })
    .await;
    clinic.hear_and_settle().await;
    let browser = Browser::open(USUAL_PHONE).await;
    browser.goto(&clinic.mailbox.wait_for(ANA, 1).await.link()).await.unwrap();
    browser.press("button.primary").await;
    wait::until_async("the document", async || browser.find(By::Css("article.paper table")).await.ok()).await;
    let saved = browser.save_copy_as("html").await;
    let file = clinic.folder.join("copy.html");
    std::fs::write(&file, &saved).unwrap();
    let script = "const paper = document.querySelector('.paper'); return [paper.textContent.split(arguments[0]).length, \
                  paper.querySelectorAll('script, img, b, [onmouseover]').length]";
    for place in ["the page", "the copy"] {
        if place == "the copy" {
            browser.goto(&format!("file://{}", file.display())).await.unwrap();
            wait::until_async("the copy", async || browser.find(By::Css("main.paper table")).await.ok()).await;
        }
        let found = browser.execute(script, vec![json!(MARKUP)]).await.unwrap().json().clone();
        assert!(found[0].as_u64().unwrap() > 20 && found[1] == 0, "{place}: {found}");
        assert_ne!(browser.title().await.unwrap(), "owned", "{place}");
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_a_result_that_cannot_be_shown_as_it_is_waits_for_a_person_with_a_plain_reason() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let kept = post(&clinic, ANA, |fixture| fixture["resources"][4]["status"] = json!("preliminary")).await;
    clinic.hear_and_settle().await;
    let held = clinic.delivery_of(&kept.report).await;
    assert_eq!(held.state, "review");
    assert!(
        held.note.contains("its results cannot be shown as they are: result[2].hasMember[0] is not final"),
        "{}",
        held.note
    );
    assert!(!held.note.contains("6.9") && !held.note.contains("Haemoglobin"));

    // Nothing of the report itself changes when the laboratory finishes the result.
    clinic.lab().change("Observation", kept.id("hb"), |one| one["status"] = json!("final")).await;
    clinic
        .lab()
        .change("DiagnosticReport", &kept.report, |report| report["meta"]["tag"] = json!([{"code": "again"}]))
        .await;
    clinic.hear_and_settle().await;
    assert!(read(&clinic.mailbox.wait_for(ANA, 1).await.link()).await.contains("6.9 g/dL"));
    assert_eq!(clinic.deliveries_of(&kept.report).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_a_result_that_changed_between_decision_and_sealing_is_read_again_on_sqlite() {
    changed_meanwhile(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_a_result_that_changed_between_decision_and_sealing_is_read_again_on_postgresql() {
    changed_meanwhile(Database::Postgres).await;
}

async fn changed_meanwhile(database: Database) {
    let rules = RULES.replace("expiry = \"72h\"", "hold = \"24h\", basis = \"clinic_policy\", expiry = \"72h\"");
    let clinic = Clinic::spawn(Wishes { database, rules, ..Wishes::default() }).await;
    let kept = post(&clinic, ANA, |_| {}).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&kept.report).await.state, "held");
    clinic
        .lab()
        .change("Observation", kept.id("hb"), |one| {
            one["status"] = json!("corrected");
            one["valueQuantity"]["value"] = json!(13.1);
            one["interpretation"][0]["coding"][0]["code"] = json!("N");
        })
        .await;
    for _ in 0..4 {
        clinic.forward(Duration::from_hours(8));
        clinic.settle().await;
    }
    let mails = clinic.mails_to(ANA);
    assert_eq!(mails.len(), 1);
    let document = read(&mails[0].link()).await;
    assert!(document.contains("13.1 g/dL") && !document.contains("6.9 g/dL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_a_result_taken_back_after_it_was_sent_closes_the_link() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let kept = post(&clinic, ANA, |_| {}).await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    assert_eq!(Holder::new(&link).look().await.says(), "ready");
    clinic.lab().change("Observation", kept.id("hb"), |one| one["status"] = json!("entered-in-error")).await;
    // No event tells of it: what is out is read again every quarter of an hour.
    clinic.forward(Duration::from_mins(16));
    clinic.settle().await;
    assert_eq!(Holder::new(&link).look().await.says(), "superseded");
    let newest = clinic.delivery_of(&kept.report).await;
    assert_eq!(newest.state, "review");
    assert!(newest.note.contains("was entered in error"), "{}", newest.note);
    assert_eq!(clinic.mails_to(ANA).len(), 1);
    drop(kept.patient);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_an_ehr_that_does_not_show_a_result_delays_the_report_and_then_tells_staff() {
    let (leased, mailbox) = (ehr::lease().await, Mailbox::start(Manner::Plain).await);
    let front = Front::start(leased.base_url());
    let wishes = Wishes { ehr_base: Some(front.base_url.clone()), ..Wishes::default() };
    let clinic = Clinic::spawn_with(wishes, leased, mailbox).await;
    let kept = post(&clinic, ANA, |_| {}).await;
    let glucose = format!("Observation/{}", kept.id("glucose"));
    let refused = Reply::Whole { status: 503, kind: "application/fhir+json", body: b"{}".to_vec() };
    front.script(&glucose, [refused.clone(), Reply::PassedOn]);
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    assert!(read(&link).await.contains("5.4 mmol/l"));

    let second = post(&clinic, "bo@example.test", |_| {}).await;
    front.script(&format!("Observation/{}", second.id("glucose")), [refused]);
    clinic.hear_and_settle().await;
    assert_eq!(clinic.deliveries_of(&second.report).await.len(), 0, "it is asked for again first");
    // The EHR's clock stands: a search would hear of the report as if for the first time.
    for _ in 0..5 {
        clinic.forward(Duration::from_hours(1));
        while clinic.steps.resolve.turn().await.unwrap() > 0 {}
    }
    let held = clinic.delivery_of(&second.report).await;
    assert_eq!(held.state, "review");
    assert!(held.note.contains("a result of the report cannot be read"), "{}", held.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_14_a_clinic_may_have_a_person_look_at_every_report_without_an_attachment() {
    let wishes = Wishes { ehr_more: "without_attachment = \"review\"\n".to_owned(), ..Wishes::default() };
    let clinic = Clinic::spawn(wishes).await;
    let kept = post(&clinic, ANA, |_| {}).await;
    clinic.hear_and_settle().await;
    let held = clinic.delivery_of(&kept.report).await;
    assert_eq!(held.state, "review");
    assert!(held.note.contains("the report carries none"), "{}", held.note);
}
