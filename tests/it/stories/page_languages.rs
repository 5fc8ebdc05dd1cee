//! The patient's page in each of its languages: which one it speaks, and how every state looks and reads in all of them.

use serde_json::json;
use thirtyfour::By;

use crate::races::Door;
use crate::support::axe;
use crate::support::browser::{Browser, ColorScheme, DESKTOP, PHONE, Window};
use crate::support::clinic::Database;
use crate::support::{pdf, wait};

const LANGUAGES: [&str; 5] = ["en", "es", "pl", "de", "fr"];
const USUAL_PHONE: Window = Window { width_pixels: 360, height_pixels: 720 };

#[tokio::test(flavor = "multi_thread")]
async fn the_page_speaks_the_browsers_language_then_the_links_and_then_what_somebody_chose() {
    let door = Door::open(Database::Sqlite, 1).await;
    let (handed, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %", "Second page"]), 1).await;
    let browser = Browser::open(USUAL_PHONE).await;
    browser.prefer_language("pl-PL,pl;q=0.9,en;q=0.8").await;
    browser.goto(link.split_once('#').unwrap().0).await.unwrap();
    reads(&browser, "main", "Prosimy ponownie nacisnąć link").await;
    assert_eq!(browser.run("return document.documentElement.lang").await, json!("pl-PL"));

    // Proven, the link says that its clinic writes English.
    browser.goto("about:blank").await.unwrap();
    browser.goto(&link).await.unwrap();
    reads(&browser, "main", "You have a document").await;
    choose(&browser, "de").await;
    reads(&browser, "main", "Ein Dokument für Sie").await;
    reads(&browser, "main", "Lässt sich einmal öffnen").await;
    assert_eq!(browser.run("return document.documentElement.lang").await, json!("de"));
    assert!(browser.run("return document.title").await.as_str().unwrap().starts_with("Ein Dokument für Sie – "));
    let asked = browser.requests().await;
    let words = |language: &str| asked.iter().filter(|url| url.ends_with(&format!("/words/{language}.json"))).count();
    assert!(words("pl") > 0 && words("en") > 0 && words("de") > 0, "{asked:?}");
    assert_eq!((words("es"), words("fr")), (0, 0), "words were fetched that nobody needs");
    assert_eq!(door.house.opened(&handed.id).await.0, 0, "a choice of language cost an opening");

    browser.press("button.primary").await;
    wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    reads(&browser, ".place", "Seite 1 von 2").await;
    choose(&browser, "fr").await;
    reads(&browser, ".place", "Page 1 sur 2").await;
    reads(&browser, ".tool.save", "Enregistrer une copie").await;
    reads(&browser, "h1", "Votre document").await;
    assert_eq!(browser.find_all(By::Css("canvas")).await.unwrap().len(), 2, "the document is gone from the page");
    assert_eq!(
        browser.run("return document.querySelector('.page').getAttribute('aria-label')").await,
        json!("Page 1 sur 2")
    );
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&door.origin).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_is_used_with_the_keyboard_alone() {
    let door = Door::open(Database::Sqlite, 1).await;
    let (_, link) = door.link(pdf::with_pages(&["HbA1c 5.4 %"]), 1).await;
    let browser = Browser::open(USUAL_PHONE).await;
    browser.goto(&link).await.unwrap();
    reads(&browser, "main", "You have a document").await;
    browser.run("document.querySelector('.tongue summary').focus()").await;
    let press = async |key: &str| browser.action_chain().send_keys(key).perform().await.unwrap();
    press("\u{e007}").await;
    assert_eq!(browser.run("return document.querySelector('.tongue').open").await, json!(true));
    press("\u{e00c}").await;
    assert_eq!(browser.run("return document.querySelector('.tongue').open").await, json!(false));
    assert_eq!(browser.run("return document.activeElement.localName").await, json!("summary"));
    press("\u{e007}").await;
    for _ in 0..3 {
        press("\u{e004}").await;
    }
    press("\u{e007}").await;
    reads(&browser, "main", "Nowy dokument do odczytania").await;
    assert_eq!(browser.run("return document.activeElement.localName").await, json!("h1"), "what changed is not read");
}

/// Draws each state with the page's own code, as the protocol would bring it about.
const STATES: &str = r"
const base = [...document.scripts].find((one) => one.src.endsWith('/open.js')).src.replace('/open.js', '');
const [{ Screens }, { Reading }, { speechIn }] = await Promise.all(
  ['screens', 'reading', 'words'].map((name) => import(`${base}/${name}.js`)));
const facts = { name: 'Przychodnia Specjalistyczna Riverside', phone: '+1 312 555 0100', reference: 'K7Q4-MD2X', zone: 'America/Chicago' };
const screens = new Screens(facts);
const at = Date.UTC(2026, 10, 24, 22, 5);
const nothing = () => {};
const look = { state: 'ready', files: 1, expires_at: at, opens_left: 1, opens_max: 1 };
const text = new TextEncoder().encode('Glucose    5.1 mmol/l\nPotassium  4.2 mmol/l\n');
const reading = () => new Reading(screens, [{ n: 1, type: 'text/plain', bytes: text.slice() }],
  { until: Date.now() + 900000, save: true }, { onSeen: nothing, onEnd: nothing });
const several = () => new Reading(screens, [1, 2, 3, 4, 5].map((n) => ({ n, type: 'text/plain', bytes: text.slice() })),
  { until: Date.now() + 900000, save: true }, { onSeen: nothing, onEnd: nothing });
const ended = (kind) => () => screens.ended({ kind, at });
const states = {
  ready: () => screens.landing(look, { onOpen: nothing, onCopy: nothing }),
  'ready-2': () => screens.landing({ ...look, files: 2, opens_max: 3, opens_left: 2 }, { onOpen: nothing, onCopy: nothing }),
  'ready-5': () => {
    screens.landing({ ...look, files: 5, opens_max: 9, opens_left: 5 }, { onOpen: nothing, onCopy: nothing });
    for (const fold of document.querySelectorAll('main details')) fold.open = true;
  },
  yours: () => screens.landing({ ...look, state: 'yours' }, { onOpen: nothing, onCopy: nothing }),
  fetching: () => screens.fetching().part(0.4),
  reading: () => reading().show(),
  'reading-5': () => several().show(),
  'reading-done': () => { const one = reading(); one.show(); one.askDone(); },
  'reading-soon': () => { const one = reading(); one.show(); one.askStay(); },
  'reading-offer': async () => {
    const one = reading();
    one.offer = { shlink: 'shlink:/e30', passcode: '40718263', square: Array.from({ length: 57 }, (_, y) => '110010'.repeat(10).slice(y % 6, y % 6 + 57)) };
    await one.show();
    document.querySelector('.offer').open = true;
  },
  done: () => screens.done(),
  lapsed: () => screens.lapsed(at),
  gone: () => screens.gone(),
  wrong: () => screens.wrong(),
  cookies: () => screens.cookies(nothing),
  old: () => screens.old(nothing),
  foreign: () => screens.foreign(),
  large: () => screens.large(),
  trouble: () => screens.trouble(nothing),
  offline: () => screens.offline(nothing),
  busy: () => screens.busy(nothing),
  damaged: () => screens.damaged(nothing),
  expired: ended('expired'), revoked: ended('revoked'), recalled: ended('recalled'), superseded: ended('superseded'),
  spent: ended('spent'), 'opened-elsewhere': ended('opened_elsewhere'), suspended: ended('suspended'), lost: ended('lost'),
  ended: ended('something newer'), disowned: ended('disowned'),
  disown: () => screens.disown({ onYes: nothing, onNo: nothing }),
  another: () => screens.ended({ kind: 'expired', at, another: 'offered' }, nothing), asked: () => screens.ended({ kind: 'expired', at, another: 'asked' }, null),
};
window.states = Object.keys(states);
window.draw = async (state, language) => {
  const speech = await speechIn(language);
  document.documentElement.lang = speech.tag;
  document.getElementById('reference-label').textContent = speech.words('reference.label');
  document.getElementById('clinic').textContent = facts.name;
  screens.again = null;
  screens.speak(speech);
  await states[state]();
};
";

#[tokio::test(flavor = "multi_thread")]
async fn every_state_reads_well_in_every_language() {
    let door = Door::open(Database::Sqlite, 1).await;
    let browser = Browser::open(PHONE).await;
    browser.hide_scroll_bars().await;
    browser.goto(&format!("{}/r/BBBBBBBBBBBBBBBB", door.origin)).await.unwrap();
    reads(&browser, "main", "message again").await;
    browser.run(&format!("return (async () => {{ {STATES} }})()")).await;
    let states = browser.run("return window.states").await;
    let states: Vec<&str> = states.as_array().unwrap().iter().map(|state| state.as_str().unwrap()).collect();
    assert!(states.len() >= 30);
    let mut complaints = Vec::new();
    for language in LANGUAGES {
        for state in &states {
            for (window, scheme, scheme_name) in [
                (PHONE, ColorScheme::Light, "light"),
                (USUAL_PHONE, ColorScheme::Dark, "dark"),
                (DESKTOP, ColorScheme::Light, "light"),
            ] {
                browser.resize(window).await;
                browser.prefer(scheme).await;
                browser.run(&format!("return window.draw('{state}', '{language}')")).await;
                let (width, name) =
                    (window.width_pixels, format!("{language}-{state}-{}-{scheme_name}", window.width_pixels));
                browser.keep_screen(&format!("languages/{name}")).await;
                let wide = browser.run("return document.documentElement.scrollWidth").await.as_u64().unwrap();
                if wide > u64::from(width) {
                    complaints.push(format!("{name} is {wide} pixels wide"));
                }
                let untold = browser.run("return document.body.innerText.match(/[{}]|undefined|null/)").await;
                if !untold.is_null() {
                    complaints.push(format!("{name} says {untold}"));
                }
                let found = axe::violations(&browser).await;
                complaints.extend(found.into_iter().map(|what| format!("{name}: {what}")));
            }
        }
    }
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_javascript_the_page_says_what_to_do_in_the_browsers_language() {
    let door = Door::open(Database::Sqlite, 1).await;
    let browser = Browser::open(PHONE).await;
    browser.cdp().send_raw("Emulation.setScriptExecutionDisabled", json!({"value": true})).await.unwrap();
    for (accepted, title) in [
        ("de-CH,de;q=0.9", "Bitte schalten Sie JavaScript ein"),
        ("pl", "Prosimy włączyć JavaScript"),
        ("nl,fr;q=0.5", "Veuillez activer JavaScript"),
        ("es-MX", "Active JavaScript, por favor"),
        ("nl", "Please switch on JavaScript"),
    ] {
        browser.prefer_language(accepted).await;
        browser.goto(&format!("{}/r/BBBBBBBBBBBBBBBB", door.origin)).await.unwrap();
        reads(&browser, "main", title).await;
        browser.keep_screen(&format!("languages/noscript-{}", &accepted[..2])).await;
    }
}

async fn choose(browser: &Browser, language: &str) {
    browser.press(".tongue summary").await;
    browser.press(&format!(".tongue button[lang={language}]")).await;
}

async fn reads(browser: &Browser, selector: &str, text: &str) {
    wait::until_async(&format!("'{text}' in {selector}"), async || {
        let found = browser.find(By::Css(selector)).await.ok()?.text().await.ok()?;
        found.contains(text).then_some(())
    })
    .await;
}
