//! A shared link where it could lose a report, say too much, or give what it should not give any more.

use std::time::Duration;

use chartseal::app::start::Restore;
use chartseal::store::IncidentCriteria;
use serde_json::{Value, json};

use super::shared_link::{ANA, Draw, GLUCOSE, PANEL, RULES, paper, says};
use crate::support::backup::Backup;
use crate::support::clinic::Database;
use crate::support::holder::{Holder, WholeLink};
use crate::support::staff::Staff;
use crate::support::{ehr, program};

impl Draw {
    /// A panel and a glucose of one order in one link whose message waits for the end of a pause.
    async fn two_that_wait(&self) -> (String, String) {
        self.clinic.desk().pause("the relay is being moved").await.unwrap();
        let panel = self.report(PANEL, "draw-1", "panel").await;
        let glucose = self.report(GLUCOSE, "draw-1", "glucose").await;
        self.after(721).await;
        assert_eq!((self.state_of(&panel).await, self.state_of(&glucose).await), ("live", "live"));
        let shown = self.clinic.show(&self.clinic.delivery_of(&panel).await.id).await;
        assert_eq!((shown.shares_link_with.len(), self.mails()), (1, 0));
        (panel, glucose)
    }

    async fn resume(&self) {
        self.clinic.desk().resume().await.unwrap();
        self.clinic.settle().await;
    }

    /// What each message's link holds, by the order of the messages.
    async fn files_of_each_mail(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for mail in self.clinic.mails_to(ANA) {
            counts.push(Holder::new(&mail.link()).look().await.body["files"].as_u64().unwrap_or(0));
        }
        counts
    }

    async fn audit_of(&self, report: &str) -> String {
        let id = self.clinic.delivery_of(report).await.id;
        serde_json::to_string(&self.clinic.show(&id).await.audit).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_report_waits_so_long_for_others_that_it_may_not_leave_any_more() {
    let issued = RULES.replace("expiry = \"48h\"", "expiry = \"48h\", expiry_from = \"issued\"");
    let draw = Draw::under(Database::Sqlite, &issued).await;
    draw.clinic.forward(Duration::from_hours(24));
    // 28 hours are left of its link: enough now, and too few in twelve hours.
    let at = draw.clinic.now().minus(Duration::from_hours(20)).to_rfc3339();
    let mut report = ehr::report(&draw.patient, GLUCOSE, &at, &paper("glucose"));
    report["basedOn"] = json!([{"reference": "ServiceRequest/draw-1"}]);
    let glucose = draw.clinic.lab().post(&report).await;
    draw.clinic.hear_and_settle().await;
    assert_eq!((draw.state_of(&glucose).await, draw.mails()), ("live", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_sent_again_twice_is_in_no_link_twice_and_can_be_taken_back() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, _, link) = draw.two_in_one().await;
    draw.after(48 * 60 + 1).await;
    assert_eq!(says(&link).await, "expired");
    let id = draw.clinic.delivery_of(&panel).await.id;
    for _ in 0..2 {
        draw.clinic.desk().resend(&id, None).await.unwrap();
    }
    draw.clinic.settle().await;
    draw.change(&panel, |report| report["status"] = json!("entered-in-error")).await;
    for mail in draw.clinic.mails_to(ANA).iter().skip(1) {
        assert_eq!(says(&mail.link()).await, "recalled");
    }
    assert_eq!(draw.mails(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_of_what_waits_for_others_does_not_begin_the_wait_anew() {
    let draw = Draw::at(Database::Sqlite).await;
    let panel = draw.report(PANEL, "draw-1", "panel").await;
    draw.after(300).await;
    draw.change(&panel, |report| {
        report["status"] = json!("corrected");
        report["presentedForm"] =
            ehr::report("x", PANEL, "2026-01-01T00:00:00Z", &paper("corrected"))["presentedForm"].clone();
    })
    .await;
    assert_eq!((draw.state_of(&panel).await, draw.mails()), ("recorded", 0));
    draw.after(300).await;
    assert_eq!((draw.state_of(&panel).await, draw.mails()), ("live", 1), "twelve hours after it first could have left");
    assert_eq!(Holder::new(&draw.link(1).await).read_all().await, [paper("corrected")]);
}

async fn workers_at_once(database: Database) {
    let draw = Draw::at(database).await;
    let panel = draw.report(PANEL, "draw-1", "panel").await;
    let glucose = draw.report(GLUCOSE, "draw-1", "glucose").await;
    assert_eq!((draw.state_of(&panel).await, draw.state_of(&glucose).await), ("recorded", "recorded"));
    draw.clinic.forward(Duration::from_hours(13));
    let release = &draw.clinic.steps.release;
    let turns = tokio::join!(release.turn(), release.turn(), release.turn(), release.turn());
    assert!([turns.0, turns.1, turns.2, turns.3].into_iter().all(|turn| turn.is_ok()));
    draw.clinic.settle().await;
    assert_eq!((draw.mails(), draw.files_of_each_mail().await), (1, vec![2]), "each worker made a link of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_release_at_once_make_one_link_of_what_is_due_together_on_sqlite() {
    workers_at_once(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_release_at_once_make_one_link_of_what_is_due_together_on_postgresql() {
    workers_at_once(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_does_not_send_what_staff_hold_back_since_they_revoked_its_link() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose, _) = draw.two_in_one().await;
    let id = draw.clinic.delivery_of(&glucose).await.id;
    draw.clinic.desk().revoke(&id, Some("wrong address".to_owned())).await.unwrap();
    draw.change(&panel, |report| {
        report["status"] = json!("corrected");
        report["presentedForm"] =
            ehr::report("x", PANEL, "2026-01-01T00:00:00Z", &paper("corrected"))["presentedForm"].clone();
    })
    .await;
    let left = draw.clinic.delivery_of(&panel).await;
    assert_eq!((left.state, draw.mails()), ("review", 1), "it went to the wrong address: {}", left.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_left_in_a_shared_link_leaves_as_new_when_another_report_is_taken_back() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose) = draw.two_that_wait().await;
    draw.change(&glucose, |report| report["status"] = json!("entered-in-error")).await;
    draw.resume().await;
    let mail = draw.clinic.mailbox.wait_for(ANA, 1).await;
    assert!(!mail.text.contains("takes the place"), "the patient has nothing that it replaces: {}", mail.text);
    assert_eq!(Holder::new(&mail.link()).read_all().await, [paper("panel")]);
    assert_eq!((draw.state_of(&panel).await, draw.state_of(&glucose).await, draw.mails()), ("live", "recalled", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_unfinished_again_before_its_message_left_keeps_no_other_back() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose) = draw.two_that_wait().await;
    draw.change(&glucose, |report| report["status"] = json!("preliminary")).await;
    draw.resume().await;
    assert_eq!((draw.state_of(&panel).await, draw.mails()), ("live", 1), "it waits for the other report");
    assert_eq!(Holder::new(&draw.link(1).await).read_all().await, [paper("panel")]);
    assert_eq!(draw.state_of(&glucose).await, "review");
    draw.change(&glucose, |report| report["status"] = json!("final")).await;
    draw.after(721).await;
    assert_eq!(Holder::new(&draw.link(2).await).read_all().await, [paper("glucose")], "it was lost");
}

/// Rules under which glucose no longer shares a link.
fn glucose_alone() -> String {
    let (head, strict) = RULES.split_once("[[profile]]\nid = \"of-one-draw-and-strict\"").unwrap();
    let strict = strict.replace(", group_by = \"order\", wait = \"12h\"", "");
    format!("{head}[[profile]]\nid = \"of-one-draw-and-strict\"{strict}").replace("version = \"1\"", "version = \"2\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_shares_a_link_by_other_rules_waits_for_no_other() {
    let draw = Draw::at(Database::Sqlite).await;
    let staff = Staff::hire(&draw.clinic.config_path);
    let panel = draw.report(PANEL, "draw-1", "panel").await;
    let glucose = draw.report(GLUCOSE, "draw-1", "glucose").await;
    staff.brings_into_force(&glucose_alone());
    draw.clinic.settle().await;
    assert_eq!((draw.state_of(&glucose).await, draw.state_of(&panel).await), ("live", "recorded"));
    assert_eq!(Holder::new(&draw.link(1).await).read_all().await, [paper("glucose")]);
    draw.after(721).await;
    assert_eq!(draw.files_of_each_mail().await, [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_shares_a_link_by_other_rules_leaves_it_before_its_message_does() {
    let draw = Draw::at(Database::Sqlite).await;
    let staff = Staff::hire(&draw.clinic.config_path);
    let (panel, glucose) = draw.two_that_wait().await;
    staff.brings_into_force(&glucose_alone());
    draw.clinic.settle().await;
    draw.resume().await;
    assert_eq!((draw.state_of(&glucose).await, draw.state_of(&panel).await), ("live", "live"));
    assert_eq!(draw.files_of_each_mail().await, [1, 1], "they share a link against the rules in force");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opened_a_report_in_a_link_that_it_shared_is_counted_when_it_has_another() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose, link) = draw.two_in_one().await;
    Holder::new(&link).read_all().await;
    draw.change(&glucose, |report| report["status"] = json!("entered-in-error")).await;
    assert_eq!(draw.mails(), 2);
    let criteria = IncidentCriteria { rule: Some("of-one-draw".to_owned()), ..IncidentCriteria::default() };
    let preview = draw.clinic.desk().preview_incident(criteria).await.unwrap();
    assert_eq!((preview.deliveries, preview.opened), (1, 1), "the panel was read in the first link");
    let shown = draw.clinic.show(&draw.clinic.delivery_of(&panel).await.id).await;
    assert_eq!((shown.opened, shown.opened_before), (Some(0), 1));
    assert_eq!((shown.notices.len(), shown.openings.len()), (2, 1), "what became of its first message is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_opens_one_of_several_files_is_said_to_open() {
    let draw = Draw::at(Database::Sqlite).await;
    let (_, _, link) = draw.two_in_one().await;
    let backup = Backup::of(&draw.clinic).await;
    let prove = || {
        let (id, blobs) = (WholeLink::read(&link).id.to_string(), backup.blobs.display().to_string());
        let arguments = ["prove-shred", &id, "--backup", &backup.place, "--blobs", &blobs, "--link", &link];
        program::run(&draw.clinic.config_path, &arguments)
    };
    let mut files = draw.clinic.blobs();
    files.sort();
    let lose = |name: &str| std::fs::remove_file(backup.blobs.join(&name[..2]).join(name)).unwrap();
    lose(&files[0]);
    let ran = prove();
    assert!(ran.code == 1 && ran.out.contains("It OPENS"), "a file was decrypted: {}", ran.all());
    lose(&files[1]);
    let ran = prove();
    assert!(ran.code == 0 && ran.out.contains("It does not open"), "{}", ran.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_tells_of_all_that_a_holder_does_where_it_says_that_it_will() {
    let sooner = RULES.replacen(
        "bare\", group_by = \"order\", wait = \"12h\"",
        "bare\", group_by = \"order\", wait = \"2h\"",
        1,
    );
    let draw = Draw::under(Database::Sqlite, &sooner).await;
    let panel = draw.report(PANEL, "draw-1", "panel").await;
    let glucose = draw.report(GLUCOSE, "draw-1", "glucose").await;
    draw.after(121).await;
    let link = draw.link(1).await;
    assert_eq!(Holder::new(&link).read_all().await.len(), 2);
    let mut lapses = Holder::new(&link);
    lapses.look().await;
    lapses.open().await.granted();
    draw.after(61).await;
    // The glucose was due first, and the link is its own.
    let (told, other) = (draw.audit_of(&glucose).await, draw.audit_of(&panel).await);
    for event in ["landed", "claimed", "decrypted", "lapsed"] {
        assert!(told.contains(&format!("\"{event}\"")), "{event} is missing where the others are: {told}");
        assert!(!other.contains(&format!("\"{event}\"")), "{event} stands elsewhere: {other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_hear_what_became_of_the_others_when_they_revoke_or_send_again_one() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose, _) = draw.two_in_one().await;
    let ids = [draw.clinic.delivery_of(&panel).await.id, draw.clinic.delivery_of(&glucose).await.id];
    let revoked = program::run(&draw.clinic.config_path, &["deliveries", "revoke", &ids[1]]);
    assert!(revoked.code == 0 && revoked.out.contains(&ids[0]) && revoked.out.contains("review"), "{}", revoked.all());
    draw.clinic.desk().release(&ids[0], None).await.unwrap();
    draw.clinic.settle().await;

    let other = Draw::at(Database::Sqlite).await;
    let (panel, glucose, link) = other.two_in_one().await;
    other.after(48 * 60 + 1).await;
    assert_eq!(says(&link).await, "expired");
    let ids = [other.clinic.delivery_of(&panel).await.id, other.clinic.delivery_of(&glucose).await.id];
    let again = program::run(&other.clinic.config_path, &["deliveries", "resend", &ids[0]]);
    assert!(again.code == 0 && again.out.contains(&ids[1]), "nobody hears of the other report: {}", again.all());
    other.clinic.settle().await;
    assert_eq!(other.mails(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_or_becomes_anothers_while_it_gathers_leaves_with_nobody() {
    let draw = Draw::at(Database::Sqlite).await;
    let other = ehr::new_patient_id();
    draw.clinic.lab().update(&ehr::patient(&other, "Garcia", "Eva", "1984-05-06", ANA)).await;
    draw.report(PANEL, "draw-1", "panel").await;
    let recalled = draw.report(GLUCOSE, "draw-1", "recalled").await;
    let moved = draw.report(GLUCOSE, "draw-1", "moved").await;
    let quietly = async |report: &str, change: &dyn Fn(&mut Value)| {
        draw.clinic.lab().change("DiagnosticReport", report, |report| change(report)).await;
    };
    // Nobody heard of it yet when the link is made.
    quietly(&recalled, &|report| report["status"] = json!("entered-in-error")).await;
    quietly(&moved, &|report| report["subject"] = json!({"reference": format!("Patient/{other}")})).await;
    draw.clinic.forward(Duration::from_hours(13));
    while draw.clinic.steps.release.turn().await.unwrap() > 0 {}
    draw.clinic.settle().await;
    assert_eq!(Holder::new(&draw.link(1).await).read_all().await, [paper("panel")]);
    assert_eq!((draw.state_of(&recalled).await, draw.state_of(&moved).await), ("recalled", "review"));
    assert_eq!(draw.mails(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_living_link_sent_again_takes_the_others_along_in_one_new_link() {
    let draw = Draw::at(Database::Sqlite).await;
    let (panel, glucose, old) = draw.two_in_one().await;
    let id = draw.clinic.delivery_of(&panel).await.id;
    draw.clinic.desk().resend(&id, None).await.unwrap();
    draw.clinic.settle().await;
    assert_eq!((draw.state_of(&panel).await, draw.state_of(&glucose).await, draw.mails()), ("live", "live", 2));
    assert_eq!(Holder::new(&draw.link(2).await).read_all().await.len(), 2);
    assert_eq!(says(&old).await, "superseded");
}

async fn of_a_restored_database(database: Database) {
    let mut draw = Draw::at(database).await;
    let (panel, glucose, old) = draw.two_in_one().await;
    let backup = Backup::of(&draw.clinic).await;
    draw.change(&glucose, |report| report["status"] = json!("entered-in-error")).await;
    let new = draw.link(2).await;
    draw.clinic.stop().await.unwrap();
    backup.put_back(&draw.clinic);
    draw.clinic.start_again(Restore::Said).await.unwrap();
    for _ in 0..3 {
        draw.clinic.hear_and_settle().await;
    }
    assert_ne!(says(&old).await, "ready", "the link still holds the recalled report");
    assert_eq!((says(&new).await.as_str(), draw.mails()), ("unknown", 2));
    let left = draw.clinic.delivery_of(&panel).await;
    assert_eq!(left.state, "review", "nobody hears that its second link is gone: {}", left.note);
    assert_eq!((draw.state_of(&glucose).await, draw.mails()), ("recalled", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_a_person_looks_at_each_report_of_a_link_that_died_since_on_sqlite() {
    of_a_restored_database(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_a_person_looks_at_each_report_of_a_link_that_died_since_on_postgresql() {
    of_a_restored_database(Database::Postgres).await;
}
