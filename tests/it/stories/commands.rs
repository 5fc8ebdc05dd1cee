//! Every command, as an operator runs it: what it prints, what it changes, how it ends.

use std::path::Path;

use chartseal::base::LinkId;
use chartseal::desk::{Followed, Subscribes, heard_ehrs};
use data_encoding::HEXLOWER;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::clinic::{Clinic, Hears, Leaves, Wishes, real_now};
use crate::support::ehr_double::{Act, EhrDouble, Reply, outcome};
use crate::support::holder::{Holder, WholeLink};
use crate::support::place::Place;
use crate::support::planted::{self, assert_absent};
use crate::support::program::{self, Ran};
use crate::support::{ehr, pdf};

const THREE_OPENINGS: &str = "24323-8";
const NO_RULE: &str = "1-8";

const PLANTED: [planted::Planted; 5] =
    [planted::FAMILY, planted::GIVEN, planted::BIRTH_DATE, planted::EMAIL, planted::PATIENT_ID];

/// Runs the program and looks at all that it prints: no patient data, ever.
fn run(config: &Path, arguments: &[&str]) -> Ran {
    let ran = program::run(config, arguments);
    assert_absent(&arguments.join(" "), ran.all().as_bytes(), &PLANTED);
    ran
}

/// The same once more with `--json`: it must be one JSON value.
fn json(config: &Path, arguments: &[&str]) -> (i32, Value) {
    let ran = run(config, &[arguments, &["--json"]].concat());
    (ran.code, ran.json())
}

fn assert_code(ran: &Ran, code: i32, says: &str) {
    assert!(
        ran.code == code && ran.all().contains(says),
        "code {}, wanted {code} and '{says}': {}",
        ran.code,
        ran.all()
    );
}

#[test]
fn init_makes_a_folder_that_check_accepts_and_never_overwrites_one() {
    let place = Place::new("init");
    let folder = place.join("new");
    let (at, config) = (folder.display().to_string(), folder.join("chartseal.toml"));
    let bad = run(&config, &["init", &at, "--timezone", "Mars/Olympus"]);
    assert_code(&bad, 2, "Mars/Olympus");
    assert!(!config.exists() && !folder.join("keys").exists(), "a half-made folder was left");

    let made = run(&config, &["init", &at, "--clinic-name", "Riverside \"North\" Clinic"]);
    assert_code(&made, 0, "Back up");
    let root = std::fs::read(folder.join("keys/root/root.key")).unwrap();
    let text = std::fs::read(&config).unwrap();
    let rules = std::fs::read(folder.join("policy.toml")).unwrap();
    assert!(!made.all().contains(std::str::from_utf8(&root).unwrap().trim().rsplit(' ').next().unwrap()));

    let (code, again) = json(&config, &["init", &at]);
    assert!(code == 2 && again["error"].as_str().unwrap().contains("nothing was overwritten"), "{again}");
    assert_eq!(std::fs::read(folder.join("keys/root/root.key")).unwrap(), root);
    assert_eq!(std::fs::read(&config).unwrap(), text);

    // Somebody removed the configuration to begin anew; the keys are still somebody's.
    std::fs::remove_file(&config).unwrap();
    std::fs::remove_file(folder.join("policy.toml")).unwrap();
    assert_code(&run(&config, &["init", &at]), 2, "root key already");
    assert_eq!(std::fs::read(folder.join("keys/root/root.key")).unwrap(), root);
    std::fs::write(&config, text).unwrap();
    std::fs::write(folder.join("policy.toml"), rules).unwrap();

    let (code, checked) = json(&config, &["check"]);
    assert_eq!((code, &checked["mode"]), (0, &Value::from("shadow")), "{checked}");
}

#[test]
fn check_tells_a_mistake_with_its_file_and_line() {
    let folder = Place::new("check");
    let (at, config) = (folder.display().to_string(), folder.join("chartseal.toml"));
    assert_eq!(run(&config, &["init", &at]).code, 0);
    let good = std::fs::read_to_string(&config).unwrap();
    let rules = folder.join("policy.toml");
    let good_rules = std::fs::read_to_string(&rules).unwrap();

    std::fs::write(&config, format!("{good}\n[limits]\nhook_body_bytes_maximum = 5\n")).unwrap();
    let line = good.lines().count() + 3;
    let wrong = run(&config, &["check"]);
    assert_code(&wrong, 2, &format!("chartseal.toml:{line}"));
    assert!(wrong.err.contains("hook_body_bytes_max"), "what would be right: {}", wrong.err);
    assert_eq!(json(&config, &["check"]).0, 2);
    std::fs::write(&config, &good).unwrap();

    let at_line = good_rules.lines().position(|line| line.starts_with("code = [")).unwrap() + 1;
    std::fs::write(&rules, good_rules.replacen("code = [", "cod = [", 1)).unwrap();
    let wrong = run(&config, &["check"]);
    assert_code(&wrong, 2, "cod");
    assert!(wrong.err.contains(&format!("policy.toml:{at_line}")) || wrong.err.contains(&format!("line {at_line}")));
    std::fs::write(&rules, &good_rules).unwrap();

    std::fs::remove_file(&rules).unwrap();
    assert_code(&run(&config, &["check"]), 2, "chartseal init");
    assert_code(&run(&folder.join("absent.toml"), &["check"]), 2, "--config");
}

#[test]
fn check_says_what_an_empty_configuration_comes_to() {
    let folder = Place::new("check-empty");
    let (at, config) = (folder.display().to_string(), folder.join("chartseal.toml"));
    assert_eq!(run(&config, &["init", &at]).code, 0);
    assert!(!run(&config, &["check"]).out.contains("Without"));
    std::fs::write(&config, "").unwrap();
    assert_code(&run(&config, &["check"]), 0, "nothing is heard and nothing sent");
}

#[test]
fn a_command_whose_reader_has_seen_enough_ends_quietly() {
    let folder = Place::new("pipe");
    let (at, config) = (folder.display().to_string(), folder.join("chartseal.toml"));
    assert_eq!(run(&config, &["init", &at]).code, 0);
    assert_eq!(run(&config, &["check"]).code, 0);
    for arguments in [["deliveries", "list"], ["keys", "list"], ["audit", "export"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = program::command(&config).args(arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.is_empty(), "{arguments:?}: {} {said}", ended.status);
    }
}

#[test]
fn migrate_pause_and_resume_say_what_they_did() {
    let folder = Place::new("pause");
    let (at, config) = (folder.display().to_string(), folder.join("chartseal.toml"));
    assert_eq!(run(&config, &["init", &at]).code, 0);
    let (code, first) = json(&config, &["migrate"]);
    assert!(code == 0 && !first["ran"].as_array().unwrap().is_empty(), "{first}");
    assert_eq!(json(&config, &["migrate"]), (0, serde_json::json!({"ran": []})));

    assert_code(&run(&config, &["resume"]), 1, "Nothing was paused");
    assert_code(&run(&config, &["pause"]), 2, "--why");
    assert_code(&run(&config, &["pause", "--why", "the relay is being moved"]), 0, "paused");
    assert_code(&run(&config, &["deliveries", "list"]), 0, "PAUSED by Eve Admin");
    let (code, over) = json(&config, &["resume", "--as", "Bo Other"]);
    assert_eq!((code, &over["was"], &over["by"]), (0, &"the relay is being moved".into(), &"Eve Admin".into()));
    assert_eq!(json(&config, &["resume"]), (1, serde_json::json!({"resumed": false})));
    assert!(!run(&config, &["deliveries", "list"]).out.contains("PAUSED"));

    let nobody = program::command(&config).env_remove("USER").args(["pause", "--why", "x"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("--as"));
    let actors = exported(&config).iter().map(|line| line["event"]["actor"].to_string()).collect::<Vec<_>>().join(" ");
    assert!(actors.contains("Eve Admin") && actors.contains("Bo Other"), "{actors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_shown_released_sent_again_and_revoked() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let config = clinic.config_path.clone();
    assert_code(&run(&config, &["deliveries", "list"]), 0, "no such deliveries");
    let link = sent(&clinic, THREE_OPENINGS).await;
    let id = clinic.only_delivery().await.id;
    let whole = WholeLink::read(&link);

    let (code, list) = json(&config, &["deliveries", "list", "--state", "live"]);
    assert_eq!((code, list[0]["id"].as_str()), (0, Some(id.as_str())));
    assert_code(&run(&config, &["deliveries", "list"]), 0, &id);
    assert_eq!(json(&config, &["deliveries", "list", "--state", "held"]), (0, Value::Array(vec![])));
    assert_code(&run(&config, &["deliveries", "list", "--state", "alive"]), 2, "the states are");
    assert_code(&run(&config, &["deliveries", "list", "--most", "0"]), 2, "1..=1000");

    let (_, shown) = json(&config, &["deliveries", "show", &id]);
    let reference = shown["reference"].as_str().unwrap().to_owned();
    for name in [whole.id.as_str(), &reference, &reference.to_lowercase().replace('-', " ")] {
        assert_eq!(json(&config, &["deliveries", "show", name]), (0, shown.clone()), "found by {name}");
    }
    let ran = run(&config, &["deliveries", "show", &id]);
    assert_code(&ran, 0, "what happened");
    assert!(!ran.out.contains(['{', '}']), "this is for people: {}", ran.out);
    assert!(!ran.all().contains(whole.secret.to_base64url().expose()), "the secret was printed");
    assert_code(&run(&config, &["deliveries", "show", "AAAAAAAAAAAAAAAB"]), 1, "deliveries list");
    assert_eq!(json(&config, &["deliveries", "show", "no-such"]).0, 1);

    assert_code(&run(&config, &["deliveries", "release", &id]), 1, "revoke it, or send it again");
    let (code, again) = json(&config, &["deliveries", "resend", &id, "--reason", "lost the phone"]);
    let new = again["delivery"].as_str().unwrap().to_owned();
    assert_eq!(code, 0);
    assert_eq!(Holder::new(&link).look().await.says(), "superseded");
    clinic.settle().await;
    let second = clinic.mailbox.wait_for(planted::EMAIL.value, 2).await.link();
    assert_code(&run(&config, &["deliveries", "resend", &id]), 1, "a newer delivery took its place");
    assert_code(&run(&config, &["deliveries", "revoke", &new, "--reason", "wrong patient"]), 0, "refused from now on");
    assert_eq!(Holder::new(&second).look().await.says(), "revoked");
    assert_eq!(json(&config, &["deliveries", "revoke", &new]).0, 1);
    clinic.settle().await;

    report(&clinic, NO_RULE).await;
    clinic.hear_and_settle().await;
    let held = clinic.deliveries().await.into_iter().find(|delivery| delivery.state == "review").unwrap();
    let (code, released) = json(&config, &["deliveries", "release", &held.id, "--reason", "the doctor called"]);
    assert_eq!((code, released["released"].as_str()), (0, Some(held.id.as_str())));
    clinic.hear_and_settle().await;
    let third = clinic.mailbox.wait_for(planted::EMAIL.value, 3).await.link();
    assert_eq!(Holder::new(&third).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_staff_can_look_and_nothing_leaves() {
    let clinic = Clinic::spawn(Wishes { send: "shadow", ..Wishes::default() }).await;
    report(&clinic, THREE_OPENINGS).await;
    clinic.hear_and_settle().await;
    let delivery = clinic.only_delivery().await;
    assert_eq!((delivery.state, delivery.mode), ("recorded", "shadow"));
    assert_code(&run(&clinic.config_path, &["deliveries", "release", &delivery.id]), 1, "shadow mode");
    assert_code(&run(&clinic.config_path, &["deliveries", "resend", &delivery.id]), 1, "shadow mode");
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mailbox.mails().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_can_be_recomputed_by_anybody_and_tampering_is_found() {
    let mut clinic = Clinic::spawn(Wishes::default()).await;
    let config = clinic.config_path.clone();
    let link = sent(&clinic, THREE_OPENINGS).await;
    Holder::new(&link).read().await;
    for _ in 0..3 {
        clinic.forward(std::time::Duration::from_mins(2));
        clinic.settle().await;
    }
    let (code, verified) = json(&config, &["audit", "verify"]);
    assert!(code == 0 && verified["anchors"].as_u64().unwrap() > 0, "{verified}");
    assert_code(&run(&config, &["audit", "verify"]), 0, "Not detectable");

    let lines = exported(&config);
    assert_eq!(verified["lines"].as_u64(), Some(lines.len() as u64));
    recompute(&lines);
    let after = lines[2]["n"].to_string();
    assert_eq!(run(&config, &["audit", "export", "--after", &after]).out.lines().count(), lines.len() - 3);
    clinic.stop().await.unwrap();

    let path = clinic.folder.join("chartseal.db").display().to_string();
    let kept = std::fs::read(&path).unwrap();
    let last = lines.iter().rev().find(|line| line["chain"].as_str().unwrap().starts_with("delivery:")).unwrap();
    let (n, chain) = (last["n"].to_string(), last["chain"].as_str().unwrap());
    let attacks = [
        (
            format!("UPDATE audit_line SET body = replace(body, 'stepped', 'noticed') WHERE chain = '{chain}'"),
            "changed",
        ),
        (format!("UPDATE audit_line SET at = at + 1 WHERE n = {n}"), "changed"),
        (format!("DELETE FROM audit_line WHERE chain = '{chain}' AND seq = 2"), "removed or inserted"),
        // Cut off at the end: only the anchors know.
        (format!("DELETE FROM audit_line WHERE n = {n}"), "anchored"),
        (format!("DELETE FROM audit_line WHERE chain = '{chain}'"), "anchored"),
    ];
    for (attack, found) in attacks {
        SqliteConnection::establish(&path).unwrap().batch_execute(&attack).unwrap();
        let (code, verified) = json(&config, &["audit", "verify"]);
        assert!(code == 1 && verified["faults"].to_string().contains(found), "{attack}: {verified}");
        assert_code(&run(&config, &["audit", "verify"]), 1, "does NOT verify");
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{path}{ending}"));
        }
        std::fs::write(&path, &kept).unwrap();
    }
    assert_eq!(json(&config, &["audit", "verify"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_by_fingerprint_and_a_missing_one_is_told() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let config = clinic.config_path.clone();
    sent(&clinic, THREE_OPENINGS).await;
    let (code, keys) = json(&config, &["keys", "list"]);
    let keys = keys.as_array().unwrap();
    let kinds: Vec<_> = keys.iter().map(|key| key["kind"].as_str().unwrap()).collect();
    assert!(code == 0 && ["root", "epoch", "outbox"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    assert!(keys.iter().all(|key| key["state"] == "held"), "{keys:?}");
    let ran = run(&config, &["keys", "list"]);
    for entry in ["root/root", "epoch"] {
        let folder = clinic.folder.join("keys").join(entry);
        let files = if folder.is_dir() {
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![folder.with_extension("key")]
        };
        for file in files {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(!ran.all().contains(text.trim().rsplit(' ').next().unwrap()), "a key was printed");
        }
    }
    std::fs::remove_dir_all(clinic.folder.join("keys/epoch")).unwrap();
    assert_code(&run(&config, &["keys", "list"]), 0, "MISSING");
    clinic.desk().revoke(&clinic.only_delivery().await.id, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_see_how_each_ehr_is_heard_and_what_is_wrong_with_it() {
    let odd = EhrDouble::start().await;
    let wishes = Wishes { hears: Hears::Hooks, ehr_base: Some(odd.base_url.clone()), ..Wishes::default() };
    let clinic = Clinic::spawn(wishes).await;
    let config = clinic.config_path.clone();
    odd.behave(|asked| {
        let refused = Reply::fhir(403, &outcome("forbidden"));
        if asked.target.contains("Subscription") { Act::Answer(refused) } else { Act::AsUsual }
    });
    clinic.settle().await;
    let (code, list) = json(&config, &["ehrs", "list"]);
    assert_eq!((code, list.as_array().unwrap().len(), list[0]["ehr"].as_str()), (0, 1, Some("lab")));
    assert_eq!((&list[0]["last_hook_at"], &list[0]["quarantined"]), (&Value::Null, &Value::Array(vec![])));
    let kinds = list[0]["kinds"].as_array().unwrap();
    assert_eq!(kinds.iter().map(|kind| &kind["kind"]).collect::<Vec<_>>(), ["DiagnosticReport", "DocumentReference"]);
    for kind in kinds {
        assert_eq!((&kind["poll_why"], &kind["subscription"]["status"]), (&Value::Null, &"none".into()), "{kind}");
        assert!(kind["subscription"]["why"].as_str().unwrap().contains("refused access with status 403"), "{kind}");
    }
    let good = kinds[0]["last_poll_at"].clone();
    assert!(good.is_string(), "{list}");

    odd.behave(|_| Act::Answer(Reply::fhir(500, &outcome("exception"))));
    let called = clinic.now().to_rfc3339();
    for body in ["no JSON", planted::FAMILY.value, "[]"] {
        clinic.hook(reqwest::Method::POST, "", body).await;
    }
    clinic.settle().await;
    // The events of good calls are deleted after an hour; when the last one came is still known.
    clinic.forward(std::time::Duration::from_hours(2));
    clinic.settle().await;
    let (_, list) = json(&config, &["ehrs", "list"]);
    assert_eq!(list[0]["last_hook_at"].as_str(), Some(called.as_str()));
    let quarantined = serde_json::json!([
        {"why": "the body is not JSON", "count": 2}, {"why": "the body is not a JSON object", "count": 1},
    ]);
    assert_eq!(list[0]["quarantined"], quarantined);
    let report = &list[0]["kinds"][0];
    assert!(report["poll_why"].as_str().unwrap().contains("failed with status 500"), "{report}");
    assert_eq!(report["last_poll_at"], good, "a poll that failed is no good one");
    let followed = Followed { ehr: "lab".parse().unwrap(), subscribes: Subscribes::Others };
    let heard = heard_ehrs(&clinic.ground.store, vec![followed], clinic.now()).await.unwrap().remove(0);
    assert!(heard.kinds[0].behind_seconds.unwrap() >= 7200 && heard.kinds[0].subscription.is_none());

    let ran = run(&config, &["ehrs", "list"]);
    for says in
        ["subscription: the EHR", "poll: the EHR failed with status 500", "lab: 2 hook calls in quarantine", &called]
    {
        assert_code(&ran, 0, says);
    }
}

#[test]
fn an_ehr_that_was_never_followed_is_listed_as_such() {
    let folder = Place::new("never-followed");
    let (at, config) = (folder.display().to_string(), folder.join("chartseal.toml"));
    assert_eq!(run(&config, &["init", &at]).code, 0);
    assert_eq!(run(&config, &["migrate"]).code, 0);
    assert_code(&run(&config, &["ehrs", "list"]), 0, "start the service");
    assert_eq!(json(&config, &["ehrs", "list"]).1[0]["kinds"][0]["seen_until"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_ends_with_2_and_says_what_is_right() {
    let mut clinic = Clinic::spawn(Wishes::default()).await;
    clinic.leaves = Leaves::Nothing;
    let config = clinic.config_path.clone();
    let link = sent(&clinic, THREE_OPENINGS).await;
    let id = WholeLink::read(&link).id.to_string();
    let (db, blobs) = (clinic.folder.join("chartseal.db"), clinic.folder.join("blobs"));
    let (db, blobs) = (db.display().to_string(), blobs.display().to_string());
    let other = LinkId::random(&mut chartseal::base::random::system()).to_string();
    let prove = |id: &str, db: &str, blobs: &str, link: &str| {
        let ran = run(&config, &["prove-shred", id, "--backup", db, "--blobs", blobs, "--link", link]);
        assert!(!ran.all().contains(link.rsplit('#').next().unwrap()) || !link.contains('#'), "the secret was printed");
        ran
    };
    assert_code(&prove(&other, &db, &blobs, &link), 2, "do not belong together");
    assert_code(&prove(&id, &db, "/nowhere", &link), 2, "no folder");
    assert_code(&prove(&id, "/nowhere.db", &blobs, &link), 2, "cannot be read");
    assert_code(&prove(&id, &db, &blobs, link.split('#').next().unwrap()), 2, "not a whole link");
    assert_code(&prove(&id, &db, &blobs, &format!("{}#short", link.split('#').next().unwrap())), 2, "not a whole link");
    assert_code(&run(&config, &["prove-shred", &id]), 2, "--link");
    assert_code(&prove(&id, &db, &blobs, &link), 1, "It OPENS");

    assert_code(&run(&config, &["prove"]), 2, "prove-shred");
    assert_code(&run(&config, &["deliveries"]), 2, "Usage");
    assert_code(&run(&config, &["serve", "--replica", "Not A Name"]), 2, "--replica");
    assert_code(&run(&config, &["pause", "--why", "x", "--as", "no\nname"]), 2, "--as");
    assert_code(&run(&config, &["--version"]), 0, env!("CARGO_PKG_VERSION"));
    let help = run(&config, &["--help"]);
    for command in
        ["init", "serve", "check", "migrate", "pause", "resume", "deliveries", "audit", "keys", "prove-shred"]
    {
        assert_code(&help, 0, command);
    }
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

async fn report(clinic: &Clinic, code: &str) {
    let mut patient = ehr::patient(
        planted::PATIENT_ID.value,
        planted::FAMILY.value,
        planted::GIVEN.value,
        planted::BIRTH_DATE.value,
        planted::EMAIL.value,
    );
    patient["identifier"][0]["value"] = planted::MRN.value.into();
    clinic.lab().update(&patient).await;
    clinic.lab().post(&ehr::report(planted::PATIENT_ID.value, code, &real_now(), &paper())).await;
}

async fn sent(clinic: &Clinic, code: &str) -> String {
    report(clinic, code).await;
    clinic.hear_and_settle().await;
    clinic.mailbox.wait_for(planted::EMAIL.value, 1).await.link()
}

fn exported(config: &Path) -> Vec<Value> {
    let ran = run(config, &["audit", "export", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The chains once more, from the exported lines alone.
fn recompute(lines: &[Value]) {
    let mut heads: std::collections::HashMap<&str, (i64, String)> = std::collections::HashMap::new();
    for line in lines {
        let text = |key: &str| line[key].as_str().unwrap();
        let number = |key: &str| line[key].as_i64().unwrap();
        let chain = text("chain");
        let (seq, prev) = heads.get(chain).cloned().unwrap_or((0, "0".repeat(64)));
        assert_eq!((number("seq"), text("prev")), (seq + 1, prev.as_str()), "chain {chain}");
        let mut digest = Sha256::new();
        digest.update(b"chartseal/1/audit");
        digest.update(HEXLOWER.decode(prev.as_bytes()).unwrap());
        let parts: [&[u8]; 4] =
            [chain.as_bytes(), &number("seq").to_be_bytes(), &number("at_ms").to_be_bytes(), text("body").as_bytes()];
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        assert_eq!(HEXLOWER.encode(&digest.finalize()), text("hash"), "chain {chain}, line {}", number("seq"));
        assert_eq!(serde_json::from_str::<Value>(text("body")).unwrap(), line["event"]);
        heads.insert(chain, (number("seq"), text("hash").to_owned()));
    }
}
