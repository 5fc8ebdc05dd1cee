//! Reading one resource from servers that answer well, badly, late or not at all.

use std::time::Duration;

use serde_json::json;

use super::scripted::{Say, ScriptedEhr, answer, fhir, fhir_kept_open, raw};
use super::*;
use crate::base::{ResourceType, UtcMillis, seconds};
use crate::policy::ReportStatus;

const KIND: ResourceType = ResourceType::DiagnosticReport;

async fn reading(say: Say) -> Result<ReadAnswer, EhrError> {
    let patience = say.patience();
    let ehr = ScriptedEhr::saying(vec![say]).await;
    client_of(&ehr.base, |connection| {
        connection.limits.read_timeout = patience;
        connection.limits.resource_bytes_max = 4096;
    })
    .read(KIND, &id("r1"))
    .await
}

#[tokio::test]
async fn a_report_is_read_with_the_token_and_the_servers_date() {
    let ehr = ScriptedEhr::saying(vec![fhir(200, &stored(REPORT, &[]))]).await;
    let answer = client_of(&ehr.base, |_| {}).read(KIND, &id("r1")).await.unwrap();
    let ReadAnswer::Report { report, server_date } = answer else { panic!("expected a report") };
    assert_eq!(report.status, ReportStatus::Final);
    assert_eq!(server_date, UtcMillis::parse_rfc3339("2026-11-21T10:00:00Z"));
    let asked = &ehr.asked()[0];
    assert_eq!(asked.line(), "GET /fhir/DiagnosticReport/r1 HTTP/1.1");
    assert_eq!(asked.header("authorization").as_deref(), Some("Bearer t0ken"));
    assert_eq!(asked.header("accept").as_deref(), Some("application/fhir+json"));
    assert_eq!(asked.header("accept-encoding"), None);
}

#[tokio::test]
async fn a_patient_is_read_with_basic_credentials() {
    let ehr = ScriptedEhr::saying(vec![fhir(200, &stored(PATIENT, &[]))]).await;
    let client = client_of(&ehr.base, |connection| {
        connection.auth = Auth::Basic { user: "ehr".to_owned(), password: SecretText::new("p:w".to_owned()) };
    });
    assert!(matches!(client.read_patient(&id("r1")).await, Ok(PatientAnswer::Patient { .. })));
    assert_eq!(ehr.asked()[0].header("authorization").as_deref(), Some("Basic ZWhyOnA6dw=="));
}

#[tokio::test]
async fn only_the_ehrs_own_word_means_gone() {
    let outcome = json!({"resourceType": "OperationOutcome", "issue": []});
    for (say, body) in [
        (fhir(404, &outcome), FhirBody::Yes),
        (fhir(410, &outcome), FhirBody::Yes),
        (answer(404, "Content-Type: text/html\r\n", b"<h1>nginx</h1>"), FhirBody::No),
        (answer(410, "", b""), FhirBody::No),
        (fhir(404, &json!({"error": "no route"})), FhirBody::No),
    ] {
        let Ok(ReadAnswer::Gone { fhir_body }) = reading(say).await else { panic!("expected gone") };
        assert_eq!(fhir_body, body);
    }
}

#[tokio::test]
async fn each_failure_is_named_by_whose_it_is() {
    let report = stored(REPORT, &[]).to_string();
    let json_type = "Content-Type: application/fhir+json\r\n";
    let retry = |text: &str| format!("Retry-After: {text}\r\n");
    for (say, error) in [
        (answer(401, "", b"{}"), EhrError::Refused { status: 401 }),
        (answer(403, "", b"{}"), EhrError::Refused { status: 403 }),
        (answer(429, &retry("7"), b""), EhrError::Overloaded { retry_after: Some(seconds(7)) }),
        (
            answer(503, &retry("Sat, 21 Nov 2026 10:00:30 GMT"), b""),
            EhrError::Overloaded { retry_after: Some(seconds(30)) },
        ),
        (answer(503, &retry("soon"), b""), EhrError::Overloaded { retry_after: None }),
        (answer(503, &retry("99999999999"), b""), EhrError::Overloaded { retry_after: Some(seconds(3600)) }),
        (answer(500, "", b"boom"), EhrError::Server { status: 500 }),
        (answer(418, "", b""), EhrError::Rejected { status: 418 }),
        (
            answer(302, "Location: http://169.254.169.254/\r\n", b""),
            EhrError::ForbiddenUrl { why: "the server answers with a redirect" },
        ),
        (answer(200, "Content-Type: text/html\r\n", b"<html>log in</html>"), EhrError::NotFhir),
        (answer(200, json_type, &vec![b' '; 5000]), EhrError::TooLarge { limit_bytes: 4096 }),
        (Say::Bytes(raw(200, json_type, report.len() + 10, report.as_bytes())), EhrError::CutShort),
        (Say::ThenSilence(raw(200, json_type, report.len(), &report.as_bytes()[..20])), EhrError::TimedOut),
        (Say::ThenSilence(Vec::new()), EhrError::TimedOut),
        (Say::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec()), EhrError::Unreachable),
        (Say::Bytes(Vec::new()), EhrError::Unreachable),
    ] {
        assert_eq!(reading(say).await.err(), Some(error));
    }
    let nobody = client_of("http://127.0.0.1:1/fhir", |_| {}).read(KIND, &id("r1")).await;
    assert_eq!(nobody.err(), Some(EhrError::Unreachable));
}

#[tokio::test]
async fn an_ehr_that_closes_idle_connections_makes_no_read_fail() {
    let ehr = ScriptedEhr::saying((0..3).map(|_| fhir_kept_open(&stored(REPORT, &[]))).collect()).await;
    // However short the time between two readings, the connection has been idle for longer.
    let client = client_of(&ehr.base, |connection| connection.limits.idle_connection = Duration::from_nanos(1));
    for _ in 0..3 {
        let answer = client.read(KIND, &id("r1")).await;
        assert!(matches!(answer, Ok(ReadAnswer::Report { .. })), "{:?}", answer.err());
    }
    assert_eq!(ehr.asked().len(), 3);
    // Node and uvicorn keep theirs for five seconds.
    assert!(Limits::default().idle_connection < seconds(5));
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_the_limit() {
    let mut bytes =
        b"HTTP/1.1 200 X\r\nContent-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..20 {
        bytes.extend_from_slice(b"400\r\n");
        bytes.extend_from_slice(&[b' '; 0x400]);
        bytes.extend_from_slice(b"\r\n");
    }
    assert_eq!(reading(Say::Bytes(bytes)).await.err(), Some(EhrError::TooLarge { limit_bytes: 4096 }));
}

#[tokio::test]
async fn a_recall_is_seen_even_in_a_resource_that_breaks_the_standard() {
    let withdrawn = stored(REPORT, &[("status", json!("entered-in-error")), ("presentedForm", json!("x"))]);
    let Ok(ReadAnswer::Unreadable { status, why }) = reading(fhir(200, &withdrawn)).await else { panic!("unreadable") };
    assert_eq!((status, why.path.as_str()), (Some(ReportStatus::EnteredInError), "DiagnosticReport.presentedForm"));
    let another = stored(REPORT, &[("id", json!("r2"))]);
    let Ok(ReadAnswer::Unreadable { status, why }) = reading(fhir(200, &another)).await else { panic!("unreadable") };
    assert_eq!((status, why.path.as_str()), (None, "DiagnosticReport.id"));
    let other_type = stored(PATIENT, &[("id", json!("r1"))]);
    assert!(matches!(reading(fhir(200, &other_type)).await, Ok(ReadAnswer::Unreadable { status: None, .. })));
}

#[test]
fn a_token_that_no_header_can_carry_is_a_setting_to_correct() {
    let new = |auth| {
        EhrClient::new(EhrConnection {
            id: EhrId::parse("main").unwrap(),
            base: base(),
            auth,
            attachment_origins: Vec::new(),
            limits: Limits::default(),
        })
        .err()
    };
    let error = new(Auth::Bearer(SecretText::new("a\r\nX: y".to_owned()))).unwrap();
    assert_eq!(error.class(), FaultClass::Settings);
    assert!(new(Auth::Basic { user: "a:b".to_owned(), password: SecretText::new(String::new()) }).is_some());
}

#[test]
fn a_base_with_a_user_query_or_other_scheme_is_refused() {
    for text in
        ["ftp://x.test/fhir", "https://u@x.test/fhir", "https://x.test/fhir?a=b", "https://x.test/#a", "file:///etc"]
    {
        assert!(ServiceBase::new(Url::parse(text).unwrap()).is_none(), "{text}");
    }
}
