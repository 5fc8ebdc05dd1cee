//! What tells that two resources are one document.

use serde_json::{Value, json};

use super::base;
use crate::base::ResourceType;
use crate::fhir::{Likeness, read_report};

fn of(kind: ResourceType, changes: &[(&str, Value)]) -> Vec<String> {
    let mut resource = json!({"resourceType": kind.as_str(), "id": "one", "status": "final"});
    for (name, value) in changes {
        resource[*name] = value.clone();
    }
    let report = read_report(kind, resource.to_string().as_bytes(), &base()).ok().unwrap();
    report.likenesses.iter().map(spelled).collect()
}

fn spelled(likeness: &Likeness) -> String {
    match likeness {
        Likeness::Sha256(digest) => format!("sha256 {}", data_encoding::HEXLOWER.encode(&digest[..4])),
        Likeness::Sha1(digest) => format!("sha1 {}", data_encoding::HEXLOWER.encode(&digest[..4])),
        Likeness::Address(address) => format!("at {address}"),
        Likeness::Itself(name) => format!("is {name}"),
        Likeness::Restates(name) => format!("restates {name}"),
        Likeness::BelongsTo(name) => format!("of {name}"),
    }
}

#[test]
fn only_the_file_that_is_delivered_counts_by_its_bytes_or_its_address() {
    let form = |kind: &str, more: Value| {
        let mut form = json!({"contentType": kind});
        form.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        form
    };
    let report = |forms: Value| of(ResourceType::DiagnosticReport, &[("presentedForm", forms)]);
    // "abc"
    let inline = ["is DiagnosticReport/one", "sha256 ba7816bf", "sha1 a9993e36"];
    assert_eq!(report(json!([form("application/pdf", json!({"data": "YWJj"}))])), inline);
    let leaflet = form("text/plain", json!({"data": "bGVhZmxldA=="}));
    assert_eq!(report(json!([leaflet, form("application/pdf", json!({"data": "YWJj"}))])), inline);
    for url in ["Binary/7", "https://ehr.test/fhir/Binary/7", "Binary/7#page=2?x"] {
        let found = report(json!([form("application/pdf", json!({"url": url}))]));
        assert_eq!(found, ["is DiagnosticReport/one", "at Binary/7"], "{url}");
    }
    let hash = json!({"url": "https://files.test/a?sig=1", "hash": "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="});
    let found = report(json!([form("application/pdf", hash)]));
    assert_eq!(found, ["is DiagnosticReport/one", "sha1 a9993e36"]);
    for url in ["Binary/7?sig=1#x", "https://files.test/retrieve?documentUID=1.2.3"] {
        let found = report(json!([form("application/pdf", json!({"url": url}))]));
        assert_eq!(found, ["is DiagnosticReport/one"], "the query may name the file: {url}");
    }
    let version = report(json!([form("application/pdf", json!({"url": "Binary/7/_history/2"}))]));
    assert_eq!(version[1], "at Binary/7/_history/2", "another version may be another file");
    assert_eq!(report(json!([])), ["is DiagnosticReport/one"]);
}

#[test]
fn a_document_says_itself_what_it_restates_and_belongs_to() {
    let relates_to = |code: &str, target: &str| json!([{"code": code, "target": {"reference": target}}]);
    let document = |changes: &[(&str, Value)]| of(ResourceType::DocumentReference, changes);
    for code in ["transforms", "signs"] {
        let found = document(&[("relatesTo", relates_to(code, "DocumentReference/two"))]);
        assert_eq!(found, ["is DocumentReference/one", "restates DocumentReference/two"]);
    }
    for code in ["replaces", "appends", "completes"] {
        assert_eq!(document(&[("relatesTo", relates_to(code, "DocumentReference/two"))]).len(), 1, "{code}");
    }
    let related = json!({"related": [
        {"reference": "DiagnosticReport/three"},
        {"reference": "https://ehr.test/fhir/DiagnosticReport/four"},
        {"reference": "https://elsewhere.test/DiagnosticReport/five"},
        {"reference": "ServiceRequest/six"},
        {"display": "seven"},
    ]});
    let found = document(&[("context", related)]);
    assert_eq!(found[1..], ["of DiagnosticReport/three", "of DiagnosticReport/four"]);
    // R5 makes it the list of encounters.
    assert_eq!(document(&[("context", json!([{"reference": "Encounter/e"}]))]).len(), 1);
    let attachment = json!([{"attachment": {"url": "DiagnosticReport/eight"}}]);
    assert_eq!(document(&[("content", attachment)])[1], "restates DiagnosticReport/eight");
}
