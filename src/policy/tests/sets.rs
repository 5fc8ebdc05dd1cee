//! Code sets: what ships, the clinic's tables, and what both become together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use super::{coding, processor_time};
use crate::base::cases::cases;
use crate::policy::codes::{self, LoincForm, SnomedForm};
use crate::policy::facts::Coding;
use crate::policy::sets::{
    CodeSets, FILE_BYTES_MAX, FILES_MAX, SET_CODES_MAX, SETS_MAX, SetName, Spot, display_of, suggested_tag,
};

const SENSITIVE: &str = include_str!("../../../policies/codes/sensitive.csv");
const SERVICES: &str = include_str!("../../../policies/codes/services.csv");

pub(super) fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

pub(super) fn read(name: &str, text: &str) -> CodeSets {
    CodeSets::with(&files(&[(name, text)])).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

pub(super) fn faults(name: &str, text: &str) -> Vec<String> {
    let faults = CodeSets::with(&files(&[(name, text)])).expect_err("the file was loaded");
    faults.iter().map(ToString::to_string).collect()
}

pub(super) fn codes_of(sets: &CodeSets, name: &str) -> Vec<String> {
    sets.set(name).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn every_shipped_row_is_loaded() {
    let sets = CodeSets::shipped();
    let count = |text: &str| text.lines().count() - 1;
    assert_eq!(sets.sets().map(|(_, set)| set.len()).sum::<usize>(), count(SENSITIVE));
    assert_eq!(sets.services().map(|(_, set)| set.len()).sum::<usize>(), count(SERVICES));
    // The clinic's reader says the same of them, and finds no fault.
    assert_eq!(read("sensitive.csv", SENSITIVE), *sets);
    assert_eq!(read("services.csv", SERVICES), *sets);
    assert_eq!(CodeSets::with(&BTreeMap::new()).as_ref(), Ok(sets));
}

#[test]
fn every_shipped_code_is_well_formed_and_has_a_display() {
    let sets = CodeSets::shipped();
    for coding in sets.sets().chain(sets.services()).flat_map(|(_, set)| set.iter()) {
        match coding.system.as_deref() {
            Some(codes::LOINC) => assert_eq!(codes::loinc_form(&coding.code), LoincForm::Valid, "{coding}"),
            Some(codes::SNOMED) => assert_eq!(codes::snomed_form(&coding.code), SnomedForm::Valid, "{coding}"),
            _ => {}
        }
        assert_eq!(codes::canonical(coding).as_ref(), Some(coding));
        assert!(display_of(coding).is_some(), "{coding}");
    }
}

#[test]
fn what_the_rules_name_is_there() {
    let sets = CodeSets::shipped();
    for name in ["HIV", "STD", "GDIS", "MH", "SEX", "SUD", "PSYTHPN", "x-ONC", "x-HEP", "x-ROUTINE", "x-HOLD"] {
        assert!(sets.set(name).is_some_and(|set| !set.is_empty()), "{name}");
    }
    for word in [
        "dermatology",
        "fertility",
        "oncology",
        "occupational",
        "telemedicine",
        "imaging",
        "sexual-health",
        "psychiatry",
        "gynaecology",
        "paediatrics",
    ] {
        assert!(sets.service(word).is_some_and(|set| !set.is_empty()), "{word}");
        assert!(sets.set(word).is_none(), "a service is no set");
    }
}

#[test]
fn every_bare_label_is_in_a_shipped_set() {
    for label in SENSITIVE.lines().filter(|line| line.starts_with(codes::ACT_CODE)) {
        let code = label.split(',').nth(1).unwrap();
        let label = codes::bare_label(code).unwrap_or_else(|| panic!("{code}"));
        assert!(suggested_tag(&label).is_some(), "{code}");
    }
}

#[test]
fn a_set_holds_codes_in_every_spelling_and_the_subclasses_of_icd() {
    let sets = CodeSets::shipped();
    let hiv = sets.set("HIV").unwrap();
    assert!(hiv.contains(&coding("urn:oid:2.16.840.1.113883.6.1|56888-1")));
    assert!(hiv.contains(&coding("http://hl7.org/fhir/v3/ActCode|HIV")));
    assert!(!hiv.contains(&coding("56888-1")), "a code without a system");
    assert!(!hiv.contains(&coding("http://loinc.org|56888-10")));
    let cancer = sets.set("x-ONC").unwrap();
    assert!(cancer.contains(&coding("http://hl7.org/fhir/sid/icd-10-cm|C50.911")));
    assert!(!cancer.contains(&coding("http://hl7.org/fhir/sid/icd-10-cm|C5")));
    let pregnancy = sets.set("PREGNANT").unwrap();
    assert!(pregnancy.contains(&coding("http://loinc.org|2106-3")));
    assert!(!pregnancy.contains(&coding("urn:oid:2.16.840.1.113883.6.238|2106-3")), "white, no pregnancy test");
}

#[test]
fn the_census_has_names_and_suggestions() {
    let b20 = coding("urn:oid:2.16.840.1.113883.6.90|B20");
    assert_eq!(display_of(&b20), Some("Human immunodeficiency virus [HIV] disease"));
    assert_eq!(suggested_tag(&b20), Some("HIV"));
    assert_eq!(suggested_tag(&coding("http://hl7.org/fhir/sid/icd-10-cm|F10.20")), Some("SUD"));
    assert_eq!(display_of(&coding("http://snomed.info/sct|394582007")), Some("Dermatology"));
    assert_eq!(suggested_tag(&coding("http://snomed.info/sct|394582007")), None, "a service is no tag");
    assert_eq!(suggested_tag(&coding("B20")), None);
    assert_eq!(display_of(&coding("http://loinc.org|1-8")), None);
}

#[test]
fn a_clinics_table_adds_to_what_ships() {
    let text = "system,code,display,sensitivity,why,source\n\
                loinc,4548-4,Hemoglobin A1c,HIV,our wish,us\n\
                http://lab.example/codes,HIV-R,\"rapid, in house\",HIV,,\n\
                snomed,86406008,HIV infection,x-clinic,,\n";
    let sets = read("ours.csv", text);
    let shipped = CodeSets::shipped();
    let (old, new) = (shipped.set("HIV").unwrap(), sets.set("HIV").unwrap());
    assert_eq!(new.len(), old.len() + 2);
    assert!(old.iter().all(|code| new.contains(code)), "nothing is taken away");
    assert_eq!(codes_of(&sets, "x-clinic"), ["http://snomed.info/sct|86406008"]);
    assert!(sets.set("ours").is_none());
}

#[test]
fn a_table_of_one_set_bears_its_files_name() {
    let sets = read("sets/hiv-extra.csv", "system,code\nloinc,4548-4\n");
    assert_eq!(codes_of(&sets, "hiv-extra"), ["http://loinc.org|4548-4"]);
    let sets = read("ours.csv", "service,system,code\ndermatology,http://clinic.example/wards,W7\n");
    assert!(sets.service("dermatology").unwrap().contains(&coding("http://clinic.example/wards|W7")));
    assert!(sets.service("dermatology").unwrap().contains(&coding("http://snomed.info/sct|394582007")));
}

#[test]
fn a_table_from_excel_in_europe_is_read() {
    let text =
        "\u{feff}System;Code;Display\r\nloinc;4548-4;\"HbA1c; blood\"\r\n\r\n;;\r\n snomed ; 73211009 ;Diabetes\r\n";
    let sets = read("a.csv", text);
    assert_eq!(codes_of(&sets, "a"), ["http://loinc.org|4548-4", "http://snomed.info/sct|73211009"]);
}

/// A file's text; the fault's line; a part of what it says.
fn faulty_tables() -> Vec<(&'static str, u64, &'static str)> {
    vec![
        ("code,display\n4548-4,x\n", 1, "there is no column 'system'. begin the file with a line that names"),
        ("loinc,4548-4\n", 1, "the column 'loinc' is unknown. columns known here are: system, code, display"),
        ("system,code,colour\nloinc,4548-4,red\n", 1, "the column 'colour' is unknown"),
        ("system,code,Code\nloinc,4548-4,x\n", 1, "the column 'code' stands there twice"),
        ("system,code,\nloinc,4548-4,\n", 1, "column 3 has no name"),
        ("system,code,sensitivity,service\nloinc,4548-4,HIV,x\n", 1, "both name a set. make two files"),
        ("system,code\nloinc,4548-5\n", 2, "its check digit would be 4. compare it"),
        ("system,code\nloinc,4548\n", 2, "is not a whole LOINC code"),
        ("system,code\n\r\n\nsnomed,73211008\n", 4, "its last digit would be 9. compare it"),
        ("system,code\r\nsnomed,73211009\r\n\r\nsnomed,7.32E+07\r\n", 4, "in a spreadsheet set the column to text"),
        ("system,code\nsnomed,\n", 2, "there is no code. write the code"),
        ("system,code\n,4548-4\n", 2, "the code '4548-4' has no code system, so it could mean anything"),
        ("system,code\nLN,4548-4\n", 2, "the code system 'LN' is not known. use its full URI or one of: loinc"),
        ("system,code\nicd-10,C50*\n", 2, "'C50*' is not a code. write one whole code without '*'"),
        ("system,code\nicd-10,C50,breast,x\n", 2, "this line has 4 fields and the header has 2. put a text"),
        (
            "system,code,display\nicd-10,C50,\"breast\nloinc,4548-4,x\n",
            2,
            "runs over several lines. close its double quotes",
        ),
        ("system,code,sensitivity\nicd-10,C50,\n", 2, "this line names no set. write one word"),
        ("system,code,sensitivity\nicd-10,C50,breast cancer\n", 2, "'breast cancer' cannot be the name of a set"),
        (
            "system,code\nloinc,4548-4\nicd-10,C50\nhttps://loinc.org/,4548-4\n",
            4,
            "the code http://loinc.org|4548-4 stands in the set 'a' twice: in line 2 too. take one",
        ),
    ]
}

#[test]
fn a_faulty_line_says_where_and_what_to_do() {
    for (text, line, says) in faulty_tables() {
        let found = faults("a.csv", text);
        let expected = format!("a.csv, line {line}: ");
        assert!(found.iter().any(|f| f.starts_with(&expected) && f.contains(says)), "{text}\n{found:?}");
        assert!(found.iter().all(|fault| fault.ends_with('.')), "{found:?}");
    }
}

#[test]
fn a_faulty_file_says_what_to_do() {
    for (name, text, says) in [
        ("a.csv", "", "a.csv: the file is empty. begin it with a line that names the columns"),
        ("a.csv", "system,code\n\n", "a.csv: the table has a header and no codes. add a line for each code"),
        ("our codes.csv", "system,code\nloinc,4548-4\n", "our codes.csv: 'our codes' cannot be the name of a set"),
        ("a.xml", "<ValueSet/>", "a.xml: this is XML. save the value set as FHIR JSON"),
        ("hiv.csv", "system,code\nloinc,4548-4\n", "the set 'hiv' differs from 'HIV' by capital letters only"),
    ] {
        let found = faults(name, text);
        assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let large = format!("system,code\n{}", "\n".repeat(FILE_BYTES_MAX));
    assert!(faults("a.csv", &large)[0].contains("4194304 are allowed"));
    let codes = table(SET_CODES_MAX + 1);
    assert!(faults("a.csv", &codes)[0].contains("more than 50000 codes"));
    let names = (0..SETS_MAX).fold("system,code,sensitivity\n".to_owned(), |mut text, n| {
        writeln!(text, "icd-10,C50,x{n}").unwrap();
        text
    });
    assert!(faults("a.csv", &names)[0].contains("there are more than 200 sets"));
    let many = (0..=FILES_MAX).map(|n| (format!("{n}.csv"), "system,code\nicd-10,C50\n".to_owned())).collect();
    let refused = CodeSets::with(&many).unwrap_err();
    assert!(refused.len() == 1 && refused[0].to_string().starts_with("code sets: there are 201 files"));
    let faulty = format!("system,code\n{}", "loinc,1\n".repeat(10_000));
    assert_eq!(faults("a.csv", &faulty).len(), 50);
}

#[test]
fn all_faults_of_all_files_are_told_at_once_and_nothing_is_loaded() {
    let faulty = files(&[
        ("b.csv", "system,code\nloinc,4548-5\nloinc,4548-4\nloinc,1\n"),
        ("a.csv", "system,code\nloinc,4548-4\n"),
        ("c.json", "{"),
    ]);
    let found = CodeSets::with(&faulty).unwrap_err();
    let spots: Vec<_> = found.iter().map(|fault| (fault.file.as_str(), fault.at.clone())).collect();
    assert_eq!(spots, [("b.csv", Spot::Line(2)), ("b.csv", Spot::Line(4)), ("c.json", Spot::Line(1))]);
}

#[test]
fn names_of_sets_are_words() {
    for name in ["HIV", "x-ROUTINE", "2.16.840.1", "a_b"] {
        assert_eq!(SetName::parse(name).unwrap().to_string(), name);
    }
    for name in ["", "-x", "a b", "Ä", "a|b", &"x".repeat(65)] {
        assert_eq!(SetName::parse(name), None, "{name}");
    }
}

fn table(rows: usize) -> String {
    (0..rows).fold("system,code\n".to_owned(), |mut text, row| {
        writeln!(text, "http://lab.example/codes,{row}").unwrap();
        text
    })
}

/// Quadratic work would take the second table a hundred times as long as the first.
#[test]
fn a_table_of_fifty_thousand_rows_is_read_in_proportion() {
    let time_of = |rows: usize| {
        let text = table(rows);
        let before = processor_time();
        let sets = read("a.csv", &text);
        assert_eq!(sets.set("a").unwrap().len(), rows);
        processor_time().saturating_sub(before)
    };
    time_of(100);
    let (few, many) = (time_of(SET_CODES_MAX / 10), time_of(SET_CODES_MAX));
    assert!(many < few * 30 + Duration::from_millis(100), "{few:?} for a tenth, {many:?} for all");
    assert!(many < Duration::from_secs(10), "{many:?}");
}

fn rows() -> impl Strategy<Value = BTreeSet<(String, String)>> {
    let name = "HIV|x-ROUTINE|[a-c]";
    let code = (1_u32..400).prop_map(|number| format!("http://lab.example/codes,{number}"));
    prop::collection::btree_set((code, name), 1..30)
}

fn written(rows: &[(String, String)]) -> String {
    rows.iter().fold("system,code,sensitivity\n".to_owned(), |text, (code, set)| text + &format!("{code},{set}\n"))
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn neither_order_nor_files_matter(
        (rows, shuffled, cut) in rows().prop_flat_map(|rows| {
            let rows: Vec<_> = rows.into_iter().collect();
            (Just(rows.clone()), Just(rows.clone()).prop_shuffle(), 0..=rows.len())
        })
    ) {
        let whole = read("whole.csv", &written(&rows));
        prop_assert_eq!(&read("other.csv", &written(&shuffled)), &whole);
        let (one, other) = shuffled.split_at(cut);
        let parts: BTreeMap<_, _> = [("z.csv", one), ("y.csv", other)]
            .into_iter()
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(name, rows)| (name.to_owned(), written(rows)))
            .collect();
        let joined = CodeSets::with(&parts).unwrap();
        prop_assert_eq!(serde_json::to_string(&joined).unwrap(), serde_json::to_string(&whole).unwrap());
        prop_assert_eq!(&joined, &whole);
    }

    #[test]
    fn files_only_add(rows in rows()) {
        let sets = read("a.csv", &written(&rows.into_iter().collect::<Vec<_>>()));
        for (name, shipped) in CodeSets::shipped().sets() {
            let now = sets.set(name.as_str()).unwrap();
            prop_assert!(shipped.iter().all(|code: &Coding| now.contains(code)));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", head in prop::sample::select(vec!["", "system,code\n", "{"])) {
        if let Err(faults) = CodeSets::with(&files(&[("a.csv", &format!("{head}{text}"))])) {
            prop_assert!(!faults.is_empty());
        }
    }
}

#[test]
fn a_census_that_nobody_has_marked_yet_is_no_fault() {
    let table = "system,code,display,sensitivity,why,source\nhttp://loinc.org,2106-3,,,1 report,census\n";
    let files = BTreeMap::from([("seen.csv".to_owned(), table.to_owned())]);
    assert_eq!(CodeSets::with(&files).unwrap(), *CodeSets::shipped());
}
