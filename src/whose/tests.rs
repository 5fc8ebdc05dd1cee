//! A corpus of what papers say of their patients, with what must be concluded.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::{Known, KnownBirth, KnownName, Verdict, What, compare};

const ANA: &[(&str, &str)] = &[("García López", "Ana María"), ("Lopez", "Ana")];
const JURGEN: &[(&str, &str)] = &[("Müller-Lüdenscheidt", "Jürgen")];
const LUKASZ: &[(&str, &str)] = &[("Wójcik", "Łukasz Jan")];
const SERGEY: &[(&str, &str)] = &[("Иванов", "Сергей")];
const BABY: &[(&str, &str)] = &[("Garcia", "Baby Girl")];
const WILLIAM: &[(&str, &str)] = &[("O'Brien", "William Henry")];

fn known(names: &[(&str, &str)]) -> Known {
    let name = |(family, given): &(&str, &str)| KnownName {
        family: (*family).to_owned(),
        given: given.split(' ').map(str::to_owned).collect(),
        text: String::new(),
    };
    Known {
        names: names.iter().map(name).collect(),
        born: KnownBirth::Day(NaiveDate::from_ymd_opt(1984, 5, 6).unwrap()),
        identifiers: vec!["MRN-0012345".to_owned(), "8837461".to_owned(), "84050612345".to_owned()],
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Same,
    Nothing,
    Another(Vec<What>),
}

fn verdict(text: &str, names: &[(&str, &str)]) -> Expected {
    match compare(text, &known(names)) {
        Verdict::SamePatient { .. } => Expected::Same,
        Verdict::NothingSaid => Expected::Nothing,
        Verdict::AnotherIdentity { what } => Expected::Another(what.into_iter().collect()),
    }
}

/// Family and given names of a record.
type Names = &'static [(&'static str, &'static str)];

fn assert_all(cases: &[(&str, Names, Expected)]) {
    let wrong: Vec<String> = cases
        .iter()
        .enumerate()
        .filter_map(|(n, (text, names, expected))| {
            let found = verdict(text, names);
            (found != *expected).then(|| format!("case {n}: {text:?}\n  expected {expected:?}, found {found:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

use Expected::{Another, Nothing, Same};
use What::{BirthDate, Name, RecordNumber};

#[test]
fn the_patients_own_paper_is_recognised_however_it_is_written() {
    assert_all(&[
        ("Patient: García López, Ana María\nDOB: 06/05/1984\nMRN: MRN-0012345", ANA, Same),
        ("Patient Name: ANA GARCIA LOPEZ   Date of Birth: May 6, 1984", ANA, Same),
        ("Patient: Garcia, Ana", ANA, Same),
        ("Name: Garcia Lopez Ana M.\nBorn 6 May 1984", ANA, Same),
        ("PATIENT\tGARCIALOPEZ, ANA\tDOB\t1984-05-06", ANA, Same),
        ("Patient: Ana Gar-\ncia Lopez\nDOB 05/06/1984", ANA, Same),
        ("Patient: Lopez, Ana (former name)\nDOB: 05-06-84", ANA, Same),
        ("Patient name\tDate of birth\tMRN\nGarcia, Ana\t06.05.1984\t0012345", ANA, Same),
        ("Paciente: GARCIA LOPEZ, ANA MARIA  F. Nac.: 06/05/1984  NHC: 8837461", ANA, Same),
        ("Nombre y apellidos: Ana García López\nFecha de nacimiento: 6 de mayo de 1984", ANA, Same),
        ("Patient: Müller-Lüdenscheidt, Jürgen, geb. 06.05.1984", JURGEN, Same),
        ("Patient: Mueller-Luedenscheidt, Juergen *06.05.1984", JURGEN, Same),
        ("Herrn\nJürgen Müller-Lüdenscheidt, geb. am 6. Mai 1984", JURGEN, Same),
        ("Name, Vorname: MULLER LUDENSCHEIDT, JURGEN\nGeburtsdatum: 06.05.84", JURGEN, Same),
        ("Pacjent: WÓJCIK ŁUKASZ\nData urodzenia: 1984-05-06\nPESEL: 84050612345", LUKASZ, Same),
        ("Imię i nazwisko: Lukasz Wojcik, ur. 6 maja 1984 r.", LUKASZ, Same),
        ("Nom du patient : GARCIA LOPEZ Ana\nNée le 6 mai 1984", ANA, Same),
        ("Patient: Ivanov, Sergey\nDOB: 06 May 1984", SERGEY, Same),
        ("Patient: Иванов Сергей", SERGEY, Same),
        ("Patient: O’BRIEN, WILLIAM H\nDOB 1984/05/06", WILLIAM, Same),
        ("Patient: Mr. William O'Brien Jr.", WILLIAM, Same),
        ("GARCIA^ANA^MARIA\nHaemoglobin 13.1 g/dl", ANA, Same),
        ("Dear Ana García, your results are in.", ANA, Same),
        ("Record 8837461, HbA1c 5.4 %", ANA, Same),
        ("Patient: Ana Lopez\nDate of birth: 1984-MAY-06", ANA, Same),
        ("Patient: Perez, Ana\nDOB: 05/06/1984", ANA, Same), // a name by marriage that the record does not have
        ("Patient: Billy O'Brien\nDOB: 05/06/1984\nMRN: 0012345", WILLIAM, Same),
        (
            "Baby Girl Garcia\nDate of birth: 05/06/1984\nMother: Elena Garcia, mother's date of birth 01/02/1960",
            BABY,
            Same,
        ),
        ("Patient: Garcia, Lucia\nDOB: 6 May 1984", BABY, Same),
        ("Patient: A. Garcia\nDOB: 06/05/1984", ANA, Same),
        ("Patient: Garcla, Ana\nDOB: 06/05/1984", ANA, Same), // misread by a scanner
        ("Date of birth: May 1984\nPatient: Ana Garcia", ANA, Same),
    ]);
}

#[test]
fn a_swapped_patients_paper_is_another_identity() {
    assert_all(&[
        ("Patient: Perez, Luis\nDOB: 01/02/1970\nMRN: MRN-0099999", ANA, Another(vec![Name, BirthDate, RecordNumber])),
        ("Patient Name: SMITH, JOHN", ANA, Another(vec![Name])),
        ("Name of patient: Maria Kowalska", ANA, Another(vec![Name])),
        ("PATIENT\tPEREZ, LUIS\tDOB\t1970-02-01", ANA, Another(vec![Name, BirthDate])),
        ("Patient name\tDate of birth\nPerez, Luis\t01.02.1970", ANA, Another(vec![Name, BirthDate])),
        // Relatives: the family's name is the same.
        ("Patient: Garcia Lopez, Luis\nDOB: 06/05/1984", ANA, Another(vec![Name])),
        ("Patient: Garcia, Elena", ANA, Another(vec![Name])),
        // Namesakes.
        ("Patient: Garcia, Ana\nDOB: 12/11/1951", ANA, Another(vec![BirthDate])),
        ("Patient: William O'Brien\nDate of birth: March 3, 1949", WILLIAM, Another(vec![BirthDate])),
        ("Patient: Garcia, Ana\nMRN: MRN-0098765", ANA, Another(vec![RecordNumber])),
        // The given name is the same.
        ("Patient: Kowalska, Ana", ANA, Another(vec![Name])),
        // A second patient's page behind the first.
        (
            "Patient: Garcia, Ana\nDOB: 06/05/1984\nHbA1c 5.4 %\u{c}Patient: Perez, Luis\nHIV 1/2 reactive",
            ANA,
            Another(vec![Name]),
        ),
        (
            "Patient: Garcia, Ana DOB: 06/05/1984\nPage 1\nPatient: Perez, Luis DOB: 01/02/1970",
            ANA,
            Another(vec![Name]),
        ),
        ("Paciente: PEREZ SOTO, LUIS\nFecha de nacimiento: 1 de febrero de 1970", ANA, Another(vec![Name, BirthDate])),
        ("Pacjent: KOWALSKI JAN\nPESEL: 70020112345", LUKASZ, Another(vec![Name, RecordNumber])),
        ("Pacjentka: Anna Nowak, ur. 01.02.1970", LUKASZ, Another(vec![Name, BirthDate])),
        ("Patientin: Schmidt, Anna, geb. 01.02.1970", JURGEN, Another(vec![Name, BirthDate])),
        ("Patient: Schmidt, Hans *01.02.1970", JURGEN, Another(vec![Name, BirthDate])),
        ("Nom du patient : DURAND Marie\nNée le 3 mars 1950", ANA, Another(vec![Name, BirthDate])),
        ("Name: Perez, Luis\nDOB: 01/02/1970", ANA, Another(vec![Name, BirthDate])),
        ("Geburtsdatum: 01.02.1970\nBefund: unauffällig", JURGEN, Another(vec![BirthDate])),
        ("Patient: Petrov, Ivan", SERGEY, Another(vec![Name])),
        ("Patient: PEREZ^LUIS", ANA, Another(vec![Name])),
        ("Patient: Garcia, Ana\nDOB: 1985", ANA, Another(vec![BirthDate])),
        ("Last name: Perez\nFirst name: Luis\nDOB: 01/02/1970", ANA, Another(vec![Name, BirthDate])),
    ]);
}

#[test]
fn who_else_is_named_and_what_else_is_dated_raises_no_alarm() {
    assert_all(&[
        ("HbA1c 5.4 %\nSecond page", ANA, Nothing),
        ("", ANA, Nothing),
        ("* 01/02/2026 sodium 140\n* 03/02/2026 sodium 138", ANA, Nothing),
        ("A healthy girl was born on 01/02/2026", ANA, Nothing),
        ("Physician: Luis Perez\nReferring physician name: Elena Soto", ANA, Nothing),
        ("Ordering provider name: Perez, Luis\nPatient: Garcia, Ana", ANA, Same),
        ("Name: Dr. Luis Perez", ANA, Nothing),
        ("Mother's name: Elena Soto\nMother's DOB: 01/02/1960\nPatient: Ana Garcia", ANA, Same),
        ("Patient: Ana Garcia\nEmergency contact name: Luis Perez", ANA, Same),
        ("Patient: Ana Garcia\nGuarantor: Luis Perez DOB: 01/02/1950", ANA, Same),
        ("Patient: 41 year old woman presents with a cough", ANA, Nothing),
        ("Patient: Female", ANA, Nothing),
        ("Patient information\nFasting: yes", ANA, Nothing),
        ("Patient: The patient was informed of the results", ANA, Nothing),
        ("Test name: Lipid panel\nSpecimen ID: 99887766", ANA, Nothing),
        ("Collected: 01/02/2026\nReported: 03/02/2026\nPatient: Ana Garcia", ANA, Same),
        ("Patient: Ana Garcia\nDOB: 06/05/1984\nMRN: 7654321", ANA, Same), // the laboratory's own number
        ("Patient ID: 55-443-A2\nHaemoglobin 13", ANA, Nothing),
        ("Patient: Baby of Ana Garcia\nWeight 3100 g", BABY, Same),
        ("Patient: Inpatient\nWard name: South Wing", ANA, Nothing),
        ("Insurance subscriber name: Luis Perez\nSubscriber DOB: 01/02/1970", ANA, Nothing),
        ("Patient: 王小明", ANA, Nothing),
        ("Lab name: Central Laboratory\nDevice name: Cobas Pro", ANA, Nothing),
        ("Arzt: Hans Schmidt\nEinsender Name: Schmidt, Hans", JURGEN, Nothing),
        ("Lekarz: Jan Kowalski\nNazwisko lekarza: Kowalski", LUKASZ, Nothing),
        ("Médico: Luis Pérez\nCentro: Hospital Norte", ANA, Nothing),
        ("Reported by: Perez, Luis", ANA, Nothing),
        ("The patient's mother: Elena Soto", ANA, Nothing),
    ]);
}

#[test]
fn the_answer_says_by_what_a_paper_was_recognised() {
    let text = "Patient: Garcia, Ana\nDOB: 06/05/1984\nMRN: MRN-0012345";
    let by = BTreeSet::from([Name, BirthDate, RecordNumber]);
    assert_eq!(compare(text, &known(ANA)), Verdict::SamePatient { by });
    let only_name = compare("Patient: Garcia, Ana", &known(ANA));
    assert_eq!(only_name, Verdict::SamePatient { by: BTreeSet::from([Name]) });
}

#[test]
fn of_a_record_that_says_little_little_is_compared() {
    let silent = Known { names: Vec::new(), born: KnownBirth::Unknown, identifiers: Vec::new() };
    assert_eq!(compare("Patient: Perez, Luis\nDOB: 01/02/1970\nMRN: 123456", &silent), Verdict::NothingSaid);
    let year = Known { born: KnownBirth::Year(1984), ..known(ANA) };
    assert!(matches!(compare("Patient: Ana Garcia\nDOB: 01/02/1984", &year), Verdict::SamePatient { .. }));
    assert!(matches!(compare("Patient: Ana Garcia\nDOB: 01/02/1985", &year), Verdict::AnotherIdentity { .. }));
    let whole = KnownName { text: "Ana García".to_owned(), ..KnownName::default() };
    let whole = Known { names: vec![whole], ..known(ANA) };
    assert!(matches!(compare("Patient: GARCIA ANA", &whole), Verdict::SamePatient { .. }));
    assert!(matches!(compare("Patient: PEREZ LUIS", &whole), Verdict::AnotherIdentity { .. }));
}

#[test]
fn a_long_text_is_compared_in_time() {
    let text = "Patient name: x DOB: 1 MRN: * ".repeat(40_000);
    let text = [text, "\u{fb01}".repeat(100_000)].concat();
    let start = std::time::Instant::now();
    assert_eq!(compare(&text, &known(ANA)), Verdict::NothingSaid);
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
