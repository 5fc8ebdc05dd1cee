//! The dialogue with relays that accept, refuse, stall, lie and hang up.

use std::io::Write;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::NamedTempFile;

use super::scripted_relay::{Offer, Script, ScriptedRelay};
use super::*;
use crate::base::{EmailAddress, NoticeId, SecretText, millis, seconds};
use crate::notify::MessageId;

/// For what must not end by time: only what hangs meets it.
const PATIENT: Duration = Duration::from_mins(5);
/// For what must end by time: each is tried until the relay was quick enough to come to the part that the test is about.
const IMPATIENT: [Duration; 5] = [millis(250), seconds(1), seconds(5), seconds(25), seconds(125)];

fn mail() -> Outgoing {
    let address = |text| EmailAddress::parse(text).unwrap();
    let from = address("notices@clinic.test");
    let id = MessageId::of(&NoticeId::parse("AAAAAAAAAAAAAAAA").unwrap(), &from);
    Outgoing::new(from, address("ana@patient.test"), id, b"Subject: x\r\n\r\nhello\r\n.dot\r\n".to_vec())
}

fn settings(url: &str, tls: TlsMode) -> MailRelay {
    MailRelay {
        url: RelayUrl::parse(url).unwrap(),
        login: None,
        tls,
        ca_file: None,
        hello_name: "chartseal.clinic.test".to_owned(),
        connections_max: NonZeroU16::new(4).unwrap(),
        attempt_timeout: PATIENT,
    }
}

fn plain(double: &ScriptedRelay, attempt_timeout: Duration) -> SmtpRelay {
    let url = format!("smtp://127.0.0.1:{}", double.port);
    SmtpRelay::new(MailRelay { attempt_timeout, ..settings(&url, TlsMode::None) }).unwrap()
}

fn authority_file(pem: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    file
}

fn login() -> Login {
    Login { user: "clinic".to_owned(), password: SecretText::new("secret".to_owned()) }
}

/// Over TLS, trusting the double's certificate, with a login.
fn encrypted(double: &ScriptedRelay, scheme: &str) -> SmtpRelay {
    let file = authority_file(&double.authority_pem);
    let url = format!("{scheme}://localhost:{}", double.port);
    let ca_file = Some(file.path().to_owned());
    SmtpRelay::new(MailRelay { ca_file, login: Some(login()), ..settings(&url, TlsMode::Required) }).unwrap()
}

async fn outcome_of(script: Script) -> SendOutcome {
    let double = ScriptedRelay::start(script, Offer::Plain).await;
    plain(&double, PATIENT).send(&mail()).await
}

/// The outcome of an attempt whose time ended after the relay had come to its scripted part.
async fn impatient_outcome_of(script: Script) -> SendOutcome {
    for patience in IMPATIENT {
        let double = ScriptedRelay::start(script, Offer::Plain).await;
        let outcome = plain(&double, patience).send(&mail()).await;
        if double.came_to_its_part() {
            return outcome;
        }
    }
    panic!("the relay did not come to its part in {:?}", IMPATIENT.last());
}

fn told(outcome: SendOutcome) -> String {
    match outcome {
        SendOutcome::Accepted { response_code } => format!("accepted {response_code}"),
        SendOutcome::Transient { why } => format!("transient: {why}"),
        SendOutcome::Permanent { why } => format!("permanent: {why}"),
        SendOutcome::Ambiguous { why } => format!("ambiguous: {why}"),
        SendOutcome::Misconfigured { why } => format!("misconfigured: {why}"),
        SendOutcome::Withheld => "withheld".to_owned(),
    }
}

#[tokio::test]
async fn an_accepted_message_arrives_whole_with_its_dots() {
    let double = ScriptedRelay::start(Script::Accept, Offer::Plain).await;
    let outcome = plain(&double, PATIENT).send(&mail()).await;
    assert_eq!(outcome, SendOutcome::Accepted { response_code: 250 });
    assert_eq!(double.messages(), [b"Subject: x\r\n\r\nhello\r\n..dot\r\n\r\n.\r\n"]);
    assert_eq!(
        double.lines(),
        ["EHLO chartseal.clinic.test", "MAIL FROM:<notices@clinic.test>", "RCPT TO:<ana@patient.test>", "DATA"]
    );
}

#[tokio::test]
async fn a_definite_answer_is_taken_at_its_word_and_only_its_numbers_are_told() {
    for (script, expected) in [
        (
            Script::AnswerRecipient("550 5.1.1 <ana@patient.test> unknown"),
            "permanent: the relay refused the recipient (550 5.1.1)",
        ),
        (
            Script::AnswerRecipient("451 4.7.1 ana@patient.test greylisted"),
            "transient: the relay put off the recipient (451 4.7.1)",
        ),
        (
            Script::AnswerRecipient("552-5.2.2 mailbox of ana\r\n552 5.2.2 is full"),
            "permanent: the relay refused the recipient (552 5.2.2)",
        ),
        (Script::AnswerRecipient("550 no such user"), "permanent: the relay refused the recipient (550)"),
        (Script::AnswerData("554 5.5.1 no"), "permanent: the relay refused the message (554 5.5.1)"),
        (Script::AnswerContent("554 5.7.1 spam"), "permanent: the relay refused the message (554 5.7.1)"),
        (Script::AnswerContent("421 4.3.2 shutting down"), "transient: the relay put off the message (421 4.3.2)"),
        (Script::Greet("421 4.7.0 too many"), "transient: the relay is not ready (421 4.7.0)"),
    ] {
        assert_eq!(told(outcome_of(script).await), expected);
    }
}

#[tokio::test]
async fn a_refusal_that_every_message_would_meet_is_for_staff() {
    for (script, expected) in [
        (Script::Greet("554 5.7.1 go away"), "misconfigured: the relay refuses to talk to us (554 5.7.1)"),
        (Script::AnswerSender("550 5.7.1 not yours"), "misconfigured: the relay refused the sender (550 5.7.1)"),
        (
            Script::AnswerRecipient("530 5.7.0 log in first"),
            "misconfigured: the relay refused the recipient (530 5.7.0)",
        ),
    ] {
        assert_eq!(told(outcome_of(script).await), expected);
    }
}

#[tokio::test]
async fn a_failure_before_the_end_of_the_message_is_certainly_unsent() {
    for script in [Script::AnswerData("250 not 354"), Script::AnswerRecipient("what?"), Script::Greet("hello")] {
        let outcome = outcome_of(script).await;
        assert!(matches!(outcome, SendOutcome::Transient { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_message_too_large_for_the_socket_that_is_cut_half_way_is_certainly_unsent() {
    let double = ScriptedRelay::start(Script::CutInContent, Offer::Plain).await;
    let large = b"x".repeat(64 << 20);
    let small = mail();
    let mail = Outgoing::new(small.return_path().clone(), small.to().clone(), small.message_id().clone(), large);
    let outcome = plain(&double, PATIENT).send(&mail).await;
    assert_eq!(told(outcome), "transient: the connection broke before the end of the message");
}

#[tokio::test]
async fn no_clear_answer_after_the_end_of_the_message_is_ambiguous() {
    for script in [
        Script::CutAfterContent,
        // Our end of the message was written before the cut was seen: nobody can tell.
        Script::CutInContent,
        Script::AnswerContent("garbage"),
        Script::AnswerContent("250-2.0.0 and then"),
        Script::AnswerContent("354 go on"),
    ] {
        let outcome = impatient_outcome_of(script).await;
        assert!(matches!(outcome, SendOutcome::Ambiguous { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn silence_ends_in_time_and_is_judged_by_what_was_said_before() {
    let greeting = impatient_outcome_of(Script::SilentAtGreeting).await;
    assert_eq!(told(greeting), "transient: the relay did not answer in time");
    let recipient = impatient_outcome_of(Script::StallAtRecipient).await;
    assert_eq!(told(recipient), "transient: the relay did not answer in time");
    let content = impatient_outcome_of(Script::StallAfterContent).await;
    assert_eq!(told(content), "ambiguous: the relay did not answer in time after the whole message");
}

#[tokio::test]
async fn a_relay_that_never_stops_talking_is_left() {
    let greeting = impatient_outcome_of(Script::TalkWithoutEndAtGreeting).await;
    assert!(matches!(greeting, SendOutcome::Transient { .. }), "{greeting:?}");
    let content = impatient_outcome_of(Script::TalkWithoutEndAfterContent).await;
    assert!(matches!(content, SendOutcome::Ambiguous { .. }), "{content:?}");
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_transient() {
    let relay = SmtpRelay::new(settings("smtp://127.0.0.1:1", TlsMode::None)).unwrap();
    assert_eq!(told(relay.send(&mail()).await), "transient: the relay cannot be reached");
}

#[tokio::test]
async fn many_senders_never_open_more_sockets_than_allowed() {
    let double = ScriptedRelay::start(Script::Accept, Offer::Plain).await;
    let relay = Arc::new(plain(&double, PATIENT));
    let outcomes = join_all((0..50).map(|_| {
        let relay = Arc::clone(&relay);
        tokio::spawn(async move { relay.send(&mail()).await })
    }))
    .await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(SendOutcome::Accepted { .. }))));
    assert_eq!(double.messages().len(), 50);
    assert!(double.open_most() <= 4, "{}", double.open_most());
    assert!(double.connections() <= 4, "each connection serves many messages: {}", double.connections());
}

#[tokio::test]
async fn a_sender_that_finds_every_socket_busy_is_told_in_time() {
    let double = ScriptedRelay::start(Script::SilentAtGreeting, Offer::Plain).await;
    let relay = Arc::new(plain(&double, seconds(1)));
    let outcomes = join_all((0..12).map(|_| {
        let relay = Arc::clone(&relay);
        async move { relay.send(&mail()).await }
    }))
    .await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, SendOutcome::Transient { .. })));
    assert!(double.open_most() <= 4);
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_before_anything_is_sent() {
    let double = ScriptedRelay::start(Script::CutWhenReused, Offer::Plain).await;
    let relay = plain(&double, PATIENT);
    for _ in 0..3 {
        assert_eq!(told(relay.send(&mail()).await), "accepted 250");
    }
    assert_eq!((double.connections(), double.messages().len()), (3, 3));
}

#[tokio::test]
async fn a_connection_survives_a_refused_recipient() {
    let double = ScriptedRelay::start(Script::AnswerRecipient("550 5.1.1 no"), Offer::Plain).await;
    let relay = plain(&double, PATIENT);
    for _ in 0..3 {
        assert!(matches!(relay.send(&mail()).await, SendOutcome::Permanent { .. }));
    }
    assert_eq!(double.connections(), 1);
    assert_eq!(double.lines().iter().filter(|line| *line == "RSET").count(), 2);
}

#[tokio::test]
async fn mail_goes_out_encrypted_by_starttls_and_from_the_first_byte() {
    for (offer, scheme) in [(Offer::StartTls, "smtp"), (Offer::TlsAtOnce, "smtps")] {
        let double = ScriptedRelay::start(Script::Accept, offer).await;
        let relay = encrypted(&double, scheme);
        for _ in 0..2 {
            assert_eq!(told(relay.send(&mail()).await), "accepted 250");
        }
        assert_eq!((double.connections(), double.messages().len()), (1, 2));
    }
}

#[tokio::test]
async fn without_the_required_encryption_no_sender_and_no_password_is_said() {
    for (script, offer, expected) in [
        (Script::Accept, Offer::Plain, "misconfigured: the relay does not offer STARTTLS"),
        (Script::RefuseStartTls, Offer::StartTls, "misconfigured: the relay refused STARTTLS (502 5.5.1)"),
        (Script::InjectAfterStartTls, Offer::StartTls, "misconfigured: the relay and Chartseal cannot agree on TLS"),
    ] {
        let double = ScriptedRelay::start(script, offer).await;
        let outcome = encrypted(&double, "smtp").send(&mail()).await;
        assert_eq!(told(outcome), expected);
        assert!(!double.lines().iter().any(|line| line.starts_with("MAIL") || line.starts_with("AUTH")));
    }
}

#[tokio::test]
async fn a_certificate_of_someone_else_is_refused_both_ways() {
    let other = ScriptedRelay::start(Script::Accept, Offer::Plain).await;
    for (offer, scheme) in [(Offer::StartTls, "smtp"), (Offer::TlsAtOnce, "smtps")] {
        let mut imposter = ScriptedRelay::start(Script::Accept, offer).await;
        imposter.authority_pem.clone_from(&other.authority_pem);
        let outcome = encrypted(&imposter, scheme).send(&mail()).await;
        assert!(told(outcome).starts_with("misconfigured: the relay's certificate is not trusted"), "{outcome:?}");
        assert!(imposter.messages().is_empty());
    }
}

#[tokio::test]
async fn a_login_is_sent_and_its_refusal_is_for_staff() {
    for (script, expected) in [
        (Script::Accept, "accepted 250"),
        (Script::RefuseLogin, "misconfigured: the relay refused the user name or password (535 5.7.8)"),
    ] {
        let double = ScriptedRelay::start(script, Offer::Plain).await;
        let url = format!("smtp://127.0.0.1:{}", double.port);
        let relay = SmtpRelay::new(MailRelay { login: Some(login()), ..settings(&url, TlsMode::None) }).unwrap();
        assert_eq!(told(relay.send(&mail()).await), expected);
        assert!(double.lines().iter().any(|line| line == "AUTH PLAIN AGNsaW5pYwBzZWNyZXQ="));
    }
}

#[test]
fn plain_text_to_another_machine_cannot_be_configured() {
    for url in
        ["smtp://mail.clinic.test:25", "smtp://10.0.0.1:25", "smtp://localhost.clinic.test", "smtp://[2001:db8::1]"]
    {
        let refused = SmtpRelay::new(settings(url, TlsMode::None)).err();
        assert!(matches!(refused, Some(RelayError::PlainToAnotherMachine)), "{url}");
    }
    for url in ["smtp://localhost:2525", "smtp://127.0.0.1:25", "smtp://[::1]:25"] {
        assert!(SmtpRelay::new(settings(url, TlsMode::None)).is_ok(), "{url}");
    }
    let contradiction = SmtpRelay::new(settings("smtps://localhost", TlsMode::None)).err();
    assert!(matches!(contradiction, Some(RelayError::PlainInsideTls)));
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    for url in
        ["", "localhost:25", "http://localhost", "smtp://", "smtp://u:p@localhost", "smtp://localhost/x", "smtp://h?x"]
    {
        assert!(RelayUrl::parse(url).is_err(), "{url}");
    }
    assert_eq!(RelayUrl::parse("smtp://Mail.Clinic.test").unwrap().port, 587);
    assert_eq!(RelayUrl::parse("smtps://mail.clinic.test").unwrap().port, 465);
    let with_hello =
        |name: &str| MailRelay { hello_name: name.to_owned(), ..settings("smtp://localhost", TlsMode::None) };
    for name in ["", "a b", "x\r\nMAIL FROM:<y@z.test>", "-a.test", "a..b"] {
        assert!(matches!(SmtpRelay::new(with_hello(name)).err(), Some(RelayError::HelloName)), "{name:?}");
    }
    let empty = authority_file("");
    for (path, expected) in [("/nonexistent/ca.pem".into(), "read"), (empty.path().to_owned(), "PEM")] {
        let relay = MailRelay { ca_file: Some(path), ..settings("smtp://localhost", TlsMode::Required) };
        let error = SmtpRelay::new(relay).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn the_socket_does_not_wait_to_fill_its_packets() {
    let double = ScriptedRelay::start(Script::Accept, Offer::Plain).await;
    let socket = plain(&double, PATIENT).door.connect().await.unwrap();
    assert!(socket.nodelay().unwrap());
}

/// Reports, asserts nothing about time: `cargo test --lib notify -- --ignored --nocapture mails_a_second`.
#[tokio::test]
#[ignore = "a measurement"]
async fn mails_a_second_over_one_connection() {
    let double = ScriptedRelay::start(Script::Accept, Offer::Plain).await;
    let url = format!("smtp://127.0.0.1:{}", double.port);
    let connections_max = NonZeroU16::MIN;
    let relay = SmtpRelay::new(MailRelay { connections_max, ..settings(&url, TlsMode::None) }).unwrap();
    let started = std::time::Instant::now();
    let count = 2000_u32;
    for _ in 0..count {
        assert!(matches!(relay.send(&mail()).await, SendOutcome::Accepted { .. }));
    }
    println!(
        "{:.0} mails/s over {} connection",
        f64::from(count) / started.elapsed().as_secs_f64(),
        double.connections()
    );
}
