//! The validator of HAPI and HL7, which nobody who wrote Chartseal wrote: `tests/testbed/hapi` runs it, offline.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::part;

const SOURCE: &str = "tests/testbed/hapi/src/main/java/org/chartseal/testbed/Validator.java";
const DEFINITIONS: &str = "fhir-profiles/definitions";

/// A resource in a file, and the profile that it must follow; empty: none.
pub struct Asked {
    pub file: PathBuf,
    pub profile: String,
}

/// What it complains of, file by file: level error or worse.
///
/// # Panics
/// When it is not installed, or ends before it has looked at everything.
pub fn complaints(release: &str, asked: &[Asked]) -> Vec<(PathBuf, String)> {
    let libraries = part::installed(part::in_project("target/testbed/hapi")).join("lib").join("*");
    let mut command = Command::new("java");
    command.arg("-XX:TieredStopAtLevel=1").arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error");
    command.arg("-cp").arg(&libraries).arg(part::in_project(SOURCE)).arg(release);
    if release == "r4" {
        command.arg(part::in_project(DEFINITIONS));
    }
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("java is installed");
    let lines: String = asked.iter().map(|one| format!("{}\n", line(one))).collect();
    running.stdin.take().expect("it listens").write_all(lines.as_bytes()).expect("it reads to the end");
    let done = running.wait_with_output().expect("it ends by itself");
    let said = String::from_utf8(done.stdout).expect("it writes UTF-8");
    let mut found: Vec<&str> = said.lines().collect();
    assert_eq!(found.pop(), Some(format!("done {}", asked.len()).as_str()), "it did not look at everything: {said}");
    found
        .into_iter()
        .filter_map(|line| line.split_once('\t'))
        .map(|(file, complaint)| (PathBuf::from(file), complaint.to_owned()))
        .collect()
}

fn line(asked: &Asked) -> String {
    let file = asked.file.display();
    if asked.profile.is_empty() { file.to_string() } else { format!("{file}\t{}", asked.profile) }
}

/// Every JSON file of a folder of the project.
pub fn files_in(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(part::in_project(folder)).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "json"));
    files.sort();
    files
}

/// The profile of this name.
pub fn profile(name: &str) -> String {
    format!("urn:chartseal:StructureDefinition:{name}")
}

/// Writes `resource` for the validator to read.
pub fn keep(folder: &Path, name: &str, resource: &serde_json::Value) -> PathBuf {
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, resource.to_string()).expect("the folder is ours");
    file
}
