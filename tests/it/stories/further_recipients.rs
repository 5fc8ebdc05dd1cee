//! A report goes to others than its patient, too: to those who act for them, who ordered it, and who get a copy. Each has a link of
//! their own, which lives and dies by itself.

use chartseal::desk::ContactWord;
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::holder::Holder;
use crate::support::{ehr, pdf};

pub(super) const HBA1C: &str = "4548-4";
pub(super) const CHILD: &str = "lena@example.test";
pub(super) const MUM: &str = "mum@example.test";
pub(super) const DAD: &str = "dad@example.test";
pub(super) const ROLE_CODES: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";

pub(super) const PROXIES: &str = r#"
[[profile]]
id = "parents"
when = { recipient = "proxy", basis = ["parent", "guardian"], code = "loinc|4548-4" }
then = { action = "send", opens = 3 }

[[profile]]
id = "attorneys"
when = { recipient = "proxy", basis = "representative", code = "loinc|4548-4" }
then = { action = "send" }
"#;

const PROVIDERS: &str = r#"
[[profile]]
id = "providers"
when = { recipient = ["ordering_provider", "copy_to"], code = "loinc|4548-4" }
then = { action = "send", opens = 3 }
"#;

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

pub(super) async fn clinic(database: Database, more: &str) -> Clinic {
    Clinic::spawn(Wishes { database, rules: format!("{RULES}{more}"), ..Wishes::default() }).await
}

/// A patient with this birthday and address; their id.
pub(super) async fn person(clinic: &Clinic, born: &str, address: &str) -> String {
    let id = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&id, "Garcia", "Lena", born, address)).await;
    id
}

/// Files who stands by the patient, by an HL7 code; their id.
pub(super) async fn files(clinic: &Clinic, patient: &str, code: &str, address: &str) -> String {
    let relationship = json!([{"coding": [{"system": ROLE_CODES, "code": code}]}]);
    clinic
        .lab()
        .post(&json!({"resourceType": "RelatedPerson", "active": true, "relationship": relationship,
            "patient": {"reference": format!("Patient/{patient}")}, "telecom": [email(address)]}))
        .await
}

fn email(address: &str) -> Value {
    json!({"system": "email", "value": address})
}

pub(super) async fn reports(clinic: &Clinic, patient: &str) -> String {
    clinic.lab().post(&ehr::report(patient, HBA1C, &real_now(), &paper())).await
}

/// How many messages each of these has.
pub(super) fn mails<const N: usize>(clinic: &Clinic, addresses: [&str; N]) -> [usize; N] {
    addresses.map(|address| clinic.mails_to(address).len())
}

/// What the newest link that went to this address says of itself.
pub(super) async fn says(clinic: &Clinic, address: &str) -> String {
    let link = clinic.mails_to(address).last().unwrap_or_else(|| panic!("no mail to {address}")).link();
    Holder::new(&link).look().await.says()
}

pub(super) async fn settle_for_minutes(clinic: &Clinic, minutes: u64) {
    for _ in 0..minutes {
        clinic.forward(std::time::Duration::from_mins(1));
        clinic.settle().await;
    }
}

/// A child of nine with parents who live apart.
pub(super) async fn family(clinic: &Clinic) -> (String, [String; 2]) {
    let child = person(clinic, "2017-05-06", CHILD).await;
    let mum = files(clinic, &child, "MTH", MUM).await;
    let dad = files(clinic, &child, "FTH", DAD).await;
    (child, [mum, dad])
}

async fn each_gets_a_link_of_their_own(database: Database) {
    let clinic = clinic(database, PROXIES).await;
    let (child, _) = family(&clinic).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
    for address in [CHILD, MUM, DAD] {
        assert_eq!(Holder::new(&clinic.mails_to(address)[0].link()).read().await, paper(), "{address}");
    }
    let for_proxies = clinic.deliveries_for(&report, "proxy").await;
    assert_eq!(for_proxies.len(), 2);
    // One opening for the child, three for each parent.
    assert_eq!(says(&clinic, CHILD).await, "opened_elsewhere");

    clinic.desk().revoke(&for_proxies[0].id, Some("not her any more".to_owned())).await.unwrap();
    let after = [says(&clinic, MUM).await, says(&clinic, DAD).await];
    assert!(after.contains(&"revoked".to_owned()) && after.iter().any(|one| one != "revoked"), "{after:?}");
    let shown = clinic.show(&clinic.delivery_of(&report).await.id).await;
    assert_eq!(shown.also_for.len(), 2, "staff who look at one see the others");

    // Heard of again, nothing is sent again.
    clinic.lab().change("DiagnosticReport", &report, |report| report["meta"] = json!({})).await;
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_and_both_parents_each_get_a_link_of_their_own() {
    for database in [Database::Sqlite, Database::Postgres] {
        Box::pin(each_gets_a_link_of_their_own(database)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mailbox_gets_one_message_however_many_read_there() {
    let clinic = clinic(Database::Sqlite, PROXIES).await;
    let child = person(&clinic, "2017-05-06", MUM).await;
    files(&clinic, &child, "MTH", &MUM.to_uppercase()).await;
    files(&clinic, &child, "FTH", "mum+dad@example.test").await;
    files(&clinic, &child, "GUARD", DAD).await;
    files(&clinic, &child, "GUADLTM", DAD).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [MUM, DAD]), [1, 1]);
    assert_eq!(clinic.mailbox.mails().len(), 2);
    assert_eq!(clinic.deliveries_of(&report).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_of_somebody_grown_up_gets_nothing_and_an_attorney_what_the_rules_allow() {
    let clinic = clinic(Database::Sqlite, PROXIES).await;
    let grown = person(&clinic, "1990-05-06", CHILD).await;
    files(&clinic, &grown, "MTH", MUM).await;
    files(&clinic, &grown, "HPOWATT", DAD).await;
    files(&clinic, &grown, "SPS", "spouse@example.test").await;
    reports(&clinic, &grown).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD, "spouse@example.test"]), [1, 0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rule_that_speaks_of_proxies_a_guardian_is_not_even_looked_for() {
    let clinic = clinic(Database::Sqlite, "").await;
    let (child, _) = family(&clinic).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 0, 0]);
    assert_eq!(clinic.deliveries_of(&report).await.len(), 1);
}

async fn a_recall_reaches_everybody(database: Database) {
    let clinic = clinic(database, PROXIES).await;
    let (child, _) = family(&clinic).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!("entered-in-error")).await;
    clinic.hear_and_settle().await;
    for address in [CHILD, MUM, DAD] {
        assert_eq!(says(&clinic, address).await, "recalled", "{address}");
    }
    assert_eq!(clinic.mailbox.mails().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ehr_takes_back_is_refused_to_everybody_who_got_it() {
    for database in [Database::Sqlite, Database::Postgres] {
        a_recall_reaches_everybody(database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_goes_to_everybody_and_to_who_acts_for_the_child_by_now() {
    let clinic = clinic(Database::Sqlite, PROXIES).await;
    let (child, [_, dad]) = family(&clinic).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    // A guardian who came later gets no old report, however often the EHR tells of it.
    files(&clinic, &child, "GUARD", "aunt@example.test").await;
    clinic.lab().change("RelatedPerson", &dad, |dad| dad["active"] = json!(false)).await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["meta"] = json!({})).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD, "aunt@example.test"]), [1, 1, 1, 0]);

    let corrected = pdf::with_pages(&["HbA1c 6.4 %"]);
    clinic
        .lab()
        .change("DiagnosticReport", &report, |old| {
            old["presentedForm"] = ehr::report(&child, HBA1C, &real_now(), &corrected)["presentedForm"].clone();
            old["status"] = json!("corrected");
        })
        .await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD, "aunt@example.test"]), [2, 2, 1, 1]);
    for address in [CHILD, MUM, "aunt@example.test"] {
        let link = clinic.mails_to(address).last().unwrap().link();
        assert_eq!(Holder::new(&link).read().await, corrected, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ordered_it_is_named_by_words_alone_and_a_guardians_end_counts_all_the_same() {
    let clinic = clinic(Database::Sqlite, &format!("{PROXIES}{PROVIDERS}")).await;
    let (child, [mum, _]) = family(&clinic).await;
    let order = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": {"reference": format!("Patient/{child}")}, "requester": {"display": "Dr Lee"}});
    let order = clinic.lab().post(&order).await;
    reports_on(&clinic, &child, &order).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["active"] = json!(false)).await;
    settle_for_minutes(&clinic, 18).await;
    assert_eq!([says(&clinic, MUM).await, says(&clinic, DAD).await], ["suspended", "ready"].map(str::to_owned));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_of_what_staff_took_from_the_patient_goes_to_nobody_by_itself() {
    let clinic = clinic(Database::Sqlite, PROXIES).await;
    let (child, _) = family(&clinic).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    clinic.desk().revoke(&clinic.delivery_of(&report).await.id, Some("the wrong result".to_owned())).await.unwrap();
    let corrected = ehr::report(&child, HBA1C, &real_now(), &pdf::with_pages(&["HbA1c 6.4 %"]));
    clinic
        .lab()
        .change("DiagnosticReport", &report, |old| {
            old["presentedForm"] = corrected["presentedForm"].clone();
            old["status"] = json!("corrected");
        })
        .await;
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
    let all = clinic.deliveries_of(&report).await;
    assert_eq!(all.iter().filter(|one| one.state == "review").count(), 3, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_keeps_a_report_from_the_patient_keeps_it_from_a_guardian_whose_rules_do_not_speak_of_it() {
    let confidential = "[[restrict]]\nid = \"looked-at\"\nwhen = { recipient = \"patient\", confidentiality = \"R\" }\n\
                        then = { action = \"manual_review\" }\n";
    let clinic = clinic(Database::Sqlite, &format!("{PROXIES}{confidential}")).await;
    let (child, _) = family(&clinic).await;
    let mut report = ehr::report(&child, HBA1C, &real_now(), &paper());
    report["meta"] =
        json!({"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]});
    let report = clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [0, 0, 0]);
    let waits = clinic.deliveries_for(&report, "proxy").await;
    assert!(waits.len() == 2 && waits.iter().all(|one| one.note.contains("confidential")), "{waits:?}");
}

/// An order by a practitioner in a role, with a copy to another. Their ids.
async fn order(clinic: &Clinic, patient: &str) -> String {
    let lab = clinic.lab();
    let doctor = lab.post(&json!({"resourceType": "Practitioner", "telecom": [email("doctor@example.test")]})).await;
    let role = json!({"resourceType": "PractitionerRole", "active": true,
        "practitioner": {"reference": format!("Practitioner/{doctor}")}});
    let role = lab.post(&role).await;
    let other = lab.post(&json!({"resourceType": "Practitioner", "telecom": [email("other@example.test")]})).await;
    lab.post(&json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": {"reference": format!("Patient/{patient}")},
        "requester": {"reference": format!("PractitionerRole/{role}")},
        "extension": [{"url": "http://hl7.org.au/fhir/StructureDefinition/result-copies-to",
            "valueReference": {"reference": format!("Practitioner/{other}")}}]}))
        .await
}

async fn reports_on(clinic: &Clinic, patient: &str, order: &str) -> String {
    let mut report = ehr::report(patient, HBA1C, &real_now(), &paper());
    report["basedOn"] = json!([{"reference": format!("ServiceRequest/{order}")}]);
    clinic.lab().post(&report).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ordered_it_and_who_gets_a_copy_get_it_once_staff_asked_whether_the_address_is_theirs() {
    let clinic = clinic(Database::Sqlite, PROVIDERS).await;
    let patient = person(&clinic, "1990-05-06", CHILD).await;
    let order = order(&clinic, &patient).await;
    let first = reports_on(&clinic, &patient, &order).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mailbox.mails().len(), 1, "the patient's alone");
    for role in ["ordering_provider", "copy_to"] {
        let waits = &clinic.deliveries_for(&first, role).await[0];
        assert_eq!(waits.state, "review");
        assert!(waits.note.contains("address is theirs"), "{}", waits.note);
        // Nor by a person's word alone.
        clinic.desk().release(&waits.id, None).await.unwrap();
        clinic.settle().await;
        assert_eq!(clinic.mailbox.mails().len(), 1);
        clinic.desk().say_of_contact(&waits.id, ContactWord::Confirm, None).await.unwrap();
    }
    // Of whichever patient.
    let another = person(&clinic, "1980-05-06", "ana@example.test").await;
    let second = reports_on(&clinic, &another, &order).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test", "doctor@example.test", "other@example.test"]), [1, 1, 1]);
    let link = clinic.mails_to("doctor@example.test")[0].link();
    assert_eq!(Holder::new(&link).read().await, paper());

    // Somebody else's mailbox after all: what went there is refused, the patients' links stand.
    let sent = clinic.deliveries_for(&second, "ordering_provider").await[0].id.clone();
    let changed = clinic.desk().say_of_contact(&sent, ContactWord::Dispute, None).await.unwrap();
    assert_eq!(changed.revoked, [sent]);
    assert_eq!(says(&clinic, "other@example.test").await, "ready");
    assert_eq!(says(&clinic, "ana@example.test").await, "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ordered_it_gets_a_copy_where_the_rules_speak_of_copies_alone() {
    let copies = "[[profile]]\nid = \"copies\"\nwhen = { recipient = \"copy_to\", code = \"loinc|4548-4\" }\nthen = { action = \"send\" }\n";
    let clinic = clinic(Database::Sqlite, copies).await;
    let patient = person(&clinic, "1990-05-06", CHILD).await;
    let order = order(&clinic, &patient).await;
    clinic
        .lab()
        .change("ServiceRequest", &order, |order| {
            order["extension"][0]["valueReference"] = order["requester"].clone();
        })
        .await;
    let report = reports_on(&clinic, &patient, &order).await;
    clinic.hear_and_settle().await;
    let waits = clinic.deliveries_for(&report, "copy_to").await;
    assert!(waits.len() == 1 && waits[0].state == "review", "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_turns_out_to_be_anothers_goes_to_nobody_by_itself() {
    let clinic = clinic(Database::Sqlite, PROXIES).await;
    let (child, _) = family(&clinic).await;
    let other = person(&clinic, "2016-01-01", "tom@example.test").await;
    files(&clinic, &other, "MTH", "toms-mum@example.test").await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    clinic
        .lab()
        .change("DiagnosticReport", &report, |report| {
            report["subject"] = json!({"reference": format!("Patient/{other}")});
        })
        .await;
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    for address in [CHILD, MUM, DAD] {
        assert_eq!(says(&clinic, address).await, "recalled", "{address}");
    }
    assert_eq!(mails(&clinic, ["tom@example.test", "toms-mum@example.test"]), [0, 0]);
    let waits = clinic.deliveries_for(&report, "proxy").await;
    assert!(waits.iter().any(|one| one.state == "review"), "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_as_report_and_document_is_one_link_for_each_recipient() {
    let clinic = clinic(Database::Sqlite, PROXIES).await;
    let (child, _) = family(&clinic).await;
    let binary = clinic.lab().post(&ehr::binary(&paper())).await;
    let url = json!([{"contentType": "application/pdf", "url": format!("Binary/{binary}")}]);
    let mut report = ehr::report(&child, HBA1C, &real_now(), &paper());
    report["presentedForm"] = url.clone();
    let mut document = ehr::document(&child, HBA1C, &real_now(), &paper());
    document["content"] = json!([{"attachment": url[0]}]);
    clinic.lab().post(&report).await;
    let document = clinic.lab().post(&document).await;
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
    clinic.lab().change("DocumentReference", &document, |one| one["status"] = json!("entered-in-error")).await;
    clinic.hear_and_settle().await;
    for address in [CHILD, MUM, DAD] {
        assert_eq!(says(&clinic, address).await, "recalled", "{address}");
    }
}

/// Both names of a document wait for a person when its recipient is struck off.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_two_names_whose_recipient_is_gone_comes_to_rest() {
    let clinic = clinic(Database::Sqlite, PROXIES).await;
    let (child, [_, dad]) = family(&clinic).await;
    let mut document = ehr::document(&child, HBA1C, &real_now(), &paper());
    let report = ehr::report(&child, HBA1C, &real_now(), &paper());
    document["content"] = json!([{"attachment": report["presentedForm"][0]}]);
    let report = clinic.lab().post(&report).await;
    let document = clinic.lab().post(&document).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
    for kind in ["patient", "proxy"] {
        for one in [&report, &document] {
            for sent in clinic.deliveries_for(one, kind).await.iter().filter(|one| one.state == "live") {
                clinic.desk().revoke(&sent.id, None).await.unwrap();
            }
        }
    }
    let corrected = ehr::report(&child, HBA1C, &real_now(), &pdf::with_pages(&["HbA1c 6.4 %"]));
    let form = corrected["presentedForm"][0].clone();
    clinic.lab().change("DiagnosticReport", &report, |old| old["presentedForm"] = json!([form])).await;
    clinic.lab().change("DocumentReference", &document, |old| old["content"][0]["attachment"] = form.clone()).await;
    clinic.hear_and_settle().await;
    clinic.lab().change("RelatedPerson", &dad, |dad| dad["active"] = json!(false)).await;
    for one in [("DiagnosticReport", &report), ("DocumentReference", &document)] {
        clinic.lab().change(one.0, one.1, |old| old["meta"] = json!({})).await;
    }
    // It would not come to rest if one name made the other due.
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
}
