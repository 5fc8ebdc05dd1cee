//! Behaviours 4, 6 and 15 of links, in a real browser, and when the page says that a document was read.
//!
//! `CHARTSEAL_MB=200 cargo test --test it link_04` downloads a document of that size; it takes some minutes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chartseal::store;
use serde_json::{Value, json};
use thirtyfour::By;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::races::Door;
use crate::support::browser::{Browser, PHONE};
use crate::support::clinic::{Clinic, Wishes};
use crate::support::dice;
use crate::support::holder::Holder;
use crate::support::wire::Wire;
use crate::support::{pdf, wait};
use crate::web::house::Handed;

const OPEN_BUTTON: &str = "button.primary";
/// Many segments, and quick to seal.
const MEGABYTES: u64 = 8;

/// What a wire before the service heard: a double of a proxy that logs paths.
type Heard = Arc<Mutex<Vec<String>>>;

/// A free port, and where patients come to it.
async fn front() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (listener, origin)
}

/// The connection ends at 10, 50 and 99 % of the file: the page goes on by itself where it was.
#[tokio::test(flavor = "multi_thread")]
async fn link_04_lease_resume() {
    let (listener, origin) = front().await;
    let door = Door::open_behind(&origin).await;
    let megabytes = usize::try_from(dice::number("CHARTSEAL_MB", MEGABYTES)).unwrap();
    let paper = pdf::of_size(megabytes * 1_000_000);
    let (handed, link) = door.link(paper.clone(), 1).await;
    let whole = handed.sealed.len() as u64;
    let asked = Arc::<Mutex<Vec<u64>>>::default();
    let seen = Arc::clone(&asked);
    let _wire = Wire::from(listener, door.ports[0], move |said| {
        let head = String::from_utf8_lossy(said);
        if !head.starts_with("GET ") || !head.contains("/files/1 ") {
            return None;
        }
        let range = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: ").map(str::to_owned));
        let from = range.as_deref().map_or(0, |range| range["bytes=".len()..range.len() - 1].parse().unwrap());
        let mut asked = seen.lock().unwrap();
        asked.push(from);
        let percent = [10, 50, 99].get(asked.len() - 1)?;
        Some((whole * percent / 100).saturating_sub(from))
    });

    let browser = Browser::open(PHONE).await;
    browser.goto(&link).await.unwrap();
    browser.press(OPEN_BUTTON).await;
    let saved = browser.save_copy().await;
    assert!(saved == paper, "{} of {} bytes, or others", saved.len(), paper.len());
    // The page also goes on after a silence, which a loaded machine may make: then there are more.
    let asked = asked.lock().unwrap().clone();
    assert!(asked.len() > 3 && asked.is_sorted(), "{asked:?}");
    assert!(*asked.last().unwrap() > whole / 2, "it began anew: {asked:?} of {whole}");
    assert_eq!(door.house.opened(&handed.id).await.0, 1, "going on cost an opening");

    let second = Browser::open(PHONE).await;
    second.goto(&link).await.unwrap();
    second.wait_for_text("main", "opened").await;
    assert_eq!(Holder::new(&link).open().await.status, 409, "nobody else gets it");
}

/// The page's pauses between its tries, but short: nobody comes back in half a minute here.
const HASTE: &str = "const later = window.setTimeout; \
    window.setTimeout = (f, ms, ...more) => later(f, [400, 1000, 2000, 4000, 8000].includes(ms) ? ms / 20 : ms, ...more);";

/// A browser keeps a module that did not arrive as missing, under its address, for the life of the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_cut_off_on_its_way_stayed_missing_for_ever() {
    let (listener, origin) = front().await;
    let door = Door::open_behind(&origin).await;
    let (handed, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %"]), 1).await;
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    let _wire = Wire::from(listener, door.ports[0], move |said| {
        let path = String::from_utf8_lossy(said).split(' ').nth(1)?.to_owned();
        let name = path.split_once("/pdf.min.js")?.1.to_owned();
        let mut asked = seen.lock().unwrap();
        asked.push(name);
        (asked.len() <= 4).then_some(2000)
    });
    let browser = Browser::open(PHONE).await;
    browser.goto(&link).await.unwrap();
    browser.press(OPEN_BUTTON).await;
    browser.wait_for_text(".note", "No connection. We go on where we stopped.").await;
    browser.keep_screen("page-waiting-320-light").await;
    assert_eq!(states(&door, &handed).await, ["claimed"], "spent before anything was seen");
    wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    assert!(browser.find(By::Css(".note")).await.is_err(), "there is a connection again");
    wait::until_async("the receipt", async || (states(&door, &handed).await == ["received"]).then_some(())).await;
    let asked = asked.lock().unwrap().clone();
    assert!(asked.starts_with(&["", "?2", "?3", "?4", "?5"].map(str::to_owned)), "{asked:?}");
}

/// The receipt was sent once the document was unlocked, before anything of it was on the screen.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_never_shown_was_spent_all_the_same() {
    let (listener, origin) = front().await;
    let door = Door::open_behind(&origin).await;
    let (handed, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %"]), 1).await;
    let is_cut = Arc::new(AtomicBool::new(true));
    let cuts = Arc::clone(&is_cut);
    let _wire = Wire::from(listener, door.ports[0], move |said| {
        let is_reader = String::from_utf8_lossy(said).contains("/pdf.min.js");
        (is_reader && cuts.load(Ordering::SeqCst)).then_some(2000)
    });
    let browser = Browser::open(PHONE).await;
    browser.before_every_page(HASTE).await;
    for title in ["You have a document", "Your document is still here"] {
        visit(&browser, &link).await;
        browser.wait_for_text("main", title).await;
        browser.press(OPEN_BUTTON).await;
        browser.wait_for_text(".note", "did not arrive").await;
        browser.keep_screen("page-missing-320-light").await;
        assert_eq!(states(&door, &handed).await, ["claimed"], "spent before anything was seen");
    }
    is_cut.store(false, Ordering::SeqCst);
    browser.press(".note button").await;
    wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    wait::until_async("the receipt", async || (states(&door, &handed).await == ["received"]).then_some(())).await;
    let focused = browser.run("return document.activeElement.className").await;
    assert_eq!(focused, json!("body"), "the focus went with the button");
}

/// What became of the openings of this link.
async fn states(door: &Door, handed: &Handed) -> Vec<&'static str> {
    let id = handed.id.clone();
    let openings = door.house.store.read(move |conn| store::openings_of(conn, &id)).await.unwrap();
    openings.iter().map(|opening| opening.state.name()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn link_06_mangled_link() {
    let (listener, origin) = front().await;
    let door = Door::open_behind(&origin).await;
    let (handed, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %"]), 60).await;
    let (address, secret) = link.split_once('#').unwrap();
    let proxy_log = Heard::default();
    let log = Arc::clone(&proxy_log);
    let _wire = Wire::from(listener, door.ports[0], move |said| {
        log.lock().unwrap().extend(String::from_utf8_lossy(said).lines().next().map(str::to_owned));
        None
    });
    let gateway = Gateway::open().await;
    let browser = Browser::open(PHONE).await;
    let by_mail_programmes = [".", ">", ")", ",", ";", "!", "\"", "'", "]", "*", "…", "%3E", ">.", ".)", "</a>"];
    let appended = by_mail_programmes.map(|more| format!("{link}{more}"));
    let by_gateways = [
        format!("{address}%23{secret}"),
        format!("{address}%2523{secret}"),
        format!("{address}%23{secret}."),
        format!("{address}%2523{secret}%3E"),
        format!("{address}?utm_source=mail#{secret}"),
        gateway.wrap(&link),
        gateway.wrap(&link.replace('#', "%23")),
        gateway.wrap(&link.replace('#', "%2523")),
    ];
    for mangled in appended.iter().chain(&by_gateways) {
        visit(&browser, mangled).await;
        browser.wait_for_text(OPEN_BUTTON, "Open").await;
        let shown = browser.run("return location.href").await;
        assert!(shown == json!(address), "the address bar is not clean: {}", mangled.replace(secret, "…"));
    }
    for mangled in [&by_gateways[0], &by_gateways[1], &appended[0], &appended[1], &by_gateways[5]] {
        visit(&browser, mangled).await;
        browser.press(OPEN_BUTTON).await;
        wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    }

    // Without its secret: what to do, and the real link pressed in the same window works.
    visit(&browser, address).await;
    browser.wait_for_text("main", "Press the link in your message again").await;
    browser.wait_for_text("main", "did not use up your link").await;
    browser.goto(&link).await.unwrap();
    browser.press(OPEN_BUTTON).await;
    wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;

    let (opened, _) = door.house.opened(&handed.id).await;
    assert_eq!(opened, 6, "one for each time it was read");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert!(!door.services[0].log().contains(secret), "our log holds the secret");
    let seen = proxy_log.lock().unwrap().join("\n");
    assert!(!seen.contains(&format!("#{secret}")), "a fragment is never sent");
    // Where a gateway made the fragment a part of the path, only what stands before us can log it; docs/ says so.
    assert!(seen.contains(&format!("%23{secret}")) && seen.contains(&format!("%2523{secret}")));
    for line in seen.lines().filter(|line| line.contains(secret)) {
        let is_the_page = line.starts_with("GET /r/") && !line.contains("/files/") && !line.starts_with("POST ");
        assert!(is_the_page, "a request of the page itself carried the secret");
    }
}

/// A mail gateway's redirector, as Safe Links is one: `/?url=…` sends the browser on.
struct Gateway {
    origin: String,
    served: tokio::task::AbortHandle,
}

impl Gateway {
    async fn open() -> Self {
        let (listener, origin) = front().await;
        let served = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                            return;
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let target = head.split(' ').nth(1).unwrap_or_default();
                    let query = target.split_once('?').map_or("", |(_, query)| query);
                    let to = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "url");
                    let to = to.map(|(_, to)| to.into_owned()).unwrap_or_default();
                    let answer = format!(
                        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { origin, served: served.abort_handle() }
    }

    fn wrap(&self, link: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("url", link)
            .append_pair("data", "05|02|ana@example.test")
            .finish();
        format!("{}/?{query}", self.origin)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// The whole flow under the page's own policy: no fault on the console, nothing asked of anybody else, and the secret
/// nowhere but in the page's memory, for as long as it is needed.
#[tokio::test(flavor = "multi_thread")]
async fn link_15_real_browser_strict_csp() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let paper = pdf::with_pages(&["HbA1c 5.4 %", "Second page"]);
    clinic.report("alone@example.test", "4548-4", &paper).await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for("alone@example.test", 1).await.link();
    let (address, secret) = link.split_once('#').unwrap();
    let browser = Browser::open(PHONE).await;
    for disguise in [link.clone(), format!("{address}%23{secret}"), format!("{address}%2523{secret}")] {
        visit(&browser, &disguise).await;
        browser.wait_for_text(OPEN_BUTTON, "Open").await;
        // Scripts, timers and late requests of the page get their time.
        run_async(&browser, "setTimeout(arguments[0], 3000)").await;
        assert_nothing_keeps(&browser, secret, address).await;
    }
    // Back from elsewhere: what the history kept has no secret either.
    browser.goto("about:blank").await.unwrap();
    browser.back().await.unwrap();
    assert_eq!(browser.run("return location.href").await, json!(address));

    clinic.forward(Duration::from_mins(30));
    clinic.settle().await;
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    assert_eq!((shown.opened, shown.brief.state), (Some(0), "live"), "loading spent an opening");

    visit(&browser, &link).await;
    browser.press(OPEN_BUTTON).await;
    assert!(browser.save_copy().await == paper);
    wait::until_async("the receipt to spend the only opening", async || {
        (clinic.only_delivery().await.state == "spent").then_some(())
    })
    .await;
    assert_nothing_keeps(&browser, secret, address).await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());
    assert_no_header_held(&browser, secret).await;
}

/// Address bar, history, storage, cookies, page and list of requests.
async fn assert_nothing_keeps(browser: &Browser, secret: &str, address: &str) {
    let kept = browser
        .run(
            "return JSON.stringify([location.href, history.state, {...localStorage}, {...sessionStorage}, \
             document.cookie, document.referrer, window.name, document.documentElement.outerHTML, \
             performance.getEntries().map((entry) => entry.name).slice(1)])",
        )
        .await;
    assert!(!kept.as_str().unwrap().contains(secret), "the secret stayed");
    assert!(kept.as_str().unwrap().starts_with(&format!("[\"{address}\"")), "the address is not clean");
    let databases = run_async(browser, "indexedDB.databases().then((all) => arguments[0](all.length))").await;
    assert_eq!(databases, json!(0));
}

/// The headers of every request that the browser made, from its own record.
async fn assert_no_header_held(browser: &Browser, secret: &str) {
    browser.goto("about:blank").await.unwrap();
    for entry in browser.get_log("performance").await.unwrap() {
        let message: Value = serde_json::from_str(&entry.message).unwrap();
        let headers = message["message"]["params"]["request"]["headers"].to_string();
        assert!(!headers.contains(secret), "a header held the secret");
    }
}

/// From an empty page, so that the browser loads it anew.
async fn visit(browser: &Browser, link: &str) {
    browser.goto("about:blank").await.unwrap();
    browser.goto(link).await.unwrap();
}

async fn run_async(browser: &Browser, script: &str) -> Value {
    browser.execute_async(script, Vec::new()).await.unwrap().json().clone()
}
