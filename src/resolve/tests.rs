//! What a reading means for what is on its way: the whole table, and the state that a delivery begins in.

use std::fmt::Write as _;

use super::facts::{Owner, owner_of};
use super::plan::{Before, Decided, File, Now, Plan, first_state, may_leave, object, plan, second_thought};
use crate::base::{Contact, DeliveryId, EmailAddress, OperatorName, ResourceType, UtcMillis, hours};
use crate::fhir::{ContentBasis, Kin, Stands};
use std::collections::BTreeSet;

use crate::policy::facts::{Age, FactPath, Gathered, Lack};
use crate::policy::schedule::{LegalWait, Schedule, Timing};
use crate::policy::vocabulary::{Backstop, Requirement};
use crate::policy::{Decision, Facts, HoldBasis, RecipientRole, Release, ReportStatus, ReviewReason, Terms};
use crate::record::{AfterTalk, BackstopAt};
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
        goes_to: latest.filter(|latest| !latest.is_final()).map(|_| [1; 32]),
        standing: latest,
    };
    plan(
        &before,
        &Now {
            status,
            content_hash: content,
            content_basis: ContentBasis::Bytes,
            subject_index: Some(subject),
            patient_index: Some(subject),
        },
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

fn by_a_person() -> Timing {
    Timing::ByAPerson {
        requires: BTreeSet::new(),
        backstop_at: NOW.plus(hours(240)),
        then: Backstop::Escalate,
        basis: HoldBasis::ClinicPolicy,
    }
}

fn by(timing: Timing) -> Schedule {
    Schedule { from: NOW, timing, floors: Vec::new(), ceilings: Vec::new(), earliest: NOW }
}

#[test]
fn a_delivery_begins_as_its_schedule_says() {
    let send = send(Release::at_once());
    let at = |until| Timing::At { until, basis: HoldBasis::Law };
    let later = NOW.plus(hours(72));
    let held = |until, basis| Link::Held { until, basis };
    assert_eq!(first_state(&send, Some(&by(at(later))), NOW), held(HoldEnd::At(later), HoldBasis::Law));
    assert_eq!(first_state(&send, Some(&by(at(NOW))), NOW), Link::Recorded);
    assert_eq!(first_state(&send, Some(&by(Timing::Now)), NOW), Link::Recorded);
    let before = BackstopAt { at: NOW.plus(hours(240)), then: Backstop::Escalate };
    let state = first_state(&send, Some(&by(by_a_person())), NOW);
    assert_eq!(state, held(HoldEnd::PersonBefore(before), HoldBasis::ClinicPolicy));
    // Nothing that says when waits for nobody.
    assert!(matches!(first_state(&send, None, NOW), Link::Held { until: HoldEnd::Person, .. }));
}

#[test]
fn a_required_talk_comes_before_the_clinics_own_word() {
    let talk = Timing::ByAPerson {
        requires: BTreeSet::from([Requirement::Discussed]),
        backstop_at: NOW.plus(hours(240)),
        then: Backstop::Escalate,
        basis: HoldBasis::ClinicPolicy,
    };
    for (release, expected) in [(Release::at_once(), AfterTalk::At(NOW)), (Release::by_a_person(), AfterTalk::Person)] {
        let Link::Held { until: HoldEnd::Talk { after, .. }, .. } =
            first_state(&send(release), Some(&by(talk.clone())), NOW)
        else {
            panic!("no talk")
        };
        assert_eq!(after, expected);
    }
    // Neither hold nor law ends with the talk; a law that wants it disclosed does not wait for the hold.
    let (floor, hold) = (NOW.plus(hours(72)), NOW.plus(hours(240)));
    let wait = |until| vec![LegalWait { rule: "us/one".to_owned(), until, waived_by: BTreeSet::new() }];
    for (ceilings, expected) in [(Vec::new(), hold), (wait(floor), floor)] {
        let schedule = Schedule { floors: wait(floor), ceilings, earliest: hold, ..by(talk.clone()) };
        let Link::Held { until: HoldEnd::Talk { after, .. }, .. } =
            first_state(&send(Release::at_once()), Some(&schedule), NOW)
        else {
            panic!("no talk")
        };
        assert_eq!(after, AfterTalk::At(expected));
    }
}

#[test]
fn an_objection_turns_only_a_send_into_a_review() {
    let why = ReviewReason::ContactTie;
    assert!(matches!(object(send(Release::by_a_person()), Some(why.clone())), Decision::Review { terms: Some(_), .. }));
    let block = Decision::Block { rule: "never".to_owned() };
    assert_eq!(object(block.clone(), Some(why)), block);
    assert_eq!(object(send(Release::by_a_person()), None), send(Release::by_a_person()));
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
        &Decided { decision: then, facts: Some(&before), schedule: None, contact: Some([1; 32]) },
        &Decided { decision: now, facts: Some(&after), schedule: None, contact: Some([1; 32]) },
    )
}

#[test]
fn what_time_or_the_rules_alone_bring_about_changes_nothing_that_is_on_its_way() {
    let then = send(Release::by_a_person());
    let review = |why| Decision::Review { why, terms: None };
    let others = send(Release::after(1, HoldBasis::Law));
    let block = Decision::Block { rule: "never".to_owned() };
    let on_their_way = [
        Link::Recorded,
        first_state(&then, Some(&by(by_a_person())), NOW),
        Link::Live { until: LiveUntil::NotHandedOver },
    ];
    for state in on_their_way {
        for now in [review(ReviewReason::TooOld), review(ReviewReason::NoRule), others.clone(), block.clone()] {
            assert_eq!(thought_of(&state, &then, &now, false), None, "{state:?} {now:?}");
        }
        assert_eq!(thought_of(&state, &then, &review(ReviewReason::TooOld), true), None);
        for (again, expected) in [(&then, None), (&others, Some(ReviewReason::DecidedOtherwise))] {
            let terms = Some(again.terms_to_leave_under());
            let now = Decision::Review { why: ReviewReason::TooOld, terms };
            assert_eq!(thought_of(&state, &then, &now, true), expected, "what time is against hides other terms");
        }
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

#[test]
fn an_address_is_a_guardians_below_the_age_that_the_clinics_law_names_however_it_is_spelled() {
    let address = |text: &str| Contact::Email(EmailAddress::parse(text).unwrap());
    let mut related = Gathered::none();
    let kin = |text: &str, stands| Kin { contact: address(text), stands, basis: std::collections::BTreeSet::new() };
    related.add(kin("Mum.Garcia@gmail.com", Stands::InForce), FactPath("RelatedPerson[0]".to_owned()));
    related.add(kin("aunt@example.test", Stands::NotInForce), FactPath("contact[0]".to_owned()));
    let years = |years| Age::Years { least: years, most: years };
    let owner = |text: &str, age, adult_at| owner_of(&address(text), age, adult_at, &related);
    for spelling in ["mum.garcia@gmail.com", "mumgarcia+lena@googlemail.com"] {
        assert_eq!(owner(spelling, years(17), 18), Owner::Guardian, "{spelling}");
        assert_eq!(owner(spelling, years(18), 18), Owner::Patient, "{spelling}");
        assert_eq!(owner(spelling, years(18), 19), Owner::Guardian, "{spelling}");
        assert_eq!(owner(spelling, years(16), 16), Owner::Patient, "{spelling}");
        assert_eq!(owner(spelling, Age::Years { least: 17, most: 18 }, 18), Owner::Guardian, "{spelling}");
        assert_eq!(owner(spelling, Age::Unknown, 18), Owner::Guardian, "{spelling}");
    }
    assert_eq!(owner("lena@example.test", years(15), 18), Owner::Patient);
    assert_eq!(owner("aunt+lena@example.test", years(15), 18), Owner::Bystander, "nobody says that she acts for her");
    assert_eq!(owner("aunt@example.test", years(18), 18), Owner::Patient);
    let mut again = related.clone();
    again.add(kin("aunt@example.test", Stands::InForce), FactPath("RelatedPerson[1]".to_owned()));
    assert_eq!(owner_of(&address("aunt@example.test"), years(15), 18, &again), Owner::Guardian);
    related.lacking.insert(Lack::Refused);
    assert_eq!(owner_of(&address("lena@example.test"), years(15), 18, &related), Owner::Unclear);
}
