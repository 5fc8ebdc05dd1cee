//! The patient's page in a real browser: how every state reads on small and large screens. What it hides and spends is in
//! `behaviours/links_in_a_browser.rs`.

use std::time::Duration;

use serde_json::json;
use thirtyfour::By;

use crate::races::Door;
use crate::support::browser::{Browser, ColorScheme, DESKTOP, PHONE, Window};
use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::{ehr, pdf, wait};

/// A usual phone.
const USUAL_PHONE: Window = Window { width_pixels: 360, height_pixels: 720 };

const OPEN_BUTTON: &str = "button.primary";

/// A PNG of one pixel, in base64.
pub const ONE_GREY_DOT: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";

#[tokio::test(flavor = "multi_thread")]
async fn every_state_reads_well_on_phone_and_desktop_in_light_and_dark() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = link_to(&clinic, "states@example.test").await;
    let (first, second) = (Browser::open(USUAL_PHONE).await, Browser::open(USUAL_PHONE).await);

    visit(&first, link.split_once('#').unwrap().0).await;
    see(&first, "gone", "message again").await;
    visit(&first, &link).await;
    see(&first, "ready", "Open").await;
    first.press(OPEN_BUTTON).await;
    wait::until_async("the document", async || first.find(By::Css("canvas")).await.ok()).await;
    see(&first, "reading", "Save").await;
    visit(&second, &link).await;
    see(&second, "opened-elsewhere", "Opened in another browser").await;
    wait::until_async("the receipt to spend the only opening", async || {
        (clinic.only_delivery().await.state == "spent").then_some(())
    })
    .await;
    visit(&first, &link).await;
    see(&first, "spent", "has been opened").await;
    clinic.desk().resend(&clinic.only_delivery().await.id, None).await.unwrap();
    clinic.settle().await;
    let again = clinic.mailbox.wait_for("states@example.test", 2).await.link();
    clinic.forward(Duration::from_hours(100));
    clinic.settle().await;
    visit(&first, &again).await;
    see(&first, "expired", "has run out").await;

    let (patient, report) = clinic.report("more@example.test", "4548-4", &pdf::with_pages(&["5.5 %"])).await;
    clinic.hear_and_settle().await;
    let replaced = clinic.mailbox.wait_for("more@example.test", 1).await.link();
    let other = pdf::with_pages(&["5.6 %"]);
    clinic
        .lab()
        .change("DiagnosticReport", &report, |r| {
            r["status"] = json!("corrected");
            r["presentedForm"][0]["data"] = json!(data_encoding::BASE64.encode(&other));
            r["presentedForm"][0]["size"] = json!(other.len());
        })
        .await;
    clinic.hear_and_settle().await;
    let recalled = clinic.mailbox.wait_for("more@example.test", 2).await.link();
    visit(&first, &replaced).await;
    see(&first, "superseded", "a newer message").await;
    clinic.lab().change("DiagnosticReport", &report, |r| r["status"] = json!("entered-in-error")).await;
    clinic.hear_and_settle().await;
    visit(&first, &recalled).await;
    see(&first, "recalled", "took this document back").await;

    let revoked = link_to(&clinic, "revoked@example.test").await;
    let newest = clinic.deliveries().await.remove(0);
    clinic.desk().revoke(&newest.id, None).await.unwrap();
    visit(&first, &revoked).await;
    see(&first, "revoked", "has closed this link").await;

    let lost = link_to(&clinic, "keyless@example.test").await;
    for key in std::fs::read_dir(clinic.folder.join("keys/epoch")).unwrap() {
        std::fs::remove_file(key.unwrap().path()).unwrap();
    }
    visit(&first, &lost).await;
    see(&first, "lost", "has stopped working").await;
    assert_eq!(first.console_errors().await, Vec::<String>::new());
    assert_eq!(second.console_errors().await, Vec::<String>::new());

    visit(&second, &format!("{}/r/BBBBBBBBBBBBBBBB#AAAAAAAAAAAAAAAAAAAAAA", clinic.url)).await;
    see(&second, "wrong", "not complete").await;
    drop(patient);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_documents_in_one_link_are_read_one_below_the_other_and_spent_once_each_was_seen() {
    let rules = "[policy]\nid = \"test\"\nversion = \"1\"\n[[profile]]\nid = \"draw\"\nwhen = { code = \"loinc|4548-4\" }\n\
                 then = { action = \"send\", expiry = \"72h\", opens = 1, group_by = \"order\", wait = \"1h\" }\n";
    let clinic = Clinic::spawn(Wishes { rules: rules.to_owned(), ..Wishes::default() }).await;
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", "draw@example.test")).await;
    let now = clinic.now().to_rfc3339();
    for text in ["HbA1c 5.4 %", "Potassium 4.2 mmol/l"] {
        let mut report = ehr::report(&patient, "4548-4", &now, &pdf::with_pages(&[text]));
        report["basedOn"] = json!([{"reference": "ServiceRequest/draw"}]);
        clinic.lab().post(&report).await;
    }
    clinic.hear_and_settle().await;
    clinic.forward(Duration::from_hours(2));
    clinic.settle().await;
    let link = clinic.mailbox.wait_for("draw@example.test", 1).await.link();
    let browser = Browser::open(USUAL_PHONE).await;
    visit(&browser, &link).await;
    see(&browser, "ready-several", "2 documents").await;
    browser.press(OPEN_BUTTON).await;
    wait::until_async("both documents", async || {
        (browser.find_all(By::Css("canvas")).await.ok()?.len() == 2).then_some(())
    })
    .await;
    see(&browser, "reading-several", "Document 2 of 2").await;
    wait::until_async("the receipt to spend the only opening", async || {
        clinic.deliveries().await.iter().all(|one| one.state == "spent").then_some(())
    })
    .await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_javascript_the_page_says_what_to_do() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let browser = Browser::open(USUAL_PHONE).await;
    browser.cdp().send_raw("Emulation.setScriptExecutionDisabled", json!({"value": true})).await.unwrap();
    browser.goto(&format!("{}/r/BBBBBBBBBBBBBBBB", clinic.url)).await.unwrap();
    see(&browser, "noscript", "switch on JavaScript").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_shown_is_saved_whole() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let broken = [b"%PDF-1.4\n".as_slice(), &b"not what a reader expects\n".repeat(40), b"%%EOF\n"].concat();
    clinic.report("broken@example.test", "4548-4", &broken).await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for("broken@example.test", 1).await.link();
    let browser = Browser::open(USUAL_PHONE).await;
    visit(&browser, &link).await;
    browser.press(OPEN_BUTTON).await;
    see(&browser, "unshown", "cannot be shown").await;
    let sizes = browser.find_all(By::Css(".tool.only")).await.unwrap();
    assert_eq!(sizes.len(), 0, "buttons for the size of nothing");
    assert_eq!(clinic.only_delivery().await.state, "live", "spent before anything was seen or saved");
    let saved = browser.save_copy().await;
    wait::until_async("the receipt to spend the only opening", async || {
        (clinic.only_delivery().await.state == "spent").then_some(())
    })
    .await;
    assert!(saved == broken, "the copy has {} of {} bytes", saved.len(), broken.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_and_a_text_are_spent_once_they_are_seen() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let browser = Browser::open(USUAL_PHONE).await;
    let text = data_encoding::BASE64.encode("Glucose    5.1 mmol/l\nPotassium  4.2 mmol/l\n".as_bytes());
    for (email, kind, data, shown) in [
        ("picture@example.test", "image/png", ONE_GREY_DOT, "img.picture"),
        ("text@example.test", "text/plain", &text, ".text.columns"),
    ] {
        let (_, report) = clinic.report(email, "4548-4", &pdf::with_pages(&["5.5 %"])).await;
        let forms = json!([{"contentType": kind, "data": data}]);
        clinic.lab().change("DiagnosticReport", &report, |report| report["presentedForm"] = forms).await;
        clinic.hear_and_settle().await;
        visit(&browser, &clinic.mailbox.wait_for(email, 1).await.link()).await;
        browser.press(OPEN_BUTTON).await;
        wait::until_async(shown, async || browser.find(By::Css(shown)).await.ok()).await;
        wait::until_async("the receipt to spend the only opening", async || {
            (clinic.delivery_of(&report).await.state == "spent").then_some(())
        })
        .await;
        assert_eq!(browser.find_all(By::Css(".tool.only")).await.unwrap().len(), 2, "no buttons for the size");
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

/// Safari before 15.5 judged our worker by a policy that refused it, and the page only looked whether there are workers.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_refuses_our_worker_spent_the_link_before_it_said_so() {
    let door = Door::open(Database::Sqlite, 1).await;
    let (handed, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %"]), 1).await;
    let refuses = "class { constructor() { throw new DOMException('refused', 'SecurityError'); } }";
    let fails = "class { constructor() { setTimeout(() => this.onerror(new Event('error')), 10); } terminate() {} }";
    let is_silent = "class { terminate() {} }";
    for worker in [refuses, fails, is_silent] {
        let browser = Browser::open(USUAL_PHONE).await;
        let hasty = "const later = window.setTimeout; window.setTimeout = (f, ms) => later(f, ms === 15000 ? 50 : ms);";
        browser.before_every_page(&format!("{hasty} window.Worker = {worker};")).await;
        visit(&browser, &link).await;
        see(&browser, "old", "This browser cannot open it").await;
        assert_eq!(browser.console_errors().await, Vec::<String>::new());
    }
    assert_eq!(door.house.opened(&handed.id).await.0, 0);
}

/// The document was claimed first, and its size found too large then, for ever, as "did not arrive whole" or "no connection".
#[tokio::test(flavor = "multi_thread")]
async fn a_document_too_large_for_the_browser_was_spent_before_anybody_said_so() {
    let door = Door::open(Database::Sqlite, 1).await;
    let (handed, link) = door.link(pdf::of_size(2_000_000), 1).await;
    let no_room = "window.Uint8Array = new Proxy(Uint8Array, { construct(made, given) { \
                   if (given[0] >= 2000000) throw new RangeError('Array buffer allocation failed'); \
                   return new made(...given); } });";
    for fault in [&answers("look", "sizes: [256 * 1024 * 1024 + 1]"), no_room] {
        let browser = Browser::open(USUAL_PHONE).await;
        browser.before_every_page(fault).await;
        visit(&browser, &link).await;
        see(&browser, "large", "Too large for this browser").await;
    }
    assert_eq!(door.house.opened(&handed.id).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_networks_fault_was_called_no_connection_for_ever() {
    let door = Door::open(Database::Sqlite, 1).await;
    let (handed, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %"]), 1).await;
    let browser = Browser::open(USUAL_PHONE).await;
    let fault = "SubtleCrypto.prototype.whole = SubtleCrypto.prototype.decrypt; \
                 SubtleCrypto.prototype.decrypt = async function (...given) { \
                     const plain = await this.whole(...given); \
                     if (plain.byteLength > 100 && !window.mended) throw new RangeError('no memory'); \
                     return plain; };";
    browser.before_every_page(fault).await;
    visit(&browser, &link).await;
    browser.press(OPEN_BUTTON).await;
    see(&browser, "trouble", "Something went wrong").await;
    browser.run("window.mended = true").await;
    browser.press(OPEN_BUTTON).await;
    wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    assert_eq!(door.house.opened(&handed.id).await.0, 1, "trying again cost an opening");
}

/// What is not from our own address is refused; the page called its whole link incomplete.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_somebody_stands_before_called_its_link_incomplete() {
    let door = Door::open(Database::Sqlite, 1).await;
    let (handed, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %"]), 1).await;
    let browser = Browser::open(USUAL_PHONE).await;
    visit(&browser, &link.replace("127.0.0.1", "localhost")).await;
    see(&browser, "foreign", "Please open the link itself").await;
    assert_eq!(door.house.opened(&handed.id).await, (0, 0));
}

/// The focus fell to the top of the page when a box went, and a question that was open was replaced by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn the_focus_was_lost_with_the_box_that_had_it() {
    let door = Door::open(Database::Sqlite, 1).await;
    let (_, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %", "Second page"]), 1).await;
    let browser = Browser::open(USUAL_PHONE).await;
    visit(&browser, &link).await;
    browser.press(OPEN_BUTTON).await;
    wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    let focused = async || browser.run("return document.activeElement.textContent").await;
    let press = async |text: &str| {
        let script = format!(
            "const all = [...document.querySelectorAll('main button')]; \
             const one = all.find((button) => button.textContent === '{text}'); one.focus(); one.click();"
        );
        browser.run(&script).await;
    };

    press("Save a copy").await;
    wait::until_async("what came of it", async || browser.find(By::Css(".told button")).await.ok()).await;
    press("OK").await;
    assert_eq!(focused().await, json!("Save a copy"));
    for _ in 0..5 {
        press("Larger").await;
    }
    assert_eq!(focused().await, json!("Larger"), "at the largest there is nothing to press, but a place");
    press("Done – clear this page").await;
    assert_eq!(focused().await, json!("Yes, clear it"));
    // Thirteen minutes pass: what is left is the time in which the page asks.
    browser.run("const now = Date.now; Date.now = () => now() + 13.5 * 60 * 1000").await;
    wait_for_text(&browser, ".notice", "Are you still reading?").await;
    assert_eq!(focused().await, json!("Yes, clear it"), "one question took the place of the other");
    see(&browser, "asked-twice", "Are you still reading?").await;
    // The browser's own bars take their part of a small phone.
    browser.resize(Window { height_pixels: 520, ..PHONE }).await;
    browser.run("document.querySelector('.desk').lastChild.lastChild.lastChild.scrollIntoView({ block: 'end' })").await;
    browser.keep_screen("page-asked-twice-320-light").await;
    let below =
        "return document.querySelector('.notice').lastChild.lastChild.getBoundingClientRect().bottom - innerHeight";
    assert!(browser.run(below).await.as_f64().unwrap() <= 1.0, "the second question cannot be answered");
    press("Keep it open").await;
    wait_for_text(&browser, ".notice", "The page stays open until").await;
    wait_for_text(&browser, ".notice", "Clear the document from this page?").await;
    press("Keep reading").await;
    assert_eq!(focused().await, json!("Done – clear this page"));
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

/// A page whose `what` answers as ours does, but for `changed`.
fn answers(what: &str, changed: &str) -> String {
    format!(
        "const ask = window.fetch; window.fetch = async (address, options) => {{ \
             const answer = await ask(address, options); \
             if (!String(address).endsWith('/{what}')) return answer; \
             return new Response(JSON.stringify({{ ...(await answer.json()), {changed} }})); }};"
    )
}

async fn link_to(clinic: &Clinic, email: &str) -> String {
    clinic.report(email, "4548-4", &pdf::with_pages(&["HbA1c 5.4 %"])).await;
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for(email, 1).await.link()
}

/// From an empty page, so that the browser loads it anew.
async fn visit(browser: &Browser, link: &str) {
    browser.goto("about:blank").await.unwrap();
    browser.goto(link).await.unwrap();
}

/// Waits for the state's heading and `text`, and keeps what it looks like on both screens in both schemes. Nothing may
/// be wider than the screen.
async fn see(browser: &Browser, state: &str, text: &str) {
    wait_for_text(browser, "main", text).await;
    wait::until_async("the page to have come to rest", async || {
        browser.find(By::Css(".card h1, .note, canvas")).await.ok().map(|_| ())
    })
    .await;
    for (window, width) in [(USUAL_PHONE, 360), (DESKTOP, 1280)] {
        browser.resize(window).await;
        if state.starts_with("reading") {
            wait_until_the_sheet_fits(browser).await;
        }
        for (scheme, name) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
            browser.prefer(scheme).await;
            browser.keep_screen(&format!("page-{state}-{width}-{name}")).await;
        }
        if state != "noscript" {
            let wide = browser.run("return document.documentElement.scrollWidth").await;
            assert!(wide.as_i64().unwrap() <= width, "{state} is wider than {width} pixels");
        }
    }
    browser.resize(USUAL_PHONE).await;
    browser.prefer(ColorScheme::Light).await;
}

/// A page of the document is as wide as there is room for it, and no wider.
async fn wait_until_the_sheet_fits(browser: &Browser) {
    wait::until_async("the sheet to fit the screen", async || {
        let script = "const body = document.querySelector('.body'); const sheet = document.querySelector('.sheet'); \
                      return body.scrollWidth <= body.clientWidth && sheet.clientWidth > body.clientWidth - 4 \
                      && sheet.querySelector('canvas') !== null";
        (browser.run(script).await == json!(true)).then_some(())
    })
    .await;
}

async fn wait_for_text(browser: &Browser, selector: &str, text: &str) {
    wait::until_async(&format!("'{text}' in {selector}"), async || {
        let found = browser.find(By::Css(selector)).await.ok()?.text().await.ok()?;
        let whole = !found.trim().is_empty() && !found.contains("moment");
        (whole && found.contains(text)).then_some(())
    })
    .await;
}
