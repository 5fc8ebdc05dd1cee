//! `chartseal doctor channels`, run as an operator runs it, with a real DNS server and a real mailbox.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::doctor::doctor;
use crate::support::clinic::{Clinic, Wishes};
use crate::support::name_server::NameServer;
use crate::support::place::Place;
use crate::support::program::Ran;

const DOMAIN: &str = "riverside.example";

/// What was found of one thing: the verdict, the words, and what to do.
fn finding(ran: &Ran, what: &str) -> (String, String, String) {
    let said = ran.json();
    let all = said["installation"].as_array().unwrap();
    let one = all.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("nothing of {what} in {said}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&one["verdict"]), text(&one["says"]), text(&one["remedy"]))
}

async fn channels(clinic: &Clinic, arguments: &[&str]) -> Ran {
    doctor(&clinic.config_path, &[&["doctor", "channels", "--json"], arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_in_order_is_told_from_one_that_says_nothing_and_from_silence() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let key = format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode([1; 294]));
    let good = NameServer::start(&[
        (DOMAIN, "v=spf1 include:_spf.relay.example -all"),
        (DOMAIN, "some-verification=1"),
        ("s1._domainkey.riverside.example", &key),
        ("_dmarc.riverside.example", "v=DMARC1; p=reject"),
    ])
    .await;
    let ran = channels(&clinic, &["--nameserver", &good.address, "--dkim-selector", "s1"]).await;
    for what in ["SPF", "DKIM", "DMARC", "relay"] {
        assert_eq!(finding(&ran, what).0, "works", "{what}: {}", ran.all());
    }
    assert_eq!(ran.code, 0);
    assert!(clinic.mailbox.mails().is_empty(), "nothing is sent unasked");

    let bare = NameServer::start(&[("x.example", "x")]).await;
    let ran = channels(&clinic, &["--nameserver", &bare.address, "--dkim-selector", "s1"]).await;
    for what in ["SPF", "DKIM", "DMARC"] {
        let (verdict, _, remedy) = finding(&ran, what);
        assert_eq!(verdict, "fails", "{what}");
        assert!(!remedy.is_empty(), "{what}");
    }
    assert_eq!(ran.code, 1);

    let gone = bare.address.clone();
    drop(bare);
    let ran = channels(&clinic, &["--nameserver", &gone]).await;
    for what in ["SPF", "DMARC"] {
        let (verdict, says, _) = finding(&ran, what);
        assert_eq!((verdict.as_str(), says.contains("no name server answers")), ("note", true), "{what}: {says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_domain_are_named_with_what_to_do() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let server = NameServer::start(&[
        (DOMAIN, "v=spf1 +all"),
        ("old._domainkey.riverside.example", &format!("v=DKIM1; p={}", BASE64_STANDARD.encode([1; 162]))),
        ("_dmarc.riverside.example", "v=DMARC1; p=none"),
    ])
    .await;
    let ran = channels(&clinic, &["--nameserver", &server.address, "--dkim-selector", "old"]).await;
    let told = |what: &str| finding(&ran, what);
    assert!(told("SPF").1.contains("anybody"), "{:?}", told("SPF"));
    assert!(told("DKIM").1.contains("2048"), "{:?}", told("DKIM"));
    assert_eq!(told("DMARC").0, "note");
    assert!(told("DMARC").2.contains("p=quarantine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_goes_to_the_colleague_named_and_is_read_again_as_it_arrived() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let server = NameServer::start(&[(DOMAIN, "v=spf1 -all")]).await;
    let ran = channels(&clinic, &["--nameserver", &server.address, "--to", "eve@provider.example"]).await;
    assert_eq!(finding(&ran, "trial").0, "works", "{}", ran.all());
    let arrived = clinic.mailbox.wait_for("eve@provider.example", 1).await;
    assert_eq!(clinic.mailbox.mails().len(), 1);

    let place = Place::new("received");
    let file = place.join("trial.eml");
    let read = async |mail: String| {
        std::fs::write(&file, mail).unwrap();
        channels(&clinic, &["--received", file.to_str().unwrap()]).await
    };
    let passed = "Authentication-Results: mx.provider.example; spf=pass; dkim=pass header.d=riverside.example; dmarc=pass\r\n\
                  DKIM-Signature: v=1; d=riverside.example; s=s1; b=x\r\n";
    let ran = read(format!("{passed}{}", arrived.raw)).await;
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(finding(&ran, "link").0, "works");

    let ran = read(arrived.raw.replace("http://127.0.0.1", "http://click.relay.example/127.0.0.1")).await;
    assert_eq!(ran.code, 1);
    let (verdict, says, remedy) = finding(&ran, "link");
    assert_eq!((verdict.as_str(), says.contains("rewritten")), ("fails", true), "{says}");
    assert!(remedy.contains("click tracking"));

    let ran = read("From: a@b.example\r\nSubject: Lunch\r\n\r\nToday?".to_owned()).await;
    assert_eq!(finding(&ran, "as it arrived").0, "fails");
}
