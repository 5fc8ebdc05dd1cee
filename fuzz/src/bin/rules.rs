//! Rules files. For every text: reading ends, with rules or with faults that have a place and a remedy; sound rules are
//! the same rules when read again or with a remark more. Whatever they say, twenty reports are decided about without
//! panic, twice alike, the short way and with reasons; what was taken back or is not finished is not sent, and terms stay
//! within the bounds.

#![no_main]

use std::sync::LazyLock;

use chartseal::base::{ClinicId, ResourceType, UtcMillis, hours};
use chartseal::policy::cases::action_of;
use chartseal::policy::facts::{Age, FactPath, Flag, Gathered, Lack};
use chartseal::policy::judge::Verdict;
use chartseal::policy::rules::FAULTS_MAX;
use chartseal::policy::text::Text;
use chartseal::policy::vocabulary::Action;
use chartseal::policy::{
    Coding, Decision, Facts, Moment, RecipientRole, ReportStatus, RuleSet, cases, decide, decide_for_the_record,
};
use libfuzzer_sys::fuzz_target;

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
const AT: Moment = Moment::utc(NOW);
const LOINC: &str = "http://loinc.org";
const V2_0074: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";

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

/// Every status of either kind, then reports that hold more, and of which less is known.
static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(|| {
    let statuses = SENDABLE.iter().chain(&WAITING);
    let bare = statuses.flat_map(|status| ResourceType::ALL.map(|kind| plain(kind, *status)));
    bare.chain([full(RecipientRole::Patient), full(RecipientRole::Proxy)]).collect()
});

fn plain(kind: ResourceType, status: ReportStatus) -> Facts {
    Facts {
        clinic: ClinicId::parse("main").ok(),
        codes: vec![coding(LOINC, "4548-4"), Coding { system: None, code: "X".to_owned() }],
        categories: vec![coding(V2_0074, "LAB")],
        issued: Some(NOW),
        ..Facts::bare(kind, status)
    }
}

fn full(recipient: RecipientRole) -> Facts {
    let found = |coding: Coding| {
        let mut found = Gathered::none();
        found.add(coding, FactPath("here".to_owned()));
        found
    };
    let word = |word: &str| {
        let mut found = Gathered::none();
        found.add(word.to_owned(), FactPath("here".to_owned()));
        found
    };
    let act = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    Facts {
        recipient,
        issued: Some(NOW.minus(hours(24))),
        results: found(coding("urn:oid:2.16.840.1.113883.6.1", "56888-1")),
        labels: found(coding(act, "HIV")),
        orders: found(coding(LOINC, "58410-2")),
        reasons: found(coding("http://hl7.org/fhir/sid/icd-10-cm", "C50.912")),
        performers: word("Organization/lab-7"),
        specialties: found(coding("http://snomed.info/sct", "394582007")),
        encounters: found(coding(act, "VR")),
        consents: word("occ"),
        preferences: word("phone_first"),
        critical: Flag::Yes,
        age: Age::Years { least: 15, most: 15 },
        ..plain(ResourceType::DiagnosticReport, ReportStatus::Final)
    }
}

fn coding(system: &str, code: &str) -> Coding {
    Coding { system: Some(system.to_owned()), code: code.to_owned() }
}

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
    let _ = cases::run_all(&rules);
    let at = FactPath("text".to_owned());
    let said = ["HIV Ag/Ab combo", text].map(|text| Text { at: &at, language: None, text });
    for (no, facts) in FACTS.iter().enumerate() {
        let lacking = if no % 2 == 0 { [].into() } else { [Lack::TimedOut].into() };
        let facts = Facts { text: rules.patterns().read(said, lacking), ..facts.clone() };
        judge(&rules, &facts);
    }
});

fn judge(rules: &RuleSet, facts: &Facts) {
    let decided = decide(rules, facts, AT);
    assert!(decided == decide(rules, facts, AT) && decided.rules_hash == rules.rules_hash());
    let record = decide_for_the_record(rules, facts, AT);
    assert!(record.decision == decided.decision && record.schedule == decided.schedule);
    assert!(record.trace == decided.trace.clone().for_the_record());
    if decided.schedule.is_some() {
        let action = match rules.judge(&rules.ready(facts), NOW).verdict {
            Verdict::Send => Action::Send,
            Verdict::NoRule | Verdict::RuleAsks | Verdict::NoCommonChannel | Verdict::Unknown(_) => {
                Action::ManualReview
            }
            Verdict::Block | Verdict::BlockedByDefault => Action::Block,
        };
        assert_eq!(action, action_of(&decided.decision));
    }
    let limits = rules.limits();
    match decided.decision {
        Decision::Send { terms } => {
            assert!(!WAITING.contains(&facts.status), "{:?} was sent", facts.status);
            assert!((limits.expiry_min_seconds..=limits.expiry_max_seconds).contains(&terms.expiry_seconds));
            assert!(terms.opens.0.get() <= limits.opens_max && !terms.channels.is_empty());
        }
        Decision::Review { .. } | Decision::Block { .. } => {}
    }
}
