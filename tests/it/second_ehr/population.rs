//! A population that two generators made (`tests/fixtures/synthetic`), written into HAPI as a lab and clinicians would: 317
//! reports that carry no document, of 1160 observations, and 160 notes as text.

use std::collections::BTreeMap;
use std::io::Read as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::beside_by;
use crate::support::clinic::{self, Hears, Wishes};
use crate::support::hapi::{self, Hapi, Release};
use crate::support::holder::Holder;

const POPULATION: &[u8] = include_bytes!("../../fixtures/synthetic/population.ndjson.gz");
/// So many of them in one call.
const AT_ONCE: usize = 100;
/// Everything of theirs waits for a person.
const DEAD: &str = "c49c4f3c-16d7-4db2-89ea-3973f14f60bb";
/// Reports and notes that leave by themselves; each other one waits with a reason, such as a result without a value.
const SENT: (usize, usize) = (244, 150);
/// What the population's reports and notes are.
const RULES: &str = r#"
[policy]
id = "population"
version = "1"

[[profile]]
id = "results"
when = { code = ["loinc|85354-9", "loinc|58410-2", "loinc|69737-5", "loinc|89206-7", "loinc|93025-5", "loinc|55757-9",
    "loinc|24323-8", "loinc|57698-3", "loinc|4548-4"] }
then = { action = "send", expiry = "72h", opens = 3, channel = ["email"] }

[[profile]]
id = "notes"
when = { type = "loinc|34117-2" }
then = { action = "send", expiry = "72h", opens = 3, channel = ["email"] }
"#;

fn population() -> Vec<Value> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(POPULATION).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// As if it had happened today, to people who can be written to: what was issued before Chartseal began goes to a person, and
/// so does everything of the dead and of those without an address. One of the dead stays so.
fn of_today(mut resource: Value) -> Value {
    let now = json!(clinic::real_now());
    match resource["resourceType"].as_str() {
        Some("DiagnosticReport") => resource["issued"] = now,
        Some("DocumentReference") => resource["date"] = now,
        Some("Patient") => {
            let id = resource["id"].as_str().unwrap().to_owned();
            resource["telecom"] = json!([{"system": "email", "value": format!("{id}@example.test")}]);
            if id != DEAD {
                resource.as_object_mut().unwrap().remove("deceasedDateTime");
                resource["active"] = json!(true);
            }
        }
        _ => {}
    }
    resource
}

async fn write(hapi: &Hapi, resources: &[Value]) {
    for some in resources.chunks(AT_ONCE) {
        let entries = some.iter().map(|resource| {
            let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
            json!({"resource": resource, "request": {"method": "PUT", "url": url}})
        });
        let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries.collect::<Vec<_>>()});
        let (status, answer) = hapi.lab().send(Method::POST, "", Some(&bundle)).await;
        assert!(status.is_success(), "{status}");
        for entry in answer["entry"].as_array().unwrap() {
            let status = entry["response"]["status"].as_str().unwrap_or_default();
            assert!(status.starts_with("20"), "HAPI did not take one: {entry}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_and_note_of_a_population_is_sent_or_waits_for_a_person_who_is_told_why() {
    let hapi = hapi::lease(Release::R4).await;
    let (looked_for, others): (Vec<Value>, Vec<Value>) = population().into_iter().partition(|resource| {
        matches!(resource["resourceType"].as_str(), Some("DiagnosticReport" | "DocumentReference"))
    });
    write(&hapi, &others.into_iter().map(of_today).collect::<Vec<_>>()).await;
    let more = "[limits]\nnotices_per_address_day_max = 100\nnotices_per_patient_day_max = 100\n".to_owned();
    let wishes = Wishes { hears: Hears::Polls, rules: RULES.to_owned(), more, ..Wishes::default() };
    let clinic = beside_by(&hapi, wishes).await;
    let looked_for: Vec<Value> = looked_for.into_iter().map(of_today).collect();
    write(&hapi, &looked_for).await;
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;

    let deliveries = clinic.deliveries().await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for brief in &deliveries {
        *told.entry(format!("{} {}", brief.state, brief.note)).or_default() += 1;
    }
    let mut names: Vec<_> = deliveries.iter().map(|brief| brief.resource.clone().unwrap()).collect();
    names.sort();
    names.dedup();
    assert_eq!((deliveries.len(), names.len()), (looked_for.len(), looked_for.len()), "one each: {told:#?}");
    let (live, waiting): (Vec<_>, Vec<_>) = deliveries.iter().partition(|brief| brief.state == "live");
    assert!(waiting.iter().all(|brief| brief.state == "review" && !brief.note.is_empty()), "{told:#?}");
    assert!(waiting.iter().any(|brief| brief.note.contains("deceased")), "{told:#?}");
    let sent = |kind: &str| live.iter().filter(|brief| brief.resource.as_deref().unwrap().starts_with(kind)).count();
    assert_eq!((sent("DiagnosticReport"), sent("DocumentReference")), SENT, "{told:#?}");
    let mails = clinic.mailbox.mails();
    assert_eq!(mails.len(), live.len());
    assert!(mails.iter().all(|mail| mail.envelope_to.iter().all(|to| !to.starts_with(DEAD))));
    for mail in mails.iter().step_by(40) {
        assert!(!Holder::new(&mail.link()).read().await.is_empty());
    }
}
