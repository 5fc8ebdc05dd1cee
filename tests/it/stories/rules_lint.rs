//! An EHR admin looks at a rules file before anybody else does.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::place::Place;
use crate::support::program::{self, Ran};

const SOUND: &str = "[policy]
id = \"clinic\"
version = \"1\"

[[profile]]
id = \"blood-count\"
when = { code = \"loinc|58410-2\" }
then = { action = \"send\" }

[[test]]
name = \"a blood count goes out\"
facts = { code = \"loinc|58410-2\" }
expect = { action = \"send\" }
";

struct Files {
    place: Place,
}

impl Files {
    fn new(name: &str) -> Self {
        Self { place: Place::new(name) }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Without a configuration: there is none.
    fn lint(&self, files: &[&Path], arguments: &[&str]) -> Ran {
        let files = files.iter().map(|path| path.to_str().unwrap());
        let whole: Vec<&str> = ["rules", "lint"].into_iter().chain(files).chain(arguments.iter().copied()).collect();
        program::run(&self.place.join("no-such.toml"), &whole)
    }
}

#[test]
fn a_fault_is_shown_with_its_line_a_mark_and_what_to_do() {
    let files = Files::new("lint-picture");
    let faulty = files.write("rules.toml", &SOUND.replace("58410-2\" }\nthen", "58410-3\" }\nthen"));
    let ran = files.lint(&[&faulty], &[]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    let name = faulty.display();
    let expected = [
        "error[loinc-check-digit]: '58410-3' is not a LOINC code: its check digit would be 2",
        &format!(" --> {name}:7:17"),
        "  |",
        "7 | when = { code = \"loinc|58410-3\" }",
        "  |                 ^^^^^^^^^^^^^^^",
        "  = help: compare it with the code in the EHR or on loinc.org; a digit is mistyped",
    ];
    assert!(ran.out.contains(&expected.join("\n")), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "colours where no terminal is");
}

#[test]
fn the_exit_code_tells_clean_warned_faulty_and_unreadable_apart() {
    let files = Files::new("lint-codes");
    let sound = files.write("sound.toml", SOUND);
    let warned = files.write("warned.toml", &SOUND.replace("\"send\" }\n\n", "\"send\", opens = 1 }\n\n"));
    let faulty = files.write("faulty.toml", "[policy");
    let code = |paths: &[&Path], arguments: &[&str]| files.lint(paths, arguments).code;
    assert_eq!(code(&[&sound], &["--strict"]), 0);
    assert_eq!(code(&[&warned], &[]), 0);
    assert_eq!(code(&[&sound, &warned], &["--strict"]), 1);
    assert_eq!(code(&[&sound, &faulty], &[]), 1);
    assert_eq!(code(&[&sound, &files.place.join("absent.toml")], &[]), 2);
    assert_eq!(code(&[], &[]), 2);
}

#[test]
fn programs_get_one_list_over_all_files() {
    let files = Files::new("lint-json");
    let warned = files.write("warned.toml", &SOUND.replace("\"send\" }\n\n", "\"send\", opens = 1 }\n\n"));
    let faulty = files.write("faulty.toml", "[policy]\nid = \"x\"\n");
    let found = files.lint(&[&warned, &faulty], &["--json"]).json();
    let found = found.as_array().unwrap();
    let codes: Vec<_> = found.iter().map(|fault| fault["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["open-to-scanners", "missing-key"]);
    let first = &found[0];
    assert_eq!(first["file"], warned.to_str().unwrap());
    assert_eq!((&first["line"], &first["column"], &first["width"]), (&8.into(), &27.into(), &9.into()));
    assert_eq!(first["severity"], "warning");
    assert!(
        first["what"].as_str().unwrap().contains("scanner") && first["remedy"].as_str().unwrap().contains("verify")
    );
}

/// What SARIF 2.1.0 requires of a log, and what code scanning reads.
#[test]
fn code_scanning_gets_sarif() {
    let files = Files::new("lint-sarif");
    let faulty = files.write("my rules.toml", "[policy]\nid = \"x\"\n");
    let ran = files.lint(&[&faulty], &["--sarif"]);
    assert_eq!(ran.code, 1);
    let log = ran.json();
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"] == "chartseal" && driver["version"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| {
        rule["id"].is_string() && rule["shortDescription"]["text"].is_string() && rule["help"]["text"].is_string()
    }));
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with("/my%20rules.toml"));
        let at = |name: &str| place["region"][name].as_u64().unwrap();
        assert!(at("startLine") >= 1 && at("startColumn") >= 1 && at("endColumn") > at("startColumn"));
    }
}

#[test]
fn code_sets_of_the_clinic_come_from_a_folder() {
    let files = Files::new("lint-sets");
    let text = SOUND.replace("code = \"loinc|58410-2\" }\nthen", "set = \"counts\" }\nthen");
    let rules = files.write("rules.toml", &text);
    let set = files.write("ours/counts.csv", "system,code\nloinc,58410-2\n");
    files.write("ours/readme.txt", "not a set");
    let folder = set.parent().unwrap().to_str().unwrap();
    let without = files.lint(&[&rules], &[]);
    assert!(without.code == 1 && without.out.contains("error[unknown-set]"), "{}", without.all());
    let with = files.lint(&[&rules], &["--sets", folder]);
    assert!(with.code == 0 && with.out.contains("nothing to say against it"), "{}", with.all());
    files.write("ours/counts.csv", "system,code\nloinc,58410-3\n");
    assert!(files.lint(&[&rules], &["--sets", folder]).out.contains("error[bad-set]"));
    assert_eq!(files.lint(&[&rules], &["--sets", "/no/such/folder"]).code, 2);
    // A folder of that name beside the rules is read by itself, as the service does.
    files.write("sets/counts.csv", "system,code\nloinc,58410-2\n");
    assert_eq!(files.lint(&[&rules], &[]).code, 0);
}

#[test]
fn a_code_can_be_looked_up() {
    let files = Files::new("lint-explain");
    let ran = files.lint(&[], &["--explain", "polarity-leak"]);
    assert!(ran.code == 0 && ran.out.contains("Decide by the test that was made"), "{}", ran.all());
    let value: Value = files.lint(&[], &["--explain", "polarity-leak", "--json"]).json();
    assert_eq!((&value["code"], &value["severity"]), (&"polarity-leak".into(), &"warning".into()));
    let unknown = files.lint(&[], &["--explain", "polarity-leek"]);
    assert!(unknown.code == 2 && unknown.all().contains("did you mean 'polarity-leak'"), "{}", unknown.all());
}
