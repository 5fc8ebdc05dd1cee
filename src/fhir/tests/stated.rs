//! What a report itself says to the rules, and what is written inside it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::gather::{everything, needs, sightings};
use super::*;
use crate::base::ResourceType;
use crate::policy::facts::{Gathered, Lack};
use crate::policy::{Coding, Need, Needs};

/// Gathers from a report that names nothing outside it.
async fn gathered(kind: ResourceType, changes: &[(&str, Value)], needs: &Needs) -> Evidence {
    let fixture = match kind {
        ResourceType::DiagnosticReport => REPORT,
        ResourceType::DocumentReference => DOCUMENT,
    };
    let client = client_of("http://127.0.0.1:1/fhir", |_| {});
    let body = stored(fixture, changes).to_string();
    let report = read_report(kind, body.as_bytes(), client.base()).unwrap();
    client.gather(&report, needs).await
}

async fn of_report(changes: &[(&str, Value)]) -> Evidence {
    gathered(ResourceType::DiagnosticReport, changes, &needs(&[Need::Members, Need::Text])).await
}

async fn of_document(changes: &[(&str, Value)]) -> Evidence {
    gathered(ResourceType::DocumentReference, changes, &needs(&[Need::Members, Need::Text])).await
}

fn snomed(code: &str) -> Value {
    json!({"coding": [{"system": "http://snomed.info/sct", "code": code}]})
}

fn lacks(fact: &Gathered<Coding>) -> Vec<Lack> {
    fact.lacking.iter().copied().collect()
}

/// `language: text @ path`
fn texts(evidence: &Evidence) -> Vec<String> {
    let all = evidence.texts.iter();
    all.map(|one| format!("{}: {} @ {}", one.language.as_deref().unwrap_or("?"), one.text.expose(), one.at.0)).collect()
}

#[tokio::test]
async fn a_document_says_what_surrounds_it_in_either_release() {
    let related = json!([{"reference": "ServiceRequest/s"}, {"reference": "Observation/o"}, {"reference": "Media/m"}]);
    let r4 = [(
        "context",
        json!({"event": [snomed("1")], "practiceSetting": snomed("2"), "related": related.clone(),
            "encounter": [{"reference": "EpisodeOfCare/x"}, {"reference": "Encounter/e"}]}),
    )];
    let r5 = [
        ("context", json!([{"reference": "EpisodeOfCare/x"}, {"reference": "Encounter/e"}])),
        ("event", json!([{"concept": snomed("1")}])),
        ("practiceSetting", snomed("2")),
        ("basedOn", json!([{"reference": "ServiceRequest/s"}])),
    ];
    let evidence = gathered(ResourceType::DocumentReference, &r4, &Needs::new()).await;
    assert_eq!(sightings(&evidence.results), ["http://snomed.info/sct|1 @ context.event"]);
    assert_eq!(sightings(&evidence.specialties), ["http://snomed.info/sct|2 @ context.practiceSetting"]);
    for fact in [&evidence.encounters, &evidence.orders, &evidence.results, &evidence.labels, &evidence.specialties] {
        assert_eq!(lacks(fact), [Lack::NotAsked]);
    }
    let evidence = gathered(ResourceType::DocumentReference, &r5, &Needs::new()).await;
    assert_eq!(sightings(&evidence.results), ["http://snomed.info/sct|1 @ event"]);
    assert_eq!(sightings(&evidence.specialties), ["http://snomed.info/sct|2 @ practiceSetting"]);
    for fact in [&evidence.encounters, &evidence.orders] {
        assert_eq!(lacks(fact), [Lack::NotAsked]);
    }
    assert!(evidence.results.is_whole());
}

#[tokio::test]
async fn labels_are_taken_from_everywhere_in_canonical_form() {
    let secret = json!({"resourceType": "Patient", "id": "p", "meta": {"security": [{"system": "http://x.test", "code": "VIP"}]}});
    let evidence = of_document(&[
        ("meta", json!({"security": [{"system": "http://x.test", "code": "A"}, {"code": "B"}]})),
        (
            "securityLabel",
            json!([{"coding": [{"system": "http://x.test", "code": "C"}, {"system": "http://x.test", "code": "A"}]}]),
        ),
        ("contained", json!([secret])),
    ])
    .await;
    assert_eq!(
        sightings(&evidence.labels),
        [
            "http://x.test|A @ meta.security",
            "|B @ meta.security",
            "http://x.test|C @ securityLabel",
            "http://x.test|VIP @ contained[0].meta.security"
        ]
    );
    let old = json!([{"coding": [{"system": "urn:oid:2.16.840.1.113883.6.96", "code": "1"}]}]);
    let evidence = of_report(&[("conclusionCode", old)]).await;
    assert_eq!(sightings(&evidence.results), ["http://snomed.info/sct|1 @ conclusionCode"]);
}

#[tokio::test]
async fn what_is_written_inside_counts_by_its_type_and_a_broken_one_breaks_nothing() {
    let inside = json!([
        {"resourceType": "ServiceRequest", "id": "s", "code": snomed("1"), "reasonCode": [{"text": "exposure"}]},
        {"resourceType": "Encounter", "id": "e", "class": {"system": "http://x.test", "code": "VR"}},
        {"resourceType": "PractitionerRole", "id": "r", "specialty": [snomed("2")]},
        {"resourceType": "Organization", "id": "o", "name": "Fertility Clinic"},
    ]);
    let changes = [
        ("contained", inside),
        ("basedOn", json!([{"reference": "#s"}])),
        ("encounter", json!({"reference": "#e"})),
        ("performer", json!([{"reference": "#r"}, {"reference": "#o"}, {"reference": "Patient/p"}])),
    ];
    let evidence = gathered(ResourceType::DiagnosticReport, &changes, &needs(&[Need::Specialty, Need::Text])).await;
    assert_eq!(sightings(&evidence.orders), ["http://snomed.info/sct|1 @ contained[0].code"]);
    assert_eq!(sightings(&evidence.encounters), ["http://x.test|VR @ contained[1].class"]);
    assert_eq!(sightings(&evidence.specialties), ["http://snomed.info/sct|2 @ contained[2].specialty"]);
    assert!(evidence.orders.is_whole() && evidence.encounters.is_whole() && evidence.specialties.is_whole());
    assert_eq!(lacks(&evidence.reasons), [Lack::Elsewhere]);
    assert_eq!(evidence.performers, Gathered::lacking(Lack::Elsewhere));
    for broken in [json!("x"), json!([7]), json!([{"resourceType": ["Observation"]}]), json!({"id": "x"})] {
        let evidence = of_report(&[("contained", broken.clone())]).await;
        for fact in [&evidence.results, &evidence.orders, &evidence.encounters, &evidence.specialties, &evidence.labels]
        {
            assert_eq!(lacks(fact), [Lack::Unreadable], "{broken}");
        }
    }
    for broken in [
        json!([{"resourceType": "Observation", "id": "x"}]),
        json!([{"resourceType": "Observation", "id": "x", "code": "HIV"}]),
        json!([{"resourceType": "Observation", "id": "x", "code": {"coding": [{"system": 7, "code": "1"}]}}]),
    ] {
        let evidence = of_report(&[("contained", broken.clone())]).await;
        assert_eq!(lacks(&evidence.results), [Lack::Unreadable], "{broken}");
        assert!(evidence.orders.is_whole(), "{broken}");
    }
}

#[tokio::test]
async fn a_malformed_reference_or_code_is_a_lack_of_its_own_fact() {
    for (changes, lacking) in [
        (("basedOn", json!("x")), "orders"),
        (("basedOn", json!([{"reference": "CarePlan/c"}])), "orders"),
        (("basedOn", json!([{"display": "HIV"}])), "orders"),
        (("encounter", json!({"reference": "Patient/p"})), "encounters"),
        (("encounter", json!(["x"])), "encounters"),
        (("performer", json!([{"display": "Lab"}])), "performers"),
        (("conclusionCode", json!([{"text": "HIV"}])), "results"),
    ] {
        let evidence = gathered(ResourceType::DiagnosticReport, std::slice::from_ref(&changes), &everything()).await;
        let broken: Vec<_> = [
            ("orders", &evidence.orders.lacking),
            ("encounters", &evidence.encounters.lacking),
            ("performers", &evidence.performers.lacking),
            ("results", &evidence.results.lacking),
        ]
        .into_iter()
        .filter(|(_, lacking)| !lacking.is_empty())
        .map(|(name, _)| name)
        .collect();
        assert_eq!(broken, [lacking], "{changes:?}");
    }
}

#[tokio::test]
async fn performers_keep_their_type_and_id_and_no_name() {
    let evidence = of_document(&[
        (
            "author",
            json!([{"reference": "https://other.test/r4/Organization/9"}, {"reference": "Practitioner/1"},
            {"reference": "https://other.test/Organization?name=Ana"}, {"reference": "RelatedPerson/2"}]),
        ),
        ("custodian", json!({"reference": "Organization/12"})),
    ])
    .await;
    let found: Vec<_> = evidence.performers.found.iter().map(|one| (one.value.as_str(), one.at.0.as_str())).collect();
    assert_eq!(
        found,
        [
            ("https://other.test/r4/Organization/9", "author[0]"),
            ("Practitioner/1", "author[1]"),
            ("Organization/12", "custodian")
        ]
    );
    assert_eq!(evidence.performers.lacking, BTreeSet::from([Lack::Elsewhere]));
}

#[tokio::test]
async fn texts_come_with_their_place_and_language() {
    let member = json!({"resourceType": "Observation", "id": "x", "language": "pl",
        "code": {"text": "anty-HIV", "coding": [{"system": "http://x.test", "code": "1", "display": "HIV Ab"}]}});
    let evidence = of_report(&[
        ("language", json!("en-US")),
        ("code", json!({"text": "Serology"})),
        ("category", json!([{"text": "Lab"}])),
        ("conclusion", json!("Reactive")),
        ("presentedForm", json!([{"title": "Bericht", "language": "de"}, {"title": "Report"}])),
        ("contained", json!([member])),
    ])
    .await;
    assert_eq!(
        texts(&evidence),
        [
            "en-US: Serology @ code.text",
            "en-US: Lab @ category[0].text",
            "en-US: Reactive @ conclusion",
            "de: Bericht @ presentedForm[0].title",
            "en-US: Report @ presentedForm[1].title",
            "pl: anty-HIV @ contained[0].code.text",
            "pl: HIV Ab @ contained[0].code.coding[0].display"
        ]
    );
    assert!(evidence.texts_lacking.is_empty());
    let evidence = of_document(&[
        ("description", json!("Visit note")),
        ("type", json!({"text": "Note"})),
        ("category", json!(null)),
        ("content", json!([{"attachment": {"title": "note.pdf", "url": "Binary/1"}}])),
    ])
    .await;
    assert_eq!(
        texts(&evidence),
        ["?: Visit note @ description", "?: Note @ type.text", "?: note.pdf @ content[0].attachment.title"]
    );
}

#[tokio::test]
async fn more_text_than_is_kept_is_said_to_be_too_much() {
    let forms: Vec<_> = (0..5).map(|_| json!({"title": "a".repeat(1024 * 1024)})).collect();
    let evidence = of_report(&[("presentedForm", json!(forms)), ("code", json!({"coding": [{"code": "x"}]}))]).await;
    assert_eq!(evidence.texts_lacking, BTreeSet::from([Lack::TooMany]));
    assert!(evidence.texts.len() < 5);
}

#[test]
fn what_is_written_inside_or_around_a_report_leaves_its_content_hash_alone() {
    let original = diagnostic(&[]).unwrap().content_hash;
    let contained = json!([{"resourceType": "Observation", "id": "x", "code": snomed("1")}]);
    for changes in [
        ("contained", contained),
        ("basedOn", json!([{"reference": "ServiceRequest/s"}])),
        ("encounter", json!({"reference": "Encounter/e"})),
        ("basedOn", json!(7)),
    ] {
        assert_eq!(diagnostic(&[changes]).unwrap().content_hash, original);
    }
}
