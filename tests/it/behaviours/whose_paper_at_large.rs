//! The right patient's paper, over a population that nobody lives in: no alarm for anybody's own, one for each that was swapped.

use std::io::Read as _;

use chartseal::fhir::{Patient, ServiceBase, read_patient};
use chartseal::whose::{Verdict, compare};
use data_encoding::BASE64;
use serde_json::Value;

const POPULATION: &[u8] = include_bytes!("../../fixtures/synthetic/population.ndjson.gz");

fn resources(kind: &str) -> Vec<Value> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(POPULATION).read_to_string(&mut text).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|one| one["resourceType"] == kind).collect()
}

fn patients() -> Vec<(Value, Patient)> {
    let base = ServiceBase::new("https://ehr.example/fhir/".parse().unwrap()).unwrap();
    let read = |one: Value| {
        let patient = read_patient(&serde_json::to_vec(&one).unwrap(), &base).unwrap_or_else(|_| panic!("a patient"));
        (one, patient)
    };
    resources("Patient").into_iter().map(read).collect()
}

/// How laboratories and clinics head their papers.
fn heads(patient: &Value) -> Vec<String> {
    let name =
        |part: &str| patient["name"][0][part].as_str().or(patient["name"][0][part][0].as_str()).unwrap().to_owned();
    let (family, given) = (name("family"), name("given"));
    let born = patient["birthDate"].as_str().unwrap();
    let [year, month, day] = born.split('-').collect::<Vec<_>>()[..] else { panic!("a day") };
    let initial = &given[..given.char_indices().nth(1).map_or(given.len(), |(at, _)| at)];
    vec![
        format!("Patient: {family}, {given}\nDOB: {month}/{day}/{year}\nSodium 140"),
        format!(
            "CENTRAL LAB\nPatient Name: {} {}   Date of Birth: {born}\nOrdering provider: Smith, John",
            given.to_uppercase(),
            family.to_uppercase()
        ),
        format!("Name\tDate of birth\n{family}, {given}\t{day}.{month}.{year}\nHIV 1/2"),
        format!("Patient: {given} {initial}. {family} (F), geb. {day}.{month}.{year}\nArzt: Dr. Hans Schmidt"),
        format!("Paciente: {family}, {given}  F. Nac.: {day}/{month}/{year}\nMédico: Luis Pérez"),
        format!("Pacjent: {family} {given}, ur. {year}-{month}-{day}"),
        format!("PATIENT\n{family}^{given}\nDATE OF BIRTH\n{year}{month}{day}"),
    ]
}

#[test]
fn none_of_a_populations_own_notes_and_papers_raises_an_alarm() {
    let patients = patients();
    let (mut notes, mut papers) = (0, 0);
    for document in resources("DocumentReference") {
        let subject = document["subject"]["reference"].as_str().unwrap();
        let (_, patient) = patients.iter().find(|(one, _)| subject.ends_with(one["id"].as_str().unwrap())).unwrap();
        let note = BASE64.decode(document["content"][0]["attachment"]["data"].as_str().unwrap().as_bytes()).unwrap();
        let note = String::from_utf8(note).unwrap();
        let verdict = compare(&note, &patient.known());
        assert!(!matches!(verdict, Verdict::AnotherIdentity { .. }), "{verdict:?}: {note}");
        notes += 1;
    }
    for (one, patient) in &patients {
        for head in heads(one) {
            let verdict = compare(&head, &patient.known());
            assert!(matches!(verdict, Verdict::SamePatient { .. }), "{verdict:?}: {head}");
            papers += 1;
        }
    }
    assert_eq!((notes, papers), (160, 112));
}

#[test]
fn each_paper_of_a_population_that_was_swapped_raises_an_alarm() {
    let patients = patients();
    let mut swapped = 0;
    for (n, (one, _)) in patients.iter().enumerate() {
        for (_, other) in patients.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, pair)| pair) {
            for head in heads(one) {
                let verdict = compare(&head, &other.known());
                assert!(matches!(verdict, Verdict::AnotherIdentity { .. }), "{verdict:?}: {head}");
                swapped += 1;
            }
        }
    }
    assert_eq!(swapped, 16 * 15 * 7);
}
