//! The step tables, whole.

use std::fmt::Write as _;

use super::*;
use crate::base::{DeliveryId, UtcMillis, minutes};
use crate::policy::vocabulary::Backstop;
use crate::policy::{HoldBasis, ReviewReason};

const NOW: UtcMillis = UtcMillis(1_800_000_000_000);
const BACKSTOP: BackstopAt = BackstopAt { at: NOW, then: Backstop::Escalate };

fn links() -> Vec<Link> {
    vec![
        Link::Recorded,
        Link::Held { until: HoldEnd::At(NOW), basis: HoldBasis::ClinicPolicy },
        Link::Held { until: HoldEnd::Person, basis: HoldBasis::ClinicPolicy },
        Link::Held { until: HoldEnd::PersonBefore(BACKSTOP), basis: HoldBasis::ClinicPolicy },
        Link::Held {
            until: HoldEnd::PersonBefore(BackstopAt { at: NOW, then: Backstop::Release }),
            basis: HoldBasis::ClinicPolicy,
        },
        Link::Held { until: HoldEnd::Talk { before: BACKSTOP, after: AfterTalk::Person }, basis: HoldBasis::Law },
        Link::Held {
            until: HoldEnd::Talk { before: BACKSTOP, after: AfterTalk::At(NOW.plus(minutes(1))) },
            basis: HoldBasis::ClinicPolicy,
        },
        Link::Review { why: ReviewReason::NoRule },
        Link::Live { until: LiveUntil::NotHandedOver },
        Link::Live { until: LiveUntil::At(NOW) },
        Link::Suspended { why: SuspendedWhy::Gone, until: LiveUntil::At(NOW) },
        Link::Blocked,
        Link::Spent,
        Link::Expired,
        Link::Revoked { by: RevokedBy::Cancelled },
        Link::Recalled,
        Link::Superseded { by: delivery() },
    ]
}

fn delivery() -> DeliveryId {
    DeliveryId::parse("AAAAAAAAAAAAAAAA").unwrap()
}

fn link_events() -> Vec<LinkEvent> {
    vec![
        LinkEvent::HoldEnded,
        LinkEvent::ReleasedByStaff { to: Let::Go },
        LinkEvent::ReleasedByStaff { to: Let::GoAt(NOW.plus(minutes(5))) },
        LinkEvent::ReleasedByStaff { to: Let::Talk { before: BACKSTOP, not_before: NOW.plus(minutes(5)) } },
        LinkEvent::Discussed,
        LinkEvent::Released,
        LinkEvent::FirstAttempt { expires_at: NOW },
        LinkEvent::NeedsReview { why: ReviewReason::NoRule },
        LinkEvent::LastLeaseEnded,
        LinkEvent::LifeEnded,
        LinkEvent::Suspend { why: SuspendedWhy::Gone },
        LinkEvent::Restored,
        LinkEvent::Wait { until: HoldEnd::At(NOW), basis: HoldBasis::Law },
        LinkEvent::Forbid,
        LinkEvent::Shorten { expires_at: NOW.minus(minutes(1)) },
        LinkEvent::Shorten { expires_at: NOW },
        LinkEvent::Revoke { by: RevokedBy::Cancelled },
        LinkEvent::Recall,
        LinkEvent::Supersede { by: delivery() },
        LinkEvent::Parted,
        LinkEvent::QuietBegan,
        LinkEvent::MailboxFull,
    ]
}

fn openings() -> Vec<Opening> {
    vec![Opening::Begun, Opening::Claimed { since: NOW, lease_until: NOW }, Opening::Received, Opening::Lapsed]
}

const CLAIM: OpeningEvent = OpeningEvent::Claim { view: minutes(60) };
const PROGRESS: OpeningEvent = OpeningEvent::Progress { view: minutes(60) };
const OPENING_EVENTS: [OpeningEvent; 5] =
    [CLAIM, PROGRESS, OpeningEvent::Receipt, OpeningEvent::LeaseEnded, OpeningEvent::Cut];

fn notices() -> Vec<Notice> {
    vec![
        Notice::Queued { due: NOW, attempts: 0, ambiguous: 0 },
        Notice::Queued { due: NOW, attempts: 1, ambiguous: 1 },
        Notice::Leased { until: NOW, attempts: 1, ambiguous: 0 },
        Notice::Leased { until: NOW, attempts: 3, ambiguous: 2 },
        Notice::Sent,
        Notice::Unsure,
        Notice::Bounced,
        Notice::Dead,
    ]
}

const NOTICE_EVENTS: [NoticeEvent; 12] = [
    NoticeEvent::Lease,
    NoticeEvent::Accepted,
    NoticeEvent::Transient,
    NoticeEvent::Permanent,
    NoticeEvent::Ambiguous,
    NoticeEvent::Uncertain,
    NoticeEvent::Confirmed,
    NoticeEvent::Undelivered,
    NoticeEvent::LeaseLost,
    NoticeEvent::HandedBack,
    NoticeEvent::QuietBegan,
    NoticeEvent::Cancel,
];

#[test]
fn the_whole_link_table_is_as_written() {
    let mut table = String::new();
    for state in links() {
        for event in link_events() {
            if let Ok(step) = state.clone().step(event.clone(), NOW) {
                let death = step.death().map(|death| format!("   dies: {death:?}")).unwrap_or_default();
                writeln!(table, "{state:?} + {event:?} -> {:?}{death}", step.to()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_whole_opening_table_is_as_written() {
    let mut table = String::new();
    for state in openings() {
        for event in OPENING_EVENTS {
            if let Ok(step) = state.step(event, NOW) {
                writeln!(table, "{state:?} + {event:?} -> {:?}", step.to()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_whole_notice_table_is_as_written() {
    let mut table = String::new();
    for state in notices() {
        for event in NOTICE_EVENTS {
            if let Ok(step) = state.step(event, NOW) {
                writeln!(table, "{state:?} + {event:?} -> {:?}", step.to()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_whole_challenge_table_is_as_written() {
    let states = [
        Challenge::Asked { left: 5, series: Series::First },
        Challenge::Asked { left: 1, series: Series::First },
        Challenge::Asked { left: 1, series: Series::Last },
        Challenge::Passed,
        Challenge::Locked { series: Series::First },
        Challenge::Locked { series: Series::Last },
    ];
    let events = [ChallengeEvent::Wrong, ChallengeEvent::Right, ChallengeEvent::Unlock { attempts: 5 }];
    let mut table = String::new();
    for state in states {
        for event in events {
            if let Ok(step) = state.step(event) {
                writeln!(table, "{state:?} + {event:?} -> {:?}", step.to()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn terminal_is_final() {
    for state in links().into_iter().filter(Link::is_final) {
        for event in link_events() {
            assert!(state.clone().step(event.clone(), NOW).is_err(), "{state:?} took {event:?}");
        }
    }
}

#[test]
fn a_hold_or_a_life_that_has_not_ended_does_not_end() {
    let early = NOW.minus(minutes(1));
    let held = Link::Held { until: HoldEnd::At(NOW), basis: HoldBasis::Law };
    assert!(held.step(LinkEvent::HoldEnded, early).is_err());
    assert!(Link::Live { until: LiveUntil::At(NOW) }.step(LinkEvent::LifeEnded, early).is_err());
    let claim = Opening::Claimed { since: early, lease_until: NOW };
    assert!(claim.step(OpeningEvent::LeaseEnded, early).is_err());
}

#[test]
fn progress_stretches_a_lease_but_not_beyond_an_hour() {
    let mut opening = *Opening::Begun.step(CLAIM, NOW).unwrap().to();
    let mut now = NOW;
    for _ in 0..30 {
        now = now.plus(minutes(5));
        match opening.step(PROGRESS, now) {
            Ok(step) => opening = *step.to(),
            Err(_) => break,
        }
    }
    assert_eq!(opening, Opening::Claimed { since: NOW, lease_until: NOW.plus(minutes(60)) });
}

#[test]
fn no_lease_lasts_longer_than_its_view() {
    let view = minutes(10);
    let opening = *Opening::Begun.step(OpeningEvent::Claim { view }, NOW).unwrap().to();
    let ends = Opening::Claimed { since: NOW, lease_until: NOW.plus(view) };
    assert_eq!(opening, ends);
    assert_eq!(opening.step(OpeningEvent::Progress { view }, NOW.plus(minutes(9))).unwrap().to(), &ends);
    let view = minutes(20);
    let opening = *Opening::Begun.step(OpeningEvent::Claim { view }, NOW).unwrap().to();
    let stretched = *opening.step(OpeningEvent::Progress { view }, NOW.plus(minutes(14))).unwrap().to();
    assert_eq!(stretched, Opening::Claimed { since: NOW, lease_until: NOW.plus(view) });
}

#[test]
fn a_message_of_unknown_fate_is_sent_three_times_and_then_given_to_staff() {
    let mut notice = Notice::Queued { due: NOW, attempts: 0, ambiguous: 0 };
    let mut sent = 0;
    let mut now = NOW;
    while let Ok(step) = notice.step(NoticeEvent::Lease, now) {
        sent += 1;
        notice = *step.to();
        notice = *notice.step(NoticeEvent::Ambiguous, now).unwrap().to();
        now = now.plus(minutes(60));
    }
    assert_eq!((sent, notice), (3, Notice::Unsure));
}

#[test]
fn a_link_that_ends_ends_for_each_report_that_shares_it() {
    let standing = [Link::Live { until: LiveUntil::NotHandedOver }, Link::Live { until: LiveUntil::At(NOW) }];
    let whys = [ReviewReason::NoRule, ReviewReason::NoticeTooLate, ReviewReason::SharedLinkRevoked];
    let revokes = [RevokedBy::Restore, RevokedBy::Replaced, RevokedBy::SubjectChanged];
    let more = whys.map(|why| LinkEvent::NeedsReview { why }).into_iter();
    let more: Vec<_> = more.chain(revokes.map(|by| LinkEvent::Revoke { by })).collect();
    let mut ended = 0;
    for state in &standing {
        for event in link_events().iter().chain(&more) {
            let Ok(step) = state.clone().step(event.clone(), NOW) else { continue };
            let meant = step.for_companions();
            assert!(
                step.death().is_none() || meant.is_some(),
                "{event:?} ends one report's link and leaves the others'"
            );
            let Some(meant) = meant else { continue };
            let companion = state.clone().step(meant.clone(), NOW).unwrap_or_else(|_| panic!("{event:?}: {meant:?}"));
            assert_eq!(companion.death().is_some(), step.death().is_some(), "{event:?}: {meant:?}");
            ended += usize::from(step.death().is_some());
            let goes_on = !companion.to().is_final();
            let is_of_one_report = matches!(
                event,
                LinkEvent::Recall
                    | LinkEvent::Supersede { .. }
                    | LinkEvent::Revoke { .. }
                    | LinkEvent::NeedsReview { .. }
            );
            assert_eq!(
                goes_on,
                is_of_one_report
                    || step.death().is_none()
                    || matches!(event, LinkEvent::Parted | LinkEvent::QuietBegan | LinkEvent::MailboxFull),
                "{event:?}"
            );
        }
    }
    assert!(ended > 15, "{ended}");
}

#[test]
fn what_is_wrong_with_the_address_is_wrong_for_each_report_in_the_message() {
    for why in [ReviewReason::GuardiansAddress, ReviewReason::ContactTie, ReviewReason::ContactChanged] {
        let waits = Link::Live { until: LiveUntil::NotHandedOver };
        let step = waits.step(LinkEvent::NeedsReview { why: why.clone() }, NOW).unwrap();
        assert_eq!(step.for_companions(), Some(LinkEvent::NeedsReview { why }));
    }
}
