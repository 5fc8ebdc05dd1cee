//! What the rules see of the resources that a report names, from servers that answer well, badly, late or not at all.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::scripted::{Say, ScriptedEhr, answer, fhir};
use super::*;
use crate::base::{ResourceType, minutes, seconds};
use crate::policy::facts::{Flag, Gathered, Lack};
use crate::policy::{Coding, Need, Needs};

const HIV: &str = "http://loinc.org|56888-1";

pub(super) fn needs(all: &[Need]) -> Needs {
    all.iter().copied().collect()
}

pub(super) fn everything() -> Needs {
    needs(&Need::ALL)
}

/// `system|code @ path`, in order.
pub(super) fn sightings(fact: &Gathered<Coding>) -> Vec<String> {
    fact.found.iter().map(|sighted| format!("{} @ {}", sighted.value, sighted.at.0)).collect()
}

fn lacks<T>(fact: &Gathered<T>) -> Vec<Lack> {
    fact.lacking.iter().copied().collect()
}

fn loinc(code: &str) -> Value {
    json!({"coding": [{"system": "http://loinc.org", "code": code}]})
}

fn observation(id: &str, code: &str) -> Value {
    json!({"resourceType": "Observation", "id": id, "status": "final", "code": loinc(code)})
}

fn references(targets: impl IntoIterator<Item = String>) -> Value {
    targets.into_iter().map(|target| json!({"reference": target})).collect()
}

/// An EHR that holds `resources`, and whatever else `more` answers.
async fn ehr(resources: &[Value], more: Vec<(&str, Say)>) -> ScriptedEhr {
    let target = |resource: &Value| {
        format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap())
    };
    let mut answers: Vec<_> = more.into_iter().map(|(target, say)| (target.to_owned(), say)).collect();
    answers.extend(resources.iter().map(|resource| (target(resource), fhir(200, resource))));
    ScriptedEhr::knowing(answers).await
}

fn read_at(ehr: &EhrClient, changes: &[(&str, Value)]) -> Report {
    read_report(ResourceType::DiagnosticReport, stored(REPORT, changes).to_string().as_bytes(), ehr.base()).unwrap()
}

async fn gathered(ehr: &ScriptedEhr, changes: &[(&str, Value)], needs: &Needs) -> Evidence {
    gathered_within(ehr, changes, needs, |_| {}).await
}

async fn gathered_within(
    ehr: &ScriptedEhr,
    changes: &[(&str, Value)],
    needs: &Needs,
    change: impl FnOnce(&mut Limits),
) -> Evidence {
    let client = client_of(&ehr.base, |connection| {
        connection.limits.gather_timeout = minutes(5);
        change(&mut connection.limits);
    });
    client.gather(&read_at(&client, changes), needs).await
}

fn asked(ehr: &ScriptedEhr) -> Vec<String> {
    let mut targets: Vec<_> = ehr.asked().iter().map(scripted::Asked::target).collect();
    targets.sort();
    targets
}

#[tokio::test]
async fn a_code_is_found_wherever_the_report_hides_it() {
    let mut panel = observation("panel", "24364-2");
    panel["hasMember"] = references(["Observation/rubella".to_owned(), "Observation/hiv".to_owned()]);
    let mut parts = observation("parts", "24364-2");
    parts["component"] = json!([{"code": loinc("1-8")}, {"code": loinc("56888-1")}]);
    let order = json!({"resourceType": "ServiceRequest", "id": "o1", "code": loinc("56888-1"),
        "reasonCode": [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "Z20.6"}]}]});
    let related = json!({"resourceType": "DiagnosticReport", "id": "d2", "status": "final", "code": loinc("24364-2"),
        "conclusionCode": [loinc("56888-1")], "result": references(["Observation/rubella".to_owned()])});
    let inner = json!({"resourceType": "Observation", "id": "x", "code": loinc("24364-2"),
        "hasMember": [{"reference": "#y"}, {"reference": "Observation/hiv"}]});
    let ehr = ehr(
        &[panel, parts, observation("rubella", "5334-8"), observation("hiv", "56888-1"), order, related],
        Vec::new(),
    )
    .await;
    for (changes, path) in [
        (
            vec![("result", references(["Observation/rubella".to_owned(), "Observation/hiv".to_owned()]))],
            "result[1].code",
        ),
        (vec![("result", references(["Observation/panel".to_owned()]))], "result[0].hasMember[1].code"),
        (vec![("result", references(["Observation/parts".to_owned()]))], "result[0].component[1].code"),
        (vec![("result", references(["DiagnosticReport/d2".to_owned()]))], "result[0].conclusionCode"),
        (vec![("contained", json!([observation("x", "56888-1")]))], "contained[0].code"),
        (vec![("contained", json!([inner]))], "contained[0].hasMember[1].code"),
        (vec![("conclusionCode", json!([loinc("56888-1")]))], "conclusionCode"),
    ] {
        let evidence = gathered(&ehr, &changes, &needs(&[Need::Members])).await;
        assert!(sightings(&evidence.results).contains(&format!("{HIV} @ {path}")), "{:?}", evidence.results);
    }
    let evidence = gathered(&ehr, &[("basedOn", references(["ServiceRequest/o1".to_owned()]))], &everything()).await;
    assert_eq!(sightings(&evidence.orders), [format!("{HIV} @ basedOn[0].code")]);
    assert_eq!(sightings(&evidence.reasons), ["http://hl7.org/fhir/sid/icd-10-cm|Z20.6 @ basedOn[0].reasonCode"]);
    assert!(evidence.orders.is_whole() && evidence.reasons.is_whole() && evidence.results.is_whole());
}

#[tokio::test]
async fn a_race_is_no_pregnancy_test() {
    let race = json!({"resourceType": "Observation", "id": "r", "code": {"coding": [
        {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}, {"code": "2106-3"}]}});
    let ehr = ehr(&[race], Vec::new()).await;
    let evidence =
        gathered(&ehr, &[("result", references(["Observation/r".to_owned()]))], &needs(&[Need::Members])).await;
    let systems: BTreeSet<_> = evidence.results.values().map(|coding| coding.system.as_deref()).collect();
    assert_eq!(systems, BTreeSet::from([None, Some("urn:oid:2.16.840.1.113883.6.238")]));
}

#[tokio::test]
async fn each_way_of_not_answering_is_named_and_what_was_found_is_kept() {
    let other = |id: &str, kind: &str| fhir(200, &json!({"resourceType": kind, "id": id, "code": loinc("56888-1")}));
    let denying = json!({"resourceType": "Observation", "id": "neg", "code": loinc("1-8"),
        "modifierExtension": [{"url": "http://x.test/not", "valueBoolean": true}]});
    let ehr = ehr(
        &[observation("good", "1-8"), denying, json!({"resourceType": "Observation", "id": "bare"})],
        vec![
            ("Observation/secret", answer(403, "", b"")),
            ("Observation/login", answer(200, "Content-Type: text/html\r\n", b"<html>log in</html>")),
            ("Observation/ill", answer(500, "", b"")),
            ("Observation/torn", answer(200, "Content-Type: application/fhir+json\r\n", b"{\"resourceType\":")),
            ("Observation/swapped", other("another", "Observation")),
            ("Observation/disguised", other("disguised", "Patient")),
            ("Observation/moved", answer(302, "Location: http://169.254.169.254/\r\n", b"")),
            ("Observation/huge", answer(200, "Content-Type: application/fhir+json\r\n", &[b' '; 5000])),
        ],
    )
    .await;
    for (second, lack) in [
        (json!({"reference": "Observation/missing"}), Lack::NotFound),
        (json!({"reference": "Observation/secret"}), Lack::Refused),
        (json!({"reference": "Observation/login"}), Lack::Unreadable),
        (json!({"reference": "Observation/ill"}), Lack::TimedOut),
        (json!({"reference": "Observation/torn"}), Lack::Unreadable),
        (json!({"reference": "Observation/swapped"}), Lack::Unreadable),
        (json!({"reference": "Observation/disguised"}), Lack::Unreadable),
        (json!({"reference": "Observation/moved"}), Lack::Elsewhere),
        (json!({"reference": "Observation/huge"}), Lack::TooMany),
        (json!({"reference": "Observation/neg"}), Lack::Unreadable),
        (json!({"reference": "Observation/bare"}), Lack::Unreadable),
        (json!({"reference": "Patient/p1"}), Lack::Unreadable),
        (json!({"reference": "#nowhere"}), Lack::NotFound),
        (json!({"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}), Lack::Unreadable),
        (json!({"reference": "https://other.test/fhir/Observation/1"}), Lack::Elsewhere),
        (json!({"display": "HIV"}), Lack::Elsewhere),
        (json!({"identifier": {"value": "7"}}), Lack::Elsewhere),
        (json!({"extension": [{"url": "x"}]}), Lack::Unreadable),
    ] {
        let changes = [("result", json!([{"reference": "Observation/good"}, second]))];
        let evidence =
            gathered_within(&ehr, &changes, &needs(&[Need::Members]), |limits| limits.resource_bytes_max = 4096).await;
        assert_eq!(sightings(&evidence.results)[0], "http://loinc.org|1-8 @ result[0].code", "{second}");
        assert!(!evidence.results.values().any(|coding| coding.to_string() == HIV), "{second}");
        assert_eq!(lacks(&evidence.results), [lack], "{second}");
        assert_eq!(lacks(&evidence.labels), [lack], "{second}");
        assert_eq!(evidence.critical, Flag::Unknown, "{second}");
    }
}

#[tokio::test]
async fn what_has_not_come_in_time_is_unknown_and_holds_nothing_up() {
    let silence = || Say::ThenSilence(Vec::new());
    let ehr = ehr(
        &[observation("o2", "56888-1"), json!({"resourceType": "Encounter", "id": "e1", "class": {"code": "VR"}})],
        vec![
            ("Observation/o1", silence()),
            ("ServiceRequest/s1", silence()),
            ("Consent?patient=pat-1&status=active", silence()),
        ],
    )
    .await;
    let changes = [
        ("result", references(["Observation/o1".to_owned(), "Observation/o2".to_owned()])),
        ("basedOn", references(["ServiceRequest/s1".to_owned()])),
        ("encounter", json!({"reference": "Encounter/e1"})),
    ];
    let started = Instant::now();
    let evidence = gathered_within(&ehr, &changes, &everything(), |limits| limits.gather_timeout = seconds(2)).await;
    assert!(started.elapsed() < seconds(60));
    assert_eq!(sightings(&evidence.results), [format!("{HIV} @ result[1].code")]);
    assert_eq!(sightings(&evidence.encounters), ["|VR @ encounter.class"]);
    for lacking in [
        &evidence.results.lacking,
        &evidence.orders.lacking,
        &evidence.reasons.lacking,
        &evidence.texts_lacking,
        &evidence.consents.lacking,
        &evidence.labels.lacking,
    ] {
        assert_eq!(*lacking, BTreeSet::from([Lack::TimedOut]));
    }
    assert!(evidence.encounters.is_whole());
    assert!(Limits::default().gather_timeout < Limits::default().read_timeout);
}

#[tokio::test]
async fn a_circle_is_walked_once() {
    let mut a = observation("a", "1-8");
    a["hasMember"] = references(["Observation/b".to_owned(), "Observation/a".to_owned()]);
    let mut b = observation("b", "2-6");
    b["hasMember"] = references(["Observation/a".to_owned(), "DiagnosticReport/r1".to_owned()]);
    let ehr = ehr(&[a, b], Vec::new()).await;
    let changes = [("result", references(["Observation/a".to_owned(), "Observation/a/_history/1".to_owned()]))];
    let evidence = gathered(&ehr, &changes, &needs(&[Need::Members])).await;
    assert_eq!(asked(&ehr), ["Observation/a", "Observation/b"]);
    assert!(evidence.results.is_whole());
    assert_eq!(evidence.critical, Flag::No);
}

#[tokio::test]
async fn members_beyond_number_or_depth_are_said_to_be_too_many() {
    let chain: Vec<_> = (1..=6)
        .map(|i| {
            let mut one = observation(&format!("c{i}"), "1-8");
            one["hasMember"] = references([format!("Observation/c{}", i + 1)]);
            one
        })
        .collect();
    let wide = ehr(&[observation("o0", "56888-1")], Vec::new()).await;
    let deep = ehr(&chain, Vec::new()).await;
    let changes = [("result", references((0..10_000).map(|i| format!("Observation/o{i}"))))];
    let evidence = gathered_within(&wide, &changes, &needs(&[Need::Members]), |limits| limits.members_max = 3).await;
    assert_eq!(asked(&wide), ["Observation/o0", "Observation/o1", "Observation/o2"]);
    assert_eq!(sightings(&evidence.results), [format!("{HIV} @ result[0].code")]);
    assert_eq!(lacks(&evidence.results), [Lack::NotFound, Lack::TooMany]);
    let evidence =
        gathered(&deep, &[("result", references(["Observation/c1".to_owned()]))], &needs(&[Need::Members])).await;
    assert_eq!(asked(&deep).len(), 4);
    assert_eq!(lacks(&evidence.results), [Lack::TooMany]);
}

#[tokio::test]
async fn what_no_rule_looks_at_is_not_asked() {
    let ehr = ehr(&[], Vec::new()).await;
    let changes = [
        ("result", references(["Observation/a".to_owned()])),
        ("basedOn", references(["ServiceRequest/a".to_owned()])),
        ("encounter", json!({"reference": "Encounter/a"})),
        ("performer", references(["PractitionerRole/a".to_owned(), "Organization/b".to_owned()])),
        ("contained", json!([observation("x", "56888-1")])),
    ];
    let evidence = gathered(&ehr, &changes, &Needs::new()).await;
    assert!(ehr.asked().is_empty());
    for fact in [
        &evidence.results,
        &evidence.orders,
        &evidence.reasons,
        &evidence.encounters,
        &evidence.specialties,
        &evidence.labels,
    ] {
        assert_eq!(lacks(fact), [Lack::NotAsked]);
    }
    assert_eq!(lacks(&evidence.consents), [Lack::NotAsked]);
    assert_eq!((evidence.texts.len(), evidence.texts_lacking), (0, BTreeSet::from([Lack::NotAsked])));
    assert_eq!(evidence.critical, Flag::Unknown);
    // What stands in the report itself costs nothing.
    assert_eq!(sightings(&evidence.results), [format!("{HIV} @ contained[0].code")]);
    assert!(
        evidence.performers.is_whole() && evidence.performers.values().eq(["PractitionerRole/a", "Organization/b"])
    );
    let whole = gathered(&ehr, &[], &Needs::new()).await;
    assert!(whole.results.is_whole() && whole.orders.is_whole() && whole.labels.is_whole());
}

#[tokio::test]
async fn orders_encounters_and_roles_are_read_in_either_release_and_asked_once() {
    let label = |code: &str| json!({"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]});
    let derm = json!({"coding": [{"system": "http://snomed.info/sct", "code": "394582007"}]});
    let r4 = [
        json!({"resourceType": "ServiceRequest", "id": "s1", "meta": label("HIV"), "code": loinc("1-8"),
            "category": [derm], "reasonReference": [{"reference": "Condition/c"}]}),
        json!({"resourceType": "Encounter", "id": "e1", "meta": label("PSY"), "serviceType": derm,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"}}),
        json!({"resourceType": "PractitionerRole", "id": "p1", "meta": label("SUD"), "specialty": [derm]}),
    ];
    let r5 = [
        json!({"resourceType": "ServiceRequest", "id": "s1", "meta": label("HIV"), "code": {"concept": loinc("1-8")},
            "category": [derm], "reason": [{"reference": {"reference": "Condition/c"}}]}),
        json!({"resourceType": "Encounter", "id": "e1", "meta": label("PSY"), "serviceType": [{"concept": derm}],
            "class": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"}]}]}),
        json!({"resourceType": "PractitionerRole", "id": "p1", "meta": label("SUD"), "specialty": [derm]}),
    ];
    let changes = [
        ("basedOn", references(["ServiceRequest/s1".to_owned()])),
        ("encounter", json!({"reference": "Encounter/e1"})),
        ("performer", references(["PractitionerRole/p1".to_owned()])),
    ];
    for resources in [r4, r5] {
        let ehr = ehr(&resources, Vec::new()).await;
        let client = client_of(&ehr.base, |connection| connection.limits.gather_timeout = minutes(5));
        for _ in 0..2 {
            let evidence = client.gather(&read_at(&client, &changes), &needs(&[Need::Specialty])).await;
            assert_eq!(sightings(&evidence.orders), ["http://loinc.org|1-8 @ basedOn[0].code"]);
            assert_eq!(lacks(&evidence.reasons), [Lack::TooMany]);
            assert_eq!(evidence.encounters.values().map(|class| class.code.as_str()).collect::<Vec<_>>(), ["VR"]);
            assert_eq!(sightings(&evidence.specialties), ["http://snomed.info/sct|394582007 @ basedOn[0].category"]);
            assert!(evidence.specialties.is_whole());
            let labels: Vec<_> =
                evidence.labels.found.iter().map(|one| (one.value.code.as_str(), one.at.0.as_str())).collect();
            // What is confidential about a doctor is not confidential about the report.
            assert_eq!(labels[..2], [("HIV", "basedOn[0].meta.security"), ("PSY", "encounter.meta.security")]);
        }
        assert_eq!(asked(&ehr), ["Encounter/e1", "PractitionerRole/p1", "ServiceRequest/s1"]);
    }
}

#[tokio::test]
async fn of_many_orders_the_first_are_read_and_the_rest_are_too_many() {
    let ehr = ehr(&[], Vec::new()).await;
    let changes = [("basedOn", references((0..30).map(|i| format!("ServiceRequest/s{i}"))))];
    let evidence = gathered(&ehr, &changes, &needs(&[Need::Order])).await;
    assert_eq!(asked(&ehr).len(), 20);
    assert_eq!(lacks(&evidence.orders), [Lack::NotFound, Lack::TooMany]);
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let ehr = ScriptedEhr::saying(vec![
        answer(503, "", b""),
        fhir(200, &json!({"resourceType": "ServiceRequest", "id": "s1", "code": loinc("1-8")})),
    ])
    .await;
    let client = client_of(&ehr.base, |_| {});
    let report = read_at(&client, &[("basedOn", references(["ServiceRequest/s1".to_owned()]))]);
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(client.gather(&report, &needs(&[Need::Order])).await.orders.is_whole());
    }
    assert_eq!(heard, [false, true, true]);
    assert_eq!(ehr.asked().len(), 2);
}

#[tokio::test]
async fn what_is_found_stands_in_the_reports_order() {
    let all: Vec<_> = (0..40).map(|i| observation(&format!("o{i}"), &format!("{i}-0"))).collect();
    let ehr = ehr(&all, Vec::new()).await;
    let changes = [("result", references((0..40).map(|i| format!("Observation/o{i}"))))];
    let evidence = gathered(&ehr, &changes, &needs(&[Need::Members])).await;
    let expected: Vec<_> = (0..40).map(|i| format!("http://loinc.org|{i}-0 @ result[{i}].code")).collect();
    assert_eq!(sightings(&evidence.results), expected);
}

#[tokio::test]
async fn a_result_is_critical_only_by_the_standards_own_flags() {
    let v3 = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
    let coded = |system: Option<&str>, code: &str| json!([{"coding": [{"system": system, "code": code}]}]);
    for (interpretation, flag) in [
        (coded(Some(v3), "HH"), Flag::Yes),
        (coded(Some("http://hl7.org/fhir/v2/0078"), "LL"), Flag::Yes),
        (coded(None, "AA"), Flag::Yes),
        (json!({"coding": [{"system": v3, "code": "HH"}]}), Flag::Yes),
        (json!([{"text": "HH"}]), Flag::Yes),
        (coded(Some(v3), "H"), Flag::No),
        (coded(Some("http://lab.test/flags"), "HH"), Flag::No),
        (json!([{"text": "N"}]), Flag::No),
        (json!([{"text": "dangerously high"}]), Flag::Unknown),
        (json!("HH"), Flag::Unknown),
        (json!(null), Flag::No),
    ] {
        let mut whole = observation("x", "1-8");
        whole["interpretation"] = interpretation.clone();
        let mut in_part = observation("x", "1-8");
        in_part["component"] =
            json!([{"code": loinc("2-6")}, {"code": loinc("3-4"), "interpretation": interpretation}]);
        for resource in [whole, in_part] {
            let client = client_of("http://127.0.0.1:1/fhir", |_| {});
            let report = read_at(&client, &[("contained", json!([resource]))]);
            assert_eq!(client.gather(&report, &needs(&[Need::Members])).await.critical, flag, "{interpretation}");
        }
    }
}

#[tokio::test]
async fn ten_thousand_codings_and_a_megabyte_of_text_are_read_in_bounded_time() {
    let codings: Vec<_> = (0..10_000).map(|i| json!({"system": "http://x.test", "code": format!("c{i}")})).collect();
    let inner: Vec<_> = (0..10_000).map(|i| observation(&format!("x{i}"), &format!("{i}-0"))).collect();
    let changes = [
        ("conclusionCode", json!([{"coding": codings}])),
        ("contained", json!(inner)),
        ("conclusion", json!("a".repeat(1024 * 1024))),
        ("meta", json!({"security": [{"system": "http://x.test", "code": "x".repeat(10_000)}]})),
    ];
    let client = client_of("http://127.0.0.1:1/fhir", |_| {});
    let report = read_at(&client, &changes);
    let started = Instant::now();
    let evidence = client.gather(&report, &needs(&[Need::Members, Need::Text])).await;
    assert!(started.elapsed() < seconds(5), "{:?}", started.elapsed());
    assert_eq!((evidence.results.found.len(), lacks(&evidence.results)), (10_000, vec![Lack::TooMany]));
    assert_eq!((evidence.labels.found.len(), lacks(&evidence.labels)), (0, vec![Lack::Unreadable]));
}

#[test]
fn gathering_can_be_moved_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let client = client_of("http://127.0.0.1:1/fhir", |_| {});
    let report = read_at(&client, &[]);
    let nothing = Needs::new();
    moves(&client.gather(&report, &nothing));
}
