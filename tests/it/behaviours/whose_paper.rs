//! The right patient's paper: an attachment whose text speaks of another patient waits for a person.

use chartseal::base::MediaType;
use data_encoding::BASE64;
use serde_json::json;

use crate::support::clinic::{Clinic, Database, Wishes, desk_at, real_now};
use crate::support::holder::Holder;
use crate::support::{ehr, pdf};

pub const ANA: &str = "ana@example.test";
const HBA1C: &str = "4548-4";

pub fn own_paper() -> Vec<u8> {
    pdf::with_pages(&["Patient: Garcia, Ana  DOB: 05/06/1984", "HbA1c 5.4 %"])
}

pub fn anothers_paper() -> Vec<u8> {
    pdf::with_pages(&["Patient: Quillfeather, Luis  DOB: 01/02/1970", "HIV 1/2 reactive"])
}

/// One report with this attachment for Ana Garcia; its id.
pub async fn post(clinic: &Clinic, kind: &str, bytes: &[u8]) -> String {
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut report = ehr::report(&patient, HBA1C, &real_now(), b"");
    report["presentedForm"] = json!([{"contentType": kind, "data": BASE64.encode(bytes)}]);
    clinic.lab().post(&report).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_of_another_patient_waits_for_a_person_who_may_let_it_go_on_sqlite() {
    waits_and_goes(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_of_another_patient_waits_for_a_person_who_may_let_it_go_on_postgresql() {
    waits_and_goes(Database::Postgres).await;
}

async fn waits_and_goes(database: Database) {
    let clinic = Clinic::spawn(Wishes { database, ..Wishes::default() }).await;
    let report = post(&clinic, "application/pdf", &anothers_paper()).await;
    clinic.hear_and_settle().await;
    let held = clinic.delivery_of(&report).await;
    assert_eq!(held.state, "review");
    assert!(held.note.contains("the name and birth date in it differs"), "{}", held.note);
    let shown = serde_json::to_string(&clinic.show(&held.id).await).unwrap();
    for value in ["Quillfeather", "Luis", "1970", "reactive"] {
        assert!(!shown.contains(value), "{value} is told");
    }
    assert_eq!((clinic.mails_to(ANA).len(), clinic.blobs()), (0, Vec::<String>::new()));

    // Nothing lets it go by itself.
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&report).await.state, "review");

    let desk = desk_at(&clinic.ground);
    desk.release(&held.id, Some("the EHR's name is the one by marriage".to_owned())).await.unwrap();
    clinic.settle().await;
    let (granted, bytes) = Holder::new(&clinic.mailbox.wait_for(ANA, 1).await.link()).claim_and_read().await;
    assert!(bytes == anothers_paper() && granted.files[0].media == MediaType::Pdf);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_word_is_about_the_bytes_that_were_doubted() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let binary = clinic.lab().post(&ehr::binary(&anothers_paper())).await;
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut report = ehr::report(&patient, HBA1C, &real_now(), b"");
    report["presentedForm"] = json!([{"contentType": "application/pdf", "url": format!("Binary/{binary}")}]);
    let report = clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    let held = clinic.delivery_of(&report).await;
    assert_eq!(held.state, "review");
    // The file behind the same address becomes yet another patient's before the word.
    let third = pdf::with_pages(&["Patient: Kowalska, Maria  DOB: 03/03/1990"]);
    let mut other = ehr::binary(&third);
    other["id"] = json!(binary);
    clinic.lab().update(&other).await;
    desk_at(&clinic.ground).release(&held.id, None).await.unwrap();
    clinic.settle().await;
    assert_eq!(clinic.delivery_of(&report).await.state, "review");
    assert_eq!(clinic.mails_to(ANA).len(), 0);
    desk_at(&clinic.ground).release(&held.id, None).await.unwrap();
    clinic.settle().await;
    let (_, bytes) = Holder::new(&clinic.mailbox.wait_for(ANA, 1).await.link()).claim_and_read().await;
    assert!(bytes == third);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_of_the_patients_own_or_of_nobody_said_is_sent() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let text = b"Patient: Ana Garcia\nHbA1c 5.4 %\n".as_slice();
    let cases: [(&str, Vec<u8>); 4] = [
        ("application/pdf", own_paper()),
        ("application/pdf", pdf::with_pages(&["HbA1c 5.4 %"])),
        ("application/pdf", b"%PDF-1.7\n%%EOF\n".to_vec()),
        ("text/plain", text.to_vec()),
    ];
    for (n, (kind, bytes)) in cases.iter().enumerate() {
        let report = post(&clinic, kind, bytes).await;
        clinic.hear_and_settle().await;
        assert_eq!(clinic.delivery_of(&report).await.state, "live", "case {n}");
    }
    let report = post(&clinic, "text/plain", b"Patient: Luis Quillfeather\nHIV 1/2 reactive\n").await;
    clinic.hear_and_settle().await;
    let held = clinic.delivery_of(&report).await;
    assert_eq!(held.state, "review");
    assert!(held.note.contains("the name in it differs"), "{}", held.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_may_demand_that_each_paper_names_its_patient() {
    let ehr_more = "attachment_identity = \"named\"\n".to_owned();
    let clinic = Clinic::spawn(Wishes { ehr_more, ..Wishes::default() }).await;
    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0x5a; 400]].concat();
    let cases = [
        ("application/pdf", own_paper(), "live"),
        ("application/pdf", pdf::with_pages(&["Patient: Garcia, Ana"]), "review"),
        ("application/pdf", pdf::with_pages(&["HbA1c 5.4 %"]), "review"),
        ("image/png", png, "review"),
    ];
    for (n, (kind, bytes, state)) in cases.iter().enumerate() {
        let report = post(&clinic, kind, bytes).await;
        clinic.hear_and_settle().await;
        let brief = clinic.delivery_of(&report).await;
        assert_eq!(brief.state, *state, "case {n}: {}", brief.note);
        if *state == "review" {
            assert!(brief.note.contains("does not say well enough whose it is"), "{}", brief.note);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_may_leave_it_unchecked() {
    let ehr_more = "attachment_identity = \"unchecked\"\n".to_owned();
    let clinic = Clinic::spawn(Wishes { ehr_more, ..Wishes::default() }).await;
    let report = post(&clinic, "application/pdf", &anothers_paper()).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&report).await.state, "live");
}
