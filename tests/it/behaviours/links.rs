//! The link: ended by the database's clock alone, and kind to who holds it.
//!
//! Link behaviour 8 is in `stories/shredding.rs`, 9 in `stories/restore.rs`, the seconds and the leases of 10 in
//! `stories/endings.rs`.

use std::time::Duration;

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom};
use chartseal::base::{Reference, UtcMillis};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use reqwest::StatusCode;
use serde_json::json;
use thirtyfour::By;

use crate::support::backup;
use crate::support::browser::{Browser, DESKTOP};
use crate::support::clinic::{self, Clinic, Database, Wishes};
use crate::support::holder::{Holder, WholeLink};
use crate::support::planted::{self, *};
use crate::support::{pdf, wait};

const ONE_OPENING: &str = "4548-4";
const THREE_OPENINGS: &str = "24323-8";
const HOUR_MS: i64 = 3_600_000;
/// Far longer than the looks of this test take.
const WHILE_MS: i64 = 600_000;

/// The machine on which Chartseal runs is an hour behind the database's clock, or an hour ahead of it. By the machine's
/// clock the link should have an hour left when it ends, or have ended an hour before it may.
#[tokio::test(flavor = "multi_thread")]
async fn link_10_a_machine_whose_clock_is_an_hour_off_moves_no_expiry() {
    for database_ahead_ms in [HOUR_MS, -HOUR_MS] {
        let clinic = Clinic::spawn(Wishes { database: Database::Postgres, ..Wishes::default() }).await;
        let link = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
        let end = UtcMillis(clinic::now().0 + database_ahead_ms);
        let url = backup::url(&clinic);
        let (name, end_ms) = (url.rsplit('/').next().unwrap().to_owned(), end.0);
        let moved = "UPDATE delivery SET due_at = NULL, state_detail = replace(state_detail, link.expires_at::text";
        run_sql(&url, format!("{moved}, '{end_ms}') FROM link; UPDATE link SET expires_at = {end_ms}")).await;
        // Found before the built-in function of this name by every connection that is made from now on.
        let clock = "CREATE TABLE clock_off (ms bigint NOT NULL); INSERT INTO clock_off VALUES (0);
             CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
             'SELECT pg_catalog.clock_timestamp() + (SELECT ms FROM clock_off) * interval ''1 ms''';";
        run_sql(&url, format!("{clock} ALTER DATABASE {name} SET search_path = public, pg_catalog")).await;

        let listen = ["LISTEN", "ADMIN_LISTEN"]
            .map(|key| (format!("CHARTSEAL__SERVER__{key}"), format!("127.0.0.1:{}", clinic.folder.port())));
        let (path, time) = (&clinic.config_path, TimeFrom::TheStore);
        let replica =
            clinic::start_replica(path, "off", listen, time, Restore::NotSaid, Workers::ByHand).await.unwrap();
        let server = format!("http://{}", replica.addr);
        let show = async |database_ms: i64| {
            let ahead = database_ms - clinic::now().0;
            run_sql(&url, format!("UPDATE clock_off SET ms = {ahead}")).await;
            let _ = replica.ground.clock.adopt(replica.ground.store.now().await.unwrap());
        };

        show(end.0 - WHILE_MS).await;
        let mut holder = Holder::new(&link);
        holder.ask_at(&server);
        assert_eq!(holder.look().await.says(), "ready", "{database_ahead_ms}");
        show(end.0 + 1000).await;
        assert_eq!(holder.look().await.says(), "expired", "{database_ahead_ms}");
        assert_eq!(holder.open().await.status, StatusCode::CONFLICT, "{database_ahead_ms}");
        assert_eq!(holder.file(1, None).await.status, StatusCode::NOT_FOUND, "{database_ahead_ms}");
        replica.stop.send(()).unwrap();
        replica.served.await.unwrap().unwrap();
    }
}

async fn run_sql(url: &str, sql: String) {
    let url = url.to_owned();
    let ran = tokio::task::spawn_blocking(move || PgConnection::establish(&url).unwrap().batch_execute(&sql));
    ran.await.unwrap().unwrap();
}

/// What a stranger behind the patient must not read on the page of a dead link.
const PHI_WORDS: [&str; 20] = [
    "hiv",
    "hba1c",
    "glucose",
    "blood",
    "panel",
    "lab",
    "test",
    "result",
    "report",
    "diagnos",
    "cancer",
    "pregnan",
    "doctor",
    "physician",
    "specimen",
    "loinc",
    "patient",
    "garcia",
    "birth",
    "mrn",
];

#[tokio::test(flavor = "multi_thread")]
async fn link_13_a_dead_link_says_what_happened_when_and_whom_to_call_and_nothing_of_the_patient() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let opened = clinic.sent("opened@example.test", ONE_OPENING, &paper()).await;
    Holder::new(&opened).read().await;
    let expired = clinic.sent(EMAIL.value, THREE_OPENINGS, &paper()).await;
    clinic.forward(Duration::from_hours(49));
    clinic.settle().await;
    let revoked = clinic.sent("revoked@example.test", THREE_OPENINGS, &paper()).await;
    clinic.desk().revoke(&clinic.deliveries().await[0].id, None).await.unwrap();
    let replaced = clinic.sent("replaced@example.test", THREE_OPENINGS, &paper()).await;
    clinic.desk().resend(&clinic.deliveries().await[0].id, None).await.unwrap();
    let (_, report) = clinic.report("recalled@example.test", THREE_OPENINGS, &paper()).await;
    clinic.hear_and_settle().await;
    let recalled = clinic.mailbox.wait_for("recalled@example.test", 1).await.link();
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!("entered-in-error")).await;
    clinic.hear_and_settle().await;

    let browser = Browser::open(DESKTOP).await;
    let names = [FAMILY, GIVEN, MRN, EMAIL, REPORT_TEXT, REPORT_TITLE];
    for (link, what) in [
        (&opened, "opened in another browser"),
        (&expired, "this link has run out"),
        (&revoked, "the clinic has closed this link"),
        (&replaced, "there is a newer message"),
        (&recalled, "the clinic took this document back"),
    ] {
        let told = told_to(&browser, link).await;
        assert!(told.contains(what), "{what}: {told}");
        assert!(told.contains(" cst") || told.contains(" cdt"), "no time with its zone: {told}");
        assert!(told.contains("riverside clinic") && told.contains("+1 555 0100"), "nobody to call: {told}");
        let reference = Reference::of(&WholeLink::read(link).id);
        assert!(told.contains(&reference.as_str().to_lowercase()), "no reference: {told}");
        let words: Vec<&str> = told.split(|c: char| !c.is_alphanumeric()).collect();
        for phi in PHI_WORDS {
            assert!(!words.iter().any(|word| word.starts_with(phi)), "'{phi}' on the page: {told}");
        }
        planted::assert_absent(what, told.as_bytes(), &names);
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

/// All that the page of this link shows, in small letters.
async fn told_to(browser: &Browser, link: &str) -> String {
    browser.goto("about:blank").await.unwrap();
    browser.goto(link).await.unwrap();
    wait::until_async("the page to tell of the end", async || {
        let text = browser.find(By::Css("body")).await.ok()?.text().await.ok()?.to_lowercase();
        let title = browser.title().await.ok()?.to_lowercase();
        text.contains("+1 555 0100").then(|| format!("{title}\n{text}"))
    })
    .await
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&[REPORT_TEXT.value])
}
