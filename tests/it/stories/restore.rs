//! Yesterday's database is put back: no dead link lives, nothing is sent twice, and nobody starts it unawares.

use std::time::Duration;

use chartseal::app::App;
use chartseal::app::start::{Restore, TimeFrom};
use chartseal::keys::{KeyRing, ReplicaName};
use chartseal::store;
use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use reqwest::StatusCode;

use crate::support::backup::{Backup, copy_folder, lose_database};
use crate::support::clinic::{Clinic, Database, Wishes, config_at};
use crate::support::holder::{Holder, WholeLink};
use crate::support::{ehr, part, pdf, program};

const ONE_OPENING: &str = "4548-4";
const THREE_OPENINGS: &str = "24323-8";

#[tokio::test(flavor = "multi_thread")]
async fn link_09_restore_safety_what_died_since_yesterdays_database_stays_dead_on_sqlite() {
    yesterday_comes_back(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn link_09_restore_safety_what_died_since_yesterdays_database_stays_dead_on_postgresql() {
    yesterday_comes_back(Database::Postgres).await;
}

async fn yesterday_comes_back(database: Database) {
    let mut clinic = spawn(database).await;
    let expired = clinic.sent("expired@example.test", THREE_OPENINGS, &paper()).await;
    clinic.forward(Duration::from_hours(40));
    clinic.settle().await;
    let revoked = clinic.sent("revoked@example.test", THREE_OPENINGS, &paper()).await;
    let revoked_id = clinic.deliveries().await.remove(0).id;
    let superseded = clinic.sent("superseded@example.test", THREE_OPENINGS, &paper()).await;
    let superseded_id = clinic.deliveries().await.remove(0).id;
    let spent = clinic.sent("spent@example.test", ONE_OPENING, &paper()).await;
    let (_, report) = clinic.report("recalled@example.test", THREE_OPENINGS, &paper()).await;
    clinic.hear_and_settle().await;
    let recalled = clinic.mailbox.wait_for("recalled@example.test", 1).await.link();
    let living = clinic.sent("living@example.test", THREE_OPENINGS, &paper()).await;
    clinic.desk().pause("the relay is being moved").await.unwrap();
    clinic.report("queued@example.test", THREE_OPENINGS, &paper()).await;
    clinic.hear_and_settle().await;
    let backup = Backup::of(&clinic).await;

    clinic.desk().resume().await.unwrap();
    clinic.settle().await;
    clinic.mailbox.wait_for("queued@example.test", 1).await;
    clinic.desk().revoke(&revoked_id, None).await.unwrap();
    clinic.desk().resend(&superseded_id, None).await.unwrap();
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = "entered-in-error".into()).await;
    let later = clinic.sent("later@example.test", THREE_OPENINGS, &paper()).await;
    let resent = clinic.mailbox.wait_for("superseded@example.test", 2).await.link();
    // Given out, and no receipt: only the journal knows.
    Holder::new(&spent).open().await.granted();
    clinic.forward(Duration::from_hours(3));
    clinic.settle().await;
    assert_eq!(Holder::new(&expired).look().await.says(), "expired");
    let mails = clinic.mailbox.mails().len();
    clinic.stop().await.unwrap();

    backup.put_back(&clinic);
    let refused = refusal(clinic.start_again(Restore::NotSaid).await);
    assert!(refused.contains("--after-restore") && refused.contains("older"), "{refused}");
    clinic.start_again(Restore::Said).await.unwrap();

    for link in [&revoked, &superseded, &spent, &recalled, &expired] {
        assert_dead(link).await;
    }
    for link in [&later, &resent] {
        let looked = Holder::new(link).look().await;
        assert_eq!((looked.status, looked.says()), (StatusCode::NOT_FOUND, "unknown".to_owned()));
    }
    assert_eq!(Holder::new(&living).read().await, paper());
    clinic.desk().resume().await.unwrap();
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(clinic.mailbox.mails().len(), mails, "something was sent again");
    for link in [&revoked, &superseded, &spent, &recalled, &expired] {
        assert_dead(link).await;
    }
    let deliveries = clinic.deliveries().await;
    let queued = deliveries.iter().find(|delivery| delivery.note.contains("restored")).unwrap();
    assert_eq!(queued.state, "review");
    let heard_again = deliveries.iter().find(|delivery| delivery.note.contains("before")).unwrap();
    assert_eq!((heard_again.state, heard_again.notice), ("review", None), "staff must see what was lost");
    assert!(clinic.show(&queued.id).await.notices.iter().all(|notice| notice.state == "dead"));

    clinic.stop().await.unwrap();
    clinic.start_again(Restore::NotSaid).await.unwrap();
    assert_dead(&spent).await;
    clinic.settle().await;
    assert_eq!(clinic.mailbox.mails().len(), mails);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_database_of_an_earlier_generation_is_refused() {
    let mut clinic = spawn(Database::Sqlite).await;
    let short = Backup::of(&clinic).await;
    let link = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    for _ in 0..20 {
        clinic.desk().pause("once more").await.unwrap();
        clinic.desk().resume().await.unwrap();
    }
    let long = Backup::of(&clinic).await;
    clinic.stop().await.unwrap();
    short.put_back(&clinic);
    clinic.start_again(Restore::Said).await.unwrap();
    clinic.stop().await.unwrap();

    long.put_back(&clinic);
    let refused = refusal(clinic.start_again(Restore::NotSaid).await);
    assert!(refused.contains("--after-restore"), "{refused}");
    clinic.start_again(Restore::Said).await.unwrap();
    assert_eq!(Holder::new(&link).read().await, paper());
}

/// As if the program of that time had not known its newest migration.
fn undo_newest_migration(clinic: &Clinic) {
    let folder = part::in_project("migrations/sqlite");
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let newest = names.max().unwrap();
    let down = std::fs::read_to_string(folder.join(&newest).join("down.sql")).unwrap();
    let version: String = newest.split('_').next().unwrap().chars().filter(char::is_ascii_digit).collect();
    let path = clinic.folder.join("chartseal.db").display().to_string();
    let mut conn = diesel::SqliteConnection::establish(&path).unwrap();
    conn.batch_execute(&format!("{down}; DELETE FROM __diesel_schema_migrations WHERE version = '{version}'")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_put_back_under_a_newer_program_is_known_as_older_and_its_migrations_are_told_afterwards() {
    let mut clinic = spawn(Database::Sqlite).await;
    let backup = Backup::of(&clinic).await;
    // It is behind by the line of this stop: as many as the migration's own.
    clinic.stop().await.unwrap();
    backup.put_back(&clinic);
    undo_newest_migration(&clinic);
    let told = || {
        let exported = program::run(&clinic.config_path, &["audit", "export"]).out;
        exported.lines().filter(|line| line.contains("\"migrated\"")).count()
    };
    let config = config_at(&clinic.config_path, []).unwrap();
    let start = async |restore| {
        let time = TimeFrom::Steps(clinic.now());
        App::build(&config, ReplicaName::parse("main").unwrap(), time, restore).await.map(drop)
    };
    let refused = refusal(start(Restore::NotSaid).await);
    assert!(refused.contains("--after-restore") && refused.contains("older"), "{refused}");
    clinic.let_go().await;
    start(Restore::Said).await.unwrap();
    clinic.let_go().await;
    let all = std::fs::read_dir(part::in_project("migrations/sqlite")).unwrap().count();
    assert_eq!(told(), all + 1, "the newest ran twice");
    let listed = program::run(&clinic.config_path, &["audit", "verify"]);
    assert_eq!(listed.code, 0, "{}", listed.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_with_used_keys_is_refused_on_sqlite() {
    an_empty_database(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_with_used_keys_is_refused_on_postgresql() {
    an_empty_database(Database::Postgres).await;
}

async fn an_empty_database(database: Database) {
    let mut clinic = spawn(database).await;
    let link = clinic.sent("ana@example.test", ONE_OPENING, &paper()).await;
    let backup = Backup::of(&clinic).await;
    clinic.stop().await.unwrap();
    lose_database(&clinic);
    let refused = refusal(clinic.start_again(Restore::NotSaid).await);
    assert!(refused.contains("empty") && refused.contains("--after-restore"), "{refused}");
    backup.put_back(&clinic);
    clinic.start_again(Restore::Said).await.unwrap();
    assert_eq!(Holder::new(&link).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_belong_to_the_database_are_refused_with_the_remedy() {
    let mut clinic = spawn(Database::Sqlite).await;
    let link = clinic.sent("ana@example.test", ONE_OPENING, &paper()).await;
    clinic.stop().await.unwrap();
    let (keys, aside) = (clinic.folder.join("keys"), clinic.folder.join("aside"));
    std::fs::rename(&keys, &aside).unwrap();

    let refused = refusal(clinic.start_again(Restore::NotSaid).await);
    assert!(refused.contains("there are no keys") && refused.contains("chartseal init"), "{refused}");

    KeyRing::create(&keys, &mut chartseal::base::random::system()).unwrap();
    for restore in [Restore::NotSaid, Restore::Said] {
        let refused = refusal(clinic.start_again(restore).await);
        assert!(refused.contains("not the ones this database was made with"), "{refused}");
    }

    std::fs::remove_dir_all(&keys).unwrap();
    copy_folder(&aside, &keys);
    std::fs::remove_dir_all(keys.join("root")).unwrap();
    let refused = refusal(clinic.start_again(Restore::NotSaid).await);
    assert!(refused.contains("without its root key nothing in the database can be read"), "{refused}");

    std::fs::remove_dir_all(&keys).unwrap();
    copy_folder(&aside, &keys);
    clinic.start_again(Restore::NotSaid).await.unwrap();
    assert_eq!(Holder::new(&link).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_before_a_restore_are_refused_unless_every_link_may_end() {
    let mut clinic = spawn(Database::Sqlite).await;
    let link = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    let backup = Backup::of(&clinic).await;
    clinic.stop().await.unwrap();
    let (keys, old) = (clinic.folder.join("keys"), clinic.folder.join("old"));
    copy_folder(&keys, &old);
    clinic.start_again(Restore::NotSaid).await.unwrap();
    clinic.stop().await.unwrap();
    backup.put_back(&clinic);
    clinic.start_again(Restore::Said).await.unwrap();
    assert_eq!(Holder::new(&link).look().await.says(), "ready");
    clinic.stop().await.unwrap();

    std::fs::remove_dir_all(&keys).unwrap();
    copy_folder(&old, &keys);
    let refused = refusal(clinic.start_again(Restore::NotSaid).await);
    assert!(refused.contains("older than the database") && refused.contains("--after-restore"), "{refused}");
    clinic.start_again(Restore::Said).await.unwrap();
    assert_eq!(Holder::new(&link).look().await.says(), "revoked", "nobody knows whether it died since");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fire_the_root_key_and_a_backup_are_enough_to_start_again_with_every_link_ended() {
    let mut clinic = spawn(Database::Sqlite).await;
    let link = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    clinic.stop().await.unwrap();
    for lost in ["epoch", "outbox", "intake", "journal"] {
        std::fs::remove_dir_all(clinic.folder.join("keys").join(lost)).unwrap();
    }
    let refused = refusal(clinic.start_again(Restore::NotSaid).await);
    assert!(refused.contains("--after-restore"), "{refused}");
    clinic.start_again(Restore::Said).await.unwrap();
    assert_eq!(Holder::new(&link).look().await.says(), "revoked");
    clinic.stop().await.unwrap();
    clinic.start_again(Restore::NotSaid).await.unwrap();
    // Issued after the restore, by the clinic's clock.
    clinic.forward(Duration::from_mins(1));
    clinic.lab().update(&ehr::patient("ben", "Lee", "Ben", "1990-01-02", "ben@example.test")).await;
    clinic.lab().post(&ehr::report("ben", THREE_OPENINGS, &clinic.now().to_rfc3339(), &paper())).await;
    clinic.hear_and_settle().await;
    let new = clinic.mailbox.wait_for("ben@example.test", 1).await.link();
    assert_eq!(Holder::new(&new).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_whose_epoch_key_is_lost_are_ended_after_a_restore() {
    let mut clinic = spawn(Database::Sqlite).await;
    let lost = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    clinic.forward(Duration::from_hours(24));
    let kept = clinic.sent("ben@example.test", THREE_OPENINGS, &paper()).await;
    let id = WholeLink::read(&lost).id;
    let epoch = clinic.ground.store.read(move |conn| store::link(conn, &id)).await.unwrap().unwrap().epoch;
    let backup = Backup::of(&clinic).await;
    clinic.stop().await.unwrap();
    std::fs::remove_file(clinic.folder.join(format!("keys/epoch/{epoch}.key"))).unwrap();
    backup.put_back(&clinic);
    clinic.start_again(Restore::Said).await.unwrap();
    assert_dead(&lost).await;
    assert_eq!(Holder::new(&kept).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_whose_links_key_is_lost_is_not_told_to_try_later_and_staff_can_send_again() {
    let mut clinic = spawn(Database::Sqlite).await;
    let config = clinic.config_path.clone();
    let link = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    let id = clinic.only_delivery().await.id;
    assert_eq!(program::run(&config, &["check"]).code, 0);
    for key in std::fs::read_dir(clinic.folder.join("keys/epoch")).unwrap() {
        std::fs::remove_file(key.unwrap().path()).unwrap();
    }

    let mut holder = Holder::new(&link);
    assert_eq!(holder.look().await.says(), "lost");
    let refused = holder.open().await;
    assert_eq!((refused.status, refused.says()), (StatusCode::CONFLICT, "lost".to_owned()));
    assert_eq!(clinic.show(&id).await.opened, Some(0), "nothing was spent");
    let told = program::run(&config, &["check"]);
    assert!(told.code == 1 && told.all().contains(&id) && told.all().contains("--after-restore"), "{}", told.all());
    assert_eq!(program::run(&config, &["check", "--json"]).json()["lost"], serde_json::json!([id]));
    clinic.stop().await.unwrap();

    clinic.start_again(Restore::Said).await.unwrap();
    assert_eq!(Holder::new(&link).look().await.says(), "revoked");
    assert_eq!(program::run(&config, &["check"]).code, 0);
    let ended = clinic.only_delivery().await;
    assert!(ended.state == "revoked" && ended.note.contains("send it again"), "{ended:?}");
    clinic.desk().resend(&id, None).await.unwrap();
    clinic.hear_and_settle().await;
    let new = clinic.mailbox.wait_for("ana@example.test", 2).await.link();
    assert_eq!(Holder::new(&new).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_not_taken_for_a_restore_and_loses_nothing_on_sqlite() {
    a_crash(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_not_taken_for_a_restore_and_loses_nothing_on_postgresql() {
    a_crash(Database::Postgres).await;
}

async fn a_crash(database: Database) {
    let mut clinic = spawn(database).await;
    let link = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    clinic.desk().pause("to have something queued").await.unwrap();
    clinic.stop().await.unwrap();
    {
        // Started, at work, and gone without a word.
        let config = config_at(&clinic.config_path, []).unwrap();
        let replica = ReplicaName::parse("main").unwrap();
        let app = App::build(&config, replica, TimeFrom::Steps(clinic.now()), Restore::NotSaid).await.unwrap();
        clinic.report("ben@example.test", THREE_OPENINGS, &paper()).await;
        app.ground.clock.forward(Duration::from_secs(30));
        app.steps.run_until_idle().await.unwrap();
    }
    clinic.let_go().await;
    clinic.forward(Duration::from_secs(30));
    clinic.start_again(Restore::NotSaid).await.unwrap();
    clinic.desk().resume().await.unwrap();
    clinic.settle().await;
    let queued = clinic.mailbox.wait_for("ben@example.test", 1).await.link();
    assert_eq!(Holder::new(&queued).read().await, paper());
    assert_eq!(Holder::new(&link).read().await, paper());
}

/// The mark beside the keys is raised before each message and once a minute; what happens in between is known only to
/// the journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_died_seconds_after_the_backup_and_before_the_crash_stays_dead() {
    let mut clinic = spawn(Database::Sqlite).await;
    let revoked = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    let spent = clinic.sent("ben@example.test", ONE_OPENING, &paper()).await;
    let reading = clinic.sent("eve@example.test", ONE_OPENING, &paper()).await;
    let mut reader = Holder::new(&reading);
    reader.open().await.granted();
    clinic.stop().await.unwrap();
    let backup = {
        let config = config_at(&clinic.config_path, []).unwrap();
        let replica = ReplicaName::parse("main").unwrap();
        let app = App::build(&config, replica, TimeFrom::Steps(clinic.now()), Restore::NotSaid).await.unwrap();
        let backup = Backup::of(&clinic).await;
        let id = WholeLink::read(&revoked).id;
        let spent = WholeLink::read(&spent).id;
        let now = clinic.now();
        app.ground
            .store
            .write(move |tx| {
                let owner = store::delivery_of_link(tx.conn(), &id)?.unwrap();
                let by = chartseal::record::RevokedBy::Cancelled;
                let step = owner.state.clone().step(chartseal::record::LinkEvent::Revoke { by }, now)?;
                store::advance(tx, &owner, &step, chartseal::audit::Actor::System, now)?;
                let opening = chartseal::base::OpeningId::random(&mut chartseal::base::random::system());
                store::begin_opening(tx, &spent, &[7; 32], &opening, now)?;
                store::claim(tx, &spent, &[7; 32], now)?;
                Ok(())
            })
            .await
            .unwrap();
        backup
    };
    clinic.let_go().await;
    backup.put_back(&clinic);
    clinic.forward(Duration::from_mins(2));
    clinic.start_again(Restore::NotSaid).await.unwrap();
    assert_dead(&revoked).await;
    assert_dead(&spent).await;
    reader.ask_at(&clinic.url);
    assert_eq!(reader.look().await.says(), "yours", "a lease that is running goes on over a restart");
    assert_eq!(reader.file(1, None).await.status, StatusCode::OK);
}

async fn spawn(database: Database) -> Clinic {
    Clinic::spawn(Wishes { database, ..Wishes::default() }).await
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

fn refusal(started: anyhow::Result<()>) -> String {
    match started {
        Ok(()) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

/// A new browser, and one that opened it before, get nothing.
async fn assert_dead(link: &str) {
    let mut holder = Holder::new(link);
    let looked = holder.look().await;
    assert_eq!(looked.body["state"], "ended", "{}", looked.says());
    assert_ne!(looked.says(), "suspended");
    assert_eq!(holder.open().await.status, StatusCode::CONFLICT);
    assert_eq!(holder.file(1, None).await.status, StatusCode::NOT_FOUND);
}
