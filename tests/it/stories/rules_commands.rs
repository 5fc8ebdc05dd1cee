//! `rules test`, `rules explain`, `rules export` and `rules import`, as an EHR admin runs them.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Wishes, real_now};
use crate::support::place::Place;
use crate::support::planted::{self, assert_absent};
use crate::support::program::{self, Ran};
use crate::support::{ehr, pdf};

const RULES: &str = r#"
# A remark.
[policy]
id = "trial"
version = "1"
timezone = "America/Chicago"
[[classify]]
tag = "HIV"
any = { holds = "loinc|56888-1", text = ["\\bhiv\\b"] }
[[profile]]
id = "routine"
when = { category = "LAB" }
then = { action = "send", expiry = "72h", opens = 3 }
[[profile]]
id = "teenager"
when = { recipient = "proxy", category = "LAB", age = "..12" }
then = { action = "send", opens = 1 }
[[restrict]]
id = "sensitive"
when = { tag = "HIV" }
then = { release = "manual", hold = "72h", expiry = "24h", opens = 1, verify = ["code"], code_via = "other" }
[[test]]
name = "a blood count goes out"
facts = { category = "LAB", code = "loinc|58410-2" }
expect = { action = "send", opens = 3 }
[[test]]
name = "HIV inside a panel waits"
facts = { category = "LAB", results = ["loinc|56888-1"] }
expect = { release = "manual", expiry = "24h", opens = 1 }
"#;

const AT: &str = "2026-11-20T16:00:00-06:00";

/// A folder with files, and the program in front of it.
struct Desk {
    place: Place,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { place: Place::new("rules") };
        desk.put("rules.toml", RULES);
        desk
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.place.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn at(&self, name: &str) -> String {
        self.place.join(name).display().to_string()
    }

    /// Needs neither configuration nor database.
    fn run(&self, arguments: &[&str]) -> Ran {
        let ran = program::run(&self.place.join("no-such.toml"), arguments);
        assert_absent(&arguments.join(" "), ran.all().as_bytes(), &planted::PATIENT_DATA);
        ran
    }

    fn explain(&self, more: &[&str]) -> Ran {
        self.explain_for("patient", more)
    }

    fn explain_for(&self, role: &str, more: &[&str]) -> Ran {
        let rules = self.at("rules.toml");
        let first = ["rules", "explain", "--rules", &rules, "--recipient", role, "--at", AT];
        self.run(&[first.as_slice(), more].concat())
    }
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
fn the_tests_of_a_file_are_run_and_the_rows_that_none_covers_are_named() {
    let desk = Desk::new();
    let ran = desk.run(&["rules", "test", &desk.at("rules.toml")]);
    assert_code(&ran, 0, "passed  line 22: a blood count goes out");
    assert_code(&ran, 0, "No test comes out otherwise without 1 row");
    assert_code(&ran, 0, "profile 'teenager'");
    let told = desk.run(&["rules", "test", &desk.at("rules.toml"), "--json"]).json();
    assert_eq!((&told["passed"], &told["failed"]), (&json!(2), &json!(0)));
    assert_eq!(told["uncovered"], json!([{"layer": "profile", "id": "teenager", "line": 14}]));

    let failing = desk.put("failing.toml", &RULES.replace("opens = 3 }\n[[test]]", "opens = 5 }\n[[test]]"));
    assert_code(&desk.run(&["rules", "test", &failing]), 1, "opens: expected 5, got 3");
    let told = desk.run(&["rules", "test", &failing, "--json"]);
    assert_eq!((told.code, &told.json()["tests"][0]["passed"]), (1, &json!(false)));

    let broken = desk.put("broken.toml", &RULES.replace("opens = 3 }\n[[profile]]", "opns = 3 }\n[[profile]]"));
    assert_code(&desk.run(&["rules", "test", &broken]), 2, "line 13, column");
    assert_code(&desk.run(&["rules", "test", &desk.at("none.toml")]), 2, "is not there");
    assert_code(&desk.run(&["rules", "test", &broken, "--sets", &desk.at("no-folder")]), 2, "--sets");
}

#[test]
fn code_sets_beside_the_rules_are_read_from_their_folder() {
    let desk = Desk::new();
    let rules = desk.put("sets.toml", &RULES.replace("holds = \"loinc|56888-1\"", "set = \"ours\""));
    assert_code(&desk.run(&["rules", "test", &rules]), 2, "there is no code set 'ours'");
    std::fs::create_dir(desk.place.join("sets")).unwrap();
    std::fs::write(desk.place.join("sets/ours.csv"), "system,code\nloinc,56888-1\n").unwrap();
    std::fs::write(desk.place.join("sets/README.md"), "not a set").unwrap();
    assert_code(&desk.run(&["rules", "test", &rules, "--sets", &desk.at("sets")]), 0, "2 tests passed");
    std::fs::write(desk.place.join("sets/ours.csv"), "system,code\nloinc,56888-2\n").unwrap();
    assert_code(&desk.run(&["rules", "test", &rules, "--sets", &desk.at("sets")]), 2, "check digit");
}

#[test]
fn facts_written_by_hand_are_explained() {
    let desk = Desk::new();
    let plain = desk.put("plain.json", r#"{"categories": ["LAB"], "codes": ["loinc|58410-2"], "age": 30}"#);
    let sent = desk.explain(&["--facts", &plain, "--json"]);
    let told = sent.json();
    assert_eq!((sent.code, &told["decision"]["action"], &told["decision"]["opens"]), (0, &json!("send"), &json!(3)));
    for key in ["decision", "rows", "columns", "evidence", "schedule", "rules_hash"] {
        assert!(told.get(key).is_some(), "{key}");
    }
    assert_code(
        &desk.explain(&["--facts", &plain]),
        0,
        "This report goes out to the patient.\nWhy: the profile 'routine'",
    );

    let hiv = desk.put(
        "hiv.json",
        r#"{"categories": ["LAB"], "results": ["loinc|56888-1"], "issued": "2026-11-20T16:00:00-06:00"}"#,
    );
    let held = desk.explain(&["--facts", &hiv]);
    assert_code(&held, 0, "What would make it go out: a person releases it");
    assert_code(&held, 0, "at Mon 2026-11-30 16:00 CST it is put before staff again");
    assert_code(&held, 0, "tag HIV from 'hiv': holds at results[0]");
    assert_code(&held, 0, "expiry: 24 h from sensitive; 'routine' asked 72 h");

    let unknown = desk.put("unknown.json", r#"{"categories": ["LAB"], "results": {"lacking": ["timed_out"]}}"#);
    let review = desk.explain(&["--facts", &unknown]);
    assert_code(&review, 1, "the EHR did not answer in time");
    assert_code(&review, 1, "supply the members of the result");
    assert_eq!(desk.explain(&["--facts", &unknown, "--json"]).json()["decision"]["action"], "manual_review");
    let none = desk.put("none.json", r#"{"codes": ["loinc|1-8"]}"#);
    assert_code(&desk.explain(&["--facts", &none]), 1, "add a [[profile]] for its code http://loinc.org|1-8");
    let third = desk.explain_for("third_party", &["--facts", &plain, "--json"]);
    assert_eq!((third.code, &third.json()["decision"]["action"]), (1, &json!("block")));
}

#[test]
fn a_test_is_made_of_facts_and_passes() {
    let desk = Desk::new();
    let hiv = desk.put("hiv.json", r#"{"categories": ["LAB"], "text": ["an HIV test"], "age": 30}"#);
    let made = desk.explain(&["--facts", &hiv, "--as-test", "made so"]);
    assert_code(&made, 0, "[[test]]\nname = \"made so\"");
    let with = desk.put("with.toml", &format!("{RULES}\n{}", made.out));
    assert_code(&desk.run(&["rules", "test", &with]), 0, "3 tests passed");
}

#[test]
fn wrong_usage_of_explain_ends_with_2_and_says_what_is_right() {
    let desk = Desk::new();
    let facts = desk.put("facts.json", "{\n  \"category\": \"LAB\"\n}");
    assert_code(&desk.explain(&["--facts", &facts]), 2, "line 2, column 12: unknown field `category`");
    assert_code(&desk.explain(&["--facts", &desk.put("no.json", "{")]), 2, "line 1");
    assert_code(&desk.explain(&["--facts", &desk.at("none.json")]), 2, "is not there");
    assert_code(&desk.explain(&[]), 2, "--facts");
    assert_code(&desk.explain(&["--facts", &facts, "--report", &facts]), 2, "cannot be used with");
    assert_code(&desk.explain_for("friend", &["--facts", &facts]), 2, "ordering_provider");
    let rules = desk.at("rules.toml");
    let at = |at: &str| {
        desk.run(&["rules", "explain", "--rules", &rules, "--facts", &facts, "--recipient", "patient", "--at", at])
    };
    assert_code(&at("2026-11-20T16:00:00"), 2, "write an instant with its zone");
    assert_code(&desk.explain(&["--facts", &facts, "--zone", "Mars/Olympus"]), 2, "America/Chicago");
    assert_code(&desk.run(&["rules", "explain", "--delivery", "x", "--facts", &facts]), 2, "cannot be used with");
}

#[test]
fn a_fhir_file_of_another_kind_ends_with_2_and_says_what_is_wanted() {
    let desk = Desk::new();
    assert_code(&desk.explain(&["--report", &desk.put("no-type.json", "{}")]), 2, "is no FHIR resource");
    let patient = desk.put("patient.json", &a_patient("2000-02-29").to_string());
    assert_code(&desk.explain(&["--report", &patient]), 2, "is a Patient, not a DiagnosticReport");
    assert_code(&desk.explain(&["--report", &desk.put("list.json", "[]")]), 2, "not one complete JSON object");
    assert_code(&desk.explain(&["--report", &desk.put("bad.json", "{\"resourceType\":\n")]), 2, "is not JSON: EOF");
    let report = desk.put("report.json", &a_report(&["o1"]).to_string());
    assert_code(&desk.explain(&["--report", &report, "--patient", &report]), 2, "not a Patient");
    let other = desk.put("other.json", &json!({"resourceType": "Patient", "id": "somebody"}).to_string());
    assert_code(&desk.explain(&["--report", &report, "--patient", &other]), 2, "another patient");
    let two = bundle(&[("", a_report(&[])), ("", a_report(&[]))]);
    assert_code(&desk.explain(&["--report", &desk.put("two.json", &two.to_string())]), 2, "holds 2 reports");
    assert_code(
        &desk.explain(&["--report", &desk.put("empty.json", &bundle(&[]).to_string())]),
        2,
        "holds no DiagnosticReport",
    );
}

fn a_report(members: &[&str]) -> Value {
    let mut report = ehr::report(planted::PATIENT_ID.value, "24364-2", AT, &pdf::with_pages(&["x"]));
    report["id"] = json!("r1");
    report["result"] = members.iter().map(|id| json!({"reference": format!("Observation/{id}")})).collect();
    if members.is_empty() {
        report.as_object_mut().unwrap().remove("result");
    }
    report
}

fn a_patient(birth_date: &str) -> Value {
    json!({"resourceType": "Patient", "id": planted::PATIENT_ID.value, "birthDate": birth_date})
}

fn an_observation(id: &str, code: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
    })
}

fn bundle(entries: &[(&str, Value)]) -> Value {
    let entry = |(address, resource): &(&str, Value)| match *address {
        "" => json!({"resource": resource}),
        address => json!({"fullUrl": address, "resource": resource}),
    };
    json!({"resourceType": "Bundle", "type": "collection", "entry": entries.iter().map(entry).collect::<Vec<_>>()})
}

#[test]
fn a_report_from_fhir_files_is_looked_into_and_what_is_not_given_is_unknown() {
    let desk = Desk::new();
    let report = desk.put("report.json", &a_report(&["o1"]).to_string());
    let patient = desk.put("patient.json", &a_patient("2000-02-29").to_string());
    let member = desk.put("o1.json", &an_observation("o1", "56888-1").to_string());
    let harmless = desk.put("o2.json", &an_observation("o1", "718-7").to_string());

    let lacking = desk.explain(&["--report", &report, "--patient", &patient, "--json"]);
    assert_eq!(lacking.code, 1);
    assert!(lacking.json()["decision"]["reason"].as_str().unwrap().contains("it was not given"), "{}", lacking.out);

    let sensitive = desk.explain(&["--report", &report, "--patient", &patient, "--with", &member, "--json"]);
    let told = sensitive.json();
    assert_eq!(
        (sensitive.code, &told["decision"]["release"], &told["decision"]["opens"]),
        (0, &json!("manual"), &json!(1))
    );
    let evidence = json!([{"tag": "HIV", "row": "hiv", "predicate": "holds", "path": "result[0].code", "resource": "Observation"}]);
    assert_eq!(told["evidence"], evidence);
    assert_eq!(told["facts"]["age"], json!({"years": {"least": 26, "most": 26}}));

    let plain = desk.explain(&["--report", &report, "--with", &harmless, "--json"]);
    assert_eq!((plain.code, &plain.json()["decision"]["release"]), (0, &json!("auto")));

    // In a Bundle resources may refer to each other by address.
    let mut by_address = a_report(&["o1"]);
    by_address["result"][0]["reference"] = json!("urn:uuid:7b0d6b1e-3f0a-4a2c-9a40-6a5f0e1f2a11");
    by_address.as_object_mut().unwrap().remove("id");
    let mut inside = an_observation("", "56888-1");
    inside.as_object_mut().unwrap().remove("id");
    let whole = bundle(&[
        ("urn:uuid:00000000-3f0a-4a2c-9a40-6a5f0e1f2a11", by_address),
        ("urn:uuid:7b0d6b1e-3f0a-4a2c-9a40-6a5f0e1f2a11", inside),
        ("", a_patient("2020-01-01")),
    ]);
    let whole = desk.put("whole.json", &whole.to_string());
    let told = desk.explain(&["--report", &whole, "--json"]).json();
    assert_eq!((&told["decision"]["opens"], &told["evidence"][0]["resource"]), (&json!(1), &json!("Observation")));
    let proxy = desk.explain_for("proxy", &["--report", &whole, "--json"]);
    assert_eq!(proxy.json()["rows"][2]["outcome"], "matched", "{}", proxy.out);
}

#[test]
fn the_shape_of_an_explanation_stays_as_it_is() {
    let desk = Desk::new();
    let hiv = desk.put("hiv.json", r#"{"categories": ["LAB"], "results": ["loinc|56888-1"], "age": 30}"#);
    let told = desk.explain(&["--facts", &hiv, "--json"]).json();
    let keys = |value: &Value| {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(
        keys(&told),
        "at columns decision evidence facts recipient recorded rows rules_hash rules_id rules_version schedule zone"
    );
    assert_eq!(
        keys(&told["decision"]),
        "action attempts auto_release backstop basis channel code_else code_via custody download expiry expiry_from group_by health_link hold \
         notify opens reason reissue release requires retention rule seconds verify view wait wording"
    );
    assert_eq!(keys(&told["schedule"]), "at backstop basis ceilings earliest floors from leaves requires");
    assert_eq!(keys(&told["rows"][0]), "evidence id layer outcome tag");
    assert_eq!(keys(&told["columns"][0]), "column others rows value");
    assert_eq!(keys(&told["evidence"][0]), "path predicate resource row tag");
}

#[test]
fn rules_go_to_a_spreadsheet_and_come_back_the_same() {
    let desk = Desk::new();
    let (csv, toml) = (desk.at("out.csv"), desk.at("back.toml"));
    let out = desk.run(&["rules", "export", &desk.at("rules.toml"), "--csv", &csv, "--json"]);
    assert_eq!(out.code, 0, "{}", out.all());
    assert!(std::fs::read(&csv).unwrap().starts_with(b"\xef\xbb\xbfkind,id,"));
    let back = desk.run(&["rules", "import", &csv, "--toml", &toml, "--json"]);
    assert_eq!((back.code, &back.json()["rules_hash"]), (0, &out.json()["rules_hash"]));
    assert_code(&desk.run(&["rules", "test", &toml]), 0, "2 tests passed");
    assert_code(&desk.run(&["rules", "export", &toml, "--csv", &desk.at("again.csv")]), 0, "Remarks");

    assert_code(&desk.run(&["rules", "export", &desk.at("rules.toml"), "--csv", &csv]), 2, "is there already");
    assert_code(&desk.run(&["rules", "import", &csv, "--toml", &toml]), 2, "is there already");
    assert_code(&desk.run(&["rules", "export", &desk.at("none.toml"), "--csv", &desk.at("x.csv")]), 2, "is not there");
    assert_code(
        &desk.run(&["rules", "export", &desk.put("b.toml", "x = 1"), "--csv", &desk.at("x.csv")]),
        2,
        "line 1, column 1",
    );
    let wrong = std::fs::read_to_string(&csv).unwrap().replace("send,", "sent,");
    let ran = desk.run(&["rules", "import", &desk.put("wrong.csv", &wrong), "--toml", &desk.at("x.toml")]);
    assert_code(&ran, 2, "row 4, column 'then.action': 'sent' is not known");
    assert!(!Path::new(&desk.at("x.toml")).exists() && !Path::new(&desk.at("x.csv")).exists());
    std::fs::write(desk.place.join("latin.csv"), b"kind\nprofil\xe9\n").unwrap();
    assert_code(&desk.run(&["rules", "import", &desk.at("latin.csv"), "--toml", &desk.at("x.toml")]), 2, "CSV UTF-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_explained_by_the_bytes_that_were_decided() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let patient = ehr::patient(
        planted::PATIENT_ID.value,
        planted::FAMILY.value,
        planted::GIVEN.value,
        planted::BIRTH_DATE.value,
        planted::EMAIL.value,
    );
    clinic.lab().update(&patient).await;
    for code in ["24323-8", "1-8"] {
        let report = ehr::report(planted::PATIENT_ID.value, code, &real_now(), &pdf::with_pages(&["HbA1c 5.4 %"]));
        clinic.lab().post(&report).await;
    }
    clinic.hear_and_settle().await;
    let config = &clinic.config_path;
    let run = |arguments: &[&str]| {
        let ran = program::run(config, arguments);
        assert_absent(&arguments.join(" "), ran.all().as_bytes(), &planted::PATIENT_DATA);
        ran
    };
    let deliveries = clinic.deliveries().await;
    assert_eq!(deliveries.len(), 2);
    for delivery in deliveries {
        let shown = run(&["deliveries", "show", &delivery.id, "--json"]).json();
        let explained = run(&["rules", "explain", "--delivery", &delivery.id, "--json"]);
        let told = explained.json();
        let sends = shown["decision"]["decision"] == "send";
        assert_eq!(explained.code, i32::from(!sends), "{}", explained.all());
        assert_eq!(told["recorded"].to_string(), shown["decision"].to_string());
        assert_eq!(told["rules_hash"], shown["rules_hash"]);
        assert_eq!((&told["delivery"]["same"], &told["delivery"]["rules_from"]), (&json!(true), &json!("file")));
        let spoken = run(&["rules", "explain", "--delivery", &delivery.id]);
        assert_code(&spoken, i32::from(!sends), "Why: ");
        assert_code(&spoken, i32::from(!sends), &delivery.id);

        // The same facts as a file give the same decision.
        let facts = clinic.folder.join("facts.json");
        std::fs::write(&facts, shown["facts"].to_string()).unwrap();
        let (rules, facts) = (clinic.folder.join("policy.toml").display().to_string(), facts.display().to_string());
        let (at, zone) = (told["at"].as_str().unwrap(), told["zone"].as_str().unwrap());
        let of_file = run(&[
            "rules",
            "explain",
            "--rules",
            &rules,
            "--facts",
            &facts,
            "--recipient",
            "patient",
            "--at",
            at,
            "--zone",
            zone,
            "--json",
        ]);
        assert_eq!(of_file.json()["decision"].to_string(), told["decision"].to_string());
        assert_eq!(of_file.json()["recorded"].to_string(), shown["decision"].to_string());
    }
    assert_code(&run(&["rules", "explain", "--delivery", "no-such"]), 1, "deliveries list");
}
