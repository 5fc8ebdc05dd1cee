//! The second look: every seeded fault is found by its own code at its line, and nothing that ships has any.
//!
//! A seeded file in `faulty/` marks the lines of its faults by `#! code`; no other faults may be found in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::policy::errors::{Code, RulesError, Severity};
use crate::policy::lint::seen::{OFTEN_REPORTS, Seen};
use crate::policy::lint::{Report, WARNINGS_MAX, lint, lint_with, untested};
use crate::policy::rules::{PROFILES_MAX, RULES_BYTES_MAX, SideFiles};
use crate::policy::{cases, lint as room};

const SEEDED_MIN: usize = 30;
/// What is true of a file that ships: the first file of a newcomer has one profile and no tests yet.
const KNOWN: [(&str, Code); 1] = [("starter", Code::NoTests)];

fn folder(under: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(under)
}

fn toml_files(folder: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

fn look(text: &str) -> Report {
    lint(text, &SideFiles::new(), NOW)
}

/// As [`look`], also by the census beside a seeded file, if there is one: of that very file.
fn look_at_seeded(name: &str, text: &str) -> Report {
    let beside = folder("src/policy/tests/faulty").join(name).with_extension("json");
    let Ok(json) = std::fs::read_to_string(beside) else { return look(text) };
    let seen: Seen = serde_json::from_str(&json).unwrap();
    let rules_hash = RuleSet::parse(text).unwrap().rules_hash_hex();
    lint_with(text, &SideFiles::new(), NOW, &Seen { rules_hash, ..seen })
}

fn codes(text: &str) -> Vec<&'static str> {
    look(text).faults.iter().map(|fault| fault.code.as_str()).collect()
}

fn marked(text: &str) -> BTreeSet<(usize, String)> {
    let lines = text.lines().zip(1..).filter_map(|(line, no)| Some((line.split_once("#! ")?.1, no)));
    lines.flat_map(|(codes, no)| codes.split(' ').map(move |code| (no, code.to_owned()))).collect()
}

#[test]
fn every_seeded_fault_is_found_by_its_own_code_at_its_line_and_nothing_else() {
    let files = toml_files(&folder("src/policy/tests/faulty"));
    assert!(files.len() >= SEEDED_MIN, "{}", files.len());
    let mut complaints = String::new();
    for (name, text) in &files {
        let found = look_at_seeded(name, text).faults;
        let at: BTreeSet<_> = found.iter().map(|fault| (fault.line, fault.code.as_str().to_owned())).collect();
        let expected = marked(text);
        let names_it = expected.iter().any(|(_, code)| name.starts_with(code.as_str()));
        if at != expected || !names_it {
            let _ = writeln!(complaints, "{name}: expected {expected:?}, found {found:#?}");
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn every_code_is_produced_by_a_seeded_file() {
    let mut found: BTreeSet<Code> = toml_files(&folder("src/policy/tests/faulty"))
        .iter()
        .flat_map(|(name, text)| look_at_seeded(name, text).faults)
        .map(|fault| fault.code)
        .collect();
    found.extend(look(&"x".repeat(RULES_BYTES_MAX + 1)).faults.iter().map(|fault| fault.code));
    let sets = SideFiles::from([("hiv.csv".to_owned(), "system,code\nloinc,56888-2\n".to_owned())]);
    found.extend(lint(HEADER, &sets, NOW).faults.iter().map(|fault| fault.code));
    let missing: Vec<_> = Code::ALL.into_iter().filter(|code| !found.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_that_ships_has_an_error_or_a_warning() {
    let files = toml_files(&folder("policies"));
    assert!(!files.is_empty());
    for (name, text) in files {
        let mut found = look(&text).faults;
        found.retain(|fault| !KNOWN.contains(&(name.as_str(), fault.code)));
        assert!(found.is_empty(), "policies/{name}.toml: {found:#?}");
    }
}

#[test]
fn a_fault_has_a_remedy_and_two_sentences_about_its_code() {
    for (name, text) in toml_files(&folder("src/policy/tests/faulty")) {
        for fault in look_at_seeded(&name, &text).faults {
            let line = text.lines().nth(fault.line - 1).unwrap();
            assert!(fault.column - 1 + fault.width <= line.chars().count(), "{fault:?} in {line}");
            assert!(!fault.what.is_empty() && !fault.remedy.is_empty() && !fault.remedy.ends_with('.'), "{fault:?}");
        }
    }
    for code in Code::ALL {
        let sentences = code.about().matches(". ").count() + 1;
        assert!(sentences == 2 && code.about().ends_with('.'), "{}: {}", code.as_str(), code.about());
        assert_eq!(Code::parse(code.as_str()), Some(code));
    }
}

#[test]
fn a_failing_test_tells_each_miss() {
    let text = format!(
        "{HEADER}{}[[test]]\nname = \"CBC\"\nfacts = {{ code = \"loinc|58410-2\" }}\nexpect = {{ expiry = \"72h\", opens = 1 }}\n",
        profile("a", "", "code = \"loinc|58410-2\"", "action = \"send\", expiry = \"24h\"")
    );
    let found = look(&text).faults;
    let failing = found.iter().find(|fault| fault.code == Code::FailingTest).unwrap();
    assert!(failing.what.contains("expiry: expected 72 h, got 24 h; opens: expected 1, got 3"), "{}", failing.what);
    assert_eq!((failing.line, failing.column), (11, 1));
}

/// Row pairs that look alike and are not: no warning, for each is what somebody may mean.
#[test]
fn what_may_be_meant_is_left_alone() {
    let send = "action = \"send\"";
    let restrict = |id: &str, when: &str, then: &str| {
        format!("[[restrict]]\nid = \"{id}\"\nwhen = {{ {when} }}\nthen = {{ {then} }}\n")
    };
    let hiv = "[[classify]]\ntag = \"HIV\"\nany = { set = \"HIV\" }\n".to_owned();
    let sound = [
        // Other codes of one category, and a category beside a code.
        profile("a", "", "category = \"CH\", code = \"loinc|58410-2\"", "action = \"send\", opens = 5")
            + &*profile("b", "", "category = \"CH\", code = \"loinc|4548-4\"", "action = \"send\", opens = 2"),
        profile("a", "", "code = \"loinc|58410-2\"", send)
            + &*profile("b", "", "service = \"dermatology\"", "action = \"send\", opens = 20"),
        // The narrower one is the stricter one.
        profile("a", "", "code = [\"loinc|58410-2\", \"loinc|4548-4\"]", send)
            + &*profile("b", "", "code = \"loinc|4548-4\"", "action = \"send\", opens = 2"),
        // Other people.
        profile("a", "", "code = \"loinc|58410-2\"", send)
            + &*profile(
                "b",
                "",
                "recipient = \"proxy\", consent = \"proxy\", code = \"loinc|58410-2\"",
                "action = \"send\", opens = 2",
            ),
        // Replaced by way of a third.
        profile("a", "", "code = \"loinc|58410-2\"", send)
            + &*profile("b", "\"a\"", "code = \"loinc|58410-2\", clinic = \"x\"", "action = \"send\", opens = 20")
            + &*profile(
                "c",
                "\"b\"",
                "code = \"loinc|58410-2\", clinic = \"x\", age = \"18..\"",
                "action = \"send\", opens = 9",
            ),
        // The wider one asks for less in one column, or is lifted for some.
        restrict("a", "code = \"loinc|58410-2\", clinic = \"x\"", "opens = 2, expiry = \"24h\"")
            + &*restrict("b", "code = \"loinc|58410-2\"", "opens = 2"),
        restrict("a", "holds = \"loinc|58410-2\"", "opens = 2")
            + &*restrict("b", "code = \"loinc|58410-2\"", "opens = 1, verify = \"code\""),
        // One opening, guarded by another row, or never sent.
        profile("a", "", "code = \"loinc|58410-2\"", "action = \"send\", opens = 1")
            + &*restrict(
                "b",
                "recipient = \"patient\"",
                "verify = \"code\", code_via = \"other\", code_else = \"staff\"",
            ),
        profile("a", "", "code = \"loinc|58410-2\"", "action = \"manual_review\", opens = 1"),
        profile(
            "a",
            "",
            "code = \"loinc|58410-2\"",
            "action = \"send\", verify = \"code\", code_via = \"other\", code_else = \"staff\"",
        ) + &*restrict("b", "clinic = \"x\"", "opens = 1"),
        // The code goes elsewhere by another row, or by every profile that it meets.
        profile("a", "", "code = \"loinc|58410-2\"", "action = \"send\", verify = \"code\"")
            + &*restrict("b", "recipient = \"patient\"", "code_via = \"other\", code_else = \"staff\""),
        profile("a", "", "code = \"loinc|58410-2\"", "action = \"send\", code_via = \"other\", code_else = \"staff\"")
            + &*restrict("b", "clinic = \"x\"", "verify = \"code\""),
        // The flag calls staff and changes nothing that others see.
        restrict("a", "critical = true", "notify = \"staff\""),
        // A question alone, strengthened for the tag; a local code beside a set.
        hiv.clone()
            + &*profile("a", "", "code = \"loinc|58410-2\"", "action = \"send\", verify = \"question\"")
            + &*restrict("b", "tag = \"HIV\"", "verify = \"code\", code_via = \"other\", code_else = \"staff\""),
        hiv.clone()
            + "[[classify]]\nid = \"local\"\ntag = \"HIV\"\nany = { code = \"icd-10|B20\" }\n"
            + &*restrict("b", "tag = \"HIV\"", "opens = 2"),
        // A category, with a look at what is inside.
        hiv + &*profile("a", "", "category = \"LAB\"", send) + &*restrict("b", "tag = \"HIV\"", "opens = 2"),
    ];
    for body in sound {
        assert_eq!(codes(&format!("{HEADER}{body}")), ["no-tests"], "{body}");
    }
}

#[test]
fn a_hold_has_other_grounds_than_the_clinics_own() {
    let header = "[policy]\nid = \"t\"\nversion = \"1\"\ntimezone = \"America/Chicago\"\n";
    let row = |when: &str, then: &str| format!("[[restrict]]\nid = \"r\"\nwhen = {{ {when} }}\nthen = {{ {then} }}\n");
    let law = format!("{header}laws = [\"us-tx-sb922\"]\n");
    let code = "code = \"loinc|58410-2\"";
    assert_eq!(codes(&format!("{law}{}", row(code, "hold = \"24h\""))), ["no-tests", "clinic-hold"]);
    assert_eq!(codes(&format!("{law}{}", row(code, "hold = \"24h\", basis = \"individual_harm\""))), ["no-tests"]);
    assert_eq!(codes(&format!("{law}{}", row("preference = \"phone_first\"", "release = \"manual\""))), ["no-tests"]);
    assert_eq!(codes(&format!("{header}{}", row(code, "hold = \"24h\""))), ["no-tests"]);
}

const US_CA: &str = "laws = [\"us-ca\"]";

#[test]
fn only_a_law_that_stays_in_force_makes_a_row_needless() {
    let body = |laws: &str, when: &str, then: &str| {
        format!(
            "[policy]\nid = \"t\"\nversion = \"1\"\ntimezone = \"America/Los_Angeles\"\n{laws}\n{}",
            profile("p", "", when, then)
        )
    };
    let minors = "recipient = \"proxy\", consent = \"proxy\", age = \"12..18\", set = \"HIV\"";
    let send = "action = \"send\"";
    assert_eq!(codes(&body(US_CA, minors, send)), ["no-tests", "unreachable-row"]);
    assert_eq!(codes(&body("", minors, send)), ["no-tests"]);
    // Before the law, in its first year, for younger ones, and by a skeleton.
    let lint_at = |text: &str, day: &str| {
        let now = UtcMillis::parse_rfc3339(&format!("{day}T12:00:00Z")).unwrap();
        lint(text, &SideFiles::new(), now).faults.iter().any(|fault| fault.code == Code::Unreachable)
    };
    let text = body(US_CA, minors, send);
    let days = ["2022-12-31", "2023-06-01", "2024-01-02"];
    assert_eq!(days.map(|day| lint_at(&text, day)), [false, false, true]);
    assert_eq!(codes(&body(US_CA, &minors.replace("12..18", "11..18"), send)), ["no-tests"]);
    let adults = "recipient = \"proxy\", age = \"18..\"";
    let by_skeleton = codes(&body("laws = [\"pl\"]", adults, "action = \"block\""));
    assert_eq!(by_skeleton, ["no-tests", "unverified-law"]);
}

#[test]
fn laws_beside_what_ships_make_none_of_its_rows_needless() {
    for (name, text) in toml_files(&folder("policies")) {
        let header = "[policy]\ntimezone = \"America/Los_Angeles\"\nlaws = [\"us-ca\"]\n";
        let text = text.replacen("[policy]\n", header, 1);
        let needless = |fault: &&RulesError| matches!(fault.code, Code::Unreachable | Code::Dominated);
        let found = look(&text).faults;
        assert!(!found.iter().any(|fault| fault.code == Code::Syntax), "{name}: {found:#?}");
        assert_eq!(found.iter().find(needless), None, "policies/{name}.toml");
    }
}

#[test]
fn what_came_counts_by_a_census_of_these_very_rules_and_the_most_frequent_first() {
    let text = format!("{HEADER}{}", profile("a", "", "code = \"loinc|58410-2\"", "action = \"send\""));
    let code = |code: &str, uncovered: u64| serde_json::json!({"system": "http://loinc.org", "code": code, "reports": 90, "uncovered": uncovered, "seen_in": ["own"]});
    let told = |rules_hash: &str, codes: &[serde_json::Value]| {
        let seen = serde_json::json!({"rules_hash": rules_hash, "since": "2026-08-20T00:00:00.000Z", "codes": codes});
        let seen: Seen = serde_json::from_value(seen).unwrap();
        let found = lint_with(&text, &SideFiles::new(), NOW, &seen).faults;
        found.into_iter().filter(|fault| fault.code == Code::FallsToDefault).map(|fault| fault.what).collect::<Vec<_>>()
    };
    let hash = RuleSet::parse(&text).unwrap().rules_hash_hex();
    let often = code("4548-4", OFTEN_REPORTS);
    let said = told(&hash, &[often.clone(), code("718-7", OFTEN_REPORTS - 1)]);
    assert_eq!(
        said,
        [
            "5 of 90 reports with the code http://loinc.org|4548-4 since 2026-08-20 met no profile, and fell to the default"
        ]
    );
    assert_eq!(told("another", &[often]), Vec::<String>::new());
    let many: Vec<_> = (0..200).map(|at| code(&format!("X{at}"), OFTEN_REPORTS + at)).collect();
    let said = told(&hash, &many);
    assert_eq!(said.len(), WARNINGS_MAX);
    assert!(said.iter().any(|what| what.starts_with("204 of")) && !said.iter().any(|what| what.starts_with("5 of")));
}

#[test]
fn the_quick_verdict_of_a_test_is_that_of_the_decision() {
    let mut count = 0;
    for text in toml_files(&folder("src/policy/tests/faulty")).values().chain(toml_files(&folder("policies")).values())
    {
        let Ok(rules) = RuleSet::parse(text) else { continue };
        for case in &rules.content().cases {
            count += 1;
            assert_eq!(room::passes(&rules, case), cases::run(&rules, case).is_empty(), "{}", case.name);
        }
    }
    assert!(count > 0);
}

#[test]
fn a_row_is_tested_when_a_test_fails_without_it() {
    let body = profile("a", "", "code = \"loinc|58410-2\"", "action = \"send\"")
        + &*profile("b", "\"a\"", "code = \"loinc|58410-2\", clinic = \"x\"", "action = \"send\", opens = 20")
        + "[[classify]]\ntag = \"HIV\"\nany = { set = \"HIV\" }\n[[classify]]\ntag = \"STD\"\nany = { set = \"STD\" }\n\
           [[restrict]]\nid = \"r\"\nwhen = { tag = [\"HIV\", \"STD\"] }\nthen = { opens = 2 }\n\
           [[test]]\nname = \"1\"\nfacts = { code = \"loinc|58410-2\" }\nexpect = { action = \"send\" }\n\
           [[test]]\nname = \"2\"\nfacts = { code = \"loinc|58410-2\", clinic = \"x\" }\nexpect = { opens = 20 }\n\
           [[test]]\nname = \"3\"\nfacts = { code = \"loinc|58410-2\", results = \"loinc|56888-1\" }\nexpect = { opens = 2 }\n";
    let left: Vec<_> = untested(&rules(&body)).into_iter().map(|row| format!("{} {}", row.section(), row.id)).collect();
    assert_eq!(left, ["classify std"]);
    let body = format!(
        "{body}[[test]]\nname = \"4\"\nfacts = {{ results = \"loinc|6349-5\" }}\nexpect = {{ tag = \"STD\" }}\n"
    );
    let ruled = rules(&body);
    assert_eq!(cases::run_all(&ruled).iter().map(|ran| ran.misses.len()).sum::<usize>(), 0);
    assert_eq!(untested(&ruled), []);
}

/// A thousand rows with ten thousand codes, and a test for each profile: built without optimisation it may take longer than
/// the second that a release build has.
#[test]
fn a_large_file_is_looked_at_in_bounded_time() {
    let text = large();
    let before = processor_time();
    let report = look(&text);
    let taken = processor_time().saturating_sub(before);
    assert_eq!(report.count(Severity::Error), 0, "{:?}", report.faults.first());
    for code in Code::ALL {
        assert!(report.faults.iter().filter(|fault| fault.code == code).count() <= WARNINGS_MAX);
    }
    assert!(taken < Duration::from_secs(20), "{taken:?}");
    println!("large file: {taken:?}, {} warnings", report.faults.len());
}

fn large() -> String {
    let mut text = String::from(HEADER);
    let half = PROFILES_MAX / 2;
    for row in 0..half {
        let codes: Vec<_> = (0..10).map(|code| format!("\"http://local.example/codes|C{row:03}{code}\"")).collect();
        let codes = codes.join(", ");
        let _ = write!(
            text,
            "[[profile]]\nid = \"p{row}\"\nwhen = {{ category = \"LAB\", code = [{codes}] }}\n\
             then = {{ action = \"send\", opens = {} }}\n\
             [[restrict]]\nid = \"r{row}\"\nwhen = {{ holds = [{codes}], age = \"12..18\" }}\nthen = {{ opens = {} }}\n\
             [[test]]\nname = \"t{row}\"\nfacts = {{ category = \"LAB\", code = \"http://local.example/codes|C{row:03}0\", \
             age = 40 }}\nexpect = {{ action = \"send\" }}\n",
            row % 20 + 1,
            row % 7 + 1,
        );
    }
    text
}
