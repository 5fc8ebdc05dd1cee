//! What the audit tells of a report's whole way, line by line, on both databases: a line that is skipped is missed here.

use std::time::Duration;

use chartseal::desk::verify_audit;
use chartseal::sealing::ReceiptOutcome;
use chartseal::store;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::holder::Holder;
use crate::support::place::Place;
use crate::support::{part, pdf, program};

const THREE_OPENINGS: &str = "24323-8";

#[tokio::test(flavor = "multi_thread")]
async fn each_chain_tells_the_whole_way_of_its_report_on_sqlite() {
    the_whole_way(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_chain_tells_the_whole_way_of_its_report_on_postgresql() {
    the_whole_way(Database::Postgres).await;
}

async fn the_whole_way(database: Database) {
    let clinic = Clinic::spawn(Wishes { database, ..Wishes::default() }).await;

    let expired = Followed::read_once(&clinic, "expired@example.test").await;
    clinic.forward(Duration::from_hours(49));
    clinic.settle().await;

    let revoked = Followed::read_once(&clinic, "revoked@example.test").await;
    clinic.desk().revoke(&revoked.delivery, Some("a wrong number".to_owned())).await.unwrap();
    clinic.settle().await;

    let recalled = Followed::read_once(&clinic, "recalled@example.test").await;
    clinic
        .lab()
        .change("DiagnosticReport", &recalled.report, |report| report["status"] = "entered-in-error".into())
        .await;
    clinic.hear_and_settle().await;

    let way = [
        "system decided",
        "system stepped to live",
        "system sealed",
        "system notice_queued",
        "system stepped to live",
        "system notice_attempted",
        "system notice_stepped to sent",
        "holder landed",
        "holder claimed",
        "holder decrypted",
    ];
    for (followed, end) in [
        (&expired, &["system shredded", "system stepped to expired", "system files_removed"][..]),
        (
            &revoked,
            &["operator revoke_asked", "system shredded", "operator stepped to revoked", "system files_removed"],
        ),
        (&recalled, &["system shredded", "ehr stepped to recalled", "system files_removed"]),
    ] {
        assert_eq!(told(&clinic, &format!("delivery:{}", followed.delivery)).await, [&way, end].concat());
    }
    for (followed, heard) in [
        (&expired, &["ehr heard"][..]),
        (&revoked, &["ehr heard"]),
        (&recalled, &["ehr heard", "ehr heard", "system not_for_sending"]),
    ] {
        let mut told = told(&clinic, &followed.source(&clinic).await).await;
        // A poll may read again what it has read: as often as it likes.
        told.retain(|event| event != "system unchanged");
        assert_eq!(told, heard);
    }
    let verified = verify_audit(&clinic.ground.store, &clinic.ground.vault).await.unwrap();
    assert!(verified.faults.is_empty() && verified.lines > 3 * way.len(), "{:?}", verified.faults);
}

/// A report on its way.
struct Followed {
    report: String,
    delivery: String,
}

impl Followed {
    /// Heard, sent, opened and decrypted in one browser.
    async fn read_once(clinic: &Clinic, email: &str) -> Self {
        let paper = pdf::with_pages(&["HbA1c 5.4 %"]);
        let (_, report) = clinic.report(email, THREE_OPENINGS, &paper).await;
        clinic.hear_and_settle().await;
        let link = clinic.mailbox.wait_for(email, 1).await.link();
        let mut holder = Holder::new(&link);
        holder.look().await;
        assert_eq!(holder.claim_and_read().await.1, paper);
        assert_eq!(holder.receipt(ReceiptOutcome::Decrypted).await, StatusCode::NO_CONTENT);
        let delivery = clinic.delivery_of(&report).await.id;
        Self { report, delivery }
    }

    /// The chain of the report itself, which is there before its delivery.
    async fn source(&self, clinic: &Clinic) -> String {
        let id = self.delivery.parse().unwrap();
        let delivery = clinic.ground.store.read(move |conn| store::delivery(conn, &id)).await.unwrap().unwrap();
        format!("source:{}", delivery.source)
    }
}

/// The chain's events in order: who, what, and where a step leads.
async fn told(clinic: &Clinic, chain: &str) -> Vec<String> {
    let chain = chain.to_owned();
    let lines = clinic.ground.store.read(move |conn| store::chain_lines(conn, &chain)).await.unwrap();
    lines.iter().map(|line| named(&serde_json::from_str(&line.body).unwrap())).collect()
}

fn named(body: &Value) -> String {
    let actor = &body["actor"];
    let who = actor.as_str().or_else(|| Some(actor.as_object()?.keys().next()?.as_str())).unwrap();
    let to = body["to"]["state"].as_str().map(|state| format!(" to {state}")).unwrap_or_default();
    format!("{who} {}{to}", body["event"].as_str().unwrap())
}

#[test]
fn the_keys_and_migrations_of_an_installation_stand_in_its_audit_once() {
    let folder = Place::new("audited");
    let config = folder.join("chartseal.toml");
    assert_eq!(program::run(&config, &["init", &folder.display().to_string()]).code, 0);
    for _ in 0..2 {
        assert_eq!(program::run(&config, &["migrate"]).code, 0);
        assert_eq!(program::run(&config, &["check"]).code, 0);
    }
    let exported = program::run(&config, &["audit", "export"]).out;
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |event: &str| {
        let events = lines.iter().map(|line| &line["event"]).filter(|body| body["event"] == event);
        events.map(|body| body["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let folder = std::fs::read_dir(part::in_project("migrations/sqlite")).unwrap();
    let mut migrations: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    migrations.sort();
    assert_eq!((named("key_made"), named("migrated")), (vec!["root".to_owned()], migrations));
    let made = lines.iter().find(|line| line["event"]["event"] == "key_made").unwrap();
    let listed = program::run(&config, &["keys", "list", "--json"]).json();
    assert_eq!(made["event"]["fingerprint"], listed[0]["fingerprint"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_that_ended_was_made_first() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.sent("ana@example.test", THREE_OPENINGS, &pdf::with_pages(&["HbA1c 5.4 %"])).await;
    clinic.forward(Duration::from_hours(24 * 7));
    clinic.settle().await;
    let told = told_of_keys(&clinic).await;
    let made: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("key_made ")).collect();
    let destroyed: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("key_destroyed ")).collect();
    assert!(["root", "epoch", "outbox"].iter().all(|kind| made.iter().any(|key| key.starts_with(kind))), "{told:?}");
    assert!(!destroyed.is_empty() && destroyed.iter().all(|key| made.contains(key)), "{told:?}");
}

/// What the installation's chain says of keys, in order: what, which kind, which name.
async fn told_of_keys(clinic: &Clinic) -> Vec<String> {
    let lines = clinic.ground.store.read(|conn| store::chain_lines(conn, "installation")).await.unwrap();
    let bodies = lines.iter().map(|line| serde_json::from_str::<Value>(&line.body).unwrap());
    let words =
        |body: Value| ["event", "kind", "name"].map(|key| body[key].as_str().unwrap_or("").to_owned()).join(" ");
    bodies.map(words).filter(|line| line.starts_with("key_")).collect()
}
