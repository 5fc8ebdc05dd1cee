//! What the audit tells of a report's whole way, line by line, on both databases: a line that is skipped is missed here.

use std::time::Duration;

use chartseal::desk::verify_audit;
use chartseal::sealing::ReceiptOutcome;
use chartseal::store;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::holder::Holder;
use crate::support::pdf;

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
