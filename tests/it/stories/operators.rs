//! People with keys of their own: from the first one on, a name alone changes nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use serde_json::Value;

use crate::support::place::Place;
use crate::support::program::{self, Ran};

/// A new installation with its lead.
fn installation() -> (Place, PathBuf, PathBuf) {
    let folder = Place::new("staff");
    let config = folder.join("chartseal.toml");
    assert_eq!(program::run(&config, &["init", &folder.display().to_string()]).code, 0);
    assert_eq!(program::run(&config, &["migrate"]).code, 0);
    let key = folder.join("lea.key");
    let made = program::run(&config, &["staff", "add", "Lea Lead", "--role", "lead", "--out", key.to_str().unwrap()]);
    assert_eq!(made.code, 0, "{}", made.all());
    (folder, config, key)
}

fn by(config: &Path, who: &str, key: &Path, arguments: &[&str]) -> Ran {
    program::run(config, &[arguments, &["--as", who, "--key-file", key.to_str().unwrap()]].concat())
}

fn added(config: &Path, lead: &Path, who: &str, role: &str) -> PathBuf {
    let key = config.with_file_name(format!("{who}.key"));
    let ran = by(config, "Lea Lead", lead, &["staff", "add", who, "--role", role, "--out", key.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    key
}

fn exported(config: &Path) -> Vec<Value> {
    let out = program::run(config, &["audit", "export"]).out;
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn from_the_first_person_on_a_name_alone_changes_nothing() {
    let folder = Place::new("staff-first");
    let config = folder.join("chartseal.toml");
    assert_eq!(program::run(&config, &["init", &folder.display().to_string()]).code, 0);
    assert!(program::run(&config, &["check"]).out.contains("Nobody has a key yet"));
    assert_eq!(program::run(&config, &["pause", "--why", "a name is enough"]).code, 0);
    let not_lead = program::run(&config, &["staff", "add", "Ann", "--role", "author"]);
    assert!(not_lead.code == 1 && not_lead.err.contains("--role lead"), "{}", not_lead.all());

    let made = program::run(&config, &["staff", "add", "Lea Lead", "--role", "lead", "--json"]);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("chartseal-key-"), "it has no readable beginning");
    assert!(!program::run(&config, &["check"]).out.contains("Nobody has a key yet"));

    let bare = program::run(&config, &["resume", "--as", "Lea Lead"]);
    assert!(bare.code == 2 && bare.err.contains("--key-file"), "{}", bare.all());
    let mut with_key = program::command(&config);
    with_key.env("CHARTSEAL_OPERATOR_KEY", &key).args(["resume", "--as", "Lea Lead"]);
    assert_eq!(program::finish(&mut with_key).code, 0);
    assert_eq!(program::run(&config, &["deliveries", "list"]).code, 0, "looking takes no key");
    let database = std::fs::read(folder.join("chartseal.db")).unwrap();
    let tail = &key.as_bytes()["chartseal-key-".len()..];
    assert!(!database.windows(tail.len()).any(|part| part == tail), "the key is in the database");
    assert!(!exported(&config).iter().any(|line| line.to_string().contains(&key)), "the key is in the audit");
}

#[test]
fn a_wrong_key_and_an_unknown_name_get_the_same_words_and_both_are_audited() {
    let (_folder, config, lead) = installation();
    let ann = added(&config, &lead, "Ann", "author");
    let wrong = by(&config, "Lea Lead", &ann, &["pause", "--why", "x"]);
    let unknown = by(&config, "Nobody Here", &ann, &["pause", "--why", "x"]);
    assert_eq!((wrong.code, unknown.code), (1, 1));
    assert_eq!(wrong.err.replace("Lea Lead", "X"), unknown.err.replace("Nobody Here", "X"));
    let garbled = config.with_file_name("garbled.key");
    std::fs::write(&garbled, "not a key").unwrap();
    assert_eq!(by(&config, "Lea Lead", &garbled, &["pause", "--why", "x"]).err, wrong.err);
    let tried: Vec<String> = exported(&config)
        .iter()
        .filter(|line| line["event"]["event"] == "operator_refused")
        .map(|line| line["event"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(tried, ["Lea Lead", "Nobody Here", "Lea Lead"]);
}

#[test]
fn only_a_lead_says_who_may_act_and_the_last_one_stays() {
    let (_folder, config, lead) = installation();
    let ann = added(&config, &lead, "Ann", "author");
    let refused = by(&config, "Ann", &ann, &["staff", "add", "Bob", "--role", "lead"]);
    assert!(refused.code == 1 && refused.err.contains("a lead may"), "{}", refused.all());
    let taken = by(&config, "Lea Lead", &lead, &["staff", "add", "Ann", "--role", "desk"]);
    assert!(taken.code == 1 && taken.err.contains("staff rekey"), "{}", taken.all());
    let last = by(&config, "Lea Lead", &lead, &["staff", "end", "Lea Lead"]);
    assert!(last.code == 1 && last.err.contains("last lead"), "{}", last.all());

    assert_eq!(by(&config, "Lea Lead", &lead, &["staff", "end", "Ann"]).code, 0);
    assert_eq!(by(&config, "Ann", &ann, &["pause", "--why", "x"]).code, 1);
    let list = program::run(&config, &["staff", "list", "--json"]).json();
    assert_eq!((&list[0]["name"], list[0]["ended_at"].is_string()), (&"Ann".into(), true), "{list}");
}

#[test]
fn a_new_key_ends_the_old_one_and_its_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, config, lead) = installation();
    let mode = std::fs::metadata(&lead).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (new, path) = (config.with_file_name("new.key"), config.with_file_name("new.key").display().to_string());
    assert_eq!(by(&config, "Lea Lead", &lead, &["staff", "rekey", "Lea Lead", "--out", &path]).code, 0);
    assert_eq!(by(&config, "Lea Lead", &lead, &["pause", "--why", "x"]).code, 1);
    assert_eq!(by(&config, "Lea Lead", &new, &["pause", "--why", "x"]).code, 0);
    let again = by(&config, "Lea Lead", &new, &["staff", "rekey", "Lea Lead", "--out", &path]);
    assert!(again.code == 2 && again.err.contains("new file"), "nothing is overwritten: {}", again.all());
    assert_eq!(by(&config, "Lea Lead", &new, &["resume"]).code, 0, "the refused change changed nothing");
}

const RITA: [&str; 2] = ["--as", "Rita Root"];

fn word(config: &Path) -> PathBuf {
    config.with_file_name("keys").join("recover-lead")
}

/// What root does at its own prompt.
fn as_root(command: &[&str]) {
    use std::os::unix::fs::MetadataExt as _;
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let command = if is_root { command.to_vec() } else { [&["sudo", "-n"], command].concat() };
    assert!(Command::new(command[0]).args(&command[1..]).status().unwrap().success(), "{command:?}");
}

fn root_writes(config: &Path, name: &str) {
    let script = format!("umask 022; rm -f '{0}'; echo '{name}' > '{0}'", word(config).display());
    as_root(&["sh", "-c", &script]);
}

fn recover(config: &Path, name: &str, more: &[&str]) -> Ran {
    program::run(config, &[&["staff", "recover", name], &RITA[..], more].concat())
}

#[test]
fn the_only_lead_whose_key_is_lost_gets_another_by_roots_word_once_and_everybody_sees_it() {
    let (_folder, config, lost) = installation();
    let listed = program::run(&config, &["staff", "list", "--json"]).json();
    assert_eq!(listed[0]["recovered_at"], Value::Null);
    let without = recover(&config, "Lea Lead", &[]);
    assert!(without.code == 1 && without.err.contains("recover-lead"), "{}", without.all());

    root_writes(&config, "Lea Lead");
    let new = config.with_file_name("new.key");
    let given = recover(&config, "Lea Lead", &["--out", new.to_str().unwrap()]);
    assert_eq!(given.code, 0, "{}", given.all());
    assert!(!word(&config).exists(), "it is used up");
    assert_eq!(by(&config, "Lea Lead", &lost, &["pause", "--why", "x"]).code, 1, "whoever finds the old one is nobody");
    added(&config, &new, "Leo Lead", "lead");
    assert_eq!(recover(&config, "Lea Lead", &[]).code, 1, "one word is good for one key");

    assert!(program::run(&config, &["staff", "list"]).out.contains("KEY BY ROOT'S WORD"));
    assert_eq!(by(&config, "Lea Lead", &new, &["staff", "rekey", "Lea Lead"]).code, 0);
    let listed = program::run(&config, &["staff", "list", "--json"]).json();
    assert!(listed[0]["recovered_at"].is_string(), "another key does not hide it: {listed}");
    let told: Vec<Value> =
        exported(&config).into_iter().filter(|line| line["event"]["event"] == "lead_recovered").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["event"]["name"], &told[0]["event"]["said_by"], &told[0]["chain"]),
        (&"Lea Lead".into(), &"Rita Root".into(), &"installation".into())
    );
    assert_eq!(program::run(&config, &["audit", "verify"]).code, 0);
}

#[test]
fn a_word_that_is_not_roots_alone_or_old_or_of_another_gives_no_key() {
    let (_folder, config, lead) = installation();
    added(&config, &lead, "Ann", "author");
    let path = word(&config).display().to_string();
    let refused = |name: &str, why: &str| {
        let ran = recover(&config, name, &[]);
        assert!(ran.code != 0 && ran.err.contains(why), "{why}: {}", ran.all());
    };
    root_writes(&config, "Leo Lead");
    refused("Lea Lead", "names 'Leo Lead'");
    refused("Leo Lead", "nobody who may act as lead");
    root_writes(&config, "Ann");
    refused("Ann", "nobody who may act as lead");

    root_writes(&config, "Lea Lead");
    as_root(&["chown", "65534", &path]);
    refused("Lea Lead", "nobody but root");
    root_writes(&config, "Lea Lead");
    as_root(&["chmod", "664", &path]);
    refused("Lea Lead", "nobody but root");
    root_writes(&config, "Lea Lead");
    let elsewhere = config.with_file_name("elsewhere");
    as_root(&["mv", &path, elsewhere.to_str().unwrap()]);
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    refused("Lea Lead", "nobody but root");
    root_writes(&config, "Lea Lead");
    as_root(&["touch", "-d", "61 minutes ago", &path]);
    refused("Lea Lead", "within the last hour");

    assert_eq!(by(&config, "Lea Lead", &lead, &["pause", "--why", "x"]).code, 0, "the key is what it was");
    assert!(!exported(&config).iter().any(|line| line["event"]["event"] == "lead_recovered"));
}

#[test]
fn whoever_can_write_the_database_alone_is_no_lead() {
    let (folder, config, lead) = installation();
    let ann = added(&config, &lead, "Ann", "author");
    let database = folder.join("chartseal.db").display().to_string();
    let mut conn = diesel::SqliteConnection::establish(&database).unwrap();
    let forged =
        "UPDATE operator SET key_mac = (SELECT key_mac FROM operator WHERE name = 'Ann') WHERE name = 'Lea Lead'";
    conn.batch_execute(forged).unwrap();
    assert_eq!(by(&config, "Lea Lead", &ann, &["pause", "--why", "x"]).code, 1, "a key is of one name");
    conn.batch_execute("UPDATE operator SET recovered_at = 1 WHERE name = 'Lea Lead'").unwrap();
    assert_eq!(recover(&config, "Lea Lead", &[]).code, 1);
}
