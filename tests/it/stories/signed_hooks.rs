//! An EHR that signs its calls: what it says is looked into, what anybody else says is not, and neither is believed.
//!
//! `CHARTSEAL_PINGS=10000` makes the story of the pings as long as its name promises.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::clinic::{Clinic, Wishes};
use crate::support::front::Front;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::place::Place;
use crate::support::senders::{AsMedplum, AsWebSub, Call};
use crate::support::{ehr, pdf, wait, web_client};

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";
const SECRET: &str = "0196a1c27f3e70008000a6b1c2d3";
const MEDPLUM: AsMedplum = AsMedplum { secret: SECRET };
const WEBSUB: AsWebSub = AsWebSub { secret: SECRET };
/// Calls on their way at the same time; fewer than the service reads at once.
const CALLS_AT_ONCE: usize = 10;

/// A clinic whose EHR signs in this form, behind a double that counts what is asked of it; it has polled once.
async fn clinic_of(form: &str) -> (Clinic, Front) {
    let place = Place::new("secret");
    let secret = place.join("hook");
    std::fs::write(&secret, SECRET).unwrap();
    let ehr = ehr::lease().await;
    let front = Front::start(ehr.base_url());
    let ehr_more = format!("hook_auth = \"{form}\"\nhook_secret_file = \"{}\"", secret.display());
    let wishes = Wishes { ehr_base: Some(front.base_url.clone()), ehr_more, ..Wishes::default() };
    let clinic = Clinic::spawn_with(wishes, ehr, Mailbox::start(Manner::Plain).await).await;
    clinic.settle().await;
    (clinic, front)
}

async fn sent(clinic: &Clinic) -> String {
    let (_, report) = clinic.report(ANA, HBA1C, &pdf::with_pages(&["HbA1c 5.4 %"])).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.state, "live");
    report
}

/// Sends `call` as often as it is asked to come again.
async fn send(clinic: &Clinic, method: Method, path: &str, call: &Call) -> StatusCode {
    wait::until_async("the hook to be taken", async || {
        let request = web_client::new().request(method.clone(), format!("{}/fhir/hook/lab{path}", clinic.url));
        let request = call.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let status = request.body(call.body.clone()).send().await.expect("the hook answers").status();
        (status != StatusCode::SERVICE_UNAVAILABLE).then_some(status)
    })
    .await
}

async fn post(clinic: &Clinic, call: &Call) -> StatusCode {
    send(clinic, Method::POST, "", call).await
}

fn named(report: &str) -> Vec<u8> {
    json!({"resourceType": "DiagnosticReport", "id": report, "meta": {"versionId": "1"}}).to_string().into_bytes()
}

async fn suspended_and_then_recalled(clinic: &Clinic) {
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "suspended");
    clinic.forward(Duration::from_mins(1));
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "recalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_medplum_tells_in_a_header_is_read_again_and_recalls() {
    let (clinic, _front) = clinic_of("medplum").await;
    let report = sent(&clinic).await;
    clinic.lab().delete("DiagnosticReport", &report).await;
    assert_eq!(post(&clinic, &MEDPLUM.deleted(&format!("DiagnosticReport/{report}"))).await, StatusCode::OK);
    suspended_and_then_recalled(&clinic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_by_method_and_address_is_read_again_and_recalls() {
    let (clinic, _front) = clinic_of("websub").await;
    let report = sent(&clinic).await;
    clinic.lab().delete("DiagnosticReport", &report).await;
    let path = format!("/DiagnosticReport/{report}");
    assert_eq!(send(&clinic, Method::DELETE, &path, &WEBSUB.published(b"")).await, StatusCode::OK);
    suspended_and_then_recalled(&clinic).await;
}

/// The signature of `{}` is the same for every delete: whoever saw one can name what they like.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_did_not_happen_costs_a_reading_and_takes_nothing_back() {
    let (clinic, front) = clinic_of("medplum").await;
    let report = sent(&clinic).await;
    let before = front.received(&format!("DiagnosticReport/{report}")).len();
    for reference in [format!("DiagnosticReport/{report}"), "DiagnosticReport/never-was".to_owned()] {
        assert_eq!(post(&clinic, &MEDPLUM.deleted(&reference)).await, StatusCode::OK);
        clinic.settle().await;
        clinic.forward(Duration::from_secs(61));
        clinic.settle().await;
    }
    assert!(front.received(&format!("DiagnosticReport/{report}")).len() > before, "it was not read again");
    assert_eq!(clinic.only_delivery().await.state, "live");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_11_a_rightly_signed_lie_about_a_report_is_read_again_and_what_the_ehr_says_counts() {
    let (clinic, _front) = clinic_of("medplum").await;
    let report = sent(&clinic).await;
    let before = clinic.only_delivery().await;
    for lie in [
        json!({"resourceType": "DiagnosticReport", "id": report, "status": "entered-in-error", "meta": {"versionId": "1"}}),
        json!({"resourceType": "DiagnosticReport", "id": report, "status": "final", "meta": {"versionId": "1"},
               "subject": {"reference": "Patient/eve"}}),
    ] {
        assert_eq!(post(&clinic, &MEDPLUM.changed(lie.to_string().as_bytes())).await, StatusCode::OK);
        clinic.settle().await;
        clinic.forward(Duration::from_secs(61));
        clinic.settle().await;
    }
    let after = clinic.only_delivery().await;
    assert_eq!((after.id, after.version, after.state), (before.id, before.version, "live"));
    assert_eq!(clinic.mailbox.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_11_a_wrong_signature_is_refused_and_causes_no_call_of_ours() {
    let (clinic, front) = clinic_of("medplum").await;
    let (_, report) = clinic.report(ANA, HBA1C, &pdf::with_pages(&["HbA1c 5.4 %"])).await;
    let searches = front.received("DiagnosticReport").len();
    let guessed = AsMedplum { secret: "another secret of this length" };
    for call in [
        guessed.changed(&named(&report)),
        guessed.deleted(&format!("DiagnosticReport/{report}")),
        guessed.changed(b""),
        MEDPLUM.changed(&named(&report)).without("X-Signature"),
        Call { body: named("another"), ..MEDPLUM.changed(&named(&report)) },
        WEBSUB.published(&named(&report)),
    ] {
        assert_eq!(post(&clinic, &call).await, StatusCode::UNAUTHORIZED);
    }
    clinic.settle().await;
    assert_eq!(front.received("DiagnosticReport").len(), searches);
    assert!(front.received(&format!("DiagnosticReport/{report}")).is_empty());
    assert!(clinic.deliveries().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signed_event_a_hundred_times_makes_one_delivery_and_one_mail() {
    let (clinic, _front) = clinic_of("websub").await;
    let (_, report) = clinic.report(ANA, HBA1C, &pdf::with_pages(&["HbA1c 5.4 %"])).await;
    let call = WEBSUB.published(&named(&report));
    let answers = join_all((0..100).map(|_| post(&clinic, &call))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    clinic.settle().await;
    clinic.hear_and_settle().await;
    clinic.only_delivery().await;
    assert_eq!(clinic.mails_to(ANA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_11_ten_thousand_pings_cost_one_search_an_interval() {
    let told = std::env::var_os("CHARTSEAL_PINGS").and_then(|text| text.to_str()?.parse().ok());
    let pings: usize = told.unwrap_or(200);
    let (clinic, front) = clinic_of("medplum").await;
    clinic.hear_and_settle().await;
    let empty = MEDPLUM.changed(b"");
    for _ in 0..2 {
        let before = front.received("DiagnosticReport").len();
        // The clock stands still: everything here falls into one interval.
        clinic.forward(Duration::from_secs(5));
        for _ in 0..pings / 2 / CALLS_AT_ONCE {
            let answers = join_all((0..CALLS_AT_ONCE).map(|_| post(&clinic, &empty))).await;
            assert!(answers.iter().all(|status| *status == StatusCode::OK));
            clinic.settle().await;
        }
        assert_eq!(front.received("DiagnosticReport").len(), before + 1);
    }
}
