//! Reading reports: the status table, attachments, and malformed resources.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::*;
use crate::base::cases::cases;
use crate::base::{ResourceType, UtcMillis};
use crate::policy::ReportStatus;

#[test]
fn a_real_diagnostic_report_reads_as_the_facts_it_states() {
    let report = diagnostic(&[]).unwrap();
    assert_eq!((report.id.as_str(), report.version.unwrap().as_str()), ("r1", "3"));
    assert_eq!(report.last_updated, UtcMillis::parse_rfc3339("2026-11-21T09:00:01.250Z"));
    assert_eq!((report.status, report.status_doubt), (ReportStatus::Final, None));
    assert_eq!(report.codes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["http://loinc.org|4548-4"]);
    assert_eq!(
        report.categories.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["http://terminology.hl7.org/CodeSystem/v2-0074|LAB"]
    );
    assert_eq!(report.issued, UtcMillis::parse_rfc3339("2026-11-21T09:00:00Z"));
    assert!(report.subject == Subject::Patient(id("pat-1")));
    let form = &report.attachments[0];
    assert_eq!(
        (form.content_type.as_deref(), form.language.as_deref(), form.size),
        (Some("application/pdf"), Some("en"), Some(389))
    );
    assert!(form.sha1.is_some() && matches!(form.source, AttachmentSource::Inline(_)));
    assert!(report.unknown_modifiers.is_empty());
    assert_eq!(report.content_basis, ContentBasis::Bytes);
}

#[test]
fn a_real_document_reference_reads_as_the_facts_it_states() {
    let report = document(&[
        (
            "relatesTo",
            json!([{"code": "replaces", "target": {"reference": "https://ehr.test/fhir/DocumentReference/old"}}]),
        ),
        ("custodian", json!({"reference": "Organization/o1"})),
        ("author", json!([{"reference": "https://ehr.test/fhir/Practitioner/p1"}, {"display": "x"}])),
        ("securityLabel", json!([{"coding": [{"code": "R"}]}])),
    ])
    .unwrap();
    assert_eq!(report.status, ReportStatus::Final);
    assert_eq!(report.codes[0].code, "11502-2");
    assert!(report.relates_to == [Relation { code: RelationCode::Replaces, target: Some(id("old")) }]);
    assert_eq!(report.performers, ["Organization/o1", "Practitioner/p1"]);
    assert_eq!(report.security_labels[0].code, "R");
    assert_eq!(report.attachments.len(), 1);
}

#[test]
fn only_a_plain_status_is_releasable() {
    use ReportStatus as S;
    for (status, read) in [
        (json!("registered"), S::Unfinished),
        (json!("partial"), S::Unfinished),
        (json!("preliminary"), S::Unfinished),
        (json!("final"), S::Final),
        (json!("amended"), S::Amended),
        (json!("corrected"), S::Corrected),
        (json!("appended"), S::Appended),
        (json!("cancelled"), S::Cancelled),
        (json!("entered-in-error"), S::EnteredInError),
        (json!("unknown"), S::Unknown),
        (json!("bogus"), S::Unknown),
        (json!("Final"), S::Unknown),
        (json!(null), S::Unknown),
        (json!(""), S::Unknown),
    ] {
        assert_eq!(diagnostic(&[("status", status.clone())]).unwrap().status, read, "{status}");
    }
}

#[test]
fn a_document_needs_both_its_statuses_and_a_withdrawal_in_either_holds() {
    use ReportStatus as S;
    let appends = json!([{"code": "appends", "target": {"reference": "DocumentReference/x"}}]);
    let signs = json!([{"code": "signs", "target": {"reference": "DocumentReference/x"}}]);
    let strange = json!([{"code": "eats", "target": {"reference": "DocumentReference/x"}}]);
    for (status, doc_status, relates_to, read, doubt) in [
        (json!("current"), json!("final"), json!(null), S::Final, None),
        (json!("current"), json!("amended"), json!(null), S::Amended, None),
        (json!("current"), json!("preliminary"), json!(null), S::Unfinished, None),
        (json!("current"), json!(null), json!(null), S::Unknown, Some(StatusDoubt::DocStatusAbsent)),
        (json!("current"), json!("bogus"), json!(null), S::Unknown, Some(StatusDoubt::Unrecognised)),
        (json!("superseded"), json!("final"), json!(null), S::Superseded, None),
        (json!("entered-in-error"), json!("final"), json!(null), S::EnteredInError, None),
        (json!("current"), json!("entered-in-error"), json!(null), S::EnteredInError, None),
        (json!(null), json!("final"), json!(null), S::Unknown, Some(StatusDoubt::Absent)),
        (json!("current"), json!("final"), appends.clone(), S::Unknown, Some(StatusDoubt::Appends)),
        (json!("superseded"), json!("final"), appends, S::Superseded, None),
        (json!("current"), json!("final"), signs, S::Final, None),
        (json!("current"), json!("final"), strange, S::Unknown, Some(StatusDoubt::RelationUnrecognised)),
    ] {
        let changes =
            [("status", status.clone()), ("docStatus", doc_status.clone()), ("relatesTo", relates_to.clone())];
        let report = document(&changes).unwrap();
        assert_eq!((report.status, report.status_doubt), (read, doubt), "{status} {doc_status} {relates_to}");
    }
}

#[test]
fn a_subject_that_is_not_a_patient_of_this_server_is_never_taken_for_one() {
    for (subject, usable) in [
        (json!({"reference": "Patient/p"}), true),
        (json!({"reference": "https://ehr.test/fhir/Patient/p"}), true),
        (json!({"reference": "https://ehr.test/fhir/Patient/p/_history/2"}), true),
        (json!({"reference": "https://evil.test/fhir/Patient/p"}), false),
        (json!({"reference": "https://ehr.test/fhir2/Patient/p"}), false),
        (json!({"reference": "#p"}), false),
        (json!({"reference": "Group/p"}), false),
        (json!({"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}), false),
        (json!({"reference": "Patient/p/x"}), false),
        (json!({"reference": "Patient?identifier=1"}), false),
        (json!({"identifier": {"value": "MRN"}}), false),
        (json!({"display": "Ana"}), false),
    ] {
        let read = diagnostic(&[("subject", subject.clone())]).unwrap().subject;
        assert_eq!(read == Subject::Patient(id("p")), usable, "{subject}");
        assert!(usable || matches!(read, Subject::Unusable { .. }), "{subject}");
    }
    assert!(diagnostic(&[("subject", json!(null))]).unwrap().subject == Subject::None);
}

#[test]
fn elements_that_change_the_meaning_are_named_wherever_they_stand() {
    for (changes, named) in [
        (
            ("modifierExtension", json!([{"url": "http://x.test/StructureDefinition/not", "valueBoolean": true}])),
            "DiagnosticReport.modifierExtension(http://x.test/StructureDefinition/not)",
        ),
        (("modifierExtension", json!({"valueString": "Ana Garcia"})), "DiagnosticReport.modifierExtension"),
        (("modifierExtension", json!("Ana Garcia")), "DiagnosticReport.modifierExtension"),
        (("implicitRules", json!("http://x.test/rules")), "DiagnosticReport.implicitRules"),
        (
            ("media", json!([{"modifierExtension": [{"url": "http://x.test/m?patient=7"}]}])),
            "DiagnosticReport.modifierExtension",
        ),
    ] {
        assert_eq!(diagnostic(&[changes]).unwrap().unknown_modifiers, [named]);
    }
    assert!(diagnostic(&[("modifierExtension", json!([]))]).unwrap().unknown_modifiers.is_empty());
}

#[test]
fn pdfs_are_preferred_among_forms_that_say_the_same_and_two_of_one_type_say_two_things() {
    let forms = json!([{"contentType": "text/html", "data": "PGI+"}, {"contentType": "Application/PDF; x=1", "url": "Binary/2"}, {"contentType": "application/pdf", "url": "Binary/3"}]);
    let report = diagnostic(&[("presentedForm", forms)]).unwrap();
    assert_eq!(report.attachments.len(), 3);
    let documents = report.documents();
    assert_eq!(documents.len(), 2, "two of one type are two documents");
    assert_eq!(documents[0].content_type.as_deref(), Some("application/pdf"));
    assert!(matches!(&documents[0].source, AttachmentSource::Url(url) if url.expose() == "Binary/2"));
    let twice = json!([{"contentType": "application/pdf", "url": "Binary/2"}, {"contentType": "application/pdf", "url": "Binary/2"}]);
    assert_eq!(diagnostic(&[("presentedForm", twice)]).unwrap().documents().len(), 1, "one that is named twice is one");
    let pictures = json!([{"contentType": "image/png", "data": "PGI+"}, {"contentType": "text/plain", "data": "PGI+"}, {"contentType": "image/png", "data": "PGA+"}]);
    assert_eq!(diagnostic(&[("presentedForm", pictures)]).unwrap().documents().len(), 2);
    let titles_only = diagnostic(&[("presentedForm", json!([{"title": "Report", "size": 3}]))]).unwrap();
    assert!(titles_only.documents().is_empty());
}

/// The edge cases that made fhirbolt panic, loop or invent values when it was fed from the wire.
#[test]
fn a_malformed_resource_is_refused_with_its_place_or_read_rightly() {
    for (changes, path, why) in [
        (("status", json!(["final"])), "DiagnosticReport.status", "is not text"),
        (("id", json!(7)), "DiagnosticReport.id", "is not text"),
        (("id", json!("a/b")), "DiagnosticReport.id", "is not a FHIR id"),
        (("id", json!(null)), "DiagnosticReport.id", "is missing"),
        (("category", json!({"coding": []})), "", ""),
        (("category", json!({"coding": [{"code": "LAB"}]})), "DiagnosticReport.category", "is not a list"),
        (("category", json!(["LAB"])), "DiagnosticReport.category[0]", "is not an object"),
        (("code", json!([{"coding": [{"code": "x"}]}])), "DiagnosticReport.code", "is not an object"),
        (
            ("code", json!({"coding": [{"code": {"value": "x"}}]})),
            "DiagnosticReport.code.coding[0].code",
            "is not text",
        ),
        (("issued", json!("2026-02-30T00:00:00Z")), "DiagnosticReport.issued", "is not an instant with a time zone"),
        (("issued", json!("2026-02-20")), "DiagnosticReport.issued", "is not an instant with a time zone"),
        (("issued", json!(20_260_220)), "DiagnosticReport.issued", "is not text"),
        (("presentedForm", json!([{"data": "****"}])), "DiagnosticReport.presentedForm[0].data", "is not base64"),
        (("presentedForm", json!([{"data": "QUJ"}])), "DiagnosticReport.presentedForm[0].data", "is not base64"),
        (
            ("presentedForm", json!([{"size": "389"}])),
            "DiagnosticReport.presentedForm[0].size",
            "is not a whole number",
        ),
        (("presentedForm", json!([{"size": -1}])), "DiagnosticReport.presentedForm[0].size", "is not a whole number"),
        (("presentedForm", json!([{"size": 1.5}])), "DiagnosticReport.presentedForm[0].size", "is not a whole number"),
        (
            ("presentedForm", json!([{"size": 4_294_967_295_u64}])),
            "DiagnosticReport.presentedForm[0].size",
            "is out of range",
        ),
        (
            ("presentedForm", json!([{"hash": "QUJD"}])),
            "DiagnosticReport.presentedForm[0].hash",
            "is not a digest of the right length",
        ),
        (("meta", json!("x")), "DiagnosticReport.meta", "is not an object"),
        (("meta", json!({"versionId": "a b"})), "DiagnosticReport.meta.versionId", "is not a version id"),
        (("resourceType", json!("Patient")), "resourceType", "is not the type that was asked for"),
        (("name", json!([])), "", ""),
        (("extension", json!([])), "", ""),
        (("contained", json!([])), "", ""),
        (("contained", json!([{"resourceType": "SubscriptionStatus", "zzz": ["x"]}])), "", ""),
        (("zzz", json!(["x"])), "", ""),
        (("zzz", json!([])), "", ""),
        (("fhir_comments", json!(["a", "b"])), "", ""),
        (("zzz", json!({"a": [[[]]]})), "", ""),
        (("_status", json!({"extension": [{"url": "x", "valueCode": "unknown"}]})), "", ""),
        (("_issued", json!([])), "", ""),
        (("result", json!([null, {}, {"reference": ""}, {"reference": "Observation/1"}])), "", ""),
        (("effectivePeriod", json!({"start": "x"})), "", ""),
    ] {
        let name = changes.0;
        match diagnostic(&[changes]) {
            Ok(report) => {
                assert_eq!(path, "", "{name} should have been refused");
                assert_eq!(report.status, ReportStatus::Final, "{name}");
            }
            Err(error) => assert_eq!((error.path.as_str(), error.why), (path, why), "{name}"),
        }
    }
}

#[test]
fn bytes_that_are_not_one_json_object_are_refused() {
    let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let deep = format!("{{\"resourceType\":\"DiagnosticReport\",\"extension\":{nested}}}");
    let trailing = format!("{REPORT} x");
    let twin = r#"{"resourceType":"DiagnosticReport","id":"a","status":"entered-in-error","status":"final"}"#;
    let inner_twin = r#"{"resourceType":"DiagnosticReport","id":"a","code":{"coding":[{"code":"a","code":"b"}]}}"#;
    for (body, path) in [
        ("", "body"),
        ("[]", "body"),
        ("null", "body"),
        (&trailing, "body"),
        (&deep, "body"),
        (twin, "body"),
        (inner_twin, "body"),
        ("{}", "resourceType"),
    ] {
        let error = read_report(ResourceType::DiagnosticReport, body.as_bytes(), &base()).err().unwrap();
        assert_eq!(error.path, path, "{body}");
    }
    let late_type = r#"{"status":"final","id":"a","size":1.0e-10,"resourceType":"DiagnosticReport"}"#;
    assert!(read_report(ResourceType::DiagnosticReport, late_type.as_bytes(), &base()).is_ok());
}

#[test]
fn an_error_never_repeats_a_value() {
    for name in ["status", "issued", "category", "subject", "presentedForm", "meta", "id", "code"] {
        for value in [
            json!("Ana Garcia HIV"),
            json!(["Ana Garcia HIV"]),
            json!([{"Ana": "Garcia HIV"}]),
            json!({"x": "Ana Garcia HIV"}),
        ] {
            if let Err(error) = diagnostic(&[(name, value)]) {
                assert!(!format!("{error} {error:?}").contains("Garcia"), "{name}");
            }
        }
    }
}

#[test]
fn the_content_hash_changes_only_with_what_the_patient_reads() {
    let original = diagnostic(&[]).unwrap().content_hash;
    let same: [&[(&str, Value)]; 6] = [
        &[("meta", json!({"versionId": "9", "lastUpdated": "2027-01-01T00:00:00Z", "tag": [{"code": "x"}]}))],
        &[("status", json!("amended"))],
        &[("issued", json!("2026-11-22T09:00:00Z"))],
        &[("subject", json!({"reference": "https://ehr.test/fhir/Patient/pat-1"}))],
        &[("text", json!({"status": "generated", "div": "<div>new</div>"}))],
        &[("performer", json!([{"reference": "Organization/1"}]))],
    ];
    for changes in same {
        assert_eq!(diagnostic(changes).unwrap().content_hash, original, "{changes:?}");
    }
    let different: [&[(&str, Value)]; 6] = [
        &[("status", json!("entered-in-error"))],
        &[("subject", json!({"reference": "Patient/pat-2"}))],
        &[("conclusion", json!("new"))],
        &[("result", json!([{"reference": "Observation/1"}]))],
        &[("code", json!({"coding": [{"code": "4548-4"}]}))],
        &[("presentedForm", json!([{"contentType": "application/pdf", "data": "QUJD"}]))],
    ];
    for changes in different {
        assert_ne!(diagnostic(changes).unwrap().content_hash, original, "{changes:?}");
    }
}

#[test]
fn a_presigned_address_hashes_without_its_signature_and_is_known_to_be_weak() {
    let at = |url: &str, hash: Value| {
        diagnostic(&[("presentedForm", json!([{"contentType": "application/pdf", "url": url, "hash": hash}]))]).unwrap()
    };
    let weak = at("https://s3.test/a?sig=1", json!(null));
    assert_eq!(weak.content_hash, at("https://s3.test/a?sig=2", json!(null)).content_hash);
    assert_ne!(weak.content_hash, at("https://s3.test/b?sig=1", json!(null)).content_hash);
    assert_eq!(weak.content_basis, ContentBasis::Address);
    let sure = at("https://s3.test/a", json!("5nS2tW6galINvmCpOXr0OJzF2DA="));
    assert_eq!(sure.content_hash, at("https://s3.test/moved", json!("5nS2tW6galINvmCpOXr0OJzF2DA=")).content_hash);
    assert_eq!(sure.content_basis, ContentBasis::Bytes);
}

/// Every pointer into `value`.
pub(super) fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| pointers(member, &format!("{at}/{name}"), all));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| pointers(item, &format!("{at}/{i}"), all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
        Just(json!([null])),
        Just(json!([[]])),
        Just(json!(["x"])),
        Just(json!({"zzz": ["x"]})),
        Just(json!({"value": "x", "extension": []})),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!(5_368_709_120_u64)),
        "\\PC{0,12}".prop_map(Value::String),
    ]
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn no_mutation_of_a_real_resource_panics(
        edits in prop::collection::vec((any::<Index>(), prop::option::of("[a-zA-Z_$]{1,12}"), odd_value()), 1..4)
    ) {
        for (fixture, kind) in [(REPORT, Some(ResourceType::DiagnosticReport)), (DOCUMENT, Some(ResourceType::DocumentReference)), (PATIENT, None)] {
            let mut resource = stored(fixture, &[]);
            for (place, name, value) in &edits {
                let mut all = Vec::new();
                pointers(&resource, "", &mut all);
                let chosen: &String = place.get(&all);
                let target = resource.pointer_mut(chosen).unwrap();
                match (name, target.as_object_mut()) {
                    (Some(name), Some(members)) => { members.insert(name.clone(), value.clone()); }
                    _ => *target = value.clone(),
                }
            }
            let body = resource.to_string();
            let error = match kind {
                Some(kind) => {
                    let _ = read_hook(body.as_bytes(), HookPath::Bare, HookMethod::Post);
                    read_report(kind, body.as_bytes(), &base()).err()
                }
                None => read_patient(body.as_bytes(), &base()).err(),
            };
            // The gate catches a panic of fhirbolt; none may happen in the first place.
            prop_assert_ne!(error.map(|error| error.why), Some("could not be understood"));
        }
    }
}
