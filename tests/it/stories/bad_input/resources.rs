//! Resources that no server should serve. A person hears of each; none stops the others.

use serde_json::{Value, json};

use super::{OddClinic, good_report, put_patient};

#[tokio::test(flavor = "multi_thread")]
async fn every_odd_resource_comes_to_a_person_and_the_good_one_is_sent() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    for (id, resource, _) in odd_resources() {
        put_patient(&house.odd, &format!("patient-of-{id}"), &format!("{id}@example.test"));
        house.odd.put_bytes("DiagnosticReport", id, &resource);
    }
    house.put_good_report("good", "good@example.test");
    house.clinic.hear_and_settle().await;

    let deliveries = house.clinic.deliveries().await;
    for (id, _, note) in odd_resources() {
        let resource = Some(format!("DiagnosticReport/{id}"));
        let found = deliveries.iter().find(|one| one.resource == resource).unwrap_or_else(|| panic!("{id} is lost"));
        assert_eq!(found.state, "review", "{id}");
        assert!(found.note.contains(note), "{id}: {}", found.note);
    }
    let good = deliveries.iter().find(|one| one.resource.as_deref() == Some("DiagnosticReport/good")).unwrap();
    assert_eq!(good.state, "live");
    assert_eq!(house.clinic.mailbox.mails().len(), 1, "only the good one was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_mended_after_it_could_not_be_read_is_sent() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    put_patient(&house.odd, "patient-of-mended", "mended@example.test");
    house.odd.put_bytes("DiagnosticReport", "mended", b"{\"resourceType\":\"DiagnosticReport\",");
    house.clinic.hear_and_settle().await;
    assert_eq!(house.clinic.only_delivery().await.state, "review");
    house.odd.put(&good_report("mended"));
    house.clinic.hear_and_settle().await;
    assert_eq!(house.clinic.mailbox.mails().len(), 1, "the mended report was not sent");
}

/// The id, the bytes, and what the note to staff holds.
fn odd_resources() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let odd = |id: &'static str, change: &dyn Fn(&mut Value), note: &'static str| {
        let mut resource = good_report(id);
        resource["meta"] = json!({"versionId": "1"});
        change(&mut resource);
        (id, resource.to_string().into_bytes(), note)
    };
    let raw = |id: &'static str, bytes: &[u8], note: &'static str| (id, bytes.to_vec(), note);
    let deep = [b"{\"a\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat();
    vec![
        raw("empty", b"", "not one complete JSON object"),
        raw("null", b"null", "not one complete JSON object"),
        raw("list", b"[]", "not one complete JSON object"),
        raw("cut", b"{\"resourceType\":\"DiagnosticReport\",\"id\":\"cu", "not one complete JSON object"),
        raw("deep", &deep, "not one complete JSON object"),
        raw("not-utf-8", b"{\"resourceType\":\"DiagnosticReport\",\"id\":\"\xff\"}", "not one complete JSON object"),
        raw("twins", b"{\"status\":\"final\",\"status\":\"entered-in-error\"}", "names a member twice"),
        raw(
            "another-type",
            b"{\"resourceType\":\"Patient\",\"id\":\"another-type\"}",
            "is not the type that was asked for",
        ),
        odd("another-id", &|r| r["id"] = json!("somebody-elses"), "is not the id that was asked for"),
        odd("no-id", &|r| drop(r["id"].take()), "DiagnosticReport.id is missing"),
        odd("no-subject", &|r| drop(r["subject"].take()), "names no patient"),
        odd("two-subjects", &|r| r["subject"] = json!([r["subject"].clone(), r["subject"].clone()]), "subject"),
        odd("no-patient", &|r| r["subject"]["reference"] = json!("Patient/nobody"), "no longer has the patient"),
        odd("other-server", &|r| r["subject"]["reference"] = json!("https://other.test/fhir/Patient/1"), "patient"),
        odd("climbing", &|r| r["subject"]["reference"] = json!("Patient/../Group/1"), "patient"),
        odd("no-status", &|r| drop(r["status"].take()), "status"),
        odd("odd-status", &|r| r["status"] = json!("finished"), "status"),
        odd("list-status", &|r| r["status"] = json!(["final"]), "DiagnosticReport.status is not text"),
        odd(
            "no-date",
            &|r| {
                r["issued"].take();
                r["effectiveDateTime"].take();
            },
            "date",
        ),
        odd("odd-date", &|r| r["issued"] = json!("2026-02-30T00:00:00Z"), "DiagnosticReport.issued"),
        odd("old", &|r| r["issued"] = json!("1999-01-01T00:00:00Z"), "older than"),
        odd("no-code", &|r| drop(r["code"].take()), "no rule matches"),
        odd("odd-code", &|r| r["code"] = json!({"coding": [{"system": "http://loinc.org", "code": 45484}]}), "code"),
        odd("no-file", &|r| drop(r["presentedForm"].take()), "carries none"),
        odd("empty-file", &|r| r["presentedForm"] = json!([]), "carries none"),
        odd("odd-file", &|r| r["presentedForm"] = json!("a pdf"), "presentedForm is not a list"),
        odd("not-base64", &|r| r["presentedForm"][0]["data"] = json!("<pdf>"), "base64"),
        odd("odd-size", &|r| r["presentedForm"][0]["size"] = json!(-1), "size"),
        odd("huge-size", &|r| r["presentedForm"][0]["size"] = json!(99_999_999_999_u64), "size is out of range"),
        odd("wrong-size", &|r| r["presentedForm"][0]["size"] = json!(3), "attachment"),
        odd("wrong-hash", &|r| r["presentedForm"][0]["hash"] = json!("2jmj7l5rSw0yVb/vlWAYkK/YBwk="), "attachment"),
        odd(
            "html-file",
            &|r| r["presentedForm"][0]["data"] = json!("PGh0bWw+PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="),
            "attachment",
        ),
        odd(
            "private-url",
            &|r| {
                r["presentedForm"][0] =
                    json!({"contentType": "application/pdf", "url": "http://169.254.169.254/latest"});
            },
            "attachment",
        ),
        odd(
            "file-url",
            &|r| {
                r["presentedForm"][0] = json!({"contentType": "application/pdf", "url": "file:///etc/passwd"});
            },
            "attachment",
        ),
        odd("modifier", &|r| r["modifierExtension"] = json!([{"url": "http://x.test/not"}]), "not understood"),
    ]
}
