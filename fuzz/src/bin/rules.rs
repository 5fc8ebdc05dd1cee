//! Rules files. For every text: reading ends, with rules or with faults that have a place and a remedy; sound rules are
//! the same rules when read again or with a remark more, and whatever they say, what was taken back or is not finished is
//! not sent, and terms stay within the bounds.

#![no_main]

use std::sync::LazyLock;

use chartseal::base::{ClinicId, ResourceType, UtcMillis};
use chartseal::policy::rules::FAULTS_MAX;
use chartseal::policy::{Coding, Decision, Facts, RecipientRole, ReportStatus, RuleSet, decide};
use libfuzzer_sys::fuzz_target;

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);

/// Statuses whose reports rules may send.
const SENDABLE: [ReportStatus; 4] =
    [ReportStatus::Final, ReportStatus::Amended, ReportStatus::Corrected, ReportStatus::Appended];
/// Statuses whose reports nothing may send.
const WAITING: [ReportStatus; 5] = [
    ReportStatus::Unfinished,
    ReportStatus::Superseded,
    ReportStatus::Cancelled,
    ReportStatus::EnteredInError,
    ReportStatus::Unknown,
];

static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(|| {
    let coding = |system: &str, code: &str| Coding { system: Some(system.to_owned()), code: code.to_owned() };
    let statuses = SENDABLE.iter().chain(&WAITING);
    statuses
        .flat_map(|status| ResourceType::ALL.map(|kind| (*status, kind)))
        .map(|(status, kind)| Facts {
            recipient: RecipientRole::Patient,
            clinic: ClinicId::parse("main").ok(),
            kind,
            status,
            codes: vec![coding("http://loinc.org", "4548-4"), Coding { system: None, code: "X".to_owned() }],
            categories: vec![coding("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB")],
            issued: Some(NOW),
            ..Facts::bare(kind, status)
        })
        .collect()
});

fuzz_target!(|text: &str| {
    let rules = match RuleSet::parse(text) {
        Ok(rules) => rules,
        Err(faults) => {
            assert!((1..=FAULTS_MAX).contains(&faults.0.len()), "{} faults", faults.0.len());
            for fault in &faults.0 {
                assert!(fault.line >= 1 && fault.column >= 1 && !fault.what.is_empty() && !fault.remedy.is_empty());
            }
            assert!(!faults.to_string().is_empty());
            return;
        }
    };
    // A byte order mark may stand at the very beginning alone.
    let remarked = format!("# a remark\n{}\n# another\n", text.strip_prefix('\u{feff}').unwrap_or(text));
    for again in [text, &remarked] {
        let again = RuleSet::parse(again).unwrap_or_else(|faults| panic!("sound rules are not sound again: {faults}"));
        assert!(again == rules && again.rules_hash() == rules.rules_hash());
    }
    let limits = rules.limits();
    for facts in FACTS.iter() {
        let decided = decide(&rules, facts, NOW);
        assert!(decided == decide(&rules, facts, NOW) && decided.rules_hash == rules.rules_hash());
        match decided.decision {
            Decision::Send { terms } => {
                assert!(!WAITING.contains(&facts.status), "{:?} was sent", facts.status);
                assert!((limits.expiry_min_seconds..=limits.expiry_max_seconds).contains(&terms.expiry_seconds));
                assert!(terms.opens.0.get() <= limits.opens_max && !terms.channels.is_empty());
            }
            Decision::Review { .. } | Decision::Block { .. } => {}
        }
    }
});
