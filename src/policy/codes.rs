//! Code systems: one name for each, what may stand without a system, and the check digits of LOINC and SNOMED CT.
//!
//! Job: bring every spelling of a system to one URI, so that a rule and a report that mean the same code
//! compare equal. Must stay true: a code without a system is never equal to one with a system; what is in canonical
//! form stays as it is. Must not know: which codes are sensitive ([`crate::policy::sets`]).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::facts::Coding;

pub const LOINC: &str = "http://loinc.org";
pub const SNOMED: &str = "http://snomed.info/sct";
/// Diagnostic service sections: LAB, RAD, …
pub const V2_0074: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";
/// Sensitivity labels (HIV, ETH, …) and classes of encounters (AMB, VR, …).
pub const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
pub const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
/// HH, LL, AA and the like; its codes are those of v2 table 0078.
pub const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
pub const ICD_10: &str = "http://hl7.org/fhir/sid/icd-10";
pub const ICD_10_CM: &str = "http://hl7.org/fhir/sid/icd-10-cm";
pub const ICD_9_CM: &str = "http://hl7.org/fhir/sid/icd-9-cm";
pub const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
/// CDC's race and ethnicity: it has numbers in LOINC's form that mean other things.
pub const CDC_RACE: &str = "urn:oid:2.16.840.1.113883.6.238";
/// Specialties of US practitioners.
pub const NUCC: &str = "http://nucc.org/provider-taxonomy";

/// The short names that a rules file may use, for remedies.
pub const SHORT_NAMES: &str = "loinc, snomed, v2-0074, us-core-category, observation-category, icd-10, icd-10-cm, \
                               icd-9-cm, rxnorm, cvx, cpt, hcpcs, act-code, confidentiality, interpretation, cdc-race, \
                               nucc";

/// Whether the beginning of a code says what kind of thing it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Structure {
    Flat,
    /// `C50.9` is a kind of `C50`.
    Classes,
}

struct System {
    uri: &'static str,
    short: &'static str,
    structure: Structure,
    /// Other spellings, each without `http://`, `https://` or `urn:oid:` and without a slash at the end.
    others: &'static [&'static str],
}

const fn system(
    uri: &'static str,
    short: &'static str,
    structure: Structure,
    others: &'static [&'static str],
) -> System {
    System { uri, short, structure, others }
}

/// OIDs of code systems: <https://hl7.org/fhir/R4/terminologies-systems.html>; names before R4:
/// <https://hl7.org/fhir/STU3/terminologies-v2.html>, <https://hl7.org/fhir/STU3/terminologies-v3.html>.
const SYSTEMS: &[System] = &[
    system(LOINC, "loinc", Structure::Flat, &["2.16.840.1.113883.6.1"]),
    system(SNOMED, "snomed", Structure::Flat, &["2.16.840.1.113883.6.96"]),
    system(
        V2_0074,
        "v2-0074",
        Structure::Flat,
        &["hl7.org/fhir/v2/0074", "hl7.org/fhir/CodeSystem/v2-0074", "2.16.840.1.113883.12.74"],
    ),
    system(
        "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
        "us-core-category",
        Structure::Flat,
        &[],
    ),
    system(
        "http://terminology.hl7.org/CodeSystem/observation-category",
        "observation-category",
        Structure::Flat,
        &["hl7.org/fhir/observation-category"],
    ),
    system(ICD_10, "icd-10", Structure::Classes, &["2.16.840.1.113883.6.3"]),
    system(ICD_10_CM, "icd-10-cm", Structure::Classes, &["2.16.840.1.113883.6.90"]),
    system(
        ICD_9_CM,
        "icd-9-cm",
        Structure::Classes,
        &["hl7.org/fhir/sid/icd-9-cm/diagnosis", "2.16.840.1.113883.6.103"],
    ),
    system(RXNORM, "rxnorm", Structure::Flat, &["2.16.840.1.113883.6.88"]),
    system("http://hl7.org/fhir/sid/cvx", "cvx", Structure::Flat, &["2.16.840.1.113883.12.292"]),
    system("http://www.ama-assn.org/go/cpt", "cpt", Structure::Flat, &["2.16.840.1.113883.6.12"]),
    system(
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "hcpcs",
        Structure::Flat,
        &["2.16.840.1.113883.6.285"],
    ),
    system(ACT_CODE, "act-code", Structure::Flat, &["hl7.org/fhir/v3/ActCode", "2.16.840.1.113883.5.4"]),
    system(
        CONFIDENTIALITY,
        "confidentiality",
        Structure::Flat,
        &["hl7.org/fhir/v3/Confidentiality", "2.16.840.1.113883.5.25"],
    ),
    system(
        INTERPRETATION,
        "interpretation",
        Structure::Flat,
        &[
            "hl7.org/fhir/v3/ObservationInterpretation",
            "2.16.840.1.113883.5.83",
            "hl7.org/fhir/v2/0078",
            "terminology.hl7.org/CodeSystem/v2-0078",
            "2.16.840.1.113883.12.78",
        ],
    ),
    system(CDC_RACE, "cdc-race", Structure::Flat, &[]),
    system(NUCC, "nucc", Structure::Flat, &["2.16.840.1.113883.6.101"]),
];

/// Every spelling of a known system, without what [`bare_name`] takes away.
static BY_NAME: LazyLock<HashMap<&'static str, &'static System>> = LazyLock::new(|| {
    let names = |system: &'static System| system.others.iter().copied().chain([bare_name(system.uri)]);
    SYSTEMS.iter().flat_map(|system| names(system).map(move |name| (name, system))).collect()
});

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

/// Labels of `ActInformationSensitivityPolicy`
/// (<https://terminology.hl7.org/ValueSet-v3-ActInformationSensitivityPolicy.html>), and two that stand elsewhere in the
/// same system: the adolescent's record and 42 CFR Part 2.
const BARE_LABELS: &[&str] = &[
    "BH",
    "COGN",
    "DVD",
    "EMOTDIS",
    "ETH",
    "ETHUD",
    "GDIS",
    "HIV",
    "IDS",
    "MH",
    "MST",
    "OPIOIDUD",
    "PREGNANT",
    "PSY",
    "PSYTHPN",
    "SCA",
    "SDV",
    "SEX",
    "SICKLE",
    "SPI",
    "STD",
    "SUD",
    "TBOO",
    "VIO",
    "ADOL",
    "42CFRPart2",
];

/// Classes of encounters (<https://hl7.org/fhir/R4/v3/ActEncounterCode/vs.html>).
const BARE_ENCOUNTER_CLASSES: &[&str] =
    &["ACUTE", "AMB", "EMER", "FLD", "HH", "IMP", "NONAC", "OBSENC", "PRENC", "SS", "VR"];

/// The canonical URI of a system as a report writes it; an unknown one stays as it is.
#[must_use]
pub fn canonical_system(written: &str) -> &str {
    BY_NAME.get(bare_name(written)).map_or(written, |system| system.uri)
}

/// The canonical URI of a system as a rules file writes it: a short name or a full URI. `None` for neither.
#[must_use]
pub fn system_in_rules(written: &str) -> Option<&str> {
    let short = SYSTEMS.iter().find(|system| system.short == written).map(|system| system.uri);
    short.or_else(|| is_uri(written).then(|| canonical_system(written)))
}

/// Whether a rule may match the beginning of a code: in ICD, and in a clinic's own system, whose order the clinic knows.
/// The numbers of LOINC, SNOMED CT, `RxNorm` and the like say nothing by their first digits.
#[must_use]
pub fn is_hierarchical(system: &str) -> bool {
    BY_NAME.get(bare_name(system)).is_none_or(|system| system.structure == Structure::Classes)
}

/// A coding in canonical form, then the classes that it falls under, nearest first: `C50.91`, `C50.9`, `C50`. Only in ICD:
/// in a clinic's own system `1` need not hold `10`. Nothing for a coding without a system.
pub fn with_classes(coding: &Coding) -> impl Iterator<Item = Coding> {
    let found = coding.system.as_deref().filter(|system| !system.is_empty());
    found
        .map(|system| classes_of(system, &coding.code))
        .into_iter()
        .flat_map(|(system, codes)| codes.map(|code| Coding { system: Some(system.to_owned()), code: code.to_owned() }))
}

/// As [`with_classes`], without a copy: the canonical system, then the code and its classes.
pub fn classes_of<'c>(system: &'c str, code: &'c str) -> (&'c str, impl Iterator<Item = &'c str>) {
    let known = BY_NAME.get(bare_name(system));
    let has_classes = known.is_some_and(|system| system.structure == Structure::Classes) && code.len() <= ICD_CHARS_MAX;
    let codes = std::iter::successors(Some(code), move |code| {
        let mut chars = code.chars();
        chars.next_back();
        let shorter = chars.as_str().trim_end_matches('.');
        (has_classes && shorter.len() >= ICD_CLASS_CHARS).then_some(shorter)
    });
    (known.map_or(system, |known| known.uri), codes)
}

/// The length of ICD's three-character categories, in ASCII characters.
const ICD_CLASS_CHARS: usize = 3;
/// What is longer, in bytes, is not of ICD, and has no classes; national versions have up to ten characters.
const ICD_CHARS_MAX: usize = 16;

/// The full coding of a category that needs no system, such as `LAB`.
#[must_use]
pub fn bare_category(code: &str) -> Option<Coding> {
    let (system, _) = BARE_CATEGORIES.iter().find(|(_, codes)| codes.contains(&code))?;
    Some(Coding { system: Some((*system).to_owned()), code: code.to_owned() })
}

/// The full coding of a sensitivity label that needs no system, such as `HIV`.
#[must_use]
pub fn bare_label(code: &str) -> Option<Coding> {
    bare(BARE_LABELS, ACT_CODE, code)
}

/// The full coding of a confidentiality that needs no system: U, L, M, N, R or V.
#[must_use]
pub fn bare_confidentiality(code: &str) -> Option<Coding> {
    Confidentiality::parse(code).map(Confidentiality::coding)
}

/// The full coding of a class of encounters that needs no system, such as `VR`.
#[must_use]
pub fn bare_encounter_class(code: &str) -> Option<Coding> {
    bare(BARE_ENCOUNTER_CLASSES, ACT_CODE, code)
}

fn bare(known: &[&str], system: &str, code: &str) -> Option<Coding> {
    known.contains(&code).then(|| Coding { system: Some(system.to_owned()), code: code.to_owned() })
}

/// How confidential a record is, lowest first
/// (<https://terminology.hl7.org/CodeSystem-v3-Confidentiality.html>).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum Confidentiality {
    /// Unrestricted.
    U,
    /// Low.
    L,
    /// Moderate.
    M,
    /// Normal.
    N,
    /// Restricted.
    R,
    /// Very restricted.
    V,
}

impl Confidentiality {
    pub const ALL: [Self; 6] = [Self::U, Self::L, Self::M, Self::N, Self::R, Self::V];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::U => "U",
            Self::L => "L",
            Self::M => "M",
            Self::N => "N",
            Self::R => "R",
            Self::V => "V",
        }
    }

    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == code)
    }

    /// What a label says. A label without a system counts only as R or V: a label may only raise, so to take a stray `R`
    /// for restricted errs on the strict side, while a stray `N` says nothing.
    #[must_use]
    pub fn of(label: &Coding) -> Option<Self> {
        let found = Self::parse(&label.code)?;
        match label.system.as_deref().filter(|system| !system.is_empty()) {
            Some(system) => (canonical_system(system) == CONFIDENTIALITY).then_some(found),
            None => (found >= Self::R).then_some(found),
        }
    }

    #[must_use]
    pub fn coding(self) -> Coding {
        Coding { system: Some(CONFIDENTIALITY.to_owned()), code: self.as_str().to_owned() }
    }
}

/// A coding of a report with its system in canonical form; `None` if it has no system, for then it can
/// mean anything.
#[must_use]
pub fn canonical(coding: &Coding) -> Option<Coding> {
    let system = coding.system.as_deref().filter(|system| !system.is_empty())?;
    Some(Coding { system: Some(canonical_system(system).to_owned()), code: coding.code.clone() })
}

/// What is the same in all spellings of one URI or OID: `https://loinc.org/` and `http://loinc.org` are one.
fn bare_name(system: &str) -> &str {
    let prefixes = ["http://", "https://", "urn:oid:"];
    let rest = prefixes.iter().find_map(|prefix| system.strip_prefix(prefix)).unwrap_or(system);
    rest.trim_end_matches('/')
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

/// What a text is, as an identifier of SNOMED CT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnomedForm {
    Valid,
    /// The digits before the last call for this check digit, and another one is written.
    WrongCheckDigit {
        expected: char,
    },
    NotSnomed,
}

/// Checks form and check digit: 6 to 18 digits without a leading zero, the last by Verhoeff's scheme (SNOMED CT Release
/// File Specification, chapters on the SCTID).
#[must_use]
pub fn snomed_form(code: &str) -> SnomedForm {
    let is_number = (6..=18).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
    if !is_number || code.starts_with('0') {
        return SnomedForm::NotSnomed;
    }
    let Some((digits, written)) = code.split_at_checked(code.len() - 1) else { return SnomedForm::NotSnomed };
    let expected = verhoeff_digit(digits);
    if written.starts_with(expected) { SnomedForm::Valid } else { SnomedForm::WrongCheckDigit { expected } }
}

/// Each digit from the right is permuted as often as its place says (the check digit has place 0), then all are joined in
/// the group of the pentagon's turns and flips; the check digit is what brings the product to one.
fn verhoeff_digit(digits: &str) -> char {
    let product = digits.bytes().rev().zip(1_u32..).fold(0, |product, (byte, place)| {
        let permuted = (0..place % 8).fold(u32::from(byte - b'0'), |digit, _| verhoeff_permuted(digit));
        pentagon_product(product, permuted)
    });
    let inverse = if product < 5 { (5 - product) % 5 } else { product };
    char::from_digit(inverse, 10).unwrap_or('0')
}

const fn verhoeff_permuted(digit: u32) -> u32 {
    match digit {
        0 => 1,
        1 => 5,
        2 => 7,
        3 => 6,
        4 => 2,
        5 => 8,
        6 => 3,
        7 => 0,
        8 => 9,
        _ => 4,
    }
}

/// 0 to 4 are turns, 5 to 9 flips.
const fn pentagon_product(one: u32, other: u32) -> u32 {
    match (one < 5, other < 5) {
        (true, true) => (one + other) % 5,
        (true, false) => (one + other) % 5 + 5,
        (false, true) => (one + 5 - other) % 5 + 5,
        (false, false) => (one + 5 - other) % 5,
    }
}
