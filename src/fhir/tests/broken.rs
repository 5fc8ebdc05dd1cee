//! Unknown is not no: wherever a resource is broken, each fact is still found or says that it is lacking.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::gather::everything;
use super::report::pointers;
use super::*;
use crate::base::ResourceType;
use crate::base::cases::cases;
use crate::policy::facts::{Flag, Gathered, Lack};
use crate::policy::{Coding, Need, Needs};

fn concept(code: &str) -> Value {
    json!({"text": format!("text {code}"), "coding": [{"system": "http://x.test", "code": code, "display": format!("display {code}")}]})
}

fn meta(label: &str) -> Value {
    json!({"security": [{"system": "http://x.test", "code": label}]})
}

/// Every kind of evidence, all of it inside one resource.
fn inside() -> Value {
    json!([
        {"resourceType": "Observation", "id": "o", "meta": meta("label-2"), "code": concept("result-1"),
            "component": [{"code": concept("result-2"), "interpretation": [{"coding": [{"code": "HH"}]}]}]},
        {"resourceType": "DiagnosticReport", "id": "d", "code": concept("result-3"), "conclusion": "text conclusion",
            "conclusionCode": [concept("result-4")]},
        {"resourceType": "ServiceRequest", "id": "s", "meta": meta("label-3"), "code": concept("order"),
            "reasonCode": [concept("reason")], "category": [concept("specialty-1")]},
        {"resourceType": "Encounter", "id": "e", "class": {"system": "http://x.test", "code": "encounter"},
            "serviceType": concept("specialty-2")},
        {"resourceType": "PractitionerRole", "id": "r", "specialty": [concept("specialty-3")]},
    ])
}

fn report() -> (ResourceType, Value, BTreeSet<&'static str>) {
    let changes = [
        ("meta", meta("label-1")),
        ("contained", inside()),
        ("conclusionCode", json!([concept("result-5")])),
        ("category", json!([concept("category")])),
        ("conclusion", json!("text whole")),
        ("presentedForm", json!([{"title": "text title"}])),
    ];
    (
        ResourceType::DiagnosticReport,
        stored(REPORT, &changes),
        BTreeSet::from(["result-5", "label-1", "text whole", "text title"]),
    )
}

fn document() -> (ResourceType, Value, BTreeSet<&'static str>) {
    let changes = [
        ("contained", inside()),
        ("securityLabel", json!([concept("label-1")])),
        ("description", json!("text whole")),
        ("content", json!([{"attachment": {"title": "text title"}}])),
        ("context", json!({"event": [concept("result-5")], "practiceSetting": concept("specialty-4")})),
    ];
    let more = ["result-5", "label-1", "text whole", "text title", "specialty-4"];
    (ResourceType::DocumentReference, stored(DOCUMENT, &changes), BTreeSet::from(more))
}

const EVERYWHERE: [&str; 11] = [
    "result-1",
    "result-2",
    "result-3",
    "result-4",
    "label-2",
    "label-3",
    "order",
    "reason",
    "encounter",
    "specialty-1",
    "specialty-2",
];

async fn gathered(client: &EhrClient, kind: ResourceType, resource: &Value) -> Option<Evidence> {
    let report = read_report(kind, resource.to_string().as_bytes(), client.base()).ok()?;
    let needs: Needs = everything().into_iter().filter(|need| *need != Need::Consent).collect();
    Some(client.gather(&report, &needs).await)
}

/// The marks that were lost without a word.
fn lost<'m>(evidence: &Evidence, marks: impl Iterator<Item = &'m str>) -> Vec<&'m str> {
    let coded = |fact: &Gathered<Coding>, mark: &str| !fact.is_whole() || fact.values().any(|one| one.code == mark);
    let is_kept = |mark: &str| match mark.split(['-', ' ']).next().unwrap_or_default() {
        "result" => coded(&evidence.results, mark),
        "label" => coded(&evidence.labels, mark),
        "order" => coded(&evidence.orders, mark),
        "reason" => coded(&evidence.reasons, mark),
        "encounter" => coded(&evidence.encounters, mark),
        "specialty" => coded(&evidence.specialties, mark),
        _ => !evidence.texts_lacking.is_empty() || evidence.texts.iter().any(|one| one.text.expose() == mark),
    };
    marks.filter(|mark| !is_kept(mark)).collect()
}

#[tokio::test]
async fn nothing_that_is_broken_reads_as_absent() {
    let client = client_of("http://127.0.0.1:1/fhir", |_| {});
    for (kind, resource, marks) in [report(), document()] {
        let texts = ["text result-1", "display result-2", "text conclusion"];
        let marks: BTreeSet<_> = marks.into_iter().chain(EVERYWHERE).chain(texts).collect();
        let whole = gathered(&client, kind, &resource).await.unwrap();
        assert!(
            whole.results.is_whole()
                && whole.labels.is_whole()
                && whole.specialties.is_whole()
                && whole.texts_lacking.is_empty()
        );
        assert!(whole.orders.is_whole() && whole.reasons.is_whole() && whole.encounters.is_whole());
        assert_eq!((lost(&whole, marks.iter().copied()), whole.critical), (vec![], Flag::Yes));
        let mut places = Vec::new();
        pointers(&resource, "", &mut places);
        let mut tried = 0;
        for place in &places {
            for junk in [json!(true), json!(-1), json!(["x"]), json!({"zzz": ["x"]})] {
                // An object in the place of an object may simply say less.
                if junk.is_object() && resource.pointer(place).unwrap().is_object() {
                    continue;
                }
                let mut broken = resource.clone();
                *broken.pointer_mut(place).unwrap() = junk.clone();
                let Some(evidence) = gathered(&client, kind, &broken).await else { continue };
                assert_eq!(lost(&evidence, marks.iter().copied()), Vec::<&str>::new(), "{place} {junk}");
                assert_ne!(evidence.critical, Flag::No, "{place} {junk}");
                tried += 1;
            }
        }
        assert!(tried > 400, "{tried}");
    }
}

fn coding() -> impl Strategy<Value = Value> {
    ("[a-c]", prop::option::of("[p-q]")).prop_map(|(code, system)| json!({"system": system, "code": code}))
}

/// One more piece of evidence, and where it is put.
fn more() -> impl Strategy<Value = (Index, Value)> {
    (any::<Index>(), coding().prop_map(|coding| json!({"coding": [coding]})))
}

fn all_of(evidence: &Evidence) -> BTreeSet<String> {
    let facts = [
        ("result", &evidence.results),
        ("label", &evidence.labels),
        ("order", &evidence.orders),
        ("reason", &evidence.reasons),
        ("encounter", &evidence.encounters),
        ("specialty", &evidence.specialties),
    ];
    facts.iter().flat_map(|(name, fact)| fact.values().map(move |value| format!("{name} {value}"))).collect()
}

fn lacking_of(evidence: &Evidence) -> BTreeSet<Lack> {
    [&evidence.results, &evidence.labels, &evidence.orders].into_iter().flat_map(|fact| fact.lacking.clone()).collect()
}

/// Nothing listens there: whatever is asked of it is lacking.
static CLIENT: LazyLock<EhrClient> = LazyLock::new(|| client_of("http://127.0.0.1:1/fhir", |_| {}));

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn more_in_a_report_is_never_less_in_its_evidence(added in prop::collection::vec(more(), 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (kind, resource, _) = report();
        let mut grown = resource.clone();
        for (place, concept) in &added {
            let mut all = Vec::new();
            pointers(&grown, "", &mut all);
            let lists: Vec<_> = all.into_iter().filter(|at| at.ends_with("/coding") || at.ends_with("Code") || at.ends_with("/contained")).collect();
            let chosen: &String = place.get(&lists);
            let one = match chosen.rsplit('/').next().unwrap() {
                "coding" => concept["coding"][0].clone(),
                "contained" => json!({"resourceType": "Observation", "code": concept}),
                _ => concept.clone(),
            };
            grown.pointer_mut(chosen).unwrap().as_array_mut().unwrap().push(one);
        }
        let (before, after) = runtime.block_on(async {
            (gathered(&CLIENT, kind, &resource).await.unwrap(), gathered(&CLIENT, kind, &grown).await.unwrap())
        });
        prop_assert!(all_of(&after).is_superset(&all_of(&before)));
        prop_assert!(lacking_of(&after).is_superset(&lacking_of(&before)));
        prop_assert_eq!(after.critical, Flag::Yes);
    }
}
