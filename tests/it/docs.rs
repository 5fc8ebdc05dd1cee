//! What the documents say is held to the code: numbers, names of tests, commands and their flags.

mod commands;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chartseal::base::{Key256, LinkId, LinkSecret, MediaType, VersionId};
use chartseal::sealing::{self, ContentKey, FileContext, FileNumber};
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::support::place::Place;
use crate::support::{part, tink};

fn page(path: &str) -> String {
    std::fs::read_to_string(part::in_project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// README and everything in `docs/`: name and text.
fn pages() -> Vec<(String, String)> {
    let folder = part::in_project("docs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let names = texts.map(|path| format!("docs/{}", path.file_name().unwrap().to_str().unwrap()));
    names.chain(["README.md".to_owned()]).map(|name| (name.clone(), page(&name))).collect()
}

/// The lines of fenced code, each with the word behind the fence.
fn fenced(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut inside = None;
    for line in text.lines() {
        match (line.trim().strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(kind), None) => inside = Some(kind),
            (None, Some(kind)) => found.push((kind, line)),
            (None, None) => {}
        }
    }
    found
}

/// The text without its fenced code.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_worked_example_of_the_sealed_format_is_right_and_tink_agrees() {
    let text = page("docs/sealed-format.md");
    let example = text.split("## A worked example").nth(1).unwrap();
    let rows: BTreeMap<&str, Vec<u8>> = fenced(example)
        .iter()
        .filter_map(|(_, line)| line.split_once(' '))
        .filter_map(|(name, hex)| Some((name, HEXLOWER.decode(hex.trim().as_bytes()).ok()?)))
        .collect();
    let (id, secret) = example.split_once("/r/").unwrap().1.split('`').next().unwrap().split_once('#').unwrap();
    let (link, secret) = (LinkId::parse(id).unwrap(), LinkSecret::from_base64url(secret).unwrap());
    let share = Key256::from_slice(&rows["share"]).unwrap();
    assert_eq!(secret.expose(), rows["secret"].as_slice());
    assert_eq!([rows["secret"].as_slice(), &rows["share"]].concat(), rows["input"]);
    assert_eq!(format!("chartseal/1/content{id}").as_bytes(), rows["info"]);
    assert_eq!(derived(&[], &rows["input"], &rows["info"]), rows["content_key"]);
    assert_eq!(derived(&rows["salt"], &rows["content_key"], &rows["associated_data"]), rows["file_key"]);
    assert_eq!([rows["prefix"].as_slice(), &[0, 0, 0, 0, 1]].concat(), rows["nonce"]);
    assert_eq!([&[0x28], rows["salt"].as_slice(), &rows["prefix"], &rows["segment"]].concat(), rows["sealed"]);

    let context = FileContext {
        link: link.clone(),
        number: FileNumber::FIRST,
        version: VersionId::parse("7").unwrap(),
        media: MediaType::Text,
    };
    assert_eq!(context.associated_data().as_bytes(), rows["associated_data"]);
    let mut plain = Vec::new();
    let content = ContentKey::derive(&secret, &share, &link);
    sealing::open(&content, &context, rows["sealed"].as_slice(), &mut plain).unwrap();
    assert_eq!(plain, rows["plain"]);
    let folder = Place::new("example");
    std::fs::write(folder.join("sealed"), &rows["sealed"]).unwrap();
    assert_eq!(tink::open(&rows["content_key"], &rows["associated_data"], &folder.join("sealed")), Ok(plain));
}

fn derived(salt: &[u8], input: &[u8], info: &[u8]) -> Vec<u8> {
    let mut key = vec![0; 32];
    Hkdf::<Sha256>::new(Some(salt), input).expand(info, &mut key).unwrap();
    key
}

/// Every relative link and picture of a document leads to a file of this repository.
#[test]
fn every_file_that_a_document_points_to_is_there() {
    for (name, text) in pages() {
        let folder = Path::new(&name).parent().unwrap();
        let prose = prose(&text);
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let pictures = ["src=\"", "srcset=\""].into_iter().flat_map(|mark| prose.split(mark).skip(1));
        let targets = links.chain(pictures.filter_map(|rest| rest.split('"').next()));
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = folder.join(target.split('#').next().unwrap());
            assert!(part::in_project(file.to_str().unwrap()).exists(), "{name} points to {target}, which is not there");
        }
        for anchor in prose.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_heading = |line: &str| line.starts_with('#') && slug(line.trim_start_matches(['#', ' '])) == anchor;
            assert!(text.lines().any(is_heading), "{name} has no heading for #{anchor}");
        }
    }
}

/// A heading as the address of its place, as Git forges make it.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let known = test_names();
    let text = page("docs/threats.md");
    let named: Vec<&str> = tests_named_in(&text).collect();
    assert!(named.len() > 50, "only {} tests were found on the page", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "these tests do not exist: {missing:?}");
}

#[test]
fn a_test_that_does_not_exist_is_noticed() {
    let row = "| threat | `code` | `a_test_that_does_not_exist_is_noticed`, `a_test_that_nobody_wrote` | |";
    let named: Vec<&str> = tests_named_in(row).collect();
    assert_eq!(named, ["a_test_that_does_not_exist_is_noticed", "a_test_that_nobody_wrote"]);
    let known = test_names();
    assert!(known.contains(named[0]) && !known.contains(named[1]));
}

/// The names in the third cell of each row.
fn tests_named_in(text: &str) -> impl Iterator<Item = &str> {
    let cells = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(3));
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.filter(|name| name.matches('_').count() >= 2)
}

/// Every function with a test's attribute, and the bodies that the store's tests run on both databases.
fn test_names() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_below(&part::in_project(folder), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let begins = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some(name) = begins.filter(|_| is_test || line.contains("(bed: Bed)")) {
                names.insert(name.split(['(', '<']).next().unwrap().to_owned());
            }
            let is_attribute = line.starts_with("#[") && line.contains("test");
            is_test = is_attribute || (is_test && (line.starts_with("#[") || line.starts_with("//")));
        }
    }
    names
}

fn rust_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_below(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}
