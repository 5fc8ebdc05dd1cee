//! What holds for all rules and all reports.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::base::cases::cases;
use crate::policy::codes::{LoincForm, loinc_form};
use crate::policy::columns::Columns;
use crate::policy::decision::{Decision, Terms};
use crate::policy::trace::Outcome;
use crate::policy::vocabulary::Action;

const CASES: u32 = 2_000;
const CODES: [&str; 4] = ["loinc|58410-2", "loinc|4548-4", "loinc|3016-3", "http://local.example/codes|X1"];
const CATEGORIES: [&str; 3] = ["LAB", "CH", "RAD"];
const FACT_CODES: [&str; 6] = [
    "http://loinc.org|58410-2",
    "urn:oid:2.16.840.1.113883.6.1|4548-4",
    "http://loinc.org|3016-3",
    "http://local.example/codes|X1",
    "3016-3",
    "http://snomed.info/sct|26604007",
];
const FACT_CATEGORIES: [&str; 4] = [
    "http://terminology.hl7.org/CodeSystem/v2-0074|LAB",
    "http://hl7.org/fhir/v2/0074|CH",
    "http://terminology.hl7.org/CodeSystem/v2-0074|RAD",
    "LAB",
];

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn then() -> impl Strategy<Value = String> {
    let column = |texts: &[&'static str]| select(texts.to_vec());
    (
        column(&["send", "send", "send", "manual_review", "block"]),
        column(&["", ", expiry = \"24h\"", ", expiry = \"72h\"", ", expiry = \"7d\""]),
        column(&["", ", opens = 1", ", opens = 3", ", opens = 20"]),
        column(&["", ", channel = \"email\"", ", channel = \"sms\"", ", channel = [\"sms\", \"email\"]"]),
        column(&["", ", verify = \"code\"", ", verify = [\"question\"]", ", verify = [\"question\", \"code\"]"]),
        column(&[
            "",
            ", release = \"manual\"",
            ", hold = \"72h\"",
            ", hold = \"72h\", basis = \"law\"",
            ", hold = \"5d\"",
        ]),
        column(&["", ", wording = \"full\"", ", wording = \"generic\""]),
    )
        .prop_map(|(action, a, b, c, d, e, f)| format!("action = \"{action}\"{a}{b}{c}{d}{e}{f}"))
}

/// A row; `over` may name rows before it only, so that there is no circle.
fn row(at: usize) -> impl Strategy<Value = String> {
    let earlier: Vec<String> = (0..at).map(|n| format!("p{n}")).collect();
    let over = prop_oneof![3 => Just(Vec::new()).boxed(), 1 => subsequence(earlier, 0..=at.min(2)).boxed()];
    (over, subsequence(CODES.to_vec(), 0..=2), subsequence(CATEGORIES.to_vec(), 0..=2), then()).prop_map(
        move |(over, codes, categories, then)| {
            let over: Vec<&str> = over.iter().map(String::as_str).collect();
            let mut when = vec!["clinic = \"main\"".to_owned()];
            if !codes.is_empty() {
                when.push(format!("code = [{}]", quoted(&codes)));
            }
            if !categories.is_empty() {
                when.push(format!("category = [{}]", quoted(&categories)));
            }
            profile(&format!("p{at}"), &quoted(&over), &when.join(", "), &then)
        },
    )
}

pub(in crate::policy) fn rows() -> impl Strategy<Value = Vec<String>> {
    (row(0), row(1), row(2), row(3), row(4)).prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

fn facts() -> impl Strategy<Value = Facts> {
    (subsequence(FACT_CODES.to_vec(), 0..=3), subsequence(FACT_CATEGORIES.to_vec(), 0..=2))
        .prop_map(|(codes, categories)| report(&codes, &categories))
}

fn columns() -> impl Strategy<Value = Columns> {
    then().prop_map(|then| rules(&profile("p", "", "clinic = \"main\"", &then)).profiles()[0].then)
}

/// Whether `after` is as strict as `before` in every column.
fn is_as_strict(after: &Decision, before: &Decision) -> bool {
    let rank = |decision: &Decision| match decision {
        Decision::Send { .. } => Action::Send,
        Decision::Review { .. } => Action::ManualReview,
        Decision::Block { .. } => Action::Block,
    };
    rank(after) >= rank(before)
        && match (terms_of(after), terms_of(before)) {
            (Some(after), Some(before)) => terms_are_as_strict(after, before),
            // No terms: nothing can be sent at all. It never turns back into terms.
            (None, _) => true,
            (Some(_), None) => false,
        }
}

fn terms_of(decision: &Decision) -> Option<&Terms> {
    match decision {
        Decision::Send { terms } => Some(terms),
        Decision::Review { terms, .. } => terms.as_ref(),
        Decision::Block { .. } => None,
    }
}

fn terms_are_as_strict(after: &Terms, before: &Terms) -> bool {
    after.expiry_seconds <= before.expiry_seconds
        && after.opens <= before.opens
        && after.channels.is_subset(&before.channels)
        && after.challenges.is_superset(&before.challenges)
        && after.release.by >= before.release.by
        && after.release.hold_seconds >= before.release.hold_seconds
        && after.release.auto_release_seconds >= before.release.auto_release_seconds
        && after.release.backstop >= before.release.backstop
        && after.wording >= before.wording
}

/// The ids of the profiles that matched, and of those among them with `over`.
fn matched(rules: &RuleSet, decided: &Decided) -> (BTreeSet<String>, BTreeSet<String>) {
    let matched: BTreeSet<String> = decided
        .trace
        .rows
        .iter()
        .filter(|profile| !matches!(profile.outcome, Outcome::NotMatched { .. }))
        .map(|profile| profile.id.clone())
        .collect();
    let replacing = rules.profiles().iter().filter(|profile| !profile.over.is_empty() && matched.contains(&profile.id));
    let replacing = replacing.map(|profile| profile.id.clone()).collect();
    (matched, replacing)
}

proptest! {
    #![proptest_config(cases(CASES))]

    #[test]
    fn the_order_of_rows_and_codes_never_matters(
        (rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        (facts, codes) in facts().prop_flat_map(|facts| (Just(facts.clone()), Just(facts.codes).prop_shuffle())),
    ) {
        let (one, other) = (rules(&rows.concat()), rules(&shuffled.concat()));
        let shuffled_facts = Facts { codes, ..facts.clone() };
        prop_assert_eq!(one.rules_hash(), other.rules_hash());
        prop_assert_eq!(decide(&one, &facts, AT), decide(&other, &shuffled_facts, AT));
    }

    #[test]
    fn more_evidence_never_loosens_unless_a_row_with_over_newly_matches(
        rows in rows(),
        facts in facts(),
        code in select(FACT_CODES.to_vec()),
        category in proptest::option::of(select(FACT_CATEGORIES.to_vec())),
    ) {
        let rules = rules(&rows.concat());
        let mut more = facts.clone();
        more.codes.push(coding(code));
        more.categories.extend(category.map(coding));
        let (before, after) = (decide(&rules, &facts, AT), decide(&rules, &more, AT));
        let ((matched_before, replacing_before), (matched_after, replacing_after)) =
            (matched(&rules, &before), matched(&rules, &after));
        prop_assert!(matched_before.is_subset(&matched_after));
        if !matched_before.is_empty() && replacing_before == replacing_after {
            prop_assert!(is_as_strict(&after.decision, &before.decision), "{:?}\n{:?}", before, after);
        }
    }

    #[test]
    fn one_more_row_without_over_never_loosens(rows in rows(), facts in facts(), then in then()) {
        let before = rules(&rows.concat());
        let row = profile("extra", "", "category = \"LAB\"", &then);
        let after = rules(&format!("{}{row}", rows.concat()));
        let (before, after) = (decide(&before, &facts, AT), decide(&after, &facts, AT));
        if !before.trace.columns.is_empty() {
            prop_assert!(is_as_strict(&after.decision, &before.decision));
        }
    }

    #[test]
    fn nothing_that_matches_means_review_and_something_that_matches_is_in_force(rows in rows(), facts in facts()) {
        let rules = rules(&rows.concat());
        let decided = decide(&rules, &facts, AT);
        let none_matched = matched(&rules, &decided).0.is_empty();
        let is_no_rule = matches!(decided.decision, Decision::Review { why: crate::policy::ReviewReason::NoRule, .. });
        prop_assert_eq!(none_matched, is_no_rule);
        if let Some(terms) = terms_of(&decided.decision) {
            prop_assert!(!terms.channels.is_empty());
        }
    }

    #[test]
    fn joining_is_a_semilattice(a in columns(), b in columns(), c in columns()) {
        prop_assert_eq!(a.join(&a), a);
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
    }

    #[test]
    fn one_mistyped_or_swapped_digit_of_a_loinc_code_is_found(number in 10_u32..10_000_000, at in 0_usize..7, add in 1_u32..10) {
        let valid = (0..10).map(|check| format!("{number}-{check}")).find(|code| loinc_form(code) == LoincForm::Valid).unwrap();
        let mut digits: Vec<char> = valid.chars().collect();
        let at = at % (digits.len() - 2);
        digits[at] = char::from_digit((digits[at].to_digit(10).unwrap() + add) % 10, 10).unwrap();
        let mistyped: String = digits.into_iter().collect();
        prop_assert_ne!(loinc_form(&mistyped), LoincForm::Valid);
    }

    #[test]
    fn any_text_is_read_or_refused_without_panic(noise in "[\\[\\]{}=\"',.#a-z0-9|\\n -]{0,200}", body in rows()) {
        let mut text = format!("{HEADER}{}", body.concat());
        let at = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(at, &noise);
        if let Err(errors) = RuleSet::parse(&text) {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.0.iter().all(|fault| fault.line >= 1 && !fault.remedy.is_empty()));
        }
    }
}
