//! Write-back to HAPI: what it takes, what it finds again, and what it makes of references.

use std::time::Duration;

use serde_json::{Value, json};

use super::{beside, report, told as told_by};
use crate::support::clinic::{Clinic, Hears};
use crate::support::hapi::{self, Hapi, Release};
use crate::support::holder::Holder;

const ALL: &str = "write_back = [\"communication\", \"audit_event\", \"provenance\", \"task\"]";

async fn about(hapi: &Hapi, kind: &str, name: &str) -> Vec<Value> {
    let report = format!("DiagnosticReport/{name}");
    hapi.lab().all(kind).await.into_iter().filter(|one| one.to_string().contains(&report)).collect()
}

async fn states_of(clinic: &Clinic, report: &str) -> Vec<(&'static str, &'static str, String)> {
    let shown = clinic.show(&clinic.delivery_of(report).await.id).await;
    shown.told.into_iter().map(|one| (one.resource, one.state, one.why.unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_hapi_takes_what_it_is_told_once_and_lets_it_be_changed() {
    let hapi = hapi::lease(Release::R4).await;
    let clinic = beside(&hapi, Hears::Polls, ALL).await;
    let email = report(&hapi, "told").await;
    clinic.hear_and_settle().await;
    told_by(&clinic, "the message", async || (clinic.mails_to(&email).len() == 1).then_some(())).await;
    let link = clinic.mails_to(&email)[0].link();
    Holder::new(&link).claim_and_read().await;
    clinic.settle().await;
    clinic.forward(Duration::from_mins(2));
    clinic.settle().await;
    let states = states_of(&clinic, "told").await;
    assert!(states.len() == 4 && states.iter().all(|(_, state, _)| *state == "written"), "{states:?}");
    for kind in ["Communication", "AuditEvent", "Provenance"] {
        assert_eq!(about(&hapi, kind, "told").await.len(), 1, "{kind}");
    }
    let message = about(&hapi, "Communication", "told").await.remove(0);
    assert!(message["received"].is_string(), "{message}");

    // Somebody at the EHR takes the report back: a Task stands there, and whoever ends it is heard.
    hapi.lab().change("DiagnosticReport", "told", |report| report["status"] = json!("entered-in-error")).await;
    clinic.hear_and_settle().await;
    let task = about(&hapi, "Task", "told").await.remove(0);
    assert_eq!(task["status"], "requested");
    let id = task["id"].as_str().unwrap().to_owned();
    hapi.lab().change("Task", &id, |task| task["status"] = json!("completed")).await;
    clinic.forward(Duration::from_mins(11));
    clinic.settle().await;
    let states = states_of(&clinic, "told").await;
    let closed = states.iter().find(|(kind, ..)| *kind == "Task").unwrap();
    assert_eq!((closed.1, closed.2.as_str()), ("closed", "at the EHR: completed"));
}
