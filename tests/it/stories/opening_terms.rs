//! What rules ask of each opening: how long it lasts, that nothing is saved, that staff are told.

use std::time::Duration;

use chartseal::base::minutes;
use thirtyfour::By;

use crate::support::browser::{Browser, PHONE};
use crate::support::clinic::{Clinic, Database, RULES, Wishes};
use crate::support::holder::Holder;
use crate::support::{ehr, pdf, wait};

const ANA: &str = "ana@example.test";
const STAFF: &str = "staff@riverside.example";
const HBA1C: &str = "4548-4";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

async fn clinic(terms: &str, staff: &str, database: Database) -> Clinic {
    let rules =
        RULES.replace("opens = 1, channel = [\"email\"]", &format!("opens = 2, channel = [\"email\"], {terms}"));
    let clinic_more = if staff.is_empty() { String::new() } else { format!("staff_email = \"{staff}\"") };
    Clinic::spawn(Wishes { database, rules, clinic_more, ..Wishes::default() }).await
}

fn told(clinic: &Clinic, of: &str) -> Vec<String> {
    clinic.mails_to(STAFF).iter().filter(|mail| mail.subject.contains(of)).map(|mail| mail.raw.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_lasts_no_longer_than_its_view() {
    let clinic = clinic("view = \"10m\"", "", Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let mut reader = Holder::new(&link);
    assert_eq!(reader.look().await.body["view_seconds"], 600);
    let granted = reader.open().await.granted();
    let ends = clinic.now().plus(minutes(10)).0;
    assert_eq!((granted.lease_until_ms, granted.view_until_ms), (ends, Some(ends)));
    clinic.forward(Duration::from_secs(9 * 60 + 59));
    assert!(reader.file(1, Some("bytes=0-9")).await.status.is_success(), "until then it is given");
    assert_eq!(reader.open().await.granted().view_until_ms, Some(ends), "asked for again it ends no later");
    clinic.forward(Duration::from_secs(1));
    assert_eq!(reader.file(1, Some("bytes=0-9")).await.status.as_u16(), 404);
    let mut other = Holder::new(&link);
    assert_eq!(other.read().await, paper(), "another opening has its own ten minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_view_of_its_own_an_opening_is_as_long_as_ever() {
    let clinic = clinic("download = \"allowed\"", "", Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let granted = Holder::new(&link).open().await.granted();
    assert_eq!((granted.view_until_ms, granted.download.as_str()), (None, "allowed"));
}

/// Everything by which a browser would let a document be kept.
const WAYS_TO_KEEP: &str = "const count = (what) => document.querySelectorAll(what).length; \
    const prevented = (kind) => { const event = new Event(kind, { bubbles: true, cancelable: true }); \
    document.querySelector('.body canvas, .body').dispatchEvent(event); return event.defaultPrevented; }; \
    return [count('.save'), count('.body img'), count('a[download]'), prevented('copy'), prevented('contextmenu'), \
    getComputedStyle(document.querySelector('.documents')).userSelect];";

#[tokio::test(flavor = "multi_thread")]
async fn what_may_only_be_viewed_is_shown_without_a_way_to_save_it_and_ends_when_its_time_is_over() {
    let clinic = clinic("download = \"view_only\", view = \"10m\"", "", Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    let browser = Browser::open(PHONE).await;
    browser.goto(&link).await.unwrap();
    browser.wait_for_text("main", "not saved").await;
    browser.keep_screen("page-ready-view-only").await;
    browser.press("button.primary").await;
    wait::until_async("the document", async || browser.find(By::Css(".textLayer")).await.ok()).await;
    browser.keep_screen("page-reading-view-only").await;
    assert_eq!(browser.run(WAYS_TO_KEEP).await, serde_json::json!([0, 0, 0, true, true, "none"]));
    let read = browser.run("return document.querySelector('.textLayer').textContent").await;
    assert!(read.as_str().unwrap().contains("HbA1c"), "a screen reader reads it all the same");

    // The page's own clock, as if most of the time had passed.
    browser.run("const now = Date.now; Date.now = () => now() + 9 * 60000").await;
    browser.wait_for_text(".notice", "If you need longer").await;
    browser.keep_screen("page-reading-last-minutes").await;
    assert_eq!(browser.run("return document.querySelectorAll('.notice button').length").await, 0, "nobody can stay");
    browser.run("const now = Date.now; Date.now = () => now() + 60001").await;
    browser.wait_for_text("main", "The time for reading ended").await;
    assert_eq!(browser.run("return document.querySelectorAll('canvas').length").await, 0);
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_may_only_be_viewed_is_painted() {
    let clinic = clinic("download = \"view_only\"", "", Database::Sqlite).await;
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut report = ehr::report(&patient, HBA1C, &crate::support::clinic::real_now(), b"");
    report["presentedForm"] = serde_json::json!([{ "contentType": "image/png", "data": super::page::ONE_GREY_DOT }]);
    clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    for brief in clinic.deliveries().await {
        if brief.state == "review" {
            clinic.desk().release(&brief.id, None).await.unwrap();
        }
    }
    clinic.settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    let browser = Browser::open(PHONE).await;
    browser.goto(&link).await.unwrap();
    browser.press("button.primary").await;
    wait::until_async("the picture", async || browser.find(By::Css("canvas.picture")).await.ok()).await;
    assert_eq!(browser.run(WAYS_TO_KEEP).await, serde_json::json!([0, 0, 0, true, true, "none"]));
    wait::until_async("the receipt", async || {
        let shown = clinic.show(&clinic.only_delivery().await.id).await;
        shown.audit.iter().any(|line| line["event"] == "decrypted").then_some(())
    })
    .await;
}

async fn staff_are_told_once_of_what_their_rules_name(database: Database) {
    let clinic = clinic("notify = \"staff\"", STAFF, database).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    clinic.settle().await;
    assert!(clinic.mails_to(STAFF).is_empty(), "nothing has happened yet");
    let mut reader = Holder::new(&link);
    let granted = reader.open().await.granted();
    clinic.settle().await;
    assert_eq!(told(&clinic, "A document was opened").len(), 1);
    assert_eq!(granted.files.len(), 1);
    assert_eq!(reader.read().await, paper());
    assert_eq!(Holder::new(&link).read().await, paper(), "in another browser");
    clinic.settle().await;
    let (opened, read) = (told(&clinic, "A document was opened"), told(&clinic, "A document was read"));
    assert_eq!((opened.len(), read.len()), (1, 1), "each is told once");
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    for mail in opened.iter().chain(&read) {
        assert!(mail.contains(&shown.brief.id), "it says of which delivery");
        for secret in ["Garcia", "Ana", ANA, "HbA1c", link.split_once('#').unwrap().1, "/r/"] {
            assert!(!mail.contains(secret), "a mail to staff says {secret}");
        }
    }
    let noted: Vec<_> = shown.audit.iter().filter(|line| line["event"] == "staff_told").collect();
    assert_eq!(noted.len(), 2);
    assert!(noted.iter().all(|line| line["fate"] == "sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_are_told_once_that_a_link_was_opened_and_that_it_was_read() {
    Box::pin(staff_are_told_once_of_what_their_rules_name(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_are_told_once_that_a_link_was_opened_and_that_it_was_read_on_postgres() {
    Box::pin(staff_are_told_once_of_what_their_rules_name(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_rules_do_not_say_so_nobody_is_told_of_an_opening() {
    let clinic = clinic("download = \"allowed\"", STAFF, Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    assert_eq!(Holder::new(&link).read().await, paper());
    clinic.settle().await;
    assert!(clinic.mails_to(STAFF).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_tell_staff_of_whom_no_address_is_known_send_nothing() {
    let clinic = clinic("notify = \"staff\"", "", Database::Sqlite).await;
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("staff_email"), "{}", brief.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_are_told_that_a_link_was_not_for_whoever_got_it_and_that_somebody_wants_another() {
    let clinic = clinic("download = \"allowed\"", STAFF, Database::Sqlite).await;
    let link = clinic.sent(ANA, HBA1C, &paper()).await;
    assert_eq!(Holder::new(&link).disown().await.says(), "disowned");
    let other = clinic.sent("bea@example.test", HBA1C, &paper()).await;
    clinic.forward(Duration::from_hours(73));
    clinic.settle().await;
    assert_eq!(Holder::new(&other).ask_for_another().await.body["another"], "asked");
    clinic.settle().await;
    assert_eq!(told(&clinic, "reached the wrong person").len(), 1);
    assert_eq!(told(&clinic, "asks for a new link").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_to_staff_that_the_relay_puts_off_is_sent_later_and_one_that_it_refuses_is_given_up() {
    for (staff, fate, after) in [
        ("grey-staff@riverside.example", "sent", Duration::from_secs(20)),
        ("perm-staff@riverside.example", "given_up", Duration::ZERO),
        ("temp-staff@riverside.example", "given_up", Duration::from_hours(25)),
    ] {
        let clinic = clinic("notify = \"staff\"", staff, Database::Sqlite).await;
        let link = clinic.sent(ANA, HBA1C, &paper()).await;
        Holder::new(&link).open().await.granted();
        clinic.settle().await;
        clinic.forward(after);
        clinic.settle().await;
        let shown = clinic.show(&clinic.only_delivery().await.id).await;
        let noted: Vec<_> = shown.audit.iter().filter(|line| line["event"] == "staff_told").collect();
        assert_eq!(noted.len(), 1, "{staff}");
        assert_eq!(noted[0]["fate"], fate, "{staff}");
        assert_eq!(shown.brief.state, "live", "what staff are told changes nothing for the patient");
    }
}
