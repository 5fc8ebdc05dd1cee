//! Walks other than a plain search: histories, dates, one patient; handed out page by page, at the EHR's pace.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde_json::{Value, json};

use super::scripted::{Say, ScriptedEhr, fhir};
use super::*;
use crate::base::{Clock, UtcMillis, hours, minutes, seconds};

const KIND: ResourceType = ResourceType::DiagnosticReport;
const COUNT: NonZeroU16 = NonZeroU16::MIN;

fn at(text: &str) -> UtcMillis {
    UtcMillis::parse_rfc3339(text).unwrap()
}

fn bundle(entries: &[Value], next: Option<&str>) -> Say {
    let links: Vec<Value> = next.iter().map(|url| json!({"relation": "next", "url": url})).collect();
    fhir(200, &json!({"resourceType": "Bundle", "link": links, "entry": entries}))
}

/// The pages of a walk, as ids that changed and ids that were deleted, and how it ended.
async fn walked(script: Vec<Say>, sought: Sought) -> (Vec<(Vec<String>, Vec<String>)>, WalkEnd, ScriptedEhr) {
    let ehr = ScriptedEhr::saying(script).await;
    let client = client_of(&ehr.base, |_| {});
    let mut walk = client.walk(KIND, sought, COUNT);
    let mut pages = Vec::new();
    loop {
        match walk.step().await.unwrap() {
            Step::Page { changed, deleted } => pages.push((
                changed.iter().map(|heard| heard.id.to_string()).collect(),
                deleted.iter().map(ToString::to_string).collect(),
            )),
            Step::End(end) => return (pages, end, ehr),
        }
    }
}

fn written(id: &str, updated: &str) -> Value {
    json!({
        "resource": {"resourceType": "DiagnosticReport", "id": id, "meta": {"versionId": "1", "lastUpdated": updated}},
        "request": {"method": "PUT", "url": format!("DiagnosticReport/{id}")},
    })
}

fn deleted(names: &Value, updated: &str) -> Value {
    let mut entry = json!({"response": {"status": "204", "lastModified": updated}});
    entry["fullUrl"] = names["fullUrl"].clone();
    entry["request"] = json!({"method": "DELETE", "url": names["url"]});
    entry
}

#[tokio::test]
async fn a_history_tells_what_was_deleted_however_it_is_named() {
    let since = at("2026-11-21T09:00:00Z");
    let entries = [
        deleted(&json!({"url": "DiagnosticReport/a"}), "2026-11-21T09:50:00Z"),
        deleted(
            &json!({"url": "DiagnosticReport?x=y", "fullUrl": "https://ehr.test/fhir/DiagnosticReport/b"}),
            "2026-11-21T09:40:00Z",
        ),
        deleted(&json!({"url": "DiagnosticReport/c/_history/3"}), "2026-11-21T09:30:00Z"),
        written("d", "2026-11-21T09:20:00Z"),
    ];
    let (pages, end, ehr) = walked(vec![bundle(&entries, None)], Sought::History { since }).await;
    let gone = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!((pages, end), (vec![(Vec::new(), gone)], WalkEnd::Whole));
    let line = ehr.asked()[0].line().to_owned();
    assert!(line.contains("/DiagnosticReport/_history?_since=2026-11-21T09%3A00%3A00.000Z&_count=1"), "{line}");
}

#[tokio::test]
async fn a_deleted_entry_that_names_nothing_makes_a_history_incomplete() {
    let since = at("2026-11-21T09:00:00Z");
    let entries = [
        deleted(&json!({}), "2026-11-21T09:50:00Z"),
        deleted(&json!({"url": "DiagnosticReport/a"}), "2026-11-21T09:40:00Z"),
    ];
    let (pages, end, _) = walked(vec![bundle(&entries, None)], Sought::History { since }).await;
    assert_eq!(pages[0].1, ["a"]);
    assert!(matches!(end, WalkEnd::Incomplete { why } if why.contains("no usable id")));
}

/// `sekmet-fhir` forgets `_since` in its page links.
#[tokio::test]
async fn a_history_ends_where_it_becomes_older_than_was_asked_for() {
    let since = at("2026-11-21T09:00:00Z");
    let script = vec![
        bundle(&[written("a", "2026-11-21T09:20:00Z")], Some("?page=2")),
        bundle(&[written("b", "2026-11-21T08:59:59Z")], Some("?page=3")),
    ];
    let (pages, end, ehr) = walked(script, Sought::History { since }).await;
    assert_eq!((pages.len(), end, ehr.asked().len()), (2, WalkEnd::Whole, 2));
}

#[tokio::test]
async fn a_page_is_handed_out_before_the_next_one_is_asked_for_and_repeats_nothing() {
    let pages = [["a", "b"], ["b", "c"]].map(|ids| ids.map(|id| written(id, "2026-11-21T09:20:00Z")));
    let ehr = ScriptedEhr::saying(vec![bundle(&pages[0], Some("?page=2")), bundle(&pages[1], None)]).await;
    let client = client_of(&ehr.base, |_| {});
    let window = Window { since: at("2026-11-21T09:00:00Z"), until: at("2026-11-21T10:00:00Z") };
    let mut walk = client.walk(KIND, Sought::ChangedOf(id("p1"), window), COUNT);
    for (asked, expected) in [(1, vec!["a", "b"]), (2, vec!["c"])] {
        let Ok(Step::Page { changed, .. }) = walk.step().await else { panic!("a page") };
        assert_eq!(changed.iter().map(|heard| heard.id.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(ehr.asked().len(), asked);
    }
    assert!(matches!(walk.step().await, Ok(Step::End(WalkEnd::Whole))));
    let line = ehr.asked()[0].line().to_owned();
    assert!(line.contains("patient=p1&_lastUpdated=ge2026-11-21T09%3A00%3A00.000Z&_lastUpdated=lt"), "{line}");
}

#[tokio::test]
async fn a_search_by_date_asks_for_the_parameter_that_it_is_given() {
    let sought = Sought::Dated { patient: Some(id("p1")), parameter: "issued", from: at("2026-11-14T09:00:00Z") };
    let (_, end, ehr) = walked(vec![bundle(&[], None)], sought).await;
    assert_eq!(end, WalkEnd::Whole);
    let line = ehr.asked()[0].line().to_owned();
    assert!(line.contains("?patient=p1&issued=ge2026-11-14T09%3A00%3A00.000Z&_count=1&_elements=id%2Cmeta"), "{line}");
}

/// Whatever is asked for counts, searches and readings alike.
#[tokio::test]
async fn every_call_to_the_ehr_waits_for_its_turn() {
    let ehr = ScriptedEhr::saying(vec![fhir(200, &stored(PATIENT, &[("resourceType", json!("Patient"))]))]).await;
    let pace = Pace::new(Clock::stepped(at("2026-11-21T10:00:00Z")), NonZeroU32::new(2));
    let client = client_of(&ehr.base, |_| {}).at_pace(pace);
    assert!(client.read_patient(&id("r1")).await.is_ok(), "the first goes at once");
    let (moment, report) = (Duration::from_millis(100), id("r1"));
    let window = Window { since: at("2026-11-21T09:00:00Z"), until: at("2026-11-21T10:00:00Z") };
    let mut walk = client.walk(KIND, Sought::Changed(window), COUNT);
    let (searched, read, offers) = tokio::join!(
        tokio::time::timeout(moment, walk.step()),
        tokio::time::timeout(moment, client.read(KIND, &report)),
        tokio::time::timeout(moment, client.offers()),
    );
    assert!(searched.is_err() && read.is_err() && offers.is_err());
    assert_eq!(ehr.asked().len(), 1);
}

/// RFC 9110 §10.2.3: seconds or a date, which is measured from the server's own.
#[tokio::test]
async fn a_pause_is_kept_in_both_forms_by_whoever_asks_next() {
    for (form, pause) in [("600", minutes(10)), ("Sat, 21 Nov 2026 10:20:00 GMT", minutes(20)), ("99999", hours(1))] {
        let headers = format!("Retry-After: {form}\r\n");
        let ehr = ScriptedEhr::saying(vec![super::scripted::answer(503, &headers, b"")]).await;
        let clock = Clock::stepped(at("2026-11-21T10:00:03Z"));
        let client = client_of(&ehr.base, |_| {}).at_pace(Pace::new(clock.clone(), None));
        let overloaded = |error: Option<EhrError>| match error {
            Some(EhrError::Overloaded { retry_after: Some(told) }) => told,
            other => panic!("{form}: {other:?}"),
        };
        let told = overloaded(client.offers().await.err());
        assert!((pause..pause + pause / 16 + seconds(1)).contains(&told), "{form}: {told:?}");
        clock.forward(pause / 2);
        overloaded(client.read(KIND, &id("r1")).await.err());
        assert_eq!(ehr.asked().len(), 1, "{form}: it was asked meanwhile");
        clock.forward(pause);
        assert_eq!(client.read(KIND, &id("r1")).await.err(), Some(EhrError::Unreachable), "{form}");
    }
}

/// Whole resources with their files inside.
#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_again_with_fewer_on_it() {
    let since = at("2026-11-21T09:00:00Z");
    let mut large = written("a", "2026-11-21T09:30:00Z");
    large["resource"]["presentedForm"] = json!([{"data": "A".repeat(4000)}]);
    let gone = |id: &str| deleted(&json!({"url": format!("DiagnosticReport/{id}")}), "2026-11-21T09:50:00Z");
    let ehr = ScriptedEhr::saying(vec![
        bundle(&[gone("x")], Some("?page=2")),
        bundle(&[large.clone(), large.clone()], None),
        bundle(&[gone("x")], Some("?page=2")),
        bundle(&[written("b", "2026-11-21T09:30:00Z"), gone("y")], None),
    ])
    .await;
    let client = client_of(&ehr.base, |connection| connection.limits.page_bytes_max = 2000);
    let mut walk = client.walk(KIND, Sought::History { since }, NonZeroU16::new(200).unwrap());
    let mut found = Vec::new();
    loop {
        match walk.step().await.unwrap() {
            Step::Page { deleted, .. } => found.extend(deleted.iter().map(ToString::to_string)),
            Step::End(end) => break assert_eq!(end, WalkEnd::Whole),
        }
    }
    assert_eq!(found, ["x", "y"], "none twice");
    let counts: Vec<_> = ehr.asked().iter().map(|asked| asked.line().contains("_count=50")).collect();
    assert_eq!(counts, [false, false, true, false]);

    // One that is too large by itself is a fault that is told.
    let ehr = ScriptedEhr::saying((0..5).map(|_| bundle(std::slice::from_ref(&large), None)).collect()).await;
    let client = client_of(&ehr.base, |connection| connection.limits.page_bytes_max = 2000);
    let mut walk = client.walk(KIND, Sought::History { since }, NonZeroU16::new(200).unwrap());
    assert!(matches!(walk.step().await, Err(EhrError::TooLarge { .. })));
    assert_eq!(ehr.asked().len(), 5, "200, 50, 12, 3, 1");
}
