//! Rules tried on the reports that came, before they are in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chartseal::policy::columns::Columns;
use chartseal::policy::{Decision, Terms};
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, RULES, Wishes, real_now};
use crate::support::planted::{self, assert_absent};
use crate::support::program::{self, Ran};
use crate::support::{ehr, pdf};

const CBC: &str = "58410-2";
const HBA1C: &str = "4548-4";
const PANEL: &str = "24323-8";
const SUMMARY: &str = "11502-2";
const UNMAPPED: &str = "2106-3";
const CODES: [&str; 5] = [CBC, HBA1C, PANEL, SUMMARY, UNMAPPED];

/// Each code goes another way than under [`RULES`].
const CHANGED: &str = r#"
[policy]
id = "test"
version = "2"

[[profile]]
id = "shorter"
when = { code = "loinc|58410-2" }
then = { action = "send", expiry = "24h", opens = 1, channel = ["email"] }

[[profile]]
id = "looked-at"
when = { code = "loinc|4548-4" }
then = { action = "manual_review", expiry = "72h", opens = 1, channel = ["email"] }

[[profile]]
id = "several-openings"
when = { code = "loinc|24323-8" }
then = { action = "send", expiry = "48h", opens = 5, channel = ["email"] }

[[profile]]
id = "routine"
when = { code = "loinc|11502-2" }
then = { action = "send", expiry = "72h", opens = 1, channel = ["email"] }

[[profile]]
id = "new"
when = { code = "loinc|2106-3" }
then = { action = "send", expiry = "72h", opens = 1, channel = ["email"] }
"#;

/// One report of each code; the code by its resource's name.
async fn post_one_of_each(clinic: &Clinic) -> BTreeMap<String, &'static str> {
    let mut posted = BTreeMap::new();
    for code in CODES {
        let (_, report) = clinic.report(&format!("ana-{code}@example.test"), code, &pdf::with_pages(&["a page"])).await;
        posted.insert(format!("DiagnosticReport/{report}"), code);
    }
    clinic.hear_and_settle().await;
    posted
}

/// What became of each code.
async fn decisions(clinic: &Clinic, posted: &BTreeMap<String, &'static str>) -> BTreeMap<&'static str, Decision> {
    let mut found = BTreeMap::new();
    for (report, code) in posted {
        let id = clinic.delivery_of(report).await.id;
        found.insert(*code, clinic.show(&id).await.decision);
    }
    found
}

fn movement(before: &Decision, after: &Decision) -> &'static str {
    let terms = |decision: &Decision| match decision {
        Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => Columns::from(terms),
        Decision::Review { terms: None, .. } | Decision::Block { .. } => Columns::from(&Terms::by_hand()),
    };
    let is_sent = |decision: &Decision| matches!(decision, Decision::Send { .. });
    let (old, new) = (terms(before), terms(after));
    match (is_sent(before), is_sent(after)) {
        (false, true) => "newly_sent",
        _ if old.join(&new) != new => "looser",
        (true, false) => "newly_in_review",
        _ if old == new => "same",
        _ => "tighter",
    }
}

fn file(clinic: &Clinic, name: &str, text: &str) -> PathBuf {
    let path = clinic.folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn done(config: &Path, arguments: &[&str]) -> Ran {
    let ran = program::run(config, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.all());
    ran
}

/// Two people bring a file into force.
fn activate(clinic: &Clinic, rules: &Path) {
    let config = &clinic.config_path;
    let key = |who: &str| clinic.folder.join(format!("{who}.key")).display().to_string();
    done(config, &["staff", "add", "Lea", "--role", "lead", "--out", &key("Lea")]);
    for (who, role) in [("Ann", "author"), ("Ben", "approver")] {
        let lead = key("Lea");
        done(config, &["staff", "add", who, "--role", role, "--out", &key(who), "--as", "Lea", "--key-file", &lead]);
    }
    let by = |who: &str, arguments: &[&str]| {
        program::run(config, &[arguments, &["--as", who, "--key-file", &key(who), "--json"]].concat())
    };
    let proposed = by("Ann", &["rules", "propose", rules.to_str().unwrap()]).json();
    let hash = proposed["hash"].as_str().unwrap();
    let uncounted = by("Ben", &["rules", "approve", hash]);
    assert_eq!(uncounted.code, 1, "looser rules were approved unseen: {}", uncounted.all());
    let looser = done(config, &["rules", "show", hash, "--json"]).json()["looser"].as_array().unwrap().len();
    let approved = by("Ben", &["rules", "approve", hash, "--accept-looser", &looser.to_string()]);
    assert_eq!(approved.code, 0, "{}", approved.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn behaviour_12_what_a_dry_run_predicts_is_what_happens() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let posted = post_one_of_each(&clinic).await;
    let before = decisions(&clinic, &posted).await;
    let changed = file(&clinic, "changed.toml", CHANGED);

    let ran = done(&clinic.config_path, &["rules", "dry-run", changed.to_str().unwrap(), "--since", "30d", "--json"]);
    let found = ran.json();
    let mut predicted = BTreeMap::new();
    for kind in ["newly_sent", "looser", "newly_in_review", "tighter"] {
        for item in found[kind]["shown"].as_array().unwrap() {
            predicted.insert(posted[item["report"].as_str().unwrap()], kind);
        }
    }
    assert_eq!((&found["same"], &found["reports"]), (&json!(1), &json!(5)), "{found}");
    predicted.insert(SUMMARY, "same");
    let text = done(&clinic.config_path, &["rules", "dry-run", changed.to_str().unwrap(), "--since", "30d"]).out;
    for line in ["opens: 3 (several-openings), now 5 (several-openings): looser", "Newly sent, one by one:"] {
        assert!(text.contains(line), "{text}");
    }
    let old = file(&clinic, "old.toml", RULES);
    let diff = program::run(&clinic.config_path, &["rules", "diff", old.to_str().unwrap(), changed.to_str().unwrap()]);
    assert!(
        diff.code == 1 && diff.out.contains("several-openings: it asks for less: opens 3, now 5"),
        "{}",
        diff.all()
    );
    let none = program::run(&clinic.config_path, &["rules", "diff", old.to_str().unwrap(), old.to_str().unwrap()]);
    assert!(none.code == 0 && none.out.contains("Nothing can become looser"), "{}", none.all());

    activate(&clinic, &changed);
    let replayed = post_one_of_each(&clinic).await;
    let after = decisions(&clinic, &replayed).await;
    let real: BTreeMap<_, _> = CODES.iter().map(|code| (*code, movement(&before[code], &after[code]))).collect();
    assert_eq!(predicted, real);
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_facts_hold_codes_and_nothing_of_a_patient_and_a_new_text_pattern_is_said_to_be_unknown() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let patient = planted::PATIENT_ID.value;
    let mail = planted::EMAIL.value;
    let person = ehr::patient(patient, planted::FAMILY.value, planted::GIVEN.value, planted::BIRTH_DATE.value, mail);
    clinic.lab().update(&person).await;
    let mut report = ehr::report(patient, HBA1C, &real_now(), &pdf::with_pages(&[planted::REPORT_TEXT.value]));
    report["code"]["text"] = json!(planted::CODE_TEXT.value);
    report["code"]["coding"][0]["display"] = json!(planted::CODE_TEXT.value);
    report["conclusion"] = json!(format!("{} {}", planted::GIVEN.value, planted::REPORT_TEXT.value));
    report["presentedForm"][0]["title"] = json!(planted::REPORT_TITLE.value);
    report["category"][0]["text"] = json!(planted::CODE_TEXT.value);
    report["performer"] = json!([{"display": planted::FAMILY.value}]);
    clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    let delivery = clinic.only_delivery().await;
    let facts: Value = serde_json::to_value(clinic.show(&delivery.id).await.facts).unwrap();
    assert_eq!(facts["codes"][0]["code"], HBA1C);
    assert_absent("the stored facts", facts.to_string().as_bytes(), &planted::PATIENT_DATA);

    let pattern = "[[classify]]\ntag = \"HIV\"\nany = { text = [\"\\\\bhiv\\\\b\"] }\n\n[[restrict]]\nid = \"sensitive\"\n\
                   when = { tag = \"HIV\" }\nthen = { opens = 1, expiry = \"24h\" }\n";
    let asking = file(&clinic, "asking.toml", &format!("{RULES}\n{pattern}"));
    let ran = done(&clinic.config_path, &["rules", "dry-run", asking.to_str().unwrap(), "--since", "1d"]);
    assert!(ran.out.contains("unknown: the text was not kept; 1 report"), "{}", ran.out);
    assert_absent("the dry run", ran.all().as_bytes(), &planted::PATIENT_DATA);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_are_compared_on_the_reports_that_came_as_a_dry_run_of_the_newer_one_would() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let posted = post_one_of_each(&clinic).await;
    let (old, new) = (file(&clinic, "old.toml", RULES), file(&clinic, "new.toml", CHANGED));
    let [old, new] = [&old, &new].map(|path| path.to_str().unwrap());
    let diff = |old: &str, new: &str, more: &[&str]| {
        program::run(&clinic.config_path, &[&["rules", "diff", old, new][..], more].concat())
    };
    let compared = diff(old, new, &["--facts-since", "30d", "--json"]);
    assert_eq!(compared.code, 1, "looser rules are no success: {}", compared.all());
    let (found, dry) =
        (compared.json(), done(&clinic.config_path, &["rules", "dry-run", new, "--since", "30d", "--json"]).json());
    let reports = &found["reports"];
    for kind in ["newly_sent", "looser", "newly_in_review", "tighter", "same"] {
        assert_eq!(reports[kind], dry[kind], "{kind}: the rules in force are those of the old file");
    }
    let at = |kind: &str| posted[reports[kind]["shown"][0]["report"].as_str().unwrap()];
    let moved = ["newly_sent", "looser", "newly_in_review", "tighter"].map(at);
    assert_eq!(moved, [UNMAPPED, PANEL, HBA1C, CBC]);
    assert!(found["loosenings"].as_array().unwrap().iter().any(|one| one["row"] == "several-openings"), "{found}");

    let told = diff(old, new, &["--facts-since", "30d"]).out;
    for line in ["The new file can be looser", "5 reports since", "Newly sent, one by one:", "Tighter:"] {
        assert!(told.contains(line), "no '{line}' in {told}");
    }
    // The same file twice, the other way round, and without the reports.
    let same = diff(old, old, &["--facts-since", "30d", "--json"]);
    assert_eq!((same.code, &same.json()["reports"]["same"]), (0, &json!(5)), "{}", same.all());
    let back = diff(new, old, &["--facts-since", "30d", "--json"]).json();
    assert_eq!(back["reports"]["newly_sent"]["count"], 1, "{back}");
    assert_eq!(diff(old, new, &["--json"]).json()["reports"], Value::Null);
    let wrong = diff(old, new, &["--facts-since", "a month"]);
    assert!(wrong.code == 2 && wrong.err.contains("30d or 12h"), "{}", wrong.all());
}
