//! Topics: the Backport IG's on R4 and the native ones on R5, at a server that counts in memory and forgets the count.

use serde_json::{Value, json};

use super::{beside, new_form, report, says, states, told, wait_until_active};
use crate::support::clinic::Hears;
use crate::support::hapi::{self, Hapi, Release};

const TOPIC: &str = "http://ehr.example/topics/reports";
const EXTENSION: &str = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic";

/// The EHR's own staff define what may be listened to: every change of a report.
async fn define_topic(hapi: &Hapi, release: Release) {
    let topic = match release {
        Release::R4 => json!({
            "resourceType": "Basic",
            "id": "topic-reports",
            "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
            "modifierExtension": [{"url": format!("{EXTENSION}.status"), "valueCode": "active"}],
            "extension": [
                {"url": format!("{EXTENSION}.url"), "valueUri": TOPIC},
                {"url": format!("{EXTENSION}.title"), "valueString": "reports"},
                {"url": format!("{EXTENSION}.resourceTrigger"), "extension": [
                    {"url": "description", "valueMarkdown": "every change of a report"},
                    {"url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/DiagnosticReport"},
                    {"url": "supportedInteraction", "valueCode": "create"},
                    {"url": "supportedInteraction", "valueCode": "update"},
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
                "resource": "http://hl7.org/fhir/StructureDefinition/DiagnosticReport",
                "supportedInteraction": ["create", "update"],
            }],
        }),
    };
    hapi.lab().update(&topic).await;
}

async fn hears_by_topic(release: Release, asks: &str, content: &str) {
    let hapi = hapi::lease(release).await;
    define_topic(&hapi, release).await;
    let more =
        format!("subscribe = \"{asks}\"\ntopic = \"{TOPIC}\"\ntopic_content = \"{content}\"\nevents = \"resetting\"\n");
    let clinic = beside(&hapi, Hears::SaidBelow, &more).await;
    wait_until_active(&clinic, &hapi, 1).await;

    // The server learns of a topic some time after it was defined: until then it calls the subscription active and is mute.
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
    let correct = |report: &mut Value| {
        report["status"] = json!("corrected");
        new_form(report, "corrected");
    };
    hapi.lab().change("DiagnosticReport", "told", correct).await;
    told(&clinic, "the second message", async || (clinic.mails_to(&email).len() == 2).then_some(())).await;
    assert_eq!(says(&first).await, "superseded");
    assert_eq!(states(&clinic, "told").await, ["superseded", "live"]);
    hapi.lab().change("DiagnosticReport", "told", |report| report["status"] = json!("entered-in-error")).await;
    told(&clinic, "the recall", async || (states(&clinic, "told").await[1] == "recalled").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hapi_tells_by_a_topic_on_r4_is_sent_corrected_and_recalled() {
    hears_by_topic(Release::R4, "topic-r4", "id-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hapi_tells_by_a_native_topic_on_r5_is_sent_corrected_and_recalled() {
    hears_by_topic(Release::R5, "topic-r5", "id-only").await;
}
