//! Chartseal beside the HAPI FHIR JPA server: an EHR that nobody who wrote Chartseal wrote, with habits of its own.
//!
//! Must stay true: nothing here tells HAPI what to answer. It takes what it takes, sends what it sends, and forgets what it
//! forgets when its plug is pulled.

mod classic;
mod doctored;
mod polled;
mod population;
mod topics;
mod written_back;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Hears, Wishes};
use crate::support::hapi::Hapi;
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf, wait};

/// Three openings, so that a link can be tried and still stand.
const PANEL: &str = "24323-8";

/// A clinic beside this server; the EHR that the clinic leases stays idle.
async fn beside(hapi: &Hapi, hears: Hears, more: &str) -> Clinic {
    beside_by(hapi, Wishes { hears, ehr_more: more.to_owned(), ..Wishes::default() }).await
}

async fn beside_by(hapi: &Hapi, wishes: Wishes) -> Clinic {
    let wishes = Wishes { ehr_base: Some(hapi.base_url().to_owned()), ..wishes };
    Clinic::spawn_with(wishes, ehr::lease().await, Mailbox::start(Manner::Plain).await).await
}

/// A final report of a new patient, under the id `name`.
async fn report(hapi: &Hapi, name: &str) -> String {
    let email = format!("{name}@example.test");
    let lab = hapi.lab();
    lab.update(&ehr::patient(&format!("p-{name}"), "Garcia", "Ana", "1984-05-06", &email)).await;
    let mut report =
        ehr::report(&format!("p-{name}"), PANEL, &clinic::real_now(), &pdf::with_pages(&[&format!("paper of {name}")]));
    report["id"] = json!(name);
    lab.update(&report).await;
    email
}

fn new_form(report: &mut Value, text: &str) {
    let other = ehr::report("x", PANEL, "2026-01-01T00:00:00Z", &pdf::with_pages(&[text]));
    report["presentedForm"] = other["presentedForm"].clone();
}

/// Waits for the server's own call: the clinic's clock stands still, so no poll and no second look is due.
async fn told<T>(clinic: &Clinic, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    wait::until_async(what, async || {
        clinic.settle().await;
        look().await
    })
    .await
}

/// Waits until this many of the clinic's subscriptions are active at the server.
async fn wait_until_active(clinic: &Clinic, hapi: &Hapi, count: usize) {
    wait::until_async("active subscriptions", async || {
        clinic.forward(Duration::from_secs(1));
        clinic.settle().await;
        let remote = hapi.lab().subscriptions().await;
        (remote.iter().filter(|one| one["status"] == "active").count() == count).then_some(())
    })
    .await;
}

async fn states(clinic: &Clinic, report: &str) -> Vec<&'static str> {
    clinic.deliveries_of(report).await.into_iter().rev().map(|brief| brief.state).collect()
}

async fn says(link: &str) -> String {
    Holder::new(link).look().await.says()
}
