//! `chartseal doctor` beside HAPI: what it honours, and the whole way there and back, of which nothing stays.

use serde_json::Value;

use super::{beside, report, told, wait_until_active};
use crate::support::clinic::{Clinic, Hears};
use crate::support::hapi::{self, Release};
use crate::support::program;

/// Runs it while the clinic's steps go on.
async fn doctor(clinic: &Clinic) -> Value {
    let config = clinic.config_path.clone();
    let arguments = ["doctor", "--round-trip", "--wait", "120", "--json"];
    let running = tokio::task::spawn_blocking(move || program::run(&config, &arguments));
    told(clinic, "the doctor", async || running.is_finished().then_some(())).await;
    running.await.unwrap().json()
}

fn assert_works(said: &Value, what: &str, says: &str) {
    let found = said["ehrs"][0]["findings"].as_array().unwrap();
    let is_it = |one: &&Value| one["what"] == what && one["says"].as_str().unwrap().contains(says);
    assert!(found.iter().find(is_it).is_some_and(|one| one["verdict"] == "works"), "{what} '{says}': {found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_doctor_finds_hapi_honouring_searches_and_the_whole_way_open_and_leaves_nothing() {
    let hapi = hapi::lease(Release::R4).await;
    for (hears, kept) in [(Hears::Polls, 0), (Hears::Hooks, 2)] {
        let clinic = beside(&hapi, hears, "").await;
        if kept > 0 {
            wait_until_active(&clinic, &hapi, kept).await;
            clinic.forward(std::time::Duration::from_secs(30));
            clinic.settle().await;
        }
        for name in ["honoured-a", "honoured-b", "honoured-c"] {
            report(&hapi, name).await;
        }
        let said = doctor(&clinic).await;
        assert_works(&said, "FHIR", "speaks R4, HAPI FHIR");
        assert_works(&said, "search for DiagnosticReport", "finds what changed");
        assert_works(&said, "round trip", "");
        if kept == 0 {
            assert_works(&said, "trial subscription", "calls it active");
        }
        assert_eq!(hapi.lab().subscriptions().await.len(), kept, "{said:#}");
        for kind in ["Patient", "DiagnosticReport"] {
            let left = hapi.lab().all(kind).await;
            assert!(
                !left.iter().any(|one| one.to_string().contains(chartseal::fhir::TRIAL_SYSTEM)),
                "{kind}: {said:#}"
            );
        }
        clinic.hear_and_settle().await;
    }
}
