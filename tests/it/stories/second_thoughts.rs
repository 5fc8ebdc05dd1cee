//! What changes while a report is on its way, and what is no longer on its way.

use std::time::Duration;

use chartseal::base::{DeliveryId, UtcMillis};
use chartseal::store;
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Wishes};
use crate::support::holder::Holder;
use crate::support::staff::{LEAD, Staff};
use crate::support::{ehr, pdf, wait};

const PANEL: &str = "24323-8";
const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";
/// Panels wait for three days; what is in the category "SP" is for a person.
const HELD: &str = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "held"
when = { code = "loinc|24323-8" }
then = { action = "send", expiry = "48h", hold = "72h", basis = "clinic_policy" }

[[profile]]
id = "special"
when = { category = "http://terminology.hl7.org/CodeSystem/v2-0074|SP" }
then = { action = "manual_review" }
"#;

fn paper() -> Vec<u8> {
    pdf::with_pages(&["first"])
}

async fn read_at(clinic: &Clinic, delivery: &str) -> Option<UtcMillis> {
    let id = DeliveryId::parse(delivery).unwrap();
    let look = move |conn: &mut store::Conn| {
        let source = store::delivery(conn, &id)?.unwrap().source;
        Ok(store::source(conn, &source)?.unwrap().read_at)
    };
    clinic.ground.store.read(look).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_living_link_is_read_again_and_that_of_a_dead_one_never() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.sent(ANA, PANEL, &paper()).await;
    let id = clinic.only_delivery().await.id;
    let first = read_at(&clinic, &id).await;
    clinic.forward(Duration::from_mins(16));
    clinic.settle().await;
    let second = read_at(&clinic, &id).await;
    assert!(second > first, "a living link's report is looked for");
    clinic.desk().revoke(&id, None).await.unwrap();
    for _ in 0..3 {
        clinic.forward(Duration::from_mins(16));
        clinic.settle().await;
    }
    assert_eq!(read_at(&clinic, &id).await, second, "a dead link's report is read again for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_shadow_or_for_a_person_is_not_read_again_for_ever() {
    for wishes in [
        Wishes { send: "shadow", ..Wishes::default() },
        Wishes { rules: "[policy]\nid = \"none\"\nversion = \"1\"\n".to_owned(), ..Wishes::default() },
    ] {
        let clinic = Clinic::spawn(wishes).await;
        clinic.report(ANA, PANEL, &paper()).await;
        clinic.hear_and_settle().await;
        let id = clinic.only_delivery().await.id;
        let first = read_at(&clinic, &id).await;
        clinic.forward(Duration::from_mins(16));
        clinic.settle().await;
        assert_eq!(read_at(&clinic, &id).await, first);
        clinic.desk().release(&id, None).await.unwrap();
        clinic.settle().await;
        let state = clinic.only_delivery().await.state;
        assert!(["live", "recorded"].contains(&state), "a person's word does not count: {state}");
    }
}

/// A report that is held for three days, and what a change of it leads to while its content stays.
async fn held_then(change: impl FnOnce(&mut Value)) -> (&'static str, String, usize) {
    let clinic = Clinic::spawn(Wishes { rules: HELD.to_owned(), ..Wishes::default() }).await;
    let (_, report) = clinic.report(ANA, PANEL, &paper()).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.state, "held");
    clinic.lab().change("DiagnosticReport", &report, change).await;
    clinic.hear_and_settle().await;
    clinic.forward(Duration::from_hours(73));
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    (brief.state, brief.note, clinic.mails_to(ANA).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_report_whose_category_a_rule_sends_to_review_does_not_leave_as_first_decided() {
    let (state, note, mails) = held_then(|report| report["category"] = special()).await;
    assert_eq!((state, mails), ("review", 0), "{note}");
    assert!(note.contains("'special'"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_report_that_gains_an_unknown_modifier_does_not_leave() {
    let modifier = json!([{"url": "http://example.test/not-this-patient", "valueBoolean": true}]);
    let (state, note, mails) = held_then(|report| report["modifierExtension"] = modifier).await;
    assert_eq!((state, mails), ("review", 0), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_report_that_changes_in_nothing_that_matters_leaves_when_its_time_has_come() {
    let (state, note, mails) = held_then(|report| report["issued"] = json!("2026-01-01T00:00:00Z")).await;
    assert_eq!((state, mails), ("live", 1), "{note}");
}

fn special() -> Value {
    json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "SP"}]}])
}

#[tokio::test(flavor = "multi_thread")]
async fn later_rules_decide_a_held_report_by_what_the_ehr_says_of_it_now() {
    let held_only = HELD.split("[[profile]]\nid = \"special\"").next().unwrap();
    for waits in ["held", "review"] {
        let rules =
            if waits == "held" { held_only.to_owned() } else { held_only.replace("\"send\"", "\"manual_review\"") };
        let clinic = Clinic::spawn(Wishes { rules: rules.clone(), ..Wishes::default() }).await;
        let staff = Staff::hire(&clinic.config_path);
        let (_, report) = clinic.report(ANA, PANEL, &paper()).await;
        clinic.hear_and_settle().await;
        clinic.lab().change("DiagnosticReport", &report, |report| report["category"] = special()).await;
        clinic.hear_and_settle().await;
        let brief = clinic.only_delivery().await;
        assert_eq!(brief.state, waits, "{}", brief.note);
        let shown = clinic.show(&brief.id).await;
        assert_eq!(shown.facts.unwrap().categories[0].code, "SP", "what is kept is what the EHR said first");
        let stands = |line: &&Value| line["event"] == "redecided" && line["how"] == "stands";
        assert_eq!(shown.audit.iter().filter(stands).count(), 1, "{:#?}", shown.audit);
        let never = "[[restrict]]\nid = \"never\"\nwhen = { recipient = \"patient\", category = \"v2-0074|SP\" }\nthen = { action = \"block\" }\n";
        staff.brings_into_force(&format!("{}{never}", rules.replace("version = \"1\"", "version = \"2\"")));
        clinic.settle().await;
        assert_eq!(clinic.only_delivery().await.state, "blocked", "the new rules decided about what was true before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ehr_mends_makes_a_report_in_review_easier_by_a_persons_word_alone() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let staff = Staff::hire(&clinic.config_path);
    staff.brings_into_force(HELD);
    clinic.settle().await;
    let (_, report) = clinic.report(ANA, PANEL, &paper()).await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["category"] = special()).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review", "{}", brief.note);
    clinic.lab().change("DiagnosticReport", &report, |report| report["category"] = json!([])).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.state, "review", "it became easier by itself");
    let listed = || staff.does(LEAD, &["rules", "looser"]);
    assert_eq!(listed()[0]["id"], json!(brief.id), "{}", listed());
    clinic.desk().redecide(&brief.id).await.unwrap();
    assert_eq!((clinic.only_delivery().await.state, listed()), ("held", json!([])));
    clinic.forward(Duration::from_hours(73));
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), 1, "{}", clinic.only_delivery().await.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_releases_after_a_second_thought_leaves_and_is_not_thought_about_for_ever() {
    let looser = HELD
        .replace("id = \"special\"", "id = \"special\"\nover = [\"held\"]")
        .replace("{ action = \"manual_review\" }", "{ action = \"send\", expiry = \"96h\" }");
    let modifier = json!([{"url": "http://example.test/not-this-patient", "valueBoolean": true}]);
    let changes: [(&str, &str, Value); 3] =
        [(HELD, "category", special()), (&looser, "category", special()), (HELD, "modifierExtension", modifier)];
    for (rules, field, value) in changes {
        let clinic = Clinic::spawn(Wishes { rules: rules.to_owned(), ..Wishes::default() }).await;
        let (_, report) = clinic.report(ANA, PANEL, &paper()).await;
        clinic.hear_and_settle().await;
        clinic.lab().change("DiagnosticReport", &report, |report| report[field] = value).await;
        clinic.hear_and_settle().await;
        let brief = clinic.only_delivery().await;
        assert_eq!((brief.state, clinic.mailbox.mails().len()), ("review", 0), "{field}: {}", brief.note);
        clinic.desk().release(&brief.id, None).await.unwrap();
        clinic.hear_and_settle().await;
        let brief = clinic.only_delivery().await;
        assert_eq!((brief.state, clinic.mails_to(ANA).len()), ("live", 1), "{field}: {}", brief.note);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_mended_in_the_ehr_while_its_message_waits_does_not_get_the_old_message() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("an incident").await.unwrap();
    let (patient, _) = clinic.report("mistyped@example.test", HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    clinic.forward(Duration::from_mins(16));
    clinic.desk().resume().await.unwrap();
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, clinic.mailbox.mails().len()), ("review", 0), "{}", brief.note);
    assert!(brief.note.contains("address or number changed"), "{}", brief.note);
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.settle().await;
    assert_eq!((clinic.mails_to(ANA).len(), clinic.mailbox.mails().len()), (1, 1), "the mended address gets it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_the_ehr_marks_as_restricted_goes_to_a_person_whatever_its_code() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.lab().update(&ehr::patient("restricted-ana", "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut report = ehr::report("restricted-ana", HBA1C, &crate::support::clinic::real_now(), &paper());
    report["meta"] = json!({"security": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    ]});
    clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, clinic.mailbox.mails().len()), ("review", 0));
    assert!(brief.note.contains("confidential (R)"), "{}", brief.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_ran_out_while_its_link_was_suspended_is_spent_when_the_link_comes_back() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let (_, report) = clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    Holder::new(&link).open().await.granted();
    let status = async |status: &str| {
        clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!(status)).await;
        clinic.hear_and_settle().await;
    };
    status("preliminary").await;
    assert_eq!(clinic.only_delivery().await.state, "suspended");
    clinic.forward(Duration::from_hours(2));
    clinic.settle().await;
    status("final").await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "spent", "the server's half of the key outlives the last lease");
    assert!(clinic.show(&brief.id).await.shredded_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_mark_beside_the_keys_cannot_be_raised_nothing_leaves_and_nobody_is_in_doubt() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("until the disk fails").await.unwrap();
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    clinic.desk().resume().await.unwrap();
    let in_the_way = clinic.folder.join("keys/journal/mark-main.new");
    std::fs::create_dir(&in_the_way).unwrap();
    for _ in 0..5 {
        // What the fault stops is told by the step; the others go on.
        let _ = clinic.steps.run_until_idle().await;
        clinic.forward(Duration::from_mins(3));
    }
    assert_eq!((clinic.only_delivery().await.notice, clinic.mailbox.mails().len()), (Some("queued"), 0));
    std::fs::remove_dir(&in_the_way).unwrap();
    clinic.forward(Duration::from_mins(31));
    clinic.hear_and_settle().await;
    assert_eq!((clinic.only_delivery().await.notice, clinic.mails_to(ANA).len()), (Some("sent"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_accepted_while_its_link_ended_is_in_the_audit() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("until it is watched").await.unwrap();
    clinic.report("slow-1-ana@example.test", HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    clinic.desk().resume().await.unwrap();
    let id = clinic.only_delivery().await.id;
    let steps = std::sync::Arc::clone(&clinic.steps);
    let handing_over = tokio::spawn(async move { steps.outbox.turn().await.unwrap() });
    wait::until_async("the message to be under way", async || {
        (clinic.only_delivery().await.notice == Some("leased")).then_some(())
    })
    .await;
    clinic.desk().revoke(&id, None).await.unwrap();
    handing_over.await.unwrap();
    assert_eq!(clinic.mails_to("slow-1-ana@example.test").len(), 1, "the relay took it");
    let shown = clinic.show(&id).await;
    assert_eq!(shown.brief.notice, Some("dead"));
    let told = serde_json::to_string(&shown.audit).unwrap();
    assert!(told.contains("accepted while its link ended"), "{told}");
}
