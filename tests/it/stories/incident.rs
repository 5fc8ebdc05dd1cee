//! Something went wrong: two people find, count and revoke what is affected, and keep a record of it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use chartseal::base::{DeliveryId, OperatorName};
use chartseal::store::{self, IncidentApproval};
use diesel::connection::SimpleConnection as _;
use serde_json::Value;

use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::holder::{Holder, WholeLink};
use crate::support::staff::{APPROVER, DESK, OTHER_APPROVER, Staff};
use crate::support::{pdf, program, wait};

const PANEL: &str = "24323-8";
const HBA1C: &str = "4548-4";
const OPENED: &str = "opened@example.test";
const UNOPENED: &str = "unopened@example.test";
const ENDED: &str = "ended@example.test";
const ELSEWHERE: &str = "elsewhere@example.test";
const BY_RULE: [&str; 2] = ["--rule", "several-openings"];

fn paper() -> Vec<u8> {
    pdf::with_pages(&["first"])
}

/// A clinic that sent three panels, of which one was read and one revoked, and one report by another rule.
async fn clinic_with_panels() -> (Clinic, Staff, Vec<String>) {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let mut links = Vec::new();
    for (email, code) in [(OPENED, PANEL), (UNOPENED, PANEL), (ENDED, PANEL), (ELSEWHERE, HBA1C)] {
        links.push(clinic.sent(email, code, &paper()).await);
    }
    assert_eq!(Holder::new(&links[0]).read().await, paper());
    clinic.desk().revoke(WholeLink::read(&links[2]).id.as_str(), None).await.unwrap();
    let staff = Staff::hire(&clinic.config_path);
    (clinic, staff, links)
}

fn asks(clinic: &Clinic, arguments: &[&str]) -> Value {
    let ran = program::run(&clinic.config_path, &[arguments, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.all());
    ran.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_revoke_all_that_one_rule_let_out_and_the_record_says_what_was_opened() {
    let (clinic, staff, links) = clinic_with_panels().await;
    let preview = asks(&clinic, &[&["incident", "preview"], &BY_RULE[..]].concat());
    let counts = ["deliveries", "opened", "revocable"].map(|key| preview[key].as_u64());
    assert_eq!(counts, [Some(3), Some(1), Some(2)], "{preview}");
    assert_eq!(preview["by_state"], serde_json::json!({"live": 2, "revoked": 1}));

    let propose = [&["incident", "propose", "--why", "wrong panels"], &BY_RULE[..]].concat();
    let by_name_alone = program::run(&clinic.config_path, &propose);
    assert_eq!(by_name_alone.code, 2, "{}", by_name_alone.all());
    let proposed = staff.does(DESK, &propose);
    assert_eq!(proposed["deliveries"], 3);
    let number = proposed["incident"].to_string();
    assert_eq!(Holder::new(&links[1]).look().await.says(), "ready", "one person revokes nothing");
    let own = staff.says(DESK, &["incident", "approve", &number]);
    assert!(own.code == 1 && own.err.contains("second person"), "{}", own.all());
    // What is sent meanwhile was not in the list that the second person sees.
    let later = clinic.sent("later@example.test", PANEL, &paper()).await;

    let record = staff.does(APPROVER, &["incident", "approve", &number]);
    let outcomes: Vec<(&str, u64)> = record["affected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["outcome"].as_str().unwrap(), one["opened"].as_u64().unwrap()))
        .collect();
    for outcome in [("revoked_opened", 1), ("revoked_unopened", 0), ("had_ended", 0)] {
        assert!(outcomes.contains(&outcome), "{outcome:?} is not among {outcomes:?}");
    }
    for (link, says) in [(&links[0], "revoked"), (&links[1], "revoked"), (&links[2], "revoked"), (&links[3], "ready")] {
        assert_eq!(Holder::new(link).look().await.says(), says);
    }
    assert_eq!(Holder::new(&later).look().await.says(), "ready");
    let id = record["affected"][0]["delivery"].as_str().unwrap().to_owned();
    let audit = serde_json::to_value(&clinic.show(&id).await.audit).unwrap().to_string();
    assert!(record["affected"][0]["outcome"] == "had_ended" || audit.contains("incident 1: wrong panels"), "{audit}");
    clinic.forward(Duration::from_mins(1));
    clinic.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_affected_are_a_table_without_names_or_addresses_for_its_owner_alone() {
    let (clinic, staff, _) = clinic_with_panels().await;
    let propose = [&["incident", "propose", "--why", "wrong panels"], &BY_RULE[..]].concat();
    let number = staff.does(DESK, &propose)["incident"].to_string();
    staff.does(APPROVER, &["incident", "approve", &number]);
    let file = clinic.config_path.with_file_name("affected.csv");
    let show = ["incident", "show", &number, "--csv", file.to_str().unwrap()];
    let record = asks(&clinic, &show);
    assert_eq!((&record["proposed_by"], &record["approved_by"]), (&DESK.into(), &APPROVER.into()));
    assert!(record["ended_at"].is_string(), "{record}");
    let table = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(table.lines().count(), 4, "a head and three lines");
    assert!(table.starts_with("delivery,ehr,resource,") && table.contains("DiagnosticReport/"), "{table}");
    assert_eq!(table.matches("revoked_unopened,0").count(), 1, "{table}");
    assert!(!table.contains('@') && !table.contains("Garcia"), "it names a patient");
    let again = program::run(&clinic.config_path, &show);
    assert!(again.code == 2 && again.err.contains("new file"), "{}", again.all());
    let listed = program::run(&clinic.config_path, &["incident", "list"]);
    assert!(listed.out.contains("wrong panels") && listed.out.contains("ended"), "{}", listed.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_was_interrupted_goes_on_where_it_stopped() {
    let (clinic, staff, links) = clinic_with_panels().await;
    let propose = [&["incident", "propose", "--why", "wrong panels"], &BY_RULE[..]].concat();
    let incident = staff.does(DESK, &propose)["incident"].as_i64().unwrap();
    // Approved, and then the command died.
    let approver = OperatorName::parse(APPROVER).unwrap();
    let now = clinic.now();
    let approved = clinic.ground.store.write(move |tx| store::approve_incident(tx, incident, &approver, now)).await;
    assert!(matches!(approved.unwrap(), IncidentApproval::Done(_)));
    let listed = program::run(&clinic.config_path, &["incident", "list"]).out;
    assert!(listed.contains("not ended"), "{listed}");
    let record = staff.does(OTHER_APPROVER, &["incident", "approve", &incident.to_string()]);
    assert_eq!(record["approved_by"], APPROVER, "the deed stays the approver's");
    assert!(record["affected"].as_array().unwrap().iter().all(|one| one["outcome"].is_string()), "{record}");
    assert_eq!(Holder::new(&links[1]).look().await.says(), "revoked");
    let unknown = staff.says(APPROVER, &["incident", "approve", "99"]);
    assert!(unknown.code == 1 && unknown.err.contains("incident list"), "{}", unknown.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_chosen_by_version_ehr_and_time() {
    let (clinic, staff, _) = clinic_with_panels().await;
    let id = clinic.deliveries().await[0].id.clone();
    let hash = clinic.show(&id).await.rules_hash;
    let (later, earlier) = (
        clinic.now().plus(Duration::from_millis(1)).to_rfc3339(),
        clinic.now().minus(Duration::from_hours(100)).to_rfc3339(),
    );
    let count = |more: &[&str]| {
        let all = [&["incident", "preview", "--version", &hash[..12]], more].concat();
        asks(&clinic, &all)["deliveries"].as_u64().unwrap()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--ehr", "lab", "--from", &earlier]), 4);
    assert_eq!(count(&["--ehr", "other"]), 0);
    assert_eq!(count(&["--from", &later]), 0);
    assert_eq!(count(&["--to", &earlier]), 0);
    assert_eq!(count(&["--rule", "routine"]), 1);
    let all = program::run(&clinic.config_path, &["incident", "preview"]);
    assert!(all.code == 2 && all.err.contains("--rule"), "everything is no incident: {}", all.all());
    let nothing = staff.says(DESK, &["incident", "propose", "--rule", "absent", "--why", "x"]);
    assert!(nothing.code == 1 && nothing.err.contains("nothing to propose"), "{}", nothing.all());
}

/// A clinic whose one panel is read by a patient, and 60 more of the same that wait for a person; proposed as an incident.
async fn clinic_with_many(database: Database) -> (Clinic, Staff, String, i64) {
    let clinic = Clinic::spawn(Wishes { database, ..Wishes::default() }).await;
    let link = clinic.sent(OPENED, PANEL, &paper()).await;
    let copies = "WITH RECURSIVE n(i) AS (SELECT 101 UNION ALL SELECT i + 1 FROM n WHERE i < 160) \
         INSERT INTO delivery (id, report_version, state, state_detail, source_id, ehr, clinic, content_hash, recipient, \
         issue_no, mode, kind, row_version, state_at, tries, decision, facts, trace, rules_hash, created_at) \
         SELECT 'incident-copy' || i, report_version || i, 'review', \
         '{\"state\":\"review\",\"why\":{\"reason\":\"no_rule\"}}', source_id, ehr, clinic, content_hash, recipient, issue_no, \
         mode, kind, row_version, state_at, tries, decision, facts, trace, rules_hash, created_at FROM delivery, n";
    change(&clinic, copies).await;
    let staff = Staff::hire(&clinic.config_path);
    let proposed = staff.does(DESK, &[&["incident", "propose", "--why", "wrong panels"], &BY_RULE[..]].concat());
    assert_eq!(proposed["deliveries"], MANY as u64);
    let incident = proposed["incident"].as_i64().unwrap();
    (clinic, staff, link, incident)
}

const MANY: usize = 61;

async fn change(clinic: &Clinic, sql: &'static str) {
    clinic.ground.store.write(move |tx| Ok(tx.conn().batch_execute(sql)?)).await.unwrap();
}

async fn settled(clinic: &Clinic, incident: i64) -> usize {
    let affected = clinic.ground.store.read(move |conn| store::affected_of(conn, incident)).await.unwrap();
    affected.iter().filter(|one| one.outcome.is_some()).count()
}

/// The last one that the command comes to: it stands in the third batch.
async fn last_affected(clinic: &Clinic, incident: i64) -> DeliveryId {
    let affected = clinic.ground.store.read(move |conn| store::affected_of(conn, incident)).await.unwrap();
    affected.last().unwrap().delivery.clone()
}

/// How often each event stands in the audit.
fn events(clinic: &Clinic) -> BTreeMap<String, usize> {
    let exported = program::run(&clinic.config_path, &["audit", "export"]);
    assert_eq!(exported.code, 0, "{}", exported.err);
    let mut events = BTreeMap::new();
    for line in exported.out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        *events.entry(line["event"]["event"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    events
}

/// The service finds what was left, ends it, and says so once.
async fn goes_on_by_itself(clinic: &Clinic, link: &str, incident: i64) {
    let done = settled(clinic, incident).await;
    assert!(0 < done && done < MANY, "it stopped half-way: {done}");
    assert_eq!(events(clinic).get("incident_ended"), None);
    clinic.forward(Duration::from_mins(2));
    for _ in 0..2 {
        clinic.settle().await;
        assert_eq!(settled(clinic, incident).await, MANY);
        let events = events(clinic);
        let times = |name: &str| events.get(name).copied().unwrap_or(0);
        assert_eq!(["incident_approved", "incident_carried_on", "incident_ended"].map(times), [1, 1, 1]);
        assert_eq!(times("revoke_asked"), MANY, "each was revoked once");
    }
    assert_eq!(Holder::new(link).look().await.says(), "revoked");
    let record = asks(clinic, &["incident", "show", &incident.to_string()]);
    assert_eq!(record["approved_by"], APPROVER, "the deeds stay the approver's");
    assert!(record["ended_at"].is_string(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_whose_command_gave_up_half_way_goes_on_by_itself() {
    let (clinic, staff, link, incident) = clinic_with_many(Database::Sqlite).await;
    let last = last_affected(&clinic, incident).await;
    let fails = format!(
        "CREATE TRIGGER fails BEFORE UPDATE ON incident_delivery WHEN NEW.delivery_id = '{last}' \
         BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
    );
    clinic.ground.store.write(move |tx| Ok(tx.conn().batch_execute(&fails)?)).await.unwrap();
    let gave_up = staff.says(APPROVER, &["incident", "approve", &incident.to_string()]);
    assert_eq!(gave_up.code, 2, "{}", gave_up.all());
    change(&clinic, "DROP TRIGGER fails").await;
    goes_on_by_itself(&clinic, &link, incident).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_whose_command_was_killed_half_way_goes_on_by_itself() {
    let (clinic, staff, link, incident) = clinic_with_many(Database::Postgres).await;
    let last = last_affected(&clinic, incident).await;
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (holds, is_held) = tokio::sync::oneshot::channel();
    let store = clinic.ground.store.clone();
    let holding = tokio::spawn(async move {
        let hold = format!("SELECT 1 FROM delivery WHERE id = '{last}' FOR UPDATE");
        let deed = move |tx: &mut store::Tx| {
            tx.conn().batch_execute(&hold)?;
            let _ = holds.send(());
            let _ = held.recv();
            Ok(())
        };
        store.write(deed).await.unwrap();
    });
    is_held.await.unwrap();
    let mut command = staff.begins(APPROVER, &["incident", "approve", &incident.to_string()]);
    let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait::until_async("all but the last batch to be revoked", async || {
        (settled(&clinic, incident).await == 50).then_some(())
    })
    .await;
    command.kill().unwrap();
    command.wait().unwrap();
    let_go.send(()).unwrap();
    holding.await.unwrap();
    goes_on_by_itself(&clinic, &link, incident).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_leaves_an_incident_to_the_command_that_is_at_it() {
    let (clinic, _staff, links) = clinic_with_panels().await;
    let criteria = store::IncidentCriteria { rule: Some("several-openings".to_owned()), ..Default::default() };
    let (by, other) = (OperatorName::parse(DESK).unwrap(), OperatorName::parse(APPROVER).unwrap());
    let now = clinic.now();
    let approved = clinic.ground.store.write(move |tx| {
        let (incident, _) = store::propose_incident(tx, &criteria, "wrong panels", &by, now)?;
        store::approve_incident(tx, incident, &other, now)
    });
    assert!(matches!(approved.await.unwrap(), IncidentApproval::Done(_)));
    clinic.settle().await;
    assert_eq!(Holder::new(&links[1]).look().await.says(), "ready");
    assert_eq!(events(&clinic).get("incident_carried_on"), None);
    clinic.forward(Duration::from_mins(2));
    clinic.settle().await;
    assert_eq!(Holder::new(&links[1]).look().await.says(), "revoked");
}
