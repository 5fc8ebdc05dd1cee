//! A report that consists of several files: all of them leave in its link, in their order, or none does.

use chartseal::base::{DeliveryId, MediaType};
use chartseal::desk::{Beside, StaffNote};
use chartseal::sealing::ReceiptOutcome;
use chartseal::store;
use serde_json::{Value, json};
use thirtyfour::By;

use crate::support::browser::{Browser, PHONE};
use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::holder::Holder;
use crate::support::{ehr, pdf, wait};

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";

fn paper(text: &str) -> Vec<u8> {
    pdf::with_pages(&[text])
}

fn form(bytes: &[u8]) -> Value {
    json!({"contentType": "application/pdf", "data": data_encoding::BASE64.encode(bytes)})
}

async fn clinic(database: Database) -> Clinic {
    let rules = RULES.replace("opens = 1", "opens = 3");
    Clinic::spawn(Wishes { database, rules, ..Wishes::default() }).await
}

/// Posts a report with these forms; returns its id.
async fn report(clinic: &Clinic, forms: Vec<Value>) -> String {
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    let mut report = ehr::report(&patient, HBA1C, &real_now(), b"");
    report["presentedForm"] = Value::Array(forms);
    let id = clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    id
}

async fn all_files_leave_in_their_order(database: Database) {
    let clinic = clinic(database).await;
    let (first, second, third) = (paper("Pathology: benign"), paper("Addendum: see below"), paper("Pictures"));
    let forms = vec![form(&first), form(&second), form(&first), form(&third)];
    report(&clinic, forms).await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    let mut reader = Holder::new(&link);
    assert_eq!(reader.look().await.body["files"], 3);
    assert_eq!(reader.read_all().await, [first, second, third], "what comes twice is given once");
    assert_eq!(reader.receipt(ReceiptOutcome::Decrypted).await.as_u16(), 204);
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    let sealed: Vec<_> = shown.audit.iter().filter(|line| line["event"] == "sealed").collect();
    assert_eq!((sealed.len(), &sealed[0]["files"]), (1, &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pdfs_in_a_report_the_second_was_lost_and_all_leave_in_their_order() {
    Box::pin(all_files_leave_in_their_order(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pdfs_in_a_report_the_second_was_lost_and_all_leave_in_their_order_on_postgres() {
    Box::pin(all_files_leave_in_their_order(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_of_the_second_file_alone_reaches_the_patient() {
    let clinic = clinic(Database::Sqlite).await;
    let (first, second, other) = (paper("Pathology: benign"), paper("Addendum"), paper("Addendum, corrected"));
    let id = report(&clinic, vec![form(&first), form(&second)]).await;
    let old = clinic.mailbox.wait_for(ANA, 1).await.link();
    let forms = json!([form(&first), form(&other)]);
    clinic
        .lab()
        .change("DiagnosticReport", &id, |report| {
            report["status"] = json!("corrected");
            report["presentedForm"] = forms;
        })
        .await;
    clinic.hear_and_settle().await;
    let link = clinic.mailbox.wait_for(ANA, 2).await.link();
    assert_eq!(Holder::new(&link).read_all().await, [first, other]);
    assert_eq!(Holder::new(&old).open().await.says(), "superseded");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_document_that_is_one_file_of_a_report_neither_is_taken_for_the_other() {
    let clinic = clinic(Database::Sqlite).await;
    let (first, second) = (paper("Pathology: benign"), paper("Addendum"));
    report(&clinic, vec![form(&second)]).await;
    clinic.mailbox.wait_for(ANA, 1).await;
    report(&clinic, vec![form(&first), form(&second)]).await;
    let link = clinic.mailbox.wait_for(ANA, 2).await.link();
    assert_eq!(Holder::new(&link).read_all().await, [first, second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_report_of_which_one_file_is_anothers_nothing_leaves_and_a_person_lets_each_go() {
    let clinic = clinic(Database::Sqlite).await;
    let own = paper("Pathology");
    let others = pdf::with_pages(&["Patient: Brown, Emily\nDate of birth: 12/03/1957\nMRN: 7781234\nPathology"]);
    let another = pdf::with_pages(&["Patient: Smith, Harold\nDate of birth: 01/07/1949\nMRN: 9912345\nPathology"]);
    report(&clinic, vec![form(&own), form(&others), form(&another)]).await;
    for _ in 0..2 {
        let brief = clinic.only_delivery().await;
        assert_eq!(brief.state, "review", "{}", brief.note);
        assert!(clinic.mails_to(ANA).is_empty() && clinic.blobs().is_empty(), "nothing left, and nothing is kept");
        clinic.desk().release(&brief.id, None).await.unwrap();
        clinic.settle().await;
    }
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    assert_eq!(Holder::new(&link).read_all().await, [own, others, another]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_an_archive_waits_for_a_person() {
    let clinic = clinic(Database::Sqlite).await;
    let forms = (0..11).map(|n| form(&paper(&format!("Page {n}")))).collect();
    report(&clinic, forms).await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("more than 10"), "{}", brief.note);
}

fn named(bytes: &[u8], title: &str) -> Value {
    let mut form = form(bytes);
    form["title"] = json!(title);
    form
}

const REVIEWED: &str = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "looked-at"
when = { code = "loinc|4548-4" }
then = { action = "send", opens = 3, channel = ["email"], release = "manual" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_opened_page_shows_what_files_are_called_and_what_staff_say_and_nobody_else_learns_it() {
    let wishes = Wishes { rules: REVIEWED.to_owned(), ..Wishes::default() };
    let clinic = Clinic::spawn(wishes).await;
    let (first, second) = (paper("Pathology: benign"), paper("Addendum"));
    let forms = vec![named(&first, "Pathology\u{202e} of 3 May.pdf"), named(&second, "../Addendum")];
    report(&clinic, forms).await;
    let brief = clinic.only_delivery().await;
    let said = "Nothing to worry about.\nCall us on Monday. Plantednote";
    let note = StaffNote::new(said).unwrap();
    clinic.desk().release_with(&brief.id, None, Beside { question: None, note: Some(note) }).await.unwrap();
    clinic.settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    assert_eq!(Holder::new(&link).look().await.body["files"], 2, "a note is no document");

    let browser = Browser::open(PHONE).await;
    browser.goto(&link).await.unwrap();
    browser.press("button.primary").await;
    browser.wait_for_text(".clinic-note", "Nothing to worry about.").await;
    wait::until_async("both documents", async || {
        (browser.find_all(By::Css("canvas")).await.ok()?.len() == 2).then_some(())
    })
    .await;
    let heads = browser.run("return [...document.querySelectorAll('.document-head h2')].map((one) => one.textContent)");
    assert_eq!(heads.await, json!(["Pathology of 3 May.pdf", "Addendum"]));
    browser.run("document.querySelector('.clinic-note').scrollIntoView()").await;
    browser.keep_screen("page-reading-note-and-names").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.press("button.done").await;
    browser.press(".told button.primary").await;
    browser.wait_for_text("main", "gone from this page").await;
    assert!(!browser.source().await.unwrap().contains("Plantednote"), "it goes with the documents");

    let shown = clinic.show(&brief.id).await;
    assert!(shown.audit.iter().any(|line| line["event"] == "note_set"));
    assert!(!serde_json::to_string(&shown.audit).unwrap().contains("Plantednote"));
    for file in ["chartseal.db", "chartseal.db-wal"] {
        let bytes = std::fs::read(clinic.folder.join(file)).unwrap_or_default();
        assert!(!bytes.windows(11).any(|window| window == b"Plantednote"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_stands_in_its_link_and_is_kept_nowhere_once_that_is_made() {
    let clinic = Clinic::spawn(Wishes { rules: REVIEWED.to_owned(), ..Wishes::default() }).await;
    report(&clinic, vec![form(&paper("Pathology: benign"))]).await;
    let brief = clinic.only_delivery().await;
    let note = StaffNote::new("Call us on Monday.").unwrap();
    clinic.desk().release_with(&brief.id, None, Beside { question: None, note: Some(note) }).await.unwrap();
    clinic.settle().await;
    let link = clinic.mailbox.wait_for(ANA, 1).await.link();
    let id = DeliveryId::parse(&brief.id).unwrap();
    assert_eq!(clinic.ground.store.read(move |conn| store::note_of(conn, &id)).await.unwrap(), None);
    let mut reader = Holder::new(&link);
    let granted = reader.open().await.granted();
    assert_eq!(granted.files.iter().map(|file| file.media).collect::<Vec<_>>(), [MediaType::Pdf, MediaType::Contents]);
    let sealed = reader.file(2, None).await.bytes;
    let contents = reader.decrypt(&granted, &granted.files[1], &sealed).ok().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&contents).unwrap(),
        json!({"titles": {}, "notes": ["Call us on Monday."]})
    );
    clinic.desk().resend(&brief.id, None).await.unwrap();
    clinic.settle().await;
    let link = clinic.mailbox.wait_for(ANA, 2).await.link();
    assert_eq!(Holder::new(&link).open().await.granted().files.len(), 1, "made again it has none");
}
