//! Deciding again and incidents as rows: how far it came is kept, links only give less, and each delivery has one outcome.

use chartseal::base::{OperatorName, minutes, seconds};
use chartseal::policy::vocabulary::{Download, Notify};
use chartseal::policy::{Decision, OpeningTerms, ReviewReason};
use chartseal::record::Link;
use chartseal::store::{
    self, ActivatedBy, Bundle, IncidentApproval, IncidentCriteria, NewVersion, Noted, NotedVerdict, Outcome,
    Redecision, StoreError, Tx,
};

use super::bed::{Bed, Engine};
use super::stage::{self, LIFE, NOW};

fn name(text: &str) -> OperatorName {
    OperatorName::parse(text).unwrap()
}

/// A version in force from `NOW` on.
fn in_force(tx: &mut Tx, hash: &str) -> Result<i64, StoreError> {
    let new = NewVersion {
        hash: hash.to_owned(),
        rules_id: "clinic".to_owned(),
        version: "1".to_owned(),
        bundle: Bundle { rules: String::new(), files: std::collections::BTreeMap::new() },
        author: name("Ann"),
        note: None,
    };
    store::propose_version(tx, &new, NOW)?;
    store::approve_version(tx, hash, &name("Bob"), NOW, ActivatedBy::Normal, NOW)?;
    Ok(store::rules_in_force(tx.conn(), NOW)?.expect("it was approved").n)
}

on_both! {
    async fn deciding_again_goes_on_after_the_last_batch_and_begins_anew_with_other_rules(bed: Bed) {
        let delivery = bed.write(|tx| stage::recorded(tx, 1)).await;
        let id = delivery.id.clone();
        assert_eq!(bed.write(|tx| store::begin_redecision(tx, 1)).await, Redecision::From(None));
        let (kept, noted_id) = (id.clone(), id.clone());
        bed.write(move |tx| {
            let noted = Noted {
                delivery: noted_id.clone(),
                rules_hash: "one".to_owned(),
                verdict: NotedVerdict::Looser,
                decision: Decision::Review { why: ReviewReason::NoRule, terms: None },
                trace: "{}".to_owned(),
                state: Link::Recorded,
                noted_at: NOW,
            };
            store::note_redecision(tx, &noted)?;
            store::went_on_to(tx, 1, Some(noted_id), NOW)
        })
        .await;
        assert_eq!(bed.write(|tx| store::begin_redecision(tx, 1)).await, Redecision::From(Some(kept.clone())));
        let left = bed.read(move |conn| store::undecided_after(conn, Some(&kept), 10)).await;
        assert!(left.is_empty(), "what was decided again comes again");
        assert_eq!(bed.read(|conn| store::undecided_after(conn, None, 10)).await, [id]);
        bed.write(|tx| store::went_on_to(tx, 1, None, NOW)).await;
        assert_eq!(bed.write(|tx| store::begin_redecision(tx, 1)).await, Redecision::Done);
        assert_eq!(bed.read(|conn| store::noted_redecisions(conn, NotedVerdict::Looser)).await.len(), 1);
        assert_eq!(bed.write(|tx| store::begin_redecision(tx, 2)).await, Redecision::From(None));
        assert_eq!(bed.read(|conn| store::noted_redecisions(conn, NotedVerdict::Looser)).await, []);
    }

    async fn a_links_openings_and_life_are_lowered_and_never_raised(bed: Bed) {
        let released = bed.write(|tx| stage::handed_over(tx, 1, 3)).await;
        let ends = NOW.plus(LIFE);
        let tighten = async |opens_max, seconds_less: u64| {
            let (store, link) = (bed.store.clone(), released.link.clone());
            let (life, at) = (LIFE.as_secs() - seconds_less, ends.minus(seconds(seconds_less)));
            let same = OpeningTerms::loosest();
            store.write(move |tx| store::tighten_link(tx, &link, opens_max, life, Some(at), &same)).await.unwrap()
        };
        assert_eq!(tighten(2, 3600).await, 3);
        assert_eq!(tighten(3, 0).await, 0, "it was raised again");
        let link = stage::the_link(&bed, &released.link).await;
        assert_eq!((link.opens_max, link.life_seconds), (2, LIFE.as_secs() - 3600));
        assert_eq!(link.expires_at, Some(ends.minus(seconds(3600))));
    }

    async fn what_an_opening_gives_is_lowered_and_never_raised(bed: Bed) {
        let released = bed.write(|tx| stage::handed_over(tx, 1, 3)).await;
        let strict = OpeningTerms { view: minutes(10), download: Download::ViewOnly, notify: [Notify::Staff].into() };
        let tighten = async |opening: OpeningTerms| {
            let (store, link) = (bed.store.clone(), released.link.clone());
            store.write(move |tx| store::tighten_link(tx, &link, 3, LIFE.as_secs(), None, &opening)).await.unwrap()
        };
        assert_eq!(tighten(strict.clone()).await, 1);
        assert_eq!(tighten(OpeningTerms::loosest()).await, 0, "it was raised again");
        assert!(stage::the_link(&bed, &released.link).await.opening == strict);
    }

    async fn nothing_leaves_between_other_rules_and_their_word_about_it_but_not_for_long(bed: Bed) {
        bed.write(|tx| stage::recorded(tx, 1)).await;
        bed.write(|tx| stage::released(tx, 2, 1)).await;
        let n = bed.write(|tx| in_force(tx, "one")).await;
        let leased = async |after: u64| {
            let at = NOW.plus(seconds(after));
            let deliveries =
                bed.store.write(move |tx| stage::lease_due(tx, at, at.plus(seconds(1)), 10)).await.unwrap();
            (deliveries.len(), stage::lease(&bed, at).await.len())
        };
        assert_eq!(leased(0).await, (0, 0));
        bed.write(move |tx| store::went_on_to(tx, n, None, NOW)).await;
        assert_eq!(leased(1).await, (1, 1));
        bed.write(|tx| stage::recorded(tx, 3)).await;
        bed.write(|tx| in_force(tx, "two")).await;
        assert_eq!(leased(119).await.0, 0);
        assert!(leased(120).await.0 > 0, "where nobody can read the rules, nothing leaves for ever");
    }

    async fn of_two_who_approve_an_incident_at_once_one_does_and_each_delivery_has_one_outcome(bed: Bed) {
        let released = bed.write(|tx| stage::handed_over(tx, 1, 3)).await;
        let all = IncidentCriteria::default();
        let found = bed.read(move |conn| store::struck(conn, &all)).await;
        assert!(found.len() == 1 && found[0].is_revocable() && found[0].opened == 0, "{found:?}");
        let (n, count) = bed
            .write(|tx| store::propose_incident(tx, &IncidentCriteria::default(), "wrong", &name("Ann"), NOW))
            .await;
        assert_eq!(count, 1);
        let answers = bed
            .all_at_once(6, move |tx, number| {
                store::approve_incident(tx, n, &name(["Ann", "Bob", "Cid"][usize::from(number % 3)]), NOW)
            })
            .await;
        let done = answers.iter().filter(|answer| matches!(answer, Ok(IncidentApproval::Done(_)))).count();
        assert_eq!(done, 1);
        let row = bed.read(move |conn| store::incident(conn, n)).await.unwrap();
        assert!(row.approved_by.is_some_and(|by| by != row.proposed_by));
        let settle = async |outcome| {
            let (store, id) = (bed.store.clone(), released.delivery.clone());
            store.write(move |tx| store::settle_affected(tx, n, &id, outcome, 0, NOW)).await
        };
        assert!(settle(Outcome::RevokedUnopened).await.is_ok());
        assert!(matches!(settle(Outcome::HadEnded).await, Err(StoreError::Moved)));
        assert!(bed.read(move |conn| store::unsettled_of(conn, n, 10)).await.is_empty());
    }
}
