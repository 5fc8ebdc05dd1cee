//! A link that took too many wrong answers is unlocked through the channel by which it did not come: once, and by nobody else.

use std::time::Duration;

use serde_json::json;
use thirtyfour::By;

use crate::stories::challenges::BORN;
use crate::stories::texts::{code_in, patient, report};
use crate::support::browser::{Browser, PHONE};
use crate::support::clinic::{Clinic, Database, RULES, Wishes};
use crate::support::holder::Holder;
use crate::support::texts::TwilioStub;

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";
const PHONE_OF_ANA: &str = "+12025550131";

async fn clinic(gateway: &TwilioStub, channels: &str, database: Database) -> Clinic {
    let rules = RULES.replace("channel = [\"email\"]", &format!("verify = \"question\", channel = [{channels}]"));
    Clinic::spawn(Wishes { database, rules, more: gateway.config(), ..Wishes::default() }).await
}

/// The link by mail of somebody who has a mobile phone too.
async fn sent(clinic: &Clinic) -> String {
    let telecom = json!([
        {"system": "email", "value": ANA, "rank": 1},
        {"system": "sms", "value": PHONE_OF_ANA, "rank": 2},
    ]);
    let ana = patient(clinic, telecom).await;
    report(clinic, &ana, HBA1C).await;
    clinic.mailbox.wait_for(ANA, 1).await.link()
}

async fn locked(link: &str) -> Holder {
    let mut holder = Holder::new(link);
    for _ in 0..5 {
        assert_eq!(holder.answer("question", "1999-01-01").await.body["said"], "wrong");
    }
    assert_eq!(holder.answer("question", BORN).await.body["said"], "locked", "be it right");
    holder
}

async fn code(clinic: &Clinic, gateway: &TwilioStub, holder: &mut Holder) -> String {
    assert_eq!(holder.send_code().await.body["said"], "sent");
    clinic.settle().await;
    let text = gateway.taken().pop().expect("a text");
    assert!(text.to == PHONE_OF_ANA && !text.body.contains("/r/"), "a code alone: {}", text.body);
    code_in(&text.body)
}

async fn a_locked_link_is_unlocked_once(database: Database) {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"email\", \"sms\"", database).await;
    let link = sent(&clinic).await;
    let mut stranger = Holder::new(&link);
    assert_eq!(stranger.answer("unlock", "123456").await.body["said"], "not_asked", "it is not locked");
    let mut holder = locked(&link).await;
    let looked = holder.look().await.body;
    assert_eq!((&looked["asks"]["left"], &looked["asks"]["unlock"]["by"]), (&json!(0), &json!("sms")));
    assert_eq!(holder.answer("unlock", "123456").await.body["said"], "no_code", "none was sent");
    let code = code(&clinic, &gateway, &mut holder).await;
    let wrong = if code == "123456" { "654321" } else { "123456" };
    let said = holder.answer("unlock", wrong).await.body;
    assert_eq!((&said["said"], &said["asks"]["unlock"]["left"]), (&json!("wrong"), &json!(2)));
    let said = holder.answer("unlock", &code).await.body;
    assert_eq!((&said["said"], &said["asks"]["left"]), (&json!("right"), &json!(5)), "what was asked is asked still");
    assert_eq!(holder.open().await.status.as_u16(), 409, "the code opens nothing");
    assert_eq!(stranger.answer("unlock", &code).await.body["said"], "not_asked", "and is used up");

    let mut holder = locked(&link).await;
    assert_eq!(holder.look().await.body["asks"]["unlock"], json!(null), "never twice");
    assert_eq!(holder.send_code().await.body["said"], "not_asked");
    let shown = clinic.show(&clinic.only_delivery().await.id).await;
    let unlocked: Vec<_> = shown.audit.iter().filter(|line| line["event"] == "unlocked").collect();
    assert_eq!((unlocked.len(), &unlocked[0]["reason"]), (1, &json!("a code by text message")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_link_is_unlocked_once_through_the_other_channel() {
    Box::pin(a_locked_link_is_unlocked_once(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_link_is_unlocked_once_through_the_other_channel_on_postgres() {
    Box::pin(a_locked_link_is_unlocked_once(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_wrong_codes_at_once_three_are_looked_at_and_then_staff_unlock() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"email\", \"sms\"", Database::Sqlite).await;
    let link = sent(&clinic).await;
    let mut holder = locked(&link).await;
    let code = code(&clinic, &gateway, &mut holder).await;
    let wrong = if code.starts_with('9') { "8" } else { "9" };
    let tries = (0..12).map(|n| {
        let link = link.clone();
        async move {
            let mut other = Holder::new(&link);
            other.answer("unlock", &format!("{wrong}{n:05}")).await.body["said"].as_str().unwrap().to_owned()
        }
    });
    let said = futures_util::future::join_all(tries).await;
    assert_eq!(said.iter().filter(|said| *said == "wrong").count(), 3, "{said:?}");
    assert_eq!(holder.answer("unlock", &code).await.body["said"], "not_asked", "be it right");
    let id = clinic.only_delivery().await.id;
    clinic.desk().unlock(&id, "knows her by sight".to_owned()).await.unwrap();
    assert_eq!(holder.answer("question", BORN).await.body["said"], "right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_unlocks_runs_out() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"email\", \"sms\"", Database::Sqlite).await;
    let link = sent(&clinic).await;
    let mut holder = locked(&link).await;
    let code = code(&clinic, &gateway, &mut holder).await;
    clinic.forward(Duration::from_secs(600));
    holder.begin().await;
    assert_eq!(holder.answer("unlock", &code).await.body["said"], "no_code");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_rules_do_not_allow_unlocks_nothing() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"email\"", Database::Sqlite).await;
    let link = sent(&clinic).await;
    let mut holder = locked(&link).await;
    assert_eq!(holder.look().await.body["asks"]["unlock"], json!(null));
    assert_eq!(holder.send_code().await.body["said"], "not_asked");
    clinic.settle().await;
    assert!(gateway.taken().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_from_the_lock_to_the_code_and_back_to_the_question() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"email\", \"sms\"", Database::Sqlite).await;
    let link = sent(&clinic).await;
    locked(&link).await;
    let browser = Browser::open(PHONE).await;
    browser.goto(&link).await.unwrap();
    browser.press("button.primary").await;
    browser.wait_for_text("main", "a code to your mobile phone").await;
    browser.keep_screen("page-locked-other-channel").await;
    browser.press("button.primary").await;
    browser.wait_for_text("main", "We have sent a code").await;
    browser.keep_screen("page-locked-code").await;
    clinic.settle().await;
    let code = code_in(&gateway.taken().pop().expect("a text").body);
    browser.find(By::Css("#answer")).await.unwrap().send_keys(code).await.unwrap();
    browser.press("button.primary").await;
    browser.wait_for_text("main", "Unlocked. You can try again.").await;
    browser.keep_screen("page-unlocked").await;
    browser.find(By::Css("#answer")).await.unwrap().send_keys(BORN).await.unwrap();
    browser.press("button.primary").await;
    crate::support::wait::until_async("the document", async || browser.find(By::Css("canvas")).await.ok()).await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
