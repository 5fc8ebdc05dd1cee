//! Each outside part is what the other tests take it for.

use std::time::Duration;

use actix_web::http::StatusCode;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use lettre::message::MultiPart;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde_json::{Value, json};
use thirtyfour::By;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::browser::{Browser, ColorScheme, DESKTOP, Network, PHONE};
use crate::support::ehr::{self, Ehr, EhrAuth, EhrOptions, Pushes, References};
use crate::support::hooks::HookListener;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::postgres::{self, Cluster, Commits};
use crate::support::{pdf, wait, web_client};

const LINK: &str = "https://clinic.test/r/AAAAAAAAAAAAAAAA#BBBBBBBBBBBBBBBBBBBBBB";

#[tokio::test]
async fn the_ehr_pushes_a_final_report_to_a_classic_subscription() {
    let lab = ehr::shared().await;
    let hooks = HookListener::start(StatusCode::OK);
    let endpoint = format!("{}/hook", hooks.url);
    let subscription = ehr::subscription("DiagnosticReport?status=final", &endpoint, "Authorization: Bearer s3cret");
    let subscription = lab.post(&subscription).await;
    lab.wait_for_subscription(&subscription, "active").await;

    lab.update(&ehr::patient("works-push", "Garcia", "Ana", "1984-05-06", "ana@patient.test")).await;
    let pdf = pdf::with_pages(&["HbA1c 5.4 %"]);
    let report = lab.post(&ehr::report("works-push", "4548-4", "2026-11-21T09:00:00Z", &pdf)).await;

    let path = format!("/hook/DiagnosticReport/{report}");
    let push = hooks.wait_for("the push", |push| push.path == path).await;
    assert_eq!(push.method, "PUT");
    assert_eq!(push.header("authorization"), Some("Bearer s3cret"));
    let pushed: serde_json::Value = serde_json::from_slice(&push.body).unwrap();
    assert_eq!(pushed["presentedForm"][0]["data"], data_encoding::BASE64.encode(&pdf));
    lab.set_subscription_status(&subscription, "off").await;
    assert!(lab.subscriptions().await.iter().any(|s| s["id"] == subscription && s["status"] == "off"));
}

#[tokio::test]
async fn the_ehr_keeps_documents_binaries_changes_and_deletes() {
    let lab = ehr::shared().await;
    lab.update(&ehr::patient("works-keep", "Garcia", "Ana", "1984-05-06", "ana@patient.test")).await;
    let pdf = pdf::with_pages(&["page"]);
    let binary = lab.post(&ehr::binary(&pdf)).await;
    let mut document = ehr::document("works-keep", "11502-2", "2026-11-21T09:00:00Z", &pdf);
    document["content"][0]["attachment"] = json!({"contentType": "application/pdf", "url": format!("Binary/{binary}")});
    let document = lab.post(&document).await;
    let version = lab.change("DocumentReference", &document, |d| d["status"] = json!("entered-in-error")).await;
    assert_eq!(version, "2");
    lab.delete("DocumentReference", &document).await;
    let (status, _) = lab.send(reqwest::Method::GET, &format!("DocumentReference/{document}"), None).await;
    assert_eq!(status.as_u16(), 410);
}

#[tokio::test]
async fn the_ehr_can_push_by_post_refer_absolutely_and_ask_for_credentials() {
    let auth = EhrAuth::Basic { user: "ehr".into(), password: "pw".into() };
    let options = EhrOptions { pushes: Pushes::Post, references: References::Absolute, auth, ..EhrOptions::default() };
    let ehr = Ehr::start(options).await;
    let lab = ehr.lab();
    let patient_url = format!("{}/Patient/works-own", ehr.base_url());
    lab.update(&ehr::patient("works-own", "Garcia", "Ana", "1984-05-06", "ana@patient.test")).await;

    let client = web_client::new();
    assert_eq!(client.get(&patient_url).send().await.unwrap().status().as_u16(), 401);
    let known = client.get(&patient_url).basic_auth("ehr", Some("pw")).send().await.unwrap();
    assert!(known.status().is_success());

    let hooks = HookListener::start(StatusCode::OK);
    let subscription =
        ehr::subscription("DiagnosticReport?status=final", &format!("{}/hook", hooks.url), "X-Test: one");
    let subscription = lab.post(&subscription).await;
    lab.wait_for_subscription(&subscription, "active").await;
    let report = ehr::report("works-own", "4548-4", "2026-11-21T09:00:00Z", &pdf::with_pages(&["page"]));
    let report = lab.post(&report).await;
    let push = hooks.wait_for("the push", |push| push.path == "/hook").await;
    assert_eq!(push.method, "POST");
    assert_eq!(lab.read("DiagnosticReport", &report).await["subject"]["reference"], patient_url);
}

#[tokio::test]
async fn a_mail_arrives_with_its_parts_decoded_and_its_link_whole() {
    let mailbox = Mailbox::start(Manner::Plain).await;
    let smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(mailbox.port).build();
    smtp.send(mail_to("ana@patient.test")).await.unwrap();
    let mail = mailbox.wait_for("ana@patient.test", 1).await;
    assert_eq!(mail.subject, "Ihr Bericht ist da – für Sie");
    assert!(mail.text.starts_with("Grüße"));
    assert_eq!(mail.link(), LINK);
    assert!(!mail.came_over_tls);
}

#[tokio::test]
async fn a_mail_can_be_refused_for_now_for_good_or_kept_without_a_word() {
    let mailbox = Mailbox::start(Manner::Plain).await;
    let smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(mailbox.port).build();
    assert!(smtp.send(mail_to("perm-1@patient.test")).await.unwrap_err().is_permanent());
    assert!(smtp.send(mail_to("temp-1@patient.test")).await.unwrap_err().is_transient());
    assert!(smtp.send(mail_to("drop-1@patient.test")).await.is_err());
    assert!(mailbox.mails().is_empty());
    assert!(smtp.send(mail_to("lost-1@patient.test")).await.is_err());
    mailbox.wait_for("lost-1@patient.test", 1).await;
}

#[tokio::test]
async fn a_mail_can_come_over_starttls() {
    web_client::install_cryptography();
    let mailbox = Mailbox::start(Manner::StartTls).await;
    let trusted = Certificate::from_pem(&mailbox.certificate_pem()).unwrap();
    let tls = TlsParameters::builder("localhost".into()).add_root_certificate(trusted).build().unwrap();
    let smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(mailbox.port);
    smtp.tls(Tls::Required(tls)).build().send(mail_to("ana@patient.test")).await.unwrap();
    assert!(mailbox.wait_for("ana@patient.test", 1).await.came_over_tls);
}

#[tokio::test]
async fn a_silent_mail_server_says_nothing() {
    let mailbox = Mailbox::start(Manner::Silent).await;
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", mailbox.port)).await.unwrap();
    socket.write_all(b"EHLO patient.test\r\n").await.unwrap();
    let word = tokio::time::timeout(Duration::from_millis(300), socket.read_u8()).await;
    assert!(word.is_err(), "neither a greeting nor an answer nor an end");
}

#[test]
fn every_postgres_database_is_new_and_empty() {
    for url in [postgres::fresh_database(), postgres::fresh_database()] {
        let mut connection = PgConnection::establish(&url).unwrap();
        connection.batch_execute("SELECT 1; CREATE TABLE only_here (id INT)").unwrap();
    }
}

#[test]
fn a_cluster_of_ones_own_can_be_lost() {
    let cluster = Cluster::start(Commits::Durable);
    let url = cluster.fresh_database();
    assert!(PgConnection::establish(&url).is_ok());
    drop(cluster);
    assert!(PgConnection::establish(&url).is_err());
}

#[tokio::test]
async fn the_browser_shows_a_page_and_tells_what_went_wrong_on_it() {
    let hooks = HookListener::start(StatusCode::NOT_FOUND);
    let other = HookListener::start(StatusCode::OK);
    let browser = Browser::open(PHONE).await;
    browser.goto(format!("{}/page", hooks.url)).await.unwrap();
    browser.console_errors().await;

    let script = format!(
        "document.body.innerHTML = '<h1>Hello</h1><img src=\"{}/pixel\">'; console.error('canary');",
        other.url
    );
    browser.execute(script, vec![]).await.unwrap();
    other.wait_for("the image", |request| request.path == "/pixel").await;
    assert_eq!(browser.find(By::Tag("h1")).await.unwrap().text().await.unwrap(), "Hello");
    let errors = browser.console_errors().await;
    assert!(errors.iter().any(|error| error.contains("canary")));
    assert_eq!(browser.off_origin_requests(&hooks.url).await, [format!("{}/pixel", other.url)]);
    assert!(browser.keep_screen("testbed-works").await.exists());
}

#[tokio::test]
async fn the_browser_can_be_narrow_dark_and_offline() {
    let hooks = HookListener::start(StatusCode::OK);
    let browser = Browser::open(PHONE).await;
    browser.goto(format!("{}/page", hooks.url)).await.unwrap();
    let ask = async |script: &str| browser.execute(format!("return {script}"), vec![]).await.unwrap().json().clone();
    // The page hears of its new size a moment later.
    let becomes = async |script: &str, value: Value| {
        wait::until_async(script, async || (ask(script).await == value).then_some(())).await;
    };
    becomes("innerWidth", json!(320)).await;
    browser.resize(DESKTOP).await;
    becomes("innerWidth", json!(1280)).await;

    for (scheme, is_dark) in [(ColorScheme::Dark, true), (ColorScheme::Light, false)] {
        browser.prefer(scheme).await;
        becomes("matchMedia('(prefers-color-scheme: dark)').matches", json!(is_dark)).await;
    }
    for (network, outcome) in [(Network::Cut, "failed"), (Network::Up, "answered")] {
        browser.set_network(network).await;
        assert_eq!(ask("fetch('/again').then(() => 'answered', () => 'failed')").await, outcome);
    }
}

fn mail_to(address: &str) -> Message {
    let text = format!("Grüße.\n\n{LINK}\n");
    let html = format!("<p>Grüße.</p><a href=\"{LINK}\">Open</a>");
    Message::builder()
        .from("Clinic <clinic@clinic.test>".parse().unwrap())
        .to(address.parse().unwrap())
        .subject("Ihr Bericht ist da – für Sie")
        .multipart(MultiPart::alternative_plain_html(text, html))
        .unwrap()
}
