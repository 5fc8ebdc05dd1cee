//! Topics: the Backport IG's on R4 and the native ones on R5, at a server that counts in memory and forgets the count.

use serde_json::{Value, json};

use super::{beside, new_form, report, says, states, told, wait_until_active};
use crate::support::clinic::Hears;
use crate::support::hapi::{self, Hapi, Release};
use crate::support::web_client;

const TOPIC: &str = "http://ehr.example/topics/reports";

/// The EHR's own staff define what may be listened to: every change of a report. HAPI 8.8 wants the type bare, and on R4
/// part of the definition under another release's names.
async fn define_topic(hapi: &Hapi, release: Release) {
    let topic = match release {
        Release::R4 => json!({
            "resourceType": "Basic",
            "id": "topic-reports",
            "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
            "modifierExtension": [{"url": extension("5.0", "status"), "valueCode": "active"}],
            "extension": [
                {"url": extension("5.0", "url"), "valueUri": TOPIC},
                {"url": extension("5.0", "title"), "valueString": "reports"},
                {"url": extension("4.3", "resourceTrigger"), "extension": [
                    {"url": "description", "valueMarkdown": "every change of a report"},
                    {"url": "resource", "valueUri": "DiagnosticReport"},
                    {"url": "supportedInteraction", "valueCode": "create"},
                    {"url": "supportedInteraction", "valueCode": "update"},
                ]},
                {"url": extension("4.3", "canFilterBy"), "extension": [
                    {"url": "resource", "valueUri": "DiagnosticReport"},
                    {"url": "filterParameter", "valueString": "category"},
                ]},
            ],
        }),
        Release::R5 => json!({
            "resourceType": "SubscriptionTopic",
            "id": "topic-reports",
            "url": TOPIC,
            "title": "reports",
            "status": "active",
            "resourceTrigger": [{
                "description": "every change of a report",
                "resource": "DiagnosticReport",
                "supportedInteraction": ["create", "update"],
            }],
        }),
    };
    hapi.lab().update(&topic).await;
}

fn extension(release: &str, name: &str) -> String {
    format!("http://hl7.org/fhir/{release}/StructureDefinition/extension-SubscriptionTopic.{name}")
}

async fn corrected(hapi: &Hapi, name: &str) {
    let correct = |report: &mut Value| {
        report["status"] = json!("corrected");
        new_form(report, "corrected");
    };
    hapi.lab().change("DiagnosticReport", name, correct).await;
}

/// HAPI refuses a subscription to a topic on R4 that filters nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_hapi_tells_by_a_topic_on_r4_is_sent_corrected_and_recalled() {
    let hapi = hapi::lease(Release::R4).await;
    define_topic(&hapi, Release::R4).await;
    let more = format!(
        "subscribe = \"topic-r4\"\ntopic = \"{TOPIC}\"\ntopic_filters = [\"DiagnosticReport?category=LAB\"]\n\
        events = \"resetting\"\n"
    );
    let clinic = beside(&hapi, Hears::SaidBelow, &more).await;
    wait_until_active(&clinic, &hapi, 1).await;

    // The server learns of a topic up to a minute after it was defined: until then it calls the subscription active and is mute.
    let (mut looks, mut tries) = (0, Vec::new());
    told(&clinic, "the topic to work", async || {
        if looks % 25 == 0 {
            tries.push(report(&hapi, &format!("try-{}", tries.len())).await);
        }
        looks += 1;
        tries.iter().any(|email| !clinic.mails_to(email).is_empty()).then_some(())
    })
    .await;

    let email = report(&hapi, "told").await;
    told(&clinic, "the first message", async || (clinic.mails_to(&email).len() == 1).then_some(())).await;
    let first = clinic.mails_to(&email)[0].link();
    corrected(&hapi, "told").await;
    told(&clinic, "the second message", async || (clinic.mails_to(&email).len() == 2).then_some(())).await;
    assert_eq!(says(&first).await, "superseded");
    assert_eq!(states(&clinic, "told").await, ["superseded", "live"]);
    hapi.lab().change("DiagnosticReport", "told", |report| report["status"] = json!("entered-in-error")).await;
    told(&clinic, "the recall", async || (states(&clinic, "told").await[1] == "recalled").then_some(())).await;
}

/// HAPI 8.8 on R5 keeps the headers that a subscription asks for to itself: its calls prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_hapi_on_r5_that_show_no_secret_are_refused_and_polls_find_what_they_would_have_told() {
    let hapi = hapi::lease(Release::R5).await;
    define_topic(&hapi, Release::R5).await;
    let more = format!("subscribe = \"topic-r5\"\ntopic = \"{TOPIC}\"\nevents = \"resetting\"\n");
    let clinic = beside(&hapi, Hears::SaidBelow, &more).await;
    wait_until_active(&clinic, &hapi, 1).await;
    let email = report(&hapi, "told").await;
    told(&clinic, "a call of the server", async || {
        let text = web_client::new().get(format!("{}/metrics", clinic.admin_url)).send().await.unwrap();
        let text = text.text().await.unwrap();
        let refused = |line: &&str| line.contains("unauthenticated") && !line.ends_with(" 0");
        text.lines().find(refused).map(|_| ())
    })
    .await;
    assert_eq!(clinic.mails_to(&email).len(), 0);
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mails_to(&email).len(), 1);
    let first = clinic.mails_to(&email)[0].link();
    corrected(&hapi, "told").await;
    clinic.hear_and_settle().await;
    assert_eq!((clinic.mails_to(&email).len(), says(&first).await.as_str()), (2, "superseded"));
}
