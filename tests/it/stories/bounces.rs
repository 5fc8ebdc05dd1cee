//! A message that was handed over comes back: what the mail system reports, and what only looks like a report.

use std::time::Duration;

use data_encoding::HEXLOWER;
use reqwest::StatusCode;

use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::holder::Holder;
use crate::support::mailbox::Mail;
use crate::support::place::Place;
use crate::support::program;
use crate::support::{pdf, web_client};

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";
const SECRET: &str = "a relay's secret of thirty-two..";

const NO_SUCH_USER: &str =
    "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 <ana@example.test>: no such user";
const FULL: &str = "Action: failed\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 5.2.2 mailbox full";
const POLICY: &str = "Action: failed\r\nStatus: 5.7.26\r\nDiagnostic-Code: smtp; 550 5.7.26 DMARC";
const GAVE_UP: &str = "Action: failed\r\nStatus: 4.4.1\r\nDiagnostic-Code: X-Postfix; connection timed out";
const DELAYED: &str = "Action: delayed\r\nStatus: 4.4.1\r\nWill-Retry-Until: Wed, 25 Nov 2026 10:00:00 +0000";

/// A clinic whose relay may post reports.
async fn clinic(database: Database) -> (Clinic, Place) {
    let place = Place::new("bounces");
    let file = place.join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let more =
        format!("bounce_address = \"bounces@notify.riverside.example\"\nbounce_secret_file = \"{}\"", file.display());
    (Clinic::spawn(Wishes { database, more, ..Wishes::default() }).await, place)
}

async fn sent(clinic: &Clinic, address: &str) -> (String, Mail) {
    let (_, report) = clinic.report(address, HBA1C, &pdf::with_pages(&["HbA1c 5.4 %"])).await;
    clinic.hear_and_settle().await;
    (report, clinic.mailbox.wait_for(address, 1).await)
}

/// A report to `to`, with all of `mail` in it, as Postfix returns it.
fn report(to: &str, mail: &Mail, group: &str) -> String {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.test\r\nTo: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\n\
         Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"B\"\r\n\r\n--B\r\n\r\nSorry.\r\n\
         --B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.test\r\n\r\n\
         Final-Recipient: rfc822; {ANA}\r\n{group}\r\n\r\n--B\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--B--\r\n",
        mail.raw
    )
}

fn returned(mail: &Mail, group: &str) -> String {
    report(&mail.envelope_from, mail, group)
}

async fn post_signed(clinic: &Clinic, body: &str, signature: &str) -> StatusCode {
    let request = web_client::new().post(format!("{}/mail/bounces", clinic.url)).body(body.to_owned());
    request.header("X-Chartseal-Signature", signature).send().await.unwrap().status()
}

async fn post(clinic: &Clinic, body: &str) -> StatusCode {
    let key = hmac_of(body);
    post_signed(clinic, body, &format!("sha256={key}")).await
}

fn hmac_of(body: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// State of the delivery and of its last message, and what is known of the address.
async fn stands(clinic: &Clinic, report: &str) -> (&'static str, Option<&'static str>, String) {
    let brief = clinic.delivery_of(report).await;
    let contact = clinic.desk().contact(&brief.id).await.unwrap().state.to_owned();
    (brief.state, brief.notice, contact)
}

async fn a_mailbox_that_does_not_exist(database: Database) {
    let (clinic, _place) = clinic(database).await;
    let (report, mail) = sent(&clinic, ANA).await;
    assert_ne!(mail.envelope_from, "results@riverside.example", "a report would come to a person");
    assert!(mail.envelope_from.starts_with("bounces+") && mail.envelope_from.ends_with("@notify.riverside.example"));
    assert_eq!(stands(&clinic, &report).await, ("live", Some("sent"), "unknown".to_owned()));

    let dsn = returned(&mail, NO_SUCH_USER);
    assert_eq!(post(&clinic, &dsn).await, StatusCode::NO_CONTENT);
    assert_eq!(stands(&clinic, &report).await, ("review", Some("bounced"), "bounced".to_owned()));
    let note = clinic.delivery_of(&report).await.note;
    assert!(note.contains("the mailbox does not exist") && note.contains("5.1.1") && !note.contains('@'), "{note}");
    assert_eq!(Holder::new(&mail.link()).open().await.says(), "revoked", "whoever reads there could open it");

    // The same once more, and what else the mail system says of it, late.
    let before = clinic.show(&clinic.delivery_of(&report).await.id).await.audit.len();
    for again in [&dsn, &returned(&mail, FULL), &returned(&mail, DELAYED)] {
        assert_eq!(post(&clinic, again).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(clinic.show(&clinic.delivery_of(&report).await.id).await.audit.len(), before, "it was done twice");
    assert_eq!(stands(&clinic, &report).await.0, "review");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_does_not_exist_ends_the_link_and_staff_are_told() {
    for database in [Database::Sqlite, Database::Postgres] {
        a_mailbox_that_does_not_exist(database).await;
    }
}

async fn a_full_mailbox(database: Database) {
    let (clinic, _place) = clinic(database).await;
    let (report, first) = sent(&clinic, ANA).await;
    assert_eq!(post(&clinic, &returned(&first, FULL)).await, StatusCode::NO_CONTENT);
    assert_eq!(stands(&clinic, &report).await, ("recorded", Some("bounced"), "unknown".to_owned()));
    assert_eq!(Holder::new(&first.link()).open().await.says(), "superseded");
    clinic.forward(Duration::from_hours(22));
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), 1, "it was tried again at once");
    clinic.forward(Duration::from_hours(2));
    clinic.hear_and_settle().await;
    let second = clinic.mailbox.wait_for(ANA, 2).await;
    assert_ne!(second.link(), first.link(), "a link that came back was sent again");
    assert_ne!(second.envelope_from, first.envelope_from);
    assert_eq!(stands(&clinic, &report).await.0, "live");

    // What is late about the first says nothing of the second.
    assert_eq!(post(&clinic, &returned(&first, NO_SUCH_USER)).await, StatusCode::NO_CONTENT);
    assert_eq!(stands(&clinic, &report).await, ("live", Some("sent"), "unknown".to_owned()));
    assert_eq!(post(&clinic, &returned(&second, FULL)).await, StatusCode::NO_CONTENT);
    assert_eq!(stands(&clinic, &report).await.0, "review", "it is tried again for ever");
    clinic.forward(Duration::from_hours(48));
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_is_tried_once_more_with_another_link_and_then_a_person_looks() {
    for database in [Database::Sqlite, Database::Postgres] {
        a_full_mailbox(database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_patients_fault_says_nothing_of_the_address_and_what_is_late_ends_nothing() {
    let (clinic, _place) = clinic(Database::Sqlite).await;
    for (address, group, state, notice) in [
        ("policy@example.test", POLICY, "review", "bounced"),
        ("gave-up@example.test", GAVE_UP, "review", "bounced"),
        ("late@example.test", DELAYED, "live", "sent"),
    ] {
        let (report, mail) = sent(&clinic, address).await;
        assert_eq!(post(&clinic, &returned(&mail, group)).await, StatusCode::NO_CONTENT);
        assert_eq!(stands(&clinic, &report).await, (state, Some(notice), "unknown".to_owned()), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_report_does_nothing() {
    let (clinic, _place) = clinic(Database::Sqlite).await;
    let (report, mail) = sent(&clinic, ANA).await;
    let (_, other) = sent(&clinic, "eve@example.test").await;
    let good = returned(&mail, NO_SUCH_USER);
    // Not signed by the relay, or something else was.
    for signature in
        [String::new(), "sha256=".to_owned(), "sha256=00".to_owned(), format!("sha256={}", hmac_of("other"))]
    {
        assert_eq!(post_signed(&clinic, &good, &signature).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        web_client::new()
            .post(format!("{}/mail/bounces", clinic.url))
            .body(good.clone())
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    // Posted by the relay, and yet no report of a message of ours.
    let token = mail.envelope_from.split(['+', '@']).nth(1).unwrap();
    let guessed = mail.envelope_from.replace(token, &token.chars().rev().collect::<String>());
    for forged in [
        good.replacen("Return-Path: <>", "Return-Path: <eve@example.test>", 1),
        good.replacen("multipart/report", "multipart/mixed", 1),
        self::report(&guessed, &mail, NO_SUCH_USER),
        self::report("results@riverside.example", &mail, NO_SUCH_USER),
        self::report("bounces@notify.riverside.example", &mail, NO_SUCH_USER),
        "Subject: spam\r\n\r\nhello".to_owned(),
        String::new(),
    ] {
        assert_eq!(post(&clinic, &forged).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(stands(&clinic, &report).await, ("live", Some("sent"), "unknown".to_owned()));
    // One's own message can be reported on, and no other.
    assert_eq!(post(&clinic, &self::report(&other.envelope_from, &mail, NO_SUCH_USER)).await, StatusCode::NO_CONTENT);
    assert_eq!(stands(&clinic, &report).await.0, "live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_opened_stays_whatever_a_mail_system_reports_later() {
    let (clinic, _place) = clinic(Database::Sqlite).await;
    let (_, report) = clinic.report(ANA, "24323-8", &pdf::with_pages(&["Sodium 140"])).await;
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for(ANA, 1).await;
    Holder::new(&mail.link()).read().await;
    assert_eq!(post(&clinic, &returned(&mail, NO_SUCH_USER)).await, StatusCode::NO_CONTENT);
    assert_eq!(stands(&clinic, &report).await, ("live", Some("sent"), "unknown".to_owned()));
    Holder::new(&mail.link()).read().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_system_pipes_reports_to_a_command_or_keeps_them_in_a_maildir() {
    let (clinic, place) = clinic(Database::Sqlite).await;
    let (piped, first) = sent(&clinic, ANA).await;
    let (kept, second) = sent(&clinic, "second@example.test").await;
    let config = clinic.config_path.clone();

    let file = place.join("report");
    std::fs::write(&file, returned(&first, NO_SUCH_USER)).unwrap();
    let read = |arguments: &[&str]| {
        let mut command = program::command(&config);
        command.args(["bounces", "read"]).args(arguments).stdin(std::fs::File::open(&file).unwrap());
        program::finish_piped(&mut command)
    };
    let forged = read(&["--sender", "eve@example.test", "--recipient", &first.envelope_from]);
    assert!(forged.code == 0 && forged.all().contains("Nothing was done: it has a sender"), "{}", forged.all());
    assert_eq!(stands(&clinic, &piped).await.0, "live");
    let taken = read(&["--sender", "MAILER-DAEMON", "--recipient", &first.envelope_from]);
    assert!(taken.code == 0 && taken.all().contains("Taken in: the mailbox does not exist"), "{}", taken.all());
    assert_eq!(stands(&clinic, &piped).await, ("review", Some("bounced"), "bounced".to_owned()));
    assert!(!taken.all().contains('@') && !taken.all().contains('#'), "{}", taken.all());

    for folder in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(place.join("maildir").join(folder)).unwrap();
    }
    let new = place.join("maildir/new");
    std::fs::write(new.join("1.report"), returned(&second, GAVE_UP)).unwrap();
    std::fs::write(new.join("2.spam"), "Subject: spam\r\n\r\n").unwrap();
    let maildir = place.join("maildir").display().to_string();
    let taken = program::run(&config, &["bounces", "read", "--maildir", &maildir]);
    assert!(
        taken.code == 0 && taken.all().contains("1 report taken in, 1 not ours, 0 left for later"),
        "{}",
        taken.all()
    );
    assert_eq!(stands(&clinic, &kept).await.0, "review");
    assert_eq!(std::fs::read_dir(&new).unwrap().count(), 0);
    assert!(place.join("maildir/cur/1.report:2,S").exists());

    // A mail system would throw a report away that nobody could take in just now.
    let nowhere = program::finish(program::command(&place.join("nowhere.toml")).args(["bounces", "read"]));
    assert_eq!(nowhere.code, 75, "{}", nowhere.all());
}
