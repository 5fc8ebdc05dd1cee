//! Code systems under all their names, labels without a system, and check digits.

use proptest::prelude::*;
use proptest::sample::select;

use super::coding;
use crate::base::cases::cases;
use crate::policy::codes::{
    self, ACT_CODE, CONFIDENTIALITY, Confidentiality, LoincForm, SnomedForm, bare_confidentiality,
    bare_encounter_class, bare_label, canonical, canonical_system, is_hierarchical, loinc_form, snomed_form,
    system_in_rules, with_classes,
};

#[test]
fn every_spelling_of_a_system_is_one() {
    for (spellings, uri) in [
        (
            &["http://loinc.org", "http://loinc.org/", "https://loinc.org", "urn:oid:2.16.840.1.113883.6.1"][..],
            codes::LOINC,
        ),
        (&["https://snomed.info/sct", "http://snomed.info/sct/", "urn:oid:2.16.840.1.113883.6.96"], codes::SNOMED),
        (&["http://hl7.org/fhir/v2/0074", "urn:oid:2.16.840.1.113883.12.74"], codes::V2_0074),
        (&["http://hl7.org/fhir/v3/ActCode", "urn:oid:2.16.840.1.113883.5.4"], ACT_CODE),
        (&["http://hl7.org/fhir/v3/Confidentiality", "urn:oid:2.16.840.1.113883.5.25"], CONFIDENTIALITY),
        (
            &[
                "http://hl7.org/fhir/v3/ObservationInterpretation",
                "http://hl7.org/fhir/v2/0078",
                "http://terminology.hl7.org/CodeSystem/v2-0078",
                "urn:oid:2.16.840.1.113883.5.83",
                "urn:oid:2.16.840.1.113883.12.78",
            ],
            codes::INTERPRETATION,
        ),
        (&["urn:oid:2.16.840.1.113883.6.3", "http://hl7.org/fhir/sid/icd-10/"], codes::ICD_10),
        (&["urn:oid:2.16.840.1.113883.6.90"], codes::ICD_10_CM),
        (&["http://hl7.org/fhir/sid/icd-9-cm/diagnosis", "urn:oid:2.16.840.1.113883.6.103"], codes::ICD_9_CM),
        (&["urn:oid:2.16.840.1.113883.6.88"], codes::RXNORM),
        (&["urn:oid:2.16.840.1.113883.12.292"], "http://hl7.org/fhir/sid/cvx"),
        (&["urn:oid:2.16.840.1.113883.6.285"], "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"),
        (&["2.16.840.1.113883.6.238"], codes::CDC_RACE),
        (&["urn:oid:2.16.840.1.113883.6.101"], codes::NUCC),
    ] {
        for spelling in spellings {
            assert_eq!(canonical_system(spelling), uri, "{spelling}");
        }
    }
    for unknown in ["http://lab.example/codes/", "LN", "", "http://", "http://loinc.org/x"] {
        assert_eq!(canonical_system(unknown), unknown);
    }
}

#[test]
fn every_short_name_that_a_remedy_offers_is_known() {
    for short in codes::SHORT_NAMES.split(", ") {
        let uri = system_in_rules(short).unwrap_or_else(|| panic!("{short}"));
        assert_eq!(system_in_rules(uri), Some(uri), "{short}");
        assert_eq!(canonical_system(uri), uri, "{short}");
    }
}

#[test]
fn the_pregnancy_test_is_not_a_race() {
    let test = canonical(&coding("urn:oid:2.16.840.1.113883.6.1|2106-3")).unwrap();
    let race = canonical(&coding("urn:oid:2.16.840.1.113883.6.238|2106-3")).unwrap();
    assert_ne!(test, race);
    assert_eq!(canonical(&coding("2106-3")), None);
}

#[test]
fn labels_and_classes_have_their_systems_by_themselves() {
    assert_eq!(bare_label("HIV"), Some(coding(&format!("{ACT_CODE}|HIV"))));
    assert_eq!(bare_label("42CFRPart2"), Some(coding(&format!("{ACT_CODE}|42CFRPart2"))));
    assert_eq!(bare_label("hiv"), None);
    assert_eq!(bare_label("VR"), None);
    assert_eq!(bare_encounter_class("VR"), Some(coding(&format!("{ACT_CODE}|VR"))));
    assert_eq!(bare_encounter_class("HIV"), None);
    assert_eq!(bare_confidentiality("R"), Some(coding(&format!("{CONFIDENTIALITY}|R"))));
    assert_eq!(bare_confidentiality("HIV"), None);
}

#[test]
fn confidentiality_is_one_scale() {
    assert!(Confidentiality::ALL.is_sorted());
    for level in Confidentiality::ALL {
        assert_eq!(Confidentiality::of(&level.coding()), Some(level));
        let old = coding(&format!("http://hl7.org/fhir/v3/Confidentiality|{}", level.as_str()));
        assert_eq!(Confidentiality::of(&old), Some(level));
        let elsewhere = coding(&format!("{ACT_CODE}|{}", level.as_str()));
        assert_eq!(Confidentiality::of(&elsewhere), None);
    }
}

#[test]
fn a_label_without_a_system_can_only_raise() {
    for (code, level) in [("R", Some(Confidentiality::R)), ("V", Some(Confidentiality::V)), ("N", None), ("U", None)] {
        assert_eq!(Confidentiality::of(&coding(code)), level);
        assert_eq!(Confidentiality::of(&coding(&format!("|{code}"))), level, "an empty system is none");
    }
}

#[test]
fn beginnings_mean_something_in_icd_and_in_local_systems_alone() {
    for system in [codes::ICD_10, "urn:oid:2.16.840.1.113883.6.90", codes::ICD_9_CM, "http://lab.example/codes"] {
        assert!(is_hierarchical(system), "{system}");
    }
    for system in [codes::LOINC, "https://snomed.info/sct/", codes::RXNORM, codes::CDC_RACE, ACT_CODE, codes::NUCC] {
        assert!(!is_hierarchical(system), "{system}");
    }
}

#[test]
fn a_code_of_icd_falls_under_its_classes() {
    let classes = |text: &str| with_classes(&coding(text)).map(|found| found.code).collect::<Vec<_>>();
    assert_eq!(classes("urn:oid:2.16.840.1.113883.6.90|C50.91"), ["C50.91", "C50.9", "C50"]);
    assert_eq!(classes("http://hl7.org/fhir/sid/icd-10|C50."), ["C50.", "C50"]);
    assert_eq!(classes("http://hl7.org/fhir/sid/icd-10|Ü"), ["Ü"]);
    assert_eq!(classes("http://lab.example/codes|C50.91"), ["C50.91"]);
    assert_eq!(classes("http://loinc.org|56888-1"), ["56888-1"]);
    assert!(classes("C50.91").is_empty());
    let long = format!("http://hl7.org/fhir/sid/icd-10|{}", "9".repeat(100_000));
    assert_eq!(classes(&long).len(), 1);
}

#[test]
fn snomed_numbers_have_verhoeffs_digit() {
    for valid in ["73211009", "22298006", "394582007", "900000000000207008", "101009"] {
        assert_eq!(snomed_form(valid), SnomedForm::Valid, "{valid}");
    }
    assert_eq!(snomed_form("73211008"), SnomedForm::WrongCheckDigit { expected: '9' });
    for other in ["", "12345", "073211009", "7321100x", "7.32E+07", "1234567890123456789", "73211009 ", "٧٣٢١١٠٠٩"]
    {
        assert_eq!(snomed_form(other), SnomedForm::NotSnomed, "{other}");
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn canonical_form_is_one(
        scheme in select(vec!["http://", "https://", "urn:oid:", ""]),
        rest in "[a-zA-Z0-9./:-]{0,24}|loinc.org/?|snomed.info/sct/{0,2}|hl7.org/fhir/v[23]/(0074|0078|ActCode)",
        code in "\\PC{1,10}",
    ) {
        let written = coding(&format!("{scheme}{rest}|{code}"));
        if let Some(once) = canonical(&written) {
            prop_assert_eq!(canonical(&once), Some(once.clone()));
            prop_assert_eq!(once.code, written.code);
        }
    }

    #[test]
    fn a_mistyped_or_swapped_digit_of_snomed_is_seen(number in 10_000_u64..99_999_999_999, place in 0_usize..12, other in 0_u8..10) {
        let valid = (0..10).map(|check| format!("{number}{check}")).find(|c| snomed_form(c) == SnomedForm::Valid).unwrap();
        let place = place % valid.len();
        let mut digits = valid.clone().into_bytes();
        digits[place] = b'0' + other;
        let mistyped = String::from_utf8(digits.clone()).unwrap();
        prop_assert_eq!(snomed_form(&mistyped) == SnomedForm::Valid, mistyped == valid);
        let mut swapped = valid.clone().into_bytes();
        if place > 0 {
            swapped.swap(place - 1, place);
        }
        let swapped = String::from_utf8(swapped).unwrap();
        prop_assert_eq!(snomed_form(&swapped) == SnomedForm::Valid, swapped == valid);
    }

    #[test]
    fn any_text_has_a_form(text in "\\PC{0,30}") {
        let _ = (loinc_form(&text) == LoincForm::Valid, snomed_form(&text) == SnomedForm::Valid);
        let _ = with_classes(&coding(&format!("http://hl7.org/fhir/sid/icd-10|{text}"))).count();
    }
}
