//! What quiet hours keep: its turn after their end, and where the breaker counts it.

use std::collections::BTreeSet;

use chartseal::base::{UtcMillis, hours, minutes};
use chartseal::policy::quiet::{LEAVE_EVERY, Quiet, QuietEnd};
use chartseal::store::{self, Delivery, StoreError, Tx};
use chrono_tz::Tz;

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

/// From 11:00 to 12:00; [`NOW`] is at 11:06:40.
fn noon() -> QuietEnd {
    let quiet = Quiet::new(11 * 60, 12 * 60, BTreeSet::new()).unwrap();
    quiet.end(NOW, Tz::UTC).expect("it is quiet")
}

fn leased(tx: &mut Tx, at: UtcMillis) -> Result<Vec<Delivery>, StoreError> {
    store::lease_due_deliveries(tx, at, at.plus(after(60)), 10)
}

/// A delivery that was ready at [`NOW`], and kept.
fn kept(tx: &mut Tx, number: u16) -> Result<Delivery, StoreError> {
    stage::recorded(tx, number)?;
    let delivery = leased(tx, NOW)?.remove(0);
    store::keep_until(tx, &delivery, noon(), NOW)?;
    Ok(delivery)
}

async fn ready(bed: &Bed, from: UtcMillis, until: UtcMillis) -> i64 {
    bed.read(move |conn| store::ready_between(conn, from, until, 0)).await
}

on_both! {
    async fn those_that_quiet_hours_keep_leave_in_the_order_in_which_they_were_ready(bed: Bed) {
        let ids = bed.write(|tx| (1..=3).map(|number| kept(tx, number).map(|one| one.id)).collect::<Result<Vec<_>, _>>()).await;
        let mut at = noon().at();
        assert_eq!(bed.write(move |tx| leased(tx, UtcMillis(at.0 - 1))).await.len(), 0);
        for id in ids {
            let left = bed.write(move |tx| leased(tx, at)).await;
            assert_eq!(left.iter().map(|one| &one.id).collect::<Vec<_>>(), [&id]);
            at = at.plus(LEAVE_EVERY);
        }
    }

    async fn what_quiet_hours_kept_counts_where_it_was_ready_and_not_in_the_morning(bed: Bed) {
        let delivery = bed.write(|tx| kept(tx, 1)).await;
        let (evening, morning) = (NOW.minus(hours(1)), noon().at());
        assert_eq!(ready(&bed, evening, UtcMillis(NOW.0 + 1)).await, 1, "before it left");
        assert_eq!(ready(&bed, evening, NOW).await, 0);
        bed.write(move |tx| stage::release(tx, &delivery, 1)).await;
        bed.write(|tx| stage::released(tx, 2, 1)).await;
        assert_eq!(stage::lease(&bed, morning).await.len(), 2);
        assert_eq!(ready(&bed, morning, morning.plus(minutes(1))).await, 1, "the one that was not kept");
        assert_eq!(ready(&bed, NOW, UtcMillis(NOW.0 + 1)).await, 1, "the kept one");
        assert_eq!(ready(&bed, NOW, morning.plus(minutes(1))).await, 2, "each once");
    }

    async fn what_is_kept_again_counts_where_it_was_first_ready(bed: Bed) {
        bed.write(|tx| kept(tx, 1)).await;
        let later = NOW.plus(minutes(54));
        bed.write(move |tx| {
            let again = leased(tx, later)?.remove(0);
            store::keep_until(tx, &again, noon(), later)
        })
        .await;
        assert_eq!(ready(&bed, later, later.plus(minutes(1))).await, 0);
        assert_eq!(ready(&bed, NOW, UtcMillis(NOW.0 + 1)).await, 1);
    }

    async fn a_delivery_that_somebody_moved_meanwhile_is_not_kept(bed: Bed) {
        bed.write(|tx| {
            stage::recorded(tx, 1)?;
            let delivery = leased(tx, NOW)?.remove(0);
            stage::revoke(tx, &delivery.id, NOW)?;
            store::keep_until(tx, &delivery, noon(), NOW)
        })
        .await;
        assert_eq!(ready(&bed, NOW, UtcMillis(NOW.0 + 1)).await, 0);
        assert_eq!(bed.write(|tx| leased(tx, noon().until())).await.len(), 0);
    }
}
