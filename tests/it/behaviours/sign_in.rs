//! Signing in to an EHR that asks for tokens, against a real one: our keys, their turns, a client secret, five seconds.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr::{self, Ehr, EhrAuth, EhrOptions, Registered};
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::place::Place;
use crate::support::planted::{self, Planted};
use crate::support::service::{Installation, Service};
use crate::support::{pdf, wait, web_client};

const A1C: &str = "4548-4";
const CLIENT_SECRET: Planted = Planted { what: "the client secret", value: "client-secret-9Qv2xLr71bKd" };
/// What sekmet writes at the head of every token: `{"alg":"HS256","typ":"JWT"}`.
const TOKEN_HEAD: Planted = Planted { what: "an access token", value: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" };

/// An EHR whose client `link-svc` was registered so.
async fn smart_ehr(port: u16, registered: Registered, scopes: &str) -> Ehr {
    let auth = EhrAuth::Smart {
        client_id: "link-svc".to_owned(),
        registered,
        scopes: scopes.to_owned(),
        token_lifetime_seconds: 5,
    };
    Ehr::start(EhrOptions { auth, port: Some(port), ..EhrOptions::default() }).await
}

async fn put_report(real: &Ehr, number: u32) -> String {
    let (patient, email) = (format!("p-token-{number}"), format!("token-{number}@example.test"));
    real.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", &email)).await;
    real.lab().post(&ehr::report(&patient, A1C, &clinic::real_now(), &pdf::with_pages(&["5.4 %"]))).await;
    email
}

async fn served_keys(url: &str) -> Value {
    let answer = web_client::new().get(format!("{url}/.well-known/jwks.json")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["cache-control"], "public, max-age=900");
    assert_eq!(answer.headers()["content-type"], "application/json");
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

fn kids(set: &Value) -> Vec<&str> {
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect()
}

/// The process in real time: tokens end while it polls, and nobody notices.
async fn reports_arrive_across_tokens(service: &Service, mailbox: &Mailbox, real: &Ehr) {
    let first = put_report(real, 1).await;
    mailbox.wait_for(&first, 1).await;
    let (began, lives) = (Instant::now(), Duration::from_secs(6));
    wait::until("a token of five seconds to end", || (began.elapsed() > lives).then_some(())).await;
    let second = put_report(real, 2).await;
    mailbox.wait_for(&second, 1).await;
    let listed = service.installation().command(&["ehrs", "list", "--json"]).json();
    assert_eq!(listed[0]["kinds"][0]["poll_why"], Value::Null, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_a_real_ehr_takes_our_signature_by_rsa_and_by_elliptic_curve() {
    for signature in ["RS384", "ES384"] {
        let (place, mailbox) = (Place::new("smart"), Mailbox::start(Manner::Plain).await);
        let port = place.port();
        let environment = [
            ("CHARTSEAL__EHR__0__AUTH", "smart"),
            ("CHARTSEAL__EHR__0__CLIENT_ID", "link-svc"),
            ("CHARTSEAL__EHR__0__SIGNATURE", signature),
            ("CHARTSEAL__EHR__0__POLL_SECONDS", "1"),
            ("CHARTSEAL__EHR__0__ANSWER_SECONDS", "20"),
        ];
        let base = format!("http://127.0.0.1:{port}/fhir");
        let installation = Installation::write(&Wishes::default(), &base, mailbox.port, &environment).await;
        // By hand, before the service ever ran.
        let printed = installation.command(&["check"]);
        assert_eq!(printed.code, 0, "{}", printed.all());
        let keys = installation.command(&["ehrs", "keys", "--json"]).json();
        assert_eq!(kids(&keys).len(), 2, "the current and the next: {keys}");
        assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["alg"] == signature));
        let real = smart_ehr(port, Registered::Jwks(keys.clone()), "system/*.cruds").await;
        let service = Service::start(&installation).await;
        assert_eq!(served_keys(&service.url).await, keys, "the process serves what the command printed");
        reports_arrive_across_tokens(&service, &mailbox, &real).await;
        let listed = installation.command(&["ehrs", "list", "--json"]).json();
        assert_eq!(listed[0]["scope_lacking"], "", "{listed}");
        planted::assert_absent("the log", service.stop().await.as_bytes(), &[TOKEN_HEAD]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_a_client_secret_opens_a_real_ehr_and_a_narrower_scope_is_said_to_staff() {
    for carried in ["basic", "post"] {
        let (place, mailbox) = (Place::new("smart"), Mailbox::start(Manner::Plain).await);
        let port = place.port();
        let scopes = "system/DiagnosticReport.rs system/DocumentReference.rs system/Patient.rs system/Binary.r";
        let environment = [
            ("CHARTSEAL__EHR__0__AUTH", "client_secret"),
            ("CHARTSEAL__EHR__0__CLIENT_ID", "link-svc"),
            ("CHARTSEAL__EHR__0__CLIENT_SECRET", CLIENT_SECRET.value),
            ("CHARTSEAL__EHR__0__CLIENT_SECRET_IN", carried),
            ("CHARTSEAL__EHR__0__POLL_SECONDS", "1"),
        ];
        let base = format!("http://127.0.0.1:{port}/fhir");
        let installation = Installation::write(&Wishes::default(), &base, mailbox.port, &environment).await;
        let real = smart_ehr(port, Registered::Secret(CLIENT_SECRET.value.to_owned()), scopes).await;
        let service = Service::start(&installation).await;
        reports_arrive_across_tokens(&service, &mailbox, &real).await;
        let told = installation.command(&["ehrs", "list"]).all();
        assert!(told.contains("grants less than was asked for, without system/Observation.rs"), "{told}");
        assert!(!told.contains("without system/Patient"), "{told}");
        let jwks = web_client::new().get(format!("{}/.well-known/jwks.json", service.url)).send().await.unwrap();
        assert_eq!(jwks.status(), StatusCode::NOT_FOUND, "nobody takes a key");
        planted::assert_absent("the log", service.stop().await.as_bytes(), &[CLIENT_SECRET, TOKEN_HEAD]);
        planted::assert_absent_in_files(&[&installation.folder], &[CLIENT_SECRET, TOKEN_HEAD]);
    }
}

/// The EHR reads our keys from us, and keeps them for five minutes: after the second turn it does not know the one that signs.
#[tokio::test(flavor = "multi_thread")]
async fn event_13_keys_take_turns_without_a_moment_in_which_the_ehr_refuses_us() {
    let (place, mailbox) = (Place::new("smart"), Mailbox::start(Manner::Plain).await);
    let port = place.port();
    let wishes = Wishes {
        ehr_base: Some(format!("http://127.0.0.1:{port}/fhir")),
        // Configured, so that nothing but the refusal of the first assertion tells that the EHR's clock is another.
        ehr_more: format!(
            "auth = \"smart\"\nclient_id = \"link-svc\"\nsignature = \"ES384\"\n\
             token_url = \"http://127.0.0.1:{port}/auth/token\"\n"
        ),
        ..Wishes::default()
    };
    let clinic = Clinic::spawn_with(wishes, ehr::lease().await, mailbox).await;
    let jwks_url = format!("{}/.well-known/jwks.json", clinic.url);
    let real = smart_ehr(port, Registered::JwksUrl(jwks_url), "system/*.cruds").await;
    let arrives = async |number| {
        let email = put_report(&real, number).await;
        // Further than any token lives, and our clock runs ahead of the EHR's: the assertion is told by the EHR's.
        clinic.hear_and_settle().await;
        clinic.hear_and_settle().await;
        assert_eq!(clinic.mails_to(&email).len(), 1, "report {number}");
    };
    arrives(1).await;
    let first = served_keys(&clinic.url).await;
    let rotate = |arguments: &[&str]| {
        let arguments = [&["ehrs", "rotate-keys", "--json"], arguments].concat();
        crate::support::program::run(&clinic.config_path, &arguments)
    };

    // The commands know real time alone, by which everything was made a moment ago.
    let early = rotate(&[]);
    assert_eq!(early.code, 1, "{}", early.all());
    assert!(early.json()["not_before"].is_string(), "{}", early.out);
    let turned = clinic.steps.sign_in.rotate(chartseal::sign_in::Haste::WhenPublished, eve()).await.unwrap();
    assert_eq!(turned[0].former, kids(&first)[0]);
    assert_eq!(turned[0].kid, kids(&first)[1], "the one that was published before");
    arrives(2).await;
    let second = served_keys(&clinic.url).await;
    assert_eq!(kids(&second).len(), 3, "former, current and next: {second}");

    let at_once = rotate(&["--at-once"]);
    assert_eq!(at_once.code, 0, "{}", at_once.all());
    let current = at_once.json()["rotated"][0]["kid"].as_str().unwrap().to_owned();
    assert!(!kids(&first).contains(&current.as_str()), "the EHR read the set before this one was in it");
    arrives(3).await;
    clinic.forward(Duration::from_mins(2));
    let third = served_keys(&clinic.url).await;
    assert!(kids(&third).contains(&current.as_str()), "another process changed the turns");
    let compromised = at_once.json()["rotated"][0]["former"].as_str().unwrap().to_owned();
    assert!(!kids(&third).contains(&compromised.as_str()), "nobody is told to trust it any longer");

    clinic.forward(Duration::from_hours(8 * 24));
    clinic.settle().await;
    assert_eq!(kids(&served_keys(&clinic.url).await).len(), 2, "those whose time is over are gone");
}

fn eve() -> chartseal::base::OperatorName {
    chartseal::base::OperatorName::parse("Eve Admin").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_keys_change_by_time_where_that_is_asked_for_and_every_replica_signs_with_the_same() {
    let wishes = Wishes {
        more: "[keys]\nrotate_signing_keys = \"30d\"\n".to_owned(),
        ehr_more: "auth = \"smart\"\nclient_id = \"link-svc\"\nsignature = \"ES384\"\n".to_owned(),
        ..Wishes::default()
    };
    let clinic = Clinic::spawn(wishes).await;
    let config = chartseal::config::Config::load(&clinic.config_path, []).unwrap();
    let other = chartseal::app::steps::sign_in_of(&config, &clinic.ground);
    let current = async |of: &chartseal::sign_in::SignIn| {
        use chartseal::fhir::AssertionKeys as _;
        let Ok(now) = of.keys(chartseal::signing::Algorithm::Es384).await else { panic!("the keys are there") };
        now.current.id().to_string()
    };
    let before = served_keys(&clinic.url).await;
    assert_eq!(current(&clinic.steps.sign_in).await, current(&other).await);
    clinic.forward(Duration::from_hours(29 * 24));
    assert_eq!(clinic.steps.sign_in.turn().await.unwrap(), 0);
    clinic.forward(Duration::from_hours(24));
    // Both look at once: one of them turns, and neither fails.
    let (one, two) = tokio::join!(clinic.steps.sign_in.turn(), other.turn());
    assert!(one.unwrap() + two.unwrap() >= 1);
    let now = current(&clinic.steps.sign_in).await;
    assert_eq!(now, current(&other).await);
    assert_eq!(now, kids(&before)[1], "the next one took over, and no other");
    clinic.forward(Duration::from_mins(2));
    assert_eq!(kids(&served_keys(&clinic.url).await).len(), 3);
}
