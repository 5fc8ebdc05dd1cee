//! Fetching attachments: types, sizes, digests, and streams that break.

use serde_json::{Value, json};

use super::scripted::{Say, ScriptedEhr, answer, fhir, raw};
use super::*;

fn form(attachment: &Value) -> AttachmentRef {
    diagnostic(&[("presentedForm", json!([attachment]))]).unwrap().attachments.remove(0)
}

fn at(url: &str) -> AttachmentRef {
    form(&json!({"contentType": "application/pdf", "url": url, "size": 389, "hash": "5nS2tW6galINvmCpOXr0OJzF2DA="}))
}

async fn whole(stream: Result<AttachmentStream, EhrError>) -> Result<Vec<u8>, EhrError> {
    let mut stream = stream?;
    let mut bytes = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return Ok(bytes),
            Err(error) => {
                assert_eq!(stream.next().await.err(), Some(error.clone()), "an error must not end in success");
                return Err(error);
            }
        }
    }
}

async fn fetching(say: Say, attachment: &AttachmentRef) -> Result<Vec<u8>, EhrError> {
    let patience = say.patience();
    let ehr = ScriptedEhr::saying(vec![say]).await;
    let client = client_of(&ehr.base, |connection| {
        connection.limits.read_timeout = patience;
        connection.limits.attachment_bytes_max = 1000;
        connection.limits.inline_bytes_max = 500;
    });
    whole(client.fetch_attachment(attachment).await).await
}

#[tokio::test]
async fn raw_bytes_and_a_binary_envelope_give_the_same_file() {
    let binary: Value = serde_json::from_str(BINARY).unwrap();
    for say in [answer(200, "Content-Type: application/pdf\r\n", PDF), answer(200, "", PDF), fhir(200, &binary)] {
        let ehr = ScriptedEhr::saying(vec![say]).await;
        let client = client_of(&ehr.base, |_| {});
        assert_eq!(whole(client.fetch_attachment(&at("Binary/b1")).await).await.unwrap(), PDF);
        let asked = &ehr.asked()[0];
        assert_eq!(asked.line(), "GET /fhir/Binary/b1 HTTP/1.1");
        assert_eq!(asked.header("accept").as_deref(), Some("application/pdf, application/fhir+json;q=0.9, */*;q=0.1"));
        assert_eq!(asked.header("authorization").as_deref(), Some("Bearer t0ken"));
    }
}

#[tokio::test]
async fn inline_data_is_decoded_checked_and_capped() {
    let original = diagnostic(&[]).unwrap();
    let client = client_of("http://127.0.0.1:1/fhir", |connection| connection.limits.inline_bytes_max = 389);
    assert_eq!(whole(client.fetch_attachment(&original.attachments[0]).await).await.unwrap(), PDF);
    let wrong = form(&json!({"data": "QU JD\n", "size": 4}));
    assert_eq!(
        whole(client.fetch_attachment(&wrong).await).await.err(),
        Some(EhrError::Mismatch { what: "its size differs" })
    );
    let none = form(&json!({"title": "x", "contentType": "application/pdf"}));
    assert_eq!(client.fetch_attachment(&none).await.err(), Some(EhrError::NoAttachment));
    let client = client_of("http://127.0.0.1:1/fhir", |connection| connection.limits.inline_bytes_max = 388);
    let large = client.fetch_attachment(&original.attachments[0]).await;
    assert_eq!(large.err(), Some(EhrError::TooLarge { limit_bytes: 388 }));
}

/// Half a file that ends like a whole one: over plain http, from a server that announces nothing and hangs up.
#[tokio::test]
async fn a_body_whose_end_nobody_tells_is_taken_only_where_the_report_tells_it() {
    let until_the_end = |body: &[u8]| {
        let head = b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Type: application/pdf\r\n\r\n";
        Say::Bytes([head, body].concat())
    };
    let untold = form(&json!({"contentType": "application/pdf", "url": "Binary/b1"}));
    let refused = fetching(until_the_end(&PDF[..100]), &untold).await;
    assert!(matches!(refused, Err(EhrError::Mismatch { what }) if what.contains("how long it is")), "{refused:?}");
    assert_eq!(fetching(until_the_end(PDF), &at("Binary/b1")).await.unwrap(), PDF);
    let cut = fetching(until_the_end(&PDF[..100]), &at("Binary/b1")).await;
    assert_eq!(cut, Err(EhrError::Mismatch { what: "its size differs" }));
}

#[tokio::test]
async fn whatever_the_server_does_wrong_the_file_is_not_complete() {
    let pdf_type = "Content-Type: application/pdf\r\n";
    let mut other = PDF.to_vec();
    other[300] ^= 1;
    let size = EhrError::Mismatch { what: "its size differs" };
    for (say, error) in [
        (answer(200, pdf_type, &other), EhrError::Mismatch { what: "its SHA-1 hash differs" }),
        (answer(200, pdf_type, &PDF[..388]), size.clone()),
        (answer(200, pdf_type, &[PDF, b"x"].concat()), size),
        (Say::Bytes(raw(200, pdf_type, PDF.len(), &PDF[..100])), EhrError::CutShort),
        (Say::ThenSilence(raw(200, pdf_type, PDF.len(), &PDF[..100])), EhrError::TimedOut),
        (answer(200, "Content-Type: text/html\r\n", b"<html>log in</html>"), EhrError::NotFhir),
        (answer(200, "Content-Type: application/fhir+xml\r\n", b"<Binary/>"), EhrError::NotFhir),
        (
            answer(301, "Location: http://169.254.169.254/\r\n", b""),
            EhrError::ForbiddenUrl { why: "the server answers with a redirect" },
        ),
        (answer(404, "", b""), EhrError::Gone),
        (answer(403, "", b""), EhrError::Refused { status: 403 }),
        (
            fhir(200, &json!({"resourceType": "OperationOutcome"})),
            EhrError::Malformed(Malformed { path: "resourceType".to_owned(), why: "is not Binary" }),
        ),
        (
            fhir(200, &json!({"resourceType": "Binary"})),
            EhrError::Malformed(Malformed { path: "Binary.data".to_owned(), why: "is missing" }),
        ),
        (
            fhir(200, &json!({"resourceType": "Binary", "data": "A".repeat(1000)})),
            EhrError::TooLarge { limit_bytes: 500 },
        ),
    ] {
        assert_eq!(fetching(say, &at("Binary/b1")).await.err(), Some(error));
    }
    let undeclared = form(&json!({"url": "Binary/b1"}));
    let long = fetching(answer(200, pdf_type, &[0; 1001]), &undeclared).await;
    assert_eq!(long.err(), Some(EhrError::TooLarge { limit_bytes: 1000 }));
}

#[tokio::test]
async fn the_token_stays_with_the_ehr_when_a_listed_server_is_asked() {
    let store = ScriptedEhr::saying(vec![answer(200, "", PDF), answer(403, "", b"")]).await;
    let listed = Origin::of(&Url::parse(&store.base).unwrap()).unwrap();
    let client = client_of("http://127.0.0.1:1/fhir", |connection| connection.attachment_origins = vec![listed]);
    let url = format!("{}/file?X-Signature=abc", store.base);
    assert_eq!(whole(client.fetch_attachment(&at(&url)).await).await.unwrap(), PDF);
    assert_eq!(store.asked()[0].header("authorization"), None);
    let expired = client.fetch_attachment(&at(&url)).await;
    assert_eq!(expired.err(), Some(EhrError::LinkRefused { status: 403 }));
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_followed() {
    let stranger = ScriptedEhr::saying(vec![answer(200, "", PDF)]).await;
    let client = client_of("http://127.0.0.1:1/fhir", |_| {});
    for url in [
        stranger.base.as_str(),
        "http://169.254.169.254/latest/meta-data",
        "//evil.test/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1:1/x",
        "http://user@127.0.0.1:1/fhir/x",
        "http://127.0.0.1:2/fhir/x",
        "https://127.0.0.1:1/x",
        "data:application/pdf;base64,AA",
    ] {
        let error = client.fetch_attachment(&at(url)).await.err().unwrap();
        assert!(matches!(error, EhrError::ForbiddenUrl { .. }), "{url}");
        assert!(!error.to_string().contains("http:"), "{error}");
    }
    assert!(stranger.asked().is_empty());
}

#[tokio::test]
async fn a_listed_name_that_resolves_to_the_inside_is_not_connected_to() {
    let inside = ScriptedEhr::saying(vec![answer(200, "", PDF)]).await;
    let url = inside.base.replace("127.0.0.1", "localhost");
    let listed = Origin::of(&Url::parse(&url).unwrap()).unwrap();
    // The EHR is a public address here, so nothing inside may be reached on its behalf.
    let client = client_of("http://8.8.8.8:1/fhir", |connection| connection.attachment_origins = vec![listed.clone()]);
    assert_eq!(client.fetch_attachment(&at(&url)).await.err(), Some(EhrError::Unreachable));
    assert!(inside.asked().is_empty());
    let client = client_of("http://127.0.0.1:1/fhir", |connection| connection.attachment_origins = vec![listed]);
    assert_eq!(whole(client.fetch_attachment(&at(&url)).await).await.unwrap(), PDF);
}
