//! What a process held when it died: its next life gets it back at once, and nobody else's with it.

use std::sync::Arc;

use chartseal::base::{ResourceType, UtcMillis};
use chartseal::record::Notice;
use chartseal::store::{self, LEASE, NoWitness, Store};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW};

/// The same database, as the replica of this name opens it.
fn replica(bed: &Bed, name: &str) -> Store {
    Store::open_for(&bed.place.url, name, Arc::new(NoWitness)).unwrap()
}

/// Leases one of each kind of work that is due, as far as it is free, and says how much that was.
async fn lease_one_of_each(store: &Store) -> usize {
    let until = NOW.plus(LEASE);
    let leased = store.write(move |tx| {
        Ok(store::lease_sources(tx, &stage::ehr(), NOW, until, 1)?.len()
            + stage::lease_due(tx, NOW, until, 1)?.len()
            + store::lease_events(tx, NOW, until, 1)?.len()
            + store::lease_poll(tx, &stage::ehr(), ResourceType::DiagnosticReport, NOW, until)?.map_or(0, |_| 1)
            + store::lease_subscription(tx, &stage::ehr(), ResourceType::DiagnosticReport, NOW, until)?
                .map_or(0, |_| 1)
            + store::lease_topic(tx, &stage::ehr(), NOW, until)?.map_or(0, |_| 1))
    });
    leased.await.unwrap()
}

/// One of each kind that is due now.
async fn something_due(bed: &Bed) {
    bed.write(|tx| {
        stage::recorded(tx, 1)?;
        store::hear(tx, &stage::report(2), None, NOW, &mut chartseal::base::random::system())?;
        store::ensure_poll(tx, &stage::ehr(), ResourceType::DiagnosticReport, NOW, NOW)?;
        store::ensure_subscription_row(tx, &stage::ehr(), ResourceType::DiagnosticReport, NOW)?;
        store::ensure_topic(tx, &stage::ehr(), NOW)?;
        super::events::keep(tx, NOW)
    })
    .await;
}

async fn give_back(store: &Store, now: UtcMillis) -> usize {
    store.write(move |tx| store::give_back(tx, now)).await.unwrap()
}

on_both! {
    async fn a_replica_that_starts_again_takes_up_at_once_what_its_former_self_held(bed: Bed) {
        something_due(&bed).await;
        let (main, other) = (replica(&bed, "main"), replica(&bed, "other"));
        assert_eq!(lease_one_of_each(&main).await, 6);
        assert_eq!(lease_one_of_each(&other).await, 0, "all of it is leased");
        assert_eq!(give_back(&other, NOW).await, 0, "the other replica lives");
        assert_eq!(lease_one_of_each(&other).await, 0, "all of it is leased still");
        drop(main);
        let again = replica(&bed, "main");
        assert_eq!(give_back(&again, NOW).await, 6);
        assert_eq!(lease_one_of_each(&again).await, 6);
    }

    async fn a_message_that_a_dead_process_had_under_way_is_of_unknown_fate_at_once(bed: Bed) {
        let main = replica(&bed, "main");
        let it = main.write(|tx| stage::handed_over(tx, 1, 1)).await.unwrap();
        let lost = async || bed.read(|conn| store::leased_notices_lost(conn, NOW, 10)).await.len();
        assert_eq!(lost().await, 0, "its lease runs");
        give_back(&replica(&bed, "other"), NOW).await;
        assert_eq!(lost().await, 0, "its holder lives");
        assert_eq!(give_back(&replica(&bed, "main"), NOW).await, 1);
        assert_eq!(lost().await, 1);
        let notices = bed.read(move |conn| store::notices_of(conn, &it.delivery)).await;
        assert!(matches!(notices[0].state, Notice::Leased { .. }), "the notice's own table says what follows");
    }
}
