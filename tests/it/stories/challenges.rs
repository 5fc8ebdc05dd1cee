//! What a link asks before it opens: a question, a code in the same mailbox, a code that staff tell; the lock, and who takes it off.

use std::time::Duration;

use chartseal::base::SecretText;
use chartseal::desk::{Beside, DeskError, Order, OwnQuestion};
use chartseal::record::Checked;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::ehr;
use crate::support::holder::{Answer, Holder};
use crate::support::pdf;

/// By code, for each way of asking.
pub const RULES: &str = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "question"
when = { code = "loinc|4548-4" }
then = { action = "send", opens = 3, verify = "question" }

[[profile]]
id = "code"
when = { code = "loinc|24323-8" }
then = { action = "send", opens = 3, verify = "code" }

[[profile]]
id = "both"
when = { code = "loinc|58410-2" }
then = { action = "send", opens = 3, verify = ["question", "code"], code_via = "other", code_else = "staff" }

[[profile]]
id = "slip"
when = { code = "loinc|11502-2" }
then = { action = "send", opens = 3, verify = "code", code_via = "other", code_else = "slip" }

[[profile]]
id = "pickup"
when = { code = "loinc|3016-3" }
then = { action = "send", verify = "code", code_via = "other", code_else = "pickup" }
"#;

pub const QUESTION: &str = "4548-4";
pub const CODE: &str = "24323-8";
pub const BOTH: &str = "58410-2";
pub const SLIP: &str = "11502-2";
const PICK_UP: &str = "3016-3";
/// Of every patient that `Clinic::report` makes.
pub const BORN: &str = "1984-05-06";

pub async fn clinic() -> Clinic {
    Clinic::spawn(Wishes { rules: RULES.to_owned(), ..Wishes::default() }).await
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// The code in the newest message to `address`, of which there are then so many.
async fn code_in(clinic: &Clinic, address: &str, messages: usize) -> String {
    let text = clinic.mailbox.wait_for(address, messages).await.text;
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    text.split(|c: char| !c.is_ascii_alphanumeric()).find(is_code).expect("a message with a code").to_owned()
}

fn said(answer: &Answer) -> (String, u64) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.says());
    (answer.body["said"].as_str().unwrap().to_owned(), answer.body["asks"]["left"].as_u64().unwrap_or(99))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_asks_for_the_date_of_birth_of_each_browser_and_takes_it_in_any_form() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", QUESTION, &paper()).await;
    let mut first = Holder::new(&link);
    let looked = first.look().await;
    assert_eq!(looked.body["asks"], json!({"left": 5, "attempts": 5, "question": {"is": "birth_date"}}));
    let refused = first.open().await;
    assert_eq!((refused.status, refused.says()), (StatusCode::CONFLICT, "ready".to_owned()));
    assert_eq!(refused.body["share"], Value::Null);
    assert_eq!(said(&first.answer("question", "1984-05-07").await), ("wrong".to_owned(), 4));
    assert_eq!(said(&first.answer("code", "123456").await), ("not_asked".to_owned(), 4));
    assert_eq!(said(&first.answer("question", " 6 May 1984 ").await), ("right".to_owned(), 99));
    assert!(first.read().await == paper());

    let mut second = Holder::new(&link);
    assert_eq!(
        second.look().await.body["asks"]["left"],
        json!(4),
        "the right answer of another browser counts for nothing"
    );
    assert_eq!(second.open().await.status, StatusCode::CONFLICT);
    assert_eq!(said(&second.answer("question", "06.05.1984").await), ("right".to_owned(), 99));
    assert!(second.read().await == paper());

    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    let events: Vec<&str> = shown.audit.iter().filter_map(|line| line["event"].as_str()).collect();
    assert!(events.contains(&"asks") && events.contains(&"answered_wrong") && events.contains(&"answered_right"));
    assert!(!serde_json::to_string(&shown.audit).unwrap().contains("1984"), "the audit holds an answer");
    assert_eq!(shown.opened, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_comes_when_the_page_asks_for_it_opens_once_and_ends_the_one_before() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", CODE, &paper()).await;
    let mut holder = Holder::new(&link);
    assert_eq!(holder.look().await.body["asks"]["code"], json!({"by": "email", "until": null}));
    assert_eq!(
        said(&holder.answer("code", "123456").await),
        ("no_code".to_owned(), 5),
        "none was made: nothing is counted"
    );
    assert_eq!(said(&holder.send_code().await).0, "sent");
    clinic.settle().await;
    let old = code_in(&clinic, "ana@example.test", 2).await;
    assert_eq!(said(&holder.send_code().await).0, "sent");
    clinic.settle().await;
    let new = code_in(&clinic, "ana@example.test", 3).await;
    if old != new {
        assert_eq!(
            said(&holder.answer("code", &old).await),
            ("wrong".to_owned(), 4),
            "a newer code ends the one before"
        );
    }
    let grouped = format!(" {}-{} ", &new[..3], &new[3..]);
    assert_eq!(said(&holder.answer("code", &grouped).await).0, "right");
    assert!(holder.read().await == paper());
    let mut other = Holder::new(&link);
    assert_eq!(said(&other.answer("code", &new).await).0, "no_code", "it was used");
    assert_eq!(clinic.only_delivery().await.state, "live", "two openings are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_lives_for_ten_minutes_and_no_more_than_three_are_sent_within_an_hour() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", CODE, &paper()).await;
    let mut holder = Holder::new(&link);
    for messages in 2..=4 {
        assert_eq!(said(&holder.send_code().await).0, "sent");
        clinic.settle().await;
        code_in(&clinic, "ana@example.test", messages).await;
    }
    let code = code_in(&clinic, "ana@example.test", 4).await;
    let many = holder.send_code().await;
    assert_eq!(said(&many).0, "too_many_codes");
    assert_eq!(many.body["again_at"].as_i64(), Some(clinic.now().plus(Duration::from_hours(1)).0));
    clinic.forward(Duration::from_mins(10));
    assert_eq!(said(&holder.answer("code", &code).await), ("no_code".to_owned(), 5));
    clinic.forward(Duration::from_mins(50));
    assert_eq!(said(&holder.send_code().await).0, "sent");
    clinic.settle().await;
    let code = code_in(&clinic, "ana@example.test", 5).await;
    assert_eq!(said(&holder.answer("code", &code).await).0, "right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_could_not_leave_in_its_life_never_leaves_and_its_link_stands() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", CODE, &paper()).await;
    let mut holder = Holder::new(&link);
    clinic.desk().pause("a trial").await.unwrap();
    assert_eq!(said(&holder.send_code().await).0, "sent");
    clinic.settle().await;
    clinic.forward(Duration::from_mins(11));
    clinic.desk().resume().await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mails_to("ana@example.test").len(), 1, "a code was sent that counts no more");
    assert_eq!(clinic.only_delivery().await.state, "live");
    assert_eq!(holder.look().await.says(), "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_other_channel_staff_tell_a_code_to_whom_they_checked() {
    let clinic = clinic().await;
    let link = clinic.sent("ana@example.test", BOTH, &paper()).await;
    let id = clinic.only_delivery().await.id;
    let mut holder = Holder::new(&link);
    let asks = holder.look().await.body["asks"].clone();
    assert_eq!((&asks["question"]["is"], &asks["code"]["by"]), (&json!("birth_date"), &json!("staff")));
    assert_eq!(said(&holder.send_code().await).0, "not_asked", "no code goes where the link went");
    let told = clinic.desk().code(&id, Checked::CalledBack).await.unwrap();
    assert_eq!(said(&holder.answer("code", told.code.expose()).await).0, "right");
    assert_eq!(holder.open().await.status, StatusCode::CONFLICT, "the question is still open");
    assert_eq!(said(&holder.answer("question", BORN).await).0, "right");
    assert!(holder.read().await == paper());
    let mut other = Holder::new(&link);
    assert_eq!(said(&other.answer("code", told.code.expose()).await).0, "no_code", "a code that was told opens once");

    let told = clinic.desk().code(&id, Checked::IdDocument).await.unwrap();
    clinic.forward(Duration::from_hours(1));
    assert_eq!(said(&other.answer("code", told.code.expose()).await).0, "no_code", "it lives for an hour");
    let shown = clinic.show(&id).await;
    let line = shown.audit.iter().find(|line| line["event"] == "code_told").unwrap();
    assert_eq!((&line["checked"], &line["actor"]["operator"]), (&json!("called_back"), &json!("Eve Admin")));
    assert!(!serde_json::to_string(&shown).unwrap().contains(told.code.expose()));
    assert_eq!(shown.asks.unwrap().what.len(), 2);
    let link = clinic.sent("plain@example.test", QUESTION, &paper()).await;
    let plain = clinic.deliveries().await.remove(0).id;
    assert!(matches!(clinic.desk().code(&plain, Checked::CalledBack).await, Err(DeskError::AsksNoCode)));
    drop(link);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_link_refuses_the_right_answer_until_staff_unlock_it_and_they_do_once() {
    for database in [Database::Sqlite, Database::Postgres] {
        let clinic = Clinic::spawn(Wishes { database, rules: RULES.to_owned(), ..Wishes::default() }).await;
        let link = clinic.sent("ana@example.test", QUESTION, &paper()).await;
        let id = clinic.only_delivery().await.id;
        let mut holder = Holder::new(&link);
        assert!(matches!(clinic.desk().unlock(&id, "a call".to_owned()).await, Err(DeskError::NotLocked)));
        for left in [4, 3, 2, 1, 0] {
            assert_eq!(said(&holder.answer("question", "1999-09-09").await), ("wrong".to_owned(), left));
        }
        assert_eq!(said(&holder.answer("question", BORN).await), ("locked".to_owned(), 0));
        assert_eq!(said(&Holder::new(&link).answer("question", BORN).await), ("locked".to_owned(), 0));
        clinic.desk().unlock(&id, "called back at the record's number".to_owned()).await.unwrap();
        for left in [4, 3, 2, 1, 0] {
            assert_eq!(said(&holder.answer("question", "1999-09-09").await), ("wrong".to_owned(), left));
        }
        let again = clinic.desk().unlock(&id, "again".to_owned()).await;
        assert!(matches!(again, Err(DeskError::UnlockedBefore)));
        assert_eq!(clinic.show(&id).await.asks.unwrap().left, 0);

        clinic.desk().resend(&id, None).await.unwrap();
        clinic.settle().await;
        let fresh = clinic.mailbox.wait_for("ana@example.test", 2).await.link();
        let mut holder = Holder::new(&fresh);
        assert_eq!(said(&holder.answer("question", BORN).await).0, "right", "a new link begins anew");
        assert!(holder.read().await == paper());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_full_date_of_birth_a_person_looks_and_may_ask_a_question_of_their_own() {
    let clinic = clinic().await;
    let patient = ehr::new_patient_id();
    let mut record = ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", "ana@example.test");
    record["birthDate"] = json!("1984");
    clinic.lab().update(&record).await;
    let now = clinic.now().to_rfc3339();
    clinic.lab().post(&ehr::report(&patient, QUESTION, &now, &paper())).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("--question"), "{}", brief.note);

    let answer = SecretText::new("St. Mary's".to_owned());
    assert!(matches!(OwnQuestion::new("two\nlines", &answer), Err(DeskError::NoQuestion)));
    assert!(matches!(OwnQuestion::new("?", &SecretText::new("...".to_owned())), Err(DeskError::NoQuestion)));
    let question = OwnQuestion::new("In which hospital was your operation?", &answer).unwrap();
    clinic.desk().release_with(&brief.id, None, Beside { question: Some(question), note: None }).await.unwrap();
    clinic.settle().await;
    let link = clinic.mailbox.wait_for("ana@example.test", 1).await.link();
    let mut holder = Holder::new(&link);
    let asked = json!({"is": "own", "text": "In which hospital was your operation?"});
    assert_eq!(holder.look().await.body["asks"]["question"], asked);
    assert_eq!(said(&holder.answer("question", BORN).await).0, "wrong");
    assert_eq!(said(&holder.answer("question", "ST MARYS").await).0, "right");

    clinic.desk().resend(&brief.id, None).await.unwrap();
    clinic.settle().await;
    let again = clinic.mailbox.wait_for("ana@example.test", 2).await.link();
    let mut holder = Holder::new(&again);
    assert_eq!(holder.look().await.body["asks"]["question"], asked, "it goes with the next link");
    assert_eq!(said(&holder.answer("question", "st. mary's").await).0, "right");
    assert!(holder.read().await == paper());
}

/// A report of this order for a new patient at `email`.
pub async fn report_of_order(clinic: &Clinic, email: &str, order: &str) {
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", email)).await;
    let mut report = ehr::report(&patient, SLIP, &clinic.now().to_rfc3339(), &paper());
    report["basedOn"] = json!([{"reference": format!("ServiceRequest/{order}")}]);
    clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_on_the_slip_for_an_order_opens_its_report_and_no_other() {
    let clinic = clinic().await;
    let order = |id: &str| Order { ehr: "lab".parse().unwrap(), id: id.to_owned() };
    let riverside = || "riverside".parse().unwrap();
    let mine = clinic.desk().print_slips(1, riverside(), Some(order("draw-1"))).await.unwrap().remove(0);
    let others = clinic.desk().print_slips(1, riverside(), Some(order("draw-2"))).await.unwrap().remove(0);
    report_of_order(&clinic, "ana@example.test", "draw-1").await;
    let link = clinic.mailbox.wait_for("ana@example.test", 1).await.link();
    let mut holder = Holder::new(&link);
    assert_eq!(holder.look().await.body["asks"]["code"]["by"], json!("slip"));
    assert_eq!(said(&holder.send_code().await).0, "not_asked");
    assert_eq!(said(&holder.answer("code", others.code.expose()).await), ("wrong".to_owned(), 4));
    assert_eq!(
        said(&holder.answer("code", "ABCDE").await),
        ("mistyped".to_owned(), 4),
        "what is no slip's counts for nothing"
    );
    assert_eq!(said(&holder.answer("code", &mine.code.expose().to_lowercase()).await).0, "right");
    assert!(holder.read().await == paper());
    let mut second = Holder::new(&link);
    assert_eq!(said(&second.answer("code", mine.code.expose()).await).0, "right", "a slip serves each of the openings");
    assert!(second.read().await == paper());
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    assert!(!serde_json::to_string(&shown).unwrap().contains(&mine.code.expose().replace('-', "")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_slip_for_its_order_a_report_waits_until_one_is_bound_and_that_once() {
    let clinic = clinic().await;
    let order = |id: &str| Order { ehr: "lab".parse().unwrap(), id: id.to_owned() };
    let slip = clinic.desk().print_slips(2, "riverside".parse().unwrap(), None).await.unwrap().remove(0);
    report_of_order(&clinic, "ana@example.test", "draw-9").await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("slips bind"), "{}", brief.note);
    assert!(matches!(clinic.desk().bind_slip("AAAA-AAAB", order("draw-9")).await, Err(DeskError::NoSlip)));
    clinic.desk().bind_slip(&slip.reference.to_lowercase(), order("draw-9")).await.unwrap();
    assert!(matches!(clinic.desk().bind_slip(&slip.reference, order("draw-8")).await, Err(DeskError::SlipBound)));
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.settle().await;
    let link = clinic.mailbox.wait_for("ana@example.test", 1).await.link();
    let mut holder = Holder::new(&link);
    assert_eq!(said(&holder.answer("code", slip.code.expose()).await).0, "right");
    assert!(holder.read().await == paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_for_which_the_patient_comes_never_leaves() {
    let clinic = clinic().await;
    clinic.report("ana@example.test", PICK_UP, &paper()).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("comes for the report"), "{}", brief.note);
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!(clinic.only_delivery().await.state, "review", "no release sends it");
    assert!(clinic.mails_to("ana@example.test").is_empty());
    clinic.desk().revoke(&brief.id, Some("picked up".to_owned())).await.unwrap();
    assert_eq!(clinic.only_delivery().await.state, "revoked");
}
