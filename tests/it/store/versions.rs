//! Versions of the rules as rows: two people, one timetable, and one version in force at any instant.

use chartseal::audit::{AuditEvent, Chain};
use chartseal::base::{OperatorName, UtcMillis, seconds};
use chartseal::store::{
    self, ActivatedBy, Approval, Bundle, NewVersion, Proposed, Reactivated, StoreError, Tx, VersionState, Withdrawn,
};

use super::bed::{Bed, Engine};
use super::stage::NOW;

fn name(text: &str) -> OperatorName {
    OperatorName::parse(text).unwrap()
}

fn at(n: u64) -> UtcMillis {
    NOW.plus(seconds(n))
}

fn draft(hash: &str) -> NewVersion {
    NewVersion {
        hash: hash.to_owned(),
        rules_id: "clinic".to_owned(),
        version: "1".to_owned(),
        bundle: Bundle { rules: format!("# {hash}"), files: std::collections::BTreeMap::new() },
        author: name("Ann"),
        note: None,
    }
}

fn propose(tx: &mut Tx, hash: &str) -> Result<(), StoreError> {
    store::propose_version(tx, &draft(hash), NOW).map(|_| ())
}

fn approve(tx: &mut Tx, hash: &str, who: &str, effective: UtcMillis, now: UtcMillis) -> Result<Approval, StoreError> {
    store::approve_version(tx, hash, &name(who), effective, ActivatedBy::Normal, now)
}

async fn in_force(bed: &Bed, now: UtcMillis) -> Option<String> {
    bed.read(move |conn| store::rules_in_force(conn, now)).await.map(|row| row.hash)
}

on_both! {
    async fn nobody_approves_what_they_wrote_except_in_an_emergency(bed: Bed) {
        bed.write(|tx| propose(tx, "one")).await;
        assert_eq!(bed.write(|tx| approve(tx, "one", "Ann", NOW, NOW)).await, Approval::Own);
        assert_eq!(in_force(&bed, NOW).await, None);
        assert_eq!(bed.read(store::rules_stamp).await, None, "nothing changed");
        let emergency = bed
            .write(|tx| store::approve_version(tx, "one", &name("Ann"), NOW, ActivatedBy::Emergency, NOW))
            .await;
        assert_eq!(emergency, Approval::Done { effective_at: NOW });
        assert_eq!(bed.read(|conn| store::rules_in_force(conn, NOW)).await.unwrap().kind, ActivatedBy::Emergency);
    }

    async fn of_two_approvals_at_once_one_counts(bed: Bed) {
        bed.write(|tx| propose(tx, "one")).await;
        let answers = bed
            .all_at_once(8, |tx, number| {
                let who = ["Bob", "Ann", "Cid"][usize::from(number % 3)];
                approve(tx, "one", who, NOW, NOW)
            })
            .await;
        let answers: Vec<Approval> = answers.into_iter().map(Result::unwrap).collect();
        let done = answers.iter().filter(|one| **one == Approval::Done { effective_at: NOW }).count();
        assert_eq!(done, 1, "{answers:?}");
        let row = bed.read(|conn| store::version(conn, "one")).await.unwrap();
        assert!(row.approver.is_some_and(|approver| approver != row.author), "{:?}", row.state);
        assert_eq!(bed.read(store::activations).await.len(), 1);
    }

    async fn what_was_withdrawn_is_not_approved_and_may_be_proposed_anew(bed: Bed) {
        bed.write(|tx| propose(tx, "one")).await;
        assert_eq!(bed.write(|tx| store::withdraw_version(tx, "one", &name("Ann"), NOW)).await, Withdrawn::Done);
        assert_eq!(bed.write(|tx| store::withdraw_version(tx, "one", &name("Ann"), NOW)).await, Withdrawn::Already);
        let refused = bed.write(|tx| approve(tx, "one", "Bob", NOW, NOW)).await;
        assert_eq!(refused, Approval::NotADraft { state: VersionState::Withdrawn });
        assert_eq!(bed.write(|tx| store::propose_version(tx, &draft("one"), NOW)).await, Proposed::Done);
        let again = bed.write(|tx| store::propose_version(tx, &draft("one"), NOW)).await;
        assert!(matches!(again, Proposed::AlreadyThere(row) if row.state == VersionState::Draft));
        assert_eq!(bed.write(|tx| approve(tx, "one", "Bob", NOW, NOW)).await, Approval::Done { effective_at: NOW });
        assert_eq!(bed.write(|tx| approve(tx, "absent", "Bob", NOW, NOW)).await, Approval::Unknown);
    }

    async fn a_scheduled_version_that_is_withdrawn_never_comes_into_force(bed: Bed) {
        bed.write(|tx| propose(tx, "one")).await;
        bed.write(|tx| approve(tx, "one", "Bob", at(60), NOW)).await;
        assert_eq!(in_force(&bed, at(60)).await.as_deref(), Some("one"));
        assert_eq!(bed.write(|tx| store::withdraw_version(tx, "one", &name("Bob"), at(59))).await, Withdrawn::Done);
        assert_eq!(in_force(&bed, at(60)).await, None);
        bed.write(|tx| propose(tx, "one")).await;
        bed.write(|tx| approve(tx, "one", "Bob", at(90), at(70))).await;
        assert_eq!(in_force(&bed, at(89)).await, None, "the schedule that was withdrawn does not come back");
        let late = bed.write(|tx| store::withdraw_version(tx, "one", &name("Bob"), at(90))).await;
        assert_eq!(late, Withdrawn::WasInForce);
    }

    async fn the_latest_effective_time_holds_and_of_equal_ones_the_later_approval(bed: Bed) {
        for hash in ["one", "two", "three", "four"] {
            bed.write(move |tx| propose(tx, hash)).await;
        }
        // Approved last, yet for an earlier time than what is scheduled.
        bed.write(|tx| approve(tx, "one", "Bob", at(100), at(1))).await;
        bed.write(|tx| approve(tx, "two", "Bob", at(50), at(2))).await;
        bed.write(|tx| approve(tx, "three", "Bob", at(50), at(2))).await;
        // Before the present means now.
        let past = bed.write(|tx| approve(tx, "four", "Bob", NOW, at(10))).await;
        assert_eq!(past, Approval::Done { effective_at: at(10) });
        for (now, hash) in [(9, None), (10, Some("four")), (49, Some("four")), (50, Some("three")), (100, Some("one"))] {
            assert_eq!(in_force(&bed, at(now)).await.as_deref(), hash, "at {now}");
        }
        let rows = bed.read(|conn| store::timetable(conn, at(50))).await;
        let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
        assert_eq!(hashes, ["four", "two", "three", "one"]);
    }

    async fn going_back_takes_a_version_that_was_in_force_and_changes_the_stamp(bed: Bed) {
        for (hash, effective) in [("one", 0), ("two", 10), ("later", 500)] {
            bed.write(move |tx| propose(tx, hash)).await;
            bed.write(move |tx| approve(tx, hash, "Bob", at(effective), at(effective.min(10)))).await;
        }
        let back = |hash: &'static str| {
            let store = bed.store.clone();
            async move { store.write(move |tx| store::reactivate_version(tx, hash, &name("Bob"), at(20))).await.unwrap() }
        };
        let before = bed.read(store::rules_stamp).await;
        assert_eq!(back("two").await, Reactivated::InForce);
        assert_eq!(back("later").await, Reactivated::Never);
        assert_eq!(back("absent").await, Reactivated::Never);
        assert_eq!(bed.read(store::rules_stamp).await, before);
        assert_eq!(back("one").await, Reactivated::Done);
        assert_ne!(bed.read(store::rules_stamp).await, before);
        assert_eq!(in_force(&bed, at(20)).await.as_deref(), Some("one"));
        assert_eq!(in_force(&bed, at(19)).await.as_deref(), Some("two"), "what was in force then stays known");
        assert_eq!(in_force(&bed, at(500)).await.as_deref(), Some("later"));
    }

    async fn no_conclusion_is_committed_under_a_version_that_was_replaced_before(bed: Bed) {
        for hash in ["one", "two"] {
            bed.write(move |tx| propose(tx, hash)).await;
        }
        bed.write(|tx| approve(tx, "one", "Bob", NOW, NOW)).await;
        let conclude = |tx: &mut Tx| {
            store::share_rules(tx)?;
            let hash = store::rules_in_force(tx.conn(), at(1))?.map(|row| row.hash).unwrap_or_default();
            std::thread::sleep(std::time::Duration::from_millis(2));
            note(tx, &hash)
        };
        let answers = bed
            .all_at_once(24, move |tx, number| {
                if number != 12 {
                    return conclude(tx);
                }
                approve(tx, "two", "Bob", at(1), at(1))?;
                note(tx, "the switch")
            })
            .await;
        assert!(answers.iter().all(Result::is_ok));
        let lines = bed.read(|conn| store::export_after(conn, 0, 1000)).await;
        let said: Vec<String> = lines.into_iter().map(|(_, line)| line.body).collect();
        let switch = said.iter().position(|body| body.contains("the switch")).unwrap();
        assert!(said[..switch].iter().all(|body| body.contains("one")), "{said:?}");
        assert!(said[switch + 1..].iter().all(|body| body.contains("two")), "{said:?}");
    }
}

/// A line of the audit, in the order of their commits.
fn note(tx: &mut Tx, what: &str) -> Result<(), StoreError> {
    let event = AuditEvent::PollFault { kind: what.to_owned(), why: String::new() };
    store::record(tx, Chain::Installation, NOW, event)
}
