//! Which codes come: counted, told, written as a table that the clinic marks.

use serde_json::json;

use crate::support::clinic::{Clinic, Wishes};
use crate::support::{pdf, program};

const HBA1C: &str = "4548-4";
/// In no profile, and looks like a month.
const UNMAPPED: &str = "2106-3";

#[tokio::test(flavor = "multi_thread")]
async fn a_census_counts_codes_and_its_marked_table_is_a_code_set_of_the_next_rules() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    for (at, code) in [HBA1C, HBA1C, UNMAPPED].into_iter().enumerate() {
        clinic.report(&format!("ana-{at}@example.test"), code, &pdf::with_pages(&["a page"])).await;
    }
    let bare = |report: &mut serde_json::Value| report["code"]["coding"] = json!([{"code": "=HYPERLINK(1)"}]);
    let (_, odd) = clinic.report("ana-odd@example.test", HBA1C, &pdf::with_pages(&["a page"])).await;
    clinic.lab().change("DiagnosticReport", &odd, bare).await;
    clinic.hear_and_settle().await;

    let folder = clinic.folder.join("marked");
    std::fs::create_dir(&folder).unwrap();
    let (table, sets) = (folder.join("seen.csv"), folder.display().to_string());
    let arguments = ["rules", "census", "--since", "90d", "--csv", table.to_str().unwrap()];
    let ran = program::run(&clinic.config_path, &arguments);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.contains("a profile speaks of 2 of 4 (50 %)") && ran.out.contains("NO SYSTEM"), "{}", ran.out);
    assert_eq!(program::run(&clinic.config_path, &arguments).code, 2, "a marked table was written over");
    let found = program::run(&clinic.config_path, &["rules", "census", "--since", "90d", "--json"]).json();
    assert_eq!((&found["codes"][0]["code"], &found["codes"][0]["reports"]), (&json!(HBA1C), &json!(2)), "{found}");

    let text = std::fs::read_to_string(&table).unwrap();
    assert!(text.contains("'=HYPERLINK(1)") && !text.contains(",=HYPERLINK"), "{text}");
    let mark =
        |line: &str| if line.contains(UNMAPPED) { line.replace(",,\"", ",x-marked,\"") } else { line.to_owned() };
    let marked: Vec<String> = text.lines().map(mark).collect();
    std::fs::write(&table, marked.join("\r\n")).unwrap();
    let rules = clinic.folder.join("marked.toml");
    let row = "[[restrict]]\nid = \"marked\"\nwhen = { set = \"x-marked\" }\nthen = { action = \"block\" }\n";
    std::fs::write(&rules, format!("{}\n{row}", crate::support::clinic::RULES)).unwrap();
    let without = program::run(&clinic.config_path, &["rules", "dry-run", rules.to_str().unwrap(), "--since", "90d"]);
    assert!(without.code == 2 && without.err.contains("x-marked"), "{}", without.all());
    let arguments = ["rules", "dry-run", rules.to_str().unwrap(), "--since", "90d", "--sets", &sets, "--json"];
    let with = program::run(&clinic.config_path, &arguments);
    assert_eq!(with.code, 0, "{}\n{}", with.all(), std::fs::read_to_string(&table).unwrap());
    assert_eq!(with.json()["tighter"]["count"], 1, "{}", with.out);
}
