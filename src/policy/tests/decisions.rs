//! Single decisions, gates and traces.

use std::collections::BTreeSet;

use super::*;
use crate::base::hours;
use crate::policy::decision::{
    Challenge, Channel, CodeElse, Decision, HoldBasis, Release, ReviewReason, Terms, Wording,
};
use crate::policy::{Available, age_gate};

const CBC: &str = "http://loinc.org|58410-2";
const LAB: &str = "http://terminology.hl7.org/CodeSystem/v2-0074|LAB";

fn routine(then: &str) -> String {
    profile("routine", "", "code = [\"loinc|58410-2\"]", then)
}

fn sent(decision: Decision) -> Terms {
    match decision {
        Decision::Send { terms } => terms,
        Decision::Review { .. } | Decision::Block { .. } => panic!("not sent: {decision:?}"),
    }
}

fn is_no_rule(decision: &Decision) -> bool {
    matches!(decision, Decision::Review { why: ReviewReason::NoRule, terms: None })
}

#[test]
fn no_rule_means_review() {
    assert!(is_no_rule(&decided("", &report(&[CBC], &[LAB])).decision));
    assert!(is_no_rule(&decided(&routine("action = \"send\""), &report(&["http://loinc.org|3016-3"], &[])).decision));
}

#[test]
fn what_a_rule_leaves_open_has_a_default() {
    let terms = sent(decided(&routine("action = \"send\""), &report(&[CBC], &[])).decision);
    let expected = Terms {
        expiry_seconds: 72 * 3600,
        opens: crate::policy::Opens(3.try_into().unwrap()),
        channels: BTreeSet::from([Channel::Email]),
        challenges: BTreeSet::new(),
        release: Release::at_once(),
        wording: Wording::Bare,
        ..Terms::by_hand()
    };
    assert_eq!(terms, expected);
}

#[test]
fn defaults_keep_within_the_limits_of_the_file() {
    let body = format!("[limits]\nexpiry = {{ max = \"48h\" }}\nopens_max = 2\n{}", routine("action = \"send\""));
    let terms = sent(decided(&body, &report(&[CBC], &[])).decision);
    assert_eq!((terms.expiry_seconds, terms.opens.0.get()), (48 * 3600, 2));
}

#[test]
fn two_rules_that_match_give_the_strictest_of_each_column() {
    let one = "action = \"send\", expiry = \"24h\", opens = 9, channel = [\"email\", \"sms\"], verify = \"code\", \
               hold = \"12h\", basis = \"law\", wording = \"full\"";
    let two = "action = \"send\", expiry = \"7d\", opens = 2, channel = \"sms\", verify = \"question\", \
               hold = \"6h\", wording = \"generic\"";
    let body = routine(one) + profile("lab", "", "category = \"LAB\"", two).as_str();
    let terms = sent(decided(&body, &report(&[CBC], &[LAB])).decision);
    assert_eq!((terms.expiry_seconds, terms.opens.0.get()), (24 * 3600, 2));
    assert_eq!(terms.channels, BTreeSet::from([Channel::Sms]));
    assert_eq!(terms.challenges, BTreeSet::from([Challenge::Question, Challenge::Code]));
    assert_eq!(terms.release, Release::after(12 * 3600, HoldBasis::Law));
    assert_eq!(terms.wording, Wording::Generic);
}

#[test]
fn manual_release_review_and_block_win_in_this_order() {
    let lab = |then: &str| {
        routine("action = \"send\", hold = \"72h\"") + profile("lab", "", "category = \"LAB\"", then).as_str()
    };
    let facts = report(&[CBC], &[LAB]);
    let terms = sent(decided(&lab("action = \"send\", release = \"manual\""), &facts).decision);
    // The hold of the other rule stays, below the back-stop.
    assert_eq!(terms.release, Release { hold_seconds: 72 * 3600, ..Release::by_a_person() });
    let review = decided(&lab("action = \"manual_review\""), &facts).decision;
    assert!(
        matches!(&review, Decision::Review { why: ReviewReason::RuleAsks { rule }, terms: Some(_) } if rule == "lab")
    );
    let block = decided(&lab("action = \"block\""), &facts).decision;
    assert_eq!(block, Decision::Block { rule: "lab".into() });
}

#[test]
fn rules_without_a_common_channel_go_to_review_and_say_which() {
    let body = routine("action = \"send\", channel = \"email\"")
        + profile("lab", "", "category = \"LAB\"", "action = \"send\", channel = \"sms\"").as_str();
    let decision = decided(&body, &report(&[CBC], &[LAB])).decision;
    let Decision::Review { why, terms: Some(terms) } = decision else { panic!("{decision:?}") };
    assert_eq!(why, ReviewReason::NoCommonChannel { rules: "lab, routine".into() });
    assert!(terms.channels.is_empty());
}

#[test]
fn over_replaces_a_rule_only_where_its_own_matches() {
    let body = routine("action = \"send\", opens = 3")
        + profile(
            "derm",
            "\"routine\"",
            "clinic = \"derm\", code = \"loinc|58410-2\"",
            "action = \"send\", opens = 20",
        )
        .as_str();
    let mut facts = report(&[CBC], &[]);
    assert_eq!(sent(decided(&body, &facts).decision).opens.0.get(), 3);
    facts.clinic = Some(ClinicId::parse("derm").unwrap());
    assert_eq!(sent(decided(&body, &facts).decision).opens.0.get(), 20);
}

#[test]
fn over_is_not_undone_when_the_replacing_rule_is_replaced_too() {
    let body = routine("action = \"send\", opens = 3")
        + profile("b", "\"routine\"", "category = \"LAB\"", "action = \"send\", opens = 9").as_str()
        + profile("c", "\"b\"", "category = \"LAB\"", "action = \"send\", opens = 12").as_str();
    assert_eq!(sent(decided(&body, &report(&[CBC], &[LAB])).decision).opens.0.get(), 12);
}

#[test]
fn a_code_is_the_same_under_every_spelling_of_its_system() {
    let body = profile("a", "", "category = \"LAB\", code = \"loinc|58410-2\"", "action = \"send\"");
    for system in ["http://loinc.org", "urn:oid:2.16.840.1.113883.6.1"] {
        for table in ["http://terminology.hl7.org/CodeSystem/v2-0074", "http://hl7.org/fhir/v2/0074"] {
            let facts = report(&[&format!("{system}|58410-2")], &[&format!("{table}|LAB")]);
            sent(decided(&body, &facts).decision);
        }
    }
}

#[test]
fn a_code_without_its_system_matches_nothing() {
    let body = routine("action = \"send\"");
    for code in [
        "58410-2",
        "|58410-2",
        "urn:oid:2.16.840.1.113883.6.238|58410-2",
        "http://loinc.org|58410",
        "http://loinc.org|58410-2 ",
    ] {
        assert!(is_no_rule(&decided(&body, &report(&[code], &[])).decision), "{code}");
    }
    let body = profile("a", "", "category = \"LAB\"", "action = \"send\"");
    assert!(is_no_rule(&decided(&body, &report(&[CBC], &["LAB"])).decision));
}

#[test]
fn type_is_of_documents_and_code_of_both() {
    let by_type = profile("a", "", "type = \"loinc|11506-3\"", "action = \"send\"");
    let by_code = profile("a", "", "code = \"loinc|11506-3\"", "action = \"send\"");
    let mut facts = report(&["http://loinc.org|11506-3"], &[]);
    assert!(is_no_rule(&decided(&by_type, &facts).decision));
    sent(decided(&by_code, &facts).decision);
    facts.kind = ResourceType::DocumentReference;
    sent(decided(&by_type, &facts).decision);
    sent(decided(&by_code, &facts).decision);
}

#[test]
fn all_named_conditions_must_hold() {
    let when = "recipient = \"patient\", clinic = [\"main\", \"east\"], resource = \"DiagnosticReport\", \
                category = [\"LAB\", \"CH\"], code = \"loinc|58410-2\"";
    let body = profile("a", "", when, "action = \"send\"");
    sent(decided(&body, &report(&[CBC], &[LAB])).decision);
    let mut elsewhere = report(&[CBC], &[LAB]);
    elsewhere.clinic = Some(ClinicId::parse("west").unwrap());
    let mut document = report(&[CBC], &[LAB]);
    document.kind = ResourceType::DocumentReference;
    for facts in [elsewhere, document, report(&[], &[LAB]), report(&[CBC], &[])] {
        assert!(is_no_rule(&decided(&body, &facts).decision));
    }
}

#[test]
fn only_a_finished_report_reaches_the_rules() {
    let body = routine("action = \"send\"");
    let with = |status| decided(&body, &Facts { status, ..report(&[CBC], &[]) }).decision;
    for status in [ReportStatus::Final, ReportStatus::Amended, ReportStatus::Corrected, ReportStatus::Appended] {
        sent(with(status));
    }
    for status in
        [ReportStatus::Unfinished, ReportStatus::Superseded, ReportStatus::Cancelled, ReportStatus::EnteredInError]
    {
        assert_eq!(with(status), Decision::Block { rule: "status".into() });
    }
    assert_eq!(with(ReportStatus::Unknown), Decision::Review { why: ReviewReason::UnknownStatus, terms: None });
}

#[test]
fn old_and_undated_reports_do_not_pass_the_age_gate() {
    let day = hours(24);
    assert_eq!(age_gate(Some(NOW.minus(day)), day, NOW), Ok(()));
    assert_eq!(age_gate(Some(NOW.minus(day).minus(crate::base::millis(1))), day, NOW), Err(ReviewReason::TooOld));
    assert_eq!(age_gate(None, day, NOW), Err(ReviewReason::AgeUnknown));
    assert_eq!(age_gate(Some(NOW.plus(day)), day, NOW), Ok(()));
}

#[test]
fn what_is_not_offered_is_reviewed_and_never_sent_without_it() {
    let then = "action = \"send\", channel = [\"email\", \"sms\"], verify = \"code\"";
    let decision = decided(&routine(then), &report(&[CBC], &[])).decision;
    let email = BTreeSet::from([Channel::Email]);
    let code = BTreeSet::from([Challenge::Code]);

    let offers =
        |channels, challenges| Available { channels, challenges, ways_out: BTreeSet::new(), told: BTreeSet::new() };
    let kept = decision.clone().within(&offers(email.clone(), code.clone()));
    assert_eq!(sent(kept).channels, email);
    for (channels, challenges) in
        [(email, BTreeSet::new()), (BTreeSet::new(), code), (BTreeSet::new(), BTreeSet::new())]
    {
        let review = decision.clone().within(&offers(channels, challenges));
        let Decision::Review { why: ReviewReason::NotAvailable { .. }, terms: Some(terms) } = review else {
            panic!("{review:?}")
        };
        assert_eq!(terms, sent(decision.clone()));
    }
}

#[test]
fn a_code_that_cannot_come_another_way_goes_the_way_that_the_rules_name() {
    let channels = BTreeSet::from([Channel::Email]);
    let ways_out = BTreeSet::from([CodeElse::Staff, CodeElse::Slip, CodeElse::Pickup]);
    let available =
        Available { channels, challenges: BTreeSet::from([Challenge::Code]), ways_out, told: BTreeSet::new() };
    let both = Available { channels: BTreeSet::from([Channel::Email, Channel::Sms]), ..available.clone() };
    for (more, sends, with_sms) in [
        ("", true, true),
        (", code_via = \"other\"", false, true),
        (", code_via = \"other\", code_else = \"staff\"", true, true),
        (", code_via = \"other\", code_else = \"slip\"", true, true),
        (", code_via = \"other\", code_else = \"pickup\"", false, true),
    ] {
        let then = format!("action = \"send\", channel = [\"email\", \"sms\"], verify = \"code\"{more}");
        let decision = decided(&routine(&then), &report(&[CBC], &[])).decision;
        for (available, expected) in [(&available, sends), (&both, with_sms)] {
            let is_sent = matches!(decision.clone().within(available), Decision::Send { .. });
            assert_eq!(is_sent, expected, "{more} {available:?}");
        }
    }
}

#[test]
fn no_other_row_names_a_way_out_for_one_that_named_none() {
    let silent = "action = \"send\", verify = \"code\", code_via = \"other\"";
    let named = "[[restrict]]\nid = \"b\"\nwhen = { code = \"loinc|58410-2\" }\n\
                 then = { code_via = \"other\", code_else = \"staff\" }\n";
    let of = |then: &str| decided(&format!("{}{named}", routine(then)), &report(&[CBC], &[])).decision;
    assert_eq!(sent(of(silent)).code_else, CodeElse::Review);
    assert_eq!(sent(of("action = \"send\", verify = \"code\"")).code_else, CodeElse::Staff);
}

#[test]
fn the_trace_says_who_set_what_and_survives_its_record() {
    let body = routine("action = \"send\"")
        + profile("lab", "", "category = \"LAB\"", "action = \"send\", expiry = \"24h\"").as_str()
        + profile("older", "", "category = \"LAB\"", "action = \"send\"").as_str()
        + profile("newer", "\"older\"", "category = \"LAB\"", "action = \"send\", opens = 1").as_str()
        + profile("tsh", "", "category = \"LAB\", code = \"loinc|3016-3\"", "action = \"block\"").as_str();
    let decided = decided(&body, &report(&[CBC], &[LAB]));
    let expected = "\
rule 'lab' matches: category at category
rule 'newer' matches: category at category
rule 'older' matches, but is replaced by newer
rule 'routine' matches: code at code
action: send from lab, newer, routine
expiry: 24 h from lab; newer asked 72 h; routine asked 72 h
opens: 1 from newer; lab asked 3; routine asked 3
channel: email from lab, newer, routine
release: auto from lab, newer, routine
hold: none from lab, newer, routine
leaves: at once
did not match, with the first condition that failed: tsh (code)
";
    assert_eq!(decided.trace.to_string(), expected);
    let record = serde_json::to_string(&(&decided.trace, &decided.decision)).unwrap();
    assert_eq!(
        serde_json::from_str::<(crate::policy::Trace, Decision)>(&record).unwrap(),
        (decided.trace, decided.decision)
    );
}

#[test]
fn the_hash_pins_the_content_and_not_its_looks() {
    let one = routine("action = \"send\"");
    let two = profile("lab", "", "category = [\"LAB\", \"CH\"]", "action = \"send\", expiry = \"72h\"");
    let base = rules(&format!("{one}{two}"));
    let moved = rules(&format!("# moved\n{}{one}", two.replace("\"LAB\", \"CH\"", "\"CH\",   \"LAB\", \"LAB\"")));
    assert_eq!(base.rules_hash(), moved.rules_hash());
    assert_eq!(base.rules_hash_hex().len(), 64);
    for changed in [two.replace("72h", "71h"), two.replace("CH", "HM"), two.replace("\"lab\"", "\"labs\"")] {
        assert_ne!(rules(&format!("{one}{changed}")).rules_hash(), base.rules_hash());
    }
    assert_ne!(rules(&format!("timezone = \"Europe/Warsaw\"\n{one}{two}")).rules_hash(), base.rules_hash());
}

#[test]
fn ten_thousand_codes_in_one_report_are_decided_quickly() {
    let mut body = String::new();
    for row in 0..500 {
        let codes: Vec<_> = (0..20).map(|n| format!("\"http://local.example/codes|{row}-{n}\"")).collect();
        body += &profile(&format!("p{row}"), "", &format!("code = [{}]", codes.join(", ")), "action = \"send\"");
    }
    let rules = rules(&body);
    let mut facts = report(&[], &[]);
    facts.codes = (0..10_000).map(|n| coding(&format!("http://other.example|{n}"))).collect();
    let before = processor_time();
    assert!(is_no_rule(&decide(&rules, &facts, AT).decision));
    let taken = processor_time().saturating_sub(before);
    assert!(taken < Duration::from_secs(2), "{taken:?}");
}
