//! What would have become of an EHR's reports, before Chartseal ever follows it.

use serde_json::json;

use crate::support::clinic::{Clinic, Wishes};
use crate::support::planted::{self, assert_absent};
use crate::support::{ehr, pdf, program};

const HBA1C: &str = "4548-4";
const UNMAPPED: &str = "2106-3";

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_reads_the_past_and_leaves_neither_mail_nor_row() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let page = pdf::with_pages(&["a page"]);
    clinic.report("ana-1@example.test", HBA1C, &page).await;
    clinic.report(planted::EMAIL.value, UNMAPPED, &page).await;
    let (_, taken_back) = clinic.report("ana-3@example.test", HBA1C, &page).await;
    clinic.lab().change("DiagnosticReport", &taken_back, |report| report["status"] = json!("entered-in-error")).await;
    let patient = ehr::new_patient_id();
    let mut unreachable = ehr::patient(&patient, planted::FAMILY.value, "Ana", "1984-05-06", "ana-4@example.test");
    unreachable["telecom"] = json!([]);
    clinic.lab().update(&unreachable).await;
    clinic.lab().post(&ehr::report(&patient, HBA1C, &crate::support::clinic::real_now(), &page)).await;

    let ran = program::run(&clinic.config_path, &["rehearse", "--since", "1d"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_absent("the rehearsal", ran.all().as_bytes(), &planted::PATIENT_DATA);
    for line in ["Nothing was sent", "sent at once    1", "unreachable     1", "not final       1", "for a person    1"]
    {
        assert!(ran.out.contains(line), "no '{line}' in {}", ran.out);
    }
    let found = program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--ehr", "lab", "--json"]).json();
    assert_eq!((&found["seen"], &found["sent"], &found["not_final"]), (&json!(4), &json!(1), &json!(1)), "{found}");
    assert_eq!(found["unmapped"][0], json!({"code": format!("http://loinc.org|{UNMAPPED}"), "reports": 1}));
    assert_eq!((&found["ended"], &found["unread"]), (&json!("whole"), &json!({})), "{found}");
    let bounded = program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--reports-max", "1"]);
    assert!(bounded.out.contains("There is more: it ended after"), "{}", bounded.out);
    let unknown = program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--ehr", "nowhere"]);
    assert!(unknown.code == 2 && unknown.err.contains("no such EHR"), "{}", unknown.all());

    let rules = clinic.folder.join("all-looked-at.toml");
    let text = crate::support::clinic::RULES.replace("\"send\"", "\"manual_review\"");
    std::fs::write(&rules, text).unwrap();
    let other =
        program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--rules", rules.to_str().unwrap(), "--json"])
            .json();
    assert_eq!(other["sent"], 0, "{other}");

    assert!(clinic.deliveries().await.is_empty() && clinic.mailbox.mails().is_empty(), "a rehearsal was for real");
}
