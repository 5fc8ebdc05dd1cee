//! A topic at a real EHR: it tells, and it ends the subscription in its own ways; nothing written meanwhile is lost.

use std::time::Duration;

use chartseal::store::{self, TopicRow};
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Hears, Wishes};
use crate::support::{pdf, program, wait};

const HBA1C: &str = "4548-4";
const TOPIC: &str = "topic = \"http://sekmet.dev/fhir/SubscriptionTopic/diagnosticreport-final\"\n\
    topic_filters = [\"DiagnosticReport?category=LAB\"]\nevents = \"strict\"\n";

async fn subscribed(more: &str) -> Clinic {
    let wishes = Wishes { hears: Hears::Topic, ehr_more: format!("{TOPIC}{more}"), ..Wishes::default() };
    let clinic = Clinic::spawn(wishes).await;
    wait_until_active(&clinic).await;
    clinic
}

/// The EHR tries our hook before it calls a subscription active; we look again when its time has come.
async fn wait_until_active(clinic: &Clinic) {
    wait::until_async("an active subscription", async || {
        clinic.forward(Duration::from_secs(1));
        clinic.settle().await;
        let remote = clinic.lab().subscriptions().await;
        let active = remote.iter().filter(|one: &&Value| one["status"] == "active").count();
        (active == 1 && row(clinic).await.status == "active").then_some(())
    })
    .await;
}

async fn row(clinic: &Clinic) -> TopicRow {
    clinic.ground.store.read(|conn| store::topic_of(conn, &"lab".parse().unwrap())).await.unwrap().unwrap()
}

async fn audit(clinic: &Clinic) -> String {
    let lines = clinic.ground.store.read(|conn| store::chain_lines(conn, "ehr:lab")).await.unwrap();
    lines.into_iter().map(|line| line.body).collect::<Vec<_>>().join("\n")
}

async fn only_subscription(clinic: &Clinic) -> Value {
    let mut all = clinic.lab().subscriptions().await;
    assert_eq!(all.len(), 1, "mended, not doubled: {all:?}");
    all.remove(0)
}

/// The real server sends from four threads at once: the numbers arrive out of order.
#[tokio::test(flavor = "multi_thread")]
async fn event_06_what_a_real_ehr_tells_by_topic_is_heard_counted_and_no_gap_whatever_its_order() {
    let clinic = subscribed("heartbeat_seconds = 1").await;
    let emails: Vec<String> = (0..8).map(|number| format!("topic-{number}@example.test")).collect();
    for email in &emails {
        clinic.report(email, HBA1C, &pdf::with_pages(&["5.4 %"])).await;
    }
    wait::until_async("every event", async || {
        clinic.settle().await;
        (row(&clinic).await.highest == Some(8) && emails.iter().all(|email| clinic.mails_to(email).len() == 1))
            .then_some(())
    })
    .await;
    wait::until_async("a heartbeat", async || {
        clinic.settle().await;
        row(&clinic).await.beat_at.map(|_| ())
    })
    .await;
    let gaps = clinic.ground.store.read(|conn| store::gaps_of(conn, &"lab".parse().unwrap())).await.unwrap();
    assert_eq!(gaps, []);
    assert!(!audit(&clinic).await.contains("did not arrive"), "{}", audit(&clinic).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_07_what_a_real_ehr_stops_or_loses_is_mended_and_what_it_missed_is_found() {
    for (deed, said) in
        [("error", "put it into error"), ("off", "switched it off"), ("delete", "had lost the subscription")]
    {
        let clinic = subscribed("heartbeat_seconds = 0").await;
        let id = only_subscription(&clinic).await["id"].as_str().unwrap().to_owned();
        match deed {
            "delete" => clinic.lab().delete("Subscription", &id).await,
            status => clinic.lab().set_subscription_status(&id, status).await,
        }
        let email = format!("{deed}@example.test");
        clinic.report(&email, HBA1C, &pdf::with_pages(&["5.4 %"])).await;
        // Less than the poll's own hour: the look at the subscription brings the search forward.
        clinic.forward(Duration::from_mins(5));
        clinic.settle().await;
        assert_eq!(clinic.mails_to(&email).len(), 1, "{deed}: the report written meanwhile was not found");
        assert!(audit(&clinic).await.contains(said), "{deed}: {}", audit(&clinic).await);
        wait_until_active(&clinic).await;
        only_subscription(&clinic).await;
        clinic.hear_and_settle().await;
        assert_eq!(clinic.mails_to(&email).len(), 1, "{deed}: sent twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_07_filters_that_a_real_ehr_changed_are_left_to_people_who_are_told_and_nothing_is_lost() {
    let clinic = subscribed("heartbeat_seconds = 0").await;
    let id = only_subscription(&clinic).await["id"].as_str().unwrap().to_owned();
    let adjust = |subscription: &mut Value| {
        subscription["status"] = json!("error");
        subscription["_criteria"]["extension"][0]["valueString"] = json!("DiagnosticReport?category=RAD");
    };
    let version = clinic.lab().change("Subscription", &id, adjust).await;
    for (number, minutes) in [(1, 5), (2, 60)] {
        let email = format!("adjusted-{number}@example.test");
        clinic.report(&email, HBA1C, &pdf::with_pages(&["5.4 %"])).await;
        clinic.forward(Duration::from_mins(minutes));
        clinic.settle().await;
        assert_eq!(clinic.mails_to(&email).len(), 1, "the poll goes on");
    }
    let remote = only_subscription(&clinic).await;
    assert_eq!(
        (&remote["meta"]["versionId"], &remote["status"]),
        (&json!(version), &json!("error")),
        "not flipped blindly"
    );
    let told = program::run(&clinic.config_path, &["ehrs", "list"]);
    for words in ["subscription is error", "does not hold DiagnosticReport?category=LAB", "set topic_filters"] {
        assert!(told.all().contains(words), "{}", told.all());
    }
    // Its staff allow it after all.
    clinic
        .lab()
        .change("Subscription", &id, |subscription| {
            subscription["_criteria"]["extension"][0]["valueString"] = json!("DiagnosticReport?category=LAB");
        })
        .await;
    clinic.forward(Duration::from_mins(15));
    wait_until_active(&clinic).await;
}
