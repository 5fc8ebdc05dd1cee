//! Behaviour 16 of links: whatever is attached, nothing of it runs on our origin.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::polling::{put_report, report, with_double};
use crate::support::browser::{Browser, PHONE};
use crate::support::clinic::{self, Clinic};
use crate::support::ehr_double::EhrDouble;
use crate::support::hostile::{self, CANARY, Fate, Hostile};
use crate::support::wait;

/// The issue asks for so many.
const FILES_MIN: usize = 40;
const OPEN_BUTTON: &str = "button.primary";

fn put(double: &EhrDouble, file: &Hostile) {
    put_report(double, file.name, &clinic::real_now());
    let mut report = report(file.name, &clinic::real_now());
    let mut attachment = json!({
        "data": BASE64_STANDARD.encode(&file.bytes),
        // Names do harm, too: this one reads "reportexe.pdf".
        "title": "../../<img src=x onerror=fetch('/canary-fired')>report\u{202e}fdp.exe",
    });
    if !file.declared.is_empty() {
        attachment["contentType"] = json!(file.declared);
    }
    report["presentedForm"] = json!([attachment]);
    double.put(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_attachment_is_shown_harmlessly_carried_over_or_kept() {
    let files = hostile::all();
    let names: BTreeSet<_> = files.iter().map(|file| file.name).collect();
    assert!(names.len() >= FILES_MIN && names.len() == files.len(), "{} files", names.len());
    let double = EhrDouble::start().await;
    let clinic = with_double(&double, "").await;
    for file in &files {
        put(&double, file);
    }
    clinic.hear_and_settle().await;
    let mut wrong = Vec::new();
    for file in &files {
        let brief = clinic.delivery_of(&format!("r-{}", file.name)).await;
        let is_right = match file.fate {
            Fate::Shown(_) | Fate::Carried => brief.state == "live",
            Fate::Kept(why) => brief.state == "review" && brief.note.contains(why),
        };
        if !is_right {
            wrong.push(format!("{}: {:?} expected, but {} {}", file.name, file.fate, brief.state, brief.note));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let browser = Browser::open(PHONE).await;
    for file in &files {
        match file.fate {
            Fate::Shown(ending) => opens_harmlessly(&browser, &clinic, file, ending).await,
            Fate::Carried => opens_harmlessly(&browser, &clinic, file, "html").await,
            Fate::Kept(_) => {}
        }
    }
    let asked = browser.requests().await;
    assert!(!asked.iter().any(|url| url.contains(CANARY)), "something ran: {asked:?}");
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());
}

/// It is shown, or the page says that it cannot be, and the copy that is saved has a harmless name.
async fn opens_harmlessly(browser: &Browser, clinic: &Clinic, file: &Hostile, ending: &str) {
    let name = file.name;
    let link = clinic.mailbox.wait_for(&format!("{name}@example.test"), 1).await.link();
    browser.goto("about:blank").await.unwrap();
    browser.goto(&link).await.unwrap();
    browser.press(OPEN_BUTTON).await;
    wait::until_async(&format!("{name} or a word about it"), async || {
        let there = "const body = document.querySelector('.body'); \
                     return !!body && (!!body.querySelector('canvas, img') || body.textContent.trim() !== '' || !!document.querySelector('.note'))";
        browser.run(there).await.as_bool()?.then_some(())
    })
    .await;
    let _ = std::fs::remove_dir_all(browser.downloads());
    let saved = browser.save_copy_as(ending).await;
    if let Fate::Shown(_) = file.fate {
        assert!(saved == file.bytes, "{name}: what is saved is what was sent");
    }
    let ran = browser.run("return [window.fired === undefined, document.title]").await;
    assert_eq!(ran[0], json!(true), "{name}");
    assert!(!ran[1].as_str().unwrap().contains(CANARY), "{name}");
    let downloads = std::fs::read_dir(browser.downloads()).unwrap().flatten();
    for saved in downloads.map(|entry| entry.file_name().into_string().unwrap()) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_. ()".contains(c);
        assert!(saved.chars().all(is_plain), "{name}: {saved}");
    }
}
