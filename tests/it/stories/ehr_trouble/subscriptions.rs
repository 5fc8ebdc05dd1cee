//! The real EHR ends our subscriptions in its own ways: it is noticed, mended, and nothing written meanwhile is lost.

use chartseal::store::{self, SubscriptionRow};
use serde_json::Value;

use crate::support::clinic::{Clinic, Hears, Wishes};
use crate::support::{pdf, wait};

use super::mails_to;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_ehr_stopped_is_requested_again_and_what_it_missed_is_found() {
    for (status, said) in [("error", "put it into error"), ("off", "switched it off")] {
        let clinic = subscribed().await;
        for subscription in clinic.lab().subscriptions().await {
            clinic.lab().set_subscription_status(subscription["id"].as_str().unwrap(), status).await;
        }
        let email = format!("{status}@example.test");
        clinic.report(&email, "4548-4", &pdf::with_pages(&["5.4 %"])).await;
        // Less than the poll's own hour: the look at the subscription brings the search forward.
        clinic.forward(std::time::Duration::from_mins(5));
        clinic.settle().await;
        assert_eq!(mails_to(&clinic, &email), 1, "{status}: the report written meanwhile was not found");
        let why = rows(&clinic).await.into_iter().filter_map(|row| row.why).collect::<Vec<_>>().join("; ");
        let audit = installation_lines(&clinic).await;
        assert!(why.contains(said) || audit.contains(said), "{status}: staff read '{why}'");
        wait_until_active(&clinic).await;
        assert_eq!(clinic.lab().subscriptions().await.len(), 2, "{status}: they were mended, not doubled");
        clinic.hear_and_settle().await;
        assert_eq!(mails_to(&clinic, &email), 1, "{status}: sent twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_ehr_deleted_is_made_again() {
    let clinic = subscribed().await;
    for subscription in clinic.lab().subscriptions().await {
        clinic.lab().delete("Subscription", subscription["id"].as_str().unwrap()).await;
    }
    clinic.report("deleted@example.test", "4548-4", &pdf::with_pages(&["5.4 %"])).await;
    clinic.forward(std::time::Duration::from_mins(5));
    clinic.settle().await;
    assert_eq!(mails_to(&clinic, "deleted@example.test"), 1, "the report written meanwhile was not found");
    wait_until_active(&clinic).await;
    assert_eq!(clinic.lab().subscriptions().await.len(), 2);
}

async fn subscribed() -> Clinic {
    let clinic = Clinic::spawn(Wishes { hears: Hears::Hooks, ..Wishes::default() }).await;
    wait_until_active(&clinic).await;
    clinic
}

/// The EHR tries our hook before it calls a subscription active; we look again when its time has come.
async fn wait_until_active(clinic: &Clinic) {
    wait::until_async("two active subscriptions", async || {
        clinic.forward(std::time::Duration::from_secs(1));
        clinic.settle().await;
        let remote = clinic.lab().subscriptions().await;
        let active = remote.iter().filter(|one: &&Value| one["status"] == "active").count();
        let known = rows(clinic).await.iter().filter(|row| row.status == "active").count();
        (active == 2 && known == 2).then_some(())
    })
    .await;
}

async fn rows(clinic: &Clinic) -> Vec<SubscriptionRow> {
    clinic.ground.store.read(store::subscriptions).await.unwrap()
}

async fn installation_lines(clinic: &Clinic) -> String {
    let lines = clinic.ground.store.read(|conn| store::chain_lines(conn, "ehr:lab")).await.unwrap();
    lines.into_iter().map(|line| line.body).collect::<Vec<_>>().join("\n")
}
