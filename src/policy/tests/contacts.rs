//! What the rules may ask of the address.

use super::*;
use crate::base::hours;
use crate::policy::case_text::as_test;
use crate::policy::cases;
use crate::policy::contact::{ContactStanding, ContactState, as_fact, is_less_sure};
use crate::policy::decision::{Decision, ReviewReason};
use crate::policy::facts::{Gathered, Lack};
use crate::policy::facts_file;

const CBC: &str = "http://loinc.org|58410-2";

fn with(contact: Gathered<ContactStanding>) -> Facts {
    Facts { contact, ..report(&[CBC], &[]) }
}

fn is(state: ContactState, days_ago: u64) -> Gathered<ContactStanding> {
    as_fact(Some(ContactStanding { state, since: NOW.minus(hours(24 * days_ago)) }))
}

fn sends(when: &str, contact: &Gathered<ContactStanding>) -> bool {
    let body = profile("p", "", &format!("code = \"loinc|58410-2\", {when}"), "action = \"send\"");
    matches!(decided(&body, &with(contact.clone())).decision, Decision::Send { .. })
}

#[test]
fn a_state_is_named_by_its_word_and_by_that_of_its_kind() {
    let unknown = as_fact(None);
    for (words, holds_for, not_for) in [
        ("\"unknown\"", vec![unknown.clone()], vec![is(ContactState::Bounced, 0)]),
        (
            "\"confirmed\"",
            vec![is(ContactState::ConfirmedByPatient, 0), is(ContactState::ConfirmedByStaff, 900)],
            vec![unknown.clone(), is(ContactState::Disputed, 0)],
        ),
        (
            "\"confirmed_by_patient\"",
            vec![is(ContactState::ConfirmedByPatient, 0)],
            vec![is(ContactState::ConfirmedByStaff, 0)],
        ),
        (
            "[\"bounced\", \"disputed\"]",
            vec![is(ContactState::Disputed, 0), is(ContactState::Bounced, 0)],
            vec![unknown],
        ),
    ] {
        let when = format!("contact = {words}");
        assert!(holds_for.iter().all(|contact| sends(&when, contact)), "{words}");
        assert!(!not_for.iter().any(|contact| sends(&when, contact)), "{words}");
    }
}

#[test]
fn a_confirmation_counts_for_as_long_as_the_rule_says() {
    let confirmed = |days| is(ContactState::ConfirmedByStaff, days);
    for (days, is_recent) in [(0, true), (400, true), (401, false)] {
        assert_eq!(sends("contact_confirmed_within = \"400d\"", &confirmed(days)), is_recent, "{days}");
        assert_eq!(sends("contact_not_confirmed_within = \"400d\"", &confirmed(days)), !is_recent, "{days}");
    }
    for never in [as_fact(None), is(ContactState::Bounced, 1), is(ContactState::Disputed, 1)] {
        assert!(!sends("contact_confirmed_within = \"400d\"", &never));
        assert!(sends("contact_not_confirmed_within = \"400d\"", &never));
    }
}

#[test]
fn what_could_not_be_looked_up_is_a_review_that_names_it_and_never_a_send() {
    let lacking = Gathered::lacking(Lack::TimedOut);
    for (condition, fact) in [
        ("contact = \"unknown\"", "contact"),
        ("contact_confirmed_within = \"400d\"", "contact_confirmed_within"),
        ("contact_not_confirmed_within = \"400d\"", "contact_not_confirmed_within"),
    ] {
        let named = |decision: &Decision| match decision {
            Decision::Review { why: ReviewReason::Unknown { fact, .. }, .. } => fact.clone(),
            Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. } => String::new(),
        };
        let routine = profile("routine", "", "code = \"loinc|58410-2\"", "action = \"send\"");
        let restrict = format!("[[restrict]]\nid = \"r\"\nwhen = {{ {condition} }}\nthen = {{ opens = 1 }}\n");
        let decision = decided(&format!("{routine}{restrict}"), &with(lacking.clone())).decision;
        assert_eq!(named(&decision), fact, "{condition}");
        let alone = profile("p", "", &format!("code = \"loinc|58410-2\", {condition}"), "action = \"send\"");
        assert_eq!(named(&decided(&alone, &with(lacking.clone())).decision), fact, "{condition}");
    }
}

#[test]
fn a_wrong_word_or_span_is_refused_with_what_would_be_right() {
    for (condition, says) in [
        ("contact = \"certain\"", "confirmed_by_staff"),
        ("contact_confirmed_within = \"a year\"", "72h"),
        ("contact_confirmed_within = 400", "72h"),
    ] {
        let body = profile("p", "", &format!("code = \"loinc|58410-2\", {condition}"), "action = \"send\"");
        let errors = RuleSet::parse(&format!("{HEADER}{body}")).unwrap_err().to_string();
        assert!(errors.contains(says), "{errors}");
    }
}

const TESTED: &str = r#"
[[profile]]
id = "p"
when = { code = "loinc|58410-2", contact_confirmed_within = "400d" }
then = { action = "send" }
[[test]]
name = "just confirmed"
facts = { code = "loinc|58410-2", contact = "confirmed_by_staff" }
expect = { action = "send" }
[[test]]
name = "confirmed long ago"
facts = { code = "loinc|58410-2", contact = "confirmed_by_staff", contact_since = 2024-11-20T16:00:00 }
expect = { action = "manual_review" }
[[test]]
name = "not mentioned is unknown"
facts = { code = "loinc|58410-2" }
expect = { action = "manual_review" }
[[test]]
name = "not looked up"
facts = { code = "loinc|58410-2", unknown = "contact" }
expect = { action = "manual_review" }
"#;

#[test]
fn tests_of_a_file_and_facts_files_can_say_it() {
    let rules = rules(TESTED);
    for ran in cases::run_all(&rules) {
        assert!(ran.misses.is_empty(), "{}: {:?}", ran.name, ran.misses);
    }
    let text = r#"{"codes": ["loinc|58410-2"], "contact": [{"state": "confirmed_by_staff", "since": "2026-11-01T00:00:00Z"}]}"#;
    let facts = facts_file::read(text, &rules).unwrap();
    assert!(facts.contact.values().any(|standing| standing.state == ContactState::ConfirmedByStaff));
    let stored = serde_json::to_string(&facts).unwrap();
    assert_eq!(facts_file::read(&stored, &rules).unwrap(), facts);
    assert!(facts_file::read("{}", &rules).unwrap().contact.is_whole(), "what is not mentioned is known to be unknown");
    let stray = TESTED.replace("contact = \"confirmed_by_staff\", contact_since", "contact_since");
    assert!(RuleSet::parse(&format!("{HEADER}{stray}")).unwrap_err().to_string().contains("says nothing without"));
}

/// The tests of a rules file are part of its hash: those that say nothing of the address hash as they always did.
#[test]
fn a_file_that_does_not_speak_of_the_address_keeps_its_hash() {
    let rules = rules(
        "[[test]]\nname = \"t\"\nfacts = { code = \"loinc|58410-2\" }\nexpect = { action = \"manual_review\" }\n",
    );
    assert!(!serde_json::to_string(rules.content()).unwrap().contains("contact"));
    let before = serde_json::to_string(&report(&[CBC], &[])).unwrap();
    assert!(!before.contains("contact"));
    let again: Facts = serde_json::from_str(&before).unwrap();
    assert_eq!(again.contact, Gathered::lacking(Lack::NotAsked));
}

#[test]
fn a_test_made_of_facts_says_that_the_address_could_not_be_looked_up() {
    let asking = rules(TESTED);
    let facts = with(Gathered::lacking(Lack::TimedOut));
    let test = as_test(&asking, &facts, "made so");
    assert!(test.contains("\"contact\""), "{test}");
    let made =
        cases::run_all(&rules(&format!("{TESTED}{test}\n"))).into_iter().find(|ran| ran.name == "made so").unwrap();
    assert!(made.misses.is_empty(), "{test}\n{made:?}");
    let silent = rules(&profile("p", "", "code = \"loinc|58410-2\"", "action = \"send\""));
    assert!(!as_test(&silent, &facts, "made so").contains("contact"));
}

#[test]
fn only_the_end_of_a_confirmation_is_less_than_what_was_decided_about() {
    let standing = |state| Some(ContactStanding { state, since: NOW });
    let confirmed = is(ContactState::ConfirmedByStaff, 3);
    assert!(is_less_sure(&confirmed, None) && is_less_sure(&confirmed, standing(ContactState::Bounced)));
    assert!(!is_less_sure(&confirmed, standing(ContactState::ConfirmedByPatient)));
    assert!(!is_less_sure(&as_fact(None), standing(ContactState::ConfirmedByStaff)));
    assert!(!is_less_sure(&Gathered::lacking(Lack::NotAsked), None));
}
