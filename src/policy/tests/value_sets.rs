//! FHIR value sets as code sets.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::sets::{codes_of, faults, files, read};
use crate::policy::sets::CodeSets;

const EXPAND: &str = "expand the value set on a terminology server first";

/// As VSAC expands a value set of HIV tests.
fn expansion() -> Value {
    json!({
        "resourceType": "ValueSet",
        "id": "2.16.840.1.113762.1.4.1056.50",
        "meta": { "versionId": "49", "lastUpdated": "2023-03-08T11:35:09.000-05:00" },
        "url": "http://cts.nlm.nih.gov/fhir/ValueSet/2.16.840.1.113762.1.4.1056.50",
        "identifier": [{ "system": "urn:ietf:rfc:3986", "value": "urn:oid:2.16.840.1.113762.1.4.1056.50" }],
        "version": "20180310",
        "name": "HumanImmunodeficiencyVirusHIVLaboratoryTestCodesAbandAg",
        "status": "active",
        "compose": { "include": [{ "system": "http://loinc.org", "filter": [{ "property": "concept", "op": "is-a", "value": "x" }] }] },
        "expansion": {
            "identifier": "urn:uuid:6dd4d8a9-4f5c-4b6c-9b2b-0d8e2c4d6b0a",
            "timestamp": "2023-03-08T11:35:09-05:00",
            "total": 5,
            "offset": 0,
            "parameter": [{ "name": "count", "valueInteger": 1000 }, { "name": "offset", "valueInteger": 0 }],
            "contains": [
                { "system": "http://loinc.org", "version": "2.72", "code": "14092-1",
                  "display": "HIV 1 Ab [Presence] in Serum by Immunofluorescence" },
                { "abstract": true, "display": "Screening", "system": "http://loinc.org", "code": "LP14499-5", "contains": [
                    { "system": "urn:oid:2.16.840.1.113883.6.1", "code": "24012-7", "inactive": true },
                    { "display": "by immunoassay", "contains": [{ "system": "http://loinc.org", "code": "29893-5" }] },
                ]},
            ],
        },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut resource = expansion();
    change(&mut resource);
    resource.to_string()
}

fn composed(compose: &Value) -> String {
    json!({ "resourceType": "ValueSet", "url": "http://clinic.example/vs", "status": "active", "compose": compose })
        .to_string()
}

#[test]
fn an_expansion_is_read_at_every_depth_with_inactive_codes_and_without_headings() {
    let sets = read("hiv-tests.json", &expansion().to_string());
    assert_eq!(
        codes_of(&sets, "hiv-tests"),
        ["http://loinc.org|14092-1", "http://loinc.org|24012-7", "http://loinc.org|29893-5"],
    );
    let with_mark = format!("\u{feff}\n {}", expansion());
    assert_eq!(read("hiv-tests.json", &with_mark), sets);
}

#[test]
fn an_expansion_that_may_lack_codes_is_refused() {
    for (resource, says) in [
        (with(|v| v["expansion"]["total"] = json!(1834)), "the expansion has 5 of 1834 codes"),
        (with(|v| v["expansion"]["offset"] = json!(1000)), "the expansion is a page that begins at code 1000"),
        (with(|v| v["expansion"]["next"] = json!("http://tx.example/next")), "the expansion has a next page"),
        (
            with(|v| {
                let unclosed = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed";
                v["expansion"]["extension"] = json!([{ "url": unclosed, "valueBoolean": true }]);
            }),
            "the server says that the expansion is not whole",
        ),
        (
            with(|v| {
                v["expansion"].as_object_mut().unwrap().remove("total");
                v["expansion"]["parameter"][0]["valueInteger"] = json!(5);
            }),
            "the expansion was asked for 5 codes, has as many",
        ),
    ] {
        let found = faults("a.json", &resource);
        assert!(found[0].starts_with("a.json, at expansion: ") && found[0].contains(says), "{found:?}");
        assert!(found[0].contains(EXPAND), "{found:?}");
    }
    read("a.json", &with(|v| drop(v["expansion"].as_object_mut().unwrap().remove("total"))));
}

#[test]
fn a_faulty_code_is_found_by_its_place() {
    let nested = with(|v| v["expansion"]["contains"][1]["contains"][0]["code"] = json!("24012-8"));
    let found = faults("a.json", &nested);
    assert!(found[0].starts_with("a.json, at expansion.contains[1].contains[0]: '24012-8'"), "{found:?}");
    let bare = with(|v| drop(v["expansion"]["contains"][0].as_object_mut().unwrap().remove("system")));
    assert!(faults("a.json", &bare)[0].contains("at expansion.contains[0]: the code '14092-1' has no code system"));
    let listed =
        composed(&json!({ "include": [{ "system": "http://snomed.info/sct", "concept": [{ "code": "73211008" }] }] }));
    let found = faults("a.json", &listed);
    assert!(found[0].starts_with("a.json, at compose.include[0].concept[0]: '73211008'"), "{found:?}");
}

#[test]
fn listed_codes_are_taken_less_the_excluded_ones() {
    let sets = read(
        "a.json",
        &composed(&json!({
            "include": [
                { "system": "http://loinc.org", "version": "2.72", "concept": [{ "code": "4548-4" }, { "code": "2106-3" }] },
                { "system": "http://hl7.org/fhir/sid/icd-10", "concept": [{ "code": "C50" }] },
            ],
            "exclude": [{ "system": "https://loinc.org", "concept": [{ "code": "2106-3" }] }],
        })),
    );
    assert_eq!(codes_of(&sets, "a"), ["http://hl7.org/fhir/sid/icd-10|C50", "http://loinc.org|4548-4"]);
}

#[test]
fn what_only_a_server_knows_is_refused() {
    for (compose, at, says) in [
        (
            json!({ "include": [{ "system": "http://snomed.info/sct",
                "filter": [{ "property": "concept", "op": "is-a", "value": "86406008" }] }] }),
            "compose.include[0]",
            "a filter chooses the codes",
        ),
        (
            json!({ "include": [{ "system": "http://loinc.org" }] }),
            "compose.include[0]",
            "takes the whole code system 'http://loinc.org'",
        ),
        (json!({ "include": [{}] }), "compose.include[0]", "this names no codes"),
        (
            json!({ "include": [{ "system": "http://loinc.org", "concept": [{ "code": "4548-4" }] }],
                "exclude": [{ "system": "http://loinc.org" }] }),
            "compose.exclude[0]",
            "takes the whole code system",
        ),
        (
            json!({ "include": [{ "valueSet": ["http://snomed.info/sct?fhir_vs=ecl/<<86406008"] }] }),
            "compose.include[0].valueSet[0]",
            "is not among the files. put its file beside this one; or",
        ),
    ] {
        let found = faults("a.json", &composed(&compose));
        assert!(found[0].starts_with(&format!("a.json, at {at}: ")) && found[0].contains(says), "{found:?}");
        assert!(found[0].contains(EXPAND), "{found:?}");
    }
}

#[test]
fn what_is_no_value_set_is_refused() {
    for (text, says) in [
        ("{\n\"a\": }", "a.json, line 2: this is not JSON"),
        ("{}", "a.json: this JSON has no 'resourceType'. save a FHIR ValueSet"),
        (r#"{"resourceType":"Bundle"}"#, "resource of type 'Bundle', and no ValueSet. save the ValueSet itself"),
        (r#"{"resourceType":"ValueSet"}"#, "neither 'expansion' nor 'compose'"),
        (r#"{"resourceType":"ValueSet","compose":{"import":["urn:a"]}}"#, "this is a value set of FHIR DSTU2"),
        (r#"{"resourceType":"ValueSet","expansion":{"contains":{}}}"#, "at expansion.contains: this is no list"),
        (r#"{"resourceType":"ValueSet","expansion":{}}"#, "the value set has no codes"),
        (r#"{"resourceType":"ValueSet","compose":{"include":[]}}"#, "the value set has no codes"),
    ] {
        let found = faults("a.json", text);
        assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
    }
    let deep = format!("{}{}", r#"{"a":"#.repeat(500), "}".repeat(500));
    assert!(faults("a.json", &deep)[0].contains("this is not JSON: recursion limit exceeded"));
}

/// `url`, version, codes of lab.example, imports (each a part of its own).
fn importing(url: &str, version: &str, codes: &[&str], imports: &[&[&str]]) -> String {
    let concepts: Vec<_> = codes.iter().map(|code| json!({ "code": code })).collect();
    let mut include: Vec<_> = imports.iter().map(|import| json!({ "valueSet": import })).collect();
    if !concepts.is_empty() {
        include.push(json!({ "system": "http://lab.example/codes", "concept": concepts }));
    }
    json!({ "resourceType": "ValueSet", "url": url, "version": version, "compose": { "include": include } }).to_string()
}

fn joined(texts: &[(&str, String)]) -> Result<CodeSets, Vec<String>> {
    let borrowed: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    CodeSets::with(&files(&borrowed)).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn short(sets: &CodeSets, name: &str) -> Vec<String> {
    codes_of(sets, name).iter().map(|code| code.replace("http://lab.example/codes|", "")).collect()
}

#[test]
fn imports_among_the_files_are_followed() {
    let sets = joined(&[
        ("a.json", importing("urn:a", "1", &["A"], &[&["urn:b|2"], &["urn:c"]])),
        ("b-old.json", importing("urn:b", "1", &["OLD"], &[])),
        ("b.json", importing("urn:b", "2", &["B"], &[&["urn:c"]])),
        ("c.json", importing("urn:c", "1", &["B", "C"], &[])),
        ("both.json", importing("urn:both", "1", &[], &[&["urn:b|2", "urn:c"]])),
        ("common.json", importing("urn:common", "1", &[], &[&["urn:b|1", "urn:b|2"], &["urn:a"]])),
    ])
    .unwrap();
    assert_eq!(short(&sets, "a"), ["A", "B", "C"]);
    assert_eq!(short(&sets, "b"), ["B", "C"]);
    assert_eq!(short(&sets, "both"), ["B", "C"], "several imports of one part narrow one another");
    assert_eq!(short(&sets, "common"), ["A", "B", "C"]);
}

#[test]
fn a_system_narrows_what_is_imported() {
    let narrowed = json!({ "resourceType": "ValueSet", "compose": { "include":
        [{ "system": "http://loinc.org", "valueSet": ["http://clinic.example/vs"] }] } });
    let mixed = composed(&json!({ "include": [
        { "system": "urn:oid:2.16.840.1.113883.6.1", "concept": [{ "code": "4548-4" }] },
        { "system": "http://hl7.org/fhir/sid/icd-10", "concept": [{ "code": "C50" }] },
    ] }));
    let sets = joined(&[("a.json", narrowed.to_string()), ("b.json", mixed)]).unwrap();
    assert_eq!(codes_of(&sets, "a"), ["http://loinc.org|4548-4"]);
}

#[test]
fn circles_and_doubles_of_imports_are_told_once() {
    let found = joined(&[
        ("a.json", importing("urn:a", "1", &["A"], &[&["urn:b"]])),
        ("b.json", importing("urn:b", "1", &["B"], &[&["urn:c"]])),
        ("c.json", importing("urn:c", "1", &["C"], &[&["urn:b"]])),
    ])
    .unwrap_err();
    assert_eq!(
        found,
        ["c.json, at compose.include[0].valueSet[0]: value sets import one another in a circle: 'b.json, c.json'. \
          take one of these imports out."]
    );
    let found = joined(&[("a.json", importing("urn:a", "1", &[], &[&["urn:a"]]))]).unwrap_err();
    assert!(found.len() == 1 && found[0].contains("in a circle: 'a.json'"), "{found:?}");
    let found = joined(&[
        ("a.json", importing("urn:a", "1", &["A"], &[&["urn:b"]])),
        ("b.json", importing("urn:b", "1", &["B"], &[])),
        ("c.json", importing("urn:b", "2", &["B"], &[])),
    ])
    .unwrap_err();
    assert!(
        found.len() == 1 && found[0].contains("two files are the value set 'urn:b': b.json and c.json"),
        "{found:?}"
    );
}

#[test]
fn many_imports_are_refused_and_a_long_chain_is_followed() {
    let many: Vec<&[&str]> = vec![&["urn:b"]; 5_000];
    let found =
        joined(&[("a.json", importing("urn:a", "1", &[], &many)), ("b.json", importing("urn:b", "1", &["B"], &[]))])
            .unwrap_err();
    assert!(found.len() == 1 && found[0].contains("imports more than 100 others"), "{found:?}");
    let urls: Vec<String> = (0..=150).map(|n| format!("urn:{n}")).collect();
    let chain: Vec<_> = (0..150)
        .map(|n| (format!("{n}.json"), importing(&urls[n], "1", &["X"], if n < 149 { &[&[]] } else { &[] })))
        .collect();
    let chain = chain.into_iter().enumerate().map(|(n, (name, text))| {
        let next = format!("{{\"valueSet\":[\"{}\"]}}", urls[n + 1]);
        (name, text.replace("{\"valueSet\":[]}", &next))
    });
    let sets = CodeSets::with(&chain.collect()).unwrap();
    assert_eq!(short(&sets, "0"), ["X"]);
}

#[test]
fn a_large_expansion_is_read() {
    let mut contains = String::new();
    for code in 0..50_000 {
        let comma = if code == 0 { "" } else { "," };
        write!(contains, "{comma}{{\"system\":\"http://lab.example/codes\",\"code\":\"{code}\"}}").unwrap();
    }
    let text = format!("{{\"resourceType\":\"ValueSet\",\"expansion\":{{\"total\":50000,\"contains\":[{contains}]}}}}");
    assert_eq!(read("a.json", &text).set("a").unwrap().len(), 50_000);
}
