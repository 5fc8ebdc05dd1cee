//! `docs/rules.md` says of the language what is true of it.

use std::collections::BTreeMap;

use super::*;
use crate::policy::cases;
use crate::policy::columns::Column;
use crate::policy::errors::{Code, Severity};
use crate::policy::laws;
use crate::policy::sets::CodeSets;
use crate::policy::starters::STARTERS;
use crate::policy::when::Predicate;

const PAGE: &str = include_str!("../../../docs/rules.md");

/// The text below a heading, up to the next one.
fn below(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading '{heading}'"));
    rest.split("\n## ").next().unwrap()
}

/// What the first cell of each line of a table names, with the second cell.
fn rows(heading: &str) -> Vec<(&'static str, &'static str)> {
    let lines = below(heading).lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| (line.split('`').nth(1).unwrap(), line.split(" | ").nth(1).unwrap())).collect()
}

fn names(heading: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = rows(heading).into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

#[test]
fn it_names_every_condition_column_law_and_starter_file_once() {
    assert_eq!(names("Every condition"), sorted(Predicate::ALL.map(Predicate::as_str).to_vec()));
    assert_eq!(names("Every column"), sorted(Column::ALL.map(Column::as_str).to_vec()));
    assert_eq!(names("Laws"), sorted(laws::NAMES.to_vec()));
    let starters = STARTERS.iter().map(|(name, _)| *name).chain(["starter"]).collect();
    assert_eq!(names("Starter files"), sorted(starters));
}

#[test]
fn it_names_every_code_of_the_linter_once_and_how_grave_it_is() {
    assert_eq!(names("What the linter says"), sorted(Code::ALL.into_iter().map(Code::as_str).collect()));
    let graveness: BTreeMap<_, _> = rows("What the linter says").into_iter().collect();
    for code in Code::ALL {
        assert_eq!(graveness[code.as_str()], code.severity().as_str(), "{}", code.as_str());
    }
    assert!(Code::ALL.iter().any(|code| code.severity() == Severity::Warning));
}

#[test]
fn it_names_every_section_and_every_shipped_set() {
    let sections = ["policy", "limits", "quiet", "service", "classify", "profile", "restrict", "exception", "test"];
    let named: Vec<_> = names("Every section").into_iter().map(|name| name.trim_matches(['[', ']'])).collect();
    assert_eq!(sorted(named), sorted(sections.to_vec()));
    for (name, _) in CodeSets::shipped().sets() {
        assert!(below("Code sets").contains(&format!("`{name}`")), "{name}");
    }
}

/// The boxes marked `toml`, each a whole rules file, if need be with a header before it.
fn examples() -> Vec<String> {
    let boxes = PAGE.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    boxes.map(|text| if text.contains("[policy]") { text.to_owned() } else { format!("{HEADER}{text}") }).collect()
}

#[test]
fn every_example_of_it_loads_and_passes_its_tests() {
    let examples = examples();
    assert!(examples.len() >= 10, "{}", examples.len());
    for text in examples {
        let rules = RuleSet::parse(&text).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        for ran in cases::run_all(&rules) {
            assert!(ran.misses.is_empty(), "{text}\n{ran:#?}");
        }
    }
}

#[test]
fn every_example_of_a_condition_can_be_written() {
    let lines = below("Every condition").lines().filter(|line| line.starts_with("| `"));
    for line in lines {
        let example = line.split(" | ").nth(2).unwrap().trim_end_matches(" |").trim_matches('`').replace("\\|", "|");
        let tags =
            ["HIV", "STD"].map(|tag| format!("[[classify]]\ntag = \"{tag}\"\nany = {{ set = \"{tag}\" }}\n")).concat();
        let tags = if example.starts_with("tag") { tags } else { String::new() };
        let row = format!("{HEADER}{tags}[[restrict]]\nid = \"r\"\nwhen = {{ {example} }}\nthen = {{ opens = 1 }}\n");
        RuleSet::parse(&row).unwrap_or_else(|errors| panic!("{example}: {errors}"));
    }
}

#[test]
fn the_table_of_code_sets_in_it_is_read() {
    let table = below("Code sets").split("```csv\n").nth(1).unwrap().split("```").next().unwrap();
    let read = CodeSets::with(&BTreeMap::from([("ours.csv".to_owned(), table.to_owned())])).unwrap();
    assert!(read.set("x-ours").is_some());
}
