//! Which rows no test notices.

use super::*;
use crate::policy::lint::untested;

const ROWS: &str = r#"
[[classify]]
tag = "HIV"
any = { holds = "loinc|56888-1" }
[[classify]]
id = "unused"
tag = "MH"
any = { holds = "loinc|4548-4" }
[[profile]]
id = "routine"
when = { category = "LAB" }
then = { action = "send", opens = 3 }
[[profile]]
id = "more"
over = ["routine"]
when = { category = "LAB", clinic = "skin" }
then = { action = "send", opens = 10 }
[[restrict]]
id = "sensitive"
when = { tag = ["HIV", "MH"] }
then = { opens = 1 }
[[restrict]]
id = "idle"
when = { tag = "HIV" }
then = { opens = 2 }
"#;

fn names(tests: &str) -> Vec<(&'static str, String)> {
    let rules = rules(&format!("{ROWS}{tests}"));
    let found = untested(&rules);
    assert!(found.iter().all(|row| row.spot.line > 3), "{found:?}");
    found.iter().map(|row| (row.section(), row.id.clone())).collect()
}

#[test]
fn without_tests_no_row_is_covered() {
    assert_eq!(names("").len(), 6);
}

#[test]
fn a_row_is_covered_when_a_test_comes_out_otherwise_without_it() {
    let tests = r#"
[[test]]
name = "sensitive"
facts = { category = "LAB", results = ["loinc|56888-1"] }
expect = { action = "send", opens = 1 }
[[test]]
name = "the skin clinic may open more often"
facts = { category = "LAB", clinic = "skin" }
expect = { opens = 10 }
[[test]]
name = "no tag"
facts = { category = "LAB" }
expect = { tag = [], opens = 3 }
"#;
    let idle = [("classify", "unused".to_owned()), ("restrict", "idle".to_owned())];
    assert_eq!(names(tests), idle);
}

#[test]
fn a_row_that_may_match_is_covered_by_the_review_that_it_makes() {
    let text = r#"
[[classify]]
tag = "HIV"
any = { holds = "loinc|56888-1" }
[[profile]]
id = "routine"
when = { category = "LAB" }
then = { action = "send" }
[[restrict]]
id = "sensitive"
when = { tag = "HIV" }
then = { opens = 1 }
[[test]]
name = "members unknown"
facts = { category = "LAB", unknown = ["results"] }
expect = { action = "manual_review" }
"#;
    let found: Vec<_> = untested(&rules(text)).into_iter().map(|row| row.id).collect();
    // Without the profile there is a review too, for want of a rule.
    assert_eq!(found, ["routine"]);
}
