//! Patient data and secrets that the tests plant, and the search that must find them nowhere.
//!
//! Must stay true: every value is long and odd enough that it occurs only where it was put. A finding is reported by
//! name and place, not by value.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64, BASE64URL, HEXLOWER};

/// A value with the name under which a finding is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    pub what: &'static str,
    pub value: &'static str,
}

/// Shorter pieces of an encoded value would be found by chance.
const NEEDLE_BYTES_MIN: usize = 6;

/// What the kernel gives memory in.
const PAGE_BYTES: usize = 4096;

pub const FAMILY: Planted = Planted { what: "the family name", value: "Quillfeather-Ng" };
pub const GIVEN: Planted = Planted { what: "the given name", value: "Thessalonike" };
pub const BIRTH_DATE: Planted = Planted { what: "the birth date", value: "1953-02-27" };
pub const MRN: Planted = Planted { what: "the record number", value: "MRN-8837461902" };
pub const EMAIL: Planted = Planted { what: "the e-mail address", value: "thessa.quill@patient-mail.test" };
pub const PHONE: Planted = Planted { what: "the phone number", value: "+12025550173" };
pub const STREET: Planted = Planted { what: "the street", value: "4417 Wrenhollow Terrace" };
pub const PATIENT_ID: Planted = Planted { what: "the EHR's patient id", value: "pat-zq7731-planted" };
pub const REPORT_TITLE: Planted = Planted { what: "the report's title", value: "Viral load follow-up panel" };
pub const REPORT_TEXT: Planted = Planted { what: "the report's text", value: "CANARY-TEXT-of-the-sealed-report" };
pub const CODE_TEXT: Planted = Planted { what: "the report's code text", value: "HIV-1 antibody confirmatory" };

pub const EHR_TOKEN: Planted = Planted { what: "the EHR token", value: "ehr-token-4fJq9ZkT0bW2" };
pub const HOOK_SECRET: Planted = Planted { what: "the hook secret", value: "hook-secret-Xv81LmPq73" };
pub const SMTP_PASSWORD: Planted = Planted { what: "the SMTP password", value: "smtp-password-9!rT/4+w" };
pub const STAFF_PASSWORD: Planted = Planted { what: "the staff password", value: "staff-password-Hg55=Kd" };
pub const CHALLENGE_ANSWER: Planted = Planted { what: "the challenge answer", value: "27 February 1953" };

/// What no log, metric, URL, subject, message body or error may show, and no file may hold in the clear.
pub const PATIENT_DATA: [Planted; 11] =
    [FAMILY, GIVEN, BIRTH_DATE, MRN, EMAIL, PHONE, STREET, PATIENT_ID, REPORT_TITLE, REPORT_TEXT, CODE_TEXT];

/// What no log or file may show at all.
pub const SECRETS: [Planted; 5] = [EHR_TOKEN, HOOK_SECRET, SMTP_PASSWORD, STAFF_PASSWORD, CHALLENGE_ANSWER];

/// # Panics
/// When `bytes` holds one of `planted`, plainly (in any case) or as base64, hex, URL-encoded, HTML-escaped or UTF-16.
pub fn assert_absent(place: &str, bytes: &[u8], planted: &[Planted]) {
    let search = Search::new(planted);
    let found = search.found_in(bytes);
    assert!(found.is_empty(), "{place} holds {}", found.join(", "));
}

/// [`assert_absent`] over files, and over every file below folders.
///
/// # Panics
/// When one holds one of `planted`, when a path is not there, or when there was no file at all to search.
pub fn assert_absent_in_files(paths: &[&Path], planted: &[Planted]) {
    let findings = found_in_files(paths, planted);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Which file, also below folders, holds which of `planted`.
///
/// # Panics
/// When a path is not there, or when there was no file at all to search.
pub fn found_in_files(paths: &[&Path], planted: &[Planted]) -> Vec<String> {
    let files: Vec<_> = paths.iter().flat_map(|path| files_below(path)).collect();
    assert!(!files.is_empty(), "there is no file to search");
    // A file may go between the listing and the reading: a database's journal.
    let read = |file: &PathBuf| Some((file.display().to_string(), std::fs::read(file).ok()?));
    found_in(files.iter().filter_map(read), planted)
}

/// Which place holds which of `planted`.
pub fn found_in(places: impl IntoIterator<Item = (String, Vec<u8>)>, planted: &[Planted]) -> Vec<String> {
    let search = Search::new(planted);
    let found = |(place, bytes): (String, Vec<u8>)| -> Vec<String> {
        search.found_in(&bytes).into_iter().map(|what| format!("{place} holds {what}")).collect()
    };
    places.into_iter().flat_map(found).collect()
}

/// What a core dump of a running program, a child of ours, would show: by range, the name of its file and its bytes.
/// What cannot be written is the program itself, and is left out.
///
/// # Panics
/// When its memory cannot be read.
pub fn memory_of(pid: u32) -> Vec<(String, Vec<u8>)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("the program runs");
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("a child's memory can be read");
    let lines = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|access| access.starts_with("rw")));
    let ranges = lines.filter_map(|line| {
        let place = line.split_whitespace().nth(5).unwrap_or("unnamed memory");
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).expect("hexadecimal"));
        let mut bytes = vec![0; usize::try_from(to - from).expect("a range fits")];
        // A range may go while others are read.
        memory.read_exact_at(&mut bytes, from).ok()?;
        // Most of it was never used.
        let used = bytes.chunks(PAGE_BYTES).filter(|page| *page != &[0; PAGE_BYTES][..page.len()]);
        Some((place.to_owned(), used.collect::<Vec<_>>().concat()))
    });
    ranges.collect()
}

/// All forms of all values, searched in one pass.
struct Search {
    needles: AhoCorasick,
    names: Vec<String>,
}

impl Search {
    fn new(planted: &[Planted]) -> Self {
        let (needles, names): (Vec<_>, Vec<_>) = planted
            .iter()
            .flat_map(|p| forms(p.value.as_bytes()).into_iter().map(|(form, n)| (n, format!("{} {form}", p.what))))
            .filter(|(needle, _)| needle.len() >= NEEDLE_BYTES_MIN)
            .unzip();
        let needles = AhoCorasick::builder().ascii_case_insensitive(true).build(needles).expect("few needles");
        Self { needles, names }
    }

    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found: Vec<_> = self
            .needles
            .find_overlapping_iter(bytes)
            .map(|hit| self.names[hit.pattern().as_usize()].as_str())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn forms(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let percent = |keep: &dyn Fn(u8) -> bool| -> Vec<u8> {
        value.iter().flat_map(|b| if keep(*b) { vec![*b] } else { format!("%{b:02X}").into_bytes() }).collect()
    };
    let html = String::from_utf8_lossy(value).replace('&', "&amp;").replace('+', "&#43;").replace('/', "&#x2F;");
    let mut forms = vec![
        ("in the clear", value.to_vec()),
        ("in hex", HEXLOWER.encode(value).into_bytes()),
        ("URL-encoded", percent(&|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))),
        ("URL-encoded", percent(&|b| b.is_ascii_alphanumeric() || b"-_.~@+/!=".contains(&b))),
        ("form-encoded", String::from_utf8_lossy(value).replace(' ', "+").into_bytes()),
        ("HTML-escaped", html.into_bytes()),
        ("in UTF-16", value.iter().flat_map(|b| [*b, 0]).collect()),
    ];
    for shift in 0..3 {
        let padded = [vec![0; shift], value.to_vec()].concat();
        forms.push(("in base64", inner_base64(&BASE64.encode(&padded), shift, padded.len())));
        forms.push(("in base64url", inner_base64(&BASE64URL.encode(&padded), shift, padded.len())));
    }
    forms
}

/// The characters that do not depend on what stands before and after the value.
fn inner_base64(encoded: &str, shift: usize, length: usize) -> Vec<u8> {
    let first = (shift * 8).div_ceil(6);
    let last = length * 8 / 6;
    encoded.as_bytes()[first..last].to_vec()
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("a folder of the tests can be listed");
        // What only leads to the program is no file of the installation.
        let own = entries.flatten().map(|entry| entry.path()).filter(|path| !path.is_symlink());
        return own.flat_map(|path| files_below(&path)).collect();
    }
    assert!(path.exists(), "{} is not there to be searched", path.display());
    vec![path.to_owned()]
}

#[test]
fn a_planted_value_is_found_in_every_disguise() {
    let all = [PATIENT_DATA.as_slice(), SECRETS.as_slice()].concat();
    let search = Search::new(&all);
    for planted in &all {
        for around in ["", "x", "xy", "xyz"] {
            let text = format!("{around}{}{around}", planted.value);
            let spread: Vec<u8> = text.bytes().flat_map(|b| [b, 0]).collect();
            for disguise in [
                text.clone().into_bytes(),
                text.to_uppercase().into_bytes(),
                BASE64.encode(text.as_bytes()).into_bytes(),
                BASE64URL.encode(text.as_bytes()).into_bytes(),
                HEXLOWER.encode(text.as_bytes()).to_uppercase().into_bytes(),
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into_bytes(),
                spread,
            ] {
                let found = search.found_in(&[b"before ", disguise.as_slice(), b" after"].concat());
                assert!(found.iter().any(|name| name.starts_with(planted.what)), "{} hid", planted.what);
            }
        }
    }
    assert!(search.found_in(b"nothing to see here, 1953-02-28, MRN-883746190").is_empty());
}

#[test]
fn a_planted_value_is_found_in_a_folder_and_reported_by_name_only() {
    let folder = super::place::Place::new("planted");
    std::fs::create_dir(folder.join("deep")).unwrap();
    std::fs::write(folder.join("deep/log"), format!("sent to {}", EMAIL.value)).unwrap();
    let search = || assert_absent_in_files(&[&folder], &[EMAIL]);
    let report = *std::panic::catch_unwind(search).unwrap_err().downcast::<String>().unwrap();
    assert!(report.ends_with("deep/log holds the e-mail address in the clear"));
    assert!(!report.contains(EMAIL.value));
    assert_absent_in_files(&[&folder], &[PHONE]);
}
