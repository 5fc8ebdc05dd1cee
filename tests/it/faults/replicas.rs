//! Two replicas whose death journals lie on one disk that is full for a while.

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom};
use chartseal::desk::verify_audit;
use chartseal::keys::{DeathJournal, DeathKind};
use chartseal::store::DeliveryFilter;

use super::disk;
use super::relay::Relay;
use crate::support::clinic::{self, Database, Started, Wishes};
use crate::support::ehr_double::EhrDouble;
use crate::support::holder::{Holder, WholeLink};
use crate::support::place::Place;
use crate::support::{ehr, pdf};

const PATIENTS: [&str; 2] = ["first@example.test", "second@example.test"];
const THREE_OPENINGS: &str = "24323-8";
/// The disk refuses six times.
const PRESSES_MAX: usize = 10;

/// # Panics
/// When a link ends untold, or lives on although its end was told.
pub async fn lead() {
    let place = Place::new("faults");
    let (ehr, relay) = (EhrDouble::start().await, Relay::start(None).await);
    let wishes = Wishes { database: Database::Postgres, ..Wishes::default() };
    let config = clinic::write_installation(&place, &wishes, &ehr.base_url, relay.port).await;
    let time = TimeFrom::Steps(clinic::now());
    let first = clinic::start(&config, time, Restore::NotSaid, Workers::ByHand).await.unwrap();
    let addresses = ["LISTEN", "ADMIN_LISTEN"]
        .map(|key| (format!("CHARTSEAL__SERVER__{key}"), format!("127.0.0.1:{}", place.port())));
    let (restore, workers) = (Restore::NotSaid, Workers::ByHand);
    let second = clinic::start_replica(&config, "second", addresses, time, restore, workers).await.unwrap();
    for (number, address) in PATIENTS.into_iter().enumerate() {
        let (patient, paper) = (format!("p-{number}"), pdf::with_pages(&["5.4 %"]));
        ehr.put(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", address));
        let mut report = ehr::report(&patient, THREE_OPENINGS, &clinic::real_now(), &paper);
        report["id"] = format!("r-{number}").into();
        ehr.put(&report);
    }
    first.steps.run_until_idle().await.unwrap();
    let links = PATIENTS.map(|address| relay.mails_to(address).pop().expect("it was sent").link());
    let ids = ids_of(&first, &links).await;

    disk::arm();
    let (desks, urls) = (
        [clinic::desk_at(&first.ground), clinic::desk_at(&second.ground)],
        [first.addr, second.addr].map(|addr| format!("http://{addr}")),
    );
    let refused = tokio::join!(desks[0].revoke(&ids[0], None), desks[1].revoke(&ids[1], None));
    assert!(refused.0.is_err() && refused.1.is_err(), "a link ended although nobody could write it down");
    for link in &links {
        assert_eq!(says_at(link, &urls[1]).await, "ready", "a death that nobody could write down");
    }
    for (desk, id) in desks.iter().zip(&ids) {
        let mut presses = 0;
        while desk.revoke(id, None).await.is_err() {
            presses += 1;
            assert!(presses < PRESSES_MAX, "there is room again, and nothing can be revoked");
        }
    }
    disk::disarm();
    for (link, url) in links.iter().zip(&urls) {
        assert_eq!(says_at(link, url).await, "revoked");
    }
    let vault = &first.ground.vault;
    let told = DeathJournal::read_all(&vault.ring().journal_dir(), vault.audit_key()).unwrap();
    for link in &links {
        let id = WholeLink::read(link).id;
        let of: Vec<_> = told.iter().filter(|record| record.death.link == id).map(|record| record.death.kind).collect();
        assert_eq!(of, [DeathKind::Revoked], "a death is told once");
    }
    assert_eq!(verify_audit(&first.ground.store, vault).await.unwrap().faults, Vec::<String>::new());
}

/// The deliveries of these links, in their order.
async fn ids_of(replica: &Started, links: &[String]) -> Vec<String> {
    let all = clinic::desk_at(&replica.ground)
        .list(DeliveryFilter { count_max: 10, ..DeliveryFilter::default() })
        .await
        .unwrap();
    let mut ids = Vec::new();
    for link in links {
        let reference = chartseal::base::Reference::of(&WholeLink::read(link).id).to_string();
        for brief in &all {
            if clinic::desk_at(&replica.ground).show(&brief.id).await.unwrap().reference.as_deref() == Some(&reference)
            {
                ids.push(brief.id.clone());
            }
        }
    }
    ids
}

async fn says_at(link: &str, url: &str) -> String {
    let mut holder = Holder::new(link);
    holder.ask_at(url);
    holder.look().await.says()
}
