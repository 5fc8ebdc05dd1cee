//! Signing in to EHRs that refuse, hang, lie or lead elsewhere, and to one that is asked a hundred times at once.
//!
//! The real EHR does none of this, so a double does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chartseal::base::{Clock, FhirId, ResourceType, SecretText, UtcMillis};
use chartseal::fhir::{
    AttachmentRef, AttachmentSource, Auth, ClientProof, EhrClient, EhrConnection, EhrError, Limits, Origin, OwnTls,
    SecretCarried, ServiceBase, SignInFault, TokenAuth,
};
use chartseal::store::{self, PollRow};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr_double::{Act, Asked, Certificates, EhrDouble, Reply, outcome};
use crate::support::{ehr, pdf, wait};

const SECRET: &str = "client-secret-9Qv2xLr71bKd";
const TOKEN_PATH: &str = "/auth/token";
const CONFIGURATION_PATH: &str = "/fhir/.well-known/smart-configuration";

fn root(double: &EhrDouble) -> String {
    double.base_url.trim_end_matches("/fhir").to_owned()
}

fn token_url(double: &EhrDouble) -> String {
    format!("{}{TOKEN_PATH}", root(double))
}

fn asks_token(asked: &Asked) -> bool {
    asked.target == TOKEN_PATH
}

fn token_requests(double: &EhrDouble) -> usize {
    double.asked().iter().filter(|asked| asks_token(asked)).count()
}

fn granted(token: &str) -> Act {
    Act::Answer(Reply::new(
        200,
        "application/json",
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 300}).to_string(),
    ))
}

fn refused(status: u16, error: &str) -> Act {
    Act::Answer(Reply::new(status, "application/json", json!({"error": error, "error_description": "x"}).to_string()))
}

/// What a good server with sign-in answers: `T1` is the token.
fn signing_in(asked: &Asked, token_url: &str) -> Act {
    match asked.target.as_str() {
        TOKEN_PATH => granted("T1"),
        CONFIGURATION_PATH => {
            Act::Answer(Reply::new(200, "application/json", json!({"token_endpoint": token_url}).to_string()))
        }
        _ if asked.header("authorization") == Some("Bearer T1") => Act::AsUsual,
        _ => Act::Answer(Reply::fhir(401, &outcome("login"))),
    }
}

fn client(double: &EhrDouble, clock: &Clock, change: impl FnOnce(&mut EhrConnection)) -> Arc<EhrClient> {
    let mut connection = connection(
        double,
        clock,
        ClientProof::Secret { secret: SecretText::new(SECRET.to_owned()), carried: SecretCarried::Header },
    );
    change(&mut connection);
    Arc::new(EhrClient::new(connection).unwrap())
}

fn connection(double: &EhrDouble, clock: &Clock, proof: ClientProof) -> EhrConnection {
    EhrConnection {
        id: "odd".parse().unwrap(),
        base: ServiceBase::new(double.base_url.parse().unwrap()).unwrap(),
        auth: Auth::Token(TokenAuth {
            client_id: "link-svc".to_owned(),
            proof,
            token_url: None,
            scope: "system/*.read".to_owned(),
            clock: clock.clone(),
        }),
        attachment_origins: Vec::new(),
        limits: Limits::default(),
    }
}

fn a_clock() -> Clock {
    Clock::stepped(clinic::now())
}

fn put_one(double: &EhrDouble, id: &str) {
    double.put(&ehr::patient("p1", "Garcia", "Ana", "1984-05-06", "ana@example.test"));
    let mut report = ehr::report("p1", "4548-4", &clinic::real_now(), &pdf::with_pages(&["5.4 %"]));
    report["id"] = json!(id);
    double.put(&report);
}

async fn read(client: &EhrClient) -> Result<(), EhrError> {
    client.read(ResourceType::DiagnosticReport, &FhirId::parse("r1").unwrap()).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_a_hundred_requests_at_once_ask_for_one_token() {
    let (double, clock) = (EhrDouble::start().await, a_clock());
    put_one(&double, "r1");
    let url = token_url(&double);
    double.behave(move |asked| signing_in(asked, &url));
    let client = client(&double, &clock, |_| {});
    let all = join_all((0..100).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { read(&client).await })
    }));
    assert!(all.await.into_iter().all(|read| read.unwrap().is_ok()));
    assert_eq!(token_requests(&double), 1);
    // At 80 % of its life one asks again, and the others go on with the old one.
    clock.forward(Duration::from_secs(241));
    assert!(join_all((0..20).map(|_| read(&client))).await.iter().all(Result::is_ok));
    wait::until("the token to be renewed", || (token_requests(&double) >= 2).then_some(())).await;
    assert_eq!(token_requests(&double), 2);
    let sent = double.asked().into_iter().find(asks_token).unwrap();
    assert_eq!(String::from_utf8(sent.body).unwrap(), "grant_type=client_credentials&scope=system%2F*.read");
    assert!(
        sent.headers
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case("authorization") && value.starts_with("Basic "))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_a_401_costs_one_new_token_and_one_more_try() {
    let (double, clock) = (EhrDouble::start().await, a_clock());
    put_one(&double, "r1");
    let (url, given) = (token_url(&double), AtomicUsize::new(0));
    double.behave(move |asked| match asked.target.as_str() {
        TOKEN_PATH => granted(&format!("T{}", given.fetch_add(1, Ordering::SeqCst))),
        CONFIGURATION_PATH => signing_in(asked, &url),
        // The first token was withdrawn at once.
        _ if asked.header("authorization") == Some("Bearer T1") => Act::AsUsual,
        _ => Act::Answer(Reply::fhir(401, &outcome("login"))),
    });
    let client = client(&double, &clock, |_| {});
    assert!(join_all((0..20).map(|_| read(&client))).await.iter().all(Result::is_ok));
    assert_eq!(token_requests(&double), 2);

    // And one that is refused whatever the token is not asked again and again.
    let url = token_url(&double);
    double.behave(move |asked| match asked.target.as_str() {
        TOKEN_PATH | CONFIGURATION_PATH => signing_in(asked, &url),
        _ => Act::Answer(Reply::fhir(401, &outcome("login"))),
    });
    clock.forward(Duration::from_mins(2));
    for _ in 0..10 {
        assert_eq!(read(&client).await, Err(EhrError::Refused { status: 401 }));
    }
    assert_eq!(token_requests(&double), 3, "one more, and no further in this minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_a_token_endpoint_that_asks_for_a_pause_has_it() {
    let http_date = |at: UtcMillis| at.to_datetime().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (status, retry_after, pause) in
        [(429, "120".to_owned(), 120), (503, http_date(clinic::now().plus(Duration::from_secs(100))), 80)]
    {
        let (double, clock) = (EhrDouble::start().await, a_clock());
        put_one(&double, "r1");
        let url = token_url(&double);
        let slow_down = {
            let (url, retry_after) = (url.clone(), retry_after.clone());
            move |asked: &Asked| match asked.target.as_str() {
                TOKEN_PATH => Act::Answer(Reply::new(status, "text/plain", "slow").with("Retry-After", &retry_after)),
                _ => signing_in(asked, &url),
            }
        };
        double.behave(slow_down);
        let client = client(&double, &clock, |_| {});
        assert!(matches!(read(&client).await, Err(EhrError::Overloaded { retry_after: Some(_) })), "{retry_after}");
        clock.forward(Duration::from_secs(pause - 1));
        double.behave(move |asked| signing_in(asked, &url));
        assert!(matches!(read(&client).await, Err(EhrError::Overloaded { .. })), "{retry_after}: asked too early");
        assert_eq!(token_requests(&double), 1);
        clock.forward(Duration::from_secs(25));
        assert_eq!(read(&client).await, Ok(()), "{retry_after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_a_token_endpoint_that_hangs_is_waited_for_once() {
    let (double, clock) = (EhrDouble::start().await, a_clock());
    put_one(&double, "r1");
    let url = token_url(&double);
    let hanging = {
        let url = url.clone();
        move |asked: &Asked| if asks_token(asked) { Act::Silence } else { signing_in(asked, &url) }
    };
    double.behave(hanging);
    let client = client(&double, &clock, |connection| connection.limits.answer_timeout = Duration::from_secs(1));
    let all = join_all((0..50).map(|_| read(&client))).await;
    assert!(all.iter().all(|read| *read == Err(EhrError::SignIn(SignInFault::TimedOut))), "{:?}", all.first());
    assert_eq!(token_requests(&double), 1, "fifty waited for the same");
    double.behave(move |asked| signing_in(asked, &url));
    clock.forward(Duration::from_secs(10));
    assert_eq!(read(&client).await, Ok(()));
}

/// The other server would answer anything: what it hears is what leaked.
#[tokio::test(flavor = "multi_thread")]
async fn event_13_secret_and_token_go_to_no_other_server() {
    let (double, other, clock) = (EhrDouble::start().await, EhrDouble::start().await, a_clock());
    put_one(&double, "r1");
    let (url, elsewhere) = (token_url(&double), token_url(&other));
    let file = |server: &EhrDouble| AttachmentRef {
        source: AttachmentSource::Url(SecretText::new(format!("{}/Binary/b1", server.base_url))),
        content_type: Some("application/pdf".to_owned()),
        language: None,
        title: None,
        size: None,
        sha1: None,
    };
    other.put_bytes("Binary", "b1", b"%PDF-1.4");
    let listed = Origin::of(&other.base_url.parse().unwrap()).unwrap();

    // An attachment at a listed origin.
    let good = url.clone();
    double.behave(move |asked| signing_in(asked, &good));
    let with_listed = client(&double, &clock, |connection| connection.attachment_origins = vec![listed]);
    assert_eq!(read(&with_listed).await, Ok(()));
    let _ = with_listed.fetch_attachment(&file(&other)).await;
    let heard = other.asked();
    assert!(!heard.is_empty() && heard.iter().all(|asked| asked.header("authorization").is_none()));

    // The EHR, its token endpoint and its configuration lead elsewhere.
    let moved = |to: &str| Act::Answer(Reply::new(307, "text/plain", "").with("Location", to));
    let heard = other.asked().len();
    let (target, good) = (format!("{}/DiagnosticReport/r1", other.base_url), url.clone());
    double.behave(move |asked| if asked.reads("DiagnosticReport") { moved(&target) } else { signing_in(asked, &good) });
    assert!(matches!(read(&client(&double, &clock, |_| {})).await, Err(EhrError::ForbiddenUrl { .. })));
    let (target, good) = (elsewhere.clone(), url.clone());
    double.behave(move |asked| if asks_token(asked) { moved(&target) } else { signing_in(asked, &good) });
    assert_eq!(read(&client(&double, &clock, |_| {})).await, Err(EhrError::SignIn(SignInFault::Redirect)));
    let target = elsewhere.clone();
    double.behave(move |asked| signing_in(asked, &target));
    assert_eq!(read(&client(&double, &clock, |_| {})).await, Err(EhrError::SignIn(SignInFault::Elsewhere)));
    assert_eq!(other.asked().len(), heard, "nobody followed");

    // Unless the clinic says that its token endpoint is there.
    other.behave(|_| granted("T1"));
    let confirmed = client(&double, &clock, |connection| {
        if let Auth::Token(auth) = &mut connection.auth {
            auth.token_url = Some(elsewhere);
        }
    });
    assert_eq!(read(&confirmed).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_a_client_certificate_opens_token_endpoint_and_ehr() {
    let ((double, certificates), clock) = (EhrDouble::start_asking_for_certificates().await, a_clock());
    let Certificates { authority, client, client_key } = certificates;
    put_one(&double, "r1");
    let url = token_url(&double);
    double.behave(move |asked| signing_in(asked, &url));
    let with = |identity| {
        let tls = OwnTls { identity, authorities: Some(authority.clone()) };
        EhrClient::with_tls(connection(&double, &clock, ClientProof::Certificate), &tls).unwrap()
    };
    let stranger = with(None);
    assert_eq!(read(&stranger).await, Err(EhrError::SignIn(SignInFault::Unreachable)));
    assert!(double.asked().is_empty());
    let known = with(Some(SecretText::new(format!("{client}{client_key}"))));
    assert_eq!(read(&known).await, Ok(()));
    let asked = double.asked().into_iter().find(asks_token).unwrap();
    let body = String::from_utf8(asked.body).unwrap();
    assert_eq!(body, "grant_type=client_credentials&scope=system%2F*.read&client_id=link-svc");
}

/// What the token endpoint does, and what staff read of it.
struct Trouble {
    what: &'static str,
    act: fn(&Asked) -> Act,
    why: &'static str,
}

fn troubles() -> Vec<Trouble> {
    vec![
        Trouble {
            what: "our key is not registered",
            act: |_| refused(401, "invalid_client"),
            why: "chartseal ehrs keys",
        },
        Trouble {
            what: "no word but 401",
            act: |_| Act::Answer(Reply::new(401, "text/plain", "no")),
            why: "invalid_client",
        },
        Trouble { what: "not as a service", act: |_| refused(400, "unauthorized_client"), why: "have its staff allow" },
        Trouble { what: "no scope", act: |_| refused(400, "invalid_scope"), why: "set `scope`" },
        Trouble {
            what: "another dialect",
            act: |_| refused(400, "unsupported_grant_type"),
            why: "unsupported_grant_type",
        },
        Trouble { what: "not there", act: |_| Act::Answer(Reply::new(404, "text/html", "?")), why: "status 404" },
        Trouble {
            what: "failing",
            act: |_| Act::Answer(Reply::new(500, "text/html", "?")),
            why: "failed with status 500",
        },
        Trouble { what: "hanging up", act: |_| Act::HangUp, why: "token endpoint cannot be reached" },
        Trouble {
            what: "a login page",
            act: |_| Act::Answer(Reply::new(200, "text/html", "<form>")),
            why: "no token: it is not JSON",
        },
        Trouble {
            what: "half a token",
            act: |_| Act::Answer(Reply::new(200, "application/json", r#"{"access_token":"T1"#)),
            why: "no token: it is not JSON",
        },
        Trouble {
            what: "no token in it",
            act: |_| Act::Answer(Reply::new(200, "application/json", r#"{"token_type":"bearer"}"#)),
            why: "no token: it names none",
        },
        Trouble {
            what: "a token of another type",
            act: |_| Act::Answer(Reply::new(200, "application/json", r#"{"access_token":"T1","token_type":"mac"}"#)),
            why: "another type than bearer",
        },
        Trouble {
            what: "a token that breaks headers",
            act: |_| Act::Answer(Reply::new(200, "application/json", r#"{"access_token":"T1\r\nX-Evil: 1"}"#)),
            why: "what no header can carry",
        },
        Trouble {
            what: "a token without end",
            act: |_| Act::Answer(Reply::new(200, "application/json", "[".repeat(200_000))),
            why: "it is too large",
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn event_13_every_trouble_of_a_token_endpoint_is_named_and_no_report_is_lost() {
    let double = EhrDouble::start().await;
    let url = token_url(&double);
    let more = format!(
        "\n[[ehr]]\nid = \"odd\"\nbase_url = \"{}\"\npoll_seconds = 60\nauth = \"smart\"\nclient_id = \"link-svc\"\n\
         signature = \"ES384\"\n",
        double.base_url
    );
    let good = url.clone();
    double.behave(move |asked| signing_in(asked, &good));
    let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
    clinic.settle().await;
    for Trouble { what, act, why } in troubles() {
        let good = url.clone();
        double.behave(move |asked| if asks_token(asked) { act(asked) } else { signing_in(asked, &good) });
        clinic.hear_and_settle().await;
        let said = poll(&clinic).await.why.unwrap_or_default();
        assert!(said.contains(why), "{what}: staff read '{said}'");
        assert!(!said.contains("http") && !said.contains("T1"), "{what}: '{said}' shows what it must not");
    }
    // A clock that is off spoils assertions, and staff must know that it may be why.
    let good = url.clone();
    double
        .behave(move |asked| if asks_token(asked) { refused(401, "invalid_client") } else { signing_in(asked, &good) });
    double.set_clock_off_seconds(-7200);
    clinic.hear_and_settle().await;
    let said = poll(&clinic).await.why.unwrap_or_default();
    assert!(said.contains("s behind ours"), "staff read '{said}'");
    double.set_clock_off_seconds(0);

    double.put(&ehr::patient("p1", "Garcia", "Ana", "1984-05-06", "troubled@example.test"));
    let mut report = ehr::report("p1", "4548-4", &clinic::real_now(), &pdf::with_pages(&["5.4 %"]));
    report["id"] = json!("r1");
    double.put(&report);
    double.behave(move |asked| signing_in(asked, &url));
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    assert_eq!(poll(&clinic).await.why, None);
    assert_eq!(clinic.mails_to("troubled@example.test").len(), 1);
}

async fn poll(clinic: &Clinic) -> PollRow {
    let rows = clinic.ground.store.read(store::polls).await.unwrap();
    let wanted = |row: &PollRow| row.ehr.as_str() == "odd" && row.kind == ResourceType::DiagnosticReport;
    rows.into_iter().find(wanted).expect("the EHR is polled")
}
