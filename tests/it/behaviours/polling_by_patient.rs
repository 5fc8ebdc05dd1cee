//! EHRs that refuse searches over all patients: each patient of a panel is asked about in turn.

use std::time::Duration;

use serde_json::{Value, json};

use super::polling::{go_on, heard, put_report, with_double};
use crate::support::clinic::{self, Clinic};
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};
use crate::support::place::Place;
use crate::support::program;

/// What US Core allows a server to do: a search of reports without a patient is refused.
fn refuses_all_patients(asked: &Asked) -> Act {
    let is_search = asked.searches("DiagnosticReport") || asked.searches("DocumentReference");
    if is_search && !asked.target.contains("patient=") {
        return Act::Answer(Reply::fhir(400, &outcome("required")));
    }
    let listed = |resource: Value| {
        let bundle = json!({"resourceType": "Bundle", "entry": [{"resource": resource}]});
        Act::Answer(Reply::fhir(200, &bundle))
    };
    if asked.searches("Appointment") {
        let participant = json!([{"actor": {"reference": "Patient/p-visit"}}]);
        return listed(json!({"resourceType": "Appointment", "id": "a1", "participant": participant}));
    }
    if asked.searches("ServiceRequest") {
        let subject = json!({"reference": "Patient/p-order"});
        return listed(json!({"resourceType": "ServiceRequest", "id": "s1", "subject": subject}));
    }
    Act::AsUsual
}

fn put_group(double: &EhrDouble) {
    let member = json!([{"entity": {"reference": "Patient/p-group"}}]);
    double.put(&json!({"resourceType": "Group", "id": "lab-patients", "type": "person", "member": member}));
}

/// Searches of reports of this patient so far.
fn asked_about(double: &EhrDouble, patient: &str) -> usize {
    let asked = double.asked().into_iter();
    asked
        .filter(|asked| {
            asked.searches("DiagnosticReport") && asked.target.contains(&format!("patient={patient}&_lastUpdated"))
        })
        .count()
}

/// Whether any file of the installation but those of its configuration names `what`.
fn is_in_the_database(clinic: &Clinic, what: &str) -> bool {
    let files = std::fs::read_dir(&*clinic.folder).unwrap().map(|entry| entry.unwrap().path());
    let databases = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("chartseal.db"));
    databases.into_iter().any(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(what.len()).any(|window| window == what.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn event_05_an_ehr_that_refuses_searches_over_all_is_asked_about_each_patient_of_its_panel() {
    let (double, place) = (EhrDouble::start().await, Place::new("panel"));
    double.behave(refuses_all_patients);
    put_group(&double);
    let file = place.join("patients.csv");
    std::fs::write(&file, "patient_id\np-file\n").unwrap();
    let more = format!(
        "panel = [\"group:lab-patients\", \"appointments\", \"orders\", \"file:{}\"]\npanel_minutes = 5",
        file.display()
    );
    let clinic = with_double(&double, &more).await;
    clinic.settle().await;
    let emails: Vec<String> = ["group", "visit", "order", "file", "stranger"]
        .iter()
        .map(|name| put_report(&double, name, &clinic::real_now()))
        .collect();
    let arrived = || emails.iter().map(|email| clinic.mails_to(email).len()).collect::<Vec<_>>();
    go_on(&clinic, &double, Duration::from_secs(61)).await;
    assert_eq!(arrived(), [1, 1, 1, 1, 0]);
    let told = heard(&clinic).await;
    assert_eq!(told.panel.as_ref().map(|panel| (panel.patients, panel.failing)), Some((4, 0)));
    assert!(told.kinds.iter().all(|kind| kind.poll_why.is_none() && kind.last_poll_at.is_some()));
    for patient in ["p-group", "p-visit", "p-order", "p-file"] {
        assert!(!is_in_the_database(&clinic, patient), "{patient} is readable in the database");
    }
    assert!(is_in_the_database(&clinic, "r-file"), "the look would find what is there");

    // Who joins later is searched as far back as a report may leave by itself.
    std::fs::write(&file, "patient_id\np-file\nPatient/p-stranger\n").unwrap();
    go_on(&clinic, &double, Duration::from_mins(6)).await;
    go_on(&clinic, &double, Duration::from_mins(2)).await;
    assert_eq!(arrived(), [1, 1, 1, 1, 1], "and nothing twice");

    let ran = program::run(&clinic.config_path, &["ehrs", "list"]);
    assert!(ran.out.contains("lab: it is asked about the 5 patients of its panel one by one"), "{}", ran.out);
}

/// A list that cannot be read drops nobody; a patient about whom the EHR fails keeps nobody else waiting.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_one_patient_or_one_list_that_fails_keeps_no_other_patient_waiting() {
    let double = EhrDouble::start().await;
    double.behave(refuses_all_patients);
    put_group(&double);
    let more = "panel = [\"group:lab-patients\", \"appointments\", \"orders\"]\npanel_minutes = 5";
    let clinic = with_double(&double, more).await;
    clinic.settle().await;
    double.behave(|asked| {
        if asked.reads("Group") || asked.target.contains("patient=p-visit") {
            return Act::Answer(Reply::fhir(500, &outcome("exception")));
        }
        refuses_all_patients(asked)
    });
    let emails = ["group", "visit", "order"].map(|name| put_report(&double, name, &clinic::real_now()));
    go_on(&clinic, &double, Duration::from_mins(6)).await;
    go_on(&clinic, &double, Duration::from_mins(2)).await;
    let arrived = || emails.each_ref().map(|email| clinic.mails_to(email).len());
    assert_eq!(arrived(), [1, 0, 1]);
    let told = heard(&clinic).await;
    assert_eq!(told.panel.map(|panel| (panel.patients, panel.failing)), Some((3, 1)));
    assert!(told.kinds[0].poll_why.as_deref().is_some_and(|why| why.contains("some patients")));
    let list = told.looks.iter().find_map(|look| look.why.clone()).unwrap();
    assert!(list.contains("the group: the EHR failed with status 500") && !list.contains("lab-patients"), "{list}");

    double.behave(refuses_all_patients);
    go_on(&clinic, &double, Duration::from_mins(6)).await;
    go_on(&clinic, &double, Duration::from_mins(2)).await;
    assert_eq!(arrived(), [1, 1, 1]);
    let told = heard(&clinic).await;
    assert!(told.kinds[0].poll_why.is_none() && told.looks.iter().all(|look| look.why.is_none()));
}

/// An EHR that is down is not asked about everybody in vain.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_an_ehr_that_is_down_is_not_asked_about_everybody_in_vain() {
    let (double, place) = (EhrDouble::start().await, Place::new("panel"));
    let file = place.join("patients.csv");
    let lines: String = (0..60).map(|n| format!("p-many-{n}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    double.behave(refuses_all_patients);
    let clinic = with_double(&double, &format!("panel = [\"file:{}\"]", file.display())).await;
    clinic.settle().await;
    assert!((0..60).all(|n| asked_about(&double, &format!("p-many-{n}")) == 1), "everybody once, in turns of twenty");
    let before = double.asked().len();
    double.behave(|_| Act::HangUp);
    go_on(&clinic, &double, Duration::from_secs(61)).await;
    let in_vain = double.asked().len() - before;
    assert!(in_vain <= 16, "{in_vain} calls to an EHR that is down");
    assert!(heard(&clinic).await.kinds[0].poll_why.as_deref().is_some_and(|why| why.contains("cannot be reached")));
    let email = put_report(&double, "many-59", &clinic::real_now());
    double.behave(refuses_all_patients);
    go_on(&clinic, &double, Duration::from_secs(61)).await;
    assert_eq!(clinic.mails_to(&email).len(), 1);
}
