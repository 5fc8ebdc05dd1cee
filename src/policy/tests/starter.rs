//! The rules file that `init` writes.

use super::*;
use crate::policy::codes::{LoincForm, loinc_form};
use crate::policy::decision::{Channel, Decision, Release, ReviewReason, Wording};
use crate::policy::when::{Condition, When};
use crate::policy::{STARTER_RULES, decide};

fn starter(facts: &Facts) -> Decision {
    decide(&RuleSet::parse(STARTER_RULES).unwrap(), facts, AT).decision
}

#[test]
fn a_blood_count_goes_out_in_the_clinics_name_for_three_days() {
    let Decision::Send { terms } = starter(&report(&["http://loinc.org|58410-2"], &[])) else { panic!("not sent") };
    assert_eq!(terms.expiry_seconds, 72 * 3600);
    assert_eq!(terms.opens.0.get(), 3);
    assert_eq!(terms.channels.into_iter().collect::<Vec<_>>(), [Channel::Email]);
    assert_eq!(terms.wording, Wording::Generic);
    assert!(terms.release == Release::at_once());
}

#[test]
fn an_hiv_test_among_laboratory_reports_is_reviewed() {
    let hiv = report(&["http://loinc.org|56888-1"], &["http://terminology.hl7.org/CodeSystem/v2-0074|LAB"]);
    assert_eq!(starter(&hiv), Decision::Review { why: ReviewReason::NoRule, terms: None });
}

#[test]
fn its_example_to_copy_is_sound() {
    let example = STARTER_RULES.lines().skip_while(|line| !line.starts_with("# [[profile]]"));
    let opened: Vec<_> = example.map(|line| line.trim_start_matches("# ")).collect();
    let opened = opened.join("\n");
    let rules = RuleSet::parse(&format!("{STARTER_RULES}\n{opened}")).unwrap();
    assert_eq!(rules.profiles().len(), 2);
}

#[test]
fn its_codes_are_whole_loinc_codes() {
    let rules = RuleSet::parse(STARTER_RULES).unwrap();
    let codes: Vec<_> = rules.profiles().iter().flat_map(|profile| codes_of(&profile.when)).collect();
    assert!(codes.len() >= 6);
    assert!(codes.iter().all(|coding| loinc_form(&coding.code) == LoincForm::Valid));
}

fn codes_of(when: &When) -> Vec<Coding> {
    let codes = when.conditions().filter_map(|(_, condition)| {
        if let Condition::Codes(codes) = condition { Some(codes.iter().cloned()) } else { None }
    });
    codes.flatten().collect()
}
