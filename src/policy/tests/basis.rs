//! What the rules may ask of the ground on which a proxy acts.

use super::*;
use crate::policy::case_text::as_test;
use crate::policy::cases;
use crate::policy::compare::Comparison;
use crate::policy::decision::{Decision, ReviewReason};
use crate::policy::explain::explain;
use crate::policy::facts::{Age, Basis, FactPath, Gathered, Lack};
use crate::policy::facts_file;
use crate::policy::loosenings::loosenings;
use crate::policy::when::Predicate;

const CBC: &str = "http://loinc.org|58410-2";

fn of(basis: Gathered<Basis>) -> Facts {
    Facts { recipient: RecipientRole::Proxy, basis, ..report(&[CBC], &[]) }
}

fn by(grounds: &[Basis]) -> Gathered<Basis> {
    let mut found = Gathered::none();
    for ground in grounds {
        found.add(*ground, FactPath("RelatedPerson[0].relationship".to_owned()));
    }
    found
}

const fn child() -> Age {
    Age::Years { least: 8, most: 8 }
}

/// A profile for proxies with one more condition.
fn proxies(condition: &str) -> String {
    profile("p", "", &format!("recipient = \"proxy\", code = \"loinc|58410-2\", {condition}"), "action = \"send\"")
}

fn sends(condition: &str, basis: &Gathered<Basis>) -> bool {
    matches!(decided(&proxies(condition), &of(basis.clone())).decision, Decision::Send { .. })
}

fn unknown_fact(decision: &Decision) -> &str {
    match decision {
        Decision::Review { why: ReviewReason::Unknown { fact, .. }, .. } => fact,
        Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. } => "",
    }
}

#[test]
fn a_ground_is_named_by_its_word_and_one_of_several_suffices() {
    for basis in Basis::ALL {
        for other in Basis::ALL {
            assert_eq!(sends(&format!("basis = \"{}\"", other.as_str()), &by(&[basis])), basis == other);
        }
        assert_eq!(serde_json::to_value(basis).unwrap(), basis.as_str());
    }
    let some = "basis = [\"parent\", \"guardian\"]";
    assert!(sends(some, &by(&[Basis::Guardian])));
    assert!(sends(some, &by(&[Basis::Representative, Basis::Parent])));
    assert!(!sends(some, &by(&[Basis::Representative])));
}

#[test]
fn to_have_none_is_known_and_what_could_not_be_learnt_is_a_review_that_names_it() {
    // Where the default is to block, nobody looks at what a profile may not be meant for.
    let alone = format!("other_default = \"manual_review\"\n{}", proxies("basis = \"parent\""));
    assert_eq!(unknown_fact(&decided(&alone, &of(Gathered::none())).decision), "");
    assert!(matches!(decided(&proxies("basis = \"parent\""), &of(Gathered::none())).decision, Decision::Block { .. }));
    let mut more = by(&[Basis::Guardian]);
    more.lacking.insert(Lack::TimedOut);
    let guards = "[[restrict]]\nid = \"r\"\nwhen = { basis = \"parent\" }\nthen = { opens = 1 }\n";
    let guarded = format!("{}{guards}", proxies("age = \"..131\""));
    for lacking in [Gathered::default(), Gathered::lacking(Lack::TimedOut), more.clone()] {
        assert_eq!(unknown_fact(&decided(&alone, &of(lacking.clone())).decision), "basis");
        let facts = Facts { age: child(), ..of(lacking) };
        assert_eq!(unknown_fact(&decided(&guarded, &facts).decision), "basis");
    }
    let facts = Facts { age: child(), ..of(Gathered::none()) };
    assert!(matches!(decided(&guarded, &facts).decision, Decision::Send { .. }));
    assert!(sends("basis = \"guardian\"", &more), "what was found counts, whatever else there may be");
}

#[test]
fn a_wrong_word_is_refused_with_those_that_there_are() {
    for (condition, says) in [
        ("basis = \"mother\"", "write \"parent\" or \"guardian\" or \"representative\""),
        ("basis = \"Parent\"", "write \"parent\" or"),
        ("basis = true", "'basis'"),
        ("bases = \"parent\"", "did you mean 'basis'"),
    ] {
        let errors = RuleSet::parse(&format!("{HEADER}{}", proxies(condition))).unwrap_err().to_string();
        assert!(errors.contains(says), "{errors}");
    }
}

const TESTED: &str = r#"
[[restrict]]
id = "parents"
when = { basis = "parent" }
then = { opens = 1 }
[[profile]]
id = "p"
when = { recipient = "proxy", code = "loinc|58410-2", basis = ["parent", "guardian"] }
then = { action = "send" }
[[profile]]
id = "consented"
when = { recipient = "proxy", code = "loinc|58410-2", consent = "proxy" }
then = { action = "send" }
[[test]]
name = "the mother"
facts = { recipient = "proxy", code = "loinc|58410-2", basis = "parent" }
expect = { action = "send", opens = 1 }
[[test]]
name = "an attorney"
facts = { recipient = "proxy", code = "loinc|58410-2", basis = ["representative"] }
expect = { action = "block" }
[[test]]
name = "not mentioned is none"
facts = { recipient = "proxy", code = "loinc|58410-2" }
expect = { action = "block" }
[[test]]
name = "not learnt"
facts = { recipient = "proxy", code = "loinc|58410-2", consent = "proxy", unknown = "basis" }
expect = { action = "manual_review" }
[[test]]
name = "known to have none"
facts = { recipient = "proxy", code = "loinc|58410-2", consent = "proxy" }
expect = { action = "send", opens = 3 }
[[test]]
name = "one of them, and there may be more"
facts = { recipient = "proxy", code = "loinc|58410-2", basis = "guardian", unknown = ["basis"] }
expect = { action = "manual_review" }
[[test]]
name = "the one that counts, and there may be more"
facts = { recipient = "proxy", code = "loinc|58410-2", basis = "parent", unknown = ["basis"] }
expect = { action = "send", opens = 1 }
"#;

#[test]
fn tests_of_a_file_and_facts_files_can_say_it() {
    let rules = rules(TESTED);
    for ran in cases::run_all(&rules) {
        assert!(ran.misses.is_empty(), "{}: {:?}", ran.name, ran.misses);
    }
    let facts = facts_file::read(r#"{"codes": ["loinc|58410-2"], "basis": ["guardian"]}"#, &rules).unwrap();
    assert_eq!(facts.basis.values().collect::<Vec<_>>(), [&Basis::Guardian]);
    let stored = serde_json::to_string(&facts).unwrap();
    assert_eq!(facts_file::read(&stored, &rules).unwrap(), facts);
    assert_eq!(facts_file::read("{}", &rules).unwrap().basis, Gathered::none());
    let wrong = facts_file::read(r#"{"basis": ["Planted"]}"#, &rules).unwrap_err().to_string();
    assert!(wrong.contains("line 1") && !wrong.contains("Planted"), "{wrong}");
    let stray = TESTED.replace("basis = \"parent\" }", "basis = \"father\" }");
    let errors = RuleSet::parse(&format!("{HEADER}{stray}")).unwrap_err().to_string();
    assert!(errors.contains("representative"), "{errors}");
}

/// The tests of a rules file are part of its hash: those that say nothing of a ground hash as they always did.
#[test]
fn a_file_that_does_not_speak_of_a_ground_keeps_its_hash() {
    let rules = rules(
        "[[test]]\nname = \"t\"\nfacts = { code = \"loinc|58410-2\" }\nexpect = { action = \"manual_review\" }\n",
    );
    let case = serde_json::to_string(&rules.content().cases).unwrap();
    assert!(!case.contains("\"basis\":{\"found\""), "{case}");
    let before = serde_json::to_string(&report(&[CBC], &[])).unwrap();
    assert!(!before.contains("basis"));
    let again: Facts = serde_json::from_str(&before).unwrap();
    assert_eq!(again.basis, Gathered::lacking(Lack::NotAsked));
    let asked = serde_json::to_string(&of(Gathered::none())).unwrap();
    let again: Facts = serde_json::from_str(&asked).unwrap();
    assert_eq!(again.basis, Gathered::none(), "to have none is not the same as not to have been asked");
}

#[test]
fn a_test_made_of_facts_says_it_where_the_rules_ask() {
    let asking = rules(TESTED);
    for basis in [by(&[Basis::Parent, Basis::Representative]), Gathered::none(), Gathered::lacking(Lack::Refused)] {
        let mut consents = Gathered::none();
        consents.add("proxy".to_owned(), FactPath("Consent[0].category".to_owned()));
        let test = as_test(&asking, &Facts { consents, ..of(basis.clone()) }, "made so");
        let with = rules(&format!("{TESTED}{test}\n"));
        let made = cases::run_all(&with).into_iter().find(|ran| ran.name == "made so").unwrap();
        assert!(made.misses.is_empty(), "{test}\n{made:?}");
        assert_eq!(test.contains("facts.basis = [\"parent\", \"representative\"]"), !basis.found.is_empty());
    }
    let silent = rules(&proxies("consent = \"proxy\""));
    assert!(!as_test(&silent, &of(Gathered::default()), "made so").contains("basis"));
}

#[test]
fn an_explanation_tells_in_which_resource_the_ground_stands() {
    let told = explain(&rules(TESTED), &of(by(&[Basis::Parent])), AT);
    let place = told.rows.iter().flat_map(|row| &row.evidence).find(|place| place.predicate == Predicate::Basis);
    let place = place.unwrap();
    assert_eq!((place.path.as_str(), place.resource), ("RelatedPerson[0].relationship", "RelatedPerson"));
}

#[test]
fn facts_from_before_do_not_know_it_and_more_grounds_are_looser() {
    let (old, new) = (rules(&proxies("basis = \"parent\"")), rules(&proxies("basis = [\"parent\", \"guardian\"]")));
    let unasked = |facts: &Facts| Comparison::new(&old, &new, None).unasked(facts).collect::<Vec<_>>();
    assert_eq!(unasked(&Facts { age: child(), ..of(Gathered::default()) }), [Predicate::Basis]);
    assert!(unasked(&Facts { age: child(), ..of(Gathered::none()) }).is_empty());
    assert!(!loosenings(&old, &new).is_empty());
    assert!(loosenings(&new, &new).is_empty());
    let restrict =
        |condition: &str| format!("[[restrict]]\nid = \"r\"\nwhen = {{ {condition} }}\nthen = {{ opens = 1 }}\n");
    let with = |condition: &str| rules(&format!("{}{}", proxies("basis = \"parent\""), restrict(condition)));
    let (some, all) = (with("basis = \"guardian\""), with("basis = [\"guardian\", \"parent\", \"representative\"]"));
    assert!(loosenings(&all, &some).iter().any(|one| one.row == "r"));
}
