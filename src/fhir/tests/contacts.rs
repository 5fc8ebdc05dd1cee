//! Those who stand by a patient, what the patient agreed to, and what the record says of birth and place.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::scripted::{Say, ScriptedEhr, answer, fhir};
use super::*;
use crate::base::{Contact, UtcMillis};
use crate::policy::facts::Lack;
use crate::policy::{Need, Needs};

/// 2026-11-21 at ten, as the scripted servers say.
const NOW: UtcMillis = UtcMillis(1_795_255_200_000);

fn patient(changes: &[(&str, Value)]) -> Patient {
    read_patient(stored(PATIENT, changes).to_string().as_bytes(), &base()).unwrap()
}

fn bundle(resources: &[Value], next: Option<&str>) -> Value {
    let entries: Vec<_> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    let links: Vec<_> = next.iter().map(|url| json!({"relation": "next", "url": url})).collect();
    json!({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries})
}

/// The words of the consents that a server answers, and what is lacking.
async fn words(say: Say) -> (Vec<String>, Vec<Lack>) {
    let ehr = ScriptedEhr::knowing(vec![("Consent?patient=pat-1&status=active".to_owned(), say)]).await;
    let client = client_of(&ehr.base, |_| {});
    let report = read_report(ResourceType::DiagnosticReport, stored(REPORT, &[]).to_string().as_bytes(), client.base());
    let consents = client.gather(&report.unwrap(), &Needs::from([Need::Consent])).await.consents;
    (consents.values().cloned().collect(), consents.lacking.into_iter().collect())
}

fn consent(changes: &[(&str, Value)]) -> Value {
    let mut consent = json!({"resourceType": "Consent", "id": "c", "status": "active",
        "patient": {"reference": "Patient/pat-1"}, "provision": {"type": "permit"},
        "category": [{"coding": [{"code": "OCC"}, {"system": "urn:chartseal:consent", "code": "Mail"},
            {"system": "http://loinc.org", "code": "59284-0"}]}]});
    for (name, value) in changes {
        consent[*name] = value.clone();
    }
    consent
}

/// How a consent counts.
enum Counts {
    AsYes,
    AsNo,
    Not,
}

/// The address, as it was written.
fn written(kin: &Kin) -> &str {
    match &kin.contact {
        Contact::Email(address) => address.expose(),
        Contact::Phone(number) => number.expose(),
    }
}

#[tokio::test]
async fn a_consent_counts_only_by_what_it_says_itself() {
    let permitted = ["occ", "mail", "http://loinc.org|59284-0"];
    let exception = json!({"type": "permit", "provision": [{"type": "deny"}]});
    let by_rule = |code: &str| json!({"coding": [{"code": code}]});
    // The scripted server's clock says 2026-11-21.
    for (changes, counts, lacking) in [
        (vec![], Counts::AsYes, vec![]),
        (vec![("patient", json!(null)), ("subject", json!({"reference": "Patient/pat-1"}))], Counts::AsYes, vec![]),
        (vec![("provision", json!(null)), ("decision", json!("permit"))], Counts::AsYes, vec![]),
        (vec![("provision", json!(null)), ("policyRule", by_rule("OPTIN"))], Counts::AsYes, vec![]),
        (vec![("provision", json!({"type": "permit", "period": {"end": "2026-11-21"}}))], Counts::AsYes, vec![]),
        (vec![("status", json!("inactive"))], Counts::Not, vec![]),
        (vec![("status", json!(null))], Counts::Not, vec![]),
        (vec![("patient", json!({"reference": "Patient/pat-2"}))], Counts::Not, vec![]),
        (vec![("patient", json!({"reference": "Group/pat-1"}))], Counts::Not, vec![]),
        (vec![("provision", json!({"type": "deny"}))], Counts::AsNo, vec![]),
        (vec![("decision", json!("deny"))], Counts::AsNo, vec![]),
        (vec![("provision", json!(null)), ("policyRule", by_rule("OPTOUT"))], Counts::AsNo, vec![]),
        (vec![("provision", json!({"type": "deny", "period": {"end": "2026-11-20"}}))], Counts::Not, vec![]),
        (vec![("provision", json!({"type": "deny", "provision": [{"type": "permit"}]}))], Counts::AsNo, vec![]),
        (vec![("provision", json!({"type": "permit", "period": {"end": "2026-11-20"}}))], Counts::Not, vec![]),
        (vec![("period", json!({"start": "2026-12-01"}))], Counts::Not, vec![]),
        (vec![("provision", json!(null))], Counts::Not, vec![Lack::Unreadable]),
        (vec![("provision", exception)], Counts::Not, vec![Lack::TooMany]),
        (vec![("decision", json!("permit"))], Counts::Not, vec![Lack::TooMany]),
        (vec![("period", json!({"end": "soon"}))], Counts::Not, vec![Lack::Unreadable]),
        (vec![("modifierExtension", json!([{"url": "x"}]))], Counts::Not, vec![Lack::Unreadable]),
        (vec![("category", json!([{"text": "occupational"}]))], Counts::Not, vec![Lack::Elsewhere]),
    ] {
        let word = |before: &str| permitted.iter().map(|word| format!("{before}{word}")).collect::<Vec<_>>();
        let said = match counts {
            Counts::AsYes => word(""),
            Counts::AsNo => word("deny:"),
            Counts::Not => Vec::new(),
        };
        let expected = (said, lacking);
        assert_eq!(words(fhir(200, &bundle(&[consent(&changes)], None))).await, expected, "{changes:?}");
    }
}

#[tokio::test]
async fn a_search_that_is_refused_or_not_complete_says_so() {
    let other = json!({"resourceType": "Patient", "id": "x"});
    let outcome = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "warning"}]});
    for (say, lack) in [
        (answer(403, "", b""), Lack::Refused),
        (answer(404, "", b""), Lack::NotFound),
        (answer(200, "Content-Type: text/html\r\n", b"<html>"), Lack::Unreadable),
        (fhir(200, &other), Lack::Unreadable),
        (fhir(200, &bundle(&[outcome], None)), Lack::Refused),
        (fhir(200, &bundle(&[], Some("https://elsewhere.test/fhir/Consent?page=2"))), Lack::Elsewhere),
        // The same page over and over.
        (fhir(200, &bundle(&[other], Some("?patient=pat-1&status=active"))), Lack::TooMany),
    ] {
        assert_eq!(words(say).await, (vec![], vec![lack]));
    }
}

#[tokio::test]
async fn the_addresses_of_everybody_around_the_patient_are_known() {
    let email = |value: &str| json!({"system": "email", "value": value, "use": "old"});
    let person = |id: &str, whose: &str, telecom: Value| json!({"resourceType": "RelatedPerson", "id": id, "active": false, "patient": {"reference": whose}, "telecom": telecom});
    let first = bundle(
        &[
            person("a", "Patient/r1", json!([{"system": "phone", "value": "1"}, email("Mum@example.test")])),
            person("b", "Patient/r2", json!([email("stranger@example.test")])),
        ],
        Some("RelatedPerson?page=2"),
    );
    let second =
        bundle(&[person("c", "Patient/r1", json!([email("not an address"), email("dad@example.test")]))], None);
    let ehr = ScriptedEhr::knowing(vec![
        ("RelatedPerson?patient=r1".to_owned(), fhir(200, &first)),
        ("RelatedPerson?page=2".to_owned(), fhir(200, &second)),
    ])
    .await;
    let teen = patient(&[("contact", json!([{"telecom": [email("aunt@example.test")]}]))]);
    let found = client_of(&ehr.base, |_| {}).related_contacts(&teen, NOW).await;
    let read: Vec<_> = found.found.iter().map(|one| (written(&one.value), one.at.0.as_str())).collect();
    assert_eq!(
        read,
        [
            ("aunt@example.test", "contact[0].telecom[0]"),
            ("Mum@example.test", "RelatedPerson[0].telecom[1]"),
            ("dad@example.test", "RelatedPerson[1].telecom[1]")
        ]
    );
    assert!(found.is_whole() && !format!("{found:?}").contains("example.test"));
    let crowd: Vec<_> =
        (0..501).map(|i| person(&format!("p{i}"), "Patient/r1", json!([email("mum@example.test")]))).collect();
    let crowded =
        ScriptedEhr::knowing(vec![("RelatedPerson?patient=r1".to_owned(), fhir(200, &bundle(&crowd, None)))]).await;
    let found = client_of(&crowded.base, |_| {}).related_contacts(&teen, NOW).await;
    assert_eq!((found.found.len(), found.lacking), (501, BTreeSet::from([Lack::TooMany])));
    let nobody = client_of("http://127.0.0.1:1/fhir", |_| {}).related_contacts(&teen, NOW).await;
    assert_eq!((nobody.found.len(), nobody.lacking), (1, BTreeSet::from([Lack::TimedOut])));
    let contacts = patient(&[]).contacts;
    assert!(contacts.found.is_empty() && contacts.is_whole());
}

#[tokio::test]
async fn only_a_relative_in_force_acts_for_the_patient() {
    let of = |changes: Value| {
        let mut person = json!({"resourceType": "RelatedPerson", "id": "a", "patient": {"reference": "Patient/r1"},
            "telecom": [{"system": "email", "value": "mum@example.test"}]});
        person.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        person
    };
    for (changes, stands) in [
        (json!({}), Stands::InForce),
        (json!({"active": true, "period": {"start": "2020", "end": "2026-11-21"}}), Stands::InForce),
        (json!({"period": {"start": "2026-11-21"}}), Stands::InForce),
        (json!({"active": false}), Stands::NotInForce),
        (json!({"active": "yes"}), Stands::NotInForce),
        (json!({"period": {"end": "2026-11-20"}}), Stands::NotInForce),
        (json!({"period": {"start": "2026-11-22"}}), Stands::NotInForce),
        (json!({"period": {"end": "soon"}}), Stands::NotInForce),
        (json!({"modifierExtension": [{"url": "x"}]}), Stands::NotInForce),
    ] {
        let listed = fhir(200, &bundle(&[of(changes.clone())], None));
        let ehr = ScriptedEhr::knowing(vec![("RelatedPerson?patient=r1".to_owned(), listed)]).await;
        let found = client_of(&ehr.base, |_| {}).related_contacts(&patient(&[]), NOW).await;
        assert_eq!(found.values().map(|kin| kin.stands).collect::<Vec<_>>(), [stands], "{changes}");
    }
}

const STATEMENT: &str = "metadata";

/// A statement that names these types.
fn statement(types: &[&str]) -> Say {
    let resources: Vec<_> = types.iter().map(|kind| json!({"type": kind})).collect();
    fhir(200, &json!({"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "resource": resources}]}))
}

fn person(kind: &str, id: &str, address: &str) -> (String, Say) {
    let telecom = json!([{"system": "email", "value": address}]);
    (format!("{kind}/{id}"), fhir(200, &json!({"resourceType": kind, "id": id, "telecom": telecom})))
}

fn no_relatives() -> (String, Say) {
    ("RelatedPerson?patient=r1".to_owned(), fhir(200, &bundle(&[], None)))
}

#[tokio::test]
async fn who_pays_for_the_patient_stands_by_them() {
    let reference = |to: &str| json!({"reference": to});
    let account = json!({"resourceType": "Account", "id": "a", "status": "inactive", "subject": [reference("Patient/r1")],
        "guarantor": [{"party": reference("RelatedPerson/mum"), "onHold": true}, {"party": reference("Organization/o")},
            {"party": reference("Patient/r1")}]});
    let strangers = json!({"resourceType": "Account", "id": "b", "subject": [reference("Patient/r2")],
        "guarantor": [{"party": reference("RelatedPerson/stranger")}]});
    let coverage = json!({"resourceType": "Coverage", "id": "c", "beneficiary": reference("Patient/r1"),
        "contained": [{"resourceType": "RelatedPerson", "id": "in", "telecom": [{"system": "email", "value": "gran@example.test"}]}],
        "subscriber": reference("Patient/dad"), "policyHolder": reference("#in"), "payor": [reference("Organization/payer"), {"display": "An Insurer"}]});
    let ehr = ScriptedEhr::knowing(vec![
        (STATEMENT.to_owned(), statement(&["Account", "Coverage", "Patient"])),
        no_relatives(),
        ("Account?patient=r1".to_owned(), fhir(200, &bundle(&[account, strangers], None))),
        ("Coverage?patient=r1".to_owned(), fhir(200, &bundle(&[coverage], None))),
        person("RelatedPerson", "mum", "mum@example.test"),
        person("Patient", "dad", "dad@example.test"),
    ])
    .await;
    let found = client_of(&ehr.base, |_| {}).related_contacts(&patient(&[]), NOW).await;
    let mut read: Vec<_> = found.values().map(written).collect();
    read.sort_unstable();
    assert_eq!(
        (read, found.lacking.clone()),
        (vec!["dad@example.test", "gran@example.test", "mum@example.test"], BTreeSet::new())
    );
    let asked: Vec<_> = ehr.asked().iter().map(super::scripted::Asked::target).collect();
    assert!(!asked.iter().any(|target| target.contains("stranger") || target.contains("Organization")), "{asked:?}");
}

#[tokio::test]
async fn who_pays_is_not_known_where_the_ehr_has_it_and_does_not_show_it() {
    let none = || fhir(200, &bundle(&[], None));
    let party = |to: &str| json!({"resourceType": "Account", "id": "a", "subject": [{"reference": "Patient/r1"}], "guarantor": [{"party": {"reference": to}}]});
    let has = &["Account", "Coverage"];
    let outcome = || fhir(404, &json!({"resourceType": "OperationOutcome", "issue": []}));
    for (name, said, account, coverage, lacking) in [
        ("it has neither", statement(&["Patient"]), answer(403, "", b""), answer(403, "", b""), vec![]),
        ("it says nothing and knows neither", outcome(), outcome(), outcome(), vec![]),
        ("it says nothing and refuses", outcome(), answer(403, "", b""), outcome(), vec![Lack::Refused]),
        ("it refuses what it has", statement(has), answer(403, "", b""), none(), vec![Lack::Refused]),
        ("it lost what it has", statement(has), none(), outcome(), vec![Lack::NotFound]),
        ("no statement comes", answer(503, "", b""), none(), none(), vec![Lack::TimedOut]),
        (
            "somebody elsewhere",
            statement(has),
            fhir(200, &bundle(&[party("https://other.test/fhir/Patient/1")], None)),
            none(),
            vec![Lack::Elsewhere],
        ),
        (
            "somebody by words alone",
            statement(has),
            none(),
            fhir(
                200,
                &bundle(
                    &[
                        json!({"resourceType": "Coverage", "id": "c", "beneficiary": {"reference": "Patient/r1"}, "subscriber": {"display": "Mum"}}),
                    ],
                    None,
                ),
            ),
            vec![Lack::Elsewhere],
        ),
        (
            "somebody lost",
            statement(has),
            fhir(200, &bundle(&[party("RelatedPerson/lost")], None)),
            none(),
            vec![Lack::NotFound],
        ),
        (
            "somebody who is another",
            statement(has),
            fhir(200, &bundle(&[party("RelatedPerson/liar")], None)),
            none(),
            vec![Lack::Unreadable],
        ),
    ] {
        let ehr = ScriptedEhr::knowing(vec![
            (STATEMENT.to_owned(), said),
            no_relatives(),
            ("Account?patient=r1".to_owned(), account),
            ("Coverage?patient=r1".to_owned(), coverage),
            ("RelatedPerson/liar".to_owned(), person("RelatedPerson", "other", "mum@example.test").1),
        ])
        .await;
        let found = client_of(&ehr.base, |_| {}).related_contacts(&patient(&[]), NOW).await;
        assert_eq!((found.found.len(), found.lacking), (0, BTreeSet::from_iter(lacking)), "{name}");
    }
}

#[tokio::test]
async fn an_ehr_is_asked_once_what_it_has() {
    let ehr = ScriptedEhr::knowing(vec![(STATEMENT.to_owned(), statement(&["Patient"])), no_relatives()]).await;
    let client = client_of(&ehr.base, |_| {});
    for _ in 0..3 {
        assert!(client.related_contacts(&patient(&[]), NOW).await.is_whole());
    }
    assert_eq!(ehr.asked().iter().filter(|asked| asked.target() == STATEMENT).count(), 1);
}

#[test]
fn a_birth_date_says_as_much_as_the_record_does() {
    use chrono::NaiveDate;
    let day = NaiveDate::from_ymd_opt(2012, 2, 29).unwrap();
    for (written, born) in [
        (json!("2012-02-29"), Born::Day(day)),
        (json!("2012-02"), Born::Month { year: 2012, month: 2 }),
        (json!("2012"), Born::Year(2012)),
        (json!(null), Born::Unknown),
        (json!(""), Born::Unknown),
        (json!("2013-02-29"), Born::Unreadable),
        (json!("2012-13"), Born::Unreadable),
        (json!("0000"), Born::Unreadable),
        (json!("12"), Born::Unreadable),
        (json!("29.02.2012"), Born::Unreadable),
        (json!("2012-02-29T10:00:00Z"), Born::Unreadable),
        (json!(2012), Born::Unreadable),
    ] {
        let read = patient(&[("birthDate", written.clone())]);
        assert!(read.born == born, "{written}");
        assert_eq!(read.birth_date, (born == Born::Day(day)).then_some(day), "{written}");
    }
}

#[test]
fn the_patients_zone_is_the_records_or_else_an_address_own() {
    let zone = |code: &str| json!([{"url": "x"}, {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": code}]);
    let in_zone = |code: &str| json!({"city": "x", "extension": zone(code)});
    for (changes, read) in [
        (vec![], None),
        (vec![("extension", zone("Europe/Warsaw"))], Some("Europe/Warsaw")),
        (vec![("address", json!([{"city": "x"}, in_zone("America/Chicago")]))], Some("America/Chicago")),
        (
            vec![("extension", zone("Europe/Warsaw")), ("address", json!([in_zone("America/Chicago")]))],
            Some("Europe/Warsaw"),
        ),
        (vec![("address", json!([in_zone("America/Chicago"), in_zone("Europe/Warsaw")]))], None),
        (vec![("extension", zone("Mars/Olympus"))], None),
        (vec![("extension", json!({"url": 7}))], None),
    ] {
        assert_eq!(patient(&changes).zone.map(chrono_tz::Tz::name), read, "{changes:?}");
    }
}
