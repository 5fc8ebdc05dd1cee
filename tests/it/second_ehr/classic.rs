//! Classic subscriptions: what HAPI pushes, what it tells of deletes, and what it forgets.

use std::time::Duration;

use serde_json::json;

use super::{beside, new_form, report, says, states, told, wait_until_active};
use crate::support::clinic::Hears;
use crate::support::hapi::{self, Release};

#[tokio::test(flavor = "multi_thread")]
async fn what_hapi_pushes_is_sent_corrected_and_recalled_and_a_delete_is_told_at_once() {
    let hapi = hapi::lease(Release::R4).await;
    let clinic = beside(&hapi, Hears::Hooks, "").await;
    wait_until_active(&clinic, &hapi, 2).await;

    let email = report(&hapi, "pushed").await;
    told(&clinic, "the first message", async || (clinic.mails_to(&email).len() == 1).then_some(())).await;
    let first = clinic.mails_to(&email)[0].link();
    assert_eq!(says(&first).await, "ready");

    let correct = |report: &mut serde_json::Value| {
        report["status"] = json!("corrected");
        new_form(report, "corrected");
    };
    hapi.lab().change("DiagnosticReport", "pushed", correct).await;
    told(&clinic, "the second message", async || (clinic.mails_to(&email).len() == 2).then_some(())).await;
    assert_eq!(says(&first).await, "superseded");
    assert_eq!(states(&clinic, "pushed").await, ["superseded", "live"]);

    // R4 has no word for it; HAPI does when it is asked in its own.
    let second = clinic.mails_to(&email)[1].link();
    hapi.lab().delete("DiagnosticReport", "pushed").await;
    told(&clinic, "the refusal", async || (says(&second).await == "suspended").then_some(())).await;
    clinic.forward(Duration::from_secs(61));
    clinic.settle().await;
    assert_eq!(states(&clinic, "pushed").await.last(), Some(&"recalled"), "gone at a second look, too");
    assert_eq!(clinic.mails_to(&email).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_hapi_cannot_reach_us_is_found_once_it_was_killed_and_is_back() {
    let mut hapi = hapi::lease(Release::R4).await;
    let mut clinic = beside(&hapi, Hears::Hooks, "").await;
    wait_until_active(&clinic, &hapi, 2).await;
    let before = report(&hapi, "before").await;
    told(&clinic, "the first message", async || (clinic.mails_to(&before).len() == 1).then_some(())).await;

    // Nobody listens while this one is written, and HAPI dies with it in its queue.
    clinic.stop().await.unwrap();
    let lost = report(&hapi, "lost").await;
    hapi.die().await;
    clinic.start_again(chartseal::app::start::Restore::NotSaid).await.unwrap();
    clinic.forward(Duration::from_mins(5));
    clinic.settle().await;
    assert_eq!(clinic.mails_to(&lost).len(), 0, "the EHR is down");

    hapi.start_again().await;
    let after = report(&hapi, "after").await;
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    for email in [&before, &lost, &after] {
        told(&clinic, "every message", async || (!clinic.mails_to(email).is_empty()).then_some(())).await;
    }
    clinic.hear_and_settle().await;
    for email in [&before, &lost, &after] {
        assert_eq!(clinic.mails_to(email).len(), 1, "sent twice");
    }
}
