//! What a reading means for what is on its way: the whole table, and the state that a delivery begins in.

use std::fmt::Write as _;

use super::plan::{Before, Decided, File, Now, Plan, first_state, may_leave, object, plan, second_thought};
use crate::base::{DeliveryId, OperatorName, ResourceType, UtcMillis, hours};
use crate::fhir::ContentBasis;
use crate::policy::{Decision, Facts, HoldBasis, RecipientRole, Release, ReportStatus, ReviewReason, Terms};
use crate::record::{HoldEnd, Link, LiveUntil, RevokedBy, SuspendedWhy};

const NOW: UtcMillis = UtcMillis(1_800_000_000_000);
const STATUSES: [ReportStatus; 9] = [
    ReportStatus::Unfinished,
    ReportStatus::Final,
    ReportStatus::Amended,
    ReportStatus::Corrected,
    ReportStatus::Appended,
    ReportStatus::Superseded,
    ReportStatus::Cancelled,
    ReportStatus::EnteredInError,
    ReportStatus::Unknown,
];

fn latest() -> Vec<Option<Link>> {
    let operator = RevokedBy::Operator(OperatorName::parse("Eve").unwrap());
    vec![
        None,
        Some(Link::Review { why: ReviewReason::NoRule }),
        Some(Link::Live { until: LiveUntil::At(NOW) }),
        Some(Link::Suspended { why: SuspendedWhy::Gone, until: LiveUntil::At(NOW) }),
        Some(Link::Spent),
        Some(Link::Revoked { by: operator }),
        Some(Link::Revoked { by: RevokedBy::Cancelled }),
        Some(Link::Recalled),
        Some(Link::Superseded { by: DeliveryId::parse("AAAAAAAAAAAAAAAA").unwrap() }),
    ]
}

fn planned(status: ReportStatus, latest: Option<&Link>, content: [u8; 32], subject: [u8; 32]) -> Plan {
    let known = latest.map(|_| [1; 32]);
    let newest = latest.map(|latest| (latest, [1; 32]));
    let before = Before {
        content_hash: known,
        subject_index: known,
        status: Some(status),
        file: File::NotCompared,
        newest,
        standing: latest,
    };
    plan(
        &before,
        &Now { status, content_hash: content, content_basis: ContentBasis::Bytes, subject_index: Some(subject) },
    )
}

#[test]
fn the_whole_plan_is_as_written() {
    let mut table = String::new();
    for (what, content, subject) in
        [("the same", [1; 32], [1; 32]), ("new content", [2; 32], [1; 32]), ("another patient", [2; 32], [2; 32])]
    {
        for latest in latest() {
            for status in STATUSES {
                let name = latest.as_ref().map_or("nothing", Link::name);
                let plan = planned(status, latest.as_ref(), content, subject);
                writeln!(table, "{what}, {status:?} after {name}: {plan:?}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_report_that_was_entered_in_error_is_recalled_whatever_was_there_before() {
    for latest in latest() {
        assert_eq!(planned(ReportStatus::EnteredInError, latest.as_ref(), [1; 32], [1; 32]), Plan::Recall);
    }
}

#[test]
fn what_may_not_leave_is_never_delivered() {
    for status in STATUSES.into_iter().filter(|status| !may_leave(*status)) {
        for latest in latest() {
            let plan = planned(status, latest.as_ref(), [2; 32], [2; 32]);
            assert!(!matches!(plan, Plan::Deliver { .. }), "{status:?} after {latest:?} gave {plan:?}");
        }
    }
}

fn send(release: Release) -> Decision {
    Decision::Send { terms: Terms { release, ..Terms::by_hand() } }
}

#[test]
fn a_hold_counts_from_the_reports_own_time_so_that_a_replayed_event_begins_no_new_one() {
    let hold = send(Release::Auto { hold_seconds: 3600 * 72, basis: HoldBasis::Law });
    let at = |issued| first_state(&hold, Some(issued), NOW);
    assert_eq!(at(NOW), Link::Held { until: HoldEnd::At(NOW.plus(hours(72))), basis: HoldBasis::Law });
    assert_eq!(at(NOW.minus(hours(70))), Link::Held { until: HoldEnd::At(NOW.plus(hours(2))), basis: HoldBasis::Law });
    assert_eq!(at(NOW.minus(hours(80))), Link::Recorded);
    // A clock that is ahead at the EHR does not lengthen it.
    assert_eq!(at(NOW.plus(hours(5))), Link::Held { until: HoldEnd::At(NOW.plus(hours(72))), basis: HoldBasis::Law });
}

#[test]
fn a_manual_release_waits_for_a_person() {
    let state = first_state(&send(Release::Manual), Some(NOW), NOW);
    assert!(matches!(state, Link::Held { until: HoldEnd::Person, .. }));
}

#[test]
fn an_objection_turns_only_a_send_into_a_review() {
    let why = ReviewReason::ContactTie;
    assert!(matches!(object(send(Release::Manual), Some(why.clone())), Decision::Review { terms: Some(_), .. }));
    let block = Decision::Block { rule: "never".to_owned() };
    assert_eq!(object(block.clone(), Some(why)), block);
    assert_eq!(object(send(Release::Manual), None), send(Release::Manual));
}

fn facts(issued: UtcMillis) -> Facts {
    Facts {
        recipient: RecipientRole::Patient,
        clinic: None,
        kind: ResourceType::DiagnosticReport,
        status: ReportStatus::Final,
        codes: vec![],
        categories: vec![],
        issued: Some(issued),
        ..Facts::bare(ResourceType::DiagnosticReport, ReportStatus::Final)
    }
}

/// What becomes of something on its way that was to be sent, when `now` would be decided.
fn thought_of(state: &Link, then: &Decision, now: &Decision, are_others: bool) -> Option<ReviewReason> {
    let (before, after) = (facts(NOW), facts(if are_others { NOW.plus(hours(1)) } else { NOW }));
    second_thought(
        state,
        &Decided { decision: then, facts: Some(&before), contact: Some([1; 32]) },
        &Decided { decision: now, facts: Some(&after), contact: Some([1; 32]) },
    )
}

#[test]
fn what_time_or_the_rules_alone_bring_about_changes_nothing_that_is_on_its_way() {
    let then = send(Release::Manual);
    let review = |why| Decision::Review { why, terms: None };
    let others = send(Release::Auto { hold_seconds: 1, basis: HoldBasis::Law });
    let block = Decision::Block { rule: "never".to_owned() };
    let on_their_way =
        [Link::Recorded, first_state(&then, Some(NOW), NOW), Link::Live { until: LiveUntil::NotHandedOver }];
    for state in on_their_way {
        for now in [review(ReviewReason::TooOld), review(ReviewReason::NoRule), others.clone(), block.clone()] {
            assert_eq!(thought_of(&state, &then, &now, false), None, "{state:?} {now:?}");
        }
        assert_eq!(thought_of(&state, &then, &review(ReviewReason::TooOld), true), None);
        assert_eq!(thought_of(&state, &then, &review(ReviewReason::NoRule), true), Some(ReviewReason::NoRule));
        for now in [&others, &block] {
            assert_eq!(thought_of(&state, &then, now, true), Some(ReviewReason::DecidedOtherwise));
        }
        // A person decided.
        assert_eq!(thought_of(&state, &review(ReviewReason::NoRule), &block, true), None);
    }
    for state in [Link::Live { until: LiveUntil::At(NOW) }, Link::Spent, Link::Recalled] {
        assert_eq!(thought_of(&state, &then, &block, true), None, "{state:?}");
    }
}
