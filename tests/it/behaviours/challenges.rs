//! Behaviours 2, 11, 12 and 17 of links that ask something before they open.

use std::time::Duration;

use chartseal::desk::Order;
use futures_util::future::join_all;
use serde_json::json;
use thirtyfour::{By, Key};

use crate::stories::challenges::{BORN, BOTH, CODE, QUESTION, RULES, clinic, report_of_order};
use crate::support::axe;
use crate::support::browser::{Browser, ColorScheme, DESKTOP, PHONE, Window};
use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::holder::Holder;
use crate::support::{pdf, wait};

const ASKERS: usize = 500;
const USUAL_PHONE: Window = Window { width_pixels: 360, height_pixels: 720 };

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// A scanner with a browser presses everything that can be pressed, and types into every field.
#[tokio::test(flavor = "multi_thread")]
async fn link_02_a_scanner_that_clicks_every_button_never_passes_a_question_or_a_code() {
    const PRESS_ALL: &str = "for (const field of document.querySelectorAll('input')) field.value = 'https://scanner.example'; \
        for (const one of document.querySelectorAll('button, summary, a[href^=\"#\"]')) one.click(); return true";
    let clinic = clinic().await;
    for asked in [QUESTION, CODE, BOTH] {
        let address = format!("scanned-{asked}@example.test");
        let link = clinic.sent(&address, asked, &paper()).await;
        let id = clinic.deliveries().await.remove(0).id;
        let browser = Browser::open(PHONE).await;
        visit(&browser, &link).await;
        browser.wait_for_text("button.primary", "Open").await;
        let mut seen = Vec::new();
        for _ in 0..12 {
            browser.run(PRESS_ALL).await;
            clinic.settle().await;
            let text = browser.find(By::Css("main")).await.unwrap().text().await.unwrap();
            seen.push(text.lines().next().unwrap_or_default().to_owned());
            run_async(&browser, "setTimeout(arguments[0], 400)").await;
        }
        let shown = clinic.show(&id).await;
        assert_eq!((shown.opened, shown.brief.state), (Some(0), "live"), "{asked}: {seen:?}");
        assert!(browser.find(By::Css("canvas")).await.is_err());
        assert_eq!(browser.console_errors().await, Vec::<String>::new());
    }
}

/// Each asker has a network and a cookie of its own.
#[tokio::test(flavor = "multi_thread")]
async fn link_11_lifetime_attempts_under_fire() {
    for database in [Database::Sqlite, Database::Postgres] {
        let clinic = Clinic::spawn(Wishes { database, rules: RULES.to_owned(), ..Wishes::default() }).await;
        let link = clinic.sent("ana@example.test", QUESTION, &paper()).await;
        let id = clinic.only_delivery().await.id;
        let mut askers: Vec<Holder> = (0..ASKERS).map(|_| Holder::new(&link)).collect();
        for asker in &mut askers {
            asker.begin().await;
        }
        let answers = join_all(askers.iter_mut().map(|asker| asker.answer("question", "1999-09-09"))).await;
        let said = |word: &str| answers.iter().filter(|answer| answer.body["said"] == json!(word)).count();
        assert_eq!((said("wrong"), said("locked")), (5, ASKERS - 5), "{database:?}");
        let right = Holder::new(&link).answer("question", BORN).await;
        assert_eq!((&right.body["said"], &right.body["asks"]["left"]), (&json!("locked"), &json!(0)));
        let shown = clinic.show(&id).await;
        let wrong = shown.audit.iter().filter(|line| line["event"] == "answered_wrong").count();
        assert_eq!((wrong, shown.opened), (5, Some(0)), "each answer that was looked at is in the audit, and no other");

        clinic.desk().unlock(&id, "called back".to_owned()).await.unwrap();
        let mut holder = Holder::new(&link);
        assert_eq!(holder.answer("question", BORN).await.body["said"], json!("right"));
        assert!(holder.read().await == paper());
    }
}

/// Without the link's secret nothing is counted, whatever is sent; the answers themselves are compared in `web/strangers.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn link_12_no_oracle_whoever_has_not_the_secret_counts_nothing_and_has_nothing_sent() {
    let clinic = clinic().await;
    for asked in [QUESTION, CODE] {
        let address = format!("stranger-{asked}@example.test");
        let link = clinic.sent(&address, asked, &paper()).await;
        let (without, _) = link.split_once('#').unwrap();
        let id = clinic.deliveries().await.remove(0).id;
        let (known, unknown) = (
            format!("{without}#AAAAAAAAAAAAAAAAAAAAAA"),
            format!("{}/r/zzzzzzzzzzzzzzzA#AAAAAAAAAAAAAAAAAAAAAA", clinic.url),
        );
        let mut answers = Vec::new();
        for link in [known, unknown] {
            let mut stranger = Holder::new(&link);
            let mut all = Vec::new();
            for _ in 0..6 {
                all.push(stranger.answer("question", BORN).await);
                all.push(stranger.send_code().await);
            }
            assert!(all.iter().all(|answer| answer.status == 404));
            answers.push(all.into_iter().map(|answer| answer.body).collect::<Vec<_>>());
        }
        assert_eq!(answers[0], answers[1]);
        clinic.settle().await;
        assert_eq!(clinic.mails_to(&address).len(), 1, "a code was sent to nobody's wish");
        assert_eq!(clinic.show(&id).await.asks.unwrap().left, 5);
    }
}

/// From the link to the document with the keyboard alone: a wrong answer first, told with the focus on it, then the right one.
#[tokio::test(flavor = "multi_thread")]
async fn link_17_a_question_and_a_code_are_answered_with_the_keyboard_alone() {
    let clinic = clinic().await;
    let link = clinic.sent("keys@example.test", CODE, &paper()).await;
    let browser = Browser::open(DESKTOP).await;
    visit(&browser, &link).await;
    browser.wait_for_text("button.primary", "Open").await;
    reach(&browser, "button.primary").await;
    press(&browser, Key::Enter).await;
    browser.wait_for_text("main", "Send me a code").await;
    reach(&browser, "button.primary").await;
    press(&browser, Key::Enter).await;
    browser.wait_for_text("main", "We have sent a code").await;
    clinic.settle().await;
    let text = clinic.mailbox.wait_for("keys@example.test", 2).await.text;
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    let code = text.split_whitespace().find(is_code).unwrap().to_owned();
    let field = browser
        .run("const f = document.getElementById('answer'); return [f.autocomplete, f.inputMode, f.labels.length]")
        .await;
    assert_eq!(field, json!(["one-time-code", "numeric", 1]));
    reach(&browser, "#answer").await;
    type_in(&browser, if code == "000000" { "111111" } else { "000000" }).await;
    press(&browser, Key::Enter).await;
    browser.wait_for_text(".error", "You have 4 tries left").await;
    let focused = browser.run("return document.activeElement.className").await;
    assert_eq!(focused, json!("error"), "the fault is not told first");
    reach(&browser, "#answer").await;
    type_in(&browser, &code).await;
    press(&browser, Key::Enter).await;
    wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn link_17_every_state_of_asking_is_accessible_on_phone_and_desktop_in_light_and_dark() {
    let clinic = clinic().await;
    let browser = Browser::open(USUAL_PHONE).await;
    let question = clinic.sent("question@example.test", QUESTION, &paper()).await;
    visit(&browser, &question).await;
    browser.press("button.primary").await;
    see(&browser, "ask-question", "What is your date of birth?").await;
    browser.press("button[type=submit]").await;
    see(&browser, "ask-empty", "Please type your answer").await;
    for left in ["4 tries left", "3 tries left", "2 tries left", "one try left"] {
        answer(&browser, "1999-09-09").await;
        browser.wait_for_text(".error", left).await;
    }
    see(&browser, "ask-one-left", "one try left").await;
    answer(&browser, "1999-09-09").await;
    see(&browser, "ask-locked", "Locked to protect you").await;

    let code = clinic.sent("code@example.test", CODE, &paper()).await;
    visit(&browser, &code).await;
    browser.press("button.primary").await;
    see(&browser, "ask-code-offer", "Send me a code").await;
    browser.press("button.primary").await;
    see(&browser, "ask-code-sent", "We have sent a code").await;
    clinic.settle().await;
    for _ in 0..2 {
        browser.press("button.quiet").await;
        run_async(&browser, "setTimeout(arguments[0], 1500)").await;
        clinic.settle().await;
    }
    browser.press("button.quiet").await;
    see(&browser, "ask-code-many", "The next one can be sent at").await;
    clinic.forward(Duration::from_mins(11));
    clinic.settle().await;

    let staff = clinic.sent("staff@example.test", BOTH, &paper()).await;
    visit(&browser, &staff).await;
    browser.press("button.primary").await;
    browser.wait_for_text("main", "What is your date of birth?").await;
    answer(&browser, "6 May 1984").await;
    see(&browser, "ask-code-staff", "They make sure that it is you").await;

    let order = Order { ehr: "lab".parse().unwrap(), id: "draw-1".to_owned() };
    clinic.desk().print_slips(1, "riverside".parse().unwrap(), Some(order)).await.unwrap();
    report_of_order(&clinic, "slip@example.test", "draw-1").await;
    visit(&browser, &clinic.mailbox.wait_for("slip@example.test", 1).await.link()).await;
    browser.press("button.primary").await;
    see(&browser, "ask-code-slip", "from the slip that you were given").await;
    answer(&browser, "ABCDE-FGHJ").await;
    see(&browser, "ask-code-mistyped", "not a whole code").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

async fn answer(browser: &Browser, text: &str) {
    let field = browser.find(By::Css("#answer")).await.unwrap();
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
    browser.press("button[type=submit]").await;
}

/// Looks at this state on every screen, and has axe look at it.
async fn see(browser: &Browser, name: &str, text: &str) {
    browser.wait_for_text("main", text).await;
    for (size, window) in [("320", PHONE), ("360", USUAL_PHONE), ("desktop", DESKTOP)] {
        browser.resize(window).await;
        for (scheme, word) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
            browser.prefer(scheme).await;
            let wide = browser.run("return document.documentElement.scrollWidth > window.innerWidth").await;
            assert_eq!(wide, json!(false), "{name} is wider than {size}");
            browser.keep_screen(&format!("page-{name}-{size}-{word}")).await;
            axe::assert_accessible(browser, &format!("{name} {size} {word}")).await;
        }
    }
    browser.resize(USUAL_PHONE).await;
    browser.prefer(ColorScheme::Light).await;
}

/// Presses Tab until this element has the focus.
async fn reach(browser: &Browser, selector: &str) {
    for _ in 0..40 {
        if browser.run(&format!("return document.activeElement.matches({selector:?})")).await == json!(true) {
            return;
        }
        press(browser, Key::Tab).await;
    }
    panic!("{selector} cannot be reached with the keyboard");
}

async fn press(browser: &Browser, key: Key) {
    browser.active_element().await.unwrap().send_keys(key + "").await.unwrap();
}

async fn type_in(browser: &Browser, text: &str) {
    browser.active_element().await.unwrap().send_keys(text).await.unwrap();
}

/// From an empty page, so that the browser loads it anew.
async fn visit(browser: &Browser, link: &str) {
    browser.goto("about:blank").await.unwrap();
    browser.goto(link).await.unwrap();
}

async fn run_async(browser: &Browser, script: &str) {
    browser.execute_async(script, Vec::new()).await.unwrap();
}
