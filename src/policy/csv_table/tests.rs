//! Tables and back.

use proptest::prelude::*;

use super::*;
use crate::base::cases::cases;

const CASES: u32 = 300;

/// Everything that the language has, once.
const WHOLE: &str = r#"
# A remark.
[policy]
id = "whole"
version = "2026.11.1"
timezone = "America/Chicago"
effective = 2026-12-01T06:00:00-06:00
laws = ["us-tx-sb922"]
patient_default = "manual_review"
other_default = "manual_review"
[limits]
expiry = { min = "24h", max = "14d" }
opens_max = 0x14
hold_max = "20d"
[quiet]
hours = "21:00-08:00"
days_off = ["sun"]
[[service]]
name = "skin"
specialty = ["snomed|394582007"]
performer = ["Organization/skin-1", "PractitionerRole/7"]
[[classify]]
tag = "HIV"
any = { set = "HIV", label = ["HIV"], text = ["\\bhiv\\b", "immuno;deficiency", { pattern = "\\bwirus hiv\\b", language = "pl" }, " leading"] }
[[classify]]
id = "more"
tag = "MH"
when = { category = ["LAB", "CH"], any = { holds = "loinc|2106-3", reason = "icd-10-cm|F32.9" } }
[[profile]]
id = "routine"
when = { category = ["LAB", "CH", "HM"], any = { critical = true, age = "18.." } }
then = { action = "send", expiry = "72h", opens = 3, group_by = "day", wait = "2h" }
reason = "=cmd|' /C calc'!A0"
[[profile]]
id = "skin-again"
over = ["routine"]
when = { category = "LAB", service = ["skin", "dermatology"] }
then = { action = "send", expiry = "72h", opens = 20 }
[[restrict]]
id = "sensitive"
when = { tag = ["HIV", "MH"] }
then = { release = "manual", hold = "72h", basis = "patient_request", auto_release = "10d", verify = ["question", "code"], code_via = "other", wording = "bare" }
reason = "one; two \"three\"\nfour, +five"
[[restrict]]
id = "everything"
when = {}
then = { retention = "400d" }
[[restrict]]
id = "who-acts"
when = { recipient = "proxy", basis = ["guardian", "representative"] }
then = { hold = "24h", basis = "law" }
[[restrict]]
id = "sure-of-the-address"
when = { tag = "HIV", contact = ["unknown", "bounced"], any = { contact_confirmed_within = "30d", contact_not_confirmed_within = "400d" } }
then = { opens = 1 }
[[exception]]
id = "trial"
over = ["sensitive"]
when = { clinic = "main" }
from = 2026-12-01
until = "2027-06-30"
by = ["Ann Author", "Ben Approver"]
reason = "@a trial"
[[test]]
name = "-1 is a name; so is this"
facts = { category = "LAB", text = ["HIV; and more", "\"quoted\""], age = 30, contact = "disputed", contact_since = 2026-11-19T08:00:00, critical = true, issued = 2026-11-20T16:00:00, unknown = ["order"] }
expect = { tag = ["HIV"], opens = 3 }
[[test]]
name = "who acts"
facts = { recipient = "proxy", basis = ["parent", "guardian"] }
expect = { hold = "24h", basis = "law" }
[[test]]
name = "nothing"
facts = {}
expect = { action = "manual_review", tag = [] }
"#;

fn sets() -> SideFiles {
    SideFiles::new()
}

fn table(csv: &str) -> Vec<Vec<String>> {
    let mut reader =
        ::csv::ReaderBuilder::new().has_headers(false).from_reader(csv.trim_start_matches('\u{feff}').as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn round(text: &str) -> Exported {
    export(text, &sets()).unwrap_or_else(|error| match error {
        ExportError::Faulty(errors) => panic!("{errors}"),
        ExportError::NotTheSame => {
            let csv = write::table_of(text).unwrap();
            panic!("{csv}\n{:?}", import(&csv, &sets()).map(|imported| imported.toml))
        }
    })
}

#[test]
fn everything_that_the_language_has_comes_back() {
    let exported = round(WHOLE);
    assert!(exported.csv.starts_with('\u{feff}') && exported.csv.contains("\r\n"));
    let rows = table(&exported.csv);
    assert_eq!(&rows[0][..3], ["kind", "id", "name"]);
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "a spreadsheet computes {cell}");
    }
    let again = round(&import(&exported.csv, &sets()).unwrap().toml);
    assert_eq!(again.csv, exported.csv);
}

#[test]
fn a_table_saved_by_other_spreadsheets_gives_the_same_rules() {
    let exported = round(WHOLE);
    for separator in [b';', b'\t'] {
        let mut writer = ::csv::WriterBuilder::new().delimiter(separator).from_writer(Vec::new());
        for row in &table(&exported.csv) {
            writer.write_record(row).unwrap();
        }
        let csv = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        assert_eq!(import(&csv, &sets()).unwrap().rules, exported.rules);
    }
}

#[test]
fn what_ships_comes_back() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            round(&std::fs::read_to_string(&path).unwrap());
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn generated_rules_come_back() {
    for drawn in crate::policy::tests::generate::stock() {
        assert_eq!(round(&drawn.text).rules, drawn.rules);
    }
}

const HEADER: &str = "kind,id,version,when.category,then.action,then.opens\npolicy,p,1,,,\n";

fn faults(csv: &str) -> String {
    match import(csv, &sets()) {
        Ok(imported) => panic!("{}", imported.toml),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_fault_names_its_row_and_column() {
    for (rows, says) in [
        ("profile,a,,LAB,sent,3\n", "row 3, column 'then.action': 'sent' is not known as a value of 'action'"),
        ("profile,a,,LAB,send,three\n", "row 3, column 'then.opens': 'opens' is not a whole number from 1 to 20"),
        ("profile,a,,,,\n", "row 3: this profile has no 'when'"),
        ("profile,a,,LAB,send,3\nprofile,a,,CH,send,3\n", "row 4: two profiles have the id 'a'"),
        ("profil,a,,LAB,send,3\n", "row 3, column 'kind': the kind 'profil' is unknown"),
        ("policy,q,2,,,\n", "row 3, column 'kind': there are two rows of the kind 'policy'"),
        ("profile,a,,\"\"\"LAB\",send,3\n", "row 3, column 'when.category': "),
        ("profile,a,,LAB,send,3,stray\n", "row 3: the cell 'stray' stands in a column without a name"),
    ] {
        let found = faults(&format!("{HEADER}{rows}"));
        assert!(found.contains(says), "{rows}: {found}");
    }
    assert!(faults("a,b\n1,2\n").contains("no column 'kind'"));
    assert!(faults("kind,id,id\n").contains("row 1, column 'id': this column stands twice"));
    assert!(faults("kind,id\nprofile,x\n").contains("the section [policy] is missing"));
    let found = faults("kind,id,version,then.acton\npolicy,p,1,\nprofile,a,,send\n");
    assert!(
        found.contains("row 3, column 'then.acton': the column 'acton' is unknown. did you mean 'action'?"),
        "{found}"
    );
}

proptest! {
    #![proptest_config(cases(CASES))]

    #[test]
    fn any_texts_come_back(texts in proptest::collection::vec("[ -~\n\u{e4}\u{105}]{0,12}", 0..4), language in "[a-z]{2}") {
        let items: Vec<_> = texts.iter().map(|text| cell::Item { language: (text.len() % 3 == 0).then(|| language.clone()), text: text.clone() }).collect();
        let cell = cell::of_items(&items);
        prop_assert!(!cell.starts_with(['=', '+', '-', '@']));
        let read = match cell.as_str() {
            cell::EMPTY_LIST => Vec::new(),
            other => cell::items_of(cell::unguarded(other)).unwrap(),
        };
        prop_assert_eq!(read, items);
    }

    #[test]
    fn no_table_makes_it_fail_otherwise_than_by_faults(csv in "(kind[,;][a-z.]{1,6}[,;]id\n)?([a-z]{0,8}[,;\"]{0,2}[ -~]{0,10}\n){0,6}") {
        let _ = import(&csv, &sets());
    }
}
