//! `chartseal demo`: a newcomer walks the whole way with one command, and nothing stays behind.

use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN};
use serde_json::{Value, json};
use thirtyfour::By;

use crate::support::browser::{Browser, ColorScheme, Window};
use crate::support::part::{EndWith, Part, Recipe};
use crate::support::place::Place;
use crate::support::{wait, web_client};

const PHONE: Window = Window { width_pixels: 360, height_pixels: 720 };
const WIDE: Window = Window { width_pixels: 1280, height_pixels: 860 };
const OPEN_BUTTON: &str = "button.primary";

/// What became of each sample once nothing more happens by itself: newest delivery first.
const AT_REST: [(&str, &[&str]); 5] = [
    ("Lipids", &["Taken back"]),
    ("HbA1c", &["Sent", "Replaced"]),
    ("HIV screening test", &["A person looks"]),
    ("Discharge letter", &["Sent"]),
    ("Blood count", &["Sent"]),
];

/// Also takes the README's pictures: see `scripts/pictures`.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_walks_the_patients_whole_way_with_one_command() {
    let mut demo = Demo::start().await;
    let look = demo.look_until("all samples to have come to rest", is_at_rest).await;

    let browser = Browser::open(WIDE).await;
    browser.hide_scroll_bars().await;
    browser.goto(&demo.page).await.unwrap();
    browser.press("#sample-1 .to-message").await;
    see(&browser, "#messages [aria-current=true]", "ada@patients.example").await;
    enter_message(&browser, "a new document").await;
    browser.enter_default_frame().await.unwrap();
    browser.execute("scrollTo(0, 0)", Vec::new()).await.unwrap();
    picture_both(&browser, "demo").await;
    assert!(width(&browser).await <= i64::from(WIDE.width_pixels), "wider than the window");
    browser.resize(PHONE).await;
    assert!(width(&browser).await <= i64::from(PHONE.width_pixels), "wider than a phone");
    browser.keep_screen("demo-360").await;
    browser.resize(WIDE).await;

    let patient = read_as_the_patient(&browser).await;
    let seen = |look: &Value| told(look, "Blood count", 0, "meaning").contains("Opened in 1 of the 3");
    demo.look_until("the opening to be shown", seen).await;

    let [newer, older] = [0, 1].map(|n| message_of(&look, "HbA1c", n));
    visit(patient, &demo.link_in(older).await).await;
    see(patient, "main", "a newer message").await;
    picture_both(patient, "link-replaced").await;
    visit(patient, &demo.link_in(newer).await).await;
    patient.press(OPEN_BUTTON).await;
    see_document(patient).await;
    visit(patient, &demo.link_in(message_of(&look, "Lipids", 0)).await).await;
    see(patient, "main", "took this document back").await;

    visit(patient, &format!("{}messages/{}", demo.page, message_of(&look, "Blood count", 0))).await;
    see(patient, "body", "Demo Clinic").await;
    picture_both(patient, "message").await;
    assert_eq!(patient.console_errors().await, Vec::<String>::new());
    let elsewhere = |url: &String| url.starts_with("http") && !url.starts_with("http://127.0.0.1:");
    assert_eq!(patient.requests().await.into_iter().find(elsewhere), None, "something was asked of others");

    visit(patient, &demo.page).await;
    see(patient, "#reports", "HIV screening test").await;
    demo.interrupt().await;
    see(patient, "#told", "The demo has ended").await;
    demo.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_and_lab_act_on_the_demos_page_and_nobody_elsewhere_does() {
    let mut demo = Demo::start().await;
    let look = demo.look_until("all samples to have come to rest", is_at_rest).await;
    let review = told(&look, "HIV screening test", 0, "id").to_owned();
    let release = json!({"deed": "release", "delivery": review});

    let host = demo.page.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let own = format!("http://{host}");
    for origin in [None, Some("http://evil.example"), Some("null"), Some("http://127.0.0.1:1")] {
        assert_eq!(demo.post(&release, &host, origin).await, StatusCode::FORBIDDEN, "{origin:?}");
    }
    assert_eq!(demo.post(&release, "evil.example", Some(&own)).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(demo.post(&release, "evil.example", Some("http://evil.example")).await, StatusCode::MISDIRECTED_REQUEST);
    for address in
        [format!("{}look", demo.page), format!("{}messages/1", demo.page), format!("{}/Patient/demo-1", demo.ehr)]
    {
        let forged = web_client::new().get(&address).header(HOST, "evil.example").send().await.unwrap();
        assert_eq!(forged.status(), StatusCode::MISDIRECTED_REQUEST, "{address}");
        assert!(!forged.text().await.unwrap().contains("patients.example"), "{address}");
    }
    assert_eq!(told(&demo.look().await, "HIV screening test", 0, "state"), "A person looks", "a stranger released it");

    assert_eq!(demo.post(&release, &host, Some(&own)).await, StatusCode::OK);
    let sent = |look: &Value| told(look, "HIV screening test", 0, "state") == "Sent";
    let look = demo.look_until("what staff released to be sent", sent).await;
    let released = demo.message(message_of(&look, "HIV screening test", 0)).await;
    assert!(released.contains("/r/") && !released.contains("Demo Clinic<"), "the bare wording names no clinic");
    assert_eq!(demo.post(&release, &host, Some(&own)).await, StatusCode::CONFLICT, "released twice");

    for (deed, state) in [
        (json!({"deed": "file", "sample": "allergy"}), "A person looks"),
        (json!({"deed": "correct", "report": "sample-1"}), "Sent"),
        (json!({"deed": "withdraw", "report": "sample-1"}), "Taken back"),
    ] {
        assert_eq!(demo.post(&deed, &host, Some(&own)).await, StatusCode::OK, "{deed}");
        let title = if deed["deed"] == "file" { "Allergy test" } else { "Blood count" };
        let came = |look: &Value| {
            let deliveries = report(look, title).map_or(0, |found| found["deliveries"].as_array().unwrap().len());
            let wanted = if deed["deed"] == "file" { 1 } else { 2 };
            deliveries == wanted && told(look, title, 0, "state") == state
        };
        demo.look_until("the lab's deed to show", came).await;
    }
    let waiting = report(&demo.look().await, "Allergy test").unwrap()["id"].clone();
    assert_eq!(demo.post(&json!({"deed": "withdraw", "report": waiting}), &host, Some(&own)).await, StatusCode::OK);
    let withdrawn = |look: &Value| told(look, "Allergy test", 0, "state") == "Taken back";
    let look = demo.look_until("what waited to be taken back", withdrawn).await;
    let meaning = told(&look, "Allergy test", 0, "meaning");
    assert!(meaning.contains("before anything was sent"), "{meaning}");
    demo.interrupt().await;
    demo.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_or_is_broken_off_leaves_nothing() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (part, folder) = spawn(&["--port", &port]);
    assert_eq!(wait::until("the refused start", || part.exit_code()).await, 2);
    assert!(part.log().contains("choose another with --port"), "{}", part.log());
    assert_eq!(files_in(&folder), Vec::<PathBuf>::new());

    let (mut part, folder) = spawn(&[]);
    // It listens for signals before it makes anything.
    wait::until("the scratch folder", || files_in(&folder).pop()).await;
    part.signal("HUP");
    part.signal("INT");
    assert_eq!(wait::until("the end", || part.exit_code()).await, 0, "{}", part.log());
    assert_eq!(files_in(&folder), Vec::<PathBuf>::new());
}

/// A running demo.
struct Demo {
    page: String,
    ehr: String,
    patients: String,
    folder: PathBuf,
    part: Part,
}

impl Demo {
    async fn start() -> Self {
        let (part, folder) = spawn(&["--pause", "0"]);
        let addresses: Value = wait::until("the demo's addresses", || {
            part.assert_running();
            let log = part.log();
            let line = log.lines().find(|line| line.starts_with("{\"demo\":"))?;
            serde_json::from_str(line).ok()
        })
        .await;
        let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
        Self { page: address("demo"), ehr: address("stand_in_ehr"), patients: address("patients"), folder, part }
    }

    async fn look(&self) -> Value {
        let text = web_client::new().get(format!("{}look", self.page)).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn look_until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait::until_async(what, async || {
            self.part.assert_running();
            Some(self.look().await).filter(|look| wanted(look))
        })
        .await
    }

    async fn message(&self, n: u64) -> String {
        let address = format!("{}messages/{n}", self.page);
        web_client::new().get(address).send().await.unwrap().text().await.unwrap()
    }

    async fn link_in(&self, n: u64) -> String {
        let message = self.message(n).await;
        let (_, from_link) = message.split_once("href=\"").unwrap();
        from_link.split('"').next().unwrap().to_owned()
    }

    async fn post(&self, deed: &Value, host: &str, origin: Option<&str>) -> StatusCode {
        let mut request = web_client::new()
            .post(format!("{}deeds", self.page))
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .body(deed.to_string());
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request.send().await.unwrap().status()
    }

    async fn interrupt(&mut self) {
        self.part.signal("INT");
        assert_eq!(wait::until("the demo to end", || self.part.exit_code()).await, 0, "{}", self.part.log());
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(files_in(&self.folder), Vec::<PathBuf>::new());
        for address in [&self.page, &self.patients, &self.ehr] {
            let address = address.trim_start_matches("http://").split('/').next().unwrap();
            assert!(TcpStream::connect(address).is_err(), "somebody still listens on {address}");
        }
        let log = self.part.log();
        assert_eq!(log.lines().count(), 1, "a quiet log: {log}");
    }
}

/// `demo --json` with a temporary directory of its own.
fn spawn(arguments: &[&str]) -> (Part, PathBuf) {
    let place = Arc::new(Place::new("demo"));
    let folder = place.join("tmp");
    std::fs::create_dir(&folder).unwrap();
    let mut command: Vec<OsString> = vec![env!("CARGO_BIN_EXE_chartseal").into(), "demo".into(), "--json".into()];
    command.extend(arguments.iter().map(Into::into));
    let environment = vec![("TMPDIR", folder.as_os_str().to_owned())];
    (Part::start(Recipe { name: "demo", command, environment, end_with: EndWith::Interrupt }, place), folder)
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn is_at_rest(look: &Value) -> bool {
    let states = |title: &str| -> Vec<String> {
        let deliveries = report(look, title).and_then(|found| found["deliveries"].as_array());
        deliveries.into_iter().flatten().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
    };
    look["goes_on"] == false && AT_REST.iter().all(|(title, wanted)| states(title) == *wanted)
}

fn report<'a>(look: &'a Value, title: &str) -> Option<&'a Value> {
    look["reports"].as_array().unwrap().iter().find(|one| one["title"] == title)
}

/// What is said of the `n`-th delivery of a report, the newest being the first.
fn told<'a>(look: &'a Value, title: &str, n: usize, what: &str) -> &'a str {
    report(look, title).and_then(|found| found["deliveries"][n][what].as_str()).unwrap_or_default()
}

fn message_of(look: &Value, title: &str, n: usize) -> u64 {
    report(look, title).unwrap()["deliveries"][n]["messages"][0].as_u64().unwrap()
}

async fn enter_message(browser: &Browser, text: &str) {
    wait::until_async("the message in its frame", async || {
        let frame = browser.find(By::Css("#message")).await.ok()?;
        frame.enter_frame().await.ok()?;
        let body = browser.find(By::Css("body")).await.ok()?.text().await.unwrap_or_default();
        if body.contains(text) {
            return Some(());
        }
        browser.enter_default_frame().await.ok()?;
        None
    })
    .await;
}

/// From the mailbox through the message's button to the document, in the window that it opens.
async fn read_as_the_patient(browser: &Browser) -> &Browser {
    let first = browser.window().await.unwrap();
    enter_message(browser, "a new document").await;
    browser.press("a.button").await;
    let opened = wait::until_async("the patient's window", async || {
        browser.windows().await.ok()?.into_iter().find(|window| *window != first)
    })
    .await;
    browser.switch_to_window(opened).await.unwrap();
    browser.resize_as_phone(PHONE).await;
    see(browser, "main", "Open my document").await;
    picture_both(browser, "patient-page").await;
    browser.press(OPEN_BUTTON).await;
    see_document(browser).await;
    picture_both(browser, "patient-report").await;
    browser
}

/// A page of the document, as wide as there is room for it.
async fn see_document(browser: &Browser) {
    let fits = "const [body, sheet] = ['.body', '.sheet canvas'].map((what) => document.querySelector(what)); \
                return Boolean(body && sheet && sheet.clientWidth > 100 && sheet.clientWidth <= body.clientWidth)";
    wait::until_async("the document", async || {
        let fits = browser.execute(fits, Vec::new()).await.ok()?;
        (fits.json() == &json!(true)).then_some(())
    })
    .await;
}

/// From an empty page, so that the browser loads it anew.
async fn visit(browser: &Browser, address: &str) {
    browser.goto("about:blank").await.unwrap();
    browser.goto(address).await.unwrap();
}

async fn see(browser: &Browser, selector: &str, text: &str) {
    wait::until_async(&format!("\"{text}\""), async || {
        let shown = browser.find(By::Css(selector)).await.ok()?.text().await.ok()?;
        shown.contains(text).then_some(())
    })
    .await;
}

async fn picture_both(browser: &Browser, name: &str) {
    browser.keep_picture(name).await;
    browser.prefer(ColorScheme::Dark).await;
    browser.keep_picture(&format!("{name}-dark")).await;
    browser.prefer(ColorScheme::Light).await;
}

async fn width(browser: &Browser) -> i64 {
    let wide = browser.execute("return document.documentElement.scrollWidth", Vec::new()).await.unwrap();
    wide.json().as_i64().unwrap()
}
