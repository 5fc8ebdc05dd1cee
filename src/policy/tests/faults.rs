//! Faulty files: each fault has its line and a remedy that the clinic's administrator can follow.

use std::fmt::Write as _;

use super::*;
use crate::policy::rules::{FAULTS_MAX, PROFILES_MAX, RULES_BYTES_MAX};

/// The body starts on line 4, after [`HEADER`].
fn faults(body: &str) -> Vec<(usize, usize, String)> {
    faults_of_file(&format!("{HEADER}{body}"))
}

fn faults_of_file(text: &str) -> Vec<(usize, usize, String)> {
    let errors = RuleSet::parse(text).expect_err("the file was loaded");
    errors.0.into_iter().map(|fault| (fault.line, fault.column, format!("{}. {}", fault.what, fault.remedy))).collect()
}

/// A profile on lines 4 to 7, `when` on 6 and `then` on 7, with one part replaced.
fn with_when(when: &str) -> String {
    format!("[[profile]]\nid = \"a\"\nwhen = {{ {when} }}\nthen = {{ action = \"manual_review\" }}\n")
}

fn with_then(then: &str) -> String {
    format!("[[profile]]\nid = \"a\"\nwhen = {{ code = \"loinc|4548-4\" }}\nthen = {{ {then} }}\n")
}

fn two(first_over: &str, second_id: &str, second_over: &str) -> String {
    let row = |id: &str, over: &str| {
        format!(
            "[[profile]]\nid = \"{id}\"\nover = [{over}]\nwhen = {{ code = \"loinc|4548-4\" }}\nthen = {{ action = \"block\" }}\n"
        )
        .replace("over = []", "")
    };
    row("a", first_over) + row(second_id, second_over).as_str()
}

/// Body from line 4; the line of the fault; a part of what it says.
fn faulty_files() -> Vec<(String, usize, &'static str)> {
    let mut table: Vec<(String, usize, &str)> = vec![
        ("[profiles]\n".into(), 4, "did you mean 'profile'?"),
        ("[[restrict]]\nid = \"x\"\n".into(), 4, "add when = "),
        ("[[classify]]\ntag = \"HIV\"\n".into(), 4, "say by what the tag is given"),
        ("[[exception]]\n".into(), 4, "add until = 2026-12-31"),
        ("[[test]]\nname = \"CBC\"\n".into(), 4, "add expect = "),
        ("[quiet]\nhours = \"21:00\"\n".into(), 5, "21:00-08:00"),
        ("laws = [\"us-xx\"]\n".into(), 4, "write one of: "),
        ("laws = [\"us-ky\"]\n".into(), 1, "add timezone = "),
        ("effective = 2026-12-01\n".into(), 4, "offset"),
        ("other_default = \"send\"\n".into(), 4, "write \"block\" or \"manual_review\""),
        ("colour = 1\n".into(), 4, "known here are: id, version, timezone, effective"),
        ("timezone = \"Chicago\"\n".into(), 4, "America/Chicago"),
        ("patient_default = \"send\"\n".into(), 4, "write \"manual_review\""),
        ("[limits]\nexpiry = { min = \"3d\", max = \"2d\" }\n".into(), 5, "min = \"24h\", max = \"14d\""),
        ("[limits]\nexpiry = { max = \"90d\" }\n".into(), 5, "write at most \"30d\""),
        ("[limits]\nopens_max = 0\n".into(), 5, "from 1 to 100"),
        ("[limits]\nopens = 3\n".into(), 5, "known here are: expiry, opens_max, hold_max"),
        (with_when("tag = \"HIV\""), 4, "into a [[restrict]] row"),
        (with_when("service = \"haematologie\""), 6, "add a [[service]]"),
        (with_when("colour = \"red\""), 6, "known here are: recipient, clinic"),
        (with_when("recipient = \"mother\""), 6, "write \"patient\""),
        (with_when("resource = \"Observation\""), 6, "write \"DiagnosticReport\" or \"DocumentReference\""),
        (with_when("clinic = \"Main Street\""), 6, "1 to 40 of a-z"),
        (with_when("code = []"), 6, "name at least one value or leave 'code' out"),
        (with_when("code = \"4548-4\""), 6, "write \"loinc|4548-4\""),
        (with_when("code = 4548"), 6, "put the value between double quotes"),
        (with_when("code = \"LN|4548-4\""), 6, "use its full URI or one of: loinc, snomed"),
        (with_when("code = \"loinc|4548-5\""), 6, "check digit would be 4"),
        (with_when("code = \"urn:oid:2.16.840.1.113883.6.1|4548-5\""), 6, "check digit would be 4"),
        (with_when("code = \"loinc|4548*\""), 6, "system|code without spaces"),
        (with_when("code = \"loinc|4548\""), 6, "LOINC knows no prefixes"),
        (with_when("category = \"BLOOD\""), 6, "write \"system|code\""),
        (
            with_when("type = \"loinc|11506-3\", resource = \"DiagnosticReport\""),
            4,
            "use 'code' for a DiagnosticReport",
        ),
    ];
    table.extend(faulty_columns_and_ids());
    table
}

fn faulty_columns_and_ids() -> Vec<(String, usize, &'static str)> {
    let send = |rest: &str| with_then(&format!("action = \"send\", {rest}"));
    vec![
        (with_then("expiry = \"72h\""), 7, "add action = \"send\""),
        (with_then("action = \"Send\""), 7, "write \"send\" or \"manual_review\" or \"block\""),
        (send("expiry = \"6h\""), 7, "write \"24h\" or more"),
        (send("expiry = \"60d\""), 7, "change expiry under [limits]"),
        (send("expiry = \"3 days\""), 7, "as in \"90m\", \"72h\" or \"7d\""),
        (send("expiry = 72"), 7, "not a length of time"),
        (send("opens = 21"), 7, "from 1 to 20"),
        (send("opens = \"3\""), 7, "a number without quotes"),
        (send("opens = -1"), 7, "from 1 to 20"),
        (send("channel = \"fax\""), 7, "write \"email\" or \"sms\""),
        (send("verify = [\"birthdate\"]"), 7, "write \"question\" or \"code\""),
        (send("release = \"later\""), 7, "write \"auto\" or \"manual\""),
        (send("hold = \"45d\""), 7, "change [limits]"),
        (send("basis = \"law\""), 7, "add hold = \"72h\""),
        (send("hold = \"1h\", basis = \"because\""), 7, "\"individual_harm\""),
        (send("wording = \"long\""), 7, "write \"full\" or \"generic\" or \"bare\""),
        (send("auto_release = \"45d\""), 7, "change [limits]"),
        (send("colour = 1"), 7, "known here are: action, expiry"),
        (send("expiry = \"72h\", expiry = \"24h\""), 7, "no key stands twice"),
        (with_then("action = \"send\"").replace("code = \"loinc|4548-4\"", ""), 4, "name the reports in 'when'"),
        (with_then("action = \"block\"").replace("\"a\"", "\"Routine Lab\""), 5, "as in \"routine-lab\""),
        (with_then("action = \"block\"").replace("\"a\"", "\"status\""), 4, "another id"),
        (with_then("action = \"block\"").replace("id = \"a\"", ""), 4, "add id = "),
        (with_then("action = \"block\"").replace("when", "whn"), 6, "did you mean 'when'?"),
        ("profile = 3\n[limits]\n".into(), 4, "nown here are"),
        (two("", "a", ""), 9, "give one of them another id"),
        (two("\"c\"", "b", ""), 6, "correct the id"),
        (two("\"a\"", "b", ""), 6, "runs in a circle: 'a'"),
        (two("\"b\"", "b", "\"a\""), 6, "runs in a circle: 'a, b'"),
        ("id = \"again\"\n".into(), 4, "no key stands twice"),
        ("[[profile]\n".into(), 4, "this is not TOML"),
    ]
}

#[test]
fn every_fault_has_its_line_and_remedy() {
    for (body, line, part) in faulty_files() {
        let found = faults(&body);
        let hit = found.iter().any(|(at, _, text)| *at == line && text.contains(part));
        assert!(hit, "{body}\nexpected line {line}: {part}\nfound {found:#?}");
    }
}

#[test]
fn a_fault_points_at_its_column_in_characters() {
    let found = faults("timezone = \"Łódź\"  # Łódź\n");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, found[0].1), (4, 12));
    let found = faults(&with_when("code = [\"loinc|3016-3\", \"loinc|4548-5\"]"));
    assert_eq!((found[0].0, found[0].1), (6, 34));
}

#[test]
fn all_faults_of_a_file_are_told_at_once_in_its_order() {
    let found =
        faults(&(with_when("code = \"x\", colour = \"red\"") + with_then("action = \"send\", opens = 0").as_str()));
    let lines: Vec<_> = found.iter().map(|(line, ..)| *line).collect();
    assert_eq!(lines, [6, 6, 8, 11], "{found:#?}");
}

#[test]
fn a_file_without_its_name_or_version_is_refused() {
    assert!(faults_of_file("")[0].2.contains("[policy] is missing"));
    assert!(faults_of_file("[policy]\nid = \"a\"\n")[0].2.contains("add version = "));
    assert!(faults_of_file("[policy]\nversion = \"1\"\n")[0].2.contains("add id = "));
    assert!(faults_of_file("policy = 3\n")[0].2.contains("a section [policy]"));
    assert!(faults_of_file("[policy]\nid = \"a\"\nversion = \" \"\n")[0].2.contains("visible characters"));
}

#[test]
fn a_circle_is_found_behind_other_profiles_and_only_its_members_are_named() {
    let row = |id: &str, over: &str| profile(id, over, "code = \"loinc|4548-4\"", "action = \"block\"");
    let tail = row("tail", "");
    let sound = row("a", "\"b\", \"c\"")
        + row("b", "\"d\"").as_str()
        + row("c", "\"d\", \"tail\"").as_str()
        + row("d", "").as_str();
    assert_eq!(rules(&format!("{tail}{sound}")).profiles().len(), 5);
    let circle = row("entry", "\"b\"") + row("b", "\"c\"").as_str() + row("c", "\"b\", \"tail\"").as_str();
    let found = faults(&format!("{tail}{circle}"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, 15, "{found:?}");
    assert!(found[0].2.contains("circle: 'b, c'"), "{found:?}");
}

#[test]
fn hostile_files_are_refused_in_bounded_time() {
    let mut many_rows = String::from(HEADER);
    for row in 0..=PROFILES_MAX {
        let _ = write!(many_rows, "[[profile]]\nid = \"p{row}\"\n");
    }
    let mut circle = String::from(HEADER);
    for row in 0..PROFILES_MAX {
        let next = (row + 1) % PROFILES_MAX;
        circle +=
            &profile(&format!("p{row}"), &format!("\"p{next}\""), "code = \"loinc|4548-4\"", "action = \"block\"");
    }
    let files = [
        "x".repeat(RULES_BYTES_MAX + 1),
        "[".repeat(RULES_BYTES_MAX),
        format!("a = {}", "[".repeat(RULES_BYTES_MAX - 10)),
        "a.".repeat(RULES_BYTES_MAX / 2 - 1),
        "a\n".repeat(RULES_BYTES_MAX / 2),
        format!("{HEADER}{}", with_when(&format!("code = [{}]", "\"x\",".repeat(200_000)))),
        format!("{HEADER}{}", with_when(&format!("code = [{}]", "\"x\",".repeat(9_000)))),
        many_rows,
        circle,
    ];
    for file in files {
        let before = processor_time();
        let found = faults_of_file(&file);
        assert!((1..=FAULTS_MAX).contains(&found.len()));
        assert!(found.iter().all(|(_, _, text)| text.len() < 1_000));
        let taken = processor_time().saturating_sub(before);
        assert!(taken < Duration::from_secs(10), "{taken:?} for {file:.20}");
    }
}
