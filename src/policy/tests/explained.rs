//! What an explanation tells, and the tests made of it.

use serde_json::{Value, json};

use super::*;
use crate::policy::case_text::as_test;
use crate::policy::cases::run_all;
use crate::policy::explain::explain;
use crate::policy::facts_file;

const ROWS: &str = r#"
[[classify]]
tag = "HIV"
any = { holds = "loinc|56888-1", text = ["\\bhiv\\b"] }
[[profile]]
id = "routine"
when = { category = "LAB" }
then = { action = "send", expiry = "72h", opens = 3 }
[[profile]]
id = "minor"
when = { category = "LAB", age = "..18" }
then = { action = "send", opens = 1 }
[[restrict]]
id = "sensitive"
when = { tag = "HIV" }
then = { release = "manual", hold = "72h", expiry = "24h", opens = 1, verify = ["code"], code_via = "other" }
"#;

fn told(facts: &str) -> Value {
    let rules = rules(ROWS);
    let facts = facts_file::read(facts, &rules).unwrap();
    serde_json::to_value(explain(&rules, &facts, AT)).unwrap()
}

#[test]
fn every_column_row_and_place_is_told() {
    let told = told(r#"{"categories": ["LAB"], "results": ["loinc|56888-1"], "age": 30}"#);
    let decision = &told["decision"];
    assert_eq!(decision["action"], "send");
    for (column, value) in [
        ("expiry", json!("24h")),
        ("opens", json!(1)),
        ("verify", json!(["code"])),
        ("hold", json!("72h")),
        ("release", json!("manual")),
        ("auto_release", json!("10d")),
        ("backstop", json!("escalate")),
        ("group_by", Value::Null),
    ] {
        assert_eq!(decision[column], value, "{column}");
    }
    for column in crate::policy::columns::Column::ALL {
        assert!(decision.get(column.as_str()).is_some(), "{column:?}");
    }
    let outcomes: Vec<_> =
        told["rows"].as_array().unwrap().iter().map(|row| (&row["id"], &row["outcome"], &row["failed"])).collect();
    assert_eq!(
        json!(outcomes),
        json!([
            ["hiv", "matched", null],
            ["minor", "not", "age"],
            ["routine", "matched", null],
            ["sensitive", "matched", null]
        ])
    );
    let evidence = json!([{"tag": "HIV", "row": "hiv", "predicate": "holds", "path": "results[0]", "resource": "DiagnosticReport"}]);
    assert_eq!(told["evidence"], evidence);
    let expiry = told["columns"].as_array().unwrap().iter().find(|column| column["column"] == "expiry").unwrap();
    assert_eq!(
        *expiry,
        json!({"column": "expiry", "value": "24 h", "rows": ["sensitive"], "others": [{"row": "routine", "value": "72 h"}]})
    );
    assert_eq!(
        (&told["schedule"]["leaves"], &told["schedule"]["backstop"]["then"]),
        (&json!("by_a_person"), &json!("escalate"))
    );
}

#[test]
fn what_is_unknown_is_named() {
    let told = told(r#"{"categories": ["LAB"], "orders": {"lacking": ["timed_out"]}}"#);
    assert_eq!(told["decision"]["action"], "manual_review");
    let row = told["rows"].as_array().unwrap().iter().find(|row| row["id"] == "hiv").unwrap();
    assert_eq!(
        row["unknown"],
        json!({"fact": "holds", "why": "timed_out", "in_words": "the EHR did not answer in time"})
    );
    assert!(told["decision"]["reason"].as_str().unwrap().contains("is not known"));
}

#[test]
fn stored_facts_are_explained_by_the_same_bytes() {
    let rules = rules(ROWS);
    let facts =
        facts_file::read(r#"{"categories": ["LAB"], "results": ["loinc|56888-1"], "text": ["hiv"]}"#, &rules).unwrap();
    let stored = facts_file::read(&serde_json::to_string(&facts).unwrap(), &rules).unwrap();
    let bytes = |facts| serde_json::to_string(&explain(&rules, facts, AT)).unwrap();
    assert_eq!(bytes(&facts), bytes(&stored));
}

#[test]
fn a_test_made_of_facts_passes() {
    for facts in [
        r#"{"categories": ["LAB"], "results": ["loinc|56888-1"], "age": 30}"#,
        r#"{"categories": ["LAB"], "text": ["an HIV test"], "age": 12, "clinic": "main", "issued": "2026-11-20T16:00:00Z"}"#,
        r#"{"categories": ["LAB"], "orders": {"lacking": ["timed_out"]}, "critical": true}"#,
        r#"{"codes": ["loinc|4548-4", "|7", "http://local.example/codes|X 1"], "recipient": "third_party"}"#,
        r#"{"kind": "DocumentReference", "codes": ["loinc|11506-3"], "labels": ["R"], "encounters": ["VR"], "consents": ["occ"]}"#,
    ] {
        let before = rules(ROWS);
        let test = as_test(&before, &facts_file::read(facts, &before).unwrap(), "made \"so\"");
        let with = rules(&format!("{ROWS}{test}\n"));
        let ran = run_all(&with);
        assert!(ran.len() == 1 && ran[0].misses.is_empty(), "{test}\n{ran:?}");
    }
}
