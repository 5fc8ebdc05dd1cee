//! The second channel: a report's link comes as a text, and whoever gets it can say that they want none.

use chartseal::base::DeliveryId;
use chartseal::store::{self, NoticeRow};
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::holder::Holder;
use crate::support::texts::{TwilioStub, call_as_twilio, call_signed, signature};
use crate::support::{ehr, pdf, wait};

const HBA1C: &str = "4548-4";
const CBC: &str = "58410-2";
const ANA: &str = "ana@example.test";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// The usual rules with these channels.
fn rules(channels: &str) -> String {
    RULES.replace("channel = [\"email\"]", &format!("wording = \"generic\", channel = [{channels}]"))
}

async fn clinic(gateway: &TwilioStub, channels: &str, database: Database) -> Clinic {
    let wishes = Wishes { database, rules: rules(channels), more: gateway.config(), ..Wishes::default() };
    Clinic::spawn(wishes).await
}

/// Posts a patient with these ways to be reached.
pub async fn patient(clinic: &Clinic, telecom: Value) -> String {
    let id = ehr::new_patient_id();
    let mut patient = ehr::patient(&id, "Garcia", "Ana", "1984-05-06", ANA);
    patient["telecom"] = telecom;
    clinic.lab().update(&patient).await;
    id
}

pub async fn report(clinic: &Clinic, patient: &str, loinc: &str) -> String {
    let report = clinic.lab().post(&ehr::report(patient, loinc, &real_now(), &paper())).await;
    clinic.hear_and_settle().await;
    report
}

fn mobile(number: &str) -> Value {
    json!([{"system": "phone", "value": number, "use": "mobile"}])
}

/// The newest message of a report's delivery.
async fn notice(clinic: &Clinic, report: &str) -> NoticeRow {
    let id = DeliveryId::parse(&clinic.delivery_of(report).await.id).unwrap();
    clinic.ground.store.read(move |conn| store::notices_of(conn, &id)).await.unwrap().pop().expect("a message")
}

async fn settles_as(clinic: &Clinic, report: &str, state: &str) -> NoticeRow {
    wait::until_async("the gateway's word", async || {
        let notice = notice(clinic, report).await;
        (notice.state.name() == state).then_some(notice)
    })
    .await
}

async fn a_text_opens_and_after_stop_nothing_more_goes_there(database: Database) {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\"", database).await;
    let ana = patient(&clinic, mobile("(202) 555-0101")).await;
    let first = report(&clinic, &ana, HBA1C).await;
    let text = gateway.taken().remove(0);
    assert_eq!(text.to, "+12025550101");
    assert!(text.body.starts_with("Riverside Clinic: You have a new document:"), "{}", text.body);
    assert!(text.body.chars().count() <= 160);
    assert_eq!(Holder::new(&text.link()).read().await, paper());
    let shown = clinic.show(&clinic.delivery_of(&first).await.id).await;
    assert_eq!((shown.notices[0].channel, shown.brief.channel), ("sms", Some("sms")));
    let shown = serde_json::to_string(&shown).unwrap();
    // Three digits alone stand in many a moment's milliseconds.
    for part in ["2025550101", "5550101", "555-0101", "202-555", "(202)"] {
        assert!(!shown.contains(part), "a number is shown: {part}");
    }

    let address = format!("{}/sms/incoming", clinic.url);
    assert_eq!(call_as_twilio(&address, &[("From", "+12025550101"), ("Body", "Stop.")]).await, 200);
    let second = report(&clinic, &ana, CBC).await;
    let brief = clinic.delivery_of(&second).await;
    assert_eq!((brief.state, brief.notice), ("review", None));
    assert!(brief.note.contains("asked on") && brief.note.contains("no more texts"), "{}", brief.note);
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&second).await.state, "review", "nobody else can undo that");
    assert_eq!(gateway.taken().len(), 1);
    let listed = clinic.desk().contacts(None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.state).collect::<Vec<_>>(), ["opted_out"], "staff are told");

    assert_eq!(call_as_twilio(&address, &[("From", "+12025550101"), ("Body", "START")]).await, 200);
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.hear_and_settle().await;
    let text = gateway.taken().pop().unwrap();
    assert_eq!((gateway.taken().len(), text.to.as_str()), (2, "+12025550101"));
    assert_eq!(Holder::new(&text.link()).read().await, paper());
    settles_as(&clinic, &second, "sent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_arrives_its_link_opens_and_after_stop_nothing_more_goes_there() {
    Box::pin(a_text_opens_and_after_stop_nothing_more_goes_there(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_arrives_its_link_opens_and_after_stop_nothing_more_goes_there_on_postgres() {
    Box::pin(a_text_opens_and_after_stop_nothing_more_goes_there(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_both_channels_are_allowed_the_patient_decides_and_a_lacking_one_is_made_up_for() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"email\", \"sms\"", Database::Sqlite).await;
    let email = |rank: Value| json!({"system": "email", "value": ANA, "rank": rank});
    let sms = |number: &str, rank: Value| json!({"system": "sms", "value": number, "rank": rank});
    for (telecom, channel, why) in [
        (json!([email(Value::Null), sms("+12025550121", Value::Null)]), "email", "the only address in use"),
        (json!([email(json!(2)), sms("+12025550122", json!(1))]), "sms", "rank 1"),
        (json!([email(json!(1)), sms("+12025550123", json!(2))]), "email", "rank 1"),
        (json!([sms("+12025550124", json!(1))]), "sms", "rank 1"),
        (
            json!([sms("+12025550125", Value::Null)]),
            "sms",
            "by text message and not by e-mail: there is no e-mail entry",
        ),
        (json!([email(Value::Null)]), "email", "the only address in use"),
        (json!([email(json!(2)), sms("900 234 5678", json!(1))]), "email", "rank 2"),
    ] {
        let patient = patient(&clinic, telecom).await;
        let report = report(&clinic, &patient, HBA1C).await;
        let brief = clinic.delivery_of(&report).await;
        assert_eq!((brief.state, brief.channel), ("live", Some(channel)), "{why}: {}", brief.note);
        let shown = clinic.show(&brief.id).await;
        assert!(shown.contact.contains(why), "{why}: {}", shown.contact);
        let queued = shown.audit.iter().find(|line| line["event"] == "notice_queued").expect("it is audited");
        let said = if channel == "sms" { json!("sms") } else { Value::Null };
        assert_eq!(queued["channel"], said, "{queued}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_allows_texts_alone_sends_no_mail() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\"", Database::Sqlite).await;
    let ana = patient(&clinic, json!([{"system": "email", "value": ANA}])).await;
    let report = report(&clinic, &ana, HBA1C).await;
    let brief = clinic.delivery_of(&report).await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains("there is no phone entry"), "{}", brief.note);
    assert!(clinic.mailbox.mails().is_empty() && gateway.taken().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_takes_no_texts_is_marked_its_link_dies_and_a_person_looks() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\", \"email\"", Database::Sqlite).await;
    for (number, at_once) in
        [("+12025550100", true), ("+12025550106", true), ("+12025550102", false), ("+12025550103", false)]
    {
        let ana =
            patient(&clinic, json!([{"system": "sms", "value": number, "rank": 1}, {"system": "email", "value": ANA}]))
                .await;
        let first = report(&clinic, &ana, HBA1C).await;
        let settled = settles_as(&clinic, &first, "bounced").await;
        let why = settled.why.unwrap_or_default();
        assert!(why.contains("the number's)") && !why.contains("555"), "it says whose fault it is: {why}");
        let brief = clinic.delivery_of(&first).await;
        assert_eq!(brief.state, "review", "{number}");
        assert!(clinic.show(&brief.id).await.shredded_at.is_some(), "the link lives on");
        assert_eq!(clinic.desk().contact(&brief.id).await.unwrap().state, "bounced");
        if !at_once {
            let text = gateway.taken().into_iter().find(|text| text.to == number).unwrap();
            let said = Holder::new(&text.link()).look().await;
            assert_ne!(said.body["state"], "live", "the link lives on: {}", said.body);
        }
        let second = report(&clinic, &ana, CBC).await;
        let brief = clinic.delivery_of(&second).await;
        assert_eq!((brief.state, brief.channel), ("live", Some("email")), "{number}: {}", brief.note);
        let contact = clinic.show(&brief.id).await.contact;
        assert!(contact.contains("by e-mail and not by text message: a message was refused for good"), "{contact}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_unsubscribed_at_the_gateway_is_so_here_and_everywhere() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\"", Database::Sqlite).await;
    let ana = patient(&clinic, mobile("+12025550107")).await;
    let first = report(&clinic, &ana, HBA1C).await;
    let brief = clinic.delivery_of(&first).await;
    assert_eq!((brief.state, brief.notice), ("review", Some("bounced")));
    assert!(brief.note.contains("no more texts"), "{}", brief.note);
    // Another patient with the same number, of whom nothing was ever heard.
    let lena = patient(&clinic, mobile("202-555-0107")).await;
    let second = report(&clinic, &lena, HBA1C).await;
    let brief = clinic.delivery_of(&second).await;
    assert_eq!((brief.state, brief.notice), ("review", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_asked_too_fast_is_asked_again_and_the_text_is_sent_once() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\"", Database::Sqlite).await;
    let ana = patient(&clinic, mobile("+12025550104")).await;
    let report = report(&clinic, &ana, HBA1C).await;
    assert_eq!(notice(&clinic, &report).await.state.name(), "queued");
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    settles_as(&clinic, &report, "sent").await;
    assert_eq!(gateway.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_nobody_reaches_has_sent_nothing() {
    let place = crate::support::place::Place::new("nowhere");
    let more = TwilioStub::nowhere(&place);
    let mut clinic = Clinic::spawn(Wishes { rules: rules("\"sms\""), more, ..Wishes::default() }).await;
    clinic.leaves = crate::support::clinic::Leaves::UnsentNotices;
    let ana = patient(&clinic, mobile("+12025550101")).await;
    let report = report(&clinic, &ana, HBA1C).await;
    let notice = notice(&clinic, &report).await;
    assert_eq!(notice.state.name(), "queued");
    assert!(notice.why.unwrap_or_default().contains("cannot be reached (the gateway's)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_unknown_fate_is_never_sent_twice_and_is_settled_by_a_report_or_a_look() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\"", Database::Sqlite).await;
    // Cut, no answer and a failure after it was taken: a report or a look at the gateway's list settles each.
    for number in ["+12025550108", "+12025550110", "+12025550112"] {
        let ana = patient(&clinic, mobile(number)).await;
        let report = report(&clinic, &ana, HBA1C).await;
        for _ in 0..3 {
            clinic.hear_and_settle().await;
        }
        settles_as(&clinic, &report, "sent").await;
        assert_eq!(gateway.asked(number), 1, "{number} was asked for twice");
        let text = gateway.taken().into_iter().find(|text| text.to == number).unwrap();
        assert_eq!(Holder::new(&text.link()).read().await, paper(), "its link is the one that counts");
    }
    // Never taken: the gateway has no such message, and half an hour later it will have none.
    let ana = patient(&clinic, mobile("+12025550111")).await;
    let report = report(&clinic, &ana, HBA1C).await;
    assert_eq!(notice(&clinic, &report).await.state.name(), "unsure");
    let brief = clinic.delivery_of(&report).await;
    assert!(brief.note.contains("nobody can tell"), "{}", brief.note);
    clinic.hear_and_settle().await;
    let brief = clinic.delivery_of(&report).await;
    assert_eq!((brief.state, brief.notice), ("review", Some("bounced")), "{}", brief.note);
    assert_eq!(gateway.asked("+12025550111"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_come_twice_late_and_out_of_order_move_nothing_back() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\"", Database::Sqlite).await;
    let ana = patient(&clinic, mobile("+12025550109")).await;
    let report = report(&clinic, &ana, HBA1C).await;
    // "delivered", "sent", "delivered", "undelivered".
    let arrived =
        wait::until_async("the word that it arrived", async || notice(&clinic, &report).await.arrived_at).await;
    let text = gateway.taken().remove(0);
    for status in ["sent", "undelivered", "delivered", "queued", "pondering"] {
        let fields = [("MessageStatus", status), ("ErrorCode", "30003")];
        assert_eq!(call_as_twilio(&text.report_to, &fields).await, 200, "{status}");
    }
    let settled = notice(&clinic, &report).await;
    assert_eq!((settled.state.name(), settled.arrived_at), ("sent", Some(arrived)));
    assert_eq!(clinic.delivery_of(&report).await.state, "live");
    assert_eq!(Holder::new(&text.link()).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_reports_and_wishes_do_nothing() {
    let gateway = TwilioStub::start().await;
    let clinic = clinic(&gateway, "\"sms\"", Database::Sqlite).await;
    let ana = patient(&clinic, mobile("+12025550105")).await;
    let report = report(&clinic, &ana, HBA1C).await;
    let text = gateway.taken().remove(0);
    let failed = [("MessageStatus", "undelivered"), ("ErrorCode", "30003")];
    let elsewhere = format!("{}/sms/status/AAAAAAAAAAAAAAAA/BBBBBBBBBBBBBBBBBBBBBB", clinic.url);
    let (address, _) = text.report_to.rsplit_once('/').unwrap();
    let guessed = format!("{address}/BBBBBBBBBBBBBBBBBBBBBB");
    for url in [&elsewhere, &guessed, &format!("{}/sms/status/x/y", clinic.url)] {
        assert_eq!(call_as_twilio(url, &failed).await, 403, "rightly signed, and at no message's address");
    }
    let good = signature(&text.report_to, &failed);
    let changed = [("MessageStatus", "failed"), ("ErrorCode", "30003")];
    assert_eq!(call_signed(&text.report_to, &changed, &good).await, 403);
    assert_eq!(call_signed(&text.report_to, &failed, "").await, 403);
    assert_eq!(call_signed(&format!("{}?a=b", text.report_to), &failed, &good).await, 403);
    let incoming = format!("{}/sms/incoming", clinic.url);
    assert_eq!(call_signed(&incoming, &[("From", "+12025550105"), ("Body", "STOP")], "AAAA").await, 403);
    let large = "x".repeat(70_000);
    assert_eq!(call_as_twilio(&incoming, &[("From", "+12025550105"), ("Body", &large)]).await, 413);
    let asked = crate::support::web_client::new().get(&text.report_to).send().await.unwrap();
    assert_eq!(asked.status().as_u16(), 403);
    assert_eq!(clinic.delivery_of(&report).await.state, "live");
    assert_eq!(notice(&clinic, &report).await.state.name(), "sent");
    assert!(clinic.desk().contacts(None, 10).await.unwrap().is_empty());
    assert_eq!(Holder::new(&text.link()).read().await, paper());
}

/// Both channels, and a code that never comes where the link came.
fn asking() -> String {
    let asks = "verify = \"code\", code_via = \"other\", code_else = \"staff\", channel = [\"email\", \"sms\"]";
    RULES.replace("channel = [\"email\"]", asks)
}

pub fn code_in(text: &str) -> String {
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    text.split(|c: char| !c.is_ascii_alphanumeric()).find(is_code).expect("a message with a code").to_owned()
}

async fn a_code_comes_by_the_other_channel(database: Database) {
    let gateway = TwilioStub::start().await;
    let clinic = Clinic::spawn(Wishes { database, rules: asking(), more: gateway.config(), ..Wishes::default() }).await;
    let both = |ranks: (u8, u8)| {
        json!([
            {"system": "email", "value": ANA, "rank": ranks.0},
            {"system": "sms", "value": "+12025550131", "rank": ranks.1},
        ])
    };
    let by_mail = patient(&clinic, both((1, 2))).await;
    report(&clinic, &by_mail, HBA1C).await;
    let mut holder = Holder::new(&clinic.mailbox.wait_for(ANA, 1).await.link());
    assert_eq!(holder.look().await.body["asks"]["code"]["by"], "sms");
    assert_eq!(holder.send_code().await.body["said"], "sent");
    clinic.settle().await;
    let text = gateway.taken().remove(0);
    assert!(text.to == "+12025550131" && !text.body.contains("/r/"), "a code alone: {}", text.body);
    assert_eq!(holder.answer("code", &code_in(&text.body)).await.body["said"], "right");
    assert_eq!(holder.read().await, paper());

    let by_text = patient(&clinic, both((2, 1))).await;
    report(&clinic, &by_text, HBA1C).await;
    let link = gateway.taken().into_iter().find(|text| text.body.contains("/r/")).expect("a text with a link").link();
    let mut holder = Holder::new(&link);
    assert_eq!(holder.look().await.body["asks"]["code"]["by"], "email");
    holder.send_code().await;
    clinic.settle().await;
    let mail = clinic.mailbox.wait_for(ANA, 2).await;
    assert_eq!(holder.answer("code", &code_in(&mail.text)).await.body["said"], "right");
    assert_eq!(holder.read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_comes_by_the_channel_by_which_the_link_did_not() {
    a_code_comes_by_the_other_channel(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_comes_by_the_channel_by_which_the_link_did_not_on_postgres() {
    a_code_comes_by_the_other_channel(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_takes_no_code_says_nothing_of_the_mailbox_that_has_the_link() {
    let gateway = TwilioStub::start().await;
    let clinic = Clinic::spawn(Wishes { rules: asking(), more: gateway.config(), ..Wishes::default() }).await;
    let telecom = json!([
        {"system": "email", "value": ANA, "rank": 1},
        {"system": "sms", "value": "+12025550106", "rank": 2},
    ]);
    let ana = patient(&clinic, telecom).await;
    let report = report(&clinic, &ana, HBA1C).await;
    let mut holder = Holder::new(&clinic.mailbox.wait_for(ANA, 1).await.link());
    holder.send_code().await;
    clinic.settle().await;
    assert_eq!(clinic.delivery_of(&report).await.state, "live", "whoever has the link asks for another code");
    let id = clinic.delivery_of(&report).await.id;
    assert_eq!(clinic.desk().contact(&id).await.unwrap().state, "unknown", "of the mailbox nothing was said");
    let marked = clinic.desk().contacts(None, 10).await.unwrap();
    assert_eq!(marked.iter().map(|one| one.state).collect::<Vec<_>>(), ["bounced"], "the number is marked");
}
