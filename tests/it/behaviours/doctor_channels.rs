//! `chartseal doctor channels`, run as an operator runs it, with a real DNS server and a real mailbox.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::doctor::doctor;
use crate::support::clinic::{Clinic, Wishes};
use crate::support::name_server::NameServer;
use crate::support::place::Place;
use crate::support::program::Ran;
use crate::support::texts::{Kannel, KannelPlace, TOKEN, TwilioStub, call_as_twilio};
use crate::support::wait;

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

/// The doctor of texts, whose name server knows nothing and says so at once.
struct Doctor<'a> {
    clinic: &'a Clinic,
    dns: NameServer,
}

impl<'a> Doctor<'a> {
    async fn of(clinic: &'a Clinic) -> Self {
        Self { clinic, dns: NameServer::start(&[("x.example", "x")]).await }
    }

    async fn channels(&self, arguments: &[&str]) -> Ran {
        channels(self.clinic, &[["--nameserver", &self.dns.address].as_slice(), arguments].concat()).await
    }

    /// What is found with one thing in the configuration changed.
    async fn changed(&self, from: &str, to: &str, arguments: &[&str]) -> Ran {
        let text = std::fs::read_to_string(&self.clinic.config_path).unwrap();
        assert!(text.contains(from), "{from}");
        let path = self.clinic.folder.join("changed.toml");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let asked = ["doctor", "channels", "--json", "--nameserver", &self.dns.address];
        doctor(&path, &[asked.as_slice(), arguments].concat()).await
    }
}

const GATEWAY: &str = "text gateway";
const CALLS: &str = "gateway's calls";
const EVE: &str = "+12025550101";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_knows_us_is_told_from_one_that_does_not_and_nothing_is_sent_unasked() {
    let stub = TwilioStub::start().await;
    let clinic = Clinic::spawn(Wishes { more: stub.config(), ..Wishes::default() }).await;
    let eve = Doctor::of(&clinic).await;
    let ran = eve.channels(&[]).await;
    for what in [GATEWAY, "text sender", CALLS] {
        assert_eq!(finding(&ran, what).0, "works", "{what}: {}", ran.all());
    }
    assert!(!ran.all().contains(TOKEN) && stub.taken().is_empty(), "nothing is sent unasked: {}", ran.all());

    let ran = eve.channels(&["--text-to", EVE]).await;
    assert_eq!(finding(&ran, "trial text").0, "works", "{}", ran.all());
    let text = wait::until("the trial", || stub.taken().pop()).await;
    assert!(text.to == EVE && text.body.contains("about nobody") && text.body.chars().count() <= 160, "{}", text.body);
    assert!(text.body.contains(&format!("{}/robots.txt?trial=", clinic.url)), "{}", text.body);
    assert!(clinic.mailbox.mails().is_empty() && clinic.deliveries().await.is_empty());
    assert!(!ran.all().contains(EVE), "{}", ran.all());

    // What the gateway tells of it is heard, though it is no message to a patient.
    let report = [("MessageStatus", "delivered"), ("To", EVE)];
    assert_eq!(call_as_twilio(&text.report_to, &report).await, 200);
    assert_eq!(stub.faults(), Vec::<String>::new());

    stub.suspend();
    assert!(finding(&eve.channels(&[]).await, GATEWAY).1.contains("suspended"));
    let token = clinic.folder.join("another-token");
    std::fs::write(&token, "not-the-token").unwrap();
    let ran = eve.changed("token_file = ", &format!("token_file = \"{}\" #", token.display()), &[]).await;
    let (verdict, says, remedy) = finding(&ran, GATEWAY);
    assert!(verdict == "fails" && says.contains("name or password") && remedy.contains("token"), "{says}: {remedy}");
    assert_eq!(ran.code, 1);
    let only = format!("from = \"+12025550100\"\nonly_to = [\"{}\"]", EVE.replace("01", "02"));
    let ran = eve.changed("from = \"+12025550100\"", &only, &["--text-to", EVE]).await;
    assert!(finding(&ran, "trial text").2.contains("only_to"), "{}", ran.all());
    assert_eq!(stub.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_sender_and_callback_address_are_named_with_what_to_do() {
    let stub = TwilioStub::start().await;
    let clinic = Clinic::spawn(Wishes { more: stub.config(), ..Wishes::default() }).await;
    let eve = Doctor::of(&clinic).await;
    let sender = "from = \"+12025550100\"";
    for (written, verdict, says, remedy) in [
        ("+4915123456789", "note", "another country", "that country"),
        ("72345", "note", "short code", "rented"),
        ("Riverside", "fails", "networks in US take none", "a number"),
        ("RiversideClinic", "fails", "11 letters", "shorter"),
        ("12025550100", "fails", "lacks the +", "+12025550123"),
        ("+1 202 555 0100", "fails", "neither", "without blanks"),
    ] {
        let found = finding(&eve.changed(sender, &format!("from = \"{written}\""), &[]).await, "text sender");
        assert!(found.0 == verdict && found.1.contains(says) && found.2.contains(remedy), "{written}: {found:?}");
    }
    let ran = eve.changed("region = \"US\"", "region = \"DE\"\nsms_name = \"Riverside\"", &[]).await;
    assert!(finding(&ran, "text sender").1.contains("patients in DE"), "{}", ran.all());

    let place = Place::new("nobody");
    let nobody = format!("{sender}\npublic_url = \"http://127.0.0.1:{}\"", place.port());
    let (verdict, says, remedy) = finding(&eve.changed(sender, &nobody, &[]).await, CALLS);
    assert!(verdict == "fails" && says.contains("nobody listens") && remedy.contains("public_url"), "{says}: {remedy}");
    let other = format!("{sender}\npublic_url = \"http://127.0.0.1:{}\"", stub.port);
    let (verdict, says, _) = finding(&eve.changed(sender, &other, &[]).await, CALLS);
    assert!(verdict == "fails" && says.contains("something else answers"), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chartseal_that_sends_no_texts_yet_hears_nothing_of_them() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let eve = Doctor::of(&clinic).await;
    let place = Place::new("texts");
    let ran = eve.changed("[mail]", &format!("{}\n[mail]", TwilioStub::nowhere(&place)), &[]).await;
    let (verdict, says, remedy) = finding(&ran, CALLS);
    assert!(verdict == "fails" && says.contains("sends no texts") && remedy.contains("restart"), "{says}: {remedy}");
    let (verdict, says, _) = finding(&ran, GATEWAY);
    assert!(verdict == "fails" && says.contains("cannot be reached"), "{says}");
    let without = eve.channels(&["--text-to", EVE]).await;
    assert!(without.code == 2 && without.all().contains("[sms]"), "{}", without.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_kannel_is_asked_whether_it_knows_us_without_a_text() {
    let place = KannelPlace::new();
    let clinic = Clinic::spawn(Wishes { more: place.config(), ..Wishes::default() }).await;
    let eve = Doctor::of(&clinic).await;
    let port = clinic.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap();
    let kannel = Kannel::start(place, port).await;
    let ran = eve.channels(&[]).await;
    for what in [GATEWAY, "text sender", CALLS] {
        assert_eq!(finding(&ran, what).0, "works", "{what}: {}", ran.all());
    }
    let wrong = clinic.folder.join("wrong");
    std::fs::write(&wrong, "not-the-password").unwrap();
    let password = format!("password_file = \"{}\" #", wrong.display());
    let (verdict, says, remedy) = finding(&eve.changed("password_file = ", &password, &[]).await, GATEWAY);
    assert!(verdict == "fails" && says.contains("name or password") && remedy.contains("sendsms-user"), "{says}");
    let elsewhere = eve.changed("/cgi-bin/sendsms", "/cgi-bin/elsewhere", &[]).await;
    assert_eq!(finding(&elsewhere, GATEWAY).0, "fails", "{}", elsewhere.all());
    let deaf = eve.changed("incoming_token_file", "#incoming_token_file", &[]).await;
    assert!(finding(&deaf, "STOP").1.contains("gets more texts"), "{}", deaf.all());
    assert!(kannel.taken().is_empty(), "nothing is sent unasked");

    let ran = eve.channels(&["--text-to", EVE]).await;
    assert_eq!(finding(&ran, "trial text").0, "works", "{}", ran.all());
    let text = wait::until("the trial", || kannel.taken().pop()).await;
    assert!(text.to == EVE.trim_start_matches('+') && text.body.contains("about nobody"), "{}", text.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_gateway_of_the_clinics_own_nothing_is_said_that_only_a_text_shows() {
    let place = Place::new("webhook");
    let secret = place.join("secret");
    std::fs::write(&secret, "0123456789abcdef01234567").unwrap();
    let stub = TwilioStub::start().await;
    let more = format!(
        "[sms]\ngateway = \"webhook\"\nurl = \"http://127.0.0.1:{}/send\"\nsecret_file = \"{}\"\n",
        stub.port,
        secret.display()
    );
    let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
    let eve = Doctor::of(&clinic).await;
    let ran = eve.channels(&[]).await;
    let (verdict, says, remedy) = finding(&ran, GATEWAY);
    assert!(verdict == "note" && says.contains("somebody answers") && remedy.contains("--text-to"), "{says}: {remedy}");
    assert_eq!(finding(&ran, CALLS).0, "works", "{}", ran.all());
    assert_eq!(finding(&ran, "text sender").0, "note");
}
