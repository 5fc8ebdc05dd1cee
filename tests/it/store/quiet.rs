//! What quiet hours keep: its turn after their end, where the breaker counts it, and what becomes of a message that they catch
//! half-way.

use std::collections::BTreeSet;

use chartseal::base::{UtcMillis, hours, minutes};
use chartseal::policy::decision::QuietHours;
use chartseal::policy::quiet::{LEAVE_EVERY, Quiet, QuietEnd};
use chartseal::policy::{Decision, Terms};
use chartseal::record::{Link, Notice, NoticeEvent};
use chartseal::store::{self, Delivery, LeasedNotice, NewDelivery, StoreError, Tx};
use chrono_tz::Tz;

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after};

/// From 11:00 to 12:00; [`NOW`] is at 11:06:40.
fn noon() -> QuietEnd {
    let quiet = Quiet::new(11 * 60, 12 * 60, BTreeSet::new()).unwrap();
    quiet.end(NOW, Tz::UTC).expect("it is quiet")
}

fn leased_at(tx: &mut Tx, at: UtcMillis) -> Result<Vec<Delivery>, StoreError> {
    stage::lease_due(tx, at, at.plus(after(60)), 10)
}

/// A delivery that was ready at [`NOW`], and kept.
fn kept(tx: &mut Tx, number: u16) -> Result<Delivery, StoreError> {
    stage::recorded(tx, number)?;
    let delivery = leased_at(tx, NOW)?.remove(0);
    store::keep_until(tx, &delivery, noon(), NOW)?;
    Ok(delivery)
}

/// In the quiet hours of [`released`].
const WITHIN: UtcMillis = UtcMillis(NOW.0 + 30 * 60_000);

/// A message that may leave at [`NOW`], and not from 11:30 to 12:00.
fn released(tx: &mut Tx, number: u16) -> Result<stage::Released, StoreError> {
    let source = stage::read_report(tx, number)?;
    let hours = Quiet::new(11 * 60 + 30, 12 * 60, BTreeSet::new()).unwrap();
    let terms = Terms { quiet: Some(QuietHours { hours, zone: Tz::UTC }), ..stage::terms(1) };
    let new = NewDelivery { decision: Decision::Send { terms }, ..stage::new_delivery(&source) };
    let delivery = stage::keep(tx, &new)?;
    stage::release(tx, &delivery, 1)
}

async fn attempted(bed: &Bed) -> (stage::Released, LeasedNotice) {
    let it = bed.write(|tx| released(tx, 1)).await;
    (it, stage::lease(bed, NOW).await.remove(0))
}

async fn settle(bed: &Bed, leased: &LeasedNotice, event: NoticeEvent) {
    let (row, owner) = (leased.notice.clone(), leased.delivery.clone());
    bed.write(move |tx| {
        let step = row.state.step(event, NOW)?;
        store::settle_notice(tx, &row, &owner, &step, Some("why"), NOW)
    })
    .await;
}

async fn ready(bed: &Bed, from: UtcMillis, until: UtcMillis) -> i64 {
    bed.read(move |conn| store::ready_between(conn, from, until, 0)).await
}

on_both! {
    async fn those_that_quiet_hours_keep_leave_in_the_order_in_which_they_were_ready(bed: Bed) {
        let ids = bed.write(|tx| (1..=3).map(|number| kept(tx, number).map(|one| one.id)).collect::<Result<Vec<_>, _>>()).await;
        let mut at = noon().at();
        assert_eq!(bed.write(move |tx| leased_at(tx, UtcMillis(at.0 - 1))).await.len(), 0);
        for id in ids {
            let left = bed.write(move |tx| leased_at(tx, at)).await;
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
            let again = leased_at(tx, later)?.remove(0);
            store::keep_until(tx, &again, noon(), later)
        })
        .await;
        assert_eq!(ready(&bed, later, later.plus(minutes(1))).await, 0);
        assert_eq!(ready(&bed, NOW, UtcMillis(NOW.0 + 1)).await, 1);
    }

    async fn a_delivery_that_somebody_moved_meanwhile_is_not_kept(bed: Bed) {
        bed.write(|tx| {
            stage::recorded(tx, 1)?;
            let delivery = leased_at(tx, NOW)?.remove(0);
            stage::revoke(tx, &delivery.id, NOW)?;
            store::keep_until(tx, &delivery, noon(), NOW)
        })
        .await;
        assert_eq!(ready(&bed, NOW, UtcMillis(NOW.0 + 1)).await, 0);
        assert_eq!(bed.write(|tx| leased_at(tx, noon().until())).await.len(), 0);
    }

    async fn a_message_that_quiet_hours_catch_before_it_left_is_made_again_and_counts_once(bed: Bed) {
        let (it, leased) = attempted(&bed).await;
        settle(&bed, &leased, NoticeEvent::Transient).await;
        assert_eq!(stage::lease(&bed, WITHIN).await.len(), 0);
        let (notice, delivery) = (stage::the_notice(&bed, &it.notice).await, stage::the_delivery(&bed, &it.delivery).await);
        assert_eq!((notice.state, notice.secret_sealed, notice.first_attempt_at), (Notice::Dead, None, None));
        assert_eq!(delivery.state, Link::Recorded);
        assert_eq!(bed.witness.deaths().iter().map(|death| &death.link).collect::<Vec<_>>(), [&it.link]);
        assert_eq!(ready(&bed, NOW, WITHIN).await, 0);
        let due = bed.write(|tx| leased_at(tx, WITHIN)).await;
        assert_eq!(due.len(), 1, "the release step looks at it");
        stage::verified_lines(&bed).await;
    }

    async fn a_message_that_may_have_arrived_is_not_made_again_and_its_link_stays(bed: Bed) {
        let (it, leased) = attempted(&bed).await;
        settle(&bed, &leased, NoticeEvent::Ambiguous).await;
        assert_eq!(stage::lease(&bed, WITHIN).await.len(), 0);
        let (notice, delivery) = (stage::the_notice(&bed, &it.notice).await, stage::the_delivery(&bed, &it.delivery).await);
        assert_eq!((notice.state, notice.secret_sealed), (Notice::Unsure, None));
        assert_eq!((delivery.state.name(), bed.witness.deaths()), ("live", vec![]));
    }

    async fn quiet_hours_catch_as_many_at_once_as_are_leased_and_hold_up_no_other(bed: Bed) {
        bed.write(|tx| {
            (1..=5).try_for_each(|number| released(tx, number).map(|_| ()))?;
            stage::released(tx, 6, 1)
        })
        .await;
        let three = async || bed.write(|tx| store::lease_notices(tx, WITHIN, NOW, 3)).await.len();
        let leased = three().await + three().await;
        assert_eq!(leased, 1, "the one that has no quiet hours");
        assert_eq!(bed.read(store::hold_unsent_notices).await.len(), 1);
    }
}
