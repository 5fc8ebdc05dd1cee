//! Code systems: one name for each, and the check digit of LOINC.
//!
//! Job: bring every spelling of a system to one URI, so that a rule and a report that mean the same code
//! compare equal. Must stay true: a code without a system is never equal to one with a system.

use super::facts::Coding;

pub const LOINC: &str = "http://loinc.org";
pub const SNOMED: &str = "http://snomed.info/sct";
/// Diagnostic service sections: LAB, RAD, …
pub const V2_0074: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";

/// The short names that a rules file may use, for remedies.
pub const SHORT_NAMES: &str = "loinc, snomed, v2-0074, us-core-category, observation-category, icd-10, icd-10-cm, cpt";

/// Canonical URI; short name; other spellings in use (OIDs: <https://hl7.org/fhir/R4/terminologies-systems.html>,
/// pre-R4 v2 tables: <https://hl7.org/fhir/STU3/terminologies-v2.html>).
const SYSTEMS: &[(&str, &str, &[&str])] = &[
    (
        LOINC,
        "loinc",
        &["urn:oid:2.16.840.1.113883.6.1", "http://loinc.org/", "https://loinc.org", "https://loinc.org/"],
    ),
    (SNOMED, "snomed", &["urn:oid:2.16.840.1.113883.6.96", "https://snomed.info/sct", "http://snomed.info/sct/"]),
    (
        V2_0074,
        "v2-0074",
        &["http://hl7.org/fhir/v2/0074", "urn:oid:2.16.840.1.113883.12.74", "http://hl7.org/fhir/CodeSystem/v2-0074"],
    ),
    ("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "us-core-category", &[]),
    (
        "http://terminology.hl7.org/CodeSystem/observation-category",
        "observation-category",
        &["http://hl7.org/fhir/observation-category"],
    ),
    ("http://hl7.org/fhir/sid/icd-10", "icd-10", &["urn:oid:2.16.840.1.113883.6.3"]),
    ("http://hl7.org/fhir/sid/icd-10-cm", "icd-10-cm", &["urn:oid:2.16.840.1.113883.6.90"]),
    ("http://www.ama-assn.org/go/cpt", "cpt", &["urn:oid:2.16.840.1.113883.6.12"]),
];

/// The categories that a rule may write without their system. Each has one meaning only.
const BARE_CATEGORIES: &[(&str, &[&str])] = &[
    (
        V2_0074,
        &[
            "AU", "BG", "BLB", "CG", "CH", "CP", "CT", "CTH", "CUS", "EC", "EN", "GE", "HM", "ICU", "IMM", "LAB", "MB",
            "MCB", "MYC", "NMR", "NMS", "NRS", "OSL", "OT", "OTH", "OUS", "PAR", "PAT", "PF", "PHR", "PHY", "PT",
            "RAD", "RC", "RT", "RUS", "RX", "SP", "SR", "TX", "VR", "VUS", "XRC",
        ],
    ),
    // US Core's categories of diagnostic reports: radiology, cardiology, pathology.
    (LOINC, &["LP29684-5", "LP29708-2", "LP7839-6"]),
];

/// The canonical URI of a system as a report writes it; an unknown one stays as it is.
#[must_use]
pub fn canonical_system(written: &str) -> &str {
    SYSTEMS.iter().find(|(_, _, others)| others.contains(&written)).map_or(written, |(canonical, _, _)| *canonical)
}

/// The canonical URI of a system as a rules file writes it: a short name or a full URI. `None` for neither.
#[must_use]
pub fn system_in_rules(written: &str) -> Option<&str> {
    let short = SYSTEMS.iter().find(|(_, short, _)| *short == written).map(|(canonical, _, _)| *canonical);
    short.or_else(|| is_uri(written).then(|| canonical_system(written)))
}

/// The full coding of a category that needs no system, such as `LAB`.
#[must_use]
pub fn bare_category(code: &str) -> Option<Coding> {
    let (system, _) = BARE_CATEGORIES.iter().find(|(_, codes)| codes.contains(&code))?;
    Some(Coding { system: Some((*system).to_owned()), code: code.to_owned() })
}

/// A coding of a report with its system in canonical form; `None` if it has no system, for then it can
/// mean anything.
#[must_use]
pub fn canonical(coding: &Coding) -> Option<Coding> {
    let system = coding.system.as_deref().filter(|system| !system.is_empty())?;
    Some(Coding { system: Some(canonical_system(system).to_owned()), code: coding.code.clone() })
}

fn is_uri(text: &str) -> bool {
    let rest =
        text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).or_else(|| text.strip_prefix("urn:"));
    rest.is_some_and(|rest| !rest.is_empty()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What a text is, as a LOINC number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoincForm {
    Valid,
    /// The digits before the hyphen call for this check digit, and another one is written.
    WrongCheckDigit {
        expected: char,
    },
    NotLoinc,
}

/// Checks form and mod 10 check digit (LOINC Users' Guide, appendix on check digits). Parts and answers
/// (`LP…`, `LA…`) are checked by form alone.
#[must_use]
pub fn loinc_form(code: &str) -> LoincForm {
    let Some((number, check)) = code.split_once('-') else { return LoincForm::NotLoinc };
    let digits = number.strip_prefix("LP").or_else(|| number.strip_prefix("LA")).unwrap_or(number);
    let all_digits =
        |text: &str, longest: usize| (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(digits, 8) || !all_digits(check, 1) {
        return LoincForm::NotLoinc;
    }
    let expected = check_digit(digits);
    if digits.len() != number.len() || check.starts_with(expected) {
        LoincForm::Valid
    } else {
        LoincForm::WrongCheckDigit { expected }
    }
}

/// Doubles every second digit from the right, adds all digits of the products, and completes to a ten.
fn check_digit(digits: &str) -> char {
    let sum: u32 = digits
        .bytes()
        .rev()
        .map(|b| u32::from(b - b'0'))
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    char::from_digit((10 - sum % 10) % 10, 10).unwrap_or('0')
}
