//! A report put into the EHR is read in the patient's browser.

use std::time::Duration;

use chartseal::app::Workers;

use crate::support::browser::{Browser, PHONE};
use crate::support::clinic::{Clinic, Database, Hears, Wishes};
use crate::support::{pdf, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_report_heard_by_hook_is_read_in_the_browser_on_sqlite() {
    the_whole_way(Database::Sqlite, Hears::Hooks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_heard_by_polling_alone_is_read_in_the_browser_on_sqlite() {
    the_whole_way(Database::Sqlite, Hears::Polls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_heard_by_hook_is_read_in_the_browser_on_postgresql() {
    the_whole_way(Database::Postgres, Hears::Hooks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_heard_by_polling_alone_is_read_in_the_browser_on_postgresql() {
    the_whole_way(Database::Postgres, Hears::Polls).await;
}

async fn the_whole_way(database: Database, hears: Hears) {
    let clinic = Clinic::spawn(Wishes { database, hears, workers: Workers::Spawned, ..Wishes::default() }).await;
    if hears == Hears::Hooks {
        wait_for_subscriptions(&clinic).await;
    }
    let paper = pdf::with_pages(&["HbA1c 5.4 %", "Second page"]);
    clinic.report("ana@example.test", "4548-4", &paper).await;
    // The clock is stepped so that polls and retries come due; the workers turn by themselves.
    let mail = {
        let clock = clinic.ground.clock.clone();
        let ticking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                clock.forward(Duration::from_secs(1));
            }
        });
        let mail = clinic.mailbox.wait_for("ana@example.test", 1).await;
        ticking.abort();
        mail
    };
    assert!(!mail.raw.contains("HbA1c") && !mail.text.contains("Garcia") && !mail.text.contains("Ana"));

    let browser = Browser::open(PHONE).await;
    browser.goto(mail.link()).await.unwrap();
    browser.press("button.primary").await;
    let saved = browser.save_copy().await;
    assert_eq!(saved, paper, "the browser decrypted other bytes than the EHR holds");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    assert_eq!(browser.off_origin_requests(&clinic.url).await, Vec::<String>::new());
    browser.keep_screen(&format!("the-way-{database:?}-{hears:?}")).await;

    wait::until_async("the receipt to spend the only opening", async || {
        (clinic.only_delivery().await.state == "spent").then_some(())
    })
    .await;
}

async fn wait_for_subscriptions(clinic: &Clinic) {
    let clock = clinic.ground.clock.clone();
    wait::until_async("two active subscriptions", async || {
        clock.forward(Duration::from_secs(1));
        let all = clinic.lab().subscriptions().await;
        let active = all.iter().filter(|subscription| subscription["status"] == "active").count();
        (active == 2).then_some(())
    })
    .await;
}
