//! What is kept of the reports of a stretch of time: each report once for each recipient, by its newest delivery.

use chartseal::audit::Entry;
use chartseal::base::{DeliveryId, UtcMillis, seconds};
use chartseal::policy::{Decision, RecipientRole, ReviewReason};
use chartseal::record::LinkEvent;
use chartseal::store::{self, Conn, FactsSeen, NewDelivery, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, new_delivery, version};

fn at(after: u64) -> UtcMillis {
    NOW.plus(seconds(after))
}

/// Keeps a delivery of a report that was heard of before, decided at this moment.
fn decided_at(tx: &mut Tx, new: &NewDelivery, at: UtcMillis) -> Result<DeliveryId, StoreError> {
    store::insert_delivery(tx, new, &Entry { at, ..stage::decided(new) })?;
    Ok(new.id.clone())
}

/// All of it, in pages of this size.
fn pages(conn: &mut Conn, since: UtcMillis, count: i64) -> Result<Vec<FactsSeen>, StoreError> {
    let mut all: Vec<FactsSeen> = Vec::new();
    loop {
        let page = store::facts_seen(conn, since, all.last(), count)?;
        assert!(page.len() <= usize::try_from(count).unwrap());
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn seen(bed: &Bed, since: UtcMillis, count: i64) -> Vec<DeliveryId> {
    bed.read(move |conn| pages(conn, since, count)).await.into_iter().map(|one| one.delivery).collect()
}

on_both! {
    async fn each_report_is_seen_once_for_each_recipient_by_its_newest_delivery(bed: Bed) {
        let (newest, of_proxy, other) = bed
            .write(|tx| {
                let source = stage::read_report(tx, 1)?;
                let again = |issue_no| NewDelivery { issue_no, ..new_delivery(&source) };
                decided_at(tx, &again(1), at(0))?;
                // At one moment the higher number is the newer.
                decided_at(tx, &again(2), at(5))?;
                let newest = decided_at(tx, &again(3), at(5))?;
                let proxy = NewDelivery { recipient: RecipientRole::Proxy, ..again(4) };
                let of_proxy = decided_at(tx, &proxy, at(3))?;
                let other = stage::read_report(tx, 2)?;
                let other = decided_at(tx, &new_delivery(&other), at(9))?;
                Ok((newest, of_proxy, other))
            })
            .await;
        assert_eq!(seen(&bed, at(0), 100).await, [of_proxy, newest, other], "oldest first");
    }

    async fn two_versions_decided_in_the_same_moment_are_one_report(bed: Bed) {
        bed.write(|tx| {
            let source = stage::read_report(tx, 1)?;
            for text in ["1", "2"] {
                let new = NewDelivery { report_version: version(text), ..new_delivery(&source) };
                decided_at(tx, &new, at(0))?;
            }
            Ok(())
        })
        .await;
        assert_eq!(seen(&bed, at(0), 100).await.len(), 1);
    }

    async fn pages_of_any_size_show_everything_since_then_once_and_in_order(bed: Bed) {
        let mut kept: Vec<(UtcMillis, DeliveryId)> = bed
            .write(|tx| {
                let mut kept = Vec::new();
                for number in 0..7_u16 {
                    let source = stage::read_report(tx, number)?;
                    // Three moments, so that several share one.
                    let moment = at(u64::from(number % 3));
                    kept.push((moment, decided_at(tx, &new_delivery(&source), moment)?));
                }
                Ok(kept)
            })
            .await;
        kept.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| one.1.as_str().cmp(other.1.as_str())));
        for since in [at(0), at(1), at(2), at(3)] {
            let expected: Vec<_> = kept.iter().filter(|(at, _)| *at >= since).map(|(_, id)| id.clone()).collect();
            for count in [1, 2, 3, 100] {
                assert_eq!(seen(&bed, since, count).await, expected, "since {since} by {count}");
            }
        }
    }

    async fn what_is_seen_is_the_delivery_with_its_report_and_facts_past_their_retention_are_none(bed: Bed) {
        let (new, forgotten) = bed
            .write(|tx| {
                let why = ReviewReason::NoRule;
                let source = stage::read_report(tx, 1)?;
                let new = NewDelivery { decision: Decision::Review { why, terms: None }, ..new_delivery(&source) };
                decided_at(tx, &new, at(1))?;
                let forgotten = stage::recorded(tx, 2)?.id;
                stage::step(tx, &forgotten, LinkEvent::Forbid, at(2))?;
                assert_eq!(store::forget_facts(tx, at(3))?, 1);
                Ok((new, forgotten))
            })
            .await;
        let all = bed.read(|conn| pages(conn, at(0), 100)).await;
        let [gone, one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((&gone.delivery, &gone.facts), (&forgotten, &None));
        let report = stage::report(1);
        assert_eq!((&one.delivery, &one.ehr, &one.clinic), (&new.id, &new.ehr, &new.clinic));
        assert_eq!((one.kind, one.resource_id.as_str()), (report.kind, report.id.as_str()));
        assert_eq!((one.created_at, &one.rules_hash, &one.decision), (at(1), &new.rules_hash, &new.decision));
        assert_eq!(one.facts.as_ref(), Some(&new.facts));
    }
}
