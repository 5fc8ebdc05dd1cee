//! Changing the rules while reports are on their way: two people, one instant, and what was decided before.

use std::time::Duration;

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom};
use reqwest::Method;
use serde_json::Value;

use crate::support::clinic::{self, Clinic, Database, RULES, Wishes};
use crate::support::holder::Holder;
use crate::support::staff::{APPROVER, AUTHOR, DESK, LEAD, OTHER_APPROVER, Staff};
use crate::support::{pdf, program};

const PANEL: &str = "24323-8";
const ANA: &str = "ana@example.test";
const BEN: &str = "ben@example.test";

/// One rule for panels.
fn panels(version: &str, then: &str) -> String {
    format!(
        "[policy]\nid = \"test\"\nversion = \"{version}\"\n\n[[profile]]\nid = \"panels\"\n\
         when = {{ code = \"loinc|24323-8\" }}\nthen = {{ {then} }}\n"
    )
}

fn sent(version: &str) -> String {
    panels(version, "action = \"send\", expiry = \"48h\", opens = 3")
}

fn reviewed(version: &str) -> String {
    panels(version, "action = \"manual_review\", expiry = \"48h\", opens = 3")
}

fn held(version: &str, hours: u32) -> String {
    panels(version, &format!("action = \"send\", expiry = \"48h\", hold = \"{hours}h\", basis = \"clinic_policy\""))
}

async fn clinic_with(rules: String) -> (Clinic, Staff) {
    let clinic = Clinic::spawn(Wishes { rules, ..Wishes::default() }).await;
    let staff = Staff::hire(&clinic.config_path);
    (clinic, staff)
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["first"])
}

fn listed(clinic: &Clinic, list: &str) -> Vec<Value> {
    let ran = program::run(&clinic.config_path, &["rules", list, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    ran.json().as_array().unwrap().clone()
}

/// What the service decides at this very moment about a report that it hears of now.
async fn decided_now(clinic: &Clinic, email: &str) -> Value {
    let (_, report) = clinic.report(email, PANEL, &paper()).await;
    clinic.hook(Method::PUT, &format!("/DiagnosticReport/{report}"), "").await;
    clinic.settle().await;
    let id = clinic.delivery_of(&report).await.id;
    serde_json::to_value(clinic.show(&id).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_the_rules_that_they_wrote_and_another_person_does() {
    let (clinic, staff) = clinic_with(RULES.to_owned()).await;
    let hash = staff.proposes(&reviewed("2"));
    let not_theirs = staff.says(AUTHOR, &["rules", "approve", &hash]);
    assert!(not_theirs.code == 1 && not_theirs.err.contains("an approver or a lead may"), "{}", not_theirs.all());
    let not_theirs = staff.says(DESK, &["rules", "propose", clinic.config_path.to_str().unwrap()]);
    assert!(not_theirs.code == 1 && not_theirs.err.contains("an author"), "{}", not_theirs.all());

    let file = clinic.config_path.with_file_name("own.toml");
    std::fs::write(&file, reviewed("3")).unwrap();
    let own = staff.does(APPROVER, &["rules", "propose", file.to_str().unwrap()]);
    let own = own["hash"].as_str().unwrap();
    let refused = staff.says(APPROVER, &["rules", "approve", own]);
    assert!(refused.code == 1 && refused.err.contains("nobody approves"), "{}", refused.all());
    let by_name_alone = program::run(&clinic.config_path, &["rules", "approve", own, "--as", OTHER_APPROVER]);
    assert_eq!(by_name_alone.code, 2, "{}", by_name_alone.all());
    staff.approves(OTHER_APPROVER, own, &[]);
    let again = staff.says(OTHER_APPROVER, &["rules", "approve", own]);
    assert!(again.code == 1 && again.err.contains("only a draft"), "{}", again.all());

    assert_eq!(staff.says(AUTHOR, &["rules", "withdraw", &hash]).code, 0);
    let withdrawn = staff.says(APPROVER, &["rules", "approve", &hash]);
    assert!(withdrawn.code == 1 && withdrawn.err.contains("withdrawn"), "{}", withdrawn.all());
    let states: Vec<Value> = listed(&clinic, "versions").into_iter().map(|row| row["in_force"].clone()).collect();
    assert_eq!(states.iter().filter(|state| **state == true).count(), 1);

    let faulty = clinic.config_path.with_file_name("faulty.toml");
    std::fs::write(&faulty, "[policy]\nid = \"test\"\nversion = 4\n").unwrap();
    let refused = staff.says(AUTHOR, &["rules", "propose", faulty.to_str().unwrap()]);
    assert!(refused.code == 1 && refused.err.contains("line 3"), "{}", refused.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_in_force_from_its_instant_on_to_the_millisecond() {
    let (clinic, staff) = clinic_with(sent("1")).await;
    let of_file = chartseal::policy::RuleSet::parse(&sent("1")).unwrap().rules_hash_hex();
    let hash = staff.proposes(&reviewed("2"));
    let at = clinic.now().plus(Duration::from_hours(2));
    let approved = staff.approves(APPROVER, &hash, &["--effective", &at.to_rfc3339()]);
    assert_eq!(approved["effective_at"], Value::from(at.to_rfc3339()));

    clinic.forward(at.minus(Duration::from_millis(1)).since(clinic.now()));
    let before = decided_now(&clinic, ANA).await;
    assert_eq!((&before["state"], &before["rules_hash"]), (&"live".into(), &Value::from(of_file)));
    clinic.forward(Duration::from_millis(1));
    let after = decided_now(&clinic, BEN).await;
    assert_eq!((&after["state"], &after["rules_hash"]), (&"review".into(), &Value::from(hash)));
    assert_eq!(clinic.mails_to(ANA).len(), 1);
    assert_eq!(clinic.mails_to(BEN).len(), 0);
    // What is out is for a person to judge.
    let stricter = listed(&clinic, "stricter");
    assert_eq!((stricter.len(), &stricter[0]["id"]), (1, &before["id"]));
    assert_eq!(Holder::new(&clinic.mails_to(ANA)[0].link()).look().await.says(), "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_becomes_stricter_by_itself_and_looser_only_by_a_persons_word() {
    let (clinic, staff) = clinic_with(held("1", 24)).await;
    let (_, report) = clinic.report(ANA, PANEL, &paper()).await;
    clinic.hear_and_settle().await;
    let id = clinic.delivery_of(&report).await.id;
    assert_eq!(clinic.only_delivery().await.state, "held");

    let longer = staff.brings_into_force(&held("2", 96));
    clinic.settle().await;
    let shown = serde_json::to_value(clinic.show(&id).await).unwrap();
    assert_eq!((&shown["state"], &shown["rules_hash"]), (&"held".into(), &Value::from(longer)));
    assert!(shown["audit"].to_string().contains("redecided"), "{}", shown["audit"]);
    clinic.forward(Duration::from_hours(48));
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "held", "the longer hold counts from the report's own time");

    let asked = staff.says(DESK, &["deliveries", "redecide", &id]);
    assert!(asked.code == 1 && asked.err.contains("nothing looser"), "{}", asked.all());
    let easier = staff.brings_into_force(&sent("3"));
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "held", "nothing became looser by itself");
    let looser = listed(&clinic, "looser");
    assert_eq!((looser.len(), &looser[0]["id"], &looser[0]["rules_hash"]), (1, &id.clone().into(), &easier.into()));

    staff.does(DESK, &["deliveries", "redecide", &id]);
    assert_eq!(listed(&clinic, "looser"), Vec::<Value>::new());
    clinic.settle().await;
    clinic.hear_and_settle().await;
    assert_eq!((clinic.only_delivery().await.state, clinic.mails_to(ANA).len()), ("live", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_is_not_let_go_by_looser_rules_and_is_ended_by_rules_that_forbid_it() {
    let (clinic, staff) = clinic_with(reviewed("1")).await;
    clinic.report(ANA, PANEL, &paper()).await;
    clinic.hear_and_settle().await;
    let id = clinic.only_delivery().await.id;
    staff.brings_into_force(&sent("2"));
    clinic.settle().await;
    assert_eq!((clinic.only_delivery().await.state, clinic.mails_to(ANA).len()), ("review", 0));
    assert_eq!(listed(&clinic, "looser")[0]["id"], Value::from(id.clone()));
    staff.brings_into_force(&panels("3", "action = \"block\""));
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "blocked");
    assert_eq!(listed(&clinic, "looser"), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_link_only_ever_gives_less() {
    let (clinic, staff) = clinic_with(sent("1")).await;
    let link = clinic.sent(ANA, PANEL, &paper()).await;
    let id = clinic.only_delivery().await.id;
    let before = clinic.show(&id).await;
    staff.brings_into_force(&panels("2", "action = \"send\", expiry = \"24h\", opens = 2"));
    clinic.settle().await;
    let less = clinic.show(&id).await;
    assert_eq!((before.opens_max, less.opens_max), (Some(3), Some(2)));
    let ends = |shown: &chartseal::desk::Shown| {
        chartseal::base::UtcMillis::parse_rfc3339(shown.expires_at.as_deref().unwrap()).unwrap()
    };
    assert_eq!(ends(&before).since(ends(&less)), Duration::from_hours(24));

    staff.brings_into_force(&panels("3", "action = \"send\", expiry = \"72h\", opens = 9"));
    clinic.settle().await;
    let same = clinic.show(&id).await;
    assert_eq!((same.opens_max, ends(&same)), (Some(2), ends(&less)), "it gives more again");
    assert_eq!(Holder::new(&link).read().await, paper());
    clinic.forward(Duration::from_hours(25));
    clinic.settle().await;
    assert_eq!(Holder::new(&link).look().await.says(), "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_left_under_the_rules_of_then() {
    let (clinic, staff) = clinic_with(sent("1")).await;
    clinic.sent(ANA, PANEL, &paper()).await;
    let old = clinic.only_delivery().await.id;
    let hash = staff.brings_into_force(&panels("2", "action = \"send\", expiry = \"24h\", opens = 1"));
    clinic.settle().await;
    let again = staff.does(DESK, &["deliveries", "resend", &old])["delivery"].as_str().unwrap().to_owned();
    clinic.settle().await;
    let shown = clinic.show(&again).await;
    assert_eq!((shown.brief.state, shown.opens_max, shown.rules_hash), ("live", Some(1), hash));

    staff.brings_into_force(&panels("3", "action = \"block\""));
    clinic.settle().await;
    let refused = staff.says(DESK, &["deliveries", "resend", &again]);
    assert!(refused.code == 1 && refused.err.contains("the rules in force forbid it"), "{}", refused.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_is_one_step_of_one_person_and_an_emergency_needs_nobody_else() {
    let (clinic, staff) = clinic_with(sent("1")).await;
    let refused = staff.says(APPROVER, &["rules", "rollback"]);
    assert!(refused.code == 1 && refused.err.contains("no other version"), "{}", refused.all());
    let first = staff.brings_into_force(&sent("2"));
    let file = clinic.config_path.with_file_name("emergency.toml");
    std::fs::write(&file, reviewed("3")).unwrap();
    let propose = ["rules", "propose", file.to_str().unwrap(), "--emergency", "--note", "wrong reports"];
    let second = staff.does(AUTHOR, &propose)["hash"].as_str().unwrap().to_owned();
    clinic.forward(Duration::from_mins(5));
    assert_eq!(decided_now(&clinic, ANA).await["rules_hash"], Value::from(second.clone()));

    let refused = staff.says(AUTHOR, &["rules", "rollback"]);
    assert_eq!(refused.code, 1, "an author goes back alone: {}", refused.all());
    assert_eq!(staff.does(APPROVER, &["rules", "rollback"])["hash"], Value::from(first.clone()));
    assert_eq!(decided_now(&clinic, BEN).await["rules_hash"], Value::from(first.clone()));
    let again = staff.says(LEAD, &["rules", "rollback", &first[..10]]);
    assert!(again.code == 1 && again.err.contains("in force already"), "{}", again.all());
    assert_eq!(staff.does(LEAD, &["rules", "rollback", &second[..10]])["hash"], Value::from(second));
    let audit = program::run(&clinic.config_path, &["audit", "export"]).out;
    for event in ["rules_of_file", "rules_proposed", "rules_approved", "rules_in_emergency", "rules_rolled_back"] {
        assert!(audit.contains(event), "the audit says nothing of {event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_approved_version_counts_and_the_file_does_not() {
    let (mut clinic, staff) = clinic_with(sent("1")).await;
    let hash = staff.brings_into_force(&reviewed("2"));
    let checked = program::run(&clinic.config_path, &["check"]);
    assert!(checked.out.contains("the file counts for nothing"), "{}", checked.all());
    clinic.stop().await.unwrap();
    clinic.start_again(Restore::NotSaid).await.unwrap();
    clinic.forward(Duration::from_mins(5));
    assert_eq!(decided_now(&clinic, ANA).await["rules_hash"], Value::from(hash));
    assert_eq!(clinic.mails_to(ANA).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_switch_at_the_same_instant() {
    let wishes = Wishes { database: Database::Postgres, rules: sent("1"), ..Wishes::default() };
    let clinic = Clinic::spawn(wishes).await;
    let addresses = ["LISTEN", "ADMIN_LISTEN"]
        .map(|key| (format!("CHARTSEAL__SERVER__{key}"), format!("127.0.0.1:{}", clinic.folder.port())));
    let time = TimeFrom::Steps(clinic.now());
    let (restore, workers) = (Restore::NotSaid, Workers::ByHand);
    let second = clinic::start_replica(&clinic.config_path, "second", addresses, time, restore, workers).await.unwrap();
    let staff = Staff::hire(&clinic.config_path);
    let hash = staff.proposes(&reviewed("2"));
    let at = clinic.now().plus(Duration::from_hours(2));
    staff.approves(APPROVER, &hash, &["--effective", &at.to_rfc3339()]);
    let forward = |span: Duration| {
        clinic.forward(span);
        second.ground.clock.forward(span);
    };

    forward(at.minus(Duration::from_millis(1)).since(clinic.now()));
    let hears = async |email: &str| {
        let (_, report) = clinic.report(email, PANEL, &paper()).await;
        clinic.hook(Method::PUT, &format!("/DiagnosticReport/{report}"), "").await;
        report
    };
    let first = hears(ANA).await;
    second.steps.run_until_idle().await.unwrap();
    let mut states = vec![clinic.delivery_of(&first).await.state];
    forward(Duration::from_millis(1));
    let mut after = vec![hears(BEN).await];
    clinic.settle().await;
    after.push(hears("cee@example.test").await);
    second.steps.run_until_idle().await.unwrap();
    for report in &after {
        let delivery = clinic.delivery_of(report).await;
        assert_eq!(clinic.show(&delivery.id).await.rules_hash, hash);
        states.push(delivery.state);
    }
    assert_eq!(states, ["live", "review", "review"]);
    let _ = second.stop.send(());
    second.served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_has_not_left_does_not_leave_under_rules_that_hold_it_back() {
    let (clinic, staff) = clinic_with(sent("1")).await;
    clinic.desk().pause("an incident").await.unwrap();
    clinic.report(ANA, PANEL, &paper()).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    let hash = staff.proposes(&reviewed("2"));
    let at = clinic.now().plus(Duration::from_mins(1));
    staff.approves(APPROVER, &hash, &["--effective", &at.to_rfc3339()]);
    clinic.forward(Duration::from_mins(1));
    clinic.desk().resume().await.unwrap();
    // Whoever sends looks first.
    assert_eq!(clinic.steps.outbox.turn().await.unwrap(), 0);
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, clinic.mails_to(ANA).len()), ("review", 0), "{}", brief.note);
    assert!(brief.note.contains("'panels'"), "{}", brief.note);
}
