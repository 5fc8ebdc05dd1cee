//! What staff and operators are told: in words, with what to do; and what a failed or cut-off deed leaves behind.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use chartseal::app::start::Restore;
use chartseal::keys::{KeyKind, KeyName};
use serde_json::Value;

use crate::support::clinic::{Clinic, Wishes};
use crate::support::place::Place;
use crate::support::program::{self, Ran};

const HBA1C: &str = "4548-4";

fn init(folder: &std::path::Path) -> Ran {
    program::run(&folder.join("chartseal.toml"), &["init", &folder.display().to_string()])
}

fn names_in(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_delivery_whose_relay_puts_it_off_says_so_in_the_list() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.report("grey-ana@example.test", HBA1C, b"%PDF-1.7\n%%EOF\n").await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice), ("live", Some("queued")));
    let why = clinic.show(&brief.id).await.notices.pop().unwrap().why.expect("the relay gave a reason");
    assert!(brief.note.contains(&why) && brief.note.contains("tried again"), "{}", brief.note);
    clinic.forward(Duration::from_secs(15));
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.note, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_delivery_and_an_impossible_deed_are_told_in_words() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let (_, report) = clinic.report("ana@example.test", HBA1C, b"%PDF-1.7\n%%EOF\n").await;
    clinic.hear_and_settle().await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = "preliminary".into()).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "suspended");
    assert!(brief.note.contains("no longer shows the report as final"), "{}", brief.note);
    let refused = clinic.desk().resend(&brief.id, None).await.err().unwrap().to_string();
    assert!(refused.starts_with("a suspended delivery cannot be sent again; "), "{refused}");

    clinic.report("bo@example.test", "1-8", b"%PDF-1.7\n%%EOF\n").await;
    clinic.hear_and_settle().await;
    let held = clinic.deliveries().await.into_iter().find(|brief| brief.state == "review").unwrap();
    let refused = clinic.desk().resend(&held.id, None).await.err().unwrap().to_string();
    assert!(refused.starts_with("a delivery in review cannot be sent again; "), "{refused}");
}

#[test]
fn a_second_pause_names_the_first_and_the_audit_keeps_both() {
    let folder = Place::new("pause-twice");
    let config = folder.join("chartseal.toml");
    assert_eq!(init(&folder).code, 0);
    assert_eq!(program::run(&config, &["migrate"]).code, 0);
    let pause = |why: &str, who: &str, more: &[&str]| {
        program::run(&config, &[&["pause", "--why", why, "--as", who], more].concat())
    };
    let first = pause("the relay is moved", "Eve Admin", &["--json"]);
    assert_eq!((first.code, &first.json()["before"]), (0, &Value::Null));
    let second = pause("wrong rules", "Bo Other", &[]);
    assert!(second.code == 0 && second.out.contains("Eve Admin"), "{}", second.all());
    assert!(second.out.contains("the relay is moved"), "{}", second.all());
    let third = pause("both", "Cy Third", &["--json"]).json();
    assert_eq!((&third["before"]["by"], &third["before"]["why"]), (&"Bo Other".into(), &"wrong rules".into()));

    let audit = program::run(&config, &["audit", "export"]).out;
    for said in ["Eve Admin", "the relay is moved", "Bo Other", "wrong rules"] {
        assert!(audit.contains(said), "{said}: {audit}");
    }
    let verified = program::run(&config, &["audit", "verify"]);
    assert!(verified.out.contains(" 1 chain, "), "{}", verified.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_destroyer_died_before_its_mark_is_not_missing_after_a_restart() {
    let mut clinic = Clinic::spawn(Wishes::default()).await;
    clinic.sent("ana@example.test", HBA1C, b"%PDF-1.7\n%%EOF\n").await;
    let day = clinic.show(&clinic.only_delivery().await.id).await.epoch.unwrap();
    clinic.forward(Duration::from_hours(24 * 6));
    clinic.ground.vault.ring().destroy(&KeyName::parse(KeyKind::Epoch, &day).unwrap()).unwrap();
    clinic.stop().await.unwrap();
    let state = |clinic: &Clinic| {
        let listed = program::run(&clinic.config_path, &["keys", "list", "--json"]).json();
        let key = listed.as_array().unwrap().iter().find(|key| key["kind"] == "epoch" && key["name"] == day.as_str());
        key.unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert!(state(&clinic).starts_with("MISSING"), "{}", state(&clinic));
    clinic.start_again(Restore::NotSaid).await.unwrap();
    clinic.settle().await;
    assert!(state(&clinic).starts_with("destroyed"), "{}", state(&clinic));
    let audit = program::run(&clinic.config_path, &["audit", "export"]).out;
    assert_eq!(audit.lines().filter(|line| line.contains("key_destroyed") && line.contains(&day)).count(), 1);
}

#[test]
fn an_init_that_fails_leaves_nothing_of_its_own() {
    let place = Place::new("init-fails");
    for there in ["chartseal.toml", "policy.toml"] {
        let folder = place.join(format!("with-{there}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(there), "mine").unwrap();
        let refused = init(&folder);
        assert!(refused.code == 2 && refused.err.contains(there), "{}", refused.all());
        assert_eq!(names_in(&folder), [there]);
        assert_eq!(std::fs::read_to_string(folder.join(there)).unwrap(), "mine");
    }

    let folder = place.join("with-keys");
    assert_eq!(init(&folder).code, 0);
    std::fs::remove_file(folder.join("chartseal.toml")).unwrap();
    std::fs::remove_file(folder.join("policy.toml")).unwrap();
    assert!(init(&folder).err.contains("root key already"));
    assert_eq!(names_in(&folder), ["keys"]);

    // Found out only while writing.
    let folder = place.join("with-open-keys");
    std::fs::create_dir_all(folder.join("keys")).unwrap();
    std::fs::set_permissions(folder.join("keys"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = init(&folder);
    assert!(refused.code == 2 && refused.err.contains("the keys were not made"), "{}", refused.all());
    assert_eq!((names_in(&folder), names_in(&folder.join("keys"))), (vec!["keys".to_owned()], vec![]));
    let folder = place.join("a/b");
    std::fs::write(place.join("a"), "no folder").unwrap();
    assert_eq!(init(&folder).code, 2);
}

#[test]
fn a_file_that_is_not_utf8_is_told_with_its_line() {
    let folder = Place::new("latin-1");
    let config = folder.join("chartseal.toml");
    assert_eq!(init(&folder).code, 0);
    for name in ["policy.toml", "chartseal.toml"] {
        let file = folder.join(name);
        let good = std::fs::read(&file).unwrap();
        let line = 2 + String::from_utf8_lossy(&good).matches('\n').count();
        std::fs::write(&file, [&good[..], b"\n# Cl\xednica\n"].concat()).unwrap();
        let told = program::run(&config, &["check"]);
        assert!(told.code == 2 && told.err.contains(&format!("{name}:{line}:5: ")), "{}", told.all());
        assert!(told.err.contains("UTF-8") && !told.err.contains("chartseal init"), "{}", told.all());
        std::fs::write(&file, good).unwrap();
    }
}

#[test]
fn sections_of_which_there_are_several_are_counted_from_one_and_named() {
    let folder = Place::new("counted");
    let config = folder.join("chartseal.toml");
    assert_eq!(init(&folder).code, 0);
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{good}\n[[clinic]]\nid = \"riverside\"\nfon = 1\n")).unwrap();
    let told = program::run(&config, &["check"]);
    assert!(told.err.contains("[[clinic]] number 2, \"riverside\": fon: there is no such key"), "{}", told.all());
}

#[test]
fn a_backup_is_whole_private_and_never_overwrites() {
    let folder = Place::new("backup-command");
    let config = folder.join("chartseal.toml");
    let copy = folder.join("copy.db");
    assert_eq!(init(&folder).code, 0);
    let backup = |to: &std::path::Path| program::run(&config, &["backup", &to.display().to_string()]);
    let none = backup(&copy);
    assert!(none.code == 2 && none.err.contains("no database"), "{}", none.all());
    assert!(!folder.join("chartseal.db").exists() && !copy.exists());

    assert_eq!(program::run(&config, &["migrate"]).code, 0);
    assert_eq!(program::run(&config, &["pause", "--why", "before"]).code, 0);
    let made = backup(&copy);
    assert_eq!(made.code, 0, "{}", made.all());
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(program::run(&config, &["resume"]).code, 0);

    let kept = std::fs::read(&copy).unwrap();
    let again = backup(&copy);
    assert!(again.code == 2 && again.err.contains("there already"), "{}", again.all());
    assert_eq!(std::fs::read(&copy).unwrap(), kept);
    assert_eq!(backup(&folder.join("nowhere/copy.db")).code, 2);
    let left = names_in(&folder).into_iter().filter(|name| name.contains("copy")).collect::<Vec<_>>();
    assert_eq!(left, ["copy.db"]);

    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, good.replace("#url = \"sqlite:chartseal.db\"", "url = \"sqlite:copy.db\"")).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("sqlite:copy.db"));
    assert!(program::run(&config, &["deliveries", "list"]).out.contains("before"), "the copy is not whole");
    std::fs::write(&config, text.replace("sqlite:copy.db", "postgres://u@127.0.0.1:1/d")).unwrap();
    let other = backup(&folder.join("pg.db"));
    assert!(other.code == 2 && other.err.contains("pg_dump"), "{}", other.all());
}
