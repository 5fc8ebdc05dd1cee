//! The house rules that the compiler does not know: who may import whom, which crate lives where, how long and how named.
//!
//! The checks read `src/**` as text with comments and literals blanked out, so that only code counts as an import.

mod alive;
mod rules;
mod samples;

use std::path::{Path, PathBuf};

use crate::support::part;

/// One file as the rules see it.
struct Source {
    /// From the project's root, with `/`: `src/store/mod.rs`.
    path: String,
    text: String,
}

#[test]
fn the_source_keeps_the_house_rules() {
    let sources = sources_below(&["src"]);
    assert!(sources.len() > 5, "the source was found");
    let complaints: Vec<_> = sources.iter().flat_map(rules::complaints).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_tests_keep_to_the_same_length_and_names() {
    let sources = sources_below(&["tests", "benches", "fuzz/src"]);
    let complaints: Vec<_> = sources.iter().flat_map(rules::complaints_about_shape).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn unsafe_code_stays_forbidden() {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let manifest = std::fs::read_to_string(part::in_project(manifest)).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(manifest["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    }
}

fn sources_below(folders: &[&str]) -> Vec<Source> {
    let root = part::in_project("");
    let mut files = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut files);
    }
    let mut sources: Vec<_> = files.iter().filter_map(|file| read(&root, file)).collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn read(root: &Path, file: &Path) -> Option<Source> {
    let path = file.strip_prefix(root).ok()?.to_str()?.to_owned();
    let is_ours = !path.split('/').any(|part| part == "vendor" || part == "__pycache__");
    let is_text = ["rs", "js", "css", "html"].iter().any(|kind| path.ends_with(&format!(".{kind}")));
    (is_ours && is_text).then(|| Source { text: std::fs::read_to_string(file).expect("our files are UTF-8"), path })
}
