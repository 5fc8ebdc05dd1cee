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

#[tokio::test(flavor = "multi_thread")]
async fn the_linter_warns_of_what_came_often_and_met_no_profile_by_a_census_of_that_file() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    for (at, code) in [HBA1C, UNMAPPED, UNMAPPED, UNMAPPED, UNMAPPED, UNMAPPED].into_iter().enumerate() {
        clinic.report(&format!("ana-{at}@example.test"), code, &pdf::with_pages(&["a page"])).await;
    }
    clinic.hear_and_settle().await;
    let file = |name: &str, text: &str| {
        let path = clinic.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let census = |rules: &str| {
        let ran = program::run(&clinic.config_path, &["rules", "census", "--since", "1d", "--rules", rules, "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        ran.out
    };
    let lint =
        |rules: &str, census: &str| program::run(&clinic.config_path, &["rules", "lint", rules, "--census", census]);
    let draft = file("draft.toml", &crate::support::clinic::RULES.replace("version = \"1\"", "version = \"2\""));
    let seen = file("seen.json", &census(&draft));
    let told = lint(&draft, &seen);
    assert_eq!(told.code, 0, "{}", told.all());
    assert!(
        told.out.contains("warning[falls-to-default]: 5 of 5 reports with the code http://loinc.org|2106-3"),
        "{}",
        told.out
    );
    assert!(told.out.contains(&format!("{draft}:2:1")) && !told.out.contains(HBA1C), "{}", told.out);

    let named =
        std::fs::read_to_string(&draft).unwrap().replace("\"loinc|4548-4\"", "\"loinc|4548-4\", \"loinc|2106-3\"");
    let named = file("named.toml", &named);
    let stale = lint(&named, &seen);
    assert!(stale.code == 2 && stale.err.contains("counted by other rules"), "{}", stale.all());
    let fresh = lint(&named, &file("fresh.json", &census(&named)));
    assert!(fresh.code == 0 && !fresh.out.contains("falls-to-default"), "{}", fresh.all());
    let broken = lint(&draft, &file("broken.json", "[]"));
    assert!(broken.code == 2 && broken.err.contains("is no census"), "{}", broken.all());
}
