//! Both names of many documents, read by several processes at once.

use std::time::Duration;

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom};
use chartseal::app::steps::Steps;
use futures_util::future::join_all;

use crate::support::clinic::{self, Clinic, Database, Started, Wishes};
use crate::support::{ehr, pdf};

/// Three openings.
const PANEL: &str = "24323-8";
/// One.
const LETTER: &str = "11502-2";
const PAIRS: usize = 12;

async fn replica(clinic: &Clinic, name: &str) -> Started {
    let address = || format!("127.0.0.1:{}", clinic.folder.port());
    let variables =
        [("LISTEN", address()), ("ADMIN_LISTEN", address())].map(|(key, v)| (format!("CHARTSEAL__SERVER__{key}"), v));
    let time = TimeFrom::Steps(clinic.now());
    let started =
        clinic::start_replica(&clinic.config_path, name, variables, time, Restore::NotSaid, Workers::ByHand).await;
    started.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn event_08_both_names_of_many_documents_read_by_three_replicas_at_once_make_one_link_each() {
    let clinic = Clinic::spawn(Wishes { database: Database::Postgres, ..Wishes::default() }).await;
    clinic.settle().await;
    let (second, third) = tokio::join!(replica(&clinic, "second"), replica(&clinic, "third"));
    let mut pairs = Vec::new();
    for number in 0..PAIRS {
        let (patient, paper) = (ehr::new_patient_id(), pdf::with_pages(&[&format!("{number}")]));
        let email = format!("{patient}@example.test");
        clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", &email)).await;
        let binary = clinic.lab().post(&ehr::binary(&paper)).await;
        let mut report = ehr::report(&patient, PANEL, &clinic::real_now(), &paper);
        let mut document = ehr::document(&patient, LETTER, &clinic::real_now(), &paper);
        if number % 2 == 0 {
            // Known by its address alone on both sides, or only by its bytes.
            let other = if number % 4 == 0 { binary.clone() } else { clinic.lab().post(&ehr::binary(&paper)).await };
            let at = |id: &str| serde_json::json!({"contentType": "application/pdf", "url": format!("Binary/{id}")});
            report["presentedForm"][0] = at(&binary);
            document["content"][0]["attachment"] = at(&other);
        }
        let ids = [clinic.lab().post(&report).await, clinic.lab().post(&document).await];
        pairs.push((email, ids));
    }
    let all: [&Steps; 3] = [&clinic.steps, &second.steps, &third.steps];
    for _ in 0..6 {
        for turned in join_all(all.map(Steps::run_until_idle)).await {
            turned.unwrap();
        }
        clinic.forward(Duration::from_mins(3));
        for other in [&second, &third] {
            other.ground.clock.forward(Duration::from_mins(3));
        }
    }
    clinic.settle().await;
    for (email, ids) in &pairs {
        assert_eq!(clinic.mails_to(email).len(), 1, "{email}");
        let mut live = Vec::new();
        for id in ids {
            live.extend(clinic.deliveries_of(id).await.into_iter().filter(|brief| brief.state == "live"));
        }
        assert_eq!(live.len(), 1, "{email}: {live:#?}");
        assert_eq!(clinic.show(&live[0].id).await.opens_max, Some(1), "{email}: the stricter terms");
    }
    for other in [second, third] {
        other.stop.send(()).unwrap();
        other.served.await.unwrap().unwrap();
    }
}
